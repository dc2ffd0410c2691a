#pragma once

#include <chrono>
#include <stop_token>

#include "base/clock.h"
#include "kube/lease.h"

namespace spillway {

// However long last words take: standard error may be a pipe that nobody reads any more.
inline constexpr std::chrono::seconds kLastWords{1};

// Ends the process (exit code 1) after `time` by SIGALRM, whatever its threads wait for. Nothing
// takes it back. REQUIRES that SIGALRM is not blocked in every thread.
void EndWithin(std::chrono::seconds time);

// Ends the process (exit code 1) when a lease that is held runs out, whatever the rest is doing. It
// waits for nobody, takes no memory and says why by a plain write, for kLastWords at the most.
// Blocks until `stop`.
void Watchdog(const kube::LeaderElector& elector, const Clock& clock, const std::stop_token& stop);

}  // namespace spillway
