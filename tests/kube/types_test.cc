#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "kube/types/companion.h"
#include "kube/types/deployment.h"
#include "kube/types/job.h"
#include "kube/types/node.h"
#include "kube/types/pod.h"
#include "tests/support/yaml.h"

namespace spillway::kube {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::Pair;

constexpr const char* kGpu = "nvidia.com/gpu";

template <class T, class DecodeFn>
Result<T> Decode(std::string_view text, DecodeFn decode) {
  JsonParser parser;
  Result<JsonValue> root = parser.Parse(text);
  if (!root) return std::move(root).error();
  T out;
  if (Status done = decode(*root, out); !done) return std::move(done).error();
  return out;
}

Result<Node> NodeOf(std::string_view text) {
  return Decode<Node>(
      text, [](JsonValue value, Node& out) { return DecodeNode(value, "spillway.dev/", out); });
}
Result<Job> JobOf(std::string_view text) { return Decode<Job>(text, DecodeJob); }
Result<Deployment> DeploymentOf(std::string_view text) {
  return Decode<Deployment>(text, DecodeDeployment);
}
Result<Pod> PodOf(std::string_view text) {
  return Decode<Pod>(
      text, [](JsonValue value, Pod& out) { return DecodePod(value, "spillway.dev/", out); });
}

Result<Resources> RequestsOf(std::string_view spec) {
  return Decode<Resources>(spec, DecodePodRequests);
}

// "cpu=2500m memory=1Gi", by name.
std::string Print(const Resources& resources) {
  std::string text;
  for (const auto& [name, amount] : resources) {
    if (!text.empty()) text += ' ';
    text += name + "=" + FormatResource(name, amount);
  }
  return text;
}

// What a YAML node file says in one line: what of it is used by decisions.
std::string Summary(const Node& node) {
  int true_conditions = 0;
  for (const NodeCondition& one : node.conditions) true_conditions += one.status == "True" ? 1 : 0;
  return node.meta.name + (node.unschedulable ? " cordoned" : "") +
         " taints=" + std::to_string(node.taints.size()) +
         " conditions=" + std::to_string(true_conditions) + "/" +
         std::to_string(node.conditions.size()) + " " + Print(node.allocatable);
}

// The same from the JSON value, by another parser.
std::string ExpectedSummary(const json& node) {
  const auto at = [&](const char* pointer, const json& otherwise) {
    return node.value(json::json_pointer(pointer), otherwise);
  };
  int true_conditions = 0;
  const json conditions = at("/status/conditions", json::array());
  for (const json& one : conditions) true_conditions += one["status"] == "True" ? 1 : 0;
  Resources allocatable;
  const json listed = at("/status/allocatable", json::object());
  for (const auto& [name, amount] : listed.items()) {
    allocatable.Set(
        name, ParseResource(name, amount.is_string() ? amount.get<std::string>() : amount.dump())
                  .value());
  }
  return at("/metadata/name", "").get<std::string>() +
         (at("/spec/unschedulable", false).get<bool>() ? " cordoned" : "") +
         " taints=" + std::to_string(at("/spec/taints", json::array()).size()) +
         " conditions=" + std::to_string(true_conditions) + "/" +
         std::to_string(conditions.size()) + " " + Print(allocatable);
}

TEST(Node, EveryRecordedNodeDecodes) {
  const auto files = support::TestdataFiles("nodes");
  ASSERT_GE(files.size(), 29U);
  for (const auto& file : files) {
    const json object = support::ReadYamlFile(file);
    const auto node = NodeOf(object.dump());
    ASSERT_TRUE(node) << file << ": " << node.error().message;
    EXPECT_EQ(Summary(*node), ExpectedSummary(object)) << file;
    EXPECT_TRUE(node->meta.annotations.empty()) << file;
    const json labels = object.value(json::json_pointer("/metadata/labels"), json::object());
    EXPECT_EQ(json(node->meta.labels), labels) << file;
  }
}

TEST(Node, ReadsTheFactsOfASickOne) {
  const auto node = NodeOf(R"({"kind": "Node", "metadata": {"name": "n", "labels": {"a": "c"},
      "annotations": {"a": "b", "spillway.dev/leaving": "x"}},
    "spec": {"unschedulable": true, "podCIDR": "10.0.0.0/24", "taints": [
      {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-11-24T01:00:00Z"},
      {"key": "sku", "value": "gpu", "effect": "NoSchedule"}]},
    "status": {"allocatable": {"cpu": "94940m", "memory": "1660424Mi", "nvidia.com/gpu": "8", "pods": "110", "hugepages-2Mi": "0"},
      "conditions": [{"type": "Ready", "status": "Unknown", "lastHeartbeatTime": "2026-11-24T01:05:00Z",
        "lastTransitionTime": "2026-11-24T01:07:49Z", "reason": "NodeStatusUnknown"}]}})");
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_TRUE(node->unschedulable);
  EXPECT_EQ(node->meta.labels, (TextMap{{"a", "c"}}));
  EXPECT_EQ(node->meta.annotations, (TextMap{{"spillway.dev/leaving", "x"}}));
  EXPECT_THAT(node->taints, ElementsAre(Taint{"node.kubernetes.io/unreachable", "", "NoExecute"},
                                        Taint{"sku", "gpu", "NoSchedule"}));
  ASSERT_EQ(node->conditions.size(), 1U);
  EXPECT_EQ(node->conditions[0].status, "Unknown");
  EXPECT_EQ(FormatTime(node->conditions[0].changed), "2026-11-24T01:07:49Z");
  EXPECT_EQ(Print(node->allocatable), "cpu=94940m memory=1660424Mi nvidia.com/gpu=8 pods=110");
}

