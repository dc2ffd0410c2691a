#include "placement/scale_invariants.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "placement/gangs.h"
#include "placement/spare_nodes.h"

namespace spillway::placement {
namespace {

using Problem = std::optional<std::string>;

// Nodes that the group has, less those that the plan decides to let go.
int StayThere(const GroupView& group, const GroupMemory& after) {
  const bool lets_go = after.leaving && after.leaving->replicas && NodesLeaving(group) == 0;
  return NodesThere(group) - (lets_go ? static_cast<int>(std::ssize(after.leaving->nodes)) : 0);
}

// Nodes are asked for within the group's limits, in its steps, as many as gangs wait for, and not
// while it is out of stock.
Problem ScaleIsRight(const GroupView& group, const GroupMemory& after, int asked) {
  if (!group.spec->elastic) {
    return after == GroupMemory() ? Problem() : Problem("is not elastic, but remembers something");
  }
  if (group.unreachable_since) {
    return after == group.spec->memory ? Problem() : Problem("changes where nobody can be told");
  }
  if (!after.desired) return "has no number of nodes";
  const Elastic& elastic = *group.spec->elastic;
  const int there = StayThere(group, after);
  const int most = std::max(MostNodes(*group.spec), there);
  if (*after.desired < there || *after.desired > most)
    return "is to have too many nodes or too few";
  const int least = std::max(there, std::min(elastic.min_nodes, most));
  if (asked == 0) {
    return *after.desired == least ? Problem()
                                   : Problem("is asked for nodes that nobody waits for");
  }
  const int wanted = std::max(asked - NodesComing(group), 0);
  const int step = std::max(elastic.step_nodes, 1);
  if (*after.desired < there + wanted) return "is asked for fewer nodes than gangs wait for";
  const int from = std::clamp(group.spec->memory.desired.value_or(there), least, most);
  if (*after.desired < from) return "is asked for fewer nodes while some are to come";
  if (*after.desired - std::max({there + wanted, least, from}) >= step) {
    return "is asked for more nodes than gangs wait for";
  }
  const bool in_steps = (*after.desired - from) % step == 0;
  if (!in_steps && *after.desired != most && *after.desired != least) {
    return "is not asked in steps";
  }
  return {};
}

// Names of nodes that somebody has, is to have, or may yet be bound to.
class Taken {
 public:
  Taken(const World& world, const Plan& plan) {
    for (size_t p = 0; p < world.gangs; ++p) {
      for (const Worker& worker : world.pools[p]->workers) {
        if (!worker.ended) names_.insert(worker.node);
      }
      const PoolMemory& memory = plan.pools[p].memory;
      if (memory.placement && !memory.completed) Add(memory.placement->nodes);
      if (memory.hold) Add(memory.hold->nodes);
    }
    for (size_t p = 0; p < world.inference.size(); ++p)
      AddPool(*world.inference[p], plan.inference_pools[p]);
  }

  [[nodiscard]] bool Has(const Node& node) const {
    return node.other_pods > 0 || names_.contains(node.id.name);
  }
  // Replicas are yet to be bound to any of the group's nodes.
  [[nodiscard]] bool MayBeAny(const GroupView& group) const {
    return unbound_.contains(group.spec->name);
  }

 private:
  void Add(const std::vector<std::string>& nodes) { names_.insert(nodes.begin(), nodes.end()); }

  void AddPool(const InferencePool& pool, const InferenceDecision& decision) {
    for (const Replica& replica : pool.live) names_.insert(replica.node);
    if (decision.memory.claim) Add(decision.memory.claim->hold.nodes);
    for (const CellMemory& cell : decision.memory.cells) {
      if (cell.desired > BoundReplicas(pool, cell)) unbound_.insert(cell.node_group);
    }
  }

