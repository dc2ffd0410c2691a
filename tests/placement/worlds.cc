#include "worlds.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "placement/capacity.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using namespace placement;  // NOLINT(google-build-using-namespace): a test's own file

const std::vector<std::string> kTypes = {"a100", "h100", "cores"};

class Maker {
 public:
  explicit Maker(uint32_t seed)
      : dice_(seed),
        moves_(seed + 1'000'000),
        shortages_(seed + 2'000'000),
        sizes_(seed + 3'000'000),
        ends_(seed + 4'000'000),
        drains_(seed + 5'000'000),
        orders_(seed + 6'000'000),
        yields_(seed + 7'000'000),
        spares_(seed + 8'000'000),
        targets_(seed + 9'000'000),
        causes_(seed + 10'000'000),
        cell_orders_(seed + 11'000'000),
        bills_(seed + 12'000'000),
        surpluses_(seed + 13'000'000),
        clusters_(seed + 14'000'000),
        signals_(seed + 15'000'000) {}

  Snapshot Make() {
    world_.now = kNow;
    world_.render_revision = dice_.OneIn(2) ? "r1" : "r2";
    const int groups = dice_.Roll(4) + (dice_.OneIn(10) ? 0 : 1);
    for (int g = 0; g < groups; ++g) AddGroup(g);
    const int pools = dice_.Roll(9);
    for (int p = 0; p < pools; ++p) AddPool(p);
    if (dice_.OneIn(2)) {
      const int serving = dice_.Roll(3) + 1;
      for (int p = 0; p < serving; ++p) AddInferencePool(p);
    }
    AddQuotas();
    AddClaims();
    AddSpendLimits();
    AddDrainsAtLimit();
    if (dice_.OneIn(6) || shortages_.OneIn(12)) AddContest();
    if (moves_.OneIn(3)) AddMovers();
    AddMoves();
    if (shortages_.OneIn(4)) AddShortServing();
    AddShortages();
    AddSizes();
    if (orders_.OneIn(8)) AddElastic();
    if (yields_.OneIn(4)) AddYielding();
    AddReplicaClaims();
    AddUnseenCauses();
    if (cell_orders_.OneIn(6)) AddElasticServing();
    AddBills();
    if (surpluses_.OneIn(5)) AddSurplus();
    if (clusters_.OneIn(20)) AddCluster();
    AddSignals();
    return std::move(world_);
  }

 private:
  Time Ago(int seconds) { return kNow - Seconds{dice_.Roll(seconds)}; }

  void AddGroup(int number) {
    NodeGroup group = Group("g" + std::to_string(number), dice_.Pick<int>({0, 0, 10, 20}));
    group.accelerator = dice_.Pick(kTypes);
    if (group.accelerator == "cores") group.resource.clear();
    group.per_node = dice_.Pick<int>({0, 4, 8});
    if (dice_.OneIn(8)) group.admission = Admission::kClosed;
    if (dice_.OneIn(10)) group.admission = Admission::kDrain;
    if (dice_.OneIn(15)) group.misconfigured = "the price has another currency";
    if (dice_.OneIn(4)) group.domain_labels = {kDomain};
    if (dice_.OneIn(5)) group.domain_labels = {};
    if (dice_.OneIn(6)) group.pod_defaults = Amounts({{"rdma/ib", "1"}});
    if (dice_.OneIn(8)) group.link_down = true;
    if (dice_.OneIn(6)) group.link_healthy_since = Ago(600);
    if (dice_.OneIn(5)) group.bad_conditions = {{.type = "GPUMissing", .status = "True"}};
    if (dice_.OneIn(5)) group.bad_taints = {{.key = "spot", .value = "", .effect = ""}};
    if (dice_.OneIn(10)) group.selector = {{.key = "zone", .op = "In", .values = {"z1"}}};
    group.per_node_hour = Money::FromMicros(dice_.Roll(40) * 1'000'000);
    group.marginal_per_node_hour = Money::FromMicros(dice_.Roll(40) * 1'000'000);
    group.labels = {{"site", dice_.OneIn(2) ? "north" : "south"}};
    const int nodes = dice_.Roll(8);
    const bool link_trouble = dice_.OneIn(6);
    for (int n = 0; n < nodes; ++n) AddNode(group, n, link_trouble);
    world_.groups.push_back(group);
  }

  void AddNode(const NodeGroup& group, int number, bool link_trouble) {
    Node node = GpuNode(group.name + "-n" + std::to_string(number), group.name,
                        dice_.Pick<int>({4, 8, 8, 8}));
    if (!dice_.OneIn(5)) node.labels[kDomain] = group.name + "-d" + std::to_string(dice_.Roll(3));
    if (!dice_.OneIn(5)) node.labels[kBlock] = group.name + "-b" + std::to_string(dice_.Roll(2));
    node.labels["zone"] = dice_.OneIn(2) ? "z1" : "z2";
    if (!group.pod_defaults.empty()) node.allocatable.Set("rdma/ib", 8);
    node.allocatable.Set(std::string(kCpu), dice_.Pick<int64_t>({8000, 16000, 96000}));
    node.created = Ago(2000);
    if (dice_.OneIn(12)) node.cordoned = true;
    if (dice_.OneIn(15)) node.starting = true;
    if (dice_.OneIn(15)) node.draining = true;
    if (dice_.OneIn(20)) node.out_of_service = true;
    if (dice_.OneIn(link_trouble ? 2 : 12)) {
      node.ready = false;
      node.not_ready_since = Ago(700);
    }
    if (dice_.OneIn(12)) node.taints = {{.key = "sku", .value = "gpu", .effect = "NoSchedule"}};
    if (dice_.OneIn(15)) node.taints.push_back({.key = "spot", .value = "", .effect = "NoExecute"});
    if (dice_.OneIn(10)) node.conditions = {{"GPUMissing", dice_.OneIn(2) ? "True" : "False"}};
    if (dice_.OneIn(15)) node.allocatable.Set(kGpu, 0);
    if (dice_.OneIn(4)) {
      node.used.Add(Amounts({{kGpu, std::to_string(dice_.Roll(5))}, {"cpu", "2"}}));
    }
    world_.nodes.push_back(node);
  }

  void AddPool(int number) {
    TrainingPool pool = Wants("p" + std::to_string(number), 1, dice_.Pick<int>({1, 2, 4, 8}));
    pool.key.ns = dice_.OneIn(2) ? "red" : "blue";
    pool.priority = dice_.Roll(3);
    pool.accelerators.clear();
    std::vector<std::string> types = kTypes;
    dice_.Shuffle(types);
    const int accepted = dice_.Roll(3) + 1;
    for (int a = 0; a < accepted; ++a) {
      pool.accelerators.push_back(
          {.type = types[static_cast<size_t>(a)], .workers = dice_.Roll(6) + 1});
    }
    AddRules(pool);
    AddMemory(pool);
    world_.pools.push_back(pool);
  }

