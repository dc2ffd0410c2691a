// What every plan must hold, computed anew from the snapshot and the plan's memories.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <type_traits>
#include <variant>

#include "placement/attempts.h"
#include "placement/capacity.h"
#include "placement/cell_limits.h"
#include "placement/checks.h"
#include "placement/coverage.h"
#include "placement/gangs.h"
#include "placement/inference.h"
#include "placement/lifecycle.h"
#include "placement/moves.h"
#include "placement/new_nodes.h"
#include "placement/nodes.h"
#include "placement/plan.h"
#include "placement/preemption.h"
#include "placement/quotas.h"
#include "placement/scale_invariants.h"

namespace spillway::placement {
namespace {

struct Judged {
  const World& world;
  const Plan& plan;
  const SpendBook& spend;
  const TrainingPool& pool;
  const PoolDecision& decision;

  [[nodiscard]] const PoolMemory& Before() const { return pool.memory; }
  [[nodiscard]] const PoolMemory& After() const { return decision.memory; }
};

using Problem = std::optional<std::string>;

bool IsNewPlacement(const PoolDecision& decision) {
  return decision.action == Action::kPlace || decision.action == Action::kRestart;
}

// ---- one decision ----

Problem ActionFitsMemory(const Judged& j) {
  const bool had = j.Before().placement.has_value();
  const bool has = j.After().placement.has_value();
  switch (j.decision.action) {
    case Action::kWait:
      return had || has ? Problem("waits, but is or was placed") : Problem();
    case Action::kPlace:
      return has ? Problem() : Problem("is placed without a placement");
    case Action::kKeep:
      return had && j.Before().placement == j.After().placement
                 ? Problem()
                 : Problem("stays, but its placement changes");
    case Action::kRestart:
      return had && has ? Problem() : Problem("starts anew without a placement");
    case Action::kRelease:
      return had && !has ? Problem() : Problem("is released, but was not or stays placed");
    case Action::kFinish:
      return !j.Before().completed && j.After().completed ? Problem()
                                                          : Problem("ends without an end");
    case Action::kScale:
      return "scales, but is a gang";
    case Action::kDone:
      return j.Before() == j.After() ? Problem() : Problem("had ended, but changes");
  }
  return "has no action";
}

Problem ChangeHasReason(const Judged& j) {
  const bool changes = j.Before().placement.has_value() && j.decision.action != Action::kKeep &&
                       j.decision.action != Action::kDone;
  if (!changes) return {};
  if (j.decision.placed_message.empty() || j.decision.ready_message.empty() ||
      j.decision.ready_reason == Reason::kAsExpected) {
    return "changes without a reason";
  }
  return {};
}

Problem MayBePlaced(const Judged& j) {
  if (!IsNewPlacement(j.decision)) return {};
  const TrainingPool& pool = j.pool;
  if (pool.suspended || j.Before().completed || pool.template_unchecked ||
      !pool.misconfigured.empty() || !pool.template_invalid.empty() ||
      !pool.name_conflict.empty()) {
    return "is placed although it may not be";
  }
  const int highest =
      std::max(j.Before().attempts, j.Before().placement ? j.Before().placement->attempt : 0);
  if (j.After().placement->attempt != highest + 1 || j.After().attempts != highest + 1) {
    return "has a wrong attempt number";
  }
  return {};
}

bool Had(const Judged& j, const std::string& node) {
  if (!j.Before().placement) return false;
  const auto& nodes = j.Before().placement->nodes;
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

Problem NodesAreGood(const Judged& j) {
  if (!IsNewPlacement(j.decision)) return {};
  const Placement& placement = *j.After().placement;
  const GroupView* group = j.world.FindGroup(placement.node_group);
  if (group == nullptr || !Accepts(j.pool, *group->spec)) return "is placed in a wrong group";
  const bool stays = j.decision.action == Action::kRestart && j.Before().placement &&
                     j.Before().placement->node_group == placement.node_group;
  if (placement.tier > 0 && !j.pool.spill_allowed && !stays) {
    return "spills although it must not";
  }
  if (placement.tier != group->spec->tier || placement.accelerator != group->spec->accelerator) {
    return "has the tier or the type of another group";
  }
  if (std::adjacent_find(placement.nodes.begin(), placement.nodes.end(), std::greater_equal<>()) !=
      placement.nodes.end()) {
    return "has nodes out of order or twice";
  }
  for (const std::string& name : placement.nodes) {
    const auto index = j.world.FindNode(placement.cluster, name);
    const Member* member = index ? group->Find(*index) : nullptr;
    if (member == nullptr) return "is placed on a node that is not of its group: " + name;
    const bool kept = j.decision.action == Action::kRestart && Had(j, name);
    if (member->state != NodeState::kUsable || (member->overlapped && !kept) ||
        IsExcluded(j.After(), name, j.world.now) ||
        !ConstraintsHold(j.pool, *group->spec, *j.world.nodes[*index])) {
      return "is placed on a node that it may not use: " + name;
    }
  }
  return {};
}

Problem DomainHolds(const Judged& j) {
  if (!IsNewPlacement(j.decision) || j.pool.topology != TopologyMode::kRequired) return {};
  const Placement& placement = *j.After().placement;
  const Topology topology = TopologyIn(j.pool, *j.world.FindGroup(placement.node_group)->spec);
  if (topology.levels.empty()) return "requires a domain where there are none";
  for (const std::string& name : placement.nodes) {
    const Labels& labels = j.world.nodes[*j.world.FindNode(placement.cluster, name)]->labels;
    const auto at = labels.find(topology.levels.front());
    if (at == labels.end() || at->second.empty() || at->second != placement.domain) {
      return "requires one domain, but has a node outside: " + name;
    }
  }
  return {};
}

// All workers of its type; of an elastic gang any number from the least.
Problem SizeIsRight(const Judged& j) {
  if (!IsNewPlacement(j.decision)) return {};
  const Placement& placement = *j.After().placement;
  const auto need = NeedIn(j.pool, *j.world.FindGroup(placement.node_group)->spec);
  if (placement.workers < need->least) return "has fewer workers than it needs";
  if (placement.workers > need->workers) return "has more workers than it asks for";
  return {};
}

// ---- gangs that move ----

bool Moves(const PoolMemory& before, const PoolDecision& decision) {
  return decision.action == Action::kRestart && before.placement && decision.memory.placement &&
         before.placement->node_group != decision.memory.placement->node_group;
}

// With more workers where it is, if it is elastic.
bool MayGrow(const Judged& j, const NodeGroup& group) {
  const auto need = NeedIn(j.pool, group);
  return need && need->IsElastic() && j.Before().placement->workers < need->workers &&
         group.admission == Admission::kOpen && j.pool.return_home != ReturnHome::kNever;
}

// From a group that is being drained, or where there is no more money for it, to any; or from
// outside home to home where that pays; or on to more nodes of its own group.
bool MayLeaveFor(const Judged& j, const std::string& group) {
  const GroupView* from = j.world.FindGroup(j.Before().placement->node_group);
  const GroupView* to = j.world.FindGroup(group);
  if (from == nullptr || to == nullptr) return false;
  if (from->spec->admission == Admission::kDrain) return true;
  if (IsOverBudget(j.world, j.spend, j.pool, *j.Before().placement)) return from != to;
  if (from == to) return MayGrow(j, *from->spec);
  const auto need = NeedToReturn(j.pool, *j.Before().placement, *to->spec);
  return from->spec->tier > 0 && to->spec->tier == 0 && j.pool.return_home != ReturnHome::kNever &&
         need && Pays(j.pool, *j.Before().placement, *from, *to, *need) &&
         IsWorthReturning(j.pool, j.After(), j.world.now);
}

// It did not have to start anew where it is, but does.
bool Grows(const Judged& j) {
  return j.decision.action == Action::kRestart && !Moves(j.Before(), j.decision) &&
         j.After().last_move == j.world.now && j.Before().last_move != j.world.now;
}

// The group where the gang gets a place that it did not have, or holds nodes to go there; nullptr:
// none. A new attempt where it is may stay in a group that takes nobody.
const GroupView* GoesTo(const Judged& j) {
  const PoolMemory& memory = j.After();
  if (memory.completed) return nullptr;
  if (j.decision.action == Action::kPlace || Moves(j.Before(), j.decision) || Grows(j)) {
    return j.world.FindGroup(memory.placement->node_group);
  }
  const bool is_to = memory.hold && (memory.Moves() || memory.hold->IsClaim());
  return is_to ? j.world.FindGroup(memory.hold->node_group) : nullptr;
}

Problem GoesWhereItMay(const Judged& j) {
  const GroupView* to = GoesTo(j);
  if (to == nullptr) return {};
  const NodeGroup& group = *to->spec;
  if (group.admission != Admission::kOpen) return "goes to a group that takes nobody";
  if (to->unreachable_since) return "goes to a cluster that is unreachable";
  if (!group.misconfigured.empty()) return "goes to a group that is misconfigured";
  if (!Accepts(j.pool, group)) return "goes to a group that it does not accept";
  const bool is_there = j.decision.action != Action::kPlace && j.Before().placement &&
                        j.Before().placement->node_group == group.name;
  if (group.tier > 0 && !j.pool.spill_allowed && !is_there) {
    return "goes to a group that it must not spill to";
  }
  return {};
}

// ---- gangs in a cluster that is unreachable ----

// Who is there stays as it is, unless it has completed.
Problem StaysOutOfReach(const Judged& j) {
  const auto& before = j.Before().placement;
  if (!before || j.Before().completed || !j.world.UnreachableSince(before->cluster)) return {};
  if (j.pool.attempt.complete) return {};
  if (j.decision.action != Action::kKeep) return "is made to go where nobody can be told";
  return j.decision.may_start ? Problem("starts where nobody can be told") : Problem();
}

// No pod there is taken for lost.
Problem SparesPodsOutOfReach(const Judged& j) {
  for (const Worker& worker : j.pool.workers) {
    if (std::ranges::count(j.decision.force_delete, worker.pod) == 0) continue;
    for (const auto& [cluster, since] : j.world.unreachable) {
      if (j.world.FindNode(cluster, worker.node)) return "loses a pod that nobody can see";
    }
  }
  return {};
}

Problem GrowsIndeed(const Judged& j) {
  if (!Grows(j)) return {};
  return j.After().placement->workers > j.Before().placement->workers
             ? Problem()
             : "starts anew where it is with no more workers than it had";
}

Problem MovesToWhatItHeld(const Judged& j) {
  if (!Moves(j.Before(), j.decision) && !Grows(j)) return {};
  const Placement& placement = *j.After().placement;
  const auto& held = j.Before().hold;
  if (!held || held->node_group != placement.node_group || !held->since) {
    return "moves without having held nodes for it";
  }
  for (const std::string& name : placement.nodes) {
    if (std::find(held->nodes.begin(), held->nodes.end(), name) == held->nodes.end()) {
      return "moves to a node that it did not hold: " + name;
    }
  }
  if (!MayLeaveFor(j, placement.node_group)) return "moves without a reason";
  return {};
}

Problem HoldsForAReason(const Judged& j) {
  if (j.decision.action != Action::kKeep || !j.After().Moves()) return {};
  const Hold& hold = *j.After().hold;
  if (hold.IsClaim() || !hold.since) return "is placed and holds nodes, but not to move there";
  if (!MayLeaveFor(j, hold.node_group)) return "is to move without a reason";
  return {};
}

// ---- gangs whose namespace has used its budget up ----

bool NewlyEvicted(const World& world, const TrainingPool& pool, const PoolDecision& decision) {
  const auto& evictions = decision.memory.evictions;
  return pool.memory.placement && !evictions.empty() && evictions.back().time == world.now &&
         std::find(pool.memory.evictions.begin(), pool.memory.evictions.end(), evictions.back()) ==
             pool.memory.evictions.end();
}

// Does it run, and would it go on where it is but for others and for what it costs?
bool CouldStay(const Judged& j) {
  const auto& placement = j.Before().placement;
  if (!placement || j.Before().completed) return false;
  const GroupView* group = j.world.FindGroup(placement->node_group);
  return group != nullptr && group->spec->misconfigured.empty() &&
         FateOf(j.world, j.pool).course == Course::kStay && MayBeMoved(j.world, j.pool, *placement);
}

// Must it leave because of money, and has its checkpoint come? A hold that it loses in this pass
// does not count any more.
bool IsDueToLeave(const Judged& j) {
  PoolMemory without = j.Before();
  without.hold.reset();
  return IsOverBudget(j.world, j.spend, j.pool, *without.placement) && without.over_budget_since &&
         LeavesForMoneyAt(j.pool, without, j.world.now) <= j.world.now;
}

Problem BudgetIsMinded(const Judged& j) {
  const auto& before = j.Before().placement;
  const auto& after = j.After().placement;
  if (j.decision.action == Action::kDone) return {};
  const bool over = after && !j.After().completed && IsOverBudget(j.world, j.spend, j.pool, *after);
  if (over != j.After().over_budget_since.has_value()) return "forgets since when it is to leave";
  const bool same = before && after && before->node_group == after->node_group;
  if (over && same && j.decision.action == Action::kRestart) {
    return "starts anew where there is no money for it";
  }
  if (!CouldStay(j)) return {};
  const bool stays = j.decision.action == Action::kKeep && !j.After().Moves();
  if (stays && IsDueToLeave(j)) return "stays past its checkpoint where there is no money for it";
  const bool gives_up =
      j.decision.action == Action::kRelease || j.decision.action == Action::kPlace;
  if (gives_up && !NewlyEvicted(j.world, j.pool, j.decision) && !IsDueToLeave(j))
    return "gives its place up for nothing";
  return {};
}

// A gang that could go on as it is does not do so with fewer workers, but for others.
Problem GivesNothingUp(const Judged& j) {
  if (j.decision.action != Action::kRestart || Moves(j.Before(), j.decision)) return {};
  const bool fewer = j.After().placement->workers < j.Before().placement->workers;
  if (!fewer || !CouldStay(j) || NewlyEvicted(j.world, j.pool, j.decision)) return {};
  return "starts anew with fewer workers though it could go on";
}

// A claim that is made now is for a place that there is money for once others have gone.
Problem ClaimsWithMoney(const Judged& j) {
  const auto& hold = j.After().hold;
  if (!hold || !hold->IsClaim() || hold->since != j.world.now) return {};
  const GroupView* group = j.world.FindGroup(hold->node_group);
  const auto need = group == nullptr ? std::nullopt : NeedIn(j.pool, *group->spec);
  if (!need) return {};
  const Money cost = CostAboveHome(*group, need->For(need->least).Accelerators(j.pool));
  const auto& most = j.pool.spill_max_hourly_cost;
  const std::string& ns = j.pool.key.ns;
  const bool never = j.spend.BlockFor(ns, cost) && !j.spend.Excess(ns, cost);
  if (cost > Money() && (never || (most && cost > *most))) {
    return "claims a place that there is no money for";
  }
  return {};
}

using Rule = Problem (*)(const Judged&);
constexpr std::array<Rule, 15> kRules = {
    ActionFitsMemory, ChangeHasReason,   MayBePlaced,    StaysOutOfReach, SparesPodsOutOfReach,
    NodesAreGood,     GoesWhereItMay,    DomainHolds,    SizeIsRight,     GrowsIndeed,
    HoldsForAReason,  MovesToWhatItHeld, BudgetIsMinded, GivesNothingUp,  ClaimsWithMoney};

// ---- all decisions together ----

Problem AnsweredOnce(const World& world, const Plan& plan) {
  if (world.gangs != plan.pools.size() || world.inference.size() != plan.inference_pools.size()) {
    return "not every pool has exactly one decision";
  }
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    if (world.pools[p]->key != plan.pools[p].key || world.pools[p]->uid != plan.pools[p].uid) {
      return fmt::format("no decision for {}, or not in order", world.pools[p]->key.Format());
    }
  }
  for (size_t p = 0; p < plan.inference_pools.size(); ++p) {
    if (world.inference[p]->key != plan.inference_pools[p].key ||
        world.inference[p]->uid != plan.inference_pools[p].uid) {
      return fmt::format("no decision for {}, or not in order", world.inference[p]->key.Format());
    }
  }
  return {};
}

// What was decided for the cell: nothing, where the decision does not have it.
CellMemory DecidedFor(const CellMemory& cell, const InferenceDecision& decision) {
  for (const CellMemory& decided : decision.memory.cells) {
    if (decided.variant == cell.variant && decided.node_group == cell.node_group) return decided;
  }
  CellMemory none = cell;
  none.desired = 0;
  none.blocked_until.reset();
  return none;
}

// How its Deployment is brought to another template.
void SetSteps(CellState& cell, const InferenceDecision& decision) {
  for (const CellDecision& decided : decision.cells) {
    if (decided.variant != cell.memory.variant || decided.node_group != cell.memory.node_group)
      continue;
    cell.roll = decided.roll;
    cell.surge = decided.surge;
    cell.unavailable = decided.unavailable;
  }
}

// Pods that this decision sends away do not stay.
void SendAway(const World& world, const InferenceDecision& decision, InferenceDraft& draft) {
  if (decision.evict == draft.evict) return;
  draft.evict = decision.evict;
  for (CellState& cell : draft.cells) Recount(world, draft, cell);
}

// The inference pools as they were decided.
std::vector<InferenceDraft> Settled(const World& world, const Plan& plan) {
  std::vector<InferenceDraft> drafts;
  drafts.reserve(world.inference.size());
  for (size_t p = 0; p < world.inference.size(); ++p) {
    InferenceDraft& draft = drafts.emplace_back(SurveyPool(world, p));
    draft.required = plan.inference_pools[p].required;
    draft.memory.claim = plan.inference_pools[p].memory.claim;
    for (CellState& cell : draft.cells) {
      cell.memory = DecidedFor(cell.memory, plan.inference_pools[p]);
      SetSteps(cell, plan.inference_pools[p]);
    }
    SendAway(world, plan.inference_pools[p], draft);
  }
  return drafts;
}

// What the gang has, or holds, is reserved.
void Reserve(const World& world, const PoolDecision& decision, size_t pool, Capacity& capacity) {
  const PoolMemory& memory = decision.memory;
  if (memory.completed) return;
  std::optional<Claim> claim;
  if (memory.placement) {
    claim = ClaimOf(world, *world.pools[pool], *memory.placement);
  } else if (memory.hold) {
    claim = ClaimOf(world, *world.pools[pool], *memory.hold);
  }
  if (claim && !claim->yields) capacity.Set(pool, *claim);
}

// What it moves to, or was to move to, is so too, where nobody else has it.
void ReserveTarget(const World& world, const PoolDecision& decision, size_t pool,
                   Capacity& capacity) {
  if (decision.memory.completed || !decision.memory.hold) return;
  const auto claim = ClaimOf(world, *world.pools[pool], *decision.memory.hold);
  if (claim && claim->yields) capacity.Add(pool, *claim);
}

bool HasClaim(const PoolDecision& decision) {
  return decision.memory.hold && decision.memory.hold->IsClaim();
}

// With all that the plan reserves, but for what gangs of which `left_out` is true have.
template <class LeftOut>
Capacity CapacityAfter(const World& world, const Plan& plan, LeftOut left_out) {
  Capacity capacity(world);
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    if (!HasClaim(plan.pools[p]) && !left_out(p)) Reserve(world, plan.pools[p], p, capacity);
  }
  for (const InferenceDraft& pool : Settled(world, plan)) ClaimCells(world, capacity, pool);
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    ReserveTarget(world, plan.pools[p], p, capacity);
  }
  return capacity;
}

