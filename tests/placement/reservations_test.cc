// Room that is promised to the first in a queue, and who may use it until then.
#include "placement/reservations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <set>
#include <tuple>

#include "passes.h"
#include "placement/plan.h"
#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::Applied;
using placement::MakePlan;
using placement::Plan;
using placement::PoolDecision;
using placement::Reason;
using placement::Reservation;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// A gang that was placed an hour ago and has to end in `left` seconds, its grace included.
TrainingPool& AddEnding(Snapshot& world, const std::string& name,
                        const std::vector<std::string>& nodes, int left, int per_worker = 8,
                        const std::string& group = "home") {
  TrainingPool& pool = AddRunning(world, name, static_cast<int>(nodes.size()), per_worker, group,
                                  nodes, GroupOf(world, group).tier);
  const Time since = kNow - Seconds{3600};
  pool.memory.placement->since = since;
  pool.memory.started = pool.memory.queued_since = pool.memory.ready_since = since;
  pool.active_deadline = Seconds{3600 + left} - pool.checkpoint_grace;
  return pool;
}

TrainingPool Waiting(const std::string& name, int workers, int queued_ago, int per_worker = 8) {
  TrainingPool pool = Wants(name, workers, per_worker);
  pool.memory.queued_since = pool.memory.waiting_since = kNow - Seconds{queued_ago};
  pool.spill_allowed = false;
  return pool;
}

// It has ended and its pods are gone `seconds` after it was placed.
TrainingPool Within(TrainingPool pool, int seconds) {
  pool.active_deadline = Seconds{seconds} - pool.checkpoint_grace;
  return pool;
}

// Two nodes at home, one of them taken until a thousand seconds from now; "big" waits for both.
Snapshot Home(int left = 1000) {
  Snapshot world;
  world.now = kNow;
  world.render_revision = "r1";
  world.groups = {Group("home")};
  AddNodes(world, "home", 2);
  AddEnding(world, "old", {"home-1"}, left);
  world.pools.push_back(Waiting("big", 2, 60));
  return world;
}

TEST(Reservation, IsForTheFirstThatLacksRoomAloneByTheDeadlinesOfWhoRuns) {
  const Plan plan = Checked(Home());
  const PoolDecision& big = DecisionOf(plan, "big");
  ASSERT_TRUE(big.reservation);
  EXPECT_EQ(big.reservation->node_group, "home");
  EXPECT_THAT(big.reservation->nodes, ElementsAre("home-1", "home-2"));
  EXPECT_EQ(big.reservation->starts_by, kNow + Seconds{1000});
  EXPECT_EQ(big.placed_reason, Reason::kWaitingForCapacity);
  EXPECT_THAT(big.placed_message,
              HasSubstr("starts on home by 2026-11-24T12:16:40Z at the latest, when "
                        "activeDeadlineSeconds of team/old are over: 2 nodes reserved for it "
                        "(home-1 and home-2)"));
  EXPECT_THAT(big.remedies,
              ElementsAre("home: wait until 2026-11-24T12:16:40Z, or room for 1 more worker: 8 "
                          "accelerators and all else that it requests on one node"));
}

struct Later {
  const char* name;
  std::optional<int> ends;  // after it was placed, its grace included
  bool placed;
};
TEST(Backfill, IsForWhoHasEndedByThen) {
  for (const Later& later : std::vector<Later>{{"for ever", {}, false},
                                               {"a second too long", 1001, false},
                                               {"just in time", 1000, true},
                                               {"short", 200, true}}) {
    Snapshot world = Home();
    world.pools.push_back(Waiting("small", 1, 10));
    if (later.ends) world.pools.back() = Within(world.pools.back(), *later.ends);
    const Plan plan = Checked(world);
    const PoolDecision& small = DecisionOf(plan, "small");
    EXPECT_EQ(small.placed, later.placed) << later.name << small.placed_message;
    if (small.placed) continue;
    EXPECT_EQ(small.placed_reason, Reason::kReserved) << later.name;
    EXPECT_THAT(
        small.placed_message,
        HasSubstr("needs 1 worker of 8 accelerators, which would fit on 1 node, but room there is "
                  "reserved for team/big, which starts by 2026-11-24T12:16:40Z"));
  }
}

TEST(Backfill, OfAGangThatRanBeforeCountsFromItsFirstStart) {
  Snapshot world = Home();
  world.pools.push_back(Within(Waiting("small", 1, 10), 1500));
  EXPECT_FALSE(DecisionOf(Checked(world), "small").placed);
  world.pools.back().memory.started = kNow - Seconds{600};
  world.pools.back().memory.attempts = 1;
  EXPECT_TRUE(DecisionOf(Checked(world), "small").placed);
}

TEST(Backfill, SaysHowShortItWouldHaveToBe) {
  Snapshot world = Home();
  world.pools.push_back(Waiting("small", 1, 10));
  const Plan plan = Checked(world);
  EXPECT_THAT(
      DecisionOf(plan, "small").remedies,
      ElementsAre("home: give it an activeDeadlineSeconds that ends it by 2026-11-24T12:16:40Z, "
                  "checkpoint.graceSeconds included"));
}

