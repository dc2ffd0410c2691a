#include "kube/events.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "kube/types/job.h"

namespace spillway::kube {
namespace {

constexpr size_t kMostWaiting = 1000;
constexpr size_t kMostRemembered = 4096;
constexpr size_t kLongestWord = 128;
constexpr size_t kLongestNote = 1024;
constexpr size_t kLongestName = 253;
constexpr std::chrono::minutes kSameAgain{10};
constexpr int kTries = 5;
constexpr std::chrono::seconds kLongestAsked{60};  // to wait between two tries

// Never in the middle of a character: the server takes UTF-8 only, and counts bytes.
std::string Cut(std::string text, size_t most) {
  if (text.size() <= most) return text;
  const auto continues = [&](size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U;
  };
  while (most > 0 && continues(most)) --most;
  text.resize(most);
  return text;
}

std::string Identity(const EventRecord& record) {
  return record.uid + "\n" + record.reason + "\n" + record.action + "\n" + record.note;
}

}  // namespace

EventRecorder::EventRecorder(const Client& client, Clock& clock, Log& log, Options options)
    : client_(client.WithoutRetries()),
      clock_(clock),
      log_(log),
      options_(std::move(options)),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

EventRecorder::~EventRecorder() { Stop(); }

void EventRecorder::Stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
    Drop(queue_.size());
    queue_.clear();
    waiting_.clear();
  }
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

// REQUIRES mutex_ held.
void EventRecorder::Drop(size_t count) {
  if (count > 0 && options_.dropped) options_.dropped(count);
}

// REQUIRES mutex_ held.
bool EventRecorder::Repeated(const EventRecord& record) {
  const std::chrono::nanoseconds now = clock_.Elapsed();
  const auto old = [&](const auto& entry) { return now - entry.second >= kSameAgain; };
  if (sent_.size() >= kMostRemembered) std::erase_if(sent_, old);
  if (sent_.size() >= kMostRemembered) sent_.clear();
  const auto [at, fresh] = sent_.emplace(Identity(record), now);
  if (fresh || old(*at)) {
    at->second = now;
    return false;
  }
  return true;
}

void EventRecorder::Record(EventRecord record) {
  {
    const std::scoped_lock lock(mutex_);
    if (stopped_) {
      Drop(1);
      return;
    }
    if (Repeated(record)) return;
    std::string ns = record.ns.empty() ? "default" : record.ns;
    Count(ns, 1);
    queue_.push_back({.record = std::move(record), .ns = std::move(ns)});
    if (queue_.size() > kMostWaiting) DropNewestOfMost();
  }
  wake_.notify_one();
}

// REQUIRES mutex_ held.
void EventRecorder::Count(const std::string& ns, int by) {
  const auto at = waiting_.try_emplace(ns).first;
  at->second += by;
  if (at->second == 0) waiting_.erase(at);
}

// So that a namespace of which nothing can be sent takes nobody else's place. Of several that have
// as many, the one that has just got another one gives it up again. REQUIRES mutex_ held, and that
// some wait.
void EventRecorder::DropNewestOfMost() {
  const auto by_count = [](const auto& a, const auto& b) { return a.second < b.second; };
  const auto most = std::ranges::max_element(waiting_, by_count);
  const bool is_last = waiting_.at(queue_.back().ns) == most->second;
  const std::string ns = is_last ? queue_.back().ns : most->first;
  const auto newest =
      std::find_if(queue_.rbegin(), queue_.rend(), [&](const auto& one) { return one.ns == ns; });
  sent_.erase(Identity(newest->record));
  queue_.erase(std::next(newest).base());
  Count(ns, -1);
  Drop(1);
}

// The first whose namespace is not to wait, so that each namespace's go in order. REQUIRES mutex_
// held.
EventRecorder::Queue::iterator EventRecorder::NextToGo() {
  const Moment now = std::chrono::steady_clock::now();
  if (now < all_closed_) return queue_.end();
  std::erase_if(closed_, [&](const auto& entry) { return entry.second <= now; });
  return std::ranges::find_if(queue_, [&](const auto& one) { return !closed_.contains(one.ns); });
}

// REQUIRES mutex_ held, and that all that is there has to wait.
EventRecorder::Moment EventRecorder::SomeMayGoAt() const {
  if (closed_.empty() || std::chrono::steady_clock::now() < all_closed_) return all_closed_;
  const auto by_moment = [](const auto& a, const auto& b) { return a.second < b.second; };
  return std::ranges::min_element(closed_, by_moment)->second;
}

