#include "kube/transports.h"

#include <algorithm>

#include "kube/cpprest_transport.h"
#include "kube/curl_transport.h"

namespace spillway::kube {

const std::map<std::string, TransportKind>& TransportKinds() {
  static const std::map<std::string, TransportKind> kKinds = {{"cpprest", TransportKind::kCpprest},
                                                              {"curl", TransportKind::kCurl}};
  return kKinds;
}

std::string NameOf(TransportKind kind) {
  const auto& kinds = TransportKinds();
  const auto found = std::find_if(kinds.begin(), kinds.end(),
                                  [&](const auto& named) { return named.second == kind; });
  return found->first;
}

Result<std::unique_ptr<Transport>> MakeTransport(TransportKind kind, const ClusterConfig& config) {
  return kind == TransportKind::kCurl ? MakeCurlTransport(config) : MakeCpprestTransport(config);
}

}  // namespace spillway::kube
