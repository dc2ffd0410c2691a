#include "placement/new_nodes.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "placement/cell_asks.h"
#include "placement/spend.h"
#include "placement/starting.h"

namespace spillway::placement {
namespace {

__extension__ using Wide = __int128;

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

// Replicas have yet to start in a group that the gang could ask. Workers are not waited for: a gang
// that is placed in this pass would end what others have asked for in it.
bool ReplicasStartFor(Draft& draft, size_t gang) {
  return std::ranges::any_of(draft.world.groups, [&](const GroupView& group) {
    return group.spec->elastic && Accepts(draft.Pool(gang), *group.spec) &&
           ReplicasStart(draft, group, nullptr);
  });
}

NewSupply SupplyFor(Draft& draft, size_t gang, const GroupView& group) {
  NewSupply supply{.nodes = NodesToGet(draft, group),
                   .stockout = draft.stockouts[draft.world.IndexOf(group)],
                   .since = draft.Now()};
  const bool same = GroupAsked(draft, gang) == &group;
  if (same && draft.Now() < Due(*AskedBefore(draft, gang), group)) {
    supply.since = AskedBefore(draft, gang)->since;
  }
  if (ReplicasStartFor(draft, gang)) supply.at_most = same ? AskedBefore(draft, gang)->nodes : 0;
  return supply;
}

Option LookAt(Draft& draft, size_t gang, const GroupView& group, bool home_could) {
  return OptionWithNewNodes(draft.Look(), gang, draft.fates[gang].memory, group, home_could,
                            SupplyFor(draft, gang, group));
}

bool MayWait(const Option& option) {
  return option.finding && option.finding->reason == Reason::kWaitingForNodes;
}

// The time of what the gang asked for is over: the group is out of stock. Says whether that is new.
bool NoteStockout(Draft& draft, size_t gang) {
  const GroupView* group = GroupAsked(draft, gang);
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
                             .since = SupplyFor(draft, gang, *option.group).since};
  draft.coming[draft.world.IndexOf(*option.group)] += wanted.nodes;
  CountAsk(draft, gang, 1);
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

// Does it cost less for each worker, where nothing but price decides between them?
bool IsCheaper(const Draft& draft, size_t gang, const Option& option, const Option& other) {
  if (option.need->IsPart() != other.need->IsPart()) return false;
  const auto place = [](const Option& one) {
    return std::pair(one.group->spec->tier, one.need->choice);
  };
  if (draft.Pool(gang).preference != Preference::kPrice && place(option) != place(other)) {
    return false;
  }
  const auto bill = [&](const Option& one, const Option& by) {
    return Wide{BillOf(draft, gang, one).micros()} * by.new_nodes->workers;
  };
  return bill(option, other) < bill(other, option);
}

bool ComesBefore(const Draft& draft, size_t gang, const Option& option, const Option& other) {
  return IsForAllWhere(option, other) || IsCheaper(draft, gang, option, other);
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
  draft.coming[draft.world.IndexOf(group)] -= draft.asks[gang]->nodes;
  draft.asks[gang].reset();
  ClaimWhatItHas(draft, gang);
}

void ForgetAsks(Draft& draft) {
  for (size_t gang = 0; gang < draft.asks.size(); ++gang) ForgetAsk(draft, gang);
  ForgetCellAsks(draft);
}

std::optional<Option> AskThatStands(Draft& draft, size_t gang) {
  const GroupView* group = GroupAsked(draft, gang);
  if (group == nullptr || draft.Now() >= Due(*AskedBefore(draft, gang), *group)) {
    return std::nullopt;
  }
  const bool home_could = HomeCould(draft.Look(), gang, draft.fates[gang].memory);
  Option option = LookAt(draft, gang, *group, home_could);
  if (!MayWait(option)) return std::nullopt;
  return option;
}

Asked AskForNodes(Draft& draft, size_t gang) {
  const bool could = std::ranges::any_of(draft.options[gang], [](const Option& option) {
    return option.acceptable && option.group->spec->elastic;
  });
  if (!could && GroupAsked(draft, gang) == nullptr) return {};
  Asked asked{.released = NoteStockout(draft, gang)};
  const auto stands = AskThatStands(draft, gang);
  const bool home_could = HomeCould(draft.Look(), gang, draft.fates[gang].memory);
  std::vector<std::pair<Option*, Option>> looks;
  std::optional<size_t> chosen;
  for (Option& option : draft.options[gang]) {
    if (!option.acceptable || !option.group->spec->elastic) continue;
    looks.emplace_back(&option, LookAt(draft, gang, *option.group, home_could));
    const Option& look = looks.back().second;
    if (!MayWait(look)) continue;
    const bool prefers = stands ? option.group == stands->group
                                : !chosen || ComesBefore(draft, gang, look, looks[*chosen].second);
    if (prefers) chosen = looks.size() - 1;
  }
  if (chosen) Ask(draft, gang, looks[*chosen].second);
  for (size_t i = 0; i < looks.size(); ++i) {
    Explain(*looks[i].first, std::move(looks[i].second), chosen == i);
  }
  asked.waits = chosen.has_value();
  return asked;
}

void UncountAsks(Draft& draft) {
  for (size_t gang = 0; gang < draft.asks.size(); ++gang) {
    if (draft.asks[gang]) CountAsk(draft, gang, -1);
  }
  UncountCellAsks(draft);
}

int DesiredNodes(const Draft& draft, size_t index) {
  return GrowthOf(draft, draft.world.groups[index]).Desired(0);
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
  return {.there = there,
          .coming = NodesComing(group),
          .asked = draft.coming[index],
          .before = std::clamp(group.spec->memory.desired.value_or(there), there, most),
          .step = std::max(elastic.step_nodes, 1),
          .least = std::max(there, std::min(elastic.min_nodes, most)),
          .most = most};
}

int Growth::Desired(int more) const {
  if (asked + more == 0) return least;
  const int wanted = std::max(asked + more - coming, 0);
  const int short_of = std::max(there + wanted - before, 0);
  const int steps = (short_of + step - 1) / step;
  return std::clamp(before + steps * step, least, most);
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
