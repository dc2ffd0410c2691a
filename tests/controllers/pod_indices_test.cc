// What is kept of all pods as they come and go, held against what they all add up to.
#include "controllers/pod_indices.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <limits>
#include <map>
#include <random>
#include <thread>

#include "controllers/names.h"
#include "controllers/store_bytes.h"
#include "controllers/stores.h"
#include "tests/support/seeds.h"

namespace spillway::controllers {
namespace {

__extension__ using Wide = __int128;
using Random = std::mt19937;
using Ptr = std::shared_ptr<const kube::KeptPod>;

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

// One that others have: two CPUs on a node.
kube::Pod Foreign(const std::string& name, const std::string& node) {
  kube::Pod pod;
  pod.meta.ns = "team";
  pod.meta.name = name;
  pod.meta.resource_version = "1";
  pod.node = node;
  pod.phase = kube::PodPhase::kRunning;
  pod.requests.Set(kCpu, 2000);
  return pod;
}
kube::Pod Ours(const std::string& name, const std::string& node) {
  kube::Pod pod = Foreign(name, node);
  pod.meta.labels[kPoolUidLabel] = "uid-run";
  return pod;
}

// As the planner's worlds have them, by a look at each pod; sums that do not fit stop at the ends.
std::vector<OthersOnNode> SumOfOthers(const std::vector<Ptr>& pods) {
  struct Sum {
    std::map<std::string, Wide> amounts;
    int staying = 0;
  };
  std::map<std::string, Sum> sums;
  for (const Ptr& pod : pods) {
    if (pod->own != nullptr || !pod->UsesNode()) continue;
    Sum& sum = sums[pod->node.Get()];
    for (const auto& [name, amount] : pod->requests.Get()) sum.amounts[name] += amount;
    if (!pod->comes_with_node) ++sum.staying;
  }
  std::vector<OthersOnNode> all;
  for (const auto& [node, sum] : sums) {
    OthersOnNode& one = all.emplace_back(OthersOnNode{Interned(node), {}, sum.staying});
    for (const auto& [name, amount] : sum.amounts) {
      one.requests.Set(name,
                       static_cast<int64_t>(std::clamp(amount, -Wide{kMost} - 1, Wide{kMost})));
    }
  }
  return all;
}
std::vector<std::shared_ptr<const kube::Pod>> OwnOf(const std::vector<Ptr>& pods) {
  std::vector<std::shared_ptr<const kube::Pod>> own;
  for (const Ptr& pod : pods) {
    if (pod->own != nullptr) own.push_back(pod->own);
  }
  return own;
}

std::string Print(const std::vector<OthersOnNode>& nodes) {
  std::string text;
  for (const OthersOnNode& one : nodes) {
    text += one.node.Get() + ":";
    for (const auto& [name, amount] : one.requests) text += " " + FormatResource(name, amount);
    text += " x" + std::to_string(one.staying) + "; ";
  }
  return text;
}

// A store of pods with both indices, held against each other.
struct Scene {
  kube::PodKeeper keeper{kPrefix};
  OthersByNode others;
  OwnPods own;
  kube::Store<kube::KeptPod> store;
  explicit Scene(std::function<void()> on_change = {}) : store(std::move(on_change)) {
    store.AddIndex(others);
    store.AddIndex(own);
    store.SetMeasure(BytesBeside);
  }
  void Upsert(kube::Pod pod) { store.Upsert(keeper.Keep(std::move(pod))); }
  void Replace(const std::vector<kube::Pod>& pods) {
    std::vector<Ptr> kept;
    for (const kube::Pod& pod : pods) kept.push_back(store.Share(keeper.Keep(pod)));
    store.Replace(std::move(kept), "9");
  }
  [[nodiscard]] std::vector<OthersOnNode> Others() const {
    std::vector<OthersOnNode> all;
    store.Look([&](const std::string& /*version*/) { all = others.List(); });
    return all;
  }
};

// Few names and nodes, so that most of what happens meets what is there.
kube::Pod AnyPod(Random& random) {
  const auto below = [&](unsigned end) { return static_cast<int>(random() % end); };
  kube::Pod pod = Foreign("pod-" + std::to_string(below(12)), "");
  pod.meta.ns = below(2) == 0 ? "team" : "lab";
  pod.meta.resource_version = std::to_string(below(1000));
  if (below(8) != 0) pod.node = "node-" + std::to_string(below(4));
  pod.phase = static_cast<kube::PodPhase>(below(5));
  if (below(4) == 0) pod.meta.labels[kPoolUidLabel] = "uid-run";
  if (below(3) == 0) pod.meta.controller.Own().kind = "DaemonSet";
  pod.requests = {};
  if (below(2) == 0) pod.requests.Set(kCpu, int64_t{500} * below(4));
  if (below(2) == 0) pod.requests.Set("example.com/a-resource-of-a-long-name", below(3));
  if (below(4) == 0) pod.requests.Set(kMemory, kMost - below(2));
  if (below(9) == 0) pod.requests.Set(kMemory, -kMost);
  return pod;
}

void Happen(Scene& scene, Random& random) {
  switch (random() % 8) {
    case 0:
    case 1:
      return scene.store.Erase(kube::Key(AnyPod(random).meta), "9");
    case 2: {
      std::vector<kube::Pod> pods(random() % 16);
      std::ranges::generate(pods, [&] { return AnyPod(random); });
      return scene.Replace(pods);
    }
    case 3: {  // what was there, but for some of it
      std::vector<Ptr> pods = scene.store.List();
      std::erase_if(pods, [&](const Ptr&) { return random() % 4 == 0; });
      return scene.store.Replace(std::move(pods), "9");
    }
    default:
      return scene.Upsert(AnyPod(random));
  }
}

TEST(PodIndices, AreWhatAllPodsAddUpToWhateverHappens) {
  for (unsigned seed = 0; seed < tests::Seeds(40U); ++seed) {
    Random random(seed);
    Scene scene;
    for (int step = 0; step < 500; ++step) {
      const std::string before = Print(scene.Others());
      Happen(scene, random);
      const std::vector<Ptr> pods = scene.store.List();
      ASSERT_EQ(Print(scene.Others()), Print(SumOfOthers(pods)))
          << "seed " << seed << " step " << step << ", before: " << before;
      ASSERT_EQ(scene.Others(), SumOfOthers(pods)) << "seed " << seed << " step " << step;
      ASSERT_EQ(scene.own.List(), OwnOf(pods)) << "seed " << seed << " step " << step;
    }
    scene.Replace({});
    EXPECT_EQ(scene.Others(), std::vector<OthersOnNode>());
    EXPECT_EQ(scene.store.Bytes(), 0U) << "nothing is left behind, seed " << seed;
  }
}

TEST(PodIndices, APodIsCountedWhereItIsAndNoLongerWhereItWas) {
  Scene scene;
  scene.Replace({Foreign("a", "n1"), Foreign("b", "n1")});
  EXPECT_EQ(Print(scene.Others()), "n1: 4 x2; ");
  scene.Upsert(Foreign("b", "n2"));
  EXPECT_EQ(Print(scene.Others()), "n1: 2 x1; n2: 2 x1; ");
  kube::Pod larger = Foreign("b", "n2");
  larger.requests.Set(kCpu, 3000);
  scene.Upsert(larger);
  EXPECT_EQ(Print(scene.Others()), "n1: 2 x1; n2: 3 x1; ");
  larger.phase = kube::PodPhase::kSucceeded;
  scene.Upsert(larger);
  EXPECT_EQ(Print(scene.Others()), "n1: 2 x1; ") << "it has ended";
  scene.Upsert(Ours("a", "n1"));
  EXPECT_EQ(Print(scene.Others()), "") << "it is ours now";
  EXPECT_EQ(scene.own.List().size(), 1U);
  scene.Upsert(Foreign("a", "n1"));
  EXPECT_EQ(Print(scene.Others()), "n1: 2 x1; ");
  EXPECT_EQ(scene.own.List().size(), 0U);
}

TEST(PodIndices, WhatWasTooMuchToBeCountedGoesOutOfTheSumAgain) {
  Scene scene;
  const auto huge = [](const std::string& name) {
    kube::Pod pod = Foreign(name, "n1");
    pod.requests.Set(kMemory, kMost - 7);
    return pod;
  };
  scene.Replace({Foreign("a", "n1"), huge("b"), huge("c"), huge("d")});
  EXPECT_EQ(scene.Others().at(0).requests.Get(kMemory), kMost);
  scene.store.Erase("team/b", "2");
  scene.store.Erase("team/c", "3");
  EXPECT_EQ(scene.Others().at(0).requests.Get(kMemory), kMost - 7);
  scene.store.Erase("team/d", "4");
  EXPECT_EQ(Print(scene.Others()), "n1: 2 x1; ");
}

TEST(PodIndices, WhatWasReadStaysAsItWas) {
  Scene scene;
  scene.Replace({Foreign("a", "n1")});
  const auto held = scene.Others();
  scene.Upsert(Foreign("b", "n1"));
  EXPECT_EQ(Print(held), "n1: 2 x1; ");
}

TEST(PodIndices, WhoIsToldOfAChangeSeesItInThem) {
  std::string seen;
  Scene* self = nullptr;
  Scene scene(
      [&] { seen += Print(self->Others()) + std::to_string(self->own.List().size()) + "|"; });
  self = &scene;
  scene.Replace({Foreign("a", "n1")});
  scene.Upsert(Ours("b", "n1"));
  scene.store.Erase("team/a", "3");
  EXPECT_EQ(seen, "n1: 2 x1; 0|n1: 2 x1; 1|1|");
}

// Pods of two kinds come and go as one, and the version says which it is: even ones are on the
// first node, odd ones on the second.
TEST(PodIndices, AReaderSeesAVersionWholeOrNotAtAll) {
  Scene scene;
  const auto list = [&](int round) {
    std::vector<kube::Pod> pods;
    for (int i = 0; i < 30; ++i) {
      const std::string node = round % 2 == 0 ? "even" : "odd";
      pods.push_back(Foreign("a" + std::to_string(i), node));
      pods.push_back(Ours("b" + std::to_string(i), node));
    }
    std::vector<Ptr> kept;
    for (kube::Pod& pod : pods) kept.push_back(scene.store.Share(scene.keeper.Keep(pod)));
    scene.store.Replace(std::move(kept), std::to_string(round));
  };
  list(0);
  std::atomic<bool> over = false;
  std::atomic<int> mixed = 0;
  std::atomic<int> looks = 0;
  std::jthread reader([&] {
    while (!over) {
      std::string expected;
      std::vector<OthersOnNode> others;
      std::vector<std::shared_ptr<const kube::Pod>> own;
      scene.store.Look([&](const std::string& version) {
        expected = std::stoi(version) % 2 == 0 ? "even" : "odd";
        others = scene.others.List();
        own = scene.own.List();
      });
      const bool whole =
          Print(others) == expected + ": 60 x30; " && own.size() == 30 &&
          std::ranges::all_of(own, [&](const auto& p) { return p->node == expected; });
      if (!whole) ++mixed;
      ++looks;
    }
  });
  for (int round = 1; round <= tests::Seeds(800) || looks < 10; ++round) list(round);
  over = true;
  reader.join();
  EXPECT_EQ(mixed, 0);
}

TEST(PodIndices, AreReadWithTheVersionThatTheyAreOf) {
  Stores stores([] {});
  kube::PodKeeper keeper(kPrefix);
  std::vector<Ptr> pods;
  for (const kube::Pod& pod : {Ours("z", "n2"), Foreign("b", "n1"), Ours("a", "n1")}) {
    pods.push_back(std::make_shared<const kube::KeptPod>(keeper.Keep(pod)));
  }
  stores.pods.Replace(std::move(pods), "17");
  const World world = ReadWorld(stores);
  EXPECT_EQ(world.pods_version, "17");
  ASSERT_EQ(world.pods.size(), 2U);
  EXPECT_EQ(world.pods[0]->meta.name, "a");
  EXPECT_EQ(world.pods[1]->meta.name, "z");
  EXPECT_EQ(Print(world.others), "n1: 2 x1; ");
}

}  // namespace
}  // namespace spillway::controllers
