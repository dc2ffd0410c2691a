// Lists and watches of the in-process API server.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "tests/support/fake_api_server.h"
#include "tests/support/fake_api_state.h"

namespace spillway::support {
namespace {

using kube::HttpResponse;
using Json = nlohmann::json;

// 0 for "" and "0", nothing for what is no version.
std::optional<int64_t> ParseVersion(const std::string& text) {
  if (text.empty()) return 0;
  int64_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || end != text.data() + text.size() || version < 0) return std::nullopt;
  return version;
}

constexpr std::string_view kToken = "page-";

std::string EventLine(const char* type, const std::string& object) {
  return fmt::format("{{\"type\":\"{}\",\"object\":{}}}\n", type, object);
}

// In the order in which the real server writes a list of built-in kinds. `left`: how many there are
// more; 0: it does not say.
std::string ListText(const ApiTarget& target, int64_t version, const std::string& token,
                     size_t left, const std::vector<std::string>& items) {
  const bool partial = target.metadata_only;
  std::string text =
      fmt::format(R"({{"kind":"{}List","apiVersion":"{}","metadata":{{"resourceVersion":"{}")",
                  partial ? "PartialObjectMetadata" : target.kind->kind,
                  partial ? "meta.k8s.io/v1" : target.kind->ApiVersion(), version);
  if (!token.empty()) text += fmt::format(R"(,"continue":"{}")", token);
  if (left > 0) text += fmt::format(R"(,"remainingItemCount":{})", left);
  text += R"(},"items":[)";
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += ',';
    text += items[i];
  }
  return text + "]}";
}

HttpResponse Expired(const std::string& what) {
  return StatusAnswer(410, "Expired", what + " is too old; the history of it is gone");
}

Json TooOld() { return StatusObject(410, "Expired", "too old resource version"); }

// A version that the server has not come to. The real one waits some seconds before it says so.
Json TooLarge(const std::string& asked, int64_t version) {
  Json status = StatusObject(
      504, "Timeout",
      fmt::format("Timeout: Too large resource version: {}, current: {}", asked, version));
  status["details"] = {{"causes", Json::array({{{"reason", "ResourceVersionTooLarge"},
                                                {"message", "Too large resource version"}}})},
                       {"retryAfterSeconds", 1}};
  return status;
}

HttpResponse Forbidden(const std::string& field, const std::string& why) {
  return InvalidOptions("ListOptions", field, "FieldValueForbidden",
                        fmt::format("Forbidden: {}", why));
}

HttpResponse UnsupportedMatch(const std::string& match) {
  return InvalidOptions("ListOptions", "resourceVersionMatch", "FieldValueNotSupported",
                        fmt::format("Unsupported value: \"{}\"", match));
}

