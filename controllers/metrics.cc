#include "controllers/metrics.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

#include "controllers/applier.h"
#include "controllers/pool_key_hash.h"
#include "placement/capacity.h"

namespace spillway::controllers {
namespace {

using placement::Action;

constexpr std::array<const char*, 10> kWrittenKinds = {
    "TrainingPool", "InferencePool", "NodeGroup",           "PoolQuota", "Job",
    "Deployment",   "Service",       "PodDisruptionBudget", "Pod",       "Scale"};
// Those that change a pool: what stays as it is may still have its status written.
constexpr std::array<Action, 5> kActions = {Action::kPlace, Action::kRestart, Action::kRelease,
                                            Action::kFinish, Action::kScale};

// Every condition that some kind of ours has.
constexpr std::array<std::pair<const char*, const char*>, 17> kConditions = {
    {{"TrainingPool", "TemplateValid"},
     {"TrainingPool", "Placed"},
     {"TrainingPool", "Ready"},
     {"TrainingPool", "Spilled"},
     {"TrainingPool", "Complete"},
     {"TrainingPool", "Failed"},
     {"InferencePool", "TemplateValid"},
     {"InferencePool", "CapacityMet"},
     {"InferencePool", "Ready"},
     {"InferencePool", "Spilled"},
     {"NodeGroup", "Ready"},
     {"NodeGroup", "NoOverlap"},
     {"NodeGroup", "ShapeMatches"},
     {"NodeGroup", "LinkHealthy"},
     {"NodeGroup", "InStock"},
     {"NodeGroup", "TargetReady"},
     {"PoolQuota", "Ready"}}};

std::vector<double> Durations() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
}
std::vector<double> Waits() {
  return {1, 5, 15, 60, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600};
}

double Number(int64_t value) { return static_cast<double>(value); }

}  // namespace

