#include "placement/spare_nodes.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "placement/checks.h"

namespace spillway::placement {
namespace {

// The gang asks for no nodes only because those that are there tell that they are smaller than the
// group's shape says: once they are gone it would ask, and get the same again.
bool IsKeptFromAsking(const TrainingPool& pool, const Option& option) {
  if (!option.finding || !option.need) return false;
  const Reason reason = option.finding->reason;
  return (reason == Reason::kNodeTooSmall || reason == Reason::kConstraintsNotMet) &&
         MayFitOnNew(pool, *option.group, *option.need);
}

// Likewise for a cell: or it is held back from a spill for a moment still.
bool IsKeptFromAsking(const Draft& draft, const CellState& cell) {
  if (!cell.Known() || cell.leaving || !cell.group->spec->elastic || !cell.shortage) return false;
  const Reason reason = cell.shortage->reason;
  if (reason == Reason::kHoldingBackSpill) return true;
  if (reason != Reason::kNodeTooSmall && reason != Reason::kConstraintsNotMet) return false;
  const TrainingPool& seeker = *draft.world.pools[cell.seeker];
  Need need = NeedIn(seeker, *cell.group->spec)->For(1);
  need.request = cell.request;
  return MayFitOnNew(seeker, *cell.group, need);
}

// Where a gang that runs has room to grow, or to return to, and waits for that to have lasted.
void NeedToMove(const Draft& draft, size_t gang, std::vector<bool>& needed) {
  const PoolMemory& memory = draft.fates[gang].memory;
  for (size_t g = 0; g < needed.size(); ++g) {
    const NodeGroup& group = *draft.world.groups[g].spec;
    const bool grows = memory.growth_fits_since && memory.placement->node_group == group.name;
    const bool returns =
        memory.home_fits_since && group.tier == 0 && Accepts(draft.Pool(gang), group);
    if (grows || returns) needed[g] = true;
  }
}

// Groups in which somebody waits for no more than room, or for the end of a hold-back, or is yet to
// be bound to any of the nodes, or would ask for others if there were none, or is about to move.
std::vector<bool> NeededGroups(const Draft& draft) {
  std::vector<bool> needed(draft.world.groups.size());
  for (size_t gang = 0; gang < draft.fates.size(); ++gang) {
    if (draft.fates[gang].memory.placement) {
      NeedToMove(draft, gang, needed);
      continue;
    }
    for (const Option& option : draft.options[gang]) {
      if (!option.acceptable || !option.group->spec->elastic) continue;
      const bool waits =
          option.LacksRoom() || option.HeldBack() || IsKeptFromAsking(draft.Pool(gang), option);
      if (waits) needed[draft.world.IndexOf(*option.group)] = true;
    }
  }
  for (const InferenceDraft& pool : draft.inference) {
    for (const CellState& cell : pool.cells) {
      // A better mix waits for having been possible for long enough, wherever that is.
      const bool moves = pool.memory.home_fits_since.has_value();
      const bool binds = cell.memory.desired > 0 && cell.AtLarge() > 0;
      if (cell.group != nullptr && (moves || binds || IsKeptFromAsking(draft, cell)))
        needed[draft.world.IndexOf(*cell.group)] = true;
    }
  }
  for (size_t group = 0; group < needed.size(); ++group) {
    if (draft.coming[group] > 0) needed[group] = true;
  }
  return needed;
}

// By node: does anybody have pods there, or is to have some, or is room kept there for somebody? A
// pod of an attempt that is over does not say in which cluster it is: it counts in each. Where
// replicas are yet to be bound, which may be anywhere, is for NeededGroups to say.
std::vector<bool> TakenNodes(const Draft& draft) {
  const World& world = draft.world;
  std::vector<bool> taken(world.nodes.size());
  const auto take = [&](const std::string& name) {
    for (const std::string_view cluster : world.clusters) {
      const auto node = world.FindNode(cluster, name);
      if (node) taken[*node] = true;
    }
  };
  const auto take_all = [&](const auto& decided) {
    if (decided) std::ranges::for_each(decided->nodes, take);
  };
  for (size_t gang = 0; gang < world.gangs; ++gang) {
    for (const Worker& worker : draft.Pool(gang).workers) {
      if (!worker.ended) take(worker.node);
    }
    const PoolMemory& memory = draft.fates[gang].memory;
    if (memory.completed) continue;
    take_all(memory.placement);
    take_all(memory.hold);
  }
  for (size_t p = 0; p < world.inference.size(); ++p) {
    for (const Replica& replica : world.inference[p]->live) take(replica.node);
    const auto& claim = draft.inference[p].memory.claim;
    if (claim) std::ranges::for_each(claim->hold.nodes, take);
  }
  std::vector<std::pair<size_t, size_t>> kept;
  for (size_t g = 0; g < world.groups.size(); ++g) {
    draft.capacity.AddNodesOf(draft.capacity.PromiseIn(g), kept);
  }
  for (const auto& [node, pool] : kept) taken[node] = true;
  return taken;
}

// The empty ones of the group, those of the domain with the fewest of them first, so that the
// largest stays whole the longest.
std::vector<size_t> EmptyNodes(const Draft& draft, const GroupView& group,
                               const std::vector<bool>& taken) {
  std::map<std::string_view, int> by_domain;
  std::vector<std::pair<std::string_view, size_t>> empty;
  for (const Member& member : group.members) {
    if (member.state != NodeState::kUsable || member.overlapped || taken[member.node]) continue;
    const Node& node = *draft.world.nodes[member.node];
    if (node.other_pods > 0) continue;
    std::string_view domain;
    if (!group.spec->domain_labels.empty()) {
      const auto label = node.labels.find(group.spec->domain_labels.front());
      if (label != node.labels.end()) domain = label->second.str();
    }
    ++by_domain[domain];
    empty.emplace_back(domain, member.node);
  }
  std::ranges::sort(empty, {}, [&](const auto& one) {
    return std::tuple(by_domain[one.first], one.first, one.second);
  });
  std::vector<size_t> nodes;
  nodes.reserve(empty.size());
  for (const auto& [domain, node] : empty) nodes.push_back(node);
  return nodes;
}

int MostToGive(const GroupView& group) {
  return std::max(NodesThere(group) - group.spec->elastic->min_nodes, 0);
}

// What was decided before and is not gone yet.
std::optional<LeavingNodes> StillGoing(const GroupView& group) {
  if (NodesLeaving(group) == 0) return std::nullopt;
  LeavingNodes leaving = *group.spec->memory.leaving;
  leaving.lowered = IsLowered(*group.spec);
  return leaving;
}

// What is held and may still go. Where some of it does not, the others wait as from the start: by
// then it is no longer held.
std::optional<LeavingNodes> StillHeld(const Draft& draft, const GroupView& group,
                                      const std::vector<size_t>& empty) {
  const auto& before = group.spec->memory.leaving;
  if (!before || before->replicas) return std::nullopt;
  if (draft.Now() >= HeldUntil(*before, *group.spec->elastic)) return std::nullopt;
  LeavingNodes held{.nodes = {}, .since = before->since, .replicas = {}, .lowered = false};
  for (const size_t node : empty) {
    const std::string& name = draft.world.nodes[node]->id.name;
    const bool was = std::ranges::find(before->nodes, name) != before->nodes.end();
    if (was && std::ssize(held.nodes) < MostToGive(group)) held.nodes.push_back(name);
  }
  if (held.nodes.empty()) return std::nullopt;
  if (held.nodes.size() < before->nodes.size()) held.since = draft.Now();
  std::ranges::sort(held.nodes);
  return held;
}

// From when all of them have been held for long enough; nullopt: not all are held.
std::optional<Time> HeldLongEnough(const Draft& draft, const GroupView& group,
                                   const LeavingNodes& held) {
  Time last = held.since + kHeldFor;
  for (const std::string& name : held.nodes) {
    const auto node = draft.world.FindNode(group.spec->cluster, name);
    const auto since = node ? draft.world.nodes[*node]->held_since : std::nullopt;
    if (!since) return std::nullopt;
    last = std::max(last, *since + kHeldFor);
  }
  return last;
}

// A node is held that stays: whatever marks it for the target has to be taken off first.
bool HoldsOthers(const Draft& draft, const GroupView& group, const LeavingNodes& held) {
  return std::ranges::any_of(group.members, [&](const Member& member) {
    const Node& node = *draft.world.nodes[member.node];
    return node.held_since && !std::ranges::binary_search(held.nodes, node.id.name);
  });
}

// What has been spare beside so many nodes for as long as they stays so.
void KeepSpare(Draft& draft, size_t index, const SpareNodes& before, int spare) {
  if (spare <= 0) return;
  draft.spare[index] = SpareNodes{.nodes = std::min(before.nodes, spare), .since = before.since};
}

void GoOn(Draft& draft, size_t index, LeavingNodes held) {
  const GroupView& group = draft.world.groups[index];
  const auto ready = HeldLongEnough(draft, group, held);
  const bool may = TargetIsExact(group) && !HoldsOthers(draft, group, held);
  if (ready && draft.Now() < *ready) draft.moments.push_back(*ready);
  if (ready && draft.Now() >= *ready && may) {
    held.replicas = *group.spec->target_replicas - static_cast<int>(std::ssize(held.nodes));
    held.since = draft.Now();
  }
  const Elastic& elastic = *group.spec->elastic;
  draft.moments.push_back(held.replicas ? held.since + elastic.provision_timeout
                                        : HeldUntil(held, elastic));
  draft.leaving[index] = std::move(held);
}

void Spare(Draft& draft, size_t index, const std::vector<size_t>& empty) {
  const GroupView& group = draft.world.groups[index];
  const int spare = std::min(static_cast<int>(std::ssize(empty)), MostToGive(group));
  if (spare == 0) return;
  SpareNodes now =
      group.spec->memory.spare.value_or(SpareNodes{.nodes = spare, .since = draft.Now()});
  now.nodes = std::min(now.nodes, spare);
  const Time due = now.since + *group.spec->elastic->scale_down_delay;
  if (draft.Now() < due || !TargetIsExact(group)) {
    draft.spare[index] = now;
    if (draft.Now() < due) draft.moments.push_back(due);
    return;
  }
  LeavingNodes leaving{.nodes = {}, .since = draft.Now(), .replicas = {}, .lowered = false};
  const int batch = std::min(now.nodes, kBatch);
  for (int i = 0; i < batch; ++i) {
    leaving.nodes.push_back(draft.world.nodes[empty[static_cast<size_t>(i)]]->id.name);
  }
  std::ranges::sort(leaving.nodes);
  KeepSpare(draft, index, now, now.nodes - batch);
  GoOn(draft, index, std::move(leaving));
}

}  // namespace

void GiveBackNodes(Draft& draft) {
  const auto& groups = draft.world.groups;
  const auto is_elastic = [](const GroupView& group) { return group.spec->elastic.has_value(); };
  if (std::ranges::none_of(groups, is_elastic)) return;
  const std::vector<bool> needed = NeededGroups(draft);
  const std::vector<bool> taken = TakenNodes(draft);
  for (size_t g = 0; g < groups.size(); ++g) {
    if (!is_elastic(groups[g]) || groups[g].unreachable_since) continue;
    const Elastic& elastic = *groups[g].spec->elastic;
    draft.leaving[g] = StillGoing(groups[g]);
    if (draft.leaving[g]) {
      // From then on they are taken back, or told to have stayed behind.
      const Time due = draft.leaving[g]->since + elastic.provision_timeout;
      if (draft.Now() < due) draft.moments.push_back(due);
    }
    if (needed[g] || groups[g].LinkSuspect() || !elastic.scale_down_delay ||
        !groups[g].spec->misconfigured.empty()) {
      continue;
    }
    const auto& before = groups[g].spec->memory.spare;
    const std::vector<size_t> empty = EmptyNodes(draft, groups[g], taken);
    const int spare = std::min(static_cast<int>(std::ssize(empty)), MostToGive(groups[g]));
    if (draft.leaving[g]) {
      if (before) KeepSpare(draft, g, *before, spare);
    } else if (auto held = StillHeld(draft, groups[g], empty)) {
      const int batch = static_cast<int>(std::ssize(held->nodes));
      if (before) KeepSpare(draft, g, *before, spare - batch);
      GoOn(draft, g, *std::move(held));
    } else {
      Spare(draft, g, empty);
    }
  }
}

}  // namespace spillway::placement
