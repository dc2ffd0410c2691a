#include "kube/lease.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/kube/lease_server.h"
#include "tests/support/fake_clock.h"
#include "tests/support/scripted_transport.h"

namespace spillway::kube {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using std::chrono::milliseconds;
using support::FakeClock;
using support::ScriptedTransport;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Error NoAnswer() { return {Code::kUnavailable, "connection lost"}; }

class LeaseTest : public ::testing::Test {
 protected:
  LeaseTest()
      : transport_([this](const HttpRequest& request) {
          methods_.push_back(request.method);
          return server_.Answer(request);
        }),
        client_(transport_, clock_, {.user_agent = "test", .observe = {}}) {}

  LeaderElector Elector(const std::string& identity = "me") {
    return {client_,
            clock_,
            log_,
            {.ns = "ns",
             .name = "spillway",
             .identity = identity,
             .wait = [this](milliseconds time, const std::stop_token&) {
               clock_.Advance(time);
               ++waits_;
               if (on_wait_) on_wait_();
             }}};
  }
  // Runs until `done` says so, asked at each wait.
  Status RunUntil(LeaderElector& elector, const std::function<bool()>& done) {
    std::stop_source stop;
    on_wait_ = [&, stop]() mutable {
      if (done()) stop.request_stop();
    };
    Status ran = elector.Run([this] { led_at_.push_back(clock_.Elapsed()); }, stop.get_token());
    on_wait_ = nullptr;  // it refers to `done`, and Release waits too
    return ran;
  }
  [[nodiscard]] double Now() const {
    return std::chrono::duration<double>(clock_.Elapsed()).count();
  }

