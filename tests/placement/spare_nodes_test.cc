// Nodes that elastic groups give back.
#include "placement/spare_nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "passes.h"
#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::GroupMemory;
using placement::LeavingNodes;
using placement::Plan;
using placement::Reason;
using placement::SpareNodes;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr Seconds kDelay{600};
constexpr Seconds kTimeout{1200};

// A home that is full, and a cloud whose three nodes have been too many for the whole delay.
Snapshot World() {
  Snapshot world = Fleet(0, 3);
  NodeGroup& cloud = GroupOf(world, "azure");
  placement::Elastic& elastic = cloud.elastic.emplace();
  elastic.max_nodes = 8;
  elastic.scale_down_delay = kDelay;
  elastic.node_shape = Amounts({{"cpu", "96"}, {"memory", "1024Gi"}, {kGpu, "8"}});
  cloud.target_replicas = 3;
  cloud.memory = {.desired = 3,
                  .stockout = {},
                  .spare = SpareNodes{.nodes = 3, .since = kNow - kDelay},
                  .leaving = {}};
  return world;
}

GroupMemory After(const Snapshot& world) {
  for (const auto& report : Checked(world).groups) {
    if (report.name == "azure") return report.memory;
  }
  return {};
}

std::vector<std::string> GivenBack(const Snapshot& world) {
  const GroupMemory after = After(world);
  return after.leaving ? after.leaving->nodes : std::vector<std::string>();
}

TEST(SpareNodes, AreGivenBackOnceNobodyHasNeededThemForTheDelay) {
  Snapshot world = World();
  GroupOf(world, "azure").memory.spare.reset();
  const Plan first = Checked(world);
  EXPECT_EQ(After(world).spare, (SpareNodes{.nodes = 3, .since = kNow}));
  EXPECT_EQ(first.next_wake, kNow + kDelay);
  world = Applied(world, first);
  world.now = kNow + kDelay - Seconds{1};
  EXPECT_THAT(GivenBack(world), IsEmpty());
  world.now = kNow + kDelay;
  const GroupMemory after = After(world);
  EXPECT_EQ(after.leaving, (LeavingNodes{.nodes = {"azure-1", "azure-2", "azure-3"},
                                         .since = world.now,
                                         .replicas = {},
                                         .lowered = false}));
  EXPECT_FALSE(after.spare.has_value());
  EXPECT_EQ(after.desired, 3) << "who needs them takes them back";
}

TEST(SpareNodes, AreKeptWhereNothingIsSaid) {
  Snapshot world = World();
  GroupOf(world, "azure").elastic->scale_down_delay.reset();
  EXPECT_EQ(After(world), (GroupMemory{.desired = 3, .stockout = {}, .spare = {}, .leaving = {}}));
}

TEST(SpareNodes, AreKeptWhereTheTargetHasOthersThanTheGroup) {
  for (const std::optional<int> replicas :
       {std::optional<int>(), std::optional(2), std::optional(4)}) {
    Snapshot world = World();
    GroupOf(world, "azure").target_replicas = replicas;
    EXPECT_THAT(GivenBack(world), IsEmpty());
    EXPECT_EQ(After(world).spare->since, kNow - kDelay) << "until it has";
  }
}

TEST(SpareNodes, AreKeptWhereSomethingIsInTheWayOfLoweringTheTarget) {
  Snapshot world = World();
  GroupOf(world, "azure").target_fixed = true;
  EXPECT_THAT(GivenBack(world), IsEmpty());
}

// The others have been spare for as long, and are the next batch.
TEST(SpareNodes, GoInBatches) {
  Snapshot world = Fleet(0, placement::kBatch + 3);
  Snapshot small = World();
  GroupOf(world, "azure") = GroupOf(small, "azure");
  GroupOf(world, "azure").target_replicas = placement::kBatch + 3;
  GroupOf(world, "azure").elastic->max_nodes = placement::kBatch + 3;
  GroupOf(world, "azure").memory.spare->nodes = placement::kBatch + 2;
  const SpareNodes rest{.nodes = 2, .since = kNow - kDelay};
  const Plan first = Checked(world);
  world = Applied(world, first);
  EXPECT_EQ(GroupOf(world, "azure").memory.leaving->nodes.size(), placement::kBatch);
  EXPECT_EQ(GroupOf(world, "azure").memory.spare, rest);
  world.now += placement::kHeldFor;
  world = Applied(world, Checked(world));
  ASSERT_TRUE(GroupOf(world, "azure").memory.leaving->replicas.has_value());
  EXPECT_EQ(After(world).spare, rest);
  std::erase_if(world.nodes, [](const auto& node) { return node.held_since.has_value(); });
  GroupOf(world, "azure").target_replicas = 3;
  EXPECT_EQ(GivenBack(world).size(), 2U) << "at once";
}

