#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "placement/attempts.h"
#include "placement/capacity.h"
#include "placement/cell_asks.h"
#include "placement/cell_claims.h"
#include "placement/checks.h"
#include "placement/claims.h"
#include "placement/conclusion.h"
#include "placement/coverage.h"
#include "placement/draft.h"
#include "placement/inference.h"
#include "placement/lifecycle.h"
#include "placement/line.h"
#include "placement/moves.h"
#include "placement/new_nodes.h"
#include "placement/plan.h"
#include "placement/quotas.h"
#include "placement/reports.h"
#include "placement/reservations.h"
#include "placement/spare_nodes.h"
#include "placement/starting.h"
#include "placement/stories.h"

namespace spillway::placement {

Draft::Draft(const Snapshot& snapshot)
    : world(Survey(snapshot)),
      capacity(world),
      offers(world, capacity),
      quotas(snapshot),
      options(world.gangs),
      promises(world.groups.size()),
      asked(world.groups.size()),
      asks(world.gangs),
      coming(world.groups.size()),
      bills(world.groups.size()),
      asked_later(NodesAskedBefore(world)),
      replicas_start(world.groups.size()),
      left_on_new(world.groups.size()),
      spare(world.groups.size()),
      leaving(world.groups.size()) {
  for (const GroupView& group : world.groups) {
    stockouts.push_back(group.spec->elastic ? group.spec->memory.stockout : std::nullopt);
  }
  for (size_t p = 0; p < world.inference.size(); ++p) inference.push_back(SurveyPool(world, p));
  for (size_t p = 0; p < world.gangs; ++p) {
    if (Pool(p).active_deadline) ending.push_back(p);
  }
}

void ClaimWhatItHas(Draft& draft, size_t pool) {
  const PoolMemory& memory = draft.fates[pool].memory;
  draft.capacity.Clear(pool);
  if (memory.placement) {
    draft.capacity.Add(pool, ClaimOf(draft.world, draft.Pool(pool), *memory.placement));
  }
  if (memory.hold) {
    const auto claim = ClaimOf(draft.world, draft.Pool(pool), *memory.hold);
    if (claim) draft.capacity.Add(pool, *claim);
  }
  draft.contenders.reset();
}

Coverage CoverageOf(const Draft& draft) {
  std::vector<Demand> demands;
  if (!draft.quotas.HasGuarantees()) return {draft.quotas, demands};
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const Fate& fate = draft.fates[p];
    if (fate.memory.completed || (fate.course == Course::kRest && !fate.memory.placement)) continue;
    for (Demand& demand : DemandsOf(draft.Pool(p), p, fate.memory, draft.Now())) {
      demands.push_back(std::move(demand));
    }
  }
  for (size_t p = 0; p < draft.inference.size(); ++p) {
    for (Demand& demand : DemandsOf(draft.inference[p], p, draft.Now())) {
      demands.push_back(std::move(demand));
    }
  }
  return {draft.quotas, std::move(demands)};
}

Rank RankOf(const Draft& draft, size_t gang) {
  const PoolMemory& memory = draft.fates[gang].memory;
  Rank rank = RankOf(draft.Pool(gang), memory, draft.Now());
  rank.guaranteed = memory.placement ? draft.first->Gang(gang, memory.placement->accelerator)
                                     : draft.first->Gang(gang);
  return rank;
}

namespace {

// ---- stage 1: what happens to each pool because of what happened to it ----

void DecideFates(Draft& draft) {
  draft.fates.reserve(draft.world.gangs);
  for (size_t p = 0; p < draft.world.gangs; ++p) {
    draft.fates.push_back(FateOf(draft.world, draft.Pool(p)));
    draft.any_renews = draft.any_renews || draft.fates.back().course == Course::kRenew;
  }
}

// Most have none: nobody has to be looked for there who could shrink.
void FindElasticGangs(Draft& draft) {
  draft.elastic_in.resize(draft.world.groups.size());
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const auto& placement = std::as_const(draft.fates[p].memory).placement;
    if (!placement) continue;
    if (std::ranges::none_of(draft.Pool(p).accelerators, &AcceptedAccelerator::IsElastic)) continue;
    const GroupView* group = draft.world.FindGroup(placement->node_group);
    if (group != nullptr) draft.elastic_in[draft.world.IndexOf(*group)] = true;
  }
}