// Workers of `request`, `most` at the most, that could bind to the node once the pool's pods there
// are gone.
int64_t MostOn(const World& world, const TrainingPool& pool, size_t index, const Resources& request,
               int64_t most) {
  const Node& node = *world.nodes[index];
  Resources room = node.allocatable;
  room.Subtract(node.used);
  NodeFinder finder(world, ClusterOf(pool));
  for (const Worker& worker : pool.workers) {
    if (!worker.ended && finder.FindOfPod(worker.node) == index) room.Add(worker.requests);
  }
  return room.HowMany(request, most);
}

// What is promised on a node is there, also if as many workers of the gang come as can.
Problem NodeHolds(const World& world, const Capacity& capacity, size_t pool, size_t index,
                  const Resources& request, int workers) {
  const Node& node = *world.nodes[index];
  Resources left = capacity.FreeFor(pool, index);
  left.AddTimes(request, -MostOn(world, *world.pools[pool], index, request, workers));
  for (const auto& [resource, amount] : request) {
    if (amount > 0 && left.Get(resource) < 0) {
      return fmt::format("{} is over-committed in {}", node.id.name, resource);
    }
  }
  return {};
}

// With everything reserved, the new gang has room for all its workers on the nodes it chose.
Problem GangHasRoom(const World& world, const Capacity& capacity, size_t pool,
                    const PoolDecision& decision) {
  const Placement& placement = *decision.memory.placement;
  const NodeGroup& group = *world.FindGroup(placement.node_group)->spec;
  const Resources request = RequestIn(*world.pools[pool], group);
  int64_t workers = 0;
  for (const std::string& name : placement.nodes) {
    const size_t node = *world.FindNode(placement.cluster, name);
    if (auto problem = NodeHolds(world, capacity, pool, node, request, placement.workers)) {
      return problem;
    }
    const int64_t fits = capacity.FreeFor(pool, node).HowMany(request, placement.workers);
    if (fits == 0) return fmt::format("{} has no room for {}", name, decision.key.Format());
    workers += fits;
  }
  if (placement.workers < 1 || workers < placement.workers) {
    return fmt::format("{} is a partial gang", decision.key.Format());
  }
  return {};
}

Problem GangsHaveRoom(const World& world, const Plan& plan) {
  const Capacity capacity = CapacityAfter(world, plan, [](size_t /*pool*/) { return false; });
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    if (!IsNewPlacement(plan.pools[p])) continue;
    if (auto problem = GangHasRoom(world, capacity, p, plan.pools[p])) return problem;
  }
  return {};
}

// Does the decision add to what its namespace has of the type? Who moves counts once.
bool AddsAccelerators(const TrainingPool& pool, const PoolDecision& decision) {
  if (decision.action == Action::kPlace) return true;
  if (decision.action != Action::kRestart) return false;
  const Placement& before = *pool.memory.placement;
  const Placement& after = *decision.memory.placement;
  return after.accelerator != before.accelerator ||
         AcceleratorsOf(pool, after) > AcceleratorsOf(pool, before);
}

// Does it add to what its namespace spends?
bool AddsCost(const TrainingPool& pool, const PoolDecision& decision) {
  if (decision.action == Action::kPlace || Moves(pool.memory, decision)) return true;
  return decision.action == Action::kRestart && AcceleratorsOf(pool, *decision.memory.placement) >
                                                    AcceleratorsOf(pool, *pool.memory.placement);
}

// ---- inference pools ----

Throughput Serving(const InferenceDraft& draft) {
  std::vector<std::pair<const Variant*, int>> ready;
  ready.reserve(draft.cells.size());
  for (const CellState& cell : draft.cells) {
    ready.emplace_back(cell.variant, std::min(cell.ready, cell.memory.desired));
  }
  return Usable(*draft.pool, ready);
}

// A cell that gets more may have more.
Problem MayGrow(const World& world, const InferenceDraft& draft, const CellState& cell) {
  const std::string where = cell.memory.variant + "@" + cell.memory.node_group;
  if (draft.held) return "changes although nothing may be changed: " + where;
  if (!cell.Known() || cell.leaving) return "adds replicas where it may not be: " + where;
  const NodeGroup& group = *cell.group->spec;
  if (group.admission != Admission::kOpen || !group.misconfigured.empty() ||
      cell.group->IsLeftAlone() || !cell.variant->template_invalid.empty() ||
      cell.variant->template_unchecked || (group.tier > 0 && !draft.pool->spill_allowed)) {
    return "adds replicas where none may be added: " + where;
  }
  if (cell.memory.blocked_until && world.now < *cell.memory.blocked_until) {
    return "adds replicas to a blocked cell: " + where;
  }
  return {};
}

// Did it so too if what gave way to others counts as there still? What is spared for the sake of a
// replica may go before that one is sent away.
bool TookTooMuch(const World& world, const InferenceDraft& draft,
                 const InferenceDecision& decision) {
  InferenceDraft was = draft;
  was.evict.clear();
  InferenceDraft is = was;
  for (size_t c = 0; c < draft.cells.size(); ++c) {
    const int sent = is.cells[c].live;
    was.cells[c].memory.desired = draft.cells[c].before;
    is.cells[c].memory.desired = kManyReplicas;
    Recount(world, was, was.cells[c]);
    Recount(world, is, is.cells[c]);
    is.cells[c].memory.desired = draft.cells[c].memory.desired + is.cells[c].live - sent;
  }
  return Serving(is) < std::min(Serving(was), decision.required);
}

// Is all that is needed there without what replaces something that was lost?
bool HasEnough(const InferenceDraft& draft) {
  std::map<const Variant*, int64_t> kept;
  Throughput serves = 0;
  for (const CellState& cell : draft.cells) {
    const int both = std::min(cell.before, cell.memory.desired);
    if (cell.variant == nullptr || cell.leaving || cell.away > 0) continue;
    kept[cell.variant] += both;
    serves += cell.Each() * both;
  }
  return serves >= draft.required && std::ranges::all_of(kept, [](const auto& one) {
           return one.second >= one.first->min_replicas;
         });
}

