#include "controllers/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "controllers/conditions.h"

namespace spillway::controllers {

bool SameMeaning(const std::vector<crds::v1alpha1::Condition>& a,
                 const std::vector<crds::v1alpha1::Condition>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const crds::v1alpha1::Condition& x, const crds::v1alpha1::Condition& y) {
                      return x.type == y.type && x.status == y.status && x.reason == y.reason;
                    });
}

namespace {

using crds::v1alpha1::AskStatus;
using crds::v1alpha1::Condition;
using crds::v1alpha1::FailureStatus;
using crds::v1alpha1::FindCondition;
using crds::v1alpha1::HoldStatus;
using crds::v1alpha1::PlacementStatus;
using crds::v1alpha1::TrainingPoolStatus;
using placement::PoolDecision;
using placement::Reason;
using placement::ReasonName;

// The longest lists that the API takes: one entry more and the whole status would be refused.
constexpr size_t kMostInList = 1000;
constexpr size_t kMostTiers = 64;

void SetTemplateCondition(Conditions& conditions, const placement::TrainingPool& facts) {
  if (facts.template_unchecked) {
    if (conditions.Keep("TemplateValid")) return;
    conditions.SetUnknown(
        "TemplateValid",
        facts.namespace_quota.empty() ? Reason::kPodsNotReady : Reason::kWaitingForQuota,
        facts.namespace_quota.empty()
            ? "the API server has not answered yet whether it takes a pod of this template"
            : "not known yet: " + facts.namespace_quota);
  } else if (facts.template_invalid.empty()) {
    conditions.Set("TemplateValid", true, Reason::kAsExpected,
                   "the API server takes pods of this template");
  } else {
    conditions.Set("TemplateValid", false, Reason::kTemplateInvalid, facts.template_invalid);
  }
}

void SetEndConditions(Conditions& conditions, const PoolDecision& decision) {
  const placement::PoolMemory& memory = decision.memory;
  if (!memory.completed) {
    conditions.Set("Complete", false, Reason::kAsExpected, "the gang has not completed");
    conditions.Set("Failed", false, Reason::kAsExpected, "the gang has not failed for good");
    return;
  }
  const std::string when = FormatTime(*memory.completed);
  if (memory.succeeded) {
    conditions.Set("Complete", true, Reason::kCompleted, "completed at " + when);
    conditions.Set("Failed", false, Reason::kCompleted, "completed at " + when);
  } else {
    const std::string reason = memory.failed_reason.value_or("RestartLimitReached");
    conditions.Set("Complete", false, reason, "failed at " + when);
    conditions.Set("Failed", true, reason, decision.ready_message);
  }
}

// Nobody knows yet where the pool will be, or whether: the answer about its template is awaited.
bool IsUndecided(const PoolDecision& decision, const placement::TrainingPool& facts) {
  return facts.template_unchecked && !decision.placed &&
         decision.placed_reason == Reason::kPodsNotReady;
}

// Leaves out the clauses that end in a moment, such as " since 2026-11-24T12:00:00Z". What is not
// committed is decided anew in every pass, with other moments each time: with them it would be
// written without end.
std::string WithoutMoments(std::string text) {
  const size_t length = FormatTime(Time{}).size();
  for (const std::string_view word : {" since ", " until ", " at ", " by "}) {
    size_t at = 0;
    while ((at = text.find(word, at)) != std::string::npos) {
      const size_t moment = at + word.size();
      if (ParseTime(text.substr(moment, length))) {
        text.erase(at, word.size() + length);
      } else {
        at = moment;
      }
    }
  }
  return text;
}

void SetPlaceConditions(Conditions& conditions, const PoolDecision& decision,
                        const placement::TrainingPool& facts, Mode mode) {
  if (IsUndecided(decision, facts)) {
    conditions.SetUnknown("Placed", decision.placed_reason, decision.placed_message);
    conditions.SetUnknown("Ready", decision.ready_reason, decision.ready_message);
    return;
  }
  // A gang that stays may be about to move: in Observe that is not committed either.
  const bool moments =
      mode == Mode::kEnforce || !decision.placed || decision.memory == facts.memory;
  conditions.Set("Placed", decision.placed, decision.placed_reason,
                 moments ? decision.placed_message : WithoutMoments(decision.placed_message));
  conditions.Set("Ready", decision.ready, decision.ready_reason, decision.ready_message);
}

// What Observe leaves undone; null: the decision changes nothing.
const char* WhatItWouldBe(placement::Action action) {
  switch (action) {
    case placement::Action::kPlace:
      return "placed";
    case placement::Action::kRestart:
      return "started anew";
    case placement::Action::kRelease:
      return "released";
    case placement::Action::kFinish:
      return "ended";
    case placement::Action::kWait:
    case placement::Action::kKeep:
    case placement::Action::kDone:
    case placement::Action::kScale:
      break;
  }
  return nullptr;
}

void TellWhatWouldBe(const char* would, const PoolDecision& decision,
                     const placement::TrainingPool& facts, Conditions& conditions) {
  const std::string told = fmt::format("mode is Observe: would be {}: ", would);
  const auto& placement = facts.memory.placement;
  conditions.Set("Placed", placement.has_value(), decision.placed_reason,
                 told + WithoutMoments(decision.placed_message));
  conditions.Set("Ready", decision.ready, decision.ready_reason,
                 told + WithoutMoments(decision.ready_message));
  const bool spilled = placement && placement->tier > 0;
  conditions.Set("Spilled", spilled, spilled ? Reason::kPlaced : Reason::kAsExpected,
                 spilled ? "runs on " + placement->node_group
                 : decision.spilled_message.empty()
                     ? "runs nothing outside the home tier"
                     : told + WithoutMoments(decision.spilled_message));
  conditions.Set("Complete", false, Reason::kAsExpected, "the gang has not completed");
  conditions.Set("Failed", false, Reason::kAsExpected, "the gang has not failed for good");
}

std::vector<Condition> PoolConditions(const crds::v1alpha1::TrainingPool& old,
                                      const PoolDecision& decision,
                                      const placement::TrainingPool& facts, Mode mode, Time now) {
  Conditions conditions(old.status.conditions, old.meta.generation, now);
  SetTemplateCondition(conditions, facts);
  // In Observe nothing is done by us: the plan is told, and what there is stays.
  const char* would = mode == Mode::kObserve ? WhatItWouldBe(decision.action) : nullptr;
  if (would != nullptr) {
    TellWhatWouldBe(would, decision, facts, conditions);
    return conditions.Take();
  }
  SetPlaceConditions(conditions, decision, facts, mode);
  const bool spilled = decision.spilled;
  conditions.Set("Spilled", spilled, spilled ? Reason::kPlaced : Reason::kAsExpected,
                 decision.spilled_message.empty() ? "runs nothing outside the home tier"
                                                  : decision.spilled_message);
  SetEndConditions(conditions, decision);
  return conditions.Take();
}

void RememberPlacement(const placement::PoolMemory& memory, TrainingPoolStatus& out) {
  if (memory.placement) {
    const auto& p = *memory.placement;
    out.placement = PlacementStatus{p.node_group,      p.accelerator,   p.domain, p.tier,
                                    p.workers,         p.per_worker,    p.nodes,  p.attempt,
                                    p.render_revision, p.spec_revision, p.since};
  }
  if (memory.hold) {
    out.hold = HoldStatus{memory.hold->node_group,  memory.hold->domain, memory.hold->nodes,
                          memory.hold->until,       memory.hold->since,  VictimsOf(*memory.hold),
                          ReplicasOf(*memory.hold), memory.hold->shrinks};
  }
  if (memory.ask) {
    out.ask = AskStatus{memory.ask->node_group, memory.ask->nodes, memory.ask->workers,
                        memory.ask->since};
  }
}

void Remember(const placement::PoolMemory& memory, TrainingPoolStatus& out) {
  RememberPlacement(memory, out);
  out.queued_since = memory.queued_since;
  out.waiting_since = memory.waiting_since;
  out.start_time = memory.started;
  out.completion_time = memory.completed;
  out.tiers_used.assign(memory.tiers_used.begin(), memory.tiers_used.end());
  if (out.tiers_used.size() > kMostTiers) out.tiers_used.resize(kMostTiers);
  out.attempts = memory.attempts;
  out.restarts = memory.restarts;
  out.failures = memory.failures;
  if (memory.last_failure) {
    const auto& f = *memory.last_failure;
    out.last_failure =
        FailureStatus{f.attempt, f.worker, f.node, f.exit_code, f.reason, f.message, f.time};
  }
  for (const auto& eviction : memory.evictions) {
    out.evictions.push_back({eviction.time, eviction.cause});
  }
  out.ready_since = memory.ready_since;
  if (memory.restart_took) out.restart_seconds = static_cast<int>(memory.restart_took->count());
  out.home_fits_since = memory.home_fits_since;
  out.growth_fits_since = memory.growth_fits_since;
  out.over_budget_since = memory.over_budget_since;
  out.last_move = memory.last_move;
  if (memory.dwell) out.dwell_seconds = static_cast<int>(memory.dwell->count());
  for (const auto& node : memory.excluded) {
    if (out.excluded_nodes.size() == kMostInList) break;
    out.excluded_nodes.push_back({node.name, node.until, node.reason});
  }
}

// Conditions that say something unusual when they are not in this state.
bool GoodNews(const Condition& condition) {
  static constexpr std::array<std::string_view, 2> kBadWhenTrue = {"Failed", "Spilled"};
  const bool bad_when_true =
      std::find(kBadWhenTrue.begin(), kBadWhenTrue.end(), condition.type) != kBadWhenTrue.end();
  if (condition.type == "Spilled") return true;
  return (condition.status == "True") != bad_when_true;
}

// Waiting is no fault: it is told without a warning.
bool Waits(const std::string& reason) {
  static constexpr std::array<std::string_view, 15> kCalm = {"HoldingBackSpill",
                                                             "WaitingForCapacity",
                                                             "WaitingForDomain",
                                                             "WaitingForNodes",
                                                             "WaitingForSurge",
                                                             "WaitingForPreemption",
                                                             "WaitingForCheckpoint",
                                                             "Preempted",
                                                             "Paused",
                                                             "Suspended",
                                                             "AsExpected",
                                                             "PodsNotReady",
                                                             "Placed",
                                                             "Completed",
                                                             "BackingOff"};
  return std::find(kCalm.begin(), kCalm.end(), reason) != kCalm.end();
}

Transition Told(const Condition& now) {
  return {.warning = !GoodNews(now) && !Waits(now.reason),
          .reason = now.reason,
          .action = now.type,
          .message = now.message};
}

// As many of the keys as the API takes.
std::vector<std::string> Formatted(const auto& keys) {
  std::vector<std::string> texts;
  for (const auto& key : keys) {
    if (texts.size() == kMostInList) break;
    texts.push_back(key.Format());
  }
  return texts;
}

}  // namespace

