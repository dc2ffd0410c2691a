// Nodes that elastic groups are asked for by inference pools.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "elastic_groups.h"
#include "passes.h"
#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::CellAsk;
using placement::InferenceDecision;
using placement::Plan;
using placement::Reason;
using placement::Stockout;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Home has one node of 8 GPUs; two clouds have none yet, the first one tier before the second.
Snapshot HomeAndClouds(int most = 10, int step = 1) {
  Snapshot world = Fleet(1);
  world.groups = {Group("home"), Group("near", 10), Group("far", 20)};
  MakeElastic(world, "near", most, step);
  MakeElastic(world, "far", 10);
  return world;
}

// Its replicas may take their time to start, and it makes nobody go.
placement::InferencePool Patient(int units) {
  placement::InferencePool pool = Chat(units);
  pool.start_deadline = Seconds{9000};
  pool.preempt_after = Seconds{9000};
  return pool;
}

const placement::Alternative& In(const InferenceDecision& decision, const std::string& cell) {
  return *std::find_if(decision.alternatives.begin(), decision.alternatives.end(),
                       [&](const auto& one) { return one.group == cell; });
}

std::vector<std::string> AsksOf(const InferenceDecision& decision) {
  std::vector<std::string> asks;
  for (const CellAsk& ask : decision.memory.asks) {
    asks.push_back(std::to_string(ask.nodes) + " for " + std::to_string(ask.replicas) + " " +
                   ask.variant + "@" + ask.node_group);
  }
  return asks;
}

std::vector<std::string> Asks(const Snapshot& world, const std::string& pool = "chat") {
  return AsksOf(ServingOf(Checked(world), pool));
}

// ---- the whole way ----

TEST(CellAsks, AreForWhatHomeHasNoRoomFor) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Patient(20)};
  const Plan plan = Checked(world);
  const InferenceDecision& chat = ServingOf(plan);
  EXPECT_EQ(chat.chosen, "8 gpu@home");
  EXPECT_THAT(
      chat.memory.asks,
      ElementsAre(CellAsk{
          .variant = "gpu", .node_group = "near", .nodes = 2, .replicas = 12, .since = kNow}));
  EXPECT_EQ(Desired(plan, "near"), 2);
  EXPECT_EQ(Desired(plan, "far"), 0);
  EXPECT_EQ(chat.capacity_reason, Reason::kWaitingForNodes);
  EXPECT_THAT(chat.capacity_message,
              HasSubstr("gpu@near: 2 more nodes asked for at 2026-11-24T12:00:00Z for 12 more "
                        "replicas, due by 2026-11-24T12:20:00Z"));
  EXPECT_THAT(chat.remedies, testing::Contains("gpu@near: wait until 2026-11-24T12:20:00Z"));
  EXPECT_EQ(plan.next_wake, kNow + Seconds{1200});
}

TEST(CellAsks, AreForNoMoreNodesThanTheGroupsMoneyPaysFor) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Patient(20)};
  GroupOf(world, "near").elastic->max_hourly_cost = Dollars("63.99");
  EXPECT_THAT(Asks(world), ElementsAre("1 for 4 gpu@far", "1 for 8 gpu@near"));
  GroupOf(world, "near").elastic->max_hourly_cost = Dollars("31");
  EXPECT_THAT(Asks(world), ElementsAre("2 for 12 gpu@far"));
  EXPECT_THAT(In(ServingOf(Checked(world)), "gpu@near").message,
              HasSubstr("none of its elastic.maxHourlyCost (31.00, 0 nodes) may still come"));
}

