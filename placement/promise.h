#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/clock.h"

namespace spillway::placement {

// Room in a group that is kept for a waiting gang: what its workers need on these nodes is there
// for it by then, whatever else the pass decides.
struct Promise {
  size_t gang = 0;            // in World::pools
  std::vector<size_t> nodes;  // in World::nodes, ascending; more than it needs where some are away
  Time by{};                  // the present: as soon as pods are gone or bound
  std::vector<size_t> after;  // gangs that have ended by then and leave room on these nodes
  std::vector<size_t> away;   // of `nodes`, those that are NotReady for a moment, within the grace
};

// By group, in World::groups.
using Promises = std::vector<std::optional<Promise>>;

}  // namespace spillway::placement
