#include "placement/cell_asks.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "placement/cell_limits.h"
#include "placement/mix_questions.h"
#include "placement/starting.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

constexpr int kManyNodes = std::numeric_limits<int>::max();
constexpr int kMostTries = 8;  // until cells that share new nodes are given what fits there

// What a new node of the group has. A shape that does not mention pods has enough of them.
Resources NewNode(const NodeGroup& group) {
  Resources node = group.elastic->node_shape;
  if (node.Get(kPods) == 0) node.Set(kPods, std::numeric_limits<int64_t>::max() / 2);
  return node;
}

void CountShares(Draft& draft, const InferenceDraft& pool, int sign) {
  for (const CellState& cell : pool.cells) {
    const int64_t replicas = sign * pool.AskedFor(cell);
    if (replicas == 0) continue;
    draft.quotas.Add(pool.pool->key.ns, cell.variant->accelerator,
                     replicas * cell.variant->per_replica, CostAboveHome(cell).Times(replicas));
  }
}

// What the pool's asks cost beside that: each group is paid for all that is asked of it.
void PayForNodes(Draft& draft, const InferenceDraft& pool) {
  std::map<size_t, AskBill> bills;
  for (const CellState& cell : pool.cells) {
    const CellAsk* ask = pool.AskOf(cell);
    if (ask == nullptr) continue;
    AskBill& bill = bills[draft.world.IndexOf(*cell.group)];
    bill.pool = &pool.pool->key;
    bill.inference = true;
    bill.nodes += ask->nodes;
    bill.share += CostAboveHome(cell).Times(ask->replicas);
  }
  for (const auto& [group, bill] : bills) PayForAsk(draft, draft.world.groups[group], bill);
}

void ForgetNodes(Draft& draft, const InferenceDraft& pool) {
  std::set<std::string> groups;  // each has one bill
  for (const CellAsk& ask : pool.asks) groups.insert(ask.node_group);
  for (const std::string& group : groups) {
    ForgetBill(draft, *draft.world.FindGroup(group), {.inference = true, .key = pool.pool->key});
  }
}

// With sign -1, what was put on the account before is taken off.
void CountAsks(Draft& draft, const InferenceDraft& pool, int sign) {
  CountShares(draft, pool, sign);
  if (sign > 0) {
    PayForNodes(draft, pool);
  } else {
    ForgetNodes(draft, pool);
  }
}

// What the cell had asked for when the pass began; nullptr: nothing.
const CellAsk* AskedBefore(const InferenceDraft& pool, const CellState& cell) {
  return FindAsk(pool.pool->memory.asks, cell);
}

// Has what it asked for before, nodes of its own, not come in its time?
bool IsOverdue(const GroupView& group, const CellAsk& before, Time now) {
  return before.nodes > 0 && now >= DueIn(group, before.since);
}

// May the cell have more at all, if its variant is the one that serves, and could its group be
// asked for nodes?
bool MayAskIfServing(const CellState& cell, Time now) {
  return cell.Known() && cell.group->spec->elastic && !cell.unwanted && !cell.Blocked(now) &&
         IsTemplateKnown(*cell.variant);
}
bool MayAsk(const CellState& cell, Time now) { return !cell.leaving && MayAskIfServing(cell, now); }

// A cell whose group may get nodes.
struct Chance {
  CellState* cell = nullptr;
  std::optional<Finding> finding;  // what is in the way of asking
  std::optional<Finding> dear;     // why not even one more node may be asked for
  int64_t on_new = 0;              // replicas that one new node takes
  int nodes = 0;                   // that it may ask for at the most
  Resources node;                  // what it has, as far as is known

  [[nodiscard]] bool May() const { return !finding; }
};

class Asking {
 public:
  Asking(Draft& draft, size_t pool)
      : draft_(draft),
        index_(pool),
        pool_(draft.inference[pool]),
        limits_(draft.world, draft.capacity, draft.offers, draft.quotas, pool_),
        mixes_(draft.world, draft.capacity, draft.offers, draft.quotas, pool_) {}

