#include "kube/work_queue.h"

#include <algorithm>

namespace spillway::kube {
namespace {

using std::chrono::nanoseconds;

// How long a worker sleeps at most: the clock that is asked may be another than that of the sleep.
constexpr std::chrono::seconds kLongestSleep{10};
// 200 ms doubled so often is more than any longest_retry.
constexpr int kMostDoublings = 20;

}  // namespace

WorkQueue::WorkQueue(Clock& clock, Options options, Hooks hooks)
    : clock_(clock), options_(options), hooks_(std::move(hooks)) {}

void WorkQueue::Add(const std::string& key, int priority, nanoseconds after) {
  const nanoseconds now = clock_.Elapsed();
  const std::scoped_lock lock(mutex_);
  if (shut_down_) return;
  Merge(*entries_.try_emplace(key).first, {now + after, priority}, now);
}

void WorkQueue::Retry(const std::string& key, int priority, nanoseconds at_least) {
  const nanoseconds now = clock_.Elapsed();
  const std::scoped_lock lock(mutex_);
  if (shut_down_) return;
  int& failures = failures_[key];
  const nanoseconds grown = options_.first_retry * (1 << std::min(failures, kMostDoublings));
  ++failures;
  if (hooks_.retried) hooks_.retried();
  const nanoseconds after = std::max(std::min(grown, options_.longest_retry), at_least);
  Merge(*entries_.try_emplace(key).first, {now + after, priority}, now);
}

void WorkQueue::Forget(const std::string& key) {
  const std::scoped_lock lock(mutex_);
  failures_.erase(key);
  const auto at = entries_.find(key);
  if (at == entries_.end()) return;
  Entry& entry = at->second;
  const nanoseconds now = clock_.Elapsed();
  if (entry.again && entry.again->due > now) entry.again.reset();
  if (entry.place != Place::kWaiting || entry.wish.due <= now) return;
  waiting_.erase(entry.in_waiting);
  entries_.erase(at);
}

void WorkQueue::CallOff(const std::string& key) {
  const std::scoped_lock lock(mutex_);
  const auto at = entries_.find(key);
  if (at == entries_.end()) return;
  at->second.again.reset();
  if (at->second.place == Place::kTaken) return;
  TakeOut(*at);
  entries_.erase(at);
}

int WorkQueue::Failures(const std::string& key) const {
  const std::scoped_lock lock(mutex_);
  const auto at = failures_.find(key);
  return at == failures_.end() ? 0 : at->second;
}

bool WorkQueue::Waits(const std::string& key) const {
  const nanoseconds now = clock_.Elapsed();
  const std::scoped_lock lock(mutex_);
  const auto at = entries_.find(key);
  if (at == entries_.end()) return false;
  const Entry& entry = at->second;
  if (entry.place == Place::kTaken) return entry.again && entry.again->due > now;
  return entry.place == Place::kWaiting && entry.wish.due > now;
}

const std::string* WorkQueue::Get(int least_priority) {
  std::unique_lock lock(mutex_);
  while (true) {
    const nanoseconds now = clock_.Elapsed();
    MoveDue(now);
    if (Node* node = Next(least_priority, now)) return &node->first;
    if (shut_down_) return nullptr;
    const nanoseconds longest = kLongestSleep;
    const nanoseconds sleep =
        waiting_.empty() ? longest : std::min(waiting_.begin()->first - now, longest);
    ++asleep_;
    wake_.wait_for(lock, sleep, [this, seen = changes_] { return changes_ != seen; });
    --asleep_;
  }
}

void WorkQueue::Done(const std::string& key) {
  const nanoseconds now = clock_.Elapsed();
  const std::scoped_lock lock(mutex_);
  const auto at = entries_.find(key);
  if (at == entries_.end() || at->second.place != Place::kTaken) return;
  if (hooks_.done) hooks_.done(now - at->second.since);
  std::erase(taken_, &*at);
  const std::optional<Wish> again = std::exchange(at->second.again, std::nullopt);
  if (!again) {
    entries_.erase(at);
    return;
  }
  at->second.place = Place::kNowhere;
  Put(*at, *again, now);
}

void WorkQueue::ShutDown() {
  const std::scoped_lock lock(mutex_);
  shut_down_ = true;
  Wake();
}

WorkQueue::Unfinished WorkQueue::Working() const {
  const nanoseconds now = clock_.Elapsed();
  const std::scoped_lock lock(mutex_);
  Unfinished unfinished;
  for (const Node* node : taken_) {
    const nanoseconds time = std::max(now - node->second.since, nanoseconds{0});
    unfinished.all += time;
    unfinished.longest = std::max(unfinished.longest, time);
  }
  return unfinished;
}

size_t WorkQueue::size() const {
  const std::scoped_lock lock(mutex_);
  return entries_.size();
}

// Somebody wants it to be handed out.
void WorkQueue::Merge(Node& node, Wish wish, nanoseconds now) {
  Entry& entry = node.second;
  const bool is_new =
      entry.place == Place::kNowhere || (entry.place == Place::kTaken && !entry.again);
  if (is_new && hooks_.added) hooks_.added();
  const auto merge = [&](const Wish& known) {
    return Wish{std::min(known.due, wish.due), std::max(known.priority, wish.priority)};
  };
  if (entry.place == Place::kTaken) {
    entry.again = entry.again ? merge(*entry.again) : wish;
    return;
  }
  if (entry.place != Place::kNowhere) {
    const nanoseconds asked = wish.due;
    wish = merge(entry.wish);
    // Its time may have come without anybody having looked.
    const bool sooner =
        entry.place == Place::kWaiting && (asked < entry.wish.due || entry.wish.due <= now);
    if (!sooner && wish.priority == entry.wish.priority) return;
    TakeOut(node);
  }
  Put(node, wish, now);
}

void WorkQueue::Put(Node& node, Wish wish, nanoseconds now) {
  Entry& entry = node.second;
  entry.wish = wish;
  if (wish.due > now) {
    const bool first = waiting_.empty() || wish.due < waiting_.begin()->first;
    entry.place = Place::kWaiting;
    entry.in_waiting = waiting_.emplace(wish.due, &node);
    if (first) Wake();  // who sleeps would sleep for too long
    return;
  }
  std::list<Node*>& list = due_[wish.priority];
  entry.place = Place::kDue;
  entry.since = wish.due;
  entry.in_due = list.insert(list.end(), &node);
  if (hooks_.due) hooks_.due(wish.priority, list.size());
  Wake();
}

void WorkQueue::TakeOut(Node& node) {
  Entry& entry = node.second;
  if (entry.place == Place::kWaiting) {
    waiting_.erase(entry.in_waiting);
  } else {
    std::list<Node*>& list = due_[entry.wish.priority];
    list.erase(entry.in_due);
    if (hooks_.due) hooks_.due(entry.wish.priority, list.size());
  }
  entry.place = Place::kNowhere;
}

void WorkQueue::MoveDue(nanoseconds now) {
  while (!waiting_.empty() && waiting_.begin()->first <= now) {
    Node& node = *waiting_.begin()->second;
    TakeOut(node);
    Put(node, node.second.wish, now);
  }
}

// Takes it.
WorkQueue::Node* WorkQueue::Next(int least_priority, nanoseconds now) {
  Node* next = nullptr;
  for (const auto& [priority, list] : due_) {
    if (priority < least_priority) break;
    if (list.empty()) continue;
    Node* first = list.front();
    const bool promoted = now - first->second.since >= options_.promote_after;
    if (!next || (promoted && first->second.since < next->second.since)) next = first;
  }
  if (!next) return nullptr;
  TakeOut(*next);
  Entry& entry = next->second;
  if (hooks_.taken) hooks_.taken(now - entry.since);
  entry.place = Place::kTaken;
  entry.since = now;
  taken_.push_back(next);
  return next;
}

// All of them, as not each takes every priority.
void WorkQueue::Wake() {
  ++changes_;
  if (asleep_ > 0) wake_.notify_all();
}

}  // namespace spillway::kube
