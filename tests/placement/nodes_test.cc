#include "placement/nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::GroupView;
using placement::Node;
using placement::NodeState;
using placement::Standing;
using placement::StandingOf;
using placement::Survey;
using placement::World;
using testing::HasSubstr;

TEST(NodeState, IsTheFirstThatApplies) {
  struct Case {
    const char* sentence;
    std::function<void(NodeGroup&, Node&)> make;
    NodeState state;
    std::optional<Time> until = {};
  };
  const std::vector<Case> cases = {
      {"a healthy node is usable", [](NodeGroup&, Node&) {}, NodeState::kUsable},
      {"the out-of-service taint makes it lost, whatever else",
       [](NodeGroup&, Node& n) {
         n.out_of_service = true;
         n.ready = false;
         n.not_ready_since = kNow;
       },
       NodeState::kLost},
      {"NotReady counts as not ready while the grace lasts",
       [](NodeGroup&, Node& n) {
         n.ready = false;
         n.not_ready_since = kNow - Seconds{299};
       },
       NodeState::kNotReady, kNow + Seconds{1}},
      {"NotReady is unhealthy when the grace is over",
       [](NodeGroup&, Node& n) {
         n.ready = false;
         n.not_ready_since = kNow - Seconds{300};
       },
       NodeState::kUnhealthy},
      {"the grace is the group's own",
       [](NodeGroup& g, Node& n) {
         g.not_ready_grace = Seconds{10};
         n.ready = false;
         n.not_ready_since = kNow - Seconds{10};
       },
       NodeState::kUnhealthy},
      {"NotReady goes before draining",
       [](NodeGroup&, Node& n) {
         n.ready = false;
         n.not_ready_since = kNow;
         n.draining = true;
       },
       NodeState::kNotReady, kNow + Seconds{300}},
      {"a condition from the group's list is unhealthy",
       [](NodeGroup& g, Node& n) {
         g.bad_conditions = {{.type = "GPUMissing", .status = "True"}};
         n.conditions = {{"GPUMissing", "True"}};
       },
       NodeState::kUnhealthy},
      {"the same condition with another status is not",
       [](NodeGroup& g, Node& n) {
         g.bad_conditions = {{.type = "GPUMissing", .status = "True"}};
         n.conditions = {{"GPUMissing", "False"}};
       },
       NodeState::kUsable},
      {"a taint from the group's list is unhealthy, any value and effect",
       [](NodeGroup& g, Node& n) {
         g.bad_taints = {{.key = "spot-itn", .value = "", .effect = ""}};
         n.taints = {{.key = "spot-itn", .value = "soon", .effect = "NoSchedule"}};
       },
       NodeState::kUnhealthy},
      {"a bad taint with a value means that value",
       [](NodeGroup& g, Node& n) {
         g.bad_taints = {{.key = "k", .value = "bad", .effect = ""}};
         n.taints = {{.key = "k", .value = "good", .effect = "NoSchedule"}};
       },
       NodeState::kUsable},
      {"a bad taint with an effect means that effect",
       [](NodeGroup& g, Node& n) {
         g.bad_taints = {{.key = "k", .value = "", .effect = "NoExecute"}};
         n.taints = {{.key = "k", .value = "", .effect = "NoSchedule"}};
       },
       NodeState::kUsable},
      {"cordoned", [](NodeGroup&, Node& n) { n.cordoned = true; }, NodeState::kCordoned},
      {"draining says more than cordoned",
       [](NodeGroup&, Node& n) {
         n.cordoned = true;
         n.draining = true;
       },
       NodeState::kDraining},
      {"what its provisioner has not finished is starting until the grace ends",
       [](NodeGroup&, Node& n) {
         n.starting = true;
         n.created = kNow - Seconds{899};
       },
       NodeState::kStarting, kNow + Seconds{1}},
      {"Ready or not",
       [](NodeGroup&, Node& n) {
         n.starting = true;
         n.created = kNow - Seconds{899};
         n.ready = false;
         n.not_ready_since = n.created;
       },
       NodeState::kStarting, kNow + Seconds{1}},
      {"and unhealthy then",
       [](NodeGroup&, Node& n) {
         n.starting = true;
         n.created = kNow - Seconds{900};
       },
       NodeState::kUnhealthy},
      {"starting says more than what else is said of it",
       [](NodeGroup& g, Node& n) {
         n.starting = n.cordoned = true;
         n.created = kNow - Seconds{899};
         g.bad_conditions = {{.type = "GPUMissing", .status = "True"}};
         n.conditions = {{"GPUMissing", "True"}};
       },
       NodeState::kStarting, kNow + Seconds{1}},
      {"draining says more than starting",
       [](NodeGroup&, Node& n) {
         n.starting = n.draining = true;
         n.created = kNow;
       },
       NodeState::kDraining},
      {"fewer accelerators than perNode is starting until the grace ends",
       [](NodeGroup&, Node& n) {
         n.allocatable.Set(kGpu, 7);
         n.created = kNow - Seconds{899};
       },
       NodeState::kStarting, kNow + Seconds{1}},
      {"and unhealthy then",
       [](NodeGroup&, Node& n) {
         n.allocatable.Set(kGpu, 7);
         n.created = kNow - Seconds{900};
       },
       NodeState::kUnhealthy},
      {"without perNode, no accelerator at all is starting",
       [](NodeGroup& g, Node& n) {
         g.per_node = 0;
         n.allocatable.Set(kGpu, 0);
         n.created = kNow;
       },
       NodeState::kStarting, kNow + Seconds{900}},
      {"without perNode, one accelerator will do",
       [](NodeGroup& g, Node& n) {
         g.per_node = 0;
         n.allocatable.Set(kGpu, 1);
       },
       NodeState::kUsable},
      {"where the CPU is the accelerator, cores count",
       [](NodeGroup& g, Node& n) {
         g.resource.clear();
         g.per_node = 96;
         n.allocatable = Amounts({{"cpu", "95900m"}});
         n.created = kNow;
       },
       NodeState::kStarting, kNow + Seconds{900}},
      {"where the CPU is the accelerator, no device is missed",
       [](NodeGroup& g, Node& n) {
         g.resource.clear();
         g.per_node = 0;
         n.allocatable = Amounts({{"cpu", "500m"}});
       },
       NodeState::kUsable},
  };
  for (const Case& c : cases) {
    NodeGroup group = Group("g");
    Node node = GpuNode("n", "g");
    c.make(group, node);
    EXPECT_EQ(StandingOf(group, node, kNow), (Standing{.state = c.state, .until = c.until}))
        << c.sentence;
  }
}

