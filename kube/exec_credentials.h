#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

#include "base/result.h"
#include "kube/exec_plugin.h"

namespace spillway::kube {

// Keeps what a credential plugin gives: it runs on a thread of its own, once at a time, when there
// is nothing yet, a little before what there is expires (callers go on with that meanwhile), and
// once for every credential that the server refuses. After a failure or a refusal it rests for five
// seconds. Safe from any thread.
class ExecCredentials {
 public:
  using Moment = std::chrono::steady_clock::time_point;
  using Run = std::function<Result<ExecCredential>(const std::stop_token&)>;
  using Ptr = std::shared_ptr<const ExecCredential>;

  explicit ExecCredentials(Run run) : run_(std::move(run)) {}

  // Waits for the plugin only while there is nothing to go on with, until `deadline`.
  // kCancelled: `stop` was requested; kUnavailable: not there by then, or why there is none.
  Result<Ptr> Get(Moment now, Moment deadline, const std::stop_token& stop);

  // The server refused it. Nothing happens where there is a newer one.
  void Distrust(const Ptr& used);

 private:
  [[nodiscard]] bool Holds(Moment now) const;
  [[nodiscard]] bool Wanted(Moment now) const;
  void Start(Moment now);
  void Take(Moment now, Result<ExecCredential> answer);

  const Run run_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  // Guarded.
  Ptr current_;
  std::optional<Moment> stale_at_;  // another is fetched from then on
  std::optional<Moment> dead_at_;   // it proves nothing from then on
  bool refused_ = false;
  std::optional<Error> failure_;  // of the last run
  std::optional<Moment> ran_at_;  // when the last run ended, or the one under way began
  bool running_ = false;

  std::jthread thread_;  // last: it stops first
};

}  // namespace spillway::kube
