#include "placement/claims.h"

#include <fmt/format.h>

#include <algorithm>

#include "placement/moves.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

constexpr size_t kMostEvictions = 20;

std::optional<size_t> FindGang(const World& world, const PoolKey& key) {
  const auto end = world.pools.begin() + static_cast<std::ptrdiff_t>(world.gangs);
  const auto at =
      std::lower_bound(world.pools.begin(), end, key,
                       [](const TrainingPool* pool, const PoolKey& k) { return pool->key < k; });
  if (at == end || (*at)->key != key) return std::nullopt;
  return static_cast<size_t>(at - world.pools.begin());
}

const Hold* LiveClaim(const Draft& draft, size_t pool) {
  const auto& hold = draft.fates[pool].memory.hold;
  return hold && hold->IsClaim() && draft.fates[pool].course == Course::kQueue ? &*hold : nullptr;
}

// Those of a claim that still have the place that was claimed; a new one is theirs to keep.
std::vector<size_t> StillThere(const Draft& draft, const Hold& claim) {
  std::vector<size_t> there;
  for (const PoolKey& key : claim.victims) {
    const auto gang = FindGang(draft.world, key);
    if (!gang) continue;
    const Fate& fate = draft.fates[*gang];
    const auto& placement = fate.memory.placement;
    if (placement && !fate.memory.completed && claim.since && placement->since < *claim.since) {
      there.push_back(*gang);
    }
  }
  return there;
}

// Who has gone does not come back to what was claimed while its pods are on their way out.
void Forfeit(Draft& draft, size_t victim, const Hold& claim) {
  const GroupView* group = draft.world.FindGroup(claim.node_group);
  if (group == nullptr) return;
  for (const std::string& name : claim.nodes) {
    const auto node = draft.world.FindNode(group->spec->cluster, name);
    if (node) draft.capacity.Forfeit(victim, *node);
  }
}

std::vector<bool> Promised(const Draft& draft) {
  std::vector<bool> promised(draft.fates.size());
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const Hold* claim = LiveClaim(draft, p);
    if (claim == nullptr) continue;
    for (const size_t gang : StillThere(draft, *claim)) promised[gang] = true;
  }
  return promised;
}

std::vector<bool> Awaited(const Draft& draft) {
  std::vector<bool> awaited(draft.fates.size());
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const Hold* claim = LiveClaim(draft, p);
    if (claim == nullptr) continue;
    for (const PoolKey& key : claim->victims) {
      if (const auto gang = FindGang(draft.world, key)) awaited[*gang] = true;
    }
  }
  return awaited;
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

bool HasPods(const TrainingPool& pool) {
  return std::any_of(pool.workers.begin(), pool.workers.end(),
                     [](const Worker& worker) { return !worker.ended && !worker.node.empty(); });
}

std::vector<size_t> Leaving(const Draft& draft) {
  std::vector<size_t> leaving;
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const PoolMemory& memory = draft.fates[p].memory;
    const bool placed = memory.placement && !memory.completed;
    if (!placed && !memory.hold && HasPods(draft.Pool(p))) leaving.push_back(p);
  }
  return leaving;
}

std::optional<Victory> FindVictims(Draft& draft, size_t pool, const Option& option, Right right) {
  const Scene scene = draft.Look();
  const Contenders& contenders = ContendersOf(draft);
  const Contest contest{.scene = scene,
                        .fates = draft.fates,
                        .coverage = *draft.coverage,
                        .placed = contenders.placed,
                        .placed_in = contenders.placed_in,
                        .promised = contenders.promised};
  return CheapestVictims(contest, pool, option, right, draft.moments);
}

void MakeClaim(Draft& draft, size_t pool, const Option& option, const Victory& victory) {
  PoolMemory& memory = draft.fates[pool].memory;
  Hold& claim = memory.hold.emplace();
  claim.node_group = option.group->spec->name;
  claim.domain = victory.fit.domain;
  for (const size_t node : victory.fit.nodes) {
    claim.nodes.push_back(draft.world.nodes[node]->id.name);
  }
  claim.until = victory.gone + kClaimSlack;
  claim.since = draft.Now();
  for (const size_t gang : victory.victims) claim.victims.push_back(draft.Pool(gang).key);
  auto contenders = std::move(draft.contenders);
  ClaimWhatItHas(draft, pool);
  CountClaim(draft, pool, 1);
  // A claim changes nothing else of them, and thousands may be made in one pass.
  for (const size_t gang : victory.victims) {
    contenders->promised[gang] = true;
    contenders->awaited[gang] = true;
  }
  std::erase(contenders->leaving, pool);
  draft.contenders = std::move(contenders);
}

