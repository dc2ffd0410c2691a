#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "placement/plan.h"
#include "placement/snapshot.h"

// Valid objects for tests: the test says only what matters to it.
namespace spillway::tests {

using placement::NodeGroup;
using placement::Snapshot;
using placement::TrainingPool;

inline const std::string kGpu = "nvidia.com/gpu";
inline const std::string kDomain = "topology.example.com/domain";
inline const std::string kBlock = "topology.example.com/block";

inline Time At(const std::string& text) { return ParseTime(text).value(); }
inline const Time kNow = At("2026-11-24T12:00:00Z");

inline Resources Amounts(const std::vector<std::pair<std::string, std::string>>& entries) {
  Resources out;
  for (const auto& [name, quantity] : entries) {
    out.Set(name, ParseResource(name, quantity).value());
  }
  return out;
}

inline Money Dollars(const std::string& text) { return Money::Parse(text).value(); }

// A group of GPU nodes that carry its name as the label "group"; tier 0 is OnPrem, others Azure.
inline NodeGroup Group(const std::string& name, int tier = 0) {
  NodeGroup group;
  group.name = name;
  group.provider = tier == 0 ? placement::Provider::kOnPrem : placement::Provider::kAzure;
  group.tier = tier;
  group.selector = {{.key = "group", .op = "In", .values = {name}}};
  group.accelerator = "a100";
  group.resource = kGpu;
  group.per_node = 8;
  group.capacity_type =
      tier == 0 ? placement::CapacityType::kOwned : placement::CapacityType::kOnDemand;
  group.per_node_hour = Dollars("32");
  group.marginal_per_node_hour = tier == 0 ? Money() : Dollars("32");
  group.domain_labels = {kDomain, kBlock};
  return group;
}

// A free, healthy node with `gpus` accelerators, an hour old.
inline placement::Node GpuNode(const std::string& name, const std::string& group, int gpus = 8,
                               const std::string& domain = "") {
  placement::Node node;
  node.id.name = name;
  node.labels = {{"group", group}, {"kubernetes.io/hostname", name}};
  if (!domain.empty()) node.labels[kDomain] = domain;
  node.allocatable = Amounts({{"cpu", "96"}, {"memory", "1024Gi"}, {"pods", "110"}});
  node.allocatable.Set(kGpu, gpus);
  node.created = kNow - Seconds{3600};
  return node;
}

// `count` nodes <group>-1, <group>-2, …
inline void AddNodes(Snapshot& world, const std::string& group, int count, int gpus = 8,
                     const std::string& domain = "") {
  for (int i = 0; i < count; ++i) {
    const auto same = std::count_if(
        world.nodes.begin(), world.nodes.end(),
        [&](const placement::Node& node) { return node.labels.find("group")->second == group; });
    world.nodes.push_back(GpuNode(group + "-" + std::to_string(same + 1), group, gpus, domain));
  }
}

inline placement::Node& NodeOf(Snapshot& world, const std::string& name) {
  return *std::find_if(world.nodes.begin(), world.nodes.end(),
                       [&](const placement::Node& node) { return node.id.name == name; });
}
inline NodeGroup& GroupOf(Snapshot& world, const std::string& name) {
  return *std::find_if(world.groups.begin(), world.groups.end(),
                       [&](const NodeGroup& group) { return group.name == name; });
}
inline TrainingPool& PoolOf(Snapshot& world, const std::string& name) {
  return *std::find_if(world.pools.begin(), world.pools.end(),
                       [&](const TrainingPool& pool) { return pool.key.name == name; });
}

// Somebody else's pods take accelerators of a node.
inline void Use(Snapshot& world, const std::string& node, int gpus) {
  NodeOf(world, node).used.Add(Amounts({{kGpu, std::to_string(gpus)}, {"cpu", "1"}}));
}

// A new pool that asks for `workers` workers of `per_worker` A100s.
inline TrainingPool Wants(const std::string& name, int workers, int per_worker = 8) {
  TrainingPool pool;
  pool.key = {.ns = "team", .name = name};
  pool.uid = "uid-" + name;
  pool.per_worker = per_worker;
  pool.accelerators = {{.type = "a100", .workers = workers}};
  pool.requests = Amounts({{"cpu", "4"}, {"memory", "16Gi"}, {"pods", "1"}});
  pool.spec_revision = "spec-1";
  return pool;
}

// The pods of the pool's placement: worker i on nodes[i % nodes], counted on their nodes.
inline void AddWorkers(Snapshot& world, TrainingPool& pool, bool running = true) {
  const placement::Placement& placement = *pool.memory.placement;
  for (int i = 0; i < placement.workers; ++i) {
    placement::Worker worker;
    worker.pod = pool.key.name + "-" + std::to_string(placement.attempt) + "-" + std::to_string(i);
    worker.attempt = placement.attempt;
    worker.index = i;
    worker.node = placement.nodes[static_cast<size_t>(i) % placement.nodes.size()];
    worker.requests = pool.requests;
    worker.requests.Set(kGpu, pool.per_worker);
    worker.running = running;
    worker.ready = running;
    NodeOf(world, worker.node).used.Add(worker.requests);
    pool.workers.push_back(worker);
  }
}

// A pool that has been placed on `nodes` a minute ago, its Job there, without pods yet.
inline TrainingPool Has(const std::string& name, int workers, int per_worker,
                        const std::string& group, const std::vector<std::string>& nodes,
                        int tier = 0) {
  TrainingPool pool = Wants(name, workers, per_worker);
  const Time since = kNow - Seconds{60};
  pool.memory.queued_since = since;
  pool.memory.started = since;
  pool.memory.attempts = 1;
  pool.memory.tiers_used = {tier};
  placement::Placement placement;
  placement.node_group = group;
  placement.accelerator = "a100";
  placement.tier = tier;
  placement.workers = workers;
  placement.per_worker = per_worker;
  placement.nodes = nodes;
  placement.render_revision = "r1";
  placement.spec_revision = "spec-1";
  placement.since = since;
  pool.memory.placement = placement;
  pool.attempt.exists = true;
  return pool;
}

// The same with all its workers running.
inline TrainingPool& AddRunning(Snapshot& world, const std::string& name, int workers,
                                int per_worker, const std::string& group,
                                const std::vector<std::string>& nodes, int tier = 0) {
  world.pools.push_back(Has(name, workers, per_worker, group, nodes, tier));
  AddWorkers(world, world.pools.back());
  return world.pools.back();
}

// A gang on whole nodes at home that has run for two hours and may be stopped at any time.
inline TrainingPool& AddOld(Snapshot& world, const std::string& name, int64_t priority,
                            const std::vector<std::string>& nodes,
                            const std::string& group = "home") {
  TrainingPool& pool = AddRunning(world, name, static_cast<int>(nodes.size()), 8, group, nodes,
                                  GroupOf(world, group).tier);
  pool.priority = priority;
  pool.preemptible = placement::Preemptible::kAlways;
  const Time since = kNow - Seconds{7200};
  pool.memory.placement->since = since;
  pool.memory.started = pool.memory.queued_since = pool.memory.ready_since = since;
  pool.memory.restart_took = Seconds{300};
  return pool;
}

inline placement::Quota Guarantee(const std::string& ns, int guaranteed, int limit = 1000,
                                  int weight = 1) {
  return {.ns = ns,
          .limits = {{.type = "a100", .limit = limit, .guaranteed = guaranteed}},
          .weight = weight};
}

// A way to serve that needs `per_replica` accelerators of `type` for each replica.
inline placement::Variant Serves(const std::string& name, const std::string& type, int per_replica,
                                 const std::string& throughput) {
  placement::Variant variant;
  variant.name = name;
  variant.accelerator = type;
  variant.per_replica = per_replica;
  variant.throughput = Dollars(throughput).micros();
  variant.requests = Amounts({{"cpu", "1"}, {"memory", "1Gi"}, {"pods", "1"}});
  variant.revision = "v1";
  return variant;
}

// An inference pool of so many units of 4.0, served by one A100 each. Nothing holds it back.
inline placement::InferencePool Chat(int units, const std::string& name = "chat") {
  placement::InferencePool pool;
  pool.key = {.ns = "serving", .name = name};
  pool.uid = "uid-" + name;
  pool.created = kNow;
  pool.replicas = units;
  pool.unit = Dollars("4").micros();
  pool.variants = {Serves("gpu", "a100", 1, "4")};
  pool.routing = placement::Routing::kWeighted;
  pool.spill_after = Seconds{0};
  pool.scale_down.stabilization = Seconds{0};
  return pool;
}

// A cell as it was decided, its Deployment there, with `ready` of its replicas ready and the others
// bound, on the nodes given, round robin.
inline void Runs(Snapshot& world, placement::InferencePool& pool, const std::string& variant,
                 const std::string& group, int desired, int ready,
                 const std::vector<std::string>& nodes, int tier = 0) {
  const auto& spec = *std::find_if(pool.variants.begin(), pool.variants.end(),
                                   [&](const auto& one) { return one.name == variant; });
  auto& memory = pool.memory;
  if (!memory.units) memory.units = pool.replicas;
  if (!memory.requested) memory.requested = pool.replicas;
  if (!memory.queued_since) memory.queued_since = kNow - Seconds{600};
  memory.cells.push_back({.variant = variant,
                          .node_group = group,
                          .tier = tier,
                          .desired = desired,
                          .pending_since = {},
                          .blocked_until = {},
                          .misses = 0,
                          .revision = spec.revision});
  pool.cells.push_back({.variant = variant,
                        .node_group = group,
                        .revision = spec.revision,
                        .replicas = desired,
                        .rolling = false,
                        .stuck = false,
                        .surge = 1,
                        .unavailable = 0});
  for (int i = 0; i < desired; ++i) {
    placement::Replica replica;
    replica.pod = pool.key.name + "-" + variant + "-" + group + "-" + std::to_string(i);
    replica.variant = variant;
    replica.node_group = group;
    replica.node = nodes[static_cast<size_t>(i) % nodes.size()];
    replica.requests = spec.requests;
    if (GroupOf(world, group).resource.empty()) {
      replica.requests.Set(kCpu, int64_t{spec.per_replica} * 1000);
    } else {
      replica.requests.Set(GroupOf(world, group).resource, spec.per_replica);
    }
    replica.since = kNow - Seconds{60};
    replica.ready = i < ready;
    replica.revision = spec.revision;
    NodeOf(world, replica.node).used.Add(replica.requests);
    pool.live.push_back(replica);
  }
}

// home (tier 0) and azure (tier 10), with so many free nodes of 8 GPUs.
inline Snapshot Fleet(int home_nodes, int azure_nodes = 0) {
  Snapshot world;
  world.now = kNow;
  world.render_revision = "r1";
  world.groups = {Group("home"), Group("azure", 10)};
  AddNodes(world, "home", home_nodes);
  AddNodes(world, "azure", azure_nodes);
  return world;
}

inline const placement::PoolDecision& DecisionOf(const placement::Plan& plan,
                                                 const std::string& name) {
  return *std::find_if(
      plan.pools.begin(), plan.pools.end(),
      [&](const placement::PoolDecision& decision) { return decision.key.name == name; });
}

inline const placement::InferenceDecision& ServingOf(const placement::Plan& plan,
                                                     const std::string& name = "chat") {
  return *std::find_if(
      plan.inference_pools.begin(), plan.inference_pools.end(),
      [&](const placement::InferenceDecision& decision) { return decision.key.name == name; });
}
// "4 gpu@home, 2 gpu@azure", by variant and node group.
inline std::string Mix(const placement::InferenceDecision& decision) {
  std::string text;
  for (const placement::CellMemory& cell : decision.memory.cells) {
    if (cell.desired == 0) continue;
    text += (text.empty() ? "" : ", ") + std::to_string(cell.desired) + " " + cell.variant + "@" +
            cell.node_group;
  }
  return text.empty() ? "nothing" : text;
}

// "big@home[home-1 home-2]#1", or "big!WaitingForCapacity".
inline std::string Brief(const placement::PoolDecision& decision) {
  if (!decision.placed) {
    return decision.key.name + "!" + std::string(ReasonName(decision.placed_reason));
  }
  std::string nodes;
  for (const std::string& node : decision.memory.placement->nodes) {
    nodes += (nodes.empty() ? "" : " ") + node;
  }
  return decision.key.name + "@" + decision.memory.placement->node_group + "[" + nodes + "]#" +
         std::to_string(decision.memory.placement->attempt);
}
inline std::vector<std::string> Brief(const placement::Plan& plan) {
  std::vector<std::string> out;
  for (const placement::PoolDecision& decision : plan.pools) out.push_back(Brief(decision));
  return out;
}

}  // namespace spillway::tests
