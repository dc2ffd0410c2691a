#include "placement/preemption.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <set>
#include <tuple>

#include "placement/attempts.h"
#include "placement/moves.h"
#include "placement/replica_victims.h"
#include "placement/vacancies.h"

namespace spillway::placement {
namespace {

__extension__ using Wide = __int128;

constexpr Seconds kMostWorkLost{3600};
constexpr Seconds kRestartUnknown{600};
constexpr size_t kMostExact = 12;
constexpr size_t kMostExactShrinking = 8;  // each set of them is looked at more closely

Time LastCheckpoint(const TrainingPool& pool, const Placement& placement, Time when) {
  if (pool.last_checkpoint && *pool.last_checkpoint >= placement.since) {
    return std::min(*pool.last_checkpoint, when);
  }
  const Seconds interval = std::max(pool.checkpoint_interval, Seconds{1});
  return placement.since + (when - placement.since) / interval * interval;
}

// A gang, or one replica.
struct Candidate {
  size_t who = 0;  // in Capacity
  int64_t cost = 0;
  int64_t accelerators = 0;
  Time gone{};
  std::optional<ReplicaPlace> replica;
  // Of what the claimant's namespace may have.
  int64_t frees = 0;  // accelerators of the type
  Money frees_money;  // an hour, above home
};

// One search for victims.
class Search {
 public:
  Search(const Contest& contest, const Claimant& claimant, const Option& option, Right right,
         std::vector<Time>& moments)
      : contest_(contest),
        world_(contest.scene.world),
        claimant_(claimant),
        pool_(*world_.pools[claimant.pool]),
        group_(*option.group),
        need_(*option.need),
        right_(right),
        moments_(moments),
        topology_(TopologyIn(pool_, *group_.spec)),
        deficit_(Deficit()),
        excess_(Excess()) {
    if (deficit_ > 0 || excess_ > Money()) CountThoseWhoGo();
  }

  std::optional<Victory> Run() {
    if (right_ == Right::kShrink && (deficit_ > 0 || excess_ > Money())) return std::nullopt;
    FindCandidates();
    if (right_ != Right::kShrink) FindReplicas();
    if (ripens_) moments_.push_back(*ripens_);
    if (candidates_.empty()) return std::nullopt;
    vacancies_.emplace(contest_.scene, claimant_.pool, claimant_.own, claimant_.memory, group_,
                       need_, Settling::kStarting);
    std::vector<size_t> all(candidates_.size());
    for (size_t c = 0; c < all.size(); ++c) all[c] = c;
    if (right_ == Right::kShrink) {
      free_ = FreeAccelerators();
      if (!HasSurplus(all)) return std::nullopt;
    }
    if (!IsEnough(all)) return std::nullopt;
    auto best = Cheapest(all);
    if (!best || best->replicas.size() > kMostNodes || !IsSooner(*best)) return std::nullopt;
    return best;
  }

 private:
  [[nodiscard]] const std::string& Type() const { return group_.spec->accelerator; }

  // ---- who may be asked ----

  [[nodiscard]] bool SameNamespace(size_t other) const {
    return world_.pools[other]->key.ns == pool_.key.ns;
  }

  [[nodiscard]] Rank RankOf(size_t other) const {
    return RankIn(world_, contest_.coverage, other, contest_.fates[other].memory, Type());
  }

  [[nodiscard]] bool GivesWay(size_t other) const {
    const Rank rank = RankOf(other);
    if (right_ == Right::kShrink) return MayShrink(claimant_.rank, rank) && CanShrink(other);
    if (!MayEvict(claimant_.rank, rank)) return false;
    return right_ == Right::kReclaim || rank.priority < claimant_.rank.priority;
  }

  // Workers that an elastic gang, which runs well, has beyond its fewest.
  [[nodiscard]] int SurplusOf(size_t other) const {
    return placement::SurplusOf(world_, *world_.pools[other], contest_.fates[other].memory);
  }