// Replicas that would have most of a node to themselves are dearer there than their share says.
TEST(CellAsks, AreOfTheMixThatCostsTheLeastInWhole) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(9)};
  world.inference_pools[0].preference = placement::Preference::kPrice;
  GroupOf(world, "near").marginal_per_node_hour = Dollars("16");
  NodeGroup& small = GroupOf(world, "far");
  small.per_node = 2;
  small.elastic->node_shape.Set(kGpu, 2);
  small.marginal_per_node_hour = Dollars("6");
  const auto asked = [&](int units) {
    world.inference_pools[0] = Chat(units);
    world.inference_pools[0].preference = placement::Preference::kPrice;
    return Asks(world);
  };
  EXPECT_THAT(asked(9), ElementsAre("1 for 1 gpu@far")) << "6 instead of 16";
  EXPECT_THAT(asked(12), ElementsAre("2 for 4 gpu@far")) << "12 instead of 16";
  EXPECT_THAT(asked(13), ElementsAre("1 for 5 gpu@near")) << "16 instead of 18";
  EXPECT_THAT(asked(16 + 1), ElementsAre("1 for 1 gpu@far", "1 for 8 gpu@near"));
  GroupOf(world, "near").elastic->step_nodes = 2;
  EXPECT_THAT(asked(13), ElementsAre("3 for 5 gpu@far")) << "18 instead of 32";
  // A node that comes anyway costs what is used of it.
  GroupOf(world, "near").elastic->step_nodes = 1;
  GroupOf(world, "near").elastic->min_nodes = 1;
  EXPECT_THAT(asked(9), ElementsAre("1 for 1 gpu@near"));
  GroupOf(world, "near").marginal_per_node_hour = Dollars("64");
  EXPECT_THAT(asked(9), ElementsAre("1 for 1 gpu@far")) << "6 instead of 8";
}

TEST(CellAsks, OfAStepThatThePoolHasAskedForCostTheirShare) {
  Snapshot world = HomeAndClouds();
  GroupOf(world, "near").marginal_per_node_hour = Dollars("16");
  GroupOf(world, "near").elastic->step_nodes = 2;
  GroupOf(world, "near").memory.desired = 2;
  GroupOf(world, "far").marginal_per_node_hour = Dollars("24");
  world.inference_pools = {Chat(17)};
  world.inference_pools[0].preference = placement::Preference::kPrice;
  world.inference_pools[0].memory.asks = {
      CellAsk{.variant = "gpu", .node_group = "near", .nodes = 1, .replicas = 8, .since = kNow}};
  EXPECT_THAT(Asks(world), ElementsAre("2 for 9 gpu@near")) << "24 in far, 32 for another step";
}

TEST(CellAsks, CountNodesByWhatIsScarceThere) {
  Snapshot world = HomeAndClouds();
  GroupOf(world, "near").marginal_per_node_hour = Dollars("16");
  GroupOf(world, "far").marginal_per_node_hour = Dollars("24");
  world.inference_pools = {Chat(12)};
  world.inference_pools[0].preference = placement::Preference::kPrice;
  EXPECT_THAT(Asks(world), ElementsAre("1 for 4 gpu@near"));
  const int64_t cpu = world.inference_pools[0].variants[0].requests.Get("cpu");
  GroupOf(world, "near").elastic->node_shape.Set("cpu", 3 * cpu);
  EXPECT_THAT(Asks(world), ElementsAre("1 for 4 gpu@far")) << "two nodes would cost 32";
}

// Of the second variant one node takes one replica, as far as processors go; of the first, two.
TEST(CellAsks, CountNodesForEachVariantByItself) {
  Snapshot world = HomeAndClouds();
  std::erase_if(world.groups, [](const NodeGroup& one) { return one.name == "home"; });
  world.nodes.clear();
  GroupOf(world, "near").marginal_per_node_hour = Dollars("64");
  GroupOf(world, "far").marginal_per_node_hour = Dollars("32");
  const auto asked = [&](int units, int size) {
    placement::InferencePool pool = Chat(units);
    pool.preference = placement::Preference::kPrice;
    pool.variants[0].per_replica = size;
    pool.variants.push_back(pool.variants[0]);
    pool.variants[1].name = "cpu";
    pool.variants[1].per_replica = size == 4 ? 3 : 1;
    pool.variants[1].requests.Set("cpu", Amounts({{"cpu", "64"}}).Get("cpu"));
    world.inference_pools = {pool};
    return Asks(world);
  };
  EXPECT_THAT(asked(2, 4), ElementsAre("1 for 2 gpu@far")) << "in near they would cost 64";
  GroupOf(world, "near").marginal_per_node_hour = Dollars("16");
  EXPECT_THAT(asked(8, 1), ElementsAre("1 for 8 gpu@near")) << "one node";
}

