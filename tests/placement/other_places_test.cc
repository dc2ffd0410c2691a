// What `why` says of the other node groups of a gang that has a place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "elastic_groups.h"
#include "placement/plan.h"
#include "placement/plan_text.h"
#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Admission;
using placement::Alternative;
using placement::AlternativesFor;
using placement::Applied;
using placement::MakePlan;
using placement::Plan;
using placement::PoolDecision;
using placement::Reason;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAreArray;

// "azure fits on 1 node, …", "home WaitingForCapacity: …"
std::vector<std::string> Places(const Snapshot& world) {
  std::vector<std::string> places;
  const Plan plan = MakePlan(world);
  for (const Alternative& one : AlternativesFor(world, DecisionOf(plan, "p"))) {
    const std::string reason = one.fits ? "" : std::string(ReasonName(one.reason)) + ": ";
    places.push_back(one.group + " " + reason + one.message);
  }
  return places;
}

struct Case {
  const char* sentence;
  // `world` has home-1, home-2, azure-1 and azure-2; `p` runs its one worker of 8 on home-1.
  std::function<void(Snapshot& world)> make;
  std::string azure;
};

TEST(OtherPlaces, OfAGangAtHome) {
  const std::vector<Case> cases = {
      {"what it would cost; it would not have to hold back first", [](Snapshot&) {},
       "azure fits on 1 node, for 32.00 USD an hour, 32.00 at the margin: 32.00 more than now"},
      {"at a lower price than at home",
       [](Snapshot& w) {
         GroupOf(w, "home").marginal_per_node_hour = Dollars("40");
         GroupOf(w, "azure").per_node_hour = Dollars("33");
       },
       "azure fits on 1 node, for 33.00 USD an hour, 32.00 at the margin: 8.00 less than now"},
      {"in one of its domains",
       [](Snapshot& w) {
         NodeOf(w, "azure-1").labels[kDomain] = "d1";
         NodeOf(w, "azure-2").labels[kDomain] = "d1";
       },
       "azure fits on 1 node of d1, for 32.00 USD an hour, 32.00 at the margin: 32.00 more than "
       "now"},
      {"no room",
       [](Snapshot& w) {
         Use(w, "azure-1", 8);
         Use(w, "azure-2", 8);
       },
       "azure WaitingForCapacity: needs 1 worker of 8 accelerators, 0 fit: 0 of 16 accelerators "
       "are free on 2 nodes that it may use"},
      {"may not spill", [](Snapshot& w) { w.pools[0].spill_allowed = false; },
       "azure SpillForbidden: tier 10 is not home and placement.spill.policy is Never"},
      {"too dear", [](Snapshot& w) { w.pools[0].spill_max_hourly_cost = Dollars("31"); },
       "azure SpendLimitReached: would cost 32.00 USD an hour, more than "
       "placement.spill.maxHourlyCost of 31.00"},
      {"closed", [](Snapshot& w) { GroupOf(w, "azure").admission = Admission::kClosed; },
       "azure GroupClosed: admission is Closed"},
      {"other accelerators", [](Snapshot& w) { GroupOf(w, "azure").accelerator = "h100"; },
       "azure NoMatchingNodeGroup: its accelerators are h100, not a100"},
      {"what it has counts against no quota",
       [](Snapshot& w) { w.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 8}}}}; },
       "azure fits on 1 node, for 32.00 USD an hour, 32.00 at the margin: 32.00 more than now"},
      {"what others have does",
       [](Snapshot& w) {
         AddRunning(w, "q", 1, 8, "home", {"home-2"});
         w.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 8}}}};
       },
       "azure WaitingForQuota: needs 8 a100, and namespace team has 8 of its limit of 8 in use"},
  };
  for (const Case& c : cases) {
    Snapshot world = Fleet(2, 2);
    AddRunning(world, "p", 1, 8, "home", {"home-1"});
    c.make(world);
    EXPECT_THAT(Places(world), ElementsAre(c.azure)) << c.sentence;
  }
}

