#include "controllers/loop.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <optional>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "controllers/families.h"
#include "controllers/names.h"
#include "controllers/observe_inference.h"
#include "controllers/pool_key_hash.h"
#include "controllers/render.h"

namespace spillway::controllers {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr seconds kHeartbeat{10};
constexpr seconds kForgetDeleted{30};
constexpr std::chrono::milliseconds kFirstRetry{200};
constexpr std::chrono::seconds kLongestForNews{5};
constexpr int kManyConflicts = 16;  // in a row: within about a minute
constexpr seconds kLongestTargetRetry{60};
constexpr int kMostPassesAMinute = 50;
constexpr std::chrono::minutes kPaceOver{1};
// Debug builds look at them all the same, and find what was wrong about that.
#ifdef NDEBUG
constexpr bool kSkipsWhatRests = true;
#else
constexpr bool kSkipsWhatRests = false;
#endif

std::string ListKey(const std::string& kind, const kube::ObjectMeta& meta) {
  return kind + " " + kube::Key(meta);
}

// We have cordoned it, or have yet to undo what else we did to it.
bool IsHeld(const kube::Node& node) {
  return node.meta.annotations.contains(kLeavingAnnotation) ||
         node.meta.annotations.contains(kMachineAnnotation);
}

bool IsOfChild(const Write& write) {
  return write.verb == Write::Verb::kCreate || write.verb == Write::Verb::kPatch ||
         write.verb == Write::Verb::kDelete;
}

// Is the object still as it was decided about?
Write ConfirmOf(const kube::Resource& kind, const kube::ObjectMeta& meta) {
  Write confirm{Write::Verb::kConfirm, &kind, meta.ns, meta.name, {}, meta.uid, {}};
  confirm.version = meta.resource_version;
  return confirm;
}

// What caches tell is of different moments: children that are seen to be missing may have gone with
// their pool, and those that are seen to be too many may follow from what a leader before this one
// has decided. A status that is written first finds that out by its resource version.
void ConfirmPool(const kube::Resource& kind, const kube::ObjectMeta& pool,
                 std::vector<Write>& writes) {
  if (std::ranges::none_of(writes, IsOfChild)) return;
  if (writes.front().verb == Write::Verb::kStatus) return;
  writes.insert(writes.begin(), ConfirmOf(kind, pool));
}

// Or is the target only looked at?
bool MayWrite(const TargetWish& wish) {
  return wish.at_least || (wish.lower_to && !wish.lowered) || !wish.hold.empty();
}

void Append(std::vector<Write> more, std::vector<Write>& to) {
  std::ranges::move(more, std::back_inserter(to));
}

Spot OfGroup(const std::string& group, const std::string& node = {}) {
  return {"group " + group, node};
}
Spot OfLimits(const std::string& ns) { return {"namespace " + ns, {}}; }

// One for each worker.
std::vector<Spot> SpotsOf(const placement::Placement& placement) {
  if (placement.nodes.empty()) return {OfGroup(placement.node_group)};
  std::vector<Spot> spots;
  spots.reserve(placement.nodes.size());
  for (const std::string& node : placement.nodes) {
    spots.push_back(OfGroup(placement.node_group, node));
  }
  return spots;
}

// Who starts anew where it is, as it is, neither gives up nor takes room.
bool IsAsLarge(const placement::Placement& before, const placement::Placement& after) {
  return before.node_group == after.node_group && before.workers == after.workers &&
         before.per_worker == after.per_worker && before.spec_revision == after.spec_revision;
}

Room RoomOf(const placement::PoolMemory& before, const placement::PoolMemory& after) {
  if (before.placement == after.placement) return {};  // as mostly
  const std::vector<Spot> old = before.placement ? SpotsOf(*before.placement) : std::vector<Spot>{};
  const std::vector<Spot> now = after.placement ? SpotsOf(*after.placement) : std::vector<Spot>{};
  const bool as_large =
      before.placement && after.placement && IsAsLarge(*before.placement, *after.placement);
  Room room;
  if (!as_large) {
    room.gives.insert(old.begin(), old.end());
    room.takes.insert(now.begin(), now.end());
    return room;
  }
  std::ranges::set_difference(old, now, std::inserter(room.gives, room.gives.end()));
  std::ranges::set_difference(now, old, std::inserter(room.takes, room.takes.end()));
  return room;
}

Room RoomOf(const placement::InferenceMemory& before, const placement::InferenceMemory& after) {
  if (before.cells == after.cells) return {};               // as mostly
  std::map<std::pair<std::string, std::string>, int> more;  // replicas, by variant and node group
  for (const placement::CellMemory& cell : after.cells) {
    more[{cell.variant, cell.node_group}] += cell.desired;
  }
  for (const placement::CellMemory& cell : before.cells) {
    more[{cell.variant, cell.node_group}] -= cell.desired;
  }
  Room room;
  for (const auto& [cell, replicas] : more) {
    if (replicas < 0) room.gives.insert(OfGroup(cell.second));
    if (replicas > 0) room.takes.insert(OfGroup(cell.second));
  }
  return room;
}

// Pods beyond its replicas that Deployments are seen to make, or may make, while they roll.
Surges SeenSurges(const placement::InferencePool& pool) {
  Surges surges;
  for (const placement::CellFacts& cell : pool.cells) {
    if (cell.rolling && cell.surge > 0) surges[{cell.variant, cell.node_group}] = cell.surge;
  }
  return surges;
}

// Likewise by what is decided.
Surges PlannedSurges(const placement::InferencePool& pool,
                     const placement::InferenceDecision& decision) {
  const Surges seen = SeenSurges(pool);
  Surges surges;
  for (const placement::CellDecision& cell : decision.cells) {
    const bool rolls = cell.roll || seen.contains({cell.variant, cell.node_group});
    if (rolls && cell.surge > 0 && cell.desired > 0) {
      surges[{cell.variant, cell.node_group}] = cell.surge;
    }
  }
  return surges;
}

// Nodes that are given back are nobody's by then.
Room RoomOf(const crds::v1alpha1::NodeGroup& group, const placement::GroupReport& report) {
  Room room;
  if (!report.memory.leaving) return room;
  for (const std::string& node : report.memory.leaving->nodes) {
    room.takes.insert(OfGroup(group.meta.name, node));
  }
  if (!group.status.scale || !group.status.scale->leaving) return room;
  for (const std::string& node : group.status.scale->leaving->nodes) {
    room.takes.erase(OfGroup(group.meta.name, node));
  }
  return room;
}

Room WithLimits(Room room, const std::string& ns) {
  if (!room.gives.empty()) room.gives.insert(OfLimits(ns));
  if (!room.takes.empty()) room.takes.insert(OfLimits(ns));
  return room;
}

double InSeconds(nanoseconds time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

void CheckPlan(const placement::Snapshot& snapshot, const placement::Plan& plan, Log& log,
               const Metrics& metrics) {
  const Status holds = placement::Verify(snapshot, plan);
  const bool scratch = plan == placement::MakePlan(snapshot);
  if (holds && scratch) return;
  metrics.PlanBroken();
  log.Error("the plan breaks an invariant",
            {{"problem", holds ? "it is another than from scratch" : holds.error().message}});
}

// One pass's world, decisions, and the indexes between them. What is indexed by text is so by that
// of the objects themselves, which outlive it: a pass looks up several things of each pool.
struct Loop::Facts {
  template <class T>
  using By = std::unordered_map<std::string_view, T>;
  template <class T>
  using ByKey = std::unordered_map<placement::PoolKey, T, PoolKeyHash>;

  World world;
  std::optional<Families> families;
  const placement::Snapshot* snapshot = nullptr;  // good until the next is seen or decided about
  const placement::Plan* plan = nullptr;          // of it, likewise
  Time now{};
  std::map<std::string, const crds::v1alpha1::NodeGroup*> groups;
  By<const kube::Node*> nodes;
  By<std::vector<Leftover>> leftovers;  // by uid of the pool that has the name now
  // By the pool's place in the world; null: it is on its way out.
  std::vector<const placement::TrainingPool*> pool_facts;
  std::vector<const placement::InferencePool*> inference_facts;
  ByKey<const placement::PoolDecision*> decisions;
  ByKey<const placement::InferenceDecision*> inference_decisions;
  std::map<std::string, const placement::GroupReport*> group_reports;
  std::map<std::string, const placement::QuotaReport*> quota_reports;
  std::set<std::string> deleted_uids;
  kube::JsonParser parser;  // of what Jobs carry
  bool as_before = false;   // decisions are those of the last pass, but for those in `made_anew`
  std::set<const placement::PoolDecision*> made_anew;
  std::vector<bool> training_rests;  // by the pool's place in the world: is nothing to be written?
  std::vector<bool> serving_rests;   // likewise

  // Groups that a pool asked for nodes which waits for the verdict on its template, as all do after
  // a restart: until then they stay as they are, or what is under way would be asked for again.
  std::set<std::string> asked_unchecked;
  // Groups of which pools ask more than stands in their statuses.
  std::set<std::string> asked_unwritten;

  // With what is given up, or taken, of the namespace's limits, where it has any.
  [[nodiscard]] Room Limited(const std::string& ns, Room room) const {
    if (room.gives.empty() && room.takes.empty()) return room;  // as mostly
    return quota_reports.contains(ns) ? WithLimits(std::move(room), ns) : room;
  }

  // Is there no verdict yet on the template of the variant that the pool asked for?
  static bool IsUnchecked(const placement::InferencePool& pool, const placement::CellAsk& ask) {
    return std::any_of(pool.variants.begin(), pool.variants.end(), [&](const auto& variant) {
      return variant.name == ask.variant && variant.template_unchecked &&
             variant.namespace_quota.empty();
    });
  }

  void IndexAsks() {
    for (const placement::TrainingPool& pool : snapshot->pools) {
      const auto& ask = pool.memory.ask;
      if (ask && pool.template_unchecked && pool.namespace_quota.empty()) {
        asked_unchecked.insert(ask->node_group);
      }
    }
    for (const placement::InferencePool& pool : snapshot->inference_pools) {
      for (const placement::CellAsk& ask : pool.memory.asks) {
        if (IsUnchecked(pool, ask)) asked_unchecked.insert(ask.node_group);
      }
      const auto decision = inference_decisions.find(pool.key);
      if (decision == inference_decisions.end()) continue;
      const std::vector<placement::CellAsk>& asks = decision->second->memory.asks;
      if (pool.memory.asks == asks) continue;
      for (const placement::CellAsk& ask : asks) asked_unwritten.insert(ask.node_group);
    }
    const bool any = std::ranges::any_of(
        plan->pools, [](const auto& decision) { return decision.memory.ask.has_value(); });
    if (!any) return;  // as in most passes
    for (const placement::TrainingPool& pool : snapshot->pools) {
      const auto decision = decisions.find(pool.key);
      if (decision == decisions.end()) continue;
      const auto& ask = decision->second->memory.ask;
      if (ask && pool.memory.ask != ask) asked_unwritten.insert(ask->node_group);
    }
  }

  void IndexWorld() {
    for (const auto& group : world.node_groups) groups.emplace(group->meta.name, group.get());
    nodes.reserve(world.nodes.size());
    for (const auto& node : world.nodes) nodes.emplace(node->meta.name, node.get());
    families.emplace(world);
    std::vector<Leftover> orphans;
    std::ranges::copy_if(
        families->Strangers(), std::back_inserter(orphans),
        [](const Leftover& one) { return !one.meta->controller.Get().uid.empty(); });
    if (!orphans.empty()) FindSuccessors(orphans);  // there are none in most passes
  }
  void FindSuccessors(const std::vector<Leftover>& orphans) {
    std::map<std::pair<std::string, std::string>, std::string_view> pools;  // kind and key to uid
    for (const auto& pool : world.training_pools) {
      pools[{"TrainingPool", kube::Key(pool->meta)}] = pool->meta.uid;
    }
    for (const auto& pool : world.inference_pools) {
      pools[{"InferencePool", kube::Key(pool->meta)}] = pool->meta.uid;
    }
    for (const Leftover& orphan : orphans) {
      const kube::ObjectMeta& meta = *orphan.meta;
      const auto pool =
          pools.find({meta.controller.Get().kind, kube::Key(meta.ns, meta.controller.Get().name)});
      if (pool != pools.end()) leftovers[pool->second].push_back(orphan);
    }
  }
  [[nodiscard]] std::vector<Write> Collect(const kube::Resource& kind,
                                           const kube::ObjectMeta& pool) const {
    const auto left = leftovers.find(pool.uid);
    if (left == leftovers.end()) return {};
    return CollectLeftovers(kind, pool, left->second, deleted_uids);
  }

  // A snapshot has the pools of the world in the same order, without those on their way out.
  template <class Pool>
  static std::vector<const Pool*> InPlace(const auto& objects, const std::vector<Pool>& seen) {
    std::vector<const Pool*> places;
    places.reserve(objects.size());
    auto next = seen.begin();
    for (const auto& object : objects) {
      places.push_back(object->meta.deleted ? nullptr : &*next);
      if (!object->meta.deleted) ++next;
    }
    return places;
  }
  void IndexPlan() {
    pool_facts = InPlace(world.training_pools, snapshot->pools);
    inference_facts = InPlace(world.inference_pools, snapshot->inference_pools);
    decisions.reserve(plan->pools.size());
    for (const auto& decision : plan->pools) decisions.emplace(decision.key, &decision);
    for (const auto& decision : plan->inference_pools) {
      inference_decisions.emplace(decision.key, &decision);
    }
    for (const auto& report : plan->groups) group_reports.emplace(report.name, &report);
    for (const auto& report : plan->quotas) quota_reports.emplace(report.ns, &report);
  }

  [[nodiscard]] DiffInput Children(size_t place, const placement::PoolDecision& decision) {
    const Family& family = families->OfTraining(place);
    DiffInput input;
    input.pool = world.training_pools[place].get();
    input.decision = &decision;
    input.deleted_uids = &deleted_uids;
    input.parser = &parser;
    input.jobs = family.jobs;
    input.pods = family.pods;
    if (!family.services.empty()) input.service = family.services.front();
    if (!family.disruption_budgets.empty()) {
      input.disruption_budget = family.disruption_budgets.front();
    }
    input.name_taken = !pool_facts[place]->name_conflict.empty();
    if (!decision.memory.placement) return input;
    const auto& placement = *decision.memory.placement;
    if (const auto at = groups.find(placement.node_group); at != groups.end()) {
      input.group = at->second;
    }
    input.hostnames.reserve(placement.nodes.size());
    for (const std::string& name : placement.nodes) input.hostnames.push_back(Hostname(name));
    return input;
  }

  [[nodiscard]] InferenceDiffInput Children(const crds::v1alpha1::InferencePool& pool,
                                            const Family& family,
                                            const placement::InferenceDecision& decision) const {
    InferenceDiffInput input;
    input.pool = &pool;
    input.decision = &decision;
    input.deleted_uids = &deleted_uids;
    input.groups = groups;
    input.deployments = family.deployments;
    input.pods = family.pods;
    input.services = family.services;
    if (!family.disruption_budgets.empty()) {
      input.disruption_budget = family.disruption_budgets.front();
    }
    return input;
  }

  // Those that may have decided to give the node back.
  [[nodiscard]] std::vector<const kube::ObjectMeta*> ElasticGroupsOf(const kube::Node& node) const {
    std::vector<const kube::ObjectMeta*> metas;
    const placement::Labels labels(node.meta.labels);
    for (const placement::NodeGroup& group : snapshot->groups) {
      const auto at = groups.find(group.name);
      const bool may = group.elastic && at != groups.end() && !at->second->meta.deleted;
      if (may && placement::MatchesAll(labels, group.selector)) {
        metas.push_back(&at->second->meta);
      }
    }
    return metas;
  }

  // What the scheduler matches a pin against; most often the node's name.
  [[nodiscard]] std::string Hostname(const std::string& node) const {
    const auto at = nodes.find(node);
    if (at == nodes.end()) return node;
    const auto label = at->second->meta.labels.find(kHostnameLabel);
    return label == at->second->meta.labels.end() ? node : label->second;
  }
};

// Of the pools that a pass had nothing to write about; the next one has not either, where it sees
// the same objects and decides the same. Keeps alive what it has seen, so that nothing else can
// have its address.
struct Loop::Rested {
  World world;
  std::optional<Families> families;
  std::vector<bool> training;  // by place in the world's list: was there nothing to write?
  std::vector<bool> serving;   // likewise
};

Loop::~Loop() = default;

Loop::Loop(Stores& stores, const kube::Client& client, Clock& clock, Log& log,
           const Metrics& metrics, TemplateChecker& templates, Settings settings, LoopHooks hooks,
           LoopOptions options)
    : stores_(stores),
      clock_(clock),
      log_(log),
      metrics_(metrics),
      templates_(templates),
      settings_(std::move(settings)),
      hooks_(std::move(hooks)),
      options_(options),
      own_writes_([this](const kube::Resource& resource) { return VersionOf(resource); }),
      applier_(client, clock, log, {options.writers, options.patience},
               // However many writes a pass has, the next one is a sign of life.
               {[this] { beat_ = clock_.Elapsed().count(); }, [this] { MarkDirty(); },
                metrics.WriteQueue().Hooks()}) {
  beat_ = clock_.Elapsed().count();
  MarkDirty();
}

void Loop::MarkDirty() {
  {
    const std::scoped_lock lock(mutex_);
    Mark();
  }
  wake_.notify_all();
}

// Under the lock.
void Loop::Mark() {
  ++changes_;
  if (dirty_) return;
  dirty_ = true;
  dirty_since_ = clock_.Elapsed();
  metrics_.Passes().Due();
}

void Loop::Advanced() {
  // Under the lock, so that a pass which has just looked is already waiting when told.
  {
    const std::scoped_lock lock(mutex_);
    LookForAwaited();
  }
  wake_.notify_all();
}

// Under the lock.
void Loop::LookForAwaited() {
  bool is_there = false;
  if (!pods_awaited_.empty() &&
      !kube::NewerVersion(pods_awaited_, stores_.pods.ResourceVersion())) {
    pods_awaited_.clear();
    is_there = true;
  }
  const auto is_seen = [this](const auto& mark) {
    return !kube::NewerVersion(mark.second, VersionOf(*mark.first));
  };
  if (std::erase_if(children_awaited_, is_seen) > 0) is_there = true;
  if (is_there) Mark();
}

// Where a failure's cause is not seen as pods are seen late: that nothing became of them, which is
// no change of theirs, decides as well.
void Loop::AwaitPods(const Facts& facts) {
  const bool awaited = std::ranges::any_of(facts.snapshot->pools, [](const auto& pool) {
    const placement::AttemptFacts& attempt = pool.attempt;
    return attempt.pods_behind && !attempt.disrupted && attempt.failure->worker < 0;
  });
  std::string newest;
  for (const auto& job : facts.world.jobs) {
    if (!awaited) break;
    if (job->failed_condition && kube::NewerVersion(job->meta.resource_version, newest)) {
      newest = job->meta.resource_version;
    }
  }
  const std::scoped_lock lock(mutex_);
  pods_awaited_ = std::move(newest);
  LookForAwaited();
}

// Children that no cache shows yet: nothing is written about their pools before that, or the
// deadline, starts another pass.
void Loop::AwaitChildren() {
  const auto overdue = own_writes_.Look(clock_.Elapsed(), options_.cache_deadline);
  if (!overdue.empty()) metrics_.StaleCacheOverridden();
  for (const std::string& key : overdue) {
    log_.Warn("the cache has not seen children that we wrote in time; going on", {{"object", key}});
  }
  if (const auto oldest = own_writes_.Oldest()) WakeAt(*oldest + options_.cache_deadline);
  const std::scoped_lock lock(mutex_);
  children_awaited_ = own_writes_.Next();
  LookForAwaited();
}

nanoseconds Loop::UntilWake() const {
  const nanoseconds longest = kHeartbeat;
  if (wake_at_ == nanoseconds{0}) return longest;
  return std::clamp(wake_at_ - clock_.Elapsed(), nanoseconds{0}, longest);
}

void Loop::WakeAt(nanoseconds elapsed) {
  if (wake_at_ == nanoseconds{0} || elapsed < wake_at_) wake_at_ = elapsed;
}

bool Loop::WaitForWork(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    beat_ = clock_.Elapsed().count();
    wake_.wait_for(lock, stop, UntilWake(), [this] { return dirty_; });
    const bool due = wake_at_ != nanoseconds{0} && clock_.Elapsed() >= wake_at_;
    if (!dirty_ && !due) continue;
    // Changes come in bursts; one pass answers a burst.
    const nanoseconds end = clock_.Elapsed() + options_.batch_max;
    uint64_t seen = changes_ - 1;
    while (dirty_ && seen != changes_ && clock_.Elapsed() < end && !stop.stop_requested()) {
      seen = changes_;
      wake_.wait_for(lock, stop, options_.batch_idle, [&] { return seen != changes_; });
    }
    return !stop.stop_requested();
  }
  return false;
}

std::string Loop::VersionOf(const kube::Resource& resource) const {
  if (resource.plural == "trainingpools") return stores_.training_pools.ResourceVersion();
  if (resource.plural == "inferencepools") return stores_.inference_pools.ResourceVersion();
  if (resource.plural == "deployments") return stores_.deployments.ResourceVersion();
  if (resource.plural == "nodegroups") return stores_.node_groups.ResourceVersion();
  if (resource.plural == "poolquotas") return stores_.pool_quotas.ResourceVersion();
  if (resource.plural == "nodes") return stores_.nodes.ResourceVersion();
  if (resource.plural == "jobs") return stores_.jobs.ResourceVersion();
  if (resource.plural == "services") return stores_.services.ResourceVersion();
  return stores_.disruption_budgets.ResourceVersion();
}

// For the children that were written last it waits for a moment only: what is still missing then
// holds up its pool alone.
void Loop::WaitForCaches(const std::stop_token& stop) {
  const nanoseconds start = clock_.Elapsed();
  const nanoseconds end = start + options_.cache_deadline;
  const nanoseconds patience_ends = std::min(start + options_.patience, end);
  std::unique_lock lock(mutex_);
  const auto ready = [&] {
    return stores_.Unsynced().empty() && own_writes_.DecisionsAreSeen() &&
           (clock_.Elapsed() >= patience_ends || own_writes_.ChildrenAreSeen());
  };
  for (nanoseconds now = start; !stop.stop_requested() && now < end; now = clock_.Elapsed()) {
    beat_ = now.count();
    const nanoseconds left = (now < patience_ends ? patience_ends : end) - now;
    if (wake_.wait_for(lock, stop, std::min<nanoseconds>(left, kHeartbeat), ready)) break;
  }
  lock.unlock();
  metrics_.CacheWaited(InSeconds(clock_.Elapsed() - start));
  if (!own_writes_.DecisionsAreSeen() && !stop.stop_requested()) {
    metrics_.StaleCacheOverridden();
    log_.Warn("the cache has not seen our own writes in time; going on");
  }
  own_writes_.StopWaiting();
}

void Loop::Run(const std::stop_token& stop, const std::stop_token& abort) {
  while (WaitForWork(stop)) {
    SettleLate();
    WaitForCaches(stop);
    if (stop.stop_requested()) break;
    Pass(abort, stop);
    // It may have told so before the pass that has not seen it.
    if (applier_.HasLate()) MarkDirty();
  }
  applier_.Finish(abort);
  SettleLate();
}

const placement::Snapshot& Loop::TakeSnapshot(const World& world, const Families& families) {
  ObserveInput input;
  input.now = clock_.Now();
  input.settings = &settings_;
  input.render_revision = kRenderRevision;
  input.name_conflicts = &conflict_messages_;
  std::map<std::string, TargetState> targets;
  for (const auto& [uid, target] : targets_) targets.emplace(uid, target.state);
  input.targets = &targets;
  input.ask_template = [&](const TemplateSubject& subject) {
    TemplateAnswer answer = templates_.Ask(subject);
    // Asked again by then, in a quiet cluster too.
    if (const auto again = TemplateChecker::AsksAgainAfter(answer)) {
      WakeAt(clock_.Elapsed() + *again);
    }
    return answer;
  };
  const placement::Snapshot& snapshot = observer_.Observe(world, families, input);
  templates_.ForgetUnasked();
  return snapshot;
}

void Loop::Look(Facts& facts) {
  AwaitChildren();
  facts.world = ReadWorld(stores_);
  facts.IndexWorld();
  facts.snapshot = &TakeSnapshot(facts.world, *facts.families);
  facts.now = facts.snapshot->now;
}

// For the API server's answers about new templates, which come within milliseconds mostly. True:
// it has waited, or some came before it could; what was seen before is old.
bool Loop::AwaitAnswers(const std::stop_token& stop) {
  const seconds wait = passed_ ? options_.answers_wait : options_.first_answers_wait;
  passed_ = true;
  return templates_.WaitForAnswers(wait, [this] { beat_ = clock_.Elapsed().count(); }, stop);
}

// What comes from now on is for the next pass.
void Loop::BeginPass() {
  const std::scoped_lock lock(mutex_);
  if (!dirty_) Mark();  // by time alone
  const nanoseconds now = clock_.Elapsed();
  metrics_.Passes().Began(InSeconds(now - dirty_since_));
  dirty_ = false;
  beat_ = pass_since_ = now.count();
  wake_at_ = nanoseconds{0};
}

void Loop::EndPass(bool decided) {
  const nanoseconds took = PassTime();
  pass_since_ = 0;
  if (!decided) return metrics_.Passes().BrokeOff();
  const auto well = wake_at_ == nanoseconds{0} ? PassMetrics::Result::kSuccess
                                               : PassMetrics::Result::kRequeueAfter;
  metrics_.Passes().Ended(InSeconds(took), refused_ ? PassMetrics::Result::kError : well);
  refused_ = false;
}

nanoseconds Loop::PassTime() const {
  const int64_t since = pass_since_;
  return since == 0 ? nanoseconds{0} : clock_.Elapsed() - nanoseconds{since};
}

void Loop::Pass(const std::stop_token& abort, const std::stop_token& stop) {
  if (!stores_.Unsynced().empty()) return;
  BeginPass();
  EndPass(Decide(abort, stop));
}

// False: it was told to stop before it decided.
bool Loop::Decide(const std::stop_token& abort, const std::stop_token& stop) {
  nanoseconds start = clock_.Elapsed();
  Facts facts;
  Look(facts);
  if (AwaitAnswers(stop)) {
    if (stop.stop_requested()) return false;
    start = clock_.Elapsed();
    facts = {};
    Look(facts);
  }
  const nanoseconds before_plan = clock_.Elapsed();
  facts.plan = &replanner_.Replan(observer_.HandOver());
  facts.snapshot = &replanner_.Last();
  const nanoseconds plan_time = clock_.Elapsed() - before_plan;
#ifndef NDEBUG
  CheckPlan(*facts.snapshot, *facts.plan, log_, metrics_);
#endif
  facts.IndexPlan();
  facts.IndexAsks();
  AwaitPods(facts);
  Forget(facts);
  for (const auto& [uid, when] : deleted_) facts.deleted_uids.insert(uid);
  if (snapshot_requested_.exchange(false) && hooks_.snapshot_wanted) {
    hooks_.snapshot_wanted(*facts.snapshot);
  }
  if (facts.plan->next_wake) {
    const auto left = *facts.plan->next_wake - clock_.NowMillis();
    WakeAt(clock_.Elapsed() + std::max<nanoseconds>(left, nanoseconds{0}) +
           std::chrono::milliseconds(1));
  }
  std::vector<WriteList> lists = CollectWrites(facts);
  if (hooks_.leading()) {
    for (const Applied& applied :
         applier_.Apply(std::move(lists), std::exchange(withheld_, {}), abort)) {
      Settle(applied);
      if (applied.outcome.status_written) Tell(facts, applied.list);
      // The pool was seen to be as it was decided about: by its status, or by a look at it.
      if (applied.outcome.done > 0) TellOfOthers(applied.list);
    }
    metrics_.PublishDomain(*facts.snapshot, *facts.plan);
    metrics_.PublishConditions(facts.world);
  } else {
    // A look at a target alone is none.
    metrics_.WritesDropped(std::count_if(lists.begin(), lists.end(), [](const WriteList& list) {
      return list.writes.front().verb != Write::Verb::kScale;
    }));
    metrics_.PublishDomain({}, {});
    metrics_.PublishConditions({});
  }
  rested_ = std::make_unique<Rested>(Rested{std::move(facts.world), std::move(facts.families),
                                            std::move(facts.training_rests),
                                            std::move(facts.serving_rests)});
  metrics_.PassDone(InSeconds(clock_.Elapsed() - start), InSeconds(plan_time));
  return true;
}

// If so, the end of it starts a pass.
bool Loop::IsBusy(const std::string& kind, const kube::ObjectMeta& meta) const {
  if (applier_.IsIdle() && own_writes_.NoneIsUnseen()) return false;  // as in most passes
  const std::string key = ListKey(kind, meta);
  return applier_.IsBusy(key) || own_writes_.IsUnseen(key);
}

// Nothing is written about a pool whose template is just being judged: the answer starts another
// pass, and a restarted operator has the same to say as before.
bool Loop::AwaitsAnswer(bool unchecked, const std::string& kind, const kube::ObjectMeta& meta) {
  if (!unchecked) {
    if (!unanswered_.empty()) unanswered_.erase(ListKey(kind, meta));
    return false;
  }
  const nanoseconds until =
      unanswered_.try_emplace(ListKey(kind, meta), clock_.Elapsed()).first->second +
      options_.answer_grace;
  if (clock_.Elapsed() >= until) return false;
  WakeAt(until);
  return true;
}

// Numbers settle for a moment, and are then written no more often than the options say.
bool Loop::NumbersDue(const std::string& key) {
  const nanoseconds now = clock_.Elapsed();
  nanoseconds due = numbers_changed_.emplace(key, now).first->second + options_.numbers_settle;
  if (const auto last = numbers_written_.find(key); last != numbers_written_.end()) {
    due = std::max<nanoseconds>(due, last->second + options_.numbers_every);
  }
  if (now >= due && numbers_left_ <= 0) due = now + seconds(1);
  if (now < due) {
    WakeAt(due);
    return false;
  }
  --numbers_left_;
  numbers_changed_.erase(key);
  numbers_written_[key] = now;
  return true;
}

template <class Object, class StatusOf>
std::optional<Write> Loop::StatusWrite(const Object& object, const StatusOf& status,
                                       const kube::Resource& resource, bool at_once) {
  const Change change = Compare(object.status, status);
  if (change == Change::kNone) return std::nullopt;
  const std::string key = ListKey(resource.kind, object.meta);
  if (change == Change::kNumbers && !at_once && !NumbersDue(key)) return std::nullopt;
  if (change == Change::kMeaning || at_once) numbers_changed_.erase(key);
  EventNote note{resource.kind, object.meta.ns, object.meta.name, object.meta.uid, {}};
  to_tell_[key] = {std::move(note), Transitions(object.status, status),
                   Turned(object.status.conditions, status.conditions)};
  return Write{Write::Verb::kStatus,
               &resource,
               object.meta.ns,
               object.meta.name,
               EncodeStatusUpdate(object, status),
               {},
               {}};
}

// Could a pool be as it was in the last pass, as to what its children and its status follow from
// beside it itself?
void Loop::CompareWithLast(Facts& facts) const {
  facts.training_rests.resize(facts.world.training_pools.size());
  facts.serving_rests.resize(facts.world.inference_pools.size());
  const bool same_plan = replanner_.Took() != placement::Replanner::Effort::kAll;
  facts.as_before = rested_ != nullptr && same_plan && facts.deleted_uids.empty() &&
                    facts.leftovers.empty() && refused_children_.empty() &&
                    facts.world.node_groups == rested_->world.node_groups;
  if (!facts.as_before || replanner_.Took() == placement::Replanner::Effort::kNothing) return;
  for (const size_t gang : replanner_.MadeAnew()) {
    facts.made_anew.insert(&facts.plan->pools[gang]);
  }
}

// Does the last pass, which had nothing to write about the pool, speak for this one as well?
bool Loop::Rests(const Facts& facts, size_t place) const {
  const auto& pools = facts.world.training_pools;
  if (!facts.as_before || place >= rested_->training.size() || !rested_->training[place]) {
    return false;
  }
  if (pools[place] != rested_->world.training_pools[place] ||
      facts.families->OfTraining(place) != rested_->families->OfTraining(place)) {
    return false;
  }
  if (facts.made_anew.empty()) return true;
  const auto decision = facts.decisions.find(facts.pool_facts[place]->key);
  return decision != facts.decisions.end() && !facts.made_anew.contains(decision->second);
}

bool Loop::ServingRests(const Facts& facts, size_t place) const {
  return facts.as_before && place < rested_->serving.size() && rested_->serving[place] &&
         facts.world.inference_pools[place] == rested_->world.inference_pools[place] &&
         facts.families->OfServing(place) == rested_->families->OfServing(place);
}

// A pool that nothing is written about now: does that not depend on the time, by which its numbers
// are written, and what was deleted and is still there is deleted once more?
bool Loop::MayRest(const Facts& facts, const std::string& kind,
                   const kube::ObjectMeta& meta) const {
  if (!facts.deleted_uids.empty()) return false;
  return numbers_changed_.empty() || !numbers_changed_.contains(ListKey(kind, meta));
}

std::vector<WriteList> Loop::CollectWrites(Facts& facts) {
  CompareWithLast(facts);
  std::vector<WriteList> lists;
  to_tell_.clear();
  others_.clear();
  withheld_.clear();
  numbers_left_ = options_.number_writes_per_pass;
  for (size_t i = 0; i < facts.world.training_pools.size(); ++i) {
    if (auto list = PoolWrites(facts, i)) lists.push_back(*std::move(list));
  }
  for (size_t i = 0; i < facts.world.inference_pools.size(); ++i) {
    if (auto list = InferenceWrites(facts, i)) lists.push_back(*std::move(list));
  }
  GroupWrites(facts, lists);
  ReleaseWrites(facts, lists);
  QuotaWrites(facts, lists);
  ProbeWrites(facts, lists);
  return lists;
}

// A pool's: its status, then its children.
template <class Object, class StatusOf>
std::optional<WriteList> Loop::ListOf(const Object& object, StatusOf status,
                                      const kube::Resource& kind, std::vector<Write> children,
                                      Room room) {
  const bool is_news = TellRefused(object.meta.uid, children, status.conditions);
  std::vector<Write> writes;
  if (auto write = StatusWrite(object, status, kind, is_news)) writes.push_back(*std::move(write));
  Append(std::move(children), writes);
  ConfirmPool(kind, object.meta, writes);
  if (writes.empty()) return std::nullopt;
  return WriteList{ListKey(kind.kind, object.meta), object.meta.uid, std::move(writes),
                   std::move(room), object.meta.resource_version};
}

// What is only observed neither gives nor takes.
template <class Memory>
Room Loop::RoomFor(const Facts& facts, const std::string& ns, const Memory& before,
                   const Memory& after) const {
  if (settings_.mode != Mode::kEnforce) return {};
  return facts.Limited(ns, RoomOf(before, after));
}

// What it would give up is still its own: its children may just be coming into being there.
void Loop::Withhold(const std::string& kind, const kube::ObjectMeta& meta, const Room& room) {
  if (room.gives.empty()) return;
  withheld_.insert(room.gives.begin(), room.gives.end());
  applier_.CutShort(ListKey(kind, meta));
}

// What a pool's rollouts may take beyond its status, before and after what is decided is written.
void Loop::RememberSurges(const std::string& key, const placement::InferencePool& pool,
                          const placement::InferenceDecision& decision) {
  Surges surges = PlannedSurges(pool, decision);
  for (const auto& [cell, pods] : SeenSurges(pool)) surges[cell] = std::max(surges[cell], pods);
  if (!surges.empty()) {
    surges_[key] = std::move(surges);
  } else if (!surges_.empty()) {  // as mostly
    surges_.erase(key);
  }
}

// Of that, what this pass's plan does not reckon with: it goes by Deployments as they are seen,
// which what was written last may have changed.
void Loop::KeepSurges(const std::string& key, const Surges& planned, Room& room) const {
  const auto written = surges_.find(key);
  if (written == surges_.end()) return;
  for (const auto& [cell, pods] : written->second) {
    const auto known = planned.find(cell);
    if (known == planned.end() || known->second < pods) room.gives.insert(OfGroup(cell.second));
  }
}

std::optional<WriteList> Loop::PoolWrites(Facts& facts, size_t place) {
  const kube::Resource& kind = crds::v1alpha1::TrainingPoolResource();
  const crds::v1alpha1::TrainingPool& object = *facts.world.training_pools[place];
  if (object.meta.deleted) {
    applier_.CutShort(ListKey(kind.kind, object.meta));
    return std::nullopt;
  }
  const bool rests = Rests(facts, place);
  facts.training_rests[place] = rests;
  if (kSkipsWhatRests && rests) return std::nullopt;
  const placement::TrainingPool& pool = *facts.pool_facts[place];
  const auto decision = facts.decisions.find(pool.key);
  if (decision == facts.decisions.end()) return std::nullopt;
  Room room = RoomFor(facts, object.meta.ns, pool.memory, decision->second->memory);
  if (AwaitsAnswer(pool.template_unchecked, kind.kind, object.meta) ||
      IsBusy(kind.kind, object.meta)) {
    Withhold(kind.kind, object.meta, room);
    return std::nullopt;
  }
  std::vector<Write> children;
  if (settings_.mode == Mode::kEnforce) {
    children = facts.Collect(kind, object.meta);
    Append(DiffChildren(facts.Children(place, *decision->second)), children);
  }
  auto list =
      ListOf(object, DesiredStatus(object, *decision->second, pool, settings_.mode, facts.now),
             kind, std::move(children), std::move(room));
  assert(!(rests && list));
  facts.training_rests[place] = !list && MayRest(facts, kind.kind, object.meta);
  return list;
}

std::optional<WriteList> Loop::InferenceWrites(Facts& facts, size_t place) {
  const kube::Resource& kind = crds::v1alpha1::InferencePoolResource();
  const crds::v1alpha1::InferencePool& object = *facts.world.inference_pools[place];
  if (object.meta.deleted) {
    applier_.CutShort(ListKey(kind.kind, object.meta));
    return std::nullopt;
  }
  const bool rests = ServingRests(facts, place);
  facts.serving_rests[place] = rests;
  if (kSkipsWhatRests && rests) return std::nullopt;
  const placement::InferencePool& pool = *facts.inference_facts[place];
  const auto decision = facts.inference_decisions.find(pool.key);
  if (decision == facts.inference_decisions.end()) return std::nullopt;
  Room room = RoomFor(facts, object.meta.ns, pool.memory, decision->second->memory);
  const std::string key = ListKey(kind.kind, object.meta);
  const bool unchecked =
      std::ranges::any_of(pool.variants, [](const auto& v) { return v.template_unchecked; });
  const bool awaits = AwaitsAnswer(unchecked, kind.kind, object.meta);
  const bool busy = IsBusy(kind.kind, object.meta);
  if (busy) KeepSurges(key, PlannedSurges(pool, *decision->second), room);
  if (awaits || busy) {
    Withhold(kind.kind, object.meta, room);
    return std::nullopt;
  }
  std::vector<Write> children;
  if (settings_.mode == Mode::kEnforce) {
    RememberSurges(key, pool, *decision->second);
    InferenceDiffInput input =
        facts.Children(object, facts.families->OfServing(place), *decision->second);
    input.name_taken = !pool.name_conflict.empty();
    for (const placement::Variant& variant : pool.variants) {
      if (!variant.template_invalid.empty()) input.refused.insert(variant.name);
    }
    children = facts.Collect(kind, object.meta);
    Append(DiffChildren(input), children);
    auto scaled = ScaledByOthers(input);  // none, mostly
    if (!scaled.empty()) others_[key] = std::move(scaled);
  }
  auto list =
      ListOf(object, DesiredStatus(object, *decision->second, pool, settings_.mode, facts.now),
             kind, std::move(children), std::move(room));
  assert(!(rests && list));
  facts.serving_rests[place] = !list && MayRest(facts, kind.kind, object.meta);
  return list;
}

// For as long as the child that was refused has to be written, that may be why pods are missing.
// True: that is news.
bool Loop::TellRefused(const std::string& uid, const std::vector<Write>& children,
                       std::vector<crds::v1alpha1::Condition>& conditions) {
  if (refused_children_.empty()) return false;  // as in most passes
  const auto at = refused_children_.find(uid);
  if (at == refused_children_.end()) return false;
  RefusedChild& refused = at->second;
  const bool still = std::ranges::any_of(children, [&](const Write& write) {
    return write.resource == refused.resource && write.name == refused.name;
  });
  if (!still) {
    refused_children_.erase(at);
    return false;
  }
  return TellRefusal(refused.sentence, conditions) && std::exchange(refused.is_news, false);
}

// Somebody scaled a child: its owner is told where to scale instead, once that is being undone.
void Loop::TellOfOthers(const WriteList& list) {
  const auto sentences = others_.find(list.key);
  if (!hooks_.event || sentences == others_.end()) return;
  const placement::PoolKey pool = KeyOf(list.key.substr(list.key.find(' ') + 1));
  for (const std::string& sentence : sentences->second) {
    const auto reason = std::string(placement::ReasonName(placement::Reason::kPlaced));
    hooks_.event({"InferencePool", pool.ns, pool.name, list.uid,
                  Transition{true, reason, "Scale", sentence}});
  }
}

void Loop::GroupWrites(const Facts& facts, std::vector<WriteList>& out) {
  for (const auto& group : facts.world.node_groups) {
    const auto report = facts.group_reports.find(group->meta.name);
    if (group->meta.deleted || report == facts.group_reports.end()) continue;
    if (IsBusy("NodeGroup", group->meta)) continue;
    if (facts.asked_unchecked.contains(group->meta.name)) continue;
    auto look = TargetWrite(facts, *group, *report->second);
    const auto status = DesiredStatus(*group, *report->second, targets_[group->meta.uid].state,
                                      settings_.mode, facts.now);
    WriteList list{ListKey("NodeGroup", group->meta), group->meta.uid, {}};
    if (auto write = StatusWrite(*group, status, crds::v1alpha1::NodeGroupResource())) {
      list.writes.push_back(*std::move(write));
    }
    // After the status: what is asked of the target has been written down before, by this leader
    // or by one whose later word is not seen yet.
    if (look && list.writes.empty() && MayWrite(*look->wish)) {
      list.writes.push_back(ConfirmOf(crds::v1alpha1::NodeGroupResource(), group->meta));
    }
    if (look) list.writes.push_back(*std::move(look));
    list.version = group->meta.resource_version;
    if (settings_.mode == Mode::kEnforce) list.room = RoomOf(*group, *report->second);
    if (!list.writes.empty()) out.push_back(std::move(list));
  }
}

// Nodes that we have cordoned and that nobody gives back any more: the status says so by now. Where
// one of their groups' statuses is just being written, that is for the next pass, which sees it.
void Loop::ReleaseWrites(const Facts& facts, std::vector<WriteList>& out) {
  if (settings_.mode != Mode::kEnforce) return;
  std::set<std::string> leaving;
  for (const auto& group : facts.world.node_groups) {
    const auto& scale = group->status.scale;
    if (!group->spec.elastic || !scale || !scale->leaving) continue;
    leaving.insert(scale->leaving->nodes.begin(), scale->leaving->nodes.end());
  }
  for (const auto& report : facts.plan->groups) {
    const auto& decided = report.memory.leaving;
    if (decided) leaving.insert(decided->nodes.begin(), decided->nodes.end());
  }
  std::set<std::string_view> written;  // uids of groups
  for (const WriteList& list : out) {
    if (list.writes.front().verb == Write::Verb::kStatus) written.insert(list.uid);
  }
  std::vector<WriteList> releases;
  for (const auto& node : facts.world.nodes) {
    if (!IsHeld(*node) || leaving.contains(node->meta.name)) continue;
    if (IsBusy("Node", node->meta)) continue;
    const std::vector<const kube::ObjectMeta*> groups = facts.ElasticGroupsOf(*node);
    if (std::ranges::any_of(groups, [&](const auto* one) { return written.contains(one->uid); })) {
      continue;
    }
    WriteList list{ListKey("Node", node->meta), node->meta.uid, {}};
    list.version = node->meta.resource_version;
    for (const kube::ObjectMeta* group : groups) {
      list.writes.push_back(ConfirmOf(crds::v1alpha1::NodeGroupResource(), *group));
    }
    list.writes.push_back(
        {Write::Verb::kRelease, &kube::NodeResource(), "", node->meta.name, {}, {}, {}});
    releases.push_back(std::move(list));
  }
  std::ranges::move(releases, std::back_inserter(out));
}

// What is asked of the target, and of the nodes that are given back to it.
TargetWish Loop::WishFor(const Facts& facts, const crds::v1alpha1::NodeGroup& group,
                         const placement::GroupReport& report) const {
  TargetWish wish{.target = group.spec.elastic->target, .at_least = {}, .nodes = report.matched};
  const auto is_held = [&](const std::string& name) {
    const auto node = facts.nodes.find(name);
    return node != facts.nodes.end() && IsHeld(*node->second);
  };
  // Of a group that cannot be used as its spec says, nobody knows what it is to scale.
  const bool usable = report.ready_reason != placement::Reason::kMisconfigured;
  if (!usable || settings_.mode != Mode::kEnforce) return wish;
  wish.now = facts.now;
  const auto& leaving = report.memory.leaving;
  // Nothing goes from behind a link that is in doubt.
  wish.gives = report.link_healthy && AwaitsTarget(facts, group, report);
  if (leaving) wish.leaving = leaving->nodes;
  if (leaving && leaving->replicas) {
    wish.lower_to = leaving->replicas;
    wish.lowered = leaving->lowered;
    if (!wish.lowered) return wish;
    // Its replicas are those that stay.
    wish.nodes -= static_cast<int>(std::ranges::count_if(leaving->nodes, is_held));
  } else if (leaving) {
    std::copy_if(leaving->nodes.begin(), leaving->nodes.end(), std::back_inserter(wish.hold),
                 [&](const std::string& name) {
                   const auto node = facts.nodes.find(name);
                   return node != facts.nodes.end() &&
                          !(node->second->unschedulable && IsHeld(*node->second));
                 });
  }
  // Nodes that are out of service still are replicas of the target.
  if (report.memory.desired > report.there) {
    wish.at_least = *report.memory.desired + wish.nodes - report.there.value_or(0);
  }
  return wish;
}

// The target is looked at when the group comes, when more nodes are decided for it than it has, or
// some are given back, and from then on now and then until they are there or gone: somebody else
// may have changed it. One that cannot be scaled is tried again, less and less often.
std::optional<Write> Loop::TargetWrite(const Facts& facts, const crds::v1alpha1::NodeGroup& group,
                                       const placement::GroupReport& report) {
  TargetMemory& memory = targets_[group.meta.uid];
  if (!group.spec.elastic) {
    memory = {};
    return std::nullopt;
  }
  if (memory.target != group.spec.elastic->target) {
    memory = {};
    memory.target = group.spec.elastic->target;
  }
  TargetWish wish = WishFor(facts, group, report);
  const bool usable = report.ready_reason != placement::Reason::kMisconfigured;
  const bool wanted = usable && report.memory.desired > report.there;
  if (!wanted) memory.at_least.reset();  // the next that is wanted is news, however few they are
  const bool gives = AwaitsTarget(facts, group, report);
  if (memory.looked && !wanted && !gives && memory.state.problem.empty()) return std::nullopt;
  if (wish.at_least && facts.asked_unwritten.contains(group.meta.name)) return std::nullopt;
  const bool more = wish.at_least > memory.at_least;
  const bool other = (!wish.hold.empty() && wish.hold != memory.hold) ||
                     (wish.lower_to && wish.lower_to != memory.lower_to);
  const bool anew = (memory.failures == 0 && more) || other;
  if (!anew && clock_.Elapsed() < memory.next_look) {
    WakeAt(memory.next_look);
    return std::nullopt;
  }
  return Write{Write::Verb::kScale, &ScaleResource(), wish.target.ns, wish.target.name, {}, {}, {},
               std::move(wish)};
}

// Nodes are given back, or could be, but not while the target has other replicas than they are.
bool Loop::AwaitsTarget(const Facts& facts, const crds::v1alpha1::NodeGroup& group,
                        const placement::GroupReport& report) const {
  const auto& delay = group.spec.elastic->scale_down_delay_seconds;
  const auto& memory = report.memory;
  if (memory.leaving) return true;
  return delay && memory.spare && facts.now >= memory.spare->since + Seconds(*delay);
}

void Loop::SettleTarget(const WriteList& list, const TargetLook& look) {
  TargetMemory& memory = targets_[list.uid];
  const Write& write = list.writes.back();
  const auto& from = look.raised_from ? look.raised_from : look.lowered_from;
  if (from || look.refused) metrics_.Wrote(write.resource->kind, !look.refused);
  for (size_t i = 0; i < look.node_versions.size(); ++i) metrics_.Wrote("Node", true);
  const bool failed = look.again || !look.problem.empty();
  memory.looked = memory.looked || !look.again;
  memory.at_least = write.wish->at_least;
  memory.hold = write.wish->hold;
  memory.lower_to = write.wish->lower_to;
  memory.failures = failed ? memory.failures + 1 : 0;
  const nanoseconds wait =
      failed ? std::min<nanoseconds>(kFirstRetry * (1 << std::min(memory.failures, 12)),
                                     kLongestTargetRetry)
             : nanoseconds(options_.target_every);
  memory.next_look = clock_.Elapsed() + wait;
  WakeAt(memory.next_look);
  const TargetState before = memory.state;
  if (look.again) {
    // What was sent and not answered may have been done.
    if (look.refused && write.wish->lower_to) memory.state.replicas.reset();
  } else {
    memory.state = {look.replicas ? look.replicas : before.replicas, look.problem, look.fixed,
                    look.stays};
  }
  if (memory.state != before) MarkDirty();  // to be told in the status, and to decide by
  if (look.again) return;
  if (!from) return;
  log_.Info(look.raised_from ? "target raised" : "target lowered",
            {{"object", list.key},
             {"target", TargetKey(memory.target)},
             {"from", std::to_string(*from)},
             {"to", std::to_string(*look.replicas)}});
}

void Loop::QuotaWrites(const Facts& facts, std::vector<WriteList>& out) {
  for (const auto& quota : facts.world.pool_quotas) {
    const auto report = facts.quota_reports.find(quota->meta.ns);
    if (quota->meta.deleted || report == facts.quota_reports.end()) continue;
    if (IsBusy("PoolQuota", quota->meta)) continue;
    const auto status = DesiredStatus(*quota, *report->second, settings_.mode, facts.now);
    if (auto write = StatusWrite(*quota, status, crds::v1alpha1::PoolQuotaResource())) {
      out.push_back({ListKey("PoolQuota", quota->meta),
                     quota->meta.uid,
                     {*std::move(write)},
                     {},
                     quota->meta.resource_version});
    }
  }
}

void Loop::ProbeWrites(const Facts& facts, std::vector<WriteList>& out) {
  if (taken_.empty()) return;
  if (clock_.Elapsed() >= next_probe_) {
    next_probe_ = clock_.Elapsed() + options_.probe_every;
    for (const auto& pool : facts.world.training_pools) {
      const auto at = taken_.find(pool->meta.uid);
      if (at == taken_.end()) continue;
      const NameTaken& name = at->second;
      out.push_back(
          {"name of " + ListKey("TrainingPool", pool->meta),
           pool->meta.uid,
           {{Write::Verb::kProbe, name.resource, name.ns, name.name, {}, pool->meta.uid, {}}}});
    }
    for (const auto& pool : facts.world.inference_pools) {
      const auto at = taken_.find(pool->meta.uid);
      if (at == taken_.end()) continue;
      const NameTaken& name = at->second;
      out.push_back(
          {"name of " + ListKey("InferencePool", pool->meta),
           pool->meta.uid,
           {{Write::Verb::kProbe, name.resource, name.ns, name.name, {}, pool->meta.uid, {}}}});
    }
  }
  WakeAt(next_probe_);
}

void Loop::Settle(const Applied& applied) {
  const WriteList& list = applied.list;
  const Outcome& outcome = applied.outcome;
  bool wrote = false;
  for (size_t w = outcome.from; w < list.writes.size() && w <= outcome.done; ++w) {
    if (list.writes[w].verb == Write::Verb::kProbe) continue;
    if (list.writes[w].verb == Write::Verb::kConfirm) continue;
    if (list.writes[w].verb == Write::Verb::kScale) continue;  // counted if it wrote
    const bool ok = w < outcome.done;
    wrote = wrote || ok;
    if (ok || outcome.error) metrics_.Wrote(list.writes[w].resource->kind, ok);
  }
  if (wrote && outcome.from == 0) CountPasses(list.key);
  if (outcome.withheld) metrics_.WriteWithheld();
  own_writes_.Add(list.key, outcome.versions, clock_.Elapsed());
  for (const std::string& uid : outcome.deleted_uids) deleted_[uid] = clock_.Elapsed();
  if (outcome.target) SettleTarget(list, *outcome.target);
  if (outcome.ended) SettleEnd(list, outcome);
}

// Before the caches are waited for, as they have to see this, too.
void Loop::SettleLate() {
  for (const Applied& applied : applier_.TakeLate()) Settle(applied);
}

// A pass that writes is news for the next one. Where somebody undoes what we write, that has no
// end: it is told, once a minute.
void Loop::CountPasses(const std::string& key) {
  Pace& pace = paces_[key];
  const nanoseconds now = clock_.Elapsed();
  if (now - pace.since >= kPaceOver) pace = {now, 0};
  if (++pace.passes != kMostPassesAMinute + 1) return;
  metrics_.WrittenTooOften();
  log_.Warn("something undoes what is written about an object", {{"object", key}});
}

void Loop::SettleEnd(const WriteList& list, const Outcome& outcome) {
  if (outcome.taken) {
    // What is known already is no news, and must not put the next look off.
    if (taken_.empty()) next_probe_ = clock_.Elapsed() + options_.probe_every;
    std::string& message = conflict_messages_[list.uid];
    if (message != outcome.taken->message) MarkDirty();
    message = outcome.taken->message;
    taken_[list.uid] = *outcome.taken;
  }
  if (outcome.probe_free) {
    conflict_messages_.erase(list.uid);
    taken_.erase(list.uid);
    MarkDirty();
  }
  const bool cut_short = !outcome.error && !outcome.taken && outcome.done < list.writes.size();
  if (cut_short) return;
  if (!outcome.error) {
    applier_.Forget(list.key);
    failing_.erase(list.key);
    refused_children_.erase(list.uid);
    return;
  }
  RememberRefusal(list, outcome);
  const nanoseconds at_least = outcome.error->retry_after.value_or(seconds(0));
  Failing& failing = failing_[list.key];
  failing.uid = list.uid;
  if (outcome.error->code == Code::kConflict) return AwaitNews(list, outcome, at_least);
  failing.conflicts = 0;
  applier_.RetryLater(list.key, at_least);
  refused_ = true;
}

// A conflict means that news is on its way; it is no failure of anybody's. It may take its time.
void Loop::AwaitNews(const WriteList& list, const Outcome& outcome, nanoseconds at_least) {
  Failing& failing = failing_.at(list.key);
  failing.version = list.version;
  const nanoseconds wait =
      std::min<nanoseconds>(kFirstRetry * (1 << std::min(failing.conflicts, 12)), kLongestForNews);
  applier_.TryAgainIn(list.key, std::max(wait, at_least));
  if (++failing.conflicts != kManyConflicts) return;
  log_.Warn("news of an object does not come: it has changed since what its writes follow from",
            {{"object", list.key}, {"error", outcome.error->message}});
}

// A child that the API server will not have, or that is too large to be sent, is for the pool's
// user to mend. It is told once, and stands in the status until it is in.
void Loop::RememberRefusal(const WriteList& list, const Outcome& outcome) {
  const Write& write = list.writes[outcome.done];
  const bool child = write.verb == Write::Verb::kCreate || write.verb == Write::Verb::kPatch;
  const bool refused =
      outcome.error->code == Code::kInvalid || outcome.error->code == Code::kForbidden;
  if (!child || !refused) return;
  RefusedChild now{write.resource, write.name, outcome.error->code,
                   outcome.error->message + "; it is tried again"};
  RefusedChild& known = refused_children_[list.uid];
  // What the server counts in its sentence may have changed, which is no news.
  const bool other = std::tie(known.resource, known.name, known.code) !=
                     std::tie(now.resource, now.name, now.code);
  now.is_news = other || known.is_news;
  known = std::move(now);
  if (!other || !hooks_.event) return;
  const auto reason = std::string(placement::ReasonName(placement::Reason::kPodsNotReady));
  const std::string kind = list.key.substr(0, list.key.find(' '));
  const placement::PoolKey pool = KeyOf(list.key.substr(kind.size() + 1));
  hooks_.event(
      {kind, pool.ns, pool.name, list.uid, Transition{true, reason, "Write", known.sentence}});
}

void Loop::Tell(const Facts& facts, const WriteList& list) {
  const auto told = to_tell_.find(list.key);
  if (told == to_tell_.end()) return;
  auto& [note, transitions, turned] = told->second;
  for (const Turn& turn : turned) metrics_.Turned(note.kind, turn.is);
  if (note.kind == "TrainingPool") {
    const auto decision = facts.decisions.find({note.ns, note.name});
    if (decision != facts.decisions.end()) {
      metrics_.Decided(*decision->second, facts.now);
      if (const auto took = StartLatency(decision->second->memory, turned)) {
        metrics_.Started(static_cast<double>(took->count()));
      }
    }
  }
  if (note.kind == "InferencePool") {
    const auto decision = facts.inference_decisions.find({note.ns, note.name});
    if (decision != facts.inference_decisions.end()) metrics_.Decided(*decision->second);
  }
  if (!hooks_.event) return;
  for (Transition& transition : transitions) {
    note.transition = std::move(transition);
    hooks_.event(note);
  }
}

// Memories about objects that are no longer there, and such as say nothing any more.
void Loop::Forget(const Facts& facts) {
  const nanoseconds now = clock_.Elapsed();
  std::erase_if(deleted_, [&](const auto& entry) { return now - entry.second > kForgetDeleted; });
  std::erase_if(numbers_written_, [&](const auto& entry) {
    return now - entry.second >= nanoseconds(options_.numbers_every);
  });
  std::erase_if(paces_, [&](const auto& entry) { return now - entry.second.since >= kPaceOver; });
  ForgetByKey(facts);
  ForgetByUid(facts);
}

// Most passes remember nothing.
void Loop::ForgetByKey(const Facts& facts) {
  if (failing_.empty() && paces_.empty() && numbers_written_.empty() && numbers_changed_.empty() &&
      unanswered_.empty() && surges_.empty()) {
    return;
  }
  std::unordered_map<std::string, const kube::ObjectMeta*> keys;
  const auto add = [&](const std::string& kind, const auto& objects) {
    for (const auto& object : objects) keys.emplace(ListKey(kind, object->meta), &object->meta);
  };
  add("TrainingPool", facts.world.training_pools);
  add("InferencePool", facts.world.inference_pools);
  add("NodeGroup", facts.world.node_groups);
  add("PoolQuota", facts.world.pool_quotas);
  for (const auto& node : facts.world.nodes) {
    if (IsHeld(*node)) keys.emplace(ListKey("Node", node->meta), &node->meta);
  }
  const auto gone = [&](const auto& entry) { return !keys.contains(entry.first); };
  std::erase_if(failing_, [&](const auto& entry) {
    const auto at = keys.find(entry.first);
    const Failing& failing = entry.second;
    const bool is_other = at == keys.end() || at->second->uid != failing.uid;
    const bool has_news =
        !is_other && failing.conflicts > 0 && at->second->resource_version != failing.version;
    const bool is_over = is_other || has_news;
    if (is_over) applier_.Forget(entry.first);
    return is_over;
  });
  std::erase_if(paces_, gone);
  std::erase_if(numbers_written_, gone);
  std::erase_if(numbers_changed_, gone);
  std::erase_if(unanswered_, gone);
  std::erase_if(surges_, gone);
}

void Loop::ForgetByUid(const Facts& facts) {
  std::unordered_set<std::string_view> uids;
  const auto add = [&](const auto& objects) {
    for (const auto& object : objects) uids.insert(object->meta.uid);
  };
  const auto gone = [&](const auto& entry) { return !uids.contains(entry.first); };
  add(facts.world.node_groups);
  std::erase_if(targets_, gone);
  if (taken_.empty() && conflict_messages_.empty() && refused_children_.empty()) return;
  add(facts.world.training_pools);
  add(facts.world.inference_pools);
  std::erase_if(taken_, gone);
  std::erase_if(conflict_messages_, gone);
  std::erase_if(refused_children_, gone);
}

}  // namespace spillway::controllers
