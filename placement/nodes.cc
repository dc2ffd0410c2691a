#include "placement/nodes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <iterator>
#include <set>
#include <unordered_map>
#include <utility>

#include "placement/constraints.h"
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
  if (!view.members.empty() && view.shapes[view.members.back().shape] == allocatable) {
    return view.members.back().shape;  // as it is nearly always
  }
  const auto [at, is_new] = known.emplace(allocatable, view.shapes.size());
  if (is_new) view.shapes.push_back(allocatable);
  return at->second;
}

// Groups by one label that their selectors ask for, so that a node is held against few of them.
class Selectors {
 public:
  explicit Selectors(const std::vector<GroupView>& groups) : groups_(groups) {
    for (size_t g = 0; g < groups.size(); ++g) Add(g, groups[g].spec->selector);
  }

  // Calls `visit` with each group that the node is a member of.
  template <class F>
  void ForMembers(const Node& node, F visit) {
    for (const size_t g : others_) {
      if (IsMember(*groups_[g].spec, node)) visit(g);
    }
    for (auto& [key, label] : by_label_) {
      const auto at = FindLabel(node.labels, key, label.guess);
      if (at == node.labels.end()) continue;
      if (label.last != at->second || label.groups == nullptr) {
        const auto of = label.by_value.find(at->second);
        label.last = at->second;
        label.groups = of == label.by_value.end() ? &none_ : &of->second;
      }
      for (const size_t g : *label.groups) {
        const NodeGroup& group = *groups_[g].spec;
        const bool matches = group.selector.size() == 1 && group.cluster == node.id.cluster;
        if (matches || IsMember(group, node)) visit(g);
      }
    }
  }

 private:
  void Add(size_t group, const std::vector<Requirement>& selector) {
    const auto in = std::find_if(selector.begin(), selector.end(),
                                 [](const Requirement& one) { return one.op == "In"; });
    if (in == selector.end()) {
      others_.push_back(group);
      return;
    }
    const std::set<std::string> values(in->values.begin(), in->values.end());
    for (const std::string& value : values) by_label_[in->key].by_value[value].push_back(group);
  }

  struct ByLabel {
    std::unordered_map<std::string, std::vector<size_t>> by_value;
    size_t guess = 0;  // where the label stood in the last node's
    // Neighbours are mostly in the same groups.
    Text last;
    const std::vector<size_t>* groups = nullptr;  // with the last value
  };
  const std::vector<GroupView>& groups_;
  std::map<std::string, ByLabel> by_label_;
  std::vector<size_t> others_;
  std::vector<size_t> none_;
};

// Names of the nodes that an elastic group gives back, as long as they are not taken back.
class Leaving {
 public:
  Leaving(const NodeGroup& group, Time now) {
    const auto& leaving = group.memory.leaving;
    if (!leaving || !group.elastic || IsTakenBack(group, now)) return;
    names_.insert(leaving->nodes.begin(), leaving->nodes.end());
    decided_ = leaving->replicas.has_value();
  }
  // It is nobody's any more. One of that name that is not held is another, made in its stead.
  [[nodiscard]] bool Goes(const Node& node) const {
    return decided_ && node.held_since && names_.contains(node.id.name);
  }
  // Whoever needs it takes it back.
  [[nodiscard]] bool Waits(const Node& node) const {
    return !decided_ && names_.contains(node.id.name);
  }

 private:
  std::set<std::string_view> names_;
  bool decided_ = false;
};

void AddMember(const World& world, size_t index, const std::vector<Leaving>& leaving, Shapes& known,
               GroupView& view) {
  const NodeGroup& group = *view.spec;
  const Node& node = *world.nodes[index];
  Standing standing = StandingOf(group, node, world.now);
  const bool leaves = standing.state != NodeState::kLost && leaving[world.IndexOf(view)].Goes(node);
  // Whichever group holds it: another one may match it too.
  const bool held = node.held_since && std::ranges::none_of(leaving, [&](const Leaving& one) {
                      return one.Waits(node);
                    });
  if (leaves) {
    standing = {.state = NodeState::kDraining, .until = {}};
  } else if (held && standing.state == NodeState::kUsable) {
    standing = {.state = NodeState::kCordoned, .until = {}};  // until its hold is taken off
  }
  view.members.push_back({.node = index,
                          .state = standing.state,
                          .leaving = leaves,
                          .shape = ShapeOf(known, view, node.allocatable)});
  ++view.by_state[standing.state];
  KeepEarlier(view.changes_at, standing.until);
  // Of what has never been of use nobody can tell a link that broke, nor of what is given back.
  if (!node.ready && !node.out_of_service && !node.starting && !leaves) ++view.not_ready;
  if (standing.state == NodeState::kUnhealthy &&
      (node.starting || LacksAccelerators(group, node))) {
    ++view.useless;
  }
  if (group.per_node == 0) {
    view.per_node = std::max(view.per_node, AcceleratorsIn(group, node.allocatable));
  }
}