std::vector<std::string> VictimsOf(const placement::Hold& claim) {
  return Formatted(claim.victims);
}

std::vector<std::string> ReplicasOf(const placement::Hold& claim) {
  return Formatted(claim.replicas);
}

TrainingPoolStatus DesiredStatus(const crds::v1alpha1::TrainingPool& old,
                                 const PoolDecision& decision, const placement::TrainingPool& facts,
                                 Mode mode, Time now) {
  if (mode == Mode::kObserve) {
    TrainingPoolStatus status = old.status;  // conditions only: nothing durable is ours to write
    status.observed_generation = old.meta.generation;
    status.conditions = PoolConditions(old, decision, facts, mode, now);
    return status;
  }
  TrainingPoolStatus status;
  status.observed_generation = old.meta.generation;
  Remember(decision.memory, status);
  status.workers = {decision.workers_wanted, decision.workers_active, decision.workers_ready, 0,
                    decision.workers_succeeded};
  status.workers.failed = static_cast<int>(
      std::count_if(facts.workers.begin(), facts.workers.end(), [&](const placement::Worker& w) {
        return decision.memory.placement && w.attempt == decision.memory.placement->attempt &&
               w.ended;
      }));
  status.stuck_pods = decision.stuck_pods;
  if (status.stuck_pods.size() > kMostInList) status.stuck_pods.resize(kMostInList);
  if (decision.placed) {
    status.hourly_cost = decision.hourly_cost.Format();
    status.marginal_hourly_cost = decision.marginal_hourly_cost.Format();
  }
  status.conditions = PoolConditions(old, decision, facts, mode, now);
  return status;
}

