#include "placement/play.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "placement/capacity.h"
#include "placement/constraints.h"
#include "placement/nodes.h"

namespace spillway::placement {
namespace {

constexpr Seconds kLeast{1};

enum class Happening { kReady, kDone, kGone, kReplicaReady, kReplicaGone };

// Something that happens by itself at a moment that is known.
struct Coming {
  Happening what = Happening::kReady;
  PoolKey key;
  int attempt = 0;  // of a gang
  std::string pod;  // of an inference pool
};

// What the player knows of a gang beside its facts.
struct Gang {
  std::optional<size_t> record;  // of those that came
  Seconds saved{0};              // work that is safe in a checkpoint
  int attempt = 0;               // whose pods are there; 0: none
  Time placed{};
  Time bound{};
  Time ready{};
  int64_t accelerators = 0;
};

// A node as it is paid for.
struct NodeAccount {
  size_t group = kNoGroup;
  bool usable = false;
  int64_t accelerators = 0;
  std::optional<Time> last_used;
};

bool IsRented(const NodeGroup& group) {
  return group.capacity_type == CapacityType::kOnDemand ||
         group.capacity_type == CapacityType::kSpot;
}

std::optional<Error> Refusal(const Snapshot& start, const std::vector<Arrival>& arrivals) {
  std::set<PoolKey> keys;
  for (const TrainingPool& pool : start.pools) keys.insert(pool.key);
  for (const Arrival& arrival : arrivals) {
    const TrainingPool& pool = arrival.pool;
    const auto wrong = [&](std::string_view why) {
      return Error{Code::kInvalid, fmt::format("arrival {}: {}", pool.key.Format(), why)};
    };
    if (!keys.insert(pool.key).second) return wrong("there is a TrainingPool of that name already");
    if (arrival.at < Seconds{0}) return wrong("comes before the snapshot's moment");
    if (arrival.runs_for < kLeast) return wrong("must run for 1 s at the least");
    if (pool.memory != PoolMemory() || pool.attempt != AttemptFacts() || !pool.workers.empty()) {
      return wrong("has a status, a Job or workers already");
    }
  }
  return {};
}

class Player {
 public:
  Player(const Snapshot& start, const std::vector<Arrival>& arrivals, const Planner& planner,
         const PlayRules& rules)
      : world_(start), planner_(planner), rules_(rules), news_(start.now) {
    for (const Arrival& arrival : arrivals) arrivals_.push_back(&arrival);
    std::sort(arrivals_.begin(), arrivals_.end(), [](const Arrival* a, const Arrival* b) {
      return std::tie(a->at, a->pool.key) < std::tie(b->at, b->pool.key);
    });
    record_.currency = start.currency;
    record_.began = start.now;
  }

  Result<PlayRecord> Run() {
    OpenBooks();
    for (TrainingPool& pool : world_.pools) TakeOver(pool);
    for (InferencePool& pool : world_.inference_pools) TakeOver(pool);
    for (;;) {
      LetHappen();
      if (++record_.passes > rules_.most_passes) return DoesNotEnd();
      auto plan = planner_(world_);
      if (!plan) return std::move(plan).error().While("at " + FormatTime(world_.now));
      CarryOut(*plan);
      const auto next = Next(plan->next_wake);
      if (!next) break;
      CountUntil(*next, *plan);
      world_.now = *next;
    }
    return CloseBooks();
  }

 private:
  [[nodiscard]] Error DoesNotEnd() const {
    return {Code::kInternal, fmt::format("at {}: no end after {} passes", FormatTime(world_.now),
                                         rules_.most_passes)};
  }

  // ---- the books ----

