// New attempts: which nodes are kept, which replace those that are not, and when the Job may start.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::MakePlan;
using placement::Plan;
using placement::PoolDecision;
using placement::Reason;
using placement::TopologyMode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// home-1 … home-4 in domains d1 d1 d2 d2; p ran 2 workers of 8 on home-1 and home-2, and home-2 is
// gone.
Snapshot Lost() {
  Snapshot world = Fleet(4, 2);
  const std::vector<std::string> domains = {"d1", "d1", "d2", "d2"};
  for (size_t i = 0; i < domains.size(); ++i) world.nodes[i].labels[kDomain] = domains[i];
  TrainingPool& pool = AddRunning(world, "p", 2, 8, "home", {"home-1", "home-2"});
  pool.memory.placement->domain = "d1";
  world.nodes.erase(world.nodes.begin() + 1);
  return world;
}
TrainingPool& P(Snapshot& world) { return PoolOf(world, "p"); }

PoolDecision Decide(const Snapshot& world) {
  const Plan plan = MakePlan(world);
  const Status status = Verify(world, plan);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return DecisionOf(plan, "p");
}

struct Case {
  const char* sentence;
  std::function<void(Snapshot&)> make;
  const char* told;  // action and place
};

TEST(NewAttempt, KeepsSurvivorsAndTakesOthersInTheSameGroup) {
  const std::vector<Case> cases = {
      {"a free node of the group joins", [](Snapshot&) {}, "restart p@home[home-1 home-3]#2"},
      {"of the same domain if there is one",
       [](Snapshot& w) { w.nodes.push_back(GpuNode("home-9", "home", 8, "d1")); },
       "restart p@home[home-1 home-9]#2"},
      {"with Required only of the same domain",
       [](Snapshot& w) {
         P(w).topology = TopologyMode::kRequired;
         w.nodes.push_back(GpuNode("home-9", "home", 8, "d1"));
         Use(w, "home-3", 1);
       },
       "restart p@home[home-1 home-9]#2"},
      {"with Required and no other node there, it moves to another domain",
       [](Snapshot& w) { P(w).topology = TopologyMode::kRequired; },
       "place p@home[home-3 home-4]#2"},
      {"a survivor that takes no new work is replaced too",
       [](Snapshot& w) { NodeOf(w, "home-1").cordoned = true; }, "restart p@home[home-3 home-4]#2"},
      {"a survivor that two groups match is kept",
       [](Snapshot& w) {
         w.groups.push_back(Group("other"));
         w.groups.back().selector = {
             {.key = "kubernetes.io/hostname", .op = "In", .values = {"home-1"}}};
       },
       "restart p@home[home-1 home-3]#2"},
      {"a node that two groups match does not join",
       [](Snapshot& w) {
         w.groups.push_back(Group("other"));
         w.groups.back().selector = {
             {.key = "kubernetes.io/hostname", .op = "In", .values = {"home-3"}}};
       },
       "restart p@home[home-1 home-4]#2"},
      {"a node that is left out does not join",
       [](Snapshot& w) {
         P(w).memory.excluded = {
             {.name = "home-3", .until = kNow + Seconds{9}, .reason = "NodeLost"}};
       },
       "restart p@home[home-1 home-4]#2"},
      {"a survivor that another's pods have filled is replaced",
       [](Snapshot& w) {
         w.pools[0].workers.erase(w.pools[0].workers.begin());
         NodeOf(w, "home-1").used = Resources();
         Use(w, "home-1", 8);
       },
       "restart p@home[home-3 home-4]#2"},
      {"closed, the group still serves those that are in it",
       [](Snapshot& w) { w.groups[0].admission = placement::Admission::kClosed; },
       "restart p@home[home-1 home-3]#2"},
      {"misconfigured, it gives no new node",
       [](Snapshot& w) { w.groups[0].misconfigured = "wrong currency"; },
       "place p@azure[azure-1 azure-2]#2"},
      {"the same group even where another would come first",
       [](Snapshot& w) {
         w.groups[1].tier = 0;
         w.groups[1].marginal_per_node_hour = Money();
         w.groups[0].marginal_per_node_hour = Dollars("9");
       },
       "restart p@home[home-1 home-3]#2"},
      {"with the workers that the spec has by now",
       [](Snapshot& w) {
         P(w).accelerators[0].workers = 3;
         P(w).spec_revision = "spec-2";
       },
       "restart p@home[home-1 home-3 home-4]#2"},
      {"fewer of them leave a survivor out", [](Snapshot& w) { P(w).accelerators[0].workers = 1; },
       "restart p@home[home-1]#2"},
      {"a type that the spec no longer accepts can't go on",
       [](Snapshot& w) {
         P(w).accelerators = {{.type = "h100", .workers = 2}};
         w.groups[1].accelerator = "h100";
         w.groups[1].tier = 0;
       },
       "place p@azure[azure-1 azure-2]#2"},
      {"a provider that the spec no longer accepts can't either",
       [](Snapshot& w) {
         P(w).providers = {placement::Provider::kAzure};
         w.groups[1].tier = 0;
       },
       "place p@azure[azure-1 azure-2]#2"},
      {"a lowered limit does not stop what asks for no more",
       [](Snapshot& w) { w.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 8}}}}; },
       "restart p@home[home-1 home-3]#2"},
      {"a limit stops what asks for more",
       [](Snapshot& w) {
         w.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 16}}}};
         P(w).accelerators[0].workers = 3;
       },
       "release p!NodeLost"},
      {"a limit stops workers that ask for more than they had",
       [](Snapshot& w) {
         P(w).memory.placement->per_worker = 1;
         w.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 15}}}};
       },
       "release p!NodeLost"},
      {"and lets them have what it allows",
       [](Snapshot& w) {
         P(w).memory.placement->per_worker = 1;
         w.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 16}}}};
       },
       "restart p@home[home-1 home-3]#2"},
      {"a record that does not say what its workers have had what the pool has",
       [](Snapshot& w) {
         P(w).memory.placement->per_worker = 0;
         w.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 8}}}};
       },
       "restart p@home[home-1 home-3]#2"},
      {"a group that is gone can't be gone on with",
       [](Snapshot& w) {
         w.groups.erase(w.groups.begin());
         w.groups[0].tier = 0;
       },
       "place p@azure[azure-1 azure-2]#2"},
  };
  for (const Case& c : cases) {
    Snapshot world = Lost();
    c.make(world);
    const PoolDecision decision = Decide(world);
    EXPECT_EQ(std::string(Name(decision.action)) + " " + Brief(decision), c.told) << c.sentence;
  }
}