Metrics::Metrics(MetricsRegistry& registry)
    : standard_(registry),
      write_queue_(registry, "spillway-writes",
                   {{kWriteStatuses, "2"}, {kWriteNews, "1"}, {kWriteRetries, "0"}}, true),
      passes_(registry.AddCounter("spillway_passes_total", "Passes from snapshot to writes.")),
      pass_seconds_(
          registry.AddHistogram("spillway_pass_duration_seconds",
                                "Time of a whole pass, with its statuses and what else was "
                                "written within a second.",
                                Durations())),
      plan_seconds_(registry.AddHistogram("spillway_plan_duration_seconds",
                                          "Time that deciding took in a pass.", Durations())),
      cache_wait_seconds_(registry.AddHistogram(
          "spillway_cache_wait_seconds",
          "Time that a pass waited until the cache had seen our own last writes.", Durations())),
      stale_cache_overrides_(registry.AddCounter(
          "spillway_stale_cache_overrides_total",
          "Passes that went on although the cache had not seen our own last writes in time.")),
      broken_plans_(
          registry.AddCounter("spillway_broken_plans_total",
                              "Plans that broke an invariant; only debug builds look for them.")),
      dropped_(
          registry.AddCounter("spillway_writes_dropped_total",
                              "Writes planned but not sent because this process does not lead.")),
      withheld_(registry.AddCounter(
          "spillway_withheld_writes_total",
          "Times that nothing was written about a pool, as it takes room that another one is still "
          "to give up.")),
      written_too_often_(registry.AddCounter(
          "spillway_objects_written_too_often_total",
          "Times that one object was written about in more than 50 passes of a minute: something "
          "undoes what is written.")),
      wait_seconds_(registry.AddHistogram(
          "spillway_pool_wait_seconds",
          "Time from when a pool could first run until it was first placed.", Waits())),
      start_seconds_(registry.AddHistogram(
          "spillway_pool_start_seconds",
          "Time from when a training pool was first placed until all its workers were ready for "
          "the first time.",
          Waits())),
      group_nodes_(registry.AddGaugeSet("spillway_node_group_nodes",
                                        "Nodes of a node group by state.",
                                        {"node_group", "provider", "tier", "state"})),
      group_accelerators_(registry.AddGaugeSet(
          "spillway_node_group_accelerators", "Accelerators of a node group by state.",
          {"node_group", "provider", "tier", "type", "state"})),
      group_cost_(registry.AddGaugeSet(
          "spillway_node_group_hourly_cost",
          "Cost per hour of a node group in the installation's currency: all, idle, marginal.",
          {"node_group", "provider", "tier", "share"})),
      group_condition_(registry.AddGaugeSet("spillway_node_group_condition",
                                            "1 if the condition of the node group holds, else 0.",
                                            {"node_group", "provider", "tier", "condition"})),
      pools_(registry.AddGaugeSet("spillway_pools", "Pools by kind, state and reason.",
                                  {"kind", "state", "reason", "spilled"})),
      waiting_since_(registry.AddGaugeSet(
          "spillway_oldest_waiting_timestamp_seconds",
          "Since when the pool that has waited longest for this reason has been waiting.",
          {"reason"})),
      pool_accelerators_(
          registry.AddGaugeSet("spillway_placed_accelerators",
                               "Accelerators of placed pools by namespace, node group and type.",
                               {"namespace", "node_group", "type"})),
      pool_cost_(registry.AddGaugeSet(
          "spillway_placed_hourly_cost",
          "Cost per hour of placed pools by namespace and node group, in the installation's "
          "currency.",
          {"namespace", "node_group"})),
      quota_(registry.AddGaugeSet("spillway_quota_accelerators",
                                  "Accelerators of a namespace by type: used, limit, guaranteed, "
                                  "borrowed beyond the guarantee, and lent to others of it.",
                                  {"namespace", "type", "value"})),
      quota_cost_(registry.AddGaugeSet(
          "spillway_quota_hourly_cost",
          "Cost per hour of a namespace's pools outside home, by marginal price in the "
          "installation's currency: used and limit.",
          {"namespace", "value"})),
      quota_budget_(registry.AddGaugeSet(
          "spillway_quota_budget",
          "A namespace's budget for the running period, in the installation's currency: spent and "
          "amount.",
          {"namespace", "value"})),
      replicas_(registry.AddGaugeSet(
          "spillway_inference_replicas",
          "Replicas of inference pools by namespace, node group and state: desired and ready.",
          {"namespace", "node_group", "state"})),
      blocked_cells_(registry.AddGaugeSet(
          "spillway_inference_blocked_cells",
          "Cells of inference pools that get no replicas for now because some did not start in "
          "time there, by namespace and node group.",
          {"namespace", "node_group"})),
      conditions_(
          registry.AddGaugeSet("spillway_conditions",
                               "Objects by kind, condition, the condition's status and its reason.",
                               {"kind", "condition", "status", "reason"})) {
  for (const auto& [kind, condition] : kConditions) {
    for (const char* status : {"True", "False", "Unknown"}) {
      turns_.emplace(
          std::make_tuple(kind, condition, status),
          registry.AddCounter("spillway_condition_transitions_total",
                              "Changes of conditions, by kind, condition and the new status.",
                              {{"kind", kind}, {"condition", condition}, {"status", status}}));
    }
  }
  for (const char* kind : kWrittenKinds) {
    for (const bool ok : {true, false}) {
      writes_.emplace(std::make_pair(kind, ok),
                      registry.AddCounter("spillway_writes_total", "Writes to the API server.",
                                          {{"kind", kind}, {"result", ok ? "success" : "error"}}));
    }
  }
  for (const Action action : kActions) {
    decisions_.emplace(
        action, registry.AddCounter("spillway_decisions_total", "Decisions that changed a pool.",
                                    {{"action", std::string(placement::Name(action))}}));
  }
}

void Metrics::PassDone(double pass_seconds, double plan_seconds) const {
  passes_.Increment();
  pass_seconds_.Observe(pass_seconds);
  plan_seconds_.Observe(plan_seconds);
}

