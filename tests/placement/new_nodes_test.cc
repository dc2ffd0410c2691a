// Nodes that elastic groups are asked for, and groups that are out of stock.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "elastic_groups.h"
#include "passes.h"
#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::NodeAsk;
using placement::Plan;
using placement::PoolDecision;
using placement::Reason;
using placement::Stockout;
using placement::TopologyMode;
using testing::HasSubstr;

// No home; two clouds that have no nodes yet, the first one tier before the second.
Snapshot Clouds(int most = 10, int step = 1) {
  Snapshot world = Fleet(0, 0);
  world.groups = {Group("near", 10), Group("far", 20)};
  MakeElastic(world, "near", most, step);
  MakeElastic(world, "far", 10);
  return world;
}

const placement::Alternative& In(const PoolDecision& decision, const std::string& group) {
  return *std::find_if(decision.alternatives.begin(), decision.alternatives.end(),
                       [&](const auto& one) { return one.group == group; });
}

// ---- asking ----

TEST(NewNodes, AreAskedForAtOnceRoundedUpToSteps) {
  Snapshot world = Clouds(30, 4);
  AddNodes(world, "near", 1);
  world.pools = {Wants("llm", 6)};
  const Plan plan = Checked(world);
  const PoolDecision& llm = DecisionOf(plan, "llm");
  EXPECT_EQ(llm.action, Action::kWait);
  EXPECT_EQ(llm.placed_reason, Reason::kWaitingForNodes);
  EXPECT_THAT(llm.placed_message,
              HasSubstr("near: needs 6 workers of 8 accelerators, 1 fit: 5 more nodes asked for at "
                        "2026-11-24T12:00:00Z for the others, due by 2026-11-24T12:20:00Z"));
  EXPECT_EQ(llm.memory.ask,
            (NodeAsk{.node_group = "near", .nodes = 5, .workers = 6, .since = kNow}));
  EXPECT_EQ(Desired(plan, "near"), 9) << "one that is there, and two steps of four";
  EXPECT_EQ(Desired(plan, "far"), 0);
  EXPECT_EQ(plan.next_wake, kNow + Seconds{1200});
}

// What came and never worked is there, and paid for.
TEST(NewNodes, AreNotAskedForOnceMoreWhereThoseThatCameAreOfNoUse) {
  const auto desired = [](void (*spoil)(placement::Node&)) {
    Snapshot world = Clouds();
    world.pools = {Wants("llm", 2)};
    world.pools[0].memory.ask =
        NodeAsk{.node_group = "near", .nodes = 2, .workers = 2, .since = kNow - Seconds{1100}};
    AddNodes(world, "near", 2);
    for (placement::Node& node : world.nodes) {
      node.created = kNow - Seconds{1000};
      spoil(node);
    }
    return Desired(Checked(world), "near");
  };
  EXPECT_EQ(desired([](placement::Node& node) { node.allocatable.Set(kGpu, 0); }), 2);
  EXPECT_EQ(desired([](placement::Node& node) {
              node.starting = true;
              node.ready = false;
              node.not_ready_since = node.created;
            }),
            2);
}

// It gets those whoever asks: they are no part of a step, be it told to have them already or not.
TEST(NewNodes, ComeInStepsBeyondTheLeastThatTheGroupHas) {
  for (const auto& told : {std::optional<int>(), std::optional(2)}) {
    Snapshot world = Clouds(10, 4);
    GroupOf(world, "near").elastic->min_nodes = 2;
    GroupOf(world, "near").memory.desired = told;
    world.pools = {Wants("llm", 2)};
    EXPECT_EQ(Desired(Checked(world), "near"), 2);
    world.pools = {Wants("llm", 3)};
    EXPECT_EQ(Desired(Checked(world), "near"), 6);
  }
}

TEST(NewNodes, AreNeverMoreThanTheMaximum) {
  Snapshot world = Clouds(6, 4);
  world.pools = {Wants("llm", 6)};
  EXPECT_EQ(Desired(Checked(world), "near"), 6);
  PoolOf(world, "llm").accelerators[0].workers = 7;
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "llm").memory.ask->node_group, "far");
  EXPECT_EQ(Desired(plan, "near"), 0);
  EXPECT_THAT(In(DecisionOf(plan, "llm"), "near").message,
              HasSubstr("with 6 nodes of its elastic.maxNodes (6) that may still come it would not "
                        "fit either"));
}

// What holds it back first is not all that is missing.
TEST(NewNodes, WouldNotDoSoThatRoomIsMissingBesides) {
  Snapshot world = Clouds(2);
  world.groups.push_back(Group("home"));
  world.pools = {Wants("llm", 5)};
  world.pools[0].spill_after = Seconds{600};
  AddNodes(world, "home", 5);
  for (placement::Node& node : world.nodes) node.used = node.allocatable;
  const Plan plan = Checked(world);
  EXPECT_EQ(In(DecisionOf(plan, "llm"), "near").reason, Reason::kHoldingBackSpill);
  EXPECT_THAT(DecisionOf(plan, "llm").remedies,
              testing::Contains("near: wait until 2026-11-24T12:10:00Z, or lower "
                                "placement.spill.afterSeconds (600); room for 5 more workers: for "
                                "each 8 accelerators and all else that it requests on one node"));
}

