// What is done while a cluster is unreachable, or nobody knows what is needed: one row a rule.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "elastic_groups.h"
#include "placement/edits.h"
#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::Admission;
using placement::Alternative;
using placement::Applied;
using placement::DemandSignal;
using placement::InferenceDecision;
using placement::InferencePool;
using placement::MakePlan;
using placement::Plan;
using placement::PoolDecision;
using placement::Preemptible;
using placement::Reason;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const Time kLost = kNow - Seconds{600};

Plan Checked(const Snapshot& world) {
  const Plan plan = MakePlan(world);
  const Status status = Verify(world, plan);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return plan;
}

// ---- clusters ----

// The group and all that is on its nodes is in cluster west.
void MoveToWest(Snapshot& world, const std::string& name) {
  GroupOf(world, name).cluster = "west";
  for (placement::Node& node : world.nodes) {
    if (node.labels.find("group")->second == name) node.id.cluster = "west";
  }
  for (TrainingPool& pool : world.pools) {
    auto& placement = pool.memory.placement;
    if (placement && placement->node_group == name) placement->cluster = "west";
  }
}

void LoseWest(Snapshot& world) { world.clusters = {{.name = "west", .unreachable_since = kLost}}; }

// home is full but for what the test adds, azure is in cluster west, and p runs there on 2 nodes.
Snapshot Far() {
  Snapshot world = Fleet(2, 4);
  AddOld(world, "p", 0, {"azure-1", "azure-2"}, "azure");
  MoveToWest(world, "azure");
  LoseWest(world);
  return world;
}

TEST(ClusterUnreachable, IsSaidOfWhoRunsThere) {
  const Snapshot world = Far();
  const Plan plan = Checked(world);
  const PoolDecision& decision = DecisionOf(plan, "p");
  EXPECT_EQ(Brief(decision), "p@azure[azure-1 azure-2]#1");
  EXPECT_EQ(decision.placed_reason, Reason::kClusterUnreachable);
  EXPECT_THAT(decision.placed_message,
              HasSubstr("cluster west has been unreachable since 2026-11-24T11:50:00Z; what runs "
                        "there stays: attempt 1 on azure"));
  EXPECT_FALSE(decision.ready) << "nobody knows";
  EXPECT_EQ(decision.ready_reason, Reason::kClusterUnreachable);
  EXPECT_EQ(decision.ready_message,
            "cluster west has been unreachable since 2026-11-24T11:50:00Z: nothing there is "
            "started, stopped or replaced until it can be reached again, whatever the spec says; "
            "when it was last seen, 2 of 2 workers ready on azure");
  const auto& report = ReportOf(plan, "azure");
  EXPECT_FALSE(report.ready);
  EXPECT_EQ(report.ready_reason, Reason::kClusterUnreachable);
  EXPECT_EQ(report.ready_message, "cluster west has been unreachable since 2026-11-24T11:50:00Z");
  EXPECT_TRUE(ReportOf(plan, "home").ready);
}

TEST(ClusterUnreachable, IsNotSaidOnceItCanBeReached) {
  Snapshot world = Far();
  world.clusters[0].unreachable_since.reset();
  const Plan plan = Checked(world);
  EXPECT_NE(DecisionOf(plan, "p").ready_reason, Reason::kClusterUnreachable);
  EXPECT_TRUE(DecisionOf(plan, "p").ready);
  EXPECT_TRUE(ReportOf(plan, "azure").ready);
}

TEST(ClusterUnreachable, IsNoMatterOfOtherClusters) {
  Snapshot world = Far();
  world.clusters[0].name = "east";
  EXPECT_TRUE(DecisionOf(Checked(world), "p").ready);
}

