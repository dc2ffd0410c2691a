#include "placement/evictions.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "placement/attempts.h"
#include "placement/claims.h"
#include "placement/moves.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

constexpr size_t kMostEvictions = 20;

std::vector<size_t> NodesOf(const Draft& draft, const Hold& claim) {
  std::vector<size_t> nodes;
  const GroupView* group = draft.world.FindGroup(claim.node_group);
  if (group == nullptr) return nodes;
  for (const std::string& name : claim.nodes) {
    const auto node = draft.world.FindNode(group->spec->cluster, name);
    if (node) nodes.push_back(*node);
  }
  return nodes;
}

void Forfeit(Draft& draft, size_t victim, const Hold& claim) {
  for (const size_t node : NodesOf(draft, claim)) draft.capacity.Forfeit(victim, node);
}

// Pools whose replicas the claim names, whether or not these are there still.
std::vector<const InferenceDraft*> GivingWay(const Draft& draft, const Hold& claim) {
  std::set<PoolKey> keys;
  for (const ReplicaKey& key : claim.replicas) keys.insert(key.pool);
  std::vector<const InferenceDraft*> pools;
  for (const PoolKey& key : keys) {
    if (const auto pool = FindServing(draft.inference, key))
      pools.push_back(&draft.inference[*pool]);
  }
  return pools;
}

// Who stands for the pool's cells in the group of the claim. A pod that was made in the place of
// one that went is on its way out too, and leaves no room to the pool either.
std::vector<size_t> SeekersIn(const InferenceDraft& pool, const Hold& claim) {
  std::vector<size_t> seekers;
  for (const CellState& cell : pool.cells) {
    if (cell.Known() && cell.memory.node_group == claim.node_group) seekers.push_back(cell.seeker);
  }
  return seekers;
}

void Record(std::vector<Eviction>& evictions, Time now, const std::string& why) {
  std::erase_if(evictions, [&](const Eviction& e) { return e.time + kEvictionsCount <= now; });
  if (evictions.size() == kMostEvictions) evictions.erase(evictions.begin());
  evictions.push_back({.time = now, .cause = why});
}

CellState& CellOf(Draft& draft, const ReplicaPlace& place) {
  return draft.inference[place.pool].cells[place.cell];
}

Time ReplicasLeave(const Hold& claim) { return claim.since.value_or(Time()) + kNotice; }

// The pod goes, and its room is not for its own pool.
void Send(Draft& draft, const ReplicaPlace& place, const Hold& claim) {
  InferenceDraft& pool = draft.inference[place.pool];
  CellState& cell = CellOf(draft, place);
  pool.evict.insert(std::ranges::upper_bound(pool.evict, place.replica->pod), place.replica->pod);
  Recount(draft.world, pool, cell);
  ClaimCells(draft.world, draft.capacity, pool);
  for (const size_t seeker : SeekersIn(pool, claim)) Forfeit(draft, seeker, claim);
}

// The cell is to have one less.
void Lower(Draft& draft, const ReplicaPlace& place) {
  const InferenceDraft& pool = draft.inference[place.pool];
  CellState& cell = CellOf(draft, place);
  --cell.memory.desired;
  cell.memory.revision = cell.variant->revision;
  draft.quotas.Add(pool.pool->key.ns, cell.variant->accelerator, -cell.variant->per_replica,
                   CostAboveHome(cell).Times(-1));
}

bool SendDue(Draft& draft, const Evictor& claimant) {
  if (draft.Now() < ReplicasLeave(claimant.hold)) return false;
  std::map<std::pair<size_t, size_t>, int> lowered;  // by pool and cell
  bool any = false;
  for (const ReplicaPlace& place : ReplicasStillThere(draft, claimant.hold)) {
    const InferenceDraft& pool = draft.inference[place.pool];
    const CellState& cell = CellOf(draft, place);
    if (pool.held || pool.IsInDoubt() || cell.group->IsLeftAlone()) continue;
    if (cell.live <= cell.memory.desired) {
      if (!Spare(pool, place.pool, *draft.coverage).Take(cell)) continue;
      Lower(draft, place);
      ++lowered[{place.pool, place.cell}];
    }
    Send(draft, place, claimant.hold);
    any = true;
  }
  for (const auto& [at, count] : lowered) {
    InferenceDraft& pool = draft.inference[at.first];
    const CellMemory& cell = pool.cells[at.second].memory;
    Record(pool.memory.evictions, draft.Now(),
           fmt::format("gave {} of {} on {} up for {}, {}", Count(count, "replica"), cell.variant,
                       cell.node_group, claimant.key.Format(),
                       RightOver(claimant, pool.pool->key, pool.pool->priority)));
  }
  if (any) draft.contenders.reset();
  return any;
}

