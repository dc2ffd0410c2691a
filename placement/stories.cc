#include "placement/stories.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "placement/moves.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

// One pool, settled.
struct Told {
  const World& world;
  const TrainingPool& pool;
  const Fate& fate;
  const std::vector<Option>& options;

  [[nodiscard]] const PoolMemory& Memory() const { return fate.memory; }
  [[nodiscard]] const Placement& Placed() const { return *fate.memory.placement; }
  [[nodiscard]] Time Now() const { return world.now; }
};

struct Verdict {
  Reason reason = Reason::kAsExpected;
  std::string message;
};

void SayPlaced(PoolDecision& decision, bool placed, Reason reason, std::string message) {
  decision.placed = placed;
  decision.placed_reason = reason;
  decision.placed_message = Short(std::move(message));
}

void SayReady(PoolDecision& decision, bool ready, Reason reason, std::string message) {
  decision.ready = ready;
  decision.ready_reason = reason;
  decision.ready_message = Short(std::move(message));
}

// ---- ended ----

Verdict WhyEnded(const Told& told) {
  const PoolMemory& memory = told.Memory();
  const std::string at = FormatTime(*memory.completed);
  const std::string where =
      memory.placement ? " on " + memory.placement->node_group : std::string();
  if (memory.succeeded) {
    return {Reason::kCompleted, fmt::format("all workers succeeded{}; completed at {}", where, at)};
  }
  const auto reason = memory.failed_reason ? ReasonFromName(*memory.failed_reason) : std::nullopt;
  if (reason == Reason::kDeadlineExceeded) {
    return {*reason,
            fmt::format("active for longer than activeDeadlineSeconds since {}; ended at {}",
                        memory.started ? FormatTime(*memory.started) : "its start", at)};
  }
  std::string message = fmt::format(
      "{} failed by a worker's own exit, more than restart.maxRestarts "
      "allows; ended{} at {}",
      Count(memory.failures, "attempt"), where, at);
  if (memory.last_failure && memory.last_failure->worker >= 0) {
    const Failure& last = *memory.last_failure;
    message += fmt::format("; last, worker {} on {} exited with code {} {}", last.worker, last.node,
                           last.exit_code, last.message);
  }
  return {reason.value_or(Reason::kRestartLimitReached), message};
}

void TellEnded(const Told& told, PoolDecision& decision) {
  const Verdict why = WhyEnded(told);
  SayPlaced(decision, false, why.reason, why.message);
  SayReady(decision, told.Memory().succeeded, why.reason, why.message);
}

// ---- waiting ----

std::string TypesThereAre(const World& world) {
  std::set<std::string> types;
  for (const GroupView& group : world.groups) {
    if (!group.spec->accelerator.empty()) types.insert(group.spec->accelerator);
  }
  if (types.empty()) return "there are no node groups";
  return "there are " + Names({types.begin(), types.end()}, 8);
}

bool IsAskedFor(const TrainingPool& pool, const NodeGroup& group) {
  return std::any_of(
      pool.accelerators.begin(), pool.accelerators.end(),
      [&](const AcceptedAccelerator& accepted) { return accepted.type == group.accelerator; });
}

// What comes closest to what the pool asks for.
std::string WhatThereIs(const Told& told) {
  std::vector<std::string> groups;
  for (const GroupView& group : told.world.groups) {
    if (!IsAskedFor(told.pool, *group.spec)) continue;
    groups.push_back(fmt::format("{} ({})", group.spec->name, Name(group.spec->provider)));
  }
  if (groups.empty()) return TypesThereAre(told.world);
  return "such accelerators are in " + Names(groups, 8);
}

Verdict NothingAcceptable(const Told& told) {
  const std::string types = TypesOf(told.pool);
  std::string message = "no node group is acceptable: asked for ";
  message += types.empty() ? "no accelerator" : types;
  if (!told.pool.providers.empty()) message += " of " + ProvidersOf(told.pool);
  if (!told.pool.group_selector.empty()) message += " in groups that nodeGroupSelector matches";
  return {Reason::kNoMatchingNodeGroup, message + "; " + WhatThereIs(told)};
}

