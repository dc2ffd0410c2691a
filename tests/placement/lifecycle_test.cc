// What happens to a placed pool: the first rule that applies. Each case fails without its rule.
#include "placement/lifecycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::Failure;
using placement::MakePlan;
using placement::OnUnreachable;
using placement::Plan;
using placement::PoolDecision;
using placement::Reason;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// home-1 … home-4; pool p runs 2 workers of 8 on home-1 and home-2, since a minute ago.
Snapshot Running() {
  Snapshot world = Fleet(4, 2);
  AddRunning(world, "p", 2, 8, "home", {"home-1", "home-2"});
  return world;
}
TrainingPool& P(Snapshot& world) { return PoolOf(world, "p"); }

PoolDecision Decide(const Snapshot& world) {
  const Plan plan = MakePlan(world);
  const Status status = Verify(world, plan);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return DecisionOf(plan, "p");
}

Failure Crash(int code, const std::string& node = "home-2") {
  Failure failure;
  failure.worker = 1;
  failure.node = node;
  failure.exit_code = code;
  failure.message = "CUDA error";
  failure.time = kNow - Seconds{4};
  return failure;
}

void Fail(Snapshot& world, const Failure& failure) {
  P(world).attempt.failed = true;
  P(world).attempt.failure = failure;
}

void NotReady(Snapshot& world, const std::string& node, int seconds_ago) {
  NodeOf(world, node).ready = false;
  NodeOf(world, node).not_ready_since = kNow - Seconds{seconds_ago};
}

void Delete(Snapshot& world, const std::string& node) {
  std::erase_if(world.nodes, [&](const auto& n) { return n.id.name == node; });
}

// "restart p@home[…]#2 NodeLost restarts=1 failures=0"
std::string Told(const PoolDecision& decision) {
  return std::string(Name(decision.action)) + " " + Brief(decision) + " " +
         std::string(ReasonName(decision.ready_reason)) +
         " restarts=" + std::to_string(decision.memory.restarts) +
         " failures=" + std::to_string(decision.memory.failures);
}

struct Case {
  const char* sentence;
  std::function<void(Snapshot&)> make;
  const char* told;
};

void Expect(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    Snapshot world = Running();
    c.make(world);
    EXPECT_EQ(Told(Decide(world)), c.told) << c.sentence;
  }
}

TEST(PlacedPool, StaysAsLongAsNothingHappens) {
  Expect({
      {"nothing happens", [](Snapshot&) {},
       "keep p@home[home-1 home-2]#1 AsExpected restarts=0 failures=0"},
      {"others have higher priority",
       [](Snapshot& w) {
         w.pools.push_back(Wants("q", 4));
         w.pools.back().priority = 1000;
       },
       "keep p@home[home-1 home-2]#1 AsExpected restarts=0 failures=0"},
      {"its nodes are cordoned, draining, unhealthy, overlapped",
       [](Snapshot& w) {
         NodeOf(w, "home-1").cordoned = true;
         NodeOf(w, "home-2").draining = true;
         w.groups[0].bad_conditions = {{.type = "GPUMissing", .status = "True"}};
         NodeOf(w, "home-1").conditions = {{"GPUMissing", "True"}};
         w.groups.push_back(Group("other"));
         w.groups.back().selector = w.groups[0].selector;
       },
       "keep p@home[home-1 home-2]#1 AsExpected restarts=0 failures=0"},
      {"its group is closed, misconfigured, dearer, in another tier",
       [](Snapshot& w) {
         w.groups[0].admission = placement::Admission::kClosed;
         w.groups[0].misconfigured = "wrong currency";
         w.groups[0].tier = 20;
         P(w).spill_allowed = false;
       },
       "keep p@home[home-1 home-2]#1 AsExpected restarts=0 failures=0"},
      {"its quota is lowered",
       [](Snapshot& w) { w.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 0}}}}; },
       "keep p@home[home-1 home-2]#1 AsExpected restarts=0 failures=0"},
      {"its spec is edited",
       [](Snapshot& w) {
         P(w).accelerators = {{.type = "h100", .workers = 7}};
         P(w).spec_revision = "spec-2";
       },
       "keep p@home[home-1 home-2]#1 AsExpected restarts=0 failures=0"},
      {"the operator renders otherwise by now", [](Snapshot& w) { w.render_revision = "r2"; },
       "keep p@home[home-1 home-2]#1 AsExpected restarts=0 failures=0"},
      {"the answer about an edited template is not there yet",
       [](Snapshot& w) { P(w).template_unchecked = true; },
       "keep p@home[home-1 home-2]#1 AsExpected restarts=0 failures=0"},
  });
}

TEST(PlacedPool, KeepsItsPlacementToTheLetter) {
  Snapshot world = Running();
  world.render_revision = "r2";
  P(world).memory.ready_since = kNow - Seconds{20};
  P(world).memory.restart_took = Seconds{40};
  EXPECT_EQ(Decide(world).memory, P(world).memory);
}

