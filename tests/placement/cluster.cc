#include "cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "placement/capacity.h"
#include "placement/constraints.h"
#include "placement/nodes.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using namespace placement;  // NOLINT(google-build-using-namespace): a test's own file

constexpr uint32_t kOffset = 100'000'000;  // so that the dice are others than the world's
constexpr Seconds kStop{30};               // from being told to stop until a pod is gone

bool IsSchedulable(const Node& node) {
  return node.ready && !node.cordoned && !node.starting && !node.draining && !node.out_of_service &&
         !node.held_since;
}

bool IsOld(const TrainingPool& pool, const Worker& worker) {
  const auto& placement = pool.memory.placement;
  return pool.memory.completed || !placement || worker.attempt != placement->attempt ||
         pool.attempt.complete;
}

bool IsOf(const CellFacts& cell, const Replica& replica) {
  return cell.variant == replica.variant && cell.node_group == replica.node_group;
}

bool IsMember(const NodeGroup& group, const Node& node) {
  return group.cluster == node.id.cluster && MatchesAll(node.labels, group.selector);
}

// Names that the group gives back.
std::set<std::string> Leaving(const NodeGroup& group) {
  const auto& leaving = group.memory.leaving;
  return leaving ? std::set<std::string>(leaving->nodes.begin(), leaving->nodes.end())
                 : std::set<std::string>();
}

}  // namespace

Cluster::Cluster(Snapshot world, uint32_t seed) : dice_(seed + kOffset), world_(std::move(world)) {
  for (const NodeGroup& group : world_.groups) in_stock_[group.name] = !dice_.OneIn(3);
}

void Cluster::Follow(const Plan& plan, bool trouble) {
  const Snapshot before = world_;
  world_ = Applied(before, plan);
  ScaleTargets(before);
  ReleaseNodes(before);
  Wait(plan);
  LetNodesComeAndGo();
  for (TrainingPool& pool : world_.pools) Settle(pool);
  for (InferencePool& pool : world_.inference_pools) Settle(pool);
  Hear();
  if (trouble) Trouble();
}

// ---- the operator's part ----

void Cluster::ScaleTargets(const Snapshot& before) {
  for (NodeGroup& group : world_.groups) {
    if (!group.elastic) continue;
    const int matched = static_cast<int>(std::ranges::count_if(
        before.nodes, [&](const Node& node) { return IsMember(group, node); }));
    const int there = static_cast<int>(std::ranges::count_if(before.nodes, [&](const Node& node) {
      return IsMember(group, node) && !node.out_of_service;
    }));
    if (!group.target_replicas) group.target_replicas = matched;
    const auto& leaving = group.memory.leaving;
    if (leaving && leaving->replicas) {
      const bool may = !leaving->lowered && !group.target_fixed;
      if (may && group.target_replicas > *leaving->replicas)
        group.target_replicas = leaving->replicas;
      continue;
    }
    if (group.memory.desired > there) {
      group.target_replicas =
          std::max(*group.target_replicas, *group.memory.desired + matched - there);
    }
  }
}

// Nodes that were held and that nobody gives back any more are the group's own again.
void Cluster::ReleaseNodes(const Snapshot& before) {
  std::set<std::string> leaving;
  for (const NodeGroup& group : before.groups) leaving.merge(Leaving(group));
  for (const NodeGroup& group : world_.groups) leaving.merge(Leaving(group));
  for (Node& node : world_.nodes) {
    if (!leaving.contains(node.id.name)) node.held_since.reset();
  }
}

void Cluster::Wait(const Plan& plan) {
  Seconds wait{dice_.Pick<int>({1, 15, 60, 60, 300})};
  if (plan.next_wake && (dice_.OneIn(2) || *plan.next_wake < world_.now + wait)) {
    wait = *plan.next_wake - world_.now;
  }
  world_.now += TellToStop() ? std::min(wait, kStop) : wait;
}

bool Cluster::TellToStop() {
  bool stops = false;
  const auto tell = [&](const auto& pod) {
    told_.emplace(pod.pod, world_.now);
    const Node* node = FindNode(pod.node);
    stops = stops || node == nullptr || node->ready;
  };
  for (TrainingPool& pool : world_.pools) {
    for (const Worker& worker : pool.workers) {
      if (IsOld(pool, worker) && !worker.ended) tell(worker);
    }
  }
  for (InferencePool& pool : world_.inference_pools) {
    StopReplicas(pool);
    for (const Replica& replica : pool.live) {
      if (replica.terminating) tell(replica);
    }
  }
  return stops;
}

// ---- workers ----

void Cluster::Settle(TrainingPool& pool) {
  StopOld(pool);
  Start(pool);
  Run(pool);
}

