#include "kube/types/node.h"

#include <utility>

namespace spillway::kube {
namespace {

Status DecodeTaint(JsonValue value, Taint& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "key") return Read(inner, out.key);
    if (key == "value") return Read(inner, out.value);
    if (key == "effect") return Read(inner, out.effect);
    return Ok{};
  });
}

Status ReadConditionField(std::string_view key, JsonValue inner, NodeCondition& out) {
  if (key == "type") return Read(inner, out.type);
  if (key == "status") return Read(inner, out.status);
  if (key == "lastTransitionTime") return Read(inner, out.changed);
  return Ok{};
}

Status DecodeCondition(JsonValue value, NodeCondition& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) {
    return ReadConditionField(key, inner, out);
  });
}

Status ReadSpecField(std::string_view key, JsonValue inner, Node& out) {
  if (key == "unschedulable") return Read(inner, out.unschedulable);
  if (key == "taints") return ReadList(inner, out.taints, DecodeTaint);
  return Ok{};
}

Status DecodeSpec(JsonValue value, Node& out) {
  return VisitObject(
      value, [&](std::string_view key, JsonValue inner) { return ReadSpecField(key, inner, out); });
}

Status DecodeStatus(JsonValue value, Node& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "conditions") return ReadList(inner, out.conditions, DecodeCondition);
    if (key == "allocatable") return ReadResources(inner, out.allocatable);
    return Ok{};
  });
}

Status DecodeToldCondition(JsonValue value, NodeDetails& out) {
  NodeCondition condition;
  std::string message;
  Status read = VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "message") return Read(inner, message);
    return ReadConditionField(key, inner, condition);
  });
  if (!read) return read;
  if (!message.empty()) out.condition_messages[condition.type] = std::move(message);
  out.node.conditions.push_back(std::move(condition));
  return Ok{};
}

Status DecodeNodeInfo(JsonValue value, NodeDetails& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "architecture") return Read(inner, out.architecture);
    if (key == "kernelVersion") return Read(inner, out.kernel);
    if (key == "kubeletVersion") return Read(inner, out.kubelet);
    return Ok{};
  });
}

Status DecodeDetailedSpec(JsonValue value, NodeDetails& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "providerID") return Read(inner, out.provider_id);
    return ReadSpecField(key, inner, out.node);
  });
}

Status DecodeDetailedStatus(JsonValue value, NodeDetails& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "capacity") return ReadResources(inner, out.capacity);
    if (key == "allocatable") return ReadResources(inner, out.node.allocatable);
    if (key == "nodeInfo") return DecodeNodeInfo(inner, out);
    if (key != "conditions") return Ok{};
    return VisitArray(inner, [&](JsonValue one) { return DecodeToldCondition(one, out); });
  });
}

}  // namespace

Status DecodeNode(JsonValue value, const std::string& prefix, Node& out) {
  const MetaFilter filter{.prefix = prefix, .all_labels = true};
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "metadata") return DecodeMeta(inner, out.meta, filter);
    if (key == "spec") return DecodeSpec(inner, out);
    if (key == "status") return DecodeStatus(inner, out);
    return Ok{};
  });
}

Status DecodeNodeDetails(JsonValue value, NodeDetails& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "metadata") return DecodeMeta(inner, out.node.meta, MetaFilter{});
    if (key == "spec") return DecodeDetailedSpec(inner, out);
    if (key == "status") return DecodeDetailedStatus(inner, out);
    return Ok{};
  });
}

Status ReadResources(JsonValue value, Resources& out) {
  std::string text;
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (IsNull(inner)) return Ok{};
    if (Status done = ReadScalarText(inner, text); !done) return done;
    Result<int64_t> amount = ParseResource(key, text);
    if (!amount) return std::move(amount).error();
    out.Set(key, *amount);
    return Ok{};
  });
}

const Resource& NodeResource() {
  static const Resource kNode{"", "v1", "nodes", "Node", false};
  return kNode;
}

}  // namespace spillway::kube
