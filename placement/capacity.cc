#include "placement/capacity.h"

#include <algorithm>

namespace spillway::placement {
namespace {

// The same type may have another group's name by now: what a worker needs is then the same.
const NodeGroup* GroupOrOneLikeIt(const World& world, const Placement& placement) {
  if (const GroupView* view = world.FindGroup(placement.node_group)) return view->spec;
  for (const GroupView& view : world.groups) {
    if (view.spec->accelerator == placement.accelerator) return view.spec;
  }
  return nullptr;
}

std::vector<size_t> Indices(const World& world, const std::string& cluster,
                            const std::vector<std::string>& names) {
  std::vector<size_t> nodes;
  for (const std::string& name : names) {
    if (const auto node = world.FindNode(cluster, name)) nodes.push_back(*node);
  }
  return nodes;
}

Resources RequestOf(const TrainingPool& pool, const NodeGroup& group, int per_worker) {
  Resources request = pool.requests;
  if (group.resource.empty()) {
    // The cores are the first container's; what the others ask for comes on top.
    request.Set(kCpu, pool.other_cpu + int64_t{per_worker} * 1000);
  } else {
    request.Set(group.resource, request.Get(group.resource) + per_worker);
  }
  request.Add(group.pod_defaults);
  return request;
}

Resources NotNegative(const Resources& amounts) {
  Resources out;
  for (const auto& [name, amount] : amounts) {
    if (amount > 0) out.Set(name, amount);
  }
  return out;
}

// Pods of the attempt say themselves what they ask for, whatever the spec says by now.
Resources RequestOfPods(const TrainingPool& pool, int attempt) {
  Resources request;
  for (const Worker& worker : pool.workers) {
    if (worker.attempt == attempt) request.MaxWith(worker.requests);
  }
  return request;
}

bool KnowsRequest(const TrainingPool& pool) {
  return !pool.template_unchecked && pool.template_invalid.empty();
}

}  // namespace

Resources RequestIn(const TrainingPool& pool, const NodeGroup& group) {
  return RequestOf(pool, group, pool.per_worker);
}

int PerWorkerOf(const TrainingPool& pool, const Placement& placement) {
  return placement.per_worker > 0 ? placement.per_worker : pool.per_worker;
}

int64_t AcceleratorsOf(const TrainingPool& pool, const Placement& placement) {
  return int64_t{placement.workers} * PerWorkerOf(pool, placement);
}

std::optional<Need> NeedIn(const TrainingPool& pool, const NodeGroup& group) {
  for (size_t i = 0; i < pool.accelerators.size(); ++i) {
    const AcceptedAccelerator& accepted = pool.accelerators[i];
    if (accepted.type != group.accelerator || accepted.workers < 1) continue;
    return Need{.workers = accepted.workers, .choice = i, .request = RequestIn(pool, group)};
  }
  return std::nullopt;
}

std::string ClusterOf(const TrainingPool& pool) {
  return pool.memory.placement ? pool.memory.placement->cluster : std::string();
}

int SucceededOf(const TrainingPool& pool, const Placement& placement) {
  const auto& known = pool.memory.placement;
  return known && known->attempt == placement.attempt ? pool.attempt.succeeded : 0;
}

std::map<size_t, int> BoundWorkers(const World& world, const TrainingPool& pool, int attempt) {
  std::map<size_t, int> bound;
  const std::string cluster = ClusterOf(pool);
  for (const Worker& worker : pool.workers) {
    if (worker.attempt != attempt || worker.node.empty()) continue;
    ++bound[world.FindNode(cluster, worker.node).value_or(kNowhere)];
  }
  return bound;
}

std::optional<Claim> ClaimOf(const World& world, const TrainingPool& pool,
                             const Placement& placement) {
  const NodeGroup* group = GroupOrOneLikeIt(world, placement);
  if (group == nullptr) return std::nullopt;
  Claim claim{.request = RequestOfPods(pool, placement.attempt),
              .workers = placement.workers - SucceededOf(pool, placement),
              .nodes = Indices(world, placement.cluster, placement.nodes),
              .bound = BoundWorkers(world, pool, placement.attempt)};
  if (claim.workers < 1 || !claim.request.empty()) return claim;
  claim.request = RequestOf(pool, *group, PerWorkerOf(pool, placement));
  // An edited template has another size, but not before the next attempt.
  claim.whole = !KnowsRequest(pool) || placement.spec_revision != pool.spec_revision;
  return claim;
}

std::optional<Claim> ClaimOf(const World& world, const TrainingPool& pool, const Hold& hold) {
  const GroupView* view = world.FindGroup(hold.node_group);
  if (view == nullptr) return std::nullopt;
  const auto need = NeedIn(pool, *view->spec);
  if (!need) return std::nullopt;
  return Claim{.request = need->request,
               .workers = need->workers,
               .nodes = Indices(world, view->spec->cluster, hold.nodes),
               .whole = !KnowsRequest(pool),
               .yields = hold.IsClaim(),
               .bound = {}};
}

Capacity::Capacity(const World& world) : rooms_(world.nodes.size()), shares_(world.pools.size()) {
  std::vector<Resources> ours(world.nodes.size());
  for (size_t p = 0; p < world.pools.size(); ++p) {
    const std::string cluster = ClusterOf(*world.pools[p]);
    for (const Worker& worker : world.pools[p]->workers) {
      if (worker.ended || worker.node.empty()) continue;
      const auto node = world.FindNode(cluster, worker.node);
      if (!node) continue;
      ours[*node].Add(worker.requests);
      shares_[p][*node].live.Add(worker.requests);
    }
    for (auto& [node, share] : shares_[p]) share.reserved = share.live;
  }
  for (size_t n = 0; n < rooms_.size(); ++n) {
    Resources foreign = world.nodes[n]->used;
    foreign.Subtract(ours[n]);
    rooms_[n].physical = world.nodes[n]->allocatable;
    rooms_[n].physical.Subtract(NotNegative(foreign));
    rooms_[n].physical.Subtract(ours[n]);
    rooms_[n].free = rooms_[n].physical;
  }
}

void Capacity::Set(size_t pool, const Claim& claim) {
  Clear(pool);
  int64_t bound = 0;
  for (const auto& [node, count] : claim.bound) bound += count;
  for (const size_t node : claim.nodes) {
    const auto here = claim.bound.find(node);
    const int64_t elsewhere = bound - (here == claim.bound.end() ? 0 : here->second);
    const Share* share = Find(pool, node);
    Resources room = claim.yields ? rooms_[node].free : rooms_[node].physical;
    if (share != nullptr) room.Add(share->live);
    Resources reserved = share == nullptr ? Resources() : share->live;
    Resources planned;
    if (claim.whole) {
      planned = NotNegative(room);
    } else {
      planned.AddTimes(claim.request, room.HowMany(claim.request, claim.workers - elsewhere));
    }
    reserved.MaxWith(planned);
    Replace(pool, node, reserved);
  }
}

void Capacity::Clear(size_t pool) {
  for (const size_t node : NodesOf(pool)) Replace(pool, node, Find(pool, node)->live);
}

void Capacity::Replace(size_t pool, size_t node, const Resources& reserved) {
  Share& share = shares_[pool][node];
  Room& room = rooms_[node];
  room.open -= share.IsOpen();
  room.free.Add(share.reserved);
  share.reserved = reserved;
  room.free.Subtract(share.reserved);
  room.open += share.IsOpen();
}

const Capacity::Share* Capacity::Find(size_t pool, size_t node) const {
  const auto at = shares_[pool].find(node);
  return at == shares_[pool].end() ? nullptr : &at->second;
}

const Capacity::Share* Capacity::FindOwn(size_t pool, size_t node) const {
  const Share* share = Find(pool, node);
  return share == nullptr || share->forfeited ? nullptr : share;
}

void Capacity::Forfeit(size_t pool, size_t node) {
  const auto at = shares_[pool].find(node);
  if (at != shares_[pool].end()) at->second.forfeited = true;
}

Resources Capacity::FreeFor(size_t pool, size_t node) const {
  Resources room = rooms_[node].free;
  if (const Share* share = FindOwn(pool, node)) room.Add(share->reserved);
  return room;
}

int64_t Capacity::FreeFor(size_t pool, size_t node, std::string_view resource) const {
  const Share* share = FindOwn(pool, node);
  return rooms_[node].free.Get(resource) + (share == nullptr ? 0 : share->reserved.Get(resource));
}

int64_t Capacity::Fits(size_t pool, size_t node, const Resources& request, int64_t most) const {
  const Room& room = rooms_[node];
  const Share* share = FindOwn(pool, node);
  if (share == nullptr && room.open == 0) return room.free.HowMany(request, most);
  const int64_t count = FreeFor(pool, node).HowMany(request, most);
  const int others_open = room.open - (share == nullptr ? 0 : share->IsOpen());
  if (others_open == 0 || count == most) return count;
  Resources physical = room.physical;
  if (share != nullptr) physical.Add(share->live);
  return physical.HowMany(request, most) > count ? 0 : count;
}

Resources Capacity::FreeWithout(size_t pool, size_t node, const std::vector<size_t>& gone) const {
  Resources free = FreeFor(pool, node);
  for (const size_t other : gone) {
    const Share* share = Find(other, node);
    if (share != nullptr && other != pool) free.Add(share->reserved);
  }
  return free;
}

int64_t Capacity::FitsWithout(size_t pool, size_t node, const Resources& request, int64_t most,
                              const std::vector<size_t>& gone) const {
  const int64_t count = FreeWithout(pool, node, gone).HowMany(request, most);
  Resources physical = rooms_[node].physical;
  int open = rooms_[node].open;
  const auto leave_out = [&](const Share* share) {
    if (share == nullptr) return;
    physical.Add(share->live);
    open -= share->IsOpen();
  };
  leave_out(FindOwn(pool, node));
  for (const size_t other : gone) {
    if (other != pool) leave_out(Find(other, node));
  }
  if (open == 0 || count == most) return count;
  return physical.HowMany(request, most) > count ? 0 : count;
}

int64_t Capacity::Harmless(size_t pool, size_t node, const Resources& request, int64_t most) const {
  const Room& room = rooms_[node];
  const Share* share = Find(pool, node);
  if (room.open - (share == nullptr ? 0 : share->IsOpen()) == 0) return most;
  Resources free = room.free;
  if (share != nullptr) {  // its own that are not bound yet are part of `most`
    free.Add(share->reserved);
    free.Subtract(share->live);
  }
  const int64_t fit = free.HowMany(request, most);
  return room.physical.HowMany(request, most) > fit ? fit : most;
}

std::vector<size_t> Capacity::NodesOf(size_t pool) const {
  std::vector<size_t> nodes;
  for (const auto& [node, share] : shares_[pool]) nodes.push_back(node);
  return nodes;
}

}  // namespace spillway::placement
