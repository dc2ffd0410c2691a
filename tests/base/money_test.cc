#include "base/money.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace spillway {
namespace {

using ::testing::HasSubstr;

Money M(const char* text) { return Money::Parse(text).value(); }

TEST(MoneyTest, ReadsAndPrintsDecimals) {
  EXPECT_EQ(M("32.77").micros(), 32'770'000);
  EXPECT_EQ(M("32.77").Format(), "32.77");
  EXPECT_EQ(M("0").Format(), "0.00");
  EXPECT_EQ(M("5000").Format(), "5000.00");
  EXPECT_EQ(M("1310.8").Format(), "1310.80");
  EXPECT_EQ(M("0.000125").Format(), "0.000125");
  EXPECT_EQ(M("0.1234").Format(), "0.1234");
  EXPECT_EQ(M("007.50").Format(), "7.50");
  EXPECT_EQ(M("999999999999.999999").Format(), "999999999999.999999");
  EXPECT_EQ(Money::FromMicros(-1'500'000).Format(), "-1.50");
  EXPECT_DOUBLE_EQ(M("32.77").Float(), 32.77);
}

TEST(MoneyTest, RefusesAnythingElseByItsText) {
  for (const char* text : {"", ".", ".5", "5.", "-1", "+1", "1e3", "1,000", "1.0000001",
                           "1000000000000", " 1", "1 ", "$5", "1.2.3", "0x1"}) {
    SCOPED_TRACE(text);
    const auto money = Money::Parse(text);
    ASSERT_FALSE(money.ok());
    EXPECT_EQ(money.error().code, Code::kInvalid);
    EXPECT_THAT(money.error().message, HasSubstr(std::string("\"") + text + "\""));
  }
}

TEST(MoneyTest, AddsExactly) {
  Money sum;
  for (int i = 0; i < 1000; ++i) sum += M("0.1");
  EXPECT_EQ(sum, M("100"));
  EXPECT_LT(M("0.1"), M("0.100001"));
}

TEST(MoneyTest, SharesRoundHalfUp) {
  EXPECT_EQ(M("32.77").Times(40).Format(), "1310.80");
  EXPECT_EQ(M("32.77").Share(5, 8).Format(), "20.48125");
  EXPECT_EQ(Money::FromMicros(1).Share(1, 2).micros(), 1);
  EXPECT_EQ(Money::FromMicros(1).Share(1, 3).micros(), 0);
  EXPECT_EQ(Money::FromMicros(5).Share(1, 3).micros(), 2);
  EXPECT_EQ(M("0").Share(7, 9), M("0"));
  EXPECT_EQ(M("1").Times(0), M("0"));
}

TEST(MoneyTest, SaturatesInsteadOfWrapping) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(Money::FromMicros(kMost) + M("1"), Money::FromMicros(kMost));
  EXPECT_EQ(M("999999999999").Times(1'000'000), Money::FromMicros(kMost));
}

}  // namespace
}  // namespace spillway
