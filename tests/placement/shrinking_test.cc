// Elastic gangs that go on with fewer workers so that somebody before them gets a place: when, on
// which nodes, and what comes first.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "passes.h"
#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::Plan;
using placement::PoolMemory;
using placement::Preemptible;
using placement::Preempts;
using placement::Reason;
using testing::ElementsAre;
using testing::HasSubstr;

const PoolMemory& MemoryOf(const Plan& plan, const std::string& name) {
  return DecisionOf(plan, name).memory;
}

TrainingPool& MakeElastic(TrainingPool& pool, int least) {
  pool.accelerators[0].min_workers = least;
  return pool;
}

// Waits since before the gang came that runs.
TrainingPool Early(const std::string& name, int workers, int per_worker = 8) {
  TrainingPool pool = Wants(name, workers, per_worker);
  pool.memory.queued_since = kNow - Seconds{9000};
  pool.memory.waiting_since = kNow - Seconds{60};
  return pool;
}

// Home is full of a gang that runs with 4 workers and makes do with 2; p waits for 2 nodes, and
// azure has them too.
Snapshot Full() {
  Snapshot world = Fleet(4, 2);
  MakeElastic(AddOld(world, "elastic", 0, {"home-1", "home-2", "home-3", "home-4"}), 2);
  world.pools.push_back(Early("p", 2));
  world.pools.back().spill_after = Seconds{0};
  return world;
}

TrainingPool& P(Snapshot& world) { return PoolOf(world, "p"); }
TrainingPool& E(Snapshot& world) { return PoolOf(world, "elastic"); }

TEST(Shrinking, MakesRoomAndGoesOnWithTheRest) {
  Snapshot world = Full();
  const Plan claims = Checked(world);
  ASSERT_TRUE(MemoryOf(claims, "p").hold) << FormatPlan(claims, true);
  EXPECT_TRUE(MemoryOf(claims, "p").hold->shrinks);
  EXPECT_EQ(DecisionOf(claims, "elastic").action, Action::kKeep);
  EXPECT_EQ(claims.next_wake, kNow + Seconds{1});

  world = After(world, claims, kNow + Seconds{1});
  const Plan shrinks = Checked(world);
  EXPECT_EQ(DecisionOf(shrinks, "elastic").action, Action::kRestart);
  const auto& rest = MemoryOf(shrinks, "elastic").placement;
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->workers, 2);
  EXPECT_EQ(rest->attempt, 2);
  EXPECT_THAT(rest->nodes, ElementsAre("home-3", "home-4"));
  EXPECT_EQ(MemoryOf(shrinks, "elastic").evictions.size(), 1U);
  EXPECT_FALSE(DecisionOf(shrinks, "p").placed);

  world = After(world, shrinks, kNow + Seconds{30});
  const Plan then = Checked(world);
  ASSERT_TRUE(DecisionOf(then, "p").placed) << FormatPlan(then, true);
  EXPECT_THAT(MemoryOf(then, "p").placement->nodes, ElementsAre("home-1", "home-2"));
  EXPECT_EQ(DecisionOf(then, "elastic").action, Action::kKeep);
}

TEST(Shrinking, SaysWhoGivesWhatToWhom) {
  Snapshot world = Full();
  const Plan claims = Checked(world);
  EXPECT_EQ(DecisionOf(claims, "p").placed_reason, Reason::kWaitingForCheckpoint);
  EXPECT_THAT(DecisionOf(claims, "p").placed_message,
              HasSubstr("team/elastic, which goes on with fewer workers, by"));
  EXPECT_THAT(DecisionOf(claims, "elastic").placed_message,
              HasSubstr("goes on with fewer workers for team/p, which comes before it in the "
                        "queue, at its next checkpoint, by"));
  const Plan shrinks = Checked(After(world, claims, kNow + Seconds{1}));
  EXPECT_EQ(DecisionOf(shrinks, "elastic").ready_reason, Reason::kPreempted);
  EXPECT_THAT(DecisionOf(shrinks, "elastic").ready_message,
              HasSubstr("gave 2 of 4 workers on home up for team/p, which comes before it in the "
                        "queue; attempt 2 starts on home"));
  EXPECT_EQ(DecisionOf(shrinks, "p").placed_reason, Reason::kWaitingForPreemption);
}

struct Case {
  const char* sentence;
  std::function<void(Snapshot&)> make;
  const char* told;
};