TEST(CellAsks, EndAsNodesComeAndReplicasStartThere) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(20)};
  Snapshot after = After(world, Checked(world), kNow + Seconds{100});
  EXPECT_THAT(ServingOf(Checked(after)).memory.asks.front().since, kNow) << "it goes on";
  AddNodes(after, "near", 1);
  Plan plan = Checked(after);
  EXPECT_EQ(ServingOf(plan).chosen, "8 gpu@home and 8 gpu@near");
  EXPECT_THAT(AsksOf(ServingOf(plan)), ElementsAre("1 for 4 gpu@near"));
  EXPECT_EQ(ServingOf(plan).memory.asks.front().since, after.now) << "the rest has its own time";
  EXPECT_EQ(Desired(plan, "near"), 2);
  after = After(after, plan, kNow + Seconds{200});
  AddNodes(after, "near", 1);
  plan = Checked(after);
  EXPECT_EQ(ServingOf(plan).chosen, "8 gpu@home and 12 gpu@near");
  EXPECT_THAT(AsksOf(ServingOf(plan)), IsEmpty());
  EXPECT_EQ(Desired(plan, "near"), 2);
}

// A node that starts is what was asked for.
TEST(CellAsks, StandWhileNodesStart) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(20)};
  Snapshot after = After(world, Checked(world), kNow + Seconds{100});
  AddNodes(after, "near", 2);
  for (placement::Node& node : after.nodes) {
    if (node.id.name.starts_with("near")) node.starting = true;
  }
  const Plan plan = Checked(after);
  EXPECT_THAT(AsksOf(ServingOf(plan)), ElementsAre("2 for 12 gpu@near"));
  EXPECT_EQ(Desired(plan, "near"), 2);
}

TEST(CellAsks, AreLetGoWhenNoLongerNeeded) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(20)};
  Snapshot after = After(world, Checked(world), kNow + Seconds{100});
  after.inference_pools[0].replicas = 12;
  Plan plan = Checked(after);
  EXPECT_THAT(AsksOf(ServingOf(plan)), ElementsAre("1 for 4 gpu@near"));
  EXPECT_EQ(ServingOf(plan).memory.asks.front().since, kNow);
  after.inference_pools[0].replicas = 8;
  plan = Checked(after);
  EXPECT_THAT(AsksOf(ServingOf(plan)), IsEmpty());
  EXPECT_EQ(Desired(plan, "near"), 0);
  after.inference_pools[0].replicas = 20;
  after.inference_pools[0].paused = true;
  EXPECT_THAT(Asks(after), IsEmpty());
}

TEST(CellAsks, ComeAfterRoomThatThereIsAnywhere) {
  Snapshot world = HomeAndClouds();
  AddNodes(world, "far", 1);
  world.inference_pools = {Chat(18)};
  const Plan plan = Checked(world);
  EXPECT_EQ(ServingOf(plan).chosen, "8 gpu@home and 8 gpu@far");
  EXPECT_THAT(AsksOf(ServingOf(plan)), ElementsAre("1 for 2 gpu@near"));
}

// ---- where ----

TEST(CellAsks, GoToTheNextGroupBeyondTheMaximum) {
  Snapshot world = HomeAndClouds(1);
  world.inference_pools = {Chat(20)};
  EXPECT_THAT(Asks(world), ElementsAre("1 for 4 gpu@far", "1 for 8 gpu@near"));
}

