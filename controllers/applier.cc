#include "controllers/applier.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "controllers/leaving_nodes.h"
#include "controllers/names.h"
#include "kube/json.h"
#include "kube/types/job.h"
#include "kube/types/node.h"

namespace spillway::controllers {
namespace {

using std::chrono::nanoseconds;

// The clock that is asked may be another than that of the sleep.
constexpr std::chrono::seconds kLongestWait{1};

bool Decides(const WriteList& list) {
  return !list.writes.empty() && list.writes.front().verb == Write::Verb::kStatus;
}

// The statuses first: those who write may begin before the last is added.
std::vector<size_t> InOrder(const std::vector<WriteList>& lists) {
  std::vector<size_t> order;
  order.reserve(lists.size());
  for (const bool deciding : {true, false}) {
    for (size_t i = 0; i < lists.size(); ++i) {
      if (Decides(lists[i]) == deciding) order.push_back(i);
    }
  }
  return order;
}

// How much room several lists give up, by where.
class RoomCount {
 public:
  void Add(const std::set<Spot>& spots, int by) {
    for (const Spot& spot : spots) {
      spots_[spot] += by;
      all_[spot.of] += by;
    }
  }
  // Is any of it where something is taken? But for one's own, which is counted in.
  [[nodiscard]] bool Has(const std::set<Spot>& takes, const std::set<Spot>& own) const {
    return std::ranges::any_of(takes, [&](const Spot& take) {
      const auto all = all_.find(take.of);
      if (all == all_.end() || all->second == 0) return false;
      int count = take.node.empty() ? all->second : At(take) + At({take.of, {}});
      for (const Spot& spot : own) count -= Meet(spot, take) ? 1 : 0;
      return count > 0;
    });
  }

 private:
  static bool Meet(const Spot& one, const Spot& other) {
    return one.of == other.of && (one.node.empty() || other.node.empty() || one.node == other.node);
  }
  [[nodiscard]] int At(const Spot& spot) const {
    const auto at = spots_.find(spot);
    return at == spots_.end() ? 0 : at->second;
  }