TEST(ClusterUnreachable, LeavesEverythingThereAsItIs) {
  const std::vector<std::pair<const char*, std::function<void(Snapshot&)>>> troubles = {
      {"a failure",
       [](Snapshot& w) {
         PoolOf(w, "p").attempt.failed = true;
         PoolOf(w, "p").max_restarts = 0;
       }},
      {"a node that is gone",
       [](Snapshot& w) {
         std::erase_if(w.nodes, [](const auto& node) { return node.id.name == "azure-1"; });
       }},
      {"a node that is out of service",
       [](Snapshot& w) { NodeOf(w, "azure-1").out_of_service = true; }},
      {"a node that has long been NotReady",
       [](Snapshot& w) {
         NodeOf(w, "azure-1").ready = false;
         NodeOf(w, "azure-1").not_ready_since = kNow - Seconds{5000};
       }},
      {"nothing that is known of it at all",
       [](Snapshot& w) {
         std::erase_if(w.nodes, [](const auto& node) { return node.id.cluster == "west"; });
         PoolOf(w, "p").workers.clear();
         PoolOf(w, "p").attempt = {};
       }},
      {"a gang that never started", [](Snapshot& w) { PoolOf(w, "p").workers.clear(); }},
      {"a Job that was deleted", [](Snapshot& w) { PoolOf(w, "p").attempt.exists = false; }},
      {"another spec",
       [](Snapshot& w) {
         PoolOf(w, "p").spec_revision = "spec-2";
         PoolOf(w, "p").attempt = {};
         PoolOf(w, "p").workers.clear();
       }},
      {"a template that is refused",
       [](Snapshot& w) {
         PoolOf(w, "p").template_invalid = "spec.containers is empty";
         PoolOf(w, "p").attempt = {};
         PoolOf(w, "p").workers.clear();
       }},
      {"a user who suspends it", [](Snapshot& w) { PoolOf(w, "p").suspended = true; }},
      {"its deadline", [](Snapshot& w) { PoolOf(w, "p").active_deadline = Seconds{60}; }},
      {"a drain", [](Snapshot& w) { GroupOf(w, "azure").admission = Admission::kDrain; }},
      {"a node group that was deleted",
       [](Snapshot& w) {
         std::erase_if(w.groups, [](const auto& group) { return group.name == "azure"; });
       }},
      {"room at home for a long time",
       [](Snapshot& w) { PoolOf(w, "p").memory.home_fits_since = kNow - Seconds{5000}; }},
      {"a budget that is used up",
       [](Snapshot& w) {
         w.quotas = {{.ns = "team", .limits = {}}};
         w.quotas[0].budget = {.amount = Dollars("1"),
                               .at_limit = placement::AtLimit::kDrainAtCheckpoint};
         w.quotas[0].memory = {
             .spent = Dollars("5"), .hourly = {}, .as_of = kNow, .period_start = kNow};
       }},
      {"a gang that is more important",
       [](Snapshot& w) {
         w.pools.push_back(Wants("high", 2));
         w.pools.back().priority = 9;
         w.pools.back().spill_after = Seconds{0};
         Use(w, "home-1", 8);
       }},
  };
  for (const auto& [sentence, make] : troubles) {
    SCOPED_TRACE(sentence);
    Snapshot world = Far();
    make(world);
    const Plan plan = Checked(world);
    const PoolDecision& decision = DecisionOf(plan, "p");
    EXPECT_EQ(decision.action, Action::kKeep);
    EXPECT_EQ(Brief(decision), "p@azure[azure-1 azure-2]#1");
    EXPECT_EQ(decision.placed_reason, Reason::kClusterUnreachable);
    EXPECT_EQ(decision.ready_reason, Reason::kClusterUnreachable);
    EXPECT_FALSE(decision.may_start);
    EXPECT_FALSE(decision.memory.hold) << "it moves nowhere";
    EXPECT_THAT(decision.memory.excluded, IsEmpty());
    EXPECT_THAT(decision.force_delete, IsEmpty());
    EXPECT_THAT(decision.memory.evictions, IsEmpty());
    world.clusters.clear();
    EXPECT_NE(DecisionOf(Checked(world), "p").ready_reason, Reason::kClusterUnreachable);
  }
}