TEST(SpareNodes, AreNotMoreThanThereWereAtAnyTimeOfTheDelay) {
  Snapshot world = World();
  GroupOf(world, "azure").memory.spare->nodes = 2;
  EXPECT_THAT(GivenBack(world), ElementsAre("azure-1", "azure-2"));
  GroupOf(world, "azure").memory.spare->since += Seconds{1};
  AddRunning(world, "llm", 2, 8, "azure", {"azure-1", "azure-2"}, 10);
  EXPECT_EQ(After(world).spare->nodes, 1) << "fewer from now on";
  EXPECT_EQ(After(world).spare->since, kNow - kDelay + Seconds{1});
}

TEST(SpareNodes, AreNoneBelowTheMinimum) {
  Snapshot world = World();
  GroupOf(world, "azure").elastic->min_nodes = 2;
  EXPECT_THAT(GivenBack(world), ElementsAre("azure-1"));
  GroupOf(world, "azure").elastic->min_nodes = 3;
  EXPECT_THAT(GivenBack(world), IsEmpty());
  EXPECT_FALSE(After(world).spare.has_value());
}

// Each of these keeps a node, whoever else would let go of it.
TEST(SpareNodes, AreNoneOnWhichSomebodyRuns) {
  const std::vector<std::pair<const char*, void (*)(Snapshot&)>> cases = {
      {"a worker", [](Snapshot& w) { AddRunning(w, "llm", 1, 8, "azure", {"azure-1"}, 10); }},
      {"a worker of one accelerator",
       [](Snapshot& w) { AddRunning(w, "llm", 1, 1, "azure", {"azure-1"}, 10); }},
      {"a gang that has no pods yet",
       [](Snapshot& w) { w.pools.push_back(Has("llm", 1, 8, "azure", {"azure-1"}, 10)); }},
      {"a pod of an attempt before",
       [](Snapshot& w) {
         AddRunning(w, "llm", 1, 8, "azure", {"azure-1"}, 10).memory.placement.reset();
         PoolOf(w, "llm").suspended = true;
       }},
      {"a replica",
       [](Snapshot& w) {
         auto chat = Chat(1);
         Runs(w, chat, "gpu", "azure", 1, 1, {"azure-1"}, 10);
         w.inference_pools.push_back(chat);
       }},
      {"a pod of somebody else", [](Snapshot& w) { NodeOf(w, "azure-1").other_pods = 1; }},
      {"a cordon of somebody else", [](Snapshot& w) { NodeOf(w, "azure-1").cordoned = true; }},
      {"that it is not of use yet",
       [](Snapshot& w) {
         NodeOf(w, "azure-1").starting = true;
         NodeOf(w, "azure-1").created = kNow;
       }},
      {"that its pods can't be known", [](Snapshot& w) { NodeOf(w, "azure-1").ready = false; }},
      {"another group that matches it",
       [](Snapshot& w) {
         w.groups.push_back(Group("other", 20));
         w.groups.back().selector = {{.key = "also", .op = "Exists", .values = {}}};
         NodeOf(w, "azure-1").labels["also"] = "yes";
       }},
  };
  for (const auto& [what, change] : cases) {
    Snapshot world = World();
    change(world);
    EXPECT_THAT(GivenBack(world), ElementsAre("azure-2", "azure-3")) << what;
  }
}

TEST(SpareNodes, DoNotCountDaemonsAsWork) {
  Snapshot world = World();
  NodeOf(world, "azure-1").used = Amounts({{"cpu", "1"}, {"pods", "4"}});
  EXPECT_THAT(GivenBack(world), ElementsAre("azure-1", "azure-2", "azure-3"));
}