TEST(Node, DetailsAreTheNodeAndWhatElseItSays) {
  for (const auto& file : support::TestdataFiles("nodes")) {
    const json object = support::ReadYamlFile(file);
    const auto details = Decode<NodeDetails>(object.dump(), DecodeNodeDetails);
    ASSERT_TRUE(details) << file << ": " << details.error().message;
    Node node = details->node;
    const json notes = object.value(json::json_pointer("/metadata/annotations"), json::object());
    EXPECT_EQ(json(node.meta.annotations), notes) << file;
    node.meta.annotations.clear();
    EXPECT_EQ(node, NodeOf(object.dump()).value()) << file;
    EXPECT_EQ(details->provider_id, object.value(json::json_pointer("/spec/providerID"), ""));
    const json info = object.value(json::json_pointer("/status/nodeInfo"), json::object());
    EXPECT_EQ(details->architecture, info.value("architecture", ""));
    EXPECT_EQ(details->kernel, info.value("kernelVersion", ""));
    EXPECT_EQ(details->kubelet, info.value("kubeletVersion", ""));
  }
}

TEST(Node, DetailsHaveCapacityAndTheMessagesOfConditions) {
  const auto details = Decode<NodeDetails>(
      R"({"status": {"capacity": {"cpu": "4", "nvidia.com/gpu": "1"}, "allocatable": {"cpu": "3"},
        "conditions": [{"message": "Preempt", "type": "VMEventScheduled", "status": "True"}, {"type": "Ready", "status": "True"}]}})",
      DecodeNodeDetails);
  ASSERT_TRUE(details) << details.error().message;
  EXPECT_EQ(Print(details->capacity), "cpu=4 nvidia.com/gpu=1");
  EXPECT_EQ(Print(details->node.allocatable), "cpu=3");
  EXPECT_THAT(details->condition_messages, ElementsAre(Pair("VMEventScheduled", "Preempt")));
}