// ---- stage 2: what is spoken for before anybody looks for room ----

void AccountForPlaced(Draft& draft) {
  MarkShared(draft.quotas, draft.world);
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const Fate& fate = draft.fates[p];
    if (fate.memory.completed) continue;
    const bool claims = fate.memory.hold && fate.memory.hold->IsClaim();
    if (fate.course != Course::kRenew) {
      if (!claims) ClaimWhatItHas(draft, p);
    } else {
      // Its nodes wait for its turn in the queue.
      const Hold rest{.node_group = fate.memory.placement->node_group,
                      .domain = {},
                      .nodes = Survivors(draft.world, draft.Pool(p), fate.memory),
                      .until = {},
                      .since = {},
                      .victims = {}};
      if (const auto claim = ClaimOf(draft.world, draft.Pool(p), rest))
        draft.capacity.Set(p, *claim);
    }
    if (const auto& placement = fate.memory.placement) {
      CountGang(draft.quotas, draft.world, draft.Pool(p), *placement, 1);
    }
  }
  for (const InferenceDraft& pool : draft.inference) {
    ClaimCells(draft.world, draft.capacity, pool);
    CountCells(draft.quotas, pool, 1);
    CountNodes(draft.quotas, draft.world, *pool.pool);
  }
  // What their replicas leave is there for whoever has its turn before them.
  for (InferenceDraft& pool : draft.inference) {
    ReleaseCells(draft.world, draft.capacity, draft.offers, draft.quotas, pool);
  }
  CarryMoves(draft);
  CarryClaims(draft);
}

// ---- stage 3: the queue ----

std::vector<Turn> TurnsOf(const Draft& draft) {
  std::vector<Turn> turns;
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const Fate& fate = draft.fates[p];
    const bool looks = fate.course == Course::kRenew || fate.course == Course::kQueue;
    if (!looks && !TakesTurnToMove(draft, p)) continue;
    turns.push_back({.rank = RankOf(draft, p), .pool = p});
  }
  for (size_t p = 0; p < draft.inference.size(); ++p) {
    Rank rank = RankOf(draft.inference[p], draft.Now());
    rank.guaranteed = draft.first->Grows(p);
    turns.push_back({.rank = rank, .pool = p});
  }
  return turns;
}

void Take(Draft& draft, size_t pool, const GroupView& group, const Fit& fit, Action action) {
  Fate& fate = draft.fates[pool];
  const SharedOptional<Hold> held = fate.memory.hold;
  if (action == Action::kPlace) draft.given[pool] = fate;
  StartAttempt(draft.world, draft.Pool(pool), group, fit, fate.memory);
  fate.course = Course::kStay;
  fate.action = action;
  ClaimWhatItHas(draft, pool);
  CountGang(draft.quotas, draft.world, draft.Pool(pool), *fate.memory.placement, 1);
  if (IsPaidByNode(*group.spec)) ++draft.paid_by_node;
  if (held && held->IsClaim()) DropClaim(draft, *held);
}

// A new attempt in the same group, for an elastic gang with as many workers as it has room for;
// where it has none, or must leave because of money, the pool looks elsewhere.
void Renew(Draft& draft, size_t pool) {
  Fate& fate = draft.fates[pool];
  const Placement& placement = *fate.memory.placement;
  CountGang(draft.quotas, draft.world, draft.Pool(pool), placement, -1);
  const bool stays = !IsOverBudget(draft.world, draft.quotas.Spend(), draft.Pool(pool), placement);
  const auto fit = stays ? Refit(draft.Look(), pool, fate.memory) : std::nullopt;
  if (fit) {
    Take(draft, pool, *draft.world.FindGroup(placement.node_group), *fit, Action::kRestart);
    return;
  }
  if (stays) {
    HoldSurvivors(draft.world, draft.Pool(pool), fate.memory);
  } else {
    fate.memory.placement.reset();
    fate.memory.ready_since.reset();
    if (!fate.memory.waiting_since) fate.memory.waiting_since = draft.Now();
  }
  if (fate.memory.hold && !ClaimOf(draft.world, draft.Pool(pool), *fate.memory.hold)) {
    fate.memory.hold.reset();
  }
  fate.course = Course::kQueue;
  fate.action = Action::kRelease;
  ClaimWhatItHas(draft, pool);
}

