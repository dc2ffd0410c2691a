#include "placement/estimates.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <set>

#include "placement/claims.h"
#include "placement/domains.h"
#include "placement/draft.h"
#include "placement/quotas.h"
#include "placement/reservations.h"
#include "placement/vacancies.h"

namespace spillway::placement {
namespace {

// Others who are looked at before the gang.
constexpr ptrdiff_t kMostBefore = 256;

// May a gang that waits have room in a group some day, although nothing changes but who runs there?
enum class Chance {
  kNone,
  kSomeTime,  // what else it lacks may come at any moment
  kInTurn,    // it lacks room alone, or only holds back until a moment that is known
};

// Somebody whose room in the group is free once it has ended.
struct Occupant {
  size_t pool = 0;
  std::optional<Time> ends;  // nullopt: it may run for ever
  int64_t nodes = 0;         // that it may have, wherever; 0: what it has now, and nothing else
};

// What is known of one gang in one group.
struct Bound {
  std::optional<Time> starts_by;
  std::set<size_t> after;    // who has ended by then
  std::set<size_t> endless;  // nullopt: who may run for ever
};

bool IsSooner(const Bound& left, const Bound& right) {
  return left.starts_by && (!right.starts_by || *left.starts_by < *right.starts_by);
}

// What nodes take if so many of them, those with the most room, are somebody else's.
int64_t WorkersBeside(int64_t taken, std::vector<int64_t>& room) {
  std::sort(room.begin(), room.end(), std::greater<>());
  int64_t workers = 0;
  for (size_t i = static_cast<size_t>(taken); i < room.size(); ++i) workers += room[i];
  return workers;
}

bool HasSpendLimit(const Snapshot& snapshot, const std::string& ns) {
  return std::any_of(snapshot.quotas.begin(), snapshot.quotas.end(), [&](const Quota& quota) {
    return quota.ns == ns && (quota.max_hourly_cost || quota.budget);
  });
}

class Estimates {
 public:
  // REQUIRES that the draft is settled. Nothing is promised to anybody afterwards.
  explicit Estimates(Draft& draft) : draft_(draft), outlooks_(draft.fates.size()) {
    for (size_t p = 0; p < draft.fates.size(); ++p) outlooks_[p] = draft.fates[p].outlook;
    for (size_t p = 0; p < draft.fates.size(); ++p) {
      if (MissesNodes(p)) astray_.push_back(p);
    }
    for (const Turn& turn : draft.order) {
      const bool waits = !turn.rank.inference && draft.fates[turn.pool].course == Course::kQueue;
      if (waits && !draft.fates[turn.pool].memory.placement) queue_.push_back(turn.pool);
    }
    ForgetPromises(draft);
  }

  // nullopt: it lacks more than room wherever it could be.
  std::optional<Estimate> For(size_t gang) {
    const auto at = std::find(queue_.begin(), queue_.end(), gang);
    if (at == queue_.end() || at - queue_.begin() > kMostBefore) return std::nullopt;
    for (position_ = 0; queue_[position_] != gang; ++position_) {
      const size_t before = queue_[position_];
      const auto bound = Look(before);
      const auto promised = PromisedTo(before);
      if (bound && bound->starts_by) starts_[before] = *bound->starts_by;
      if (promised) starts_[before] = *promised;
    }
    auto estimate = Look(gang);
    // Why nobody can say it is told of the first of a group already.
    if (estimate && !estimate->starts_by && outlooks_[gang]) return std::nullopt;
    return estimate;
  }

 private:
  [[nodiscard]] const TrainingPool& Pool(size_t gang) const { return draft_.Pool(gang); }
  [[nodiscard]] const PoolMemory& Memory(size_t gang) const { return draft_.fates[gang].memory; }

  // ---- one gang ----

  // In the group where it starts soonest; of several, in the one that it would rather take.
  std::optional<Estimate> Look(size_t gang) {
    const GroupView* group = nullptr;
    Bound best;
    for (const Option& option : draft_.options[gang]) {
      if (ChanceOf(gang, option) != Chance::kInTurn) continue;
      Bound bound = BoundIn(gang, option);
      if (group != nullptr && !IsSooner(bound, best)) continue;
      group = option.group;
      best = std::move(bound);
    }
    if (group == nullptr) return std::nullopt;
    return Estimate{.node_group = group->spec->name,
                    .starts_by = best.starts_by,
                    .after = KeysOf(best.after),
                    .endless = KeysOf(best.endless)};
  }

