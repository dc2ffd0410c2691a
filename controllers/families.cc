#include "controllers/families.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "controllers/names.h"
#include "controllers/observe_inference.h"

namespace spillway::controllers {
namespace {

using crds::v1alpha1::InferencePool;
using crds::v1alpha1::TrainingPool;

bool IsWorkerOf(const kube::Pod& pod, const TrainingPool& pool) {
  return pod.meta.ns == pool.meta.ns && pod.meta.controller.Get().kind == "Job" &&
         pod.meta.controller.Get().name == TrainJobName(pool.meta.name, AttemptOf(pod.meta));
}

// The ReplicaSet is not read: its pod's labels say which pool it is of, in the pool's namespace.
bool IsReplicaOf(const kube::Pod& pod, const InferencePool& pool) {
  return pod.meta.ns == pool.meta.ns && pod.meta.controller.Get().kind == "ReplicaSet" &&
         LabelOf(pod.meta, kPoolUidLabel) == pool.meta.uid;
}

// A pool that is there, and where it stands among those of its kind.
struct Living {
  const TrainingPool* training = nullptr;
  const InferencePool* serving = nullptr;
  size_t place = 0;

  [[nodiscard]] const kube::ObjectMeta& Meta() const {
    return training != nullptr ? training->meta : serving->meta;
  }
  [[nodiscard]] bool Has(const kube::Pod& pod) const {
    return training != nullptr ? IsWorkerOf(pod, *training) : IsReplicaOf(pod, *serving);
  }
};
using LivingByUid = std::unordered_map<std::string_view, Living>;

LivingByUid LivingIn(const World& world) {
  LivingByUid living;
  living.reserve(world.training_pools.size() + world.inference_pools.size());
  for (size_t i = 0; i < world.training_pools.size(); ++i) {
    const TrainingPool* pool = world.training_pools[i].get();
    living.emplace(pool->meta.uid, Living{pool, nullptr, i});
  }
  for (size_t i = 0; i < world.inference_pools.size(); ++i) {
    const InferencePool* pool = world.inference_pools[i].get();
    living.emplace(pool->meta.uid, Living{nullptr, pool, i});
  }
  return living;
}

std::string EarlierKey(std::string_view kind, const std::string& ns, const std::string& pool) {
  return fmt::format("{} {}/{}", kind, ns, pool);
}

// A Job is never an InferencePool's; of others, their controller says it. Anybody may label a
// Service: one that no pool made is in the way only if it has our name.
std::string_view MadeBy(const Leftover& stranger) {
  if (*stranger.resource == kube::JobResource()) return "TrainingPool";
  return stranger.meta->controller.Get().kind;
}

}  // namespace

Families::Families(const World& world)
    : training_(world.training_pools.size()), serving_(world.inference_pools.size()) {
  const LivingByUid living = LivingIn(world);
  const auto of = [&](const Living& pool) -> Family& {
    return pool.training != nullptr ? training_[pool.place] : serving_[pool.place];
  };
  const auto add = [&](const auto& objects, const kube::Resource& resource, auto member) {
    for (const auto& object : objects) {
      const kube::ObjectMeta& meta = object->meta;
      const auto at = living.find(meta.controller.Get().uid);
      if (at != living.end() && at->second.Meta().ns == meta.ns) {
        (of(at->second).*member).push_back(object.get());
      } else {
        strangers_.push_back({&resource, &meta});
      }
    }
  };
  add(world.jobs, kube::JobResource(), &Family::jobs);
  add(world.deployments, kube::DeploymentResource(), &Family::deployments);
  add(world.services, kube::ServiceResource(), &Family::services);
  add(world.disruption_budgets, kube::PodDisruptionBudgetResource(), &Family::disruption_budgets);
  owners_.reserve(world.pods.size());
  for (const auto& pod : world.pods) {
    owners_.push_back(nullptr);
    const auto uid = pod->meta.labels.find(kPoolUidLabel);
    const auto at = uid == pod->meta.labels.end() ? living.end() : living.find(uid->second);
    if (at == living.end() || !at->second.Has(*pod)) continue;
    of(at->second).pods.push_back(pod.get());
    owners_.back() = &at->second.Meta();
  }
  for (const Leftover& stranger : strangers_) {
    const std::string pool = LabelOf(*stranger.meta, kPoolLabel);
    if (pool.empty()) continue;
    earlier_.emplace(EarlierKey(MadeBy(stranger), stranger.meta->ns, pool), stranger);
  }
}

std::string Families::EarlierOf(std::string_view kind, const kube::ObjectMeta& pool) const {
  if (earlier_.empty()) return {};  // as in most passes
  const auto at = earlier_.find(EarlierKey(kind, pool.ns, pool.name));
  if (at == earlier_.end()) return {};
  return fmt::format("{} {} belongs to an earlier {} of this name; waiting until it is gone",
                     at->second.resource->kind, at->second.meta->name, kind);
}

int AttemptOf(const kube::ObjectMeta& meta) {
  const auto label = meta.labels.find(kAttemptLabel);
  if (label == meta.labels.end()) return 0;
  const std::string& text = label->second;
  const bool number = !text.empty() && text.size() < 9 &&
                      std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  return number ? std::stoi(text) : 0;
}

}  // namespace spillway::controllers
