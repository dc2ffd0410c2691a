#pragma once

#include <string>
#include <string_view>

#include "kube/client.h"
#include "kube/object_meta.h"

namespace spillway::kube {

// The facts of a Service or a PodDisruptionBudget.
struct Companion {
  ObjectMeta meta;
  std::string spec_digest;  // SpecDigest of its spec; empty without one
  bool operator==(const Companion&) const = default;
};
Status DecodeCompanion(JsonValue value, Companion& out);

// A digest of what decides how a Service or a PodDisruptionBudget works: its selector, each port's
// name, number, protocol and target, whether pods that are not ready are published, and how many
// pods must stay. What an API server fills in, and what others may well set besides (such as the
// type of a Service), leaves it as it is. `spec`: JSON text; of anything but an object, "".
std::string SpecDigest(std::string_view spec);

}  // namespace spillway::kube
