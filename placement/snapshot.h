#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/money.h"
#include "base/quantity.h"
#include "base/result.h"

// The facts of one moment, in our words. Plain values: no Kubernetes, no I/O.
namespace spillway::placement {

// ---- small words ----

enum class Provider { kOnPrem, kAws, kAzure, kGcp, kOther };
enum class Admission { kOpen, kClosed };
enum class CapacityType { kOwned, kReserved, kOnDemand, kSpot };
enum class Preference { kHomeFirst, kPrice };
enum class TopologyMode { kRequired, kPreferred, kIgnore };
enum class OnUnreachable { kRestart, kWait };

std::string_view Name(Provider value);
std::string_view Name(Admission value);
std::string_view Name(CapacityType value);
std::string_view Name(Preference value);
std::string_view Name(TopologyMode value);
std::string_view Name(OnUnreachable value);
// One for each of the above: nullopt for a word that is not in the list.
std::optional<Provider> ProviderFrom(std::string_view name);
std::optional<Admission> AdmissionFrom(std::string_view name);
std::optional<CapacityType> CapacityTypeFrom(std::string_view name);
std::optional<Preference> PreferenceFrom(std::string_view name);
std::optional<TopologyMode> TopologyModeFrom(std::string_view name);
std::optional<OnUnreachable> OnUnreachableFrom(std::string_view name);

using Labels = std::map<std::string, std::string>;

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

// ---- nodes and node groups ----

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
  bool draining = false;        // on its way out: disrupted, deleted, about to be reclaimed
  bool out_of_service = false;  // the admin says it is gone for good
  // Node conditions by type, for the groups' own lists of bad ones.
  std::map<std::string, std::string> conditions;
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
  bool operator==(const NodeGroup&) const = default;
};

// ---- training pools ----

struct PoolKey {
  std::string ns;
  std::string name;
  auto operator<=>(const PoolKey&) const = default;
  [[nodiscard]] std::string Format() const { return ns + "/" + name; }
};

struct AcceptedAccelerator {
  std::string type;
  int workers = 0;  // with this type
  bool operator==(const AcceptedAccelerator&) const = default;
};

// The durable decision: what runs where.
struct Placement {
  std::string cluster;
  std::string node_group;
  std::string accelerator;
  std::string domain;  // value of the domain label it is inside of; empty: none
  int tier = 0;
  int workers = 0;
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

// Nodes that stay reserved to a gang that lost others of its nodes.
struct Hold {
  std::string node_group;
  std::string domain;
  std::vector<std::string> nodes;
  Time until{};
  bool operator==(const Hold&) const = default;
};

// What decisions about a pool need to remember: durable, in its status.
struct PoolMemory {
  std::optional<Placement> placement;
  std::optional<Hold> hold;
  std::optional<Time> queued_since;          // since it could run; survives eviction and loss
  std::optional<Time> waiting_since;         // since it last became unplaced; counts the hold-back
  std::optional<Time> started;               // first placed
  std::optional<Time> completed;             // ended, for better or worse
  bool succeeded = false;                    // with `completed`
  std::optional<std::string> failed_reason;  // a Reason's name, with `completed` and !succeeded
  std::set<int> tiers_used;
  int attempts = 0;  // highest attempt number used
  int restarts = 0;  // all new attempts
  int failures = 0;  // attempts ended by a worker's own exit
  std::optional<Failure> last_failure;
  std::vector<ExcludedNode> excluded;
  bool operator==(const PoolMemory&) const = default;
};

// One live pod of a pool (any attempt; bound or not; not ended unless it failed).
struct Worker {
  std::string pod;
  int attempt = 0;
  int index = -1;
  std::string node;  // empty: not bound
  Resources requests;
  bool running = false;  // phase Running
  bool ready = false;
  bool terminating = false;
  bool ended = false;  // Failed: takes no room
  bool operator==(const Worker&) const = default;
};

// What is known of the Job of the placement's attempt.
struct AttemptFacts {
  bool exists = false;  // the Job of placement.attempt is there and not being deleted
  bool complete = false;
  bool failed = false;
  std::optional<Failure> failure;  // with failed: which worker, how
  int succeeded = 0;
  bool operator==(const AttemptFacts&) const = default;
};

struct TrainingPool {
  PoolKey key;
  std::string uid;
  Time created{};
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
  TopologyMode topology = TopologyMode::kPreferred;
  std::string topology_level;  // empty: the group's closest
  Seconds start_deadline{1800};
  int max_restarts = 20;
  Seconds backoff{10};
  Seconds node_lost{300};
  Seconds hold{600};
  OnUnreachable on_unreachable = OnUnreachable::kRestart;
  std::optional<Seconds> active_deadline;
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

// ---- quotas ----

struct QuotaLimit {
  std::string type;
  int64_t limit = 0;  // accelerators
  bool operator==(const QuotaLimit&) const = default;
};
struct Quota {  // of one namespace
  std::string ns;
  std::vector<QuotaLimit> limits;
  bool operator==(const Quota&) const = default;
};

// The world. Parts may stand in any order; the plan does not depend on it.
struct Snapshot {
  Time now{};
  std::string currency = "USD";
  std::string render_revision;  // given to new placements
  std::vector<NodeGroup> groups;
  std::vector<Node> nodes;
  std::vector<TrainingPool> pools;
  std::vector<Quota> quotas;
  std::vector<QuotaLimit> default_limits;  // for namespaces without a Quota
  bool operator==(const Snapshot&) const = default;
};

// The text form: YAML with one flow mapping a line per group, node, pool and quota. Reading back
// what was written gives an equal value. Unknown fields, wrong types and words are kInvalid with
// line, field and what is allowed. Fields equal to their default are left out.
std::string WriteSnapshot(const Snapshot& snapshot);
Result<Snapshot> ReadSnapshot(std::string_view text);

}  // namespace spillway::placement
