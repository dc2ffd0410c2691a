// Each check by the world in which it is the one that fails, with what it says.
#include "placement/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::MakePlan;
using placement::Plan;
using placement::PoolDecision;
using placement::Reason;
using placement::TopologyMode;
using testing::ElementsAre;
using testing::HasSubstr;

struct Case {
  const char* sentence;
  // `world` has 4 free nodes home-1 … home-4 of 8 GPUs; `pool` asks for 2 workers of 8.
  std::function<void(Snapshot& world, TrainingPool& pool)> make;
  Reason reason;
  std::string message;  // of the group home; empty: not compared
};

void Expect(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    Snapshot world = Fleet(4);
    world.groups.pop_back();
    TrainingPool pool = Wants("p", 2, 8);
    c.make(world, pool);
    world.pools.push_back(pool);
    const Plan plan = MakePlan(world);
    const PoolDecision& decision = DecisionOf(plan, "p");
    EXPECT_FALSE(decision.placed) << c.sentence;
    EXPECT_EQ(ReasonName(decision.placed_reason), ReasonName(c.reason)) << c.sentence;
    EXPECT_EQ(ReasonName(decision.ready_reason), ReasonName(c.reason)) << c.sentence;
    ASSERT_FALSE(decision.alternatives.empty()) << c.sentence;
    EXPECT_EQ(ReasonName(decision.alternatives[0].reason), ReasonName(c.reason)) << c.sentence;
    if (!c.message.empty()) {
      EXPECT_EQ(decision.alternatives[0].message, c.message) << c.sentence;
      if (c.reason != Reason::kNoMatchingNodeGroup) {
        EXPECT_EQ(decision.placed_message, "home: " + c.message) << c.sentence;
      }
    }
    const Status status = Verify(world, plan);
    EXPECT_TRUE(status.ok()) << c.sentence << ": " << status.error().message;
  }
}

void Cordon(Snapshot& world, const std::vector<std::string>& nodes) {
  for (const std::string& node : nodes) NodeOf(world, node).cordoned = true;
}

TEST(Checks, OfTheGroupItself) {
  Expect({
      {"a Closed group takes nothing new",
       [](Snapshot& w, TrainingPool&) { w.groups[0].admission = placement::Admission::kClosed; },
       Reason::kGroupClosed, "admission is Closed"},
      {"a misconfigured group takes nothing new",
       [](Snapshot& w, TrainingPool&) { w.groups[0].misconfigured = "cost.currency is EUR"; },
       Reason::kMisconfigured, "the node group is misconfigured: cost.currency is EUR"},
      {"another type of accelerator is not acceptable",
       [](Snapshot& w, TrainingPool&) { w.groups[0].accelerator = "h100"; },
       Reason::kNoMatchingNodeGroup, "its accelerators are h100, not a100"},
      {"another provider is not acceptable",
       [](Snapshot&, TrainingPool& p) {
         p.providers = {placement::Provider::kAws, placement::Provider::kGcp};
       },
       Reason::kNoMatchingNodeGroup, "its provider is OnPrem, not AWS and GCP"},
      {"a group without the labels asked for is not acceptable",
       [](Snapshot&, TrainingPool& p) {
         p.group_selector = {{.key = "site", .op = "Exists", .values = {}}};
       },
       Reason::kNoMatchingNodeGroup, "its labels do not match placement.nodeGroupSelector"},
      {"nobody can run no workers",
       [](Snapshot&, TrainingPool& p) { p.accelerators[0].workers = 0; },
       Reason::kNoMatchingNodeGroup, "its accelerators are a100, not a100"},
  });
}

