#include <algorithm>
#include <tuple>
#include <vector>

#include "placement/attempts.h"
#include "placement/capacity.h"
#include "placement/checks.h"
#include "placement/inference.h"
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
        fates(world.gangs),
        options(world.gangs) {
    for (size_t p = 0; p < world.inference.size(); ++p) inference.push_back(SurveyPool(world, p));
  }

  [[nodiscard]] Scene Look() const { return {world, capacity, quotas}; }
  [[nodiscard]] const TrainingPool& Pool(size_t index) const { return *world.pools[index]; }

  World world;
  Capacity capacity;
  QuotaBook quotas;
  std::vector<Fate> fates;                   // by pool
  std::vector<std::vector<Option>> options;  // by pool; empty for those that nobody looked for
  std::vector<InferenceDraft> inference;     // by inference pool
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
  for (const InferenceDraft& pool : draft.inference) {
    ClaimCells(draft.world, draft.capacity, pool);
    CountCells(draft.quotas, pool, 1);
  }
}

// ---- stage 3: the queue ----

// A pool whose turn comes: a gang that looks for a place, or an inference pool.
struct Turn {
  bool inference = false;
  size_t pool = 0;  // in Draft::fates, or in Draft::inference
  int64_t priority = 0;
  Time since{};
  const PoolKey* key = nullptr;
};

std::vector<Turn> QueueOf(const Draft& draft) {
  std::vector<Turn> queue;
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    const Course course = draft.fates[p].course;
    if (course != Course::kRenew && course != Course::kQueue) continue;
    queue.push_back({.inference = false,
                     .pool = p,
                     .priority = draft.Pool(p).priority,
                     .since = draft.fates[p].memory.queued_since.value_or(draft.world.now),
                     .key = &draft.Pool(p).key});
  }
  for (size_t p = 0; p < draft.inference.size(); ++p) {
    const InferencePool& pool = *draft.inference[p].pool;
    queue.push_back({.inference = true,
                     .pool = p,
                     .priority = pool.priority,
                     .since = draft.inference[p].memory.queued_since.value_or(draft.world.now),
                     .key = &pool.key});
  }
  std::sort(queue.begin(), queue.end(), [](const Turn& a, const Turn& b) {
    if (a.priority != b.priority) return a.priority > b.priority;
    return std::tie(a.since, *a.key, a.inference) < std::tie(b.since, *b.key, b.inference);
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

std::vector<int> ReplicasOf(const InferenceDraft& pool) {
  std::vector<int> replicas;
  replicas.reserve(pool.cells.size());
  for (const CellState& cell : pool.cells) replicas.push_back(cell.memory.desired);
  return replicas;
}

// Says whether the pool got another answer than it had.
bool Serve(Draft& draft, size_t pool) {
  InferenceDraft& inference = draft.inference[pool];
  const std::vector<int> before = ReplicasOf(inference);
  DecideCells(draft.world, draft.capacity, draft.quotas, inference);
  return ReplicasOf(inference) != before;
}

// More rounds than it takes until room that one pool leaves has found its way to those before it.
constexpr int kMostRounds = 8;

// In order of the key; who finds no room does not stand in the way of those behind. A pool that
// moves leaves room, for which all are asked once more.
void RunQueue(Draft& draft) {
  const std::vector<Turn> queue = QueueOf(draft);
  int round = 0;
  for (bool again = true; again; ++round) {
    again = false;
    for (const Turn& turn : queue) {
      if (turn.inference) {
        again = (Serve(draft, turn.pool) && round < kMostRounds) || again;
        continue;
      }
      if (draft.fates[turn.pool].course == Course::kRenew) {
        Renew(draft, turn.pool);
        again = true;
      }
      if (draft.fates[turn.pool].course == Course::kQueue) {
        again = LookForPlace(draft, turn.pool) || again;
      }
    }
  }
}

// ---- stage 4: the plan ----

void NumberTheQueue(const Draft& draft, Plan& plan) {
  int position = 0;
  for (const Turn& turn : QueueOf(draft)) {
    if (!turn.inference) {
      plan.pools[turn.pool].position = ++position;
    } else if (plan.inference_pools[turn.pool].action == Action::kWait) {
      plan.inference_pools[turn.pool].position = ++position;
    }
  }
}

void AddDecisions(const Draft& draft, Plan& plan) {
  plan.pools.reserve(draft.fates.size());
  for (size_t p = 0; p < draft.fates.size(); ++p) {
    plan.pools.push_back(Describe(draft.world, draft.Pool(p), draft.fates[p], draft.options[p]));
  }
  plan.inference_pools.reserve(draft.inference.size());
  for (const InferenceDraft& pool : draft.inference) {
    plan.inference_pools.push_back(Describe(draft.world, pool));
  }
  NumberTheQueue(draft, plan);
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
  for (const InferenceDraft& pool : draft.inference) {
    const auto more = MomentsOf(draft.world, pool);
    moments.insert(moments.end(), more.begin(), more.end());
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
  AddDecisions(draft, plan);
  plan.groups = ReportGroups(draft.world, draft.capacity);
  plan.quotas = draft.quotas.Report();
  plan.next_wake = NextWake(draft);
  return plan;
}

}  // namespace spillway::placement
