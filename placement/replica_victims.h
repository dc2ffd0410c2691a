#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "placement/cells.h"
#include "placement/coverage.h"

// Replicas that give way to gangs: which may, how many, and at what price. They go one by one, down
// to what the pool is guaranteed and to its variants' minReplicas, never below.
namespace spillway::placement {

// A pod of an inference pool, and where it belongs.
struct ReplicaPlace {
  size_t pool = 0;    // in World::inference
  size_t cell = 0;    // in InferenceDraft::cells
  size_t worker = 0;  // of the cell's seeker
  const Replica* replica = nullptr;
};

// The pool of that key; nullopt: there is none. `pools` are sorted by key.
std::optional<size_t> FindServing(const std::vector<InferenceDraft>& pools, const PoolKey& key);

// nullopt: the pod is gone, or of no cell that the pool knows.
std::optional<ReplicaPlace> FindReplica(const std::vector<InferenceDraft>& pools,
                                        const ReplicaKey& key);

// What a pool can do without: a replica that is wholly within the guarantee stays, as rule 1 has
// it; one that crosses it borrows.
class Spare {
 public:
  Spare(const InferenceDraft& pool, size_t index, const Coverage& coverage);

  // Takes one replica of the cell, if there is one to spare. Says whether there was.
  bool Take(const CellState& cell);

 private:
  std::map<std::string, int64_t> borrowed_;          // accelerators by type
  std::map<const Variant*, int64_t> above_minimum_;  // replicas
};

// Replicas of the cell may be asked for: all that it is to have are bound, and nothing else about
// their number is under way. REQUIRES that the cell is of the pool.
bool MayGiveWay(const InferenceDraft& pool, const CellState& cell);

// Accelerator-seconds that are lost if a replica goes: accelerators × its variant's startupSeconds
// × (1 + the times that replicas of the pool gave way in the 24 hours before).
int64_t ReplicaCost(const InferenceDraft& pool, const CellState& cell, Time when);

}  // namespace spillway::placement
