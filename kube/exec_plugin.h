#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "kube/config.h"

// Programs that print credentials, as the kubeconfigs of EKS, GKE and AKS name them
// (client.authentication.k8s.io, versions v1 and v1beta1).
namespace spillway::kube {

// What one run of it gave: a token, or a certificate with its key, or both. Secrets: never logged.
struct ExecCredential {
  std::string token;
  std::string client_certificate;  // PEM
  std::string client_key;          // PEM
  std::optional<Time> expires;     // wall time; empty: until the server refuses it
};

// What it is told in KUBERNETES_EXEC_INFO. `ca`: the cluster's authority, PEM. `interactive`: it
// may ask a person on standard input.
std::string ExecInfo(const ExecPlugin& plugin, const ClusterConfig& cluster, const std::string& ca,
                     bool interactive);

// Reads its answer. kInvalid: it is of another version than asked for, or holds no credential, half
// a pair, or one that does not fit its key.
Result<ExecCredential> ParseExecCredential(std::string_view answer, const std::string& version);

// Runs it once, and tells `cluster.exec_ran`. `terminal`: standard input is one. A run with it may
// take ten minutes, as a person may have to log in, any other a minute. The sentences name the
// program, never its arguments. Errors as RunProgram and ParseExecCredential have them;
// kUnavailable where it fails by itself.
Result<ExecCredential> RunExecPlugin(const ClusterConfig& cluster, bool terminal,
                                     const std::stop_token& stop);

}  // namespace spillway::kube
