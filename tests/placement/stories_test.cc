// What conditions say: why a pool is placed and ready, or is not, what it costs.
#include "placement/stories.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::MakePlan;
using placement::PoolDecision;
using placement::Reason;
using testing::HasSubstr;

// p has 2 workers of 4 on home-1 and home-2 since a minute ago.
Snapshot Placed() {
  Snapshot world = Fleet(3, 3);
  AddRunning(world, "p", 2, 4, "home", {"home-1", "home-2"});
  return world;
}
TrainingPool& P(Snapshot& world) { return PoolOf(world, "p"); }

PoolDecision Decide(const Snapshot& world) {
  const auto plan = MakePlan(world);
  return DecisionOf(plan, "p");
}

TEST(ReadyStory, SaysTheFirstThingThatApplies) {
  struct Case {
    const char* sentence;
    std::function<void(Snapshot&)> make;
    bool ready;
    Reason reason;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"all workers are ready", [](Snapshot&) {}, true, Reason::kAsExpected,
       "2 of 2 workers ready on home"},
      {"succeeded workers count as ready",
       [](Snapshot& w) {
         P(w).workers.pop_back();
         P(w).attempt.succeeded = 1;
       },
       true, Reason::kAsExpected, "2 of 2 workers ready on home"},
      {"one runs, but is not ready", [](Snapshot& w) { P(w).workers[1].ready = false; }, false,
       Reason::kPodsNotReady, "1 of 2 workers ready on home"},
      {"one is bound, but does not run",
       [](Snapshot& w) { P(w).workers[1].running = P(w).workers[1].ready = false; }, false,
       Reason::kPodsNotReady, "1 of 2 workers ready on home; all must run by 2026-11-24T12:29:00Z"},
      {"one is bound to no node",
       [](Snapshot& w) {
         P(w).workers[1].running = P(w).workers[1].ready = false;
         P(w).workers[1].node.clear();
       },
       false, Reason::kPodsNotReady,
       "1 of 2 workers ready on home, 1 bound to no node; all must run by 2026-11-24T12:29:00Z"},
      {"no pod is there yet", [](Snapshot& w) { P(w).workers.clear(); }, false,
       Reason::kPodsNotReady,
       "0 of 2 workers ready on home, none has a pod yet; all must run by 2026-11-24T12:29:00Z"},
      {"the spec has changed since", [](Snapshot& w) { P(w).spec_revision = "spec-2"; }, true,
       Reason::kAsExpected,
       "2 of 2 workers ready on home; the change of its spec takes effect at the next attempt"},
      {"a node is away, but the workers are still ready",
       [](Snapshot& w) {
         NodeOf(w, "home-1").ready = false;
         NodeOf(w, "home-1").not_ready_since = kNow;
       },
       true, Reason::kAsExpected, "2 of 2 workers ready on home"},
  };
  for (const Case& c : cases) {
    Snapshot world = Placed();
    c.make(world);
    const PoolDecision decision = Decide(world);
    EXPECT_EQ(decision.ready, c.ready) << c.sentence;
    EXPECT_EQ(decision.ready_reason, c.reason) << c.sentence;
    EXPECT_EQ(decision.ready_message, c.message) << c.sentence;
    EXPECT_TRUE(decision.placed) << c.sentence;
    EXPECT_EQ(decision.placed_reason, Reason::kPlaced) << c.sentence;
  }
}

TEST(PlacedStory, SaysWhereSinceWhenAndWhatIsLeftOut) {
  Snapshot world = Placed();
  P(world).memory.placement->domain = "d1";
  P(world).memory.excluded = {
      {.name = "home-3", .until = kNow + Seconds{60}, .reason = "GangIncomplete"}};
  EXPECT_EQ(Decide(world).placed_message,
            "attempt 1 on home (tier 0, domain d1): 2 workers on 2 nodes (home-1 and home-2) since "
            "2026-11-24T11:59:00Z; left out: home-3 until 2026-11-24T12:01:00Z (GangIncomplete)");
}

