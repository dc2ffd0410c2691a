// When gangs start that wait behind others, as far as deadlines say; played, it is never later.
#include "placement/estimates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "passes.h"
#include "placement/plan.h"
#include "placement/plan_text.h"
#include "placement/play.h"
#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Arrival;
using placement::Estimate;
using placement::EstimateFor;
using placement::Plan;
using placement::PlayRules;
using placement::PoolDecision;
using placement::PoolKey;
using testing::ElementsAre;
using testing::HasSubstr;

// It has ended and its pods are gone `seconds` after it was placed.
TrainingPool Within(TrainingPool pool, int seconds) {
  pool.active_deadline = Seconds{seconds} - pool.checkpoint_grace;
  return pool;
}

// A gang that was placed an hour ago and has ended in `left` seconds.
void AddEnding(Snapshot& world, const std::string& name, const std::vector<std::string>& nodes,
               int left) {
  TrainingPool& pool = AddRunning(world, name, static_cast<int>(nodes.size()), 8, "home", nodes, 0);
  const Time since = kNow - Seconds{3600};
  pool.memory.placement->since = since;
  pool.memory.started = pool.memory.queued_since = pool.memory.ready_since = since;
  pool = Within(pool, 3600 + left);
}

// Workers of eight, at home only; the older one comes first.
TrainingPool Waiting(const std::string& name, int workers, int queued_ago) {
  TrainingPool pool = Wants(name, workers);
  pool.memory.queued_since = pool.memory.waiting_since = kNow - Seconds{queued_ago};
  pool.spill_allowed = false;
  return pool;
}

// Both nodes at home are taken, until 1000 s from now and until 3000 s from now; "big" waits for
// both, to run for 500 s, and "next" behind it for one.
Snapshot Home() {
  Snapshot world = Fleet(2);
  AddEnding(world, "soon", {"home-1"}, 1000);
  AddEnding(world, "late", {"home-2"}, 3000);
  world.pools.push_back(Within(Waiting("big", 2, 60), 500));
  world.pools.push_back(Within(Waiting("next", 1, 50), 5000));
  return world;
}

std::optional<Estimate> EstimateOf(const Snapshot& world, const std::string& name) {
  return EstimateFor(world, DecisionOf(Checked(world), name));
}

int In(const std::optional<Estimate>& estimate) {
  if (!estimate || !estimate->starts_by) return -1;
  return static_cast<int>((*estimate->starts_by - kNow).count());
}

std::vector<std::string> Names(const std::vector<PoolKey>& keys) {
  std::vector<std::string> names;
  for (const PoolKey& key : keys) names.push_back(key.name);
  return names;
}

TEST(Estimate, IsWhenWhoIsBeforeItHasEnded) {
  const auto estimate = EstimateOf(Home(), "next");
  EXPECT_EQ(In(estimate), 3500);
  EXPECT_EQ(estimate->node_group, "home");
  EXPECT_THAT(Names(estimate->after), ElementsAre("big", "late", "soon"));
}

TEST(Estimate, IsNotForWhoHasAReservation) {
  const Snapshot world = Home();
  EXPECT_TRUE(DecisionOf(Checked(world), "big").reservation);
  EXPECT_FALSE(EstimateOf(world, "big"));
  EXPECT_FALSE(EstimateOf(world, "late"));
}

TEST(Estimate, IsSoonerWhereOthersLeaveRoomBeside) {
  Snapshot world = Home();
  AddNodes(world, "home", 1);
  AddEnding(world, "third", {"home-3"}, 3200);
  // Two of the three are free for "big" at 3000, and it leaves the third.
  EXPECT_EQ(In(EstimateOf(world, "next")), 3200);
}

TEST(Estimate, CountsOnNobodyWhoMayOvertake) {
  Snapshot world = Home();
  AddNodes(world, "home", 1);
  AddEnding(world, "third", {"home-3"}, 3200);
  PoolOf(world, "next") = Within(Waiting("next", 2, 50), 5000);
  const int alone = In(EstimateOf(world, "next"));
  EXPECT_EQ(alone, 3500);
  // One that is as large only comes after it; smaller ones could start where it does not fit.
  world.pools.push_back(Within(Waiting("like", 2, 40), 6000));
  EXPECT_EQ(In(EstimateOf(world, "next")), alone);
  world.pools.back() = Within(Waiting("small", 1, 40), 6000);
  world.pools.push_back(Within(Waiting("tiny", 1, 30), 7000));
  EXPECT_EQ(In(EstimateOf(world, "next")), 3000 + 6000) << "once one of them has ended";
}

TEST(Estimate, IsNotWhereSomebodyInItsWayMayRunForEver) {
  Snapshot world = Home();
  PoolOf(world, "big").active_deadline.reset();
  const auto estimate = EstimateOf(world, "next");
  ASSERT_TRUE(estimate);
  EXPECT_FALSE(estimate->starts_by);
  EXPECT_THAT(Names(estimate->endless), ElementsAre("big"));
  AddNodes(world, "home", 1);
  AddEnding(world, "third", {"home-3"}, 3200);
  EXPECT_EQ(In(EstimateOf(world, "next")), 3200) << "it is not in its way";
}

