#pragma once

#include <map>
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

// The facts of a Node that decisions need.
struct Node {
  ObjectMeta meta;  // annotations under the prefix given to DecodeNode only
  bool unschedulable = false;
  std::vector<Taint> taints;
  std::vector<NodeCondition> conditions;  // without heartbeat times, so heartbeats change nothing
  Resources allocatable;

  bool operator==(const Node&) const = default;
};

// `prefix`: annotations to keep.
Status DecodeNode(JsonValue value, const std::string& prefix, Node& out);

// The whole of what a Node says about the machine behind it; for people, decisions do without.
struct NodeDetails {
  Node node;  // with its annotations
  std::string provider_id;
  Resources capacity;
  std::map<std::string, std::string> condition_messages;  // by type
  std::string architecture;                               // nodeInfo
  std::string kernel;                                     // likewise
  std::string kubelet;                                    // likewise
  bool operator==(const NodeDetails&) const = default;
};

Status DecodeNodeDetails(JsonValue value, NodeDetails& out);

// A resource list ({"cpu": "94940m", …}) into `out`. An unparsable quantity is an error that names
// it.
Status ReadResources(JsonValue value, Resources& out);

const Resource& NodeResource();

}  // namespace spillway::kube