std::string Told(const Plan& plan) {
  const PoolMemory& memory = MemoryOf(plan, "p");
  if (memory.placement) return "starts on " + memory.placement->node_group;
  if (!memory.hold || !memory.hold->IsClaim()) return "waits";
  const std::string what = memory.hold->shrinks ? "shrinks " : "evicts ";
  std::string whom;
  for (const auto& victim : memory.hold->victims) whom += (whom.empty() ? "" : " ") + victim.name;
  return what + whom + " on " + memory.hold->node_group;
}

void Try(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    Snapshot world = Full();
    c.make(world);
    EXPECT_EQ(Told(Checked(world)), c.told) << c.sentence;
  }
}

TEST(Shrinking, IsForWhoComesBefore) {
  Try({
      {"who waits longer", [](Snapshot&) {}, "shrinks elastic on home"},
      {"who has a higher priority",
       [](Snapshot& w) {
         P(w).memory.queued_since = kNow - Seconds{60};
         P(w).priority = 1;
       },
       "shrinks elastic on home"},
      {"not who came later", [](Snapshot& w) { P(w).memory.queued_since = kNow - Seconds{60}; },
       "starts on azure"},
      {"not who makes nobody give way", [](Snapshot& w) { P(w).preempts = Preempts::kNever; },
       "starts on azure"},
      {"not who waits longer in another namespace", [](Snapshot& w) { P(w).key.ns = "other"; },
       "starts on azure"},
      {"who has a higher priority in another namespace",
       [](Snapshot& w) {
         P(w).key.ns = "other";
         P(w).priority = 1;
       },
       "shrinks elastic on home"},
      {"who is guaranteed what it asks for in another namespace",
       [](Snapshot& w) {
         P(w).key.ns = "other";
         w.quotas = {Guarantee("other", 16)};
       },
       "shrinks elastic on home"},
      {"not with workers that another namespace is guaranteed",
       [](Snapshot& w) {
         P(w).key.ns = "other";
         P(w).priority = 1;
         w.quotas = {Guarantee("team", 32)};
       },
       "starts on azure"},
  });
}

TEST(Shrinking, TakesWhatCanBeDoneWithout) {
  Try({
      {"down to the fewest", [](Snapshot& w) { MakeElastic(E(w), 2); }, "shrinks elastic on home"},
      {"and no further", [](Snapshot& w) { MakeElastic(E(w), 3); }, "starts on azure"},
      {"not of who is not elastic", [](Snapshot& w) { MakeElastic(E(w), 0); }, "starts on azure"},
      {"not of who has not run for long enough", [](Snapshot& w) { E(w).min_run = Seconds{7201}; },
       "starts on azure"},
      {"of who may not be stopped at all, nothing that it is guaranteed",
       [](Snapshot& w) {
         E(w).preemptible = Preemptible::kNever;
         P(w).priority = 1;
         w.quotas = {Guarantee("team", 1000)};
       },
       "starts on azure"},
      {"not of who could not start anew", [](Snapshot& w) { E(w).template_unchecked = true; },
       "starts on azure"},
      {"not where a worker is not running", [](Snapshot& w) { E(w).workers[0].running = false; },
       "starts on azure"},
      {"not for a limit of its namespace",
       [](Snapshot& w) { w.quotas = {Guarantee("team", 0, 32)}; }, "waits"},
  });
}

TEST(Shrinking, ComesAfterWhatFitsAndBeforeAllElse) {
  Try({
      {"what fits at home is taken", [](Snapshot& w) { AddNodes(w, "home", 2); }, "starts on home"},
      {"also in another group there",
       [](Snapshot& w) {
         w.groups.push_back(Group("more"));
         AddNodes(w, "more", 2);
       },
       "starts on more"},
      {"before a hold-back is over", [](Snapshot& w) { P(w).spill_after = Seconds{600}; },
       "shrinks elastic on home"},
      {"rather than that others go",
       [](Snapshot& w) {
         AddNodes(w, "home", 2);
         AddOld(w, "rigid", 0, {"home-5", "home-6"});
         P(w).priority = 1;
       },
       "shrinks elastic on home"},
      {"rather than that borrowers go for a guarantee",
       [](Snapshot& w) {
         AddNodes(w, "home", 2);
         AddOld(w, "rigid", 0, {"home-5", "home-6"}).key.ns = "other";
         E(w).key.ns = "other";
         w.quotas = {Guarantee("team", 16)};
       },
       "shrinks elastic on home"},
      {"beyond home, when nothing else is left but that others go",
       [](Snapshot& w) {
         MakeElastic(E(w), 4);
         AddNodes(w, "azure", 1);
         MakeElastic(AddOld(w, "away", 0, {"azure-1", "azure-2", "azure-3"}, "azure"), 1);
         P(w).priority = 1;
       },
       "shrinks away on azure"},
  });
}