TEST(PlacedPool, RemembersHowLongItTookUntilAllItsWorkersWereReady) {
  Snapshot world = Running();
  P(world).workers[1].ready = false;
  EXPECT_EQ(Decide(world).memory.ready_since, std::nullopt);
  P(world).workers[1].ready = true;
  const auto memory = Decide(world).memory;
  EXPECT_EQ(memory.ready_since, kNow);
  EXPECT_EQ(memory.restart_took, Seconds{60}) << "it was placed a minute ago";
  P(world).memory = memory;
  world.now = kNow + Seconds{100};
  EXPECT_EQ(Decide(world).memory.restart_took, Seconds{60}) << "only the first time counts";
}

TEST(PlacedPool, CountsWhatItsWorkersHaveUntilTheNextAttempt) {
  Snapshot world = Fleet(1);
  AddRunning(world, "p", 2, 1, "home", {"home-1"});
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 4}}}};
  P(world).per_worker = 8;
  P(world).spec_revision = "spec-2";
  const Plan plan = MakePlan(world);
  ASSERT_EQ(plan.quotas.size(), 1U);
  EXPECT_EQ(plan.quotas[0].accelerators[0].used, 2);
  EXPECT_EQ(plan.pools[0].hourly_cost, Dollars("8")) << "2 of the 8 of a node for 32";
  EXPECT_EQ(plan.groups[1].free, 6);
  P(world).workers.pop_back();  // what is still to come of it is as large as what is there
  NodeOf(world, "home-1").used.Subtract(P(world).workers[0].requests);
  EXPECT_EQ(MakePlan(world).groups[1].free, 6);
}

TEST(PlacedPool, EndsWhenItsJobIsComplete) {
  Snapshot world = Running();
  P(world).attempt.complete = true;
  P(world).attempt.succeeded = 2;
  P(world).suspended = true;  // comes too late
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.action, Action::kFinish);
  EXPECT_EQ(decision.memory.completed, kNow);
  EXPECT_TRUE(decision.memory.succeeded);
  EXPECT_EQ(decision.memory.placement, P(world).memory.placement) << "where it ran";
  EXPECT_EQ(decision.keep_job, 1) << "for its logs";
  EXPECT_TRUE(decision.ready);
  EXPECT_EQ(decision.ready_reason, Reason::kCompleted);
  EXPECT_EQ(decision.hourly_cost, Money());
  EXPECT_FALSE(decision.may_start);

  P(world).memory = decision.memory;
  const PoolDecision done = Decide(world);
  EXPECT_EQ(done.action, Action::kDone);
  EXPECT_EQ(done.memory, decision.memory);
  EXPECT_EQ(done.keep_job, 1);
  EXPECT_EQ(done.ready_message, decision.ready_message);
}

TEST(PlacedPool, IsReleasedToRestWhenSuspended) {
  Snapshot world = Running();
  P(world).suspended = true;
  P(world).active_deadline = Seconds{1};  // does not end a pool that rests
  P(world).memory.hold = placement::Hold{.node_group = "home",
                                         .domain = "",
                                         .nodes = {"home-3"},
                                         .until = kNow + Seconds{60},
                                         .since = {},
                                         .victims = {}};
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(Told(decision), "release p!Suspended Suspended restarts=0 failures=0");
  EXPECT_TRUE(decision.ready) << "nothing runs, as asked for";
  EXPECT_FALSE(decision.memory.placement);
  EXPECT_FALSE(decision.memory.hold);
  EXPECT_FALSE(decision.memory.queued_since);
  EXPECT_FALSE(decision.memory.waiting_since);
  EXPECT_EQ(decision.memory.attempts, 1);
  EXPECT_EQ(decision.keep_job, std::nullopt);

  P(world).memory = decision.memory;
  P(world).attempt = {};
  EXPECT_EQ(Decide(world).action, Action::kWait);
  P(world).suspended = false;
  P(world).active_deadline.reset();
  world.now = kNow + Seconds{1000};
  const PoolDecision again = Decide(world);
  EXPECT_EQ(again.action, Action::kPlace);
  EXPECT_EQ(again.memory.queued_since, world.now) << "queues anew";
  EXPECT_EQ(again.memory.restarts, 1);
  EXPECT_EQ(again.memory.placement->attempt, 2);
}

TEST(ActiveDeadline, EndsThePoolAcrossAttempts) {
  Snapshot world = Running();
  P(world).memory.started = kNow - Seconds{500};
  P(world).active_deadline = Seconds{501};
  EXPECT_EQ(Decide(world).action, Action::kKeep);
  EXPECT_EQ(MakePlan(world).next_wake, kNow + Seconds{1});
  world.now = kNow + Seconds{1};
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.action, Action::kFinish);
  EXPECT_FALSE(decision.memory.succeeded);
  EXPECT_EQ(decision.memory.failed_reason, "DeadlineExceeded");
  EXPECT_EQ(decision.keep_job, std::nullopt) << "its pods must stop";
  EXPECT_FALSE(decision.memory.placement) << "so that its Job is deleted";
  EXPECT_EQ(decision.ready_reason, Reason::kDeadlineExceeded);
  EXPECT_EQ(decision.ready_message,
            "active for longer than activeDeadlineSeconds since 2026-11-24T11:51:40Z; ended at "
            "2026-11-24T12:00:01Z");
}

