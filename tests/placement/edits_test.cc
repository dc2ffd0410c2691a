#include "placement/edits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::AddPools;
using placement::MakePlan;
using placement::RemoveNodes;
using placement::RemovePool;
using placement::SetPrice;
using testing::ElementsAre;

std::vector<std::string> NodesOf(const Snapshot& world) {
  std::vector<std::string> names;
  for (const placement::Node& node : world.nodes) names.push_back(node.id.name);
  return names;
}

TEST(Edits, SetAGroupsAdmission) {
  const Snapshot world = Fleet(1);
  using placement::Admission;
  const auto admission = [](const Result<Snapshot>& after, size_t group) {
    return after.value().groups[group].admission;
  };
  EXPECT_EQ(admission(Drain(world, "home"), 0), Admission::kDrain);
  EXPECT_EQ(admission(Close(world, "azure"), 1), Admission::kClosed);
  EXPECT_EQ(admission(Close(world, "azure"), 0), Admission::kOpen);
  Snapshot closed = world;
  closed.groups[0].admission = Admission::kClosed;
  EXPECT_EQ(admission(Open(closed, "home"), 0), Admission::kOpen);
}

TEST(Edits, AddedNodesAreLikeTheLastOneByNameButNewAndEmpty) {
  Snapshot world = Fleet(0);
  AddNodes(world, "home", 1, 4, "d1");
  AddNodes(world, "home", 1, 8, "d2");
  placement::Node& last = NodeOf(world, "home-2");
  last.used = Amounts({{kGpu, "8"}});
  last.ready = false;
  last.not_ready_since = kNow;
  last.cordoned = last.starting = last.draining = last.out_of_service = true;
  last.conditions = {{"GPUMissing", "True"}};
  GroupOf(world, "home").bad_taints = {{.key = "spot", .value = "soon", .effect = ""}};
  last.taints = {{.key = "sku", .value = "gpu", .effect = "NoSchedule"},
                 {.key = "spot", .value = "soon", .effect = "NoSchedule"},
                 {.key = "spot", .value = "yes", .effect = "NoSchedule"},
                 {.key = "node.kubernetes.io/unreachable", .value = "", .effect = "NoExecute"}};
  std::swap(world.nodes[0], world.nodes[1]);  // by name, not by place
  const auto after = AddNodes(world, "home=2");
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_THAT(NodesOf(*after), ElementsAre("home-2", "home-1", "home-new-1", "home-new-2"));
  placement::Node expected = GpuNode("home-new-2", "home", 8, "d2");
  expected.created = kNow;
  expected.taints = {{.key = "sku", .value = "gpu", .effect = "NoSchedule"},
                     {.key = "spot", .value = "yes", .effect = "NoSchedule"}};
  EXPECT_TRUE(after->nodes.back() == expected);
  const auto more = AddNodes(*after, "home=1");
  ASSERT_TRUE(more);
  EXPECT_EQ(more->nodes.back().id.name, "home-new-3");
}

TEST(Edits, AddedNodesAreOfTheGroupsCluster) {
  Snapshot world = Fleet(1);
  world.groups[0].cluster = world.nodes[0].id.cluster = "west";
  const auto after = AddNodes(world, "home=1");
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->nodes.back().id.cluster, "west");
  EXPECT_EQ(MakePlan(*after).groups[1].usable, 2);
}

TEST(Edits, RemovedNodesAreTheGroupsLastByName) {
  Snapshot world = Fleet(3, 1);
  std::swap(world.nodes[0], world.nodes[2]);
  const auto after = RemoveNodes(world, "home=2");
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_THAT(NodesOf(*after), ElementsAre("home-1", "azure-1"));
  const auto none = RemoveNodes(world, "home=3");
  ASSERT_TRUE(none);
  EXPECT_THAT(NodesOf(*none), ElementsAre("azure-1"));
}

TEST(Edits, APriceIsOfFullAndMarginalHours) {
  const auto after = SetPrice(Fleet(1), "home=12.50");
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->groups[0].per_node_hour, Dollars("12.50"));
  EXPECT_EQ(after->groups[0].marginal_per_node_hour, Dollars("12.50"));
  EXPECT_EQ(after->groups[1].per_node_hour, Dollars("32"));
}

TEST(Edits, AddedPoolsComeInTheSnapshotsForm) {
  Snapshot world = Fleet(1);
  world.pools = {Wants("a", 1)};
  const auto after = AddPools(world,
                              "# two\npools:\n  - {namespace: team, name: b, accelerators: [{type: "
                              "a100, workers: 3}]}\ninferencePools:\n  - {namespace: team, name: "
                              "b, replicas: 2}\n");
  ASSERT_TRUE(after) << after.error().message;
  ASSERT_EQ(after->pools.size(), 2U);
  EXPECT_EQ(after->pools[1].key.Format(), "team/b");
  EXPECT_EQ(after->pools[1].accelerators.at(0).workers, 3);
  EXPECT_EQ(after->inference_pools.at(0).replicas, 2);
}