  Asked Run() {
    if (pool_.held || pool_.memory.claim || !IsShort()) return {};
    for (const CellAsk& ask : pool_.pool->memory.asks) {
      TakeBackBefore(draft_, ask.node_group, ask.nodes);
    }
    others_start_ = OthersStart();
    Asked asked;
    if (pool_.pool->routing == Routing::kUniform && !Serves()) {
      AskForOneVariant(asked);
    } else {
      Ask(asked);
    }
    asked.waits = !pool_.asks.empty();
    return asked;
  }

 private:
  void Ask(Asked& asked) {
    const auto left = draft_.left_on_new;
    TryToAsk(left);
    while (NoteStockouts()) {
      asked.released = true;
      ForgetCellAsks(draft_, index_);
      draft_.left_on_new = left;
      TryToAsk(left);
    }
    for (CellAsk& ask : pool_.asks) ask.since = SinceOf(*CellOf(ask), ask);
    for (Chance& chance : chances_) Explain(chance);
  }
  // `left`: what the new nodes have left that others have asked for.
  void TryToAsk(const std::vector<std::vector<Resources>>& left) {
    chances_.clear();
    FindChances();
    PutAsks(pool_.pool->memory.asks);
    AskForCheapest();
    for (Chance& chance : chances_) Take(chance, WantedOf(*chance.cell));
    PutAnew(left);
  }

  // ---- Uniform routing ----

  [[nodiscard]] bool Serves() const {
    return std::ranges::any_of(pool_.cells,
                               [](const CellState& cell) { return cell.memory.desired > 0; });
  }

  // One variant serves. While none does, it is the first for which nodes may come: what has been
  // asked for already, what would serve by the room there is, then the others in their order.
  void AskForOneVariant(Asked& asked) {
    std::vector<const Variant*> order;
    const auto add = [&](const Variant* variant) {
      const bool is_new = std::ranges::find(order, variant) == order.end();
      if (variant != nullptr && is_new) order.push_back(variant);
    };
    for (const CellState& cell : pool_.cells) {
      if (AskedBefore(pool_, cell) != nullptr) add(cell.variant);
    }
    const Variant* chosen = nullptr;
    for (const CellState& cell : pool_.cells) {
      if (!cell.leaving) chosen = cell.variant;
    }
    add(chosen);
    for (const Variant& variant : pool_.pool->variants) add(&variant);
    for (const Variant* variant : order) {
      Choose(variant);
      Ask(asked);
      if (!pool_.asks.empty()) return;
    }
    Choose(chosen);
  }
  void Choose(const Variant* variant) {
    for (CellState& cell : pool_.cells) cell.leaving = cell.unwanted || cell.variant != variant;
  }

  [[nodiscard]] const CellState* CellOf(const CellAsk& ask) const {
    return &*std::ranges::find_if(pool_.cells,
                                  [&](const CellState& cell) { return pool_.AskOf(cell) == &ask; });
  }

  // ---- what is lacking ----

  [[nodiscard]] Throughput Missing() const {
    Throughput missing = pool_.required - limits_.Promised(false);
    for (const CellState& cell : pool_.cells) missing -= cell.Each() * pool_.AskedFor(cell);
    return missing;
  }

  [[nodiscard]] int64_t LeastMissing(const Variant& variant) const {
    return limits_.LeastOf(variant) - limits_.OfVariant(variant);
  }

  [[nodiscard]] int64_t WantedOf(const CellState& cell) const {
    const int64_t lacks = std::max<Throughput>(Missing(), 0);
    return std::max(CeilDiv(lacks, cell.Each()), LeastMissing(*cell.variant));
  }

  [[nodiscard]] bool IsShort() const {
    return Missing() > 0 || std::any_of(pool_.pool->variants.begin(), pool_.pool->variants.end(),
                                        [&](const Variant& one) { return LeastMissing(one) > 0; });
  }

  // ---- stock ----

  // The time of what it had asked for is over, and it would ask for no less. Says whether a group
  // is out of stock only since.
  bool NoteStockouts() {
    bool any = false;
    for (const CellState& cell : pool_.cells) {
      const CellAsk* before = AskedBefore(pool_, cell);
      const CellAsk* ask = pool_.AskOf(cell);
      if (before == nullptr || ask == nullptr || ask->nodes < before->nodes) continue;
      if (!IsOverdue(*cell.group, *before, draft_.Now())) continue;
      any = MarkOutOfStock(draft_, *cell.group) || any;
    }
    return any;
  }