// The builder's nodes cost 32 an hour.
TEST(NewNodes, AreNoMoreThanTheGroupsMoneyPaysFor) {
  const auto asked = [](const char* money) {
    Snapshot world = Clouds(10, 4);
    GroupOf(world, "near").elastic->max_hourly_cost = Dollars(money);
    world.pools = {Wants("llm", 3)};
    return Checked(world);
  };
  EXPECT_EQ(Desired(asked("128"), "near"), 4) << "reached, not crossed";
  EXPECT_EQ(Desired(asked("127.99"), "near"), 3) << "less than a step";
  EXPECT_EQ(Desired(asked("1000"), "near"), 4);
  const Plan plan = asked("95.99");
  EXPECT_EQ(DecisionOf(plan, "llm").memory.ask->node_group, "far");
  EXPECT_EQ(Desired(plan, "near"), 0);
  EXPECT_THAT(In(DecisionOf(plan, "llm"), "near").message,
              HasSubstr("with 2 nodes of its elastic.maxHourlyCost (95.99, 2 nodes) that may still "
                        "come it would not fit either"));
  EXPECT_THAT(In(DecisionOf(asked("0"), "llm"), "near").message,
              HasSubstr("with 0 nodes of its elastic.maxHourlyCost (0.00, 0 nodes)"));
}

TEST(NewNodes, ThatCostNothingHaveNoLimitOfMoney) {
  Snapshot world = Clouds();
  GroupOf(world, "near").per_node_hour = Money();
  GroupOf(world, "near").elastic->max_hourly_cost = Money();
  world.pools = {Wants("llm", 3)};
  EXPECT_EQ(Desired(Checked(world), "near"), 3);
}

// What is paid for whatever uses it counts too: it is the bill that is limited.
TEST(NewNodes, AreLimitedByTheirFullPrice) {
  Snapshot world = Clouds();
  GroupOf(world, "near").marginal_per_node_hour = Money();
  GroupOf(world, "near").elastic->max_hourly_cost = Dollars("64");
  world.pools = {Wants("llm", 3)};
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->node_group, "far");
}

TEST(NewNodes, ThatAreThereStayWhenMoneyIsLess) {
  Snapshot world = Clouds();
  AddNodes(world, "near", 3);
  NodeGroup& near = GroupOf(world, "near");
  near.elastic->max_hourly_cost = Dollars("32");
  near.elastic->min_nodes = 2;
  EXPECT_EQ(Desired(Checked(world), "near"), 3);
  world.nodes.clear();
  EXPECT_EQ(Desired(Checked(world), "near"), 1) << "the money is the stronger limit";
}

TEST(NewNodes, AreNotAskedForByWhoFindsRoom) {
  Snapshot world = Clouds();
  AddNodes(world, "far", 2);
  world.pools = {Wants("llm", 2)};
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "llm").action, Action::kPlace);
  EXPECT_EQ(DecisionOf(plan, "llm").memory.placement->node_group, "far");
  EXPECT_EQ(Desired(plan, "near"), 0);
}

TEST(NewNodes, OfAGroupThatHasNoneAreOnlyForThoseWhoseTermsTheSelectorMeets) {
  Snapshot world = Clouds();
  world.pools = {Wants("llm", 2)};
  PoolOf(world, "llm").node_terms = {{{.key = "zone", .op = "In", .values = {"z1"}}}};
  EXPECT_FALSE(DecisionOf(Checked(world), "llm").memory.ask);
  PoolOf(world, "llm").node_terms = {{{.key = "group", .op = "In", .values = {"far"}}}};
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->node_group, "far");
  // Those that are there tell more.
  AddNodes(world, "near", 1);
  NodeOf(world, "near-1").labels["zone"] = "z1";
  PoolOf(world, "llm").node_terms = {{{.key = "zone", .op = "In", .values = {"z1"}}}};
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->node_group, "near");
}

TEST(NewNodes, AreAsLargeAsThoseThatAreThere) {
  Snapshot world = Clouds();
  AddNodes(world, "near", 1, 4);
  GroupOf(world, "near").per_node = 4;
  world.pools = {Wants("llm", 3, 4)};
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->nodes, 2) << "of four, as the first";
  PoolOf(world, "llm").per_worker = 8;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->node_group, "far");
}

TEST(NewNodes, ServeRequiredOnlyWhereTheyShareADomain) {
  Snapshot world = Clouds();
  world.pools = {Wants("llm", 2)};
  PoolOf(world, "llm").topology = TopologyMode::kRequired;
  const Plan plan = Checked(world);
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.ask);
  EXPECT_THAT(In(DecisionOf(plan, "llm"), "near").message,
              HasSubstr("new nodes are not known to share a domain (elastic.singleDomain)"));
  GroupOf(world, "far").elastic->single_domain = true;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->node_group, "far");
}

TEST(NewNodes, WithRequiredCountOnlyTheLargestDomain) {
  Snapshot world = Clouds();
  GroupOf(world, "near").elastic->single_domain = true;
  AddNodes(world, "near", 1, 8, "d1");
  AddNodes(world, "near", 2, 8, "d2");
  world.pools = {Wants("llm", 5)};
  PoolOf(world, "llm").topology = TopologyMode::kRequired;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->nodes, 3);
  PoolOf(world, "llm").topology = TopologyMode::kPreferred;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->nodes, 2);
}