  std::map<Spot, int> spots_;
  std::map<std::string, int> all_;
};

// Of a list's status, and of all that follows.
void Prepend(Outcome decision, Outcome& rest) {
  rest.from = decision.from;
  rest.status_written = decision.status_written;
  std::ranges::move(rest.versions, std::back_inserter(decision.versions));
  rest.versions = std::move(decision.versions);
}

Result<kube::ObjectMeta> MetaOf(const std::string& body) {
  kube::JsonParser parser;
  auto root = parser.Parse(body);
  if (!root) return std::move(root).error();
  kube::MetaOnly object;
  if (Status read = kube::DecodeMetaOnly(*root, object); !read) return std::move(read).error();
  return object.meta;
}

NameTaken Taken(const kube::Resource& resource, const std::string& ns, const std::string& name,
                const kube::ObjectMeta& meta) {
  const std::string whose =
      meta.controller.Get().uid.empty()
          ? std::string("is nobody's that Spillway knows")
          : fmt::format("belongs to {} {}", meta.controller.Get().kind, meta.controller.Get().name);
  return {
      &resource, ns, name,
      fmt::format("{} {}/{} exists and {}, and Spillway does not touch it: rename or remove it, "
                  "or give the pool another name",
                  resource.kind, ns, name, whose)};
}

}  // namespace

Result<std::optional<NameTaken>> LookUpName(kube::Client& client, const kube::Resource& resource,
                                            const std::string& ns, const std::string& name,
                                            const std::string& owner_uid,
                                            const std::stop_token& stop) {
  const auto existing = client.Get(resource, ns, name, stop);
  if (!existing && existing.error().code == Code::kNotFound) return std::optional<NameTaken>();
  if (!existing) return existing.error();
  const auto meta = MetaOf(*existing);
  if (!meta) return meta.error();
  if (meta->controller.Get().uid == owner_uid) return std::optional<NameTaken>();
  return std::optional<NameTaken>(Taken(resource, ns, name, *meta));
}

Applier::Applier(kube::Client client, Clock& clock, Log& log, Options options, Hooks hooks)
    : client_(std::move(client)),
      clock_(clock),
      log_(log),
      options_(options),
      hooks_(std::move(hooks)),
      queue_(clock, {},
             {hooks_.queue.due, hooks_.queue.added, {}, hooks_.queue.taken, hooks_.queue.done}),
      again_(clock, {}, {.retried = hooks_.queue.retried}) {
  const int for_statuses = options.threads / 4;
  const int for_news = (options.threads - for_statuses) / 2;
  for (int i = 0; i < options.threads; ++i) {
    const int least = i < for_statuses              ? kWriteStatuses
                      : i < for_statuses + for_news ? kWriteNews
                                                    : kWriteRetries;
    workers_.emplace_back([this, least] { Work(least); });
  }
  workers_.emplace_back([this] { TellOfMoments(); });
}

Applier::~Applier() {
  cut_.request_stop();
  queue_.ShutDown();
  again_.ShutDown();
}

// The lists of one Apply, by their places in it.
struct Applier::Batch {
  std::vector<WriteList> lists;
  std::vector<Errand*> errands;  // null: not begun
  std::vector<bool> refused;     // not to be begun, as the room that it takes is withheld
  std::vector<size_t> undecided;
  RoomCount promised;  // to be given up by lists that are not decided yet
  RoomCount withheld;  // by such as will not
};

std::vector<Applied> Applier::Apply(std::vector<WriteList> lists, const std::set<Spot>& withheld,
                                    const std::stop_token& stop) {
  if (lists.empty()) return {};
  const std::stop_callback cut(stop, [this] { cut_.request_stop(); });
  const size_t count = lists.size();
  Batch batch{std::move(lists), std::vector<Errand*>(count), std::vector<bool>(count), {}, {}, {}};
  batch.withheld.Add(withheld, 1);
  for (const WriteList& list : batch.lists) batch.promised.Add(list.room.gives, 1);
  std::unique_lock lock(mutex_);
  for (std::vector<size_t> left = InOrder(batch.lists); !left.empty();) {
    left = BeginSome(batch, left);
    if (left.empty()) break;
    Wait(lock, [this] { return undecided_ == 0; }, std::nullopt);
    SettleStatuses(batch);
  }
  const nanoseconds until = clock_.Elapsed() + options_.patience;
  if (!Wait(lock, [this] { return open_ == 0; }, until)) {
    Wait(lock, [this] { return undecided_ == 0; }, std::nullopt);
  }
  std::vector<Applied> applied;
  applied.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    applied.push_back(Report(std::move(batch.lists[i]), batch.errands[i]));
    applied.back().outcome.withheld = batch.refused[i];
  }
  return applied;
}

// Under the lock: those that take nothing which others are still to give up. The rest waits. Where
// each waits for another one, the first of them goes alone.
std::vector<size_t> Applier::BeginSome(Batch& batch, const std::vector<size_t>& left) {
  std::vector<size_t> later;
  for (const size_t i : left) {
    const Room& room = batch.lists[i].room;
    if (batch.withheld.Has(room.takes, {})) {
      batch.refused[i] = true;
      batch.promised.Add(room.gives, -1);
      batch.withheld.Add(room.gives, 1);
    } else if (batch.promised.Has(room.takes, room.gives)) {
      later.push_back(i);
    } else {
      BeginOne(batch, i);
    }
  }
  if (later.size() == left.size()) {
    BeginOne(batch, later.front());
    later.erase(later.begin());
  }
  return later;
}

void Applier::BeginOne(Batch& batch, size_t list) {
  batch.errands[list] = Begin(batch.lists[list]);
  batch.undecided.push_back(list);
}

