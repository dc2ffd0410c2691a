#include "kube/types/pod.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "kube/types/node.h"

namespace spillway::kube {
namespace {

constexpr std::string_view kCompletionIndex = "batch.kubernetes.io/job-completion-index";
constexpr size_t kMessageBytes = 1024;

struct Container {
  std::string name;
  bool sidecar = false;  // an init container that keeps running
  Resources requests;
};

// What of a pod's spec the rest of the decoding needs; containers in pod order.
struct Spec {
  std::string node;
  std::vector<Container> containers;
  std::vector<Container> init_containers;
  Resources pod_level;
  Resources overhead;
};

struct Termination {
  std::string container;
  PodFailure failure;
};

struct Condition {
  std::string type;
  std::string status;
  std::string message;
  std::optional<Time> changed;
};

struct PodStatus {
  std::string reason;
  std::string message;
  std::vector<Condition> conditions;
  std::vector<Termination> containers;
  std::vector<Termination> init_containers;
};

Status ReadRequests(JsonValue value, Resources& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    return key == "requests" ? ReadResources(inner, out) : Ok{};
  });
}

Status DecodeInitContainer(JsonValue value, Container& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "name") return Read(inner, out.name);
    if (key == "resources") return ReadRequests(inner, out.requests);
    if (key == "restartPolicy") {
      std::string policy;
      Status done = Read(inner, policy);
      out.sidecar = policy == "Always";
      return done;
    }
    return Ok{};
  });
}

// Most of a container comes after its resources, and nothing of that is read.
Status DecodeContainer(JsonValue value, Container& out) {
  bool has_name = false;
  bool has_resources = false;
  const auto visit = [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "name") {
      has_name = true;
      return Read(inner, out.name);
    }
    if (key != "resources") return Ok{};
    has_resources = true;
    return ReadRequests(inner, out.requests);
  };
  return VisitObjectUntil(value, visit, [&] { return has_name && has_resources; });
}

Status DecodeSpec(JsonValue value, Spec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "nodeName") return Read(inner, out.node);
    if (key == "containers") return ReadList(inner, out.containers, DecodeContainer);
    if (key == "initContainers") return ReadList(inner, out.init_containers, DecodeInitContainer);
    if (key == "resources") return ReadRequests(inner, out.pod_level);
    if (key == "overhead") return ReadResources(inner, out.overhead);
    return Ok{};
  });
}

// Which resources a pod may ask for as a whole.
bool IsPodLevel(std::string_view name) {
  return name == kCpu || name == kMemory || name.starts_with("hugepages-");
}

// Takes the first one's memory.
Resources TakeSum(std::vector<Container>& containers) {
  Resources total;
  for (Container& container : containers) {
    if (total.empty()) {
      total = std::move(container.requests);
    } else {
      total.Add(container.requests);
    }
  }
  return total;
}

Resources EffectiveRequests(Spec& spec) {
  Resources total = TakeSum(spec.containers);
  Resources sidecars;
  Resources start;  // the most that any moment of the pod's start needs
  for (const Container& container : spec.init_containers) {
    Resources moment = sidecars;
    moment.Add(container.requests);
    start.MaxWith(moment);
    if (container.sidecar) sidecars = std::move(moment);
  }
  total.Add(sidecars);
  total.MaxWith(start);
  for (const auto& [name, amount] : spec.pod_level) {
    if (IsPodLevel(name)) total.Set(name, amount);
  }
  total.Add(spec.overhead);
  return total;
}

// The end of a message, cut where a UTF-8 character begins.
void KeepEnd(std::string& message) {
  if (message.size() <= kMessageBytes) return;
  size_t from = message.size() - kMessageBytes;
  while (from < message.size() && (static_cast<unsigned char>(message[from]) & 0xC0U) == 0x80U) {
    ++from;
  }
  message.erase(0, from);
}

Status DecodeTerminated(JsonValue value, PodFailure& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "exitCode") return Read(inner, out.exit_code);
    if (key == "reason") return Read(inner, out.reason);
    if (key == "message") return Read(inner, out.message);
    if (key == "finishedAt") return Read(inner, out.finished);
    return Ok{};
  });
}

Status DecodeContainerStatus(JsonValue value, Termination& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "name") return Read(inner, out.container);
    if (key != "state") return Ok{};
    return VisitObject(inner, [&](std::string_view state, JsonValue detail) -> Status {
      return state == "terminated" ? DecodeTerminated(detail, out.failure) : Ok{};
    });
  });
}

Status DecodeCondition(JsonValue value, Condition& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "type") return Read(inner, out.type);
    if (key == "status") return Read(inner, out.status);
    if (key == "message") return Read(inner, out.message);
    if (key == "lastTransitionTime") return Read(inner, out.changed);
    return Ok{};
  });
}

Status ReadPhase(JsonValue value, PodPhase& out) {
  std::string text;
  if (Status done = Read(value, text); !done) return done;
  if (text == "Running") {
    out = PodPhase::kRunning;
  } else if (text == "Succeeded") {
    out = PodPhase::kSucceeded;
  } else if (text == "Failed") {
    out = PodPhase::kFailed;
  } else if (!text.empty() && text != "Pending") {
    out = PodPhase::kUnknown;
  }
  return Ok{};
}

Status DecodeStatusField(std::string_view key, JsonValue value, Pod& pod, PodStatus& out) {
  if (key == "phase") return ReadPhase(value, pod.phase);
  if (key == "reason") return Read(value, out.reason);
  if (key == "message") return Read(value, out.message);
  if (key == "conditions") return ReadList(value, out.conditions, DecodeCondition);
  if (key == "containerStatuses") return ReadList(value, out.containers, DecodeContainerStatus);
  if (key == "initContainerStatuses") {
    return ReadList(value, out.init_containers, DecodeContainerStatus);
  }
  return Ok{};
}