  [[nodiscard]] std::vector<PoolKey> KeysOf(const std::set<size_t>& pools) const {
    std::vector<PoolKey> keys;
    keys.reserve(pools.size());
    for (const size_t pool : pools) keys.push_back(Pool(draft_.capacity.WhoseIs(pool)).key);
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    return keys;
  }

  // When the one that is looked at starts by its reservation, if nobody before it can take that.
  [[nodiscard]] std::optional<Time> PromisedTo(size_t gang) {
    const auto& outlook = outlooks_[gang];
    if (!outlook || !outlook->starts_by || !outlook->away.empty() || !IsOrderSure(gang)) {
      return std::nullopt;
    }
    const GroupView& group = *draft_.world.FindGroup(outlook->node_group);
    for (size_t i = 0; i < position_; ++i) {
      if (ChanceIn(queue_[i], group) != Chance::kNone) return std::nullopt;
    }
    Time by = *outlook->starts_by;
    for (const size_t p : ContendersOf(draft_).leaving) by = std::max(by, GoneBy(p));
    return by;
  }

  // When the pods are gone that the gang still has where it has no place any more.
  [[nodiscard]] Time GoneBy(size_t gang) const {
    return draft_.Now() + Pool(gang).checkpoint_grace;
  }

  [[nodiscard]] Chance ChanceOf(size_t gang, const Option& option) const {
    if (!option.acceptable || option.hopeless) return Chance::kNone;
    if (!option.finding) return Chance::kSomeTime;
    switch (option.finding->reason) {
      case Reason::kWaitingForQuota:
      case Reason::kSpendLimitReached:
      case Reason::kOutOfStock:
      case Reason::kWaitingForNodes:
        return Chance::kSomeTime;
      case Reason::kWaitingForCapacity:
      case Reason::kWaitingForDomain:
      case Reason::kReserved:
      case Reason::kHoldingBackSpill:
        break;
      case Reason::kConstraintsNotMet:  // by time alone, where nodes are left out for a while
        return Memory(gang).excluded.empty() ? Chance::kNone : Chance::kSomeTime;
      default:
        return Chance::kNone;
    }
    const bool waits_for_more = Memory(gang).hold || draft_.asks[gang];
    const bool in_turn = !waits_for_more && !IsPaidByNode(*option.group->spec) &&
                         !IsLimited(gang, *option.group) &&
                         option.need->least <= static_cast<int>(kMostNodes);
    return in_turn ? Chance::kInTurn : Chance::kSomeTime;
  }

  [[nodiscard]] Chance ChanceIn(size_t gang, const GroupView& group) const {
    for (const Option& option : draft_.options[gang]) {
      if (option.group == &group) return ChanceOf(gang, option);
    }
    return Chance::kNone;
  }

  // Is there a group in which both have a chance?
  [[nodiscard]] bool Compete(size_t gang, size_t other) const {
    const auto& options = draft_.options[gang];
    return std::any_of(options.begin(), options.end(), [&](const Option& option) {
      return ChanceOf(gang, option) != Chance::kNone &&
             ChanceIn(other, *option.group) != Chance::kNone;
    });
  }

  // May others of its namespace that start before it reach a limit of it?
  [[nodiscard]] bool IsLimited(size_t gang, const GroupView& group) const {
    const std::string& ns = Pool(gang).key.ns;
    const bool costs = CostAboveHome(group, group.per_node) > Money();
    if (costs && HasSpendLimit(*draft_.world.snapshot, ns)) return true;
    const std::string& type = group.spec->accelerator;
    const auto limit = draft_.quotas.Limit(ns, type);
    if (!limit) return false;
    int64_t used = draft_.quotas.Used(ns, type);
    for (const size_t other : queue_) {
      if (Pool(other).key.ns == ns) used += MostOf(other, type);
    }
    return used > *limit;
  }

  [[nodiscard]] int64_t MostOf(size_t gang, const std::string& type) const {
    const TrainingPool& pool = Pool(gang);
    int64_t most = 0;
    for (const AcceptedAccelerator& accepted : pool.accelerators) {
      if (accepted.type != type) continue;
      most = std::max(most, int64_t{accepted.workers} * pool.per_worker);
    }
    return most;
  }

