// What `why` says of the cells in which an inference pool could have more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "placement/plan.h"
#include "placement/plan_text.h"
#include "tests/support/builders.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Admission;
using placement::Alternative;
using placement::AlternativesFor;
using placement::Applied;
using placement::Form;
using placement::InferenceDecision;
using placement::InferencePool;
using placement::MakePlan;
using placement::NodeGroup;
using placement::Plan;
using placement::Preference;
using placement::Reason;
using placement::Routing;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// "gpu@azure 4 replicas would …", "gpu@home WaitingForCapacity: …"
std::vector<std::string> Cells(const Snapshot& world) {
  const Plan plan = MakePlan(world);
  const Status status = Verify(world, plan);
  EXPECT_TRUE(status.ok()) << status.error().message;
  std::vector<std::string> cells;
  for (const Alternative& one : AlternativesFor(world, ServingOf(plan))) {
    const std::string reason = one.fits ? "" : std::string(ReasonName(one.reason)) + ": ";
    cells.push_back(one.group + " " + reason + one.message);
  }
  return cells;
}

// home-1, azure-1 and azure-2, of 8 GPUs each; chat runs its four replicas on home-1.
Snapshot AtHome() {
  Snapshot world = Fleet(1, 2);
  InferencePool pool = Chat(4);
  Runs(world, pool, "gpu", "home", 4, 4, {"home-1"});
  world.inference_pools = {pool};
  return world;
}

// The same, and chat runs its four replicas on azure-1.
Snapshot Outside() {
  Snapshot world = Fleet(1, 2);
  InferencePool pool = Chat(4);
  Runs(world, pool, "gpu", "azure", 4, 4, {"azure-1"}, 10);
  world.inference_pools = {pool};
  return world;
}

struct Case {
  const char* sentence;
  std::function<void(Snapshot& world, InferencePool& pool)> make;
  std::string said;
};

void Expect(const Snapshot& start, const std::string& cell, const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    Snapshot world = start;
    one.make(world, world.inference_pools[0]);
    const auto cells = Cells(world);
    const auto at = std::find_if(cells.begin(), cells.end(), [&](const std::string& text) {
      return text.rfind(cell + " ", 0) == 0;
    });
    EXPECT_EQ(at == cells.end() ? "nothing" : at->substr(cell.size() + 1), one.said)
        << one.sentence;
  }
}

