#pragma once

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

// What became of it. Neither a problem nor `again`: it is done.
struct NodeStep {
  std::string problem{};                // a clause: what stands in the way until somebody mends it
  bool again = false;                   // that passes by itself
  std::vector<std::string> versions{};  // of nodes that were written

  [[nodiscard]] bool Done() const { return problem.empty() && !again; }
};

// Keeps new pods from the nodes: cordons them. One that somebody else has cordoned stays his.
NodeStep HoldNodes(kube::Client& client, const std::vector<std::string>& nodes, Time now,
                   const std::stop_token& stop);

// Makes sure that each of the nodes is held and has no pods but those that come and go with it, and
// that the object which the target's controller knows it by is marked to go first: the Machine of
// the target's API group that the node's annotation GROUP/machine names, and which names the node
// in turn. Nothing else is known to let a controller choose: without it there is a problem.
NodeStep MarkMachines(kube::Client& client, const crds::v1alpha1::ScaleTarget& target,
                      const std::vector<std::string>& nodes, const std::stop_token& stop);

// Undoes all that the two did to the node, its Machine first, so that what is left to be undone can
// always be told by the node. A node without our annotations, or that is gone, is left alone. The
// version of the node if it was written.
Result<std::optional<std::string>> ReleaseNode(kube::Client& client, const std::string& node,
                                               const std::stop_token& stop);

}  // namespace spillway::controllers
