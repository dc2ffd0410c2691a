#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace spillway::kube {

// Bytes that stand in a file (re-read when they are needed, so rotation is seen) or inline.
struct Material {
  std::string file;  // empty: `data` it is
  std::string data;

  [[nodiscard]] bool empty() const { return file.empty() && data.empty(); }
  // The current bytes. kInvalid names a file that cannot be read.
  [[nodiscard]] Result<std::string> Read() const;
};

// A program that prints credentials, see kube/exec_plugin.h.
struct ExecPlugin {
  enum class Input { kNever, kIfAvailable, kAlways };  // whether it asks on standard input

  std::string api_version;  // "client.authentication.k8s.io/v1" or "…/v1beta1"
  std::string command;      // a path, or a name to be looked up in PATH
  std::vector<std::string> arguments{};
  std::vector<std::pair<std::string, std::string>> environment{};  // on top of our own
  Input input = Input::kIfAvailable;
  std::string install_hint{};         // for whoever does not have it
  bool provide_cluster_info = false;  // it is told about the cluster
  std::string cluster_config{};       // JSON, a part of what it is told then; empty: none

  bool operator==(const ExecPlugin&) const = default;
};

// On whose behalf requests are made; the server asks whether the credentials may do that.
struct Impersonation {
  std::string user{};  // empty: on nobody's
  std::string uid{};
  std::vector<std::string> groups{};
  std::map<std::string, std::vector<std::string>> extra{};

  bool operator==(const Impersonation&) const = default;
};

// What stands between us and a server. Only libcurl goes through it.
struct Proxy {
  std::string url{};      // "http://host:port" or "socks5://host:port"; empty: nothing
  std::string except{};   // servers that are asked directly, as $NO_PROXY has them
  bool required = false;  // a kubeconfig asks for it, not the environment alone

  bool operator==(const Proxy&) const = default;
};

// One run of a credential plugin that has ended.
struct ExecRun {
  enum class Outcome {
    kGood,
    kNotFound,
    kFailed,
    kOurs
  };  // kOurs: it was not run, or not to its end
  Outcome outcome = Outcome::kGood;
  int exit_code = 0;              // 1 where there is none
  std::optional<Time> expires{};  // what it gave; empty: nothing, or it did not say
};

// Where one API server is and how to prove who we are. Secrets: never logged.
struct ClusterConfig {
  std::string server;  // "https://127.0.0.1:6443", no trailing slash, may have a path
  Proxy proxy;
  std::string tls_server_name;  // name to verify and to send as SNI; empty: the server's host
  Material ca;                  // PEM; the only authority that is trusted
  Material client_certificate;  // PEM; with client_key, or both empty
  Material client_key;
  Material token;                  // bearer token; read again at least once a minute
  std::optional<ExecPlugin> exec;  // where there is no token
  std::function<void(const ExecRun&)> exec_ran{};  // told of each run of it; from any thread
  Impersonation impersonate;
  std::string default_namespace = "default";
};

// What counts in place of what a kubeconfig says.
struct Overrides {
  std::string context{};  // empty: current-context
  std::string cluster{};  // of the kubeconfig, in place of the context's
  std::string user{};     // likewise
  std::string server{};   // URL in place of the cluster's, whose tls-server-name goes with it

  bool operator==(const Overrides&) const = default;
};

struct ConfigOptions {
  std::string kubeconfig{};     // a path; empty: $KUBECONFIG, then in-cluster, then ~/.kube/config
  Overrides overrides{};        // with any of them the way is not in-cluster
  Impersonation impersonate{};  // in place of what the kubeconfig says, if it names a user
  std::function<std::optional<std::string>(const std::string&)> env;  // looks up the environment
  std::string service_account_dir = "/var/run/secrets/kubernetes.io/serviceaccount";
};

// Finds and reads the configuration in the order above, as kubectl does (kube/kubeconfig.h), with
// no credential plugin that a kuberc forbids (kube/kuberc.h).
// kInvalid: one sentence with the file, the field and what is wrong.
Result<ClusterConfig> LoadConfig(const ConfigOptions& options);

}  // namespace spillway::kube
