#include "controllers/queue_metrics.h"

#include <chrono>
#include <vector>

namespace spillway::controllers {
namespace {

// Both queues are one family to Prometheus, which has one sentence for both.
constexpr const char* kDepth =
    "spillway: 1 while a pass is due. spillway-writes: objects that are to be written about, by "
    "what: 2 statuses, 1 what follows from them, 0 likewise where it has failed before.";
constexpr const char* kAdds =
    "spillway: times that a pass became due; further news until it began are part of the same. "
    "spillway-writes: times that an object's status, or what follows from it, was to be written.";
constexpr const char* kQueueTime =
    "spillway: time from the first news that a pass answers until it began. spillway-writes: time "
    "that an object's status, or what follows from it, waited for a writer.";
constexpr const char* kWorkTime =
    "spillway: time of a pass. spillway-writes: time of an object's status, or of what follows.";
constexpr const char* kUnfinished =
    "For how long what is under way has been, in sum. spillway: the pass. spillway-writes: writes.";
constexpr const char* kLongest =
    "For how long that has been which is under way for longest. spillway: the pass. "
    "spillway-writes: writes about one object.";
constexpr const char* kRetries =
    "Objects about which something that was written was refused, to be written anew later.";

MetricLabels Queue(const std::string& name) { return {{"controller", "spillway"}, {"name", name}}; }

std::vector<double> QueueTimes() {
  return {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100, 1000};
}

double InSeconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

QueueMetrics::QueueMetrics(MetricsRegistry& registry, const std::string& name,
                           const std::map<int, std::string>& priorities, bool retries)
    : adds_(registry.AddCounter("workqueue_adds_total", kAdds, Queue(name))),
      queue_seconds_(registry.AddHistogram("workqueue_queue_duration_seconds", kQueueTime,
                                           QueueTimes(), Queue(name))),
      work_seconds_(registry.AddHistogram("workqueue_work_duration_seconds", kWorkTime,
                                          QueueTimes(), Queue(name))),
      unfinished_(registry.AddGauge("workqueue_unfinished_work_seconds", kUnfinished, Queue(name))),
      longest_(
          registry.AddGauge("workqueue_longest_running_processor_seconds", kLongest, Queue(name))) {
  for (const auto& [priority, value] : priorities) {
    MetricLabels labels = Queue(name);
    labels["priority"] = value;
    depth_.emplace(priority, registry.AddGauge("workqueue_depth", kDepth, labels));
  }
  if (retries) retries_ = registry.AddCounter("workqueue_retries_total", kRetries, Queue(name));
}

void QueueMetrics::Due(int priority, size_t count) const {
  depth_.at(priority).Set(static_cast<double>(count));
}

void QueueMetrics::GoingOn(double all_seconds, double longest_seconds) const {
  unfinished_.Set(all_seconds);
  longest_.Set(longest_seconds);
}

kube::WorkQueue::Hooks QueueMetrics::Hooks() const {
  kube::WorkQueue::Hooks hooks;
  hooks.due = [this](int priority, size_t count) { Due(priority, count); };
  hooks.added = [this] { Added(); };
  hooks.retried = [this] { Retried(); };
  hooks.taken = [this](std::chrono::nanoseconds due_for) { Taken(InSeconds(due_for)); };
  hooks.done = [this](std::chrono::nanoseconds worked_for) { Done(InSeconds(worked_for)); };
  return hooks;
}

}  // namespace spillway::controllers