TEST(ClusterUnreachable, DoesNotHideThatAGangHasCompleted) {
  Snapshot world = Far();
  PoolOf(world, "p").attempt.complete = true;
  EXPECT_EQ(DecisionOf(Checked(world), "p").action, Action::kFinish);
}

TEST(ClusterUnreachable, LetsNothingNewIn) {
  Snapshot world = Far();
  world.pools.push_back(Wants("new", 2));
  world.pools.back().providers = {placement::Provider::kAzure};
  world.pools.back().spill_after = Seconds{0};
  const Plan plan = Checked(world);
  const PoolDecision& decision = DecisionOf(plan, "new");
  EXPECT_EQ(Brief(decision), "new!ClusterUnreachable");
  EXPECT_EQ(decision.placed_message,
            "azure: cluster west has been unreachable since 2026-11-24T11:50:00Z");
  EXPECT_THAT(decision.remedies, ElementsAre("azure: make cluster west reachable again"));
  world.clusters.clear();
  EXPECT_EQ(Brief(DecisionOf(Checked(world), "new")), "new@azure[azure-3 azure-4]#1");
}

TEST(ClusterUnreachable, SendsWhoeverMayToOtherGroups) {
  Snapshot world = Far();
  world.groups.push_back(Group("aws", 20));
  AddNodes(world, "aws", 2);
  Use(world, "home-1", 1);
  world.pools.push_back(Wants("new", 2));
  world.pools.back().spill_after = Seconds{0};
  EXPECT_EQ(Brief(DecisionOf(Checked(world), "new")), "new@aws[aws-1 aws-2]#1");
}

TEST(ClusterUnreachable, EndsAClaimOnPlacesThere) {
  Snapshot world = Far();
  PoolOf(world, "p").preemptible = Preemptible::kAlways;
  for (const char* node : {"azure-3", "azure-4"}) Use(world, node, 8);
  world.pools.push_back(Wants("high", 2));
  TrainingPool& high = world.pools.back();
  high.priority = 9;
  high.providers = {placement::Provider::kAzure};
  high.memory.queued_since = high.memory.waiting_since = kNow - Seconds{5000};
  high.memory.hold = placement::Hold{.node_group = "azure",
                                     .domain = "",
                                     .nodes = {"azure-1", "azure-2"},
                                     .until = kNow + Seconds{600},
                                     .since = kNow - Seconds{60},
                                     .victims = {PoolOf(world, "p").key}};
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "p").action, Action::kKeep);
  EXPECT_FALSE(DecisionOf(plan, "high").memory.hold);
  world.clusters.clear();
  EXPECT_EQ(DecisionOf(Checked(world), "p").memory.evictions.size(), 1U) << "else it goes";
}

TEST(ClusterUnreachable, EndsAMoveThere) {
  Snapshot world = Fleet(2, 2);
  AddOld(world, "p", 0, {"azure-1"}, "azure");
  MoveToWest(world, "home");
  LoseWest(world);
  PoolOf(world, "p").memory.home_fits_since = kNow - Seconds{5000};
  PoolOf(world, "p").memory.hold = placement::Hold{.node_group = "home",
                                                   .domain = "",
                                                   .nodes = {"home-1"},
                                                   .until = kNow + Seconds{600},
                                                   .since = kNow - Seconds{60},
                                                   .victims = {}};
  const PoolDecision decision = DecisionOf(Checked(world), "p");
  EXPECT_EQ(Brief(decision), "p@azure[azure-1]#1");
  EXPECT_FALSE(decision.memory.hold);
  EXPECT_FALSE(decision.memory.home_fits_since) << "home has had no room since";
}

