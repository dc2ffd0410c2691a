#include "crds/v1alpha1/node_group.h"

#include "crds/v1alpha1/encode.h"

namespace spillway::crds::v1alpha1 {
namespace {

using kube::JsonValue;
using kube::Read;
using kube::ReadList;
using kube::VisitObject;

Status DecodeBadCondition(JsonValue value, BadCondition& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "type") return Read(field, out.type);
    if (key == "status") return Read(field, out.status);
    return Ok{};
  });
}

Status DecodeBadTaint(JsonValue value, BadTaint& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "key") return Read(field, out.key);
    if (key == "value") return Read(field, out.value);
    if (key == "effect") return Read(field, out.effect);
    return Ok{};
  });
}

Status DecodeHealth(JsonValue value, NodeGroupSpec::Health& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "startupGraceSeconds") return Read(field, out.startup_grace_seconds);
    if (key == "notReadyGraceSeconds") return Read(field, out.not_ready_grace_seconds);
    if (key == "maxUnhealthyPercent") return Read(field, out.max_unhealthy_percent);
    if (key == "badConditions") return ReadList(field, out.bad_conditions, DecodeBadCondition);
    if (key == "badTaints") return ReadList(field, out.bad_taints, DecodeBadTaint);
    return Ok{};
  });
}

Status DecodeAccelerator(JsonValue value, NodeGroupSpec::Accelerator& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "type") return Read(field, out.type);
    if (key == "resource") return Read(field, out.resource);
    if (key == "perNode") return Read(field, out.per_node);
    return Ok{};
  });
}

Status DecodeCost(JsonValue value, NodeGroupSpec::Cost& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "perNodeHour") return Read(field, out.per_node_hour);
    if (key == "marginalPerNodeHour") return Read(field, out.marginal_per_node_hour);
    if (key == "currency") return Read(field, out.currency);
    return Ok{};
  });
}

Status DecodePodDefaults(JsonValue value, NodeGroupSpec::PodDefaults& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "env") {
      return ReadList(field, out.env, [](JsonValue v, EnvVar& e) { return Decode(v, e); });
    }
    if (key == "resources") return Decode(field, out.resources);
    return Ok{};
  });
}

Status DecodeInterconnect(JsonValue value, NodeGroupSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "domainLabels") return Read(field, out.domain_labels);
    return Ok{};
  });
}

Status DecodeTarget(JsonValue value, ScaleTarget& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "apiVersion") return Read(field, out.api_version);
    if (key == "kind") return Read(field, out.kind);
    if (key == "namespace") return Read(field, out.ns);
    if (key == "name") return Read(field, out.name);
    if (key == "replicasPath") return Read(field, out.replicas_path);
    return Ok{};
  });
}

Status DecodeBackoff(JsonValue value, ElasticSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "initialSeconds") return Read(field, out.backoff_initial_seconds);
    if (key == "maxSeconds") return Read(field, out.backoff_max_seconds);
    return Ok{};
  });
}

Status DecodeElastic(JsonValue value, std::optional<ElasticSpec>& out) {
  if (kube::IsNull(value)) return Ok{};
  ElasticSpec& elastic = out.emplace();
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "minNodes") return Read(field, elastic.min_nodes);
    if (key == "maxNodes") return Read(field, elastic.max_nodes);
    if (key == "stepNodes") return Read(field, elastic.step_nodes);
    if (key == "singleDomain") return Read(field, elastic.single_domain);
    if (key == "nodeShape") return Decode(field, elastic.node_shape);
    if (key == "target") return DecodeTarget(field, elastic.target);
    if (key == "provisionTimeoutSeconds") return Read(field, elastic.provision_timeout_seconds);
    if (key == "stockoutBackoff") return DecodeBackoff(field, elastic);
    if (key == "maxHourlyCost") return Read(field, elastic.max_hourly_cost);
    if (key == "scaleDownDelaySeconds") {
      return Read(field, elastic.scale_down_delay_seconds.emplace());
    }
    return Ok{};
  });
}

