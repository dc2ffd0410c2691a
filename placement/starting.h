#pragma once

#include "placement/draft.h"

// Pods that have been given a place and have yet to be bound to a node. Until they are, each node
// that they may be bound to is taken for all that they could have there, and what they leave of it
// may be enough for whoever asks for new nodes. Those that are not bound for longer than it takes
// have something in their way, and are not waited for. The moments until when they are go to the
// draft's.
namespace spillway::placement {

// Replicas in a cell of the group; or in another one than `but`.
bool ReplicasStart(Draft& draft, const GroupView& group);
bool ReplicasStart(Draft& draft, const GroupView& group, const CellState* but);

// What replicas there are has changed.
void ForgetStarting(Draft& draft);

// Workers in the group; those that take whole nodes hide nothing.
bool WorkersStart(Draft& draft, const GroupView& group);

}  // namespace spillway::placement
