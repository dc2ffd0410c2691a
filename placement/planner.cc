#include <algorithm>
#include <tuple>
#include <vector>

#include "placement/attempts.h"
#include "placement/capacity.h"
#include "placement/checks.h"
#include "placement/lifecycle.h"
#include "placement/plan.h"
#include "placement/quotas.h"
#include "placement/reports.h"
#include "placement/stories.h"

namespace spillway::placement {
namespace {

// The plan in the making.
struct Draft {
  explicit Draft(const Snapshot& snapshot)
      : world(Survey(snapshot)),
        capacity(world),
        quotas(snapshot),
        fates(world.pools.size()),
        options(world.pools.size()) {}

  [[nodiscard]] Scene Look() const { return {world, capacity, quotas}; }
  [[nodiscard]] const TrainingPool& Pool(size_t index) const { return *world.pools[index]; }

  World world;
  Capacity capacity;
  QuotaBook quotas;
  std::vector<Fate> fates;                   // by pool
  std::vector<std::vector<Option>> options;  // by pool; empty for those that nobody looked for
};

void ClaimWhatItHas(Draft& draft, size_t pool) {
  const PoolMemory& memory = draft.fates[pool].memory;
  std::optional<Claim> claim;
  if (memory.placement) {
    claim = ClaimOf(draft.world, draft.Pool(pool), *memory.placement);
  } else if (memory.hold) {
    claim = ClaimOf(draft.world, draft.Pool(pool), *memory.hold);
  }
  draft.capacity.Clear(pool);
  if (claim) draft.capacity.Set(pool, *claim);
}

// ---- stage 1: what happens to each pool because of what happened to it ----

void DecideFates(Draft& draft) {
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    draft.fates[p] = FateOf(draft.world, draft.Pool(p));
  }
}

// ---- stage 2: what is spoken for before anybody looks for room ----

void AccountForPlaced(Draft& draft) {
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const Fate& fate = draft.fates[p];
    if (fate.memory.completed) continue;
    if (fate.course != Course::kRenew) {
      ClaimWhatItHas(draft, p);
    } else {
      // Its nodes wait for its turn in the queue.
      const Hold rest{.node_group = fate.memory.placement->node_group,
                      .domain = {},
                      .nodes = Survivors(draft.world, draft.Pool(p), fate.memory),
                      .until = {}};
      if (const auto claim = ClaimOf(draft.world, draft.Pool(p), rest))
        draft.capacity.Set(p, *claim);
    }
    if (const auto& placement = fate.memory.placement) {
      draft.quotas.Add(draft.Pool(p).key.ns, placement->accelerator,
                       AcceleratorsOf(draft.Pool(p), *placement));
    }
  }
}

// ---- stage 3: the queue ----

std::vector<size_t> QueueOf(const Draft& draft) {
  std::vector<size_t> queue;
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const Course course = draft.fates[p].course;
    if (course == Course::kRenew || course == Course::kQueue) queue.push_back(p);
  }
  const auto since = [&draft](size_t p) {
    return draft.fates[p].memory.queued_since.value_or(draft.world.now);
  };
  std::sort(queue.begin(), queue.end(), [&](size_t a, size_t b) {
    const TrainingPool& left = draft.Pool(a);
    const TrainingPool& right = draft.Pool(b);
    if (left.priority != right.priority) return left.priority > right.priority;
    return std::tuple(since(a), left.key) < std::tuple(since(b), right.key);
  });
  return queue;
}

void Take(Draft& draft, size_t pool, const GroupView& group, const Need& need, const Fit& fit,
          Action action) {
  Fate& fate = draft.fates[pool];
  StartAttempt(draft.world, draft.Pool(pool), group, need, fit, fate.memory);
  fate.course = Course::kStay;
  fate.action = action;
  ClaimWhatItHas(draft, pool);
  draft.quotas.Add(draft.Pool(pool).key.ns, fate.memory.placement->accelerator,
                   AcceleratorsOf(draft.Pool(pool), *fate.memory.placement));
}