// Those who make room for the claim, as Capacity has them: who has shrunk already leaves what its
// pods still have.
std::vector<size_t> WhoMakeRoom(const Draft& draft, const Hold& claim) {
  std::vector<size_t> who = StillThere(draft, claim);
  const size_t there = who.size();
  for (const PoolKey& key : claim.victims) {
    const auto gang = FindGang(draft.world, key);
    const auto end = who.begin() + static_cast<std::ptrdiff_t>(there);
    if (gang && std::find(who.begin(), end, *gang) == end) {
      who.push_back(draft.capacity.RemainsOf(*gang));
    }
  }
  return who;
}

// Where the gang goes on with fewer workers beside the claim.
std::optional<Fit> WhereItShrinks(Draft& draft, size_t victim, const Evictor& claimant,
                                  Settling settling) {
  const auto gang = FindGang(draft.world, claimant.key);
  const GroupView* group = draft.world.FindGroup(claimant.hold.node_group);
  const auto need =
      gang && group != nullptr ? NeedIn(draft.Pool(*gang), *group->spec) : std::optional<Need>();
  if (!need) return std::nullopt;
  const PoolMemory& memory = draft.fates[victim].memory;
  if (memory.placement->node_group != group->spec->name) return std::nullopt;
  if (draft.world.IsLeftAlone(*memory.placement)) return std::nullopt;
  // Nothing starts where there is no money for it: it leaves by itself.
  if (IsOverBudget(draft.world, draft.quotas.Spend(), draft.Pool(victim), *memory.placement)) {
    return std::nullopt;
  }
  const Claimed claimed =
      ClaimedOn(draft.Look(), *gang, need->For(need->least), NodesOf(draft, claimant.hold),
                WhoMakeRoom(draft, claimant.hold));
  return ShrunkFit(draft.Look(), victim, memory, claimed, settling);
}

// What some leave is of no use to the claimant without what the others do: nobody shrinks unless
// all can.
bool ShrinkDue(Draft& draft, const Evictor& claimant) {
  const std::vector<size_t> there = StillThere(draft, claimant.hold);
  const auto can = [&](size_t gang) { return CanStillShrink(draft, gang, claimant); };
  if (!std::ranges::all_of(there, can)) return false;
  bool any = false;
  for (const size_t gang : there) {
    if (GoesNow(draft, gang, claimant.hold)) any = ShrinkFor(draft, gang, claimant) || any;
  }
  return any;
}

// By pool.
std::map<size_t, int> CountByPool(const std::vector<ReplicaPlace>& places) {
  std::map<size_t, int> counts;
  for (const ReplicaPlace& place : places) ++counts[place.pool];
  return counts;
}

// Whom it waits for, and what those say: of replicas, by pool.
void TellReplicas(Draft& draft, const Evictor& claimant, std::vector<Leaver>& awaits) {
  if (claimant.hold.replicas.empty()) return;
  const Time leave = ReplicasLeave(claimant.hold);
  std::map<PoolKey, int> gone;
  for (const ReplicaKey& key : claimant.hold.replicas) ++gone[key.pool];
  for (const auto& [index, count] : CountByPool(ReplicasStillThere(draft, claimant.hold))) {
    InferenceDraft& pool = draft.inference[index];
    gone[pool.pool->key] -= count;
    awaits.push_back({.key = pool.pool->key, .leaves = leave, .replicas = count});
    pool.yields.push_back({.key = claimant.key,
                           .leaves = leave,
                           .right = RightOver(claimant, pool.pool->key, pool.pool->priority),
                           .replicas = count});
    draft.moments.push_back(leave);
  }
  for (const auto& [key, count] : gone) {
    if (count > 0) awaits.push_back({.key = key, .leaves = {}, .replicas = count});
  }
}

}  // namespace

std::optional<size_t> FindGang(const World& world, const PoolKey& key) {
  const auto end = world.pools.begin() + static_cast<std::ptrdiff_t>(world.gangs);
  const auto at =
      std::lower_bound(world.pools.begin(), end, key,
                       [](const TrainingPool* pool, const PoolKey& k) { return pool->key < k; });
  if (at == end || (*at)->key != key) return std::nullopt;
  return static_cast<size_t>(at - world.pools.begin());
}

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

