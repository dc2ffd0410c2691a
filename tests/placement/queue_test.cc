// Who goes first, where to, and when a pool may spill.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::MakePlan;
using placement::Plan;
using placement::Preference;
using placement::Reason;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Queue, GoesByPriorityThenQueuedSinceThenNamespaceThenName) {
  Snapshot world = Fleet(1);
  const auto pool = [](const std::string& ns, const std::string& name, int64_t priority, int ago) {
    TrainingPool p = Wants(name, 1);
    p.key.ns = ns;
    p.priority = priority;
    p.memory.queued_since = kNow - Seconds{ago};
    p.memory.waiting_since = kNow;
    return p;
  };
  world.pools = {pool("b", "p1", 0, 10), pool("a", "p2", 0, 10), pool("a", "p1", 0, 10),
                 pool("z", "p9", 0, 20), pool("z", "p8", 5, 0)};
  std::vector<std::string> order;
  while (!world.pools.empty()) {
    const Plan plan = MakePlan(world);
    for (const auto& decision : plan.pools) {
      if (decision.action == Action::kPlace) order.push_back(decision.key.Format());
    }
    std::erase_if(world.pools,
                  [&](const TrainingPool& p) { return p.key.Format() == order.back(); });
  }
  EXPECT_THAT(order, ElementsAre("z/p8", "z/p9", "a/p1", "a/p2", "b/p1"));
}

TEST(Queue, NumbersThoseWhoWait) {
  Snapshot world = Fleet(1);
  world.pools = {Wants("a", 1), Wants("b", 2), Wants("c", 3), Wants("d", 4)};
  world.pools[2].priority = 9;
  world.pools[3].suspended = true;
  const Plan plan = MakePlan(world);
  EXPECT_EQ(DecisionOf(plan, "a").position, 0) << "placed";
  EXPECT_EQ(DecisionOf(plan, "b").position, 2);
  EXPECT_EQ(DecisionOf(plan, "c").position, 1);
  EXPECT_EQ(DecisionOf(plan, "d").position, 0) << "suspended";
}

// Homes of one node each, for each of the types.
Snapshot Homes(const std::vector<std::pair<std::string, int>>& types) {
  Snapshot world = Fleet(0, 0);
  world.groups.clear();
  for (const auto& [type, nodes] : types) {
    world.groups.push_back(Group(type, 0));
    world.groups.back().accelerator = type;
    for (int i = 1; i <= nodes; ++i) {
      world.nodes.push_back(GpuNode(type + "-" + std::to_string(i), type, 8));
    }
  }
  return world;
}

TrainingPool Asks(const std::string& ns, const std::string& name,
                  const std::vector<std::string>& types, int64_t priority, int minutes_ago) {
  TrainingPool pool = Wants(name, 1);
  pool.key.ns = ns;
  pool.accelerators.clear();
  for (const std::string& type : types) pool.accelerators.push_back({.type = type, .workers = 1});
  pool.priority = priority;
  pool.memory.queued_since = pool.memory.waiting_since = kNow - Seconds{60 * minutes_ago};
  return pool;
}

TEST(Queue, LetsWhoIsGuaranteedByThenComeBeforeBorrowersAfterAll) {
  Snapshot world = Homes({{"a", 1}, {"b", 1}});
  world.quotas = {{.ns = "prod", .limits = {{.type = "a", .limit = 64, .guaranteed = 8}}}};
  // Once q has a b, the guarantee is p's.
  world.pools = {Asks("prod", "q", {"b", "a"}, 0, 60), Asks("prod", "p", {"a"}, 0, 30),
                 Asks("lab", "l", {"a"}, 10, 20)};
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("l!WaitingForCapacity", "p@a[a-1]#1", "q@b[b-1]#1"));
}

