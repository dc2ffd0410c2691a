#pragma once

#include <string>
#include <vector>

#include "base/quantity.h"
#include "kube/client.h"
#include "kube/object_meta.h"

namespace spillway::kube {

struct Taint {
  std::string key;
  std::string value;
  std::string effect;  // NoSchedule | PreferNoSchedule | NoExecute
  bool operator==(const Taint&) const = default;
};

struct NodeCondition {
  std::string type;
  std::string status;  // True | False | Unknown
  Time changed{};      // lastTransitionTime
  bool operator==(const NodeCondition&) const = default;
};

// The facts of a Node that decisions need; no annotations.
struct Node {
  ObjectMeta meta;
  bool unschedulable = false;
  std::vector<Taint> taints;
  std::vector<NodeCondition> conditions;  // without heartbeat times, so heartbeats change nothing
  Resources allocatable;

  bool operator==(const Node&) const = default;
};

Status DecodeNode(JsonValue value, Node& out);

// A resource list ({"cpu": "94940m", …}) into `out`. An unparsable quantity is an error that names
// it.
Status ReadResources(JsonValue value, Resources& out);

const Resource& NodeResource();

}  // namespace spillway::kube
