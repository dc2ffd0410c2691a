#pragma once

#include <optional>
#include <string>

#include "base/quantity.h"
#include "kube/client.h"
#include "kube/object_meta.h"

namespace spillway::kube {

enum class PodPhase { kPending, kRunning, kSucceeded, kFailed, kUnknown };

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
  [[nodiscard]] bool UsesNode() const {
    return !node.empty() && phase != PodPhase::kSucceeded && phase != PodPhase::kFailed;
  }
  bool operator==(const Pod&) const = default;
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
