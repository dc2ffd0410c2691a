#pragma once

#include <chrono>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "controllers/settings.h"
#include "kube/config.h"
#include "kube/transports.h"

namespace spillway {

// The flags of spillway-operator.
struct Options {
  controllers::Settings settings;  // read from --config
  std::string kubeconfig;
  kube::Overrides overrides;
  kube::Impersonation as;  // on whose behalf
  kube::TransportKind transport = kube::TransportKind::kCpprest;
  bool stream_lists = false;  // see kube::Reflector::Options
  std::string ns;             // of the Lease
  std::string lease_name = "spillway";
  std::string identity;
  std::string listen = "127.0.0.1:8080";
  std::string secure_listen;  // of /metrics over TLS; empty: /metrics is plain, at `listen`
  std::string tls_certificate;
  std::string tls_key;
  std::string snapshot_dir;
  LogLevel log_level = LogLevel::kInfo;
  bool log_json = true;
  std::chrono::seconds lease_duration{15};
  std::chrono::seconds renew_deadline{10};
  std::chrono::seconds retry_period{2};
};

// What to do after reading the command line: run, or leave with this exit code (help, version, or a
// sentence about a wrong flag has been printed).
struct ParsedOptions {
  Options options;
  bool run = false;
  int exit_code = 0;
};
ParsedOptions ParseOptions(int argc, char** argv);

}  // namespace spillway
