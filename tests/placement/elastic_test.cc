// Gangs that may run with fewer workers than they ask for: how many they start with and where, what
// they go on with after a loss, and when they grow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "passes.h"
#include "placement/gangs.h"
#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::Admission;
using placement::Fit;
using placement::Hold;
using placement::LargestFit;
using placement::MakePlan;
using placement::Plan;
using placement::PoolDecision;
using placement::PoolMemory;
using placement::Preference;
using placement::Reason;
using placement::ReturnHome;
using placement::TopologyMode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// "place 3 p@home[home-1 home-2 home-3]#1".
std::string Told(const PoolDecision& decision) {
  const auto& placement = decision.memory.placement;
  const std::string workers = placement ? std::to_string(placement->workers) + " " : "";
  return std::string(Name(decision.action)) + " " + workers + Brief(decision);
}
std::string Told(const Plan& plan, const std::string& name) { return Told(DecisionOf(plan, name)); }

const PoolMemory& MemoryOf(const Plan& plan, const std::string& name) {
  return DecisionOf(plan, name).memory;
}

void MakeElastic(TrainingPool& pool, int least, int all) {
  pool.accelerators[0].min_workers = least;
  pool.accelerators[0].workers = all;
}

// A new gang that asks for 4 workers of 8 and makes do with 2.
TrainingPool Elastic(const std::string& name = "p", int least = 2, int all = 4) {
  TrainingPool pool = Wants(name, all);
  MakeElastic(pool, least, all);
  return pool;
}

struct Case {
  const char* sentence;
  std::function<void(Snapshot&)> make;
  const char* told;
};

void Try(const std::vector<Case>& cases, const std::function<Snapshot()>& before) {
  for (const Case& c : cases) {
    Snapshot world = before();
    c.make(world);
    EXPECT_EQ(Told(Checked(world), "p"), c.told) << c.sentence;
  }
}

TrainingPool& P(Snapshot& world) { return PoolOf(world, "p"); }

// ---- the largest size ----

TEST(LargestSize, IsFoundBetweenTheLeastAndTheMost) {
  for (int most = 1; most <= 40; ++most) {
    for (int least = 1; least <= most; ++least) {
      for (int room = 0; room <= most + 1; ++room) {
        int asked = 0;
        const auto fit = LargestFit(least, most, [&](int workers) -> std::optional<Fit> {
          ++asked;
          if (workers > room) return std::nullopt;
          return Fit{.workers = workers, .nodes = {}, .domain = {}, .left_over = 0};
        });
        ASSERT_EQ(fit ? fit->workers : 0, room < least ? 0 : std::min(room, most))
            << least << " to " << most << ", room for " << room;
        ASSERT_LE(asked, 8) << least << " to " << most << ", room for " << room;
      }
    }
  }
}

// ---- starting ----

// Three free nodes at home, of the four that p asks for, and four in azure.
Snapshot Short() {
  Snapshot world = Fleet(3, 4);
  world.pools = {Elastic()};
  return world;
}