TEST(Node, AHeartbeatChangesNothing) {
  const char* before = R"({"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready",
    "status": "True", "lastHeartbeatTime": "2026-11-24T01:00:00Z", "lastTransitionTime": "2026-11-24T00:00:00Z"}]}})";
  const char* after = R"({"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready",
    "status": "True", "lastHeartbeatTime": "2026-11-24T01:05:00Z", "lastTransitionTime": "2026-11-24T00:00:00Z"}]}})";
  EXPECT_EQ(NodeOf(before).value(), NodeOf(after).value());
}

TEST(Node, AnUnparsableQuantityIsNamed) {
  const auto node = NodeOf(R"({"status": {"allocatable": {"cpu": "8", "memory": "64GB"}}})");
  ASSERT_FALSE(node);
  EXPECT_EQ(node.error().code, Code::kInvalid);
  EXPECT_THAT(node.error().message, testing::StartsWith("status.allocatable.memory: "));
}

TEST(PodRequests, FollowTheSchedulersRule) {
  struct Case {
    const char* what;
    const char* spec;
    const char* requests;
  };
  const Case cases[] = {
      {"nothing asked for", R"({"containers": [{"name": "a"}]})", ""},
      {"containers are summed",
       R"({"containers": [{"resources": {"requests": {"cpu": "1500m", "memory": "1Gi"}}},
                          {"resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "8"}}}]})",
       "cpu=2500m memory=1Gi nvidia.com/gpu=8"},
      {"limits are no requests", R"({"containers": [{"resources": {"limits": {"cpu": "4"}}}]})",
       ""},
      {"an init container counts where it is larger",
       R"({"initContainers": [{"resources": {"requests": {"cpu": "3", "memory": "1Mi"}}}],
           "containers": [{"resources": {"requests": {"cpu": "1", "memory": "2Mi"}}}]})",
       "cpu=3 memory=2Mi"},
      {"init containers run one after another",
       R"({"containers": [{"resources": {"requests": {"cpu": "1"}}}], "initContainers": [
           {"resources": {"requests": {"cpu": "2"}}}, {"resources": {"requests": {"cpu": "3"}}}]})",
       "cpu=3"},
      {"a sidecar adds to the containers",
       R"({"containers": [{"resources": {"requests": {"cpu": "2"}}}], "initContainers": [
           {"restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}]})",
       "cpu=3"},
      {"an init container runs beside the sidecars before it",
       R"({"containers": [{"resources": {"requests": {"cpu": "1"}}}], "initContainers": [
           {"restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}},
           {"resources": {"requests": {"cpu": "4"}}},
           {"restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}]})",
       "cpu=6"},
      {"a sidecar after it doesn't",
       R"({"containers": [{"resources": {"requests": {"cpu": "1"}}}], "initContainers": [
           {"resources": {"requests": {"cpu": "4"}}},
           {"restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}}]})",
       "cpu=4"},
      {"a sidecar says so behind its name and its resources",
       R"({"containers": [{"name": "a", "resources": {"requests": {"cpu": "2"}}}], "initContainers": [
           {"name": "b", "resources": {"requests": {"cpu": "1"}}, "restartPolicy": "Always"}]})",
       "cpu=3"},
      {"what stands behind a container's resources is passed over",
       R"({"containers": [
           {"name": "a", "resources": {"requests": {"cpu": "1"}}, "restartPolicy": 1,
            "livenessProbe": {"exec": {"command": ["]", "}"]}}},
           {"resources": {"requests": {"memory": "1Gi"}}, "name": "b", "volumeMounts": [{"name": "c"}]}]})",
       "cpu=1 memory=1Gi"},
      {"overhead comes on top of what is larger",
       R"({"overhead": {"cpu": "250m", "memory": "120Mi"},
           "initContainers": [{"resources": {"requests": {"cpu": "2"}}}],
           "containers": [{"resources": {"requests": {"cpu": "1"}}}]})",
       "cpu=2250m memory=120Mi"},
      {"pod-level requests replace cpu and memory, not devices",
       R"({"resources": {"requests": {"cpu": "8", "memory": "4Gi", "nvidia.com/gpu": "1"}},
           "overhead": {"cpu": "1"},
           "containers": [{"resources": {"requests": {"cpu": "1", "memory": "8Gi", "nvidia.com/gpu": 2}}}]})",
       "cpu=9 memory=4Gi nvidia.com/gpu=2"},
      {"pod-level of one resource leaves the other",
       R"({"resources": {"requests": {"cpu": "8"}},
           "containers": [{"resources": {"requests": {"cpu": "1", "memory": "8Gi"}}}]})",
       "cpu=8 memory=8Gi"},
      {"huge pages may be pod-level",
       R"({"resources": {"requests": {"hugepages-2Mi": "4Mi"}},
           "containers": [{"resources": {"requests": {"hugepages-2Mi": "2Mi"}}}]})",
       "hugepages-2Mi=4194304"},
      {"the order of fields does not matter",
       R"({"overhead": {"cpu": "1"}, "containers": [{"resources": {"requests": {"cpu": 1}}}],
           "initContainers": [{"resources": {"requests": {"cpu": "2"}}, "restartPolicy": "Always"}]})",
       "cpu=4"},
      {"null is absent",
       R"({"overhead": null, "resources": null, "initContainers": null,
           "containers": [{"resources": {"requests": null}}, {"resources": null}]})",
       ""},
  };
  for (const Case& one : cases) {
    const auto got = RequestsOf(one.spec);
    ASSERT_TRUE(got) << one.what << ": " << got.error().message;
    EXPECT_EQ(Print(*got), one.requests) << one.what;
  }
}

