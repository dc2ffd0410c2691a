#pragma once

#include <cstddef>

#include "crds/v1alpha1/inference_pool.h"
#include "crds/v1alpha1/node_group.h"
#include "crds/v1alpha1/pool_quota.h"
#include "crds/v1alpha1/training_pool.h"
#include "kube/types/companion.h"
#include "kube/types/deployment.h"
#include "kube/types/job.h"
#include "kube/types/node.h"
#include "kube/types/pod.h"

namespace spillway::controllers {

// How many bytes an object of a store keeps on the heap, beside itself: a store's measure. What is
// Interned counts nothing, as it belongs to many; words that always fit in a string itself are left
// out. A test holds it against the heap. Any thread.
size_t BytesBeside(const kube::Node& node);
size_t BytesBeside(const kube::KeptPod& pod);
size_t BytesBeside(const kube::Job& job);
size_t BytesBeside(const kube::Deployment& deployment);
size_t BytesBeside(const kube::Companion& companion);
size_t BytesBeside(const kube::PriorityClass& priority_class);
size_t BytesBeside(const crds::v1alpha1::NodeGroup& group);
size_t BytesBeside(const crds::v1alpha1::TrainingPool& pool);
size_t BytesBeside(const crds::v1alpha1::InferencePool& pool);
size_t BytesBeside(const crds::v1alpha1::PoolQuota& quota);

}  // namespace spillway::controllers