TEST(NewAttempt, CountsAndIsPinnedToWhatIsSaidNow) {
  Snapshot world = Lost();
  world.render_revision = "r2";
  P(world).spec_revision = "spec-2";
  P(world).per_worker = 4;
  const auto memory = Decide(world).memory;
  EXPECT_EQ(memory.attempts, 2);
  EXPECT_EQ(memory.restarts, 1);
  EXPECT_EQ(memory.failures, 0);
  EXPECT_EQ(memory.placement->since, kNow);
  EXPECT_EQ(memory.placement->per_worker, 4);
  EXPECT_EQ(memory.placement->render_revision, "r2");
  EXPECT_EQ(memory.placement->spec_revision, "spec-2");
  EXPECT_EQ(memory.queued_since, P(world).memory.queued_since);
  EXPECT_EQ(memory.started, P(world).memory.started);
}

TEST(NewAttempt, GetsTheNextNumberThatWasNeverUsed) {
  Snapshot world = Lost();
  P(world).memory.attempts = 7;
  EXPECT_EQ(Decide(world).memory.placement->attempt, 8);
}

TEST(NewAttempt, FindsItsNodesUntouchedByThoseWhoGoFirst) {
  Snapshot world = Lost();
  world.pools.push_back(Wants("rival", 1));
  world.pools.back().priority = 100;
  const Plan plan = MakePlan(world);
  EXPECT_THAT(Brief(plan), ElementsAre("p@home[home-1 home-4]#2", "rival@home[home-3]#1"));
}

