#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
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
    // Waits between tries; returns early when `stop` is requested. Empty: sleeps.
    std::function<void(std::chrono::milliseconds, const std::stop_token& stop)> wait{};
  };
  // kInvalid unless lease_duration > renew_deadline > 1.2 × retry_period > 0, and writes have at
  // least a second.
  static Status CheckTimes(const Options& options);
  // Likewise, and unless all are named.
  static Status Check(const Options& options);
  // How long a write may take that passes Valid at any time between a renewal that is answered
  // within a second and the next one: what a lease has left then, at most 8 s.
  static std::chrono::milliseconds WriteDeadline(const Options& options);

  // Uses the transport of `client`, with a deadline of its own (renew_deadline / 4) and outside of
  // the client's limit of requests under way, so that no other work delays a renewal.
  LeaderElector(const Client& client, Clock& clock, Log& log, Options options);

  // Blocks until this process holds the lease; calls `on_leading` once; then renews until `stop`
  // (returns Ok; the lease is still held: Release gives it back) or until the lease is lost or
  // could not be renewed in time (returns the error; the process must end). Before leading, `stop`
  // returns Ok too.
  Status Run(const std::function<void()>& on_leading, const std::stop_token& stop);

  // True if a request that starts now and takes up to `deadline` would end while the lease is still
  // surely ours: before ValidUntil(). Any thread.
  [[nodiscard]] bool Valid(std::chrono::milliseconds deadline) const;
  // The start of the last successful renewal + four fifths of lease_duration, on Clock::Elapsed.
  // Zero while not leading. Any thread.
  [[nodiscard]] std::chrono::nanoseconds ValidUntil() const;
  [[nodiscard]] bool Leading() const;
  // The uid of the Lease as it was last seen; empty without one. In `on_leading`, or when Run has
  // returned.
  [[nodiscard]] std::string LeaseUid() const;

  // Gives the lease back so that another can take over at once. Call only when all writers have
  // stopped and Run has returned. Bounded by renew_deadline. Without the lease, does nothing.
  void Release();

 private:
  // What a Lease says. A change of any of it is a sign of life of its holder.
  struct Record {
    std::string holder;
    int64_t duration_seconds = 0;
    std::string acquired;
    std::string renewed;
    int64_t transitions = 0;
    bool operator==(const Record&) const = default;
  };
  Status TryAcquireOrRenew(const std::stop_token& stop);
  Status KeepRenewed(const std::stop_token& stop);
  Status Look(const std::stop_token& stop);
  Status Write(const Record& record, const std::stop_token& stop);
  Status Observe(const std::string& object);
  [[nodiscard]] bool Mine() const;
  [[nodiscard]] bool Taken() const;
  [[nodiscard]] std::chrono::nanoseconds FreeAt() const;
  [[nodiscard]] std::chrono::milliseconds NextLook() const;
  [[nodiscard]] Record Renewed() const;
  void Wait(std::chrono::milliseconds time, const std::stop_token& stop) const;

  // Constant or synchronise themselves.
  Client client_;
  Clock& clock_;
  Log& log_;
  const Options options_;
  // Election thread only (and Release after it).
  std::mt19937_64 random_;
  std::optional<Record> observed_;
  std::chrono::nanoseconds observed_at_{0};
  std::string
      object_;  // the Lease as last seen, so that what others keep in it survives our writes
  // ValidUntil. No lock: whoever watches over it waits for nobody.
  std::atomic<std::chrono::nanoseconds> valid_until_{std::chrono::nanoseconds{0}};
};

}  // namespace spillway::kube
