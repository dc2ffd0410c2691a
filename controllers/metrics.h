#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/clock.h"
#include "base/metrics.h"
#include "controllers/observe.h"
#include "controllers/pass_metrics.h"
#include "controllers/queue_metrics.h"
#include "crds/v1alpha1/common.h"
#include "placement/plan.h"

namespace spillway::controllers {

// Every metric of this folder, declared once; all that have fixed labels are present from the
// start. Gauges of the domain are published by the leader only. Labels come from closed sets, or
// name NodeGroups and namespaces, never pools or pods. Thread-safe.
class Metrics {
 public:
  explicit Metrics(MetricsRegistry& registry);

  // What goes by controller-runtime's names.
  [[nodiscard]] const PassMetrics& Passes() const { return standard_; }
  [[nodiscard]] const QueueMetrics& WriteQueue() const { return write_queue_; }

  void PassDone(double pass_seconds, double plan_seconds) const;
  void CacheWaited(double seconds) const { cache_wait_seconds_.Observe(seconds); }
  void StaleCacheOverridden() const { stale_cache_overrides_.Increment(); }
  void PlanBroken() const { broken_plans_.Increment(); }
  void Wrote(const std::string& kind, bool ok) const;
  void WrittenTooOften() const { written_too_often_.Increment(); }
  void WriteWithheld() const { withheld_.Increment(); }
  void WritesDropped(size_t count) const { dropped_.Increment(static_cast<double>(count)); }
  void Decided(const placement::PoolDecision& decision, Time now) const;
  void Decided(const placement::InferenceDecision& decision) const;
  // All workers of a pool were ready for the first time.
  void Started(double seconds) const { start_seconds_.Observe(seconds); }
  // A condition of an object of this kind changed its status in what was written.
  void Turned(const std::string& kind, const crds::v1alpha1::Condition& now) const;
  void PublishDomain(const placement::Snapshot& snapshot, const placement::Plan& plan) const;
  // The conditions of all objects of ours, as the API server has them.
  void PublishConditions(const World& world) const;

 private:
  void PublishGroups(const placement::Snapshot& snapshot, const placement::Plan& plan) const;
  void PublishPools(const placement::Snapshot& snapshot, const placement::Plan& plan) const;
  void PublishQuotas(const placement::Plan& plan) const;

  PassMetrics standard_;
  QueueMetrics write_queue_;
  Counter passes_;
  Histogram pass_seconds_;
  Histogram plan_seconds_;
  Histogram cache_wait_seconds_;
  Counter stale_cache_overrides_;
  Counter broken_plans_;
  Counter dropped_;
  Counter withheld_;
  Counter written_too_often_;
  Histogram wait_seconds_;
  Histogram start_seconds_;
  std::map<std::pair<std::string, bool>, Counter> writes_;  // kind, ok
  std::map<placement::Action, Counter> decisions_;
  std::map<std::tuple<std::string, std::string, std::string>, Counter>
      turns_;  // kind, condition, status
  GaugeSet group_nodes_;
  GaugeSet group_accelerators_;
  GaugeSet group_cost_;
  GaugeSet group_condition_;
  GaugeSet pools_;
  GaugeSet waiting_since_;
  GaugeSet pool_accelerators_;
  GaugeSet pool_cost_;
  GaugeSet quota_;
  GaugeSet quota_cost_;
  GaugeSet quota_budget_;
  GaugeSet replicas_;
  GaugeSet blocked_cells_;
  GaugeSet conditions_;
};

}  // namespace spillway::controllers
