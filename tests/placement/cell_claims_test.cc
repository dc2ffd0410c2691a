// Gangs that give way to replicas: when, which, and for how many.
#include "placement/cell_claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "passes.h"
#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::Admission;
using placement::InferencePool;
using placement::MakePlan;
using placement::Plan;
using placement::Preemptible;
using placement::Preempts;
using placement::Reason;
using testing::ElementsAre;
using testing::HasSubstr;

InferencePool& Serving(Snapshot& world) { return world.inference_pools.front(); }

// Replicas for eight accelerators have been missing for six minutes, and a gang of lower priority
// has one of two nodes; on the other one runs a gang that comes before them.
Snapshot Short() {
  Snapshot world = Fleet(2);
  AddOld(world, "low", 0, {"home-1"});
  AddOld(world, "high", 20, {"home-2"});
  InferencePool pool = Chat(8);
  pool.priority = 10;
  pool.memory.queued_since = pool.memory.waiting_since = kNow - Seconds{360};
  pool.memory.short_since = kNow - Seconds{360};
  world.inference_pools = {pool};
  return world;
}

// The same with a claim on the place of the gang of lower priority.
Snapshot Claimed() { return Applied(Short(), MakePlan(Short())); }

std::vector<std::string> VictimsOf(const Snapshot& world) {
  const Plan plan = Checked(world);
  std::vector<std::string> victims;
  if (const auto& claim = ServingOf(plan).memory.claim) {
    for (const auto& key : claim->hold.victims) victims.push_back(key.name);
  }
  return victims;
}

TEST(CellClaim, IsMadeOnceThePoolHasBeenShortForLongEnough) {
  Snapshot world = Short();
  Serving(world).memory.short_since.reset();
  const Plan plan = Checked(world);
  EXPECT_EQ(ServingOf(plan).memory.short_since, kNow);
  EXPECT_EQ(plan.next_wake, kNow + Seconds{300});
  world = After(world, plan, kNow + Seconds{299});
  EXPECT_THAT(VictimsOf(world), ElementsAre());
  world.now = kNow + Seconds{300};
  EXPECT_THAT(VictimsOf(world), ElementsAre("low"));
  Serving(world).preempt_after = Seconds{301};
  EXPECT_THAT(VictimsOf(world), ElementsAre());
}

TEST(CellClaim, MakesAGangGoAtOnceThatHasToStartAnew) {
  Snapshot world = Short();
  // The gang would start anew beside the replicas that find room now.
  NodeOf(world, "home-1").allocatable.Set(kGpu, 12);
  PoolOf(world, "low").attempt.failed = true;
  PoolOf(world, "low").attempt.disrupted = true;
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "low").action, Action::kRelease) << FormatPlan(plan, true);
}

TEST(CellClaim, MakesTheGangGoAndTheReplicasCome) {
  Snapshot world = Short();
  PoolOf(world, "low").preemptible = Preemptible::kAtCheckpoint;
  PoolOf(world, "low").checkpoint_interval = Seconds{1000};
  Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "low").action, Action::kKeep);
  EXPECT_THAT(DecisionOf(plan, "low").placed_message,
              HasSubstr("gives way to serving/chat, whose priority is 10 and not 0, at its next "
                        "checkpoint, by 2026-11-24T12:13:20Z"));
  EXPECT_EQ(ServingOf(plan).capacity_reason, Reason::kWaitingForCheckpoint);
  EXPECT_EQ(ServingOf(plan).capacity_message,
            "serves 0 of 32 needed (8 units × 4); waits until others give way to it at their next "
            "checkpoints: team/low by 2026-11-24T12:13:20Z; 1 node of home (home-1) reserved for 8 "
            "replicas of gpu until 2026-11-24T12:25:20Z");
  EXPECT_EQ(ServingOf(plan).remedies.at(0),
            "gpu@home: wait until 2026-11-24T12:13:20Z, by when the last of those who give way to "
            "it stops");
  EXPECT_EQ(plan.next_wake, kNow + Seconds{800});
  world = Applied(world, plan);
  world.now = kNow + Seconds{800};
  plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "low").action, Action::kRelease);
  EXPECT_EQ(DecisionOf(plan, "low").ready_reason, Reason::kPreempted);
  EXPECT_EQ(DecisionOf(plan, "low").memory.evictions.back().cause,
            "gave its place on home up for serving/chat, whose priority is 10 and not 0");
  EXPECT_EQ(Mix(ServingOf(plan)), "nothing") << "its pods are there still";
  EXPECT_EQ(ServingOf(plan).capacity_reason, Reason::kWaitingForPreemption);
  world = After(world, plan, kNow + Seconds{900});
  plan = Checked(world);
  EXPECT_EQ(Mix(ServingOf(plan)), "8 gpu@home");
  EXPECT_FALSE(ServingOf(plan).memory.claim.has_value());
  EXPECT_FALSE(ServingOf(plan).memory.short_since.has_value());
  EXPECT_FALSE(DecisionOf(plan, "low").placed);
}

