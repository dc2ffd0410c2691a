#include "placement/reservations.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "placement/claims.h"
#include "placement/vacancies.h"

namespace spillway::placement {
namespace {

// Gangs that are asked in a group, if nobody can say when those before them start there.
constexpr int kMostAsked = 8;

// A gang whose room others can count on from then on, or its remains.
struct Ending {
  Time by{};
  size_t pool = 0;  // as in the `gone` of Capacity
  auto operator<=>(const Ending&) const = default;
};

// Who leaves room in a group, and who may stay for ever.
struct Turnover {
  std::vector<Ending> endings;  // the soonest first
  std::vector<size_t> stayers;
};

// Room that a claim waits for is spoken for.
Turnover TurnoverIn(Draft& draft, size_t group, size_t except) {
  Turnover turnover;
  const Contenders& contenders = ContendersOf(draft);
  for (const size_t p : contenders.leaving) {
    if (p != except && !contenders.awaited[p])
      turnover.endings.push_back({.by = draft.Now(), .pool = draft.capacity.RemainsOf(p)});
  }
  for (const size_t p : contenders.placed_in[group]) {
    if (p == except) continue;
    const auto by = EndsBy(draft.Pool(p), draft.fates[p].memory, draft.Now());
    if (!by) turnover.stayers.push_back(p);
    if (by && !contenders.awaited[p]) {
      turnover.endings.push_back({.by = std::max(*by, draft.Now()), .pool = p});
    }
  }
  std::sort(turnover.endings.begin(), turnover.endings.end());
  return turnover;
}

std::vector<size_t> First(const std::vector<Ending>& endings, size_t count) {
  std::vector<size_t> pools;
  pools.reserve(count);
  for (size_t i = 0; i < count; ++i) pools.push_back(endings[i].pool);
  return pools;
}

// The endings after which the gang fits, as few as will do: none, where it only waits until others
// that are starting are bound. nullopt: not even after all of them.
std::optional<size_t> Enough(const Vacancies& vacancies, const std::vector<Ending>& endings) {
  if (vacancies.HasRoomWithout({})) return 0;
  if (endings.empty() || !vacancies.HasRoomWithout(First(endings, endings.size())))
    return std::nullopt;
  // More who are gone never make less room.
  size_t few = 0;
  size_t many = endings.size();
  while (few + 1 < many) {
    const size_t middle = (few + many) / 2;
    (vacancies.HasRoomWithout(First(endings, middle)) ? many : few) = middle;
  }
  return many;
}

// Who of those that are gone by then leaves room on the nodes.
std::vector<size_t> WhoLeave(const Capacity& capacity, std::vector<size_t> gone,
                             const std::vector<size_t>& nodes) {
  std::erase_if(gone, [&](size_t pool) {
    const std::vector<size_t> of = capacity.NodesOf(pool);
    return std::none_of(of.begin(), of.end(), [&](size_t node) {
      return std::binary_search(nodes.begin(), nodes.end(), node);
    });
  });
  std::sort(gone.begin(), gone.end());
  return gone;
}

struct Prospect {
  const GroupView* group = nullptr;
  Need need;
  Promise soonest;  // where and when it starts, as far as is known
  Promise kept;     // that, and what it falls back on
};

// Could it be for want of nodes that are NotReady for a moment? What comes before that in the order
// of checks has nothing to do with them.
bool MayLackNodes(const Option& option) {
  if (!option.acceptable || !option.finding) return false;
  const Reason reason = option.finding->reason;
  return option.group->by_state.contains(NodeState::kNotReady) &&
         (reason == Reason::kNodesUnhealthy || reason == Reason::kNodesOverlap ||
          reason == Reason::kConstraintsNotMet || reason == Reason::kWaitingForDomain ||
          reason == Reason::kWaitingForCapacity || reason == Reason::kOutOfStock);
}

// What the gang lacks room alone for in the group, or would if they were ready again. nullopt: it
// lacks more.
std::optional<Need> LacksRoomAlone(Draft& draft, size_t pool, const Option& option) {
  if (option.LacksRoom()) return option.need;
  if (!MayLackNodes(option)) return std::nullopt;
  const PoolMemory& memory = draft.fates[pool].memory;
  const Scene scene = draft.Look();
  const Option then =
      OptionOnceBack(scene, pool, memory, *option.group, HomeCould(scene, pool, memory));
  return then.LacksRoom() || then.Fits() ? then.need : std::nullopt;
}

// What the gang is promised on the nodes that `settling` says.
std::optional<Promise> SoonestOn(Draft& draft, size_t pool, const GroupView& group,
                                 const Need& need, const Turnover& turnover, Settling settling) {
  const Scene scene = draft.Look();
  const Vacancies vacancies(scene, pool, pool, draft.fates[pool].memory, group, need, settling);
  const auto count = Enough(vacancies, turnover.endings);
  if (!count) return std::nullopt;
  const std::vector<size_t> gone = First(turnover.endings, *count);
  Promise promise;
  promise.gang = pool;
  promise.nodes = vacancies.FitWithout(gone)->nodes;
  promise.by = *count == 0 ? draft.Now() : turnover.endings[*count - 1].by;
  promise.after = WhoLeave(draft.capacity, gone, promise.nodes);
  for (const size_t node : promise.nodes) {
    if (group.Find(node)->state == NodeState::kNotReady) promise.away.push_back(node);
  }
  return promise;
}

// Both lists are in order, and so is what becomes of them.
void AddAll(const std::vector<size_t>& more, std::vector<size_t>& to) {
  std::vector<size_t> all;
  std::ranges::set_union(to, more, std::back_inserter(all));
  to = std::move(all);
}

std::optional<Prospect> ProspectIn(Draft& draft, size_t pool, const GroupView& group,
                                   const Need& need, const Turnover& turnover) {
  auto soonest = SoonestOn(draft, pool, group, need, turnover, Settling::kOnceBack);
  if (!soonest) return std::nullopt;
  Prospect prospect{.group = &group, .need = need, .soonest = *soonest, .kept = *soonest};
  if (soonest->away.empty()) return prospect;
  // They may stay away. Where it starts without them, if there is such a place, stays kept as well,
  // or its start could be put off by what happens to nodes that it was never promised.
  if (const auto sure = SoonestOn(draft, pool, group, need, turnover, Settling::kSettled)) {
    AddAll(sure->nodes, prospect.kept.nodes);
    AddAll(sure->after, prospect.kept.after);
  }
  return prospect;
}

std::vector<PoolKey> KeysOf(const Draft& draft, const std::vector<size_t>& pools) {
  std::vector<size_t> whose;
  whose.reserve(pools.size());
  for (const size_t pool : pools) whose.push_back(draft.capacity.WhoseIs(pool));
  std::sort(whose.begin(), whose.end());
  whose.erase(std::unique(whose.begin(), whose.end()), whose.end());
  std::vector<PoolKey> keys;
  keys.reserve(whose.size());
  for (const size_t pool : whose) keys.push_back(draft.Pool(pool).key);
  // Gangs are numbered by key, and numbers are sorted in less time than names.
  if (!std::is_sorted(keys.begin(), keys.end())) std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

void Keep(Draft& draft, size_t pool, Prospect prospect) {
  const GroupView& group = *prospect.group;
  const size_t index = draft.world.IndexOf(group);
  const Need& need = prospect.need;
  draft.capacity.Keep(index, pool, draft.capacity.RowOf(need.request), need.workers,
                      prospect.kept.nodes, prospect.kept.after);
  const Promise& soonest = prospect.soonest;
  Outlook& outlook = draft.fates[pool].outlook.emplace();
  outlook.node_group = group.spec->name;
  outlook.starts_by = soonest.by;
  draft.moments.push_back(soonest.by);
  for (const size_t node : soonest.nodes) {
    outlook.nodes.push_back(draft.world.nodes[node]->id.name);
  }
  for (const size_t node : soonest.away) {
    outlook.away.push_back(draft.world.nodes[node]->id.name);
  }
  outlook.others = KeysOf(draft, soonest.after);
  draft.promises[index] = std::move(prospect.kept);
}

}  // namespace

void ForgetPromises(Draft& draft) {
  for (size_t group = 0; group < draft.promises.size(); ++group) {
    if (draft.promises[group]) draft.capacity.KeepNothing(group);
    draft.promises[group].reset();
    draft.asked[group] = 0;
  }
  for (Fate& fate : draft.fates) fate.outlook.reset();
}

void PromiseRoom(Draft& draft, size_t pool) {
  std::optional<Prospect> soonest;
  SharedOptional<Outlook> none;
  std::vector<size_t> first_in;
  for (const Option& option : draft.options[pool]) {
    const size_t group = draft.world.IndexOf(*option.group);
    if (draft.promises[group] || draft.asked[group] == kMostAsked) continue;
    const auto need = LacksRoomAlone(draft, pool, option);
    if (!need) continue;
    first_in.push_back(group);
    const Turnover turnover = TurnoverIn(draft, group, pool);
    auto prospect = ProspectIn(draft, pool, *option.group, *need, turnover);
    if (prospect && (!soonest || prospect->soonest.by < soonest->soonest.by)) {
      soonest = std::move(prospect);
    } else if (!prospect && !none) {
      none = Outlook{.node_group = option.group->spec->name,
                     .starts_by = {},
                     .nodes = {},
                     .others = KeysOf(draft, turnover.stayers)};
    }
  }
  if (soonest) {
    Keep(draft, pool, *std::move(soonest));
    return;
  }
  for (const size_t group : first_in) ++draft.asked[group];
  draft.fates[pool].outlook = std::move(none);
}

}  // namespace spillway::placement
