#include "crds/v1alpha1/inference_pool.h"

#include "crds/v1alpha1/encode.h"

namespace spillway::crds::v1alpha1 {
namespace {

using kube::JsonValue;
using kube::Read;
using kube::ReadList;
using kube::VisitObject;

Status DecodeVariant(JsonValue value, VariantSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "name") return Read(field, out.name);
    if (key == "accelerator") return Read(field, out.accelerator);
    if (key == "acceleratorsPerReplica") return Read(field, out.accelerators_per_replica);
    if (key == "arch") return Read(field, out.arch);
    if (key == "throughput") return Read(field, out.throughput);
    if (key == "minReplicas") return Read(field, out.min_replicas);
    if (key == "maxReplicas") return Read(field, out.max_replicas);
    if (key == "startupSeconds") return Read(field, out.startup_seconds);
    if (key == "template") return kube::ReadRaw(field, out.pod_template);
    return Ok{};
  });
}

Status DecodeSpill(JsonValue value, InferencePoolSpec::Placement& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "policy") return Read(field, out.spill_policy);
    if (key == "afterSeconds") return Read(field, out.spill_after_seconds);
    if (key == "maxHourlyCost") return Read(field, out.spill_max_hourly_cost);
    return Ok{};
  });
}

Status DecodeReturnHome(JsonValue value, InferencePoolSpec::Placement& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "policy") return Read(field, out.return_policy);
    if (key == "afterSeconds") return Read(field, out.return_after_seconds);
    if (key == "minSavingsPercent") return Read(field, out.return_min_savings_percent);
    if (key == "paybackSeconds") return Read(field, out.return_payback_seconds);
    return Ok{};
  });
}

Status DecodePlacement(JsonValue value, InferencePoolSpec::Placement& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "providers") return Read(field, out.providers);
    if (key == "nodeGroupSelector") return DecodeSelector(field, out.node_group_selector);
    if (key == "preference") return Read(field, out.preference);
    if (key == "spill") return DecodeSpill(field, out);
    if (key == "returnHome") return DecodeReturnHome(field, out);
    if (key == "startDeadlineSeconds") return Read(field, out.start_deadline_seconds);
    return Ok{};
  });
}

Status DecodePreemption(JsonValue value, InferencePoolSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "preempts") return Read(field, out.preempts);
    if (key == "afterSeconds") return Read(field, out.preempt_after_seconds);
    return Ok{};
  });
}

Status DecodePace(JsonValue value, InferencePoolSpec::Pace& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "stabilizationSeconds") return Read(field, out.stabilization_seconds);
    if (key == "maxStep") return Read(field, out.max_step);
    if (key == "periodSeconds") return Read(field, out.period_seconds);
    return Ok{};
  });
}

Status DecodeBehavior(JsonValue value, InferencePoolSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "scaleUp") return DecodePace(field, out.scale_up);
    if (key == "scaleDown") return DecodePace(field, out.scale_down);
    return Ok{};
  });
}

Status DecodeRouting(JsonValue value, InferencePoolSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "port") return Read(field, out.routing_port);
    if (key == "mode") return Read(field, out.routing_mode);
    return Ok{};
  });
}

Status DecodeDisruption(JsonValue value, InferencePoolSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "maxUnavailable") return Read(field, out.max_unavailable);
    if (key == "drainSeconds") return Read(field, out.drain_seconds);
    return Ok{};
  });
}

Status DecodeSpec(JsonValue value, InferencePoolSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "replicas") return Read(field, out.replicas);
    if (key == "unitThroughput") return Read(field, out.unit_throughput);
    if (key == "priorityClassName") return Read(field, out.priority_class_name);
    if (key == "paused") return Read(field, out.paused);
    if (key == "variants") return ReadList(field, out.variants, DecodeVariant);
    if (key == "placement") return DecodePlacement(field, out.placement);
    if (key == "preemption") return DecodePreemption(field, out);
    if (key == "behavior") return DecodeBehavior(field, out);
    if (key == "routing") return DecodeRouting(field, out);
    if (key == "disruption") return DecodeDisruption(field, out);
    return Ok{};
  });
}

Status DecodeRecent(JsonValue value, RecentUnitsStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "units") return Read(field, out.units);
    if (key == "until") return Read(field, out.until);
    return Ok{};
  });
}

Status DecodeStep(JsonValue value, StepStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "since") return Read(field, out.since);
    if (key == "units") return Read(field, out.units);
    return Ok{};
  });
}