TEST(GroupMembership, IsBySelectorWithinTheCluster) {
  Snapshot world = Fleet(2, 1);
  NodeOf(world, "home-2").id.cluster = "elsewhere";
  world.groups.push_back(Group("nothing"));
  world.groups.back().selector.clear();
  const World view = Survey(world);
  EXPECT_EQ(view.FindGroup("home")->members.size(), 1U);
  EXPECT_EQ(view.FindGroup("azure")->members.size(), 1U);
  EXPECT_EQ(view.FindGroup("nothing")->members.size(), 0U);
  EXPECT_EQ(view.FindGroup("other"), nullptr);
  EXPECT_TRUE(view.FindNode("elsewhere", "home-2"));
  EXPECT_FALSE(view.FindNode("", "home-2"));
}

TEST(GroupMembership, IsByAnyKindOfSelector) {
  struct Case {
    const char* sentence;
    std::vector<placement::Requirement> selector;
    std::vector<std::string> nodes;
  };
  const std::string host = "kubernetes.io/hostname";
  const std::vector<Case> cases = {
      {"one value", {{.key = host, .op = "In", .values = {"home-2"}}}, {"home-2"}},
      {"several values, one of them twice",
       {{.key = host, .op = "In", .values = {"home-1", "home-3", "home-1"}}},
       {"home-1", "home-3"}},
      {"no value that it must have",
       {{.key = host, .op = "NotIn", .values = {"home-1"}},
        {.key = "group", .op = "NotIn", .values = {"azure"}}},
       {"home-2", "home-3"}},
      {"all requirements, not only the one that it is found by",
       {{.key = "group", .op = "In", .values = {"home"}},
        {.key = "zone", .op = "DoesNotExist", .values = {}}},
       {"home-1", "home-3"}},
  };
  for (const Case& c : cases) {
    Snapshot world = Fleet(3, 1);
    NodeOf(world, "home-2").labels["zone"] = "z1";
    world.groups = {Group("g")};
    world.groups[0].selector = c.selector;
    const World view = Survey(world);
    std::vector<std::string> nodes;
    for (const placement::Member& member : view.groups[0].members) {
      nodes.push_back(view.nodes[member.node]->id.name);
    }
    EXPECT_EQ(nodes, c.nodes) << c.sentence;
  }
}

TEST(NodeFinder, FindsNeighboursStrangersAndNothing) {
  Snapshot world = Fleet(4);
  NodeOf(world, "home-3").id.cluster = "elsewhere";
  const World view = Survey(world);
  placement::NodeFinder finder(view, "");
  for (const char* name : {"home-1", "home-1", "home-2", "home-4", "home-2"}) {
    const auto node = finder.Find(name);
    ASSERT_TRUE(node) << name;
    EXPECT_EQ(view.nodes[*node]->id.name, name);
  }
  EXPECT_FALSE(finder.Find("home-3")) << "it is another cluster's";
  EXPECT_FALSE(finder.Find("home-9"));
}