void Cluster::StopOld(TrainingPool& pool) {
  std::erase_if(pool.workers, [&](const Worker& worker) {
    if (!IsOld(pool, worker)) return false;
    if (worker.ended) return true;
    if (!IsGone(worker.pod, worker.node)) return false;
    TakeOff(worker);
    return true;
  });
}

void Cluster::Start(TrainingPool& pool) {
  const auto& placement = pool.memory.placement;
  const bool starts = placement && pool.attempt.exists && !pool.attempt.failed &&
                      !pool.attempt.complete && !pool.memory.completed;
  const NodeGroup* group = starts ? FindGroup(placement->node_group) : nullptr;
  if (group == nullptr) return;
  const bool has_pods = std::ranges::any_of(
      pool.workers, [&](const Worker& worker) { return worker.attempt == placement->attempt; });
  if (!has_pods) {
    for (int i = 0; i < placement->workers; ++i) {
      Worker& worker = pool.workers.emplace_back();
      worker.attempt = placement->attempt;
      worker.index = i;
      worker.pod = fmt::format("{}-train-{}-{}", pool.key.Format(), worker.attempt, i);
      worker.requests = RequestIn(pool, *group);
    }
  }
  for (Worker& worker : pool.workers) {
    if (worker.attempt != placement->attempt || !worker.node.empty()) continue;
    for (const std::string& name : placement->nodes) {
      Node* node = FindNode(name);
      if (node == nullptr || !Bind(pool, *group, worker.requests, *node)) continue;
      worker.node = name;
      break;
    }
    if (worker.node.empty()) worker.why_unbound = "0/8 nodes are available";
  }
}

// What is bound runs after a while, and is ready as long as its node is.
void Cluster::Run(TrainingPool& pool) {
  for (Worker& worker : pool.workers) {
    if (worker.ended || worker.node.empty() || IsOld(pool, worker)) continue;
    const Node* node = FindNode(worker.node);
    if (node != nullptr && node->ready && !dice_.OneIn(4)) worker.running = true;
    worker.ready = worker.running && node != nullptr && node->ready;
  }
}

void Cluster::End(TrainingPool& pool) {
  if (pool.workers.empty() || !pool.attempt.exists || pool.attempt.failed || !pool.memory.placement)
    return;
  const bool all_ready = std::ranges::all_of(pool.workers, [&](const Worker& worker) {
    return worker.ready && worker.attempt == pool.memory.placement->attempt;
  });
  if (!all_ready) return;
  if (dice_.OneIn(2)) {
    pool.attempt.complete = true;
    pool.attempt.succeeded = pool.memory.placement->workers;
    for (const Worker& worker : pool.workers) TakeOff(worker);
    pool.workers.clear();
    return;
  }
  Worker& first = pool.workers.front();
  TakeOff(first);
  first.ended = true;
  first.running = first.ready = false;
  pool.attempt.failed = true;
  Failure& failure = pool.attempt.failure.emplace();
  failure.attempt = first.attempt;
  failure.worker = first.index;
  failure.node = first.node;
  failure.exit_code = 1;
  failure.time = world_.now;
}

// ---- replicas ----

void Cluster::Settle(InferencePool& pool) {
  std::erase_if(pool.live, [&](const Replica& replica) {
    if (!replica.terminating || !IsGone(replica.pod, replica.node)) return false;
    TakeOff(replica);
    return true;
  });
  Roll(pool);
  for (const CellFacts& cell : pool.cells) StartReplicas(pool, cell);
  Run(pool);
}

// Of a Deployment with too many those go first that are bound to no node, or not ready.
void Cluster::StopReplicas(InferencePool& pool) {
  std::ranges::stable_sort(pool.live, {}, [](const Replica& replica) {
    return std::pair(replica.node.empty(), !replica.ready);
  });
  std::map<const CellFacts*, int> live;
  for (Replica& replica : pool.live) {
    if (replica.terminating) continue;
    const auto cell =
        std::ranges::find_if(pool.cells, [&](const CellFacts& one) { return IsOf(one, replica); });
    replica.terminating = cell == pool.cells.end() || ++live[&*cell] > cell->replicas;
    replica.ready = replica.ready && !replica.terminating;
  }
}

// One pod after the other of a Deployment gets its present template.
void Cluster::Roll(InferencePool& pool) {
  for (CellFacts& cell : pool.cells) {
    if (!cell.rolling) continue;
    const auto old = std::ranges::find_if(pool.live, [&](const Replica& replica) {
      return IsOf(cell, replica) && !replica.terminating && replica.revision != cell.revision;
    });
    if (old == pool.live.end()) {
      cell.rolling = cell.stuck = false;
    } else {
      old->terminating = true;
      old->ready = false;
    }
  }
}

