#include "kube/types/job.h"

#include <algorithm>
#include <utility>

namespace spillway::kube {
namespace {

struct Condition {
  std::string type;
  std::string status;
  std::string reason;
  std::string message;
  Time changed{};
};

Status DecodeCondition(JsonValue value, Condition& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "type") return Read(inner, out.type);
    if (key == "status") return Read(inner, out.status);
    if (key == "reason") return Read(inner, out.reason);
    if (key == "message") return Read(inner, out.message);
    if (key == "lastTransitionTime") return Read(inner, out.changed);
    return Ok{};
  });
}

void NoteTime(const Condition& condition, Job& out) {
  if (condition.changed == Time{}) return;
  out.finished = std::min(out.finished.value_or(condition.changed), condition.changed);
}

// FailureTarget comes first and says the same as Failed, which waits for the pods to be gone.
void ApplyCondition(const Condition& condition, Job& out) {
  if (condition.status != "True") return;
  if (condition.type == "Complete") {
    out.complete = true;
    NoteTime(condition, out);
  }
  if (condition.type == "Failed" || condition.type == "FailureTarget") {
    out.failed_condition = true;
    NoteTime(condition, out);
    out.failure_reason = condition.reason;
    out.failure_message = condition.message;
  }
}

Status DecodeStatus(JsonValue value, Job& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "active") return Read(inner, out.active);
    if (key == "ready") return Read(inner, out.ready);
    if (key == "succeeded") return Read(inner, out.succeeded);
    if (key == "failed") return Read(inner, out.failed);
    if (key != "conditions") return Ok{};
    return VisitArray(inner, [&](JsonValue item) -> Status {
      Condition condition;
      if (Status done = DecodeCondition(item, condition); !done) return done;
      ApplyCondition(condition, out);
      return Ok{};
    });
  });
}

}  // namespace

Status DecodeJob(JsonValue value, Job& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "metadata") return DecodeMeta(inner, out.meta, {});
    if (key == "status") return DecodeStatus(inner, out);
    return Ok{};
  });
}

Status DecodeMetaOnly(JsonValue value, MetaOnly& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    return key == "metadata" ? DecodeMeta(inner, out.meta, {}) : Ok{};
  });
}

Status DecodePriorityClass(JsonValue value, PriorityClass& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "metadata") return DecodeMeta(inner, out.meta, {});
    if (key == "value") return Read(inner, out.value);
    if (key == "globalDefault") return Read(inner, out.global_default);
    return Ok{};
  });
}

}  // namespace spillway::kube
