#include "placement/capacity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::MakePlan;
using placement::NeedIn;
using placement::RequestIn;
using testing::ElementsAre;

TEST(Request, IsTheTemplatePlusThePlacesOwnPlusTheAccelerators) {
  NodeGroup group = Group("g");
  group.pod_defaults = Amounts({{"rdma/ib", "8"}, {"memory", "1Gi"}});
  EXPECT_EQ(
      RequestIn(Wants("p", 1, 4), group),
      Amounts({{"cpu", "4"}, {"memory", "17Gi"}, {"pods", "1"}, {kGpu, "4"}, {"rdma/ib", "8"}}));
}

TEST(Request, CountsCoresWhereTheCpuIsTheAccelerator) {
  NodeGroup group = Group("g");
  group.resource.clear();
  EXPECT_EQ(RequestIn(Wants("p", 1, 47), group).Get(kCpu), 47'000);
  EXPECT_EQ(RequestIn(Wants("p", 1, 2), group).Get(kGpu), 0);
  TrainingPool with_sidecar = Wants("p", 1, 47);
  with_sidecar.other_cpu = 3000;
  EXPECT_EQ(RequestIn(with_sidecar, group).Get(kCpu), 50'000);
}

TEST(Request, AddsTheAcceleratorsToThoseThatOtherContainersAskFor) {
  TrainingPool pool = Wants("p", 1, 4);
  pool.requests.Set(kGpu, 1);
  EXPECT_EQ(RequestIn(pool, Group("g")).Get(kGpu), 5);
}

TEST(Need, HasTheWorkersOfTheTypeThatTheGroupHas) {
  TrainingPool pool = Wants("p", 4);
  pool.accelerators = {{.type = "h100", .workers = 2}, {.type = "a100", .workers = 4}};
  EXPECT_EQ(NeedIn(pool, Group("g"))->workers, 4);
  EXPECT_EQ(NeedIn(pool, Group("g"))->choice, 1U);
  NodeGroup other = Group("g");
  other.accelerator = "b200";
  EXPECT_FALSE(NeedIn(pool, other));
}

// What is free at home for others, after all reservations.
int64_t FreeAtHome(const Snapshot& world) { return MakePlan(world).groups[1].free; }

TEST(Free, IsAllocatableMinusTheRequestsOfAllPods) {
  Snapshot world = Fleet(2);
  Use(world, "home-1", 3);
  AddRunning(world, "mine", 1, 4, "home", {"home-2"});
  EXPECT_EQ(FreeAtHome(world), 5 + 4);
}

TEST(Free, IsNothingOnNodesThatTakeNoWork) {
  Snapshot world = Fleet(3);
  NodeOf(world, "home-1").cordoned = true;
  NodeOf(world, "home-2").ready = false;
  EXPECT_EQ(FreeAtHome(world), 8);
}

TEST(Reservation, IsAllThatWorkersCouldTakeUntilTheyAreAllBound) {
  Snapshot world = Fleet(2);
  world.pools = {Has("pair", 2, 4, "home", {"home-1", "home-2"})};
  EXPECT_EQ(FreeAtHome(world), 0) << "both could go to either node";
  world.pools = {Has("pair", 2, 4, "home", {"home-1", "home-2"})};
  AddWorkers(world, world.pools[0]);
  NodeOf(world, "home-2").used = Resources();
  world.pools[0].workers[1].node.clear();
  EXPECT_EQ(FreeAtHome(world), 4) << "one is bound; the other could still go to either node";
}

TEST(Reservation, IsWhatWorkersHaveOnceTheyAreAllBound) {
  Snapshot world = Fleet(2);
  world.pools = {Has("pair", 2, 4, "home", {"home-1", "home-2"})};
  AddWorkers(world, world.pools[0]);
  world.pools[0].workers[1].node = "home-1";
  NodeOf(world, "home-1").used = NodeOf(world, "home-2").used = Resources();
  for (const auto& worker : world.pools[0].workers) {
    NodeOf(world, "home-1").used.Add(worker.requests);
  }
  EXPECT_EQ(FreeAtHome(world), 8);
}

TEST(Reservation, LeavesWhatWasPlannedForAWholeNodeWhole) {
  Snapshot world = Fleet(2);
  world.pools = {Has("a-pair", 2, 4, "home", {"home-1", "home-2"}), Wants("whole", 1, 8)};
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("a-pair@home[home-1 home-2]#1", "whole!WaitingForCapacity"));
  world.pools = {Wants("whole", 1, 8), Wants("pair", 2, 4)};
  world.pools[0].priority = 1;
  EXPECT_THAT(Brief(MakePlan(world)), ElementsAre("pair@home[home-2]#1", "whole@home[home-1]#1"));
}

TEST(Reservation, DoesNotExceedWhatTheNodeHasBesideOthersPods) {
  Snapshot world = Fleet(1);
  Use(world, "home-1", 6);
  world.pools = {Has("p", 4, 1, "home", {"home-1"})};
  EXPECT_EQ(FreeAtHome(world), 0);
}

TEST(Reservation, KeepsThePlaceOfAWorkerThatFailed) {
  Snapshot world = Fleet(1);
  world.pools = {Has("p", 2, 4, "home", {"home-1"})};
  AddWorkers(world, world.pools[0]);
  world.pools[0].workers[0].ended = true;
  NodeOf(world, "home-1").used.Subtract(world.pools[0].workers[0].requests);
  EXPECT_EQ(FreeAtHome(world), 0);
}

TEST(Reservation, GivesBackThePlaceOfAWorkerThatSucceeded) {
  Snapshot world = Fleet(1);
  world.pools = {Has("p", 2, 4, "home", {"home-1"})};
  AddWorkers(world, world.pools[0]);
  NodeOf(world, "home-1").used.Subtract(world.pools[0].workers[0].requests);
  world.pools[0].workers.erase(world.pools[0].workers.begin());
  world.pools[0].attempt.succeeded = 1;
  EXPECT_EQ(FreeAtHome(world), 4);
}

TEST(Reservation, EndsWithThePool) {
  Snapshot world = Fleet(1);
  world.pools = {Has("p", 1, 8, "home", {"home-1"})};
  world.pools[0].memory.completed = kNow;
  EXPECT_EQ(FreeAtHome(world), 8);
}

TEST(Reservation, IsNotChangedByAnEditedTemplateWhileTheWorkersRun) {
  Snapshot world = Fleet(1);
  TrainingPool& pool = AddRunning(world, "p", 1, 4, "home", {"home-1"});
  pool.per_worker = 8;
  pool.spec_revision = "spec-2";
  EXPECT_EQ(FreeAtHome(world), 4);
}

TEST(Reservation, IsNotChangedByAnEditedTemplateBeforeTheWorkersAreBoundEither) {
  Snapshot world = Fleet(1);
  world.pools = {Has("p", 2, 4, "home", {"home-1"})};
  AddWorkers(world, world.pools[0], false);
  for (auto& worker : world.pools[0].workers) worker.node.clear();
  NodeOf(world, "home-1").used = Resources();
  world.pools[0].per_worker = 1;
  world.pools[0].spec_revision = "spec-2";
  EXPECT_EQ(FreeAtHome(world), 0) << "its pods ask for 4 each";
  world.pools[0].workers.clear();
  EXPECT_EQ(FreeAtHome(world), 0)
      << "its Job is there, and nobody knows what its pods will ask for";
}

// After a restart of the operator no template has been judged yet.
TEST(Reservation, IsTheWholeNodeWhereNobodyKnowsWhatAWorkerAsksFor) {
  const std::vector<std::pair<const char*, void (*)(TrainingPool&)>> unknowns = {
      {"unchecked", [](TrainingPool& p) { p.template_unchecked = true; }},
      {"refused", [](TrainingPool& p) { p.template_invalid = "no containers"; }}};
  for (const auto& [sentence, make] : unknowns) {
    Snapshot world = Fleet(1);
    world.pools = {Has("a-known", 1, 4, "home", {"home-1"}), Wants("other", 1, 1)};
    EXPECT_EQ(Brief(DecisionOf(MakePlan(world), "other")), "other@home[home-1]#1");
    make(world.pools[0]);
    world.pools[0].requests = Resources();
    EXPECT_EQ(Brief(DecisionOf(MakePlan(world), "other")), "other!WaitingForCapacity") << sentence;
    AddWorkers(world, world.pools[0]);
    EXPECT_EQ(Brief(DecisionOf(MakePlan(world), "other")), "other@home[home-1]#1")
        << sentence << ": its pods say what they ask for";
  }
}

TEST(Hold, IsTheWholeNodeWhereNobodyKnowsWhatAWorkerAsksFor) {
  Snapshot world = Fleet(1);
  TrainingPool lost = Wants("a-lost", 1, 4);
  lost.template_unchecked = true;
  lost.memory.hold = placement::Hold{.node_group = "home",
                                     .domain = "",
                                     .nodes = {"home-1"},
                                     .until = kNow + Seconds{60},
                                     .since = {},
                                     .victims = {}};
  world.pools = {lost, Wants("other", 1, 1)};
  EXPECT_EQ(Brief(DecisionOf(MakePlan(world), "other")), "other!WaitingForCapacity");
}

TEST(Reservation, HoldsWhereTheNodeGroupHasAnotherNameByNow) {
  Snapshot world = Fleet(1);
  world.pools = {Has("p", 1, 8, "gone", {"home-1"})};
  EXPECT_EQ(FreeAtHome(world), 0);
}

TEST(Hold, ReservesItsNodesForItsPoolAlone) {
  Snapshot world = Fleet(2);
  TrainingPool lost = Wants("lost", 2, 8);
  lost.memory.attempts = 1;
  lost.memory.hold = placement::Hold{.node_group = "home",
                                     .domain = "",
                                     .nodes = {"home-1"},
                                     .until = kNow + Seconds{60},
                                     .since = {},
                                     .victims = {}};
  Use(world, "home-2", 1);
  world.pools = {lost, Wants("other", 1, 8)};
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("lost!WaitingForCapacity", "other!WaitingForCapacity"));
  NodeOf(world, "home-2").used = Resources();
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("lost@home[home-1 home-2]#2", "other!WaitingForCapacity"));
}

