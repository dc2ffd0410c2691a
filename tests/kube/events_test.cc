#include "kube/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/eventually.h"
#include "tests/support/fake_clock.h"
#include "tests/support/scripted_transport.h"

namespace spillway::kube {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using support::Eventually;
using support::FakeClock;
using support::ScriptedTransport;
using ::testing::ElementsAre;
using ::testing::MatchesRegex;

EventRecord Spilled(const std::string& pool = "opt",
                    const std::string& note = "runs on azure-a100") {
  return {.api_version = "spillway.dev/v1alpha1",
          .kind = "TrainingPool",
          .name = pool,
          .ns = "team",
          .uid = "uid-" + pool,
          .warning = false,
          .reason = "Placed",
          .action = "Place",
          .note = note};
}

class EventsTest : public ::testing::Test {
 protected:
  EventsTest()
      : transport_([this](const HttpRequest& request) -> Result<HttpResponse> {
          if (request.target.find("/namespaces/slow/") != std::string::npos && refuse_slow_-- > 0) {
            return HttpResponse{.status = 429, .headers = {{"retry-after", "1"}}, .body = {}};
          }
          const size_t index = std::min(static_cast<size_t>(sent_++), statuses_.size() - 1);
          EXPECT_TRUE(Eventually([this] { return !held_; }));
          if (on_request_) on_request_(index);
          if (statuses_[index] == 0) return Error{Code::kUnknown, "no answer"};
          HttpResponse response{.status = statuses_[index], .headers = {}, .body = request.body};
          if (!retry_after_.empty()) response.headers["retry-after"] = retry_after_;
          return response;
        }),
        client_(transport_, clock_, {.user_agent = "test", .observe = {}}) {}

  EventRecorder::Options Options() {
    return {.instance = "me", .first_wait = 1ms, .dropped = [this](size_t count) {
              dropped_ += count;
            }};
  }
  // Waits until so many requests have come, then returns what they are about.
  std::vector<std::string> Told(size_t count) {
    std::vector<std::string> told;
    for (const Json& body : Bodies(count)) {
      told.push_back(body["metadata"]["namespace"].get<std::string>() + "/" +
                     body["regarding"]["name"].get<std::string>());
    }
    return told;
  }
  // Waits until so many requests have come, then returns their bodies.
  std::vector<Json> Bodies(size_t count) {
    EXPECT_TRUE(Eventually([&] { return transport_.Requests().size() >= count; }));
    std::vector<Json> bodies;
    for (const HttpRequest& request : transport_.Requests()) {
      bodies.push_back(Json::parse(request.body));
    }
    return bodies;
  }

