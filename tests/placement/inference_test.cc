// Replicas of an inference pool over its cells: one row a rule.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::Admission;
using placement::InferenceDecision;
using placement::InferencePool;
using placement::MakePlan;
using placement::Plan;
using placement::Reason;
using placement::Routing;
using testing::HasSubstr;

// home, azure and arm (tier 20): nodes of 8 GPUs, of 8 GPUs, and of 96 cores.
Snapshot Mixed(int home_nodes, int azure_nodes, int arm_nodes) {
  Snapshot world = Fleet(home_nodes, azure_nodes);
  NodeGroup arm = Group("arm", 20);
  arm.accelerator = "cores";
  arm.resource.clear();
  arm.per_node = 96;
  arm.marginal_per_node_hour = Dollars("4");
  world.groups.push_back(arm);
  for (int i = 1; i <= arm_nodes; ++i) {
    placement::Node node = GpuNode("arm-" + std::to_string(i), "arm", 0);
    node.labels["kubernetes.io/arch"] = "arm64";
    world.nodes.push_back(node);
  }
  return world;
}

InferencePool GpuAndArm(int units) {
  InferencePool pool = Chat(units);
  pool.variants.push_back(Serves("arm", "cores", 48, "0.5"));
  pool.variants.back().arch = "arm64";
  return pool;
}

InferenceDecision Decide(const Snapshot& world) {
  const Plan plan = MakePlan(world);
  const Status status = Verify(world, plan);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return plan.inference_pools.front();
}

std::vector<std::string> Nodes(const std::string& group, int count) {
  std::vector<std::string> names;
  for (int i = 1; i <= count; ++i) names.push_back(group + "-" + std::to_string(i));
  return names;
}

// ---- where replicas go ----

TEST(Inference, FillsHomeFirst) {
  Snapshot world = Mixed(2, 2, 2);
  world.inference_pools = {GpuAndArm(5)};
  const auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "5 gpu@home");
  EXPECT_EQ(decision.action, Action::kScale);
  EXPECT_FALSE(decision.spilled);
}

TEST(Inference, SpillsWhatHomeDoesNotTake) {
  Snapshot world = Mixed(1, 1, 0);
  world.inference_pools = {GpuAndArm(11)};
  const auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "3 gpu@azure, 8 gpu@home");
  EXPECT_TRUE(decision.spilled);
  EXPECT_THAT(decision.spilled_message, HasSubstr("3 gpu@azure"));
  EXPECT_EQ(decision.marginal_hourly_cost, Dollars("12"));
}

TEST(Inference, OtherVariantsCountByTheirThroughput) {
  Snapshot world = Mixed(1, 0, 10);
  world.inference_pools = {GpuAndArm(10)};  // 40, of which home serves 32
  EXPECT_EQ(Mix(Decide(world)), "16 arm@arm, 8 gpu@home");
}

TEST(Inference, AReplicaThatServesPartOfAUnitIsRoundedUp) {
  Snapshot world = Mixed(1, 0, 0);
  world.inference_pools = {Chat(1)};
  world.inference_pools[0].unit = Dollars("4.1").micros();
  EXPECT_EQ(Mix(Decide(world)), "2 gpu@home");
}

TEST(Inference, HoldsBackBeforeItSpills) {
  Snapshot world = Mixed(1, 1, 0);
  world.inference_pools = {Chat(10)};
  InferencePool& pool = world.inference_pools[0];
  pool.spill_after = Seconds{120};
  const Plan plan = MakePlan(world);
  const auto& decision = ServingOf(plan);
  EXPECT_EQ(Mix(decision), "8 gpu@home");
  EXPECT_EQ(decision.capacity_reason, Reason::kHoldingBackSpill);
  EXPECT_THAT(decision.capacity_message, HasSubstr("until 2026-11-24T12:02:00Z"));
  EXPECT_EQ(decision.memory.waiting_since, kNow);
  EXPECT_EQ(plan.next_wake, kNow + Seconds{120});
  pool.memory = decision.memory;
  world.now = kNow + Seconds{120};
  EXPECT_EQ(Mix(Decide(world)), "2 gpu@azure, 8 gpu@home");
}

TEST(Inference, OwesNoSecondHoldBackWhereItRuns) {
  Snapshot world = Mixed(1, 1, 0);
  InferencePool pool = Chat(10);
  pool.spill_after = Seconds{120};
  Runs(world, pool, "gpu", "home", 8, 8, Nodes("home", 1));
  Runs(world, pool, "gpu", "azure", 2, 2, Nodes("azure", 1), 10);
  pool.memory.waiting_since = kNow - Seconds{10};
  pool.replicas = 12;
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "4 gpu@azure, 8 gpu@home");
}

TEST(Inference, DoesNotHoldBackForAHomeThatCouldNeverServe) {
  Snapshot world = Mixed(0, 0, 2);
  InferencePool pool = GpuAndArm(1);
  pool.variants.erase(pool.variants.begin());
  pool.spill_after = Seconds{600};
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "4 arm@arm");
}

struct Refusal {
  std::string name;
  std::function<void(Snapshot&, InferencePool&)> change;
  std::string mix;
  Reason reason;
};

class Refusals : public testing::TestWithParam<Refusal> {};

TEST_P(Refusals, KeepReplicasOutAndSayWhy) {
  Snapshot world = Mixed(1, 1, 0);
  InferencePool pool = Chat(10);
  GetParam().change(world, pool);
  world.inference_pools = {pool};
  const auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), GetParam().mix);
  EXPECT_EQ(decision.capacity_reason, GetParam().reason) << decision.capacity_message;
  EXPECT_FALSE(decision.capacity_met);
}

