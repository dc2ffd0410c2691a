#pragma once

#include <map>
#include <string>
#include <utility>

#include "base/clock.h"
#include "kube/client.h"

namespace spillway {

enum class Access { kAllowed, kUnauthenticated, kForbidden, kUnknown };

// May the bearer of a token read /metrics? The API server says who it is (TokenReview) and whether
// the rights for `get` on the path /metrics are there (SubjectAccessReview). What it said is
// remembered for a minute, for at most 256 tokens; kUnknown, where it did not answer within five
// seconds, is not. For one thread at a time.
class MetricsAccess {
 public:
  MetricsAccess(const kube::Client& client, const Clock& clock);

  Access Ask(const std::string& token);

 private:
  [[nodiscard]] Access Review(const std::string& token);

  kube::Client client_;
  const Clock& clock_;
  std::map<std::string, std::pair<Access, std::chrono::nanoseconds>> remembered_;  // until
};

}  // namespace spillway