TEST(SpareNodes, AreNoneWhileSomebodyWaitsForNoMoreThanRoomThere) {
  Snapshot world = World();
  AddRunning(world, "llm", 1, 8, "azure", {"azure-1"}, 10);
  world.pools.push_back(Wants("big", 3));
  GroupOf(world, "azure").elastic->max_nodes = 3;
  ASSERT_EQ(DecisionOf(Checked(world), "big").placed_reason, Reason::kWaitingForCapacity);
  EXPECT_EQ(After(world), (GroupMemory{.desired = 3, .stockout = {}, .spare = {}, .leaving = {}}));
  PoolOf(world, "big").spill_allowed = false;
  EXPECT_THAT(GivenBack(world), ElementsAre("azure-2", "azure-3")) << "it may not go there";
}

TEST(SpareNodes, AreNoneWhileNodesAreAskedForOrSomebodyHoldsBack) {
  Snapshot world = World();
  world.pools = {Wants("big", 4)};
  ASSERT_EQ(DecisionOf(Checked(world), "big").memory.ask->nodes, 1);
  EXPECT_THAT(GivenBack(world), IsEmpty());

  world = World();
  AddNodes(world, "home", 1);
  AddRunning(world, "llm", 1, 8, "home", {"home-1"});
  world.pools.push_back(Wants("small", 1));
  PoolOf(world, "small").spill_after = Seconds{300};
  ASSERT_EQ(DecisionOf(Checked(world), "small").placed_reason, Reason::kHoldingBackSpill);
  EXPECT_THAT(GivenBack(world), IsEmpty());
}

TEST(SpareNodes, AreNoneWhileReplicasMayBeBoundToAnyOfThem) {
  Snapshot world = World();
  auto chat = Chat(1);
  Runs(world, chat, "gpu", "azure", 0, 0, {}, 10);
  chat.memory.cells[0].desired = chat.cells[0].replicas = 1;
  world.inference_pools.push_back(chat);
  EXPECT_THAT(GivenBack(world), IsEmpty());
}

TEST(SpareNodes, AreNoneBehindALinkInDoubt) {
  Snapshot world = World();
  AddNodes(world, "azure", 3);
  GroupOf(world, "azure").target_replicas = 6;
  for (const char* node : {"azure-1", "azure-2", "azure-3"}) {
    NodeOf(world, node).ready = false;
    NodeOf(world, node).not_ready_since = kNow;
  }
  EXPECT_THAT(GivenBack(world), IsEmpty());
}

TEST(SpareNodes, GoWhereFewestAreFreeSoThatTheLargestDomainStaysWhole) {
  Snapshot world = World();
  GroupOf(world, "azure").domain_labels = {"rack"};
  NodeOf(world, "azure-1").labels["rack"] = "a";
  NodeOf(world, "azure-2").labels["rack"] = "b";
  NodeOf(world, "azure-3").labels["rack"] = "a";
  GroupOf(world, "azure").memory.spare->nodes = 1;
  EXPECT_THAT(GivenBack(world), ElementsAre("azure-2"));
}

// Once the nodes that tell what new ones are like were gone, it would ask for others, which would
// be as small again.
TEST(SpareNodes, AreNoneWhileSomebodyWouldAskForOthersIfTheyWereGone) {
  Snapshot world = World();
  for (auto& node : world.nodes) node.allocatable.Set(kGpu, 4);
  GroupOf(world, "azure").per_node = 4;
  world.pools = {Wants("llm", 1, 8)};
  ASSERT_EQ(DecisionOf(Checked(world), "llm").action, Action::kWait);
  EXPECT_THAT(GivenBack(world), IsEmpty());
  EXPECT_FALSE(After(world).spare.has_value());
  world.pools = {Wants("llm", 1, 16)};
  EXPECT_EQ(GivenBack(world).size(), 3U) << "not even a new one would be large enough";
}