TEST(PodRequests, AnUnparsableQuantityIsNamed) {
  const auto got =
      RequestsOf(R"({"containers": [{"name": "a"}, {"resources": {"requests": {"cpu": "two"}}}]})");
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, testing::StartsWith("containers[1].resources.requests.cpu: "));
}

TEST(Pod, AForeignPodIsAFewNumbers) {
  const auto pod = PodOf(
      R"({"metadata": {"name": "web-1", "namespace": "shop", "uid": "u", "resourceVersion": "5",
      "labels": {"app": "web"}, "annotations": {"x": "y"}},
    "spec": {"nodeName": "n1", "containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})");
  ASSERT_TRUE(pod) << pod.error().message;
  EXPECT_EQ(pod->node, "n1");
  EXPECT_TRUE(pod->ready);
  EXPECT_TRUE(pod->UsesNode());
  EXPECT_EQ(pod->phase, PodPhase::kRunning);
  EXPECT_TRUE(pod->meta.labels.empty());
  EXPECT_TRUE(pod->meta.annotations.empty());
  EXPECT_EQ(pod->completion_index, -1);
  EXPECT_EQ(Print(pod->requests), "cpu=100m pods=1");
}

TEST(Pod, OneOfOursHasItsLabelsAndIndex) {
  for (const char* where : {"labels", "annotations"}) {
    const auto pod = PodOf(
        std::string(R"({"metadata": {"name": "p", ")") + where +
        R"(": {"batch.kubernetes.io/job-completion-index": "17", "spillway.dev/attempt": "2"}}})");
    ASSERT_TRUE(pod);
    EXPECT_EQ(pod->completion_index, 17);
    const auto& kept = where == std::string("labels") ? pod->meta.labels : pod->meta.annotations;
    EXPECT_THAT(kept, ElementsAre(Pair("spillway.dev/attempt", "2")));
  }
}