TEST(ClusterUnreachable, AsksElasticGroupsThereForNothing) {
  Snapshot world = Fleet(0, 1);
  NodeGroup& azure = MakeElastic(world, "azure", 8);
  azure.memory.desired = 3;
  azure.memory.spare = placement::SpareNodes{.nodes = 1, .since = kNow - Seconds{5000}};
  azure.elastic->scale_down_delay = Seconds{600};
  azure.target_replicas = 1;
  MoveToWest(world, "azure");
  LoseWest(world);
  world.pools = {Wants("new", 2)};
  world.pools[0].spill_after = Seconds{0};
  world.pools[0].providers = {placement::Provider::kAzure};
  world.pools[0].memory.queued_since = world.pools[0].memory.waiting_since = kNow - Seconds{5000};
  world.pools[0].memory.ask = placement::NodeAsk{
      .node_group = "azure", .nodes = 1, .workers = 2, .since = kNow - Seconds{5000}};
  const Plan plan = Checked(world);
  EXPECT_EQ(Brief(DecisionOf(plan, "new")), "new!ClusterUnreachable");
  EXPECT_FALSE(DecisionOf(plan, "new").memory.ask);
  EXPECT_TRUE(ReportOf(plan, "azure").memory == GroupOf(world, "azure").memory)
      << "neither asked nor out of stock nor given back";
  world.clusters.clear();
  EXPECT_TRUE(ReportOf(Checked(world), "azure").memory.stockout);
}

TEST(ClusterUnreachable, GoesOnCountingWhatIsThere) {
  Snapshot world = Far();
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 24}}}};
  world.pools.push_back(Wants("new", 2));
  EXPECT_EQ(Brief(DecisionOf(Checked(world), "new")), "new!WaitingForQuota");
  world.quotas[0].limits[0].limit = 32;
  EXPECT_EQ(Brief(DecisionOf(Checked(world), "new")), "new@home[home-1 home-2]#1");
}

TEST(ClusterUnreachable, TakesNoOldPodForLost) {
  Snapshot world = Far();
  // The gang has left for home; a pod of its first attempt was still there.
  TrainingPool& pool = PoolOf(world, "p");
  pool.workers.resize(1);
  pool.memory.placement.reset();
  pool.memory.placement = placement::Placement{.cluster = "",
                                               .node_group = "home",
                                               .accelerator = "a100",
                                               .domain = "",
                                               .tier = 0,
                                               .workers = 2,
                                               .per_worker = 8,
                                               .nodes = {"home-1", "home-2"},
                                               .attempt = 2,
                                               .render_revision = "r1",
                                               .spec_revision = "spec-1",
                                               .since = kNow - Seconds{10}};
  pool.memory.attempts = 2;
  pool.attempt = {};
  PoolDecision decision = DecisionOf(Checked(world), "p");
  EXPECT_THAT(decision.force_delete, IsEmpty());
  EXPECT_THAT(decision.stuck_pods, ElementsAre("p-1-0"));
  EXPECT_TRUE(decision.may_start) << "as beside one on a node that is NotReady";
  PoolOf(world, "p").on_unreachable = placement::OnUnreachable::kWait;
  EXPECT_FALSE(DecisionOf(Checked(world), "p").may_start);
  world.clusters.clear();
  decision = DecisionOf(Checked(world), "p");
  EXPECT_THAT(decision.force_delete, IsEmpty()) << "its node is there, in another cluster";
  EXPECT_FALSE(decision.may_start) << "it goes by itself";
}

// chat has 4 replicas at home and 4 in the cluster that is unreachable.
Snapshot Serving(int ready_there = 4) {
  Snapshot world = Fleet(1, 1);
  InferencePool chat = Chat(8);
  Runs(world, chat, "gpu", "home", 4, 4, {"home-1"});
  Runs(world, chat, "gpu", "azure", 4, ready_there, {"azure-1"}, 10);
  world.inference_pools = {chat};
  MoveToWest(world, "azure");
  LoseWest(world);
  return world;
}

