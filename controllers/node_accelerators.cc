#include "controllers/node_accelerators.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/whole_number.h"

namespace spillway::controllers {
namespace {

constexpr const char* kNvidia = "nvidia.com/gpu";
constexpr const char* kAmd = "amd.com/gpu";
constexpr const char* kNeuron = "aws.amazon.com/neuron";
constexpr std::array<const char*, 5> kDevices = {kNvidia, kAmd, "habana.ai/gaudi", kNeuron,
                                                 "google.com/tpu"};
constexpr std::string_view kMigPrefix = "nvidia.com/mig-";

// By what the vendors publish: AWS, Azure and Google Cloud, 2026-11.
constexpr auto kInstances = std::to_array<InstanceShape>({
    {"p3.2xlarge", "AWS", "nvidia-v100-16gb", 1},
    {"p3.8xlarge", "AWS", "nvidia-v100-16gb", 4},
    {"p3.16xlarge", "AWS", "nvidia-v100-16gb", 8},
    {"p3dn.24xlarge", "AWS", "nvidia-v100-32gb", 8},
    {"p4d.24xlarge", "AWS", "nvidia-a100-40gb", 8},
    {"p4de.24xlarge", "AWS", "nvidia-a100-80gb", 8},
    {"p5.48xlarge", "AWS", "nvidia-h100-80gb", 8},
    {"p5e.48xlarge", "AWS", "nvidia-h200", 8},
    {"p5en.48xlarge", "AWS", "nvidia-h200", 8},
    {"p6-b200.48xlarge", "AWS", "nvidia-b200", 8},
    {"p6-b300.48xlarge", "AWS", "nvidia-b300", 8},
    {"g4dn.xlarge", "AWS", "nvidia-t4", 1},
    {"g4dn.2xlarge", "AWS", "nvidia-t4", 1},
    {"g4dn.4xlarge", "AWS", "nvidia-t4", 1},
    {"g4dn.8xlarge", "AWS", "nvidia-t4", 1},
    {"g4dn.12xlarge", "AWS", "nvidia-t4", 4},
    {"g4dn.16xlarge", "AWS", "nvidia-t4", 1},
    {"g4dn.metal", "AWS", "nvidia-t4", 8},
    {"g5.xlarge", "AWS", "nvidia-a10g", 1},
    {"g5.2xlarge", "AWS", "nvidia-a10g", 1},
    {"g5.4xlarge", "AWS", "nvidia-a10g", 1},
    {"g5.8xlarge", "AWS", "nvidia-a10g", 1},
    {"g5.12xlarge", "AWS", "nvidia-a10g", 4},
    {"g5.16xlarge", "AWS", "nvidia-a10g", 1},
    {"g5.24xlarge", "AWS", "nvidia-a10g", 4},
    {"g5.48xlarge", "AWS", "nvidia-a10g", 8},
    {"g6.xlarge", "AWS", "nvidia-l4", 1},
    {"g6.2xlarge", "AWS", "nvidia-l4", 1},
    {"g6.4xlarge", "AWS", "nvidia-l4", 1},
    {"g6.8xlarge", "AWS", "nvidia-l4", 1},
    {"g6.12xlarge", "AWS", "nvidia-l4", 4},
    {"g6.16xlarge", "AWS", "nvidia-l4", 1},
    {"g6.24xlarge", "AWS", "nvidia-l4", 4},
    {"g6.48xlarge", "AWS", "nvidia-l4", 8},
    {"g6e.xlarge", "AWS", "nvidia-l40s", 1},
    {"g6e.2xlarge", "AWS", "nvidia-l40s", 1},
    {"g6e.4xlarge", "AWS", "nvidia-l40s", 1},
    {"g6e.8xlarge", "AWS", "nvidia-l40s", 1},
    {"g6e.12xlarge", "AWS", "nvidia-l40s", 4},
    {"g6e.16xlarge", "AWS", "nvidia-l40s", 1},
    {"g6e.24xlarge", "AWS", "nvidia-l40s", 4},
    {"g6e.48xlarge", "AWS", "nvidia-l40s", 8},
    {"trn1.32xlarge", "AWS", "aws-trainium", 16},
    {"trn2.48xlarge", "AWS", "aws-trainium2", 16},
    {"inf2.48xlarge", "AWS", "aws-inferentia2", 12},
    {"Standard_NC6s_v3", "Azure", "nvidia-v100-16gb", 1},
    {"Standard_NC12s_v3", "Azure", "nvidia-v100-16gb", 2},
    {"Standard_NC24s_v3", "Azure", "nvidia-v100-16gb", 4},
    {"Standard_NC24rs_v3", "Azure", "nvidia-v100-16gb", 4},
    {"Standard_NC4as_T4_v3", "Azure", "nvidia-t4", 1},
    {"Standard_NC8as_T4_v3", "Azure", "nvidia-t4", 1},
    {"Standard_NC16as_T4_v3", "Azure", "nvidia-t4", 1},
    {"Standard_NC64as_T4_v3", "Azure", "nvidia-t4", 4},
    {"Standard_NC24ads_A100_v4", "Azure", "nvidia-a100-80gb", 1},
    {"Standard_NC48ads_A100_v4", "Azure", "nvidia-a100-80gb", 2},
    {"Standard_NC96ads_A100_v4", "Azure", "nvidia-a100-80gb", 4},
    {"Standard_ND96asr_v4", "Azure", "nvidia-a100-40gb", 8},
    {"Standard_ND96amsr_A100_v4", "Azure", "nvidia-a100-80gb", 8},
    {"Standard_ND96isr_H100_v5", "Azure", "nvidia-h100-80gb", 8},
    {"Standard_ND96isr_H200_v5", "Azure", "nvidia-h200", 8},
    {"Standard_ND128isr_NDR_GB200_v6", "Azure", "nvidia-gb200", 4},
    {"Standard_ND96isr_MI300X_v5", "Azure", "amd-mi300x", 8},
    {"a2-highgpu-1g", "GCP", "nvidia-a100-40gb", 1},
    {"a2-highgpu-2g", "GCP", "nvidia-a100-40gb", 2},
    {"a2-highgpu-4g", "GCP", "nvidia-a100-40gb", 4},
    {"a2-highgpu-8g", "GCP", "nvidia-a100-40gb", 8},
    {"a2-megagpu-16g", "GCP", "nvidia-a100-40gb", 16},
    {"a2-ultragpu-1g", "GCP", "nvidia-a100-80gb", 1},
    {"a2-ultragpu-2g", "GCP", "nvidia-a100-80gb", 2},
    {"a2-ultragpu-4g", "GCP", "nvidia-a100-80gb", 4},
    {"a2-ultragpu-8g", "GCP", "nvidia-a100-80gb", 8},
    {"a3-highgpu-8g", "GCP", "nvidia-h100-80gb", 8},
    {"g2-standard-4", "GCP", "nvidia-l4", 1},
    {"g2-standard-8", "GCP", "nvidia-l4", 1},
    {"g2-standard-12", "GCP", "nvidia-l4", 1},
    {"g2-standard-16", "GCP", "nvidia-l4", 1},
    {"g2-standard-24", "GCP", "nvidia-l4", 2},
    {"g2-standard-32", "GCP", "nvidia-l4", 1},
    {"g2-standard-48", "GCP", "nvidia-l4", 4},
    {"g2-standard-96", "GCP", "nvidia-l4", 8},
});

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// What is left is a DNS label.
std::string Slug(std::string_view text) {
  std::string out;
  for (const char c : Lower(text)) {
    const bool keep = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (keep) out += c;
    if (!keep && !out.empty() && out.back() != '-') out += '-';
  }
  if (out.size() > 40) out.resize(40);
  while (out.ends_with('-')) out.pop_back();
  return out;
}

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  size_t start = 0;
  while (start <= text.size()) {
    const size_t end = std::min(text.find('-', start), text.size());
    if (end > start) words.emplace_back(text.substr(start, end - start));
    start = end + 1;
  }
  return words;
}

bool IsForm(const std::string& word) {
  // How a device is mounted and fed, and who makes it; two that differ in these only are one type.
  constexpr std::array<std::string_view, 12> kForms = {"nvidia", "tesla",  "grid", "pcie",
                                                       "hbm2",   "hbm2e",  "hbm3", "hbm3e",
                                                       "shared", "nvlink", "mega", "141gb"};
  return word.starts_with("sxm") || std::find(kForms.begin(), kForms.end(), word) != kForms.end();
}

// "10c", "24q": a vGPU's profile.
bool IsProfile(const std::string& word) {
  const size_t digits = word.find_first_not_of("0123456789");
  return digits != std::string::npos && digits > 0 && digits + 1 == word.size() &&
         std::string_view("qcab").find(word.back()) != std::string_view::npos;
}

// Types that are sold with different memory, told by what is no less than it.
std::string MemorySuffix(std::string_view model, int64_t mib) {
  if (mib == 0) return {};
  if (model == "a100") return mib >= 79000 ? "-80gb" : mib > 35000 ? "-40gb" : "";
  if (model == "h100") return mib >= 79000 && mib < 90000 ? "-80gb" : "";
  if (model == "v100") return mib >= 31000 ? "-32gb" : mib > 15000 ? "-16gb" : "";
  return {};
}

Sign CountFrom(const kube::NodeDetails& details, const std::string& label) {
  const std::string text = LabelOr(details, label);
  return WholeNumber(text) ? Sign{text, "label " + label} : Sign{};
}

void ReadNvidiaType(const kube::NodeDetails& details, Sign& type) {
  const std::string product = LabelOr(details, "nvidia.com/gpu.product");
  const bool mig = product.find("-MIG-") != std::string::npos;
  const int64_t memory = WholeNumber(LabelOr(details, "nvidia.com/gpu.memory")).value_or(0);
  if (!product.empty()) {
    type = {NvidiaType(product, mig ? 0 : memory), "label nvidia.com/gpu.product"};
    return;
  }
  for (const char* label : {"cloud.google.com/gke-accelerator", "gpu.nvidia.com/model",
                            "aliyun.accelerator/nvidia_name"}) {
    const std::string name = LabelOr(details, label);
    if (name.empty()) continue;
    // Google's name of the first A100, which had 40 GB.
    const bool first_a100 = name == "nvidia-tesla-a100";
    type = {NvidiaType(name, first_a100 ? 40960 : 0), std::string("label ") + label};
    return;
  }
}

void ReadKarpenterType(const kube::NodeDetails& details, Sign& type) {
  for (const std::string prefix :
       {"karpenter.k8s.aws/instance-", "eks.amazonaws.com/instance-", "karpenter.azure.com/sku-"}) {
    const std::string name = LabelOr(details, prefix + "gpu-name");
    const std::string maker = LabelOr(details, prefix + "gpu-manufacturer");
    if (name.empty() || (!maker.empty() && maker != "nvidia")) continue;
    const int64_t memory = WholeNumber(LabelOr(details, prefix + "gpu-memory")).value_or(0);
    type = {NvidiaType(name, memory), "label " + prefix + "gpu-name"};
    return;
  }
}

void ReadAmdType(const kube::NodeDetails& details, Sign& type) {
  constexpr std::string_view kInKey = "beta.amd.com/gpu.device-id.";
  for (const auto& [key, value] : details.node.meta.labels) {
    if (key == "amd.com/gpu.product-name") {
      std::string name = Slug(value);
      for (const std::string_view drop : {"amd-", "instinct-"}) {
        if (name.starts_with(drop)) name.erase(0, drop.size());
      }
      if (name.ends_with("-oam")) name.resize(name.size() - 4);
      type = {"amd-" + name, "label " + key};
      return;
    }
    if (key.starts_with(kInKey)) type = {"amd-" + Slug(key.substr(kInKey.size())), "label " + key};
    if (key == "amd.com/gpu.device-id") type = {"amd-" + Slug(value), "label " + key};
  }
}

// The generation that AWS' Arm instance types are named by: m9g is Graviton5.
std::string GravitonOf(std::string_view instance) {
  const std::string_view family = instance.substr(0, instance.find('.'));
  for (const std::string_view second : {"x2gd", "t4g", "i4g", "im4gn", "is4gen"}) {
    if (family == second) return "aws-graviton2";
  }
  const size_t digit = family.find_first_of("0123456789");
  if (digit == 0 || digit == std::string_view::npos || digit + 1 >= family.size()) return {};
  const int generation = family[digit] - '0' - 4;
  if (family[digit + 1] != 'g' || generation < 2 || generation > 5) return {};
  return fmt::format("aws-graviton{}", generation);
}

// "Standard_D96ps_v6": the p says that it is an Arm.
bool IsCobalt(std::string_view instance) {
  constexpr std::string_view kStandard = "Standard_";
  if (!instance.starts_with(kStandard) || !instance.ends_with("_v6")) return false;
  const std::string_view size = instance.substr(kStandard.size());
  const size_t letters = size.find_first_not_of("0123456789", size.find_first_of("0123456789"));
  return letters != std::string_view::npos && size[letters] == 'p';
}

void ReadCpu(const kube::NodeDetails& details, NodeSigns& signs) {
  AcceleratorSigns& out = signs.accelerator;
  const std::string& instance = signs.instance_type.value;
  const std::string graviton = signs.provider.value == "AWS" ? GravitonOf(instance) : "";
  if (!graviton.empty() || IsCobalt(instance)) {
    out.type = {graviton.empty() ? "azure-cobalt100" : graviton, signs.instance_type.from};
  } else if (!instance.empty() || details.node.allocatable.Get(kCpu) > 0) {
    out.type = {signs.arch.value.empty() ? "cpu" : "cpu-" + signs.arch.value,
                "no accelerator is shown"};
  } else {
    return;
  }
  const int64_t cores = details.node.allocatable.Get(kCpu) / 1000;
  if (cores == 0) return;
  out.count = {std::to_string(cores), "status.allocatable"};
  out.whole = cores;
}

// ---- devices that are not given as a whole ----

std::string Joined(const std::vector<std::string>& parts) {
  return fmt::format("{}", fmt::join(parts, " and "));
}

// Slices that pods can ask for one by one (MIG, strategy mixed). The whole devices that the node
// may show beside them are stale: no pod gets one.
bool ReadMixedSlices(const kube::NodeDetails& details, AcceleratorSigns& out) {
  std::vector<std::string> parts;
  int64_t most = 0;
  bool large = false;  // a slice of a device of 80 GB
  for (const auto& [name, amount] : details.node.allocatable) {
    if (!name.starts_with(kMigPrefix) || amount == 0) continue;
    const std::string profile = name.substr(kMigPrefix.size());
    parts.push_back(fmt::format("{} of {}", amount, profile));
    large = large || profile.starts_with("1g.10gb") || profile.starts_with("2g.20gb");
    if (amount <= most) continue;
    most = amount;
    out.part_resource = name;
    out.part_suffix = "mig-" + Slug(profile);
  }
  if (parts.empty()) return false;
  out.parts = "cut into " + Joined(parts);
  if (out.type.value.empty() && large) {
    out.type = {"nvidia-a100-80gb", "the size of its slices; an H100 of 80 GB has the same", true};
  }
  return true;
}

// The product is that of a slice (MIG, strategy single), and so are the counts.
bool ReadSingleSlices(const std::string& product, AcceleratorSigns& out) {
  const size_t mig = product.find("-MIG-");
  if (mig == std::string::npos) return false;
  const std::string profile = product.substr(mig + 5);
  const auto slices = WholeNumber(out.count.value);
  out.parts = slices ? fmt::format("cut into {} of {}", *slices, profile) : "cut into " + profile;
  out.part_suffix = "mig-" + Slug(profile);
  // "1g.10gb": a device has seven such parts.
  const auto sevenths = WholeNumber(profile.substr(0, profile.find('g')));
  if (!slices || !sevenths || *sevenths < 1) return true;
  out.count = {std::to_string((*slices * *sevenths + 6) / 7),
               "the number of its slices, of which a device has up to seven", true};
  return true;
}

bool ReadShares(const kube::NodeDetails& details, AcceleratorSigns& out) {
  const auto replicas = WholeNumber(LabelOr(details, "nvidia.com/gpu.replicas"));
  const bool named = LabelOr(details, "nvidia.com/gpu.product").ends_with("-SHARED");
  if (!named && (!replicas || *replicas == 1)) return false;
  if (replicas == 0) {
    out.parts = "shared into 0 (label nvidia.com/gpu.replicas)";
  } else {
    out.parts = replicas ? fmt::format("shared by {} each", *replicas) : "shared";
    out.part_suffix = "shared";
  }
  return true;
}

bool ReadVirtual(const std::string& product, AcceleratorSigns& out) {
  const auto words = Words(Lower(product));
  if (words.empty() || !IsProfile(words.back())) return false;
  out.parts = fmt::format("a vGPU of profile {}", product.substr(product.rfind('-') + 1));
  out.part_suffix = "vgpu-" + words.back();
  return true;
}

bool ReadParts(const kube::NodeDetails& details, AcceleratorSigns& out) {
  const std::string product = LabelOr(details, "nvidia.com/gpu.product");
  return ReadMixedSlices(details, out) || ReadSingleSlices(product, out) ||
         ReadShares(details, out) || ReadVirtual(product, out);
}

void ReadCount(const kube::NodeDetails& details, const NodeSigns& signs, AcceleratorSigns& out) {
  for (const char* label :
       {"nvidia.com/gpu.count", "gpu.nvidia.com/count", "aliyun.accelerator/nvidia_count",
        "karpenter.k8s.aws/instance-gpu-count", "eks.amazonaws.com/instance-gpu-count",
        "karpenter.azure.com/sku-gpu-count"}) {
    out.count = CountFrom(details, label);
    if (!out.count.value.empty()) return;
  }
  const int64_t shown =
      std::max(details.capacity.Get(out.resource), details.node.allocatable.Get(out.resource));
  if (shown > 0) {
    out.count = {std::to_string(shown),
                 details.capacity.Get(out.resource) > 0 ? "status.capacity" : "status.allocatable"};
    return;
  }
  if (const InstanceShape* shape = FindInstance(signs.instance_type.value)) {
    out.count = {std::to_string(shape->count), signs.instance_type.from};
  }
}

std::string ResourceOf(std::string_view type) {
  if (type.starts_with("amd-")) return kAmd;
  if (type.starts_with("aws-")) return kNeuron;
  return kNvidia;
}

}  // namespace

