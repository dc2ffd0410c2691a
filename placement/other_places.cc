// Where else a gang could run, and what it would cost there.
#include "placement/other_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "placement/cell_asks.h"
#include "placement/checks.h"
#include "placement/moves.h"
#include "placement/new_nodes.h"
#include "placement/plan.h"
#include "placement/quotas.h"
#include "placement/stories.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

struct Price {
  Money full;
  Money marginal;
};

Price PriceIn(const GroupView& group, int64_t accelerators) {
  return {.full = group.spec->per_node_hour.Share(accelerators, group.per_node),
          .marginal = group.spec->marginal_per_node_hour.Share(accelerators, group.per_node)};
}

// The same at the margin with all of those nodes that it would have for itself, as long as nobody
// else uses what it leaves of them. Where no nodes are chosen: of as few as its workers fill.
Money WithWholeNodes(const Draft& draft, const TrainingPool& pool, const Option& option,
                     const Need& need) {
  const GroupView& group = *option.group;
  const int64_t accelerators = need.Accelerators(pool);
  Money cost = PriceIn(group, accelerators).marginal;
  if (!IsPaidByNode(*group.spec)) return cost;
  if (!option.Fits()) {
    const int64_t each = std::max<int64_t>(group.per_node / std::max(pool.per_worker, 1), 1);
    return std::max(cost,
                    group.spec->marginal_per_node_hour.Times((need.workers + each - 1) / each));
  }
  for (const NodeShare& share : NodeShares(group, option.fit->nodes, accelerators)) {
    cost += draft.quotas.BesideFor({.inference = false, .key = pool.key}, share);
  }
  return cost;
}

// What the gang would cost in the option's group. Where it does not fit: with all its workers.
std::string PriceOf(const Draft& draft, const TrainingPool& pool, const Option& option) {
  const Need need = option.Fits() ? *option.need : option.need->For(option.need->all);
  const Price price = PriceIn(*option.group, need.Accelerators(pool));
  std::string text = fmt::format("for {} {} an hour, {} at the margin", price.full.Format(),
                                 draft.world.snapshot->currency, price.marginal.Format());
  const Money whole = WithWholeNodes(draft, pool, option, need);
  if (whole > price.marginal) {
    text += fmt::format(", {} with its nodes for itself", whole.Format());
  }
  if (option.Fits()) return ", " + text;
  if (!option.need->IsPart()) return "; " + text;
  return fmt::format("; with all of its {} {}", Count(need.all, "worker"), text);
}

// Why a gang that runs outside home does not go where it would fit at home for less; an empty text:
// it does, or there is no such reason to go.
std::string WhyItStays(const TrainingPool& pool, const Placement& placement, const GroupView& from,
                       const Option& to) {
  if (from.spec->tier == 0 || to.group->spec->tier > 0) return "";
  if (pool.return_home == ReturnHome::kNever) {
    return "; it stays where it is, as placement.returnHome.policy is Never";
  }
  const auto need = NeedToReturn(pool, placement, *to.group->spec);
  if (to.need->workers < need->least) {
    return fmt::format("; it stays where it is, as it returns with no fewer than {}",
                       Count(need->least, "worker"));
  }
  if (Pays(pool, placement, from, *to.group, *need)) return "";
  return fmt::format(
      "; it stays where it is, as that saves less than placement.returnHome.minSavingsPercent of "
      "{}",
      pool.return_min_savings_percent);
}

Alternative PlaceFor(const Draft& draft, size_t gang, const Placement& now, const Option& option) {
  Alternative alternative = AlternativeOf(option);
  if (!alternative.fits) return alternative;
  const TrainingPool& pool = draft.Pool(gang);
  const Price there = PriceIn(*option.group, option.need->Accelerators(pool));
  alternative.message += PriceOf(draft, pool, option);
  const GroupView* from = draft.world.FindGroup(now.node_group);
  if (from == nullptr) return alternative;
  const Price here = PriceIn(*from, AcceleratorsOf(pool, now));
  alternative.message += ": " + Compared(there.marginal, here.marginal);
  if (there.marginal < here.marginal) {
    alternative.message += WhyItStays(pool, now, *from, option);
  }
  return alternative;
}