TEST(NewNodes, AreForWhoeverMayGoThere) {
  Snapshot world = Clouds();
  world.pools = {Wants("llm", 2)};
  GroupOf(world, "near").admission = placement::Admission::kClosed;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->node_group, "far");
  PoolOf(world, "llm").spill_allowed = false;
  EXPECT_FALSE(DecisionOf(Checked(world), "llm").memory.ask);
}

TEST(NewNodes, AreNotAskedForAcrossAQuotaOrASpendLimit) {
  Snapshot world = Clouds();
  world.pools = {Wants("llm", 2)};
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 15}}}};
  Plan plan = Checked(world);
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.ask);
  EXPECT_EQ(In(DecisionOf(plan, "llm"), "near").reason, Reason::kQuotaExceeded);
  world.quotas = {{.ns = "team", .limits = {}}};
  world.quotas[0].max_hourly_cost = Dollars("63");
  plan = Checked(world);
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.ask);
  EXPECT_EQ(DecisionOf(plan, "llm").placed_reason, Reason::kSpendLimitReached);
  world.quotas[0].max_hourly_cost = Dollars("64");
  EXPECT_TRUE(DecisionOf(Checked(world), "llm").memory.ask);
}

TEST(NewNodes, CountAgainstLimitsFromTheStart) {
  Snapshot world = Clouds();
  world.pools = {Wants("a", 2), Wants("b", 2)};
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 31}}}};
  const Plan plan = Checked(world);
  EXPECT_TRUE(DecisionOf(plan, "a").memory.ask);
  EXPECT_FALSE(DecisionOf(plan, "b").memory.ask);
  EXPECT_EQ(plan.quotas[0].accelerators[0].used, 0) << "nothing runs yet";
  EXPECT_EQ(plan.quotas[0].spend.hourly_cost, Money());
}

TEST(NewNodes, OfAnElasticGangAreForAsManyWorkersAsMayBe) {
  Snapshot world = Clouds(3);
  GroupOf(world, "far").admission = placement::Admission::kClosed;
  world.pools = {Wants("llm", 5)};
  world.pools[0].accelerators[0].min_workers = 2;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->workers, 3);
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 16}}}};
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->workers, 2);
}

TEST(NewNodes, ForAllWorkersComeBeforeThoseForFewerInTheSameTier) {
  Snapshot world = Clouds(3);
  world.pools = {Wants("llm", 5)};
  world.pools[0].accelerators[0].min_workers = 2;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->node_group, "near");
  GroupOf(world, "near").tier = 20;
  GroupOf(world, "near").name = "a";  // the first by name
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->node_group, "far");
}

TEST(NewNodes, ThatTwoAskForAddUp) {
  Snapshot world = Clouds(5);
  world.pools = {Wants("a", 2), Wants("b", 3), Wants("c", 1)};
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "a").memory.ask->node_group, "near");
  EXPECT_EQ(DecisionOf(plan, "b").memory.ask->node_group, "near");
  EXPECT_EQ(DecisionOf(plan, "c").memory.ask->node_group, "far");
  EXPECT_EQ(Desired(plan, "near"), 5);
  EXPECT_EQ(Desired(plan, "far"), 1);
}

TEST(NewNodes, AreAskedForBeforeAnybodyIsMadeToGo) {
  Snapshot world = Clouds(2);
  AddNodes(world, "near", 1);
  AddOld(world, "old", 0, {"near-1"}, "near");
  world.pools.push_back(Wants("llm", 1));
  PoolOf(world, "llm").priority = 9;
  const Plan plan = Checked(world);
  EXPECT_TRUE(DecisionOf(plan, "llm").memory.ask);
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.hold);
  // Where there is no such thing somebody goes.
  world.groups[0].elastic.reset();
  world.groups[1].elastic.reset();
  EXPECT_TRUE(DecisionOf(Checked(world), "llm").memory.hold);
}

// ---- home ----

TEST(NewNodes, OutsideHomeAreNotAskedForBeforeTheHoldBackIsOver) {
  Snapshot world = Fleet(2, 0);
  MakeElastic(world, "azure", 4);
  Use(world, "home-1", 8);
  world.pools = {Wants("llm", 2)};
  Plan plan = Checked(world);
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.ask);
  EXPECT_EQ(DecisionOf(plan, "llm").placed_reason, Reason::kHoldingBackSpill);
  EXPECT_EQ(plan.next_wake, kNow + Seconds{600});
  world.now += Seconds{600};
  world.pools[0].memory.waiting_since = kNow;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->node_group, "azure");
}

TEST(NewNodes, WhoWouldAskForThemBeforeLongMakesNobodyGo) {
  Snapshot world = Fleet(1, 0);
  MakeElastic(world, "azure", 4);
  AddOld(world, "old", 0, {"home-1"});
  world.pools.push_back(Wants("llm", 1));
  PoolOf(world, "llm").priority = 9;
  EXPECT_FALSE(DecisionOf(Checked(world), "llm").memory.hold);
  GroupOf(world, "azure").elastic.reset();
  EXPECT_TRUE(DecisionOf(Checked(world), "llm").memory.hold);
}