TEST(Checks, OfTheShapeOfNodes) {
  Expect({
      {"a worker with more accelerators than any node has",
       [](Snapshot&, TrainingPool& p) { p.per_worker = 16; }, Reason::kNodeTooSmall,
       "one worker needs 16 nvidia.com/gpu where the largest node has 8"},
      {"a worker with more memory than any node has, however full the nodes",
       [](Snapshot& w, TrainingPool& p) {
         p.requests.Set("memory", int64_t{2} << 40);
         Use(w, "home-1", 8);
       },
       Reason::kNodeTooSmall, "one worker needs 2Ti memory where the largest node has 1Ti"},
      {"what the place adds counts",
       [](Snapshot& w, TrainingPool&) { w.groups[0].pod_defaults = Amounts({{"rdma/ib", "8"}}); },
       Reason::kNodeTooSmall, "one worker needs 8 rdma/ib where the largest node has 0"},
      {"each resource is there, but on different nodes",
       [](Snapshot& w, TrainingPool& p) {
         p.requests.Set("memory", int64_t{1} << 40);
         for (auto& node : w.nodes) node.allocatable.Set("memory", 1 << 30);
         w.nodes[0].allocatable.Set("memory", int64_t{1} << 40);
         w.nodes[0].allocatable.Set(kGpu, 4);
       },
       Reason::kNodeTooSmall, "one worker needs more at once than any single node has"},
  });
}

TEST(Checks, OfTheHealthOfNodes) {
  Expect({
      {"no node at all", [](Snapshot& w, TrainingPool&) { w.nodes.clear(); },
       Reason::kNodesUnhealthy, "it has no nodes"},
      {"no usable node",
       [](Snapshot& w, TrainingPool&) {
         Cordon(w, {"home-1", "home-2"});
         NodeOf(w, "home-3").draining = true;
         NodeOf(w, "home-4").out_of_service = true;
       },
       Reason::kNodesUnhealthy, "none of its 4 nodes is usable: 2 cordoned, 1 draining, 1 lost"},
      {"all nodes together would do, the usable ones don't even when empty",
       [](Snapshot& w, TrainingPool&) { Cordon(w, {"home-1", "home-2", "home-3"}); },
       Reason::kNodesUnhealthy,
       "needs 2 workers of 8 accelerators, and 1 of 4 nodes is usable, with room for 1 when empty: "
       "3 cordoned"},
      {"nodes whose accelerators have not appeared yet",
       [](Snapshot& w, TrainingPool&) {
         for (auto& node : w.nodes) {
           node.allocatable.Set(kGpu, node.id.name == "home-1" ? 8 : 4);
           node.created = kNow;
         }
       },
       Reason::kWaitingForCapacity, ""},
  });
}

void MatchTwice(Snapshot& world, const std::vector<std::string>& nodes) {
  NodeGroup other = Group("other");
  other.accelerator = "h100";
  other.selector = {{.key = "kubernetes.io/hostname", .op = "In", .values = nodes}};
  world.groups.push_back(other);
}

TEST(Checks, OfNodesThatTwoGroupsMatch) {
  Expect({
      {"too few nodes are the group's own",
       [](Snapshot& w, TrainingPool&) { MatchTwice(w, {"home-1", "home-2", "home-3"}); },
       Reason::kNodesOverlap,
       "3 nodes (home-1, home-2 and home-3) are also matched by other: no new placements there "
       "until one lets go"},
      {"enough are left, but in use",
       [](Snapshot& w, TrainingPool&) {
         MatchTwice(w, {"home-1", "home-2"});
         Use(w, "home-3", 1);
       },
       Reason::kWaitingForCapacity,
       "needs 2 workers of 8 accelerators, 1 fit: 15 of 16 accelerators are free on 2 nodes that "
       "it may use"},
  });
}

TEST(Checks, OfConstraints) {
  Expect({
      {"required affinity leaves too few nodes",
       [](Snapshot&, TrainingPool& p) {
         p.node_terms = {{{.key = "kubernetes.io/hostname", .op = "In", .values = {"home-1"}}},
                         {{.key = "zone", .op = "Exists", .values = {}}}};
       },
       Reason::kConstraintsNotMet,
       "needs 2 workers of 8 accelerators, and 1 of 4 usable nodes may be used: 3 nodes outside "
       "the template's "
       "node selector or required affinity"},
      {"a taint that is not tolerated",
       [](Snapshot& w, TrainingPool&) {
         for (auto& node : w.nodes) {
           node.taints = {{.key = "sku", .value = "gpu", .effect = "NoSchedule"}};
         }
       },
       Reason::kConstraintsNotMet,
       "needs 2 workers of 8 accelerators, and 0 of 4 usable nodes may be used: 4 nodes with the "
       "taint "
       "sku=gpu:NoSchedule that is not tolerated"},
      {"nodes that are left out for a while",
       [](Snapshot& w, TrainingPool& p) {
         w.nodes.resize(2);
         p.memory.excluded = {
             {.name = "home-1", .until = kNow + Seconds{60}, .reason = "GangIncomplete"}};
       },
       Reason::kConstraintsNotMet,
       "needs 2 workers of 8 accelerators, and 1 of 2 usable nodes may be used: home-1 is left out "
       "until "
       "2026-11-24T12:01:00Z (GangIncomplete)"},
  });
}

