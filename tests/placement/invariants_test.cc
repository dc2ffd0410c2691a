// Verify finds each kind of broken plan.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::MakePlan;
using placement::Plan;
using placement::PoolDecision;
using placement::Reason;

// new asks for 2 workers of 8 in one domain and gets home-1 and home-2; old runs on home-3.
Snapshot World() {
  Snapshot world = Fleet(5, 1);
  for (const char* node : {"home-1", "home-2"}) NodeOf(world, node).labels[kDomain] = "d1";
  AddRunning(world, "old", 1, 8, "home", {"home-3"});
  NodeOf(world, "home-3").allocatable.Set("cpu", 6000);
  world.pools.push_back(Wants("new", 2));
  world.pools.back().topology = placement::TopologyMode::kRequired;
  return world;
}

TEST(Verify, FindsWhatIsWrong) {
  struct Case {
    const char* sentence;
    std::function<void(Snapshot& world, Plan& plan, PoolDecision& placed, PoolDecision& kept)>
        breaks;
    const char* message;
  };
  const auto nodes = [](PoolDecision& d) -> std::vector<std::string>& {
    return d.memory.placement->nodes;
  };
  const std::vector<Case> cases = {
      {"a pool without a decision", [](auto&, Plan& plan, auto&, auto&) { plan.pools.pop_back(); },
       "not every pool has exactly one decision"},
      {"a decision for somebody else",
       [](auto&, auto&, auto&, PoolDecision& kept) { kept.uid = "other"; },
       "no decision for team/old, or not in order"},
      {"a partial gang",
       [&](auto&, auto&, PoolDecision& placed, auto&) { nodes(placed).pop_back(); },
       "team/new is a partial gang"},
      {"a node where another gang runs",
       [&](Snapshot& world, auto&, PoolDecision& placed, auto&) {
         NodeOf(world, "home-3").labels[kDomain] = "d1";
         nodes(placed) = {"home-1", "home-3"};
       },
       "home-3 has no room for team/new"},
      {"a node that another gang is about to fill",
       [&](Snapshot& world, auto&, PoolDecision& placed, auto&) {
         PoolOf(world, "old").workers.clear();
         NodeOf(world, "home-3").used = Resources();
         NodeOf(world, "home-3").labels[kDomain] = "d1";
         nodes(placed) = {"home-1", "home-3"};
       },
       "home-3 is over-committed in cpu"},
      {"a node that other pods have filled",
       [](Snapshot& world, auto&, auto&, auto&) { Use(world, "home-2", 1); },
       "home-2 has no room for team/new"},
      {"nodes out of order",
       [&](auto&, auto&, PoolDecision& placed, auto&) {
         std::swap(nodes(placed)[0], nodes(placed)[1]);
       },
       "team/new has nodes out of order or twice"},
      {"a node twice",
       [&](auto&, auto&, PoolDecision& placed, auto&) { nodes(placed) = {"home-1", "home-1"}; },
       "team/new has nodes out of order or twice"},
      {"a node of another group",
       [&](auto&, auto&, PoolDecision& placed, auto&) { nodes(placed) = {"azure-1", "home-1"}; },
       "team/new is placed on a node that is not of its group: azure-1"},
      {"a node that takes no work",
       [](Snapshot& world, auto&, auto&, auto&) { NodeOf(world, "home-1").cordoned = true; },
       "team/new is placed on a node that it may not use: home-1"},
      {"a node that is left out",
       [](auto&, auto&, PoolDecision& placed, auto&) {
         placed.memory.excluded = {
             {.name = "home-2", .until = kNow + Seconds{1}, .reason = "NodeLost"}};
       },
       "team/new is placed on a node that it may not use: home-2"},
      {"a group that was not asked for",
       [](Snapshot& world, auto&, auto&, auto&) { world.groups[0].accelerator = "h100"; },
       "team/new is placed in a wrong group"},
      {"a group that is closed",
       [](Snapshot& world, auto&, auto&, auto&) {
         world.groups[0].admission = placement::Admission::kClosed;
       },
       "team/new goes to a group that takes nobody"},
      {"a group that is being drained",
       [](Snapshot& world, auto&, auto&, auto&) {
         world.groups[0].admission = placement::Admission::kDrain;
       },
       "team/new goes to a group that takes nobody"},
      {"a group that is misconfigured",
       [](Snapshot& world, auto&, auto&, auto&) {
         world.groups[0].misconfigured = "two of them are named alike";
       },
       "team/new goes to a group that is misconfigured"},
      {"a tier that is not the group's",
       [](auto&, auto&, PoolDecision& placed, auto&) { placed.memory.placement->tier = 10; },
       "team/new has the tier or the type of another group"},
      {"a domain that is not kept",
       [](Snapshot& world, auto&, auto&, auto&) { NodeOf(world, "home-2").labels[kDomain] = "d2"; },
       "team/new requires one domain, but has a node outside: home-2"},
      {"a limit that is crossed",
       [](Snapshot& world, auto&, auto&, auto&) {
         world.default_limits = {{.type = "a100", .limit = 23}};
       },
       "team/new crosses the limit of a100"},
      {"a limit that is crossed by workers that grow",
       [](Snapshot& world, auto&, PoolDecision& placed, PoolDecision& kept) {
         placed.action = Action::kWait;
         placed.memory.placement.reset();
         world.default_limits = {{.type = "a100", .limit = 7}};
         PoolOf(world, "old").memory.placement->per_worker = 1;
         kept.action = Action::kRestart;
         kept.memory.placement->attempt = kept.memory.attempts = 2;
         kept.ready_reason = Reason::kNodeLost;
       },
       "team/old crosses the limit of a100"},
      {"a suspended pool",
       [](Snapshot& world, auto&, auto&, auto&) { PoolOf(world, "new").suspended = true; },
       "team/new is placed although it may not be"},
      {"a number that was used before",
       [](Snapshot& world, auto&, auto&, auto&) { PoolOf(world, "new").memory.attempts = 1; },
       "team/new has a wrong attempt number"},
      {"a spill that is forbidden",
       [](Snapshot& world, auto&, PoolDecision& placed, auto&) {
         PoolOf(world, "new").spill_allowed = false;
         placed.memory.placement->tier = 10;
       },
       "team/new spills although it must not"},
      {"a pool that stays, but moves",
       [](auto&, auto&, auto&, PoolDecision& kept) { kept.memory.placement->nodes = {"home-4"}; },
       "team/old stays, but its placement changes"},
      {"a pool that waits, but is placed",
       [](auto&, auto&, auto&, PoolDecision& kept) { kept.action = Action::kWait; },
       "team/old waits, but is or was placed"},
      {"a release that releases nothing",
       [](auto&, auto&, auto&, PoolDecision& kept) { kept.action = Action::kRelease; },
       "team/old is released, but was not or stays placed"},
      {"an end that is none",
       [](auto&, auto&, auto&, PoolDecision& kept) { kept.action = Action::kFinish; },
       "team/old ends without an end"},
      {"a pool that had ended, but changes",
       [](auto&, auto&, auto&, PoolDecision& kept) {
         kept.action = Action::kDone;
         kept.memory.restarts = 9;
       },
       "team/old had ended, but changes"},
      {"a change without a reason",
       [](auto&, auto&, auto&, PoolDecision& kept) {
         kept.action = Action::kRelease;
         kept.memory.placement.reset();
         kept.ready_reason = Reason::kAsExpected;
       },
       "team/old changes without a reason"},
  };
  for (const Case& c : cases) {
    Snapshot world = World();
    Plan plan = MakePlan(world);
    ASSERT_TRUE(Verify(world, plan).ok());
    ASSERT_EQ(Brief(plan.pools[0]), "new@home[home-1 home-2]#1");
    c.breaks(world, plan, plan.pools[0], plan.pools[1]);
    const Status status = Verify(world, plan);
    ASSERT_FALSE(status.ok()) << c.sentence;
    EXPECT_EQ(status.error().code, Code::kInternal) << c.sentence;
    EXPECT_EQ(status.error().message, c.message) << c.sentence;
  }
}

