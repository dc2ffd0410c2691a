#include "operator/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <limits>
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

std::string CodeOf(int status) { return status == 0 ? "<error>" : std::to_string(status); }

const char* StatusOf(kube::ExecRun::Outcome outcome) {
  switch (outcome) {
    case kube::ExecRun::Outcome::kGood:
      return "no_error";
    case kube::ExecRun::Outcome::kNotFound:
      return "plugin_not_found_error";
    case kube::ExecRun::Outcome::kFailed:
      return "plugin_execution_error";
    case kube::ExecRun::Outcome::kOurs:
      break;
  }
  return "client_internal_error";
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
  const std::vector<double> sizes = {64,    256,    512,     1024,    4096,   16384,
                                     65536, 262144, 1 << 20, 1 << 22, 1 << 24};
  for (const char* verb : kVerbs) {
    const MetricLabels labels = {{"verb", verb}, {"host", host_}};
    OfVerb of{registry.AddHistogram("rest_client_request_duration_seconds",
                                    "Time of requests to the API server by verb.",
                                    {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60}, labels),
              {},
              {}};
    if (std::string_view(verb) != "watch") {
      of.sent =
          registry.AddHistogram("rest_client_request_size_bytes",
                                "Bodies of requests to the API server by verb.", sizes, labels);
      of.received = registry.AddHistogram(
          "rest_client_response_size_bytes",
          "Bodies of the API server's answers by verb; of watches none are counted.", sizes,
          labels);
    }
    verbs_.emplace(verb, of);
    Requests(verb, 200);
    Retries(verb, 200);
  }
}

Counter& RequestMetrics::Requests(const std::string& verb, int status) {
  const auto at = requests_.find({verb, status});
  if (at != requests_.end()) return at->second;
  const MetricLabels labels = {
      {"verb", verb}, {"method", MethodOf(verb)}, {"host", host_}, {"code", CodeOf(status)}};
  const Counter counter = registry_.AddCounter(
      "rest_client_requests_total", "Requests to the API server by verb, method and code.", labels);
  return requests_.emplace(std::make_pair(verb, status), counter).first->second;
}

Counter& RequestMetrics::Retries(const std::string& verb, int status) {
  const auto at = retries_.find({verb, status});
  if (at != retries_.end()) return at->second;
  const Counter counter = registry_.AddCounter(
      "rest_client_request_retries_total",
      "Requests sent once more, as the API server had asked for, by verb and what came of it.",
      {{"verb", verb}, {"host", host_}, {"code", CodeOf(status)}});
  return retries_.emplace(std::make_pair(verb, status), counter).first->second;
}

void RequestMetrics::Observe(const kube::RequestDone& done) {
  const std::scoped_lock lock(mutex_);
  const std::string name(done.verb);
  Requests(name, done.status).Increment();
  if (done.again) Retries(name, done.status).Increment();
  const auto of = verbs_.find(name);
  if (of == verbs_.end()) return;
  of->second.duration.Observe(done.seconds);
  if (of->second.sent) of->second.sent->Observe(static_cast<double>(done.sent_bytes));
  if (of->second.received && done.status != 0) {
    of->second.received->Observe(static_cast<double>(done.received_bytes));
  }
}

ExecPluginMetrics::ExecPluginMetrics(MetricsRegistry& registry)
    : registry_(registry),
      left_(registry.AddGauge("rest_client_exec_plugin_ttl_seconds",
                              "How long what the credential plugin gave is still good for; +Inf "
                              "without one, or where it does not say.")) {
  Count(kube::ExecRun::Outcome::kGood, 0);
  Refresh({});
}

std::function<void(const kube::ExecRun&)> ExecPluginMetrics::Observer() {
  const std::scoped_lock lock(mutex_);
  const size_t transport = expires_.size();
  expires_.emplace_back();
  return [this, transport](const kube::ExecRun& run) {
    const std::scoped_lock locked(mutex_);
    Count(run.outcome, run.exit_code);
    calls_.at({StatusOf(run.outcome), run.exit_code}).Increment();
    if (run.outcome == kube::ExecRun::Outcome::kGood) expires_[transport] = run.expires;
  };
}

// Makes the series. Exit codes are bytes.
void ExecPluginMetrics::Count(kube::ExecRun::Outcome outcome, int exit_code) {
  const std::pair<std::string, int> key(StatusOf(outcome), exit_code);
  if (calls_.contains(key)) return;
  calls_.emplace(
      key, registry_.AddCounter("rest_client_exec_plugin_call_total",
                                "Runs of the credential plugin by exit code and what came of it.",
                                {{"code", std::to_string(exit_code)}, {"call_status", key.first}}));
}

void ExecPluginMetrics::Refresh(Time now) {
  const std::scoped_lock lock(mutex_);
  double left = std::numeric_limits<double>::infinity();
  for (const auto& expires : expires_) {
    if (expires) left = std::min(left, std::chrono::duration<double>(*expires - now).count());
  }
  left_.Set(left);
}

}  // namespace spillway
