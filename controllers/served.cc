#include "controllers/served.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace spillway::controllers {
namespace {

using Json = nlohmann::json;

kube::Resource ResourceOf(const std::string& api_version, const std::string& kind) {
  const size_t slash = api_version.find('/');
  kube::Resource resource;
  resource.kind = kind;
  resource.version = api_version.substr(slash == std::string::npos ? 0 : slash + 1);
  if (slash != std::string::npos) resource.group = api_version.substr(0, slash);
  return resource;
}

std::string TextOf(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

// What of an APIResourceList is the kind's; nothing if it is not among them.
std::optional<Served> FindKind(const Json& list, kube::Resource resource) {
  Served served{std::move(resource), false};
  const auto resources = list.find("resources");
  if (resources == list.end() || !resources->is_array()) return std::nullopt;
  for (const Json& one : *resources) {
    const std::string name = TextOf(one, "name");
    const bool is = TextOf(one, "kind") == served.resource.kind;
    if (!is || name.find('/') != std::string::npos) continue;
    served.resource.plural = name;
    const auto namespaced = one.find("namespaced");
    served.resource.namespaced = namespaced != one.end() && *namespaced == true;
  }
  if (served.resource.plural.empty()) return std::nullopt;
  served.has_scale = std::any_of(resources->begin(), resources->end(), [&](const Json& one) {
    return TextOf(one, "name") == served.resource.plural + "/scale";
  });
  return served;
}

}  // namespace

Result<std::optional<Served>> FindServed(kube::Client& client, const std::string& api_version,
                                         const std::string& kind, const std::stop_token& stop) {
  kube::Resource resource = ResourceOf(api_version, kind);
  const std::string path = resource.group.empty() ? "/api/" : "/apis/";
  const auto answer = client.GetPath(path + api_version, stop);
  if (!answer) return answer.error();
  return FindKind(Json::parse(*answer, nullptr, false), std::move(resource));
}

std::string PluralWithGroup(const kube::Resource& resource) {
  return resource.group.empty() ? resource.plural : resource.plural + "." + resource.group;
}

}  // namespace spillway::controllers
