#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "base/clock.h"
#include "kube/transport.h"

namespace spillway {

// Another transport, which knows how long its requests have been under way, and which writes may
// still be done though they have ended; streams, which may last, aside. Thread-safe.
class TimedTransport final : public kube::Transport {
 public:
  TimedTransport(std::unique_ptr<kube::Transport> next, const Clock& clock);

  Status LogIn(const std::stop_token& stop) override;
  Result<kube::HttpResponse> Send(const kube::HttpRequest& request,
                                  const std::stop_token& stop) override;
  Result<kube::HttpResponse> Stream(const kube::HttpRequest& request, const OnBytes& on_bytes,
                                    const std::stop_token& stop) override;

  // The oldest of those under way; 0: there is none.
  [[nodiscard]] std::chrono::nanoseconds Longest() const;
  // Has a write ended within `time` without an answer of the API server: cut off, too late, or with
  // a gateway's word for it? Not of one that changes nothing (a dry run), nor of an event.
  [[nodiscard]] bool HasUnanswered(std::chrono::nanoseconds time) const;

 private:
  const std::unique_ptr<kube::Transport> next_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  // Guarded by mutex_, on Clock::Elapsed.
  std::multiset<std::chrono::nanoseconds> since_;       // of each that is under way
  std::optional<std::chrono::nanoseconds> unanswered_;  // the last write that was
};

}  // namespace spillway
