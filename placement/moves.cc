#include "placement/moves.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "placement/attempts.h"
#include "placement/claims.h"
#include "placement/evictions.h"
#include "placement/preemption.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

__extension__ using Wide = __int128;

// What must be left of a gang's work for a return, in times that a new attempt takes to start.
constexpr int kLeastRest = 10;

enum class Why { kReturn, kDrain, kBudget, kGrow };

// Must it leave where it is, whether or not that pays?
bool IsForced(Why why) { return why == Why::kDrain || why == Why::kBudget; }

bool IsOverBudget(const Draft& draft, size_t pool) {
  return IsOverBudget(draft.world, draft.quotas.Spend(), draft.Pool(pool),
                      *draft.fates[pool].memory.placement);
}

bool MayBeMoved(const Draft& draft, size_t pool) {
  return MayBeMoved(draft.world, draft.Pool(pool), *draft.fates[pool].memory.placement);
}

// Why the gang should run elsewhere, whatever is left of its work and whether or not it can be
// moved now; nullopt: it should not.
std::optional<Why> WhyElsewhere(const Draft& draft, size_t pool) {
  const Fate& fate = draft.fates[pool];
  if (fate.course != Course::kStay || fate.action != Action::kKeep) return std::nullopt;
  const GroupView* group = draft.world.GroupOf(draft.Pool(pool), *fate.memory.placement);
  if (group == nullptr || !group->spec->misconfigured.empty()) return std::nullopt;
  const bool drained = group->spec->admission == Admission::kDrain;
  const bool returns = group->spec->tier > 0 && draft.Pool(pool).return_home != ReturnHome::kNever;
  const bool over_budget = IsOverBudget(draft, pool);
  if (!drained && !returns && !over_budget) return std::nullopt;
  if (over_budget) return Why::kBudget;
  return drained ? Why::kDrain : Why::kReturn;
}

// The same where it can be moved now.
std::optional<Why> WhyLeave(const Draft& draft, size_t pool) {
  const auto why = WhyElsewhere(draft, pool);
  return why && MayBeMoved(draft, pool) ? why : std::nullopt;
}

bool IsWorthIt(const Draft& draft, size_t pool, Why why) {
  return why != Why::kReturn ||
         IsWorthReturning(draft.Pool(pool), draft.fates[pool].memory, draft.Now());
}

// The same where what is left is worth it.
std::optional<Why> WhyMove(const Draft& draft, size_t pool) {
  const auto why = WhyLeave(draft, pool);
  return why && IsWorthIt(draft, pool, *why) ? why : std::nullopt;
}

// When the gang ends by its expectedSeconds, where that is what is known of it.
std::optional<Time> ExpectedEnd(const TrainingPool& pool, const PoolMemory& memory) {
  if (pool.remaining || !pool.expected || !memory.started) return std::nullopt;
  return *memory.started + *pool.expected;
}

// Does it run with fewer workers than it may have there?
bool IsPartOf(const TrainingPool& pool, const Placement& placement, const NodeGroup& group) {
  const auto choice = ChoiceIn(pool, group);
  if (!choice) return false;
  const AcceptedAccelerator& accepted = pool.accelerators[*choice];
  return accepted.IsElastic() && placement.workers < accepted.workers;
}

// May the gang start anew in its group with more workers, room aside? One move at a time.
bool MayGrow(const Draft& draft, size_t pool) {
  const Fate& fate = draft.fates[pool];
  if (fate.course != Course::kStay || fate.action != Action::kKeep) return false;
  if (std::ranges::none_of(draft.Pool(pool).accelerators, &AcceptedAccelerator::IsElastic)) {
    return false;
  }
  if (IsMoving(fate) && !IsGrowing(draft, pool)) return false;
  if (IsOverBudget(draft, pool)) return false;
  const TrainingPool& gang = draft.Pool(pool);
  const Placement& placement = *fate.memory.placement;
  const GroupView* group = draft.world.FindGroup(placement.node_group);
  if (group == nullptr || !IsPartOf(gang, placement, *group->spec)) return false;
  if (group->spec->admission != Admission::kOpen || !group->spec->misconfigured.empty()) {
    return false;
  }
  return gang.return_home != ReturnHome::kNever && MayBeMoved(draft.world, gang, placement);
}

