// What the operator counts and publishes, as the text that Prometheus reads.

#include "controllers/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controllers/watching.h"
#include "tests/support/builders.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"
#include "tests/support/metrics_text.h"

namespace spillway::controllers {
namespace {

using placement::Action;
using support::MetricSeries;
using support::MetricValue;
using testing::Contains;
using testing::IsEmpty;

constexpr std::array<const char*, 11> kWatched = {
    "nodes",           "pods",       "jobs",
    "deployments",     "services",   "poddisruptionbudgets",
    "priorityclasses", "nodegroups", "trainingpools",
    "inferencepools",  "poolquotas"};

std::string Labelled(const std::string& name, const std::string& label, const std::string& value) {
  return name + "{" + label + "=\"" + value + "\"}";
}

class MetricsTest : public testing::Test {
 protected:
  double Value(const std::string& series) const {
    return MetricValue(registry_.Text(), series).value_or(-1);
  }

  MetricsRegistry registry_;
  Metrics metrics_{registry_};
};

TEST_F(MetricsTest, EverySeriesWithFixedLabelsIsThereFromTheStart) {
  std::set<std::string> expected = {"spillway_passes_total",
                                    "spillway_pass_duration_seconds_count",
                                    "spillway_plan_duration_seconds_count",
                                    "spillway_cache_wait_seconds_count",
                                    "spillway_stale_cache_overrides_total",
                                    "spillway_broken_plans_total",
                                    "spillway_writes_dropped_total",
                                    "spillway_pool_wait_seconds_count"};
  for (const char* kind : {"TrainingPool", "InferencePool", "NodeGroup", "PoolQuota", "Job",
                           "Deployment", "Service", "PodDisruptionBudget", "Pod"}) {
    for (const char* result : {"success", "error"}) {
      expected.insert(std::string("spillway_writes_total{kind=\"") + kind + "\",result=\"" +
                      result + "\"}");
    }
  }
  for (const char* action : {"place", "restart", "release", "finish", "scale"}) {
    expected.insert(Labelled("spillway_decisions_total", "action", action));
  }
  EXPECT_EQ(MetricSeries(registry_.Text()), expected);
}

TEST_F(MetricsTest, PassesWaitsAndWritesAreCounted) {
  metrics_.PassDone(0.25, 0.125);
  metrics_.PassDone(0.25, 0.125);
  metrics_.CacheWaited(0.5);
  metrics_.StaleCacheOverridden();
  metrics_.WritesDropped(3);
  metrics_.Wrote("Job", true);
  metrics_.Wrote("Job", true);
  metrics_.Wrote("Job", false);
  const std::map<std::string, double> expected = {
      {"spillway_passes_total", 2},
      {"spillway_pass_duration_seconds_sum", 0.5},
      {"spillway_plan_duration_seconds_sum", 0.25},
      {"spillway_cache_wait_seconds_sum", 0.5},
      {"spillway_stale_cache_overrides_total", 1},
      {"spillway_writes_dropped_total", 3},
      {R"(spillway_writes_total{kind="Job",result="success"})", 2},
      {R"(spillway_writes_total{kind="Job",result="error"})", 1},
      {R"(spillway_writes_total{kind="Pod",result="success"})", 0}};
  for (const auto& [series, value] : expected) EXPECT_EQ(Value(series), value) << series;
}

TEST_F(MetricsTest, DecisionsThatChangeAPoolCountAndAFirstPlaceTellsHowLongItWaited) {
  struct Row {
    Action action;
    int attempts;
    const char* name;  // of the action that is counted; null: none is
    bool waited;
  };
  for (const Row& row : std::vector<Row>{{Action::kWait, 0, nullptr, false},
                                         {Action::kPlace, 1, "place", true},
                                         {Action::kPlace, 2, "place", false},
                                         {Action::kKeep, 1, nullptr, false},
                                         {Action::kRestart, 2, "restart", false},
                                         {Action::kRelease, 1, "release", false},
                                         {Action::kFinish, 1, "finish", false},
                                         {Action::kDone, 1, nullptr, false}}) {
    SCOPED_TRACE(placement::Name(row.action));
    MetricsRegistry registry;
    const Metrics metrics(registry);
    placement::PoolDecision decision;
    decision.action = row.action;
    decision.memory.attempts = row.attempts;
    decision.memory.queued_since = tests::kNow - Seconds{90};
    metrics.Decided(decision, tests::kNow);
    const std::string text = registry.Text();
    for (const char* name : {"place", "restart", "release", "finish", "scale"}) {
      const bool counted = row.name != nullptr && std::string(row.name) == name;
      EXPECT_EQ(MetricValue(text, Labelled("spillway_decisions_total", "action", name)),
                counted ? 1 : 0)
          << name;
    }
    EXPECT_EQ(MetricValue(text, "spillway_pool_wait_seconds_sum"), row.waited ? 90 : 0);
    EXPECT_EQ(MetricValue(text, "spillway_pool_wait_seconds_count"), row.waited ? 1 : 0);
  }
}

// Home has two nodes: "runs" has one, two replicas of "chat" are on the other, so that "waits" and
// "longer" don't fit; azure has "spilled".
placement::Snapshot SmallWorld() {
  placement::Snapshot world = tests::Fleet(2, 1);
  tests::AddRunning(world, "runs", 1, 8, "home", {"home-1"});
  tests::AddRunning(world, "spilled", 1, 4, "azure", {"azure-1"}, 10);
  for (const auto& [name, waited] : std::map<std::string, int>{{"waits", 60}, {"longer", 3600}}) {
    world.pools.push_back(tests::Wants(name, 3));
    world.pools.back().memory.queued_since = tests::kNow - Seconds{waited};
    world.pools.back().memory.waiting_since = tests::kNow - Seconds{waited};
  }
  placement::InferencePool chat = tests::Chat(2);
  tests::Runs(world, chat, "gpu", "home", 2, 1, {"home-2"});
  world.inference_pools.push_back(chat);
  placement::Quota quota;
  quota.ns = "team";
  quota.limits = {{"a100", 64}};
  world.quotas = {quota};
  return world;
}

TEST_F(MetricsTest, TheDomainIsPublishedAsItIsAndTakenBackWhole) {
  const placement::Snapshot world = SmallWorld();
  const std::set<std::string> before = MetricSeries(registry_.Text());
  metrics_.PublishDomain(world, placement::MakePlan(world));
  const std::string home = R"({node_group="home",provider="OnPrem")";
  const std::string azure = R"({node_group="azure",provider="Azure")";
  const double since =
      static_cast<double>((tests::kNow - Seconds{3600}).time_since_epoch().count());
  const std::map<std::string, double> expected = {
      {"spillway_node_group_nodes" + home + R"(,state="usable",tier="0"})", 2},
      {"spillway_node_group_nodes" + home + R"(,state="not_ready",tier="0"})", 0},
      {"spillway_node_group_accelerators" + home + R"(,state="used",tier="0",type="a100"})", 10},
      {"spillway_node_group_accelerators" + azure + R"(,state="free",tier="10",type="a100"})", 4},
      {"spillway_node_group_hourly_cost" + home + R"(,share="idle",tier="0"})", 24},
      {"spillway_node_group_hourly_cost" + azure + R"(,share="marginal",tier="10"})", 32},
      {R"(spillway_node_group_condition{condition="Ready",node_group="home",provider="OnPrem",tier="0"})",
       1},
      {R"(spillway_pools{kind="TrainingPool",reason="AsExpected",spilled="false",state="placed"})",
       1},
      {R"(spillway_pools{kind="TrainingPool",reason="AsExpected",spilled="true",state="placed"})",
       1},
      {R"(spillway_pools{kind="TrainingPool",reason="WaitingForCapacity",spilled="false",state="waiting"})",
       2},
      {R"(spillway_oldest_waiting_timestamp_seconds{reason="WaitingForCapacity"})", since},
      {R"(spillway_inference_replicas{namespace="serving",node_group="home",state="desired"})", 2},
      {R"(spillway_inference_replicas{namespace="serving",node_group="home",state="ready"})", 1},
      {R"(spillway_placed_accelerators{namespace="serving",node_group="home",type="a100"})", 2},
      {R"(spillway_placed_hourly_cost{namespace="serving",node_group="home"})", 8},
      {R"(spillway_placed_accelerators{namespace="team",node_group="azure",type="a100"})", 4},
      {R"(spillway_placed_hourly_cost{namespace="team",node_group="azure"})", 16},
      {R"(spillway_quota_accelerators{namespace="team",type="a100",value="used"})", 12},
      {R"(spillway_quota_accelerators{namespace="team",type="a100",value="limit"})", 64}};
  for (const auto& [series, value] : expected) EXPECT_EQ(Value(series), value) << series;
  metrics_.PublishDomain({}, {});
  EXPECT_EQ(MetricSeries(registry_.Text()), before);
}

class WatchMetrics : public testing::Test {
 protected:
  ~WatchMetrics() override { watching_.Stop(); }
  double Value(const std::string& name, const std::string& resource) const {
    return MetricValue(registry_.Text(), Labelled(name, "resource", resource)).value_or(-1);
  }
  bool Becomes(const std::string& name, const std::string& resource, double value) const {
    return support::Eventually([&] { return Value(name, resource) == value; });
  }

