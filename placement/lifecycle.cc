#include "placement/lifecycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "placement/capacity.h"
#include "placement/moves.h"
#include "placement/words.h"

namespace spillway::placement {
Time PodAwaitedUntil(Time failed, bool pods_behind) {
  return failed + (pods_behind ? kOldPodAwaited : kPodAwaited);
}

namespace {

constexpr Seconds kExclusion{3600};

// A placed pool and what is known of its gang.
struct Case {
  const World& world;
  const TrainingPool& pool;
  const PoolMemory& memory;  // with a placement
  const GangNodes& nodes;

  [[nodiscard]] const Placement& Placed() const { return *memory.placement; }
  [[nodiscard]] Time Now() const { return world.now; }
};

// A return went well: the gang was at home when a day had passed since, and was not made to go
// meanwhile.
bool HasStayed(const PoolMemory& memory, Time now) {
  if (!memory.last_move || !memory.placement || memory.placement->tier > 0) return false;
  const Time end = *memory.last_move + kAfterMove;
  return now >= end && memory.placement->since < end &&
         std::none_of(
             memory.evictions.begin(), memory.evictions.end(),
             [&](const Eviction& e) { return e.time >= *memory.last_move && e.time < end; });
}

// What is over is forgotten; what a placement tells is remembered even where the status was lost.
void Refresh(PoolMemory& memory, Time now) {
  if (memory.completed) return;
  std::erase_if(memory.excluded, [now](const ExcludedNode& node) { return node.until <= now; });
  const auto& hold = std::as_const(memory.hold);
  if (hold && hold->until <= now) memory.hold.reset();
  if (HasStayed(memory, now)) memory.dwell.reset();
  if (memory.Moves() && (hold->IsClaim() || !hold->since)) memory.hold.reset();
  if (memory.placement) {
    const Placement& placement = *std::as_const(memory.placement);
    memory.attempts = std::max(memory.attempts, placement.attempt);
    memory.tiers_used.insert(placement.tier);
    if (!memory.started) memory.started = placement.since;
    if (!memory.queued_since) memory.queued_since = placement.since;
  }
}

void Exclude(PoolMemory& memory, const std::vector<std::string>& nodes, Reason reason, Time now) {
  for (const std::string& name : nodes) {
    std::erase_if(memory.excluded, [&](const ExcludedNode& node) { return node.name == name; });
    memory.excluded.push_back(
        {.name = name, .until = now + kExclusion, .reason = std::string(ReasonName(reason))});
  }
  std::sort(memory.excluded.begin(), memory.excluded.end(),
            [](const ExcludedNode& a, const ExcludedNode& b) { return a.name < b.name; });
}

// ---- ways to go on ----

// How long it took until all workers were ready says what another restart would cost.
void NoteReady(const Case& c, PoolMemory& memory) {
  const WorkerCounts counts = CountWorkers(c.world, c.pool, c.Placed().attempt);
  if (memory.ready_since || counts.ready + SucceededOf(c.pool, c.Placed()) < c.Placed().workers) {
    return;
  }
  memory.ready_since = c.Now();
  const Time began = std::max(c.Placed().since, NotBefore(c.pool, memory));
  memory.restart_took = std::max(c.Now() - began, Seconds{0});
}

// `fate` has the memory of `c`.
void KeepAsItIs(const Case& c, Fate& fate) {
  fate.course = Course::kStay;
  fate.action = Action::kKeep;
  NoteReady(c, fate.memory);
}

Fate Keep(const Case& c) {
  Fate fate;
  fate.memory = c.memory;
  KeepAsItIs(c, fate);
  return fate;
}

Fate Finished(PoolMemory memory, Time now, std::optional<Reason> failed, Cause cause) {
  memory.completed = now;
  memory.succeeded = !failed.has_value();
  if (failed) memory.failed_reason = ReasonName(*failed);
  memory.hold.reset();
  memory.waiting_since.reset();
  memory.excluded.clear();
  return {.course = Course::kRest,
          .action = Action::kFinish,
          .memory = std::move(memory),
          .cause = std::move(cause),
          .awaits = {},
          .outlook = {},
          .yields_to = {},
          .move = {}};
}

// Gives its place up; looks for another one in the same pass, if it may.
Fate Released(const Case& c, PoolMemory memory, Cause cause) {
  memory.placement.reset();
  memory.ready_since.reset();
  memory.waiting_since = c.Now();
  const bool rests = Blocked(c.pool) || c.pool.template_unchecked;
  return {.course = rests ? Course::kRest : Course::kQueue,
          .action = Action::kRelease,
          .memory = std::move(memory),
          .cause = std::move(cause),
          .awaits = {},
          .outlook = {},
          .yields_to = {},
          .move = {}};
}

// Needs a new attempt. A spec that can't be used gives the place up; one that the API server has
// not judged yet waits for that, with everything as it was.
Fate Renewed(const Case& c, PoolMemory memory, Cause cause) {
  if (Blocked(c.pool)) return Released(c, std::move(memory), std::move(cause));
  if (c.pool.template_unchecked) return Keep(c);
  return {.course = Course::kRenew,
          .action = Action::kRestart,
          .memory = std::move(memory),
          .cause = std::move(cause),
          .awaits = {},
          .outlook = {},
          .yields_to = {},
          .move = {}};
}

// ---- the rules for a placed pool: the first that applies decides ----

using Rule = std::optional<Fate> (*)(const Case&);

std::optional<Fate> HasCompleted(const Case& c) {
  if (!c.pool.attempt.complete) return {};
  return Finished(c.memory, c.Now(), {}, {.reason = Reason::kCompleted, .sentence = {}});
}

// Whatever is decided, nobody there can be told: all of it waits, also what the user asks for. Nor
// is what was last seen a reason to remember anything.
std::optional<Fate> IsOutOfReach(const Case& c) {
  if (!c.nodes.unreachable_since) return {};
  Fate fate;
  fate.memory = c.memory;
  fate.course = Course::kStay;
  fate.action = Action::kKeep;
  return fate;
}

std::optional<Fate> IsSuspended(const Case& c) {
  if (!c.pool.suspended) return {};
  PoolMemory memory = c.memory;
  memory.placement.reset();
  memory.ready_since.reset();
  memory.hold.reset();
  memory.queued_since.reset();
  memory.waiting_since.reset();
  return Fate{.course = Course::kRest,
              .action = Action::kRelease,
              .memory = std::move(memory),
              .cause = {},
              .awaits = {},
              .outlook = {},
              .yields_to = {},
              .move = {}};
}

bool DeadlinePassed(const TrainingPool& pool, const PoolMemory& memory, Time now) {
  return pool.active_deadline && memory.started && now >= *memory.started + *pool.active_deadline;
}

// Its pods must stop, so the placement goes too.
Fate EndedByDeadline(const TrainingPool& /*pool*/, PoolMemory memory, Time now) {
  memory.placement.reset();
  return Finished(std::move(memory), now, Reason::kDeadlineExceeded,
                  {.reason = Reason::kDeadlineExceeded, .sentence = {}});
}

std::optional<Fate> IsOverdue(const Case& c) {
  if (!DeadlinePassed(c.pool, c.memory, c.Now())) return {};
  return EndedByDeadline(c.pool, c.memory, c.Now());
}

// Refused, and nothing of it runs that would have to be kept.
std::optional<Fate> HasNothingToKeep(const Case& c) {
  const auto blocked = Blocked(c.pool);
  if (!blocked || c.pool.attempt.exists) return {};
  if (CountWorkers(c.world, c.pool, c.Placed().attempt).active > 0) return {};
  return Released(c, c.memory, *blocked);
}

std::optional<Fate> MustNotBeTouched(const Case& c) {
  if (!c.nodes.link_suspect) return {};
  return Keep(c);
}

// With Wait, nothing starts anew while an old worker may still run where nobody can see it.
bool WaitsForNodes(const Case& c) {
  return c.pool.on_unreachable == OnUnreachable::kWait && !c.nodes.away.empty();
}

// Until when the cause of a failure may still be seen.
std::optional<Time> AwaitsFailedPod(const TrainingPool& pool) {
  const AttemptFacts& attempt = pool.attempt;
  if (!attempt.failed || !attempt.failure || attempt.failure->worker >= 0) return std::nullopt;
  return PodAwaitedUntil(attempt.failure->time, attempt.pods_behind);
}

std::string DisruptionSentence(const Case& c) {
  const std::optional<Failure>& failure = c.pool.attempt.failure;
  const bool known = failure && failure->worker >= 0;
  return fmt::format(
      "attempt {} ended because {} was evicted or deleted, which does not count against "
      "restart.maxRestarts",
      c.Placed().attempt,
      known ? fmt::format("worker {} on {}", failure->worker, failure->node) : "a worker");
}

// A worker's own exit, or its eviction, which does not count against maxRestarts. Where nodes are
// lost as well, the loss is why, and does not count either.
std::optional<Fate> HasFailed(const Case& c) {
  if (!c.pool.attempt.failed || !c.nodes.lost.empty() || WaitsForNodes(c)) return {};
  if (c.pool.attempt.disrupted) {
    return Renewed(c, c.memory,
                   {.reason = Reason::kPodsNotReady, .sentence = DisruptionSentence(c)});
  }
  if (const auto until = AwaitsFailedPod(c.pool); until && c.Now() < *until) return Keep(c);
  PoolMemory memory = c.memory;
  Failure unknown;
  unknown.time = c.Now();
  memory.last_failure = c.pool.attempt.failure.value_or(unknown);
  memory.last_failure->attempt = c.Placed().attempt;
  ++memory.failures;
  Cause cause{.reason = Reason::kBackingOff, .sentence = FailureSentence(*memory.last_failure)};
  if (memory.failures > c.pool.max_restarts) {
    cause.reason = Reason::kRestartLimitReached;
    return Finished(std::move(memory), c.Now(), Reason::kRestartLimitReached, std::move(cause));
  }
  return Renewed(c, std::move(memory), std::move(cause));
}

std::optional<Fate> HasLostNodes(const Case& c) {
  if (c.nodes.lost.empty() || WaitsForNodes(c)) return {};
  return Renewed(
      c, c.memory,
      {.reason = Reason::kNodeLost,
       .sentence = fmt::format("lost {} ({}): gone, or out of service",
                               Count(std::ssize(c.nodes.lost), "node"), Names(c.nodes.lost))});
}

std::optional<Fate> HasUnreachableNodes(const Case& c) {
  const std::vector<std::string> nodes = c.nodes.Unreachable(c.Now());
  if (nodes.empty() || c.pool.on_unreachable == OnUnreachable::kWait) return {};
  PoolMemory memory = c.memory;
  Exclude(memory, nodes, Reason::kNodeLost, c.Now());
  return Renewed(c, std::move(memory),
                 {.reason = Reason::kNodeLost,
                  .sentence = fmt::format("{} unreachable for {} s or more ({}); their old pods "
                                          "are left alone",
                                          Count(std::ssize(nodes), "node"),
                                          c.pool.node_lost.count(), Names(nodes))});
}

// Pods without their Job: somebody deleted it. A Job that is not there yet has none.
std::optional<Fate> HasLostItsJob(const Case& c) {
  if (!LostItsJob(c.pool, c.Placed()) || WaitsForNodes(c)) return {};
  return Renewed(c, c.memory,
                 {.reason = Reason::kPodsNotReady,
                  .sentence = fmt::format("the Job of attempt {} was deleted while its pods were "
                                          "there",
                                          c.Placed().attempt)});
}

// Nothing of it has started, and what would start now is not what nodes and workers were chosen
// for.
std::optional<Fate> HasAnotherSpec(const Case& c) {
  if (!IsOutdated(c.pool, c.Placed())) return {};
  return Renewed(c, c.memory,
                 {.reason = Reason::kPodsNotReady,
                  .sentence = fmt::format("the spec was changed before attempt {} started",
                                          c.Placed().attempt)});
}

// Workers that do not run.
struct Missing {
  std::vector<std::string> workers;  // "worker 3 (on gpu-7)", by index
  std::vector<std::string> nodes;    // that such workers are bound to, sorted
  std::string why_unbound;           // what the scheduler says of the first that is not bound
};

Missing NotRunning(const Case& c) {
  std::map<int, const Worker*> missing;
  std::set<std::string> bound;
  for (const Worker& worker : c.pool.workers) {
    if (worker.attempt != c.Placed().attempt || worker.running || worker.ended) continue;
    if (!worker.node.empty()) bound.insert(worker.node);
    missing[worker.index] = &worker;
  }
  Missing out;
  out.nodes.assign(bound.begin(), bound.end());
  for (const auto& [index, worker] : missing) {
    out.workers.push_back(fmt::format(
        "worker {} ({})", index, worker->node.empty() ? "bound to no node" : "on " + worker->node));
    if (worker->node.empty() && out.why_unbound.empty()) out.why_unbound = worker->why_unbound;
  }
  return out;
}

std::optional<Fate> HasNotStarted(const Case& c) {
  // Where it waits for nodes it could not start anywhere else either.
  if (WaitsForNodes(c) || WaitsForStuck(c.pool, OldPodsOf(c.world, c.pool, c.memory))) return {};
  const Time deadline = StartDeadline(c.pool, c.memory);
  if (c.Now() < deadline || AllRunning(c.world, c.pool, c.Placed())) return {};
  const Missing missing = NotRunning(c);
  const int running =
      CountWorkers(c.world, c.pool, c.Placed().attempt).running + SucceededOf(c.pool, c.Placed());
  PoolMemory memory = c.memory;
  Exclude(memory, missing.nodes, Reason::kGangIncomplete, c.Now());
  LengthenDwell(c.pool, memory, c.Now());
  std::string sentence =
      fmt::format("attempt {} on {}: {} of {} ran by {}", c.Placed().attempt, c.Placed().node_group,
                  running, Count(c.Placed().workers, "worker"), FormatTime(deadline));
  if (!missing.workers.empty()) sentence += "; not " + Names(missing.workers);
  if (!missing.why_unbound.empty()) sentence += "; the scheduler says: " + missing.why_unbound;
  return Released(c, std::move(memory),
                  {.reason = Reason::kGangIncomplete, .sentence = std::move(sentence)});
}

constexpr std::array<Rule, 12> kRules = {HasCompleted,  IsOutOfReach,     IsSuspended,
                                         IsOverdue,     HasNothingToKeep, MustNotBeTouched,
                                         HasFailed,     HasLostNodes,     HasUnreachableNodes,
                                         HasLostItsJob, HasAnotherSpec,   HasNotStarted};

// `fate` has the memory. Nearly all stay as they are: theirs is not copied.
void DecideOnPlaced(const World& world, const TrainingPool& pool, Fate& fate) {
  const GangNodes nodes = NodesOfGang(world, pool, *std::as_const(fate.memory.placement));
  const Case c{world, pool, fate.memory, nodes};
  for (const Rule rule : kRules) {
    auto decided = rule(c);
    if (!decided) continue;
    fate = std::move(*decided);
    // Who ends, goes or starts anew does not move as well.
    if (fate.course != Course::kStay) fate.memory.hold.reset();
    return;
  }
  KeepAsItIs(c, fate);
}

// Likewise.
void DecideOnUnplaced(const TrainingPool& pool, Time now, Fate& fate) {
  PoolMemory& memory = fate.memory;
  if (pool.suspended) {
    memory.hold.reset();
    memory.queued_since.reset();
    memory.waiting_since.reset();
  } else if (DeadlinePassed(pool, memory, now)) {
    fate = EndedByDeadline(pool, std::move(memory), now);
  } else if (!Blocked(pool) && !pool.template_unchecked) {
    fate.course = Course::kQueue;
    if (!memory.queued_since) memory.queued_since = now;
    if (!memory.waiting_since) memory.waiting_since = now;
  } else if (!Blocked(pool) && !pool.namespace_quota.empty()) {
    if (!memory.queued_since) memory.queued_since = now;  // it could run, but for others
  }
}

std::string Who(const Leaver& leaver) {
  if (leaver.shrinks) return leaver.key.Format() + ", which goes on with fewer workers,";
  if (leaver.replicas == 0) return leaver.key.Format();
  return fmt::format("{} of {}", Count(leaver.replicas, "replica"), leaver.key.Format());
}

}  // namespace

Cause WaitsFor(const std::vector<Leaver>& awaits) {
  std::vector<std::string> leaving;
  std::vector<std::string> gone;
  bool gangs = false;  // are there any among those that are still to go?
  for (const Leaver& leaver : awaits) {
    const std::string who = Who(leaver);
    if (leaver.leaves) {
      leaving.push_back(fmt::format("{} by {}", who, FormatTime(*leaver.leaves)));
      gangs = gangs || leaver.replicas == 0;
    } else {
      gone.push_back(leaver.shrinks ? leaver.key.Format() : who);
    }
  }
  if (leaving.empty()) {
    return {
        .reason = Reason::kWaitingForPreemption,
        .sentence = "waits until the pods of " + Names(gone) + " are gone, which gave way to it"};
  }
  if (!gangs) {
    return {.reason = Reason::kWaitingForPreemption,
            .sentence = "waits until others give way to it: " + Names(leaving)};
  }
  return {
      .reason = Reason::kWaitingForCheckpoint,
      .sentence = "waits until others give way to it at their next checkpoints: " + Names(leaving)};
}

std::string WaitForLeavers(const std::vector<Leaver>& awaits) {
  std::optional<Time> last;
  for (const Leaver& leaver : awaits) {
    if (leaver.leaves) last = std::max(last.value_or(*leaver.leaves), *leaver.leaves);
  }
  if (!last) return "wait until the pods of those who gave way are gone";
  return fmt::format("wait until {}, by when the last of those who give way to it stops",
                     FormatTime(*last));
}

std::string FailureSentence(const Failure& failure) {
  std::string text = fmt::format("attempt {} failed", failure.attempt);
  if (failure.worker >= 0) {
    text += fmt::format(": worker {} on {} exited with code {}", failure.worker, failure.node,
                        failure.exit_code);
  }
  if (!failure.reason.empty()) text += fmt::format(" ({})", failure.reason);
  if (!failure.message.empty()) text += ": " + failure.message;
  return text;
}

Fate FateOf(const World& world, const TrainingPool& pool) {
  Fate fate;
  fate.memory = pool.memory;
  Refresh(fate.memory, world.now);
  if (fate.memory.completed) {
    fate.action = Action::kDone;
  } else if (fate.memory.placement) {
    DecideOnPlaced(world, pool, fate);
  } else {
    DecideOnUnplaced(pool, world.now, fate);
  }
  return fate;
}

std::optional<Cause> Blocked(const TrainingPool& pool) {
  if (!pool.template_invalid.empty()) {
    return Cause{.reason = Reason::kTemplateInvalid, .sentence = pool.template_invalid};
  }
  if (!pool.misconfigured.empty()) {
    return Cause{.reason = Reason::kMisconfigured, .sentence = pool.misconfigured};
  }
  if (!pool.name_conflict.empty()) {
    return Cause{.reason = Reason::kNameConflict, .sentence = pool.name_conflict};
  }
  return std::nullopt;
}

std::vector<std::string> GangNodes::Unreachable(Time now) const {
  std::vector<std::string> names;
  for (const AwayNode& node : away) {
    if (now >= node.until) names.push_back(node.name);
  }
  return names;
}

GangNodes NodesOfGang(const World& world, const TrainingPool& pool, const Placement& placement) {
  GangNodes out;
  out.group = world.GroupOf(pool, placement);
  out.link_suspect = out.group != nullptr && out.group->LinkSuspect();
  out.unreachable_since = world.UnreachableSince(placement.cluster);
  if (out.unreachable_since) return out;
  const GangFacts* facts = world.book.Find(pool, placement);
  if (facts != nullptr && facts->steady) return out;
  NodeFinder finder(world, placement.cluster);
  for (const std::string& name : placement.nodes) {
    const auto index = finder.Find(name);
    if (!index || world.nodes[*index]->out_of_service) {
      out.lost.push_back(name);
      continue;
    }
    const Node& node = *world.nodes[*index];
    if (out.group != nullptr && out.group->Find(*index) == nullptr) out.strangers.push_back(name);
    if (node.ready) continue;
    AwayNode away{.name = name, .since = node.not_ready_since.value_or(world.now)};
    if (out.group != nullptr && out.group->spec->link_healthy_since) {
      away.since = std::max(away.since, *out.group->spec->link_healthy_since);
    }
    away.until = away.since + pool.node_lost;
    out.away.push_back(away);
  }
  return out;
}

WorkerCounts CountWorkers(const World& world, const TrainingPool& pool, int attempt) {
  const GangFacts* facts = world.book.Find(pool, attempt);
  if (facts != nullptr) return facts->counts;
  WorkerCounts counts;
  for (const Worker& worker : pool.workers) {
    if (worker.attempt == attempt) CountPod(worker, counts);
  }
  return counts;
}

bool LostItsJob(const TrainingPool& pool, const Placement& placement) {
  return !pool.attempt.exists &&
         std::any_of(pool.workers.begin(), pool.workers.end(),
                     [&](const Worker& worker) { return worker.attempt == placement.attempt; });
}

bool IsOutdated(const TrainingPool& pool, const Placement& placement) {
  return placement.spec_revision != pool.spec_revision && !pool.attempt.exists &&
         !LostItsJob(pool, placement);
}

bool AllRunning(const World& world, const TrainingPool& pool, const Placement& placement) {
  return CountWorkers(world, pool, placement.attempt).running + SucceededOf(pool, placement) >=
         placement.workers;
}

Time NotBefore(const TrainingPool& pool, const PoolMemory& memory) {
  const Placement& placement = *memory.placement;
  if (memory.failures < 1 || !memory.last_failure ||
      memory.last_failure->attempt >= placement.attempt) {
    return placement.since;
  }
  constexpr Seconds kMost{600};
  Seconds wait = pool.backoff;
  for (int i = 1; i < memory.failures && wait < kMost; ++i) wait *= 2;
  // Twice as long after every failure, up to ten minutes, or up to what was asked for where that is
  // more.
  return memory.last_failure->time + std::min(wait, std::max(kMost, pool.backoff));
}

std::optional<Time> EndsBy(const TrainingPool& pool, const PoolMemory& memory, Time now) {
  if (!pool.active_deadline) return std::nullopt;
  return memory.started.value_or(now) + *pool.active_deadline + pool.checkpoint_grace;
}

Time StartDeadline(const TrainingPool& pool, const PoolMemory& memory) {
  return std::max(memory.placement->since, NotBefore(pool, memory)) +
         std::max(pool.start_deadline, Seconds{1});
}

OldPods OldPodsOf(const World& world, const TrainingPool& pool, const PoolMemory& memory) {
  OldPods pods;
  if (memory.placement) {
    const GangFacts* facts = world.book.Find(pool, memory.placement->attempt);
    if (facts != nullptr && !facts->old_pods) return pods;
  }
  const std::string_view cluster = ClusterOf(pool);
  const bool unreachable = world.UnreachableSince(cluster).has_value();
  NodeFinder finder(world, cluster);
  for (const Worker& worker : pool.workers) {
    if (worker.ended) continue;
    if (memory.placement && worker.attempt == memory.placement->attempt) continue;
    const auto index = finder.FindOfPod(worker.node);
    const Node* node = index ? world.nodes[*index] : nullptr;
    if (unreachable || (node != nullptr && world.UnreachableSince(node->id.cluster))) {
      pods.stuck.push_back(worker.pod);
    } else if (worker.node.empty()) {
      pods.reachable.push_back(worker.pod);
    } else if (node == nullptr || node->out_of_service) {
      pods.lost.push_back(worker.pod);
    } else {
      (node->ready ? pods.reachable : pods.stuck).push_back(worker.pod);
    }
  }
  std::sort(pods.reachable.begin(), pods.reachable.end());
  std::sort(pods.stuck.begin(), pods.stuck.end());
  std::sort(pods.lost.begin(), pods.lost.end());
  return pods;
}

bool WaitsForStuck(const TrainingPool& pool, const OldPods& old) {
  return pool.on_unreachable == OnUnreachable::kWait && !old.stuck.empty();
}

std::vector<Time> MomentsOf(const World& world, const TrainingPool& pool,
                            const PoolMemory& memory) {
  std::vector<Time> moments;
  if (memory.completed) return moments;
  for (const ExcludedNode& node : memory.excluded) moments.push_back(node.until);
  if (memory.hold) moments.push_back(memory.hold->until);
  if (pool.active_deadline && memory.started && !pool.suspended) {
    moments.push_back(*memory.started + *pool.active_deadline);
  }
  if (memory.dwell && memory.last_move) moments.push_back(*memory.last_move + kAfterMove);
  if (!memory.placement) return moments;
  moments.reserve(moments.size() + 4);  // mostly enough
  moments.push_back(NotBefore(pool, memory));
  if (const auto until = AwaitsFailedPod(pool)) moments.push_back(*until);
  if (!AllRunning(world, pool, *memory.placement)) moments.push_back(StartDeadline(pool, memory));
  const GangNodes nodes = NodesOfGang(world, pool, *memory.placement);
  if (nodes.AreLeftAlone()) return moments;
  for (const AwayNode& node : nodes.away) moments.push_back(node.until);
  return moments;
}

}  // namespace spillway::placement