// Where it is in doubt what a pool has or needs, only what was lost or has not started goes. What
// is needed stays the last that was known, and nobody goes for it.
Problem DoubtIsMinded(const InferenceDraft& before, const InferenceDraft& draft,
                      const InferenceDecision& decision) {
  if (!before.IsInDoubt()) return {};
  for (size_t c = 0; c < draft.cells.size(); ++c) {
    const CellState& was = before.cells[c];
    if (draft.cells[c].memory.desired < std::min(was.before, was.ready)) {
      return "takes replicas away while it is in doubt what it has or needs";
    }
  }
  if (!before.unknown_since) return {};
  if (decision.memory.claim) return "makes others go for a demand that nobody knows";
  if (before.held) return {};
  const auto& units = before.memory.units;
  if (units && decision.memory.units != units) return "follows a signal that is silent";
  const bool grows = std::ranges::any_of(
      draft.cells, [](const CellState& cell) { return cell.memory.desired > cell.before; });
  const bool one_serves = draft.pool->routing == Routing::kUniform;  // others are to leave
  if (grows && !one_serves && HasEnough(draft)) return "grows for a demand that nobody knows";
  return {};
}

Problem CellsAreRight(const World& world, const InferenceDraft& before, const InferenceDraft& draft,
                      const InferenceDecision& decision) {
  for (const CellState& cell : draft.cells) {
    if (cell.memory.desired < 0) return "has a negative number of replicas";
    if (cell.memory.desired > cell.before) {
      if (auto problem = MayGrow(world, draft, cell)) return problem;
    }
    const bool alone = cell.group != nullptr && cell.group->IsLeftAlone();
    if (cell.memory.desired < cell.before && (draft.held || alone)) {
      return "takes replicas away although nothing may be taken";
    }
  }
  if (auto problem = DoubtIsMinded(before, draft, decision)) return problem;
  if (Serving(draft) < std::min(Serving(before), decision.required) &&
      TookTooMuch(world, draft, decision)) {
    return "takes away what is needed";
  }
  return {};
}

Problem InferenceHolds(const World& world, const Plan& plan) {
  const std::vector<InferenceDraft> drafts = Settled(world, plan);
  for (size_t p = 0; p < drafts.size(); ++p) {
    InferenceDraft before = SurveyPool(world, p);
    SendAway(world, plan.inference_pools[p], before);
    if (auto problem = CellsAreRight(world, before, drafts[p], plan.inference_pools[p])) {
      return fmt::format("{} {}", plan.inference_pools[p].key.Format(), *problem);
    }
  }
  return {};
}

// What gangs have been promised and all that is bound; not what replicas are still to take.
Capacity CapacityOfGangs(const World& world, const Plan& plan) {
  Capacity capacity(world);
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolMemory& memory = plan.pools[p].memory;
    if (memory.completed || !memory.placement) continue;
    capacity.Set(p, ClaimOf(world, *world.pools[p], *memory.placement));
  }
  return capacity;
}

// Pods of the cell that have a node, whether or not they stay.
int BoundAnywhere(const InferencePool& pool, const CellState& cell) {
  return static_cast<int>(std::ranges::count_if(pool.live, [&](const Replica& replica) {
    return !replica.terminating && !replica.node.empty() && IsIn(replica, cell);
  }));
}

// Accelerators of the group's nodes that are of use, which pods of the cell have that are on their
// way out: others of it come into their room.
int64_t LeftByItsOwn(const World& world, const InferencePool& pool, const CellState& cell) {
  int64_t accelerators = 0;
  for (const Replica& replica : pool.live) {
    if (!replica.terminating || !IsIn(replica, cell)) continue;
    const auto node = world.FindNode(cell.group->spec->cluster, replica.node);
    const Member* member = node ? cell.group->Find(*node) : nullptr;
    if (member == nullptr || member->state != NodeState::kUsable) continue;
    accelerators += AcceleratorsIn(*cell.group->spec, replica.requests);
  }
  return accelerators;
}

// Replicas that were added have room on their group's nodes: each cell by itself, and all of them
// together by the number of accelerators.
Problem ReplicasHaveRoom(const World& world, const Plan& plan) {
  const Capacity capacity = CapacityOfGangs(world, plan);
  std::map<const GroupView*, int64_t> asked;
  std::map<const GroupView*, int64_t> left;
  for (const InferenceDraft& draft : Settled(world, plan)) {
    for (const CellState& cell : draft.cells) {
      if (!cell.Known() || cell.memory.desired <= cell.before) continue;
      const Row request = capacity.RowOf(RequestIn(*world.pools[cell.seeker], *cell.group->spec));
      int64_t slots = 0;
      for (const Member& member : cell.group->members) {
        if (member.state != NodeState::kUsable) continue;
        slots += SlotsOn(capacity, cell, member.node, request);
      }
      if (slots < cell.memory.desired - std::max(cell.before, cell.Bound())) {
        return fmt::format("{} has more replicas of {} on {} than fit", draft.pool->key.Format(),
                           cell.memory.variant, cell.memory.node_group);
      }
      // What pods have that are there still, be it for a while, is room for others of their cell.
      const int there = std::max(cell.before, BoundAnywhere(*draft.pool, cell));
      asked[cell.group] +=
          int64_t{std::max(cell.memory.desired - there, 0)} * cell.variant->per_replica;
      left[cell.group] += LeftByItsOwn(world, *draft.pool, cell);
    }
  }
  for (const auto& [group, accelerators] : asked) {
    int64_t free = left[group];
    for (const Member& member : group->members) {
      if (member.state != NodeState::kUsable) continue;
      free += std::max<int64_t>(AcceleratorsIn(*group->spec, capacity.Free(member.node)), 0);
    }
    if (accelerators > free) return group->spec->name + " has fewer accelerators than were given";
  }
  return {};
}

// What the namespaces' pools have once all is decided.
QuotaBook QuotasAfter(const World& world, const Plan& plan) {
  QuotaBook quotas(*world.snapshot);
  MarkShared(quotas, world);
  for (const InferenceDraft& pool : Settled(world, plan)) {
    CountCells(quotas, pool, 1);
    CountNodes(quotas, world, *pool.pool);
  }
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolMemory& memory = plan.pools[p].memory;
    if (!memory.placement || memory.completed) continue;
    CountGang(quotas, world, *world.pools[p], *memory.placement, 1);
  }
  return quotas;
}

// What a pool was given of one type, and what may go once that serves.
struct TypeUse {
  int64_t added = 0;
  int64_t most_that_goes = 0;  // in cells that do not grow

  [[nodiscard]] int64_t MovedOnce() const { return std::min(added, most_that_goes); }
  [[nodiscard]] bool Grows() const { return added > MovedOnce(); }
};

// With Uniform routing one variant serves: what others have is there until it does.
bool StandsIn(const InferenceDraft& draft, const CellState& cell) {
  if (cell.leaving || draft.pool->routing != Routing::kUniform) return cell.leaving;
  return std::any_of(draft.cells.begin(), draft.cells.end(), [&](const CellState& other) {
    return other.memory.desired > other.before && other.variant != cell.variant;
  });
}

std::map<std::string, TypeUse> UseByType(const InferenceDraft& draft) {
  Throughput to_spare = -draft.required;
  for (const CellState& cell : draft.cells) {
    if (!StandsIn(draft, cell)) to_spare += cell.Promised();
  }
  to_spare = std::max<Throughput>(to_spare, 0);
  std::map<std::string, TypeUse> by_type;
  for (const CellState& cell : draft.cells) {
    if (cell.variant == nullptr) continue;
    TypeUse& use = by_type[cell.variant->accelerator];
    const int64_t size = cell.variant->per_replica;
    if (cell.memory.desired > cell.before) {
      use.added += (cell.memory.desired - cell.before) * size;
    } else {
      const int64_t goes = StandsIn(draft, cell) ? cell.memory.desired
                                                 : to_spare / std::max<Throughput>(cell.Each(), 1);
      use.most_that_goes += std::min<int64_t>(goes, cell.memory.desired) * size;
    }
  }
  return by_type;
}

Problem LimitIsCrossed(const QuotaBook& quotas, const PoolKey& pool, const std::string& type) {
  const auto limit = quotas.Limit(pool.ns, type);
  if (!limit || quotas.Used(pool.ns, type) <= *limit) return {};
  return fmt::format("{} crosses the limit of {}", pool.Format(), type);
}

// Replicas that go as soon as others serve in their place count once with these.
Problem QuotasHold(const World& world, const Plan& plan, QuotaBook quotas) {
  const std::vector<InferenceDraft> drafts = Settled(world, plan);
  for (const InferenceDraft& draft : drafts) {
    for (const auto& [type, use] : UseByType(draft)) {
      quotas.Add(draft.pool->key.ns, type, -use.MovedOnce(), Money());
    }
  }
  for (const InferenceDraft& draft : drafts) {
    for (const auto& [type, use] : UseByType(draft)) {
      if (!use.Grows()) continue;
      if (auto problem = LimitIsCrossed(quotas, draft.pool->key, type)) return problem;
    }
  }
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolDecision& decision = plan.pools[p];
    if (!AddsAccelerators(*world.pools[p], decision)) continue;
    const std::string& type = decision.memory.placement->accelerator;
    if (auto problem = LimitIsCrossed(quotas, decision.key, type)) return problem;
  }
  return {};
}

// Whoever waits is told that others are in its way under a limit just where that is so.
bool IsOfLimit(Reason reason) {
  return reason == Reason::kQuotaExceeded || reason == Reason::kWaitingForQuota;
}

Problem GangsAreToldOfLimits(const World& world, const Plan& plan, const QuotaBook& quotas) {
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolDecision& decision = plan.pools[p];
    if (decision.position == 0) continue;
    const TrainingPool& pool = *world.pools[p];
    for (const Alternative& one : decision.alternatives) {
      if (one.fits || !IsOfLimit(one.reason)) continue;
      const NodeGroup& group = *world.FindGroup(one.group)->spec;
      const auto limit = quotas.Limit(decision.key.ns, group.accelerator);
      const auto need = NeedIn(pool, group);
      if (!limit || !need) return decision.key.Format() + " waits for no limit that there is";
      const bool never = need->For(need->least).Accelerators(pool) > *limit;
      if (never != (one.reason == Reason::kQuotaExceeded)) {
        return fmt::format("{} is told {} in {}", decision.key.Format(), ReasonName(one.reason),
                           one.group);
      }
    }
  }
  return {};
}

template <typename Memory>
bool HasAccelerators(const Memory& memory) {
  if constexpr (std::is_same_v<Memory, PoolMemory>) {
    return memory.placement || memory.hold || memory.ask;
  } else {
    return !memory.cells.empty() || !memory.asks.empty() || memory.claim;
  }
}

// Has another pool of the namespace anything, or had it when the pass began?
template <typename Pools, typename Decisions>
bool OthersHave(const PoolKey& key, const Pools& pools, const Decisions& decisions) {
  for (size_t p = 0; p < decisions.size(); ++p) {
    if (decisions[p].key == key || decisions[p].key.ns != key.ns) continue;
    if (HasAccelerators(decisions[p].memory) || HasAccelerators(pools[p]->memory)) return true;
  }
  return false;
}

Problem ReplicasAreToldOfLimits(const World& world, const Plan& plan) {
  for (size_t p = 0; p < plan.inference_pools.size(); ++p) {
    const InferenceDecision& decision = plan.inference_pools[p];
    if (decision.capacity_reason != Reason::kWaitingForQuota) continue;
    const auto in_the_way = [](const Variant& v) { return !v.namespace_quota.empty(); };
    if (std::ranges::any_of(world.inference[p]->variants, in_the_way)) continue;
    // A pool of the other kind never has the same key.
    if (OthersHave(decision.key, world.pools, plan.pools) ||
        OthersHave(decision.key, world.inference, plan.inference_pools)) {
      continue;
    }
    return decision.key.Format() + " waits for others of its namespace, and none has anything";
  }
  return {};
}

// A gang that is new above home, or grows there, costs no more than it may and leaves its
// namespace within its limits.
Problem GangsHaveTheMoney(const World& world, const Plan& plan, const QuotaBook& quotas) {
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolDecision& decision = plan.pools[p];
    const TrainingPool& pool = *world.pools[p];
    if (!AddsCost(pool, decision)) continue;
    const Placement& placement = *decision.memory.placement;
    const Money cost = CostAboveHome(world, pool, placement);
    if (cost <= Money()) continue;
    if (pool.spill_max_hourly_cost && cost > *pool.spill_max_hourly_cost) {
      return decision.key.Format() + " costs more above home than it may";
    }
    if (quotas.Spend().IsExceeded(decision.key.ns)) {
      return decision.key.Format() + " crosses the spend limit of its namespace";
    }
  }
  return {};
}

Problem ReplicasHaveTheMoney(const World& world, const Plan& plan, const QuotaBook& quotas) {
  for (const InferenceDraft& draft : Settled(world, plan)) {
    Money sum;
    bool grows = false;
    for (const CellState& cell : draft.cells) {
      const Money each = CostAboveHome(cell);
      sum += each.Times(cell.memory.desired);
      grows = grows || (each > Money() && cell.memory.desired > cell.before);
    }
    if (!grows) continue;
    if (draft.pool->spill_max_hourly_cost && sum > *draft.pool->spill_max_hourly_cost) {
      return draft.pool->key.Format() + " has replicas that cost more above home than they may";
    }
    if (quotas.Spend().IsExceeded(draft.pool->key.ns)) {
      return draft.pool->key.Format() + " adds replicas across the spend limit of its namespace";
    }
  }
  return {};
}