// Under the lock, once everything that was begun is decided: what was not given up is not there.
void Applier::SettleStatuses(Batch& batch) {
  for (const size_t i : std::exchange(batch.undecided, {})) {
    const Errand* errand = batch.errands[i];
    const bool written = errand && (errand->decision || errand->outcome.status_written);
    const std::set<Spot>& gives = batch.lists[i].room.gives;
    batch.promised.Add(gives, -1);
    if (!written) batch.withheld.Add(gives, 1);
  }
}

// Under the lock. Null: the one before has not ended, or was not taken yet.
Applier::Errand* Applier::Begin(WriteList& list) {
  const auto [at, is_new] = errands_.try_emplace(list.key);
  if (!is_new) return nullptr;
  again_.CallOff(list.key);  // its time has come, whether or not that was told
  const bool decides = Decides(list);
  at->second.list = {list.key, list.uid, std::move(list.writes), {}, list.version};
  at->second.decided = !decides;
  if (decides) ++undecided_;
  ++open_;
  queue_.Add(at->first, decides ? kWriteStatuses : PriorityOfRest(at->first));
  return &at->second;
}

// Under the lock.
Applied Applier::Report(WriteList list, Errand* errand) {
  if (!errand) return {std::move(list), {}};
  if (!errand->outcome.ended) {
    errand->awaited = false;
    --open_;
    ++late_;
    return {errand->list, std::exchange(errand->decision, std::nullopt).value_or(Outcome{})};
  }
  Applied applied{std::move(errand->list), std::move(errand->outcome)};
  if (errand->decision) Prepend(*std::move(errand->decision), applied.outcome);
  errands_.erase(applied.list.key);
  return applied;
}

bool Applier::HasLate() const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(errands_,
                             [](const auto& entry) { return entry.second.outcome.ended; });
}

std::vector<Applied> Applier::TakeLate() {
  std::vector<Applied> late;
  const std::scoped_lock lock(mutex_);
  for (auto at = errands_.begin(); at != errands_.end();) {
    Errand& errand = at->second;
    const bool ended = errand.outcome.ended;
    if (ended) late.push_back({std::move(errand.list), std::move(errand.outcome)});
    at = ended ? errands_.erase(at) : std::next(at);
  }
  return late;
}

void Applier::Finish(const std::stop_token& stop) {
  const std::stop_callback cut(stop, [this] { cut_.request_stop(); });
  std::unique_lock lock(mutex_);
  Wait(lock, [this] { return late_ == 0; }, std::nullopt);
}

bool Applier::Wait(std::unique_lock<std::mutex>& lock, const std::function<bool()>& holds,
                   std::optional<nanoseconds> until) {
  waits_ = true;
  bool in_time = true;
  while (in_time && !holds()) {
    const nanoseconds left = until ? *until - clock_.Elapsed() : nanoseconds(kLongestWait);
    in_time = left > nanoseconds{0};
    if (in_time) wake_.wait_for(lock, std::min<nanoseconds>(left, kLongestWait));
  }
  waits_ = false;
  return in_time;
}

// What goes on beside it is no sign that the deciding thread is alive.
void Applier::Progress() const {
  if (waits_) hooks_.progress();
}

bool Applier::IsBusy(const std::string& key) const {
  return errands_.contains(key) || again_.Waits(key);
}

void Applier::CutShort(const std::string& key) {
  if (const auto at = errands_.find(key); at != errands_.end()) at->second.cut_short = true;
}

void Applier::RetryLater(const std::string& key, nanoseconds at_least) {
  again_.Retry(key, 0, at_least);
}

void Applier::TryAgainIn(const std::string& key, nanoseconds time) { again_.Add(key, 0, time); }

int Applier::PriorityOfRest(const std::string& key) const {
  return again_.Failures(key) == 0 ? kWriteNews : kWriteRetries;
}

// However busy those who write are.
void Applier::TellOfMoments() {
  while (const std::string* key = again_.Get(0)) {
    hooks_.news();
    again_.Done(*key);
  }
}

void Applier::Work(int least_priority) {
  while (const std::string* key = queue_.Get(least_priority)) {
    Do(*key);
    queue_.Done(*key);
  }
}