  // Can no others come before it who are behind it now, or the other way round?
  [[nodiscard]] bool IsOrderSure(size_t gang) const {
    if (draft_.quotas.HasGuarantees()) return false;
    const TrainingPool& pool = Pool(gang);
    return std::none_of(queue_.begin(), queue_.end(), [&](size_t other) {
      return Pool(other).priority == pool.priority && Pool(other).key.ns != pool.key.ns &&
             Compete(gang, other);
    });
  }

  // ---- one gang in one group ----

  Bound BoundIn(size_t gang, const Option& option) {
    if (ReplicasWait(*option.group) || NodesAreAwaited(gang, *option.group)) return {};
    const std::vector<Occupant> running = RunningIn(*option.group);
    const Time soonest = std::max(draft_.Now(), option.held_until.value_or(draft_.Now()));
    Bound in_order = InOrder(gang, option, running, soonest);
    Bound in_any = InAnyOrder(gang, option, running, soonest);
    if (IsSooner(in_any, in_order)) return in_any;
    if (!in_order.starts_by) in_order.endless.merge(in_any.endless);
    return in_order;
  }

  // Does an InferencePool lack replicas that it could have in the group?
  [[nodiscard]] bool ReplicasWait(const GroupView& group) const {
    return std::any_of(draft_.inference.begin(), draft_.inference.end(), [&](const auto& pool) {
      const bool waits = pool.Lacks() > 0 || pool.memory.claim || !pool.asks.empty();
      return waits && std::any_of(pool.cells.begin(), pool.cells.end(), [&](const auto& cell) {
               return cell.Known() && cell.group == &group;
             });
    });
  }

  // ---- nodes that are NotReady within their grace ----

  // Has the gang some, and goes elsewhere if they stay away?
  [[nodiscard]] bool MissesNodes(size_t gang) const {
    const auto& placement = Memory(gang).placement;
    return placement && !Memory(gang).completed &&
           Pool(gang).on_unreachable == OnUnreachable::kRestart &&
           !NodesOfGang(draft_.world, Pool(gang), *placement).away.empty();
  }

  // Would it have a chance in the group once they are back?
  [[nodiscard]] bool WaitsForNodes(size_t gang, const Option& option) const {
    const GroupView& group = *option.group;
    if (!option.acceptable || !group.by_state.contains(NodeState::kNotReady)) return false;
    if (ChanceOf(gang, option) != Chance::kNone) return false;
    const Scene scene = draft_.Look();
    const Option then =
        OptionOnceBack(scene, gang, Memory(gang), group, HomeCould(scene, gang, Memory(gang)));
    return ChanceOf(gang, then) != Chance::kNone;
  }

  // Who may come to the group for what becomes of such nodes.
  const std::vector<size_t>& AwaitingNodes(const GroupView& group) {
    const auto [at, is_new] = awaiting_.try_emplace(&group);
    if (!is_new) return at->second;
    for (const size_t gang : astray_) {
      if (Accepts(Pool(gang), *group.spec)) at->second.push_back(gang);
    }
    for (const size_t gang : queue_) {
      const auto& options = draft_.options[gang];
      const auto option = std::ranges::find(options, &group, &Option::group);
      if (option != options.end() && WaitsForNodes(gang, *option)) at->second.push_back(gang);
    }
    return at->second;
  }

  // Do others want them? Nobody can say whether and when they are back, and who takes what then.
  [[nodiscard]] bool NodesAreAwaited(size_t gang, const GroupView& group) {
    return std::ranges::any_of(AwaitingNodes(group), [&](size_t other) { return other != gang; });
  }

