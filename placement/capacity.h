#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "placement/nodes.h"
#include "placement/rows.h"
#include "placement/snapshot.h"

// What nodes have left, and what is spoken for.
namespace spillway::placement {

// What a pool asks for in a group.
struct Need {
  int workers = 0;
  int least = 0;      // an attempt of an elastic gang may have any number from here to `workers`
  int all = 0;        // all that the gang has with this type of accelerator
  size_t choice = 0;  // in TrainingPool::accelerators
  Resources request;  // of one worker there
  [[nodiscard]] int64_t Accelerators(const TrainingPool& pool) const {
    return int64_t{workers} * pool.per_worker;
  }
  [[nodiscard]] bool IsElastic() const { return least < workers; }
  // Is it for some of an elastic gang's workers only?
  [[nodiscard]] bool IsPart() const { return workers < all; }
  // The same for another number of workers.
  [[nodiscard]] Need For(int count) const {
    Need need = *this;
    need.workers = count;
    return need;
  }
};

// One worker of the pool in the group: its own requests, what the place adds, its accelerators.
Resources RequestIn(const TrainingPool& pool, const NodeGroup& group);

// Accelerators that the placement's attempt was started with, of one worker and of all: an edit of
// the pool changes neither. A record that does not say takes the pool's own number.
int PerWorkerOf(const TrainingPool& pool, const Placement& placement);
int64_t AcceleratorsOf(const TrainingPool& pool, const Placement& placement);

// nullopt: the pool does not accept the group's type of accelerator. The first: which one it is, in
// TrainingPool::accelerators.
std::optional<size_t> ChoiceIn(const TrainingPool& pool, const NodeGroup& group);
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
  // It waits for others to go: what they leave is kept for it even before a worker fits.
  bool gathers = false;
  // Workers of its present attempt that are bound, by node: these can't come to another node any
  // more.
  std::vector<NodeWorkers> bound;
  // What others of its pods take of a node for as long as they stay, whatever they request; they
  // are none of `workers`.
  std::map<size_t, Resources> beside;
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
  // The same beside what is reserved for it already: of both, the larger part of each node.
  void Add(size_t pool, const Claim& claim);
  void Clear(size_t pool);
  // What pods of the pool still have on the node is no room for the pool itself any more: somebody
  // else waits for it.
  void Forfeit(size_t pool, size_t node) { SetForfeited(pool, node, true); }
  // Nobody else does any more.
  void Unforfeit(size_t pool, size_t node) { SetForfeited(pool, node, false); }

  // Keeps room in a group for a pool that has none yet: what `most` workers of `request` at the
  // most need of the nodes once those in `gone` are gone, less what these leave. What that takes of
  // remains is no room any more for the pool whose they are. Replaces what was kept in the group.
  void Keep(size_t group, size_t pool, const Row& request, int64_t most,
            const std::vector<size_t>& nodes, const std::vector<size_t>& gone);
  void KeepNothing(size_t group);
  // Stands among pools, in the `gone` of others, for what is kept in the group.
  [[nodiscard]] size_t PromiseIn(size_t group) const { return world_.pools.size() + group; }
  // Likewise for what the pool's pods have of nodes that neither its present attempt nor what is
  // held for it needs: they are on their way out, wherever the pool itself is or goes.
  [[nodiscard]] size_t RemainsOf(size_t pool) const { return shares_.size() + pool; }
  // The pool that something in a `gone` is, or is the remains of.
  [[nodiscard]] size_t WhoseIs(size_t gone) const {
    return gone < shares_.size() ? gone : gone - shares_.size();
  }
  [[nodiscard]] bool HasRemains(size_t pool) const { return remains_[pool]; }
  // Likewise for one pod alone: the worker with that index of a seeker. It is none of what the
  // seeker's claim, if any, still lacks.
  [[nodiscard]] size_t PodOf(size_t seeker, size_t worker) const {
    return 2 * shares_.size() + first_pod_[seeker - world_.gangs] + worker;
  }

  // Stands for a pool that has nothing anywhere, neither pods nor a claim.
  [[nodiscard]] size_t Nobody() const { return shares_.size() - 1; }