std::vector<DomainNumbering> NumberingsFor(const std::vector<GroupView>& groups) {
  std::set<std::string> labels;
  for (const GroupView& view : groups) {
    labels.insert(view.spec->domain_labels.begin(), view.spec->domain_labels.end());
  }
  return {labels.begin(), labels.end()};
}

void SurveyClusters(World& world) {
  for (const Cluster& cluster : world.snapshot->clusters) {
    if (!cluster.unreachable_since) continue;
    Time& since = world.unreachable.emplace(cluster.name, *cluster.unreachable_since).first->second;
    since = std::min(since, *cluster.unreachable_since);
  }
  std::set<std::string_view> clusters = {""};
  for (GroupView& view : world.groups) {
    clusters.insert(view.spec->cluster);
    view.unreachable_since = world.UnreachableSince(view.spec->cluster);
  }
  world.clusters.assign(clusters.begin(), clusters.end());
}

// All that is to be known of nodes, in one go: they are the largest part of a snapshot.
void SurveyNodes(World& world) {
  world.index = NodeIndex(world.nodes);
  Selectors selectors(world.groups);
  std::vector<Leaving> leaving;
  leaving.reserve(world.groups.size());
  for (const GroupView& view : world.groups) leaving.emplace_back(*view.spec, world.now);
  std::vector<DomainNumbering> numberings = NumberingsFor(world.groups);
  std::vector<Shapes> known(world.groups.size());
  for (size_t n = 0; n < world.nodes.size(); ++n) {
    const Node& node = *world.nodes[n];
    for (DomainNumbering& numbering : numberings) numbering.Add(node);
    selectors.ForMembers(
        node, [&](size_t g) { AddMember(world, n, leaving, known[g], world.groups[g]); });
  }
  for (DomainNumbering& numbering : numberings) {
    world.domains.emplace(numbering.Label(), numbering.Finish());
  }
  for (GroupView& view : world.groups) {
    const auto matched = static_cast<int64_t>(view.members.size());
    view.over_limit = view.not_ready >= 3 &&
                      int64_t{view.not_ready} * 100 > matched * view.spec->max_unhealthy_percent;
  }
}

// The groups of each node that several match.
using Overlaps = std::map<size_t, std::vector<size_t>>;

std::string OverlapSentence(const World& world, const GroupView& view, const Overlaps& groups_of) {
  std::vector<std::string> nodes;
  std::vector<std::string> others;
  for (const Member& member : view.members) {
    if (!member.overlapped) continue;
    nodes.push_back(world.nodes[member.node]->id.name);
    for (const size_t other : groups_of.at(member.node)) {
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
  std::vector<int> matches(world.nodes.size());
  for (const GroupView& view : world.groups) {
    for (const Member& member : view.members) ++matches[member.node];
  }
  Overlaps groups_of;
  world.owner.assign(world.nodes.size(), kNoGroup);
  for (size_t g = 0; g < world.groups.size(); ++g) {
    for (Member& member : world.groups[g].members) {
      member.overlapped = matches[member.node] > 1;
      if (member.overlapped) {
        groups_of[member.node].push_back(g);
      } else {
        world.owner[member.node] = g;
      }
    }
  }
  if (groups_of.empty()) return;
  for (GroupView& view : world.groups) view.overlap = OverlapSentence(world, view, groups_of);
}

template <class T, class Less>
std::vector<const T*> Sorted(const std::vector<T>& values, Less less) {
  std::vector<const T*> out;
  out.reserve(values.size());
  for (const T& value : values) out.push_back(&value);
  const auto before = [&](const T* left, const T* right) { return less(*left, *right); };
  if (!std::is_sorted(out.begin(), out.end(), before)) {
    std::stable_sort(out.begin(), out.end(), before);
  }
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

// Its workers are the cell's live replicas.
TrainingPool SeekerFor(const InferencePool& pool, const Variant& variant, const NodeGroup& group) {
  TrainingPool out = ReplicaAsGang(pool, variant);
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

std::vector<size_t> NodesFor(const World& world, const GroupView& group,
                             const TrainingPool& seeker) {
  std::vector<size_t> nodes;
  for (const Member& member : group.members) {
    if (member.state == NodeState::kUsable &&
        ConstraintsHold(seeker, *group.spec, *world.nodes[member.node])) {
      nodes.push_back(member.node);
    }
  }
  return nodes;
}

void FindReach(World& world) {
  struct Known {
    const TrainingPool* like = nullptr;
    std::shared_ptr<const std::vector<size_t>> nodes;
  };
  std::vector<std::vector<Known>> known(world.groups.size());
  world.reach.resize(world.pools.size() - world.gangs);
  for (const std::vector<Cell>& cells : world.cells) {
    for (const Cell& cell : cells) {
      const TrainingPool& seeker = *world.pools[cell.seeker];
      std::vector<Known>& here = known[cell.group];
      auto at = std::ranges::find_if(
          here, [&](const Known& one) { return AsksAlike(*one.like, seeker); });
      if (at == here.end()) {
        here.push_back({.like = &seeker,
                        .nodes = std::make_shared<const std::vector<size_t>>(
                            NodesFor(world, world.groups[cell.group], seeker))});
        at = std::prev(here.end());
      }
      world.reach[cell.seeker - world.gangs] = at->nodes;
    }
  }
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
        world.seeker_clusters.emplace_back(group.cluster);
      }
    }
  }
  for (const TrainingPool& seeker : *seekers) world.pools.push_back(&seeker);
  world.seekers = std::move(seekers);
  FindReach(world);
}

}  // namespace

