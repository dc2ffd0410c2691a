#include "operator/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

namespace spillway {
namespace {

constexpr std::array<const char*, 7> kVerbs = {"get",   "list",   "watch", "create",
                                               "patch", "update", "delete"};

// The numbers of /proc/self/stat behind the command's closing bracket: field 3 is the first.
std::vector<std::string> StatFields() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream rest(text.substr(std::min(text.size(), text.rfind(')') + 2)));
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

double Number(const std::vector<std::string>& fields, size_t field) {
  return field - 3 < fields.size() ? std::strtod(fields[field - 3].c_str(), nullptr) : 0;
}

const char* MethodOf(std::string_view verb) {
  if (verb == "create") return "POST";
  if (verb == "update") return "PUT";
  if (verb == "patch") return "PATCH";
  if (verb == "delete") return "DELETE";
  return "GET";
}

double BootTime() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double value = 0;
    if (word == "btime" && file >> value) return value;
  }
  return 0;
}

}  // namespace

ProcessMetrics::ProcessMetrics(MetricsRegistry& registry)
    : cpu_seconds_(registry.AddCounter("process_cpu_seconds_total", "CPU time used, in seconds.")),
      resident_bytes_(registry.AddGauge("process_resident_memory_bytes", "Resident memory.")),
      virtual_bytes_(registry.AddGauge("process_virtual_memory_bytes", "Virtual memory.")),
      open_fds_(registry.AddGauge("process_open_fds", "Open file descriptors.")),
      max_fds_(registry.AddGauge("process_max_fds", "Most file descriptors that may be open.")),
      start_time_(registry.AddGauge("process_start_time_seconds", "Start, in Unix seconds.")) {
  registry
      .AddGauge("spillway_build_info", "Always 1; which build this is.",
                {{"version", SPILLWAY_VERSION}})
      .Set(1);
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  start_time_.Set(BootTime() + Number(StatFields(), 22) / ticks);
  Refresh();
}

void ProcessMetrics::Refresh() {
  const auto fields = StatFields();
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const double cpu = (Number(fields, 14) + Number(fields, 15)) / ticks;
  cpu_seconds_.Increment(std::max(0.0, cpu - cpu_seen_));
  cpu_seen_ = cpu;
  virtual_bytes_.Set(Number(fields, 23));
  resident_bytes_.Set(Number(fields, 24) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  std::error_code error;
  const auto fds = std::filesystem::directory_iterator("/proc/self/fd", error);
  open_fds_.Set(static_cast<double>(std::distance(begin(fds), end(fds))));
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) max_fds_.Set(static_cast<double>(limit.rlim_cur));
}

std::string HostOf(std::string_view server) {
  if (const auto scheme = server.find("://"); scheme != std::string_view::npos) {
    server.remove_prefix(scheme + 3);
  }
  server = server.substr(0, server.find('/'));
  return std::string(server.substr(server.rfind('@') + 1));  // npos + 1 is 0
}

RequestMetrics::RequestMetrics(MetricsRegistry& registry, std::string host)
    : registry_(registry), host_(std::move(host)) {
  for (const char* verb : kVerbs) {
    durations_.emplace(verb,
                       registry.AddHistogram("rest_client_request_duration_seconds",
                                             "Time of requests to the API server by verb.",
                                             {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60},
                                             {{"verb", verb}, {"host", host_}}));
    Requests(verb, 200);
  }
}

Counter& RequestMetrics::Requests(const std::string& verb, int status) {
  const auto at = requests_.find({verb, status});
  if (at != requests_.end()) return at->second;
  const MetricLabels labels = {{"verb", verb},
                               {"method", MethodOf(verb)},
                               {"host", host_},
                               {"code", status == 0 ? "<error>" : std::to_string(status)}};
  const Counter counter = registry_.AddCounter(
      "rest_client_requests_total", "Requests to the API server by verb, method and code.", labels);
  return requests_.emplace(std::make_pair(verb, status), counter).first->second;
}

void RequestMetrics::Observe(std::string_view verb, int status, double seconds) {
  const std::scoped_lock lock(mutex_);
  const std::string name(verb);
  Requests(name, status).Increment();
  const auto duration = durations_.find(name);
  if (duration != durations_.end()) duration->second.Observe(seconds);
}

}  // namespace spillway