TEST(ElasticGang, StartsWithAsManyWorkersAsFit) {
  Try(
      {
          {"with all where all fit", [](Snapshot& w) { AddNodes(w, "home", 1); },
           "place 4 p@home[home-1 home-2 home-3 home-4]#1"},
          {"with as many as fit where not", [](Snapshot&) {},
           "place 3 p@home[home-1 home-2 home-3]#1"},
          {"with the least", [](Snapshot& w) { Use(w, "home-1", 1); },
           "place 2 p@home[home-2 home-3]#1"},
          {"never with fewer",
           [](Snapshot& w) {
             Use(w, "home-1", 1);
             Use(w, "home-2", 1);
           },
           "wait p!HoldingBackSpill"},
          {"not with fewer than all where its type is not elastic",
           [](Snapshot& w) { P(w).accelerators[0].min_workers = 0; },
           "place 4 p@azure[azure-1 azure-2 azure-3 azure-4]#1"},
          {"with fewer at home rather than with all beyond",
           [](Snapshot& w) { P(w).spill_after = Seconds{0}; },
           "place 3 p@home[home-1 home-2 home-3]#1"},
          {"with all beyond home where home does not take the least",
           [](Snapshot& w) {
             P(w).spill_after = Seconds{0};
             Use(w, "home-1", 1);
             Use(w, "home-2", 1);
           },
           "place 4 p@azure[azure-1 azure-2 azure-3 azure-4]#1"},
          {"with fewer beyond home",
           [](Snapshot& w) {
             P(w).spill_after = Seconds{0};
             Use(w, "home-1", 1);
             Use(w, "home-2", 1);
             Use(w, "azure-1", 1);
           },
           "place 3 p@azure[azure-2 azure-3 azure-4]#1"},
          {"with all in any group of a tier before fewer in another",
           [](Snapshot& w) {
             w.groups.push_back(Group("barn"));
             GroupOf(w, "barn").marginal_per_node_hour = Dollars("1");
             AddNodes(w, "barn", 4);
           },
           "place 4 p@barn[barn-1 barn-2 barn-3 barn-4]#1"},
          {"with all where that is cheaper than home, if the price leads",
           [](Snapshot& w) {
             P(w).spill_after = Seconds{0};
             P(w).preference = Preference::kPrice;
             GroupOf(w, "home").marginal_per_node_hour = Dollars("40");
           },
           "place 4 p@azure[azure-1 azure-2 azure-3 azure-4]#1"},
          {"with fewer at home before fewer where that is cheaper",
           [](Snapshot& w) {
             P(w).spill_after = Seconds{0};
             P(w).preference = Preference::kPrice;
             GroupOf(w, "home").marginal_per_node_hour = Dollars("40");
             Use(w, "azure-1", 1);
           },
           "place 3 p@home[home-1 home-2 home-3]#1"},
          {"within the limit of its namespace",
           [](Snapshot& w) { w.default_limits = {{.type = "a100", .limit = 23}}; },
           "place 2 p@home[home-1 home-2]#1"},
          {"not beyond it", [](Snapshot& w) { w.default_limits = {{.type = "a100", .limit = 15}}; },
           "wait p!QuotaExceeded"},
          {"for no more than it may cost",
           [](Snapshot& w) {
             P(w).spill_after = Seconds{0};
             P(w).spill_max_hourly_cost = Dollars("100");
             for (const char* node : {"home-1", "home-2"}) Use(w, node, 1);
           },
           "place 3 p@azure[azure-1 azure-2 azure-3]#1"},
          {"for no more than its namespace may spend",
           [](Snapshot& w) {
             P(w).spill_after = Seconds{0};
             w.quotas = {{.ns = "team", .limits = {}, .max_hourly_cost = Dollars("70")}};
             for (const char* node : {"home-1", "home-2"}) Use(w, node, 1);
           },
           "place 2 p@azure[azure-1 azure-2]#1"},
          {"within one domain where that is required",
           [](Snapshot& w) {
             P(w).topology = TopologyMode::kRequired;
             for (const char* node : {"home-1", "home-3"}) NodeOf(w, node).labels[kDomain] = "d1";
             NodeOf(w, "home-2").labels[kDomain] = "d2";
           },
           "place 2 p@home[home-1 home-3]#1"},
      },
      Short);
}

TEST(ElasticGang, OfAnotherTypeHasThatTypesSizes) {
  Snapshot world = Short();
  GroupOf(world, "home").accelerator = "h100";
  P(world).accelerators = {{.type = "a100", .workers = 9, .min_workers = 8},
                           {.type = "h100", .workers = 6, .min_workers = 3}};
  EXPECT_EQ(Told(Checked(world), "p"), "place 3 p@home[home-1 home-2 home-3]#1");
  P(world).accelerators[1].min_workers = 0;
  EXPECT_EQ(DecisionOf(Checked(world), "p").action, Action::kWait) << "not elastic with h100";
}

