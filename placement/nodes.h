#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "placement/domains.h"
#include "placement/gang_facts.h"
#include "placement/snapshot.h"

// The snapshot put in order: every list sorted, every node with its state in every group.
namespace spillway::placement {

enum class NodeState { kUsable, kStarting, kCordoned, kDraining, kUnhealthy, kNotReady, kLost };
std::string_view Name(NodeState state);

// A node's state in a group, and the moment at which time alone changes it.
struct Standing {
  NodeState state = NodeState::kUsable;
  std::optional<Time> until;
  bool operator==(const Standing&) const = default;
};
Standing StandingOf(const NodeGroup& group, const Node& node, Time now);

// The resource by which the group's accelerators are counted: the CPU where it names none.
std::string_view CountedBy(const NodeGroup& group);

// How many of the group's accelerators an amount of that resource is: whole ones, never negative.
int64_t Accelerators(const NodeGroup& group, int64_t amount);
int64_t AcceleratorsIn(const NodeGroup& group, const Resources& amounts);

struct Member {
  size_t node = 0;  // in World::nodes
  NodeState state = NodeState::kUsable;
  bool overlapped = false;  // another group matches it too
  bool leaving = false;     // the group gives it back
  size_t shape = 0;         // in GroupView::shapes
};

struct GroupView {
  const NodeGroup* spec = nullptr;
  std::vector<Member> members;        // by node
  std::vector<Resources> shapes;      // the different allocatables of its nodes
  std::map<NodeState, int> by_state;  // how many members are in each
  int64_t per_node = 1;               // accelerators that divide the price of a node, at least 1
  // Nodes NotReady, from the first second; those aside that are lost or have never been of use.
  int not_ready = 0;
  int useless = 0;          // unhealthy, as they never were of use or lack their accelerators
  bool over_limit = false;  // more of them than maxUnhealthyPercent, and at least 3
  std::string overlap;      // which nodes other groups match too; empty: none
  std::optional<Time> changes_at;         // when time alone next changes a member's state
  std::optional<Time> unreachable_since;  // of its cluster; nullopt: it can be reached

  // Nothing of this group is restarted, released or excluded while its link is in doubt.
  [[nodiscard]] bool LinkSuspect() const { return over_limit && !spec->link_down; }
  // Nor while its cluster can't be reached: nobody who is there is made to go.
  [[nodiscard]] bool IsLeftAlone() const { return LinkSuspect() || unreachable_since.has_value(); }
  [[nodiscard]] const Member* Find(size_t node) const;
};

// Nodes that an elastic group has: all but those that are lost or given back. How many of them may
// still be what somebody asked for: they are starting, or came and are of no use, which is no
// reason to pay for others in their stead. And how many are there beside them that it gives back.
int NodesThere(const GroupView& view);
int NodesComing(const GroupView& view);
int NodesLeaving(const GroupView& view);

// Nodes that an elastic group may have: its maxNodes, or fewer where its maxHourlyCost pays for no
// more. What is there already stays. And what sets that limit: "elastic.maxNodes (5)".
int MostNodes(const NodeGroup& group);
std::string MostNodesBy(const NodeGroup& group);

// All nodes that match are replicas of the target, it has no others, and nothing is known to be in
// the way of lowering it.
bool TargetIsExact(const GroupView& view);

// Until when nodes are held at most that are not decided to go: the provision timeout, but no less
// than this.
constexpr Seconds kHeldAtMost{120};
Time HeldUntil(const LeavingNodes& leaving, const Elastic& elastic);

// Of a group whose `memory.leaving` has a number of replicas: the target has no more by now.
bool IsLowered(const NodeGroup& group);
// The nodes that the group was giving back are its own again. Of those that are only held when
// their time is over; of those that are decided to go only if the target is known to have more
// replicas still (what is not known may have been lowered), and time is over, it cannot be lowered,
// or the spec does not want it any more; and if it was lowered only when others have gone in their
// stead. REQUIRES that it is elastic and gives nodes back.
bool IsTakenBack(const NodeGroup& group, Time now);

// "5 of 16 nodes are NotReady at once, …": REQUIRES view.over_limit.
std::string LinkSentence(const GroupView& view);

// "cluster west has been unreachable since …"
std::string UnreachableSentence(std::string_view cluster, Time since);

// A variant of an inference pool on a node group that has its accelerators.
struct Cell {
  size_t variant = 0;  // in InferencePool::variants
  size_t group = 0;    // in World::groups
  size_t seeker = 0;   // in World::pools
};

// Finds nodes by name in a list of them: World::nodes.
class NodeIndex {
 public:
  // Of nodes with the same id the first one is found.
  explicit NodeIndex(const std::vector<const Node*>& nodes);
  NodeIndex() = default;

