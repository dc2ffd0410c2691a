#include "placement/reports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::GroupReport;
using placement::MakePlan;
using placement::Reason;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

GroupReport Home(const Snapshot& world) {
  for (const GroupReport& report : MakePlan(world).groups) {
    if (report.name == "home") return report;
  }
  return {};
}

TEST(GroupReport, CountsEachMatchedNodeExactlyOnce) {
  Snapshot world = Fleet(8);
  NodeOf(world, "home-1").cordoned = true;
  NodeOf(world, "home-2").draining = true;
  NodeOf(world, "home-3").out_of_service = true;
  NodeOf(world, "home-4").ready = false;
  NodeOf(world, "home-4").not_ready_since = kNow;
  NodeOf(world, "home-5").ready = false;
  NodeOf(world, "home-5").not_ready_since = kNow - Seconds{1000};
  NodeOf(world, "home-6").allocatable.Set(kGpu, 0);
  NodeOf(world, "home-6").created = kNow;
  const GroupReport report = Home(world);
  EXPECT_EQ(report.matched, 8);
  EXPECT_EQ(report.usable, 2);
  EXPECT_EQ(report.starting, 1);
  EXPECT_EQ(report.cordoned, 1);
  EXPECT_EQ(report.draining, 1);
  EXPECT_EQ(report.unhealthy, 2) << "out of service, and NotReady for too long";
  EXPECT_EQ(report.not_ready, 1);
  EXPECT_TRUE(report.ready);
  EXPECT_EQ(report.ready_message, "2 of 8 nodes usable");
}

TEST(GroupReport, SumsAcceleratorsAndMoney) {
  Snapshot world = Fleet(4);
  Use(world, "home-1", 6);
  Use(world, "home-2", 8);
  NodeOf(world, "home-2").cordoned = true;
  NodeOf(world, "home-3").allocatable.Set(kGpu, 0);
  const GroupReport report = Home(world);
  EXPECT_EQ(report.allocatable, 24);
  EXPECT_EQ(report.used, 14);
  EXPECT_EQ(report.free, 2 + 8);
  EXPECT_EQ(report.hourly_cost.Format(), "128.00") << "also of nodes that can't be used";
  EXPECT_EQ(report.idle_hourly_cost.Format(), "72.00") << "2 of 8, none, 8 of 8, 8 of 8";
  EXPECT_EQ(report.marginal_hourly_cost, Money());
}

TEST(GroupReport, CountsWholeCoresWhereTheCpuIsTheAccelerator) {
  Snapshot world = Fleet(1);
  world.groups[0].resource.clear();
  world.groups[0].per_node = 0;
  world.nodes[0].allocatable = Amounts({{"cpu", "191900m"}});
  world.nodes[0].used = Amounts({{"cpu", "1200m"}});
  const GroupReport report = Home(world);
  EXPECT_EQ(report.allocatable, 191);
  EXPECT_EQ(report.used, 2);
  EXPECT_EQ(report.free, 190);
}

TEST(GroupReport, LeavesReservedAcceleratorsOutOfWhatIsFreeButNotOutOfWhatIsIdle) {
  Snapshot world = Fleet(2);
  world.pools = {Has("p", 1, 8, "home", {"home-1"})};
  EXPECT_EQ(Home(world).free, 8);
  EXPECT_EQ(Home(world).used, 0);
  EXPECT_EQ(Home(world).idle_hourly_cost.Format(), "64.00");
}

TEST(GroupReport, NamesTheDomainWithTheMostEntirelyFreeNodes) {
  Snapshot world = Fleet(0);
  AddNodes(world, "home", 2, 8, "d1");
  AddNodes(world, "home", 3, 8, "d2");
  AddNodes(world, "home", 5);
  Use(world, "home-3", 1);
  EXPECT_EQ(Home(world).largest_free_domain, "d1") << "as many as d2, and first by name";
  EXPECT_EQ(Home(world).largest_free_domain_nodes, 2);
  Use(world, "home-1", 1);
  EXPECT_EQ(Home(world).largest_free_domain, "d2");
  world.groups[0].domain_labels.clear();
  EXPECT_EQ(Home(world).largest_free_domain, "");
  EXPECT_EQ(Home(world).largest_free_domain_nodes, 8);
}

