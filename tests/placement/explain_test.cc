#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::FormatPlan;
using placement::FormatWhy;
using placement::MakePlan;
using placement::Plan;

Snapshot World() {
  Snapshot world = Fleet(2, 1);
  AddRunning(world, "runs", 1, 8, "home", {"home-1"});
  world.pools.push_back(Wants("big", 2));
  world.pools.push_back(Wants("small", 1));
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 64}}}};
  return world;
}

TEST(FormatPlan, ShowsOnlyWhatChangesOrEverything) {
  const Plan plan = MakePlan(World());
  EXPECT_EQ(FormatPlan(plan, false),
            "place    team/small  Placed: attempt 1 on home (tier 0): 1 worker on 1 node (home-2) "
            "since 2026-11-24T12:00:00Z\n"
            "next look at 2026-11-24T12:10:00Z\n");
  EXPECT_EQ(
      FormatPlan(plan, true),
      "wait     team/big  WaitingForCapacity: home: needs 2 workers of 8 accelerators, 1 fit: 8 of "
      "16 "
      "accelerators are free on 2 nodes that it may use; azure: holds back from spilling to tier "
      "10 until 2026-11-24T12:10:00Z; it would not fit there now either; nobody can say when it "
      "starts on home, so nothing is reserved there: team/runs has no activeDeadlineSeconds\n"
      "keep     team/runs  Placed: attempt 1 on home (tier 0): 1 worker on 1 node (home-1) since "
      "2026-11-24T11:59:00Z\n"
      "place    team/small  Placed: attempt 1 on home (tier 0): 1 worker on 1 node (home-2) since "
      "2026-11-24T12:00:00Z\n"
      "azure  1 of 1 node usable, 8 of 8 accelerators free, 32.00 an hour (32.00 idle)\n"
      "home  2 of 2 nodes usable, 0 of 16 accelerators free, 64.00 an hour (32.00 idle)\n"
      "team  16 a100 in use, limit 64\n"
      "next look at 2026-11-24T12:10:00Z\n");
}

TEST(FormatPlan, SaysWhenThereIsNothingToDo) {
  EXPECT_EQ(FormatPlan(MakePlan(Fleet(1)), false), "nothing to do\n");
}

TEST(FormatPlan, TellsOfGroupsInTrouble) {
  Snapshot world = Fleet(3);
  world.groups.pop_back();
  for (auto& node : world.nodes) {
    node.ready = false;
    node.not_ready_since = kNow;
  }
  EXPECT_EQ(FormatPlan(MakePlan(world), true),
            "home  0 of 3 nodes usable, 0 of 24 accelerators free, 96.00 an hour (96.00 idle)\n"
            "  NodesUnhealthy: 0 of 3 nodes usable\n"
            "  3 of 3 nodes of home are NotReady at once, more than 30 %: the link to them is in "
            "doubt, so nothing there is restarted until they are back or the group is annotated "
            "spillway.dev/link: down\n"
            "next look at 2026-11-24T12:05:00Z\n");
}

TEST(FormatWhy, TellsAWaitingPoolsWholeStory) {
  const Snapshot world = World();
  const Plan plan = MakePlan(world);
  EXPECT_EQ(
      FormatWhy(world, plan, DecisionOf(plan, "big")),
      "team/big: wait\n"
      "  Placed=False Ready=False  WaitingForCapacity: home: needs 2 workers of 8 "
      "accelerators, 1 fit: 8 "
      "of 16 accelerators are free on 2 nodes that it may use; azure: holds back from "
      "spilling to tier 10 until 2026-11-24T12:10:00Z; it would not fit there now either; "
      "nobody can say when it starts on home, so nothing is reserved there: team/runs has no "
      "activeDeadlineSeconds\n"
      "  1 of 1 waiting pool in the queue: priority 0, queued since 2026-11-24T12:00:00Z\n"
      "\n"
      "Node groups, in the order tried:\n"
      "  home   WaitingForCapacity: needs 2 workers of 8 accelerators, 1 fit: 8 of 16 "
      "accelerators are "
      "free on 2 nodes that it may use; for 64.00 USD an hour, 0.00 at the margin\n"
      "  azure  HoldingBackSpill: holds back from spilling to tier 10 until "
      "2026-11-24T12:10:00Z; it would not fit there now either; for 64.00 USD an hour, 64.00 at "
      "the margin\n"
      "\n"
      "What would help:\n"
      "  - home: room for 1 more worker: 8 accelerators and all else that it requests on one node\n"
      "  - azure: wait until 2026-11-24T12:10:00Z, or lower placement.spill.afterSeconds "
      "(600); room for 1 more worker: 8 accelerators and all else that it requests on one node\n");
}

