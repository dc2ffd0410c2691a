// What stores say that they keep of memory, held against the heap.
#include "controllers/store_bytes.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "controllers/pod_indices.h"
#include "kube/reflector.h"
#include "kube/store.h"
#include "tests/support/counted_heap.h"
#include "tests/support/objects.h"
#include "tests/support/seeds.h"
#include "tests/support/yaml.h"

namespace spillway::controllers {
namespace {

using nlohmann::json;

constexpr const char* kPrefix = "spillway.dev/";
constexpr int kObjects = tests::Seeds(2000);  // what they share is little beside so many
constexpr double kNear = 0.05;

// As API servers give them out.
json Named(json object, const std::string& ns, const std::string& name, int i) {
  json& meta = object["metadata"];
  if (!ns.empty()) meta["namespace"] = ns;
  meta["name"] = name + "-" + std::to_string(10'000 + i);
  meta["uid"] = "0b1e5a5e-5ca1-4e5e-8000-0000000" + std::to_string(10'000 + i);
  meta["resourceVersion"] = std::to_string(2'000'000'000 + i);
  meta["creationTimestamp"] = "2026-11-24T08:00:00Z";
  return object;
}

json OurChild(const std::string& name, int i, json object) {
  const json owner = Named({{"apiVersion", "spillway.dev/v1alpha1"}, {"kind", "TrainingPool"}},
                           "research", "opt-66b", i);
  object = support::OwnedBy(Named(std::move(object), "research", name, i), owner);
  object["metadata"]["labels"] = {{"app.kubernetes.io/managed-by", "spillway"},
                                  {"spillway.dev/pool", owner["metadata"]["name"]},
                                  {"spillway.dev/pool-uid", owner["metadata"]["uid"]},
                                  {"spillway.dev/attempt", "3"}};
  object["metadata"]["annotations"] = {{"spillway.dev/digest", std::string(64, 'd')}};
  return object;
}

json Conditions() {
  return support::YamlToJson(R"(
- {type: Ready, status: "True", reason: AllWorkersReady, message: "All of them are ready, in azure-a100.",
   lastTransitionTime: "2026-11-24T08:00:00Z", observedGeneration: 4}
- {type: Placed, status: "True", reason: Placed, message: "", lastTransitionTime: "2026-11-24T08:00:00Z"}
- {type: SpecAccepted, status: "True", reason: AsExpected, message: ""}
)");
}

// The share of what the heap has really grown by that the store tells.
template <class T>
double TellsOf(const std::vector<json>& objects, typename kube::StoreSink<T>::Decode decode,
               const std::vector<kube::Index<T>*>& indices = {}) {
  std::vector<std::string> texts;
  for (const json& object : objects) texts.push_back(object.dump());
  kube::JsonParser parser;
  for (const std::string& text : texts) EXPECT_TRUE(parser.Parse(text));  // has its buffers then
  kube::Store<T> store([] {});
  store.SetMeasure(BytesBeside);
  for (kube::Index<T>* index : indices) store.AddIndex(*index);
  kube::StoreSink<T> sink(store, std::move(decode));
  const int64_t before = support::HeapInUse();
  sink.BeginList();
  for (const std::string& text : texts) EXPECT_TRUE(sink.ListItem(*parser.Parse(text)));
  sink.EndList("1");
  const int64_t grown = support::HeapInUse() - before;
  EXPECT_EQ(store.size(), objects.size());
  const double share = static_cast<double>(store.Bytes()) / static_cast<double>(grown);
  testing::Test::RecordProperty("percent", std::to_string(100 * share));
  testing::Test::RecordProperty("bytes_each", std::to_string(store.Bytes() / objects.size()));
  return share;
}

template <class Make>
std::vector<json> Many(Make make) {
  std::vector<json> objects;
  for (int i = 0; i < kObjects; ++i) objects.push_back(make(i));
  return objects;
}

TEST(StoreBytes, OfNodesAreThoseOfTheHeap) {
  std::vector<json> recorded;
  for (const auto& file : support::TestdataFiles("nodes")) {
    recorded.push_back(support::ReadYamlFile(file));
  }
  const auto nodes = Many([&](int i) {
    return Named(recorded[static_cast<size_t>(i) % recorded.size()], "", "aks-gpu-vmss", i);
  });
  EXPECT_NEAR(TellsOf<kube::Node>(nodes,
                                  [](kube::JsonValue value, kube::Node& node) {
                                    return kube::DecodeNode(value, kPrefix, node);
                                  }),
              1, kNear);
}

// With what both indices keep of them. Equal requests belong to many, and count nothing.
double TellsOfPods(const std::vector<json>& pods) {
  kube::PodKeeper keeper(kPrefix);
  OthersByNode others;
  OwnPods own;
  return TellsOf<kube::KeptPod>(
      pods, [&](kube::JsonValue value, kube::KeptPod& pod) { return keeper.Read(value, pod); },
      {&others, &own});
}

// The fewer are on a node, the more of it is what is kept of nodes.
TEST(StoreBytes, OfPodsOfOthersAreThoseOfTheHeap) {
  for (const int per_node : {10, 50}) {
    const auto pods = Many([&](int i) {
      const std::string node = "aks-gpu-vmss-" + std::to_string(i / per_node);
      return Named(
          support::MakePod("", "", {node, {{"cpu", "250m"}, {"memory", "1Gi"}}, {}, "Running"}),
          "team", "web-5d8f7c9b6d", i);
    });
    EXPECT_NEAR(TellsOfPods(pods), 1, kNear) << per_node;
  }
}

TEST(StoreBytes, OfOurPodsAreThoseOfTheHeap) {
  const auto pods = Many([](int i) {
    json pod = OurChild("opt-66b-3", i,
                        support::MakePod("", "",
                                         {"aks-gpu-vmss-" + std::to_string(i / 2),
                                          {{"cpu", "80"}, {"nvidia.com/gpu", "8"}},
                                          {},
                                          "Running"}));
    pod["status"]["conditions"] = support::YamlToJson(R"([{type: Ready, status: "True"}])");
    return pod;
  });
  EXPECT_NEAR(TellsOfPods(pods), 1, kNear);
}

TEST(StoreBytes, OfJobsAreThoseOfTheHeap) {
  const auto jobs = Many([](int i) {
    return OurChild("opt-66b-3", i, {{"status", support::YamlToJson(R"(
active: 0
failed: 1
conditions:
- {type: Failed, status: "True", reason: PodFailurePolicy, message: "Container trainer failed with exit code 3."}
)")}});
  });
  EXPECT_NEAR(TellsOf<kube::Job>(jobs, kube::DecodeJob), 1, kNear);
}

TEST(StoreBytes, OfDeploymentsAreThoseOfTheHeap) {
  const auto deployments = Many([](int i) {
    return OurChild("chat-8b-a100-home", i,
                    {{"spec", {{"replicas", 3}}}, {"status", {{"readyReplicas", 3}}}});
  });
  EXPECT_NEAR(TellsOf<kube::Deployment>(deployments, kube::DecodeDeployment), 1, kNear);
}

TEST(StoreBytes, OfServicesAreThoseOfTheHeap) {
  const auto services = Many([](int i) {
    return OurChild("chat-8b", i,
                    {{"spec", {{"selector", {{"app", "chat"}}}, {"clusterIP", "None"}}}});
  });
  EXPECT_NEAR(TellsOf<kube::Companion>(services, kube::DecodeCompanion), 1, kNear);
}

TEST(StoreBytes, OfPriorityClassesAreThoseOfTheHeap) {
  const auto classes = Many([](int i) {
    json object = Named(support::MakePriorityClass("", i), "", "research", i);
    object["metadata"]["labels"] = {{"app.kubernetes.io/managed-by", "Helm"}};
    return object;
  });
  EXPECT_NEAR(TellsOf<kube::PriorityClass>(classes, kube::DecodePriorityClass), 1, kNear);
}

TEST(StoreBytes, OfNodeGroupsAreThoseOfTheHeap) {
  const json group = support::YamlToJson(R"(
metadata: {labels: {team: infrastructure-of-home}}
spec:
  provider: Azure
  selector:
    matchLabels: {kubernetes.azure.com/agentpool: a100, topology.kubernetes.io/region: eastus}
  accelerator: {type: nvidia-a100-80gb, resource: nvidia.com/gpu, perNode: 8}
  cost: {perNodeHour: "32.77"}
  interconnect: {domainLabels: [topology.kubernetes.azure.com/interconnect-group]}
  tolerations:
  - {key: nvidia.com/gpu-of-a-kind, operator: Exists, effect: NoSchedule}
  podDefaults:
    env:
    - {name: NCCL_IB_HCA, value: mlx5_ib}
    resources: {nvidia.com/mlnxnics: "8"}
  health:
    badConditions:
    - {type: GPUMissing, status: "True"}
    - {type: NVLinkStatusInactive, status: "True"}
    badTaints:
    - {key: example.com/being-repaired, value: "", effect: NoSchedule}
  elastic:
    maxNodes: 40
    nodeShape: {cpu: "96", memory: 1800Gi, nvidia.com/gpu: "8", pods: "110"}
    target: {apiVersion: infrastructure.example.com/v1beta1, kind: MachinePool, namespace: clusters, name: a100}
status:
  largestFreeDomain: {nodes: 4, domain: rack-of-the-first-row}
  scale: {desired: 4, target: 4, leaving: {nodes: [aks-gpu-vmss-000001, aks-gpu-vmss-000002]}}
)");
  const auto groups = Many([&](int i) {
    json object = Named(group, "", "azure-a100", i);
    object["status"]["conditions"] = Conditions();
    return object;
  });
  EXPECT_NEAR(TellsOf<crds::v1alpha1::NodeGroup>(groups, crds::v1alpha1::DecodeNodeGroup), 1,
              kNear);
}

TEST(StoreBytes, OfTrainingPoolsAreThoseOfTheHeap) {
  const json pool = support::YamlToJson(R"(
spec:
  workers: 4
  acceleratorsPerWorker: 8
  accelerators: [{type: nvidia-a100-80gb}, {type: nvidia-h100-80gb, workers: 2}]
  priorityClassName: research-of-the-evening
  placement:
    providers: [OnPrem, Azure]
    nodeGroupSelector: {matchLabels: {infrastructure.example.com/team: everybody-in-research}}
    topology: {mode: Required, level: topology.kubernetes.io/zone}
  restart: {maxRestarts: 50}
  preemption: {preemptible: Never}
  template:
    spec:
      containers:
      - {name: trainer, image: "pytorch/pytorch:2.9.0", command: [torchrun, train.py, --config=opt-66b.yaml]}
status:
  placement:
    nodeGroup: azure-a100-of-the-east
    accelerator: nvidia-a100-80gb
    domain: interconnect-group-1
    nodes: [aks-gpu-vmss-000001, aks-gpu-vmss-000002, aks-gpu-vmss-000003, aks-gpu-vmss-000004]
    renderRevision: 0123456789abcdef
    specRevision: fedcba9876543210
  hold:
    nodeGroup: onprem-a100-of-the-first-row
    nodes: [dgx-a100-of-the-first-row-1, dgx-a100-of-the-first-row-2]
    victims: [research/small-experiment-of-yesterday]
  ask: {nodeGroup: azure-a100-of-the-west, nodes: 2}
  tiersUsed: [0, 10]
  lastFailure: {attempt: 2, node: aks-gpu-vmss-000009, reason: Error, message: "NCCL WARN Call to ibv_modify_qp failed"}
  excludedNodes: [{name: aks-gpu-vmss-000009, reason: NodeOfTwoFailures}]
  evictions: [{time: "2026-11-24T08:00:00Z", cause: PreemptedByHigherPriority}]
  stuckPods: [opt-66b-2-0-abcdefghij]
)");
  const auto pools = Many([&](int i) {
    json object = Named(pool, "research", "opt-66b", i);
    object["status"]["conditions"] = Conditions();
    return object;
  });
  EXPECT_NEAR(TellsOf<crds::v1alpha1::TrainingPool>(pools, crds::v1alpha1::DecodeTrainingPool), 1,
              kNear);
}

TEST(StoreBytes, OfInferencePoolsAreThoseOfTheHeap) {
  const json pool = support::YamlToJson(R"(
spec:
  replicas: 4
  priorityClassName: serving-of-the-evening
  variants:
  - name: a100-of-80-gigabytes
    accelerator: nvidia-a100-80gb
    template: {spec: {containers: [{name: server, image: "vllm/vllm-openai:v0.25.1", args: [--port=8000]}]}}
  - name: graviton
    accelerator: aws-graviton5-cores
    template: {spec: {containers: [{name: server, image: "vllm/vllm-arm64:v0.25.1", args: [--port=8000]}]}}
  placement:
    providers: [AWS]
    nodeGroupSelector: {matchLabels: {infrastructure.example.com/team: everybody-in-research}}
status:
  selector: spillway.dev/pool-uid=0b1e5a5e-5ca1-4e5e-8000-000000010000
  recent: [{units: 4, until: "2026-11-24T08:00:00Z"}, {units: 3, until: "2026-11-24T08:01:00Z"}]
  cells:
  - {variant: a100-of-80-gigabytes, nodeGroup: aws-a100-of-the-east, desired: 2, revision: 0123456789abcdef}
  - {variant: graviton, nodeGroup: aws-graviton-of-the-east, desired: 16, revision: 0123456789abcdef}
  services: [{name: chat-8b-a100-of-80-gigabytes, variant: a100-of-80-gigabytes, weight: 60}]
  evictions: [{time: "2026-11-24T08:00:00Z", cause: PreemptedByHigherPriority}]
  claim: {variant: a100-of-80-gigabytes, nodeGroup: aws-a100, nodes: [ip-10-0-5-152.ec2.internal], victims: [research/opt-66b]}
  asks: [{variant: a100-of-80-gigabytes, nodeGroup: aws-a100-of-the-east, nodes: 1}]
  lastDecision:
    action: Add replicas of a variant
    reason: ReadyCapacityIsShort
    chosen: 2 a100-of-80-gigabytes, 16 graviton
    rejected: [{mix: 4 a100-of-80-gigabytes, cost: "109.79", why: it costs more than the mix chosen}]
)");
  const auto pools = Many([&](int i) {
    json object = Named(pool, "serving", "chat-8b", i);
    object["status"]["conditions"] = Conditions();
    return object;
  });
  EXPECT_NEAR(TellsOf<crds::v1alpha1::InferencePool>(pools, crds::v1alpha1::DecodeInferencePool), 1,
              kNear);
}

TEST(StoreBytes, OfPoolQuotasAreThoseOfTheHeap) {
  const json quota = support::YamlToJson(R"(
spec:
  accelerators: [{type: nvidia-a100-80gb, limit: 320}, {type: nvidia-h100-80gb, limit: 16}]
  priorityClasses: [research, research-of-the-evening]
  spend: {maxHourlyCost: "100", budget: {amount: "50000"}}
status:
  accelerators: [{type: nvidia-a100-80gb, used: 32}, {type: nvidia-h100-80gb, used: 0}]
  hourlyCost: "32.77"
)");
  const auto quotas = Many([&](int i) {
    json object = Named(quota, "research-" + std::to_string(i), "default", i);
    object["status"]["conditions"] = Conditions();
    return object;
  });
  EXPECT_NEAR(TellsOf<crds::v1alpha1::PoolQuota>(quotas, crds::v1alpha1::DecodePoolQuota), 1,
              kNear);
}

}  // namespace
}  // namespace spillway::controllers