// Of those who wait and could use room, by group: who comes first. Some could have it now, and wait
// for a better place.
using FirstWaiting = std::vector<std::optional<Rank>>;
FirstWaiting WhoWaitsFirst(const Draft& draft) {
  FirstWaiting first(draft.world.groups.size());
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    if (draft.fates[p].course != Course::kQueue) continue;
    const Rank rank = RankOf(draft, p);
    for (const Option& option : draft.options[p]) {
      if (!option.LacksRoom() && !option.Fits()) continue;
      std::optional<Rank>& before = first[draft.world.IndexOf(*option.group)];
      if (!before || rank.Before(*before)) before = rank;
    }
  }
  return first;
}

// Does somebody who comes before it wait for room in its group, or for its own place?
bool IsWanted(Draft& draft, size_t pool, const FirstWaiting& waiting) {
  if (ContendersOf(draft).promised[pool]) return true;
  const PoolMemory& memory = draft.fates[pool].memory;
  const GroupView* group = draft.world.FindGroup(memory.placement->node_group);
  if (group == nullptr) return false;
  const auto& first = waiting[draft.world.IndexOf(*group)];
  return first && first->Before(RankOf(draft, pool));
}

// What remembers since when there has been room for the gang to go.
std::optional<Time> PoolMemory::* RoomSince(Why why) {
  return why == Why::kGrow ? &PoolMemory::growth_fits_since : &PoolMemory::home_fits_since;
}

// While this lives, what the gang has counts against no quota or spend limit; afterwards what it
// has by then does, if it still has a place.
class CountedOnce {
 public:
  CountedOnce(Draft& draft, size_t pool) : draft_(draft), pool_(pool) { Count(-1); }
  ~CountedOnce() { Count(1); }
  CountedOnce(const CountedOnce&) = delete;
  CountedOnce& operator=(const CountedOnce&) = delete;

 private:
  void Count(int sign) {
    const auto& placement = draft_.fates[pool_].memory.placement;
    if (!placement) return;
    CountGang(draft_.quotas, draft_.world, draft_.Pool(pool_), *placement, sign);
  }
  Draft& draft_;
  size_t pool_;
};

bool ComesFirst(Preference preference, const Option& left, const Option& right) {
  const int price = ComparePrice(*left.group, *right.group);
  if (preference == Preference::kPrice && price != 0) return price < 0;
  if (left.need->choice != right.need->choice) return left.need->choice < right.need->choice;
  if (left.need->workers != right.need->workers) return left.need->workers > right.need->workers;
  if (price != 0) return price < 0;
  return std::tie(left.fit->left_over, left.group->spec->name) <
         std::tie(right.fit->left_over, right.group->spec->name);
}

// The gang in a group at home, if it could return to it now.
std::optional<Option> HomeOption(Draft& draft, size_t pool, const GroupView& from,
                                 const GroupView& to) {
  if (to.spec->tier > 0) return std::nullopt;
  const TrainingPool& gang = draft.Pool(pool);
  const PoolMemory& memory = draft.fates[pool].memory;
  const auto need = NeedToReturn(gang, *memory.placement, *to.spec);
  if (!need || !Pays(gang, *memory.placement, from, to, *need)) return std::nullopt;
  return FittingOption(draft.Look(), pool, memory, to, *need);
}

// Is there any?
bool FitsAtHome(Draft& draft, size_t pool) {
  const PoolMemory& memory = draft.fates[pool].memory;
  const GroupView& from = *draft.world.GroupOf(draft.Pool(pool), *memory.placement);
  return std::ranges::any_of(draft.world.groups, [&](const GroupView& to) {
    return HomeOption(draft, pool, from, to).has_value();
  });
}

