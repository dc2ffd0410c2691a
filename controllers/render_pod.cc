#include "controllers/render_pod.h"

#include <algorithm>

#include "base/quantity.h"
#include "controllers/names.h"
#include "kube/types/companion.h"

namespace spillway::controllers::pod {
namespace {

using crds::v1alpha1::NodeGroup;

// Extended resources and huge pages have equal requests and limits; cpu and memory are only asked
// for.
bool IsLimited(const std::string& resource) {
  return resource.find('/') != std::string::npos || resource.starts_with("hugepages-");
}

int64_t Amount(const Json& container, const char* list, const std::string& resource) {
  const auto resources = container.find("resources");
  if (resources == container.end() || !resources->contains(list)) return 0;
  const Json& values = (*resources)[list];
  if (!values.contains(resource)) return 0;
  const Json& value = values[resource];
  const auto amount =
      ParseResource(resource, value.is_string() ? value.get<std::string>() : value.dump());
  return amount ? *amount : 0;
}

// What the CRD lets through and the API server refuses, such as a text where an object belongs, is
// not kept: nobody's pool may be what stops the operator.
Json& ObjectIn(Json& parent, const std::string& key) {
  Json& child = parent[key];
  if (!child.is_object()) child = Json::object();
  return child;
}

void SetAmount(Json& container, const std::string& resource, int64_t amount) {
  const std::string text = FormatResource(resource, amount);
  Json& resources = ObjectIn(container, "resources");
  ObjectIn(resources, "requests")[resource] = text;
  const bool limited = Amount(container, "limits", resource) != 0;
  if (IsLimited(resource) || (limited && Amount(container, "limits", resource) < amount)) {
    ObjectIn(resources, "limits")[resource] = text;
  }
}

// The API server takes a limit for the request where no request stands.
int64_t Requested(const Json& container, const std::string& resource) {
  const auto resources = container.find("resources");
  const bool said = resources != container.end() && resources->contains("requests") &&
                    (*resources)["requests"].contains(resource);
  return Amount(container, said ? "requests" : "limits", resource);
}

}  // namespace

bool Names(const Json& list, const char* key, const std::string& name) {
  return std::any_of(list.begin(), list.end(), [&](const Json& item) {
    return item.is_object() && item.contains(key) && item[key] == name;
  });
}

Json Env(const char* name, const std::string& value) { return {{"name", name}, {"value", value}}; }

void AddEnv(Json& container, const NodeGroup& group, const Json& ours) {
  Json& env = container["env"];
  if (!env.is_array()) env = Json::array();
  Json all = Json::array();
  for (const auto& variable : group.spec.pod_defaults.env) {
    if (!Names(env, "name", variable.name))
      all.push_back(Env(variable.name.c_str(), variable.value));
  }
  for (Json& variable : env) all.push_back(std::move(variable));
  for (const Json& variable : ours) all.push_back(variable);
  env = std::move(all);
}

void AddResources(Json& container, const NodeGroup& group, int64_t accelerators) {
  const auto& resource = group.spec.accelerator.resource;
  SetAmount(container, resource.empty() ? std::string(kCpu) : resource,
            accelerators * (resource.empty() ? 1000 : 1));
  for (const auto& [name, amount] : group.spec.pod_defaults.resources) {
    SetAmount(container, name, Requested(container, name) + amount);
  }
}

void AddTolerations(Json& spec, const NodeGroup& group) {
  Json& tolerations = spec["tolerations"];
  if (!tolerations.is_array()) tolerations = Json::array();
  for (const auto& toleration : group.spec.tolerations) {
    Json item = Json::object();
    if (!toleration.key.empty()) item["key"] = toleration.key;
    if (!toleration.op.empty()) item["operator"] = toleration.op;
    if (!toleration.value.empty()) item["value"] = toleration.value;
    if (!toleration.effect.empty()) item["effect"] = toleration.effect;
    tolerations.push_back(std::move(item));
  }
  for (const char* key : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}) {
    if (Names(tolerations, "key", key)) continue;
    tolerations.push_back({{"key", key}, {"operator", "Exists"}, {"effect", "NoExecute"}});
  }
}

void Require(Json& spec, const Json& requirements) {
  Json& affinity = ObjectIn(ObjectIn(spec, "affinity"), "nodeAffinity");
  Json& terms =
      ObjectIn(affinity, "requiredDuringSchedulingIgnoredDuringExecution")["nodeSelectorTerms"];
  if (!terms.is_array() || terms.empty()) terms = Json::array({Json::object()});
  for (Json& term : terms) {
    if (!term.is_object()) term = Json::object();
    Json& expressions = term["matchExpressions"];
    if (!expressions.is_array()) expressions = Json::array();
    for (const Json& requirement : requirements) expressions.push_back(requirement);
  }
}

Json Labels(const std::string& pool, const std::string& uid) {
  return {{kManagedByLabel, kManagedBy}, {kPoolLabel, pool}, {kPoolUidLabel, uid}};
}

Json Metadata(const std::string& ns, const std::string& name, const std::string& kind,
              const std::string& pool, const std::string& uid) {
  return {{"name", name},
          {"namespace", ns},
          {"labels", Labels(pool, uid)},
          {"ownerReferences",
           {{{"apiVersion", crds::v1alpha1::kApiVersion},
             {"kind", kind},
             {"name", pool},
             {"uid", uid},
             {"controller", true},
             {"blockOwnerDeletion", true}}}}};
}

std::string Finish(Json object, const std::string& revision) {
  object["metadata"]["annotations"][kRevisionAnnotation] = revision;
  return object.dump();
}

std::string FinishCompanion(Json object, const std::string& revision) {
  const std::string digest = kube::SpecDigest(object["spec"].dump());
  return Finish(std::move(object), revision + "." + digest);
}

}  // namespace spillway::controllers::pod
