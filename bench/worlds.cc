#include "worlds.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "placement/capacity.h"
#include "placement/plan.h"
#include "placement/sharing.h"

namespace spillway::bench {
namespace {

using namespace placement;  // NOLINT(google-build-using-namespace): the worlds are made of nothing
                            // else

constexpr Time kNow{std::chrono::sys_days{std::chrono::year{2026} / 11 / 24}};
constexpr const char* kGroupLabel = "example.com/node-group";
constexpr const char* kDomainLabel = "topology.example.com/domain";
constexpr const char* kBlockLabel = "topology.example.com/block";
constexpr const char* kGpu = "nvidia.com/gpu";
constexpr int kPerNode = 8;
constexpr int kDomainNodes = 24;
constexpr int kBlockNodes = 240;
constexpr int kPercentInUse = 78;
constexpr int64_t kGi = int64_t{1} << 30;

// A type of accelerator: of the CPU, each is one core.
struct Type {
  const char* name;
  const char* resource;
  int per_node;
};
constexpr std::array<Type, 4> kTypes = {{{"nvidia-a100-80gb", kGpu, kPerNode},
                                         {"nvidia-h100-80gb", kGpu, kPerNode},
                                         {"nvidia-a100-40gb", kGpu, kPerNode},
                                         {"aws-graviton5", "", 192}}};

class Maker {
 public:
  Maker(const Size& size, Load load) : size_(size), load_(load), next_free_(Groups()) {}

  Snapshot Make() {
    world_.now = kNow;
    world_.render_revision = "r1";
    world_.nodes.reserve(static_cast<size_t>(size_.nodes));
    world_.pools.reserve(static_cast<size_t>(size_.pools));
    for (int g = 0; g < size_.groups; ++g) AddGroup(g);
    for (int g = 0; g < size_.groups; ++g) {
      for (int n = 0; n < NodesIn(g); ++n) AddNode(g, n);
    }
    const int waiting = size_.pools / 10;
    for (int p = 0; p < size_.pools; ++p) AddPool(p, p % 10 == 9, size_.pools - waiting);
    AddOthers();
    for (int ns = 0; ns < kNamespaces; ++ns) AddQuota(ns);
    std::sort(world_.nodes.begin(), world_.nodes.end(),
              [](const Node& a, const Node& b) { return a.id < b.id; });
    return std::move(world_);
  }

 private:
  static constexpr int kNamespaces = 20;

  int Roll(int sides) { return static_cast<int>(engine_() % static_cast<uint32_t>(sides)); }
  [[nodiscard]] size_t Groups() const { return static_cast<size_t>(size_.groups); }

  // Two groups: a rack at home beside the cloud. More: of equal size, of all types in turn.
  [[nodiscard]] int NodesIn(int group) const {
    constexpr int kRack = 64;
    if (size_.groups == 2) return group == 0 ? kRack : size_.nodes - kRack;
    return size_.nodes / size_.groups;
  }
  [[nodiscard]] const Type& TypeOf(int group) const {
    return kTypes[size_.groups == 2 ? 0 : static_cast<size_t>(group) % kTypes.size()];
  }
  [[nodiscard]] int TierOf(int group) const {
    if (size_.groups == 2) return group * 10;
    return group < size_.groups / 4 ? 0 : 10 + 10 * (group % 2);
  }