TEST(Reservation, StandsInNobodysWayWhoComesFirst) {
  Snapshot world = Home();
  world.pools.push_back(Waiting("first", 1, 600));
  const Plan plan = Checked(world);
  EXPECT_TRUE(DecisionOf(plan, "first").placed);
  EXPECT_FALSE(DecisionOf(plan, "big").reservation);
}

TEST(Reservation, IsNotMadeWhereSomebodyMayRunForEver) {
  Snapshot world = Home();
  PoolOf(world, "old").active_deadline.reset();
  world.pools.push_back(Waiting("small", 1, 10));
  const Plan plan = Checked(world);
  EXPECT_FALSE(DecisionOf(plan, "big").reservation);
  EXPECT_THAT(DecisionOf(plan, "big").placed_message,
              HasSubstr("nobody can say when it starts on home, so nothing is reserved there: "
                        "team/old has no activeDeadlineSeconds"));
  EXPECT_TRUE(DecisionOf(plan, "small").placed);
}

TEST(Reservation, IsNotMadeBehindPodsOfOthers) {
  Snapshot world = Home();
  world.pools.erase(world.pools.begin());
  Use(world, "home-1", 8);
  EXPECT_FALSE(DecisionOf(Checked(world), "big").reservation);
}

struct Blocked {
  const char* name;
  std::function<void(Snapshot&)> edit;
};
TEST(Reservation, IsNotForWhoLacksMoreThanRoom) {
  const std::vector<Blocked> table = {
      {"quota",
       [](Snapshot& world) {
         world.quotas = {
             {.ns = "team", .limits = {{.type = "a100", .limit = 20, .guaranteed = 0}}}};
       }},
      {"template", [](Snapshot& world) { PoolOf(world, "big").template_invalid = "no image"; }},
      {"answer", [](Snapshot& world) { PoolOf(world, "big").template_unchecked = true; }},
      {"selector",
       [](Snapshot& world) {
         PoolOf(world, "big").group_selector = {{.key = "site", .op = "Exists", .values = {}}};
       }},
      {"admission",
       [](Snapshot& world) { GroupOf(world, "home").admission = placement::Admission::kClosed; }},
      {"more than there is",
       [](Snapshot& world) { PoolOf(world, "big").accelerators.front().workers = 3; }}};
  for (const Blocked& one : table) {
    Snapshot world = Home();
    one.edit(world);
    world.pools.push_back(Waiting("small", 1, 10));
    const Plan plan = Checked(world);
    EXPECT_FALSE(DecisionOf(plan, "big").reservation) << one.name;
    const bool open = GroupOf(world, "home").admission == placement::Admission::kOpen;
    EXPECT_EQ(DecisionOf(plan, "small").placed, open) << one.name;
  }
}

// Outside home: what may not spill, yet or at all, or costs too much, reserves nothing there.
TEST(Reservation, IsNotForWhoMayNotSpillThere) {
  const std::vector<std::pair<Reason, std::function<void(TrainingPool&)>>> table = {
      {Reason::kSpillForbidden, [](TrainingPool& pool) { pool.spill_allowed = false; }},
      {Reason::kSpendLimitReached,
       [](TrainingPool& pool) { pool.spill_max_hourly_cost = Dollars("1"); }},
      {Reason::kHoldingBackSpill, [](TrainingPool& pool) { pool.spill_after = Seconds{600}; }},
      {Reason::kWaitingForCapacity, [](TrainingPool& /*pool*/) {}}};
  for (const auto& [reason, edit] : table) {
    Snapshot world = Home();
    world.groups.push_back(Group("azure", 10));
    AddNodes(world, "azure", 2);
    AddEnding(world, "away", {"azure-1"}, 100, 8, "azure");
    TrainingPool& big = PoolOf(world, "big");
    big.spill_allowed = true;
    big.spill_after = Seconds{0};
    edit(big);
    const Plan plan = Checked(world);
    ASSERT_TRUE(DecisionOf(plan, "big").reservation) << ReasonName(reason);
    EXPECT_EQ(DecisionOf(plan, "big").reservation->node_group,
              reason == Reason::kWaitingForCapacity ? "azure" : "home");
    EXPECT_EQ(DecisionOf(plan, "big").alternatives.back().reason, reason);
  }
}

TEST(Reservation, IsForTheNextWhereTheFirstCanNeverFit) {
  Snapshot world = Home();
  world.pools.push_back(Waiting("huge", 3, 600));
  EXPECT_TRUE(DecisionOf(Checked(world), "big").reservation);
}

TEST(Reservation, IsForTheNextWhereNobodyKnowsWhenTheFirstStarts) {
  Snapshot world = Home();
  AddNodes(world, "home", 1);
  AddRunning(world, "endless", 1, 8, "home", {"home-3"});
  world.pools.push_back(Waiting("huge", 3, 600));
  const Plan plan = Checked(world);
  EXPECT_FALSE(DecisionOf(plan, "huge").reservation);
  EXPECT_THAT(DecisionOf(plan, "huge").placed_message, HasSubstr("so nothing is reserved there"));
  EXPECT_TRUE(DecisionOf(plan, "big").reservation);
}

