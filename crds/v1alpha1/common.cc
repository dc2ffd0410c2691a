#include "crds/v1alpha1/common.h"

#include <algorithm>

#include "crds/v1alpha1/encode.h"

namespace spillway::crds::v1alpha1 {

using kube::JsonValue;
using kube::Read;

const Condition* FindCondition(const std::vector<Condition>& conditions, const std::string& type) {
  const auto at = std::find_if(conditions.begin(), conditions.end(),
                               [&](const Condition& c) { return c.type == type; });
  return at == conditions.end() ? nullptr : &*at;
}

Status DecodeEviction(JsonValue value, EvictionStatus& out) {
  return kube::VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "time") return Read(field, out.time);
    if (key == "cause") return Read(field, out.cause);
    return Ok{};
  });
}

Status Decode(JsonValue value, Condition& out) {
  return kube::VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "type") return Read(field, out.type);
    if (key == "status") return Read(field, out.status);
    if (key == "reason") return Read(field, out.reason);
    if (key == "message") return Read(field, out.message);
    if (key == "lastTransitionTime") return Read(field, out.changed);
    if (key == "observedGeneration") return Read(field, out.observed_generation);
    return Ok{};
  });
}

namespace {

Status DecodeRequirement(JsonValue value, Requirement& out) {
  return kube::VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "key") return Read(field, out.key);
    if (key == "operator") return Read(field, out.op);
    if (key == "values") return Read(field, out.values);
    return Ok{};
  });
}

}  // namespace

Status DecodeSelector(JsonValue value, Selector& out) {
  out.clear();
  kube::TextMap match_labels;
  std::vector<Requirement> expressions;
  Status done = kube::VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "matchLabels") return Read(field, match_labels);
    if (key == "matchExpressions") return kube::ReadList(field, expressions, DecodeRequirement);
    return Ok{};
  });
  for (const auto& [key, label] : match_labels) out.push_back({key, "In", {label}});
  out.insert(out.end(), expressions.begin(), expressions.end());
  return done;
}

Status Decode(JsonValue value, Toleration& out) {
  return kube::VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "key") return Read(field, out.key);
    if (key == "operator") return Read(field, out.op);
    if (key == "value") return Read(field, out.value);
    if (key == "effect") return Read(field, out.effect);
    return Ok{};
  });
}

Status Decode(JsonValue value, EnvVar& out) {
  return kube::VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "name") return Read(field, out.name);
    if (key == "value") return Read(field, out.value);
    return Ok{};
  });
}

Status Decode(JsonValue value, Resources& out) {
  return kube::VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    std::string text;
    if (Status done = kube::ReadScalarText(field, text); !done) return done;
    auto amount = ParseResource(key, text);
    if (!amount) return std::move(amount).error();
    out.Set(key, *amount);
    return Ok{};
  });
}

namespace detail {

Json StatusUpdateEnvelope(const kube::Resource& resource, const kube::ObjectMeta& meta) {
  Json metadata = {
      {"name", meta.name}, {"uid", meta.uid}, {"resourceVersion", meta.resource_version}};
  if (!meta.ns.empty()) metadata["namespace"] = meta.ns;
  return {{"apiVersion", resource.ApiVersion()}, {"kind", resource.kind}, {"metadata", metadata}};
}

Json EncodeEvictions(const std::vector<EvictionStatus>& evictions) {
  Json out = Json::array();
  for (const EvictionStatus& eviction : evictions) {
    out.push_back({{"time", FormatTime(eviction.time)}, {"cause", eviction.cause}});
  }
  return out;
}

Json EncodeConditions(const std::vector<Condition>& conditions) {
  Json list = Json::array();
  for (const Condition& condition : conditions) {
    list.push_back({{"type", condition.type},
                    {"status", condition.status},
                    {"reason", condition.reason},
                    {"message", condition.message},
                    {"lastTransitionTime", FormatTime(condition.changed)},
                    {"observedGeneration", condition.observed_generation}});
  }
  return list;
}

void Put(Json& to, const char* key, const std::optional<Time>& time) {
  if (time) to[key] = FormatTime(*time);
}

void Put(Json& to, const char* key, const std::string& text) {
  if (!text.empty()) to[key] = text;
}

}  // namespace detail
}  // namespace spillway::crds::v1alpha1
