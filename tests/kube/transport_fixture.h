#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "kube/cpprest_transport.h"
#include "kube/curl_transport.h"
#include "tests/support/certificates.h"
#include "tests/support/tls_server.h"

namespace spillway::kube {

// Every implementation of kube/transport.h, before a real server on loopback.
struct Implementation {
  std::string name;
  Result<std::unique_ptr<Transport>> (*make)(const ClusterConfig&);
  // Connects to no IPv6 address, sends no header twice, keeps every connection for a while, and
  // takes an interim answer (1xx) for the answer.
  bool limited;
};

inline void PrintTo(const Implementation& implementation, std::ostream* out) {
  *out << implementation.name;
}

// Debian's cpprestsdk is not instrumented: under the thread sanitizer it yields false reports.
inline auto Implementations() {
  return ::testing::Values(
#ifndef __SANITIZE_THREAD__
      Implementation{"cpprest", MakeCpprestTransport, true},
#endif
      Implementation{"curl", MakeCurlTransport, false});
}
// What cpprestsdk cannot do.
inline auto UnlimitedImplementations() {
  return ::testing::Values(Implementation{"curl", MakeCurlTransport, false});
}
inline std::string NameOf(const ::testing::TestParamInfo<Implementation>& info) {
  return info.param.name;
}

class TransportTest : public ::testing::TestWithParam<Implementation> {
 protected:
  TransportTest() : authority_("cluster CA"), other_("some other CA") {}

  void Serve(support::TlsServer::Handler handler,
             const std::vector<std::string>& names = {"IP:127.0.0.1"}) {
    server_ = std::make_unique<support::TlsServer>(
        support::TlsServer::Options{authority_.Issue("apiserver", names), authority_.Pem()},
        std::move(handler));
  }
  [[nodiscard]] ClusterConfig Config(const std::string& host = "127.0.0.1") const {
    ClusterConfig config;
    config.server = "https://" + host + ":" + std::to_string(server_->Port());
    config.ca.data = authority_.Pem();
    return config;
  }
  static std::unique_ptr<Transport> Make(const ClusterConfig& config) {
    auto transport = GetParam().make(config);
    EXPECT_TRUE(transport.ok()) << transport.error().message;
    return *std::move(transport);
  }
  static HttpRequest Get(const std::string& target) {
    HttpRequest request;
    request.target = target;
    return request;
  }
  static HttpRequest Post(const std::string& target, const std::string& body) {
    HttpRequest request = Get(target);
    request.method = "POST";
    request.body = body;
    return request;
  }
  // Sends and expects an error; its message is the answer's.
  static Error SendAndFail(Transport& transport, const HttpRequest& request,
                           const std::stop_token& stop = {}) {
    auto response = transport.Send(request, stop);
    EXPECT_FALSE(response.ok());
    return response ? Error{} : response.error();
  }

  support::Authority authority_;
  support::Authority other_;
  std::unique_ptr<support::TlsServer> server_;
};

class UnlimitedTransportTest : public TransportTest {};

}  // namespace spillway::kube