TEST(Overlap, IsToldOnBothGroupsAndNamesNodesAndGroups) {
  Snapshot world = Fleet(3);
  world.groups.push_back(Group("also"));
  world.groups.back().selector = {
      {.key = "kubernetes.io/hostname", .op = "In", .values = {"home-2", "home-3"}}};
  world.groups.back().misconfigured = "wrong, but its selector still matches";
  const World view = Survey(world);
  EXPECT_EQ(view.FindGroup("home")->overlap,
            "2 nodes (home-2 and home-3) are also matched by also: no new placements there until "
            "one lets go");
  EXPECT_EQ(view.FindGroup("also")->overlap,
            "2 nodes (home-2 and home-3) are also matched by home: no new placements there until "
            "one lets go");
  EXPECT_EQ(view.FindGroup("azure")->overlap, "");
  EXPECT_FALSE(view.FindGroup("home")->members[0].overlapped);
  EXPECT_TRUE(view.FindGroup("home")->members[1].overlapped);
}

GroupView WithNotReady(int nodes, int not_ready, const std::function<void(Snapshot&)>& edit = {}) {
  static Snapshot world;
  world = Fleet(nodes);
  for (int i = 1; i <= not_ready; ++i) {
    Node& node = NodeOf(world, "home-" + std::to_string(i));
    node.ready = false;
    node.not_ready_since = kNow;
  }
  if (edit) edit(world);
  return *Survey(world).FindGroup("home");
}

TEST(Link, IsSuspectWhenMoreThanTheShareAndAtLeastThreeAreNotReadyFromTheFirstSecond) {
  EXPECT_FALSE(WithNotReady(4, 2).LinkSuspect()) << "half of them, but only 2";
  EXPECT_FALSE(WithNotReady(10, 3).LinkSuspect()) << "3 of 10 are 30 %, not more";
  EXPECT_TRUE(WithNotReady(9, 3).LinkSuspect());
  EXPECT_TRUE(WithNotReady(3, 3).LinkSuspect());
  EXPECT_FALSE(WithNotReady(10, 5, [](Snapshot& w) {
                 w.groups[0].max_unhealthy_percent = 50;
               }).LinkSuspect());
  EXPECT_TRUE(WithNotReady(10, 6, [](Snapshot& w) {
                w.groups[0].max_unhealthy_percent = 50;
              }).LinkSuspect());
}

TEST(Link, IsNotDoubtedForNodesThatAreOutOfService) {
  EXPECT_FALSE(WithNotReady(9, 3, [](Snapshot& world) {
                 NodeOf(world, "home-1").out_of_service = true;
               }).LinkSuspect());
}

TEST(Link, IsNotDoubtedForNodesThatHaveYetToArrive) {
  const auto arrive = [](Snapshot& world) {
    for (Node& node : world.nodes) {
      node.starting = !node.ready;
      node.created = kNow;
    }
  };
  EXPECT_FALSE(WithNotReady(3, 3, arrive).LinkSuspect());
}

TEST(Link, IsNotInDoubtWhenAnAdminSaysThatItIsDown) {
  const GroupView view = WithNotReady(9, 3, [](Snapshot& w) { w.groups[0].link_down = true; });
  EXPECT_TRUE(view.over_limit);
  EXPECT_FALSE(view.LinkSuspect());
  EXPECT_THAT(LinkSentence(view), HasSubstr("link: down says that they count as unreachable"));
}

TEST(GroupView, KnowsWhenTimeAloneChangesAState) {
  EXPECT_EQ(WithNotReady(3, 0).changes_at, std::nullopt);
  EXPECT_EQ(WithNotReady(3, 2,
                         [](Snapshot& world) {
                           NodeOf(world, "home-2").not_ready_since = kNow - Seconds{100};
                         })
                .changes_at,
            kNow + Seconds{200});
}

TEST(GroupView, DividesPricesByWhatItsNodesShowWherePerNodeIsLeftOut) {
  EXPECT_EQ(WithNotReady(3, 0).per_node, 8);
  const auto left_out = [](Snapshot& world) {
    world.groups[0].per_node = 0;
    NodeOf(world, "home-2").allocatable.Set(kGpu, 4);
    NodeOf(world, "home-3").allocatable.Set(kGpu, 2);
  };
  EXPECT_EQ(WithNotReady(3, 0, left_out).per_node, 8);
  EXPECT_EQ(WithNotReady(0, 0, [](Snapshot& world) { world.groups[0].per_node = 0; }).per_node, 1);
}

}  // namespace
}  // namespace spillway::tests