void EventRecorder::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::unique_lock lock(mutex_);
    if (queue_.empty()) {
      idle_.notify_all();
      wake_.wait(lock, stop, [this] { return !queue_.empty(); });
      continue;
    }
    const auto next = NextToGo();
    if (next == queue_.end()) {
      wake_.wait_until(lock, stop, SomeMayGoAt(), [this] { return NextToGo() != queue_.end(); });
      continue;
    }
    Waiting event = std::move(*next);
    queue_.erase(next);
    Count(event.ns, -1);
    sending_ = true;
    lock.unlock();
    Send(std::move(event), stop);
    lock.lock();
    sending_ = false;
  }
}

void EventRecorder::Flush(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  idle_.wait_for(lock, most, [this] { return queue_.empty() && !sending_; });
}

std::string EventRecorder::Body(const EventRecord& record, const std::string& ns) const {
  const auto now = std::chrono::time_point_cast<std::chrono::microseconds>(clock_.NowMillis());
  const std::string suffix =
      fmt::format(".{:x}{}", now.time_since_epoch().count(), HashHex(Identity(record), 4));
  nlohmann::json regarding = {{"apiVersion", record.api_version},
                              {"kind", record.kind},
                              {"name", record.name},
                              {"uid", record.uid}};
  if (!record.ns.empty()) regarding["namespace"] = record.ns;
  const nlohmann::json body = {
      {"apiVersion", EventResource().ApiVersion()},
      {"kind", "Event"},
      {"metadata",
       {{"name", Cut(record.name, kLongestName - suffix.size()) + suffix}, {"namespace", ns}}},
      {"regarding", regarding},
      {"reason", Cut(record.reason, kLongestWord)},
      {"action", Cut(record.action, kLongestWord)},
      {"type", record.warning ? "Warning" : "Normal"},
      {"note", Cut(record.note, kLongestNote)},
      {"eventTime", FormatMicroTime(now)},
      {"reportingController", "spillway.dev/operator"},
      {"reportingInstance", Cut(options_.instance, kLongestWord)}};
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void EventRecorder::Send(Waiting event, const std::stop_token& stop) {
  if (event.body.empty()) event.body = Body(event.record, event.ns);
  const auto sent = client_.Create(EventResource(), event.ns, event.body, {}, stop);
  // A name that exists is this very event, whose answer was lost.
  if (sent || sent.error().code == Code::kExists) return;
  const Error& error = sent.error();
  const bool passes = error.code == Code::kUnavailable || error.code == Code::kUnknown;
  if (passes && ++event.tries < kTries) {
    PutBack(std::move(event), error);
    return;
  }
  if (passes) {
    WaitAsAsked(event, error);
  } else {
    log_.Debug("event refused", {{"object", event.record.name}, {"error", error.message}});
  }
  Forget(event.record);
  const std::scoped_lock lock(mutex_);
  Drop(1);
}

// In front of all, as it is the oldest of its namespace.
void EventRecorder::PutBack(Waiting event, const Error& error) {
  std::chrono::milliseconds wait = options_.first_wait * (1 << (event.tries - 1));
  if (error.retry_after) {
    wait = std::max<std::chrono::milliseconds>(wait, std::min(*error.retry_after, kLongestAsked));
  }
  const std::scoped_lock lock(mutex_);
  if (stopped_) {
    Drop(1);
    return;
  }
  Close(event.ns, error, wait);
  Count(event.ns, 1);
  queue_.push_front(std::move(event));
  if (queue_.size() > kMostWaiting) DropNewestOfMost();
}

// It is given up, but what is next goes no sooner than it could have gone.
void EventRecorder::WaitAsAsked(const Waiting& event, const Error& error) {
  if (!error.retry_after) return;
  const std::scoped_lock lock(mutex_);
  Close(event.ns, error, std::min(*error.retry_after, kLongestAsked));
}

// REQUIRES mutex_ held.
void EventRecorder::Close(const std::string& ns, const Error& error,
                          std::chrono::milliseconds wait) {
  const bool nobody_there = error.http_status == 0 || error.http_status == 503;
  (nobody_there ? all_closed_ : closed_[ns]) = std::chrono::steady_clock::now() + wait;
}

void EventRecorder::Forget(const EventRecord& record) {
  const std::scoped_lock lock(mutex_);
  sent_.erase(Identity(record));
}

}  // namespace spillway::kube