  support::FakeClock clock_;
  Log log_{LogLevel::kError, true};
  MetricsRegistry registry_;
  support::FakeApiServer server_{clock_};
  kube::Client client_{server_, clock_, {"test", 16, std::chrono::seconds(5), {}}};
  Stores stores_{[] {}};
  Watching watching_{stores_, client_, clock_, log_, registry_};
};

TEST_F(WatchMetrics, AreThereForEveryKindFromTheStart) {
  std::set<std::string> expected;
  for (const char* resource : kWatched) {
    for (const char* name :
         {"reflector_lists_total", "reflector_watch_restarts_total",
          "reflector_last_event_timestamp_seconds", "reflector_undecodable_objects_total"}) {
      expected.insert(Labelled(name, "resource", resource));
    }
  }
  EXPECT_EQ(MetricSeries(registry_.Text()), expected);
  EXPECT_EQ(Value("reflector_lists_total", "nodes"), 0);
}

TEST_F(WatchMetrics, TellOfListsSignsOfLifeEndsAndWhatCannotBeRead) {
  watching_.Start();
  ASSERT_TRUE(server_.WaitUntil([&] { return server_.open_watches() == kWatched.size(); }));
  for (const char* resource : kWatched) {
    EXPECT_EQ(Value("reflector_lists_total", resource), 1) << resource;
    EXPECT_EQ(Value("reflector_watch_restarts_total", resource), 0) << resource;
  }
  clock_.Advance(std::chrono::seconds(40));
  const auto now = static_cast<double>(clock_.Now().time_since_epoch().count());
  server_.SendBookmarks();
  for (const char* resource : kWatched) {
    EXPECT_TRUE(Becomes("reflector_last_event_timestamp_seconds", resource, now)) << resource;
  }
  server_.Put({{"apiVersion", "v1"},
               {"kind", "Node"},
               {"metadata", {{"name", "n1"}}},
               {"status", {{"allocatable", {{"cpu", "a lot"}}}}}});
  EXPECT_TRUE(Becomes("reflector_undecodable_objects_total", "nodes", 1));
  EXPECT_EQ(Value("reflector_undecodable_objects_total", "pods"), 0);
  server_.CloseWatches();
  for (const char* resource : kWatched) {
    EXPECT_TRUE(Becomes("reflector_watch_restarts_total", resource, 1)) << resource;
  }
}

}  // namespace
}  // namespace spillway::controllers
