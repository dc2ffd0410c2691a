#include "placement/reports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>

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

constexpr int64_t kHomeMemory = int64_t{98} << 30;

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

struct Shape {
  std::string sentence;
  std::function<void(Snapshot&)> change;
  std::string message;  // empty: it matches
};

// Three nodes of 8 GPUs, 96 cores and 900Gi, as the spec says.
TEST(GroupReport, TellsWhichNodesAreNotAsTheSpecSays) {
  const auto shape = [](NodeGroup& group, const char* name, int64_t amount) {
    group.elastic->node_shape.Set(name, amount);
  };
  const Shape cases[] = {
      {"as the spec says", [](Snapshot&) {}, ""},
      {"fewer accelerators", [](Snapshot& w) { NodeOf(w, "home-2").allocatable.Set(kGpu, 7); },
       "1 of 3 nodes has other amounts than the spec says: home-2 has 7 nvidia.com/gpu, and "
       "accelerator.perNode says 8"},
      {"more accelerators, twice",
       [](Snapshot& w) {
         NodeOf(w, "home-2").allocatable.Set(kGpu, 16);
         NodeOf(w, "home-3").allocatable.Set(kGpu, 9);
       },
       "2 of 3 nodes have other amounts than the spec says: home-2 has 16 nvidia.com/gpu, and "
       "accelerator.perNode says 8"},
      {"any number where the spec says none",
       [](Snapshot& w) {
         w.groups[0].per_node = 0;
         w.groups[0].elastic.reset();
         NodeOf(w, "home-2").allocatable.Set(kGpu, 7);
       },
       ""},
      {"another number than new nodes are to have",
       [](Snapshot& w) {
         w.groups[0].per_node = 0;
         NodeOf(w, "home-2").allocatable.Set(kGpu, 9);
       },
       "1 of 3 nodes has other amounts than the spec says: home-2 has 9 nvidia.com/gpu, and "
       "elastic.nodeShape says 8"},
      {"less memory than new nodes are to have",
       [&](Snapshot& w) { shape(w.groups[0], "memory", kHomeMemory / 98 * 100); },
       "3 of 3 nodes have other amounts than the spec says: home-1 has 98Gi memory, and "
       "elastic.nodeShape says 100Gi"},
      {"a little less of it",
       [&](Snapshot& w) { shape(w.groups[0], "memory", kHomeMemory / 980 * 989); }, ""},
      {"fewer cores, by however little",
       [&](Snapshot& w) {
         shape(w.groups[0], "cpu", NodeOf(w, "home-1").allocatable.Get("cpu") + 1);
       },
       "3 of 3 nodes have other amounts than the spec says: home-1 has 96 cpu, and "
       "elastic.nodeShape says 96001m"},
      {"more cores",
       [&](Snapshot& w) {
         shape(w.groups[0], "cpu", NodeOf(w, "home-1").allocatable.Get("cpu") - 1);
       },
       ""},
      {"none of a device that new nodes are to have",
       [&](Snapshot& w) { shape(w.groups[0], "rdma/ib", 4); },
       "3 of 3 nodes have other amounts than the spec says: home-1 has 0 rdma/ib, and "
       "elastic.nodeShape says 4"},
      {"fewer cores where they are the accelerators",
       [](Snapshot& w) {
         w.groups[0].elastic.reset();
         w.groups[0].resource.clear();
         w.groups[0].per_node = 96;
         NodeOf(w, "home-2").allocatable.Set("cpu", 95999);
         NodeOf(w, "home-3").allocatable.Set("cpu", 97000);
       },
       "1 of 3 nodes has other amounts than the spec says: home-2 has 95999m cpu, and "
       "accelerator.perNode says 96"},
  };
  for (const Shape& c : cases) {
    Snapshot world = Fleet(3);
    placement::Elastic elastic;
    elastic.max_nodes = 3;
    elastic.node_shape = world.nodes[0].allocatable;
    world.groups[0].elastic = elastic;
    for (placement::Node& node : world.nodes) node.allocatable.Set("memory", kHomeMemory);
    world.groups[0].elastic->node_shape.Set("memory", kHomeMemory);
    c.change(world);
    const GroupReport report = Home(world);
    EXPECT_EQ(report.shape_matches, c.message.empty()) << c.sentence;
    if (!c.message.empty()) {
      EXPECT_EQ(report.shape_message, c.message) << c.sentence;
    }
  }
}

// What a node lacks in its first minutes, or showed last, is no shape.
TEST(GroupReport, TellsOfNoShapeThatMayNotBeKnown) {
  const std::pair<const char*, std::function<void(placement::Node&)>> cases[] = {
      {"it has just come", [](placement::Node& node) { node.created = kNow; }},
      {"it has come, and a check of it failed",
       [](placement::Node& node) {
         node.created = kNow;
         node.conditions["GPUMissing"] = "True";
       }},
      {"it is NotReady",
       [](placement::Node& node) {
         node.ready = false;
         node.not_ready_since = kNow;
       }},
      {"it has long been NotReady",
       [](placement::Node& node) {
         node.ready = false;
         node.not_ready_since = kNow - Seconds{86400};
       }},
      {"it is cordoned", [](placement::Node& node) { node.cordoned = true; }},
      {"it is on its way out", [](placement::Node& node) { node.draining = true; }},
      {"it is out of service", [](placement::Node& node) { node.out_of_service = true; }},
  };
  Snapshot world = Fleet(2);
  world.groups[0].bad_conditions = {{.type = "GPUMissing", .status = "True"}};
  NodeOf(world, "home-1").allocatable.Set(kGpu, 7);
  ASSERT_FALSE(Home(world).shape_matches);
  for (const auto& [sentence, change] : cases) {
    Snapshot other = world;
    change(NodeOf(other, "home-1"));
    EXPECT_TRUE(Home(other).shape_matches) << sentence;
  }
}

// Plans go by what nodes have, whatever the spec says of them.
TEST(GroupReport, OfAnotherShapeChangesNoPlan) {
  Snapshot world = Fleet(1);
  NodeOf(world, "home-1").allocatable.Set(kGpu, 16);
  world.pools = {Wants("p", 2, 8)};
  const auto plan = MakePlan(world);
  EXPECT_FALSE(Home(world).shape_matches);
  EXPECT_EQ(Brief(plan.pools[0]), "p@home[home-1]#1");
  EXPECT_TRUE(Home(world).ready);
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
