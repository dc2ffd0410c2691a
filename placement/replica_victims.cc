#include "placement/replica_victims.h"

#include <algorithm>

#include "placement/preemption.h"

namespace spillway::placement {

std::optional<size_t> FindServing(const std::vector<InferenceDraft>& pools, const PoolKey& key) {
  const auto at = std::ranges::lower_bound(
      pools, key, {}, [](const InferenceDraft& pool) -> const PoolKey& { return pool.pool->key; });
  if (at == pools.end() || at->pool->key != key) return std::nullopt;
  return static_cast<size_t>(at - pools.begin());
}

std::optional<ReplicaPlace> FindReplica(const std::vector<InferenceDraft>& pools,
                                        const ReplicaKey& key) {
  const auto found = FindServing(pools, key.pool);
  if (!found) return std::nullopt;
  const InferenceDraft* at = &pools[*found];
  const auto replica = std::ranges::find(at->pool->live, key.pod, &Replica::pod);
  if (replica == at->pool->live.end()) return std::nullopt;
  const auto cell = std::ranges::find_if(
      at->cells, [&](const CellState& one) { return one.Known() && IsIn(*replica, one); });
  if (cell == at->cells.end()) return std::nullopt;
  const auto before = std::count_if(at->pool->live.begin(), replica,
                                    [&](const Replica& one) { return IsIn(one, *cell); });
  return ReplicaPlace{.pool = *found,
                      .cell = static_cast<size_t>(cell - at->cells.begin()),
                      .worker = static_cast<size_t>(before),
                      .replica = &*replica};
}

Spare::Spare(const InferenceDraft& pool, size_t index, const Coverage& coverage) {
  for (const CellState& cell : pool.cells) {
    if (cell.variant == nullptr) continue;
    borrowed_[cell.variant->accelerator] +=
        int64_t{cell.memory.desired} * cell.variant->per_replica;
    above_minimum_[cell.variant] += cell.memory.desired;
  }
  for (auto& [type, accelerators] : borrowed_) accelerators -= coverage.Kept(index, type);
  for (auto& [variant, replicas] : above_minimum_) replicas -= variant->min_replicas;
}

bool Spare::Take(const CellState& cell) {
  int64_t& borrowed = borrowed_[cell.variant->accelerator];
  int64_t& above = above_minimum_[cell.variant];
  if (borrowed <= 0 || above <= 0) return false;
  borrowed -= cell.variant->per_replica;
  --above;
  return true;
}

bool MayGiveWay(const InferenceDraft& pool, const CellState& cell) {
  return !pool.held && !pool.IsInDoubt() && cell.Known() && !cell.group->IsLeftAlone() &&
         !cell.Rolling() && cell.unbound == 0 && cell.live == cell.memory.desired;
}

int64_t ReplicaCost(const InferenceDraft& pool, const CellState& cell, Time when) {
  const auto evictions = std::ranges::count_if(
      pool.memory.evictions,
      [&](const Eviction& eviction) { return when - eviction.time < kEvictionsCount; });
  return int64_t{cell.variant->per_replica} * cell.variant->startup.count() * (1 + evictions);
}

}  // namespace spillway::placement