TEST(ElasticGang, SaysHowManyWorkersItNeedsAtLeast) {
  Snapshot world = Fleet(3);
  world.pools = {Elastic()};
  Use(world, "home-1", 1);
  Use(world, "home-2", 1);
  const PoolDecision waits = DecisionOf(Checked(world), "p");
  EXPECT_EQ(waits.placed_reason, Reason::kWaitingForCapacity);
  EXPECT_THAT(waits.placed_message,
              HasSubstr("needs at least 2 of its 4 workers of 8 accelerators, 1 fit"));
  EXPECT_THAT(waits.remedies, ElementsAre(HasSubstr("home: room for 1 more worker"), testing::_));
  world.default_limits = {{.type = "a100", .limit = 15}};
  EXPECT_THAT(DecisionOf(Checked(world), "p").placed_message,
              HasSubstr("needs 16 a100, more than the limit of 15 of namespace team"));
}

TEST(ElasticGang, SaysWithHowManyWorkersItRuns) {
  const Snapshot world = Short();
  const Plan plan = Checked(world);
  const PoolDecision& placed = DecisionOf(plan, "p");
  EXPECT_EQ(placed.alternatives.front().message, "fits with 3 of its 4 workers on 3 nodes");
  EXPECT_THAT(placed.placed_message,
              HasSubstr("attempt 1 on home (tier 0): 3 of 4 workers on 3 nodes"));
  EXPECT_THAT(placed.placed_message,
              HasSubstr("; it grows when home has had room for more workers for 600 s"));
  EXPECT_EQ(placed.workers_wanted, 3);
  Snapshot later = After(world, plan, kNow + Seconds{60});
  const PoolDecision runs = DecisionOf(Checked(later), "p");
  EXPECT_TRUE(runs.ready);
  EXPECT_EQ(runs.ready_reason, Reason::kAsExpected);
  EXPECT_EQ(runs.ready_message,
            "3 of 3 workers ready on home; it runs with 3 of the 4 workers that it asks for");
  P(later).return_home = ReturnHome::kNever;
  EXPECT_THAT(DecisionOf(Checked(later), "p").placed_message,
              HasSubstr("; it does not grow, as placement.returnHome.policy is Never"));
  P(later).accelerators[0].workers = 3;
  EXPECT_THAT(DecisionOf(Checked(later), "p").placed_message, Not(HasSubstr("grow")));
}

// Home could take the least of it some day.
TEST(ElasticGang, HoldsBackWhereHomeCouldTakeTheLeast) {
  Snapshot world = Fleet(2, 4);
  world.pools = {Elastic()};
  Use(world, "home-1", 1);
  EXPECT_EQ(Told(Checked(world), "p"), "wait p!HoldingBackSpill");
  P(world).accelerators[0].min_workers = 3;
  EXPECT_EQ(Told(Checked(world), "p"), "place 4 p@azure[azure-1 azure-2 azure-3 azure-4]#1");
}

// ---- claims and reservations ----

// A gang of lower priority has run on all of home for two hours.
Snapshot Taken() {
  Snapshot world = Fleet(4);
  for (const char* node : {"home-1", "home-2", "home-3", "home-4"}) {
    TrainingPool& low = AddRunning(world, std::string("low-") + node, 1, 8, "home", {node});
    low.preemptible = placement::Preemptible::kAlways;
    low.memory.placement->since = kNow - Seconds{7200};
    low.memory.started = low.memory.queued_since = low.memory.ready_since = kNow - Seconds{7200};
  }
  TrainingPool pool = Elastic("p", 2, 3);
  pool.priority = 5;
  world.pools.push_back(pool);
  return world;
}

TEST(ElasticGang, ClaimsNoMoreThanItNeedsAtLeast) {
  Snapshot world = Taken();
  world.default_limits = {{.type = "a100", .limit = 32}};
  const Plan plan = Checked(world);
  ASSERT_TRUE(MemoryOf(plan, "p").hold);
  EXPECT_EQ(MemoryOf(plan, "p").hold->victims.size(), 2U);
  world = After(world, plan, kNow + Seconds{1});
  world = After(world, Checked(world), kNow + Seconds{2});
  EXPECT_EQ(Told(Checked(world), "p"), "place 2 p@home[home-1 home-2]#1");
}