TEST(Checks, LetPassWhatMeetsConstraints) {
  Snapshot world = Fleet(2);
  world.nodes[0].taints = {{.key = "sku", .value = "gpu", .effect = "NoSchedule"},
                           {.key = "soft", .value = "", .effect = "PreferNoSchedule"}};
  world.nodes[1].taints = {{.key = "mine", .value = "", .effect = "NoExecute"}};
  world.groups[0].tolerations = {{.key = "sku", .op = "Exists", .value = "", .effect = ""}};
  TrainingPool pool = Wants("p", 2, 8);
  pool.tolerations = {{.key = "mine", .op = "Exists", .value = "", .effect = ""}};
  pool.memory.excluded = {{.name = "home-1", .until = kNow, .reason = "NodeLost"}};
  world.pools = {pool};
  EXPECT_EQ(Brief(MakePlan(world).pools[0]), "p@home[home-1 home-2]#1")
      << "the group's and the pool's tolerations, a soft taint, an exclusion that is over";
}

TEST(Checks, OfTheQuota) {
  Expect({
      {"what the namespace has and this would cross its limit",
       [](Snapshot& w, TrainingPool&) {
         AddRunning(w, "first", 1, 8, "home", {"home-1"});
         w.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 23}}}};
       },
       Reason::kWaitingForQuota,
       "needs 16 a100, and namespace team has 8 of its limit of 23 in use"},
      {"so it would where it could have just all of it",
       [](Snapshot& w, TrainingPool&) {
         AddRunning(w, "first", 1, 8, "home", {"home-1"});
         w.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 16}}}};
       },
       Reason::kWaitingForQuota,
       "needs 16 a100, and namespace team has 8 of its limit of 16 in use"},
      {"with all of it for itself it would not be enough",
       [](Snapshot& w, TrainingPool&) {
         AddRunning(w, "first", 1, 8, "home", {"home-1"});
         w.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 15}}}};
       },
       Reason::kQuotaExceeded, "needs 16 a100, more than the limit of 15 of namespace team"},
      {"the default limit holds where there is no PoolQuota",
       [](Snapshot& w, TrainingPool&) { w.default_limits = {{.type = "a100", .limit = 15}}; },
       Reason::kQuotaExceeded, "needs 16 a100, more than the limit of 15 of namespace team"},
  });
}

// Two types: of one the pool wants more than the limit, of the other others have what it wants.
TEST(Checks, OfTwoLimitsLeadWithTheOneThatTimeCanHelp) {
  Snapshot world = Fleet(1);
  world.groups.back() = Group("hopper");
  world.groups.back().accelerator = "h100";
  AddNodes(world, "hopper", 2);
  AddRunning(world, "first", 1, 8, "hopper", {"hopper-1"});
  PoolOf(world, "first").memory.placement->accelerator = "h100";
  TrainingPool pool = Wants("p", 1, 8);
  pool.accelerators.push_back({.type = "h100", .workers = 1});
  world.pools.push_back(pool);
  world.quotas = {
      {.ns = "team", .limits = {{.type = "a100", .limit = 7}, {.type = "h100", .limit = 8}}}};
  const PoolDecision decision = DecisionOf(MakePlan(world), "p");
  EXPECT_EQ(decision.placed_reason, Reason::kWaitingForQuota);
  EXPECT_EQ(decision.placed_message,
            "hopper: needs 8 h100, and namespace team has 8 of its limit of 8 in use; home: needs "
            "8 a100, more than the limit of 7 of namespace team");
  EXPECT_THAT(
      decision.remedies,
      ElementsAre("home: raise the limit of 7 for a100 in namespace team to 8",
                  "hopper: wait until others of namespace team have ended that have 8 h100, "
                  "or raise its limit of 8 to 16"));
}

