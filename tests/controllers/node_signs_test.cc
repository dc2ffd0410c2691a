#include "controllers/node_signs.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "tests/support/yaml.h"

namespace spillway::controllers {
namespace {

using nlohmann::json;

NodeSigns SignsOf(const json& object) {
  kube::JsonParser parser;
  auto root = parser.Parse(object.dump());
  kube::NodeDetails details;
  const Status read = kube::DecodeNodeDetails(root.value(), details);
  EXPECT_TRUE(read) << read.error().message;
  return ReadSigns(details);
}

// "AWS", "AWS?" where it is a guess, "-" where nothing tells.
std::string Print(const Sign& sign) {
  return sign.value.empty() ? "-" : sign.value + (sign.guess ? "?" : "");
}

// "Azure | nvidia-t4 x 1 | amd64 | OnDemand | usable"; in parentheses why devices are not whole.
std::string Print(const NodeSigns& signs) {
  const AcceleratorSigns& accelerator = signs.accelerator;
  const bool device = !accelerator.resource.empty();
  const std::string parts = accelerator.parts.empty() ? "" : " (" + accelerator.parts + ")";
  return fmt::format("{} | {}{}{} | {} | {} | {}{}", Print(signs.provider), Print(accelerator.type),
                     device ? " x " + Print(accelerator.count) : "", parts, Print(signs.arch),
                     Print(signs.capacity_type), Name(signs.health), signs.why.guess ? "?" : "");
}

// What each file expects, in the words of a NodeGroup; a question mark where it says that the
// object does not show it.
const std::map<std::string, std::string>& Expected() {
  static const std::map<std::string, std::string> kExpected = {
      {"01-aks-nd96amsr-a100-v4", "Azure? | nvidia-a100-80gb x 8 | amd64? | OnDemand? | usable"},
      {"02-aks-nc6s-v3", "Azure | nvidia-v100-16gb x 1 | amd64 | OnDemand | usable"},
      {"05-aks-spot-preempt-condition", "Azure? | - | - | Spot? | draining"},
      {"06-aks-notready-unreachable", "Azure? | - | - | OnDemand? | not ready"},
      {"07-aks-d2as-v4-npd-healthy", "Azure | cpu-amd64 | amd64 | OnDemand | usable"},
      {"08-eks-p4d-karpenter-spot", "AWS | nvidia-a100-40gb x 8 | amd64 | Spot | usable"},
      {"10-eks-p4de-allocatable", "AWS | nvidia-a100-80gb x 8 | amd64? | OnDemand? | usable"},
      {"11-eks-g6-xlarge-karpenter", "AWS | nvidia-l4 x 1 | amd64 | OnDemand | usable"},
      {"12-eks-g5-2xlarge-gpu-zero", "AWS? | nvidia-a10g x 1 | amd64 | OnDemand? | unhealthy"},
      {"13-hyperpod-ml-g5-xlarge", "AWS | nvidia-a10g x 1 | amd64 | OnDemand? | usable"},
      {"16-eks-auto-c6g-graviton2", "AWS | aws-graviton2 | arm64 | OnDemand | usable"},
      {"17-eks-r6g-8xlarge-karpenter", "AWS | aws-graviton2 | arm64 | OnDemand | usable?"},
      {"21-gke-l4-preemptible", "GCP | nvidia-l4 x 1 | amd64 | Spot | usable"},
      {"23-gke-n2-standard-4-spot", "GCP | cpu-amd64 | amd64 | Spot | usable?"},
      {"28-onprem-dgx-station-a100", "OnPrem? | nvidia-a100-40gb x 4 | amd64 | Owned? | usable"},
      {"29-microk8s-t4-allocatable-zero", "OnPrem? | nvidia-t4 x 1 | amd64 | Owned? | unhealthy"},
      {"30-microk8s-t4-timesliced",
       "OnPrem? | nvidia-t4 x 1 (shared by 4 each) | amd64 | Owned? | usable"},
      {"31-azure-vm-kubeadm-t4", "Azure? | nvidia-t4 x 1 | amd64 | OnDemand? | usable?"},
      {"33-mig-single-a100-80gb-pcie",
       "OnPrem? | nvidia-a100-80gb x 1? (cut into 7 of 1g.10gb) | amd64? | Owned? | usable?"},
      {"36-rke2-mig-stale-whole-gpu",
       "OnPrem? | nvidia-a100-80gb? x 2 (cut into 6 of 1g.10gb and 4 of 2g.20gb) | amd64? | "
       "Owned? | usable?"},
      {"38-vsphere-vks-a100-vgpu",
       "OnPrem | nvidia-a100 x 1 (a vGPU of profile 10C) | amd64? | Owned | usable?"},
      {"40-k3s-amd-no-capacity", "OnPrem? | amd-67df x - | amd64 | Owned? | unhealthy?"},
      {"42-lambda-8xh100-k3s", "OnPrem? | nvidia-h100-80gb x 8 | amd64? | Owned? | usable"},
      {"43-oci-gb300", "Other | - x - | arm64? | OnDemand? | usable?"},
      {"45-coreweave-h100", "Other | nvidia-h100-80gb x 8 | amd64? | OnDemand? | usable?"},
      {"46-ack-p4-cordoned", "Other | nvidia-p4 x 1 | amd64 | OnDemand? | cordoned"},
      {"47-aks-hci-moc-t4", "OnPrem | nvidia-t4 x 1 | amd64? | Owned | usable"},
      {"48-eks-hybrid-providerid-on-ec2", "AWS | - | - | OnDemand? | usable?"},
      {"52-onprem-a30-mig-replicas-zero",
       "OnPrem? | nvidia-a30 x - (shared into 0 (label nvidia.com/gpu.replicas)) | amd64? | "
       "Owned? | unhealthy"},
  };
  return kExpected;
}

TEST(NodeSigns, AreAsEveryRecordedNodeExpects) {
  size_t seen = 0;
  for (const auto& file : support::TestdataFiles("nodes")) {
    const auto expected = Expected().find(file.stem());
    ASSERT_NE(expected, Expected().end()) << file;
    EXPECT_EQ(Print(SignsOf(support::ReadYamlFile(file))), expected->second) << file;
    ++seen;
  }
  EXPECT_EQ(seen, Expected().size());
}

TEST(NodeSigns, SayWhatAGuessIsFrom) {
  const auto from = [](const char* file, const Sign NodeSigns::* sign) {
    const auto path = support::Testdata(std::string("nodes/") + file);
    return (SignsOf(support::ReadYamlFile(path)).*sign).from;
  };
  EXPECT_EQ(from("01-aks-nd96amsr-a100-v4.yaml", &NodeSigns::provider),
            "the node's name aks-jzndmv4-29195301-vmss000000");
  EXPECT_EQ(from("31-azure-vm-kubeadm-t4.yaml", &NodeSigns::provider),
            "the kernel's version 6.8.0-1021-azure");
  EXPECT_EQ(from("28-onprem-dgx-station-a100.yaml", &NodeSigns::provider), "no sign of a cloud");
  EXPECT_EQ(from("05-aks-spot-preempt-condition.yaml", &NodeSigns::capacity_type),
            "its provider is about to take it back");
  EXPECT_EQ(from("10-eks-p4de-allocatable.yaml", &NodeSigns::arch),
            "what nvidia-a100-80gb mostly comes with");
  EXPECT_EQ(from("17-eks-r6g-8xlarge-karpenter.yaml", &NodeSigns::why), "no condition Ready");
}

TEST(NodeSigns, ProductsOfOneAcceleratorHaveOneName) {
  const struct {
    const char* product;
    int64_t memory;
    const char* type;
  } cases[] = {
      {"NVIDIA-A100-SXM4-80GB", 81920, "nvidia-a100-80gb"},
      {"NVIDIA-A100-80GB-PCIe", 81920, "nvidia-a100-80gb"},
      {"A100-PCIE-40GB", 40960, "nvidia-a100-40gb"},
      {"NVIDIA-A100-80GB-PCIe-MIG-1g.10gb", 0, "nvidia-a100-80gb"},
      {"a100", 40960, "nvidia-a100-40gb"},
      {"a100", 81920, "nvidia-a100-80gb"},
      {"a100", 0, "nvidia-a100"},
      {"NVIDIA-H100-80GB-HBM3", 81559, "nvidia-h100-80gb"},
      {"NVIDIA-H100-PCIe", 81559, "nvidia-h100-80gb"},
      {"NVIDIA-H100-NVL", 95830, "nvidia-h100-nvl"},
      {"nvidia-h100-mega-80gb", 0, "nvidia-h100-80gb"},
      {"H100_NVLINK_80GB", 0, "nvidia-h100-80gb"},
      {"NVIDIA-H200", 143771, "nvidia-h200"},
      {"nvidia-h200-141gb", 0, "nvidia-h200"},
      {"Tesla-T4", 15360, "nvidia-t4"},
      {"Tesla-T4-SHARED", 15360, "nvidia-t4"},
      {"Tesla-V100-SXM2-16GB", 16384, "nvidia-v100-16gb"},
      {"NVIDIA-A10G", 23028, "nvidia-a10g"},
      {"NVIDIA-A10-24Q", 24576, "nvidia-a10"},
      {"NVIDIA-L40S", 46068, "nvidia-l40s"},
      {"NVIDIA-GB200", 189471, "nvidia-gb200"},
      {"NVIDIA-RTX-A6000", 49140, "nvidia-rtx-a6000"},
      {"", 0, ""},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(NvidiaType(one.product, one.memory), one.type) << one.product;
  }
}

// A node of some labels, and of some resources.
json NodeWith(const json& labels, const json& allocatable = json::object()) {
  return {{"metadata", {{"name", "n"}, {"labels", labels}}},
          {"status",
           {{"allocatable", allocatable},
            {"conditions", json::array({{{"type", "Ready"}, {"status", "True"}}})}}}};
}

TEST(NodeSigns, OtherLabelsAndInstanceTypes) {
  const std::string aws = "eks.amazonaws.com/nodegroup";
  const std::string type = "node.kubernetes.io/instance-type";
  const struct {
    const char* what;
    json labels;
    const char* expected;
  } cases[] = {
      {"Graviton5",
       {{aws, "a"}, {type, "m9g.48xlarge"}},
       "AWS | aws-graviton5 | arm64? | OnDemand? | usable"},
      {"an older Graviton2 family",
       {{aws, "a"}, {type, "x2gd.large"}},
       "AWS | aws-graviton2 | arm64? | OnDemand? | usable"},
      {"an Intel of the seventh generation",
       {{aws, "a"}, {type, "m7i.large"}, {"kubernetes.io/arch", "amd64"}},
       "AWS | cpu-amd64 | amd64 | OnDemand? | usable"},
      {"the name of a Graviton in another cloud",
       {{"kubernetes.azure.com/agentpool", "a"}, {type, "m9g.large"}},
       "Azure | cpu | - | OnDemand | usable"},
      {"Cobalt",
       {{"kubernetes.azure.com/agentpool", "a"}, {type, "Standard_D96ps_v6"}},
       "Azure | azure-cobalt100 | arm64? | OnDemand | usable"},
      {"an Intel of Azure's sixth version",
       {{"kubernetes.azure.com/agentpool", "a"}, {type, "Standard_D96ds_v6"}},
       "Azure | cpu | - | OnDemand | usable"},
      {"a capacity block",
       {{"eks.amazonaws.com/capacityType", "CAPACITY_BLOCK"}, {type, "p5.48xlarge"}},
       "AWS | nvidia-h100-80gb x 8 | amd64? | Reserved | usable"},
      {"HyperPod with H200",
       {{"sagemaker.amazonaws.com/cluster-name", "a"}, {type, "ml.p5en.48xlarge"}},
       "AWS | nvidia-h200 x 8 | amd64? | OnDemand? | usable"},
      {"HyperPod that waits for a new node",
       {{"sagemaker.amazonaws.com/node-health-status", "UnschedulablePendingReplacement"}},
       "AWS | - | - | OnDemand? | unhealthy"},
      {"Karpenter's names alone",
       {{"karpenter.k8s.aws/instance-gpu-name", "a100"},
        {"karpenter.k8s.aws/instance-gpu-memory", "81920"},
        {"karpenter.k8s.aws/instance-gpu-count", "8"}},
       "AWS | nvidia-a100-80gb x 8 | amd64? | OnDemand? | usable"},
      {"Trainium",
       {{aws, "a"}, {type, "trn2.48xlarge"}},
       "AWS | aws-trainium2 x 16 | amd64? | OnDemand? | usable"},
      {"Grace Blackwell",
       {{"kubernetes.azure.com/agentpool", "a"}, {type, "Standard_ND128isr_NDR_GB200_v6"}},
       "Azure | nvidia-gb200 x 4 | arm64? | OnDemand | usable"},
      {"Google's first A100",
       {{"cloud.google.com/gke-accelerator", "nvidia-tesla-a100"}, {type, "a2-highgpu-8g"}},
       "GCP | nvidia-a100-40gb x 8 | amd64? | OnDemand? | usable"},
      {"an MI300X",
       {{"amd.com/gpu.product-name", "AMD_Instinct_MI300X_OAM"}, {"kubernetes.io/arch", "amd64"}},
       "OnPrem? | amd-mi300x x - | amd64 | Owned? | unhealthy?"},
      {"a machine of one's own under EKS",
       {{"eks.amazonaws.com/compute-type", "hybrid"}},
       "OnPrem | - | - | Owned | usable"},
      {"a machine of one's own beside AKS",
       {{"kubernetes.azure.com/managed", "false"}},
       "OnPrem | - | - | Owned | usable"},
      {"an interruptible machine",
       {{"cluster.x-k8s.io/interruptible", ""}},
       "OnPrem? | - | - | Spot | usable"},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(Print(SignsOf(NodeWith(one.labels))), one.expected) << one.what;
  }
}

TEST(NodeSigns, AnUninitialisedCloudNodeIsNotGuessedAt) {
  json node = NodeWith({});
  node["spec"]["taints"] = json::array(
      {{{"key", "node.cloudprovider.kubernetes.io/uninitialized"}, {"effect", "NoSchedule"}}});
  EXPECT_EQ(Print(SignsOf(node)), "- | - | - | - | starting");
}

TEST(NodeSigns, ProviderIdsOfMachines) {
  const struct {
    const char* id;
    const char* provider;
  } cases[] = {{"aws:///use1-az4/sagemaker/cluster/hyperpod-x-i-0a", "AWS"},
               {"azure:///subscriptions/s/virtualMachines/a", "Azure"},
               {"eks-hybrid:///us-west-2/main/mi-0a", "OnPrem"},
               {"vsphere://4215", "OnPrem"},
               {"k3s://node", "OnPrem?"},
               {"ocid1.instance.oc1", "Other"}};
  for (const auto& one : cases) {
    json node = NodeWith({});
    node["spec"]["providerID"] = one.id;
    EXPECT_EQ(Print(SignsOf(node).provider), one.provider) << one.id;
  }
}

TEST(NodeSigns, HealthIsJudgedByWhatIsKnownToBeBad) {
  const struct {
    const char* condition;
    const char* status;
    const char* health;
  } cases[] = {{"GPUMissing", "True", "unhealthy"},
               {"GPUMissing", "Unknown", "usable"},
               {"AcceleratedHardwareReady", "False", "unhealthy"},
               {"AcceleratedHardwareReady", "True", "usable"},
               {"PreemptionScheduled", "True", "draining"},
               {"VMEventScheduled", "True", "usable"},  // of another kind than an eviction
               {"SysctlChanged", "True", "usable"},
               {"DiskPressure", "True", "unhealthy"}};
  for (const auto& one : cases) {
    json node = NodeWith({});
    node["status"]["conditions"].push_back({{"type", one.condition}, {"status", one.status}});
    EXPECT_EQ(Name(SignsOf(node).health), one.health) << one.condition << "=" << one.status;
  }
}

TEST(NodeSigns, HealthByTaintsAndTheObjectItself) {
  const struct {
    const char* taint;
    const char* health;
  } cases[] = {{"node.kubernetes.io/out-of-service", "lost"},
               {"node.cloudprovider.kubernetes.io/shutdown", "lost"},
               {"karpenter.sh/unregistered", "starting"},
               {"karpenter.sh/disrupted", "draining"},
               {"aws-node-termination-handler/spot-itn", "draining"},
               {"node.kubernetes.io/unschedulable", "cordoned"},
               {"nvidia.com/gpu", "usable"}};
  for (const auto& one : cases) {
    json node = NodeWith({});
    node["spec"]["taints"] = json::array({{{"key", one.taint}, {"effect", "NoSchedule"}}});
    EXPECT_EQ(Name(SignsOf(node).health), one.health) << one.taint;
  }
  json deleted = NodeWith({});
  deleted["metadata"]["deletionTimestamp"] = "2026-11-24T01:00:00Z";
  EXPECT_EQ(Name(SignsOf(deleted).health), "draining");
}

TEST(NodeSigns, DevicesThatAreThereInPartAreSaidWithNumbers) {
  const NodeSigns signs = SignsOf(
      NodeWith({{"nvidia.com/gpu.product", "NVIDIA-A100-SXM4-80GB"}, {"nvidia.com/gpu.count", "8"}},
               {{"cpu", "96"}, {"nvidia.com/gpu", "7"}}));
  EXPECT_EQ(signs.why.value, "7 of its 8 nvidia.com/gpu can be given to pods");
  EXPECT_EQ(signs.accelerator.whole, 7);
}

TEST(NodeSigns, PartsOfDevicesAreNoWholeOnes) {
  const NodeSigns mixed =
      SignsOf(support::ReadYamlFile(support::Testdata("nodes/36-rke2-mig-stale-whole-gpu.yaml")));
  EXPECT_EQ(mixed.accelerator.whole, 0);
  EXPECT_EQ(mixed.accelerator.part_resource, "nvidia.com/mig-1g.10gb");
  EXPECT_EQ(mixed.accelerator.part_suffix, "mig-1g-10gb");
  const NodeSigns shared =
      SignsOf(support::ReadYamlFile(support::Testdata("nodes/30-microk8s-t4-timesliced.yaml")));
  EXPECT_EQ(shared.accelerator.whole, 0);
  EXPECT_EQ(shared.accelerator.part_suffix, "shared");
}

TEST(NodeSigns, TellControlPlanes) {
  EXPECT_TRUE(SignsOf(NodeWith({{"node-role.kubernetes.io/master", ""}})).control_plane);
  EXPECT_TRUE(SignsOf(NodeWith({{"node.kubernetes.io/microk8s-controlplane", "x"}})).control_plane);
  EXPECT_FALSE(SignsOf(NodeWith({{"node-role.kubernetes.io/worker", ""}})).control_plane);
}

}  // namespace
}  // namespace spillway::controllers