  void AddGroup(int number) {
    const Type& type = TypeOf(number);
    NodeGroup group;
    group.tier = TierOf(number);
    group.name = fmt::format("{}-{}-{:02}", group.tier == 0 ? "home" : "cloud", type.name, number);
    group.labels = {{"example.com/site", group.tier == 0 ? "home" : "cloud"}};
    group.provider = group.tier == 0    ? Provider::kOnPrem
                     : group.tier == 10 ? Provider::kAzure
                                        : Provider::kAws;
    group.selector = {{.key = kGroupLabel, .op = "In", .values = {group.name}}};
    group.accelerator = type.name;
    group.resource = type.resource;
    group.per_node = type.per_node;
    group.capacity_type = group.tier == 0 ? CapacityType::kOwned : CapacityType::kOnDemand;
    group.per_node_hour = Money::FromMicros(32'770'000 + number * 10'000);
    group.marginal_per_node_hour = group.tier == 0 ? Money() : group.per_node_hour;
    group.domain_labels = {kDomainLabel, kBlockLabel};
    group.tolerations = {{.key = "sku", .op = "Equal", .value = "gpu", .effect = "NoSchedule"}};
    group.bad_conditions = {{.type = "GPUMissing", .status = "True"},
                            {.type = "AcceleratedHardwareReady", .status = "False"}};
    group.bad_taints = {
        {.key = "aws-node-termination-handler/spot-itn", .value = {}, .effect = {}}};
    world_.groups.push_back(std::move(group));
  }

  void AddNode(int group, int number) {
    const NodeGroup& spec = world_.groups[static_cast<size_t>(group)];
    const bool cpu = spec.resource.empty();
    Node node;
    node.id.name = fmt::format("{}-{:05}", spec.name, number);
    node.labels = {{"kubernetes.io/hostname", node.id.name},
                   {"kubernetes.io/arch", cpu ? "arm64" : "amd64"},
                   {"kubernetes.io/os", "linux"},
                   {"node.kubernetes.io/instance-type", cpu ? "m9g.48xlarge" : "ND96amsr_A100_v4"},
                   {"topology.kubernetes.io/region", fmt::format("region-{}", group % 3)},
                   {"topology.kubernetes.io/zone", fmt::format("region-{}-{}", group % 3, group)},
                   {kGroupLabel, spec.name},
                   {kDomainLabel, fmt::format("d{:02}-{:04}", group, number / kDomainNodes)},
                   {kBlockLabel, fmt::format("b{:02}-{:03}", group, number / kBlockNodes)}};
    if (!cpu) node.taints = {{.key = "sku", .value = "gpu", .effect = "NoSchedule"}};
    node.allocatable.Set(kCpu, cpu ? 192'000 : 94'940);
    node.allocatable.Set(kMemory, (cpu ? 768 : 1600) * kGi);
    node.allocatable.Set(kPods, 110);
    node.allocatable.Set("ephemeral-storage", 2000 * kGi);
    if (!cpu) node.allocatable.Set(kGpu, kPerNode);
    node.created = kNow - std::chrono::hours{24 * 30};
    node.conditions = {{"Ready", "True"},
                       {"MemoryPressure", "False"},
                       {"DiskPressure", "False"},
                       {"PIDPressure", "False"}};
    node.cordoned = number % 200 == 199;
    first_node_.resize(Groups());
    if (number == 0) first_node_[static_cast<size_t>(group)] = world_.nodes.size();
    sharing_.Share(node);
    world_.nodes.push_back(std::move(node));
  }

  // So that the running pools take about kPercentInUse of all nodes; every 40th is a large one.
  int NodesFor(int running) {
    const int mean = std::max(size_.nodes * kPercentInUse / 100 / running, 1);
    if (size_.nodes > 1000 && Roll(40) == 0) return mean * 4;
    return Roll(2 * mean - 1) + 1;
  }

  void AddPool(int number, bool waits, int running) {
    const int group = Roll(size_.nodes) * size_.groups / size_.nodes;
    TrainingPool pool;
    const int nodes = NodesFor(running);
    const int per_node = std::array{1, 2, 8}[static_cast<size_t>(Roll(3))];
    const bool small = waits && load_ == Load::kAllFitSmall;
    const int workers = small ? 1 + number / 10 % 4 : nodes * per_node;
    const Type& type = TypeOf(size_.groups == 2 ? 0 : group);
    pool.key = {.ns = fmt::format("team-{:02}", Roll(kNamespaces)),
                .name = fmt::format("train-{:05}", number)};
    pool.uid = fmt::format("5e0c7a1c-0000-4000-8000-{:012}", number);
    pool.priority = Roll(3) * 100;
    pool.per_worker = small ? 1 : type.per_node / per_node;
    pool.accelerators = {{.type = type.name, .workers = workers}};
    if (size_.groups > 2 && type.resource == std::string_view(kGpu) && Roll(3) == 0) {
      pool.accelerators.push_back(
          {.type = kTypes[static_cast<size_t>(Roll(3))].name, .workers = workers});
    }
    pool.requests.Set(kMemory, 64 * kGi);
    pool.requests.Set(kPods, 1);
    if (type.resource == std::string_view(kGpu)) pool.requests.Set(kCpu, 8000);
    AddRules(pool, nodes);
    if (waits) {
      AddWaiting(pool);
    } else {
      Run(pool, group, nodes, per_node);
    }
    sharing_.Share(pool);
    world_.pools.push_back(std::move(pool));
  }

  void AddRules(TrainingPool& pool, int nodes) {
    const int rule = Roll(4);
    if (rule == 0) pool.topology = TopologyMode::kIgnore;
    if (rule == 1 && nodes <= kDomainNodes / 2) pool.topology = TopologyMode::kRequired;
    if (Roll(5) == 0) {
      pool.node_terms = {{{.key = "kubernetes.io/os", .op = "In", .values = {"linux"}}}};
    }
    pool.spec_revision = "spec-1";
  }

  // Half of the contended ones still hold back from spilling.
  void AddWaiting(TrainingPool& pool) {
    const bool holds = load_ == Load::kAllContended && Roll(2) == 0;
    const Seconds waited{holds ? Roll(500) : 700 + Roll(5000)};
    pool.memory.queued_since = kNow - waited;
    pool.memory.waiting_since = kNow - waited;
  }

  // On the next free nodes of the group, or of the one after it that has enough.
  void Run(TrainingPool& pool, int group, int nodes, int per_node) {
    for (int tried = 0; tried < size_.groups; ++tried, group = (group + 1) % size_.groups) {
      const bool same_type = TypeOf(group).name == std::string_view(pool.accelerators[0].type);
      const int free = NodesIn(group) * (kPercentInUse + 8) / 100 - next_free_[Index(group)];
      if (same_type && free >= nodes) return Place(pool, group, nodes, per_node);
    }
    AddWaiting(pool);  // REQUIRES kPercentInUse to be low enough that this is rare
  }

  static size_t Index(int number) { return static_cast<size_t>(number); }

  void Place(TrainingPool& pool, int group, int nodes, int per_node) {
    const NodeGroup& spec = world_.groups[Index(group)];
    const Time since = kNow - Seconds{3600 + Roll(1'000'000)};
    pool.memory.queued_since = since;
    pool.memory.started = since;
    pool.memory.attempts = 1;
    pool.memory.tiers_used = {spec.tier};
    pool.memory.placement = Placement{.cluster = {},
                                      .node_group = spec.name,
                                      .accelerator = spec.accelerator,
                                      .domain = {},
                                      .tier = spec.tier,
                                      .workers = nodes * per_node,
                                      .per_worker = pool.per_worker,
                                      .nodes = {},
                                      .attempt = 1,
                                      .render_revision = "r1",
                                      .spec_revision = "spec-1",
                                      .since = since};
    pool.attempt.exists = true;
    pool.memory.placement->nodes.reserve(Index(nodes));
    pool.workers.reserve(Index(nodes * per_node));
    for (int n = 0; n < nodes; ++n) {
      Node& node = world_.nodes[first_node_[Index(group)] + Index(next_free_[Index(group)]++)];
      pool.memory.placement->nodes.push_back(node.id.name);
      for (int i = 0; i < per_node; ++i) AddWorker(pool, spec, node);
    }
  }

  void AddWorker(TrainingPool& pool, const NodeGroup& group, Node& node) {
    Worker worker;
    worker.index = static_cast<int>(pool.workers.size());
    worker.pod = fmt::format("{}-train-1-{}-x7k2p", pool.key.name, worker.index);
    worker.attempt = 1;
    worker.node = node.id.name;
    worker.requests = pool.requests;
    if (group.resource.empty()) {
      worker.requests.Set(kCpu, int64_t{pool.per_worker} * 1000);
    } else {
      worker.requests.Set(group.resource, pool.per_worker);
    }
    worker.running = true;
    worker.ready = true;
    node.used.Add(worker.requests);
    pool.workers.push_back(std::move(worker));
    ++pods_;
  }

  // Pods that are no pool's: a few small ones on every node. Contended: they have every accelerator
  // that is left, too.
  void AddOthers() {
    const int64_t each = std::max<int64_t>((size_.pods - pods_) / std::ssize(world_.nodes), 0);
    for (Node& node : world_.nodes) {
      node.used.Set(kPods, node.used.Get(kPods) + each);
      node.used.Set(kMemory, node.used.Get(kMemory) + each * kGi / 4);
      const bool cpu = node.allocatable.Get(kGpu) == 0;
      if (!cpu) node.used.Set(kCpu, node.used.Get(kCpu) + each * 100);
      if (load_ != Load::kAllContended) continue;
      const std::string resource(cpu ? std::string(kCpu) : kGpu);
      node.used.Set(resource, node.allocatable.Get(resource));
    }
    for (Node& node : world_.nodes) sharing_.Share(node.used);
  }

  void AddQuota(int ns) {
    Quota quota;
    quota.ns = fmt::format("team-{:02}", ns);
    for (const Type& type : kTypes)
      quota.limits.push_back({.type = type.name, .limit = 100'000'000});
    world_.quotas.push_back(std::move(quota));
  }

  const Size& size_;
  Load load_;
  std::mt19937 engine_{42};
  std::vector<size_t> first_node_;  // in Snapshot::nodes, by group
  std::vector<int> next_free_;      // that no running pool has taken, by group
  int64_t pods_ = 0;
  Sharing sharing_;
  Snapshot world_;
};

InferencePool ServingPool(int number, std::mt19937& engine) {
  const auto roll = [&](int sides) {
    return static_cast<int>(engine() % static_cast<uint32_t>(sides));
  };
  InferencePool pool;
  pool.key = {.ns = fmt::format("team-{:02}", number % 20),
              .name = fmt::format("serve-{:05}", number)};
  pool.uid = fmt::format("7a0c7a1c-0000-4000-8000-{:012}", number);
  pool.replicas = 4 + roll(16);
  if (number % 2 == 1) pool.routing = Routing::kWeighted;
  pool.unit = 2'000'000;
  for (const Type& type : kTypes) {
    const bool cpu = std::string_view(type.resource).empty();
    Variant variant;
    variant.name = type.name;
    variant.accelerator = type.name;
    variant.per_replica = cpu ? 47 : 1 << roll(3);
    variant.throughput = cpu ? 500'000 : (1'000'000 + roll(9) * 250'000) * variant.per_replica;
    variant.requests.Set(kPods, 1);
    pool.variants.push_back(std::move(variant));
  }
  return pool;
}

// Stands in for the Deployments and the scheduler: each replica on the first node of its group that
// has room.
class Replicas {
 public:
  // On these nodes, which have nothing yet.
  explicit Replicas(Snapshot& world) {
    for (size_t n = 0; n < world.nodes.size(); ++n) {
      Node& node = world.nodes[n];
      node.used = {};
      node.used.Set(kPods, 5);
      if (!node.cordoned) nodes_[node.labels.find(kGroupLabel)->second].push_back(n);
    }
  }