std::string LabelOr(const kube::NodeDetails& details, const std::string& key) {
  const auto at = details.node.meta.labels.find(key);
  return at == details.node.meta.labels.end() ? std::string() : at->second;
}

const char* DeviceResource(const Resources& amounts) {
  const auto* const at = std::find_if(kDevices.begin(), kDevices.end(),
                                      [&](const char* one) { return amounts.Get(one) > 0; });
  if (at != kDevices.end()) return *at;
  const bool slices = std::any_of(amounts.begin(), amounts.end(), [](const auto& entry) {
    return entry.first.starts_with(kMigPrefix);
  });
  return slices ? kNvidia : nullptr;
}

const InstanceShape* FindInstance(std::string_view name) {
  const auto* const at = std::find_if(kInstances.begin(), kInstances.end(),
                                      [&](const auto& one) { return one.name == name; });
  return at == kInstances.end() ? nullptr : at;
}

std::string NvidiaType(std::string_view product, int64_t memory_mib) {
  std::string name = Lower(product);
  std::replace(name.begin(), name.end(), '_', '-');
  if (const size_t mig = name.find("-mig-"); mig != std::string::npos) name.resize(mig);
  std::vector<std::string> kept;
  const auto words = Words(name);
  for (const std::string& word : words) {
    const bool profile = IsProfile(word) && &word == &words.back() && words.size() > 1;
    if (!IsForm(word) && !profile) kept.push_back(word);
  }
  if (kept.empty()) return {};
  const bool sized = kept.size() > 1;
  std::string type = Slug(fmt::format("{}", fmt::join(kept, "-")));
  if (!sized) type += MemorySuffix(kept.front(), memory_mib);
  return "nvidia-" + type;
}

void ReadAccelerators(const kube::NodeDetails& details, NodeSigns& signs) {
  AcceleratorSigns& out = signs.accelerator;
  ReadNvidiaType(details, out.type);
  const InstanceShape* shape = FindInstance(signs.instance_type.value);
  if (out.type.value.empty() && shape != nullptr) {
    out.type = {std::string(shape->accelerator), signs.instance_type.from};
  }
  if (out.type.value.empty()) ReadKarpenterType(details, out.type);
  if (out.type.value.empty()) ReadAmdType(details, out.type);
  const char* resource = DeviceResource(details.node.allocatable);
  if (resource == nullptr) resource = DeviceResource(details.capacity);
  const bool in_domain = !LabelOr(details, "nvidia.com/gpu.clique").empty();
  if (out.type.value.empty() && resource == nullptr && !in_domain) return ReadCpu(details, signs);
  out.resource = resource != nullptr ? resource : ResourceOf(out.type.value);
  ReadCount(details, signs, out);
  const bool parted = out.resource == kNvidia && ReadParts(details, out);
  if (parted) {
    out.whole = 0;
  } else if (!details.node.allocatable.empty()) {
    out.whole = details.node.allocatable.Get(out.resource);
  }
}

}  // namespace spillway::controllers
