#include "placement/starting.h"

#include <algorithm>

#include "placement/lifecycle.h"

namespace spillway::placement {
namespace {

// Pods that are placed are bound within so long, where nothing is in their way.
constexpr Seconds kBinds{10};

bool IsLate(Draft& draft, Time since) {
  if (draft.Now() >= since + kBinds) return false;
  draft.moments.push_back(since + kBinds);
  return true;
}

bool StartsLately(Draft& draft, const InferenceDraft& pool, const CellState& cell) {
  const auto& pending = cell.memory.pending_since;
  return (pending && IsLate(draft, *pending)) ||
         std::ranges::any_of(pool.pool->live, [&](const Replica& replica) {
           return replica.node.empty() && IsIn(replica, cell) && IsLate(draft, replica.since);
         });
}

bool AllBound(const World& world, const TrainingPool& gang, const Placement& placement) {
  const WorkerCounts counts = CountWorkers(world, gang, placement.attempt);
  return counts.active - counts.unbound + gang.attempt.succeeded >= placement.workers;
}

}  // namespace

bool ReplicasStart(Draft& draft, const GroupView& group, const CellState* but) {
  for (const InferenceDraft& pool : draft.inference) {
    for (const CellState& cell : pool.cells) {
      if (&cell == but || cell.group != &group || cell.AtLarge() < 1) continue;
      if (StartsLately(draft, pool, cell)) return true;
    }
  }
  return false;
}

bool ReplicasStart(Draft& draft, const GroupView& group) {
  std::optional<bool>& known = draft.replicas_start[draft.world.IndexOf(group)];
  if (!known) known = ReplicasStart(draft, group, nullptr);
  return *known;
}

void ForgetStarting(Draft& draft) { std::ranges::fill(draft.replicas_start, std::nullopt); }

bool WorkersStart(Draft& draft, const GroupView& group) {
  for (size_t gang = 0; gang < draft.world.gangs; ++gang) {
    const PoolMemory& memory = draft.fates[gang].memory;
    const auto& placement = memory.placement;
    if (memory.completed || !placement || placement->node_group != group.spec->name) continue;
    if (draft.Pool(gang).per_worker == group.spec->per_node) continue;
    if (AllBound(draft.world, draft.Pool(gang), *placement)) continue;
    if (IsLate(draft, placement->since)) return true;
  }
  return false;
}

}  // namespace spillway::placement
