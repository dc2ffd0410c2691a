#include "controllers/node_proposals.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

#include "controllers/names.h"
#include "placement/words.h"

namespace spillway::controllers {
namespace {

using Labels = kube::TextMap;
using Nodes = std::vector<const DescribedNode*>;

constexpr const char* kInstanceLabel = "node.kubernetes.io/instance-type";
constexpr const char* kProductLabel = "nvidia.com/gpu.product";
constexpr size_t kMostHosts = 64;  // values of a matchExpression

std::string Find(const Labels& labels, const std::string& key) {
  const auto at = labels.find(key);
  return at == labels.end() ? std::string() : at->second;
}

// The label by which whoever made the node tells it from others; empty: there is none.
std::string PoolLabel(const Labels& labels) {
  for (const char* key :
       {"karpenter.sh/nodepool", "karpenter.sh/provisioner-name", "eks.amazonaws.com/nodegroup",
        "sagemaker.amazonaws.com/instance-group-name", "kubernetes.azure.com/agentpool",
        "agentpool", "cloud.google.com/gke-nodepool", "compute.coreweave.com/node-pool",
        "alibabacloud.com/nodepool-id", "vks.vmware.com/nodepool"}) {
    if (!Find(labels, key).empty()) return key;
  }
  return {};
}

// The accelerator as a group would count it: the parts, where nothing is given as a whole.
struct Counted {
  std::string type;
  std::string resource;
  int64_t per_node = 0;  // 0: not said
  auto operator<=>(const Counted&) const = default;
};

Counted CountedOf(const DescribedNode& node) {
  const AcceleratorSigns& signs = node.signs.accelerator;
  Counted out{signs.type.value, signs.resource, 0};
  if (signs.resource.empty()) return out;
  if (!signs.parts.empty()) {
    if (!signs.part_suffix.empty()) out.type += "-" + signs.part_suffix;
    if (!signs.part_resource.empty()) out.resource = signs.part_resource;
    out.per_node = node.details.node.allocatable.Get(out.resource);
  } else if (!signs.count.guess && !signs.count.value.empty()) {
    out.per_node = std::stoll(signs.count.value);
  }
  return out;
}

using KindKey = std::tuple<std::string, Counted, std::string, std::string, std::string>;

KindKey KeyOf(const DescribedNode& node) {
  const Labels& labels = node.details.node.meta.labels;
  const std::string pool = PoolLabel(labels);
  return {node.signs.provider.value, CountedOf(node), node.signs.capacity_type.value, pool,
          Find(labels, pool)};
}

// ---- the selector ----

bool Matches(const DescribedNode& node, const Labels& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& entry) {
    const auto& labels = node.details.node.meta.labels;
    const auto at = labels.find(entry.first);
    return at != labels.end() && at->second == entry.second;
  });
}

// The labels of these keys, if they select these nodes and no others.
Labels Selecting(const std::vector<std::string>& keys, const Nodes& mine,
                 const std::vector<DescribedNode>& all) {
  Labels wanted;
  for (const std::string& key : keys) {
    const auto& labels = mine.front()->details.node.meta.labels;
    const auto at = labels.find(key);
    if (at == labels.end()) return {};
    wanted.insert(*at);
  }
  const bool mine_match =
      std::all_of(mine.begin(), mine.end(), [&](const auto* one) { return Matches(*one, wanted); });
  const auto matched =
      std::count_if(all.begin(), all.end(), [&](const auto& one) { return Matches(one, wanted); });
  return mine_match && matched == std::ssize(mine) ? wanted : Labels();
}

std::string CapacityLabel(const Labels& labels) {
  for (const char* key : {"karpenter.sh/capacity-type", "eks.amazonaws.com/capacityType",
                          "kubernetes.azure.com/priority", "cloud.google.com/gke-provisioning"}) {
    if (labels.contains(key)) return key;
  }
  return {};
}

std::string MatchLabels(const Nodes& mine, const std::vector<DescribedNode>& all) {
  const Labels& labels = mine.front()->details.node.meta.labels;
  const std::string pool = PoolLabel(labels);
  const std::string capacity = CapacityLabel(labels);
  const std::vector<std::vector<std::string>> candidates = {{pool},
                                                            {pool, kInstanceLabel},
                                                            {pool, kProductLabel},
                                                            {pool, capacity},
                                                            {kProductLabel},
                                                            {kInstanceLabel},
                                                            {kInstanceLabel, capacity},
                                                            {kProductLabel, capacity}};
  for (const auto& keys : candidates) {
    const Labels wanted = Selecting(keys, mine, all);
    if (wanted.empty()) continue;
    std::vector<std::string> entries;
    for (const auto& [key, value] : wanted)
      entries.push_back(fmt::format("{}: \"{}\"", key, value));
    return fmt::format("    matchLabels: {{{}}}\n", fmt::join(entries, ", "));
  }
  return {};
}