namespace {

// What was given back and is still there when its time is over; empty: nothing.
std::string StayedBehind(const placement::GroupReport& report, Time now, Seconds timeout) {
  const auto& leaving = report.memory.leaving;
  if (!leaving || !leaving->lowered || now < leaving->since + timeout) return {};
  return fmt::format(
      "nodes that were given back at {} are still there, cordoned, although the target was lowered "
      "to {} replicas for them: {}",
      FormatTime(leaving->since), leaving->replicas.value_or(0), placement::Names(leaving->nodes));
}

void SetElasticConditions(Conditions& conditions, const placement::GroupReport& report,
                          const TargetState& target, Seconds timeout, Time now) {
  const auto& stockout = report.memory.stockout;
  if (stockout && stockout->next_try > now) {
    conditions.Set("InStock", false, Reason::kOutOfStock,
                   fmt::format("the nodes that it was asked for did not come in time, {} since {}: "
                               "it is asked again at {}",
                               placement::Count(stockout->attempts, "time"),
                               FormatTime(stockout->since), FormatTime(stockout->next_try)));
  } else {
    conditions.Set("InStock", true, Reason::kAsExpected, "no nodes are overdue");
  }
  if (!target.problem.empty()) {
    conditions.Set("TargetReady", false, Reason::kTargetUnavailable, target.problem);
  } else if (const std::string late = StayedBehind(report, now, timeout); !late.empty()) {
    conditions.Set("TargetReady", false, Reason::kTargetUnavailable, late);
  } else if (target.replicas) {
    conditions.Set("TargetReady", true, Reason::kAsExpected, "the target can be read and scaled");
  } else if (!conditions.Keep("TargetReady")) {
    conditions.SetUnknown("TargetReady", Reason::kAsExpected, "the target has not been read yet");
  }
}

void RememberScale(const placement::GroupReport& report, const TargetState& target,
                   const crds::v1alpha1::NodeGroupStatus& old,
                   crds::v1alpha1::NodeGroupStatus& out) {
  auto& scale = out.scale.emplace();
  scale.desired = report.memory.desired.value_or(0);
  scale.observed = report.there.value_or(0);
  scale.target = target.replicas;
  if (!scale.target && old.scale) scale.target = old.scale->target;
  if (const auto& spare = report.memory.spare) scale.spare = {spare->nodes, spare->since};
  if (const auto& leaving = report.memory.leaving) {
    scale.leaving = {leaving->nodes, leaving->since, leaving->replicas, leaving->lowered};
  }
  if (const auto& stockout = report.memory.stockout) {
    out.stockout = {stockout->since, stockout->attempts, stockout->next_try};
  }
}

// As many nodes as it is to have: what that says is no decision.
bool IsSettled(const std::optional<crds::v1alpha1::ScaleStatus>& scale) {
  return scale && scale->desired == scale->observed;
}

bool SameDecision(const crds::v1alpha1::NodeGroupStatus& was,
                  const crds::v1alpha1::NodeGroupStatus& is) {
  if (was.stockout != is.stockout || was.scale.has_value() != is.scale.has_value()) return false;
  if (!is.scale) return true;
  return was.scale->target == is.scale->target && was.scale->spare == is.scale->spare &&
         was.scale->leaving == is.scale->leaving &&
         (was.scale->desired == is.scale->desired || (IsSettled(was.scale) && IsSettled(is.scale)));
}

}  // namespace

