#include "controllers/observe.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/hash.h"
#include "base/whole_number.h"
#include "controllers/families.h"
#include "controllers/names.h"
#include "controllers/observe_inference.h"
#include "controllers/placement_record.h"
#include "placement/lifecycle.h"
#include "placement/nodes.h"
#include "placement/sharing.h"
#include "placement/words.h"

namespace spillway::controllers {

using crds::v1alpha1::PoolQuota;
using crds::v1alpha1::ScaleTarget;

std::vector<placement::Requirement> Requirements(const crds::v1alpha1::Selector& selector) {
  std::vector<placement::Requirement> out;
  out.reserve(selector.size());
  for (const auto& requirement : selector) {
    out.push_back({requirement.key, requirement.op, requirement.values});
  }
  return out;
}

std::string LabelOf(const kube::ObjectMeta& meta, const char* key) {
  const auto at = meta.labels.find(key);
  return at == meta.labels.end() ? std::string() : at->second;
}

std::string TargetKey(const ScaleTarget& target) {
  const std::string group = target.api_version.substr(0, target.api_version.find('/'));
  const std::string suffix =
      group.size() == target.api_version.size() ? std::string() : "." + group;
  const std::string ns = target.ns.empty() ? std::string() : target.ns + "/";
  return fmt::format("{}{} {}{}", target.kind, suffix, ns, target.name);
}

std::optional<Money> AmountOf(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto amount = Money::Parse(text);
  return amount ? *amount : Money();
}

Priorities ObservePriorities(const World& world) {
  Priorities out;
  for (const auto& priority : world.priority_classes) {
    out.by_name.emplace(priority->meta.name, priority->value);
    if (priority->global_default) out.fallback = priority->value;
  }
  return out;
}

PriorityAnswer PriorityOf(const std::string& name, const std::string& ns,
                          const Priorities& priorities, const PoolQuota* quota) {
  if (name.empty()) return {priorities.fallback, {}};
  const auto at = priorities.by_name.find(name);
  if (at == priorities.by_name.end()) {
    return {0, fmt::format("spec.priorityClassName is \"{}\", but there is no such PriorityClass",
                           name)};
  }
  if (quota == nullptr || !quota->spec.priority_classes) return {at->second, {}};
  const auto& allowed = *quota->spec.priority_classes;
  if (std::find(allowed.begin(), allowed.end(), name) != allowed.end()) return {at->second, {}};
  return {
      at->second,
      fmt::format(
          "spec.priorityClassName is \"{}\"; the PoolQuota of namespace {} allows: {}", name, ns,
          allowed.empty() ? std::string("none") : fmt::format("{}", fmt::join(allowed, ", ")))};
}

std::string AcceleratorConflict(const std::string& type, int per_pod, const char* field,
                                const PodShape& shape,
                                const std::vector<placement::NodeGroup>& groups) {
  for (const placement::NodeGroup& group : groups) {
    if (group.accelerator != type) continue;
    const bool cpu = group.resource.empty();
    const std::string resource = cpu ? std::string(kCpu) : group.resource;
    const int64_t wanted = int64_t{per_pod} * (cpu ? 1000 : 1);
    const int64_t said = shape.first_container.Get(resource);
    if (said == 0 || said == wanted) continue;
    return fmt::format(
        "template.spec.containers[0].resources says {}: {}, but {} is {} "
        "({}); leave it out of the template",
        resource, FormatResource(resource, said), field, per_pod, type);
  }
  return {};
}

Resources WithoutAccelerators(const std::vector<std::string>& types, const PodShape& shape,
                              const std::vector<placement::NodeGroup>& groups) {
  std::set<std::string> resources;
  for (const placement::NodeGroup& group : groups) {
    const bool asked = std::find(types.begin(), types.end(), group.accelerator) != types.end();
    if (asked && !group.resource.empty()) resources.insert(group.resource);
  }
  Resources out = shape.requests;
  for (const std::string& resource : resources) out.Set(resource, shape.others.Get(resource));
  return out;
}

namespace {

using crds::v1alpha1::ElasticSpec;
using crds::v1alpha1::NodeGroupSpec;
using crds::v1alpha1::TrainingPoolSpec;
using crds::v1alpha1::TrainingPoolStatus;
using placement::PoolMemory;

// ---- node groups ----

// Prices, or the sentence that says why the group cannot be used.
std::string ObserveCost(const NodeGroupSpec& spec, const std::string& currency,
                        placement::NodeGroup& out) {
  const auto& cost = spec.cost;
  if (cost.currency != currency) {
    return fmt::format(
        "spec.cost.currency is {}, but this installation counts in {}; prices in another currency "
        "cannot be compared",
        cost.currency, currency);
  }
  const bool owned = out.capacity_type == placement::CapacityType::kOwned ||
                     out.capacity_type == placement::CapacityType::kReserved;
  const std::string full = cost.per_node_hour.empty() ? "0" : cost.per_node_hour;
  const std::string marginal = !cost.marginal_per_node_hour.empty() ? cost.marginal_per_node_hour
                               : owned                              ? "0"
                                                                    : full;
  const auto full_price = Money::Parse(full);
  if (!full_price) return "spec.cost.perNodeHour: " + full_price.error().message;
  const auto marginal_price = Money::Parse(marginal);
  if (!marginal_price) return "spec.cost.marginalPerNodeHour: " + marginal_price.error().message;
  out.per_node_hour = *full_price;
  out.marginal_per_node_hour = *marginal_price;
  return {};
}

// As long as our last word is that the link is suspect, it can be found healthy no earlier than
// now: the nodes that are still away when the first ones are back have been away since then, not
// before.
std::optional<Time> LinkHealthySince(const crds::v1alpha1::NodeGroup& group, bool link_down,
                                     Time now) {
  const auto* link = crds::v1alpha1::FindCondition(group.status.conditions, "LinkHealthy");
  if (link == nullptr) return std::nullopt;
  if (link->status == "True") return link->changed;
  return link_down ? std::nullopt : std::optional<Time>(now);
}

placement::Elastic ObserveElastic(const ElasticSpec& elastic) {
  placement::Elastic out;
  out.min_nodes = elastic.min_nodes;
  out.max_nodes = elastic.max_nodes;
  out.step_nodes = elastic.step_nodes;
  out.single_domain = elastic.single_domain;
  out.node_shape = elastic.node_shape;
  out.provision_timeout = Seconds(elastic.provision_timeout_seconds);
  out.backoff_initial = Seconds(elastic.backoff_initial_seconds);
  out.backoff_max = Seconds(elastic.backoff_max_seconds);
  if (elastic.scale_down_delay_seconds) {
    out.scale_down_delay = Seconds(*elastic.scale_down_delay_seconds);
  }
  out.max_hourly_cost = AmountOf(elastic.max_hourly_cost);
  return out;
}

placement::GroupMemory GroupMemoryOf(const crds::v1alpha1::NodeGroupStatus& status) {
  placement::GroupMemory memory;
  // Once all have come there are none under way, however many of them go later.
  const auto& scale = status.scale;
  if (scale && scale->desired > scale->observed) memory.desired = scale->desired;
  if (scale && scale->spare) memory.spare = {scale->spare->nodes, scale->spare->since};
  if (scale && scale->leaving) {
    memory.leaving = {scale->leaving->nodes, scale->leaving->since, scale->leaving->replicas,
                      scale->leaving->lowered};
  }
  if (const auto& stockout = status.stockout) {
    memory.stockout = {stockout->since, stockout->attempts, stockout->next_try};
  }
  return memory;
}

// The nodes that the group has whoever needs them cost more than it may.
void RefuseDearLeast(placement::NodeGroup& group) {
  const int most = placement::MostNodes(group);
  const placement::Elastic& elastic = *group.elastic;
  if (!group.misconfigured.empty() || !elastic.max_hourly_cost) return;
  if (elastic.min_nodes <= most || elastic.max_nodes <= most) return;
  group.misconfigured = fmt::format(
      "spec.elastic.maxHourlyCost {} pays for {} at spec.cost.perNodeHour {}, fewer than "
      "spec.elastic.minNodes {}; raise the one or lower the other",
      elastic.max_hourly_cost->Format(), placement::Count(most, "node"),
      group.per_node_hour.Format(), elastic.min_nodes);
}

// Two groups that scale one object would each take its nodes for their own doing.
void RefuseSharedTargets(const World& world, placement::Snapshot& snapshot) {
  std::map<std::string, std::vector<size_t>> by_target;
  for (size_t i = 0; i < world.node_groups.size(); ++i) {
    const auto& elastic = world.node_groups[i]->spec.elastic;
    if (elastic) by_target[TargetKey(elastic->target)].push_back(i);
  }
  for (const auto& [target, sharing] : by_target) {
    if (sharing.size() < 2) continue;
    for (const size_t i : sharing) {
      std::string& misconfigured = snapshot.groups[i].misconfigured;
      if (!misconfigured.empty()) continue;
      const size_t other = sharing.front() == i ? sharing[1] : sharing.front();
      misconfigured = fmt::format(
          "spec.elastic.target {} is the target of node group {} as well; give each "
          "group a target of its own",
          target, snapshot.groups[other].name);
    }
  }
}

placement::NodeGroup ObserveGroup(const crds::v1alpha1::NodeGroup& group, const Settings& settings,
                                  Time now) {
  const NodeGroupSpec& spec = group.spec;
  placement::NodeGroup out;
  out.name = group.meta.name;
  out.labels = group.meta.labels;
  out.provider = placement::ProviderFrom(spec.provider).value_or(placement::Provider::kOther);
  out.tier = spec.tier;
  out.admission = placement::AdmissionFrom(spec.admission).value_or(placement::Admission::kClosed);
  out.selector = Requirements(spec.selector);
  out.accelerator = spec.accelerator.type;
  out.resource = spec.accelerator.resource;
  out.per_node = spec.accelerator.per_node;
  out.capacity_type =
      placement::CapacityTypeFrom(spec.capacity_type).value_or(placement::CapacityType::kOnDemand);
  out.misconfigured = ObserveCost(spec, settings.currency, out);
  out.domain_labels = spec.domain_labels;
  for (const auto& t : spec.tolerations)
    out.tolerations.push_back({t.key, t.op, t.value, t.effect});
  out.pod_defaults = spec.pod_defaults.resources;
  out.startup_grace = Seconds(spec.health.startup_grace_seconds);
  out.not_ready_grace = Seconds(spec.health.not_ready_grace_seconds);
  out.max_unhealthy_percent = spec.health.max_unhealthy_percent;
  for (const auto& bad : spec.health.bad_conditions) {
    out.bad_conditions.push_back({bad.type, bad.status});
  }
  for (const auto& bad : spec.health.bad_taints) {
    out.bad_taints.push_back({bad.key, bad.value, bad.effect});
  }
  const auto link = group.meta.annotations.find(kLinkAnnotation);
  out.link_down = link != group.meta.annotations.end() && link->second == "down";
  out.link_healthy_since = LinkHealthySince(group, out.link_down, now);
  if (spec.elastic) {
    out.elastic = ObserveElastic(*spec.elastic);
    out.memory = GroupMemoryOf(group.status);
    RefuseDearLeast(out);
  }
  return out;
}

// ---- training pools ----

// Those that succeeded are counted by their Job.
std::vector<placement::Worker> ObserveWorkers(const Family& family) {
  std::vector<placement::Worker> out;
  out.reserve(family.pods.size());
  for (const kube::Pod* pod : family.pods) {
    if (pod->phase == kube::PodPhase::kSucceeded) continue;
    placement::Worker worker;
    worker.pod = pod->meta.name;
    worker.attempt = AttemptOf(pod->meta);
    worker.index = pod->completion_index;
    worker.node = pod->node;
    worker.why_unbound = pod->scheduling_message;
    worker.requests = pod->requests;
    worker.ended = pod->phase == kube::PodPhase::kFailed;
    worker.running = pod->phase == kube::PodPhase::kRunning;
    worker.ready = worker.running && pod->ready;
    out.push_back(std::move(worker));
  }
  return out;
}

// The first worker of an attempt that ended badly: the cause; the others fell with it, or were
// stopped by their Job. After a disruption, the first that Kubernetes itself says was disrupted.
std::optional<placement::Failure> FirstFailure(const Family& family, const kube::Job& job,
                                               int attempt, bool disrupted) {
  const kube::Pod* first = nullptr;
  for (const kube::Pod* pod : family.pods) {
    if (AttemptOf(pod->meta) != attempt || pod->phase != kube::PodPhase::kFailed) continue;
    const bool candidate = disrupted ? pod->disrupted : !pod->meta.deleted;
    if (!pod->failure || !candidate) continue;
    if (first == nullptr || std::tie(pod->failure->finished, pod->completion_index) <
                                std::tie(first->failure->finished, first->completion_index)) {
      first = pod;
    }
  }
  placement::Failure failure;
  failure.attempt = attempt;
  failure.reason = job.failure_reason;
  failure.message = job.failure_message;
  failure.time = job.finished.value_or(job.meta.created);
  if (first == nullptr) return failure;
  failure.worker = first->completion_index;
  failure.node = first->node;
  failure.exit_code = first->failure->exit_code;
  failure.reason = first->failure->reason;
  if (!first->failure->message.empty()) failure.message = first->failure->message;
  if (first->failure->finished != Time{}) failure.time = first->failure->finished;
  return failure;
}

// The Job counts a pod a moment after it has succeeded: a worker must be seen as either all the
// time, or its gang would look incomplete.
int SucceededOf(const Family& family, const kube::Job& job, int attempt) {
  const auto succeeded =
      std::count_if(family.pods.begin(), family.pods.end(), [attempt](const kube::Pod* pod) {
        return pod->phase == kube::PodPhase::kSucceeded && AttemptOf(pod->meta) == attempt;
      });
  return std::max(job.succeeded, static_cast<int>(succeeded));
}

// Was a worker evicted or deleted, while none ended by its own exit? A worker that failed itself
// stays as a failed pod that nobody deletes; the others are deleted by its Job only after that, so
// that a pod which is deleted, or gone already, beside none that failed itself was taken away.
// `awaited`: a pod that is not there may be one that is not seen yet.
bool CameFromDisruption(const Family& family, const placement::Placement& placement, bool awaited) {
  bool taken = false;
  bool failed_itself = false;
  std::set<int> there;
  for (const kube::Pod* pod : family.pods) {
    if (AttemptOf(pod->meta) != placement.attempt) continue;
    if (pod->disrupted) return true;
    there.insert(pod->completion_index);
    if (pod->meta.deleted) {
      taken = true;
    } else if (pod->phase == kube::PodPhase::kFailed) {
      failed_itself = true;
    }
  }
  const bool gone = !awaited && std::ssize(there) < placement.workers;
  return !failed_itself && (taken || gone);
}

placement::AttemptFacts ObserveAttempt(const Family& family, const PoolMemory& memory, Time now,
                                       const std::string& pods_version) {
  placement::AttemptFacts facts;
  if (!memory.placement) return facts;
  for (const kube::Job* job : family.jobs) {
    if (AttemptOf(job->meta) != memory.placement->attempt || job->meta.deleted) continue;
    facts.exists = true;
    facts.complete = job->complete;
    facts.failed = job->failed_condition;
    facts.succeeded = SucceededOf(family, *job, memory.placement->attempt);
    if (!facts.failed) continue;
    const Time failed_at = job->finished.value_or(job->meta.created);
    facts.pods_behind = kube::NewerVersion(job->meta.resource_version, pods_version);
    const bool awaited = now < placement::PodAwaitedUntil(failed_at, facts.pods_behind);
    facts.disrupted = CameFromDisruption(family, *memory.placement, awaited);
    facts.failure = FirstFailure(family, *job, memory.placement->attempt, facts.disrupted);
    // A node's clock that is ahead must not prolong the backoff.
    facts.failure->time = std::min(facts.failure->time, now);
  }
  return facts;
}

// A commit comes before its Job, so that a Job of a later attempt than any that the status knows
// tells of an erased status, of an older one put back, or of a cache that lags behind. The newest
// live one says what was committed; the status write that follows holds only if that is still so.
void RebuildMemory(const Family& family, PoolMemory& memory) {
  if (memory.completed) return;
  for (const kube::Job* job : family.jobs) {
    if (job->meta.deleted || AttemptOf(job->meta) <= memory.attempts) continue;
    const auto record = job->meta.annotations.find(kPlacementAnnotation);
    if (record == job->meta.annotations.end()) continue;
    auto rebuilt = DecodeRecord(record->second);
    if (rebuilt && rebuilt->attempts > memory.attempts) memory = *std::move(rebuilt);
  }
}

void ObserveTemplate(const crds::v1alpha1::TrainingPool& pool, const TemplateAnswer& answer,
                     const std::vector<placement::NodeGroup>& groups,
                     placement::TrainingPool& out) {
  switch (answer.state) {
    case TemplateAnswer::State::kPending:
      // A gang had its template taken before it was placed; it may go on although the quota is
      // full.
      if (!answer.message.empty() && out.memory.placement &&
          out.memory.placement->spec_revision == out.spec_revision) {
        break;
      }
      out.template_unchecked = true;
      out.namespace_quota = answer.message;
      return;
    case TemplateAnswer::State::kInvalid:
      out.template_invalid = answer.message;
      return;
    case TemplateAnswer::State::kValid:
      break;
  }
  std::vector<std::string> types;
  types.reserve(pool.spec.accelerators.size());
  for (const auto& accepted : pool.spec.accelerators) types.push_back(accepted.type);
  out.requests = WithoutAccelerators(types, answer.shape, groups);
  out.other_cpu = answer.shape.others.Get(kCpu);
  out.tolerations = answer.shape.tolerations;
  out.node_terms = answer.shape.node_terms;
  for (const std::string& type : types) {
    out.template_invalid = AcceleratorConflict(type, pool.spec.accelerators_per_worker,
                                               "spec.acceleratorsPerWorker", answer.shape, groups);
    if (!out.template_invalid.empty()) return;
  }
}

void ObserveSpec(const TrainingPoolSpec& spec, placement::TrainingPool& out) {
  out.per_worker = spec.accelerators_per_worker;
  for (const auto& accepted : spec.accelerators) {
    const bool own = accepted.workers > 0;
    out.accelerators.push_back({accepted.type, own ? accepted.workers : spec.workers,
                                own ? accepted.min_workers : spec.min_workers});
  }
  const auto& placing = spec.placement.Get();
  for (const std::string& provider : placing.providers) {
    if (const auto known = placement::ProviderFrom(provider)) out.providers.push_back(*known);
  }
  out.group_selector = Requirements(placing.node_group_selector);
  out.preference =
      placement::PreferenceFrom(placing.preference).value_or(placement::Preference::kHomeFirst);
  out.spill_allowed = placing.spill_policy == "Allowed";
  out.spill_after = Seconds(placing.spill_after_seconds);
  out.spill_max_hourly_cost = AmountOf(placing.spill_max_hourly_cost);
  out.return_home =
      placement::ReturnHomeFrom(placing.return_policy).value_or(placement::ReturnHome::kNever);
  out.return_after = Seconds(placing.return_after_seconds);
  out.return_min_savings_percent = placing.return_min_savings_percent;
  out.topology = placement::TopologyModeFrom(placing.topology_mode)
                     .value_or(placement::TopologyMode::kPreferred);
  out.topology_level = placing.topology_level;
  out.start_deadline = Seconds(placing.start_deadline_seconds);
  out.max_restarts = spec.restart.Get().max_restarts;
  out.backoff = Seconds(spec.restart.Get().backoff_seconds);
  out.node_lost = Seconds(spec.restart.Get().node_lost_seconds);
  out.hold = Seconds(spec.restart.Get().hold_seconds);
  out.on_unreachable = placement::OnUnreachableFrom(spec.restart.Get().on_unreachable)
                           .value_or(placement::OnUnreachable::kWait);
  out.checkpoint_interval = Seconds(spec.checkpoint.interval_seconds);
  out.checkpoint_grace = Seconds(spec.checkpoint.grace_seconds);
  out.preempts =
      placement::PreemptsFrom(spec.preemption.Get().preempts).value_or(placement::Preempts::kNever);
  out.preemptible = placement::PreemptibleFrom(spec.preemption.Get().preemptible)
                        .value_or(placement::Preemptible::kNever);
  out.min_run = Seconds(spec.preemption.Get().min_run_seconds);
  if (spec.active_deadline_seconds) out.active_deadline = Seconds(*spec.active_deadline_seconds);
  if (spec.expected_seconds) out.expected = Seconds(*spec.expected_seconds);
  out.suspended = spec.suspend;
  out.spec_revision = SpecRevision(spec);
}

// What the program says; no time, or one that has not come yet, says nothing.
std::optional<Time> LastCheckpoint(const kube::ObjectMeta& meta, Time now) {
  const auto at = meta.annotations.find(kCheckpointAnnotation);
  if (at == meta.annotations.end()) return std::nullopt;
  const auto time = ParseTime(at->second);
  return time && *time <= now ? std::optional<Time>(*time) : std::nullopt;
}

// What the program says is left; anything but a whole number up to ten years says nothing.
std::optional<Seconds> Remaining(const kube::ObjectMeta& meta) {
  constexpr int64_t kMost = 315'360'000;
  const auto at = meta.annotations.find(kRemainingAnnotation);
  if (at == meta.annotations.end()) return std::nullopt;
  const auto seconds = WholeNumber(at->second);
  if (!seconds || *seconds < 0 || *seconds > kMost) return std::nullopt;
  return Seconds(*seconds);
}

class PoolObserver {
 public:
  PoolObserver(const World& world, const Families& families, const ObserveInput& input,
               const std::vector<placement::NodeGroup>& groups)
      : input_(input),
        groups_(groups),
        pods_version_(world.pods_version),
        families_(families),
        priorities_(ObservePriorities(world)) {
    for (const auto& quota : world.pool_quotas) quotas_.emplace(quota->meta.ns, quota.get());
  }

