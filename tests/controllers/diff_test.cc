#include "controllers/diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/names.h"
#include "controllers/observe.h"
#include "controllers/placement_record.h"
#include "controllers/render.h"
#include "tests/controllers/samples.h"

namespace spillway::controllers {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A pool, what was decided, and its children; Lines tells the writes in short.
struct World {
  crds::v1alpha1::TrainingPool pool = samples::Pool();
  crds::v1alpha1::NodeGroup group = samples::Group();
  bool group_exists = true;
  bool name_taken = false;
  placement::PoolDecision decision;
  std::vector<kube::Job> jobs;
  std::vector<kube::Pod> pods;
  std::optional<kube::Companion> service;
  std::optional<kube::Companion> budget;
  std::set<std::string> deleted;

  World() {
    decision.memory = samples::Placed();
    decision.memory.placement->spec_revision = SpecRevision(pool.spec);
    decision.may_start = true;
  }

  kube::Job& AddJob(int attempt) {
    kube::Job job;
    job.meta.ns = "lab";
    job.meta.name = TrainJobName("run", attempt);
    job.meta.uid = "job-" + std::to_string(attempt);
    job.meta.controller.Own().uid = "uid-run";
    job.meta.labels[kAttemptLabel] = std::to_string(attempt);
    job.meta.annotations[kPlacementAnnotation] = EncodeRecord(samples::Placed(2, attempt));
    return jobs.emplace_back(std::move(job));
  }

  static std::string RevisionIn(const std::string& body) {
    return samples::Json::parse(body)["metadata"]["annotations"][kRevisionAnnotation];
  }
  kube::Companion Companion(const std::string& body, const std::string& uid) const {
    kube::Companion object;
    object.meta.ns = "lab";
    object.meta.name = "run-train";
    object.meta.uid = uid;
    object.meta.controller.Own().uid = "uid-run";
    object.meta.annotations[kRevisionAnnotation] = RevisionIn(body);
    object.spec_digest = kube::SpecDigest(samples::Json::parse(body)["spec"].dump());
    return object;
  }
  void AddCompanions() {
    const RenderInput input{&pool, &group, decision.memory, {"n0", "n1"}};
    service = Companion(RenderService(input), "svc");
    budget = Companion(RenderDisruptionBudget(input), "pdb");
  }