TEST(ClusterUnreachable, LeavesReplicasThereWhichCountAsTheyWereSeen) {
  Snapshot world = Serving();
  Use(world, "home-1", 4);
  const InferenceDecision decision = ServingOf(Checked(world));
  EXPECT_EQ(Mix(decision), "4 gpu@azure, 4 gpu@home");
  EXPECT_TRUE(decision.capacity_met);
  EXPECT_EQ(decision.capacity_reason, Reason::kClusterUnreachable);
  EXPECT_FALSE(decision.ready);
  EXPECT_EQ(decision.ready_reason, Reason::kClusterUnreachable);
  EXPECT_THAT(decision.ready_message,
              HasSubstr("serves 32 of 32 needed (8 units × 4); cluster west has been unreachable "
                        "since 2026-11-24T11:50:00Z: its replicas there count as they were last "
                        "seen, and none is removed anywhere until it can be reached again"));
  world.clusters.clear();
  EXPECT_TRUE(ServingOf(Checked(world)).ready);
}

TEST(ClusterUnreachable, AddsElsewhereForReplicasThatWereNotReady) {
  Snapshot world = Serving(1);
  world.inference_pools[0].memory.cells[1].pending_since = kNow - Seconds{5000};
  const InferenceDecision decision = ServingOf(Checked(world));
  EXPECT_EQ(Mix(decision), "4 gpu@azure, 7 gpu@home");
  EXPECT_EQ(decision.ready_reason, Reason::kClusterUnreachable);
  EXPECT_FALSE(decision.memory.cells[0].blocked_until) << "no deadline runs there";
}

TEST(ClusterUnreachable, RemovesNoReplicaAnywhere) {
  const std::vector<std::pair<const char*, std::function<void(Snapshot&)>>> reasons = {
      {"fewer are needed", [](Snapshot& w) { w.inference_pools[0].replicas = 1; }},
      {"a drain there", [](Snapshot& w) { GroupOf(w, "azure").admission = Admission::kDrain; }},
      {"a drain elsewhere", [](Snapshot& w) { GroupOf(w, "home").admission = Admission::kDrain; }},
      {"another provider",
       [](Snapshot& w) { w.inference_pools[0].providers = {placement::Provider::kOnPrem}; }},
      {"home has had room for long",
       [](Snapshot& w) { w.inference_pools[0].memory.home_fits_since = kNow - Seconds{5000}; }},
      {"a node that is gone",
       [](Snapshot& w) {
         std::erase_if(w.nodes, [](const auto& node) { return node.id.cluster == "west"; });
       }},
      {"another template", [](Snapshot& w) { w.inference_pools[0].variants[0].revision = "v2"; }},
      {"a gang that is more important",
       [](Snapshot& w) {
         w.pools = {Wants("high", 1)};
         w.pools[0].priority = 9;
         w.pools[0].spill_after = Seconds{0};
       }},
  };
  for (const auto& [sentence, make] : reasons) {
    SCOPED_TRACE(sentence);
    Snapshot world = Serving();
    make(world);
    const Plan plan = Checked(world);
    const InferenceDecision& decision = ServingOf(plan);
    EXPECT_GE(decision.memory.cells[0].desired, 4) << Mix(decision);
    EXPECT_GE(decision.memory.cells[1].desired, 4) << Mix(decision);
    EXPECT_THAT(decision.evict, IsEmpty());
    EXPECT_THAT(decision.force_delete, IsEmpty());
    EXPECT_EQ(decision.ready_reason, Reason::kClusterUnreachable);
    for (const placement::CellDecision& cell : decision.cells) {
      EXPECT_FALSE(cell.roll && cell.node_group == "azure");
    }
    for (const PoolDecision& gang : plan.pools) EXPECT_FALSE(gang.memory.hold) << "claims nothing";
  }
}

TEST(ClusterUnreachable, IsWhyAPoolLacksWhatItCouldHaveThere) {
  Snapshot world = Fleet(0, 2);
  world.inference_pools = {Chat(4)};
  world.inference_pools[0].providers = {placement::Provider::kAzure};
  MoveToWest(world, "azure");
  LoseWest(world);
  const InferenceDecision decision = ServingOf(Checked(world));
  EXPECT_EQ(Mix(decision), "nothing");
  EXPECT_EQ(decision.capacity_reason, Reason::kClusterUnreachable);
  EXPECT_THAT(decision.capacity_message,
              HasSubstr("gpu@azure: cluster west has been unreachable since"));
  EXPECT_THAT(decision.remedies, testing::Contains("gpu@azure: make cluster west reachable again"));
  world.clusters.clear();
  EXPECT_EQ(Mix(ServingOf(Checked(world))), "4 gpu@azure");
}