// new asks for 4 workers, and home, where other pods have one node of four, could take them some
// day: they are placed on azure once new has waited for `waited`.
Snapshot Spilled(Seconds waited) {
  Snapshot world = Fleet(4, 4);
  Use(world, "home-1", 8);
  world.pools.push_back(Wants("new", 4));
  world.pools.back().spill_after = Seconds{300};
  world.pools.back().memory.waiting_since = kNow - waited;
  world.pools.back().memory.queued_since = kNow - waited;
  return world;
}

TEST(Verify, FindsASpillThatComesTooSoon) {
  const Snapshot due = Spilled(Seconds{300});
  const Plan plan = MakePlan(due);
  ASSERT_EQ(plan.pools[0].memory.placement->node_group, "azure");
  EXPECT_TRUE(Verify(due, plan).ok());
  const Status soon = Verify(Spilled(Seconds{299}), plan);
  ASSERT_FALSE(soon.ok());
  EXPECT_EQ(soon.error().message, "team/new spills while it has to hold back for home");

  Snapshot used = Spilled(Seconds{299});
  used.pools[0].memory.tiers_used = {10};
  EXPECT_TRUE(Verify(used, plan).ok()) << "it has been there";
  Snapshot small = Spilled(Seconds{299});
  NodeOf(small, "home-2").labels["group"] = "another";
  EXPECT_TRUE(Verify(small, plan).ok()) << "home could never take it";
  Snapshot never = Spilled(Seconds{300});
  never.pools[0].spill_allowed = false;
  const Status forbidden = Verify(never, plan);
  ASSERT_FALSE(forbidden.ok());
  EXPECT_EQ(forbidden.error().message, "team/new spills although it must not");
}

