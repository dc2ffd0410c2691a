#pragma once

#include <optional>
#include <string>
#include <vector>

#include "placement/plan.h"

namespace spillway::placement {

// When a gang that waits behind others starts at the latest, by the deadlines of all of them.
struct Estimate {
  std::string node_group;
  std::optional<Time> starts_by;  // nullopt: nobody can say
  std::vector<PoolKey> after;     // sorted; who has ended by then
  std::vector<PoolKey> endless;   // nobody can say: who may run for ever
  bool operator==(const Estimate&) const = default;
};

// Of a gang that waits for room and has no reservation, in the node group where it is free soonest;
// nullopt: there is nothing to say. Nothing is kept for the gang, and no decision asks for this; it
// costs as much as a plan, so that it is made for one pool, when somebody asks.
//
// Assumed is that nobody comes, neither new pools nor gangs that run elsewhere; that whoever has a
// place keeps it until it ends, so that nobody gives way, moves or is restarted on other nodes;
// that nodes stay as they are; that InferencePools need no more replicas than they have; and that
// who has no activeDeadlineSeconds runs for ever. Whoever has one may end sooner: that never makes
// the estimate wrong.
//
// Two bounds are known, and the earlier counts.
// - In the order of the queue: once all before it have started, the gang is the first of the group,
//   and room is reserved for it. It fits at the moment from which those that may still run then,
//   each on as many nodes as it has workers, wherever these hurt most, leave it enough. Known where
//   the order of turns can't change: nobody is guaranteed anything, and no other namespace waits
//   with the same priority.
// - In any order: once all that run have ended, somebody who waits always runs while the gang does
//   not, so that it starts when the times of all others that wait have passed one after the other.
//
// There is none where its namespace has a limit that others who wait would reach before it, where
// an InferencePool waits for room in the group, where somebody who could come there has lost sight
// of nodes for a while or would fit once they are back (NotReady, within their grace), where whole
// nodes are paid for, or behind more than 256 others.
std::optional<Estimate> EstimateFor(const Snapshot& snapshot, const PoolDecision& decision);

}  // namespace spillway::placement