// Groups at home that the gang could return to now, the best first.
std::vector<Option> HomeOptions(Draft& draft, size_t pool) {
  const TrainingPool& gang = draft.Pool(pool);
  const PoolMemory& memory = draft.fates[pool].memory;
  const GroupView& from = *draft.world.FindGroup(memory.placement->node_group);
  std::vector<Option> options;
  for (const GroupView& to : draft.world.groups) {
    auto option = HomeOption(draft, pool, from, to);
    if (option) options.push_back(std::move(*option));
  }
  std::sort(options.begin(), options.end(), [&](const Option& left, const Option& right) {
    return ComesFirst(gang.preference, left, right);
  });
  return options;
}

// Where the gang could go now, the best first. REQUIRES that what it has is not counted.
std::vector<Option> Targets(Draft& draft, size_t pool, Why why) {
  if (why == Why::kReturn) return HomeOptions(draft, pool);
  draft.options[pool] = OptionsFor(draft.Look(), pool, draft.fates[pool].memory);
  std::vector<Option> targets = draft.options[pool];
  std::erase_if(targets, [](const Option& option) { return !option.Fits(); });
  return targets;
}

bool IsDue(const Draft& draft, size_t pool, Why why) {
  const PoolMemory& memory = draft.fates[pool].memory;
  const Time since = (memory.*RoomSince(why)).value_or(draft.Now());
  return since + ReturnWait(draft.Pool(pool), memory) <= draft.Now();
}

bool LeavesAnytime(const TrainingPool& pool, Why why) {
  return !IsForced(why) && pool.return_home == ReturnHome::kAnytime;
}

// When a gang that decided at `decided` to move goes: once that is written down, and at its next
// checkpoint.
Time LeavesAt(const TrainingPool& pool, const Placement& placement, Why why, Time decided) {
  const Time soonest = decided + kNotice;
  return LeavesAnytime(pool, why) ? soonest : CheckpointAfter(pool, placement, decided, soonest);
}

// The same for the gang as it is; for one that leaves because of money its checkpoint counts from
// when it had to.
Time GoesAt(const Draft& draft, size_t pool, Why why, Time decided) {
  const TrainingPool& gang = draft.Pool(pool);
  const PoolMemory& memory = draft.fates[pool].memory;
  if (why != Why::kBudget) return LeavesAt(gang, *memory.placement, why, decided);
  return std::max(LeavesForMoneyAt(gang, memory, draft.Now()), decided + kNotice);
}

void HoldTarget(Draft& draft, size_t pool, Why why, const std::string& group, const Fit& fit) {
  PoolMemory& memory = draft.fates[pool].memory;
  std::optional<Time>& since = memory.*RoomSince(why);
  if (!IsForced(why) && !since) since = draft.Now();
  Hold& hold = memory.hold.emplace();
  hold.node_group = group;
  hold.domain = fit.domain;
  for (const size_t node : fit.nodes) {
    hold.nodes.push_back(draft.world.nodes[node]->id.name);
  }
  hold.since = draft.Now();
  hold.until = GoesAt(draft, pool, why, draft.Now()) + kClaimSlack;
  ClaimWhatItHas(draft, pool);
}

// What it held it does not get; there has to be room anew for as long.
void DropTarget(Draft& draft, size_t pool, Why why) {
  PoolMemory& memory = draft.fates[pool].memory;
  memory.hold.reset();
  (memory.*RoomSince(why)).reset();
  ClaimWhatItHas(draft, pool);
}

std::string WhyItMoved(const Draft& draft, size_t pool, Why why, const Placement& placement,
                       int workers, const PoolMemory& memory) {
  const std::string& from = placement.node_group;
  if (why == Why::kGrow) {
    return fmt::format("grew from {} to {} workers on {}, which has had room for more since {}",
                       placement.workers, workers, from,
                       FormatTime(memory.growth_fits_since.value_or(draft.Now())));
  }
  if (why == Why::kDrain) {
    return fmt::format("left {}, whose admission is Drain, for {}", from, memory.hold->node_group);
  }
  if (why == Why::kBudget) {
    return fmt::format("left {} for {}, as {}", from, memory.hold->node_group,
                       draft.quotas.Spend().TellUsedUp(draft.Pool(pool).key.ns));
  }
  return fmt::format("returned from {} to {}, which has had room for it since {}", from,
                     memory.hold->node_group,
                     FormatTime(memory.home_fits_since.value_or(draft.Now())));
}

