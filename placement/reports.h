#pragma once

#include <vector>

#include "placement/capacity.h"
#include "placement/nodes.h"
#include "placement/plan.h"

namespace spillway::placement {

// What the groups have and cost, sorted by name, with `capacity` as it is after all decisions.
std::vector<GroupReport> ReportGroups(const World& world, const Capacity& capacity);

}  // namespace spillway::placement
