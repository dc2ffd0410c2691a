#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "placement/nodes.h"
#include "placement/snapshot.h"

// All of a gang or nothing, node by node.
namespace spillway::placement {

// Nodes that one placement can name and one pod can be pinned to.
inline constexpr size_t kMostNodes = 1000;

// What one node offers a gang.
struct Slot {
  size_t node = 0;
  int64_t workers = 0;  // that fit
  int64_t free = 0;     // accelerators
  bool whole = false;   // all of its accelerators are free
  bool kept = false;    // the gang has been here: taken before others, and the domain stays
  bool operator==(const Slot&) const = default;
};

struct Topology {
  TopologyMode mode = TopologyMode::kPreferred;
  std::span<const std::string> levels;        // labels to try, closest first
  std::span<const std::string> group_levels;  // all of the group's, to name the domain found
};

// The topology that a pool asks for in a group, which outlives it. No levels: the group has none
// that would do.
Topology TopologyIn(const TrainingPool& pool, const NodeGroup& group);

struct Fit {
  int workers = 0;            // that it is for
  std::vector<size_t> nodes;  // ascending
  std::string domain;         // that all of them share; empty: none
  int64_t left_over = 0;      // worker slots that its domain (or the group) has beyond the gang
};

int64_t WorkersIn(const std::vector<Slot>& slots);

// The closest of the labels whose value all the nodes share; empty: none.
std::string SharedDomain(const World& world, std::span<const std::string> labels,
                         const std::vector<size_t>& nodes);

// Chooses nodes for `workers` workers, or nullopt. Required: within one domain. Preferred: within
// the tightest domain of the closest level that has one that fits, else anywhere. Domains that
// leave out a kept node don't count. Nodes in use come before whole ones, and no node is taken that
// the others can do without.
std::optional<Fit> FitGang(const World& world, const Topology& topology,
                           const std::vector<Slot>& slots, int workers);

// Nodes for the workers in one domain. REQUIRES that all slots are in it and have room for them.
Fit FitInside(const Domains& domains, uint32_t domain, const std::vector<Slot>& slots, int workers);

// Nodes for the largest number of workers, from `least` to `most`, for which `fit_at` has any; it
// is asked about some of them, on the understanding that fewer workers never need more room.
// nullopt: not even for the least.
using FitAt = std::function<std::optional<Fit>(int workers)>;
std::optional<Fit> LargestFit(int least, int most, const FitAt& fit_at);

// The domain of `topology`'s first level with the most slots, for messages; empty name: no node has
// that label.
struct DomainRoom {
  std::string name;
  int64_t workers = 0;
};
DomainRoom LargestDomain(const World& world, const Topology& topology,
                         const std::vector<Slot>& slots);

}  // namespace spillway::placement
