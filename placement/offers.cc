#include "placement/offers.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "placement/constraints.h"

namespace spillway::placement {
namespace {

bool AsksAlike(const TrainingPool& left, const TrainingPool& right) {
  return left.tolerations == right.tolerations && left.node_terms == right.node_terms;
}

void CountDomains(const World& world, const GroupView& group, Ground& ground) {
  for (const std::string& label : group.spec->domain_labels) {
    const Domains& domains = world.DomainsOf(label);
    std::map<uint32_t, ShapeCounts> counts;
    for (size_t i = 0; i < ground.nodes.size(); ++i) {
      const uint32_t domain = domains.of[ground.nodes[i]];
      if (domain == kNoDomain) continue;
      ShapeCounts& shapes = counts[domain];
      shapes.resize(group.shapes.size());
      ++shapes[ground.shape[i]];
    }
    std::vector<DomainShapes>& list = ground.domains[label];
    for (auto& [domain, shapes] : counts) {
      list.push_back({.domain = domain, .shapes = std::move(shapes)});
    }
  }
}

void Allow(const Member& member, Ground& ground) {
  ground.nodes.push_back(member.node);
  ground.shape.push_back(member.shape);
  ++ground.allowed[member.shape];
}

// Says whether the constraints let the pool use the node, and if not, why.
bool MayUse(const World& world, const GroupView& group, const TrainingPool& pool,
            const PoolMemory& memory, const Node& node, LeftOut& left_out) {
  if (!TermsHold(pool, node)) {
    left_out.Terms();
  } else if (const Taint* taint = Repelling(pool, *group.spec, node)) {
    left_out.Taint(*taint);
  } else if (const auto* excluded = FindExcluded(memory, node.id.name, world.now)) {
    left_out.Excluded(*excluded);
  } else {
    return true;
  }
  return false;
}

Ground GroundOf(const World& world, const GroupView& group, const TrainingPool& pool,
                const PoolMemory& memory) {
  Ground ground;
  ground.shared = memory.excluded.empty();  // nobody else leaves out the same nodes
  for (ShapeCounts* counts : {&ground.all, &ground.usable, &ground.own, &ground.allowed}) {
    counts->resize(group.shapes.size());
  }
  LeftOut left_out;
  for (const Member& member : group.members) {
    ++ground.all[member.shape];
    if (member.state != NodeState::kUsable) {
      if (member.state != NodeState::kLost) ground.unusable.push_back(member.node);
      continue;
    }
    ++ground.usable[member.shape];
    if (member.overlapped) continue;
    ++ground.own[member.shape];
    if (MayUse(world, group, pool, memory, *world.nodes[member.node], left_out)) {
      Allow(member, ground);
    }
  }
  ground.left_out = left_out.Sentence();
  ground.let_in = left_out.Remedy();
  CountDomains(world, group, ground);
  return ground;
}

// How many of the workers of a gang of so many may count on the place.
int64_t Fitting(const Offer::Place& place, int64_t workers) {
  if (place.slot.workers >= workers) return workers;
  return place.contested ? 0 : place.slot.workers;
}

// Of two nodes where no worker fits, the first with the most free.
void Keep(std::optional<Slot>& piece, const Slot& slot) {
  const auto better = [&] {
    return slot.free > piece->free || (slot.free == piece->free && slot.node < piece->node);
  };
  if (!piece || better()) piece = slot;
}

void FindPiece(Offer& offer) {
  offer.piece.reset();
  for (const Offer::Place& place : offer.places) {
    if (place.slot.workers == 0) Keep(offer.piece, place.slot);
  }
}

// The same of a pool whose own nodes are not looked at.
std::optional<Slot> PieceBeside(const std::vector<size_t>& own, const Offer& offer,
                                const Need& need) {
  std::optional<Slot> piece;
  for (const Offer::Place& place : offer.places) {
    const bool is_own = std::ranges::binary_search(own, place.slot.node);
    if (!is_own && Fitting(place, need.workers) == 0) Keep(piece, place.slot);
  }
  return piece;
}

// Puts the slot in its place; none stands there for a node on which nothing fits.
void Put(std::vector<Slot>& slots, const Slot& slot) {
  const auto at = std::ranges::lower_bound(slots, slot.node, {}, &Slot::node);
  const bool found = at != slots.end() && at->node == slot.node;
  if (found && slot.workers > 0) {
    *at = slot;
  } else if (found) {
    slots.erase(at);
  } else if (slot.workers > 0) {
    slots.insert(at, slot);
  }
}

}  // namespace

int64_t WorkersIn(const ShapeCounts& shapes, const std::vector<int64_t>& each) {
  return std::inner_product(shapes.begin(), shapes.end(), each.begin(), int64_t{0});
}

Ground HealthyGroundOf(const World& world, const GroupView& group, const TrainingPool& pool) {
  Ground ground;
  ground.allowed.resize(group.shapes.size());
  for (const Member& member : group.members) {
    if (CouldServe(pool, *group.spec, *world.nodes[member.node])) Allow(member, ground);
  }
  CountDomains(world, group, ground);
  return ground;
}

Offers::Offers(const World& world, const Capacity& capacity, size_t most_nodes)
    : world_(world), capacity_(capacity), groups_(world.groups.size()), most_nodes_(most_nodes) {}

void Offers::MakeRoomFor(size_t nodes) {
  if (held_ + nodes > most_nodes_) {
    groups_.assign(groups_.size(), {});
    held_ = 0;
  }
  held_ += nodes;
}

std::shared_ptr<const Ground> Offers::GroundFor(const GroupView& group, const TrainingPool& pool,
                                                const PoolMemory& memory) {
  if (!memory.excluded.empty()) {
    return std::make_shared<const Ground>(GroundOf(world_, group, pool, memory));
  }
  for (const Known& known : groups_[world_.IndexOf(group)].grounds) {
    if (AsksAlike(*known.like, pool)) return known.ground;
  }
  MakeRoomFor(group.members.size());
  auto ground = std::make_shared<const Ground>(GroundOf(world_, group, pool, memory));
  groups_[world_.IndexOf(group)].grounds.push_back({.like = &pool, .ground = ground});
  return ground;
}

std::shared_ptr<const Ground> Offers::HealthyGroundFor(const GroupView& group,
                                                       const TrainingPool& pool) {
  for (const Known& known : groups_[world_.IndexOf(group)].healthy) {
    if (AsksAlike(*known.like, pool)) return known.ground;
  }
  MakeRoomFor(group.members.size());
  auto ground = std::make_shared<const Ground>(HealthyGroundOf(world_, group, pool));
  groups_[world_.IndexOf(group)].healthy.push_back({.like = &pool, .ground = ground});
  return ground;
}

Offer::Place Offers::PlaceOn(const GroupView& group, const KnownOffer& known, size_t index) const {
  const size_t node = known.ground->nodes[index];
  const Capacity::Count count = capacity_.CountOn(node, known.row);
  Offer::Place place{.slot = {.node = node, .workers = count.fit}, .contested = count.contested};
  place.slot.free = Accelerators(*group.spec, capacity_.FreeIn(known.column, node));
  place.slot.whole = place.slot.free == known.when_free[known.ground->shape[index]];
  return place;
}

Offers::KnownOffer Offers::MakeOffer(const GroupView& group, std::shared_ptr<const Ground> ground,
                                     const Resources& request) const {
  KnownOffer known{.ground = std::move(ground),
                   .request = request,
                   .row = capacity_.RowOf(request),
                   .column = capacity_.ColumnOf(CountedBy(*group.spec)),
                   .when_free = {},
                   .seen = capacity_.Changes(),
                   .offer = {}};
  for (const Resources& shape : group.shapes) {
    known.when_free.push_back(AcceleratorsIn(*group.spec, shape));
  }
  known.offer.places.reserve(known.ground->nodes.size());
  for (size_t i = 0; i < known.ground->nodes.size(); ++i) {
    const Offer::Place& place = known.offer.places.emplace_back(PlaceOn(group, known, i));
    known.offer.free += place.slot.free;
    if (place.slot.workers > 0) known.offer.open.push_back(i);
  }
  FindPiece(known.offer);
  return known;
}

void Offers::Update(const GroupView& group, KnownOffer& known) const {
  const Ground& ground = *known.ground;
  Offer& offer = known.offer;
  bool reopened = false;
  for (size_t i = 0; i < ground.nodes.size(); ++i) {
    if (capacity_.ChangedAt(ground.nodes[i]) <= known.seen) continue;
    const Offer::Place place = PlaceOn(group, known, i);
    offer.free += place.slot.free - offer.places[i].slot.free;
    reopened = reopened || (place.slot.workers > 0 && offer.places[i].slot.workers == 0);
    offer.places[i] = place;
  }
  if (reopened) {
    offer.open.resize(offer.places.size());
    std::iota(offer.open.begin(), offer.open.end(), size_t{0});
  }
  std::erase_if(offer.open, [&](size_t i) { return offer.places[i].slot.workers == 0; });
  FindPiece(offer);
}

const Offer& Offers::OfferFor(const GroupView& group, const std::shared_ptr<const Ground>& ground,
                              const Resources& request) {
  std::vector<KnownOffer>& offers = groups_[world_.IndexOf(group)].offers;
  const auto at = std::find_if(offers.begin(), offers.end(), [&](const KnownOffer& known) {
    return known.ground == ground && known.request == request;
  });
  if (at == offers.end()) {
    MakeRoomFor(ground->nodes.size());
    return offers.emplace_back(MakeOffer(group, ground, request)).offer;
  }
  if (capacity_.GroupChangedAt(world_.IndexOf(group)) > at->seen) {
    Update(group, *at);
    at->seen = capacity_.Changes();
  }
  return at->offer;
}

Room Offers::RoomIn(const GroupView& group, const Ground& ground, const Offer& offer, size_t pool,
                    const Need& need) const {
  Room room{.slots = {}, .free = offer.free, .piece = offer.piece};
  room.slots.reserve(offer.open.size());
  for (const size_t i : offer.open) {
    Slot slot = offer.places[i].slot;
    slot.workers = Fitting(offer.places[i], need.workers);
    if (slot.workers > 0) {
      room.slots.push_back(slot);
    } else {
      Keep(room.piece, slot);
    }
  }
  const std::vector<size_t> own = capacity_.NodesOf(pool);
  if (room.piece && std::ranges::binary_search(own, room.piece->node)) {
    room.piece = PieceBeside(own, offer, need);
  }
  for (const size_t node : own) {
    const auto at = std::ranges::lower_bound(ground.nodes, node);
    if (at == ground.nodes.end() || *at != node) continue;
    const auto i = static_cast<size_t>(at - ground.nodes.begin());
    const Slot slot = SlotOn(world_, capacity_, pool, group, node, need);
    room.free += slot.free - offer.places[i].slot.free;
    Put(room.slots, slot);
    if (slot.workers == 0) Keep(room.piece, slot);
  }
  return room;
}

Room Offers::RoomFor(const GroupView& group, const std::shared_ptr<const Ground>& ground,
                     size_t pool, const Need& need) {
  if (!ground->shared) {
    return RoomIn(group, *ground, MakeOffer(group, ground, need.request).offer, pool, need);
  }
  return RoomIn(group, *ground, OfferFor(group, ground, need.request), pool, need);
}

Slot SlotOn(const World& world, const Capacity& capacity, size_t pool, const GroupView& group,
            size_t node, const Need& need) {
  const NodeGroup& spec = *group.spec;
  Slot slot{.node = node};
  slot.workers = capacity.Fits(pool, node, capacity.RowOf(need.request), need.workers);
  slot.free = Accelerators(spec, capacity.FreeFor(pool, node, CountedBy(spec)));
  slot.whole = slot.free == AcceleratorsIn(spec, world.nodes[node]->allocatable);
  return slot;
}

}  // namespace spillway::placement
