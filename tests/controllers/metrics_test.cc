// What the operator counts and publishes, as the text that Prometheus reads.

#include "controllers/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "controllers/applier.h"
#include "controllers/watching.h"
#include "tests/support/builders.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"
#include "tests/support/metrics_text.h"
#include "tests/support/objects.h"

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

std::string QueueSeries(const std::string& name, const std::string& queue = "spillway") {
  return "workqueue_" + name + R"({controller="spillway",name=")" + queue + "\"}";
}
std::string WriteDepth(const std::string& priority) {
  return R"(workqueue_depth{controller="spillway",name="spillway-writes",priority=")" + priority +
         "\"}";
}

std::string ReasonSeries(const std::string& name, const std::string& resource,
                         const std::string& reason) {
  return name + "{reason=\"" + reason + "\",resource=\"" + resource + "\"}";
}

std::string TurnSeries(const std::string& kind, const std::string& condition,
                       const std::string& status) {
  return "spillway_condition_transitions_total{condition=\"" + condition + "\",kind=\"" + kind +
         "\",status=\"" + status + "\"}";
}

crds::v1alpha1::Condition Says(const std::string& type, const std::string& status,
                               const std::string& reason) {
  return {type, status, reason, "", {}, 1};
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
                                    "spillway_withheld_writes_total",
                                    "spillway_objects_written_too_often_total",
                                    "spillway_pool_wait_seconds_count",
                                    "spillway_pool_start_seconds_count"};
  for (const auto& [kind, condition] :
       std::vector<std::pair<std::string, std::string>>{{"TrainingPool", "TemplateValid"},
                                                        {"TrainingPool", "Placed"},
                                                        {"TrainingPool", "Ready"},
                                                        {"TrainingPool", "Spilled"},
                                                        {"TrainingPool", "Complete"},
                                                        {"TrainingPool", "Failed"},
                                                        {"InferencePool", "TemplateValid"},
                                                        {"InferencePool", "CapacityMet"},
                                                        {"InferencePool", "Ready"},
                                                        {"InferencePool", "Spilled"},
                                                        {"NodeGroup", "Ready"},
                                                        {"NodeGroup", "NoOverlap"},
                                                        {"NodeGroup", "ShapeMatches"},
                                                        {"NodeGroup", "LinkHealthy"},
                                                        {"NodeGroup", "InStock"},
                                                        {"NodeGroup", "TargetReady"},
                                                        {"PoolQuota", "Ready"}}) {
    for (const char* status : {"True", "False", "Unknown"}) {
      expected.insert(TurnSeries(kind, condition, status));
    }
  }
  for (const char* kind : {"TrainingPool", "InferencePool", "NodeGroup", "PoolQuota", "Job",
                           "Deployment", "Service", "PodDisruptionBudget", "Pod", "Scale"}) {
    for (const char* result : {"success", "error"}) {
      expected.insert(std::string("spillway_writes_total{kind=\"") + kind + "\",result=\"" +
                      result + "\"}");
    }
  }
  for (const char* action : {"place", "restart", "release", "finish", "scale"}) {
    expected.insert(Labelled("spillway_decisions_total", "action", action));
  }
  for (const char* result : {"success", "error", "requeue_after"}) {
    expected.insert(
        std::string(R"(controller_runtime_reconcile_total{controller="spillway",result=")") +
        result + "\"}");
  }
  for (const char* name : {"reconcile_errors_total", "reconcile_time_seconds_count",
                           "active_workers", "max_concurrent_reconciles"}) {
    expected.insert(Labelled(std::string("controller_runtime_") + name, "controller", "spillway"));
  }
  for (const char* name :
       {"adds_total", "queue_duration_seconds_count", "work_duration_seconds_count",
        "unfinished_work_seconds", "longest_running_processor_seconds"}) {
    for (const char* queue : {"spillway", "spillway-writes"}) {
      expected.insert(QueueSeries(name, queue));
    }
  }
  expected.insert(R"(workqueue_depth{controller="spillway",name="spillway",priority=""})");
  for (const char* priority : {"0", "1", "2"}) expected.insert(WriteDepth(priority));
  expected.insert(QueueSeries("retries_total", "spillway-writes"));
  EXPECT_EQ(MetricSeries(registry_.Text()), expected);
}

