#include "placement/gang_facts.h"

#include <algorithm>
#include <functional>

#include "placement/nodes.h"

namespace spillway::placement {
namespace {

// Puts what was appended from `begin` on in order, each node once.
void Gather(std::vector<NodeWorkers>& bound, size_t begin) {
  const auto first = bound.begin() + static_cast<std::ptrdiff_t>(begin);
  const auto by_node = [](const NodeWorkers& a, const NodeWorkers& b) { return a.node < b.node; };
  if (!std::is_sorted(first, bound.end(), by_node)) std::sort(first, bound.end(), by_node);
  size_t last = begin;
  for (size_t i = begin + 1; i < bound.size(); ++i) {
    if (bound[i].node == bound[last].node) {
      bound[last].workers += bound[i].workers;
    } else {
      bound[++last] = bound[i];
    }
  }
  if (begin < bound.size()) bound.resize(last + 1);
}

// Neighbours are mostly on the same node.
void AddBound(std::vector<NodeWorkers>& bound, size_t begin, size_t node) {
  if (bound.size() > begin && bound.back().node == node) {
    ++bound.back().workers;
  } else {
    bound.push_back({.node = node, .workers = 1});
  }
}

size_t PodsOf(const Snapshot& snapshot) {
  size_t pods = 0;
  for (const TrainingPool& pool : snapshot.pools) pods += pool.workers.size();
  return pods;
}

}  // namespace

void CountPod(const Worker& worker, WorkerCounts& counts) {
  if (!worker.ended) ++counts.active;
  if (!worker.ended && worker.ready) ++counts.ready;
  if (worker.running || worker.ended) ++counts.running;
  if (worker.node.empty()) ++counts.unbound;
}

GangBook::GangBook(const World& world) : pools_(world.snapshot->pools) {
  facts_.resize(pools_.size());
  pods_.reserve(PodsOf(*world.snapshot));
  for (size_t p = 0; p < pools_.size(); ++p) {
    ReadPods(world, pools_[p], facts_[p]);
    if (pools_[p].memory.placement) ReadPlacement(world, pools_[p], facts_[p]);
  }
}

void GangBook::ReadPods(const World& world, const TrainingPool& pool, GangFacts& gang) {
  const auto& placement = pool.memory.placement;
  gang.pods = {.begin = pods_.size(), .size = pool.workers.size()};
  gang.bound.begin = bound_.size();
  NodeFinder finder(world, ClusterOf(pool));
  for (const Worker& worker : pool.workers) {
    const size_t node = finder.FindOfPod(worker.node).value_or(kNowhere);
    pods_.push_back(node);
    if (!placement || worker.attempt != placement->attempt) {
      gang.old_pods = gang.old_pods || !worker.ended;
      gang.alike = false;
      continue;
    }
    CountPod(worker, gang.counts);
    if (worker.ended || worker.requests != pool.workers.front().requests) gang.alike = false;
    if (worker.requests != gang.requests) gang.requests.MaxWith(worker.requests);
    if (!worker.node.empty()) AddBound(bound_, gang.bound.begin, node);
  }
  Gather(bound_, gang.bound.begin);
  gang.bound.size = bound_.size() - gang.bound.begin;
}

void GangBook::ReadPlacement(const World& world, const TrainingPool& pool, GangFacts& gang) {
  const Placement& placement = *pool.memory.placement;
  const GroupView* group = world.FindGroup(placement.node_group);
  gang.nodes.begin = nodes_.size();
  gang.steady = group != nullptr;
  if (group != nullptr) gang.group = world.IndexOf(*group);
  const auto bound = Bound(gang);
  NodeFinder finder(world, placement.cluster, bound.empty() ? kNowhere : bound.front().node);
  for (const std::string& name : placement.nodes) {
    const auto node = finder.Find(name);
    if (node) nodes_.push_back(*node);
    gang.steady = gang.steady && node && !world.nodes[*node]->out_of_service &&
                  world.nodes[*node]->ready && group->Find(*node) != nullptr;
  }
  gang.nodes.size = nodes_.size() - gang.nodes.begin;
}

void GangBook::Recount(const TrainingPool& pool) {
  WorkerCounts& counts = facts_[static_cast<size_t>(&pool - pools_.data())].counts;
  counts = {};
  const auto& placement = pool.memory.placement;
  for (const Worker& worker : pool.workers) {
    if (placement && worker.attempt == placement->attempt) CountPod(worker, counts);
  }
}

const GangFacts* GangBook::Find(const TrainingPool& pool) const {
  const std::less<const TrainingPool*> before;
  const TrainingPool* first = pools_.data();
  if (before(&pool, first) || !before(&pool, first + pools_.size())) return nullptr;
  return &facts_[static_cast<size_t>(&pool - first)];
}

const GangFacts* GangBook::Find(const TrainingPool& pool, int attempt) const {
  const auto& known = pool.memory.placement;
  return known && known->attempt == attempt ? Find(pool) : nullptr;
}

const GangFacts* GangBook::Find(const TrainingPool& pool, const Placement& placement) const {
  const GangFacts* facts = Find(pool, placement.attempt);
  if (facts == nullptr) return nullptr;
  const Placement& known = *pool.memory.placement;
  if (&known == &placement) return facts;  // nobody has changed it
  const bool same = known.node_group == placement.node_group &&
                    known.cluster == placement.cluster && known.nodes == placement.nodes;
  return same ? facts : nullptr;
}

std::vector<NodeWorkers> BoundWorkers(const World& world, const TrainingPool& pool, int attempt) {
  if (const GangFacts* facts = world.book.Find(pool, attempt)) {
    const auto known = world.book.Bound(*facts);
    return {known.begin(), known.end()};
  }
  std::vector<NodeWorkers> bound;
  NodeFinder finder(world, ClusterOf(pool));
  for (const Worker& worker : pool.workers) {
    if (worker.attempt != attempt || worker.node.empty()) continue;
    AddBound(bound, 0, finder.Find(worker.node).value_or(kNowhere));
  }
  Gather(bound, 0);
  return bound;
}

}  // namespace spillway::placement