// home is free, and so is aws, where a node costs 32.00 as in azure, in which `p` runs.
Snapshot Spilled() {
  Snapshot world = Fleet(1, 1);
  world.groups.push_back(Group("aws", 20));
  AddNodes(world, "aws", 1);
  AddRunning(world, "p", 1, 8, "azure", {"azure-1"}, 10);
  return world;
}

TEST(OtherPlaces, OfASpilledGangSayWhyItStays) {
  const std::string aws =
      "aws fits on 1 node, for 32.00 USD an hour, 32.00 at the margin: as much as now";
  Snapshot world = Spilled();
  EXPECT_THAT(Places(world), ElementsAre("home fits on 1 node, for 32.00 USD an hour, 0.00 at the "
                                         "margin: 32.00 less than now",
                                         aws))
      << "it goes back, as its own message says";
  world.pools[0].return_home = placement::ReturnHome::kNever;
  EXPECT_THAT(Places(world), ElementsAre("home fits on 1 node, for 32.00 USD an hour, 0.00 at the "
                                         "margin: 32.00 less than now; it stays where it is, as "
                                         "placement.returnHome.policy is Never",
                                         aws));
  world = Spilled();
  GroupOf(world, "home").marginal_per_node_hour = Dollars("30");
  EXPECT_THAT(Places(world),
              ElementsAre("home fits on 1 node, for 32.00 USD an hour, 30.00 at the margin: 2.00 "
                          "less than now; it stays where it is, as that saves less than "
                          "placement.returnHome.minSavingsPercent of 10",
                          aws));
}

TEST(OtherPlaces, OfASpilledGangDoNotSayWhyItStaysWhereItIsCheaper) {
  Snapshot world = Spilled();
  GroupOf(world, "home").marginal_per_node_hour = Dollars("40");
  EXPECT_THAT(Places(world)[0], testing::EndsWith("40.00 at the margin: 8.00 more than now"));
}

TEST(OtherPlaces, CountWhatItSpendsOnce) {
  Snapshot world = Spilled();
  Use(world, "home-1", 8);
  world.quotas = {{.ns = "team", .limits = {}, .max_hourly_cost = Dollars("32")}};
  EXPECT_THAT(Places(world)[1], HasSubstr("aws fits on 1 node"));
  world.quotas[0].max_hourly_cost = Dollars("31");
  EXPECT_THAT(Places(world)[1], HasSubstr("aws SpendLimitReached: "));
}

// `big` waits for both nodes of spare, of which `old` leaves one in time.
TEST(OtherPlaces, AreReservedOnlyForThoseWhoComeFirst) {
  struct Queued {
    int seconds_ago;
    const char* spare;
  };
  for (const Queued& big : {Queued{3600, "spare Reserved: needs 1 worker of 8 accelerators"},
                            Queued{30, "spare fits on 1 node"}}) {
    Snapshot world;
    world.now = kNow;
    world.groups = {Group("home"), Group("spare")};
    AddNodes(world, "home", 1);
    AddNodes(world, "spare", 2);
    AddRunning(world, "p", 1, 8, "home", {"home-1"});
    AddRunning(world, "old", 1, 8, "spare", {"spare-1"}).active_deadline = Seconds{1000};
    TrainingPool waits = Wants("big", 2);
    waits.memory.queued_since = waits.memory.waiting_since = kNow - Seconds{big.seconds_ago};
    world.pools.push_back(waits);
    ASSERT_TRUE(DecisionOf(MakePlan(world), "big").reservation) << big.seconds_ago;
    EXPECT_THAT(Places(world), ElementsAre(HasSubstr(big.spare))) << big.seconds_ago;
  }
}

