#include "base/quantity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

struct Case {
  std::string text;
  int64_t milli;
  int64_t units;
};

// The rules of Kubernetes' resource.Quantity: MilliValue() and Value() round up.
TEST(QuantityTest, ReadsWhatKubernetesReads) {
  const std::vector<Case> cases = {
      {"0", 0, 0},
      {"1", 1000, 1},
      {"8", 8000, 8},
      {"+8", 8000, 8},
      {"-1", -1000, -1},
      {"007", 7000, 7},
      {"1.", 1000, 1},
      {".5", 500, 1},
      {"0.5", 500, 1},
      {"1.5", 1500, 2},
      {"100m", 100, 1},
      {"500m", 500, 1},
      {"1500m", 1500, 2},
      {"94940m", 94940, 95},
      {"1u", 1, 1},
      {"1n", 1, 1},
      {"1000000n", 1, 1},
      {"1000001n", 2, 1},
      {"0n", 0, 0},
      {"0.0001", 1, 1},
      {"1k", 1'000'000, 1'000},
      {"1M", 1'000'000'000, 1'000'000},
      {"1G", 1'000'000'000'000, 1'000'000'000},
      {"1T", 1'000'000'000'000'000, 1'000'000'000'000},
      {"1P", 1'000'000'000'000'000'000, 1'000'000'000'000'000},
      {"1Ki", 1'024'000, 1'024},
      {"1Mi", 1'048'576'000, 1'048'576},
      {"1Gi", 1'073'741'824'000, 1'073'741'824},
      {"1Ti", 1'099'511'627'776'000, 1'099'511'627'776},
      {"1660424Mi", 1'741'080'756'224'000, 1'741'080'756'224},
      {"1.5Gi", 1'610'612'736'000, 1'610'612'736},
      {"0.1Ki", 102'400, 103},
      {"1e3", 1'000'000, 1'000},
      {"1E3", 1'000'000, 1'000},
      {"12e-1", 1200, 2},
      {"1e+2", 100'000, 100},
      {"1.25e2", 125'000, 125},
      {"5e0", 5000, 5},
      {"0.000000000000000000001", 1, 1},
      {"1.000000000000000000", 1000, 1},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    const auto milli = ParseMilli(c.text);
    ASSERT_TRUE(milli.ok()) << milli.error().message;
    EXPECT_EQ(*milli, c.milli);
    EXPECT_EQ(ParseUnits(c.text).value(), c.units);
  }
}

TEST(QuantityTest, AnExponentNeedsDigitsElseTheLetterIsExa) {
  EXPECT_EQ(ParseUnits("1E").value(), 1'000'000'000'000'000'000);
  EXPECT_EQ(ParseUnits("2Ei").value(), int64_t{2} << 60);
  EXPECT_EQ(ParseUnits("0E").value(), 0);
}

TEST(QuantityTest, ReadsUpToTheLargestNumber) {
  EXPECT_EQ(ParseUnits("9223372036854775807").value(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(ParseUnits("9223372036854775806.5").value(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(ParseMilli("9223372036854775.807").value(), std::numeric_limits<int64_t>::max());
}

TEST(QuantityTest, SaysWhenANumberIsTooLarge) {
  for (const char* text : {"9223372036854775808", "8Ei", "10E", "1e19", "1e99"}) {
    SCOPED_TRACE(text);
    EXPECT_THAT(ParseUnits(text).error().message, HasSubstr("is out of range"));
  }
  EXPECT_TRUE(ParseUnits("9P").ok());
  EXPECT_FALSE(ParseMilli("10P").ok());
  EXPECT_EQ(ParseUnits("0e99").value(), 0);
}

TEST(QuantityTest, RefusesWhatKubernetesRefuses) {
  for (const char* text : {"",     " ",    "+",     "-",   ".",    "m",   "Ki",  "1 ",  " 1",
                           "1 Gi", "1K",   "1KI",   "1gi", "1Mb",  "1mm", "1e",  "1e+", "1ee3",
                           "1e3m", "1..5", "1.5.0", "--1", "0x10", "1,5", "Inf", "NaN", "1e1.5"}) {
    SCOPED_TRACE(text);
    const auto got = ParseMilli(text);
    ASSERT_FALSE(got.ok()) << *got;
    EXPECT_EQ(got.error().code, Code::kInvalid);
    EXPECT_THAT(got.error().message, HasSubstr("is no quantity"));
  }
}

TEST(QuantityTest, CountsCpuInThousandthsAndAllElseInUnits) {
  EXPECT_EQ(ParseResource("cpu", "1500m").value(), 1500);
  EXPECT_EQ(ParseResource("cpu", "2").value(), 2000);
  EXPECT_EQ(ParseResource("memory", "1Ki").value(), 1024);
  EXPECT_EQ(ParseResource("nvidia.com/gpu", "8").value(), 8);
  EXPECT_EQ(ParseResource("memory", "1500m").value(), 2);  // as the scheduler: rounded up
}

TEST(QuantityTest, PrintsWhatKubernetesReadsBack) {
  EXPECT_EQ(FormatResource("cpu", 94940), "94940m");
  EXPECT_EQ(FormatResource("cpu", 96000), "96");
  EXPECT_EQ(FormatResource("cpu", 0), "0");
  EXPECT_EQ(FormatResource("memory", 1'741'080'756'224), "1660424Mi");
  EXPECT_EQ(FormatResource("memory", 1023), "1023");
  EXPECT_EQ(FormatResource("memory", 1024), "1Ki");
  EXPECT_EQ(FormatResource("memory", int64_t{3} << 50), "3072Ti");
  EXPECT_EQ(FormatResource("memory", 0), "0");
  EXPECT_EQ(FormatResource("nvidia.com/gpu", 8), "8");
  for (const int64_t bytes : {int64_t{1}, int64_t{1024}, int64_t{123'456'789}, int64_t{1} << 40}) {
    EXPECT_EQ(ParseResource("memory", FormatResource("memory", bytes)).value(), bytes);
  }
}

Resources Of(int64_t cpu, int64_t gpus) {
  Resources resources;
  resources.Set(kCpu, cpu);
  resources.Set("nvidia.com/gpu", gpus);
  return resources;
}

TEST(ResourcesTest, AreSortedAndHoldNoZeros) {
  Resources resources;
  resources.Set("nvidia.com/gpu", 8);
  resources.Set("cpu", 4000);
  resources.Set("memory", 0);
  EXPECT_THAT(std::vector<Resources::Entry>(resources.begin(), resources.end()),
              ElementsAre(Pair("cpu", 4000), Pair("nvidia.com/gpu", 8)));
  resources.Set("cpu", 0);
  EXPECT_EQ(resources, Of(0, 8));
  EXPECT_EQ(resources.Get("cpu"), 0);
  resources.Set("nvidia.com/gpu", 0);
  EXPECT_TRUE(resources.empty());
}

TEST(ResourcesTest, AddSubtractAndTakeTheLarger) {
  Resources resources = Of(1000, 1);
  resources.Add(Of(500, 0));
  EXPECT_EQ(resources, Of(1500, 1));
  resources.AddTimes(Of(100, 2), 3);
  EXPECT_EQ(resources, Of(1800, 7));
  resources.Subtract(Of(1800, 8));
  EXPECT_EQ(resources, Of(0, -1));
  resources = Of(1000, 8);
  resources.MaxWith(Of(2000, 4));
  EXPECT_EQ(resources, Of(2000, 8));
}

TEST(ResourcesTest, SumsSaturate) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  Resources resources = Of(kMost - 1, 1);
  resources.Add(Of(5, 0));
  EXPECT_EQ(resources.Get(kCpu), kMost);
  resources.AddTimes(Of(kMost, 0), -3);
  EXPECT_EQ(resources.Get(kCpu), std::numeric_limits<int64_t>::min());
}

TEST(ResourcesTest, CoverARequestNameByName) {
  EXPECT_TRUE(Of(1000, 8).Covers(Of(1000, 8)));
  EXPECT_FALSE(Of(1000, 8).Covers(Of(1001, 0)));
  EXPECT_FALSE(Of(1000, 0).Covers(Of(0, 1)));
  EXPECT_TRUE(Of(1000, 0).Covers({}));
  EXPECT_TRUE(Resources().Covers(Of(-5, 0)));
}

TEST(ResourcesTest, SayHowManyCopiesFit) {
  EXPECT_EQ(Of(96000, 8).HowMany(Of(10000, 4), 100), 2);
  EXPECT_EQ(Of(96000, 8).HowMany(Of(50000, 4), 100), 1);
  EXPECT_EQ(Of(96000, 8).HowMany(Of(0, 16), 100), 0);
  EXPECT_EQ(Of(96000, 8).HowMany({}, 100), 100);
  EXPECT_EQ(Of(96000, 8).HowMany(Of(1, 1), 3), 3);
  EXPECT_EQ(Of(-5000, 8).HowMany(Of(1000, 1), 100), 0);  // over-committed already
  EXPECT_EQ(Of(0, 8).HowMany(Of(1000, 1), 100), 0);
}

}  // namespace
}  // namespace spillway
