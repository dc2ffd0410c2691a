#include "kube/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "kube/kubeconfig.h"
#include "kube/kuberc.h"

namespace spillway::kube {
namespace {

using Env = std::function<std::optional<std::string>(const std::string&)>;

Error Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

std::optional<std::string> NonEmpty(const Env& env, const std::string& name) {
  auto value = env ? env(name) : std::nullopt;
  return value && !value->empty() ? value : std::nullopt;
}

std::string Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(kSpace) - first + 1));
}

// --- inside a cluster ---

// "host:port" of the API server, as every pod's environment has it.
std::optional<std::string> ServiceAddress(const Env& env) {
  const auto host = NonEmpty(env, "KUBERNETES_SERVICE_HOST");
  const auto port = NonEmpty(env, "KUBERNETES_SERVICE_PORT");
  if (!host || !port) return std::nullopt;
  const bool ipv6 = host->find(':') != std::string::npos;
  return fmt::format("{}:{}", ipv6 ? "[" + *host + "]" : *host, *port);
}

ClusterConfig FromServiceAccount(const ConfigOptions& options, const std::string& address) {
  ClusterConfig config;
  config.server = "https://" + address;
  config.ca.file = options.service_account_dir + "/ca.crt";
  config.token.file = options.service_account_dir + "/token";
  if (const auto pod_namespace = NonEmpty(options.env, "POD_NAMESPACE")) {
    config.default_namespace = *pod_namespace;
  } else if (const auto bytes = ReadFile(options.service_account_dir + "/namespace")) {
    if (const std::string ns = Trimmed(*bytes); !ns.empty()) config.default_namespace = ns;
  }
  return config;
}

// $KUBECONFIG: paths between colons, each once.
std::vector<std::string> SplitPaths(const std::string& text) {
  std::vector<std::string> paths;
  size_t start = 0;
  while (start <= text.size()) {
    const size_t end = std::min(text.find(':', start), text.size());
    std::string path = text.substr(start, end - start);
    if (!path.empty() && std::find(paths.begin(), paths.end(), path) == paths.end()) {
      paths.push_back(std::move(path));
    }
    start = end + 1;
  }
  return paths;
}

}  // namespace

Result<std::string> Material::Read() const {
  if (file.empty()) return data;
  if (auto bytes = ReadFile(file)) return *std::move(bytes);
  return Invalid(fmt::format("cannot read {}", file));
}

namespace {

Result<ClusterConfig> FindConfig(const ConfigOptions& options) {
  if (!options.kubeconfig.empty()) {
    return ReadKubeconfigs({options.kubeconfig}, true, options.overrides);
  }
  if (const auto paths = NonEmpty(options.env, "KUBECONFIG")) {
    return ReadKubeconfigs(SplitPaths(*paths), false, options.overrides);
  }
  if (const auto address = ServiceAddress(options.env);
      address && options.overrides == Overrides{}) {
    return FromServiceAccount(options, *address);
  }
  const auto home = NonEmpty(options.env, "HOME");
  const std::string fallback = home ? *home + "/.kube/config" : std::string();
  if (!fallback.empty() && ReadFile(fallback)) {
    return ReadKubeconfigs({fallback}, true, options.overrides);
  }
  return Invalid(
      "found no way to a cluster: give --kubeconfig FILE, set KUBECONFIG, or run inside a cluster");
}

bool IsHeaderText(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f;
  });
}

Status Check(const Impersonation& who) {
  const bool more = !who.uid.empty() || !who.groups.empty() || !who.extra.empty();
  if (who.user.empty() && more) {
    return Invalid("on whose behalf: a uid, a group or extra fields are given without a user (as)");
  }
  bool good = IsHeaderText(who.user) && IsHeaderText(who.uid) &&
              std::all_of(who.groups.begin(), who.groups.end(), IsHeaderText);
  for (const auto& [name, values] : who.extra) {
    good = good && std::all_of(values.begin(), values.end(), IsHeaderText);
  }
  if (!good) return Invalid("on whose behalf: a user or group has control characters in its name");
  return Ok{};
}

// Of the environment, where the configuration itself names none; as other clients of Kubernetes do,
// never for this machine.
Proxy ProxyOf(const Env& env) {
  const auto either = [&](const char* large, const char* small) {
    auto value = NonEmpty(env, large);
    return value ? *value : NonEmpty(env, small).value_or("");
  };
  Proxy proxy{.url = either("HTTPS_PROXY", "https_proxy"),
              .except = either("NO_PROXY", "no_proxy"),
              .required = false};
  if (proxy.url.empty()) return {};
  if (proxy.url.find("://") == std::string::npos) proxy.url.insert(0, "http://");
  if (proxy.except != "*") proxy.except += ",localhost,127.0.0.0/8,::1";
  return proxy;
}

}  // namespace

Result<ClusterConfig> LoadConfig(const ConfigOptions& options) {
  auto config = FindConfig(options);
  if (!config) return config;
  const Impersonation& asked = options.impersonate;
  if (asked != Impersonation{}) config->impersonate = asked;
  if (Status good = Check(config->impersonate); !good) return std::move(good).error();
  if (config->exec) {
    if (Status may = MayRun(*config->exec, options.env); !may) return std::move(may).error();
  }
  if (config->proxy.url.empty() && config->server.starts_with("https://")) {
    config->proxy = ProxyOf(options.env);
  }
  return config;
}

}  // namespace spillway::kube
