#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "placement/checks.h"
#include "placement/coverage.h"
#include "placement/gangs.h"
#include "placement/inference.h"
#include "placement/lifecycle.h"

// Who gives way to whom, when, and at what price: design §3, rules 5 and 6.
namespace spillway::placement {

// Evictions of the last so many seconds make another one dearer.
inline constexpr Seconds kEvictionsCount{86400};

// What was decided is written down before anybody goes for it.
inline constexpr Seconds kNotice{1};

// How long a new attempt takes until all its workers are ready: as last measured, else 600 s.
Seconds RestartTakes(const PoolMemory& memory);

// When a placed gang that is asked at `asked` to stop at its next checkpoint does so, and not
// before `soonest`. A program that tells its checkpoints has two intervals for the next one; of one
// that does not, they are the multiples of its interval since the attempt was placed.
Time CheckpointAfter(const TrainingPool& pool, const Placement& placement, Time asked,
                     Time soonest);

// When a placed gang that is asked at `asked` to give way does so: a second later, so that the
// claim on its place is written down before it goes and not before preemption.minRunSeconds, or at
// its next checkpoint. REQUIRES memory.placement.
Time GivesWayAt(const TrainingPool& pool, const PoolMemory& memory, Time asked);

// Accelerator-seconds that are lost if the gang stops at `when`: accelerators × (what it did since
// its last checkpoint, an hour at the most, and nothing where it goes at a checkpoint + the time
// that a restart takes: the last one measured, else 600 s) × (1 + its evictions in the 24 hours
// before). REQUIRES memory.placement.
int64_t EvictionCost(const TrainingPool& pool, const PoolMemory& memory, Time when);

// What a pass has decided so far, as a contest for room needs it. The parts outlive this.
struct Contest {
  const Scene& scene;
  const std::vector<Fate>& fates;  // of the gangs
  const Coverage& coverage;
  const std::vector<size_t>& placed;                  // gangs that have a place
  const std::vector<std::vector<size_t>>& placed_in;  // the same by group
  const std::vector<size_t>& ending;                  // gangs that have a deadline
  const std::vector<bool>& promised;                  // by gang: it gives way to somebody already
  const std::vector<bool>& shrinking;                 // of these: it goes on with fewer workers
  const std::vector<InferenceDraft>& inference;
  // By group: cells that have replicas there, as indices of pools and their cells.
  const std::vector<std::vector<std::pair<size_t, size_t>>>& serving_in;
  const std::set<ReplicaKey>& promised_replicas;  // likewise
};

// The gang's rank: where it is, or, without a place, for a place with accelerators of `type`.
Rank RankIn(const World& world, const Coverage& coverage, size_t gang, const PoolMemory& memory,
            const std::string& type);

// May a gang of the one rank make one of the other go? It must come before it; one of its own
// namespace must have a lower priority, one of another must borrow, and have a lower priority
// unless the claimant is guaranteed what it asks for.
bool MayEvict(const Rank& claimant, const Rank& victim);

// May the gang of the one rank have workers that the other's can do without? It must come before
// it; one of another namespace must borrow, and have a lower priority unless the claimant is
// guaranteed what it asks for.
bool MayShrink(const Rank& claimant, const Rank& victim);

// Who asks for room: a gang, or replicas of a cell as if they were one.
struct Claimant {
  size_t pool = 0;           // in World::pools: what it asks for
  size_t own = 0;            // in Capacity: whose pods and claims do not stand in its way
  const PoolMemory& memory;  // outlives this
  Rank rank;                 // for a place in the group that is looked at
};

// Who is to go so that one fits in a group.
struct Victory {
  std::vector<size_t> victims;       // gangs, ascending
  std::vector<ReplicaKey> replicas;  // ascending
  Fit fit;                           // where the claimant fits then
  int64_t cost = 0;                  // accelerator-seconds
  Time gone{};                       // when the last of their pods is gone
  bool shrinks = false;              // the gangs go on with fewer workers
};

enum class Right {
  kShrink,    // for workers that elastic gangs can do without; they stay on nodes that they have
  kReclaim,   // by the guarantee, at home
  kPriority,  // by the priority alone
};

// The cheapest set of victims that lets the claimant into the group of `option`, which was refused
// for want of capacity, a domain, quota, or money for an hour alone: exact for up to 12 candidates
// (in one domain, with topology Required), beyond that greedy and without one that could be spared.
// A replica is a candidate of its own, for gangs alone (replica_victims.h).
// kShrink: for room alone, which is looked for in two ways: where it is best for the claimant, and
// on those nodes that the gangs do not need for their fewest workers. There may be others.
// nullopt: there is no such set, or waiting for deadlines would start the gang no later. Moments at
// which time alone changes that are added to `moments`.
std::optional<Victory> CheapestVictims(const Contest& contest, const Claimant& claimant,
                                       const Option& option, Right right,
                                       std::vector<Time>& moments);

}  // namespace spillway::placement
