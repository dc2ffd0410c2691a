#pragma once

#include "placement/plan.h"

// Simpler ways to decide, to measure Spillway's against: for plays of training pools on healthy
// nodes, each pool of one accelerator type. They place gangs whole, on the nodes with the least
// room first, hold back from nothing, move and preempt nobody, and end gangs at their deadlines.
namespace spillway::bench {

// Everybody in the order of priority and arrival, into the first group by tier that has room; who
// finds none stands in nobody's way.
placement::Plan FirstFitByTier(const placement::Snapshot& snapshot);

// EASY backfill that knows no tiers and no prices: the group with the most free accelerators first.
// The first that finds no room has room kept where deadlines give it soonest; others may use that
// if their own deadlines end them by then, or if it is more than the first needs.
placement::Plan EasyWithoutPrice(const placement::Snapshot& snapshot);

// As Kueue does with BestEffortFIFO, one cohort in which each namespace has an equal share of every
// group, flavors in the order of tiers, and no preemption: in cycles, the heads of all namespaces'
// queues, those within their shares before those that borrow, then by priority and arrival; each
// into the first group with room. A head without room is put aside for this pass; in that cycle
// nobody takes what its share has left. Unlike Kueue it looks at nodes: room that is split over
// more nodes than a gang's workers can use is none.
placement::Plan QueueHeads(const placement::Snapshot& snapshot);

}  // namespace spillway::bench
