#pragma once

#include <optional>
#include <string>

#include "base/quantity.h"
#include "kube/client.h"
#include "kube/object_meta.h"

namespace spillway::kube {

enum class PodPhase { kPending, kRunning, kSucceeded, kFailed, kUnknown };

// How a container of a pod ended badly (the first in pod order that did).
struct PodFailure {
  int exit_code = 0;
  std::string reason;
  std::string message;  // at most 1,024 bytes of it
  Time finished{};
  bool operator==(const PodFailure&) const = default;
};

// The facts of a Pod: a foreign one is a few numbers, one of ours has its labels too.
struct Pod {
  ObjectMeta meta;  // labels and annotations under the prefix given to DecodePod only
  std::string node;  // empty: not bound
  PodPhase phase = PodPhase::kPending;
  bool ready = false;       // the Ready condition
  int completion_index = -1;  // of an Indexed Job's pod
  Resources requests;       // by the scheduler's rule: max(sum of containers and sidecars, init) + overhead; "pods": 1
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
// The effective requests of a pod spec, by the scheduler's rule, without "pods".
Status DecodePodRequests(JsonValue spec, Resources& out);
const Resource& PodResource();

}  // namespace spillway::kube