TEST(Pod, ABadIndexIsNone) {
  for (const char* index : {"", "x", "-3", "3x", "99999999999"}) {
    const auto pod = PodOf(std::string(R"({"metadata": {"annotations":
      {"batch.kubernetes.io/job-completion-index": ")") +
                           index + "\"}}}");
    ASSERT_TRUE(pod);
    EXPECT_EQ(pod->completion_index, -1) << index;
  }
}

TEST(Pod, UsesItsNodeUntilItEnded) {
  struct Case {
    const char* text;
    bool uses;
  };
  const Case cases[] = {
      {R"({"spec": {"nodeName": "n"}, "status": {"phase": "Pending"}})", true},
      {R"({"spec": {"nodeName": "n"}})", true},
      {R"({"spec": {}, "status": {"phase": "Pending"}})", false},
      {R"({"spec": {"nodeName": "n"}, "status": {"phase": "Succeeded"}})", false},
      {R"({"spec": {"nodeName": "n"}, "status": {"phase": "Failed"}})", false},
      {R"({"spec": {"nodeName": "n"}, "status": {"phase": "Unknown"}})", true},
      {R"({"spec": {"nodeName": "n"}, "status": {"phase": "Newfangled"}})", true},
  };
  for (const Case& one : cases) EXPECT_EQ(PodOf(one.text)->UsesNode(), one.uses) << one.text;
}

TEST(Pod, SaysWhenItsReadinessChanged) {
  struct Case {
    const char* conditions;
    bool ready;
    const char* changed;
  };
  const Case cases[] = {
      {R"([])", false, ""},
      {R"([{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-24T01:00:00Z"}])",
       false, ""},
      {R"([{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-24T01:00:00Z"},
           {"type": "ContainersReady", "status": "True", "lastTransitionTime": "2026-11-24T02:00:00Z"}])",
       true, "2026-11-24T01:00:00Z"},
      {R"([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-24T03:00:00Z"}])",
       false, "2026-11-24T03:00:00Z"},
      {R"([{"type": "Ready", "status": "True", "lastTransitionTime": null}])", true, ""},
      {R"([{"type": "Ready", "status": "True"}])", true, ""},
  };
  for (const Case& one : cases) {
    const auto pod = PodOf(std::string(R"({"status": {"conditions": )") + one.conditions + "}}");
    ASSERT_TRUE(pod) << pod.error().message;
    EXPECT_EQ(pod->ready, one.ready) << one.conditions;
    EXPECT_EQ(pod->ready_changed ? FormatTime(*pod->ready_changed) : "", one.changed)
        << one.conditions;
  }
}

TEST(Pod, SaysHowItsFirstContainerFailed) {
  const auto pod = PodOf(R"({"spec": {"containers": [{"name": "trainer"}, {"name": "agent"}],
      "initContainers": [{"name": "mesh", "restartPolicy": "Always"}]},
    "status": {"phase": "Failed", "initContainerStatuses": [{"name": "mesh", "state": {"terminated": {"exitCode": 137}}}],
      "containerStatuses": [
        {"name": "agent", "state": {"terminated": {"exitCode": 143, "reason": "Error"}}},
        {"name": "trainer", "state": {"terminated": {"exitCode": 1, "reason": "Error",
          "message": "CUDA error", "finishedAt": "2026-11-24T01:00:00Z"}}}]}})");
  ASSERT_TRUE(pod) << pod.error().message;
  ASSERT_TRUE(pod->failure);
  EXPECT_EQ(pod->failure->exit_code, 1);
  EXPECT_EQ(pod->failure->reason, "Error");
  EXPECT_EQ(pod->failure->message, "CUDA error");
  EXPECT_EQ(FormatTime(pod->failure->finished), "2026-11-24T01:00:00Z");
}