TEST_F(MetricsTest, PassesGoByControllerRuntimesNamesToo) {
  const std::string controller = R"({controller="spillway"})";
  const std::string depth = R"(workqueue_depth{controller="spillway",name="spillway",priority=""})";
  const auto passes = [&](const std::string& result) {
    return Value(R"(controller_runtime_reconcile_total{controller="spillway",result=")" + result +
                 "\"}");
  };
  const PassMetrics& pass = metrics_.Passes();
  EXPECT_EQ(Value("controller_runtime_max_concurrent_reconciles" + controller), 1);
  pass.Due();
  EXPECT_EQ(Value(depth), 1);
  EXPECT_EQ(Value("controller_runtime_active_workers" + controller), 0);
  pass.Began(0.5);
  pass.GoingOn(0.125);
  EXPECT_EQ(Value(depth), 0);
  EXPECT_EQ(Value("controller_runtime_active_workers" + controller), 1);
  EXPECT_EQ(Value(QueueSeries("unfinished_work_seconds")), 0.125);
  EXPECT_EQ(Value(QueueSeries("longest_running_processor_seconds")), 0.125);
  pass.Ended(0.25, PassMetrics::Result::kError);
  EXPECT_EQ(Value("controller_runtime_active_workers" + controller), 0);
  pass.Ended(0.25, PassMetrics::Result::kSuccess);
  pass.Ended(0.25, PassMetrics::Result::kRequeueAfter);
  pass.Ended(0.25, PassMetrics::Result::kRequeueAfter);
  EXPECT_EQ(passes("error"), 1);
  EXPECT_EQ(passes("success"), 1);
  EXPECT_EQ(passes("requeue_after"), 2);
  EXPECT_EQ(Value("controller_runtime_reconcile_errors_total" + controller), 1);
  EXPECT_EQ(Value("controller_runtime_reconcile_time_seconds_sum" + controller), 1);
  EXPECT_EQ(Value(QueueSeries("adds_total")), 1);
  EXPECT_EQ(Value(QueueSeries("queue_duration_seconds_sum")), 0.5);
  EXPECT_EQ(Value(QueueSeries("work_duration_seconds_sum")), 1);
  pass.Began(0);
  pass.BrokeOff();
  EXPECT_EQ(Value("controller_runtime_active_workers" + controller), 0);
}

TEST_F(MetricsTest, TellOfTheQueueOfWrites) {
  const kube::WorkQueue::Hooks hooks = metrics_.WriteQueue().Hooks();
  const auto value = [&](const std::string& name) {
    return Value(QueueSeries(name, "spillway-writes"));
  };
  hooks.due(kWriteRetries, 3);
  hooks.due(kWriteNews, 2);
  hooks.due(kWriteStatuses, 1);
  hooks.added();
  hooks.retried();
  hooks.taken(std::chrono::milliseconds(500));
  hooks.done(std::chrono::milliseconds(250));
  metrics_.WriteQueue().GoingOn(0.75, 0.5);
  EXPECT_EQ(Value(WriteDepth("0")), 3);
  EXPECT_EQ(Value(WriteDepth("1")), 2);
  EXPECT_EQ(Value(WriteDepth("2")), 1);
  EXPECT_EQ(value("adds_total"), 1);
  EXPECT_EQ(value("retries_total"), 1);
  EXPECT_EQ(value("queue_duration_seconds_sum"), 0.5);
  EXPECT_EQ(value("work_duration_seconds_sum"), 0.25);
  EXPECT_EQ(value("unfinished_work_seconds"), 0.75);
  EXPECT_EQ(value("longest_running_processor_seconds"), 0.5);
}

