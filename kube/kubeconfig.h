#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "kube/config.h"

namespace spillway::kube {

// One context of kubeconfig files, with what overrides it, that are merged as kubectl merges them:
// of entries of one name the first file's is taken whole, relative paths start at the file that
// names them. A cluster that is named needs no context. `must_exist`: a missing file is an error,
// as for a path given by hand.
//
// Read are clusters (server, certificate-authority[-data], tls-server-name), users
// (client-certificate[-data], client-key[-data], tokenFile, token, exec; as, as-uid, as-groups,
// as-user-extra) and contexts (cluster, user, namespace). Of a tokenFile and a token the file wins,
// of a token and exec the token. insecure-skip-tls-verify, proxy-url, auth-provider and passwords
// are refused by name; unknown fields are passed over. kInvalid: one sentence with the file, the
// field and what is wrong.
Result<ClusterConfig> ReadKubeconfigs(const std::vector<std::string>& files, bool must_exist,
                                      const Overrides& overrides);

// All bytes of a file; empty if it cannot be read.
std::optional<std::string> ReadFile(const std::string& path);

}  // namespace spillway::kube
