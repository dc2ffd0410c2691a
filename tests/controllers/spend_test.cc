// Spend limits from the API to the status: what is read, what is remembered, and how often.

#include "controllers/observe.h"
#include "tests/controllers/loop_fixture.h"

namespace spillway::controllers {
namespace {

using crds::v1alpha1::PoolQuota;
using crds::v1alpha1::PoolQuotaStatus;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsEmpty;

const Time kNow{Seconds(1'000'000)};

PoolQuota QuotaOfLab() {
  PoolQuota quota;
  quota.meta.ns = "lab";
  quota.meta.name = "default";
  quota.meta.generation = 1;
  return quota;
}

placement::Snapshot Observed(const PoolQuota& quota) {
  World world;
  world.pool_quotas = {std::make_shared<const PoolQuota>(quota)};
  auto pool = samples::Pool();
  pool.spec.placement.Own().spill_max_hourly_cost = "5000.5";
  world.training_pools = {std::make_shared<const crds::v1alpha1::TrainingPool>(pool)};
  const Settings settings;
  const std::map<std::string, std::string> conflicts;
  ObserveInput input;
  input.now = kNow;
  input.settings = &settings;
  input.name_conflicts = &conflicts;
  input.ask_template = [](const auto&) {
    return TemplateAnswer{TemplateAnswer::State::kValid, {}, {}};
  };
  return Observe(world, Families(world), input);
}

TEST(ObserveSpend, ReadsLimitsAndWhatTheStatusRemembers) {
  PoolQuota quota = QuotaOfLab();
  placement::Snapshot snapshot = Observed(quota);
  EXPECT_EQ(snapshot.pools[0].spill_max_hourly_cost, Money::FromMicros(5'000'500'000));
  EXPECT_EQ(snapshot.quotas[0].max_hourly_cost, std::nullopt);
  EXPECT_EQ(snapshot.quotas[0].budget, std::nullopt);
  EXPECT_EQ(snapshot.quotas[0].memory, std::nullopt);
  quota.spec.spend.max_hourly_cost = "0";
  quota.spec.spend.budget = {"100.25", "Week", "DrainAtCheckpoint"};
  quota.status.hourly_cost = "1.5";
  snapshot = Observed(quota);
  EXPECT_EQ(snapshot.quotas[0].max_hourly_cost, Money()) << "nothing, not no limit";
  EXPECT_EQ(snapshot.quotas[0].budget,
            (placement::Budget{Money::FromMicros(100'250'000), placement::BudgetPeriod::kWeek,
                               placement::AtLimit::kDrainAtCheckpoint}));
  EXPECT_EQ(snapshot.quotas[0].memory, std::nullopt) << "nothing counted yet";
  quota.status.budget_spent = "7";
  quota.status.as_of = kNow - Seconds{60};
  quota.status.period_start = kNow - Seconds{600};
  EXPECT_EQ(Observed(quota).quotas[0].memory,
            (placement::SpendMemory{Money::FromMicros(7'000'000), Money::FromMicros(1'500'000),
                                    kNow - Seconds{60}, kNow - Seconds{600}}));
}

placement::QuotaReport ReportOfLab() {
  placement::QuotaReport report;
  report.ns = "lab";
  report.spend.hourly_cost = Money::FromMicros(65'540'000);
  return report;
}

TEST(QuotaStatus, HasWhatIsToBeRememberedOfABudget) {
  const PoolQuota quota = QuotaOfLab();
  placement::QuotaReport report = ReportOfLab();
  PoolQuotaStatus status = DesiredStatus(quota, report, Mode::kEnforce, kNow);
  EXPECT_EQ(status.hourly_cost, "65.54");
  EXPECT_EQ(status.budget_spent, "");
  EXPECT_EQ(status.as_of, std::nullopt);
  auto& budget = report.spend.budget.emplace();
  budget.spent = Money::FromMicros(3'000'000);
  budget.memory = {Money::FromMicros(2'000'000), report.spend.hourly_cost, kNow - Seconds{60},
                   kNow - Seconds{600}};
  status = DesiredStatus(quota, report, Mode::kEnforce, kNow);
  EXPECT_EQ(status.budget_spent, "2.00");
  EXPECT_EQ(status.as_of, kNow - Seconds{60});
  EXPECT_EQ(status.period_start, kNow - Seconds{600});
  const PoolQuotaStatus observed = DesiredStatus(quota, report, Mode::kObserve, kNow);
  EXPECT_EQ(observed.hourly_cost, "");
  EXPECT_EQ(observed.as_of, std::nullopt);
}

TEST(Compare, WhatABudgetIsCountedFromIsNoMereNumber) {
  PoolQuotaStatus was;
  was.hourly_cost = "65.54";
  PoolQuotaStatus is = was;
  is.hourly_cost = "32.77";
  EXPECT_EQ(Compare(was, is), Change::kNumbers) << "without a budget";
  is.budget_spent = "0.00";
  is.as_of = kNow;
  is.period_start = kNow;
  EXPECT_EQ(Compare(was, is), Change::kMeaning) << "the counting begins";
  was = is;
  is.budget_spent = "5.00";
  is.as_of = kNow + Seconds{60};
  EXPECT_EQ(Compare(was, is), Change::kNumbers);
  is.hourly_cost = "0.00";
  EXPECT_EQ(Compare(was, is), Change::kMeaning);
}

// ---- the whole path ----

Json QuotaJson(const Json& spend) {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "PoolQuota"},
          {"metadata", {{"name", "default"}, {"namespace", "lab"}}},
          {"spec", {{"spend", spend}}}};
}

// Does not hold back, and nobody minds that there are no pods.
Json Spills(const std::string& name, int workers) {
  Json pool = PoolJson(name, workers);
  pool["spec"]["placement"]["spill"]["afterSeconds"] = 0;
  pool["spec"]["placement"]["startDeadlineSeconds"] = 604800;
  return pool;
}

class SpendLoopTest : public LoopTest {
 protected:
  // Home is full; second runs in the cloud, for 2 × 32.77 an hour.
  void FillHomeAndSpill(const Json& spend) {
    server_.Put(QuotaJson(spend));
    server_.Put(Spills("first", 2));
    Run();
    ASSERT_TRUE(Await([&] { return Exists("jobs", "first-train-1"); }));
    server_.Put(Spills("second", 2));
    ASSERT_TRUE(Await([&] { return Exists("jobs", "second-train-1"); }));
  }
  Json Quota() {
    const auto object = server_.Get("poolquotas", "lab", "default");
    return object && object->contains("status") ? (*object)["status"] : Json::object();
  }
  double Spent() { return std::stod(Quota().value("budgetSpent", "0")); }
};

TEST_F(SpendLoopTest, AGangThatWouldCrossTheLimitWaitsAndRunsWhenItIsRaised) {
  FillHomeAndSpill({{"maxHourlyCost", "100"}});
  server_.Put(Spills("third", 2));
  ASSERT_TRUE(Await([&] { return Reason("third", "Placed") == "SpendLimitReached"; }));
  EXPECT_THAT(Message("third", "Placed"),
              HasSubstr("namespace lab has 65.54 of its spend.maxHourlyCost of 100.00 in use"));
  server_.Put(QuotaJson({{"maxHourlyCost", "131.08"}}));
  EXPECT_TRUE(Await([&] { return Exists("jobs", "third-train-1"); }));
}

TEST_F(SpendLoopTest, WhatIsSpentIsRememberedAtOnceAndThenRarely) {
  FillHomeAndSpill({{"budget", {{"amount", "1000"}, {"period", "Day"}}}});
  ASSERT_TRUE(Await([&] { return Quota().value("hourlyCost", "") == "65.54"; }));
  EXPECT_EQ(Quota()["budgetSpent"], "0.00");
  EXPECT_EQ(Quota()["asOf"], "2026-11-24T00:00:00Z");
  EXPECT_EQ(Quota()["periodStart"], "2026-11-24T00:00:00Z");
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  // One percent of the budget lasts for 10 × 3600 ÷ 65.54 = 549 seconds.
  clock_.Advance(seconds(548));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_EQ(Quota()["asOf"], "2026-11-24T00:00:00Z");
  ASSERT_TRUE(
      AwaitWhileTimePasses(seconds(1), [&] { return Quota()["asOf"] != "2026-11-24T00:00:00Z"; }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  // Nobody looks for half a day: all of it counts, and the budget is nearly used up.
  clock_.Advance(seconds(15 * 3600));
  ASSERT_TRUE(AwaitWhileTimePasses(seconds(1), [&] { return Spent() > 980; }));
  server_.Put(Spills("third", 1));
  ASSERT_TRUE(Await([&] { return Exists("jobs", "third-train-1"); }));
  EXPECT_TRUE(Await([&] { return Quota()["hourlyCost"] == "98.31"; }))
      << "written in the pass that decided it: no time has passed";
  // The rest is gone soon: nothing more spills until tomorrow, and what runs goes on.
  ASSERT_TRUE(AwaitWhileTimePasses(seconds(60), [&] { return Spent() >= 1000; }));
  server_.Put(Spills("fourth", 1));
  ASSERT_TRUE(Await([&] { return Reason("fourth", "Placed") == "SpendLimitReached"; }));
  EXPECT_THAT(Message("fourth", "Placed"), HasSubstr("begins at 2026-11-25T00:00:00Z"));
  EXPECT_EQ(ConditionStatus("third", "Placed"), "True");
  clock_.Advance(seconds(9 * 3600));
  ASSERT_TRUE(OnePass());
  EXPECT_TRUE(Await([&] { return Exists("jobs", "fourth-train-1"); }));
  EXPECT_TRUE(Await([&] { return Quota()["periodStart"] == "2026-11-25T00:00:00Z"; }));
}

TEST_F(SpendLoopTest, ABudgetOfWhichNothingIsSpentIsWrittenOnce) {
  server_.Put(QuotaJson({{"budget", {{"amount", "1000"}, {"period", "Day"}}}}));
  server_.Put(Spills("first", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "first-train-1"); }));
  ASSERT_TRUE(Await([&] { return Quota().value("budgetSpent", "") == "0.00"; }));
  ASSERT_TRUE(
      AwaitWhileTimePasses(seconds(5), [&] { return Quota()["accelerators"][0]["used"] == 16; }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  const size_t before = server_.Writes().size();
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(seconds(6 * 3600));
    ASSERT_TRUE(OnePass());
  }
  std::vector<std::string> after;
  for (size_t i = before; i < server_.Writes().size(); ++i) {
    if (server_.Writes()[i].path.find("poolquotas") != std::string::npos) {
      after.push_back(server_.Writes()[i].body);
    }
  }
  EXPECT_THAT(after, IsEmpty());
}

}  // namespace
}  // namespace spillway::controllers