// Have inference pools begun to count since when something better has been possible, or do they
// wait for room rather than make others go? Gangs that take that room have their turns later.
bool AnyoneCountsOnRoom(const Draft& draft) {
  return std::any_of(draft.inference.begin(), draft.inference.end(),
                     [](const InferenceDraft& pool) {
                       return pool.memory.home_fits_since || pool.counts_on_room;
                     });
}

// What a turn changed for those who have had theirs.
enum class News {
  kNone,
  kTaken,  // room that others counted on is taken, or claimed
  kFreed,  // room is given back, or others have gone: it may be for those before
};

News FreedIf(bool freed) { return freed ? News::kFreed : News::kNone; }

// Is it room for some of the workers only that the gang waits to have nodes for there?
bool IsPartOf(const std::optional<Option>& waits_for, const Option& option) {
  return waits_for && waits_for->group == option.group &&
         option.need->workers < waits_for->need->workers;
}

// Does it come before borrowers for a type of which there is no room, and would borrow another?
bool WouldBorrow(const Draft& draft, const Turn& turn, const Option& option) {
  const auto is_guaranteed = [&](const Option& one) {
    return draft.first->Gang(turn.pool, one.group->spec->accelerator);
  };
  return turn.rank.guaranteed && !is_guaranteed(option) &&
         std::ranges::none_of(draft.options[turn.pool],
                              [&](const Option& one) { return one.Fits() && is_guaranteed(one); });
}

// Of those for whose places the gang has just made a claim, who has to start anew anyway goes at
// once: a new attempt would be theirs to keep.
News SendWhoStartsAnew(Draft& draft, size_t pool, bool freed) {
  const bool gone = draft.any_renews && EvictDue(draft, pool);
  return gone || freed ? News::kFreed : News::kTaken;
}

// What comes before anybody gives something up for the gang: places at home that it fits into as it
// is.
struct PlacesAtHome {
  bool any = false;
  bool own = false;  // one in which it would not borrow, so that it takes nothing of its own back
};

PlacesAtHome PlacesAtHomeFor(const Draft& draft, size_t pool,
                             const std::optional<Option>& waits_for) {
  PlacesAtHome places;
  for (const Option& option : draft.options[pool]) {
    if (option.group->spec->tier > 0 || !option.Fits()) continue;
    places.any = true;
    if (!IsPartOf(waits_for, option) && MayReclaim(draft, pool, option)) places.own = true;
  }
  return places;
}

// Elastic gangs at home shrink for it, or borrowers go.
bool MakesRoomAtHome(Draft& draft, size_t pool, const PlacesAtHome& places, const Option& option) {
  if (option.group->spec->tier > 0) return false;
  if (!places.any && Shrink(draft, pool, option)) return true;
  return !places.own && Reclaim(draft, pool, option);
}

// What comes after home is not for who waits for what it is guaranteed at home, or for workers
// there that others can do without.
bool IsWorthWaitingFor(const Draft& draft, size_t pool, const PlacesAtHome& places,
                       const Option& option) {
  const Hold& hold = *draft.fates[pool].memory.hold;
  if (option.group->spec->name != hold.node_group) return false;
  if (hold.shrinks) return option.group->spec->tier == 0 && !places.any;
  return MayReclaim(draft, pool, option) && !places.own;
}