TEST(CellAsks, AreOfTheCheapestMix) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(20)};
  world.inference_pools[0].preference = placement::Preference::kPrice;
  GroupOf(world, "near").marginal_per_node_hour = Dollars("32");
  GroupOf(world, "far").marginal_per_node_hour = Dollars("16");
  EXPECT_THAT(Asks(world), ElementsAre("2 for 12 gpu@far"));
}

TEST(CellAsks, WaitForTheHoldBack) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(20)};
  world.inference_pools[0].spill_after = Seconds{120};
  const Plan plan = Checked(world);
  EXPECT_THAT(AsksOf(ServingOf(plan)), IsEmpty());
  EXPECT_EQ(ServingOf(plan).capacity_reason, Reason::kHoldingBackSpill);
  EXPECT_THAT(ServingOf(plan).remedies,
              testing::Contains("gpu@near: wait until 2026-11-24T12:02:00Z, or lower "
                                "placement.spill.afterSeconds (120)"))
      << "nodes come by themselves then";
  EXPECT_THAT(Asks(After(world, plan, kNow + Seconds{120})), ElementsAre("2 for 12 gpu@near"));
}

TEST(CellAsks, AreNotMissingOnceMore) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(20)};
  world.inference_pools[0].variants[0].max_replicas = 14;
  const Plan plan = Checked(world);
  EXPECT_THAT(AsksOf(ServingOf(plan)), ElementsAre("1 for 6 gpu@near"));
  for (const std::string& line : ServingOf(plan).remedies) {
    if (line.find("maxReplicas") == std::string::npos) continue;
    EXPECT_THAT(line, testing::HasSubstr("raise maxReplicas of variant gpu to 20"));
  }
  EXPECT_THAT(ServingOf(plan).remedies, testing::Contains(testing::HasSubstr("to 20")));
}

// Home that may grow is worth to be waited for, and is asked meanwhile.
TEST(CellAsks, GoToHomeFirst) {
  Snapshot world = HomeAndClouds();
  MakeElastic(world, "home", 4);
  AddNodes(world, "near", 2);
  world.inference_pools = {Chat(20)};
  world.inference_pools[0].spill_after = Seconds{120};
  const Plan plan = Checked(world);
  EXPECT_THAT(AsksOf(ServingOf(plan)), ElementsAre("2 for 12 gpu@home"));
  EXPECT_EQ(ServingOf(plan).chosen, "8 gpu@home");
  const Plan later = Checked(After(world, plan, kNow + Seconds{120}));
  EXPECT_EQ(ServingOf(later).chosen, "8 gpu@home and 12 gpu@near");
  EXPECT_THAT(AsksOf(ServingOf(later)), IsEmpty());
}

// ---- stock ----

TEST(CellAsks, ThatAreNotServedInTimeGoToTheNextCell) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Patient(20)};
  Snapshot after = After(world, Checked(world), kNow + Seconds{1200});
  const Plan plan = Checked(after);
  const InferenceDecision& chat = ServingOf(plan);
  EXPECT_THAT(AsksOf(chat), ElementsAre("2 for 12 gpu@far"));
  EXPECT_EQ(chat.memory.asks.front().since, after.now);
  EXPECT_EQ(Desired(plan, "near"), 0);
  EXPECT_EQ(Desired(plan, "far"), 2);
  EXPECT_EQ(In(chat, "gpu@near").reason, Reason::kOutOfStock);
  EXPECT_THAT(In(chat, "gpu@near").message, HasSubstr("it is asked again at"));
  // What it asked for next stands, though the first is to be had again.
  after = After(after, plan, after.now + Seconds{900});
  EXPECT_THAT(Asks(after), ElementsAre("2 for 12 gpu@far"));
}

