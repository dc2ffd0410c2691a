#include "base/interner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace spillway {
namespace {

TEST(Interner, EqualValuesShareTheirMemory) {
  Interner<std::string> texts;
  const auto first = texts.Of(std::string("node-1"));
  const auto again = texts.Of(std::string("node-1"));
  const auto other = texts.Of(std::string("node-2"));
  EXPECT_TRUE(first.IsSameAs(again));
  EXPECT_EQ(first.Get(), "node-1");
  EXPECT_EQ(other.Get(), "node-2");
  EXPECT_EQ(texts.Of("").Get(), "");
  EXPECT_EQ(texts.size(), 2U);
}

TEST(Interner, LetsGoOfWhatNobodyHas) {
  Interner<std::string> texts;
  const auto kept = texts.Of(std::string("kept"));
  size_t most = 0;
  for (int i = 0; i < 100'000; ++i) {
    (void)texts.Of(std::to_string(i));
    most = std::max(most, texts.size());
  }
  EXPECT_LE(most, 1024U);
  EXPECT_TRUE(texts.Of(std::string("kept")).IsSameAs(kept));
}

TEST(Interner, KeepsAllThatAreInUseAndAsManyAgainAtMost) {
  Interner<std::string> texts;
  std::vector<Interned<std::string>> used;
  for (int i = 0; i < 5'000; ++i) used.push_back(texts.Of("used-" + std::to_string(i)));
  size_t most = 0;
  for (int i = 0; i < 100'000; ++i) {
    (void)texts.Of(std::to_string(i));
    most = std::max(most, texts.size());
  }
  EXPECT_LE(most, 2 * used.size());
  for (int i = 0; i < 5'000; ++i) {
    ASSERT_TRUE(texts.Of("used-" + std::to_string(i)).IsSameAs(used[i])) << i;
  }
}

}  // namespace
}  // namespace spillway
