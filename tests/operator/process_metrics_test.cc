#include "operator/process_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spillway {
namespace {

using testing::HasSubstr;

double ValueOf(const std::string& text, const std::string& series) {
  const size_t at = text.find("\n" + series + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + series.size() + 2));
}

TEST(ProcessMetrics, TellWhatTheProcessUses) {
  MetricsRegistry registry;
  ProcessMetrics process(registry);
  process.Refresh();
  const std::string text = registry.Text();
  EXPECT_GT(ValueOf(text, "process_resident_memory_bytes"), 1e6);
  EXPECT_GT(ValueOf(text, "process_open_fds"), 2);
  EXPECT_GE(ValueOf(text, "process_cpu_seconds_total"), 0);
  EXPECT_GT(ValueOf(text, "process_start_time_seconds"), 1.7e9);
  EXPECT_THAT(text, HasSubstr("spillway_build_info{version="));
}

TEST(RequestMetrics, CountByVerbAndCode) {
  MetricsRegistry registry;
  RequestMetrics requests(registry);
  EXPECT_EQ(ValueOf(registry.Text(), R"(rest_client_requests_total{code="200",verb="get"})"), 0);
  requests.Observe("get", 200, 0.01);
  requests.Observe("get", 409, 0.01);
  requests.Observe("create", 0, 0.01);
  const std::string text = registry.Text();
  EXPECT_EQ(ValueOf(text, R"(rest_client_requests_total{code="200",verb="get"})"), 1);
  EXPECT_EQ(ValueOf(text, R"(rest_client_requests_total{code="409",verb="get"})"), 1);
  EXPECT_EQ(ValueOf(text, R"(rest_client_requests_total{code="<error>",verb="create"})"), 1);
  EXPECT_EQ(ValueOf(text, R"(rest_client_request_duration_seconds_count{verb="get"})"), 2);
}

}  // namespace
}  // namespace spillway
