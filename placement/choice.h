#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "placement/gangs.h"

namespace spillway::placement {

// Chooses a gang's nodes among slots that it is shown one by one, in any order. It keeps only the
// few that it would take: those that come first until all workers have a place.
class Choice {
 public:
  explicit Choice(int workers) : workers_(workers) {}

  void Show(const Slot& slot);
  // Workers that fit on all that it was shown.
  [[nodiscard]] int64_t Room() const { return room_; }
  // Ascending, without those that the others can do without.
  [[nodiscard]] std::vector<size_t> Nodes() const;

 private:
  int64_t workers_;
  int64_t room_ = 0;
  int64_t taken_room_ = 0;   // of `taken_`
  std::vector<Slot> taken_;  // a heap: the one that comes last in front
};

}  // namespace spillway::placement
