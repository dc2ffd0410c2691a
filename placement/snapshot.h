#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/money.h"
#include "base/quantity.h"
#include "base/result.h"
#include "base/shared_optional.h"
#include "placement/labels.h"

// The facts of one moment, in our words. Plain values: no Kubernetes, no I/O.
namespace spillway::placement {

// ---- small words ----

enum class Provider { kOnPrem, kAws, kAzure, kGcp, kOther };
enum class Admission { kOpen, kClosed, kDrain };
enum class CapacityType { kOwned, kReserved, kOnDemand, kSpot };
enum class Preference { kHomeFirst, kPrice };
enum class TopologyMode { kRequired, kPreferred, kIgnore };
enum class OnUnreachable { kRestart, kWait };
enum class Preempts { kLowerPriority, kNever };
enum class Preemptible { kAlways, kAtCheckpoint, kNever };
enum class ReturnHome { kAtCheckpoint, kAnytime, kNever };
enum class Routing { kUniform, kWeighted };
enum class BudgetPeriod { kDay, kWeek, kMonth };
enum class AtLimit { kBlockSpill, kDrainAtCheckpoint };

std::string_view Name(Provider value);
std::string_view Name(Admission value);
std::string_view Name(CapacityType value);
std::string_view Name(Preference value);
std::string_view Name(TopologyMode value);
std::string_view Name(OnUnreachable value);
std::string_view Name(Preempts value);
std::string_view Name(Preemptible value);
std::string_view Name(ReturnHome value);
std::string_view Name(Routing value);
std::string_view Name(BudgetPeriod value);
std::string_view Name(AtLimit value);
// One for each of the above: nullopt for a word that is not in the list.
std::optional<Provider> ProviderFrom(std::string_view name);
std::optional<Admission> AdmissionFrom(std::string_view name);
std::optional<CapacityType> CapacityTypeFrom(std::string_view name);
std::optional<Preference> PreferenceFrom(std::string_view name);
std::optional<TopologyMode> TopologyModeFrom(std::string_view name);
std::optional<OnUnreachable> OnUnreachableFrom(std::string_view name);
std::optional<Preempts> PreemptsFrom(std::string_view name);
std::optional<Preemptible> PreemptibleFrom(std::string_view name);
std::optional<ReturnHome> ReturnHomeFrom(std::string_view name);
std::optional<Routing> RoutingFrom(std::string_view name);
std::optional<BudgetPeriod> BudgetPeriodFrom(std::string_view name);
std::optional<AtLimit> AtLimitFrom(std::string_view name);

// One requirement on labels, by Kubernetes' rules: In, NotIn (also true where the key is absent),
// Exists, DoesNotExist, Gt, Lt (whole numbers; node affinity only). An unknown operator never
// holds.
struct Requirement {
  std::string key;
  std::string op;
  std::vector<std::string> values;
  bool operator==(const Requirement&) const = default;
};
bool Matches(const Labels& labels, const Requirement& requirement);
bool MatchesAll(const Labels& labels, const std::vector<Requirement>& requirements);

struct Taint {
  std::string key;
  std::string value;
  std::string effect;  // NoSchedule | PreferNoSchedule | NoExecute
  bool operator==(const Taint&) const = default;
};
struct Toleration {
  std::string key;  // empty with Exists: everything
  std::string op;   // Equal (also when empty) | Exists
  std::string value;
  std::string effect;  // empty: any
  bool operator==(const Toleration&) const = default;
};
bool Tolerates(const std::vector<Toleration>& tolerations, const Taint& taint);

// ---- clusters, nodes and node groups ----

// A cluster beside the operator's own. One that can't be reached is left as it is until it can be:
// nothing new goes there, and nobody who is there is made to go or to start anew. What is said of
// its nodes and pods is what was last seen.
struct Cluster {
  std::string name;                       // never empty
  std::optional<Time> unreachable_since;  // nullopt: it can be reached
  bool operator==(const Cluster&) const = default;
};

struct NodeId {
  std::string cluster;  // empty: the operator's own
  std::string name;
  auto operator<=>(const NodeId&) const = default;
};

struct Node {
  NodeId id;
  Labels labels;
  std::vector<Taint> taints;
  Resources allocatable;
  Resources used;  // requests of ALL pods bound to it that have not ended, ours included
  Time created{};
  bool ready = true;
  std::optional<Time> not_ready_since;  // set when !ready
  bool cordoned = false;
  bool starting = false;        // its provisioner has not finished with it
  bool draining = false;        // on its way out: disrupted, deleted, about to be reclaimed
  bool out_of_service = false;  // the admin, or its provider, says that it is gone
  // Pods bound to it that have not ended, are of none of the pools here, and do not come and go
  // with the node, as a DaemonSet's do.
  int other_pods = 0;
  // Since when new pods are kept from it, as its group gives it back. `cordoned` is what others do.
  std::optional<Time> held_since;
  Labels conditions;  // statuses by type, for the groups' own lists of bad ones
  bool operator==(const Node&) const = default;
};

struct BadCondition {
  std::string type;
  std::string status;
  bool operator==(const BadCondition&) const = default;
};
struct BadTaint {  // empty value or effect: any
  std::string key;
  std::string value;
  std::string effect;
  bool operator==(const BadTaint&) const = default;
};

// A group whose nodes are made when they are asked for.
struct Elastic {
  int min_nodes = 0;
  int max_nodes = 0;
  int step_nodes = 1;          // asked for in multiples of so many
  bool single_domain = false;  // new nodes are known to share a domain with those there are
  Resources node_shape;        // allocatable of a node that does not exist yet
  Seconds provision_timeout{1200};
  Seconds backoff_initial{300};  // after the first stock-out, doubled by each one that follows
  Seconds backoff_max{3600};
  // Nodes that nobody needs for so long are given back; nullopt: none are.
  std::optional<Seconds> scale_down_delay;
  std::optional<Money> max_hourly_cost;  // of all its nodes, by per_node_hour; nullopt: no limit
  bool operator==(const Elastic&) const = default;
};
// What a group was asked for did not come in time.
struct Stockout {
  Time since{};      // of the first in a row
  int attempts = 1;  // in a row
  Time next_try{};   // nothing is asked for before
  bool operator==(const Stockout&) const = default;
};
// So many nodes of a group, whichever they were, nobody has needed at any time since.
struct SpareNodes {
  int nodes = 0;
  Time since{};
  bool operator==(const SpareNodes&) const = default;
};
// Nodes that a group gives back. At first they are only held: kept from new pods of others, and
// whoever needs one takes it back. Once `replicas` is decided they are nobody's any more.
struct LeavingNodes {
  std::vector<std::string> nodes;  // sorted names
  Time since{};                    // held, or nobody's
  std::optional<int> replicas;     // what the group's target is lowered to, so that they go
  bool lowered = false;            // it has been
  bool operator==(const LeavingNodes&) const = default;
};
// What decisions about an elastic group need to remember: durable, in its status.
struct GroupMemory {
  std::optional<int> desired;  // nodes; nullopt: none have been asked for yet
  std::optional<Stockout> stockout;
  std::optional<SpareNodes> spare;
  std::optional<LeavingNodes> leaving;
  bool operator==(const GroupMemory&) const = default;
};

struct NodeGroup {
  std::string name;
  std::string cluster;
  Labels labels;  // of the NodeGroup object, for a pool's nodeGroupSelector
  Provider provider = Provider::kOnPrem;
  int tier = 0;
  Admission admission = Admission::kOpen;
  std::vector<Requirement> selector;  // never empty
  std::string accelerator;            // type
  std::string resource;               // empty: CPU, counted in cores
  int per_node = 0;                   // 0: what each node shows
  CapacityType capacity_type = CapacityType::kOwned;
  Money per_node_hour;
  Money marginal_per_node_hour;
  std::vector<std::string> domain_labels;  // closest first
  std::vector<Toleration> tolerations;
  Resources pod_defaults;  // added to each worker's requests here
  Seconds startup_grace{900};
  Seconds not_ready_grace{300};
  int max_unhealthy_percent = 30;
  std::vector<BadCondition> bad_conditions;
  std::vector<BadTaint> bad_taints;
  bool link_down = false;                  // an admin says: count its NotReady nodes as unreachable
  std::optional<Time> link_healthy_since;  // when the link was last found healthy again
  std::string misconfigured;               // a sentence; empty: the spec is usable
  std::optional<Elastic> elastic;          // nullopt: the group is what its nodes are
  std::optional<int> target_replicas;      // of an elastic one, as last seen; nullopt: not known
  bool target_fixed = false;               // as last seen it may not be lowered
  bool leaving_stay = false;               // it was lowered, and took others than were to go
  GroupMemory memory;
  bool operator==(const NodeGroup&) const = default;
};

// ---- training pools ----

struct PoolKey {
  std::string ns;
  std::string name;
  auto operator<=>(const PoolKey&) const = default;
  [[nodiscard]] std::string Format() const { return ns + "/" + name; }
};

// One pod of an inference pool.
struct ReplicaKey {
  PoolKey pool;
  std::string pod;
  auto operator<=>(const ReplicaKey&) const = default;
  [[nodiscard]] std::string Format() const { return pool.Format() + "/" + pod; }
};
// Of what Format() gives; nullopt: the text is nothing of the kind.
std::optional<ReplicaKey> ReplicaKeyFrom(const std::string& text);

struct AcceptedAccelerator {
  std::string type;
  int workers = 0;      // with this type
  int min_workers = 0;  // 0: the gang is not elastic with this type
  bool operator==(const AcceptedAccelerator&) const = default;
  // The fewest that an attempt may have.
  [[nodiscard]] int Least() const {
    return min_workers > 0 && min_workers < workers ? min_workers : workers;
  }
  [[nodiscard]] bool IsElastic() const { return Least() < workers; }
};

// The durable decision: what runs where.
struct Placement {
  std::string cluster;
  std::string node_group;
  std::string accelerator;
  std::string domain;  // value of the domain label it is inside of; empty: none
  int tier = 0;
  int workers = 0;
  int per_worker = 0;              // accelerators; 0: a record from before this was written down
  std::vector<std::string> nodes;  // sorted names
  int attempt = 1;
  std::string render_revision;
  std::string spec_revision;  // of the fields that take effect at the next attempt
  Time since{};
  bool operator==(const Placement&) const = default;
};

struct Failure {
  int attempt = 0;
  int worker = -1;
  std::string node;
  int exit_code = 0;
  std::string reason;
  std::string message;
  Time time{};
  bool operator==(const Failure&) const = default;
};

struct ExcludedNode {
  std::string name;
  Time until{};
  std::string reason;
  bool operator==(const ExcludedNode&) const = default;
};

// Nodes that stay reserved to a gang: those that are left to it after it lost others, those that it
// has claimed from those which go for it, or, next to a placement, those that it moves to; in the
// placement's own group, those that it grows onto, its own among them.
struct Hold {
  std::string node_group;
  std::string domain;
  std::vector<std::string> nodes;
  Time until{};
  std::optional<Time> since;              // of a claim or a move: when it was decided
  std::vector<PoolKey> victims;           // of a claim, sorted: gangs that go for it
  std::vector<ReplicaKey> replicas = {};  // likewise; without either it is no claim
  bool shrinks = false;                   // of a claim: its victims go on with fewer workers
  bool operator==(const Hold&) const = default;
  [[nodiscard]] bool IsClaim() const { return !victims.empty() || !replicas.empty(); }
};

// A gang was made to give its place up, or an inference pool some of its replicas.
struct Eviction {
  Time time{};
  std::string cause;  // a sentence
  bool operator==(const Eviction&) const = default;
};

// Nodes that a waiting gang has asked a group for.
struct NodeAsk {
  std::string node_group;
  int nodes = 0;    // that are still to come for it
  int workers = 0;  // that it starts with once they are there
  Time since{};
  bool operator==(const NodeAsk&) const = default;
};

// What decisions about a pool need to remember: durable, in its status.
struct PoolMemory {
  SharedOptional<Placement> placement;
  SharedOptional<Hold> hold;
  std::optional<NodeAsk> ask;        // of a gang that waits
  std::optional<Time> queued_since;  // since it could run; survives eviction and loss
  // Since it last became unplaced, or had to leave its group; counts the hold-back.
  std::optional<Time> waiting_since;
  std::optional<Time> started;               // first placed
  std::optional<Time> completed;             // ended, for better or worse
  bool succeeded = false;                    // with `completed`
  std::optional<std::string> failed_reason;  // a Reason's name, with `completed` and !succeeded
  std::set<int> tiers_used;
  int attempts = 0;  // highest attempt number used
  int restarts = 0;  // all new attempts
  int failures = 0;  // attempts ended by a worker's own exit
  SharedOptional<Failure> last_failure;
  std::vector<ExcludedNode> excluded;
  std::vector<Eviction> evictions;  // the last ones, the oldest first
  std::optional<Time> ready_since;  // when all workers of the present attempt were first ready
  std::optional<Seconds>
      restart_took;  // of the last attempt that got so far: from its start to that
  std::optional<Time> home_fits_since;  // since home has had room for it, which runs elsewhere
  // Since its node group has had room for more of its workers than it runs with.
  std::optional<Time> growth_fits_since;
  // Since it has had to leave its place because its namespace has used its budget up; its next
  // checkpoint counts from here.
  std::optional<Time> over_budget_since;
  std::optional<Time> last_move;
  std::optional<Seconds> dwell;  // what home_fits_since and growth_fits_since must have lasted,
                                 // where that is more than return_after
  bool operator==(const PoolMemory&) const = default;
  [[nodiscard]] bool Moves() const { return placement && hold; }
};

// One live pod of a pool (any attempt; bound or not; not ended unless it failed).
struct Worker {
  std::string pod;
  int attempt = 0;
  int index = -1;
  std::string node;         // empty: not bound
  std::string why_unbound;  // the scheduler's own words; empty: it has not said
  Resources requests;
  bool running = false;  // phase Running
  bool ready = false;
  bool ended = false;  // Failed: takes no room
  bool operator==(const Worker&) const = default;
};

// What is known of the Job of the placement's attempt.
struct AttemptFacts {
  bool exists = false;  // the Job of placement.attempt is there and not being deleted
  bool complete = false;
  bool failed = false;
  bool disrupted = false;  // with failed: a worker was evicted or deleted, none failed itself
  std::optional<Failure> failure;  // with failed: which worker, how
  bool pods_behind = false;        // with failed: the pods that are seen are older than its Job
  int succeeded = 0;
  bool operator==(const AttemptFacts&) const = default;
};

struct TrainingPool {
  PoolKey key;
  std::string uid;
  int64_t priority = 0;
  int per_worker = 1;                             // accelerators
  std::vector<AcceptedAccelerator> accelerators;  // best first
  Resources requests;     // of one worker after admission, without the accelerators, with "pods": 1
  int64_t other_cpu = 0;  // of requests' cpu: what is not its first container's
  std::vector<Toleration> tolerations;
  // The template's node selector and required node affinity: one of the terms must hold; no terms:
  // any node will do.
  std::vector<std::vector<Requirement>> node_terms;
  std::vector<Provider> providers;  // empty: any
  std::vector<Requirement> group_selector;
  Preference preference = Preference::kHomeFirst;
  bool spill_allowed = true;
  Seconds spill_after{600};
  std::optional<Money> spill_max_hourly_cost;  // of the gang, above home, by marginal price
  ReturnHome return_home = ReturnHome::kAtCheckpoint;
  Seconds return_after{600};
  int return_min_savings_percent = 10;
  TopologyMode topology = TopologyMode::kPreferred;
  std::string topology_level;  // empty: the group's closest
  Seconds start_deadline{1800};
  int max_restarts = 20;
  Seconds backoff{10};
  Seconds node_lost{300};
  Seconds hold{600};
  OnUnreachable on_unreachable = OnUnreachable::kRestart;
  std::optional<Seconds> active_deadline;
  // What the user expects it to take from its first placement on, and what is left of it as the
  // program says, which counts instead. Neither ends anything.
  std::optional<Seconds> expected;
  std::optional<Seconds> remaining;
  Preempts preempts = Preempts::kLowerPriority;
  Preemptible preemptible = Preemptible::kAtCheckpoint;
  Seconds min_run{1800};                // not preempted before it has run so long
  Seconds checkpoint_interval{1800};    // at least 1
  Seconds checkpoint_grace{120};        // from being told to stop until it has stopped
  std::optional<Time> last_checkpoint;  // as the program says
  bool suspended = false;
  std::string spec_revision;
  // Why it may not be placed at all: kMisconfigured, kTemplateInvalid, kNameConflict's sentence.
  std::string misconfigured;
  std::string template_invalid;
  std::string name_conflict;
  bool template_unchecked = false;  // the dry run has not answered yet: not placed before it has
  std::string namespace_quota;      // with template_unchecked: which ResourceQuota is in the way
  PoolMemory memory;
  AttemptFacts attempt;
  std::vector<Worker> workers;
  bool operator==(const TrainingPool&) const = default;
};

// ---- inference pools ----

// How much of a pool's demand something serves, in millionths of whatever the user counts in.
using Throughput = int64_t;

// One way to serve a pool. A variant on a node group is a cell.
struct Variant {
  std::string name;
  std::string accelerator;            // type
  int per_replica = 1;                // accelerators
  std::string arch;                   // of its nodes; empty: any
  Throughput throughput = 1'000'000;  // of one replica, at least 1
  int min_replicas = 0;
  std::optional<int> max_replicas;
  Seconds startup{300};  // from bound to ready
  Resources requests;    // of one replica, as TrainingPool::requests
  std::vector<Toleration> tolerations;
  std::vector<std::vector<Requirement>> node_terms;
  std::string revision;   // of what its pods are made from
  int64_t other_cpu = 0;  // of its containers but the first, in thousandths
  std::string template_invalid;
  bool template_unchecked = false;
  std::string namespace_quota;  // with template_unchecked: which ResourceQuota is in the way
  bool operator==(const Variant&) const = default;
};

// What was decided for a cell and is to be remembered of it.
struct CellMemory {
  std::string variant;
  std::string node_group;
  int tier = 0;                       // of the group when it was last seen
  int desired = 0;                    // replicas
  std::optional<Time> pending_since;  // since when fewer than desired have had a pod
  std::optional<Time> blocked_until;  // takes nothing new after it missed its start deadline
  int misses = 0;                     // in a row
  std::string revision;               // of the variant, when last decided
  bool operator==(const CellMemory&) const = default;
};

// Nodes of a cell's group that gangs leave for so many more replicas of it.
struct CellClaim {
  std::string variant;
  int replicas = 0;
  Hold hold;  // a claim, without a domain
  bool operator==(const CellClaim&) const = default;
};

// Nodes that an inference pool has asked a group for, for replicas of a variant.
struct CellAsk {
  std::string variant;
  std::string node_group;
  int nodes = 0;     // that are still to come for it; none where those of others have room for all
  int replicas = 0;  // that start once they are there
  Time since{};
  bool operator==(const CellAsk&) const = default;
};

// A number of units that was asked for until a moment in the past.
struct RecentUnits {
  int units = 0;
  Time until{};
  bool operator==(const RecentUnits&) const = default;
};
// Where a period began in which steps are counted.
struct ScalingStep {
  Time since{};
  int units = 0;
  bool operator==(const ScalingStep&) const = default;
};

// What decisions about an inference pool need to remember: durable, in its status.
struct InferenceMemory {
  std::optional<int> units;         // wanted, after stabilization and steps; the last word
  std::optional<int> requested;     // as last seen
  std::vector<RecentUnits> recent;  // the oldest first
  std::optional<ScalingStep> step_up;
  std::optional<ScalingStep> step_down;
  std::vector<CellMemory> cells;  // by (variant, node group); none without replicas or a block
  std::optional<Time> queued_since;
  std::optional<Time> waiting_since;    // since home alone has not met the need
  std::optional<Time> home_fits_since;  // since a better mix of cells has been possible
  std::optional<Time> short_since;      // since all cells together have not met the need
  std::optional<CellClaim> claim;
  std::vector<CellAsk> asks = {};   // by (variant, node group)
  std::vector<Eviction> evictions;  // the last times that replicas gave way, the oldest first
  bool operator==(const InferenceMemory&) const = default;
};

// One live pod of an inference pool.
struct Replica {
  std::string pod;
  std::string variant;
  std::string node_group;
  std::string node;  // empty: not bound
  Resources requests;
  Time since{};  // when it was made, or stopped being ready
  bool ready = false;
  bool terminating = false;
  std::string revision;  // of the variant that it was made from
  bool operator==(const Replica&) const = default;
};

// What is known of a cell's Deployment.
struct CellFacts {
  std::string variant;
  std::string node_group;
  std::string revision;  // of the variant that its template was made from
  int replicas = 0;      // as its spec says
  bool rolling = false;  // some of its pods are not of its present template yet
  bool stuck = false;    // its rollout makes no progress
  int surge = 0;         // its strategy: pods beyond replicas, or
  int unavailable = 0;   // pods short of them, while it rolls
  bool operator==(const CellFacts&) const = default;
};

struct Pace {
  Seconds stabilization{0};
  std::optional<int> max_step;  // units in a period
  Seconds period{60};
  bool operator==(const Pace&) const = default;
};

// A measure of what is asked of a pool, from which its replicas in units come. Once nothing has
// been heard of it for so long, nobody knows what is needed: what the pool has stays as it is.
struct DemandSignal {
  Time as_of{};               // when it was last heard
  Seconds silent_after{120};  // at least 1
  bool operator==(const DemandSignal&) const = default;
  [[nodiscard]] Time SilentFrom() const { return as_of + silent_after; }
};

struct InferencePool {
  PoolKey key;
  std::string uid;
  Time created{};
  int64_t priority = 0;
  int replicas = 0;                    // asked for, in units
  Throughput unit = 1'000'000;         // what one unit serves, at least 1
  std::optional<DemandSignal> demand;  // nullopt: somebody writes `replicas`, and means it
  bool paused = false;
  std::vector<Variant> variants;  // best first
  std::vector<Provider> providers;
  std::vector<Requirement> group_selector;
  Preference preference = Preference::kHomeFirst;
  bool spill_allowed = true;
  Seconds spill_after{120};
  std::optional<Money> spill_max_hourly_cost;
  bool return_allowed = true;
  Seconds return_after{300};
  int return_min_savings_percent = 5;
  Seconds return_payback{3600};
  Seconds start_deadline{900};
  Preempts preempts = Preempts::kLowerPriority;
  Seconds preempt_after{300};  // for which it must have been short before gangs give way to it
  Pace scale_up;
  Pace scale_down{.stabilization = Seconds{300}, .max_step = {}, .period = Seconds{60}};
  Routing routing = Routing::kUniform;
  int max_unavailable = 1;
  Seconds drain{60};  // that a pod may take from being told to stop until it is gone
  std::string misconfigured;
  std::string name_conflict;
  InferenceMemory memory;
  std::vector<CellFacts> cells;  // of the Deployments that are there
  std::vector<Replica> live;
  bool operator==(const InferencePool&) const = default;
};

// ---- quotas ----

struct QuotaLimit {
  std::string type;
  int64_t limit = 0;  // accelerators
  int64_t guaranteed = 0;
  bool operator==(const QuotaLimit&) const = default;
};
// Money for what is above home, by marginal price.
struct Budget {
  Money amount;
  BudgetPeriod period = BudgetPeriod::kMonth;  // of the calendar in UTC; weeks begin on Monday
  AtLimit at_limit = AtLimit::kBlockSpill;     // what becomes of gangs once it is used up
  bool operator==(const Budget&) const = default;
};
// What was spent above home up to a moment, and what has been spent an hour since. Written whenever
// the latter changes, so that what has been spent by any later moment can be told from it alone.
struct SpendMemory {
  Money spent;  // since period_start
  Money hourly;
  Time as_of{};
  Time period_start{};
  bool operator==(const SpendMemory&) const = default;
};
struct Quota {  // of one namespace
  std::string ns;
  std::vector<QuotaLimit> limits;
  int weight = 1;                                       // its share of what is borrowed, at least 1
  std::optional<Money> max_hourly_cost = std::nullopt;  // above home, by marginal price
  std::optional<Budget> budget = std::nullopt;
  std::optional<SpendMemory> memory = std::nullopt;  // durable, in its status
  bool operator==(const Quota&) const = default;
};

// The world. Parts may stand in any order; the plan does not depend on it.
struct Snapshot {
  Time now{};
  std::string currency = "USD";
  std::string render_revision;    // given to new placements
  std::vector<Cluster> clusters;  // one that is not among them, as the operator's own, is reachable
  std::vector<NodeGroup> groups;
  std::vector<Node> nodes;
  std::vector<TrainingPool> pools;
  std::vector<InferencePool> inference_pools;
  std::vector<Quota> quotas;
  std::vector<QuotaLimit> default_limits;  // for namespaces without a Quota
  bool operator==(const Snapshot&) const = default;
};

// The text form: YAML with one flow mapping a line per cluster, group, node, pool and quota.
// Reading back what was written gives an equal value. Unknown fields, wrong types and words are
// kInvalid with line, field and what is allowed. Fields equal to their default are left out.
std::string WriteSnapshot(const Snapshot& snapshot);
Result<Snapshot> ReadSnapshot(std::string_view text);
// The same with `pools:` and `inferencePools:` alone, at least one pool in them.
Result<Snapshot> ReadPools(std::string_view text);

}  // namespace spillway::placement