void Go(Draft& draft, size_t pool, Why why, const GroupView& group, const Fit& fit) {
  Fate& fate = draft.fates[pool];
  PoolMemory& memory = fate.memory;
  fate.cause =
      Cause{.reason = Reason::kPodsNotReady,
            .sentence = WhyItMoved(draft, pool, why, *memory.placement, fit.workers, memory)};
  fate.action = Action::kRestart;
  StartAttempt(draft.world, draft.Pool(pool), group, fit, memory);
  memory.last_move = draft.Now();
  ClaimWhatItHas(draft, pool);
}

// It has no other place by its checkpoint, and no money for this one: it waits in the queue, as
// everybody does whom there is no money for.
void GiveUp(Draft& draft, size_t pool) {
  Fate& fate = draft.fates[pool];
  PoolMemory& memory = fate.memory;
  fate.cause = Cause{
      .reason = Reason::kSpendLimitReached,
      .sentence = fmt::format("left {} at its checkpoint, as {}", memory.placement->node_group,
                              draft.quotas.Spend().TellUsedUp(draft.Pool(pool).key.ns))};
  fate.course = Course::kQueue;
  fate.action = Action::kRelease;
  memory.placement.reset();
  memory.hold.reset();
  memory.ready_since.reset();
  if (!memory.waiting_since) memory.waiting_since = draft.Now();
  ClaimWhatItHas(draft, pool);
}

// The option in the group where the gang holds nodes.
const Option* Held(const std::vector<Option>& targets, const Hold& hold) {
  const auto at = std::find_if(targets.begin(), targets.end(), [&](const Option& option) {
    return option.group->spec->name == hold.node_group;
  });
  return at == targets.end() ? nullptr : &*at;
}

void ClaimPlacement(Draft& draft, size_t pool) {
  const PoolMemory& memory = draft.fates[pool].memory;
  draft.capacity.Set(pool, ClaimOf(draft.world, draft.Pool(pool), *memory.placement));
}

// What it has and what it holds to move to count once: of both, the larger part. Nobody behind it
// takes the money or the limit for that. What it only grows onto is anybody's.
void CountTarget(Draft& draft, size_t pool) {
  const Fate& fate = draft.fates[pool];
  if (!IsMoving(fate) || IsGrowing(draft, pool)) return;
  const TrainingPool& gang = draft.Pool(pool);
  const GroupView* group = draft.world.FindGroup(std::as_const(fate.memory.hold)->node_group);
  const auto need = group == nullptr ? std::nullopt : NeedIn(gang, *group->spec);
  if (!need) return;
  const Placement& placement = *fate.memory.placement;
  const std::string& type = group->spec->accelerator;
  const int64_t there = need->For(need->least).Accelerators(gang);
  const int64_t has = placement.accelerator == type ? AcceleratorsOf(gang, placement) : 0;
  const int64_t cost =
      CostAboveHome(*group, there).micros() - CostAboveHome(draft.world, gang, placement).micros();
  TargetCost more{.ns = gang.key.ns,
                  .type = type,
                  .accelerators = std::max<int64_t>(there - has, 0),
                  .above_home = Money::FromMicros(std::max<int64_t>(cost, 0))};
  draft.quotas.Add(more.ns, more.type, more.accelerators, more.above_home);
  draft.targets.push_back(std::move(more));
}

// ---- growth ----

// What it held to grow onto, of which there is still room for some more workers.
std::optional<Fit> GrownOnHeld(Draft& draft, size_t pool, const Fit& fit) {
  const PoolMemory& memory = draft.fates[pool].memory;
  const GroupView& group = *draft.world.FindGroup(memory.placement->node_group);
  Need need = *NeedIn(draft.Pool(pool), *group.spec);
  need.least = std::max(need.least, memory.placement->workers + 1);
  return FitOnHeld(draft.Look(), pool, memory, need.For(fit.workers));
}

