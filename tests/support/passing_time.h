#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <thread>

#include "tests/support/fake_clock.h"

namespace spillway::support {

// Lets the clock go on while a test runs: `step` in about a millisecond. `tick` is called after
// each, on a thread of its own.
class PassingTime {
 public:
  PassingTime(FakeClock& clock, std::chrono::milliseconds step, const std::function<void()>& tick)
      : thread_([&clock, step, tick](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            clock.Advance(step);
            tick();
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
        }) {}

 private:
  std::jthread thread_;
};

}  // namespace spillway::support