// By which right the one makes the other go.
std::string RightOf(const TrainingPool& claimant, const TrainingPool& victim) {
  return claimant.priority > victim.priority
             ? fmt::format("whose priority is {} and not {}", claimant.priority, victim.priority)
             : fmt::format("which asks for what namespace {} is guaranteed", claimant.key.ns);
}

std::string WhyEvicted(const Draft& draft, size_t pool, const TrainingPool& victim) {
  const TrainingPool& claimant = draft.Pool(pool);
  return fmt::format("gave its place on {} up for {}, {}",
                     draft.fates[pool].memory.hold->node_group, claimant.key.Format(),
                     RightOf(claimant, victim));
}

void Evict(Draft& draft, size_t victim, size_t claimant) {
  Fate& fate = draft.fates[victim];
  const TrainingPool& pool = draft.Pool(victim);
  PoolMemory& memory = fate.memory;
  const std::string why = WhyEvicted(draft, claimant, pool);
  CountGang(draft.quotas, draft.world, pool, *memory.placement, -1);
  std::erase_if(memory.evictions,
                [&](const Eviction& e) { return e.time + kEvictionsCount <= draft.Now(); });
  if (memory.evictions.size() == kMostEvictions) memory.evictions.erase(memory.evictions.begin());
  memory.evictions.push_back({.time = draft.Now(), .cause = why});
  LengthenDwell(pool, memory, draft.Now());
  memory.placement.reset();
  memory.hold.reset();
  memory.ready_since.reset();
  memory.waiting_since = draft.Now();
  const bool rests = Blocked(pool) || pool.template_unchecked;
  fate.course = rests ? Course::kRest : Course::kQueue;
  fate.action = Action::kRelease;
  fate.cause = Cause{.reason = Reason::kPreempted, .sentence = why};
  ClaimWhatItHas(draft, victim);
  Forfeit(draft, victim, *draft.fates[claimant].memory.hold);
}

bool StillComesFirst(const Draft& draft, size_t claimant, size_t victim, const Hold& claim) {
  const GroupView* group = draft.world.FindGroup(claim.node_group);
  if (group == nullptr) return false;
  const std::string& type = group->spec->accelerator;
  return MayEvict(
      RankIn(draft.world, *draft.coverage, claimant, draft.fates[claimant].memory, type),
      RankIn(draft.world, *draft.coverage, victim, draft.fates[victim].memory, type));
}

bool IsDue(const Draft& draft, size_t victim, const Hold& claim) {
  const Fate& fate = draft.fates[victim];
  const TrainingPool& pool = draft.Pool(victim);
  const Placement& placement = *fate.memory.placement;
  const GroupView* group = draft.world.FindGroup(placement.node_group);
  if (group != nullptr && group->LinkSuspect()) return false;
  if (draft.Now() < placement.since + pool.min_run) return false;
  // Who has to start anew anyway does not do so where it may not stay.
  if (fate.course == Course::kRenew) return true;
  return fate.course == Course::kStay && GivesWayAt(pool, fate.memory, *claim.since) <= draft.Now();
}

// A limit may have been lowered, or a budget used up, since the claim was made: nobody goes for a
// place that it may not have. REQUIRES a live claim in a group that the gang accepts.
bool HasTheMoney(Draft& draft, size_t pool) {
  const GroupView& group = *draft.world.FindGroup(LiveClaim(draft, pool)->node_group);
  const TrainingPool& gang = draft.Pool(pool);
  return !SpendFinding(draft.Look(), gang, group, *NeedIn(gang, *group.spec));
}

// Nobody goes for a place in a group that has been closed since.
bool TakesNew(const NodeGroup& group) {
  return group.admission == Admission::kOpen && group.misconfigured.empty();
}

// Tries those of its options that others could make room in.
bool Search(Draft& draft, size_t pool, const Option& option, Right right) {
  if (!option.finding || !option.only_short || !option.need) return false;
  const auto victory = FindVictims(draft, pool, option, right);
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
  const int64_t accelerators = sign * need->Accelerators(draft.Pool(pool));
  draft.quotas.Add(draft.Pool(pool).key.ns, group->spec->accelerator, accelerators,
                   CostAboveHome(*group, accelerators));
}