  FakeClock clock_;
  Log log_{LogLevel::kError, true};
  LeaseServer server_;
  std::vector<std::string> methods_;
  ScriptedTransport transport_;
  Client client_;
  int waits_ = 0;
  std::function<void()> on_wait_;
  std::vector<std::chrono::nanoseconds> led_at_;
};

TEST_F(LeaseTest, TakesALeaseThatIsNotThere) {
  LeaderElector elector = Elector();
  EXPECT_FALSE(elector.Valid(0ms));
  EXPECT_TRUE(RunUntil(elector, [] { return true; }).ok());
  EXPECT_THAT(methods_, ElementsAre("GET", "POST"));
  EXPECT_EQ(led_at_.size(), 1U);
  const Json spec = server_.Spec();
  EXPECT_EQ(spec["holderIdentity"], "me");
  EXPECT_EQ(spec["leaseDurationSeconds"], 15);
  EXPECT_EQ(spec["acquireTime"], "2026-11-24T00:00:00.000000Z");
  EXPECT_EQ(spec["renewTime"], "2026-11-24T00:00:00.000000Z");
  EXPECT_EQ(spec["leaseTransitions"], 0);
}

TEST_F(LeaseTest, KnowsWhichObjectItsLeaseIs) {
  server_.Put("", "2026-11-24T00:00:00.000000Z", 1);
  server_.lease["metadata"]["uid"] = "uid-of-it";
  LeaderElector elector = Elector();
  EXPECT_EQ(elector.LeaseUid(), "");
  EXPECT_TRUE(RunUntil(elector, [] { return true; }).ok());
  EXPECT_EQ(elector.LeaseUid(), "uid-of-it");
}

TEST_F(LeaseTest, RenewsByOnePutAndKeepsWhenItWasAcquired) {
  LeaderElector elector = Elector();
  EXPECT_TRUE(RunUntil(elector, [this] { return waits_ == 3; }).ok());
  EXPECT_THAT(methods_, ElementsAre("GET", "POST", "PUT", "PUT"));
  EXPECT_EQ(server_.Spec()["acquireTime"], "2026-11-24T00:00:00.000000Z");
  EXPECT_EQ(server_.Spec()["renewTime"], "2026-11-24T00:00:04.000000Z");
}

TEST_F(LeaseTest, AsksWithAShortDeadline) {
  LeaderElector elector = Elector();
  EXPECT_TRUE(RunUntil(elector, [] { return true; }).ok());
  for (const HttpRequest& request : transport_.Requests()) EXPECT_LE(request.deadline, 2500ms);
}

TEST_F(LeaseTest, WaitsAWholeDurationOfItsOwnTimeSinceTheLastSignOfLife) {
  // The holder's clock is an hour behind: nothing of it counts.
  server_.Put("other", "2026-11-23T23:00:00.000000Z");
  LeaderElector elector = Elector();
  bool renewed = false;
  EXPECT_TRUE(RunUntil(elector, [&] {
                if (Now() > 10 && !std::exchange(renewed, true)) {
                  server_.Put("other", "2026-11-23T23:00:10.000000Z");
                }
                return elector.Leading();
              }).ok());
  ASSERT_EQ(led_at_.size(), 1U);
  // Seen renewed at the first try after 10 s, free 15 s later, and taken as soon as that.
  EXPECT_GE(led_at_[0], 25s);
  EXPECT_LE(led_at_[0], 28s);
  EXPECT_EQ(server_.Spec()["leaseTransitions"], 1);
}

TEST_F(LeaseTest, AChangeOfAnythingElseIsNoSignOfLife) {
  server_.Put("other", "2026-11-24T00:00:00.000000Z");
  LeaderElector elector = Elector();
  EXPECT_TRUE(RunUntil(elector, [&] {
                if (!elector.Leading()) {
                  server_.lease["metadata"]["labels"]["a"] = std::to_string(waits_);
                  server_.Stamp();
                }
                return elector.Leading();
              }).ok());
  EXPECT_LE(led_at_.at(0), 18s);
}

TEST_F(LeaseTest, TakesAReleasedLeaseAtOnce) {
  server_.Put("", "2026-11-24T00:00:00.000000Z", 1);
  LeaderElector elector = Elector();
  EXPECT_TRUE(RunUntil(elector, [] { return true; }).ok());
  EXPECT_EQ(led_at_.at(0), 0s);
}

TEST_F(LeaseTest, GivesALeaseThatMakesNoSenseAWholeDuration) {
  struct Case {
    const char* name;
    std::function<void(Json&)> damage;
  };
  const std::vector<Case> cases = {
      {"no spec", [](Json& lease) { lease.erase("spec"); }},
      {"no renewal time", [](Json& lease) { lease["spec"].erase("renewTime"); }},
      {"no fraction", [](Json& lease) { lease["spec"]["renewTime"] = "2026-11-24T00:00:00Z"; }},
      {"duration zero", [](Json& lease) { lease["spec"]["leaseDurationSeconds"] = 0; }},
      {"duration negative", [](Json& lease) { lease["spec"]["leaseDurationSeconds"] = -15; }},
      {"a text for a duration", [](Json& lease) { lease["spec"]["leaseDurationSeconds"] = "15"; }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    led_at_.clear();
    server_.Put("other", "2026-11-24T00:00:00.000000Z");
    c.damage(server_.lease);
    const auto start = clock_.Elapsed();
    LeaderElector elector = Elector();
    EXPECT_TRUE(RunUntil(elector, [&] { return elector.Leading(); }).ok());
    EXPECT_GE(led_at_.at(0) - start, 15s);
    EXPECT_LE(led_at_.at(0) - start, 18s);
  }
}

TEST_F(LeaseTest, CountsValidityFromBeforeTheRenewalWasSent) {
  LeaderElector elector = Elector();
  server_.after = [this](const HttpRequest& request) -> std::optional<Result<HttpResponse>> {
    if (request.method == "POST") clock_.Advance(1500ms);  // a slow answer
    return std::nullopt;
  };
  EXPECT_TRUE(RunUntil(elector, [] { return true; }).ok());
  EXPECT_EQ(elector.ValidUntil(), 12s);  // sent at 0; 15 s less a fifth
  EXPECT_EQ(clock_.Elapsed(), 3500ms);
  EXPECT_TRUE(elector.Valid(8499ms));
  EXPECT_FALSE(elector.Valid(8500ms));
}

TEST_F(LeaseTest, AFifthOfEveryLeaseIsLeftToOthersClocks) {
  LeaderElector elector(client_, clock_, log_,
                        {.ns = "ns",
                         .name = "spillway",
                         .identity = "me",
                         .lease_duration = 5s,
                         .renew_deadline = 3s,
                         .retry_period = 1s,
                         .wait = [this](milliseconds, const std::stop_token&) { on_wait_(); }});
  EXPECT_TRUE(RunUntil(elector, [] { return true; }).ok());
  EXPECT_EQ(elector.ValidUntil(), 4s);
}

TEST_F(LeaseTest, StopsWhenItCannotRenewInTime) {
  LeaderElector elector = Elector();
  server_.before = [this](const HttpRequest& request) -> std::optional<Result<HttpResponse>> {
    if (request.method != "PUT") return std::nullopt;
    clock_.Advance(2500ms);
    return NoAnswer();
  };
  const Status end = RunUntil(elector, [] { return false; });
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().code, Code::kUnavailable);
  EXPECT_THAT(end.error().message, StartsWith("the lease was not renewed: "));
  EXPECT_FALSE(elector.Leading());
  EXPECT_FALSE(elector.Valid(0ms));
  EXPECT_LT(clock_.Elapsed(), 15s);  // before anybody else may have it
}

// Of a server that is overloaded no renewal comes through, however politely it refuses.
TEST_F(LeaseTest, OverloadForEverEndsTheLeaderBeforeItsLeaseDoes) {
  LeaderElector elector = Elector();
  server_.before = [this](const HttpRequest& request) -> std::optional<Result<HttpResponse>> {
    if (request.method != "PUT") return std::nullopt;
    clock_.Advance(100ms);
    return HttpResponse{.status = 429, .headers = {{"retry-after", "10"}}, .body = {}};
  };
  const Status end = RunUntil(elector, [] { return false; });
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().code, Code::kUnavailable);
  EXPECT_LT(clock_.Elapsed(), 12s);
  EXPECT_GT(clock_.Elapsed(), 8s);
}