INSTANTIATE_TEST_SUITE_P(
    Inference, Refusals,
    testing::Values(
        Refusal{"spill_never", [](auto&, auto& pool) { pool.spill_allowed = false; }, "8 gpu@home",
                Reason::kWaitingForCapacity},
        Refusal{"spend", [](auto&, auto& pool) { pool.spill_max_hourly_cost = Dollars("5"); },
                "1 gpu@azure, 8 gpu@home", Reason::kSpendLimitReached},
        Refusal{"most", [](auto&, auto& pool) { pool.variants[0].max_replicas = 3; }, "3 gpu@home",
                Reason::kWaitingForCapacity},
        Refusal{"quota",
                [](auto& world, auto&) {
                  world.quotas = {{.ns = "serving", .limits = {{.type = "a100", .limit = 6}}}};
                },
                "6 gpu@home", Reason::kQuotaExceeded},
        Refusal{"quota_of_others",
                [](auto& world, auto&) {
                  world.quotas = {{.ns = "serving", .limits = {{.type = "a100", .limit = 14}}}};
                  AddRunning(world, "bert", 1, 8, "azure", {"azure-1"}, 10);
                  world.pools.back().key.ns = "serving";
                },
                "6 gpu@home", Reason::kWaitingForQuota},
        Refusal{"namespace_quota",
                [](auto&, auto& pool) {
                  pool.variants[0].template_unchecked = true;
                  pool.variants[0].namespace_quota = "no room for a pod";
                },
                "nothing", Reason::kWaitingForQuota},
        Refusal{"closed",
                [](auto& world, auto&) { GroupOf(world, "azure").admission = Admission::kClosed; },
                "8 gpu@home", Reason::kWaitingForCapacity},
        Refusal{"drain",
                [](auto& world, auto&) { GroupOf(world, "home").admission = Admission::kDrain; },
                "8 gpu@azure", Reason::kWaitingForCapacity},
        Refusal{"provider", [](auto&, auto& pool) { pool.providers = {placement::Provider::kAws}; },
                "nothing", Reason::kNoMatchingNodeGroup},
        Refusal{"arch", [](auto&, auto& pool) { pool.variants[0].arch = "arm64"; }, "nothing",
                Reason::kConstraintsNotMet},
        Refusal{"template",
                [](auto&, auto& pool) { pool.variants[0].template_invalid = "no image"; },
                "nothing", Reason::kTemplateInvalid},
        Refusal{"misconfigured", [](auto&, auto& pool) { pool.misconfigured = "no such class"; },
                "nothing", Reason::kMisconfigured},
        Refusal{"conflict",
                [](auto&, auto& pool) { pool.name_conflict = "Service chat is not ours"; },
                "nothing", Reason::kNameConflict},
        Refusal{"paused", [](auto&, auto& pool) { pool.paused = true; }, "nothing",
                Reason::kPaused}),
    [](const auto& row) { return row.param.name; });

TEST(Inference, KeepsTheLeastOfEachVariant) {
  Snapshot world = Mixed(2, 0, 2);
  InferencePool pool = GpuAndArm(3);
  pool.variants[1].min_replicas = 2;
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "2 arm@arm, 3 gpu@home");
}

TEST(Inference, PricePreferenceLeadsWithPrice) {
  Snapshot world = Mixed(0, 1, 8);
  GroupOf(world, "azure").marginal_per_node_hour = Dollars("80");
  InferencePool pool = GpuAndArm(1);
  pool.preference = placement::Preference::kPrice;
  // 10 an hour for 4 on azure, 2 an hour for 0.5 on arm: 2.5 against 4.
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@azure");
  GroupOf(world, "azure").marginal_per_node_hour = Dollars("160");
  EXPECT_EQ(Mix(Decide(world)), "8 arm@arm");
}

// ---- mixes ----

TEST(Inference, TheCheapestMixIsNotThatOfTheCheapestCell) {
  Snapshot world = Mixed(0, 1, 1);
  GroupOf(world, "azure").marginal_per_node_hour = Dollars("80");
  GroupOf(world, "arm").marginal_per_node_hour = Dollars("12");
  GroupOf(world, "arm").tier = 10;
  InferencePool pool = GpuAndArm(1);
  pool.variants[0].throughput = Dollars("8").micros();  // 10 an hour for 8: 1.25 for each
  pool.variants[1].throughput = Dollars("4").micros();  // 6 an hour for 4: 1.50
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "1 arm@arm");
  world.inference_pools[0].replicas = 2;
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@azure");
  world.inference_pools[0].replicas = 3;
  EXPECT_EQ(Mix(Decide(world)), "1 arm@arm, 1 gpu@azure");
}

TEST(Inference, VariantsOfOneNodeGroupGetWhatFitsOnItsNodesTogether) {
  Snapshot world = Mixed(0, 2, 0);
  InferencePool pool = Chat(0);
  pool.variants.push_back(Serves("wide", "a100", 4, "18"));
  pool.unit = Dollars("2").micros();
  pool.replicas =
      18;  // 36: two nodes of 8 have room for 16 × 4, for 4 × 18, or for 8 × 4 and 2 × 18
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "2 wide@azure");
  // Three accelerators are left on each of two nodes: none of the wide ones fits.
  Use(world, "azure-1", 5);
  Use(world, "azure-2", 5);
  const auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "6 gpu@azure");
  EXPECT_EQ(decision.capacity_reason, Reason::kWaitingForCapacity);
}

TEST(Inference, AnotherVariantServesWhatIsMissingOnTheSameNodes) {
  Snapshot world = Mixed(0, 2, 0);
  InferencePool pool = Chat(10);
  pool.variants.push_back(Serves("wide", "a100", 4, "18"));
  Runs(world, pool, "wide", "azure", 2, 2, Nodes("azure", 2), 10);
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@azure, 2 wide@azure");
}

TEST(Inference, LimitsHoldForAllCellsOfAMixTogether) {
  Snapshot world = Mixed(1, 1, 16);
  world.inference_pools = {Chat(12)};
  world.inference_pools[0].variants[0].max_replicas = 9;
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@azure, 8 gpu@home");
  world.inference_pools = {Chat(12)};
  world.quotas = {{.ns = "serving", .limits = {{.type = "a100", .limit = 10}}}};
  EXPECT_EQ(Mix(Decide(world)), "2 gpu@azure, 8 gpu@home");
  world.quotas.clear();
  world.inference_pools = {GpuAndArm(18)};
  world.inference_pools[0].spill_max_hourly_cost = Dollars("40");
  // 8 on azure are 32 an hour; what is left pays for 4 of arm.
  EXPECT_EQ(Mix(Decide(world)), "4 arm@arm, 8 gpu@azure, 8 gpu@home");
  world.quotas = {{.ns = "serving", .limits = {}, .max_hourly_cost = Dollars("36")}};
  EXPECT_EQ(Mix(Decide(world)), "2 arm@arm, 8 gpu@azure, 8 gpu@home");
  world.quotas[0].max_hourly_cost = Dollars("1000");
  EXPECT_EQ(Mix(Decide(world)), "4 arm@arm, 8 gpu@azure, 8 gpu@home") << "its own limit";
  world.inference_pools[0].spill_max_hourly_cost.reset();
  world.quotas[0].max_hourly_cost = Dollars("40");
  EXPECT_EQ(Mix(Decide(world)), "4 arm@arm, 8 gpu@azure, 8 gpu@home");
}