// Their host names, which no two nodes share; empty: they cannot all be named.
std::string MatchHosts(const Nodes& mine) {
  std::vector<std::string> hosts;
  for (const DescribedNode* node : mine) {
    const std::string host = Find(node->details.node.meta.labels, kHostnameLabel);
    if (host.empty()) return {};
    hosts.push_back('"' + host + '"');
  }
  if (hosts.size() > kMostHosts) return {};
  return fmt::format("    matchExpressions:\n    - {{key: {}, operator: In, values: [{}]}}\n",
                     kHostnameLabel, fmt::join(hosts, ", "));
}

// ---- what stands on all of them ----

bool IsState(const std::string& key) {
  constexpr auto kStates = std::to_array<std::string_view>(
      {"node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "node.cluster.x-k8s.io/",
       "karpenter.sh/", "startup-taint.cluster-autoscaler.kubernetes.io/", "ToBeDeletedBy",
       "DeletionCandidateOf", "aws-node-termination-handler/", "node-role.kubernetes.io/",
       "cloud.google.com/impending-node-termination"});
  return std::any_of(kStates.begin(), kStates.end(),
                     [&](std::string_view prefix) { return key.starts_with(prefix); });
}

std::string Tolerations(const Nodes& mine) {
  std::string out;
  for (const kube::Taint& taint : mine.front()->details.node.taints) {
    if (IsState(taint.key) || taint.effect == "PreferNoSchedule") continue;
    const bool common = std::all_of(mine.begin(), mine.end(), [&](const DescribedNode* node) {
      const auto& taints = node->details.node.taints;
      return std::find(taints.begin(), taints.end(), taint) != taints.end();
    });
    if (!common) continue;
    const std::string value =
        taint.value.empty() ? "operator: Exists" : fmt::format("value: \"{}\"", taint.value);
    out += fmt::format("  - {{key: {}, {}, effect: {}}}\n", taint.key, value, taint.effect);
  }
  return out.empty() ? out : "  tolerations:\n" + out;
}

std::string DomainLabels(const Nodes& mine) {
  std::vector<std::string> keys;
  // Closest first.
  for (const char* key :
       {"nvidia.com/gpu.clique", "topology.kubernetes.azure.com/interconnect-group",
        "topology.k8s.aws/network-node-layer-3", "topology.k8s.aws/network-node-layer-2",
        "topology.k8s.aws/network-node-layer-1", "oci.oraclecloud.com/rdma.local_block_id",
        "oci.oraclecloud.com/rdma.network_block_id", "oci.oraclecloud.com/rdma.hpc_island_id",
        "network.topology.nvidia.com/leaf", "accelerator.topograph.run/domain"}) {
    const bool common = std::all_of(mine.begin(), mine.end(), [&](const DescribedNode* node) {
      return node->details.node.meta.labels.contains(key);
    });
    if (common && keys.size() < 4) keys.emplace_back(key);
  }
  if (keys.empty()) return {};
  return fmt::format("  interconnect: {{domainLabels: [{}]}}\n", fmt::join(keys, ", "));
}

// ---- the group ----

