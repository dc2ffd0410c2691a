#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <set>

#include "base/clock.h"
#include "kube/transport.h"

namespace spillway {

// Another transport, which knows how long its requests have been under way; streams, which may
// last, aside. Thread-safe.
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

 private:
  const std::unique_ptr<kube::Transport> next_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::multiset<std::chrono::nanoseconds> since_;  // guarded; of each, on Clock::Elapsed
};

}  // namespace spillway