  [[nodiscard]] bool CanShrink(size_t other) const {
    const Fate& fate = contest_.fates[other];
    const TrainingPool& pool = *world_.pools[other];
    const Placement& placement = *fate.memory.placement;
    return fate.course == Course::kStay && fate.action == Action::kKeep && SurplusOf(other) > 0 &&
           !fate.memory.Moves() && MayBeMoved(world_, pool, placement) &&
           !IsOverBudget(world_, contest_.scene.quotas.Spend(), pool, placement);
  }

  [[nodiscard]] bool MayBeStopped(size_t other) const {
    return world_.pools[other]->preemptible != Preemptible::kNever || !RankOf(other).guaranteed;
  }

  // Somebody who comes first counts on the room that it leaves at its deadline.
  [[nodiscard]] bool IsAwaited(size_t other) const {
    const size_t index = world_.IndexOf(group_);
    const Promises* promises = contest_.scene.promises;
    if (promises == nullptr || !(*promises)[index]) return false;
    const Promise& promise = *(*promises)[index];
    return std::binary_search(promise.after.begin(), promise.after.end(), other);
  }

  [[nodiscard]] bool IsHere(size_t other) const {
    const Placement& placement = *contest_.fates[other].memory.placement;
    return placement.node_group == group_.spec->name && placement.cluster == group_.spec->cluster;
  }

  // Accelerators of the type that the gang leaves to its namespace, which is the claimant's.
  [[nodiscard]] int64_t QuotaOf(size_t other) const {
    const Placement& placement = *contest_.fates[other].memory.placement;
    const bool counts = SameNamespace(other) && placement.accelerator == Type();
    return counts ? AcceleratorsOf(*world_.pools[other], placement) : 0;
  }

  // Likewise an hour, above home.
  [[nodiscard]] Money MoneyOf(size_t other) const {
    if (!SameNamespace(other)) return {};
    return CostAboveHome(world_, *world_.pools[other], *contest_.fates[other].memory.placement);
  }

  // Does what goes help with a limit that is in the way?
  [[nodiscard]] bool Helps(int64_t frees, Money frees_money) const {
    return (deficit_ > 0 && frees > 0) || (excess_ > Money() && frees_money > Money());
  }

  void FindCandidates() {
    const bool anywhere = deficit_ > 0 || excess_ > Money();
    const size_t here_only = world_.IndexOf(group_);
    for (const size_t other : anywhere ? contest_.placed : contest_.placed_in[here_only]) {
      const bool lower = world_.priority[other] < pool_.priority;
      if (right_ == Right::kPriority && !lower) continue;
      const Fate& fate = contest_.fates[other];
      if (other == claimant_.pool || contest_.promised[other] || !fate.memory.placement) continue;
      if (IsAwaited(other)) continue;
      if (fate.course != Course::kStay && fate.course != Course::kRenew) continue;
      const bool frees = IsHere(other) || Helps(QuotaOf(other), MoneyOf(other));
      if (frees && GivesWay(other) && MayBeStopped(other)) Consider(other);
    }
  }

  void Consider(size_t other) {
    const TrainingPool& pool = *world_.pools[other];
    const PoolMemory& memory = contest_.fates[other].memory;
    const GroupView* group = world_.GroupOf(pool, *memory.placement);
    if (group == nullptr || group->IsLeftAlone()) return;
    if (world_.UnreachableSince(memory.placement->cluster)) return;
    const Time ripe = memory.placement->since + std::max(pool.min_run, Seconds{1});
    if (world_.now < ripe) {
      if (!ripens_ || ripe < *ripens_) ripens_ = ripe;
      return;
    }
    const Time leaves = GivesWayAt(pool, memory, world_.now);
    candidates_.push_back({.who = other,
                           .cost = EvictionCost(pool, memory, leaves),
                           .accelerators = AcceleratorsOf(pool, *memory.placement),
                           .gone = leaves + pool.checkpoint_grace,
                           .replica = {},
                           .frees = QuotaOf(other),
                           .frees_money = MoneyOf(other)});
  }

