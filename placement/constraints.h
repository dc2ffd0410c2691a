#pragma once

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

// Why constraints leave nodes out: sentence parts, counted.
class LeftOut {
 public:
  void Taint(const placement::Taint& taint);
  void Terms() { ++terms_; }
  void Excluded(const ExcludedNode& node);

  [[nodiscard]] std::string Sentence() const;
  // What would let them in again; empty: none is left out.
  [[nodiscard]] std::string Remedy() const;

 private:
  std::map<std::string, int> taints_;
  int terms_ = 0;
  std::vector<std::string> excluded_;
  std::optional<Time> until_;  // when the first of those is let in
};

}  // namespace spillway::placement