TEST(Inference, TooMuchGoesDownToTheLeastOfEachVariant) {
  Snapshot world = Mixed(1, 0, 4);
  InferencePool pool = GpuAndArm(1);
  pool.variants[1].min_replicas = 2;
  Runs(world, pool, "gpu", "home", 3, 3, Nodes("home", 1));
  Runs(world, pool, "arm", "arm", 4, 4, Nodes("arm", 4), 20);
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "2 arm@arm, 1 gpu@home");
}

TEST(Inference, WhatIsMissingIsAddedAndNothingMovedAtOnce) {
  Snapshot world = Mixed(1, 0, 2);
  InferencePool pool = GpuAndArm(2);
  Runs(world, pool, "arm", "arm", 2, 2, Nodes("arm", 1), 20);
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "2 arm@arm, 2 gpu@home");  // 7 of 8 are missing
}

TEST(Inference, GoesWhereItIsCheaperWhenItHasBeenSoForLongEnough) {
  Snapshot world = Mixed(0, 1, 0);
  world.groups.push_back(Group("aws", 10));
  GroupOf(world, "aws").marginal_per_node_hour = Dollars("24");
  AddNodes(world, "aws", 1);
  InferencePool pool = Chat(3);
  Runs(world, pool, "gpu", "azure", 3, 3, Nodes("azure", 1), 10);
  pool.memory.waiting_since = kNow - Seconds{900};
  world.inference_pools = {pool};
  auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "3 gpu@azure");
  EXPECT_EQ(decision.memory.home_fits_since, kNow);
  ASSERT_EQ(decision.rejected.size(), 1U);
  EXPECT_EQ(decision.rejected[0].mix, "3 gpu@aws");
  EXPECT_EQ(decision.rejected[0].cost, Dollars("9"));
  EXPECT_THAT(decision.rejected[0].why, HasSubstr("is taken at 2026-11-24T12:05:00Z"));
  world.inference_pools[0].memory = decision.memory;
  world.now = kNow + Seconds{300};
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@aws, 3 gpu@azure");
  GroupOf(world, "aws").marginal_per_node_hour = Dollars("31");
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure");  // 0.375 an hour do not pay for 0.96875
  world.inference_pools[0].return_payback = Seconds{36000};
  decision = Decide(world);
  EXPECT_EQ(Mix(decision), "3 gpu@azure");
  EXPECT_FALSE(decision.memory.home_fits_since.has_value());
  ASSERT_EQ(decision.rejected.size(), 1U);
  EXPECT_EQ(decision.rejected[0].why,
            "it saves 0.375 of 12.00 USD an hour, and returnHome.minSavingsPercent is 5");
}

TEST(Inference, AMoveAboveHomeTakesNoMoreThanItsNamespaceHasLeft) {
  Snapshot world = Mixed(0, 1, 0);
  world.groups.push_back(Group("aws", 10));
  GroupOf(world, "aws").marginal_per_node_hour = Dollars("24");
  AddNodes(world, "aws", 1);
  InferencePool pool = Chat(3);
  Runs(world, pool, "gpu", "azure", 3, 3, Nodes("azure", 1), 10);
  pool.memory.waiting_since = kNow - Seconds{900};
  pool.memory.home_fits_since = kNow - Seconds{300};
  world.inference_pools = {pool};
  world.quotas = {{.ns = "serving", .limits = {}}};
  placement::Quota& quota = world.quotas[0];
  // They cost 12 an hour; on aws one costs 3.
  quota.max_hourly_cost = Dollars("21");
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@aws, 3 gpu@azure");
  quota.max_hourly_cost = Dollars("20.99");
  EXPECT_EQ(Mix(Decide(world)), "2 gpu@aws, 3 gpu@azure");
  quota.max_hourly_cost = Dollars("14.99");
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure");
  quota.max_hourly_cost = Dollars("11");  // more is spent than may be
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure");
  quota.max_hourly_cost.reset();
  quota.budget = {Dollars("100"), placement::BudgetPeriod::kMonth};
  quota.memory = {Dollars("99"), Money(), kNow - Seconds{60}, At("2026-11-01T00:00:00Z")};
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@aws, 3 gpu@azure");
  quota.memory->spent = Dollars("100");
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure");
}

TEST(Inference, WhatRunsBesideItDoesNotMakeAMoveLookDear) {
  // Two of three have moved already, and what they replace is not gone yet.
  Snapshot world = Mixed(1, 1, 0);
  InferencePool pool = Chat(3);
  Runs(world, pool, "gpu", "home", 2, 0, {"home-1"});
  Runs(world, pool, "gpu", "azure", 3, 3, Nodes("azure", 1), 10);
  pool.memory.waiting_since = kNow - Seconds{900};
  pool.memory.home_fits_since = kNow - Seconds{300};
  GroupOf(world, "home").marginal_per_node_hour = Dollars("16");
  pool.return_min_savings_percent = 25;  // of the 8 that 2 at home and 1 on azure cost: 2
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure, 3 gpu@home");
}

TEST(Inference, TheNextBestMixesAreTold) {
  Snapshot world = Mixed(1, 1, 20);
  world.inference_pools = {GpuAndArm(11)};
  const auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "3 gpu@azure, 8 gpu@home");
  ASSERT_EQ(decision.rejected.size(), 2U);
  EXPECT_EQ(decision.rejected[0].mix, "8 gpu@home and 24 arm@arm");
  EXPECT_EQ(decision.rejected[0].cost, Dollars("48"));
  EXPECT_EQ(decision.rejected[0].why, "it serves more in farther tiers");
  world.inference_pools = {Chat(11)};
  EXPECT_EQ(Decide(world).rejected[0].why, "it serves 12 less than is needed");
  world.inference_pools = {Chat(8)};
  EXPECT_EQ(Decide(world).rejected[0].mix, "8 gpu@azure");
}

TEST(Inference, AMixThatIsNotReckonedExactlySaysSo) {
  Snapshot world = Mixed(1, 0, 10);
  InferencePool pool = GpuAndArm(10);
  world.inference_pools = {pool};
  EXPECT_THAT(Decide(world).capacity_message, testing::Not(HasSubstr("steps")));
  world.inference_pools[0].variants[1].throughput = 500'001;
  EXPECT_THAT(Decide(world).capacity_message, HasSubstr("the mix is reckoned in steps of 0.002"));
}

// ---- uniform routing ----

