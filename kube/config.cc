#include "kube/config.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <string_view>
#include <vector>

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

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  if (in.bad()) return std::nullopt;
  return bytes;
}

// "-1" for anything outside the alphabet.
int Base64Digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  size_t padding = 0;
  size_t digits = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == ' ') continue;
    ++digits;
    if (c == '=') {
      ++padding;
      continue;
    }
    const int digit = Base64Digit(c);
    if (digit < 0 || padding > 0) return std::nullopt;
    bits = (bits << 6) | static_cast<uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>((bits >> count) & 0xff));
    }
  }
  if (digits % 4 != 0 || padding > 2) return std::nullopt;
  return out;
}

// --- kubeconfig files ---

// A named entry and the file that holds it: its relative paths start there.
struct Entry {
  YAML::Node value;
  std::string file;
};
struct Merged {
  std::map<std::string, Entry> clusters;
  std::map<std::string, Entry> users;
  std::map<std::string, Entry> contexts;
  std::string current_context;
};

std::string Text(const YAML::Node& map, const std::string& field) {
  if (!map.IsMap()) return {};
  const YAML::Node value = map[field];
  return value && value.IsScalar() ? value.Scalar() : std::string();
}

// The list's entries by name. What an earlier file has stays.
Status MergeList(const YAML::Node& root, const std::string& list, const std::string& item,
                 const std::string& file, std::map<std::string, Entry>& into) {
  const YAML::Node entries = root[list];
  if (!entries || entries.IsNull()) return Ok{};
  if (!entries.IsSequence()) return Invalid(fmt::format("{}: {} is no list", file, list));
  std::map<std::string, Entry> found;
  for (const YAML::Node& entry : entries) {
    const std::string name = Text(entry, "name");
    if (name.empty()) return Invalid(fmt::format("{}: an entry of {} has no name", file, list));
    if (!found.emplace(name, Entry{entry[item], file}).second) {
      return Invalid(fmt::format("{}: {} has \"{}\" twice", file, list, name));
    }
  }
  into.merge(found);
  return Ok{};
}

Status MergeFile(const std::string& file, const std::string& bytes, Merged& merged) {
  YAML::Node root;
  try {
    root = YAML::Load(bytes);
    if (root.IsNull()) return Ok{};
    if (!root.IsMap()) return Invalid(file + ": is no kubeconfig");
    if (Status s = MergeList(root, "clusters", "cluster", file, merged.clusters); !s) return s;
    if (Status s = MergeList(root, "users", "user", file, merged.users); !s) return s;
    if (Status s = MergeList(root, "contexts", "context", file, merged.contexts); !s) return s;
    if (merged.current_context.empty()) merged.current_context = Text(root, "current-context");
  } catch (const YAML::Exception& failure) {
    return Invalid(fmt::format("{}: is no YAML: {}", file, failure.what()));
  }
  return Ok{};
}

// Looks the name up; `what` and `list` are for the message.
Result<Entry> Find(const std::map<std::string, Entry>& entries, const std::string& name,
                   std::string_view list, const std::string& files) {
  const auto at = entries.find(name);
  if (at != entries.end() && at->second.value.IsMap()) return at->second;
  return Invalid(fmt::format("{} has no entry \"{}\" in {}", files, name, list));
}

// `field` names a file, `field`-data holds the bytes; the bytes win.
Result<Material> ReadMaterial(const Entry& entry, const std::string& field) {
  const std::string data = Text(entry.value, field + "-data");
  if (!data.empty()) {
    if (auto bytes = DecodeBase64(data)) return Material{.file = {}, .data = *std::move(bytes)};
    return Invalid(fmt::format("{}: {}-data is no base64", entry.file, field));
  }
  std::string path = Text(entry.value, field);
  if (path.empty()) return Material{};
  if (!path.starts_with('/')) {
    const size_t slash = entry.file.rfind('/');
    if (slash != std::string::npos) path.insert(0, entry.file, 0, slash + 1);
  }
  return Material{.file = std::move(path), .data = {}};
}

