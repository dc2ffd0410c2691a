#include "placement/new_nodes.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "placement/cell_asks.h"
#include "placement/spend.h"
#include "placement/starting.h"

namespace spillway::placement {
namespace {

__extension__ using Wide = __int128;

Payer PayerOf(const AskBill& bill) { return {.inference = bill.inference, .key = *bill.pool}; }

Money PriceAboveHome(const GroupView& group) { return CostAboveHome(group, group.per_node); }

// What is paid beside the shares.
Money BesideIn(const AskBill& bill, Money node) {
  const Money made = node.Times(bill.nodes);
  const Money beyond = made > bill.share ? made + Money::FromMicros(-bill.share.micros()) : Money();
  return beyond + node.Times(bill.left);
}

void SetLeft(Draft& draft, const GroupView& group, AskBill& bill, int left) {
  const Money node = PriceAboveHome(group);
  draft.quotas.AddBeside(PayerOf(bill), node.Times(left - bill.left));
  bill.left = left;
}

// As if the last of those who ask had not.
void ForgetLastBill(Draft& draft, const GroupView& group) {
  AskBills& bills = draft.bills[draft.world.IndexOf(group)];
  SetLeft(draft, group, bills.list.back(), 0);
  const AskBill last = bills.list.back();
  draft.quotas.AddBeside(PayerOf(last),
                         Money::FromMicros(-BesideIn(last, PriceAboveHome(group)).micros()));
  bills.list.pop_back();
  bills.nodes -= last.nodes;
  bills.payer = last.before;
  if (last.before) SetLeft(draft, group, bills.list[*last.before], last.left_before);
}

// What is paid by now of what is asked of the group: for nodes that are there, and for those of the
// others that are starting, evenly.
void PayForWhatIsThere(Draft& draft, size_t index) {
  const GroupView& group = draft.world.groups[index];
  const Money node = PriceAboveHome(group);
  const std::vector<AskBill> bills = draft.bills[index].list;
  int made = 0;
  for (const AskBill& bill : bills) made += bill.nodes + bill.left;
  const int starting = std::min(NodesComing(group), made);
  while (!draft.bills[index].list.empty()) ForgetLastBill(draft, group);
  for (const AskBill& bill : bills) {
    const Money whole = node.Times(bill.nodes + bill.left);
    const Money paid = bill.there + (made == 0 ? Money() : whole.Share(starting, made));
    draft.quotas.AddBeside(PayerOf(bill), paid);
  }
}

const NodeAsk* AskedBefore(const Draft& draft, size_t gang) {
  const auto& ask = draft.Pool(gang).memory.ask;
  return ask ? &*ask : nullptr;
}

// The elastic group that the gang has asked before.
const GroupView* GroupAsked(const Draft& draft, size_t gang) {
  const NodeAsk* ask = AskedBefore(draft, gang);
  const GroupView* group = ask == nullptr ? nullptr : draft.world.FindGroup(ask->node_group);
  return group != nullptr && group->spec->elastic ? group : nullptr;
}

Time Due(const NodeAsk& ask, const GroupView& group) { return DueIn(group, ask.since); }

// Others start for so long at the most until a gang that waits asks for nodes all the same.
constexpr Seconds kOthersFirst{60};

// Replicas have yet to start in a group that the gang could ask. Workers are not waited for: a gang
// that is placed in this pass would end what others have asked for in it.
bool ReplicasStartFor(Draft& draft, size_t gang) {
  const TrainingPool& spec = draft.Pool(gang);
  const auto& waits = draft.fates[gang].memory.waiting_since;
  if (waits && draft.Now() >= *waits + spec.spill_after + kOthersFirst) return false;
  return std::ranges::any_of(draft.world.groups, [&](const GroupView& group) {
    return group.spec->elastic && Accepts(spec, *group.spec) && ReplicasStart(draft, group);
  });
}

NewSupply SupplyFor(const Draft& draft, size_t gang, const GroupView& group, bool others_start) {
  NewSupply supply{.nodes = NodesToGet(draft, group),
                   .stockout = draft.stockouts[draft.world.IndexOf(group)],
                   .since = draft.Now()};
  const bool same = GroupAsked(draft, gang) == &group;
  if (same && draft.Now() < Due(*AskedBefore(draft, gang), group)) {
    supply.since = AskedBefore(draft, gang)->since;
  }
  if (others_start) supply.at_most = same ? AskedBefore(draft, gang)->nodes : 0;
  supply.growth = GrowthToPay(draft, group);
  supply.granted = same ? AskedBefore(draft, gang)->nodes : 0;
  supply.pays_for_left = WhoPaysForLeft(draft, group);
  return supply;
}

Option LookAt(Draft& draft, size_t gang, const GroupView& group, bool home_could,
              bool others_start) {
  return OptionWithNewNodes(draft.Look(), gang, draft.fates[gang].memory, group, home_could,
                            SupplyFor(draft, gang, group, others_start));
}

bool MayWait(const Option& option) {
  return option.finding && option.finding->reason == Reason::kWaitingForNodes;
}

// The time of what the gang asked for is over: the group is out of stock, if it could have got any.
// Says whether that is new.
bool NoteStockout(Draft& draft, size_t gang) {
  const GroupView* group = GroupAsked(draft, gang);
  if (group != nullptr && group->unreachable_since) return false;
  if (group == nullptr || draft.Now() < Due(*AskedBefore(draft, gang), *group)) return false;
  return MarkOutOfStock(draft, *group);
}

void CountAsk(Draft& draft, size_t gang, int sign) {
  const NodeAsk& ask = *draft.asks[gang];
  const GroupView& group = *draft.world.FindGroup(ask.node_group);
  const int64_t accelerators = int64_t{sign} * ask.workers * draft.Pool(gang).per_worker;
  draft.quotas.Add(draft.Pool(gang).key.ns, group.spec->accelerator, accelerators,
                   CostAboveHome(group, accelerators));
}

void Ask(Draft& draft, size_t gang, const Option& option) {
  const NewNodes& wanted = *option.new_nodes;
  draft.asks[gang] = NodeAsk{.node_group = option.group->spec->name,
                             .nodes = wanted.nodes,
                             .workers = wanted.workers,
                             .since = SupplyFor(draft, gang, *option.group, false).since};
  draft.coming[draft.world.IndexOf(*option.group)] += wanted.nodes;
  CountAsk(draft, gang, 1);
  const int64_t accelerators = draft.Pool(gang).per_worker;
  Money there;
  for (const NodeShare& share : NodeShares(*option.group, wanted.kept, wanted.fit * accelerators)) {
    if (!draft.quotas.IsUsed(share.node)) there += share.own;
  }
  PayForAsk(
      draft, *option.group,
      AskBill{.pool = &draft.Pool(gang).key,
              .nodes = wanted.nodes,
              .there = there,
              .share = CostAboveHome(*option.group, (wanted.workers - wanted.fit) * accelerators)});
  draft.capacity.Add(gang, Claim{.request = option.need->request,
                                 .workers = wanted.workers,
                                 .nodes = wanted.kept,
                                 .yields = true,
                                 .bound = {},
                                 .beside = {}});
  draft.contenders.reset();
}

// What somebody waited for has come.
void NoteDeliveries(Draft& draft) {
  for (const auto& [gang, before] : draft.given) {
    const NodeAsk* ask = AskedBefore(draft, gang);
    const GroupView* group = GroupAsked(draft, gang);
    const auto& placement = draft.fates[gang].memory.placement;
    if (group == nullptr || !placement || placement->node_group != ask->node_group) continue;
    if (placement->workers >= ask->workers) MarkInStock(draft, *group);
  }
}

// All workers in any group of a tier come before fewer in another one of it.
bool IsForAllWhere(const Option& option, const Option& other) {
  return option.group->spec->tier == other.group->spec->tier && !option.need->IsPart() &&
         other.need->IsPart();
}

// What it would cost an hour there: its share of nodes that there are, and all of those that it
// causes.
Money BillOf(const Draft& draft, size_t gang, const Option& option) {
  const GroupView& group = *option.group;
  const NewNodes& wanted = *option.new_nodes;
  const Money node = group.spec->marginal_per_node_hour;
  const auto share = [&](int64_t workers) {
    return node.Share(workers * draft.Pool(gang).per_worker, group.per_node);
  };
  const Money caused = node.Times(GrowthOf(draft, group).CausedBy(wanted.nodes));
  return share(wanted.fit) + std::max(caused, share(wanted.workers - wanted.fit));
}

// Would it ask for them if others had started?
bool WaitsForOthers(const Option& option) {
  return option.new_nodes && option.new_nodes->others_first;
}

// The first in the order of tiers and choices, and of those that stand there the one that costs the
// least for each worker; where price leads, of all. nullptr: it may wait for none of them.
const Option* ChooseLook(const Draft& draft, size_t gang, const std::vector<const Option*>& looks) {
  const bool by_price = draft.Pool(gang).preference == Preference::kPrice;
  const auto place = [](const Option& one) {
    return std::tuple(one.group->spec->tier, one.need->choice, one.need->IsPart());
  };
  const auto bill = [&](const Option& one, const Option& by) {
    return Wide{BillOf(draft, gang, one).micros()} * by.new_nodes->workers;
  };
  const Option* chosen = nullptr;
  for (const Option* look : looks) {
    const bool beaten = !MayWait(*look) || std::ranges::any_of(looks, [&](const Option* other) {
      return MayWait(*other) && IsForAllWhere(*other, *look);
    });
    if (beaten) continue;
    const bool cheaper = chosen != nullptr && (by_price || place(*look) == place(*chosen)) &&
                         bill(*look, *chosen) < bill(*chosen, *look);
    if (chosen == nullptr || cheaper) chosen = look;
  }
  return chosen;
}

// Which of what is in the way the gang says: what could help with new nodes, or what they lack.
void Explain(Option& option, Option look, bool asked) {
  if (asked) {
    option = std::move(look);
    return;
  }
  if (look.held_until) option.held_until = look.held_until;
  option.new_nodes = look.new_nodes;
  if (Explains(*look.finding, *option.finding)) {
    option.short_of_room = option.LacksRoom();
    option.finding = look.finding;
    option.remedies = look.remedies;
  }
}

}  // namespace

int NodesToGet(const Draft& draft, const GroupView& group) {
  const int there = NodesThere(group) + NodesLeaving(group);
  const int missing = std::max(MostNodes(*group.spec) - there, 0);
  return missing + NodesComing(group) - draft.coming[draft.world.IndexOf(group)];
}

Time DueIn(const GroupView& group, Time since) {
  return since + group.spec->elastic->provision_timeout;
}

bool MarkOutOfStock(Draft& draft, const GroupView& group) {
  std::optional<Stockout>& stockout = draft.stockouts[draft.world.IndexOf(group)];
  if (stockout && draft.Now() < stockout->next_try) return false;
  const Elastic& elastic = *group.spec->elastic;
  Stockout next = stockout.value_or(Stockout{.since = draft.Now(), .attempts = 0, .next_try = {}});
  Seconds wait = std::max(elastic.backoff_initial, Seconds{1});
  for (int i = 0; i < next.attempts && wait < elastic.backoff_max; ++i) wait *= 2;
  ++next.attempts;
  next.next_try = draft.Now() + std::min(wait, std::max(elastic.backoff_max, Seconds{1}));
  stockout = next;
  return true;
}

void MarkInStock(Draft& draft, const GroupView& group) {
  std::optional<Stockout>& stockout = draft.stockouts[draft.world.IndexOf(group)];
  if (stockout && stockout->next_try <= draft.Now()) stockout.reset();
}

bool Explains(const Finding& new_nodes, Finding& now) {
  const Reason reason = new_nodes.reason;
  if (reason == Reason::kWaitingForCapacity || reason == Reason::kWaitingForDomain ||
      reason == Reason::kNodeTooSmall || reason == Reason::kConstraintsNotMet) {
    now.message += "; " + new_nodes.message;
    return false;
  }
  return reason != Reason::kWaitingForNodes && reason != now.reason;
}

void ForgetAsk(Draft& draft, size_t gang) {
  if (!draft.asks[gang]) return;
  CountAsk(draft, gang, -1);
  const GroupView& group = *draft.world.FindGroup(draft.asks[gang]->node_group);
  ForgetBill(draft, group, {.key = draft.Pool(gang).key});
  draft.coming[draft.world.IndexOf(group)] -= draft.asks[gang]->nodes;
  draft.asks[gang].reset();
  ClaimWhatItHas(draft, gang);
}

std::vector<int> NodesAskedBefore(const World& world) {
  std::vector<int> nodes(world.groups.size());
  const auto add = [&](const std::string& name, int count) {
    const GroupView* group = world.FindGroup(name);
    if (group != nullptr) nodes[world.IndexOf(*group)] += count;
  };
  for (size_t gang = 0; gang < world.gangs; ++gang) {
    const auto& ask = world.pools[gang]->memory.ask;
    if (ask) add(ask->node_group, ask->nodes);
  }
  for (const InferencePool* pool : world.inference) {
    for (const CellAsk& ask : pool->memory.asks) add(ask.node_group, ask.nodes);
  }
  return nodes;
}

void TakeBackBefore(Draft& draft, const std::string& group, int nodes) {
  const GroupView* view = draft.world.FindGroup(group);
  if (view == nullptr) return;
  int& later = draft.asked_later[draft.world.IndexOf(*view)];
  later = std::max(later - nodes, 0);
}

void ForgetAsks(Draft& draft) {
  draft.asked_later = NodesAskedBefore(draft.world);
  ForgetStarting(draft);
  ForgetBills(draft);
  for (size_t gang = 0; gang < draft.asks.size(); ++gang) ForgetAsk(draft, gang);
  ForgetCellAsks(draft);
}

std::optional<Option> AskThatStands(Draft& draft, size_t gang) {
  const GroupView* group = GroupAsked(draft, gang);
  if (group == nullptr || draft.Now() >= Due(*AskedBefore(draft, gang), *group)) {
    return std::nullopt;
  }
  const bool home_could = HomeCould(draft.Look(), gang, draft.fates[gang].memory);
  Option option = LookAt(draft, gang, *group, home_could, ReplicasStartFor(draft, gang));
  if (!MayWait(option)) return std::nullopt;
  return option;
}

Asked AskForNodes(Draft& draft, size_t gang) {
  const bool could = std::ranges::any_of(draft.options[gang], [](const Option& option) {
    return option.acceptable && option.group->spec->elastic;
  });
  if (!could && GroupAsked(draft, gang) == nullptr) return {};
  Asked asked{.released = NoteStockout(draft, gang)};
  const NodeAsk* before = AskedBefore(draft, gang);
  if (before != nullptr) TakeBackBefore(draft, before->node_group, before->nodes);
  const auto stands = AskThatStands(draft, gang);
  const bool home_could = HomeCould(draft.Look(), gang, draft.fates[gang].memory);
  const bool others_start = ReplicasStartFor(draft, gang);
  std::vector<std::pair<Option*, Option>> looks;
  for (Option& option : draft.options[gang]) {
    if (!option.acceptable || !option.group->spec->elastic || option.too_dear) continue;
    looks.emplace_back(&option, LookAt(draft, gang, *option.group, home_could, others_start));
  }
  const auto is_dear = [](const auto& look) { return look.second.too_dear; };
  if (std::ranges::any_of(looks, is_dear)) NoteTooDear(draft);
  std::vector<const Option*> may_ask;
  for (const auto& [option, look] : looks) {
    if (!stands || option->group == stands->group) may_ask.push_back(&look);
    asked.waits = asked.waits || WaitsForOthers(look);
  }
  const Option* chosen = ChooseLook(draft, gang, may_ask);
  if (chosen != nullptr) Ask(draft, gang, *chosen);
  asked.waits = asked.waits || chosen != nullptr;
  for (auto& [option, look] : looks) {
    const bool is_chosen = &look == chosen;
    Explain(*option, std::move(look), is_chosen);
  }
  return asked;
}

void UncountAsks(Draft& draft) {
  for (size_t gang = 0; gang < draft.asks.size(); ++gang) {
    if (draft.asks[gang]) CountAsk(draft, gang, -1);
  }
  UncountCellAsks(draft);
  for (size_t group = 0; group < draft.bills.size(); ++group) PayForWhatIsThere(draft, group);
}

int DesiredNodes(const Draft& draft, size_t index) {
  Growth growth = GrowthOf(draft, draft.world.groups[index]);
  growth.asked = draft.coming[index];
  return growth.Desired(0);
}

Growth GrowthOf(const Draft& draft, const GroupView& group) {
  const size_t index = draft.world.IndexOf(group);
  const Elastic& elastic = *group.spec->elastic;
  // What was decided before is not there any more as it is.
  const auto& leaving = draft.leaving[index];
  const bool decided = leaving && leaving->replicas && NodesLeaving(group) == 0;
  const int there =
      NodesThere(group) - (decided ? static_cast<int>(std::ssize(leaving->nodes)) : 0);
  const int most = std::max(MostNodes(*group.spec), there);
  const int least = std::max(there, std::min(elastic.min_nodes, most));
  // Steps count from its minNodes where it has not been told yet to have so many: this pass tells
  // it, and those who ask find them told in the next.
  return {.there = there,
          .coming = NodesComing(group),
          .asked = draft.coming[index] + draft.asked_later[index],
          .before = std::clamp(group.spec->memory.desired.value_or(there), least, most),
          .step = std::max(elastic.step_nodes, 1),
          .least = least,
          .most = most,
          .anyway = std::max(there - NodesComing(group), std::min(elastic.min_nodes, most))};
}

Growth GrowthToPay(const Draft& draft, const GroupView& group) {
  Growth growth = GrowthOf(draft, group);
  growth.asked = draft.bills[draft.world.IndexOf(group)].nodes;
  return growth;
}

const PoolKey* WhoPaysForLeft(const Draft& draft, const GroupView& group) {
  const AskBills& bills = draft.bills[draft.world.IndexOf(group)];
  return bills.payer ? bills.list[*bills.payer].pool : nullptr;
}

void PayForAsk(Draft& draft, const GroupView& group, AskBill bill) {
  const Money node = PriceAboveHome(group);
  if (node <= Money()) return;
  AskBills& bills = draft.bills[draft.world.IndexOf(group)];
  const Growth growth = GrowthToPay(draft, group);
  const bool takes = growth.TakesAStep(bill.nodes);
  const int left = growth.LeftOfStep(bill.nodes);
  bill.left = takes ? left : 0;
  bill.before = bills.payer;
  if (bill.before) {
    AskBill& payer = bills.list[*bill.before];
    bill.left_before = payer.left;
    SetLeft(draft, group, payer, takes ? 0 : left);
  }
  draft.quotas.AddBeside(PayerOf(bill), BesideIn(bill, node));
  if (left == 0) {
    bills.payer.reset();
  } else if (takes) {
    bills.payer = bills.list.size();
  }
  bills.nodes += bill.nodes;
  bills.list.push_back(bill);
}

void ForgetBill(Draft& draft, const GroupView& group, const Payer& pool) {
  const std::vector<AskBill>& bills = draft.bills[draft.world.IndexOf(group)].list;
  const auto is_its = [&](const AskBill& bill) {
    return bill.inference == pool.inference && *bill.pool == pool.key;
  };
  if (std::ranges::none_of(bills, is_its)) return;
  std::vector<AskBill> later;
  while (!is_its(bills.back())) {
    later.push_back(bills.back());
    ForgetLastBill(draft, group);
  }
  ForgetLastBill(draft, group);
  for (; !later.empty(); later.pop_back()) PayForAsk(draft, group, later.back());
}

void ForgetBills(Draft& draft) {
  for (size_t g = 0; g < draft.bills.size(); ++g) {
    while (!draft.bills[g].list.empty()) ForgetLastBill(draft, draft.world.groups[g]);
  }
}

void SettleAsks(Draft& draft) {
  NoteDeliveries(draft);
  for (size_t gang = 0; gang < draft.asks.size(); ++gang) {
    Fate& fate = draft.fates[gang];
    if (fate.action == Action::kDone) continue;
    fate.memory.ask = draft.asks[gang];
    if (!fate.memory.ask) continue;
    draft.moments.push_back(
        Due(*fate.memory.ask, *draft.world.FindGroup(fate.memory.ask->node_group)));
  }
  SettleCellAsks(draft);
  for (const auto& stockout : draft.stockouts) {
    if (stockout) draft.moments.push_back(stockout->next_try);
  }
}

}  // namespace spillway::placement