// ---- whole nodes ----

// Nodes of elastic groups above home are paid for whole by whoever has them for itself or asks for
// them. Here as little as may be: who had a part of a node when the pass began counts as its user
// still, any pod of others keeps it from being anybody's alone, and what a step leaves is charged
// only to who is the one to ask its group.
class WholeNodes {
 public:
  WholeNodes(const World& world, const Plan& plan) : world_(world), plan_(plan) {
    for (size_t p = 0; p < plan.pools.size(); ++p) {
      Use(world.pools[p]->memory.placement, plan.pools[p].key);
      if (!plan.pools[p].memory.completed) Use(plan.pools[p].memory.placement, plan.pools[p].key);
      if (plan.pools[p].action == Action::kDone) continue;
      const auto& ask = plan.pools[p].memory.ask;
      if (ask) asked_[ask->node_group].insert(plan.pools[p].key);
    }
    for (size_t p = 0; p < plan.inference_pools.size(); ++p) {
      const PoolKey& key = plan.inference_pools[p].key;
      for (const Replica& replica : world.inference[p]->live) {
        const auto node = world.NodeOf(replica);
        if (!node) continue;
        const NodeId& id = world.nodes[*node]->id;
        users_[{id.cluster, id.name}].insert(key);
      }
      for (const CellAsk& ask : plan.inference_pools[p].memory.asks) {
        asked_[ask.node_group].insert(key);
      }
    }
  }

  // What the gang pays for its nodes beside its share.
  [[nodiscard]] Money Beside(const TrainingPool& pool, const Placement& placement) const {
    const GroupView* group = Paid(placement.node_group);
    if (group == nullptr || placement.nodes.empty()) return {};
    int64_t alone = 0;
    for (const std::string& name : placement.nodes) {
      const auto index = world_.FindNode(placement.cluster, name);
      const auto users = users_.find({placement.cluster, name});
      const bool others = users == users_.end() || users->second.size() > 1;
      if (index && !others && world_.nodes[*index]->other_pods == 0) ++alone;
    }
    return Rest(*group, alone,
                CostAboveHome(world_, pool, placement).Share(alone, std::ssize(placement.nodes)));
  }

  // What so many nodes that it asks the group for cost beside the shares of who starts there.
  [[nodiscard]] Money BesideAsked(const std::string& name, int nodes, Money share) const {
    const GroupView* group = Paid(name);
    if (group == nullptr) return {};
    return Rest(*group, int64_t{nodes} + LeftOfStep(*group, nodes), share);
  }

  // A node of it costs so much.
  [[nodiscard]] Money Price(const std::string& name) const {
    const GroupView* group = Paid(name);
    return group == nullptr ? Money() : group->spec->marginal_per_node_hour;
  }

 private:
  using NodeName = std::pair<std::string, std::string>;

  void Use(const SharedOptional<Placement>& placement, const PoolKey& key) {
    if (!placement) return;
    for (const std::string& name : placement->nodes) users_[{placement->cluster, name}].insert(key);
  }

  [[nodiscard]] const GroupView* Paid(const std::string& name) const {
    const GroupView* group = world_.FindGroup(name);
    return group != nullptr && group->spec->elastic && group->spec->tier > 0 ? group : nullptr;
  }

  static Money Rest(const GroupView& group, int64_t nodes, Money share) {
    const Money whole = group.spec->marginal_per_node_hour.Times(nodes);
    return Money::FromMicros(std::max<int64_t>(whole.micros() - share.micros(), 0));
  }

  // Of nodes that the group is to have more than those that work, what the only one who asks it
  // for so many does not need: less than a step.
  [[nodiscard]] int LeftOfStep(const GroupView& group, int nodes) const {
    const auto asked = asked_.find(group.spec->name);
    if (asked == asked_.end() || asked->second.size() != 1) return 0;
    const Elastic& elastic = *group.spec->elastic;
    const auto& desired = plan_.groups[world_.IndexOf(group)].memory.desired;
    const int work = std::max(NodesThere(group) - NodesComing(group), elastic.min_nodes);
    return std::clamp(desired.value_or(0) - work - nodes, 0, std::max(elastic.step_nodes, 1) - 1);
  }

  const World& world_;
  const Plan& plan_;
  std::map<NodeName, std::set<PoolKey>> users_;
  std::map<std::string, std::set<PoolKey>> asked_;  // by group
};

// Whole nodes of the group may cost more than the gang or its namespace may spend. Whether they did
// was decided by who else was on them, or asked for them, at its turn.
bool NodesMayBeTooDear(const World& world, const TrainingPool& pool, const GroupView& group) {
  if (!IsPaidByNode(*group.spec)) return false;
  const auto limits_it = [&](const Quota& quota) {
    return quota.ns == pool.key.ns && quota.max_hourly_cost;
  };
  return pool.spill_max_hourly_cost || std::ranges::any_of(world.snapshot->quotas, limits_it);
}

// It had been told before that it may have the place, or the nodes.
bool WasGranted(const TrainingPool& pool, const std::string& group, int nodes) {
  const auto is_there = [&](const auto& kept) { return kept && kept->node_group == group; };
  return pool.memory.placement || is_there(pool.memory.hold) ||
         (is_there(pool.memory.ask) && pool.memory.ask->nodes >= nodes);
}

// Does a gang pay for whole nodes because of this plan?
bool PaysAnew(const TrainingPool& pool, const PoolDecision& decision, const WholeNodes& nodes) {
  const PoolMemory& after = decision.memory;
  if (decision.action == Action::kPlace) {
    return !WasGranted(pool, after.placement->node_group, 0) &&
           nodes.Beside(pool, *after.placement) > Money();
  }
  if (decision.action == Action::kDone || !after.ask) return false;
  return !WasGranted(pool, after.ask->node_group, after.ask->nodes) &&
         nodes.Price(after.ask->node_group) > Money();
}

// What it costs above home in all, as it is placed or asks for nodes.
Money WholeCost(const World& world, const TrainingPool& pool, const PoolDecision& decision,
                const WholeNodes& nodes) {
  const PoolMemory& after = decision.memory;
  if (after.placement) {
    return CostAboveHome(world, pool, *after.placement) + nodes.Beside(pool, *after.placement);
  }
  if (!after.ask) return {};
  const GroupView* group = world.FindGroup(after.ask->node_group);
  if (group == nullptr) return {};
  const Money share = CostAboveHome(*group, int64_t{after.ask->workers} * pool.per_worker);
  return share + nodes.BesideAsked(after.ask->node_group, after.ask->nodes, share);
}

// It asks for no more than before, or where it had a place or a hold: that stands, whatever limit
// it crosses by now, and may come after what is decided anew.
bool StillAsks(const TrainingPool& pool, const PoolDecision& decision) {
  const auto& ask = decision.memory.ask;
  return decision.action != Action::kDone && ask && WasGranted(pool, ask->node_group, ask->nodes);
}

// By namespace: what whole nodes cost beside shares. What stands is taken out, with its shares.
std::map<std::string, Money> BesideShares(const World& world, const Plan& plan,
                                          const WholeNodes& nodes) {
  std::map<std::string, Money> sums;
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolDecision& decision = plan.pools[p];
    if (decision.memory.completed) continue;
    Money share;
    const auto& ask = decision.memory.ask;
    const GroupView* group = ask ? world.FindGroup(ask->node_group) : nullptr;
    if (decision.memory.placement) {
      share = CostAboveHome(world, *world.pools[p], *decision.memory.placement);
    } else if (group != nullptr) {
      share = CostAboveHome(*group, int64_t{ask->workers} * world.pools[p]->per_worker);
    }
    const bool stands = !decision.memory.placement && StillAsks(*world.pools[p], decision);
    const Money whole = stands ? Money() : WholeCost(world, *world.pools[p], decision, nodes);
    sums[decision.key.ns] += whole + Money::FromMicros(-share.micros());
  }
  return sums;
}

// Does another of its namespace have nodes for itself where the gang asks for some? Workers of the
// gang may be to start on these, and then nobody has them for itself.
bool MaySpare(const World& world, const Plan& plan, const WholeNodes& nodes, size_t asks) {
  const auto& ask = plan.pools[asks].memory.ask;
  if (!ask) return false;
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const auto& placement = plan.pools[p].memory.placement;
    if (plan.pools[p].key.ns == plan.pools[asks].key.ns && placement &&
        placement->node_group == ask->node_group &&
        nodes.Beside(*world.pools[p], *placement) > Money()) {
      return true;
    }
  }
  return false;
}

// Namespaces in which this plan adds something that is judged by its share alone: then nobody knows
// here whether that was decided before or after the rest.
std::set<std::string> AddedByShare(const World& world, const Plan& plan, const WholeNodes& nodes) {
  std::set<std::string> added;
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolDecision& decision = plan.pools[p];
    const bool by_share =
        decision.action == Action::kPlace && !PaysAnew(*world.pools[p], decision, nodes);
    if (by_share || decision.action == Action::kRestart || decision.action == Action::kRelease ||
        decision.memory.hold || MaySpare(world, plan, nodes, p)) {
      added.insert(decision.key.ns);
    }
  }
  for (const InferenceDecision& decision : plan.inference_pools) {
    const bool grows = std::ranges::any_of(
        decision.cells, [](const CellDecision& cell) { return cell.desired > cell.before; });
    // Replicas that start on nodes which others have asked for.
    const bool beside = std::ranges::any_of(decision.memory.asks,
                                            [](const CellAsk& ask) { return ask.nodes == 0; });
    if (grows || beside || decision.memory.claim) added.insert(decision.key.ns);
  }
  return added;
}

// What the cells of an inference pool ask a group for.
struct Asking {
  int nodes = 0;
  int stands = 0;  // of these: they were asked for before
  Money share;     // of the replicas that start there
};

// What an inference pool asks for anew costs no more than the pool may, all of its replicas with
// it. What it asked for before stands, and may come after it: then it is not counted, nor is what
// is left of a step, which others may have paid for.
Problem ReplicasPayForNodes(const World& world, const Plan& plan, const WholeNodes& nodes,
                            std::map<std::string, Money>& sums, std::set<std::string>& asking) {
  for (const InferenceDraft& draft : Settled(world, plan)) {
    const auto at =
        std::ranges::find(plan.inference_pools, draft.pool->key, &InferenceDecision::key);
    std::map<std::string, Asking> by_group;
    bool anew = false;
    Money cost;
    for (const CellState& cell : draft.cells) {
      cost += CostAboveHome(cell).Times(cell.memory.desired);
      const CellAsk* ask = FindAsk(at->memory.asks, cell);
      if (ask == nullptr) continue;
      const CellAsk* before = FindAsk(draft.pool->memory.asks, cell);
      const int stands = before == nullptr ? 0 : std::min(before->nodes, ask->nodes);
      anew = anew || (CostAboveHome(cell) > Money() && ask->nodes > stands);
      Asking& sum = by_group[ask->node_group];
      sum.nodes += ask->nodes;
      sum.stands += stands;
      sum.share += CostAboveHome(cell).Times(ask->replicas);
    }
    for (const auto& [group, asked] : by_group) {
      const Money beside = nodes.BesideAsked(group, asked.nodes, asked.share);
      sums[draft.pool->key.ns] += anew ? beside : Money::FromMicros(-asked.share.micros());
      cost += asked.stands == 0 ? beside + asked.share
                                : nodes.Price(group).Times(asked.nodes - asked.stands);
    }
    if (anew) asking.insert(draft.pool->key.ns);
    const auto& most = draft.pool->spill_max_hourly_cost;
    if (anew && most && cost > *most) {
      return draft.pool->key.Format() + " asks for whole nodes that cost more than it may";
    }
  }
  return {};
}

// Who gets nodes for itself, or asks for some, pays for all of them within all limits.
// REQUIRES that `quotas` has what is asked for.
Problem WholeNodesArePaidFor(const World& world, const Plan& plan, const QuotaBook& quotas) {
  const WholeNodes nodes(world, plan);
  std::map<std::string, Money> sums = BesideShares(world, plan, nodes);
  std::set<std::string> anew;
  if (auto problem = ReplicasPayForNodes(world, plan, nodes, sums, anew)) return problem;
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolDecision& decision = plan.pools[p];
    const TrainingPool& pool = *world.pools[p];
    if (!PaysAnew(pool, decision, nodes)) continue;
    const Money cost = WholeCost(world, pool, decision, nodes);
    if (pool.spill_max_hourly_cost && cost > *pool.spill_max_hourly_cost) {
      return decision.key.Format() + " has whole nodes that cost more above home than it may";
    }
    anew.insert(decision.key.ns);
  }
  const std::set<std::string> by_share = AddedByShare(world, plan, nodes);
  for (const std::string& ns : anew) {
    if (by_share.contains(ns) || sums[ns] <= Money()) continue;
    const auto excess = quotas.Spend().Excess(ns, sums[ns]);
    if (!excess || *excess > Money()) {
      return ns + " pays for whole nodes across its spend limit";
    }
  }
  return {};
}

