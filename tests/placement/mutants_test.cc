// Bugs that a planner could have, planted into the plans of random worlds: Verify finds each.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <iostream>

#include "placement/capacity.h"
#include "placement/plan.h"
#include "tests/support/builders.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using namespace placement;  // NOLINT(google-build-using-namespace): a test's own file

constexpr uint32_t kWorlds = 4000;
constexpr int kEnough = 25;  // plans with the bug

// Plants the bug where the plan has a place for it; says whether it had one.
struct Mutant {
  const char* bug;
  std::function<bool(const Snapshot&, Plan&)> plant;
  bool is_always_found = false;  // there is no plan that could be right with it
};

using ToPool = std::function<bool(const Snapshot&, const TrainingPool&, PoolDecision&)>;
using ToServing = std::function<bool(const Snapshot&, const InferencePool&, InferenceDecision&)>;

const TrainingPool& SpecOf(const Snapshot& world, const PoolKey& key) {
  return *std::find_if(world.pools.begin(), world.pools.end(),
                       [&](const TrainingPool& pool) { return pool.key == key; });
}
const InferencePool& ServingOf(const Snapshot& world, const PoolKey& key) {
  return *std::find_if(world.inference_pools.begin(), world.inference_pools.end(),
                       [&](const InferencePool& pool) { return pool.key == key; });
}

// Planted into the first decision that has a place for it.
Mutant Gang(const char* bug, const ToPool& plant) {
  return {bug, [plant](const Snapshot& world, Plan& plan) {
            return std::any_of(plan.pools.begin(), plan.pools.end(), [&](PoolDecision& decision) {
              return plant(world, SpecOf(world, decision.key), decision);
            });
          }};
}
Mutant Serving(const char* bug, const ToServing& plant) {
  return {bug, [plant](const Snapshot& world, Plan& plan) {
            return std::any_of(plan.inference_pools.begin(), plan.inference_pools.end(),
                               [&](InferenceDecision& decision) {
                                 return plant(world, ServingOf(world, decision.key), decision);
                               });
          }};
}

bool IsNew(const PoolDecision& decision) {
  return decision.action == Action::kPlace || decision.action == Action::kRestart;
}

// A placement of a new gang that a change makes wrong.
Mutant NewPlacement(const char* bug, const std::function<void(Placement&)>& change) {
  return Gang(bug, [change](const Snapshot&, const TrainingPool&, PoolDecision& decision) {
    if (!IsNew(decision)) return false;
    change(*decision.memory.placement);
    return true;
  });
}

// A gang that waits is placed on all nodes of a group, whatever was against it.
bool PlaceIn(const Snapshot& world, const std::string& group, PoolDecision& decision, int workers) {
  Placement placement;
  placement.node_group = group;
  placement.workers = workers;
  for (const NodeGroup& one : world.groups) {
    if (one.name != group) continue;
    placement.cluster = one.cluster;
    placement.accelerator = one.accelerator;
    placement.tier = one.tier;
  }
  for (const Node& node : world.nodes) {
    if (node.labels.find("group")->second == group) placement.nodes.push_back(node.id.name);
  }
  if (placement.nodes.empty()) return false;
  std::sort(placement.nodes.begin(), placement.nodes.end());
  placement.attempt = decision.memory.attempts + 1;
  placement.since = world.now;
  decision.memory.attempts = placement.attempt;
  decision.memory.placement = placement;
  decision.memory.hold.reset();
  decision.action = Action::kPlace;
  decision.placed = true;
  decision.position = 0;
  decision.reservation.reset();
  return true;
}

// Lets a waiting gang in where this was what was against it first.
Mutant LetsIn(const char* bug, Reason reason) {
  return Gang(bug,
              [reason](const Snapshot& world, const TrainingPool& pool, PoolDecision& decision) {
                if (decision.action != Action::kWait || decision.position == 0) return false;
                for (const Alternative& one : decision.alternatives) {
                  if (one.reason != reason || one.fits) continue;
                  return PlaceIn(world, one.group, decision, pool.accelerators.front().workers);
                }
                return false;
              });
}

// One more replica in the first cell that is like this.
Mutant MoreReplicas(
    const char* bug, int more,
    const std::function<bool(const Snapshot&, const InferencePool&, const CellMemory&)>& is_like) {
  return Serving(
      bug, [=](const Snapshot& world, const InferencePool& pool, InferenceDecision& decision) {
        for (CellMemory& cell : decision.memory.cells) {
          if (!is_like(world, pool, cell)) continue;
          cell.desired += more;
          return true;
        }
        return false;
      });
}

// As if it was to grow, and onto nothing new.
Hold WhereItIs(const Snapshot& world, const PoolDecision& decision) {
  return {.node_group = decision.memory.placement->node_group,
          .domain = "",
          .nodes = decision.memory.placement->nodes,
          .until = world.now + Seconds{600},
          .since = world.now,
          .victims = {}};
}

const NodeGroup* FindGroup(const Snapshot& world, const std::string& name) {
  const auto at = std::find_if(world.groups.begin(), world.groups.end(),
                               [&](const NodeGroup& group) { return group.name == name; });
  return at == world.groups.end() ? nullptr : &*at;
}

// Says something else where this is against a group for a gang that waits.
Mutant Says(const char* bug, Reason instead_of, Reason reason) {
  return Gang(
      bug, [instead_of, reason](const Snapshot&, const TrainingPool&, PoolDecision& decision) {
        if (decision.position == 0) return false;
        const auto at = std::ranges::find(decision.alternatives, instead_of, &Alternative::reason);
        if (at == decision.alternatives.end()) return false;
        at->reason = reason;
        return true;
      });
}