TEST(Checks, OfAQuotaLeaveOthersAlone) {
  Snapshot world = Fleet(2);
  world.pools = {Wants("p", 2, 8)};
  world.default_limits = {{.type = "a100", .limit = 0}};
  world.quotas = {{.ns = "team", .limits = {{.type = "h100", .limit = 0}}},
                  {.ns = "other", .limits = {{.type = "a100", .limit = 0}}}};
  EXPECT_TRUE(MakePlan(world).pools[0].placed)
      << "a PoolQuota that does not list the type limits nothing, defaults included";
  world.quotas[0].limits.push_back({.type = "a100", .limit = 16});
  EXPECT_TRUE(MakePlan(world).pools[0].placed) << "a limit may be reached";
}

TEST(Checks, OfDomains) {
  const auto domains = [](Snapshot& w, const std::vector<std::string>& names) {
    for (size_t i = 0; i < names.size(); ++i) w.nodes[i].labels[kDomain] = names[i];
  };
  Expect({
      {"it would fit, but for Required",
       [&](Snapshot& w, TrainingPool& p) {
         domains(w, {"d1", "d1", "d2", "d2"});
         p.topology = TopologyMode::kRequired;
         Use(w, "home-1", 1);
         Use(w, "home-3", 1);
       },
       Reason::kWaitingForDomain,
       "needs 2 workers of 8 accelerators in one domain of topology.example.com/domain, and d1 has "
       "room for the "
       "most: 1; 2 would fit without topology.mode Required"},
      {"no domain is large enough, however empty",
       [&](Snapshot& w, TrainingPool& p) {
         domains(w, {"d1", "d2", "d3", "d4"});
         p.topology = TopologyMode::kRequired;
       },
       Reason::kWaitingForDomain,
       "needs 2 workers of 8 accelerators in one domain of topology.example.com/domain, and the "
       "largest, d1, "
       "takes 1 even when empty"},
      {"no node has the label",
       [](Snapshot&, TrainingPool& p) { p.topology = TopologyMode::kRequired; },
       Reason::kWaitingForDomain,
       "none of its usable nodes has the label topology.example.com/domain that topology.mode "
       "Required needs"},
      {"the group has no domains",
       [](Snapshot& w, TrainingPool& p) {
         w.groups[0].domain_labels.clear();
         p.topology = TopologyMode::kRequired;
       },
       Reason::kWaitingForDomain,
       "topology.mode is Required, and the node group's interconnect.domainLabels do not have any "
       "domain label"},
      {"the group does not have the level",
       [](Snapshot&, TrainingPool& p) {
         p.topology = TopologyMode::kRequired;
         p.topology_level = "rack";
       },
       Reason::kWaitingForDomain,
       "topology.mode is Required, and the node group's interconnect.domainLabels do not have "
       "rack"},
      {"without room anywhere, capacity is what is missing",
       [&](Snapshot& w, TrainingPool& p) {
         domains(w, {"d1", "d1", "d2", "d2"});
         p.topology = TopologyMode::kRequired;
         for (auto& node : w.nodes) Use(w, node.id.name, 1);
       },
       Reason::kWaitingForCapacity, ""},
  });
}

