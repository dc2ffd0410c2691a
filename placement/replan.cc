#include "placement/replan.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "placement/conclusion.h"
#include "placement/draft.h"
#include "placement/lifecycle.h"
#include "placement/moves.h"

namespace spillway::placement {
namespace {

// More gangs than these are not looked at one by one.
constexpr size_t kFew = 256;

// The pool as it would be if its workers did what they did before. What they do, and what is
// remembered of that, says nothing to others but for what ForOthers has.
TrainingPool WithDoingsOf(const TrainingPool& before, TrainingPool after) {
  if (after.workers.size() != before.workers.size()) return after;
  for (size_t w = 0; w < after.workers.size(); ++w) {
    after.workers[w].running = before.workers[w].running;
    after.workers[w].ready = before.workers[w].ready;
    after.workers[w].why_unbound = before.workers[w].why_unbound;
  }
  after.attempt.exists = before.attempt.exists;
  after.memory.ready_since = before.memory.ready_since;
  return after;
}

// What the decisions about others, and what is done for a gang beyond its own fate, are made with.
struct ForOthers {
  PoolMemory memory;
  bool movable = false;

  ForOthers(const World& world, const TrainingPool& pool, const Fate& fate)
      : memory(fate.memory), movable(MayBeMoved(world, pool, *fate.memory.placement)) {
    memory.ready_since.reset();
  }
  bool operator==(const ForOthers&) const = default;
};

// Does the gang run on, and nothing follows from that but what it says of itself?
bool JustRuns(const Fate& fate) {
  return fate.course == Course::kStay && fate.action == Action::kKeep && !fate.memory.completed &&
         fate.memory.placement && !fate.memory.hold && !fate.cause && fate.awaits.empty() &&
         !fate.outlook && !fate.yields_to && !fate.move;
}

// Is there something new in it, which may be something else a moment later?
bool IsNews(const PoolDecision& decision, const TrainingPool& pool) {
  return Changes(decision.action) || decision.memory != pool.memory;
}

bool IsNews(const InferenceDecision& decision, const InferencePool& pool) {
  return Changes(decision.action) || decision.memory != pool.memory;
}

// Of node groups, inference pools and quotas.
bool HaveNews(const Draft& draft, const Plan& plan) {
  const World& world = draft.world;
  for (size_t g = 0; g < world.groups.size(); ++g) {
    const NodeGroup& group = *world.groups[g].spec;
    if (group.elastic && plan.groups[g].memory != group.memory) return true;
  }
  for (size_t p = 0; p < world.inference.size(); ++p) {
    if (IsNews(plan.inference_pools[p], *world.inference[p])) return true;
  }
  return draft.quotas.Spend().HasNews();
}

// All but the moment and the training pools.
bool AreAlikeElsewhere(const Snapshot& one, const Snapshot& other) {
  return one.currency == other.currency && one.render_revision == other.render_revision &&
         one.clusters == other.clusters && one.groups == other.groups &&
         one.quotas == other.quotas && one.default_limits == other.default_limits &&
         one.inference_pools == other.inference_pools && one.nodes == other.nodes;
}

// A training pool that is another one now, by its place in Snapshot::pools.
using Change = std::pair<size_t, TrainingPool>;

// Those of a snapshot; nullopt: its pools are not of the same keys in the same order, or too many
// have changed to be looked at one by one.
std::optional<std::vector<Change>> ChangesOf(const Snapshot& before, Snapshot& after) {
  if (before.pools.size() != after.pools.size()) return std::nullopt;
  std::vector<size_t> changed;
  for (size_t i = 0; i < after.pools.size(); ++i) {
    if (before.pools[i].key != after.pools[i].key) return std::nullopt;
    if (before.pools[i] == after.pools[i]) continue;
    if (changed.size() == kFew) return std::nullopt;
    changed.push_back(i);
  }
  std::vector<Change> changes;
  changes.reserve(changed.size());
  for (const size_t i : changed) changes.emplace_back(i, std::move(after.pools[i]));
  return changes;
}

}  // namespace

struct Replanner::Made {
  Snapshot snapshot;
  Draft draft;  // of it; the memories of its fates are in the plan
  Wakes wakes;
  Plan plan;
  std::set<size_t> fresh;  // gangs of whose decisions there is news
  bool others_fresh = false;
  std::vector<size_t> made_anew;  // gangs, by the last Exchange

  explicit Made(Snapshot world) : snapshot(std::move(world)), draft(snapshot) {
    Settle(draft);
    plan = Conclude(draft, wakes);
    for (size_t g = 0; g < plan.pools.size(); ++g) {
      if (IsNews(plan.pools[g], draft.Pool(g))) fresh.insert(g);
    }
    others_fresh = HaveNews(draft, plan);
  }

  // The first gang of that key or after it, as the world counts them.
  [[nodiscard]] size_t FirstFrom(const PoolKey& key) const {
    const auto gangs = std::span(draft.world.pools).first(draft.world.gangs);
    const auto at = std::ranges::lower_bound(gangs, key, {}, &TrainingPool::key);
    return static_cast<size_t>(at - gangs.begin());
  }

