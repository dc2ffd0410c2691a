#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/metrics.h"

namespace spillway {

// What every Prometheus user expects of a process: CPU, memory, descriptors, start time, build.
class ProcessMetrics {
 public:
  explicit ProcessMetrics(MetricsRegistry& registry);
  // Reads /proc; called before each scrape, by one thread.
  void Refresh();

 private:
  Counter cpu_seconds_;
  double cpu_seen_ = 0;
  Gauge resident_bytes_;
  Gauge virtual_bytes_;
  Gauge open_fds_;
  Gauge max_fds_;
  Gauge start_time_;
};

// Requests to the API server by verb and code, under the names and labels of client-go, with the
// verb beside the method. Thread-safe.
class RequestMetrics {
 public:
  // `host`: of the API server, "10.96.0.1:443".
  RequestMetrics(MetricsRegistry& registry, std::string host);
  void Observe(std::string_view verb, int status, double seconds);

 private:
  Counter& Requests(const std::string& verb, int status);

  MetricsRegistry& registry_;
  const std::string host_;
  std::mutex mutex_;
  std::map<std::pair<std::string, int>, Counter> requests_;
  std::map<std::string, Histogram> durations_;
};

// "10.96.0.1:443" of "https://10.96.0.1:443/clusters/a", without user and password.
std::string HostOf(std::string_view server);

}  // namespace spillway