Status DecodeCell(JsonValue value, CellStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "variant") return Read(field, out.variant);
    if (key == "nodeGroup") return Read(field, out.node_group);
    if (key == "tier") return Read(field, out.tier);
    if (key == "desired") return Read(field, out.desired);
    if (key == "ready") return Read(field, out.ready);
    if (key == "pendingSince") return Read(field, out.pending_since);
    if (key == "blockedUntil") return Read(field, out.blocked_until);
    if (key == "misses") return Read(field, out.misses);
    if (key == "revision") return Read(field, out.revision);
    return Ok{};
  });
}

Status DecodeClaim(JsonValue value, CellClaimStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "variant") return Read(field, out.variant);
    if (key == "nodeGroup") return Read(field, out.node_group);
    if (key == "replicas") return Read(field, out.replicas);
    if (key == "nodes") return Read(field, out.nodes);
    if (key == "until") return Read(field, out.until);
    if (key == "since") return Read(field, out.since);
    if (key == "victims") return Read(field, out.victims);
    return Ok{};
  });
}

Status DecodeAsk(JsonValue value, CellAskStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "variant") return Read(field, out.variant);
    if (key == "nodeGroup") return Read(field, out.node_group);
    if (key == "nodes") return Read(field, out.nodes);
    if (key == "replicas") return Read(field, out.replicas);
    if (key == "since") return Read(field, out.since);
    return Ok{};
  });
}

Status DecodeService(JsonValue value, ServiceStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "name") return Read(field, out.name);
    if (key == "variant") return Read(field, out.variant);
    if (key == "weight") return Read(field, out.weight);
    return Ok{};
  });
}

Status DecodeRejected(JsonValue value, RejectedMixStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "mix") return Read(field, out.mix);
    if (key == "cost") return Read(field, out.cost);
    if (key == "why") return Read(field, out.why);
    return Ok{};
  });
}

Status DecodeDecision(JsonValue value, DecisionStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "time") return Read(field, out.time);
    if (key == "action") return Read(field, out.action);
    if (key == "reason") return Read(field, out.reason);
    if (key == "chosen") return Read(field, out.chosen);
    if (key == "rejected") return ReadList(field, out.rejected, DecodeRejected);
    return Ok{};
  });
}

template <class T, class Decoder>
Status Optional(JsonValue field, std::optional<T>& out, Decoder decode) {
  if (kube::IsNull(field)) return Ok{};
  out.emplace();
  return decode(field, *out);
}

// The numbers of units, of now and before; what is lacking, and claimed for that.
Status DecodeMemory(std::string_view key, JsonValue field, InferencePoolStatus& out) {
  if (key == "units") return Read(field, out.units);
  if (key == "requestedUnits") return Read(field, out.requested_units);
  if (key == "recent") return ReadList(field, out.recent, DecodeRecent);
  if (key == "stepUp") return Optional(field, out.step_up, DecodeStep);
  if (key == "stepDown") return Optional(field, out.step_down, DecodeStep);
  if (key == "shortSince") return Read(field, out.short_since);
  if (key == "claim") return Optional(field, out.claim, DecodeClaim);
  if (key == "asks") return ReadList(field, out.asks, DecodeAsk);
  if (key == "evictions") return ReadList(field, out.evictions, DecodeEviction);
  return Ok{};
}

Status DecodeStatus(JsonValue value, InferencePoolStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "observedGeneration") return Read(field, out.observed_generation);
    if (key == "replicas") return Read(field, out.replicas);
    if (key == "selector") return Read(field, out.selector);
    if (key == "requiredCapacity") return Read(field, out.required_capacity);
    if (key == "readyCapacity") return Read(field, out.ready_capacity);
    if (key == "pendingCapacity") return Read(field, out.pending_capacity);
    if (key == "cells") return ReadList(field, out.cells, DecodeCell);
    if (key == "services") return ReadList(field, out.services, DecodeService);
    if (key == "queuedSince") return Read(field, out.queued_since);
    if (key == "waitingSince") return Read(field, out.waiting_since);
    if (key == "homeFitsSince") return Read(field, out.home_fits_since);
    if (key == "hourlyCost") return Read(field, out.hourly_cost);
    if (key == "marginalHourlyCost") return Read(field, out.marginal_hourly_cost);
    if (key == "lastDecision") return Optional(field, out.last_decision, DecodeDecision);
    if (key == "conditions") {
      return ReadList(field, out.conditions,
                      [](JsonValue v, Condition& c) { return Decode(v, c); });
    }
    return DecodeMemory(key, field, out);
  });
}

