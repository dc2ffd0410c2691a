#include "placement/remedies.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "placement/capacity.h"
#include "placement/labels.h"
#include "placement/nodes.h"

namespace spillway::placement {
namespace {

// More things than can be in the way of a look at a group's room, one behind the other.
constexpr int kMostRounds = 8;

constexpr std::string_view kOrRoom = "Z, or room for ";

// Is what this mends in the way of a look at the group's room?
bool HidesRoom(std::string_view clause) {
  constexpr std::array<std::string_view, 12> kBeginnings = {
      "make its nodes",    "make more of its", "let one ",         "mend the link",
      "change the templa", "tolerate the",     "label its nodes",  "name the label",
      "name a label",      "add nodes",        "ask for less per", "use topology.mode"};
  const bool is_time =
      clause.starts_with("wait until 2") && clause.find(", or ") == std::string_view::npos;
  return is_time || std::ranges::any_of(
                        kBeginnings, [&](std::string_view one) { return clause.starts_with(one); });
}

// Says how much room is missing: of two such, the later one knows more.
bool IsAboutRoom(std::string_view clause) {
  return clause.starts_with("room for ") || clause.starts_with("for ") ||
         clause.find(kOrRoom) != std::string_view::npos;
}

// Of a clause that lets the gang in to nodes: the ways of which one may be enough. Any other is its
// only one.
std::vector<std::string> WaysIn(const std::string& clause) {
  if (!clause.starts_with("change the templa") && !clause.starts_with("tolerate the")) {
    return {clause};
  }
  std::vector<std::string> ways;
  for (size_t from = 0;;) {
    const size_t to = std::min(clause.find(", or tolerate the taint ", from),
                               clause.find(", or wait until 2", from));
    ways.push_back(clause.substr(from, to - from));
    if (to == std::string::npos) return ways;
    from = to + std::string_view(", or ").size();
  }
}

std::vector<std::string> Clauses(std::string_view text) {
  std::vector<std::string> clauses;
  for (size_t from = 0; from <= text.size();) {
    const size_t to = std::min(text.find("; ", from), text.size());
    clauses.emplace_back(text.substr(from, to - from));
    from = to + 2;
  }
  return clauses;
}

// The one gang before the nodes of the one group, with nothing else in its way than they are.
class Mended {
 public:
  // REQUIRES that both are in the snapshot.
  Mended(const Snapshot& snapshot, const PoolKey& key, const std::string& group)
      : key_(key), name_(group), world_(snapshot) {
    const auto selector = Group().selector;
    std::erase_if(world_.nodes,
                  [&](const Node& node) { return !MatchesAll(node.labels, selector); });
    for (const TrainingPool& pool : world_.pools) {
      if (pool.key != key && pool.memory.hold) Fill(pool.memory.hold->nodes);
    }
    std::erase_if(world_.pools,
                  [&](const TrainingPool& pool) { return pool.key != key && !HasNodes(pool); });
    for (TrainingPool& pool : world_.pools) pool.preemptible = Preemptible::kNever;
    for (InferencePool& pool : world_.inference_pools) pool.paused = true;
    for (NodeGroup& other : world_.groups) other.admission = Admission::kClosed;
    Group().admission = Admission::kOpen;
    Group().misconfigured.clear();
    world_.quotas.clear();
    world_.default_limits.clear();
    TrainingPool& pool = Pool();
    pool.preempts = Preempts::kNever;
    pool.spill_allowed = true;
    pool.spill_after = Seconds{0};
    pool.spill_max_hourly_cost.reset();
  }

  // What is missing there: nothing where it has a place, or nodes come for it. nullopt: nobody
  // says.
  std::optional<std::vector<std::string>> Missing() {
    const Plan plan = MakePlan(world_);
    const auto at = std::find_if(plan.pools.begin(), plan.pools.end(),
                                 [&](const PoolDecision& one) { return one.key == key_; });
    if (at->placed || at->placed_reason == Reason::kWaitingForNodes)
      return std::vector<std::string>();
    for (const std::string& line : at->remedies) {
      if (!line.starts_with(name_ + ": ")) continue;
      std::string_view remedy = std::string_view(line).substr(name_.size() + 2);
      // When room would be free for it by itself is not known before.
      if (const size_t room = remedy.find(kOrRoom); room != std::string_view::npos) {
        remedy.remove_prefix(room + kOrRoom.find("room"));
      }
      return Clauses(remedy);
    }
    return std::nullopt;
  }

