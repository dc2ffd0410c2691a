#include "kube/reflector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"

namespace spillway::kube {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using support::FakeApiServer;
using support::FakeClock;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

// The facts of the kind that these tests watch.
struct Thing {
  ObjectMeta meta;
  int64_t size = 0;
  bool operator==(const Thing&) const = default;
};

Status DecodeThing(JsonValue value, Thing& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "metadata") return DecodeMeta(inner, out.meta, {});
    if (key != "spec") return Ok{};
    return VisitObject(inner, [&](std::string_view name, JsonValue size) -> Status {
      return name == "workers" ? Read(size, out.size) : Ok{};
    });
  });
}

const Resource& Things() {
  static const Resource kThings{"spillway.dev", "v1alpha1", "trainingpools", "TrainingPool", true};
  return kThings;
}

json Object(const std::string& name, int version, const json& size = 1) {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "TrainingPool"},
          {"metadata",
           {{"name", name}, {"namespace", "ns"}, {"resourceVersion", std::to_string(version)}}},
          {"spec", {{"workers", size}}}};
}
// In the order in which API servers write it.
std::string Event(const std::string& type, const json& object) {
  return R"({"type":)" + json(type).dump() + R"(,"object":)" + object.dump() + "}\n";
}
std::string Bookmark(int version) {
  return Event("BOOKMARK", {{"kind", "TrainingPool"},
                            {"metadata", {{"resourceVersion", std::to_string(version)}}}});
}
std::string ErrorEvent(int code, const std::string& reason, int retry_after = 0) {
  json status = support::StatusObject(code, reason, "told so");
  if (retry_after > 0) status["details"]["retryAfterSeconds"] = retry_after;
  return Event("ERROR", status);
}
std::string ListBody(int version, const std::vector<json>& items, const std::string& next = "") {
  json list = {{"kind", "TrainingPoolList"},
               {"metadata", {{"resourceVersion", std::to_string(version)}}},
               {"items", items}};
  if (!next.empty()) list["metadata"]["continue"] = next;
  return list.dump();
}

// What the server does with one request.
struct Act {
  int status = 200;
  std::string body{};
  std::optional<Error> error{};      // in place of an end, after the body
  size_t piece = std::string::npos;  // of the body
  // Of a watch; not given: as long as asked, or a minute if it breaks off.
  std::optional<milliseconds> lasts{};
  milliseconds takes{0};  // of a list, or between two pieces of a watch
};
Act Refuse(int status, const std::string& reason, const std::string& message = "told so") {
  return {.status = status, .body = support::StatusObject(status, reason, message).dump()};
}
// The server has not come to the version that was asked for.
json NotThereYetStatus() {
  json status = support::StatusObject(504, "Timeout", "told so");
  status["details"]["causes"] = {{{"reason", "ResourceVersionTooLarge"}}};
  return status;
}
Act NotThereYet() { return {.status = 504, .body = NotThereYetStatus().dump()}; }
Act Reset(const std::string& body = "") {
  return {.body = body, .error = Error{Code::kUnavailable, "connection reset"}};
}

// Plays one act after the other; asked for more, it stops the reflector.
class ScriptedTransport final : public Transport {
 public:
  ScriptedTransport(FakeClock& clock, std::deque<Act> acts, std::stop_source stop)
      : clock_(clock), acts_(std::move(acts)), stop_(std::move(stop)) {}

  Result<HttpResponse> Send(const HttpRequest& request, const std::stop_token&) override {
    const auto act = Next(request);
    if (!act) return Error{Code::kCancelled, "stopped"};
    clock_.Advance(act->takes);
    if (act->error) return *act->error;
    return support::JsonAnswer(act->status, act->body);
  }
  Result<HttpResponse> Stream(const HttpRequest& request, const OnBytes& on_bytes,
                              const std::stop_token&) override {
    const auto act = Next(request);
    if (!act) return Error{Code::kCancelled, "stopped"};
    if (act->status != 200) return support::JsonAnswer(act->status, act->body);
    for (size_t at = 0; at < act->body.size(); at += act->piece) {
      if (!on_bytes(std::string_view(act->body).substr(at, act->piece))) {
        return support::JsonAnswer(200, "");
      }
      if (act->piece == std::string::npos) break;
      clock_.Advance(act->takes);
    }
    const auto target = support::ParseTarget(request.target);
    const seconds timeout(std::stoi(target->Query("timeoutSeconds")));
    clock_.Advance(act->lasts.value_or(act->error ? seconds(60) : timeout));
    if (act->error) return *act->error;
    return support::JsonAnswer(200, "");
  }

  // "list rv=0 limit=500", "watch rv=5", "stream rv=0" (a watch that begins with a list).
  std::vector<std::string> asked;
  std::vector<HttpRequest> requests;

 private:
  std::optional<Act> Next(const HttpRequest& request) {
    if (acts_.empty()) {
      stop_.request_stop();
      return std::nullopt;
    }
    requests.push_back(request);
    const auto target = support::ParseTarget(request.target);
    std::string line = target->Query("watch").empty() ? "list" : "watch";
    if (target->Query("sendInitialEvents") == "true") line = "stream";
    const std::pair<const char*, const char*> shown[] = {
        {"resourceVersion", " rv="}, {"limit", " limit="}, {"continue", " continue="}};
    for (const auto& [key, label] : shown) {
      if (target->query.contains(key)) line += label + target->Query(key);
    }
    asked.push_back(line);
    const Act act = acts_.front();
    acts_.pop_front();
    return act;
  }

  FakeClock& clock_;
  std::deque<Act> acts_;
  std::stop_source stop_;
};

// What came of a script: runs on this thread until the script is over.
struct Played {
  std::vector<std::string> asked;
  std::vector<HttpRequest> requests;
  std::vector<milliseconds> waits;
  std::vector<std::string> hooks;
  std::string store;  // "a=1@5 | 5"
  bool synced = false;
};

std::string Print(const Store<Thing>& store) {
  std::string text;
  for (const auto& one : store.List()) {
    text +=
        one->meta.name + "=" + std::to_string(one->size) + "@" + one->meta.resource_version + " ";
  }
  return text + "| " + store.ResourceVersion();
}

Played Play(std::deque<Act> acts, uint64_t seed = 1, seconds check_every = seconds(1800),
            bool stream_lists = false) {
  FakeClock clock;
  Log log(LogLevel::kError, true);
  std::stop_source stop;
  ScriptedTransport transport(clock, std::move(acts), stop);
  Client client(transport, clock, Client::Options{.user_agent = "test"});
  Store<Thing> store([] {});
  StoreSink<Thing> sink(store, DecodeThing);
  Played out;
  Reflector::Options options{.resource = Things(),
                             .seed = seed,
                             .check_every = check_every,
                             .look_beside_watch = false,
                             .stream_lists = stream_lists};
  options.hooks.listed = [&](std::string_view why) {
    out.hooks.push_back("listed:" + std::string(why));
  };
  options.hooks.watch_ended = [&](std::string_view how) {
    out.hooks.push_back("ended:" + std::string(how));
  };
  options.hooks.bad_object = [&](const Error& error) {
    out.hooks.push_back("bad:" + error.message);
  };
  options.hooks.check_skipped = [&] { out.hooks.emplace_back("check skipped"); };
  options.wait = [&](milliseconds delay, const std::stop_token&) {
    out.waits.push_back(delay);
    clock.Advance(delay);
  };
  Reflector(client, clock, log, sink, options).Run(stop.get_token());
  out.asked = transport.asked;
  out.requests = transport.requests;
  out.store = Print(store);
  out.synced = store.Synced();
  return out;
}

Played Stream(std::deque<Act> acts) { return Play(std::move(acts), 1, seconds(1800), true); }

// The bookmark that ends a streamed list, if `end` is "true".
std::string EndOfList(int version, const std::string& end = "true") {
  return Event("BOOKMARK", {{"kind", "TrainingPool"},
                            {"metadata",
                             {{"resourceVersion", std::to_string(version)},
                              {"annotations", {{"k8s.io/initial-events-end", end}}}}}});
}

// What the server has, as metadata only.
std::string MetadataBody(int version, const std::vector<json>& items,
                         const std::string& next = "") {
  json list = json::parse(ListBody(version, items, next));
  list["kind"] = "PartialObjectMetadataList";
  for (json& item : list["items"]) item.erase("spec");
  return list.dump();
}

// --- streamed lists ---

TEST(StreamedList, IsWhatComesUpToItsEndWhateverHappenedMeanwhile) {
  const Played got =
      Stream({{.body = Event("ADDED", Object("a", 3)) + Event("ADDED", Object("b", 7, 2)) +
                       Event("ADDED", Object("c", 5)) + Event("MODIFIED", Object("a", 10, 5)) +
                       Event("DELETED", Object("b", 11)) + Event("DELETED", Object("c", 12)) +
                       Event("ADDED", Object("c", 13, 8)) + EndOfList(13) +
                       Event("ADDED", Object("x", 14))},
              {.body = Event("ADDED", Object("d", 20))}});
  EXPECT_THAT(got.asked, ElementsAre("stream rv=0", "watch rv=13"));
  EXPECT_EQ(got.store, "a=5@10 c=8@13 d=1@20 | 20") << "x comes again with the watch";
  EXPECT_THAT(got.hooks, testing::Contains("listed:start"));
  EXPECT_EQ(support::ParseTarget(got.requests[0].target)->Query("resourceVersionMatch"),
            "NotOlderThan");
}