TEST(CellAsks, ThatAreServedEndAStockout) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Patient(20)};
  GroupOf(world, "near").memory.stockout =
      Stockout{.since = kNow - Seconds{900}, .attempts = 2, .next_try = kNow - Seconds{1}};
  Snapshot after = After(world, Checked(world), kNow + Seconds{100});
  EXPECT_TRUE(GroupOf(after, "near").memory.stockout);
  AddNodes(after, "near", 2);
  const Plan plan = Checked(after);
  EXPECT_FALSE(After(after, plan, after.now).groups[1].memory.stockout);
}

TEST(CellAsks, ThatAreServedInPartHaveNewTime) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Patient(20)};
  Snapshot after = After(world, Checked(world), kNow + Seconds{1200});
  AddNodes(after, "near", 1);
  const Plan plan = Checked(after);
  EXPECT_THAT(AsksOf(ServingOf(plan)), ElementsAre("1 for 4 gpu@near"));
  after = After(after, plan, after.now);
  EXPECT_FALSE(GroupOf(after, "near").memory.stockout);
}

// A replica that finds room on a node that was there says nothing of the provider.
TEST(CellAsks, HaveNoNewTimeForRoomThatOthersLeft) {
  Snapshot world = HomeAndClouds();
  AddNodes(world, "near", 1);
  NodeOf(world, "near-1").used = Amounts({{kGpu, "8"}});
  NodeOf(world, "near-1").other_pods = 8;
  world.inference_pools = {Patient(20)};
  Plan plan = Checked(world);
  ASSERT_THAT(AsksOf(ServingOf(plan)), ElementsAre("2 for 12 gpu@near"));
  Snapshot after = After(world, plan, kNow + Seconds{900});
  NodeOf(after, "near-1").used = Amounts({{kGpu, "7"}});
  NodeOf(after, "near-1").other_pods = 7;
  plan = Checked(after);
  ASSERT_THAT(AsksOf(ServingOf(plan)), ElementsAre("2 for 11 gpu@near"));
  EXPECT_EQ(ServingOf(plan).memory.asks.front().since, kNow);
  after = After(after, plan, kNow + Seconds{1200});
  EXPECT_THAT(Asks(after), ElementsAre("2 for 11 gpu@far"));
}

// ---- one variant serves ----

// No room anywhere; the first variant can only go to the group `near`, the second to `far`.
Snapshot OneOfTwo() {
  Snapshot world = HomeAndClouds();
  std::erase_if(world.groups, [](const auto& one) { return one.name == "home"; });
  world.nodes.clear();
  GroupOf(world, "far").accelerator = "l40s";
  world.inference_pools = {Patient(10)};
  world.inference_pools[0].routing = placement::Routing::kUniform;
  world.inference_pools[0].variants = {Serves("large", "a100", 1, "4"),
                                       Serves("small", "l40s", 1, "2")};
  return world;
}

TEST(UniformCellAsks, AreForTheFirstVariantThatMayGetNodes) {
  Snapshot world = OneOfTwo();
  EXPECT_THAT(Asks(world), ElementsAre("2 for 10 large@near"));
  Snapshot fixed = world;
  GroupOf(fixed, "near").elastic.reset();
  EXPECT_THAT(Asks(fixed), ElementsAre("3 for 20 small@far"));
  GroupOf(fixed, "far").elastic.reset();
  EXPECT_THAT(Asks(fixed), IsEmpty());
}

TEST(UniformCellAsks, GoToTheNextVariantWhereNodesDoNotComeAndStandThere) {
  const Snapshot world = OneOfTwo();
  Snapshot after = After(world, Checked(world), kNow + Seconds{1200});
  const Plan plan = Checked(after);
  ASSERT_THAT(AsksOf(ServingOf(plan)), ElementsAre("3 for 20 small@far"));
  EXPECT_EQ(In(ServingOf(plan), "large@near").reason, Reason::kOutOfStock);
  // The first is to be had again.
  after = After(after, plan, after.now + Seconds{900});
  EXPECT_THAT(Asks(after), ElementsAre("3 for 20 small@far"));
  EXPECT_EQ(ServingOf(Checked(after)).memory.asks.front().since, kNow + Seconds{1200});
  AddNodes(after, "far", 3);
  EXPECT_EQ(ServingOf(Checked(after)).chosen, "20 small@far");
}