  // Does what a clause asks for, where it hides room.
  void Mend(std::string_view clause) {
    if (clause.starts_with("make ") || clause.starts_with("mend ")) {
      for (Node& node : world_.nodes) MakeUsable(node);
      Group().link_down = false;
    } else if (clause.starts_with("let one ")) {
      std::erase_if(world_.groups, [&](const NodeGroup& one) { return one.name != name_; });
    } else if (clause.starts_with("label its nodes")) {
      ShareDomain(Pool().topology_level.empty() ? Group().domain_labels.front()
                                                : Pool().topology_level);
    } else if (clause.starts_with("name the label")) {
      Group().domain_labels.push_back(Pool().topology_level);
    } else if (clause.starts_with("name a label")) {
      const std::string label = "spillway.dev/shared";
      ShareDomain(label);
      Group().domain_labels.push_back(label);
    } else if (clause.starts_with("add nodes") || clause.starts_with("ask for less")) {
      AddNode();
    } else if (clause.starts_with("use topology.mode")) {
      Pool().topology = TopologyMode::kPreferred;
    } else {
      LetIn(clause);
    }
  }

 private:
  NodeGroup& Group() {
    return *std::find_if(world_.groups.begin(), world_.groups.end(),
                         [&](const NodeGroup& one) { return one.name == name_; });
  }
  TrainingPool& Pool() {
    return *std::find_if(world_.pools.begin(), world_.pools.end(),
                         [&](const TrainingPool& one) { return one.key == key_; });
  }

  [[nodiscard]] bool HasNodes(const TrainingPool& pool) const {
    if (!pool.memory.placement) return false;
    const auto& nodes = pool.memory.placement->nodes;
    return std::any_of(world_.nodes.begin(), world_.nodes.end(), [&](const Node& node) {
      return std::find(nodes.begin(), nodes.end(), node.id.name) != nodes.end();
    });
  }

  // What is held for others stays theirs.
  void Fill(const std::vector<std::string>& nodes) {
    for (Node& node : world_.nodes) {
      const bool held = std::find(nodes.begin(), nodes.end(), node.id.name) != nodes.end();
      if (held) node.used = node.allocatable;
    }
  }

  void MakeUsable(Node& node) {
    node.ready = true;
    node.not_ready_since.reset();
    node.cordoned = node.starting = node.draining = node.out_of_service = false;
    node.held_since.reset();
    node.conditions = {};
    const NodeGroup& group = Group();
    std::erase_if(node.taints, [&](const Taint& taint) {
      return std::any_of(group.bad_taints.begin(), group.bad_taints.end(),
                         [&](const auto& bad) { return bad.key == taint.key; });
    });
    if (group.resource.empty()) return;
    const int64_t shows = node.allocatable.Get(group.resource);
    node.allocatable.Set(group.resource, std::max<int64_t>({shows, group.per_node, 1}));
  }

  void ShareDomain(const std::string& label) {
    for (Node& node : world_.nodes) node.labels[label] = "one";
  }

  // One that takes the whole gang, of which all is known that the two ask for.
  void AddNode() {
    const NodeGroup& group = Group();
    const TrainingPool& pool = Pool();
    const auto need = NeedIn(pool, group);
    if (!need) return;
    Node node;
    node.id = {.cluster = group.cluster, .name = fmt::format("new-{}", world_.nodes.size())};
    node.created = world_.now - Seconds{3600};
    for (const auto& term : pool.node_terms) AddLabels(term, node);
    AddLabels(group.selector, node);
    for (const auto& [name, amount] : need->request) {
      node.allocatable.Set(name, amount * need->workers);
    }
    const std::string counted(CountedBy(group));
    const int64_t all = int64_t{group.per_node} * (group.resource.empty() ? 1000 : 1);
    node.allocatable.Set(counted, std::max<int64_t>(node.allocatable.Get(counted), all));
    MakeUsable(node);
    world_.nodes.push_back(std::move(node));
  }
  static void AddLabels(const std::vector<Requirement>& requirements, Node& node) {
    for (const Requirement& one : requirements) {
      if (one.op == "In") node.labels[one.key] = one.values.front();
    }
  }