void Metrics::Wrote(const std::string& kind, bool ok) const {
  const auto at = writes_.find({kind, ok});
  if (at != writes_.end()) at->second.Increment();
}

void Metrics::Decided(const placement::PoolDecision& decision, Time now) const {
  const auto at = decisions_.find(decision.action);
  if (at != decisions_.end()) at->second.Increment();
  const bool first = decision.action == Action::kPlace && decision.memory.attempts == 1;
  if (first && decision.memory.queued_since) {
    wait_seconds_.Observe(Number((now - *decision.memory.queued_since).count()));
  }
}

void Metrics::Decided(const placement::InferenceDecision& decision) const {
  const auto at = decisions_.find(decision.action);
  if (at != decisions_.end()) at->second.Increment();
}

void Metrics::Turned(const std::string& kind, const crds::v1alpha1::Condition& now) const {
  const auto at = turns_.find({kind, now.type, now.status});
  if (at != turns_.end()) at->second.Increment();
}

void Metrics::PublishDomain(const placement::Snapshot& snapshot,
                            const placement::Plan& plan) const {
  PublishGroups(snapshot, plan);
  PublishPools(snapshot, plan);
  PublishQuotas(plan);
}

void Metrics::PublishGroups(const placement::Snapshot& snapshot,
                            const placement::Plan& plan) const {
  std::map<std::string, const placement::NodeGroup*> groups;
  for (const auto& group : snapshot.groups) groups.emplace(group.name, &group);
  std::vector<Sample> nodes;
  std::vector<Sample> accelerators;
  std::vector<Sample> cost;
  std::vector<Sample> conditions;
  for (const auto& report : plan.groups) {
    const auto at = groups.find(report.name);
    if (at == groups.end()) continue;
    const placement::NodeGroup& group = *at->second;
    const MetricLabels base = {{"node_group", group.name},
                               {"provider", std::string(placement::Name(group.provider))},
                               {"tier", std::to_string(group.tier)}};
    const auto add = [&](std::vector<Sample>& to, MetricLabels more, double value) {
      more.insert(base.begin(), base.end());
      to.push_back({std::move(more), value});
    };
    add(nodes, {{"state", "usable"}}, report.usable);
    add(nodes, {{"state", "starting"}}, report.starting);
    add(nodes, {{"state", "cordoned"}}, report.cordoned);
    add(nodes, {{"state", "unhealthy"}}, report.unhealthy);
    add(nodes, {{"state", "draining"}}, report.draining);
    add(nodes, {{"state", "not_ready"}}, report.not_ready);
    add(accelerators, {{"type", group.accelerator}, {"state", "allocatable"}},
        Number(report.allocatable));
    add(accelerators, {{"type", group.accelerator}, {"state", "used"}}, Number(report.used));
    add(accelerators, {{"type", group.accelerator}, {"state", "free"}}, Number(report.free));
    add(cost, {{"share", "all"}}, report.hourly_cost.Float());
    add(cost, {{"share", "idle"}}, report.idle_hourly_cost.Float());
    add(cost, {{"share", "marginal"}}, report.marginal_hourly_cost.Float());
    add(conditions, {{"condition", "Ready"}}, report.ready ? 1 : 0);
    add(conditions, {{"condition", "NoOverlap"}}, report.no_overlap ? 1 : 0);
    add(conditions, {{"condition", "ShapeMatches"}}, report.shape_matches ? 1 : 0);
    add(conditions, {{"condition", "LinkHealthy"}}, report.link_healthy ? 1 : 0);
  }
  group_nodes_.Replace(nodes);
  group_accelerators_.Replace(accelerators);
  group_cost_.Replace(cost);
  group_condition_.Replace(conditions);
}

namespace {

using Series = std::map<MetricLabels, double>;

// What pools add up to. By parts of their own text, as there may be very many of them.
struct PoolSeries {
  using Where = std::pair<std::string_view, std::string_view>;  // namespace, node group
  std::map<std::tuple<std::string_view, std::string_view, std::string_view, bool>, double> counts;
  Series oldest;
  std::map<std::tuple<std::string_view, std::string_view, std::string_view>, double> accelerators;
  std::map<Where, double> cost;
  Series replicas;
  Series blocked;