std::vector<Mutant> OfAnswers() {
  return {
      Says("has a gang wait that its namespace's limit never lets in", Reason::kQuotaExceeded,
           Reason::kWaitingForQuota),
      Says("gives up on a gang that others of its namespace keep out", Reason::kWaitingForQuota,
           Reason::kQuotaExceeded),
      Serving("has a pool wait for others of its namespace that have nothing",
              [](const Snapshot&, const InferencePool&, InferenceDecision& decision) {
                if (decision.capacity_reason != Reason::kQuotaExceeded) return false;
                decision.capacity_reason = Reason::kWaitingForQuota;
                return true;
              }),
      {"forgets a pool",
       [](const Snapshot&, Plan& plan) {
         if (plan.pools.empty()) return false;
         plan.pools.pop_back();
         return true;
       }},
      {"forgets an inference pool",
       [](const Snapshot&, Plan& plan) {
         if (plan.inference_pools.empty()) return false;
         plan.inference_pools.pop_back();
         return true;
       }},
      {"answers a pool twice",
       [](const Snapshot&, Plan& plan) {
         if (plan.pools.empty()) return false;
         plan.pools.push_back(plan.pools.back());
         return true;
       }},
      {"answers out of order",
       [](const Snapshot&, Plan& plan) {
         if (plan.pools.size() < 2) return false;
         std::swap(plan.pools[0], plan.pools[1]);
         return true;
       }},
      Gang("answers a pool of that name that is gone",
           [](const Snapshot&, const TrainingPool&, PoolDecision& decision) {
             decision.uid = "another";
             return true;
           }),
  };
}

// What an elastic gang accepts where it is placed; nullptr: it is not elastic there.
const AcceptedAccelerator* ElasticIn(const TrainingPool& pool, const PoolDecision& decision) {
  if (!decision.memory.placement || decision.memory.completed) return nullptr;
  for (const AcceptedAccelerator& accepted : pool.accelerators) {
    const bool there = accepted.type == decision.memory.placement->accelerator;
    if (there && accepted.IsElastic()) return &accepted;
  }
  return nullptr;
}

// A gang that stays starts anew on these nodes, and says that it has moved.
bool StartOn(const Snapshot& world, const std::vector<std::string>& nodes, int workers,
             PoolDecision& decision) {
  Placement& placement = *decision.memory.placement;
  placement.nodes = nodes;
  placement.workers = workers;
  placement.attempt = ++decision.memory.attempts;
  placement.since = world.now;
  decision.memory.last_move = world.now;
  decision.memory.hold.reset();
  decision.action = Action::kRestart;
  decision.ready_reason = Reason::kPodsNotReady;
  return true;
}

// Planted into the first elastic gang that is to grow.
Mutant Growing(const char* bug,
               const std::function<bool(const Snapshot&, const TrainingPool&,
                                        const AcceptedAccelerator&, PoolDecision&)>& plant) {
  return Gang(bug,
              [plant](const Snapshot& world, const TrainingPool& pool, PoolDecision& decision) {
                const AcceptedAccelerator* accepted = ElasticIn(pool, decision);
                if (accepted == nullptr || !decision.memory.Moves()) return false;
                const Hold& hold = *decision.memory.hold;
                return hold.node_group == decision.memory.placement->node_group &&
                       plant(world, pool, *accepted, decision);
              });
}

// What a namespace may have of the type; nullopt: as much as there is.
std::optional<int64_t> LimitOf(const Snapshot& world, const std::string& ns,
                               const std::string& type) {
  const auto quota =
      std::ranges::find_if(world.quotas, [&](const Quota& one) { return one.ns == ns; });
  const auto& limits = quota == world.quotas.end() ? world.default_limits : quota->limits;
  const auto limit =
      std::ranges::find_if(limits, [&](const QuotaLimit& one) { return one.type == type; });
  return limit == limits.end() ? std::nullopt : std::optional(limit->limit);
}

int64_t UsedBy(const Snapshot& world, const Plan& plan, const std::string& ns,
               const std::string& type) {
  int64_t used = 0;
  for (const PoolDecision& decision : plan.pools) {
    const auto& placement = decision.memory.placement;
    if (decision.key.ns != ns || !placement || placement->accelerator != type) continue;
    if (!decision.memory.completed) used += AcceleratorsOf(SpecOf(world, decision.key), *placement);
  }
  return used;
}

bool IsQuotaless(const Snapshot& world) { return world.quotas.empty(); }

// An elastic gang that stays with fewer workers than it asks for, in a group where one of a higher
// priority waits for room.
bool TakesFrom(const Snapshot& world, const PoolDecision& first, const PoolDecision& decision) {
  const TrainingPool& pool = SpecOf(world, decision.key);
  const AcceptedAccelerator* accepted = ElasticIn(pool, decision);
  if (decision.action != Action::kKeep || accepted == nullptr) return false;
  const Placement& placement = *decision.memory.placement;
  if (placement.workers >= accepted->workers || SpecOf(world, first.key).priority <= pool.priority)
    return false;
  return std::any_of(
      first.alternatives.begin(), first.alternatives.end(), [&](const Alternative& one) {
        return one.group == placement.node_group && one.reason == Reason::kWaitingForCapacity;
      });
}