// Where the gang would fit, were it not for this.
const Option* FitsBut(const std::vector<Option>& options, Reason reason) {
  const auto at = std::find_if(options.begin(), options.end(), [&](const Option& o) {
    return o.finding && o.finding->reason == reason && (o.fit || o.new_nodes);
  });
  return at == options.end() ? nullptr : &*at;
}

const Option* ShortOfRoom(const std::vector<Option>& options) {
  const auto at = std::find_if(options.begin(), options.end(), [](const Option& o) {
    return o.finding &&
           (o.finding->reason == Reason::kWaitingForCapacity ||
            o.finding->reason == Reason::kWaitingForDomain ||
            o.finding->reason == Reason::kReserved || o.finding->reason == Reason::kOutOfStock);
  });
  return at == options.end() ? nullptr : &*at;
}

// Is it the one that passed more checks, or of two that a limit stops, the one that time can help?
bool IsFurther(const Option& left, const Option& right) {
  if (left.passed != right.passed) return left.passed > right.passed;
  return left.finding->reason == Reason::kWaitingForQuota &&
         right.finding->reason == Reason::kQuotaExceeded;
}

const Option* Furthest(const std::vector<Option>& options) {
  const Option* best = nullptr;
  for (const Option& option : options) {
    if (!option.acceptable || !option.finding) continue;
    if (best == nullptr || IsFurther(option, *best)) best = &option;
  }
  return best;
}

// By when the first in a group's queue starts there, or why nobody can say.
std::string SayOutlook(const Told& told) {
  if (!told.fate.outlook) return "";
  const Outlook& outlook = *told.fate.outlook;
  std::vector<std::string> others;
  others.reserve(outlook.others.size());
  for (const PoolKey& key : outlook.others) others.push_back(key.Format());
  if (!outlook.starts_by) {
    if (others.empty()) return "";
    return fmt::format(
        "; nobody can say when it starts on {}, so nothing is reserved there: {} {} no "
        "activeDeadlineSeconds",
        outlook.node_group, Names(others), others.size() == 1 ? "has" : "have");
  }
  const std::string reserved = fmt::format(
      ": {} reserved for it ({})", Count(std::ssize(outlook.nodes), "node"), Names(outlook.nodes));
  const std::string back = fmt::format("{} {} ready again", Names(outlook.away),
                                       outlook.away.size() == 1 ? "is" : "are");
  const std::string also = outlook.away.empty() ? "" : " and " + back;
  if (others.empty()) {
    if (!outlook.away.empty()) {
      return fmt::format("; starts on {} when {}{}", outlook.node_group, back, reserved);
    }
    return fmt::format("; starts on {} when those that are starting there are bound",
                       outlook.node_group);
  }
  if (*outlook.starts_by <= told.Now()) {
    return fmt::format("; starts on {} when the pods of {} are gone{}", outlook.node_group,
                       Names(others), also);
  }
  return fmt::format(
      "; starts on {} by {} at the latest, when activeDeadlineSeconds of {} are over{}{}",
      outlook.node_group, FormatTime(*outlook.starts_by), Names(others), also, reserved);
}

// What several groups say alike is said once.
class Clauses {
 public:
  void Add(const Option& option) {
    for (Clause& clause : all_) {
      if (clause.message != option.finding->message) continue;
      clause.groups.push_back(option.group->spec->name);
      return;
    }
    if (all_.size() < kMost) all_.push_back({{option.group->spec->name}, option.finding->message});
  }
  [[nodiscard]] std::string Sentence() const {
    std::vector<std::string> parts;
    parts.reserve(all_.size());
    for (const Clause& clause : all_) {
      parts.push_back(Names(clause.groups, 8) + ": " + clause.message);
    }
    return fmt::format("{}", fmt::join(parts, "; "));
  }

