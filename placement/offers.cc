#include "placement/offers.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "placement/choice.h"
#include "placement/constraints.h"

namespace spillway::placement {
namespace {

void CountDomains(const World& world, const GroupView& group, Ground& ground) {
  for (const std::string& label : group.spec->domain_labels) {
    const Domains& domains = world.DomainsOf(label);
    std::map<uint32_t, DomainShapes> counts;
    DomainShapes* last = nullptr;  // neighbours are mostly in the same
    for (size_t i = 0; i < ground.nodes.size(); ++i) {
      const uint32_t domain = domains.of[ground.nodes[i]];
      if (domain == kNoDomain) continue;
      if (last == nullptr || last->domain != domain) {
        last = &counts[domain];
        last->domain = domain;
        last->shapes.resize(group.shapes.size());
      }
      ++last->shapes[ground.shape[i]];
      last->places.push_back(i);
    }
    std::vector<DomainShapes>& list = ground.domains[label];
    for (auto& [domain, one] : counts) list.push_back(std::move(one));
  }
}

void Allow(const Member& member, Ground& ground) {
  ground.nodes.push_back(member.node);
  ground.shape.push_back(member.shape);
  ++ground.allowed[member.shape];
}

// What repels a pool from the nodes of a group.
class Repellent {
 public:
  // Both outlive this.
  Repellent(const TrainingPool& pool, const NodeGroup& group) : pool_(pool), group_(group) {}

  // As Repelling has it. Neighbours mostly have the same taints.
  const Taint* On(const Node& node) {
    if (last_ == nullptr || last_->taints != node.taints) {
      taint_ = Repelling(pool_, group_, node);
      alone_ = taint_ != nullptr && !SeveralRepel(pool_, group_, node);
    }
    last_ = &node;
    return taint_;
  }
  // Does no other taint of that node?
  [[nodiscard]] bool IsAlone() const { return alone_; }