  // When the cell asked, or asks, for what it still waits for. Nodes of its own count anew where
  // some have come, or it had asked for none: not where a replica found room elsewhere, or a
  // provider that has nothing would never be given up.
  [[nodiscard]] Time SinceOf(const CellState& cell, const CellAsk& ask) const {
    const CellAsk* before = AskedBefore(pool_, cell);
    if (before == nullptr || draft_.Now() >= DueIn(*cell.group, before->since)) return draft_.Now();
    const bool has_come = cell.memory.desired > cell.before && ask.nodes < before->nodes;
    const bool anew = before->nodes == 0 ? ask.nodes > 0 : has_come;
    return anew ? draft_.Now() : before->since;
  }

  // ---- who could be asked ----

  void FindChances() {
    for (CellState& cell : pool_.cells) {
      if (MayAsk(cell, draft_.Now())) chances_.push_back(ChanceOf(cell));
    }
  }

  Chance ChanceOf(CellState& cell) {
    const size_t group = draft_.world.IndexOf(*cell.group);
    const bool is_left =
        std::any_of(draft_.left_on_new[group].begin(), draft_.left_on_new[group].end(),
                    [&](const Resources& node) { return node.HowMany(cell.request, 1) > 0; });
    const NewSupply supply{.nodes = NodesToGet(draft_, *cell.group) + (is_left ? 1 : 0),
                           .stockout = draft_.stockouts[group],
                           .since = draft_.Now()};
    Chance chance;
    chance.cell = &cell;
    chance.finding = limits_.WhyNoNewNodes(cell, supply);
    CellState another = cell;  // what this asks is not to be told
    if (chance.May() && limits_.WithinRoom(another, 1) > 0) chance.finding = HasRoom();
    chance.nodes = NodesToGet(draft_, *cell.group);
    if (chance.May() && supply.nodes < 1) chance.finding = NoneToCome(*cell.group);
    if (chance.May() && others_start_) {
      const CellAsk* before = AskedBefore(pool_, cell);
      chance.nodes = std::min(chance.nodes, before == nullptr ? 0 : before->nodes);
      if (chance.nodes == 0 && !is_left) chance.finding = OthersFirst();
    }
    if (chance.May() && chance.nodes > 0) chance.dear = NoMoneyForNode(cell);
    if (chance.dear) NoteTooDear(draft_);
    if (chance.dear) chance.nodes = 0;
    if (chance.dear && !is_left) chance.finding = chance.dear;
    if (!chance.May()) return chance;
    const TrainingPool& seeker = *draft_.world.pools[cell.seeker];
    Need need = NeedIn(seeker, *cell.group->spec)->For(static_cast<int>(kManyReplicas));
    need.request = cell.request;
    chance.on_new = FitOnNew(draft_.Look(), seeker, *cell.group, need);
    if (chance.on_new < 1) chance.finding = TooLarge();
    chance.node = NewNode(*cell.group->spec);
    if (chance.node.HowMany(cell.request, kManyReplicas) > chance.on_new) {
      // Those that are there tell that they are smaller than the group's shape.
      chance.node = Resources();
      chance.node.AddTimes(cell.request, chance.on_new);
    }
    return chance;
  }

  // Others have yet to be bound on nodes that the pool may use: no more nodes are asked for than
  // were before.
  bool OthersStart() {
    return std::ranges::any_of(pool_.cells, [&](const CellState& cell) {
      return cell.Known() && !cell.unwanted &&
             (ReplicasStart(draft_, *cell.group, &cell) || WorkersStart(draft_, *cell.group));
    });
  }

  // ---- money for whole nodes ----

  // What all its replicas cost above home, and the nodes that it is alone on or asks for.
  [[nodiscard]] Money Paid() const {
    return limits_.Spending() +
           draft_.quotas.Spend().PaidBeside({.inference = true, .key = pool_.pool->key});
  }