  // `nodes`: the list that it was made of.
  [[nodiscard]] std::optional<size_t> Find(const std::vector<const Node*>& nodes,
                                           std::string_view cluster, std::string_view name) const;

 private:
  // A table of hashes, so that few nodes are looked at that are not the one.
  struct Place {
    uint32_t hash = 0;
    uint32_t node = 0;  // from 1 on; 0: free
  };
  std::vector<Place> places_;  // a power of two, at most half of them taken
};

struct World {
  const Snapshot* snapshot = nullptr;  // outlives this
  Time now{};
  std::map<std::string_view, Time> unreachable;         // clusters that are, since when
  std::vector<std::string_view> clusters;               // all that have groups; the own one first
  std::vector<const Node*> nodes;                       // by (cluster, name)
  NodeIndex index;                                      // of them
  std::map<std::string, Domains, std::less<>> domains;  // by label: those of the groups
  std::vector<GroupView> groups;                        // by name
  std::vector<size_t> owner;  // by node: the one group that it is a member of; kNoGroup: not one
  // The training pools by key, and behind them the seekers: for every cell of every inference pool
  // one of its replicas as if it were a gang of one, so that both are fitted by the same rules.
  std::vector<const TrainingPool*> pools;
  size_t gangs = 0;               // of `pools` that are training pools
  std::vector<int64_t> priority;  // of each of these: many are looked at for it alone
  GangBook book;                  // of the training pools
  std::shared_ptr<const std::vector<TrainingPool>> seekers;
  std::vector<std::string_view> seeker_clusters;  // by seeker: that of its group
  // By seeker: the usable nodes of its group that its constraints let it use, also those that
  // another group matches. Seekers that ask alike share them.
  std::vector<std::shared_ptr<const std::vector<size_t>>> reach;
  std::vector<const InferencePool*> inference;  // by key
  std::vector<std::vector<Cell>> cells;         // of each; by variant, then group

  [[nodiscard]] bool IsSeeker(size_t pool) const { return pool >= gangs; }
  // REQUIRES that the pool is a seeker.
  [[nodiscard]] const std::vector<size_t>& ReachOf(size_t pool) const {
    return *reach[pool - gangs];
  }

  [[nodiscard]] std::optional<size_t> FindNode(std::string_view cluster,
                                               std::string_view name) const;
  [[nodiscard]] const GroupView* FindGroup(std::string_view name) const;
  // The node that the replica is bound to, in the cluster of its group.
  [[nodiscard]] std::optional<size_t> NodeOf(const Replica& replica) const;
  // Since when the cluster can't be reached; nullopt: it can be.
  [[nodiscard]] std::optional<Time> UnreachableSince(std::string_view cluster) const;
  // What is placed there is not touched, whatever happens to it.
  [[nodiscard]] bool IsLeftAlone(const Placement& placement) const;
  // That of the placement, which is the pool's, or may be.
  [[nodiscard]] const GroupView* GroupOf(const TrainingPool& pool,
                                         const Placement& placement) const;
  // Where the group is in `groups`. REQUIRES that it is one of them.
  [[nodiscard]] size_t IndexOf(const GroupView& group) const {
    return static_cast<size_t>(&group - groups.data());
  }
  // REQUIRES that a group has the label among its domainLabels.
  [[nodiscard]] const Domains& DomainsOf(std::string_view label) const;
};

World Survey(const Snapshot& snapshot);

// The cluster that the pods of the pool's attempt are in.
std::string_view ClusterOf(const TrainingPool& pool);
// The same of any pool in World::pools.
std::string_view ClusterOf(const World& world, size_t pool);

// What one replica of the variant asks for, and where it may run, as a gang of one without pods.
TrainingPool ReplicaAsGang(const InferencePool& pool, const Variant& variant);

// Finds many nodes of one cluster, most quickly those that are neighbours in World::nodes.
class NodeFinder {
 public:
  // Both outlive this.
  NodeFinder(const World& world, std::string_view cluster) : world_(world), cluster_(cluster) {}
  // The first to be found may well be `guess`, in World::nodes or not.
  NodeFinder(const World& world, std::string_view cluster, size_t guess)
      : world_(world), cluster_(cluster), last_(guess) {}
  std::optional<size_t> Find(std::string_view name);
  // That of a pod, which may be of an attempt that is over. It does not say in which cluster it is:
  // most likely in that one, else wherever there is such a node.
  std::optional<size_t> FindOfPod(std::string_view name);

 private:
  [[nodiscard]] bool IsAt(size_t node, std::string_view name) const;

  const World& world_;
  std::string_view cluster_;
  std::optional<size_t> last_;
};

}  // namespace spillway::placement