std::vector<Mutant> OfSizes() {
  return {
      Gang("starts an elastic gang with fewer workers than it needs",
           [](const Snapshot&, const TrainingPool& pool, PoolDecision& decision) {
             const AcceptedAccelerator* accepted = ElasticIn(pool, decision);
             if (!IsNew(decision) || accepted == nullptr || accepted->Least() < 2) return false;
             decision.memory.placement->workers = accepted->Least() - 1;
             return true;
           }),
      Gang("starts an elastic gang with fewer workers than fit",
           [](const Snapshot&, const TrainingPool& pool, PoolDecision& decision) {
             const AcceptedAccelerator* accepted = ElasticIn(pool, decision);
             if (decision.action != Action::kPlace || accepted == nullptr) return false;
             return --decision.memory.placement->workers >= accepted->Least();
           }),
      Gang("starts a gang that is not elastic with fewer workers",
           [](const Snapshot&, const TrainingPool& pool, PoolDecision& decision) {
             if (!IsNew(decision) || ElasticIn(pool, decision) != nullptr) return false;
             return --decision.memory.placement->workers > 0;
           }),
      {"grows beyond the quota",
       [](const Snapshot& world, Plan& plan) {
         for (PoolDecision& decision : plan.pools) {
           const TrainingPool& pool = SpecOf(world, decision.key);
           const AcceptedAccelerator* accepted = ElasticIn(pool, decision);
           if (accepted == nullptr || decision.action != Action::kKeep) continue;
           const Placement& placement = *decision.memory.placement;
           const auto limit = LimitOf(world, pool.key.ns, accepted->type);
           const int64_t more =
               int64_t{accepted->workers} * pool.per_worker - AcceleratorsOf(pool, placement);
           if (!limit || more <= 0 ||
               UsedBy(world, plan, pool.key.ns, accepted->type) + more <= *limit) {
             continue;
           }
           return StartOn(world, placement.nodes, accepted->workers, decision);
         }
         return false;
       }},
      Growing("starts anew where it is for no more workers",
              [](const Snapshot& world, const TrainingPool&, const AcceptedAccelerator&,
                 PoolDecision& decision) {
                return StartOn(world, decision.memory.hold->nodes,
                               decision.memory.placement->workers, decision);
              }),
      Gang("grows onto nodes that it did not hold",
           [](const Snapshot& world, const TrainingPool& pool, PoolDecision& decision) {
             const AcceptedAccelerator* accepted = ElasticIn(pool, decision);
             if (decision.action != Action::kKeep || accepted == nullptr || decision.memory.hold) {
               return false;
             }
             const Placement& placement = *decision.memory.placement;
             return placement.workers < accepted->workers &&
                    StartOn(world, placement.nodes, placement.workers + 1, decision);
           }),
      {"grows where a gang before it waits for room",
       [](const Snapshot& world, Plan& plan) {
         for (PoolDecision& first : plan.pools) {
           if (first.position == 0 || !IsQuotaless(world)) continue;
           for (PoolDecision& decision : plan.pools) {
             if (!TakesFrom(world, first, decision)) continue;
             decision.memory.hold = WhereItIs(world, decision);
             return true;
           }
         }
         return false;
       }},
      Gang("grows although it is not elastic",
           [](const Snapshot& world, const TrainingPool& pool, PoolDecision& decision) {
             if (decision.action != Action::kKeep || ElasticIn(pool, decision) != nullptr) {
               return false;
             }
             decision.memory.hold = WhereItIs(world, decision);
             return true;
           }),
  };
}

std::vector<Mutant> OfPlacements() {
  return {
      NewPlacement("starts part of a gang", [](Placement& p) { p.nodes.pop_back(); }),
      NewPlacement("starts more workers than fit", [](Placement& p) { p.workers += 1000; }),
      NewPlacement("starts a gang of nobody", [](Placement& p) { p.workers = 0; }),
      NewPlacement("names a node twice", [](Placement& p) { p.nodes.push_back(p.nodes.back()); }),
      NewPlacement("spans another group",
                   [](Placement& p) { p.nodes.insert(p.nodes.begin(), "another-node"); }),
      NewPlacement("uses an attempt's number again", [](Placement& p) { --p.attempt; }),
      NewPlacement("skips an attempt's number", [](Placement& p) { ++p.attempt; }),
      NewPlacement("names a group that is not there", [](Placement& p) { p.node_group = "none"; }),
      Gang("loses the domain that is required",
           [](const Snapshot&, const TrainingPool& pool, PoolDecision& decision) {
             if (!IsNew(decision) || pool.topology != TopologyMode::kRequired) return false;
             decision.memory.placement->domain = "another";
             return true;
           }),
      Gang("takes a node that is left out",
           [](const Snapshot& world, const TrainingPool&, PoolDecision& decision) {
             if (!IsNew(decision)) return false;
             decision.memory.excluded.push_back({.name = decision.memory.placement->nodes.front(),
                                                 .until = world.now + Seconds{60},
                                                 .reason = "NodeLost"});
             return true;
           }),
      {"gives two gangs the same nodes",
       [](const Snapshot& world, Plan& plan) {
         for (PoolDecision& one : plan.pools) {
           for (PoolDecision& other : plan.pools) {
             if (&one == &other || !IsNew(one) || !IsNew(other)) continue;
             const int attempt = other.memory.placement->attempt;
             if (one.memory.placement->workers != other.memory.placement->workers) continue;
             if (SpecOf(world, one.key).per_worker != 8) continue;
             other.memory.placement = one.memory.placement;
             other.memory.placement->attempt = attempt;
             return true;
           }
         }
         return false;
       }},
      LetsIn("lets a gang in without room", Reason::kWaitingForCapacity),
      LetsIn("lets a gang in without a domain", Reason::kWaitingForDomain),
      LetsIn("lets a gang in beyond its quota", Reason::kQuotaExceeded),
      LetsIn("lets a gang in beside others that have its quota", Reason::kWaitingForQuota),
      LetsIn("lets a gang in beyond its spend limit", Reason::kSpendLimitReached),
      LetsIn("lets a gang spill that must not", Reason::kSpillForbidden),
      LetsIn("lets a gang in on nodes that it may not use", Reason::kConstraintsNotMet),
      LetsIn("lets a gang in on nodes that are not usable", Reason::kNodesUnhealthy),
      LetsIn("lets a gang in on nodes of two groups", Reason::kNodesOverlap),
      LetsIn("lets a gang in where it is not accepted", Reason::kNoMatchingNodeGroup),
      LetsIn("lets a gang in where no node is large enough", Reason::kNodeTooSmall),
      LetsIn("lets a gang in on what is reserved", Reason::kReserved),
  };
}