  // Its place in Snapshot::pools.
  [[nodiscard]] size_t PlaceOf(size_t gang) const {
    return static_cast<size_t>(draft.world.pools[gang] - snapshot.pools.data());
  }
  [[nodiscard]] size_t GangAt(size_t place) const {
    size_t gang = FirstFrom(snapshot.pools[place].key);
    while (PlaceOf(gang) != place) ++gang;
    return gang;
  }

  // Does time alone change nothing until then but what is said of `fresh`, and what is spent?
  [[nodiscard]] bool HoldsUntil(Time now) const {
    if (now == snapshot.now) return true;
    return now > snapshot.now && !others_fresh && (!plan.next_wake || now < *plan.next_wake);
  }

  // What others see of the gang; nullopt: its decision is more than its own fate.
  std::optional<ForOthers> Plain(size_t gang) {
    Fate& settled = draft.fates[gang];
    settled.memory = plan.pools[gang].memory;
    if (!JustRuns(settled) || !draft.options[gang].empty() || TakesTurnToMove(draft, gang)) {
      return std::nullopt;
    }
    const Fate own = FateOf(draft.world, draft.Pool(gang));
    if (!JustRuns(own) || own.memory != settled.memory) return std::nullopt;
    return ForOthers(draft.world, draft.Pool(gang), settled);
  }

  // The decision about a gang that nobody else's follows from is made anew. False: others' may.
  // `before`: of the same gang as it was.
  bool DecideAnew(size_t gang, const ForOthers& before) {
    const TrainingPool& pool = draft.Pool(gang);
    Fate& fate = draft.fates[gang];
    fate = FateOf(draft.world, pool);
    if (!JustRuns(fate) || ForOthers(draft.world, pool, fate) != before) return false;
    if (TakesTurnToMove(draft, gang)) return false;
    plan.pools[gang] = DecisionOf(draft, gang, fate, wakes.gangs[gang]);
    if (IsNews(plan.pools[gang], pool)) {
      fresh.insert(gang);
    } else {
      fresh.erase(gang);
    }
    return true;
  }

  void TellSpent() {
    draft.quotas.GoOnTo(snapshot.now);
    for (QuotaReport& report : plan.quotas) {
      if (report.spend.budget) report.spend = draft.quotas.Spend().Report(report.ns);
    }
  }

  // kAll: the whole plan has to be made anew, of `snapshot`, which is as it should be either way.
  Effort Exchange(Time now, std::vector<Change> changes) {
    const bool later = now != snapshot.now;
    std::map<size_t, std::optional<ForOthers>> gangs;  // as they were
    bool plain = HoldsUntil(now) && changes.size() <= kFew && (!later || fresh.size() <= kFew);
    if (plain && later) {
      for (const size_t gang : fresh) gangs.emplace(gang, Plain(gang));
    }
    for (Change& change : changes) {
      TrainingPool& kept = snapshot.pools[change.first];
      plain = plain && WithDoingsOf(kept, change.second) == kept;
      const size_t gang = GangAt(change.first);
      if (plain && !gangs.contains(gang)) gangs.emplace(gang, Plain(gang));
      kept = std::move(change.second);
      draft.world.book.Recount(kept);
    }
    snapshot.now = draft.world.now = now;
    if (plain && later) TellSpent();
    for (const auto& [gang, before] : gangs) plain = plain && before && DecideAnew(gang, *before);
    if (!plain) return Effort::kAll;
    plan.next_wake = NextWake(wakes);
    made_anew.clear();
    for (const auto& [gang, before] : gangs) made_anew.push_back(gang);
    return gangs.empty() ? Effort::kNothing : Effort::kGangs;
  }
};

Replanner::Replanner() = default;
Replanner::~Replanner() = default;

const Snapshot& Replanner::Last() const { return made_->snapshot; }

const std::vector<size_t>& Replanner::MadeAnew() const { return made_->made_anew; }

const Plan& Replanner::PlanAnew(Snapshot snapshot) {
  took_ = Effort::kAll;
  made_.reset();  // before the next one takes as much memory
  made_ = std::make_unique<Made>(std::move(snapshot));
  return made_->plan;
}

const Plan& Replanner::Replan(Snapshot snapshot) {
  if (made_ == nullptr || !AreAlikeElsewhere(made_->snapshot, snapshot)) {
    return PlanAnew(std::move(snapshot));
  }
  auto changes = ChangesOf(made_->snapshot, snapshot);
  if (!changes) return PlanAnew(std::move(snapshot));
  took_ = made_->Exchange(snapshot.now, *std::move(changes));
  return took_ == Effort::kAll ? PlanAnew(std::move(made_->snapshot)) : made_->plan;
}

const Plan& Replanner::Replan(Time now, std::vector<TrainingPool> changed) {
  std::vector<Change> changes;
  changes.reserve(changed.size());
  for (TrainingPool& pool : changed) {
    const size_t place = made_->PlaceOf(made_->FirstFrom(pool.key));
    changes.emplace_back(place, std::move(pool));
  }
  took_ = made_->Exchange(now, std::move(changes));
  return took_ == Effort::kAll ? PlanAnew(std::move(made_->snapshot)) : made_->plan;
}

}  // namespace spillway::placement
