#include "placement/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "placement/edits.h"
#include "tests/support/builders.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Comparison;
using placement::Form;
using placement::MakePlan;
using placement::Outcome;
using placement::Plan;

Comparison Compared(const Snapshot& before, const Snapshot& after) {
  return placement::Compare(before, MakePlan(before), after, MakePlan(after)).value();
}

// The same with short sentences in the plans.
Comparison ComparedInShort(const Snapshot& before, const Snapshot& after) {
  const auto plan = [](const Snapshot& world) {
    Plan out = MakePlan(world);
    for (auto& pool : out.pools) pool.placed_message = pool.key.name + " so";
    for (auto& pool : out.inference_pools) pool.capacity_message = pool.key.name + " so";
    return out;
  };
  return placement::Compare(before, plan(before), after, plan(after)).value();
}

// "big" and "chat" run at home, "waits" finds no room there.
Snapshot World() {
  Snapshot world = Fleet(3, 2);
  AddRunning(world, "big", 2, 8, "home", {"home-1", "home-2"});
  auto chat = Chat(4);
  chat.priority = 1;
  Runs(world, chat, "gpu", "home", 4, 4, {"home-3"});
  world.inference_pools = {chat};
  world.pools.push_back(Wants("waits", 2));
  return world;
}

TEST(Compare, APlanIsLikeItself) {
  const Comparison same = Compared(World(), World());
  EXPECT_FALSE(Differs(same));
  EXPECT_EQ(same.compared, 3);
  EXPECT_EQ(FormatComparison(same),
            "pools that differ: 0 of 3\n"
            "the pools cost 80.00 USD an hour, 0.00 at the margin\n"
            "the nodes cost 160.00 USD an hour, 80.00 of it idle\n");
}

TEST(Compare, TellsOfEveryPoolThatDiffers) {
  Snapshot after = Scale(World(), "serving/chat=6").value();
  after = placement::RemovePool(std::move(after), "team/big").value();
  after.pools.push_back(Wants("new", 1));
  EXPECT_EQ(FormatComparison(ComparedInShort(World(), after)),
            "InferencePool serving/chat: CapacityMet → CapacityShort\n"
            "  reason: AsExpected → PodsNotReady\n"
            "  ready: AsExpected → PodsNotReady\n"
            "  runs: 4 gpu@home → 6 gpu@home\n"
            "  costs 16.00 → 24.00 (+8.00) USD an hour, 0.00 at the margin\n"
            "  why: chat so\n"
            "TrainingPool team/big: Placed → absent\n"
            "  reason: Placed → none\n"
            "  ready: AsExpected → none\n"
            "  runs: 2 workers on home → nothing\n"
            "  nodes: leaves home-1 and home-2\n"
            "  attempt: 1 → none\n"
            "  costs 64.00 → 0.00 (-64.00) USD an hour, 0.00 at the margin\n"
            "TrainingPool team/new: absent → NotPlaced\n"
            "  reason: none → HoldingBackSpill\n"
            "  ready: none → HoldingBackSpill\n"
            "  position in the queue: none → 1\n"
            "  why: new so\n"
            "TrainingPool team/waits: NotPlaced\n"
            "  position in the queue: 1 → 2\n"
            "  why: waits so\n"
            "pools that differ: 4 of 4\n"
            "the pools cost 80.00 → 24.00 (-56.00) USD an hour, 0.00 at the margin\n"
            "the nodes cost 160.00 USD an hour, 80.00 → 144.00 (+64.00) of it idle\n");
}

TEST(Compare, TellsOfLostNodesAndNewAttempts) {
  Snapshot after = World();
  NodeOf(after, "home-2").out_of_service = true;
  after.nodes.push_back(GpuNode("home-4", "home"));
  EXPECT_EQ(FormatComparison(ComparedInShort(World(), after)),
            "TrainingPool team/big: Placed\n"
            "  ready: AsExpected → NodeLost\n"
            "  nodes: leaves home-2; takes home-4\n"
            "  attempt: 1 → 2\n"
            "  why: big so\n"
            "pools that differ: 1 of 3\n"
            "the pools cost 80.00 USD an hour, 0.00 at the margin\n"
            "the nodes cost 160.00 → 192.00 (+32.00) USD an hour, 80.00 → 112.00 (+32.00) of it "
            "idle\n");
}