 private:
  static constexpr size_t kMost = 3;
  struct Clause {
    std::vector<std::string> groups;
    std::string message;
  };
  std::vector<Clause> all_;
};

// The one reason of all the groups' reasons, with the first few groups' numbers.
Verdict WhyWaiting(const Told& told) {
  const Option* lead = FitsBut(told.options, Reason::kWaitingForNodes);
  if (lead == nullptr) lead = FitsBut(told.options, Reason::kHoldingBackSpill);
  if (lead == nullptr) lead = FitsBut(told.options, Reason::kSpendLimitReached);
  if (lead == nullptr) lead = ShortOfRoom(told.options);
  if (lead == nullptr) lead = Furthest(told.options);
  if (lead == nullptr) return NothingAcceptable(told);
  Clauses clauses;
  clauses.Add(*lead);
  for (const Option& option : told.options) {
    if (&option != lead && option.acceptable && option.finding) clauses.Add(option);
  }
  Verdict why{lead->finding->reason, clauses.Sentence()};
  if (told.Memory().hold) {
    const Hold& hold = *told.Memory().hold;
    const std::string held =
        fmt::format("{} of {} ({}) reserved for it until {}", Count(std::ssize(hold.nodes), "node"),
                    hold.node_group, Names(hold.nodes), FormatTime(hold.until));
    if (hold.IsClaim()) {
      const Cause waits = WaitsFor(told.fate.awaits);
      why = {waits.reason, waits.sentence};
      why.message += "; " + held + "; " + clauses.Sentence();
    } else {
      why.message += "; " + held;
    }
  }
  why.message += SayOutlook(told);
  return why;
}

Verdict WhyUnchecked(const TrainingPool& pool) {
  // A ResourceQuota tells what is used up now; nobody knows whether all of it would be enough.
  if (!pool.namespace_quota.empty()) return {Reason::kWaitingForQuota, pool.namespace_quota};
  return {Reason::kPodsNotReady, "waiting for the API server's answer about the pod template"};
}

// Said as long as the pool waits for a new place because of it.
std::string LastEviction(const Told& told) {
  const PoolMemory& memory = told.Memory();
  if (memory.evictions.empty() || memory.evictions.back().time != memory.waiting_since) return "";
  const Eviction& last = memory.evictions.back();
  return fmt::format("; at {} it {}", FormatTime(last.time), last.cause);
}

// What the pool waits for, given why it was released in this pass, if it was.
Verdict WhyUnplaced(const Told& told) {
  const auto& cause = told.fate.cause;
  if (const auto blocked = Blocked(told.pool)) {
    const bool more = cause && cause->sentence != blocked->sentence;
    return {blocked->reason, blocked->sentence + (more ? "; before, " + cause->sentence : "")};
  }
  Verdict why = told.pool.template_unchecked ? WhyUnchecked(told.pool) : WhyWaiting(told);
  if (!cause) {
    why.message += LastEviction(told);
    return why;
  }
  if (cause->reason == Reason::kGangIncomplete || cause->reason == Reason::kNodeLost ||
      cause->reason == Reason::kPreempted || cause->reason == Reason::kSpendLimitReached) {
    why.reason = cause->reason;
  }
  why.message = cause->sentence + "; " + why.message;
  return why;
}

void TellUnplaced(const Told& told, PoolDecision& decision) {
  if (told.pool.suspended) {
    SayPlaced(decision, false, Reason::kSuspended, "spec.suspend is true");
    SayReady(decision, true, Reason::kSuspended,
             "spec.suspend is true: nothing runs, as asked for");
    return;
  }
  Verdict why = WhyUnplaced(told);
  SayPlaced(decision, false, why.reason, why.message);
  SayReady(decision, false, why.reason, std::move(why.message));
}

// Has to leave its group, and nothing else takes it.
bool IsStuck(const Told& told) {
  return told.fate.move && NothingTakesIt(told.fate.move->reason, told.Memory());
}

