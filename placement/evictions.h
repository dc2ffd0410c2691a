#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "placement/draft.h"
#include "placement/preemption.h"
#include "placement/replica_victims.h"

// How gangs and replicas give their places up to somebody who has a claim on them. Which of its
// pods go a Deployment decides itself, by their number alone. So a replica that gives way is
// deleted by name, before its cell is asked to have one less: the cell has as many then as it is to
// have, or it has a pod in its place already that is not ready, and such go first.
namespace spillway::placement {

// Longer than it takes until the pods of those who went are gone and their room is seen.
inline constexpr Seconds kClaimSlack{600};

// Who makes others go, and for what.
struct Evictor {
  const PoolKey& key;
  int64_t priority = 0;
  const Hold& hold;  // a claim
};

// In World::pools; nullopt: there is no such gang any more.
std::optional<size_t> FindGang(const World& world, const PoolKey& key);

// Those of a claim that still have the place that was claimed; a new one is theirs to keep.
std::vector<size_t> StillThere(const Draft& draft, const Hold& claim);

// Likewise replicas that are not on their way out.
std::vector<ReplicaPlace> ReplicasStillThere(const Draft& draft, const Hold& claim);
// May all of these that are left be made to go still, one after the other?
bool MayBeSpared(const Draft& draft, const Rank& claimant, const std::vector<ReplicaPlace>& there);

// Who has gone does not come back to what was claimed while its pods are on their way out.
void ForfeitGone(Draft& draft, const Hold& claim);
// The claim is given up, and they may.
void Unforfeit(Draft& draft, const Hold& claim);

// By which right the one makes the other go, as a clause.
std::string RightOver(const Evictor& claimant, const PoolKey& victim, int64_t priority);

// Has the time come for the gang, which still has its place, to go for the claim?
bool GoesNow(const Draft& draft, size_t victim, const Hold& claim);

// The gang gives its place up, and is in the queue for another one.
void Evict(Draft& draft, size_t victim, const Evictor& claimant);

// Could the gang, which still has its place, go on with fewer workers beside the claim, once those
// are bound who are about to be? A claim on workers stands only while all that it waits for could.
bool CanStillShrink(Draft& draft, size_t victim, const Evictor& claimant);

// The gang goes on with as many workers as have room beside the claim. Says whether that is fewer
// than it has and enough for it; else it stays as it is.
bool ShrinkFor(Draft& draft, size_t victim, const Evictor& claimant);

// Makes those go of the claim whose time has come; says whether there were any.
bool EvictDue(Draft& draft, const Evictor& claimant);

// Whom the claim waits for, and until when; writes into their fates to whom they give way, and adds
// the moments at which they do.
std::vector<Leaver> TellVictims(Draft& draft, const Evictor& claimant);

// What a search for victims looks at.
std::optional<Victory> FindVictims(Draft& draft, const Claimant& claimant, const Option& option,
                                   Right right);

// The place that the victory leaves, held from now on.
Hold HoldOver(const Draft& draft, const GroupView& group, const Victory& victory);

}  // namespace spillway::placement
