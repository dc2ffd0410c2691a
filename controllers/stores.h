#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controllers/pod_indices.h"
#include "crds/v1alpha1/inference_pool.h"
#include "crds/v1alpha1/node_group.h"
#include "crds/v1alpha1/pool_quota.h"
#include "crds/v1alpha1/training_pool.h"
#include "kube/store.h"
#include "kube/types/companion.h"
#include "kube/types/deployment.h"
#include "kube/types/job.h"
#include "kube/types/node.h"
#include "kube/types/pod.h"

namespace spillway::controllers {

// Everything of one cluster that decisions read. Each store has one writer, its reflector.
struct Stores {
  explicit Stores(const std::function<void()>& on_change);

  kube::Store<kube::Node> nodes;
  OthersByNode others_by_node;  // of `pods`, to be read within its Look
  OwnPods own_pods;             // likewise
  kube::Store<kube::KeptPod> pods;
  kube::Store<kube::Job> jobs;                      // only those with our managed-by label
  kube::Store<kube::Deployment> deployments;        // likewise
  kube::Store<kube::Companion> services;            // likewise
  kube::Store<kube::Companion> disruption_budgets;  // likewise
  kube::Store<kube::PriorityClass> priority_classes;
  kube::Store<crds::v1alpha1::NodeGroup> node_groups;
  kube::Store<crds::v1alpha1::TrainingPool> training_pools;
  kube::Store<crds::v1alpha1::InferencePool> inference_pools;
  kube::Store<crds::v1alpha1::PoolQuota> pool_quotas;

  // The names of the stores that have not had their first list; empty: all are there.
  [[nodiscard]] std::vector<std::string> Unsynced() const;
  void SetOnAdvance(const std::function<void()>& on_advance);
};

// One moment of the stores: shared const values, sorted by key.
struct World {
  std::vector<std::shared_ptr<const kube::Node>> nodes;
  std::string pods_version;                            // all that happened to pods up to it is in
  std::vector<std::shared_ptr<const kube::Pod>> pods;  // those with a label of ours
  std::vector<OthersOnNode> others;                    // what all other pods take, by node
  std::vector<std::shared_ptr<const kube::Job>> jobs;
  std::vector<std::shared_ptr<const kube::Deployment>> deployments;
  std::vector<std::shared_ptr<const kube::Companion>> services;
  std::vector<std::shared_ptr<const kube::Companion>> disruption_budgets;
  std::vector<std::shared_ptr<const kube::PriorityClass>> priority_classes;
  std::vector<std::shared_ptr<const crds::v1alpha1::NodeGroup>> node_groups;
  std::vector<std::shared_ptr<const crds::v1alpha1::TrainingPool>> training_pools;
  std::vector<std::shared_ptr<const crds::v1alpha1::InferencePool>> inference_pools;
  std::vector<std::shared_ptr<const crds::v1alpha1::PoolQuota>> pool_quotas;
};

// Nodes are read before pods: a pod on a node that came meanwhile counts nowhere for one pass,
// which heals by itself; the other way round a new node could look free while its pods were
// missing. Our own kinds are read last, so that a commit is never older than the pods it led to.
World ReadWorld(const Stores& stores);

}  // namespace spillway::controllers