TEST(Compare, RefusesTwoCurrencies) {
  Snapshot euros = World();
  euros.currency = "EUR";
  const auto compared = placement::Compare(World(), Plan(), euros, Plan());
  ASSERT_FALSE(compared);
  EXPECT_EQ(compared.error().code, Code::kInvalid);
  EXPECT_EQ(compared.error().message,
            "the first snapshot counts in USD, the second in EUR: the costs of their plans cannot "
            "be compared");
}

TEST(Compare, WhatMakesADifference) {
  struct Case {
    const char* sentence;
    std::function<void(Plan& plan)> change;
    bool differs = true;
  };
  using placement::Reason;
  const std::vector<Case> cases = {
      {"nothing", [](Plan&) {}, false},
      {"a sentence", [](Plan& p) { p.pools[0].placed_message = "x"; }, false},
      {"what is done for it", [](Plan& p) { p.pools[0].action = placement::Action::kPlace; },
       false},
      {"a pool that is there", [](Plan& p) { p.pools.pop_back(); }},
      {"placed", [](Plan& p) { p.pools[0].placed = false; }},
      {"completed", [](Plan& p) { p.pools[0].memory.completed = kNow; }},
      {"the reason", [](Plan& p) { p.pools[0].placed_reason = Reason::kSuspended; }},
      {"the reason of Ready", [](Plan& p) { p.pools[0].ready_reason = Reason::kNodeLost; }},
      {"the node group", [](Plan& p) { p.pools[0].memory.placement->node_group = "x"; }},
      {"the workers", [](Plan& p) { p.pools[0].memory.placement->workers = 9; }},
      {"the nodes", [](Plan& p) { p.pools[0].memory.placement->nodes.pop_back(); }},
      {"the attempt", [](Plan& p) { p.pools[0].memory.placement->attempt = 9; }},
      {"the place in the queue", [](Plan& p) { p.pools[1].position = 9; }},
      {"the cost", [](Plan& p) { p.pools[0].hourly_cost = Dollars("9"); }},
      {"the marginal cost", [](Plan& p) { p.pools[0].marginal_hourly_cost = Dollars("9"); }},
      {"capacity met", [](Plan& p) { p.inference_pools[0].capacity_met = false; }},
      {"its reason", [](Plan& p) { p.inference_pools[0].capacity_reason = Reason::kPaused; }},
      {"a cell's replicas", [](Plan& p) { p.inference_pools[0].cells[0].desired = 9; }},
      {"a cell's group", [](Plan& p) { p.inference_pools[0].cells[0].node_group = "x"; }},
      {"a cell's variant", [](Plan& p) { p.inference_pools[0].cells[0].variant = "x"; }},
      {"a cell without replicas", [](Plan& p) { p.inference_pools[0].cells.emplace_back(); },
       false},
      {"an inference pool's place in the queue",
       [](Plan& p) { p.inference_pools[0].position = 9; }},
      {"an inference pool's cost",
       [](Plan& p) { p.inference_pools[0].hourly_cost = Dollars("9"); }},
      {"an inference pool's marginal cost",
       [](Plan& p) { p.inference_pools[0].marginal_hourly_cost = Dollars("9"); }},
      {"what the nodes cost", [](Plan& p) { p.groups[0].hourly_cost = Dollars("9"); }},
      {"what idle nodes cost", [](Plan& p) { p.groups[0].idle_hourly_cost = Dollars("9"); }},
  };
  const Snapshot world = World();
  const Plan before = MakePlan(world);
  for (const Case& c : cases) {
    Plan after = before;
    c.change(after);
    const auto compared = placement::Compare(world, before, world, after);
    ASSERT_TRUE(compared) << c.sentence;
    EXPECT_EQ(Differs(*compared), c.differs) << c.sentence;
    const auto back = placement::Compare(world, after, world, before);
    EXPECT_EQ(Differs(*back), c.differs) << c.sentence;
    const auto same = placement::Compare(world, before, world, before);
    for (const Form form : {Form::kYaml, Form::kJson}) {
      EXPECT_EQ(WriteComparison(*compared, form) != WriteComparison(*same, form), c.differs)
          << c.sentence;
    }
    EXPECT_EQ(FormatComparison(*compared) != FormatComparison(*same), c.differs) << c.sentence;
  }
}