  // Those who have a place there, nodes that they move to, or pods on their way out.
  std::vector<Occupant> RunningIn(const GroupView& group) {
    std::vector<Occupant> running;
    for (const size_t p : ContendersOf(draft_).placed) {
      const PoolMemory& memory = Memory(p);
      const std::string& name = group.spec->name;
      const bool is_here = memory.placement->node_group == name;
      const bool comes = !is_here && memory.hold && memory.hold->node_group == name;
      if (!is_here && !comes) continue;
      Occupant one{.pool = p, .ends = EndsBy(Pool(p), memory, draft_.Now()), .nodes = 0};
      const auto need = NeedIn(Pool(p), *group.spec);
      // Who may have other nodes, or more of them, before it ends.
      if (comes || (need && need->IsElastic())) {
        one.nodes = std::max(memory.placement->workers, need ? need->workers : 0);
      }
      running.push_back(one);
    }
    for (const size_t p : ContendersOf(draft_).leaving) {
      running.push_back({.pool = draft_.capacity.RemainsOf(p), .ends = GoneBy(p), .nodes = 0});
    }
    return running;
  }

  // One that waits, if it starts there by then.
  [[nodiscard]] Occupant Coming(size_t gang, const GroupView& group, Time by) const {
    const auto need = NeedIn(Pool(gang), *group.spec);
    return {.pool = gang, .ends = EndsBy(Pool(gang), Memory(gang), by), .nodes = need->workers};
  }

  [[nodiscard]] Bound InOrder(size_t gang, const Option& option, std::vector<Occupant> occupants,
                              Time first) {
    if (!IsOrderSure(gang)) return {};
    const GroupView& group = *option.group;
    for (size_t i = 0; i < position_; ++i) {
      if (!Compete(gang, queue_[i])) continue;
      const auto starts = starts_.find(queue_[i]);
      if (starts == starts_.end()) return {};
      first = std::max(first, starts->second);
      if (ChanceIn(queue_[i], group) == Chance::kNone) continue;
      occupants.push_back(Coming(queue_[i], group, starts->second));
    }
    // Until it is the first, those behind it may start where it does not fit.
    for (size_t i = position_ + 1; i < queue_.size(); ++i) {
      const size_t other = queue_[i];
      if (ChanceIn(other, group) == Chance::kNone || NeverOvertakes(other, gang, option)) continue;
      if (Memory(other).hold) return {};
      occupants.push_back(Coming(other, group, first));
    }
    return FirstFit(gang, option, occupants, first);
  }

  // Is all that the one that comes later could start with enough for the gang too?
  [[nodiscard]] bool NeverOvertakes(size_t later, size_t gang, const Option& option) const {
    if (option.held_until || !Memory(gang).excluded.empty() || Memory(later).hold) return false;
    const TrainingPool& pool = Pool(gang);
    const TrainingPool& other = Pool(later);
    const bool same_nodes =
        other.node_terms == pool.node_terms && other.tolerations == pool.tolerations &&
        (pool.topology != TopologyMode::kRequired ||
         (other.topology == pool.topology && other.topology_level == pool.topology_level));
    const auto need = NeedIn(other, *option.group->spec);
    if (!same_nodes || need->least < option.need->least ||
        !need->request.Covers(option.need->request)) {
      return false;
    }
    // What is reserved for others until a moment is for who has ended by then.
    const auto ends = EndsBy(pool, Memory(gang), draft_.Now());
    const auto other_ends = EndsBy(other, Memory(later), draft_.Now());
    return ends && (!other_ends || *other_ends >= *ends);
  }

  [[nodiscard]] Bound InAnyOrder(size_t gang, const Option& option, std::vector<Occupant> occupants,
                                 Time by) {
    for (const Occupant& one : occupants) by = std::max(by, one.ends.value_or(by));
    for (const size_t other : queue_) {
      if (other == gang || ChanceIn(other, *option.group) == Chance::kNone) continue;
      const Occupant one = Coming(other, *option.group, draft_.Now());
      occupants.push_back(one);
      if (one.ends) by += std::max(*one.ends - draft_.Now(), Seconds{0});
    }
    return FirstFit(gang, option, occupants, by);
  }

  // ---- the moment ----

