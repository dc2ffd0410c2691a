#include "base/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace spillway {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsTest, CountersAndGaugesStandInTheTextFromTheStart) {
  MetricsRegistry registry;
  const Counter passes = registry.AddCounter("spillway_passes_total", "Passes made.");
  const Gauge pools = registry.AddGauge("spillway_pools", "Pools known.", {{"state", "placed"}});
  EXPECT_THAT(registry.Text(),
              AllOf(HasSubstr("# HELP spillway_passes_total Passes made.\n"),
                    HasSubstr("# TYPE spillway_passes_total counter\nspillway_passes_total 0\n"),
                    HasSubstr("spillway_pools{state=\"placed\"} 0\n")));
  passes.Increment();
  passes.Increment(2);
  pools.Set(7.5);
  EXPECT_THAT(registry.Text(), AllOf(HasSubstr("spillway_passes_total 3\n"),
                                     HasSubstr("spillway_pools{state=\"placed\"} 7.5\n")));
}

TEST(MetricsTest, SeriesOfOneNameShareOneFamily) {
  MetricsRegistry registry;
  const Counter first = registry.AddCounter("x_total", "X.", {{"kind", "a"}});
  const Counter second = registry.AddCounter("x_total", "X.", {{"kind", "b"}});
  first.Increment(1);
  second.Increment(2);
  const std::string text = registry.Text();
  EXPECT_THAT(text,
              AllOf(HasSubstr("x_total{kind=\"a\"} 1\n"), HasSubstr("x_total{kind=\"b\"} 2\n")));
  EXPECT_EQ(text.find("# TYPE"), text.rfind("# TYPE"));
}

TEST(MetricsTest, HistogramsCountBySize) {
  MetricsRegistry registry;
  const Histogram time = registry.AddHistogram("t_seconds", "Time.", {0.1, 1});
  time.Observe(0.05);
  time.Observe(0.5);
  time.Observe(5);
  EXPECT_THAT(registry.Text(), AllOf(HasSubstr("t_seconds_bucket{le=\"0.1\"} 1\n"),
                                     HasSubstr("t_seconds_bucket{le=\"1\"} 2\n"),
                                     HasSubstr("t_seconds_bucket{le=\"+Inf\"} 3\n"),
                                     HasSubstr("t_seconds_count 3\n")));
}

TEST(MetricsTest, AGaugeSetIsReplacedAsAWhole) {
  MetricsRegistry registry;
  const GaugeSet cost = registry.AddGaugeSet("cost", "Cost.", {"pool"});
  EXPECT_THAT(registry.Text(), Not(HasSubstr("cost{")));
  cost.Replace({{{{"pool", "a"}}, 1}, {{{"pool", "b"}}, 2}});
  EXPECT_THAT(registry.Text(),
              AllOf(HasSubstr("cost{pool=\"a\"} 1\n"), HasSubstr("cost{pool=\"b\"} 2\n")));
  cost.Replace({{{{"pool", "b"}}, 3}, {{{"pool", "c"}}, 4}});
  EXPECT_THAT(registry.Text(),
              AllOf(Not(HasSubstr("pool=\"a\"")), HasSubstr("cost{pool=\"b\"} 3\n"),
                    HasSubstr("cost{pool=\"c\"} 4\n")));
  cost.Replace({});
  EXPECT_THAT(registry.Text(), Not(HasSubstr("cost{")));
  cost.Replace({{{{"pool", "a"}}, 5}});
  EXPECT_THAT(registry.Text(), HasSubstr("cost{pool=\"a\"} 5\n"));
}

TEST(MetricsTest, FamiliesAreKnownBeforeTheyHaveSeries) {
  MetricsRegistry registry;
  registry.AddGaugeSet("cost", "Cost.", {"pool", "group"});
  registry.AddCounter("lists_total", "Lists.", {{"resource", "nodes"}});
  registry.AddCounter("lists_total", "Lists.", {{"resource", "pods"}});
  registry.AddHistogram("time_seconds", "Time.", {1});
  registry.AddGauge("open", "Open.");
  const std::vector<MetricFamily> expected = {{"cost", "Cost.", "gauge", {"group", "pool"}},
                                              {"lists_total", "Lists.", "counter", {"resource"}},
                                              {"open", "Open.", "gauge", {}},
                                              {"time_seconds", "Time.", "histogram", {}}};
  EXPECT_EQ(registry.Families(), expected);
}

TEST(MetricsTest, LabelsAreEscaped) {
  MetricsRegistry registry;
  registry.AddGaugeSet("g", "G.", {"note"}).Replace({{{{"note", "a\"b\\c\nd"}}, 1}});
  EXPECT_THAT(registry.Text(), HasSubstr("g{note=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

}  // namespace
}  // namespace spillway