TEST(NewNodes, AtHomeCountAsRoomThereSomeDay) {
  Snapshot world = Fleet(1, 3);
  world.pools = {Wants("llm", 3)};
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.placement->node_group, "azure")
      << "home could never hold it";
  MakeElastic(world, "home", 3);
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "llm").memory.ask->node_group, "home");
  EXPECT_EQ(In(DecisionOf(plan, "llm"), "azure").reason, Reason::kHoldingBackSpill);
  GroupOf(world, "home").elastic->max_nodes = 2;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.placement->node_group, "azure");
  GroupOf(world, "home").elastic->max_nodes = 3;
  GroupOf(world, "home").elastic->max_hourly_cost = Dollars("64");
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.placement->node_group, "azure");
}

// Until those that have just been placed are bound, each node is taken for all that they could have
// of it.
TEST(NewNodes, AreNotForMoreWhileReplicasHaveYetToStartThere) {
  Snapshot world = Clouds();
  AddNodes(world, "near", 3);
  placement::InferencePool chat = Chat(3);
  Runs(world, chat, "gpu", "near", 3, 0, {"near-1"}, 10);
  for (placement::Replica& replica : chat.live) replica.node.clear();
  chat.memory.cells[0].pending_since = kNow - Seconds{4};
  world.inference_pools = {chat};
  world.pools = {Wants("llm", 4)};
  Plan plan = Checked(world);
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.ask);
  EXPECT_EQ(Desired(plan, "near"), 3);
  EXPECT_EQ(Desired(plan, "far"), 0) << "nor elsewhere";
  EXPECT_THAT(In(DecisionOf(plan, "llm"), "near").message,
              HasSubstr("no node is asked for while others have yet to start there"));
  EXPECT_EQ(plan.next_wake, kNow + Seconds{6});
  // What was asked for before stands as it is.
  const NodeAsk before{.node_group = "near", .nodes = 1, .workers = 4, .since = kNow - Seconds{60}};
  world.pools[0].memory.ask = before;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask, before);
  world.pools[0].memory.ask.reset();
  // Something is in their way.
  world.inference_pools[0].memory.cells[0].pending_since = kNow - Seconds{10};
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->nodes, 4);
  // They are bound.
  world.inference_pools[0] = Chat(3);
  Runs(world, world.inference_pools[0], "gpu", "near", 3, 0, {"near-1"}, 10);
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->nodes, 2);
}

// A pool that was given three replicas in `near` four seconds ago, of which none is bound.
placement::InferencePool Starting(Snapshot& world) {
  placement::InferencePool chat = Chat(3);
  Runs(world, chat, "gpu", "near", 3, 0, {"near-1"}, 10);
  for (placement::Replica& replica : chat.live) replica.node.clear();
  for (placement::Node& node : world.nodes) node.used = {};
  chat.memory.cells[0].pending_since = kNow - Seconds{4};
  return chat;
}

TEST(NewNodes, ThatAreAskedForBeforeLongAreReasonEnoughToMakeNobodyGo) {
  Snapshot world = Clouds();
  AddNodes(world, "near", 2);
  world.inference_pools = {Starting(world)};
  NodeOf(world, "near-1").used.Set(kGpu, 3);
  AddOld(world, "old", 0, {"near-2"}, "near");
  world.pools.push_back(Wants("llm", 1, 4));
  world.pools.back().priority = 10;
  world.pools.back().preempts = placement::Preempts::kLowerPriority;
  Plan plan = Checked(world);
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.ask);
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.hold);
  EXPECT_EQ(DecisionOf(plan, "old").action, Action::kKeep);
  // Nor at home, while it holds back from asking.
  world.groups.insert(world.groups.begin(), Group("home", 0));
  AddNodes(world, "home", 2);
  AddOld(world, "busy", 0, {"home-1", "home-2"});
  world.pools[1].spill_after = Seconds{300};
  plan = Checked(world);
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.hold);
  EXPECT_EQ(DecisionOf(plan, "busy").action, Action::kKeep);
}

TEST(NewNodes, AreAskedForInTheEndWhoeverStarts) {
  Snapshot world = Clouds();
  AddNodes(world, "near", 1);
  world.inference_pools = {Starting(world)};
  world.pools = {Wants("llm", 4)};
  world.pools[0].spill_after = Seconds{30};
  world.pools[0].memory.waiting_since = kNow - Seconds{89};
  EXPECT_FALSE(DecisionOf(Checked(world), "llm").memory.ask);
  world.pools[0].memory.waiting_since = kNow - Seconds{90};
  EXPECT_TRUE(DecisionOf(Checked(world), "llm").memory.ask);
}

// What was asked for is for fewer workers than the gang would have: it stays so.
TEST(NewNodes, ThatMayNotComeForAllAreNotAskedForAsIfTheyDid) {
  Snapshot world = Clouds(3);
  AddNodes(world, "near", 1);
  world.groups.pop_back();
  world.inference_pools = {Starting(world)};
  world.pools = {Wants("llm", 4)};
  world.pools[0].accelerators[0].min_workers = 2;
  const NodeAsk before{.node_group = "near", .nodes = 2, .workers = 2, .since = kNow - Seconds{60}};
  world.pools[0].memory.ask = before;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask, before);
}