TEST(ElasticGang, ReservesNoMoreThanItNeedsAtLeast) {
  Snapshot world = Fleet(3);
  TrainingPool& ending = AddRunning(world, "ending", 2, 8, "home", {"home-1", "home-2"});
  ending.active_deadline = Seconds{1000};
  TrainingPool& stays = AddRunning(world, "stays", 1, 8, "home", {"home-3"});
  stays.preemptible = placement::Preemptible::kNever;
  world.pools.push_back(Elastic("p", 2, 3));
  const PoolDecision waits = DecisionOf(Checked(world), "p");
  ASSERT_TRUE(waits.reservation);
  EXPECT_THAT(waits.reservation->nodes, ElementsAre("home-1", "home-2"));
}

// p runs on all four nodes of home, and high needs two of them: p goes on with the other two.
TEST(ElasticGang, GivesWayWithSomeOfItsWorkers) {
  Snapshot world = Fleet(4);
  MakeElastic(tests::AddOld(world, "p", 0, {"home-1", "home-2", "home-3", "home-4"}), 2, 4);
  world.pools.push_back(Wants("high", 2));
  PoolOf(world, "high").priority = 10;
  world = After(world, Checked(world), kNow + Seconds{1});
  const Plan gives = Checked(world);
  const auto& placement = MemoryOf(gives, "p").placement;
  ASSERT_TRUE(placement) << FormatPlan(gives, true);
  EXPECT_EQ(placement->attempt, 2);
  EXPECT_EQ(placement->workers, 2);
  EXPECT_EQ(MemoryOf(gives, "p").evictions.size(), 1U);
  world = After(world, gives, kNow + Seconds{30});
  const Plan then = Checked(world);
  ASSERT_TRUE(DecisionOf(then, "high").placed) << FormatPlan(then, true);
  for (const std::string& node : MemoryOf(then, "high").placement->nodes) {
    EXPECT_THAT(placement->nodes, Not(testing::Contains(node)));
  }
}

// ---- after a loss ----

// p ran with all of its 4 workers on home, and home-2 is gone.
Snapshot Lost(int least = 2) {
  Snapshot world = Fleet(4, 4);
  MakeElastic(AddRunning(world, "p", 4, 8, "home", {"home-1", "home-2", "home-3", "home-4"}), least,
              4);
  std::erase_if(world.nodes, [](const auto& node) { return node.id.name == "home-2"; });
  return world;
}

TEST(ElasticGang, GoesOnWithWhatIsLeft) {
  Try(
      {
          {"on the nodes that are left", [](Snapshot&) {},
           "restart 3 p@home[home-1 home-3 home-4]#2"},
          {"with all where another node of the group is free",
           [](Snapshot& w) { w.nodes.push_back(GpuNode("home-9", "home")); },
           "restart 4 p@home[home-1 home-3 home-4 home-9]#2"},
          {"waiting where fewer are left than it needs",
           [](Snapshot& w) {
             NodeOf(w, "home-1").cordoned = true;
             NodeOf(w, "home-3").cordoned = true;
           },
           "release p!NodeLost"},
          {"though its limit is lower by now",
           [](Snapshot& w) {
             w.default_limits = {{.type = "a100", .limit = 8}};
             w.nodes.push_back(GpuNode("home-9", "home"));
           },
           "restart 4 p@home[home-1 home-3 home-4 home-9]#2"},
      },
      [] { return Lost(); });
}

TEST(ElasticGang, GoesOnWithFewerAfterAFailureOfItsOwn) {
  Snapshot world = Lost();
  NodeOf(world, "home-1").cordoned = true;
  world.nodes.push_back(GpuNode("home-2", "home"));
  NodeOf(world, "home-2").used = P(world).workers[1].requests;
  P(world).attempt.failed = true;
  P(world).attempt.failure = placement::Failure{.attempt = 1,
                                                .worker = 0,
                                                .node = "home-1",
                                                .exit_code = 1,
                                                .reason = "Error",
                                                .message = "",
                                                .time = kNow};
  EXPECT_EQ(Told(Checked(world), "p"), "restart 3 p@home[home-2 home-3 home-4]#2");
}