  // The clause has one way alone.
  void LetIn(std::string_view clause) {
    TrainingPool& pool = Pool();
    constexpr std::string_view kTolerate = "tolerate the taint ";
    constexpr std::string_view kWait = "wait until ";
    if (clause.starts_with("change the template's")) {
      pool.node_terms.clear();
    } else if (clause.starts_with(kTolerate)) {
      const size_t end = clause.find_first_of(" =:", kTolerate.size());
      const std::string key(clause.substr(kTolerate.size(), end - kTolerate.size()));
      pool.tolerations.push_back({.key = key, .op = "Exists", .value = "", .effect = ""});
    } else if (clause.starts_with(kWait)) {
      const auto until = ParseTime(clause.substr(kWait.size()));
      std::erase_if(pool.memory.excluded,
                    [&](const ExcludedNode& one) { return until && one.until <= *until; });
    }
  }

  PoolKey key_;
  std::string name_;
  Snapshot world_;
};

// What helps the one gang in the one group.
class Line {
 public:
  // REQUIRES that both are in the snapshot.
  Line(const Snapshot& snapshot, PoolKey key, std::string group)
      : snapshot_(snapshot), key_(std::move(key)), group_(std::move(group)) {}

  // The clauses, and those that come to light once they are done. `depth`: of clauses that have
  // several ways.
  [[nodiscard]] std::vector<std::string> Completed(std::vector<std::string> clauses,
                                                   int depth = 0) const {
    const auto open = std::ranges::find_if(clauses, HasWays);
    if (open != clauses.end() && depth < kMostRounds) {
      return CompletedEachWay(clauses, open - clauses.begin(), depth + 1);
    }
    Mended mended(snapshot_, key_, group_);
    for (const std::string& clause : clauses) {
      if (HidesRoom(clause)) mended.Mend(clause);
    }
    for (int round = 0; round < kMostRounds; ++round) {
      const auto more = mended.Missing();
      if (!more) break;
      std::erase_if(clauses, IsAboutRoom);
      const size_t known = clauses.size();
      for (const std::string& clause : *more) {
        if (std::ranges::find(clauses, clause) == clauses.end()) clauses.push_back(clause);
      }
      const std::span added = std::span(clauses).subspan(known);
      if (std::ranges::any_of(added, HasWays)) return Completed(std::move(clauses), depth);
      if (std::ranges::none_of(added, HidesRoom)) break;
      for (const std::string& clause : added) {
        if (HidesRoom(clause)) mended.Mend(clause);
      }
    }
    return clauses;
  }

 private:
  static bool HasWays(const std::string& clause) { return WaysIn(clause).size() > 1; }

  // One way is enough where the same is missing besides, whichever is gone. Else all are listed:
  // with them it is known what there is to be room on.
  [[nodiscard]] std::vector<std::string> CompletedEachWay(std::vector<std::string> clauses,
                                                          ptrdiff_t at, int depth) const {
    const std::string open = clauses[static_cast<size_t>(at)];
    const std::vector<std::string> ways = WaysIn(open);
    clauses.erase(clauses.begin() + at);
    std::optional<std::vector<std::string>> rest;
    for (const std::string& way : ways) {
      std::vector<std::string> one = clauses;
      one.insert(one.begin() + at, way);
      one = Completed(std::move(one), depth);
      std::erase(one, way);
      if (!rest) rest = one;
      if (*rest == one) continue;
      clauses.insert(clauses.begin() + at, ways.begin(), ways.end());
      return Completed(std::move(clauses), depth);
    }
    rest->insert(rest->begin() + std::min(at, std::ssize(*rest)), open);
    return *rest;
  }

  const Snapshot& snapshot_;
  PoolKey key_;
  std::string group_;
};

}  // namespace

std::vector<std::string> RemediesFor(const Snapshot& snapshot, const PoolDecision& decision) {
  if (decision.placed || decision.memory.hold) return decision.remedies;
  std::vector<std::string> lines = decision.remedies;
  for (std::string& line : lines) {
    const std::string group = line.substr(0, line.find(": "));
    const bool is_known = std::any_of(snapshot.groups.begin(), snapshot.groups.end(),
                                      [&](const NodeGroup& one) { return one.name == group; });
    if (!is_known) continue;
    const std::vector<std::string> clauses =
        Clauses(std::string_view(line).substr(group.size() + 2));
    if (std::none_of(clauses.begin(), clauses.end(), HidesRoom)) continue;
    line = fmt::format("{}: {}", group,
                       fmt::join(Line(snapshot, decision.key, group).Completed(clauses), "; "));
  }
  return lines;
}

}  // namespace spillway::placement