crds::v1alpha1::NodeGroupStatus DesiredStatus(const crds::v1alpha1::NodeGroup& old,
                                              const placement::GroupReport& report,
                                              const TargetState& target, Mode mode, Time now) {
  crds::v1alpha1::NodeGroupStatus status;
  Conditions conditions(old.status.conditions, old.meta.generation, now);
  conditions.Set("Ready", report.ready, report.ready_reason, report.ready_message);
  conditions.Set(
      "NoOverlap", report.no_overlap,
      report.no_overlap ? Reason::kAsExpected : Reason::kNodesOverlap,
      report.no_overlap ? "no node belongs to another node group as well" : report.overlap_message);
  conditions.Set(
      "ShapeMatches", report.shape_matches,
      report.shape_matches ? Reason::kAsExpected : Reason::kShapeMismatch,
      report.shape_matches ? "no node has other amounts than the spec says" : report.shape_message);
  conditions.Set(
      "LinkHealthy", report.link_healthy,
      report.link_healthy ? Reason::kAsExpected : Reason::kLinkSuspect,
      report.link_healthy ? "not too many nodes are NotReady at once" : report.link_message);
  if (old.spec.elastic) {
    const Seconds timeout(old.spec.elastic->provision_timeout_seconds);
    SetElasticConditions(conditions, report, target, timeout, now);
  }
  if (mode == Mode::kObserve) status = old.status;
  status.observed_generation = old.meta.generation;
  status.conditions = conditions.Take();
  if (mode == Mode::kObserve) return status;
  status.nodes = {report.matched,  report.usable,    report.starting,
                  report.cordoned, report.unhealthy, report.draining};
  status.accelerators = {report.allocatable, report.used, report.free};
  status.largest_free_domain = {report.largest_free_domain_nodes, report.largest_free_domain};
  status.hourly_cost = report.hourly_cost.Format();
  status.idle_hourly_cost = report.idle_hourly_cost.Format();
  status.marginal_hourly_cost = report.marginal_hourly_cost.Format();
  if (old.spec.elastic) RememberScale(report, target, old.status, status);
  return status;
}

