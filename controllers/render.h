#pragma once

#include <string>

#include "crds/v1alpha1/node_group.h"
#include "crds/v1alpha1/training_pool.h"
#include "kube/types/companion.h"
#include "placement/snapshot.h"

namespace spillway::controllers {

// Changes whenever what is rendered below changes (a test notices). Running placements keep the one
// they started with; it is recorded so that a person can tell which build rendered what runs.
inline constexpr const char* kRenderRevision = "4";

struct RenderInput {
  const crds::v1alpha1::TrainingPool* pool = nullptr;
  const crds::v1alpha1::NodeGroup* group = nullptr;  // the placement's; null if it is gone
  placement::PoolMemory memory;                      // with a placement
  std::vector<std::string> hostnames;  // of the placement's nodes: their kubernetes.io/hostname
};

// The objects of one attempt, as JSON. Pure: one function per kind, no client.

// Indexed Job: created once, never applied again. REQUIRES group != nullptr.
std::string RenderJob(const RenderInput& input);
// Headless, so that workers find each other by name before they are ready.
std::string RenderService(const RenderInput& input);
// No eviction takes a single worker out of a gang.
std::string RenderDisruptionBudget(const RenderInput& input);

// The revision that the object carries when it is rendered from this input by this build, found
// without rendering it: what carries it need not be applied again.
std::string ServiceRevision(const RenderInput& input);
std::string DisruptionBudgetRevision(const RenderInput& input);

// How a Service or PodDisruptionBudget stands there: as it is rendered in this revision; so, but
// edited since in what we say of it; or rendered from something else.
enum class Standing { kAsRendered, kEdited, kOther };
Standing StandingOf(const kube::Companion& there, const std::string& revision);

}  // namespace spillway::controllers