TEST(Edits, ARemovedPoolGivesBackWhatItsPodsTake) {
  Snapshot world = Fleet(2);
  AddRunning(world, "gone", 2, 4, "home", {"home-1", "home-2"});
  AddRunning(world, "stays", 1, 4, "home", {"home-1"});
  PoolOf(world, "gone").workers[1].ended = true;  // took nothing any more
  NodeOf(world, "home-2").used = Resources();
  const auto after = RemovePool(world, "team/gone");
  ASSERT_TRUE(after) << after.error().message;
  ASSERT_EQ(after->pools.size(), 1U);
  EXPECT_EQ(after->pools[0].key.name, "stays");
  EXPECT_EQ(after->nodes[0].used.Get(kGpu), 4);
  EXPECT_EQ(after->nodes[1].used.Get(kGpu), 0);
}

TEST(Edits, ARemovedInferencePoolGivesBackWhatItsReplicasTake) {
  Snapshot world = Fleet(1);
  auto pool = Chat(2);
  Runs(world, pool, "gpu", "home", 2, 2, {"home-1"});
  world.inference_pools = {pool, Chat(1, "other")};
  ASSERT_EQ(world.nodes[0].used.Get(kGpu), 2);
  const auto after = RemovePool(world, "serving/chat");
  ASSERT_TRUE(after) << after.error().message;
  ASSERT_EQ(after->inference_pools.size(), 1U);
  EXPECT_EQ(after->inference_pools[0].key.name, "other");
  EXPECT_EQ(after->nodes[0].used.Get(kGpu), 0);
}

TEST(Edits, ScaleAsksForWorkersOfEveryTypeOrForUnits) {
  Snapshot world = Fleet(2);
  world.pools = {Wants("gang", 1)};
  world.pools[0].accelerators.push_back({.type = "h100", .workers = 5});
  world.inference_pools = {Chat(2)};
  const auto gang = Scale(world, "team/gang=3");
  ASSERT_TRUE(gang) << gang.error().message;
  EXPECT_EQ(gang->pools[0].accelerators[0].workers, 3);
  EXPECT_EQ(gang->pools[0].accelerators[1].workers, 3);
  const auto chat = Scale(world, "serving/chat=0");
  ASSERT_TRUE(chat) << chat.error().message;
  EXPECT_EQ(chat->inference_pools[0].replicas, 0);
}

TEST(Edits, AScaledGangThatRunsGoesOnAndSaysSo) {
  Snapshot world = Fleet(3);
  AddRunning(world, "gang", 1, 8, "home", {"home-1"});
  const auto after = Scale(world, "team/gang=2");
  ASSERT_TRUE(after) << after.error().message;
  const auto plan = MakePlan(*after);
  EXPECT_THAT(Brief(plan), ElementsAre("gang@home[home-1]#1"));
  EXPECT_THAT(plan.pools[0].ready_message, testing::HasSubstr("next attempt"));
}

TEST(Edits, APoolOfOneOfTwoKindsIsNamedWithItsKind) {
  Snapshot world = Fleet(1);
  world.pools = {Wants("chat", 1)};
  world.pools[0].key.ns = "serving";
  world.inference_pools = {Chat(1)};
  const auto gang = Scale(world, "TrainingPool/serving/chat=7");
  ASSERT_TRUE(gang) << gang.error().message;
  EXPECT_EQ(gang->pools[0].accelerators[0].workers, 7);
  EXPECT_EQ(gang->inference_pools[0].replicas, 1);
  const auto serving = RemovePool(world, "InferencePool/serving/chat");
  ASSERT_TRUE(serving) << serving.error().message;
  EXPECT_EQ(serving->pools.size(), 1U);
  EXPECT_TRUE(serving->inference_pools.empty());
}

TEST(Edits, AMomentIsNotBeforeTheSnapshots) {
  const Snapshot world = Fleet(1);
  const auto later = MoveTo(world, "2026-11-24T13:00:00Z");
  ASSERT_TRUE(later) << later.error().message;
  EXPECT_EQ(later->now, kNow + Seconds{3600});
  EXPECT_TRUE(MoveTo(world, "2026-11-24T12:00:00Z"));
}