  [[nodiscard]] placement::TrainingPool Observe(const crds::v1alpha1::TrainingPool& pool,
                                                const Family& mine) const {
    placement::TrainingPool out;
    out.key = {pool.meta.ns, pool.meta.name};
    out.uid = pool.meta.uid;
    ObserveSpec(pool.spec, out);
    out.last_checkpoint = LastCheckpoint(pool.meta, input_.now);
    out.remaining = Remaining(pool.meta);
    const auto quota = quotas_.find(pool.meta.ns);
    PriorityAnswer priority = PriorityOf(pool.spec.priority_class_name, pool.meta.ns, priorities_,
                                         quota == quotas_.end() ? nullptr : quota->second);
    out.priority = priority.value;
    out.misconfigured = std::move(priority.misconfigured);
    out.memory = MemoryOf(pool.status);
    RebuildMemory(mine, out.memory);
    if (input_.settings->mode == Mode::kObserve) PretendQueued(pool, out.memory);
    out.attempt = ObserveAttempt(mine, out.memory, input_.now, pods_version_);
    out.workers = ObserveWorkers(mine);
    ObserveTemplate(pool, input_.ask_template(SubjectOf(pool)), groups_, out);
    out.name_conflict = NameConflict(pool);
    return out;
  }

 private:
  // Nothing durable is written in this mode, so that the queue starts with the object itself.
  static void PretendQueued(const crds::v1alpha1::TrainingPool& pool, PoolMemory& memory) {
    if (!memory.queued_since) memory.queued_since = pool.meta.created;
    if (!memory.placement && !memory.waiting_since) memory.waiting_since = pool.meta.created;
  }