TEST(Reservation, IsLookedForByEightOfAGroupAtTheMost) {
  for (const int before : {7, 8}) {
    Snapshot world = Home();
    AddNodes(world, "home", 1);
    AddRunning(world, "endless", 1, 8, "home", {"home-3"});
    for (int i = 0; i < before; ++i) {
      world.pools.push_back(Waiting("huge-" + std::to_string(i), 3, 600));
    }
    EXPECT_EQ(DecisionOf(Checked(world), "big").reservation.has_value(), before == 7);
  }
}

TEST(Reservation, OneForAGroup) {
  Snapshot world = Home();
  world.pools.push_back(Waiting("next", 2, 30));
  const Plan plan = Checked(world);
  EXPECT_TRUE(DecisionOf(plan, "big").reservation);
  EXPECT_FALSE(DecisionOf(plan, "next").reservation);
}

// Two groups that the gangs may use alike.
Snapshot TwoGroups() {
  Snapshot world = Home(1000);
  world.groups.push_back(Group("other"));
  AddNodes(world, "other", 2);
  AddEnding(world, "elder", {"other-1", "other-2"}, 500, 8, "other");
  return world;
}

TEST(Reservation, IsWhereItsRoomIsFreeSoonest) {
  Snapshot world = TwoGroups();
  const Plan plan = Checked(world);
  ASSERT_TRUE(DecisionOf(plan, "big").reservation);
  EXPECT_EQ(DecisionOf(plan, "big").reservation->node_group, "other");
  EXPECT_EQ(DecisionOf(plan, "big").reservation->starts_by, kNow + Seconds{500});
}

TEST(Reservation, OfTheNextIsInTheGroupThatIsLeft) {
  Snapshot world = TwoGroups();
  world.pools.push_back(Waiting("next", 2, 30));
  const Plan plan = Checked(world);
  ASSERT_TRUE(DecisionOf(plan, "next").reservation);
  EXPECT_EQ(DecisionOf(plan, "next").reservation->node_group, "home");
}

TEST(Reservation, KeepsNoMoreThanItNeeds) {
  Snapshot world = Home();
  PoolOf(world, "big").per_worker = 6;
  world.pools.push_back(Waiting("small", 1, 10, 2));
  world.pools.push_back(Waiting("medium", 1, 5, 3));
  const Plan plan = Checked(world);
  ASSERT_TRUE(DecisionOf(plan, "big").reservation);
  EXPECT_TRUE(DecisionOf(plan, "small").placed) << DecisionOf(plan, "small").placed_message;
  EXPECT_EQ(DecisionOf(plan, "medium").placed_reason, Reason::kReserved);
}

TEST(Reservation, CountsOnTheRoomOfPodsOnTheirWayOut) {
  Snapshot world = Home();
  TrainingPool& old = PoolOf(world, "old");
  old.memory.completed = kNow - Seconds{5};
  old.memory.succeeded = true;
  world.pools.push_back(Within(Waiting("small", 1, 10), 200));
  const Plan plan = Checked(world);
  ASSERT_TRUE(DecisionOf(plan, "big").reservation);
  EXPECT_FALSE(DecisionOf(plan, "big").reservation->starts_by);
  EXPECT_THAT(DecisionOf(plan, "big").placed_message,
              HasSubstr("starts on home when the pods of team/old are gone"));
  EXPECT_EQ(DecisionOf(plan, "small").placed_reason, Reason::kReserved);
}

// Nobody can say where workers that are starting end up; that there is room besides is known.
TEST(Reservation, CountsOnRoomThatOthersWhoStartLeave) {
  Snapshot world = Home();
  PoolOf(world, "old").workers.clear();
  NodeOf(world, "home-1").used = Resources();
  PoolOf(world, "old").per_worker = 4;
  PoolOf(world, "old").memory.placement->per_worker = 4;
  PoolOf(world, "big").per_worker = 4;
  PoolOf(world, "big").accelerators.front().workers = 3;
  world.pools.push_back(Waiting("small", 1, 10));
  const Plan plan = Checked(world);
  ASSERT_TRUE(DecisionOf(plan, "big").reservation);
  EXPECT_FALSE(DecisionOf(plan, "big").reservation->starts_by);
  EXPECT_THAT(DecisionOf(plan, "big").placed_message,
              HasSubstr("starts on home when those that are starting there are bound"));
  EXPECT_EQ(DecisionOf(plan, "small").placed_reason, Reason::kReserved);
}

TEST(Reservation, IsNotTakenByReplicas) {
  Snapshot world = Home();
  world.inference_pools = {Chat(2)};
  world.inference_pools[0].priority = -1;
  world.inference_pools[0].spill_allowed = false;
  EXPECT_EQ(Checked(world).inference_pools[0].cells.size(), 0U);
  PoolOf(world, "old").active_deadline.reset();
  EXPECT_EQ(Checked(world).inference_pools[0].cells.size(), 1U);
}

