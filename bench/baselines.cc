#include "baselines.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "placement/capacity.h"
#include "placement/lifecycle.h"
#include "placement/nodes.h"

namespace spillway::bench {
namespace {

using namespace placement;  // NOLINT(google-build-using-namespace): plans are made of nothing else

// What all of them have in common: a plan in which nobody waiting is placed yet, and the room.
class Desk {
 public:
  explicit Desk(const Snapshot& snapshot) : world_(Survey(snapshot)) {
    for (const Node* node : world_.nodes) {
      Resources free = node->allocatable;
      free.Subtract(node->used);
      free_.push_back(free);
    }
    for (size_t p = 0; p < world_.gangs; ++p) Answer(p);
  }

  [[nodiscard]] const World& Facts() const { return world_; }
  [[nodiscard]] const TrainingPool& Pool(size_t pool) const { return *world_.pools[pool]; }
  [[nodiscard]] const PoolMemory& MemoryOf(size_t pool) const { return plan_.pools[pool].memory; }
  [[nodiscard]] const std::vector<size_t>& Waiting() const { return waiting_; }
  Plan Take() { return std::move(plan_); }

  // By priority, arrival and name.
  [[nodiscard]] bool ComesBefore(size_t a, size_t b) const {
    const auto key = [&](size_t pool) {
      return std::tuple(-Pool(pool).priority, *MemoryOf(pool).queued_since, Pool(pool).key);
    };
    return key(a) < key(b);
  }
  [[nodiscard]] std::vector<size_t> InOrder() const {
    std::vector<size_t> order = waiting_;
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ComesBefore(a, b); });
    return order;
  }

  [[nodiscard]] std::vector<const GroupView*> GroupsByTier() const {
    std::vector<const GroupView*> groups;
    for (const GroupView& group : world_.groups) groups.push_back(&group);
    std::stable_sort(groups.begin(), groups.end(), [](const GroupView* a, const GroupView* b) {
      return a->spec->tier < b->spec->tier;
    });
    return groups;
  }

  [[nodiscard]] int64_t FreeIn(const GroupView& group) const {
    int64_t free = 0;
    for (const Member& member : group.members) {
      free += AcceleratorsIn(*group.spec, free_[member.node]);
    }
    return free;
  }

  [[nodiscard]] int64_t NeedOf(size_t pool) const {
    return int64_t{Pool(pool).accelerators.front().workers} * Pool(pool).per_worker;
  }

  [[nodiscard]] bool CanPlace(size_t pool, const GroupView& group) const {
    const auto need = NeedIn(Pool(pool), *group.spec);
    return need && !RoomsFor(group, *need).empty();
  }

  bool Place(size_t pool, const GroupView& group) {
    const auto need = NeedIn(Pool(pool), *group.spec);
    if (!need) return false;
    const std::vector<Room> rooms = RoomsFor(group, *need);
    if (rooms.empty()) return false;
    Placement placement;
    for (const Room& room : rooms) {
      placement.nodes.push_back(world_.nodes[room.node]->id.name);
      Resources taken;
      taken.AddTimes(need->request, room.workers);
      free_[room.node].Subtract(taken);
      taken_.insert(room.node);
    }
    std::sort(placement.nodes.begin(), placement.nodes.end());
    Start(pool, group, *need, std::move(placement));
    return true;
  }

 private:
  struct Room {
    int64_t free = 0;  // accelerators
    size_t node = 0;
    int64_t workers = 0;  // that fit
    auto operator<=>(const Room&) const = default;
  };

  // Where all workers would be; empty: there is not room for all.
  [[nodiscard]] std::vector<Room> RoomsFor(const GroupView& group, const Need& need) const {
    std::vector<Room> rooms = Enough(RoomsIn(group, need), need.workers);
    if (rooms.size() <= 1) return rooms;
    // Nobody can say which of a gang's nodes its workers come to first: where others come to in
    // this pass too, they could take their room.
    rooms = RoomsIn(group, need);
    std::erase_if(rooms, [&](const Room& room) { return taken_.contains(room.node); });
    return Enough(std::move(rooms), need.workers);
  }

