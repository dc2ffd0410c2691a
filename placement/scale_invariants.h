#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "placement/nodes.h"
#include "placement/plan.h"

namespace spillway::placement {

// What Verify checks of elastic groups: how many nodes they are to have, and which they give back.
// The first that is wrong, as a sentence; nullopt: nothing. REQUIRES that the plan answers every
// pool of the world once.
std::optional<std::string> ScalesAreRight(const World& world, const Plan& plan);

// Replicas of the cell that have a node and are not on their way out, as Verify counts them.
int64_t BoundReplicas(const InferencePool& pool, const CellMemory& cell);

}  // namespace spillway::placement
