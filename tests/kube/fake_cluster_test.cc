#include "tests/support/fake_cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/fake_clock.h"

namespace spillway::support {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;

// A pod that asks for `gpus`, pinned to `nodes` if any.
json GpuPod(int gpus, const std::vector<std::string>& nodes) {
  json spec = {
      {"containers",
       json::array({{{"name", "main"},
                     {"resources", {{"requests", {{"nvidia.com/gpu", std::to_string(gpus)}}}}}}})}};
  if (!nodes.empty()) {
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"] =
            json::array({{{"matchExpressions", json::array({{{"key", "kubernetes.io/hostname"},
                                                             {"operator", "In"},
                                                             {"values", nodes}}})}}});
  }
  return spec;
}

// An Indexed Job as a gang's.
json Job(const std::string& name, int workers, int gpus = 8,
         const std::vector<std::string>& nodes = {}) {
  json spec = GpuPod(gpus, nodes);
  spec["restartPolicy"] = "Never";
  return {
      {"apiVersion", "batch/v1"},
      {"kind", "Job"},
      {"metadata", {{"name", name}, {"namespace", "ns"}}},
      {"spec",
       {{"completionMode", "Indexed"},
        {"completions", workers},
        {"parallelism", workers},
        {"backoffLimit", 0},
        {"template", {{"metadata", {{"labels", {{"spillway.dev/pool", "p"}}}}}, {"spec", spec}}}}}};
}

json Deployment(const std::string& name, int replicas, int gpus = 8, int surge = 1,
                int unavailable = 0, const std::vector<std::string>& nodes = {}) {
  return {{"apiVersion", "apps/v1"},
          {"kind", "Deployment"},
          {"metadata", {{"name", name}, {"namespace", "ns"}}},
          {"spec",
           {{"replicas", replicas},
            {"progressDeadlineSeconds", 60},
            {"selector", {{"matchLabels", {{"app", name}}}}},
            {"strategy",
             {{"type", "RollingUpdate"},
              {"rollingUpdate", {{"maxSurge", surge}, {"maxUnavailable", unavailable}}}}},
            {"template",
             {{"metadata", {{"labels", {{"app", name}, {"version", "1"}}}}},
              {"spec", GpuPod(gpus, nodes)}}}}}};
}

std::string VersionOf(const json& pod) { return pod["metadata"]["labels"]["version"]; }
bool Goes(const json& pod) { return pod["metadata"].contains("deletionTimestamp"); }
bool IsReadyPod(const json& pod) {
  for (const json& one : pod["status"].value("conditions", json::array())) {
    if (one["type"] == "Ready") return one["status"] == "True";
  }
  return false;
}

class FakeClusterTest : public testing::Test {
 protected:
  FakeClusterTest() {
    for (const char* name : {"n1", "n2", "n3"})
      server.Put(MakeNode(name, {.allocatable = {{"nvidia.com/gpu", "8"}}}));
  }
  std::string Phases(const std::string& job) {
    std::string out;
    for (const json& pod : cluster.PodsOf("ns", job)) {
      out += pod["status"]["phase"].get<std::string>() + "@" + pod["spec"].value("nodeName", "-") +
             (pod["metadata"].contains("deletionTimestamp") ? "(terminating) " : " ");
    }
    return out;
  }
  std::string Conditions(const std::string& job) {
    std::string out;
    for (const json& one :
         (*server.Get("jobs", "ns", job))["status"].value("conditions", json::array())) {
      out += one["type"].get<std::string>() +
             (one.contains("reason") ? ":" + one["reason"].get<std::string>() : "") + " ";
    }
    return out;
  }
  // "1:ready@n1 2:running@n2 ", sorted: the version of each pod of a Deployment, how far it is, and
  // its node.
  std::string Replicas(const std::string& deployment) {
    std::vector<std::string> words;
    for (const json& pod : cluster.ReplicasOf("ns", deployment)) {
      std::string state = IsReadyPod(pod) ? "ready" : pod["status"]["phase"].get<std::string>();
      if (Goes(pod)) state = "going";
      words.push_back(VersionOf(pod) + ":" + state + "@" + pod["spec"].value("nodeName", "-"));
    }
    std::sort(words.begin(), words.end());
    std::string out;
    for (const std::string& word : words) out += word + " ";
    return out;
  }
  // "replicas updated ready available generation" of a Deployment's status.
  std::string Counts(const std::string& deployment) {
    const json status = (*server.Get("deployments", "ns", deployment))["status"];
    std::string out;
    for (const char* field :
         {"replicas", "updatedReplicas", "readyReplicas", "availableReplicas"}) {
      out += status[field].dump() + " ";
    }
    return out + status["observedGeneration"].dump();
  }
  std::string Progressing(const std::string& deployment) {
    const json status = (*server.Get("deployments", "ns", deployment))["status"];
    const json& condition = status["conditions"][0];
    return condition["status"].get<std::string>() + " " + condition["reason"].get<std::string>();
  }
  void Scale(const std::string& deployment, int replicas) {
    server.Patch("deployments", "ns", deployment, {{"spec", {{"replicas", replicas}}}});
  }
  void Roll(const std::string& deployment, const std::string& version) {
    const json labels = {{"version", version}};
    server.Patch("deployments", "ns", deployment,
                 {{"spec", {{"template", {{"metadata", {{"labels", labels}}}}}}}});
  }
  void Hold(const std::string& version) {
    cluster.HoldReadiness([version](const json& pod) { return VersionOf(pod) == version; });
  }
  // Settles a rollout; after each round there are never more than `most` pods, nor fewer than
  // `least` ready ones.
  void SettleWithin(const std::string& deployment, std::ptrdiff_t most, std::ptrdiff_t least) {
    while (cluster.Step()) {
      std::vector<json> pods = cluster.ReplicasOf("ns", deployment);
      std::erase_if(pods, Goes);
      EXPECT_LE(static_cast<std::ptrdiff_t>(pods.size()), most) << Replicas(deployment);
      EXPECT_GE(std::count_if(pods.begin(), pods.end(), IsReadyPod), least) << Replicas(deployment);
    }
  }
  json Status(const std::string& job) { return (*server.Get("jobs", "ns", job))["status"]; }
  std::string PodName(const std::string& job, size_t number) {
    return cluster.PodsOf("ns", job)[number]["metadata"]["name"];
  }

