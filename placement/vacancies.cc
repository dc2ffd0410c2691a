#include "placement/vacancies.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace spillway::placement {

namespace {

// What a question of a gang in a group comes to in rows and columns.
struct Asked {
  size_t own = 0;
  int workers = 0;
  const Row& request;
  size_t column = 0;  // of the accelerators
};

// `when_free`: accelerators of the node when it is empty. `free`: any row, to reckon in.
Slot SlotWithoutThem(const Capacity& capacity, const NodeGroup& group, const Asked& asked,
                     size_t node, int64_t when_free, std::span<const size_t> gone,
                     Settling settling, Row& free) {
  capacity.FreeWithout(asked.own, node, gone, free);
  Slot slot{.node = node};
  slot.workers =
      settling == Settling::kStarting
          ? capacity.FitsWithout(asked.own, node, free, asked.request, asked.workers, gone)
          : HowMany(free, asked.request, asked.workers);
  slot.free = Accelerators(group, free[asked.column]);
  slot.whole = slot.free == when_free;
  return slot;
}

}  // namespace

Slot SlotWithout(const Scene& scene, size_t gang, const GroupView& group, const Need& need,
                 size_t node, const std::vector<size_t>& gone) {
  const NodeGroup& spec = *group.spec;
  const Row request = scene.capacity.RowOf(need.request);
  const Asked asked{.own = gang,
                    .workers = need.workers,
                    .request = request,
                    .column = scene.capacity.ColumnOf(CountedBy(spec))};
  Row free;
  return SlotWithoutThem(scene.capacity, spec, asked, node,
                         AcceleratorsIn(spec, scene.world.nodes[node]->allocatable), gone,
                         Settling::kStarting, free);
}

Vacancies::Vacancies(const Scene& scene, size_t gang, size_t own, const PoolMemory& memory,
                     const GroupView& group, const Need& need, Settling settling)
    : scene_(scene),
      own_(own),
      group_(group),
      need_(need),
      settling_(settling),
      topology_(TopologyIn(*scene.world.pools[gang], *group.spec)),
      ground_(settling == Settling::kOnceBack
                  ? scene.offers.GroundOnceBack(group, *scene.world.pools[gang], memory)
                  : scene.offers.GroundFor(group, *scene.world.pools[gang], memory)),
      request_(scene.capacity.RowOf(need.request)),
      column_(scene.capacity.ColumnOf(CountedBy(*group.spec))) {
  for (const Resources& shape : group.shapes) {
    when_free_.push_back(AcceleratorsIn(*group.spec, shape));
  }
  slots_ = SlotsNow();
}

std::vector<Slot> Vacancies::SlotsNow() const {
  if (settling_ == Settling::kStarting) {
    return scene_.offers.RoomFor(group_, ground_, own_, need_).slots;
  }
  return ground_->shared ? SettledSlots() : SlotsOneByOne();
}

// What is free for anybody is known already; the gang's own nodes have more for it.
std::vector<Slot> Vacancies::SettledSlots() const {
  const std::vector<size_t> own = scene_.capacity.NodesOf(own_);
  auto next_own = own.begin();
  std::vector<Slot> slots;
  Row free;
  for (const Offer::Place& place : scene_.offers.OfferFor(group_, ground_, need_.request).places) {
    while (next_own != own.end() && *next_own < place.slot.node) ++next_own;
    const bool is_own = next_own != own.end() && *next_own == place.slot.node;
    if (!is_own && place.slot.workers < 1) continue;  // as most are
    Slot slot = is_own ? SlotOf(place.slot.node, {}, free) : place.slot;
    slot.workers = std::min<int64_t>(slot.workers, need_.workers);
    if (slot.workers > 0) slots.push_back(slot);
  }
  return slots;
}

std::vector<Slot> Vacancies::SlotsOneByOne() const {
  std::vector<Slot> slots;
  Row free;
  for (const size_t node : ground_->nodes) {
    const Slot slot = SlotOf(node, {}, free);
    if (slot.workers > 0) slots.push_back(slot);
  }
  return slots;
}

Slot Vacancies::SlotOf(size_t node, std::span<const size_t> gone, Row& free) const {
  const Asked asked{.own = own_, .workers = need_.workers, .request = request_, .column = column_};
  return SlotWithoutThem(scene_.capacity, *group_.spec, asked, node,
                         when_free_[group_.Find(node)->shape], gone, settling_, free);
}