TEST(ActiveDeadline, EndsAPoolThatWaitsForANewPlaceToo) {
  Snapshot world = Fleet(1);
  world.pools = {Wants("p", 1)};
  P(world).active_deadline = Seconds{10};
  EXPECT_EQ(Decide(world).action, Action::kPlace) << "does not count before the first placement";
  P(world).memory.started = kNow - Seconds{10};
  EXPECT_EQ(Decide(world).action, Action::kFinish);
  P(world).suspended = true;
  EXPECT_EQ(Decide(world).action, Action::kWait);
}

TEST(Refused, KeepsRunningWhereItRunsAndSaysSo) {
  Expect({
      {"misconfigured", [](Snapshot& w) { P(w).misconfigured = "PriorityClass gold is unknown"; },
       "keep p@home[home-1 home-2]#1 AsExpected restarts=0 failures=0"},
      {"template invalid", [](Snapshot& w) { P(w).template_invalid = "no containers"; },
       "keep p@home[home-1 home-2]#1 AsExpected restarts=0 failures=0"},
      {"name conflict", [](Snapshot& w) { P(w).name_conflict = "Service p-train is not ours"; },
       "keep p@home[home-1 home-2]#1 AsExpected restarts=0 failures=0"},
      {"name conflict, the Job not ours but workers alive",
       [](Snapshot& w) {
         P(w).name_conflict = "Job p-train-1 is not ours";
         P(w).attempt.exists = false;
       },
       "release p!NameConflict NameConflict restarts=0 failures=0"},
      {"name conflict with nothing of ours there",
       [](Snapshot& w) {
         P(w).name_conflict = "Job p-train-1 is not ours";
         P(w).attempt.exists = false;
         P(w).workers.clear();
       },
       "release p!NameConflict NameConflict restarts=0 failures=0"},
      {"name conflict with only an old attempt's pod left",
       [](Snapshot& w) {
         P(w).name_conflict = "Job p-train-1 is not ours";
         P(w).attempt.exists = false;
         P(w).workers[0].attempt = P(w).workers[1].attempt = 0;
       },
       "release p!NameConflict NameConflict restarts=0 failures=0"},
      {"a failed attempt of a refused spec gives its place up",
       [](Snapshot& w) {
         P(w).template_invalid = "no containers";
         Fail(w, Crash(1));
       },
       "release p!TemplateInvalid TemplateInvalid restarts=0 failures=1"},
  });
  Snapshot world = Running();
  P(world).misconfigured = "PriorityClass gold is unknown";
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.placed_reason, Reason::kMisconfigured);
  EXPECT_THAT(decision.placed_message,
              HasSubstr("the spec can't be used as it is now: PriorityClass gold is unknown; what "
                        "runs stays: attempt 1 on home"));
}

TEST(Failure, StartsANewAttemptOnTheSameNodesAfterTheBackoff) {
  Snapshot world = Running();
  Fail(world, Crash(137));
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(Told(decision), "restart p@home[home-1 home-2]#2 BackingOff restarts=1 failures=1");
  ASSERT_TRUE(decision.memory.last_failure);
  EXPECT_EQ(decision.memory.last_failure->exit_code, 137);
  EXPECT_EQ(decision.memory.last_failure->attempt, 1);
  EXPECT_EQ(decision.ready_message,
            "attempt 1 failed: worker 1 on home-2 exited with code 137: CUDA error; attempt 2 "
            "starts at 2026-11-24T12:00:06Z");
  EXPECT_FALSE(decision.may_start);
  EXPECT_EQ(MakePlan(world).next_wake, kNow + Seconds{6});
}

TEST(Failure, DoublesTheBackoffUpToTenMinutes) {
  struct BackoffCase {
    int failures;
    int backoff;
    int waits;
  };
  for (const BackoffCase c : {BackoffCase{1, 10, 10},
                              {2, 10, 20},
                              {3, 10, 40},
                              {6, 10, 320},
                              {7, 10, 600},
                              {500, 10, 600},
                              {1, 0, 0},
                              {9, 0, 0},
                              {1, 900, 900},
                              {5, 900, 900}}) {
    TrainingPool pool = Has("p", 1, 1, "home", {"home-1"});
    pool.backoff = Seconds{c.backoff};
    pool.memory.failures = c.failures;
    pool.memory.last_failure = Crash(1);
    pool.memory.placement->attempt = 9;
    EXPECT_EQ(NotBefore(pool, pool.memory), Crash(1).time + Seconds{c.waits})
        << c.failures << " failures, backoff " << c.backoff;
  }
}

