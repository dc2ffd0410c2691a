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

// An Indexed Job as a gang's: every pod asks for `gpus`, pinned to `nodes` if any.
json Job(const std::string& name, int workers, int gpus = 8,
         const std::vector<std::string>& nodes = {}) {
  json spec = {
      {"restartPolicy", "Never"},
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

}  // namespace
}  // namespace spillway::support
