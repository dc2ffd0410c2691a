#include "operator/options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <sstream>

namespace spillway {
namespace {

std::string DefaultIdentity() {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host = {"unknown"};
  std::random_device random;
  return fmt::format("{}_{:08x}", host.data(), random());
}

Result<controllers::Settings> ReadSettings(const std::string& path) {
  if (path.empty()) return controllers::Settings{};
  std::ifstream file(path);
  if (!file) return Error{Code::kInvalid, fmt::format("--config: cannot read {}", path)};
  std::ostringstream text;
  text << file.rdbuf();
  auto settings = controllers::ParseSettings(text.str());
  if (!settings) return std::move(settings).error().While("--config: " + path);
  return settings;
}

int Refuse(const std::string& sentence) {
  std::cerr << "spillway-operator: " << sentence << "\n";
  return 1;
}

struct RawFlags {
  std::string config;
  std::string transport = "cpprest";
  std::string lists = "paged";
  std::string log_level = "info";
  std::string log_format = "json";
  int lease_duration = 15;
  int renew_deadline = 10;
  int retry_period = 2;
};

void Declare(CLI::App& app, Options& options, RawFlags& raw) {
  app.set_version_flag("--version", std::string("spillway-operator ") + SPILLWAY_VERSION);
  app.add_option("--config", raw.config, "What the installation decides: a YAML file");
  app.add_option("--kubeconfig", options.kubeconfig,
                 "How to reach the API server; default: $KUBECONFIG, in-cluster, ~/.kube/config");
  app.add_option("--context", options.overrides.context, "Context of the kubeconfig");
  app.add_option("--cluster", options.overrides.cluster, "Its cluster, in place of the context's");
  app.add_option("--user", options.overrides.user, "Its user, in place of the context's");
  app.add_option("-s,--server", options.overrides.server, "URL in place of the cluster's server");
  app.add_option("--as", options.as.user, "On whose behalf: a user");
  app.add_option("--as-group", options.as.groups, "A group of that user")->allow_extra_args(false);
  app.add_option("--as-uid", options.as.uid, "The user's UID");
  app.add_option("--transport", raw.transport, "Library that speaks with the API server")
      ->check(CLI::IsMember({"cpprest", "curl"}))
      ->capture_default_str();
  app.add_option("--lists", raw.lists, "How whole lists come from the API server")
      ->check(CLI::IsMember({"paged", "streamed"}))
      ->capture_default_str();
  app.add_option("--namespace", options.ns, "Namespace of the Lease; default: $POD_NAMESPACE")
      ->envname("POD_NAMESPACE");
  app.add_option("--lease-name", options.lease_name, "Name of the Lease")->capture_default_str();
  app.add_option("--identity", options.identity, "Name of this process in the Lease");
  app.add_option("--listen", options.listen,
                 "Address of /healthz and /readyz, and of /metrics unless it is served over TLS")
      ->capture_default_str();
  auto* secure = app.add_option("--secure-listen", options.secure_listen,
                                "Address of /metrics over TLS, for those whom RBAC allows to get "
                                "the path /metrics");
  auto* certificate = app.add_option("--tls-cert-file", options.tls_certificate,
                                     "Certificate chain of --secure-listen, PEM");
  auto* key = app.add_option("--tls-private-key-file", options.tls_key, "Its private key, PEM");
  secure->needs(certificate)->needs(key);
  certificate->needs(secure);
  key->needs(secure);
  app.add_option("--snapshot-dir", options.snapshot_dir,
                 "Where SIGUSR1 writes the snapshot of the next pass");
  app.add_option("--log-level", raw.log_level, "Least level that is logged")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  app.add_option("--log-format", raw.log_format, "Form of a log line")
      ->check(CLI::IsMember({"json", "text"}))
      ->capture_default_str();
  app.add_option("--lease-duration-seconds", raw.lease_duration, "A dead leader is replaced after")
      ->capture_default_str();
  app.add_option("--renew-deadline-seconds", raw.renew_deadline, "A leader gives up after")
      ->capture_default_str();
  app.add_option("--retry-period-seconds", raw.retry_period, "Time between tries")
      ->capture_default_str();
}

}  // namespace

ParsedOptions ParseOptions(int argc, char** argv) {
  CLI::App app("Spillway: places training and inference pools over your own nodes and clouds");
  ParsedOptions parsed;
  Options& options = parsed.options;
  RawFlags raw;
  Declare(app, options, raw);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    parsed.exit_code = app.exit(e) == 0 ? 0 : 1;
    return parsed;
  }
  auto settings = ReadSettings(raw.config);
  if (!settings) {
    parsed.exit_code = Refuse(settings.error().message);
    return parsed;
  }
  static const std::map<std::string, LogLevel> kLevels = {{"debug", LogLevel::kDebug},
                                                          {"info", LogLevel::kInfo},
                                                          {"warn", LogLevel::kWarn},
                                                          {"error", LogLevel::kError}};
  options.settings = *std::move(settings);
  options.transport = kube::TransportKinds().at(raw.transport);
  options.stream_lists = raw.lists == "streamed";
  options.log_level = kLevels.at(raw.log_level);
  options.log_json = raw.log_format == "json";
  options.lease_duration = std::chrono::seconds(raw.lease_duration);
  options.renew_deadline = std::chrono::seconds(raw.renew_deadline);
  options.retry_period = std::chrono::seconds(raw.retry_period);
  if (options.identity.empty()) options.identity = DefaultIdentity();
  parsed.run = true;
  return parsed;
}

}  // namespace spillway
