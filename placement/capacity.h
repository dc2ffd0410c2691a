#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "placement/nodes.h"
#include "placement/snapshot.h"

// What nodes have left, and what is spoken for.
namespace spillway::placement {

// What a pool asks for in a group.
struct Need {
  int workers = 0;
  size_t choice = 0;  // in TrainingPool::accelerators
  Resources request;  // of one worker there
  [[nodiscard]] int64_t Accelerators(const TrainingPool& pool) const {
    return int64_t{workers} * pool.per_worker;
  }
};

// One worker of the pool in the group: its own requests, what the place adds, its accelerators.
Resources RequestIn(const TrainingPool& pool, const NodeGroup& group);

// Accelerators that the placement's attempt was started with, of one worker and of all: an edit of
// the pool changes neither. A record that does not say takes the pool's own number.
int PerWorkerOf(const TrainingPool& pool, const Placement& placement);
int64_t AcceleratorsOf(const TrainingPool& pool, const Placement& placement);

// nullopt: the pool does not accept the group's type of accelerator.
std::optional<Need> NeedIn(const TrainingPool& pool, const NodeGroup& group);

// Nodes that a pool has chosen and may still fill.
struct Claim {
  Resources request;  // of one worker
  int workers = 0;
  std::vector<size_t> nodes;
  // What a worker asks for is not known yet: nobody else may take anything of these nodes.
  bool whole = false;
  // It takes only what nobody else has a share in.
  bool yields = false;
  // Workers of its present attempt that are bound: these can't come to another node any more.
  std::map<size_t, int> bound;
};

// Room on every node, for everyone and for one pool. A pool's share of a node is the larger of what
// its pods there request and what its claim says; its own share never stands in its own way.
class Capacity {
 public:
  // Accounts for every pod; nobody has a claim yet. `world` outlives this.
  explicit Capacity(const World& world);

  // Replaces the pool's claim. Reserved on each of its nodes: all that its workers could take
  // there.
  void Set(size_t pool, const Claim& claim);
  void Clear(size_t pool);
  // What pods of the pool still have on the node is no room for the pool itself any more: somebody
  // else waits for it.
  void Forfeit(size_t pool, size_t node);

  // What others than the pools that are here already could take: allocatable minus all shares.
  [[nodiscard]] const Resources& Free(size_t node) const { return rooms_[node].free; }
  [[nodiscard]] Resources FreeFor(size_t pool, size_t node) const;
  [[nodiscard]] int64_t FreeFor(size_t pool, size_t node, std::string_view resource) const;

  // How many workers of `request`, `most` at the most, a new placement of the pool may count on
  // here. None where gangs that are not bound yet could lose their room to it: a worker can be kept
  // to its nodes, but nobody can say how many of a gang bind to one of them first.
  [[nodiscard]] int64_t Fits(size_t pool, size_t node, const Resources& request,
                             int64_t most) const;

  // The same, if the pools in `gone` had neither pods nor a claim.
  [[nodiscard]] int64_t FitsWithout(size_t pool, size_t node, const Resources& request,
                                    int64_t most, const std::vector<size_t>& gone) const;
  [[nodiscard]] Resources FreeWithout(size_t pool, size_t node,
                                      const std::vector<size_t>& gone) const;

  // How many of `request`, `most` at the most, may be on their way to somewhere without taking room
  // on this node that others need who are not bound yet. Nobody keeps a replica to one node.
  [[nodiscard]] int64_t Harmless(size_t pool, size_t node, const Resources& request,
                                 int64_t most) const;

  // Nodes on which the pool has pods or a claim.
  [[nodiscard]] std::vector<size_t> NodesOf(size_t pool) const;

 private:
  struct Room {
    Resources physical;  // allocatable minus the requests of all pods
    Resources free;      // allocatable minus foreign requests and all shares
    int open = 0;        // shares that are larger than what their pools' pods request by now
  };
  struct Share {
    Resources live;      // requests of its pods
    Resources reserved;  // at least that
    bool forfeited = false;
    [[nodiscard]] int IsOpen() const { return live == reserved ? 0 : 1; }
  };

  void Replace(size_t pool, size_t node, const Resources& reserved);
  [[nodiscard]] const Share* Find(size_t pool, size_t node) const;
  // The same, but for what is no room for the pool itself.
  [[nodiscard]] const Share* FindOwn(size_t pool, size_t node) const;

  std::vector<Room> rooms_;                      // by node
  std::vector<std::map<size_t, Share>> shares_;  // by pool, then node
};

// Stands for every node that is not in the snapshot.
inline constexpr size_t kNowhere = static_cast<size_t>(-1);

// The cluster that the pool's pods are in.
std::string ClusterOf(const TrainingPool& pool);

// Workers of the placement's attempt that have succeeded. What is known of a Job is about the
// attempt that the pool's status has; a new attempt starts at none.
int SucceededOf(const TrainingPool& pool, const Placement& placement);

// Workers of one attempt by the node that they are bound to; failed ones keep their place.
std::map<size_t, int> BoundWorkers(const World& world, const TrainingPool& pool, int attempt);

// The claim of a placement and of a hold; nullopt when it is not known what a worker needs there.
std::optional<Claim> ClaimOf(const World& world, const TrainingPool& pool,
                             const Placement& placement);
std::optional<Claim> ClaimOf(const World& world, const TrainingPool& pool, const Hold& hold);

}  // namespace spillway::placement
