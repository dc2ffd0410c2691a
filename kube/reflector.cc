#include "kube/reflector.h"

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

#include "base/heap.h"
#include "kube/list_page.h"
#include "kube/look.h"
#include "kube/object_key.h"

namespace spillway::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr milliseconds kFirstDelay{800};
constexpr milliseconds kLongestDelay{30'000};
constexpr seconds kForgetDelays{120};
constexpr seconds kLongestRetryAfter{300};
constexpr int kPage = 500;
constexpr int64_t kShortestTimeout = 300;  // of a watch, in seconds; the longest is twice that
constexpr seconds kShortWatch{1};
// A close that comes sooner than asked is the end of a server, which all its clients see at once.
constexpr seconds kEarly{1};
constexpr int64_t kSpreadMillis = 1000;
// Bookmarks come about once a minute: three of them missing means that the connection is dead.
constexpr seconds kSilence{200};
// A streamed list is given up after so long without a byte, or without an object or its end.
constexpr seconds kStreamSilence{15};
constexpr seconds kStreamStall{10};
constexpr seconds kLongestStream{120};
constexpr int kUnreached = 3;  // streams that end before anything came, until a list is tried
constexpr const char* kEndOfList = "k8s.io/initial-events-end";
// Watches that the server fails to serve, in a row, until a list shows what they would have told.
constexpr int kFailedWatches = 3;
// Of reading what the server has, and as much more for each page of what is held here.
constexpr seconds kLongestLook{20};
constexpr milliseconds kLongestLookPage{200};
constexpr const char* kUnread = "an object could not be read";
constexpr size_t kLongestLine = size_t{16} << 20;

void WaitFor(milliseconds delay, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, delay, [] { return false; });
}

// What both transports say of a body that is longer than it may be.
bool IsTooLong(const Error& error) {
  return error.code == Code::kInternal &&
         error.message.find("the answer is longer than") != std::string::npos;
}

// A list that has not come after so long is too much at once for the wire, or for the server: as
// a whole it would not come the next time either. So it looks, too, where a connection dies within
// a list, and pages do no harm then.
constexpr seconds kSlowList{30};

bool IsTooMuchAtOnce(const Error& error, nanoseconds took) {
  const bool unanswered = error.http_status == 0 || error.http_status == 504;
  return IsTooLong(error) || (unanswered && took >= kSlowList);
}

// The server says that it failed; neither overload, which asks for patience, nor a connection that
// broke.
bool IsFailure(const Error& error) { return error.http_status >= 500 && error.http_status != 503; }

bool IsExpired(const Error& error) {
  return error.code == Code::kGone || error.reason == "Expired" || error.reason == "Gone";
}

// Cuts a stream of bytes into lines, whatever the pieces they come in.
class LineReader {
 public:
  // Calls on_line(std::string&) for each whole line that is not empty, without its end; stops early
  // and returns false when that does, or when a line gets too long. What is after the last newline
  // waits for the rest of it.
  template <class OnLine>
  bool Feed(std::string_view bytes, OnLine&& on_line) {
    while (!bytes.empty()) {
      const size_t end = bytes.find('\n');
      const std::string_view piece = bytes.substr(0, end);
      if (line_.size() + piece.size() > kLongestLine) {
        too_long_ = true;
        return false;
      }
      line_ += piece;
      if (end == std::string_view::npos) return true;
      bytes.remove_prefix(end + 1);
      const bool more = line_.empty() || on_line(line_);
      line_.clear();
      if (!more) return false;
    }
    return true;
  }
  [[nodiscard]] bool too_long() const { return too_long_; }

 private:
  std::string line_;  // as far as it has come
  bool too_long_ = false;
};

// What of a watch event is read before its object goes to the sink. An ERROR's object is a Status.
struct EventHeader {
  std::string type;
  std::string api_version;
  std::string kind;
  Identity meta;
  int code = 0;
  std::string reason;
  std::string message;
  bool too_large = false;  // the version that was asked for
  std::optional<int> retry_after;
};

bool IsThere(std::string_view type) { return type == "ADDED" || type == "MODIFIED"; }

