#pragma once

#include <string>

#include "crds/v1alpha1/inference_pool.h"
#include "crds/v1alpha1/node_group.h"

namespace spillway::controllers {

// One cell of an inference pool, to be rendered.
struct CellInput {
  const crds::v1alpha1::InferencePool* pool = nullptr;
  const crds::v1alpha1::VariantSpec* variant = nullptr;
  const crds::v1alpha1::NodeGroup* group = nullptr;
  int replicas = 0;
  int surge = 0;  // pods beyond replicas while its template changes; 0: `unavailable` go first
  int unavailable = 0;
};

// The objects of an inference pool, as JSON. Pure: one function per kind, no client.

// A Deployment of the cell's replicas, kept to nodes that the group selects.
std::string RenderDeployment(const CellInput& input);
// A JSON patch of the Deployment with that uid: replicas and steps, and with `roll` the template.
// What runs keeps its template otherwise: no upgrade and no edit of a NodeGroup restarts a pod.
std::string PatchDeployment(const CellInput& input, const std::string& uid, bool roll);

// The same where nothing but the number of replicas is known any more.
std::string PatchReplicas(const std::string& uid, int replicas);

// Leads to all ready pods of the pool, or (with a variant) to those of one variant.
std::string RenderServingService(const crds::v1alpha1::InferencePool& pool,
                                 const crds::v1alpha1::VariantSpec* variant);
std::string RenderServingBudget(const crds::v1alpha1::InferencePool& pool);

// The revision that the object carries when it is rendered from this input by this build, found
// without rendering it.
std::string ServingServiceRevision(const crds::v1alpha1::InferencePool& pool,
                                   const crds::v1alpha1::VariantSpec* variant);
std::string ServingBudgetRevision(const crds::v1alpha1::InferencePool& pool);

// A JSON patch that brings the Service or PodDisruptionBudget that is there, rendered before or
// edited since, to what is rendered now: what we say of its spec is replaced whole, so that nothing
// of before is left in it.
std::string PatchTo(const std::string& rendered, const kube::ObjectMeta& there);

}  // namespace spillway::controllers