Status DecodeSpec(JsonValue value, NodeGroupSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "provider") return Read(field, out.provider);
    if (key == "tier") return Read(field, out.tier);
    if (key == "admission") return Read(field, out.admission);
    if (key == "selector") return DecodeSelector(field, out.selector);
    if (key == "accelerator") return DecodeAccelerator(field, out.accelerator);
    if (key == "capacityType") return Read(field, out.capacity_type);
    if (key == "cost") return DecodeCost(field, out.cost);
    if (key == "interconnect") return DecodeInterconnect(field, out);
    if (key == "tolerations") {
      return ReadList(field, out.tolerations,
                      [](JsonValue v, Toleration& t) { return Decode(v, t); });
    }
    if (key == "podDefaults") return DecodePodDefaults(field, out.pod_defaults);
    if (key == "health") return DecodeHealth(field, out.health);
    if (key == "elastic") return DecodeElastic(field, out.elastic);
    return Ok{};
  });
}

Status DecodeNodes(JsonValue value, NodeGroupStatus::Nodes& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "matched") return Read(field, out.matched);
    if (key == "usable") return Read(field, out.usable);
    if (key == "starting") return Read(field, out.starting);
    if (key == "cordoned") return Read(field, out.cordoned);
    if (key == "unhealthy") return Read(field, out.unhealthy);
    if (key == "draining") return Read(field, out.draining);
    return Ok{};
  });
}

Status DecodeAccelerators(JsonValue value, NodeGroupStatus::Accelerators& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "allocatable") return Read(field, out.allocatable);
    if (key == "used") return Read(field, out.used);
    if (key == "free") return Read(field, out.free);
    return Ok{};
  });
}

Status DecodeDomain(JsonValue value, NodeGroupStatus::LargestFreeDomain& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "nodes") return Read(field, out.nodes);
    if (key == "domain") return Read(field, out.domain);
    return Ok{};
  });
}

Status DecodeSpare(JsonValue value, std::optional<SpareNodesStatus>& out) {
  if (kube::IsNull(value)) return Ok{};
  SpareNodesStatus& spare = out.emplace();
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "nodes") return Read(field, spare.nodes);
    if (key == "since") return Read(field, spare.since);
    return Ok{};
  });
}

Status DecodeLeaving(JsonValue value, std::optional<LeavingNodesStatus>& out) {
  if (kube::IsNull(value)) return Ok{};
  LeavingNodesStatus& leaving = out.emplace();
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "nodes") {
      return ReadList(field, leaving.nodes, [](JsonValue v, std::string& s) { return Read(v, s); });
    }
    if (key == "since") return Read(field, leaving.since);
    if (key == "replicas") return Read(field, leaving.replicas.emplace());
    if (key == "lowered") return Read(field, leaving.lowered);
    return Ok{};
  });
}

Status DecodeScale(JsonValue value, std::optional<ScaleStatus>& out) {
  if (kube::IsNull(value)) return Ok{};
  ScaleStatus& scale = out.emplace();
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "desired") return Read(field, scale.desired);
    if (key == "target") return Read(field, scale.target.emplace());
    if (key == "observed") return Read(field, scale.observed);
    if (key == "spare") return DecodeSpare(field, scale.spare);
    if (key == "leaving") return DecodeLeaving(field, scale.leaving);
    return Ok{};
  });
}

Status DecodeStockout(JsonValue value, std::optional<StockoutStatus>& out) {
  if (kube::IsNull(value)) return Ok{};
  StockoutStatus& stockout = out.emplace();
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "since") return Read(field, stockout.since);
    if (key == "attempts") return Read(field, stockout.attempts);
    if (key == "nextTry") return Read(field, stockout.next_try);
    return Ok{};
  });
}

