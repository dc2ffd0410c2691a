#pragma once

#include "placement/snapshot.h"

// The text form's vocabulary: for every value its fields, each with the name it has in the text.
// Written once; the reader and the writer both walk these lists, so they cannot disagree.
//
// An archive `a` takes a("name", &T::member), a("name", &T::part, &Part::member) for a member of a
// part that has no name of its own, a.Words("name", &T::flag, word_if_true, word_if_false), and
// a.Group("name", [](auto& g) {…}) for fields of T that stand together under one name.
namespace spillway::placement::text {

template <class T>
struct Of {};

template <class A>
void Fields(A& a, Of<Requirement> /*type*/) {
  a("key", &Requirement::key);
  a("operator", &Requirement::op);
  a("values", &Requirement::values);
}

template <class A>
void Fields(A& a, Of<Taint> /*type*/) {
  a("key", &Taint::key);
  a("value", &Taint::value);
  a("effect", &Taint::effect);
}

template <class A>
void Fields(A& a, Of<Toleration> /*type*/) {
  a("key", &Toleration::key);
  a("operator", &Toleration::op);
  a("value", &Toleration::value);
  a("effect", &Toleration::effect);
}

template <class A>
void Fields(A& a, Of<Cluster> /*type*/) {
  a("name", &Cluster::name);
  a("unreachableSince", &Cluster::unreachable_since);
}

template <class A>
void Fields(A& a, Of<Node> /*type*/) {
  a("cluster", &Node::id, &NodeId::cluster);
  a("name", &Node::id, &NodeId::name);
  a("labels", &Node::labels);
  a("taints", &Node::taints);
  a("allocatable", &Node::allocatable);
  a("used", &Node::used);
  a("created", &Node::created);
  a("ready", &Node::ready);
  a("notReadySince", &Node::not_ready_since);
  a("cordoned", &Node::cordoned);
  a("starting", &Node::starting);
  a("draining", &Node::draining);
  a("outOfService", &Node::out_of_service);
  a("otherPods", &Node::other_pods);
  a("heldSince", &Node::held_since);
  a("conditions", &Node::conditions);
}

template <class A>
void Fields(A& a, Of<BadCondition> /*type*/) {
  a("type", &BadCondition::type);
  a("status", &BadCondition::status);
}

template <class A>
void Fields(A& a, Of<BadTaint> /*type*/) {
  a("key", &BadTaint::key);
  a("value", &BadTaint::value);
  a("effect", &BadTaint::effect);
}

template <class A>
void Fields(A& a, Of<Elastic> /*type*/) {
  a("minNodes", &Elastic::min_nodes);
  a("maxNodes", &Elastic::max_nodes);
  a("stepNodes", &Elastic::step_nodes);
  a("singleDomain", &Elastic::single_domain);
  a("nodeShape", &Elastic::node_shape);
  a("provisionTimeoutSeconds", &Elastic::provision_timeout);
  a.Group("stockoutBackoff", [](auto& g) {
    g("initialSeconds", &Elastic::backoff_initial);
    g("maxSeconds", &Elastic::backoff_max);
  });
  a("scaleDownDelaySeconds", &Elastic::scale_down_delay);
  a("maxHourlyCost", &Elastic::max_hourly_cost);
}

template <class A>
void Fields(A& a, Of<Stockout> /*type*/) {
  a("since", &Stockout::since);
  a("attempts", &Stockout::attempts);
  a("nextTry", &Stockout::next_try);
}

template <class A>
void Fields(A& a, Of<SpareNodes> /*type*/) {
  a("nodes", &SpareNodes::nodes);
  a("since", &SpareNodes::since);
}

template <class A>
void Fields(A& a, Of<LeavingNodes> /*type*/) {
  a("nodes", &LeavingNodes::nodes);
  a("since", &LeavingNodes::since);
  a("replicas", &LeavingNodes::replicas);
  a("lowered", &LeavingNodes::lowered);
}

template <class A>
void Fields(A& a, Of<GroupMemory> /*type*/) {
  a.Group("scale", [](auto& g) {
    g("desired", &GroupMemory::desired);
    g("spare", &GroupMemory::spare);
    g("leaving", &GroupMemory::leaving);
  });
  a("stockout", &GroupMemory::stockout);
}

template <class A>
void Fields(A& a, Of<NodeGroup> /*type*/) {
  a("name", &NodeGroup::name);
  a("cluster", &NodeGroup::cluster);
  a("labels", &NodeGroup::labels);
  a("provider", &NodeGroup::provider);
  a("tier", &NodeGroup::tier);
  a("admission", &NodeGroup::admission);
  a("selector", &NodeGroup::selector);
  a.Group("accelerator", [](auto& g) {
    g("type", &NodeGroup::accelerator);
    g("resource", &NodeGroup::resource);
    g("perNode", &NodeGroup::per_node);
  });
  a("capacityType", &NodeGroup::capacity_type);
  a.Group("cost", [](auto& g) {
    g("perNodeHour", &NodeGroup::per_node_hour);
    g("marginalPerNodeHour", &NodeGroup::marginal_per_node_hour);
  });
  a.Group("interconnect", [](auto& g) { g("domainLabels", &NodeGroup::domain_labels); });
  a("tolerations", &NodeGroup::tolerations);
  a.Group("podDefaults", [](auto& g) { g("resources", &NodeGroup::pod_defaults); });
  a.Group("health", [](auto& g) {
    g("startupGraceSeconds", &NodeGroup::startup_grace);
    g("notReadyGraceSeconds", &NodeGroup::not_ready_grace);
    g("maxUnhealthyPercent", &NodeGroup::max_unhealthy_percent);
    g("badConditions", &NodeGroup::bad_conditions);
    g("badTaints", &NodeGroup::bad_taints);
  });
  a("linkDown", &NodeGroup::link_down);
  a("linkHealthySince", &NodeGroup::link_healthy_since);
  a("misconfigured", &NodeGroup::misconfigured);
  a("elastic", &NodeGroup::elastic);
  a("targetReplicas", &NodeGroup::target_replicas);
  a("targetFixed", &NodeGroup::target_fixed);
  a("leavingStay", &NodeGroup::leaving_stay);
  a("status", &NodeGroup::memory);
}

template <class A>
void Fields(A& a, Of<AcceptedAccelerator> /*type*/) {
  a("type", &AcceptedAccelerator::type);
  a("workers", &AcceptedAccelerator::workers);
  a("minWorkers", &AcceptedAccelerator::min_workers);
}

template <class A>
void Fields(A& a, Of<Placement> /*type*/) {
  a("cluster", &Placement::cluster);
  a("nodeGroup", &Placement::node_group);
  a("accelerator", &Placement::accelerator);
  a("domain", &Placement::domain);
  a("tier", &Placement::tier);
  a("workers", &Placement::workers);
  a("acceleratorsPerWorker", &Placement::per_worker);
  a("nodes", &Placement::nodes);
  a("attempt", &Placement::attempt);
  a("renderRevision", &Placement::render_revision);
  a("specRevision", &Placement::spec_revision);
  a("since", &Placement::since);
}

template <class A>
void Fields(A& a, Of<Failure> /*type*/) {
  a("attempt", &Failure::attempt);
  a("worker", &Failure::worker);
  a("node", &Failure::node);
  a("exitCode", &Failure::exit_code);
  a("reason", &Failure::reason);
  a("message", &Failure::message);
  a("time", &Failure::time);
}

template <class A>
void Fields(A& a, Of<ExcludedNode> /*type*/) {
  a("name", &ExcludedNode::name);
  a("until", &ExcludedNode::until);
  a("reason", &ExcludedNode::reason);
}

template <class A>
void Fields(A& a, Of<Hold> /*type*/) {
  a("nodeGroup", &Hold::node_group);
  a("domain", &Hold::domain);
  a("nodes", &Hold::nodes);
  a("until", &Hold::until);
  a("since", &Hold::since);
  a("victims", &Hold::victims);
  a("replicas", &Hold::replicas);
  a("shrinks", &Hold::shrinks);
}

template <class A>
void Fields(A& a, Of<NodeAsk> /*type*/) {
  a("nodeGroup", &NodeAsk::node_group);
  a("nodes", &NodeAsk::nodes);
  a("workers", &NodeAsk::workers);
  a("since", &NodeAsk::since);
}

template <class A>
void Fields(A& a, Of<Eviction> /*type*/) {
  a("time", &Eviction::time);
  a("cause", &Eviction::cause);
}

template <class A>
void Fields(A& a, Of<PoolMemory> /*type*/) {
  a("placement", &PoolMemory::placement);
  a("hold", &PoolMemory::hold);
  a("ask", &PoolMemory::ask);
  a("queuedSince", &PoolMemory::queued_since);
  a("waitingSince", &PoolMemory::waiting_since);
  a("startTime", &PoolMemory::started);
  a("completionTime", &PoolMemory::completed);
  a("succeeded", &PoolMemory::succeeded);
  a("failedReason", &PoolMemory::failed_reason);
  a("tiersUsed", &PoolMemory::tiers_used);
  a("attempts", &PoolMemory::attempts);
  a("restarts", &PoolMemory::restarts);
  a("failures", &PoolMemory::failures);
  a("lastFailure", &PoolMemory::last_failure);
  a("excludedNodes", &PoolMemory::excluded);
  a("evictions", &PoolMemory::evictions);
  a("readySince", &PoolMemory::ready_since);
  a("restartSeconds", &PoolMemory::restart_took);
  a("homeFitsSince", &PoolMemory::home_fits_since);
  a("growthFitsSince", &PoolMemory::growth_fits_since);
  a("overBudgetSince", &PoolMemory::over_budget_since);
  a("lastMove", &PoolMemory::last_move);
  a("dwellSeconds", &PoolMemory::dwell);
}

template <class A>
void Fields(A& a, Of<Worker> /*type*/) {
  a("pod", &Worker::pod);
  a("attempt", &Worker::attempt);
  a("index", &Worker::index);
  a("node", &Worker::node);
  a("whyUnbound", &Worker::why_unbound);
  a("requests", &Worker::requests);
  a("running", &Worker::running);
  a("ready", &Worker::ready);
  a("ended", &Worker::ended);
}

template <class A>
void Fields(A& a, Of<AttemptFacts> /*type*/) {
  a("exists", &AttemptFacts::exists);
  a("complete", &AttemptFacts::complete);
  a("failed", &AttemptFacts::failed);
  a("disrupted", &AttemptFacts::disrupted);
  a("failure", &AttemptFacts::failure);
  a("podsBehind", &AttemptFacts::pods_behind);
  a("succeeded", &AttemptFacts::succeeded);
}

template <class A>
void FieldsOfPlacementSpec(A& a) {
  a("providers", &TrainingPool::providers);
  a("nodeGroupSelector", &TrainingPool::group_selector);
  a("preference", &TrainingPool::preference);
  a.Group("spill", [](auto& g) {
    g.Words("policy", &TrainingPool::spill_allowed, "Allowed", "Never");
    g("afterSeconds", &TrainingPool::spill_after);
    g("maxHourlyCost", &TrainingPool::spill_max_hourly_cost);
  });
  a.Group("returnHome", [](auto& g) {
    g("policy", &TrainingPool::return_home);
    g("afterSeconds", &TrainingPool::return_after);
    g("minSavingsPercent", &TrainingPool::return_min_savings_percent);
  });
  a.Group("topology", [](auto& g) {
    g("mode", &TrainingPool::topology);
    g("level", &TrainingPool::topology_level);
  });
  a("startDeadlineSeconds", &TrainingPool::start_deadline);
}

template <class A>
void Fields(A& a, Of<TrainingPool> /*type*/) {
  a("namespace", &TrainingPool::key, &PoolKey::ns);
  a("name", &TrainingPool::key, &PoolKey::name);
  a("uid", &TrainingPool::uid);
  a("priority", &TrainingPool::priority);
  a("acceleratorsPerWorker", &TrainingPool::per_worker);
  a("accelerators", &TrainingPool::accelerators);
  a("requests", &TrainingPool::requests);
  a("otherCpuMilli", &TrainingPool::other_cpu);
  a("tolerations", &TrainingPool::tolerations);
  a("nodeTerms", &TrainingPool::node_terms);
  a.Group("placement", [](auto& g) { FieldsOfPlacementSpec(g); });
  a.Group("restart", [](auto& g) {
    g("maxRestarts", &TrainingPool::max_restarts);
    g("backoffSeconds", &TrainingPool::backoff);
    g("nodeLostSeconds", &TrainingPool::node_lost);
    g("holdSeconds", &TrainingPool::hold);
    g("onUnreachable", &TrainingPool::on_unreachable);
  });
  a("activeDeadlineSeconds", &TrainingPool::active_deadline);
  a("expectedSeconds", &TrainingPool::expected);
  a("remainingSeconds", &TrainingPool::remaining);
  a.Group("preemption", [](auto& g) {
    g("preempts", &TrainingPool::preempts);
    g("preemptible", &TrainingPool::preemptible);
    g("minRunSeconds", &TrainingPool::min_run);
  });
  a.Group("checkpoint", [](auto& g) {
    g("intervalSeconds", &TrainingPool::checkpoint_interval);
    g("graceSeconds", &TrainingPool::checkpoint_grace);
    g("last", &TrainingPool::last_checkpoint);
  });
  a("suspend", &TrainingPool::suspended);
  a("specRevision", &TrainingPool::spec_revision);
  a("misconfigured", &TrainingPool::misconfigured);
  a("templateInvalid", &TrainingPool::template_invalid);
  a("nameConflict", &TrainingPool::name_conflict);
  a("templateUnchecked", &TrainingPool::template_unchecked);
  a("namespaceQuota", &TrainingPool::namespace_quota);
  a("status", &TrainingPool::memory);
  a("attempt", &TrainingPool::attempt);
  a("workers", &TrainingPool::workers);
}

template <class A>
void Fields(A& a, Of<Variant> /*type*/) {
  a("name", &Variant::name);
  a("accelerator", &Variant::accelerator);
  a("acceleratorsPerReplica", &Variant::per_replica);
  a("arch", &Variant::arch);
  a("throughputMicros", &Variant::throughput);
  a("minReplicas", &Variant::min_replicas);
  a("maxReplicas", &Variant::max_replicas);
  a("startupSeconds", &Variant::startup);
  a("requests", &Variant::requests);
  a("tolerations", &Variant::tolerations);
  a("nodeTerms", &Variant::node_terms);
  a("revision", &Variant::revision);
  a("templateInvalid", &Variant::template_invalid);
  a("templateUnchecked", &Variant::template_unchecked);
  a("otherCpuMilli", &Variant::other_cpu);
  a("namespaceQuota", &Variant::namespace_quota);
}

template <class A>
void Fields(A& a, Of<CellMemory> /*type*/) {
  a("variant", &CellMemory::variant);
  a("nodeGroup", &CellMemory::node_group);
  a("tier", &CellMemory::tier);
  a("desired", &CellMemory::desired);
  a("pendingSince", &CellMemory::pending_since);
  a("blockedUntil", &CellMemory::blocked_until);
  a("misses", &CellMemory::misses);
  a("revision", &CellMemory::revision);
}

template <class A>
void Fields(A& a, Of<CellClaim> /*type*/) {
  a("variant", &CellClaim::variant);
  a("replicas", &CellClaim::replicas);
  a("nodeGroup", &CellClaim::hold, &Hold::node_group);
  a("nodes", &CellClaim::hold, &Hold::nodes);
  a("until", &CellClaim::hold, &Hold::until);
  a("since", &CellClaim::hold, &Hold::since);
  a("victims", &CellClaim::hold, &Hold::victims);
}

template <class A>
void Fields(A& a, Of<CellAsk> /*type*/) {
  a("variant", &CellAsk::variant);
  a("nodeGroup", &CellAsk::node_group);
  a("nodes", &CellAsk::nodes);
  a("replicas", &CellAsk::replicas);
  a("since", &CellAsk::since);
}

template <class A>
void Fields(A& a, Of<RecentUnits> /*type*/) {
  a("units", &RecentUnits::units);
  a("until", &RecentUnits::until);
}

template <class A>
void Fields(A& a, Of<ScalingStep> /*type*/) {
  a("since", &ScalingStep::since);
  a("units", &ScalingStep::units);
}

template <class A>
void Fields(A& a, Of<InferenceMemory> /*type*/) {
  a("units", &InferenceMemory::units);
  a("requestedUnits", &InferenceMemory::requested);
  a("recent", &InferenceMemory::recent);
  a("stepUp", &InferenceMemory::step_up);
  a("stepDown", &InferenceMemory::step_down);
  a("cells", &InferenceMemory::cells);
  a("queuedSince", &InferenceMemory::queued_since);
  a("waitingSince", &InferenceMemory::waiting_since);
  a("homeFitsSince", &InferenceMemory::home_fits_since);
  a("shortSince", &InferenceMemory::short_since);
  a("claim", &InferenceMemory::claim);
  a("asks", &InferenceMemory::asks);
  a("evictions", &InferenceMemory::evictions);
}

template <class A>
void Fields(A& a, Of<Replica> /*type*/) {
  a("pod", &Replica::pod);
  a("variant", &Replica::variant);
  a("nodeGroup", &Replica::node_group);
  a("node", &Replica::node);
  a("requests", &Replica::requests);
  a("since", &Replica::since);
  a("ready", &Replica::ready);
  a("terminating", &Replica::terminating);
  a("revision", &Replica::revision);
}

template <class A>
void Fields(A& a, Of<CellFacts> /*type*/) {
  a("variant", &CellFacts::variant);
  a("nodeGroup", &CellFacts::node_group);
  a("revision", &CellFacts::revision);
  a("replicas", &CellFacts::replicas);
  a("rolling", &CellFacts::rolling);
  a("stuck", &CellFacts::stuck);
  a("surge", &CellFacts::surge);
  a("unavailable", &CellFacts::unavailable);
}

template <class A>
void FieldsOfPace(A& a, Pace InferencePool::* pace) {
  a("stabilizationSeconds", pace, &Pace::stabilization);
  a("maxStep", pace, &Pace::max_step);
  a("periodSeconds", pace, &Pace::period);
}

template <class A>
void FieldsOfInferencePlacement(A& a) {
  a("providers", &InferencePool::providers);
  a("nodeGroupSelector", &InferencePool::group_selector);
  a("preference", &InferencePool::preference);
  a.Group("spill", [](auto& g) {
    g.Words("policy", &InferencePool::spill_allowed, "Allowed", "Never");
    g("afterSeconds", &InferencePool::spill_after);
    g("maxHourlyCost", &InferencePool::spill_max_hourly_cost);
  });
  a.Group("returnHome", [](auto& g) {
    g.Words("policy", &InferencePool::return_allowed, "Anytime", "Never");
    g("afterSeconds", &InferencePool::return_after);
    g("minSavingsPercent", &InferencePool::return_min_savings_percent);
    g("paybackSeconds", &InferencePool::return_payback);
  });
  a("startDeadlineSeconds", &InferencePool::start_deadline);
}

template <class A>
void Fields(A& a, Of<DemandSignal> /*type*/) {
  a("asOf", &DemandSignal::as_of);
  a("silentAfterSeconds", &DemandSignal::silent_after);
}

template <class A>
void Fields(A& a, Of<InferencePool> /*type*/) {
  a("namespace", &InferencePool::key, &PoolKey::ns);
  a("name", &InferencePool::key, &PoolKey::name);
  a("uid", &InferencePool::uid);
  a("created", &InferencePool::created);
  a("priority", &InferencePool::priority);
  a("replicas", &InferencePool::replicas);
  a("unitThroughputMicros", &InferencePool::unit);
  a("demand", &InferencePool::demand);
  a("paused", &InferencePool::paused);
  a("variants", &InferencePool::variants);
  a.Group("placement", [](auto& g) { FieldsOfInferencePlacement(g); });
  a.Group("preemption", [](auto& g) {
    g("preempts", &InferencePool::preempts);
    g("afterSeconds", &InferencePool::preempt_after);
  });
  a.Group("behavior", [](auto& g) {
    g.Group("scaleUp", [](auto& up) { FieldsOfPace(up, &InferencePool::scale_up); });
    g.Group("scaleDown", [](auto& down) { FieldsOfPace(down, &InferencePool::scale_down); });
  });
  a.Group("routing", [](auto& g) { g("mode", &InferencePool::routing); });
  a.Group("disruption", [](auto& g) {
    g("maxUnavailable", &InferencePool::max_unavailable);
    g("drainSeconds", &InferencePool::drain);
  });
  a("misconfigured", &InferencePool::misconfigured);
  a("nameConflict", &InferencePool::name_conflict);
  a("status", &InferencePool::memory);
  a("cells", &InferencePool::cells);
  a("live", &InferencePool::live);
}

template <class A>
void Fields(A& a, Of<QuotaLimit> /*type*/) {
  a("type", &QuotaLimit::type);
  a("limit", &QuotaLimit::limit);
  a("guaranteed", &QuotaLimit::guaranteed);
}

template <class A>
void Fields(A& a, Of<Budget> /*type*/) {
  a("amount", &Budget::amount);
  a("period", &Budget::period);
  a("atLimit", &Budget::at_limit);
}

template <class A>
void Fields(A& a, Of<SpendMemory> /*type*/) {
  a("budgetSpent", &SpendMemory::spent);
  a("hourlyCost", &SpendMemory::hourly);
  a("asOf", &SpendMemory::as_of);
  a("periodStart", &SpendMemory::period_start);
}

template <class A>
void Fields(A& a, Of<Quota> /*type*/) {
  a("namespace", &Quota::ns);
  a("accelerators", &Quota::limits);
  a("weight", &Quota::weight);
  a.Group("spend", [](auto& g) {
    g("maxHourlyCost", &Quota::max_hourly_cost);
    g("budget", &Quota::budget);
  });
  a("status", &Quota::memory);
}

}  // namespace spillway::placement::text
