#include "base/boxed.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace spillway {
namespace {

using Text = Boxed<std::string>;

TEST(BoxedTest, IsAbsentUntilItIsGiven) {
  Text text;
  EXPECT_FALSE(text.has_value());
  EXPECT_EQ(text, Text());
  text = std::string("a");
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, "a");
  EXPECT_EQ(text->size(), 1U);
  text.reset();
  EXPECT_FALSE(text);
  EXPECT_EQ(text.emplace(), "");
  EXPECT_TRUE(text);
}

TEST(BoxedTest, CopiesAreValuesOfTheirOwn) {
  Text first(std::string("a"));
  Text second = first;
  EXPECT_EQ(second, first);
  *second += "b";
  EXPECT_EQ(*first, "a");
  EXPECT_NE(second, first);
  second = first;
  EXPECT_EQ(second, first);
  second = Text();
  EXPECT_FALSE(second);
  EXPECT_NE(second, first);
}

TEST(BoxedTest, IsMovedWithoutACopy) {
  Text first(std::string(100, 'a'));
  const std::string* const at = &*first;
  const Text second = std::move(first);
  EXPECT_EQ(&*second, at);
}

TEST(BoxedTest, TakesAWordWhereItIsAbsent) { EXPECT_EQ(sizeof(Text), sizeof(void*)); }

}  // namespace
}  // namespace spillway
