#include "crds/v1alpha1/training_pool.h"

#include "crds/v1alpha1/encode.h"

namespace spillway::crds::v1alpha1 {
namespace {

using kube::JsonValue;
using kube::Read;
using kube::ReadList;
using kube::VisitObject;

Status DecodeAccepted(JsonValue value, AcceptedAccelerator& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "type") return Read(field, out.type);
    if (key == "workers") return Read(field, out.workers);
    if (key == "minWorkers") return Read(field, out.min_workers);
    return Ok{};
  });
}

Status DecodeSpill(JsonValue value, TrainingPoolSpec::Placement& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "policy") return Read(field, out.spill_policy);
    if (key == "afterSeconds") return Read(field, out.spill_after_seconds);
    if (key == "maxHourlyCost") return Read(field, out.spill_max_hourly_cost);
    return Ok{};
  });
}

Status DecodeReturnHome(JsonValue value, TrainingPoolSpec::Placement& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "policy") return Read(field, out.return_policy);
    if (key == "afterSeconds") return Read(field, out.return_after_seconds);
    if (key == "minSavingsPercent") return Read(field, out.return_min_savings_percent);
    return Ok{};
  });
}

Status DecodeTopology(JsonValue value, TrainingPoolSpec::Placement& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "mode") return Read(field, out.topology_mode);
    if (key == "level") return Read(field, out.topology_level);
    return Ok{};
  });
}

Status DecodePlacementSpec(JsonValue value, TrainingPoolSpec::Placement& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "providers") return Read(field, out.providers);
    if (key == "nodeGroupSelector") return DecodeSelector(field, out.node_group_selector);
    if (key == "preference") return Read(field, out.preference);
    if (key == "spill") return DecodeSpill(field, out);
    if (key == "returnHome") return DecodeReturnHome(field, out);
    if (key == "topology") return DecodeTopology(field, out);
    if (key == "startDeadlineSeconds") return Read(field, out.start_deadline_seconds);
    return Ok{};
  });
}

Status DecodeRestart(JsonValue value, TrainingPoolSpec::Restart& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "maxRestarts") return Read(field, out.max_restarts);
    if (key == "backoffSeconds") return Read(field, out.backoff_seconds);
    if (key == "nodeLostSeconds") return Read(field, out.node_lost_seconds);
    if (key == "holdSeconds") return Read(field, out.hold_seconds);
    if (key == "onUnreachable") return Read(field, out.on_unreachable);
    return Ok{};
  });
}

Status DecodeCheckpoint(JsonValue value, TrainingPoolSpec::Checkpoint& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "intervalSeconds") return Read(field, out.interval_seconds);
    if (key == "graceSeconds") return Read(field, out.grace_seconds);
    return Ok{};
  });
}

Status DecodePreemption(JsonValue value, TrainingPoolSpec::Preemption& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "preempts") return Read(field, out.preempts);
    if (key == "preemptible") return Read(field, out.preemptible);
    if (key == "minRunSeconds") return Read(field, out.min_run_seconds);
    return Ok{};
  });
}

Status DecodeTorch(JsonValue value, TrainingPoolSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "port") return Read(field, out.torch_port);
    if (key == "procPerNode") return Read(field, out.torch_proc_per_node);
    return Ok{};
  });
}

Status DecodeSpec(JsonValue value, TrainingPoolSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "workers") return Read(field, out.workers);
    if (key == "minWorkers") return Read(field, out.min_workers);
    if (key == "acceleratorsPerWorker") return Read(field, out.accelerators_per_worker);
    if (key == "accelerators") return ReadList(field, out.accelerators, DecodeAccepted);
    if (key == "priorityClassName") return Read(field, out.priority_class_name);
    if (key == "activeDeadlineSeconds") return Read(field, out.active_deadline_seconds);
    if (key == "expectedSeconds") return Read(field, out.expected_seconds);
    if (key == "placement") return DecodePlacementSpec(field, out.placement.Own());
    if (key == "restart") return DecodeRestart(field, out.restart.Own());
    if (key == "checkpoint") return DecodeCheckpoint(field, out.checkpoint);
    if (key == "preemption") return DecodePreemption(field, out.preemption.Own());
    if (key == "torch") return DecodeTorch(field, out);
    if (key == "suspend") return Read(field, out.suspend);
    if (key == "template") return kube::ReadRaw(field, out.pod_template);
    return Ok{};
  });
}

Status DecodePlacement(JsonValue value, PlacementStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "nodeGroup") return Read(field, out.node_group);
    if (key == "accelerator") return Read(field, out.accelerator);
    if (key == "domain") return Read(field, out.domain);
    if (key == "tier") return Read(field, out.tier);
    if (key == "workers") return Read(field, out.workers);
    if (key == "acceleratorsPerWorker") return Read(field, out.per_worker);
    if (key == "nodes") return Read(field, out.nodes);
    if (key == "attempt") return Read(field, out.attempt);
    if (key == "renderRevision") return Read(field, out.render_revision);
    if (key == "specRevision") return Read(field, out.spec_revision);
    if (key == "since") return Read(field, out.since);
    return Ok{};
  });
}