News LookForPlace(Draft& draft, const Turn& turn, Line& line) {
  const size_t pool = turn.pool;
  const bool held = draft.fates[pool].memory.hold.has_value();
  const bool dropped = DropOverruled(draft, pool);
  const bool claims = draft.fates[pool].memory.hold && draft.fates[pool].memory.hold->IsClaim();
  CountClaim(draft, pool, -1);
  const auto waits_for = claims ? std::nullopt : AskThatStands(draft, pool);
  std::vector<Option>& options = draft.options[pool];
  options = OptionsFor(draft.Look(), pool, draft.fates[pool].memory);
  if (std::ranges::any_of(options, &Option::too_dear)) NoteTooDear(draft);
  const PlacesAtHome at_home = PlacesAtHomeFor(draft, pool, waits_for);
  for (const Option& option : options) {
    if (option.Fits() && !IsPartOf(waits_for, option)) {
      if (!claims && WouldBorrow(draft, turn, option)) {
        line.Postpone(turn);
        draft.order.pop_back();
        return FreedIf(dropped);
      }
      Take(draft, pool, *option.group, *option.fit, Action::kPlace);
      if (held) return News::kFreed;
      return AnyoneCountsOnRoom(draft) ? News::kTaken : News::kNone;
    }
    if (!claims && MakesRoomAtHome(draft, pool, at_home, option)) {
      return SendWhoStartsAnew(draft, pool, held);
    }
    if (claims && IsWorthWaitingFor(draft, pool, at_home, option)) break;
  }
  if (!claims) {
    // Who has just left counts on nothing that it would not have in the next pass.
    if (draft.fates[pool].action == Action::kRelease) ForfeitToClaims(draft);
    const Asked asked = AskForNodes(draft, pool);
    if (asked.waits) return FreedIf(asked.released || dropped);
    if (Preempt(draft, pool)) return SendWhoStartsAnew(draft, pool, held || asked.released);
    PromiseRoom(draft, pool);
    return FreedIf(asked.released || dropped);
  }
  CountClaim(draft, pool, 1);
  return FreedIf(EvictDue(draft, pool));
}

std::vector<int> ReplicasOf(const InferenceDraft& pool) {
  std::vector<int> replicas;
  replicas.reserve(pool.cells.size());
  for (const CellState& cell : pool.cells) replicas.push_back(cell.memory.desired);
  return replicas;
}

// Says whether the pool got another answer than it had.
bool Serve(Draft& draft, size_t pool) {
  InferenceDraft& inference = draft.inference[pool];
  const std::vector<int> before = ReplicasOf(inference);
  CountCellClaim(draft, pool, -1);
  DecideCells(draft.world, draft.capacity, draft.offers, draft.quotas, inference);
  SettleCellClaim(inference, before);
  ForgetStarting(draft);
  const bool released = AskForReplicas(draft, pool).released;
  const bool claims = ClaimForReplicas(draft, pool);
  CountCellClaim(draft, pool, 1);
  return released || claims || ReplicasOf(inference) != before;
}

// More rounds than it takes until room that one pool leaves has found its way to those before it.
constexpr int kMostRounds = 8;

News TakeTurn(Draft& draft, const Turn& turn, Line& line) {
  if (turn.rank.inference) return FreedIf(Serve(draft, turn.pool));
  if (draft.fates[turn.pool].course == Course::kStay) {
    // Who has shrunk meanwhile starts anew already.
    if (draft.fates[turn.pool].action == Action::kRestart) return News::kNone;
    return FreedIf(LookForMove(draft, turn.pool));
  }
  const bool renews = draft.fates[turn.pool].course == Course::kRenew;
  if (renews) Renew(draft, turn.pool);
  News news = FreedIf(renews);
  if (draft.fates[turn.pool].course == Course::kQueue) {
    news = std::max(news, LookForPlace(draft, turn, line));
  }
  return news;
}

// Everybody in turn; who finds no room does not stand in the way of those behind. Says what news
// there is for those who have had their turn.
News TakeTurns(Draft& draft) {
  News news = News::kNone;
  draft.order.clear();
  draft.late.clear();
  draft.too_dear_at.reset();
  ForgetPromises(draft);
  LiftMoves(draft);
  Line line(TurnsOf(draft));
  while (const auto turn = line.Next(draft.quotas)) {
    draft.order.push_back(*turn);
    const bool late = news == News::kFreed;
    news = std::max(news, TakeTurn(draft, *turn, line));
    if (late && !turn->rank.inference && draft.given.contains(turn->pool)) {
      draft.late.push_back(turn->pool);
    }
  }
  // Whoever got a place may share a node by now that its user, or who was refused it, pays whole
  // for.
  const bool shares = draft.too_dear_at && draft.paid_by_node > *draft.too_dear_at;
  return std::max(news, FreedIf(shares));
}