std::string RemedyIn(const Told& told, const Option& option) {
  const auto& hold = told.Memory().hold;
  if (!told.Memory().placement && hold && hold->IsClaim() &&
      hold->node_group == option.group->spec->name) {
    return WaitForLeavers(told.fate.awaits);
  }
  std::string remedy = fmt::format("{}", fmt::join(option.remedies, "; "));
  const auto& outlook = told.fate.outlook;
  if (!outlook || !outlook->starts_by || *outlook->starts_by <= told.Now() ||
      outlook->node_group != option.group->spec->name) {
    return remedy;
  }
  return fmt::format("wait until {}, or {}", FormatTime(*outlook->starts_by), remedy);
}

void TellOptions(const Told& told, PoolDecision& decision) {
  for (const Option& option : told.options) {
    const Alternative& alternative = decision.alternatives.emplace_back(AlternativeOf(option));
    if ((decision.placed && !IsStuck(told)) || !option.acceptable) continue;
    const std::string remedy = RemedyIn(told, option);
    if (!remedy.empty()) decision.remedies.push_back(alternative.group + ": " + remedy);
  }
  const bool any = std::any_of(told.options.begin(), told.options.end(),
                               [](const Option& option) { return option.acceptable; });
  if (!decision.placed && told.fate.course == Course::kQueue && !any) {
    decision.remedies.push_back("accept another accelerator, provider or node group, or add one: " +
                                WhatThereIs(told));
  }
}

// ---- placed ----

// How many workers the gang asks for, where it runs with fewer.
std::optional<int> AsksFor(const TrainingPool& pool, const Placement& placement) {
  for (const AcceptedAccelerator& accepted : pool.accelerators) {
    if (accepted.type != placement.accelerator || !accepted.IsElastic()) continue;
    if (placement.workers < accepted.workers) return accepted.workers;
  }
  return std::nullopt;
}

// When a gang that runs with fewer workers than it asks for has more; nothing is going on yet.
std::string WhenItGrows(const Told& told) {
  const std::string& group = told.Placed().node_group;
  if (told.pool.return_home == ReturnHome::kNever) {
    return "; it does not grow, as placement.returnHome.policy is Never";
  }
  const GroupView* view = told.world.FindGroup(group);
  if (view == nullptr || !view->spec->misconfigured.empty()) return "";
  if (view->spec->admission != Admission::kOpen) {
    return fmt::format("; it does not grow while the admission of {} is {}", group,
                       Name(view->spec->admission));
  }
  return fmt::format("; it grows when {} has had room for more workers for {} s", group,
                     ReturnWait(told.pool, told.Memory()).count());
}

// Said of every pool in every pass, so that it is put together without formats, which take longer.
std::string Where(const TrainingPool& pool, const Placement& placement, const std::string& since) {
  constexpr size_t kMostly = 256;  // are not longer
  std::string text;
  text.reserve(kMostly);
  text.append("attempt ").append(std::to_string(placement.attempt));
  text.append(" on ").append(placement.node_group);
  text.append(" (tier ").append(std::to_string(placement.tier));
  if (!placement.domain.empty()) text.append(", domain ").append(placement.domain);
  const auto all = AsksFor(pool, placement);
  text.append("): ");
  if (all) text.append(std::to_string(placement.workers)).append(" of ");
  text.append(Count(all.value_or(placement.workers), "worker")).append(" on ");
  text.append(Count(std::ssize(placement.nodes), "node")).append(" (");
  text.append(Names(placement.nodes)).append(") since ").append(since);
  return text;
}

std::string LeftOut(const PoolMemory& memory) {
  std::vector<std::string> parts;
  parts.reserve(memory.excluded.size());
  for (const ExcludedNode& node : memory.excluded) {
    parts.push_back(
        fmt::format("{} until {} ({})", node.name, FormatTime(node.until), node.reason));
  }
  return parts.empty() ? "" : "; left out: " + Names(parts);
}

