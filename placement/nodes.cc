#include "placement/nodes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "placement/words.h"

namespace spillway::placement {
namespace {

bool HasBadCondition(const NodeGroup& group, const Node& node) {
  return std::any_of(group.bad_conditions.begin(), group.bad_conditions.end(),
                     [&](const BadCondition& bad) {
                       const auto at = node.conditions.find(bad.type);
                       return at != node.conditions.end() && at->second == bad.status;
                     });
}

bool HasBadTaint(const NodeGroup& group, const Node& node) {
  const auto is_bad = [&](const Taint& taint) {
    return std::any_of(group.bad_taints.begin(), group.bad_taints.end(), [&](const BadTaint& bad) {
      return bad.key == taint.key && (bad.value.empty() || bad.value == taint.value) &&
             (bad.effect.empty() || bad.effect == taint.effect);
    });
  };
  return std::any_of(node.taints.begin(), node.taints.end(), is_bad);
}

bool LacksAccelerators(const NodeGroup& group, const Node& node) {
  const int64_t least = group.per_node > 0 ? group.per_node : (group.resource.empty() ? 0 : 1);
  return AcceleratorsIn(group, node.allocatable) < least;
}

bool IsMember(const NodeGroup& group, const Node& node) {
  return group.cluster == node.id.cluster && !group.selector.empty() &&
         MatchesAll(node.labels, group.selector);
}

void KeepEarlier(std::optional<Time>& earliest, std::optional<Time> time) {
  if (time && (!earliest || *time < *earliest)) earliest = time;
}

struct ByContent {
  bool operator()(const Resources& left, const Resources& right) const {
    return std::lexicographical_compare(left.begin(), left.end(), right.begin(), right.end());
  }
};
using Shapes = std::map<Resources, size_t, ByContent>;

// The number of the node's shape in the view, which gets it when it is new.
size_t ShapeOf(Shapes& known, GroupView& view, const Resources& allocatable) {
  const auto [at, is_new] = known.emplace(allocatable, view.shapes.size());
  if (is_new) view.shapes.push_back(allocatable);
  return at->second;
}

GroupView ViewOf(const NodeGroup& group, const World& world) {
  GroupView view;
  view.spec = &group;
  view.per_node = std::max(group.per_node, 1);
  Shapes known;
  for (size_t i = 0; i < world.nodes.size(); ++i) {
    const Node& node = *world.nodes[i];
    if (!IsMember(group, node)) continue;
    const Standing standing = StandingOf(group, node, world.now);
    view.members.push_back(
        {.node = i, .state = standing.state, .shape = ShapeOf(known, view, node.allocatable)});
    KeepEarlier(view.changes_at, standing.until);
    const bool arrives = standing.state == NodeState::kStarting;
    if (!node.ready && !node.out_of_service && !arrives) ++view.not_ready;
    if (group.per_node == 0) {
      view.per_node = std::max(view.per_node, AcceleratorsIn(group, node.allocatable));
    }
  }
  const auto matched = static_cast<int64_t>(view.members.size());
  view.over_limit =
      view.not_ready >= 3 && int64_t{view.not_ready} * 100 > matched * group.max_unhealthy_percent;
  return view;
}

std::string OverlapSentence(const World& world, const GroupView& view,
                            const std::vector<std::vector<size_t>>& groups_of) {
  std::vector<std::string> nodes;
  std::vector<std::string> others;
  for (const Member& member : view.members) {
    if (!member.overlapped) continue;
    nodes.push_back(world.nodes[member.node]->id.name);
    for (const size_t other : groups_of[member.node]) {
      const std::string& name = world.groups[other].spec->name;
      if (name != view.spec->name) others.push_back(name);
    }
  }
  if (nodes.empty()) return "";
  std::sort(others.begin(), others.end());
  others.erase(std::unique(others.begin(), others.end()), others.end());
  return fmt::format("{} ({}) {} also matched by {}: no new placements there until one lets go",
                     Count(std::ssize(nodes), "node"), Names(nodes),
                     nodes.size() == 1 ? "is" : "are", Names(others));
}

void FindOverlaps(World& world) {
  std::vector<std::vector<size_t>> groups_of(world.nodes.size());
  for (size_t g = 0; g < world.groups.size(); ++g) {
    for (const Member& member : world.groups[g].members) groups_of[member.node].push_back(g);
  }
  for (GroupView& view : world.groups) {
    for (Member& member : view.members) member.overlapped = groups_of[member.node].size() > 1;
  }
  for (GroupView& view : world.groups) view.overlap = OverlapSentence(world, view, groups_of);
}

template <class T, class Less>
std::vector<const T*> Sorted(const std::vector<T>& values, Less less) {
  std::vector<const T*> out;
  out.reserve(values.size());
  for (const T& value : values) out.push_back(&value);
  std::stable_sort(out.begin(), out.end(),
                   [&](const T* left, const T* right) { return less(*left, *right); });
  return out;
}

constexpr const char* kArchLabel = "kubernetes.io/arch";

std::vector<std::vector<Requirement>> TermsOf(const Variant& variant) {
  auto terms = variant.node_terms;
  if (variant.arch.empty()) return terms;
  if (terms.empty()) terms.emplace_back();
  for (auto& term : terms) {
    term.push_back({.key = kArchLabel, .op = "In", .values = {variant.arch}});
  }
  return terms;
}

// One replica as a gang of one; its workers are the cell's live replicas.
TrainingPool SeekerFor(const InferencePool& pool, const Variant& variant, const NodeGroup& group) {
  TrainingPool out;
  out.key = pool.key;
  out.uid = pool.uid;
  out.priority = pool.priority;
  out.per_worker = variant.per_replica;
  out.accelerators = {{.type = variant.accelerator, .workers = 1}};
  out.requests = variant.requests;
  out.other_cpu = variant.other_cpu;
  out.tolerations = variant.tolerations;
  out.node_terms = TermsOf(variant);
  out.providers = pool.providers;
  out.group_selector = pool.group_selector;
  out.preference = pool.preference;
  out.spill_allowed = pool.spill_allowed;
  out.spill_after = pool.spill_after;
  out.topology = TopologyMode::kIgnore;
  for (const Replica& replica : pool.live) {
    if (replica.variant != variant.name || replica.node_group != group.name) continue;
    Worker& worker = out.workers.emplace_back();
    worker.pod = replica.pod;
    worker.node = replica.node;
    worker.requests = replica.requests;
    worker.ready = replica.ready;
  }
  return out;
}

void AddSeekers(World& world) {
  auto seekers = std::make_shared<std::vector<TrainingPool>>();
  for (const InferencePool* pool : world.inference) {
    std::vector<Cell>& cells = world.cells.emplace_back();
    for (size_t v = 0; v < pool->variants.size(); ++v) {
      for (size_t g = 0; g < world.groups.size(); ++g) {
        const NodeGroup& group = *world.groups[g].spec;
        if (group.accelerator != pool->variants[v].accelerator) continue;
        cells.push_back({.variant = v, .group = g, .seeker = world.gangs + seekers->size()});
        seekers->push_back(SeekerFor(*pool, pool->variants[v], group));
      }
    }
  }
  for (const TrainingPool& seeker : *seekers) world.pools.push_back(&seeker);
  world.seekers = std::move(seekers);
}

}  // namespace

std::string_view Name(NodeState state) {
  constexpr std::array<std::string_view, 7> kNames = {
      "usable", "starting", "cordoned", "draining", "unhealthy", "not ready", "lost"};
  return kNames.at(static_cast<size_t>(state));
}

Standing StandingOf(const NodeGroup& group, const Node& node, Time now) {
  if (node.out_of_service) return {.state = NodeState::kLost, .until = {}};
  const Time startup_end = node.created + group.startup_grace;
  // Whatever else is said of it, it has never been of use yet.
  if (node.starting && !node.draining && now < startup_end) {
    return {.state = NodeState::kStarting, .until = startup_end};
  }
  if (!node.ready) {
    const Time end = node.not_ready_since.value_or(now) + group.not_ready_grace;
    if (now < end) return {.state = NodeState::kNotReady, .until = end};
    return {.state = NodeState::kUnhealthy, .until = {}};
  }
  if (HasBadCondition(group, node) || HasBadTaint(group, node)) {
    return {.state = NodeState::kUnhealthy, .until = {}};
  }
  if (node.draining) return {.state = NodeState::kDraining, .until = {}};
  if (node.cordoned) return {.state = NodeState::kCordoned, .until = {}};
  if (node.starting || LacksAccelerators(group, node)) {
    if (now < startup_end) return {.state = NodeState::kStarting, .until = startup_end};
    return {.state = NodeState::kUnhealthy, .until = {}};
  }
  return {};
}

std::string_view CountedBy(const NodeGroup& group) {
  return group.resource.empty() ? kCpu : std::string_view(group.resource);
}

int64_t Accelerators(const NodeGroup& group, int64_t amount) {
  return std::max<int64_t>(group.resource.empty() ? amount / 1000 : amount, 0);
}

int64_t AcceleratorsIn(const NodeGroup& group, const Resources& amounts) {
  return Accelerators(group, amounts.Get(CountedBy(group)));
}

const Member* GroupView::Find(size_t node) const {
  const auto at = std::lower_bound(members.begin(), members.end(), node,
                                   [](const Member& m, size_t n) { return m.node < n; });
  return at != members.end() && at->node == node ? &*at : nullptr;
}

std::map<NodeState, int> GroupView::CountByState() const {
  std::map<NodeState, int> counts;
  for (const Member& member : members) ++counts[member.state];
  return counts;
}

std::string LinkSentence(const GroupView& view) {
  const std::string facts =
      fmt::format("{} of {} nodes of {} are NotReady at once, more than {} %", view.not_ready,
                  view.members.size(), view.spec->name, view.spec->max_unhealthy_percent);
  if (view.spec->link_down) {
    return facts + "; the annotation spillway.dev/link: down says that they count as unreachable";
  }
  return facts +
         ": the link to them is in doubt, so nothing there is restarted until they are back or the "
         "group is annotated spillway.dev/link: down";
}

std::optional<size_t> World::FindNode(std::string_view cluster, std::string_view name) const {
  const auto wanted = std::tie(cluster, name);
  const auto at =
      std::lower_bound(nodes.begin(), nodes.end(), wanted, [](const Node* node, const auto& key) {
        const std::string_view c = node->id.cluster;
        const std::string_view n = node->id.name;
        return std::tie(c, n) < key;
      });
  if (at == nodes.end() || (*at)->id.cluster != cluster || (*at)->id.name != name) return {};
  return static_cast<size_t>(at - nodes.begin());
}

const GroupView* World::FindGroup(std::string_view name) const {
  const auto at =
      std::lower_bound(groups.begin(), groups.end(), name,
                       [](const GroupView& g, std::string_view n) { return g.spec->name < n; });
  return at != groups.end() && at->spec->name == name ? &*at : nullptr;
}

World Survey(const Snapshot& snapshot) {
  World world;
  world.snapshot = &snapshot;
  world.now = snapshot.now;
  world.nodes = Sorted(snapshot.nodes, [](const Node& a, const Node& b) { return a.id < b.id; });
  world.pools = Sorted(snapshot.pools,
                       [](const TrainingPool& a, const TrainingPool& b) { return a.key < b.key; });
  for (const NodeGroup* group : Sorted(snapshot.groups, [](const NodeGroup& a, const NodeGroup& b) {
         return a.name < b.name;
       })) {
    world.groups.push_back(ViewOf(*group, world));
  }
  FindOverlaps(world);
  world.gangs = world.pools.size();
  world.inference =
      Sorted(snapshot.inference_pools,
             [](const InferencePool& a, const InferencePool& b) { return a.key < b.key; });
  AddSeekers(world);
  return world;
}

}  // namespace spillway::placement
