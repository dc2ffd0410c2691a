#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crds/v1alpha1/common.h"

namespace spillway::crds::v1alpha1 {

struct BadCondition {
  std::string type;
  std::string status;
  bool operator==(const BadCondition&) const = default;
};
struct BadTaint {
  std::string key;
  std::string value;
  std::string effect;
  bool operator==(const BadTaint&) const = default;
};

// Whose replicas the group's nodes are.
struct ScaleTarget {
  std::string api_version;
  std::string kind;
  std::string ns;  // empty: the kind has none
  std::string name;
  std::string replicas_path;  // ".spec.targetNodes"; empty: the scale subresource
  bool operator==(const ScaleTarget&) const = default;
};
struct ElasticSpec {
  int min_nodes = 0;
  int max_nodes = 0;
  int step_nodes = 1;
  bool single_domain = false;
  Resources node_shape;
  ScaleTarget target;
  int provision_timeout_seconds = 1200;
  int backoff_initial_seconds = 300;  // stockoutBackoff
  int backoff_max_seconds = 3600;
  std::optional<int> scale_down_delay_seconds;  // not given: no node is given back
  std::string max_hourly_cost;                  // empty: no limit
  bool operator==(const ElasticSpec&) const = default;
};

struct NodeGroupSpec {
  std::string provider;
  int tier = 0;
  std::string admission = "Open";
  Selector selector;
  struct Accelerator {
    std::string type;
    std::string resource;  // empty: CPU in cores
    int per_node = 0;      // 0: not given
    bool operator==(const Accelerator&) const = default;
  } accelerator;
  std::string capacity_type;
  struct Cost {
    std::string per_node_hour;           // empty: 0
    std::string marginal_per_node_hour;  // empty: 0 for Owned and Reserved, else per_node_hour
    std::string currency = "USD";
    bool operator==(const Cost&) const = default;
  } cost;
  std::vector<std::string> domain_labels;  // interconnect.domainLabels
  std::vector<Toleration> tolerations;
  struct PodDefaults {
    std::vector<EnvVar> env;
    Resources resources;
    bool operator==(const PodDefaults&) const = default;
  } pod_defaults;
  struct Health {
    int startup_grace_seconds = 900;
    int not_ready_grace_seconds = 300;
    int max_unhealthy_percent = 30;
    std::vector<BadCondition> bad_conditions;
    std::vector<BadTaint> bad_taints;
    bool operator==(const Health&) const = default;
  } health;
  std::optional<ElasticSpec> elastic;
  bool operator==(const NodeGroupSpec&) const = default;
};

struct SpareNodesStatus {
  int nodes = 0;
  Time since{};
  bool operator==(const SpareNodesStatus&) const = default;
};

struct LeavingNodesStatus {
  std::vector<std::string> nodes;
  Time since{};
  std::optional<int> replicas;
  bool lowered = false;
  bool operator==(const LeavingNodesStatus&) const = default;
};

struct ScaleStatus {
  int desired = 0;
  std::optional<int> target;  // not given: not read yet
  int observed = 0;
  std::optional<SpareNodesStatus> spare{};
  std::optional<LeavingNodesStatus> leaving{};
  bool operator==(const ScaleStatus&) const = default;
};
struct StockoutStatus {
  Time since{};
  int attempts = 1;
  Time next_try{};
  bool operator==(const StockoutStatus&) const = default;
};

struct NodeGroupStatus {
  int64_t observed_generation = 0;
  struct Nodes {
    int matched = 0, usable = 0, starting = 0, cordoned = 0, unhealthy = 0, draining = 0;
    bool operator==(const Nodes&) const = default;
  } nodes;
  struct Accelerators {
    int64_t allocatable = 0, used = 0, free = 0;
    bool operator==(const Accelerators&) const = default;
  } accelerators;
  struct LargestFreeDomain {
    int nodes = 0;
    std::string domain;
    bool operator==(const LargestFreeDomain&) const = default;
  } largest_free_domain;
  std::optional<ScaleStatus> scale;  // of an elastic group
  std::optional<StockoutStatus> stockout;
  std::string hourly_cost, idle_hourly_cost, marginal_hourly_cost;
  std::vector<Condition> conditions;
  bool operator==(const NodeGroupStatus&) const = default;
};

struct NodeGroup {
  kube::ObjectMeta meta;
  NodeGroupSpec spec;
  NodeGroupStatus status;
  bool operator==(const NodeGroup&) const = default;
};

const kube::Resource& NodeGroupResource();
Status DecodeNodeGroup(kube::JsonValue value, NodeGroup& out);
// The body of a status update: identity, resource version, status.
std::string EncodeStatusUpdate(const NodeGroup& object, const NodeGroupStatus& status);

}  // namespace spillway::crds::v1alpha1