TEST_F(LeaseTest, SurvivesAShortOutage) {
  LeaderElector elector = Elector();
  int failures = 0;
  server_.before = [&](const HttpRequest& request) -> std::optional<Result<HttpResponse>> {
    if (request.method == "PUT" && failures < 3) {
      ++failures;
      return NoAnswer();
    }
    return std::nullopt;
  };
  EXPECT_TRUE(RunUntil(elector, [&] { return Now() > 30; }).ok());
  EXPECT_EQ(failures, 3);
  EXPECT_TRUE(elector.Leading());
}

TEST_F(LeaseTest, AnAnswerThatWasLostAfterTheCommitCostsOneLook) {
  LeaderElector elector = Elector();
  bool lost = false;
  server_.after = [&](const HttpRequest& request) -> std::optional<Result<HttpResponse>> {
    if (request.method == "PUT" && !std::exchange(lost, true)) {
      return Error{Code::kUnknown, "no answer"};
    }
    return std::nullopt;
  };
  EXPECT_TRUE(RunUntil(elector, [&] { return waits_ == 4; }).ok());
  // The second PUT meets the version that the first one made.
  EXPECT_THAT(methods_, ElementsAre("GET", "POST", "PUT", "PUT", "GET", "PUT", "PUT"));
  EXPECT_TRUE(elector.Leading());
}

TEST_F(LeaseTest, MakesALeaseAgainThatWasDeletedUnderIt) {
  LeaderElector elector = Elector();
  EXPECT_TRUE(RunUntil(elector, [&] {
                if (waits_ == 1) server_.lease = nullptr;
                return waits_ == 3;
              }).ok());
  EXPECT_THAT(methods_, ElementsAre("GET", "POST", "PUT", "GET", "POST", "PUT"));
  EXPECT_EQ(server_.Holder(), "me");
  EXPECT_EQ(led_at_.size(), 1U);
}

TEST_F(LeaseTest, StopsAtOnceWhenSomebodyElseHasIt) {
  LeaderElector elector = Elector();
  const Status end = RunUntil(elector, [&] {
    if (waits_ == 2) server_.Put("other", "2026-11-24T00:00:04.000000Z");
    return false;
  });
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().code, Code::kConflict);
  EXPECT_EQ(end.error().message, "the lease is lost: ns/spillway is held by other");
  EXPECT_EQ(clock_.Elapsed(), 4s);
  EXPECT_FALSE(elector.Valid(0ms));
}

TEST_F(LeaseTest, AFrozenLeaderWritesNothingUntilItHasRenewed) {
  LeaderElector elector = Elector();
  bool frozen = false;
  EXPECT_TRUE(RunUntil(elector, [&] {
                if (waits_ == 2) {
                  clock_.Advance(20s);  // stopped, or asleep
                  frozen = !elector.Valid(0ms);
                }
                return waits_ == 3;
              }).ok());
  EXPECT_TRUE(frozen);
  EXPECT_TRUE(elector.Valid(0ms));  // nobody had taken it: the renewal proves that
}

