#include "placement/rows.h"

#include <algorithm>
#include <limits>

namespace spillway::placement {

void Columns::Add(const Resources& amounts) {
  size_t next = 0;  // mostly in the order in which they came before
  for (const auto& [name, amount] : amounts) {
    const size_t column = next < names_.size() && names_[next] == name ? next : Find(name);
    if (column == names_.size()) names_.push_back(name);
    next = column + 1;
  }
}

size_t Columns::Find(std::string_view resource) const {
  return static_cast<size_t>(std::find(names_.begin(), names_.end(), resource) - names_.begin());
}

Row Columns::RowOf(const Resources& amounts) const {
  Row row(Width());
  Fill(amounts, row);
  return row;
}

void Columns::Fill(const Resources& amounts, std::span<int64_t> row) const {
  std::ranges::fill(row, 0);
  size_t next = 0;  // the columns are mostly in the order of names, as the amounts are
  for (const auto& [name, amount] : amounts) {
    const size_t column = next < names_.size() && names_[next] == name ? next : Find(name);
    next = column + 1;
    // Of those without a column any one will do.
    row[column] = column < names_.size() ? amount : std::max(row[column], amount);
  }
}

Resources Columns::ResourcesOf(std::span<const int64_t> row) const {
  Resources amounts;
  for (size_t i = 0; i < names_.size(); ++i) amounts.Set(names_[i], row[i]);
  return amounts;
}

void AddTimes(std::span<int64_t> row, std::span<const int64_t> other, int64_t times) {
  __extension__ using Wide = __int128;  // both our compilers have it
  constexpr Wide kMin = std::numeric_limits<int64_t>::min();
  constexpr Wide kMax = std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < row.size(); ++i) {
    int64_t more = 0;
    int64_t sum = 0;
    if (!__builtin_mul_overflow(other[i], times, &more) &&
        !__builtin_add_overflow(row[i], more, &sum)) {
      row[i] = sum;
      continue;
    }
    const Wide wide = Wide{row[i]} + Wide{other[i]} * times;
    row[i] = static_cast<int64_t>(std::clamp(wide, kMin, kMax));
  }
}

int64_t HowMany(std::span<const int64_t> room, std::span<const int64_t> request, int64_t most) {
  // Mostly there is no room: to compare takes much less time than to divide.
  for (size_t i = 0; i < request.size(); ++i) {
    if (request[i] > 0 && room[i] < request[i]) return 0;
  }
  for (size_t i = 0; i < request.size(); ++i) {
    if (request[i] > 0) most = std::min(most, room[i] / request[i]);
  }
  return std::max<int64_t>(most, 0);
}

}  // namespace spillway::placement
