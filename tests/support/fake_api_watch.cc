// Lists and watches of the in-process API server.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
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

std::string EventLine(const char* type, const std::string& object) {
  return fmt::format("{{\"type\":\"{}\",\"object\":{}}}\n", type, object);
}

// In the order in which the real server writes a list of built-in kinds.
std::string ListText(const ServedKind& kind, int64_t version, const std::string& token, size_t left,
                     const std::vector<const std::string*>& items) {
  std::string text =
      fmt::format(R"({{"kind":"{}List","apiVersion":"{}","metadata":{{"resourceVersion":"{}")",
                  kind.kind, kind.ApiVersion(), version);
  if (!token.empty()) {
    text += fmt::format(R"(,"continue":"{}","remainingItemCount":{})", token, left);
  }
  text += R"(},"items":[)";
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += ',';
    text += *items[i];
  }
  return text + "]}";
}

HttpResponse Expired(const std::string& what) {
  return StatusAnswer(410, "Expired", what + " is too old; the history of it is gone");
}

Json TooOld() { return StatusObject(410, "Expired", "too old resource version"); }

// What makes a list's query wrong; nothing if it is right.
std::optional<std::string> WrongListQuery(const ApiTarget& target) {
  const bool versioned = !target.Query("resourceVersion").empty();
  const bool continued = !target.Query("continue").empty();
  if (continued && versioned)
    return "specifying resource version is not allowed when using continue";
  if (!target.Query("resourceVersionMatch").empty() && !versioned) {
    return "resourceVersionMatch is forbidden unless resourceVersion is provided";
  }
  if (!target.Query("sendInitialEvents").empty()) return "sendInitialEvents is forbidden for list";
  if (!ParseVersion(target.Query("resourceVersion"))) return "resourceVersion is no number";
  return std::nullopt;
}

}  // namespace

// --- lists ---

HttpResponse FakeApiServer::List(const ApiTarget& target) {
  if (const auto wrong = WrongListQuery(target)) return StatusAnswer(400, "BadRequest", *wrong);
  const std::string token = target.Query("continue");
  if (!token.empty()) {
    const auto pages = pages_.find(token);
    if (pages == pages_.end()) return Expired("the provided continue parameter");
    return ListPage(target, *pages->second);
  }
  const auto selector =
      Selector::Parse(target.Query("labelSelector"), target.Query("fieldSelector"));
  if (!selector) return StatusAnswer(400, "BadRequest", "a selector of a form not served here");
  if (*ParseVersion(target.Query("resourceVersion")) > version_) {
    HttpResponse answer = StatusAnswer(504, "Timeout",
                                       fmt::format("Too large resource version: {}, current: {}",
                                                   target.Query("resourceVersion"), version_));
    return answer;
  }
  Pages pages;
  pages.version = version_;
  for (const auto& [key, stored] : objects_[target.kind]) {
    const bool here = target.ns.empty() || key.starts_with(target.ns + "/");
    if (here && selector->Matches(stored->object)) pages.left.push_back(stored);
  }
  return ListPage(target, std::move(pages));
}

HttpResponse FakeApiServer::ListPage(const ApiTarget& target, Pages pages) {
  size_t limit = pages.left.size();
  const int64_t asked = ParseVersion(target.Query("limit")).value_or(0);
  if (asked > 0) limit = std::min(limit, static_cast<size_t>(asked));
  const auto cut = pages.left.begin() + static_cast<std::ptrdiff_t>(limit);
  const std::vector<Ptr> page(pages.left.begin(), cut);
  std::vector<const std::string*> items;
  items.reserve(page.size());
  for (const Ptr& one : page) items.push_back(&one->text);
  std::string token;
  pages.left.erase(pages.left.begin(), cut);
  const int64_t version = pages.version;
  const size_t left = pages.left.size();
  if (left > 0) {
    token = fmt::format("page-{}", next_id_++);
    pages_[token] = std::make_shared<Pages>(std::move(pages));
  }
  return JsonAnswer(200, ListText(*target.kind, version, token, left, items));
}

// --- watches ---

