// What an observer takes of memory from one moment to the next, by the heap.
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>

#include "controllers/names.h"
#include "controllers/observe.h"
#include "controllers/stores.h"
#include "tests/support/counted_heap.h"
#include "tests/support/seeds.h"

namespace spillway::controllers {
namespace {

using support::ForgetMostHeapInUse;
using support::HeapInUse;
using support::MostHeapInUse;

kube::Node NodeOf(int number) {
  kube::Node node;
  node.meta.name = "node-of-the-fleet-" + std::to_string(100'000 + number);
  node.meta.labels = {{kHostnameLabel, node.meta.name},
                      {"topology.kubernetes.io/region", "the region of the whole fleet"},
                      {"example.com/machine", "machine-with-number-" + std::to_string(number)}};
  node.allocatable.Set("nvidia.com/gpu", 8);
  node.allocatable.Set(kCpu, 96'000 + number);
  return node;
}

struct Scene {
  Stores stores{[] {}};
  const Settings settings;
  const std::map<std::string, std::string> conflicts;
  Observer observer;

  void Look() {
    const World world = ReadWorld(stores);
    ObserveInput input;
    input.now = Time(Seconds(9000));
    input.settings = &settings;
    input.name_conflicts = &conflicts;
    observer.Observe(world, Families(world), input);
  }
};

TEST(ObserverBytes, NodesThatAreTheSameTakeNoSecondSet) {
  constexpr int kNodes = tests::Seeds(4000);
  Scene scene;
  for (int i = 0; i < kNodes; ++i) scene.stores.nodes.Upsert(NodeOf(i));
  const int64_t before = HeapInUse();
  scene.Look();
  const int64_t set = HeapInUse() - before;
  ForgetMostHeapInUse();
  const int64_t kept = HeapInUse();
  scene.Look();
  EXPECT_EQ(HeapInUse(), kept);
  EXPECT_LT(MostHeapInUse() - kept, set / 10);
}

// One node goes and another one comes, each unlike all before, for a long time.
TEST(ObserverBytes, WhatNodesThatAreGoneHaveSaidIsForgotten) {
  constexpr int kNodes = 100;
  constexpr int kTurn = 4000;
  Scene scene;
  for (int i = 0; i < kNodes; ++i) scene.stores.nodes.Upsert(NodeOf(i));
  int next = kNodes;
  const auto most = [&] {
    ForgetMostHeapInUse();
    for (const int end = next + kTurn; next < end; ++next) {
      scene.stores.nodes.Erase(NodeOf(next - kNodes).meta.name, "1");
      scene.stores.nodes.Upsert(NodeOf(next));
      scene.Look();
    }
    return MostHeapInUse();
  };
  const int64_t first = most();
  const int64_t second = most();
  EXPECT_LT(second, first + first / 50);
}

}  // namespace
}  // namespace spillway::controllers