TEST(Failure, WithoutADetailCountsFromNow) {
  Snapshot world = Running();
  P(world).attempt.failed = true;
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.memory.failures, 1);
  EXPECT_EQ(decision.memory.last_failure->time, kNow);
  EXPECT_EQ(decision.ready_message, "attempt 1 failed; attempt 2 starts at 2026-11-24T12:00:10Z");
}

TEST(Failure, WaitsAMomentForThePodThatTellsWhy) {
  Snapshot world = Running();
  Failure untold;
  untold.reason = "PodFailurePolicy";
  untold.time = kNow - Seconds{29};
  Fail(world, untold);
  EXPECT_EQ(Decide(world).action, Action::kKeep);
  EXPECT_EQ(MakePlan(world).next_wake, kNow + Seconds{1});
  P(world).attempt.failure = Crash(137);
  EXPECT_EQ(Decide(world).memory.last_failure->exit_code, 137);
  P(world).attempt.failure = untold;
  world.now = kNow + Seconds{1};
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.action, Action::kRestart) << "there may be none";
  EXPECT_EQ(decision.memory.last_failure->worker, -1);
  EXPECT_EQ(decision.memory.last_failure->time, untold.time);
}

TEST(Failure, WaitsForThePodsWhereThoseThatAreSeenAreOlder) {
  Snapshot world = Running();
  Failure untold;
  untold.time = kNow - Seconds{299};
  Fail(world, untold);
  P(world).attempt.pods_behind = true;
  EXPECT_EQ(Decide(world).action, Action::kKeep);
  EXPECT_EQ(MakePlan(world).next_wake, kNow + Seconds{1});
  Snapshot seen = world;
  P(seen).attempt.pods_behind = false;
  EXPECT_EQ(Decide(seen).action, Action::kRestart) << "there is no more to come";
  Snapshot told = world;
  P(told).attempt.failure = Crash(137);
  EXPECT_EQ(Decide(told).action, Action::kRestart) << "the one that failed is seen";
  world.now = kNow + Seconds{1};
  EXPECT_EQ(Decide(world).action, Action::kRestart) << "a watch that never comes so far";
}

TEST(Failure, OverTheLimitEndsThePoolAndKeepsTheLastJob) {
  Snapshot world = Running();
  P(world).max_restarts = 2;
  P(world).memory.failures = 1;
  Fail(world, Crash(1));
  EXPECT_EQ(Decide(world).action, Action::kRestart) << "the second failure is allowed";
  P(world).memory.failures = 2;
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.action, Action::kFinish);
  EXPECT_EQ(decision.memory.failed_reason, "RestartLimitReached");
  EXPECT_EQ(decision.memory.failures, 3);
  EXPECT_EQ(decision.memory.last_failure->message, "CUDA error");
  EXPECT_EQ(decision.keep_job, 1);
  EXPECT_FALSE(decision.ready);
  EXPECT_EQ(decision.ready_reason, Reason::kRestartLimitReached);
}

TEST(Disruption, StartsANewAttemptAtOnceAndDoesNotCount) {
  const auto evict = [](Snapshot& w) {
    Fail(w, Crash(143));
    P(w).attempt.disrupted = true;
    P(w).max_restarts = 0;
  };
  Expect({
      {"a worker was evicted", evict,
       "restart p@home[home-1 home-2]#2 PodsNotReady restarts=1 failures=0"},
      {"earlier failures count on, and delay nothing",
       [&](Snapshot& w) {
         evict(w);
         P(w).memory.placement->attempt = P(w).memory.attempts = 3;
         P(w).memory.failures = 1;
         P(w).memory.last_failure = Crash(1);
         P(w).memory.last_failure->attempt = 2;
         P(w).memory.last_failure->time = kNow - Seconds{60};
         for (auto& worker : P(w).workers) worker.attempt = 3;
       },
       "restart p@home[home-1 home-2]#4 PodsNotReady restarts=1 failures=1"},
      {"nothing starts while the link is suspect",
       [&](Snapshot& w) {
         evict(w);
         for (const char* node : {"home-1", "home-3", "home-4"}) NotReady(w, node, 5000);
       },
       "keep p@home[home-1 home-2]#1 LinkSuspect restarts=0 failures=0"},
      {"a spec that is refused gives its place up",
       [&](Snapshot& w) {
         evict(w);
         P(w).template_invalid = "no containers";
       },
       "release p!TemplateInvalid TemplateInvalid restarts=0 failures=0"},
  });
  Snapshot world = Running();
  evict(world);
  EXPECT_EQ(Decide(world).ready_message,
            "attempt 1 ended because worker 1 on home-2 was evicted or deleted, which does not "
            "count against restart.maxRestarts; attempt 2 starts on home");
  EXPECT_FALSE(Decide(world).memory.last_failure);
  P(world).attempt.failure->worker = -1;
  EXPECT_THAT(Decide(world).ready_message, HasSubstr("because a worker was evicted or deleted"));
}