TEST(StreamedList, IsSeenAsAWholeOrNotAtAll) {
  const std::string items = Event("ADDED", Object("a", 3)) + Event("ADDED", Object("b", 7));
  for (const std::string& rest : {std::string(), Bookmark(9), EndOfList(9, "false")}) {
    const Played got = Stream({Reset(items + rest)});
    EXPECT_EQ(got.store, "| ") << rest;
    EXPECT_FALSE(got.synced) << rest;
  }
}

TEST(StreamedList, ThatBreaksOffIsAskedForAnewFromTheStart) {
  Act broken = Reset(Event("ADDED", Object("gone", 3)));
  broken.lasts = seconds(1);
  const Played got = Stream({broken,
                             Refuse(429, "TooManyRequests"),
                             {.body = Event("ADDED", Object("a", 4)) + EndOfList(9)}});
  EXPECT_THAT(got.asked, ElementsAre("stream rv=0", "stream rv=0", "stream rv=0"));
  EXPECT_EQ(got.store, "a=1@4 | 9");
  EXPECT_THAT(got.waits, testing::SizeIs(2));
}

// Some servers and proxies never send the end, or end the stream before it.
TEST(StreamedList, ThatDoesNotComeToItsEndIsGivenUpForAListForGood) {
  const Error silent{Code::kUnavailable, "silent for 15000 ms"};
  const std::string item = Event("ADDED", Object("a", 3));
  const std::string change = Event("MODIFIED", Object("a", 3));
  const Error reset{Code::kUnavailable, "connection reset"};
  std::string many;  // without end
  for (int i = 0; i < 50; ++i) many += item;
  const Act list = {.body = ListBody(9, {Object("a", 3)})};
  const Act expired = {.body = ErrorEvent(410, "Expired")};
  const std::deque<Act> given_up[] = {
      {{.body = item, .error = silent, .lasts = seconds(15)}},
      {{.body = item + change + change, .piece = change.size(), .takes = seconds(6)}},
      {Refuse(422, "Invalid")},
      {Refuse(400, "BadRequest")},
      {Refuse(403, "Forbidden")},
      {{.body = item}, {.body = item}},
      {{.body = item, .error = reset, .lasts = seconds(1)}, {.body = item}},
      {{.error = silent, .lasts = seconds(15)}, {.error = silent, .lasts = seconds(15)}},
      {Refuse(504, "Timeout"), Refuse(504, "Timeout")},
      {{.body = many, .piece = item.size(), .takes = seconds(6)}},
  };
  for (std::deque<Act> acts : given_up) {
    const size_t streams = acts.size();
    acts.insert(acts.end(), {list, expired, list});
    const Played got = Stream(std::move(acts));
    ASSERT_EQ(got.asked.size(), streams + 3);
    EXPECT_EQ(got.asked[streams - 1], "stream rv=0");
    EXPECT_EQ(got.asked[streams], "list rv=0 limit=500");
    EXPECT_EQ(got.asked[streams + 2], "list rv=9") << "later ones too";
    EXPECT_EQ(got.store, "a=1@3 | 9");
  }
}

// Items may take their time as long as they come.
TEST(StreamedList, ThatIsLongIsNotGivenUp) {
  const std::string item = Event("ADDED", Object("a", 3));
  std::string items;
  for (int i = 0; i < 12; ++i) items += item;
  const Played got =
      Stream({{.body = items + EndOfList(9), .piece = item.size(), .takes = seconds(9)}});
  EXPECT_EQ(got.store, "a=1@3 | 9");
  EXPECT_EQ(got.requests[0].idle_deadline, seconds(15));
}

// What passes by itself is no reason to stream no longer.
TEST(StreamedList, IsAskedForAgainByWhoCouldNotBeReachedYet) {
  const Error refused{Code::kUnavailable, "connection refused"};
  const Act away = {.error = refused, .lasts = seconds(1)};
  const Played got = Stream({away,
                             away,
                             away,
                             away,
                             Refuse(401, "Unauthorized"),
                             Refuse(404, "NotFound"),
                             Refuse(429, "TooManyRequests"),
                             {.body = Event("ADDED", Object("a", 3)) + EndOfList(9)}});
  ASSERT_EQ(got.asked.size(), 8U);
  EXPECT_EQ(got.asked[3], "list rv=0 limit=500") << "nor does a list come";
  EXPECT_EQ(std::ranges::count(got.asked, "stream rv=0"), 7);
  EXPECT_EQ(got.store, "a=1@3 | 9");
}

// Something between that ends each stream before its first byte looks like a server that is away.
TEST(StreamedList, IsGivenUpWhereNoneComesButAListDoes) {
  const Act reset = {.error = Error{Code::kUnavailable, "connection reset"}, .lasts = seconds(1)};
  const Act list = {.body = ListBody(9, {Object("a", 3)})};
  const Played got =
      Stream({reset, reset, reset, list, {.body = ErrorEvent(410, "Expired")}, list});
  EXPECT_THAT(got.asked, ElementsAre("stream rv=0", "stream rv=0", "stream rv=0",
                                     "list rv=0 limit=500", "watch rv=9", "list rv=9"));
  EXPECT_EQ(got.store, "a=1@3 | 9");
}

// One that comes ends the row.
TEST(StreamedList, IsNotGivenUpForWhatWasBeforeTheLastOne) {
  const Act reset = {.error = Error{Code::kUnavailable, "connection reset"}, .lasts = seconds(1)};
  const Act good = {.body = Event("ADDED", Object("a", 3)) + EndOfList(9)};
  const Act expired = {.body = ErrorEvent(410, "Expired")};
  const Played got = Stream({reset, reset, good, expired, reset, reset, good});
  EXPECT_EQ(std::ranges::count_if(got.asked,
                                  [](const std::string& one) { return one.starts_with("list"); }),
            0);
}

// An outage says nothing of streams.
TEST(StreamedList, IsNotTriedWhereWatchesFailAndNotGivenUpForIt) {
  const Act fails = Refuse(502, "BadGateway");
  const Played got = Stream({{.body = Event("ADDED", Object("a", 3)) + EndOfList(9)},
                             fails,
                             fails,
                             fails,
                             fails,
                             {.body = ErrorEvent(410, "Expired")},
                             {.body = Event("ADDED", Object("a", 4)) + EndOfList(10)}});
  EXPECT_THAT(got.asked, ElementsAre("stream rv=0", "watch rv=9", "watch rv=9", "watch rv=9",
                                     "list rv=9", "watch rv=9", "stream rv=9"));
  EXPECT_EQ(got.store, "a=1@4 | 10");
}

TEST(StreamedList, TakesTheNewestOnceWhereTheVersionIsGone) {
  const std::string a = Event("ADDED", Object("a", 3));
  const Played got = Stream({{.body = a + EndOfList(9)},
                             {.body = ErrorEvent(410, "Expired")},
                             {.body = ErrorEvent(410, "Expired")},
                             {.body = a + EndOfList(12)}});
  EXPECT_THAT(got.asked, ElementsAre("stream rv=0", "watch rv=9", "stream rv=9", "stream"));
  EXPECT_EQ(got.store, "a=1@3 | 12");
}

TEST(StreamedList, ThatChangesWhatCannotBeReadKeepsTheNewestThatCould) {
  const std::string first = Event("ADDED", Object("a", 3)) + Event("ADDED", Object("b", 4)) +
                            Event("ADDED", Object("c", 5)) + EndOfList(9);
  const Played got = Stream(
      {{.body = first},
       {.body = ErrorEvent(410, "Expired")},
       {.body = Event("ADDED", Object("a", 10, 2)) + Event("MODIFIED", Object("a", 13, "many")) +
                Event("DELETED", Object("b", 14)) + Event("ADDED", Object("b", 15, "many")) +
                Event("ADDED", Object("c", 11, "many")) + Event("DELETED", Object("c", 16)) +
                EndOfList(20)}});
  EXPECT_EQ(got.store, "a=2@10 | 20");
}

TEST(StreamedList, OfAnObjectThatCannotBeReadKeepsWhatWasKnown) {
  const Played got = Stream({{.body = Event("ADDED", Object("a", 3)) + EndOfList(9)},
                             {.body = ErrorEvent(410, "Expired")},
                             {.body = Event("ADDED", Object("a", 10, "many")) + EndOfList(12)}});
  EXPECT_EQ(got.store, "a=1@3 | 12");
  EXPECT_THAT(got.hooks, testing::Contains(testing::StartsWith("bad:")));
}

// --- the ordinary course ---

