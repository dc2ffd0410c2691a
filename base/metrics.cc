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
  mutable std::mutex mutex;
  std::map<std::string, MetricFamily> families;

  void Declare(std::string_view name, std::string_view help, const char* type,
               const std::set<std::string>& labels) {
    const std::scoped_lock lock(mutex);
    MetricFamily& family = families[std::string(name)];
    family.name = name;
    family.help = help;
    family.type = type;
    family.labels.insert(labels.begin(), labels.end());
  }
};

namespace {

// The series of one GaugeSet that exist now. The registry outlives it: it owns the family.
struct SetState {
  prometheus::Family<prometheus::Gauge>* family = nullptr;
  std::mutex mutex;
  std::map<MetricLabels, prometheus::Gauge*> series;
};

std::set<std::string> NamesOf(const MetricLabels& labels) {
  std::set<std::string> names;
  for (const auto& [name, value] : labels) names.insert(name);
  return names;
}

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
  impl_->Declare(name, help, "counter", NamesOf(labels));
  return Counter(&prometheus::BuildCounter()
                      .Name(std::string(name))
                      .Help(std::string(help))
                      .Register(impl_->registry)
                      .Add(labels));
}

Gauge MetricsRegistry::AddGauge(std::string_view name, std::string_view help,
                                const MetricLabels& labels) {
  impl_->Declare(name, help, "gauge", NamesOf(labels));
  return Gauge(&prometheus::BuildGauge()
                    .Name(std::string(name))
                    .Help(std::string(help))
                    .Register(impl_->registry)
                    .Add(labels));
}

Histogram MetricsRegistry::AddHistogram(std::string_view name, std::string_view help,
                                        const std::vector<double>& buckets,
                                        const MetricLabels& labels) {
  impl_->Declare(name, help, "histogram", NamesOf(labels));
  return Histogram(&prometheus::BuildHistogram()
                        .Name(std::string(name))
                        .Help(std::string(help))
                        .Register(impl_->registry)
                        .Add(labels, buckets));
}

GaugeSet MetricsRegistry::AddGaugeSet(std::string_view name, std::string_view help,
                                      const std::set<std::string>& labels) {
  impl_->Declare(name, help, "gauge", labels);
  auto state = std::make_shared<SetState>();
  state->family = &prometheus::BuildGauge()
                       .Name(std::string(name))
                       .Help(std::string(help))
                       .Register(impl_->registry);
  return GaugeSet(state);
}

std::vector<MetricFamily> MetricsRegistry::Families() const {
  const std::scoped_lock lock(impl_->mutex);
  std::vector<MetricFamily> out;
  for (const auto& [name, family] : impl_->families) out.push_back(family);
  return out;
}

std::string MetricsRegistry::Text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace spillway
