#include "placement/evictions.h"

#include <fmt/format.h>

#include <algorithm>

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
  const std::vector<size_t> there = StillThere(draft, claim);
  for (const PoolKey& key : claim.victims) {
    const auto gang = FindGang(draft.world, key);
    const bool gone = gang && std::find(there.begin(), there.end(), *gang) == there.end();
    if (gone) Forfeit(draft, *gang, claim);
  }
}

void Unforfeit(Draft& draft, const Hold& claim) {
  for (const PoolKey& key : claim.victims) {
    const auto gang = FindGang(draft.world, key);
    if (!gang) continue;
    for (const size_t node : NodesOf(draft, claim)) draft.capacity.Unforfeit(*gang, node);
  }
}

std::string RightOver(const Evictor& claimant, const TrainingPool& victim) {
  return claimant.priority > victim.priority
             ? fmt::format("whose priority is {} and not {}", claimant.priority, victim.priority)
             : fmt::format("which asks for what namespace {} is guaranteed", claimant.key.ns);
}

bool GoesNow(const Draft& draft, size_t victim, const Hold& claim) {
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

void Evict(Draft& draft, size_t victim, const Evictor& claimant) {
  Fate& fate = draft.fates[victim];
  const TrainingPool& pool = draft.Pool(victim);
  PoolMemory& memory = fate.memory;
  const std::string why =
      fmt::format("gave its place on {} up for {}, {}", claimant.hold.node_group,
                  claimant.key.Format(), RightOver(claimant, pool));
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
  Forfeit(draft, victim, claimant.hold);
}

bool EvictDue(Draft& draft, const Evictor& claimant) {
  bool any = false;
  for (const size_t gang : StillThere(draft, claimant.hold)) {
    if (!GoesNow(draft, gang, claimant.hold)) continue;
    Evict(draft, gang, claimant);
    any = true;
  }
  return any;
}

std::vector<Leaver> TellVictims(Draft& draft, const Evictor& claimant) {
  std::vector<Leaver> awaits;
  const std::vector<size_t> there = StillThere(draft, claimant.hold);
  for (const PoolKey& key : claimant.hold.victims) {
    Leaver& leaver = awaits.emplace_back();
    leaver.key = key;
    const auto at = std::find_if(there.begin(), there.end(),
                                 [&](size_t gang) { return draft.Pool(gang).key == key; });
    if (at == there.end()) continue;
    Fate& fate = draft.fates[*at];
    leaver.leaves = GivesWayAt(draft.Pool(*at), fate.memory, *claimant.hold.since);
    fate.yields_to = Leaver{.key = claimant.key,
                            .leaves = leaver.leaves,
                            .right = RightOver(claimant, draft.Pool(*at))};
    draft.moments.push_back(*leaver.leaves);
  }
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
                        .promised = contenders.promised};
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
  return hold;
}

}  // namespace spillway::placement