void ForfeitGone(Draft& draft, const Hold& claim) {
  if (claim.shrinks) return;  // they stay, beside it
  const std::vector<size_t> there = StillThere(draft, claim);
  for (const PoolKey& key : claim.victims) {
    const auto gang = FindGang(draft.world, key);
    const bool gone = gang && std::find(there.begin(), there.end(), *gang) == there.end();
    if (gone) Forfeit(draft, *gang, claim);
  }
  std::map<PoolKey, int64_t> gone;
  for (const ReplicaKey& key : claim.replicas) ++gone[key.pool];
  for (const ReplicaPlace& place : ReplicasStillThere(draft, claim)) {
    --gone[draft.inference[place.pool].pool->key];
  }
  for (const InferenceDraft* pool : GivingWay(draft, claim)) {
    if (gone[pool->pool->key] == 0) continue;
    for (const size_t seeker : SeekersIn(*pool, claim)) Forfeit(draft, seeker, claim);
  }
}

std::vector<ReplicaPlace> ReplicasStillThere(const Draft& draft, const Hold& claim) {
  std::vector<ReplicaPlace> there;
  for (const ReplicaKey& key : claim.replicas) {
    const auto place = FindReplica(draft.inference, key);
    const bool stays = place && draft.inference[place->pool].Stays(*place->replica);
    if (stays && claim.since) there.push_back(*place);
  }
  return there;
}

bool MayBeSpared(const Draft& draft, const Rank& claimant, const std::vector<ReplicaPlace>& there) {
  std::map<size_t, Spare> spares;
  std::map<std::pair<size_t, size_t>, int> surplus;
  return std::ranges::all_of(there, [&](const ReplicaPlace& place) {
    const InferenceDraft& pool = draft.inference[place.pool];
    const CellState& cell = pool.cells[place.cell];
    if (pool.held || !MayEvict(claimant, RankOf(pool, draft.Now()))) return false;
    int& beyond = surplus.try_emplace({place.pool, place.cell}, cell.live - cell.memory.desired)
                      .first->second;
    if (beyond-- > 0) return true;  // one of them goes in any case
    return spares.try_emplace(place.pool, pool, place.pool, *draft.coverage)
        .first->second.Take(cell);
  });
}

void Unforfeit(Draft& draft, const Hold& claim) {
  for (const PoolKey& key : claim.victims) {
    const auto gang = FindGang(draft.world, key);
    if (!gang) continue;
    for (const size_t node : NodesOf(draft, claim)) draft.capacity.Unforfeit(*gang, node);
  }
  for (const InferenceDraft* pool : GivingWay(draft, claim)) {
    for (const size_t seeker : SeekersIn(*pool, claim)) {
      for (const size_t node : NodesOf(draft, claim)) draft.capacity.Unforfeit(seeker, node);
    }
  }
}

std::string RightOver(const Evictor& claimant, const PoolKey& victim, int64_t priority) {
  if (claimant.priority > priority) {
    return fmt::format("whose priority is {} and not {}", claimant.priority, priority);
  }
  if (claimant.key.ns == victim.ns) return "which comes before it in the queue";
  return fmt::format("which asks for what namespace {} is guaranteed", claimant.key.ns);
}

bool GoesNow(const Draft& draft, size_t victim, const Hold& claim) {
  const Fate& fate = draft.fates[victim];
  const TrainingPool& pool = draft.Pool(victim);
  const Placement& placement = *fate.memory.placement;
  if (draft.world.IsLeftAlone(placement)) return false;
  if (draft.Now() < placement.since + pool.min_run) return false;
  // Who has to start anew anyway does not do so where it may not stay.
  if (fate.course == Course::kRenew) return true;
  return fate.course == Course::kStay && GivesWayAt(pool, fate.memory, *claim.since) <= draft.Now();
}

void Evict(Draft& draft, size_t victim, const Evictor& claimant) {
  Fate& fate = draft.fates[victim];
  const TrainingPool& pool = draft.Pool(victim);
  PoolMemory& memory = fate.memory;
  const std::string why =
      fmt::format("gave its place on {} up for {}, {}", claimant.hold.node_group,
                  claimant.key.Format(), RightOver(claimant, pool.key, pool.priority));
  CountGang(draft.quotas, draft.world, pool, *memory.placement, -1);
  Record(memory.evictions, draft.Now(), why);
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
  Forfeit(draft, victim, claimant.hold);
}