TEST(Checks, OfCapacity) {
  Expect({
      {"numbers that add up",
       [](Snapshot& w, TrainingPool& p) {
         p.accelerators[0].workers = 4;
         Use(w, "home-1", 8);
         Use(w, "home-2", 8);
       },
       Reason::kWaitingForCapacity,
       "needs 4 workers of 8 accelerators, 2 fit: 16 of 32 accelerators are free on 4 nodes that "
       "it may use"},
      {"what is free in pieces",
       [](Snapshot& w, TrainingPool&) {
         for (auto& node : w.nodes) Use(w, node.id.name, 4);
       },
       Reason::kWaitingForCapacity,
       "needs 2 workers of 8 accelerators, 0 fit: 16 of 32 accelerators are free on 4 nodes that "
       "it may use, 16 "
       "of them where no worker fits: at most 4 on one node (home-1)"},
      {"the largest of the pieces is named, of equal ones the first",
       [](Snapshot& w, TrainingPool&) {
         for (auto& node : w.nodes) Use(w, node.id.name, node.id.name < "home-3" ? 5 : 3);
       },
       Reason::kWaitingForCapacity,
       "needs 2 workers of 8 accelerators, 0 fit: 16 of 32 accelerators are free on 4 nodes that "
       "it may use, 16 "
       "of them where no worker fits: at most 5 on one node (home-3)"},
      {"its own old pods are on the node with the most",
       [](Snapshot& w, TrainingPool& p) {
         for (auto& node : w.nodes) Use(w, node.id.name, 4);
         NodeOf(w, "home-2").used.Set("cpu", 96'000);
         placement::Worker old;
         old.pod = "old";
         old.node = "home-2";
         old.attempt = 1;
         old.requests = Amounts({{kGpu, "4"}, {"cpu", "2"}});
         p.workers = {old};
         p.memory.attempts = 1;
       },
       Reason::kWaitingForCapacity,
       "needs 2 workers of 8 accelerators, 0 fit: 20 of 32 accelerators are free on 4 nodes that "
       "it may use, 20 "
       "of them where no worker fits: home-2 has 8, but 2 of the 4 cpu that a worker needs"},
      {"what is left over on nodes where workers fit",
       [](Snapshot&, TrainingPool& p) {
         p.per_worker = 5;
         p.accelerators[0].workers = 5;
       },
       Reason::kWaitingForCapacity,
       "needs 5 workers of 5 accelerators, 4 fit: 32 of 32 accelerators are free on 4 nodes that "
       "it may use, 12 "
       "of them in pieces too small for a worker; with all of them empty 4 would"},
      {"accelerators are free where memory is not",
       [](Snapshot& w, TrainingPool&) {
         for (auto& node : w.nodes) node.used.Set("memory", int64_t{1020} << 30);
       },
       Reason::kWaitingForCapacity,
       "needs 2 workers of 8 accelerators, 0 fit: 32 of 32 accelerators are free on 4 nodes that "
       "it may use, 32 "
       "of them where no worker fits: home-1 has 8, but 4Gi of the 16Gi memory that a worker "
       "needs"},
      {"a gang that could never fit",
       [](Snapshot&, TrainingPool& p) { p.accelerators[0].workers = 5; },
       Reason::kWaitingForCapacity,
       "needs 5 workers of 8 accelerators, 4 fit: 32 of 32 accelerators are free on 4 nodes that "
       "it may use; "
       "with all of them empty 4 would"},
      {"a gang on more nodes than one can name",
       [](Snapshot& w, TrainingPool& p) {
         p.accelerators[0].workers = 1001;
         AddNodes(w, "home", 1000);
       },
       Reason::kWaitingForCapacity,
       "needs 1001 workers of 8 accelerators: would take 1001 nodes, and a gang can be kept to "
       "1000 at the "
       "most"},
  });
}

std::vector<std::string> RemediesAt(
    const std::function<void(Snapshot& world, TrainingPool& pool)>& make) {
  Snapshot world = Fleet(8);
  world.groups.pop_back();
  TrainingPool pool = Wants("p", 8, 8);
  make(world, pool);
  world.pools.push_back(pool);
  return MakePlan(world).pools[0].remedies;
}

TEST(Remedies, NameTheNodesThatAreNotUsable) {
  EXPECT_THAT(RemediesAt([](Snapshot& w, TrainingPool&) {
                Cordon(w, {"home-3"});
                NodeOf(w, "home-5").draining = true;
              }),
              testing::ElementsAre("home: make more of its nodes usable: home-3 is cordoned and "
                                   "home-5 is draining"));
  EXPECT_THAT(RemediesAt([](Snapshot& w, TrainingPool&) {
                for (auto& node : w.nodes) node.cordoned = true;
              }),
              testing::ElementsAre("home: make its nodes usable: home-1 is cordoned, home-2 is "
                                   "cordoned, home-3 is cordoned, home-4 is cordoned and 4 more "
                                   "are not"));
  EXPECT_THAT(RemediesAt([](Snapshot& w, TrainingPool&) {
                for (auto& node : w.nodes) node.out_of_service = true;
              }),
              testing::ElementsAre("home: make its nodes usable: 8 lost"));
}

// Of eight nodes one has a taint, and two are left out for a while.
std::vector<std::string> RemediesWithFive(int workers) {
  return RemediesAt([&](Snapshot& w, TrainingPool& p) {
    p.accelerators[0].workers = workers;
    p.node_terms = {{{.key = "group", .op = "Exists", .values = {}}}};
    NodeOf(w, "home-1").taints = {{.key = "t", .value = "", .effect = "NoSchedule"}};
    p.memory.excluded = {
        {.name = "home-2", .until = kNow + Seconds{120}, .reason = "GangIncomplete"},
        {.name = "home-3", .until = kNow + Seconds{60}, .reason = "GangIncomplete"}};
  });
}

TEST(Remedies, SayHowNodesThatAreLeftOutCouldBeUsed) {
  EXPECT_THAT(RemediesWithFive(6),
              testing::ElementsAre("home: tolerate the taint t:NoSchedule or take it off, or wait "
                                   "until 2026-11-24T12:01:00Z"))
      << "one of them is enough";
  EXPECT_THAT(RemediesWithFive(7), testing::ElementsAre("home: wait until 2026-11-24T12:02:00Z"))
      << "two are";
  EXPECT_THAT(RemediesWithFive(8),
              testing::ElementsAre("home: tolerate the taint t:NoSchedule or take it off; wait "
                                   "until 2026-11-24T12:02:00Z"))
      << "all are needed";
  EXPECT_THAT(RemediesAt([](Snapshot& w, TrainingPool& p) {
                p.accelerators[0].workers = 7;
                NodeOf(w, "home-1").taints = {{.key = "t", .value = "", .effect = "NoSchedule"},
                                              {.key = "u", .value = "", .effect = "NoSchedule"}};
                NodeOf(w, "home-2").taints = {{.key = "v", .value = "", .effect = "NoSchedule"}};
              }),
              testing::ElementsAre("home: tolerate the taint v:NoSchedule or take it off"))
      << "the other node would be left out still";
  EXPECT_THAT(RemediesAt([](Snapshot&, TrainingPool& p) {
                p.node_terms = {{{.key = "zone", .op = "Exists", .values = {}}}};
              }),
              testing::ElementsAre("home: change the template's node selector or required "
                                   "affinity, or the nodes' labels"));
}

TEST(Remedies, SayAllThatIsMissingNotOnlyTheFirstThing) {
  Snapshot world = Fleet(4);
  world.groups.pop_back();
  GroupOf(world, "home").admission = placement::Admission::kClosed;
  for (int i = 1; i <= 3; ++i) Use(world, "home-" + std::to_string(i), 1);
  Cordon(world, {"home-4"});
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 8}}}};
  world.pools = {Wants("p", 2, 8)};
  EXPECT_THAT(MakePlan(world).pools[0].remedies,
              testing::ElementsAre(
                  "home: set its admission to Open; raise the limit of 8 for a100 in namespace "
                  "team to 16; room for 2 more workers: for each 8 accelerators and all else that "
                  "it requests on one node; for "
                  "1 there would be "
                  "room on nodes that are not usable: 1 cordoned"));
}