TEST(Inference, UniformRoutingUsesOneVariant) {
  Snapshot world = Mixed(1, 0, 60);
  InferencePool pool = GpuAndArm(10);
  pool.routing = Routing::kUniform;
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "80 arm@arm");
  world.inference_pools[0].replicas = 8;
  EXPECT_EQ(Mix(Decide(world)), "8 gpu@home");
}

// Another variant would serve all, but where it would somebody else goes first.
TEST(Inference, UniformRoutingKeepsWhatStartsUntilAnotherVariantHasItsRoom) {
  Snapshot world = Mixed(1, 1, 0);
  GroupOf(world, "azure").accelerator = "h100";
  GroupOf(world, "azure").tier = 0;
  InferencePool pool = Chat(6);
  pool.variants.push_back(Serves("fast", "h100", 1, "4"));
  pool.routing = Routing::kUniform;
  Runs(world, pool, "gpu", "home", 4, 2, {"home-1"});
  Use(world, "home-1", 4);  // no room for two more
  world.inference_pools = {pool};
  TrainingPool first = Wants("first", 1);
  first.accelerators[0].type = "h100";
  first.priority = 100;
  world.pools = {first};
  for (const Admission home : {Admission::kOpen, Admission::kClosed}) {
    GroupOf(world, "home").admission = home;
    const Plan plan = MakePlan(world);
    EXPECT_EQ(Brief(plan), (std::vector<std::string>{"first@azure[azure-1]#1"}));
    EXPECT_EQ(Mix(ServingOf(plan)), "4 gpu@home");
  }
}

TEST(Inference, UniformRoutingDoesNotSwingBetweenVariantsThatNobodyNeeds) {
  Snapshot world = Mixed(1, 0, 2);
  InferencePool pool = GpuAndArm(0);
  pool.routing = Routing::kUniform;
  pool.variants[0].min_replicas = 1;  // if it is used at all
  pool.spill_allowed = false;
  GroupOf(world, "home").marginal_per_node_hour = Dollars("0");
  world.inference_pools = {pool};
  for (int pass = 0; pass < 5; ++pass) {
    const Plan plan = MakePlan(world);
    EXPECT_EQ(Mix(ServingOf(plan)), "nothing") << pass;
    world = Applied(world, plan);
    world.now += Seconds{300};
  }
}

TEST(Inference, UniformRoutingIsAsSlowAsTheSlowest) {
  Snapshot world = Mixed(1, 0, 4);
  InferencePool pool = GpuAndArm(4);
  pool.routing = Routing::kUniform;
  Runs(world, pool, "gpu", "home", 4, 4, Nodes("home", 1));
  Runs(world, pool, "arm", "arm", 2, 2, Nodes("arm", 2), 20);
  world.inference_pools = {pool};
  const auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "4 gpu@home");  // the others go: gpu alone meets the need
}

TEST(Inference, UniformRoutingMissesEachReplicaWhileSlowerOnesCannotGo) {
  Snapshot world = Mixed(1, 0, 4);
  InferencePool pool = GpuAndArm(2);
  pool.routing = Routing::kUniform;
  Runs(world, pool, "gpu", "home", 3, 3, Nodes("home", 1));
  Runs(world, pool, "arm", "arm", 2, 2, Nodes("arm", 1), 20);
  for (const char* node : {"arm-2", "arm-3", "arm-4"}) {  // the link to the group is in doubt
    NodeOf(world, node).ready = false;
    NodeOf(world, node).not_ready_since = kNow - Seconds{60};
  }
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "2 arm@arm, 3 gpu@home");  // serves 2.5, and 2 with one less
}

TEST(Inference, UniformRoutingChangesToACheaperVariantWhenItHasBeenSoForLongEnough) {
  Snapshot world = Mixed(0, 1, 8);
  GroupOf(world, "azure").marginal_per_node_hour = Dollars("160");
  InferencePool pool = GpuAndArm(1);
  pool.preference = placement::Preference::kPrice;
  pool.routing = Routing::kUniform;
  Runs(world, pool, "gpu", "azure", 1, 1, Nodes("azure", 1), 10);
  pool.memory.waiting_since = kNow - Seconds{900};
  world.inference_pools = {pool};
  auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "1 gpu@azure");  // 20 an hour; 8 of arm are 16
  EXPECT_EQ(decision.rejected.at(0).mix, "8 arm@arm");
  EXPECT_EQ(decision.memory.home_fits_since, kNow);
  world.inference_pools[0].memory = decision.memory;
  world.now = kNow + Seconds{300};
  EXPECT_EQ(Mix(Decide(world)), "8 arm@arm, 1 gpu@azure");
  world.inference_pools[0].return_allowed = false;
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@azure");
  world.inference_pools[0].return_allowed = true;
  world.inference_pools[0].return_min_savings_percent = 21;
  decision = Decide(world);
  EXPECT_EQ(Mix(decision), "1 gpu@azure");
  EXPECT_FALSE(decision.memory.home_fits_since.has_value());
}

// ---- scaling ----

TEST(Inference, TheDearestReplicaGoesFirst) {
  Snapshot world = Mixed(1, 1, 0);
  InferencePool pool = Chat(10);
  Runs(world, pool, "gpu", "home", 8, 8, Nodes("home", 1));
  Runs(world, pool, "gpu", "azure", 2, 2, Nodes("azure", 1), 10);
  pool.memory.waiting_since = kNow;
  pool.replicas = 9;
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@azure, 8 gpu@home");
  world.inference_pools[0].replicas = 5;
  EXPECT_EQ(Mix(Decide(world)), "5 gpu@home");
  world.inference_pools[0].replicas = 0;
  EXPECT_EQ(Mix(Decide(world)), "nothing");
}

TEST(Inference, WhatIsReadyIsKeptUntilEnoughIsReady) {
  Snapshot world = Mixed(1, 1, 0);
  InferencePool pool = Chat(4);
  Runs(world, pool, "gpu", "home", 4, 3, Nodes("home", 1));
  Runs(world, pool, "gpu", "azure", 2, 2, Nodes("azure", 1), 10);
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@azure, 4 gpu@home");  // 3 + 1 are ready
}

// ---- going home ----

InferencePool Away(Snapshot& world, int on_azure, int ready_at_home = 0) {
  InferencePool pool = Chat(on_azure + ready_at_home);
  if (ready_at_home > 0) Runs(world, pool, "gpu", "home", ready_at_home, ready_at_home, {"home-1"});
  Runs(world, pool, "gpu", "azure", on_azure, on_azure, Nodes("azure", 1), 10);
  pool.memory.waiting_since = kNow - Seconds{900};
  return pool;
}