// A new attempt in the same group; where that has no room, the pool looks elsewhere.
void Renew(Draft& draft, size_t pool) {
  Fate& fate = draft.fates[pool];
  const Placement& placement = *fate.memory.placement;
  draft.quotas.Add(draft.Pool(pool).key.ns, placement.accelerator,
                   -AcceleratorsOf(draft.Pool(pool), placement));
  const auto fit = Refit(draft.Look(), pool, fate.memory);
  if (fit) {
    const GroupView& group = *draft.world.FindGroup(placement.node_group);
    Take(draft, pool, group, *NeedIn(draft.Pool(pool), *group.spec), *fit, Action::kRestart);
    return;
  }
  HoldSurvivors(draft.world, draft.Pool(pool), fate.memory);
  if (fate.memory.hold && !ClaimOf(draft.world, draft.Pool(pool), *fate.memory.hold)) {
    fate.memory.hold.reset();
  }
  fate.course = Course::kQueue;
  fate.action = Action::kRelease;
  ClaimWhatItHas(draft, pool);
}

// Says whether that gave room back: the pool's hold, when it is placed elsewhere.
bool LookForPlace(Draft& draft, size_t pool) {
  std::vector<Option>& options = draft.options[pool];
  options = OptionsFor(draft.Look(), pool, draft.fates[pool].memory);
  const auto fits = [](const Option& option) { return option.Fits(); };
  const auto first = std::find_if(options.begin(), options.end(), fits);
  if (first == options.end()) return false;
  const bool held = draft.fates[pool].memory.hold.has_value();
  Take(draft, pool, *first->group, *first->need, *first->fit, Action::kPlace);
  return held;
}

// In order of the key; who finds no room does not stand in the way of those behind. A gang that
// moves leaves room, for which all are asked once more.
void RunQueue(Draft& draft) {
  const std::vector<size_t> queue = QueueOf(draft);
  for (bool again = true; again;) {
    again = false;
    for (const size_t pool : queue) {
      if (draft.fates[pool].course == Course::kRenew) {
        Renew(draft, pool);
        again = true;
      }
      if (draft.fates[pool].course == Course::kQueue) again = LookForPlace(draft, pool) || again;
    }
  }
}

// ---- stage 4: the plan ----

void NumberTheQueue(const Draft& draft, std::vector<PoolDecision>& decisions) {
  int position = 0;
  for (const size_t pool : QueueOf(draft)) decisions[pool].position = ++position;
}

std::vector<PoolDecision> Decisions(const Draft& draft) {
  std::vector<PoolDecision> decisions;
  decisions.reserve(draft.fates.size());
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    decisions.push_back(Describe(draft.world, draft.Pool(p), draft.fates[p], draft.options[p]));
  }
  NumberTheQueue(draft, decisions);
  return decisions;
}

std::optional<Time> NextWake(const Draft& draft) {
  std::vector<Time> moments;
  for (const GroupView& group : draft.world.groups) {
    if (group.changes_at) moments.push_back(*group.changes_at);
  }
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const PoolMemory& memory = draft.fates[p].memory;
    const auto more = MomentsOf(draft.world, draft.Pool(p), memory);
    moments.insert(moments.end(), more.begin(), more.end());
    if (memory.placement) continue;
    for (const Option& option : draft.options[p]) {
      if (option.held_until) moments.push_back(*option.held_until);
    }
  }
  std::optional<Time> next;
  for (const Time moment : moments) {
    if (moment > draft.world.now && (!next || moment < *next)) next = moment;
  }
  return next;
}

}  // namespace

Plan MakePlan(const Snapshot& snapshot) {
  Draft draft(snapshot);
  DecideFates(draft);
  AccountForPlaced(draft);
  RunQueue(draft);
  Plan plan;
  plan.pools = Decisions(draft);
  plan.groups = ReportGroups(draft.world, draft.capacity);
  plan.quotas = draft.quotas.Report();
  plan.next_wake = NextWake(draft);
  return plan;
}

}  // namespace spillway::placement