// The gang's turn to grow; likewise says whether that changed what others find.
bool LookToGrow(Draft& draft, size_t pool, const FirstWaiting& waiting) {
  const PoolMemory& memory = draft.fates[pool].memory;
  const bool growing = IsGrowing(draft, pool);
  if (!MayGrow(draft, pool) || IsWanted(draft, pool, waiting)) {
    if (growing) DropTarget(draft, pool, Why::kGrow);
    return growing;
  }
  const CountedOnce once(draft, pool);
  const auto fit = GrownFit(draft.Look(), pool, memory);
  const GroupView& group = *draft.world.FindGroup(memory.placement->node_group);
  if (growing) {
    const auto held = fit ? GrownOnHeld(draft, pool, *fit) : std::nullopt;
    const Time leaves =
        LeavesAt(draft.Pool(pool), *memory.placement, Why::kGrow, *memory.hold->since);
    if (held && leaves <= draft.Now()) {
      Go(draft, pool, Why::kGrow, group, *held);
      return true;
    }
    if (held) {
      ClaimWhatItHas(draft, pool);
      return false;
    }
    DropTarget(draft, pool, Why::kGrow);
  }
  if (fit && IsDue(draft, pool, Why::kGrow)) {
    HoldTarget(draft, pool, Why::kGrow, group.spec->name, *fit);
  }
  return growing;  // who does not grow may move
}

// ---- what is told ----

// Why a gang that has to leave its group does not yet, or where to.
Cause WhyItLeaves(const Draft& draft, size_t pool, Time leaves) {
  const PoolMemory& memory = draft.fates[pool].memory;
  const std::string where = memory.hold ? fmt::format(" for {} at its next checkpoint, by {}",
                                                      memory.hold->node_group, FormatTime(leaves))
                                        : fmt::format(
                                              " at its next checkpoint, by {}, and then waits, as "
                                              "no other node group takes it",
                                              FormatTime(leaves));
  return {.reason = Reason::kWaitingForCheckpoint,
          .sentence = fmt::format("{}, whose atLimit is DrainAtCheckpoint: the gang leaves {}{}",
                                  draft.quotas.Spend().TellUsedUp(draft.Pool(pool).key.ns),
                                  memory.placement->node_group, where)};
}

Cause WhereItGoes(const TrainingPool& pool, const PoolMemory& memory, Why why, Time leaves) {
  const std::string& to = memory.hold->node_group;
  const std::string moment = FormatTime(leaves);
  if (why == Why::kGrow) {
    const bool anytime = LeavesAnytime(pool, why);
    return {.reason = anytime ? Reason::kPlaced : Reason::kWaitingForCheckpoint,
            .sentence = fmt::format("starts anew with more workers on {} of {} {} {}",
                                    Count(std::ssize(memory.hold->nodes), "node"), to,
                                    anytime ? "at" : "at its next checkpoint, by", moment)};
  }
  if (LeavesAnytime(pool, why)) {
    return {.reason = Reason::kPlaced, .sentence = fmt::format("returns to {} at {}", to, moment)};
  }
  return {.reason = Reason::kWaitingForCheckpoint,
          .sentence = why == Why::kReturn
                          ? fmt::format("returns to {} at its next checkpoint, by {}", to, moment)
                          : fmt::format("leaves {}, whose admission is Drain, for {} at its next "
                                        "checkpoint, by {}",
                                        memory.placement->node_group, to, moment)};
}

void TellMove(Draft& draft, size_t pool, Why why) {
  Fate& fate = draft.fates[pool];
  const PoolMemory& memory = fate.memory;
  const TrainingPool& gang = draft.Pool(pool);
  for (const Option& option : draft.options[pool]) {
    if (option.held_until) draft.moments.push_back(*option.held_until);
  }
  const auto end = why == Why::kReturn ? ExpectedEnd(gang, memory) : std::nullopt;
  if (end) draft.moments.push_back(*end - kLeastRest * RestartTakes(memory) + Seconds{1});
  if (why == Why::kBudget) {
    const auto since = memory.Moves() ? memory.hold->since : memory.over_budget_since;
    const Time leaves = GoesAt(draft, pool, why, since.value_or(draft.Now()));
    draft.moments.push_back(leaves);
    fate.move = WhyItLeaves(draft, pool, leaves);
  } else if (memory.Moves()) {
    const Time leaves = LeavesAt(gang, *memory.placement, why, *memory.hold->since);
    draft.moments.push_back(leaves);
    fate.move = WhereItGoes(gang, memory, why, leaves);
  } else if (why == Why::kDrain) {
    fate.move = Cause{.reason = Reason::kDraining,
                      .sentence = fmt::format("the admission of {} is Drain, and the gang stays "
                                              "until another node group takes it",
                                              memory.placement->node_group)};
  } else if (memory.home_fits_since) {
    const Time due = *memory.home_fits_since + ReturnWait(gang, memory);
    draft.moments.push_back(due);
    fate.move =
        Cause{.reason = Reason::kPlaced,
              .sentence = fmt::format("home has had room for it since {}; it returns when that has "
                                      "lasted until {}",
                                      FormatTime(*memory.home_fits_since), FormatTime(due))};
  }
}