TEST(Inference, GoesHomeOnlyWhenHomeHasFitForLongEnough) {
  Snapshot world = Mixed(1, 1, 0);
  world.inference_pools = {Away(world, 3)};
  InferencePool& pool = world.inference_pools[0];
  auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "3 gpu@azure");
  EXPECT_EQ(decision.memory.home_fits_since, kNow);
  EXPECT_EQ(MakePlan(world).next_wake, kNow + Seconds{300});
  pool.memory = decision.memory;
  world.now = kNow + Seconds{300};
  decision = Decide(world);
  EXPECT_EQ(Mix(decision), "3 gpu@azure, 3 gpu@home");  // added before others are taken away
}

// Each time in 24 hours but the first that its replicas gave way doubles the wait.
TEST(Inference, GoesHomeEverMoreRarelyWhereItHasToLeaveAgain) {
  struct Case {
    std::vector<Seconds> ago;  // it gave way
    int after;
    int waits;
  };
  const std::vector<Case> cases = {
      {{Seconds{100}}, 300, 300},
      {{Seconds{900}, Seconds{100}}, 300, 600},
      {{Seconds{900}, Seconds{900}, Seconds{100}}, 300, 600},  // two cells at once
      {{Seconds{86400}, Seconds{100}}, 300, 300},              // a day is over
      {{Seconds{2000}, Seconds{900}, Seconds{100}}, 300, 1200},
      {{Seconds{2000}, Seconds{900}, Seconds{100}}, 0, 240},
  };
  for (const Case& c : cases) {
    Snapshot world = Mixed(1, 1, 0);
    world.inference_pools = {Away(world, 3)};
    InferencePool& pool = world.inference_pools[0];
    pool.return_after = Seconds{c.after};
    for (const Seconds ago : c.ago) pool.memory.evictions.push_back({kNow - ago, "gave way"});
    pool.memory.home_fits_since = kNow - Seconds{c.waits - 1};
    EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure") << c.waits;
    pool.memory.home_fits_since = kNow - Seconds{c.waits};
    EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure, 3 gpu@home") << c.waits;
  }
}

TEST(Inference, NeverWaitsLongerThanADayToGoHome) {
  Snapshot world = Mixed(1, 1, 0);
  world.inference_pools = {Away(world, 3)};
  InferencePool& pool = world.inference_pools[0];
  for (int i = 20; i > 0; --i) pool.memory.evictions.push_back({kNow - Seconds{i}, "gave way"});
  pool.memory.home_fits_since = kNow - Seconds{86399};
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure");
  pool.memory.home_fits_since = kNow - Seconds{86400};
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure, 3 gpu@home");
}

TEST(Inference, SaysWhyItWaitsLonger) {
  Snapshot world = Mixed(1, 1, 0);
  world.inference_pools = {Away(world, 3)};
  InferencePool& pool = world.inference_pools[0];
  pool.memory.evictions = {{kNow - Seconds{86000}, "gave way"}, {kNow - Seconds{100}, "gave way"}};
  pool.memory.home_fits_since = kNow - Seconds{100};
  EXPECT_EQ(
      Decide(world).rejected.at(0).why,
      "it is better, and is taken at 2026-11-24T12:08:20Z if it still is, after 600 s instead "
      "of 300: its replicas gave way 2 times in 24 hours");
  EXPECT_EQ(MakePlan(world).next_wake, kNow + Seconds{400}) << "when a day is over since the first";
  world.now = kNow + Seconds{400};
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure, 3 gpu@home");
}

TEST(Inference, WhatHomeServesIsTakenAwayElsewhere) {
  Snapshot world = Mixed(1, 1, 0);
  InferencePool pool = Chat(3);
  Runs(world, pool, "gpu", "azure", 3, 3, Nodes("azure", 1), 10);
  Runs(world, pool, "gpu", "home", 3, 2, {"home-1"});
  pool.memory.waiting_since = kNow - Seconds{900};
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@azure, 3 gpu@home");
}

TEST(Inference, HomeThatDoesNotFitLongEnoughStartsAnew) {
  Snapshot world = Mixed(1, 1, 0);
  world.inference_pools = {Away(world, 3)};
  world.inference_pools[0].memory.home_fits_since = kNow - Seconds{200};
  Use(world, "home-1", 8);
  EXPECT_FALSE(Decide(world).memory.home_fits_since.has_value());
}

TEST(Inference, GoesHomeInPartWhereHomeHasRoomForSome) {
  Snapshot world = Mixed(1, 1, 0);
  world.inference_pools = {Away(world, 3)};
  world.inference_pools[0].memory.home_fits_since = kNow - Seconds{300};
  Use(world, "home-1", 6);
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure, 2 gpu@home");
}

TEST(Inference, StaysWhereTheMoveIsNotWorthIt) {
  Snapshot world = Mixed(1, 1, 0);
  world.inference_pools = {Away(world, 3)};
  InferencePool& pool = world.inference_pools[0];
  pool.memory.home_fits_since = kNow - Seconds{300};
  pool.return_allowed = false;
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure");
  pool.return_allowed = true;
  GroupOf(world, "home").marginal_per_node_hour = Dollars("31");  // of 32: 3 % less
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure");
  pool.return_min_savings_percent = 3;
  pool.return_payback = Seconds{60};
  // 3/8 an hour against 5 minutes of 3 × 31/8.
  const auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "3 gpu@azure");
  EXPECT_EQ(decision.rejected.at(0).why,
            "it saves 0.375 USD an hour, and the 0.96875 that both cost while it starts are not "
            "saved within returnHome.paybackSeconds 60");
  pool.return_payback = Seconds{36000};
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure, 3 gpu@home");
}

TEST(Inference, AMoveCountsOnceAgainstLimits) {
  Snapshot world = Mixed(1, 1, 0);
  world.inference_pools = {Away(world, 3)};
  world.inference_pools[0].memory.home_fits_since = kNow - Seconds{300};
  world.inference_pools[0].variants[0].max_replicas = 3;
  world.quotas = {{.ns = "serving", .limits = {{.type = "a100", .limit = 3}}}};
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure, 3 gpu@home");
}

TEST(Inference, ALimitThatIsReachedDoesNotLetItSpill) {
  Snapshot world = Mixed(1, 1, 0);
  InferencePool pool = Chat(3);
  pool.spill_allowed = false;
  Runs(world, pool, "gpu", "home", 3, 3, {"home-1"});
  world.inference_pools = {pool};
  GroupOf(world, "home").admission = Admission::kDrain;
  world.quotas = {{.ns = "serving", .limits = {{.type = "a100", .limit = 3}}}};
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@home");
}