TEST(LostNodes, StartANewAttemptAtOnceAndTheirPodsAreDeletedByForce) {
  Snapshot world = Running();
  Delete(world, "home-2");
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(Told(decision), "restart p@home[home-1 home-3]#2 NodeLost restarts=1 failures=0");
  EXPECT_THAT(decision.force_delete, ElementsAre("p-1-1"));
  EXPECT_THAT(decision.stuck_pods, IsEmpty());
  EXPECT_THAT(decision.ready_message, HasSubstr("lost 1 node (home-2)"));
  EXPECT_FALSE(decision.may_start) << "its other old pod is still there";
}

TEST(LostNodes, AreThoseOutOfServiceToo) {
  Snapshot world = Running();
  NodeOf(world, "home-2").out_of_service = true;
  EXPECT_EQ(Told(Decide(world)), "restart p@home[home-1 home-3]#2 NodeLost restarts=1 failures=0");
}

TEST(LostNodes, AreWhyAnAttemptFailedWhereBothAreSeen) {
  Snapshot world = Running();
  Delete(world, "home-2");
  Fail(world, Crash(1, "home-1"));
  EXPECT_EQ(Told(Decide(world)), "restart p@home[home-1 home-3]#2 NodeLost restarts=1 failures=0")
      << "a loss does not count against maxRestarts";
}

TEST(UnreachableNodes, CountFromNodeLostSecondsOn) {
  Snapshot world = Running();
  NotReady(world, "home-2", 299);
  P(world).workers[1].ready = false;
  const Plan plan = MakePlan(world);
  const PoolDecision& before = plan.pools[0];
  EXPECT_EQ(Told(before), "keep p@home[home-1 home-2]#1 PodsNotReady restarts=0 failures=0");
  EXPECT_EQ(before.ready_message,
            "1 node NotReady: home-2 since 2026-11-24T11:55:01Z; a new attempt without it starts "
            "at 2026-11-24T12:00:01Z if it is not back");
  EXPECT_EQ(plan.next_wake, kNow + Seconds{1});
  world.now = kNow + Seconds{1};
  const PoolDecision after = Decide(world);
  EXPECT_EQ(Told(after), "restart p@home[home-1 home-3]#2 NodeLost restarts=1 failures=0");
  EXPECT_THAT(after.force_delete, IsEmpty()) << "it may only be unreachable";
  EXPECT_THAT(after.stuck_pods, ElementsAre("p-1-1"));
  EXPECT_THAT(after.memory.excluded,
              ElementsAre(placement::ExcludedNode{
                  .name = "home-2", .until = world.now + Seconds{3600}, .reason = "NodeLost"}));
}

TEST(UnreachableNodes, CountFromWhenTheLinkWasLastHealthy) {
  Snapshot world = Running();
  NotReady(world, "home-2", 1000);
  world.groups[0].link_healthy_since = kNow - Seconds{200};
  EXPECT_EQ(Decide(world).action, Action::kKeep);
  EXPECT_EQ(MakePlan(world).next_wake, kNow + Seconds{100});
  world.groups[0].link_healthy_since = kNow - Seconds{300};
  EXPECT_EQ(Decide(world).action, Action::kRestart);
}

TEST(UnreachableNodes, AreWaitedForWhereThePoolSaysSo) {
  Snapshot world = Running();
  P(world).on_unreachable = OnUnreachable::kWait;
  P(world).workers[1].ready = false;
  NotReady(world, "home-2", 299);
  EXPECT_EQ(Decide(world).ready_reason, Reason::kPodsNotReady);
  EXPECT_EQ(MakePlan(world).next_wake, kNow + Seconds{1});
  NotReady(world, "home-2", 300);
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(Told(decision), "keep p@home[home-1 home-2]#1 NodeLost restarts=0 failures=0");
  EXPECT_EQ(decision.ready_message,
            "1 node NotReady: home-2 since 2026-11-24T11:55:00Z; restart.onUnreachable is Wait, so "
            "nothing starts until the node is back or gone");
  EXPECT_THAT(decision.memory.excluded, IsEmpty());

  Fail(world, Crash(1, "home-1"));
  EXPECT_EQ(Decide(world).action, Action::kKeep)
      << "nor after a failure: its old worker may still run where nobody sees it";
  Delete(world, "home-1");
  EXPECT_EQ(Decide(world).action, Action::kKeep) << "nor after a loss elsewhere";
  Delete(world, "home-2");
  EXPECT_EQ(Decide(world).action, Action::kRestart) << "it is gone";
}

