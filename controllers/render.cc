#include "controllers/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "controllers/names.h"
#include "controllers/placement_record.h"

namespace spillway::controllers {
namespace {

using Json = nlohmann::json;

constexpr const char* kIndexPath =
    "metadata.annotations['batch.kubernetes.io/job-completion-index']";

Json OwnLabels(const RenderInput& input) {
  return {{kManagedByLabel, kManagedBy},
          {kPoolLabel, input.pool->meta.name},
          {kPoolUidLabel, input.pool->meta.uid}};
}

Json Metadata(const RenderInput& input, const std::string& name) {
  const kube::ObjectMeta& pool = input.pool->meta;
  return {{"name", name},
          {"namespace", pool.ns},
          {"labels", OwnLabels(input)},
          {"ownerReferences",
           {{{"apiVersion", crds::v1alpha1::kApiVersion},
             {"kind", "TrainingPool"},
             {"name", pool.name},
             {"uid", pool.uid},
             {"controller", true},
             {"blockOwnerDeletion", true}}}}};
}

// The revision tells a later pass whether what stands there is what would be written now.
std::string Finish(Json object, const std::string& revision) {
  object["metadata"]["annotations"][kRevisionAnnotation] = revision;
  return object.dump();
}

// All that an object is rendered from, besides the code.
std::string Revision(const RenderInput& input, const char* kind, int number) {
  const kube::ObjectMeta& pool = input.pool->meta;
  return HashHex(
      fmt::format("{}|{}|{}|{}|{}|{}", kRenderRevision, kind, pool.ns, pool.name, pool.uid, number),
      16);
}

Json Env(const char* name, const std::string& value) { return {{"name", name}, {"value", value}}; }

Json EnvFromIndex(const char* name) {
  return {{"name", name}, {"valueFrom", {{"fieldRef", {{"fieldPath", kIndexPath}}}}}};
}

// What torchrun reads (PET_*) and what programs without it read.
Json TorchEnv(const RenderInput& input) {
  const auto& spec = input.pool->spec;
  const auto& placement = *input.memory.placement;
  const std::string& pool = input.pool->meta.name;
  const std::string job = TrainJobName(pool, placement.attempt);
  const std::string master =
      placement.workers == 1 ? "localhost" : fmt::format("{}-0.{}", job, TrainServiceName(pool));
  const int processes =
      spec.torch_proc_per_node > 0 ? spec.torch_proc_per_node : spec.accelerators_per_worker;
  const std::string port = std::to_string(spec.torch_port);
  return {Env("PET_NNODES", std::to_string(placement.workers)),
          Env("PET_NPROC_PER_NODE", std::to_string(processes)),
          EnvFromIndex("PET_NODE_RANK"),
          Env("PET_RDZV_BACKEND", "c10d"),
          Env("PET_RDZV_ENDPOINT", master + ":" + port),
          Env("PET_RDZV_ID", fmt::format("{}-{}", input.pool->meta.uid, placement.attempt)),
          Env("PET_MASTER_ADDR", master),
          Env("PET_MASTER_PORT", port),
          Env("MASTER_ADDR", master),
          Env("MASTER_PORT", port),
          Env("WORLD_SIZE", std::to_string(placement.workers)),
          EnvFromIndex("RANK"),
          Env("SPILLWAY_ATTEMPT", std::to_string(placement.attempt))};
}

bool Names(const Json& list, const char* key, const std::string& name) {
  return std::any_of(list.begin(), list.end(), [&](const Json& item) {
    return item.is_object() && item.contains(key) && item[key] == name;
  });
}

// The group's defaults give way to what the template says; ours cannot clash, they are reserved.
void AddEnv(Json& container, const RenderInput& input) {
  Json& env = container["env"];
  if (!env.is_array()) env = Json::array();
  Json all = Json::array();
  for (const auto& variable : input.group->spec.pod_defaults.env) {
    if (!Names(env, "name", variable.name))
      all.push_back(Env(variable.name.c_str(), variable.value));
  }
  for (Json& variable : env) all.push_back(std::move(variable));
  for (Json& variable : TorchEnv(input)) all.push_back(std::move(variable));
  env = std::move(all);
}

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

void SetAmount(Json& container, const std::string& resource, int64_t amount) {
  const std::string text = FormatResource(resource, amount);
  container["resources"]["requests"][resource] = text;
  const bool limited = Amount(container, "limits", resource) != 0;
  if (IsLimited(resource) || (limited && Amount(container, "limits", resource) < amount)) {
    container["resources"]["limits"][resource] = text;
  }
}

// The API server takes a limit for the request where no request stands.
int64_t Requested(const Json& container, const std::string& resource) {
  const auto resources = container.find("resources");
  const bool said = resources != container.end() && resources->contains("requests") &&
                    (*resources)["requests"].contains(resource);
  return Amount(container, said ? "requests" : "limits", resource);
}

void AddResources(Json& container, const RenderInput& input) {
  const auto& group = input.group->spec;
  const std::string accelerator =
      group.accelerator.resource.empty() ? std::string(kCpu) : group.accelerator.resource;
  const int64_t wanted = int64_t{input.pool->spec.accelerators_per_worker} *
                         (group.accelerator.resource.empty() ? 1000 : 1);
  SetAmount(container, accelerator, wanted);
  for (const auto& [resource, amount] : group.pod_defaults.resources) {
    SetAmount(container, resource, Requested(container, resource) + amount);
  }
}

void AddTolerations(Json& spec, const RenderInput& input) {
  Json& tolerations = spec["tolerations"];
  if (!tolerations.is_array()) tolerations = Json::array();
  for (const auto& toleration : input.group->spec.tolerations) {
    Json item = Json::object();
    if (!toleration.key.empty()) item["key"] = toleration.key;
    if (!toleration.op.empty()) item["operator"] = toleration.op;
    if (!toleration.value.empty()) item["value"] = toleration.value;
    if (!toleration.effect.empty()) item["effect"] = toleration.effect;
    tolerations.push_back(std::move(item));
  }
  // Without these the controller-manager would delete workers of an unreachable node on its own.
  for (const char* key : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}) {
    if (Names(tolerations, "key", key)) continue;
    tolerations.push_back({{"key", key}, {"operator", "Exists"}, {"effect", "NoExecute"}});
  }
}

// Our pin is ANDed into every term of the user's required node affinity.
void Pin(Json& spec, const RenderInput& input) {
  Json pin = {{"key", kHostnameLabel}, {"operator", "In"}, {"values", input.hostnames}};
  if (input.hostnames.size() > kMostPinnedNodes && !input.group->spec.domain_labels.empty()) {
    pin = {{"key", input.group->spec.domain_labels.front()},
           {"operator", "In"},
           {"values", {input.memory.placement->domain}}};
  }
  Json& terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
                    ["nodeSelectorTerms"];
  if (!terms.is_array() || terms.empty()) terms = Json::array({Json::object()});
  for (Json& term : terms) term["matchExpressions"].push_back(pin);
}

Json PodSpec(const RenderInput& input, Json spec) {
  spec["restartPolicy"] = "Never";
  spec["priorityClassName"] = kWorkerPriorityClass;
  if (input.memory.placement->workers > 1) {
    spec["subdomain"] = TrainServiceName(input.pool->meta.name);
  }
  for (const char* list : {"initContainers", "containers"}) {
    if (!spec.contains(list)) continue;
    for (Json& container : spec[list]) AddEnv(container, input);
  }
  AddResources(spec["containers"][0], input);
  AddTolerations(spec, input);
  Pin(spec, input);
  return spec;
}

Json PodTemplate(const RenderInput& input) {
  Json pod_template = Json::parse(input.pool->spec.pod_template, nullptr, false);
  Json metadata = pod_template.value("metadata", Json::object());
  const Json own_labels = OwnLabels(input);
  for (const auto& [key, value] : own_labels.items()) metadata["labels"][key] = value;
  metadata["labels"][kAttemptLabel] = std::to_string(input.memory.placement->attempt);
  // One worker less stops them all: consolidation and scale-down look elsewhere.
  metadata["annotations"]["karpenter.sh/do-not-disrupt"] = "true";
  metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] = "false";
  return {{"metadata", metadata}, {"spec", PodSpec(input, pod_template["spec"])}};
}

}  // namespace