TEST(NoReplacement, DropsThePlaceHoldsTheSurvivorsAndQueuesAtOnce) {
  Snapshot world = Lost();
  Use(world, "home-3", 1);
  Use(world, "home-4", 1);
  P(world).memory.tiers_used = {0};
  const Plan plan = MakePlan(world);
  const PoolDecision& decision = DecisionOf(plan, "p");
  EXPECT_EQ(decision.action, Action::kRelease);
  EXPECT_EQ(decision.placed_reason, Reason::kNodeLost);
  EXPECT_THAT(decision.placed_message, HasSubstr("lost 1 node (home-2): gone, or out of service; "
                                                 "azure: holds back from spilling to tier 10"));
  EXPECT_THAT(decision.placed_message,
              HasSubstr("; 1 node of home (home-1) reserved for it until 2026-11-24T12:10:00Z"));
  EXPECT_FALSE(decision.memory.placement);
  EXPECT_EQ(decision.memory.hold, (placement::Hold{.node_group = "home",
                                                   .domain = "d1",
                                                   .nodes = {"home-1"},
                                                   .until = kNow + Seconds{600},
                                                   .since = {},
                                                   .victims = {}}));
  EXPECT_EQ(decision.memory.waiting_since, kNow) << "owes a hold-back where it never ran";
  EXPECT_EQ(decision.memory.restarts, 0) << "no new attempt yet";
  EXPECT_THAT(decision.force_delete, ElementsAre("p-1-1"));
  EXPECT_EQ(decision.position, 1);
  EXPECT_EQ(plan.next_wake, kNow + Seconds{600});
}

TEST(NoReplacement, MovesElsewhereInTheSamePassWithoutASecondHoldBackWhereItRanBefore) {
  Snapshot world = Lost();
  Use(world, "home-3", 1);
  Use(world, "home-4", 1);
  P(world).memory.tiers_used = {0, 10};
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.action, Action::kPlace);
  EXPECT_EQ(Brief(decision), "p@azure[azure-1 azure-2]#2");
  EXPECT_FALSE(decision.memory.hold) << "what it held is free again";
  EXPECT_EQ(decision.memory.restarts, 1);
  EXPECT_EQ(decision.ready_reason, Reason::kNodeLost);
  EXPECT_THAT(decision.placed_message, HasSubstr("before, lost 1 node (home-2)"));
}

TEST(NoReplacement, GivesWhatItHeldToThoseWhoWereAskedBefore) {
  Snapshot world = Lost();
  Use(world, "home-3", 1);
  Use(world, "home-4", 1);
  P(world).memory.tiers_used = {0, 10};
  P(world).workers.clear();
  NodeOf(world, "home-1").used = Resources();
  world.pools.push_back(Wants("first", 1));
  world.pools.back().priority = 100;
  world.pools.back().spill_allowed = false;
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("first@home[home-1]#1", "p@azure[azure-1 azure-2]#2"));
}

TEST(NewAttempt, GivesNodesThatItNoLongerNeedsToThoseWhoWereAskedBefore) {
  Snapshot world = Lost();
  world.pools.clear();
  for (auto& node : world.nodes) node.used = Resources();
  world.pools = {Has("p", 3, 8, "home", {"home-1", "home-2", "home-3"})};
  P(world).accelerators[0].workers = 1;
  Use(world, "home-4", 1);
  world.pools.push_back(Wants("first", 1));
  world.pools.back().priority = 100;
  EXPECT_THAT(Brief(MakePlan(world)), ElementsAre("first@home[home-3]#1", "p@home[home-1]#2"));
}

TEST(Hold, IsFreeForThoseWhoWereAskedBeforeWhenItsPoolGoesElsewhere) {
  Snapshot world = Fleet(1, 2);
  TrainingPool held = Wants("held", 2);
  held.memory.attempts = 1;
  held.memory.tiers_used = {0, 10};
  held.memory.hold = placement::Hold{.node_group = "home",
                                     .domain = "",
                                     .nodes = {"home-1"},
                                     .until = kNow + Seconds{60},
                                     .since = {},
                                     .victims = {}};
  TrainingPool first = Wants("first", 1);
  first.priority = 100;
  first.spill_allowed = false;
  world.pools = {held, first};
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("first@home[home-1]#1", "held@azure[azure-1 azure-2]#2"));
}

