#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/boxed.h"
#include "base/shared.h"
#include "crds/v1alpha1/common.h"

namespace spillway::crds::v1alpha1 {

struct AcceptedAccelerator {
  std::string type;
  int workers = 0;  // 0: spec.workers, with spec.minWorkers
  int min_workers = 0;
  bool operator==(const AcceptedAccelerator&) const = default;
};

struct TrainingPoolSpec {
  int workers = 0;
  int min_workers = 0;  // 0: all of them
  int accelerators_per_worker = 0;
  bool suspend = false;
  std::vector<AcceptedAccelerator> accelerators;
  std::string priority_class_name;
  std::optional<int> active_deadline_seconds;
  std::optional<int> expected_seconds;
  struct Placement {
    std::vector<std::string> providers;
    Selector node_group_selector;
    std::string preference = "HomeFirst";
    std::string spill_policy = "Allowed";
    int spill_after_seconds = 600;
    std::string spill_max_hourly_cost;  // empty: no limit
    std::string return_policy = "AtCheckpoint";
    int return_after_seconds = 600;
    int return_min_savings_percent = 10;
    std::string topology_mode = "Preferred";
    std::string topology_level;
    int start_deadline_seconds = 1800;
    bool operator==(const Placement&) const = default;
  };
  struct Restart {
    int max_restarts = 20;
    int backoff_seconds = 10;
    int node_lost_seconds = 300;
    int hold_seconds = 600;
    std::string on_unreachable = "Restart";
    bool operator==(const Restart&) const = default;
  };
  struct Checkpoint {
    int interval_seconds = 1800;
    int grace_seconds = 120;
    bool operator==(const Checkpoint&) const = default;
  };
  struct Preemption {
    std::string preempts = "LowerPriority";
    std::string preemptible = "AtCheckpoint";
    int min_run_seconds = 1800;
    bool operator==(const Preemption&) const = default;
  };
  // What is not given takes no memory: that is most of them in most pools.
  Shared<Placement> placement;
  Shared<Restart> restart;
  Checkpoint checkpoint;
  Shared<Preemption> preemption;
  int torch_port = 29500;
  int torch_proc_per_node = 0;  // 0: accelerators_per_worker
  std::string pod_template;     // the JSON text of `template`
  bool operator==(const TrainingPoolSpec&) const = default;
};

struct PlacementStatus {
  std::string node_group;
  std::string accelerator;
  std::string domain;
  int tier = 0;
  int workers = 0;
  int per_worker = 0;  // 0: not said
  std::vector<std::string> nodes;
  int attempt = 0;
  std::string render_revision;
  std::string spec_revision;
  Time since{};
  bool operator==(const PlacementStatus&) const = default;
};
struct HoldStatus {
  std::string node_group;
  std::string domain;
  std::vector<std::string> nodes;
  Time until{};
  std::optional<Time> since;               // of a claim or a move
  std::vector<std::string> victims;        // namespace/name
  std::vector<std::string> replicas = {};  // namespace/name/pod
  bool shrinks = false;                    // its victims go on with fewer workers
  bool operator==(const HoldStatus&) const = default;
};
struct AskStatus {
  std::string node_group;
  int nodes = 0;
  int workers = 0;
  Time since{};
  bool operator==(const AskStatus&) const = default;
};
struct FailureStatus {
  int attempt = 0;
  int worker = -1;  // not known
  std::string node;
  int exit_code = 0;
  std::string reason;
  std::string message;
  Time time{};
  bool operator==(const FailureStatus&) const = default;
};
struct ExcludedNodeStatus {
  std::string name;
  Time until{};
  std::string reason;
  bool operator==(const ExcludedNodeStatus&) const = default;
};

struct TrainingPoolStatus {
  int64_t observed_generation = 0;
  Boxed<PlacementStatus> placement;
  Boxed<HoldStatus> hold;
  Boxed<AskStatus> ask;
  std::optional<Time> queued_since;
  std::optional<Time> waiting_since;
  std::optional<Time> start_time;
  std::optional<Time> completion_time;
  std::vector<int> tiers_used;
  int attempts = 0;
  struct Workers {
    int wanted = 0, active = 0, ready = 0, failed = 0, succeeded = 0;
    bool operator==(const Workers&) const = default;
  } workers;
  int restarts = 0;
  int failures = 0;
  Boxed<FailureStatus> last_failure;
  std::vector<ExcludedNodeStatus> excluded_nodes;
  std::vector<EvictionStatus> evictions;
  std::optional<Time> ready_since;
  std::optional<int> restart_seconds;
  std::optional<Time> home_fits_since;
  std::optional<Time> growth_fits_since;
  std::optional<Time> over_budget_since;
  std::optional<Time> last_move;
  std::optional<int> dwell_seconds;
  std::vector<std::string> stuck_pods;
  std::string hourly_cost, marginal_hourly_cost;
  std::vector<Condition> conditions;
  bool operator==(const TrainingPoolStatus&) const = default;
};

struct TrainingPool {
  kube::ObjectMeta meta;
  TrainingPoolSpec spec;
  TrainingPoolStatus status;
  bool operator==(const TrainingPool&) const = default;
};

const kube::Resource& TrainingPoolResource();
Status DecodeTrainingPool(kube::JsonValue value, TrainingPool& out);
std::string EncodeStatusUpdate(const TrainingPool& object, const TrainingPoolStatus& status);

}  // namespace spillway::crds::v1alpha1