TEST(ElasticGang, TakesNoMoreThanItHadBeyondItsLimit) {
  Snapshot world = Fleet(5);
  MakeElastic(AddRunning(world, "p", 3, 8, "home", {"home-1", "home-2", "home-3"}), 2, 4);
  std::erase_if(world.nodes, [](const auto& node) { return node.id.name == "home-2"; });
  EXPECT_EQ(Told(Checked(world), "p"), "restart 4 p@home[home-1 home-3 home-4 home-5]#2");
  world.default_limits = {{.type = "a100", .limit = 24}};
  EXPECT_EQ(Told(Checked(world), "p"), "restart 3 p@home[home-1 home-3 home-4]#2");
}

// ---- growing ----

// p has run with 2 of its 4 workers for an hour, with a checkpoint every 1,000 s: the next one is
// in 400 s. home has so many nodes.
Snapshot Small(int home_nodes = 4) {
  Snapshot world = Fleet(home_nodes, 4);
  TrainingPool& pool = AddRunning(world, "p", 2, 8, "home", {"home-1", "home-2"});
  MakeElastic(pool, 2, 4);
  const Time since = kNow - Seconds{3600};
  pool.memory.placement->since = since;
  pool.memory.started = pool.memory.queued_since = pool.memory.ready_since = since;
  pool.checkpoint_interval = Seconds{1000};
  return world;
}

// The same once home has had room for more of it for ten minutes.
Snapshot Due(int home_nodes = 4) {
  Snapshot world = Small(home_nodes);
  P(world).memory.growth_fits_since = kNow - Seconds{600};
  return world;
}

Snapshot Later(const Snapshot& world, int seconds) {
  return After(world, Checked(world), world.now + Seconds{seconds});
}

TEST(Growth, IsDueOnceTheGroupHasHadRoomForLongEnough) {
  const Snapshot world = Small();
  const Plan plan = Checked(world);
  const PoolDecision& p = DecisionOf(plan, "p");
  EXPECT_EQ(p.action, Action::kKeep);
  EXPECT_EQ(p.memory.growth_fits_since, kNow);
  EXPECT_FALSE(p.memory.hold);
  EXPECT_EQ(p.placed_reason, Reason::kPlaced);
  EXPECT_THAT(
      p.placed_message,
      HasSubstr("; home has had room for more of its workers since 2026-11-24T12:00:00Z; it "
                "grows when that has lasted until 2026-11-24T12:10:00Z"));
  EXPECT_EQ(plan.next_wake, kNow + Seconds{600});
  EXPECT_FALSE(MemoryOf(Checked(Later(world, 599)), "p").hold);
  EXPECT_TRUE(MemoryOf(Checked(Later(world, 600)), "p").hold);
}

TEST(Growth, HoldsItsNodesUntilItsNextCheckpoint) {
  const Plan plan = Checked(Due());
  const PoolDecision& p = DecisionOf(plan, "p");
  EXPECT_EQ(Told(p), "keep 2 p@home[home-1 home-2]#1");
  const Hold expected{.node_group = "home",
                      .domain = "",
                      .nodes = {"home-1", "home-2", "home-3", "home-4"},
                      .until = kNow + Seconds{400 + 600},
                      .since = kNow,
                      .victims = {}};
  EXPECT_EQ(p.memory.hold, expected);
  EXPECT_EQ(p.placed_reason, Reason::kWaitingForCheckpoint);
  EXPECT_THAT(
      p.placed_message,
      HasSubstr("; starts anew with more workers on 4 nodes of home at its next checkpoint, "
                "by 2026-11-24T12:06:40Z"));
  EXPECT_EQ(plan.next_wake, kNow + Seconds{400});
}

