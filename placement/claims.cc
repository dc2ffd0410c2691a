#include "placement/claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <utility>

#include "placement/attempts.h"
#include "placement/cell_claims.h"
#include "placement/evictions.h"
#include "placement/line.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

const Hold* LiveClaim(const Draft& draft, size_t pool) {
  const auto& hold = draft.fates[pool].memory.hold;
  return hold && hold->IsClaim() && draft.fates[pool].course == Course::kQueue ? &*hold : nullptr;
}

Evictor EvictorOf(const Draft& draft, size_t pool) {
  const TrainingPool& gang = draft.Pool(pool);
  return {.key = gang.key, .priority = gang.priority, .hold = *LiveClaim(draft, pool)};
}

// All claims that there are.
std::vector<const Hold*> AllClaims(const Draft& draft) {
  std::vector<const Hold*> claims;
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    if (const Hold* claim = LiveClaim(draft, p)) claims.push_back(claim);
  }
  for (const InferenceDraft& pool : draft.inference) {
    if (pool.memory.claim) claims.push_back(&pool.memory.claim->hold);
  }
  return claims;
}

std::vector<bool> Promised(const Draft& draft) {
  std::vector<bool> promised(draft.fates.size());
  for (const Hold* claim : AllClaims(draft)) {
    for (const size_t gang : StillThere(draft, *claim)) promised[gang] = true;
  }
  return promised;
}

std::vector<bool> Shrinking(const Draft& draft) {
  std::vector<bool> shrinking(draft.fates.size());
  for (const Hold* claim : AllClaims(draft)) {
    if (!claim->shrinks) continue;
    for (const size_t gang : StillThere(draft, *claim)) shrinking[gang] = true;
  }
  return shrinking;
}

std::vector<bool> Awaited(const Draft& draft) {
  std::vector<bool> awaited(draft.fates.size());
  for (const Hold* claim : AllClaims(draft)) {
    for (const PoolKey& key : claim->victims) {
      if (const auto gang = FindGang(draft.world, key)) awaited[*gang] = true;
    }
  }
  return awaited;
}

std::set<ReplicaKey> PromisedReplicas(const Draft& draft) {
  std::set<ReplicaKey> promised;
  for (const Hold* claim : AllClaims(draft)) {
    for (const ReplicaPlace& place : ReplicasStillThere(draft, *claim)) {
      promised.insert({.pool = draft.inference[place.pool].pool->key, .pod = place.replica->pod});
    }
  }
  return promised;
}

std::vector<std::vector<std::pair<size_t, size_t>>> ServingByGroup(const Draft& draft) {
  std::vector<std::vector<std::pair<size_t, size_t>>> serving(draft.world.groups.size());
  for (size_t p = 0; p < draft.inference.size(); ++p) {
    const std::vector<CellState>& cells = draft.inference[p].cells;
    for (size_t c = 0; c < cells.size(); ++c) {
      if (!cells[c].Known() || cells[c].live == 0) continue;
      serving[draft.world.IndexOf(*cells[c].group)].emplace_back(p, c);
    }
  }
  return serving;
}

std::vector<size_t> Placed(const Draft& draft) {
  std::vector<size_t> placed;
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const Fate& fate = draft.fates[p];
    if (fate.memory.placement && !fate.memory.completed) placed.push_back(p);
  }
  return placed;
}

std::vector<std::vector<size_t>> ByGroup(const Draft& draft, const std::vector<size_t>& placed) {
  std::vector<std::vector<size_t>> by_group(draft.world.groups.size());
  for (const size_t p : placed) {
    const Placement& placement = *draft.fates[p].memory.placement;
    const GroupView* group = draft.world.FindGroup(placement.node_group);
    if (group == nullptr || group->spec->cluster != placement.cluster) continue;
    by_group[draft.world.IndexOf(*group)].push_back(p);
  }
  return by_group;
}

std::vector<size_t> Leaving(const Draft& draft) {
  std::vector<size_t> leaving;
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    if (draft.capacity.HasRemains(p)) leaving.push_back(p);
  }
  return leaving;
}