TEST_F(LeaseTest, OfTwoCandidatesTheSecondTakesOverWhenTheFirstGoesSilent) {
  LeaderElector first = Elector("first");
  EXPECT_TRUE(RunUntil(first, [] { return true; }).ok());
  const auto valid_until = first.ValidUntil();
  LeaderElector second = Elector("second");
  EXPECT_TRUE(RunUntil(second, [&] {
                EXPECT_FALSE(first.Valid(0ms) && second.Valid(0ms));
                return second.Leading();
              }).ok());
  EXPECT_GT(led_at_.at(1), valid_until);
  EXPECT_LE(led_at_.at(1), 20s);
  EXPECT_EQ(server_.Holder(), "second");
}

TEST_F(LeaseTest, KeepsWhatOthersHaveWrittenIntoIt) {
  server_.Put("", "2026-11-24T00:00:00.000000Z", 1);
  server_.lease["metadata"]["labels"]["team"] = "ml";
  server_.lease["spec"]["strategy"] = "OldestEmulationVersion";
  LeaderElector elector = Elector();
  EXPECT_TRUE(RunUntil(elector, [this] { return waits_ == 2; }).ok());
  EXPECT_EQ(server_.lease["metadata"]["labels"]["team"], "ml");
  EXPECT_EQ(server_.Spec()["strategy"], "OldestEmulationVersion");
}

TEST_F(LeaseTest, ReleaseLetsAnotherTakeItAtOnce) {
  LeaderElector first = Elector("first");
  EXPECT_TRUE(RunUntil(first, [] { return true; }).ok());
  EXPECT_TRUE(first.Valid(0ms));  // stopping does not give it up
  first.Release();
  EXPECT_FALSE(first.Valid(0ms));
  EXPECT_EQ(server_.Holder(), "");
  EXPECT_EQ(server_.Spec()["leaseDurationSeconds"], 1);
  const auto released = clock_.Elapsed();
  LeaderElector second = Elector("second");
  EXPECT_TRUE(RunUntil(second, [] { return true; }).ok());
  EXPECT_EQ(led_at_.at(1), released);
  EXPECT_EQ(server_.Spec()["leaseTransitions"], 1);
}

TEST_F(LeaseTest, ReleaseDoesNotTakeItFromAnother) {
  LeaderElector elector = Elector();
  EXPECT_TRUE(RunUntil(elector, [] { return true; }).ok());
  server_.Put("other", "2026-11-24T00:00:09.000000Z");
  elector.Release();
  EXPECT_EQ(server_.Holder(), "other");
  const size_t before = methods_.size();
  elector.Release();
  EXPECT_EQ(methods_.size(), before);
}

TEST_F(LeaseTest, ReleaseGivesUpInTime) {
  LeaderElector elector = Elector();
  EXPECT_TRUE(RunUntil(elector, [] { return true; }).ok());
  const auto start = clock_.Elapsed();
  server_.before = [this](const HttpRequest&) -> std::optional<Result<HttpResponse>> {
    clock_.Advance(2500ms);
    return NoAnswer();
  };
  elector.Release();
  EXPECT_LT(clock_.Elapsed() - start, 16s);
}

TEST_F(LeaseTest, StopsBeforeLeading) {
  server_.Put("other", "2026-11-24T00:00:00.000000Z");
  LeaderElector elector = Elector();
  EXPECT_TRUE(RunUntil(elector, [this] { return waits_ == 2; }).ok());
  EXPECT_TRUE(led_at_.empty());
  EXPECT_EQ(server_.Holder(), "other");
}

TEST(LeaseOptionsTest, TimesMustLeaveRoomToRenew) {
  const auto code = [](int lease, int renew, int retry) {
    const Status checked = LeaderElector::Check({.ns = "ns",
                                                 .name = "spillway",
                                                 .identity = "me",
                                                 .lease_duration = std::chrono::seconds(lease),
                                                 .renew_deadline = std::chrono::seconds(renew),
                                                 .retry_period = std::chrono::seconds(retry)});
    return checked ? "ok" : CodeName(checked.error().code);
  };
  EXPECT_STREQ(code(15, 10, 2), "ok");
  EXPECT_STREQ(code(10, 10, 2), "invalid");
  EXPECT_STREQ(code(15, 6, 5), "invalid");
  EXPECT_STREQ(code(15, 7, 5), "ok");
  EXPECT_STREQ(code(15, 10, 0), "invalid");
  EXPECT_STREQ(code(15, 10, -1), "invalid");
  EXPECT_STREQ(code(5, 3, 1), "ok");
  EXPECT_STREQ(code(4, 3, 1), "ok");
  EXPECT_STREQ(code(3, 2, 1), "invalid");
  EXPECT_STREQ(code(15, 13, 10), "ok");
  EXPECT_STREQ(code(14, 13, 10), "invalid");
  EXPECT_STREQ(code(14, 12, 9), "ok");
  EXPECT_STREQ(code(13, 12, 9), "invalid");
  EXPECT_FALSE(LeaderElector::Check({.ns = "ns", .name = "", .identity = "me"}).ok());
}

