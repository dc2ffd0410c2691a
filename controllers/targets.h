#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "controllers/leaving_nodes.h"
#include "crds/v1alpha1/node_group.h"
#include "kube/client.h"

namespace spillway::controllers {

// autoscaling/v1 Scale: what an object's scale subresource is.
const kube::Resource& ScaleResource();

// What became of a look at an elastic group's target.
struct TargetLook {
  std::optional<int> replicas;        // as read, or as set; nullopt: not known
  std::optional<int> raised_from{};   // set: it had so few, and has `replicas` now
  std::string problem{};              // a sentence: what stands in the way until somebody mends it
  std::optional<int> lowered_from{};  // likewise
  std::vector<std::string> node_versions{};  // of nodes that were written
  bool refused = false;                      // a write to it was sent and not taken
  bool fixed = false;                        // `problem` is in the way of lowering it
  bool stays = false;                        // it was lowered, and others have gone than were to
  bool again = false;  // nothing is wrong with it, but it has to be looked at again
};

// What an elastic group asks of its target.
struct TargetWish {
  crds::v1alpha1::ScaleTarget target;
  std::optional<int> at_least;  // replicas; nullopt: it is only read
  int nodes = 0;                // that the group's selector matches
  bool gives = false;           // some of them are to be given back, or might be: is that possible?
  // The nodes of it that are given back; those of them that are yet to be kept from new pods; what
  // it is lowered to for them, and whether it has been.
  std::vector<std::string> leaving{};
  std::vector<std::string> hold{};
  std::optional<int> lower_to{};
  bool lowered = false;
  Time now{};  // what is written on nodes that are held
  bool operator==(const TargetWish&) const = default;
};

// Reads how many replicas the target has and, where they are fewer than is asked, raises them to
// that: only if nobody has changed the object since it was read, and not where it has fewer than
// the group has nodes, which then are not all its own. Lowers it only by the nodes that go, from
// exactly what it had with them, once each is seen to be empty and is marked to be what goes
// (CheckMachines, MarkMachines). Once it has been lowered it is not raised before what goes is on
// its way. Through the scale subresource, or where the target names a replicasPath through a merge
// patch of that field. Which kinds there are the API server is asked each time.
TargetLook LookAtTarget(kube::Client& client, const TargetWish& wish, const Beat& beat,
                        const std::stop_token& stop);

}  // namespace spillway::controllers
