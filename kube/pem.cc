#include "kube/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <utility>

#include "kube/freed.h"

namespace spillway::kube {
namespace {

using Bio = std::unique_ptr<BIO, Freed<BIO, BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freed<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;

Bio ReadFrom(const std::string& bytes) {
  return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

// The first, if all can be read.
Certificate ReadCertificates(const std::string& pem) {
  const Bio from = ReadFrom(pem);
  Certificate first(PEM_read_bio_X509(from.get(), nullptr, nullptr, nullptr));
  while (Certificate(PEM_read_bio_X509(from.get(), nullptr, nullptr, nullptr))) {
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  return at_end ? std::move(first) : nullptr;
}

Key ReadKey(const std::string& pem) {
  const auto no_passphrase = [](char*, int, int, void*) { return 0; };  // it would ask for one
  return Key(PEM_read_bio_PrivateKey(ReadFrom(pem).get(), nullptr, no_passphrase, nullptr));
}

// Whoever uses OpenSSL next on this thread takes what is left for a fault of his own.
struct ForgetErrors {
  ~ForgetErrors() { ERR_clear_error(); }
};

}  // namespace

std::string FaultOfAuthority(const std::string& ca) {
  const ForgetErrors forget;
  return ReadCertificates(ca) ? "" : "certificate-authority is no PEM certificate";
}

std::string FaultOfPair(const std::string& certificate, const std::string& key) {
  const ForgetErrors forget;
  const Certificate read = ReadCertificates(certificate);
  if (!read) return "client-certificate is no PEM certificate";
  const Key read_key = ReadKey(key);
  if (!read_key) return "client-key is no PEM private key";
  return X509_check_private_key(read.get(), read_key.get()) == 1
             ? ""
             : "client-key is not the key of client-certificate";
}

}  // namespace spillway::kube
