#pragma once

#include <cstddef>

#include "placement/draft.h"
#include "placement/new_nodes.h"

// Nodes that elastic groups are asked for by inference pools. What a pool's cells together have no
// room for anywhere, be it a part of what it needs, is the cheapest mix of those cells whose groups
// may still get nodes for it, within all limits. Its replicas start when a node has come that has
// room for them. What was asked for before stands as long as it is needed and may be; nodes that
// the asks of one group leave room on are for those that ask it next, of this pool or another.
// What is asked for counts against quotas and money from the start, and is asked for by nobody who
// makes gangs go.
namespace spillway::placement {

// After the pool's cells were decided. Writes into them why their groups are not asked, or that
// they are. REQUIRES that the pool has asked for nothing in this round.
Asked AskForReplicas(Draft& draft, size_t pool);

// The pool, or none, has asked for anything in this round.
void ForgetCellAsks(Draft& draft, size_t pool);
void ForgetCellAsks(Draft& draft);

// Takes what is asked for out of the quotas' and the money's account.
void UncountCellAsks(Draft& draft);

// Writes what is asked for into the memories of pools, and which groups have delivered.
void SettleCellAsks(Draft& draft);

}  // namespace spillway::placement
