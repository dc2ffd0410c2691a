#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "kube/client.h"
#include "kube/config.h"

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

// Requests to the API server by verb and code, their sizes and those that were sent again, under
// the names and labels of client-go, with the verb beside the method. Thread-safe.
class RequestMetrics {
 public:
  // `host`: of the API server, "10.96.0.1:443".
  RequestMetrics(MetricsRegistry& registry, std::string host);
  void Observe(const kube::RequestDone& done);

 private:
  using Counters = std::map<std::pair<std::string, int>, Counter>;
  struct OfVerb {
    Histogram duration;
    std::optional<Histogram> sent;      // none of watches
    std::optional<Histogram> received;  // likewise
  };
  Counter& Requests(const std::string& verb, int status);
  Counter& Retries(const std::string& verb, int status);

  MetricsRegistry& registry_;
  const std::string host_;
  std::mutex mutex_;
  Counters requests_;
  Counters retries_;
  std::map<std::string, OfVerb> verbs_;
};

// Runs of credential plugins, under the names and labels of client-go. Thread-safe.
class ExecPluginMetrics {
 public:
  explicit ExecPluginMetrics(MetricsRegistry& registry);
  // What one transport is to tell of its runs; not after this has gone.
  std::function<void(const kube::ExecRun&)> Observer();
  // Before each scrape.
  void Refresh(Time now);

 private:
  void Count(kube::ExecRun::Outcome outcome, int exit_code);

  MetricsRegistry& registry_;
  Gauge left_;
  std::mutex mutex_;
  std::map<std::pair<std::string, int>, Counter> calls_;
  std::vector<std::optional<Time>> expires_;  // by transport
};

// "10.96.0.1:443" of "https://10.96.0.1:443/clusters/a", without user and password.
std::string HostOf(std::string_view server);

}  // namespace spillway