// Who comes later may not make somebody go whose room is promised.
TEST(Reservation, IsNotTakenByMakingOthersGo) {
  Snapshot world = Home();
  TrainingPool& old = PoolOf(world, "old");
  old.priority = 1;
  old.min_run = Seconds{0};
  old.preemptible = placement::Preemptible::kAlways;
  PoolOf(world, "big").priority = 3;
  PoolOf(world, "big").preempts = placement::Preempts::kNever;
  world.pools.push_back(Waiting("small", 1, 10));
  PoolOf(world, "small").priority = 2;
  const Plan plan = Checked(world);
  EXPECT_TRUE(DecisionOf(plan, "big").reservation);
  EXPECT_FALSE(DecisionOf(plan, "small").memory.hold);
  PoolOf(world, "old").active_deadline.reset();
  world.pools[1].accelerators.front().workers = 3;  // "big" can't have it: nothing is promised
  Use(world, "home-2", 8);
  EXPECT_TRUE(DecisionOf(Checked(world), "small").memory.hold);
}

// Room that is promised to a claim already is not promised twice.
TEST(Reservation, DoesNotCountOnWhoGivesWayToSomebodyElse) {
  Snapshot world = Home();
  TrainingPool& old = PoolOf(world, "old");
  old.min_run = Seconds{0};
  world.pools.push_back(Waiting("claimant", 1, 10));
  TrainingPool& claimant = PoolOf(world, "claimant");
  claimant.priority = 1;
  PoolOf(world, "old").priority = -1;
  claimant.memory.hold = placement::Hold{.node_group = "home",
                                         .domain = "",
                                         .nodes = {"home-1"},
                                         .until = kNow + Seconds{9000},
                                         .since = kNow - Seconds{5},
                                         .victims = {PoolOf(world, "old").key}};
  Use(world, "home-2", 8);
  PoolOf(world, "big").accelerators.front().workers = 1;
  EXPECT_FALSE(DecisionOf(Checked(world), "big").reservation);
}

TEST(Reservation, IsInsideOneDomainWhereThatIsRequired) {
  Snapshot world;
  world.now = kNow;
  world.groups = {Group("home")};
  AddNodes(world, "home", 2, 8, "d1");
  AddNodes(world, "home", 2, 8, "d2");
  AddEnding(world, "a", {"home-1"}, 900);
  AddEnding(world, "b", {"home-3"}, 300);
  world.pools.push_back(Waiting("big", 2, 60));
  PoolOf(world, "big").topology = placement::TopologyMode::kRequired;
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "big").placed_reason, Reason::kWaitingForDomain);
  ASSERT_TRUE(DecisionOf(plan, "big").reservation);
  EXPECT_THAT(DecisionOf(plan, "big").reservation->nodes, ElementsAre("home-3", "home-4"));
  EXPECT_EQ(DecisionOf(plan, "big").reservation->starts_by, kNow + Seconds{300});
}

// ---- nodes that are NotReady for a moment ----

void MakeNotReady(Snapshot& world, const std::string& name, int seconds = 0) {
  placement::Node& node = NodeOf(world, name);
  node.ready = false;
  node.not_ready_since = world.now - Seconds{seconds};
  node.taints = {{.key = "node.kubernetes.io/not-ready", .value = "", .effect = "NoSchedule"}};
}

// Three nodes at home: one is taken until a thousand seconds from now, one is free, and one is
// NotReady. "big" waits for all of them, and "small" would stay on the free one for ever.
Snapshot HomeWithOneAway(int not_ready_for = 0) {
  Snapshot world = Home();
  AddNodes(world, "home", 1);
  MakeNotReady(world, "home-3", not_ready_for);
  PoolOf(world, "big").accelerators.front().workers = 3;
  world.pools.push_back(Waiting("small", 1, 10));
  return world;
}

TEST(Reservation, OutlivesANodeThatIsNotReadyForAMoment) {
  Snapshot world = HomeWithOneAway();
  const Plan plan = Checked(world);
  const PoolDecision& big = DecisionOf(plan, "big");
  EXPECT_EQ(big.placed_reason, Reason::kNodesUnhealthy);
  ASSERT_TRUE(big.reservation) << big.placed_message;
  EXPECT_THAT(big.reservation->nodes, ElementsAre("home-1", "home-2", "home-3"));
  EXPECT_EQ(big.reservation->starts_by, kNow + Seconds{1000});
  EXPECT_THAT(big.placed_message,
              HasSubstr("starts on home by 2026-11-24T12:16:40Z at the latest, when "
                        "activeDeadlineSeconds of team/old are over and home-3 is ready again: 3 "
                        "nodes reserved for it (home-1, home-2 and home-3)"));
  EXPECT_EQ(DecisionOf(plan, "small").placed_reason, Reason::kReserved);
  PoolOf(world, "small") = Within(Waiting("small", 1, 10), 1000);
  EXPECT_TRUE(DecisionOf(Checked(world), "small").placed) << "it has ended by then";
  NodeOf(world, "home-3").ready = true;
  NodeOf(world, "home-3").taints.clear();
  PoolOf(world, "small") = Waiting("small", 1, 10);
  EXPECT_EQ(DecisionOf(Checked(world), "big").reservation, big.reservation);
}

