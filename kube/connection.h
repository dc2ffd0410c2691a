#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "kube/config.h"

// What every transport must know before it connects: where to, and with which secrets.
namespace spillway::kube {

// The parts of a server's address.
struct Endpoint {
  bool tls = true;
  std::string host;  // a DNS name or an IPv4 address
  int port = 443;
  std::string path;  // empty, or "/prefix" without a trailing slash

  [[nodiscard]] bool HostIsIpv4() const;
  bool operator==(const Endpoint&) const = default;
};

// Takes "https://host[:port][/path]" (or http) apart. kInvalid names what is wrong.
Result<Endpoint> ParseEndpoint(const std::string& server);

// The bytes behind a configuration's materials at one moment. Secrets: never logged.
struct Credentials {
  std::string ca;
  std::string client_certificate;
  std::string client_key;
  std::string token;

  // True if connections made with `other` prove the same and trust the same.
  [[nodiscard]] bool SameTls(const Credentials& other) const {
    return ca == other.ca && client_certificate == other.client_certificate &&
           client_key == other.client_key;
  }
  bool operator==(const Credentials&) const = default;
};

// kInvalid: a file cannot be read, a token is empty or holds control characters, a certificate has
// no key, https has no CA, or credentials would go over plain http.
Result<Credentials> ReadCredentials(const ClusterConfig& config);

// Keeps credentials fresh: files are read again once a minute, or within a second after Distrust.
// While they cannot be read, the last good ones stay. Safe from any thread.
class CredentialCache {
 public:
  using Time = std::chrono::steady_clock::time_point;

  CredentialCache(ClusterConfig config, Credentials first, Time now);

  std::shared_ptr<const Credentials> Get(Time now);

  // The server refused the token: what is in the files may be newer than what is here.
  void Distrust();

 private:
  const ClusterConfig config_;
  std::mutex mutex_;
  std::shared_ptr<const Credentials> current_;
  Time read_at_;
  bool distrusted_ = false;
};

}  // namespace spillway::kube
