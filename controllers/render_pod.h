#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "crds/v1alpha1/node_group.h"

// What both kinds of pools do to a pod template. Not for use outside this folder.
namespace spillway::controllers::pod {

using Json = nlohmann::json;

// Is there an item of the list whose `key` is `name`?
bool Names(const Json& list, const char* key, const std::string& name);

Json Env(const char* name, const std::string& value);

// The group's variables before the container's own, which win; then `ours`.
void AddEnv(Json& container, const crds::v1alpha1::NodeGroup& group, const Json& ours);

// The accelerators and what the group adds, to the requests and limits of the first container.
void AddResources(Json& container, const crds::v1alpha1::NodeGroup& group, int64_t accelerators);

// The group's tolerations, and those without which the controller-manager would delete pods of an
// unreachable node on its own.
void AddTolerations(Json& spec, const crds::v1alpha1::NodeGroup& group);

// ANDs requirements on node labels into every term of the required node affinity.
void Require(Json& spec, const Json& requirements);

// What every child carries: labels, and the reference that makes the pool its controller.
Json Labels(const std::string& pool, const std::string& uid);
Json Metadata(const std::string& ns, const std::string& name, const std::string& kind,
              const std::string& pool, const std::string& uid);

// The object's text, with the revision that tells a later pass whether what stands there is what
// would be written now.
std::string Finish(Json object, const std::string& revision);
// The same of a Service or a PodDisruptionBudget, whose revision also tells whether somebody has
// edited it since: see StandingOf.
std::string FinishCompanion(Json object, const std::string& revision);

}  // namespace spillway::controllers::pod
