#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace spillway::support {

// Waits for a condition; false if it did not come true in time.
inline bool Eventually(const std::function<bool()>& condition,
                       std::chrono::milliseconds within = std::chrono::seconds(10)) {
  const auto until = std::chrono::steady_clock::now() + within;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace spillway::support