  // ---- replicas that may be asked ----

  // Those that borrow are asked; what a pool is guaranteed stays.
  [[nodiscard]] bool Yields(const InferenceDraft& pool) const {
    const Rank rank = placement::RankOf(pool, world_.now);
    if (!MayEvict(claimant_.rank, rank)) return false;
    return right_ == Right::kReclaim || rank.priority < claimant_.rank.priority;
  }

  void FindReplicas() {
    if (world_.IsSeeker(claimant_.pool)) return;
    const bool anywhere = deficit_ > 0 || excess_ > Money();
    const size_t here = world_.IndexOf(group_);
    for (size_t g = 0; g < contest_.serving_in.size(); ++g) {
      if (!anywhere && g != here) continue;
      for (const auto& [pool, cell] : contest_.serving_in[g]) ConsiderCell(pool, cell, g == here);
    }
  }

  void ConsiderCell(size_t index, size_t at, bool here) {
    const InferenceDraft& pool = contest_.inference[index];
    const CellState& cell = pool.cells[at];
    if (!Yields(pool) || !MayGiveWay(pool, cell)) return;
    const bool ours = pool.pool->key.ns == pool_.key.ns;
    const int64_t each = cell.variant->per_replica;
    const int64_t frees = ours && cell.variant->accelerator == Type() ? each : 0;
    const Money frees_money = ours ? CostAboveHome(cell) : Money();
    if ((!here && !Helps(frees, frees_money)) || !SpareOf(index).Take(cell)) return;
    for (const ReplicaPlace& place : PlacesOf(pool, index, at)) {
      if (contest_.promised_replicas.contains(KeyOf(place))) continue;
      candidates_.push_back({.who = contest_.scene.capacity.PodOf(cell.seeker, place.worker),
                             .cost = ReplicaCost(pool, cell, world_.now),
                             .accelerators = each,
                             .gone = world_.now + kNotice + pool.pool->drain,
                             .replica = place,
                             .frees = frees,
                             .frees_money = frees_money});
    }
  }

  // Those of the cell that stay, by name.
  static std::vector<ReplicaPlace> PlacesOf(const InferenceDraft& pool, size_t index, size_t at) {
    std::vector<ReplicaPlace> places;
    size_t worker = 0;
    for (const Replica& replica : pool.pool->live) {
      if (!IsIn(replica, pool.cells[at])) continue;
      if (pool.Stays(replica)) {
        places.push_back({.pool = index, .cell = at, .worker = worker, .replica = &replica});
      }
      ++worker;
    }
    std::ranges::sort(places, {}, [](const ReplicaPlace& place) -> const std::string& {
      return place.replica->pod;
    });
    return places;
  }

  [[nodiscard]] ReplicaKey KeyOf(const ReplicaPlace& place) const {
    return {.pool = contest_.inference[place.pool].pool->key, .pod = place.replica->pod};
  }

  [[nodiscard]] const CellState& CellOf(const ReplicaPlace& place) const {
    return contest_.inference[place.pool].cells[place.cell];
  }

  // What the pool can do without beside what others take of it already; to be taken from.
  Spare SpareOf(size_t pool) {
    const auto known = spares_.find(pool);
    if (known != spares_.end()) return known->second;
    const InferenceDraft& draft = contest_.inference[pool];
    Spare spare(draft, pool, contest_.coverage);
    for (const ReplicaKey& key : contest_.promised_replicas) {
      if (key.pool != draft.pool->key) continue;
      if (const auto place = FindReplica(contest_.inference, key)) spare.Take(CellOf(*place));
    }
    return spares_.emplace(pool, std::move(spare)).first->second;
  }

  // ---- is it enough? ----