TEST(OtherCells, OfAPoolThatServesAtHome) {
  Expect(
      AtHome(), "gpu@azure",
      {{"what it would cost, and that home comes first", [](Snapshot&, InferencePool&) {},
        "4 replicas would serve all that is needed, for 16.00 USD an hour, 16.00 at the margin: "
        "16.00 more than now; each for 4.00 USD an hour, 4.00 at the margin; the best mix with "
        "more of it is 3 gpu@home and 1 gpu@azure: it serves more in farther tiers"},
       {"it would not have to hold back first",
        [](Snapshot&, InferencePool& p) { p.spill_after = Seconds{600}; },
        "4 replicas would serve all that is needed, for 16.00 USD an hour, 16.00 at the margin: "
        "16.00 more than now; each for 4.00 USD an hour, 4.00 at the margin; the best mix with "
        "more of it is 3 gpu@home and 1 gpu@azure: it serves more in farther tiers"},
       {"one replica", [](Snapshot&, InferencePool& p) { p.replicas = 1; },
        "1 replica would serve all that is needed, for 4.00 USD an hour, 4.00 at the margin: 4.00 "
        "more than now; it serves more in farther tiers"},
       {"where price leads, what more it costs",
        [](Snapshot&, InferencePool& p) { p.preference = Preference::kPrice; },
        "4 replicas would serve all that is needed, for 16.00 USD an hour, 16.00 at the margin: "
        "16.00 more than now; each for 4.00 USD an hour, 4.00 at the margin; the best mix with "
        "more of it is 3 gpu@home and 1 gpu@azure: it costs 4.00 USD an hour more"},
       {"it may not spill", [](Snapshot&, InferencePool& p) { p.spill_allowed = false; },
        "SpillForbidden: tier 10 is not home and placement.spill.policy is Never"},
       {"the group is closed",
        [](Snapshot& w, InferencePool&) { GroupOf(w, "azure").admission = Admission::kClosed; },
        "GroupClosed: admission is Closed"},
       {"the group is drained",
        [](Snapshot& w, InferencePool&) { GroupOf(w, "azure").admission = Admission::kDrain; },
        "Draining: admission is Drain"},
       {"nothing is free",
        [](Snapshot& w, InferencePool&) {
          Use(w, "azure-1", 8);
          Use(w, "azure-2", 8);
        },
        "WaitingForCapacity: 0 of 4 more replicas fit: 0 of 16 accelerators are free on 2 nodes "
        "that it may use"},
       {"too little is free for all",
        [](Snapshot& w, InferencePool&) {
          Use(w, "azure-1", 8);
          Use(w, "azure-2", 5);
        },
        "takes 3 of the 4 more replicas that would serve all that is needed (3 of 4 more replicas "
        "fit: 3 of 16 accelerators are free on 2 nodes that it may use), each for 4.00 USD an "
        "hour, 4.00 at the margin; the best mix with more of it is 3 gpu@home and 1 gpu@azure: it "
        "serves more in farther tiers"},
       {"what it has at home does not count against its quota",
        [](Snapshot& w, InferencePool&) {
          w.quotas = {{.ns = "serving", .limits = {{.type = "a100", .limit = 4}}}};
        },
        "4 replicas would serve all that is needed, for 16.00 USD an hour, 16.00 at the margin: "
        "16.00 more than now; each for 4.00 USD an hour, 4.00 at the margin; the best mix with "
        "more of it is 3 gpu@home and 1 gpu@azure: it serves more in farther tiers"},
       {"what others of its namespace have does",
        [](Snapshot& w, InferencePool&) {
          w.quotas = {{.ns = "serving", .limits = {{.type = "a100", .limit = 6}}}};
          InferencePool other = Chat(4, "other");
          other.variants[0].accelerator = "a100";
          Runs(w, other, "gpu", "home", 4, 4, {"home-1"});
          w.inference_pools.push_back(other);
        },
        "takes 2 of the 4 more replicas that would serve all that is needed (needs 4 a100, and "
        "namespace serving has 4 of its limit of 6 in use), each for 4.00 USD an hour, 4.00 at the "
        "margin; the best mix with more of it is 3 gpu@home and 1 gpu@azure: it serves more in "
        "farther tiers"},
       {"its own limit on money",
        [](Snapshot&, InferencePool& p) { p.spill_max_hourly_cost = Dollars("3"); },
        "SpendLimitReached: one replica costs 4.00 USD an hour, and 0.00 of "
        "placement.spill.maxHourlyCost 3.00 are spent"},
       {"its namespace's limit on money lets in a part",
        [](Snapshot& w, InferencePool&) {
          w.quotas = {{.ns = "serving", .limits = {}, .max_hourly_cost = Dollars("9")}};
        },
        "takes 2 of the 4 more replicas that would serve all that is needed (4 more replicas would "
        "cost 16.00 USD an hour, and namespace serving has 0.00 of its spend.maxHourlyCost of 9.00 "
        "in use), each for 4.00 USD an hour, 4.00 at the margin; the best mix with more of it is 3 "
        "gpu@home and 1 gpu@azure: it serves more in farther tiers"},
       {"what it has at home does not count against maxReplicas",
        [](Snapshot&, InferencePool& p) { p.variants[0].max_replicas = 4; },
        "4 replicas would serve all that is needed, for 16.00 USD an hour, 16.00 at the margin: "
        "16.00 more than now; each for 4.00 USD an hour, 4.00 at the margin; the best mix with "
        "more of it is 3 gpu@home and 1 gpu@azure: it serves more in farther tiers"},
       {"replicas there missed their deadline",
        [](Snapshot&, InferencePool& p) {
          p.memory.cells.push_back({.variant = "gpu",
                                    .node_group = "azure",
                                    .tier = 10,
                                    .desired = 0,
                                    .pending_since = {},
                                    .blocked_until = kNow + Seconds{60},
                                    .misses = 1,
                                    .revision = "v1"});
        },
        "BackingOff: replicas missed their start deadline there; it is tried again at "
        "2026-11-24T12:01:00Z"}});
}