// ---- who gives way, and who gets what is free ----

// By what pools had when the pass began.
Coverage CoverageBefore(const World& world, const Plan& plan, const QuotaBook& quotas) {
  std::vector<Demand> demands;
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    PoolMemory memory = world.pools[p]->memory;
    const PoolDecision& decision = plan.pools[p];
    memory.queued_since = decision.memory.queued_since;
    if (decision.memory.completed ||
        (!memory.placement && decision.action != Action::kPlace && decision.position == 0)) {
      continue;
    }
    for (Demand& demand : DemandsOf(*world.pools[p], p, memory, world.now)) {
      demands.push_back(std::move(demand));
    }
  }
  std::vector<InferenceDraft> drafts = Settled(world, plan);
  for (size_t p = 0; p < drafts.size(); ++p) {
    drafts[p].memory.claim = drafts[p].pool->memory.claim;
    // What replicas give up they do before anybody has a turn.
    for (CellState& cell : drafts[p].cells) {
      cell.memory.desired = std::min(cell.memory.desired, cell.before);
    }
    for (Demand& demand : DemandsOf(drafts[p], p, world.now)) demands.push_back(std::move(demand));
  }
  return {quotas, std::move(demands)};
}

Coverage CoverageAfter(const World& world, const Plan& plan, const QuotaBook& quotas) {
  std::vector<Demand> demands;
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolDecision& decision = plan.pools[p];
    if (decision.memory.completed || (!decision.memory.placement && decision.position == 0))
      continue;
    for (Demand& demand : DemandsOf(*world.pools[p], p, decision.memory, world.now)) {
      demands.push_back(std::move(demand));
    }
  }
  const std::vector<InferenceDraft> drafts = Settled(world, plan);
  for (size_t p = 0; p < drafts.size(); ++p) {
    for (Demand& demand : DemandsOf(drafts[p], p, world.now)) demands.push_back(std::move(demand));
  }
  return {quotas, std::move(demands)};
}

bool IsVictim(const Hold& claim, const PoolKey& gang) {
  return std::find(claim.victims.begin(), claim.victims.end(), gang) != claim.victims.end();
}

// What was decided for an inference pool for which gangs may have gone.
bool MadeRoom(const InferenceDecision& decision) {
  return std::any_of(decision.cells.begin(), decision.cells.end(),
                     [](const CellDecision& cell) { return cell.desired > cell.before; });
}

// Who comes before whom across namespaces depends on what both are guaranteed, and that on what all
// others have and ask for when somebody has a turn. Where it is the same whatever that was, it is
// known here too.

// May the gang, which waits, be within what its namespace is guaranteed of the type?
bool MayBeGuaranteed(const QuotaBook& quotas, const TrainingPool& gang, const std::string& type) {
  const int64_t guaranteed = quotas.Guaranteed(gang.key.ns, type);
  return quotas.HasGuarantees() &&
         std::ranges::any_of(gang.accelerators, [&](const AcceptedAccelerator& accepted) {
           return accepted.type == type &&
                  int64_t{accepted.Least()} * gang.per_worker <= guaranteed;
         });
}

// All that the gang has or could ask for of the type.
int64_t MostOf(const TrainingPool& gang, const std::string& type) {
  int64_t most = 0;
  for (const AcceptedAccelerator& accepted : gang.accelerators) {
    if (accepted.type == type) most += int64_t{accepted.workers} * gang.per_worker;
  }
  const auto& placement = gang.memory.placement;
  const bool has = placement && placement->accelerator == type;
  return has ? std::max(most, AcceleratorsOf(gang, *placement)) : most;
}

// Is the gang, which has a place, within that in any case: is it enough for all gangs of its
// namespace? What an InferencePool could ask for is not known.
bool IsSurelyGuaranteed(const World& world, const QuotaBook& quotas, const TrainingPool& gang) {
  const std::string& ns = gang.key.ns;
  const std::string& type = gang.memory.placement->accelerator;
  const auto is_ours = [&](const auto* pool) { return pool->key.ns == ns; };
  if (std::ranges::any_of(world.inference, is_ours)) return false;
  int64_t most = 0;
  for (size_t p = 0; p < world.gangs; ++p) {
    if (is_ours(world.pools[p])) most += MostOf(*world.pools[p], type);
  }
  return most <= quotas.Guaranteed(ns, type);
}

// Who claims what a gang has, as far as it says by which right.
struct ClaimRight {
  const PoolKey& key;
  int64_t priority = 0;
  bool may_be_guaranteed = false;  // what it claims
};

ClaimRight RightOf(const World& world, const QuotaBook& quotas, const TrainingPool& gang,
                   const Hold& claim) {
  const GroupView* group = world.FindGroup(claim.node_group);
  return {.key = gang.key,
          .priority = gang.priority,
          .may_be_guaranteed =
              group != nullptr && MayBeGuaranteed(quotas, gang, group->spec->accelerator)};
}

// The same for one more replica.
ClaimRight RightOf(const World& world, const QuotaBook& quotas, const InferencePool& pool,
                   const Hold& claim) {
  const GroupView* group = world.FindGroup(claim.node_group);
  return {.key = pool.key,
          .priority = pool.priority,
          .may_be_guaranteed =
              group != nullptr && quotas.Guaranteed(pool.key.ns, group->spec->accelerator) > 0};
}

// Of another namespace: it borrows, and the claimant has a higher priority or a guarantee.
bool MayTakeAcross(const World& world, const QuotaBook& quotas, const ClaimRight& claimant,
                   const TrainingPool& victim) {
  return (claimant.priority > victim.priority || claimant.may_be_guaranteed) &&
         !IsSurelyGuaranteed(world, quotas, victim);
}

bool MayMakeGo(const World& world, const QuotaBook& quotas, const ClaimRight& claimant,
               const TrainingPool& victim) {
  return claimant.key.ns == victim.key.ns ? claimant.priority > victim.priority
                                          : MayTakeAcross(world, quotas, claimant, victim);
}

// For whom the gang went; nullopt: for nobody. The key and priority where it has a claim still,
// else nullptr: it had room by then, but for the quota. A claim that this pass has made may stand
// in the place of one that it has made before and given up, and does not name who went for that.
struct ForWhom {
  const PoolKey* key = nullptr;
  int64_t priority = 0;
  bool may = true;
};
std::optional<ForWhom> EvictedFor(const World& world, const Plan& plan, const QuotaBook& quotas,
                                  const TrainingPool& victim) {
  std::optional<ForWhom> found;
  std::optional<ForWhom> overruled;  // it counts where nobody else could be meant
  std::optional<ForWhom> anew;       // likewise
  const auto claims = [&](const Hold& claim, const ClaimRight& right) {
    const auto& [key, priority, guaranteed] = right;
    if (claim.since == world.now && (!anew || priority > anew->priority)) {
      const bool may = key.ns != victim.key.ns || priority > victim.priority;
      anew = ForWhom{.key = &key, .priority = priority, .may = may};
    }
    if (!IsVictim(claim, victim.key)) return false;
    const bool may = MayMakeGo(world, quotas, right, victim);
    overruled = ForWhom{.key = &key, .priority = priority, .may = may};
    return may;
  };
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolDecision& decision = plan.pools[p];
    const bool has_claim = HasClaim(decision);
    if (has_claim && claims(*decision.memory.hold,
                            RightOf(world, quotas, *world.pools[p], *decision.memory.hold))) {
      return overruled;
    }
    if (!has_claim && decision.action == Action::kPlace) found.emplace();
  }
  for (size_t p = 0; p < plan.inference_pools.size(); ++p) {
    const InferenceDecision& decision = plan.inference_pools[p];
    const auto& claim = decision.memory.claim;
    if (claim && claims(claim->hold, RightOf(world, quotas, *world.inference[p], claim->hold))) {
      return overruled;
    }
    if (MadeRoom(decision)) found.emplace();
  }
  if (!found && !overruled) return anew;
  return found ? found : overruled;
}

// Those who had claimed workers of the gang that it can do without, and still wait for them or have
// them by now.
std::vector<const TrainingPool*> ShrinksFor(const World& world, const Plan& plan,
                                            const TrainingPool& victim) {
  std::vector<const TrainingPool*> claimants;
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const auto& hold = world.pools[p]->memory.hold;
    if (!hold || !hold->shrinks || !IsVictim(*hold, victim.key)) continue;
    const PoolMemory& after = plan.pools[p].memory;
    const bool has = after.placement || (after.hold && after.hold->since == hold->since);
    if (has && *hold->since + kNotice <= world.now) claimants.push_back(world.pools[p]);
  }
  return claimants;
}

// May the one have workers of the other that it can do without?
bool MayTakeWorkers(const World& world, const QuotaBook& quotas, const TrainingPool& one,
                    const TrainingPool& other) {
  if (one.key.ns != other.key.ns) {
    return MayTakeAcross(world, quotas, RightOf(world, quotas, one, *one.memory.hold), other);
  }
  return RankOf(one, one.memory, world.now).Before(RankOf(other, other.memory, world.now));
}

// A gang that goes on with fewer workers on nodes that it had does so for somebody before it, or
// because it has to start anew anyway.
Problem ShrinksForAReason(const World& world, const Plan& plan, const QuotaBook& quotas,
                          const TrainingPool& gang, const PoolDecision& decision) {
  const Placement& before = *gang.memory.placement;
  const Placement& after = *decision.memory.placement;
  if (after.node_group != before.node_group || after.workers >= before.workers) {
    return "gives workers up and has no fewer";
  }
  if (!std::ranges::includes(before.nodes, after.nodes)) {
    return "goes on with fewer workers on other nodes";
  }
  const auto claimants = ShrinksFor(world, plan, gang);
  if (claimants.empty()) return "goes on with fewer workers for nobody";
  const auto comes_before = [&](const TrainingPool* one) {
    return MayTakeWorkers(world, quotas, *one, gang);
  };
  if (std::ranges::none_of(claimants, comes_before)) {
    return "goes on with fewer workers for somebody who comes after it";
  }
  if (world.now < before.since + gang.min_run) {
    return "goes on with fewer workers before it has run for preemption.minRunSeconds";
  }
  const auto is_due = [&](const TrainingPool* one) {
    return GivesWayAt(gang, gang.memory, *one->memory.hold->since) <= world.now;
  };
  const bool renews = FateOf(world, gang).course == Course::kRenew;
  if (!renews && std::ranges::none_of(claimants, is_due)) {
    return "goes on with fewer workers before its next checkpoint";
  }
  return {};
}

// Somebody claims what it had, comes before it, and it had run for long enough.
Problem EvictionsAreRight(const World& world, const Plan& plan, const QuotaBook& quotas) {
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const TrainingPool& victim = *world.pools[p];
    if (!NewlyEvicted(world, victim, plan.pools[p])) continue;
    if (plan.pools[p].action == Action::kRestart) {
      const auto problem = ShrinksForAReason(world, plan, quotas, victim, plan.pools[p]);
      if (problem) return fmt::format("{} {}", victim.key.Format(), *problem);
      continue;
    }
    const auto claimant = EvictedFor(world, plan, quotas, victim);
    if (!claimant) return victim.key.Format() + " is evicted for nobody";
    if (claimant->key == nullptr) continue;
    if (!claimant->may) return victim.key.Format() + " is evicted by one that comes after it";
    if (world.now < victim.memory.placement->since + victim.min_run) {
      return victim.key.Format() + " is evicted before it has run for preemption.minRunSeconds";
    }
  }
  return {};
}

// Who is guaranteed what: when the pass began, and when it has ended. It may have been either that
// counted when a gang had its turn.
struct Guaranteed {
  Coverage before;
  Coverage after;

  [[nodiscard]] bool Ever(size_t pool, const std::string& type) const {
    return before.Gang(pool, type) || after.Gang(pool, type);
  }
};

// Replicas that gangs had asked to go, and that go by now.
std::set<ReplicaKey> AskedToGo(const World& world) {
  std::set<ReplicaKey> asked;
  for (size_t p = 0; p < world.gangs; ++p) {
    const auto& hold = world.pools[p]->memory.hold;
    if (!hold || !hold->since || world.now < *hold->since + kNotice) continue;
    asked.insert(hold->replicas.begin(), hold->replicas.end());
  }
  return asked;
}

// How many replicas of its variants the pool sends away for others.
using GivenUp = std::map<const Variant*, int64_t>;
std::variant<GivenUp, std::string> WhatGoes(const InferenceDraft& before,
                                            const InferenceDecision& decision,
                                            const std::set<ReplicaKey>& asked) {
  GivenUp given;
  for (const std::string& pod : decision.evict) {
    if (std::ranges::binary_search(before.evict, pod)) continue;  // its node is not coming back
    if (!asked.contains({.pool = decision.key, .pod = pod}))
      return "sends a replica away for nobody";
    for (const CellState& cell : before.cells) {
      const bool is_of = std::ranges::any_of(before.pool->live, [&](const Replica& replica) {
        return replica.pod == pod && IsIn(replica, cell);
      });
      if (is_of) ++given[cell.variant];
    }
  }
  return given;
}

