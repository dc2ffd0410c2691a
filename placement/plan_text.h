#pragma once

#include <string>

#include "placement/plan.h"

// A plan for programs, as YAML or JSON: the same fields under the same names in both, which are
// those of the CRDs' statuses where they have them. Numbers and flags always stand there; what has
// no value (an absent time, an empty text or list) is left out. One pool or group a line.
namespace spillway::placement {

enum class Form { kYaml, kJson };

// Everything, also what stays as it is.
std::string WritePlan(const Snapshot& snapshot, const Plan& plan, Form form);

// The decisions about the pools of this name only: one of each kind at the most. `plan` is the
// snapshot's.
std::string WriteWhy(const Snapshot& snapshot, const Plan& plan, const PoolKey& key, Form form);

}  // namespace spillway::placement