TEST(Pod, AnInitContainerCanBeWhatFailed) {
  const auto pod =
      PodOf(R"({"spec": {"initContainers": [{"name": "fetch"}], "containers": [{"name": "c"}]},
    "status": {"phase": "Failed", "initContainerStatuses": [{"name": "fetch", "state": {"terminated": {"exitCode": 2}}}],
      "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "PodInitializing"}}}]}})");
  ASSERT_TRUE(pod && pod->failure);
  EXPECT_EQ(pod->failure->exit_code, 2);
}

TEST(Pod, AContainerMayBeNamedBehindItsResources) {
  const auto pod = PodOf(R"({"spec": {"containers": [{"resources": {}, "name": "c"}]},
    "status": {"phase": "Failed", "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 3}}}]}})");
  ASSERT_TRUE(pod && pod->failure);
  EXPECT_EQ(pod->failure->exit_code, 3);
}

TEST(Pod, AnEvictedPodSaysSo) {
  const auto pod =
      PodOf(R"({"status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory",
    "conditions": [{"type": "DisruptionTarget", "status": "True"}]}})");
  ASSERT_TRUE(pod && pod->failure);
  EXPECT_TRUE(pod->disrupted);
  EXPECT_EQ(pod->failure->exit_code, -1);
  EXPECT_EQ(pod->failure->reason, "Evicted");
  EXPECT_EQ(pod->failure->message, "low on memory");
}

TEST(Pod, ASuccessIsNoFailure) {
  const auto pod =
      PodOf(R"({"spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Succeeded",
    "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}})");
  ASSERT_TRUE(pod);
  EXPECT_FALSE(pod->failure);
}

TEST(Pod, KeepsTheEndOfALongMessage) {
  // é is two bytes: a cut in the middle of one moves on to the next.
  std::string message = "x";
  for (int i = 0; i < 1000; ++i) message += "\xC3\xA9";
  message += " end";
  const json object = {{"status", {{"phase", "Failed"}, {"message", message}}}};
  const auto pod = PodOf(object.dump());
  ASSERT_TRUE(pod && pod->failure);
  EXPECT_EQ(pod->failure->message.size(), 1024U);
  EXPECT_THAT(pod->failure->message, testing::EndsWith(" end"));
  EXPECT_THAT(pod->failure->message, testing::StartsWith("\xC3\xA9"));
}

TEST(Pod, SaysWhyItIsNotScheduled) {
  const auto pod = PodOf(R"({"status": {"phase": "Pending", "conditions": [
    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]}})");
  ASSERT_TRUE(pod);
  EXPECT_EQ(pod->scheduling_message, "0/3 nodes are available");
}

TEST(Job, ReadsCountsAndHowItEnded) {
  struct Case {
    const char* conditions;
    bool complete;
    bool failed;
    const char* reason;
    const char* finished;
  };
  const Case cases[] = {
      {R"([])", false, false, "", ""},
      {R"([{"type": "Suspended", "status": "True"}])", false, false, "", ""},
      {R"([{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-24T01:00:00Z"}])",
       true, false, "", "2026-11-24T01:00:00Z"},
      {R"([{"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy", "message": "m",
            "lastTransitionTime": "2026-11-24T01:00:00Z"}])",
       false, true, "PodFailurePolicy", "2026-11-24T01:00:00Z"},
      {R"([{"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy",
            "lastTransitionTime": "2026-11-24T01:00:00Z"},
           {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "lastTransitionTime": "2026-11-24T02:00:00Z"}])",
       false, true, "PodFailurePolicy", "2026-11-24T01:00:00Z"},
      {R"([{"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy"},
           {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "lastTransitionTime": "2026-11-24T02:00:00Z"}])",
       false, true, "PodFailurePolicy", "2026-11-24T02:00:00Z"},
      {R"([{"type": "Failed", "status": "False", "reason": "x"}])", false, false, "", ""},
  };
  for (const Case& one : cases) {
    const auto job =
        JobOf(std::string(R"({"metadata": {"name": "j", "labels": {"a": "b"}}, "status": {
      "active": 2, "ready": 1, "succeeded": 3, "failed": 4, "conditions": )") +
              one.conditions + "}}");
    ASSERT_TRUE(job) << job.error().message;
    EXPECT_THAT((std::vector{job->active, job->ready, job->succeeded, job->failed}),
                ElementsAre(2, 1, 3, 4));
    EXPECT_EQ(job->complete, one.complete) << one.conditions;
    EXPECT_EQ(job->failed_condition, one.failed) << one.conditions;
    EXPECT_EQ(job->failure_reason, one.reason) << one.conditions;
    EXPECT_EQ(job->finished ? FormatTime(*job->finished) : "", one.finished) << one.conditions;
    EXPECT_THAT(job->meta.labels, ElementsAre(Pair("a", "b")));
  }
}