  // Whole nodes are paid for, and all of a step, until others use them. REQUIRES that the pool asks
  // for nothing yet.
  [[nodiscard]] std::optional<Finding> NoMoneyForNode(const CellState& cell) const {
    const CellAsk* before = AskedBefore(pool_, cell);
    if (CostAboveHome(cell) <= Money() || (before != nullptr && before->nodes > 0)) return {};
    const Money node = CostAboveHome(*cell.group, cell.group->per_node);
    const Growth growth = GrowthToPay(draft_, *cell.group);
    const int paid = growth.PaidFor(1);
    const Money cost = node.Times(paid);
    const std::string what = fmt::format("with {} one more replica", Count(paid, "new node"));
    const auto& most = pool_.pool->spill_max_hourly_cost;
    if (most && Paid() + cost > *most) {
      return Finding{.reason = Reason::kSpendLimitReached,
                     .message = fmt::format("{} would cost {} {} an hour, and {} of "
                                            "placement.spill.maxHourlyCost {} are spent",
                                            what, cost.Format(), draft_.world.snapshot->currency,
                                            Paid().Format(), most->Format()),
                     .remedy = fmt::format("raise placement.spill.maxHourlyCost of {} to {}",
                                           most->Format(), (Paid() + cost).Format())};
    }
    const PoolKey* other = WhoPaysForLeft(draft_, *cell.group);
    const bool spares = other != nullptr && other->ns == pool_.pool->key.ns;
    const Money more = cost + node.Times(spares ? -growth.SparedBy(1) : 0);
    const auto block = draft_.quotas.Spend().BlockForNodes(pool_.pool->key.ns, more, what);
    if (!block) return std::nullopt;
    return Finding{
        .reason = Reason::kSpendLimitReached, .message = block->message, .remedy = block->remedy};
  }

  // What its namespace and it pay.
  struct Standing {
    Money all;
    Money own;
  };
  [[nodiscard]] Standing PaidByNow() const {
    return {.all = draft_.quotas.Spend().All(pool_.pool->key.ns), .own = Paid()};
  }

  // Is there, once what the pool asks for is counted? What costs no more than `before` costs
  // nothing, whatever the limits.
  [[nodiscard]] bool HasTheMoney(const Standing& before) const {
    const Standing now = PaidByNow();
    const auto& most = pool_.pool->spill_max_hourly_cost;
    return (now.all <= before.all || !draft_.quotas.Spend().IsCrossedByNodes(pool_.pool->key.ns)) &&
           (now.own <= before.own || !most || now.own <= *most);
  }

  static Finding HasRoom() {
    return {.reason = Reason::kWaitingForCapacity,
            .message = "no node is asked for while one has room",
            .remedy = {}};
  }
  static Finding NoneToCome(const GroupView& group) {
    return {.reason = Reason::kWaitingForCapacity,
            .message = fmt::format("none of its {} may still come", MostNodesBy(*group.spec)),
            .remedy = {}};
  }
  static Finding TooLarge() {
    return {.reason = Reason::kNodeTooSmall,
            .message = "one replica as its pods are now does not fit on a new node",
            .remedy = {}};
  }

  // ---- room on nodes that are to come ----

  // So many of `wanted` go to nodes that are asked for by now and, beyond that, to others that are
  // asked for from now on; says how many of each.
  struct Put {
    int64_t replicas = 0;
    int nodes = 0;
  };
  Put PutOnNew(const Chance& chance, int64_t wanted, int at_most) {
    const CellState& cell = *chance.cell;
    std::vector<Resources>& nodes = draft_.left_on_new[draft_.world.IndexOf(*cell.group)];
    Put put;
    const auto fill = [&](Resources& node, int64_t most) {
      const int64_t here = node.HowMany(cell.request, std::min(most, wanted - put.replicas));
      node.AddTimes(cell.request, -here);
      put.replicas += here;
    };
    for (Resources& node : nodes) fill(node, chance.on_new);
    const CellAsk* ask = pool_.AskOf(cell);
    const int most = std::min({NodesToGet(draft_, *cell.group),
                               chance.nodes - (ask == nullptr ? 0 : ask->nodes), at_most});
    while (put.replicas < wanted && put.nodes < most) {
      fill(nodes.emplace_back(chance.node), chance.on_new);
      ++put.nodes;
    }
    return put;
  }