Status ReadCluster(const Entry& entry, ClusterConfig& out) {
  out.server = Text(entry.value, "server");
  while (out.server.ends_with('/')) out.server.pop_back();
  if (out.server.empty()) return Invalid(entry.file + ": the cluster has no server");
  if (Text(entry.value, "insecure-skip-tls-verify") == "true") {
    return Invalid(entry.file +
                   ": insecure-skip-tls-verify is not supported; give the cluster's "
                   "certificate-authority");
  }
  if (!Text(entry.value, "proxy-url").empty()) {
    return Invalid(entry.file + ": proxy-url is not supported");
  }
  out.tls_server_name = Text(entry.value, "tls-server-name");
  auto ca = ReadMaterial(entry, "certificate-authority");
  if (!ca) return std::move(ca).error();
  out.ca = *std::move(ca);
  return Ok{};
}

Status ReadUser(const Entry& entry, ClusterConfig& out) {
  for (const char* field : {"exec", "auth-provider", "username", "password", "as", "as-groups"}) {
    if (entry.value[field]) {
      return Invalid(fmt::format(
          "{}: the user's {} is not supported; use a token, a tokenFile or a client certificate",
          entry.file, field));
    }
  }
  auto certificate = ReadMaterial(entry, "client-certificate");
  if (!certificate) return std::move(certificate).error();
  auto key = ReadMaterial(entry, "client-key");
  if (!key) return std::move(key).error();
  if (certificate->empty() != key->empty()) {
    return Invalid(entry.file + ": client-certificate and client-key must come together");
  }
  out.client_certificate = *std::move(certificate);
  out.client_key = *std::move(key);
  auto token = ReadMaterial(entry, "tokenFile");
  if (!token) return std::move(token).error();
  out.token = *std::move(token);
  // A file that rotates is better than the token that was copied from it.
  if (out.token.empty()) out.token.data = Text(entry.value, "token");
  return Ok{};
}

Result<ClusterConfig> Choose(const Merged& merged, const std::string& wanted,
                             const std::string& files) {
  const std::string& name = wanted.empty() ? merged.current_context : wanted;
  if (name.empty()) {
    return Invalid(files + ": has no current-context; name one with --context");
  }
  const auto context = Find(merged.contexts, name, "contexts", files);
  if (!context) return context.error();
  ClusterConfig config;
  const auto cluster = Find(merged.clusters, Text(context->value, "cluster"), "clusters", files);
  if (!cluster) return cluster.error();
  if (Status done = ReadCluster(*cluster, config); !done) return std::move(done).error();
  const std::string user_name = Text(context->value, "user");
  if (!user_name.empty()) {
    const auto user = Find(merged.users, user_name, "users", files);
    if (!user) return user.error();
    if (Status done = ReadUser(*user, config); !done) return std::move(done).error();
  }
  const std::string ns = Text(context->value, "namespace");
  if (!ns.empty()) config.default_namespace = ns;
  return config;
}

// `must_exist`: a missing file is an error, as for a path given by hand.
Result<ClusterConfig> FromFiles(const std::vector<std::string>& files, bool must_exist,
                                const std::string& context) {
  Merged merged;
  std::string names;
  for (const std::string& file : files) {
    const auto bytes = ReadFile(file);
    if (!bytes && must_exist) return Invalid(fmt::format("cannot read kubeconfig {}", file));
    if (!bytes) continue;
    names += (names.empty() ? "" : ", ") + file;
    if (Status done = MergeFile(file, *bytes, merged); !done) return std::move(done).error();
  }
  if (names.empty()) {
    return Invalid(fmt::format("none of the kubeconfig files exists: {}", fmt::join(files, ", ")));
  }
  try {
    return Choose(merged, context, names);
  } catch (const YAML::Exception& failure) {
    return Invalid(fmt::format("{}: {}", names, failure.what()));
  }
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

Result<ClusterConfig> LoadConfig(const ConfigOptions& options) {
  if (!options.kubeconfig.empty()) {
    return FromFiles({options.kubeconfig}, true, options.context);
  }
  if (const auto paths = NonEmpty(options.env, "KUBECONFIG")) {
    return FromFiles(SplitPaths(*paths), false, options.context);
  }
  if (const auto address = ServiceAddress(options.env); address && options.context.empty()) {
    return FromServiceAccount(options, *address);
  }
  const auto home = NonEmpty(options.env, "HOME");
  const std::string fallback = home ? *home + "/.kube/config" : std::string();
  if (!fallback.empty() && ReadFile(fallback)) {
    return FromFiles({fallback}, true, options.context);
  }
  return Invalid(
      "found no way to a cluster: give --kubeconfig FILE, set KUBECONFIG, or run inside a cluster");
}

}  // namespace spillway::kube
