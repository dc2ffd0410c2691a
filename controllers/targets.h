#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "crds/v1alpha1/node_group.h"
#include "kube/client.h"

namespace spillway::controllers {

// autoscaling/v1 Scale: what an object's scale subresource is.
const kube::Resource& ScaleResource();

// What became of a look at an elastic group's target.
struct TargetLook {
  std::optional<int> replicas;       // as read, or as set; nullopt: not known
  std::optional<int> raised_from{};  // set: it had so few, and has `replicas` now
  std::string problem{};             // a sentence: what stands in the way until somebody mends it
  bool refused = false;              // a write was sent and not taken
  bool again = false;                // nothing is wrong with it, but it has to be looked at again
};

// What an elastic group asks of its target.
struct TargetWish {
  crds::v1alpha1::ScaleTarget target;
  std::optional<int> at_least;  // replicas; nullopt: it is only read
  int nodes = 0;                // that the group's selector matches
  bool operator==(const TargetWish&) const = default;
};

// Reads how many replicas the target has and, where they are fewer than is asked, raises them to
// that: only if nobody has changed the object since it was read, never down, and not where it has
// fewer than the group has nodes, which then are not all its own. Through the scale
// subresource, or where the target names a replicasPath through a merge patch of that field. Which
// kinds there are the API server is asked each time.
TargetLook LookAtTarget(kube::Client& client, const TargetWish& wish, const std::stop_token& stop);

}  // namespace spillway::controllers