TEST(SpareNodes, AreNoneWhileReplicasWouldAskForOthersIfTheyWereGone) {
  Snapshot world = World();
  world.inference_pools = {Chat(1)};
  world.inference_pools[0].variants[0].per_replica = 8;
  for (auto& node : world.nodes) node.allocatable.Set(kGpu, 4);
  GroupOf(world, "azure").per_node = 4;
  ASSERT_TRUE(ServingOf(Checked(world)).memory.asks.empty());
  EXPECT_THAT(GivenBack(world), IsEmpty());
  world.inference_pools[0].variants[0].per_replica = 16;
  EXPECT_EQ(GivenBack(world).size(), 3U) << "not even a new one would be large enough";
}

TEST(SpareNodes, AreNoneWhileReplicasHoldBackFromThem) {
  Snapshot world = World();
  AddNodes(world, "home", 1);
  AddRunning(world, "llm", 1, 8, "home", {"home-1"});
  world.inference_pools = {Chat(1)};
  world.inference_pools[0].spill_after = Seconds{300};
  ASSERT_EQ(ServingOf(Checked(world)).capacity_reason, Reason::kHoldingBackSpill);
  EXPECT_THAT(GivenBack(world), IsEmpty());
}

// ---- held ----

constexpr Seconds kHeldFor = placement::kHeldFor;

// azure-1 is held, and has been for long enough.
Snapshot Held() {
  Snapshot world = World();
  GroupOf(world, "azure").memory.spare.reset();
  GroupOf(world, "azure").memory.leaving = LeavingNodes{
      .nodes = {"azure-1"}, .since = kNow - Seconds{60}, .replicas = {}, .lowered = {}};
  NodeOf(world, "azure-1").held_since = kNow - kHeldFor;
  return world;
}

TEST(HeldNodes, GoOnceTheyHaveBeenHeldForAWhile) {
  Snapshot world = Held();
  const LeavingNodes goes{.nodes = {"azure-1"}, .since = kNow, .replicas = 2, .lowered = false};
  EXPECT_EQ(After(world).leaving, goes);
  EXPECT_EQ(After(world).desired, 2);
  NodeOf(world, "azure-1").held_since = kNow - kHeldFor + Seconds{1};
  EXPECT_EQ(After(world), (GroupMemory{.desired = 3,
                                       .stockout = {},
                                       .spare = {},
                                       .leaving = GroupOf(world, "azure").memory.leaving}));
  EXPECT_EQ(Checked(world).next_wake, kNow + Seconds{1});
  NodeOf(world, "azure-1").held_since.reset();
  EXPECT_FALSE(After(world).leaving->replicas.has_value());
}

TEST(HeldNodes, GoOnlyWhereTheTargetHasAsManyAsTheGroup) {
  for (const std::optional<int> replicas :
       {std::optional<int>(), std::optional(2), std::optional(4)}) {
    Snapshot world = Held();
    GroupOf(world, "azure").target_replicas = replicas;
    ASSERT_TRUE(After(world).leaving.has_value());
    EXPECT_FALSE(After(world).leaving->replicas.has_value());
  }
}

TEST(HeldNodes, GoOnlyOnceNoOtherIsHeld) {
  Snapshot world = Held();
  NodeOf(world, "azure-3").held_since = kNow - kHeldFor;
  EXPECT_FALSE(After(world).leaving->replicas.has_value());
}

TEST(HeldNodes, AreRoomForWhoNeedsThemAndStay) {
  Snapshot world = Held();
  world.pools = {Wants("llm", 3)};
  EXPECT_EQ(DecisionOf(Checked(world), "llm").action, Action::kPlace);
  EXPECT_THAT(GivenBack(world), IsEmpty());
  world.pools = {Wants("llm", 4)};
  EXPECT_EQ(DecisionOf(Checked(world), "llm").memory.ask->nodes, 1);
  EXPECT_THAT(GivenBack(world), IsEmpty());
}

// By the time that they go, nobody who stays is held any more.
TEST(HeldNodes, WaitAsFromTheStartWhenOneOfThemStays) {
  Snapshot world = Held();
  GroupOf(world, "azure").memory.leaving->nodes = {"azure-1", "azure-2"};
  NodeOf(world, "azure-2").held_since = kNow - kHeldFor;
  EXPECT_TRUE(After(world).leaving->replicas.has_value());
  NodeOf(world, "azure-2").other_pods = 1;
  EXPECT_THAT(GivenBack(world), ElementsAre("azure-1"));
  EXPECT_FALSE(After(world).leaving->replicas.has_value());
  world = Applied(world, Checked(world));
  world.now = kNow + kHeldFor;
  EXPECT_TRUE(After(world).leaving->replicas.has_value());
}