TEST(Shrinking, IsSharedWhereOneGangIsNotEnough) {
  Snapshot world = Fleet(6);
  MakeElastic(AddOld(world, "a", 0, {"home-1", "home-2", "home-3"}), 2);
  MakeElastic(AddOld(world, "b", 0, {"home-4", "home-5", "home-6"}), 2);
  world.pools.push_back(Early("p", 2));
  const Plan claims = Checked(world);
  ASSERT_TRUE(MemoryOf(claims, "p").hold) << FormatPlan(claims, true);
  EXPECT_TRUE(MemoryOf(claims, "p").hold->shrinks);
  EXPECT_EQ(MemoryOf(claims, "p").hold->victims.size(), 2U);
  world = After(world, claims, kNow + Seconds{1});
  const Plan shrinks = Checked(world);
  EXPECT_EQ(MemoryOf(shrinks, "a").placement->workers, 2);
  EXPECT_EQ(MemoryOf(shrinks, "b").placement->workers, 2);
  EXPECT_TRUE(DecisionOf(Checked(After(world, shrinks, kNow + Seconds{30})), "p").placed);
}

// Both have half of each node, and leave the same one.
TEST(Shrinking, IsSharedByThoseOnOneNode) {
  Snapshot world = Fleet(3);
  for (const char* name : {"a", "b"}) {
    TrainingPool& pool = AddRunning(world, name, 3, 4, "home", {"home-1", "home-2", "home-3"});
    MakeElastic(pool, 2).preemptible = Preemptible::kAlways;
    pool.min_run = Seconds{0};
  }
  world.pools.push_back(Early("p", 1));
  world = After(world, Checked(world), kNow + Seconds{1});
  ASSERT_EQ(PoolOf(world, "p").memory.hold->victims.size(), 2U);
  const Plan shrinks = Checked(world);
  EXPECT_EQ(MemoryOf(shrinks, "a").placement->nodes, MemoryOf(shrinks, "b").placement->nodes);
  EXPECT_TRUE(DecisionOf(Checked(After(world, shrinks, kNow + Seconds{30})), "p").placed);
}

// One node of 8 accelerators, all of which a gang of 8 workers has.
TEST(Shrinking, LeavesPartOfANode) {
  Snapshot world = Fleet(1);
  AddRunning(world, "elastic", 8, 1, "home", {"home-1"}, 0);
  MakeElastic(E(world), 4);
  E(world).preemptible = Preemptible::kAlways;
  E(world).min_run = Seconds{0};
  world.pools.push_back(Early("p", 3, 1));
  const Plan claims = Checked(world);
  ASSERT_TRUE(MemoryOf(claims, "p").hold) << FormatPlan(claims, true);
  world = After(world, claims, kNow + Seconds{1});
  const Plan shrinks = Checked(world);
  ASSERT_TRUE(MemoryOf(shrinks, "elastic").placement);
  EXPECT_EQ(MemoryOf(shrinks, "elastic").placement->workers, 5);
  const Plan then = Checked(After(world, shrinks, kNow + Seconds{30}));
  EXPECT_TRUE(DecisionOf(then, "p").placed) << FormatPlan(then, true);
}

TEST(Shrinking, HappensAtACheckpointOfWhoGoesAtThese) {
  Snapshot world = Full();
  E(world).preemptible = Preemptible::kAtCheckpoint;
  E(world).checkpoint_interval = Seconds{1000};  // it has run for 7200 s
  world = After(world, Checked(world), kNow + Seconds{1});
  const Plan waits = Checked(world);
  EXPECT_EQ(DecisionOf(waits, "elastic").action, Action::kKeep);
  EXPECT_EQ(waits.next_wake, kNow + Seconds{800});
  world = After(world, waits, kNow + Seconds{800});
  EXPECT_EQ(MemoryOf(Checked(world), "elastic").placement->workers, 2);
}

TEST(Shrinking, IsGivenUpWhereTheGangNeedsItsWorkersByNow) {
  Snapshot world = Full();
  world = After(world, Checked(world), kNow + Seconds{1});
  MakeElastic(E(world), 4);
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "elastic").action, Action::kKeep);
  EXPECT_EQ(Told(plan), "starts on azure");
}

void LoseFor(Snapshot& world, const std::string& node, Seconds ago) {
  NodeOf(world, node).ready = false;
  NodeOf(world, node).not_ready_since = world.now - ago;
}

