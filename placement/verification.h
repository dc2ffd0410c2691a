#pragma once

#include <string>

#include "placement/plan.h"
#include "placement/plan_text.h"

namespace spillway::placement {

// All that must hold of a plan. Ok, or kInternal with the first that does not: what Verify checks;
// that the plan of the applied plan changes nothing; that the facts in another order give the same
// plan. Three times the work of the plan itself.
Status VerifyThoroughly(const Snapshot& snapshot, const Plan& plan);

// What became of it, for people and for programs. `sound`: of VerifyThoroughly.
std::string FormatVerification(const Snapshot& snapshot, const Plan& plan);  // REQUIRES sound
std::string WriteVerification(const Snapshot& snapshot, const Plan& plan, const Status& sound,
                              Form form);

}  // namespace spillway::placement
