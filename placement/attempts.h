#pragma once

#include <optional>
#include <string>
#include <vector>

#include "placement/checks.h"
#include "placement/gangs.h"
#include "placement/plan.h"
#include "placement/vacancies.h"

// New attempts: on new nodes, or on those that are left of the old ones.
namespace spillway::placement {

// Writes the attempt on the chosen nodes into the pool's memory.
void StartAttempt(const World& world, const TrainingPool& pool, const GroupView& group,
                  const Fit& fit, PoolMemory& memory);

// The names of the placement's nodes that a new attempt could use, room aside.
std::vector<std::string> Survivors(const World& world, const TrainingPool& pool,
                                   const PoolMemory& memory);

// Nodes for a new attempt in the placement's own group, its surviving nodes first; with Required
// in the same domain. Of an elastic gang for as many workers as there is room for. nullopt: there
// is no room for all, or for the least, or the pool may not be there any more. REQUIRES that the
// scene's quotas no longer count the placement.
std::optional<Fit> Refit(const Scene& scene, size_t pool, const PoolMemory& memory);

// The same for more workers than the placement has; nullopt also where the gang is not elastic.
std::optional<Fit> GrownFit(const Scene& scene, size_t pool, const PoolMemory& memory);

// Workers that an elastic gang has beyond the fewest that it may have where it is; 0: it has none,
// or could not start anew there. REQUIRES memory.placement.
int SurplusOf(const World& world, const TrainingPool& pool, const PoolMemory& memory);

// What a claim will have taken of a node once those have gone who make room for it.
struct ClaimedNode {
  size_t node = 0;
  Row has;  // reserved already
  Row lacks;
};
using Claimed = std::vector<ClaimedNode>;  // by node, ascending
// `own`: in Capacity, whose claim it is. `gone`: who makes room.
Claimed ClaimedOn(const Scene& scene, size_t own, const Need& need,
                  const std::vector<size_t>& nodes, const std::vector<size_t>& gone);

// Where the placement's own nodes have room for `need` now, one by one.
std::vector<Slot> OwnSlots(const Scene& scene, size_t pool, const PoolMemory& memory,
                           const Need& need, Settling settling);

// Nodes for a new attempt with fewer workers, as many as have room on those of the placement's own
// nodes that it leaves to `claimed`; nullopt: not even for the fewest. Its workers take no room of
// that wherever they are bound first. REQUIRES memory.placement.
std::optional<Fit> ShrunkFit(const Scene& scene, size_t pool, const PoolMemory& memory,
                             const Claimed& claimed, Settling settling);

// Nodes for a new attempt in the group of the hold, of those that are held; nullopt: they have no
// room for all, or for the least. REQUIRES memory.hold, in a group where the pool asks for `need`.
std::optional<Fit> FitOnHeld(const Scene& scene, size_t pool, const PoolMemory& memory,
                             const Need& need);

// Gives the placement up and keeps the survivors reserved, if any, for the pool's hold time.
void HoldSurvivors(const World& world, const TrainingPool& pool, PoolMemory& memory);

}  // namespace spillway::placement