TEST(Estimate, IsWithoutTheOrderWhereThatMayChange) {
  Snapshot world = Home();
  PoolOf(world, "big").key.ns = "others";
  // Whoever of them comes first: the other one's time besides.
  const Plan plan = Checked(world);
  for (const char* name : {"big", "next"}) {
    if (DecisionOf(plan, name).reservation) continue;
    EXPECT_EQ(In(EstimateFor(world, DecisionOf(plan, name))), 3000 + 500) << name;
  }
}

TEST(Estimate, IsNotWhereALimitMayComeFirst) {
  Snapshot world = Home();
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 40}}}};
  EXPECT_EQ(In(EstimateOf(world, "next")), 3500);
  world.quotas[0].limits[0].limit = 39;
  EXPECT_FALSE(EstimateOf(world, "next"));
}

void Lose(Snapshot& world, const std::string& node) {
  NodeOf(world, node).ready = false;
  NodeOf(world, node).not_ready_since = world.now - Seconds{10};
}

// Its three nodes are those at home, of which one may be back at any moment; until then there is
// nothing that it waits for.
TEST(Estimate, IsNotBehindWhoWaitsForNodesToBeBack) {
  Snapshot world = Home();
  AddNodes(world, "home", 1);
  PoolOf(world, "big").accelerators[0].workers = 3;
  Lose(world, "home-3");
  const Plan plan = Checked(world);
  ASSERT_FALSE(DecisionOf(plan, "next").reservation);
  EXPECT_EQ(In(EstimateOf(world, "next")), -1);
  EXPECT_EQ(FormatWhy(world, plan, DecisionOf(plan, "next")).find("estimate:"), std::string::npos);
  NodeOf(world, "home-3").cordoned = true;  // it is not back when it is ready
  PoolOf(world, "big").accelerators[0].workers = 2;
  EXPECT_EQ(In(EstimateOf(world, "next")), 3500) << "who waits does so for others";
}

// It starts anew on other nodes if that one stays away.
TEST(Estimate, IsNotBesideWhoHasLostSightOfItsNodes) {
  Snapshot world = Home();
  AddNodes(world, "home", 1);
  AddEnding(world, "third", {"home-3"}, 3200);
  Lose(world, "home-3");
  EXPECT_EQ(In(EstimateOf(world, "next")), -1);
  PoolOf(world, "third").on_unreachable = placement::OnUnreachable::kWait;
  EXPECT_EQ(In(EstimateOf(world, "next")), 3500);
}

TEST(Estimate, IsMarkedAsOne) {
  const Snapshot world = Home();
  const Plan plan = Checked(world);
  const PoolDecision& next = DecisionOf(plan, "next");
  EXPECT_THAT(FormatWhy(world, plan, next),
              HasSubstr("\n  estimate: starts on home by 2026-11-24T12:58:20Z, when "
                        "activeDeadlineSeconds of team/big, team/late and team/soon are over; "
                        "nothing is reserved for it\n"));
  EXPECT_THAT(WriteWhy(world, plan, next.key, placement::Form::kJson),
              HasSubstr("\"estimate\": {\"nodeGroup\": \"home\", \"startsBy\": "
                        "\"2026-11-24T12:58:20Z\", \"after\": [\"team/big\", \"team/late\", "
                        "\"team/soon\"]}"));
}

TEST(Estimate, SaysWhoMayRunForEver) {
  Snapshot world = Home();
  PoolOf(world, "big").active_deadline.reset();
  const Plan plan = Checked(world);
  EXPECT_THAT(FormatWhy(world, plan, DecisionOf(plan, "next")),
              HasSubstr("\n  estimate: nobody can say when it starts on home: team/big has no "
                        "activeDeadlineSeconds\n"));
}

// ---- played ----

// Nobody is made to go, moves home, or runs for ever who has a deadline: what estimates assume.
TrainingPool RandomGang(Dice& dice, int number, bool spaces) {
  TrainingPool pool =
      Wants("p" + std::to_string(number), dice.Roll(4) + 1, dice.Pick<int>({1, 2, 4, 8, 8}));
  if (spaces && dice.OneIn(3)) pool.key.ns = "others";
  pool.priority = dice.Roll(2);
  pool.preempts = placement::Preempts::kNever;
  pool.return_home = placement::ReturnHome::kNever;
  pool.spill_allowed = dice.OneIn(3);
  pool.spill_after = Seconds{100 * dice.Roll(8)};
  pool.checkpoint_grace = Seconds{10 * (dice.Roll(6) + 1)};
  if (!dice.OneIn(12)) pool.active_deadline = Seconds{100 * (dice.Roll(20) + 1)};
  if (dice.OneIn(4)) pool.topology = placement::TopologyMode::kRequired;
  if (dice.OneIn(4) && pool.accelerators[0].workers > 1) {
    pool.accelerators[0].min_workers = dice.Roll(pool.accelerators[0].workers) + 1;
  }
  return pool;
}