  FakeClock clock_;
  Log log_{LogLevel::kError, true};
  std::vector<int> statuses_ = {
      201};                  // of one request after another; the last for all further ones
  std::string retry_after_;  // empty: not said
  std::function<void(size_t)> on_request_;  // before it is answered: the how-manieth it is
  std::atomic<int> refuse_slow_ = 0;        // so many in the namespace "slow"
  std::atomic<int> sent_ = 0;
  std::atomic<bool> held_ = false;
  std::atomic<size_t> dropped_ = 0;
  ScriptedTransport transport_;
  Client client_;
};

TEST_F(EventsTest, SaysWhatHappenedToWhichObjectAndWhoSaysSo) {
  EventRecorder recorder(client_, clock_, log_, Options());
  recorder.Record(Spilled());
  const Json event = Bodies(1).at(0);
  EXPECT_EQ(transport_.Requests().at(0).target, "/apis/events.k8s.io/v1/namespaces/team/events");
  EXPECT_EQ(event["apiVersion"], "events.k8s.io/v1");
  EXPECT_EQ(event["kind"], "Event");
  EXPECT_THAT(event["metadata"]["name"].get<std::string>(), MatchesRegex("opt\\.[0-9a-f]+"));
  EXPECT_EQ(event["metadata"]["namespace"], "team");
  EXPECT_EQ(event["regarding"], (Json{{"apiVersion", "spillway.dev/v1alpha1"},
                                      {"kind", "TrainingPool"},
                                      {"name", "opt"},
                                      {"namespace", "team"},
                                      {"uid", "uid-opt"}}));
  EXPECT_EQ(event["reason"], "Placed");
  EXPECT_EQ(event["action"], "Place");
  EXPECT_EQ(event["type"], "Normal");
  EXPECT_EQ(event["note"], "runs on azure-a100");
  EXPECT_EQ(event["eventTime"], "2026-11-24T00:00:00.000000Z");
  EXPECT_EQ(event["reportingController"], "spillway.dev/operator");
  EXPECT_EQ(event["reportingInstance"], "me");
}

TEST_F(EventsTest, AFlushWaitsForAllThatIsUnderWayAndNoLongerThanItMay) {
  EventRecorder recorder(client_, clock_, log_, Options());
  held_ = true;
  recorder.Record(Spilled("first"));
  recorder.Record(Spilled("second"));
  EXPECT_TRUE(Eventually([this] { return sent_ == 1; }));
  recorder.Flush(1ms);
  EXPECT_EQ(sent_, 1);
  const std::jthread release([this] { held_ = false; });
  recorder.Flush(30s);
  recorder.Stop();
  EXPECT_EQ(sent_, 2);
  EXPECT_EQ(dropped_, 0U);
}

TEST_F(EventsTest, OfAClusterScopedObjectGoesToTheDefaultNamespace) {
  EventRecorder recorder(client_, clock_, log_, Options());
  EventRecord record = Spilled();
  record.kind = "NodeGroup";
  record.ns.clear();
  record.warning = true;
  recorder.Record(record);
  const Json event = Bodies(1).at(0);
  EXPECT_EQ(transport_.Requests().at(0).target, "/apis/events.k8s.io/v1/namespaces/default/events");
  EXPECT_FALSE(event["regarding"].contains("namespace"));
  EXPECT_EQ(event["type"], "Warning");
}

TEST_F(EventsTest, CutsWhatIsTooLongWithoutBreakingACharacter) {
  EventRecorder::Options options = Options();
  options.instance = std::string(200, 'i');
  EventRecorder recorder(client_, clock_, log_, options);
  EventRecord record = Spilled(std::string(253, 'p'));
  record.note = "x";
  while (record.note.size() < 2000) record.note += "→";  // three bytes each: 1,024 falls inside one
  recorder.Record(record);
  const Json event = Bodies(1).at(0);
  EXPECT_EQ(event["note"].get<std::string>().size(), 1024U);
  record.note.insert(0, "x");
  recorder.Record(record);
  EXPECT_EQ(Bodies(2).at(1)["note"].get<std::string>().size(), 1022U);
  EXPECT_EQ(event["reportingInstance"].get<std::string>().size(), 128U);
  EXPECT_EQ(event["metadata"]["name"].get<std::string>().size(), 253U);
}

TEST_F(EventsTest, SaysTheSameOnceInTenMinutes) {
  EventRecorder recorder(client_, clock_, log_, Options());
  recorder.Record(Spilled());
  recorder.Record(Spilled());
  clock_.Advance(9min);
  recorder.Record(Spilled());
  recorder.Record(Spilled("opt", "runs on aws-a100"));
  recorder.Record(Spilled("other"));
  clock_.Advance(1min);
  recorder.Record(Spilled());
  std::vector<std::string> told;
  for (const Json& event : Bodies(4)) {
    told.push_back(event["regarding"]["name"].get<std::string>() + ": " +
                   event["note"].get<std::string>());
  }
  EXPECT_THAT(told, ElementsAre("opt: runs on azure-a100", "opt: runs on aws-a100",
                                "other: runs on azure-a100", "opt: runs on azure-a100"));
}

TEST_F(EventsTest, TriesAgainWhileTheServerIsUnavailable) {
  statuses_ = {503, 0, 429, 500, 201};
  EventRecorder recorder(client_, clock_, log_, Options());
  recorder.Record(Spilled());
  const auto bodies = Bodies(5);
  for (const Json& body : bodies) EXPECT_EQ(body, bodies[0]);  // the same name: no double
  recorder.Stop();
  EXPECT_EQ(transport_.Requests().size(), 5U);
  EXPECT_EQ(dropped_, 0U);
}

TEST_F(EventsTest, WaitsAsLongAsTheServerAsks) {
  statuses_ = {503, 201};
  retry_after_ = "1";
  const auto start = std::chrono::steady_clock::now();
  // A client whose deadline is over before it could try again itself.
  EventRecorder recorder(client_.WithDeadline(500ms), clock_, log_, Options());
  recorder.Record(Spilled());
  EXPECT_EQ(Bodies(2).size(), 2U);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 1s);
}

EventRecord In(const std::string& ns, const std::string& pool) {
  EventRecord record = Spilled(pool);
  record.ns = ns;
  return record;
}