// A gang that stays starts anew with one worker less.
bool GoesOnWithFewer(const Snapshot& world, const TrainingPool& pool, PoolDecision& decision) {
  if (decision.action != Action::kKeep) return false;
  placement::Placement& placement = *decision.memory.placement;
  const bool can = std::ranges::any_of(pool.accelerators, [&](const auto& accepted) {
    return accepted.type == placement.accelerator && accepted.Least() < placement.workers;
  });
  if (!can || pool.suspended || pool.template_unchecked) return false;
  --placement.workers;
  placement.attempt = ++decision.memory.attempts;
  placement.since = world.now;
  decision.action = Action::kRestart;
  decision.ready_reason = Reason::kPreempted;
  return true;
}

// What a namespace is guaranteed of the type.
int64_t GuaranteedTo(const Snapshot& world, const std::string& ns, const std::string& type) {
  int64_t guaranteed = 0;
  for (const Quota& quota : world.quotas) {
    for (const QuotaLimit& limit : quota.limits) {
      if (quota.ns == ns && limit.type == type) guaranteed += limit.guaranteed;
    }
  }
  return guaranteed;
}

// Has the gang of another namespace, which waits, no right to workers of the other one, though it
// has claimed them for a while?
bool ClaimsWithoutRight(const Snapshot& world, const PoolDecision& claimant,
                        const TrainingPool& victim) {
  const TrainingPool& pool = SpecOf(world, claimant.key);
  const auto& hold = pool.memory.hold;
  if (claimant.position == 0 || !hold || !hold->shrinks) return false;
  if (std::ranges::count(hold->victims, victim.key) == 0) return false;
  if (!hold->since || *hold->since >= world.now) return false;
  const std::string& type = victim.memory.placement->accelerator;
  return pool.key.ns != victim.key.ns && pool.priority <= victim.priority &&
         GuaranteedTo(world, pool.key.ns, type) == 0;
}

bool MayGo(const Snapshot& world, const TrainingPool& pool) {
  const auto& placement = pool.memory.placement;
  return placement && pool.preemptible == Preemptible::kAlways &&
         placement->since + pool.min_run <= world.now;
}

// Makes a gang that stays shrink for such a one.
bool ShrinksForOneWithoutRight(const Snapshot& world, Plan& plan) {
  for (PoolDecision& victim : plan.pools) {
    const TrainingPool& spec = SpecOf(world, victim.key);
    if (victim.action != Action::kKeep || !MayGo(world, spec)) continue;
    for (PoolDecision& claimant : plan.pools) {
      if (!ClaimsWithoutRight(world, claimant, spec)) continue;
      if (!GoesOnWithFewer(world, spec, victim)) continue;
      victim.memory.evictions.push_back({.time = world.now, .cause = "a whim"});
      claimant.memory.hold = SpecOf(world, claimant.key).memory.hold;
      return true;
    }
  }
  return false;
}

std::vector<Mutant> OfRights() {
  return {{"goes on with fewer workers for one of another namespace that comes after it",
           ShrinksForOneWithoutRight, true}};
}

std::vector<Mutant> OfLives() {
  return {
      Gang("moves a gang that stays",
           [](const Snapshot&, const TrainingPool&, PoolDecision& decision) {
             if (decision.action != Action::kKeep) return false;
             decision.memory.placement->nodes.emplace_back("another-node");
             return true;
           }),
      Gang("drops a gang that stays",
           [](const Snapshot&, const TrainingPool&, PoolDecision& decision) {
             if (decision.action != Action::kKeep) return false;
             decision.memory.placement.reset();
             return true;
           }),
      Gang("releases a gang without a word",
           [](const Snapshot&, const TrainingPool&, PoolDecision& decision) {
             if (decision.action != Action::kKeep) return false;
             decision.action = Action::kRelease;
             decision.memory.placement.reset();
             decision.placed_message.clear();
             return true;
           }),
      Gang("places a gang that waits, in secret",
           [](const Snapshot& world, const TrainingPool&, PoolDecision& decision) {
             if (decision.action != Action::kWait || world.groups.empty()) return false;
             if (!PlaceIn(world, world.groups.front().name, decision, 1)) return false;
             decision.action = Action::kWait;
             return true;
           }),
      Gang("starts a pool that is suspended, refused or unchecked",
           [](const Snapshot& world, const TrainingPool& pool, PoolDecision& decision) {
             const bool blocked = pool.suspended || pool.template_unchecked ||
                                  !pool.misconfigured.empty() || !pool.template_invalid.empty() ||
                                  !pool.name_conflict.empty();
             if (!blocked || decision.action != Action::kWait || world.groups.empty()) return false;
             return PlaceIn(world, world.groups.front().name, decision, 1);
           }),
      Gang("starts a pool that has ended",
           [](const Snapshot&, const TrainingPool&, PoolDecision& decision) {
             if (decision.action != Action::kDone) return false;
             decision.memory.completed.reset();
             return true;
           }),
      Gang("ends a pool that has not ended",
           [](const Snapshot&, const TrainingPool&, PoolDecision& decision) {
             if (decision.action != Action::kWait && decision.action != Action::kKeep) return false;
             decision.action = Action::kFinish;
             return true;
           }),
      Gang("scales a gang",
           [](const Snapshot&, const TrainingPool&, PoolDecision& decision) {
             decision.action = Action::kScale;
             return true;
           }),
      Gang("evicts a gang for nobody",
           [](const Snapshot& world, const TrainingPool&, PoolDecision& decision) {
             if (decision.action != Action::kKeep) return false;
             decision.action = Action::kRelease;
             decision.memory.placement.reset();
             decision.memory.evictions.push_back({.time = world.now, .cause = "a whim"});
             decision.ready_reason = Reason::kPreempted;
             return true;
           }),
      Gang("goes on with fewer workers for nobody",
           [](const Snapshot& world, const TrainingPool& pool, PoolDecision& decision) {
             if (!GoesOnWithFewer(world, pool, decision)) return false;
             decision.memory.evictions.push_back({.time = world.now, .cause = "a whim"});
             return true;
           }),
      Gang("goes on with fewer workers without a word",
           [](const Snapshot& world, const TrainingPool& pool, PoolDecision& decision) {
             return GoesOnWithFewer(world, pool, decision);
           }),
      Gang("promises room that will not be there",
           [](const Snapshot&, const TrainingPool&, PoolDecision& decision) {
             if (!decision.reservation) return false;
             decision.reservation->nodes.pop_back();
             return true;
           }),
      Gang("promises room to who does not wait",
           [](const Snapshot&, const TrainingPool&, PoolDecision& decision) {
             if (decision.action != Action::kKeep) return false;
             decision.reservation =
                 Reservation{.node_group = "g0", .nodes = {}, .starts_by = {}, .after = {}};
             return true;
           }),
  };
}