TEST(Edits, WhatIsWrongIsOneSentence) {
  using Function = Result<Snapshot> (*)(Snapshot, const std::string&);
  struct Case {
    Function edit;
    const char* value;
    const char* message;
  };
  const char* no_group = "the snapshot has no node group \"hom\"; it has azure, empty and home";
  const std::vector<Case> cases = {
      {placement::Drain, "hom", no_group},
      {placement::Close, "hom", no_group},
      {placement::Open, "hom", no_group},
      {placement::AddNodes, "hom=1", no_group},
      {placement::AddNodes, "home", "\"home\" is not GROUP=N"},
      {placement::AddNodes, "=3", "\"=3\" is not GROUP=N"},
      {placement::AddNodes, "home=", "\"home=\" is not GROUP=N"},
      {placement::AddNodes, "home=x", "\"x\" is no whole number from 1 to 100000"},
      {placement::AddNodes, "home=0", "\"0\" is no whole number from 1 to 100000"},
      {placement::AddNodes, "home=1.5", "\"1.5\" is no whole number from 1 to 100000"},
      {placement::AddNodes, "home=100001", "\"100001\" is no whole number from 1 to 100000"},
      {placement::AddNodes, "empty=1", "node group empty has no node that new ones could be like"},
      {RemoveNodes, "home=3", "node group home has 2 nodes: 3 cannot go"},
      {SetPrice, "home", "\"home\" is not GROUP=AMOUNT"},
      {SetPrice, "hom=1", no_group},
      {SetPrice, "home=-1", "\"-1\" is no amount of money; write for example 32.77"},
      {RemovePool, "gang",
       "\"gang\" is not NAMESPACE/NAME, nor TrainingPool/NAMESPACE/NAME or "
       "InferencePool/NAMESPACE/NAME"},
      {RemovePool, "Job/team/gang",
       "\"Job/team/gang\" is not NAMESPACE/NAME, nor TrainingPool/NAMESPACE/NAME or "
       "InferencePool/NAMESPACE/NAME"},
      {RemovePool, "a/b/c/d",
       "\"a/b/c/d\" is not NAMESPACE/NAME, nor TrainingPool/NAMESPACE/NAME or "
       "InferencePool/NAMESPACE/NAME"},
      {RemovePool, "team/gone", "the snapshot has no TrainingPool or InferencePool team/gone"},
      {RemovePool, "InferencePool/team/gang", "the snapshot has no InferencePool team/gang"},
      {RemovePool, "team/both",
       "the snapshot has a TrainingPool and an InferencePool team/both: write "
       "TrainingPool/team/both or InferencePool/team/both"},
      {placement::Scale, "team/gang", "\"team/gang\" is not NAMESPACE/NAME=N"},
      {placement::Scale, "team/gang=0", "\"0\" is no whole number from 1 to 10000"},
      {placement::Scale, "team/gang=10001", "\"10001\" is no whole number from 1 to 10000"},
      {placement::Scale, "InferencePool/team/both=-1",
       "\"-1\" is no whole number from 0 to 100000"},
      {placement::Scale, "InferencePool/team/both=100001",
       "\"100001\" is no whole number from 0 to 100000"},
      {placement::MoveTo, "noon", "\"noon\" is no RFC 3339 time"},
      {placement::MoveTo, "2026-11-24T11:59:59Z",
       "2026-11-24T11:59:59Z is before the snapshot's own moment, 2026-11-24T12:00:00Z"},
      {AddPools, "", "has no pool: one a line below pools: or inferencePools:"},
      {AddPools, "pools:\n", "has no pool: one a line below pools: or inferencePools:"},
      {AddPools, "pools:\n  - {namespace: team, name: gang}\n",
       "the snapshot has TrainingPool team/gang already"},
      {AddPools, "inferencePools:\n  - {namespace: team, name: both}\n",
       "the snapshot has InferencePool team/both already"},
      {AddPools, "now: 2026-11-24T12:00:00Z\n",
       "line 1: field now is not allowed here; allowed: pools, inferencePools"},
      {AddPools, "pools:\n  - {namespace: team, name: new, suspend: no}\n",
       "line 2: pools: field suspend: \"no\" is neither true nor false"},
  };
  Snapshot world = Fleet(2);
  world.groups.push_back(Group("empty", 20));
  world.pools = {Wants("gang", 1), Wants("both", 1)};
  world.inference_pools = {Chat(1, "both")};
  world.inference_pools[0].key.ns = "team";
  for (const Case& c : cases) {
    const auto after = c.edit(world, c.value);
    ASSERT_FALSE(after) << c.value;
    EXPECT_EQ(after.error().code, Code::kInvalid) << c.value;
    EXPECT_EQ(after.error().message, c.message) << c.value;
  }
}

}  // namespace
}  // namespace spillway::tests