Status ReadCauses(JsonValue causes, EventHeader& out) {
  return VisitArray(causes, [&](JsonValue cause) -> Status {
    std::string reason;
    Status done = VisitObject(cause, [&](std::string_view key, JsonValue value) -> Status {
      return key == "reason" ? Read(value, reason) : Ok{};
    });
    if (reason == kVersionTooLarge) out.too_large = true;
    return done;
  });
}

Status ReadStatusField(std::string_view key, JsonValue value, EventHeader& out) {
  if (key == "code") return Read(value, out.code);
  if (key == "reason") return Read(value, out.reason);
  if (key == "message") return Read(value, out.message);
  if (key != "details") return Ok{};
  return VisitObject(value, [&](std::string_view name, JsonValue inner) -> Status {
    if (name == "retryAfterSeconds") return Read(inner, out.retry_after);
    return name == "causes" ? ReadCauses(inner, out) : Ok{};
  });
}

enum class Extent { kIdentity, kLine };

// kIdentity: of an object that is there, most of the line is the sink's to read, and this reads no
// further than its version.
Status ReadHeader(JsonValue root, bool namespaced, Extent extent, EventHeader& out) {
  const auto enough = [&] {
    return extent == Extent::kIdentity && IsThere(out.type) && !out.kind.empty() &&
           !out.api_version.empty() && out.meta.IsWhole(namespaced);
  };
  const auto in_metadata = [&](std::string_view key, JsonValue value) {
    return ReadIdentityField(key, value, out.meta);
  };
  const auto in_object = [&](std::string_view key, JsonValue value) -> Status {
    if (key == "apiVersion") return Read(value, out.api_version);
    if (key == "kind") return Read(value, out.kind);
    if (key == "metadata") return VisitObjectUntil(value, in_metadata, enough);
    // Other kinds have fields of these names too, of any type.
    (void)ReadStatusField(key, value, out);
    return Ok{};
  };
  const auto in_event = [&](std::string_view key, JsonValue value) -> Status {
    if (key == "type") return Read(value, out.type);
    return key == "object" ? VisitObjectUntil(value, in_object, enough) : Ok{};
  };
  return VisitObjectUntil(root, in_event, enough);
}

// The server lost history (etcd was restored from a backup): what we know is of another one.
Error WentBack(const std::string& from, const std::string& to) {
  Error error{Code::kGone, "the server went back from version " + from + " to " + to};
  error.reason = "Expired";
  return error;
}

Error StatusError(const EventHeader& header) {
  Error error{Code::kInternal, header.message};
  error.reason = header.too_large ? kVersionTooLarge : header.reason;
  error.http_status = header.code;
  if (header.code == 410) error.code = Code::kGone;
  if (header.code == 429 || header.code >= 500) error.code = Code::kUnavailable;
  if (header.retry_after) error.retry_after = seconds(std::max(*header.retry_after, 0));
  return error;
}

}  // namespace

milliseconds Backoff::Next(nanoseconds now) {
  if (next_ == milliseconds(0) || now - used_ >= kForgetDelays) next_ = kFirstDelay;
  used_ = now;
  const milliseconds base = next_;
  next_ = std::min(2 * next_, kLongestDelay);
  return base + milliseconds(static_cast<int64_t>(random_() % static_cast<uint64_t>(base.count())));
}

// One state at a time; a Step does its work, blocking, and says what comes next.
class Reflector::Machine {
 public:
  Machine(Reflector& owner, const std::stop_token& stop)
      : owner_(owner),
        options_(owner.options_),
        stop_(stop),
        random_(options_.seed),
        backoff_(options_.seed + 1),
        streams_(options_.stream_lists) {
    PlanCheck();
  }

  void Run() {
    State state = Listing{"0", "start"};
    while (!stop_.stop_requested()) {
      state = std::visit([this](auto& current) { return Step(current); }, state);
    }
  }

 private:
  struct Listing {
    std::string version;      // not older than; "": the newest there is; "0": whatever is at hand
    std::string_view reason;  // why: start, expired, error, idle, differs
  };
  struct Watching {
    std::string version;
  };
  struct Waiting {
    milliseconds delay;
    std::variant<Listing, Watching> next;
  };
  using State = std::variant<Listing, Watching, Waiting>;