const Variant* VariantOf(const InferencePool& pool, const std::string& name) {
  const auto at = std::find_if(pool.variants.begin(), pool.variants.end(),
                               [&](const Variant& variant) { return variant.name == name; });
  return at == pool.variants.end() ? nullptr : &*at;
}

// Of a type of which the limit is used up one more is added, while nothing could go for it.
bool AddBeyondQuota(const Snapshot& world, const InferencePool& pool, InferenceDecision& decision) {
  if (decision.pending_capacity + decision.ready_capacity > decision.required) return false;
  for (const Quota& quota : world.quotas) {
    if (quota.ns != pool.key.ns) continue;
    for (const QuotaLimit& limit : quota.limits) {
      for (CellMemory& cell : decision.memory.cells) {
        const Variant* variant = VariantOf(pool, cell.variant);
        if (variant == nullptr || variant->accelerator != limit.type) continue;
        cell.desired += static_cast<int>(limit.limit / variant->per_replica) + 1;
        return true;
      }
    }
  }
  return false;
}

std::vector<Mutant> OfReplicas() {
  return {
      MoreReplicas("adds more replicas than fit", 1000,
                   [](const Snapshot&, const InferencePool&, const CellMemory& cell) {
                     return cell.desired > 0;
                   }),
      MoreReplicas("adds replicas to a group that is closed", 1,
                   [](const Snapshot& world, const InferencePool&, const CellMemory& cell) {
                     const NodeGroup* group = FindGroup(world, cell.node_group);
                     return group != nullptr && group->admission == Admission::kClosed;
                   }),
      MoreReplicas("adds replicas to a group that is drained", 1,
                   [](const Snapshot& world, const InferencePool&, const CellMemory& cell) {
                     const NodeGroup* group = FindGroup(world, cell.node_group);
                     return group != nullptr && group->admission == Admission::kDrain;
                   }),
      MoreReplicas("adds replicas to a cell that is blocked", 1,
                   [](const Snapshot& world, const InferencePool&, const CellMemory& cell) {
                     return cell.blocked_until && *cell.blocked_until > world.now;
                   }),
      MoreReplicas("spills replicas that must not", 1,
                   [](const Snapshot& world, const InferencePool& pool, const CellMemory& cell) {
                     const NodeGroup* group = FindGroup(world, cell.node_group);
                     return group != nullptr && group->tier > 0 && !pool.spill_allowed;
                   }),
      MoreReplicas("changes a pool that is paused", 1,
                   [](const Snapshot&, const InferencePool& pool, const CellMemory&) {
                     return pool.paused;
                   }),
      MoreReplicas("adds replicas of a variant that is gone", 1,
                   [](const Snapshot&, const InferencePool& pool, const CellMemory& cell) {
                     return std::none_of(
                         pool.variants.begin(), pool.variants.end(),
                         [&](const Variant& variant) { return variant.name == cell.variant; });
                   }),
      MoreReplicas("counts below nothing", -1000,
                   [](const Snapshot&, const InferencePool&, const CellMemory&) { return true; }),
      Serving("sends a replica away for nobody",
              [](const Snapshot&, const InferencePool& pool, InferenceDecision& decision) {
                for (const auto& replica : pool.live) {
                  const auto& evict = decision.evict;
                  if (replica.terminating || std::ranges::count(evict, replica.pod) > 0) continue;
                  decision.evict.push_back(replica.pod);
                  std::ranges::sort(decision.evict);
                  return true;
                }
                return false;
              }),
      Serving("adds replicas beyond their quota", AddBeyondQuota),
      Serving("takes away what is needed",
              [](const Snapshot&, const InferencePool&, InferenceDecision& decision) {
                if (decision.required == 0 || decision.ready_capacity == 0 ||
                    decision.ready_capacity > decision.required) {
                  return false;
                }
                decision.memory.cells.clear();
                return true;
              }),
  };
}