  // The fullest nodes first.
  [[nodiscard]] std::vector<Room> RoomsIn(const GroupView& group, const Need& need) const {
    std::vector<Room> rooms;
    for (const Member& member : group.members) {
      const Resources& free = free_[member.node];
      const int64_t workers = free.HowMany(need.request, need.workers);
      if (workers == 0) continue;
      rooms.push_back(
          {.free = AcceleratorsIn(*group.spec, free), .node = member.node, .workers = workers});
    }
    std::sort(rooms.begin(), rooms.end());
    return rooms;
  }

  // As many of the first ones as it takes; none where all are not enough.
  static std::vector<Room> Enough(std::vector<Room> rooms, int64_t workers) {
    int64_t found = 0;
    size_t count = 0;
    for (; count < rooms.size() && found < workers; ++count) found += rooms[count].workers;
    rooms.resize(found < workers ? 0 : count);
    return rooms;
  }

  void Start(size_t pool, const GroupView& group, const Need& need, Placement placement) {
    PoolDecision& decision = plan_.pools[pool];
    placement.node_group = group.spec->name;
    placement.accelerator = group.spec->accelerator;
    placement.tier = group.spec->tier;
    placement.workers = need.workers;
    placement.per_worker = Pool(pool).per_worker;
    placement.attempt = decision.memory.attempts + 1;
    placement.since = world_.now;
    decision.action = Action::kPlace;
    decision.may_start = true;
    decision.memory.attempts = placement.attempt;
    decision.memory.started = world_.now;
    decision.memory.tiers_used = {placement.tier};
    decision.memory.placement = std::move(placement);
    WakeForDeadline(pool);
  }

  void Answer(size_t pool) {
    const TrainingPool& spec = Pool(pool);
    PoolDecision& decision = plan_.pools.emplace_back();
    decision.key = spec.key;
    decision.uid = spec.uid;
    decision.memory = spec.memory;
    PoolMemory& memory = decision.memory;
    if (!memory.queued_since) memory.queued_since = world_.now;
    const bool late = spec.active_deadline && memory.started &&
                      world_.now >= *memory.started + *spec.active_deadline;
    if (memory.completed) {
      decision.action = Action::kDone;
    } else if (spec.attempt.complete || late) {
      Finish(spec, decision);
    } else if (memory.placement) {
      decision.action = Action::kKeep;
      WakeForDeadline(pool);
    } else {
      waiting_.push_back(pool);
    }
  }

  void Finish(const TrainingPool& spec, PoolDecision& decision) const {
    decision.action = Action::kFinish;
    decision.memory.completed = world_.now;
    decision.memory.succeeded = spec.attempt.complete;
    if (!decision.memory.succeeded) decision.memory.placement.reset();
    decision.ready_reason =
        decision.memory.succeeded ? Reason::kCompleted : Reason::kDeadlineExceeded;
    decision.placed_reason = decision.ready_reason;
    decision.placed_message = decision.ready_message = "ended";
  }

  void WakeForDeadline(size_t pool) {
    if (!Pool(pool).active_deadline) return;
    const Time end = *MemoryOf(pool).started + *Pool(pool).active_deadline;
    if (!plan_.next_wake || end < *plan_.next_wake) plan_.next_wake = end;
  }

  World world_;
  std::vector<Resources> free_;  // by node
  std::set<size_t> taken_;       // nodes that somebody was placed on
  std::vector<size_t> waiting_;
  Plan plan_;
};

// Room that is kept for the first who finds none.
struct Kept {
  const GroupView* group = nullptr;
  Time by{};
  int64_t more = 0;  // accelerators beyond what it needs then
};