  // What one watch has seen.
  struct Session {
    std::string version;  // of the last event
    int64_t events = 0;
    nanoseconds started{0};
    nanoseconds last_byte{0};
    std::optional<Error> error;  // why we ended it
    bool differs = false;        // likewise: the store has other objects than the server
    bool lists = false;          // what comes is a list, as far as it has come
    bool listed = false;         // to its end
    bool heard = false;          // something came
    nanoseconds last_item{0};
    LineReader lines;
  };
  using OnItem = std::function<Status(JsonValue)>;

  State Step(const Listing& listing);
  State Step(const Watching& watching);
  State Step(const Waiting& waiting);

  [[nodiscard]] bool ListsFailToo(const Listing& listing, const Error& error) const;
  Result<std::string> List(const std::string& version);
  Result<std::string> ListAll(const std::string& version);
  Result<std::string> StreamList(const std::string& version);
  Result<std::string> ListWhereNoStreamComes(const std::string& version);
  void StreamsNoLonger(const std::string& because);
  bool GoesOnStreaming(const Error& error, const Session& session);
  Result<std::string> ListPages(ListOptions& query);

  void PlanCheck();
  void BeginLook(const std::string& version);
  [[nodiscard]] bool AgreesAt(const std::string& version);
  [[nodiscard]] bool Agrees(const Result<Look::Sample>& there) const;
  void CheckSkipped(const std::string& why) const;

  [[nodiscard]] WatchOptions WatchQuery(const std::string& version);
  bool OnBytes(std::string_view bytes, Session& session);
  // False, of these and what follows: the watch ends here.
  bool OnLine(std::string& line, Session& session);
  bool OnObject(std::string& line, const EventHeader& header, Session& session);
  bool OnListed(std::string& line, const EventHeader& header, Session& session);
  bool IsEndOfList();
  bool TakeListed(std::string& line, const EventHeader& header, Session& session);
  bool Take(std::string& line, const EventHeader& header, Session& session);
  Status ReadLine(std::string& line, Extent extent, EventHeader& header);
  bool IsNoJson(std::string& line, Session& session);
  // Hands the event's object on, from the text that was parsed for the header.
  Status WithObject(const OnItem& use);
  State AfterClose(const Session& session, seconds timeout);
  State AfterError(const Session& session, const Error& error, bool idle);
  State AfterExpiry(const Session& session);

  Waiting WaitThen(std::variant<Listing, Watching> next, const Error* error);
  void Ended(std::string_view reason) const {
    if (options_.hooks.watch_ended) options_.hooks.watch_ended(reason);
  }
  void BadObject(Error error) const;

  Reflector& owner_;
  const Options& options_;
  const std::stop_token& stop_;
  std::mt19937_64 random_;
  Backoff backoff_;
  JsonParser parser_;           // of watch events: of the line at hand
  bool bookmarks_ = false;      // this server sends them
  bool pages_always_ = false;   // lists with a version come in pages too
  nanoseconds list_took_{0};    // the last request for a list, or a page of one
  bool streams_ = false;        // lists are streamed
  bool cut_short_ = false;      // the last one broke off
  int unreached_ = 0;           // so many in a row ended before anything came
  bool expired_again_ = false;  // the last watch expired at once, or before it brought anything
  bool at_once_ = false;        // the server closed the last watch within a second
  bool silent_ = false;         // the last watch ended for its silence
  int failed_ = 0;              // watches that the server failed to serve since one that it served
  nanoseconds check_at_{0};
  std::optional<Look> look_;  // under way, or to be held against the store when that is as far
};

// --- listing ---

