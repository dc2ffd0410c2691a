// Money above home: how it is counted over time, and what its limits hold back.
#include "placement/spend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "placement/plan.h"
#include "tests/support/builders.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::Budget;
using placement::BudgetPeriod;
using placement::MakePlan;
using placement::Period;
using placement::PeriodOf;
using placement::Plan;
using placement::PoolDecision;
using placement::Quota;
using placement::Reason;
using placement::SpendBook;
using placement::SpendMemory;
using placement::SpentBy;
using testing::ElementsAre;
using testing::HasSubstr;

// ---- periods ----

TEST(Periods, AreThoseOfTheCalendarInUtc) {
  struct Case {
    BudgetPeriod period;
    const char* now;
    const char* start;
    const char* end;
  };
  const std::vector<Case> cases = {
      {BudgetPeriod::kDay, "2026-11-24T00:00:00Z", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"},
      {BudgetPeriod::kDay, "2026-11-24T23:59:59Z", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"},
      {BudgetPeriod::kWeek, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},
      {BudgetPeriod::kWeek, "2026-11-29T23:59:59Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},
      {BudgetPeriod::kWeek, "2027-01-01T12:00:00Z", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"},
      {BudgetPeriod::kMonth, "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z",
       "2026-12-01T00:00:00Z"},
      {BudgetPeriod::kMonth, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z",
       "2027-01-01T00:00:00Z"},
      {BudgetPeriod::kMonth, "2028-02-29T01:00:00Z", "2028-02-01T00:00:00Z",
       "2028-03-01T00:00:00Z"},
  };
  for (const Case& c : cases) {
    const Period period = PeriodOf(c.period, At(c.now));
    EXPECT_EQ(FormatTime(period.start), c.start) << Name(c.period) << " of " << c.now;
    EXPECT_EQ(FormatTime(period.end), c.end) << Name(c.period) << " of " << c.now;
  }
}

TEST(Spent, GoesOnFromWhatIsRemembered) {
  const Period day = PeriodOf(BudgetPeriod::kDay, kNow);
  struct Case {
    const char* sentence;
    SpendMemory memory;
    const char* spent;
  };
  const std::vector<Case> cases = {
      {"what is spent an hour, for the time since",
       {Dollars("10"), Dollars("6"), kNow - Seconds{1800}, day.start},
       "13.00"},
      {"nothing is spent, nothing is added",
       {Dollars("10"), Money(), kNow - Seconds{1800}, day.start},
       "10.00"},
      {"what belongs to the day before is forgotten, and only today counts",
       {Dollars("10"), Dollars("6"), day.start - Seconds{7200}, day.start - Seconds{86400}},
       "72.00"},
      {"a longer period says nothing about the day, apart from what has been spent since",
       {Dollars("10"), Dollars("6"), kNow - Seconds{600}, day.start - Seconds{864000}},
       "1.00"},
      {"a shorter one is part of it",
       {Dollars("10"), Dollars("6"), kNow - Seconds{600}, day.start + Seconds{3600}},
       "11.00"},
      {"a clock that goes back takes nothing back",
       {Dollars("10"), Dollars("6"), kNow + Seconds{600}, day.start},
       "10.00"},
  };
  for (const Case& c : cases)
    EXPECT_EQ(SpentBy(c.memory, day, kNow).Format(), c.spent) << c.sentence;
}

// ---- the count over time, second by second ----

Snapshot WithBudget(Budget budget) {
  Snapshot world;
  world.now = kNow;
  world.quotas = {{.ns = "team", .limits = {}}};
  world.quotas[0].budget = budget;
  return world;
}

// A pass at the world's moment, in which it is decided to spend so much an hour; remembers what it
// says. Says what has been spent by then.
Money Pass(Snapshot& world, Money hourly) {
  SpendBook book(world);
  book.Add("team", hourly);
  const auto report = *book.Report("team").budget;
  world.quotas[0].memory = report.memory;
  return report.spent;
}

// Passes at odd times, with pauses of hours in which nobody looks; what is spent an hour changes in
// passes only.
TEST(Spent, IsWhatWasDecidedAddedUpSecondBySecondWhoeverWasAwayMeanwhile) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    Dice dice(seed);
    const auto period = dice.Pick<BudgetPeriod>({BudgetPeriod::kDay, BudgetPeriod::kWeek});
    Snapshot world = WithBudget({Dollars("500"), period});
    Money hourly;
    int64_t sum = 0;  // in millionths an hour × seconds
    for (int pass = 0; pass < 80; ++pass) {
      const int pause = dice.OneIn(10) ? dice.Roll(40'000) : dice.Roll(300);
      for (int second = 0; second < pause; ++second) {
        if (PeriodOf(period, world.now).start == world.now) sum = 0;
        sum += hourly.micros();
        world.now += Seconds{1};
      }
      if (PeriodOf(period, world.now).start == world.now) sum = 0;
      if (dice.OneIn(4)) hourly = Money::FromMicros(dice.Roll(90'000'000));
      const Money spent = Pass(world, hourly);
      // Each time that something is remembered may round by half a millionth.
      ASSERT_NEAR(static_cast<double>(spent.micros()), static_cast<double>(sum) / 3600, pass + 1)
          << "seed " << seed << " pass " << pass;
    }
  }
}

TEST(Spent, IsRememberedRarelyAndNotAtAllWhereNothingIsSpent) {
  for (const auto& [hourly, most] : std::vector<std::pair<const char*, int>>{
           {"0", 1},       // the first time
           {"0.01", 721},  // every hour
           {"30", 721},    // the month's budget lasts for 33 hours: every percent, then every hour
           {"5000", 741},  // 12 minutes: every minute, then every hour
       }) {
    Snapshot world = WithBudget({Dollars("1000"), BudgetPeriod::kMonth});
    world.now = At("2026-11-01T00:00:00Z");
    int writes = 0;
    for (; world.now < At("2026-12-01T00:00:00Z"); world.now += Seconds{10}) {
      const auto before = world.quotas[0].memory;
      Pass(world, Dollars(hourly));
      if (before != world.quotas[0].memory) ++writes;
    }
    EXPECT_LE(writes, most + (std::string(hourly) == "30" ? 100 : 0)) << hourly;
    EXPECT_GE(writes, std::string(hourly) == "0" ? 1 : 718) << hourly;
  }
}

TEST(Spent, IsRememberedAtOnceWhenWhatIsSpentChangesOrTheBudgetIsUsedUp) {
  Snapshot world = WithBudget({Dollars("100"), BudgetPeriod::kMonth});
  Pass(world, Dollars("3600"));
  world.now += Seconds{30};
  EXPECT_EQ(Pass(world, Dollars("3600")), Dollars("30"));
  EXPECT_EQ(world.quotas[0].memory->as_of, kNow) << "too soon";
  Pass(world, Dollars("7200"));
  EXPECT_EQ(world.quotas[0].memory,
            (SpendMemory{Dollars("30"), Dollars("7200"), world.now, At("2026-11-01T00:00:00Z")}));
  world.now += Seconds{34};
  Pass(world, Dollars("7200"));
  EXPECT_EQ(world.quotas[0].memory->spent, Dollars("30"));
  world.now += Seconds{1};
  Pass(world, Dollars("7200"));
  EXPECT_EQ(world.quotas[0].memory->spent, Dollars("100"));
}

TEST(Spent, IsRememberedAnewWhenAPeriodBegins) {
  for (const auto& [hourly, spent] : {std::pair("36", "0.05"), {"0", "0.00"}}) {
    Snapshot world = WithBudget({Dollars("100"), BudgetPeriod::kMonth});
    world.quotas[0].memory = {Dollars("7"), Dollars(hourly), At("2026-11-30T23:59:00Z"),
                              At("2026-11-01T00:00:00Z")};
    world.now = At("2026-11-30T23:59:55Z");
    EXPECT_EQ(MakePlan(world).next_wake, At("2026-12-01T00:00:00Z"));
    world.now = At("2026-12-01T00:00:05Z");
    EXPECT_EQ(Pass(world, Dollars(hourly)).Format(), spent);
    EXPECT_EQ(world.quotas[0].memory, (SpendMemory{Dollars(spent), Dollars(hourly), world.now,
                                                   At("2026-12-01T00:00:00Z")}));
  }
}

TEST(Spent, CountsNoSecondTwiceWhenTheClockGoesBack) {
  Snapshot world = WithBudget({Dollars("100"), BudgetPeriod::kMonth});
  Pass(world, Dollars("36"));
  world.now = kNow + Seconds{1000};
  EXPECT_EQ(Pass(world, Dollars("72")), Dollars("10"));
  world.now = kNow + Seconds{500};
  EXPECT_EQ(Pass(world, Dollars("36")), Dollars("10"));
  world.now = kNow + Seconds{1100};
  EXPECT_EQ(Pass(world, Dollars("36")), Dollars("11"));
}

TEST(Spent, ForgetsNothingWhenTheClockGoesBackToThePeriodBefore) {
  Snapshot world = WithBudget({Dollars("100"), BudgetPeriod::kMonth});
  world.now = At("2026-11-30T23:00:00Z");
  Pass(world, Dollars("36"));
  world.now = At("2026-12-01T00:00:10Z");
  EXPECT_EQ(Pass(world, Dollars("36")), Dollars("0.1"));
  world.now = At("2026-11-30T23:59:55Z");
  Pass(world, Dollars("72"));
  world.now = At("2026-12-01T00:00:20Z");
  EXPECT_EQ(Pass(world, Dollars("72")), Dollars("0.3"));
}

TEST(Spent, WakesThePlannerToRememberIt) {
  Snapshot world = Fleet(0, 2);
  AddRunning(world, "first", 2, 8, "azure", {"azure-1", "azure-2"}, 10);
  world.quotas = WithBudget({Dollars("1000"), BudgetPeriod::kMonth}).quotas;
  EXPECT_EQ(MakePlan(world).next_wake, kNow + Seconds{562}) << "ten of the thousand, at 64 an hour";
  world.quotas[0].budget->amount = Dollars("100000");
  EXPECT_EQ(MakePlan(world).next_wake, kNow + Seconds{3600});
}

// ---- what limits hold back: gangs ----

Plan Decide(const Snapshot& world) {
  const Plan plan = MakePlan(world);
  const Status status = Verify(world, plan);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return plan;
}

Quota& Team(Snapshot& world) {
  if (world.quotas.empty()) world.quotas.push_back({.ns = "team", .limits = {}});
  return world.quotas[0];
}

void UseUp(Quota& quota, const char* amount = "100") {
  quota.budget = {Dollars(amount), BudgetPeriod::kMonth};
  quota.memory = {Dollars(amount), Money(), kNow - Seconds{60}, At("2026-11-01T00:00:00Z")};
}

// No home, 4 nodes in a cloud at 32 an hour; first and second ask for two nodes each: 64 an hour.
Snapshot Cloud() {
  Snapshot world = Fleet(0, 4);
  world.pools = {Wants("first", 2), Wants("second", 2)};
  world.pools[0].memory.queued_since = kNow - Seconds{60};
  return world;
}

TEST(SpendLimits, HoldBackWhatIsNewAboveHome) {
  struct Case {
    const char* sentence;
    std::function<void(Snapshot&)> make;
    const char* first;
    const char* second;
  };
  const std::string on_1_and_2 = "first@azure[azure-1 azure-2]#1";
  const std::string on_3_and_4 = "second@azure[azure-3 azure-4]#1";
  const std::vector<Case> cases = {
      {"without a limit", [](auto&) {}, on_1_and_2.c_str(), on_3_and_4.c_str()},
      {"a pool's own limit, and nobody else's",
       [](Snapshot& w) { w.pools[0].spill_max_hourly_cost = Dollars("63.99"); },
       "first!SpendLimitReached", "second@azure[azure-1 azure-2]#1"},
      {"which may be reached",
       [](Snapshot& w) { w.pools[0].spill_max_hourly_cost = Dollars("64"); }, on_1_and_2.c_str(),
       on_3_and_4.c_str()},
      {"two in one pass do not cross their namespace's limit together",
       [](Snapshot& w) { Team(w).max_hourly_cost = Dollars("127.99"); }, on_1_and_2.c_str(),
       "second!SpendLimitReached"},
      {"which may be reached too", [](Snapshot& w) { Team(w).max_hourly_cost = Dollars("128"); },
       on_1_and_2.c_str(), on_3_and_4.c_str()},
      {"another namespace's limit is nothing to them",
       [](Snapshot& w) {
         w.quotas = {{.ns = "other", .limits = {}}};
         w.quotas[0].max_hourly_cost = Money();
         UseUp(w.quotas[0]);
       },
       on_1_and_2.c_str(), on_3_and_4.c_str()},
      {"a budget that is used up", [](Snapshot& w) { UseUp(Team(w)); }, "first!SpendLimitReached",
       "second!SpendLimitReached"},
      {"a budget of which a millionth is left",
       [](Snapshot& w) {
         UseUp(Team(w));
         Team(w).memory->spent = Money::FromMicros(99'999'999);
       },
       on_1_and_2.c_str(), on_3_and_4.c_str()},
      {"a budget that what is remembered has used up by now",
       [](Snapshot& w) {
         UseUp(Team(w));
         Team(w).memory->spent = Dollars("99");
         Team(w).memory->hourly = Dollars("60");
       },
       "first!SpendLimitReached", "second!SpendLimitReached"},
      {"a budget that was used up in the month before",
       [](Snapshot& w) {
         UseUp(Team(w));
         Team(w).memory->period_start = At("2026-10-01T00:00:00Z");
       },
       on_1_and_2.c_str(), on_3_and_4.c_str()},
      {"home costs, but is no spill",
       [](Snapshot& w) {
         GroupOf(w, "azure").tier = 0;
         w.pools[0].spill_max_hourly_cost = Money();
         Team(w).max_hourly_cost = Money();
         UseUp(Team(w));
       },
       on_1_and_2.c_str(), on_3_and_4.c_str()},
      {"what costs nothing at the margin is in nobody's way",
       [](Snapshot& w) {
         GroupOf(w, "azure").marginal_per_node_hour = Money();
         w.pools[0].spill_max_hourly_cost = Money();
         Team(w).max_hourly_cost = Money();
         UseUp(Team(w));
       },
       on_1_and_2.c_str(), on_3_and_4.c_str()},
      {"a gang of the other kind of accelerators that costs less",
       [](Snapshot& w) {
         w.groups.push_back(Group("cheap", 20));
         GroupOf(w, "cheap").marginal_per_node_hour = Dollars("1");
         AddNodes(w, "cheap", 2);
         w.pools[0].spill_max_hourly_cost = Dollars("2");
       },
       "first@cheap[cheap-1 cheap-2]#1", "second@azure[azure-1 azure-2]#1"},
  };
  for (const Case& c : cases) {
    Snapshot world = Cloud();
    c.make(world);
    EXPECT_THAT(Brief(Decide(world)), ElementsAre(c.first, c.second)) << c.sentence;
  }
}

TEST(SpendLimits, AreCountedInWholeThings) {
  Snapshot world = Cloud();
  Team(world).max_hourly_cost = Dollars("10");
  SpendBook book(world);
  book.Add("team", Dollars("4"));
  EXPECT_EQ(book.HowMany("team", Dollars("2.5"), 9), 2);
  EXPECT_EQ(book.HowMany("team", Dollars("2.5"), 1), 1);
  EXPECT_EQ(book.HowMany("team", Money(), 9), 9);
  EXPECT_EQ(book.HowMany("other", Dollars("2.5"), 9), 9);
  book.Add("team", Dollars("60"));
  EXPECT_EQ(book.HowMany("team", Dollars("2.5"), 9), 0) << "the limit was lowered";
}

TEST(SpendLimits, SayAllThatWouldHaveToBeRaised) {
  Snapshot world = Cloud();
  world.groups.erase(world.groups.begin());  // home
  world.pools[0].spill_max_hourly_cost = Dollars("50");
  Team(world).max_hourly_cost = Dollars("60");
  Plan plan = Decide(world);
  EXPECT_EQ(
      plan.pools[0].placed_message,
      "azure: would cost 64.00 USD an hour, more than placement.spill.maxHourlyCost of 50.00");
  EXPECT_THAT(plan.pools[0].remedies,
              ElementsAre("azure: raise placement.spill.maxHourlyCost of 50.00 to 64.00; raise "
                          "spend.maxHourlyCost of 60.00 in namespace team to 64.00"));
  world.pools[0].spill_max_hourly_cost.reset();
  UseUp(Team(world));
  plan = Decide(world);
  EXPECT_THAT(plan.pools[0].placed_message, HasSubstr("has used up its spend.budget"));
  EXPECT_THAT(plan.pools[0].remedies.front(),
              HasSubstr("; raise spend.maxHourlyCost of 60.00 in namespace team to 64.00"));
}

TEST(SpendLimits, SayTheNumbersAndWhatWouldHelp) {
  Snapshot start = Cloud();
  start.groups.erase(start.groups.begin());  // home
  Snapshot world = start;
  world.pools[0].spill_max_hourly_cost = Dollars("50");
  Plan plan = Decide(world);
  EXPECT_EQ(
      plan.pools[0].placed_message,
      "azure: would cost 64.00 USD an hour, more than placement.spill.maxHourlyCost of 50.00");
  EXPECT_THAT(plan.pools[0].remedies,
              ElementsAre("azure: raise placement.spill.maxHourlyCost of 50.00 to 64.00"));
  world = start;
  Team(world).max_hourly_cost = Dollars("100");
  plan = Decide(world);
  EXPECT_EQ(plan.pools[1].placed_message,
            "azure: would cost 64.00 USD an hour, and namespace team has 64.00 of its "
            "spend.maxHourlyCost of 100.00 in use");
  EXPECT_THAT(
      plan.pools[1].remedies,
      ElementsAre("azure: raise spend.maxHourlyCost of 100.00 in namespace team to 128.00"));
  UseUp(Team(world));
  plan = Decide(world);
  EXPECT_EQ(plan.pools[0].placed_message,
            "azure: would cost 64.00 USD an hour, and namespace team has used up its spend.budget "
            "of 100.00 for this Month; the next one begins at 2026-12-01T00:00:00Z");
  EXPECT_THAT(plan.pools[0].remedies,
              ElementsAre("azure: raise spend.budget.amount of 100.00 in namespace team, or wait "
                          "until 2026-12-01T00:00:00Z"));
}

TEST(SpendLimits, AreTheReasonWhereOnlyTheyKeepTheGangOutAndRoomWhereThereIsNone) {
  Snapshot world = Cloud();
  AddNodes(world, "home", 2);
  Use(world, "home-1", 1);
  Team(world).max_hourly_cost = Money();
  EXPECT_EQ(Brief(Decide(world).pools[0]), "first!SpendLimitReached")
      << "also while it would hold back";
  EXPECT_THAT(Decide(world).pools[0].placed_message,
              HasSubstr("; home: needs 2 workers of 8 accelerators"));
  for (int i = 1; i <= 3; ++i) Use(world, "azure-" + std::to_string(i), 1);
  EXPECT_EQ(Brief(Decide(world).pools[0]), "first!WaitingForCapacity");
}

// first runs on azure-1 and azure-2, its namespace may spend nothing.
Snapshot Running() {
  Snapshot world = Fleet(0, 4);
  AddRunning(world, "first", 2, 8, "azure", {"azure-1", "azure-2"}, 10);
  Team(world).max_hourly_cost = Money();
  UseUp(Team(world));
  world.pools[0].spill_max_hourly_cost = Money();
  return world;
}

TEST(SpendLimits, LeaveWhatRunsWhereItIs) {
  Snapshot world = Running();
  EXPECT_EQ(Decide(world).pools[0].action, Action::kKeep);
  world.nodes.erase(world.nodes.begin() + 1);
  const PoolDecision restarted = Decide(world).pools[0];
  EXPECT_EQ(restarted.action, Action::kRestart) << "a new attempt is nothing new";
  EXPECT_EQ(Brief(restarted), "first@azure[azure-1 azure-3]#2");
}

TEST(SpendLimits, AreForAGangThatGrows) {
  Snapshot world = Running();
  world.nodes.erase(world.nodes.begin() + 1);
  world.pools[0].memory.placement->per_worker = 4;  // it had half of what it asks for now
  world.pools[0].spill_max_hourly_cost.reset();
  Quota& team = Team(world);
  team.budget.reset();
  team.max_hourly_cost = Dollars("63.99");
  EXPECT_EQ(Decide(world).pools[0].action, Action::kRelease);
  team.max_hourly_cost = Dollars("64");
  EXPECT_EQ(Decide(world).pools[0].action, Action::kRestart) << "what it had counts once";
  UseUp(team);
  EXPECT_EQ(Decide(world).pools[0].action, Action::kRelease);
  team.budget.reset();
  world.pools[0].spill_max_hourly_cost = Dollars("63.99");
  EXPECT_EQ(Decide(world).pools[0].action, Action::kRelease);
}

TEST(SpendLimits, CountWhatHasEndedNoMore) {
  Snapshot world = Running();
  world.quotas[0].budget.reset();
  world.quotas[0].max_hourly_cost = Dollars("64");
  world.pools.push_back(Wants("second", 2));
  EXPECT_EQ(Brief(Decide(world).pools[1]), "second!SpendLimitReached");
  world.pools[0].attempt.complete = true;
  EXPECT_TRUE(Decide(world).pools[1].placed);
}

// ---- what limits hold back: replicas ----

// 8 replicas fit at home; those in the cloud cost 4 an hour each.
Snapshot Serving() {
  Snapshot world = Fleet(1, 1);
  world.inference_pools = {Chat(10)};
  world.inference_pools[0].key.ns = "team";
  return world;
}

TEST(SpendLimits, AllowAsManyReplicasAsThereIsMoneyFor) {
  Snapshot world = Serving();
  Team(world).max_hourly_cost = Dollars("7.99");
  auto decision = Decide(world).inference_pools[0];
  EXPECT_EQ(Mix(decision), "1 gpu@azure, 8 gpu@home");
  EXPECT_EQ(decision.capacity_reason, Reason::kSpendLimitReached);
  EXPECT_THAT(decision.capacity_message,
              HasSubstr("gpu@azure: 1 more replica would cost 4.00 USD an hour, and namespace team "
                        "has 4.00 of its spend.maxHourlyCost of 7.99 in use"));
  EXPECT_THAT(
      decision.remedies,
      testing::Contains("gpu@azure: raise spend.maxHourlyCost of 7.99 in namespace team to 8.00"));
  Team(world).max_hourly_cost = Dollars("8");
  EXPECT_EQ(Mix(Decide(world).inference_pools[0]), "2 gpu@azure, 8 gpu@home");
  UseUp(Team(world));
  EXPECT_EQ(Mix(Decide(world).inference_pools[0]), "8 gpu@home");
  EXPECT_THAT(Decide(world).inference_pools[0].capacity_message, HasSubstr("used up"));
}

TEST(SpendLimits, AreSharedByGangsAndReplicasOfANamespace) {
  Snapshot world = Serving();
  world.pools = {Wants("gang", 1, 4)};
  world.pools[0].providers = {placement::Provider::kAzure};
  world.pools[0].spill_after = Seconds{0};
  world.pools[0].priority = 1;
  Team(world).max_hourly_cost = Dollars("20");
  const Plan plan = Decide(world);
  EXPECT_EQ(Brief(plan.pools[0]), "gang@azure[azure-1]#1") << "16 an hour";
  EXPECT_EQ(Mix(plan.inference_pools[0]), "1 gpu@azure, 8 gpu@home") << "the 4 that are left";
  ASSERT_EQ(plan.quotas.size(), 1U);
  EXPECT_EQ(plan.quotas[0].spend.hourly_cost, Dollars("20"));
}

TEST(SpendLimits, TakeNoReplicaAway) {
  Snapshot world = Serving();
  auto& pool = world.inference_pools[0];
  Runs(world, pool, "gpu", "home", 8, 8, {"home-1"});
  Runs(world, pool, "gpu", "azure", 2, 2, {"azure-1"}, 10);
  Team(world).max_hourly_cost = Money();
  UseUp(Team(world));
  EXPECT_EQ(Mix(Decide(world).inference_pools[0]), "2 gpu@azure, 8 gpu@home");
}

// ---- time ----

TEST(SpendLimits, OfABudgetEndWithThePeriod) {
  Snapshot world = Cloud();
  UseUp(Team(world));
  const Plan plan = Decide(world);
  EXPECT_EQ(plan.next_wake, At("2026-12-01T00:00:00Z"));
  world = Applied(world, plan);
  world.now = *plan.next_wake;
  EXPECT_THAT(Brief(Decide(world)),
              ElementsAre(HasSubstr("first@azure"), HasSubstr("second@azure")));
}

TEST(SpendLimits, OfABudgetBeginWhenItIsUsedUp) {
  Snapshot world = Fleet(0, 4);
  AddRunning(world, "first", 2, 8, "azure", {"azure-1", "azure-2"}, 10);
  Team(world).budget = {Dollars("0.8"), BudgetPeriod::kMonth};  // 64 an hour: 45 seconds
  const Plan plan = Decide(world);
  EXPECT_EQ(plan.next_wake, kNow + Seconds{45});
  world = Applied(world, plan);
  world.pools.push_back(Wants("second", 2));
  world.now = kNow + Seconds{44};
  EXPECT_TRUE(DecisionOf(Decide(world), "second").placed);
  world.now = kNow + Seconds{45};
  EXPECT_FALSE(DecisionOf(Decide(world), "second").placed);
  world = Fleet(0, 2);
  AddRunning(world, "first", 2, 8, "azure", {"azure-1", "azure-2"}, 10);
  Team(world).budget = {Dollars("0.81"), BudgetPeriod::kMonth};  // 45.6 seconds
  EXPECT_EQ(Decide(world).next_wake, kNow + Seconds{46});
}

// ---- reports ----

TEST(SpendReport, HasWhatIsSpentNowAndWhatIsToBeRemembered) {
  Snapshot world = Running();
  Team(world).max_hourly_cost = Dollars("500");
  Team(world).memory = {Dollars("50"), Dollars("64"), kNow - Seconds{900},
                        At("2026-11-01T00:00:00Z")};
  const Plan plan = Decide(world);
  ASSERT_EQ(plan.quotas.size(), 1U);
  const placement::SpendReport& spend = plan.quotas[0].spend;
  EXPECT_EQ(spend.hourly_cost, Dollars("64"));
  EXPECT_EQ(spend.max_hourly_cost, Dollars("500"));
  ASSERT_TRUE(spend.budget.has_value());
  EXPECT_EQ(spend.budget->amount, Dollars("100"));
  EXPECT_EQ(spend.budget->spent, Dollars("66"));
  EXPECT_EQ(spend.budget->period_end, At("2026-12-01T00:00:00Z"));
  EXPECT_EQ(spend.budget->memory,
            (SpendMemory{Dollars("66"), Dollars("64"), kNow, At("2026-11-01T00:00:00Z")}));
  EXPECT_THAT(FormatPlan(plan, true),
              HasSubstr("team  64.00 an hour above home, limit 500.00\n"
                        "team  66.00 of the budget of 100.00 spent above home; the next begins at "
                        "2026-12-01T00:00:00Z\n"));
  EXPECT_EQ(Applied(world, plan).quotas[0].memory, spend.budget->memory);
  world.quotas[0].budget.reset();
  EXPECT_EQ(Applied(world, Decide(world)).quotas[0].memory, std::nullopt);
}

// ---- Verify ----

TEST(Verify, FindsMoneyThatMayNotBeSpent) {
  struct Case {
    std::function<void(Snapshot&)> breaks;
    const char* gang;
    const char* replicas;
  };
  const std::vector<Case> cases = {
      {[](Snapshot& w) {
         for (auto& pool : w.pools) pool.spill_max_hourly_cost = Dollars("15.99");
         for (auto& pool : w.inference_pools) pool.spill_max_hourly_cost = Dollars("7.99");
       },
       "team/gang costs more above home than it may",
       "team/chat has replicas that cost more above home than they may"},
      {[](Snapshot& w) { Team(w).max_hourly_cost = Dollars("7.99"); },
       "team/gang crosses the spend limit of its namespace",
       "team/chat adds replicas across the spend limit of its namespace"},
      {[](Snapshot& w) { UseUp(Team(w)); }, "team/gang crosses the spend limit of its namespace",
       "team/chat adds replicas across the spend limit of its namespace"},
  };
  Snapshot gang = Fleet(0, 1);
  gang.pools = {Wants("gang", 1, 4)};
  const Snapshot replicas = Serving();
  for (const Case& c : cases) {
    for (const auto& [start, message] : {std::pair(gang, c.gang), {replicas, c.replicas}}) {
      const Plan plan = Decide(start);
      Snapshot world = start;
      c.breaks(world);
      const Status status = Verify(world, plan);
      ASSERT_FALSE(status.ok()) << message;
      EXPECT_EQ(status.error().message, message);
    }
  }
}

}  // namespace
}  // namespace spillway::tests