  void AddRules(TrainingPool& pool) {
    pool.topology = dice_.Pick<TopologyMode>(
        {TopologyMode::kRequired, TopologyMode::kPreferred, TopologyMode::kIgnore});
    if (dice_.OneIn(5)) pool.topology_level = kBlock;
    if (dice_.OneIn(3)) pool.preference = Preference::kPrice;
    if (dice_.OneIn(6)) pool.spill_allowed = false;
    pool.spill_after = Seconds{dice_.Pick<int>({0, 60, 600})};
    if (dice_.OneIn(6)) pool.providers = {Provider::kOnPrem};
    if (dice_.OneIn(8)) {
      pool.group_selector = {{.key = "site", .op = "In", .values = {"north"}}};
    }
    if (dice_.OneIn(6)) pool.node_terms = {{{.key = "zone", .op = "In", .values = {"z1"}}}};
    if (dice_.OneIn(3)) {
      pool.tolerations = {{.key = "sku", .op = "Exists", .value = "", .effect = ""}};
    }
    pool.on_unreachable = dice_.OneIn(2) ? OnUnreachable::kRestart : OnUnreachable::kWait;
    if (dice_.OneIn(6)) pool.preempts = placement::Preempts::kNever;
    pool.preemptible = dice_.Pick<placement::Preemptible>({placement::Preemptible::kAlways,
                                                           placement::Preemptible::kAtCheckpoint,
                                                           placement::Preemptible::kNever});
    pool.min_run = Seconds{dice_.Pick<int>({0, 600, 5000})};
    pool.checkpoint_interval = Seconds{dice_.Pick<int>({300, 1800})};
    pool.checkpoint_grace = Seconds{dice_.Pick<int>({0, 120})};
    if (dice_.OneIn(4)) pool.last_checkpoint = Ago(2000);
    pool.max_restarts = dice_.Roll(3);
    pool.hold = Seconds{dice_.Pick<int>({0, 600})};
    pool.node_lost = Seconds{dice_.Pick<int>({0, 300})};
    pool.start_deadline = Seconds{dice_.Pick<int>({600, 1800})};
    if (dice_.OneIn(8)) pool.active_deadline = Seconds{dice_.Roll(4000) + 1};
    if (dice_.OneIn(12)) pool.suspended = true;
    if (dice_.OneIn(15)) pool.misconfigured = "the PriorityClass gold does not exist";
    if (dice_.OneIn(15)) pool.template_invalid = "spec.containers is empty";
    if (dice_.OneIn(15)) pool.name_conflict = "Service x-train is not ours";
    if (dice_.OneIn(15)) pool.template_unchecked = true;
  }