  FakeClock clock;
  FakeApiServer server{clock};
  FakeCluster cluster{server, clock};
};

TEST_F(FakeClusterTest, AJobsPodsRunAndSucceed) {
  server.Put(Job("j", 2));
  cluster.Settle();
  EXPECT_EQ(Phases("j"), "Running@n1 Running@n2 ");
  EXPECT_EQ(Status("j")["ready"], 2);
  const json pod = cluster.PodsOf("ns", "j")[1];
  EXPECT_EQ(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"], "1");
  EXPECT_EQ(pod["metadata"]["labels"]["spillway.dev/pool"], "p");
  EXPECT_EQ(pod["spec"]["hostname"], "j-1");
  EXPECT_EQ(cluster.FinishJob("ns", "j"), 2);
  cluster.Settle();
  EXPECT_EQ(Conditions("j"), "SuccessCriteriaMet Complete ");
  EXPECT_EQ(Status("j")["succeeded"], 2);
}

TEST_F(FakeClusterTest, APinHolds) {
  server.Put(Job("j", 2, 4, {"n3"}));
  cluster.Settle();
  EXPECT_THAT(cluster.NodesOf("ns", "j"), ElementsAre("n3"));
}

TEST_F(FakeClusterTest, WhatDoesNotFitWaitsAndSaysSo) {
  server.Put(MakePod("ns", "thief",
                     {.node = "n2", .requests = {{"nvidia.com/gpu", "1"}}, .phase = "Running"}));
  cluster.Cordon("n3");
  server.Put(Job("j", 2));
  cluster.Settle();
  EXPECT_EQ(Phases("j"), "Running@n1 Pending@- ");
  EXPECT_EQ(cluster.PodsOf("ns", "j")[1]["status"]["conditions"][0]["message"],
            "0/3 nodes are available");
  server.Remove("pods", "ns", "thief");
  cluster.Settle();
  EXPECT_EQ(Phases("j"), "Running@n1 Running@n2 ");
}

TEST_F(FakeClusterTest, TaintsKeepOthersOff) {
  for (const char* name : {"n1", "n2", "n3"}) {
    server.Put(
        MakeNode(name, {.allocatable = {{"nvidia.com/gpu", "8"}},
                        .taints = {{{"key", "sku"}, {"value", "gpu"}, {"effect", "NoSchedule"}}}}));
  }
  json tolerant = Job("tolerant", 1);
  tolerant["spec"]["template"]["spec"]["tolerations"] = json::array(
      {{{"key", "sku"}, {"operator", "Equal"}, {"value", "gpu"}, {"effect", "NoSchedule"}}});
  server.Put(Job("plain", 1));
  server.Put(tolerant);
  cluster.Settle();
  EXPECT_EQ(Phases("plain"), "Pending@- ");
  EXPECT_EQ(Phases("tolerant"), "Running@n1 ");
}

TEST_F(FakeClusterTest, AFailedWorkerFailsTheJobAndStopsTheOthers) {
  server.Put(Job("j", 2));
  cluster.Settle();
  cluster.FinishPod("ns", PodName("j", 0), 7, "CUDA error");
  cluster.ReconcileJobs();
  EXPECT_EQ(Conditions("j"), "FailureTarget:BackoffLimitExceeded ");
  EXPECT_EQ(Phases("j"), "Failed@n1 Running@n2(terminating) ");
  cluster.Settle();
  EXPECT_EQ(Conditions("j"), "FailureTarget:BackoffLimitExceeded Failed:BackoffLimitExceeded ");
  EXPECT_EQ(Phases("j"), "Failed@n1 ");
}

TEST_F(FakeClusterTest, APodFailurePolicyDecides) {
  json job = Job("j", 2);
  job["spec"]["podFailurePolicy"]["rules"] = json::array(
      {{{"action", "Ignore"}, {"onPodConditions", json::array({{{"type", "DisruptionTarget"}}})}},
       {{"action", "FailJob"}, {"onExitCodes", {{"operator", "NotIn"}, {"values", {0}}}}}});
  server.Put(job);
  cluster.Settle();
  const std::string evicted = PodName("j", 0);
  server.Patch(
      "pods", "ns", evicted,
      {{"status",
        {{"phase", "Failed"},
         {"conditions", json::array({{{"type", "DisruptionTarget"}, {"status", "True"}}})}}}});
  cluster.Settle();
  EXPECT_EQ(Conditions("j"), "");
  EXPECT_EQ(Phases("j"), "Failed@n1 Running@n1 Running@n2 ");
  cluster.FinishPod("ns", PodName("j", 1), 3);
  cluster.Settle();
  EXPECT_EQ(Conditions("j"), "FailureTarget:PodFailurePolicy Failed:PodFailurePolicy ");
}

TEST_F(FakeClusterTest, ADeadKubeletLeavesItsPodsTerminating) {
  server.Put(Job("j", 2));
  cluster.Settle();
  cluster.StopKubelet("n2");
  cluster.SetReady("n2", "Unknown");
  server.Delete("jobs", "ns", "j");
  cluster.Settle();
  ASSERT_EQ(server.All("pods").size(), 1U);
  EXPECT_EQ(server.All("pods")[0]["spec"]["nodeName"], "n2");
  EXPECT_TRUE(server.All("pods")[0]["metadata"].contains("deletionTimestamp"));
  const json node = *server.Get("nodes", "", "n2");
  EXPECT_EQ(node["spec"]["taints"].size(), 2U);
  EXPECT_EQ(node["status"]["conditions"][0]["status"], "Unknown");
  cluster.StartKubelet("n2");
  cluster.SetReady("n2", "True");
  cluster.Settle();
  EXPECT_THAT(server.All("pods"), IsEmpty());
  EXPECT_THAT((*server.Get("nodes", "", "n2"))["spec"]["taints"], IsEmpty());
}

TEST_F(FakeClusterTest, PodsOfANodeThatIsGone) {
  server.Put(Job("j", 1));
  cluster.Settle();
  server.Remove("nodes", "", "n1");
  cluster.Settle();
  EXPECT_EQ(Phases("j"), "Running@n1 ");
  EXPECT_TRUE(cluster.CollectOrphanPods());
  cluster.Settle();
  EXPECT_EQ(Phases("j"), "Running@n2 ");
}

TEST_F(FakeClusterTest, ASuspendedJobHasNoPods) {
  server.Put(Job("j", 2));
  cluster.Settle();
  server.Patch("jobs", "ns", "j", {{"spec", {{"suspend", true}}}});
  cluster.Settle();
  EXPECT_EQ(Phases("j"), "");
  EXPECT_EQ(Conditions("j"), "Suspended ");
  server.Patch("jobs", "ns", "j", {{"spec", {{"suspend", false}}}});
  cluster.Settle();
  EXPECT_EQ(Phases("j"), "Running@n1 Running@n2 ");
  EXPECT_EQ(Conditions("j"), "");
}

// --- Deployments ---

TEST_F(FakeClusterTest, ADeploymentsPodsServe) {
  server.Put(Deployment("d", 2, 8, 1, 0, {"n2", "n3"}));
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:ready@n2 1:ready@n3 ");
  EXPECT_EQ(Counts("d"), "2 2 2 2 1");
  EXPECT_EQ(Progressing("d"), "True NewReplicaSetAvailable");
  const json pod = cluster.ReplicasOf("ns", "d")[0];
  EXPECT_EQ(pod["metadata"]["labels"]["app"], "d");
  EXPECT_EQ(pod["metadata"]["ownerReferences"][0]["kind"], "ReplicaSet");
  EXPECT_EQ(pod["metadata"]["ownerReferences"][0]["controller"], true);
  EXPECT_FALSE(cluster.Step());
}

TEST_F(FakeClusterTest, ReplicasWithoutRoomWait) {
  server.Put(Deployment("d", 4));
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:Pending@- 1:ready@n1 1:ready@n2 1:ready@n3 ");
  EXPECT_EQ(Counts("d"), "4 4 3 3 1");
  Scale("d", 3);
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:ready@n1 1:ready@n2 1:ready@n3 ");
  EXPECT_EQ(Counts("d"), "3 3 3 3 2");
}

TEST_F(FakeClusterTest, WhatIsNotReadyGoesFirst) {
  cluster.HoldReadiness([](const json& pod) { return pod["spec"].value("nodeName", "") == "n1"; });
  server.Put(Deployment("d", 3));
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:Running@n1 1:ready@n2 1:ready@n3 ");
  Scale("d", 2);
  cluster.ReconcileDeployments();
  EXPECT_EQ(Replicas("d"), "1:going@n1 1:ready@n2 1:ready@n3 ");
  cluster.Settle();
  Scale("d", 1);
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:ready@n2 ");
  Scale("d", 0);
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "");
  EXPECT_EQ(Counts("d"), "0 0 0 0 4");
}

TEST_F(FakeClusterTest, ReadinessComesAndGoesAsHeld) {
  Hold("1");
  server.Put(Deployment("d", 1));
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:Running@n1 ");
  EXPECT_EQ(Counts("d"), "1 1 0 0 1");
  clock.Advance(std::chrono::seconds(30));
  cluster.HoldReadiness(nullptr);
  cluster.Settle();
  EXPECT_EQ(Counts("d"), "1 1 1 1 1");
  const json conditions = cluster.ReplicasOf("ns", "d")[0]["status"]["conditions"];
  EXPECT_EQ(conditions[0]["lastTransitionTime"], "2026-11-24T00:00:00Z");
  EXPECT_EQ(conditions[1]["lastTransitionTime"], "2026-11-24T00:00:30Z");
  Hold("1");
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:Running@n1 ");
  EXPECT_EQ(Counts("d"), "1 1 0 0 1");
}

TEST_F(FakeClusterTest, ATemplateIsRolledOutBySurge) {
  server.Put(Deployment("d", 3, 4));
  cluster.Settle();
  Hold("2");
  Roll("d", "2");
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:ready@n1 1:ready@n1 1:ready@n2 2:Running@n2 ");
  EXPECT_EQ(Counts("d"), "4 1 3 3 2");
  EXPECT_EQ(Progressing("d"), "True ReplicaSetUpdated");
  cluster.HoldReadiness(nullptr);
  SettleWithin("d", 4, 3);
  EXPECT_EQ(Counts("d"), "3 3 3 3 2");
  EXPECT_EQ(Progressing("d"), "True NewReplicaSetAvailable");
  for (const json& pod : cluster.ReplicasOf("ns", "d")) EXPECT_EQ(VersionOf(pod), "2");
}

TEST_F(FakeClusterTest, ATemplateIsRolledOutByGoingFirst) {
  server.Put(Deployment("d", 3, 8, 0, 1));
  cluster.Settle();
  Roll("d", "2");
  cluster.ReconcileDeployments();
  EXPECT_EQ(Replicas("d"), "1:going@n3 1:ready@n1 1:ready@n2 ");
  SettleWithin("d", 3, 2);
  EXPECT_EQ(Replicas("d"), "2:ready@n1 2:ready@n2 2:ready@n3 ");
  EXPECT_EQ(Counts("d"), "3 3 3 3 2");
}

TEST_F(FakeClusterTest, OldReplicasThatAreNotReadyGoFirst) {
  cluster.HoldReadiness([](const json& pod) {
    return pod["spec"].value("nodeName", "") == "n1" && VersionOf(pod) == "1";
  });
  server.Put(Deployment("d", 3, 8, 0, 1));
  cluster.Settle();
  Roll("d", "2");
  cluster.ReconcileDeployments();
  EXPECT_EQ(Replicas("d"), "1:going@n1 1:ready@n2 1:ready@n3 ");
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "2:ready@n1 2:ready@n2 2:ready@n3 ");
}

