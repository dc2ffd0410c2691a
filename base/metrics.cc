#include "base/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <mutex>

namespace spillway {

struct MetricsRegistry::Impl {
  prometheus::Registry registry;
};

namespace {

// The series of one GaugeSet that exist now. The registry outlives it: it owns the family.
struct SetState {
  prometheus::Family<prometheus::Gauge>* family = nullptr;
  std::mutex mutex;
  std::map<MetricLabels, prometheus::Gauge*> series;
};

}  // namespace

void Counter::Increment(double by) const {
  static_cast<prometheus::Counter*>(handle_)->Increment(by);
}
void Gauge::Set(double value) const { static_cast<prometheus::Gauge*>(handle_)->Set(value); }
void Histogram::Observe(double value) const {
  static_cast<prometheus::Histogram*>(handle_)->Observe(value);
}

void GaugeSet::Replace(const std::vector<Sample>& samples) const {
  auto& state = *static_cast<SetState*>(state_.get());
  const std::scoped_lock lock(state.mutex);
  std::map<MetricLabels, prometheus::Gauge*> kept;
  for (const Sample& sample : samples) {
    prometheus::Gauge& gauge = state.family->Add(sample.labels);
    gauge.Set(sample.value);
    kept.emplace(sample.labels, &gauge);
  }
  for (const auto& [labels, gauge] : state.series) {
    if (!kept.contains(labels)) state.family->Remove(gauge);
  }
  state.series = std::move(kept);
}

MetricsRegistry::MetricsRegistry() : impl_(std::make_unique<Impl>()) {}
MetricsRegistry::~MetricsRegistry() = default;

Counter MetricsRegistry::AddCounter(std::string_view name, std::string_view help,
                                    const MetricLabels& labels) {
  return Counter(&prometheus::BuildCounter()
                      .Name(std::string(name))
                      .Help(std::string(help))
                      .Register(impl_->registry)
                      .Add(labels));
}

Gauge MetricsRegistry::AddGauge(std::string_view name, std::string_view help,
                                const MetricLabels& labels) {
  return Gauge(&prometheus::BuildGauge()
                    .Name(std::string(name))
                    .Help(std::string(help))
                    .Register(impl_->registry)
                    .Add(labels));
}

Histogram MetricsRegistry::AddHistogram(std::string_view name, std::string_view help,
                                        const std::vector<double>& buckets,
                                        const MetricLabels& labels) {
  return Histogram(&prometheus::BuildHistogram()
                        .Name(std::string(name))
                        .Help(std::string(help))
                        .Register(impl_->registry)
                        .Add(labels, buckets));
}

GaugeSet MetricsRegistry::AddGaugeSet(std::string_view name, std::string_view help) {
  auto state = std::make_shared<SetState>();
  state->family = &prometheus::BuildGauge()
                       .Name(std::string(name))
                       .Help(std::string(help))
                       .Register(impl_->registry);
  return GaugeSet(state);
}

std::string MetricsRegistry::Text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace spillway