// Why a gang does not return that would, if more of its work were left.
void TellStay(Draft& draft, size_t pool) {
  Fate& fate = draft.fates[pool];
  const TrainingPool& gang = draft.Pool(pool);
  const auto end = ExpectedEnd(gang, fate.memory);
  if (end) draft.moments.push_back(*end);
  const std::string left =
      end ? fmt::format("by its expectedSeconds it ends by {}", FormatTime(*end))
          : fmt::format("the annotation spillway.dev/remaining-seconds says that {} s are left",
                        gang.remaining->count());
  fate.move = Cause{
      .reason = Reason::kPlaced,
      .sentence = fmt::format("it does not return home: {}, and to start again takes it {} s, more "
                              "than a tenth of that",
                              left, RestartTakes(fate.memory).count())};
}

void TellGrowth(Draft& draft, size_t pool) {
  Fate& fate = draft.fates[pool];
  const PoolMemory& memory = fate.memory;
  const TrainingPool& gang = draft.Pool(pool);
  if (IsGrowing(draft, pool)) {
    const Time leaves = LeavesAt(gang, *memory.placement, Why::kGrow, *memory.hold->since);
    draft.moments.push_back(leaves);
    fate.move = WhereItGoes(gang, memory, Why::kGrow, leaves);
  } else if (memory.growth_fits_since) {
    const Time due = *memory.growth_fits_since + ReturnWait(gang, memory);
    draft.moments.push_back(due);
    if (fate.move) return;
    fate.move =
        Cause{.reason = Reason::kPlaced,
              .sentence = fmt::format("{} has had room for more of its workers since {}; it "
                                      "grows when that has lasted until {}",
                                      memory.placement->node_group,
                                      FormatTime(*memory.growth_fits_since), FormatTime(due))};
  }
}

// ---- what is remembered ----

void NoteBudget(Draft& draft, size_t pool) {
  PoolMemory& memory = draft.fates[pool].memory;
  if (!memory.placement || memory.completed || !IsOverBudget(draft, pool)) {
    memory.over_budget_since.reset();
  } else if (!memory.over_budget_since) {
    memory.over_budget_since = draft.Now();
  }
}

void NoteDrain(Draft& draft, size_t pool) {
  PoolMemory& memory = draft.fates[pool].memory;
  if (!memory.placement || memory.completed) return;
  const GroupView* group = draft.world.GroupOf(draft.Pool(pool), *std::as_const(memory.placement));
  const bool drained = group != nullptr && group->spec->admission == Admission::kDrain;
  if (!drained && !memory.over_budget_since) {
    memory.waiting_since.reset();
  } else if (!memory.waiting_since) {
    memory.waiting_since = draft.Now();
  }
}

void NoteReturn(Draft& draft, size_t pool) {
  PoolMemory& memory = draft.fates[pool].memory;
  if (WhyMove(draft, pool) != Why::kReturn) {
    memory.home_fits_since.reset();
    return;
  }
  if (memory.Moves()) return;
  const CountedOnce once(draft, pool);
  if (!FitsAtHome(draft, pool)) {
    memory.home_fits_since.reset();
  } else if (!memory.home_fits_since) {
    memory.home_fits_since = draft.Now();
  }
}