bool CanStillShrink(Draft& draft, size_t victim, const Evictor& claimant) {
  return WhereItShrinks(draft, victim, claimant, Settling::kSettled).has_value();
}

bool ShrinkFor(Draft& draft, size_t victim, const Evictor& claimant) {
  const auto fit = WhereItShrinks(draft, victim, claimant, Settling::kStarting);
  if (!fit) return false;
  Fate& fate = draft.fates[victim];
  const TrainingPool& pool = draft.Pool(victim);
  PoolMemory& memory = fate.memory;
  const GroupView& group = *draft.world.FindGroup(claimant.hold.node_group);
  const Placement before = *std::as_const(memory.placement);
  const std::string why =
      fmt::format("gave {} of {} on {} up for {}, {}", before.workers - fit->workers,
                  Count(before.workers, "worker"), claimant.hold.node_group, claimant.key.Format(),
                  RightOver(claimant, pool.key, pool.priority));
  CountGang(draft.quotas, draft.world, pool, before, -1);
  Record(memory.evictions, draft.Now(), why);
  LengthenDwell(pool, memory, draft.Now());
  StartAttempt(draft.world, pool, group, *fit, memory);
  memory.growth_fits_since.reset();
  CountGang(draft.quotas, draft.world, pool, *std::as_const(memory.placement), 1);
  // Who has to start anew anyway does so for its own reason.
  if (fate.course == Course::kStay) {
    fate.cause = Cause{.reason = Reason::kPreempted, .sentence = why};
  }
  fate.course = Course::kStay;
  fate.action = Action::kRestart;
  ClaimWhatItHas(draft, victim);
  return true;
}

bool EvictDue(Draft& draft, const Evictor& claimant) {
  if (claimant.hold.shrinks) return ShrinkDue(draft, claimant);
  bool any = false;
  for (const size_t gang : StillThere(draft, claimant.hold)) {
    if (!GoesNow(draft, gang, claimant.hold)) continue;
    Evict(draft, gang, claimant);
    any = true;
  }
  return SendDue(draft, claimant) || any;
}

std::vector<Leaver> TellVictims(Draft& draft, const Evictor& claimant) {
  std::vector<Leaver> awaits;
  const std::vector<size_t> there = StillThere(draft, claimant.hold);
  for (const PoolKey& key : claimant.hold.victims) {
    Leaver& leaver = awaits.emplace_back();
    leaver.key = key;
    leaver.shrinks = claimant.hold.shrinks;
    const auto at = std::find_if(there.begin(), there.end(),
                                 [&](size_t gang) { return draft.Pool(gang).key == key; });
    if (at == there.end()) continue;
    Fate& fate = draft.fates[*at];
    leaver.leaves = GivesWayAt(draft.Pool(*at), fate.memory, *claimant.hold.since);
    fate.yields_to = Leaver{.key = claimant.key,
                            .leaves = leaver.leaves,
                            .right = RightOver(claimant, key, draft.Pool(*at).priority),
                            .shrinks = leaver.shrinks};
    draft.moments.push_back(*leaver.leaves);
  }
  TellReplicas(draft, claimant, awaits);
  return awaits;
}

std::optional<Victory> FindVictims(Draft& draft, const Claimant& claimant, const Option& option,
                                   Right right) {
  const Scene scene = draft.Look();
  const Contenders& contenders = ContendersOf(draft);
  const Contest contest{.scene = scene,
                        .fates = draft.fates,
                        .coverage = *draft.coverage,
                        .placed = contenders.placed,
                        .placed_in = contenders.placed_in,
                        .ending = draft.ending,
                        .promised = contenders.promised,
                        .shrinking = contenders.shrinking,
                        .inference = draft.inference,
                        .serving_in = contenders.serving_in,
                        .promised_replicas = contenders.promised_replicas};
  return CheapestVictims(contest, claimant, option, right, draft.moments);
}

Hold HoldOver(const Draft& draft, const GroupView& group, const Victory& victory) {
  Hold hold;
  hold.node_group = group.spec->name;
  hold.domain = victory.fit.domain;
  for (const size_t node : victory.fit.nodes) {
    hold.nodes.push_back(draft.world.nodes[node]->id.name);
  }
  hold.until = victory.gone + kClaimSlack;
  hold.since = draft.Now();
  for (const size_t gang : victory.victims) hold.victims.push_back(draft.Pool(gang).key);
  hold.replicas = victory.replicas;
  hold.shrinks = victory.shrinks;
  return hold;
}

}  // namespace spillway::placement