void TellPlacedHow(const Told& told, const GangNodes& nodes, PoolDecision& decision) {
  const Placement& placement = told.Placed();
  Reason reason = Reason::kPlaced;
  const std::string since = FormatTime(placement.since);
  std::string message = Where(told.pool, placement, since).append(LeftOut(told.Memory()));
  if (told.fate.cause) message += "; before, " + told.fate.cause->sentence;
  if (told.fate.yields_to && told.fate.yields_to->leaves) {
    message += fmt::format(
        "; {} {}, {}, at its next checkpoint, by {}",
        told.fate.yields_to->shrinks ? "goes on with fewer workers for" : "gives way to",
        told.fate.yields_to->key.Format(), told.fate.yields_to->right,
        FormatTime(*told.fate.yields_to->leaves));
  }
  if (told.fate.move) {
    reason = told.fate.move->reason;
    message += "; " + told.fate.move->sentence;
    if (IsStuck(told)) message += ": " + WhyWaiting(told).message;
  } else if (AsksFor(told.pool, placement)) {
    message += WhenItGrows(told);
  }
  if (nodes.group == nullptr) {
    reason = Reason::kNodeGroupMissing;
    message = fmt::format("there is no node group {} any more; what runs there stays: {}",
                          placement.node_group, message);
  } else if (!nodes.strangers.empty()) {
    reason = Reason::kNodeGroupMissing;
    message = fmt::format(
        "{} of {} ({}) no longer matched by node group {}; what runs there "
        "stays: {}",
        nodes.strangers.size(), Count(std::ssize(placement.nodes), "node"), Names(nodes.strangers),
        placement.node_group, message);
  }
  if (const auto blocked = Blocked(told.pool)) {
    reason = blocked->reason;
    message = fmt::format("the spec can't be used as it is now: {}; what runs stays: {}",
                          blocked->sentence, message);
  }
  if (nodes.unreachable_since) {
    reason = Reason::kClusterUnreachable;
    message =
        fmt::format("{}; what runs there stays: {}",
                    UnreachableSentence(placement.cluster, *nodes.unreachable_since), message);
  }
  SayPlaced(decision, true, reason, std::move(message));
  decision.spilled = placement.tier > 0;
  if (decision.spilled) {
    std::string& text = decision.spilled_message;
    text.reserve(128);
    text.append("runs on ").append(placement.node_group).append(" (tier ");
    text.append(std::to_string(placement.tier)).append(") since ");
    text.append(since).append(", for ");
    text.append(decision.marginal_hourly_cost.Format()).append(" ");
    text.append(told.world.snapshot->currency).append(" an hour at the margin");
  }
}

std::string AwaySentence(const Told& told, const GangNodes& nodes) {
  std::vector<std::string> parts;
  parts.reserve(nodes.away.size());
  for (const AwayNode& node : nodes.away) {
    parts.push_back(fmt::format("{} since {}", node.name, FormatTime(node.since)));
  }
  const std::string who =
      fmt::format("{} NotReady: {}", Count(std::ssize(parts), "node"), Names(parts));
  Time first = nodes.away.front().until;
  for (const AwayNode& node : nodes.away) first = std::min(first, node.until);
  if (told.pool.on_unreachable == OnUnreachable::kWait) {
    return who +
           "; restart.onUnreachable is Wait, so nothing starts until the node is back or gone";
  }
  return fmt::format("{}; a new attempt without it starts at {} if it is not back", who,
                     FormatTime(first));
}

std::string StartingSentence(const Told& told, const PoolDecision& decision) {
  const WorkerCounts counts = CountWorkers(told.world, told.pool, told.Placed().attempt);
  std::string text =
      fmt::format("{} of {} ready on {}", decision.workers_ready,
                  Count(decision.workers_wanted, "worker"), told.Placed().node_group);
  if (counts.active == 0) text += ", none has a pod yet";
  if (counts.unbound > 0) text += fmt::format(", {} bound to no node", counts.unbound);
  if (AllRunning(told.world, told.pool, told.Placed())) return text;
  return text +
         fmt::format("; all must run by {}", FormatTime(StartDeadline(told.pool, told.Memory())));
}

