#include "operator/process_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "tests/support/metrics_text.h"

namespace spillway {
namespace {

using support::MetricSeries;
using testing::HasSubstr;

double ValueOf(const std::string& text, const std::string& series) {
  return support::MetricValue(text, series).value_or(-1);
}

TEST(ProcessMetrics, TellWhatTheProcessUses) {
  MetricsRegistry registry;
  ProcessMetrics process(registry);
  process.Refresh();
  const std::string text = registry.Text();
  EXPECT_GT(ValueOf(text, "process_resident_memory_bytes"), 1e6);
  EXPECT_GT(ValueOf(text, "process_virtual_memory_bytes"),
            ValueOf(text, "process_resident_memory_bytes"));
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(ValueOf(text, "process_max_fds"), static_cast<double>(limit.rlim_cur));
  EXPECT_GT(ValueOf(text, "process_open_fds"), 2);
  EXPECT_GE(ValueOf(text, "process_cpu_seconds_total"), 0);
  EXPECT_GT(ValueOf(text, "process_start_time_seconds"), 1.7e9);
  EXPECT_THAT(text, HasSubstr("spillway_build_info{version="));
}

std::string Requests(const std::string& code, const std::string& method, const std::string& verb) {
  return "rest_client_requests_total{code=\"" + code + R"(",host="api:443",method=")" + method +
         "\",verb=\"" + verb + "\"}";
}

std::string Retries(const std::string& code, const std::string& verb) {
  return "rest_client_request_retries_total{code=\"" + code + R"(",host="api:443",verb=")" + verb +
         "\"}";
}

TEST(RequestMetrics, NameTheHostAlone) {
  EXPECT_EQ(HostOf("https://10.96.0.1:443"), "10.96.0.1:443");
  EXPECT_EQ(HostOf("https://api.example/k8s/clusters/a"), "api.example");
  EXPECT_EQ(HostOf("http://[::1]:8001/"), "[::1]:8001");
  EXPECT_EQ(HostOf("https://me:p@ss@api:6443/x@y"), "api:6443");
}

TEST(RequestMetrics, AreThereForEveryVerbFromTheStart) {
  MetricsRegistry registry;
  const RequestMetrics requests(registry, "api:443");
  std::set<std::string> expected;
  for (const auto& [verb, method] : std::map<std::string, std::string>{{"get", "GET"},
                                                                       {"list", "GET"},
                                                                       {"watch", "GET"},
                                                                       {"create", "POST"},
                                                                       {"patch", "PATCH"},
                                                                       {"update", "PUT"},
                                                                       {"delete", "DELETE"}}) {
    expected.insert(Requests("200", method, verb));
    expected.insert(R"(rest_client_request_duration_seconds_count{host="api:443",verb=")" + verb +
                    "\"}");
    expected.insert(Retries("200", verb));
    if (verb == "watch") continue;
    for (const char* size : {"request", "response"}) {
      expected.insert(std::string("rest_client_") + size +
                      R"(_size_bytes_count{host="api:443",verb=")" + verb + "\"}");
    }
  }
  EXPECT_EQ(MetricSeries(registry.Text()), expected);
}

TEST(RequestMetrics, CountByVerbAndCode) {
  MetricsRegistry registry;
  RequestMetrics requests(registry, "api:443");
  EXPECT_EQ(ValueOf(registry.Text(), Requests("200", "GET", "get")), 0);
  requests.Observe({"get", 200, 0.01});
  requests.Observe({"get", 409, 0.01});
  requests.Observe({"create", 0, 0.01});
  const std::string text = registry.Text();
  EXPECT_EQ(ValueOf(text, Requests("200", "GET", "get")), 1);
  EXPECT_EQ(ValueOf(text, Requests("409", "GET", "get")), 1);
  EXPECT_EQ(ValueOf(text, Requests("<error>", "POST", "create")), 1);
  EXPECT_EQ(
      ValueOf(text, R"(rest_client_request_duration_seconds_count{host="api:443",verb="get"})"), 2);
  EXPECT_EQ(ValueOf(text, Retries("200", "get")), 0) << "none was sent again";
}

TEST(RequestMetrics, TellSizesAndWhatWasSentAgain) {
  MetricsRegistry registry;
  RequestMetrics requests(registry, "api:443");
  requests.Observe({"create", 429, 0.01, false, 1000, 300});
  requests.Observe({"create", 201, 0.01, true, 1000, 2000});
  requests.Observe({"create", 0, 0.01, true, 1000, 0});
  requests.Observe({"watch", 200, 0.01, false, 0, 0});
  const std::string text = registry.Text();
  const std::string of = R"({host="api:443",verb="create"})";
  EXPECT_EQ(ValueOf(text, "rest_client_request_size_bytes_sum" + of), 3000);
  EXPECT_EQ(ValueOf(text, "rest_client_response_size_bytes_sum" + of), 2300);
  EXPECT_EQ(ValueOf(text, "rest_client_response_size_bytes_count" + of), 2) << "one never came";
  EXPECT_EQ(ValueOf(text, Retries("201", "create")), 1);
  EXPECT_EQ(ValueOf(text, Retries("<error>", "create")), 1);
  EXPECT_EQ(ValueOf(text, Retries("429", "create")), -1);
}

TEST(ExecPluginMetrics, TellOfRunsAndOfTheCredentialThatExpiresFirst) {
  using Outcome = kube::ExecRun::Outcome;
  const Time now{std::chrono::seconds(1'000'000)};
  const auto series = [](int code, const std::string& status) {
    return R"(rest_client_exec_plugin_call_total{call_status=")" + status + "\",code=\"" +
           std::to_string(code) + "\"}";
  };
  MetricsRegistry registry;
  ExecPluginMetrics metrics(registry);
  EXPECT_EQ(ValueOf(registry.Text(), series(0, "no_error")), 0);
  EXPECT_THAT(registry.Text(), HasSubstr("\nrest_client_exec_plugin_ttl_seconds +Inf\n"));
  const auto one = metrics.Observer();
  const auto other = metrics.Observer();
  one({Outcome::kGood, 0, now + std::chrono::seconds(300)});
  other({Outcome::kGood, 0, now + std::chrono::seconds(200)});
  other({Outcome::kFailed, 3, {}});
  other({Outcome::kNotFound, 1, {}});
  other({Outcome::kOurs, 1, {}});
  metrics.Refresh(now);
  std::string text = registry.Text();
  EXPECT_EQ(ValueOf(text, series(0, "no_error")), 2);
  EXPECT_EQ(ValueOf(text, series(3, "plugin_execution_error")), 1);
  EXPECT_EQ(ValueOf(text, series(1, "plugin_not_found_error")), 1);
  EXPECT_EQ(ValueOf(text, series(1, "client_internal_error")), 1);
  EXPECT_EQ(ValueOf(text, "rest_client_exec_plugin_ttl_seconds"), 200);
  other({Outcome::kGood, 0, {}});
  metrics.Refresh(now);
  EXPECT_EQ(ValueOf(registry.Text(), "rest_client_exec_plugin_ttl_seconds"), 300);
}

}  // namespace
}  // namespace spillway