using detail::Json;
using detail::Put;

Json Encode(const RecentUnitsStatus& recent) {
  return {{"units", recent.units}, {"until", FormatTime(recent.until)}};
}

Json Encode(const StepStatus& step) {
  return {{"since", FormatTime(step.since)}, {"units", step.units}};
}

Json Encode(const CellStatus& cell) {
  Json out = {{"variant", cell.variant}, {"nodeGroup", cell.node_group}, {"tier", cell.tier},
              {"desired", cell.desired}, {"ready", cell.ready},          {"misses", cell.misses}};
  Put(out, "pendingSince", cell.pending_since);
  Put(out, "blockedUntil", cell.blocked_until);
  Put(out, "revision", cell.revision);
  return out;
}

Json Encode(const CellClaimStatus& claim) {
  return {{"variant", claim.variant},         {"nodeGroup", claim.node_group},
          {"replicas", claim.replicas},       {"nodes", claim.nodes},
          {"until", FormatTime(claim.until)}, {"since", FormatTime(claim.since)},
          {"victims", claim.victims}};
}

Json Encode(const CellAskStatus& ask) {
  return {{"variant", ask.variant},
          {"nodeGroup", ask.node_group},
          {"nodes", ask.nodes},
          {"replicas", ask.replicas},
          {"since", FormatTime(ask.since)}};
}

Json Encode(const ServiceStatus& service) {
  Json out = {{"name", service.name}, {"weight", service.weight}};
  Put(out, "variant", service.variant);
  return out;
}

Json Encode(const RejectedMixStatus& rejected) {
  return {{"mix", rejected.mix}, {"cost", rejected.cost}, {"why", rejected.why}};
}

template <class T>
void PutEncoded(Json& to, const char* key, const std::vector<T>& list) {
  for (const T& item : list) to[key].push_back(Encode(item));
}

Json Encode(const DecisionStatus& decision) {
  Json out = {{"time", FormatTime(decision.time)}};
  Put(out, "action", decision.action);
  Put(out, "reason", decision.reason);
  Put(out, "chosen", decision.chosen);
  PutEncoded(out, "rejected", decision.rejected);
  return out;
}

void EncodeMemory(Json& out, const InferencePoolStatus& status) {
  if (status.units) out["units"] = *status.units;
  if (status.requested_units) out["requestedUnits"] = *status.requested_units;
  PutEncoded(out, "recent", status.recent);
  if (status.step_up) out["stepUp"] = Encode(*status.step_up);
  if (status.step_down) out["stepDown"] = Encode(*status.step_down);
  PutEncoded(out, "cells", status.cells);
  Put(out, "queuedSince", status.queued_since);
  Put(out, "waitingSince", status.waiting_since);
  Put(out, "homeFitsSince", status.home_fits_since);
  Put(out, "shortSince", status.short_since);
  if (status.claim) out["claim"] = Encode(*status.claim);
  PutEncoded(out, "asks", status.asks);
  if (!status.evictions.empty()) out["evictions"] = detail::EncodeEvictions(status.evictions);
  if (status.last_decision) out["lastDecision"] = Encode(*status.last_decision);
}

}  // namespace

const kube::Resource& InferencePoolResource() {
  static const kube::Resource kResource{kGroup, kVersion, "inferencepools", "InferencePool", true};
  return kResource;
}

Status DecodeInferencePool(JsonValue value, InferencePool& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "metadata") return kube::DecodeMeta(field, out.meta, {});
    if (key == "spec") return DecodeSpec(field, out.spec);
    if (key == "status") return DecodeStatus(field, out.status);
    return Ok{};
  });
}

std::string EncodeStatusUpdate(const InferencePool& object, const InferencePoolStatus& status) {
  Json body = detail::StatusUpdateEnvelope(InferencePoolResource(), object.meta);
  Json& out = body["status"];
  out = {{"observedGeneration", status.observed_generation},
         {"replicas", status.replicas},
         {"conditions", detail::EncodeConditions(status.conditions)}};
  EncodeMemory(out, status);
  Put(out, "selector", status.selector);
  Put(out, "requiredCapacity", status.required_capacity);
  Put(out, "readyCapacity", status.ready_capacity);
  Put(out, "pendingCapacity", status.pending_capacity);
  PutEncoded(out, "services", status.services);
  Put(out, "hourlyCost", status.hourly_cost);
  Put(out, "marginalHourlyCost", status.marginal_hourly_cost);
  return body.dump();
}

}  // namespace spillway::crds::v1alpha1