// ---- limits ----

// The pool needs nothing, and the second of its variants serves that as well as the first, of which
// it would have one replica at the least.
TEST(UniformCellAsks, AreNotForALeastThatAnotherVariantDoesNotHave) {
  Snapshot world = HomeAndClouds();
  world.nodes.clear();
  placement::InferencePool pool = Patient(0);
  pool.routing = placement::Routing::kUniform;
  pool.variants = {Serves("big", "a100", 4, "16"), Serves("small", "a100", 1, "4")};
  pool.variants[0].min_replicas = 1;
  world.inference_pools = {pool};
  EXPECT_THAT(Asks(world), IsEmpty());
  AddNodes(world, "near", 1);
  EXPECT_EQ(Mix(ServingOf(Checked(world))), "nothing") << "it would have no use for a node";
  world.nodes.clear();
  world.inference_pools[0].variants.pop_back();
  EXPECT_THAT(Asks(world), ElementsAre("1 for 1 big@near"));
  AddNodes(world, "near", 1);
  EXPECT_EQ(Mix(ServingOf(Checked(world))), "1 big@near");
}

TEST(CellAsks, KeepWithinLimits) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(20)};
  Snapshot quota = world;
  quota.quotas = {{.ns = "serving", .limits = {{.type = "a100", .limit = 11, .guaranteed = 0}}}};
  EXPECT_THAT(Asks(quota), ElementsAre("1 for 3 gpu@near"));
  Snapshot most = world;
  most.inference_pools[0].variants[0].max_replicas = 13;
  EXPECT_THAT(Asks(most), ElementsAre("1 for 5 gpu@near"));
  GroupOf(world, "near").marginal_per_node_hour = Dollars("32");
  GroupOf(world, "far").marginal_per_node_hour = Dollars("32");
  Snapshot spill = world;
  spill.inference_pools[0].spill_max_hourly_cost = Dollars("27");
  EXPECT_THAT(Asks(spill), IsEmpty()) << "a node costs 32";
  spill.inference_pools[0].spill_max_hourly_cost = Dollars("32");
  EXPECT_THAT(Asks(spill), ElementsAre("1 for 8 gpu@near"));
  world.quotas = {{.ns = "serving", .limits = {}, .max_hourly_cost = Dollars("40")}};
  EXPECT_THAT(Asks(world), ElementsAre("1 for 8 gpu@near"));
}

TEST(CellAsks, CountAgainstTheLimitsOfOthers) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(20), Chat(4, "other")};
  world.inference_pools[0].priority = 1;
  world.quotas = {{.ns = "serving", .limits = {{.type = "a100", .limit = 21, .guaranteed = 0}}}};
  const Plan plan = Checked(world);
  EXPECT_THAT(AsksOf(ServingOf(plan)), ElementsAre("2 for 12 gpu@near"));
  EXPECT_THAT(AsksOf(ServingOf(plan, "other")), ElementsAre("0 for 1 gpu@near"));
  EXPECT_EQ(plan.quotas.front().accelerators.front().used, 8) << "what runs";
}

// ---- several on the same nodes ----