crds::v1alpha1::PoolQuotaStatus DesiredStatus(const crds::v1alpha1::PoolQuota& old,
                                              const placement::QuotaReport& report, Mode mode,
                                              Time now) {
  crds::v1alpha1::PoolQuotaStatus status;
  if (mode == Mode::kObserve) status = old.status;
  Conditions conditions(old.status.conditions, old.meta.generation, now);
  conditions.Set("Ready", true, Reason::kAsExpected, "the quota is in force");
  conditions.Set("GuaranteesCovered", report.guarantees_covered,
                 report.guarantees_covered ? Reason::kAsExpected : Reason::kGuaranteeUncovered,
                 report.guarantees_covered ? "home has what is guaranteed to all namespaces"
                                           : report.guarantees_message);
  status.observed_generation = old.meta.generation;
  status.conditions = conditions.Take();
  if (mode == Mode::kObserve) return status;
  for (const auto& use : report.accelerators) {
    status.accelerators.push_back(
        {use.type, use.used, use.limit, use.guaranteed, use.borrowed, use.lent});
  }
  status.hourly_cost = report.spend.hourly_cost.Format();
  if (const auto& budget = report.spend.budget) {
    status.budget_spent = budget->memory.spent.Format();
    status.as_of = budget->memory.as_of;
    status.period_start = budget->memory.period_start;
  }
  return status;
}

