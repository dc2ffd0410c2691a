#include "kube/exec_credentials.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

namespace spillway::kube {
namespace {

constexpr std::chrono::seconds kRest{5};
// How long before it expires another is fetched: a minute, or a quarter of its time if that is
// less.
constexpr std::chrono::seconds kAhead{60};

std::chrono::seconds LeftOf(const ExecCredential& credential) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return *credential.expires - now;
}

}  // namespace

bool ExecCredentials::Holds(Moment now) const {
  return current_ != nullptr && !refused_ && (!dead_at_ || now < *dead_at_);
}

bool ExecCredentials::Wanted(Moment now) const {
  if (running_) return false;
  if (Holds(now) && (!stale_at_ || now < *stale_at_)) return false;
  const bool rests = failure_ || refused_;
  return !rests || !ran_at_ || now - *ran_at_ >= kRest;
}

void ExecCredentials::Start(Moment now) {
  ran_at_ = now;
  try {
    // The thread before has let go of the lock for good.
    thread_ = std::jthread([this, now](const std::stop_token& stop) {
      const Moment began = std::chrono::steady_clock::now();
      Result<ExecCredential> answer = run_(stop);
      Take(now + (std::chrono::steady_clock::now() - began), std::move(answer));
    });
    running_ = true;
  } catch (const std::system_error& failure) {
    failure_ = Error{Code::kUnavailable,
                     std::string("credentials: no thread for the plugin: ") + failure.what()};
  }
}

// `now`: of its end.
void ExecCredentials::Take(Moment now, Result<ExecCredential> answer) {
  const std::scoped_lock lock(mutex_);
  running_ = false;
  ran_at_ = now;
  if (answer && answer->expires && LeftOf(*answer).count() <= 0) {
    answer = Error{Code::kUnavailable,
                   "what the credential plugin gave expired at " + FormatTime(*answer->expires)};
  }
  if (answer) {
    stale_at_.reset();
    dead_at_.reset();
    if (answer->expires) {
      const std::chrono::nanoseconds left = LeftOf(*answer);
      dead_at_ = now + left;
      stale_at_ = *dead_at_ - std::min<std::chrono::nanoseconds>(kAhead, left / 4);
    }
    current_ = std::make_shared<const ExecCredential>(*std::move(answer));
    refused_ = false;
    failure_.reset();
  } else {
    failure_ = std::move(answer).error().While("credentials");
    // Whatever went wrong here says nothing about the object that a request is for.
    failure_->code = Code::kUnavailable;
  }
  changed_.notify_all();
}

Result<ExecCredentials::Ptr> ExecCredentials::Get(Moment now, Moment deadline,
                                                  const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (Wanted(now)) Start(now);
  if (Holds(now)) return current_;
  if (!changed_.wait_until(lock, stop, deadline, [&] { return !running_; })) {
    if (stop.stop_requested()) return Error{Code::kCancelled, "credentials: stopped"};
    return Error{Code::kUnavailable, "credentials: the plugin has not answered yet"};
  }
  if (Holds(now)) return current_;
  if (failure_) return *failure_;
  return Error{Code::kUnavailable,
               "credentials: the server refused what the plugin gave; it is asked again in 5 s"};
}

void ExecCredentials::Distrust(const Ptr& used) {
  const std::scoped_lock lock(mutex_);
  if (used == current_) refused_ = true;
}

}  // namespace spillway::kube