TEST(Compare, StatesHaveNames) {
  using placement::PoolState;
  EXPECT_EQ(Name(PoolState::kNotPlaced), "NotPlaced");
  EXPECT_EQ(Name(PoolState::kPlaced), "Placed");
  EXPECT_EQ(Name(PoolState::kCompleted), "Completed");
  EXPECT_EQ(Name(PoolState::kFailed), "Failed");
  EXPECT_EQ(Name(PoolState::kCapacityMet), "CapacityMet");
  EXPECT_EQ(Name(PoolState::kCapacityShort), "CapacityShort");
}

TEST(Compare, EndsAreTold) {
  const Snapshot world = World();
  const Plan before = MakePlan(world);
  for (const bool succeeded : {true, false}) {
    Plan after = before;
    after.pools[0].memory.completed = kNow;
    after.pools[0].memory.succeeded = succeeded;
    const auto compared = placement::Compare(world, before, world, after);
    ASSERT_EQ(compared->changes.size(), 1U);
    EXPECT_EQ(compared->changes[0].after->state,
              succeeded ? placement::PoolState::kCompleted : placement::PoolState::kFailed);
  }
}

TEST(Compare, IsYamlOrJsonForPrograms) {
  Snapshot after = World();
  after.pools.pop_back();
  const Comparison compared = ComparedInShort(World(), after);
  EXPECT_EQ(WriteComparison(compared, Form::kYaml), R"(currency: USD
compared: 3
differs: true
pools:
  - {namespace: team, name: waits, kind: TrainingPool, before: {state: NotPlaced, reason: HoldingBackSpill, readyReason: HoldingBackSpill, position: 1, hourlyCost: "0.00", marginalHourlyCost: "0.00", message: "waits so"}}
hourlyCostBefore: {pools: "80.00", poolsMarginal: "0.00", nodes: "160.00", nodesIdle: "80.00"}
hourlyCostAfter: {pools: "80.00", poolsMarginal: "0.00", nodes: "160.00", nodesIdle: "80.00"}
)");
  EXPECT_EQ(WriteComparison(compared, Form::kJson), R"({
"currency": "USD",
"compared": 3,
"differs": true,
"pools": [
  {"namespace": "team", "name": "waits", "kind": "TrainingPool", "before": {"state": "NotPlaced", "reason": "HoldingBackSpill", "readyReason": "HoldingBackSpill", "position": 1, "hourlyCost": "0.00", "marginalHourlyCost": "0.00", "message": "waits so"}}
],
"hourlyCostBefore": {"pools": "80.00", "poolsMarginal": "0.00", "nodes": "160.00", "nodesIdle": "80.00"},
"hourlyCostAfter": {"pools": "80.00", "poolsMarginal": "0.00", "nodes": "160.00", "nodesIdle": "80.00"}
}
)");
}

// Whatever the worlds: what is told is what differs, and the other way round it is told as well.
TEST(Compare, IsTheSameBothWays) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    const Snapshot one = RandomWorld(seed);
    const Snapshot two = RandomWorld(seed + 1);
    const Comparison there = Compared(one, two);
    const Comparison back = Compared(two, one);
    ASSERT_EQ(there.changes.size(), back.changes.size()) << "seed " << seed;
    ASSERT_EQ(there.compared, back.compared);
    for (size_t i = 0; i < there.changes.size(); ++i) {
      ASSERT_EQ(there.changes[i].key, back.changes[i].key) << "seed " << seed;
      ASSERT_TRUE(there.changes[i].before == back.changes[i].after) << "seed " << seed;
      ASSERT_TRUE(there.changes[i].after == back.changes[i].before) << "seed " << seed;
    }
    ASSERT_FALSE(Differs(Compared(one, Shuffled(one, seed)))) << "seed " << seed;
  }
}

}  // namespace
}  // namespace spillway::tests