// When the group has that many accelerators, as deadlines have it.
std::optional<Kept> KeepIn(const Desk& desk, const GroupView& group, int64_t need) {
  std::vector<std::pair<Time, int64_t>> ends;
  for (size_t p = 0; p < desk.Facts().gangs; ++p) {
    const auto& placement = desk.MemoryOf(p).placement;
    if (!placement || placement->node_group != group.spec->name) continue;
    const auto end = EndsBy(desk.Pool(p), desk.MemoryOf(p), desk.Facts().now);
    if (end) ends.emplace_back(*end, AcceleratorsOf(desk.Pool(p), *placement));
  }
  std::sort(ends.begin(), ends.end());
  int64_t free = desk.FreeIn(group);
  for (const auto& [end, accelerators] : ends) {
    free += accelerators;
    if (free >= need) return Kept{.group = &group, .by = end, .more = free - need};
  }
  return std::nullopt;
}

std::optional<Kept> KeepFor(const Desk& desk, size_t pool) {
  std::optional<Kept> best;
  for (const GroupView& group : desk.Facts().groups) {
    const auto kept = KeepIn(desk, group, desk.NeedOf(pool));
    if (kept && (!best || kept->by < best->by)) best = kept;
  }
  return best;
}

// May the gang use the group in spite of what is kept there?
bool LeavesKept(const Desk& desk, size_t pool, const GroupView& group,
                const std::optional<Kept>& kept) {
  if (!kept || kept->group != &group) return true;
  const auto end = EndsBy(desk.Pool(pool), desk.MemoryOf(pool), desk.Facts().now);
  if (end && *end <= kept->by) return true;
  return desk.NeedOf(pool) <= kept->more;
}

// Kueue's cycles over the heads of the namespaces' queues; each namespace has an equal share of
// every group. After pkg/scheduler of Kueue 0.17 (nominate, schedule, quotaResourcesToReserve).
class Cycles {
 public:
  explicit Cycles(Desk& desk) : desk_(desk), groups_(desk.GroupsByTier()) {
    std::set<std::string> namespaces;
    for (size_t p = 0; p < desk.Facts().gangs; ++p) namespaces.insert(desk.Pool(p).key.ns);
    for (const GroupView* group : groups_) {
      int64_t all = 0;
      for (const Member& member : group->members) {
        all += AcceleratorsIn(*group->spec, desk.Facts().nodes[member.node]->allocatable);
      }
      share_[group->spec->name] = namespaces.empty() ? 0 : all / std::ssize(namespaces);
    }
    for (size_t p = 0; p < desk.Facts().gangs; ++p) {
      const PoolMemory& memory = desk.MemoryOf(p);
      if (memory.placement && !memory.completed) Used(p, memory.placement->node_group) += NeedOf(p);
    }
    for (const size_t pool : desk.InOrder()) queues_[desk.Pool(pool).key.ns].push_back(pool);
    for (auto& [ns, queue] : queues_) std::reverse(queue.begin(), queue.end());
  }

  // Each head once: it starts, or waits for this cycle to pass as another one was faster, or is put
  // aside. False: there are no heads any more.
  bool Run() {
    kept_.clear();
    std::vector<Nominee> nominees;
    for (const auto& [ns, queue] : queues_) {
      if (!queue.empty()) nominees.push_back(Nominate(queue.back()));
    }
    std::sort(nominees.begin(), nominees.end(), [&](const Nominee& a, const Nominee& b) {
      if (a.borrows != b.borrows) return b.borrows;
      return desk_.ComesBefore(a.pool, b.pool);
    });
    for (const Nominee& one : nominees) {
      if (Answer(one)) queues_[desk_.Pool(one.pool).key.ns].pop_back();
    }
    return !nominees.empty();
  }

 private:
  struct Nominee {
    size_t pool = 0;
    const GroupView* group = nullptr;  // nullptr: no group's share is enough for it
    bool fits = false;                 // there, as the cycle begins
    bool borrows = false;
  };