void MakeClaim(Draft& draft, size_t pool, const Option& option, const Victory& victory) {
  PoolMemory& memory = draft.fates[pool].memory;
  memory.hold = HoldOver(draft, *option.group, victory);
  draft.claimed.emplace_back(false, pool);
  auto contenders = std::move(draft.contenders);
  ClaimWhatItHas(draft, pool);
  CountClaim(draft, pool, 1);
  // A claim changes nothing else of them, and thousands may be made in one pass.
  for (const size_t gang : victory.victims) {
    contenders->promised[gang] = true;
    contenders->shrinking[gang] = victory.shrinks;
    contenders->awaited[gang] = true;
  }
  contenders->promised_replicas.insert(victory.replicas.begin(), victory.replicas.end());
  if (!draft.capacity.HasRemains(pool)) std::erase(contenders->leaving, pool);
  draft.contenders = std::move(contenders);
}

bool StillGivesWay(Draft& draft, size_t claimant, size_t victim, const Hold& claim) {
  const GroupView* group = draft.world.FindGroup(claim.node_group);
  if (group == nullptr) return false;
  const std::string& type = group->spec->accelerator;
  const PoolMemory& memory = draft.fates[victim].memory;
  const Rank rank =
      RankIn(draft.world, *draft.coverage, claimant, draft.fates[claimant].memory, type);
  const Rank other = RankIn(draft.world, *draft.coverage, victim, memory, type);
  if (!claim.shrinks) return MayEvict(rank, other);
  return MayShrink(rank, other) && CanStillShrink(draft, victim, EvictorOf(draft, claimant));
}

bool ReplicasStand(const Draft& draft, size_t claimant, const Hold& claim) {
  const GroupView* group = draft.world.FindGroup(claim.node_group);
  if (group == nullptr) return false;
  return MayBeSpared(draft,
                     RankIn(draft.world, *draft.coverage, claimant, draft.fates[claimant].memory,
                            group->spec->accelerator),
                     ReplicasStillThere(draft, claim));
}

// By namespace: what those cost an hour above home who are asked to give way.
using CostByNamespace = std::map<std::string, Money>;

CostByNamespace WhatLeavingCosts(const Draft& draft) {
  std::set<size_t> gangs;
  for (const Hold* claim : AllClaims(draft)) {
    if (claim->shrinks) continue;  // for room alone
    for (const size_t gang : StillThere(draft, *claim)) gangs.insert(gang);
  }
  CostByNamespace costs;
  for (const size_t gang : gangs) {
    const TrainingPool& pool = draft.Pool(gang);
    costs[pool.key.ns] += CostAboveHome(draft.world, pool, *draft.fates[gang].memory.placement);
  }
  for (const ReplicaKey& key : PromisedReplicas(draft)) {
    const auto place = FindReplica(draft.inference, key);
    costs[key.pool.ns] += CostAboveHome(draft.inference[place->pool].cells[place->cell]);
  }
  return costs;
}

// A limit may have been lowered, or a budget used up, since the claim was made: nobody goes for a
// place that it may not have, once all have gone who are asked to. REQUIRES a live claim in a group
// that the gang accepts.
bool HasTheMoney(Draft& draft, size_t pool, const CostByNamespace& leaving) {
  const GroupView& group = *draft.world.FindGroup(LiveClaim(draft, pool)->node_group);
  const TrainingPool& gang = draft.Pool(pool);
  const Need need = *NeedIn(gang, *group.spec);
  const auto there = leaving.find(gang.key.ns);
  const Money freed = there == leaving.end() ? Money() : there->second;
  draft.quotas.Add(gang.key.ns, group.spec->accelerator, 0, Money::FromMicros(-freed.micros()));
  const bool has = !SpendFinding(draft.Look(), gang, group, need.For(need.least));
  draft.quotas.Add(gang.key.ns, group.spec->accelerator, 0, freed);
  return has;
}