  // All that the pool asks for, ready.
  void Run(Snapshot& world, InferencePool& pool) {
    for (const CellFacts& cell : pool.cells) {
      const auto group = std::ranges::find(world.groups, cell.node_group, &NodeGroup::name);
      const auto variant = std::ranges::find(pool.variants, cell.variant, &Variant::name);
      const Resources request = RequestIn(ReplicaAsGang(pool, *variant), *group);
      for (int i = 0; i < cell.replicas; ++i) Start(world, cell, request, pool);
    }
  }

 private:
  void Start(Snapshot& world, const CellFacts& cell, const Resources& request,
             InferencePool& pool) {
    for (const size_t n : nodes_[cell.node_group]) {
      Node& node = world.nodes[n];
      Resources free = node.allocatable;
      free.Subtract(node.used);
      if (!free.Covers(request)) continue;
      node.used.Add(request);
      pool.live.push_back({.pod = fmt::format("{}-{}", pool.key.name, pool.live.size()),
                           .variant = cell.variant,
                           .node_group = cell.node_group,
                           .node = node.id.name,
                           .requests = request,
                           .since = kNow - Seconds{3600},
                           .ready = true,
                           .terminating = false,
                           .revision = cell.revision});
      return;
    }
  }

  std::map<std::string, std::vector<size_t>, std::less<>> nodes_;  // by group
};

}  // namespace

Snapshot MakeWorld(const Size& size, Load load) { return Maker(size, load).Make(); }

void ChangeDemand(Snapshot& world, size_t every) {
  world.now += Seconds{600};
  for (size_t p = 0; p < world.inference_pools.size(); p += every) {
    int& asked = world.inference_pools[p].replicas;
    asked = p / every % 2 == 0 ? asked * 3 / 2 : asked * 2 / 3;
  }
}

// Each pool is decided after those before it serve: pools that start at the same moment wait for
// each other.
Snapshot MakeServingWorld(int pools) {
  constexpr Size kFleet{
      .name = "serving", .nodes = 10'000, .groups = 12, .pods = 50'000, .pools = 20};
  Snapshot world = MakeWorld(kFleet, Load::kAllFit);
  world.pools.clear();
  Replicas replicas(world);
  std::mt19937 engine(7);
  std::vector<InferencePool> serving;
  for (int p = 0; p < pools; ++p) {
    world.inference_pools = {ServingPool(p, engine)};
    world = Applied(world, MakePlan(world));
    replicas.Run(world, world.inference_pools[0]);
    world = Applied(world, MakePlan(world));
    serving.push_back(std::move(world.inference_pools[0]));
  }
  world.inference_pools = std::move(serving);
  return world;
}

MixProblem MakeMixProblem(const MixSize& size, uint32_t seed) {
  std::mt19937 engine(seed);
  const auto roll = [&](int64_t sides) {
    return static_cast<int64_t>(engine() % static_cast<uint32_t>(sides));
  };
  constexpr size_t kVariants = 4;
  constexpr int kNodes = 40;
  MixProblem problem;
  problem.need = size.need;
  problem.home_first = seed % 2 == 0;
  const int64_t average = size.need * 3 / 2 / (int64_t{size.cells} * size.replicas);
  for (size_t v = 0; v < kVariants; ++v) {
    MixVariant variant;
    variant.each = average * 2 / 3 + roll(average * 2 / 3) + 1;
    variant.size = int64_t{1} << v;
    variant.type = "nvidia-a100-80gb";
    if (v == 0) variant.most = size.of_first;
    problem.variants.push_back(variant);
  }
  for (int c = 0; c < size.cells; ++c) {
    const int group = c / size.of_group;
    if (c % size.of_group == 0) {
      problem.stages.push_back({.name = fmt::format("group-{:02}", group),
                                .tier = group % 3 * 10,
                                .cells = {},
                                .free = std::vector<int64_t>(kNodes, kPerNode)});
    }
    const size_t variant = static_cast<size_t>(c) % kVariants;
    const int64_t now = roll(2) == 0 ? 0 : roll(size.replicas);
    const int64_t price = problem.variants[variant].each * (80'000 + roll(40'000));
    problem.stages.back().cells.push_back({.variant = variant,
                                           .price = Money::FromMicros(price),
                                           .startup = Seconds{240},
                                           .now = now,
                                           .least = 0,
                                           .most = size.replicas});
  }
  return problem;
}

}  // namespace spillway::bench
