// The cheapest mix, against all mixes there are.
#include "placement/mixes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::CheapestMix;
using placement::Mix;
using placement::MixCell;
using placement::MixProblem;
using placement::MixStage;
using placement::MixVariant;

using Counts = std::vector<std::vector<int64_t>>;  // by stage and cell

Money Cents(int64_t cents) { return Money::FromMicros(cents * 10'000); }

MixVariant Way(int64_t each, int64_t size = 1, const std::string& type = "a100") {
  return {.each = each, .size = size, .type = type, .least = 0, .most = {}};
}

MixCell Of(size_t variant, int64_t cents, int64_t most, int64_t now = 0) {
  return {.variant = variant,
          .price = Cents(cents),
          .startup = Seconds{0},
          .now = now,
          .least = 0,
          .most = most};
}

MixStage On(const std::string& name, int64_t tier, std::vector<MixCell> cells,
            std::vector<int64_t> free = {}) {
  return {.name = name, .tier = tier, .cells = std::move(cells), .free = std::move(free)};
}

MixProblem Needs(int64_t need, std::vector<MixVariant> variants, std::vector<MixStage> stages) {
  MixProblem problem;
  problem.need = need;
  problem.variants = std::move(variants);
  problem.stages = std::move(stages);
  return problem;
}

// "2+0 1": by stage, then cell.
std::string Shown(const Counts& counts) {
  std::string text;
  for (const auto& stage : counts) {
    if (!text.empty()) text += " ";
    for (size_t c = 0; c < stage.size(); ++c) {
      text += (c == 0 ? "" : "+") + std::to_string(stage[c]);
    }
  }
  return text;
}
std::string Solved(const MixProblem& problem) { return Shown(CheapestMix(problem).replicas); }

// ---- what is cheapest ----

TEST(CheapestMix, IsNotWhatGreedyTakes) {
  // 100 at 6 or 200 at 10: whoever goes by price per throughput pays 10 for a need of 100.
  const auto problem =
      Needs(100, {Way(200), Way(100)}, {On("a", 0, {Of(0, 1000, 5)}), On("b", 0, {Of(1, 600, 5)})});
  EXPECT_EQ(Solved(problem), "0 1");
}

TEST(CheapestMix, IsOfSeveralCells) {
  auto problem =
      Needs(25, {Way(10), Way(4)}, {On("a", 0, {Of(0, 100, 9)}), On("b", 0, {Of(1, 45, 9)})});
  EXPECT_EQ(Solved(problem), "1 4");  // 2.80 for 26; 3 of the first are 3.00
  problem.need = 24;
  EXPECT_EQ(Solved(problem), "2 1");  // 2.45
}

TEST(CheapestMix, OfNoNeedIsNothing) {
  EXPECT_EQ(Solved(Needs(0, {Way(10)}, {On("a", 0, {Of(0, 0, 9, 3)})})), "0");
  EXPECT_EQ(Solved(Needs(5, {}, {})), "");
  EXPECT_EQ(CheapestMix(Needs(5, {}, {})).shortage, 5);
}

TEST(CheapestMix, OfTooLittleIsEverythingAndSaysWhatIsShort) {
  const auto mix = CheapestMix(
      Needs(100, {Way(10), Way(4)}, {On("a", 0, {Of(0, 100, 3)}), On("b", 7, {Of(1, 45, 2)})}));
  EXPECT_EQ(Shown(mix.replicas), "3 2");
  EXPECT_EQ(mix.capacity, 38);
  EXPECT_EQ(mix.shortage, 62);
  EXPECT_EQ(mix.rounded, std::nullopt);
}

// ---- tiers ----

TEST(CheapestMix, ServesFromTheNearestTierFirst) {
  auto problem = Needs(40, {Way(10)},
                       {On("far", 20, {Of(0, 1, 9)}), On("near", 10, {Of(0, 50, 9)}),
                        On("home", 0, {Of(0, 900, 2)})});
  EXPECT_EQ(Solved(problem), "0 2 2");
  problem.home_first = false;
  EXPECT_EQ(Solved(problem), "4 0 0");
}

TEST(CheapestMix, CountsWhatATierServesNotItsReplicas) {
  // Many that serve little in the nearer tier come before few in the farther one, though 63 · 10
  // is more than 8 · 20.
  auto problem = Needs(312, {Way(39), Way(5)},
                       {On("near", 10, {Of(1, 30, 200)}), On("far", 20, {Of(0, 410, 64)})});
  EXPECT_EQ(Solved(problem), "63 0");
  problem.stages[0].cells[0].price = Cents(900);  // whatever it costs
  EXPECT_EQ(Solved(problem), "63 0");
  problem.stages[1].tier = 10;  // in one tier the price decides
  EXPECT_EQ(Solved(problem), "0 8");
  problem.stages[0].cells[0].price = Cents(30);
  EXPECT_EQ(Solved(problem), "63 0");
}

TEST(CheapestMix, HasNothingThatCouldBeLeftOut) {
  // What the three of the far tier leave to the near one is served by four of five.
  EXPECT_EQ(Solved(Needs(34, {Way(10), Way(1)},
                         {On("near", 10, {Of(1, 50, 5)}), On("far", 20, {Of(0, 1, 9)})})),
            "4 3");
}

TEST(CheapestMix, WithinATierPriceDecidesWhateverTheLastReplicaHasToSpare) {
  const auto problem =
      Needs(40, {Way(7), Way(5)}, {On("a", 10, {Of(0, 10, 9)}), On("b", 10, {Of(1, 90, 9)})});
  EXPECT_EQ(Solved(problem), "6 0");  // 42 for 0.60; 8 of the others serve exactly 40
}

// ---- the cost of change ----

TEST(CheapestMix, AChangeIsPaidForByWhatItSaves) {
  auto problem =
      Needs(20, {Way(10)}, {On("a", 0, {Of(0, 100, 5)}), On("b", 0, {Of(0, 110, 5, 2)})});
  problem.stages[0].cells[0].startup = Seconds{300};
  problem.payback = Seconds{3600};
  EXPECT_EQ(Solved(problem), "2 0");  // saves 0.10 an hour; 300 s of 1.00 are 0.083
  problem.payback = Seconds{2000};
  EXPECT_EQ(Solved(problem), "0 2");
}

// ---- equals ----

TEST(CheapestMix, AmongEqualsStartsNothing) {
  EXPECT_EQ(
      Solved(Needs(20, {Way(10)}, {On("a", 0, {Of(0, 10, 5)}), On("b", 0, {Of(0, 10, 5, 2)})})),
      "0 2");
}

TEST(CheapestMix, AmongEqualsTakesTheLowerTier) {
  auto problem = Needs(20, {Way(10)}, {On("a", 9, {Of(0, 10, 5)}), On("b", 3, {Of(0, 10, 5)})});
  problem.home_first = false;
  EXPECT_EQ(Solved(problem), "0 2");
}

TEST(CheapestMix, AmongEqualsHasFewerReplicas) {
  EXPECT_EQ(Solved(Needs(20, {Way(10), Way(20)},
                         {On("a", 0, {Of(0, 10, 5)}), On("b", 0, {Of(1, 20, 5)})})),
            "0 1");
  // What is free all the same is given back.
  EXPECT_EQ(Solved(Needs(20, {Way(10)}, {On("a", 0, {Of(0, 0, 5, 5)})})), "2");
}

TEST(CheapestMix, AmongEqualsGoesByTheOrderOfVariantsAndNames) {
  EXPECT_EQ(Solved(Needs(10, {Way(10), Way(10)}, {On("a", 0, {Of(1, 10, 5), Of(0, 10, 5)}, {9})})),
            "0+1");
  EXPECT_EQ(Solved(Needs(10, {Way(10)}, {On("b", 0, {Of(0, 10, 5)}), On("a", 0, {Of(0, 10, 5)})})),
            "0 1");
}

// ---- limits ----

TEST(CheapestMix, HasTheLeastOfEachVariant) {
  auto problem =
      Needs(20, {Way(10), Way(1)},
            {On("a", 0, {Of(0, 10, 5)}), On("b", 5, {Of(1, 99, 5)}), On("c", 9, {Of(1, 1, 5)})});
  problem.variants[1].least = 3;
  EXPECT_EQ(Solved(problem), "2 3 0");
  problem.variants[1].least = 12;
  const auto mix = CheapestMix(problem);
  EXPECT_EQ(Shown(mix.replicas), "1 5 5");  // what must be serves too
  EXPECT_EQ(mix.cost.unmet, 0);
}

TEST(CheapestMix, HasNoMoreOfAVariantThanItMay) {
  auto problem =
      Needs(60, {Way(10), Way(5)},
            {On("a", 0, {Of(0, 1, 5)}), On("b", 10, {Of(0, 1, 5)}), On("c", 10, {Of(1, 99, 5)})});
  problem.variants[0].most = 4;
  EXPECT_EQ(Solved(problem), "4 0 4");
  problem.variants[0].most = 6;
  EXPECT_EQ(Solved(problem), "5 1 0");
}

TEST(CheapestMix, HasNoMoreAcceleratorsThanItMay) {
  // By replicas the first is better, by accelerators the second.
  auto problem =
      Needs(60, {Way(20, 8), Way(10, 2)}, {On("a", 0, {Of(0, 1, 9), Of(1, 99, 9)}, {99})});
  EXPECT_EQ(Solved(problem), "3+0");
  problem.accelerators["a100"] = 18;
  EXPECT_EQ(Solved(problem), "1+4");
  problem.accelerators["a100"] = 5;
  EXPECT_EQ(CheapestMix(problem).shortage, 40);
}

TEST(CheapestMix, SpendsNoMoreOnWhatItAddsOutsideHome) {
  auto problem = Needs(50, {Way(10)},
                       {On("home", 0, {Of(0, 100, 1)}), On("a", 10, {Of(0, 300, 9, 1)}),
                        On("b", 20, {Of(0, 200, 9)})});
  EXPECT_EQ(Solved(problem), "1 4 0");
  problem.spend = Cents(800);
  EXPECT_EQ(Solved(problem), "1 3 1");
  problem.spend = Cents(599);
  EXPECT_EQ(Solved(problem), "1 2 1");  // 40 of 50
  EXPECT_EQ(CheapestMix(problem).shortage, 10);
}

TEST(CheapestMix, WhatRunsBeyondALimitStaysAndLetsNothingIn) {
  auto problem = Needs(30, {Way(10)}, {On("a", 0, {Of(0, 1, 5)}), On("b", 10, {Of(0, 1, 5, 3)})});
  EXPECT_EQ(Solved(problem), "3 0");
  problem.variants[0].most = 2;
  EXPECT_EQ(Solved(problem), "0 3");
}

// ---- shared nodes ----

TEST(CheapestMix, GivesCellsOfAGroupOnlyWhatFitsOnItsNodesTogether) {
  // Three nodes of 4: a replica of 4 has a node of its own.
  auto problem =
      Needs(90, {Way(20, 4), Way(4, 1)},
            {On("a", 0, {Of(0, 100, 3), Of(1, 30, 12)}, {4, 4, 4}), On("b", 10, {Of(1, 30, 40)})});
  EXPECT_EQ(Solved(problem), "3+0 8");
  problem.need = 52;
  EXPECT_EQ(Solved(problem), "2+3 0");
  // Five accelerators are free, but never four of them on one node.
  problem.need = 20;
  problem.stages[0] = On("a", 0, {Of(0, 100, 0), Of(1, 30, 5)}, {3, 2});
  EXPECT_EQ(Solved(problem), "0+5 0");
}

TEST(CheapestMix, SizesThatDoNotDivideEachOtherArePackedExactly) {
  // 3 and 2 on nodes of 5 and 4: 3+2 and 2+2, not 3 and 3.
  auto problem =
      Needs(100, {Way(30, 3), Way(20, 2)}, {On("a", 0, {Of(0, 1, 2), Of(1, 1, 4)}, {5, 4})});
  EXPECT_EQ(Solved(problem), "1+3");
  EXPECT_EQ(CheapestMix(problem).shortage, 10);
}

TEST(CheapestMix, WhatACellHasAlreadyTakesNoneOfWhatIsFree) {
  auto problem = Needs(55, {Way(10), Way(5)}, {On("a", 0, {Of(0, 1, 5, 4), Of(1, 1, 1)}, {1})});
  EXPECT_EQ(Solved(problem), "5+0");
  problem.stages[0].free = {2};
  EXPECT_EQ(Solved(problem), "5+1");
}

// ---- large and strange numbers ----

TEST(CheapestMix, PaysForNodesThatAreToBeMadeInWhole) {
  // A node of eight for 80, and small ones of one for 12 each.
  MixProblem problem = Needs(1, {Way(1)},
                             {On("large", 0, {Of(0, 1000, 16)}, {8, 8}),
                              On("small", 0, {Of(0, 1200, 8)}, std::vector<int64_t>(8, 1))});
  problem.stages[0].made = {Money(), Cents(8000), Cents(16000)};
  problem.stages[1].made = {Money()};
  for (int n = 1; n <= 8; ++n) problem.stages[1].made.push_back(Cents(1200 * n));
  const auto best = [&](int64_t need) {
    problem.need = need;
    return Shown(CheapestMix(problem).replicas);
  };
  EXPECT_EQ(best(1), "0 1");
  EXPECT_EQ(best(6), "0 6") << "72";
  EXPECT_EQ(best(7), "7 0") << "80 instead of 84";
  EXPECT_EQ(best(9), "8 1");
  EXPECT_EQ(best(15), "15 0");
  problem.stages[0].made = {Money(), Cents(8000)};  // the first of them is there
  EXPECT_EQ(best(1), "1 0") << "10 instead of 12";
  EXPECT_EQ(best(9), "8 1");
}

TEST(CheapestMix, SpreadsTheCostOfManyNodesThatAreToBeMadeAndSaysSo) {
  MixProblem problem =
      Needs(64, {Way(1)}, {On("large", 0, {Of(0, 100, 200)}, std::vector<int64_t>(100, 2))});
  problem.stages[0].made = {Money()};
  for (int n = 1; n <= 100; ++n) problem.stages[0].made.push_back(Cents(200 * n));
  const auto hourly = [&](int64_t need) {
    problem.need = need;
    return CheapestMix(problem).cost.money / problem.payback.count() / 10'000;
  };
  EXPECT_FALSE(CheapestMix(problem).rounded.has_value());
  EXPECT_EQ(hourly(63), 6400) << "32 nodes";
  EXPECT_EQ(hourly(64), 6400);
  EXPECT_NEAR(static_cast<double>(hourly(101)), 10200, 1) << "51 nodes";
  EXPECT_TRUE(CheapestMix(problem).rounded.has_value());
}

TEST(CheapestMix, OfALargeNeedIsRoundedToTheSafeSideAndSaysSo) {
  auto problem = Needs(1'000'001, {Way(997), Way(1009)},
                       {On("a", 0, {Of(0, 10, 9'000)}), On("b", 0, {Of(1, 11, 9'000)})});
  const auto mix = CheapestMix(problem);
  ASSERT_TRUE(mix.rounded.has_value());
  EXPECT_EQ(*mix.rounded, 51);
  EXPECT_EQ(mix.shortage, 0);
  EXPECT_GE(mix.capacity, problem.need);
  // No more than a unit for each replica and one for the need too much.
  const int64_t replicas = mix.replicas[0][0] + mix.replicas[1][0];
  EXPECT_LE(mix.capacity, problem.need + (replicas + 1) * *mix.rounded + 1009);
  problem.need = 20'000;
  problem.variants = {Way(1), Way(2)};
  EXPECT_FALSE(CheapestMix(problem).rounded.has_value());
}

TEST(CheapestMix, IsReckonedWithoutOverflow) {
  constexpr int64_t kHuge = 9'000'000'000'000'000'000;
  auto problem = Needs(kHuge, {Way(kHuge), Way(kHuge - 1)},
                       {On("a", 0, {Of(0, 1, 2'000'000'000)}), On("b", 1'000'000, {Of(1, 1, 9)})});
  problem.stages[0].cells[0].price = Money::FromMicros(kHuge);
  problem.stages[0].cells[0].startup = Seconds{1'000'000};
  problem.payback = Seconds{604'800};
  problem.spend = Money::FromMicros(kHuge);
  EXPECT_EQ(Solved(problem), "1 0");
  problem.home_first = false;
  EXPECT_EQ(Solved(problem), "0 2");
}

TEST(CheapestMix, CountsLimitsInLargerStepsWhereThereWouldBeTooManyStates) {
  auto problem = Needs(3'000, {Way(1, 1, "x"), Way(3, 1, "x")},
                       {On("a", 0, {Of(0, 10, 2'000)}), On("b", 10, {Of(1, 7, 3'000)}),
                        On("c", 20, {Of(0, 1, 3'000)})});
  problem.accelerators["x"] = 2'900;
  problem.spend = Money::FromMicros(50'000'001);
  EXPECT_FALSE(CheapestMix(problem).rounded.has_value()) << "334 of b are 23.38: nobody is limited";
  problem.spend = Money::FromMicros(20'000'001);
  const auto mix = CheapestMix(problem);
  EXPECT_TRUE(mix.rounded.has_value());
  EXPECT_EQ(mix.shortage, 0);
  EXPECT_LE(mix.replicas[1][0] * 70'000 + mix.replicas[2][0] * 10'000, 20'000'001);
  EXPECT_LE(mix.replicas[0][0] + mix.replicas[1][0] + mix.replicas[2][0], 2'900);
}

TEST(CheapestMix, KeepsLeastsThatWouldMakeTooManyStates) {
  auto problem = Needs(2'000, {Way(1), Way(3), Way(5)},
                       {On("a", 0, {Of(0, 10, 3'000, 500)}), On("b", 0, {Of(1, 90, 3'000, 70)}),
                        On("c", 10, {Of(2, 3, 3'000)})});
  problem.variants[0].least = 400;
  problem.variants[1].least = 60;
  const auto mix = CheapestMix(problem);
  EXPECT_TRUE(mix.rounded.has_value());
  EXPECT_GE(mix.replicas[0][0], 400);
  EXPECT_GE(mix.replicas[1][0], 60);
  EXPECT_EQ(mix.shortage, 0);
}

TEST(CheapestMix, TriesOnlySomeJointNumbersWhereThereAreTooMany) {
  const auto problem =
      Needs(9'000, {Way(4, 2), Way(1, 1)},
            {On("a", 0, {Of(0, 3, 2'000), Of(1, 1, 4'000)}, std::vector<int64_t>(500, 8))});
  const auto mix = CheapestMix(problem);
  EXPECT_TRUE(mix.rounded.has_value());
  EXPECT_LE(mix.replicas[0][0] * 2 + mix.replicas[0][1], 4'000);
  EXPECT_GE(mix.capacity, 7'900);
}

// ---- against all mixes there are ----

// Some of the stage's nodes are yet to be made, or all; some cost nothing more than those before.
void AddMade(Dice& dice, MixStage& stage) {
  stage.made = {Money()};
  for (int n = dice.Roll(static_cast<int>(stage.free.size())) + 1; n > 0; --n) {
    stage.made.push_back(stage.made.back() + Cents(dice.Roll(7) * 10));
  }
  for (MixCell& cell : stage.cells) {
    if (!dice.OneIn(3)) continue;
    for (size_t n = 0; n < stage.free.size(); ++n) cell.fits.push_back(dice.Roll(3));
  }
}

// A small problem: up to three groups, three variants and six cells, groups that several share,
// nodes that are yet to be made, limits.
MixProblem SmallProblem(uint32_t seed) {
  Dice dice(seed);
  MixProblem problem;
  problem.home_first = dice.OneIn(2);
  problem.payback = Seconds{dice.Pick<int>({1, 600, 3600})};
  const std::vector<std::string> types = {"a100", "h100"};
  const int64_t unit = dice.Pick<int>({1, 1, 3, 500'000});
  const int variants = dice.Roll(3) + 1;
  for (int v = 0; v < variants; ++v) {
    MixVariant variant = Way((dice.Roll(6) + 1) * unit, dice.Roll(4) + 1, dice.Pick(types));
    if (dice.OneIn(4)) variant.least = dice.Roll(3);
    if (dice.OneIn(4)) variant.most = dice.Roll(5);
    problem.variants.push_back(variant);
  }
  const int stages = dice.Roll(3) + 1;
  int cells = 0;
  for (int s = 0; s < stages; ++s) {
    MixStage stage;
    stage.name = "g" + std::to_string(s);
    stage.tier = dice.Pick<int>({0, 0, 1, 5});
    for (int v = 0; v < variants; ++v) {
      if (dice.OneIn(3) || ++cells > 6) continue;
      MixCell cell = Of(static_cast<size_t>(v), dice.Roll(5) * 10, 0);
      cell.startup = Seconds{dice.Pick<int>({0, 300, 1200})};
      cell.now = dice.Roll(3);
      if (dice.OneIn(5)) cell.least = dice.Roll(2);
      cell.most =
          std::max<int64_t>(cell.least, dice.OneIn(6) ? dice.Roll(2) : cell.now + dice.Roll(3));
      stage.cells.push_back(cell);
    }
    const int nodes = dice.Roll(3) + 1;
    for (int n = 0; n < nodes; ++n) stage.free.push_back(dice.Roll(7));
    if (dice.OneIn(3)) AddMade(dice, stage);
    problem.stages.push_back(std::move(stage));
  }
  problem.need = dice.Roll(30) * unit + (dice.OneIn(3) ? dice.Roll(2) : 0);
  if (dice.OneIn(3)) problem.accelerators[dice.Pick(types)] = dice.Roll(12);
  if (dice.OneIn(3)) problem.spend = Cents(dice.Roll(12) * 10);
  return problem;
}

// Puts replica after replica of the sizes on any node: all combinations.
bool Packs(std::vector<int64_t>& free, std::vector<std::pair<int64_t, int64_t>> sizes) {
  while (!sizes.empty() && sizes.back().second == 0) sizes.pop_back();
  if (sizes.empty()) return true;
  --sizes.back().second;
  for (int64_t& node : free) {
    if (node < sizes.back().first) continue;
    node -= sizes.back().first;
    const bool fits = Packs(free, sizes);
    node += sizes.back().first;
    if (fits) return true;
  }
  return false;
}

class Oracle {
 public:
  explicit Oracle(const MixProblem& problem) : problem_(problem) {
    for (const MixStage& stage : problem.stages) {
      counts_.emplace_back(stage.cells.size(), 0);
      for (size_t c = 0; c < stage.cells.size(); ++c) cells_.emplace_back(counts_.size() - 1, c);
    }
    for (const auto& [s, c] : cells_) {
      if (Cell(s, c).most > 0) common_ = std::gcd(common_, VariantOf(s, c).each);
    }
    common_ = std::max<int64_t>(common_, 1);
    Try(0);
    if (rank_ && std::get<1>(*rank_) == 0) LeaveOut();
  }

  [[nodiscard]] const Counts& Best() const { return best_; }

 private:
  // Less is better. What is short and distance in whole units.
  using Rank = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                          std::vector<int64_t>>;

  [[nodiscard]] const MixCell& Cell(size_t s, size_t c) const {
    return problem_.stages[s].cells[c];
  }
  [[nodiscard]] const MixVariant& VariantOf(size_t s, size_t c) const {
    return problem_.variants[Cell(s, c).variant];
  }

  void Try(size_t at) {
    if (at == cells_.size()) {
      if (!Allowed()) return;
      Rank rank = RankOf();
      if (!rank_ || rank < *rank_) {
        rank_ = std::move(rank);
        best_ = counts_;
      }
      return;
    }
    const auto [s, c] = cells_[at];
    for (int64_t n = Cell(s, c).least; n <= Cell(s, c).most; ++n) {
      counts_[s][c] = n;
      Try(at + 1);
    }
  }

  // A limit that what runs crosses is as high as that, and nothing it weighs may grow.
  bool Within(int64_t limit, const std::function<int64_t(size_t, size_t)>& weight) const {
    int64_t now = 0;
    int64_t always = 0;
    int64_t has = 0;
    bool grows = false;
    for (const auto& [s, c] : cells_) {
      now += weight(s, c) * Cell(s, c).now;
      always += weight(s, c) * Cell(s, c).least;
      has += weight(s, c) * counts_[s][c];
      grows =
          grows || (weight(s, c) > 0 && counts_[s][c] > std::max(Cell(s, c).now, Cell(s, c).least));
    }
    if (now > limit && grows) return false;
    return has <= std::max({limit, now, always});
  }

  bool Allowed() const {
    for (const auto& [type, most] : problem_.accelerators) {
      const auto weight = [&, wanted = &type](size_t s, size_t c) -> int64_t {
        return VariantOf(s, c).type == *wanted ? VariantOf(s, c).size : 0;
      };
      if (!Within(most, weight)) return false;
    }
    for (size_t v = 0; v < problem_.variants.size(); ++v) {
      const auto weight = [&](size_t s, size_t c) -> int64_t { return Cell(s, c).variant == v; };
      if (problem_.variants[v].most && !Within(*problem_.variants[v].most, weight)) return false;
    }
    return WithinSpend() && FitsNodes();
  }

  bool WithinSpend() const {
    if (!problem_.spend) return true;
    int64_t spent = 0;
    for (const auto& [s, c] : cells_) {
      if (problem_.stages[s].tier == 0) continue;
      const int64_t there = std::max(Cell(s, c).now, Cell(s, c).least);
      spent += Cell(s, c).price.micros() * std::max<int64_t>(counts_[s][c] - there, 0);
    }
    return spent <= problem_.spend->micros();
  }

  bool FitsNodes() const {
    for (size_t s = 0; s < counts_.size(); ++s) {
      std::vector<std::pair<int64_t, int64_t>> sizes;
      for (size_t c = 0; c < counts_[s].size(); ++c) {
        const int64_t there = std::max(Cell(s, c).now, Cell(s, c).least);
        const int64_t added = std::max<int64_t>(counts_[s][c] - there, 0);
        if (added > 0) sizes.emplace_back(VariantOf(s, c).size, added);
      }
      std::vector<int64_t> free = problem_.stages[s].free;
      if (sizes.size() > 1 && !Packs(free, sizes)) return false;
    }
    return true;
  }

  // Replica by replica, the farthest and dearest first, what the others do without.
  void LeaveOut() {
    std::vector<std::pair<size_t, size_t>> order = cells_;
    std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
      const auto key = [&](const auto& at) {
        const MixStage& stage = problem_.stages[at.first];
        const MixCell& cell = stage.cells[at.second];
        return std::tuple(stage.tier, cell.price, stage.name, cell.variant);
      };
      return key(a) > key(b);
    });
    for (const auto& [s, c] : order) {
      while (best_[s][c] > Cell(s, c).least && CanDoWithout(s, c)) --best_[s][c];
    }
  }

  bool CanDoWithout(size_t without_s, size_t without_c) const {
    int64_t serves = -VariantOf(without_s, without_c).each;
    int64_t of_variant = -1;
    for (const auto& [s, c] : cells_) {
      serves += VariantOf(s, c).each * best_[s][c];
      if (Cell(s, c).variant == Cell(without_s, without_c).variant) of_variant += best_[s][c];
    }
    return serves >= problem_.need && of_variant >= VariantOf(without_s, without_c).least;
  }

  // Of what variants must have, the nearest first.
  int64_t LeastDistance(const std::vector<size_t>& order) const {
    int64_t distance = 0;
    for (size_t v = 0; v < problem_.variants.size(); ++v) {
      int64_t left = problem_.variants[v].least;
      for (const auto& [s, c] : cells_) left -= Cell(s, c).variant == v ? Cell(s, c).least : 0;
      for (const size_t s : order) {
        for (size_t c = 0; c < counts_[s].size(); ++c) {
          if (Cell(s, c).variant != v) continue;
          const int64_t used =
              std::clamp<int64_t>(counts_[s][c] - Cell(s, c).least, 0, std::max<int64_t>(left, 0));
          left -= used;
          distance += used * problem_.stages[s].tier;
        }
      }
    }
    return distance;
  }

  int64_t NewIn(size_t s, size_t c) const {
    return std::max<int64_t>(counts_[s][c] - std::max(Cell(s, c).now, Cell(s, c).least), 0);
  }
  int64_t PricesOfNew(size_t s, size_t c) const {
    return NewIn(s, c) * Cell(s, c).price.micros() * problem_.payback.count();
  }

  // Each new replica goes to the first node that has room for it: to one that is there for its
  // price, else for that of the nodes which are made.
  int64_t BillOfNew(size_t s) const {
    const MixStage& stage = problem_.stages[s];
    std::vector<int64_t> free = stage.free;
    const size_t there = free.size() - (stage.made.size() - 1);
    int64_t bill = 0;
    size_t made = 0;
    for (size_t c = 0; c < stage.cells.size(); ++c) {
      std::vector<int64_t> fits = stage.cells[c].fits;
      fits.resize(free.size(), fits.empty() ? 1'000 : 0);
      for (int64_t n = NewIn(s, c); n > 0; --n) {
        size_t at = 0;
        while (at < free.size() && (free[at] < VariantOf(s, c).size || fits[at] < 1)) ++at;
        if (at == free.size() || at < there) bill += stage.cells[c].price.micros();
        if (at == free.size()) continue;
        free[at] -= VariantOf(s, c).size;
        --fits[at];
        if (at >= there) made = std::max(made, at - there + 1);
      }
    }
    return (bill + stage.made[made].micros()) * problem_.payback.count();
  }

  Rank RankOf() const {
    int64_t unmet = 0;
    for (size_t v = 0; v < problem_.variants.size(); ++v) {
      int64_t has = 0;
      for (const auto& [s, c] : cells_) has += Cell(s, c).variant == v ? counts_[s][c] : 0;
      unmet += std::max<int64_t>(problem_.variants[v].least - has, 0);
    }
    std::vector<size_t> order(counts_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return problem_.stages[a].tier < problem_.stages[b].tier;
    });
    int64_t left = (problem_.need + common_ - 1) / common_;
    int64_t distance = 0;
    int64_t money = 0;
    int64_t added = 0;
    int64_t tiers = 0;
    int64_t replicas = 0;
    std::vector<int64_t> names;
    for (const size_t s : order) {
      std::vector<std::pair<size_t, int64_t>> by_variant;
      for (size_t c = 0; c < counts_[s].size(); ++c) {
        const int64_t n = counts_[s][c];
        const int64_t more = std::max<int64_t>(n - Cell(s, c).now, 0);
        const int64_t served = std::min(left, n * VariantOf(s, c).each / common_);
        left -= served;
        distance += served * problem_.stages[s].tier;
        money += Cell(s, c).price.micros() *
                 (n * problem_.payback.count() + more * Cell(s, c).startup.count());
        money += problem_.stages[s].made.empty() ? 0 : -PricesOfNew(s, c);
        added += more;
        tiers += n * problem_.stages[s].tier;
        replicas += n;
        by_variant.emplace_back(Cell(s, c).variant, -n);
      }
      if (!problem_.stages[s].made.empty()) money += BillOfNew(s);
      std::sort(by_variant.begin(), by_variant.end());
      for (const auto& [variant, n] : by_variant) names.push_back(n);
    }
    return {unmet,
            left,
            problem_.home_first ? distance : 0,
            problem_.home_first ? LeastDistance(order) : 0,
            money,
            added,
            tiers,
            replicas,
            names};
  }

  const MixProblem& problem_;
  std::vector<std::pair<size_t, size_t>> cells_;
  int64_t common_ = 0;
  Counts counts_;
  Counts best_;
  std::optional<Rank> rank_;
};

std::string Told(uint32_t seed, const MixProblem& problem) {
  std::string text =
      "seed " + std::to_string(seed) + ", need " + std::to_string(problem.need) + "\n";
  for (const MixVariant& variant : problem.variants) {
    text += "  variant: each " + std::to_string(variant.each) + ", size " +
            std::to_string(variant.size) + ", " + variant.type + ", least " +
            std::to_string(variant.least) + ", most " +
            (variant.most ? std::to_string(*variant.most) : "any") + "\n";
  }
  for (const MixStage& stage : problem.stages) {
    text += "  " + stage.name + ", tier " + std::to_string(stage.tier) + ", free";
    for (const int64_t free : stage.free) text += " " + std::to_string(free);
    for (const Money made : stage.made) text += " made " + made.Format();
    for (const MixCell& cell : stage.cells) {
      text += "; " + std::to_string(cell.variant) + ": " + cell.price.Format() + ", now " +
              std::to_string(cell.now) + ", " + std::to_string(cell.least) + " to " +
              std::to_string(cell.most);
      for (const int64_t fits : cell.fits) text += " fits " + std::to_string(fits);
    }
    text += "\n";
  }
  return text;
}

TEST(CheapestMix, IsTheBestOfAllMixes) {
  constexpr uint32_t kProblems = 12'000;
  int shared = 0;
  int short_of = 0;
  for (uint32_t seed = 0; seed < kProblems; ++seed) {
    const MixProblem problem = SmallProblem(seed);
    const Mix mix = CheapestMix(problem);
    ASSERT_EQ(Shown(mix.replicas), Shown(Oracle(problem).Best())) << Told(seed, problem);
    ASSERT_FALSE(mix.rounded.has_value());
    shared += std::any_of(problem.stages.begin(), problem.stages.end(),
                          [](const MixStage& stage) { return stage.cells.size() > 1; });
    short_of += mix.shortage > 0;
  }
  EXPECT_GT(shared, static_cast<int>(kProblems / 4));
  EXPECT_GT(short_of, static_cast<int>(kProblems / 20));
}

// Three cells of many replicas, each on nodes of its own, some of which are yet to be made.
MixProblem LongProblem(uint32_t seed) {
  Dice dice(seed);
  MixProblem problem;
  problem.home_first = dice.OneIn(2);
  problem.payback = Seconds{dice.Pick<int>({1, 600, 3600})};
  for (size_t v = 0; v < 3; ++v) {
    problem.variants.push_back(Way(dice.Roll(9) + 1, dice.Roll(3) + 1));
    MixCell cell = Of(v, dice.Roll(5) * 10, 0, dice.OneIn(2) ? dice.Roll(14) : 0);
    cell.startup = Seconds{dice.Pick<int>({0, 300, 1200})};
    if (dice.OneIn(4)) cell.least = dice.Roll(4);
    cell.most = std::max<int64_t>(cell.least, dice.Roll(14));
    problem.stages.push_back(On("g" + std::to_string(v), dice.Pick<int>({0, 1, 5}), {cell}));
    if (!dice.OneIn(3)) continue;
    MixStage& stage = problem.stages.back();
    for (int n = dice.Roll(8) + 1; n > 0; --n) stage.free.push_back(dice.Roll(10));
    AddMade(dice, stage);
  }
  problem.need = dice.Roll(140);
  if (dice.OneIn(6)) problem.variants[0].most = dice.Roll(12);
  if (dice.OneIn(6)) problem.variants[1].least = dice.Roll(3);
  if (dice.OneIn(6)) problem.spend = Cents(dice.Roll(30) * 10);
  return problem;
}

TEST(CheapestMix, OfManyReplicasIsTheBestOfAllMixes) {
  int short_of = 0;
  for (uint32_t seed = 0; seed < 1'000; ++seed) {
    const MixProblem problem = LongProblem(seed);
    const Mix mix = CheapestMix(problem);
    ASSERT_EQ(Shown(mix.replicas), Shown(Oracle(problem).Best())) << Told(seed, problem);
    ASSERT_FALSE(mix.rounded.has_value());
    short_of += mix.shortage > 0;
  }
  EXPECT_GT(short_of, 50);
  EXPECT_LT(short_of, 700);
}

TEST(CheapestMix, IsTheSameWhateverTheOrderOfStagesAndCells) {
  for (uint32_t seed = 0; seed < 3'000; ++seed) {
    const MixProblem problem = SmallProblem(seed);
    Dice dice(seed + 1);
    MixProblem other = problem;
    dice.Shuffle(other.stages);
    for (MixStage& stage : other.stages) {
      dice.Shuffle(stage.cells);
      if (stage.made.empty()) dice.Shuffle(stage.free);
    }
    std::set<std::tuple<std::string, size_t, int64_t>> here;
    std::set<std::tuple<std::string, size_t, int64_t>> there;
    const auto put = [](const MixProblem& of, auto& into) {
      const Mix mix = CheapestMix(of);
      for (size_t s = 0; s < of.stages.size(); ++s) {
        for (size_t c = 0; c < of.stages[s].cells.size(); ++c) {
          into.emplace(of.stages[s].name, of.stages[s].cells[c].variant, mix.replicas[s][c]);
        }
      }
    };
    put(problem, here);
    put(other, there);
    ASSERT_EQ(here, there) << Told(seed, problem);
  }
}

TEST(CheapestMix, ALargerNeedIsNeverCheaper) {
  for (uint32_t seed = 0; seed < 2'000; ++seed) {
    MixProblem problem = SmallProblem(seed);
    placement::MixCost before;
    problem.home_first = false;
    problem.need = 0;
    before = CheapestMix(problem).cost;
    for (int step = 0; step < 12; ++step) {
      problem.need += problem.variants.front().each;
      const placement::MixCost cost = CheapestMix(problem).cost;
      if (cost.unmet > before.unmet || cost.short_of > 0) break;  // no more of what is asked for
      ASSERT_GE(cost.money, before.money) << Told(seed, problem);
      before = cost;
    }
  }
}

}  // namespace
}  // namespace spillway::tests