struct Case {
  const char* sentence;
  std::function<void(Snapshot&)> change;
  std::vector<std::string> victims;
};
class CellClaims : public testing::TestWithParam<Case> {};

TEST_P(CellClaims, SayWhoGivesWay) {
  Snapshot world = Short();
  GetParam().change(world);
  EXPECT_EQ(VictimsOf(world), GetParam().victims) << FormatPlan(Checked(world), true);
}

INSTANTIATE_TEST_SUITE_P(
    All, CellClaims,
    testing::Values(
        Case{"who has a lower priority", [](Snapshot&) {}, {"low"}},
        Case{"nobody of the same priority", [](Snapshot& w) { Serving(w).priority = 0; }, {}},
        Case{"nobody, if it is not to preempt",
             [](Snapshot& w) { Serving(w).preempts = Preempts::kNever; },
             {}},
        Case{"nobody while it is paused", [](Snapshot& w) { Serving(w).paused = true; }, {}},
        Case{"nobody where another cell serves", [](Snapshot& w) { AddNodes(w, "azure", 1); }, {}},
        Case{"nobody while it holds back before it spills",
             [](Snapshot& w) {
               AddNodes(w, "azure", 1);
               Serving(w).spill_after = Seconds{3600};
             },
             {}},
        Case{"who runs at home, where a spill does not help either",
             [](Snapshot& w) {
               AddNodes(w, "azure", 1);
               Use(w, "azure-1", 8);
             },
             {"low"}},
        Case{"nobody in a group that is closed",
             [](Snapshot& w) { GroupOf(w, "home").admission = Admission::kClosed; },
             {}},
        Case{"nobody who has not run for long enough",
             [](Snapshot& w) { PoolOf(w, "low").min_run = Seconds{8000}; },
             {}},
        Case{"nobody of another namespace who is guaranteed its place",
             [](Snapshot& w) { w.quotas = {Guarantee("team", 16)}; },
             {}},
        Case{"one of its own namespace all the same",
             [](Snapshot& w) {
               for (TrainingPool& pool : w.pools) pool.key.ns = "serving";
             },
             {"low"}},
        Case{"who borrows what its namespace is guaranteed, whatever the priority",
             [](Snapshot& w) {
               w.quotas = {Guarantee("serving", 8)};
               PoolOf(w, "low").priority = 30;
               PoolOf(w, "low").memory.restart_took = Seconds{200};
               Serving(w).preempts = Preempts::kNever;
             },
             {"low"}},
        Case{"nobody where its namespace has what it is guaranteed",
             [](Snapshot& w) {
               w.quotas = {Guarantee("serving", 7)};
               PoolOf(w, "low").priority = 30;
               AddNodes(w, "home", 1, 7);
               w.inference_pools[0].replicas = 15;
               Runs(w, w.inference_pools[0], "gpu", "home", 7, 7, {"home-3"});
             },
             {}},
        Case{"nobody beyond its own limit",
             [](Snapshot& w) { w.quotas = {Guarantee("serving", 0, 0)}; },
             {}},
        Case{"the one that loses least",
             [](Snapshot& w) {
               PoolOf(w, "high").priority = 0;
               PoolOf(w, "low").memory.restart_took = Seconds{900};
             },
             {"high"}},
        Case{"both where it lacks as much",
             [](Snapshot& w) {
               PoolOf(w, "high").priority = 0;
               Serving(w).replicas = 9;
             },
             {"high", "low"}}));

TEST(CellClaim, IsForAsManyReplicasAsOthersCanMakeRoomFor) {
  Snapshot world = Short();
  Serving(world).replicas = 30;
  const auto claim = ServingOf(Checked(world)).memory.claim;
  ASSERT_TRUE(claim.has_value());
  EXPECT_EQ(claim->replicas, 8);
  EXPECT_THAT(claim->hold.nodes, ElementsAre("home-1"));
}

TEST(CellClaim, IsForNoMoreThanItsLimits) {
  Snapshot world = Short();
  world.quotas = {Guarantee("serving", 0, 5)};
  const auto claim = ServingOf(Checked(world)).memory.claim;
  ASSERT_TRUE(claim.has_value());
  EXPECT_EQ(claim->replicas, 5);
}