TEST(MemberCluster, ServesAsTheOwnOneDoes) {
  Snapshot world = Serving();
  world.clusters[0].unreachable_since.reset();
  EXPECT_EQ(ServingOf(Checked(world)).ready_capacity, Dollars("32").micros());
  std::erase_if(world.nodes, [](const auto& node) { return node.id.cluster == "west"; });
  EXPECT_EQ(ServingOf(Checked(world)).force_delete.size(), 4U) << "its nodes are gone";
}

// ---- a demand that nobody knows ----

DemandSignal HeardAgo(int seconds) {
  return {.as_of = kNow - Seconds{seconds}, .silent_after = Seconds{120}};
}

// chat needs 4 units and has 4 replicas at home; 4 more would fit there.
Snapshot Measured(int seconds) {
  Snapshot world = Fleet(1, 1);
  InferencePool chat = Chat(4);
  chat.demand = HeardAgo(seconds);
  Runs(world, chat, "gpu", "home", 4, 4, {"home-1"});
  world.inference_pools = {chat};
  return world;
}

TEST(DemandUnknown, IsSaidFromTheMomentOn) {
  EXPECT_EQ(ServingOf(Checked(Measured(119))).ready_reason, Reason::kAsExpected);
  EXPECT_EQ(Checked(Measured(119)).next_wake, kNow + Seconds{1});
  const Plan plan = Checked(Measured(120));
  const InferenceDecision& decision = ServingOf(plan);
  EXPECT_EQ(decision.capacity_reason, Reason::kDemandUnknown);
  EXPECT_TRUE(decision.ready) << "by what was last known";
  EXPECT_EQ(decision.ready_reason, Reason::kDemandUnknown);
  EXPECT_EQ(decision.ready_message,
            "serves 16 of 16 needed (4 units × 4); the demand is unknown since "
            "2026-11-24T12:00:00Z, as nothing was heard of it since 2026-11-24T11:58:00Z: it has "
            "what it last needed, and none is removed");
  EXPECT_EQ(plan.next_wake, std::nullopt);
}

TEST(DemandUnknown, NeverComesWithoutASignal) {
  Snapshot world = Measured(5000);
  world.inference_pools[0].demand.reset();
  EXPECT_EQ(ServingOf(Checked(world)).ready_reason, Reason::kAsExpected);
}

TEST(DemandUnknown, KeepsEverythingAsItIs) {
  const std::vector<std::pair<const char*, std::function<void(Snapshot&)>>> changes = {
      {"fewer", [](Snapshot& w) { w.inference_pools[0].replicas = 1; }},
      {"none", [](Snapshot& w) { w.inference_pools[0].replicas = 0; }},
      {"more", [](Snapshot& w) { w.inference_pools[0].replicas = 6; }},
      {"a drain", [](Snapshot& w) { GroupOf(w, "home").admission = Admission::kDrain; }},
      {"another provider",
       [](Snapshot& w) { w.inference_pools[0].providers = {placement::Provider::kAzure}; }},
      {"a gang that is more important",
       [](Snapshot& w) {
         Use(w, "home-1", 4);
         w.pools = {Wants("high", 1, 4)};
         w.pools[0].priority = 9;
         w.pools[0].spill_allowed = false;
       }},
  };
  for (const auto& [sentence, make] : changes) {
    SCOPED_TRACE(sentence);
    Snapshot world = Measured(500);
    make(world);
    const Plan plan = Checked(world);
    EXPECT_EQ(Mix(ServingOf(plan)), "4 gpu@home");
    EXPECT_EQ(ServingOf(plan).memory.units, 4);
    EXPECT_EQ(ServingOf(plan).ready_reason, Reason::kDemandUnknown);
    for (const PoolDecision& gang : plan.pools) EXPECT_FALSE(gang.memory.hold) << "claims nothing";
    world.inference_pools[0].demand = HeardAgo(0);
    const Plan known = Checked(world);
    EXPECT_TRUE(Mix(ServingOf(known)) != "4 gpu@home" ||
                (!known.pools.empty() && known.pools[0].memory.hold))
        << "else it changes";
  }
}

