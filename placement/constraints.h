#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "placement/snapshot.h"

// Which nodes a pool's workers may run on, as far as affinity, taints and its memory go.
namespace spillway::placement {

// Does the node meet the template's node selector and required affinity?
bool TermsHold(const TrainingPool& pool, const Node& node);

// A taint that keeps the pool's workers off the node: of several, the first by name.
const Taint* Repelling(const TrainingPool& pool, const NodeGroup& group, const Node& node);
// Does one more than the first?
bool SeveralRepel(const TrainingPool& pool, const NodeGroup& group, const Node& node);

// Both of these: may the pool's workers run on the node?
bool ConstraintsHold(const TrainingPool& pool, const NodeGroup& group, const Node& node);

// Do both hold on the same nodes of every group?
bool AsksAlike(const TrainingPool& left, const TrainingPool& right);

// The same for the node as it would be in good health: taints that come and go with that are no
// matter.
bool CouldServe(const TrainingPool& pool, const NodeGroup& group, const Node& node);

// The entry by which the pool leaves the node out at the moment; nullptr: it does not.
const ExcludedNode* FindExcluded(const PoolMemory& memory, const std::string& node, Time now);
bool IsExcluded(const PoolMemory& memory, const std::string& node, Time now);

// How many nodes there are of each of a group's shapes.
using ShapeCounts = std::vector<int64_t>;

// Why constraints leave nodes out: sentence parts, counted. Of each node its shape is told, in
// GroupView::shapes, and the first of what keeps the pool off it: `alone`, if nothing else does.
class LeftOut {
 public:
  void Taint(const placement::Taint& taint, size_t shape, bool alone);
  void Terms(size_t shape, bool alone);
  void Excluded(const ExcludedNode& node, size_t shape);

  [[nodiscard]] std::string Sentence() const;
  // What would let them in again: the ways that by themselves let in enough nodes, with "or"
  // between them; where none does, a clause for each. Empty: none is left out.
  using IsEnough = std::function<bool(const ShapeCounts& let_in)>;
  [[nodiscard]] std::string Remedy(const IsEnough& is_enough) const;

 private:
  struct Kept {
    int nodes = 0;
    ShapeCounts alone;
    void Add(size_t shape, bool is_alone);
  };
  Kept terms_;
  std::map<std::string, Kept> taints_;
  std::vector<std::string> excluded_;
  std::map<Time, ShapeCounts> until_;
};

}  // namespace spillway::placement