  // Asks for nodes for so many more replicas of the cell, or as many as may be. Says how many.
  int64_t Take(const Chance& chance, int64_t wanted) {
    if (!chance.May() || wanted < 1) return 0;
    CellState cell = *chance.cell;  // what limits this is not to be told
    const int64_t more = limits_.WithinLimits(cell, wanted);
    if (more < 1) return 0;
    const Standing paid = PaidByNow();
    const Put put = PutAndCount(chance, more, kManyNodes);
    const CellAsk* before = AskedBefore(pool_, cell);
    const CellAsk* ask = pool_.AskOf(cell);
    const int granted = before == nullptr ? 0 : before->nodes;
    if (put.nodes < 1 || ask->nodes <= granted || CostAboveHome(cell) <= Money() ||
        HasTheMoney(paid)) {
      return put.replicas;
    }
    return TakeWithinMoney(chance, more, put, std::max(granted - (ask->nodes - put.nodes), 0),
                           paid);
  }

  // The most that there is money for, instead of what was put for it; so many nodes are its in any
  // case.
  int64_t TakeWithinMoney(const Chance& chance, int64_t wanted, const Put& put, int granted,
                          const Standing& before) {
    NoteTooDear(draft_);
    std::vector<CellAsk> without = pool_.asks;
    const CellAsk* ask = pool_.AskOf(*chance.cell);
    CellAsk& its = without[static_cast<size_t>(ask - pool_.asks.data())];
    its.replicas -= static_cast<int>(put.replicas);
    its.nodes -= put.nodes;
    std::erase_if(without, [](const CellAsk& one) { return one.replicas == 0; });
    const size_t group = draft_.world.IndexOf(*chance.cell->group);
    const int coming = draft_.coming[group] - put.nodes;
    const auto again = [&](int nodes) {
      CountAsks(draft_, pool_, -1);
      pool_.asks = without;
      CountAsks(draft_, pool_, 1);
      draft_.coming[group] = coming;
      draft_.left_on_new[group] = left_before_;
      return PutAndCount(chance, wanted, nodes).replicas;
    };
    int fewest = granted;
    int most = put.nodes - 1;
    while (fewest < most) {
      const int middle = fewest + (most - fewest + 1) / 2;
      again(middle);
      if (HasTheMoney(before)) {
        fewest = middle;
      } else {
        most = middle - 1;
      }
    }
    return again(fewest);
  }

  Put PutAndCount(const Chance& chance, int64_t wanted, int at_most) {
    const size_t group = draft_.world.IndexOf(*chance.cell->group);
    left_before_ = draft_.left_on_new[group];
    const Put put = PutOnNew(chance, wanted, at_most);
    if (put.replicas < 1) return put;
    CountAsks(draft_, pool_, -1);
    CellAsk& ask = AskFor(*chance.cell);
    ask.replicas += static_cast<int>(put.replicas);
    ask.nodes += put.nodes;
    CountAsks(draft_, pool_, 1);
    draft_.coming[group] += put.nodes;
    return put;
  }

  CellAsk& AskFor(const CellState& cell) {
    for (CellAsk& ask : pool_.asks) {
      if (&ask == pool_.AskOf(cell)) return ask;
    }
    return pool_.asks.emplace_back(CellAsk{.variant = cell.memory.variant,
                                           .node_group = cell.memory.node_group,
                                           .since = draft_.Now()});
  }

  // ---- what is asked for ----

  void PutAsks(const std::vector<CellAsk>& asks) {
    for (const Chance& chance : chances_) {
      const CellAsk* ask = FindAsk(asks, *chance.cell);
      if (ask == nullptr) continue;
      Take(chance, std::min<int64_t>(ask->replicas, WantedOf(*chance.cell)));
    }
  }

  // All that a cell asks for is put on nodes together, as the next pass will, which knows no more
  // than how many replicas that is: a part of it may have been put there after those of another
  // cell, and what is asked for beside others may make some of them needless.
  void PutAnew(const std::vector<std::vector<Resources>>& left) {
    const std::vector<CellAsk> asks = pool_.asks;
    ForgetCellAsks(draft_, index_);
    draft_.left_on_new = left;
    PutAsks(asks);
  }