int64_t OfVariant(const InferenceDraft& draft, const Variant* variant) {
  int64_t replicas = 0;
  for (const CellState& cell : draft.cells) {
    if (cell.variant == variant) replicas += cell.memory.desired;
  }
  return replicas;
}

int64_t OfType(const InferenceDraft& pool, const std::string& type) {
  int64_t accelerators = 0;
  for (const CellState& cell : pool.cells) accelerators += AcceleratorsOf(cell, type);
  return accelerators;
}

// Has the pool all replicas of the variant that it is to have, and does none of its cells end or
// miss a deadline in this pass? Else some of them go without having been asked.
bool IsAtRest(const InferenceDraft& before, const InferenceDraft& after, const Variant* variant) {
  for (size_t c = 0; c < before.cells.size() && c < after.cells.size(); ++c) {
    const CellState& cell = before.cells[c];
    if (cell.variant != variant) continue;
    if (cell.unwanted || cell.live != cell.memory.desired || cell.unbound > 0 ||
        after.cells[c].memory.misses != cell.memory.misses) {
      return false;
    }
  }
  return true;
}

bool IsBetweenVariants(const InferenceDraft& pool) {
  std::set<const Variant*> has;
  for (const CellState& cell : pool.cells) {
    if (cell.memory.desired > 0) has.insert(cell.variant);
  }
  return pool.pool->routing == Routing::kUniform && has.size() > 1;
}

// Replicas go for somebody who claims what they have, down to what their pool is guaranteed and to
// minReplicas.
Problem ReplicasGiveWayRightly(const World& world, const Plan& plan, const QuotaBook& quotas) {
  const std::set<ReplicaKey> asked = AskedToGo(world);
  std::optional<Guaranteed> who;
  const std::vector<InferenceDraft> after = Settled(world, plan);
  for (size_t p = 0; p < after.size(); ++p) {
    const InferenceDecision& decision = plan.inference_pools[p];
    const InferenceDraft before = SurveyPool(world, p);
    const auto goes = WhatGoes(before, decision, asked);
    if (const auto* problem = std::get_if<std::string>(&goes)) {
      return decision.key.Format() + " " + *problem;
    }
    const GivenUp& given = std::get<GivenUp>(goes);
    if (given.empty()) continue;
    if (!who) {
      who.emplace(Guaranteed{.before = CoverageBefore(world, plan, quotas),
                             .after = CoverageAfter(world, plan, quotas)});
    }
    for (const auto& [variant, sent] : given) {
      const int64_t has = OfVariant(after[p], variant);
      const int64_t had = OfVariant(before, variant);
      if (has >= had || had - has > sent || !IsAtRest(before, after[p], variant)) {
        continue;  // then some have not started, or are not needed
      }
      const std::string& type = variant->accelerator;
      // One that goes over to another variant has no least of the one that it leaves.
      if (has < variant->min_replicas && !IsBetweenVariants(before)) {
        return decision.key.Format() + " is left with fewer than minReplicas";
      }
      // A pool that has more of the type by now may have borrowed while it had both.
      if (OfType(after[p], type) < OfType(before, type) &&
          who->before.Left(p, type) >= variant->per_replica &&
          who->after.Left(p, type) >= variant->per_replica) {
        return decision.key.Format() + " gives up what it is guaranteed";
      }
    }
  }
  return {};
}

// Gangs give way to replicas only where these have been missing for long enough, and are.
Problem CellClaimsAreRight(const World& world, const Plan& plan) {
  const std::vector<InferenceDraft> drafts = Settled(world, plan);
  for (size_t p = 0; p < drafts.size(); ++p) {
    const auto& claim = plan.inference_pools[p].memory.claim;
    const auto& before = world.inference[p]->memory.claim;
    if (!claim || (before && before->hold == claim->hold)) continue;
    const InferencePool& pool = *drafts[p].pool;
    const auto cell_claimed = ClaimedCell(drafts[p]);
    if (cell_claimed && drafts[p].cells[*cell_claimed].group->unreachable_since) {
      return pool.key.Format() + " makes gangs go in a cluster that is unreachable";
    }
    const auto& since = plan.inference_pools[p].memory.short_since;
    Throughput promised = 0;
    for (const CellState& cell : drafts[p].cells) {
      if (!cell.leaving && pool.routing != Routing::kUniform) promised += cell.Promised();
    }
    if (!since || world.now < *since + pool.preempt_after || promised >= drafts[p].required) {
      return pool.key.Format() + " makes gangs go for what it does not lack, or not for long";
    }
  }
  return {};
}

// With what the gang has a claim on (sign 1), which counts from the start, or without it (-1).
QuotaBook CountClaim(const World& world, const Plan& plan, size_t pool, QuotaBook quotas,
                     int sign) {
  const GroupView* group = world.FindGroup(plan.pools[pool].memory.hold->node_group);
  const auto need = group == nullptr ? std::nullopt : NeedIn(*world.pools[pool], *group->spec);
  if (!need) return quotas;
  const int64_t accelerators = sign * need->For(need->least).Accelerators(*world.pools[pool]);
  quotas.Add(plan.pools[pool].key.ns, group->spec->accelerator, accelerators,
             CostAboveHome(*group, accelerators));
  return quotas;
}

QuotaBook WithClaims(const World& world, const Plan& plan, QuotaBook quotas) {
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    if (HasClaim(plan.pools[p])) quotas = CountClaim(world, plan, p, std::move(quotas), 1);
  }
  return quotas;
}

// What the gang asks for counts as if it had it. Returns where; nullptr: it asks for nothing.
const GroupView* CountAsk(const World& world, const Plan& plan, size_t pool, QuotaBook& quotas) {
  const PoolDecision& decision = plan.pools[pool];
  const auto& ask = decision.memory.ask;
  if (!ask || decision.action == Action::kDone) return nullptr;
  const GroupView* group = world.FindGroup(ask->node_group);
  if (group == nullptr) return nullptr;
  const int64_t accelerators = int64_t{ask->workers} * world.pools[pool]->per_worker;
  quotas.Add(decision.key.ns, group->spec->accelerator, accelerators,
             CostAboveHome(*group, accelerators));
  return group;
}

// Gangs that are to move count with where they go, where that is more than what they have.
QuotaBook WithMoves(const World& world, const Plan& plan, QuotaBook quotas) {
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolMemory& memory = plan.pools[p].memory;
    if (plan.pools[p].action != Action::kKeep || !memory.Moves()) continue;
    const Placement& has = *memory.placement;
    const GroupView* to = world.FindGroup(memory.hold->node_group);
    const auto need = to == nullptr ? std::nullopt : NeedIn(*world.pools[p], *to->spec);
    if (!need || has.node_group == to->spec->name) continue;  // what it grows onto is anybody's
    const int64_t there = need->For(need->least).Accelerators(*world.pools[p]);
    const bool same_type = has.accelerator == to->spec->accelerator;
    const int64_t here = same_type ? AcceleratorsOf(*world.pools[p], has) : 0;
    const int64_t more =
        CostAboveHome(*to, there).micros() - CostAboveHome(world, *world.pools[p], has).micros();
    quotas.Add(plan.pools[p].key.ns, to->spec->accelerator, std::max<int64_t>(there - here, 0),
               Money::FromMicros(std::max<int64_t>(more, 0)));
  }
  return quotas;
}

// The cell that is asked for; nullptr: the pool has no such cell.
const CellState* CellOf(const InferenceDraft& draft, const CellAsk& ask) {
  const auto at = std::find_if(draft.cells.begin(), draft.cells.end(), [&](const CellState& cell) {
    return cell.memory.variant == ask.variant && cell.memory.node_group == ask.node_group;
  });
  return at == draft.cells.end() ? nullptr : &*at;
}

// What replicas ask for counts as if they had it.
void CountCellAsks(const World& world, const Plan& plan, QuotaBook& quotas) {
  const std::vector<InferenceDraft> drafts = Settled(world, plan);
  for (size_t p = 0; p < drafts.size(); ++p) {
    for (const CellAsk& ask : plan.inference_pools[p].memory.asks) {
      const CellState* cell = CellOf(drafts[p], ask);
      if (cell == nullptr || cell->variant == nullptr) continue;
      quotas.Add(drafts[p].pool->key.ns, cell->variant->accelerator,
                 int64_t{ask.replicas} * cell->variant->per_replica,
                 CostAboveHome(*cell).Times(ask.replicas));
    }
  }
}

QuotaBook WithAsks(const World& world, const Plan& plan, QuotaBook quotas) {
  for (size_t p = 0; p < plan.pools.size(); ++p) CountAsk(world, plan, p, quotas);
  CountCellAsks(world, plan, quotas);
  return quotas;
}

// Nodes that were nobody else's when the pass began: held for the gang, or its own until it left
// them.
SharedOptional<Hold> HadForItself(const World& world, const TrainingPool& pool) {
  if (pool.memory.hold && pool.memory.hold->until > world.now) return pool.memory.hold;
  if (!pool.memory.placement) return std::nullopt;
  return Hold{.node_group = pool.memory.placement->node_group,
              .domain = {},
              .nodes = Survivors(world, pool, pool.memory),
              .until = {},
              .since = {},
              .victims = {}};
}

// Without gangs that are new and borrow. What such a gang had for itself, and what others give up
// in this pass, was nobody else's while the turns before theirs were taken.
Capacity CapacityWithoutBorrowers(const World& world, const Plan& plan, const Guaranteed& who) {
  const auto borrows_anew = [&](size_t p) {
    return plan.pools[p].action == Action::kPlace &&
           !who.Ever(p, plan.pools[p].memory.placement->accelerator);
  };
  Capacity capacity = CapacityAfter(world, plan, borrows_anew);
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    if (!borrows_anew(p) && plan.pools[p].action != Action::kRelease) continue;
    const auto hold = HadForItself(world, *world.pools[p]);
    if (!hold) continue;
    if (const auto claim = ClaimOf(world, *world.pools[p], *hold)) capacity.Add(p, *claim);
  }
  return capacity;
}

// What gangs that this pass sends away had counted until their turn.
QuotaBook WithReleased(const World& world, const Plan& plan, QuotaBook quotas) {
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    if (plan.pools[p].action != Action::kRelease) continue;
    CountGang(quotas, world, *world.pools[p], *world.pools[p]->memory.placement, 1);
  }
  return quotas;
}

// All that counted while those had their turns who wait.
QuotaBook AsTheyWaited(const World& world, const Plan& plan, const QuotaBook& quotas) {
  const QuotaBook asked = WithAsks(world, plan, WithClaims(world, plan, quotas));
  return WithMoves(world, plan, WithReleased(world, plan, asked));
}

// A gang that is guaranteed a place at home waits, and would have had it but for borrowers that
// this plan lets in.
Problem GuaranteesHold(const World& world, const Plan& plan, const QuotaBook& quotas) {
  if (!quotas.HasGuarantees()) return {};
  const Guaranteed who{.before = CoverageBefore(world, plan, quotas),
                       .after = CoverageAfter(world, plan, quotas)};
  const QuotaBook counted = AsTheyWaited(world, plan, quotas);
  const Capacity with = CapacityAfter(world, plan, [](size_t /*pool*/) { return false; });
  const Capacity without = CapacityWithoutBorrowers(world, plan, who);
  Offers offers_with(world, with);
  Offers offers_without(world, without);
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolDecision& decision = plan.pools[p];
    if (decision.position == 0 || HasClaim(decision)) continue;
    for (const GroupView& group : world.groups) {
      if (group.spec->tier != 0 || !who.after.Gang(p, group.spec->accelerator)) continue;
      const auto fits = [&](const Capacity& capacity, Offers& offers) {
        const Scene scene{world, capacity, counted, offers};
        return OptionIn(scene, p, decision.memory, group, false).Fits();
      };
      if (!fits(with, offers_with) && fits(without, offers_without)) {
        return fmt::format("{} is guaranteed a place on {} that borrowers are given",
                           decision.key.Format(), group.spec->name);
      }
    }
  }
  return {};
}

// Who has others go or shrink fits nowhere else at home as it is, unless it would borrow there.
Problem NobodyGoesForWhoFits(const World& world, const Plan& plan, const QuotaBook& quotas) {
  const auto claims = [](const PoolDecision& decision) {
    return decision.position > 0 && HasClaim(decision);
  };
  if (std::ranges::none_of(plan.pools, claims)) return {};
  const Coverage who = CoverageAfter(world, plan, quotas);
  const QuotaBook counted = AsTheyWaited(world, plan, quotas);
  const Capacity capacity = CapacityAfter(world, plan, [](size_t /*pool*/) { return false; });
  Offers offers(world, capacity);
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    if (!claims(plan.pools[p])) continue;
    const QuotaBook others = CountClaim(world, plan, p, counted, -1);
    for (const GroupView& group : world.groups) {
      if (group.spec->tier > 0 || !who.Gang(p, group.spec->accelerator)) continue;
      if (group.spec->name == plan.pools[p].memory.hold->node_group) continue;  // they are going
      const Scene scene{world, capacity, others, offers};
      if (OptionIn(scene, p, plan.pools[p].memory, group, false).Fits()) {
        return fmt::format("{} has others go, and fits on {}", plan.pools[p].key.Format(),
                           group.spec->name);
      }
    }
  }
  return {};
}

