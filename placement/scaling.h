#pragma once

#include <vector>

#include "placement/snapshot.h"

// How the units that a pool is to have follow the units that are asked for.
namespace spillway::placement {

// Brings memory.units to what the pool asks for now, held back by its windows and steps, as a
// HorizontalPodAutoscaler does it (autoscaling/v2: the least of the scale-up window, the most of
// the scale-down window, so many in a period). The first number is taken as it is.
void FollowUnits(const InferencePool& pool, Time now, InferenceMemory& memory);

// Moments at which time alone changes what FollowUnits gives, past ones included.
std::vector<Time> UnitMoments(const InferencePool& pool, const InferenceMemory& memory);

}  // namespace spillway::placement
