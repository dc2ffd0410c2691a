#include "controllers/store_bytes.h"

#include <memory>

#include "base/heap_size.h"

namespace spillway::controllers {
namespace {

namespace v1alpha1 = crds::v1alpha1;

size_t OfOwner(const kube::Owner& owner) { return HeapOfTexts(owner.uid, owner.kind, owner.name); }

size_t OfMeta(const kube::ObjectMeta& meta) {
  return HeapOfTexts(meta.ns, meta.name, meta.uid, meta.resource_version) + HeapOf(meta.labels) +
         HeapOf(meta.annotations) + HeapOf(meta.controller, OfOwner);
}

size_t OfTaint(const kube::Taint& taint) {
  return HeapOfTexts(taint.key, taint.value, taint.effect);
}
size_t OfNodeCondition(const kube::NodeCondition& condition) { return HeapOf(condition.type); }

size_t OfPodFailure(const kube::PodFailure& failure) {
  return HeapOfTexts(failure.reason, failure.message);
}
size_t OfPod(const kube::Pod& pod) {
  return OfMeta(pod.meta) + HeapOfTexts(pod.node, pod.scheduling_message) + HeapOf(pod.requests) +
         HeapOf(pod.failure, OfPodFailure);
}

// What several of our own kinds have.

size_t OfCondition(const v1alpha1::Condition& condition) {
  return HeapOfTexts(condition.type, condition.reason, condition.message);
}
size_t OfRequirement(const v1alpha1::Requirement& requirement) {
  return HeapOf(requirement.key) + HeapOf(requirement.values);
}
size_t OfEviction(const v1alpha1::EvictionStatus& eviction) { return HeapOf(eviction.cause); }

size_t OfToleration(const v1alpha1::Toleration& toleration) {
  return HeapOfTexts(toleration.key, toleration.value, toleration.effect);
}
size_t OfEnvVar(const v1alpha1::EnvVar& variable) {
  return HeapOfTexts(variable.name, variable.value);
}
size_t OfBadCondition(const v1alpha1::BadCondition& bad) { return HeapOf(bad.type); }
size_t OfBadTaint(const v1alpha1::BadTaint& bad) {
  return HeapOfTexts(bad.key, bad.value, bad.effect);
}
size_t OfElastic(const v1alpha1::ElasticSpec& spec) {
  const v1alpha1::ScaleTarget& target = spec.target;
  return HeapOf(spec.node_shape) +
         HeapOfTexts(target.api_version, target.kind, target.ns, target.name, target.replicas_path);
}
size_t OfLeavingNodes(const v1alpha1::LeavingNodesStatus& leaving) { return HeapOf(leaving.nodes); }
size_t OfScale(const v1alpha1::ScaleStatus& scale) { return HeapOf(scale.leaving, OfLeavingNodes); }

size_t Of(const v1alpha1::NodeGroupSpec& spec) {
  return HeapOfTexts(spec.provider, spec.accelerator.type, spec.accelerator.resource) +
         HeapOf(spec.selector, OfRequirement) + HeapOf(spec.domain_labels) +
         HeapOf(spec.tolerations, OfToleration) + HeapOf(spec.pod_defaults.env, OfEnvVar) +
         HeapOf(spec.pod_defaults.resources) + HeapOf(spec.health.bad_conditions, OfBadCondition) +
         HeapOf(spec.health.bad_taints, OfBadTaint) + HeapOf(spec.elastic, OfElastic);
}
size_t Of(const v1alpha1::NodeGroupStatus& status) {
  return HeapOf(status.largest_free_domain.domain) + HeapOf(status.scale, OfScale) +
         HeapOf(status.conditions, OfCondition);
}

size_t OfAccepted(const v1alpha1::AcceptedAccelerator& accepted) { return HeapOf(accepted.type); }
size_t OfTrainingPlace(const v1alpha1::TrainingPoolSpec::Placement& placement) {
  return HeapOf(placement.providers) + HeapOf(placement.node_group_selector, OfRequirement) +
         HeapOf(placement.topology_level);
}
size_t OfRestart(const v1alpha1::TrainingPoolSpec::Restart& /*only words*/) { return 0; }
size_t OfPreemption(const v1alpha1::TrainingPoolSpec::Preemption& /*only words*/) { return 0; }

size_t OfPlacement(const v1alpha1::PlacementStatus& placement) {
  return HeapOfTexts(placement.node_group, placement.accelerator, placement.domain,
                     placement.render_revision, placement.spec_revision) +
         HeapOf(placement.nodes);
}
size_t OfHold(const v1alpha1::HoldStatus& hold) {
  return HeapOfTexts(hold.node_group, hold.domain) + HeapOf(hold.nodes) + HeapOf(hold.victims) +
         HeapOf(hold.replicas);
}
size_t OfAsk(const v1alpha1::AskStatus& ask) { return HeapOf(ask.node_group); }
size_t OfFailure(const v1alpha1::FailureStatus& failure) {
  return HeapOfTexts(failure.node, failure.reason, failure.message);
}
size_t OfExcludedNode(const v1alpha1::ExcludedNodeStatus& node) {
  return HeapOfTexts(node.name, node.reason);
}

size_t Of(const v1alpha1::TrainingPoolSpec& spec) {
  return HeapOfTexts(spec.priority_class_name, spec.pod_template) +
         HeapOf(spec.accelerators, OfAccepted) + HeapOf(spec.placement, OfTrainingPlace) +
         HeapOf(spec.restart, OfRestart) + HeapOf(spec.preemption, OfPreemption);
}
size_t Of(const v1alpha1::TrainingPoolStatus& status) {
  return HeapOf(status.placement, OfPlacement) + HeapOf(status.hold, OfHold) +
         HeapOf(status.ask, OfAsk) + HeapOf(status.tiers_used) +
         HeapOf(status.last_failure, OfFailure) + HeapOf(status.excluded_nodes, OfExcludedNode) +
         HeapOf(status.evictions, OfEviction) + HeapOf(status.stuck_pods) +
         HeapOf(status.conditions, OfCondition);
}

size_t OfVariant(const v1alpha1::VariantSpec& variant) {
  return HeapOfTexts(variant.name, variant.accelerator, variant.pod_template);
}
size_t OfCell(const v1alpha1::CellStatus& cell) {
  return HeapOfTexts(cell.variant, cell.node_group, cell.revision);
}
size_t OfService(const v1alpha1::ServiceStatus& service) {
  return HeapOfTexts(service.name, service.variant);
}
size_t OfCellClaim(const v1alpha1::CellClaimStatus& claim) {
  return HeapOfTexts(claim.variant, claim.node_group) + HeapOf(claim.nodes) + HeapOf(claim.victims);
}
size_t OfCellAsk(const v1alpha1::CellAskStatus& ask) {
  return HeapOfTexts(ask.variant, ask.node_group);
}
size_t OfRejected(const v1alpha1::RejectedMixStatus& mix) { return HeapOfTexts(mix.mix, mix.why); }
size_t OfDecision(const v1alpha1::DecisionStatus& decision) {
  return HeapOfTexts(decision.action, decision.reason, decision.chosen) +
         HeapOf(decision.rejected, OfRejected);
}

size_t Of(const v1alpha1::InferencePoolSpec& spec) {
  return HeapOf(spec.priority_class_name) + HeapOf(spec.variants, OfVariant) +
         HeapOf(spec.placement.providers) +
         HeapOf(spec.placement.node_group_selector, OfRequirement);
}
size_t Of(const v1alpha1::InferencePoolStatus& status) {
  return HeapOf(status.selector) + HeapOf(status.recent) + HeapOf(status.cells, OfCell) +
         HeapOf(status.services, OfService) + HeapOf(status.evictions, OfEviction) +
         HeapOf(status.claim, OfCellClaim) + HeapOf(status.asks, OfCellAsk) +
         HeapOf(status.last_decision, OfDecision) + HeapOf(status.conditions, OfCondition);
}

size_t OfLimit(const v1alpha1::QuotaLimit& limit) { return HeapOf(limit.type); }
size_t OfUse(const v1alpha1::QuotaUseStatus& use) { return HeapOf(use.type); }
size_t OfNames(const std::vector<std::string>& names) { return HeapOf(names); }

}  // namespace

size_t BytesBeside(const kube::Node& node) {
  return OfMeta(node.meta) + HeapOf(node.taints, OfTaint) +
         HeapOf(node.conditions, OfNodeCondition) + HeapOf(node.allocatable);
}

size_t BytesBeside(const kube::KeptPod& pod) {
  const size_t own = pod.own ? HeapOfMadeShared<kube::Pod>() + OfPod(*pod.own) : 0;
  return HeapOfTexts(pod.meta.name, pod.meta.resource_version) + own;
}

size_t BytesBeside(const kube::Job& job) {
  return OfMeta(job.meta) + HeapOfTexts(job.failure_reason, job.failure_message);
}

size_t BytesBeside(const kube::Deployment& deployment) { return OfMeta(deployment.meta); }

size_t BytesBeside(const kube::Companion& companion) {
  return OfMeta(companion.meta) + HeapOf(companion.spec_digest);
}

size_t BytesBeside(const kube::PriorityClass& priority_class) {
  return OfMeta(priority_class.meta);
}

size_t BytesBeside(const v1alpha1::NodeGroup& group) {
  return OfMeta(group.meta) + Of(group.spec) + Of(group.status);
}

size_t BytesBeside(const v1alpha1::TrainingPool& pool) {
  return OfMeta(pool.meta) + Of(pool.spec) + Of(pool.status);
}

size_t BytesBeside(const v1alpha1::InferencePool& pool) {
  return OfMeta(pool.meta) + Of(pool.spec) + Of(pool.status);
}

size_t BytesBeside(const v1alpha1::PoolQuota& quota) {
  return OfMeta(quota.meta) + HeapOf(quota.spec.accelerators, OfLimit) +
         HeapOf(quota.spec.priority_classes, OfNames) + HeapOf(quota.status.accelerators, OfUse) +
         HeapOf(quota.status.conditions, OfCondition);
}

}  // namespace spillway::controllers
