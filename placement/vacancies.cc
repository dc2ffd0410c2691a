#include "placement/vacancies.h"

namespace spillway::placement {

Vacancies::Vacancies(const Scene& scene, size_t gang, const PoolMemory& memory,
                     const GroupView& group, const Need& need, Settling settling)
    : scene_(scene),
      gang_(gang),
      group_(group),
      need_(need),
      settling_(settling),
      topology_(TopologyIn(*scene.world.pools[gang], *group.spec)),
      request_(scene.capacity.RowOf(need.request)),
      column_(scene.capacity.ColumnOf(CountedBy(*group.spec))) {
  const auto ground = scene.offers.GroundFor(group, *scene.world.pools[gang], memory);
  for (const size_t node : ground->nodes) {
    at_[node] = slots_.size();
    const Slot slot = SlotOn(scene.world, scene.capacity, gang, group, node, need);
    slots_.push_back(settling == Settling::kSettled ? Without(slot, {}) : slot);
  }
}

// The slot of a node once those of the pools that are on it are gone.
Slot Vacancies::Without(const Slot& before, const std::vector<size_t>& gone) const {
  const Capacity& capacity = scene_.capacity;
  const NodeGroup& spec = *group_.spec;
  const Row free = capacity.FreeWithout(gang_, before.node, gone);
  Slot slot = before;
  slot.workers = settling_ == Settling::kSettled
                     ? HowMany(free, request_, need_.workers)
                     : capacity.FitsWithout(gang_, slot.node, request_, need_.workers, gone);
  slot.free = Accelerators(spec, free[column_]);
  slot.whole = slot.free == AcceleratorsIn(spec, scene_.world.nodes[slot.node]->allocatable);
  return slot;
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
  for (const auto& [slot, pools] : leaving) slots[slot] = Without(slots_[slot], pools);
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
