#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spillway {

using MetricLabels = std::map<std::string, std::string>;

// A number that only grows. Safe from any thread.
class Counter {
 public:
  explicit Counter(void* handle) : handle_(handle) {}
  void Increment(double by = 1) const;

 private:
  void* handle_;  // the library's counter; lives as long as the registry
};

// A number that goes both ways. Safe from any thread.
class Gauge {
 public:
  explicit Gauge(void* handle) : handle_(handle) {}
  void Set(double value) const;

 private:
  void* handle_;
};

// Counts observations by size. Safe from any thread.
class Histogram {
 public:
  explicit Histogram(void* handle) : handle_(handle) {}
  void Observe(double value) const;

 private:
  void* handle_;
};

struct Sample {
  MetricLabels labels;
  double value = 0;
};

class MetricsRegistry;

// A gauge whose label values come and go with the objects they describe. Replace publishes the
// whole set at once and removes what is no longer named. Safe from any thread.
class GaugeSet {
 public:
  explicit GaugeSet(std::shared_ptr<void> state) : state_(std::move(state)) {}
  void Replace(const std::vector<Sample>& samples) const;

 private:
  std::shared_ptr<void> state_;
};

// What is known of a metric before it has any series.
struct MetricFamily {
  std::string name;
  std::string help;
  std::string type;              // as in the text format: counter, gauge, histogram
  std::set<std::string> labels;  // names
  bool operator==(const MetricFamily&) const = default;
};

// All metrics of a process. Names and labels must be valid (a wrong one is a mistake in the program
// and ends it). The handles it gives are cheap to copy and valid while the registry lives.
class MetricsRegistry {
 public:
  MetricsRegistry();
  ~MetricsRegistry();
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;

  Counter AddCounter(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Gauge AddGauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  // `buckets`: upper bounds, ascending.
  Histogram AddHistogram(std::string_view name, std::string_view help,
                         const std::vector<double>& buckets, const MetricLabels& labels = {});
  // `labels`: the names that every sample has.
  GaugeSet AddGaugeSet(std::string_view name, std::string_view help,
                       const std::set<std::string>& labels);

  // Everything that was added, by name.
  [[nodiscard]] std::vector<MetricFamily> Families() const;
  // Everything, in the Prometheus text format 0.0.4.
  [[nodiscard]] std::string Text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