TEST(Queue, ForgetsWhoWasGuaranteedOnlyInAnEarlierRound) {
  Snapshot world = Homes({{"a", 2}, {"b", 1}, {"c", 1}});
  world.quotas = {{.ns = "prod", .limits = {{.type = "a", .limit = 64, .guaranteed = 8}}},
                  {.ns = "zed", .limits = {{.type = "b", .limit = 64, .guaranteed = 8}}}};
  // z2 takes a c, so z is guaranteed the b that q had in the round before; p borrows then.
  world.pools = {Asks("prod", "q", {"b", "a"}, 0, 60), Asks("prod", "p", {"a"}, 0, 30),
                 Asks("lab", "l", {"a"}, 10, 20), Asks("zed", "z2", {"c", "b"}, 6, 60),
                 Asks("zed", "z", {"b"}, 5, 50)};
  EXPECT_THAT(Brief(MakePlan(world)), ElementsAre("l@a[a-2]#1", "p!WaitingForCapacity",
                                                  "q@a[a-1]#1", "z@b[b-1]#1", "z2@c[c-1]#1"));
}

// p is guaranteed an a, which others' pods have; of b it only borrows, as q does.
TEST(Queue, IsOfTheGuaranteedForWhatTheyAreGuaranteedOnly) {
  Snapshot world = Homes({{"a", 1}, {"b", 1}});
  Use(world, "a-1", 8);
  world.quotas = {{.ns = "prod", .limits = {{.type = "a", .limit = 64, .guaranteed = 8}}}};
  world.pools = {Asks("prod", "p", {"a", "b"}, 0, 30), Asks("lab", "q", {"b"}, 100, 20)};
  const Plan plan = MakePlan(world);
  EXPECT_THAT(Brief(plan), ElementsAre("q@b[b-1]#1", "p!WaitingForCapacity"));
  EXPECT_EQ(DecisionOf(plan, "p").position, 1);
  world.pools[1].suspended = true;
  EXPECT_EQ(Brief(DecisionOf(MakePlan(world), "p")), "p@b[b-1]#1") << "nobody else wants it";
  world.pools[1].suspended = false;
  NodeOf(world, "a-1").used = Resources();
  EXPECT_THAT(Brief(MakePlan(world)), ElementsAre("q@b[b-1]#1", "p@a[a-1]#1"));
}

TEST(Queue, IsNotHeldUpByABlockedPool) {
  Snapshot world = Fleet(2);
  world.pools = {Wants("huge", 3), Wants("small", 2)};
  world.pools[0].priority = 100;
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("huge!WaitingForCapacity", "small@home[home-1 home-2]#1"));
}

TEST(Queue, GivesWhatTheFirstTakesToNobodyElse) {
  Snapshot world = Fleet(3);
  world.pools = {Wants("a", 2), Wants("b", 1), Wants("c", 1)};
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("a@home[home-1 home-2]#1", "b@home[home-3]#1", "c!WaitingForCapacity"));
}

TEST(Queue, CountsWhatTheFirstTakesAgainstTheQuota) {
  Snapshot world = Fleet(4);
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 16}}}};
  world.pools = {Wants("a", 1), Wants("b", 1), Wants("c", 1)};
  EXPECT_THAT(Brief(MakePlan(world)),
              ElementsAre("a@home[home-1]#1", "b@home[home-2]#1", "c!WaitingForQuota"));
}

TEST(Placing, WritesWhatIsToBeRemembered) {
  Snapshot world = Fleet(0, 2);
  NodeOf(world, "azure-1").labels[kDomain] = "ig-7";
  NodeOf(world, "azure-2").labels[kDomain] = "ig-7";
  TrainingPool pool = Wants("p", 2);
  pool.memory.queued_since = pool.memory.waiting_since = kNow - Seconds{50};
  world.pools = {pool};
  const Plan plan = MakePlan(world);
  const auto& memory = plan.pools[0].memory;
  placement::Placement expected{.cluster = "",
                                .node_group = "azure",
                                .accelerator = "a100",
                                .domain = "ig-7",
                                .tier = 10,
                                .workers = 2,
                                .per_worker = 8,
                                .nodes = {"azure-1", "azure-2"},
                                .attempt = 1,
                                .render_revision = "r1",
                                .spec_revision = "spec-1",
                                .since = kNow};
  EXPECT_EQ(memory.placement, expected);
  EXPECT_EQ(memory.attempts, 1);
  EXPECT_EQ(memory.restarts, 0) << "the first attempt restarts nothing";
  EXPECT_EQ(memory.started, kNow);
  EXPECT_EQ(memory.tiers_used, std::set<int>{10});
  EXPECT_EQ(memory.waiting_since, std::nullopt);
  EXPECT_EQ(memory.queued_since, kNow - Seconds{50});
  EXPECT_EQ(plan.pools[0].action, Action::kPlace);
  EXPECT_TRUE(plan.pools[0].may_start);
}