TEST(NewNodes, OfAStepThatOthersHaveAskedForCostTheirShare) {
  Snapshot world = Clouds(10, 8);
  for (NodeGroup& group : world.groups) group.tier = 10;
  GroupOf(world, "near").marginal_per_node_hour = Dollars("16");
  GroupOf(world, "far").marginal_per_node_hour = Dollars("24");
  world.pools = {Wants("first", 1), Wants("later", 1)};
  world.pools[0].priority = 10;
  EXPECT_EQ(DecisionOf(Checked(world), "first").memory.ask->node_group, "far") << "24, not 128";
  GroupOf(world, "near").memory.desired = 8;
  world.pools[1].memory.ask =
      NodeAsk{.node_group = "near", .nodes = 1, .workers = 1, .since = kNow - Seconds{60}};
  EXPECT_EQ(DecisionOf(Checked(world), "first").memory.ask->node_group, "near");
}

// In the order in which they are looked at: fewer for 8 each, all for 5, fewer for 6 in its tier.
TEST(NewNodes, ForAllWorkersComeBeforeCheaperOnesForFewer) {
  Snapshot world = Clouds();
  world.groups.push_back(Group("other", 10));
  MakeElastic(world, "other", 2);
  const auto set = [&](const char* name, int tier, const char* price, int most, const char* cpu) {
    NodeGroup& group = GroupOf(world, name);
    group.tier = tier;
    group.marginal_per_node_hour = Dollars(price);
    group.elastic->max_nodes = most;
    group.elastic->node_shape.Set("cpu", Amounts({{"cpu", cpu}}).Get("cpu"));
  };
  set("far", 20, "8", 2, "4");
  set("near", 10, "10", 4, "96");
  set("other", 10, "6", 2, "4");
  world.pools = {Wants("llm", 4, 4)};
  world.pools[0].accelerators[0].min_workers = 2;
  world.pools[0].preference = placement::Preference::kPrice;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask,
            (NodeAsk{.node_group = "near", .nodes = 2, .workers = 4, .since = kNow}));
}

// A worker that would have most of a node to itself is dearer there than its share says.
TEST(NewNodes, AreThoseThatCostTheLeastInWhole) {
  Snapshot world = Clouds();
  for (const char* name : {"near", "far"}) GroupOf(world, name).tier = 10;
  GroupOf(world, "near").marginal_per_node_hour = Dollars("16");
  NodeGroup& small = GroupOf(world, "far");
  small.per_node = 2;
  small.elastic->node_shape.Set(kGpu, 2);
  small.marginal_per_node_hour = Dollars("8");
  world.pools = {Wants("llm", 1)};
  const auto asked = [&](int per_worker, int workers = 1) {
    world.pools[0].per_worker = per_worker;
    world.pools[0].accelerators[0].workers = workers;
    return DecisionOf(Checked(world), "llm").memory.ask->node_group;
  };
  EXPECT_EQ(asked(2), "far") << "8 instead of 16, though half as much for an accelerator";
  EXPECT_EQ(asked(1, 3), "near") << "two nodes would cost as much, and this is the first in order";
  EXPECT_EQ(asked(2, 4), "near") << "32 instead of 16";
  EXPECT_EQ(asked(8), "near");
  GroupOf(world, "near").elastic->step_nodes = 2;
  EXPECT_EQ(asked(2, 3), "far") << "24 instead of 32";
  EXPECT_EQ(asked(2, 4), "near") << "as much";
  GroupOf(world, "near").tier = 5;
  EXPECT_EQ(asked(2), "near") << "the tier leads";
  world.pools[0].preference = placement::Preference::kPrice;
  EXPECT_EQ(asked(2), "far");
  // Nodes that come anyway cost what is used of them.
  GroupOf(world, "near").elastic->step_nodes = 1;
  GroupOf(world, "near").elastic->min_nodes = 1;
  EXPECT_EQ(asked(2), "near");
  GroupOf(world, "near").marginal_per_node_hour = Dollars("64");
  EXPECT_EQ(asked(2), "far") << "8 instead of 16";
}

// ---- waiting ----

TEST(NewNodes, AreKeptForWhoAskedForThem) {
  Snapshot world = Clouds();
  world.pools = {Wants("llm", 3)};
  world.pools[0].priority = 5;
  world = After(world, Checked(world), kNow + Seconds{60});
  AddNodes(world, "near", 2);
  world.pools.push_back(Wants("later", 1));
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "llm").memory.ask,
            (NodeAsk{.node_group = "near", .nodes = 1, .workers = 3, .since = kNow}));
  EXPECT_EQ(DecisionOf(plan, "later").action, Action::kWait);
  EXPECT_EQ(DecisionOf(plan, "later").memory.ask->nodes, 1);
  EXPECT_EQ(Desired(plan, "near"), 4);
  // The third is there.
  world = After(world, plan, kNow + Seconds{120});
  AddNodes(world, "near", 1);
  const Plan last = Checked(world);
  EXPECT_EQ(DecisionOf(last, "llm").memory.placement->nodes.size(), 3U);
  EXPECT_FALSE(DecisionOf(last, "llm").memory.ask);
  EXPECT_EQ(Desired(last, "near"), 4);
}

