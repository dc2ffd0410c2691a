#include "kube/kubeconfig.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

namespace spillway::kube {
namespace {

Error Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

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

// As kubectl reads it: true, yes or on, in small or capital letters.
bool IsTrue(const YAML::Node& map, const std::string& field) {
  if (!map.IsMap()) return false;
  const YAML::Node value = map[field];
  bool yes = false;
  return value && value.IsScalar() && YAML::convert<bool>::decode(value, yes) && yes;
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
    // One that says nothing is an empty one, such as the user of whom nothing need be proved.
    const YAML::Node value =
        entry[item] && !entry[item].IsNull() ? entry[item] : YAML::Node(YAML::NodeType::Map);
    if (!found.emplace(name, Entry{value, file}).second) {
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

// A relative path starts where the file is that names it.
std::string BesideItsFile(const Entry& entry, const std::string& path) {
  const size_t slash = entry.file.rfind('/');
  if (path.starts_with('/') || slash == std::string::npos) return path;
  return entry.file.substr(0, slash + 1) + path;
}

// `field` names a file, `field`-data holds the bytes; the bytes win.
Result<Material> ReadMaterial(const Entry& entry, const std::string& field) {
  const std::string data = Text(entry.value, field + "-data");
  if (!data.empty()) {
    if (auto bytes = DecodeBase64(data)) return Material{.file = {}, .data = *std::move(bytes)};
    return Invalid(fmt::format("{}: {}-data is no base64", entry.file, field));
  }
  const std::string path = Text(entry.value, field);
  if (path.empty()) return Material{};
  return Material{.file = BesideItsFile(entry, path), .data = {}};
}

Status ReadCluster(const Entry& entry, const std::string& server, ClusterConfig& out) {
  out.server = server.empty() ? Text(entry.value, "server") : server;
  while (out.server.ends_with('/')) out.server.pop_back();
  if (out.server.empty()) return Invalid(entry.file + ": the cluster has no server");
  if (IsTrue(entry.value, "insecure-skip-tls-verify")) {
    return Invalid(entry.file +
                   ": insecure-skip-tls-verify is not supported; give the cluster's "
                   "certificate-authority");
  }
  out.proxy = {.url = Text(entry.value, "proxy-url"), .except = {}, .required = true};
  if (server.empty()) out.tls_server_name = Text(entry.value, "tls-server-name");
  auto ca = ReadMaterial(entry, "certificate-authority");
  if (!ca) return std::move(ca).error();
  out.ca = *std::move(ca);
  return Ok{};
}

// ---- credential plugins ----

// A plain scalar is what YAML makes of it, as in the JSON that kubectl would have read.
nlohmann::json ScalarOf(const YAML::Node& value) {
  const std::string& text = value.Scalar();
  if (value.Tag() == "!") return text;  // in quotes
  bool yes = false;
  if (text.size() > 1 && YAML::convert<bool>::decode(value, yes)) return yes;
  const auto number = nlohmann::json::parse(text, nullptr, false);
  return number.is_number() ? number : nlohmann::json(text);
}

// Aliases of YAML make much of a short text, and a value that is a part of itself has no end.
constexpr int kDeepest = 100;
constexpr int kMostValues = 10'000;

// False where there is too much of it. `left`: how many values more may come.
bool IntoJson(const YAML::Node& value, int depth, int& left, nlohmann::json& out) {
  if (depth > kDeepest || left-- == 0) return false;
  if (value.IsScalar()) {
    out = ScalarOf(value);
  } else if (value.IsMap()) {
    out = nlohmann::json::object();
    for (const auto& field : value) {
      if (!IntoJson(field.second, depth + 1, left, out[field.first.Scalar()])) return false;
    }
  } else if (value.IsSequence()) {
    out = nlohmann::json::array();
    for (const YAML::Node& one : value) {
      if (!IntoJson(one, depth + 1, left, out.emplace_back())) return false;
    }
  }
  return true;
}

// What the cluster's entry holds for credential plugins.
Result<std::string> ClusterExtension(const Entry& cluster) {
  constexpr std::string_view kName = "client.authentication.k8s.io/exec";
  const YAML::Node extensions = cluster.value["extensions"];
  if (!extensions || !extensions.IsSequence()) return std::string();
  for (const YAML::Node& one : extensions) {
    if (Text(one, "name") != kName || !one["extension"]) continue;
    nlohmann::json json;
    int left = kMostValues;
    if (!IntoJson(one["extension"], 1, left, json)) {
      return Invalid(
          fmt::format("{}: the cluster's extension {} is nested deeper than {} or has more than {} "
                      "values",
                      cluster.file, kName, kDeepest, kMostValues));
    }
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return std::string();
}

Status ReadInput(const std::string& mode, const std::string& where, ExecPlugin& out) {
  using Input = ExecPlugin::Input;
  if (mode.empty() && out.api_version.ends_with("/v1")) {
    return Invalid(where + ": has no interactiveMode; it is Never, IfAvailable or Always");
  }
  if (mode.empty() || mode == "IfAvailable") {
    out.input = Input::kIfAvailable;
  } else if (mode == "Never" || mode == "Always") {
    out.input = mode == "Never" ? Input::kNever : Input::kAlways;
  } else {
    return Invalid(fmt::format("{}: interactiveMode is \"{}\"; it is Never, IfAvailable or Always",
                               where, mode));
  }
  return Ok{};
}

Status ReadEnvironment(const YAML::Node& list, const std::string& where, ExecPlugin& out) {
  if (!list || list.IsNull()) return Ok{};
  if (!list.IsSequence()) return Invalid(where + ": env is no list");
  for (const YAML::Node& one : list) {
    std::string name = Text(one, "name");
    if (name.empty() || name.find('=') != std::string::npos) {
      return Invalid(where + ": an entry of env has no name, or one with \"=\" in it");
    }
    out.environment.emplace_back(std::move(name), Text(one, "value"));
  }
  return Ok{};
}

Status ReadArguments(const YAML::Node& list, const std::string& where, ExecPlugin& out) {
  if (!list || list.IsNull()) return Ok{};
  if (!list.IsSequence()) return Invalid(where + ": args is no list");
  for (const YAML::Node& one : list) {
    if (!one.IsScalar()) return Invalid(where + ": an entry of args is no text");
    out.arguments.push_back(one.Scalar());
  }
  return Ok{};
}

Result<ExecPlugin> ReadExec(const Entry& user) {
  const YAML::Node exec = user.value["exec"];
  const std::string where = user.file + ": the user's exec";
  if (!exec.IsMap()) return Invalid(where + " is no object");
  ExecPlugin plugin;
  plugin.api_version = Text(exec, "apiVersion");
  if (plugin.api_version != "client.authentication.k8s.io/v1" &&
      plugin.api_version != "client.authentication.k8s.io/v1beta1") {
    return Invalid(fmt::format(
        "{}: apiVersion is \"{}\"; supported are client.authentication.k8s.io/v1 and /v1beta1",
        where, plugin.api_version));
  }
  plugin.command = Text(exec, "command");
  if (plugin.command.empty()) return Invalid(where + ": has no command");
  // A bare name is looked up in PATH.
  if (plugin.command.find('/') != std::string::npos) {
    plugin.command = BesideItsFile(user, plugin.command);
  }
  plugin.install_hint = Text(exec, "installHint");
  plugin.provide_cluster_info = IsTrue(exec, "provideClusterInfo");
  if (Status done = ReadInput(Text(exec, "interactiveMode"), where, plugin); !done) {
    return std::move(done).error();
  }
  if (Status done = ReadArguments(exec["args"], where, plugin); !done) {
    return std::move(done).error();
  }
  if (Status done = ReadEnvironment(exec["env"], where, plugin); !done) {
    return std::move(done).error();
  }
  return plugin;
}

// ---- users ----

Status ReadTexts(const YAML::Node& list, const std::string& what, std::vector<std::string>& out) {
  if (!list || list.IsNull()) return Ok{};
  if (!list.IsSequence()) return Invalid(what + " is no list");
  for (const YAML::Node& one : list) {
    if (!one.IsScalar()) return Invalid("an entry of " + what + " is no text");
    out.push_back(one.Scalar());
  }
  return Ok{};
}

Status ReadImpersonation(const Entry& user, Impersonation& out) {
  const std::string where = user.file + ": the user's ";
  out.user = Text(user.value, "as");
  out.uid = Text(user.value, "as-uid");
  if (Status done = ReadTexts(user.value["as-groups"], where + "as-groups", out.groups); !done) {
    return done;
  }
  const YAML::Node extra = user.value["as-user-extra"];
  if (!extra || extra.IsNull()) return Ok{};
  if (!extra.IsMap()) return Invalid(where + "as-user-extra is no object");
  for (const auto& field : extra) {
    const std::string& name = field.first.Scalar();
    Status done =
        ReadTexts(field.second, fmt::format("{}as-user-extra.{}", where, name), out.extra[name]);
    if (!done) return done;
  }
  return Ok{};
}

Status ReadToken(const Entry& entry, ClusterConfig& out) {
  auto token = ReadMaterial(entry, "tokenFile");
  if (!token) return std::move(token).error();
  out.token = *std::move(token);
  // A file that rotates is better than the token that was copied from it.
  if (out.token.empty()) out.token.data = Text(entry.value, "token");
  return Ok{};
}

Status ReadUser(const Entry& entry, ClusterConfig& out) {
  for (const char* field : {"auth-provider", "username", "password"}) {
    const YAML::Node value = entry.value[field];
    if (value && (value.IsMap() || !Text(entry.value, field).empty())) {
      return Invalid(
          fmt::format("{}: the user's {} is not supported; use a token, a tokenFile, a "
                      "client certificate or exec",
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
  if (Status done = ReadToken(entry, out); !done) return done;
  if (Status done = ReadImpersonation(entry, out.impersonate); !done) return done;
  if (const YAML::Node exec = entry.value["exec"]; exec && !exec.IsNull() && out.token.empty()) {
    auto plugin = ReadExec(entry);
    if (!plugin) return std::move(plugin).error();
    out.exec = *std::move(plugin);
  }
  return Ok{};
}

// The context's entry; an empty one where none is needed.
Result<YAML::Node> FindContext(const Merged& merged, const Overrides& overrides,
                               const std::string& files) {
  const std::string& name = overrides.context.empty() ? merged.current_context : overrides.context;
  if (name.empty() && !overrides.cluster.empty()) return YAML::Node(YAML::NodeType::Map);
  if (name.empty()) {
    return Invalid(files + ": has no current-context; name one with --context");
  }
  auto context = Find(merged.contexts, name, "contexts", files);
  if (!context) return std::move(context).error();
  return context->value;
}

Result<ClusterConfig> Choose(const Merged& merged, const Overrides& overrides,
                             const std::string& files) {
  const auto context = FindContext(merged, overrides, files);
  if (!context) return context.error();
  const auto name_of = [&](const char* field, const std::string& instead) {
    return instead.empty() ? Text(*context, field) : instead;
  };
  const auto cluster =
      Find(merged.clusters, name_of("cluster", overrides.cluster), "clusters", files);
  if (!cluster) return cluster.error();
  ClusterConfig config;
  if (Status done = ReadCluster(*cluster, overrides.server, config); !done) {
    return std::move(done).error();
  }
  const std::string user_name = name_of("user", overrides.user);
  if (!user_name.empty()) {
    const auto user = Find(merged.users, user_name, "users", files);
    if (!user) return user.error();
    if (Status done = ReadUser(*user, config); !done) return std::move(done).error();
    if (config.exec) {
      auto extension = ClusterExtension(*cluster);
      if (!extension) return std::move(extension).error();
      config.exec->cluster_config = *std::move(extension);
    }
  }
  const std::string ns = Text(*context, "namespace");
  if (!ns.empty()) config.default_namespace = ns;
  return config;
}

}  // namespace

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  if (in.bad()) return std::nullopt;
  return bytes;
}

Result<ClusterConfig> ReadKubeconfigs(const std::vector<std::string>& files, bool must_exist,
                                      const Overrides& overrides) {
  Merged merged;
  std::vector<std::string> read;
  std::vector<std::string> problems;
  for (const std::string& file : files) {
    const auto bytes = ReadFile(file);
    if (!bytes && must_exist) return Invalid(fmt::format("cannot read kubeconfig {}", file));
    if (!bytes) continue;
    read.push_back(file);
    if (Status done = MergeFile(file, *bytes, merged); !done) {
      problems.push_back(std::move(done).error().message);
    }
  }
  if (!problems.empty()) return Invalid(fmt::format("{}", fmt::join(problems, "; ")));
  if (read.empty()) {
    return Invalid(fmt::format("none of the kubeconfig files exists: {}", fmt::join(files, ", ")));
  }
  const std::string names = fmt::format("{}", fmt::join(read, ", "));
  try {
    return Choose(merged, overrides, names);
  } catch (const YAML::Exception& failure) {
    return Invalid(fmt::format("{}: {}", names, failure.what()));
  }
}

}  // namespace spillway::kube
