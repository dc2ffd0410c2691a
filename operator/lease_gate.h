#pragma once

#include <chrono>
#include <mutex>
#include <optional>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "kube/lease.h"

namespace spillway {

// Lets a leader's writes through while its Lease surely outlasts them. Where it lets none through
// for as long as the Lease lasts, the log has a warning, once a minute: nobody else tells of it, as
// writes that are not sent are no failures. Any thread.
class LeaseGate {
 public:
  LeaseGate(const kube::LeaderElector& elector, const Clock& clock, Log& log,
            std::chrono::seconds lease_duration);

  // kCancelled: a write that may take so long must not be sent now.
  Status Ask(std::chrono::milliseconds deadline);

 private:
  void LetThrough();
  void Refused();
  // Under the lock: for how long it has been shut, where that is to be told.
  std::optional<std::chrono::nanoseconds> ToTell(std::chrono::nanoseconds now);

  // Constant or synchronise themselves.
  const kube::LeaderElector& elector_;
  const Clock& clock_;
  Log& log_;
  const std::chrono::nanoseconds patience_;
  // Guarded by mutex_; on Clock::Elapsed.
  std::mutex mutex_;
  std::optional<std::chrono::nanoseconds> shut_since_;
  std::chrono::nanoseconds last_refused_{0};
  std::optional<std::chrono::nanoseconds> told_;
};

}  // namespace spillway