TEST(DemandUnknown, DoesNotMoveHome) {
  Snapshot world = Fleet(1, 1);
  InferencePool chat = Chat(4);
  chat.demand = HeardAgo(500);
  Runs(world, chat, "gpu", "azure", 4, 4, {"azure-1"}, 10);
  chat.memory.home_fits_since = kNow - Seconds{5000};
  world.inference_pools = {chat};
  const InferenceDecision decision = ServingOf(Checked(world));
  EXPECT_EQ(Mix(decision), "4 gpu@azure");
  EXPECT_FALSE(decision.memory.home_fits_since) << "counts anew once it is known";
  world.inference_pools[0].demand = HeardAgo(0);
  EXPECT_EQ(Mix(ServingOf(Checked(world))), "4 gpu@azure, 4 gpu@home");
}

TEST(DemandUnknown, DoesNotTakeAnotherVariant) {
  Snapshot world = Fleet(1);
  world.groups.push_back(Group("new"));
  world.groups.back().accelerator = "h100";
  AddNodes(world, "new", 1);
  InferencePool chat = Chat(6);
  chat.demand = HeardAgo(500);
  chat.routing = placement::Routing::kUniform;
  chat.variants.push_back(Serves("fast", "h100", 1, "16"));
  Runs(world, chat, "gpu", "home", 4, 4, {"home-1"});
  Use(world, "home-1", 4);
  world.inference_pools = {chat};
  EXPECT_EQ(Mix(ServingOf(Checked(world))), "4 gpu@home");
  world.inference_pools[0].demand = HeardAgo(0);
  EXPECT_EQ(Mix(ServingOf(Checked(world))), "2 fast@new, 4 gpu@home");
}

TEST(DemandUnknown, PutsBackWhatWasLost) {
  Snapshot world = Measured(500);
  std::erase_if(world.nodes, [](const auto& node) { return node.id.name == "home-1"; });
  const InferenceDecision decision = ServingOf(Checked(world));
  EXPECT_EQ(Mix(decision), "4 gpu@azure") << "no fewer than it last needed, and no more";
  EXPECT_EQ(decision.force_delete.size(), 4U);
  EXPECT_EQ(decision.ready_reason, Reason::kDemandUnknown);
  EXPECT_EQ(decision.capacity_reason, Reason::kPodsNotReady);
}

TEST(DemandUnknown, MakesNobodyGo) {
  Snapshot world = Fleet(1);
  AddOld(world, "low", -1, {"home-1"});
  InferencePool chat = Chat(4);
  chat.priority = 9;
  chat.demand = HeardAgo(500);
  chat.memory.units = chat.memory.requested = 4;
  chat.memory.short_since = kNow - Seconds{5000};
  world.inference_pools = {chat};
  EXPECT_FALSE(ServingOf(Checked(world)).memory.claim);
  EXPECT_EQ(ServingOf(Checked(world)).ready_reason, Reason::kDemandUnknown);
  EXPECT_EQ(ServingOf(Checked(world)).capacity_reason, Reason::kWaitingForCapacity);
  world.inference_pools[0].demand = HeardAgo(0);
  const Plan plan = Checked(world);
  ASSERT_TRUE(ServingOf(plan).memory.claim) << "else it does";
  // What it claimed while it was known it gives up.
  Snapshot after = Applied(world, plan);
  after.inference_pools[0].demand = HeardAgo(500);
  EXPECT_FALSE(ServingOf(Checked(after)).memory.claim);
}