// ---- drain, edits ----

TEST(Inference, ADrainedGroupIsLeftBySurge) {
  Snapshot world = Mixed(1, 1, 0);
  InferencePool pool = Chat(3);
  Runs(world, pool, "gpu", "home", 3, 3, {"home-1"});
  world.inference_pools = {pool};
  GroupOf(world, "home").admission = Admission::kDrain;
  auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "3 gpu@azure, 3 gpu@home");
  EXPECT_THAT(decision.ready_message, HasSubstr("3 of gpu@home leave"));
  world.inference_pools[0] = Chat(3);
  Runs(world, world.inference_pools[0], "gpu", "home", 3, 3, {"home-1"});
  Runs(world, world.inference_pools[0], "gpu", "azure", 3, 2, Nodes("azure", 1), 10);
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure, 1 gpu@home");
}

TEST(Inference, AVariantThatIsNoLongerAskedForGoesWhenOthersServe) {
  Snapshot world = Mixed(1, 0, 4);
  InferencePool pool = GpuAndArm(1);
  Runs(world, pool, "arm", "arm", 8, 8, Nodes("arm", 4), 20);
  pool.variants.pop_back();
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "8 arm@arm, 1 gpu@home");
  Runs(world, world.inference_pools[0], "gpu", "home", 1, 1, {"home-1"});
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@home");
}

TEST(Inference, WhatRunsStaysWhenItsNodeGroupIsGone) {
  Snapshot world = Mixed(1, 0, 0);
  InferencePool pool = Chat(3);
  Runs(world, pool, "gpu", "home", 3, 3, {"home-1"});
  world.inference_pools = {pool};
  world.groups.erase(world.groups.begin());
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@home");
}

// ---- start deadlines ----

TEST(Inference, AReplicaThatDoesNotStartInTimeGoesElsewhereAndItsCellIsBlocked) {
  Snapshot world = Mixed(1, 1, 0);
  InferencePool pool = Chat(3);
  Runs(world, pool, "gpu", "home", 3, 1, {"home-1"});
  world.inference_pools = {pool};
  world.now = kNow - Seconds{60} + Seconds{900 + 300 - 1};
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@home");
  EXPECT_EQ(MakePlan(world).next_wake, world.now + Seconds{1});
  world.now += Seconds{1};
  const auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "2 gpu@azure, 1 gpu@home");
  const auto& cell = decision.memory.cells.back();
  EXPECT_EQ(cell.node_group, "home");
  EXPECT_EQ(cell.blocked_until, world.now + Seconds{300});
  EXPECT_EQ(cell.misses, 1);
}

TEST(Inference, ABlockedCellComesBackAndIsBlockedForLonger) {
  Snapshot world = Mixed(1, 1, 0);
  InferencePool pool = Chat(1);
  pool.memory.units = 1;
  pool.memory.requested = 1;
  pool.memory.cells = {{.variant = "gpu",
                        .node_group = "home",
                        .tier = 0,
                        .desired = 0,
                        .pending_since = {},
                        .blocked_until = kNow,
                        .misses = 3,
                        .revision = "v1"}};
  world.inference_pools = {pool};
  world.now = kNow - Seconds{1};
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@azure");
  world.now = kNow;
  const auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "1 gpu@home");
  EXPECT_EQ(decision.memory.cells.front().misses, 3);
}

// One replica of it has run all the time.
// Which nodes are usable comes before what room there is on them: one lack, one clause.
TEST(Inference, WhatIsMissingIsSaidOnce) {
  Snapshot world = Fleet(1, 2);
  world.inference_pools = {Chat(12)};
  for (const char* name : {"azure-1", "azure-2"}) NodeOf(world, name).cordoned = true;
  const InferenceDecision decision = MakePlan(world).inference_pools.front();
  EXPECT_THAT(decision.remedies,
              testing::Contains("gpu@azure: make its nodes usable: azure-1 is cordoned and azure-2 "
                                "is cordoned"));
  EXPECT_THAT(decision.remedies, testing::Contains("gpu@home: room for 4 more replicas of 1 a100"));
}

// Of the API server's clock, by which a pod was made, half a minute is forgiven.
TEST(Inference, ABlockedCellWorksOnceSomethingNewHasStartedThere) {
  for (const int before : {31, 30, 0}) {
    const bool starts = before <= 30;
    Snapshot world = Mixed(1, 0, 0);
    InferencePool pool = Chat(3);
    Runs(world, pool, "gpu", "home", 1, 1, {"home-1"});
    pool.memory.cells.front().blocked_until = kNow;
    pool.memory.cells.front().misses = 2;
    pool.live.front().since = kNow - Seconds{before};
    world.inference_pools = {pool};
    const auto decision = Decide(world);
    EXPECT_EQ(Mix(decision), "3 gpu@home") << "it is tried again";
    EXPECT_EQ(decision.memory.cells.front().misses, starts ? 0 : 2);
    EXPECT_EQ(decision.memory.cells.front().blocked_until.has_value(), !starts);
  }
}

TEST(Inference, AnotherTemplateIsTriedAtOnce) {
  Snapshot world = Mixed(1, 0, 0);
  InferencePool pool = Chat(1);
  pool.memory.units = 1;
  pool.memory.requested = 1;
  pool.memory.cells = {{.variant = "gpu",
                        .node_group = "home",
                        .tier = 0,
                        .desired = 0,
                        .pending_since = {},
                        .blocked_until = kNow + Seconds{500},
                        .misses = 1,
                        .revision = "v0"}};
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@home");
}

TEST(Inference, ReplicasWhoseNodesAreGoneAreNotWaitedFor) {
  Snapshot world = Mixed(2, 1, 0);
  InferencePool pool = Chat(16);
  Runs(world, pool, "gpu", "home", 16, 16, Nodes("home", 2));
  std::erase_if(world.nodes, [](const auto& node) { return node.id.name == "home-2"; });
  for (auto& replica : pool.live) replica.ready = replica.node == "home-1";
  world.inference_pools = {pool};
  const auto decision = Decide(world);
  EXPECT_EQ(decision.force_delete.size(), 8U);
  // The Deployment makes new pods for those that are gone; home has no room for them.
  std::erase_if(world.inference_pools[0].live,
                [](const auto& replica) { return replica.node == "home-2"; });
  EXPECT_EQ(Mix(Decide(world)), "8 gpu@azure, 8 gpu@home");
}

