// docs/metrics.md lists what the process publishes, as the code declares it.
// With SPILLWAY_WRITE_DOCS set, the list is written anew (scripts/document-metrics).

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "operator/assembly.h"
#include "tests/support/temp_file.h"

namespace spillway {
namespace {

const std::string kBegin = "<!-- made from the code by scripts/document-metrics -->\n";
const std::string kEnd = "<!-- end -->\n";

std::string UnitOf(const MetricFamily& family) {
  const auto ends = [&](const char* suffix) { return family.name.ends_with(suffix); };
  if (ends("_timestamp_seconds") || ends("_start_time_seconds")) return "Unix time in seconds";
  if (ends("_seconds") || ends("_seconds_total")) return "seconds";
  if (ends("_bytes")) return "bytes";
  if (ends("_hourly_cost")) return "the installation's currency an hour";
  if (ends("_budget")) return "the installation's currency";
  if (ends("_condition") || ends("_status") || ends("_info")) return "0 or 1";
  return "count";
}

std::string LabelsOf(const MetricFamily& family) {
  std::string out;
  for (const std::string& label : family.labels) out += (out.empty() ? "`" : ", `") + label + "`";
  return out;
}

std::string Table(const std::vector<MetricFamily>& families) {
  std::ostringstream out;
  out << "| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n";
  for (const MetricFamily& family : families) {
    out << "| `" << family.name << "` | " << family.type << " | " << LabelsOf(family) << " | "
        << UnitOf(family) << " | " << family.help << " |\n";
  }
  return out.str();
}

std::string Read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(MetricsPage, ListsEveryMetricAsTheCodeDeclaresIt) {
  const support::TempFile kubeconfig(support::KubeconfigFor("http://127.0.0.1:1"));
  Options options;
  options.kubeconfig = kubeconfig.path();
  options.ns = "spillway-system";
  options.identity = "one";
  options.listen = "127.0.0.1:0";
  Log log(LogLevel::kError, true);
  auto assembly = Assembly::Make(options, log);
  ASSERT_TRUE(assembly.ok()) << assembly.error().message;
  const std::string table = kBegin + Table((*assembly)->MetricFamilies()) + kEnd;
  const std::string path = SPILLWAY_SOURCE_DIR "/docs/metrics.md";
  const std::string page = Read(path);
  const size_t begin = page.find(kBegin);
  const size_t end = page.find(kEnd);
  ASSERT_NE(begin, std::string::npos) << path;
  ASSERT_NE(end, std::string::npos) << path;
  if (std::getenv("SPILLWAY_WRITE_DOCS") != nullptr) {
    std::ofstream(path) << page.substr(0, begin) << table << page.substr(end + kEnd.size());
    return;
  }
  EXPECT_EQ(page.substr(begin, end + kEnd.size() - begin), table) << "run scripts/document-metrics";
}

}  // namespace
}  // namespace spillway