// Spoils the first thing that an inference pool asks for.
Mutant Asking(const char* bug, const std::function<void(CellAsk&)>& spoil) {
  return Serving(bug, [=](const Snapshot&, const InferencePool&, InferenceDecision& decision) {
    if (decision.memory.asks.empty()) return false;
    spoil(decision.memory.asks.front());
    return true;
  });
}

// Spoils what the plan says of a group that an inference pool asks for nodes.
Mutant AskedGroup(const char* bug,
                  const std::function<bool(const Snapshot&, GroupReport&)>& spoil) {
  return {bug, [=](const Snapshot& world, Plan& plan) {
            for (const InferenceDecision& decision : plan.inference_pools) {
              for (const CellAsk& ask : decision.memory.asks) {
                for (GroupReport& report : plan.groups) {
                  if (report.name == ask.node_group && spoil(world, report)) return true;
                }
              }
            }
            return false;
          }};
}

// It asks for nodes that cost more than it may pay, as if its share of them alone counted.
bool AsksByShare(const Snapshot& world, const TrainingPool& pool, PoolDecision& decision,
                 std::vector<GroupReport>& groups) {
  if (decision.action != Action::kWait || decision.memory.ask) return false;
  const auto quota = std::ranges::find(world.quotas, pool.key.ns, &Quota::ns);
  // As Verify sees it: without what else its namespace pays.
  Money most = pool.spill_max_hourly_cost.value_or(Dollars("100000"));
  if (quota != world.quotas.end() && quota->max_hourly_cost) {
    most = std::min(most, *quota->max_hourly_cost);
  }
  for (const Alternative& one : decision.alternatives) {
    int nodes = 0;
    const bool dear = one.reason == Reason::kSpendLimitReached &&
                      std::sscanf(one.message.c_str(), "with %d new node", &nodes) == 1;
    if (!dear) continue;
    const NodeGroup& group = *std::ranges::find(world.groups, one.group, &NodeGroup::name);
    if (group.marginal_per_node_hour.Times(nodes) <= most) continue;
    const auto accepted =
        std::ranges::find(pool.accelerators, group.accelerator, &AcceptedAccelerator::type);
    decision.memory.ask = NodeAsk{
        .node_group = one.group, .nodes = nodes, .workers = accepted->Least(), .since = world.now};
    GroupReport& report = *std::ranges::find(groups, one.group, &GroupReport::name);
    report.memory.desired = report.memory.desired.value_or(0) + nodes;
    return true;
  }
  return false;
}