void LeaveOut(Snapshot& world, const std::string& node) {
  E(world).memory.excluded.push_back(
      {.name = node, .until = world.now + Seconds{600}, .reason = "NodeLost"});
}

// It keeps home-3 and home-4, and two workers, while p waits for the others.
TEST(Shrinking, IsGivenUpWhereTheGangCanNotGoOnWithFewer) {
  const std::vector<Case> cases = {
      {"it can", [](Snapshot&) {}, "shrinks elastic on home"},
      {"a node is lost that it would keep",
       [](Snapshot& w) { NodeOf(w, "home-4").draining = true; }, "starts on azure"},
      {"a node is away that it would keep", [](Snapshot& w) { LoseFor(w, "home-4", Seconds{1}); },
       "starts on azure"},
      {"it may start anew on one node alone",
       [](Snapshot& w) {
         for (const char* node : {"home-2", "home-3", "home-4"}) LeaveOut(w, node);
       },
       "starts on azure"},
      {"its nodes are left alone",
       [](Snapshot& w) {
         for (const char* node : {"home-1", "home-2", "home-3"}) LoseFor(w, node, Seconds{1});
       },
       "starts on azure"},
      {"its spec asks for more on a node by now", [](Snapshot& w) { E(w).per_worker = 16; },
       "starts on azure"},
      {"it is not elastic any more", [](Snapshot& w) { MakeElastic(E(w), 0); }, "starts on azure"},
  };
  for (const Case& c : cases) {
    Snapshot world = Full();
    E(world).preemptible = Preemptible::kAtCheckpoint;
    E(world).checkpoint_interval = Seconds{1000};  // it has run for 7200 s
    world = After(world, Checked(world), kNow + Seconds{1});
    c.make(world);
    EXPECT_EQ(Told(Checked(world)), c.told) << c.sentence;
  }
}

TEST(Shrinking, IsGivenUpWhereTheGangIsInAnotherGroup) {
  Snapshot world = Fleet(1, 2);
  world.groups.push_back(Group("barn"));
  AddNodes(world, "barn", 2);
  AddOld(world, "full", 9, {"home-1"});
  MakeElastic(AddOld(world, "elastic", 0, {"barn-1", "barn-2"}, "barn"), 1);
  world.pools.push_back(Early("p", 1));
  placement::Hold& hold = P(world).memory.hold.emplace();
  hold.node_group = "home";
  hold.nodes = {"home-1"};
  hold.since = kNow - Seconds{5};
  hold.until = kNow + Seconds{300};
  hold.victims = {E(world).key};
  hold.shrinks = true;
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "elastic").action, Action::kKeep);
  EXPECT_EQ(Told(plan), "shrinks elastic on barn");
}

// p gets the node where the gang can't start anew, and one that it can do without.
TEST(Shrinking, IsForOtherNodesWhereTheGangNeedsThese) {
  Snapshot world = Full();
  world = After(world, Checked(world), kNow + Seconds{1});
  ASSERT_THAT(P(world).memory.hold->nodes, ElementsAre("home-1", "home-2"));
  LeaveOut(world, "home-4");
  const Plan plan = Checked(world);
  EXPECT_EQ(Told(plan), "shrinks elastic on home");
  EXPECT_THAT(MemoryOf(plan, "p").hold->nodes, testing::Contains("home-4"));
}

// It leaves for what it costs, at a checkpoint of its own.
TEST(Shrinking, IsGivenUpWhereThereIsNoMoneyForTheGangAnyMore) {
  Snapshot world = Fleet(2, 3);
  AddOld(world, "rigid", 5, {"home-1", "home-2"});
  MakeElastic(AddOld(world, "away", 0, {"azure-1", "azure-2", "azure-3"}, "azure"), 1);
  PoolOf(world, "away").preemptible = Preemptible::kAtCheckpoint;
  PoolOf(world, "away").checkpoint_interval = Seconds{1000};
  PoolOf(world, "away").key.ns = "other";
  world.pools.push_back(Early("p", 2));
  P(world).priority = 1;
  P(world).spill_after = Seconds{0};
  world = After(world, Checked(world), kNow + Seconds{1});
  ASSERT_EQ(Told(Checked(world)), "shrinks away on azure");
  placement::Quota& quota = world.quotas.emplace_back();
  quota.ns = "other";
  quota.budget = placement::Budget{.amount = Dollars("1"),
                                   .period = placement::BudgetPeriod::kMonth,
                                   .at_limit = placement::AtLimit::kDrainAtCheckpoint};
  quota.memory = placement::SpendMemory{.spent = Dollars("2"),
                                        .hourly = Dollars("0"),
                                        .as_of = kNow,
                                        .period_start = At("2026-11-01T00:00:00Z")};
  EXPECT_EQ(Told(Checked(world)), "evicts away on azure");
}

