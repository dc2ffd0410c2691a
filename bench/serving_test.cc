// What it costs to follow a demand, by hand; and what each policy is meant to do, with two A100s at
// home, four in a cloud, and four slower replicas in another.
#include "serving.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "serving_policies.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using bench::Clairvoyant;
using bench::DemandOf;
using bench::GoesFirst;
using bench::GreedyMix;
using bench::HpaLike;
using bench::Moment;
using bench::Serve;
using bench::ServingCell;
using bench::ServingPolicy;
using bench::SlicedMix;
using bench::Spillway;
using bench::StaticMix;
using placement::Throughput;
using testing::ElementsAre;

constexpr Throughput kOne = 1'000'000;
constexpr Seconds kWindow{300};

std::vector<ServingCell> Cells(int cloud_nodes = 4) {
  return {{.variant = "a100",
           .group = "home",
           .each = 2 * kOne,
           .nodes = 1,
           .per_node = 2,
           .least = 2,
           .home = true,
           .per_node_hour = Dollars("8"),
           .startup = Seconds{30}},
          {.variant = "a100",
           .group = "cloud",
           .each = 2 * kOne,
           .nodes = cloud_nodes,
           .per_node_hour = Dollars("3.60"),
           .startup = Seconds{30}},
          {.variant = "arm",
           .group = "cloud-2",
           .each = kOne,
           .nodes = 4,
           .per_node_hour = Dollars("2.40"),
           .startup = Seconds{30}}};
}

// Each number lasts for a step.
std::vector<Throughput> Demand(const std::vector<double>& steps) {
  std::vector<Throughput> demand;
  for (const double step : steps) {
    demand.insert(demand.end(), static_cast<size_t>(bench::kServingStep.count()),
                  static_cast<Throughput>(step * kOne));
  }
  return demand;
}

std::vector<double> Then(double first, double later, size_t steps) {
  std::vector<double> out(steps, later);
  out.insert(out.begin(), first);
  return out;
}

// What the policy wants in each step: "2+1+0", by cell.
std::vector<std::string> Answers(const std::vector<ServingCell>& cells,
                                 const std::vector<double>& steps, const ServingPolicy& policy) {
  std::vector<std::string> answers;
  const auto record =
      Serve(cells, Demand(steps), [&](const Moment& moment) -> Result<std::vector<int>> {
        auto wanted = policy(moment);
        if (!wanted) return wanted;
        std::string text;
        for (const int count : *wanted) text += (text.empty() ? "" : "+") + std::to_string(count);
        answers.push_back(text);
        return wanted;
      });
  EXPECT_TRUE(record.ok()) << record.error().message;
  return answers;
}

ServingPolicy Ours(const std::vector<ServingCell>& cells, int target, Seconds spill_after) {
  return Spillway(cells, {.unit = kOne, .spill_after = spill_after}, target, kWindow);
}

// ---- the demand ----

