// What an observer makes of moment after moment, held against a look at each from scratch.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "controllers/names.h"
#include "controllers/observe.h"
#include "controllers/stores.h"
#include "placement/snapshot.h"
#include "tests/controllers/samples.h"
#include "tests/support/seeds.h"

namespace spillway::controllers {
namespace {

using Random = std::mt19937;
using NodePtr = std::shared_ptr<const kube::Node>;

kube::Node NodeOf(const std::string& name, const std::string& group) {
  kube::Node node;
  node.meta.name = name;
  node.meta.created = Time(Seconds(10));
  node.meta.labels = {{"group", group}, {kHostnameLabel, name}, {"zone", "zone-of-" + group}};
  node.conditions = {{"Ready", "True", Time(Seconds(20))}};
  node.allocatable.Set("nvidia.com/gpu", 8);
  return node;
}

// A cluster as the operator has it in its stores, and an observer of it.
class Scene {
 public:
  Scene() {
    stores_.node_groups.Upsert(samples::Group());
    stores_.training_pools.Upsert(samples::Pool());
  }

  void Put(const kube::Node& node) { stores_.nodes.Upsert(node); }
  void Put(const kube::Pod& pod) { stores_.pods.Upsert(keeper_.Keep(pod)); }
  Stores& At() { return stores_; }
  void Pass(Seconds time) { input_.now += time; }

  [[nodiscard]] const placement::Snapshot& Look() {
    const World world = ReadWorld(stores_);
    return observer_.Observe(world, Families(world), input_);
  }
  [[nodiscard]] placement::Snapshot LookFromScratch() const {
    const World world = ReadWorld(stores_);
    return Observe(world, Families(world), input_);
  }
  void HandOver() { observer_.HandOver(); }

 private:
  static ObserveInput InputWith(const Settings& settings,
                                const std::map<std::string, std::string>& conflicts) {
    ObserveInput input;
    input.now = Time(Seconds(9000));
    input.settings = &settings;
    input.name_conflicts = &conflicts;
    input.ask_template = [](const auto&) {
      return TemplateAnswer{TemplateAnswer::State::kValid, {}, {}};
    };
    return input;
  }

  kube::PodKeeper keeper_{kPrefix};
  Stores stores_{[] {}};
  const Settings settings_;
  const std::map<std::string, std::string> conflicts_;
  ObserveInput input_ = InputWith(settings_, conflicts_);
  Observer observer_;
};

// ---- whatever happens ----

// Few names, so that most of what happens meets what is there.
class Weather {
 public:
  explicit Weather(unsigned seed) : random_(seed) {}

  void Happen(Scene& scene) {
    switch (Below(10)) {
      case 0:
        return scene.At().nodes.Erase(AnyNodeName(), NextVersion());
      case 1:
        return scene.Put(FreshNode());  // in the place of one of its name, if there is one
      case 2:
        return Relist(scene);
      case 3:
      case 4:
        return scene.Put(AnyPod());
      case 5:
        return scene.At().pods.Erase(kube::Key(AnyPod().meta), NextVersion());
      case 6:
        return PutPool(scene);
      case 7:
        return scene.Pass(Seconds(Below(100)));
      default:
        return ChangeNode(scene);
    }
  }
  int Below(int end) { return static_cast<int>(random_() % static_cast<unsigned>(end)); }

 private:
  std::string NextVersion() { return std::to_string(++version_); }
  std::string AnyNodeName() { return "n" + std::to_string(Below(9)); }

  kube::Node FreshNode() {
    kube::Node node = NodeOf(AnyNodeName(), Below(2) == 0 ? "home" : "cloud");
    node.meta.resource_version = NextVersion();
    return node;
  }

  void ChangeNode(Scene& scene) {
    const NodePtr before = scene.At().nodes.Get(AnyNodeName());
    if (before == nullptr) return;
    kube::Node node = *before;
    node.meta.resource_version = NextVersion();
    Change(node);
    scene.Put(node);
  }
  void Change(kube::Node& node) {
    switch (Below(9)) {
      case 0:
        node.unschedulable = !node.unschedulable;
        return;
      case 1:
        return ChangeTaints(node);
      case 2:
      case 3:
        return ChangeHold(node);
      case 4:
        node.conditions[0].status = Below(2) == 0 ? "True" : "False";
        node.conditions[0].changed += Seconds(Below(10));
        return;
      case 5:
        node.meta.labels["zone"] = "zone-" + std::to_string(Below(3));
        return;
      case 6:
        node.allocatable.Set("nvidia.com/gpu", Below(9));
        return;
      case 7:
        node.meta.deleted = Time(Seconds(8000));
        return;
      default:
        return;  // a kubelet that is still there
    }
  }
  void ChangeTaints(kube::Node& node) {
    static constexpr const char* kKeys[] = {"sku", "karpenter.sh/disrupted",
                                            "node.kubernetes.io/out-of-service",
                                            "node.kubernetes.io/not-ready"};
    if (Below(3) == 0) return node.taints.clear();
    node.taints.push_back({kKeys[Below(4)], "", "NoSchedule"});
  }
  // With and without a time, by us and by what makes the machines.
  void ChangeHold(kube::Node& node) {
    kube::TextMap& annotations = node.meta.annotations;
    const int how = Below(5);
    if (how == 0) annotations.clear();
    if (how == 1) annotations[kLeavingAnnotation] = "1970-01-01T02:00:00Z";
    if (how == 2) annotations[kLeavingAnnotation] = "for some time";
    if (how == 3) annotations[kMachineAnnotation] = "true";
    node.unschedulable = Below(4) != 0;
  }

