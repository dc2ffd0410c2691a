#pragma once

#include <string>
#include <vector>

namespace spillway::support {

// A certificate and its private key, both PEM.
struct KeyPair {
  std::string certificate;
  std::string key;
};

// A certificate authority of its own, made in memory. Certificates are valid from an hour ago for a
// day. Ends the program if OpenSSL refuses, which no test can help.
class Authority {
 public:
  explicit Authority(const std::string& name);

  [[nodiscard]] const std::string& Pem() const { return self_.certificate; }
  // `names`: of the server, as "DNS:name" or "IP:127.0.0.1"; empty for a client.
  [[nodiscard]] KeyPair Issue(const std::string& common_name,
                              const std::vector<std::string>& names) const;

 private:
  KeyPair self_;
};

}  // namespace spillway::support