TEST(NewPool, IsQueuedAndWaitsFromNowOn) {
  Snapshot world = Fleet(0);
  world.pools = {Wants("p", 1)};
  const auto memory = MakePlan(world).pools[0].memory;
  EXPECT_EQ(memory.queued_since, kNow);
  EXPECT_EQ(memory.waiting_since, kNow);
}

// ---- the order of groups ----

// Groups a, b, c of one free node each.
Snapshot ThreeGroups() {
  Snapshot world;
  world.now = kNow;
  for (const std::string name : {"a", "b", "c"}) {
    world.groups.push_back(Group(name));
    AddNodes(world, name, 1);
  }
  return world;
}

std::string Order(const Snapshot& world) {
  std::string order;
  const Plan plan = MakePlan(world);
  for (const auto& one : plan.pools[0].alternatives) order += one.group;
  return order;
}

void Price(Snapshot& world, const std::string& group, const std::string& price, int per_node = 8) {
  GroupOf(world, group).marginal_per_node_hour = Dollars(price);
  GroupOf(world, group).per_node = per_node;
  NodeOf(world, group + "-1").allocatable.Set(kGpu, per_node);
}

TEST(HomeFirst, GoesByTierThenTheAcceleratorsOrderThenPriceThenTightnessThenName) {
  Snapshot world = ThreeGroups();
  world.pools = {Wants("p", 1, 1)};
  EXPECT_EQ(Order(world), "abc") << "all equal: by name";

  AddNodes(world, "a", 1);
  EXPECT_EQ(Order(world), "bca") << "a is the loosest fit";

  Price(world, "b", "2");
  Price(world, "c", "1");
  EXPECT_EQ(Order(world), "acb") << "price before tightness";

  world.pools[0].accelerators = {{.type = "best", .workers = 1}, {.type = "a100", .workers = 1}};
  GroupOf(world, "b").accelerator = "best";
  EXPECT_EQ(Order(world), "bac") << "the pool's order of accelerators before price";

  GroupOf(world, "b").tier = 1;
  EXPECT_EQ(Order(world), "acb") << "tier before all";
}

TEST(PriceFirst, LetsThePriceOfAnAcceleratorLeadExactly) {
  Snapshot world = ThreeGroups();
  world.pools = {Wants("p", 1, 1)};
  world.pools[0].preference = Preference::kPrice;
  GroupOf(world, "c").tier = 20;
  Price(world, "a", "10", 3);
  Price(world, "b", "20", 6);
  Price(world, "c", "3.333332", 1);
  EXPECT_EQ(Order(world), "cab")
      << "c costs 3.333332 each, a and b 3.333333…: equal to each other, and dearer";
  Price(world, "c", "3.333334", 1);
  EXPECT_EQ(Order(world), "abc");
}

TEST(PriceFirst, StillGoesByTierAndAcceleratorsAmongEquals) {
  Snapshot world = ThreeGroups();
  world.pools = {Wants("p", 1, 1)};
  world.pools[0].preference = Preference::kPrice;
  GroupOf(world, "a").tier = 1;
  EXPECT_EQ(Order(world), "bca");
}

TEST(Groups, TheFirstThatFitsWins) {
  Snapshot world = ThreeGroups();
  Use(world, "a-1", 8);
  world.pools = {Wants("p", 1, 8)};
  EXPECT_EQ(Brief(MakePlan(world).pools[0]), "p@b[b-1]#1");
}

