#include "controllers/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "controllers/names.h"
#include "controllers/placement_record.h"
#include "controllers/render_pod.h"

namespace spillway::controllers {
namespace {

using pod::Env;
using pod::Finish;
using pod::Json;

constexpr const char* kIndexPath =
    "metadata.annotations['batch.kubernetes.io/job-completion-index']";

Json OwnLabels(const RenderInput& input) {
  return pod::Labels(input.pool->meta.name, input.pool->meta.uid);
}

Json Metadata(const RenderInput& input, const std::string& name) {
  const kube::ObjectMeta& pool = input.pool->meta;
  return pod::Metadata(pool.ns, name, "TrainingPool", pool.name, pool.uid);
}

// All that an object is rendered from, besides the code.
std::string Revision(const RenderInput& input, const char* kind, int number) {
  const kube::ObjectMeta& pool = input.pool->meta;
  return HashHex(
      fmt::format("{}|{}|{}|{}|{}|{}", kRenderRevision, kind, pool.ns, pool.name, pool.uid, number),
      16);
}

Json EnvFromIndex(const char* name) {
  return {{"name", name}, {"valueFrom", {{"fieldRef", {{"fieldPath", kIndexPath}}}}}};
}

// As it was committed: an edit since then waits for the next attempt, and for its quota.
int PerWorker(const RenderInput& input) {
  const int committed = input.memory.placement->per_worker;
  return committed > 0 ? committed : input.pool->spec.accelerators_per_worker;
}

// What torchrun reads (PET_*) and what programs without it read.
Json TorchEnv(const RenderInput& input) {
  const auto& spec = input.pool->spec;
  const auto& placement = *input.memory.placement;
  const std::string& pool = input.pool->meta.name;
  const std::string job = TrainJobName(pool, placement.attempt);
  const std::string master =
      placement.workers == 1 ? "localhost" : fmt::format("{}-0.{}", job, TrainServiceName(pool));
  const int processes = spec.torch_proc_per_node > 0 ? spec.torch_proc_per_node : PerWorker(input);
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

// Our pin is ANDed into every term of the user's required node affinity.
void Pin(Json& spec, const RenderInput& input) {
  const Json pin = {{"key", kHostnameLabel}, {"operator", "In"}, {"values", input.hostnames}};
  pod::Require(spec, Json::array({pin}));
}

Json PodSpec(const RenderInput& input, Json spec) {
  spec["restartPolicy"] = "Never";
  spec["priorityClassName"] = kWorkerPriorityClass;
  if (!spec.contains("terminationGracePeriodSeconds")) {
    spec["terminationGracePeriodSeconds"] = input.pool->spec.checkpoint.grace_seconds;
  }
  if (input.memory.placement->workers > 1) {
    spec["subdomain"] = TrainServiceName(input.pool->meta.name);
  }
  for (const char* list : {"initContainers", "containers"}) {
    if (!spec.contains(list)) continue;
    for (Json& container : spec[list]) pod::AddEnv(container, *input.group, TorchEnv(input));
  }
  pod::AddResources(spec["containers"][0], *input.group, PerWorker(input));
  pod::AddTolerations(spec, *input.group);
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
  return pod::FinishCompanion(std::move(service), ServiceRevision(input));
}

Standing StandingOf(const kube::Companion& there, const std::string& revision) {
  const auto carried = there.meta.annotations.find(kRevisionAnnotation);
  if (carried == there.meta.annotations.end()) return Standing::kOther;
  const std::string_view text = carried->second;
  const bool same = text.starts_with(revision) && text.substr(revision.size()).starts_with('.');
  if (!same) return Standing::kOther;
  return text.substr(revision.size() + 1) == there.spec_digest ? Standing::kAsRendered
                                                               : Standing::kEdited;
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
  return pod::FinishCompanion(std::move(budget), DisruptionBudgetRevision(input));
}

}  // namespace spillway::controllers