std::vector<Mutant> OfAsks() {
  return {
      {"asks for nodes as if they cost the share of what runs there",
       [](const Snapshot& world, Plan& plan) {
         return std::ranges::any_of(plan.pools, [&](PoolDecision& decision) {
           return AsksByShare(world, SpecOf(world, decision.key), decision, plan.groups);
         });
       }},
      Asking("asks for a node that no replica needs", [](CellAsk& ask) { ++ask.nodes; }),
      Asking("asks for too few nodes", [](CellAsk& ask) { ask.nodes = 0; }),
      Asking("asks for replicas that are not lacking", [](CellAsk& ask) { ask.replicas += 50; }),
      Asking("waits for nodes past their time",
             [](CellAsk& ask) { ask.since -= Seconds{100'000}; }),
      Asking("asks a group that is not there", [](CellAsk& ask) { ask.node_group = "none"; }),
      Serving("asks for nodes while it waits for a claim",
              [](const Snapshot& world, const InferencePool&, InferenceDecision& decision) {
                if (decision.memory.asks.empty() || decision.memory.claim) return false;
                const CellAsk& ask = decision.memory.asks.front();
                CellClaim& claim = decision.memory.claim.emplace();
                claim.variant = ask.variant;
                claim.hold.node_group = ask.node_group;
                claim.hold.until = world.now + Seconds{60};
                return true;
              }),
      AskedGroup("asks for nodes that are out of stock",
                 [](const Snapshot& world, GroupReport& report) {
                   report.memory.stockout = Stockout{
                       .since = world.now, .attempts = 1, .next_try = world.now + Seconds{60}};
                   return true;
                 }),
      AskedGroup("has fewer nodes made than replicas wait for",
                 [](const Snapshot&, GroupReport& report) {
                   if (report.memory.desired == report.there) return false;
                   report.memory.desired = report.there;
                   return true;
                 }),
  };
}

bool IsUnreachable(const Snapshot& world, const std::string& cluster) {
  return std::ranges::any_of(world.clusters, [&](const placement::Cluster& one) {
    return one.name == cluster && one.unreachable_since;
  });
}

// Has it a place in such a cluster, where it has not completed?
bool IsOutOfReach(const Snapshot& world, const TrainingPool& pool) {
  return pool.memory.placement && !pool.memory.completed && !pool.attempt.complete &&
         IsUnreachable(world, pool.memory.placement->cluster);
}

bool ServesOutOfReach(const Snapshot& world, const InferencePool& /*pool*/,
                      const CellMemory& cell) {
  const NodeGroup* group = FindGroup(world, cell.node_group);
  return group != nullptr && cell.desired > 0 && IsUnreachable(world, group->cluster);
}

// Is its signal silent, and would anything be decided for it?
bool IsSilent(const Snapshot& world, const InferencePool& pool) {
  return pool.demand && world.now >= pool.demand->SilentFrom() && !pool.paused &&
         pool.misconfigured.empty() && pool.name_conflict.empty();
}

std::vector<Mutant> OfDoubt() {
  return {
      LetsIn("lets a gang into a cluster that is unreachable", Reason::kClusterUnreachable),
      Gang("sends a gang away that nobody can tell",
           [](const Snapshot& world, const TrainingPool& pool, PoolDecision& decision) {
             if (!IsOutOfReach(world, pool)) return false;
             decision.memory.placement.reset();
             decision.memory.hold.reset();
             decision.memory.over_budget_since.reset();
             decision.action = Action::kRelease;
             decision.placed = false;
             return true;
           }),
      Gang("starts an attempt where nobody can be told",
           [](const Snapshot& world, const TrainingPool& pool, PoolDecision& decision) {
             if (!IsOutOfReach(world, pool) || pool.attempt.exists) return false;
             decision.may_start = true;
             return true;
           }),
      Gang("takes a pod for lost that nobody can see",
           [](const Snapshot& world, const TrainingPool& pool, PoolDecision& decision) {
             if (!IsOutOfReach(world, pool)) return false;
             for (const Worker& worker : pool.workers) {
               const bool there = std::ranges::any_of(world.nodes, [&](const auto& node) {
                 return node.id.name == worker.node && IsUnreachable(world, node.id.cluster);
               });
               if (!there) continue;
               decision.force_delete.push_back(worker.pod);
               return true;
             }
             return false;
           }),
      MoreReplicas("adds replicas in a cluster that is unreachable", 1, ServesOutOfReach),
      MoreReplicas("takes replicas away in a cluster that is unreachable", -1, ServesOutOfReach),
      {"asks a group for nodes in a cluster that is unreachable",
       [](const Snapshot& world, Plan& plan) {
         for (GroupReport& report : plan.groups) {
           const NodeGroup& group = *FindGroup(world, report.name);
           if (!group.elastic || !IsUnreachable(world, group.cluster)) continue;
           report.memory.desired = report.memory.desired.value_or(0) + 1;
           return true;
         }
         return false;
       }},
      Serving("follows a signal that is silent",
              [](const Snapshot& world, const InferencePool& pool, InferenceDecision& decision) {
                if (!IsSilent(world, pool) || !pool.memory.units) return false;
                decision.memory.units = *pool.memory.units + 1;
                return true;
              }),
      Serving("takes a replica away while nobody knows what is needed",
              [](const Snapshot& world, const InferencePool& pool, InferenceDecision& decision) {
                if (!IsSilent(world, pool)) return false;
                for (CellMemory& cell : decision.memory.cells) {
                  const auto ready = std::ranges::count_if(pool.live, [&](const Replica& one) {
                    return one.ready && !one.terminating && one.variant == cell.variant &&
                           one.node_group == cell.node_group;
                  });
                  if (cell.desired == 0 || ready < cell.desired) continue;
                  --cell.desired;
                  return true;
                }
                return false;
              }),
      Serving("makes others go while nobody knows what is needed",
              [](const Snapshot& world, const InferencePool& pool, InferenceDecision& decision) {
                if (!IsSilent(world, pool)) return false;
                decision.memory.claim.emplace();
                return true;
              }),
  };
}

TEST(Mutants, AreAllFound) {
  std::vector<Mutant> mutants;
  for (const auto& part : {OfAnswers(), OfSizes(), OfPlacements(), OfRights(), OfLives(),
                           OfReplicas(), OfAsks(), OfDoubt()}) {
    mutants.insert(mutants.end(), part.begin(), part.end());
  }
  EXPECT_GE(mutants.size(), 30U);
  std::vector<int> planted(mutants.size());
  std::vector<int> found(mutants.size());
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    const Snapshot world = RandomWorld(seed);
    const Plan plan = MakePlan(world);
    for (size_t m = 0; m < mutants.size(); ++m) {
      if (planted[m] == kEnough) continue;
      Plan broken = plan;
      if (!mutants[m].plant(world, broken)) continue;
      ++planted[m];
      found[m] += Verify(world, broken).ok() ? 0 : 1;
    }
  }
  for (size_t m = 0; m < mutants.size(); ++m) {
    std::cout << mutants[m].bug << ": planted " << planted[m] << ", found " << found[m] << "\n";
    EXPECT_GE(found[m], mutants[m].is_always_found ? planted[m] : 1)
        << mutants[m].bug << ", planted " << planted[m];
    EXPECT_GT(planted[m], 0) << mutants[m].bug;
  }
}

// A planner that overlooks one fact: the plan is one of the world as that planner takes it to be.
struct Blindness {
  const char* bug;
  std::function<void(Snapshot&)> overlook;
  // Must the gang, which this planner sends to the group, not go there?
  std::function<bool(const Snapshot&, const PoolDecision&, const NodeGroup&)> is_wrong;
};

void OpenAll(Snapshot& world, Admission admission) {
  for (NodeGroup& group : world.groups) {
    if (group.admission == admission) group.admission = Admission::kOpen;
  }
}

// Was this first against the group for the gang in the plan as it should be?
auto IsAgainst(Reason reason) {
  return [reason](const Snapshot&, const PoolDecision& decision, const NodeGroup& group) {
    return std::ranges::any_of(decision.alternatives, [&](const Alternative& one) {
      return one.group == group.name && !one.fits && one.reason == reason;
    });
  };
}

std::vector<Blindness> AllBlindness() {
  const auto takes_nobody = [](Admission admission) {
    return [admission](const Snapshot&, const PoolDecision&, const NodeGroup& group) {
      return group.admission == admission;
    };
  };
  return {
      {"does not see that a group is closed",
       [](Snapshot& world) { OpenAll(world, Admission::kClosed); },
       takes_nobody(Admission::kClosed)},
      {"does not see that a group is drained",
       [](Snapshot& world) { OpenAll(world, Admission::kDrain); }, takes_nobody(Admission::kDrain)},
      {"does not see that a group is misconfigured",
       [](Snapshot& world) {
         for (NodeGroup& group : world.groups) group.misconfigured.clear();
       },
       [](const Snapshot&, const PoolDecision&, const NodeGroup& group) {
         return !group.misconfigured.empty();
       }},
      {"does not hold back before a spill",
       [](Snapshot& world) {
         for (TrainingPool& pool : world.pools) pool.spill_after = Seconds{0};
       },
       IsAgainst(Reason::kHoldingBackSpill)},
      {"does not see that a gang must not spill",
       [](Snapshot& world) {
         for (TrainingPool& pool : world.pools) pool.spill_allowed = true;
       },
       IsAgainst(Reason::kSpillForbidden)},
      {"does not see limits of money",
       [](Snapshot& world) {
         for (Quota& quota : world.quotas) {
           quota.max_hourly_cost.reset();
           quota.budget.reset();
         }
         for (TrainingPool& pool : world.pools) pool.spill_max_hourly_cost.reset();
       },
       IsAgainst(Reason::kSpendLimitReached)},
      {"does not see what nodes a gang may use",
       [](Snapshot& world) {
         for (TrainingPool& pool : world.pools) pool.node_terms.clear();
         for (placement::Node& node : world.nodes) node.taints = {};
       },
       IsAgainst(Reason::kConstraintsNotMet)},
      {"does not see that a cluster is unreachable",
       [](Snapshot& world) { world.clusters.clear(); },
       [](const Snapshot& world, const PoolDecision&, const NodeGroup& group) {
         return IsUnreachable(world, group.cluster);
       }},
  };
}

// Where the gang is placed, is to move, has others leave, or asks for nodes. Empty: nowhere.
std::string GoesTo(const PoolDecision& decision) {
  const PoolMemory& memory = decision.memory;
  if (decision.action == Action::kPlace) return memory.placement->node_group;
  if (memory.hold && (memory.Moves() || memory.hold->IsClaim())) return memory.hold->node_group;
  return memory.ask ? memory.ask->node_group : "";
}

// Does a gang go where it must not in the blind plan?
bool GoesWrong(const Snapshot& world, const Plan& right, const Plan& blind,
               const Blindness& blindness) {
  for (size_t p = 0; p < blind.pools.size(); ++p) {
    const NodeGroup* group = FindGroup(world, GoesTo(blind.pools[p]));
    if (blind.pools[p].memory == right.pools[p].memory) continue;
    const bool ended = blind.pools[p].action == Action::kDone;
    if (group != nullptr && !ended && blindness.is_wrong(world, right.pools[p], *group))
      return true;
  }
  return false;
}

TEST(Mutants, ThatOverlookAFactAreFoundEachTime) {
  const std::vector<Blindness> all = AllBlindness();
  std::vector<int> planted(all.size());
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    const Snapshot world = RandomWorld(seed);
    const Plan right = MakePlan(world);
    for (size_t b = 0; b < all.size(); ++b) {
      if (planted[b] == kEnough) continue;
      Snapshot seen = world;
      all[b].overlook(seen);
      const Plan blind = MakePlan(seen);
      if (!GoesWrong(world, right, blind, all[b])) continue;
      ++planted[b];
      EXPECT_FALSE(Verify(world, blind).ok()) << all[b].bug << ", seed " << seed;
    }
  }
  for (size_t b = 0; b < all.size(); ++b) {
    std::cout << all[b].bug << ": planted " << planted[b] << "\n";
    EXPECT_GE(planted[b], 5) << all[b].bug;
  }
}

// The units that are wanted, a replica that is ready, or the place of somebody else: does the plan
// of who takes the demand for known change one of these?
bool ActsOnSilence(const Snapshot& world, const InferencePool& pool,
                   const InferenceDecision& blind) {
  if (!IsSilent(world, pool)) return false;
  if (blind.memory.claim || (pool.memory.units && blind.memory.units != pool.memory.units)) {
    return true;
  }
  return std::ranges::any_of(pool.memory.cells, [&](const CellMemory& before) {
    const auto ready = std::ranges::count_if(pool.live, [&](const Replica& one) {
      return one.ready && !one.terminating && one.variant == before.variant &&
             one.node_group == before.node_group &&
             !std::ranges::binary_search(blind.evict, one.pod) &&
             !std::ranges::binary_search(blind.force_delete, one.pod);
    });
    const auto after = std::ranges::find_if(blind.memory.cells, [&](const CellMemory& cell) {
      return cell.variant == before.variant && cell.node_group == before.node_group;
    });
    const int left = after == blind.memory.cells.end() ? 0 : after->desired;
    return left < std::min<int64_t>(before.desired, ready);
  });
}

TEST(Mutants, ThatTakeASilentSignalForADemandAreFoundEachTime) {
  int planted = 0;
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    const Snapshot world = RandomWorld(seed);
    Snapshot seen = world;
    for (InferencePool& pool : seen.inference_pools) pool.demand.reset();
    if (seen == world) continue;
    const Plan blind = MakePlan(seen);
    const bool acts = std::ranges::any_of(blind.inference_pools, [&](const auto& decision) {
      return ActsOnSilence(world, ServingOf(world, decision.key), decision);
    });
    if (!acts) continue;
    ++planted;
    EXPECT_FALSE(Verify(world, blind).ok()) << "seed " << seed;
  }
  std::cout << "planted " << planted << "\n";
  EXPECT_GE(planted, 20);
}

}  // namespace
}  // namespace spillway::tests
