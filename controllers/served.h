#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "kube/client.h"

namespace spillway::controllers {

// A kind as the API server serves it.
struct Served {
  kube::Resource resource;
  bool has_scale = false;  // it has a scale subresource
};

// Asks the API server each time. nullopt: the version has no such kind; kNotFound: it does not
// serve the version.
Result<std::optional<Served>> FindServed(kube::Client& client, const std::string& api_version,
                                         const std::string& kind, const std::stop_token& stop);

// The kind's name as permissions spell it: "machinedeployments.cluster.x-k8s.io".
std::string PluralWithGroup(const kube::Resource& resource);

}  // namespace spillway::controllers
