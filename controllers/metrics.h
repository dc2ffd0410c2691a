#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/metrics.h"
#include "placement/plan.h"

namespace spillway::controllers {

// Every metric of this folder, declared once; all that have fixed labels are present from the
// start. Gauges of the domain are published by the leader only. Labels come from closed sets, or
// name NodeGroups and namespaces, never pools or pods. Thread-safe.
class Metrics {
 public:
  explicit Metrics(MetricsRegistry& registry);

  void PassDone(double pass_seconds, double plan_seconds) const;
  void CacheWaited(double seconds) const { cache_wait_seconds_.Observe(seconds); }
  void StaleCacheOverridden() const { stale_cache_overrides_.Increment(); }
  void PlanBroken() const { broken_plans_.Increment(); }
  void Wrote(const std::string& kind, bool ok) const;
  void WritesDropped(size_t count) const { dropped_.Increment(static_cast<double>(count)); }
  void Decided(const placement::PoolDecision& decision, Time now) const;
  void Decided(const placement::InferenceDecision& decision) const;
  void PublishDomain(const placement::Snapshot& snapshot, const placement::Plan& plan) const;

 private:
  void PublishGroups(const placement::Snapshot& snapshot, const placement::Plan& plan) const;
  void PublishPools(const placement::Snapshot& snapshot, const placement::Plan& plan) const;
  void PublishQuotas(const placement::Plan& plan) const;

  Counter passes_;
  Histogram pass_seconds_;
  Histogram plan_seconds_;
  Histogram cache_wait_seconds_;
  Counter stale_cache_overrides_;
  Counter broken_plans_;
  Counter dropped_;
  Histogram wait_seconds_;
  std::map<std::pair<std::string, bool>, Counter> writes_;  // kind, ok
  std::map<placement::Action, Counter> decisions_;
  GaugeSet group_nodes_;
  GaugeSet group_accelerators_;
  GaugeSet group_cost_;
  GaugeSet group_condition_;
  GaugeSet pools_;
  GaugeSet waiting_since_;
  GaugeSet pool_accelerators_;
  GaugeSet pool_cost_;
  GaugeSet quota_;
  GaugeSet replicas_;
};

}  // namespace spillway::controllers
