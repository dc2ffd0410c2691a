#include "kube/transports.h"

#include "kube/cpprest_transport.h"
#include "kube/curl_transport.h"

namespace spillway::kube {

const std::map<std::string, TransportKind>& TransportKinds() {
  static const std::map<std::string, TransportKind> kKinds = {{"cpprest", TransportKind::kCpprest},
                                                              {"curl", TransportKind::kCurl}};
  return kKinds;
}

Result<std::unique_ptr<Transport>> MakeTransport(TransportKind kind, const ClusterConfig& config) {
  return kind == TransportKind::kCurl ? MakeCurlTransport(config) : MakeCpprestTransport(config);
}

}  // namespace spillway::kube
