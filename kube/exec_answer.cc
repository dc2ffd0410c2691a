// What a credential plugin says. Apart from running it, as these are foreign bytes.
#include <fmt/format.h>

#include <utility>

#include "kube/connection.h"
#include "kube/exec_plugin.h"
#include "kube/json.h"
#include "kube/pem.h"

namespace spillway::kube {
namespace {

Error Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

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
      !FaultOfPair(credential.client_certificate, credential.client_key).empty()) {
    return Invalid("its clientCertificateData and clientKeyData are no PEM of a pair");
  }
  return Ok{};
}

}  // namespace

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

}  // namespace spillway::kube