  // Accelerators that the namespace has too many of for the gang to be within its limit.
  // Replicas ask for no more than that in any case.
  [[nodiscard]] int64_t Deficit() const {
    if (world_.IsSeeker(claimant_.pool)) return 0;
    const auto limit = contest_.scene.quotas.Limit(pool_.key.ns, Type());
    if (!limit) return 0;
    return contest_.scene.quotas.Used(pool_.key.ns, Type()) + need_.Accelerators(pool_) - *limit;
  }

  // What the namespace spends too much an hour for the gang to be within its limit. Replicas ask
  // for no more than there is in any case.
  [[nodiscard]] Money Excess() const {
    if (world_.IsSeeker(claimant_.pool)) return {};
    const Money cost = CostAboveHome(group_, need_.Accelerators(pool_));
    return contest_.scene.quotas.Spend().Excess(pool_.key.ns, cost).value_or(Money());
  }

  // Who gives way to somebody else already is counted still, beside those for whom it goes.
  void CountThoseWhoGo() {
    for (const size_t other : contest_.placed) {
      if (!contest_.promised[other] || contest_.shrinking[other]) continue;
      deficit_ -= QuotaOf(other);
      excess_ += Money::FromMicros(-MoneyOf(other).micros());
    }
    for (const ReplicaKey& key : contest_.promised_replicas) {
      if (key.pool.ns != pool_.key.ns) continue;
      const auto place = FindReplica(contest_.inference, key);
      if (!place) continue;
      const CellState& cell = CellOf(*place);
      if (cell.variant->accelerator == Type()) deficit_ -= cell.variant->per_replica;
      excess_ += Money::FromMicros(-CostAboveHome(cell).micros());
    }
  }

  // `frees`, `money`: of limits that are in the way.
  [[nodiscard]] bool IsEnough(const std::vector<size_t>& gone, int64_t frees, Money money) const {
    return (deficit_ <= 0 || frees >= deficit_) && (excess_ <= Money() || money >= excess_) &&
           vacancies_->HasRoomWithout(gone);
  }

  [[nodiscard]] std::vector<size_t> ThoseOf(const std::vector<size_t>& chosen) const {
    std::vector<size_t> gone;
    gone.reserve(chosen.size());
    for (const size_t c : chosen) gone.push_back(candidates_[c].who);
    return gone;
  }

  // Enough, whether or not all of them may go together.
  [[nodiscard]] bool IsEnough(const std::vector<size_t>& chosen) const {
    int64_t frees = 0;
    Money money;
    for (const size_t c : chosen) {
      frees += candidates_[c].frees;
      money += candidates_[c].frees_money;
    }
    return IsEnough(ThoseOf(chosen), frees, money);
  }

  // Those of the candidates who may go together: of replicas only as many as their pools can spare.
  [[nodiscard]] std::vector<size_t> Spared(const std::vector<size_t>& of) const {
    std::vector<size_t> may;
    std::map<size_t, Spare> spares;
    for (const size_t c : of) {
      const auto& place = candidates_[c].replica;
      const bool goes =
          !place ||
          spares.emplace(place->pool, spares_.at(place->pool)).first->second.Take(CellOf(*place));
      if (goes) may.push_back(c);
    }
    return may;
  }

  [[nodiscard]] bool Sufficient(const std::vector<size_t>& chosen) const {
    if (right_ == Right::kShrink) {
      return HasSurplus(chosen) && IsEnough(chosen) && FitBeside(chosen).has_value();
    }
    return Spared(chosen).size() == chosen.size() && IsEnough(chosen);
  }

  // ---- gangs that go on with fewer workers ----

  // Would what they can do without be enough, were it all in one place?
  [[nodiscard]] bool HasSurplus(const std::vector<size_t>& chosen) const {
    int64_t accelerators = free_;
    for (const size_t c : chosen) {
      const size_t who = candidates_[c].who;
      const Placement& placement = *contest_.fates[who].memory.placement;
      accelerators += int64_t{SurplusOf(who)} * PerWorkerOf(*world_.pools[who], placement);
    }
    return accelerators >= need_.Accelerators(pool_);
  }