  [[nodiscard]] std::vector<Write> Writes() const {
    DiffInput input;
    kube::JsonParser parser;
    input.parser = &parser;
    input.pool = &pool;
    input.decision = &decision;
    input.group = group_exists ? &group : nullptr;
    input.hostnames = {"n0", "n1"};
    input.name_taken = name_taken;
    for (const auto& job : jobs) input.jobs.push_back(&job);
    for (const auto& pod : pods) input.pods.push_back(&pod);
    input.service = service ? &*service : nullptr;
    input.disruption_budget = budget ? &*budget : nullptr;
    input.deleted_uids = &deleted;
    return DiffChildren(input);
  }
  [[nodiscard]] std::vector<std::string> Lines() const {
    static const std::map<Write::Verb, std::string> kVerbs = {{Write::Verb::kCreate, "create"},
                                                              {Write::Verb::kPatch, "patch"},
                                                              {Write::Verb::kDelete, "delete"}};
    std::vector<std::string> lines;
    for (const Write& write : Writes()) {
      lines.push_back(kVerbs.at(write.verb) + " " + write.resource->kind + " " + write.name);
    }
    return lines;
  }
};

TEST(Diff, ANewPlacementGetsItsCompanionsAndThenItsJob) {
  EXPECT_THAT(World().Lines(),
              ElementsAre("create Service run-train", "create PodDisruptionBudget run-train",
                          "create Job run-train-1"));
}

TEST(Diff, WhatIsThereIsLeftAlone) {
  World world;
  world.AddCompanions();
  world.AddJob(1);
  EXPECT_THAT(world.Lines(), IsEmpty());
}

TEST(Diff, AGangOfOneNeedsNoService) {
  World world;
  world.decision.memory = samples::Placed(1);
  EXPECT_THAT(world.Lines(),
              ElementsAre("create PodDisruptionBudget run-train", "create Job run-train-1"));
}

TEST(Diff, TheJobWaitsUntilTheAttemptMayStart) {
  World world;
  world.AddCompanions();
  world.decision.may_start = false;
  EXPECT_THAT(world.Lines(), IsEmpty());
}

TEST(Diff, AGroupThatIsGoneStartsNothingAndRemovesNothing) {
  World world;
  world.AddCompanions();
  world.group_exists = false;
  EXPECT_THAT(world.Lines(), IsEmpty());
}

TEST(Diff, ATakenNameMakesNothingAndStillRemovesWhatMustGo) {
  World world;
  world.AddJob(1);
  world.name_taken = true;
  EXPECT_THAT(world.Lines(), IsEmpty());
  world.decision.memory.placement->attempt = 2;
  EXPECT_THAT(world.Lines(), ElementsAre("delete Job run-train-1"));
}

TEST(Leftovers, AreAskedForOnceAndNotWhileTheyGo) {
  kube::ObjectMeta pool;
  pool.ns = "lab";
  pool.name = "run";
  pool.uid = "now";
  kube::ObjectMeta there;
  there.name = "run-train";
  there.uid = "there";
  kube::ObjectMeta going = there;
  going.uid = "going";
  going.deleted = Time(std::chrono::seconds(5));
  kube::ObjectMeta asked = there;
  asked.uid = "asked";
  const auto& service = kube::ServiceResource();
  const auto writes =
      CollectLeftovers(crds::v1alpha1::TrainingPoolResource(), pool,
                       {{&service, &going}, {&service, &there}, {&service, &asked}}, {"asked"});
  ASSERT_THAT(writes, testing::SizeIs(1));
  EXPECT_EQ(writes[0].verb, Write::Verb::kCollect);
  EXPECT_EQ(writes[0].deletion.uid, "there");
  EXPECT_EQ(writes[0].owner_uid, "now");
  EXPECT_EQ(writes[0].ns + "/" + writes[0].owner_name, "lab/run");
}

TEST(Diff, ANewAttemptRemovesTheOldJobFirst) {
  World world;
  world.AddCompanions();
  world.AddJob(1);
  world.decision.memory.placement->attempt = 2;
  world.decision.may_start = false;
  const auto writes = world.Writes();
  EXPECT_THAT(world.Lines(), ElementsAre("delete Job run-train-1"));
  EXPECT_EQ(writes[0].deletion.uid, "job-1");
  EXPECT_EQ(writes[0].deletion.propagation, "Background");
}

TEST(Diff, AJobThatContradictsTheCommitIsRemoved) {
  World world;
  world.AddCompanions();
  placement::PoolMemory other = samples::Placed();
  other.placement->nodes = {"n8", "n9"};
  world.AddJob(1).meta.annotations[kPlacementAnnotation] = EncodeRecord(other);
  EXPECT_THAT(world.Lines(), ElementsAre("delete Job run-train-1"));
}

TEST(Diff, AJobFromAnotherBuildIsKept) {
  World world;
  world.AddCompanions();
  world.decision.memory.placement->render_revision = "old";
  world.AddJob(1).meta.annotations[kPlacementAnnotation] = "no record that this build can read";
  EXPECT_THAT(world.Lines(), IsEmpty());
}

TEST(Diff, WithoutAPlacementEverythingGoes) {
  World world;
  world.AddCompanions();
  world.AddJob(1);
  world.decision.memory.placement.reset();
  EXPECT_THAT(world.Lines(),
              ElementsAre("delete Job run-train-1", "delete PodDisruptionBudget run-train",
                          "delete Service run-train"));
}

TEST(Diff, AnEndedPoolKeepsItsLastJobForTheLogs) {
  World world;
  world.AddCompanions();
  world.AddJob(1);
  world.decision.memory.completed = Time(Seconds(2000));
  world.decision.keep_job = 1;
  EXPECT_THAT(world.Lines(),
              ElementsAre("delete PodDisruptionBudget run-train", "delete Service run-train"));
}

TEST(Diff, AskedForDeletionsAreNotAskedForAgain) {
  World world;
  world.AddCompanions();
  world.AddJob(1);
  world.AddJob(2).meta.deleted = Time(Seconds(1));
  world.decision.memory.placement->attempt = 3;
  world.decision.may_start = false;
  world.deleted = {"job-1"};
  EXPECT_THAT(world.Lines(), IsEmpty());
}

TEST(Diff, AJobBeingDeletedBlocksItsNameUntilItIsGone) {
  World world;
  world.AddCompanions();
  world.AddJob(1).meta.deleted = Time(Seconds(1));
  EXPECT_THAT(world.Lines(), IsEmpty());
}

TEST(Diff, PodsOnLostNodesAreForceDeletedEvenIfTheyAreTerminating) {
  World world;
  world.AddCompanions();
  world.AddJob(1);
  kube::Pod pod;
  pod.meta.ns = "lab";
  pod.meta.name = "run-train-1-0-x";
  pod.meta.uid = "pod-0";
  pod.meta.resource_version = "17";
  pod.meta.deleted = Time(Seconds(1));
  world.pods.push_back(pod);
  world.decision.force_delete = {"run-train-1-0-x"};
  const auto writes = world.Writes();
  ASSERT_EQ(writes.size(), 1U);
  EXPECT_EQ(writes[0].resource->kind, "Pod");
  EXPECT_EQ(writes[0].deletion.grace_seconds, 0);
  EXPECT_EQ(writes[0].deletion.uid, "pod-0");
  EXPECT_EQ(writes[0].deletion.resource_version, "17") << "it is to be as it was when decided";
}

TEST(Diff, AnEditedPortIsLeftToTheNextAttemptWhoseServiceIsMadeAnew) {
  World world;
  world.AddCompanions();
  world.AddJob(1);
  world.pool.spec.torch_port = 31000;
  EXPECT_THAT(world.Lines(), IsEmpty()) << "the attempt that runs keeps its port";
  world.decision.memory.placement->attempt = 2;
  world.decision.memory.placement->spec_revision = SpecRevision(world.pool.spec);
  world.decision.may_start = false;
  EXPECT_THAT(world.Lines(), ElementsAre("delete Job run-train-1")) << "its pods still run";
  world.jobs.clear();
  world.decision.may_start = true;
  EXPECT_THAT(world.Lines(), ElementsAre("delete Service run-train"));
  EXPECT_EQ(world.Writes()[0].deletion.uid, "svc");
  world.deleted = {"svc"};
  EXPECT_THAT(world.Lines(), IsEmpty()) << "it is not gone yet";
  world.service.reset();
  EXPECT_THAT(world.Lines(), ElementsAre("create Service run-train", "create Job run-train-2"));
}

TEST(Diff, AServiceOfAnotherBuildIsPatchedWhileItsAttemptRuns) {
  World world;
  world.AddCompanions();
  world.AddJob(1);
  world.service->meta.annotations[kRevisionAnnotation] = "older";
  EXPECT_THAT(world.Lines(), ElementsAre("patch Service run-train"));
  world.pool.spec.torch_port = 31000;
  EXPECT_THAT(world.Lines(), IsEmpty()) << "its port would change with it";
}

// An apply would leave what somebody had put into it meanwhile, and be refused for it.
TEST(Diff, ACompanionRenderedFromSomethingElseIsPatchedWholeAndTheVeryObject) {
  World world;
  world.AddCompanions();
  world.AddJob(1);
  world.budget->meta.annotations[kRevisionAnnotation] = "older";
  world.budget->spec_digest = kube::SpecDigest(R"({"maxUnavailable":1})");
  EXPECT_THAT(world.Lines(), ElementsAre("patch PodDisruptionBudget run-train"));
  const auto patch = samples::Json::parse(world.Writes()[0].body);
  EXPECT_EQ(patch[0], samples::Json({{"op", "test"}, {"path", "/metadata/uid"}, {"value", "pdb"}}));
  EXPECT_EQ(patch[1]["op"], "replace");
  EXPECT_EQ(patch[1]["path"], "/spec");
}

TEST(Diff, ACompanionThatSomebodyEditedIsPatchedBack) {
  World world;
  world.AddCompanions();
  world.AddJob(1);
  world.service->spec_digest = kube::SpecDigest(R"({"clusterIP":"None","selector":{"a":"b"}})");
  world.budget->spec_digest = kube::SpecDigest(R"({"maxUnavailable":"100%"})");
  EXPECT_THAT(world.Lines(),
              ElementsAre("patch Service run-train", "patch PodDisruptionBudget run-train"));
  const auto writes = world.Writes();
  const auto service = samples::Json::parse(writes[0].body);
  EXPECT_EQ(service[0],
            samples::Json({{"op", "test"}, {"path", "/metadata/uid"}, {"value", "svc"}}));
  EXPECT_THAT(writes[0].body, testing::HasSubstr("/spec/selector"));
  EXPECT_THAT(writes[0].body, testing::HasSubstr("/spec/ports"));
  const auto budget = samples::Json::parse(writes[1].body);
  EXPECT_EQ(budget[0]["value"], "pdb");
  EXPECT_EQ(budget[1]["op"], "replace") << "or it would say both how many stay and how many go";
  EXPECT_EQ(budget[1]["path"], "/spec");
  EXPECT_EQ(budget[1]["value"]["minAvailable"], 2);
}

TEST(Diff, AServiceThatSomebodyEditedIsPatchedBackBeforeItsAttemptStartsAndAfterThePoolWasEdited) {
  World world;
  world.AddCompanions();
  world.service->spec_digest = "edited";
  EXPECT_THAT(world.Lines(), ElementsAre("patch Service run-train", "create Job run-train-1"));
  world.AddJob(1);
  world.pool.spec.pod_template = R"({"spec":{"containers":[{"name":"new"}]}})";
  EXPECT_THAT(world.Lines(), ElementsAre("patch Service run-train"));
}

TEST(Diff, AnAttemptWaitsForAServiceThatIsOnItsWayOut) {
  World world;
  world.AddCompanions();
  world.service->meta.deleted = Time(Seconds(1));
  EXPECT_THAT(world.Lines(), IsEmpty());
}

}  // namespace
}  // namespace spillway::controllers
