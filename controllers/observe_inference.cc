#include "controllers/observe_inference.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/hash.h"
#include "controllers/names.h"

namespace spillway::controllers {
namespace {

using crds::v1alpha1::InferencePool;
using crds::v1alpha1::InferencePoolSpec;
using crds::v1alpha1::PoolQuota;
using crds::v1alpha1::VariantSpec;

using CellNames = std::pair<std::string, std::string>;  // variant, node group

std::string AnnotationOf(const kube::ObjectMeta& meta, const char* key) {
  const auto at = meta.annotations.find(key);
  return at == meta.annotations.end() ? std::string() : at->second;
}

// A decimal in millionths; the API server has checked that it is one.
int64_t Micros(const std::string& text, int64_t fallback) {
  const auto amount = Money::Parse(text);
  return amount ? amount->micros() : fallback;
}

placement::Pace PaceOf(const InferencePoolSpec::Pace& pace) {
  return {Seconds(pace.stabilization_seconds), pace.max_step, Seconds(pace.period_seconds)};
}

void ObservePlacement(const InferencePoolSpec::Placement& spec, placement::InferencePool& out) {
  for (const std::string& provider : spec.providers) {
    if (const auto known = placement::ProviderFrom(provider)) out.providers.push_back(*known);
  }
  out.group_selector = Requirements(spec.node_group_selector);
  out.preference =
      placement::PreferenceFrom(spec.preference).value_or(placement::Preference::kHomeFirst);
  out.spill_allowed = spec.spill_policy == "Allowed";
  out.spill_after = Seconds(spec.spill_after_seconds);
  out.spill_max_hourly_cost = AmountOf(spec.spill_max_hourly_cost);
  out.return_allowed = spec.return_policy == "Anytime";
  out.return_after = Seconds(spec.return_after_seconds);
  out.return_min_savings_percent = spec.return_min_savings_percent;
  out.return_payback = Seconds(spec.return_payback_seconds);
  out.start_deadline = Seconds(spec.start_deadline_seconds);
}

placement::CellClaim ClaimOf(const crds::v1alpha1::CellClaimStatus& status) {
  placement::CellClaim claim{.variant = status.variant, .replicas = status.replicas, .hold = {}};
  claim.hold.node_group = status.node_group;
  claim.hold.nodes = status.nodes;
  claim.hold.until = status.until;
  claim.hold.since = status.since;
  for (const std::string& victim : status.victims) claim.hold.victims.push_back(KeyOf(victim));
  return claim;
}

placement::Variant ObserveVariant(const InferencePoolSpec& spec, const VariantSpec& variant,
                                  const TemplateAnswer& answer,
                                  const std::vector<placement::NodeGroup>& groups) {
  placement::Variant out;
  out.name = variant.name;
  out.accelerator = variant.accelerator;
  out.per_replica = variant.accelerators_per_replica;
  out.arch = variant.arch;
  out.throughput = std::max<int64_t>(Micros(variant.throughput, 1), 1);
  out.min_replicas = variant.min_replicas;
  out.max_replicas = variant.max_replicas;
  out.startup = Seconds(variant.startup_seconds);
  out.revision = TemplateRevision(spec, variant);
  if (answer.state == TemplateAnswer::State::kPending) {
    out.template_unchecked = true;
    out.namespace_quota = answer.message;
  } else if (answer.state == TemplateAnswer::State::kInvalid) {
    out.template_invalid = answer.message;
  } else {
    out.requests = WithoutAccelerators({variant.accelerator}, answer.shape, groups);
    out.other_cpu = answer.shape.others.Get(kCpu);
    out.tolerations = answer.shape.tolerations;
    out.node_terms = answer.shape.node_terms;
    out.template_invalid =
        AcceleratorConflict(variant.accelerator, variant.accelerators_per_replica,
                            "acceleratorsPerReplica", answer.shape, groups);
  }
  return out;
}

placement::CellFacts ObserveDeployment(const kube::Deployment& deployment) {
  placement::CellFacts out;
  out.variant = AnnotationOf(deployment.meta, kVariantLabel);
  out.node_group = AnnotationOf(deployment.meta, kNodeGroupAnnotation);
  out.revision = AnnotationOf(deployment.meta, kTemplateLabel);
  out.replicas = deployment.replicas;
  out.stuck = deployment.stuck;
  out.surge = std::max(deployment.max_surge, 0);
  out.unavailable = std::max(deployment.max_unavailable, 0);
  return out;
}

placement::Replica ObserveReplica(const kube::Pod& pod, const CellNames& cell) {
  placement::Replica out;
  out.pod = pod.meta.name;
  std::tie(out.variant, out.node_group) = cell;
  out.node = pod.node;
  out.requests = pod.requests;
  out.ready = pod.ready && pod.phase == kube::PodPhase::kRunning;
  out.since = pod.meta.created;
  if (!out.ready && pod.ready_changed) out.since = std::max(out.since, *pod.ready_changed);
  out.terminating = pod.meta.deleted.has_value();
  out.revision = LabelOf(pod.meta, kTemplateLabel);
  return out;
}

// Which cell a hash on a pod means: of those that there are, were, or could be.
std::map<std::string, CellNames> KnownCells(const World& world, const InferencePool& pool,
                                            const Family& family) {
  std::map<std::string, CellNames> cells;
  const auto add = [&](const std::string& variant, const std::string& group) {
    cells.emplace(CellHash(variant, group), CellNames(variant, group));
  };
  for (const VariantSpec& variant : pool.spec.variants) {
    for (const auto& group : world.node_groups) add(variant.name, group->meta.name);
  }
  for (const auto& cell : pool.status.cells) add(cell.variant, cell.node_group);
  for (const kube::Deployment* deployment : family.deployments) {
    add(AnnotationOf(deployment->meta, kVariantLabel),
        AnnotationOf(deployment->meta, kNodeGroupAnnotation));
  }
  return cells;
}

void ObserveChildren(const World& world, const InferencePool& pool, const Family& family,
                     placement::InferencePool& out) {
  const auto known = KnownCells(world, pool, family);
  for (const kube::Pod* pod : family.pods) {
    if (pod->phase == kube::PodPhase::kSucceeded || pod->phase == kube::PodPhase::kFailed) continue;
    const auto cell = known.find(LabelOf(pod->meta, kCellLabel));
    if (cell != known.end()) out.live.push_back(ObserveReplica(*pod, cell->second));
  }
  for (const kube::Deployment* deployment : family.deployments) {
    if (deployment->meta.deleted) continue;
    placement::CellFacts facts = ObserveDeployment(*deployment);
    facts.rolling = std::any_of(out.live.begin(), out.live.end(), [&](const auto& replica) {
      return !replica.terminating && replica.variant == facts.variant &&
             replica.node_group == facts.node_group && replica.revision != facts.revision;
    });
    facts.stuck = facts.stuck && facts.rolling;
    out.cells.push_back(std::move(facts));
  }
}

class InferenceObserver {
 public:
  InferenceObserver(const World& world, const Families& families, const ObserveInput& input,
                    const std::vector<placement::NodeGroup>& groups)
      : world_(world),
        input_(input),
        groups_(groups),
        families_(families),
        priorities_(ObservePriorities(world)) {
    for (const auto& quota : world.pool_quotas) quotas_.emplace(quota->meta.ns, quota.get());
  }

