#pragma once

#include <cstddef>

#include "placement/draft.h"

// Gangs that leave the place where they run for another one: home once it has had room for them for
// long enough, or any other where their node group is being drained; or for a larger one around it,
// where an elastic gang runs with fewer workers than it may have. Where it runs for money above
// home, and the budget of its namespace is used up and says so (DrainAtCheckpoint), it leaves for
// any group where it costs nothing more; if none takes it by its next checkpoint, for the queue. A
// gang that is to go holds the nodes that it goes to from then on, next to its placement, and goes
// at its next checkpoint: its placement is then one on the nodes it held, as a new attempt. What it
// has and what it holds count once against quotas and spend limits; whoever comes before it may
// still have what it holds, and anybody at all what it would only grow onto.
namespace spillway::placement {

// Is it a gang that runs, and holds nodes that it moves to?
bool IsMoving(const Fate& fate);

// Does the gang run, and hold nodes of its own node group that it grows onto?
bool IsGrowing(const Draft& draft, size_t pool);

// Does the gang, which stays otherwise, take a turn in the queue: does it hold nodes of another
// group, is its return due, is its group being drained, or has it to leave because of money?
bool TakesTurnToMove(const Draft& draft, size_t pool);

// Reserves what gangs hold to move to, after all that is placed has been accounted for; or takes
// that away, so that those before them find room on it, and limits and money for it, until their
// own turns.
void CarryMoves(Draft& draft);
void LiftMoves(Draft& draft);

// Reserves what the gang has and holds to move to.
void CarryMove(Draft& draft, size_t pool);

// What gangs have where they go counts no more, as they are not there yet.
void UncountTargets(Draft& draft);

// The gang's turn: it holds on to its nodes, goes there when its moment has come, gives up those
// that it may not have any more, and holds others when it has a reason to move; or it gives its
// place up, where there is no more money for it and it has no other. Says whether that
// changed what others find. REQUIRES TakesTurnToMove.
bool LookForMove(Draft& draft, size_t pool);

// After the turns of all others, gangs that could have more workers where they run: each holds on
// to the nodes that it grows onto, starts anew there when its moment has come, and gives them up
// where it may not have them any more, or somebody who comes before it waits for room in the group.
// Says whether that changed what others find.
bool Grow(Draft& draft);

// Once the queue is settled: remembers since when home has had room for those who run elsewhere,
// and a gang's own group for more of its workers, and since when gangs have had to leave their
// groups, from which their hold-back counts, and the next checkpoint of those that leave because of
// money.
void NoteWaits(Draft& draft);

// Writes into the fates where gangs move, when, and why not yet; adds the moments at which time
// alone changes that.
void TellMoves(Draft& draft);

// Does the gang cost something where it is, while its namespace's budget is used up and says that
// such gangs leave?
bool IsOverBudget(const World& world, const SpendBook& spend, const TrainingPool& pool,
                  const Placement& placement);

// When such a gang goes: at its next checkpoint since it has had to, or since it decided to move
// before that. REQUIRES memory.placement.
Time LeavesForMoneyAt(const TrainingPool& pool, const PoolMemory& memory, Time now);

// All its workers run, nothing is wrong with its nodes, and a new attempt could start anywhere.
bool MayBeMoved(const World& world, const TrainingPool& pool, const Placement& placement);

// For how long home must have had room before the gang returns, and its group before it grows.
Seconds ReturnWait(const TrainingPool& pool, const PoolMemory& memory);

// The gang is made to give up its place, or has not got to run there: where that is at home and it
// has moved within the last day, its next return waits twice as long as its last one had to, a
// minute at the least and a day at the most. REQUIRES memory.placement.
void LengthenDwell(const TrainingPool& pool, PoolMemory& memory, Time now);

// What the gang needs in a group to return there: of an elastic gang as many workers as it has, or
// all where they are of another type.
std::optional<Need> NeedToReturn(const TrainingPool& pool, const Placement& placement,
                                 const NodeGroup& group);

// Is what is left of the gang's work, as far as anybody says, worth a return: at least ten times as
// long as a new attempt takes to start? Nobody knows what is left once `expected` has passed.
bool IsWorthReturning(const TrainingPool& pool, const PoolMemory& memory, Time now);

// Does the gang save enough at the margin by going from one group to the other with the least that
// it needs there: anything at all, and placement.returnHome.minSavingsPercent of what it costs now?
bool Pays(const TrainingPool& pool, const Placement& placement, const GroupView& from,
          const GroupView& to, const Need& need);

}  // namespace spillway::placement
