#include "placement/growth.h"

#include <algorithm>

namespace spillway::placement {

int Growth::Desired(int more) const {
  if (asked + more == 0) return least;
  const int wanted = std::max(asked + more - coming, 0);
  const int short_of = std::max(there + wanted - before, 0);
  const int steps = (short_of + step - 1) / step;
  return std::clamp(before + steps * step, least, most);
}

int Growth::LeftOfStep(int more) const {
  if (asked + more == 0) return 0;
  return std::clamp(Desired(more) - anyway - (asked + more), 0, step - 1);
}

bool Growth::TakesAStep(int more) const { return Desired(more) > Desired(0) || LeftOfStep(0) == 0; }

int Growth::PaidFor(int more) const { return more + (TakesAStep(more) ? LeftOfStep(more) : 0); }

int Growth::SparedBy(int more) const {
  return LeftOfStep(0) - (TakesAStep(more) ? 0 : LeftOfStep(more));
}

}  // namespace spillway::placement