TEST(Deployment, ReadsWhatItAsksForAndWhatThereIs) {
  const auto got = DeploymentOf(R"({"metadata": {"name": "d", "namespace": "ns", "generation": 7,
      "labels": {"a": "b"}, "annotations": {"c": "d"}},
    "spec": {"replicas": 5, "selector": {"matchLabels": {"app": "x"}}, "strategy": {"type": "RollingUpdate",
      "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}},
      "template": {"spec": {"containers": [{"name": "c"}]}}},
    "status": {"observedGeneration": 6, "replicas": 4, "updatedReplicas": 3, "readyReplicas": 2,
      "availableReplicas": 1, "unavailableReplicas": 1}})");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(Key(got->meta), "ns/d");
  EXPECT_EQ(got->meta.generation, 7);
  EXPECT_THAT(got->meta.labels, ElementsAre(Pair("a", "b")));
  EXPECT_THAT(got->meta.annotations, ElementsAre(Pair("c", "d")));
  EXPECT_THAT((std::vector{got->replicas, got->max_surge, got->max_unavailable}),
              ElementsAre(5, 2, 1));
  EXPECT_THAT((std::vector{got->status_replicas, got->updated_replicas, got->ready_replicas}),
              ElementsAre(4, 3, 2));
  EXPECT_EQ(got->observed_generation, 6);
  EXPECT_FALSE(got->stuck);
  EXPECT_EQ(DeploymentResource().ApiVersion(), "apps/v1");
}

TEST(Deployment, AStrategyIsNumbersOrPercentages) {
  struct Case {
    const char* strategy;
    int surge;
    int unavailable;
  };
  const Case cases[] = {
      {R"({"type": "Recreate"})", 0, 0},
      {R"({"rollingUpdate": null})", 0, 0},
      {R"({"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "0%"}})", -1, -1},
      {R"({"rollingUpdate": {"maxSurge": 3, "maxUnavailable": "100%"}})", 3, -1},
      {R"({"rollingUpdate": {"maxSurge": null, "maxUnavailable": "2"}})", 0, 2},
  };
  for (const Case& one : cases) {
    const auto got = DeploymentOf(std::string(R"({"spec": {"strategy": )") + one.strategy + "}}");
    ASSERT_TRUE(got) << one.strategy << ": " << got.error().message;
    EXPECT_EQ(got->max_surge, one.surge) << one.strategy;
    EXPECT_EQ(got->max_unavailable, one.unavailable) << one.strategy;
  }
}

TEST(Deployment, AStrategyOfAnotherKindIsNamed) {
  for (const char* value : {"\"some\"", "2.5", "99999999999"}) {
    const auto got = DeploymentOf(
        std::string(R"({"spec": {"strategy": {"rollingUpdate": {"maxSurge": )") + value + "}}}}");
    ASSERT_FALSE(got) << value;
    EXPECT_EQ(got.error().message,
              "spec.strategy.rollingUpdate.maxSurge: is neither an integer nor a percentage");
  }
}

TEST(Deployment, IsStuckOnceItsDeadlineIsOver) {
  struct Case {
    const char* conditions;
    bool stuck;
  };
  const Case cases[] = {
      {R"([])", false},
      {R"([{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}])", false},
      {R"([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
           {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}])",
       true},
      {R"([{"type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError"}])", false},
      {R"([{"type": "Available", "status": "False", "reason": "ProgressDeadlineExceeded"}])",
       false},
  };
  for (const Case& one : cases) {
    const auto got =
        DeploymentOf(std::string(R"({"status": {"conditions": )") + one.conditions + "}}");
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->stuck, one.stuck) << one.conditions;
  }
}

