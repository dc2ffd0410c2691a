#include "placement/choice.h"

#include <algorithm>
#include <tuple>

namespace spillway::placement {
namespace {

// In the order in which nodes are taken.
bool ComesBefore(const Slot& a, const Slot& b) {
  return std::tuple(!a.kept, a.whole, a.free, a.node) <
         std::tuple(!b.kept, b.whole, b.free, b.node);
}

}  // namespace

void Choice::Show(const Slot& slot) {
  if (slot.workers == 0) return;
  room_ += slot.workers;
  const bool enough = taken_room_ >= workers_;
  if (enough && (taken_.empty() || !ComesBefore(slot, taken_.front()))) return;
  taken_.push_back(slot);
  std::push_heap(taken_.begin(), taken_.end(), ComesBefore);
  taken_room_ += slot.workers;
  while (taken_room_ - taken_.front().workers >= workers_) {
    taken_room_ -= taken_.front().workers;
    std::pop_heap(taken_.begin(), taken_.end(), ComesBefore);
    taken_.pop_back();
  }
}

std::vector<size_t> Choice::Nodes() const {
  std::vector<Slot> taken = taken_;
  std::sort(taken.begin(), taken.end(), [](const Slot& a, const Slot& b) {
    return std::tuple(a.kept, a.workers, a.node) < std::tuple(b.kept, b.workers, b.node);
  });
  int64_t room = taken_room_;
  std::vector<size_t> nodes;
  for (const Slot& slot : taken) {
    if (room - slot.workers >= workers_) {
      room -= slot.workers;
    } else {
      nodes.push_back(slot.node);
    }
  }
  std::sort(nodes.begin(), nodes.end());
  return nodes;
}

}  // namespace spillway::placement