TEST(Growth, IsANewAttemptOnTheNodesThatWereHeld) {
  Snapshot world = Later(Due(), 399);
  EXPECT_EQ(DecisionOf(Checked(world), "p").action, Action::kKeep);
  AddNodes(world, "home", 1);
  Use(world, "home-5", 0);  // would be taken before empty nodes, but is not held
  world.now = kNow + Seconds{400};
  const Plan plan = Checked(world);
  const PoolDecision& p = DecisionOf(plan, "p");
  EXPECT_EQ(Told(p), "restart 4 p@home[home-1 home-2 home-3 home-4]#2");
  EXPECT_FALSE(p.may_start) << "the old pods must be gone first";
  EXPECT_EQ(p.memory.last_move, world.now);
  EXPECT_FALSE(p.memory.hold);
  EXPECT_FALSE(p.memory.growth_fits_since);
  EXPECT_EQ(p.memory.restarts, 1);
  EXPECT_EQ(p.memory.failures, 0);
  EXPECT_THAT(p.ready_message,
              HasSubstr("grew from 2 to 4 workers on home, which has had room for more since "
                        "2026-11-24T11:50:00Z; attempt 2 starts on home"));
  const Plan after = Checked(After(world, plan, world.now));
  EXPECT_TRUE(DecisionOf(after, "p").may_start);
  EXPECT_FALSE(MemoryOf(after, "p").growth_fits_since);
}

TEST(Growth, TakesAsManyMoreWorkersAsFit) {
  Snapshot world = Later(Due(3), 400);
  EXPECT_EQ(Told(Checked(world), "p"), "restart 3 p@home[home-1 home-2 home-3]#2");
}

TEST(Growth, AnytimeTakesNoMoreThanItTakesToWriteItDown) {
  Snapshot world = Due();
  P(world).return_home = ReturnHome::kAnytime;
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "p").placed_reason, Reason::kPlaced);
  EXPECT_THAT(DecisionOf(plan, "p").placed_message,
              HasSubstr("; starts anew with more workers on 4 nodes of home at "
                        "2026-11-24T12:00:01Z"));
  EXPECT_EQ(DecisionOf(Checked(Later(world, 1)), "p").action, Action::kRestart);
}

TEST(Growth, WaitsTwiceAsLongAfterItHadToGiveWaySoon) {
  Snapshot world = Due();
  P(world).memory.dwell = Seconds{1200};
  P(world).memory.last_move = kNow - Seconds{3600};
  EXPECT_FALSE(MemoryOf(Checked(world), "p").hold);
  P(world).memory.growth_fits_since = kNow - Seconds{1200};
  EXPECT_TRUE(MemoryOf(Checked(world), "p").hold);
}

TEST(Growth, IsNothingForAGangThatMayNotOrHasNoRoom) {
  struct Not {
    const char* sentence;
    std::function<void(Snapshot&)> make;
  };
  const std::vector<Not> cases = {
      {"the policy is Never", [](Snapshot& w) { P(w).return_home = ReturnHome::kNever; }},
      {"it is not elastic", [](Snapshot& w) { P(w).accelerators[0].min_workers = 0; }},
      {"it asks for no more", [](Snapshot& w) { P(w).accelerators[0].workers = 2; }},
      {"the group takes nothing new",
       [](Snapshot& w) { GroupOf(w, "home").admission = Admission::kClosed; }},
      {"the group is misconfigured",
       [](Snapshot& w) { GroupOf(w, "home").misconfigured = "no price"; }},
      {"there is no room",
       [](Snapshot& w) {
         Use(w, "home-3", 1);
         Use(w, "home-4", 1);
       }},
      {"there is room in another domain than the one it requires",
       [](Snapshot& w) {
         P(w).topology = TopologyMode::kRequired;
         for (const char* node : {"home-1", "home-2"}) NodeOf(w, node).labels[kDomain] = "d1";
         for (const char* node : {"home-3", "home-4"}) NodeOf(w, node).labels[kDomain] = "d2";
       }},
      {"its limit is reached",
       [](Snapshot& w) { w.default_limits = {{.type = "a100", .limit = 23}}; }},
      {"its namespace may spend no more",
       [](Snapshot& w) {
         GroupOf(w, "home").tier = 10;
         GroupOf(w, "home").marginal_per_node_hour = Dollars("32");
         P(w).memory.placement->tier = 10;
         w.quotas = {{.ns = "team", .limits = {}, .max_hourly_cost = Dollars("90")}};
       }},
      {"not all of its workers run",
       [](Snapshot& w) {
         P(w).workers[1].running = P(w).workers[1].ready = false;
         P(w).memory.placement->since = kNow - Seconds{60};
       }},
      {"one of its nodes is NotReady",
       [](Snapshot& w) {
         NodeOf(w, "home-1").ready = false;
         NodeOf(w, "home-1").not_ready_since = kNow;
       }},
      {"the spec can't be used",
       [](Snapshot& w) { P(w).template_invalid = "spec.containers is empty"; }},
      {"somebody who comes later takes the room",
       [](Snapshot& w) {
         TrainingPool late = Wants("late", 2);
         late.memory.queued_since = kNow - Seconds{60};
         w.pools.push_back(late);
       }},
      {"somebody who comes first waits for more room there",
       [](Snapshot& w) {
         TrainingPool first = Wants("first", 3);
         first.priority = 9;
         first.preempts = placement::Preempts::kNever;
         w.pools.push_back(first);
       }},
      {"the room is reserved for somebody",
       [](Snapshot& w) {
         TrainingPool& ending = AddRunning(w, "ending", 1, 8, "home", {"home-4"});
         ending.active_deadline = Seconds{1000};
         Use(w, "home-3", 0);
         TrainingPool late = Wants("late", 2);
         late.memory.queued_since = kNow - Seconds{60};
         w.pools.push_back(late);
       }},
  };
  for (const Not& c : cases) {
    Snapshot world = Due();
    c.make(world);
    const PoolMemory memory = MemoryOf(Checked(world), "p");
    EXPECT_FALSE(memory.hold) << c.sentence;
    EXPECT_FALSE(memory.growth_fits_since) << c.sentence;
    // Nor once it holds the nodes.
    world = Later(Due(), 10);
    ASSERT_TRUE(P(world).memory.hold);
    c.make(world);
    EXPECT_FALSE(MemoryOf(Checked(world), "p").hold) << c.sentence << ", and it was to grow";
  }
}