void Applier::Do(const std::string& key) {
  Errand* errand = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    errand = &errands_.find(key)->second;
  }
  const size_t all = errand->list.writes.size();
  if (!errand->decided && all > 1 && DoWrites(*errand, 1)) return GoOn(*errand);
  if (!errand->outcome.error) DoWrites(*errand, all);
  End(*errand);
}

// With what follows from the status, in its turn.
void Applier::GoOn(Errand& errand) {
  const std::scoped_lock lock(mutex_);
  errand.decision = std::exchange(errand.outcome, Outcome{});
  errand.outcome.from = errand.outcome.done = errand.decision->done;
  errand.decided = true;
  --undecided_;
  queue_.Add(errand.list.key, PriorityOfRest(errand.list.key));
  wake_.notify_one();
}

// It belongs to the deciding thread then.
void Applier::End(Errand& errand) {
  bool awaited = true;
  {
    const std::scoped_lock lock(mutex_);
    awaited = errand.awaited;
    if (!errand.decided) --undecided_;
    --(awaited ? open_ : late_);
    errand.outcome.ended = true;
    wake_.notify_one();
  }
  if (!awaited) hooks_.news();
}

bool Applier::DoWrites(Errand& errand, size_t end) {
  Outcome& outcome = errand.outcome;
  for (; outcome.done < end && !errand.cut_short; ++outcome.done) {
    const bool goes_on = ApplyOne(errand.list.writes[outcome.done], outcome);
    Progress();
    if (!goes_on) break;
  }
  if (outcome.error && outcome.error->code != Code::kCancelled) LogFailure(errand);
  return outcome.done == end;
}

void Applier::LogFailure(const Errand& errand) {
  const Error& error = *errand.outcome.error;
  const std::initializer_list<LogField> fields = {
      {"object", errand.list.key}, {"code", CodeName(error.code)}, {"error", error.message}};
  const bool expected = error.code == Code::kConflict;
  expected ? log_.Debug("write refused", fields) : log_.Warn("write failed", fields);
}

bool Applier::Written(const Write& write, Result<std::string> answer, Outcome& outcome) {
  if (!answer) {
    outcome.error = std::move(answer).error().While(
        fmt::format("writing {} {}/{}", write.resource->kind, write.ns, write.name));
    return false;
  }
  if (const auto meta = MetaOf(*answer)) {
    outcome.versions.emplace_back(write.resource, meta->resource_version);
  }
  return true;
}

bool Applier::ApplyOne(const Write& write, Outcome& outcome) {
  const std::stop_token stop = cut_.get_token();
  switch (write.verb) {
    case Write::Verb::kStatus:
      outcome.status_written = Written(write,
                                       client_.UpdateStatus(*write.resource, write.ns, write.name,
                                                            write.body, {kStatusManager}, stop),
                                       outcome);
      return outcome.status_written;
    case Write::Verb::kConfirm:
      return Confirm(write, outcome);
    case Write::Verb::kCreate:
      return Create(write, outcome);
    case Write::Verb::kPatch:
      return Written(
          write,
          client_.Patch(*write.resource, write.ns, write.name, write.body, {kFieldManager}, stop),
          outcome);
    case Write::Verb::kDelete:
      return Delete(write, outcome);
    case Write::Verb::kCollect:
      return Collect(write, outcome);
    case Write::Verb::kProbe:
      return Probe(write, outcome);
    case Write::Verb::kScale:
      outcome.target = LookAtTarget(client_, *write.wish, [this] { Progress(); }, stop);
      for (const std::string& version : outcome.target->node_versions) {
        outcome.versions.emplace_back(&kube::NodeResource(), version);
      }
      return true;
    case Write::Verb::kRelease:
      return Release(write, outcome);
  }
  return false;
}