TEST(Reservation, DoesNotCountOnANodeThatMayNotComeBack) {
  const std::vector<std::pair<const char*, std::function<void(Snapshot&)>>> table = {
      {"its grace is over", [](Snapshot& world) { MakeNotReady(world, "home-3", 300); }},
      {"cordoned", [](Snapshot& world) { NodeOf(world, "home-3").cordoned = true; }},
      {"another group matches it",
       [](Snapshot& world) {
         world.groups.push_back(Group("other"));
         world.groups.back().selector = {
             {.key = "kubernetes.io/hostname", .op = "In", .values = {"home-3"}}};
       }},
      {"it was left out",
       [](Snapshot& world) {
         PoolOf(world, "big").memory.excluded = {
             {.name = "home-3", .until = kNow + Seconds{60}, .reason = "NodeLost"}};
       }},
      {"the limit is lower", [](Snapshot& world) {
         world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 23}}}};
       }}};
  for (const auto& [name, edit] : table) {
    Snapshot world = HomeWithOneAway();
    edit(world);
    const Plan plan = Checked(world);
    EXPECT_FALSE(DecisionOf(plan, "big").reservation) << name;
    EXPECT_TRUE(DecisionOf(plan, "small").placed) << name;
  }
}

TEST(Reservation, WaitsForANodeAlone) {
  Snapshot world = HomeWithOneAway();
  world.pools.erase(world.pools.begin());
  NodeOf(world, "home-1").used = Resources();
  const Plan plan = Checked(world);
  const PoolDecision& big = DecisionOf(plan, "big");
  ASSERT_TRUE(big.reservation);
  EXPECT_EQ(big.reservation->starts_by, std::nullopt);
  EXPECT_THAT(big.placed_message,
              HasSubstr("starts on home when home-3 is ready again: 3 nodes reserved for it"));
  EXPECT_THAT(DecisionOf(plan, "small").placed_message,
              HasSubstr("reserved for team/big, which starts as soon as home-3 is ready again"));
}

// The free node of the domain that is the first to be free is kept, though the other domain would
// do without a node that is NotReady, later.
TEST(Reservation, StaysInItsDomainWhileANodeOfItIsNotReady) {
  Snapshot world;
  world.now = kNow;
  world.groups = {Group("home")};
  AddNodes(world, "home", 2, 8, "d1");
  AddNodes(world, "home", 2, 8, "d2");
  AddEnding(world, "soon", {"home-1"}, 300);
  AddEnding(world, "later", {"home-3", "home-4"}, 2000);
  world.pools.push_back(Waiting("big", 2, 60));
  PoolOf(world, "big").topology = placement::TopologyMode::kRequired;
  const auto before = DecisionOf(Checked(world), "big").reservation;
  ASSERT_TRUE(before);
  EXPECT_THAT(before->nodes, ElementsAre("home-1", "home-2"));
  for (const char* node : {"home-1", "home-2"}) {
    Snapshot moment = world;
    MakeNotReady(moment, node);
    EXPECT_EQ(DecisionOf(Checked(moment), "big").reservation, before) << node;
  }
}

// Both nodes of the other domain would do at once, if they come back. If they do not, it starts
// where it would have without them: nobody else has taken that.
TEST(Reservation, KeepsThePlaceThatDoesWithoutNodesThatMayStayAway) {
  Snapshot world;
  world.now = kNow;
  world.groups = {Group("home")};
  AddNodes(world, "home", 2, 8, "d1");
  AddNodes(world, "home", 2, 8, "d2");
  AddEnding(world, "soon", {"home-2"}, 600);
  world.pools.push_back(Waiting("big", 2, 60));
  PoolOf(world, "big").topology = placement::TopologyMode::kRequired;
  world.pools.push_back(Waiting("small", 1, 10));
  MakeNotReady(world, "home-3");
  MakeNotReady(world, "home-4");
  const Plan plan = Checked(world);
  const auto& reservation = DecisionOf(plan, "big").reservation;
  ASSERT_TRUE(reservation);
  EXPECT_THAT(reservation->nodes, ElementsAre("home-3", "home-4"));
  EXPECT_EQ(DecisionOf(plan, "small").placed_reason, Reason::kReserved);
  for (const char* node : {"home-3", "home-4"}) MakeNotReady(world, node, 300);
  const auto later = DecisionOf(Checked(world), "big").reservation;
  ASSERT_TRUE(later);
  EXPECT_THAT(later->nodes, ElementsAre("home-1", "home-2"));
  EXPECT_EQ(later->starts_by, kNow + Seconds{600});
}

// ---- never later than promised, by brute force ----