TEST(Growth, GoesOnWhereSomebodyWaitsWhoComesLater) {
  Snapshot world = Due();
  TrainingPool late = Wants("late", 3);
  late.memory.queued_since = kNow - Seconds{60};
  world.pools.push_back(late);
  EXPECT_TRUE(MemoryOf(Checked(world), "p").hold);
}

TEST(Growth, IsInTheOrderOfTheQueue) {
  Snapshot world = Fleet(3);
  for (const char* name : {"1", "2"}) {
    TrainingPool& pool = AddRunning(world, name, 1, 8, "home", {std::string("home-") + name});
    MakeElastic(pool, 1, 2);
    pool.memory.growth_fits_since = kNow - Seconds{600};
  }
  PoolOf(world, "2").priority = 1;
  const Plan plan = Checked(world);
  EXPECT_FALSE(MemoryOf(plan, "1").hold);
  EXPECT_TRUE(MemoryOf(plan, "2").hold);
}

TEST(Growth, CountsWhatItHasOnlyOnce) {
  Snapshot world = Due();
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 32}}}};
  world = Later(world, 400);
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "p").memory.placement->workers, 4);
  EXPECT_EQ(plan.quotas[0].accelerators[0].used, 32);
}

TEST(Growth, IsAlsoBeyondHomeForWhatItMayCost) {
  for (const char* most : {"130", "127"}) {
    Snapshot world = Fleet(0, 4);
    TrainingPool& pool =
        AddRunning(world, "p", 3, 8, "azure", {"azure-1", "azure-2", "azure-3"}, 10);
    MakeElastic(pool, 2, 4);
    pool.spill_max_hourly_cost = Dollars(most);
    pool.memory.growth_fits_since = kNow - Seconds{600};
    EXPECT_EQ(MemoryOf(Checked(world), "p").hold.has_value(), std::string(most) == "130") << most;
  }
}

TEST(Growth, GivesWayToADrain) {
  Snapshot world = Later(Due(), 10);
  GroupOf(world, "home").admission = Admission::kDrain;
  P(world).spill_after = Seconds{0};
  const PoolMemory memory = MemoryOf(Checked(world), "p");
  ASSERT_TRUE(memory.hold);
  EXPECT_EQ(memory.hold->node_group, "azure");
}

// ---- returning ----

