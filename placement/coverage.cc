#include "placement/coverage.h"

#include <algorithm>

#include "placement/capacity.h"

namespace spillway::placement {

bool Rank::Before(const Rank& other) const {
  if (guaranteed != other.guaranteed) return guaranteed;
  if (priority != other.priority) return priority > other.priority;
  return std::tie(queued_since, *key, inference) <
         std::tie(other.queued_since, *other.key, other.inference);
}

bool HasTurnBefore(const QuotaBook& quotas, const Rank& left, const Rank& right) {
  const bool peers = !left.guaranteed && !right.guaranteed && left.priority == right.priority;
  const int borrowed = peers ? quotas.CompareBorrowed(left.key->ns, right.key->ns) : 0;
  return borrowed == 0 ? left.Before(right) : borrowed < 0;
}

Rank RankOf(const TrainingPool& pool, const PoolMemory& memory, Time now) {
  return {.guaranteed = false,
          .priority = pool.priority,
          .queued_since = memory.queued_since.value_or(now),
          .key = &pool.key,
          .inference = false};
}

std::vector<Demand> DemandsOf(const TrainingPool& pool, size_t index, const PoolMemory& memory,
                              Time now) {
  const Rank rank = RankOf(pool, memory, now);
  if (memory.placement) {
    return {{.rank = rank,
             .pool = index,
             .type = memory.placement->accelerator,
             .accelerators = AcceleratorsOf(pool, *memory.placement)}};
  }
  std::vector<Demand> demands;
  demands.reserve(pool.accelerators.size());
  for (const AcceptedAccelerator& accepted : pool.accelerators) {
    demands.push_back({.rank = rank,
                       .pool = index,
                       .type = accepted.type,
                       .accelerators = int64_t{accepted.workers} * pool.per_worker});
  }
  return demands;
}

Coverage::Coverage(const QuotaBook& quotas, std::vector<Demand> demands) {
  if (!quotas.HasGuarantees()) return;
  std::sort(demands.begin(), demands.end(), [](const Demand& a, const Demand& b) {
    const auto book = [](const Demand& d) { return std::tie(d.rank.key->ns, d.type); };
    if (book(a) != book(b)) return book(a) < book(b);
    Rank left = a.rank;
    Rank right = b.rank;
    left.guaranteed = right.guaranteed = false;
    return left.Before(right);
  });
  const Demand* before = nullptr;
  int64_t left = 0;
  for (const Demand& demand : demands) {
    const std::string& ns = demand.rank.key->ns;
    if (before == nullptr || before->rank.key->ns != ns || before->type != demand.type) {
      left = quotas.Guaranteed(ns, demand.type);
    }
    before = &demand;
    const bool fits = demand.accelerators <= left;
    if (demand.Divisible()) {
      kept_[{demand.pool, demand.type}] = std::min(demand.accelerators, left);
    }
    // Nothing is left for those behind one that crosses it.
    left = fits ? left - demand.accelerators : 0;
    if (demand.Divisible()) {
      grows_[demand.pool] = grows_[demand.pool] || left > 0;
      left_[{demand.pool, demand.type}] = left;
      left = demand.claimed <= left ? left - demand.claimed : 0;
    } else {
      gangs_[{demand.pool, demand.type}] = fits;
    }
  }
}

// Asked about every gang that might give way: without guarantees, no key is made for a look-up.
bool Coverage::Gang(size_t pool, const std::string& type) const {
  if (gangs_.empty()) return false;
  const auto at = gangs_.find({pool, type});
  return at != gangs_.end() && at->second;
}

bool Coverage::Gang(size_t pool) const {
  for (auto at = gangs_.lower_bound({pool, std::string()});
       at != gangs_.end() && at->first.first == pool; ++at) {
    if (at->second) return true;
  }
  return false;
}

bool Coverage::Grows(size_t inference_pool) const {
  const auto at = grows_.find(inference_pool);
  return at != grows_.end() && at->second;
}

int64_t Coverage::Left(size_t inference_pool, const std::string& type) const {
  if (left_.empty()) return 0;
  const auto at = left_.find({inference_pool, type});
  return at == left_.end() ? 0 : at->second;
}

int64_t Coverage::Kept(size_t inference_pool, const std::string& type) const {
  if (kept_.empty()) return 0;
  const auto at = kept_.find({inference_pool, type});
  return at == kept_.end() ? 0 : at->second;
}

void Coverage::Demote(size_t pool) {
  for (auto at = gangs_.lower_bound({pool, std::string()});
       at != gangs_.end() && at->first.first == pool; ++at) {
    at->second = false;
  }
}

bool Coverage::Join(const Coverage& other) {
  bool more = false;
  const auto join = [&more](auto& mine, const auto& theirs) {
    for (const auto& [key, guaranteed] : theirs) {
      bool& known = mine[key];
      more = more || (guaranteed && !known);
      known = known || guaranteed;
    }
  };
  join(gangs_, other.gangs_);
  join(grows_, other.grows_);
  return more;
}

}  // namespace spillway::placement
