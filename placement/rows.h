#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.h"

// Amounts of resources as rows of numbers, to reckon with those of many nodes.
namespace spillway::placement {

using Row = std::vector<int64_t>;

// Gives each resource a column. The last column stands for all resources without one of their own:
// no node has any of them.
class Columns {
 public:
  void Add(const Resources& amounts);  // columns for its resources
  [[nodiscard]] size_t Width() const { return names_.size() + 1; }
  [[nodiscard]] size_t Find(std::string_view resource) const;

  [[nodiscard]] Row RowOf(const Resources& amounts) const;
  void Fill(const Resources& amounts, std::span<int64_t> row) const;
  [[nodiscard]] Resources ResourcesOf(std::span<const int64_t> row) const;

 private:
  std::vector<std::string> names_;
};

// Row by row as Resources does it: sums saturate.
void AddTimes(std::span<int64_t> row, std::span<const int64_t> other, int64_t times);
int64_t HowMany(std::span<const int64_t> room, std::span<const int64_t> request, int64_t most);

}  // namespace spillway::placement
