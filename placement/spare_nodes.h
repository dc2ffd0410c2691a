#pragma once

#include "placement/draft.h"

// Nodes that elastic groups give back, where they have a scaleDownDelaySeconds: only empty ones
// that nobody has needed for so long, never below minNodes, and one batch of no more than kBatch at
// a time. What else has been spare for as long stays so, and is the next one.
//
// A batch is held first: pods of others are kept from its nodes, but they are room for pools as
// before, and who needs one takes it back. Once all of them have been held for long enough that
// whatever was on its way there has come, are empty still, and the group's target has as many
// replicas as there are nodes, it is decided to how many it is lowered; from then on they are
// nobody's, until they are gone or taken back (IsTakenBack).
namespace spillway::placement {

// For so long nodes are held before they go.
constexpr Seconds kHeldFor{30};
// So many go at once at most: each is looked at just before, and all of them are to be empty by
// then.
constexpr int kBatch = 64;

// Writes into the draft what elastic groups have to spare, and what they give back. REQUIRES that
// all places are decided, what is asked for, and who waits for a move.
void GiveBackNodes(Draft& draft);

}  // namespace spillway::placement
