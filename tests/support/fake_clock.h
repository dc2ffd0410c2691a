#pragma once

#include <atomic>
#include <chrono>

#include "base/clock.h"

namespace spillway::support {

// A clock that moves only when it is told to. Starts at 2026-11-24T00:00:00Z. Thread-safe.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] std::chrono::sys_time<std::chrono::milliseconds> NowMillis() const override {
    using namespace std::chrono;
    return sys_days(2026y / November / 24) + milliseconds(since_start_ + jumped_);
  }
  [[nodiscard]] std::chrono::nanoseconds Elapsed() const override {
    return std::chrono::milliseconds(since_start_);
  }
  void Advance(std::chrono::milliseconds by) { since_start_ += by.count(); }
  // Somebody sets the wall clock.
  void Jump(std::chrono::milliseconds by) { jumped_ += by.count(); }

 private:
  std::atomic<int64_t> since_start_{0};
  std::atomic<int64_t> jumped_{0};
};

}  // namespace spillway::support