// What its own replicas have is no room for more of them.
// Two nodes; on one of them a gang has yet to be bound, so that no replica may go to the other.
TEST(CellClaim, IsMadeAtOnceWhereAGangTakesTheRoomThatThePoolWaitedFor) {
  Snapshot world = Fleet(2);
  world.pools = {Has("starts", 1, 8, "home", {"home-1"})};
  PoolOf(world, "starts").preemptible = Preemptible::kAlways;
  PoolOf(world, "starts").min_run = Seconds{0};
  world.inference_pools = {Short().inference_pools.front()};
  EXPECT_THAT(VictimsOf(world), ElementsAre()) << "the other node is its own in a moment";
  world.pools.push_back(Wants("late", 1));
  world.pools.back().priority = 5;
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "late").action, Action::kPlace);
  EXPECT_THAT(VictimsOf(world), ElementsAre("starts"));
  const Snapshot after = Applied(world, plan);
  EXPECT_EQ(ServingOf(Checked(after)).memory, ServingOf(plan).memory);
}

TEST(CellClaim, LeavesWhatItsOwnReplicasHave) {
  Snapshot world = Short();
  Serving(world).replicas = 12;
  NodeOf(world, "home-1").allocatable.Set(kGpu, 12);
  Runs(world, Serving(world), "gpu", "home", 4, 4, {"home-1"});
  const auto claim = ServingOf(Checked(world)).memory.claim;
  ASSERT_TRUE(claim.has_value());
  EXPECT_EQ(claim->replicas, 8);
}

TEST(CellClaim, IsGivenUpWhenThePoolIsNotShortAnyMore) {
  Snapshot world = Claimed();
  Serving(world).replicas = 0;
  world.now = kNow + Seconds{1};
  const Plan plan = Checked(world);
  EXPECT_FALSE(ServingOf(plan).memory.claim.has_value());
  EXPECT_EQ(DecisionOf(plan, "low").action, Action::kKeep);
}

TEST(CellClaim, IsGivenUpWhereAVictimComesFirstByNow) {
  Snapshot world = Claimed();
  PoolOf(world, "low").priority = 15;
  world.now = kNow + Seconds{1};
  const Plan plan = Checked(world);
  EXPECT_FALSE(ServingOf(plan).memory.claim.has_value());
  EXPECT_EQ(DecisionOf(plan, "low").action, Action::kKeep);
}

TEST(CellClaim, HasAnEnd) {
  Snapshot world = Claimed();
  Serving(world).memory.claim->hold.until = kNow + Seconds{1};
  Serving(world).memory.claim->hold.victims = {{.ns = "team", .name = "gone"}};
  Serving(world).preempts = Preempts::kNever;
  EXPECT_TRUE(ServingOf(Checked(world)).memory.claim.has_value());
  world.now = kNow + Seconds{1};
  EXPECT_FALSE(ServingOf(Checked(world)).memory.claim.has_value());
}

TEST(CellClaim, NobodyElseGetsWhatIsClaimed) {
  Snapshot world = Claimed();
  world.pools.push_back(Wants("other", 1));
  world.pools.back().priority = 30;
  world.pools.back().preempts = Preempts::kNever;
  world.now = kNow + Seconds{1};
  Plan plan = Checked(world);
  ASSERT_EQ(DecisionOf(plan, "low").action, Action::kRelease);
  world = After(world, plan, kNow + Seconds{130});
  plan = Checked(world);
  EXPECT_EQ(Mix(ServingOf(plan)), "8 gpu@home");
  EXPECT_FALSE(DecisionOf(plan, "other").placed);
}

TEST(CellClaim, CountsAgainstItsNamespacesLimit) {
  Snapshot world = Short();
  world.quotas = {Guarantee("serving", 0, 8)};
  AddNodes(world, "azure", 1);
  Serving(world).providers = {placement::Provider::kOnPrem};
  world.pools.push_back(Wants("mine", 1, 4));
  world.pools.back().key.ns = "serving";
  world.pools.back().spill_after = Seconds{0};
  EXPECT_FALSE(DecisionOf(Checked(world), "mine").placed);
  world.quotas = {Guarantee("serving", 0, 12)};
  EXPECT_TRUE(DecisionOf(Checked(world), "mine").placed);
}

TEST(CellClaim, OneVictimIsNotAskedTwice) {
  Snapshot world = Short();
  InferencePool other = Chat(8, "other");
  other.priority = 9;
  other.memory = Serving(world).memory;
  world.inference_pools.push_back(other);
  const Plan plan = Checked(world);
  EXPECT_TRUE(ServingOf(plan, "chat").memory.claim.has_value());
  EXPECT_FALSE(ServingOf(plan, "other").memory.claim.has_value());
}

