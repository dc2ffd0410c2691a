#include "kube/exec_plugin.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <nlohmann/json.hpp>

#include "kube/connection.h"
#include "kube/json.h"
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

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

Bio BioOf(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

// Is the first certificate that of the key?
bool FitTogether(const std::string& certificate, const std::string& key) {
  const std::unique_ptr<X509, decltype(&X509_free)> read_certificate(
      PEM_read_bio_X509(BioOf(certificate).get(), nullptr, nullptr, nullptr), &X509_free);
  const auto no_passphrase = [](char*, int, int, void*) { return 0; };
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> read_key(
      PEM_read_bio_PrivateKey(BioOf(key).get(), nullptr, no_passphrase, nullptr), &EVP_PKEY_free);
  return read_certificate && read_key &&
         X509_check_private_key(read_certificate.get(), read_key.get()) == 1;
}

Status ReadStatus(JsonValue value, ExecCredential& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "token") return Read(inner, out.token);
    if (key == "clientCertificateData") return Read(inner, out.client_certificate);
    if (key == "clientKeyData") return Read(inner, out.client_key);
    if (key == "expirationTimestamp") return Read(inner, out.expires);
    return Ok{};
  });
}

struct Answer {
  std::string kind;
  std::string version;
  ExecCredential credential;
};

Status ReadAnswer(JsonValue root, Answer& out) {
  return VisitObject(root, [&](std::string_view key, JsonValue value) -> Status {
    if (key == "kind") return Read(value, out.kind);
    if (key == "apiVersion") return Read(value, out.version);
    if (key == "status") return ReadStatus(value, out.credential);
    return Ok{};
  });
}

Status CheckCredential(const ExecCredential& credential) {
  if (credential.client_certificate.empty() != credential.client_key.empty()) {
    return Invalid("clientCertificateData and clientKeyData must come together");
  }
  if (credential.token.empty() && credential.client_key.empty()) {
    return Invalid("its status has neither a token nor a client certificate");
  }
  if (!IsOneWord(credential.token)) {
    return Invalid("its token has blanks or control characters inside");
  }
  if (!credential.client_key.empty() &&
      !FitTogether(credential.client_certificate, credential.client_key)) {
    return Invalid("its clientCertificateData and clientKeyData are no PEM of a pair");
  }
  return Ok{};
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

Result<ExecCredential> ParseExecCredential(std::string_view answer, const std::string& version) {
  JsonParser parser;
  auto root = parser.Parse(answer);
  if (!root) return Invalid("its answer is no JSON object");
  Answer read;
  if (Status done = ReadAnswer(*root, read); !done) return std::move(done).error();
  if (read.kind != "ExecCredential" || read.version != version) {
    return Invalid(fmt::format("its answer is kind \"{}\" of \"{}\", not ExecCredential of \"{}\"",
                               read.kind, read.version, version));
  }
  if (Status good = CheckCredential(read.credential); !good) return std::move(good).error();
  return std::move(read.credential);
}

Result<ExecCredential> RunExecPlugin(const ClusterConfig& cluster, bool terminal,
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
  if (end->exit_code != 0) {
    return Error{Code::kUnavailable,
                 fmt::format("{} ended with exit code {}", plugin.command, end->exit_code)};
  }
  auto credential = ParseExecCredential(end->output, plugin.api_version);
  if (!credential) return std::move(credential).error().While(plugin.command);
  return credential;
}

}  // namespace spillway::kube