Reflector::Machine::State Reflector::Machine::Step(const Listing& listing) {
  look_.reset();
  const Result<std::string> version = List(listing.version);
  if (version) {
    failed_ = 0;
    GiveBackFreeHeap();  // a list takes many times what is kept of it
    if (options_.hooks.listed) options_.hooks.listed(listing.reason);
    return Watching{*version};
  }
  const Error& error = version.error();
  if (stop_.stop_requested()) return listing;
  owner_.log_.Warn("list failed", {{"resource", options_.resource.plural},
                                   {"code", CodeName(error.code)},
                                   {"error", error.message}});
  // A version that the server no longer or not yet has: take what it has, at once, one time.
  if (!listing.version.empty() && (IsExpired(error) || IsAhead(error))) {
    return Listing{"", "expired"};
  }
  const bool too_much = !streams_ && IsTooMuchAtOnce(error, list_took_);
  // It would fail the same way each time: ask for pages. To "0" a watch cache answers with the
  // whole list, whatever the limit; of the newest it has pages.
  if (too_much) pages_always_ = true;
  if (ListsFailToo(listing, error)) {
    failed_ = 0;
    return WaitThen(Watching{listing.version}, &error);
  }
  if (too_much && listing.version == "0") {
    if (IsTooLong(error)) return Listing{"", listing.reason};
    return WaitThen(Listing{"", listing.reason}, &error);
  }
  return WaitThen(Listing{listing.version, listing.reason}, &error);
}

// Of a list that was tried as watches failed: so it is the whole server, and once that is back the
// next watch has all.
bool Reflector::Machine::ListsFailToo(const Listing& listing, const Error& error) const {
  return failed_ >= kFailedWatches && error.code == Code::kUnavailable && !listing.version.empty();
}

Result<std::string> Reflector::Machine::List(const std::string& version) {
  // A stream is a watch itself, and would fail as those do.
  if (!streams_ || failed_ >= kFailedWatches) return ListAll(version);
  if (unreached_ >= kUnreached) return ListWhereNoStreamComes(version);
  Result<std::string> listed = StreamList(version);
  if (listed || streams_ || stop_.stop_requested()) return listed;
  StreamsNoLonger(listed.error().message);
  return ListAll(version);
}

void Reflector::Machine::StreamsNoLonger(const std::string& because) {
  streams_ = false;
  owner_.log_.Warn("lists are streamed no longer",
                   {{"resource", options_.resource.plural}, {"error", because}});
}

// Several streams ended before their first byte. An ordinary list tells whether the server is away,
// or something before it that takes streams for nothing.
Result<std::string> Reflector::Machine::ListWhereNoStreamComes(const std::string& version) {
  unreached_ = 0;
  Result<std::string> listed = ListAll(version);
  if (listed) StreamsNoLonger("nothing comes of a stream, but a list does");
  return listed;
}

// A whole list as the first events of a watch, which ends with it: what goes on for long is asked
// for anew, and may be silent for longer.
Result<std::string> Reflector::Machine::StreamList(const std::string& version) {
  WatchOptions query = WatchQuery(version);
  query.idle_deadline = kStreamSilence;
  query.initial_events = true;
  Session session;
  session.lists = true;
  session.started = session.last_byte = session.last_item = owner_.clock_.Elapsed();
  owner_.sink_.BeginList();
  Status done = owner_.client_.Watch(
      options_.resource, query, [&](std::string_view bytes) { return OnBytes(bytes, session); },
      stop_);
  if (session.heard || (!done && done.error().http_status != 0)) unreached_ = 0;
  if (session.listed) {
    cut_short_ = false;
    return session.version;
  }
  if (session.error) done = *session.error;
  if (done) {
    streams_ = !std::exchange(cut_short_, true);
    return Error{Code::kUnavailable, "the server ended a streamed list before its end"};
  }
  streams_ = GoesOnStreaming(done.error(), session);
  return std::move(done).error();
}

// Is it worth asking for another stream? Not of a server that refuses them, or that falls silent
// within one; nor once two have broken off in a row.
bool Reflector::Machine::GoesOnStreaming(const Error& error, const Session& session) {
  constexpr int kNotYet[] = {401, 404, 429};  // credentials, or the kind, may come; load passes
  if (IsExpired(error) || IsAhead(error)) return true;
  if (std::ranges::find(kNotYet, error.http_status) != std::end(kNotYet)) return true;
  if (error.code != Code::kUnavailable && error.http_status < 500) return false;
  const bool silent = owner_.clock_.Elapsed() - session.last_byte >= kStreamSilence;
  if (silent && session.heard) return false;
  // Who cannot be reached at all has said nothing of streams.
  if (!silent && !session.heard && error.http_status == 0) {
    ++unreached_;
    return true;
  }
  return !std::exchange(cut_short_, true);
}