TEST(Hold, EndsWithItsTime) {
  Snapshot world = Fleet(1);
  TrainingPool lost = Wants("lost", 2, 8);
  lost.memory.hold = placement::Hold{.node_group = "home",
                                     .domain = "",
                                     .nodes = {"home-1"},
                                     .until = kNow,
                                     .since = {},
                                     .victims = {}};
  world.pools = {lost, Wants("other", 1, 8)};
  const auto plan = MakePlan(world);
  EXPECT_THAT(Brief(plan), ElementsAre("lost!WaitingForCapacity", "other@home[home-1]#1"));
  EXPECT_FALSE(DecisionOf(plan, "lost").memory.hold);
}

TEST(OldPods, CountAsFreeForTheirOwnPoolAlone) {
  Snapshot world = Fleet(1);
  TrainingPool& pool = AddRunning(world, "p", 1, 8, "home", {"home-1"});
  pool.memory.placement.reset();
  pool.memory.waiting_since = kNow;
  world.pools.push_back(Wants("z-other", 1, 8));
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("p@home[home-1]#2", "z-other!WaitingForCapacity"));
}

TEST(OldPods, LeaveTheirRoomToWhoComesBeforeTheirOwnPool) {
  Snapshot world = Fleet(1);
  TrainingPool& pool = AddRunning(world, "p", 1, 8, "home", {"home-1"});
  pool.memory.placement.reset();
  pool.memory.waiting_since = kNow;
  world.pools.push_back(Wants("a-other", 1, 8));
  world.pools.back().priority = 10;
  const auto plan = MakePlan(world);
  EXPECT_THAT(Brief(plan), ElementsAre("a-other!WaitingForCapacity", "p!WaitingForCapacity"));
  const auto reservation = DecisionOf(plan, "a-other").reservation;
  ASSERT_TRUE(reservation);
  EXPECT_EQ(reservation->nodes, std::vector<std::string>{"home-1"});
}