  [[nodiscard]] int64_t FreeAccelerators() const {
    const size_t column = contest_.scene.capacity.ColumnOf(CountedBy(*group_.spec));
    int64_t free = 0;
    for (const Member& member : group_.members) {
      free += std::max<int64_t>(contest_.scene.capacity.FreeIn(column, member.node), 0);
    }
    return free;
  }

  // Where the claimant fits so that each of them has room for its fewest workers on what is left of
  // its nodes.
  [[nodiscard]] std::optional<Fit> FitBeside(const std::vector<size_t>& chosen) const {
    const std::vector<size_t> gone = ThoseOf(chosen);
    auto fit = vacancies_->FitWithout(gone);
    if (fit && AllShrink(gone, *fit)) return fit;
    std::vector<size_t> kept;
    for (const size_t who : gone) AddKept(who, gone, kept);
    std::ranges::sort(kept);
    fit = vacancies_->FitWithout(gone, kept);
    if (fit && AllShrink(gone, *fit)) return fit;
    return std::nullopt;
  }

  [[nodiscard]] bool AllShrink(const std::vector<size_t>& gone, const Fit& fit) const {
    const Claimed claimed = ClaimedOn(contest_.scene, claimant_.own, need_, fit.nodes, gone);
    return std::ranges::all_of(gone, [&](size_t who) {
      return ShrunkFit(contest_.scene, who, contest_.fates[who].memory, claimed,
                       Settling::kStarting)
          .has_value();
    });
  }

  // Nodes that the gang can keep for its fewest workers: those first where the claimant could have
  // least, and of these where most of its workers are.
  void AddKept(size_t who, const std::vector<size_t>& gone, std::vector<size_t>& kept) const {
    const Placement& placement = *contest_.fates[who].memory.placement;
    const GroupView& group = *world_.FindGroup(placement.node_group);
    const Need need = *NeedIn(*world_.pools[who], *group.spec);
    struct Part {
      int64_t claimants = 0;
      int64_t workers = 0;
      size_t node = 0;
    };
    std::vector<Part> parts;
    for (const Slot& slot :
         OwnSlots(contest_.scene, who, contest_.fates[who].memory, need, Settling::kStarting)) {
      parts.push_back({.claimants = vacancies_->WorkersOn(slot.node, gone),
                       .workers = slot.workers,
                       .node = slot.node});
    }
    std::ranges::sort(parts, [](const Part& a, const Part& b) {
      return std::tie(a.claimants, b.workers, a.node) < std::tie(b.claimants, a.workers, b.node);
    });
    int64_t left = need.least;
    for (const Part& part : parts) {
      if (left <= 0) break;
      kept.push_back(part.node);
      left -= part.workers;
    }
  }

  // ---- the cheapest set ----

  [[nodiscard]] Victory VictoryOver(const std::vector<size_t>& chosen) const {
    Victory victory;
    victory.shrinks = right_ == Right::kShrink;
    victory.fit = victory.shrinks ? *FitBeside(chosen) : *vacancies_->FitWithout(ThoseOf(chosen));
    victory.gone = world_.now;
    for (const size_t c : chosen) {
      if (const auto& place = candidates_[c].replica) {
        victory.replicas.push_back(KeyOf(*place));
      } else {
        victory.victims.push_back(candidates_[c].who);
      }
      victory.cost += candidates_[c].cost;
      victory.gone = std::max(victory.gone, candidates_[c].gone);
    }
    std::ranges::sort(victory.victims);
    std::ranges::sort(victory.replicas);
    return victory;
  }

  [[nodiscard]] size_t MostExact() const {
    return right_ == Right::kShrink ? kMostExactShrinking : kMostExact;
  }

  [[nodiscard]] std::optional<Victory> Cheapest(const std::vector<size_t>& all) const {
    std::optional<Victory> best;
    if (all.size() <= MostExact()) return Exact(all, best);
    if (topology_.mode == TopologyMode::kRequired) {
      for (const auto& [domain, candidates] : ByDomain(all)) {
        const auto here =
            candidates.size() <= MostExact() ? Exact(candidates, best) : Greedy(candidates);
        if (here && (!best || here->cost < best->cost)) best = here;
      }
    }
    if (!best) best = Greedy(all);
    return best;
  }

