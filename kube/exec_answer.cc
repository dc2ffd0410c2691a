// What a credential plugin says. Apart from running it, as these are foreign bytes.
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <utility>

#include "kube/connection.h"
#include "kube/exec_plugin.h"
#include "kube/json.h"

namespace spillway::kube {
namespace {

Error Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

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
