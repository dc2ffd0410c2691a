#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crds/v1alpha1/common.h"

namespace spillway::crds::v1alpha1 {

// One way to serve the pool.
struct VariantSpec {
  std::string name;
  std::string accelerator;
  int accelerators_per_replica = 0;
  std::string arch;        // amd64 | arm64; empty: any
  std::string throughput;  // of one replica, a decimal
  int min_replicas = 0;
  std::optional<int> max_replicas;
  int startup_seconds = 300;
  std::string pod_template;  // the JSON text of `template`
  bool operator==(const VariantSpec&) const = default;
};

struct InferencePoolSpec {
  int replicas = 0;             // in units
  std::string unit_throughput;  // a decimal; empty: the first variant's throughput
  std::string priority_class_name;
  bool paused = false;
  std::vector<VariantSpec> variants;
  struct Placement {
    std::vector<std::string> providers;
    Selector node_group_selector;
    std::string preference = "HomeFirst";
    std::string spill_policy = "Allowed";
    int spill_after_seconds = 120;
    std::string spill_max_hourly_cost;  // empty: no limit
    std::string return_policy = "Anytime";
    int return_after_seconds = 300;
    int return_min_savings_percent = 5;
    int return_payback_seconds = 3600;
    int start_deadline_seconds = 900;
    bool operator==(const Placement&) const = default;
  } placement;
  std::string preempts = "LowerPriority";
  int preempt_after_seconds = 300;
  struct Pace {
    int stabilization_seconds = 0;
    std::optional<int> max_step;  // units; absent: no limit
    int period_seconds = 60;
    bool operator==(const Pace&) const = default;
  };
  Pace scale_up;
  Pace scale_down{.stabilization_seconds = 300, .max_step = {}, .period_seconds = 60};
  int routing_port = 8000;
  std::string routing_mode = "Uniform";
  int max_unavailable = 1;
  int drain_seconds = 60;
  bool operator==(const InferencePoolSpec&) const = default;
};

struct CellStatus {
  std::string variant;
  std::string node_group;
  int tier = 0;
  int desired = 0;
  int ready = 0;
  std::optional<Time> pending_since;
  std::optional<Time> blocked_until;
  int misses = 0;        // start deadlines missed in a row
  std::string revision;  // of the variant, when last decided
  bool operator==(const CellStatus&) const = default;
};
// Nodes that gangs leave for more replicas of a cell.
struct CellClaimStatus {
  std::string variant;
  std::string node_group;
  int replicas = 0;
  std::vector<std::string> nodes;
  Time until{};
  Time since{};
  std::vector<std::string> victims;  // as namespace/name
  bool operator==(const CellClaimStatus&) const = default;
};
// A number of units that was asked for until some moment.
struct RecentUnitsStatus {
  int units = 0;
  Time until{};
  bool operator==(const RecentUnitsStatus&) const = default;
};
// Where a scaling period began.
struct StepStatus {
  Time since{};
  int units = 0;
  bool operator==(const StepStatus&) const = default;
};
struct ServiceStatus {
  std::string name;
  std::string variant;  // empty: all of them
  int weight = 0;       // share of the requests that it should get, in percent
  bool operator==(const ServiceStatus&) const = default;
};
// A mix of cells that was not chosen.
struct RejectedMixStatus {
  std::string mix;
  std::string cost;
  std::string why;
  bool operator==(const RejectedMixStatus&) const = default;
};
struct CellAskStatus {
  std::string variant;
  std::string node_group;
  int nodes = 0;
  int replicas = 0;
  Time since{};
  bool operator==(const CellAskStatus&) const = default;
};
struct DecisionStatus {
  Time time{};
  std::string action;
  std::string reason;
  std::string chosen;
  std::vector<RejectedMixStatus> rejected;
  bool operator==(const DecisionStatus&) const = default;
};

struct InferencePoolStatus {
  int64_t observed_generation = 0;
  int replicas = 0;  // ready, in units
  std::string selector;
  std::optional<int> units;            // wanted, after stabilization and steps
  std::optional<int> requested_units;  // spec.replicas as it was last seen
  std::vector<RecentUnitsStatus> recent;
  std::optional<StepStatus> step_up;
  std::optional<StepStatus> step_down;
  std::string required_capacity, ready_capacity, pending_capacity;
  std::vector<CellStatus> cells;
  std::vector<ServiceStatus> services;
  std::optional<Time> queued_since;
  std::optional<Time> waiting_since;
  std::optional<Time> home_fits_since;
  std::optional<Time> short_since;
  std::vector<EvictionStatus> evictions;
  std::optional<CellClaimStatus> claim;
  std::vector<CellAskStatus> asks;
  std::string hourly_cost, marginal_hourly_cost;
  std::optional<DecisionStatus> last_decision;
  std::vector<Condition> conditions;
  bool operator==(const InferencePoolStatus&) const = default;
};

struct InferencePool {
  kube::ObjectMeta meta;
  InferencePoolSpec spec;
  InferencePoolStatus status;
  bool operator==(const InferencePool&) const = default;
};

const kube::Resource& InferencePoolResource();
Status DecodeInferencePool(kube::JsonValue value, InferencePool& out);
std::string EncodeStatusUpdate(const InferencePool& object, const InferencePoolStatus& status);

}  // namespace spillway::crds::v1alpha1
