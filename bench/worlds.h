#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "placement/mixes.h"
#include "placement/snapshot.h"

// Large worlds for benchmarks, and questions for mixes: the same size and load, or size and seed,
// give the same.
namespace spillway::bench {

// `pods` counts those of pools and all others on the nodes.
struct Size {
  std::string_view name;
  int nodes;
  int groups;
  int pods;
  int pools;
};

// A lab's rack and the cluster that trained OPT-175B; a big company; the largest clusters that
// clouds have shown.
inline constexpr std::array<Size, 3> kSizes = {{
    {.name = "dedicated", .nodes = 739, .groups = 2, .pods = 10'000, .pools = 200},
    {.name = "large", .nodes = 10'000, .groups = 20, .pods = 100'000, .pools = 2'000},
    {.name = "limit", .nodes = 130'000, .groups = 26, .pods = 1'000'000, .pools = 20'000},
}};

// A big company's cluster, smaller and larger: how time grows with the nodes.
inline constexpr std::array<Size, 6> kGrowth = {{
    {.name = "1000", .nodes = 1'000, .groups = 8, .pods = 10'000, .pools = 200},
    {.name = "3000", .nodes = 3'000, .groups = 20, .pods = 30'000, .pools = 600},
    {.name = "10000", .nodes = 10'000, .groups = 20, .pods = 100'000, .pools = 2'000},
    {.name = "30000", .nodes = 30'000, .groups = 20, .pods = 300'000, .pools = 6'000},
    {.name = "70000", .nodes = 70'000, .groups = 20, .pods = 700'000, .pools = 14'000},
    {.name = "130000", .nodes = 130'000, .groups = 20, .pods = 1'300'000, .pools = 26'000},
}};

enum class Load {
  kAllFit,        // there is room for every waiting pool
  kAllContended,  // every accelerator is in use: none of them fits anywhere
  kAllFitSmall,   // as kAllFit, and each waits with one to four workers of one accelerator
};

// Nine pools of ten run, all their workers ready; every tenth waits. Node groups of three types of
// accelerators and of CPUs, at home and in two clouds, in domains of 24 nodes and blocks of 240;
// pools of 1 to about a dozen nodes, some larger, with workers of a whole node, a half or an
// eighth.
placement::Snapshot MakeWorld(const Size& size, Load load);

// So many inference pools of four variants, each of which fits on three of twelve node groups, on
// the nodes of a big company without its gangs; all replicas that are asked for are ready, and
// nothing is left to do.
placement::Snapshot MakeServingWorld(int pools);

// A while later every `every`-th of them is asked for half as much again, or for a third less.
void ChangeDemand(placement::Snapshot& world, size_t every);

// Cells of an inference pool, so many of them in each node group, and so many replicas in each of
// them at the most.
struct MixSize {
  std::string_view name;
  int cells;
  int of_group;
  int replicas;
  int of_first;  // replicas of the first variant at the most, in all its cells
  int64_t need;  // in units
};

inline constexpr std::array<MixSize, 4> kMixSizes = {{
    {.name = "12x31", .cells = 12, .of_group = 1, .replicas = 31, .of_first = 93, .need = 12'000},
    {.name = "12x31_shared",
     .cells = 12,
     .of_group = 2,
     .replicas = 31,
     .of_first = 93,
     .need = 12'000},
    {.name = "12x31_limited",
     .cells = 12,
     .of_group = 1,
     .replicas = 31,
     .of_first = 40,
     .need = 3'000},
    {.name = "12x200",
     .cells = 12,
     .of_group = 1,
     .replicas = 200,
     .of_first = 600,
     .need = 20'000},
}};

// Four variants on node groups of three tiers and different prices, some with replicas already,
// HomeFirst or by price. All cells together serve half as much again as is needed, more or less.
placement::MixProblem MakeMixProblem(const MixSize& size, uint32_t seed);

}  // namespace spillway::bench
