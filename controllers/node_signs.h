#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kube/types/node.h"

// What a Node object tells about the machine behind it, for people who describe their nodes as
// NodeGroups. The rules follow published Node objects (tests/testdata/nodes). No decision is made
// from this: a group says itself what its nodes are.
namespace spillway::controllers {

// One answer. `guess`: the object does not tell, this is what is likely.
struct Sign {
  std::string value;  // empty: nothing tells, and nothing is likely
  std::string from;   // what it was taken from: "label karpenter.sh/capacity-type"
  bool guess = false;
  bool operator==(const Sign&) const = default;
};

struct AcceleratorSigns {
  Sign type;             // as a NodeGroup calls it: nvidia-a100-80gb, aws-graviton2, cpu-amd64
  std::string resource;  // empty: the CPU, counted in cores
  Sign count;            // devices, or cores
  std::optional<int64_t> whole;  // of those, how many are there to be given to pods as a whole
  std::string parts;  // why not all are: "cut into 7 of 1g.10gb"; empty: nothing is cut or shared
  std::string part_suffix;    // what tells such a type from the whole: "mig-1g-10gb"
  std::string part_resource;  // by which the parts are counted; empty: `resource`
};

enum class NodeHealth { kUsable, kStarting, kCordoned, kDraining, kUnhealthy, kNotReady, kLost };
std::string_view Name(NodeHealth health);

struct NodeSigns {
  std::string name;
  Sign provider;       // OnPrem | AWS | Azure | GCP | Other
  Sign instance_type;  // as the provider calls it, without HyperPod's "ml."
  AcceleratorSigns accelerator;
  Sign arch;           // as Kubernetes calls it: amd64 | arm64
  Sign capacity_type;  // Owned | Reserved | OnDemand | Spot
  NodeHealth health = NodeHealth::kUsable;
  Sign why;  // of the health: value is a sentence
  bool control_plane = false;
};

NodeSigns ReadSigns(const kube::NodeDetails& details);

// Devices that a pod can ask for by some resource, as the node shows them. nullptr: none is known.
const char* DeviceResource(const Resources& amounts);

// "NVIDIA-A100-SXM4-80GB" -> "nvidia-a100-80gb". `memory_mib`: of one device, where the name does
// not tell it; 0: not known.
std::string NvidiaType(std::string_view product, int64_t memory_mib);

}  // namespace spillway::controllers