TEST_F(MetricsTest, PassesWaitsAndWritesAreCounted) {
  metrics_.PassDone(0.25, 0.125);
  metrics_.PassDone(0.25, 0.125);
  metrics_.CacheWaited(0.5);
  metrics_.StaleCacheOverridden();
  metrics_.WritesDropped(3);
  metrics_.WriteWithheld();
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
      {"spillway_withheld_writes_total", 1},
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
  quota.limits = {{"a100", 64, 4}};
  quota.max_hourly_cost = tests::Dollars("500");
  quota.budget = {tests::Dollars("1000"), placement::BudgetPeriod::kDay};
  quota.memory = {tests::Dollars("7"), tests::Dollars("16"), tests::kNow - Seconds{1800},
                  tests::kNow - Seconds{43200}};
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
      {R"(spillway_quota_accelerators{namespace="team",type="a100",value="limit"})", 64},
      {R"(spillway_quota_accelerators{namespace="team",type="a100",value="guaranteed"})", 4},
      {R"(spillway_quota_accelerators{namespace="team",type="a100",value="borrowed"})", 8},
      {R"(spillway_quota_accelerators{namespace="serving",type="a100",value="borrowed"})", 2},
      {R"(spillway_quota_hourly_cost{namespace="serving",value="used"})", 0},
      {R"(spillway_quota_hourly_cost{namespace="team",value="used"})", 16},
      {R"(spillway_quota_hourly_cost{namespace="team",value="limit"})", 500},
      {R"(spillway_quota_budget{namespace="team",value="spent"})", 15},
      {R"(spillway_quota_budget{namespace="team",value="amount"})", 1000}};
  for (const auto& [series, value] : expected) EXPECT_EQ(Value(series), value) << series;
  metrics_.PublishDomain({}, {});
  EXPECT_EQ(MetricSeries(registry_.Text()), before);
}

TEST_F(MetricsTest, CellsThatAreBlockedNowAreCountedByNodeGroup) {
  placement::Snapshot world;
  world.now = tests::kNow;
  placement::Plan plan;
  placement::InferenceDecision decision;
  decision.key = {"serving", "chat"};
  for (const auto& [group, until] : std::vector<std::pair<std::string, int>>{
           {"aws", 60}, {"aws", 1}, {"azure", 0}, {"home", -60}}) {
    placement::CellMemory cell;
    cell.node_group = group;
    cell.blocked_until = tests::kNow + Seconds{until};
    decision.memory.cells.push_back(cell);
  }
  decision.memory.cells.emplace_back().node_group = "edge";  // never blocked
  plan.inference_pools = {decision};
  metrics_.PublishDomain(world, plan);
  for (const auto& [group, blocked] :
       std::map<std::string, int>{{"aws", 2}, {"azure", 0}, {"home", 0}, {"edge", 0}}) {
    EXPECT_EQ(Value(R"(spillway_inference_blocked_cells{namespace="serving",node_group=")" + group +
                    "\"}"),
              blocked)
        << group;
  }
}

// However many objects there are, the number of series is that of what conditions can say.
TEST_F(MetricsTest, ConditionsOfAllKindsAreCountedNotListed) {
  World world;
  for (int i = 0; i < 5000; ++i) {
    auto pool = std::make_shared<crds::v1alpha1::TrainingPool>();
    pool->status.conditions = {Says("Ready", "False", i % 5 == 0 ? "QuotaExceeded" : "NodeLost")};
    world.training_pools.push_back(pool);
  }
  auto chat = std::make_shared<crds::v1alpha1::InferencePool>();
  chat->status.conditions = {Says("CapacityMet", "True", "AsExpected")};
  world.inference_pools = {chat};
  auto group = std::make_shared<crds::v1alpha1::NodeGroup>();
  group->status.conditions = {Says("LinkHealthy", "False", "LinkSuspect")};
  world.node_groups = {group};
  auto quota = std::make_shared<crds::v1alpha1::PoolQuota>();
  quota->status.conditions = {Says("Ready", "Unknown", "Misconfigured")};
  world.pool_quotas = {quota};
  const std::set<std::string> before = MetricSeries(registry_.Text());
  metrics_.PublishConditions(world);
  const std::map<std::string, double> expected = {
      {R"(spillway_conditions{condition="Ready",kind="TrainingPool",reason="QuotaExceeded",status="False"})",
       1000},
      {R"(spillway_conditions{condition="Ready",kind="TrainingPool",reason="NodeLost",status="False"})",
       4000},
      {R"(spillway_conditions{condition="CapacityMet",kind="InferencePool",reason="AsExpected",status="True"})",
       1},
      {R"(spillway_conditions{condition="LinkHealthy",kind="NodeGroup",reason="LinkSuspect",status="False"})",
       1},
      {R"(spillway_conditions{condition="Ready",kind="PoolQuota",reason="Misconfigured",status="Unknown"})",
       1}};
  for (const auto& [series, value] : expected) EXPECT_EQ(Value(series), value) << series;
  EXPECT_EQ(MetricSeries(registry_.Text()).size(), before.size() + expected.size());
  metrics_.PublishConditions({});
  EXPECT_EQ(MetricSeries(registry_.Text()), before);
}

