#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "placement/reason.h"
#include "placement/snapshot.h"

namespace spillway::placement {

enum class Action {
  kWait,     // not placed, stays so
  kPlace,    // placed now, from the queue
  kKeep,     // placed, stays as it is
  kRestart,  // placed, new attempt
  kRelease,  // was placed, goes back to the queue or to rest
  kFinish,   // ended now: completed or failed for good
  kDone,     // had ended before
  kScale,    // an inference pool whose cells change
};
std::string_view Name(Action action);
// Whether it does more than leave a pool as it is.
bool Changes(Action action);

// One node group looked at for a pool: the first check that failed, or that it fits.
struct Alternative {
  std::string group;
  bool fits = false;
  Reason reason = Reason::kAsExpected;
  std::string message;
  bool operator==(const Alternative&) const = default;
};

// Room that is kept for a waiting gang.
struct Reservation {
  std::string node_group;
  std::vector<std::string> nodes;  // sorted
  // It starts there by then at the latest, unless somebody with an earlier key comes. nullopt: as
  // soon as pods are gone that are on their way out, or bound that are starting.
  std::optional<Time> starts_by;
  std::vector<PoolKey> after;  // who has to end before, by their activeDeadlineSeconds
  bool operator==(const Reservation&) const = default;
};

// Of a gang that leaves its place, for this reason: has it nowhere to go yet?
inline bool NothingTakesIt(Reason leaves, const PoolMemory& memory) {
  return leaves == Reason::kDraining ||
         (leaves == Reason::kWaitingForCheckpoint && !memory.Moves());
}

struct PoolDecision {
  PoolKey key;
  std::string uid;
  Action action = Action::kWait;
  PoolMemory memory;  // after the decision: what the status must say before anything else happens
  // The Job of memory.placement->attempt may be created now (backoff over, old pods gone).
  bool may_start = false;
  // Delete the Job of every attempt but the placement's (all, when there is no placement), except
  // that of `keep_job`: the last attempt of a pool that has ended stays for its logs.
  std::optional<int> keep_job;
  std::vector<std::string> force_delete;  // names of pods on lost nodes
  std::vector<std::string> stuck_pods;    // old pods that stay Terminating on unreachable nodes
  // The story: why it is placed or not, and why it is ready or not.
  bool placed = false;
  Reason placed_reason = Reason::kWaitingForCapacity;
  std::string placed_message;
  bool ready = false;
  Reason ready_reason = Reason::kPodsNotReady;
  std::string ready_message;
  bool spilled = false;  // placed outside the home tier
  std::string spilled_message;
  int workers_wanted = 0;
  int workers_active = 0;  // live pods of the current attempt
  int workers_ready = 0;
  int workers_succeeded = 0;
  Money hourly_cost;           // its share of its nodes' price
  Money marginal_hourly_cost;  // likewise; what whole nodes cost beside it is in SpendReport alone
  // In the order tried; empty for pools that stay, but for those that have to leave their group.
  // AlternativesFor says more of the others.
  std::vector<Alternative> alternatives;
  std::vector<std::string> remedies;  // what is missing, one sentence each
  int position = 0;                   // in the queue of waiting pools, 1 first; 0: not waiting
  SharedOptional<Reservation> reservation;  // of a waiting pool
  bool operator==(const PoolDecision&) const = default;