// The same gangs, of namespaces that have borrowed as much; `big` has queued for longer.
TEST(OtherPlaces, AreReservedForWhoComesFirstByItsShare) {
  for (const int weight : {1, 3}) {
    Snapshot world;
    world.now = kNow;
    world.groups = {Group("home"), Group("spare")};
    AddNodes(world, "home", 2);
    AddNodes(world, "spare", 2);
    AddRunning(world, "p", 1, 8, "home", {"home-1"});
    AddRunning(world, "own", 1, 8, "home", {"home-2"});
    AddRunning(world, "old", 1, 8, "spare", {"spare-1"}).active_deadline = Seconds{1000};
    world.pools.back().key.ns = "other";
    TrainingPool waits = Wants("big", 2);
    waits.key.ns = "other";
    waits.memory.queued_since = waits.memory.waiting_since = kNow - Seconds{3600};
    world.pools.push_back(waits);
    world.quotas = {{.ns = "team", .limits = {}, .weight = weight}};
    EXPECT_THAT(Places(world),
                ElementsAre(HasSubstr(weight == 1 ? "spare Reserved" : "spare fits on 1 node")))
        << weight;
  }
}

// `moves` runs in azure and holds home-1, to which it returns at its next checkpoint.
TEST(OtherPlaces, AreHeldOnlyByThoseWhoComeFirst) {
  struct Queued {
    int seconds_ago;
    const char* home;
  };
  for (const Queued& mover : {Queued{3600, "home WaitingForCapacity: needs 1 worker"},
                              Queued{30, "home fits on 1 node"}}) {
    Snapshot world = Spilled();
    AddNodes(world, "azure", 1);
    world.pools[0].return_home = placement::ReturnHome::kNever;
    placement::PoolMemory& memory =
        AddRunning(world, "moves", 1, 8, "azure", {"azure-2"}, 10).memory;
    memory.queued_since = kNow - Seconds{mover.seconds_ago};
    memory.home_fits_since = kNow - Seconds{3600};
    ASSERT_TRUE(DecisionOf(MakePlan(world), "moves").memory.Moves()) << mover.seconds_ago;
    EXPECT_THAT(Places(world)[0], HasSubstr(mover.home)) << mover.seconds_ago;
  }
}

TEST(OtherPlaces, AreNoneForAGangWhoseSpecCanNotBeUsed) {
  Snapshot world = Spilled();
  world.pools[0].misconfigured = "no";
  EXPECT_THAT(Places(world), IsEmpty());
  world = Spilled();
  world.pools[0].template_unchecked = true;
  EXPECT_THAT(Places(world), IsEmpty());
}

TEST(OtherPlaces, OfAGangWhoseGroupIsGoneHaveNothingToCompare) {
  Snapshot world = Spilled();
  world.groups.erase(world.groups.begin() + 1);
  EXPECT_THAT(Places(world),
              ElementsAre("home fits on 1 node, for 32.00 USD an hour, 0.00 at the margin",
                          "aws fits on 1 node, for 32.00 USD an hour, 32.00 at the margin"));
}

// What `why` adds to what the plan says of the places of `name`, place by place.
std::vector<std::string> Prices(const Snapshot& world, const std::string& name) {
  std::vector<std::string> prices;
  const Plan plan = MakePlan(world);
  const PoolDecision& decision = DecisionOf(plan, name);
  const auto places = AlternativesFor(world, decision);
  EXPECT_EQ(places.size(), decision.alternatives.size());
  for (size_t i = 0; i < places.size(); ++i) {
    const Alternative& said = decision.alternatives[i];
    EXPECT_EQ(places[i].group, said.group);
    EXPECT_EQ(places[i].fits, said.fits);
    EXPECT_EQ(places[i].reason, said.reason);
    EXPECT_TRUE(places[i].message.starts_with(said.message)) << places[i].message;
    prices.push_back(said.group + places[i].message.substr(said.message.size()));
  }
  return prices;
}