TEST_F(MetricsTest, ChangesOfConditionsAreCountedByTheirNewStatus) {
  metrics_.Turned("TrainingPool", Says("Ready", "True", "AsExpected"));
  metrics_.Turned("TrainingPool", Says("Ready", "True", "AsExpected"));
  metrics_.Turned("NodeGroup", Says("LinkHealthy", "False", "LinkSuspect"));
  EXPECT_EQ(Value(TurnSeries("TrainingPool", "Ready", "True")), 2);
  EXPECT_EQ(Value(TurnSeries("NodeGroup", "LinkHealthy", "False")), 1);
  EXPECT_EQ(Value(TurnSeries("TrainingPool", "Ready", "False")), 0);
}

TEST_F(MetricsTest, StartsAreMeasured) {
  metrics_.Started(42);
  EXPECT_EQ(Value("spillway_pool_start_seconds_sum"), 42);
}

// What is declared of a metric is what its series have.
TEST_F(MetricsTest, EverySampleHasTheLabelsOfItsFamily) {
  const placement::Snapshot world = SmallWorld();
  placement::Plan plan = placement::MakePlan(world);
  plan.inference_pools.at(0).memory.cells.at(0).blocked_until = tests::kNow + Seconds{60};
  metrics_.PublishDomain(world, plan);
  World objects;
  auto group = std::make_shared<crds::v1alpha1::NodeGroup>();
  group->status.conditions = {Says("Ready", "True", "AsExpected")};
  objects.node_groups = {group};
  metrics_.PublishConditions(objects);
  std::map<std::string, std::set<std::string>> seen;
  for (const std::string& series : MetricSeries(registry_.Text())) {
    auto& labels = seen[series.substr(0, series.find('{'))];
    for (size_t at = series.find_first_of("{,"); at != std::string::npos;
         at = series.find_first_of("{,", at + 1)) {
      labels.insert(series.substr(at + 1, series.find('=', at) - at - 1));
    }
  }
  for (const MetricFamily& family : registry_.Families()) {
    const std::string name = family.name + (family.type == "histogram" ? "_count" : "");
    ASSERT_TRUE(seen.contains(name)) << name;
    EXPECT_EQ(seen[name], family.labels) << name;
  }
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
  double Lists(const std::string& resource, const std::string& reason) const {
    return MetricValue(registry_.Text(), ReasonSeries("reflector_lists_total", resource, reason))
        .value_or(-1);
  }
  double Restarts(const std::string& resource, const std::string& reason) const {
    return MetricValue(registry_.Text(),
                       ReasonSeries("reflector_watch_restarts_total", resource, reason))
        .value_or(-1);
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
    for (const char* name : {"reflector_heals_total", "reflector_last_event_timestamp_seconds",
                             "reflector_undecodable_objects_total", "reflector_store_objects",
                             "reflector_store_bytes", "reflector_checks_skipped_total"}) {
      expected.insert(Labelled(name, "resource", resource));
    }
    for (const char* reason : {"start", "expired", "error", "idle", "differs"}) {
      expected.insert(ReasonSeries("reflector_lists_total", resource, reason));
    }
    for (const char* reason : {"timeout", "expired", "error", "idle", "differs"}) {
      expected.insert(ReasonSeries("reflector_watch_restarts_total", resource, reason));
    }
  }
  EXPECT_EQ(MetricSeries(registry_.Text()), expected);
  EXPECT_EQ(Lists("nodes", "start"), 0);
}