std::string RenderJob(const RenderInput& input) {
  const auto& placement = *input.memory.placement;
  Json metadata = Metadata(input, TrainJobName(input.pool->meta.name, placement.attempt));
  metadata["labels"][kAttemptLabel] = std::to_string(placement.attempt);
  metadata["annotations"][kPlacementAnnotation] = EncodeRecord(input.memory);
  Json job = {{"apiVersion", "batch/v1"}, {"kind", "Job"}, {"metadata", metadata}};
  job["spec"] = {
      {"completionMode", "Indexed"},
      {"completions", placement.workers},
      {"parallelism", placement.workers},
      {"backoffLimit", 0},
      {"podFailurePolicy",
       {{"rules",
         {{{"action", "FailJob"}, {"onExitCodes", {{"operator", "NotIn"}, {"values", {0}}}}}}}}},
      {"template", PodTemplate(input)}};
  const std::string revision = HashHex(job.dump(), 16);
  return Finish(std::move(job), revision);
}

std::string RenderService(const RenderInput& input) {
  const int port = input.pool->spec.torch_port;
  Json service = {{"apiVersion", "v1"},
                  {"kind", "Service"},
                  {"metadata", Metadata(input, TrainServiceName(input.pool->meta.name))}};
  service["spec"] = {{"clusterIP", "None"},
                     {"publishNotReadyAddresses", true},
                     {"selector", {{kPoolUidLabel, input.pool->meta.uid}}},
                     {"ports", {{{"name", "rendezvous"}, {"port", port}, {"targetPort", port}}}}};
  return Finish(std::move(service), ServiceRevision(input));
}

std::string ServiceRevision(const RenderInput& input) {
  return Revision(input, "Service", input.pool->spec.torch_port);
}

std::string DisruptionBudgetRevision(const RenderInput& input) {
  return Revision(input, "PodDisruptionBudget", input.memory.placement->workers);
}

std::string RenderDisruptionBudget(const RenderInput& input) {
  Json budget = {{"apiVersion", "policy/v1"},
                 {"kind", "PodDisruptionBudget"},
                 {"metadata", Metadata(input, TrainServiceName(input.pool->meta.name))}};
  budget["spec"] = {{"minAvailable", input.memory.placement->workers},
                    {"unhealthyPodEvictionPolicy", "AlwaysAllow"},
                    {"selector", {{"matchLabels", {{kPoolUidLabel, input.pool->meta.uid}}}}}};
  return Finish(std::move(budget), DisruptionBudgetRevision(input));
}

}  // namespace spillway::controllers