// A gang may start anew where it is, though the group takes nobody else.
// A claim of p, of another namespace and a higher priority, on the node that old has.
Snapshot Contested(bool shrinks) {
  Snapshot world = Fleet(2);
  TrainingPool& old = AddOld(world, "old", 0, {"home-1", "home-2"});
  old.key.ns = "other";
  if (shrinks) old.accelerators[0].min_workers = 1;
  world.pools.push_back(Wants("p", shrinks ? 1 : 2));
  world.pools.back().priority = 1;
  world = Applied(world, MakePlan(world));
  world.now += Seconds{1};
  return world;
}

TEST(Verify, KnowsWhoComesFirstAcrossNamespacesWhereNobodyElseMatters) {
  for (const bool shrinks : {true, false}) {
    Snapshot world = Contested(shrinks);
    const Plan plan = MakePlan(world);
    ASSERT_EQ(DecisionOf(plan, "old").action, shrinks ? Action::kRestart : Action::kRelease);
    EXPECT_TRUE(Verify(world, plan).ok());
    PoolOf(world, "p").priority = 0;
    EXPECT_FALSE(Verify(world, plan).ok()) << "neither priority nor guarantee";
    world.quotas = {Guarantee("team", 8 * PoolOf(world, "p").accelerators[0].workers - 1)};
    EXPECT_FALSE(Verify(world, plan).ok()) << "less is guaranteed than it asks for";
    world.quotas = {Guarantee("team", 8 * PoolOf(world, "p").accelerators[0].workers)};
    EXPECT_TRUE(Verify(world, plan).ok());
    world.quotas.push_back(Guarantee("other", 15));
    EXPECT_TRUE(Verify(world, plan).ok()) << "old borrows";
    world.quotas.back() = Guarantee("other", 16);
    EXPECT_FALSE(Verify(world, plan).ok()) << "old is guaranteed all that its namespace has";
  }
}

