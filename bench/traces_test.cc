// What is read of the traces, and what is made of it.
#include "traces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace spillway::tests {
namespace {

using bench::Extent;
using bench::InventedShapes;
using bench::InventedTasks;
using bench::MakeScenario;
using bench::ReadRequests;
using bench::ReadShapes;
using bench::ReadTasks;
using bench::Scenario;

TEST(ReadTasks, TakesThoseThatRanOnGpusByCreation) {
  const auto tasks = ReadTasks(
      "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,"
      "deletion_time,scheduled_time\r\n"
      "late,6000,12288,1,460,,LS,Running,200,900,300\r\n"
      "early,12000,16384,8,1000,,BE,Succeeded,100,150,110\n"
      "cpu,12000,16384,0,0,,BE,Succeeded,100,150,110\n"
      "pending,12000,16384,1,1000,,BE,Pending,100,150,\n");
  ASSERT_TRUE(tasks.ok()) << tasks.error().message;
  ASSERT_EQ(tasks->size(), 2U);
  const bench::Task& early = tasks->front();
  EXPECT_EQ(early.created, 100);
  EXPECT_EQ(early.ran, 40);
  EXPECT_EQ(early.gpus, 8);
  EXPECT_EQ(early.cpu_milli, 12'000);
  EXPECT_EQ(early.memory_mib, 16'384);
  EXPECT_FALSE(early.latency_sensitive);
  EXPECT_EQ(tasks->back().gpus, 1);  // a share of one
  EXPECT_TRUE(tasks->back().latency_sensitive);
}

TEST(ReadShapes, TakesOneModel) {
  const auto shapes =
      ReadShapes("sn,cpu_milli,memory_mib,gpu,model\na,96000,393216,8,G2\nb,104000,524288,2,T4\n");
  ASSERT_TRUE(shapes.ok());
  ASSERT_EQ(shapes->size(), 1U);
  EXPECT_EQ(shapes->front().gpus, 8);
  EXPECT_EQ(shapes->front().cpu_milli, 96'000);
  EXPECT_EQ(shapes->front().memory_mib, 393'216);
}

TEST(ReadRequests, CountsSecondsFromTheFirst) {
  const auto requests = ReadRequests(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
      "2023-11-16 23:59:59.9799600,4808,10\r\n"
      "2023-11-17 00:01:00.0319600,110,27\r\n"
      "2023-11-17 00:00:00.5000000,3180,8\r\n");
  ASSERT_TRUE(requests.ok()) << requests.error().message;
  EXPECT_THAT(*requests, testing::ElementsAre(0, 1, 61));
}

TEST(Read, SaysWhatIsMissing) {
  EXPECT_EQ(ReadTasks("").error().message, "the trace is empty");
  EXPECT_EQ(ReadTasks("name\n").error().message, "the trace has no column creation_time");
  EXPECT_EQ(ReadShapes("sn,cpu_milli,memory_mib,gpu,model\n").error().message,
            "the trace has no node of model G2");
  EXPECT_EQ(ReadRequests("TIMESTAMP\n").error().message, "the trace has no request");
  EXPECT_EQ(ReadRequests("TIMESTAMP\nnoon\n").error().code, Code::kInvalid);
}

int64_t Accelerators(const placement::Arrival& arrival) {
  return int64_t{arrival.pool.per_worker} * arrival.pool.accelerators.front().workers;
}

TEST(Scenario, OffersTheLoadAskedFor) {
  const Extent extent{.home_nodes = 4, .cloud_nodes = 1, .tasks = 100};
  for (const double load : {0.7, 1.2}) {
    const Scenario scenario = MakeScenario(InventedTasks(), InventedShapes(), extent, load, 3);
    ASSERT_EQ(scenario.arrivals.size(), 100U);
    double work = 0;
    for (const placement::Arrival& arrival : scenario.arrivals) {
      ASSERT_GE(arrival.runs_for, Seconds{extent.shortest});
      ASSERT_LE(arrival.runs_for, Seconds{extent.longest});
      work += static_cast<double>(arrival.runs_for.count() * Accelerators(arrival));
    }
    const auto span = static_cast<double>(scenario.arrivals.back().at.count());
    EXPECT_NEAR(work / (span * 4 * 8), load, 0.001);
  }
}

TEST(Scenario, HasGangsTenantsPrioritiesAndDeadlines) {
  const Extent extent{.tasks = 150};
  const Scenario scenario = MakeScenario(InventedTasks(), InventedShapes(), extent, 1, 1);
  std::set<std::string> tenants;
  std::set<int64_t> priorities;
  int gangs = 0;
  int deadlines = 0;
  for (const placement::Arrival& arrival : scenario.arrivals) {
    tenants.insert(arrival.pool.key.ns);
    priorities.insert(arrival.pool.priority);
    const int workers = arrival.pool.accelerators.front().workers;
    EXPECT_LE(workers, 4);
    if (workers > 1) ++gangs;
    if (!arrival.pool.active_deadline) continue;
    ++deadlines;
    EXPECT_EQ(*arrival.pool.active_deadline, 3 * arrival.runs_for + Seconds{6 * 3600});
  }
  EXPECT_THAT(tenants, testing::ElementsAre("tenant-a", "tenant-b", "tenant-c", "tenant-d"));
  EXPECT_THAT(priorities, testing::ElementsAre(0, 10));
  EXPECT_NEAR(gangs, 150 / 4, 15);
  EXPECT_NEAR(deadlines, 150 / 2, 25);
}

TEST(Scenario, IsTheSameForTheSameSeed) {
  const auto make = [](uint32_t seed) {
    return MakeScenario(InventedTasks(), InventedShapes(), {.tasks = 50}, 1, seed);
  };
  EXPECT_EQ(make(1).arrivals, make(1).arrivals);
  EXPECT_NE(make(1).arrivals, make(2).arrivals);
  EXPECT_EQ(make(1).start, make(2).start);
}

}  // namespace
}  // namespace spillway::tests