// Nobody goes for a place in a group that has been closed since, or can't be reached.
bool TakesNew(const GroupView& group) {
  return group.spec->admission == Admission::kOpen && group.spec->misconfigured.empty() &&
         !group.unreachable_since;
}

// Nor for one that the gang would not spill to by now: its policy, or what home could take some
// day, may have changed since.
bool WouldSpillTo(Draft& draft, size_t pool, const NodeGroup& group) {
  const PoolMemory& memory = draft.fates[pool].memory;
  if (group.tier == 0) return true;
  if (!draft.Pool(pool).spill_allowed) return false;
  return memory.tiers_used.contains(group.tier) || !HomeCould(draft.Look(), pool, memory);
}

struct Claiming {
  std::optional<Time> since;
  Turn turn;
};

void Count(Draft& draft, const Claiming& claim, int sign) {
  if (claim.turn.rank.inference) {
    CountCellClaim(draft, claim.turn.pool, sign);
  } else {
    CountClaim(draft, claim.turn.pool, sign);
  }
}

// Those of one moment as they had their turns then. Each is counted from its own on.
void PutInTurn(Draft& draft, std::span<Claiming> claims, const Coverage& first) {
  std::vector<Turn> turns;
  for (Claiming& claim : claims) {
    Rank& rank = claim.turn.rank;
    rank.guaranteed = rank.inference ? first.Grows(claim.turn.pool) : first.Gang(claim.turn.pool);
    turns.push_back(claim.turn);
  }
  Line line(std::move(turns));
  for (Claiming& claim : claims) {
    claim.turn = *line.Next(draft.quotas);
    Count(draft, claim, 1);
  }
}

// Who has a claim: the oldest takes first what nobody has, as it did when the others were made, and
// of those of one moment whoever had its turn first. `counted`: they are on the quotas' account
// now, and stay there.
std::vector<Claiming> InOrder(Draft& draft, bool counted) {
  std::vector<Claiming> claims;
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    if (LiveClaim(draft, p) == nullptr) continue;
    const Rank rank = RankOf(draft.Pool(p), draft.fates[p].memory, draft.Now());
    claims.push_back({.since = LiveClaim(draft, p)->since, .turn = {.rank = rank, .pool = p}});
  }
  for (size_t p = 0; p < draft.inference.size(); ++p) {
    if (!draft.inference[p].memory.claim) continue;
    claims.push_back({.since = draft.inference[p].memory.claim->hold.since,
                      .turn = {.rank = RankOf(draft.inference[p], draft.Now()), .pool = p}});
  }
  if (claims.size() < 2) return claims;
  std::ranges::stable_sort(claims, {}, &Claiming::since);
  const Coverage first = draft.first ? *draft.first : CoverageOf(draft);
  const auto count_all = [&](int sign) {
    for (const Claiming& claim : claims) Count(draft, claim, sign);
  };
  if (counted) count_all(-1);
  for (auto at = claims.begin(); at != claims.end();) {
    const auto end = std::find_if(at, claims.end(),
                                  [&](const Claiming& claim) { return claim.since != at->since; });
    PutInTurn(draft, {at, end}, first);
    at = end;
  }
  if (!counted) count_all(-1);
  return claims;
}

std::pair<bool, size_t> WhoClaims(const Claiming& claim) {
  return {claim.turn.rank.inference, claim.turn.pool};
}

// Have they taken what they have in this order?
bool TookInOrder(const Draft& draft, const std::vector<Claiming>& claims) {
  std::map<std::pair<bool, size_t>, size_t> last;
  for (size_t i = 0; i < draft.claimed.size(); ++i) last[draft.claimed[i]] = i;
  size_t before = 0;
  return std::ranges::all_of(claims, [&](const Claiming& claim) {
    const auto at = last.find(WhoClaims(claim));
    return at != last.end() && std::exchange(before, at->second) <= at->second;
  });
}

