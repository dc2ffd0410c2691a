#include "kube/exec_plugin.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <nlohmann/json.hpp>

#include "kube/subprocess.h"

namespace spillway::kube {
namespace {

constexpr std::chrono::seconds kPatience{60};
constexpr std::chrono::minutes kPatienceWithAPerson{10};

Error Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

std::string EncodeBase64(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()),
                                     static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(length));
  return text;
}

// May it read from standard input? An error where it must and cannot.
Result<bool> MayAsk(const ExecPlugin& plugin, bool terminal) {
  if (plugin.input == ExecPlugin::Input::kAlways && !terminal) {
    return Invalid(fmt::format(
        "{} asks for input (interactiveMode: Always), and standard input is no terminal",
        plugin.command));
  }
  return terminal && plugin.input != ExecPlugin::Input::kNever;
}

ExecRun::Outcome OutcomeOf(const Result<ExecCredential>& credential, int exit_code) {
  if (credential) return ExecRun::Outcome::kGood;
  if (credential.error().code == Code::kNotFound) return ExecRun::Outcome::kNotFound;
  return exit_code != 0 ? ExecRun::Outcome::kFailed : ExecRun::Outcome::kOurs;
}

// `exit_code`: 0 until it ends with another one.
Result<ExecCredential> RunOnce(const ClusterConfig& cluster, bool terminal, int& exit_code,
                               const std::stop_token& stop) {
  const ExecPlugin& plugin = *cluster.exec;
  const auto asks = MayAsk(plugin, terminal);
  if (!asks) return asks.error();
  const auto ca = cluster.ca.Read();
  if (!ca) return ca.error();
  Program program{.path = plugin.command,
                  .arguments = plugin.arguments,
                  .environment = plugin.environment,
                  .terminal = *asks,
                  .deadline = *asks ? kPatienceWithAPerson : kPatience};
  program.environment.emplace_back("KUBERNETES_EXEC_INFO", ExecInfo(plugin, cluster, *ca, *asks));
  auto end = RunProgram(program, stop);
  if (!end) {
    Error error = std::move(end).error();
    if (error.code == Code::kNotFound && !plugin.install_hint.empty()) {
      error.message += "; " + plugin.install_hint;
    }
    return error;
  }
  exit_code = end->exit_code;
  if (exit_code != 0) {
    return Error{Code::kUnavailable,
                 fmt::format("{} ended with exit code {}", plugin.command, exit_code)};
  }
  auto credential = ParseExecCredential(end->output, plugin.api_version);
  if (!credential) return std::move(credential).error().While(plugin.command);
  return credential;
}

}  // namespace

std::string ExecInfo(const ExecPlugin& plugin, const ClusterConfig& cluster, const std::string& ca,
                     bool interactive) {
  nlohmann::json spec = {{"interactive", interactive}};
  if (plugin.provide_cluster_info) {
    nlohmann::json& about = spec["cluster"] = {{"server", cluster.server}};
    if (!cluster.tls_server_name.empty()) about["tls-server-name"] = cluster.tls_server_name;
    if (cluster.proxy.required && !cluster.proxy.url.empty()) {
      about["proxy-url"] = cluster.proxy.url;
    }
    if (!ca.empty()) about["certificate-authority-data"] = EncodeBase64(ca);
    if (!plugin.cluster_config.empty()) {
      about["config"] = nlohmann::json::parse(plugin.cluster_config);
    }
  }
  const nlohmann::json info = {
      {"apiVersion", plugin.api_version}, {"kind", "ExecCredential"}, {"spec", spec}};
  return info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<ExecCredential> RunExecPlugin(const ClusterConfig& cluster, bool terminal,
                                     const std::stop_token& stop) {
  int exit_code = 0;
  auto credential = RunOnce(cluster, terminal, exit_code, stop);
  if (cluster.exec_ran) {
    ExecRun run{.outcome = OutcomeOf(credential, exit_code), .exit_code = exit_code};
    if (credential) run.expires = credential->expires;
    if (!credential && exit_code == 0) run.exit_code = 1;
    cluster.exec_ran(run);
  }
  return credential;
}

}  // namespace spillway::kube