  // By its number, in the order of the names; those whose name is empty have none, and come first.
  [[nodiscard]] std::optional<int64_t> DomainOf(const Domains& domains, size_t node) const {
    if (domains.of[node] != kNoDomain) return domains.of[node];
    const bool labelled = world_.nodes[node]->labels.contains(topology_.levels.front());
    return labelled ? std::optional<int64_t>(-1) : std::nullopt;
  }

  // Candidates that have nodes in a domain of the group, by domain, and with them all that are
  // elsewhere: these free accelerators of a limit, or money.
  [[nodiscard]] std::map<int64_t, std::vector<size_t>> ByDomain(
      const std::vector<size_t>& all) const {
    std::map<int64_t, std::vector<size_t>> by_domain;
    const Domains& domains_of = world_.DomainsOf(topology_.levels.front());
    std::vector<size_t> elsewhere;
    std::vector<int64_t> domains;
    for (const size_t c : all) {
      if (!IsHere(candidates_[c])) {
        elsewhere.push_back(c);
        continue;
      }
      domains.clear();
      for (const size_t node : NodesOf(candidates_[c])) {
        if (const auto domain = DomainOf(domains_of, node)) domains.push_back(*domain);
      }
      std::ranges::sort(domains);
      domains.erase(std::unique(domains.begin(), domains.end()), domains.end());
      for (const int64_t domain : domains) by_domain[domain].push_back(c);
    }
    for (auto& [domain, candidates] : by_domain) {
      candidates.insert(candidates.end(), elsewhere.begin(), elsewhere.end());
    }
    return by_domain;
  }

  [[nodiscard]] bool IsHere(const Candidate& candidate) const {
    return candidate.replica ? CellOf(*candidate.replica).group == &group_ : IsHere(candidate.who);
  }

  [[nodiscard]] std::vector<size_t> NodesOf(const Candidate& candidate) const {
    std::vector<std::pair<size_t, size_t>> found;
    contest_.scene.capacity.AddNodesOf(candidate.who, found);
    std::vector<size_t> nodes;
    nodes.reserve(found.size());
    for (const auto& [node, who] : found) nodes.push_back(node);
    return nodes;
  }

  // Every set, the cheapest first; of several, the one with the fewest. Only those are looked at
  // that cost less than the best so far, if there is one.
  [[nodiscard]] std::optional<Victory> Exact(const std::vector<size_t>& of,
                                             const std::optional<Victory>& best) const {
    using Weighed = std::tuple<int64_t, int, uint32_t>;
    std::vector<int64_t> costs(size_t{1} << of.size());
    std::vector<Weighed> sets;
    if (!best) sets.reserve(costs.size());
    for (uint32_t mask = 1; mask < costs.size(); ++mask) {
      const auto last = static_cast<size_t>(std::countr_zero(mask));
      costs[mask] = costs[mask & (mask - 1)] + candidates_[of[last]].cost;
      if (best && costs[mask] >= best->cost) continue;
      sets.emplace_back(costs[mask], std::popcount(mask), mask);
    }
    // A heap: mostly one of the first will do.
    std::make_heap(sets.begin(), sets.end(), std::greater<>());
    while (!sets.empty()) {
      std::pop_heap(sets.begin(), sets.end(), std::greater<>());
      const uint32_t mask = std::get<uint32_t>(sets.back());
      sets.pop_back();
      std::vector<size_t> chosen;
      for (size_t i = 0; i < of.size(); ++i) {
        if ((mask >> i & 1U) != 0) chosen.push_back(of[i]);
      }
      if (Sufficient(chosen)) return VictoryOver(chosen);
    }
    return std::nullopt;
  }