// Do turns of several namespaces come out differently in another order: has anybody asked for
// nodes, or is a place kept for somebody who moves? Whose turn comes next depends on who has
// borrowed least by then.
bool DependsOnOrder(const Draft& draft) {
  const auto ns = [&](const Turn& turn) -> const std::string& { return turn.rank.key->ns; };
  const auto is_other = [&](const Turn& turn) { return ns(turn) != ns(draft.order.front()); };
  if (std::ranges::none_of(draft.order, is_other)) return false;
  return std::ranges::any_of(draft.asks, [](const auto& ask) { return ask.has_value(); }) ||
         std::ranges::any_of(draft.inference,
                             [](const auto& pool) { return !pool.asks.empty(); }) ||
         std::ranges::any_of(draft.fates, IsMoving);
}

// Are gangs to go on with fewer workers for somebody? They may count on room beside what they have
// that somebody else was given.
bool SomebodyShrinks(const Draft& draft) {
  return std::ranges::any_of(draft.fates, [](const Fate& fate) {
    const auto& hold = std::as_const(fate.memory.hold);
    return fate.course == Course::kQueue && hold && hold->shrinks;
  });
}

// Has a round, though nobody left room in it, made another state than the next pass would make of
// it? That one finds the places that were given, and so the turns in another order, from the start,
// and claims without those that were given up or can't be met.
bool IsUnsettled(const Draft& draft, size_t given_before) {
  const bool gave = draft.given.size() != given_before;
  return draft.claim_dropped || (gave && (DependsOnOrder(draft) || SomebodyShrinks(draft)));
}

// A place that this pass has given is open again. REQUIRES that it has given one.
void TakeBack(Draft& draft, size_t pool) {
  const auto before = draft.given.find(pool);
  const Placement& placement = *draft.fates[pool].memory.placement;
  CountGang(draft.quotas, draft.world, draft.Pool(pool), placement, -1);
  draft.fates[pool] = std::move(before->second);
  draft.given.erase(before);
  ClaimWhatItHas(draft, pool);
  CountClaim(draft, pool, 1);
}

void TakeBack(Draft& draft, const std::vector<size_t>& pools) {
  for (const size_t pool : pools) TakeBack(draft, pool);
  if (!pools.empty()) ForfeitToClaims(draft);
}

void TakeAllBack(Draft& draft) {
  std::vector<size_t> all;
  all.reserve(draft.given.size());
  for (const auto& [pool, fate] : draft.given) all.push_back(pool);
  TakeBack(draft, all);
}

// Is the place that this pass has given that of an elastic gang, with fewer workers than it asks
// for?
bool IsGivenInPart(const Draft& draft, size_t pool) {
  const Placement& placement = *draft.fates[pool].memory.placement;
  const GroupView& group = *draft.world.FindGroup(placement.node_group);
  return placement.workers < NeedIn(draft.Pool(pool), *group.spec)->workers;
}

// Who goes before borrowers in the rounds that follow. A gang that borrows as a whole does not go
// first for having been given so few workers that they are within the guarantee: it would take more
// than these then.
Coverage NextFirst(const Draft& draft) {
  Coverage first = *draft.coverage;
  for (const auto& [pool, fate] : draft.given) {
    if (IsGivenInPart(draft, pool) && !draft.first->Gang(pool)) first.Demote(pool);
  }
  return first;
}

// Is there room for more of its workers now? REQUIRES that it was given a place.
bool CouldHaveMore(Draft& draft, size_t pool) {
  const PoolMemory& memory = draft.fates[pool].memory;
  CountGang(draft.quotas, draft.world, draft.Pool(pool), *memory.placement, -1);
  const bool more = GrownFit(draft.Look(), pool, memory).has_value();
  CountGang(draft.quotas, draft.world, draft.Pool(pool), *memory.placement, 1);
  return more;
}

