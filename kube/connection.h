#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "kube/config.h"
#include "kube/exec_credentials.h"

// What every transport must know before it connects: where to, and with which secrets.
namespace spillway::kube {

// The parts of a server's address.
struct Endpoint {
  bool tls = true;
  std::string host;  // a DNS name, an IPv4 address, or an IPv6 one without its brackets
  int port = 443;
  std::string path;  // empty, or "/prefix" without a trailing slash

  [[nodiscard]] bool HostIsIpv4() const;
  [[nodiscard]] bool HostIsIpv6() const;
  bool operator==(const Endpoint&) const = default;
};

// True for a text without blanks and control characters, as a token must be.
bool IsOneWord(std::string_view text);

// True for what ends no header early.
bool IsHeaderText(std::string_view text);

// Takes "https://host[:port][/path]" (or http) apart. kInvalid names what is wrong.
Result<Endpoint> ParseEndpoint(const std::string& server);

// Lets the kernel find a dead peer: after 15 s of silence it asks three times, 10 s apart, and what
// was sent must be acknowledged within as long. Without this a watch would hang for hours.
void SetUpKeepalive(int socket);

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

// What stands in files and in the configuration itself. kInvalid: a file cannot be read, a token is
// empty or not one word, a certificate has no key, https has no CA, or credentials would go over
// plain http.
Result<Credentials> ReadCredentials(const ClusterConfig& config);

// Headers of a request: who asks, and on whose behalf. The same name may come several times.
std::vector<std::pair<std::string, std::string>> IdentityHeaders(const Credentials& credentials,
                                                                 const Impersonation& impersonate);

// Keeps credentials fresh: files are read again once a minute, or within a second after Distrust,
// and a credential plugin runs when ExecCredentials says so. While files cannot be read, the last
// good ones stay. Safe from any thread.
class CredentialCache {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `first`: of ReadCredentials.
  CredentialCache(ClusterConfig config, Credentials first, Time now);

  // Never fails where there is no credential plugin; else as ExecCredentials does.
  Result<std::shared_ptr<const Credentials>> Get(Time now, Time deadline,
                                                 const std::stop_token& stop);

  // Waits for the credential plugin, if there is one, for as long as that may run.
  Status LogIn(Time now, const std::stop_token& stop);

  // The server refused `used`: what is in the files may be newer, or the plugin is to give others.
  void Distrust(const std::shared_ptr<const Credentials>& used);

  // A connection failed, maybe for an authority or a certificate that has been replaced: files are
  // read again as after Distrust; no plugin runs for it.
  void Suspect();

 private:
  void ReadAgain(Time now);
  void Renew();

  const ClusterConfig config_;
  std::mutex mutex_;
  // Guarded.
  Credentials files_;
  ExecCredentials::Ptr given_;  // by the plugin, a part of current_
  std::shared_ptr<const Credentials> current_;
  Time read_at_;
  bool distrusted_ = false;

  std::unique_ptr<ExecCredentials> exec_;  // synchronises itself; null without a plugin
};

}  // namespace spillway::kube
