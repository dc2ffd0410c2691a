#pragma once

#include <string>
#include <vector>

#include "placement/plan.h"

namespace spillway::placement {

// What would help a gang that waits, a line for each node group: all that a line lists, done with
// every other placement as it is, gets it a place there. Where the plan cannot judge a group's room
// before it is known which nodes the gang may use, or which domains they are in, that is mended in
// a copy of the group, and what comes to light then is listed too: nodes are taken to be usable
// with what they have, to be this group's alone, to be let in, or to share a domain. Of all others:
// what the plan says. `decision` is of the snapshot's plan. It costs a few plans of the group's
// nodes, so that it is made for one pool, when somebody asks.
std::vector<std::string> RemediesFor(const Snapshot& snapshot, const PoolDecision& decision);

}  // namespace spillway::placement