// Room that somebody left in the middle of a round is for those first who had their turns before:
// who came later gives back what it took, and who could have had more workers begins again, the
// first time also where it could have them elsewhere. Says whether there is anybody.
bool TakeForFreed(Draft& draft) {
  std::sort(draft.late.begin(), draft.late.end());
  std::vector<size_t> back;
  for (const auto& [pool, fate] : draft.given) {
    const bool late = std::binary_search(draft.late.begin(), draft.late.end(), pool);
    const bool again = !late && IsGivenInPart(draft, pool) &&
                       (draft.again.insert(pool).second || CouldHaveMore(draft, pool));
    if (late || again) back.push_back(pool);
  }
  TakeBack(draft, back);
  return !back.empty();
}

// A pool that moves leaves room, for which all are asked once more. Where others are guaranteed by
// then than were before, they also come before those who have just been given a place. That need
// not come to an end, as who is guaranteed can depend on which type others of its namespace were
// given, and they in turn on where it goes: who was guaranteed in one of the later rounds comes
// before borrowers in all that follow.
void RunQueue(Draft& draft) {
  draft.coverage.emplace(CoverageOf(draft));
  draft.first.emplace(*draft.coverage);
  bool open = false;  // places of the round before were taken back: they counted for nobody
  for (int round = 0; round < kMostRounds; ++round) {
    const size_t had = draft.given.size();
    News news = TakeTurns(draft);
    if (IsUnsettled(draft, had)) news = std::max(news, News::kTaken);
    // A place that is taken back may be missed by who waits then, and growth can't be taken back.
    if (news != News::kFreed) news = std::max(news, FreedIf(Grow(draft)));
    Coverage coverage = CoverageOf(draft);
    const bool same = coverage == *draft.coverage;
    draft.coverage = std::move(coverage);
    if (news == News::kNone && same && !open) return;
    const bool swings = round >= kMostRounds / 2;
    Coverage first = NextFirst(draft);
    const bool others = swings ? draft.first->Join(first) : first != *draft.first;
    if (!swings) draft.first = std::move(first);
    if (others) TakeAllBack(draft);
    open = (news == News::kFreed && TakeForFreed(draft)) || others;
    ForgetPromises(draft);
    ForgetAsks(draft);
    // What was taken back is for those first who had it.
    if (!open) GatherClaims(draft);
  }
  TakeTurns(draft);
  Grow(draft);
}

// ---- stage 4: the plan ----

void NumberTheQueue(const Draft& draft, Plan& plan) {
  int position = 0;
  for (const Turn& turn : draft.order) {
    if (turn.rank.inference) {
      InferenceDecision& decision = plan.inference_pools[turn.pool];
      if (decision.action == Action::kWait) decision.position = ++position;
    } else if (draft.fates[turn.pool].course == Course::kQueue) {
      plan.pools[turn.pool].position = ++position;
    }
  }
}

// The first moment after now of those that it is shown.
class Next {
 public:
  explicit Next(Time now) : now_(now) {}
  void Show(Time moment) {
    if (moment > now_ && (!next_ || moment < *next_)) next_ = moment;
  }
  void Show(const std::optional<Time>& moment) {
    if (moment) Show(*moment);
  }
  void Show(const std::vector<Time>& moments) {
    for (const Time moment : moments) Show(moment);
  }
  [[nodiscard]] std::optional<Time> Moment() const { return next_; }

 private:
  Time now_;
  std::optional<Time> next_;
};

std::optional<Time> WakeOf(const Draft& draft, size_t gang, const PoolMemory& memory) {
  Next next(draft.Now());
  next.Show(MomentsOf(draft.world, draft.Pool(gang), memory));
  if (!memory.placement) {
    for (const Option& option : draft.options[gang]) next.Show(option.held_until);
  }
  return next.Moment();
}

