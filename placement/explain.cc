#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "placement/estimates.h"
#include "placement/lifecycle.h"
#include "placement/plan.h"
#include "placement/remedies.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

std::string FormatDecision(const PoolDecision& decision) {
  return fmt::format("{:8} {}  {}: {}\n", Name(decision.action), decision.key.Format(),
                     ReasonName(decision.placed ? decision.placed_reason : decision.ready_reason),
                     decision.placed_message);
}

std::string FormatDecision(const InferenceDecision& decision) {
  return fmt::format("{:8} {}  {}: {}; {}\n", Name(decision.action), decision.key.Format(),
                     ReasonName(decision.capacity_reason), decision.chosen,
                     decision.capacity_message);
}

std::string FormatGroup(const GroupReport& group) {
  std::string text =
      fmt::format("{}  {} of {} usable, {} of {} accelerators free, {} an hour ({} idle)\n",
                  group.name, group.usable, Count(group.matched, "node"), group.free,
                  group.allocatable, group.hourly_cost.Format(), group.idle_hourly_cost.Format());
  if (!group.ready) {
    text += fmt::format("  {}: {}\n", ReasonName(group.ready_reason), group.ready_message);
  }
  if (!group.no_overlap) text += "  " + group.overlap_message + "\n";
  if (!group.shape_matches) text += "  " + group.shape_message + "\n";
  if (!group.link_healthy) text += "  " + group.link_message + "\n";
  return text;
}

std::string FormatQuota(const QuotaReport& quota) {
  std::string text;
  for (const QuotaUse& use : quota.accelerators) {
    text += fmt::format("{}  {} {} in use, {}", quota.ns, use.used, use.type,
                        use.limit ? fmt::format("limit {}", *use.limit) : "no limit");
    if (use.guaranteed > 0) {
      text += fmt::format(", {} guaranteed, {} borrowed, {} lent", use.guaranteed, use.borrowed,
                          use.lent);
    }
    text += "\n";
  }
  if (!quota.guarantees_covered) {
    text += fmt::format("  {}: {}\n", ReasonName(Reason::kGuaranteeUncovered),
                        quota.guarantees_message);
  }
  const SpendReport& spend = quota.spend;
  if (spend.max_hourly_cost || spend.hourly_cost != Money()) {
    text +=
        fmt::format("{}  {} an hour above home, {}\n", quota.ns, spend.hourly_cost.Format(),
                    spend.max_hourly_cost ? fmt::format("limit {}", spend.max_hourly_cost->Format())
                                          : "no limit");
  }
  if (spend.budget) {
    text += fmt::format("{}  {} of the budget of {} spent above home; the next begins at {}\n",
                        quota.ns, spend.budget->spent.Format(), spend.budget->amount.Format(),
                        FormatTime(spend.budget->period_end));
  }
  return text;
}

const TrainingPool* FindPool(const Snapshot& snapshot, const PoolKey& key) {
  const auto at = std::find_if(snapshot.pools.begin(), snapshot.pools.end(),
                               [&](const TrainingPool& pool) { return pool.key == key; });
  return at == snapshot.pools.end() ? nullptr : &*at;
}

// How many pools wait, so that a position says something.
int Waiting(const Plan& plan) {
  int waiting = 0;
  for (const PoolDecision& decision : plan.pools) waiting = std::max(waiting, decision.position);
  for (const InferenceDecision& decision : plan.inference_pools) {
    waiting = std::max(waiting, decision.position);
  }
  return waiting;
}

std::string FormatCondition(std::string_view conditions, Reason reason,
                            const std::string& message) {
  return fmt::format("  {}  {}: {}\n", conditions, ReasonName(reason), message);
}

struct Condition {
  std::string_view type;
  bool status = false;
  Reason reason = Reason::kAsExpected;
  const std::string& message;

  [[nodiscard]] std::string Head() const {
    return fmt::format("{}={}", type, status ? "True" : "False");
  }
};

// Two conditions, in one line where they say the same.
std::string FormatConditions(const Condition& first, const Condition& second) {
  if (first.reason == second.reason && first.message == second.message) {
    return FormatCondition(first.Head() + " " + second.Head(), first.reason, first.message);
  }
  return FormatCondition(first.Head(), first.reason, first.message) +
         FormatCondition(second.Head(), second.reason, second.message);
}

std::string FormatAlternatives(const std::vector<Alternative>& alternatives,
                               std::string_view title) {
  if (alternatives.empty()) return "";
  std::string text = fmt::format("\n{}:\n", title);
  size_t width = 0;
  for (const Alternative& one : alternatives) width = std::max(width, one.group.size());
  for (const Alternative& one : alternatives) {
    const std::string reason = one.fits ? "" : fmt::format("{}: ", ReasonName(one.reason));
    text += fmt::format("  {:{}}  {}{}\n", one.group, width, reason, one.message);
  }
  return text;
}

std::string FormatRejected(const Snapshot& snapshot, const InferenceDecision& decision) {
  if (decision.rejected.empty()) return "";
  std::string text = "\nMixes that were not chosen:\n";
  for (const RejectedMix& one : decision.rejected) {
    text += fmt::format("  {}, for {} {} an hour at the margin: {}\n", one.mix, one.cost.Format(),
                        snapshot.currency, one.why);
  }
  return text;
}

std::string FormatRemedies(const std::vector<std::string>& remedies) {
  if (remedies.empty()) return "";
  std::string text = "\nWhat would help:\n";
  for (const std::string& remedy : remedies) text += "  - " + remedy + "\n";
  return text;
}

