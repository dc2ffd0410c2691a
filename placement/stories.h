#pragma once

#include <string>
#include <vector>

#include "placement/checks.h"
#include "placement/lifecycle.h"
#include "placement/plan.h"

// What a pool's decision says: the conditions' reasons and sentences, counts, costs.
namespace spillway::placement {

// What was found in one group that was looked at.
Alternative AlternativeOf(const Option& option);

// The decision for a pool whose fate is settled, all but the memory, into one that is empty.
// `options`: what the queue looked at for it.
void Describe(const World& world, const TrainingPool& pool, const Fate& fate,
              const std::vector<Option>& options, PoolDecision& decision);

}  // namespace spillway::placement