void Cluster::StartReplicas(InferencePool& pool, const CellFacts& cell) {
  const NodeGroup* group = FindGroup(cell.node_group);
  const auto variant = std::ranges::find(pool.variants, cell.variant, &Variant::name);
  if (group == nullptr || variant == pool.variants.end()) return;
  const TrainingPool one = ReplicaAsGang(pool, *variant);
  auto live = std::ranges::count_if(pool.live, [&](const Replica& replica) {
    return IsOf(cell, replica) && !replica.terminating;
  });
  for (; live < cell.replicas; ++live) {
    Replica& replica = pool.live.emplace_back();
    replica.pod = fmt::format("{}-{}-{}-{}", pool.key.Format(), cell.variant, group->name, ++made_);
    replica.variant = cell.variant;
    replica.node_group = cell.node_group;
    replica.requests = RequestIn(one, *group);
    replica.since = world_.now;
    replica.revision = cell.revision;
  }
  for (Replica& replica : pool.live) {
    if (!IsOf(cell, replica) || replica.terminating || !replica.node.empty()) continue;
    for (Node& node : world_.nodes) {
      if (!IsMember(*group, node) || !Bind(one, *group, replica.requests, node)) continue;
      replica.node = node.id.name;
      break;
    }
  }
}

void Cluster::Run(InferencePool& pool) {
  for (Replica& replica : pool.live) {
    if (replica.terminating || replica.node.empty()) continue;
    const Node* node = FindNode(replica.node);
    const bool was = replica.ready;
    const bool healthy = node != nullptr && node->ready;
    replica.ready = healthy && (was || !dice_.OneIn(4));
    if (was && !replica.ready) replica.since = world_.now;
  }
}

// ---- nodes ----

void Cluster::LetNodesComeAndGo() {
  for (Node& node : world_.nodes) {
    if (node.created > kNow && node.starting && !dice_.OneIn(3)) node.starting = false;
  }
  Heal();
  for (const NodeGroup& group : world_.groups) {
    if (!group.elastic || !group.target_replicas) continue;
    const auto& leaving = group.memory.leaving;
    if (leaving && leaving->replicas && *group.target_replicas <= *leaving->replicas &&
        !dice_.OneIn(3)) {
      const std::set<std::string> gone = Leaving(group);
      std::erase_if(world_.nodes, [&](const Node& node) {
        return gone.contains(node.id.name) && node.used.empty();
      });
    }
    const int there = static_cast<int>(std::ranges::count_if(
        world_.nodes, [&](const Node& node) { return IsMember(group, node); }));
    if (in_stock_[group.name] && !dice_.OneIn(3)) Deliver(group, *group.target_replicas - there);
  }
}

void Cluster::Deliver(const NodeGroup& group, int nodes) {
  for (int i = 0; i < nodes; ++i) {
    Node node;
    node.id = {.cluster = group.cluster, .name = fmt::format("{}-new-{}", group.name, ++made_)};
    node.labels = {{"group", group.name}, {"zone", "z1"}, {"kubernetes.io/hostname", node.id.name}};
    node.labels[kDomain] = group.name + "-d0";
    node.labels[kBlock] = group.name + "-b0";
    if (!IsMember(group, node)) return;
    node.allocatable = group.elastic->node_shape;
    node.allocatable.Set("pods", 110);
    node.created = world_.now;
    node.starting = dice_.OneIn(2);
    world_.nodes.push_back(std::move(node));
  }
}

void Cluster::Heal() {
  for (Node& node : world_.nodes) {
    const auto back = back_.find(node.id.name);
    if (back == back_.end() || world_.now < back->second) continue;
    node.ready = true;
    node.not_ready_since.reset();
    back_.erase(back);
  }
}

void Cluster::Fail(Node& node) {
  if (node.ready) node.not_ready_since = world_.now;
  node.ready = false;
  back_[node.id.name] = world_.now + Seconds{dice_.Pick<int>({1, 60, 600, 4000})};
}

// ---- what happens from outside ----

void Cluster::Trouble() {
  switch (dice_.Roll(8)) {
    case 0:
    case 1:
      return TroubleNodes();
    case 2:
      return TroublePools();
    case 3:
      return ChangeSpecs();
    default:
      return;
  }
}

void Cluster::TroubleNodes() {
  if (world_.nodes.empty()) return;
  const auto index = static_cast<size_t>(dice_.Roll(static_cast<int>(world_.nodes.size())));
  Node& node = world_.nodes[index];
  switch (dice_.Roll(8)) {
    case 0:
      node.cordoned = !node.cordoned;
      return;
    case 1:
      world_.nodes.erase(world_.nodes.begin() + static_cast<std::ptrdiff_t>(index));
      return;
    case 2:
      for (Node& other : world_.nodes) {
        if (other.labels.find("group")->second == node.labels.find("group")->second) Fail(other);
      }
      return;
    default:
      Fail(node);
  }
}