Result<HttpResponse> FakeApiServer::Stream(const kube::HttpRequest& request,
                                           const OnBytes& on_bytes, const std::stop_token& stop) {
  if (stop.stop_requested()) return Error{Code::kCancelled, "stopped before sending"};
  Watch watch;
  {
    const std::scoped_lock lock(mutex_);
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

std::optional<HttpResponse> FakeApiServer::OpenWatch(const LoggedRequest& request,
                                                     Watch& watch) const {
  auto target = ParseTarget(request.path);
  if (!target) {
    return StatusAnswer(404, "NotFound", "the server could not find the requested resource");
  }
  target->query = request.query;
  if (request.verb != "watch")
    return StatusAnswer(400, "BadRequest", "only watches are streams here");
  if (!target->Query("resourceVersionMatch").empty() ||
      !target->Query("sendInitialEvents").empty()) {
    return StatusAnswer(422, "Invalid", "streaming lists are not served here");
  }
  const auto selector =
      Selector::Parse(target->Query("labelSelector"), target->Query("fieldSelector"));
  const auto version = ParseVersion(target->Query("resourceVersion"));
  if (!selector || !version) return StatusAnswer(400, "BadRequest", "a wrong selector or version");
  watch.selector = *selector;
  watch.bookmarks = target->Query("allowWatchBookmarks") == "true";
  const bool from_nowhere = *version == 0;
  if (!from_nowhere && *version < compacted_) watch.failure = TooOld();
  watch.bookmarks_seen = bookmarks_;
  watch.closings_seen = closings_;
  const auto timeout = ParseVersion(target->Query("timeoutSeconds")).value_or(0);
  watch.deadline = clock_.Elapsed() + std::chrono::seconds(timeout > 0 ? timeout : 1800);
  const auto first = std::find_if(history_.begin(), history_.end(),
                                  [&](const auto& event) { return event->version > *version; });
  watch.next =
      forgotten_ + (from_nowhere ? history_.size() : static_cast<size_t>(first - history_.begin()));
  watch.target = *std::move(target);
  if (from_nowhere) AppendAll(watch, watch.first);
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
  for (; watch.next - forgotten_ < history_.size(); ++watch.next) {
    const Event& event = *history_[watch.next - forgotten_];
    if (event.kind == watch.target.kind) AppendEvent(event, watch, out);
  }
  if (watch.bookmarks && watch.bookmarks_seen != bookmarks_) {
    const Json bookmark = {{"kind", watch.target.kind->kind},
                           {"apiVersion", watch.target.kind->ApiVersion()},
                           {"metadata", {{"resourceVersion", std::to_string(version_)}}}};
    out += EventLine("BOOKMARK", bookmark.dump());
  }
  watch.bookmarks_seen = bookmarks_;
  return out;
}

// What is there, as if it had just come.
void FakeApiServer::AppendAll(const Watch& watch, std::string& out) const {
  const auto all = objects_.find(watch.target.kind);
  if (all == objects_.end()) return;
  for (const auto& [key, stored] : all->second) {
    AppendEvent({watch.target.kind, nullptr, stored, false, stored->version}, watch, out);
  }
}

// An object that begins to match a selector is ADDED, one that ceases to is DELETED as it was.
void FakeApiServer::AppendEvent(const Event& event, const Watch& watch, std::string& out) const {
  const Json& object = event.after->object;
  const std::string ns = object["metadata"].value("namespace", std::string());
  if (!watch.target.ns.empty() && ns != watch.target.ns) return;
  const bool before = event.before != nullptr && watch.selector.Matches(event.before->object);
  const bool after = !event.deleted && watch.selector.Matches(object);
  if (after) {
    out += EventLine(before ? "MODIFIED" : "ADDED", event.after->text);
  } else if (before) {
    Json last = event.before->object;
    last["metadata"]["resourceVersion"] = std::to_string(event.version);
    out += EventLine("DELETED", last.dump());
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

void FakeApiServer::Compact() {
  const std::scoped_lock lock(mutex_);
  forgotten_ += history_.size();
  history_.clear();
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