bool TellRefusal(const std::string& refusal, std::vector<Condition>& conditions) {
  for (Condition& condition : conditions) {
    const bool waits =
        condition.status == "False" && condition.reason == ReasonName(Reason::kPodsNotReady);
    if (condition.type != "Ready" || !waits) continue;
    condition.message = placement::Short(refusal);
    return true;
  }
  return false;
}

Change Compare(const TrainingPoolStatus& was, const TrainingPoolStatus& is) {
  if (was == is) return Change::kNone;
  TrainingPoolStatus numbers = is;
  numbers.workers = was.workers;
  numbers.hourly_cost = was.hourly_cost;
  numbers.marginal_hourly_cost = was.marginal_hourly_cost;
  if (SameMeaning(was.conditions, is.conditions)) numbers.conditions = was.conditions;
  return numbers == was ? Change::kNumbers : Change::kMeaning;
}

Change Compare(const crds::v1alpha1::NodeGroupStatus& was,
               const crds::v1alpha1::NodeGroupStatus& is) {
  if (was == is) return Change::kNone;
  const bool same = was.observed_generation == is.observed_generation &&
                    SameMeaning(was.conditions, is.conditions) && SameDecision(was, is);
  return same ? Change::kNumbers : Change::kMeaning;
}

Change Compare(const crds::v1alpha1::PoolQuotaStatus& was,
               const crds::v1alpha1::PoolQuotaStatus& is) {
  if (was == is) return Change::kNone;
  // With a budget, what has been spent by any later moment follows from these two: a decision.
  const bool remembered = !is.period_start || (was.period_start == is.period_start &&
                                               was.hourly_cost == is.hourly_cost);
  const bool same = was.observed_generation == is.observed_generation &&
                    SameMeaning(was.conditions, is.conditions) && remembered;
  return same ? Change::kNumbers : Change::kMeaning;
}

std::vector<Transition> Transitions(const std::vector<Condition>& was,
                                    const std::vector<Condition>& is) {
  std::vector<Transition> out;
  for (const Condition& now : is) {
    const Condition* before = FindCondition(was, now.type);
    const bool changed =
        before == nullptr || before->status != now.status || before->reason != now.reason;
    // As it should be, or not known yet: no news.
    const bool news = now.reason != "AsExpected" && now.status != "Unknown";
    if (changed && news) out.push_back(Told(now));
  }
  return out;
}

std::vector<Transition> Transitions(const TrainingPoolStatus& was, const TrainingPoolStatus& is) {
  std::vector<Transition> out = Transitions(was.conditions, is.conditions);
  const Condition* ready = FindCondition(is.conditions, "Ready");
  const bool told = std::any_of(out.begin(), out.end(),
                                [](const Transition& one) { return one.action == "Ready"; });
  const bool again = was.attempts > 0 && is.attempts > was.attempts;
  if (again && !told && ready != nullptr) out.push_back(Told(*ready));
  return out;
}

std::vector<Turn> Turned(const std::vector<Condition>& was, const std::vector<Condition>& is) {
  std::vector<Turn> out;
  for (const Condition& now : is) {
    const Condition* before = FindCondition(was, now.type);
    if (before != nullptr && before->status == now.status) continue;
    out.push_back({before == nullptr ? Condition{} : *before, now});
  }
  return out;
}

std::optional<Seconds> StartLatency(const placement::PoolMemory& memory,
                                    const std::vector<Turn>& turned) {
  const auto ready = std::find_if(turned.begin(), turned.end(), [](const Turn& turn) {
    return turn.is.type == "Ready" && turn.is.status == "True";
  });
  // Not ready since before it was placed: it has not been ready yet.
  if (ready == turned.end() || !memory.started || ready->was.changed > *memory.started) {
    return std::nullopt;
  }
  return ready->is.changed - *memory.started;
}

}  // namespace spillway::controllers