TEST(NewNodes, ThatAreStartingAreNotAskedForAgain) {
  Snapshot world = Clouds();
  world.pools = {Wants("llm", 2)};
  world = After(world, Checked(world), kNow + Seconds{60});
  AddNodes(world, "near", 2);
  NodeOf(world, "near-1").starting = true;
  NodeOf(world, "near-1").created = kNow;
  NodeOf(world, "near-2").allocatable.Set(kGpu, 0);
  NodeOf(world, "near-2").created = kNow;
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "llm").memory.ask->nodes, 2);
  EXPECT_EQ(Desired(plan, "near"), 2);
}

TEST(NewNodes, AreForgottenWhereThereIsRoomMeanwhile) {
  Snapshot world = Clouds();
  world.pools = {Wants("llm", 2)};
  world = After(world, Checked(world), kNow + Seconds{60});
  AddNodes(world, "far", 2);
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "llm").memory.placement->node_group, "far");
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.ask);
  EXPECT_EQ(Desired(plan, "near"), 0);
}

TEST(NewNodes, AreWaitedForWhereTheyWereAskedFor) {
  Snapshot world = Clouds();
  GroupOf(world, "near").admission = placement::Admission::kClosed;
  world.pools = {Wants("llm", 2)};
  world = After(world, Checked(world), kNow + Seconds{60});
  GroupOf(world, "near").admission = placement::Admission::kOpen;
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask,
            (NodeAsk{.node_group = "far", .nodes = 2, .workers = 2, .since = kNow}));
}

TEST(NewNodes, AreGivenUpByWhoWaitsNoMore) {
  Snapshot world = Clouds();
  world.pools = {Wants("llm", 2)};
  world = After(world, Checked(world), kNow + Seconds{60});
  world.pools[0].suspended = true;
  const Plan plan = Checked(world);
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.ask);
  EXPECT_EQ(Desired(plan, "near"), 0);
}

TEST(NewNodes, StayInTheirStepsWhileTheyCome) {
  Snapshot world = Clouds(40, 8);
  world.pools = {Wants("llm", 6)};
  world = After(world, Checked(world), kNow + Seconds{60});
  AddNodes(world, "near", 3);
  EXPECT_EQ(Desired(Checked(world), "near"), 8);
  world.pools.push_back(Wants("other", 2));
  EXPECT_EQ(Desired(Checked(world), "near"), 8) << "the rest of the step";
  world.pools.push_back(Wants("third", 1));
  EXPECT_EQ(Desired(Checked(world), "near"), 16);
}

TEST(NewNodes, OfAStepComeAlsoWhenEnoughAreStarting) {
  Snapshot world = Clouds(40, 16);
  world.pools = {Wants("llm", 4)};
  world = After(world, Checked(world), kNow + Seconds{60});
  AddNodes(world, "near", 4);
  for (placement::Node& node : world.nodes) {
    node.starting = true;
    node.created = world.now;
  }
  EXPECT_EQ(Desired(Checked(world), "near"), 16);
}

TEST(NewNodes, ReplaceNoneBehindALinkThatIsInDoubt) {
  Snapshot world = Clouds();
  world.groups.pop_back();
  AddNodes(world, "near", 5);
  for (int n = 1; n <= 4; ++n) {
    placement::Node& node = NodeOf(world, "near-" + std::to_string(n));
    node.ready = false;
    node.not_ready_since = kNow - Seconds{10};
  }
  world.pools = {Wants("llm", 3)};
  const Plan plan = Checked(world);
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.ask);
  EXPECT_EQ(Desired(plan, "near"), 5);
}

TEST(NewNodes, AreNotAskedForWhereAnotherGroupWouldMatchThemToo) {
  Snapshot world = Clouds();
  world.groups.pop_back();
  AddNodes(world, "near", 1);
  world.groups.push_back(Group("also", 20));
  world.pools = {Wants("llm", 1)};
  Use(world, "near-1", 8);
  EXPECT_TRUE(DecisionOf(Checked(world), "llm").memory.ask);
  GroupOf(world, "also").selector = GroupOf(world, "near").selector;
  EXPECT_FALSE(DecisionOf(Checked(world), "llm").memory.ask);
}

TEST(NewNodes, AnElasticGangWaitsForAllThatItAskedFor) {
  Snapshot world = Clouds();
  world.pools = {Wants("llm", 4)};
  world.pools[0].accelerators[0].min_workers = 2;
  world = After(world, Checked(world), kNow + Seconds{60});
  AddNodes(world, "near", 3);
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->nodes, 1);
  // Elsewhere it takes what there is.
  AddNodes(world, "far", 2);
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.placement->node_group, "far");
}

TEST(NewNodes, KeepTheLeastThatAGroupHas) {
  Snapshot world = Clouds();
  GroupOf(world, "near").elastic->min_nodes = 3;
  EXPECT_EQ(Desired(Checked(world), "near"), 3);
  AddNodes(world, "near", 5);
  EXPECT_EQ(Desired(Checked(world), "near"), 5) << "what is there stays";
}

// ---- out of stock ----