TrainingPool ReplicaAsGang(const InferencePool& pool, const Variant& variant) {
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
  return out;
}

std::string_view ClusterOf(const TrainingPool& pool) {
  return pool.memory.placement ? std::string_view(pool.memory.placement->cluster) : "";
}

std::string_view ClusterOf(const World& world, size_t pool) {
  return world.IsSeeker(pool) ? world.seeker_clusters[pool - world.gangs]
                              : ClusterOf(*world.pools[pool]);
}

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
  if (members.empty() || node < members.front().node) return nullptr;
  const size_t guess = node - members.front().node;  // where the group's nodes are neighbours
  if (guess < members.size() && members[guess].node == node) return &members[guess];
  const auto at = std::lower_bound(members.begin(), members.end(), node,
                                   [](const Member& m, size_t n) { return m.node < n; });
  return at != members.end() && at->node == node ? &*at : nullptr;
}

int NodesThere(const GroupView& view) {
  const auto lost = view.by_state.find(NodeState::kLost);
  const int gone = lost == view.by_state.end() ? 0 : lost->second;
  return static_cast<int>(view.members.size()) - gone - NodesLeaving(view);
}

int NodesLeaving(const GroupView& view) {
  if (!view.spec->memory.leaving) return 0;
  return static_cast<int>(std::ranges::count_if(view.members, &Member::leaving));
}

int MostNodes(const NodeGroup& group) {
  const auto& most = group.elastic->max_hourly_cost;
  const int64_t price = group.per_node_hour.micros();
  if (!most || price <= 0) return group.elastic->max_nodes;
  return static_cast<int>(std::min<int64_t>(most->micros() / price, group.elastic->max_nodes));
}

std::string MostNodesBy(const NodeGroup& group) {
  const Elastic& elastic = *group.elastic;
  if (MostNodes(group) == elastic.max_nodes) {
    return fmt::format("elastic.maxNodes ({})", elastic.max_nodes);
  }
  return fmt::format("elastic.maxHourlyCost ({}, {})", elastic.max_hourly_cost->Format(),
                     Count(MostNodes(group), "node"));
}

bool TargetIsExact(const GroupView& view) {
  return view.spec->target_replicas == static_cast<int>(view.members.size()) &&
         !view.spec->target_fixed;
}

Time HeldUntil(const LeavingNodes& leaving, const Elastic& elastic) {
  return leaving.since + std::max(elastic.provision_timeout, kHeldAtMost);
}

bool IsLowered(const NodeGroup& group) {
  const LeavingNodes& leaving = *group.memory.leaving;
  return leaving.lowered || (group.target_replicas && *group.target_replicas <= *leaving.replicas);
}

bool IsTakenBack(const NodeGroup& group, Time now) {
  const LeavingNodes& leaving = *group.memory.leaving;
  const Elastic& elastic = *group.elastic;
  if (!leaving.replicas) return now >= HeldUntil(leaving, elastic);
  if (IsLowered(group)) return group.leaving_stay;
  if (!group.target_replicas) return false;
  return group.target_fixed || !elastic.scale_down_delay || *leaving.replicas < elastic.min_nodes ||
         now >= leaving.since + elastic.provision_timeout;
}

int NodesComing(const GroupView& view) {
  const auto starting = view.by_state.find(NodeState::kStarting);
  return view.useless + (starting == view.by_state.end() ? 0 : starting->second);
}