TEST(HeldNodes, StayWhenAPodHasComeToThem) {
  Snapshot world = Held();
  NodeOf(world, "azure-1").other_pods = 1;
  EXPECT_THAT(GivenBack(world), IsEmpty());
}

TEST(HeldNodes, AreNoRoomAnyMoreOnceTheirGroupKeepsThemUntilTheHoldIsTakenOff) {
  Snapshot world = Held();
  GroupOf(world, "azure").memory.leaving.reset();
  world.pools = {Wants("llm", 3)};
  EXPECT_NE(DecisionOf(Checked(world), "llm").action, Action::kPlace);
  NodeOf(world, "azure-1").held_since.reset();
  EXPECT_EQ(DecisionOf(Checked(world), "llm").action, Action::kPlace);
}

// However short the time for new ones is, it is enough to let go of some.
TEST(HeldNodes, AreHeldForLongEnough) {
  Snapshot world = Held();
  GroupOf(world, "azure").elastic->provision_timeout = Seconds{10};
  NodeOf(world, "azure-1").held_since.reset();
  EXPECT_THAT(GivenBack(world), ElementsAre("azure-1"));
  EXPECT_EQ(Checked(world).next_wake, kNow + Seconds{60});
  world.now = kNow + Seconds{60};
  EXPECT_THAT(GivenBack(world), IsEmpty());
}

TEST(HeldNodes, AreTakenBackWhenTheirTimeIsOver) {
  Snapshot world = Held();
  GroupOf(world, "azure").target_replicas.reset();
  EXPECT_EQ(Checked(world).next_wake, kNow - Seconds{60} + kTimeout);
  world.now = kNow - Seconds{60} + kTimeout;
  EXPECT_THAT(GivenBack(world), IsEmpty());
  EXPECT_EQ(After(world).spare, (SpareNodes{.nodes = 2, .since = world.now})) << "from the start";
}

// ---- on their way out ----

// azure-1 goes: it is decided.
Snapshot Leaving() {
  Snapshot world = Held();
  GroupOf(world, "azure").memory.leaving->replicas = 2;
  GroupOf(world, "azure").memory.desired.reset();
  return world;
}

TEST(LeavingNodes, TakeNobody) {
  Snapshot world = Leaving();
  world.pools = {Wants("llm", 2)};
  const Plan plan = Checked(world);
  EXPECT_THAT(DecisionOf(plan, "llm").memory.placement->nodes, ElementsAre("azure-2", "azure-3"));
  EXPECT_THAT(GivenBack(world), ElementsAre("azure-1"));
  EXPECT_EQ(After(world).desired, 2);
}

TEST(LeavingNodes, CountUntilTheyAreGone) {
  Snapshot world = Leaving();
  GroupOf(world, "azure").elastic->max_nodes = 3;
  world.pools = {Wants("llm", 3)};
  EXPECT_EQ(DecisionOf(Checked(world), "llm").action, Action::kWait);
  EXPECT_FALSE(DecisionOf(Checked(world), "llm").memory.ask.has_value());
  std::erase_if(world.nodes, [](const auto& node) { return node.id.name == "azure-1"; });
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "llm").memory.ask->nodes, 1);
  EXPECT_FALSE(After(world).leaving.has_value());
}

// What names them is what the target was lowered for: it is not lowered for one of them again.
TEST(LeavingNodes, AreNamedUntilTheLastOneIsGone) {
  Snapshot world = Leaving();
  GroupOf(world, "azure").memory.leaving->nodes = {"azure-0", "azure-1"};
  GroupOf(world, "azure").memory.leaving->replicas = 1;
  EXPECT_THAT(GivenBack(world), ElementsAre("azure-0", "azure-1"));
}