void NoteGrowth(Draft& draft, size_t pool, const FirstWaiting& waiting) {
  PoolMemory& memory = draft.fates[pool].memory;
  if (!MayGrow(draft, pool) || IsWanted(draft, pool, waiting)) {
    memory.growth_fits_since.reset();
    return;
  }
  if (memory.Moves()) return;
  const CountedOnce once(draft, pool);
  if (!GrownFit(draft.Look(), pool, memory)) {
    memory.growth_fits_since.reset();
  } else if (!memory.growth_fits_since) {
    memory.growth_fits_since = draft.Now();
  }
}

}  // namespace

bool IsMoving(const Fate& fate) { return fate.course == Course::kStay && fate.memory.Moves(); }

bool IsGrowing(const Draft& draft, size_t pool) {
  const Fate& fate = draft.fates[pool];
  if (!IsMoving(fate) || fate.memory.hold->node_group != fate.memory.placement->node_group) {
    return false;
  }
  const GroupView* group = draft.world.FindGroup(fate.memory.hold->node_group);
  const auto choice = group == nullptr ? std::nullopt : ChoiceIn(draft.Pool(pool), *group->spec);
  return choice && draft.Pool(pool).accelerators[*choice].IsElastic();
}

bool TakesTurnToMove(const Draft& draft, size_t pool) {
  if (draft.fates[pool].course != Course::kStay || IsGrowing(draft, pool)) return false;
  if (IsMoving(draft.fates[pool])) return true;
  // What costs least to find out comes first: every gang with a place is asked in every round.
  const auto why = WhyElsewhere(draft, pool);
  if (!why || !(IsForced(*why) || IsDue(draft, pool, *why))) return false;
  return IsWorthIt(draft, pool, *why) && MayBeMoved(draft, pool);
}

bool Grow(Draft& draft) {
  std::vector<Turn> turns;
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const bool due = IsGrowing(draft, p) || (MayGrow(draft, p) && IsDue(draft, p, Why::kGrow));
    if (due) turns.push_back({.rank = RankOf(draft, p), .pool = p});
  }
  std::sort(turns.begin(), turns.end(),
            [](const Turn& a, const Turn& b) { return a.rank.Before(b.rank); });
  if (turns.empty()) return false;
  const FirstWaiting waiting = WhoWaitsFirst(draft);
  bool news = false;
  for (const Turn& turn : turns) news = LookToGrow(draft, turn.pool, waiting) || news;
  return news;
}

void CarryMoves(Draft& draft) {
  LiftMoves(draft);
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    if (IsMoving(draft.fates[p])) CarryMove(draft, p);
  }
}

void LiftMoves(Draft& draft) {
  UncountTargets(draft);
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    if (IsMoving(draft.fates[p])) ClaimPlacement(draft, p);
  }
}

void CarryMove(Draft& draft, size_t pool) {
  ClaimWhatItHas(draft, pool);
  CountTarget(draft, pool);
}

void UncountTargets(Draft& draft) {
  for (const TargetCost& one : draft.targets) {
    draft.quotas.Add(one.ns, one.type, -one.accelerators,
                     Money::FromMicros(-one.above_home.micros()));
  }
  draft.targets.clear();
}

bool LookForMove(Draft& draft, size_t pool) {
  const PoolMemory& memory = draft.fates[pool].memory;
  const auto why = WhyMove(draft, pool);
  if (!why) {
    DropTarget(draft, pool, Why::kReturn);
    return true;
  }
  if (memory.hold && *why == Why::kReturn && !memory.home_fits_since) {
    // It had to leave, and has not any more: home must have had room for as long as for others.
    DropTarget(draft, pool, Why::kReturn);
    return true;
  }
  const CountedOnce once(draft, pool);
  const std::vector<Option> targets = Targets(draft, pool, *why);
  if (memory.hold) {
    const Option* held = Held(targets, *memory.hold);
    const auto fit =
        held == nullptr ? std::nullopt : FitOnHeld(draft.Look(), pool, memory, *held->need);
    if (fit && GoesAt(draft, pool, *why, *memory.hold->since) <= draft.Now()) {
      Go(draft, pool, *why, *held->group, *fit);
      return true;
    }
    if (fit) {
      CarryMove(draft, pool);
      return false;
    }
    DropTarget(draft, pool, Why::kReturn);
  }
  const bool due = IsForced(*why) || IsDue(draft, pool, *why);
  if (due && !targets.empty()) {
    HoldTarget(draft, pool, *why, targets.front().group->spec->name, *targets.front().fit);
    CountTarget(draft, pool);
  } else if (*why == Why::kBudget &&
             LeavesForMoneyAt(draft.Pool(pool), memory, draft.Now()) <= draft.Now()) {
    GiveUp(draft, pool);
    return true;
  }
  return false;
}