TEST(OtherCells, OfAPoolThatServesOutside) {
  Expect(
      Outside(), "gpu@home",
      {{"it goes there when that has been so for long enough", [](Snapshot&, InferencePool&) {},
        "4 replicas would serve all that is needed, for 16.00 USD an hour, 0.00 at the margin: "
        "16.00 less than now; each for 4.00 USD an hour, 0.00 at the margin; it is better, and is "
        "taken at 2026-11-24T12:05:00Z if it still is"},
       {"it may not return", [](Snapshot&, InferencePool& p) { p.return_allowed = false; },
        "4 replicas would serve all that is needed, for 16.00 USD an hour, 0.00 at the margin: "
        "16.00 less than now; each for 4.00 USD an hour, 0.00 at the margin; it is better, and "
        "placement.returnHome.policy is Never"},
       {"it saves too little",
        [](Snapshot& w, InferencePool&) {
          GroupOf(w, "home").marginal_per_node_hour = Dollars("31");
        },
        "4 replicas would serve all that is needed, for 16.00 USD an hour, 15.50 at the margin: "
        "0.50 less than now; each for 4.00 USD an hour, 3.875 at the margin; it saves 0.50 of "
        "16.00 USD an hour, and returnHome.minSavingsPercent is 5"},
       {"the change does not pay",
        [](Snapshot& w, InferencePool& p) {
          GroupOf(w, "home").marginal_per_node_hour = Dollars("20");
          p.variants[0].startup = Seconds{7200};
          p.return_payback = Seconds{60};
        },
        "4 replicas would serve all that is needed, for 16.00 USD an hour, 10.00 at the margin: "
        "6.00 less than now; each for 4.00 USD an hour, 2.50 at the margin; it saves 6.00 USD an "
        "hour, and the 20.00 that both cost while it starts are not saved within "
        "returnHome.paybackSeconds 60"},
       {"home costs more",
        [](Snapshot& w, InferencePool&) {
          GroupOf(w, "home").marginal_per_node_hour = Dollars("40");
        },
        "4 replicas would serve all that is needed, for 16.00 USD an hour, 20.00 at the margin: "
        "4.00 more than now; each for 4.00 USD an hour, 5.00 at the margin; it costs more than "
        "what runs"},
       {"where price leads, home that costs more",
        [](Snapshot& w, InferencePool& p) {
          GroupOf(w, "home").marginal_per_node_hour = Dollars("40");
          p.preference = Preference::kPrice;
        },
        "4 replicas would serve all that is needed, for 16.00 USD an hour, 20.00 at the margin: "
        "4.00 more than now; each for 4.00 USD an hour, 5.00 at the margin; the best mix with more "
        "of it is 3 gpu@azure and 1 gpu@home: it costs 1.00 USD an hour more"},
       {"home costs as much",
        [](Snapshot& w, InferencePool& p) {
          GroupOf(w, "home").marginal_per_node_hour = Dollars("32");
          p.preference = Preference::kPrice;
        },
        "4 replicas would serve all that is needed, for 16.00 USD an hour, 16.00 at the margin: as "
        "much as now; each for 4.00 USD an hour, 4.00 at the margin; the best mix with more of it "
        "is 1 gpu@home and 3 gpu@azure: it costs as much and starts more, or other, replicas"}});
}

TEST(OtherCells, ThatCostLessThanTheyCostToStart) {
  Snapshot world = Outside();
  GroupOf(world, "home").marginal_per_node_hour = Dollars("31");
  world.inference_pools[0].preference = Preference::kPrice;
  world.inference_pools[0].variants[0].startup = Seconds{600};
  EXPECT_THAT(Cells(world),
              Contains(HasSubstr("the best mix with more of it is 1 gpu@home and 3 gpu@azure: it "
                                 "costs 0.125 USD an hour less, and starting its replicas more "
                                 "than that within returnHome.paybackSeconds 3600")));
}

TEST(OtherCells, OfAPoolThatServesInBoth) {
  Snapshot world = Fleet(1, 1);
  Use(world, "home-1", 4);
  InferencePool pool = Chat(6);
  Runs(world, pool, "gpu", "home", 4, 4, {"home-1"});
  Runs(world, pool, "gpu", "azure", 2, 2, {"azure-1"}, 10);
  world.inference_pools = {pool};
  EXPECT_THAT(
      Cells(world),
      ElementsAre("gpu@home WaitingForCapacity: has 4 replicas; 0 of 2 more replicas fit: 0 of 8 "
                  "accelerators are free on 1 node that it may use",
                  "gpu@azure has 2 replicas, 2 ready; 6 replicas would serve all that is needed, "
                  "for 24.00 USD an hour, 24.00 at the margin: 16.00 more than now; each for 4.00 "
                  "USD an hour, 4.00 at the margin; the best mix with more of it is 3 gpu@home and "
                  "3 gpu@azure: it serves more in farther tiers"));
}

