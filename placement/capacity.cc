#include "placement/capacity.h"

#include <algorithm>
#include <limits>

namespace spillway::placement {
namespace {

// The same type may have another group's name by now: what a worker needs is then the same.
const NodeGroup* GroupOrOneLikeIt(const World& world, const TrainingPool& pool,
                                  const Placement& placement) {
  if (const GroupView* view = world.GroupOf(pool, placement)) return view->spec;
  for (const GroupView& view : world.groups) {
    if (view.spec->accelerator == placement.accelerator) return view.spec;
  }
  return nullptr;
}

std::vector<size_t> Indices(const World& world, const std::string& cluster,
                            const std::vector<std::string>& names) {
  std::vector<size_t> nodes;
  nodes.reserve(names.size());
  NodeFinder finder(world, cluster);
  for (const std::string& name : names) {
    if (const auto node = finder.Find(name)) nodes.push_back(*node);
  }
  return nodes;
}

std::vector<size_t> NodesOf(const World& world, const TrainingPool& pool,
                            const Placement& placement) {
  if (const GangFacts* facts = world.book.Find(pool, placement)) {
    const auto known = world.book.Nodes(*facts);
    return {known.begin(), known.end()};
  }
  return Indices(world, placement.cluster, placement.nodes);
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

// Pods of the attempt say themselves what they ask for, whatever the spec says by now.
Resources RequestOfPods(const World& world, const TrainingPool& pool, int attempt) {
  if (const GangFacts* facts = world.book.Find(pool, attempt)) return facts->requests;
  Resources request;
  for (const Worker& worker : pool.workers) {
    if (worker.attempt == attempt && worker.requests != request) request.MaxWith(worker.requests);
  }
  return request;
}

// Of each of the pool's pods, in their order: kNowhere where it is not bound to a known node.
std::vector<size_t> NodesOfPods(const World& world, size_t pool) {
  const TrainingPool& spec = *world.pools[pool];
  if (const GangFacts* facts = world.book.Find(spec)) {
    const auto known = world.book.Pods(*facts);
    return {known.begin(), known.end()};
  }
  std::vector<size_t> nodes;
  nodes.reserve(spec.workers.size());
  NodeFinder finder(world, ClusterOf(world, pool));
  for (const Worker& worker : spec.workers) {
    nodes.push_back(finder.FindOfPod(worker.node).value_or(kNowhere));
  }
  return nodes;
}

// How many nodes have pods of pools, each counted for every pool, more or less.
size_t SharesOfPods(const World& world) {
  size_t shares = 0;
  for (size_t p = 0; p < world.gangs; ++p) {
    const GangFacts* facts = world.book.Find(*world.pools[p]);
    if (facts != nullptr) shares += facts->bound.size;
  }
  return shares;
}

bool KnowsRequest(const TrainingPool& pool) {
  return !pool.template_unchecked && pool.template_invalid.empty();
}

__extension__ using Wide = __int128;  // both our compilers have it

// Is there as much as `most` take, however many of them fit?
bool Covers(std::span<const int64_t> amounts, const Row& request, int64_t most) {
  most = std::max<int64_t>(most, 0);
  for (size_t i = 0; i < request.size(); ++i) {
    if (request[i] < 0 || amounts[i] < Wide{request[i]} * most) return false;
  }
  return true;
}

// How many of the request fit, `most` at the most; `room`: what there is in a column.
int64_t FitIn(const Row& request, int64_t most, const auto& room) {
  for (size_t i = 0; i < request.size(); ++i) {
    if (request[i] < 1) continue;
    const Wide left = std::clamp<Wide>(room(i), 0, std::numeric_limits<int64_t>::max());
    most = std::min(most, static_cast<int64_t>(left) / request[i]);
  }
  return std::max<int64_t>(most, 0);
}

// Rows of many amounts, most quickly where these are the same many times in a row.
class RowMaker {
 public:
  explicit RowMaker(const Columns& columns) : columns_(columns) {}

  // Good until the next question.
  const Row& Of(const Resources& amounts) {
    if (row_.empty() || amounts != last_) {
      row_ = columns_.RowOf(amounts);
      last_ = amounts;
    }
    return row_;
  }

 private:
  const Columns& columns_;
  Resources last_;
  Row row_;
};

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

std::optional<size_t> ChoiceIn(const TrainingPool& pool, const NodeGroup& group) {
  const auto& accepted = pool.accelerators;
  const auto at = std::ranges::find_if(accepted, [&](const AcceptedAccelerator& one) {
    return one.type == group.accelerator && one.workers > 0;
  });
  if (at == accepted.end()) return std::nullopt;
  return static_cast<size_t>(at - accepted.begin());
}

std::optional<Need> NeedIn(const TrainingPool& pool, const NodeGroup& group) {
  const auto choice = ChoiceIn(pool, group);
  if (!choice) return std::nullopt;
  const AcceptedAccelerator& accepted = pool.accelerators[*choice];
  return Need{.workers = accepted.workers,
              .least = accepted.Least(),
              .all = accepted.workers,
              .choice = *choice,
              .request = RequestIn(pool, group)};
}

int SucceededOf(const TrainingPool& pool, const Placement& placement) {
  const auto& known = pool.memory.placement;
  return known && known->attempt == placement.attempt ? pool.attempt.succeeded : 0;
}

Claim ClaimOf(const World& world, const TrainingPool& pool, const Placement& placement) {
  const NodeGroup* group = GroupOrOneLikeIt(world, pool, placement);
  Claim claim{.request = RequestOfPods(world, pool, placement.attempt),
              .workers = placement.workers - SucceededOf(pool, placement),
              .nodes = {},
              .bound = BoundWorkers(world, pool, placement.attempt),
              .beside = {}};
  if (group == nullptr) return claim;
  claim.nodes = NodesOf(world, pool, placement);
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
               .workers = hold.IsClaim() ? need->least : need->workers,
               .nodes = Indices(world, view->spec->cluster, hold.nodes),
               .whole = !KnowsRequest(pool),
               .yields = hold.since.has_value(),
               .gathers = hold.IsClaim(),
               .bound = {},
               .beside = {}};
}

Capacity::Capacity(const World& world)
    : world_(world),
      open_(world.nodes.size()),
      shares_(world.pools.size() + world.groups.size() + 1),
      remains_(shares_.size()),
      pledges_(world.groups.size()) {
  const Node* last = nullptr;  // neighbours are mostly alike
  for (const Node* node : world.nodes) {
    if (last == nullptr || last->allocatable != node->allocatable) columns_.Add(node->allocatable);
    if (last == nullptr || last->used != node->used) columns_.Add(node->used);
    last = node;
  }
  std::vector<int64_t> ours(world.nodes.size() * columns_.Width());
  AddPods(world, ours);
  AddRooms(world, ours);
}

// Sums up, by node, what pods of pools request.
void Capacity::AddPods(const World& world, std::vector<int64_t>& ours) {
  const size_t width = columns_.Width();
  RowMaker rows(columns_);
  // And for nodes that are given to others: to make room for these later would move all of it.
  amounts_.reserve(4 * width * (SharesOfPods(world) + world.nodes.size()));
  for (size_t p = 0; p < world.pools.size(); ++p) {
    const TrainingPool& pool = *world.pools[p];
    const GangFacts* facts = world.book.Find(pool);
    if (facts != nullptr && facts->alike && !pool.workers.empty()) {
      const Row& requests = rows.Of(pool.workers.front().requests);
      shares_[p].reserve(facts->bound.size);
      for (const auto& [node, workers] : world.book.Bound(*facts)) {
        AddPods(p, node, requests, workers, ours);
      }
    } else {
      const std::vector<size_t> nodes = NodesOfPods(world, p);
      for (size_t w = 0; w < nodes.size(); ++w) {
        const Worker& worker = pool.workers[w];
        if (!worker.ended) AddPods(p, nodes[w], rows.Of(worker.requests), 1, ours);
      }
    }
    for (const Share& share : shares_[p]) {
      std::ranges::copy(At(share.live), At(share.reserved).begin());
    }
    LookForRemains(p);
    if (world.IsSeeker(p)) RememberPods(world, p);
  }
}

void Capacity::AddPods(size_t pool, size_t node, const Row& requests, int64_t count,
                       std::vector<int64_t>& ours) {
  if (node == kNowhere) return;
  const size_t width = columns_.Width();
  AddTimes({&ours[node * width], width}, requests, count);
  AddTimes(At(ShareOf(pool, node).live), requests, count);
}

void Capacity::RememberPods(const World& world, size_t seeker) {
  first_pod_.push_back(pods_.size());
  const Resources* known = nullptr;  // they are mostly alike
  NodeFinder finder(world, ClusterOf(world, seeker));
  for (const Worker& worker : world.pools[seeker]->workers) {
    if (known == nullptr || *known != worker.requests) {
      const Row requests = columns_.RowOf(worker.requests);
      amounts_.insert(amounts_.end(), requests.begin(), requests.end());
      known = &worker.requests;
    }
    pods_.push_back({.node = finder.Find(worker.node).value_or(kNowhere),
                     .requests = amounts_.size() - columns_.Width()});
  }
}

void Capacity::AddRooms(const World& world, const std::vector<int64_t>& ours) {
  const size_t width = columns_.Width();
  physical_.resize(ours.size());
  RowMaker rows(columns_);
  RowMaker used(columns_);
  Row foreign;
  for (size_t n = 0; n < world.nodes.size(); ++n) {
    const Amounts pods{&ours[n * width], width};
    foreign = used.Of(world.nodes[n]->used);
    AddTimes(foreign, pods, -1);
    for (int64_t& amount : foreign) amount = std::max<int64_t>(amount, 0);
    const std::span<int64_t> room{&physical_[n * width], width};
    std::ranges::copy(rows.Of(world.nodes[n]->allocatable), room.begin());
    AddTimes(room, foreign, -1);
    AddTimes(room, pods, -1);
  }
  free_ = physical_;
}

void Capacity::Set(size_t pool, const Claim& claim) {
  Clear(pool);
  Add(pool, claim);
}

void Capacity::Add(size_t pool, const Claim& claim) {
  int64_t bound = 0;
  for (const NodeWorkers& here : claim.bound) bound += here.workers;
  size_t bound_here = 0;  // nodes of the claim that workers are bound to
  // It takes no more of a node than workers that fit there. Where as many are bound already, their
  // pods have all of that.
  const bool plain = !claim.whole && !claim.gathers && claim.beside.empty();
  const Row request = columns_.RowOf(claim.request);
  Row room;
  Row planned;
  for (const size_t node : claim.nodes) {
    const auto here = std::ranges::lower_bound(claim.bound, node, {}, &NodeWorkers::node);
    const bool binds = here != claim.bound.end() && here->node == node;
    const int64_t elsewhere = bound - (binds ? here->workers : 0);
    const int64_t most = claim.workers - elsewhere;
    const Share share = ShareOf(pool, node);
    if (binds && most <= here->workers && plain && Covers(At(share.reserved), request, most)) {
      StayBound(share, request, here->workers);
      ++bound_here;
      continue;
    }
    const Amounts left = claim.yields ? FreeRow(node) : PhysicalRow(node);
    room.assign(left.begin(), left.end());
    AddTimes(room, At(claim.yields ? share.reserved : share.live), 1);
    planned.assign(columns_.Width(), 0);
    if (claim.whole) {
      planned = room;
    } else {
      const auto beside = claim.beside.find(node);
      if (beside != claim.beside.end()) columns_.Fill(beside->second, planned);
      if (claim.gathers) {
        AddTimes(planned, request, most);
        for (size_t i = 0; i < planned.size(); ++i) planned[i] = std::min(planned[i], room[i]);
      } else {
        AddTimes(room, planned, -1);
        AddTimes(planned, request, HowMany(room, request, most));
      }
    }
    Stay(share, planned);
    if (binds) {
      StayBound(share, request, here->workers);
      ++bound_here;
    }
    const Amounts reserved = At(share.reserved);
    for (size_t i = 0; i < planned.size(); ++i) planned[i] = std::max(planned[i], reserved[i]);
    Reserve(share, planned);
  }
  if (bound_here < claim.bound.size()) {
    for (const auto& [node, workers] : claim.bound) {
      if (const Share* share = Find(pool, node)) StayBound(*share, request, workers);
    }
  }
  LookForRemains(pool);
}

void Capacity::Clear(size_t pool) {
  for (const Share& share : shares_[pool]) {
    Reserve(share, At(share.live));
    std::ranges::fill(At(share.stays), 0);
  }
  LookForRemains(pool);
}

void Capacity::Stay(const Share& share, Amounts amounts) {
  const std::span<int64_t> stays = At(share.stays);
  for (size_t i = 0; i < stays.size(); ++i) stays[i] = std::max(stays[i], amounts[i]);
}

void Capacity::StayBound(const Share& share, const Row& request, int64_t count) {
  const std::span<int64_t> stays = At(share.stays);
  for (size_t i = 0; i < stays.size(); ++i) stays[i] = std::max(stays[i], request[i] * count);
}

void Capacity::Keep(size_t group, size_t pool, const Row& request, int64_t most,
                    const std::vector<size_t>& nodes, const std::vector<size_t>& gone) {
  KeepNothing(group);
  for (const size_t node : nodes) {
    Row needed(columns_.Width());
    AddTimes(needed, request, HowMany(FreeWithout(pool, node, gone), request, most));
    const auto take = [&](size_t other, const Share* share) {
      Row taken(needed.size());
      if (share == nullptr) return taken;
      AddLeft(other, *share, taken);
      for (size_t i = 0; i < needed.size(); ++i) {
        taken[i] = std::clamp<int64_t>(taken[i], 0, needed[i]);
        needed[i] -= taken[i];
      }
      return taken;
    };
    take(pool, FindOwn(pool, node));
    for (const size_t other : gone) {
      if (!AreRemains(other) && other != pool) take(other, Find(other, node));
    }
    for (const size_t other : gone) {
      const size_t whose = WhoseIs(other);
      const Share* share = AreRemains(other) ? Find(whose, node) : nullptr;
      if (share == nullptr || std::ranges::find(gone, whose) != gone.end()) continue;
      AddPledge({.pool = whose, .node = node, .amounts = take(other, share)}, group);
    }
    Reserve(ShareOf(PromiseIn(group), node), needed);
  }
}

void Capacity::KeepNothing(size_t group) {
  Clear(PromiseIn(group));
  for (const Pledge& pledge : pledges_[group]) {
    AddTimes(At(Find(pledge.pool, pledge.node)->pledged), pledge.amounts, -1);
    changed_.push_back(pledge.node);
  }
  pledges_[group].clear();
}

void Capacity::AddPledge(Pledge pledge, size_t group) {
  AddTimes(At(Find(pledge.pool, pledge.node)->pledged), pledge.amounts, 1);
  changed_.push_back(pledge.node);
  pledges_[group].push_back(std::move(pledge));
}

Capacity::Share& Capacity::ShareOf(size_t pool, size_t node) {
  std::vector<Share>& shares = shares_[pool];
  const auto at = std::ranges::lower_bound(shares, node, {}, &Share::node);
  if (at != shares.end() && at->node == node) return *at;
  const size_t width = columns_.Width();
  const size_t begin = amounts_.size();
  const Share share{.node = node,
                    .live = begin,
                    .reserved = begin + width,
                    .stays = begin + 2 * width,
                    .pledged = begin + 3 * width};
  amounts_.resize(begin + 4 * width);
  return *shares.insert(at, share);
}

void Capacity::Reserve(const Share& share, Amounts amounts) {
  const std::span<int64_t> reserved = At(share.reserved);
  if (std::ranges::equal(reserved, amounts)) return;
  const std::span<int64_t> free{&free_[share.node * columns_.Width()], columns_.Width()};
  open_[share.node] -= IsOpen(share) ? 1 : 0;
  AddTimes(free, reserved, 1);
  AddTimes(free, amounts, -1);
  std::ranges::copy(amounts, reserved.begin());
  open_[share.node] += IsOpen(share) ? 1 : 0;
  changed_.push_back(share.node);
}

const Capacity::Share* Capacity::Find(size_t pool, size_t node) const {
  const std::vector<Share>& shares = shares_[pool];
  const auto at = std::ranges::lower_bound(shares, node, {}, &Share::node);
  return at == shares.end() || at->node != node ? nullptr : &*at;
}

const Capacity::Share* Capacity::FindOwn(size_t pool, size_t node) const {
  const Share* share = Find(pool, node);
  return share == nullptr || share->forfeited ? nullptr : share;
}

void Capacity::SetForfeited(size_t pool, size_t node, bool forfeited) {
  std::vector<Share>& shares = shares_[pool];
  const auto at = std::ranges::lower_bound(shares, node, {}, &Share::node);
  if (at != shares.end() && at->node == node) at->forfeited = forfeited;
}

bool Capacity::IsOpen(const Share& share) const {
  return !std::ranges::equal(At(share.live), At(share.reserved));
}

Capacity::Amounts Capacity::FreeRow(size_t node) const {
  return {&free_[node * columns_.Width()], columns_.Width()};
}

Capacity::Amounts Capacity::PhysicalRow(size_t node) const {
  return {&physical_[node * columns_.Width()], columns_.Width()};
}

Row Capacity::FreeWith(const Share* share, size_t node) const {
  const Amounts free = FreeRow(node);
  Row room(free.begin(), free.end());
  if (share != nullptr) {
    AddTimes(room, At(share->reserved), 1);
    AddTimes(room, At(share->pledged), -1);
  }
  return room;
}

Row Capacity::PhysicalWith(const Share* share, size_t node) const {
  const Amounts physical = PhysicalRow(node);
  Row room(physical.begin(), physical.end());
  if (share != nullptr) AddTimes(room, At(share->live), 1);
  return room;
}

Resources Capacity::FreeFor(size_t pool, size_t node) const {
  return columns_.ResourcesOf(FreeWith(FindOwn(pool, node), node));
}

int64_t Capacity::FreeFor(size_t pool, size_t node, std::string_view resource) const {
  const size_t column = columns_.Find(resource);
  const Share* share = FindOwn(pool, node);
  const int64_t own =
      share == nullptr ? 0 : At(share->reserved)[column] - At(share->pledged)[column];
  return FreeRow(node)[column] + own;
}

int64_t Capacity::Fits(size_t pool, size_t node, const Row& request, int64_t most) const {
  const Share* share = FindOwn(pool, node);
  if (share == nullptr && open_[node] == 0) return HowMany(FreeRow(node), request, most);
  const int64_t count = HowMany(FreeWith(share, node), request, most);
  const int others_open = open_[node] - (share != nullptr && IsOpen(*share) ? 1 : 0);
  if (others_open == 0 || count == most) return count;
  return HowMany(PhysicalWith(share, node), request, most) > count ? 0 : count;
}

Capacity::Count Capacity::CountOn(size_t node, const Row& request) const {
  constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
  Count count{.fit = HowMany(FreeRow(node), request, kNoLimit)};
  if (open_[node] == 0) return count;
  count.contested = HowMany(PhysicalRow(node), request, kNoLimit) > count.fit;
  return count;
}

Row Capacity::FreeWithout(size_t pool, size_t node, std::span<const size_t> gone) const {
  Row free;
  FreeWithout(pool, node, gone, free);
  return free;
}

void Capacity::FreeWithout(size_t pool, size_t node, std::span<const size_t> gone,
                           Row& free) const {
  const Amounts now = FreeRow(node);
  free.assign(now.begin(), now.end());
  if (const Share* own = FindOwn(pool, node)) {
    AddTimes(free, At(own->reserved), 1);
    AddTimes(free, At(own->pledged), -1);
  }
  for (const size_t other : gone) {
    if (IsPod(other)) {
      if (PodBehind(other).node == node) AddTimes(free, At(PodBehind(other).requests), 1);
      continue;
    }
    const size_t whose = WhoseIs(other);
    const Share* share = whose == pool ? nullptr : Find(whose, node);
    if (share == nullptr) continue;
    if (AreRemains(other) && std::ranges::find(gone, whose) != gone.end()) continue;
    AddLeft(other, *share, free);
  }
}

void Capacity::AddLeft(size_t other, const Share& share, Row& room) const {
  AddTimes(room, At(share.pledged), -1);
  if (!AreRemains(other)) {
    AddTimes(room, At(share.reserved), 1);
    return;
  }
  const Amounts live = At(share.live);
  const Amounts stays = At(share.stays);
  for (size_t i = 0; i < room.size(); ++i) room[i] += std::max<int64_t>(live[i] - stays[i], 0);
}

void Capacity::LookForRemains(size_t pool) {
  remains_[pool] =
      std::ranges::any_of(shares_[pool], [this](const Share& share) { return HasRemains(share); });
}

bool Capacity::HasRemains(const Share& share) const {
  const Amounts live = At(share.live);
  const Amounts stays = At(share.stays);
  for (size_t i = 0; i < live.size(); ++i) {
    if (live[i] > stays[i]) return true;
  }
  return false;
}

int64_t Capacity::FitsWithout(size_t pool, size_t node, const Row& free, const Row& request,
                              int64_t most, std::span<const size_t> gone) const {
  const int64_t count = HowMany(free, request, most);
  if (open_[node] == 0 || count == most) return count;
  const Share* own = FindOwn(pool, node);
  Row physical = PhysicalWith(own, node);
  int open = open_[node] - (own != nullptr && IsOpen(*own) ? 1 : 0);
  for (const size_t other : gone) {
    if (IsPod(other)) {
      if (PodBehind(other).node == node) AddTimes(physical, At(PodBehind(other).requests), 1);
      continue;
    }
    const Share* share = Find(other, node);
    if (share == nullptr || other == pool) continue;
    AddTimes(physical, At(share->live), 1);
    open -= IsOpen(*share) ? 1 : 0;
  }
  if (open == 0) return count;
  return HowMany(physical, request, most) > count ? 0 : count;
}

int64_t Capacity::FitsBeside(size_t pool, size_t node, const Row& beside, const Row& request,
                             int64_t most) const {
  return FitsBeside(FindOwn(pool, node), node, beside, request, most);
}

// Neither makes rows: they are asked about every node for every cell of every pool.
int64_t Capacity::FitsBeside(const Share* own, size_t node, const Row& beside, const Row& request,
                             int64_t most) const {
  const Amounts free = FreeRow(node);
  if (own == nullptr) {
    return FitIn(request, most, [&](size_t i) { return Wide{free[i]} - beside[i]; });
  }
  const Amounts reserved = At(own->reserved);
  const Amounts pledged = At(own->pledged);
  return FitIn(request, most,
               [&](size_t i) { return Wide{free[i]} + reserved[i] - pledged[i] - beside[i]; });
}

int64_t Capacity::Harmless(size_t pool, size_t node, const Row& beside, const Row& request,
                           int64_t most) const {
  if (open_[node] == 0) return most;
  const Share* share = Find(pool, node);
  if (open_[node] - (share != nullptr && IsOpen(*share) ? 1 : 0) == 0) return most;
  const Share* own = share == nullptr || share->forfeited ? nullptr : share;
  const int64_t fit = FitsBeside(own, node, beside, request, most);
  if (fit == most) return most;
  const Amounts physical = PhysicalRow(node);
  const int64_t with_all = FitIn(request, most, [&](size_t i) {
    return Wide{physical[i]} + (share == nullptr ? 0 : At(share->live)[i]) - beside[i];
  });
  return with_all > fit ? fit : most;
}

std::vector<size_t> Capacity::NodesOf(size_t pool) const {
  std::vector<size_t> nodes;
  for (const Share& share : shares_[WhoseIs(pool)]) {
    if (!AreRemains(pool) || HasRemains(share)) nodes.push_back(share.node);
  }
  return nodes;
}

std::vector<size_t> Capacity::HeldBy(size_t pool) const {
  const auto has_any = [](Amounts amounts) {
    return std::ranges::any_of(amounts, [](int64_t amount) { return amount != 0; });
  };
  std::vector<size_t> nodes;
  for (const Share& share : shares_[pool]) {
    if (has_any(At(share.live)) || has_any(At(share.reserved)) || has_any(At(share.pledged))) {
      nodes.push_back(share.node);
    }
  }
  return nodes;
}

void Capacity::AddNodesOf(size_t pool, std::vector<std::pair<size_t, size_t>>& nodes) const {
  if (IsPod(pool)) {
    if (PodBehind(pool).node != kNowhere) nodes.emplace_back(PodBehind(pool).node, pool);
    return;
  }
  for (const Share& share : shares_[WhoseIs(pool)]) {
    if (!AreRemains(pool) || HasRemains(share)) nodes.emplace_back(share.node, pool);
  }
}

}  // namespace spillway::placement
