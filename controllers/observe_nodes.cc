#include "controllers/observe_nodes.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "controllers/names.h"

namespace spillway::controllers {
namespace {

// Taints of provisioners that are about to take the node away.
constexpr std::array<const char*, 2> kDrainingTaints = {"karpenter.sh/disrupted",
                                                        "ToBeDeletedByClusterAutoscaler"};
// Taints that say that the machine is gone, by an admin or by its provider.
constexpr std::array<const char*, 2> kGoneTaints = {"node.kubernetes.io/out-of-service",
                                                    "node.cloudprovider.kubernetes.io/shutdown"};
// Taints that whoever made the node takes away when it is ready for use.
constexpr std::array<const char*, 3> kStartupTaints = {
    "karpenter.sh/unregistered", "node.cloudprovider.kubernetes.io/uninitialized",
    "node.cluster.x-k8s.io/uninitialized"};
constexpr const char* kStartupTaintPrefix = "startup-taint.cluster-autoscaler.kubernetes.io/";
// Taints that mirror the node's own state, which is looked at directly.
constexpr std::array<const char*, 3> kStateTaints = {"node.kubernetes.io/not-ready",
                                                     "node.kubernetes.io/unreachable",
                                                     "node.kubernetes.io/unschedulable"};

template <size_t N>
bool Among(const std::array<const char*, N>& list, const std::string& key) {
  return std::find(list.begin(), list.end(), key) != list.end();
}

void ObserveTaints(const kube::Node& node, placement::Node& out) {
  for (const kube::Taint& taint : node.taints) {
    if (Among(kGoneTaints, taint.key)) {
      out.out_of_service = true;
    } else if (Among(kStartupTaints, taint.key) || taint.key.starts_with(kStartupTaintPrefix)) {
      out.starting = true;
    } else if (!Among(kStateTaints, taint.key)) {
      out.taints.push_back({taint.key, taint.value, taint.effect});
    }
    if (Among(kDrainingTaints, taint.key)) out.draining = true;
  }
}

// A kubelet says NotReady when it registers its node, and keeps the time at which it said so.
constexpr Seconds kRegistering{5};

// Has it never been Ready? It is one that comes, not one that broke.
bool IsNew(const placement::Node& node) {
  if (node.ready || !node.not_ready_since) return false;
  const Seconds apart = *node.not_ready_since - node.created;
  return apart <= kRegistering && -apart <= kRegistering;
}

// Whatever is still to be undone of what we did to the node is a hold. One that somebody has
// uncordoned, or that does not say since when, is not held for any time.
std::optional<Time> HeldSince(const kube::Node& node, Time now) {
  const auto& annotations = node.meta.annotations;
  const auto held = annotations.find(kLeavingAnnotation);
  const bool ours = held != annotations.end() || annotations.contains(kMachineAnnotation);
  if (!ours) return std::nullopt;
  if (!node.unschedulable || held == annotations.end()) return now;
  const auto since = ParseTime(held->second);
  return since ? *since : now;
}

placement::Node ObserveNode(const kube::Node& node, Time now) {
  placement::Node out;
  out.id = {"", node.meta.name};
  out.labels = node.meta.labels;
  out.allocatable = node.allocatable;
  out.created = node.meta.created;
  out.held_since = HeldSince(node, now);
  out.cordoned = node.unschedulable && !out.held_since;
  out.draining = node.meta.deleted.has_value();
  out.ready = false;
  out.not_ready_since = node.meta.created;
  for (const kube::NodeCondition& condition : node.conditions) {
    out.conditions[condition.type] = condition.status;
    if (condition.type != "Ready") continue;
    out.ready = condition.status == "True";
    out.not_ready_since = out.ready ? std::optional<Time>() : condition.changed;
  }
  ObserveTaints(node, out);
  if (IsNew(out)) out.starting = true;
  return out;
}

// What pods of others take. Both are in the order of names.
void ObserveOthers(const std::vector<OthersOnNode>& others, std::vector<placement::Node>& nodes) {
  auto next = others.begin();
  for (placement::Node& node : nodes) {
    while (next != others.end() && next->node.Get() < node.id.name) ++next;
    const bool any = next != others.end() && next->node.Get() == node.id.name;
    node.used = any ? next->requests : Resources();
    node.other_pods = any ? next->staying : 0;
  }
}

void ObserveOwn(const World& world, const Families& families, placement::Sharing& sharing,
                std::vector<placement::Node>& nodes) {
  std::unordered_multimap<std::string_view, size_t> by_node;
  by_node.reserve(world.pods.size());
  for (size_t i = 0; i < world.pods.size(); ++i) {
    if (world.pods[i]->UsesNode()) by_node.emplace(world.pods[i]->node, i);
  }
  for (placement::Node& node : nodes) {
    const auto [first, last] = by_node.equal_range(node.id.name);
    for (auto at = first; at != last; ++at) {
      const kube::Pod& pod = *world.pods[at->second];
      node.used.Add(pod.requests);
      // A pool that is on its way out has none any more.
      const kube::ObjectMeta* owner = families.OwnerOf(at->second);
      const bool other = owner == nullptr || owner->deleted;
      if (other && !pod.ComesWithNode()) ++node.other_pods;
    }
    if (first != last) sharing.Share(node.used);
  }
}

// As many texts as nodes that are no more may still be known of, beside those of the nodes there
// are.
constexpr size_t kFewNodes = 1000;

}  // namespace

void NodeObserver::Observe(const World& world, const Families& families, Time now,
                           placement::Sharing& sharing, std::vector<placement::Node>& nodes) {
  if (!HaveSameNames(world.nodes)) Arrange(world.nodes, nodes);
  for (size_t i = 0; i < nodes.size(); ++i) {
    // What is held may be so since now, whenever that is.
    if (objects_[i] == world.nodes[i] && !nodes[i].held_since) continue;
    Renew(*world.nodes[i], now, nodes[i]);
    objects_[i] = world.nodes[i];
  }
  if (shared_ > 2 * nodes.size() + kFewNodes) ShareAnew(nodes);
  ObserveOthers(world.others, nodes);
  ObserveOwn(world, families, sharing, nodes);
}

// As mostly.
bool NodeObserver::HaveSameNames(const Objects& objects) const {
  return std::ranges::equal(objects_, objects, [](const auto& before, const auto& now) {
    return before == now || before->meta.name == now->meta.name;
  });
}

// Nodes come and go: each that stays is moved to its place, a new one has none of before. Both are
// in the order of names.
void NodeObserver::Arrange(const Objects& objects, std::vector<placement::Node>& nodes) {
  std::vector<placement::Node> arranged(objects.size());
  Objects of(objects.size());
  size_t before = 0;
  for (size_t i = 0; i < objects.size(); ++i) {
    const std::string& name = objects[i]->meta.name;
    while (before < objects_.size() && objects_[before]->meta.name < name) ++before;
    if (before == objects_.size() || objects_[before]->meta.name != name) continue;
    arranged[i] = std::move(nodes[before]);
    of[i] = std::move(objects_[before++]);
  }
  nodes = std::move(arranged);
  objects_ = std::move(of);
}

void NodeObserver::Renew(const kube::Node& object, Time now, placement::Node& node) {
  placement::Node seen = ObserveNode(object, now);
  node.used = {};
  node.other_pods = 0;
  // A kubelet that writes what it has written before makes another object of the same facts.
  if (seen == node) return;
  sharing_.Share(seen);
  ++shared_;
  node = std::move(seen);
}

// What was said only by nodes that are no more is forgotten in time, and those there are still have
// all in common: after as many were shown as there are, so that it costs little for each of them.
void NodeObserver::ShareAnew(std::vector<placement::Node>& nodes) {
  sharing_ = {};
  for (placement::Node& node : nodes) {
    node.used = {};
    sharing_.Share(node);
  }
  shared_ = nodes.size();
}

}  // namespace spillway::controllers