TEST_F(EventsTest, ANamespaceThatIsRefusedForNowHoldsUpNoOtherAndKeepsItsOrder) {
  refuse_slow_ = 1;
  EventRecorder recorder(client_, clock_, log_, Options());
  const auto start = std::chrono::steady_clock::now();
  recorder.Record(In("slow", "first"));
  recorder.Record(In("slow", "second"));
  recorder.Record(In("team", "opt"));
  EXPECT_THAT(Told(4), ElementsAre("slow/first", "team/opt", "slow/first", "slow/second"));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 1s);
  recorder.Flush(30s);
  EXPECT_EQ(dropped_, 0U);
}

// The last try, too, is answered with a time to wait.
TEST_F(EventsTest, WhatComesAfterOneThatIsGivenUpWaitsAsLongAsTheServerAsks) {
  for (const int status : {429, 503}) {
    SCOPED_TRACE(status);
    statuses_ = {500, 500, 500, 500, status, 201};
    sent_ = 0;
    std::chrono::steady_clock::time_point asked;
    on_request_ = [&](size_t index) {
      if (index == 4) asked = std::chrono::steady_clock::now();
      retry_after_ = index == 4 ? "1" : "";
    };
    const size_t before = transport_.Requests().size();
    EventRecorder recorder(client_, clock_, log_, Options());
    recorder.Record(Spilled());
    recorder.Record(Spilled("next"));
    EXPECT_EQ(Bodies(before + 6).back()["regarding"]["name"], "next");
    EXPECT_GE(std::chrono::steady_clock::now() - asked, 1s);
    recorder.Stop();
  }
  EXPECT_EQ(dropped_, 2U);
}

TEST_F(EventsTest, WhatIsRecordedWhileANamespaceWaitsIsSentAtOnce) {
  refuse_slow_ = 1'000'000;
  EventRecorder::Options options = Options();
  options.first_wait = 60s;
  EventRecorder recorder(client_, clock_, log_, options);
  recorder.Record(In("slow", "first"));
  ASSERT_EQ(Told(1).size(), 1U);
  recorder.Record(In("slow", "second"));
  recorder.Record(In("team", "opt"));
  EXPECT_THAT(Told(2), ElementsAre("slow/first", "team/opt"));
  recorder.Flush(1ms);
  recorder.Stop();
  EXPECT_EQ(dropped_, 2U);
  EXPECT_EQ(transport_.Requests().size(), 2U);
}

TEST_F(EventsTest, WhereNobodyIsThereToAnswerAllWait) {
  for (const int status : {0, 503}) {
    statuses_ = {status, status, 201};
    sent_ = 0;
    const size_t before = transport_.Requests().size();
    EventRecorder recorder(client_, clock_, log_, Options());
    recorder.Record(In("team", "opt"));
    recorder.Record(In("other", "next"));
    std::vector<std::string> told = Told(before + 4);
    told.erase(told.begin(), told.begin() + static_cast<std::ptrdiff_t>(before));
    EXPECT_THAT(told, ElementsAre("team/opt", "team/opt", "team/opt", "other/next")) << status;
  }
}

TEST_F(EventsTest, GivesUpAfterFiveTries) {
  statuses_ = {503, 503, 503, 503, 503, 201};
  EventRecorder recorder(client_, clock_, log_, Options());
  recorder.Record(Spilled());
  recorder.Record(Spilled("next"));
  EXPECT_EQ(Bodies(6).at(5)["regarding"]["name"], "next");
  EXPECT_EQ(dropped_, 1U);
}

TEST_F(EventsTest, DoesNotInsistWhereItIsRefusedAndCountsThat) {
  size_t refused = 0;
  for (const int status : {400, 403, 404, 409, 422}) {
    SCOPED_TRACE(status);
    statuses_ = {status, 201};
    sent_ = 0;
    const size_t before = transport_.Requests().size();
    EventRecorder recorder(client_, clock_, log_, Options());
    recorder.Record(Spilled());
    recorder.Record(Spilled("next"));
    EXPECT_TRUE(Eventually([&] { return transport_.Requests().size() == before + 2; }));
    recorder.Stop();
    EXPECT_EQ(transport_.Requests().size(), before + 2);
    EXPECT_EQ(dropped_, ++refused);
  }
}

TEST_F(EventsTest, WhatWasNotSentIsSentTheNextTime) {
  for (const std::vector<int>& failures : {std::vector<int>{403}, std::vector<int>(5, 503)}) {
    statuses_ = failures;
    statuses_.push_back(201);
    sent_ = 0;
    const size_t before = transport_.Requests().size();
    EventRecorder recorder(client_, clock_, log_, Options());
    recorder.Record(Spilled());
    recorder.Record(Spilled("next"));  // once it is sent, the first one is done with
    EXPECT_TRUE(
        Eventually([&] { return transport_.Requests().size() == before + failures.size() + 1; }));
    recorder.Record(Spilled());
    EXPECT_TRUE(
        Eventually([&] { return transport_.Requests().size() == before + failures.size() + 2; }));
  }
}