TEST(Types, ACompanionTellsWhetherWhatWeSayOfItHasChanged) {
  const auto digest = [](const char* spec) {
    return Decode<Companion>(std::string(R"({"metadata":{"name":"a"},"spec":)") + spec + "}",
                             DecodeCompanion)
        .value()
        .spec_digest;
  };
  const std::string service =
      digest(R"({"selector":{"a":"1"},"ports":[{"name":"http","port":80,"targetPort":8080}]})");
  ASSERT_FALSE(service.empty());
  // In any order, with what an API server fills in and what is left to others.
  EXPECT_EQ(digest(R"({"type":"LoadBalancer","clusterIP":"10.0.0.1","sessionAffinity":"None",
                       "ports":[{"targetPort":8080,"nodePort":30000,"protocol":"TCP","port":80,
                                 "name":"http","appProtocol":"h2"}],
                       "publishNotReadyAddresses":false,"selector":{"a":"1"}})"),
            service);
  const std::string budget = digest(R"({"minAvailable":2,"selector":{"matchLabels":{"a":"1"}}})");
  std::set<std::string> all = {service, budget};
  for (
      const char* edited :
      {R"({"selector":{"a":"2"},"ports":[{"name":"http","port":80,"targetPort":8080}]})",
       R"({"selector":{"a":"1"},"ports":[{"name":"http","port":81,"targetPort":8080}]})",
       R"({"selector":{"a":"1"},"ports":[{"name":"http","port":80,"targetPort":"x"}]})",
       R"({"selector":{"a":"1"},"ports":[{"name":"http","port":80,"targetPort":8080,
                                           "protocol":"UDP"}]})",
       R"({"selector":{"a":"1"},"ports":[{"name":"http","port":80,"targetPort":8080},{"port":1}]})",
       R"({"selector":{"a":"1"},"ports":[{"name":"http","port":80,"targetPort":8080}],
            "publishNotReadyAddresses":true})",
       R"({"selector":{"a":"1"}})", R"({"ports":[7],"selector":{"a":"1"}})",
       R"({"minAvailable":1,"selector":{"matchLabels":{"a":"1"}}})",
       R"({"minAvailable":"2","selector":{"matchLabels":{"a":"1"}}})",
       R"({"maxUnavailable":2,"selector":{"matchLabels":{"a":"1"}}})",
       R"({"minAvailable":2,"selector":{"matchLabels":{"a":"2"}}})",
       R"({"minAvailable":2,"selector":{"matchLabels":{"a":"1"}},
            "unhealthyPodEvictionPolicy":"AlwaysAllow"})"}) {
    EXPECT_TRUE(all.insert(digest(edited)).second) << edited;
  }
  EXPECT_EQ(digest("7"), "");
  EXPECT_EQ(SpecDigest("{"), "");
}

TEST(Types, PriorityClassAndMetaOnly) {
  const auto priority = Decode<PriorityClass>(
      R"({"metadata": {"name": "high"}, "value": 2000001000, "globalDefault": true, "preemptionPolicy": "Never"})",
      DecodePriorityClass);
  ASSERT_TRUE(priority);
  EXPECT_EQ(priority->value, 2000001000);
  EXPECT_TRUE(priority->global_default);
  const auto service = Decode<MetaOnly>(
      R"({"metadata": {"name": "s", "namespace": "n"}, "spec": {"ports": [{"port": 1}]}})",
      DecodeMetaOnly);
  ASSERT_TRUE(service);
  EXPECT_EQ(Key(service->meta), "n/s");
}

}  // namespace
}  // namespace spillway::kube