TEST(Hold, IsWhereItsPoolGoesFirst) {
  Snapshot world = Fleet(4, 0);
  Use(world, "home-1", 1);  // would be taken before a whole node
  TrainingPool held = Wants("held", 2, 4);
  held.memory.hold = placement::Hold{.node_group = "home",
                                     .domain = "",
                                     .nodes = {"home-3", "home-4"},
                                     .until = kNow + Seconds{60},
                                     .since = {},
                                     .victims = {}};
  world.pools = {held};
  EXPECT_THAT(Brief(MakePlan(world)), ElementsAre("held@home[home-3]#1"));
  // Not where it would lose its domain by that.
  for (auto& node : world.nodes) node.labels[kDomain] = node.id.name < "home-3" ? "a" : "b";
  NodeOf(world, "home-4").labels[kDomain] = "c";
  world.pools[0].accelerators[0].workers = 3;
  EXPECT_THAT(Brief(MakePlan(world)), ElementsAre("held@home[home-1 home-2]#1"));
}

TEST(NoReplacement, HoldsNothingWhereThePoolWantsNoHold) {
  Snapshot world = Lost();
  Use(world, "home-3", 1);
  Use(world, "home-4", 1);
  P(world).hold = Seconds{0};
  EXPECT_FALSE(Decide(world).memory.hold);
}

TEST(UncheckedTemplate, KeepsAGangThatNeedsANewAttemptAsItIs) {
  Snapshot world = Lost();
  P(world).template_unchecked = true;
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.action, Action::kKeep);
  EXPECT_EQ(decision.memory.placement, P(world).memory.placement);
}

// ---- when the Job may start ----

// p was placed on home-1 as attempt 2 just now; attempt 1 ran on home-2.
Snapshot Restarted() {
  Snapshot world = Fleet(2);
  world.pools = {Has("p", 1, 8, "home", {"home-2"})};
  AddWorkers(world, world.pools[0]);
  auto& memory = world.pools[0].memory;
  memory.placement->nodes = {"home-1"};
  memory.placement->attempt = memory.attempts = 2;
  world.pools[0].attempt = {};
  return world;
}

TEST(Start, WaitsUntilOldPodsAreGoneFromWhereTheyCanBeReached) {
  struct StartCase {
    const char* sentence;
    std::function<void(Snapshot&)> make;
    bool may_start;
    std::vector<std::string> stuck{};
    std::vector<std::string> force{};
  };
  const auto worker = [](Snapshot& w) -> placement::Worker& { return P(w).workers[0]; };
  const std::vector<StartCase> cases = {
      {"an old pod runs", [](Snapshot&) {}, false},
      {"an old pod was never bound", [&](Snapshot& w) { worker(w).node.clear(); }, false},
      {"an old pod has ended", [&](Snapshot& w) { worker(w).ended = true; }, true},
      {"the old pods are gone", [](Snapshot& w) { P(w).workers.clear(); }, true},
      {"an old pod is on a node that can't be reached",
       [](Snapshot& w) {
         NodeOf(w, "home-2").ready = false;
         NodeOf(w, "home-2").not_ready_since = kNow;
       },
       true,
       {"p-1-0"}},
      {"an old pod is on a node that is gone",
       [](Snapshot& w) { w.nodes.pop_back(); },
       true,
       {},
       {"p-1-0"}},
      {"an old pod is on a node out of service",
       [](Snapshot& w) { NodeOf(w, "home-2").out_of_service = true; },
       true,
       {},
       {"p-1-0"}},
      {"the backoff is not over",
       [](Snapshot& w) {
         P(w).workers.clear();
         P(w).memory.failures = 1;
         P(w).memory.last_failure = placement::Failure{};
         P(w).memory.last_failure->attempt = 1;
         P(w).memory.last_failure->time = kNow - Seconds{9};
       },
       false},
      {"the backoff is over",
       [](Snapshot& w) {
         P(w).workers.clear();
         P(w).memory.failures = 1;
         P(w).memory.last_failure = placement::Failure{};
         P(w).memory.last_failure->attempt = 1;
         P(w).memory.last_failure->time = kNow - Seconds{10};
       },
       true},
      {"the template is not checked",
       [](Snapshot& w) {
         P(w).workers.clear();
         P(w).template_unchecked = true;
       },
       false},
  };
  for (const StartCase& c : cases) {
    Snapshot world = Restarted();
    c.make(world);
    const PoolDecision decision = Decide(world);
    EXPECT_EQ(Brief(decision), "p@home[home-1]#2") << c.sentence;
    EXPECT_EQ(decision.may_start, c.may_start) << c.sentence;
    EXPECT_EQ(decision.stuck_pods, c.stuck) << c.sentence;
    EXPECT_EQ(decision.force_delete, c.force) << c.sentence;
  }
  EXPECT_EQ(Decide(Restarted()).ready_message, "attempt 2 starts when the old pod is gone: p-1-0");
}