TEST(LeavingNodes, AreGoneWhenAnotherOfThatNameIsThere) {
  Snapshot world = Leaving();
  GroupOf(world, "azure").memory.leaving->lowered = true;
  ASSERT_THAT(GivenBack(world), ElementsAre("azure-1"));
  NodeOf(world, "azure-1").held_since.reset();
  world.pools = {Wants("llm", 3)};
  EXPECT_EQ(DecisionOf(Checked(world), "llm").action, Action::kPlace);
  EXPECT_THAT(GivenBack(world), IsEmpty());
}

TEST(LeavingNodes, StayWhenTheirTimeIsOverAndTheTargetWasNotLowered) {
  Snapshot world = Leaving();
  EXPECT_EQ(Checked(world).next_wake, kNow - Seconds{60} + kTimeout);
  world.now = kNow - Seconds{60} + kTimeout;
  EXPECT_THAT(GivenBack(world), IsEmpty());
}

// Whatever was asked of the target last may have been done, as long as nobody has seen otherwise.
TEST(LeavingNodes, StayOnlyWhereTheTargetIsKnownToHaveThemStill) {
  for (const std::optional<int> replicas :
       {std::optional<int>(), std::optional(2), std::optional(1)}) {
    Snapshot world = Leaving();
    GroupOf(world, "azure").target_replicas = replicas;
    world.now = kNow + 2 * kTimeout;
    EXPECT_THAT(GivenBack(world), ElementsAre("azure-1"));
    EXPECT_EQ(After(world).leaving->lowered, replicas.has_value());
  }
}

TEST(LeavingNodes, StayAtOnceWhenTheyAreNotToGoAnyMore) {
  const std::vector<void (*)(NodeGroup&)> cases = {
      [](NodeGroup& group) { group.target_fixed = true; },
      [](NodeGroup& group) { group.elastic->scale_down_delay.reset(); },
      [](NodeGroup& group) { group.elastic->min_nodes = 3; },
  };
  for (const auto& change : cases) {
    Snapshot world = Leaving();
    change(GroupOf(world, "azure"));
    EXPECT_THAT(GivenBack(world), IsEmpty());
    GroupOf(world, "azure").target_replicas = 2;
    EXPECT_THAT(GivenBack(world), ElementsAre("azure-1")) << "it has been lowered";
    GroupOf(world, "azure").target_replicas.reset();
    EXPECT_THAT(GivenBack(world), ElementsAre("azure-1")) << "it may have been";
  }
}

TEST(LeavingNodes, StayWhenOthersHaveGoneInTheirStead) {
  Snapshot world = Leaving();
  GroupOf(world, "azure").leaving_stay = true;
  EXPECT_THAT(GivenBack(world), ElementsAre("azure-1")) << "it has not been lowered";
  GroupOf(world, "azure").target_replicas = 2;
  EXPECT_THAT(GivenBack(world), IsEmpty());
}

// They may go at any moment.
TEST(LeavingNodes, TakeNobodyForAsLongAsTheyAreThereOnceTheTargetWasLowered) {
  Snapshot world = Leaving();
  GroupOf(world, "azure").target_replicas = 2;
  EXPECT_TRUE(After(world).leaving->lowered);
  world = Applied(world, Checked(world));
  GroupOf(world, "azure").target_replicas.reset();
  world.now = kNow + 2 * kTimeout;
  EXPECT_TRUE(After(world).leaving->lowered);
  EXPECT_EQ(Checked(world).next_wake, std::nullopt);
  world.pools = {Wants("llm", 3)};
  EXPECT_NE(DecisionOf(Checked(world), "llm").action, Action::kPlace);
}

TEST(LeavingNodes, PutNoLinkInDoubt) {
  Snapshot world = Leaving();
  GroupOf(world, "azure").memory.leaving->nodes = {"azure-1", "azure-2", "azure-3"};
  for (auto& node : world.nodes) {
    node.held_since = kNow;
    node.ready = false;
    node.not_ready_since = kNow;
  }
  EXPECT_TRUE(Checked(world).groups.front().link_healthy);
  GroupOf(world, "azure").memory.leaving.reset();
  EXPECT_FALSE(Checked(world).groups.front().link_healthy);
}

}  // namespace
}  // namespace spillway::tests
