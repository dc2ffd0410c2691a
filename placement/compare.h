#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "placement/plan.h"
#include "placement/plan_text.h"

// What differs between two plans, of two moments or of the same facts with and without an edit.
namespace spillway::placement {

enum class PoolState {
  kNotPlaced,  // a gang that waits, is suspended or cannot be placed
  kPlaced,
  kCompleted,
  kFailed,
  kCapacityMet,    // an inference pool that has what it needs, or will when its pods are ready
  kCapacityShort,  // one that has less
};
std::string_view Name(PoolState state);

// What of a pool runs in one node group.
struct Part {
  std::string variant;  // empty: the workers of a gang
  std::string node_group;
  int count = 0;  // workers or replicas
  bool operator==(const Part&) const = default;
};

// Where a pool stands once its plan has been carried out.
struct Outcome {
  PoolState state = PoolState::kNotPlaced;
  Reason reason = Reason::kAsExpected;        // of the condition Placed or CapacityMet
  Reason ready_reason = Reason::kAsExpected;  // of the condition Ready
  std::vector<Part> parts;                    // by (variant, node group)
  std::vector<std::string> nodes;             // of a gang, sorted
  std::optional<int> attempt;                 // of a gang that is placed
  int position = 0;                           // among waiting pools, 1 first; 0: not waiting
  Money hourly_cost;
  Money marginal_hourly_cost;
  std::string message;  // of the condition Placed or CapacityMet; alone it makes no difference
  bool operator==(const Outcome&) const = default;
};
// In all but the message, which names moments and numbers of others.
bool SameOutcome(const Outcome& a, const Outcome& b);

struct PoolChange {
  PoolKey key;
  std::string kind;               // TrainingPool | InferencePool
  std::optional<Outcome> before;  // absent: that plan does not have the pool
  std::optional<Outcome> after;
};

// An hour's cost of everything.
struct HourlyCosts {
  Money pools;  // the shares that pools have in their nodes
  Money pools_marginal;
  Money nodes;  // of all node groups, used or not
  Money nodes_idle;
  bool operator==(const HourlyCosts&) const = default;
};

struct Comparison {
  std::string currency;
  int compared = 0;                 // pools of either plan
  std::vector<PoolChange> changes;  // those that differ, by (namespace, name, kind)
  HourlyCosts before;
  HourlyCosts after;
};
bool Differs(const Comparison& comparison);

// kInvalid where the snapshots count in different currencies. REQUIRES plans of these snapshots.
Result<Comparison> Compare(const Snapshot& before, const Plan& plan_before, const Snapshot& after,
                           const Plan& plan_after);

// For people, and for programs.
std::string FormatComparison(const Comparison& comparison);
std::string WriteComparison(const Comparison& comparison, Form form);

}  // namespace spillway::placement
