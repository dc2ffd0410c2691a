#include "placement/words.h"

#include <gtest/gtest.h>

namespace spillway::placement {
namespace {

TEST(Words, CountSaysOneOrMany) {
  EXPECT_EQ(Count(0, "node"), "0 nodes");
  EXPECT_EQ(Count(1, "node"), "1 node");
  EXPECT_EQ(Count(12, "worker"), "12 workers");
}

TEST(Words, NamesAreListedAndManyAreCounted) {
  EXPECT_EQ(Names({}), "");
  EXPECT_EQ(Names({"a"}), "a");
  EXPECT_EQ(Names({"a", "b"}), "a and b");
  EXPECT_EQ(Names({"a", "b", "c", "d", "e"}), "a, b, c, d and e");
  EXPECT_EQ(Names({"a", "b", "c", "d", "e", "f"}), "a, b, c, d and 2 more");
}

TEST(Words, ShortKeepsWhatFitsAConditionsMessage) {
  EXPECT_EQ(Short("fits"), "fits");
  EXPECT_EQ(Short(std::string(1024, 'x')).size(), 1024U);
  std::string words;
  while (words.size() < 1100) words += "word ";
  const std::string cut = Short(words);
  EXPECT_LE(cut.size(), 1024U);
  EXPECT_TRUE(cut.ends_with("word …")) << cut;
}

TEST(Words, ShortNeverCutsInsideACharacter) {
  std::string text;
  while (text.size() < 1100) text += "ü";
  const std::string cut = Short("x" + text);
  EXPECT_LE(cut.size(), 1024U);
  EXPECT_EQ((cut.size() - std::string("x …").size()) % 2, 0U);
}

}  // namespace
}  // namespace spillway::placement