TEST(Reflector, ListsThenWatchesFromTheListsVersion) {
  const Played got =
      Play({{.body = ListBody(9, {Object("a", 3), Object("b", 7, 2)})},
            {.body = Event("ADDED", Object("c", 10)) + Event("MODIFIED", Object("a", 11, 5)) +
                     Event("DELETED", Object("b", 12))}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9"));
  EXPECT_EQ(got.store, "a=5@11 c=1@10 | 12");
  EXPECT_TRUE(got.synced);
}

TEST(Reflector, AsksForBookmarksIdentityAndATimeout) {
  const Played got = Play({{.body = ListBody(9, {})}, {}, {}});
  std::vector<std::string> timeouts;
  for (size_t i = 1; i < got.requests.size(); ++i) {
    const HttpRequest& watch = got.requests[i];
    const auto target = support::ParseTarget(watch.target);
    EXPECT_EQ(target->Query("allowWatchBookmarks"), "true");
    const int timeout = std::stoi(target->Query("timeoutSeconds"));
    EXPECT_GE(timeout, 300);
    EXPECT_LT(timeout, 600);
    EXPECT_EQ(watch.idle_deadline, seconds(200));
    EXPECT_THAT(watch.headers, testing::Contains(testing::Pair("Accept-Encoding", "identity")));
    timeouts.push_back(target->Query("timeoutSeconds"));
  }
  ASSERT_EQ(timeouts.size(), 2U);
  EXPECT_NE(timeouts[0], timeouts[1]);
}

TEST(Reflector, ResumesAfterACleanCloseWithoutWaiting) {
  const Played got = Play({{.body = ListBody(9, {})},
                           {.body = Event("ADDED", Object("a", 10))},
                           {},
                           {.body = Event("MODIFIED", Object("a", 11, 2))}});
  EXPECT_THAT(got.asked,
              ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=10", "watch rv=10"));
  EXPECT_THAT(got.waits, IsEmpty());
  EXPECT_THAT(got.hooks,
              ElementsAre("listed:start", "ended:timeout", "ended:timeout", "ended:timeout"));
  EXPECT_EQ(got.store, "a=2@11 | 11");
}

TEST(Reflector, BookmarksMoveTheVersion) {
  const Played got = Play({{.body = ListBody(9, {Object("a", 3)})}, {.body = Bookmark(50)}, {}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=50"));
  EXPECT_EQ(got.store, "a=1@3 | 50");
}

// Its connections may be swallowed, or nothing happen: a list each time would be no answer to that.
TEST(Reflector, AServerThatNeverSentABookmarkMayBeSilentForLong) {
  const Act silent{.error = Error{Code::kUnavailable, "nothing received for 200 s"},
                   .lasts = seconds(200)};
  const Played got = Play({{.body = ListBody(9, {})}, silent, silent, silent, silent});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=9",
                                     "watch rv=9", "watch rv=9"));
  EXPECT_THAT(got.waits, IsEmpty());
}

TEST(Reflector, ASilentWatchIsAskedAnewWithoutAList) {
  const Played got = Play(
      {{.body = ListBody(9, {})},
       {.body = Bookmark(20)},
       {.error = Error{Code::kUnavailable, "nothing received for 200 s"}, .lasts = seconds(200)},
       {}});
  EXPECT_THAT(got.asked,
              ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=20", "watch rv=20"));
  EXPECT_THAT(got.hooks,
              ElementsAre("listed:start", "ended:timeout", "ended:idle", "ended:timeout"));
  EXPECT_THAT(got.waits, IsEmpty());
}

// The connections after the first are new ones: it is the server that has nothing to say.
TEST(Reflector, ASecondSilentWatchInARowIsFollowedByAList) {
  const Act silent{.error = Error{Code::kUnavailable, "nothing received for 200 s"},
                   .lasts = seconds(200)};
  const Played got = Play({{.body = ListBody(9, {Object("a", 3)})},
                           {.body = Bookmark(90)},
                           silent,
                           silent,
                           NotThereYet(),
                           {.body = ListBody(7, {Object("b", 5)})},
                           silent,
                           {.body = Bookmark(8)},
                           silent,
                           {.body = Bookmark(8)}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=90",
                                     "watch rv=90", "list rv=90", "list limit=500", "watch rv=7",
                                     "watch rv=7", "watch rv=8", "watch rv=8"));
  EXPECT_EQ(got.store, "b=1@5 | 8");
  EXPECT_THAT(got.waits, IsEmpty());
}

// --- framing ---

TEST(Reflector, AWatchCutAnywhereLosesNothing) {
  const std::string events = Event("ADDED", Object("b", 10)) +
                             Event("MODIFIED", Object("a", 11, 7)) +
                             Event("DELETED", Object("b", 12));
  const std::string states[] = {"a=1@3 | 9", "a=1@3 b=1@10 | 10", "a=7@11 b=1@10 | 11",
                                "a=7@11 | 12"};
  for (size_t cut = 0; cut <= events.size(); ++cut) {
    const auto whole = static_cast<size_t>(
        std::count(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(cut), '\n'));
    for (const bool clean : {false, true}) {
      Act first = clean ? Act{.body = events.substr(0, cut)} : Reset(events.substr(0, cut));
      const Played prefix = Play({{.body = ListBody(9, {Object("a", 3)})}, first});
      EXPECT_EQ(prefix.store, states[whole]) << cut;
      // The rest comes with the next watch.
      const size_t from = whole == 0 ? 0 : events.rfind('\n', cut - 1) + 1;
      const Played all =
          Play({{.body = ListBody(9, {Object("a", 3)})}, first, {.body = events.substr(from)}});
      EXPECT_EQ(all.store, states[3]) << cut;
      EXPECT_THAT(all.asked, Not(testing::Contains("list rv=12"))) << cut;
      EXPECT_EQ(std::count_if(all.asked.begin(), all.asked.end(),
                              [](const std::string& line) { return line.starts_with("list"); }),
                1);
    }
  }
}

TEST(Reflector, PiecesOfAnySizeMakeTheSameEvents) {
  const std::string events =
      Event("ADDED", Object("b", 10)) + "\n" + Event("MODIFIED", Object("a", 11, 7)) + Bookmark(15);
  for (size_t piece = 1; piece < 40; ++piece) {
    const Played got = Play({{.body = ListBody(9, {})}, {.body = events, .piece = piece}});
    EXPECT_EQ(got.store, "a=7@11 b=1@10 | 15") << piece;
  }
}

TEST(Reflector, ALineThatIsNoJsonEndsTheWatchAndNothingElse) {
  const Played got = Play({{.body = ListBody(9, {})},
                           {.body = Event("ADDED", Object("a", 10)) + "{\"type\": oops\n" +
                                    Event("ADDED", Object("b", 11))},
                           {.body = Event("ADDED", Object("b", 11))}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=10"));
  EXPECT_EQ(got.store, "a=1@10 b=1@11 | 11");
  EXPECT_EQ(got.waits.size(), 1U);
}

TEST(Reflector, ALineThatEndsAsNoJsonBehindItsVersionIsNoEvent) {
  const std::string broken =
      R"({"type": "ADDED", "object": {"kind": "TrainingPool", "metadata": {"name": "b", )"
      R"("namespace": "ns", "resourceVersion": "11"}, "details": {"a" 1}}})";
  const Played got = Play({{.body = ListBody(9, {})},
                           {.body = Event("ADDED", Object("a", 10)) + broken + "\n"},
                           {.body = Event("ADDED", Object("b", 11))}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=10"));
  EXPECT_EQ(got.store, "a=1@10 b=1@11 | 11");
  EXPECT_EQ(got.waits.size(), 1U) << "it is no healthy server's";
}

// Cut where only a bracket is missing, it is as good as whole; behind another bracket, only the
// object's reader finds out, and a list makes it good.
TEST(Reflector, ALineThatIsCutAnywhereIsNoEventAndNothingIsLost) {
  const std::string event = Event("ADDED", Object("b", 11, 3));
  for (size_t cut = 1; cut + 3 < event.size(); ++cut) {
    const bool listed = event[cut - 1] == '}';
    const std::string next = listed ? ListBody(11, {Object("a", 10), Object("b", 11, 3)}) : event;
    const Played got =
        Play({{.body = ListBody(9, {})},
              {.body = Event("ADDED", Object("a", 10)) + event.substr(0, cut) + "\n"},
              {.body = next}});
    EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9",
                                       listed ? "list rv=10" : "watch rv=10"))
        << cut;
    EXPECT_EQ(got.store, "a=1@10 b=3@11 | 11") << cut;
    EXPECT_THAT(got.hooks, testing::Not(testing::Contains(testing::StartsWith("bad")))) << cut;
  }
}

// What may have been read of it is made good by a list.
TEST(Reflector, AnObjectWhoseBracketsBreakBehindItsVersionIsListed) {
  std::string broken = Event("MODIFIED", Object("a", 11, 2));
  broken.insert(broken.find("\"workers\":") + 10, "{");
  const Played got = Play({{.body = ListBody(9, {Object("a", 8)})},
                           {.body = Event("ADDED", Object("b", 10)) + broken},
                           {.body = ListBody(12, {Object("a", 11, 2), Object("b", 10)})}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "list rv=10"));
  EXPECT_EQ(got.store, "a=2@11 b=1@10 | 12");
  EXPECT_EQ(got.waits.size(), 1U);
}

// The server would send it again and again.
TEST(Reflector, AnObjectThatIsNoJsonBetweenItsBracketsIsPassedOver) {
  std::string broken = Event("MODIFIED", Object("a", 11, 2));
  broken.replace(broken.find("\"workers\":"), 10, "\"workers\" ");
  const Played got = Play({{.body = ListBody(9, {Object("a", 8)})},
                           {.body = broken + Event("ADDED", Object("b", 12))}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9"));
  EXPECT_EQ(got.store, "a=1@8 b=1@12 | 12");
  EXPECT_THAT(got.hooks, testing::Contains(testing::StartsWith("bad:ns/a")));
}

TEST(Reflector, ADeletionWhoseLineBreaksIsNone) {
  std::string broken = Event("DELETED", Object("a", 11));
  broken.insert(broken.find("\"workers\":") + 10, "{");
  const Played got =
      Play({{.body = ListBody(9, {Object("a", 8)})}, {.body = broken}, {.body = Bookmark(12)}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=9"));
  EXPECT_EQ(got.store, "a=1@8 | 12");
}

TEST(Reflector, AListWithAnItemThatIsNoJsonIsNone) {
  std::string broken = R"({"kind":"TrainingPoolList","metadata":{"resourceVersion":"9"},"items":[)";
  broken += R"({"metadata":{"name":"a" 1}},)" + Object("b", 7).dump() + "]}";
  const Played got = Play({{.body = broken}, {.body = ListBody(9, {Object("b", 7)})}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "list rv=0 limit=500"));
  EXPECT_EQ(got.store, "b=1@7 | 9");
}

TEST(StreamedList, OfAnObjectWhoseBracketsBreakIsAskedForAnew) {
  std::string broken = Event("ADDED", Object("a", 4));
  broken.insert(broken.find("\"workers\":") + 10, "{");
  const Played got = Stream(
      {{.body = broken + EndOfList(9)}, {.body = Event("ADDED", Object("a", 4)) + EndOfList(9)}});
  EXPECT_EQ(got.store, "a=1@4 | 9");
  EXPECT_THAT(got.waits, testing::SizeIs(1));
}

TEST(Reflector, AnEventSaysTheSameWhateverTheOrderOfItsFields) {
  const std::string metadata =
      R"("metadata":{"resourceVersion":"10","labels":{"a":"b"},"name":"a","uid":"u","namespace":"ns"})";
  std::vector<std::string> fields = {R"("apiVersion":"spillway.dev/v1alpha1")",
                                     R"("kind":"TrainingPool")", metadata,
                                     R"("spec":{"workers":7})"};
  std::ranges::sort(fields);
  do {
    std::string object = "{" + fields[0];
    for (size_t i = 1; i < fields.size(); ++i) object += "," + fields[i];
    object += "}";
    const std::string type_first = R"({"type":"ADDED","object":)" + object + "}\n";
    const std::string type_last = R"({"object":)" + object + R"(,"type":"ADDED"})" + "\n";
    for (const std::string& event : {type_first, type_last}) {
      const Played got = Play({{.body = ListBody(9, {})}, {.body = event}});
      EXPECT_EQ(got.store, "a=7@10 | 10") << event;
    }
  } while (std::ranges::next_permutation(fields).found);
}

TEST(Reflector, ALineWithoutEndIsGivenUp) {
  const std::string line(size_t{17} << 20, 'x');
  const Played got = Play({{.body = ListBody(9, {})},
                           {.body = line, .piece = size_t{1} << 20},
                           {.body = ListBody(12, {})}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "list rv=9"));
  EXPECT_EQ(got.waits.size(), 1U);
}

// --- errors ---

TEST(Reflector, AnExpiredWatchListsFromTheLastVersionAtOnce) {
  const Act expired[] = {{.body = Bookmark(30) + ErrorEvent(410, "Expired")},
                         {.body = Bookmark(30) + ErrorEvent(410, "Gone")}};
  for (const Act& act : expired) {
    const Played got = Play({{.body = ListBody(9, {Object("a", 3), Object("b", 4)})},
                             act,
                             {.body = ListBody(40, {Object("b", 35, 2)})},
                             {}});
    EXPECT_THAT(got.asked,
                ElementsAre("list rv=0 limit=500", "watch rv=9", "list rv=30", "watch rv=40"));
    EXPECT_THAT(got.waits, IsEmpty());
    EXPECT_THAT(got.hooks,
                ElementsAre("listed:start", "ended:expired", "listed:expired", "ended:timeout"));
    EXPECT_EQ(got.store, "b=2@35 | 40");
  }
}

TEST(Reflector, A410AnswerToAWatchIsTheSame) {
  const Played got =
      Play({{.body = ListBody(9, {})}, Refuse(410, "Expired"), {.body = ListBody(40, {})}, {}});
  EXPECT_THAT(got.asked,
              ElementsAre("list rv=0 limit=500", "watch rv=9", "list rv=9", "watch rv=40"));
  EXPECT_THAT(got.waits, IsEmpty());
}

TEST(Reflector, WatchesThatKeepExpiringAreNotHammered) {
  std::deque<Act> acts = {{.body = ListBody(9, {})}};
  for (int i = 0; i < 4; ++i) {
    acts.push_back(Refuse(410, "Expired"));
    acts.push_back({.body = ListBody(10 + i, {})});
  }
  const Played got = Play(acts);
  EXPECT_EQ(got.waits.size(), 3U);
}

TEST(Reflector, AListThatExpiredTakesTheNewestOnce) {
  const Played got = Play({{.body = ListBody(9, {})},
                           Refuse(410, "Expired"),
                           Refuse(410, "Expired"),
                           {.body = ListBody(40, {})},
                           {}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "list rv=9",
                                     "list limit=500", "watch rv=40"));
  EXPECT_THAT(got.waits, IsEmpty());
}

TEST(Reflector, AVersionAheadOfTheServerTakesTheNewestOnce) {
  const Played got = Play({{.body = ListBody(90, {Object("a", 80)})},
                           Refuse(410, "Expired"),
                           NotThereYet(),
                           {.body = ListBody(7, {Object("a", 5)})},
                           {}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=90", "list rv=90",
                                     "list limit=500", "watch rv=7"));
  EXPECT_EQ(got.store, "a=1@5 | 7");
}

TEST(Reflector, AServerThatGoesBackIsListedAnew) {
  const Act backs[] = {{.body = Event("ADDED", Object("b", 95)) + Event("ADDED", Object("c", 6))},
                       {.body = Event("ADDED", Object("b", 95)) + Bookmark(6)}};
  for (const Act& act : backs) {
    const Played got = Play({{.body = ListBody(90, {Object("a", 80)})},
                             act,
                             NotThereYet(),
                             {.body = ListBody(7, {Object("c", 6)})},
                             {}});
    EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=90", "list rv=95",
                                       "list limit=500", "watch rv=7"));
    EXPECT_EQ(got.store, "c=1@6 | 7");
    EXPECT_THAT(got.waits, IsEmpty());
  }
}

TEST(Reflector, AWatchAheadOfTheServerIsFollowedByAList) {
  const Played got = Play({{.body = ListBody(90, {Object("a", 80)})},
                           NotThereYet(),
                           NotThereYet(),
                           {.body = ListBody(7, {})}});
  EXPECT_THAT(got.asked,
              ElementsAre("list rv=0 limit=500", "watch rv=90", "list rv=90", "list limit=500"));
}

// By what it is, not by how it is worded.
TEST(Reflector, AnEventThatSaysThatTheWatchIsAheadIsFollowedByAListAtOnce) {
  const Played got = Play({{.body = ListBody(90, {Object("a", 80)})},
                           {.body = Event("ERROR", NotThereYetStatus())},
                           {.body = ListBody(95, {})},
                           {}});
  EXPECT_THAT(got.asked,
              ElementsAre("list rv=0 limit=500", "watch rv=90", "list rv=90", "watch rv=95"));
  EXPECT_THAT(got.waits, IsEmpty());
  const Played worded = Play({{.body = ListBody(90, {Object("a", 80)})},
                              Refuse(504, "Timeout", "Too large resource version: 90, current: 7"),
                              {}});
  EXPECT_THAT(worded.asked, ElementsAre("list rv=0 limit=500", "watch rv=90", "watch rv=90"));
}

TEST(Reflector, OverloadBacksOffAndKeepsItsVersion) {
  const Act acts[] = {
      Refuse(429, "TooManyRequests"),
      Refuse(500, "InternalError"),
      Refuse(503, "ServiceUnavailable"),
      Reset(),
      {.body = ErrorEvent(429, "TooManyRequests")},
      {.body = ErrorEvent(500, "InternalError")},
      {.error = Error{Code::kUnavailable, "connection refused"}, .lasts = milliseconds(0)}};
  for (const Act& act : acts) {
    const Played got = Play({{.body = ListBody(9, {})}, act, {}});
    EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=9"))
        << act.body;
    ASSERT_EQ(got.waits.size(), 1U) << act.body;
    EXPECT_THAT(got.hooks, ElementsAre("listed:start", "ended:error", "ended:timeout")) << act.body;
  }
}

TEST(Reflector, OtherWatchErrorsBackOffAndList) {
  const Act acts[] = {Refuse(403, "Forbidden"),
                      Refuse(404, "NotFound"),
                      Refuse(400, "BadRequest"),
                      {.body = ErrorEvent(403, "Forbidden")}};
  for (const Act& act : acts) {
    const Played got = Play({{.body = ListBody(9, {})}, act, {.body = ListBody(10, {})}});
    EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "list rv=9"))
        << act.body;
    EXPECT_EQ(got.waits.size(), 1U);
    EXPECT_THAT(got.hooks, ElementsAre("listed:start", "ended:error", "listed:error")) << act.body;
  }
}

// Lists may work meanwhile, and without them nobody would hear of anything any more.
TEST(Reflector, WatchesThatKeepFailingAreFollowedByAListEachThirdTime) {
  const Act acts[] = {Refuse(500, "InternalError"),
                      Refuse(502, "BadGateway"),
                      Refuse(504, "Timeout"),
                      {.body = ErrorEvent(500, "InternalError")},
                      {.body = "<html>oops</html>\n"}};
  for (const Act& act : acts) {
    const Played got = Play({{.body = ListBody(9, {})},
                             act,
                             act,
                             act,
                             {.body = ListBody(12, {Object("a", 11)})},
                             act,
                             act,
                             act,
                             {.body = ListBody(15, {Object("b", 14)})},
                             {.body = Event("ADDED", Object("c", 16))}});
    EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=9",
                                       "watch rv=9", "list rv=9", "watch rv=12", "watch rv=12",
                                       "watch rv=12", "list rv=12", "watch rv=15"))
        << act.body;
    EXPECT_EQ(got.store, "b=1@14 c=1@16 | 16");
    EXPECT_EQ(std::ranges::count(got.hooks, "listed:error"), 2);
    const int64_t bases[] = {800, 1600, 3200, 6400, 12800, 25600};
    ASSERT_EQ(got.waits.size(), 6U);
    for (size_t i = 0; i < 6; ++i) EXPECT_GE(got.waits[i].count(), bases[i]);
  }
}

// What overload and broken connections say of watches holds for lists all the more.
TEST(Reflector, OverloadAndBrokenConnectionsAreFollowedByNoListHoweverOften) {
  const Act acts[] = {Refuse(429, "TooManyRequests"),
                      Refuse(503, "ServiceUnavailable"),
                      {.body = ErrorEvent(429, "TooManyRequests")},
                      {.body = ErrorEvent(503, "ServiceUnavailable")},
                      Reset(),
                      {.error = Error{Code::kUnavailable, "timed out"}}};
  for (const Act& act : acts) {
    std::deque<Act> script(20, act);
    script.push_front({.body = ListBody(9, {})});
    const Played got = Play(script);
    EXPECT_EQ(std::ranges::count(got.asked, "watch rv=9"), 20) << act.body;
  }
}

// They neither count nor end the row, as an event does, or a watch that ends in good order.
TEST(Reflector, OnlyAWatchThatIsServedEndsARowOfFailures) {
  const Act fails = Refuse(500, "InternalError");
  const Act busy = Refuse(503, "ServiceUnavailable");
  const Act list = {.body = ListBody(9, {})};
  EXPECT_EQ(Play({list, fails, busy, fails, Reset(), fails, list}).asked.back(), "list rv=9");
  const Act served[] = {{},
                        {.body = Bookmark(9)},
                        Reset(Bookmark(9)),
                        {.body = Bookmark(9) + ErrorEvent(500, "InternalError")}};
  for (const Act& good : served) {
    EXPECT_EQ(Play({list, fails, fails, good, fails, fails, {}}).asked.back(), "watch rv=9")
        << good.body;
  }
}

// A server that is back has what was missed for a watch, without a list from each of its clients.
TEST(Reflector, WhereListsFailLikeWatchesTheNextIsAWatch) {
  const Act fails = Refuse(502, "BadGateway");
  const Played got = Play({{.body = ListBody(9, {})},
                           fails,
                           fails,
                           fails,
                           fails,
                           {.body = Event("ADDED", Object("a", 10))}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=9",
                                     "watch rv=9", "list rv=9", "watch rv=9"));
  EXPECT_EQ(got.store, "a=1@10 | 10");
  EXPECT_EQ(got.waits.size(), 4U);
}

// Else it would be too much each time.
TEST(Reflector, AListAfterFailedWatchesThatIsTooSlowComesInPagesTheNextTime) {
  const Act fails = Refuse(500, "InternalError");
  const Act slow = {.error = Error{Code::kUnavailable, "deadline exceeded"},
                    .takes = milliseconds(60'000)};
  const Played got = Play({{.body = ListBody(9, {})},
                           fails,
                           fails,
                           fails,
                           slow,
                           fails,
                           fails,
                           fails,
                           {.body = ListBody(12, {})}});
  EXPECT_EQ(got.asked[4], "list rv=9");
  EXPECT_EQ(got.asked.back(), "list rv=9 limit=500");
}

TEST(Reflector, AServersWishToWaitIsHonoured) {
  const Played got =
      Play({{.body = ListBody(9, {})}, {.body = ErrorEvent(429, "TooManyRequests", 17)}, {}});
  ASSERT_EQ(got.waits.size(), 1U);
  EXPECT_EQ(got.waits[0], seconds(17));
}

TEST(Reflector, AVeryShortEmptyWatchBacksOff) {
  const Act brief{.lasts = milliseconds(999)};
  const Played got = Play({{.body = ListBody(9, {})}, brief, brief, brief, {}});
  ASSERT_EQ(got.waits.size(), 3U);
  EXPECT_GE(got.waits[1], milliseconds(1600));
  EXPECT_GE(got.waits[2], milliseconds(3200));
  EXPECT_EQ(got.asked.size(), 5U);
}

// A server that shuts down ends all watches of all its clients in one moment.
TEST(Reflector, WatchesThatEndSoonerThanAskedAreAskedAnewSpreadOverASecond) {
  std::set<milliseconds> waits;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const Played got = Play({{.body = ListBody(9, {})},
                             {.body = Event("ADDED", Object("a", 10)), .lasts = milliseconds(1)},
                             {.lasts = seconds(100)},
                             {}},
                            seed);
    EXPECT_THAT(got.asked,
                ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=10", "watch rv=10"));
    ASSERT_EQ(got.waits.size(), 2U);
    for (const milliseconds wait : got.waits) {
      EXPECT_LT(wait, seconds(1));
      waits.insert(wait);
    }
  }
  EXPECT_GE(waits.size(), 60U);
  EXPECT_LT(*waits.begin(), milliseconds(200));
  EXPECT_GT(*waits.rbegin(), milliseconds(800));
}

TEST(Reflector, ListsAndWatchesShareOneGrowingDelay) {
  const Played got = Play({Refuse(500, "InternalError"),
                           {.body = ListBody(9, {})},
                           Refuse(500, "InternalError"),
                           Refuse(500, "InternalError"),
                           {}});
  ASSERT_EQ(got.waits.size(), 3U);
  const int64_t bases[] = {800, 1600, 3200};
  for (size_t i = 0; i < 3; ++i) EXPECT_GE(got.waits[i].count(), bases[i]);
}

TEST(Reflector, AListThatFailsIsTriedAgainWithGrowingDelays) {
  std::deque<Act> acts;
  for (int i = 0; i < 8; ++i) acts.push_back(i % 2 == 0 ? Refuse(500, "InternalError") : Reset());
  acts.push_back({.body = ListBody(9, {})});
  const Played got = Play(acts);
  const int64_t bases[] = {800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
  ASSERT_EQ(got.waits.size(), 8U);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_GE(got.waits[i].count(), bases[i]);
    EXPECT_LT(got.waits[i].count(), 2 * bases[i]);
    EXPECT_EQ(got.asked[i], "list rv=0 limit=500");
  }
  EXPECT_TRUE(got.synced);
  EXPECT_THAT(got.hooks, ElementsAre("listed:start"));
  EXPECT_NE(Play(acts, 2).waits, got.waits);
  EXPECT_EQ(Play(acts, 1).waits, got.waits);
}

TEST(Backoff, StartsAnewAfterTwoQuietMinutes) {
  Backoff backoff(7);
  nanoseconds now = seconds(1000);
  for (int i = 0; i < 5; ++i) (void)backoff.Next(now);
  EXPECT_GE(backoff.Next(now + seconds(119)), milliseconds(25600));
  EXPECT_LT(backoff.Next(now + seconds(119 + 120)), milliseconds(1600));
}

// --- pages ---

TEST(Reflector, ReadsAListInPages) {
  const Played got = Play({{.body = ListBody(9, {Object("a", 3)}, "t1")},
                           {.body = ListBody(9, {Object("b", 4)}, "t2")},
                           {.body = ListBody(9, {Object("c", 5)})},
                           {}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "list limit=500 continue=t1",
                                     "list limit=500 continue=t2", "watch rv=9"));
  EXPECT_EQ(got.store, "a=1@3 b=1@4 c=1@5 | 9");
}

TEST(Reflector, WhereTheFirstListCameInPagesLaterOnesDoToo) {
  const Played got = Play({{.body = ListBody(9, {Object("a", 3)}, "t1")},
                           {.body = ListBody(9, {})},
                           Refuse(410, "Expired"),
                           {.body = ListBody(12, {})}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "list limit=500 continue=t1",
                                     "watch rv=9", "list rv=9 limit=500"));
}

TEST(Reflector, HistoryThatEndsBetweenPagesMakesOneWholeList) {
  const Played got = Play({{.body = ListBody(9, {Object("a", 3)}, "t1")},
                           Refuse(410, "Expired"),
                           {.body = ListBody(20, {Object("b", 15)})},
                           {}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "list limit=500 continue=t1",
                                     "list rv=0", "watch rv=20"));
  EXPECT_EQ(got.store, "b=1@15 | 20");
  EXPECT_THAT(got.waits, IsEmpty());
}

TEST(Reflector, AFailedPageLeavesTheStoreAsItWas) {
  const Played got = Play({{.body = ListBody(9, {Object("a", 3)}, "t1")}, Reset()});
  EXPECT_FALSE(got.synced);
  EXPECT_EQ(got.store, "| ");
}

TEST(Reflector, AFirstListThatIsTooLongIsReadInPagesOfTheNewest) {
  const Played got =
      Play({{.error = Error{Code::kInternal, "the answer is longer than 67108864 bytes"}},
            {.body = ListBody(9, {Object("a", 3)}, "t1")},
            {.body = ListBody(9, {Object("b", 4)})},
            {}});
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "list limit=500",
                                     "list limit=500 continue=t1", "watch rv=9"));
  EXPECT_THAT(got.waits, IsEmpty());
  EXPECT_EQ(got.store, "a=1@3 b=1@4 | 9");
}

TEST(Reflector, ABodyThatIsTooLongIsAskedForInPages) {
  const Played got =
      Play({{.body = ListBody(9, {})},
            Refuse(410, "Expired"),
            {.error = Error{Code::kInternal, "the answer is longer than 67108864 bytes"}},
            {.body = ListBody(12, {})}});
  EXPECT_THAT(got.asked,
              ElementsAre("list rv=0 limit=500", "watch rv=9", "list rv=9", "list rv=9 limit=500"));
}

TEST(Reflector, AFirstListThatIsTooSlowIsReadInPagesOfTheNewest) {
  const Act slow = {.error = Error{Code::kUnavailable, "deadline exceeded"},
                    .takes = milliseconds(60'000)};
  Act timeout = Refuse(504, "Timeout");
  timeout.takes = milliseconds(60'000);
  for (const Act& first : {slow, timeout}) {
    const Played got = Play({first,
                             {.body = ListBody(9, {Object("a", 3)}, "t1")},
                             {.body = ListBody(9, {Object("b", 4)})},
                             {},
                             Refuse(410, "Expired"),
                             {.body = ListBody(12, {})}});
    EXPECT_THAT(got.asked,
                ElementsAre("list rv=0 limit=500", "list limit=500", "list limit=500 continue=t1",
                            "watch rv=9", "watch rv=9", "list rv=9 limit=500"));
    EXPECT_EQ(got.waits.size(), 1U);
  }
}

// A server that was away answers in whole again, from its cache.
TEST(Reflector, AListThatFailsAtOnceIsNoReasonForPages) {
  for (const Act& failure : {Reset(), Refuse(504, "Timeout"), Refuse(500, "InternalError")}) {
    const Played got = Play({failure,
                             {.body = ListBody(9, {})},
                             Refuse(410, "Expired"),
                             failure,
                             {.body = ListBody(12, {})}});
    EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "list rv=0 limit=500", "watch rv=9",
                                       "list rv=9", "list rv=9"));
  }
}

TEST(Reflector, AStreamThatFellSilentIsNoReasonForPagesIfTheListFailsAtOnce) {
  Act silent = Reset(Event("ADDED", Object("a", 3)));
  silent.lasts = seconds(60);
  const Played got = Play({silent, Reset(), {.body = ListBody(9, {})}}, 1, seconds(1800), true);
  EXPECT_THAT(got.asked, ElementsAre("stream rv=0", "list rv=0 limit=500", "list rv=0 limit=500"));
}

// --- what is not what was asked for ---

TEST(Reflector, ATableOrAnotherKindIsNoList) {
  const std::string item = Object("x", 3).dump();
  const std::string bodies[] = {
      R"({"kind":"Table","metadata":{"resourceVersion":"9"},"rows":[{"object":{}}]})",
      R"({"kind":"PodList","metadata":{"resourceVersion":"9"},"items":[)" + item + "]}",
      R"({"items":[)" + item + R"(],"kind":"PodList","metadata":{"resourceVersion":"9"}})",
      R"({"kind":"TrainingPoolList","apiVersion":"other.dev/v1","metadata":{"resourceVersion":"9"},"items":[)" +
          item + "]}",
      R"({"metadata":{"resourceVersion":"9"},"items":[]})",
      R"({"kind":"TrainingPoolList","items":[]})"};
  for (const std::string& body : bodies) {
    const Played alone = Play({{.body = body}});
    EXPECT_EQ(alone.store, "| ") << body;
    EXPECT_THAT(alone.hooks, ElementsAre(testing::StartsWith("bad:asked for a list of Training")))
        << body;
    const Played got = Play({{.body = body}, {.body = ListBody(12, {Object("a", 3)})}});
    EXPECT_EQ(got.waits.size(), 1U) << body;
    EXPECT_EQ(got.store, "a=1@3 | 12") << body;
    const Played page = Play({{.body = ListBody(9, {Object("a", 3)}, "more")}, {.body = body}});
    EXPECT_EQ(page.store, "| ") << body;
    EXPECT_THAT(page.hooks, testing::SizeIs(1)) << body;
  }
}

TEST(Reflector, WhatIsNoJsonIsNoList) {
  for (const char* body : {"nonsense", "[]", ""}) {
    const Played got = Play({{.body = body}, {.body = ListBody(12, {Object("a", 3)})}});
    EXPECT_EQ(got.waits.size(), 1U) << body;
    EXPECT_EQ(got.store, "a=1@3 | 12") << body;
  }
}

TEST(Reflector, AnEventOfAnotherKindIsPassedOver) {
  json table = Object("x", 10);
  table["kind"] = "Table";
  const Played got = Play({{.body = ListBody(9, {})},
                           {.body = Event("ADDED", table) + Event("ADDED", Object("a", 11))}});
  EXPECT_EQ(got.store, "a=1@11 | 11");
  EXPECT_THAT(got.hooks, ElementsAre("listed:start",
                                     "bad:a watch on TrainingPool brought kind \"Table\" of "
                                     "\"spillway.dev/v1alpha1\" at version \"10\"",
                                     "ended:timeout"));
}

TEST(Reflector, AnEventOfAnotherVersionOfTheKindIsPassedOver) {
  json theirs = Object("x", 10);
  theirs["apiVersion"] = "spillway.dev/v2";
  json ours = Object("a", 11);
  ours["apiVersion"] = "spillway.dev/v1alpha1";
  const Played got =
      Play({{.body = ListBody(9, {})}, {.body = Event("ADDED", theirs) + Event("ADDED", ours)}});
  EXPECT_EQ(got.store, "a=1@11 | 11");
}

// Items of a list do not say what they are.
TEST(Reflector, AnObjectIsTheSameFromAListAndFromAWatch) {
  FakeClock clock;
  Log log(LogLevel::kError, true);
  std::stop_source stop;
  json item = Object("a", 3);
  item.erase("kind");
  json object = Object("a", 10);
  object["apiVersion"] = "spillway.dev/v1alpha1";
  ScriptedTransport transport(
      clock, {{.body = ListBody(9, {item})}, {.body = Event("MODIFIED", object)}}, stop);
  Client client(transport, clock, Client::Options{.user_agent = "test"});
  int changes = 0;
  Store<Thing> store([&] { ++changes; });
  StoreSink<Thing> sink(store, DecodeThing);
  Reflector(client, clock, log, sink, {.resource = Things()}).Run(stop.get_token());
  EXPECT_EQ(Print(store), "a=1@10 | 10");
  EXPECT_EQ(changes, 1);
}

TEST(Reflector, AnUnknownEventTypeIsPassedOver) {
  const Played got =
      Play({{.body = ListBody(9, {})},
            {.body = Event("SHINY", Object("x", 10)) + Event("ADDED", Object("a", 11))}});
  EXPECT_EQ(got.store, "a=1@11 | 11");
}

TEST(Reflector, AnObjectThatCannotBeReadIsPassedOverAndItsVersionCounts) {
  const Played got =
      Play({{.body = ListBody(9, {Object("a", 3), Object("bad", 4, "many"), Object("c", 5)})},
            {.body = Event("MODIFIED", Object("a", 10, "many")) +
                     Event("ADDED", Object("d", 11, "x"))}});
  EXPECT_EQ(got.store, "a=1@3 c=1@5 | 11");
  EXPECT_THAT(got.hooks, ElementsAre("bad:spec.workers: is no integer", "listed:start",
                                     "bad:ns/a: spec.workers: is no integer",
                                     "bad:ns/d: spec.workers: is no integer", "ended:timeout"));
}

TEST(Reflector, WhatCannotBeReadInALaterListStaysAsItWasKnown) {
  const Played got = Play({{.body = ListBody(9, {Object("a", 3), Object("b", 4)})},
                           Refuse(410, "Expired"),
                           {.body = ListBody(20, {Object("a", 15, "many")})}});
  EXPECT_EQ(got.store, "a=1@3 | 20");
}

TEST(Reflector, ADeletionCountsEvenIfTheObjectCannotBeRead) {
  const Played got = Play({{.body = ListBody(9, {Object("a", 3)})},
                           {.body = Event("DELETED", Object("a", 10, "many"))}});
  EXPECT_EQ(got.store, "| 10");
}

// --- stopping ---

// Answers the list, then blocks as a quiet watch does.
class Quiet final : public Transport {
 public:
  explicit Quiet(bool lists) : lists_(lists) {}
  Result<HttpResponse> Send(const HttpRequest&, const std::stop_token& stop) override {
    return lists_ ? support::JsonAnswer(200, ListBody(9, {})) : Block(stop);
  }
  Result<HttpResponse> Stream(const HttpRequest&, const OnBytes&,
                              const std::stop_token& stop) override {
    return Block(stop);
  }
  void AwaitBlocked() {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, seconds(60), [this] { return blocked_; }));
  }

 private:
  Result<HttpResponse> Block(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    blocked_ = true;
    changed_.notify_all();
    changed_.wait(lock, stop, [] { return false; });
    return Error{Code::kCancelled, "stopped"};
  }
  const bool lists_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool blocked_ = false;
};

milliseconds StopTime(Transport& transport, const std::function<void()>& await) {
  SystemClock clock;
  Log log(LogLevel::kError, true);
  Client client(transport, clock, Client::Options{.user_agent = "test"});
  Store<Thing> store([] {});
  StoreSink<Thing> sink(store, DecodeThing);
  std::jthread thread([&](const std::stop_token& stop) {
    Reflector(client, clock, log, sink, {.resource = Things()}).Run(stop);
  });
  await();
  const auto start = std::chrono::steady_clock::now();
  thread.request_stop();
  thread.join();
  return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
}

TEST(Reflector, StopsPromptlyInEveryState) {
  Quiet listing(false);
  EXPECT_LT(StopTime(listing, [&] { listing.AwaitBlocked(); }), milliseconds(100));
  Quiet watching(true);
  EXPECT_LT(StopTime(watching, [&] { watching.AwaitBlocked(); }), milliseconds(100));
  // Refused: it waits for its next try.
  FakeClock clock;
  FakeApiServer refusing(clock);
  refusing.Inject({.times = -1, .status = 500, .reason = "InternalError"});
  EXPECT_LT(
      StopTime(refusing,
               [&] {
                 ASSERT_TRUE(refusing.WaitUntil([&] { return !refusing.Requests().empty(); }));
                 // It waits by then; where it is slower than that, this shows less and still holds.
                 std::this_thread::sleep_for(milliseconds(20));
               }),
      milliseconds(100));
}

// --- against the in-process API server ---

// A reflector with a store, on a thread, with short waits.
class Running {
 public:
  Running(FakeApiServer& server, Clock& clock, uint64_t seed)
      : client_(server, clock, Client::Options{.user_agent = "test"}), sink_(store_, DecodeThing) {
    Reflector::Options options{.resource = Things(), .seed = seed};
    // A retry is due at once, and other threads get their turn.
    options.wait = [](milliseconds, const std::stop_token&) { std::this_thread::yield(); };
    options.hooks.bad_object = [this](const Error&) { ++bad_; };
    reflector_ = std::make_unique<Reflector>(client_, clock, log_, sink_, options);
    thread_ = std::jthread([this](const std::stop_token& stop) { reflector_->Run(stop); });
  }
  [[nodiscard]] const Store<Thing>& store() const { return store_; }
  [[nodiscard]] int bad() const { return bad_; }

 private:
  Log log_{LogLevel::kError, true};
  Client client_;
  Store<Thing> store_{[] {}};
  StoreSink<Thing> sink_;
  std::atomic<int> bad_{0};
  std::unique_ptr<Reflector> reflector_;
  std::jthread thread_;
};

std::string PrintServer(const FakeApiServer& server) {
  std::string text;
  for (const json& object : server.All("trainingpools")) {
    text += object["metadata"]["name"].get<std::string>() + "=" + object["spec"]["workers"].dump() +
            "@" + object["metadata"]["resourceVersion"].get<std::string>() + " ";
  }
  return text + "| " + std::to_string(server.version());
}

// One random thing that happens to the server.
void Churn(FakeApiServer& server, std::mt19937_64& random) {
  const std::string name = "t" + std::to_string(random() % 20);
  const auto dice = random() % 100;
  if (dice < 60) {
    server.Put({{"kind", "TrainingPool"},
                {"metadata", {{"name", name}, {"namespace", "ns"}}},
                {"spec", {{"workers", random() % 5}}}});
  } else if (dice < 85) {
    server.Remove("trainingpools", "ns", name);
  } else if (dice < 92) {
    server.CloseWatches();
  } else if (dice < 95) {
    server.Compact();
  } else if (dice < 98) {
    server.SendBookmarks();
  } else {
    server.SetChunkBytes(random() % 50);
  }
}

// --- does the store have what the server has? ---

constexpr seconds kAfterEveryWatch{1};

TEST(Reflector, ADeletionThatTheServerLostIsFoundAndMadeGood) {
  const Played got = Play({{.body = ListBody(9, {Object("a", 3), Object("b", 7)})},
                           {.body = Bookmark(10)},
                           {.body = MetadataBody(20, {Object("a", 3)})},
                           {.body = Bookmark(20)},
                           {.body = ListBody(21, {Object("a", 3)})},
                           {.body = ""}},
                          1, kAfterEveryWatch);
  EXPECT_THAT(got.asked, ElementsAre("list rv=0 limit=500", "watch rv=9", "list limit=500",
                                     "watch rv=10", "list limit=500", "watch rv=21"));
  EXPECT_THAT(got.hooks, ElementsAre("listed:start", "ended:timeout", "ended:differs",
                                     "listed:differs", "ended:timeout"));
  EXPECT_EQ(got.store, "a=1@3 | 21");
  EXPECT_THAT(got.waits, IsEmpty());
  EXPECT_THAT(got.requests[2].headers,
              testing::Contains(std::pair<std::string, std::string>(
                  "Accept",
                  "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"
                  "application/json")));
}

TEST(Reflector, AnyDifferenceIsFoundOnceTheWatchHasComeAsFar) {
  const std::vector<json> ours = {Object("a", 3), Object("b", 7)};
  struct Row {
    const char* what;
    std::vector<json> there;  // at version 20
    std::string watched;      // from version 10 on
    bool differs;
  };
  const Row rows[] = {
      {"the same", ours, Bookmark(20), false},
      {"the same, in another order", {Object("b", 7), Object("a", 3)}, Bookmark(20), false},
      {"a lost creation", {Object("a", 3), Object("b", 7), Object("c", 8)}, Bookmark(20), true},
      {"a lost change", {Object("a", 8), Object("b", 7)}, Bookmark(20), true},
      {"made anew under another name", {Object("a", 3), Object("c", 7)}, Bookmark(20), true},
      {"seen at once beyond it", {Object("a", 3)}, Event("MODIFIED", Object("a", 21)), true},
      {"a change that comes with the watch",
       {Object("a", 15), Object("b", 7)},
       Event("MODIFIED", Object("a", 15)) + Bookmark(20),
       false},
      {"the last change that it has",
       {Object("a", 20), Object("b", 7)},
       Event("MODIFIED", Object("a", 20)),
       false},
      {"a change after it", ours, Event("MODIFIED", Object("a", 21)), false},
      {"not as far yet", {}, Event("MODIFIED", Object("a", 19)), false}};
  for (const Row& row : rows) {
    const Played got = Play({{.body = ListBody(9, ours)},
                             {.body = Bookmark(10)},
                             {.body = MetadataBody(20, row.there)},
                             {.body = row.watched}},
                            1, kAfterEveryWatch);
    EXPECT_EQ(got.hooks.back(), row.differs ? "ended:differs" : "ended:timeout") << row.what;
  }
}

TEST(Reflector, AStoreThatIsAheadOfTheServerIsListedAnew) {
  const Played got = Play({{.body = ListBody(9, {Object("a", 3)})},
                           {.body = Bookmark(90)},
                           {.body = MetadataBody(7, {Object("a", 3)})},
                           {.body = ListBody(7, {Object("b", 5)})}},
                          1, kAfterEveryWatch);
  EXPECT_THAT(got.asked,
              ElementsAre("list rv=0 limit=500", "watch rv=9", "list limit=500", "list limit=500"));
  EXPECT_EQ(got.hooks.back(), "listed:differs");
  EXPECT_EQ(got.store, "b=1@5 | 7");
}

TEST(Reflector, LooksInPagesWhatTheServerHasAndGoesOnWhereThatFails) {
  const Played paged = Play({{.body = ListBody(9, {Object("a", 3), Object("b", 7)})},
                             {.body = Bookmark(10)},
                             {.body = MetadataBody(20, {Object("a", 3)}, "more")},
                             {.body = MetadataBody(20, {Object("b", 7)})},
                             {.body = Bookmark(20)}},
                            1, kAfterEveryWatch);
  EXPECT_EQ(paged.hooks.back(), "ended:timeout");
  const Played refused = Play({{.body = ListBody(9, {Object("a", 3)})},
                               {.body = Bookmark(10)},
                               Refuse(403, "Forbidden"),
                               {.body = Bookmark(20)}},
                              1, kAfterEveryWatch);
  EXPECT_THAT(refused.asked,
              ElementsAre("list rv=0 limit=500", "watch rv=9", "list limit=500", "watch rv=10"));
  EXPECT_THAT(refused.hooks,
              ElementsAre("listed:start", "ended:timeout", "check skipped", "ended:timeout"));
  const Played slow =
      Play({{.body = ListBody(9, {Object("a", 3)})},
            {.body = Bookmark(10)},
            {.body = MetadataBody(20, {Object("b", 3)}, "more"), .takes = seconds(21)},
            {.body = Bookmark(20)}},
           1, kAfterEveryWatch);
  EXPECT_THAT(slow.asked,
              ElementsAre("list rv=0 limit=500", "watch rv=9", "list limit=500", "watch rv=10"));
  EXPECT_THAT(slow.hooks,
              ElementsAre("listed:start", "ended:timeout", "check skipped", "ended:timeout"));
}

// Each page takes its time, and a look that is given up each time heals nothing.
TEST(Reflector, ALookMayTakeLongerTheMoreThereIs) {
  std::vector<json> things;
  for (int i = 0; i < 2500; ++i) things.push_back(Object("t" + std::to_string(i), 3));
  const std::pair<milliseconds, const char*> rows[] = {
      {milliseconds(20'900), "list limit=500 continue=more"},
      {milliseconds(21'100), "watch rv=10"}};
  for (const auto& [takes, next] : rows) {
    const Played got = Play({{.body = ListBody(9, things)},
                             {.body = Bookmark(10)},
                             {.body = MetadataBody(20, {}, "more"), .takes = takes},
                             {.body = MetadataBody(20, {})}},
                            1, kAfterEveryWatch);
    ASSERT_EQ(got.asked.size(), 4U);
    EXPECT_EQ(got.asked[3], next);
  }
}

TEST(Reflector, WhatWasListedAnewIsNotHeldAgainstAnOlderSample) {
  const Played got = Play({{.body = ListBody(9, {Object("a", 3)})},
                           {.body = Bookmark(10)},
                           {.body = MetadataBody(20, {Object("a", 3)})},
                           {.body = ErrorEvent(410, "Expired")},
                           {.body = ListBody(30, {})},
                           {.body = Bookmark(31), .lasts = milliseconds(1)}},
                          1, kAfterEveryWatch);
  EXPECT_THAT(got.hooks, ElementsAre("listed:start", "ended:timeout", "ended:expired",
                                     "listed:expired", "ended:timeout"));
}

TEST(Reflector, NothingIsHeldAgainstTheServerUntilEveryObjectCanBeRead) {
  const Played got = Play({{.body = ListBody(9, {Object("a", 3), Object("b", 7, "many")})},
                           {.body = Bookmark(10)},
                           {.body = Event("MODIFIED", Object("b", 11))},
                           {.body = MetadataBody(20, {Object("a", 3), Object("b", 11)})}},
                          1, kAfterEveryWatch);
  EXPECT_THAT(got.asked,
              ElementsAre("list rv=0 limit=500", "watch rv=9", "watch rv=10", "list limit=500"));
  EXPECT_EQ(std::ranges::count(got.hooks, "check skipped"), 1);
}

TEST(Reflector, ASampleIsHeldAgainstNothingOnceAnObjectCannotBeRead) {
  const Played got = Play({{.body = ListBody(9, {Object("a", 3)})},
                           {.body = Bookmark(10)},
                           {.body = MetadataBody(20, {Object("a", 20)})},
                           {.body = Event("MODIFIED", Object("a", 20, "many"))}},
                          1, kAfterEveryWatch);
  EXPECT_THAT(got.hooks,
              ElementsAre("listed:start", "ended:timeout", testing::StartsWith("bad:ns/a"),
                          "check skipped", "ended:timeout", "check skipped"))
      << "the next look is none either";
}

TEST(Reflector, LooksBetweenHalfAnHourAndAnHourAfterTheLastLook) {
  std::deque<Act> acts = {{.body = ListBody(9, {Object("a", 3)})}};
  for (int i = 0; i < 200; ++i) acts.push_back({.body = Bookmark(10), .lasts = seconds(60)});
  const Played got = Play(acts);
  std::vector<long> at;  // which of the requests are looks
  for (size_t i = 1; i < got.asked.size(); ++i) {
    if (got.asked[i] == "list limit=500") at.push_back(static_cast<long>(i));
  }
  ASSERT_GE(at.size(), 3U);
  EXPECT_THAT(at[0], testing::AllOf(testing::Ge(30), testing::Le(62)));
  EXPECT_THAT(at[1] - at[0], testing::AllOf(testing::Ge(30), testing::Le(62)));
}

// A reflector and a server to which everything happens by a seed.
void LiveThroughChaos(uint64_t seed, std::optional<support::Lag> lag, int& too_early) {
  FakeClock clock;
  FakeApiServer server(clock);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 30; ++i) Churn(server, random);
  server.SetChaos(support::Chaos{
      .seed = seed, .refuse_percent = 10, .drop_before_percent = 10, .cut_watch_percent = 60});
  server.SetLag(lag);
  const auto pass = [&](milliseconds time) {
    clock.Advance(time);
    server.Tick();
    std::this_thread::yield();
  };
  const Running running(server, clock, seed);
  for (int i = 0; i < 400; ++i) {
    Churn(server, random);
    if (lag) pass(milliseconds(20));
    // Let it get somewhere in between: another request at least.
    const size_t asked = server.Requests().size();
    if (i % 10 == 0) {
      server.CloseWatches();
      ASSERT_TRUE(server.WaitUntil([&] {
        if (lag) pass(milliseconds(1));
        return server.Requests().size() > asked;
      }));
    }
  }
  server.SetChaos(std::nullopt);
  // The watches of the time of chaos may still be cut: all end here.
  server.CloseWatches();
  // A bookmark brings the version where the last event was of an object never seen.
  const bool equal = server.WaitUntil([&] {
    if (Print(running.store()) == PrintServer(server)) return true;
    server.SendBookmarks();
    pass(milliseconds(lag ? 1 : 0));
    return false;
  });
  EXPECT_TRUE(equal) << "seed " << seed << "\n"
                     << Print(running.store()) << "\n"
                     << PrintServer(server);
  EXPECT_EQ(running.bad(), 0);
  for (const auto& request : server.Requests()) too_early += request.status == 504 ? 1 : 0;
}

TEST(ReflectorAgainstServer, EndsEqualToTheServerWhateverHappens) {
  int too_early = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    ASSERT_NO_FATAL_FAILURE(LiveThroughChaos(seed, std::nullopt, too_early));
  }
  EXPECT_EQ(too_early, 0);
}

// Two servers, each with a cache of its own that lags, of which any answers a request.
TEST(ReflectorAgainstServer, EndsEqualHoweverFarTheCachesAreBehind) {
  int too_early = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const support::Lag lag{
        .seed = seed, .servers = 2, .cache = milliseconds(2000), .latency = milliseconds(20)};
    ASSERT_NO_FATAL_FAILURE(LiveThroughChaos(seed, lag, too_early));
  }
  EXPECT_GT(too_early, 0) << "no list was asked of a cache that was not as far yet";
}

TEST(ReflectorAgainstServer, PagesThroughAThousandObjects) {
  FakeClock clock;
  FakeApiServer server(clock);
  for (int i = 0; i < 1201; ++i) {
    server.Put({{"kind", "TrainingPool"},
                {"metadata", {{"name", "t" + std::to_string(i)}, {"namespace", "ns"}}},
                {"spec", {{"workers", i}}}});
  }
  const Running running(server, clock, 1);
  ASSERT_TRUE(server.WaitUntil([&] { return server.open_watches() == 1; }));
  EXPECT_EQ(running.store().size(), 1201U);
  EXPECT_EQ(running.store().ResourceVersion(), "1201");
}

}  // namespace
}  // namespace spillway::kube