// What is gone by then: gangs by their deadlines, and remains of those that the reservation says
// that it waits for.
std::vector<size_t> GoneBy(const World& world, const Capacity& capacity, const Plan& plan,
                           const Reservation& reservation) {
  std::vector<size_t> gone;
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const auto ends = EndsBy(*world.pools[p], plan.pools[p].memory, world.now);
    const bool awaited = std::find(reservation.after.begin(), reservation.after.end(),
                                   plan.pools[p].key) != reservation.after.end();
    const bool ended = ends && reservation.starts_by && *ends <= *reservation.starts_by;
    if (ended) gone.push_back(p);
    if (!ended && awaited) gone.push_back(capacity.RemainsOf(p));
  }
  return gone;
}

// Whatever else was decided, who was promised room has it by then. Replicas that are not bound yet
// may go elsewhere.
Problem ReservationsHold(const World& world, const Plan& plan) {
  const Capacity capacity = CapacityOfGangs(world, plan);
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const auto& reservation = plan.pools[p].reservation;
    if (!reservation) continue;
    const GroupView* group = world.FindGroup(reservation->node_group);
    const auto need = group == nullptr ? std::nullopt : NeedIn(*world.pools[p], *group->spec);
    if (!need || plan.pools[p].position == 0) {
      return plan.pools[p].key.Format() + " has a reservation that it can't use";
    }
    const std::vector<size_t> gone = GoneBy(world, capacity, plan, *reservation);
    const Row request = capacity.RowOf(need->request);
    int64_t workers = 0;
    for (const std::string& name : reservation->nodes) {
      const auto node = world.FindNode(group->spec->cluster, name);
      if (!node) continue;
      workers += HowMany(capacity.FreeWithout(p, *node, gone), request, need->least);
    }
    if (workers < need->least) {
      return plan.pools[p].key.Format() + " would not find the room that is reserved for it";
    }
  }
  return {};
}

// Is the gang new, with fewer workers than it asks for?
bool IsNewInPart(const World& world, const Plan& plan, size_t pool) {
  if (plan.pools[pool].action != Action::kPlace || world.pools[pool]->memory.placement) {
    return false;
  }
  const Placement& placement = *plan.pools[pool].memory.placement;
  const auto need = NeedIn(*world.pools[pool], *world.FindGroup(placement.node_group)->spec);
  return placement.workers < need->workers;
}

// Is, or was, room in the gang's group kept for somebody? It may have been kept from the gang, too.
bool MayBeKept(const World& world, const Plan& plan, const std::string& group) {
  const auto reserves = [&](const PoolDecision& decision) {
    return decision.reservation && decision.reservation->node_group == group;
  };
  const auto had_claim = [](const InferencePool* pool) { return pool->memory.claim.has_value(); };
  const auto has_claim = [](const InferenceDecision& decision) {
    return decision.memory.claim.has_value();
  };
  const auto asks = [&](const PoolDecision& decision) {
    return decision.memory.ask && decision.memory.ask->node_group == group;
  };
  return std::any_of(plan.pools.begin(), plan.pools.end(), reserves) ||
         std::any_of(plan.pools.begin(), plan.pools.end(), asks) ||
         std::any_of(world.inference.begin(), world.inference.end(), had_claim) ||
         std::any_of(plan.inference_pools.begin(), plan.inference_pools.end(), has_claim);
}

// Did replicas of the group that no node has yet give way in this pass? Wherever they could have
// been bound, their room was not free when gangs were placed.
bool UnboundGaveWay(const World& world, const Plan& plan, const std::string& group) {
  for (size_t p = 0; p < world.inference.size(); ++p) {
    const InferencePool& pool = *world.inference[p];
    if (plan.inference_pools[p].memory.evictions == pool.memory.evictions) continue;
    for (const CellMemory& cell : pool.memory.cells) {
      if (cell.node_group != group) continue;
      const int desired = DecidedFor(cell, plan.inference_pools[p]).desired;
      if (cell.desired > BoundReplicas(pool, cell) && desired < cell.desired) return true;
    }
  }
  return false;
}

// A gang that is new with fewer workers than it asks for has as many as fit where it is.
Problem NewGangsAreLargest(const World& world, const Plan& plan, const QuotaBook& quotas) {
  std::vector<size_t> parts;
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    if (!IsNewInPart(world, plan, p)) continue;
    const std::string& group = plan.pools[p].memory.placement->node_group;
    if (MayBeKept(world, plan, group) || UnboundGaveWay(world, plan, group)) continue;
    if (NodesMayBeTooDear(world, *world.pools[p], *world.FindGroup(group))) continue;
    parts.push_back(p);
  }
  if (parts.empty()) return {};
  const Capacity capacity = CapacityAfter(world, plan, [](size_t /*pool*/) { return false; });
  Offers offers(world, capacity);
  const QuotaBook counted =
      WithMoves(world, plan, WithAsks(world, plan, WithClaims(world, plan, quotas)));
  for (const size_t p : parts) {
    const PoolMemory& memory = plan.pools[p].memory;
    QuotaBook without = counted;
    CountGang(without, world, *world.pools[p], *memory.placement, -1);
    if (GrownFit(Scene{world, capacity, without, offers}, p, memory)) {
      return plan.pools[p].key.Format() + " has fewer workers than fit where it is";
    }
  }
  return {};
}

// Does the gang wait, and lack nothing but room in the group?
bool WaitsIn(const Scene& scene, const Plan& plan, size_t pool, const GroupView& group) {
  const PoolDecision& decision = plan.pools[pool];
  if (decision.position == 0) return false;
  if (NodesMayBeTooDear(scene.world, *scene.world.pools[pool], group)) return false;
  const auto lacks_room = [&](const Alternative& one) {
    return one.group == group.spec->name &&
           (one.reason == Reason::kWaitingForCapacity || one.reason == Reason::kWaitingForDomain ||
            one.reason == Reason::kOutOfStock);
  };
  return std::any_of(decision.alternatives.begin(), decision.alternatives.end(), lacks_room) &&
         OptionIn(scene, pool, decision.memory, group, false).LacksRoom();
}

// Nobody grows, or is to, while a gang that comes before it waits for room in its group. Not looked
// at where guarantees decide who comes first.
Problem GrowthIsLast(const World& world, const Plan& plan, const QuotaBook& quotas) {
  std::vector<size_t> growing;
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolMemory& memory = plan.pools[p].memory;
    const bool is_to = memory.Moves() && memory.hold->node_group == memory.placement->node_group;
    if (is_to || Grows({world, plan, quotas.Spend(), *world.pools[p], plan.pools[p]}))
      growing.push_back(p);
  }
  if (growing.empty() || quotas.HasGuarantees()) return {};
  const Capacity capacity = CapacityAfter(world, plan, [](size_t /*pool*/) { return false; });
  Offers offers(world, capacity);
  const Scene scene{world, capacity, quotas, offers};
  const auto rank_of = [&](size_t p) {
    return RankOf(*world.pools[p], plan.pools[p].memory, world.now);
  };
  for (const size_t p : growing) {
    const GroupView& group = *world.FindGroup(plan.pools[p].memory.placement->node_group);
    for (size_t other = 0; other < plan.pools.size(); ++other) {
      if (rank_of(other).Before(rank_of(p)) && WaitsIn(scene, plan, other, group)) {
        return plan.pools[p].key.Format() + " grows where a gang before it waits for room";
      }
    }
  }
  return {};
}

// Is it too soon for the gang to spill to the tier, if home could take it some day? What it had
// used and waited for before this pass counts.
bool IsTooSoonFor(const Judged& j, int tier) {
  const PoolMemory& before = j.Before();
  const bool used =
      before.tiers_used.contains(tier) || (before.placement && before.placement->tier == tier);
  return tier > 0 && !used && j.world.now < HoldBackEnd(j.pool, before, j.world.now);
}

// Where it asks for nodes, if it does.
const GroupView* AsksIn(const Judged& j) {
  const auto& ask = j.After().ask;
  return ask && j.decision.action != Action::kDone ? j.world.FindGroup(ask->node_group) : nullptr;
}

// Nobody spills, is to, or asks for nodes to do so, while it has to hold back for home.
Problem SpillsAreDue(const World& world, const Plan& plan, const QuotaBook& quotas) {
  std::vector<size_t> soon;
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const Judged judged{world, plan, quotas.Spend(), *world.pools[p], plan.pools[p]};
    const GroupView* goes = GoesTo(judged);
    const GroupView* to = goes != nullptr ? goes : AsksIn(judged);
    if (to != nullptr && IsTooSoonFor(judged, to->spec->tier)) soon.push_back(p);
  }
  if (soon.empty()) return {};
  const Capacity capacity(world);
  Offers offers(world, capacity);
  const Scene scene{world, capacity, quotas, offers};
  for (const size_t p : soon) {
    if (HomeCould(scene, p, world.pools[p]->memory)) {
      return plan.pools[p].key.Format() + " spills while it has to hold back for home";
    }
  }
  return {};
}

// ---- nodes that are asked for ----

const std::optional<NodeAsk>& AskOf(const PoolDecision& decision) { return decision.memory.ask; }

// Whoever asks waits, may go there, and may ask now.
Problem MayAsk(const Judged& j) {
  if (!AskOf(j.decision) || j.decision.action == Action::kDone) return {};
  const NodeAsk& ask = *AskOf(j.decision);
  const GroupView* group = j.world.FindGroup(ask.node_group);
  if (j.decision.position == 0 || j.After().placement || HasClaim(j.decision)) {
    return "asks for nodes, but does not wait for them";
  }
  if (group == nullptr || !group->spec->elastic || !Accepts(j.pool, *group->spec) ||
      group->spec->admission != Admission::kOpen || !group->spec->misconfigured.empty() ||
      (group->spec->tier > 0 && !j.pool.spill_allowed)) {
    return "asks for nodes where it may not go";
  }
  if (group->LinkSuspect()) return "asks for nodes behind a link that is in doubt";
  if (group->unreachable_since) return "asks for nodes in a cluster that is unreachable";
  const auto need = NeedIn(j.pool, *group->spec);
  if (ask.nodes < 1 || ask.workers < need->least || ask.workers > need->workers) {
    return "asks for nodes for a wrong number of workers";
  }
  if (j.pool.topology == TopologyMode::kRequired && !group->spec->elastic->single_domain) {
    return "requires a domain, and asks for nodes that may share none";
  }
  if (j.world.now >= ask.since + group->spec->elastic->provision_timeout) {
    return "waits for nodes past their time";
  }
  const Money cost = CostAboveHome(*group, int64_t{ask.workers} * j.pool.per_worker);
  if (j.pool.spill_max_hourly_cost && cost > *j.pool.spill_max_hourly_cost) {
    return "asks for nodes that cost more above home than it may";
  }
  return {};
}

// May the gang, which asks for nodes, be kept from the group by what others ask for or are promised
// there, or does it hold back from it?
bool MayBeKeptFrom(const World& world, const Plan& plan, size_t pool, const GroupView& group) {
  const TrainingPool& gang = *world.pools[pool];
  const PoolMemory& memory = plan.pools[pool].memory;
  if (group.spec->tier > 0 && !memory.tiers_used.contains(group.spec->tier) &&
      world.now < HoldBackEnd(gang, memory, world.now)) {
    return true;
  }
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const PoolDecision& other = plan.pools[p];
    const auto is_there = [&](const auto& kept) {
      return kept && kept->node_group == group.spec->name;
    };
    if (p != pool && (is_there(AskOf(other)) || is_there(other.reservation) ||
                      is_there(other.memory.hold) || is_there(world.pools[p]->memory.hold))) {
      return true;
    }
  }
  const auto claims_there = [&](const InferenceMemory& other) {
    return other.claim && other.claim->hold.node_group == group.spec->name;
  };
  for (size_t p = 0; p < plan.inference_pools.size(); ++p) {
    if (claims_there(world.inference[p]->memory) || claims_there(plan.inference_pools[p].memory)) {
      return true;
    }
  }
  return MayBeKept(world, plan, group.spec->name) && memory.ask->node_group != group.spec->name;
}

