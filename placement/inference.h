#pragma once

#include <vector>

#include "placement/cells.h"
#include "placement/coverage.h"

// What an inference pool's cells are to have: the cheapest mix that serves what is needed, changed
// only where that is worth it, and replicas added before others are taken away.
//
// Once the signal that a pool's need comes from is silent, nobody knows what is needed: the need
// stays the last one, by which replicas that were lost, or have not started, are put back wherever
// there is room. It removes nothing, moves nowhere and makes nobody go, until the signal is heard
// again. The same holds for a pool with replicas in a cluster that is unreachable, but that its
// need is followed, and for one behind a link that is in doubt.
namespace spillway::placement {

// The part of DecideCells that asks for no room: what the cells give up or can do without, before
// anybody is given more.
void ReleaseCells(const World& world, Capacity& capacity, Offers& offers, QuotaBook& quotas,
                  InferenceDraft& draft);

// Decides with what `capacity`, which `offers` are of, and `quotas` have left; puts the pool's
// cells into both. REQUIRES that both hold what the draft's cells had before (ClaimCells).
void DecideCells(const World& world, Capacity& capacity, Offers& offers, QuotaBook& quotas,
                 InferenceDraft& draft);

// Says of each cell that took fewer replicas than it was asked to what is missing for all that the
// pool lacks by now. Where nodes are on their way for it, nothing is.
void SayWhatIsMissing(const World& world, const Capacity& capacity, Offers& offers,
                      const QuotaBook& quotas, InferenceDraft& draft);

// The pool's place among borrowers.
Rank RankOf(const InferenceDraft& draft, Time now);

// What it has by now of each type that a variant needs, for the walk of the guarantees.
std::vector<Demand> DemandsOf(const InferenceDraft& draft, size_t index, Time now);

// Moments at which time alone changes the decision, past ones included.
std::vector<Time> MomentsOf(const World& world, const InferenceDraft& draft);

// The decision, told.
InferenceDecision Describe(const World& world, const InferenceDraft& draft);

}  // namespace spillway::placement