  // What others than the pools that are here already could take: allocatable minus all shares.
  [[nodiscard]] Resources Free(size_t node) const { return columns_.ResourcesOf(FreeRow(node)); }
  // The same of one resource, by its column.
  [[nodiscard]] size_t ColumnOf(std::string_view resource) const { return columns_.Find(resource); }
  [[nodiscard]] int64_t FreeIn(size_t column, size_t node) const { return FreeRow(node)[column]; }
  [[nodiscard]] Resources FreeFor(size_t pool, size_t node) const;
  [[nodiscard]] int64_t FreeFor(size_t pool, size_t node, std::string_view resource) const;

  // How many workers of `request`, `most` at the most, a new placement of the pool may count on
  // here. None where gangs that are not bound yet could lose their room to it: a worker can be kept
  // to its nodes, but nobody can say how many of a gang bind to one of them first.
  [[nodiscard]] int64_t Fits(size_t pool, size_t node, const Row& request, int64_t most) const;
  [[nodiscard]] Row RowOf(const Resources& request) const { return columns_.RowOf(request); }

  // What is free for the pool if those in `gone` had neither pods nor a claim; and how many it may
  // then count on, `free` being that (no remains are in `gone` there).
  [[nodiscard]] Row FreeWithout(size_t pool, size_t node, std::span<const size_t> gone) const;
  // The same into a row of the caller's, who asks about many nodes.
  void FreeWithout(size_t pool, size_t node, std::span<const size_t> gone, Row& free) const;
  [[nodiscard]] int64_t FitsWithout(size_t pool, size_t node, const Row& free, const Row& request,
                                    int64_t most, std::span<const size_t> gone) const;

  // For a pool that has nothing here: how many fit, and whether that many can't be counted
  // on by a gang of more, as somebody could lose room to it.
  struct Count {
    int64_t fit = 0;
    bool contested = false;
  };
  [[nodiscard]] Count CountOn(size_t node, const Row& request) const;

  // How many changes of rooms there have been; the nodes of those since there were `seen`, in their
  // order, and one as often as it has changed.
  [[nodiscard]] size_t Changes() const { return changed_.size(); }
  [[nodiscard]] std::span<const size_t> ChangedSince(size_t seen) const {
    return std::span(changed_).subspan(seen);
  }

  // How many of `request`, `most` at the most, fit beside those pods of the pool that stay; they
  // request `beside` in all.
  [[nodiscard]] int64_t FitsBeside(size_t pool, size_t node, const Row& beside, const Row& request,
                                   int64_t most) const;

  // How many of `request`, `most` at the most, may be on their way to somewhere without taking room
  // on this node that others need who are not bound yet. Nobody keeps a replica to one node.
  [[nodiscard]] int64_t Harmless(size_t pool, size_t node, const Row& beside, const Row& request,
                                 int64_t most) const;

  // Is anything reserved on the node that nobody's pods have yet?
  [[nodiscard]] bool IsOpen(size_t node) const { return open_[node] > 0; }

  // Nodes on which the pool has pods or a claim; or remains.
  [[nodiscard]] std::vector<size_t> NodesOf(size_t pool) const;
  // Of the nodes on which it has pods or a claim, those where these have anything now.
  [[nodiscard]] std::vector<size_t> HeldBy(size_t pool) const;
  // Appends (node, pool) for each of NodesOf.
  void AddNodesOf(size_t pool, std::vector<std::pair<size_t, size_t>>& nodes) const;

 private:
  using Amounts = std::span<const int64_t>;

  // A pool's part of a node: rows of what its pods request; of what is reserved, at least that; of
  // what its present attempt and its claims need; and of what is kept for others of the rest.
  struct Share {
    size_t node = 0;
    size_t live = 0;      // in amounts_
    size_t reserved = 0;  // likewise
    size_t stays = 0;     // likewise
    size_t pledged = 0;   // likewise
    bool forfeited = false;
  };

  struct Pod {
    size_t node = 0;      // kNowhere: not bound
    size_t requests = 0;  // in amounts_
  };

