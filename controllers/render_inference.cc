#include "controllers/render_inference.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "controllers/names.h"
#include "controllers/observe_inference.h"
#include "controllers/render.h"
#include "controllers/render_pod.h"

namespace spillway::controllers {
namespace {

using crds::v1alpha1::InferencePool;
using crds::v1alpha1::VariantSpec;
using pod::Json;

Json ChildMetadata(const InferencePool& pool, const std::string& name) {
  return pod::Metadata(pool.meta.ns, name, "InferencePool", pool.meta.name, pool.meta.uid);
}

std::string Hash(const CellInput& input) {
  return CellHash(input.variant->name, input.group->meta.name);
}

// Where the group's nodes are, and what machine it must be.
Json Requirements(const CellInput& input) {
  Json all = Json::array();
  for (const auto& requirement : input.group->spec.selector) {
    Json one = {{"key", requirement.key}, {"operator", requirement.op}};
    if (!requirement.values.empty()) one["values"] = requirement.values;
    all.push_back(std::move(one));
  }
  if (!input.variant->arch.empty()) {
    all.push_back(
        {{"key", "kubernetes.io/arch"}, {"operator", "In"}, {"values", {input.variant->arch}}});
  }
  return all;
}

Json PodSpec(const CellInput& input, Json spec) {
  spec["restartPolicy"] = "Always";
  spec["priorityClassName"] = kServingPriorityClass;
  if (!spec.contains("terminationGracePeriodSeconds")) {
    spec["terminationGracePeriodSeconds"] = input.pool->spec.drain_seconds;
  }
  for (const char* list : {"initContainers", "containers"}) {
    if (!spec.contains(list)) continue;
    for (Json& container : spec[list]) pod::AddEnv(container, *input.group, Json::array());
  }
  pod::AddResources(spec["containers"][0], *input.group, input.variant->accelerators_per_replica);
  pod::AddTolerations(spec, *input.group);
  pod::Require(spec, Requirements(input));
  return spec;
}

Json PodTemplate(const CellInput& input) {
  Json pod_template = Json::parse(input.variant->pod_template, nullptr, false);
  Json metadata = pod_template.value("metadata", Json::object());
  const Json own = pod::Labels(input.pool->meta.name, input.pool->meta.uid);
  for (const auto& [key, value] : own.items()) metadata["labels"][key] = value;
  metadata["labels"][kVariantLabel] = input.variant->name;
  metadata["labels"][kCellLabel] = Hash(input);
  metadata["labels"][kTemplateLabel] = TemplateRevision(input.pool->spec, *input.variant);
  return {{"metadata", metadata}, {"spec", PodSpec(input, pod_template["spec"])}};
}

// One of the two is at least 1, or nothing could ever be replaced.
Json Strategy(const CellInput& input) {
  const int surge = input.surge < 1 && input.unavailable < 1 ? 1 : input.surge;
  return {{"type", "RollingUpdate"},
          {"rollingUpdate", {{"maxSurge", surge}, {"maxUnavailable", input.unavailable}}}};
}

int ProgressDeadline(const CellInput& input) {
  return input.pool->spec.placement.start_deadline_seconds + input.variant->startup_seconds;
}

std::string Revision(const InferencePool& pool, const char* kind, const std::string& rest) {
  return HashHex(fmt::format("{}|{}|{}|{}|{}|{}", kRenderRevision, kind, pool.meta.ns,
                             pool.meta.name, pool.meta.uid, rest),
                 16);
}

Json Operation(const char* op, const std::string& path, Json value) {
  return {{"op", op}, {"path", path}, {"value", std::move(value)}};
}

std::string AnnotationPath(std::string key) {
  for (size_t at = key.find('/'); at != std::string::npos; at = key.find('/', at + 2)) {
    key.replace(at, 1, "~1");
  }
  return "/metadata/annotations/" + key;
}

}  // namespace

std::string RenderDeployment(const CellInput& input) {
  const InferencePool& pool = *input.pool;
  Json metadata =
      ChildMetadata(pool, CellName(pool.meta.name, input.variant->name, input.group->meta.name));
  metadata["labels"][kVariantLabel] = input.variant->name;
  metadata["annotations"] = {{kVariantLabel, input.variant->name},
                             {kNodeGroupAnnotation, input.group->meta.name},
                             {kTemplateLabel, TemplateRevision(pool.spec, *input.variant)}};
  Json deployment = {{"apiVersion", "apps/v1"}, {"kind", "Deployment"}, {"metadata", metadata}};
  deployment["spec"] = {
      {"replicas", input.replicas},
      {"revisionHistoryLimit", 2},
      {"progressDeadlineSeconds", ProgressDeadline(input)},
      {"strategy", Strategy(input)},
      {"selector", {{"matchLabels", {{kPoolUidLabel, pool.meta.uid}, {kCellLabel, Hash(input)}}}}},
      {"template", PodTemplate(input)}};
  return deployment.dump();
}

std::string PatchDeployment(const CellInput& input, const std::string& uid, bool roll) {
  Json patch = Json::array({Operation("test", "/metadata/uid", uid),
                            Operation("replace", "/spec/replicas", input.replicas),
                            Operation("replace", "/spec/strategy", Strategy(input))});
  if (roll) {
    patch.push_back(Operation("replace", "/spec/template", PodTemplate(input)));
    patch.push_back(Operation("replace", "/spec/progressDeadlineSeconds", ProgressDeadline(input)));
    patch.push_back(Operation("add", AnnotationPath(kTemplateLabel),
                              TemplateRevision(input.pool->spec, *input.variant)));
  }
  return patch.dump();
}

std::string PatchReplicas(const std::string& uid, int replicas) {
  return Json::array({Operation("test", "/metadata/uid", uid),
                      Operation("replace", "/spec/replicas", replicas)})
      .dump();
}

std::string RenderServingService(const InferencePool& pool, const VariantSpec* variant) {
  const int port = pool.spec.routing_port;
  const std::string name =
      variant == nullptr ? pool.meta.name : VariantServiceName(pool.meta.name, variant->name);
  Json selector = {{kPoolUidLabel, pool.meta.uid}};
  if (variant != nullptr) selector[kVariantLabel] = variant->name;
  Json service = {
      {"apiVersion", "v1"}, {"kind", "Service"}, {"metadata", ChildMetadata(pool, name)}};
  if (variant != nullptr) service["metadata"]["labels"][kVariantLabel] = variant->name;
  service["spec"] = {{"selector", selector},
                     {"publishNotReadyAddresses", false},
                     {"ports", {{{"name", "http"}, {"port", port}, {"targetPort", port}}}}};
  return pod::FinishCompanion(std::move(service), ServingServiceRevision(pool, variant));
}

std::string ServingServiceRevision(const InferencePool& pool, const VariantSpec* variant) {
  return Revision(pool, "Service",
                  fmt::format("{}|{}", pool.spec.routing_port,
                              variant == nullptr ? std::string() : variant->name));
}

std::string RenderServingBudget(const InferencePool& pool) {
  Json budget = {{"apiVersion", "policy/v1"},
                 {"kind", "PodDisruptionBudget"},
                 {"metadata", ChildMetadata(pool, pool.meta.name)}};
  budget["spec"] = {{"maxUnavailable", pool.spec.max_unavailable},
                    {"unhealthyPodEvictionPolicy", "AlwaysAllow"},
                    {"selector", {{"matchLabels", {{kPoolUidLabel, pool.meta.uid}}}}}};
  return pod::FinishCompanion(std::move(budget), ServingBudgetRevision(pool));
}

std::string ServingBudgetRevision(const InferencePool& pool) {
  return Revision(pool, "PodDisruptionBudget", std::to_string(pool.spec.max_unavailable));
}

std::string PatchTo(const std::string& rendered, const kube::ObjectMeta& there) {
  const Json object = Json::parse(rendered, nullptr, false);
  Json patch = Json::array({Operation("test", "/metadata/uid", there.uid)});
  if (object["kind"] == "PodDisruptionBudget") {
    // One that says both how many must stay and how many may go is refused.
    patch.push_back(Operation("replace", "/spec", object["spec"]));
  } else {
    for (const auto& [key, value] : object["spec"].items()) {
      patch.push_back(Operation("add", "/spec/" + key, value));
    }
  }
  const Json& annotations = object["metadata"]["annotations"];
  if (there.annotations.empty()) {
    patch.push_back(Operation("add", "/metadata/annotations", annotations));
    return patch.dump();
  }
  for (const auto& [key, value] : annotations.items()) {
    patch.push_back(Operation("add", AnnotationPath(key), value));
  }
  return patch.dump();
}

}  // namespace spillway::controllers
