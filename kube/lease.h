#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "kube/client.h"

namespace spillway::kube {

// Leader election by a Lease, as client-go does it, with validity counted from before the send.
// Kubernetes offers no fencing; see Valid().
class LeaderElector {
 public:
  struct Options {
    std::string ns;
    std::string name;
    std::string identity;
    std::chrono::seconds lease_duration{15};
    std::chrono::seconds renew_deadline{10};
    std::chrono::seconds retry_period{2};
    uint64_t seed = 1;
  };
  // kInvalid unless lease_duration > renew_deadline > 1.2 × retry_period > 0.
  static Status Check(const Options& options);

  LeaderElector(Client& client, Clock& clock, Log& log, Options options);

  // Blocks until this process holds the lease; calls `on_leading` once; then renews until `stop`
  // (returns Ok; the lease is still held: Release gives it back) or until the lease is lost or could
  // not be renewed in time (returns the error; the process must end). Before leading, `stop` returns
  // Ok too.
  Status Run(const std::function<void()>& on_leading, const std::stop_token& stop);

  // True if a request that starts now and takes up to `deadline` would end while the lease is still
  // surely ours: last successful renewal's start + lease_duration − 2 s. Any thread.
  [[nodiscard]] bool Valid(std::chrono::milliseconds deadline) const;
  // When Valid(0) turns false unless renewed, on Clock::Elapsed. Zero if never held. Any thread.
  [[nodiscard]] std::chrono::nanoseconds ValidUntil() const;
  [[nodiscard]] bool Leading() const;

  // Gives the lease back so that another can take over at once. Call only when all writers have
  // stopped. Bounded by renew_deadline.
  void Release();

 private:
  struct Record {
    std::string holder;
    int64_t duration_seconds = 0;
    std::string acquired;
    std::string renewed;
    int64_t transitions = 0;
    std::string version;  // resource version
    bool operator==(const Record&) const = default;
  };
  Status TryAcquireOrRenew(const std::stop_token& stop);
  Status Write(const Record* old, const std::stop_token& stop);

  Client& client_;
  Clock& clock_;
  Log& log_;
  Options options_;
  // Election thread only.
  std::optional<Record> observed_;
  std::chrono::nanoseconds observed_at_{0};
  // Guarded.
  mutable std::mutex mutex_;
  std::chrono::nanoseconds valid_until_{0};
  bool leading_ = false;
};

}  // namespace spillway::kube
