#include "placement/scaling.h"

#include <algorithm>

namespace spillway::placement {
namespace {

// More than windows of an hour ever need at the pace at which a decision can change.
constexpr size_t kMostRecent = 64;

// Requests that ended within the window count still.
bool Counts(const RecentUnits& recent, const Pace& pace, Time now) {
  return recent.until + pace.stabilization > now;
}

void Remember(const InferencePool& pool, Time now, InferenceMemory& memory) {
  if (*memory.requested != pool.replicas) {
    memory.recent.push_back({.units = *memory.requested, .until = now});
    memory.requested = pool.replicas;
  }
  std::erase_if(memory.recent, [&](const RecentUnits& recent) {
    return !Counts(recent, pool.scale_up, now) && !Counts(recent, pool.scale_down, now);
  });
  // Two that become one keep the larger number for as long: no earlier scale-down than asked for.
  while (memory.recent.size() > kMostRecent) {
    RecentUnits& second = memory.recent[1];
    second.units = std::max(second.units, memory.recent[0].units);
    memory.recent.erase(memory.recent.begin());
  }
}

int Stabilized(const InferencePool& pool, const InferenceMemory& memory, Time now) {
  int least = pool.replicas;
  int most = pool.replicas;
  for (const RecentUnits& recent : memory.recent) {
    if (Counts(recent, pool.scale_up, now)) least = std::min(least, recent.units);
    if (Counts(recent, pool.scale_down, now)) most = std::max(most, recent.units);
  }
  return std::clamp(*memory.units, least, most);
}

// A new period begins with the first change after the last one is over.
ScalingStep& PeriodOf(std::optional<ScalingStep>& step, const Pace& pace, int units, Time now) {
  if (!step || now >= step->since + pace.period) step = ScalingStep{.since = now, .units = units};
  return *step;
}

}  // namespace

void FollowUnits(const InferencePool& pool, Time now, InferenceMemory& memory) {
  if (!memory.units || !memory.requested) {
    memory.units = pool.replicas;
    memory.requested = pool.replicas;
    return;
  }
  Remember(pool, now, memory);
  int target = Stabilized(pool, memory, now);
  if (target > *memory.units && pool.scale_up.max_step) {
    const ScalingStep& step = PeriodOf(memory.step_up, pool.scale_up, *memory.units, now);
    target = std::clamp(target, *memory.units,
                        std::max(*memory.units, step.units + *pool.scale_up.max_step));
  }
  if (target < *memory.units && pool.scale_down.max_step) {
    const ScalingStep& step = PeriodOf(memory.step_down, pool.scale_down, *memory.units, now);
    target = std::clamp(target, std::min(*memory.units, step.units - *pool.scale_down.max_step),
                        *memory.units);
  }
  memory.units = target;
  if (!pool.scale_up.max_step) memory.step_up.reset();
  if (!pool.scale_down.max_step) memory.step_down.reset();
}

std::vector<Time> UnitMoments(const InferencePool& pool, const InferenceMemory& memory) {
  std::vector<Time> moments;
  for (const RecentUnits& recent : memory.recent) {
    moments.push_back(recent.until + pool.scale_up.stabilization);
    moments.push_back(recent.until + pool.scale_down.stabilization);
  }
  if (memory.units == memory.requested) return moments;
  if (memory.step_up) moments.push_back(memory.step_up->since + pool.scale_up.period);
  if (memory.step_down) moments.push_back(memory.step_down->since + pool.scale_down.period);
  return moments;
}

}  // namespace spillway::placement
