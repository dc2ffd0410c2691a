#include "placement/compare.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <tuple>
#include <utility>

namespace spillway::placement {
namespace {

PoolState StateOf(const PoolDecision& decision) {
  if (decision.memory.completed) {
    return decision.memory.succeeded ? PoolState::kCompleted : PoolState::kFailed;
  }
  return decision.placed ? PoolState::kPlaced : PoolState::kNotPlaced;
}

Outcome OutcomeOf(const PoolDecision& decision) {
  Outcome out;
  out.state = StateOf(decision);
  out.reason = decision.placed_reason;
  out.ready_reason = decision.ready_reason;
  out.position = decision.position;
  out.hourly_cost = decision.hourly_cost;
  out.marginal_hourly_cost = decision.marginal_hourly_cost;
  out.message = decision.placed_message;
  if (out.state != PoolState::kPlaced || !decision.memory.placement) return out;
  const Placement& placement = *decision.memory.placement;
  out.parts = {{.variant = "", .node_group = placement.node_group, .count = placement.workers}};
  out.nodes = placement.nodes;
  out.attempt = placement.attempt;
  return out;
}

Outcome OutcomeOf(const InferenceDecision& decision) {
  Outcome out;
  out.state = decision.capacity_met ? PoolState::kCapacityMet : PoolState::kCapacityShort;
  out.reason = decision.capacity_reason;
  out.ready_reason = decision.ready_reason;
  for (const CellDecision& cell : decision.cells) {
    if (cell.desired == 0) continue;
    out.parts.push_back(
        {.variant = cell.variant, .node_group = cell.node_group, .count = cell.desired});
  }
  out.position = decision.position;
  out.hourly_cost = decision.hourly_cost;
  out.marginal_hourly_cost = decision.marginal_hourly_cost;
  out.message = decision.capacity_message;
  return out;
}

HourlyCosts CostsOf(const Plan& plan) {
  HourlyCosts out;
  const auto add = [&](const auto& decision) {
    out.pools += decision.hourly_cost;
    out.pools_marginal += decision.marginal_hourly_cost;
  };
  for (const PoolDecision& decision : plan.pools) add(decision);
  for (const InferenceDecision& decision : plan.inference_pools) add(decision);
  for (const GroupReport& group : plan.groups) {
    out.nodes += group.hourly_cost;
    out.nodes_idle += group.idle_hourly_cost;
  }
  return out;
}

// By key, then kind.
using Outcomes = std::map<std::pair<PoolKey, std::string>,
                          std::pair<std::optional<Outcome>, std::optional<Outcome>>>;

template <class Decision>
void Collect(const std::vector<Decision>& before, const std::vector<Decision>& after,
             const std::string& kind, Outcomes& out) {
  for (const Decision& one : before) out[{one.key, kind}].first = OutcomeOf(one);
  for (const Decision& one : after) out[{one.key, kind}].second = OutcomeOf(one);
}

}  // namespace

std::string_view Name(PoolState state) {
  constexpr std::array<std::string_view, 6> kNames = {"NotPlaced", "Placed",      "Completed",
                                                      "Failed",    "CapacityMet", "CapacityShort"};
  return kNames.at(static_cast<size_t>(state));
}

bool SameOutcome(const Outcome& a, const Outcome& b) {
  const auto facts = [](const Outcome& one) {
    return std::tie(one.state, one.reason, one.ready_reason, one.parts, one.nodes, one.attempt,
                    one.position, one.hourly_cost, one.marginal_hourly_cost);
  };
  return facts(a) == facts(b);
}

bool Differs(const Comparison& comparison) {
  return !comparison.changes.empty() || comparison.before != comparison.after;
}

Result<Comparison> Compare(const Snapshot& before, const Plan& plan_before, const Snapshot& after,
                           const Plan& plan_after) {
  if (before.currency != after.currency) {
    return Error{Code::kInvalid,
                 fmt::format("the first snapshot counts in {}, the second in {}: the costs of "
                             "their plans cannot be compared",
                             before.currency, after.currency)};
  }
  Outcomes outcomes;
  Collect(plan_before.pools, plan_after.pools, "TrainingPool", outcomes);
  Collect(plan_before.inference_pools, plan_after.inference_pools, "InferencePool", outcomes);
  Comparison out;
  out.currency = after.currency;
  out.compared = static_cast<int>(outcomes.size());
  for (const auto& [pool, pair] : outcomes) {
    const auto& [was, is] = pair;
    if (was && is && SameOutcome(*was, *is)) continue;
    out.changes.push_back({.key = pool.first, .kind = pool.second, .before = was, .after = is});
  }
  out.before = CostsOf(plan_before);
  out.after = CostsOf(plan_after);
  return out;
}

}  // namespace spillway::placement
