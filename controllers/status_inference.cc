// The status of an InferencePool.
#include <fmt/format.h>

#include <algorithm>

#include "controllers/conditions.h"
#include "controllers/names.h"
#include "controllers/status.h"

namespace spillway::controllers {
namespace {

using crds::v1alpha1::Condition;
using crds::v1alpha1::InferencePool;
using crds::v1alpha1::InferencePoolStatus;
using placement::InferenceDecision;
using placement::Reason;

void SetTemplateCondition(Conditions& conditions, const placement::InferencePool& facts) {
  for (const placement::Variant& variant : facts.variants) {
    if (variant.template_invalid.empty()) continue;
    conditions.Set("TemplateValid", false, Reason::kTemplateInvalid,
                   fmt::format("variant {}: {}", variant.name, variant.template_invalid));
    return;
  }
  const bool unchecked = std::any_of(facts.variants.begin(), facts.variants.end(),
                                     [](const auto& v) { return v.template_unchecked; });
  if (!unchecked) {
    conditions.Set("TemplateValid", true, Reason::kAsExpected,
                   "the API server takes pods of these templates");
  } else if (!conditions.Keep("TemplateValid")) {
    conditions.SetUnknown(
        "TemplateValid", Reason::kPodsNotReady,
        "the API server has not answered yet whether it takes pods of these templates");
  }
}

std::vector<Condition> PoolConditions(const InferencePool& old, const InferenceDecision& decision,
                                      const placement::InferencePool& facts, Mode mode, Time now) {
  Conditions conditions(old.status.conditions, old.meta.generation, now);
  SetTemplateCondition(conditions, facts);
  // In Observe nothing is done by us: the plan is told.
  const std::string would = mode == Mode::kObserve && decision.action == placement::Action::kScale
                                ? "mode is Observe: would run " + decision.chosen + "; "
                                : "";
  conditions.Set("CapacityMet", decision.capacity_met, decision.capacity_reason,
                 would + decision.capacity_message);
  conditions.Set("Ready", decision.ready, decision.ready_reason, would + decision.ready_message);
  const bool spilled = decision.spilled && would.empty();
  conditions.Set("Spilled", spilled, spilled ? Reason::kPlaced : Reason::kAsExpected,
                 decision.spilled_message.empty() ? "runs nothing outside the home tier"
                                                  : would + decision.spilled_message);
  return conditions.Take();
}

crds::v1alpha1::CellClaimStatus ClaimStatus(const placement::CellClaim& claim) {
  return {.variant = claim.variant,
          .node_group = claim.hold.node_group,
          .replicas = claim.replicas,
          .nodes = claim.hold.nodes,
          .until = claim.hold.until,
          .since = claim.hold.since.value_or(Time()),
          .victims = VictimsOf(claim.hold)};
}

void Remember(const InferenceDecision& decision, InferencePoolStatus& out) {
  const placement::InferenceMemory& memory = decision.memory;
  out.units = memory.units;
  out.requested_units = memory.requested;
  for (const auto& recent : memory.recent) out.recent.push_back({recent.units, recent.until});
  if (memory.step_up) out.step_up = {memory.step_up->since, memory.step_up->units};
  if (memory.step_down) out.step_down = {memory.step_down->since, memory.step_down->units};
  for (const auto& cell : memory.cells) {
    out.cells.push_back({cell.variant, cell.node_group, cell.tier, cell.desired, 0,
                         cell.pending_since, cell.blocked_until, cell.misses, cell.revision});
    for (const auto& decided : decision.cells) {
      if (decided.variant == cell.variant && decided.node_group == cell.node_group) {
        out.cells.back().ready = decided.ready;
      }
    }
  }
  out.queued_since = memory.queued_since;
  out.waiting_since = memory.waiting_since;
  out.home_fits_since = memory.home_fits_since;
  out.short_since = memory.short_since;
  if (memory.claim) out.claim = ClaimStatus(*memory.claim);
  for (const auto& ask : memory.asks) {
    out.asks.push_back({ask.variant, ask.node_group, ask.nodes, ask.replicas, ask.since});
  }
  for (const auto& eviction : memory.evictions) {
    out.evictions.push_back({eviction.time, eviction.cause});
  }
}

// Where requests can be sent, and in which shares: as ready capacity is.
void SetServices(const InferencePool& pool, const InferenceDecision& decision,
                 InferencePoolStatus& out) {
  out.services.push_back({pool.meta.name, {}, 100});
  if (pool.spec.routing_mode != "Weighted") return;
  for (const auto& variant : pool.spec.variants) {
    int weight = 0;
    for (const auto& [name, percent] : decision.weights) {
      if (name == variant.name) weight = percent;
    }
    out.services.push_back(
        {VariantServiceName(pool.meta.name, variant.name), variant.name, weight});
  }
}

}  // namespace

InferencePoolStatus DesiredStatus(const InferencePool& old, const InferenceDecision& decision,
                                  const placement::InferencePool& facts, Mode mode, Time now) {
  if (mode == Mode::kObserve) {
    InferencePoolStatus status = old.status;  // conditions only: nothing durable is ours to write
    status.observed_generation = old.meta.generation;
    status.conditions = PoolConditions(old, decision, facts, mode, now);
    return status;
  }
  InferencePoolStatus status;
  status.observed_generation = old.meta.generation;
  Remember(decision, status);
  status.replicas = decision.ready_units;
  status.selector = std::string(kPoolUidLabel) + "=" + old.meta.uid;
  status.required_capacity = placement::Decimal(decision.required);
  status.ready_capacity = placement::Decimal(decision.ready_capacity);
  status.pending_capacity = placement::Decimal(decision.pending_capacity);
  SetServices(old, decision, status);
  status.hourly_cost = decision.hourly_cost.Format();
  status.marginal_hourly_cost = decision.marginal_hourly_cost.Format();
  status.last_decision = old.status.last_decision;
  if (decision.action == placement::Action::kScale) {
    status.last_decision = {now,
                            std::string(placement::Name(decision.action)),
                            std::string(placement::ReasonName(decision.capacity_reason)),
                            decision.chosen,
                            {}};
    for (const auto& one : decision.rejected) {
      status.last_decision->rejected.push_back({one.mix, one.cost.Format(), one.why});
    }
  }
  status.conditions = PoolConditions(old, decision, facts, mode, now);
  return status;
}

Change Compare(const InferencePoolStatus& was, const InferencePoolStatus& is) {
  if (was == is) return Change::kNone;
  InferencePoolStatus numbers = is;
  numbers.replicas = was.replicas;
  numbers.ready_capacity = was.ready_capacity;
  numbers.pending_capacity = was.pending_capacity;
  numbers.services = was.services;
  numbers.hourly_cost = was.hourly_cost;
  numbers.marginal_hourly_cost = was.marginal_hourly_cost;
  if (numbers.cells.size() == was.cells.size()) {
    for (size_t c = 0; c < numbers.cells.size(); ++c) numbers.cells[c].ready = was.cells[c].ready;
  }
  if (SameMeaning(was.conditions, is.conditions)) numbers.conditions = was.conditions;
  return numbers == was ? Change::kNumbers : Change::kMeaning;
}

}  // namespace spillway::controllers