// Nobody asks for nodes while there is room that it would take: for all that it asks for in the
// same group, for the least in any other one.
Problem NobodyAsksBesideRoom(const World& world, const Plan& plan, const QuotaBook& quotas) {
  const auto asks = [](const PoolDecision& decision) {
    return AskOf(decision) && decision.action != Action::kDone;
  };
  if (std::none_of(plan.pools.begin(), plan.pools.end(), asks)) return {};
  const Capacity capacity = CapacityAfter(world, plan, [](size_t /*pool*/) { return false; });
  Offers offers(world, capacity);
  QuotaBook counted = WithReleased(world, plan, WithClaims(world, plan, quotas));
  CountCellAsks(world, plan, counted);
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    if (!asks(plan.pools[p])) continue;
    const NodeAsk& ask = *AskOf(plan.pools[p]);
    for (const GroupView& group : world.groups) {
      if (MayBeKeptFrom(world, plan, p, group)) continue;
      if (NodesMayBeTooDear(world, *world.pools[p], group)) continue;
      const Option option =
          OptionIn(Scene{world, capacity, counted, offers}, p, plan.pools[p].memory, group, false);
      const bool same = group.spec->name == ask.node_group;
      if (option.Fits() && !(same && option.need->workers < ask.workers)) {
        return fmt::format("{} asks {} for nodes while there is room on {}",
                           plan.pools[p].key.Format(), ask.node_group, group.spec->name);
      }
    }
  }
  return {};
}

// What gangs ask for leaves their namespaces within their limits.
Problem AsksAreWithinLimits(const World& world, const Plan& plan, QuotaBook quotas) {
  for (const InferenceDraft& draft : Settled(world, plan)) {
    for (const auto& [type, use] : UseByType(draft)) {
      quotas.Add(draft.pool->key.ns, type, -use.MovedOnce(), Money());
    }
  }
  std::vector<std::pair<const PoolDecision*, const GroupView*>> asking;
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const GroupView* group = CountAsk(world, plan, p, quotas);
    if (group != nullptr) asking.emplace_back(&plan.pools[p], group);
  }
  CountCellAsks(world, plan, quotas);
  for (const auto& [decision, group] : asking) {
    if (auto problem = LimitIsCrossed(quotas, decision->key, group->spec->accelerator)) {
      return problem;
    }
    if (CostAboveHome(*group, 1) > Money() && quotas.Spend().IsExceeded(decision->key.ns)) {
      return decision->key.Format() + " asks across the spend limit of its namespace";
    }
  }
  return {};
}

// Accelerators of the type that the asks are for.
int64_t AskedOf(const InferenceDraft& draft, const std::vector<CellAsk>& asks,
                const std::string& type) {
  int64_t accelerators = 0;
  for (const CellAsk& ask : asks) {
    const Variant& variant = *CellOf(draft, ask)->variant;
    if (variant.accelerator == type) accelerators += int64_t{ask.replicas} * variant.per_replica;
  }
  return accelerators;
}

// The same of what inference pools ask for, which may be in place of what goes then.
Problem CellAsksAreWithinLimits(const World& world, const Plan& plan, QuotaBook quotas) {
  const std::vector<InferenceDraft> drafts = Settled(world, plan);
  for (size_t p = 0; p < drafts.size(); ++p) {
    for (const auto& [type, use] : UseByType(drafts[p])) {
      TypeUse with_asks = use;
      with_asks.added += AskedOf(drafts[p], plan.inference_pools[p].memory.asks, type);
      quotas.Add(drafts[p].pool->key.ns, type, -with_asks.MovedOnce(), Money());
    }
  }
  quotas = WithAsks(world, plan, std::move(quotas));
  for (size_t p = 0; p < drafts.size(); ++p) {
    Money sum;
    for (const CellState& cell : drafts[p].cells) {
      sum += CostAboveHome(cell).Times(cell.memory.desired);
    }
    bool above_home = false;
    for (const CellAsk& ask : plan.inference_pools[p].memory.asks) {
      const CellState& cell = *CellOf(drafts[p], ask);
      if (auto problem = LimitIsCrossed(quotas, drafts[p].pool->key, cell.variant->accelerator)) {
        return *problem + " by what it asks for";
      }
      above_home = above_home || CostAboveHome(cell) > Money();
      sum += CostAboveHome(cell).Times(ask.replicas);
    }
    const auto& most = drafts[p].pool->spill_max_hourly_cost;
    if (above_home &&
        (quotas.Spend().IsExceeded(drafts[p].pool->key.ns) || (most && sum > *most))) {
      return drafts[p].pool->key.Format() + " asks for nodes across a spend limit";
    }
  }
  return {};
}

// What an inference pool lacks but for what it asks for. With Uniform routing one variant serves.
Throughput LacksOf(const InferenceDraft& draft, const std::vector<CellAsk>& asks) {
  const auto serves = [&](const CellState& cell) {
    return draft.pool->routing != Routing::kUniform || cell.memory.variant == asks.front().variant;
  };
  Throughput lacks = draft.required;
  for (const CellState& cell : draft.cells) {
    if (!cell.leaving && serves(cell)) lacks -= cell.Promised();
  }
  return lacks;
}

int64_t OfVariantWithAsks(const InferenceDraft& draft, const std::vector<CellAsk>& asks,
                          const Variant& variant) {
  int64_t replicas = 0;
  for (const CellState& cell : draft.cells) {
    if (cell.variant == &variant && !cell.leaving) replicas += cell.memory.desired;
  }
  for (const CellAsk& ask : asks) replicas += ask.variant == variant.name ? ask.replicas : 0;
  return replicas;
}

// None of the replicas that are asked for could be left out, and no variant gets too many.
Problem AsksForWhatItLacks(const InferenceDraft& draft, const std::vector<CellAsk>& asks) {
  Throughput asked = 0;
  for (const CellAsk& ask : asks) asked += CellOf(draft, ask)->Each() * ask.replicas;
  const Throughput lacks = LacksOf(draft, asks);
  for (const CellAsk& ask : asks) {
    const CellState& cell = *CellOf(draft, ask);
    const int64_t has = OfVariantWithAsks(draft, asks, *cell.variant);
    if (cell.variant->max_replicas && has > *cell.variant->max_replicas) {
      return "asks for more replicas than maxReplicas";
    }
    // What was asked for before stands, though something larger may have to be asked for beside it.
    const auto& before = draft.pool->memory.asks;
    const bool stands = std::any_of(before.begin(), before.end(), [&](const CellAsk& one) {
      return one.variant == ask.variant && one.node_group == ask.node_group &&
             one.replicas >= ask.replicas;
    });
    const bool needless = asked - cell.Each() >= lacks && has > cell.variant->min_replicas;
    if (needless && !(stands && lacks > 0)) return "asks for nodes for more than it lacks";
    if (draft.pool->routing == Routing::kUniform && ask.variant != asks.front().variant) {
      return "asks for nodes for several variants, and one serves";
    }
  }
  return {};
}

// The cell may have more, and its group may be asked for nodes now.
Problem MayAskFor(const World& world, const Plan& plan, const InferenceDraft& draft,
                  const CellAsk& ask) {
  const CellState* cell = CellOf(draft, ask);
  if (cell == nullptr || !cell->Known() || !cell->group->spec->elastic) {
    return "asks for nodes where it may not go";
  }
  if (auto problem = MayGrow(world, draft, *cell)) return "asks for nodes, but " + *problem;
  if (world.now >= ask.since + cell->group->spec->elastic->provision_timeout) {
    return "waits for nodes past their time";
  }
  const auto& stockout = plan.groups[world.IndexOf(*cell->group)].memory.stockout;
  if (stockout && world.now < stockout->next_try) return "asks for nodes that are out of stock";
  return {};
}

// Does a gang count on room of the group that replicas on their way there could take? That is so
// with a claim, beside the room of its victims, and with what it was to move to.
bool IsCountedOn(const Plan& plan, const std::string& group) {
  return std::ranges::any_of(plan.pools, [&](const PoolDecision& decision) {
    const auto& hold = decision.memory.hold;
    return hold && hold->node_group == group && (hold->IsClaim() || hold->since);
  });
}

// No more nodes are asked for than its replicas need by themselves, while none has room for one.
Problem AsksForWhatItNeeds(const Scene& scene, const Plan& plan, const InferenceDraft& draft,
                           const CellAsk& ask) {
  CellState cell = *CellOf(draft, ask);
  const TrainingPool& seeker = *scene.world.pools[cell.seeker];
  Need need = NeedIn(seeker, *cell.group->spec)->For(static_cast<int>(kManyReplicas));
  need.request = cell.request;
  const int64_t each = FitOnNew(scene, seeker, *cell.group, need);
  if (each < 1 || ask.replicas < 1 || ask.nodes < 0 ||
      ask.nodes > (ask.replicas + each - 1) / each) {
    return "asks for a wrong number of nodes";
  }
  const std::string& group = cell.group->spec->name;
  if (MayBeKept(scene.world, plan, group) || IsCountedOn(plan, group)) return {};
  if (UnboundGaveWay(scene.world, plan, group)) return {};
  const CellLimits limits(scene.world, scene.capacity, scene.offers, scene.quotas, draft);
  if (limits.WithinRoom(cell, 1) > 0) {
    return "asks for nodes while one has room for another replica";
  }
  return {};
}

// The nodes that all together ask a group for have room for all of them, by accelerators.
Problem NewNodesSuffice(const Plan& plan, const std::vector<InferenceDraft>& drafts) {
  std::map<const GroupView*, int64_t> lacks;
  for (size_t p = 0; p < drafts.size(); ++p) {
    for (const CellAsk& ask : plan.inference_pools[p].memory.asks) {
      const CellState& cell = *CellOf(drafts[p], ask);
      const NodeGroup& group = *cell.group->spec;
      lacks[cell.group] += int64_t{ask.replicas} * cell.variant->per_replica -
                           int64_t{ask.nodes} * AcceleratorsIn(group, group.elastic->node_shape);
    }
  }
  for (const auto& [group, accelerators] : lacks) {
    if (accelerators > 0) {
      return group->spec->name + " is asked for fewer nodes than replicas wait for";
    }
  }
  return {};
}

Problem CellAsksAreRight(const World& world, const Plan& plan, const QuotaBook& quotas) {
  const auto asks = [](const InferenceDecision& decision) { return !decision.memory.asks.empty(); };
  if (std::none_of(plan.inference_pools.begin(), plan.inference_pools.end(), asks)) return {};
  const std::vector<InferenceDraft> drafts = Settled(world, plan);
  const Capacity capacity = CapacityAfter(world, plan, [](size_t /*pool*/) { return false; });
  Offers offers(world, capacity);
  const Scene scene{world, capacity, quotas, offers};
  for (size_t p = 0; p < drafts.size(); ++p) {
    const InferenceDecision& decision = plan.inference_pools[p];
    if (!asks(decision)) continue;
    const auto says = [&](const std::string& problem) {
      return decision.key.Format() + " " + problem;
    };
    if (drafts[p].held || decision.memory.claim) return says("asks for nodes and waits for none");
    for (const CellAsk& ask : decision.memory.asks) {
      if (auto problem = MayAskFor(world, plan, drafts[p], ask)) return says(*problem);
      if (auto problem = AsksForWhatItNeeds(scene, plan, drafts[p], ask)) return says(*problem);
    }
    if (auto problem = AsksForWhatItLacks(drafts[p], decision.memory.asks)) return says(*problem);
  }
  if (auto problem = NewNodesSuffice(plan, drafts)) return problem;
  return CellAsksAreWithinLimits(world, plan, quotas);
}

Status Broken(const std::string& what) { return Error{Code::kInternal, what}; }

}  // namespace

Status Verify(const Snapshot& snapshot, const Plan& plan) {
  const World world = Survey(snapshot);
  if (const auto problem = AnsweredOnce(world, plan)) return Broken(*problem);
  const SpendBook spend(snapshot);
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    const Judged judged{world, plan, spend, *world.pools[p], plan.pools[p]};
    for (const Rule rule : kRules) {
      if (const auto problem = rule(judged)) {
        return Broken(fmt::format("{} {}", plan.pools[p].key.Format(), *problem));
      }
    }
    if (const auto problem = MayAsk(judged)) {
      return Broken(fmt::format("{} {}", plan.pools[p].key.Format(), *problem));
    }
  }
  if (const auto problem = GangsHaveRoom(world, plan)) return Broken(*problem);
  const QuotaBook quotas = QuotasAfter(world, plan);
  if (const auto problem = QuotasHold(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = GangsAreToldOfLimits(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = ReplicasAreToldOfLimits(world, plan)) return Broken(*problem);
  if (const auto problem = GangsHaveTheMoney(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = ReplicasHaveTheMoney(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = EvictionsAreRight(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = ReplicasGiveWayRightly(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = CellClaimsAreRight(world, plan)) return Broken(*problem);
  if (const auto problem = GuaranteesHold(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = NobodyGoesForWhoFits(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = ReservationsHold(world, plan)) return Broken(*problem);
  if (const auto problem = NewGangsAreLargest(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = SpillsAreDue(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = GrowthIsLast(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = ScalesAreRight(world, plan)) return Broken(*problem);
  if (const auto problem = NobodyAsksBesideRoom(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = AsksAreWithinLimits(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = CellAsksAreRight(world, plan, quotas)) return Broken(*problem);
  if (const auto problem = WholeNodesArePaidFor(world, plan, WithAsks(world, plan, quotas))) {
    return Broken(*problem);
  }
  if (const auto problem = InferenceHolds(world, plan)) return Broken(*problem);
  if (const auto problem = ReplicasHaveRoom(world, plan)) return Broken(*problem);
  return Ok{};
}

}  // namespace spillway::placement
