#include "controllers/pass_metrics.h"

#include <vector>

namespace spillway::controllers {
namespace {

MetricLabels Controller() { return {{"controller", "spillway"}}; }
MetricLabels With(MetricLabels labels, const std::string& name, const std::string& value) {
  labels[name] = value;
  return labels;
}

// As controller-runtime has them.
std::vector<double> PassTimes() {
  return {0.005, 0.01, 0.025, 0.05, 0.1,  0.15, 0.2,  0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6,
          0.7,   0.8,  0.9,   1,    1.25, 1.5,  1.75, 2,    2.5, 3,    3.5, 4,    4.5, 5,
          6,     7,    8,     9,    10,   15,   20,   25,   30,  40,   50,  60};
}
Counter ResultCounter(MetricsRegistry& registry, const std::string& result) {
  return registry.AddCounter("controller_runtime_reconcile_total", "Passes by how they ended.",
                             With(Controller(), "result", result));
}

}  // namespace

PassMetrics::PassMetrics(MetricsRegistry& registry)
    : results_{{Result::kSuccess, ResultCounter(registry, "success")},
               {Result::kError, ResultCounter(registry, "error")},
               {Result::kRequeueAfter, ResultCounter(registry, "requeue_after")}},
      errors_(registry.AddCounter("controller_runtime_reconcile_errors_total",
                                  "Passes of which something that was written was refused.",
                                  Controller())),
      pass_seconds_(registry.AddHistogram("controller_runtime_reconcile_time_seconds",
                                          "Time of a whole pass, with all that it waited for.",
                                          PassTimes(), Controller())),
      active_(registry.AddGauge("controller_runtime_active_workers",
                                "1 while a pass is under way, else 0.", Controller())),
      queue_(registry, "spillway", {{0, ""}}, false) {
  registry
      .AddGauge("controller_runtime_max_concurrent_reconciles", "Always 1: one pass at a time.",
                Controller())
      .Set(1);
}

void PassMetrics::Due() const {
  queue_.Added();
  queue_.Due(0, 1);
}

void PassMetrics::Began(double waited_seconds) const {
  queue_.Due(0, 0);
  active_.Set(1);
  queue_.Taken(waited_seconds);
}

void PassMetrics::Ended(double seconds, Result result) const {
  active_.Set(0);
  pass_seconds_.Observe(seconds);
  queue_.Done(seconds);
  results_.at(result).Increment();
  if (result == Result::kError) errors_.Increment();
}

void PassMetrics::GoingOn(double seconds) const { queue_.GoingOn(seconds, seconds); }

}  // namespace spillway::controllers