// p has run in azure with 3 of its 4 workers, and home has had room for so many.
Snapshot Away(int home_nodes) {
  Snapshot world = Fleet(home_nodes, 3);
  TrainingPool& pool = AddRunning(world, "p", 3, 8, "azure", {"azure-1", "azure-2", "azure-3"}, 10);
  MakeElastic(pool, 2, 4);
  pool.memory.home_fits_since = kNow - Seconds{600};
  pool.return_home = ReturnHome::kAnytime;
  return world;
}

TEST(ElasticReturn, NeverMakesAGangSmaller) {
  EXPECT_FALSE(MemoryOf(Checked(Away(2)), "p").home_fits_since);
  EXPECT_EQ(Told(Checked(Later(Away(3), 1)), "p"), "restart 3 p@home[home-1 home-2 home-3]#2");
  EXPECT_EQ(Told(Checked(Later(Away(4), 1)), "p"),
            "restart 4 p@home[home-1 home-2 home-3 home-4]#2");
}

TEST(ElasticReturn, ToAnotherTypeIsForAllWorkers) {
  for (const int nodes : {3, 4}) {
    Snapshot world = Away(nodes);
    GroupOf(world, "home").accelerator = "h100";
    P(world).accelerators = {{.type = "a100", .workers = 4, .min_workers = 2},
                             {.type = "h100", .workers = 4, .min_workers = 2}};
    EXPECT_EQ(MemoryOf(Checked(world), "p").hold.has_value(), nodes == 4) << nodes;
  }
}

TEST(ElasticReturn, ComesBeforeGrowthWhereBothAreDue) {
  Snapshot world = Away(4);
  AddNodes(world, "azure", 1);
  P(world).memory.growth_fits_since = kNow - Seconds{600};
  const PoolMemory memory = MemoryOf(Checked(world), "p");
  ASSERT_TRUE(memory.hold);
  EXPECT_EQ(memory.hold->node_group, "home");
  EXPECT_FALSE(memory.growth_fits_since) << "one move at a time";
}

TEST(ElasticReturn, IsDueAtOnceWhereThereIsNoMoreRoomToGrow) {
  Snapshot world = Away(4);
  P(world).memory.hold = Hold{.node_group = "azure",
                              .domain = "",
                              .nodes = {"azure-1", "azure-2", "azure-3", "azure-gone"},
                              .until = kNow + Seconds{900},
                              .since = kNow - Seconds{10},
                              .victims = {}};
  const PoolMemory memory = MemoryOf(Checked(world), "p");
  ASSERT_TRUE(memory.hold);
  EXPECT_EQ(memory.hold->node_group, "home");
}

TEST(ElasticReturn, IsNotForFewerWorkersAndSaysSo) {
  const Snapshot world = Away(2);
  const auto places = AlternativesFor(world, DecisionOf(Checked(world), "p"));
  ASSERT_EQ(places.size(), 1U);
  EXPECT_THAT(places[0].message, HasSubstr("fits with 2 of its 4 workers on 2 nodes, for 64.00"));
  EXPECT_THAT(places[0].message,
              HasSubstr("; it stays where it is, as it returns with no fewer than 3 workers"));
}

TEST(ElasticReturn, PaysByTheWorkersThatItHas) {
  Snapshot world = Away(4);
  GroupOf(world, "home").marginal_per_node_hour = Dollars("28");  // 84 for 3, 112 for 4, not 96
  EXPECT_TRUE(MemoryOf(Checked(world), "p").hold);
  GroupOf(world, "home").marginal_per_node_hour = Dollars("30");
  EXPECT_FALSE(MemoryOf(Checked(world), "p").hold) << "saves less than a tenth";
}

TEST(ElasticDrain, IsLeftForAnywhereThatTakesTheLeast) {
  Snapshot world = Away(2);
  GroupOf(world, "azure").admission = Admission::kDrain;
  P(world).return_home = ReturnHome::kNever;
  world = Later(world, 1);
  ASSERT_TRUE(P(world).memory.hold);
  world.now = kNow + Seconds{1800};
  EXPECT_EQ(Told(Checked(world), "p"), "restart 2 p@home[home-1 home-2]#2");
}

}  // namespace
}  // namespace spillway::tests
