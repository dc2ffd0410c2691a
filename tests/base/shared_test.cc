#include "base/shared.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/text.h"

namespace spillway {
namespace {

using Names = Shared<std::vector<std::string>>;

TEST(SharedTest, CopiesAreOneUntilOneIsChanged) {
  Names first(std::vector<std::string>{"a"});
  const Names second = first;
  EXPECT_TRUE(first.IsSameAs(second));
  first.Own().emplace_back("b");
  EXPECT_FALSE(first.IsSameAs(second));
  EXPECT_EQ(first.Get(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(second.Get(), (std::vector<std::string>{"a"}));
}

TEST(SharedTest, WhatNobodyElseHasIsChangedInPlace) {
  Names names(std::vector<std::string>{"a"});
  const auto* before = &names.Get();
  names.Own().emplace_back("b");
  EXPECT_EQ(&names.Get(), before);
  {
    const Names other = names;
  }
  names.Own().emplace_back("c");
  EXPECT_EQ(&names.Get(), before);
}

TEST(SharedTest, IsEmptyFromTheStartAndAfterItWasMovedFrom) {
  Names names;
  EXPECT_TRUE(names.Get().empty());
  names.Own().emplace_back("a");
  const Names taken = std::move(names);
  EXPECT_EQ(taken.Get().size(), 1U);
  EXPECT_TRUE(names.Get().empty());  // NOLINT(bugprone-use-after-move): it is a value still
  names = taken;
  EXPECT_TRUE(names.IsSameAs(taken));
}

TEST(SharedTest, IsEqualByValue) {
  const Names one(std::vector<std::string>{"a"});
  const Names like_it(std::vector<std::string>{"a"});
  EXPECT_FALSE(one.IsSameAs(like_it));
  EXPECT_EQ(one, like_it);
  EXPECT_NE(one, Names());
  EXPECT_EQ(Names(), Names(std::vector<std::string>{}));
}

TEST(SharedTest, ThreadsMayEachChangeACopy) {
  constexpr int kThreads = 4;
  const Names names(std::vector<std::string>{"a"});
  std::vector<Names> copies(kThreads, names);
  {
    std::vector<std::jthread> threads;
    for (Names& copy : copies) {
      threads.emplace_back([&copy] {
        for (int i = 0; i < 100; ++i) {
          const Names before = copy;
          copy.Own().push_back(before.Get().front());
        }
      });
    }
  }
  for (const Names& copy : copies) EXPECT_EQ(copy.Get().size(), 101U);
  EXPECT_EQ(names.Get().size(), 1U);
}

TEST(TextTest, IsATextToCompare) {
  const Text text = "b";
  const Text copy = text;
  const Text like_it = std::string("b");
  EXPECT_EQ(&text.str(), &copy.str());
  EXPECT_EQ(text, like_it);
  EXPECT_EQ(text, "b");
  EXPECT_EQ(std::string("b"), text);
  EXPECT_NE(text, std::string_view("c"));
  EXPECT_LT(text, Text("c"));
  EXPECT_FALSE(text < copy);
  EXPECT_FALSE(text.empty());
  EXPECT_TRUE(Text().empty());
}

}  // namespace
}  // namespace spillway