  // How many of the candidates are replicas on the node of this one, which is: of those that cost
  // the same, a node that few of them empty comes first, and all of one before those of another. By
  // candidate, as sorting asks for it often.
  [[nodiscard]] std::vector<std::pair<size_t, size_t>> Crowds(const std::vector<size_t>& of) const {
    std::map<size_t, size_t> by_node;
    std::map<size_t, size_t> on;
    for (const size_t c : of) {
      if (!candidates_[c].replica) continue;
      const std::vector<size_t> nodes = NodesOf(candidates_[c]);
      if (nodes.empty()) continue;
      on[c] = nodes.front();
      ++by_node[nodes.front()];
    }
    std::vector<std::pair<size_t, size_t>> crowds(candidates_.size());
    for (const auto& [c, node] : on) crowds[c] = {by_node[node], node};
    return crowds;
  }

  // Replicas on nodes where not even all of them together leave room for one more worker come last:
  // what their pools can spare is for others. Not where a limit is in the way, which all help with.
  [[nodiscard]] std::vector<size_t> WithRoomFirst(std::vector<size_t> of) const {
    const auto is_replica = [&](size_t c) { return candidates_[c].replica.has_value(); };
    if (deficit_ > 0 || excess_ > Money() || std::ranges::none_of(of, is_replica)) return of;
    std::map<size_t, std::vector<size_t>> by_node;  // who leaves
    for (const size_t c : of) {
      for (const size_t node : NodesOf(candidates_[c])) by_node[node].push_back(candidates_[c].who);
    }
    std::set<size_t> roomy;
    for (const auto& [node, gone] : by_node) {
      if (vacancies_->WorkersOn(node, gone) > vacancies_->WorkersOn(node, {})) roomy.insert(node);
    }
    std::stable_partition(of.begin(), of.end(), [&](size_t c) {
      const std::vector<size_t> nodes = NodesOf(candidates_[c]);
      return !is_replica(c) ||
             std::ranges::any_of(nodes, [&](size_t node) { return roomy.contains(node); });
    });
    return of;
  }

  // The cheapest accelerators first until it is enough; then the dearest that can be spared are.
  [[nodiscard]] std::optional<Victory> Greedy(std::vector<size_t> order) const {
    const auto crowds = Crowds(order);
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      const Candidate& left = candidates_[a];
      const Candidate& right = candidates_[b];
      const Wide l = Wide{left.cost} * right.accelerators;
      const Wide r = Wide{right.cost} * left.accelerators;
      if (l != r) return l < r;
      return std::tie(crowds[a], a) < std::tie(crowds[b], b);
    });
    order = Spared(WithRoomFirst(order));
    if (order.empty()) return std::nullopt;
    // More victims never make less room: the fewest of the order that are enough.
    size_t few = 0;
    size_t many = order.size();
    while (few + 1 < many) {
      const size_t middle = (few + many) / 2;
      const std::vector<size_t> some(order.begin(), order.begin() + static_cast<long>(middle));
      (Sufficient(some) ? many : few) = middle;
    }
    std::vector<size_t> chosen(order.begin(), order.begin() + static_cast<long>(many));
    if (!Sufficient(chosen)) return std::nullopt;
    std::vector<size_t> dearest = chosen;
    std::sort(dearest.begin(), dearest.end(), [&](size_t a, size_t b) {
      return std::tie(candidates_[b].cost, a) < std::tie(candidates_[a].cost, b);
    });
    for (const size_t c : dearest) {
      std::vector<size_t> rest = chosen;
      std::erase(rest, c);
      if (!rest.empty() && Sufficient(rest)) chosen = rest;
    }
    return VictoryOver(chosen);
  }

  // ---- is it worth it? ----