// A whole list, in pages where the server serves them from its cache: with a version other than "0"
// an old server would read pages from etcd.
Result<std::string> Reflector::Machine::ListAll(const std::string& version) {
  ListOptions query;
  query.label_selector = options_.label_selector;
  query.field_selector = options_.field_selector;
  query.resource_version = version;
  query.limit = version.empty() || version == "0" || pages_always_ ? kPage : 0;
  Result<std::string> listed = ListPages(query);
  if (!listed && IsExpired(listed.error()) && !query.continue_token.empty()) {
    // The history ended between two pages: all at once cannot lose a race with it.
    query.continue_token.clear();
    query.resource_version = version;
    query.limit = 0;
    listed = ListPages(query);
  }
  return listed;
}

// Pages from `query` on; leaves in it what the last request was.
Result<std::string> Reflector::Machine::ListPages(ListOptions& query) {
  JsonParser parser;  // of its own: its buffers are as large as the list
  owner_.sink_.BeginList();
  int64_t items = 0;
  while (true) {
    const nanoseconds began = owner_.clock_.Elapsed();
    Result<std::string> body = owner_.client_.List(options_.resource, query, stop_);
    list_took_ = owner_.clock_.Elapsed() - began;
    if (!body) return std::move(body).error();
    Result<ListPage> page = ReadListPage(*body, parser, [&](JsonValue item) -> Status {
      if (Status done = owner_.sink_.ListItem(item); !done) BadObject(std::move(done).error());
      return Ok{};
    });
    if (!page) return std::move(page).error();
    if (Status good = CheckKind(*page, options_.resource, false); !good) {
      if (options_.hooks.bad_object) options_.hooks.bad_object(good.error());
      return std::move(good).error();
    }
    items += page->items;
    if (page->next.empty()) {
      owner_.sink_.EndList(page->version);
      owner_.log_.Debug(
          "listed",
          {{"resource", options_.resource.plural}, {"objects", items}, {"version", page->version}});
      return page->version;
    }
    // A cache would have answered "0" at once: this server has none, so pages cost it nothing more.
    if (query.resource_version == "0") pages_always_ = true;
    query.continue_token = page->next;
    query.resource_version.clear();
  }
}

// --- does the store have what the server has? ---

void Reflector::Machine::PlanCheck() {
  const auto every = static_cast<uint64_t>(options_.check_every.count());
  check_at_ = owner_.clock_.Elapsed() + options_.check_every +
              seconds(static_cast<int64_t>(random_() % every));
}

// `version`: of the store. One that waits for the store to come as far is given up for it.
void Reflector::Machine::BeginLook(const std::string& version) {
  PlanCheck();
  if (look_ && look_->Answer() == nullptr) return;
  look_.reset();
  const std::optional<Contents> held = owner_.sink_.Held();
  if (!held) {
    CheckSkipped(kUnread);
    return;
  }
  look_.emplace(owner_.client_, owner_.clock_,
                Look::Options{.resource = options_.resource,
                              .label_selector = options_.label_selector,
                              .field_selector = options_.field_selector,
                              .longest = kLongestLook + held->Objects() / kPage * kLongestLookPage,
                              .from = version,
                              .beside = options_.look_beside_watch});
}

// Is what a look has found in the store, which is at `version`? True as well where there is nothing
// yet to compare.
bool Reflector::Machine::AgreesAt(const std::string& version) {
  const Result<Look::Sample>* there = look_ ? look_->Answer() : nullptr;
  if (there == nullptr) return true;
  if (*there && NewerVersion(look_->From(), (*there)->version)) {  // the server lost history
    owner_.log_.Warn("the store is ahead of the server", {{"resource", options_.resource.plural},
                                                          {"version", (*there)->version},
                                                          {"held", look_->From()}});
    look_.reset();
    return false;
  }
  if (*there && NewerVersion((*there)->version, version)) return true;
  const bool agrees = Agrees(*there);
  look_.reset();
  return agrees;
}