std::string UnreachableSentence(std::string_view cluster, Time since) {
  return fmt::format("cluster {} has been unreachable since {}", cluster, FormatTime(since));
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
  return index.Find(nodes, cluster, name);
}

NodeIndex::NodeIndex(const std::vector<const Node*>& nodes)
    : places_(std::bit_ceil(2 * nodes.size() + 1)) {
  for (size_t n = 0; n < nodes.size(); ++n) {
    const NodeId& id = nodes[n]->id;
    // The same ids stand next to each other in a sorted list.
    if (n > 0 && nodes[n - 1]->id.name == id.name && nodes[n - 1]->id == id) continue;
    const size_t hash = std::hash<std::string_view>{}(id.name);
    size_t at = hash & (places_.size() - 1);
    while (places_[at].node != 0) at = (at + 1) & (places_.size() - 1);
    places_[at] = {.hash = static_cast<uint32_t>(hash >> 32U),
                   .node = static_cast<uint32_t>(n + 1)};
  }
}

std::optional<size_t> NodeIndex::Find(const std::vector<const Node*>& nodes,
                                      std::string_view cluster, std::string_view name) const {
  if (places_.empty()) return std::nullopt;
  const size_t hash = std::hash<std::string_view>{}(name);
  size_t at = hash & (places_.size() - 1);
  for (; places_[at].node != 0; at = (at + 1) & (places_.size() - 1)) {
    if (places_[at].hash != static_cast<uint32_t>(hash >> 32U)) continue;
    const size_t node = places_[at].node - 1;
    if (nodes[node]->id.name == name && nodes[node]->id.cluster == cluster) return node;
  }
  return std::nullopt;
}

bool NodeFinder::IsAt(size_t node, std::string_view name) const {
  return node < world_.nodes.size() && world_.nodes[node]->id.name == name &&
         world_.nodes[node]->id.cluster == cluster_;
}

std::optional<size_t> NodeFinder::Find(std::string_view name) {
  if (last_ && IsAt(*last_, name)) return last_;
  if (last_ && IsAt(*last_ + 1, name)) return last_ = *last_ + 1;
  const auto node = world_.FindNode(cluster_, name);
  if (node) last_ = node;
  return node;
}

std::optional<size_t> NodeFinder::FindOfPod(std::string_view name) {
  if (name.empty()) return std::nullopt;
  auto node = Find(name);
  for (const std::string_view other : world_.clusters) {
    if (!node && other != cluster_) node = world_.FindNode(other, name);
  }
  return node;
}

const GroupView* World::FindGroup(std::string_view name) const {
  const auto at =
      std::lower_bound(groups.begin(), groups.end(), name,
                       [](const GroupView& g, std::string_view n) { return g.spec->name < n; });
  return at != groups.end() && at->spec->name == name ? &*at : nullptr;
}

std::optional<size_t> World::NodeOf(const Replica& replica) const {
  if (replica.node.empty()) return std::nullopt;
  const GroupView* group = FindGroup(replica.node_group);
  return FindNode(group == nullptr ? "" : std::string_view(group->spec->cluster), replica.node);
}

std::optional<Time> World::UnreachableSince(std::string_view cluster) const {
  const auto at = unreachable.find(cluster);
  return at == unreachable.end() ? std::nullopt : std::optional(at->second);
}

bool World::IsLeftAlone(const Placement& placement) const {
  if (UnreachableSince(placement.cluster)) return true;
  const GroupView* group = FindGroup(placement.node_group);
  return group != nullptr && group->IsLeftAlone();
}

const GroupView* World::GroupOf(const TrainingPool& pool, const Placement& placement) const {
  const GangFacts* facts = book.Find(pool, placement);
  if (facts == nullptr) return FindGroup(placement.node_group);
  return facts->group == kNoGroup ? nullptr : &groups[facts->group];
}

const Domains& World::DomainsOf(std::string_view label) const {
  return domains.find(label)->second;
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
    GroupView& view = world.groups.emplace_back();
    view.spec = group;
    view.per_node = std::max(group->per_node, 1);
  }
  SurveyClusters(world);
  SurveyNodes(world);
  FindOverlaps(world);
  world.gangs = world.pools.size();
  world.priority.reserve(world.gangs);
  for (const TrainingPool* pool : world.pools) world.priority.push_back(pool->priority);
  world.book = GangBook(world);
  world.inference =
      Sorted(snapshot.inference_pools,
             [](const InferencePool& a, const InferencePool& b) { return a.key < b.key; });
  AddSeekers(world);
  return world;
}

}  // namespace spillway::placement