void Cluster::TroublePools() {
  switch (dice_.Roll(4)) {
    case 0:
      return AddPool();
    case 1:
      return DeletePool();
    default:
      if (!world_.pools.empty()) {
        End(world_.pools[static_cast<size_t>(dice_.Roll(static_cast<int>(world_.pools.size())))]);
      }
  }
}

void Cluster::AddPool() {
  const Snapshot other = RandomWorld(static_cast<uint32_t>(dice_.Roll(1'000'000)));
  const std::string name = "late" + std::to_string(++made_);
  if (!other.inference_pools.empty() && dice_.OneIn(3)) {
    InferencePool pool = dice_.Pick(other.inference_pools);
    pool.key.name = name;
    pool.memory = {};
    pool.cells.clear();
    pool.live.clear();
    world_.inference_pools.push_back(std::move(pool));
  } else if (!other.pools.empty()) {
    TrainingPool pool = dice_.Pick(other.pools);
    pool.key.name = name;
    pool.memory = {};
    pool.attempt = {};
    pool.workers.clear();
    world_.pools.push_back(std::move(pool));
  }
}

void Cluster::DeletePool() {
  const auto remove = [&](auto& pools, const auto& pods_of) {
    if (pools.empty()) return;
    const auto at = pools.begin() + dice_.Roll(static_cast<int>(pools.size()));
    for (const auto& pod : pods_of(*at)) TakeOff(pod);
    pools.erase(at);
  };
  if (dice_.OneIn(3)) {
    remove(world_.inference_pools, [](const InferencePool& pool) { return pool.live; });
  } else {
    remove(world_.pools, [](const TrainingPool& pool) {
      std::vector<Worker> live = pool.workers;
      std::erase_if(live, [](const Worker& worker) { return worker.ended; });
      return live;
    });
  }
}

void Cluster::ChangeSpecs() {
  switch (dice_.Roll(5)) {
    case 0:
      if (world_.groups.empty()) return;
      for (NodeGroup& group : world_.groups) {
        if (dice_.OneIn(2)) continue;
        group.marginal_per_node_hour = Money::FromMicros(int64_t{dice_.Roll(40)} * 1'000'000);
      }
      return;
    case 1:
      for (InferencePool& pool : world_.inference_pools) {
        if (dice_.OneIn(2)) pool.replicas = dice_.Roll(12);
      }
      return;
    case 2:
      for (TrainingPool& pool : world_.pools) {
        if (dice_.OneIn(4)) pool.suspended = !pool.suspended;
      }
      return;
    case 3:
      for (NodeGroup& group : world_.groups) {
        if (dice_.OneIn(3)) {
          group.admission =
              dice_.Pick<Admission>({Admission::kOpen, Admission::kClosed, Admission::kDrain});
        }
      }
      return;
    default:
      for (Quota& quota : world_.quotas) {
        for (QuotaLimit& limit : quota.limits) {
          limit.guaranteed = dice_.Roll(24);
          limit.limit = limit.guaranteed + dice_.Roll(40);
        }
      }
  }
}

// Signals are heard, most of the time, and clusters are lost and found again.
void Cluster::Hear() {
  for (InferencePool& pool : world_.inference_pools) {
    if (pool.demand && !dice_.OneIn(4)) pool.demand->as_of = world_.now;
  }
  for (placement::Cluster& cluster : world_.clusters) {
    if (!dice_.OneIn(5)) continue;
    if (cluster.unreachable_since) {
      cluster.unreachable_since.reset();
    } else {
      cluster.unreachable_since = world_.now;
    }
  }
}

// ---- little helpers ----

Node* Cluster::FindNode(const std::string& name) {
  const auto at =
      std::ranges::find_if(world_.nodes, [&](const Node& node) { return node.id.name == name; });
  return at == world_.nodes.end() ? nullptr : &*at;
}

const NodeGroup* Cluster::FindGroup(const std::string& name) {
  const auto at = std::ranges::find(world_.groups, name, &NodeGroup::name);
  return at == world_.groups.end() ? nullptr : &*at;
}

template <class Pod>
void Cluster::TakeOff(const Pod& pod) {
  if (Node* node = FindNode(pod.node)) node->used.Subtract(pod.requests);
}

bool Cluster::IsGone(const std::string& pod, const std::string& name) {
  const Node* node = FindNode(name);
  if (node != nullptr && !node->ready) return false;
  const auto told = told_.find(pod);
  if (told == told_.end() || world_.now < told->second + kStop) return false;
  told_.erase(told);
  return true;
}

bool Cluster::Bind(const TrainingPool& pool, const NodeGroup& group, const Resources& request,
                   Node& node) {
  Resources free = node.allocatable;
  free.Subtract(node.used);
  if (!IsSchedulable(node) || !free.Covers(request) || !ConstraintsHold(pool, group, node))
    return false;
  node.used.Add(request);
  return true;
}

}  // namespace spillway::tests