TEST(Stockouts, ComeWhenTheTimeIsOverAndTheNextGroupIsAskedAtOnce) {
  Snapshot world = Clouds();
  world.pools = {Wants("llm", 2)};
  world = After(world, Checked(world), kNow + Seconds{1199});
  AddNodes(world, "near", 1);
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->node_group, "near");
  world.now += Seconds{1};
  const Plan plan = Checked(world);
  const PoolDecision& llm = DecisionOf(plan, "llm");
  EXPECT_EQ(llm.memory.ask,
            (NodeAsk{.node_group = "far", .nodes = 2, .workers = 2, .since = world.now}));
  EXPECT_EQ(Desired(plan, "near"), 1) << "what is observed";
  EXPECT_EQ(ReportOf(plan, "near").memory.stockout,
            (Stockout{.since = world.now, .attempts = 1, .next_try = world.now + Seconds{300}}));
  EXPECT_EQ(In(llm, "near").reason, Reason::kOutOfStock);
  EXPECT_THAT(In(llm, "near").message,
              HasSubstr("the nodes that it was asked for did not come in time, 1 time since "
                        "2026-11-24T12:20:00Z: it is asked again at 2026-11-24T12:25:00Z"));
  EXPECT_EQ(plan.next_wake, world.now + Seconds{300});
}

TEST(Stockouts, AreWhatAGangWaitsForThatHasNoOtherGroup) {
  Snapshot world = Clouds();
  world.groups.pop_back();
  world.pools = {Wants("llm", 2)};
  world = After(world, Checked(world), kNow + Seconds{1200});
  Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "llm").placed_reason, Reason::kOutOfStock);
  EXPECT_FALSE(DecisionOf(plan, "llm").memory.ask);
  // It is asked again, and again in vain: for twice as long, up to the most.
  for (const int wait : {300, 600, 1200, 2400, 3600, 3600}) {
    const Time next = ReportOf(plan, "near").memory.stockout->next_try;
    EXPECT_EQ(next, world.now + Seconds{wait});
    world = After(world, plan, next - Seconds{1});
    EXPECT_FALSE(DecisionOf(Checked(world), "llm").memory.ask);
    world.now = next;
    plan = Checked(world);
    EXPECT_EQ(DecisionOf(plan, "llm").memory.ask->since, next);
    world = After(world, plan, next + Seconds{1200});
    plan = Checked(world);
  }
  EXPECT_EQ(ReportOf(plan, "near").memory.stockout->since, kNow + Seconds{1200});
}

// Who waits for room reserves it, whatever becomes of new nodes.
TEST(Stockouts, LeaveAReservation) {
  Snapshot world = Fleet(2, 0);
  AddOld(world, "runs", 9, {"home-1"});
  PoolOf(world, "runs").active_deadline = Seconds{3600};
  world.pools.push_back(Wants("big", 2));
  PoolOf(world, "big").priority = 5;
  world.pools.push_back(Wants("small", 1));
  MakeElastic(world, "home", 4).memory.stockout =
      Stockout{.since = kNow - Seconds{600}, .attempts = 3, .next_try = kNow + Seconds{2700}};
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "big").placed_reason, Reason::kOutOfStock);
  EXPECT_TRUE(DecisionOf(plan, "big").reservation);
  EXPECT_FALSE(DecisionOf(plan, "small").placed);
}

TEST(Stockouts, AreNotHeldBackFor) {
  Snapshot world = Fleet(1, 0);
  AddOld(world, "old", 0, {"home-1"});
  world.pools.push_back(Wants("llm", 1));
  PoolOf(world, "llm").priority = 9;
  MakeElastic(world, "azure", 4);
  EXPECT_FALSE(DecisionOf(Checked(world), "llm").memory.hold);
  GroupOf(world, "azure").memory.stockout =
      Stockout{.since = kNow - Seconds{600}, .attempts = 3, .next_try = kNow + Seconds{2700}};
  EXPECT_TRUE(DecisionOf(Checked(world), "llm").memory.hold);
}

TEST(Stockouts, AreForAllWhoAskedTheGroup) {
  Snapshot world = Clouds();
  world.pools = {Wants("b", 2)};
  world = After(world, Checked(world), kNow + Seconds{600});
  world.pools.push_back(Wants("a", 1));
  world.pools.back().priority = 5;
  world = After(world, Checked(world), kNow + Seconds{1200});
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "a").memory.ask->node_group, "far");
  EXPECT_EQ(DecisionOf(plan, "b").memory.ask->node_group, "far");
  EXPECT_EQ(Desired(plan, "near"), 0);
}

TEST(Stockouts, StartAnElasticGangWithWhatCame) {
  Snapshot world = Clouds();
  world.pools = {Wants("llm", 4)};
  world.pools[0].accelerators[0].min_workers = 2;
  world = After(world, Checked(world), kNow + Seconds{1200});
  AddNodes(world, "near", 3);
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "llm").memory.placement->workers, 3);
  EXPECT_FALSE(ReportOf(plan, "near").memory.stockout);
  EXPECT_EQ(Desired(plan, "near"), 3);
}

TEST(Stockouts, AreOverWhenSomebodyGetsWhatHeAskedFor) {
  Snapshot world = Clouds();
  GroupOf(world, "near").memory.stockout =
      Stockout{.since = kNow - Seconds{3600}, .attempts = 2, .next_try = kNow};
  world.pools = {Wants("llm", 2)};
  world = After(world, Checked(world), kNow + Seconds{60});
  EXPECT_TRUE(GroupOf(world, "near").memory.stockout);
  AddNodes(world, "near", 2);
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "llm").action, Action::kPlace);
  EXPECT_FALSE(ReportOf(plan, "near").memory.stockout);
}

