#include "kube/connection.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

namespace spillway::kube {
namespace {

constexpr std::chrono::seconds kReadAgain{60};
constexpr std::chrono::seconds kReadAgainDistrusted{1};

Error BadServer(const std::string& server, std::string_view why) {
  return {Code::kInvalid, fmt::format("server \"{}\" {}", server, why)};
}

bool HasControlCharacter(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x21 || c == 0x7f; });
}

std::string Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(kSpace) - first + 1));
}

Result<std::string> ReadIfAny(const Material& material, std::string_view field) {
  if (material.empty()) return std::string();
  auto bytes = material.Read();
  if (!bytes) return std::move(bytes).error().While(std::string(field));
  return bytes;
}

Result<std::string> ReadToken(const Material& material) {
  auto bytes = ReadIfAny(material, "token");
  if (!bytes || material.empty()) return bytes;
  std::string token = Trimmed(*bytes);
  const std::string where = material.file.empty() ? "the kubeconfig" : material.file;
  if (token.empty()) return Error{Code::kInvalid, fmt::format("the token in {} is empty", where)};
  if (HasControlCharacter(token)) {
    return Error{Code::kInvalid, fmt::format("the token in {} has blanks or control characters "
                                             "inside; it must be one word",
                                             where)};
  }
  return token;
}

// The port after a colon, or the scheme's own.
Result<int> ParsePort(const std::string& server, std::string_view text, bool tls) {
  if (text.empty()) return tls ? 443 : 80;
  int port = 0;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port < 1 || port > 65535) {
    return BadServer(server, "has no valid port; a port is a number from 1 to 65535");
  }
  return port;
}

}  // namespace

bool Endpoint::HostIsIpv4() const {
  in_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1;
}

Result<Endpoint> ParseEndpoint(const std::string& server) {
  Endpoint endpoint;
  std::string_view rest = server;
  if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
    endpoint.tls = false;
  } else {
    return BadServer(server, "must start with https://");
  }
  const size_t slash = std::min(rest.find('/'), rest.size());
  endpoint.path = rest.substr(slash);
  while (endpoint.path.ends_with('/')) endpoint.path.pop_back();
  const std::string_view authority = rest.substr(0, slash);
  if (authority.find_first_of("@?#") != std::string_view::npos ||
      endpoint.path.find_first_of("?#") != std::string::npos || HasControlCharacter(server)) {
    return BadServer(server, "must be scheme, host, port and path only");
  }
  if (authority.starts_with('[') || authority.find(':') != authority.rfind(':')) {
    return BadServer(server,
                     "is an IPv6 address, which this transport cannot connect to; use a DNS name "
                     "such as kubernetes.default.svc");
  }
  const size_t colon = std::min(authority.find(':'), authority.size());
  endpoint.host = authority.substr(0, colon);
  if (endpoint.host.empty()) return BadServer(server, "names no host");
  const auto port = ParsePort(server, authority.substr(colon), endpoint.tls);
  if (!port) return port.error();
  endpoint.port = *port;
  return endpoint;
}

Result<Credentials> ReadCredentials(const ClusterConfig& config) {
  const auto endpoint = ParseEndpoint(config.server);
  if (!endpoint) return endpoint.error();
  auto ca = ReadIfAny(config.ca, "certificate-authority");
  if (!ca) return ca.error();
  auto certificate = ReadIfAny(config.client_certificate, "client-certificate");
  if (!certificate) return certificate.error();
  auto key = ReadIfAny(config.client_key, "client-key");
  if (!key) return key.error();
  auto token = ReadToken(config.token);
  if (!token) return token.error();
  if (certificate->empty() != key->empty()) {
    return Error{Code::kInvalid, "client-certificate and client-key must come together"};
  }
  if (!endpoint->tls && (!token->empty() || !key->empty())) {
    return BadServer(config.server, "is plain http: credentials go over https only");
  }
  if (endpoint->tls && ca->empty()) {
    return BadServer(config.server, "has no certificate-authority to verify it by");
  }
  return Credentials{*std::move(ca), *std::move(certificate), *std::move(key), *std::move(token)};
}

CredentialCache::CredentialCache(ClusterConfig config, Credentials first, Time now)
    : config_(std::move(config)),
      current_(std::make_shared<const Credentials>(std::move(first))),
      read_at_(now) {}

std::shared_ptr<const Credentials> CredentialCache::Get(Time now) {
  const std::scoped_lock lock(mutex_);
  if (now - read_at_ >= (distrusted_ ? kReadAgainDistrusted : kReadAgain)) {
    read_at_ = now;
    distrusted_ = false;
    if (auto fresh = ReadCredentials(config_); fresh && *fresh != *current_) {
      current_ = std::make_shared<const Credentials>(*std::move(fresh));
    }
  }
  return current_;
}

void CredentialCache::Distrust() {
  const std::scoped_lock lock(mutex_);
  distrusted_ = true;
}

}  // namespace spillway::kube