TEST(Groups, AGangNeverSpansThem) {
  Snapshot world = ThreeGroups();
  world.pools = {Wants("p", 2, 8)};
  EXPECT_EQ(Brief(MakePlan(world).pools[0]), "p!WaitingForCapacity");
}

TEST(Groups, AnotherTypeMayNeedAnotherNumberOfWorkers) {
  Snapshot world = ThreeGroups();
  GroupOf(world, "b").accelerator = "h100";
  TrainingPool pool = Wants("p", 2, 8);
  pool.accelerators.push_back({.type = "h100", .workers = 1});
  world.pools = {pool};
  const Plan plan = MakePlan(world);
  EXPECT_EQ(Brief(plan.pools[0]), "p@b[b-1]#1");
  EXPECT_EQ(plan.pools[0].memory.placement->workers, 1);
}

// ---- hold-back and spill ----

TEST(HoldBack, WaitsForHomeUntilItsTimeIsOverAndWakesThen) {
  Snapshot world = Fleet(2, 2);
  Use(world, "home-1", 8);
  TrainingPool pool = Wants("p", 2);
  pool.memory.queued_since = kNow - Seconds{900};
  pool.memory.waiting_since = kNow - Seconds{599};
  world.pools = {pool};
  const Plan plan = MakePlan(world);
  EXPECT_EQ(Brief(plan.pools[0]), "p!HoldingBackSpill");
  EXPECT_EQ(plan.pools[0].placed_message,
            "azure: holds back from spilling to tier 10 until 2026-11-24T12:00:01Z; it would fit "
            "there now; home: needs 2 workers of 8 accelerators, 1 fit: 8 of 16 accelerators are "
            "free on 2 "
            "nodes that it may use");
  EXPECT_EQ(plan.next_wake, kNow + Seconds{1});

  world.now = *plan.next_wake;
  const Plan later = MakePlan(world);
  EXPECT_EQ(Brief(later.pools[0]), "p@azure[azure-1 azure-2]#1");
  EXPECT_TRUE(later.pools[0].spilled);
  EXPECT_EQ(later.pools[0].spilled_message,
            "runs on azure (tier 10) since 2026-11-24T12:00:01Z, for 64.00 USD an hour at the "
            "margin");
}

TEST(HoldBack, IsNotTheReasonWhereTheCloudWouldNotFitEither) {
  Snapshot world = Fleet(2, 1);
  Use(world, "home-1", 8);
  world.pools = {Wants("p", 2)};
  const Plan plan = MakePlan(world);
  EXPECT_EQ(Brief(plan.pools[0]), "p!WaitingForCapacity");
  EXPECT_THAT(plan.pools[0].placed_message,
              HasSubstr("azure: holds back from spilling to tier 10 until 2026-11-24T12:10:00Z; it "
                        "would not fit there now either"));
}

struct HomeCase {
  const char* sentence;
  void (*make)(Snapshot& world, TrainingPool& pool);
  const char* brief;
};