// Gangs at home with and without deadlines, and others that wait.
Snapshot Queue(uint32_t seed) {
  Dice dice(seed);
  Snapshot world;
  world.now = kNow;
  world.render_revision = "r1";
  world.groups = {Group("home")};
  if (dice.OneIn(3)) world.groups.push_back(Group("other"));
  for (const auto& group : std::vector<std::string>{"home", "other"}) {
    if (group == "other" && world.groups.size() == 1) continue;
    const int nodes = dice.Roll(4) + 1;
    for (int n = 0; n < nodes; ++n) {
      AddNodes(world, group, 1, 8, dice.OneIn(2) ? "d1" : "d2");
      const std::string node = group + "-" + std::to_string(n + 1);
      if (dice.OneIn(4)) continue;
      TrainingPool& pool = AddEnding(world, "r-" + node, {node}, 100 * (dice.Roll(9) + 2),
                                     dice.Pick<int>({4, 8, 8}), group);
      if (dice.OneIn(5)) pool.active_deadline.reset();
      pool.preemptible = placement::Preemptible::kNever;
    }
  }
  const int waiting = dice.Roll(4) + 1;
  for (int w = 0; w < waiting; ++w) {
    TrainingPool pool = Waiting("w" + std::to_string(w), dice.Roll(4) + 1, 600 - 100 * w,
                                dice.Pick<int>({2, 4, 8, 8}));
    pool.preempts = placement::Preempts::kNever;
    if (dice.OneIn(2)) pool = Within(pool, 100 * (dice.Roll(9) + 2));
    if (dice.OneIn(3)) pool.topology = placement::TopologyMode::kRequired;
    world.pools.push_back(std::move(pool));
  }
  return world;
}

std::optional<Time> EndOf(const TrainingPool& pool) {
  if (!pool.memory.started || !pool.active_deadline) return std::nullopt;
  return *pool.memory.started + *pool.active_deadline + pool.checkpoint_grace;
}

// The world at that time: who has to have ended by then has, and of those who wait `only` is left.
Snapshot Then(const Snapshot& world, Time when, const std::string& only) {
  Snapshot then = world;
  then.now = when;
  std::erase_if(then.pools, [&](const TrainingPool& pool) {
    if (pool.key.name == only) return false;
    if (!pool.memory.placement) return true;
    const auto end = EndOf(pool);
    if (!end || *end > when) return false;
    for (const placement::Worker& worker : pool.workers) {
      NodeOf(then, worker.node).used.Subtract(worker.requests);
    }
    return true;
  });
  for (TrainingPool& pool : then.pools) {
    if (pool.key.name != only) pool.active_deadline.reset();  // stays until then
  }
  return then;
}

bool FitsThen(const Snapshot& world, Time when, const std::string& name) {
  return DecisionOf(MakePlan(Then(world, when, name)), name).placed;
}

// Pods of what was placed run.
Snapshot Started(const Snapshot& world, const Plan& plan) {
  Snapshot after = Applied(world, plan);
  for (TrainingPool& pool : after.pools) {
    if (pool.memory.placement && pool.workers.empty()) AddWorkers(after, pool);
  }
  return after;
}

std::string Seed(uint32_t seed, const Plan& plan) {
  return "seed " + std::to_string(seed) + "\n" + FormatPlan(plan, true);
}

bool PlacesSomebody(const Plan& plan) {
  return std::any_of(plan.pools.begin(), plan.pools.end(),
                     [](const PoolDecision& d) { return d.action == Action::kPlace; });
}

// Whoever is let in after it, a gang with a reservation starts by then. Where everybody who got a
// place is bound, the first that waits has a reservation wherever brute force finds a moment for
// it, for the first such moment.
TEST(Reservation, IsMadeWheneverItCanBeAsSoonAsItCanBeAndIsKept) {
  int reserved = 0;
  int backfilled = 0;
  int refused = 0;
  for (uint32_t seed = 0; seed < Seeds(4000U); ++seed) {
    Snapshot world = Queue(seed);
    Plan plan = Checked(world);
    for (int round = 0; round < 6 && PlacesSomebody(plan); ++round) {
      world = Started(world, plan);
      for (const PoolDecision& decision : plan.pools) {
        if (!decision.reservation) continue;
        const Time by = decision.reservation->starts_by.value_or(kNow);
        ASSERT_TRUE(FitsThen(world, by, decision.key.name)) << Seed(seed, plan);
        backfilled += PlacesSomebody(plan) ? 1 : 0;
      }
      plan = Checked(world);
    }
    ASSERT_FALSE(PlacesSomebody(plan)) << Seed(seed, plan);
    for (const PoolDecision& decision : plan.pools) {
      refused += decision.placed_reason == Reason::kReserved ? 1 : 0;
      if (decision.position != 1) continue;
      std::optional<Time> soonest;
      for (const TrainingPool& pool : world.pools) {
        const auto end = EndOf(pool);
        if (!end || (soonest && *end >= *soonest)) continue;
        if (FitsThen(world, *end, decision.key.name)) soonest = end;
      }
      ASSERT_EQ(soonest.has_value(), decision.reservation.has_value()) << Seed(seed, plan);
      if (!soonest) continue;
      ++reserved;
      ASSERT_EQ(soonest, decision.reservation->starts_by) << Seed(seed, plan);
    }
  }
  EXPECT_GT(reserved, Seeds(400));
  EXPECT_GT(backfilled, Seeds(100));
  EXPECT_GT(refused, Seeds(50));
}