// As if it looked for a place anew, and had been held back from spilling for long enough.
void Release(Draft& draft, size_t gang) {
  Fate& fate = draft.fates[gang];
  CountGang(draft.quotas, draft.world, draft.Pool(gang), *fate.memory.placement, -1);
  fate.memory.placement.reset();
  fate.memory.hold.reset();
  fate.memory.waiting_since = draft.Now() - draft.Pool(gang).spill_after;
  fate.course = Course::kQueue;
  ClaimWhatItHas(draft, gang);
  draft.first.emplace(CoverageOf(draft));
}

// REQUIRES that the draft is settled and the gang has a place.
std::vector<Alternative> PlacesFor(Draft& draft, size_t gang) {
  const TrainingPool& pool = draft.Pool(gang);
  if (Blocked(pool) || pool.template_unchecked) return {};
  const Placement now = *draft.fates[gang].memory.placement;
  Release(draft, gang);
  OpenTo(draft, RankOf(draft, gang));
  std::vector<Alternative> places;
  for (const Option& option : OptionsFor(draft.Look(), gang, draft.fates[gang].memory)) {
    if (option.group->spec->name == now.node_group) continue;
    places.push_back(PlaceFor(draft, gang, now, option));
  }
  return places;
}

// What the plan says of places for who looks for one, each with what it would cost the gang there.
std::vector<Alternative> Priced(const Draft& draft, size_t gang, std::vector<Alternative> places) {
  const TrainingPool& pool = draft.Pool(gang);
  const auto& has = draft.fates[gang].memory.placement;
  for (Alternative& place : places) {
    if (has && has->node_group == place.group) continue;
    for (const Option& option : draft.options[gang]) {
      if (option.group->spec->name != place.group || !option.acceptable) continue;
      place.message += PriceOf(draft, pool, option);
    }
  }
  return places;
}

}  // namespace

void OpenTo(Draft& draft, const Rank& rank) {
  const auto is_before = [&draft, &rank](size_t other) {
    return HasTurnBefore(draft.quotas, rank, RankOf(draft, other));
  };
  for (size_t group = 0; group < draft.promises.size(); ++group) {
    auto& promise = draft.promises[group];
    if (!promise || !is_before(promise->gang)) continue;
    draft.capacity.KeepNothing(group);
    promise.reset();
  }
  LiftMoves(draft);
  for (size_t other = 0; other < draft.inference.size(); ++other) {
    const bool is_behind =
        HasTurnBefore(draft.quotas, rank, RankOf(draft.inference[other], draft.Now()));
    if (is_behind) ForgetCellAsks(draft, other);
  }
  for (size_t other = 0; other < draft.fates.size(); ++other) {
    if (draft.asks[other] && is_before(other)) ForgetAsk(draft, other);
    // Who only grows takes what everybody else leaves.
    if (!IsMoving(draft.fates[other]) || IsGrowing(draft, other) || is_before(other)) continue;
    CarryMove(draft, other);
  }
}

std::string Compared(Money there, Money now) {
  const int64_t more = there.micros() - now.micros();
  if (more == 0) return "as much as now";
  return fmt::format("{} {} than now", Money::FromMicros(std::abs(more)).Format(),
                     more > 0 ? "more" : "less");
}

std::vector<Alternative> AlternativesFor(const Snapshot& snapshot, const PoolDecision& decision) {
  // Who has to leave looked for another place in the pass.
  const bool stays = decision.placed && !decision.IsStuck();
  if (!stays && decision.alternatives.empty()) return {};
  Draft draft(snapshot);
  Settle(draft);
  for (size_t gang = 0; gang < draft.fates.size(); ++gang) {
    if (draft.Pool(gang).key != decision.key) continue;
    return stays ? PlacesFor(draft, gang) : Priced(draft, gang, decision.alternatives);
  }
  return {};
}

}  // namespace spillway::placement
