#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/interner.h"
#include "base/quantity.h"
#include "kube/client.h"
#include "kube/object_key.h"
#include "kube/object_meta.h"

namespace spillway::kube {

enum class PodPhase { kPending, kRunning, kSucceeded, kFailed, kUnknown };

inline bool TakesRoom(const std::string& node, PodPhase phase) {
  return !node.empty() && phase != PodPhase::kSucceeded && phase != PodPhase::kFailed;
}

// How a pod ended badly: the first container in pod order that did, init containers and sidecars
// after the others (a sidecar that is killed because the worker died must not hide the worker). A
// pod that was failed as a whole (evicted, deadline) has exit code -1 and the pod's own reason and
// message.
struct PodFailure {
  int exit_code = 0;
  std::string reason;
  std::string message;  // the last 1,024 bytes of it: the end of a log is what tells
  Time finished{};      // the epoch where the pod does not say
  bool operator==(const PodFailure&) const = default;
};

// The facts of a Pod: a foreign one is a few numbers, one of ours has its labels too.
struct Pod {
  ObjectMeta meta;   // labels and annotations under the prefix given to DecodePod only
  std::string node;  // empty: not bound
  PodPhase phase = PodPhase::kPending;
  bool ready = false;                 // the Ready condition
  std::optional<Time> ready_changed;  // when it last changed; absent where the pod has none
  bool disrupted =
      false;  // the DisruptionTarget condition: evicted or preempted, no exit of its own
  int completion_index = -1;  // of an Indexed Job's pod
  Resources requests;         // as DecodePodRequests, and "pods": 1
  std::optional<PodFailure> failure;
  std::string scheduling_message;  // PodScheduled=False: why

  // Takes room on its node: bound and not ended.
  [[nodiscard]] bool UsesNode() const { return TakesRoom(node, phase); }
  // Comes and goes with its node: of a DaemonSet, or the mirror of a static one.
  [[nodiscard]] bool ComesWithNode() const {
    return meta.controller.Get().kind == "DaemonSet" || meta.controller.Get().kind == "Node";
  }
  bool operator==(const Pod&) const = default;
};

// What a store keeps of a pod. Nearly all pods are foreign, and of those decisions read what room
// they take and whether they stay without their node; that, and no more, is here, and equal texts
// and requests of different pods share their memory. A pod with a label of ours is here as a whole
// too.
struct KeptPod {
  struct Meta {
    Interned<std::string> ns;
    std::string name;
    std::string resource_version;
    bool operator==(const Meta&) const = default;
  };
  Meta meta;
  Interned<std::string> node;  // empty: not bound
  Interned<Resources> requests;
  PodPhase phase = PodPhase::kPending;
  bool comes_with_node = false;    // Pod::ComesWithNode
  std::shared_ptr<const Pod> own;  // null: foreign

  // As Pod::UsesNode.
  [[nodiscard]] bool UsesNode() const { return TakesRoom(node.Get(), phase); }
  // The same facts, whatever the version of `own`.
  bool operator==(const KeptPod& other) const;
};
inline KeyView KeyOf(const KeptPod::Meta& meta) { return {meta.ns.Get(), meta.name}; }
inline std::string Key(const KeptPod::Meta& meta) { return Key(meta.ns.Get(), meta.name); }

// Makes what is kept of pods, all of one store; for one thread.
class PodKeeper {
 public:
  // `prefix`: a pod with such a label is ours; as for DecodePod.
  explicit PodKeeper(std::string prefix) : prefix_(std::move(prefix)) {}

  // What is no JSON or of a wrong type is an error only where it is read. `out.meta` is there even
  // then, as far as it was read.
  Status Read(JsonValue value, KeptPod& out);
  KeptPod Keep(Pod pod);

 private:
  KeptPod::Meta KeepMeta(const ObjectMeta& meta);

  std::string prefix_;
  Interner<std::string> texts_;
  Interner<Resources> requests_;
};

// `prefix`: labels and annotations to keep, besides batch.kubernetes.io/job-completion-index.
Status DecodePod(JsonValue value, const std::string& prefix, Pod& out);
// The effective requests of a pod spec by kube-scheduler's rule, without "pods": the sum of
// containers and sidecars (init containers with restartPolicy Always), at least what each init
// container needs with the sidecars before it; cpu, memory and huge pages of spec.resources in
// place of that where set; plus overhead. Limits need no look: the API server has defaulted
// requests from them.
Status DecodePodRequests(JsonValue spec, Resources& out);
const Resource& PodResource();

}  // namespace spillway::kube