// home-1 has 8 accelerators, all of them pods' of an earlier attempt of p.
TEST(OldPods, AreForTheirOwnPoolButForWhatIsPromised) {
  Snapshot world = Fleet(1);
  TrainingPool& pool = AddRunning(world, "p", 1, 8, "home", {"home-1"});
  pool.memory.placement.reset();
  pool.memory.waiting_since = kNow;
  pool.per_worker = 2;
  world.pools.push_back(Wants("a-other", 1, 6));
  world.pools.back().priority = 10;
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("a-other!WaitingForCapacity", "p@home[home-1]#2"));
  PoolOf(world, "p").per_worker = 3;
  EXPECT_THAT(Brief(MakePlan(world)), ElementsAre("a-other!WaitingForCapacity", testing::_));
  EXPECT_FALSE(DecisionOf(MakePlan(world), "p").memory.placement);
}

TEST(OldPods, LeaveTheirRoomWhereverTheirOwnPoolIsByNow) {
  Snapshot world = Fleet(2);
  TrainingPool& pool = AddRunning(world, "p", 1, 8, "home", {"home-1"});
  pool.memory.placement->nodes = {"home-2"};
  pool.memory.placement->attempt = pool.memory.attempts = 2;
  pool.attempt.exists = true;
  pool.active_deadline.reset();
  world.pools.push_back(Wants("q", 1, 8));
  const auto plan = MakePlan(world);
  EXPECT_EQ(DecisionOf(plan, "p").action, Action::kKeep);
  const auto reservation = DecisionOf(plan, "q").reservation;
  ASSERT_TRUE(reservation) << FormatPlan(plan, true);
  EXPECT_EQ(reservation->nodes, std::vector<std::string>{"home-1"});
  EXPECT_FALSE(reservation->starts_by) << "as soon as they are gone";
}