  [[nodiscard]] placement::InferencePool Observe(const InferencePool& pool,
                                                 const Family& mine) const {
    placement::InferencePool out;
    out.key = {pool.meta.ns, pool.meta.name};
    out.uid = pool.meta.uid;
    out.created = pool.meta.created;
    ObserveSpec(pool, out);
    const auto quota = quotas_.find(pool.meta.ns);
    PriorityAnswer priority = PriorityOf(pool.spec.priority_class_name, pool.meta.ns, priorities_,
                                         quota == quotas_.end() ? nullptr : quota->second);
    out.priority = priority.value;
    out.misconfigured = std::move(priority.misconfigured);
    out.memory = MemoryOf(pool.status);
    // In Observe nothing durable is written, so that the queue starts with the object itself.
    if (input_.settings->mode == Mode::kObserve && !out.memory.queued_since) {
      out.memory.queued_since = pool.meta.created;
    }
    ObserveChildren(world_, pool, mine, out);
    out.name_conflict = NameConflict(pool);
    return out;
  }

 private:
  void ObserveSpec(const InferencePool& pool, placement::InferencePool& out) const {
    const InferencePoolSpec& spec = pool.spec;
    out.replicas = spec.replicas;
    out.paused = spec.paused;
    for (const VariantSpec& variant : spec.variants) {
      out.variants.push_back(
          ObserveVariant(spec, variant, input_.ask_template(SubjectOf(pool, variant)), groups_));
    }
    const int64_t first = out.variants.empty() ? 1 : out.variants.front().throughput;
    out.unit = std::max<int64_t>(
        spec.unit_throughput.empty() ? first : Micros(spec.unit_throughput, first), 1);
    ObservePlacement(spec.placement, out);
    out.preempts = placement::PreemptsFrom(spec.preempts).value_or(placement::Preempts::kNever);
    out.preempt_after = Seconds(spec.preempt_after_seconds);
    out.scale_up = PaceOf(spec.scale_up);
    out.scale_down = PaceOf(spec.scale_down);
    out.routing = placement::RoutingFrom(spec.routing_mode).value_or(placement::Routing::kUniform);
    out.max_unavailable = spec.max_unavailable;
    out.drain = Seconds(spec.drain_seconds);
  }

