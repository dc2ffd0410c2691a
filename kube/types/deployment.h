#pragma once

#include <cstdint>

#include "kube/client.h"
#include "kube/object_meta.h"

namespace spillway::kube {

// The facts of a Deployment. Its status speaks of the spec only once observed_generation has
// reached meta.generation.
struct Deployment {
  ObjectMeta meta;
  int replicas = 0;         // as its spec asks
  int max_surge = 0;        // of its strategy; -1 where it is a percentage
  int max_unavailable = 0;  // likewise
  int status_replicas = 0;
  int updated_replicas = 0;
  int ready_replicas = 0;
  int64_t observed_generation = 0;
  bool stuck = false;  // condition Progressing=False with ProgressDeadlineExceeded
  bool operator==(const Deployment&) const = default;
};
Status DecodeDeployment(JsonValue value, Deployment& out);
const Resource& DeploymentResource();

}  // namespace spillway::kube