 private:
  const TrainingPool& pool_;
  const NodeGroup& group_;
  const Node* last_ = nullptr;
  const Taint* taint_ = nullptr;  // of the last, or of one before with the same taints
  bool alone_ = false;            // likewise
};

// Says whether the constraints let the pool use the node, and if not, why.
bool MayUse(const World& world, const TrainingPool& pool, const PoolMemory& memory,
            const Member& member, Repellent& repellent, LeftOut& left_out) {
  const Node& node = *world.nodes[member.node];
  const Taint* taint = repellent.On(node);
  const ExcludedNode* excluded = FindExcluded(memory, node.id.name, world.now);
  if (!TermsHold(pool, node)) {
    left_out.Terms(member.shape, taint == nullptr && excluded == nullptr);
  } else if (taint != nullptr) {
    left_out.Taint(*taint, member.shape, repellent.IsAlone() && excluded == nullptr);
  } else if (excluded != nullptr) {
    left_out.Excluded(*excluded, member.shape);
  } else {
    return true;
  }
  return false;
}

// Which nodes of a group are taken to be usable.
enum class Health {
  kNow,       // those that are
  kOnceBack,  // and those that will be if they are ready again within their grace
};

// Would it be usable if it were ready?
bool IsUsableOnceBack(const GroupView& group, const Member& member, const Node& node, Time now) {
  if (member.state != NodeState::kNotReady) return false;
  Node ready = node;
  ready.ready = true;
  ready.not_ready_since.reset();
  return StandingOf(*group.spec, ready, now).state == NodeState::kUsable;
}

Ground GroundOf(const World& world, const GroupView& group, const TrainingPool& pool,
                const PoolMemory& memory, Health health) {
  Ground ground;
  ground.shared = memory.excluded.empty();  // nobody else leaves out the same nodes
  for (ShapeCounts* counts : {&ground.all, &ground.usable, &ground.own, &ground.allowed}) {
    counts->resize(group.shapes.size());
  }
  LeftOut left_out;
  Repellent repellent(pool, *group.spec);
  for (const Member& member : group.members) {
    ++ground.all[member.shape];
    const Node& node = *world.nodes[member.node];
    const bool comes_back =
        health == Health::kOnceBack && IsUsableOnceBack(group, member, node, world.now);
    if (member.state != NodeState::kUsable && !comes_back) {
      if (member.state != NodeState::kLost) ground.unusable.push_back(member.node);
      continue;
    }
    ++ground.usable[member.shape];
    if (member.overlapped) continue;
    ++ground.own[member.shape];
    // The taints that tell that it is NotReady go when it is back.
    const bool may_use = comes_back ? CouldServe(pool, *group.spec, node) &&
                                          !IsExcluded(memory, node.id.name, world.now)
                                    : MayUse(world, pool, memory, member, repellent, left_out);
    if (may_use) Allow(member, ground);
  }
  ground.left_out = std::move(left_out);
  CountDomains(world, group, ground);
  return ground;
}

// Of one offer, as each is brought up to date with every node that changes: gangs of yet another
// size look at every slot.
constexpr size_t kMostLevels = 32;

int64_t Bounded(const Offer::Place& place) { return std::min(place.slot.workers, kManyReplicas); }

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

void MakeLists(Offer& offer) {
  offer.open.clear();
  offer.piece.reset();
  for (size_t i = 0; i < offer.places.size(); ++i) {
    const Slot& slot = offer.places[i].slot;
    if (slot.workers > 0) {
      offer.open.push_back(i);
    } else {
      Keep(offer.piece, slot);
    }
  }
}

// Where the domain is in the list. REQUIRES that it is.
size_t PlaceIn(const std::vector<DomainShapes>& list, uint32_t domain) {
  const auto at = std::ranges::lower_bound(list, domain, {}, &DomainShapes::domain);
  return static_cast<size_t>(at - list.begin());
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

// The nodes of a group that could serve the pool, whatever their health: `nodes`, `allowed` and
// `domains` of a ground.
Ground HealthyGroundOf(const World& world, const GroupView& group, const TrainingPool& pool) {
  Ground ground;
  ground.allowed.resize(group.shapes.size());
  for (const Member& member : group.members) {
    if (CouldServe(pool, *group.spec, *world.nodes[member.node])) Allow(member, ground);
  }
  CountDomains(world, group, ground);
  return ground;
}

}  // namespace

int64_t WorkersIn(const ShapeCounts& shapes, const std::vector<int64_t>& each) {
  return std::inner_product(shapes.begin(), shapes.end(), each.begin(), int64_t{0});
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

template <class Make>
std::shared_ptr<const Ground> Offers::Find(std::vector<Known>& grounds, const GroupView& group,
                                           const TrainingPool& pool, const Make& make) {
  for (const Known& known : grounds) {
    if (AsksAlike(*known.like, pool)) return known.ground;
  }
  MakeRoomFor(group.members.size());
  auto ground = std::make_shared<const Ground>(make());
  grounds.push_back({.like = &pool, .ground = ground});
  return ground;
}

std::shared_ptr<const Ground> Offers::GroundFor(const GroupView& group, const TrainingPool& pool,
                                                const PoolMemory& memory) {
  const auto make = [&] { return GroundOf(world_, group, pool, memory, Health::kNow); };
  if (!memory.excluded.empty()) return std::make_shared<const Ground>(make());
  return Find(groups_[world_.IndexOf(group)].grounds, group, pool, make);
}

std::shared_ptr<const Ground> Offers::GroundOnceBack(const GroupView& group,
                                                     const TrainingPool& pool,
                                                     const PoolMemory& memory) {
  if (!group.by_state.contains(NodeState::kNotReady)) return GroundFor(group, pool, memory);
  const auto make = [&] { return GroundOf(world_, group, pool, memory, Health::kOnceBack); };
  if (!memory.excluded.empty()) return std::make_shared<const Ground>(make());
  return Find(groups_[world_.IndexOf(group)].once_back, group, pool, make);
}

std::shared_ptr<const Ground> Offers::HealthyGroundFor(const GroupView& group,
                                                       const TrainingPool& pool) {
  return Find(groups_[world_.IndexOf(group)].healthy, group, pool,
              [&] { return HealthyGroundOf(world_, group, pool); });
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
                   .contested = {},
                   .levels = {},
                   .in_order = {},
                   .offer = {}};
  for (const Resources& shape : group.shapes) {
    known.when_free.push_back(AcceleratorsIn(*group.spec, shape));
  }
  known.offer.places.reserve(known.ground->nodes.size());
  for (size_t i = 0; i < known.ground->nodes.size(); ++i) {
    const Offer::Place& place = known.offer.places.emplace_back(PlaceOn(group, known, i));
    known.offer.free += place.slot.free;
    known.offer.workers += Bounded(place);
    known.most = std::max(known.most, place.slot.workers);
    if (place.contested && place.slot.workers > 0) known.contested.insert(i);
  }
  return known;
}

void Offers::LookAgain(const GroupView& group, KnownOffer& known, size_t index) const {
  Offer::Place& place = known.offer.places[index];
  const Offer::Place now = PlaceOn(group, known, index);
  // Mostly a full node: what changed there is less than a worker's, and of no accelerators.
  if (now == place) return;
  for (auto& [key, level] : known.levels) {
    const uint32_t domain = level.domains->of[place.slot.node];
    const int64_t more = level.On(now) - level.On(place);
    if (domain != kNoDomain && more != 0) level.workers[PlaceIn(*level.list, domain)] += more;
  }
  known.contested.erase(index);
  if (now.contested && now.slot.workers > 0) known.contested.insert(index);
  known.most = std::max(known.most, now.slot.workers);
  known.offer.free += now.slot.free - place.slot.free;
  known.offer.workers += Bounded(now) - Bounded(place);
  known.listed = false;
  if (known.in_order) PutInOrder(*known.in_order, index, place.slot, now.slot);
  place = now;
}

void Offers::PutInOrder(std::vector<InOrder>& order, size_t place, const Slot& before,
                        const Slot& now) {
  const InOrder old{.whole = before.whole, .free = before.free, .place = place};
  const InOrder next{.whole = now.whole, .free = now.free, .place = place};
  if (old == next && (before.workers > 0) == (now.workers > 0)) return;
  if (before.workers > 0) order.erase(std::ranges::lower_bound(order, old));
  if (now.workers > 0) order.insert(std::ranges::lower_bound(order, next), next);
}

void Offers::Update(const GroupView& group, KnownOffer& known) const {
  const std::vector<size_t>& nodes = known.ground->nodes;
  const auto changed = capacity_.ChangedSince(known.seen);
  known.seen = capacity_.Changes();
  if (changed.size() > nodes.size()) {
    known.in_order.reset();  // sorted anew, if asked for, which costs less than place by place
    for (size_t i = 0; i < nodes.size(); ++i) LookAgain(group, known, i);
    return;
  }
  if (nodes.empty()) return;
  for (const size_t node : changed) {
    if (node < nodes.front() || node > nodes.back()) continue;  // most are of other groups
    const auto at = std::ranges::lower_bound(nodes, node);
    if (at == nodes.end() || *at != node) continue;
    LookAgain(group, known, static_cast<size_t>(at - nodes.begin()));
  }
}

Offers::KnownOffer& Offers::KnownFor(const GroupView& group,
                                     const std::shared_ptr<const Ground>& ground,
                                     const Resources& request) {
  std::vector<KnownOffer>& offers = groups_[world_.IndexOf(group)].offers;
  const auto at = std::find_if(offers.begin(), offers.end(), [&](const KnownOffer& known) {
    return known.ground == ground && known.request == request;
  });
  if (at == offers.end()) {
    MakeRoomFor(ground->nodes.size());
    return offers.emplace_back(MakeOffer(group, ground, request));
  }
  Update(group, *at);
  return *at;
}

int64_t Offers::Level::On(const Offer::Place& place) const {
  return place.contested ? 0 : std::min(place.slot.workers, most);
}

const Offers::Level& Offers::LevelOf(KnownOffer& known, const std::string& label,
                                     int64_t most) const {
  const auto [at, added] = known.levels.try_emplace({label, most});
  Level& level = at->second;
  if (!added) return level;
  level.domains = &world_.DomainsOf(label);
  level.list = &known.ground->domains.at(label);
  level.most = most;
  for (const DomainShapes& one : *level.list) {
    int64_t& workers = level.workers.emplace_back(0);
    for (const size_t i : one.places) workers += level.On(known.offer.places[i]);
  }
  return level;
}

std::optional<Offers::Answer> Offers::QuickFit(const GroupView& group,
                                               const std::shared_ptr<const Ground>& ground,
                                               size_t pool, const Need& need,
                                               const Topology& topology) {
  const auto is_of_ground = [&](size_t node) {
    return std::ranges::binary_search(ground->nodes, node);
  };
  if (!ground->shared || std::ranges::any_of(capacity_.HeldBy(pool), is_of_ground)) {
    return std::nullopt;
  }
  KnownOffer& known = KnownFor(group, ground, need.request);
  if (!topology.levels.empty()) {
    const bool small = need.workers < known.most;
    if (small && known.levels.size() >= kMostLevels &&
        !known.levels.contains({topology.levels.front(), need.workers})) {
      return std::nullopt;
    }
    if (auto fit = FitInDomain(known, need, topology)) return Answer{.fit = std::move(fit)};
  }
  if (topology.mode == TopologyMode::kRequired) return Answer{};
  return Answer{.fit = FitAnywhere(known, need, topology)};
}

const std::vector<Offers::InOrder>& Offers::OrderOf(KnownOffer& known) {
  if (known.in_order) return *known.in_order;
  std::vector<InOrder>& order = known.in_order.emplace();
  for (size_t i = 0; i < known.offer.places.size(); ++i) {
    const Slot& slot = known.offer.places[i].slot;
    if (slot.workers > 0) order.push_back({.whole = slot.whole, .free = slot.free, .place = i});
  }
  std::ranges::sort(order);
  return order;
}

int64_t Offers::RoomAnywhere(KnownOffer& known, int workers) {
  const std::vector<InOrder>& order = OrderOf(known);
  if (workers == 1) return std::ssize(order);
  // No place has more than count.
  if (known.contested.empty() && known.most <= std::min<int64_t>(workers, kManyReplicas)) {
    return known.offer.workers;
  }
  int64_t room = 0;
  for (const InOrder& next : order) room += Fitting(known.offer.places[next.place], workers);
  return room;
}

std::optional<Fit> Offers::FitAnywhere(KnownOffer& known, const Need& need,
                                       const Topology& topology) const {
  const int64_t room = RoomAnywhere(known, need.workers);
  if (room < need.workers) return std::nullopt;
  Choice choice(need.workers);
  for (const InOrder& next : OrderOf(known)) {
    if (choice.Room() >= need.workers) break;  // those that come later are not taken
    Slot slot = known.offer.places[next.place].slot;
    slot.workers = Fitting(known.offer.places[next.place], need.workers);
    choice.Show(slot);
  }
  Fit fit{.workers = need.workers,
          .nodes = choice.Nodes(),
          .domain = {},
          .left_over = room - need.workers};
  fit.domain = SharedDomain(world_, topology.group_levels, fit.nodes);
  return fit;
}

std::optional<Fit> Offers::FitInDomain(KnownOffer& known, const Need& need,
                                       const Topology& topology) const {
  const bool required = topology.mode == TopologyMode::kRequired;
  const size_t levels = required ? 1 : topology.levels.size();
  const int64_t most = need.workers < known.most ? need.workers : kManyReplicas;
  for (size_t l = 0; l < levels; ++l) {
    const Level& level = LevelOf(known, topology.levels[l], most);
    const auto tightest = Tightest(known, level, need.workers);
    if (!tightest) continue;
    const DomainShapes& one = (*level.list)[*tightest];
    std::vector<Slot> slots;
    for (const size_t i : one.places) {
      Slot slot = known.offer.places[i].slot;
      slot.workers = Fitting(known.offer.places[i], need.workers);
      if (slot.workers > 0) slots.push_back(slot);
    }
    return FitInside(*level.domains, one.domain, slots, need.workers);
  }
  return std::nullopt;
}

std::optional<size_t> Offers::Tightest(const KnownOffer& known, const Level& level, int workers) {
  std::map<size_t, int64_t> more;  // what contested places have for so many, by domain
  for (const size_t i : known.contested) {
    const Offer::Place& place = known.offer.places[i];
    const uint32_t domain = level.domains->of[place.slot.node];
    if (domain != kNoDomain) more[PlaceIn(*level.list, domain)] += Fitting(place, workers);
  }
  std::optional<size_t> best;
  int64_t least = 0;
  for (size_t d = 0; d < level.workers.size(); ++d) {
    const auto contested = more.find(d);
    const int64_t sum = level.workers[d] + (contested == more.end() ? 0 : contested->second);
    if (sum < workers || (best && sum >= least)) continue;
    best = d;
    least = sum;
  }
  return best;
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
    Offer offer = MakeOffer(group, ground, need.request).offer;
    MakeLists(offer);
    return RoomIn(group, *ground, offer, pool, need);
  }
  KnownOffer& known = KnownFor(group, ground, need.request);
  if (!known.listed) MakeLists(known.offer);
  known.listed = true;
  return RoomIn(group, *ground, known.offer, pool, need);
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
