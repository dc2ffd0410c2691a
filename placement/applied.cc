#include <algorithm>
#include <map>
#include <set>

#include "placement/plan.h"

namespace spillway::placement {
namespace {

// The Job of the placement's attempt as it is once the decision has been carried out.
AttemptFacts AttemptAfter(const TrainingPool& pool, const PoolDecision& decision) {
  const auto& before = pool.memory.placement;
  const auto& after = decision.memory.placement;
  if (!after) return {};
  AttemptFacts attempt;
  if (before && before->attempt == after->attempt) attempt = pool.attempt;
  attempt.exists = attempt.exists || decision.may_start;
  return attempt;
}

void TakeOff(std::map<NodeId, Node*>& nodes, const std::string& cluster, const Worker& worker) {
  const auto at = nodes.find(NodeId{.cluster = cluster, .name = worker.node});
  if (at == nodes.end() || worker.ended) return;
  Resources used = at->second->used;
  used.Subtract(worker.requests);
  at->second->used = used;
}

void CarryOut(const PoolDecision& decision, std::map<NodeId, Node*>& nodes, TrainingPool& pool) {
  const std::string cluster = pool.memory.placement ? pool.memory.placement->cluster : "";
  const std::set<std::string> forced(decision.force_delete.begin(), decision.force_delete.end());
  for (const Worker& worker : pool.workers) {
    if (forced.contains(worker.pod)) TakeOff(nodes, cluster, worker);
  }
  std::erase_if(pool.workers, [&](const Worker& worker) { return forced.contains(worker.pod); });
  pool.attempt = AttemptAfter(pool, decision);
  pool.memory = decision.memory;
}

}  // namespace

Snapshot Applied(const Snapshot& snapshot, const Plan& plan) {
  Snapshot after = snapshot;
  std::map<NodeId, Node*> nodes;
  for (Node& node : after.nodes) nodes[node.id] = &node;
  std::map<PoolKey, const PoolDecision*> decisions;
  for (const PoolDecision& decision : plan.pools) decisions[decision.key] = &decision;
  for (TrainingPool& pool : after.pools) {
    const auto decision = decisions.find(pool.key);
    if (decision != decisions.end()) CarryOut(*decision->second, nodes, pool);
  }
  return after;
}

}  // namespace spillway::placement