TEST(CellAsks, OfSeveralPoolsShareNodes) {
  Snapshot world = HomeAndClouds();
  std::erase_if(world.groups, [](const auto& one) { return one.name == "home"; });
  world.nodes.clear();
  world.inference_pools = {Chat(10), Chat(3, "other"), Chat(4, "third")};
  world.inference_pools[0].priority = 2;
  world.inference_pools[1].priority = 1;
  const Plan plan = Checked(world);
  EXPECT_THAT(AsksOf(ServingOf(plan)), ElementsAre("2 for 10 gpu@near"));
  EXPECT_THAT(AsksOf(ServingOf(plan, "other")), ElementsAre("0 for 3 gpu@near"));
  EXPECT_THAT(AsksOf(ServingOf(plan, "third")), ElementsAre("1 for 4 gpu@near"));
  EXPECT_EQ(Desired(plan, "near"), 3);
  EXPECT_THAT(ServingOf(plan, "other").capacity_message,
              HasSubstr("3 more replicas on nodes that others have asked for too"));
}

// Until those that have just been placed are bound, each node is taken for all that they could have
// of it.
TEST(CellAsks, AreNotForMoreWhileOthersHaveYetToStartThere) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Patient(20), Patient(2)};
  world.inference_pools[1].key.name = "other";
  world.inference_pools[0].priority = 1;
  Plan plan = Checked(world);
  ASSERT_THAT(AsksOf(ServingOf(plan)), ElementsAre("2 for 12 gpu@near"));
  ASSERT_THAT(AsksOf(ServingOf(plan, "other")), ElementsAre("0 for 2 gpu@near"));
  Snapshot after = After(world, plan, kNow + Seconds{100});
  AddNodes(after, "near", 2);
  plan = Checked(after);
  ASSERT_EQ(ServingOf(plan).chosen, "8 gpu@home and 12 gpu@near");
  EXPECT_THAT(AsksOf(ServingOf(plan, "other")), IsEmpty());
  EXPECT_EQ(Desired(plan, "near"), 2);
  after = After(after, plan, kNow + Seconds{101});
  plan = Checked(after);
  EXPECT_THAT(AsksOf(ServingOf(plan, "other")), IsEmpty()) << "nor in the next pass";
  EXPECT_EQ(Desired(plan, "near"), 2);
  EXPECT_THAT(In(ServingOf(plan, "other"), "gpu@near").message,
              HasSubstr("no node is asked for while others have yet to start"));
  EXPECT_EQ(plan.next_wake, after.now + Seconds{9});
  after = After(after, plan, kNow + Seconds{110});
  EXPECT_THAT(Asks(after, "other"), ElementsAre("1 for 2 gpu@near")) << "something is in their way";
}

TEST(CellAsks, OfSeveralVariantsShareNodes) {
  Snapshot world = HomeAndClouds();
  world.groups.erase(world.groups.begin());
  std::erase_if(world.nodes, [](const auto& node) { return node.id.name.starts_with("home"); });
  world.inference_pools = {Chat(6)};
  auto& variants = world.inference_pools[0].variants;
  variants = {Serves("big", "a100", 6, "20"), Serves("small", "a100", 1, "2")};
  EXPECT_THAT(Asks(world), ElementsAre("1 for 1 big@near", "0 for 2 small@near"));
}

// What was asked for, a node for a big replica and two small ones, is not enough any more: beside
// the one that is asked for now the big one leaves the small ones no room on its node.
TEST(CellAsks, ForMoreOfAVariantShareItsNodes) {
  Snapshot world = HomeAndClouds();
  world.nodes.clear();
  GroupOf(world, "far").admission = placement::Admission::kClosed;
  placement::InferencePool pool = Patient(1);
  pool.unit = 1'000'000;
  pool.replicas = 38;
  pool.variants = {Serves("big", "a100", 4, "16"), Serves("small", "a100", 1, "3")};
  pool.memory.asks = {
      CellAsk{.variant = "big", .node_group = "near", .nodes = 1, .replicas = 1, .since = kNow},
      CellAsk{.variant = "small", .node_group = "near", .nodes = 0, .replicas = 2, .since = kNow}};
  world.inference_pools = {pool};
  const Plan plan = Checked(world);
  EXPECT_THAT(AsksOf(ServingOf(plan)), ElementsAre("1 for 2 big@near", "1 for 2 small@near"));
  EXPECT_EQ(Desired(plan, "near"), 2);
  EXPECT_EQ(ServingOf(Checked(Applied(world, plan))).memory, ServingOf(plan).memory);
}