  void OpenBooks() {
    std::sort(world_.nodes.begin(), world_.nodes.end(),
              [](const Node& a, const Node& b) { return a.id < b.id; });
    const World world = Survey(world_);
    for (const GroupView& view : world.groups) {
      groups_.push_back(*view.spec);
      GroupRecord& record = record_.groups.emplace_back();
      record.name = view.spec->name;
      record.tier = view.spec->tier;
    }
    accounts_.resize(world_.nodes.size());
    for (size_t n = 0; n < world_.nodes.size(); ++n) {
      index_[world_.nodes[n].id] = n;
      clusters_.insert(world_.nodes[n].id.cluster);
      accounts_[n].group = world.owner[n];
      if (accounts_[n].group == kNoGroup) continue;
      const GroupView& view = world.groups[accounts_[n].group];
      const Member* member = view.Find(n);
      accounts_[n].usable = member->state == NodeState::kUsable && !member->overlapped;
      accounts_[n].accelerators = AcceleratorsIn(*view.spec, world_.nodes[n].allocatable);
      ++record_.groups[accounts_[n].group].nodes;
    }
  }

  // So many seconds of the node are paid for from now until then.
  Seconds PaidUntil(Time then, int64_t used, NodeAccount& account) const {
    const Seconds all = then - world_.now;
    if (used > 0) account.last_used = then;
    const bool all_paid = !rules_.release_after || !IsRented(groups_[account.group]);
    if (all_paid || used > 0) return all;
    if (!account.last_used) return Seconds{0};
    return std::clamp(*account.last_used + *rules_.release_after - world_.now, Seconds{0}, all);
  }

  // Nothing changes until then.
  void CountUntil(Time then, const Plan& plan) {
    const int64_t seconds = (then - world_.now).count();
    std::vector<int64_t> idle(groups_.size());
    for (size_t n = 0; n < accounts_.size(); ++n) {
      NodeAccount& account = accounts_[n];
      if (account.group == kNoGroup) continue;
      const int64_t used = AcceleratorsIn(groups_[account.group], world_.nodes[n].used);
      const int64_t paid = PaidUntil(then, used, account).count();
      GroupRecord& record = record_.groups[account.group];
      record.node_seconds += paid;
      record.paid += paid * account.accelerators;
      record.used += seconds * used;
      if (account.usable) idle[account.group] += account.accelerators - used;
    }
    if (plan.groups.size() == groups_.size()) {
      for (size_t g = 0; g < groups_.size(); ++g) {
        record_.groups[g].reserved += seconds * std::max<int64_t>(idle[g] - plan.groups[g].free, 0);
      }
    }
    for (const TrainingPool& pool : world_.pools) {
      if (pool.memory.placement || pool.memory.completed) continue;
      if (GangRecord* record = RecordOf(pool.key)) record->waited += then - world_.now;
    }
  }

  PlayRecord CloseBooks() {
    for (auto& [key, gang] : gangs_) {
      if (gang.attempt > 0) CountAttempt(gang, world_.now, Seconds::max());
    }
    for (size_t g = 0; g < groups_.size(); ++g) {
      GroupRecord& group = record_.groups[g];
      group.bill = groups_[g].per_node_hour.Share(group.node_seconds, 3600);
      if (group.paid > 0) group.idle = group.bill.Share(group.paid - group.used, group.paid);
    }
    std::sort(record_.gangs.begin(), record_.gangs.end(),
              [](const GangRecord& a, const GangRecord& b) { return a.key < b.key; });
    record_.ended = world_.now;
    return std::move(record_);
  }

  // The pods of the gang's attempt stop now; of its work so much may be safe.
  void CountAttempt(Gang& gang, Time now, Seconds safe) {
    const Seconds worked = std::max(now - gang.ready, Seconds{0});
    const Seconds saved = std::min(worked, safe);
    gang.saved += saved;
    if (!gang.record) return;
    GangRecord& record = record_.gangs[*gang.record];
    record.overhead += gang.accelerators * (now - gang.bound - worked).count();
    record.useful += gang.accelerators * saved.count();
    record.lost += gang.accelerators * (worked - saved).count();
  }

  GangRecord* RecordOf(const PoolKey& key) {
    const auto at = gangs_.find(key);
    if (at == gangs_.end() || !at->second.record) return nullptr;
    return &record_.gangs[*at->second.record];
  }

  // ---- what happens by itself ----

  TrainingPool* Find(const PoolKey& key) {
    const auto at = std::find_if(world_.pools.begin(), world_.pools.end(),
                                 [&](const TrainingPool& pool) { return pool.key == key; });
    return at == world_.pools.end() ? nullptr : &*at;
  }

