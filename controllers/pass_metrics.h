#pragma once

#include <map>
#include <string>

#include "base/metrics.h"
#include "controllers/queue_metrics.h"

namespace spillway::controllers {

// The loop under the names that dashboards made for controller-runtime look for: one controller,
// whose reconciles are the passes, and a queue that has one item while a pass is due. Thread-safe.
class PassMetrics {
 public:
  enum class Result { kSuccess, kError, kRequeueAfter };

  explicit PassMetrics(MetricsRegistry& registry);

  // A pass is due, and none was before.
  void Due() const;
  // One began that had been due for so long.
  void Began(double waited_seconds) const;
  // It took so long. kError: something that was written was refused; kRequeueAfter: time alone
  // makes the next one due.
  void Ended(double seconds, Result result) const;
  // It was ended before it had decided anything.
  void BrokeOff() const { active_.Set(0); }
  // For how long one has been going on; 0: none is. Called when the metrics are read.
  void GoingOn(double seconds) const;

 private:
  std::map<Result, Counter> results_;
  Counter errors_;
  Histogram pass_seconds_;
  Gauge active_;
  QueueMetrics queue_;
};

}  // namespace spillway::controllers
