#include "placement/verification.h"

#include <fmt/format.h>

#include <algorithm>

#include "placement/text_emit.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

Status Broken(const std::string& what) { return Error{Code::kInternal, what}; }

// The first pool for which `wrong` holds of its decisions in two plans of the same pools.
template <class Decision, class Wrong>
const Decision* FindWrong(const std::vector<Decision>& plan, const std::vector<Decision>& other,
                          Wrong wrong) {
  const auto [here, there] =
      std::mismatch(plan.begin(), plan.end(), other.begin(), other.end(),
                    [&](const Decision& one, const Decision& two) { return !wrong(one, two); });
  return there == other.end() ? nullptr : &*there;
}

Status ChangesNothingOnceApplied(const Snapshot& snapshot, const Plan& plan) {
  const Plan next = MakePlan(Applied(snapshot, plan));
  // Whatever is done to a pool is remembered of it.
  const auto changes = [](const auto& applied, const auto& again) {
    return applied.memory != again.memory;
  };
  const auto broken = [](const auto& decision) {
    return Broken(fmt::format("{} would change again once the plan is applied: {}",
                              decision.key.Format(), Name(decision.action)));
  };
  if (const auto* pool = FindWrong(plan.pools, next.pools, changes)) return broken(*pool);
  if (const auto* pool = FindWrong(plan.inference_pools, next.inference_pools, changes)) {
    return broken(*pool);
  }
  return Ok{};
}

Snapshot Reversed(Snapshot snapshot) {
  const auto reverse = [](auto& list) { std::reverse(list.begin(), list.end()); };
  reverse(snapshot.groups);
  reverse(snapshot.nodes);
  reverse(snapshot.pools);
  reverse(snapshot.inference_pools);
  reverse(snapshot.quotas);
  reverse(snapshot.default_limits);
  for (TrainingPool& pool : snapshot.pools) reverse(pool.workers);
  for (InferencePool& pool : snapshot.inference_pools) {
    reverse(pool.live);
    reverse(pool.cells);
  }
  return snapshot;
}

Status IsTheSameInAnyOrder(const Snapshot& snapshot, const Plan& plan) {
  const Plan other = MakePlan(Reversed(snapshot));
  const auto differ = [](const auto& one, const auto& two) { return one != two; };
  const auto broken = [](const std::string& who) {
    return Broken(who + " is planned otherwise when the same facts stand in another order");
  };
  if (const auto* pool = FindWrong(plan.pools, other.pools, differ)) {
    return broken(pool->key.Format());
  }
  if (const auto* pool = FindWrong(plan.inference_pools, other.inference_pools, differ)) {
    return broken(pool->key.Format());
  }
  if (plan != other) return broken("a node group, a quota or the next wake");
  return Ok{};
}

int64_t ChangesOf(const Plan& plan) {
  const auto changes = [](const auto& decision) { return Changes(decision.action); };
  return std::ranges::count_if(plan.pools, changes) +
         std::ranges::count_if(plan.inference_pools, changes);
}

}  // namespace

Status VerifyThoroughly(const Snapshot& snapshot, const Plan& plan) {
  if (Status status = Verify(snapshot, plan); !status) return status;
  if (Status status = ChangesNothingOnceApplied(snapshot, plan); !status) return status;
  return IsTheSameInAnyOrder(snapshot, plan);
}

std::string FormatVerification(const Snapshot& snapshot, const Plan& plan) {
  return fmt::format(
      "planned {} and {} on {} of {}: {}\n"
      "every invariant holds\n"
      "the plan of the applied plan changes nothing\n"
      "the same facts in another order give the same plan\n",
      Count(std::ssize(plan.pools), "TrainingPool"),
      Count(std::ssize(plan.inference_pools), "InferencePool"),
      Count(std::ssize(snapshot.nodes), "node"), Count(std::ssize(plan.groups), "node group"),
      Count(ChangesOf(plan), "change"));
}

std::string WriteVerification(const Snapshot& snapshot, const Plan& plan, const Status& sound,
                              Form form) {
  text::DocumentText document(form);
  document.Field("sound", sound.ok());
  document.Field("broken", sound ? std::string() : sound.error().message);
  document.Field("trainingPools", int64_t{std::ssize(plan.pools)});
  document.Field("inferencePools", int64_t{std::ssize(plan.inference_pools)});
  document.Field("nodes", int64_t{std::ssize(snapshot.nodes)});
  document.Field("nodeGroups", int64_t{std::ssize(plan.groups)});
  document.Field("changes", ChangesOf(plan));
  return document.Take();
}

}  // namespace spillway::placement