Status DecodeHold(JsonValue value, HoldStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "nodeGroup") return Read(field, out.node_group);
    if (key == "domain") return Read(field, out.domain);
    if (key == "nodes") return Read(field, out.nodes);
    if (key == "until") return Read(field, out.until);
    if (key == "since") return Read(field, out.since);
    if (key == "victims") return Read(field, out.victims);
    if (key == "replicas") return Read(field, out.replicas);
    if (key == "shrinks") return Read(field, out.shrinks);
    return Ok{};
  });
}

Status DecodeAsk(JsonValue value, AskStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "nodeGroup") return Read(field, out.node_group);
    if (key == "nodes") return Read(field, out.nodes);
    if (key == "workers") return Read(field, out.workers);
    if (key == "since") return Read(field, out.since);
    return Ok{};
  });
}

Status DecodeFailure(JsonValue value, FailureStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "attempt") return Read(field, out.attempt);
    if (key == "worker") return Read(field, out.worker);
    if (key == "node") return Read(field, out.node);
    if (key == "exitCode") return Read(field, out.exit_code);
    if (key == "reason") return Read(field, out.reason);
    if (key == "message") return Read(field, out.message);
    if (key == "time") return Read(field, out.time);
    return Ok{};
  });
}

Status DecodeExcluded(JsonValue value, ExcludedNodeStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "name") return Read(field, out.name);
    if (key == "until") return Read(field, out.until);
    if (key == "reason") return Read(field, out.reason);
    return Ok{};
  });
}

Status DecodeWorkers(JsonValue value, TrainingPoolStatus::Workers& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "wanted") return Read(field, out.wanted);
    if (key == "active") return Read(field, out.active);
    if (key == "ready") return Read(field, out.ready);
    if (key == "failed") return Read(field, out.failed);
    if (key == "succeeded") return Read(field, out.succeeded);
    return Ok{};
  });
}

template <class T, class Decoder>
Status Optional(JsonValue field, Boxed<T>& out, Decoder decode) {
  if (kube::IsNull(field)) return Ok{};
  out.emplace();
  return decode(field, *out);
}

Status DecodeStatus(JsonValue value, TrainingPoolStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "observedGeneration") return Read(field, out.observed_generation);
    if (key == "placement") return Optional(field, out.placement, DecodePlacement);
    if (key == "hold") return Optional(field, out.hold, DecodeHold);
    if (key == "ask") return Optional(field, out.ask, DecodeAsk);
    if (key == "queuedSince") return Read(field, out.queued_since);
    if (key == "waitingSince") return Read(field, out.waiting_since);
    if (key == "startTime") return Read(field, out.start_time);
    if (key == "completionTime") return Read(field, out.completion_time);
    if (key == "tiersUsed") return Read(field, out.tiers_used);
    if (key == "attempts") return Read(field, out.attempts);
    if (key == "workers") return DecodeWorkers(field, out.workers);
    if (key == "restarts") return Read(field, out.restarts);
    if (key == "failures") return Read(field, out.failures);
    if (key == "lastFailure") return Optional(field, out.last_failure, DecodeFailure);
    if (key == "excludedNodes") return ReadList(field, out.excluded_nodes, DecodeExcluded);
    if (key == "evictions") return ReadList(field, out.evictions, DecodeEviction);
    if (key == "readySince") return Read(field, out.ready_since);
    if (key == "restartSeconds") return Read(field, out.restart_seconds);
    if (key == "homeFitsSince") return Read(field, out.home_fits_since);
    if (key == "growthFitsSince") return Read(field, out.growth_fits_since);
    if (key == "overBudgetSince") return Read(field, out.over_budget_since);
    if (key == "lastMove") return Read(field, out.last_move);
    if (key == "dwellSeconds") return Read(field, out.dwell_seconds);
    if (key == "stuckPods") return Read(field, out.stuck_pods);
    if (key == "hourlyCost") return Read(field, out.hourly_cost);
    if (key == "marginalHourlyCost") return Read(field, out.marginal_hourly_cost);
    if (key == "conditions") {
      return ReadList(field, out.conditions,
                      [](JsonValue v, Condition& c) { return Decode(v, c); });
    }
    return Ok{};
  });
}

using detail::Json;
using detail::Put;
using detail::PutList;

Json Encode(const PlacementStatus& placement) {
  Json out = {{"nodeGroup", placement.node_group},
              {"accelerator", placement.accelerator},
              {"tier", placement.tier},
              {"workers", placement.workers},
              {"nodes", placement.nodes},
              {"attempt", placement.attempt},
              {"renderRevision", placement.render_revision},
              {"specRevision", placement.spec_revision},
              {"since", FormatTime(placement.since)}};
  if (placement.per_worker > 0) out["acceleratorsPerWorker"] = placement.per_worker;
  Put(out, "domain", placement.domain);
  return out;
}

