#pragma once

#include <optional>
#include <vector>

#include "placement/draft.h"
#include "placement/plan.h"

namespace spillway::placement {

// When time alone next changes what a plan says: the parts of Plan::next_wake.
struct Wakes {
  std::vector<std::optional<Time>> gangs;  // by gang: because of it alone
  std::optional<Time> others;
};

// What a settled draft comes to. The memories of its fates go into the plan.
Plan Conclude(Draft& draft, Wakes& wakes);

// What it says of one gang, `fate` being what the draft has of it: all but its position in the
// queue. The memory of `fate` goes into the decision.
PoolDecision DecisionOf(const Draft& draft, size_t gang, Fate& fate, std::optional<Time>& wake);

// The earliest of them all.
std::optional<Time> NextWake(const Wakes& wakes);

}  // namespace spillway::placement
