#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "controllers/node_proposals.h"
#include "crds/v1alpha1/node_group.h"

// What can be wrong with an installation, from facts that somebody else has gathered.
namespace spillway::controllers {

struct Finding {
  std::string what;    // one sentence, with the numbers
  std::string remedy;  // one sentence: what to do
  bool operator==(const Finding&) const = default;
};
using Findings = std::vector<Finding>;

// ---- the API server and our kinds ----

// "v1.36.3", as /version has it.
Findings CheckServerVersion(const std::string& version);

// `wanted`: the CustomResourceDefinitions of this build. `installed`: those of the cluster by name,
// without those that it does not have.
Findings CheckCrds(const std::vector<nlohmann::json>& wanted,
                   const std::map<std::string, nlohmann::json>& installed);

// ---- the operator ----

// `deployment`: null if there is none. `version`: this build's.
Findings CheckOperator(const nlohmann::json& deployment, const std::string& ns,
                       const std::string& version);

// One thing that the operator asks of the API server.
struct Right {
  std::string group;
  std::string resource;
  std::string subresource{};
  std::string verb{};
  std::string ns{};    // empty: everywhere
  std::string name{};  // empty: any
  bool operator==(const Right&) const = default;
};
// Everything that it asks, when it is installed in this namespace.
std::vector<Right> NeededRights(const std::string& ns);
// The body of a SubjectAccessReview: may this ServiceAccount?
std::string RenderAccessReview(const Right& right, const std::string& ns,
                               const std::string& account);
// `lacking`: of the `asked` ones, those that were denied.
Findings CheckRights(const std::vector<Right>& lacking, size_t asked, const std::string& ns,
                     const std::string& account);

// ---- nodes and node groups ----

Findings CheckFleet(const std::vector<DescribedNode>& nodes,
                    const std::vector<crds::v1alpha1::NodeGroup>& groups);

// ---- Kueue ----

struct NamespacePools {
  kube::TextMap labels;  // of the namespace
  int training = 0;
  int inference = 0;
  bool default_queue = false;  // it has a LocalQueue named default
};
struct KueueFacts {
  std::vector<std::string> webhooks;  // its MutatingWebhookConfigurations
  bool has_config_map = false;        // kueue-system/kueue-manager-config
  // The Configuration in it; null if there is none.
  const nlohmann::json* config = nullptr;
  std::map<std::string, NamespacePools> namespaces;
};
Findings CheckKueue(const KueueFacts& facts);

}  // namespace spillway::controllers