// One variant alone serves, and arm-1 takes the other.
Snapshot Alone(Snapshot world, const std::string& arm_price) {
  NodeGroup arm = Group("arm", 20);
  arm.accelerator = "cores";
  arm.resource.clear();
  arm.per_node = 96;
  arm.marginal_per_node_hour = Dollars(arm_price);
  world.groups.push_back(arm);
  world.nodes.push_back(GpuNode("arm-1", "arm", 0));
  world.inference_pools[0].variants.push_back(Serves("arm", "cores", 8, "2"));
  world.inference_pools[0].routing = Routing::kUniform;
  return world;
}

TEST(OtherCells, OfTheVariantThatDoesNotServeWhereOneAloneDoes) {
  const Snapshot world = Alone(AtHome(), "4");
  EXPECT_THAT(
      Cells(world),
      ElementsAre(
          "gpu@home has 4 replicas, 4 ready",
          "gpu@azure 4 replicas would serve all that is needed, for 16.00 USD an hour, 16.00 at "
          "the margin: 16.00 more than now; each for 4.00 USD an hour, 4.00 at the margin; the "
          "best mix with more of it is 3 gpu@home and 1 gpu@azure: it serves more in farther tiers",
          "arm@arm 8 replicas would serve all that is needed, for 21.333336 USD an hour, 2.666664 "
          "at the margin: 2.666664 more than now; each for 2.666667 USD an hour, 0.333333 at the "
          "margin; it serves more in farther tiers"));
}

// The present variant could have home, which is nearly as cheap.
TEST(OtherCells, OfAVariantThatIsWeighedAgainstTheBestOfTheOneThatServes) {
  Snapshot world = Alone(Outside(), "23.1");
  GroupOf(world, "home").marginal_per_node_hour = Dollars("31");
  world.inference_pools[0].preference = Preference::kPrice;
  world.inference_pools[0].return_min_savings_percent = 3;
  for (placement::Variant& variant : world.inference_pools[0].variants)
    variant.startup = Seconds{0};
  EXPECT_THAT(Cells(world), Contains(AllOf(HasSubstr("arm@arm"),
                                           HasSubstr("it saves 0.10 of 15.50 USD an hour, and "
                                                     "returnHome.minSavingsPercent is 3"))));
}

// `big` waits for both nodes of spare, of which `old` leaves one in time; chat has queued for 600
// s.
TEST(OtherCells, AreReservedOnlyForThoseWhoComeFirst) {
  for (const auto& [priority, said] :
       {std::pair(1, "gpu@spare WaitingForCapacity: 0 of 4 more replicas fit"),
        std::pair(-1, "gpu@spare 4 replicas would serve all that is needed")}) {
    Snapshot world;
    world.now = kNow;
    world.groups = {Group("home"), Group("spare")};
    AddNodes(world, "home", 1);
    AddNodes(world, "spare", 2);
    InferencePool pool = Chat(4);
    Runs(world, pool, "gpu", "home", 4, 4, {"home-1"});
    world.inference_pools = {pool};
    AddRunning(world, "old", 1, 8, "spare", {"spare-1"}).active_deadline = Seconds{1000};
    placement::TrainingPool waits = Wants("big", 2);
    waits.priority = priority;
    world.pools.push_back(waits);
    ASSERT_TRUE(DecisionOf(MakePlan(world), "big").reservation) << priority;
    EXPECT_THAT(Cells(world), ElementsAre("gpu@home has 4 replicas, 4 ready", HasSubstr(said)));
  }
}

TEST(OtherCells, AreThoseOfThePlanWithPricesForWhoIsShort) {
  Snapshot world = AtHome();
  world.inference_pools[0].replicas = 100;
  const Plan plan = MakePlan(world);
  const auto& said = ServingOf(plan).alternatives;
  const auto cells = AlternativesFor(world, ServingOf(plan));
  ASSERT_EQ(said.size(), 2U);
  ASSERT_EQ(cells.size(), 2U);
  for (size_t i = 0; i < cells.size(); ++i) {
    EXPECT_EQ(cells[i].group, said[i].group);
    EXPECT_EQ(cells[i].reason, said[i].reason);
    EXPECT_EQ(cells[i].message, said[i].message + "; each for 4.00 USD an hour, " +
                                    (cells[i].group == "gpu@home" ? "0.00" : "4.00") +
                                    " at the margin");
  }
}

