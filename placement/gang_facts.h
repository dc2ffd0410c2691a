#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "placement/snapshot.h"

// What pods of the training pools and their placements come to, read once in a pass: they are the
// largest part of a snapshot.
namespace spillway::placement {

struct World;

// Stands for every node that is not in the snapshot.
inline constexpr size_t kNowhere = static_cast<size_t>(-1);
// Likewise for groups.
inline constexpr size_t kNoGroup = static_cast<size_t>(-1);

struct WorkerCounts {
  int active = 0;  // pods of the attempt that have not ended
  int ready = 0;
  int running = 0;  // run, or have ended
  int unbound = 0;
};

// Workers that are bound to a node.
struct NodeWorkers {
  size_t node = 0;  // kNowhere: any that is not in the snapshot
  int workers = 0;
  bool operator==(const NodeWorkers&) const = default;
};

// A part of a list that all gangs share.
struct Part {
  size_t begin = 0;
  size_t size = 0;
};

// One gang, as the snapshot has it; "its attempt" is the one that its memory has a placement of.
struct GangFacts {
  Part pods;                // of GangBook::pods
  Part nodes;               // of GangBook::nodes
  Part bound;               // of GangBook::bound
  WorkerCounts counts;      // of its attempt
  Resources requests;       // the most that a pod of its attempt requests
  bool old_pods = false;    // pods that have not ended are not of its attempt
  bool alike = true;        // all its pods are of its attempt, have not ended, and request the same
  bool steady = false;      // all its nodes are there, in service, ready, and members of its group
  size_t group = kNoGroup;  // in World::groups: its placement's
};

class GangBook {
 public:
  // REQUIRES that the world's nodes and groups are surveyed. Keeps nothing of it but the snapshot.
  explicit GangBook(const World& world);
  GangBook() = default;

  // nullptr: it is none of the snapshot's training pools.
  [[nodiscard]] const GangFacts* Find(const TrainingPool& pool) const;
  // The same where the attempt is that of the placement which the snapshot has of it.
  [[nodiscard]] const GangFacts* Find(const TrainingPool& pool, int attempt) const;
  // And where `placement` is that placement.
  [[nodiscard]] const GangFacts* Find(const TrainingPool& pool, const Placement& placement) const;

  // How the workers of the pool, which is one of the snapshot's, are doing has changed, and nothing
  // else of them.
  void Recount(const TrainingPool& pool);

  // Where its pods are, in their order: kNowhere where they are not bound to a node that is known.
  [[nodiscard]] std::span<const size_t> Pods(const GangFacts& gang) const {
    return std::span(pods_).subspan(gang.pods.begin, gang.pods.size);
  }
  // The nodes of its placement that are known, in the placement's order.
  [[nodiscard]] std::span<const size_t> Nodes(const GangFacts& gang) const {
    return std::span(nodes_).subspan(gang.nodes.begin, gang.nodes.size);
  }
  // Workers of its attempt by the node that they are bound to, ascending.
  [[nodiscard]] std::span<const NodeWorkers> Bound(const GangFacts& gang) const {
    return std::span(bound_).subspan(gang.bound.begin, gang.bound.size);
  }

 private:
  void ReadPods(const World& world, const TrainingPool& pool, GangFacts& gang);
  void ReadPlacement(const World& world, const TrainingPool& pool, GangFacts& gang);

  std::span<const TrainingPool> pools_;  // of the snapshot
  std::vector<GangFacts> facts_;         // of each
  std::vector<size_t> pods_;
  std::vector<size_t> nodes_;
  std::vector<NodeWorkers> bound_;
};

void CountPod(const Worker& worker, WorkerCounts& counts);

// Workers of the attempt by the node that they are bound to, ascending; failed ones keep their
// place.
std::vector<NodeWorkers> BoundWorkers(const World& world, const TrainingPool& pool, int attempt);

}  // namespace spillway::placement
