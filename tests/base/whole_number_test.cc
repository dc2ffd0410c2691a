#include "base/whole_number.h"

#include <gtest/gtest.h>

#include <limits>

namespace spillway::tests {
namespace {

TEST(WholeNumber, IsAllOfTheText) {
  EXPECT_EQ(WholeNumber("0"), 0);
  EXPECT_EQ(WholeNumber("-7"), -7);
  EXPECT_EQ(WholeNumber("9223372036854775807"), std::numeric_limits<int64_t>::max());
  for (const char* wrong : {"", "-", "+1", " 1", "1 ", "1.5", "1s", "one", "9223372036854775808"}) {
    EXPECT_EQ(WholeNumber(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace spillway::tests