  [[nodiscard]] std::vector<const Chance*> ChancesIn(const GroupView& group) const {
    std::vector<const Chance*> chances;
    for (const Chance& chance : chances_) {
      if (chance.May() && chance.cell->group == &group) chances.push_back(&chance);
    }
    return chances;
  }

  // The group's new nodes, as many of them as could be of use, how many replicas of the chance fit
  // on each, and what they cost. Those that come anyway cost their share.
  [[nodiscard]] RoomToCome NewFor(const Chance& chance) const {
    const GroupView& group = *chance.cell->group;
    const NodeGroup& spec = *group.spec;
    const std::vector<const Chance*> chances = ChancesIn(group);
    RoomToCome room;
    for (const Resources& node : draft_.left_on_new[draft_.world.IndexOf(group)]) {
      const bool of_use = std::ranges::any_of(
          chances, [&](const Chance* one) { return node.HowMany(one->cell->request, 1) > 0; });
      if (!of_use) continue;
      room.free.push_back(AcceleratorsIn(spec, node));
      room.fits.push_back(node.HowMany(chance.cell->request, chance.on_new));
    }
    int64_t most = 0;
    for (const Chance* one : chances) {
      most += std::min<int64_t>(CeilDiv(WantedOf(*one->cell), one->on_new), one->nodes);
    }
    most = std::min<int64_t>(most, NodesToGet(draft_, group));
    const int64_t each = AcceleratorsIn(spec, spec.elastic->node_shape);
    const Growth growth = GrowthOf(draft_, group);
    for (int node = 0; node < most; ++node) {
      room.free.push_back(each);
      room.fits.push_back(chance.on_new);
      const int caused = growth.CausedBy(node + 1);
      if (caused > 0 && room.made.empty()) room.made.emplace_back();
      if (caused > 0) room.made.push_back(spec.marginal_per_node_hour.Times(caused));
    }
    return room;
  }

  [[nodiscard]] RoomToCome RoomToComeFor(const Chance& chance,
                                         const std::map<const CellState*, int64_t>& cuts) const {
    const CellState& cell = *chance.cell;
    RoomToCome room = NewFor(chance);
    if (!chance.May()) return room;
    for (const Resources& node : draft_.left_on_new[draft_.world.IndexOf(*cell.group)]) {
      room.more += node.HowMany(cell.request, kManyReplicas);
    }
    const CellAsk* ask = pool_.AskOf(cell);
    const int nodes =
        std::min(NodesToGet(draft_, *cell.group), chance.nodes - (ask == nullptr ? 0 : ask->nodes));
    room.more += int64_t{nodes} * chance.on_new;
    room.more = std::min(room.more, WantedOf(cell));
    const auto cut = cuts.find(&cell);
    if (cut != cuts.end()) room.more = std::min(room.more, cut->second);
    return room;
  }

  // The cheapest mix of what is lacking still.
  void AskForCheapest() {
    std::map<const CellState*, int64_t> cuts;
    for (int tries = 0; tries < kMostTries && IsShort(); ++tries) {
      std::map<const CellState*, RoomToCome> rooms;
      for (const Chance& chance : chances_) {
        rooms[chance.cell] = RoomToComeFor(chance, cuts);
      }
      const bool any = std::any_of(rooms.begin(), rooms.end(),
                                   [](const auto& one) { return one.second.more > 0; });
      if (!any) return;
      mixes_.SetRoomToCome(std::move(rooms));
      const Question question = mixes_.Ask(Freedom::kAsk, nullptr);
      if (TakeMix(question, CheapestMix(question.problem), cuts)) return;
    }
  }