TEST_F(WatchMetrics, TellOfListsSignsOfLifeEndsAndWhatCannotBeRead) {
  watching_.Start();
  ASSERT_TRUE(server_.WaitUntil([&] { return server_.open_watches() == kWatched.size(); }));
  for (const char* resource : kWatched) {
    EXPECT_EQ(Lists(resource, "start"), 1) << resource;
    EXPECT_EQ(Restarts(resource, "timeout"), 0) << resource;
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
    EXPECT_TRUE(support::Eventually([&] { return Restarts(resource, "timeout") == 1; }))
        << resource;
  }
}

TEST_F(WatchMetrics, TellHowManyObjectsThereAreWhenTheyAreRead) {
  server_.Put({{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", "n1"}}}});
  server_.Put({{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", "n2"}}}});
  watching_.Start();
  ASSERT_TRUE(server_.WaitUntil([&] { return server_.open_watches() == kWatched.size(); }));
  watching_.Refresh();
  EXPECT_EQ(Value("reflector_store_objects", "nodes"), 2);
  EXPECT_EQ(Value("reflector_store_objects", "pods"), 0);
}

TEST_F(WatchMetrics, TellWhatObjectsTakeOfMemoryWhenTheyAreRead) {
  const auto bytes = [&](const std::string& resource) {
    watching_.Refresh();
    return Value("reflector_store_bytes", resource);
  };
  watching_.Start();
  ASSERT_TRUE(server_.WaitUntil([&] { return server_.open_watches() == kWatched.size(); }));
  EXPECT_EQ(bytes("nodes"), 0);
  server_.Put(support::MakeNode("n1"));
  EXPECT_TRUE(support::Eventually([&] { return bytes("nodes") > sizeof(kube::Node); }));
  const double one = bytes("nodes");
  server_.Put(support::MakeNode("n2", {.labels = {{"example.com/long", std::string(5000, 'x')}}}));
  EXPECT_TRUE(support::Eventually([&] { return bytes("nodes") > 2 * one + 5000; }));
  EXPECT_LT(bytes("nodes"), 2 * one + 6000);
  EXPECT_EQ(bytes("pods"), 0);
}

TEST_F(WatchMetrics, ADeletionThatTheServerLostIsMadeGoodWithinTheHourAndCounted) {
  server_.Put({{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", "n1"}}}});
  watching_.Start();
  ASSERT_TRUE(server_.WaitUntil([&] { return server_.open_watches() == kWatched.size(); }));
  ASSERT_EQ(stores_.nodes.size(), 1U);
  ASSERT_TRUE(server_.Lose("nodes", "", "n1"));
  clock_.Advance(std::chrono::hours(1));
  server_.CloseWatches();
  EXPECT_TRUE(support::Eventually([&] {
    server_.SendBookmarks();
    return stores_.nodes.size() == 0;
  }));
  EXPECT_TRUE(Becomes("reflector_heals_total", "nodes", 1));
  EXPECT_EQ(Lists("nodes", "differs"), 1);
  // None where the look ended before the next watch began.
  EXPECT_LE(Restarts("nodes", "differs"), 1);
  EXPECT_EQ(Value("reflector_heals_total", "pods"), 0);
  EXPECT_EQ(Value("reflector_checks_skipped_total", "nodes"), 0);
}

TEST_F(WatchMetrics, ALookAtWhatTheServerHasThatFailsIsCounted) {
  watching_.Start();
  ASSERT_TRUE(server_.WaitUntil([&] { return server_.open_watches() == kWatched.size(); }));
  clock_.Advance(std::chrono::hours(1));
  server_.Inject({.verb = "list", .path_contains = "/nodes", .status = 403, .reason = "Forbidden"});
  server_.CloseWatches();
  // Beside the watch, and told on what the watch brings next.
  EXPECT_TRUE(support::Eventually([&] {
    server_.SendBookmarks();
    return Value("reflector_checks_skipped_total", "nodes") == 1;
  }));
  EXPECT_EQ(Value("reflector_checks_skipped_total", "pods"), 0);
}

}  // namespace
}  // namespace spillway::controllers