// All that is claimed is free again, and counts against nothing.
void LayDown(Draft& draft, const std::vector<Claiming>& claims) {
  for (const Claiming& claim : claims) {
    const size_t pool = claim.turn.pool;
    Count(draft, claim, -1);
    if (claim.turn.rank.inference) {
      InferenceDraft& inference = draft.inference[pool];
      Unforfeit(draft, inference.memory.claim->hold);
      inference.claims = false;
      ClaimCells(draft.world, draft.capacity, inference);
    } else {
      Unforfeit(draft, *LiveClaim(draft, pool));
      draft.capacity.Clear(pool);
    }
  }
  draft.contenders.reset();
}

void CarryClaim(Draft& draft, size_t pool, const CostByNamespace& leaving) {
  // Who asks for workers alone counts on nobody's money: the others may stay in the end, and
  // who has shrunk has.
  const CostByNamespace nothing;
  const bool shrinks = LiveClaim(draft, pool)->shrinks;
  if (!HasTheMoney(draft, pool, shrinks ? nothing : leaving)) {
    draft.fates[pool].memory.hold.reset();
    draft.claim_dropped = true;
    return;
  }
  ClaimWhatItHas(draft, pool);
  CountClaim(draft, pool, 1);
  ForfeitGone(draft, *LiveClaim(draft, pool));
}

// REQUIRES that nothing is claimed yet.
void CarryInOrder(Draft& draft, const std::vector<Claiming>& claims) {
  const CostByNamespace leaving = WhatLeavingCosts(draft);
  draft.claimed.clear();
  for (const Claiming& claim : claims) {
    draft.claimed.push_back(WhoClaims(claim));
    if (claim.turn.rank.inference) {
      CarryCellClaim(draft, claim.turn.pool);
    } else {
      CarryClaim(draft, claim.turn.pool, leaving);
    }
  }
}

// Tries those of its options that others could make room in.
bool Search(Draft& draft, size_t pool, const Option& option, Right right) {
  if (!option.finding || !option.only_short || !option.need) return false;
  const PoolMemory& memory = draft.fates[pool].memory;
  const Claimant claimant{
      .pool = pool,
      .own = pool,
      .memory = memory,
      .rank = RankIn(draft.world, *draft.coverage, pool, memory, option.group->spec->accelerator)};
  const auto victory = FindVictims(draft, claimant, option, right);
  if (!victory) return false;
  MakeClaim(draft, pool, option, *victory);
  return true;
}

}  // namespace

const Contenders& ContendersOf(Draft& draft) {
  if (!draft.contenders) {
    Contenders& contenders = draft.contenders.emplace();
    contenders.placed = Placed(draft);
    contenders.placed_in = ByGroup(draft, contenders.placed);
    contenders.leaving = Leaving(draft);
    contenders.promised = Promised(draft);
    contenders.shrinking = Shrinking(draft);
    contenders.serving_in = ServingByGroup(draft);
    contenders.promised_replicas = PromisedReplicas(draft);
    contenders.awaited = Awaited(draft);
  }
  return *draft.contenders;
}

void CountClaim(Draft& draft, size_t pool, int sign) {
  const Hold* claim = LiveClaim(draft, pool);
  if (claim == nullptr) return;
  const GroupView* group = draft.world.FindGroup(claim->node_group);
  const auto need = group == nullptr ? std::nullopt : NeedIn(draft.Pool(pool), *group->spec);
  if (!need) return;
  const int64_t accelerators = sign * need->For(need->least).Accelerators(draft.Pool(pool));
  draft.quotas.Add(draft.Pool(pool).key.ns, group->spec->accelerator, accelerators,
                   CostAboveHome(*group, accelerators));
}

void CarryClaims(Draft& draft) {
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    Fate& fate = draft.fates[p];
    const auto& hold = std::as_const(fate.memory.hold);
    if (!hold || !hold->IsClaim()) continue;
    const GroupView* group = draft.world.FindGroup(hold->node_group);
    if (fate.course != Course::kQueue || group == nullptr || !TakesNew(*group) ||
        !Accepts(draft.Pool(p), *group->spec) || !WouldSpillTo(draft, p, *group->spec)) {
      fate.memory.hold.reset();
    }
  }
  CarryInOrder(draft, InOrder(draft, false));
}