LeaderElector::Options Times(int lease, int renew, int retry) {
  return {.ns = "ns",
          .name = "spillway",
          .identity = "me",
          .lease_duration = std::chrono::seconds(lease),
          .renew_deadline = std::chrono::seconds(renew),
          .retry_period = std::chrono::seconds(retry)};
}

TEST(LeaseOptionsTest, WritesGetWhatALeaseHasLeftUpToEightSeconds) {
  EXPECT_EQ(LeaderElector::WriteDeadline(Times(15, 10, 2)), 8s);
  EXPECT_EQ(LeaderElector::WriteDeadline(Times(60, 40, 5)), 8s);
  EXPECT_EQ(LeaderElector::WriteDeadline(Times(10, 6, 2)), 5s);
  EXPECT_EQ(LeaderElector::WriteDeadline(Times(5, 3, 1)), 2s);
  EXPECT_EQ(LeaderElector::WriteDeadline(Times(4, 3, 1)), 1200ms);
}

TEST(LeaseOptionsTest, ALeaseThatLeavesWritesNoTimeIsRefusedInASentence) {
  struct Row {
    int lease, renew, retry, shortest;
  };
  for (const Row& row : std::vector<Row>{{3, 2, 1, 4}, {12, 11, 9, 14}, {9, 8, 6, 10}}) {
    const Status checked = LeaderElector::CheckTimes(Times(row.lease, row.renew, row.retry));
    ASSERT_FALSE(checked.ok()) << row.lease;
    EXPECT_EQ(checked.error().message,
              fmt::format("lease duration {} s, retry period {} s: the duration must be at least "
                          "{} s then, or no write could be sure to end while the lease is held",
                          row.lease, row.retry, row.shortest));
    EXPECT_TRUE(LeaderElector::CheckTimes(Times(row.shortest, row.renew, row.retry)).ok());
  }
}

// What may be written between renewals that take so long each, at the start and at the end of the
// waits for them.
struct Openings {
  int at_start = 0;
  int at_end = 0;
};

Openings OpenedIn(LeaderElector::Options options, milliseconds renewing, int renewals) {
  FakeClock clock;
  Log log(LogLevel::kError, true);
  LeaseServer server;
  server.before = [&](const HttpRequest& request) -> std::optional<Result<HttpResponse>> {
    if (request.method != "GET") clock.Advance(renewing);
    return std::nullopt;
  };
  ScriptedTransport transport([&](const HttpRequest& request) { return server.Answer(request); });
  const Client client(transport, clock, {.user_agent = "test", .observe = {}});
  const milliseconds deadline = LeaderElector::WriteDeadline(options);
  const LeaderElector* watched = nullptr;
  std::stop_source stop;
  Openings open;
  options.wait = [&](milliseconds time, const std::stop_token&) {
    open.at_start += watched->Valid(deadline) ? 1 : 0;
    clock.Advance(time);
    open.at_end += watched->Valid(deadline) ? 1 : 0;
    if (--renewals == 0) stop.request_stop();
  };
  LeaderElector elector(client, clock, log, options);
  watched = &elector;
  EXPECT_TRUE(elector.Run([] {}, stop.get_token()).ok());
  return open;
}

TEST(LeaseOptionsTest, EveryLeaseThatIsAcceptedLetsWritesThroughBetweenItsRenewals) {
  int accepted = 0;
  for (int lease = 1; lease <= 20; ++lease) {
    for (int renew = 1; renew <= lease; ++renew) {
      for (int retry = 1; retry <= renew; ++retry) {
        const LeaderElector::Options options = Times(lease, renew, retry);
        if (!LeaderElector::CheckTimes(options)) continue;
        ++accepted;
        const Openings prompt = OpenedIn(options, 900ms, 3);
        EXPECT_EQ(prompt.at_start, 3) << lease << "/" << renew << "/" << retry;
        EXPECT_EQ(prompt.at_end, 3) << lease << "/" << renew << "/" << retry;
        EXPECT_EQ(OpenedIn(options, 1900ms, 3).at_start, 3)
            << lease << "/" << renew << "/" << retry;
      }
    }
  }
  EXPECT_GT(accepted, 500);
}

}  // namespace
}  // namespace spillway::kube
