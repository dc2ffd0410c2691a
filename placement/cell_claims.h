#pragma once

#include <cstddef>
#include <vector>

#include "placement/draft.h"
#include "placement/evictions.h"

// Gangs that give way to replicas: where an inference pool has been short of what it needs for
// preemption.afterSeconds, and neither another cell nor a spill helps, it claims room that gangs of
// later keys have, for as many replicas as it lacks or as there is such room for, in the first of
// its cells that can get any. It has one claim at a time. The claim counts against its limits from
// the start, and is given up as soon as the pool is not short any more.
namespace spillway::placement {

// REQUIRES a claim.
Evictor EvictorOf(const InferenceDraft& pool);

// Reserves what the pool has a claim on; what is reserved before comes first.
void CarryCellClaim(Draft& draft, size_t pool);

// Takes the pool's claim, if any, out of the quota's and the money's account (sign -1) or puts it
// back (+1).
void CountCellClaim(Draft& draft, size_t pool, int sign);

// The pool's cells were decided anew, from what they had `before`: what its claim was for and is
// there counts as claimed no more.
void SettleCellClaim(InferenceDraft& pool, const std::vector<int>& before);

// After the pool's cells were decided, its claim not counted: gives up a claim that it may not have
// or does not need any more, makes those go whose time has come, or makes a claim. Says whether
// that changed what others find.
bool ClaimForReplicas(Draft& draft, size_t pool);

}  // namespace spillway::placement