TEST(Inference, ReplicasOnNodesThatAreAwayTakeNoRoomElsewhere) {
  Snapshot world = Mixed(2, 0, 0);
  InferencePool pool = Chat(11);
  Runs(world, pool, "gpu", "home", 3, 0, {"home-2"});
  NodeOf(world, "home-2").ready = false;
  NodeOf(world, "home-2").not_ready_since = kNow - Seconds{10};
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "11 gpu@home");
}

// ---- links ----

TEST(Inference, BehindASuspectLinkNothingIsRemovedAndOthersAreAdded) {
  Snapshot world = Mixed(4, 1, 0);
  InferencePool pool = Chat(4);
  Runs(world, pool, "gpu", "home", 4, 1, Nodes("home", 4));
  for (int i = 2; i <= 4; ++i) {
    auto& node = NodeOf(world, "home-" + std::to_string(i));
    node.ready = false;
    node.not_ready_since = kNow - Seconds{3600};
  }
  world.inference_pools = {pool};
  auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "3 gpu@azure, 4 gpu@home");
  EXPECT_TRUE(decision.evict.empty());
  world.inference_pools[0].replicas = 1;
  EXPECT_EQ(Mix(Decide(world)), "4 gpu@home");
}

TEST(Inference, APodOnANodeThatIsAwayForTooLongIsEvicted) {
  Snapshot world = Mixed(4, 0, 0);
  InferencePool pool = Chat(4);
  Runs(world, pool, "gpu", "home", 4, 3, Nodes("home", 4));
  auto& node = NodeOf(world, "home-4");
  node.ready = false;
  node.not_ready_since = kNow - Seconds{299};
  world.inference_pools = {pool};
  EXPECT_TRUE(Decide(world).evict.empty());
  world.now = kNow + Seconds{1};
  EXPECT_EQ(Decide(world).evict, std::vector<std::string>{"chat-gpu-home-3"});
}

TEST(Inference, ANodeThatComesBackLastAfterItsLinkIsWaitedFor) {
  Snapshot world = Mixed(4, 0, 0);
  InferencePool pool = Chat(4);
  Runs(world, pool, "gpu", "home", 4, 3, Nodes("home", 4));
  NodeOf(world, "home-4").ready = false;
  NodeOf(world, "home-4").not_ready_since = kNow - Seconds{5000};
  GroupOf(world, "home").link_healthy_since = kNow - Seconds{299};
  world.inference_pools = {pool};
  const placement::Plan plan = MakePlan(world);
  EXPECT_TRUE(ServingOf(plan).evict.empty());
  EXPECT_EQ(plan.next_wake, kNow + Seconds{1});
  world.now = kNow + Seconds{1};
  EXPECT_EQ(Decide(world).evict, std::vector<std::string>{"chat-gpu-home-3"});
}

// ---- templates ----

Snapshot Changed(int desired, int free, int ready, int max_unavailable = 1) {
  Snapshot world = Mixed(1, 0, 0);
  InferencePool pool = Chat(desired);
  pool.max_unavailable = max_unavailable;
  Runs(world, pool, "gpu", "home", desired, ready, {"home-1"});
  pool.variants[0].revision = "v2";
  Use(world, "home-1", 8 - desired - free);
  world.inference_pools = {pool};
  return world;
}

TEST(Inference, AnotherTemplateSurgesWhereThereIsRoom) {
  const auto decision = Decide(Changed(4, 2, 4));
  EXPECT_TRUE(decision.cells[0].roll);
  EXPECT_EQ(decision.cells[0].surge, 1);  // a quarter
  EXPECT_EQ(decision.cells[0].unavailable, 0);
  EXPECT_EQ(decision.ready_reason, Reason::kPodsNotReady);
  EXPECT_EQ(Mix(decision), "4 gpu@home");
}

TEST(Inference, WithoutRoomOneGoesDownFirst) {
  const auto decision = Decide(Changed(4, 0, 4));
  EXPECT_TRUE(decision.cells[0].roll);
  EXPECT_EQ(decision.cells[0].surge, 0);
  EXPECT_EQ(decision.cells[0].unavailable, 1);
  EXPECT_EQ(decision.ready_reason, Reason::kWaitingForSurge);
}

TEST(Inference, ADeploymentThatIsToHaveNoReplicasKeepsNoRoomToSurge) {
  Snapshot world = Mixed(1, 0, 0);
  InferencePool over = Chat(0, "over");
  Runs(world, over, "gpu", "home", 1, 0, {"home-1"});
  over.cells[0].rolling = true;
  over.live.clear();
  NodeOf(world, "home-1").used = {};
  world.inference_pools = {Chat(8), over};
  EXPECT_EQ(Mix(Decide(world)), "8 gpu@home");
}

TEST(Inference, NoMoreGoDownThanTheDisruptionAllows) {
  Snapshot world = Changed(4, 0, 4, 2);
  EXPECT_EQ(Decide(world).cells[0].unavailable, 2);
  // What is down in another cell counts.
  Snapshot both = Mixed(1, 1, 0);
  InferencePool pool = Chat(16);
  Runs(both, pool, "gpu", "home", 8, 8, {"home-1"});
  Runs(both, pool, "gpu", "azure", 8, 7, Nodes("azure", 1), 10);
  pool.variants[0].revision = "v2";
  both.inference_pools = {pool};
  const auto decision = Decide(both);
  EXPECT_TRUE(decision.cells[0].roll);  // azure: its own is the one that is down
  EXPECT_FALSE(decision.cells[1].roll);
}

TEST(Inference, ARolloutThatHasNoRoomAnyMoreGoesOnDownFirst) {
  Snapshot world = Changed(4, 0, 4);
  InferencePool& pool = world.inference_pools[0];
  pool.cells[0].revision = "v2";
  pool.cells[0].rolling = true;
  pool.live.push_back(pool.live[0]);
  pool.live.back().pod = "new";
  pool.live.back().node.clear();
  pool.live.back().ready = false;
  const auto decision = Decide(world);
  EXPECT_EQ(decision.cells[0].surge, 0);
  EXPECT_EQ(decision.cells[0].unavailable, 1);
}

TEST(Inference, ATemplateThatIsNotJudgedYetChangesNothing) {
  Snapshot world = Changed(4, 2, 4);
  world.inference_pools[0].variants[0].template_unchecked = true;
  EXPECT_FALSE(Decide(world).cells[0].roll);
  world.inference_pools[0].variants[0].template_unchecked = false;
  world.inference_pools[0].variants[0].template_invalid = "no image";
  const auto decision = Decide(world);
  EXPECT_FALSE(decision.cells[0].roll);
  EXPECT_EQ(decision.ready_reason, Reason::kTemplateInvalid);
  EXPECT_TRUE(decision.capacity_met);
}