  // What a promise takes of remains.
  struct Pledge {
    size_t pool = 0;
    size_t node = 0;
    Row amounts;
  };

  void AddPods(const World& world, std::vector<int64_t>& ours);
  // So many of the pool on the node, each of which requests that.
  void AddPods(size_t pool, size_t node, const Row& requests, int64_t count,
               std::vector<int64_t>& ours);
  void RememberPods(const World& world, size_t seeker);
  void AddRooms(const World& world, const std::vector<int64_t>& ours);
  Share& ShareOf(size_t pool, size_t node);  // a new one has nothing
  void SetForfeited(size_t pool, size_t node, bool forfeited);
  void Reserve(const Share& share, Amounts amounts);
  // The pool's present attempt and claims need at least that of the node.
  void Stay(const Share& share, Amounts amounts);
  void StayBound(const Share& share, const Row& request, int64_t count);  // so many workers do
  void AddPledge(Pledge pledge, size_t group);  // REQUIRES that the pool has a share there
  void LookForRemains(size_t pool);
  [[nodiscard]] const Share* Find(size_t pool, size_t node) const;
  // The same, but for what is no room for the pool itself.
  [[nodiscard]] const Share* FindOwn(size_t pool, size_t node) const;
  // Adds what `other` leaves there when it is gone, beside what is promised of it already.
  void AddLeft(size_t other, const Share& share, Row& room) const;
  [[nodiscard]] bool HasRemains(const Share& share) const;
  [[nodiscard]] bool AreRemains(size_t gone) const { return gone >= shares_.size(); }
  [[nodiscard]] bool IsPod(size_t gone) const { return gone >= 2 * shares_.size(); }
  [[nodiscard]] const Pod& PodBehind(size_t gone) const { return pods_[gone - 2 * shares_.size()]; }
  [[nodiscard]] Amounts At(size_t begin) const { return {&amounts_[begin], columns_.Width()}; }
  [[nodiscard]] std::span<int64_t> At(size_t begin) { return {&amounts_[begin], columns_.Width()}; }
  [[nodiscard]] bool IsOpen(const Share& share) const;
  // `own`: nullptr where the pool has nothing there that is room for it.
  [[nodiscard]] int64_t FitsBeside(const Share* own, size_t node, const Row& beside,
                                   const Row& request, int64_t most) const;
  [[nodiscard]] Amounts FreeRow(size_t node) const;
  [[nodiscard]] Amounts PhysicalRow(size_t node) const;
  // A copy of a node's row with what the pool has there.
  [[nodiscard]] Row FreeWith(const Share* share, size_t node) const;
  [[nodiscard]] Row PhysicalWith(const Share* share, size_t node) const;

  const World& world_;
  Columns columns_;
  std::vector<int64_t> physical_;  // by node: allocatable minus the requests of all pods
  std::vector<int64_t> free_;      // by node: allocatable minus foreign requests and all shares
  std::vector<int> open_;  // by node: shares larger than what their pools' pods request by now
  // By pool, for what is kept by group, and for nobody; then by node.
  std::vector<std::vector<Share>> shares_;
  std::vector<bool> remains_;                 // by pool: has it any?
  std::vector<Pod> pods_;                     // of all seekers
  std::vector<size_t> first_pod_;             // by seeker, in pods_
  std::vector<int64_t> amounts_;              // of the shares
  std::vector<std::vector<Pledge>> pledges_;  // by group
  std::vector<size_t> changed_;               // a node for every change
};

// Workers of the placement's attempt that have succeeded. What is known of a Job is about the
// attempt that the pool's status has; a new attempt starts at none.
int SucceededOf(const TrainingPool& pool, const Placement& placement);

// The claim of a placement: only what its pods have where no group says what a worker needs there.
Claim ClaimOf(const World& world, const TrainingPool& pool, const Placement& placement);
// The claim of a hold; nullopt when it is not known what a worker needs there.
std::optional<Claim> ClaimOf(const World& world, const TrainingPool& pool, const Hold& hold);

}  // namespace spillway::placement