TEST_F(FakeClusterTest, ARolloutThatIsTakenBackGoesBack) {
  server.Put(Deployment("d", 3, 4));
  cluster.Settle();
  Hold("2");
  Roll("d", "2");
  cluster.Settle();
  Roll("d", "1");
  SettleWithin("d", 4, 3);
  EXPECT_EQ(Replicas("d"), "1:ready@n1 1:ready@n1 1:ready@n2 ");
  EXPECT_EQ(server.All("replicasets").size(), 2U);
}

TEST_F(FakeClusterTest, ScalingDownInARolloutTakesOldReplicas) {
  server.Put(Deployment("d", 3, 4));
  cluster.Settle();
  Hold("2");
  Roll("d", "2");
  cluster.Settle();
  Scale("d", 1);
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:ready@n1 2:Running@n2 ");
}

TEST_F(FakeClusterTest, AStrategyOfPercentages) {
  json deployment = Deployment("d", 3, 2);
  deployment["spec"]["strategy"]["rollingUpdate"] = {{"maxSurge", "34%"},
                                                     {"maxUnavailable", "33%"}};
  server.Put(deployment);
  cluster.Settle();
  Hold("2");
  Roll("d", "2");
  SettleWithin("d", 5, 3);
  EXPECT_EQ(Counts("d"), "5 2 3 3 2");
}