template <class Pool, class Decision>
std::string FormatQueue(const Pool& pool, const Plan& plan, const Decision& decision) {
  if (decision.position == 0) return "";
  std::string text = fmt::format("  {} of {} in the queue: priority {}", decision.position,
                                 Count(Waiting(plan), "waiting pool"), pool.priority);
  if (decision.memory.queued_since) {
    text += ", queued since " + FormatTime(*decision.memory.queued_since);
  }
  return text + "\n";
}

std::string FormatEstimate(const Snapshot& snapshot, const PoolDecision& decision) {
  const auto estimate = EstimateFor(snapshot, decision);
  if (!estimate) return "";
  const auto names = [](const std::vector<PoolKey>& keys) {
    std::vector<std::string> all;
    all.reserve(keys.size());
    for (const PoolKey& key : keys) all.push_back(key.Format());
    return Names(all);
  };
  if (estimate->starts_by) {
    const std::string when =
        estimate->after.empty()
            ? ""
            : fmt::format(", when activeDeadlineSeconds of {} are over", names(estimate->after));
    return fmt::format("  estimate: starts on {} by {}{}; nothing is reserved for it\n",
                       estimate->node_group, FormatTime(*estimate->starts_by), when);
  }
  if (estimate->endless.empty()) return "";
  return fmt::format(
      "  estimate: nobody can say when it starts on {}: {} {} no activeDeadlineSeconds\n",
      estimate->node_group, names(estimate->endless),
      estimate->endless.size() == 1 ? "has" : "have");
}

std::string FormatFailures(const TrainingPool& pool, const PoolMemory& memory) {
  if (!memory.last_failure) return "";
  const Failure& last = *memory.last_failure;
  std::string text =
      fmt::format("  last failure, at {}: {}\n", FormatTime(last.time), FailureSentence(last));
  if (memory.failures > 0 && !memory.completed) {
    text += fmt::format("  {} failed by a worker's own exit; restart.maxRestarts allows {}\n",
                        Count(memory.failures, "attempt"), pool.max_restarts);
  }
  return text;
}

std::string FormatCost(const Snapshot& snapshot, const PoolDecision& decision) {
  if (!decision.placed) return "";
  return fmt::format("  costs {} {} an hour, {} at the margin\n", decision.hourly_cost.Format(),
                     snapshot.currency, decision.marginal_hourly_cost.Format());
}

}  // namespace

std::string_view Name(Action action) {
  constexpr std::array<std::string_view, 8> kNames = {"wait",    "place",  "keep", "restart",
                                                      "release", "finish", "done", "scale"};
  return kNames.at(static_cast<size_t>(action));
}

bool Changes(Action action) {
  return action != Action::kWait && action != Action::kKeep && action != Action::kDone;
}

std::string FormatPlan(const Plan& plan, bool all) {
  std::string text;
  for (const PoolDecision& decision : plan.pools) {
    if (all || Changes(decision.action)) text += FormatDecision(decision);
  }
  for (const InferenceDecision& decision : plan.inference_pools) {
    if (all || Changes(decision.action)) text += FormatDecision(decision);
  }
  if (all) {
    for (const GroupReport& group : plan.groups) text += FormatGroup(group);
    for (const QuotaReport& quota : plan.quotas) text += FormatQuota(quota);
  }
  if (text.empty()) text = "nothing to do\n";
  if (plan.next_wake) text += fmt::format("next look at {}\n", FormatTime(*plan.next_wake));
  return text;
}

std::string FormatWhy(const Snapshot& snapshot, const Plan& plan, const PoolDecision& decision) {
  std::string text = fmt::format("{}: {}\n", decision.key.Format(), Name(decision.action));
  text +=
      FormatConditions({"Placed", decision.placed, decision.placed_reason, decision.placed_message},
                       {"Ready", decision.ready, decision.ready_reason, decision.ready_message});
  if (decision.spilled) text += "  spilled: " + decision.spilled_message + "\n";
  text += FormatCost(snapshot, decision);
  if (const TrainingPool* pool = FindPool(snapshot, decision.key)) {
    text += FormatQueue(*pool, plan, decision) + FormatEstimate(snapshot, decision) +
            FormatFailures(*pool, decision.memory);
  }
  const bool stays = decision.placed && !decision.IsStuck();
  return text +
         FormatAlternatives(AlternativesFor(snapshot, decision),
                            stays ? "Other node groups, in the order in which it would take them"
                                  : "Node groups, in the order tried") +
         FormatRemedies(RemediesFor(snapshot, decision));
}

std::string FormatWhy(const Snapshot& snapshot, const Plan& plan,
                      const InferenceDecision& decision) {
  std::string text = fmt::format("{}: {}\n", decision.key.Format(), Name(decision.action));
  text += FormatConditions(
      {"CapacityMet", decision.capacity_met, decision.capacity_reason, decision.capacity_message},
      {"Ready", decision.ready, decision.ready_reason, decision.ready_message});
  text += "  runs " + decision.chosen + "\n";
  if (decision.spilled) text += "  spilled: " + decision.spilled_message + "\n";
  text += fmt::format("  costs {} {} an hour, {} at the margin\n", decision.hourly_cost.Format(),
                      snapshot.currency, decision.marginal_hourly_cost.Format());
  for (const InferencePool& pool : snapshot.inference_pools) {
    if (pool.key == decision.key) text += FormatQueue(pool, plan, decision);
  }
  return text + FormatRejected(snapshot, decision) +
         FormatAlternatives(AlternativesFor(snapshot, decision),
                            "Variants on node groups, in the order tried") +
         FormatRemedies(decision.remedies);
}

}  // namespace spillway::placement