std::string OutOfReachSentence(const Told& told, Time since, const PoolDecision& decision) {
  return fmt::format(
      "{}: nothing there is started, stopped or replaced until it can be reached again, whatever "
      "the spec says; when it was last seen, {} of {} ready on {}",
      UnreachableSentence(told.Placed().cluster, since),
      decision.workers_ready + decision.workers_succeeded, Count(decision.workers_wanted, "worker"),
      told.Placed().node_group);
}

// Why the gang is not ready, or is: the first thing that applies.
Verdict WhyReady(const Told& told, const GangNodes& nodes, const PoolDecision& decision) {
  const int attempt = told.Placed().attempt;
  const Time not_before = NotBefore(told.pool, told.Memory());
  const auto& cause = told.fate.cause;
  if (nodes.unreachable_since) {
    return {Reason::kClusterUnreachable,
            OutOfReachSentence(told, *nodes.unreachable_since, decision)};
  }
  if (told.Now() < not_before && decision.workers_active == 0) {
    const std::string before = cause ? cause->sentence + "; " : "";
    return {Reason::kBackingOff,
            fmt::format("{}attempt {} starts at {}", before, attempt, FormatTime(not_before))};
  }
  if (cause) {
    const bool shown = cause->reason == Reason::kGangIncomplete ||
                       cause->reason == Reason::kNodeLost || cause->reason == Reason::kPreempted;
    return {shown ? cause->reason : Reason::kPodsNotReady,
            fmt::format("{}; attempt {} starts on {}", cause->sentence, attempt,
                        told.Placed().node_group)};
  }
  const bool touched = !nodes.away.empty() || !nodes.lost.empty() || told.pool.attempt.failed;
  if (nodes.link_suspect && touched) return {Reason::kLinkSuspect, LinkSentence(*nodes.group)};
  if (told.pool.on_unreachable == OnUnreachable::kWait && !nodes.Unreachable(told.Now()).empty()) {
    return {Reason::kNodeLost, AwaySentence(told, nodes)};
  }
  if (decision.ready) {
    std::string text = std::to_string(decision.workers_ready + decision.workers_succeeded);
    text.append(" of ").append(Count(decision.workers_wanted, "worker")).append(" ready on ");
    return {Reason::kAsExpected, text.append(told.Placed().node_group)};
  }
  const OldPods old = OldPodsOf(told.world, told.pool, told.Memory());
  if (WaitsForStuck(told.pool, old)) {
    return {Reason::kNodeLost,
            fmt::format("attempt {} starts when the old pods on NotReady nodes are gone ({}), as "
                        "restart.onUnreachable is Wait",
                        attempt, Names(old.stuck))};
  }
  if (!nodes.away.empty()) return {Reason::kPodsNotReady, AwaySentence(told, nodes)};
  if (!old.reachable.empty()) {
    return {Reason::kPodsNotReady,
            fmt::format("attempt {} starts when the old {} gone: {}", attempt,
                        old.reachable.size() == 1 ? "pod is" : "pods are", Names(old.reachable))};
  }
  return {Reason::kPodsNotReady, StartingSentence(told, decision)};
}