  void Expect(Time at, Coming coming) { coming_.emplace(at, std::move(coming)); }
  [[nodiscard]] Time After(Seconds seconds) const { return world_.now + std::max(seconds, kLeast); }

  // What is in the snapshot goes on from where it is. A gang that is not bound yet is bound anew.
  void TakeOver(TrainingPool& pool) {
    Gang& gang = gangs_[pool.key];
    const auto& placement = pool.memory.placement;
    const int present = placement ? placement->attempt : 0;
    std::set<int> old;
    bool all_ready = true;
    bool all_bound = true;
    for (const Worker& worker : pool.workers) {
      if (worker.attempt != present) {
        old.insert(worker.attempt);
        continue;
      }
      gang.attempt = present;
      all_ready = all_ready && worker.ready;
      all_bound = all_bound && !worker.node.empty();
    }
    for (const int attempt : old) ExpectGone(pool, attempt);
    if (!all_bound) {
      TakeAway(pool, present);
      gang.attempt = 0;
    }
    if (gang.attempt == 0) return;
    gang.placed = placement->since;
    gang.bound = gang.ready = world_.now;
    gang.accelerators = AcceleratorsOf(pool, *placement);
    if (!all_ready) ExpectReady(pool.key, gang);
  }

  // What is asked of it stays as it is: a signal that is heard now is heard all along.
  void TakeOver(InferencePool& pool) {
    if (pool.demand && world_.now < pool.demand->SilentFrom()) pool.demand.reset();
    for (const Replica& replica : pool.live) {
      if (!replica.ready && !replica.node.empty()) ExpectReady(pool, replica);
    }
  }

  void ExpectReady(const PoolKey& key, Gang& gang) {
    gang.ready = After(rules_.startup);
    Expect(gang.ready, {Happening::kReady, key, gang.attempt, {}});
  }
  void ExpectGone(const TrainingPool& pool, int attempt) {
    Expect(After(std::min(rules_.stop, pool.checkpoint_grace)),
           {Happening::kGone, pool.key, attempt, {}});
  }
  void ExpectReady(const InferencePool& pool, const Replica& replica) {
    Seconds startup{0};
    for (const Variant& variant : pool.variants) {
      if (variant.name == replica.variant) startup = variant.startup;
    }
    Expect(After(startup), {Happening::kReplicaReady, pool.key, 0, replica.pod});
  }
  void ExpectGone(const InferencePool& pool, const Replica& replica) {
    Expect(After(rules_.stop), {Happening::kReplicaGone, pool.key, 0, replica.pod});
  }

  void LetHappen() {
    while (!arrivals_.empty() && record_.began + arrivals_.front()->at <= world_.now) {
      Arrive(*arrivals_.front());
      arrivals_.pop_front();
    }
    while (!coming_.empty() && coming_.begin()->first <= world_.now) {
      const Coming coming = std::move(coming_.begin()->second);
      coming_.erase(coming_.begin());
      news_ = world_.now;
      if (coming.what == Happening::kReplicaReady || coming.what == Happening::kReplicaGone) {
        HappenToReplica(coming);
      } else if (TrainingPool* pool = Find(coming.key)) {
        HappenToGang(coming, *pool);
      }
    }
    Forget();
  }

  void Arrive(const Arrival& arrival) {
    news_ = world_.now;
    Gang& gang = gangs_[arrival.pool.key];
    gang.record = record_.gangs.size();
    GangRecord& record = record_.gangs.emplace_back();
    record.key = arrival.pool.key;
    record.arrived = world_.now;
    record.runs_for = arrival.runs_for;
    world_.pools.push_back(arrival.pool);
  }

  void HappenToGang(const Coming& coming, TrainingPool& pool) {
    Gang& gang = gangs_.at(pool.key);
    if (coming.what == Happening::kGone) {
      TakeAway(pool, coming.attempt);
      return;
    }
    if (coming.attempt != gang.attempt) return;
    if (coming.what == Happening::kDone) {
      Complete(pool, gang);
      return;
    }
    for (Worker& worker : pool.workers) {
      if (worker.attempt == coming.attempt) worker.running = worker.ready = true;
    }
    if (!gang.record) return;
    const Seconds left = record_.gangs[*gang.record].runs_for - gang.saved;
    Expect(world_.now + left, {Happening::kDone, pool.key, gang.attempt, {}});
  }