void RemoveEnded(Snapshot& world) {
  std::erase_if(world.pools, [&](const TrainingPool& pool) {
    const auto end = EndOf(pool);
    if (!end || *end > world.now) return false;
    for (const placement::Worker& worker : pool.workers) {
      NodeOf(world, worker.node).used.Subtract(worker.requests);
    }
    return true;
  });
}

// Gangs that come all the time, each with a deadline, do not keep a large one waiting.
TEST(Reservation, StarvesNobody) {
  Snapshot world = Home(900);
  int small = 0;
  for (int step = 0; step < 12; ++step) {
    const Plan plan = Checked(world);
    if (DecisionOf(plan, "big").placed) {
      EXPECT_LE(world.now, kNow + Seconds{900});
      EXPECT_GE(small, 2);
      return;
    }
    small += static_cast<int>(
        std::count_if(plan.pools.begin(), plan.pools.end(),
                      [](const PoolDecision& d) { return d.action == Action::kPlace; }));
    world = Started(world, plan);
    world.now += Seconds{100};
    RemoveEnded(world);
    TrainingPool next = Within(Waiting("s" + std::to_string(step), 1, 0), 250);
    next.memory.queued_since = next.memory.waiting_since = world.now;
    world.pools.push_back(next);
  }
  FAIL() << "it still waits";
}

// ---- how long anybody waits at the most ----

struct HomeGroup {
  int nodes = 0;
  int gpus = 8;  // of each
};

bool FitsInto(const HomeGroup& home, const TrainingPool& pool) {
  return home.nodes * (home.gpus / pool.per_worker) >= pool.accelerators.front().workers;
}

struct Arrival {
  Time at{};
  TrainingPool pool;
};

// Gangs each of which fits into one of the homes at the least, with a deadline.
std::vector<Arrival> Arrivals(Dice& dice, const std::vector<HomeGroup>& homes, int most) {
  std::vector<Arrival> arrivals;
  const int count = dice.Roll(most) + 2;
  for (int i = 0; i < count; ++i) {
    const HomeGroup& home = dice.Pick(homes);
    TrainingPool pool = Waiting("p" + std::to_string(i), dice.Roll(home.nodes) + 1, 0,
                                std::min(home.gpus, dice.Pick<int>({2, 4, 8, 8, 8})));
    pool.preempts = placement::Preempts::kNever;
    pool.priority = dice.Roll(2);
    pool = Within(pool, 100 * (dice.Roll(9) + 2));
    const Time at = kNow + Seconds{50 * dice.Roll(20)};
    pool.memory.queued_since = pool.memory.waiting_since = at;
    arrivals.push_back({.at = at, .pool = std::move(pool)});
  }
  return arrivals;
}

Snapshot Empty(const std::vector<HomeGroup>& homes) {
  Snapshot world;
  world.render_revision = "r1";
  for (const HomeGroup& home : homes) {
    const std::string name = "home-" + std::to_string(world.groups.size() + 1);
    world.groups.push_back(Group(name));
    world.groups.back().per_node = home.gpus;
    AddNodes(world, name, home.nodes, home.gpus);
  }
  return world;
}

// As Started, each node with as many workers as fit, as nodes of several shapes need it.
Snapshot StartedWhereTheyFit(const Snapshot& world, const Plan& plan) {
  Snapshot after = Applied(world, plan);
  for (TrainingPool& pool : after.pools) {
    if (!pool.memory.placement || !pool.workers.empty()) continue;
    const placement::Placement placement = *pool.memory.placement;
    for (const std::string& node : placement.nodes) {
      Resources free = NodeOf(after, node).allocatable;
      free.Subtract(NodeOf(after, node).used);
      const auto room = static_cast<int>(free.Get(kGpu) / pool.per_worker);
      const auto left = placement.workers - static_cast<int>(pool.workers.size());
      pool.memory.placement->nodes = {node};
      pool.memory.placement->workers = std::min(room, left);
      AddWorkers(after, pool);
    }
    pool.memory.placement = placement;
  }
  return after;
}

