#pragma once

#include "placement/plan.h"

namespace spillway::placement {

// All that must hold of a plan. Ok, or kInternal with the first that does not: what Verify checks;
// that the plan of the applied plan changes nothing; that the facts in another order give the same
// plan. Three times the work of the plan itself.
Status VerifyThoroughly(const Snapshot& snapshot, const Plan& plan);

}  // namespace spillway::placement