  void Count(std::string_view kind, std::string_view state, std::string_view reason, bool spilled) {
    counts[{kind, state, reason, spilled}] += 1;
  }
  void Waits(std::string_view reason, Time since) {
    const double seconds = Number(since.time_since_epoch().count());
    const auto [at, fresh] = oldest.emplace(MetricLabels{{"reason", std::string(reason)}}, seconds);
    if (!fresh) at->second = std::min(at->second, seconds);
  }
  void Has(const std::string& ns, const std::string& node_group, const std::string& type,
           int64_t count, Money hourly_cost) {
    accelerators[{ns, node_group, type}] += Number(count);
    cost[{ns, node_group}] += hourly_cost.Float();
  }
  [[nodiscard]] std::vector<Sample> Counts() const {
    std::vector<Sample> out;
    out.reserve(counts.size());
    for (const auto& [key, count] : counts) {
      const auto& [kind, state, reason, spilled] = key;
      out.push_back({{{"kind", std::string(kind)},
                      {"state", std::string(state)},
                      {"reason", std::string(reason)},
                      {"spilled", spilled ? "true" : "false"}},
                     count});
    }
    return out;
  }
  [[nodiscard]] std::vector<Sample> Accelerators() const {
    std::vector<Sample> out;
    out.reserve(accelerators.size());
    for (const auto& [key, count] : accelerators) {
      const auto& [ns, node_group, type] = key;
      out.push_back({{{"namespace", std::string(ns)},
                      {"node_group", std::string(node_group)},
                      {"type", std::string(type)}},
                     count});
    }
    return out;
  }
  [[nodiscard]] std::vector<Sample> Costs() const {
    std::vector<Sample> out;
    out.reserve(cost.size());
    for (const auto& [where, hourly] : cost) {
      out.push_back(
          {{{"namespace", std::string(where.first)}, {"node_group", std::string(where.second)}},
           hourly});
    }
    return out;
  }
};

void AddGang(const placement::PoolDecision& decision, const placement::TrainingPool* pool,
             PoolSeries& series) {
  const bool ended = decision.memory.completed.has_value();
  const std::string_view reason = placement::ReasonName(
      decision.placed && !ended ? decision.ready_reason : decision.placed_reason);
  series.Count("TrainingPool",
               ended             ? "ended"
               : decision.placed ? "placed"
                                 : "waiting",
               reason, decision.spilled);
  if (!decision.placed && !ended && decision.memory.waiting_since) {
    series.Waits(reason, *decision.memory.waiting_since);
  }
  if (ended || !decision.memory.placement) return;
  const auto& placement = *decision.memory.placement;
  series.Has(decision.key.ns, placement.node_group, placement.accelerator,
             pool == nullptr ? 0 : placement::AcceleratorsOf(*pool, placement),
             decision.hourly_cost);
}

void AddServing(const placement::InferenceDecision& decision, Time now, PoolSeries& series) {
  const std::string_view reason = placement::ReasonName(decision.ready_reason);
  series.Count("InferencePool", decision.capacity_met ? "placed" : "waiting", reason,
               decision.spilled);
  if (!decision.capacity_met && decision.memory.waiting_since) {
    series.Waits(reason, *decision.memory.waiting_since);
  }
  for (const placement::CellDecision& cell : decision.cells) {
    series.Has(decision.key.ns, cell.node_group, cell.accelerator, cell.accelerators,
               cell.hourly_cost);
    for (const auto& [state, count] : {std::pair("desired", cell.desired), {"ready", cell.ready}}) {
      series.replicas[{
          {"namespace", decision.key.ns}, {"node_group", cell.node_group}, {"state", state}}] +=
          count;
    }
  }
  for (const placement::CellMemory& cell : decision.memory.cells) {
    const bool blocked = cell.blocked_until && *cell.blocked_until > now;
    series.blocked[{{"namespace", decision.key.ns}, {"node_group", cell.node_group}}] +=
        blocked ? 1 : 0;
  }
}

// Kind, condition, status, reason; of the objects' own text, as there may be very many of them.
using ConditionCounts =
    std::map<std::tuple<std::string_view, std::string_view, std::string_view, std::string_view>,
             double>;

template <class Object>
void CountConditions(const char* kind, const std::vector<Object>& objects, ConditionCounts& out) {
  for (const auto& object : objects) {
    for (const crds::v1alpha1::Condition& one : object->status.conditions) {
      out[{kind, one.type, one.status, one.reason}] += 1;
    }
  }
}

std::vector<Sample> Samples(const Series& from) {
  std::vector<Sample> out;
  out.reserve(from.size());
  for (const auto& [labels, value] : from) out.push_back({labels, value});
  return out;
}

}  // namespace