TEST(FormatWhy, TellsWhereAPoolRunsAndWhatElseWasPossible) {
  Snapshot world = Fleet(0, 1);
  world.pools = {Wants("p", 1)};
  placement::Failure failure;
  failure.attempt = 1;
  failure.worker = 0;
  failure.node = "azure-1";
  failure.exit_code = 137;
  failure.message = "OOM";
  failure.time = kNow - Seconds{3600};
  world.pools[0].memory.last_failure = failure;
  const Plan plan = MakePlan(world);
  EXPECT_EQ(FormatWhy(world, plan, plan.pools[0]),
            "team/p: place\n"
            "  Placed=True  Placed: attempt 1 on azure (tier 10): 1 worker on 1 node (azure-1) "
            "since 2026-11-24T12:00:00Z\n"
            "  Ready=False  PodsNotReady: 0 of 1 worker ready on azure, none has a pod yet; all "
            "must run by 2026-11-24T12:30:00Z\n"
            "  spilled: runs on azure (tier 10) since 2026-11-24T12:00:00Z, for 32.00 USD an hour "
            "at the margin\n"
            "  costs 32.00 USD an hour, 32.00 at the margin\n"
            "  last failure, at 2026-11-24T11:00:00Z: attempt 1 failed: worker 0 on azure-1 "
            "exited with code 137: OOM\n"
            "\n"
            "Other node groups, in the order in which it would take them:\n"
            "  home  NodesUnhealthy: it has no nodes\n");
}

TEST(FormatWhy, SaysHowManyMoreFailuresAreAllowed) {
  Snapshot world = Fleet(1);
  TrainingPool& pool = AddRunning(world, "p", 1, 8, "home", {"home-1"});
  pool.memory.failures = 3;
  pool.memory.last_failure = placement::Failure{.attempt = 3,
                                                .worker = 0,
                                                .node = "home-1",
                                                .exit_code = 1,
                                                .reason = {},
                                                .message = "no data",
                                                .time = kNow - Seconds{60}};
  const Plan plan = MakePlan(world);
  EXPECT_THAT(FormatWhy(world, plan, plan.pools[0]),
              testing::HasSubstr("exited with code 1: no data\n"
                                 "  3 attempts failed by a worker's own exit; restart.maxRestarts "
                                 "allows 20\n"));
}

TEST(FormatWhy, SaysInOneLineWhatBothConditionsOfAnInferencePoolSay) {
  Snapshot world = Fleet(1);
  world.inference_pools = {Chat(9)};
  world.inference_pools[0].spill_allowed = false;
  Runs(world, world.inference_pools[0], "gpu", "home", 8, 8, {"home-1"});
  const Plan plan = MakePlan(world);
  EXPECT_THAT(FormatWhy(world, plan, ServingOf(plan)),
              testing::HasSubstr("  CapacityMet=False Ready=False  WaitingForCapacity: serves 32 "
                                 "of 36 needed (9 units × 4); gpu@home: 0 of 1 more replica fit: 0 "
                                 "of 8 accelerators are free on 1 node that it may use; "));
}

TEST(FormatWhy, SaysNothingOfAFailedWorkerThatIsNotKnown) {
  Snapshot world = Fleet(1);
  world.pools = {Wants("p", 1)};
  placement::Failure failure;
  failure.attempt = 3;
  failure.reason = "BackoffLimitExceeded";
  failure.time = kNow - Seconds{60};
  world.pools[0].memory.last_failure = failure;
  const Plan plan = MakePlan(world);
  EXPECT_THAT(FormatWhy(world, plan, plan.pools[0]),
              testing::HasSubstr("  last failure, at 2026-11-24T11:59:00Z: attempt 3 failed "
                                 "(BackoffLimitExceeded)\n"));
}

TEST(Actions, HaveNames) {
  using placement::Action;
  EXPECT_EQ(Name(Action::kWait), "wait");
  EXPECT_EQ(Name(Action::kRestart), "restart");
  EXPECT_EQ(Name(Action::kDone), "done");
}

TEST(Actions, ChangeSomethingOrLeaveAPoolAsItIs) {
  using placement::Action;
  for (const Action action : {Action::kWait, Action::kKeep, Action::kDone}) {
    EXPECT_FALSE(Changes(action)) << Name(action);
  }
  for (const Action action :
       {Action::kPlace, Action::kRestart, Action::kRelease, Action::kFinish, Action::kScale}) {
    EXPECT_TRUE(Changes(action)) << Name(action);
  }
}

TEST(FormatWhy, OfAnInferencePoolShowsTheMixesThatWereNotChosen) {
  Snapshot world = Fleet(1, 1);
  world.inference_pools = {Chat(3)};
  const Plan plan = MakePlan(world);
  const std::string text = FormatWhy(world, plan, ServingOf(plan));
  EXPECT_THAT(text, testing::HasSubstr("\n  runs 3 gpu@home\n"));
  EXPECT_THAT(text, testing::HasSubstr("\nMixes that were not chosen:\n"
                                       "  3 gpu@azure, for 12.00 USD an hour at the margin: it "
                                       "serves more in farther tiers\n"));
}

}  // namespace
}  // namespace spillway::tests