  void AddMemory(TrainingPool& pool) {
    PoolMemory& memory = pool.memory;
    if (dice_.OneIn(3)) return;  // new
    memory.queued_since = Ago(4000);
    memory.attempts = dice_.Roll(3);
    memory.restarts = std::max(memory.attempts - 1, 0);
    if (dice_.OneIn(6)) memory.evictions = {{.time = Ago(100'000), .cause = "gave way"}};
    if (dice_.OneIn(4)) memory.restart_took = Seconds{dice_.Roll(900)};
    if (memory.attempts > 0) memory.started = Ago(4000);
    if (dice_.OneIn(4)) {
      memory.excluded = {
          {.name = "g0-n0", .until = kNow + Seconds{dice_.Roll(200) - 50}, .reason = "NodeLost"}};
    }
    if (dice_.OneIn(10)) {
      memory.completed = Ago(100);
      memory.succeeded = dice_.OneIn(2);
      if (!memory.succeeded) memory.failed_reason = "RestartLimitReached";
      return;
    }
    if (dice_.OneIn(3) || !Place(pool)) {
      memory.waiting_since = Ago(1200);
      if (dice_.OneIn(2)) memory.tiers_used = {10};
      if (dice_.OneIn(3)) Hold_(pool);
      AddOldPods(pool);
    }
  }

  std::vector<std::string> NodesOf(const std::string& group) {
    std::vector<std::string> names;
    for (const Node& node : world_.nodes) {
      if (node.labels.find("group")->second == group) names.push_back(node.id.name);
    }
    return names;
  }

  std::vector<std::string> SomeNodes(const std::string& group) {
    std::vector<std::string> names = NodesOf(group);
    dice_.Shuffle(names);
    names.resize(std::min<size_t>(names.size(), static_cast<size_t>(dice_.Roll(3)) + 1));
    if (dice_.OneIn(8)) names.push_back(group + "-gone");
    std::sort(names.begin(), names.end());
    return names;
  }

  void Hold_(TrainingPool& pool) {
    if (world_.groups.empty()) return;
    const std::string group = dice_.Pick(world_.groups).name;
    pool.memory.hold = Hold{.node_group = group,
                            .domain = "",
                            .nodes = SomeNodes(group),
                            .until = kNow + Seconds{dice_.Roll(600) - 100},
                            .since = {},
                            .victims = {}};
  }

  bool Place(TrainingPool& pool) {
    if (world_.groups.empty()) return false;
    const NodeGroup& group = dice_.Pick(world_.groups);
    Placement placement;
    placement.node_group = dice_.OneIn(15) ? "deleted" : group.name;
    placement.accelerator = group.accelerator;
    placement.tier = group.tier;
    placement.workers = dice_.Roll(5) + 1;
    placement.per_worker = dice_.Pick<int>({0, pool.per_worker, 1, 4});
    placement.nodes = SomeNodes(group.name);
    if (placement.nodes.empty()) return false;
    placement.attempt = pool.memory.attempts + 1;
    placement.spec_revision = dice_.OneIn(4) ? "spec-0" : "spec-1";
    placement.since = Ago(4000);
    pool.memory.placement = placement;
    pool.attempt.exists = !dice_.OneIn(4);
    if (pool.attempt.exists) AddPods(pool, group);
    AddOldPods(pool);
    return true;
  }

  void AddPods(TrainingPool& pool, const NodeGroup& group) {
    const Placement& placement = *pool.memory.placement;
    const int all_bound = dice_.Roll(3);
    for (int i = 0; i < placement.workers; ++i) {
      Worker worker;
      worker.pod =
          pool.key.Format() + "-" + std::to_string(placement.attempt) + "-" + std::to_string(i);
      worker.attempt = placement.attempt;
      worker.index = i;
      worker.requests = pool.requests;
      if (!group.resource.empty()) {
        worker.requests.Set(group.resource, PerWorkerOf(pool, placement));
      }
      if (all_bound > 0 || dice_.OneIn(2)) Bind(worker, dice_.Pick(placement.nodes));
      worker.running = !worker.node.empty() && !dice_.OneIn(4);
      worker.ready = worker.running && !dice_.OneIn(5);
      if (worker.node.empty() && dice_.OneIn(2)) worker.why_unbound = "0/8 nodes are available";
      pool.workers.push_back(worker);
    }
    if (dice_.OneIn(8)) {
      pool.attempt.failed = true;
      Failure failure;
      failure.worker = 0;
      failure.exit_code = 1;
      failure.node = placement.nodes.front();
      failure.time = Ago(300);
      if (!dice_.OneIn(4)) pool.attempt.failure = failure;
      pool.attempt.disrupted = dice_.OneIn(3);
    } else if (dice_.OneIn(10)) {
      pool.attempt.complete = true;
      pool.attempt.succeeded = placement.workers;
      for (const Worker& worker : pool.workers) Unbind(worker);
      pool.workers.clear();
    }
  }

  void AddUnseenCauses() {
    for (TrainingPool& pool : world_.pools) {
      AttemptFacts& attempt = pool.attempt;
      if (!attempt.failed || !attempt.failure || !causes_.OneIn(3)) continue;
      attempt.failure->worker = -1;
      attempt.pods_behind = causes_.OneIn(2);
    }
  }

  void AddOldPods(TrainingPool& pool) {
    if (world_.nodes.empty() || !dice_.OneIn(4)) return;
    Worker old;
    old.pod = pool.key.Format() + "-old";
    old.attempt = 0;
    old.index = 0;
    old.requests = pool.requests;
    old.requests.Set(kGpu, pool.per_worker);
    old.running = true;
    if (!dice_.OneIn(6)) Bind(old, dice_.Pick(world_.nodes).id.name);
    pool.workers.push_back(old);
  }

  // A kubelet does not admit what does not fit. A node that is gone can't say no.
  void Bind(Worker& worker, const std::string& name) {
    for (Node& node : world_.nodes) {
      if (node.id.name != name) continue;
      Resources used = node.used;
      used.Add(worker.requests);
      if (!node.allocatable.Covers(used)) return;
      node.used = used;
    }
    worker.node = name;
  }
  void Unbind(const Worker& worker) {
    for (Node& node : world_.nodes) {
      if (node.id.name == worker.node) node.used.Subtract(worker.requests);
    }
  }

  // ---- inference pools ----

  void AddInferencePool(int number) {
    InferencePool pool = Chat(dice_.Roll(12), "s" + std::to_string(number));
    pool.key.ns = dice_.OneIn(2) ? "red" : "blue";
    pool.priority = dice_.Roll(3);
    pool.variants.clear();
    const int variants = dice_.Roll(2) + 1;
    for (int v = 0; v < variants; ++v) AddVariant(pool, v);
    if (dice_.OneIn(3)) pool.unit = Dollars("3.7").micros();
    if (dice_.OneIn(3)) pool.routing = Routing::kUniform;
    if (dice_.OneIn(3)) pool.preference = Preference::kPrice;
    if (dice_.OneIn(6)) pool.spill_allowed = false;
    pool.spill_after = Seconds{dice_.Pick<int>({0, 120, 600})};
    if (dice_.OneIn(5)) pool.spill_max_hourly_cost = Money::FromMicros(dice_.Roll(30) * 1'000'000);
    if (dice_.OneIn(6)) pool.return_allowed = false;
    if (dice_.OneIn(8)) pool.providers = {Provider::kOnPrem};
    pool.max_unavailable = dice_.Roll(2) + 1;
    if (dice_.OneIn(3)) pool.scale_up.max_step = dice_.Roll(4) + 1;
    if (dice_.OneIn(3)) pool.scale_down.max_step = dice_.Roll(4) + 1;
    pool.scale_down.stabilization = Seconds{dice_.Pick<int>({0, 300})};
    if (dice_.OneIn(12)) pool.paused = true;
    if (dice_.OneIn(15)) pool.misconfigured = "the PriorityClass gold does not exist";
    if (dice_.OneIn(15)) pool.name_conflict = "Service s0 is not ours";
    if (!dice_.OneIn(4)) AddServing(pool);
    world_.inference_pools.push_back(std::move(pool));
  }

  void AddVariant(InferencePool& pool, int number) {
    Variant variant = Serves("v" + std::to_string(number), dice_.Pick(kTypes),
                             dice_.Pick<int>({1, 2, 4}), dice_.OneIn(2) ? "4" : "0.5");
    if (dice_.OneIn(3)) variant.max_replicas = dice_.Roll(8) + 1;
    if (dice_.OneIn(4)) variant.min_replicas = dice_.Roll(2);
    if (variant.max_replicas) {
      variant.min_replicas = std::min(variant.min_replicas, *variant.max_replicas);
    }
    if (dice_.OneIn(12)) variant.arch = "arm64";
    if (dice_.OneIn(3)) {
      variant.tolerations = {{.key = "sku", .op = "Exists", .value = "", .effect = ""}};
    }
    if (dice_.OneIn(15)) variant.template_invalid = "spec.containers is empty";
    if (dice_.OneIn(15)) variant.template_unchecked = true;
    pool.variants.push_back(std::move(variant));
  }

  void AddServing(InferencePool& pool) {
    InferenceMemory& memory = pool.memory;
    memory.units = dice_.OneIn(2) ? pool.replicas : dice_.Roll(12);
    memory.requested = dice_.OneIn(2) ? pool.replicas : dice_.Roll(12);
    memory.queued_since = Ago(4000);
    if (dice_.OneIn(2)) memory.waiting_since = Ago(900);
    if (dice_.OneIn(2)) memory.home_fits_since = Ago(600);
    if (dice_.OneIn(4)) memory.recent = {{.units = dice_.Roll(12), .until = Ago(300)}};
    for (const NodeGroup& group : world_.groups) {
      for (const Variant& variant : pool.variants) {
        if (variant.accelerator == group.accelerator && !dice_.OneIn(3)) {
          AddCell(pool, variant, group);
        }
      }
    }
    if (dice_.OneIn(10) && pool.variants.size() > 1) pool.variants.pop_back();
  }

  void AddCell(InferencePool& pool, const Variant& variant, const NodeGroup& group) {
    CellMemory cell{.variant = variant.name,
                    .node_group = dice_.OneIn(20) ? "deleted" : group.name,
                    .tier = group.tier,
                    .desired = dice_.Roll(5),
                    .pending_since = {},
                    .blocked_until = {},
                    .misses = 0,
                    .revision = dice_.OneIn(5) ? "v0" : "v1"};
    if (dice_.OneIn(6)) cell.pending_since = Ago(1500);
    if (dice_.OneIn(6)) {
      cell.misses = dice_.Roll(4) + 1;
      cell.blocked_until = kNow + Seconds{dice_.Roll(900) - 300};
    }
    if (cell.desired == 0 && !cell.blocked_until) return;
    pool.memory.cells.push_back(cell);
    if (cell.desired == 0) return;
    CellFacts facts{.variant = cell.variant,
                    .node_group = cell.node_group,
                    .revision = dice_.OneIn(4) ? "v0" : "v1",
                    .replicas = dice_.OneIn(8) ? dice_.Roll(6) : cell.desired,
                    .rolling = dice_.OneIn(5),
                    .stuck = false,
                    .surge = dice_.Roll(2),
                    .unavailable = 0};
    facts.unavailable = facts.surge == 0 ? 1 : 0;
    facts.stuck = facts.rolling && dice_.OneIn(3);
    if (!dice_.OneIn(6)) pool.cells.push_back(facts);
    const std::vector<std::string> nodes = NodesOf(group.name);
    for (int i = 0; i < cell.desired; ++i) AddReplica(pool, cell, group, nodes, i);
  }

  void AddReplica(InferencePool& pool, const CellMemory& cell, const NodeGroup& group,
                  const std::vector<std::string>& nodes, int number) {
    if (dice_.OneIn(8)) return;
    Replica replica;
    replica.pod = pool.key.Format() + "-" + cell.variant + "-" + cell.node_group + "-" +
                  std::to_string(number);
    replica.variant = cell.variant;
    replica.node_group = cell.node_group;
    for (const Variant& variant : pool.variants) {
      if (variant.name != cell.variant) continue;
      replica.requests = variant.requests;
      replica.requests.Set(
          group.resource.empty() ? std::string(kCpu) : group.resource,
          group.resource.empty() ? int64_t{variant.per_replica} * 1000 : variant.per_replica);
    }
    replica.since = Ago(1500);
    replica.revision = dice_.OneIn(4) ? "v0" : "v1";
    if (!nodes.empty() && !dice_.OneIn(6)) {
      Worker bound;
      bound.requests = replica.requests;
      Bind(bound, dice_.Pick(nodes));
      replica.node = bound.node;
    }
    replica.ready = !replica.node.empty() && !dice_.OneIn(4);
    for (const Node& node : world_.nodes) {
      if (node.id.name == replica.node && !node.ready) replica.ready = false;
    }
    if (dice_.OneIn(12)) replica.terminating = true;
    pool.live.push_back(std::move(replica));
  }

  void AddQuotas() {
    if (dice_.OneIn(2)) AddQuota("red");
    if (dice_.OneIn(4)) AddQuota("blue");
    if (dice_.OneIn(4)) {
      world_.default_limits = {{.type = "h100", .limit = dice_.Roll(40), .guaranteed = 0}};
    }
  }

  void AddQuota(const std::string& ns) {
    const int guaranteed = dice_.OneIn(2) ? dice_.Roll(24) : 0;
    world_.quotas.push_back({.ns = ns,
                             .limits = {{.type = "a100",
                                         .limit = guaranteed + dice_.Roll(40),
                                         .guaranteed = guaranteed}},
                             .weight = dice_.Roll(3) + 1});
  }

  // Gangs that wait for others to go.
  void AddClaims() {
    for (TrainingPool& pool : world_.pools) {
      if (!pool.memory.hold || !dice_.OneIn(2)) continue;
      Hold& hold = *pool.memory.hold;
      hold.since = Ago(300);
      hold.until = kNow + Seconds{dice_.Roll(900) - 100};
      for (const TrainingPool& other : world_.pools) {
        if (other.key != pool.key && dice_.OneIn(3)) hold.victims.push_back(other.key);
      }
      std::sort(hold.victims.begin(), hold.victims.end());
    }
  }

  // A home of its own where gangs wait for those that run: with deadlines, priorities and claims.
  void AddContest() {
    NodeGroup group = Group("arena");
    group.accelerator = "l40";
    world_.groups.push_back(group);
    const int nodes = dice_.Roll(3) + 2;
    for (int n = 0; n < nodes; ++n) {
      const std::string node = "arena-n" + std::to_string(n);
      world_.nodes.push_back(GpuNode(node, "arena"));
      if (dice_.OneIn(3)) continue;
      TrainingPool pool = Contestant("r" + std::to_string(n), 1);
      pool.memory = Has(pool.key.name, 1, 8, "arena", {node}).memory;
      pool.memory.placement->accelerator = "l40";
      pool.memory.placement->since = *(pool.memory.started = kNow - Seconds{3600});
      pool.attempt.exists = true;
      if (pool.active_deadline) *pool.active_deadline += Seconds{3600};
      world_.pools.push_back(pool);
      AddWorkers(world_, world_.pools.back());
    }
    const int waiting = dice_.Roll(3) + 2;
    for (int w = 0; w < waiting; ++w) {
      // Often the first is the one that needs most.
      const int workers = w == 0 && !dice_.OneIn(3) ? nodes : dice_.Roll(2) + 1;
      TrainingPool pool = Contestant("w" + std::to_string(w), workers);
      pool.memory.queued_since = pool.memory.waiting_since = kNow - Seconds{900 - 100 * w};
      if (dice_.OneIn(4)) ClaimSome(pool);
      world_.pools.push_back(std::move(pool));
    }
  }

  TrainingPool Contestant(const std::string& name, int workers) {
    TrainingPool pool = Wants(name, workers);
    pool.key.ns = "green";
    pool.accelerators.front().type = "l40";
    pool.priority = dice_.OneIn(4) ? dice_.Roll(3) : 0;
    pool.min_run = Seconds{0};
    pool.preemptible = dice_.OneIn(2) ? Preemptible::kAlways : Preemptible::kAtCheckpoint;
    if (!dice_.OneIn(4)) pool.active_deadline = Seconds{300 + dice_.Roll(3000)};
    return pool;
  }

  // Those that run there on some of its nodes go for the pool.
  void ClaimSome(TrainingPool& pool) {
    pool.priority = 3;
    Hold hold{.node_group = "arena",
              .domain = "",
              .nodes = {},
              .until = kNow + Seconds{600},
              .since = Ago(300),
              .victims = {}};
    for (const TrainingPool& other : world_.pools) {
      if (other.key.ns != "green" || !other.memory.placement || !dice_.OneIn(2)) continue;
      hold.victims.push_back(other.key);
      hold.nodes.push_back(other.memory.placement->nodes.front());
    }
    if (!hold.victims.empty()) pool.memory.hold = hold;
  }

  Time MovesAgo(int seconds) { return kNow - Seconds{moves_.Roll(seconds)}; }

  // A part of the world where all is well: gangs run in a cloud, or in a group that is being
  // drained, and home has room for some of them.
  void AddMovers() {
    NodeGroup home = Group("home");
    home.marginal_per_node_hour = Money::FromMicros(moves_.Roll(3) * 16'000'000);
    NodeGroup cloud = Group("cloud", 10);
    if (moves_.OneIn(3)) cloud.admission = Admission::kDrain;
    world_.groups.push_back(home);
    world_.groups.push_back(cloud);
    AddNodes(world_, "home", moves_.Roll(5));
    AddNodes(world_, "cloud", 4);
    const int movers = moves_.Roll(3) + 1;
    for (int m = 1; m <= movers; ++m) AddMover(std::to_string(m));
  }

  void AddMover(const std::string& number) {
    TrainingPool pool = Has("m" + number, 1, 8, "cloud", {"cloud-" + number}, 10);
    pool.key.ns = moves_.OneIn(2) ? "red" : "blue";
    pool.priority = moves_.Roll(3);
    pool.min_run = Seconds{moves_.Pick<int>({0, 600, 5000})};
    pool.checkpoint_interval = Seconds{moves_.Pick<int>({300, 1800})};
    pool.spill_after = Seconds{moves_.Pick<int>({0, 60, 600})};
    if (moves_.OneIn(4)) pool.last_checkpoint = MovesAgo(2000);
    pool.memory.placement->since = MovesAgo(4000);
    pool.memory.queued_since = pool.memory.started = pool.memory.placement->since;
    AddWorkers(world_, pool);
    world_.pools.push_back(std::move(pool));
  }

  // Gangs that are about to move, home or anywhere, and some that have moved before.
  void AddMoves() {
    for (TrainingPool& pool : world_.pools) {
      pool.return_home = moves_.Pick<ReturnHome>(
          {ReturnHome::kAtCheckpoint, ReturnHome::kAnytime, ReturnHome::kNever});
      pool.return_after = Seconds{moves_.Pick<int>({0, 60, 600})};
      pool.return_min_savings_percent = moves_.Pick<int>({0, 10, 100});
      if (pool.memory.placement && !pool.memory.completed) AddMove(pool);
      if (ends_.OneIn(6)) pool.expected = Seconds{ends_.Roll(12'000) + 1};
      if (ends_.OneIn(12)) pool.remaining = Seconds{ends_.Roll(9000)};
    }
  }

  void AddMove(TrainingPool& pool) {
    PoolMemory& memory = pool.memory;
    if (moves_.OneIn(2)) memory.home_fits_since = MovesAgo(900);
    if (moves_.OneIn(3)) memory.last_move = MovesAgo(200'000);
    if (moves_.OneIn(4)) memory.dwell = Seconds{moves_.Roll(2000)};
    if (!moves_.OneIn(2)) return;
    const bool mover = memory.placement->node_group == "cloud" && !moves_.OneIn(4);
    const std::string group = mover ? "home" : moves_.Pick(world_.groups).name;
    std::vector<std::string> nodes = NodesOf(group);
    moves_.Shuffle(nodes);
    if (!nodes.empty()) nodes.resize(static_cast<size_t>(moves_.Roll(3)) % nodes.size() + 1);
    std::sort(nodes.begin(), nodes.end());
    memory.hold = Hold{.node_group = group,
                       .domain = "",
                       .nodes = nodes,
                       .until = kNow + Seconds{moves_.Roll(900) - 100},
                       .since = MovesAgo(2000),
                       .victims = {}};
    if (moves_.OneIn(10)) memory.hold->since.reset();
  }

  Time ShortAgo(int seconds) { return kNow - Seconds{shortages_.Roll(seconds)}; }

  // A pool that asks for more than there is where a gang runs, and comes before it.
  void AddShortServing() {
    std::vector<const TrainingPool*> gangs;
    for (const TrainingPool& gang : world_.pools) {
      if (gang.memory.placement && !gang.memory.completed) gangs.push_back(&gang);
    }
    if (gangs.empty()) return;
    const std::string type = shortages_.Pick(gangs)->memory.placement->accelerator;
    InferencePool pool = Chat(shortages_.Roll(30) + 10, "short");
    pool.key.ns = shortages_.OneIn(2) ? "red" : "blue";
    pool.priority = 5;
    if (shortages_.OneIn(3)) pool.routing = Routing::kUniform;
    pool.variants = {Serves("big", type, 4, "16"), Serves("small", type, 1, "4")};
    for (Variant& variant : pool.variants) {
      variant.tolerations = {{.key = "", .op = "Exists", .value = "", .effect = ""}};
    }
    pool.memory.queued_since = pool.memory.waiting_since = kNow - Seconds{3000};
    world_.inference_pools.push_back(std::move(pool));
  }

  // Pools that have been short, and some that have a claim.
  void AddShortages() {
    for (InferencePool& pool : world_.inference_pools) {
      if (shortages_.OneIn(5)) pool.preempts = Preempts::kNever;
      pool.preempt_after = Seconds{shortages_.Pick<int>({0, 300, 1200})};
      if (!shortages_.OneIn(3)) pool.memory.short_since = ShortAgo(1500);
      if (shortages_.OneIn(3)) AddCellClaim(pool);
    }
  }

  void AddCellClaim(InferencePool& pool) {
    CellClaim claim{.variant = shortages_.Pick(pool.variants).name,
                    .replicas = shortages_.Roll(6) + 1,
                    .hold = {}};
    claim.hold.since = ShortAgo(300);
    claim.hold.until = kNow + Seconds{shortages_.Roll(900) - 100};
    for (const TrainingPool& gang : world_.pools) {
      const auto& placement = gang.memory.placement;
      if (!placement || placement->nodes.empty() || placement->node_group == "arena") continue;
      if (!shortages_.OneIn(3)) continue;
      if (!claim.hold.node_group.empty() && claim.hold.node_group != placement->node_group)
        continue;
      claim.hold.node_group = placement->node_group;
      claim.hold.nodes.insert(claim.hold.nodes.end(), placement->nodes.begin(),
                              placement->nodes.end());
      claim.hold.victims.push_back(gang.key);
    }
    if (claim.hold.victims.empty()) return;
    std::sort(claim.hold.victims.begin(), claim.hold.victims.end());
    std::sort(claim.hold.nodes.begin(), claim.hold.nodes.end());
    claim.hold.nodes.erase(std::unique(claim.hold.nodes.begin(), claim.hold.nodes.end()),
                           claim.hold.nodes.end());
    pool.memory.claim = claim;
  }

  // A third of the gangs are elastic. Some of those that run have fewer workers than they ask for,
  // and have had room for more, or hold it.
  void AddSizes() {
    for (TrainingPool& pool : world_.pools) {
      if (!sizes_.OneIn(3)) continue;
      for (placement::AcceptedAccelerator& accepted : pool.accelerators) {
        if (sizes_.OneIn(4)) continue;
        accepted.workers += sizes_.Roll(3);
        accepted.min_workers = sizes_.Roll(accepted.workers) + 1;
      }
      if (pool.memory.placement && !pool.memory.completed) AddGrowth(pool);
    }
    // Half of the claims on gangs are on workers that these can do without.
    for (TrainingPool& pool : world_.pools) {
      auto& hold = pool.memory.hold;
      if (hold && !hold->victims.empty() && hold->replicas.empty()) hold->shrinks = sizes_.OneIn(2);
    }
  }

  void AddGrowth(TrainingPool& pool) {
    PoolMemory& memory = pool.memory;
    for (placement::AcceptedAccelerator& accepted : pool.accelerators) {
      if (accepted.type == memory.placement->accelerator && sizes_.OneIn(2)) {
        accepted.workers = memory.placement->workers + sizes_.Roll(4) + 1;
      }
    }
    if (sizes_.OneIn(2)) memory.growth_fits_since = kNow - Seconds{sizes_.Roll(900)};
    if (sizes_.OneIn(2)) return;
    std::vector<std::string> nodes = NodesOf(memory.placement->node_group);
    if (nodes.empty()) return;
    sizes_.Shuffle(nodes);
    nodes.resize(std::min<size_t>(nodes.size(), static_cast<size_t>(sizes_.Roll(5)) + 1));
    nodes.insert(nodes.end(), memory.placement->nodes.begin(), memory.placement->nodes.end());
    std::sort(nodes.begin(), nodes.end());
    nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
    memory.hold = Hold{.node_group = memory.placement->node_group,
                       .domain = "",
                       .nodes = nodes,
                       .until = kNow + Seconds{sizes_.Roll(900) - 100},
                       .since = kNow - Seconds{sizes_.Roll(2000)},
                       .victims = {}};
  }

  // A part of the world where gangs run that could do with fewer workers, and others wait for room.
  void AddSurplus() {
    NodeGroup group = Group("attic", surpluses_.OneIn(4) ? 10 : 0);
    group.accelerator = "t4";
    world_.groups.push_back(group);
    const int nodes = surpluses_.Roll(5) + 1;
    for (int n = 0; n < nodes; ++n) {
      AddNodes(world_, "attic", 1, 8, surpluses_.OneIn(2) ? "rack-1" : "rack-2");
    }
    const std::vector<std::string> names = NodesOf("attic");
    size_t next = 0;
    for (int n = 0; next < names.size(); ++n) {
      const size_t take = static_cast<size_t>(surpluses_.Roll(3)) + 1;
      const size_t end = std::min(names.size(), next + take);
      if (!surpluses_.OneIn(8))
        AddGangWithSurplus(
            n, {names.begin() + static_cast<long>(next), names.begin() + static_cast<long>(end)});
      next = end;
    }
    for (int n = surpluses_.Roll(3) + 1; n > 0; --n) AddWhoWantsSurplus(n);
    if (surpluses_.OneIn(3)) {
      placement::Quota& quota = QuotaOf(surpluses_.OneIn(2) ? "red" : "blue");
      quota.limits.push_back(
          {.type = "t4", .limit = 16 + surpluses_.Roll(48), .guaranteed = surpluses_.Roll(16)});
    }
  }

  void AddGangWithSurplus(int number, const std::vector<std::string>& nodes) {
    const int per_worker = surpluses_.Pick<int>({1, 2, 4, 8, 8});
    const int all = static_cast<int>(nodes.size()) * 8 / per_worker;
    TrainingPool pool = Has("s" + std::to_string(number), all, per_worker, "attic", nodes,
                            world_.groups.back().tier);
    pool.key.ns = surpluses_.OneIn(2) ? "red" : "blue";
    pool.accelerators.front().type = pool.memory.placement->accelerator = "t4";
    pool.accelerators.front().min_workers = surpluses_.Roll(all) + 1;
    pool.priority = surpluses_.Roll(2);
    pool.min_run = Seconds{surpluses_.OneIn(4) ? 9000 : 0};
    pool.preemptible =
        surpluses_.Pick<Preemptible>({Preemptible::kAlways, Preemptible::kAlways,
                                      Preemptible::kAtCheckpoint, Preemptible::kNever});
    const Time since = kNow - Seconds{3600 + surpluses_.Roll(3600)};
    pool.memory.placement->since = since;
    pool.memory.started = pool.memory.queued_since = since;
    pool.attempt.exists = true;
    if (!surpluses_.OneIn(3)) pool.active_deadline = Seconds{9000 + surpluses_.Roll(3600)};
    world_.pools.push_back(std::move(pool));
    AddWorkers(world_, world_.pools.back());
  }

  void AddWhoWantsSurplus(int number) {
    const int per_worker = surpluses_.Pick<int>({1, 2, 4, 8, 8});
    TrainingPool pool = Wants("t" + std::to_string(number), surpluses_.Roll(3) + 1, per_worker);
    pool.key.ns = surpluses_.OneIn(2) ? "red" : "blue";
    pool.accelerators.front().type = "t4";
    pool.priority = surpluses_.Roll(3);
    pool.spill_after = Seconds{surpluses_.OneIn(3) ? 0 : 9000};
    pool.memory.queued_since = kNow - Seconds{surpluses_.Roll(9000)};
    pool.memory.waiting_since = kNow - Seconds{surpluses_.Roll(900)};
    if (surpluses_.OneIn(3)) {
      pool.topology = TopologyMode::kRequired;
    }
    if (surpluses_.OneIn(2)) ClaimSurplus(pool);
    world_.pools.push_back(std::move(pool));
  }

  // Workers of some of those that run there are the pool's to have.
  void ClaimSurplus(TrainingPool& pool) {
    Hold hold{.node_group = "attic",
              .domain = "",
              .nodes = {},
              .until = kNow + Seconds{surpluses_.Roll(900) - 100},
              .since = kNow - Seconds{surpluses_.Roll(300)},
              .victims = {},
              .replicas = {},
              .shrinks = true};
    for (const TrainingPool& other : world_.pools) {
      const auto& placement = other.memory.placement;
      if (!placement || placement->node_group != "attic" || surpluses_.OneIn(2)) continue;
      hold.victims.push_back(other.key);
      hold.nodes.push_back(placement->nodes.front());
    }
    std::sort(hold.victims.begin(), hold.victims.end());
    if (!hold.victims.empty()) pool.memory.hold = hold;
  }

  // A part of the world where all is well but that gangs wait for room that replicas have.
  void AddYielding() {
    NodeGroup group = Group("floor", yields_.OneIn(4) ? 10 : 0);
    group.accelerator = "v100";
    world_.groups.push_back(group);
    AddNodes(world_, "floor", yields_.Roll(3) + 1);
    const std::vector<std::string> nodes = NodesOf("floor");
    for (int n = yields_.Roll(2) + 1; n > 0; --n) AddYieldingPool(n, nodes);
    if (yields_.OneIn(2)) {
      const int guaranteed = yields_.Roll(12);
      placement::Quota& quota = QuotaOf(yields_.OneIn(2) ? "red" : "blue");
      std::erase_if(quota.limits, [](const auto& limit) { return limit.type == "v100"; });
      quota.limits.push_back(
          {.type = "v100", .limit = guaranteed + yields_.Roll(20), .guaranteed = guaranteed});
    }
    for (int n = yields_.Roll(3) + 1; n > 0; --n) {
      TrainingPool gang =
          Wants("y" + std::to_string(n), yields_.Roll(2) + 1, yields_.Pick<int>({2, 4, 8}));
      gang.key.ns = yields_.OneIn(2) ? "red" : "blue";
      gang.accelerators.front().type = "v100";
      gang.priority = yields_.Roll(4);
      gang.spill_after = Seconds{0};
      gang.memory.queued_since = gang.memory.waiting_since = kNow - Seconds{yields_.Roll(900)};
      world_.pools.push_back(std::move(gang));
    }
  }

  void AddYieldingPool(int number, const std::vector<std::string>& nodes) {
    const int replicas = yields_.Roll(6) + 1;
    InferencePool pool = Chat(replicas, "f" + std::to_string(number));
    pool.key.ns = yields_.OneIn(2) ? "red" : "blue";
    pool.priority = yields_.Roll(3);
    pool.variants[0].accelerator = "v100";
    pool.variants[0].min_replicas = yields_.OneIn(3) ? yields_.Roll(replicas + 1) : 0;
    pool.variants[0].startup = Seconds{yields_.Pick<int>({60, 300, 1200})};
    if (yields_.OneIn(3)) pool.routing = Routing::kUniform;
    pool.drain = Seconds{30 * replicas};
    const int tier = world_.groups.back().tier;
    Runs(world_, pool, "gpu", "floor", replicas, yields_.OneIn(5) ? replicas - 1 : replicas, nodes,
         tier);
    if (yields_.OneIn(3)) AddReplicaEviction(pool);
    // The operator that had decided so was killed before it told the pods.
    if (yields_.OneIn(5)) --pool.memory.cells[0].desired;
    world_.inference_pools.push_back(std::move(pool));
  }

  void AddReplicaEviction(InferencePool& pool) {
    pool.memory.evictions = {
        {.time = kNow - Seconds{yields_.Roll(100'000)}, .cause = "gave a replica up before"}};
  }

  // Gangs that wait for replicas to go, some of which have gone or are on their way.
  void AddReplicaClaims() {
    for (TrainingPool& pool : world_.pools) {
      if (pool.memory.placement || pool.memory.completed || !yields_.OneIn(3)) continue;
      AddReplicaClaim(pool);
    }
  }

  void AddReplicaClaim(TrainingPool& pool) {
    Hold hold{.node_group = pool.accelerators.front().type == "v100" ? "floor" : "",
              .domain = "",
              .nodes = {},
              .until = kNow + Seconds{yields_.Roll(900) - 50},
              .since = kNow - Seconds{yields_.Roll(4)},
              .victims = {}};
    for (const InferencePool& serving : world_.inference_pools) {
      for (const placement::Replica& replica : serving.live) {
        if (replica.node.empty() || !yields_.OneIn(3)) continue;
        if (hold.node_group.empty()) hold.node_group = replica.node_group;
        if (hold.node_group != replica.node_group) continue;
        hold.nodes.push_back(replica.node);
        hold.replicas.push_back({.pool = serving.key, .pod = replica.pod});
      }
    }
    if (hold.replicas.empty()) return;
    std::sort(hold.replicas.begin(), hold.replicas.end());
    std::sort(hold.nodes.begin(), hold.nodes.end());
    hold.nodes.erase(std::unique(hold.nodes.begin(), hold.nodes.end()), hold.nodes.end());
    pool.memory.hold = hold;
  }

  Money Amount(int most) { return Money::FromMicros(int64_t{dice_.Roll(most)} * 1'250'000); }

  placement::Quota& QuotaOf(const std::string& ns) {
    for (placement::Quota& quota : world_.quotas) {
      if (quota.ns == ns) return quota;
    }
    return world_.quotas.emplace_back(placement::Quota{.ns = ns, .limits = {}});
  }

  void AddSpendLimits() {
    for (TrainingPool& pool : world_.pools) {
      if (dice_.OneIn(6)) pool.spill_max_hourly_cost = Amount(60);
    }
    if (dice_.OneIn(2)) return;
    const std::string ns = dice_.OneIn(2) ? "red" : "blue";
    placement::Quota& quota = QuotaOf(ns);
    if (!dice_.OneIn(3)) quota.max_hourly_cost = Amount(80);
    if (!dice_.OneIn(3)) {
      quota.budget = {.amount = Amount(200),
                      .period = dice_.Pick<BudgetPeriod>(
                          {BudgetPeriod::kDay, BudgetPeriod::kWeek, BudgetPeriod::kMonth})};
    }
    if (dice_.OneIn(4)) return;  // nothing is remembered, with a budget or without
    quota.memory = {.spent = Amount(200),
                    .hourly = Amount(60),
                    .as_of = Ago(200'000),
                    .period_start = Ago(4'000'000)};
  }

  void AddDrainsAtLimit() {
    for (placement::Quota& quota : world_.quotas) {
      if (!quota.budget || drains_.OneIn(3)) continue;
      quota.budget->at_limit = placement::AtLimit::kDrainAtCheckpoint;
      if (!quota.memory || drains_.OneIn(3)) continue;
      quota.memory->spent = quota.budget->amount;
      quota.memory->period_start = kNow;
    }
    for (TrainingPool& pool : world_.pools) {
      if (!pool.memory.placement || !drains_.OneIn(4)) continue;
      pool.memory.over_budget_since = kNow - Seconds{drains_.Roll(4000)};
    }
  }

  // ---- nodes that are asked for ----

  void AddElastic() {
    for (NodeGroup& group : world_.groups) {
      if (orders_.OneIn(3)) continue;
      const auto there = static_cast<int>(NodesOf(group.name).size());
      Elastic& elastic = group.elastic.emplace();
      elastic.min_nodes = orders_.Roll(3);
      elastic.max_nodes = std::max(there - 1, 0) + orders_.Roll(12);
      elastic.step_nodes = orders_.Pick<int>({1, 1, 2, 4});
      elastic.single_domain = orders_.OneIn(2);
      elastic.node_shape = Amounts({{"cpu", "96"}, {"memory", "1024Gi"}, {kGpu, "8"}});
      if (!group.pod_defaults.empty()) elastic.node_shape.Set("rdma/ib", 8);
      elastic.provision_timeout = Seconds{orders_.Pick<int>({600, 1200})};
      elastic.backoff_max = Seconds{orders_.Pick<int>({600, 3600})};
      if (orders_.OneIn(2)) group.memory.desired = there + orders_.Roll(5);
      if (orders_.OneIn(4)) {
        group.memory.stockout = Stockout{.since = kNow - Seconds{orders_.Roll(4000)},
                                         .attempts = orders_.Roll(3) + 1,
                                         .next_try = kNow + Seconds{orders_.Roll(1200) - 600}};
      }
    }
    AddSpare();
    for (TrainingPool& pool : world_.pools) {
      if (orders_.OneIn(2)) pool.group_selector.clear();
      if (!pool.memory.placement && orders_.OneIn(2)) AddAsk(pool);
    }
  }

  // What the nodes of some elastic groups may cost together.
  void AddBills() {
    for (NodeGroup& group : world_.groups) {
      if (!group.elastic || !bills_.OneIn(3)) continue;
      group.elastic->max_hourly_cost = Money::FromMicros(bills_.Roll(300) * 1'000'000);
    }
  }

  // In some of these worlds groups give nodes back, which pods may have come to since.
  void AddSpare() {
    if (!spares_.OneIn(3)) return;
    for (placement::Node& node : world_.nodes) {
      if (spares_.OneIn(8)) node.other_pods = spares_.Roll(2) + 1;
    }
    for (NodeGroup& group : world_.groups) {
      if (group.elastic && spares_.OneIn(2)) AddSpare(group);
    }
  }

  void AddSpare(NodeGroup& group) {
    const auto nodes = NodesOf(group.name);
    group.elastic->min_nodes = 0;
    group.elastic->scale_down_delay = Seconds{spares_.Pick<int>({0, 600})};
    group.target_replicas = static_cast<int>(nodes.size()) + (spares_.OneIn(4) ? 1 : 0);
    group.target_fixed = targets_.OneIn(6);
    group.leaving_stay = targets_.OneIn(6);
    if (spares_.OneIn(2)) {
      group.memory.spare = placement::SpareNodes{.nodes = spares_.Roll(4) + 1,
                                                 .since = kNow - Seconds{spares_.Roll(1200)}};
    }
    if (!spares_.OneIn(2)) return;
    placement::LeavingNodes leaving{
        .nodes = {}, .since = kNow - Seconds{spares_.Roll(900)}, .replicas = {}, .lowered = false};
    const bool decided = spares_.OneIn(3);
    for (placement::Node& node : world_.nodes) {
      if (std::find(nodes.begin(), nodes.end(), node.id.name) == nodes.end()) continue;
      if (!spares_.OneIn(3)) continue;
      leaving.nodes.push_back(node.id.name);
      if (decided || !spares_.OneIn(4)) node.held_since = kNow - Seconds{spares_.Roll(90)};
    }
    if (leaving.nodes.empty()) return;
    std::sort(leaving.nodes.begin(), leaving.nodes.end());
    if (decided) {
      const auto going = static_cast<int>(leaving.nodes.size());
      leaving.replicas = std::max(*group.target_replicas - going, 0);
      leaving.lowered = spares_.OneIn(3);
    }
    if (targets_.OneIn(4)) group.target_replicas.reset();
    group.memory.leaving = leaving;
  }

  void AddAsk(TrainingPool& pool) {
    if (world_.groups.empty() || pool.memory.completed) return;
    pool.memory.ask = NodeAsk{.node_group = orders_.Pick(world_.groups).name,
                              .nodes = orders_.Roll(4) + 1,
                              .workers = orders_.Roll(6) + 1,
                              .since = kNow - Seconds{orders_.Roll(1500)}};
  }

  // A corner of the world where pools serve from groups that may get nodes: they lack some, and may
  // have asked for them before.
  void AddElasticServing() {
    if (cell_orders_.OneIn(2)) AddElasticGroup("own", 0);
    AddElasticGroup("near", 10);
    if (cell_orders_.OneIn(2)) AddElasticGroup("far", 20);
    for (int n = cell_orders_.Roll(3) + 1; n > 0; --n) AddAskingPool(n);
    if (cell_orders_.OneIn(3)) {
      placement::Quota& quota = QuotaOf(cell_orders_.OneIn(2) ? "red" : "blue");
      std::erase_if(quota.limits, [](const auto& limit) { return limit.type == "t4"; });
      quota.limits.push_back(
          {.type = "t4", .limit = cell_orders_.Roll(30), .guaranteed = cell_orders_.Roll(4)});
    }
    for (int n = cell_orders_.Roll(3); n > 0; --n) {
      TrainingPool gang = Wants("e" + std::to_string(n), cell_orders_.Roll(2) + 1,
                                cell_orders_.Pick<int>({2, 4, 8}));
      gang.key.ns = cell_orders_.OneIn(2) ? "red" : "blue";
      gang.accelerators.front().type = "t4";
      gang.priority = cell_orders_.Roll(4);
      gang.spill_after = Seconds{cell_orders_.Pick<int>({0, 600})};
      world_.pools.push_back(std::move(gang));
    }
  }

  void AddElasticGroup(const std::string& name, int tier) {
    NodeGroup group = Group(name, tier);
    group.accelerator = "t4";
    group.marginal_per_node_hour = Money::FromMicros(cell_orders_.Roll(20) * 1'000'000);
    if (cell_orders_.OneIn(12)) group.admission = Admission::kClosed;
    const int there = cell_orders_.OneIn(2) ? 0 : cell_orders_.Roll(3);
    Elastic& elastic = group.elastic.emplace();
    elastic.min_nodes = cell_orders_.OneIn(4) ? 1 : 0;
    elastic.max_nodes = cell_orders_.Roll(6);
    elastic.step_nodes = cell_orders_.Pick<int>({1, 1, 2, 4});
    elastic.node_shape = Amounts({{"cpu", cell_orders_.Pick<std::string>({"96", "20", "9"})},
                                  {"memory", "1024Gi"},
                                  {kGpu, "8"}});
    elastic.provision_timeout = Seconds{cell_orders_.Pick<int>({600, 1200})};
    if (cell_orders_.OneIn(3)) {
      elastic.scale_down_delay = Seconds{cell_orders_.Pick<int>({0, 600})};
      group.target_replicas = there;
    }
    if (cell_orders_.OneIn(2)) group.memory.desired = there + cell_orders_.Roll(5);
    if (cell_orders_.OneIn(5)) {
      group.memory.stockout = Stockout{.since = kNow - Seconds{cell_orders_.Roll(4000)},
                                       .attempts = cell_orders_.Roll(3) + 1,
                                       .next_try = kNow + Seconds{cell_orders_.Roll(1200) - 600}};
    }
    world_.groups.push_back(group);
    AddNodes(world_, name, there);
    for (placement::Node& node : world_.nodes) {
      if (node.labels.find("group")->second == name && cell_orders_.OneIn(4)) node.starting = true;
    }
  }

  void AddAskingPool(int number) {
    InferencePool pool = Chat(cell_orders_.Roll(24), "a" + std::to_string(number));
    pool.key.ns = cell_orders_.OneIn(2) ? "red" : "blue";
    pool.priority = cell_orders_.Roll(3);
    pool.variants = {Serves("big", "t4", 4, "16"), Serves("small", "t4", 1, "3")};
    if (cell_orders_.OneIn(2)) pool.variants.pop_back();
    if (cell_orders_.OneIn(3)) pool.variants[0].max_replicas = cell_orders_.Roll(6) + 1;
    if (cell_orders_.OneIn(3)) pool.variants[0].min_replicas = 1;
    if (cell_orders_.OneIn(3)) pool.routing = Routing::kUniform;
    if (cell_orders_.OneIn(3)) pool.preference = Preference::kPrice;
    if (cell_orders_.OneIn(8)) pool.paused = true;
    if (cell_orders_.OneIn(6)) pool.spill_max_hourly_cost = Dollars("12");
    pool.spill_after = Seconds{cell_orders_.Pick<int>({0, 0, 120})};
    pool.preempt_after = Seconds{cell_orders_.Pick<int>({0, 300})};
    if (cell_orders_.OneIn(2)) pool.memory.short_since = kNow - Seconds{cell_orders_.Roll(900)};
    for (const std::string group : {"own", "near", "far"}) {
      if (!cell_orders_.OneIn(3)) continue;
      pool.memory.asks.push_back({.variant = pool.variants.front().name,
                                  .node_group = group,
                                  .nodes = cell_orders_.Roll(3),
                                  .replicas = cell_orders_.Roll(6) + 1,
                                  .since = kNow - Seconds{cell_orders_.Roll(1400)}});
    }
    world_.inference_pools.push_back(std::move(pool));
  }

  // ---- clusters and signals ----

  // Some groups are in another cluster, which in half of these worlds can't be reached.
  void AddCluster() {
    placement::Cluster& west = world_.clusters.emplace_back();
    west.name = "west";
    if (clusters_.OneIn(2)) west.unreachable_since = kNow - Seconds{clusters_.Roll(3000)};
    for (NodeGroup& group : world_.groups) {
      if (clusters_.OneIn(2)) MoveToWest(group);
    }
  }

  void MoveToWest(NodeGroup& group) {
    group.cluster = "west";
    for (Node& node : world_.nodes) {
      if (node.labels.find("group")->second == group.name) node.id.cluster = "west";
    }
    for (TrainingPool& pool : world_.pools) {
      auto& placement = pool.memory.placement;
      if (placement && placement->node_group == group.name) placement->cluster = "west";
    }
  }

  // What some pools need comes from a signal, which some have not heard for long.
  void AddSignals() {
    for (InferencePool& pool : world_.inference_pools) {
      if (!signals_.OneIn(20)) continue;
      pool.demand =
          placement::DemandSignal{.as_of = kNow - Seconds{signals_.Roll(400)},
                                  .silent_after = Seconds{signals_.Pick<int>({60, 120, 300})}};
    }
  }

  Dice dice_;
  Dice moves_;        // of gangs alone, so that other worlds are not all different ones
  Dice shortages_;    // likewise
  Dice sizes_;        // likewise
  Dice ends_;         // likewise
  Dice drains_;       // likewise
  Dice orders_;       // likewise
  Dice yields_;       // likewise
  Dice spares_;       // likewise
  Dice targets_;      // likewise
  Dice causes_;       // likewise
  Dice cell_orders_;  // likewise
  Dice bills_;        // likewise
  Dice surpluses_;    // likewise
  Dice clusters_;     // likewise
  Dice signals_;      // likewise
  Snapshot world_;
};

}  // namespace

Snapshot RandomWorld(uint32_t seed) { return Maker(seed).Make(); }

Snapshot Shuffled(const Snapshot& world, uint32_t seed) {
  Dice dice(seed);
  Snapshot out = world;
  dice.Shuffle(out.clusters);
  dice.Shuffle(out.groups);
  dice.Shuffle(out.nodes);
  dice.Shuffle(out.pools);
  dice.Shuffle(out.inference_pools);
  for (InferencePool& pool : out.inference_pools) {
    dice.Shuffle(pool.live);
    dice.Shuffle(pool.cells);
    dice.Shuffle(pool.memory.cells);
    dice.Shuffle(pool.memory.asks);
  }
  dice.Shuffle(out.quotas);
  dice.Shuffle(out.default_limits);
  for (TrainingPool& pool : out.pools) dice.Shuffle(pool.workers);
  for (Node& node : out.nodes) dice.Shuffle(node.taints);
  return out;
}

}  // namespace spillway::tests