// 6 nodes in domains of 3, of which other pods have two in d1 and one in d2.
Snapshot TwoDomains() {
  Snapshot world = Fleet(6);
  world.groups.pop_back();
  for (int i = 1; i <= 6; ++i) {
    NodeOf(world, "home-" + std::to_string(i)).labels[kDomain] = i <= 3 ? "d1" : "d2";
  }
  for (const char* node : {"home-1", "home-2", "home-4"}) Use(world, node, 1);
  return world;
}

TEST(Remedies, CountRoomInOneDomainWhereOneIsRequired) {
  Snapshot world = TwoDomains();
  Use(world, "home-5", 1);  // 1 fits in d1, 1 in d2
  world.pools = {Wants("p", 3)};
  world.pools[0].topology = TopologyMode::kRequired;
  const PoolDecision decision = MakePlan(world).pools[0];
  EXPECT_EQ(decision.placed_message,
            "home: needs 3 workers of 8 accelerators, 2 fit: 44 of 48 accelerators are free on 6 "
            "nodes that it may use, 28 of them where no worker fits: at most 7 on one node "
            "(home-1); it needs them in one domain, and d1 has room for the most: 1");
  EXPECT_THAT(decision.remedies,
              testing::ElementsAre("home: room for 2 more workers in one domain: for each 8 "
                                   "accelerators and all else that it requests on one node"));
}

