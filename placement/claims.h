#pragma once

#include <cstddef>

#include "placement/draft.h"
#include "placement/preemption.h"

// A gang that makes others go has a claim on their nodes until it is placed: whatever happens in
// between, nobody else gets them, so that no two make each other go in turns. It counts against the
// quota, and against the limits of what is spent above home, from the start. An elastic gang claims
// no more than it needs at least.
namespace spillway::placement {

// Reserves what is claimed, by gangs and for replicas, after all that is placed has been accounted
// for; drops claims that can not be met any more.
void CarryClaims(Draft& draft);

// Claims take also what has become free since they were reserved; where the next pass would reserve
// them otherwise, they are reserved anew.
void GatherClaims(Draft& draft);

// Those who could make room, as they are by now.
const Contenders& ContendersOf(Draft& draft);

// The claim is nobody's any more: gives back what it kept its victims from.
void DropClaim(Draft& draft, const Hold& claim);

// What pods of those who have gone for a claim still have is no room for themselves any more: also
// where they went in this pass, and for another reason.
void ForfeitToClaims(Draft& draft);

// Takes the gang's claim, if any, out of the quota's and the money's account (sign -1) or puts it
// back (+1).
void CountClaim(Draft& draft, size_t pool, int sign);

// Is the gang guaranteed what it asks for in the option's group, which is at home?
bool MayReclaim(const Draft& draft, size_t pool, const Option& option);

// Looks for elastic gangs in the option's group that can go on with fewer workers so that this one
// gets a place there. Says whether it has a claim now.
bool Shrink(Draft& draft, size_t pool, const Option& option);

// Looks for gangs that can be made to go so that this one, for which nothing fits, gets a place:
// in the group of `option` by the right of its guarantee, or in any by its priority. Says whether
// it has a claim now.
bool Reclaim(Draft& draft, size_t pool, const Option& option);
bool Preempt(Draft& draft, size_t pool);

// Priorities, quotas and nodes may have changed since the gang's claim was made: where somebody who
// was asked to go comes first by now, can not be spared or can not shrink any more, the claim is
// given up. Says whether it was.
bool DropOverruled(Draft& draft, size_t pool);

// Makes those go of the gang's claim whose time has come; says whether there were any.
bool EvictDue(Draft& draft, size_t pool);

// Writes into the fates who waits for whom, and adds the moments at which somebody goes.
void TellClaims(Draft& draft);

}  // namespace spillway::placement
