#pragma once

#include <optional>
#include <string>

#include "base/hash.h"

// The words that stand on objects in the cluster. They are part of the API: changing one orphans
// what is there.
namespace spillway::controllers {

inline constexpr const char* kPrefix = "spillway.dev/";
inline constexpr const char* kManagedByLabel = "app.kubernetes.io/managed-by";
inline constexpr const char* kManagedBy = "spillway";
inline constexpr const char* kPoolLabel = "spillway.dev/pool";
inline constexpr const char* kPoolUidLabel = "spillway.dev/pool-uid";
inline constexpr const char* kAttemptLabel = "spillway.dev/attempt";
inline constexpr const char* kVariantLabel = "spillway.dev/variant";  // also an annotation
inline constexpr const char* kNodeGroupAnnotation = "spillway.dev/node-group";
inline constexpr const char* kCellLabel = "spillway.dev/cell";          // CellHash
inline constexpr const char* kTemplateLabel = "spillway.dev/template";  // TemplateRevision
inline constexpr const char* kPlacementAnnotation = "spillway.dev/placement";
inline constexpr const char* kRevisionAnnotation = "spillway.dev/revision";
// On a TrainingPool: when its program wrote its last checkpoint.
inline constexpr const char* kCheckpointAnnotation = "spillway.dev/last-checkpoint";
// On a TrainingPool: how many seconds of its work are left, as its program says.
inline constexpr const char* kRemainingAnnotation = "spillway.dev/remaining-seconds";
inline constexpr const char* kLinkAnnotation = "spillway.dev/link";  // on a NodeGroup; "down"
// On a Node that its elastic group gives back: since when it is cordoned for that; and which
// Machine was marked to be the one that goes: "cluster.x-k8s.io/v1beta2 capi/burst-7".
inline constexpr const char* kLeavingAnnotation = "spillway.dev/leaving";
inline constexpr const char* kMachineAnnotation = "spillway.dev/leaving-machine";
inline constexpr const char* kFieldManager = "spillway";
inline constexpr const char* kStatusManager = "spillway-status";
inline constexpr const char* kWorkerPriorityClass = "spillway-training";
inline constexpr const char* kServingPriorityClass = "spillway-serving";
// What kube-scheduler and kubelets call a node; our pin is by this label.
inline constexpr const char* kHostnameLabel = "kubernetes.io/hostname";

inline std::string TrainServiceName(const std::string& pool) { return pool + "-train"; }
inline std::string TrainJobName(const std::string& pool, int attempt) {
  return pool + "-train-" + std::to_string(attempt);
}

// A variant on a node group, whose names may be too long for a label or an object's name.
inline std::string CellHash(const std::string& variant, const std::string& node_group) {
  return HashHex(variant + "/" + node_group, 8);
}
inline std::string CellName(const std::string& pool, const std::string& variant,
                            const std::string& node_group) {
  return pool + "-" + CellHash(variant, node_group);
}
inline std::string VariantServiceName(const std::string& pool, const std::string& variant) {
  return pool + "-" + variant;
}

}  // namespace spillway::controllers