TEST_F(FakeClusterTest, ARolloutThatDoesNotGetOnIsStuckUntilItDoes) {
  server.Put(Deployment("d", 4));
  cluster.Settle();
  clock.Advance(std::chrono::seconds(60));
  EXPECT_FALSE(cluster.Step());
  clock.Advance(std::chrono::seconds(1));
  cluster.Settle();
  EXPECT_EQ(Progressing("d"), "False ProgressDeadlineExceeded");
  server.Put(MakeNode("n4", {.allocatable = {{"nvidia.com/gpu", "8"}}}));
  cluster.Settle();
  EXPECT_EQ(Progressing("d"), "True NewReplicaSetAvailable");
  // What was complete once is not stuck, whatever it lacks.
  Scale("d", 5);
  cluster.Settle();
  clock.Advance(std::chrono::seconds(600));
  cluster.Settle();
  EXPECT_EQ(Counts("d"), "5 5 4 4 2");
  EXPECT_EQ(Progressing("d"), "True NewReplicaSetAvailable");
}

TEST_F(FakeClusterTest, ALostNodesReplicasAreNotReady) {
  server.Put(Deployment("d", 2));
  cluster.Settle();
  cluster.StopKubelet("n2");
  cluster.SetReady("n2", "Unknown");
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:Running@n2 1:ready@n1 ");
  EXPECT_EQ(Counts("d"), "2 2 1 1 1");
  server.Delete("pods", "ns", cluster.ReplicasOf("ns", "d")[1]["metadata"]["name"]);
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:going@n2 1:ready@n1 1:ready@n3 ");
  EXPECT_EQ(Counts("d"), "2 2 2 2 1");
  cluster.StartKubelet("n2");
  cluster.SetReady("n2", "True");
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:ready@n1 1:ready@n3 ");
}

TEST_F(FakeClusterTest, FailedReplicasAreReplaced) {
  server.Put(Deployment("d", 1));
  cluster.Settle();
  cluster.FinishPod("ns", cluster.ReplicasOf("ns", "d")[0]["metadata"]["name"], 137);
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:Failed@n1 1:ready@n1 ");
  EXPECT_EQ(Counts("d"), "1 1 1 1 1");
}

TEST_F(FakeClusterTest, ADeploymentsPodsGoWithIt) {
  server.Put(Deployment("d", 2));
  server.Put(Deployment("other", 1));
  cluster.Settle();
  server.Delete("deployments", "ns", "d");
  cluster.Settle();
  EXPECT_EQ(server.All("replicasets").size(), 1U);
  ASSERT_EQ(server.All("pods").size(), 1U);
  EXPECT_EQ(server.All("pods")[0]["metadata"]["labels"]["app"], "other");
  // A namesake has pods of its own.
  server.Put(Deployment("d", 1));
  cluster.Settle();
  EXPECT_EQ(Replicas("d"), "1:ready@n1 ");
}

}  // namespace
}  // namespace spillway::support