TEST(Inference, AStuckRolloutIsTold) {
  Snapshot world = Changed(4, 2, 4);
  world.inference_pools[0].cells[0].revision = "v2";
  world.inference_pools[0].cells[0].rolling = true;
  world.inference_pools[0].cells[0].stuck = true;
  const auto decision = Decide(world);
  EXPECT_THAT(decision.ready_message, HasSubstr("gpu@home, which makes no progress"));
  EXPECT_FALSE(decision.ready);
}

// ---- paused, erased ----

TEST(Inference, PausedKeepsAllAsItIs) {
  Snapshot world = Mixed(1, 1, 0);
  InferencePool pool = Chat(3);
  Runs(world, pool, "gpu", "home", 3, 3, {"home-1"});
  pool.replicas = 9;
  pool.paused = true;
  world.inference_pools = {pool};
  const auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "3 gpu@home");
  EXPECT_EQ(decision.ready_reason, Reason::kPaused);
  EXPECT_TRUE(decision.ready);
}

TEST(Inference, AnErasedStatusIsRebuiltFromTheDeployments) {
  Snapshot world = Mixed(1, 1, 0);
  InferencePool pool = Chat(3);
  Runs(world, pool, "gpu", "azure", 3, 3, Nodes("azure", 1), 10);
  pool.memory = {};
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "3 gpu@azure");
}

// ---- beside gangs ----

TEST(Inference, TheEarlierKeyGetsTheRoom) {
  Snapshot world = Mixed(1, 0, 0);
  world.pools = {Wants("gang", 1, 8)};
  world.inference_pools = {Chat(1)};
  world.inference_pools[0].priority = 1;
  Plan plan = MakePlan(world);
  EXPECT_EQ(Mix(ServingOf(plan)), "1 gpu@home");
  EXPECT_FALSE(DecisionOf(plan, "gang").placed);
  world.pools[0].priority = 2;
  plan = MakePlan(world);
  EXPECT_EQ(Mix(ServingOf(plan)), "nothing");
  EXPECT_TRUE(DecisionOf(plan, "gang").placed);
}

TEST(Inference, ReplicasWaitWhileAGangIsStarting) {
  Snapshot world = Mixed(2, 0, 0);
  world.pools = {Has("gang", 1, 8, "home", {"home-1"})};
  world.inference_pools = {Chat(1)};
  const auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "nothing");
  EXPECT_THAT(decision.capacity_message,
              HasSubstr("home-1 is promised to others that are starting"));
  AddWorkers(world, world.pools[0]);
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@home");
}

// A rollout that goes on may make a pod more, which could be bound where the gang starts.
TEST(Inference, WhereAGangIsStartingTheSurgeCountsOfAPoolThatHasNoReplicasYet) {
  Snapshot world = Mixed(2, 0, 0);
  world.pools = {Has("gang", 1, 7, "home", {"home-1"})};
  InferencePool pool = Chat(1);
  Runs(world, pool, "gpu", "home", 0, 0, {});
  pool.cells[0].surge = 1;
  world.inference_pools = {pool};
  EXPECT_EQ(Mix(Decide(world)), "1 gpu@home");
  world.inference_pools[0].cells[0].rolling = true;
  const auto decision = Decide(world);
  EXPECT_EQ(Mix(decision), "nothing");
  EXPECT_THAT(decision.capacity_message,
              HasSubstr("home-1 is promised to others that are starting"));
}

// Two replicas at home, one of which is not bound yet.
Snapshot OneOnItsWay() {
  Snapshot world = Mixed(1, 0, 0);
  InferencePool pool = Chat(2);
  Runs(world, pool, "gpu", "home", 2, 2, {"home-1"});
  pool.live[1].node.clear();
  pool.live[1].ready = false;
  NodeOf(world, "home-1").used.Subtract(pool.live[1].requests);
  world.inference_pools = {pool};
  return world;
}

TEST(Inference, GangsDoNotTakeWhatReplicasHaveNotReachedYet) {
  Snapshot world = OneOnItsWay();
  world.pools = {Wants("gang", 1, 7)};
  EXPECT_FALSE(DecisionOf(MakePlan(world), "gang").placed);
  world.pools = {Wants("gang", 1, 6)};
  EXPECT_TRUE(DecisionOf(MakePlan(world), "gang").placed);
}

// What replicas give up is there for gangs that come before them, room that was kept for those on
// their way and quota alike.
TEST(Inference, WhatItGivesUpIsThereForThoseBeforeIt) {
  Snapshot world = OneOnItsWay();
  world.pools = {Wants("gang", 1, 7)};
  world.pools[0].priority = 1;
  world.inference_pools[0].replicas = 1;
  EXPECT_TRUE(DecisionOf(MakePlan(world), "gang").placed);
  world.pools[0] = Wants("gang", 1, 6);
  world.pools[0].priority = 1;
  world.pools[0].key.ns = "serving";
  world.quotas = {{.ns = "serving", .limits = {{.type = "a100", .limit = 7}}}};
  EXPECT_TRUE(DecisionOf(MakePlan(world), "gang").placed);
  world.inference_pools[0].replicas = 2;
  EXPECT_FALSE(DecisionOf(MakePlan(world), "gang").placed);
}

TEST(Inference, AReplicaFromBeforePodDefaultsTakesWhatItRequests) {
  Snapshot world = OneOnItsWay();
  // One of them for the replica that is not bound yet, one for the gang.
  GroupOf(world, "home").pod_defaults = Amounts({{"rdma/ib", "1"}});
  NodeOf(world, "home-1").allocatable.Set("rdma/ib", 2);
  world.pools = {Wants("gang", 1, 7)};
  EXPECT_FALSE(DecisionOf(MakePlan(world), "gang").placed);
  world.pools = {Wants("gang", 1, 6)};
  EXPECT_TRUE(DecisionOf(MakePlan(world), "gang").placed);
}

TEST(Inference, TwoPoolsShareByTheirKeys) {
  Snapshot world = Mixed(1, 0, 0);
  world.inference_pools = {Chat(6, "a"), Chat(6, "b")};
  const Plan plan = MakePlan(world);
  EXPECT_EQ(Mix(ServingOf(plan, "a")), "6 gpu@home");
  EXPECT_EQ(Mix(ServingOf(plan, "b")), "2 gpu@home");
  EXPECT_TRUE(Verify(world, plan).ok());
}

}  // namespace
}  // namespace spillway::tests