void TellPlaced(const Told& told, PoolDecision& decision) {
  const GangNodes nodes = NodesOfGang(told.world, told.pool, told.Placed());
  if (nodes.group != nullptr) {
    const int64_t accelerators = AcceleratorsOf(told.pool, told.Placed());
    const NodeGroup& group = *nodes.group->spec;
    decision.hourly_cost = group.per_node_hour.Share(accelerators, nodes.group->per_node);
    decision.marginal_hourly_cost =
        group.marginal_per_node_hour.Share(accelerators, nodes.group->per_node);
  }
  TellPlacedHow(told, nodes, decision);
  decision.ready = !nodes.unreachable_since &&
                   decision.workers_ready + decision.workers_succeeded >= decision.workers_wanted;
  Verdict why = WhyReady(told, nodes, decision);
  if (const auto all = AsksFor(told.pool, told.Placed()); all && decision.ready) {
    why.message += fmt::format("; it runs with {} of the {} workers that it asks for",
                               told.Placed().workers, *all);
  }
  if (told.Placed().spec_revision != told.pool.spec_revision) {
    why.message += "; the change of its spec takes effect at the next attempt";
  }
  SayReady(decision, decision.ready, why.reason, std::move(why.message));
}

// ---- pods ----

int Wanted(const Told& told) {
  if (told.Memory().placement) return told.Placed().workers;
  return told.pool.accelerators.empty() ? 0 : told.pool.accelerators.front().workers;
}

// A Job that is there is not made again.
bool Renderable(const Told& told) {
  if (told.pool.attempt.exists) return true;
  return !Blocked(told.pool) && !told.pool.template_unchecked &&
         !LostItsJob(told.pool, told.Placed()) && !IsOutdated(told.pool, told.Placed());
}

void TellPods(const Told& told, PoolDecision& decision) {
  const PoolMemory& memory = told.Memory();
  const OldPods old = OldPodsOf(told.world, told.pool, memory);
  decision.force_delete = old.lost;
  decision.stuck_pods = old.stuck;
  decision.workers_wanted = Wanted(told);
  if (!memory.placement) return;
  const WorkerCounts counts = CountWorkers(told.world, told.pool, memory.placement->attempt);
  decision.workers_active = counts.active;
  decision.workers_ready = counts.ready;
  decision.workers_succeeded = SucceededOf(told.pool, *memory.placement);
  if (memory.completed) {
    decision.keep_job = memory.placement->attempt;
    return;
  }
  decision.may_start = Renderable(told) && old.reachable.empty() &&
                       !told.world.UnreachableSince(told.Placed().cluster) &&
                       !WaitsForStuck(told.pool, old) && NotBefore(told.pool, memory) <= told.Now();
}

}  // namespace

Alternative AlternativeOf(const Option& option) {
  Alternative alternative{.group = option.group->spec->name,
                          .fits = option.Fits(),
                          .reason = Reason::kAsExpected,
                          .message = {}};
  if (option.finding) {
    alternative.reason = option.finding->reason;
    alternative.message = Short(option.finding->message);
    return alternative;
  }
  alternative.message = "fits";
  if (option.need->IsPart()) {
    alternative.message +=
        fmt::format(" with {} of its {}", option.need->workers, Count(option.need->all, "worker"));
  }
  alternative.message += " on " + Count(std::ssize(option.fit->nodes), "node");
  if (!option.fit->domain.empty()) alternative.message += " of " + option.fit->domain;
  return alternative;
}

void Describe(const World& world, const TrainingPool& pool, const Fate& fate,
              const std::vector<Option>& options, PoolDecision& decision) {
  const Told told{world, pool, fate, options};
  decision.key = pool.key;
  decision.uid = pool.uid;
  decision.action = fate.action;
  TellPods(told, decision);
  if (fate.memory.completed) {
    TellEnded(told, decision);
  } else if (fate.memory.placement) {
    TellPlaced(told, decision);
  } else {
    TellUnplaced(told, decision);
  }
  TellOptions(told, decision);
  if (fate.outlook && fate.outlook->starts_by) {
    const Outlook& outlook = *fate.outlook;
    Reservation& reservation = decision.reservation.emplace();
    reservation.node_group = outlook.node_group;
    reservation.nodes = outlook.nodes;
    if (*outlook.starts_by > world.now) reservation.starts_by = outlook.starts_by;
    reservation.after = outlook.others;
  }
}

}  // namespace spillway::placement
