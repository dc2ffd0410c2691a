#pragma once

#include <string>

namespace spillway::support {

// While it lives, the certificates that this system trusts (Debian's /etc/ssl/certs) read as this
// one. It replaces stat and fopen in the program that it is linked into, for those paths alone. One
// at a time.
class SystemAuthorities {
 public:
  explicit SystemAuthorities(const std::string& pem);
  ~SystemAuthorities();
  SystemAuthorities(const SystemAuthorities&) = delete;
  SystemAuthorities& operator=(const SystemAuthorities&) = delete;
};

}  // namespace spillway::support
