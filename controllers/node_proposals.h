#pragma once

#include <string>
#include <vector>

#include "controllers/node_signs.h"

namespace spillway::controllers {

struct DescribedNode {
  kube::NodeDetails details;
  NodeSigns signs;
};

// Nodes that one NodeGroup can describe, and that group.
struct Proposal {
  std::string name;
  std::vector<std::string> nodes;
  std::string manifest;              // YAML; empty: none can be written
  std::vector<std::string> remarks;  // sentences: what to look at, or why there is no manifest
};

// One for each kind of node: provider, accelerator, capacity type and pool. No node is selected by
// two of them, and none of the nodes given here by another's.
std::vector<Proposal> ProposeGroups(const std::vector<DescribedNode>& nodes);

// Lines for a person, each of them a comment of YAML, so that what is printed can be applied.
std::string FormatSigns(const NodeSigns& signs);
std::string FormatProposal(const Proposal& proposal);

}  // namespace spillway::controllers
