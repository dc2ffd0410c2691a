#include "controllers/node_signs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "controllers/node_accelerators.h"

namespace spillway::controllers {
namespace {

using kube::NodeDetails;

// What something begins with, and what that means.
struct Meaning {
  std::string_view sign;
  std::string_view value;
};

bool HasTaint(const NodeDetails& details, std::string_view key, std::string_view value = {}) {
  const auto& taints = details.node.taints;
  return std::any_of(taints.begin(), taints.end(), [&](const kube::Taint& one) {
    return one.key == key && (value.empty() || one.value == value);
  });
}

std::string StatusOf(const NodeDetails& details, std::string_view condition) {
  for (const auto& one : details.node.conditions) {
    if (one.type == condition) return one.status;
  }
  return {};
}

bool Evicted(const NodeDetails& details) {
  if (StatusOf(details, "PreemptionScheduled") == "True") return true;
  const auto message = details.condition_messages.find("VMEventScheduled");
  return StatusOf(details, "VMEventScheduled") == "True" &&
         message != details.condition_messages.end() && message->second.starts_with("Preempt");
}

// ---- provider ----

std::optional<Sign> ProviderByHybrid(const NodeDetails& details) {
  constexpr std::string_view kHybrid = "eks-hybrid://";
  if (details.provider_id.starts_with(kHybrid)) {
    const std::string machine = details.provider_id.substr(details.provider_id.rfind('/') + 1);
    if (machine.starts_with("i-")) {
      return Sign{"AWS", "providerID eks-hybrid:// of an EC2 instance (" + machine + ")"};
    }
    return Sign{"OnPrem", "providerID eks-hybrid://"};
  }
  if (LabelOr(details, "eks.amazonaws.com/compute-type") == "hybrid") {
    return Sign{"OnPrem", "label eks.amazonaws.com/compute-type"};
  }
  if (LabelOr(details, "kubernetes.azure.com/managed") == "false") {
    return Sign{"OnPrem", "label kubernetes.azure.com/managed"};
  }
  return std::nullopt;
}

std::optional<Sign> ProviderById(const NodeDetails& details) {
  // Not those of k3s, RKE2 and OpenStack, which also run on machines that are hired.
  constexpr auto kSchemes = std::to_array<Meaning>({{"aws://", "AWS"},
                                                    {"azure://", "Azure"},
                                                    {"gce://", "GCP"},
                                                    {"vsphere://", "OnPrem"},
                                                    {"metal3://", "OnPrem"},
                                                    {"tinkerbell://", "OnPrem"},
                                                    {"baremetalhost://", "OnPrem"},
                                                    {"moc://", "OnPrem"},
                                                    {"oci://", "Other"},
                                                    {"ocid1.", "Other"}});
  for (const Meaning& one : kSchemes) {
    if (!details.provider_id.starts_with(one.sign)) continue;
    return Sign{std::string(one.value), "providerID " + std::string(one.sign)};
  }
  return std::nullopt;
}

std::optional<Sign> ProviderByLabel(const NodeDetails& details) {
  constexpr auto kLabels = std::to_array<Meaning>({{"eks.amazonaws.com/", "AWS"},
                                                   {"karpenter.k8s.aws/", "AWS"},
                                                   {"sagemaker.amazonaws.com/", "AWS"},
                                                   {"k8s.io/cloud-provider-aws", "AWS"},
                                                   {"kubernetes.azure.com/", "Azure"},
                                                   {"karpenter.azure.com/", "Azure"},
                                                   {"cloud.google.com/gke-", "GCP"},
                                                   {"compute.coreweave.com/", "Other"},
                                                   {"gpu.coreweave.cloud/", "Other"},
                                                   {"oci.oraclecloud.com/", "Other"},
                                                   {"alibabacloud.com/", "Other"},
                                                   {"ack.aliyun.com", "Other"},
                                                   {"vks.vmware.com/", "OnPrem"}});
  for (const Meaning& one : kLabels) {
    for (const auto& [key, value] : details.node.meta.labels) {
      if (key.starts_with(one.sign)) return Sign{std::string(one.value), "label " + key};
    }
  }
  for (const auto& [name, amount] : details.node.allocatable) {
    if (name.starts_with("vpc.amazonaws.com/")) return Sign{"AWS", "resource " + name};
  }
  return std::nullopt;
}

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

Sign GuessProvider(const NodeDetails& details, const Sign& instance) {
  if (const InstanceShape* shape = FindInstance(instance.value)) {
    return {std::string(shape->provider), instance.from, true};
  }
  constexpr auto kKubelets = std::to_array<Meaning>({{"-eks-", "AWS"},
                                                     {"-gke.", "GCP"},
                                                     {"-aliyun", "Other"},
                                                     {"+k3s", "OnPrem"},
                                                     {"+rke2", "OnPrem"}});
  for (const Meaning& one : kKubelets) {
    if (Contains(details.kubelet, one.sign)) {
      return {std::string(one.value), "the kubelet's version " + details.kubelet, true};
    }
  }
  const std::string& name = details.node.meta.name;
  if (name.starts_with("aks-")) return {"Azure", "the node's name " + name, true};
  if (name.starts_with("gke-")) return {"GCP", "the node's name " + name, true};
  if (!StatusOf(details, "VMEventScheduled").empty()) {
    return {"Azure", "condition VMEventScheduled", true};
  }
  constexpr auto kKernels = std::to_array<Meaning>(
      {{"-azure", "Azure"}, {"-aws", "AWS"}, {".amzn", "AWS"}, {"-gcp", "GCP"}});
  for (const Meaning& one : kKernels) {
    if (Contains(details.kernel, one.sign)) {
      return {std::string(one.value), "the kernel's version " + details.kernel, true};
    }
  }
  return {"OnPrem", "no sign of a cloud", true};
}

Sign ReadProvider(const NodeDetails& details, const Sign& instance) {
  if (auto known = ProviderByHybrid(details)) return *known;
  if (auto known = ProviderById(details)) return *known;
  if (auto known = ProviderByLabel(details)) return *known;
  if (HasTaint(details, "node.cloudprovider.kubernetes.io/uninitialized")) {
    return {"",
            "its cloud has not spoken yet (taint node.cloudprovider.kubernetes.io/uninitialized)"};
  }
  return GuessProvider(details, instance);
}

// ---- the machine ----

Sign ReadInstanceType(const NodeDetails& details) {
  for (const char* label : {"node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type",
                            "karpenter.azure.com/sku-name", "nvidia.com/gpu.machine"}) {
    std::string value = LabelOr(details, label);
    if (value.starts_with("ml.")) value.erase(0, 3);
    const bool distribution = value == "k3s" || value == "rke2";
    const bool machine = std::string_view(label) == "nvidia.com/gpu.machine";
    // The machine's own name is a type only where a cloud gave it.
    if (value.empty() || distribution || (machine && FindInstance(value) == nullptr)) continue;
    return {value, std::string("label ") + label};
  }
  // Karpenter's labels have the parts of it.
  for (const std::string prefix : {"karpenter.k8s.aws/instance-", "eks.amazonaws.com/instance-"}) {
    const std::string family = LabelOr(details, prefix + "family");
    const std::string size = LabelOr(details, prefix + "size");
    if (!family.empty() && !size.empty()) {
      return {fmt::format("{}.{}", family, size), fmt::format("labels {}family and -size", prefix)};
    }
  }
  return {};
}

Sign ReadArch(const NodeDetails& details) {
  for (const char* label : {"kubernetes.io/arch", "beta.kubernetes.io/arch"}) {
    if (const std::string arch = LabelOr(details, label); !arch.empty()) {
      return {arch, std::string("label ") + label};
    }
  }
  if (!details.architecture.empty()) return {details.architecture, "status.nodeInfo.architecture"};
  if (Contains(details.kernel, "x86_64")) return {"amd64", "the kernel's version"};
  if (Contains(details.kernel, "aarch64")) return {"arm64", "the kernel's version"};
  return {};
}

// By what such accelerators are put into.
Sign GuessArch(const NodeDetails& details, const std::string& type) {
  for (const std::string_view arm : {"nvidia-gb", "nvidia-gh", "aws-graviton", "azure-cobalt"}) {
    if (type.starts_with(arm)) return {"arm64", "what " + type + " comes with", true};
  }
  if (!LabelOr(details, "nvidia.com/gpu.clique").empty()) {
    return {"arm64", "label nvidia.com/gpu.clique: racks with such domains have Grace CPUs", true};
  }
  if (type.empty() || type.starts_with("cpu")) return {};
  return {"amd64", "what " + type + " mostly comes with", true};
}

// ---- capacity type ----

struct CapacityWord {
  const char* label;
  std::string_view word;  // empty: any
  const char* value;
};

std::optional<Sign> CapacityByLabel(const NodeDetails& details) {
  constexpr auto kWords =
      std::to_array<CapacityWord>({{"karpenter.sh/capacity-type", "spot", "Spot"},
                                   {"karpenter.sh/capacity-type", "on-demand", "OnDemand"},
                                   {"karpenter.sh/capacity-type", "reserved", "Reserved"},
                                   {"eks.amazonaws.com/capacityType", "SPOT", "Spot"},
                                   {"eks.amazonaws.com/capacityType", "ON_DEMAND", "OnDemand"},
                                   {"eks.amazonaws.com/capacityType", "CAPACITY_BLOCK", "Reserved"},
                                   {"kubernetes.azure.com/priority", "spot", "Spot"},
                                   {"kubernetes.azure.com/priority", "regular", "OnDemand"},
                                   {"kubernetes.azure.com/scalesetpriority", "spot", "Spot"},
                                   {"cloud.google.com/gke-provisioning", "spot", "Spot"},
                                   {"cloud.google.com/gke-provisioning", "preemptible", "Spot"},
                                   {"cloud.google.com/gke-provisioning", "standard", "OnDemand"},
                                   {"cloud.google.com/gke-spot", "true", "Spot"},
                                   {"cloud.google.com/gke-preemptible", "true", "Spot"},
                                   {"cluster.x-k8s.io/interruptible", "", "Spot"}});
  const auto& labels = details.node.meta.labels;
  for (const CapacityWord& one : kWords) {
    const auto at = labels.find(one.label);
    if (at != labels.end() && (one.word.empty() || at->second == one.word)) {
      return Sign{one.value, std::string("label ") + one.label};
    }
  }
  if (HasTaint(details, "kubernetes.azure.com/scalesetpriority", "spot")) {
    return Sign{"Spot", "taint kubernetes.azure.com/scalesetpriority"};
  }
  return std::nullopt;
}

Sign ReadCapacityType(const NodeDetails& details, const Sign& provider) {
  if (auto known = CapacityByLabel(details)) return *known;
  if (Evicted(details)) return {"Spot", "its provider is about to take it back", true};
  if (provider.value.empty()) return {};
  if (provider.value == "OnPrem") {
    return {"Owned", "provider OnPrem", provider.guess};
  }
  // AKS marks Spot nodes, and only those on some versions.
  if (provider.from.starts_with("label kubernetes.azure.com/") ||
      !LabelOr(details, "kubernetes.azure.com/agentpool").empty()) {
    return {"OnDemand", "AKS labels that do not say spot"};
  }
  return {"OnDemand", "nothing says spot or reserved", true};
}

// ---- health ----

constexpr auto kGone = std::to_array<std::string_view>(
    {"node.kubernetes.io/out-of-service", "node.cloudprovider.kubernetes.io/shutdown"});
constexpr auto kStarting = std::to_array<std::string_view>(
    {"karpenter.sh/unregistered", "node.cloudprovider.kubernetes.io/uninitialized",
     "node.cluster.x-k8s.io/uninitialized"});
constexpr auto kLeaving = std::to_array<std::string_view>(
    {"karpenter.sh/disrupted", "ToBeDeletedByClusterAutoscaler",
     "aws-node-termination-handler/spot-itn", "cloud.google.com/impending-node-termination"});

// Conditions that tell of a fault by this status. Only these: healthy nodes carry others that are
// True, and the reason of a condition may say the opposite of its status.
struct BadCondition {
  std::string_view type;
  std::string_view status;
};
constexpr auto kBad = std::to_array<BadCondition>({{"MemoryPressure", "True"},
                                                   {"DiskPressure", "True"},
                                                   {"PIDPressure", "True"},
                                                   {"NetworkUnavailable", "True"},
                                                   {"KernelDeadlock", "True"},
                                                   {"ReadonlyFilesystem", "True"},
                                                   {"AcceleratedHardwareReady", "False"},
                                                   {"NetworkingReady", "False"},
                                                   {"StorageReady", "False"},
                                                   {"KernelReady", "False"},
                                                   {"ContainerRuntimeReady", "False"},
                                                   {"GPUMissing", "True"},
                                                   {"NVLinkStatusInactive", "True"},
                                                   {"XIDErrors", "True"},
                                                   {"IBLinkFlapping", "True"},
                                                   {"UnhealthyNvidiaDevicePlugin", "True"},
                                                   {"NvidiaXidError", "True"}});

using Found = std::optional<std::pair<NodeHealth, Sign>>;

template <size_t N>
std::string_view TaintAmong(const NodeDetails& details,
                            const std::array<std::string_view, N>& keys) {
  for (const std::string_view key : keys) {
    if (HasTaint(details, key)) return key;
  }
  return {};
}

Found HealthByTaint(const NodeDetails& details) {
  const auto by_taint = [](NodeHealth health, std::string_view key) {
    return std::make_pair(health, Sign{"it has the taint " + std::string(key), "its taints"});
  };
  if (const auto key = TaintAmong(details, kGone); !key.empty()) {
    return by_taint(NodeHealth::kLost, key);
  }
  if (const auto key = TaintAmong(details, kStarting); !key.empty()) {
    return by_taint(NodeHealth::kStarting, key);
  }
  const std::string ready = StatusOf(details, "Ready");
  if (!ready.empty() && ready != "True") {
    return std::make_pair(NodeHealth::kNotReady,
                          Sign{"its condition Ready is " + ready, "condition Ready"});
  }
  if (details.node.meta.deleted) {
    return std::make_pair(NodeHealth::kDraining, Sign{"it is being deleted", "its metadata"});
  }
  if (Evicted(details)) {
    return std::make_pair(NodeHealth::kDraining,
                          Sign{"its provider is about to take it back", "its conditions"});
  }
  if (const auto key = TaintAmong(details, kLeaving); !key.empty()) {
    return by_taint(NodeHealth::kDraining, key);
  }
  return std::nullopt;
}

Found HealthByCondition(const NodeDetails& details) {
  for (const BadCondition& bad : kBad) {
    if (StatusOf(details, bad.type) != bad.status) continue;
    return std::make_pair(
        NodeHealth::kUnhealthy,
        Sign{fmt::format("its condition {} is {}", bad.type, bad.status), "its conditions"});
  }
  const std::string hyperpod = LabelOr(details, "sagemaker.amazonaws.com/node-health-status");
  if (!hyperpod.empty() && hyperpod != "Schedulable") {
    return std::make_pair(NodeHealth::kUnhealthy,
                          Sign{"HyperPod says that it is " + hyperpod,
                               "label sagemaker.amazonaws.com/node-health-status"});
  }
  return std::nullopt;
}

// Devices that labels tell of and that pods cannot be given.
Found HealthByDevices(const NodeDetails& details, const AcceleratorSigns& accelerator) {
  const std::string& resource = accelerator.resource;
  const auto unhealthy = [](std::string sentence, const char* from, bool guess) {
    return std::make_pair(NodeHealth::kUnhealthy, Sign{std::move(sentence), from, guess});
  };
  if (resource.empty()) return std::nullopt;
  if (accelerator.parts.ends_with("(label nvidia.com/gpu.replicas)")) {
    return unhealthy("its devices are shared into 0 parts, so that no pod is given any",
                     "its labels", false);
  }
  if (details.node.allocatable.empty()) {
    const bool counted = !accelerator.count.value.empty() || accelerator.type.value.empty();
    if (counted) return std::nullopt;
    return unhealthy(
        fmt::format("its labels name {}, but no {} is shown", accelerator.type.value, resource),
        "its labels", true);
  }
  if (!accelerator.parts.empty()) return std::nullopt;
  const int64_t there = details.node.allocatable.Get(resource);
  const int64_t wanted = accelerator.count.value.empty() ? 1 : std::stoll(accelerator.count.value);
  if (there >= wanted) return std::nullopt;
  return unhealthy(fmt::format("{} of its {} {} can be given to pods", there, wanted, resource),
                   "status.allocatable", false);
}

void ReadHealth(const NodeDetails& details, NodeSigns& signs) {
  Found found = HealthByTaint(details);
  if (!found) found = HealthByCondition(details);
  const bool cordoned =
      details.node.unschedulable || HasTaint(details, "node.kubernetes.io/unschedulable");
  if (!found && cordoned) {
    found = std::make_pair(NodeHealth::kCordoned, Sign{"it is cordoned", "spec.unschedulable"});
  }
  if (!found) found = HealthByDevices(details, signs.accelerator);
  if (found) {
    std::tie(signs.health, signs.why) = *found;
    return;
  }
  const bool told = !StatusOf(details, "Ready").empty();
  signs.why = told ? Sign{"it is Ready", "condition Ready"}
                   : Sign{"nothing says otherwise", "no condition Ready", true};
}

bool IsControlPlane(const NodeDetails& details) {
  const auto& labels = details.node.meta.labels;
  return labels.contains("node-role.kubernetes.io/control-plane") ||
         labels.contains("node-role.kubernetes.io/master") ||
         labels.contains("node.kubernetes.io/microk8s-controlplane");
}

}  // namespace

std::string_view Name(NodeHealth health) {
  constexpr std::array<std::string_view, 7> kNames = {
      "usable", "starting", "cordoned", "draining", "unhealthy", "not ready", "lost"};
  return kNames.at(static_cast<size_t>(health));
}

NodeSigns ReadSigns(const NodeDetails& details) {
  NodeSigns signs;
  signs.name = details.node.meta.name;
  signs.instance_type = ReadInstanceType(details);
  signs.provider = ReadProvider(details, signs.instance_type);
  signs.arch = ReadArch(details);
  ReadAccelerators(details, signs);
  if (signs.arch.value.empty()) signs.arch = GuessArch(details, signs.accelerator.type.value);
  signs.capacity_type = ReadCapacityType(details, signs.provider);
  ReadHealth(details, signs);
  signs.control_plane = IsControlPlane(details);
  return signs;
}

}  // namespace spillway::controllers
