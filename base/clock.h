#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace spillway {

// Wall time, in UTC, to the second: what the API server stores and what messages name.
using Time = std::chrono::sys_seconds;
using Seconds = std::chrono::seconds;

// "2026-11-24T01:52:03Z".
std::string FormatTime(Time time);

// Reads RFC 3339 as the API server writes it: seconds or fractions of them, Z or an offset.
// Fractions are cut. kInvalid names the text.
Result<Time> ParseTime(std::string_view text);

// The time seam. Implementations are safe to call from any thread.
class Clock {
 public:
  virtual ~Clock() = default;

  // Wall time; may jump.
  [[nodiscard]] virtual std::chrono::sys_time<std::chrono::milliseconds> NowMillis() const = 0;

  // Time since some fixed moment that never goes back and also runs while the machine sleeps
  // (CLOCK_BOOTTIME): what leases and deadlines count with.
  [[nodiscard]] virtual std::chrono::nanoseconds Elapsed() const = 0;

  [[nodiscard]] Time Now() const { return std::chrono::floor<std::chrono::seconds>(NowMillis()); }
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] std::chrono::sys_time<std::chrono::milliseconds> NowMillis() const override;
  [[nodiscard]] std::chrono::nanoseconds Elapsed() const override;
};

// "2026-11-24T01:52:03.123456Z", the form of a Lease's times and of an event's time.
std::string FormatMicroTime(std::chrono::sys_time<std::chrono::microseconds> time);

}  // namespace spillway
