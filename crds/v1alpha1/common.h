#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/quantity.h"
#include "kube/client.h"
#include "kube/json.h"
#include "kube/object_meta.h"

// The kinds of API group spillway.dev/v1alpha1 as plain values: what the YAML beside this folder
// describes, field by field (a test compares the two). Words stay strings here; the API server has
// checked them against the schema, and controllers/observe turns them into ours. A field that an
// object lacks has the schema's default.
namespace spillway::crds::v1alpha1 {

inline constexpr const char* kGroup = "spillway.dev";
inline constexpr const char* kVersion = "v1alpha1";
inline constexpr const char* kApiVersion = "spillway.dev/v1alpha1";

struct Condition {
  std::string type;
  std::string status;  // True | False | Unknown
  std::string reason;
  std::string message;
  Time changed{};  // lastTransitionTime
  int64_t observed_generation = 0;
  bool operator==(const Condition&) const = default;
};

const Condition* FindCondition(const std::vector<Condition>& conditions, const std::string& type);

struct Requirement {
  std::string key;
  std::string op;
  std::vector<std::string> values;
  bool operator==(const Requirement&) const = default;
};
// A LabelSelector, matchLabels turned into In with one value. Empty selects everything.
using Selector = std::vector<Requirement>;

struct Toleration {
  std::string key;
  std::string op;
  std::string value;
  std::string effect;
  bool operator==(const Toleration&) const = default;
};

struct EnvVar {
  std::string name;
  std::string value;
  bool operator==(const EnvVar&) const = default;
};

// Somebody was made to give a place up.
struct EvictionStatus {
  Time time{};
  std::string cause;
  bool operator==(const EvictionStatus&) const = default;
};

Status Decode(kube::JsonValue value, Condition& out);
Status DecodeEviction(kube::JsonValue value, EvictionStatus& out);
Status DecodeSelector(kube::JsonValue value, Selector& out);
Status Decode(kube::JsonValue value, Toleration& out);
Status Decode(kube::JsonValue value, EnvVar& out);
// {"cpu": "4", …}, each quantity by Kubernetes' rules.
Status Decode(kube::JsonValue value, Resources& out);

}  // namespace spillway::crds::v1alpha1
