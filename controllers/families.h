#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "controllers/diff.h"
#include "controllers/stores.h"

namespace spillway::controllers {

// What there is of one pool: children with a controller reference to it, and pods that such a one
// of its attempt's Job, or of a ReplicaSet, vouches for. Labels alone are anybody's to write.
struct Family {
  std::vector<const kube::Job*> jobs;
  std::vector<const kube::Deployment*> deployments;
  std::vector<const kube::Companion*> services;
  std::vector<const kube::Companion*> disruption_budgets;
  std::vector<const kube::Pod*> pods;              // of any attempt, ended ones too
  bool operator==(const Family&) const = default;  // the same objects
};

// Whose each child and each pod of a world is. Points into the world, which must outlive it.
class Families {
 public:
  explicit Families(const World& world);

  // By the pool's place in the world's list of its kind.
  [[nodiscard]] const Family& OfTraining(size_t pool) const { return training_[pool]; }
  [[nodiscard]] const Family& OfServing(size_t pool) const { return serving_[pool]; }
  // The pool that a pod of the world's list is of, by the pod's place there; null: nobody's.
  [[nodiscard]] const kube::ObjectMeta* OwnerOf(size_t pod) const { return owners_[pod]; }
  // Children whose controller is no pool that is there, or that have none: Jobs, Deployments,
  // Services, PodDisruptionBudgets, in this order.
  [[nodiscard]] const std::vector<Leftover>& Strangers() const { return strangers_; }
  // Why a pool's children cannot be made yet: those of an earlier one of its kind and name are
  // there. A sentence; empty: none are.
  [[nodiscard]] std::string EarlierOf(std::string_view kind, const kube::ObjectMeta& pool) const;

 private:
  std::vector<Family> training_;
  std::vector<Family> serving_;
  std::vector<const kube::ObjectMeta*> owners_;
  std::vector<Leftover> strangers_;
  // The first of the strangers by kind, namespace and name of the pool that they were made for.
  std::unordered_map<std::string, Leftover> earlier_;
};

// The attempt that a Job or a pod was made for; 0 where its label says none.
int AttemptOf(const kube::ObjectMeta& meta);

}  // namespace spillway::controllers