Status DecodeStatus(JsonValue value, NodeGroupStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "observedGeneration") return Read(field, out.observed_generation);
    if (key == "nodes") return DecodeNodes(field, out.nodes);
    if (key == "accelerators") return DecodeAccelerators(field, out.accelerators);
    if (key == "largestFreeDomain") return DecodeDomain(field, out.largest_free_domain);
    if (key == "scale") return DecodeScale(field, out.scale);
    if (key == "stockout") return DecodeStockout(field, out.stockout);
    if (key == "hourlyCost") return Read(field, out.hourly_cost);
    if (key == "idleHourlyCost") return Read(field, out.idle_hourly_cost);
    if (key == "marginalHourlyCost") return Read(field, out.marginal_hourly_cost);
    if (key == "conditions") {
      return ReadList(field, out.conditions,
                      [](JsonValue v, Condition& c) { return Decode(v, c); });
    }
    return Ok{};
  });
}

}  // namespace

const kube::Resource& NodeGroupResource() {
  static const kube::Resource kResource{kGroup, kVersion, "nodegroups", "NodeGroup", false};
  return kResource;
}

Status DecodeNodeGroup(JsonValue value, NodeGroup& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "metadata") return kube::DecodeMeta(field, out.meta, {});
    if (key == "spec") return DecodeSpec(field, out.spec);
    if (key == "status") return DecodeStatus(field, out.status);
    return Ok{};
  });
}

namespace {

// Numbers come with a price, if only of 0; without one nobody has counted: in Observe nobody does.
void EncodeNumbers(detail::Json& out, const NodeGroupStatus& status) {
  if (status.hourly_cost.empty()) return;
  const auto& nodes = status.nodes;
  const auto& accelerators = status.accelerators;
  out["nodes"] = {{"matched", nodes.matched},     {"usable", nodes.usable},
                  {"starting", nodes.starting},   {"cordoned", nodes.cordoned},
                  {"unhealthy", nodes.unhealthy}, {"draining", nodes.draining}};
  out["accelerators"] = {{"allocatable", accelerators.allocatable},
                         {"used", accelerators.used},
                         {"free", accelerators.free}};
  out["largestFreeDomain"] = {{"nodes", status.largest_free_domain.nodes}};
  detail::Put(out["largestFreeDomain"], "domain", status.largest_free_domain.domain);
  detail::Put(out, "hourlyCost", status.hourly_cost);
  detail::Put(out, "idleHourlyCost", status.idle_hourly_cost);
  detail::Put(out, "marginalHourlyCost", status.marginal_hourly_cost);
}

detail::Json EncodeLeaving(const LeavingNodesStatus& leaving) {
  detail::Json out = {{"nodes", leaving.nodes}, {"since", FormatTime(leaving.since)}};
  if (leaving.replicas) out["replicas"] = *leaving.replicas;
  if (leaving.lowered) out["lowered"] = true;
  return out;
}

void EncodeMemory(detail::Json& out, const NodeGroupStatus& status) {
  if (status.scale) {
    out["scale"] = {{"desired", status.scale->desired}, {"observed", status.scale->observed}};
    if (status.scale->target) out["scale"]["target"] = *status.scale->target;
    if (const auto& spare = status.scale->spare) {
      out["scale"]["spare"] = {{"nodes", spare->nodes}, {"since", FormatTime(spare->since)}};
    }
    if (const auto& leaving = status.scale->leaving) {
      out["scale"]["leaving"] = EncodeLeaving(*leaving);
    }
  }
  if (status.stockout) {
    out["stockout"] = {{"since", FormatTime(status.stockout->since)},
                       {"attempts", status.stockout->attempts},
                       {"nextTry", FormatTime(status.stockout->next_try)}};
  }
}

}  // namespace

std::string EncodeStatusUpdate(const NodeGroup& object, const NodeGroupStatus& status) {
  using detail::Json;
  Json body = detail::StatusUpdateEnvelope(NodeGroupResource(), object.meta);
  Json& out = body["status"];
  out = {{"observedGeneration", status.observed_generation},
         {"conditions", detail::EncodeConditions(status.conditions)}};
  EncodeNumbers(out, status);
  EncodeMemory(out, status);
  return body.dump();
}

}  // namespace spillway::crds::v1alpha1
