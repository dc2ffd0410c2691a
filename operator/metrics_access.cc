#include "operator/metrics_access.h"

#include <chrono>
#include <nlohmann/json.hpp>

namespace spillway {
namespace {

using Json = nlohmann::json;
using std::chrono::nanoseconds;

constexpr std::chrono::seconds kRemember{60};
constexpr std::chrono::milliseconds kDeadline{5000};
constexpr size_t kMostTokens = 256;

const kube::Resource& TokenReviews() {
  static const kube::Resource kResource{"authentication.k8s.io", "v1", "tokenreviews",
                                        "TokenReview", false};
  return kResource;
}
const kube::Resource& AccessReviews() {
  static const kube::Resource kResource{"authorization.k8s.io", "v1", "subjectaccessreviews",
                                        "SubjectAccessReview", false};
  return kResource;
}

// The status of a review, as the API server fills it in; null if it did not.
Json Reviewed(kube::Client& client, const kube::Resource& resource, const Json& spec) {
  const Json review = {
      {"apiVersion", resource.ApiVersion()}, {"kind", resource.kind}, {"spec", spec}};
  const auto answer = client.Create(resource, "", review.dump(), {}, {});
  if (!answer) return nullptr;
  const Json object = Json::parse(*answer, nullptr, false);
  return object.is_object() ? object.value("status", Json(nullptr)) : Json(nullptr);
}

bool Says(const Json& status, const char* field) {
  const auto at = status.find(field);
  return at != status.end() && at->is_boolean() && at->get<bool>();
}

}  // namespace

MetricsAccess::MetricsAccess(const kube::Client& client, const Clock& clock)
    : client_(client.WithDeadline(kDeadline)), clock_(clock) {}

Access MetricsAccess::Ask(const std::string& token) {
  if (token.empty()) return Access::kUnauthenticated;
  const nanoseconds now = clock_.Elapsed();
  if (const auto at = remembered_.find(token); at != remembered_.end() && now < at->second.second) {
    return at->second.first;
  }
  const Access access = Review(token);
  if (access == Access::kUnknown) return access;
  std::erase_if(remembered_, [&](const auto& entry) { return now >= entry.second.second; });
  if (remembered_.size() >= kMostTokens) remembered_.clear();
  remembered_[token] = {access, now + kRemember};
  return access;
}

Access MetricsAccess::Review(const std::string& token) {
  const Json who = Reviewed(client_, TokenReviews(), {{"token", token}});
  if (!who.is_object()) return Access::kUnknown;
  if (!Says(who, "authenticated")) return Access::kUnauthenticated;
  const Json user = who.value("user", Json::object());
  const Json may = Reviewed(client_, AccessReviews(),
                            {{"user", user.value("username", "")},
                             {"uid", user.value("uid", "")},
                             {"groups", user.value("groups", Json::array())},
                             {"extra", user.value("extra", Json::object())},
                             {"nonResourceAttributes", {{"path", "/metrics"}, {"verb", "get"}}}});
  if (!may.is_object()) return Access::kUnknown;
  return Says(may, "allowed") && !Says(may, "denied") ? Access::kAllowed : Access::kForbidden;
}

}  // namespace spillway