struct Scenario {
  Snapshot world;
  std::vector<Arrival> arrivals;
};

Scenario RandomScenario(uint32_t seed) {
  Dice dice(seed);
  Scenario scenario;
  scenario.world = Fleet(0, dice.OneIn(3) ? dice.Roll(3) : 0);
  const bool two = dice.OneIn(3);
  if (two) scenario.world.groups.push_back(Group("home2"));
  for (const char* group : {"home", "home2"}) {
    if (group == std::string("home2") && !two) continue;
    const int nodes = dice.Roll(5) + 1;
    for (int n = 0; n < nodes; ++n) {
      AddNodes(scenario.world, group, 1, dice.Pick<int>({8, 8, 8, 4}), dice.OneIn(2) ? "d1" : "d2");
    }
  }
  const bool spaces = dice.OneIn(3);
  if (dice.OneIn(4)) {
    scenario.world.quotas = {
        {.ns = "team", .limits = {{.type = "a100", .limit = 8 * (dice.Roll(12) + 1)}}}};
  }
  const int gangs = dice.Roll(10) + 2;
  for (int i = 0; i < gangs; ++i) {
    Arrival& arrival = scenario.arrivals.emplace_back();
    arrival.pool = RandomGang(dice, i, spaces);
    arrival.at = Seconds{dice.Roll(400)};
    const auto deadline = arrival.pool.active_deadline;
    arrival.runs_for = deadline ? *deadline * (dice.Roll(15) + 1) / 10 : Seconds{1'000'000'000};
  }
  return scenario;
}

struct Seen {
  int estimates = 0;
  int gangs = 0;
  double waited = 0;  // of the times that the first estimates of gangs said
  int without = 0;    // gangs that waited and had none
};

void ExpectInTime(uint32_t seed, Seen& seen) {
  const Scenario scenario = RandomScenario(seed);
  Seconds last{0};
  for (const Arrival& one : scenario.arrivals) last = std::max(last, one.at);
  struct Said {
    Time at{};
    Time by{};
  };
  std::map<PoolKey, std::vector<Said>> said;
  std::set<PoolKey> waiting;
  const auto planner = [&](const Snapshot& world) -> Result<Plan> {
    auto plan = placement::VerifiedPlan(world);
    if (!plan || world.now < kNow + last) return plan;
    for (const PoolDecision& decision : plan->pools) {
      if (decision.position == 0 || decision.reservation) continue;
      waiting.insert(decision.key);
      const auto estimate = EstimateFor(world, decision);
      if (estimate && estimate->starts_by) {
        said[decision.key].push_back({.at = world.now, .by = *estimate->starts_by});
      }
    }
    return plan;
  };
  // A pass sees that pods are bound a second later, and until then a gang may not fit beside them.
  PlayRules rules;
  rules.startup = Seconds{1};
  const auto record = Play(scenario.world, scenario.arrivals, planner, rules);
  ASSERT_TRUE(record.ok()) << record.error().message;
  Seconds bound{0};
  for (const placement::GangRecord& gang : record->gangs) bound += Seconds{gang.attempts};
  for (const placement::GangRecord& gang : record->gangs) {
    if (waiting.contains(gang.key)) ++(said.contains(gang.key) ? seen.gangs : seen.without);
    for (const Said& one : said[gang.key]) {
      ++seen.estimates;
      ASSERT_TRUE(gang.started && *gang.started <= one.by + bound)
          << "seed " << seed << ": " << gang.key.Format() << " at " << FormatTime(one.at) << " by "
          << FormatTime(one.by) << ", started "
          << (gang.started ? FormatTime(*gang.started) : "never");
    }
    if (said[gang.key].empty()) continue;
    const Said& first = said[gang.key].front();
    seen.waited += static_cast<double>((*gang.started - first.at).count()) /
                   static_cast<double>(std::max<int64_t>((first.by - first.at).count(), 1));
  }
}

TEST(Estimate, IsNeverTooEarly) {
  Seen seen;
  for (uint32_t seed = 0; seed < Seeds(1000U); ++seed) {
    ASSERT_NO_FATAL_FAILURE(ExpectInTime(seed, seen));
  }
  std::cout << seen.estimates << " estimates of " << seen.gangs << " gangs, " << seen.without
            << " had none; they waited " << seen.waited / std::max(seen.gangs, 1)
            << " of the time\n";
  EXPECT_GT(seen.gangs, Seeds(600));
  EXPECT_GT(seen.waited / seen.gangs, 0.3) << "the bound is a loose one";
}

}  // namespace
}  // namespace spillway::tests