TEST(OtherPlaces, AreThoseOfThePlanWithPricesForWhoLooksForOne) {
  Snapshot world = Spilled();
  GroupOf(world, "azure").admission = Admission::kDrain;
  Use(world, "home-1", 8);
  world.pools[0].spill_allowed = false;
  world.pools.push_back(Wants("q", 1));
  const Plan plan = MakePlan(world);
  ASSERT_EQ(DecisionOf(plan, "p").placed_reason, Reason::kDraining);
  ASSERT_FALSE(DecisionOf(plan, "q").placed);
  EXPECT_THAT(Prices(world, "p"),
              ElementsAre("home; for 32.00 USD an hour, 0.00 at the margin", "azure",
                          "aws; for 32.00 USD an hour, 32.00 at the margin"));
  EXPECT_THAT(Prices(world, "q"), ElementsAre("home; for 32.00 USD an hour, 0.00 at the margin",
                                              "azure; for 32.00 USD an hour, 32.00 at the margin",
                                              "aws; for 32.00 USD an hour, 32.00 at the margin"));
  EXPECT_THAT(WriteWhy(world, plan, DecisionOf(plan, "q").key, placement::Form::kJson),
              HasSubstr("; for 32.00 USD an hour, 0.00 at the margin\"}"));
}

TEST(OtherPlaces, HaveNoPriceWhereTheGangMayNeverGo) {
  Snapshot world = Spilled();
  Use(world, "home-1", 8);
  GroupOf(world, "aws").accelerator = "h100";
  GroupOf(world, "azure").provider = placement::Provider::kAzure;
  world.pools.push_back(Wants("q", 1));
  world.pools.back().providers = {GroupOf(world, "home").provider};
  ASSERT_FALSE(DecisionOf(MakePlan(world), "q").placed);
  EXPECT_THAT(Prices(world, "q"),
              ElementsAre("home; for 32.00 USD an hour, 0.00 at the margin", "aws", "azure"));
  world.pools.back().suspended = true;
  EXPECT_THAT(Prices(world, "q"), IsEmpty());
}

TEST(OtherPlaces, AreForAllWorkersOfAnElasticGangThatWaits) {
  Snapshot world = Spilled();
  world.pools.push_back(Wants("q", 4));
  world.pools.back().accelerators[0].min_workers = 3;
  EXPECT_THAT(
      Prices(world, "q"),
      Contains("home; with all of its 4 workers for 128.00 USD an hour, 0.00 at the margin"));
}

TEST(OtherPlaces, CostWholeNodesWhereThesComeForTheGang) {
  Snapshot world = Fleet(1, 0);
  Use(world, "home-1", 8);
  MakeElastic(world, "azure", 3).admission = Admission::kClosed;
  world.pools = {Wants("q", 3, 4)};
  EXPECT_THAT(Prices(world, "q"),
              ElementsAre("home; for 48.00 USD an hour, 0.00 at the margin",
                          "azure; for 48.00 USD an hour, 48.00 at the margin, 64.00 with its nodes "
                          "for itself"));
}

TEST(OtherPlaces, AreInWhatProgramsRead) {
  const Snapshot world = Spilled();
  const Plan plan = MakePlan(world);
  EXPECT_THAT(WriteWhy(world, plan, world.pools[0].key, placement::Form::kJson),
              HasSubstr("\"alternatives\": [{\"name\": \"home\", \"fits\": true"));
}

// ---- in every world ----

bool CanBePlaced(const TrainingPool& pool) {
  return pool.misconfigured.empty() && pool.template_invalid.empty() &&
         pool.name_conflict.empty() && !pool.template_unchecked;
}

// The world without the pool's place and what runs there; pods of earlier attempts are as they are.
void Release(Snapshot& world, TrainingPool& pool) {
  const std::string cluster = pool.memory.placement->cluster;
  const auto runs = [attempt = pool.memory.placement->attempt](const placement::Worker& worker) {
    return worker.attempt == attempt;
  };
  for (const placement::Worker& worker : pool.workers) {
    if (!runs(worker) || worker.ended) continue;
    for (placement::Node& node : world.nodes) {
      if (node.id.cluster == cluster && node.id.name == worker.node) {
        node.used.Subtract(worker.requests);
      }
    }
  }
  std::erase_if(pool.workers, runs);
  pool.attempt = {};
  pool.memory.placement.reset();
  pool.memory.hold.reset();
  pool.memory.waiting_since = kNow - pool.spill_after;
}