// REQUIRES that the store has come as far as what is there.
bool Reflector::Machine::Agrees(const Result<Look::Sample>& there) const {
  if (!there) {
    if (!stop_.stop_requested()) CheckSkipped(there.error().message);
    return true;
  }
  const std::optional<Contents> held = owner_.sink_.Held();
  if (!held) CheckSkipped(kUnread);
  if (!held || look_->Agrees(*held)) return true;
  owner_.log_.Warn("the store differs from the server", {{"resource", options_.resource.plural},
                                                         {"version", there->version},
                                                         {"held", held->Objects()},
                                                         {"there", there->contents.Objects()}});
  return false;
}

void Reflector::Machine::CheckSkipped(const std::string& why) const {
  owner_.log_.Info("check skipped", {{"resource", options_.resource.plural}, {"error", why}});
  if (options_.hooks.check_skipped) options_.hooks.check_skipped();
}

// --- watching ---

WatchOptions Reflector::Machine::WatchQuery(const std::string& version) {
  WatchOptions query;
  query.label_selector = options_.label_selector;
  query.field_selector = options_.field_selector;
  query.resource_version = version;
  query.timeout = seconds(kShortestTimeout + static_cast<int64_t>(random_() % kShortestTimeout));
  query.idle_deadline = kSilence;
  return query;
}

Reflector::Machine::State Reflector::Machine::Step(const Watching& watching) {
  if (owner_.clock_.Elapsed() >= check_at_) BeginLook(watching.version);
  if (!AgreesAt(watching.version)) return Listing{"", "differs"};
  const WatchOptions query = WatchQuery(watching.version);
  Session session;
  session.version = watching.version;
  session.started = session.last_byte = owner_.clock_.Elapsed();
  const Status done = owner_.client_.Watch(
      options_.resource, query, [&](std::string_view bytes) { return OnBytes(bytes, session); },
      stop_);
  if (stop_.stop_requested()) return Watching{session.version};
  const bool lived = owner_.clock_.Elapsed() - session.started >= kShortWatch;
  if (session.events > 0) {
    silent_ = false;
    failed_ = 0;
  }
  if (session.events > 0 && lived) expired_again_ = false;
  if (session.differs) {
    Ended("differs");
    return Listing{"", "differs"};
  }
  // What stands after the last newline is lost with the connection; the next watch brings it again.
  if (session.error) return AfterError(session, *session.error, false);
  if (done) return AfterClose(session, query.timeout);
  const bool idle = owner_.clock_.Elapsed() - session.last_byte >= query.idle_deadline;
  return AfterError(session, done.error(), idle);
}

bool Reflector::Machine::OnBytes(std::string_view bytes, Session& session) {
  session.last_byte = owner_.clock_.Elapsed();
  session.heard = true;
  if (options_.hooks.event) options_.hooks.event();
  const bool more =
      session.lines.Feed(bytes, [&](std::string& line) { return OnLine(line, session); });
  if (session.lines.too_long()) {
    session.error = Error{Code::kInternal, "a watch event is longer than 16 MiB"};
  }
  return more && !stop_.stop_requested();
}

bool Reflector::Machine::OnLine(std::string& line, Session& session) {
  EventHeader header;
  if (Status read = ReadLine(line, Extent::kIdentity, header); !read) {
    // No line of a healthy server: drop the connection and ask again from the last good event.
    session.error = std::move(read).error();
    return false;
  }
  if (header.type == "ERROR") {
    session.error = StatusError(header);
    return false;
  }
  if (!IsThere(header.type) && header.type != "DELETED" && header.type != "BOOKMARK") {
    owner_.log_.Warn("unknown watch event passed over",
                     {{"resource", options_.resource.plural}, {"type", header.type}});
    return true;
  }
  if (header.kind != options_.resource.kind ||
      !IsApiVersionOf(options_.resource, header.api_version) ||
      header.meta.resource_version.empty()) {
    BadObject(Error{Code::kInvalid, "a watch on " + options_.resource.kind + " brought kind \"" +
                                        header.kind + "\" of \"" + header.api_version +
                                        "\" at version \"" + header.meta.resource_version + "\""});
    return true;
  }
  return session.lists ? OnListed(line, header, session) : OnObject(line, header, session);
}

