#include "placement/vacancies.h"

namespace spillway::placement {

Slot SlotWithout(const Scene& scene, size_t gang, const GroupView& group, const Need& need,
                 const Slot& before, const std::vector<size_t>& gone, Settling settling) {
  const Capacity& capacity = scene.capacity;
  const NodeGroup& spec = *group.spec;
  const Row request = capacity.RowOf(need.request);
  const Row free = capacity.FreeWithout(gang, before.node, gone);
  Slot slot = before;
  slot.workers = settling == Settling::kSettled
                     ? HowMany(free, request, need.workers)
                     : capacity.FitsWithout(gang, slot.node, request, need.workers, gone);
  slot.free = Accelerators(spec, free[capacity.ColumnOf(CountedBy(spec))]);
  slot.whole = slot.free == AcceleratorsIn(spec, scene.world.nodes[slot.node]->allocatable);
  return slot;
}

Vacancies::Vacancies(const Scene& scene, size_t gang, const PoolMemory& memory,
                     const GroupView& group, const Need& need, Settling settling)
    : scene_(scene),
      gang_(gang),
      group_(group),
      need_(need),
      settling_(settling),
      topology_(TopologyIn(*scene.world.pools[gang], *group.spec)) {
  const auto ground = scene.offers.GroundFor(group, *scene.world.pools[gang], memory);
  for (const size_t node : ground->nodes) {
    at_[node] = slots_.size();
    const Slot slot = SlotOn(scene.world, scene.capacity, gang, group, node, need);
    slots_.push_back(settling == Settling::kSettled
                         ? SlotWithout(scene, gang, group, need, slot, {}, settling)
                         : slot);
  }
}

std::vector<Slot> Vacancies::SlotsWithout(const std::vector<size_t>& gone) const {
  std::map<size_t, std::vector<size_t>> leaving;  // by slot
  for (const size_t pool : gone) {
    for (const size_t node : scene_.capacity.NodesOf(pool)) {
      const auto at = at_.find(node);
      if (at != at_.end()) leaving[at->second].push_back(pool);
    }
  }
  std::vector<Slot> slots = slots_;
  for (const auto& [slot, pools] : leaving) {
    slots[slot] = SlotWithout(scene_, gang_, group_, need_, slots_[slot], pools, settling_);
  }
  return slots;
}

std::optional<Fit> Vacancies::FitWithout(const std::vector<size_t>& gone) const {
  const std::vector<Slot> slots = SlotsWithout(gone);
  if (WorkersIn(slots) < need_.workers) return std::nullopt;
  auto fit = FitGang(scene_.world, topology_, slots, need_.workers);
  if (fit && fit->nodes.size() > kMostNodes) return std::nullopt;
  return fit;
}

}  // namespace spillway::placement