  // The first moment, not before `first`, from which all of the gang fits beside those who may
  // still run.
  [[nodiscard]] Bound FirstFit(size_t gang, const Option& option,
                               const std::vector<Occupant>& occupants, Time first) {
    const Need need = option.need->For(option.need->least);
    const Scene scene = draft_.Look();
    const Vacancies vacancies(scene, gang, gang, Memory(gang), *option.group, need,
                              Settling::kSettled);
    const Question question{.gang = gang,
                            .group = *option.group,
                            .need = need,
                            .vacancies = vacancies,
                            .occupants = occupants,
                            .by_node = ByNode(*option.group, occupants)};
    std::vector<Time> moments = {first};
    for (const Occupant& one : occupants) {
      if (one.ends && *one.ends > first) moments.push_back(*one.ends);
    }
    std::sort(moments.begin(), moments.end());
    // The later, the fewer may still run.
    const auto at = std::partition_point(moments.begin(), moments.end(),
                                         [&](Time moment) { return !HasRoom(question, moment); });
    Bound bound;
    if (at != moments.end()) bound.starts_by = *at;
    for (const Occupant& one : occupants) {
      if (!one.ends && !bound.starts_by) bound.endless.insert(one.pool);
      if (one.ends && bound.starts_by && *one.ends <= *bound.starts_by)
        bound.after.insert(one.pool);
    }
    return bound;
  }

  using ByNodes = std::map<size_t, std::vector<Occupant>>;

  // Whose room a node of the group has, and when it is free.
  [[nodiscard]] ByNodes ByNode(const GroupView& group,
                               const std::vector<Occupant>& occupants) const {
    ByNodes by_node;
    const auto add = [&](const Occupant& one) {
      for (const size_t node : draft_.capacity.NodesOf(one.pool)) {
        if (group.Find(node) != nullptr) by_node[node].push_back(one);
      }
    };
    for (Occupant one : occupants) {
      if (one.nodes > 0) one.ends = draft_.Now();  // it counts wherever it may be
      add(one);
    }
    return by_node;
  }

  struct Question {
    size_t gang = 0;
    const GroupView& group;
    const Need& need;
    const Vacancies& vacancies;
    const std::vector<Occupant>& occupants;
    ByNodes by_node;
  };

  // Has the gang room by then, wherever those are that may still run?
  [[nodiscard]] bool HasRoom(const Question& question, Time moment) const {
    int64_t taken = 0;
    for (const Occupant& one : question.occupants) {
      if (!one.ends || *one.ends > moment) taken += one.nodes;
    }
    const Topology topology = TopologyIn(Pool(question.gang), *question.group.spec);
    if (topology.mode == TopologyMode::kRequired && topology.levels.empty()) return false;
    const Domains* domains = topology.mode == TopologyMode::kRequired
                                 ? &draft_.world.DomainsOf(topology.levels.front())
                                 : nullptr;
    std::map<uint32_t, std::vector<int64_t>> rooms;  // by domain: the workers that its nodes take
    for (const Member& member : question.group.members) {
      const uint32_t domain = domains == nullptr ? 0 : domains->of[member.node];
      if (domain != kNoDomain) rooms[domain].push_back(WorkersOn(question, member.node, moment));
    }
    return std::any_of(rooms.begin(), rooms.end(), [&](auto& room) {
      return WorkersBeside(taken, room.second) >= question.need.workers;
    });
  }

  static int64_t WorkersOn(const Question& question, size_t node, Time moment) {
    std::vector<size_t> gone;
    if (const auto at = question.by_node.find(node); at != question.by_node.end()) {
      for (const Occupant& one : at->second) {
        if (one.ends && *one.ends <= moment) gone.push_back(one.pool);
      }
    }
    return question.vacancies.WorkersOn(node, gone);
  }

  Draft& draft_;
  std::vector<SharedOptional<Outlook>> outlooks_;  // by gang
  std::vector<size_t> queue_;                      // who waits, in the order of turns
  size_t position_ = 0;                            // of the one that is looked at
  std::map<size_t, Time> starts_;                  // by when those before it start
  std::vector<size_t> astray_;                     // who runs and has nodes that are NotReady
  std::map<const GroupView*, std::vector<size_t>> awaiting_;  // of groups that were asked about
};

}  // namespace

std::optional<Estimate> EstimateFor(const Snapshot& snapshot, const PoolDecision& decision) {
  const bool waits = !decision.placed && decision.position > 0 && !decision.reservation;
  if (!waits) return std::nullopt;
  Draft draft(snapshot);
  Settle(draft);
  for (size_t gang = 0; gang < draft.fates.size(); ++gang) {
    if (draft.Pool(gang).key == decision.key) return Estimates(draft).For(gang);
  }
  return std::nullopt;
}

}  // namespace spillway::placement