  // Of what was there, some is gone, some is another object, and most is the same one.
  void Relist(Scene& scene) {
    std::vector<NodePtr> nodes = scene.At().nodes.List();
    std::erase_if(nodes, [&](const NodePtr&) { return Below(6) == 0; });
    for (NodePtr& node : nodes) {
      if (Below(3) == 0) node = std::make_shared<const kube::Node>(*node);
    }
    if (Below(2) == 0) nodes.push_back(std::make_shared<const kube::Node>(FreshNode()));
    scene.At().nodes.Replace(std::move(nodes), NextVersion());
  }

  // Of others, of a DaemonSet, and of ours.
  kube::Pod AnyPod() {
    kube::Pod pod;
    pod.meta.ns = "lab";
    pod.meta.name = "pod-" + std::to_string(Below(12));
    pod.meta.resource_version = NextVersion();
    if (Below(5) != 0) pod.node = AnyNodeName();
    pod.phase = Below(5) == 0 ? kube::PodPhase::kSucceeded : kube::PodPhase::kRunning;
    pod.requests.Set(kCpu, 500 * (1 + Below(3)));
    kube::Owner& owner = pod.meta.controller.Own();
    owner.kind = Below(4) == 0 ? "DaemonSet" : "Job";
    owner.name = TrainJobName("run", 1);
    if (Below(2) == 0) {
      pod.meta.labels = {{kPoolUidLabel, Below(3) == 0 ? "uid-gone" : "uid-run"},
                         {kAttemptLabel, "1"}};
    }
    return pod;
  }

  // The pool comes and goes; while it is on its way out its pods are nobody's.
  void PutPool(Scene& scene) {
    crds::v1alpha1::TrainingPool pool = samples::Pool("run", 1 + Below(4));
    pool.meta.resource_version = NextVersion();
    if (Below(3) == 0) pool.meta.deleted = Time(Seconds(8500));
    if (Below(4) == 0) return scene.At().training_pools.Erase("lab/run", NextVersion());
    scene.At().training_pools.Upsert(pool);
  }

  Random random_;
  int version_ = 100;
};

TEST(Observer, SeesWhatALookFromScratchSeesWhateverHappens) {
  for (unsigned seed = 0; seed < tests::Seeds(160U); ++seed) {
    Scene scene;
    Weather weather(seed);
    for (int step = 0; step < 100; ++step) {
      for (int i = weather.Below(4); i > 0; --i) weather.Happen(scene);
      const placement::Snapshot& seen = scene.Look();
      const placement::Snapshot expected = scene.LookFromScratch();
      ASSERT_TRUE(seen == expected) << "seed " << seed << " step " << step << ", seen:\n"
                                    << placement::WriteSnapshot(seen) << "expected:\n"
                                    << placement::WriteSnapshot(expected);
      // Else it looks again, as a pass does that has waited.
      if (weather.Below(3) != 0) scene.HandOver();
    }
  }
}

// ---- what is kept, and what it shares ----

// Where the labels are in memory: a node that was looked at again has others.
const void* PlaceOf(const placement::Node& node) { return &*node.labels.begin(); }
const void* PlaceOfGroup(const placement::Node& node) {
  return &node.labels.find("group")->second.str();
}

TEST(Observer, TakesNodesOverThatAreTheSame) {
  Scene scene;
  for (const char* name : {"b", "d", "f"}) scene.Put(NodeOf(name, "home"));
  const placement::Snapshot& seen = scene.Look();
  const std::vector<const void*> before = {PlaceOf(seen.nodes[0]), PlaceOf(seen.nodes[1]),
                                           PlaceOf(seen.nodes[2])};
  scene.HandOver();
  kube::Node same = NodeOf("b", "home");
  same.meta.resource_version = "12";
  scene.Put(same);
  for (const char* name : {"a", "c", "g"}) scene.Put(NodeOf(name, "home"));
  scene.At().nodes.Erase("d", "13");
  ASSERT_EQ(scene.Look().nodes.size(), 5U);  // a, b, c, f, g
  EXPECT_EQ(PlaceOf(seen.nodes[1]), before[0]) << "it says what it has said";
  EXPECT_EQ(PlaceOf(seen.nodes[3]), before[2]);
}

TEST(Observer, WhatNodesOfDifferentMomentsHaveInCommonIsOneText) {
  Scene scene;
  scene.Put(NodeOf("old", "home"));
  const placement::Snapshot& seen = scene.Look();
  // More than are there, so that it forgets those of before; never all at once.
  for (int i = 0; i < 3000; ++i) {
    kube::Node node = NodeOf("new", "home");
    node.meta.labels["zone"] = "zone-" + std::to_string(i);
    scene.Put(node);
    ASSERT_EQ(scene.Look().nodes.size(), 2U);
    ASSERT_EQ(PlaceOfGroup(seen.nodes[0]), PlaceOfGroup(seen.nodes[1])) << i;
  }
}

}  // namespace
}  // namespace spillway::controllers