// ---- a spec that changes before the attempt has started ----

TEST(ChangedSpec, IsDecidedAnewWhereNothingOfTheAttemptHasStarted) {
  Snapshot world = Fleet(4);
  world.pools = {Has("p", 2, 8, "home", {"home-1", "home-2"})};
  P(world).attempt = {};
  P(world).spec_revision = "spec-2";
  P(world).per_worker = 4;
  P(world).accelerators[0].workers = 3;
  P(world).memory.failures = 1;
  P(world).memory.last_failure = placement::Failure{};
  P(world).memory.last_failure->time = kNow - Seconds{1};
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(std::string(Name(decision.action)) + " " + Brief(decision),
            "restart p@home[home-1 home-2]#2");
  EXPECT_EQ(decision.memory.placement->workers, 3);
  EXPECT_EQ(decision.memory.placement->spec_revision, "spec-2");
  EXPECT_EQ(decision.memory.failures, 1);
  EXPECT_FALSE(decision.may_start) << "the backoff is as long as before";
  EXPECT_EQ(decision.ready_message,
            "the spec was changed before attempt 1 started; attempt 2 starts at "
            "2026-11-24T12:00:09Z");
}

TEST(ChangedSpec, WaitsForTheNextAttemptWhereThisOneHasStarted) {
  Snapshot world = Fleet(2);
  world.pools = {Has("p", 2, 8, "home", {"home-1", "home-2"})};
  P(world).spec_revision = "spec-2";
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(Brief(decision), "p@home[home-1 home-2]#1");
  EXPECT_THAT(decision.ready_message, HasSubstr("takes effect at the next attempt"));
}

TEST(ChangedSpec, IsNotStartedInThePlaceOfTheOneThatWasDecidedFor) {
  Snapshot world = Fleet(2);
  world.pools = {Has("p", 2, 8, "home", {"home-1", "home-2"})};
  P(world).attempt = {};
  P(world).spec_revision = "spec-2";
  AddNodes(world, "home", 3);
  for (const char* node : {"home-3", "home-4", "home-5"}) {
    NodeOf(world, node).ready = false;
    NodeOf(world, node).not_ready_since = kNow;
  }
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.action, Action::kKeep) << "nothing is decided while the link is in doubt";
  EXPECT_FALSE(decision.may_start);
}

TEST(ForceDelete, AlsoReachesPodsOfAPoolThatHasNoPlaceAnyMore) {
  Snapshot world = Lost();
  P(world).memory.placement.reset();
  P(world).suspended = true;
  EXPECT_THAT(Decide(world).force_delete, ElementsAre("p-1-1"));
}

TEST(ForceDelete, NeverTouchesPodsThatHaveEnded) {
  Snapshot world = Lost();
  P(world).workers[1].ended = true;
  EXPECT_THAT(Decide(world).force_delete, IsEmpty());
}

}  // namespace
}  // namespace spillway::tests