// The kubelet sorts statuses by name; the pod's own order says which container is the main one.
const PodFailure* FirstFailure(const std::vector<Container>& order,
                               const std::vector<Termination>& ended) {
  for (const Container& container : order) {
    for (const Termination& one : ended) {
      if (one.container == container.name && one.failure.exit_code != 0) return &one.failure;
    }
  }
  return nullptr;
}

std::optional<PodFailure> FailureOf(const Spec& spec, PodStatus& status, PodPhase phase) {
  const PodFailure* first = FirstFailure(spec.containers, status.containers);
  if (first == nullptr) first = FirstFailure(spec.init_containers, status.init_containers);
  std::optional<PodFailure> failure;
  if (first != nullptr) {
    failure = *first;
  } else if (phase == PodPhase::kFailed) {
    failure = PodFailure{.exit_code = -1, .reason = status.reason, .message = status.message};
  }
  if (failure) KeepEnd(failure->message);
  return failure;
}

void ApplyConditions(const std::vector<Condition>& conditions, Pod& out) {
  for (const Condition& condition : conditions) {
    if (condition.type == "Ready") {
      out.ready = condition.status == "True";
      out.ready_changed = condition.changed;
    }
    if (condition.type == "DisruptionTarget") out.disrupted = condition.status == "True";
    if (condition.type == "PodScheduled" && condition.status == "False") {
      out.scheduling_message = condition.message;
    }
  }
}

// The index comes as annotation and label; once it is a number, neither is kept.
void TakeIndex(TextMap& from, Pod& out) {
  const auto at = from.find(kCompletionIndex);
  if (at == from.end()) return;
  const std::string& text = at->second;
  int index = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error == std::errc() && end == text.data() + text.size() && index >= 0) {
    out.completion_index = index;
  }
  from.erase(at);
}

bool IsOurs(const ObjectMeta& meta, const std::string& prefix) {
  const auto at = meta.labels.lower_bound(prefix);
  return at != meta.labels.end() && at->first.starts_with(prefix);
}

// `briefly`: a foreign pod is read no further than its phase, as long as its metadata and its spec
// come before its status, which they do from every API server.
Status Decode(JsonValue value, const std::string& prefix, bool briefly, Pod& out) {
  const MetaFilter filter{.prefix = prefix, .also = std::string(kCompletionIndex)};
  Spec spec;
  PodStatus status;
  bool foreign = false;
  bool has_spec = false;
  bool has_phase = false;
  const auto enough = [&] { return briefly && foreign && has_spec && has_phase; };
  const auto in_status = [&](std::string_view key, JsonValue inner) -> Status {
    has_phase = has_phase || key == "phase";
    if (briefly && foreign && key != "phase") return Ok{};
    return DecodeStatusField(key, inner, out, status);
  };
  const auto in_pod = [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "metadata") {
      Status read = DecodeMeta(inner, out.meta, filter);
      foreign = !IsOurs(out.meta, prefix);
      return read;
    }
    if (key == "spec") {
      has_spec = true;
      return DecodeSpec(inner, spec);
    }
    return key == "status" ? VisitObjectUntil(inner, in_status, enough) : Ok{};
  };
  if (Status done = VisitObjectUntil(value, in_pod, enough); !done) return done;
  TakeIndex(out.meta.labels, out);
  TakeIndex(out.meta.annotations, out);
  ApplyConditions(status.conditions, out);
  out.failure = FailureOf(spec, status, out.phase);
  out.requests = EffectiveRequests(spec);
  out.requests.Set(kPods, 1);
  out.node = std::move(spec.node);
  return Ok{};
}

bool SameButVersion(const Pod& pod, Pod other) {
  other.meta.resource_version = pod.meta.resource_version;
  return pod == other;
}

bool SameOwn(const std::shared_ptr<const Pod>& own, const std::shared_ptr<const Pod>& other) {
  if (own == nullptr || other == nullptr) return own == other;
  return SameButVersion(*own, *other);
}

}  // namespace

Status DecodePod(JsonValue value, const std::string& prefix, Pod& out) {
  return Decode(value, prefix, false, out);
}

bool KeptPod::operator==(const KeptPod& other) const {
  return meta == other.meta && node == other.node && requests == other.requests &&
         phase == other.phase && comes_with_node == other.comes_with_node &&
         SameOwn(own, other.own);
}

Status PodKeeper::Read(JsonValue value, KeptPod& out) {
  Pod pod;
  Status done = Decode(value, prefix_, true, pod);
  if (done) {
    out = Keep(std::move(pod));
  } else {
    out.meta = KeepMeta(pod.meta);
  }
  return done;
}

KeptPod PodKeeper::Keep(Pod pod) {
  KeptPod out;
  out.meta = KeepMeta(pod.meta);
  out.node = texts_.Of(pod.node);
  out.requests = requests_.Of(pod.requests);
  out.phase = pod.phase;
  out.comes_with_node = pod.ComesWithNode();
  if (IsOurs(pod.meta, prefix_)) out.own = std::make_shared<const Pod>(std::move(pod));
  return out;
}

KeptPod::Meta PodKeeper::KeepMeta(const ObjectMeta& meta) {
  return {texts_.Of(meta.ns), meta.name, meta.resource_version};
}

Status DecodePodRequests(JsonValue spec, Resources& out) {
  Spec facts;
  if (Status done = DecodeSpec(spec, facts); !done) return done;
  out = EffectiveRequests(facts);
  return Ok{};
}

const Resource& PodResource() {
  static const Resource kPod{"", "v1", "pods", "Pod", true};
  return kPod;
}

}  // namespace spillway::kube