  std::set<std::string_view> names_;
  std::set<std::string_view> unbound_;
};

// What is decided stays so until the nodes are gone.
Problem GoesOn(const GroupView& group, const GroupMemory& after) {
  LeavingNodes leaving = *group.spec->memory.leaving;
  const auto& replicas = group.spec->target_replicas;
  leaving.lowered = leaving.lowered || (replicas && *replicas <= *leaving.replicas);
  return after.leaving == leaving ? Problem() : Problem("forgets what it gives back");
}

// Nodes that were decided to go and are there still are the group's own again only if that is safe:
// the target has them still, or has lost others in their stead.
Problem MayTakeBack(const World& world, const GroupView& group) {
  const auto& before = group.spec->memory.leaving;
  if (!before || !before->replicas) return {};
  const bool there = std::ranges::any_of(group.members, [&](const Member& member) {
    const Node& node = *world.nodes[member.node];
    return member.state != NodeState::kLost && node.held_since &&
           std::ranges::count(before->nodes, node.id.name) > 0;
  });
  if (!there || group.spec->leaving_stay) return {};
  const auto& replicas = group.spec->target_replicas;
  const bool still_has = !before->lowered && replicas && *replicas > *before->replicas;
  return still_has ? Problem() : Problem("takes nodes back that may go");
}

// The nodes are empty and the group's own, and were held before or have been spare for long enough.
Problem MayLeave(const World& world, const GroupView& group, const LeavingNodes& after,
                 const Taken& taken) {
  const auto& before = group.spec->memory.leaving;
  const bool held =
      before && !before->replicas && world.now < HeldUntil(*before, *group.spec->elastic);
  bool same = held;
  for (const std::string& name : after.nodes) {
    const auto at = world.FindNode(group.spec->cluster, name);
    const Member* member = at ? group.Find(*at) : nullptr;
    if (member == nullptr || member->state != NodeState::kUsable || member->overlapped)
      return "gives back " + name + ", which is not its to give";
    if (taken.Has(*world.nodes[*at])) return "gives back " + name + ", which is in use";
    same = same && std::ranges::count(before->nodes, name) > 0;
  }
  const auto& spare = group.spec->memory.spare;
  const Seconds delay = *group.spec->elastic->scale_down_delay;
  const bool fresh =
      spare ? std::ssize(after.nodes) <= spare->nodes && spare->since + delay <= world.now
            : delay <= Seconds{0};
  if (!same && !fresh) return "gives back more nodes than it has had to spare";
  const bool all = same && after.nodes.size() == before->nodes.size();
  const Time since = all && !after.replicas ? before->since : world.now;
  if (after.replicas && !(all && world.now >= before->since + kHeldFor)) return "is in a hurry";
  if (after.since != since) return "gives nodes back at a wrong time";
  return {};
}

// They have been held for long enough, nothing else is, and the target has them and no others.
Problem MayGo(const World& world, const GroupView& group, const LeavingNodes& after) {
  if (!after.replicas) return {};
  const int matched = static_cast<int>(std::ssize(group.members));
  const auto leaving = static_cast<int>(std::ssize(after.nodes));
  if (group.spec->target_replicas != matched || *after.replicas != matched - leaving) {
    return "lowers its target for others than it gives back";
  }
  for (const Member& member : group.members) {
    const Node& node = *world.nodes[member.node];
    const bool goes = std::ranges::count(after.nodes, node.id.name) > 0;
    const bool held = node.held_since && world.now >= *node.held_since + kHeldFor;
    if (goes ? !held : node.held_since.has_value()) return "lets a node go too early";
  }
  return {};
}

Problem MayBeSpare(const World& world, const GroupView& group, const SpareNodes& spare,
                   const std::optional<LeavingNodes>& leaving) {
  const auto& before = group.spec->memory.spare;
  if (spare.nodes < 1 || spare.since > world.now) return "spares nothing";
  const bool due = world.now >= spare.since + *group.spec->elastic->scale_down_delay;
  const bool next = leaving.has_value();  // one batch goes at a time
  if (due && TargetIsExact(group) && !next) return "keeps nodes for longer than it is to";
  const bool known = before && before->nodes >= spare.nodes && before->since == spare.since;
  if (spare.since != world.now && !known) return "spares more nodes than it had to spare";
  return {};
}

// Only empty nodes go, that were too many for the whole delay, and only as many as the target has
// beside those that stay.
Problem GivesBackRightly(const World& world, const GroupView& group, const GroupMemory& after,
                         const Taken& taken, int asked) {
  const bool goes_on = NodesLeaving(group) > 0;
  if (auto problem = goes_on ? GoesOn(group, after) : MayTakeBack(world, group)) return problem;
  const bool leaves = after.leaving && !goes_on;
  if (!leaves && !after.spare) return {};
  if (leaves && (after.leaving->nodes.empty() || after.leaving->lowered ||
                 std::ssize(after.leaving->nodes) > kBatch)) {
    return "mixes up what is spare";
  }
  if (!group.spec->elastic->scale_down_delay) return "gives nodes back that it is to keep";
  if (asked > 0 || taken.MayBeAny(group)) return "has nodes to spare that somebody waits for";
  if (group.LinkSuspect()) return "gives nodes back behind a link that is in doubt";
  if (after.spare) {
    if (auto problem = MayBeSpare(world, group, *after.spare, after.leaving)) return problem;
  }
  if (!leaves) return {};
  const int stay = NodesThere(group) - static_cast<int>(std::ssize(after.leaving->nodes));
  if (stay < std::min(group.spec->elastic->min_nodes, NodesThere(group))) {
    return "is to have fewer nodes than its minNodes";
  }
  if (auto problem = MayLeave(world, group, *after.leaving, taken)) return problem;
  return MayGo(world, group, *after.leaving);
}

}  // namespace

std::optional<std::string> ScalesAreRight(const World& world, const Plan& plan) {
  std::map<std::string_view, int> asked;
  for (const PoolDecision& decision : plan.pools) {
    const auto& ask = decision.memory.ask;
    if (ask && decision.action != Action::kDone) asked[ask->node_group] += ask->nodes;
  }
  for (const InferenceDecision& decision : plan.inference_pools) {
    for (const CellAsk& ask : decision.memory.asks) asked[ask.node_group] += ask.nodes;
  }
  const bool elastic = std::ranges::any_of(
      world.groups, [](const GroupView& group) { return group.spec->elastic.has_value(); });
  if (!elastic && plan.groups.empty()) return {};  // not every planner reports on groups
  if (plan.groups.size() != world.groups.size()) return "not every node group is reported on";
  const Taken taken(world, plan);
  for (size_t g = 0; g < world.groups.size(); ++g) {
    const std::string& name = world.groups[g].spec->name;
    const GroupMemory& after = plan.groups[g].memory;
    if (auto problem = ScaleIsRight(world.groups[g], after, asked[name])) {
      return name + " " + *problem;
    }
    if (!world.groups[g].spec->elastic) continue;
    if (plan.groups[g].there != NodesThere(world.groups[g])) {
      return name + " has another number of nodes than its report says";
    }
    if (world.groups[g].unreachable_since) continue;
    if (auto problem = GivesBackRightly(world, world.groups[g], after, taken, asked[name])) {
      return name + " " + *problem;
    }
    if (asked[name] > 0 && after.stockout && world.now < after.stockout->next_try) {
      return name + " is asked for nodes while it is out of stock";
    }
  }
  return {};
}

int64_t BoundReplicas(const InferencePool& pool, const CellMemory& cell) {
  return std::ranges::count_if(pool.live, [&](const Replica& replica) {
    return replica.variant == cell.variant && replica.node_group == cell.node_group &&
           !replica.node.empty() && !replica.terminating;
  });
}

}  // namespace spillway::placement