TEST(Verify, FindsAGangThatHasOthersGoThoughHomeHasRoomElsewhere) {
  Snapshot world = Fleet(2);
  world.groups.push_back(Group("second"));
  AddNodes(world, "second", 2);
  Use(world, "second-1", 8);
  Use(world, "second-2", 8);
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 100, .guaranteed = 16}}}};
  AddOld(world, "old", 0, {"home-1", "home-2"}).key.ns = "other";
  world.pools.push_back(Wants("new", 2));
  const Plan plan = MakePlan(world);
  ASSERT_TRUE(DecisionOf(plan, "new").memory.hold) << FormatPlan(plan, true);
  EXPECT_TRUE(Verify(world, plan).ok());
  NodeOf(world, "second-1").used = NodeOf(world, "second-2").used = {};
  const Status status = Verify(world, plan);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message, "team/new has others go, and fits on second");
}

TEST(Verify, LetsAGangStartAnewInAClosedGroup) {
  Snapshot world = Fleet(2, 0);
  AddRunning(world, "old", 1, 8, "home", {"home-1"});
  world.groups[0].admission = placement::Admission::kClosed;
  NodeOf(world, "home-1").out_of_service = true;
  const Plan plan = MakePlan(world);
  ASSERT_EQ(plan.pools[0].action, Action::kRestart) << FormatPlan(plan, true);
  EXPECT_TRUE(Verify(world, plan).ok());
}

// A pool with a replica at home and two on azure, and one more that is added to the latter.
Snapshot OneMore(int units, int limit) {
  Snapshot world = Fleet(1, 1);
  placement::InferencePool pool = Chat(units);
  Runs(world, pool, "gpu", "home", 1, 1, {"home-1"});
  Runs(world, pool, "gpu", "azure", 2, 2, {"azure-1"}, 10);
  world.inference_pools = {pool};
  world.quotas = {{.ns = "serving", .limits = {{.type = "a100", .limit = limit}}}};
  return world;
}
Plan WithOneMore(const Snapshot& world) {
  Plan plan = MakePlan(world);
  for (auto& cell : plan.inference_pools[0].memory.cells) {
    if (cell.node_group == "azure") cell.desired = 3;
    if (cell.node_group == "home") cell.desired = 1;
  }
  return plan;
}

TEST(Verify, CountsReplicasThatAnotherStandsInForOnceAgainstALimit) {
  const Snapshot four = OneMore(4, 3);
  const Status crossed = Verify(four, WithOneMore(four));
  ASSERT_FALSE(crossed.ok()) << "the fourth is needed beside the others";
  EXPECT_EQ(crossed.error().message, "serving/chat crosses the limit of a100");
  const Snapshot enough = OneMore(4, 4);
  EXPECT_TRUE(Verify(enough, WithOneMore(enough)).ok());
  const Snapshot three = OneMore(3, 3);
  EXPECT_TRUE(Verify(three, WithOneMore(three)).ok()) << "that at home goes once it serves";
}

// Seven replicas on a node of eight, and one that is on its way out.
TEST(Verify, LetsAReplicaComeIntoRoomThatOneOfItsOwnLeaves) {
  Snapshot world = Fleet(1);
  placement::InferencePool pool = Chat(8);
  Runs(world, pool, "gpu", "home", 8, 8, {"home-1"});
  pool.memory.cells[0].desired = 7;
  pool.cells[0].replicas = 7;
  pool.live[0].terminating = true;
  pool.live[0].ready = false;
  world.inference_pools = {pool};
  const Plan plan = MakePlan(world);
  ASSERT_EQ(Mix(ServingOf(plan)), "8 gpu@home");
  const Status status = Verify(world, plan);
  EXPECT_TRUE(status.ok()) << status.error().message;
  world.inference_pools[0].live[0].node = "elsewhere";
  EXPECT_FALSE(Verify(world, plan).ok()) << "what others have on the node is no room";
}

}  // namespace
}  // namespace spillway::tests
