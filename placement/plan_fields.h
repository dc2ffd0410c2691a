#pragma once

#include <string>
#include <utility>

#include "placement/estimates.h"
#include "placement/plan.h"
#include "placement/snapshot_fields.h"

// A plan's vocabulary, written once: for every value its fields, each with the name it has in YAML
// and JSON. What the statuses of the CRDs have stands here under the same name.
namespace spillway::placement::text {

template <class A>
void Fields(A& a, Of<Alternative> /*type*/) {
  a("name", &Alternative::group);
  a("fits", &Alternative::fits);
  a("reason", &Alternative::reason);
  a("message", &Alternative::message);
}

template <class A>
void Fields(A& a, Of<Reservation> /*type*/) {
  a("nodeGroup", &Reservation::node_group);
  a("nodes", &Reservation::nodes);
  a("startsBy", &Reservation::starts_by);
  a("after", &Reservation::after);
}

template <class A>
void Fields(A& a, Of<Estimate> /*type*/) {
  a("nodeGroup", &Estimate::node_group);
  a("startsBy", &Estimate::starts_by);
  a("after", &Estimate::after);
  a("endless", &Estimate::endless);
}

template <class A>
void FieldsOfConditions(A& a, Of<PoolDecision> /*type*/) {
  a.Group("Placed", [](auto& g) {
    g.Words("status", &PoolDecision::placed, "True", "False");
    g("reason", &PoolDecision::placed_reason);
    g("message", &PoolDecision::placed_message);
  });
  a.Group("Ready", [](auto& g) {
    g.Words("status", &PoolDecision::ready, "True", "False");
    g("reason", &PoolDecision::ready_reason);
    g("message", &PoolDecision::ready_message);
  });
  a.Group("Spilled", [](auto& g) {
    g.Words("status", &PoolDecision::spilled, "True", "False");
    g("message", &PoolDecision::spilled_message);
  });
}

template <class A>
void Fields(A& a, Of<PoolDecision> type) {
  a("namespace", &PoolDecision::key, &PoolKey::ns);
  a("name", &PoolDecision::key, &PoolKey::name);
  a("uid", &PoolDecision::uid);
  a("action", &PoolDecision::action);
  a("status", &PoolDecision::memory);
  a("mayStart", &PoolDecision::may_start);
  a("keepJob", &PoolDecision::keep_job);
  a("forceDelete", &PoolDecision::force_delete);
  a("stuckPods", &PoolDecision::stuck_pods);
  a.Group("conditions", [type](auto& g) { FieldsOfConditions(g, type); });
  a.Group("workers", [](auto& g) {
    g("wanted", &PoolDecision::workers_wanted);
    g("active", &PoolDecision::workers_active);
    g("ready", &PoolDecision::workers_ready);
    g("succeeded", &PoolDecision::workers_succeeded);
  });
  a("hourlyCost", &PoolDecision::hourly_cost);
  a("marginalHourlyCost", &PoolDecision::marginal_hourly_cost);
  a("alternatives", &PoolDecision::alternatives);
  a("remedies", &PoolDecision::remedies);
  a("position", &PoolDecision::position);
  a("reservation", &PoolDecision::reservation);
}

template <class A>
void Fields(A& a, Of<CellDecision> /*type*/) {
  a("variant", &CellDecision::variant);
  a("nodeGroup", &CellDecision::node_group);
  a("tier", &CellDecision::tier);
  a("desired", &CellDecision::desired);
  a("before", &CellDecision::before);
  a("ready", &CellDecision::ready);
  a("accelerator", &CellDecision::accelerator);
  a("accelerators", &CellDecision::accelerators);
  a("hourlyCost", &CellDecision::hourly_cost);
  a("roll", &CellDecision::roll);
  a("surge", &CellDecision::surge);
  a("unavailable", &CellDecision::unavailable);
}

using Weight = std::pair<std::string, int>;

template <class A>
void Fields(A& a, Of<Weight> /*type*/) {
  a("variant", &Weight::first);
  a("weight", &Weight::second);
}

template <class A>
void Fields(A& a, Of<RejectedMix> /*type*/) {
  a("mix", &RejectedMix::mix);
  a("cost", &RejectedMix::cost);
  a("why", &RejectedMix::why);
}

template <class A>
void FieldsOfConditions(A& a, Of<InferenceDecision> /*type*/) {
  a.Group("CapacityMet", [](auto& g) {
    g.Words("status", &InferenceDecision::capacity_met, "True", "False");
    g("reason", &InferenceDecision::capacity_reason);
    g("message", &InferenceDecision::capacity_message);
  });
  a.Group("Ready", [](auto& g) {
    g.Words("status", &InferenceDecision::ready, "True", "False");
    g("reason", &InferenceDecision::ready_reason);
    g("message", &InferenceDecision::ready_message);
  });
  a.Group("Spilled", [](auto& g) {
    g.Words("status", &InferenceDecision::spilled, "True", "False");
    g("message", &InferenceDecision::spilled_message);
  });
}

template <class A>
void Fields(A& a, Of<InferenceDecision> type) {
  a("namespace", &InferenceDecision::key, &PoolKey::ns);
  a("name", &InferenceDecision::key, &PoolKey::name);
  a("uid", &InferenceDecision::uid);
  a("action", &InferenceDecision::action);
  a("status", &InferenceDecision::memory);
  a("cells", &InferenceDecision::cells);
  a("evict", &InferenceDecision::evict);
  a("forceDelete", &InferenceDecision::force_delete);
  a.Decimal("requiredCapacity", &InferenceDecision::required);
  a.Decimal("readyCapacity", &InferenceDecision::ready_capacity);
  a.Decimal("pendingCapacity", &InferenceDecision::pending_capacity);
  a("replicas", &InferenceDecision::ready_units);
  a("weights", &InferenceDecision::weights);
  a.Group("conditions", [type](auto& g) { FieldsOfConditions(g, type); });
  a("chosen", &InferenceDecision::chosen);
  a("rejected", &InferenceDecision::rejected);
  a("hourlyCost", &InferenceDecision::hourly_cost);
  a("marginalHourlyCost", &InferenceDecision::marginal_hourly_cost);
  a("alternatives", &InferenceDecision::alternatives);
  a("remedies", &InferenceDecision::remedies);
  a("position", &InferenceDecision::position);
}

template <class A>
void FieldsOfConditions(A& a, Of<GroupReport> /*type*/) {
  a.Group("Ready", [](auto& g) {
    g.Words("status", &GroupReport::ready, "True", "False");
    g("reason", &GroupReport::ready_reason);
    g("message", &GroupReport::ready_message);
  });
  a.Group("NoOverlap", [](auto& g) {
    g.Words("status", &GroupReport::no_overlap, "True", "False");
    g("message", &GroupReport::overlap_message);
  });
  a.Group("ShapeMatches", [](auto& g) {
    g.Words("status", &GroupReport::shape_matches, "True", "False");
    g("message", &GroupReport::shape_message);
  });
  a.Group("LinkHealthy", [](auto& g) {
    g.Words("status", &GroupReport::link_healthy, "True", "False");
    g("message", &GroupReport::link_message);
  });
}

template <class A>
void Fields(A& a, Of<GroupReport> type) {
  a("name", &GroupReport::name);
  a.Group("nodes", [](auto& g) {
    g("matched", &GroupReport::matched);
    g("usable", &GroupReport::usable);
    g("starting", &GroupReport::starting);
    g("cordoned", &GroupReport::cordoned);
    g("unhealthy", &GroupReport::unhealthy);
    g("draining", &GroupReport::draining);
    g("notReady", &GroupReport::not_ready);
  });
  a.Group("accelerators", [](auto& g) {
    g("allocatable", &GroupReport::allocatable);
    g("used", &GroupReport::used);
    g("free", &GroupReport::free);
  });
  a.Group("largestFreeDomain", [](auto& g) {
    g("nodes", &GroupReport::largest_free_domain_nodes);
    g("domain", &GroupReport::largest_free_domain);
  });
  a("hourlyCost", &GroupReport::hourly_cost);
  a("idleHourlyCost", &GroupReport::idle_hourly_cost);
  a("marginalHourlyCost", &GroupReport::marginal_hourly_cost);
  a.Group("scale", [](auto& g) {
    g("desired", &GroupReport::memory, &GroupMemory::desired);
    g("observed", &GroupReport::there);
    g("spare", &GroupReport::memory, &GroupMemory::spare);
    g("leaving", &GroupReport::memory, &GroupMemory::leaving);
  });
  a("stockout", &GroupReport::memory, &GroupMemory::stockout);
  a.Group("conditions", [type](auto& g) { FieldsOfConditions(g, type); });
}

template <class A>
void Fields(A& a, Of<QuotaUse> /*type*/) {
  a("type", &QuotaUse::type);
  a("used", &QuotaUse::used);
  a("limit", &QuotaUse::limit);
  a("guaranteed", &QuotaUse::guaranteed);
  a("borrowed", &QuotaUse::borrowed);
  a("lent", &QuotaUse::lent);
}

template <class A>
void Fields(A& a, Of<BudgetReport> /*type*/) {
  a("amount", &BudgetReport::amount);
  a("spent", &BudgetReport::spent);
  a("periodEnd", &BudgetReport::period_end);
  a("status", &BudgetReport::memory);
}

template <class A>
void Fields(A& a, Of<SpendReport> /*type*/) {
  a("hourlyCost", &SpendReport::hourly_cost);
  a("maxHourlyCost", &SpendReport::max_hourly_cost);
  a("budget", &SpendReport::budget);
}

template <class A>
void Fields(A& a, Of<QuotaReport> /*type*/) {
  a("namespace", &QuotaReport::ns);
  a("accelerators", &QuotaReport::accelerators);
  a("spend", &QuotaReport::spend);
  a.Group("conditions", [](auto& g) {
    g.Group("GuaranteesCovered", [](auto& c) {
      c.Words("status", &QuotaReport::guarantees_covered, "True", "False");
      c("message", &QuotaReport::guarantees_message);
    });
  });
}

}  // namespace spillway::placement::text