bool Applier::Create(const Write& write, Outcome& outcome) {
  const std::stop_token stop = cut_.get_token();
  Result<std::string> answer =
      client_.Create(*write.resource, write.ns, write.body, {kFieldManager}, stop);
  if (answer || answer.error().code != Code::kExists) {
    return Written(write, std::move(answer), outcome);
  }
  Result<std::string> existing = client_.Get(*write.resource, write.ns, write.name, stop);
  if (!existing) return Written(write, std::move(existing), outcome);
  const auto meta = MetaOf(*existing);
  if (!meta) {
    outcome.error = meta.error();
    return false;
  }
  if (meta->controller.Get().uid == write.owner_uid && !meta->deleted) {
    return Written(write, std::move(existing), outcome);  // ours: written before, not seen yet
  }
  if (meta->controller.Get().uid == write.owner_uid) {
    outcome.error = Error{Code::kConflict, write.name + " is still being deleted"};
    return false;
  }
  outcome.taken = Taken(*write.resource, write.ns, write.name, *meta);
  return false;
}

bool Applier::Delete(const Write& write, Outcome& outcome) {
  const std::stop_token stop = cut_.get_token();
  Status done = client_.Delete(*write.resource, write.ns, write.name, write.deletion, stop);
  // Gone already, or another object by now: what had to go is gone. Where its state mattered, it
  // may also be there in another one, for the next pass to look at.
  const bool as_seen = !write.deletion.resource_version.empty();
  const bool gone = !done && (done.error().code == Code::kNotFound ||
                              (done.error().code == Code::kConflict && !as_seen));
  if (!done && !gone) {
    outcome.error = std::move(done).error().While(
        fmt::format("deleting {} {}/{}", write.resource->kind, write.ns, write.name));
    return false;
  }
  outcome.deleted_uids.push_back(write.deletion.uid);
  return true;
}

// What the caches say of two pools of one name may be old news of either. Asked now, after the
// child has been seen, the API server knows which of them is there; the other never comes back.
// Likewise of one pool, or node group: what was decided about an older state of it may have been
// overtaken. One that is gone, or has changed, is news that is on its way, as a conflict is.
bool Applier::Confirm(const Write& write, Outcome& outcome) {
  const std::stop_token stop = cut_.get_token();
  auto there = client_.Get(*write.resource, write.ns, write.name, stop);
  if (!there && there.error().code != Code::kNotFound) {
    outcome.error = std::move(there).error().While(fmt::format(
        "looking whether {} {}/{} is there", write.resource->kind, write.ns, write.name));
    return false;
  }
  const auto meta = there ? MetaOf(*there) : Result<kube::ObjectMeta>(there.error());
  const bool is_it = meta && meta->uid == write.owner_uid && !meta->deleted;
  if (is_it && meta->resource_version == write.version) return true;
  outcome.error =
      Error{Code::kConflict, fmt::format("{} {}/{} {} by now", write.resource->kind, write.ns,
                                         write.name, is_it ? "has changed" : "is gone")};
  return false;
}

bool Applier::Collect(const Write& write, Outcome& outcome) {
  const std::stop_token stop = cut_.get_token();
  auto there = client_.Get(*write.owner_kind, write.ns, write.owner_name, stop);
  if (!there) return Written(write, std::move(there), outcome);
  const auto pool = MetaOf(*there);
  if (!pool || pool->uid != write.owner_uid) {
    outcome.error = Error{Code::kConflict, write.owner_name + " is another pool by now"};
    return false;
  }
  return Delete(write, outcome);
}

bool Applier::Release(const Write& write, Outcome& outcome) {
  const std::stop_token stop = cut_.get_token();
  auto version = ReleaseNode(client_, write.name, stop);
  if (!version) {
    outcome.error = std::move(version).error().While(fmt::format("releasing node {}", write.name));
    return false;
  }
  if (*version) outcome.versions.emplace_back(write.resource, **version);
  return true;
}

bool Applier::Probe(const Write& write, Outcome& outcome) {
  const std::stop_token stop = cut_.get_token();
  const auto taken =
      LookUpName(client_, *write.resource, write.ns, write.name, write.owner_uid, stop);
  outcome.probe_free = taken.ok() && !*taken;
  return true;
}

}  // namespace spillway::controllers