TEST(DemandUnknown, EndsWhenTheSignalIsHeardAgain) {
  Snapshot world = Measured(500);
  world.inference_pools[0].replicas = 2;
  world = Applied(world, Checked(world));
  EXPECT_EQ(Mix(ServingOf(Checked(world))), "4 gpu@home");
  world.inference_pools[0].demand->as_of = kNow;
  EXPECT_EQ(Mix(ServingOf(Checked(world))), "2 gpu@home");
}

TEST(DemandUnknown, IsOverOnceSomebodySaysWhatWouldBe) {
  const auto world = placement::Scale(Measured(500), "serving/chat=2");
  ASSERT_TRUE(world.ok()) << world.error().message;
  EXPECT_EQ(Mix(ServingOf(Checked(*world))), "2 gpu@home");
}

TEST(DemandUnknown, IsNotSaidOfAPoolOfWhichNothingIsDecided) {
  Snapshot world = Measured(500);
  world.inference_pools[0].paused = true;
  const InferenceDecision decision = ServingOf(Checked(world));
  EXPECT_EQ(decision.ready_reason, Reason::kPaused);
  EXPECT_EQ(decision.capacity_reason, Reason::kAsExpected);
}

// ---- the text ----

TEST(Doubt, IsInTheTextAndIsReadBack) {
  Snapshot world = Serving();
  world.clusters.push_back({.name = "east", .unreachable_since = {}});
  world.inference_pools[0].demand = DemandSignal{.as_of = kNow, .silent_after = Seconds{60}};
  const std::string text = WriteSnapshot(world);
  EXPECT_THAT(text, HasSubstr("renderRevision: r1\nclusters:\n"
                              "  - {name: west, unreachableSince: 2026-11-24T11:50:00Z}\n"
                              "  - {name: east}\ngroups:\n"));
  EXPECT_THAT(text, HasSubstr("demand: {asOf: 2026-11-24T12:00:00Z, silentAfterSeconds: 60}"));
  const auto read = placement::ReadSnapshot(text);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_TRUE(*read == world);
}

TEST(Doubt, IsReadAsAPersonWritesIt) {
  const auto read = placement::ReadSnapshot(
      "now: 2026-11-24T12:00:00Z\ninferencePools:\n"
      "  - {namespace: n, name: p, demand: {asOf: 2026-11-24T12:00:00Z}}\n");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->inference_pools[0].demand->silent_after, Seconds{120});
}

TEST(Doubt, IsRefusedWhereItIsWrong) {
  const std::string now = "now: 2026-11-24T12:00:00Z\n";
  const std::string pools = now + "inferencePools:\n  - {namespace: n, name: p, demand: ";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {now + "clusters:\n  - {unreachableSince: 2026-11-24T12:00:00Z}\n",
       "line 3: clusters: field name: is missing"},
      {now + "clusters:\n  - {name: west}\n  - {name: west}\n",
       "line 4: clusters: field name: \"west\" stands here a second time"},
      {now + "clusters:\n  - {name: west, unreachableSince: today}\n",
       "line 3: clusters: field unreachableSince: \"today\" is no RFC 3339 time"},
      {now + "clusters:\n  - {name: west, reachable: false}\n",
       "line 3: clusters: field reachable: is unknown; allowed: name, unreachableSince"},
      {pools + "{silentAfterSeconds: 60}}\n",
       "line 3: inferencePools: field demand.asOf: is missing"},
      {pools + "{asOf: 2026-11-24T12:00:00Z, silentAfterSeconds: 0}}\n",
       "line 3: inferencePools: field demand.silentAfterSeconds: must be at least 1"},
      {pools + "{asOf: 2026-11-24T12:00:00Z, unit: 1}}\n",
       "line 3: inferencePools: field demand.unit: is unknown; allowed: asOf, silentAfterSeconds"},
      {pools + "4}\n", "line 3: inferencePools: field demand: must be a mapping {…}"},
  };
  for (const auto& [text, message] : cases) {
    const auto read = placement::ReadSnapshot(text);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.error().message, message);
  }
}

}  // namespace
}  // namespace spillway::tests
