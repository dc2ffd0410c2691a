#include "tests/support/objects.h"

namespace spillway::support {
namespace {

using nlohmann::json;

constexpr const char* kStart = "2026-11-24T00:00:00Z";

}  // namespace

json MakeNode(const std::string& name, const NodeSpec& spec) {
  json labels = {{"kubernetes.io/hostname", name},
                 {"kubernetes.io/arch", "amd64"},
                 {"kubernetes.io/os", "linux"}};
  for (const auto& [key, value] : spec.labels) labels[key] = value;
  json allocatable = {{"cpu", "96"}, {"memory", "1000Gi"}, {"pods", "110"}};
  for (const auto& [key, value] : spec.allocatable) allocatable[key] = value;
  json node = {{"apiVersion", "v1"},
               {"kind", "Node"},
               {"metadata", {{"name", name}, {"labels", labels}}},
               {"spec", json::object()},
               {"status",
                {{"capacity", allocatable},
                 {"allocatable", allocatable},
                 {"conditions", json::array({{{"type", "Ready"},
                                              {"status", spec.ready ? "True" : "False"},
                                              {"lastTransitionTime", kStart}}})}}}};
  if (!spec.taints.empty()) node["spec"]["taints"] = spec.taints;
  return node;
}

json MakePod(const std::string& ns, const std::string& name, const PodSpec& spec) {
  json pod = {{"apiVersion", "v1"},
              {"kind", "Pod"},
              {"metadata", {{"name", name}, {"namespace", ns}, {"labels", spec.labels}}},
              {"spec",
               {{"containers", json::array({{{"name", "main"},
                                             {"image", "example.com/main:1"},
                                             {"resources", {{"requests", spec.requests}}}}})}}},
              {"status", {{"phase", spec.phase}}}};
  if (!spec.node.empty()) pod["spec"]["nodeName"] = spec.node;
  return pod;
}

json MakePriorityClass(const std::string& name, int value, bool global_default) {
  return {{"apiVersion", "scheduling.k8s.io/v1"},
          {"kind", "PriorityClass"},
          {"metadata", {{"name", name}}},
          {"value", value},
          {"globalDefault", global_default}};
}

json OwnedBy(json object, const json& owner) {
  object["metadata"]["ownerReferences"] = json::array({{{"apiVersion", owner["apiVersion"]},
                                                        {"kind", owner["kind"]},
                                                        {"name", owner["metadata"]["name"]},
                                                        {"uid", owner["metadata"]["uid"]},
                                                        {"controller", true},
                                                        {"blockOwnerDeletion", true}}});
  return object;
}

}  // namespace spillway::support
