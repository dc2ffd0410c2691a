#pragma once

#include <cstdint>
#include <random>

#include "placement/snapshot.h"

// Small random worlds: the same seed gives the same world.
namespace spillway::tests {

class Dice {
 public:
  explicit Dice(uint32_t seed) : engine_(seed) {}
  // From 0 to `sides` - 1. The engine's own numbers, so that every standard library agrees.
  int Roll(int sides) { return static_cast<int>(engine_() % static_cast<uint32_t>(sides)); }
  bool OneIn(int sides) { return Roll(sides) == 0; }
  template <class T>
  const T& Pick(const std::vector<T>& values) {
    return values[static_cast<size_t>(Roll(static_cast<int>(values.size())))];
  }
  template <class T>
  void Shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1], values[static_cast<size_t>(Roll(static_cast<int>(i)))]);
    }
  }

 private:
  std::mt19937 engine_;
};

// Groups, nodes and pools in every state that there is; sometimes in impossible ones.
placement::Snapshot RandomWorld(uint32_t seed);

// The same facts with every list whose order means nothing in another order.
placement::Snapshot Shuffled(const placement::Snapshot& world, uint32_t seed);

}  // namespace spillway::tests