void GatherClaims(Draft& draft) {
  const std::vector<Claiming> claims = InOrder(draft, true);
  // As the next pass will have them. Those of one moment may have had other turns when they were
  // made; and who goes for a claim that is given up leaves nobody any money.
  if (draft.claim_dropped || !TookInOrder(draft, claims)) {
    draft.claim_dropped = false;
    LayDown(draft, claims);
    CarryInOrder(draft, claims);
    return;
  }
  for (const Claiming& claiming : claims) {
    const size_t pool = claiming.turn.pool;
    if (claiming.turn.rank.inference) {
      GatherCells(draft.world, draft.capacity, draft.inference[pool]);
      continue;
    }
    const auto claim = ClaimOf(draft.world, draft.Pool(pool), *LiveClaim(draft, pool));
    if (claim) draft.capacity.Add(pool, *claim);
  }
}

bool MayReclaim(const Draft& draft, size_t pool, const Option& option) {
  return option.group->spec->tier == 0 &&
         draft.coverage->Gang(pool, option.group->spec->accelerator);
}

bool Shrink(Draft& draft, size_t pool, const Option& option) {
  return draft.elastic_in[draft.world.IndexOf(*option.group)] &&
         draft.Pool(pool).preempts != Preempts::kNever &&
         Search(draft, pool, option, Right::kShrink);
}

bool Reclaim(Draft& draft, size_t pool, const Option& option) {
  return MayReclaim(draft, pool, option) && Search(draft, pool, option, Right::kReclaim);
}

bool Preempt(Draft& draft, size_t pool) {
  if (draft.Pool(pool).preempts == Preempts::kNever) return false;
  const std::vector<Option>& options = draft.options[pool];
  // Where it would spill before long it makes nobody go.
  const bool spills = std::any_of(options.begin(), options.end(), [](const Option& option) {
    return option.HeldBack() && (option.fit || option.new_nodes);
  });
  if (spills) return false;
  // At home it has been looked for before.
  const auto shrinks = [&](const Option& option) {
    return option.group->spec->tier > 0 && Shrink(draft, pool, option);
  };
  const auto makes_go = [&](const Option& option) {
    return Search(draft, pool, option, Right::kPriority);
  };
  return std::ranges::any_of(options, shrinks) || std::ranges::any_of(options, makes_go);
}

bool DropOverruled(Draft& draft, size_t pool) {
  const Hold* claim = LiveClaim(draft, pool);
  if (claim == nullptr) return false;
  const std::vector<size_t> there = StillThere(draft, *claim);
  const bool stands = std::all_of(there.begin(), there.end(), [&](size_t victim) {
    return StillGivesWay(draft, pool, victim, *claim);
  });
  if (stands && ReplicasStand(draft, pool, *claim)) return false;
  CountClaim(draft, pool, -1);
  const Hold dropped = *claim;
  draft.fates[pool].memory.hold.reset();
  ClaimWhatItHas(draft, pool);
  DropClaim(draft, dropped);
  return true;
}

void DropClaim(Draft& draft, const Hold& claim) {
  draft.claim_dropped = true;
  Unforfeit(draft, claim);
  ForfeitToClaims(draft);
  draft.contenders.reset();
}

void ForfeitToClaims(Draft& draft) {
  for (const Hold* claim : AllClaims(draft)) ForfeitGone(draft, *claim);
}

bool EvictDue(Draft& draft, size_t pool) {
  return LiveClaim(draft, pool) != nullptr && EvictDue(draft, EvictorOf(draft, pool));
}

void TellClaims(Draft& draft) {
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    if (LiveClaim(draft, p) == nullptr) continue;
    draft.fates[p].awaits = TellVictims(draft, EvictorOf(draft, p));
  }
  for (InferenceDraft& pool : draft.inference) {
    if (pool.memory.claim) pool.awaits = TellVictims(draft, EvictorOf(pool));
  }
}

}  // namespace spillway::placement