// Two gangs of half a node each, which have their checkpoints at different times.
Snapshot Halves() {
  Snapshot world = Short();
  std::erase_if(world.pools, [](const TrainingPool& pool) { return pool.key.name == "low"; });
  NodeOf(world, "home-1").used = Resources();
  for (const char* name : {"half-1", "half-2"}) {
    world.pools.push_back(Has(name, 1, 4, "home", {"home-1"}));
    TrainingPool& pool = world.pools.back();
    pool.memory.placement->since = kNow - Seconds{7200};
    pool.memory.started = pool.memory.queued_since = pool.memory.placement->since;
    pool.min_run = Seconds{0};
    AddWorkers(world, pool);
  }
  PoolOf(world, "half-1").checkpoint_interval = Seconds{1000};
  PoolOf(world, "half-2").checkpoint_interval = Seconds{7000};
  return world;
}

TEST(CellClaim, KeepsWhatTheFirstLeavesUntilTheLastHasGone) {
  Snapshot world = Halves();
  Serving(world).variants = {Serves("gpu", "a100", 8, "32")};
  world = Applied(world, Checked(world));
  ASSERT_EQ(Serving(world).memory.claim->hold.victims.size(), 2U);
  world.now = kNow + Seconds{800};
  Plan plan = Checked(world);
  ASSERT_EQ(DecisionOf(plan, "half-1").action, Action::kRelease);
  ASSERT_EQ(DecisionOf(plan, "half-2").action, Action::kKeep);
  world = After(world, plan, kNow + Seconds{900});
  world.pools.push_back(Wants("other", 1, 4));
  plan = Checked(world);
  EXPECT_FALSE(DecisionOf(plan, "other").placed);
  EXPECT_FALSE(DecisionOf(plan, "half-1").placed);
  EXPECT_EQ(ServingOf(plan).memory.claim, Serving(world).memory.claim);
}

TEST(CellClaim, IsForWhatHasNotComeYet) {
  Snapshot world = Halves();
  Serving(world).replicas = 9;
  PoolOf(world, "high").min_run = Seconds{90'000};
  world.quotas = {Guarantee("serving", 8)};
  world = Applied(world, Checked(world));
  const auto claimed = *Serving(world).memory.claim;
  ASSERT_EQ(claimed.replicas, 8);
  world.now = kNow + Seconds{800};
  world = After(world, Checked(world), kNow + Seconds{900});
  const Plan plan = Checked(world);
  EXPECT_EQ(Mix(ServingOf(plan)), "4 gpu@home");
  const auto& claim = ServingOf(plan).memory.claim;
  ASSERT_TRUE(claim.has_value());
  EXPECT_EQ(claim->replicas, 4);
  EXPECT_EQ(claim->hold, claimed.hold) << "who was asked to go is not asked anew";
}

TEST(CellClaim, ForFewerReplicasIsAnotherOne) {
  Snapshot world = Halves();
  world = Applied(world, Checked(world));
  ASSERT_EQ(Serving(world).memory.claim->hold.victims.size(), 2U);
  Serving(world).replicas = 3;
  Serving(world).memory.units = 3;
  EXPECT_THAT(VictimsOf(world), ElementsAre("half-1"));
}

// Nobody else is asked to go for those whose room is being left already.
TEST(CellClaim, ForFewerReplicasIsTheSameOnceSomebodyHasGone) {
  Snapshot world = Short();
  PoolOf(world, "high").priority = 0;
  PoolOf(world, "high").memory.restart_took = Seconds{900};
  world = Applied(world, Checked(world));
  world.now = kNow + Seconds{1};
  Plan plan = Checked(world);
  ASSERT_EQ(DecisionOf(plan, "low").action, Action::kRelease);
  world = Applied(world, plan);
  Serving(world).replicas = 7;
  Serving(world).memory.units = 7;
  const auto before = Serving(world).memory.claim;
  plan = Checked(world);
  ASSERT_TRUE(ServingOf(plan).memory.claim.has_value());
  EXPECT_EQ(ServingOf(plan).memory.claim->replicas, 7);
  EXPECT_EQ(ServingOf(plan).memory.claim->hold, before->hold);
}

TEST(CellClaim, AGuaranteeIsReclaimedOnce) {
  Snapshot world = Halves();
  for (TrainingPool& pool : world.pools) pool.priority = 30;
  Serving(world).replicas = 4;
  world.quotas = {Guarantee("serving", 4)};
  InferencePool other = Chat(4, "other");
  other.memory = Serving(world).memory;
  world.inference_pools.push_back(other);
  world = Applied(world, Checked(world));
  EXPECT_TRUE(world.inference_pools[0].memory.claim.has_value());
  EXPECT_FALSE(world.inference_pools[1].memory.claim.has_value());
}

}  // namespace
}  // namespace spillway::tests