std::string NameOf(const DescribedNode& node, const Counted& counted,
                   std::set<std::string>& taken) {
  std::string provider = node.signs.provider.value;
  std::transform(provider.begin(), provider.end(), provider.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string name =
      counted.type.starts_with(provider + "-") ? counted.type : provider + "-" + counted.type;
  if (node.signs.capacity_type.value == "Spot") name += "-spot";
  std::string unique = name;
  for (int number = 2; !taken.insert(unique).second; ++number) {
    unique = fmt::format("{}-{}", name, number);
  }
  return unique;
}

std::string Manifest(const Proposal& proposal, const Nodes& mine, const Counted& counted,
                     const std::string& selector) {
  const NodeSigns& signs = mine.front()->signs;
  const bool home = signs.provider.value == "OnPrem";
  std::string accelerator = "type: " + counted.type;
  if (!counted.resource.empty()) accelerator += ", resource: " + counted.resource;
  if (counted.per_node > 0) accelerator += fmt::format(", perNode: {}", counted.per_node);
  return fmt::format(
      "apiVersion: spillway.dev/v1alpha1\n"
      "kind: NodeGroup\n"
      "metadata:\n"
      "  name: {}\n"
      "spec:\n"
      "  provider: {}\n"
      "  tier: {}\n"
      "  selector:\n{}"
      "  accelerator: {{{}}}\n"
      "  capacityType: {}\n"
      "{}{}",
      proposal.name, signs.provider.value, home ? 0 : 10, selector, accelerator,
      signs.capacity_type.value, counted.resource.empty() ? "" : DomainLabels(mine),
      Tolerations(mine));
}

// Why nothing can be said of such nodes; empty: it can.
std::string Refusal(const DescribedNode& node) {
  const NodeSigns& signs = node.signs;
  if (signs.provider.value.empty())
    return "where they are is not known yet: " + signs.provider.from;
  if (signs.accelerator.type.value.empty()) return "the objects do not tell what they compute with";
  if (signs.control_plane && signs.accelerator.resource.empty()) {
    return "they are the control plane, without accelerators";
  }
  return {};
}

void AddRemarks(const Nodes& mine, const Counted& counted, Proposal& proposal) {
  const NodeSigns& signs = mine.front()->signs;
  std::vector<std::string> guessed;
  if (signs.provider.guess) guessed.push_back("the provider, from " + signs.provider.from);
  if (signs.accelerator.type.guess) {
    guessed.push_back("the accelerator, from " + signs.accelerator.type.from);
  }
  if (signs.capacity_type.guess && !signs.provider.guess) {
    guessed.push_back("the capacity type, from " + signs.capacity_type.from);
  }
  for (const std::string& one : guessed) proposal.remarks.push_back("guessed: " + one);
  if (!signs.accelerator.parts.empty()) {
    proposal.remarks.push_back(fmt::format(
        "its devices are {}, so that it has a type of its own and nothing that wants whole ones "
        "goes there",
        signs.accelerator.parts));
  }
  if (counted.resource.empty()) proposal.remarks.emplace_back("counted in CPU cores");
  if (signs.control_plane) proposal.remarks.emplace_back("it is a control plane too");
  proposal.remarks.emplace_back(
      "tier and cost are yours to say: spec.tier orders the groups, 0 is home; "
      "spec.cost.perNodeHour is what a node costs an hour, nothing if left out");
}

Proposal ProposalFor(const Nodes& mine, const std::vector<DescribedNode>& all,
                     std::set<std::string>& taken) {
  Proposal out;
  for (const DescribedNode* node : mine) out.nodes.push_back(node->signs.name);
  const DescribedNode& first = *mine.front();
  if (std::string refusal = Refusal(first); !refusal.empty()) {
    out.remarks.push_back("no NodeGroup is proposed: " + refusal);
    return out;
  }
  std::string selector = MatchLabels(mine, all);
  if (selector.empty()) selector = MatchHosts(mine);
  if (selector.empty()) {
    out.remarks.emplace_back(
        "no NodeGroup is proposed: no label tells these nodes from others; give them one");
    return out;
  }
  const Counted counted = CountedOf(first);
  out.name = NameOf(first, counted, taken);
  out.manifest = Manifest(out, mine, counted, selector);
  AddRemarks(mine, counted, out);
  return out;
}

std::string Told(const Sign& sign) {
  if (sign.value.empty()) return sign.from.empty() ? "not told" : "not told: " + sign.from;
  return fmt::format("{} ({}{})", sign.value, sign.guess ? "a guess, from: " : "", sign.from);
}

std::string Told(const AcceleratorSigns& accelerator) {
  if (accelerator.resource.empty()) return Told(accelerator.type);
  std::string text = Told(accelerator.type);
  text +=
      accelerator.count.value.empty() ? ", how many is not told" : ", " + Told(accelerator.count);
  if (!accelerator.parts.empty()) text += ", " + accelerator.parts;
  return text;
}

}  // namespace

std::vector<Proposal> ProposeGroups(const std::vector<DescribedNode>& nodes) {
  std::map<KindKey, Nodes> kinds;
  for (const DescribedNode& node : nodes) kinds[KeyOf(node)].push_back(&node);
  std::vector<Proposal> proposals;
  proposals.reserve(kinds.size());
  std::set<std::string> taken;
  for (const auto& [key, mine] : kinds) proposals.push_back(ProposalFor(mine, nodes, taken));
  return proposals;
}

std::string FormatSigns(const NodeSigns& signs) {
  return fmt::format(
      "# {}\n"
      "#   provider:      {}\n"
      "#   instance type: {}\n"
      "#   accelerator:   {}\n"
      "#   architecture:  {}\n"
      "#   capacity type: {}\n"
      "#   health:        {}: {}{}\n",
      signs.name, Told(signs.provider), Told(signs.instance_type), Told(signs.accelerator),
      Told(signs.arch), Told(signs.capacity_type), Name(signs.health), signs.why.value,
      signs.why.guess ? " (a guess, from: " + signs.why.from + ")" : "");
}

std::string FormatProposal(const Proposal& proposal) {
  std::string text = fmt::format("# {}: {}\n", placement::Count(std::ssize(proposal.nodes), "node"),
                                 placement::Names(proposal.nodes));
  for (const std::string& remark : proposal.remarks) text += "# " + remark + "\n";
  return proposal.manifest.empty() ? text : "---\n" + text + proposal.manifest;
}

}  // namespace spillway::controllers
