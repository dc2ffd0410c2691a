#include "placement/plan_text.h"

#include <algorithm>

#include "placement/estimates.h"
#include "placement/plan_fields.h"
#include "placement/remedies.h"
#include "placement/text_emit.h"

namespace spillway::placement {
namespace {

template <class Decision>
std::vector<Decision> OfPool(const std::vector<Decision>& decisions, const PoolKey& key) {
  std::vector<Decision> out;
  for (const Decision& decision : decisions) {
    if (decision.key == key) out.push_back(decision);
  }
  return out;
}

}  // namespace

std::string WritePlan(const Snapshot& snapshot, const Plan& plan, Form form) {
  text::DocumentText document(form);
  document.Field("now", snapshot.now);
  document.Field("currency", snapshot.currency);
  document.Field("nextWake", plan.next_wake);
  document.List("pools", plan.pools);
  document.List("inferencePools", plan.inference_pools);
  document.List("groups", plan.groups);
  document.List("quotas", plan.quotas);
  return document.Take();
}

std::string WriteWhy(const Snapshot& snapshot, const Plan& plan, const PoolKey& key, Form form) {
  text::DocumentText document(form);
  document.Field("now", snapshot.now);
  document.Field("currency", snapshot.currency);
  std::vector<PoolDecision> pools = OfPool(plan.pools, key);
  std::vector<InferenceDecision> inference = OfPool(plan.inference_pools, key);
  const auto look = [&snapshot](auto& decision) {
    decision.alternatives = AlternativesFor(snapshot, decision);
  };
  std::for_each(pools.begin(), pools.end(), look);
  std::for_each(inference.begin(), inference.end(), look);
  for (PoolDecision& pool : pools) pool.remedies = RemediesFor(snapshot, pool);
  document.List("pools", pools);
  document.List("inferencePools", inference);
  for (const PoolDecision& pool : pools) document.Field("estimate", EstimateFor(snapshot, pool));
  return document.Take();
}

}  // namespace spillway::placement