TEST(Remedies, CountRoomOnUnusableNodesInThatDomainOnly) {
  Snapshot world = TwoDomains();
  Cordon(world, {"home-3", "home-6"});  // none fits in d1, 1 in d2
  AddNodes(world, "home", 2, 8, "d2");
  Use(world, "home-8", 1);
  world.pools = {Wants("p", 3)};
  world.pools[0].topology = TopologyMode::kRequired;
  EXPECT_THAT(MakePlan(world).pools[0].remedies,
              testing::ElementsAre("home: room for 1 more worker in one domain: 8 accelerators and "
                                   "all else that it requests on one node; for 1 there would be "
                                   "room on nodes that are not usable: 2 cordoned"));
}

// home, where other pods are, could take the pool some day: it would hold back from azure.
Snapshot WouldHoldBack() {
  Snapshot world = Fleet(1, 1);
  Use(world, "home-1", 8);
  world.pools = {Wants("p", 1)};
  world.pools[0].spill_allowed = false;
  world.pools[0].spill_after = Seconds{300};
  return world;
}
std::string RemedyOf(const Plan& plan, const std::string& group) {
  for (const std::string& remedy : plan.pools[0].remedies) {
    if (remedy.starts_with(group + ": ")) return remedy.substr(group.size() + 2);
  }
  return "";
}

TEST(Remedies, SayThatAPoolWouldHoldBackIfItMightSpill) {
  Snapshot world = WouldHoldBack();
  const Plan plan = MakePlan(world);
  EXPECT_EQ(plan.pools[0].alternatives[1].message,
            "tier 10 is not home and placement.spill.policy is Never");
  EXPECT_EQ(RemedyOf(plan, "azure"),
            "set placement.spill.policy to Allowed; wait until 2026-11-24T12:05:00Z, or lower "
            "placement.spill.afterSeconds (300)");
  EXPECT_EQ(plan.next_wake, kNow + Seconds{300}) << "it is told anew then";
  const std::string allowed = "set placement.spill.policy to Allowed";
  world.pools[0].memory.tiers_used = {10};
  EXPECT_EQ(RemedyOf(MakePlan(world), "azure"), allowed) << "it has been there";
  world = WouldHoldBack();
  world.pools[0].memory.waiting_since = kNow - Seconds{300};
  EXPECT_EQ(RemedyOf(MakePlan(world), "azure"), allowed) << "that time is over";
  world = WouldHoldBack();
  world.groups[0].admission = placement::Admission::kClosed;
  EXPECT_EQ(RemedyOf(MakePlan(world), "azure"), allowed) << "home takes nobody";
}

// What else is missing where the nodes of azure do not do, by what makes them so.
TEST(Remedies, SayAllThatIsMissingWhereNodesDoNotDo) {
  struct NodesCase {
    const char* sentence;
    std::function<void(Snapshot& world, TrainingPool& pool)> make;
    Reason reason;
  };
  const std::vector<NodesCase> cases = {
      {"not usable", [](Snapshot& w, TrainingPool&) { Cordon(w, {"azure-1"}); },
       Reason::kNodesUnhealthy},
      {"two groups' own", [](Snapshot& w, TrainingPool&) { MatchTwice(w, {"azure-1"}); },
       Reason::kNodesOverlap},
      {"not tolerated",
       [](Snapshot& w, TrainingPool&) {
         NodeOf(w, "azure-1").taints = {{.key = "t", .value = "", .effect = "NoSchedule"}};
       },
       Reason::kConstraintsNotMet},
      {"too small",
       [](Snapshot& w, TrainingPool&) { NodeOf(w, "azure-1").allocatable.Set(kGpu, 4); },
       Reason::kNodeTooSmall},
  };
  for (const NodesCase& c : cases) {
    Snapshot world = WouldHoldBack();
    world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 4}}}};
    world.pools[0].spill_max_hourly_cost = Dollars("1");
    c.make(world, world.pools[0]);
    const Plan plan = MakePlan(world);
    ASSERT_EQ(plan.pools[0].alternatives[1].group, "azure") << c.sentence;
    EXPECT_EQ(ReasonName(plan.pools[0].alternatives[1].reason), ReasonName(c.reason)) << c.sentence;
    EXPECT_THAT(
        RemedyOf(plan, "azure"),
        testing::EndsWith("; raise the limit of 4 for a100 in namespace team to 8; raise "
                          "placement.spill.maxHourlyCost of 1.00 to 32.00; set "
                          "placement.spill.policy to Allowed; wait until 2026-11-24T12:05:00Z, or "
                          "lower placement.spill.afterSeconds (300)"))
        << c.sentence;
  }
}