  [[nodiscard]] std::string NameConflict(const crds::v1alpha1::TrainingPool& pool) const {
    const auto at = input_.name_conflicts->find(pool.meta.uid);
    if (at != input_.name_conflicts->end()) return at->second;
    return families_.EarlierOf("TrainingPool", pool.meta);
  }

  const ObserveInput& input_;
  const std::vector<placement::NodeGroup>& groups_;
  const std::string& pods_version_;
  const Families& families_;
  Priorities priorities_;
  std::map<std::string, const PoolQuota*> quotas_;
};

// ---- quotas ----

placement::Quota ObserveQuota(const PoolQuota& quota) {
  placement::Quota out{.ns = quota.meta.ns, .limits = {}, .weight = quota.spec.weight};
  for (const auto& limit : quota.spec.accelerators) {
    out.limits.push_back({limit.type, limit.limit, limit.guaranteed});
  }
  out.max_hourly_cost = AmountOf(quota.spec.spend.max_hourly_cost);
  if (const auto& budget = quota.spec.spend.budget) {
    out.budget = {
        AmountOf(budget->amount).value_or(Money()),
        placement::BudgetPeriodFrom(budget->period).value_or(placement::BudgetPeriod::kMonth),
        placement::AtLimitFrom(budget->at_limit).value_or(placement::AtLimit::kBlockSpill)};
  }
  const auto& status = quota.status;
  if (status.as_of && status.period_start) {
    out.memory = {AmountOf(status.budget_spent).value_or(Money()),
                  AmountOf(status.hourly_cost).value_or(Money()), *status.as_of,
                  *status.period_start};
  }
  return out;
}

// `snapshot`: with the nodes that `nodes` left there, and nothing else.
void ObserveInto(const World& world, const Families& families, const ObserveInput& input,
                 NodeObserver& nodes, placement::Snapshot& snapshot) {
  snapshot.now = input.now;
  snapshot.currency = input.settings->currency;
  snapshot.render_revision = input.render_revision;
  for (const auto& limit : input.settings->default_limits) {
    snapshot.default_limits.push_back({limit.type, limit.limit});
  }
  placement::Sharing sharing;
  nodes.Observe(world, families, input.now, sharing, snapshot.nodes);
  for (const auto& group : world.node_groups) {
    placement::NodeGroup& seen =
        snapshot.groups.emplace_back(ObserveGroup(*group, *input.settings, input.now));
    if (input.targets == nullptr || !seen.elastic) continue;
    const auto target = input.targets->find(group->meta.uid);
    if (target == input.targets->end()) continue;
    seen.target_replicas = target->second.replicas;
    seen.target_fixed = target->second.fixed;
    seen.leaving_stay = target->second.stays;
  }
  RefuseSharedTargets(world, snapshot);
  for (const auto& quota : world.pool_quotas) {
    snapshot.quotas.push_back(ObserveQuota(*quota));
  }
  const PoolObserver observer(world, families, input, snapshot.groups);
  snapshot.pools.reserve(world.training_pools.size());
  for (size_t i = 0; i < world.training_pools.size(); ++i) {
    const crds::v1alpha1::TrainingPool& pool = *world.training_pools[i];
    if (pool.meta.deleted) continue;
    snapshot.pools.push_back(observer.Observe(pool, families.OfTraining(i)));
    sharing.Share(snapshot.pools.back());
  }
  ObserveInferencePools(world, families, input, sharing, snapshot);
}

}  // namespace

placement::PoolKey KeyOf(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return {"", text};
  return {text.substr(0, slash), text.substr(slash + 1)};
}

placement::PoolMemory MemoryOf(const TrainingPoolStatus& status) {
  PoolMemory memory;
  if (status.placement) {
    const auto& p = *status.placement;
    memory.placement = placement::Placement{"",        p.node_group,      p.accelerator,   p.domain,
                                            p.tier,    p.workers,         p.per_worker,    p.nodes,
                                            p.attempt, p.render_revision, p.spec_revision, p.since};
  }
  if (status.hold) {
    memory.hold = placement::Hold{status.hold->node_group, status.hold->domain, status.hold->nodes,
                                  status.hold->until,      status.hold->since,  {}};
    for (const std::string& victim : status.hold->victims) {
      memory.hold->victims.push_back(KeyOf(victim));
    }
    for (const std::string& replica : status.hold->replicas) {
      if (auto key = placement::ReplicaKeyFrom(replica)) {
        memory.hold->replicas.push_back(std::move(*key));
      }
    }
    memory.hold->shrinks = status.hold->shrinks;
  }
  if (status.ask) {
    memory.ask = {status.ask->node_group, status.ask->nodes, status.ask->workers,
                  status.ask->since};
  }
  for (const auto& eviction : status.evictions) {
    memory.evictions.push_back({eviction.time, eviction.cause});
  }
  memory.ready_since = status.ready_since;
  if (status.restart_seconds) memory.restart_took = Seconds(*status.restart_seconds);
  memory.home_fits_since = status.home_fits_since;
  memory.growth_fits_since = status.growth_fits_since;
  memory.over_budget_since = status.over_budget_since;
  memory.last_move = status.last_move;
  if (status.dwell_seconds) memory.dwell = Seconds(*status.dwell_seconds);
  memory.queued_since = status.queued_since;
  memory.waiting_since = status.waiting_since;
  memory.started = status.start_time;
  memory.completed = status.completion_time;
  memory.tiers_used.insert(status.tiers_used.begin(), status.tiers_used.end());
  memory.attempts = status.attempts;
  memory.restarts = status.restarts;
  memory.failures = status.failures;
  if (status.last_failure) {
    const auto& f = *status.last_failure;
    memory.last_failure =
        placement::Failure{f.attempt, f.worker, f.node, f.exit_code, f.reason, f.message, f.time};
  }
  for (const auto& node : status.excluded_nodes) {
    memory.excluded.push_back({node.name, node.until, node.reason});
  }
  if (memory.completed) {
    const auto* complete = crds::v1alpha1::FindCondition(status.conditions, "Complete");
    memory.succeeded = complete != nullptr && complete->status == "True";
    const auto* failed = crds::v1alpha1::FindCondition(status.conditions, "Failed");
    if (!memory.succeeded && failed != nullptr) memory.failed_reason = failed->reason;
  }
  return memory;
}

std::string SpecRevision(const TrainingPoolSpec& spec) {
  std::string text =
      fmt::format("{}|{}|{}|{}|{}|{}|{}", spec.workers, spec.accelerators_per_worker,
                  spec.torch_port, spec.torch_proc_per_node, spec.placement.Get().topology_mode,
                  spec.placement.Get().topology_level, spec.pod_template);
  for (const auto& accepted : spec.accelerators) {
    text += fmt::format("|{}={}", accepted.type, accepted.workers);
  }
  for (const std::string& provider : spec.placement.Get().providers) text += "|" + provider;
  for (const auto& r : spec.placement.Get().node_group_selector) {
    text += fmt::format("|{} {} {}", r.key, r.op, fmt::join(r.values, ","));
  }
  return HashHex(text, 8);
}

placement::Snapshot Observe(const World& world, const Families& families,
                            const ObserveInput& input) {
  placement::Snapshot snapshot;
  NodeObserver nodes;
  ObserveInto(world, families, input, nodes, snapshot);
  return snapshot;
}

const placement::Snapshot& Observer::Observe(const World& world, const Families& families,
                                             const ObserveInput& input) {
  KeepNodesAlone();  // what follows needs no second set of pools meanwhile
  ObserveInto(world, families, input, nodes_, snapshot_);
  return snapshot_;
}

void Observer::KeepNodesAlone() {
  std::vector<placement::Node> nodes = std::move(snapshot_.nodes);
  snapshot_ = {};
  snapshot_.nodes = std::move(nodes);
}

placement::Snapshot Observer::HandOver() {
  placement::Snapshot given = std::move(snapshot_);
  snapshot_ = {};
  snapshot_.nodes = given.nodes;
  return given;
}

}  // namespace spillway::controllers
