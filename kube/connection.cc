#include "kube/connection.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "kube/client.h"
#include "kube/pem.h"

namespace spillway::kube {
namespace {

constexpr std::chrono::seconds kReadAgain{60};
constexpr std::chrono::seconds kReadAgainDistrusted{1};

Error BadServer(const std::string& server, std::string_view why) {
  return {Code::kInvalid, fmt::format("server \"{}\" {}", server, why)};
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
  if (!IsOneWord(token)) {
    return Error{Code::kInvalid, fmt::format("the token in {} has blanks or control characters "
                                             "inside; it must be one word",
                                             where)};
  }
  return token;
}

// The port after a colon, or the scheme's own.
Result<int> ParsePort(const std::string& server, std::string_view text, bool tls) {
  if (text.empty()) return tls ? 443 : 80;
  if (text.find(':', 1) != std::string_view::npos) {
    return BadServer(server, "has more than one colon; an IPv6 address goes in brackets");
  }
  int port = 0;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), port);
  if (!text.starts_with(':') || error != std::errc() || end != text.data() + text.size() ||
      port < 1 || port > 65535) {
    return BadServer(server, "has no valid port; a port is a number from 1 to 65535");
  }
  return port;
}

// What is of no use stays as it was before: who writes several files, or a long one, may not be
// done. Says whether there was any.
bool KeepWhatWasOfUse(const Credentials& before, Credentials& fresh) {
  const bool other_pair = fresh.client_certificate != before.client_certificate ||
                          fresh.client_key != before.client_key;
  const bool bad_pair = other_pair && !fresh.client_key.empty() &&
                        !FaultOfPair(fresh.client_certificate, fresh.client_key).empty();
  if (bad_pair) {
    fresh.client_certificate = before.client_certificate;
    fresh.client_key = before.client_key;
  }
  const bool bad_authority = fresh.ca != before.ca && !FaultOfAuthority(fresh.ca).empty();
  if (bad_authority) fresh.ca = before.ca;
  return bad_pair || bad_authority;
}

}  // namespace

bool IsOneWord(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x21 || c == 0x7f; });
}

bool IsHeaderText(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

bool Endpoint::HostIsIpv4() const {
  in_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1;
}

bool Endpoint::HostIsIpv6() const {
  in6_addr address{};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

void SetUpKeepalive(int socket) {
  constexpr int kIdle = 15;  // seconds
  constexpr int kInterval = 10;
  constexpr int kProbes = 3;
  const auto set = [&](int level, int name, int value) {
    setsockopt(socket, level, name, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kIdle);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kInterval);
  set(IPPROTO_TCP, TCP_KEEPCNT, kProbes);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, (kIdle + kProbes * kInterval) * 1000);
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
      endpoint.path.find_first_of("?#") != std::string::npos || !IsOneWord(server)) {
    return BadServer(server, "must be scheme, host, port and path only");
  }
  const bool ipv6 = authority.starts_with('[');
  const size_t end = ipv6 ? authority.find(']') : authority.find(':');
  const size_t port_at =
      std::min(ipv6 && end != std::string_view::npos ? end + 1 : end, authority.size());
  endpoint.host = authority.substr(0, port_at);
  if (ipv6) {
    const bool closed = endpoint.host.ends_with(']');
    endpoint.host.erase(0, 1);
    if (closed) endpoint.host.pop_back();
    if (!closed || !endpoint.HostIsIpv6())
      return BadServer(server, "has no IPv6 address in its brackets");
  }
  if (endpoint.host.empty()) return BadServer(server, "names no host");
  const auto port = ParsePort(server, authority.substr(port_at), endpoint.tls);
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
  if (!endpoint->tls && (!token->empty() || !key->empty() || config.exec)) {
    return BadServer(config.server, "is plain http: credentials go over https only");
  }
  if (endpoint->tls && ca->empty()) {
    return BadServer(config.server, "has no certificate-authority to verify it by");
  }
  return Credentials{*std::move(ca), *std::move(certificate), *std::move(key), *std::move(token)};
}

std::vector<std::pair<std::string, std::string>> IdentityHeaders(const Credentials& credentials,
                                                                 const Impersonation& impersonate) {
  std::vector<std::pair<std::string, std::string>> headers;
  if (!credentials.token.empty()) {
    headers.emplace_back("Authorization", "Bearer " + credentials.token);
  }
  if (impersonate.user.empty()) return headers;
  headers.emplace_back("Impersonate-User", impersonate.user);
  if (!impersonate.uid.empty()) headers.emplace_back("Impersonate-Uid", impersonate.uid);
  for (const std::string& group : impersonate.groups) {
    headers.emplace_back("Impersonate-Group", group);
  }
  for (const auto& [name, values] : impersonate.extra) {
    for (const std::string& value : values) {
      headers.emplace_back("Impersonate-Extra-" + PercentEncode(name), value);
    }
  }
  return headers;
}

CredentialCache::CredentialCache(ClusterConfig config, Credentials first, Time now)
    : config_(std::move(config)),
      files_(first),
      current_(std::make_shared<const Credentials>(std::move(first))),
      read_at_(now) {
  if (!config_.exec) return;
  exec_ = std::make_unique<ExecCredentials>([this](const std::stop_token& stop) {
    return RunExecPlugin(config_, isatty(STDIN_FILENO) == 1, stop);
  });
}

void CredentialCache::ReadAgain(Time now) {
  if (now - read_at_ < (distrusted_ ? kReadAgainDistrusted : kReadAgain)) return;
  read_at_ = now;
  auto fresh = ReadCredentials(config_);
  // The rest is soon there.
  distrusted_ = !fresh || KeepWhatWasOfUse(files_, *fresh);
  if (!fresh || *fresh == files_) return;
  files_ = *std::move(fresh);
  Renew();
}

void CredentialCache::Renew() {
  Credentials all = files_;
  if (given_ != nullptr) {
    all.token = given_->token;
    if (!given_->client_key.empty()) {
      all.client_certificate = given_->client_certificate;
      all.client_key = given_->client_key;
    }
  }
  current_ = std::make_shared<const Credentials>(std::move(all));
}

Result<std::shared_ptr<const Credentials>> CredentialCache::Get(Time now, Time deadline,
                                                                const std::stop_token& stop) {
  ExecCredentials::Ptr given;
  if (exec_ != nullptr) {
    auto got = exec_->Get(now, deadline, stop);
    if (!got) return std::move(got).error();
    given = *std::move(got);
  }
  const std::scoped_lock lock(mutex_);
  ReadAgain(now);
  if (given != given_) {
    given_ = std::move(given);
    Renew();
  }
  return current_;
}

Status CredentialCache::LogIn(Time now, const std::stop_token& stop) {
  // It is ended itself when it takes too long.
  auto got = Get(now, Time::max(), stop);
  return got ? Status(Ok{}) : Status(std::move(got).error());
}

void CredentialCache::Suspect() {
  const std::scoped_lock lock(mutex_);
  distrusted_ = true;
}

void CredentialCache::Distrust(const std::shared_ptr<const Credentials>& used) {
  const std::scoped_lock lock(mutex_);
  if (used != current_) return;
  distrusted_ = true;
  if (exec_ != nullptr) exec_->Distrust(given_);
}

}  // namespace spillway::kube