  [[nodiscard]] std::string NameConflict(const InferencePool& pool) const {
    const auto at = input_.name_conflicts->find(pool.meta.uid);
    if (at != input_.name_conflicts->end()) return at->second;
    return families_.EarlierOf("InferencePool", pool.meta);
  }

  const World& world_;
  const ObserveInput& input_;
  const std::vector<placement::NodeGroup>& groups_;
  const Families& families_;
  Priorities priorities_;
  std::map<std::string, const PoolQuota*> quotas_;
};

}  // namespace

placement::InferenceMemory MemoryOf(const crds::v1alpha1::InferencePoolStatus& status) {
  placement::InferenceMemory memory;
  memory.units = status.units;
  memory.requested = status.requested_units;
  for (const auto& recent : status.recent) memory.recent.push_back({recent.units, recent.until});
  if (status.step_up) memory.step_up = {status.step_up->since, status.step_up->units};
  if (status.step_down) memory.step_down = {status.step_down->since, status.step_down->units};
  for (const auto& cell : status.cells) {
    memory.cells.push_back({cell.variant, cell.node_group, cell.tier, cell.desired,
                            cell.pending_since, cell.blocked_until, cell.misses, cell.revision});
  }
  memory.queued_since = status.queued_since;
  memory.waiting_since = status.waiting_since;
  memory.home_fits_since = status.home_fits_since;
  memory.short_since = status.short_since;
  if (status.claim) memory.claim = ClaimOf(*status.claim);
  for (const auto& ask : status.asks) {
    memory.asks.push_back({ask.variant, ask.node_group, ask.nodes, ask.replicas, ask.since});
  }
  for (const auto& eviction : status.evictions) {
    memory.evictions.push_back({eviction.time, eviction.cause});
  }
  return memory;
}

std::string TemplateRevision(const InferencePoolSpec& spec, const VariantSpec& variant) {
  return HashHex(
      fmt::format("{}|{}|{}|{}|{}", variant.accelerator, variant.accelerators_per_replica,
                  variant.arch, spec.drain_seconds, variant.pod_template),
      8);
}

void ObserveInferencePools(const World& world, const Families& families, const ObserveInput& input,
                           placement::Sharing& sharing, placement::Snapshot& snapshot) {
  const InferenceObserver observer(world, families, input, snapshot.groups);
  for (size_t i = 0; i < world.inference_pools.size(); ++i) {
    const InferencePool& pool = *world.inference_pools[i];
    if (pool.meta.deleted) continue;
    snapshot.inference_pools.push_back(observer.Observe(pool, families.OfServing(i)));
    sharing.Share(snapshot.inference_pools.back());
  }
}

}  // namespace spillway::controllers