  // Would the gang be let in later than that if nobody were stopped? Only deadlines say for sure
  // when somebody ends.
  [[nodiscard]] bool IsSooner(const Victory& victory) const {
    std::vector<size_t> gone;
    int64_t frees = 0;
    Money money;
    for (const size_t other : contest_.ending) {
      const PoolMemory& memory = contest_.fates[other].memory;
      if (!memory.placement || memory.completed) continue;
      const auto end = EndsBy(*world_.pools[other], memory, world_.now);
      if (!end || *end > victory.gone) continue;
      gone.push_back(other);
      frees += QuotaOf(other);
      money += MoneyOf(other);
    }
    return gone.empty() || !IsEnough(gone, frees, money);
  }

  const Contest& contest_;
  const World& world_;
  const Claimant& claimant_;
  const TrainingPool& pool_;
  const GroupView& group_;
  const Need& need_;
  Right right_;
  std::vector<Time>& moments_;
  Topology topology_;
  int64_t deficit_;
  Money excess_;
  int64_t free_ = 0;  // accelerators of the group, where gangs are to shrink

  std::vector<Candidate> candidates_;
  std::map<size_t, Spare> spares_;  // by inference pool that has candidates
  std::optional<Time> ripens_;      // when the first may be asked that has not run for long enough
  std::optional<Vacancies> vacancies_;
};

}  // namespace

Seconds RestartTakes(const PoolMemory& memory) {
  return memory.restart_took.value_or(kRestartUnknown);
}

Time CheckpointAfter(const TrainingPool& pool, const Placement& placement, Time asked,
                     Time soonest) {
  const Seconds interval = std::max(pool.checkpoint_interval, Seconds{1});
  if (pool.last_checkpoint && *pool.last_checkpoint >= placement.since) {
    return *pool.last_checkpoint >= asked ? soonest : asked + 2 * interval;
  }
  const Seconds ran = std::max(asked - placement.since, Seconds{0});
  return std::max(placement.since + (ran + interval - Seconds{1}) / interval * interval, soonest);
}

Time GivesWayAt(const TrainingPool& pool, const PoolMemory& memory, Time asked) {
  const Placement& placement = *memory.placement;
  const Time soonest = std::max(asked + kNotice, placement.since + pool.min_run);
  if (pool.preemptible == Preemptible::kAlways) return soonest;
  return CheckpointAfter(pool, placement, asked, soonest);
}

int64_t EvictionCost(const TrainingPool& pool, const PoolMemory& memory, Time when) {
  const Placement& placement = *memory.placement;
  // Who may choose stops right after a checkpoint.
  const Seconds since_checkpoint =
      pool.preemptible != Preemptible::kAlways
          ? Seconds{0}
          : std::clamp(when - LastCheckpoint(pool, placement, when), Seconds{0}, kMostWorkLost);
  const Seconds restart = RestartTakes(memory);
  const auto evictions =
      std::count_if(memory.evictions.begin(), memory.evictions.end(),
                    [&](const Eviction& e) { return when - e.time < kEvictionsCount; });
  return AcceleratorsOf(pool, placement) * (since_checkpoint + restart).count() * (1 + evictions);
}

Rank RankIn(const World& world, const Coverage& coverage, size_t gang, const PoolMemory& memory,
            const std::string& type) {
  Rank rank = RankOf(*world.pools[gang], memory, world.now);
  rank.guaranteed = coverage.Gang(gang, memory.placement ? memory.placement->accelerator : type);
  return rank;
}

bool MayEvict(const Rank& claimant, const Rank& victim) {
  if (!claimant.Before(victim)) return false;
  const bool lower = victim.priority < claimant.priority;
  if (claimant.key->ns == victim.key->ns) return lower;
  return !victim.guaranteed && (lower || claimant.guaranteed);
}

bool MayShrink(const Rank& claimant, const Rank& victim) {
  if (!claimant.Before(victim)) return false;
  return claimant.key->ns == victim.key->ns || MayEvict(claimant, victim);
}

std::optional<Victory> CheapestVictims(const Contest& contest, const Claimant& claimant,
                                       const Option& option, Right right,
                                       std::vector<Time>& moments) {
  return Search(contest, claimant, option, right, moments).Run();
}

}  // namespace spillway::placement