  [[nodiscard]] int64_t NeedOf(size_t pool) const { return desk_.NeedOf(pool); }
  int64_t& Used(size_t pool, const std::string& group) {
    return used_[{desk_.Pool(pool).key.ns, group}];
  }
  [[nodiscard]] bool HasRoom(size_t pool, const GroupView& group) const {
    const auto kept = kept_.find(group.spec->name);
    const int64_t away = kept == kept_.end() ? 0 : kept->second;
    return NeedOf(pool) + away <= desk_.FreeIn(group) && desk_.CanPlace(pool, group);
  }

  // The first group with room, borrowing or not. Without one the first of those whose share is
  // enough, rather where the namespace has as much left of it.
  Nominee Nominate(size_t pool) {
    Nominee best{.pool = pool};
    for (const GroupView* group : groups_) {
      const int64_t share = share_[group->spec->name];
      const bool borrows = Used(pool, group->spec->name) + NeedOf(pool) > share;
      if (HasRoom(pool, *group)) return {pool, group, true, borrows};
      if (NeedOf(pool) > share || (best.group != nullptr && best.borrows <= borrows)) continue;
      best = {pool, group, false, borrows};
    }
    return best;
  }

  // False: it fitted as the cycle began, and others took the room; it stays the head.
  bool Answer(const Nominee& one) {
    if (one.group == nullptr) return true;
    const std::string& group = one.group->spec->name;
    int64_t& used = Used(one.pool, group);
    if (!one.fits) {
      // Nobody else of this cycle gets what it may have a right to.
      const int64_t left = std::max<int64_t>(share_[group] - used, 0);
      kept_[group] += one.borrows ? NeedOf(one.pool) : std::min(NeedOf(one.pool), left);
      return true;
    }
    if (!HasRoom(one.pool, *one.group) || !desk_.Place(one.pool, *one.group)) return false;
    used += NeedOf(one.pool);
    return true;
  }

  Desk& desk_;
  std::vector<const GroupView*> groups_;
  std::map<std::string, int64_t> share_;                         // accelerators, by group
  std::map<std::string, int64_t> kept_;                          // in this cycle, by group
  std::map<std::pair<std::string, std::string>, int64_t> used_;  // by namespace and group
  std::map<std::string, std::vector<size_t>> queues_;            // by namespace, the head last
};

}  // namespace

Plan FirstFitByTier(const Snapshot& snapshot) {
  Desk desk(snapshot);
  for (const size_t pool : desk.InOrder()) {
    for (const GroupView* group : desk.GroupsByTier()) {
      if (desk.Place(pool, *group)) break;
    }
  }
  return desk.Take();
}

Plan EasyWithoutPrice(const Snapshot& snapshot) {
  Desk desk(snapshot);
  std::optional<Kept> kept;
  bool blocked = false;
  for (const size_t pool : desk.InOrder()) {
    std::vector<const GroupView*> groups = desk.GroupsByTier();
    std::stable_sort(groups.begin(), groups.end(), [&](const GroupView* a, const GroupView* b) {
      return desk.FreeIn(*a) > desk.FreeIn(*b);
    });
    const auto placed = std::find_if(groups.begin(), groups.end(), [&](const GroupView* group) {
      return LeavesKept(desk, pool, *group, kept) && desk.Place(pool, *group);
    });
    if (placed == groups.end()) {
      if (!blocked) kept = KeepFor(desk, pool);
      blocked = true;
    } else if (kept && kept->group == *placed) {
      const auto end = EndsBy(desk.Pool(pool), desk.MemoryOf(pool), desk.Facts().now);
      if (!end || *end > kept->by) kept->more -= desk.NeedOf(pool);
    }
  }
  return desk.Take();
}

Plan QueueHeads(const Snapshot& snapshot) {
  Desk desk(snapshot);
  Cycles cycles(desk);
  while (cycles.Run()) {
  }
  return desk.Take();
}

}  // namespace spillway::bench