void CarryClaims(Draft& draft) {
  std::vector<std::pair<Rank, size_t>> claims;
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    Fate& fate = draft.fates[p];
    if (!fate.memory.hold || !fate.memory.hold->IsClaim()) continue;
    const GroupView* group = draft.world.FindGroup(fate.memory.hold->node_group);
    if (fate.course != Course::kQueue || group == nullptr || !TakesNew(*group->spec) ||
        !Accepts(draft.Pool(p), *group->spec)) {
      fate.memory.hold.reset();
      continue;
    }
    claims.emplace_back(DemandsOf(draft.Pool(p), p, fate.memory, draft.Now()).front().rank, p);
  }
  std::sort(claims.begin(), claims.end(),
            [](const auto& a, const auto& b) { return a.first.Before(b.first); });
  for (const auto& [rank, pool] : claims) {
    if (!HasTheMoney(draft, pool)) {
      draft.fates[pool].memory.hold.reset();
      continue;
    }
    ClaimWhatItHas(draft, pool);
    CountClaim(draft, pool, 1);
    const Hold& claim = *LiveClaim(draft, pool);
    const std::vector<size_t> there = StillThere(draft, claim);
    for (const PoolKey& key : claim.victims) {
      const auto gang = FindGang(draft.world, key);
      const bool gone = gang && std::find(there.begin(), there.end(), *gang) == there.end();
      if (gone) Forfeit(draft, *gang, claim);
    }
  }
}

bool MayReclaim(const Draft& draft, size_t pool, const Option& option) {
  return option.group->spec->tier == 0 &&
         draft.coverage->Gang(pool, option.group->spec->accelerator);
}

bool Reclaim(Draft& draft, size_t pool, const Option& option) {
  return MayReclaim(draft, pool, option) && Search(draft, pool, option, Right::kReclaim);
}

bool Preempt(Draft& draft, size_t pool) {
  if (draft.Pool(pool).preempts == Preempts::kNever) return false;
  const std::vector<Option>& options = draft.options[pool];
  // Where it would spill before long it makes nobody go.
  const bool spills = std::any_of(options.begin(), options.end(), [](const Option& option) {
    return option.HeldBack() && option.fit;
  });
  return !spills && std::any_of(options.begin(), options.end(), [&](const Option& option) {
    return Search(draft, pool, option, Right::kPriority);
  });
}

void DropOverruled(Draft& draft, size_t pool) {
  const Hold* claim = LiveClaim(draft, pool);
  if (claim == nullptr) return;
  const std::vector<size_t> there = StillThere(draft, *claim);
  const bool stands = std::all_of(there.begin(), there.end(), [&](size_t victim) {
    return StillComesFirst(draft, pool, victim, *claim);
  });
  if (stands) return;
  CountClaim(draft, pool, -1);
  draft.fates[pool].memory.hold.reset();
  ClaimWhatItHas(draft, pool);
}

bool EvictDue(Draft& draft, size_t pool) {
  const Hold* claim = LiveClaim(draft, pool);
  if (claim == nullptr) return false;
  bool any = false;
  for (const size_t gang : StillThere(draft, *claim)) {
    if (!IsDue(draft, gang, *claim)) continue;
    Evict(draft, gang, pool);
    any = true;
  }
  return any;
}

void TellClaims(Draft& draft) {
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const Hold* claim = LiveClaim(draft, p);
    if (claim == nullptr) continue;
    const std::vector<size_t> there = StillThere(draft, *claim);
    for (const PoolKey& key : claim->victims) {
      Leaver& leaver = draft.fates[p].awaits.emplace_back();
      leaver.key = key;
      const auto at = std::find_if(there.begin(), there.end(),
                                   [&](size_t gang) { return draft.Pool(gang).key == key; });
      if (at == there.end()) continue;
      Fate& fate = draft.fates[*at];
      leaver.leaves = GivesWayAt(draft.Pool(*at), fate.memory, *claim->since);
      fate.yields_to = Leaver{.key = draft.Pool(p).key,
                              .leaves = leaver.leaves,
                              .right = RightOf(draft.Pool(p), draft.Pool(*at))};
      draft.moments.push_back(*leaver.leaves);
    }
  }
}

}  // namespace spillway::placement