  void Complete(TrainingPool& pool, Gang& gang) {
    CountAttempt(gang, world_.now, Seconds::max());
    TakeAway(pool, gang.attempt);
    gang.attempt = 0;
    pool.attempt.complete = true;
    pool.attempt.succeeded = pool.memory.placement->workers;
  }

  void TakeAway(TrainingPool& pool, int attempt) {
    for (const Worker& worker : pool.workers) {
      Node* node = worker.attempt == attempt && !worker.ended ? NodeOf(ClusterOf(pool), worker.node)
                                                              : nullptr;
      if (node != nullptr) node->used.Subtract(worker.requests);
    }
    std::erase_if(pool.workers, [&](const Worker& worker) { return worker.attempt == attempt; });
  }

  // Of a pod that is there, or was when its pool had another place: most likely in the cluster.
  Node* NodeOf(std::string_view cluster, const std::string& name) {
    auto at = index_.find(NodeId{.cluster = std::string(cluster), .name = name});
    for (const std::string& other : clusters_) {
      if (at == index_.end()) at = index_.find(NodeId{.cluster = other, .name = name});
    }
    return at == index_.end() ? nullptr : &world_.nodes[at->second];
  }

  void HappenToReplica(const Coming& coming) {
    for (InferencePool& pool : world_.inference_pools) {
      if (pool.key != coming.key) continue;
      const auto at = std::find_if(pool.live.begin(), pool.live.end(),
                                   [&](const Replica& one) { return one.pod == coming.pod; });
      if (at == pool.live.end()) continue;
      if (coming.what == Happening::kReplicaReady) {
        at->ready = true;
        continue;
      }
      const NodeGroup* group = GroupOf(at->node_group);
      Node* node = NodeOf(group == nullptr ? "" : group->cluster, at->node);
      if (node != nullptr) node->used.Subtract(at->requests);
      pool.live.erase(at);
    }
  }

  // Those that have ended, once their pods are gone.
  void Forget() {
    std::erase_if(world_.pools, [&](const TrainingPool& pool) {
      return pool.memory.completed && pool.workers.empty() && RecordOf(pool.key) != nullptr;
    });
  }

  // ---- what is decided ----

  void CarryOut(const Plan& plan) {
    std::map<PoolKey, const TrainingPool*> before;
    for (const TrainingPool& pool : world_.pools) before[pool.key] = &pool;
    for (const PoolDecision& decision : plan.pools) Note(*before.at(decision.key), decision);
    world_ = Applied(world_, plan);
    for (TrainingPool& pool : world_.pools) Follow(pool);
    for (InferencePool& pool : world_.inference_pools) Follow(pool);
    Forget();
  }

  // What the pool's record says of the decision.
  void Note(const TrainingPool& pool, const PoolDecision& decision) {
    GangRecord* record = RecordOf(pool.key);
    if (record == nullptr || pool.memory.completed) return;
    const auto& before = pool.memory.placement;
    const auto& after = decision.memory.placement;
    const auto& evictions = decision.memory.evictions;
    if (after && (!before || before->attempt != after->attempt)) {
      ++record->attempts;
      record->accelerators = AcceleratorsOf(pool, *after);
      if (after->tier > 0 && (!before || before->tier == 0)) ++record->spills;
      if (!record->started) record->started = world_.now;
    }
    if (before && decision.memory.last_move != pool.memory.last_move) ++record->moves;
    if (before && !evictions.empty() && evictions != pool.memory.evictions &&
        evictions.back().time == world_.now) {
      ++record->preemptions;
    }
    record->state = after ? GangState::kRunning : GangState::kWaiting;
    if (!decision.memory.completed) return;
    record->ended = world_.now;
    record->state = decision.memory.succeeded ? GangState::kCompleted : GangState::kFailed;
  }

  void Follow(TrainingPool& pool) {
    Gang& gang = gangs_.at(pool.key);
    const auto& placement = pool.memory.placement;
    if (gang.attempt > 0 && (!placement || placement->attempt != gang.attempt)) Stop(pool, gang);
    const bool starts = placement && pool.attempt.exists && !pool.memory.completed;
    if (starts && gang.attempt == 0) Bind(pool, gang);
  }

