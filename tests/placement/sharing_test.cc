#include "placement/sharing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Labels;
using placement::Sharing;
using testing::ElementsAre;
using testing::Pair;

TEST(Labels, AreInTheOrderOfTheirKeys) {
  Labels labels = {{"zone", "z1"}, {"arch", "arm64"}, {"zone", "z2"}};
  labels["os"] = "linux";
  labels["arch"] = "amd64";
  EXPECT_THAT(Labels::Entries(labels.begin(), labels.end()),
              ElementsAre(Pair("arch", "amd64"), Pair("os", "linux"), Pair("zone", "z2")));
  EXPECT_EQ(labels, Labels(std::map<std::string, std::string, std::less<>>{
                        {"os", "linux"}, {"zone", "z2"}, {"arch", "amd64"}}));
  EXPECT_EQ(labels.find("os")->second, "linux");
  EXPECT_EQ(labels.find("rack"), labels.end());
  EXPECT_TRUE(labels.contains("zone"));
  EXPECT_FALSE(labels.contains("z1"));
  EXPECT_EQ(labels.size(), 3U);
}

TEST(Labels, OfACopyStayWhenTheOthersChange) {
  Labels labels = {{"zone", "z1"}};
  const Labels before = labels;
  labels["zone"] = "z2";
  EXPECT_EQ(before, (Labels{{"zone", "z1"}}));
}

// Is it one text in memory that both nodes have as the value of this label?
bool ShareLabel(const placement::Node& a, const placement::Node& b, const char* key) {
  return &a.labels.find(key)->second.str() == &b.labels.find(key)->second.str();
}
template <class T>
bool ShareAll(const T& a, const T& b) {
  return &*a.begin() == &*b.begin();
}

// All that two nodes of a group, and two workers of a gang, have in common.
void ExpectShared(const Snapshot& world) {
  const placement::Node& a = world.nodes.at(0);
  const placement::Node& b = world.nodes.at(1);
  EXPECT_TRUE(ShareLabel(a, b, "group"));
  EXPECT_EQ(&a.labels.begin()->first.str(), &b.labels.begin()->first.str());
  EXPECT_TRUE(ShareAll(a.conditions, b.conditions));
  EXPECT_TRUE(ShareAll(a.allocatable, b.allocatable));
  EXPECT_TRUE(ShareAll(a.used, b.used));
  const auto& workers = world.pools.at(0).workers;
  EXPECT_TRUE(ShareAll(workers.at(0).requests, workers.at(1).requests));
  const auto& pool = world.inference_pools.at(0);
  EXPECT_TRUE(ShareAll(pool.live.at(0).requests, pool.live.at(1).requests));
  EXPECT_TRUE(ShareAll(pool.variants.at(0).requests, pool.variants.at(1).requests));
}

// Two nodes, two workers and two replicas, each with its own copy of everything.
Snapshot Unshared() {
  Snapshot world = Fleet(2);
  for (placement::Node& node : world.nodes) {
    node.conditions = {{"Ready", "True"}};
    node.used.Set("nvidia.com/gpu", 4);
  }
  TrainingPool pool = Wants("llm", 2);
  for (int i = 0; i < 2; ++i) {
    auto& worker = pool.workers.emplace_back();
    worker.requests.Set("nvidia.com/gpu", 8);
  }
  world.pools = {pool};
  auto& serving = world.inference_pools.emplace_back();
  serving.key = {"team", "serving"};
  for (int i = 0; i < 2; ++i) {
    serving.variants.emplace_back().requests.Set("memory", 1024);
    serving.live.emplace_back().requests.Set("nvidia.com/gpu", 1);
  }
  return world;
}

TEST(Sharing, ChangesNoValue) {
  const Snapshot before = Unshared();
  Snapshot after = before;
  Sharing sharing;
  for (auto& node : after.nodes) sharing.Share(node);
  for (auto& pool : after.pools) sharing.Share(pool);
  for (auto& pool : after.inference_pools) sharing.Share(pool);
  EXPECT_EQ(after, before);
  ExpectShared(after);
}

TEST(Sharing, WhatDiffersStaysApart) {
  Snapshot world = Fleet(2);
  world.nodes[1].allocatable.Set("nvidia.com/gpu", 4);
  const Snapshot before = world;
  Sharing sharing;
  for (auto& node : world.nodes) sharing.Share(node);
  EXPECT_EQ(world, before);
  world.nodes[0].labels["group"] = "other";
  EXPECT_EQ(world.nodes[1], before.nodes[1]);
}

TEST(Sharing, OfAFileIsAsWhereItCameFrom) {
  const Snapshot world = Unshared();
  const auto read = placement::ReadSnapshot(placement::WriteSnapshot(world));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, world);
  ExpectShared(*read);
}

}  // namespace
}  // namespace spillway::tests