  // Has to leave the place where it is, and nothing takes it yet: `alternatives` says why.
  [[nodiscard]] bool IsStuck() const { return placed && NothingTakesIt(placed_reason, memory); }
};

// A variant on a node group: how many replicas it is to have, and how they may change.
struct CellDecision {
  std::string variant;
  std::string node_group;
  int tier = 0;
  int desired = 0;
  int before = 0;
  int ready = 0;
  std::string accelerator;   // type; empty where the spec does not have the variant any more
  int64_t accelerators = 0;  // of all its replicas
  Money hourly_cost;
  // Its Deployment may be brought to the variant's present template, in steps of so many.
  bool roll = false;
  int surge = 0;  // pods beyond desired; 0: as many first go as unavailable says
  int unavailable = 0;
  bool operator==(const CellDecision&) const = default;
};

// A mix of cells that could serve, and why it is not the one that was chosen.
struct RejectedMix {
  std::string mix;  // for people, as InferenceDecision::chosen
  Money cost;       // an hour, at the margin
  std::string why;
  bool operator==(const RejectedMix&) const = default;
};

struct InferenceDecision {
  PoolKey key;
  std::string uid;
  Action action = Action::kWait;
  InferenceMemory memory;           // after the decision
  std::vector<CellDecision> cells;  // by (variant, node group): those with replicas, before or now
  // Pods on nodes that are not coming back soon, or that give way to a gang.
  std::vector<std::string> evict;
  std::vector<std::string> force_delete;  // pods on lost nodes
  Throughput required = 0;
  Throughput ready_capacity = 0;    // usable, as the routing has it
  Throughput pending_capacity = 0;  // decided, not ready yet
  int ready_units = 0;
  std::vector<std::pair<std::string, int>> weights;  // by variant, in percent, as ready capacity is
  bool capacity_met = false;
  Reason capacity_reason = Reason::kWaitingForCapacity;
  std::string capacity_message;
  bool ready = false;
  Reason ready_reason = Reason::kPodsNotReady;
  std::string ready_message;
  bool spilled = false;
  std::string spilled_message;
  std::string chosen;                 // the mix, for people: "4 a100@home, 7 graviton@aws"
  std::vector<RejectedMix> rejected;  // the best others, where something was chosen now or could be
  Money hourly_cost;
  Money marginal_hourly_cost;
  // Cells, in the order tried: those with replicas, or a shortage. AlternativesFor has the others.
  std::vector<Alternative> alternatives;
  std::vector<std::string> remedies;
  int position = 0;  // among waiting pools, 1 first; 0: not waiting
  bool operator==(const InferenceDecision&) const = default;
};

struct GroupReport {
  std::string name;
  int matched = 0;
  int usable = 0;
  int starting = 0;
  int cordoned = 0;
  int unhealthy = 0;
  int draining = 0;
  int not_ready = 0;  // NotReady from the first second; part of neither usable nor (yet) unhealthy
  int64_t allocatable = 0;  // accelerators of all matched nodes
  int64_t used = 0;         // requested by pods on them, any pod
  int64_t free = 0;         // of usable nodes, and not reserved for a gang
  int largest_free_domain_nodes =
      0;  // nodes with all their accelerators free, in one closest domain
  std::string largest_free_domain;
  Money hourly_cost;
  Money idle_hourly_cost;  // of the accelerators that no pod has asked for
  Money marginal_hourly_cost;
  bool no_overlap = true;
  std::string overlap_message;
  bool shape_matches = true;  // no node has other amounts than the spec says
  std::string shape_message;
  bool link_healthy = true;
  std::string link_message;
  bool ready = true;
  Reason ready_reason = Reason::kAsExpected;
  std::string ready_message;
  GroupMemory memory;        // of an elastic group, after the decision: what it is to have
  std::optional<int> there;  // of an elastic group: nodes that it has, without those that are lost
  bool operator==(const GroupReport&) const = default;
};

struct QuotaUse {
  std::string type;
  int64_t used = 0;
  std::optional<int64_t> limit;
  int64_t guaranteed = 0;
  int64_t borrowed = 0;  // of `used`, beyond the guarantee
  int64_t lent = 0;      // of the guarantee, neither used nor free at home
  bool operator==(const QuotaUse&) const = default;
};
struct BudgetReport {
  Money amount;
  Money spent;         // by now, in the running period
  Time period_end{};   // when the next one begins
  SpendMemory memory;  // what the status must say from now on
  bool operator==(const BudgetReport&) const = default;
};
// Above home, by marginal price.
struct SpendReport {
  Money hourly_cost;  // shares, and beside them nodes that are there whole for one pool
  std::optional<Money> max_hourly_cost;
  std::optional<BudgetReport> budget;
  bool operator==(const SpendReport&) const = default;
};
struct QuotaReport {
  std::string ns;
  SpendReport spend;
  std::vector<QuotaUse> accelerators;  // sorted by type; every type limited or used
  bool guarantees_covered = true;      // home has what is guaranteed
  std::string guarantees_message;      // where it has not
  bool operator==(const QuotaReport&) const = default;
};

struct Plan {
  std::vector<PoolDecision> pools;                 // sorted by key (namespace, name)
  std::vector<InferenceDecision> inference_pools;  // likewise
  std::vector<GroupReport> groups;                 // sorted by name
  std::vector<QuotaReport> quotas;                 // sorted by namespace
  // The earliest moment at which time alone changes a decision, or what is to be remembered.
  std::optional<Time> next_wake;
  bool operator==(const Plan&) const = default;
};

// The decision. Pure, total, deterministic, independent of the order of the snapshot's parts.
Plan MakePlan(const Snapshot& snapshot);

// The snapshot as it is once `plan` has been carried out and nothing else happened: memories
// written, Jobs of started attempts there, pods of dropped attempts still on their way out, those
// deleted by force gone. Its plan changes nothing.
Snapshot Applied(const Snapshot& snapshot, const Plan& plan);

// The invariants of design §3 that a plan must hold against its snapshot. Ok, or kInternal with the
// first one broken.
Status Verify(const Snapshot& snapshot, const Plan& plan);

// What there is to say of node groups for a pool of the snapshot's plan. Of a gang that has a place
// and may keep it: every group but its own, in the order in which it would take them, each with the
// first check that fails, or with what it would cost there against what it costs now. All others
// are where the plan has them, what the gang has itself stands nowhere in its way, and that it
// would hold back before a spill is left out; nothing is said where its spec can't be used. Of all
// other gangs: what the plan says, and what each group that they accept would cost them. Costs as
// much as a plan, so that it is made for one pool, when somebody asks.
std::vector<Alternative> AlternativesFor(const Snapshot& snapshot, const PoolDecision& decision);
// Of an inference pool: every variant on every node group, in the order in which they are filled.
// Where the plan says why there are not more, that and a price. Where not all that is needed runs:
// the first check that fails, or how many replicas fit and what they cost there against all that
// runs now, and why the pool stays as it is: dearer or farther, saving too little, not for long
// enough. Its own replicas elsewhere count against no limit but those on money, as they would leave
// only once others serve; that it would hold back before a spill is left out where it does not
// wait.
std::vector<Alternative> AlternativesFor(const Snapshot& snapshot,
                                         const InferenceDecision& decision);

// For people: what would be done (only what changes, or all), and why one pool is where it is, in
// `plan`, which is the snapshot's.
std::string FormatPlan(const Plan& plan, bool all);
std::string FormatWhy(const Snapshot& snapshot, const Plan& plan, const PoolDecision& decision);
std::string FormatWhy(const Snapshot& snapshot, const Plan& plan,
                      const InferenceDecision& decision);

}  // namespace spillway::placement