TEST(HoldBack, OnlyWaitsForAHomeThatCouldFitItSomeDay) {
  // Two home nodes in use; the pool asks for 2 workers of 8.
  const std::vector<HomeCase> cases = {
      {"home is only busy", [](Snapshot&, TrainingPool&) {}, "p!HoldingBackSpill"},
      {"home is only broken",
       [](Snapshot& w, TrainingPool&) {
         NodeOf(w, "home-1").ready = false;
         NodeOf(w, "home-1").taints = {
             {.key = "node.kubernetes.io/unreachable", .value = "", .effect = "NoExecute"}};
       },
       "p!HoldingBackSpill"},
      {"home drains",
       [](Snapshot& w, TrainingPool&) {
         NodeOf(w, "home-1").draining = true;
         NodeOf(w, "home-1").taints = {{.key = "karpenter", .value = "", .effect = "NoSchedule"}};
       },
       "p!HoldingBackSpill"},
      {"home has a taint that the group calls bad",
       [](Snapshot& w, TrainingPool&) {
         w.groups[0].bad_taints = {{.key = "gpu-broken", .value = "", .effect = ""}};
         NodeOf(w, "home-1").taints = {{.key = "gpu-broken", .value = "", .effect = "NoSchedule"}};
       },
       "p!HoldingBackSpill"},
      {"home is too small, however empty",
       [](Snapshot&, TrainingPool& p) { p.accelerators[0].workers = 3; },
       "p@azure[azure-1 azure-2 azure-3]#1"},
      {"home has a taint that the pool will never tolerate",
       [](Snapshot& w, TrainingPool&) {
         NodeOf(w, "home-1").taints = {{.key = "team", .value = "x", .effect = "NoSchedule"}};
       },
       "p@azure[azure-1 azure-2]#1"},
      {"home is outside the template's affinity",
       [](Snapshot&, TrainingPool& p) {
         p.node_terms = {{{.key = "group", .op = "In", .values = {"azure"}}}};
       },
       "p@azure[azure-1 azure-2]#1"},
      {"home has no domain that is large enough",
       [](Snapshot& w, TrainingPool& p) {
         p.topology = placement::TopologyMode::kRequired;
         NodeOf(w, "home-1").labels[kDomain] = "d1";
         NodeOf(w, "home-2").labels[kDomain] = "d2";
         for (auto& node : w.nodes) {
           if (!node.labels.contains(kDomain)) node.labels[kDomain] = "ig-1";
         }
       },
       "p@azure[azure-1 azure-2]#1"},
      {"home is Closed",
       [](Snapshot& w, TrainingPool&) { w.groups[0].admission = placement::Admission::kClosed; },
       "p@azure[azure-1 azure-2]#1"},
      {"home is misconfigured",
       [](Snapshot& w, TrainingPool&) { w.groups[0].misconfigured = "wrong currency"; },
       "p@azure[azure-1 azure-2]#1"},
      {"home has another accelerator",
       [](Snapshot& w, TrainingPool&) { w.groups[0].accelerator = "h100"; },
       "p@azure[azure-1 azure-2]#1"},
      {"the pool may not run at home",
       [](Snapshot&, TrainingPool& p) { p.providers = {placement::Provider::kAzure}; },
       "p@azure[azure-1 azure-2]#1"},
      {"it has run in that tier before",
       [](Snapshot&, TrainingPool& p) { p.memory.tiers_used = {0, 10}; },
       "p@azure[azure-1 azure-2]#1"},
      {"it has only run in another tier before",
       [](Snapshot&, TrainingPool& p) { p.memory.tiers_used = {0, 20}; }, "p!HoldingBackSpill"},
      {"it does not want to wait at all",
       [](Snapshot&, TrainingPool& p) { p.spill_after = Seconds{0}; },
       "p@azure[azure-1 azure-2]#1"},
  };
  for (const HomeCase& c : cases) {
    Snapshot world = Fleet(2, 3);
    Use(world, "home-1", 8);
    Use(world, "home-2", 8);
    TrainingPool pool = Wants("p", 2);
    c.make(world, pool);
    world.pools = {pool};
    EXPECT_EQ(Brief(MakePlan(world).pools[0]), c.brief) << c.sentence;
  }
}

TEST(Spill, IsForbiddenForeverByPolicyNever) {
  Snapshot world = Fleet(1, 2);
  TrainingPool pool = Wants("p", 2);
  pool.spill_allowed = false;
  pool.memory.tiers_used = {10};
  pool.memory.waiting_since = kNow - Seconds{100'000};
  world.pools = {pool};
  const Plan plan = MakePlan(world);
  EXPECT_EQ(Brief(plan.pools[0]), "p!WaitingForCapacity");
  EXPECT_EQ(plan.pools[0].alternatives[1].reason, Reason::kSpillForbidden);
}

TEST(Home, IsTakenAtOnceWhenItHasRoomAgain) {
  Snapshot world = Fleet(2, 2);
  world.pools = {Wants("p", 2)};
  EXPECT_EQ(Brief(MakePlan(world).pools[0]), "p@home[home-1 home-2]#1");
}

}  // namespace
}  // namespace spillway::tests