TEST(Stockouts, AreNotNotedAgainWhileTheyLast) {
  Snapshot world = Clouds();
  world.groups.pop_back();
  world.pools = {Wants("a", 2), Wants("b", 2)};
  world = After(world, Checked(world), kNow + Seconds{1200});
  EXPECT_EQ(ReportOf(Checked(world), "near").memory.stockout->attempts, 1);
}

TEST(Stockouts, AreForgottenWithTheElasticBlock) {
  Snapshot world = Clouds();
  world.groups[0].elastic.reset();
  world.groups[0].memory.desired = 3;
  EXPECT_EQ(ReportOf(Checked(world), "near").memory, placement::GroupMemory());
}

// ---- Verify ----

TEST(NewNodes, VerifyFindsWhatIsWrong) {
  struct Case {
    const char* message;
    std::function<void(Snapshot& world, Plan& plan, PoolDecision& llm)> breaks;
  };
  const auto near = [](Plan& plan) -> placement::GroupMemory& {
    return std::find_if(plan.groups.begin(), plan.groups.end(),
                        [](const auto& report) { return report.name == "near"; })
        ->memory;
  };
  const std::vector<Case> cases = {
      {"near is to have too many nodes or too few",
       [&](auto&, Plan& plan, auto&) { near(plan).desired = 11; }},
      {"near is to have too many nodes or too few",
       [&](Snapshot& world, auto&, auto&) { AddNodes(world, "near", 3, 4); }},
      {"near is not asked in steps",
       [](Snapshot& world, auto&, auto&) { GroupOf(world, "near").elastic->step_nodes = 4; }},
      {"near is asked for nodes that nobody waits for",
       [](auto&, auto&, PoolDecision& llm) { llm.memory.ask.reset(); }},
      {"near is asked for fewer nodes than gangs wait for",
       [&](auto&, Plan& plan, auto&) { near(plan).desired = 1; }},
      {"near is asked for more nodes than gangs wait for",
       [&](auto&, Plan& plan, auto&) { near(plan).desired = 3; }},
      {"near has no number of nodes",
       [&](auto&, Plan& plan, auto&) { near(plan).desired.reset(); }},
      {"near is asked for nodes while it is out of stock",
       [&](auto&, Plan& plan, auto&) {
         near(plan).stockout = Stockout{.since = kNow, .next_try = kNow + Seconds{1}};
       }},
      {"far is not elastic, but remembers something",
       [](Snapshot& world, auto&, auto&) { GroupOf(world, "far").elastic.reset(); }},
      {"team/llm asks for nodes, but does not wait for them",
       [](auto&, auto&, PoolDecision& llm) { llm.position = 0; }},
      {"team/llm asks for nodes where it may not go",
       [](Snapshot& world, auto&, auto&) {
         GroupOf(world, "near").admission = placement::Admission::kClosed;
       }},
      {"team/llm asks for nodes where it may not go",
       [](Snapshot& world, auto&, auto&) { GroupOf(world, "near").elastic.reset(); }},
      {"team/llm asks for nodes where it may not go",
       [](Snapshot& world, auto&, auto&) { world.pools[0].spill_allowed = false; }},
      {"team/llm asks for nodes for a wrong number of workers",
       [](auto&, auto&, PoolDecision& llm) { llm.memory.ask->workers = 3; }},
      {"team/llm requires a domain, and asks for nodes that may share none",
       [](Snapshot& world, auto&, auto&) { world.pools[0].topology = TopologyMode::kRequired; }},
      {"team/llm waits for nodes past their time",
       [](Snapshot& world, auto&, auto&) { world.now += Seconds{1200}; }},
      {"team/llm asks for nodes that cost more above home than it may",
       [](Snapshot& world, auto&, auto&) { world.pools[0].spill_max_hourly_cost = Dollars("63"); }},
      {"team/llm asks near for nodes while there is room on far",
       [](Snapshot& world, Plan& plan, auto&) {
         AddNodes(world, "far", 2);
         plan.groups[0].memory.desired = plan.groups[0].there = 2;
       }},
      {"near is to have too many nodes or too few",
       [](Snapshot& world, auto&, auto&) {
         GroupOf(world, "near").elastic->max_hourly_cost = Dollars("63.99");
       }},
      {"far has another number of nodes than its report says",
       [](auto&, Plan& plan, auto&) { plan.groups[0].there = 7; }},
      {"far has another number of nodes than its report says",
       [](auto&, Plan& plan, auto&) { plan.groups[0].there.reset(); }},
      {"team/llm crosses the limit of a100",
       [](Snapshot& world, auto&, auto&) {
         world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 15}}}};
       }},
      {"team/llm asks across the spend limit of its namespace",
       [](Snapshot& world, auto&, auto&) {
         world.quotas = {{.ns = "team", .limits = {}}};
         world.quotas[0].max_hourly_cost = Dollars("63");
       }},
  };
  for (const Case& c : cases) {
    Snapshot world = Clouds();
    world.pools = {Wants("llm", 2)};
    world.pools[0].spill_after = Seconds{0};
    Plan plan = Checked(world);
    c.breaks(world, plan, plan.pools[0]);
    const Status status = Verify(world, plan);
    ASSERT_FALSE(status.ok()) << c.message;
    EXPECT_EQ(status.error().message, c.message);
  }
}

}  // namespace
}  // namespace spillway::tests