TEST(Remedies, SayNothingMoreOfAGroupThatIsNotAcceptable) {
  Snapshot world = WouldHoldBack();
  world.groups[1].accelerator = "h100";
  EXPECT_EQ(RemedyOf(MakePlan(world), "azure"), "");
}

TEST(Waiting, ForNothingAcceptableSaysWhatWasAskedAndWhatThereIs) {
  Snapshot world = Fleet(1, 1);
  world.groups[1].accelerator = "h100";
  TrainingPool pool = Wants("p", 1);
  pool.accelerators = {{.type = "b200", .workers = 1}, {.type = "gb300", .workers = 1}};
  pool.providers = {placement::Provider::kOnPrem};
  world.pools = {pool};
  const auto plan = MakePlan(world);
  EXPECT_EQ(plan.pools[0].placed_reason, Reason::kNoMatchingNodeGroup);
  EXPECT_EQ(plan.pools[0].placed_message,
            "no node group is acceptable: asked for b200 and gb300 of OnPrem; there are a100 and "
            "h100");
  EXPECT_THAT(plan.pools[0].remedies.front(), HasSubstr("there are a100 and h100"));
  world.groups.clear();
  EXPECT_THAT(MakePlan(world).pools[0].placed_message, HasSubstr("there are no node groups"));
}

TEST(Waiting, HasTheReasonOfTheGroupThatGotFurthest) {
  Snapshot world = Fleet(1, 1);
  world.groups[0].admission = placement::Admission::kClosed;
  TrainingPool pool = Wants("p", 1);
  pool.spill_allowed = false;
  world.pools = {pool};
  EXPECT_EQ(Brief(MakePlan(world).pools[0]), "p!SpillForbidden");
  EXPECT_EQ(MakePlan(world).pools[0].placed_message,
            "azure: tier 10 is not home and placement.spill.policy is Never; home: admission is "
            "Closed");
}

TEST(Waiting, ForAnotherProviderSaysWhereSuchAcceleratorsAre) {
  Snapshot world = Fleet(1, 1);
  TrainingPool pool = Wants("p", 1);
  pool.providers = {placement::Provider::kAws};
  world.pools = {pool};
  EXPECT_EQ(MakePlan(world).pools[0].placed_message,
            "no node group is acceptable: asked for a100 of AWS; such accelerators are in azure "
            "(Azure) and home (OnPrem)");
}

TEST(Waiting, SaysOnceWhatSeveralGroupsSayAlike) {
  Snapshot world = Fleet(1, 1);
  for (NodeGroup& group : world.groups) group.admission = placement::Admission::kClosed;
  world.pools = {Wants("p", 1)};
  EXPECT_EQ(MakePlan(world).pools[0].placed_message, "home and azure: admission is Closed");
}

TEST(Waiting, TellsOfTheFirstFewGroupsWithinAConditionsMessage) {
  Snapshot world;
  world.now = kNow;
  for (int i = 0; i < 40; ++i) {
    world.groups.push_back(Group("group-with-a-rather-long-name-" + std::to_string(i), i + 1));
    world.nodes.push_back(GpuNode("n" + std::to_string(i), world.groups.back().name));
  }
  world.pools = {Wants("p", 1)};
  world.pools[0].spill_allowed = false;
  const std::string message = MakePlan(world).pools[0].placed_message;
  EXPECT_LE(message.size(), 1024U);
  EXPECT_EQ(std::count(message.begin(), message.end(), ';'), 2) << message;
}

}  // namespace
}  // namespace spillway::tests