// When each gang started, by name: every one runs until its deadline, and its grace, are over.
// With `blinks`, at half of the moments a node is NotReady in a pass, and ready again in the next.
std::map<std::string, Time> Starts(const std::vector<Arrival>& arrivals,
                                   const std::vector<HomeGroup>& homes, Dice* blinks) {
  Snapshot world = Empty(homes);
  std::set<Time> moments;
  for (const Arrival& arrival : arrivals) moments.insert(arrival.at);
  std::map<std::string, Time> starts;
  const auto place = [&] {
    for (Plan plan = Checked(world); PlacesSomebody(plan); plan = Checked(world)) {
      for (const PoolDecision& decision : plan.pools) {
        if (decision.action == Action::kPlace) starts[decision.key.name] = world.now;
      }
      world = StartedWhereTheyFit(world, plan);
    }
  };
  while (!moments.empty()) {
    world.now = *moments.begin();
    moments.erase(moments.begin());
    RemoveEnded(world);
    for (const Arrival& arrival : arrivals) {
      if (arrival.at == world.now) world.pools.push_back(arrival.pool);
    }
    if (blinks != nullptr && blinks->OneIn(2)) {
      const std::string name = blinks->Pick(world.nodes).id.name;
      MakeNotReady(world, name);
      place();
      placement::Node& node = NodeOf(world, name);
      node.ready = true;
      node.not_ready_since.reset();
      node.taints.clear();
    }
    place();
    for (const TrainingPool& pool : world.pools) {
      if (const auto end = EndOf(pool)) moments.insert(*end);
    }
  }
  return starts;
}

bool ComesBefore(const Arrival& left, const Arrival& right) {
  if (left.pool.priority != right.pool.priority) return left.pool.priority > right.pool.priority;
  return std::tie(left.at, left.pool.key) < std::tie(right.at, right.pool.key);
}

bool ShareAHome(const Arrival& left, const Arrival& right, const std::vector<HomeGroup>& homes) {
  return std::any_of(homes.begin(), homes.end(), [&](const HomeGroup& home) {
    return FitsInto(home, left.pool) && FitsInto(home, right.pool);
  });
}

// The longest waits, as parts of their bounds.
struct Worst {
  double of_all = 0;
  double behind_others = 0;  // of those that have somebody before them
};

// With n gangs of earlier keys that fit where it fits and have not started when it arrives, or
// arrive later, a gang waits no longer than n + 1 times the longest time that any of them all may
// run: whoever is first has its room in one of its homes by the time that all who run there then
// have ended.
void ExpectBoundedWaits(const std::vector<Arrival>& arrivals, const std::vector<HomeGroup>& homes,
                        Worst& worst, Dice* blinks = nullptr) {
  std::map<std::string, Time> starts = Starts(arrivals, homes, blinks);
  ASSERT_EQ(starts.size(), arrivals.size());
  Seconds longest{0};
  for (const Arrival& one : arrivals) {
    longest = std::max(longest, *one.pool.active_deadline + one.pool.checkpoint_grace);
  }
  for (const Arrival& one : arrivals) {
    const auto before = std::count_if(arrivals.begin(), arrivals.end(), [&](const Arrival& a) {
      return ComesBefore(a, one) && ShareAHome(a, one, homes) && starts[a.pool.key.name] >= one.at;
    });
    const Seconds waited = starts[one.pool.key.name] - one.at;
    ASSERT_LE(waited, (before + 1) * longest) << one.pool.key.name;
    const double part =
        static_cast<double>(waited.count()) / static_cast<double>((before + 1) * longest.count());
    worst.of_all = std::max(worst.of_all, part);
    if (before > 0) worst.behind_others = std::max(worst.behind_others, part);
  }
}

void ExpectNoLooseBound(const Worst& worst) {
  EXPECT_GT(worst.of_all, 1.0 / 3) << "the bound is a loose one";
  EXPECT_GT(worst.behind_others, 1.0 / 3) << "the bound is a loose one";
  std::cout << "the longest wait is " << worst.of_all << " of its bound, " << worst.behind_others
            << " where others come before\n";
}

TEST(Reservation, BoundsHowLongAnybodyWaits) {
  Worst worst;
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Dice dice(seed);
    const std::vector<HomeGroup> homes = {{.nodes = dice.Roll(4) + 1, .gpus = 8}};
    ExpectBoundedWaits(Arrivals(dice, homes, 10), homes, worst);
    if (testing::Test::HasFatalFailure()) return;
  }
  ExpectNoLooseBound(worst);
}

TEST(Reservation, BoundsHowLongAnybodyWaitsWithSeveralHomes) {
  Worst worst;
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Dice dice(seed);
    std::vector<HomeGroup> homes(static_cast<size_t>(dice.Roll(3)) + 2);
    for (HomeGroup& home : homes) {
      home = {.nodes = dice.Roll(4) + 1, .gpus = dice.Pick<int>({2, 4, 8})};
    }
    ExpectBoundedWaits(Arrivals(dice, homes, 16), homes, worst);
    if (testing::Test::HasFatalFailure()) return;
  }
  ExpectNoLooseBound(worst);
}

TEST(Reservation, BoundsHowLongAnybodyWaitsWhereNodesAreNotReadyForAMoment) {
  Worst worst;
  for (uint32_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Dice dice(seed);
    Dice blinks(seed + 1'000'000);
    const std::vector<HomeGroup> homes = {{.nodes = dice.Roll(4) + 1, .gpus = 8}};
    ExpectBoundedWaits(Arrivals(dice, homes, 10), homes, worst, &blinks);
    if (testing::Test::HasFatalFailure()) return;
  }
  ExpectNoLooseBound(worst);
}

}  // namespace
}  // namespace spillway::tests