  // False: beside the others a cell has less room than by itself; nothing is asked for, and the
  // next question knows.
  bool TakeMix(const Question& question, const Mix& mix,
               std::map<const CellState*, int64_t>& cuts) {
    const std::vector<CellAsk> asks = pool_.asks;
    const std::vector<int> coming = draft_.coming;
    const auto left = draft_.left_on_new;
    for (const Chance& chance : chances_) {
      const CellState& cell = *chance.cell;
      const int64_t has = cell.memory.desired + pool_.AskedFor(cell);
      const int64_t more = question.Of(cell, mix).value_or(has) - has;
      const int64_t taken = Take(chance, more);
      if (taken >= more) continue;
      cuts[&cell] = taken;
      CountAsks(draft_, pool_, -1);
      pool_.asks = asks;
      CountAsks(draft_, pool_, 1);
      draft_.coming = coming;
      draft_.left_on_new = left;
      return false;
    }
    return true;
  }

  // ---- what is told ----

  [[nodiscard]] Finding Waits(const CellState& cell, const CellAsk& ask) const {
    const std::string due = FormatTime(DueIn(*cell.group, ask.since));
    const std::string replicas = Count(ask.replicas, "more replica");
    const std::string what =
        ask.nodes == 0 ? fmt::format("{} on nodes that others have asked for too, at {}", replicas,
                                     FormatTime(ask.since))
                       : fmt::format("{} asked for at {} for {}", Count(ask.nodes, "more node"),
                                     FormatTime(ask.since), replicas);
    return Finding{.reason = Reason::kWaitingForNodes,
                   .message = fmt::format("{}, due by {}", what, due),
                   .remedy = fmt::format("wait until {}", due)};
  }

  void Explain(const Chance& chance) {
    std::optional<Finding>& shortage = chance.cell->shortage;
    const CellAsk* ask = pool_.AskOf(*chance.cell);
    const auto& finding = chance.finding ? chance.finding : chance.dear;
    if (ask != nullptr) {
      shortage = Waits(*chance.cell, *ask);
    } else if (finding && (!shortage || Explains(*finding, *shortage))) {
      shortage = finding;
    }
  }

  Draft& draft_;
  size_t index_;
  InferenceDraft& pool_;
  CellLimits limits_;
  MixQuestions mixes_;
  bool others_start_ = false;
  std::vector<Chance> chances_;         // in the order of the cells
  std::vector<Resources> left_before_;  // on the nodes of the group that was put something on last
};

}  // namespace

Asked AskForReplicas(Draft& draft, size_t pool) {
  const auto& cells = draft.inference[pool].cells;
  const bool could = std::any_of(cells.begin(), cells.end(), [&](const CellState& cell) {
    return MayAskIfServing(cell, draft.Now());
  });
  return could ? Asking(draft, pool).Run() : Asked{};
}

void ForgetCellAsks(Draft& draft, size_t pool) {
  InferenceDraft& inference = draft.inference[pool];
  CountAsks(draft, inference, -1);
  for (const CellAsk& ask : inference.asks) {
    draft.coming[draft.world.IndexOf(*draft.world.FindGroup(ask.node_group))] -= ask.nodes;
  }
  inference.asks.clear();
}

void ForgetCellAsks(Draft& draft) {
  for (size_t pool = 0; pool < draft.inference.size(); ++pool) ForgetCellAsks(draft, pool);
  for (std::vector<Resources>& nodes : draft.left_on_new) nodes.clear();
}

void UncountCellAsks(Draft& draft) {
  for (const InferenceDraft& pool : draft.inference) CountShares(draft, pool, -1);
}

void SettleCellAsks(Draft& draft) {
  for (InferenceDraft& pool : draft.inference) {
    for (const CellState& cell : pool.cells) {
      const CellAsk* before = AskedBefore(pool, cell);
      const bool all = before != nullptr && cell.Known() && cell.group->spec->elastic &&
                       cell.memory.desired - cell.before >= before->replicas;
      if (all) MarkInStock(draft, *cell.group);
    }
    pool.memory.asks = pool.asks;
    std::sort(pool.memory.asks.begin(), pool.memory.asks.end(),
              [](const CellAsk& a, const CellAsk& b) {
                return std::tie(a.variant, a.node_group) < std::tie(b.variant, b.node_group);
              });
    for (const CellAsk& ask : pool.asks) {
      draft.moments.push_back(DueIn(*draft.world.FindGroup(ask.node_group), ask.since));
    }
  }
}

}  // namespace spillway::placement