void Metrics::PublishPools(const placement::Snapshot& snapshot, const placement::Plan& plan) const {
  std::unordered_map<placement::PoolKey, const placement::TrainingPool*, PoolKeyHash> pools;
  for (const auto& pool : snapshot.pools) pools.emplace(pool.key, &pool);
  PoolSeries series;
  for (const auto& decision : plan.pools) AddGang(decision, pools[decision.key], series);
  for (const auto& decision : plan.inference_pools) AddServing(decision, snapshot.now, series);
  pools_.Replace(series.Counts());
  waiting_since_.Replace(Samples(series.oldest));
  pool_accelerators_.Replace(series.Accelerators());
  pool_cost_.Replace(series.Costs());
  replicas_.Replace(Samples(series.replicas));
  blocked_cells_.Replace(Samples(series.blocked));
}

void Metrics::PublishConditions(const World& world) const {
  ConditionCounts counts;
  CountConditions("TrainingPool", world.training_pools, counts);
  CountConditions("InferencePool", world.inference_pools, counts);
  CountConditions("NodeGroup", world.node_groups, counts);
  CountConditions("PoolQuota", world.pool_quotas, counts);
  std::vector<Sample> samples;
  samples.reserve(counts.size());
  for (const auto& [key, count] : counts) {
    const auto& [kind, condition, status, reason] = key;
    samples.push_back({{{"kind", std::string(kind)},
                        {"condition", std::string(condition)},
                        {"status", std::string(status)},
                        {"reason", std::string(reason)}},
                       count});
  }
  conditions_.Replace(samples);
}

void Metrics::PublishQuotas(const placement::Plan& plan) const {
  std::vector<Sample> samples;
  std::vector<Sample> cost;
  std::vector<Sample> budget;
  const auto put = [](std::vector<Sample>& to, const std::string& ns, const char* value,
                      Money amount) {
    to.push_back({{{"namespace", ns}, {"value", value}}, amount.Float()});
  };
  for (const auto& quota : plan.quotas) {
    put(cost, quota.ns, "used", quota.spend.hourly_cost);
    if (const auto& limit = quota.spend.max_hourly_cost) put(cost, quota.ns, "limit", *limit);
    if (const auto& money = quota.spend.budget) {
      put(budget, quota.ns, "spent", money->spent);
      put(budget, quota.ns, "amount", money->amount);
    }
    for (const auto& use : quota.accelerators) {
      const auto add = [&](const char* value, int64_t accelerators) {
        samples.push_back({{{"namespace", quota.ns}, {"type", use.type}, {"value", value}},
                           Number(accelerators)});
      };
      add("used", use.used);
      if (use.limit) add("limit", *use.limit);
      if (use.guaranteed > 0) add("guaranteed", use.guaranteed);
      if (use.borrowed > 0) add("borrowed", use.borrowed);
      if (use.lent > 0) add("lent", use.lent);
    }
  }
  quota_.Replace(samples);
  quota_cost_.Replace(cost);
  quota_budget_.Replace(budget);
}

}  // namespace spillway::controllers