TEST(CellAsks, AddUpWithThoseOfGangs) {
  Snapshot world = HomeAndClouds(3);
  world.pools = {Wants("llm", 2)};
  world.pools[0].priority = 1;
  world.pools[0].spill_after = Seconds{0};
  world.inference_pools = {Chat(20)};
  NodeOf(world, "home-1").allocatable.Set(kGpu, 7);
  GroupOf(world, "home").per_node = 7;
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "llm").memory.ask->node_group, "near");
  EXPECT_THAT(AsksOf(ServingOf(plan)), ElementsAre("1 for 5 gpu@far", "1 for 8 gpu@near"));
  EXPECT_EQ(Desired(plan, "near"), 3);
}

TEST(CellAsks, AreInSteps) {
  Snapshot world = HomeAndClouds(10, 4);
  world.inference_pools = {Chat(20)};
  EXPECT_EQ(Desired(Checked(world), "near"), 4);
}

// Gangs give way to replicas only where new nodes do not help.
TEST(CellAsks, ComeBeforeOthersGiveWay) {
  Snapshot world = HomeAndClouds();
  world.pools = {Has("low", 1, 8, "home", {"home-1"})};
  world.pools[0].preemptible = placement::Preemptible::kAlways;
  world.pools[0].min_run = Seconds{0};
  AddWorkers(world, world.pools[0]);
  world.inference_pools = {Chat(2)};
  world.inference_pools[0].priority = 5;
  world.inference_pools[0].preempt_after = Seconds{0};
  world.inference_pools[0].memory.short_since = kNow - Seconds{600};
  EXPECT_THAT(Asks(world), ElementsAre("1 for 2 gpu@near"));
  EXPECT_FALSE(ServingOf(Checked(world)).memory.claim);
  for (const char* group : {"near", "far"}) GroupOf(world, group).elastic.reset();
  EXPECT_TRUE(ServingOf(Checked(world)).memory.claim);
}

// ---- who does not ask ----

TEST(CellAsks, AreNotMadeForWhatFitsOnNoNewNode) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(20)};
  for (const char* group : {"near", "far"}) {
    GroupOf(world, group).elastic->node_shape.Set(kGpu, 0);
  }
  const Plan plan = Checked(world);
  EXPECT_THAT(AsksOf(ServingOf(plan)), IsEmpty());
  EXPECT_THAT(In(ServingOf(plan), "gpu@near").message,
              HasSubstr("does not fit on a new node of elastic.nodeShape"));
}

TEST(CellAsks, AreNotMadeByABlockedCell) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(20)};
  world.inference_pools[0].memory.cells = {{.variant = "gpu",
                                            .node_group = "near",
                                            .tier = 10,
                                            .desired = 0,
                                            .pending_since = {},
                                            .blocked_until = kNow + Seconds{100},
                                            .misses = 1,
                                            .revision = "v1"}};
  EXPECT_THAT(Asks(world), ElementsAre("2 for 12 gpu@far"));
}

TEST(CellAsks, AreNotMadeBeforeTheTemplateIsKnown) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(20)};
  world.inference_pools[0].variants[0].template_unchecked = true;
  EXPECT_THAT(Asks(world), IsEmpty());
}

TEST(CellAsks, AreForLeastsToo) {
  Snapshot world = HomeAndClouds();
  world.inference_pools = {Chat(0)};
  world.inference_pools[0].variants[0].min_replicas = 9;
  EXPECT_THAT(Asks(world), ElementsAre("1 for 1 gpu@near"));
}

}  // namespace
}  // namespace spillway::tests
