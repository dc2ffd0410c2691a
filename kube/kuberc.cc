#include "kube/kuberc.h"

#include <fmt/format.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <vector>

#include "kube/kubeconfig.h"

namespace spillway::kube {
namespace {

using Env = std::function<std::optional<std::string>(const std::string&)>;

constexpr std::string_view kVersion = "kubectl.config.k8s.io/v1beta1";
constexpr std::string_view kOldVersion = "kubectl.config.k8s.io/v1alpha1";  // has no such fields

Error Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

std::string Value(const Env& env, const std::string& name) {
  return env ? env(name).value_or("") : std::string();
}

// Which plugins may be run.
struct Policy {
  bool all = true;
  std::vector<std::string> commands;  // where not all
};

std::string ScalarOf(const YAML::Node& value) {
  return value && value.IsScalar() ? value.Scalar() : std::string();
}

// A path that is not in its shortest form could name what its reader does not see.
bool IsNormal(const std::string& command) {
  return std::filesystem::path(command).lexically_normal() == command && !command.ends_with('/');
}

Result<std::vector<std::string>> ReadCommands(const YAML::Node& list) {
  std::vector<std::string> commands;
  if (!list || !list.IsSequence() || list.size() == 0) {
    return Invalid(
        "credentialPluginPolicy Allowlist takes a credentialPluginAllowlist with at least one "
        "entry; DenyAll allows none");
  }
  for (const YAML::Node& entry : list) {
    const std::string command = entry.IsMap() ? ScalarOf(entry["command"]) : std::string();
    const std::string name = entry.IsMap() ? ScalarOf(entry["name"]) : std::string();
    if (command.empty() == name.empty()) {
      return Invalid("an entry of credentialPluginAllowlist has no command, or a name beside it");
    }
    commands.push_back(command.empty() ? name : command);
    if (!IsNormal(commands.back())) {
      return Invalid(fmt::format("credentialPluginAllowlist has \"{}\", which is no plain path",
                                 commands.back()));
    }
  }
  return commands;
}

Result<Policy> ReadPolicy(const YAML::Node& preference) {
  const std::string policy = ScalarOf(preference["credentialPluginPolicy"]);
  const YAML::Node list = preference["credentialPluginAllowlist"];
  if (policy == "Allowlist") {
    auto commands = ReadCommands(list);
    if (!commands) return std::move(commands).error();
    return Policy{.all = false, .commands = *std::move(commands)};
  }
  if (policy != "AllowAll" && policy != "DenyAll" && !policy.empty()) {
    return Invalid(fmt::format(
        "credentialPluginPolicy is \"{}\"; it is AllowAll, DenyAll or Allowlist", policy));
  }
  if (list && !list.IsNull()) {
    return Invalid(
        "has a credentialPluginAllowlist, and its credentialPluginPolicy is not Allowlist");
  }
  return Policy{.all = policy != "DenyAll", .commands = {}};
}

// Of the first document of the version that has one. What is written for another version, or is no
// Preference, may mean more than is understood here.
Result<Policy> ParsePolicy(const std::string& bytes) {
  try {
    for (const YAML::Node& document : YAML::LoadAll(bytes)) {
      if (document.IsNull()) continue;
      const bool is_map = document.IsMap();
      const std::string kind = is_map ? ScalarOf(document["kind"]) : std::string();
      const std::string version = is_map ? ScalarOf(document["apiVersion"]) : std::string();
      if (kind == "Preference" && version == kVersion) return ReadPolicy(document);
      if (kind != "Preference" || version != kOldVersion || document["credentialPluginPolicy"] ||
          document["credentialPluginAllowlist"]) {
        return Invalid(fmt::format(
            "has a document that is no Preference of {}, so that no credential plugin is run",
            kVersion));
      }
    }
  } catch (const YAML::Exception& failure) {
    return Invalid(fmt::format("is no YAML: {}", failure.what()));
  }
  return Policy{};
}

// The file that would be run; empty: there is none. A path is taken as it is.
std::string LookUp(const std::string& command, const std::string& path) {
  if (command.find('/') != std::string::npos) return command;
  size_t start = 0;
  while (start <= path.size()) {
    const size_t end = std::min(path.find(':', start), path.size());
    const std::string file = path.substr(start, end - start) + "/" + command;
    std::error_code failed;
    if (std::filesystem::is_regular_file(file, failed) && access(file.c_str(), X_OK) == 0) {
      return file;
    }
    start = end + 1;
  }
  return {};
}

bool Allows(const Policy& policy, const std::string& command, const std::string& path) {
  const std::string runs = LookUp(command, path);
  return policy.all || std::any_of(policy.commands.begin(), policy.commands.end(),
                                   [&](const std::string& allowed) {
                                     return allowed == command ||
                                            (!runs.empty() && LookUp(allowed, path) == runs);
                                   });
}

// Empty: there is none.
std::string FileOf(const Env& env) {
  if (Value(env, "KUBECTL_KUBERC") == "false") return {};
  const std::string named = Value(env, "KUBERC");
  if (!named.empty()) return named == "off" ? std::string() : named;
  const std::string home = Value(env, "HOME");
  if (home.empty()) return {};
  const std::string file = home + "/.kube/kuberc";
  std::error_code failed;
  const bool is_there = std::filesystem::exists(file, failed);
  return is_there || failed ? file : std::string();  // what cannot be looked at is not absent
}

}  // namespace

Status MayRun(const ExecPlugin& plugin, const Env& env) {
  const std::string file = FileOf(env);
  if (file.empty()) return Ok{};
  const auto bytes = ReadFile(file);
  if (!bytes) return Invalid(fmt::format("cannot read kuberc {}", file));
  const auto policy = ParsePolicy(*bytes);
  if (!policy) return Error(policy.error()).While(file);
  if (Allows(*policy, plugin.command, Value(env, "PATH"))) return Ok{};
  return Invalid(
      fmt::format("{}: the credential plugin {} may not be run, {}", file, plugin.command,
                  policy->commands.empty() ? "as credentialPluginPolicy is DenyAll"
                                           : "as no entry of credentialPluginAllowlist names it"));
}

}  // namespace spillway::kube
