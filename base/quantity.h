#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/shared.h"

namespace spillway {

// Reads a Kubernetes quantity ("94940m", "1660424Mi", "8", "1e3") as thousandths, rounded up.
// Exact: no floating point on the way. kInvalid when it is no quantity, or needs more than 63 bits.
Result<int64_t> ParseMilli(std::string_view text);

// The same in whole units, rounded up, as kube-scheduler counts everything but CPU.
Result<int64_t> ParseUnits(std::string_view text);

// What a pod asks for or a node has: CPU in thousandths of a core, everything else in whole units
// (bytes, devices, pods). Sorted by name, no zero entries, so equal contents compare equal. Copies
// share their memory until one of them changes.
class Resources {
 public:
  using Entry = std::pair<std::string, int64_t>;

  // 0 where absent.
  [[nodiscard]] int64_t Get(std::string_view name) const;
  void Set(std::string_view name, int64_t amount);

  // Sums saturate at the ends of int64_t.
  void Add(const Resources& other);
  void AddTimes(const Resources& other, int64_t times);
  void Subtract(const Resources& other);
  // Per name, the larger of the two: how init containers and containers combine.
  void MaxWith(const Resources& other);

  [[nodiscard]] bool Covers(const Resources& request) const;
  // How many copies of `request` fit; `most` caps the answer (and is it for an empty request).
  [[nodiscard]] int64_t HowMany(const Resources& request, int64_t most) const;

  [[nodiscard]] bool empty() const { return entries_.Get().empty(); }
  [[nodiscard]] auto begin() const { return entries_.Get().begin(); }
  [[nodiscard]] auto end() const { return entries_.Get().end(); }

  // As base/heap_size.h has it.
  friend size_t HeapOf(const Resources& resources);

  bool operator==(const Resources&) const = default;
  // Any order, the same for the same contents.
  auto operator<=>(const Resources& other) const { return entries_.Get() <=> other.entries_.Get(); }

 private:
  Shared<std::vector<Entry>> entries_;
};

// Reads one entry of a resource list by the rule above ("cpu" in thousandths).
Result<int64_t> ParseResource(std::string_view name, std::string_view quantity);

// Prints one as Kubernetes would read it back: cpu "94940m" or "96", memory in the largest exact
// binary unit, anything else as a plain number.
std::string FormatResource(std::string_view name, int64_t amount);

inline constexpr std::string_view kCpu = "cpu";
inline constexpr std::string_view kMemory = "memory";
inline constexpr std::string_view kPods = "pods";

}  // namespace spillway
