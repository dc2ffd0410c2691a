#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controllers/observe.h"
#include "placement/sharing.h"

// Parts of observe.h, for this folder.
namespace spillway::controllers {

// Adds the inference pools to a snapshot that has its node groups.
void ObserveInferencePools(const World& world, const Families& families, const ObserveInput& input,
                           placement::Sharing& sharing, placement::Snapshot& snapshot);

// A pool's memory as its status has it.
placement::InferenceMemory MemoryOf(const crds::v1alpha1::InferencePoolStatus& status);
// Of all that a variant's pods are made from, the node group aside.
std::string TemplateRevision(const crds::v1alpha1::InferencePoolSpec& spec,
                             const crds::v1alpha1::VariantSpec& variant);

// ---- what pools of both kinds are read by ----

std::vector<placement::Requirement> Requirements(const crds::v1alpha1::Selector& selector);
// "namespace/name".
placement::PoolKey KeyOf(const std::string& text);
// Empty where there is none.
std::string LabelOf(const kube::ObjectMeta& meta, const char* key);

// An amount of money that the API server has checked; nullopt for an empty text.
std::optional<Money> AmountOf(const std::string& text);

struct Priorities {
  std::map<std::string, int64_t> by_name;
  int64_t fallback = 0;  // of pools without a class
};
Priorities ObservePriorities(const World& world);

// A pool's priority, and the sentence that says why its class will not do; empty: it will.
struct PriorityAnswer {
  int64_t value = 0;
  std::string misconfigured;
};
PriorityAnswer PriorityOf(const std::string& class_name, const std::string& ns,
                          const Priorities& priorities, const crds::v1alpha1::PoolQuota* quota);

// A number of accelerators of this type in the template that contradicts the pool's own, which
// stands in `field`; empty: none.
std::string AcceleratorConflict(const std::string& type, int per_pod, const char* field,
                                const PodShape& shape,
                                const std::vector<placement::NodeGroup>& groups);
// The planner adds the accelerators itself, by the group's resource.
Resources WithoutAccelerators(const std::vector<std::string>& types, const PodShape& shape,
                              const std::vector<placement::NodeGroup>& groups);

}  // namespace spillway::controllers