TEST(GroupReport, IsNotReadyWhenItCannotBeUsed) {
  Snapshot world = Fleet(1);
  world.groups[0].admission = placement::Admission::kClosed;
  EXPECT_TRUE(Home(world).ready);
  EXPECT_EQ(Home(world).ready_message, "1 of 1 node usable; admission is Closed");
  world.nodes[0].cordoned = true;
  EXPECT_FALSE(Home(world).ready);
  EXPECT_EQ(Home(world).ready_reason, Reason::kNodesUnhealthy);
  EXPECT_EQ(Home(world).ready_message, "0 of 1 node usable");
  world.nodes.clear();
  EXPECT_EQ(Home(world).ready_message, "its selector matches no node");
  world.groups[0].misconfigured = "cost.currency is EUR";
  EXPECT_EQ(Home(world).ready_reason, Reason::kMisconfigured);
  EXPECT_EQ(Home(world).ready_message, "cost.currency is EUR");
}

TEST(GroupReport, TellsOfOverlapAndOfTheLink) {
  Snapshot world = Fleet(4);
  EXPECT_TRUE(Home(world).no_overlap);
  EXPECT_TRUE(Home(world).link_healthy);
  EXPECT_EQ(Home(world).link_message, "0 of 4 nodes NotReady");
  world.groups[1].selector = world.groups[0].selector;
  for (int i = 0; i < 3; ++i) {
    world.nodes[static_cast<size_t>(i)].ready = false;
    world.nodes[static_cast<size_t>(i)].not_ready_since = kNow;
  }
  EXPECT_FALSE(Home(world).no_overlap);
  EXPECT_THAT(Home(world).overlap_message, HasSubstr("also matched by azure"));
  EXPECT_EQ(Home(world).free, 0) << "nothing of an overlapped node can be had";
  EXPECT_FALSE(Home(world).link_healthy);
  world.groups[0].link_down = true;
  EXPECT_FALSE(Home(world).link_healthy) << "an annotation does not heal it";
}

TEST(QuotaReport, HasEveryTypeThatIsLimitedOrUsed) {
  Snapshot world = Fleet(2);
  AddRunning(world, "p", 2, 4, "home", {"home-1"});
  world.pools.push_back(Wants("q", 1, 8));
  world.pools.back().key.ns = "other";
  world.quotas = {
      {.ns = "team", .limits = {{.type = "h100", .limit = 4}, {.type = "a100", .limit = 64}}},
      {.ns = "idle", .limits = {}}};
  world.default_limits = {{.type = "a100", .limit = 8}};
  const auto plan = MakePlan(world);
  ASSERT_EQ(plan.quotas.size(), 3U);
  EXPECT_EQ(plan.quotas[0].ns, "idle");
  EXPECT_THAT(plan.quotas[0].accelerators, IsEmpty());
  EXPECT_EQ(plan.quotas[1].ns, "other");
  EXPECT_THAT(
      plan.quotas[1].accelerators,
      ElementsAre(placement::QuotaUse{.type = "a100", .used = 8, .limit = 8, .borrowed = 8}));
  EXPECT_EQ(plan.quotas[2].ns, "team");
  EXPECT_THAT(
      plan.quotas[2].accelerators,
      ElementsAre(placement::QuotaUse{.type = "a100", .used = 8, .limit = 64, .borrowed = 8},
                  placement::QuotaUse{.type = "h100", .used = 0, .limit = 4}));
}

// team has 8 of its 16; other has 16 and is guaranteed 4: home's 24 are in use.
TEST(QuotaReport, SaysWhatIsBorrowedAndLent) {
  Snapshot world = Fleet(3);
  AddRunning(world, "p", 1, 8, "home", {"home-1"});
  AddRunning(world, "q", 2, 8, "home", {"home-2", "home-3"}).key.ns = "other";
  world.quotas = {
      {.ns = "team", .limits = {{.type = "a100", .limit = 64, .guaranteed = 16}}, .weight = 1},
      {.ns = "other", .limits = {{.type = "a100", .limit = 64, .guaranteed = 4}}, .weight = 1}};
  const auto plan = MakePlan(world);
  EXPECT_THAT(plan.quotas[0].accelerators,
              ElementsAre(placement::QuotaUse{
                  .type = "a100", .used = 16, .limit = 64, .guaranteed = 4, .borrowed = 12}));
  EXPECT_THAT(
      plan.quotas[1].accelerators,
      ElementsAre(placement::QuotaUse{
          .type = "a100", .used = 8, .limit = 64, .guaranteed = 16, .borrowed = 0, .lent = 8}));
  EXPECT_TRUE(plan.quotas[1].guarantees_covered);
  world.quotas[0].limits[0].guaranteed = 21;
  const auto over = MakePlan(world);
  EXPECT_FALSE(over.quotas[1].guarantees_covered);
  EXPECT_EQ(over.quotas[1].guarantees_message,
            "25 a100 are guaranteed to all namespaces together, and home has 24");
}

}  // namespace
}  // namespace spillway::tests
