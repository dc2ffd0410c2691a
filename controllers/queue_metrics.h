#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/metrics.h"
#include "kube/work_queue.h"

namespace spillway::controllers {

// One queue under the names that dashboards made for controller-runtime look for. Thread-safe.
class QueueMetrics {
 public:
  // `priorities`: values of that label, by the priority that they stand for. `retries`: whether
  // there is such a thing.
  QueueMetrics(MetricsRegistry& registry, const std::string& name,
               const std::map<int, std::string>& priorities, bool retries);

  void Due(int priority, size_t count) const;  // REQUIRES one of the priorities
  void Added() const { adds_.Increment(); }
  void Retried() const { retries_->Increment(); }  // REQUIRES that there are retries
  void Taken(double due_for_seconds) const { queue_seconds_.Observe(due_for_seconds); }
  void Done(double worked_for_seconds) const { work_seconds_.Observe(worked_for_seconds); }
  // How long what is under way has been, in sum and at most. Called when the metrics are read.
  void GoingOn(double all_seconds, double longest_seconds) const;

  // Of a queue whose priorities these are. They refer to this.
  [[nodiscard]] kube::WorkQueue::Hooks Hooks() const;

 private:
  std::map<int, Gauge> depth_;
  Counter adds_;
  Histogram queue_seconds_;
  Histogram work_seconds_;
  Gauge unfinished_;
  Gauge longest_;
  std::optional<Counter> retries_;
};

}  // namespace spillway::controllers
