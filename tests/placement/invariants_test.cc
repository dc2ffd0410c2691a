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

}  // namespace
}  // namespace spillway::tests
