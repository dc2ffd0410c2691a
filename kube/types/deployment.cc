#include "kube/types/deployment.h"

#include <charconv>
#include <string>

namespace spillway::kube {
namespace {

// An integer or a percentage ("25%") of the replicas, which becomes -1.
Status ReadIntOrPercent(JsonValue value, int& out) {
  if (IsNull(value)) return Ok{};
  std::string text;
  if (Status done = ReadScalarText(value, text); !done) return done;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, out);
  if (error == std::errc() && end == last) return Ok{};
  if (!text.ends_with('%')) return JsonError("is neither an integer nor a percentage");
  out = -1;
  return Ok{};
}

Status DecodeRollingUpdate(JsonValue value, Deployment& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "maxSurge") return ReadIntOrPercent(inner, out.max_surge);
    if (key == "maxUnavailable") return ReadIntOrPercent(inner, out.max_unavailable);
    return Ok{};
  });
}

Status DecodeStrategy(JsonValue value, Deployment& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    return key == "rollingUpdate" ? DecodeRollingUpdate(inner, out) : Ok{};
  });
}

Status DecodeSpec(JsonValue value, Deployment& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "replicas") return Read(inner, out.replicas);
    if (key == "strategy") return DecodeStrategy(inner, out);
    return Ok{};
  });
}

Status DecodeCondition(JsonValue value, Deployment& out) {
  std::string type;
  std::string status;
  std::string reason;
  Status done = VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "type") return Read(inner, type);
    if (key == "status") return Read(inner, status);
    if (key == "reason") return Read(inner, reason);
    return Ok{};
  });
  if (type == "Progressing") {
    out.stuck = status == "False" && reason == "ProgressDeadlineExceeded";
  }
  return done;
}

Status DecodeStatus(JsonValue value, Deployment& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "replicas") return Read(inner, out.status_replicas);
    if (key == "updatedReplicas") return Read(inner, out.updated_replicas);
    if (key == "readyReplicas") return Read(inner, out.ready_replicas);
    if (key == "observedGeneration") return Read(inner, out.observed_generation);
    if (key != "conditions") return Ok{};
    return VisitArray(inner, [&](JsonValue item) { return DecodeCondition(item, out); });
  });
}

}  // namespace

Status DecodeDeployment(JsonValue value, Deployment& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "metadata") return DecodeMeta(inner, out.meta, {});
    if (key == "spec") return DecodeSpec(inner, out);
    if (key == "status") return DecodeStatus(inner, out);
    return Ok{};
  });
}

const Resource& DeploymentResource() {
  static const Resource kDeployment{"apps", "v1", "deployments", "Deployment", true};
  return kDeployment;
}

}  // namespace spillway::kube
