#pragma once

#include <cstddef>

#include "placement/draft.h"

// Gangs that leave the place where they run for another one: home once it has had room for them for
// long enough, or any other where their node group is being drained. A gang that is to go holds the
// nodes that it goes to from then on, next to its placement, and goes at its next checkpoint: its
// placement is then one on the nodes it held, as a new attempt. What it has and what it holds count
// once against quotas and spend limits; whoever comes before it may still have what it holds.
namespace spillway::placement {

// Is it a gang that runs, and holds nodes that it moves to?
bool IsMoving(const Fate& fate);

// Does the gang, which stays otherwise, take a turn in the queue: does it hold nodes, is its return
// due, or is its group being drained?
bool TakesTurnToMove(const Draft& draft, size_t pool);

// Reserves what gangs hold to move to, after all that is placed has been accounted for; or takes
// that away, so that those before them find room on it, until their own turns.
void CarryMoves(Draft& draft);
void LiftMoves(Draft& draft);

// The gang's turn: it holds on to its nodes, goes there when its moment has come, gives up those
// that it may not have any more, and holds others when it has a reason to move. Says whether that
// changed what others find. REQUIRES TakesTurnToMove.
bool LookForMove(Draft& draft, size_t pool);

// Once the queue is settled: remembers since when home has had room for those who run elsewhere,
// and since when gangs have had to leave their groups, from which their hold-back counts.
void NoteWaits(Draft& draft);

// Writes into the fates where gangs move, when, and why not yet; adds the moments at which time
// alone changes that.
void TellMoves(Draft& draft);

// For how long home must have had room before the gang returns.
Seconds ReturnWait(const TrainingPool& pool, const PoolMemory& memory);

// The gang is made to give up its place, or has not got to run there: where that is at home and it
// has moved within the last day, its next return waits twice as long as its last one had to, a
// minute at the least and a day at the most. REQUIRES memory.placement.
void LengthenDwell(const TrainingPool& pool, PoolMemory& memory, Time now);

// Does the gang save enough at the margin by going from one group to the other: anything at all,
// and placement.returnHome.minSavingsPercent of what it costs there now?
bool Pays(const TrainingPool& pool, const Placement& placement, const GroupView& from,
          const GroupView& to, const Need& need);

}  // namespace spillway::placement