  void Stop(TrainingPool& pool, Gang& gang) {
    const Seconds interval = std::max(pool.checkpoint_interval, kLeast);
    const Time checkpoint = gang.placed + (world_.now - gang.placed) / interval * interval;
    CountAttempt(gang, world_.now, std::max(checkpoint - gang.ready, Seconds{0}));
    std::erase_if(coming_, [&](const auto& entry) {
      const Coming& coming = entry.second;
      return coming.key == pool.key && coming.attempt == gang.attempt &&
             coming.what != Happening::kReplicaReady && coming.what != Happening::kReplicaGone;
    });
    ExpectGone(pool, gang.attempt);
    if (gang.record) {
      const Seconds stops = std::max(std::min(rules_.stop, pool.checkpoint_grace), kLeast);
      record_.gangs[*gang.record].overhead += gang.accelerators * stops.count();
    }
    gang.attempt = 0;
    news_ = world_.now;
  }

  [[nodiscard]] const NodeGroup* GroupOf(const std::string& name) const {
    const auto at = std::find_if(groups_.begin(), groups_.end(),
                                 [&](const NodeGroup& group) { return group.name == name; });
    return at == groups_.end() ? nullptr : &*at;
  }

  static bool HasRoom(const Node& node, const Resources& request) {
    Resources free = node.allocatable;
    free.Subtract(node.used);
    return free.Covers(request);
  }

  // All its workers on its nodes, as many on each as fit; none where not all do, until they do.
  void Bind(TrainingPool& pool, Gang& gang) {
    const Placement& placement = *pool.memory.placement;
    const NodeGroup* group = GroupOf(placement.node_group);
    if (group == nullptr) return;
    const Resources request = RequestIn(pool, *group);
    int bound = 0;
    for (const std::string& name : placement.nodes) {
      Node* node = NodeOf(placement.cluster, name);
      for (; node != nullptr && bound < placement.workers && HasRoom(*node, request); ++bound) {
        Worker& worker = pool.workers.emplace_back();
        worker.index = bound;
        worker.attempt = placement.attempt;
        worker.pod = fmt::format("{}-train-{}-{}", pool.key.name, worker.attempt, worker.index);
        worker.node = name;
        worker.requests = request;
        node->used.Add(request);
      }
    }
    if (bound < placement.workers) {
      TakeAway(pool, placement.attempt);
      return;
    }
    gang.attempt = placement.attempt;
    gang.placed = placement.since;
    gang.bound = world_.now;
    gang.accelerators = AcceleratorsOf(pool, placement);
    ExpectReady(pool.key, gang);
    news_ = world_.now;
  }

  // ---- replicas ----

  void Follow(InferencePool& pool) {
    for (Replica& replica : pool.live) {
      if (!replica.terminating && !IsWanted(pool, replica)) replica.terminating = true;
    }
    for (const CellFacts& cell : pool.cells) Fill(pool, cell);
    for (Replica& replica : pool.live) {
      const bool is_told = IsExpected(pool.key, replica.pod);
      if (replica.terminating && !is_told) ExpectGone(pool, replica);
      if (replica.node.empty() && !replica.terminating) Bind(pool, replica);
    }
  }

  [[nodiscard]] bool IsExpected(const PoolKey& key, const std::string& pod) const {
    return std::any_of(coming_.begin(), coming_.end(), [&](const auto& entry) {
      const Coming& coming = entry.second;
      return coming.what == Happening::kReplicaGone && coming.key == key && coming.pod == pod;
    });
  }

  static bool IsOf(const CellFacts& cell, const Replica& replica) {
    return cell.variant == replica.variant && cell.node_group == replica.node_group;
  }

  static bool IsWanted(const InferencePool& pool, const Replica& replica) {
    return std::any_of(pool.cells.begin(), pool.cells.end(),
                       [&](const CellFacts& cell) { return IsOf(cell, replica); });
  }

