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
  }
  EXPECT_EQ(MetricSeries(registry.Text()), expected);
}

TEST(RequestMetrics, CountByVerbAndCode) {
  MetricsRegistry registry;
  RequestMetrics requests(registry, "api:443");
  EXPECT_EQ(ValueOf(registry.Text(), Requests("200", "GET", "get")), 0);
  requests.Observe("get", 200, 0.01);
  requests.Observe("get", 409, 0.01);
  requests.Observe("create", 0, 0.01);
  const std::string text = registry.Text();
  EXPECT_EQ(ValueOf(text, Requests("200", "GET", "get")), 1);
  EXPECT_EQ(ValueOf(text, Requests("409", "GET", "get")), 1);
  EXPECT_EQ(ValueOf(text, Requests("<error>", "POST", "create")), 1);
  EXPECT_EQ(
      ValueOf(text, R"(rest_client_request_duration_seconds_count{host="api:443",verb="get"})"), 2);
}

}  // namespace
}  // namespace spillway
