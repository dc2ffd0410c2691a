#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "crds/v1alpha1/node_group.h"
#include "kube/client.h"

// What it takes of the API to give a node back: it is held (cordoned, with annotations of ours),
// its Machine is marked to be the one that goes, and whoever is not to go after all is released.
// Every node is read anew before it is written, and written only as it was read.
namespace spillway::controllers {

// Is called after each node: whoever looks after the loop sees that it goes on.
using Beat = std::function<void()>;

// What became of it. Neither a problem nor `again`: it is done.
struct NodeStep {
  std::string problem{};                // a clause: what stands in the way until somebody mends it
  bool again = false;                   // that passes by itself
  std::vector<std::string> versions{};  // of nodes that were written

  [[nodiscard]] bool Done() const { return problem.empty() && !again; }
};

// Keeps new pods from the nodes: cordons them. One that somebody else has cordoned stays his.
NodeStep HoldNodes(kube::Client& client, const std::vector<std::string>& nodes, Time now,
                   const Beat& beat, const std::stop_token& stop);

// Looks at all Machines of the target, which are those that its scale's selector names: may it be
// lowered for some of them, and will those go that are marked? Only a MachineSet is known to heed
// marks, and only among its own Machines: all have to belong to one, and be as many as the target
// has replicas. None may be leaving already or be marked, but those of `nodes`, which may be none;
// each of `nodes` has to have one. `scale`: the target's, as read.
NodeStep CheckMachines(kube::Client& client, const crds::v1alpha1::ScaleTarget& target,
                       const nlohmann::json& scale, const std::vector<std::string>& nodes,
                       const std::stop_token& stop);

// Of nodes for which the target was lowered: are they on their way, every one without its Machine
// or with one that is being deleted? Or do some stay, as the target has come to rest without them:
// then it has taken others. nullopt: not known yet.
enum class Departure { kUnderWay, kStayed };
Result<std::optional<Departure>> LookAtDeparture(kube::Client& client,
                                                 const crds::v1alpha1::ScaleTarget& target,
                                                 const nlohmann::json& scale,
                                                 const std::vector<std::string>& nodes,
                                                 const std::stop_token& stop);

// Makes sure that each of the nodes is held and has no pods but those that come and go with it, and
// that the object which the target's controller knows it by is marked to go first: the Machine of
// the target's API group that the node's annotation GROUP/machine names, and which names the node
// in turn. Nothing else is known to let a controller choose: without it there is a problem.
NodeStep MarkMachines(kube::Client& client, const crds::v1alpha1::ScaleTarget& target,
                      const std::vector<std::string>& nodes, const Beat& beat,
                      const std::stop_token& stop);

// Undoes all that was done to the node, its Machine first, so that what is left to be undone can
// always be told by the node. A node without our annotations, or that is gone, is left alone.
// kUnavailable while its Machine is being deleted: it stays as it is. The version of the node if it
// was written.
Result<std::optional<std::string>> ReleaseNode(kube::Client& client, const std::string& node,
                                               const std::stop_token& stop);

}  // namespace spillway::controllers
