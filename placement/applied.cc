#include <algorithm>
#include <map>
#include <set>

#include "placement/nodes.h"
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
  auto at = nodes.find(NodeId{.cluster = cluster, .name = worker.node});
  if (at == nodes.end()) {  // its attempt was in another one
    at =
        std::ranges::find_if(nodes, [&](const auto& one) { return one.first.name == worker.node; });
  }
  if (at == nodes.end() || worker.ended) return;
  Resources used = at->second->used;
  used.Subtract(worker.requests);
  at->second->used = used;
}

void CarryOut(const PoolDecision& decision, std::map<NodeId, Node*>& nodes, TrainingPool& pool) {
  const std::string cluster(ClusterOf(pool));
  const std::set<std::string> forced(decision.force_delete.begin(), decision.force_delete.end());
  for (const Worker& worker : pool.workers) {
    if (forced.contains(worker.pod)) TakeOff(nodes, cluster, worker);
  }
  std::erase_if(pool.workers, [&](const Worker& worker) { return forced.contains(worker.pod); });
  pool.attempt = AttemptAfter(pool, decision);
  pool.memory = decision.memory;
}

std::string ClusterOf(const std::vector<NodeGroup>& groups, const Replica& replica) {
  const auto at = std::ranges::find(groups, replica.node_group, &NodeGroup::name);
  return at == groups.end() ? std::string() : at->cluster;
}

// The Deployments as they are asked to be; their pods take their time.
void CarryOut(const InferenceDecision& decision, const std::vector<NodeGroup>& groups,
              std::map<NodeId, Node*>& nodes, InferencePool& pool) {
  const std::set<std::string> forced(decision.force_delete.begin(), decision.force_delete.end());
  const std::set<std::string> evicted(decision.evict.begin(), decision.evict.end());
  for (Replica& replica : pool.live) {
    if (evicted.contains(replica.pod)) replica.terminating = true;
    const auto at = nodes.find(NodeId{.cluster = ClusterOf(groups, replica), .name = replica.node});
    if (!forced.contains(replica.pod) || at == nodes.end()) continue;
    Resources used = at->second->used;
    used.Subtract(replica.requests);
    at->second->used = used;
  }
  std::erase_if(pool.live, [&](const Replica& replica) { return forced.contains(replica.pod); });
  std::vector<CellFacts> before = std::move(pool.cells);
  pool.cells.clear();
  for (const CellDecision& cell : decision.cells) {
    const auto at = std::find_if(before.begin(), before.end(), [&](const CellFacts& facts) {
      return facts.variant == cell.variant && facts.node_group == cell.node_group;
    });
    if (cell.desired == 0) continue;
    CellFacts& facts = pool.cells.emplace_back();
    if (at != before.end()) facts = *at;
    facts.variant = cell.variant;
    facts.node_group = cell.node_group;
    facts.replicas = cell.desired;
    facts.surge = cell.surge;
    facts.unavailable = cell.unavailable;
    for (const Variant& variant : pool.variants) {
      if (variant.name != cell.variant) continue;
      if (at == before.end()) facts.revision = variant.revision;
      if (cell.roll && facts.revision != variant.revision) {
        facts.revision = variant.revision;
        facts.rolling = true;
      }
    }
  }
  pool.memory = decision.memory;
}

// Nodes that are given back are held, and those that were room for whoever needs them, and are
// taken back, are not any more. Their targets take their time, as does what was given up.
void HoldNodes(const std::map<NodeId, Node*>& nodes, const NodeGroup& group,
               const GroupMemory& after, Time now) {
  if (!group.elastic) return;
  const auto each = [&](const std::optional<LeavingNodes>& leaving, auto change) {
    if (!leaving) return;
    for (const std::string& name : leaving->nodes) {
      const auto at = nodes.find(NodeId{.cluster = group.cluster, .name = name});
      if (at != nodes.end()) change(*at->second);
    }
  };
  std::set<NodeId> kept;
  each(after.leaving, [&](Node& node) {
    kept.insert(node.id);
    if (!after.leaving->replicas && !node.held_since) node.held_since = now;
  });
  const auto& before = group.memory.leaving;
  const bool was_room = before && !before->replicas && now < HeldUntil(*before, *group.elastic);
  if (!was_room) return;
  each(before, [&](Node& node) {
    if (!kept.contains(node.id)) node.held_since.reset();
  });
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
  for (InferencePool& pool : after.inference_pools) {
    for (const InferenceDecision& decision : plan.inference_pools) {
      if (decision.key == pool.key) CarryOut(decision, after.groups, nodes, pool);
    }
  }
  std::map<std::string, const GroupReport*> reports;
  for (const GroupReport& report : plan.groups) reports[report.name] = &report;
  for (NodeGroup& group : after.groups) {
    const auto report = reports.find(group.name);
    if (report == reports.end()) continue;
    HoldNodes(nodes, group, report->second->memory, after.now);
    group.memory = report->second->memory;
  }
  for (Quota& quota : after.quotas) {
    quota.memory.reset();
    for (const QuotaReport& report : plan.quotas) {
      if (report.ns == quota.ns && report.spend.budget) quota.memory = report.spend.budget->memory;
    }
  }
  return after;
}

}  // namespace spillway::placement