TEST(UnreachableNodes, AreWaitedForAlsoWhereTheStartDeadlineIsLongPast) {
  Snapshot world = Running();
  P(world).on_unreachable = OnUnreachable::kWait;
  P(world).memory.placement->since = kNow - Seconds{100'000};
  NotReady(world, "home-2", 300);
  // Worker 0 has failed, and the Job controller has taken its pod away.
  Fail(world, Crash(1, "home-1"));
  P(world).workers.erase(P(world).workers.begin());
  EXPECT_EQ(Told(Decide(world)), "keep p@home[home-1 home-2]#1 NodeLost restarts=0 failures=0")
      << "its worker on home-2 may still run";
  NodeOf(world, "home-2").ready = true;
  EXPECT_EQ(Decide(world).action, Action::kRestart) << "the node is back";
}

TEST(UnreachableNodes, HoldANewAttemptBackThatWasDecidedBeforeTheyWent) {
  Snapshot world = Running();
  P(world).on_unreachable = OnUnreachable::kWait;
  P(world).memory.placement->attempt = P(world).memory.attempts = 2;
  P(world).memory.placement->since = kNow - Seconds{100'000};
  P(world).memory.placement->nodes = {"home-3", "home-4"};
  P(world).attempt = {};
  P(world).workers.erase(P(world).workers.begin());
  NotReady(world, "home-2", 1);
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(Told(decision), "keep p@home[home-3 home-4]#2 NodeLost restarts=0 failures=0");
  EXPECT_FALSE(decision.may_start);
  EXPECT_EQ(decision.ready_message,
            "attempt 2 starts when the old pods on NotReady nodes are gone (p-1-1), as "
            "restart.onUnreachable is Wait");
  P(world).memory.placement->since = kNow;
  P(world).on_unreachable = OnUnreachable::kRestart;
  EXPECT_TRUE(Decide(world).may_start) << "with Restart it is left behind";
  P(world).on_unreachable = OnUnreachable::kWait;
  Delete(world, "home-2");
  EXPECT_TRUE(Decide(world).may_start) << "gone with its node";
}

TEST(DeletedJob, EndsItsAttemptAndLeavesNoNodeOut) {
  Snapshot world = Running();
  P(world).memory.placement->since = kNow - Seconds{100'000};
  P(world).attempt = {};
  for (const bool running : {true, false}) {  // the garbage collector has not come by yet, or has
    for (auto& worker : P(world).workers) {
      worker.running = worker.ready = running;
    }
    const PoolDecision decision = Decide(world);
    EXPECT_EQ(Told(decision), "restart p@home[home-1 home-2]#2 PodsNotReady restarts=1 failures=0");
    EXPECT_THAT(decision.memory.excluded, IsEmpty());
    EXPECT_FALSE(decision.may_start) << "its old pods are still there";
    EXPECT_EQ(decision.ready_message,
              "the Job of attempt 1 was deleted while its pods were there; attempt 2 starts on "
              "home");
  }
}

TEST(DeletedJob, IsNotMadeAnewUnderItsNameWhereTheAttemptCannotEndYet) {
  const std::vector<std::pair<const char*, std::function<void(Snapshot&)>>> obstacles = {
      {"the template is not judged yet", [](Snapshot& w) { P(w).template_unchecked = true; }},
      {"a worker may run on an unreachable node",
       [](Snapshot& w) {
         P(w).on_unreachable = OnUnreachable::kWait;
         NotReady(w, "home-2", 400);
       }},
      {"the link is in doubt",
       [](Snapshot& w) {
         AddNodes(w, "home", 2);
         for (const char* node : {"home-4", "home-5", "home-6"}) NotReady(w, node, 400);
       }},
  };
  for (const auto& [sentence, make] : obstacles) {
    Snapshot world = Running();
    P(world).attempt = {};
    make(world);
    const PoolDecision decision = Decide(world);
    EXPECT_EQ(decision.action, Action::kKeep) << sentence;
    EXPECT_FALSE(decision.may_start) << sentence;
  }
}

TEST(DeletedJob, IsNoneThatWasNeverMade) {
  Snapshot world = Running();
  P(world).attempt = {};
  P(world).workers.clear();
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.action, Action::kKeep);
  EXPECT_TRUE(decision.may_start);
}

// 10 nodes at home, 4 of them NotReady for a long time, among them one of the pool's.
Snapshot DoubtfulLink() {
  Snapshot world = Running();
  AddNodes(world, "home", 6);
  for (const char* node : {"home-2", "home-5", "home-6", "home-7"}) NotReady(world, node, 5000);
  P(world).workers[1].ready = false;
  return world;
}

TEST(LinkSuspect, LeavesEverythingAsItIs) {
  const std::vector<std::pair<const char*, std::function<void(Snapshot&)>>> troubles = {
      {"unreachable nodes", [](Snapshot&) {}},
      {"a failure", [](Snapshot& w) { Fail(w, Crash(1)); }},
      {"more failures than allowed",
       [](Snapshot& w) {
         Fail(w, Crash(1));
         P(w).max_restarts = 0;
       }},
      {"a lost node", [](Snapshot& w) { Delete(w, "home-1"); }},
      {"a gang that never started",
       [](Snapshot& w) {
         P(w).workers.clear();
         P(w).memory.placement->since = kNow - Seconds{100'000};
       }},
  };
  for (const auto& [sentence, make] : troubles) {
    Snapshot world = DoubtfulLink();
    make(world);
    const Plan plan = MakePlan(world);
    const PoolDecision& decision = plan.pools[0];
    EXPECT_EQ(Told(decision), "keep p@home[home-1 home-2]#1 LinkSuspect restarts=0 failures=0")
        << sentence;
    EXPECT_THAT(decision.memory.excluded, IsEmpty()) << sentence;
    EXPECT_THAT(decision.force_delete, IsEmpty()) << sentence;
    EXPECT_THAT(decision.ready_message, HasSubstr("are NotReady at once, more than 30 %"))
        << sentence;
  }
}

TEST(LinkSuspect, WakesNobodyForNodesThatAreNotWaitedFor) {
  Snapshot world = DoubtfulLink();
  NotReady(world, "home-2", 100);
  world.groups[0].not_ready_grace = Seconds{0};
  EXPECT_EQ(MakePlan(world).next_wake, std::nullopt) << "nodeLostSeconds does not run";
}

TEST(LinkSuspect, DoesNotStandInTheWayOfTheUser) {
  Snapshot world = DoubtfulLink();
  P(world).suspended = true;
  EXPECT_EQ(Decide(world).action, Action::kRelease);
  P(world).suspended = false;
  P(world).active_deadline = Seconds{1};
  EXPECT_EQ(Decide(world).action, Action::kFinish);
  P(world).active_deadline.reset();
  P(world).attempt.complete = true;
  EXPECT_EQ(Decide(world).action, Action::kFinish);
}

TEST(LinkSuspect, SaysNothingOfPoolsThatItDoesNotTouch) {
  Snapshot world = DoubtfulLink();
  AddRunning(world, "fine", 1, 8, "home", {"home-3"});
  world.pools.push_back(Wants("new", 1));
  const Plan plan = MakePlan(world);
  EXPECT_EQ(Told(DecisionOf(plan, "fine")),
            "keep fine@home[home-3]#1 AsExpected restarts=0 failures=0");
  EXPECT_EQ(Brief(DecisionOf(plan, "new")), "new@home[home-10]#1")
      << "the nodes that are there take new work";
}

TEST(LinkSuspect, EndsWhenAnAdminSaysThatTheLinkIsDown) {
  Snapshot world = DoubtfulLink();
  world.groups[0].link_down = true;
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.action, Action::kRestart);
  EXPECT_THAT(decision.stuck_pods, ElementsAre("p-1-1"));
}

// ---- not all running in time ----

TEST(StartDeadline, ReleasesTheGangAndLeavesOutNodesWhereAWorkerWasBoundButDidNotRun) {
  Snapshot world = Running();
  P(world).memory.placement->since = kNow - Seconds{1800};
  P(world).workers[1].running = P(world).workers[1].ready = false;
  world.nodes.resize(2);  // no other node anywhere
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(Told(decision), "release p!GangIncomplete GangIncomplete restarts=0 failures=0");
  EXPECT_THAT(decision.placed_message,
              HasSubstr("attempt 1 on home: 1 of 2 workers ran by 2026-11-24T12:00:00Z; not worker "
                        "1 (on home-2); home: needs 2 workers of 8 accelerators"));
  EXPECT_EQ(decision.memory.waiting_since, kNow);
  EXPECT_EQ(decision.memory.queued_since, P(world).memory.queued_since) << "keeps its place";
  EXPECT_THAT(decision.memory.excluded,
              ElementsAre(placement::ExcludedNode{
                  .name = "home-2", .until = kNow + Seconds{3600}, .reason = "GangIncomplete"}));
  EXPECT_FALSE(decision.memory.hold);
}

TEST(StartDeadline, LetsTheGangBePlacedElsewhereInTheSamePass) {
  Snapshot world = Running();
  P(world).memory.placement->since = kNow - Seconds{1800};
  P(world).workers[1].node.clear();
  P(world).workers[1].running = P(world).workers[1].ready = false;
  P(world).workers[1].why_unbound = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.";
  NodeOf(world, "home-2").used = Resources();
  Use(world, "home-2", 8);  // a foreign pod was faster
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(Told(decision), "place p@home[home-1 home-3]#2 GangIncomplete restarts=1 failures=0");
  EXPECT_THAT(
      decision.placed_message,
      HasSubstr("before, attempt 1 on home: 1 of 2 workers ran by 2026-11-24T12:00:00Z; not "
                "worker 1 (bound to no node); the scheduler says: 0/4 nodes are available: 4 "
                "Insufficient nvidia.com/gpu."));
  EXPECT_FALSE(decision.may_start) << "the worker that runs must go first";
}

TEST(StartDeadline, IsOnlyForGangsThatDoNotRun) {
  Expect({
      {"one second is left",
       [](Snapshot& w) {
         P(w).memory.placement->since = kNow - Seconds{1799};
         P(w).workers.clear();
       },
       "keep p@home[home-1 home-2]#1 PodsNotReady restarts=0 failures=0"},
      {"all run, though not ready",
       [](Snapshot& w) {
         P(w).memory.placement->since = kNow - Seconds{5000};
         P(w).workers[0].ready = false;
       },
       "keep p@home[home-1 home-2]#1 PodsNotReady restarts=0 failures=0"},
      {"one has succeeded already",
       [](Snapshot& w) {
         P(w).memory.placement->since = kNow - Seconds{5000};
         P(w).workers.erase(P(w).workers.begin());
         P(w).attempt.succeeded = 1;
       },
       "keep p@home[home-1 home-2]#1 AsExpected restarts=0 failures=0"},
      {"one has failed: its Job will say so",
       [](Snapshot& w) {
         P(w).memory.placement->since = kNow - Seconds{5000};
         P(w).workers[0].ended = true;
         P(w).workers[0].running = P(w).workers[0].ready = false;
       },
       "keep p@home[home-1 home-2]#1 PodsNotReady restarts=0 failures=0"},
      {"the backoff counts first",
       [](Snapshot& w) {
         P(w).memory.placement->since = kNow - Seconds{1800};
         P(w).memory.placement->attempt = 2;
         P(w).memory.attempts = 2;
         P(w).memory.failures = 1;
         P(w).memory.last_failure = Crash(1);
         P(w).backoff = Seconds{20};
         P(w).workers.clear();
       },
       "keep p@home[home-1 home-2]#2 BackingOff restarts=0 failures=1"},
  });
  Snapshot world = Running();
  P(world).workers.clear();
  EXPECT_EQ(MakePlan(world).next_wake, kNow + Seconds{1740}) << "wakes at the deadline";
}

// ---- what is remembered ----

TEST(Memory, DropsWhatIsOverAndWakesForIt) {
  Snapshot world = Running();
  P(world).memory.excluded = {{.name = "a", .until = kNow, .reason = "NodeLost"},
                              {.name = "b", .until = kNow + Seconds{9}, .reason = "NodeLost"}};
  const Plan plan = MakePlan(world);
  EXPECT_THAT(plan.pools[0].memory.excluded,
              ElementsAre(placement::ExcludedNode{
                  .name = "b", .until = kNow + Seconds{9}, .reason = "NodeLost"}));
  EXPECT_EQ(plan.next_wake, kNow + Seconds{9});
}

TEST(Memory, IsCompletedFromThePlacementWhereTheStatusWasRebuilt) {
  Snapshot world = Running();
  const placement::Placement placement = *P(world).memory.placement;
  P(world).memory = {};
  P(world).memory.placement = placement;
  P(world).memory.placement->attempt = 3;
  P(world).attempt.exists = true;
  const auto memory = Decide(world).memory;
  EXPECT_EQ(memory.attempts, 3);
  EXPECT_EQ(memory.started, placement.since);
  EXPECT_EQ(memory.queued_since, placement.since);
  EXPECT_EQ(memory.tiers_used, std::set<int>{0});
}

// ---- pools without a place ----

TEST(UnplacedPool, WaitsForWhatIsWrongWithItFirst) {
  const auto reason = [](const std::function<void(TrainingPool&)>& edit) {
    Snapshot world = Fleet(1);
    TrainingPool pool = Wants("p", 1);
    edit(pool);
    world.pools = {pool};
    const PoolDecision decision = Decide(world);
    EXPECT_EQ(decision.action, Action::kWait);
    EXPECT_FALSE(decision.memory.queued_since) << "it could not run yet";
    return std::string(ReasonName(decision.placed_reason)) + ": " + decision.placed_message;
  };
  const auto all = [](TrainingPool& p) {
    p.suspended = true;
    p.template_invalid = "no containers";
    p.misconfigured = "unknown class";
    p.name_conflict = "not ours";
  };
  EXPECT_EQ(reason(all), "Suspended: spec.suspend is true");
  EXPECT_EQ(reason([&](TrainingPool& p) {
              all(p);
              p.suspended = false;
            }),
            "TemplateInvalid: no containers");
  EXPECT_EQ(reason([&](TrainingPool& p) {
              all(p);
              p.suspended = false;
              p.template_invalid.clear();
            }),
            "Misconfigured: unknown class");
  EXPECT_EQ(reason([&](TrainingPool& p) { p.name_conflict = "not ours"; }),
            "NameConflict: not ours");
  EXPECT_EQ(reason([](TrainingPool& p) { p.template_unchecked = true; }),
            "PodsNotReady: waiting for the API server's answer about the pod template");
}

TEST(UnplacedPool, QueuesWhileAResourceQuotaOfItsNamespaceIsFull) {
  Snapshot world = Fleet(1);
  world.pools = {Wants("p", 1)};
  P(world).template_unchecked = true;
  P(world).namespace_quota = "a ResourceQuota of the namespace has no room for a worker";
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.action, Action::kWait);
  EXPECT_EQ(decision.placed_reason, Reason::kWaitingForQuota);
  EXPECT_EQ(decision.placed_message, P(world).namespace_quota);
  EXPECT_EQ(decision.memory.queued_since, kNow) << "its turn counts from now on";
  EXPECT_FALSE(decision.memory.waiting_since) << "it does not wait for home";
}

}  // namespace
}  // namespace spillway::tests