TEST(Shrinking, HappensToNobodyWhereOneOfThemCanNot) {
  Snapshot world = Fleet(6, 2);
  MakeElastic(AddOld(world, "a", 0, {"home-1", "home-2", "home-3"}), 2);
  MakeElastic(AddOld(world, "b", 0, {"home-4", "home-5", "home-6"}), 2);
  world.pools.push_back(Early("p", 2));
  P(world).spill_after = Seconds{0};
  world = After(world, Checked(world), kNow + Seconds{1});
  ASSERT_EQ(PoolOf(world, "p").memory.hold->victims.size(), 2U);
  ASSERT_THAT(P(world).memory.hold->nodes, ElementsAre("home-3", "home-6"));
  LoseFor(world, "home-5", Seconds{1});
  const Plan plan = Checked(world);
  EXPECT_EQ(Told(plan), "starts on azure");
  EXPECT_EQ(DecisionOf(plan, "a").action, Action::kKeep);
  EXPECT_EQ(DecisionOf(plan, "b").action, Action::kKeep);
}

// Home has four nodes, on each of which the gang has half: of eight workers it needs five, which
// have room on the two nodes that p does not claim.
Snapshot HalfFull() {
  Snapshot world = Fleet(4, 2);
  AddRunning(world, "elastic", 8, 2, "home", {"home-1", "home-2", "home-3", "home-4"});
  MakeElastic(E(world), 5);
  E(world).preemptible = Preemptible::kAlways;
  E(world).min_run = Seconds{0};
  world.pools.push_back(Early("p", 2));
  P(world).spill_after = Seconds{0};
  return world;
}

// Somebody else is given room that it counted on: the claim is nothing that the next pass finds.
TEST(Shrinking, IsGivenUpWhenAnotherGangGetsTheRoom) {
  Snapshot world = HalfFull();
  E(world).preemptible = Preemptible::kAtCheckpoint;
  world = After(world, Checked(world), kNow + Seconds{1});
  ASSERT_EQ(Told(Checked(world)), "shrinks elastic on home");
  world.pools.push_back(Wants("late", 2, 4));
  const Plan plan = Checked(world);
  EXPECT_TRUE(DecisionOf(plan, "late").placed);
  EXPECT_EQ(Told(plan), "starts on azure");
}

// Somebody else's pods are not bound yet on a node that it keeps: it can't start anew beside them
// before they are, and nobody has to look elsewhere for that.
TEST(Shrinking, IsNotGivenUpForPodsThatAreAboutToBeBound) {
  Snapshot world = HalfFull();
  world = After(world, Checked(world), kNow + Seconds{1});
  ASSERT_EQ(MemoryOf(Checked(world), "elastic").placement->workers, 7);
  world.pools.push_back(Has("late", 1, 4, "home", {"home-4"}));
  EXPECT_EQ(Told(Checked(world)), "shrinks elastic on home");
}

TEST(Shrinking, LeavesWhoHasToStartAnewAnywayOnItsOwnNodes) {
  Snapshot world = Full();
  world = After(world, Checked(world), kNow + Seconds{1});
  E(world).attempt.failed = true;
  auto& failure = E(world).attempt.failure.emplace();
  failure.attempt = 1;
  failure.worker = 2;
  failure.node = "home-3";
  failure.exit_code = 1;
  failure.time = kNow + Seconds{1};
  const Plan plan = Checked(world);
  const auto& rest = MemoryOf(plan, "elastic").placement;
  ASSERT_TRUE(rest) << FormatPlan(plan, true);
  EXPECT_EQ(rest->workers, 2);
  EXPECT_THAT(rest->nodes, ElementsAre("home-3", "home-4"));
  EXPECT_THAT(DecisionOf(plan, "elastic").ready_message, HasSubstr("exited with code 1"));
}

// It would have to make others go a second time for the same.
TEST(Shrinking, IsWaitedForThoughTheHoldBackIsOver) {
  Snapshot world = Full();
  world = After(world, Checked(world), kNow + Seconds{1});
  const Plan shrinks = Checked(world);
  EXPECT_EQ(Told(shrinks), "shrinks elastic on home");
}

}  // namespace
}  // namespace spillway::tests
