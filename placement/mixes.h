#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/money.h"

// The cheapest mix of cells that serves a need. Knows variants and node groups by their numbers
// only: no cluster, no pool.
namespace spillway::placement {

// One way to serve. Those that stand earlier are preferred where all else is equal.
struct MixVariant {
  int64_t each = 1;   // what one replica serves, at least 1; in the unit of the need
  int64_t size = 1;   // accelerators of one replica, at least 1
  std::string type;   // of its accelerators
  int64_t least = 0;  // replicas over all stages, so far as its cells can have them
  std::optional<int64_t> most;
};

// A variant in a stage.
struct MixCell {
  size_t variant = 0;  // in MixProblem::variants; at most one cell of a variant in a stage
  Money price;         // of one replica, an hour
  Seconds startup{0};  // so long a replica that is added is paid beside the one it stands for
  int64_t now = 0;     // replicas it has
  int64_t least = 0;   // 0 <= least <= most
  int64_t most = 0;
  // Where nodes of its stage are yet to be made: how many fit on each of them by itself, as far as
  // something else than accelerators is scarce. Empty: as many as there are accelerators for.
  std::vector<int64_t> fits = {};
};

// A node group: its cells compete for the same nodes. What several cells of a stage are given
// beyond what they have fits on its nodes together: exactly, as far as accelerators are counted.
// Each by itself is limited by `most` alone.
struct MixStage {
  std::string name;
  int64_t tier = 0;  // at least 0
  std::vector<MixCell> cells;
  std::vector<int64_t> free;  // accelerators on each of the nodes that all its cells may use
  // The last made.size() - 1 of these nodes are yet to be made, in this order: made[n] is what the
  // first n of them cost an hour in whole, never less than fewer, and made[0] nothing. Empty: all
  // are there.
  std::vector<Money> made = {};
};

struct MixProblem {
  int64_t need = 0;
  bool home_first = true;  // else price leads
  Seconds payback{3600};   // by which the cost of a change is shared out over hours
  std::vector<MixVariant> variants;
  std::vector<MixStage> stages;
  std::map<std::string, int64_t> accelerators;  // the most of a type, over all stages
  std::optional<Money> spend;  // the most that replicas which are added above tier 0 may cost
};

__extension__ using MoneySeconds = __int128;  // in micros

// What is made small, the first first. The need is counted in whole units of what all variants'
// throughputs are multiples of, rounded up.
struct MixCost {
  int64_t unmet = 0;     // replicas that variants have less than their least
  int64_t short_of = 0;  // of the need
  // HomeFirst: each part of the need times the tier that serves it, nearest tiers first. This is
  // tier · replicas where all replicas serve the same, and neither replicas that serve little nor
  // what the last one has to spare count against a tier. Price: nothing.
  int64_t distance = 0;
  int64_t least_distance = 0;  // HomeFirst: tier · replicas of those that variants must have
  MoneySeconds money = 0;      // prices · payback, and of what is added price · startup
  int64_t added = 0;           // replicas to be started
  int64_t tiers = 0;           // tier · replicas
  int64_t replicas = 0;
  auto operator<=>(const MixCost&) const = default;
};

struct Mix {
  std::vector<std::vector<int64_t>> replicas;  // by stage and cell, as the problem has them
  MixCost cost;
  int64_t capacity = 0;
  int64_t shortage = 0;  // of the need; whatever there is, is then in the mix
  // The unit in which it was reckoned where that is not exact: each replica counts for less than
  // what it serves by less than one unit, the need for more by less than one. nullopt: exact.
  std::optional<int64_t> rounded;
};

// The best mix within all limits: by MixCost, and among equals the one that has more replicas in
// the first cell in which they differ, by (tier, name of the stage, variant). Of that, what the
// others serve the need without is left out, the farthest and dearest first. One answer, whatever
// the order of stages and cells. Limits that what runs crosses already take nothing away: they let
// nothing in.
//
// Dynamic programming over what is still needed and what limits have left that the best mix without
// them would cross: exact while the need is at most 20,000 units, and while such limits and the
// joint numbers of cells that do not all fit on their nodes stay small; beyond that rounded, always
// to the safe side, and marked so. A cell that stands alone in its stage takes time in proportion
// to the need, however many replicas it may have.
//
// Replicas that are added go to nodes that are there first, those of earlier variants before
// others, and cost their price there, as do those that no node has room for; what goes to nodes
// that have to be made costs those nodes, however little of the last one is used. Of a cell that
// stands alone that is so for the first 32 nodes: beyond them the cost is spread evenly over its
// replicas, and the mix is marked as rounded. Spend counts the prices of replicas.
Mix CheapestMix(const MixProblem& problem);

}  // namespace spillway::placement
