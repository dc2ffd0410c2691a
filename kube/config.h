#pragma once

#include <functional>
#include <optional>
#include <string>

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

// Where one API server is and how to prove who we are. Secrets: never logged.
struct ClusterConfig {
  std::string server;           // "https://127.0.0.1:6443", no trailing slash, may have a path
  std::string tls_server_name;  // name to verify and to send as SNI; empty: the server's host
  Material ca;                  // PEM; the only authority that is trusted
  Material client_certificate;  // PEM; with client_key, or both empty
  Material client_key;
  Material token;  // bearer token; read again at least once a minute
  std::string default_namespace = "default";
};

struct ConfigOptions {
  std::string kubeconfig;  // a path; empty: $KUBECONFIG, then in-cluster, then ~/.kube/config
  std::string context;     // empty: current-context
  std::function<std::optional<std::string>(const std::string&)> env;  // looks up the environment
  std::string service_account_dir = "/var/run/secrets/kubernetes.io/serviceaccount";
};

// Finds and reads the configuration in the order above (kubernetes-style). kInvalid: one sentence
// with the file, the field and what is wrong. Supported of a kubeconfig: clusters (server,
// certificate-authority[-data], tls-server-name), users (client-certificate[-data],
// client-key[-data], token, tokenFile), contexts with namespace; files of $KUBECONFIG merged, first
// one wins. insecure-skip-tls-verify, proxy-url, exec, auth-provider, impersonation and basic
// credentials are refused by name.
Result<ClusterConfig> LoadConfig(const ConfigOptions& options);

}  // namespace spillway::kube
