#pragma once

#include <stop_token>

#include "base/clock.h"
#include "kube/lease.h"

namespace spillway {

// Ends the process (exit code 1) when a lease that is held runs out, whatever the rest is doing. It
// waits for nobody, takes no memory and says why by a plain write. Blocks until `stop`.
void Watchdog(const kube::LeaderElector& elector, const Clock& clock, const std::stop_token& stop);

}  // namespace spillway
