#include "controllers/families.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/names.h"
#include "tests/controllers/samples.h"

namespace spillway::controllers {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

template <class T>
T Child(const std::string& ns, const std::string& name, kube::Owner owner,
        const std::string& pool_label) {
  T out;
  out.meta.ns = ns;
  out.meta.name = name;
  out.meta.controller.Own() = std::move(owner);
  if (!pool_label.empty()) out.meta.labels[kPoolLabel] = pool_label;
  return out;
}

kube::Pod PodOf(const std::string& ns, kube::Owner owner, const std::string& pool_uid) {
  auto pod = Child<kube::Pod>(ns, "pod", std::move(owner), "");
  pod.meta.labels[kPoolUidLabel] = pool_uid;
  pod.meta.labels[kAttemptLabel] = "2";
  return pod;
}

// One pool of each kind, both called "run" in namespace "lab".
struct Scene {
  World world;
  Scene() {
    crds::v1alpha1::TrainingPool training;
    training.meta.ns = "lab";
    training.meta.name = "run";
    training.meta.uid = "uid-training";
    world.training_pools.push_back(std::make_shared<const crds::v1alpha1::TrainingPool>(training));
    crds::v1alpha1::InferencePool serving;
    serving.meta.ns = "lab";
    serving.meta.name = "run";
    serving.meta.uid = "uid-serving";
    world.inference_pools.push_back(std::make_shared<const crds::v1alpha1::InferencePool>(serving));
  }
  void Job(const std::string& ns, const std::string& name, kube::Owner owner,
           const std::string& pool_label = "run") {
    world.jobs.push_back(std::make_shared<const kube::Job>(
        Child<kube::Job>(ns, name, std::move(owner), pool_label)));
  }
  void Service(const std::string& name, kube::Owner owner) {
    world.services.push_back(std::make_shared<const kube::Companion>(
        Child<kube::Companion>("lab", name, std::move(owner), "run")));
  }
  void Pod(kube::Pod pod) {
    world.pods.push_back(std::make_shared<const kube::Pod>(std::move(pod)));
  }
  [[nodiscard]] const kube::ObjectMeta& Training() const { return world.training_pools[0]->meta; }
  [[nodiscard]] const kube::ObjectMeta& Serving() const { return world.inference_pools[0]->meta; }
};

TEST(FamiliesTest, AChildIsOfThePoolThatItsControllerReferenceNamesInItsNamespace) {
  Scene scene;
  scene.Job("lab", "a", {"uid-training", "TrainingPool", "run"});
  scene.Job("lab", "no-label", {"uid-training", "TrainingPool", "run"}, "");
  scene.Job("other", "b", {"uid-training", "TrainingPool", "run"});
  scene.Job("lab", "c", {"uid-gone", "TrainingPool", "run"});
  scene.Job("lab", "d", {});
  scene.Service("s", {"uid-serving", "InferencePool", "run"});
  const Families families(scene.world);
  ASSERT_THAT(families.OfTraining(0).jobs, SizeIs(2));
  EXPECT_EQ(families.OfTraining(0).jobs[0]->meta.name, "a");
  EXPECT_EQ(families.OfTraining(0).jobs[1]->meta.name, "no-label");
  EXPECT_THAT(families.OfTraining(0).services, IsEmpty());
  ASSERT_THAT(families.OfServing(0).services, SizeIs(1));
  std::vector<std::string> strangers;
  for (const Leftover& one : families.Strangers()) strangers.push_back(one.meta->name);
  EXPECT_THAT(strangers, ElementsAre("b", "c", "d"));
}

TEST(FamiliesTest, APodIsOfThePoolOfItsLabelOnlyIfItsControllerVouchesForIt) {
  struct Case {
    const char* what;
    kube::Pod pod;
    const char* owner;  // uid; null: nobody's
  };
  const std::vector<Case> cases = {
      {"a worker", PodOf("lab", {"j", "Job", "run-train-2"}, "uid-training"), "uid-training"},
      {"of a Job of another attempt", PodOf("lab", {"j", "Job", "run-train-3"}, "uid-training"),
       nullptr},
      {"of a ReplicaSet", PodOf("lab", {"r", "ReplicaSet", "x"}, "uid-training"), nullptr},
      {"in another namespace", PodOf("other", {"j", "Job", "run-train-2"}, "uid-training"),
       nullptr},
      {"a replica", PodOf("lab", {"r", "ReplicaSet", "x"}, "uid-serving"), "uid-serving"},
      {"of a Job", PodOf("lab", {"j", "Job", "run-train-2"}, "uid-serving"), nullptr},
      {"of a pool that is gone", PodOf("lab", {"j", "Job", "run-train-2"}, "uid-gone"), nullptr},
  };
  for (const Case& one : cases) {
    Scene scene;
    scene.Pod(one.pod);
    const Families families(scene.world);
    const kube::ObjectMeta* owner = families.OwnerOf(0);
    if (one.owner == nullptr) {
      EXPECT_EQ(owner, nullptr) << one.what;
      EXPECT_THAT(families.OfTraining(0).pods, IsEmpty()) << one.what;
      EXPECT_THAT(families.OfServing(0).pods, IsEmpty()) << one.what;
      continue;
    }
    ASSERT_NE(owner, nullptr) << one.what;
    EXPECT_EQ(owner->uid, one.owner) << one.what;
    EXPECT_EQ(families.OfTraining(0).pods.size() + families.OfServing(0).pods.size(), 1U)
        << one.what;
  }
}

TEST(FamiliesTest, WhatAnEarlierPoolOfThisKindAndNameLeftIsInTheWay) {
  Scene scene;
  scene.Service("theirs", {"uid-gone", "InferencePool", "run"});
  scene.Service("by-hand", {});
  {
    const Families families(scene.world);
    EXPECT_EQ(families.EarlierOf("TrainingPool", scene.Training()), "");
    EXPECT_EQ(families.EarlierOf("InferencePool", scene.Serving()),
              "Service theirs belongs to an earlier InferencePool of this name; waiting until it "
              "is gone");
  }
  scene.Job("lab", "run-train-1", {"uid-gone", "TrainingPool", "run"});
  const Families families(scene.world);
  EXPECT_EQ(
      families.EarlierOf("TrainingPool", scene.Training()),
      "Job run-train-1 belongs to an earlier TrainingPool of this name; waiting until it is gone");
}

}  // namespace
}  // namespace spillway::controllers