void NoteWaits(Draft& draft) {
  const FirstWaiting waiting = WhoWaitsFirst(draft);
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    if (draft.fates[p].action == Action::kDone) continue;
    NoteBudget(draft, p);
    NoteDrain(draft, p);
    NoteReturn(draft, p);
    NoteGrowth(draft, p, waiting);
  }
}

void TellMoves(Draft& draft) {
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const auto why = WhyLeave(draft, p);
    if (why && !IsWorthIt(draft, p, *why)) {
      TellStay(draft, p);
    } else if (why && !IsGrowing(draft, p)) {
      TellMove(draft, p, *why);
    }
    TellGrowth(draft, p);
  }
}

bool IsOverBudget(const World& world, const SpendBook& spend, const TrainingPool& pool,
                  const Placement& placement) {
  return spend.Drains(pool.key.ns) && CostAboveHome(world, pool, placement) > Money();
}

Time LeavesForMoneyAt(const TrainingPool& pool, const PoolMemory& memory, Time now) {
  Time asked = memory.over_budget_since.value_or(now);
  if (memory.Moves() && memory.hold->since) asked = std::min(asked, *memory.hold->since);
  return CheckpointAfter(pool, *memory.placement, asked, asked + kNotice);
}

bool MayBeMoved(const World& world, const TrainingPool& pool, const Placement& placement) {
  if (Blocked(pool) || pool.template_unchecked || pool.attempt.failed) return false;
  const WorkerCounts counts = CountWorkers(world, pool, placement.attempt);
  if (counts.running < placement.workers || counts.active < placement.workers) return false;
  const GangNodes nodes = NodesOfGang(world, pool, placement);
  return !nodes.AreLeftAlone() && nodes.lost.empty() && nodes.away.empty();
}

Seconds ReturnWait(const TrainingPool& pool, const PoolMemory& memory) {
  return std::max(pool.return_after, memory.dwell.value_or(Seconds{0}));
}

void LengthenDwell(const TrainingPool& pool, PoolMemory& memory, Time now) {
  if (memory.placement->tier > 0 || !memory.last_move || now >= *memory.last_move + kAfterMove) {
    return;
  }
  memory.dwell = std::clamp(2 * ReturnWait(pool, memory), kLeastDwell, kMostDwell);
}

std::optional<Need> NeedToReturn(const TrainingPool& pool, const Placement& placement,
                                 const NodeGroup& group) {
  auto need = NeedIn(pool, group);
  if (!need) return std::nullopt;
  const bool same = group.accelerator == placement.accelerator;
  need->least = same ? std::clamp(placement.workers, need->least, need->workers) : need->workers;
  return need;
}

bool IsWorthReturning(const TrainingPool& pool, const PoolMemory& memory, Time now) {
  std::optional<Seconds> left = pool.remaining;
  const auto end = ExpectedEnd(pool, memory);
  if (end && now < *end) left = *end - now;
  return !left || *left >= kLeastRest * RestartTakes(memory);
}

bool Pays(const TrainingPool& pool, const Placement& placement, const GroupView& from,
          const GroupView& to, const Need& need) {
  const int64_t before =
      from.spec->marginal_per_node_hour.Share(AcceleratorsOf(pool, placement), from.per_node)
          .micros();
  const int64_t after =
      to.spec->marginal_per_node_hour.Share(int64_t{need.least} * pool.per_worker, to.per_node)
          .micros();
  return after < before &&
         Wide{before - after} * 100 >= Wide{before} * pool.return_min_savings_percent;
}

}  // namespace spillway::placement