TEST(OldPods, AreNothingThatWouldBecomeFreeOnceTheyHaveEnded) {
  Snapshot world = Fleet(1);
  Use(world, "home-1", 4);
  world.pools = {Has("p", 1, 4, "home", {"home-1"})};
  AddWorkers(world, world.pools[0]);
  world.pools[0].workers[0].ended = true;
  NodeOf(world, "home-1").used.Subtract(world.pools[0].workers[0].requests);
  world.pools[0].memory.placement.reset();
  world.pools[0].per_worker = 8;
  EXPECT_THAT(Brief(MakePlan(world)), ElementsAre("p!WaitingForCapacity"))
      << "the 4 in use are somebody else's";
}

// Pinning keeps workers to nodes, not to one node: of three workers on two nodes all three may bind
// to the first. Where a gang that is not bound yet would lose its room to that, the node is left to
// it.
TEST(StartingGang, IsNotCrowdedOutByWorkersThatMayBindToItsNodes) {
  Snapshot world = Fleet(1);
  world.nodes.push_back(GpuNode("home-2", "home", 2));
  world.groups[0].per_node = 0;
  world.pools = {Has("first", 2, 2, "home", {"home-1"}), Wants("second", 3, 2)};
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("first@home[home-1]#1", "second!WaitingForCapacity"));
  AddWorkers(world, world.pools[0]);
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("first@home[home-1]#1", "second@home[home-1 home-2]#1"));
}

TEST(StartingGang, SharesItsNodeWithOneThatCannotCrowdItOut) {
  Snapshot world = Fleet(1);
  world.pools = {Has("first", 2, 2, "home", {"home-1"}), Wants("second", 2, 2)};
  EXPECT_THAT(Brief(MakePlan(world)), ElementsAre("first@home[home-1]#1", "second@home[home-1]#1"));
}

}  // namespace
}  // namespace spillway::tests
