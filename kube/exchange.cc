#include "kube/exchange.h"

#include <algorithm>
#include <utility>

namespace spillway::kube {
namespace {

// Held for a slow consumer, plus one piece. Whenever it is reached, the library is held and
// resumed, which wakes both threads and takes a task: as rarely as every hundred pods.
constexpr size_t kHandOffBytes = size_t{1} << 20;

using Moment = Exchange::Moment;

void Call(const std::function<void()>& resume) {
  if (resume) resume();
}

}  // namespace

bool Exchange::Put(std::string_view bytes, std::function<void()> resume) {
  const std::scoped_lock lock(mutex_);
  last_byte_ = std::chrono::steady_clock::now();
  if (abandoned_) return true;
  if (Gathers()) {
    const size_t room = max_body_ - std::min(max_body_, bytes_.size());
    bytes_.append(bytes.substr(0, room));
    too_long_ = too_long_ || bytes.size() > room;
    if (too_long_) changed_.notify_all();
    return true;
  }
  bytes_.append(bytes);
  changed_.notify_all();
  if (bytes_.size() < kHandOffBytes) return true;
  resume_ = std::move(resume);
  return false;
}

void Exchange::SetHead(HttpResponse head) {
  std::function<void()> resume;
  {
    const std::scoped_lock lock(mutex_);
    head_ = std::move(head);
    last_byte_ = std::chrono::steady_clock::now();
    if (Gathers()) resume.swap(resume_);
    changed_.notify_all();
  }
  Call(resume);
}

void Exchange::Finish(std::optional<std::string> failure) {
  const std::scoped_lock lock(mutex_);
  finished_ = true;
  failure_ = std::move(failure);
  changed_.notify_all();
}

Exchange::Wake Exchange::Await(Moment deadline, std::chrono::milliseconds idle,
                               std::string& bytes) {
  std::function<void()> resume;
  std::unique_lock lock(mutex_);
  for (;;) {
    if (ended_) return Wake::kEnded;
    if (too_long_ && !streaming_) return Wake::kTooLong;
    const Moment now = std::chrono::steady_clock::now();
    const bool waiting = Streams() && !bytes_.empty();
    if (waiting && now < deadline) break;
    if (finished_ && !waiting) return Wake::kFinished;
    const Moment idle_at = idle.count() > 0 ? last_byte_ + idle : Moment::max();
    if (now >= deadline) return Wake::kDeadline;
    if (now >= idle_at) return Wake::kIdle;
    changed_.wait_until(lock, std::min(deadline, idle_at));
  }
  bytes.clear();
  bytes.swap(bytes_);
  resume.swap(resume_);
  lock.unlock();
  Call(resume);
  return Wake::kBytes;
}

void Exchange::RestartIdle() {
  const std::scoped_lock lock(mutex_);
  last_byte_ = std::chrono::steady_clock::now();
}

HttpResponse Exchange::TakeResponse() {
  const std::scoped_lock lock(mutex_);
  const bool gathered = Gathers();
  HttpResponse response = std::move(head_).value_or(HttpResponse{});
  head_.reset();
  if (gathered) response.body = std::move(bytes_);
  bytes_.clear();
  return response;
}

std::optional<std::string> Exchange::Failure() {
  const std::scoped_lock lock(mutex_);
  return failure_;
}

void Exchange::End() {
  const std::scoped_lock lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

bool Exchange::Abandon() {
  std::function<void()> resume;
  {
    const std::scoped_lock lock(mutex_);
    if (finished_ || std::exchange(abandoned_, true)) return false;
    bytes_ = {};
    resume.swap(resume_);
  }
  Call(resume);
  return true;
}

bool Ledger::Add(const std::shared_ptr<Exchange>& exchange) {
  const std::scoped_lock lock(mutex_);
  if (closing_) return false;
  open_.insert(exchange);
  ++waiting_;
  return true;
}

void Ledger::Left() {
  const std::scoped_lock lock(mutex_);
  --waiting_;
  changed_.notify_all();
}

void Ledger::Finished(const std::shared_ptr<Exchange>& exchange) {
  const std::scoped_lock lock(mutex_);
  open_.erase(exchange);
  changed_.notify_all();
}

bool Ledger::Close(std::chrono::milliseconds deadline,
                   const std::function<void(Exchange&)>& cancel) {
  std::unique_lock lock(mutex_);
  closing_ = true;
  const auto open = open_;
  lock.unlock();  // a library may finish an exchange while it is told to stop
  for (const auto& exchange : open) {
    exchange->End();
    cancel(*exchange);
  }
  lock.lock();
  return changed_.wait_for(lock, deadline, [this] { return open_.empty() && waiting_ == 0; });
}

}  // namespace spillway::kube