  // As many replicas as were decided: of those too many, the ones that serve least go.
  void Fill(InferencePool& pool, const CellFacts& cell) {
    std::vector<size_t> live;
    for (size_t r = 0; r < pool.live.size(); ++r) {
      if (IsOf(cell, pool.live[r]) && !pool.live[r].terminating) live.push_back(r);
    }
    std::stable_sort(live.begin(), live.end(),
                     [&](size_t a, size_t b) { return pool.live[a].ready && !pool.live[b].ready; });
    for (size_t i = static_cast<size_t>(cell.replicas); i < live.size(); ++i) {
      pool.live[live[i]].terminating = true;
    }
    for (auto count = std::ssize(live); count < cell.replicas; ++count) {
      Replica& replica = pool.live.emplace_back();
      replica.pod = fmt::format("{}-play-{}", pool.key.name, ++replicas_);
      replica.variant = cell.variant;
      replica.node_group = cell.node_group;
      replica.since = world_.now;
      replica.revision = cell.revision;
    }
  }

  // On the first of the group's nodes that has room.
  void Bind(const InferencePool& pool, Replica& replica) {
    const NodeGroup* group = GroupOf(replica.node_group);
    const auto variant =
        std::find_if(pool.variants.begin(), pool.variants.end(),
                     [&](const Variant& one) { return one.name == replica.variant; });
    if (group == nullptr || variant == pool.variants.end()) return;
    const TrainingPool one = ReplicaAsGang(pool, *variant);
    const Resources request = RequestIn(one, *group);
    for (size_t n = 0; n < accounts_.size(); ++n) {
      Node& node = world_.nodes[n];
      const bool here = accounts_[n].usable && groups_[accounts_[n].group].name == group->name;
      if (!here || !HasRoom(node, request) || !ConstraintsHold(one, *group, node)) continue;
      replica.node = node.id.name;
      replica.requests = request;
      node.used.Add(request);
      ExpectReady(pool, replica);
      return;
    }
  }

  // ---- when something happens next ----

  [[nodiscard]] bool IsOver() const {
    return arrivals_.empty() && std::all_of(gangs_.begin(), gangs_.end(), [&](const auto& entry) {
             const Gang& gang = entry.second;
             return !gang.record || record_.gangs[*gang.record].ended;
           });
  }

  [[nodiscard]] std::optional<Time> Next(std::optional<Time> wake) const {
    if (IsOver()) return std::nullopt;
    std::optional<Time> next;
    if (!arrivals_.empty()) next = record_.began + arrivals_.front()->at;
    if (!coming_.empty() && (!next || coming_.begin()->first < *next)) {
      next = coming_.begin()->first;
    }
    if (!wake || (next && *next <= *wake)) return next;
    if (!next && *wake > news_ + rules_.patience) return std::nullopt;
    return wake;
  }

  Snapshot world_;
  const Planner& planner_;
  const PlayRules& rules_;
  std::deque<const Arrival*> arrivals_;  // that are still to come, the first one first
  Time news_;  // when last something happened by itself, or a gang started or stopped
  std::vector<NodeGroup> groups_;      // by name
  std::vector<NodeAccount> accounts_;  // in the order of world_.nodes
  std::map<NodeId, size_t> index_;     // in world_.nodes
  std::set<std::string> clusters_;     // of these
  std::map<PoolKey, Gang> gangs_;
  std::multimap<Time, Coming> coming_;
  int replicas_ = 0;  // made so far
  PlayRecord record_;
};

}  // namespace

std::string_view Name(GangState state) {
  constexpr std::array<std::string_view, 4> kNames = {"Waiting", "Running", "Completed", "Failed"};
  return kNames.at(static_cast<size_t>(state));
}

Result<Plan> VerifiedPlan(const Snapshot& snapshot) {
  Plan plan = MakePlan(snapshot);
  if (Status sound = Verify(snapshot, plan); !sound) {
    return std::move(sound).error().While("the plan is broken");
  }
  return plan;
}

Result<PlayRecord> Play(const Snapshot& start, const std::vector<Arrival>& arrivals,
                        const Planner& planner, const PlayRules& rules) {
  if (auto refusal = Refusal(start, arrivals)) return *std::move(refusal);
  return Player(start, arrivals, planner, rules).Run();
}

}  // namespace spillway::placement
