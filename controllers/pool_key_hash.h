#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "placement/snapshot.h"

namespace spillway::controllers {

// For what a pass looks up by pool, of which there may be very many.
struct PoolKeyHash {
  size_t operator()(const placement::PoolKey& key) const {
    const std::hash<std::string> hash;
    return hash(key.ns) * 31 + hash(key.name);
  }
};

}  // namespace spillway::controllers