Json Encode(const HoldStatus& hold) {
  Json out = {
      {"nodeGroup", hold.node_group}, {"nodes", hold.nodes}, {"until", FormatTime(hold.until)}};
  Put(out, "domain", hold.domain);
  Put(out, "since", hold.since);
  PutList(out, "victims", hold.victims);
  PutList(out, "replicas", hold.replicas);
  if (hold.shrinks) out["shrinks"] = true;
  return out;
}

Json Encode(const AskStatus& ask) {
  return {{"nodeGroup", ask.node_group},
          {"nodes", ask.nodes},
          {"workers", ask.workers},
          {"since", FormatTime(ask.since)}};
}

Json Encode(const FailureStatus& failure) {
  Json out = {{"attempt", failure.attempt},
              {"exitCode", failure.exit_code},
              {"time", FormatTime(failure.time)}};
  if (failure.worker >= 0) out["worker"] = failure.worker;
  Put(out, "node", failure.node);
  Put(out, "reason", failure.reason);
  Put(out, "message", failure.message);
  return out;
}

Json EncodeExcluded(const std::vector<ExcludedNodeStatus>& nodes) {
  Json out = Json::array();
  for (const ExcludedNodeStatus& node : nodes) {
    out.push_back(
        {{"name", node.name}, {"until", FormatTime(node.until)}, {"reason", node.reason}});
  }
  return out;
}

// Where nothing has happened to a pool, its status has no numbers either: in Observe nothing does.
void EncodeCounts(Json& out, const TrainingPoolStatus& status) {
  const TrainingPoolStatus::Workers& workers = status.workers;
  if (status.attempts == 0 && status.restarts == 0 && status.failures == 0 &&
      workers == TrainingPoolStatus::Workers{}) {
    return;
  }
  out["attempts"] = status.attempts;
  out["restarts"] = status.restarts;
  out["failures"] = status.failures;
  out["workers"] = {{"wanted", workers.wanted},
                    {"active", workers.active},
                    {"ready", workers.ready},
                    {"failed", workers.failed},
                    {"succeeded", workers.succeeded}};
}

void EncodeMemory(Json& out, const TrainingPoolStatus& status) {
  if (status.placement) out["placement"] = Encode(*status.placement);
  if (status.hold) out["hold"] = Encode(*status.hold);
  if (status.ask) out["ask"] = Encode(*status.ask);
  Put(out, "queuedSince", status.queued_since);
  Put(out, "waitingSince", status.waiting_since);
  Put(out, "startTime", status.start_time);
  Put(out, "completionTime", status.completion_time);
  PutList(out, "tiersUsed", status.tiers_used);
  if (status.last_failure) out["lastFailure"] = Encode(*status.last_failure);
  if (!status.excluded_nodes.empty()) out["excludedNodes"] = EncodeExcluded(status.excluded_nodes);
  if (!status.evictions.empty()) out["evictions"] = detail::EncodeEvictions(status.evictions);
  Put(out, "readySince", status.ready_since);
  if (status.restart_seconds) out["restartSeconds"] = *status.restart_seconds;
  Put(out, "homeFitsSince", status.home_fits_since);
  Put(out, "growthFitsSince", status.growth_fits_since);
  Put(out, "overBudgetSince", status.over_budget_since);
  Put(out, "lastMove", status.last_move);
  if (status.dwell_seconds) out["dwellSeconds"] = *status.dwell_seconds;
}

}  // namespace

const kube::Resource& TrainingPoolResource() {
  static const kube::Resource kResource{kGroup, kVersion, "trainingpools", "TrainingPool", true};
  return kResource;
}

Status DecodeTrainingPool(JsonValue value, TrainingPool& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "metadata") return kube::DecodeMeta(field, out.meta, {});
    if (key == "spec") return DecodeSpec(field, out.spec);
    if (key == "status") return DecodeStatus(field, out.status);
    return Ok{};
  });
}

std::string EncodeStatusUpdate(const TrainingPool& object, const TrainingPoolStatus& status) {
  Json body = detail::StatusUpdateEnvelope(TrainingPoolResource(), object.meta);
  Json& out = body["status"];
  out = {{"observedGeneration", status.observed_generation},
         {"conditions", detail::EncodeConditions(status.conditions)}};
  EncodeCounts(out, status);
  EncodeMemory(out, status);
  PutList(out, "stuckPods", status.stuck_pods);
  Put(out, "hourlyCost", status.hourly_cost);
  Put(out, "marginalHourlyCost", status.marginal_hourly_cost);
  return body.dump();
}

}  // namespace spillway::crds::v1alpha1