TEST(DemandOf, IsTheRateOverTheMinuteThatEnds) {
  const auto demand = DemandOf({0, 0, 30}, Seconds{92}, 12, 1);
  ASSERT_EQ(demand.size(), 92U);
  EXPECT_EQ(demand[0], 400'000);  // 2 · 12 ÷ 60
  EXPECT_EQ(demand[29], 400'000);
  EXPECT_EQ(demand[30], 600'000);
  EXPECT_EQ(demand[59], 600'000);
  EXPECT_EQ(demand[60], 200'000);
  EXPECT_EQ(demand[89], 200'000);
  EXPECT_EQ(demand[90], 0);
}

TEST(DemandOf, IsDrawnOutSecondBySecond) {
  const auto demand = DemandOf({0, 1}, Seconds{2}, 60, 3);
  EXPECT_THAT(demand, ElementsAre(kOne, kOne, kOne, 2 * kOne, 2 * kOne, 2 * kOne));
}

// ---- the bill ----

// One more from second 60 to 119, ready at 90.
TEST(Serve, BillsHomeAllTheTimeAndTheCloudByUse) {
  const auto policy = [](const Moment& moment) -> Result<std::vector<int>> {
    return std::vector<int>{2, moment.demand > 4 * kOne ? 1 : 0, 0};
  };
  const std::vector<double> steps = {4, 4, 4, 4, 6, 6, 6, 6, 4, 4, 4, 4};
  const auto record = Serve(Cells(), Demand(steps), policy);
  ASSERT_TRUE(record.ok()) << record.error().message;
  EXPECT_EQ(record->home, Dollars("0.40"));   // 8 · 180 ÷ 3600
  EXPECT_EQ(record->cloud, Dollars("0.06"));  // 3.60 · 60 ÷ 3600
  EXPECT_EQ(record->below, Seconds{30});
  EXPECT_EQ(record->starts, 1);
}

TEST(Serve, BillsAReplicaItsShareOfItsNode) {
  std::vector<ServingCell> cells = Cells();
  cells[1].per_node = 2;
  const auto record = Serve(cells, Demand({4, 4}), StaticMix(cells, 7 * kOne));
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->starts, 2);
  EXPECT_EQ(record->cloud, Dollars("0.03"));  // two halves of 3.60 · 30 ÷ 3600
}

TEST(Serve, AsksOnceAStep) {
  std::vector<Throughput> demand = Demand({4, 4, 6, 6, 6});
  demand[1] = demand[16] = 6 * kOne;  // seen by nobody
  const auto record = Serve(Cells(), demand, Ours(Cells(), 100, Seconds{0}));
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->below, Seconds{2 + 30});
  EXPECT_EQ(record->starts, 1);
}

// Of the two that are made at 0 and at 15, the latter goes: the other is ready at 30.
TEST(Serve, TakesTheLatest) {
  const auto policy = [](const Moment& moment) -> Result<std::vector<int>> {
    return std::vector<int>{2, moment.at == Seconds{15} ? 2 : 1, 0};
  };
  const auto record = Serve(Cells(), Demand({6, 6, 6, 6}), policy);
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->below, Seconds{30});
  EXPECT_EQ(record->starts, 2);
}

TEST(Serve, RefusesWhatCellsCannotHave) {
  for (const int count : {-1, 5}) {
    const auto record = Serve(Cells(), Demand({4}), [&](const Moment&) -> Result<std::vector<int>> {
      return std::vector<int>{2, count, 0};
    });
    ASSERT_FALSE(record.ok());
    EXPECT_EQ(record.error().message, "cell a100@cloud: wanted what it can't have");
  }
}

// ---- policies ----

// For two more an A100 costs 3.60, two slower ones 4.80; for one more a slower one costs 2.40.
TEST(SpillwayPolicy, AddsTheCheapest) {
  EXPECT_THAT(Answers(Cells(), {4, 6}, Ours(Cells(), 100, Seconds{0})),
              ElementsAre("2+0+0", "2+1+0"));
  EXPECT_THAT(Answers(Cells(), {4, 5}, Ours(Cells(), 100, Seconds{0})),
              ElementsAre("2+0+0", "2+0+1"));
  EXPECT_THAT(Answers(Cells(), {4}, Ours(Cells(), 50, Seconds{0})), ElementsAre("2+2+0"));
}

TEST(SpillwayPolicy, HoldsBack) {
  const auto answers = Answers(Cells(), Then(4, 6, 9), Ours(Cells(), 100, Seconds{120}));
  EXPECT_EQ(answers[8], "2+0+0");
  EXPECT_EQ(answers[9], "2+1+0");
}

TEST(SpillwayPolicy, KeepsForTheWindow) {
  const auto answers = Answers(Cells(), Then(6, 4, 21), Ours(Cells(), 100, Seconds{0}));
  EXPECT_EQ(answers[20], "2+1+0");
  EXPECT_EQ(answers[21], "2+0+0");
}

TEST(StaticMixPolicy, IsTheCheapestForItsNeed) {
  EXPECT_THAT(Answers(Cells(), {0, 9}, StaticMix(Cells(), 7 * kOne)),
              ElementsAre("2+1+1", "2+1+1"));
}

TEST(HpaPolicy, ToleratesATenth) {
  EXPECT_THAT(Answers(Cells(), {4.4, 4.5}, HpaLike(100, kWindow, GoesFirst::kDearest)),
              ElementsAre("2+0+0", "2+1+0"));
}

TEST(HpaPolicy, GrowsInSteps) {
  EXPECT_THAT(Answers(Cells(30), {80, 80, 80, 80}, HpaLike(100, kWindow, GoesFirst::kDearest)),
              ElementsAre("2+4+0", "2+10+0", "2+22+0", "2+30+0"));
}

TEST(HpaPolicy, TakesDoubledUpPodsOrTheDearestAfterItsWindow) {
  const std::vector<double> steps = Then(8, 4, 20);
  const auto doubled_up = Answers(Cells(), steps, HpaLike(100, kWindow, GoesFirst::kDoubledUp));
  EXPECT_EQ(doubled_up[19], "2+2+0");
  EXPECT_EQ(doubled_up[20], "0+2+0");
  const auto dearest = Answers(Cells(), steps, HpaLike(100, kWindow, GoesFirst::kDearest));
  EXPECT_EQ(dearest[19], "2+2+0");
  EXPECT_EQ(dearest[20], "2+0+0");
}

TEST(HpaPolicy, TakesPodsThatAreNotReadyFirst) {
  std::vector<ServingCell> cells = Cells();
  for (ServingCell& cell : cells) cell.startup = Seconds{600};
  const auto answers = Answers(cells, Then(8, 4, 20), HpaLike(100, kWindow, GoesFirst::kDoubledUp));
  EXPECT_EQ(answers[20], "2+0+0");
}

// Needs 4 ÷ 0.8 = 5. Ready from step 2 on; then 6 - 2 ÷ 0.65 are to spare.
TEST(GreedyPolicy, GrowsByPriceByThroughputAndShrinksByPrice) {
  const auto answers = Answers(Cells(), Then(4, 2, 21), GreedyMix(80, kWindow));
  EXPECT_EQ(answers[0], "2+1+0");
  EXPECT_EQ(answers[20], "2+1+0");
  EXPECT_EQ(answers[21], "2+0+0");
}

TEST(GreedyPolicy, ChangesNothingBetweenItsThresholds) {
  EXPECT_EQ(Answers(Cells(), Then(4, 4.2, 40), GreedyMix(80, kWindow)).back(), "2+1+0");
  EXPECT_EQ(Answers(Cells(), Then(4, 3.8, 40), GreedyMix(80, kWindow)).back(), "2+1+0");
}

// Of four slices of 1.25 home takes three; for the last an A100 costs less than two slower ones.
TEST(SlicedPolicy, GivesASliceToOneCell) {
  EXPECT_THAT(Answers(Cells(), {5}, SlicedMix(100, kWindow)), ElementsAre("2+1+0"));
  EXPECT_THAT(Answers(Cells(), {5}, StaticMix(Cells(), 5 * kOne)), ElementsAre("2+0+1"));
  EXPECT_THAT(Answers(Cells(), {8}, SlicedMix(100, kWindow)), ElementsAre("2+2+0"));
  EXPECT_THAT(Answers(Cells(), {100}, SlicedMix(100, kWindow)), ElementsAre("2+4+4"));
}

TEST(SlicedPolicy, GoesByTheLastFourMinutes) {
  std::vector<double> steps(16, 8);
  steps.insert(steps.end(), 16, 4);
  const auto answers = Answers(Cells(), steps, SlicedMix(100, Seconds{0}));
  EXPECT_EQ(answers[16], "2+2+0");  // 7.75
  EXPECT_EQ(answers[27], "2+1+0");  // 5
  EXPECT_EQ(answers[31], "2+0+0");  // 4
}

TEST(ClairvoyantPolicy, StartsInTimeAndKeepsNothing) {
  const std::vector<double> steps = {4, 4, 4, 6, 6, 4, 4, 4};
  const auto policy = Clairvoyant(Demand(steps), 100);
  EXPECT_THAT(Answers(Cells(), steps, policy),
              ElementsAre("2+0+0", "2+1+0", "2+1+0", "2+1+0", "2+1+0", "2+0+0", "2+0+0", "2+0+0"));
  const auto record = Serve(Cells(), Demand(steps), policy);
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->below, Seconds{0});
  EXPECT_EQ(record->cloud, Dollars("0.06"));  // from 15 to 75
}

// 4 until second 30, 8 until 90, then 4 until 450. Two more A100s are needed for the 8.
TEST(EveryPolicy, HasItsBill) {
  std::vector<ServingCell> cells = Cells();
  cells.pop_back();
  std::vector<double> steps(30, 4);
  std::fill(steps.begin() + 2, steps.begin() + 6, 8);
  const auto demand = Demand(steps);
  struct Case {
    std::string name;
    ServingPolicy policy;
    std::string cloud;  // 3.60 · seconds of replicas ÷ 3600
    int below = 0;
  };
  for (const Case& one : std::vector<Case>{
           {"Spillway: two, 30 to 390", Ours(cells, 100, Seconds{0}), "0.72", 30},
           {"hold-back: two, 150 to 390", Ours(cells, 100, Seconds{120}), "0.48", 60},
           {"static mix: two, all the time", StaticMix(cells, 8 * kOne), "0.90", 0},
           {"HPA: two, 30 to the end; home goes at 375",
            HpaLike(100, kWindow, GoesFirst::kDoubledUp), "0.84", 30},
           {"dearest first: two, 30 to 375", HpaLike(100, kWindow, GoesFirst::kDearest), "0.69",
            30},
           {"greedy: two, 30 to 375; one stays, as 8 - 4 / 0.85 spares only one",
            GreedyMix(100, kWindow), "0.765", 30},
           {"slices: two, 30 to the end, as the last four minutes need them until 165",
            SlicedMix(100, kWindow), "0.84", 30},
           {"clairvoyant: two, 0 to 90", Clairvoyant(demand, 100), "0.18", 0}}) {
    SCOPED_TRACE(one.name);
    const auto record = Serve(cells, demand, one.policy);
    ASSERT_TRUE(record.ok()) << record.error().message;
    EXPECT_EQ(record->home, Dollars("1.00"));
    EXPECT_EQ(record->cloud.Format(), one.cloud);
    EXPECT_EQ(record->below, Seconds{one.below});
    EXPECT_EQ(record->starts, 2);
  }
}

TEST(EveryPolicy, AsksForWhatThereIsAndNoneBeatsTheClairvoyantOne) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 dice(seed);
    std::vector<double> steps = {4, 4, 4};
    while (steps.size() < 80) {
      steps.insert(steps.end(), 1 + dice() % 8, static_cast<double>(dice() % 17));
    }
    const auto demand = Demand(steps);
    const auto cells = Cells();
    const auto best = Serve(cells, demand, Clairvoyant(demand, 100));
    ASSERT_TRUE(best.ok()) << best.error().message;
    EXPECT_EQ(best->below, Seconds{0});
    for (const ServingPolicy& policy :
         {Ours(cells, 100, Seconds{0}), Ours(cells, 80, Seconds{120}), StaticMix(cells, 16 * kOne),
          HpaLike(80, kWindow, GoesFirst::kDoubledUp), HpaLike(80, kWindow, GoesFirst::kDearest),
          GreedyMix(80, kWindow), SlicedMix(80, kWindow)}) {
      const auto record = Serve(cells, demand, policy);
      ASSERT_TRUE(record.ok()) << record.error().message;
      if (record->below > Seconds{0}) continue;
      EXPECT_GE(record->cloud, best->cloud);
    }
  }
}

}  // namespace
}  // namespace spillway::tests
