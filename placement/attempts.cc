#include "placement/attempts.h"

#include <algorithm>
#include <utility>

#include "placement/lifecycle.h"

namespace spillway::placement {
namespace {

bool IsIn(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// May the pool's workers start on this member now, room aside?
bool Serves(const World& world, const TrainingPool& pool, const PoolMemory& memory,
            const GroupView& group, const Member& member) {
  const Node& node = *world.nodes[member.node];
  return member.state == NodeState::kUsable && ConstraintsHold(pool, *group.spec, node) &&
         !IsExcluded(memory, node.id.name, world.now);
}

// A gang that grows, in workers or in what each of them has, needs the quota and the money for it;
// one that doesn't keeps what it had.
bool MayHave(const Scene& scene, const TrainingPool& pool, const Placement& placement,
             const GroupView& group, const Need& need) {
  const int64_t needed = need.Accelerators(pool);
  if (needed <= AcceleratorsOf(pool, placement)) return true;
  const auto limit = scene.quotas.Limit(pool.key.ns, placement.accelerator);
  if (limit && scene.quotas.Used(pool.key.ns, placement.accelerator) + needed > *limit)
    return false;
  return !SpendFinding(scene, pool, group, need);
}

// Nodes of the group for so many workers, those of the placement first.
std::optional<Fit> FitBesideKept(const Scene& scene, size_t pool, const PoolMemory& memory,
                                 const GroupView& group, const Need& need) {
  const TrainingPool& spec = *scene.world.pools[pool];
  const Placement& placement = *memory.placement;
  if (!MayHave(scene, spec, placement, group, need)) return std::nullopt;
  std::vector<Slot> slots;
  for (const Member& member : group.members) {
    if (!Serves(scene.world, spec, memory, group, member)) continue;
    Slot slot = SlotOn(scene.world, scene.capacity, pool, group, member.node, need);
    slot.kept = slot.workers > 0 && IsIn(placement.nodes, scene.world.nodes[member.node]->id.name);
    // What it has it keeps; anything new must be free to be given.
    const bool open = !member.overlapped && group.spec->misconfigured.empty();
    if (slot.kept || open) slots.push_back(slot);
  }
  auto fit = FitGang(scene.world, TopologyIn(spec, *group.spec), slots, need.workers);
  if (fit && fit->nodes.size() > kMostNodes) return std::nullopt;
  return fit;
}

// Of the gang's room on the node, what it has beside the claim; none where it could take more than
// that, as nobody can say how many of its workers bind to this node first.
void LeaveTo(const Scene& scene, size_t pool, const Claimed& claimed, const Row& request,
             int workers, Slot& slot) {
  const auto at = std::ranges::lower_bound(claimed, slot.node, {}, &ClaimedNode::node);
  if (at == claimed.end() || at->node != slot.node) return;
  Row room = scene.capacity.FreeWithout(pool, slot.node, {});
  for (size_t i = 0; i < room.size(); ++i) room[i] += at->has[i];
  const int64_t most = HowMany(room, request, workers);
  for (size_t i = 0; i < room.size(); ++i) room[i] -= at->has[i] + at->lacks[i];
  const int64_t left = HowMany(room, request, workers);
  slot.workers = left < most ? 0 : std::min(slot.workers, left);
}

std::optional<Fit> FitInOwnGroup(const Scene& scene, size_t pool, const PoolMemory& memory,
                                 const GroupView& group, const Need& need) {
  return LargestFit(need.least, need.workers, [&](int workers) {
    return FitBesideKept(scene, pool, memory, group, need.For(workers));
  });
}

}  // namespace

void StartAttempt(const World& world, const TrainingPool& pool, const GroupView& group,
                  const Fit& fit, PoolMemory& memory) {
  const bool first = memory.attempts == 0;
  Placement placement{.cluster = group.spec->cluster,
                      .node_group = group.spec->name,
                      .accelerator = group.spec->accelerator,
                      .domain = fit.domain,
                      .tier = group.spec->tier,
                      .workers = fit.workers,
                      .per_worker = pool.per_worker,
                      .nodes = {},
                      .attempt = memory.attempts + 1,
                      .render_revision = world.snapshot->render_revision,
                      .spec_revision = pool.spec_revision,
                      .since = world.now};
  for (const size_t node : fit.nodes) placement.nodes.push_back(world.nodes[node]->id.name);
  memory.attempts = placement.attempt;
  memory.placement = std::move(placement);
  if (!first) ++memory.restarts;
  if (!memory.started) memory.started = world.now;
  memory.tiers_used.insert(group.spec->tier);
  memory.waiting_since.reset();
  memory.ready_since.reset();
  memory.hold.reset();
}

std::vector<std::string> Survivors(const World& world, const TrainingPool& pool,
                                   const PoolMemory& memory) {
  std::vector<std::string> names;
  const Placement& placement = *memory.placement;
  const GroupView* group = world.FindGroup(placement.node_group);
  if (group == nullptr) return names;
  for (const std::string& name : placement.nodes) {
    const auto index = world.FindNode(placement.cluster, name);
    const Member* member = index ? group->Find(*index) : nullptr;
    if (member != nullptr && Serves(world, pool, memory, *group, *member)) names.push_back(name);
  }
  return names;
}

std::optional<Fit> Refit(const Scene& scene, size_t pool, const PoolMemory& memory) {
  const TrainingPool& spec = *scene.world.pools[pool];
  const GroupView* group = scene.world.FindGroup(memory.placement->node_group);
  if (group == nullptr || !Accepts(spec, *group->spec)) return std::nullopt;
  auto need = NeedIn(spec, *group->spec);
  if (!need) return std::nullopt;
  if (group->spec->admission != Admission::kOpen) {  // nothing new: no more than it had
    need->workers = std::clamp(memory.placement->workers, need->least, need->workers);
  }
  return FitInOwnGroup(scene, pool, memory, *group, *need);
}

std::optional<Fit> GrownFit(const Scene& scene, size_t pool, const PoolMemory& memory) {
  const TrainingPool& spec = *scene.world.pools[pool];
  const GroupView* group = scene.world.FindGroup(memory.placement->node_group);
  if (group == nullptr || !Accepts(spec, *group->spec)) return std::nullopt;
  auto need = NeedIn(spec, *group->spec);
  if (!need || !need->IsElastic()) return std::nullopt;
  need->least = std::max(need->least, memory.placement->workers + 1);
  if (need->least > need->workers) return std::nullopt;
  return FitInOwnGroup(scene, pool, memory, *group, *need);
}

int SurplusOf(const World& world, const TrainingPool& pool, const PoolMemory& memory) {
  const Placement& placement = *memory.placement;
  const GroupView* group = world.FindGroup(placement.node_group);
  if (group == nullptr || !Accepts(pool, *group->spec)) return 0;
  const auto need = NeedIn(pool, *group->spec);
  if (!need || !need->IsElastic() || Blocked(pool) || pool.template_unchecked) return 0;
  return std::max(placement.workers - need->least, 0);
}

Claimed ClaimedOn(const Scene& scene, size_t own, const Need& need,
                  const std::vector<size_t>& nodes, const std::vector<size_t>& gone) {
  const Row request = scene.capacity.RowOf(need.request);
  Claimed claimed;
  for (const size_t node : nodes) {
    const Row then = scene.capacity.FreeWithout(own, node, gone);
    Row has = scene.capacity.FreeWithout(own, node, {});
    const Row free = scene.capacity.FreeWithout(scene.capacity.Nobody(), node, {});
    Row lacks = request;
    const int64_t workers = HowMany(then, request, need.workers);
    for (size_t i = 0; i < lacks.size(); ++i) {
      has[i] -= free[i];
      lacks[i] = std::max<int64_t>(lacks[i] * workers - has[i], 0);
    }
    claimed.push_back({.node = node, .has = std::move(has), .lacks = std::move(lacks)});
  }
  std::ranges::sort(claimed, {}, &ClaimedNode::node);
  return claimed;
}

std::vector<Slot> OwnSlots(const Scene& scene, size_t pool, const PoolMemory& memory,
                           const Need& need, Settling settling) {
  const TrainingPool& spec = *scene.world.pools[pool];
  const Placement& placement = *memory.placement;
  const GroupView& group = *scene.world.FindGroup(placement.node_group);
  const Row request = scene.capacity.RowOf(need.request);
  std::vector<Slot> slots;
  NodeFinder finder(scene.world, placement.cluster);
  for (const std::string& name : placement.nodes) {
    const auto node = finder.Find(name);
    const Member* member = node ? group.Find(*node) : nullptr;
    if (member == nullptr || !Serves(scene.world, spec, memory, group, *member)) continue;
    Slot& slot = slots.emplace_back(SlotOn(scene.world, scene.capacity, pool, group, *node, need));
    if (settling == Settling::kStarting) continue;
    slot.workers = HowMany(scene.capacity.FreeWithout(pool, *node, {}), request, need.workers);
  }
  std::ranges::sort(slots, {}, &Slot::node);
  return slots;
}

std::optional<Fit> ShrunkFit(const Scene& scene, size_t pool, const PoolMemory& memory,
                             const Claimed& claimed, Settling settling) {
  if (SurplusOf(scene.world, *scene.world.pools[pool], memory) < 1) return std::nullopt;
  const TrainingPool& spec = *scene.world.pools[pool];
  const GroupView& group = *scene.world.FindGroup(memory.placement->node_group);
  const Need all = *NeedIn(spec, *group.spec);
  const Row request = scene.capacity.RowOf(all.request);
  return LargestFit(all.least, memory.placement->workers - 1, [&](int workers) {
    const Need need = all.For(workers);
    std::optional<Fit> fit;
    if (!MayHave(scene, spec, *memory.placement, group, need)) return fit;
    std::vector<Slot> slots = OwnSlots(scene, pool, memory, need, settling);
    for (Slot& slot : slots) LeaveTo(scene, pool, claimed, request, workers, slot);
    fit = FitGang(scene.world, TopologyIn(spec, *group.spec), slots, workers);
    return fit;
  });
}

std::optional<Fit> FitOnHeld(const Scene& scene, size_t pool, const PoolMemory& memory,
                             const Need& need) {
  const TrainingPool& spec = *scene.world.pools[pool];
  const GroupView& group = *scene.world.FindGroup(memory.hold->node_group);
  const auto fit_at = [&](int workers) {
    std::vector<Slot> slots;
    NodeFinder finder(scene.world, group.spec->cluster);
    for (const std::string& name : memory.hold->nodes) {
      const auto node = finder.Find(name);
      const Member* member = node ? group.Find(*node) : nullptr;
      const bool own = memory.placement && IsIn(memory.placement->nodes, name);
      if (member == nullptr || (member->overlapped && !own)) continue;
      if (!Serves(scene.world, spec, memory, group, *member)) continue;
      slots.push_back(SlotOn(scene.world, scene.capacity, pool, group, *node, need.For(workers)));
    }
    return FitGang(scene.world, TopologyIn(spec, *group.spec), slots, workers);
  };
  return LargestFit(need.least, need.workers, fit_at);
}

void HoldSurvivors(const World& world, const TrainingPool& pool, PoolMemory& memory) {
  const std::vector<std::string> survivors = Survivors(world, pool, memory);
  if (!survivors.empty() && pool.hold > Seconds{0}) {
    memory.hold = Hold{.node_group = memory.placement->node_group,
                       .domain = memory.placement->domain,
                       .nodes = survivors,
                       .until = world.now + pool.hold,
                       .since = {},
                       .victims = {}};
  }
  memory.placement.reset();
  memory.ready_since.reset();
  memory.waiting_since = world.now;
}

}  // namespace spillway::placement