TEST_F(EventsTest, NeverBlocksAndDropsTheNewestWhenAThousandWait) {
  held_ = true;
  EventRecorder recorder(client_, clock_, log_, Options());
  recorder.Record(Spilled("first"));
  ASSERT_TRUE(Eventually([&] { return sent_ == 1; }));  // on its way, no longer waiting
  for (int i = 0; i < 1010; ++i) recorder.Record(Spilled("p" + std::to_string(i)));
  EXPECT_EQ(dropped_, 10U);
  held_ = false;
  const auto bodies = Bodies(1001);
  EXPECT_EQ(bodies.back()["regarding"]["name"], "p999");
}

TEST_F(EventsTest, ANamespaceOfWhichNothingCanBeSentTakesNobodyElsesPlace) {
  refuse_slow_ = 1'000'000;
  EventRecorder::Options options = Options();
  options.first_wait = 60s;
  EventRecorder recorder(client_, clock_, log_, options);
  recorder.Record(In("slow", "first"));
  ASSERT_EQ(Told(1).size(), 1U);
  for (int i = 0; i < 1500; ++i) recorder.Record(In("slow", "p" + std::to_string(i)));
  EXPECT_TRUE(Eventually([&] { return dropped_ == 501; })) << dropped_;
  held_ = true;
  for (int i = 0; i < 400; ++i) recorder.Record(In("team", "opt-" + std::to_string(i)));
  EXPECT_GE(dropped_, 501U + 399) << "the newest of the other";
  held_ = false;
  EXPECT_EQ(Told(401).back(), "team/opt-399") << "all of them";
}

TEST_F(EventsTest, OfNamespacesThatHaveAsManyTheOneThatGetsMoreLosesIt) {
  held_ = true;
  EventRecorder recorder(client_, clock_, log_, Options());
  recorder.Record(In("one", "first"));
  ASSERT_TRUE(Eventually([&] { return sent_ == 1; }));  // on its way, no longer waiting
  for (int i = 0; i < 600; ++i) {
    recorder.Record(In("one", "p" + std::to_string(i)));
    recorder.Record(In("two", "q" + std::to_string(i)));
  }
  EXPECT_EQ(dropped_, 200U);
  held_ = false;
  const std::vector<std::string> told = Told(1001);
  EXPECT_EQ(std::ranges::count(told, "one/p499"), 1);
  EXPECT_EQ(std::ranges::count(told, "two/q499"), 1);
}

TEST_F(EventsTest, WhatWasDroppedIsNotTakenForSent) {
  held_ = true;
  EventRecorder recorder(client_, clock_, log_, Options());
  recorder.Record(Spilled("first"));
  ASSERT_TRUE(Eventually([&] { return sent_ == 1; }));
  for (int i = 0; i < 1001; ++i) recorder.Record(Spilled("p" + std::to_string(i)));
  ASSERT_EQ(dropped_, 1U);
  held_ = false;
  ASSERT_EQ(Bodies(1001).size(), 1001U);
  recorder.Record(Spilled("p1000"));
  EXPECT_EQ(Bodies(1002).back()["regarding"]["name"], "p1000");
}

TEST_F(EventsTest, StopsWithoutSendingWhatWaits) {
  held_ = true;
  EventRecorder recorder(client_, clock_, log_, Options());
  for (int i = 0; i < 5; ++i) recorder.Record(Spilled("p" + std::to_string(i)));
  ASSERT_TRUE(Eventually([&] { return sent_ == 1; }));
  std::jthread stopper([&] { recorder.Stop(); });
  EXPECT_TRUE(Eventually([&] { return dropped_ == 4; }));
  held_ = false;
  stopper.join();
  recorder.Record(Spilled("late"));
  EXPECT_EQ(transport_.Requests().size(), 1U);
  EXPECT_EQ(dropped_, 5U);
}

TEST_F(EventsTest, AGateThatIsShutDropsIt) {
  std::atomic<int> asked = 0;
  EventRecorder recorder(client_.Gated([&](std::chrono::milliseconds) -> Status {
    ++asked;
    return Error{Code::kCancelled, "not the leader"};
  }),
                         clock_, log_, Options());
  recorder.Record(Spilled());
  EXPECT_TRUE(Eventually([&] { return asked == 1; }));
  recorder.Stop();
  EXPECT_TRUE(transport_.Requests().empty());
  EXPECT_EQ(dropped_, 1U);
}

}  // namespace
}  // namespace spillway::kube