TEST(PlacedStory, SaysWhenTheNodeGroupIsGone) {
  Snapshot world = Placed();
  world.groups.erase(world.groups.begin());
  const PoolDecision decision = Decide(world);
  EXPECT_TRUE(decision.placed);
  EXPECT_TRUE(decision.ready);
  EXPECT_EQ(decision.placed_reason, Reason::kNodeGroupMissing);
  EXPECT_THAT(decision.placed_message,
              HasSubstr("there is no node group home any more; what runs there stays: attempt 1"));
  EXPECT_EQ(decision.hourly_cost, Money());
}

TEST(PlacedStory, SaysWhenNodesNoLongerMatchTheGroup) {
  Snapshot world = Placed();
  NodeOf(world, "home-2").labels["group"] = "else";
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.placed_reason, Reason::kNodeGroupMissing);
  EXPECT_THAT(decision.placed_message, HasSubstr("1 of 2 nodes (home-2) no longer matched by node "
                                                 "group home; what runs there stays"));
  EXPECT_TRUE(decision.ready);
}

TEST(Counts, AreOfTheCurrentAttempt) {
  Snapshot world = Placed();
  placement::Worker old = P(world).workers[0];
  old.attempt = 0;
  old.pod = "old";
  P(world).workers.push_back(old);
  P(world).workers[1].ready = false;
  const PoolDecision decision = Decide(world);
  EXPECT_EQ(decision.workers_wanted, 2);
  EXPECT_EQ(decision.workers_active, 2);
  EXPECT_EQ(decision.workers_ready, 1);
  EXPECT_EQ(decision.workers_succeeded, 0);
}

TEST(Counts, OfAPoolThatWaitsAreOfItsFirstChoice) {
  Snapshot world = Fleet(0);
  world.pools = {Wants("p", 7)};
  EXPECT_EQ(Decide(world).workers_wanted, 7);
  EXPECT_EQ(Decide(world).workers_active, 0);
}

TEST(Cost, IsThePoolsShareOfItsNodesPrice) {
  Snapshot world = Placed();
  GroupOf(world, "home").marginal_per_node_hour = Dollars("3.20");
  EXPECT_EQ(Decide(world).hourly_cost.Format(), "32.00") << "2 workers of 4 on nodes of 8 at 32";
  EXPECT_EQ(Decide(world).marginal_hourly_cost.Format(), "3.20");
  GroupOf(world, "home").per_node = 16;
  EXPECT_EQ(Decide(world).hourly_cost.Format(), "16.00");
  GroupOf(world, "home").per_node = 0;
  EXPECT_EQ(Decide(world).hourly_cost.Format(), "32.00") << "what the nodes show";
}

TEST(Cost, IsNothingForPoolsThatAreNotPlaced) {
  Snapshot world = Fleet(0);
  world.pools = {Wants("p", 7)};
  EXPECT_EQ(Decide(world).hourly_cost, Money());
}

TEST(Spilled, IsWhatRunsOutsideTheHomeTier) {
  Snapshot world = Fleet(0, 1);
  AddRunning(world, "p", 1, 8, "azure", {"azure-1"}, 10);
  EXPECT_TRUE(Decide(world).spilled);
  EXPECT_EQ(Decide(world).spilled_message,
            "runs on azure (tier 10) since 2026-11-24T11:59:00Z, for 32.00 USD an hour at the "
            "margin");
  EXPECT_FALSE(Decide(Placed()).spilled);
}

TEST(EndedStory, TellsTheLastFailure) {
  Snapshot world = Placed();
  P(world).memory.completed = kNow - Seconds{5};
  P(world).memory.failures = 21;
  P(world).memory.failed_reason = "RestartLimitReached";
  placement::Failure failure;
  failure.worker = 3;
  failure.node = "home-1";
  failure.exit_code = 137;
  failure.message = "OOM";
  P(world).memory.last_failure = failure;
  const PoolDecision decision = Decide(world);
  EXPECT_FALSE(decision.ready);
  EXPECT_FALSE(decision.placed);
  EXPECT_FALSE(decision.spilled);
  EXPECT_EQ(decision.ready_message,
            "21 attempts failed by a worker's own exit, more than restart.maxRestarts allows; "
            "ended on home at 2026-11-24T11:59:55Z; last, worker 3 on home-1 exited with code 137 "
            "OOM");
}

}  // namespace
}  // namespace spillway::tests