Status Reflector::Machine::ReadLine(std::string& line, Extent extent, EventHeader& header) {
  const auto no_json = [](std::string_view why) {
    return Error{Code::kUnavailable, "a watch event is no JSON: " + std::string(why)};
  };
  Result<JsonValue> root = parser_.ParseInPlace(line);
  if (!root) return no_json(root.error().message);
  const Status read = ReadHeader(*root, options_.resource.namespaced, extent, header);
  if (!read) return no_json(read.error().message);
  // Among what ReadHeader passes over may have been the end of what is JSON.
  const Result<JsonValue> whole = parser_.Again();
  return whole ? Status(Ok{}) : no_json(whole.error().message);
}

// Of a line whose object could not be read: are its brackets none of JSON either? Then a list makes
// good what may have been read of it; else it is one bad object.
bool Reflector::Machine::IsNoJson(std::string& line, Session& session) {
  EventHeader unused;
  Status read = ReadLine(line, Extent::kLine, unused);
  if (read) return false;
  session.error = std::move(read).error();
  if (!session.lists) session.error->code = Code::kInternal;
  return true;
}

// False: the list is whole, or does not come to its end, or the event is no JSON.
bool Reflector::Machine::OnListed(std::string& line, const EventHeader& header, Session& session) {
  const nanoseconds now = owner_.clock_.Elapsed();
  if (header.type == "BOOKMARK" && IsEndOfList()) {
    session.listed = true;
    session.version = header.meta.resource_version;
    owner_.sink_.EndList(session.version);
    return false;
  }
  if (header.type == "ADDED") session.last_item = now;
  if (now - session.last_item >= kStreamStall || now - session.started >= kLongestStream) {
    session.error = Error{Code::kInternal, "a streamed list does not come to its end"};
    return false;
  }
  return TakeListed(line, header, session);
}

bool Reflector::Machine::IsEndOfList() {
  ObjectMeta meta;
  const MetaFilter one{.labels = false, .prefix = kEndOfList};
  const Status read = WithObject([&](JsonValue object) -> Status {
    return VisitObject(object, [&](std::string_view key, JsonValue value) -> Status {
      return key == "metadata" ? DecodeMeta(value, meta, one) : Ok{};
    });
  });
  const auto end = meta.annotations.find(kEndOfList);
  return read && end != meta.annotations.end() && end->second == "true";
}

bool Reflector::Machine::TakeListed(std::string& line, const EventHeader& header,
                                    Session& session) {
  if (header.type == "BOOKMARK") return true;
  if (header.type == "DELETED") {
    owner_.sink_.ListGone(Key(header.meta));
    return true;
  }
  Status done = WithObject([this](JsonValue object) { return owner_.sink_.ListItem(object); });
  if (done) return true;
  if (IsNoJson(line, session)) return false;
  BadObject(std::move(done).error().While(Key(header.meta)));
  return true;
}

// False: the store turned out to differ from the server, or the event is no JSON.
bool Reflector::Machine::OnObject(std::string& line, const EventHeader& header, Session& session) {
  const std::string& version = header.meta.resource_version;
  if (NewerVersion(session.version, version)) {
    session.error = WentBack(session.version, version);
    return false;
  }
  if (!Take(line, header, session)) return false;
  session.version = version;
  ++session.events;
  if (look_ && header.type != "BOOKMARK") look_->Touch(Key(header.meta), version);
  session.differs = !AgreesAt(version);
  return !session.differs;
}

bool Reflector::Machine::Take(std::string& line, const EventHeader& header, Session& session) {
  const std::string& version = header.meta.resource_version;
  if (header.type == "BOOKMARK") {
    bookmarks_ = true;
    owner_.sink_.Bookmark(version);
    return true;
  }
  const bool gone = header.type == "DELETED";
  Status done = WithObject([&](JsonValue object) {
    return gone ? owner_.sink_.Delete(object) : owner_.sink_.Upsert(object);
  });
  if (done) return true;
  if (IsNoJson(line, session)) return false;
  BadObject(std::move(done).error().While(Key(header.meta)));
  // Whoever waits for this version must not wait for ever.
  owner_.sink_.Bookmark(version);
  return true;
}

