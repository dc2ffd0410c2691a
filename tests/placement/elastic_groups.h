#pragma once

#include <algorithm>
#include <string>

#include "placement/plan.h"
#include "tests/support/builders.h"

// Elastic groups, and what a plan says of them.
namespace spillway::tests {

// Its new nodes have 8 GPUs.
inline NodeGroup& MakeElastic(Snapshot& world, const std::string& name, int most, int step = 1) {
  NodeGroup& group = GroupOf(world, name);
  placement::Elastic& elastic = group.elastic.emplace();
  elastic.max_nodes = most;
  elastic.step_nodes = step;
  elastic.node_shape = Amounts({{"cpu", "96"}, {"memory", "1024Gi"}, {kGpu, "8"}});
  return group;
}

inline const placement::GroupReport& ReportOf(const placement::Plan& plan,
                                              const std::string& name) {
  return *std::ranges::find(plan.groups, name, &placement::GroupReport::name);
}

// How many nodes it is to have; -1: the plan says nothing of it.
inline int Desired(const placement::Plan& plan, const std::string& name) {
  return ReportOf(plan, name).memory.desired.value_or(-1);
}

}  // namespace spillway::tests