std::vector<Slot> Vacancies::SlotsWithout(const std::vector<size_t>& gone,
                                          const std::vector<size_t>& kept) const {
  std::vector<Leaving> leaving;
  for (const size_t pool : gone) scene_.capacity.AddNodesOf(pool, leaving);
  if (!kept.empty()) {
    std::erase_if(leaving,
                  [&](const Leaving& one) { return std::ranges::binary_search(kept, one.first); });
  }
  std::sort(leaving.begin(), leaving.end());
  std::vector<Slot> slots;
  slots.reserve(slots_.size() + leaving.size());
  auto now = slots_.begin();
  std::vector<size_t> pools;
  Row free;
  for (size_t i = 0; i < leaving.size();) {
    const size_t node = leaving[i].first;
    pools.clear();
    for (; i < leaving.size() && leaving[i].first == node; ++i) pools.push_back(leaving[i].second);
    if (!std::ranges::binary_search(ground_->nodes, node)) continue;
    for (; now != slots_.end() && now->node < node; ++now) slots.push_back(*now);
    if (now != slots_.end() && now->node == node) ++now;
    const Slot then = SlotOf(node, pools, free);
    if (then.workers > 0) slots.push_back(then);
  }
  slots.insert(slots.end(), now, slots_.end());
  return slots;
}

std::optional<Fit> Vacancies::FitOn(const std::vector<Slot>& slots) const {
  if (WorkersIn(slots) < need_.workers) return std::nullopt;
  auto fit = FitGang(scene_.world, topology_, slots, need_.workers);
  if (fit && fit->nodes.size() > kMostNodes) return std::nullopt;
  return fit;
}

std::optional<Fit> Vacancies::FitWithout(const std::vector<size_t>& gone) const {
  return FitOn(SlotsWithout(gone));
}

std::optional<Fit> Vacancies::FitWithout(const std::vector<size_t>& gone,
                                         const std::vector<size_t>& kept) const {
  return FitOn(SlotsWithout(gone, kept));
}

int64_t Vacancies::WorkersOn(size_t node, const std::vector<size_t>& gone) const {
  Row free;
  return std::ranges::binary_search(ground_->nodes, node) ? SlotOf(node, gone, free).workers : 0;
}

// Nodes are looked at only until it is enough, so that they come out of a heap and not in order.
bool Vacancies::HasRoomAnywhere(const std::vector<size_t>& gone) const {
  std::vector<Leaving> leaving;
  for (const size_t pool : gone) scene_.capacity.AddNodesOf(pool, leaving);
  int64_t room = WorkersIn(slots_) - WorkersNow(leaving);
  std::make_heap(leaving.begin(), leaving.end(), std::greater<>());
  std::vector<size_t> pools;
  Row free;
  while (room < need_.workers && !leaving.empty()) {
    const size_t node = leaving.front().first;
    pools.clear();
    while (!leaving.empty() && leaving.front().first == node) {
      pools.push_back(leaving.front().second);
      std::pop_heap(leaving.begin(), leaving.end(), std::greater<>());
      leaving.pop_back();
    }
    if (!std::ranges::binary_search(ground_->nodes, node)) continue;
    room += SlotOf(node, pools, free).workers;
  }
  return room >= need_.workers;
}

// Workers that fit now on nodes which somebody leaves.
int64_t Vacancies::WorkersNow(const std::vector<Leaving>& leaving) const {
  if (slots_.empty()) return 0;
  std::vector<bool> counted(slots_.size());
  int64_t workers = 0;
  for (const auto& [node, pool] : leaving) {
    const auto at = std::ranges::lower_bound(slots_, node, {}, &Slot::node);
    const auto i = static_cast<size_t>(at - slots_.begin());
    if (at == slots_.end() || at->node != node || counted[i]) continue;
    counted[i] = true;
    workers += at->workers;
  }
  return workers;
}

bool Vacancies::HasRoomWithout(const std::vector<size_t>& gone) const {
  // A gang that may have any nodes has no more of them than workers.
  const bool anywhere = topology_.mode != TopologyMode::kRequired;
  if (anywhere && need_.workers <= static_cast<int>(kMostNodes)) return HasRoomAnywhere(gone);
  const std::vector<Slot> slots = SlotsWithout(gone);
  if (anywhere && slots.size() <= kMostNodes) {
    return WorkersIn(slots) >= need_.workers;
  }
  return FitOn(slots).has_value();
}

}  // namespace spillway::placement