Status Reflector::Machine::WithObject(const OnItem& use) {
  Result<JsonValue> root = parser_.Again();
  if (!root) return std::move(root).error();
  std::optional<Status> used;
  const auto in_event = [&](std::string_view key, JsonValue value) -> Status {
    if (key == "object") used = use(value);
    return Ok{};
  };
  Status read = VisitObjectUntil(*root, in_event, [&] { return used.has_value(); });
  if (!read) return read;
  return used ? *std::move(used) : Status(JsonError("has no object"));
}

// --- after a watch ---

Reflector::Machine::State Reflector::Machine::AfterClose(const Session& session, seconds timeout) {
  Ended("timeout");
  const nanoseconds lived = owner_.clock_.Elapsed() - session.started;
  const bool at_once = lived < kShortWatch;
  const bool again = std::exchange(at_once_, at_once);
  if (!at_once) failed_ = 0;
  if (at_once && (session.events == 0 || again)) {
    return WaitThen(Watching{session.version}, nullptr);
  }
  if (lived >= timeout - kEarly) return Watching{session.version};
  const auto spread = static_cast<int64_t>(random_() % kSpreadMillis);
  return Waiting{milliseconds(spread), Watching{session.version}};
}

Reflector::Machine::State Reflector::Machine::AfterError(const Session& session, const Error& error,
                                                         bool idle) {
  if (IsExpired(error) || IsAhead(error)) return AfterExpiry(session);
  Ended(idle ? "idle" : "error");
  owner_.log_.Info("watch ended", {{"resource", options_.resource.plural},
                                   {"code", CodeName(error.code)},
                                   {"error", error.message}});
  if (idle) {
    // A connection may die once. A server that lost history has nothing to say to who is ahead of
    // it, not even bookmarks; asked for a list, it tells. One that never sent any may be just
    // quiet.
    if (!bookmarks_ || !std::exchange(silent_, !silent_)) return Watching{session.version};
    return Listing{session.version, "idle"};
  }
  // What the server wrote and is no event is its failure too.
  const bool no_event = session.error && error.http_status == 0;
  if (session.events == 0 && (no_event || IsFailure(error))) ++failed_;
  if (error.code == Code::kUnavailable && failed_ < kFailedWatches) {
    return WaitThen(Watching{session.version}, &error);
  }
  return WaitThen(Listing{session.version, "error"}, &error);
}

Reflector::Machine::State Reflector::Machine::AfterExpiry(const Session& session) {
  Ended("expired");
  Listing next{session.version, "expired"};
  // Once is the ordinary case; twice without an event between is a server that would be hammered.
  if (std::exchange(expired_again_, true)) return WaitThen(next, nullptr);
  return next;
}

// --- waiting ---

Reflector::Machine::State Reflector::Machine::Step(const Waiting& waiting) {
  if (options_.wait) {
    options_.wait(waiting.delay, stop_);
  } else {
    WaitFor(waiting.delay, stop_);
  }
  return std::visit([](const auto& next) { return State(next); }, waiting.next);
}

Reflector::Machine::Waiting Reflector::Machine::WaitThen(std::variant<Listing, Watching> next,
                                                         const Error* error) {
  milliseconds delay = backoff_.Next(owner_.clock_.Elapsed());
  if (error != nullptr && error->retry_after) {
    delay = std::max<milliseconds>(delay, std::min(*error->retry_after, kLongestRetryAfter));
  }
  return Waiting{delay, std::move(next)};
}

void Reflector::Machine::BadObject(Error error) const {
  owner_.log_.Error("object passed over",
                    {{"resource", options_.resource.plural}, {"error", error.message}});
  if (options_.hooks.bad_object) options_.hooks.bad_object(error);
}

Reflector::Reflector(Client& client, Clock& clock, Log& log, ObjectSink& sink, Options options)
    : client_(client), clock_(clock), log_(log), sink_(sink), options_(std::move(options)) {}

void Reflector::Run(const std::stop_token& stop) { Machine(*this, stop).Run(); }

}  // namespace spillway::kube