// It is to leave its group, and nothing takes it.
bool IsStuck(const Snapshot& world, const TrainingPool& pool) {
  const auto at = std::find_if(
      world.groups.begin(), world.groups.end(),
      [&](const NodeGroup& group) { return group.name == pool.memory.placement->node_group; });
  return at != world.groups.end() && at->admission == placement::Admission::kDrain &&
         !pool.memory.hold;
}

// The pool has no place and may go to this one group alone; all others stay, or wait, for a group
// that there is not.
Snapshot OnlyIn(Snapshot world, const std::string& group, const placement::PoolKey& key) {
  GroupOf(world, group).labels["only"] = "this";
  for (TrainingPool& pool : world.pools) {
    if (pool.key == key) {
      Release(world, pool);
      pool.group_selector.push_back({.key = "only", .op = "In", .values = {"this"}});
    } else if (!pool.memory.placement || IsStuck(world, pool)) {
      pool.group_selector.push_back({.key = "none", .op = "Exists", .values = {}});
    }
  }
  for (placement::InferencePool& pool : world.inference_pools) pool.paused = true;
  return world;
}

bool Waits(const PoolDecision& decision) { return !decision.placed && !decision.memory.completed; }

bool Claims(const PoolDecision& decision) {
  return decision.memory.hold && decision.memory.hold->IsClaim();
}

struct Tally {
  int fit = 0;
  int not_fit = 0;
};

void ExpectTruths(uint32_t seed, const Snapshot& world, const Plan& plan,
                  const PoolDecision& decision, Tally& tally) {
  // Nobody has a claim in the world to compare with, and what is claimed is free there for anybody.
  if (std::any_of(plan.pools.begin(), plan.pools.end(), Claims)) return;
  const bool others_wait = std::any_of(plan.pools.begin(), plan.pools.end(), Waits);
  for (const Alternative& one : AlternativesFor(world, decision)) {
    // Without those who wait, what is kept for them is free.
    if (!one.fits && others_wait) continue;
    const Plan then = MakePlan(OnlyIn(world, one.group, decision.key));
    const auto at =
        std::find_if(then.pools.begin(), then.pools.end(),
                     [&](const PoolDecision& other) { return other.key == decision.key; });
    ASSERT_EQ(at->placed, one.fits) << "seed " << seed << ", " << decision.key.Format() << " in "
                                    << one.group << ": " << one.message << "\n"
                                    << at->placed_message << "\n"
                                    << WriteSnapshot(world);
    if (one.fits) {
      ASSERT_EQ(at->memory.placement->node_group, one.group) << "seed " << seed;
    }
    ++(one.fits ? tally.fit : tally.not_fit);
  }
}

TEST(OtherPlaces, NameEveryOtherGroupOnceAndFitExactlyWhereTheGangWouldBePlaced) {
  Tally tally;
  for (uint32_t seed = 0; seed < Seeds(2500U); ++seed) {
    const Snapshot before = RandomWorld(seed);
    const Snapshot world = Applied(before, MakePlan(before));
    const Plan plan = MakePlan(world);
    for (const PoolDecision& decision : plan.pools) {
      if (!decision.placed || decision.IsStuck()) continue;
      const auto pool =
          std::find_if(world.pools.begin(), world.pools.end(),
                       [&](const TrainingPool& one) { return one.key == decision.key; });
      std::vector<std::string> others;
      for (const NodeGroup& group : world.groups) {
        if (CanBePlaced(*pool) && group.name != decision.memory.placement->node_group) {
          others.push_back(group.name);
        }
      }
      std::vector<std::string> named;
      for (const Alternative& one : AlternativesFor(world, decision)) named.push_back(one.group);
      ASSERT_THAT(named, UnorderedElementsAreArray(others)) << "seed " << seed;
      ASSERT_NO_FATAL_FAILURE(ExpectTruths(seed, world, plan, decision, tally));
    }
  }
  EXPECT_GT(tally.fit, Seeds(100));
  EXPECT_GT(tally.not_fit, Seeds(100));
}

}  // namespace
}  // namespace spillway::tests