void Decide(const Draft& draft, size_t gang, Fate& fate, std::optional<Time>& wake,
            PoolDecision& decision) {
  wake = WakeOf(draft, gang, fate.memory);
  Describe(draft.world, draft.Pool(gang), fate, draft.options[gang], decision);
  decision.memory = std::move(fate.memory);
}

// The last that is done with the draft: the memories go into the plan. Everything about one gang is
// done at once, as little of it is in the processor's caches when all others have been looked at.
void AddDecisions(Draft& draft, Wakes& wakes, Plan& plan) {
  plan.pools.resize(draft.fates.size());
  wakes.gangs.resize(draft.fates.size());
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    Decide(draft, p, draft.fates[p], wakes.gangs[p], plan.pools[p]);
  }
  plan.inference_pools.reserve(draft.inference.size());
  for (const InferenceDraft& pool : draft.inference) {
    plan.inference_pools.push_back(Describe(draft.world, pool));
  }
  NumberTheQueue(draft, plan);
}

// What elastic groups are to have, and which of them are out of stock.
void RememberGroups(const Draft& draft, Plan& plan) {
  for (size_t g = 0; g < draft.world.groups.size(); ++g) {
    const GroupView& group = draft.world.groups[g];
    if (!group.spec->elastic) continue;
    plan.groups[g].there = NodesThere(group);
    if (group.unreachable_since) {  // it is asked for nothing, and keeps what it was asked for
      plan.groups[g].memory = group.spec->memory;
      continue;
    }
    plan.groups[g].memory = {.desired = DesiredNodes(draft, g),
                             .stockout = draft.stockouts[g],
                             .spare = draft.spare[g],
                             .leaving = draft.leaving[g]};
  }
}

// Moments that are no gang's.
std::optional<Time> OtherWake(const Draft& draft) {
  Next next(draft.world.now);
  next.Show(draft.quotas.Spend().Moments());
  next.Show(draft.moments);
  for (const GroupView& group : draft.world.groups) next.Show(group.changes_at);
  for (const InferenceDraft& pool : draft.inference) next.Show(MomentsOf(draft.world, pool));
  return next.Moment();
}

}  // namespace

void Settle(Draft& draft) {
  DecideFates(draft);
  FindElasticGangs(draft);
  AccountForPlaced(draft);
  RunQueue(draft);
  SettleAsks(draft);
}

Plan Conclude(Draft& draft, Wakes& wakes) {
  NoteWaits(draft);
  GiveBackNodes(draft);
  TellClaims(draft);
  TellMoves(draft);
  for (size_t p = 0; p < draft.inference.size(); ++p) {
    CountCellClaim(draft, p, -1);  // its own keeps nothing from it
    SayWhatIsMissing(draft.world, draft.capacity, draft.offers, draft.quotas, draft.inference[p]);
    CountCellClaim(draft, p, 1);
  }
  Plan plan;
  plan.groups = ReportGroups(draft.world, draft.capacity);
  RememberGroups(draft, plan);
  UncountAsks(draft);
  UncountTargets(draft);
  for (size_t p = 0; p < draft.fates.size(); ++p) CountClaim(draft, p, -1);
  for (size_t p = 0; p < draft.inference.size(); ++p) CountCellClaim(draft, p, -1);
  plan.quotas = draft.quotas.Report(draft.world);
  wakes.others = OtherWake(draft);
  AddDecisions(draft, wakes, plan);
  plan.next_wake = NextWake(wakes);
  return plan;
}

PoolDecision DecisionOf(const Draft& draft, size_t gang, Fate& fate, std::optional<Time>& wake) {
  PoolDecision decision;
  Decide(draft, gang, fate, wake, decision);
  return decision;
}

std::optional<Time> NextWake(const Wakes& wakes) {
  std::optional<Time> first = wakes.others;
  for (const std::optional<Time>& wake : wakes.gangs) {
    if (wake && (!first || *wake < *first)) first = wake;
  }
  return first;
}

Plan MakePlan(const Snapshot& snapshot) {
  Draft draft(snapshot);
  Settle(draft);
  Wakes wakes;
  return Conclude(draft, wakes);
}

}  // namespace spillway::placement
