#include "base/hash.h"

#include <gtest/gtest.h>

namespace spillway {
namespace {

// Names and revisions in clusters depend on these values: they never change.
TEST(HashTest, IsTheSameOnEveryMachineAndInEveryVersion) {
  EXPECT_EQ(Hash(""), 0xcbf29ce484222325ULL);
  EXPECT_EQ(Hash("a"), 0xaf63dc4c8601ec8cULL);
  EXPECT_EQ(Hash("foobar"), 0x85944171f73967e8ULL);
  EXPECT_EQ(Hash("\xff"), 0xaf64724c8602eb6eULL);
}

TEST(HashTest, HexHasAsManyDigitsAsAskedFor) {
  EXPECT_EQ(HashHex("a", 16).size(), 16U);
  EXPECT_EQ(HashHex("a", 4), HashHex("a", 16).substr(0, 4));
  EXPECT_NE(HashHex("a", 8), HashHex("b", 8));
}

}  // namespace
}  // namespace spillway