TEST(OtherCells, AreThoseOfThePlanForWhoIsHeld) {
  Snapshot world = AtHome();
  world.inference_pools[0].paused = true;
  const Plan plan = MakePlan(world);
  EXPECT_EQ(AlternativesFor(world, ServingOf(plan)), ServingOf(plan).alternatives);
}

TEST(OtherCells, AreInBothForms) {
  const Snapshot world = AtHome();
  const Plan plan = MakePlan(world);
  EXPECT_THAT(FormatWhy(world, plan, ServingOf(plan)), HasSubstr("4 replicas would serve all"));
  EXPECT_THAT(WriteWhy(world, plan, ServingOf(plan).key, Form::kJson),
              HasSubstr("4 replicas would serve all"));
  EXPECT_THAT(WritePlan(world, plan, Form::kJson), Not(HasSubstr("would serve all")));
}

// The pool may have this one variant on this one group alone, and has waited for home for long.
Snapshot OnlyIn(Snapshot world, const std::string& cell, const placement::PoolKey& key) {
  const size_t at = cell.find('@');
  GroupOf(world, cell.substr(at + 1)).labels["only"] = "this";
  for (InferencePool& pool : world.inference_pools) {
    if (pool.key != key) continue;
    pool.group_selector.push_back({.key = "only", .op = "In", .values = {"this"}});
    pool.memory.waiting_since = world.now - pool.spill_after;
    for (placement::Variant& variant : pool.variants) {
      if (variant.name != cell.substr(0, at)) variant.accelerator = "none";
    }
  }
  return world;
}

int ReplicasIn(const InferenceDecision& decision, const std::string& cell) {
  for (const placement::CellDecision& one : decision.cells) {
    if (one.variant + "@" + one.node_group == cell) return one.desired - one.before;
  }
  return 0;
}

// It has replicas in a node group that there is not, where nothing ever leaves.
bool HasUnknown(const Snapshot& world, const InferenceDecision& decision) {
  return std::any_of(decision.cells.begin(), decision.cells.end(), [&](const auto& cell) {
    return std::none_of(world.groups.begin(), world.groups.end(),
                        [&](const NodeGroup& group) { return group.name == cell.node_group; });
  });
}

// Nobody knows what it needs: then it moves nowhere, whatever its spec says.
bool IsSilent(const Snapshot& world, const InferenceDecision& decision) {
  return std::any_of(
      world.inference_pools.begin(), world.inference_pools.end(), [&](const InferencePool& pool) {
        return pool.key == decision.key && pool.demand && world.now >= pool.demand->SilentFrom();
      });
}

// None of its replicas would go at once.
bool IsSteady(const InferenceDecision& decision) {
  return decision.capacity_met &&
         std::all_of(decision.cells.begin(), decision.cells.end(),
                     [](const auto& cell) { return cell.ready == cell.desired && !cell.roll; });
}

TEST(OtherCells, FitExactlyWhereThePoolWouldGrow) {
  int fit = 0;
  int not_fit = 0;
  for (uint32_t seed = 0; seed < 2500; ++seed) {
    const Snapshot before = RandomWorld(seed);
    const Snapshot world = Applied(before, MakePlan(before));
    const Plan plan = MakePlan(world);
    for (const InferenceDecision& decision : plan.inference_pools) {
      if (HasUnknown(world, decision) || IsSilent(world, decision)) continue;
      for (const Alternative& one : AlternativesFor(world, decision)) {
        if (!one.fits && !IsSteady(decision)) continue;
        const auto& said = decision.alternatives;
        if (std::find(said.begin(), said.end(), one) != said.end()) continue;
        const Plan then = MakePlan(OnlyIn(world, one.group, decision.key));
        const auto at = std::find_if(then.inference_pools.begin(), then.inference_pools.end(),
                                     [&](const auto& other) { return other.key == decision.key; });
        EXPECT_EQ(ReplicasIn(*at, one.group) > 0, one.fits)
            << "seed " << seed << ", " << decision.key.Format() << " in " << one.group << ": "
            << one.message << "\n"
            << at->capacity_message;
        ++(one.fits ? fit : not_fit);
      }
    }
  }
  EXPECT_GT(fit, 100);
  EXPECT_GT(not_fit, 10);
}

}  // namespace
}  // namespace spillway::tests