// What makes a list's query wrong; nothing if it is right.
std::optional<HttpResponse> WrongListQuery(const ApiTarget& target) {
  const std::string version = target.Query("resourceVersion");
  const std::string match = target.Query("resourceVersionMatch");
  if (!target.Query("sendInitialEvents").empty()) {
    return Forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
  }
  if (!match.empty() && version.empty()) {
    return Forbidden("resourceVersionMatch",
                     "resourceVersionMatch is forbidden unless resourceVersion is provided");
  }
  if (match == "Exact" && version == "0") {
    return Forbidden("resourceVersionMatch",
                     "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
  }
  if (!match.empty() && match != "Exact" && match != "NotOlderThan") return UnsupportedMatch(match);
  if (!ParseVersion(version)) return StatusAnswer(400, "BadRequest", "invalid resource version");
  if (!target.Query("continue").empty() && !version.empty() && version != "0") {
    return StatusAnswer(400, "BadRequest",
                        "specifying resource version is not allowed when using continue");
  }
  return std::nullopt;
}

// The same of a watch's.
std::optional<HttpResponse> WrongWatchQuery(const ApiTarget& target) {
  const std::string match = target.Query("resourceVersionMatch");
  const std::string initial = target.Query("sendInitialEvents");
  if (initial.empty() && !match.empty()) {
    return Forbidden("resourceVersionMatch",
                     "resourceVersionMatch is forbidden for watch unless sendInitialEvents is "
                     "provided");
  }
  if (!initial.empty() && match != "NotOlderThan") {
    return Forbidden("resourceVersionMatch",
                     "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
  }
  if (!ParseVersion(target.Query("resourceVersion"))) {
    return StatusAnswer(500, "", "resourceVersion: Invalid value");
  }
  return std::nullopt;
}

// Nothing, and why not, if there is something in them that this kind is not selected by.
std::optional<Selector> SelectorOf(const ApiTarget& target, std::optional<HttpResponse>& refused) {
  auto selector = Selector::Parse(target.Query("labelSelector"), target.Query("fieldSelector"));
  if (!selector) {
    refused = StatusAnswer(400, "BadRequest", "a selector of a form not served here");
  } else if (const std::string wrong = selector->WrongField(*target.kind); !wrong.empty()) {
    refused =
        StatusAnswer(400, "BadRequest", fmt::format("\"{}\" is not a known field selector", wrong));
  }
  if (refused) return std::nullopt;
  return selector;
}

Json Bookmark(const ApiTarget& target, int64_t version) {
  const bool partial = target.metadata_only;
  return {{"kind", partial ? "PartialObjectMetadata" : target.kind->kind},
          {"apiVersion", partial ? "meta.k8s.io/v1" : target.kind->ApiVersion()},
          {"metadata", {{"resourceVersion", std::to_string(version)}}}};
}

// Items of built-in kinds do not say their kind.
std::string ItemText(const ApiTarget& target, const Json& object, const std::string& text) {
  if (target.metadata_only) return MetadataText(object);
  if (target.kind->IsCustom()) return text;
  Json item = object;
  item.erase("kind");
  item.erase("apiVersion");
  return item.dump();
}

}  // namespace

// --- lists ---

HttpResponse FakeApiServer::List(const ApiTarget& target) {
  if (auto wrong = WrongListQuery(target)) return *wrong;
  const std::string token = target.Query("continue");
  if (!token.empty()) {
    if (!token.starts_with(kToken)) {
      return StatusAnswer(400, "BadRequest", "invalid continue token");
    }
    const auto pages = pages_.find(token);
    if (pages == pages_.end()) return Expired("the provided continue parameter");
    return ListPage(target, *pages->second);
  }
  std::optional<HttpResponse> refused;
  const auto selector = SelectorOf(target, refused);
  if (refused) return *refused;
  const std::string asked = target.Query("resourceVersion");
  const bool stored = asked.empty() || target.Query("resourceVersionMatch") == "Exact";
  const View view = stored ? StoredView(*target.kind) : CachedView(AnyServer(), *target.kind);
  if (*ParseVersion(asked) > view.version) {
    HttpResponse answer = JsonAnswer(504, TooLarge(asked, view.version).dump());
    answer.headers.emplace("retry-after", "1");
    return answer;
  }
  Pages pages;
  pages.version = view.version;
  pages.counted = selector->empty();
  if (view.objects == nullptr) return ListPage(target, std::move(pages));
  for (const auto& [key, one] : *view.objects) {
    const bool here = target.ns.empty() || key.starts_with(target.ns + "/");
    if (here && selector->Matches(one->object)) pages.left.push_back(one);
  }
  return ListPage(target, std::move(pages));
}

HttpResponse FakeApiServer::ListPage(const ApiTarget& target, Pages pages) {
  size_t limit = pages.left.size();
  // What comes from the cache comes at once.
  const bool cached = target.Query("resourceVersion") == "0";
  const int64_t asked = ParseVersion(target.Query("limit")).value_or(0);
  if (asked > 0 && !cached) limit = std::min(limit, static_cast<size_t>(asked));
  const auto cut = pages.left.begin() + static_cast<std::ptrdiff_t>(limit);
  std::vector<std::string> items;
  items.reserve(limit);
  std::transform(pages.left.begin(), cut, std::back_inserter(items),
                 [&](const Ptr& one) { return ItemText(target, one->object, one->text); });
  std::string token;
  pages.left.erase(pages.left.begin(), cut);
  const int64_t version = pages.version;
  const size_t left = pages.counted ? pages.left.size() : 0;
  if (!pages.left.empty()) {
    token = fmt::format("{}{}", kToken, next_id_++);
    pages_[token] = std::make_shared<Pages>(std::move(pages));
  }
  return JsonAnswer(200, ListText(target, version, token, left, items));
}

// --- watches ---

Result<HttpResponse> FakeApiServer::Stream(const kube::HttpRequest& request,
                                           const OnBytes& on_bytes, const std::stop_token& stop) {
  if (stop.stop_requested()) return Error{Code::kCancelled, "stopped before sending"};
  Watch watch;
  {
    std::unique_lock lock(mutex_);
    const auto latency = PartOf(lag_ ? lag_->latency : std::chrono::milliseconds(0));
    if (!Await(lock, stop, latency)) return Error{Code::kCancelled, "stopped while sending"};
    const size_t number = LogRequest(request);
    LoggedRequest& logged = log_[number];
    const Blow blow = NextBlow(logged);
    if (blow.hit && (blow.fault.kind == Fault::Kind::kDropBefore ||
                     blow.fault.kind == Fault::Kind::kDropAfter)) {
      return Error{Code::kUnavailable, "GET " + request.target + ": connection reset"};
    }
    std::optional<HttpResponse> refused;
    if (blow.hit && blow.fault.kind == Fault::Kind::kAnswer) refused = Refusal(blow);
    if (!refused) refused = OpenWatch(logged, watch);
    logged.status = refused ? refused->status : 200;
    if (refused) return *refused;
    if (blow.hit && blow.fault.kind == Fault::Kind::kCutWatch) {
      watch.cut_after = blow.fault.after_bytes;
    }
    if (blow.hit && blow.fault.kind == Fault::Kind::kErrorEvent) {
      watch.failure =
          StatusObject(blow.fault.status, blow.fault.reason, "this watch was chosen to fail");
    }
    ++open_watches_;
    Changed();
  }
  auto ended = Serve(watch, on_bytes, stop);
  const std::scoped_lock lock(mutex_);
  --open_watches_;
  Changed();
  return ended;
}

std::optional<HttpResponse> FakeApiServer::OpenWatch(const LoggedRequest& request, Watch& watch) {
  auto target = ParseTarget(request.path);
  if (!target) {
    return StatusAnswer(404, "NotFound", "the server could not find the requested resource");
  }
  target->query = request.query;
  if (request.verb != "watch")
    return StatusAnswer(400, "BadRequest", "only watches are streams here");
  target->metadata_only = request.metadata_only;
  if (auto wrong = WrongWatchQuery(*target)) return *wrong;
  std::optional<HttpResponse> refused;
  const auto selector = SelectorOf(*target, refused);
  if (refused) return *refused;
  const std::string version_text = target->Query("resourceVersion");
  const int64_t version = *ParseVersion(version_text);
  watch.selector = *selector;
  watch.server = AnyServer();
  watch.bookmarks = target->Query("allowWatchBookmarks") == "true";
  // A watch from nowhere is a streaming list, asked for as such or not.
  const std::string asked = target->Query("sendInitialEvents");
  const bool initial = asked.empty() ? version == 0 : asked == "true" || asked == "1";
  watch.initial_end = initial && watch.bookmarks;
  // Without a version it tells of the newest that there is.
  const bool cached = initial && !version_text.empty();
  const View view = cached ? CachedView(watch.server, *target->kind) : StoredView(*target->kind);
  if (initial && version > view.version) watch.failure = TooLarge(version_text, view.version);
  const bool from_now = initial || version == 0;
  if (!from_now && version < compacted_) watch.failure = TooOld();
  watch.bookmarks_seen = bookmarks_;
  watch.closings_seen = closings_;
  const auto timeout = ParseVersion(target->Query("timeoutSeconds")).value_or(0);
  watch.deadline = clock_.Elapsed() + std::chrono::seconds(timeout > 0 ? timeout : 1800);
  const auto first = std::find_if(history_.begin(), history_.end(),
                                  [&](const auto& event) { return event->version > version; });
  watch.from = from_now ? view.version : version;
  watch.next = from_now ? view.next : forgotten_ + static_cast<size_t>(first - history_.begin());
  watch.target = *std::move(target);
  if (initial) AppendAll(watch, view, watch.first);
  return std::nullopt;
}

Result<HttpResponse> FakeApiServer::Serve(Watch& watch, const OnBytes& on_bytes,
                                          const std::stop_token& stop) {
  while (true) {
    std::string bytes;
    bool over = false;
    size_t piece = 0;
    {
      std::unique_lock lock(mutex_);
      const uint64_t seen = changes_;
      bytes = NextBytes(watch);
      // What was there before the closing is delivered before it.
      over = bytes.empty() && Over(watch);
      if (bytes.empty() && !over) {
        changed_.wait(lock, stop, [&] { return changes_ != seen; });
        if (stop.stop_requested()) return Error{Code::kCancelled, "stopped"};
        continue;
      }
      piece = chunk_bytes_ > 0 ? chunk_bytes_ : bytes.size();
    }
    if (over) return JsonAnswer(200, "");
    const bool cut = watch.cut_after && bytes.size() >= *watch.cut_after;
    if (cut) bytes.resize(*watch.cut_after);
    if (watch.cut_after) *watch.cut_after -= bytes.size();
    for (size_t at = 0; at < bytes.size(); at += piece) {
      if (stop.stop_requested()) return Error{Code::kCancelled, "stopped"};
      if (!on_bytes(std::string_view(bytes).substr(at, piece))) return JsonAnswer(200, "");
    }
    if (cut) return Error{Code::kUnavailable, "the watch broke off: connection reset"};
  }
}

bool FakeApiServer::Over(const Watch& watch) const {
  return watch.over || watch.closings_seen != closings_ || clock_.Elapsed() >= watch.deadline;
}

// All that there is to tell by now; nothing if the watch has to wait, or is over.
std::string FakeApiServer::NextBytes(Watch& watch) const {
  if (watch.over || held_.contains(watch.target.kind->plural)) return {};
  if (!watch.failure && watch.next < forgotten_) watch.failure = TooOld();
  if (watch.failure) {
    watch.over = true;
    return EventLine("ERROR", watch.failure->dump());
  }
  std::string out = std::exchange(watch.first, {});
  int64_t reached = version_;
  for (; watch.next - forgotten_ < history_.size(); ++watch.next) {
    const Event& event = *history_[watch.next - forgotten_];
    if (event.kind != watch.target.kind) continue;
    if (!Shows(watch.server, event)) {
      reached = event.version - 1;
      break;
    }
    AppendEvent(event, watch, out);
  }
  // No watch goes back, also not one that begins at what its server does not show yet.
  if (watch.bookmarks && watch.bookmarks_seen != bookmarks_ && reached >= watch.from) {
    out += EventLine("BOOKMARK", Bookmark(watch.target, reached).dump());
  }
  watch.bookmarks_seen = bookmarks_;
  return out;
}

// What is there, as if it had just come.
void FakeApiServer::AppendAll(const Watch& watch, const View& view, std::string& out) const {
  if (view.objects != nullptr) {
    for (const auto& [key, stored] : *view.objects) {
      AppendEvent({watch.target.kind, nullptr, stored, false, stored->version, {}}, watch, out);
    }
  }
  if (!watch.initial_end) return;
  Json end = Bookmark(watch.target, view.version);
  end["metadata"]["annotations"]["k8s.io/initial-events-end"] = "true";
  out += EventLine("BOOKMARK", end.dump());
}

// An object that begins to match a selector is ADDED, one that ceases to is DELETED as it was.
void FakeApiServer::AppendEvent(const Event& event, const Watch& watch, std::string& out) const {
  const Json& object = event.after->object;
  const std::string ns = object["metadata"].value("namespace", std::string());
  if (!watch.target.ns.empty() && ns != watch.target.ns) return;
  const bool before = event.before != nullptr && watch.selector.Matches(event.before->object);
  const bool after = !event.deleted && watch.selector.Matches(object);
  if (after) {
    out += EventLine(before ? "MODIFIED" : "ADDED",
                     watch.target.metadata_only ? MetadataText(object) : event.after->text);
  } else if (before) {
    Json last = event.before->object;
    last["metadata"]["resourceVersion"] = std::to_string(event.version);
    out += EventLine("DELETED", watch.target.metadata_only ? MetadataText(last) : last.dump());
  }
}

void FakeApiServer::SendBookmarks() {
  const std::scoped_lock lock(mutex_);
  ++bookmarks_;
  Changed();
}

void FakeApiServer::CloseWatches() {
  const std::scoped_lock lock(mutex_);
  ++closings_;
  Changed();
}

void FakeApiServer::HoldWatches(const std::string& plural) {
  const std::scoped_lock lock(mutex_);
  held_.insert(plural);
}

void FakeApiServer::ReleaseWatches() {
  const std::scoped_lock lock(mutex_);
  held_.clear();
  Changed();
}

// What a cache does not show yet it still has to.
void FakeApiServer::Compact() {
  const std::scoped_lock lock(mutex_);
  for (size_t server = 0; server < caches_.size(); ++server) {
    for (const auto& [kind, objects] : objects_) CacheOf(server, *kind);
  }
  const auto shown = [&](const auto& event) {
    for (size_t server = 0; server < caches_.size(); ++server) {
      if (!Shows(server, *event)) return false;
    }
    return true;
  };
  const auto keep = std::find_if_not(history_.begin(), history_.end(), shown);
  forgotten_ += static_cast<size_t>(keep - history_.begin());
  history_.erase(history_.begin(), keep);
  caches_from_ = forgotten_;
  pages_.clear();
  compacted_ = version_;
  Changed();
}

void FakeApiServer::Tick() {
  const std::scoped_lock lock(mutex_);
  Changed();
}

void FakeApiServer::SetChunkBytes(size_t bytes) {
  const std::scoped_lock lock(mutex_);
  chunk_bytes_ = bytes;
}

size_t FakeApiServer::open_watches() const {
  const std::scoped_lock lock(mutex_);
  return open_watches_;
}

}  // namespace spillway::support
