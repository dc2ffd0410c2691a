// Nodes that a decision causes are paid for whole, until others use them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "elastic_groups.h"
#include "passes.h"
#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::BudgetPeriod;
using placement::NodeAsk;
using placement::Plan;
using placement::PoolDecision;
using placement::Quota;
using placement::Reason;
using placement::Verify;
using testing::HasSubstr;

// A cloud that has no nodes yet, each of 8 GPUs for 32 an hour: 4 for one.
Snapshot Cloud(int step = 1) {
  Snapshot world = Fleet(0, 0);
  world.groups = {Group("cloud", 10)};
  MakeElastic(world, "cloud", 20, step);
  return world;
}

Quota& QuotaOf(Snapshot& world, const std::string& ns) {
  for (Quota& quota : world.quotas) {
    if (quota.ns == ns) return quota;
  }
  return world.quotas.emplace_back(Quota{.ns = ns, .limits = {}});
}

// A gang of one worker with one GPU.
TrainingPool One(const std::string& name, const std::string& ns = "team") {
  TrainingPool pool = Wants(name, 1, 1);
  pool.key.ns = ns;
  pool.uid = "uid-" + ns + name;
  pool.spill_after = Seconds{0};
  return pool;
}

Money Hourly(const Plan& plan, const std::string& ns) {
  for (const placement::QuotaReport& report : plan.quotas) {
    if (report.ns == ns) return report.spend.hourly_cost;
  }
  return {};
}

// It, and what it leads to, holds; nothing changes a moment later.
Plan Settled(const Snapshot& world) {
  Plan plan = Checked(world);
  const Snapshot after = Applied(world, plan);
  const Plan again = Checked(after);
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    EXPECT_EQ(plan.pools[p].memory, again.pools[p].memory) << plan.pools[p].key.Format();
  }
  EXPECT_EQ(plan.quotas, again.quotas);
  return plan;
}

bool Asks(const Plan& plan, const std::string& name) {
  return DecisionOf(plan, name).memory.ask.has_value();
}

// ---- asking ----

TEST(WholeNodes, ArePaidForByWhoAsksForThem) {
  struct Case {
    const char* sentence;
    int step;
    const char* limit;
    bool asks;
    const char* says;
  };
  const std::vector<Case> cases = {
      {"the limit allows the share of 4, but not the node", 1, "31.99", false,
       "cloud: with 1 new node it would cost 32.00 USD an hour, and namespace team has 0.00 of its "
       "spend.maxHourlyCost of 31.99 in use"},
      {"which may be reached", 1, "32", true, ""},
      {"nor the step", 4, "127.99", false,
       "cloud: with 4 new nodes it would cost 128.00 USD an hour, and namespace team has 0.00 of "
       "its spend.maxHourlyCost of 127.99 in use"},
      {"which may be reached too", 4, "128", true, ""},
      {"not even the share", 4, "3.99", false, "with 4 new nodes it would cost 128.00 USD an hour"},
  };
  for (const Case& c : cases) {
    Snapshot world = Cloud(c.step);
    world.pools = {One("small")};
    QuotaOf(world, "team").max_hourly_cost = Dollars(c.limit);
    const PoolDecision small = DecisionOf(Settled(world), "small");
    EXPECT_EQ(small.memory.ask.has_value(), c.asks) << c.sentence;
    if (c.asks) continue;
    EXPECT_EQ(small.placed_reason, Reason::kSpendLimitReached) << c.sentence;
    EXPECT_THAT(small.placed_message, HasSubstr(c.says)) << c.sentence;
    EXPECT_THAT(small.remedies,
                testing::Contains(std::string("cloud: raise spend.maxHourlyCost of ") +
                                  Dollars(c.limit).Format() + " in namespace team to " +
                                  (c.step == 1 ? "32.00" : "128.00")))
        << c.sentence;
  }
}

TEST(WholeNodes, ThatItWouldHaveForItselfBesideThemCount) {
  struct Case {
    const char* sentence;
    const char* limit;
    bool shares;  // what is there, with a gang of its namespace
    bool asks;
  };
  // Two workers of 5 GPUs: one goes on a node that is there, for the other one is made.
  for (const Case& c :
       {Case{"two whole nodes", "63.99", false, false},
        Case{"which may be reached", "64", false, true},
        Case{"its shares, and what the other pays until it is there", "83.99", true, false},
        Case{"which may be reached too", "84", true, true}}) {
    Snapshot world = Cloud();
    AddNodes(world, "cloud", 1);
    if (c.shares) AddRunning(world, "small", 1, 1, "cloud", {"cloud-1"}, 10);
    world.pools.push_back(Wants("pair", 2, 5));
    world.pools.back().key.ns = "team";
    world.pools.back().spill_after = Seconds{0};
    QuotaOf(world, "team").max_hourly_cost = Dollars(c.limit);
    EXPECT_EQ(Asks(Settled(world), "pair"), c.asks) << c.sentence;
  }
}

TEST(WholeNodes, AreWithinTheGangsOwnLimit) {
  Snapshot world = Cloud(2);
  world.pools = {One("small")};
  world.pools[0].spill_max_hourly_cost = Dollars("63.99");
  const PoolDecision small = DecisionOf(Settled(world), "small");
  EXPECT_EQ(small.placed_reason, Reason::kSpendLimitReached);
  EXPECT_THAT(small.placed_message,
              HasSubstr("cloud: with 2 new nodes it would cost 64.00 USD an hour, more than "
                        "placement.spill.maxHourlyCost of 63.99"));
  EXPECT_THAT(small.remedies, testing::Contains("cloud: raise placement.spill.maxHourlyCost of "
                                                "63.99 to 64.00"));
  world.pools[0].spill_max_hourly_cost = Dollars("64");
  EXPECT_TRUE(Asks(Settled(world), "small"));
}

TEST(WholeNodes, OfHomeOrWithoutAPriceCostNothing) {
  Snapshot world = Cloud(4);
  world.pools = {One("small")};
  world.pools[0].spill_max_hourly_cost = Money();
  QuotaOf(world, "team").max_hourly_cost = Money();
  EXPECT_FALSE(Asks(Settled(world), "small"));
  GroupOf(world, "cloud").marginal_per_node_hour = Money();
  EXPECT_TRUE(Asks(Settled(world), "small"));
  GroupOf(world, "cloud").marginal_per_node_hour = Dollars("32");
  GroupOf(world, "cloud").tier = 0;
  EXPECT_TRUE(Asks(Settled(world), "small"));
}

// What one step brings beyond what is asked for is paid for once, and falls to who counts on it.
TEST(WholeNodes, OfAStepArePaidForOnce) {
  Snapshot world = Cloud(4);
  world.pools = {One("a"), One("b")};
  world.pools[0].priority = 1;
  QuotaOf(world, "team").max_hourly_cost = Dollars("128");
  Plan plan = Settled(world);
  EXPECT_TRUE(Asks(plan, "a"));
  EXPECT_TRUE(Asks(plan, "b")) << "nothing more is made for it";
  EXPECT_EQ(Desired(plan, "cloud"), 4);
  world.pools[1] = One("b", "other");
  QuotaOf(world, "other").max_hourly_cost = Dollars("31.99");
  EXPECT_FALSE(Asks(Settled(world), "b")) << "the node that it asks for";
  QuotaOf(world, "other").max_hourly_cost = Dollars("32");
  EXPECT_TRUE(Asks(Settled(world), "b"));
  // The fifth node is in a second step, all of which whoever makes it necessary pays for.
  world.pools.push_back(Wants("large", 4));
  world.pools.back().key.ns = "third";
  world.pools.back().spill_after = Seconds{0};
  QuotaOf(world, "third").max_hourly_cost = Dollars("191.99");
  EXPECT_FALSE(Asks(Settled(world), "large"));
  QuotaOf(world, "third").max_hourly_cost = Dollars("192");
  plan = Settled(world);
  EXPECT_TRUE(Asks(plan, "large"));
  EXPECT_EQ(Desired(plan, "cloud"), 8);
}

TEST(WholeNodes, ThatAreAskedForAreKeptWhateverTheLimitIsBy) {
  Snapshot world = Cloud(4);
  world.pools = {One("small")};
  QuotaOf(world, "team").max_hourly_cost = Dollars("128");
  world = Applied(world, Settled(world));
  QuotaOf(world, "team").max_hourly_cost = Dollars("40");
  EXPECT_TRUE(Asks(Settled(world), "small"));
}

// What is told is what is paid: nothing for nodes that nobody has made yet.
TEST(WholeNodes, AreToldOfOnceTheyAreThere) {
  Snapshot world = Cloud(4);
  world.pools = {One("small")};
  QuotaOf(world, "team").budget = {Dollars("1000"), BudgetPeriod::kMonth};
  EXPECT_EQ(Hourly(Settled(world), "team"), Money());
  world = Applied(world, Settled(world));
  for (int nodes = 1; nodes <= 4; ++nodes) {
    AddNodes(world, "cloud", 1);
    world.nodes.back().id.name = "cloud-" + std::to_string(nodes);
    world.nodes.back().ready = false;
    world.nodes.back().starting = true;
    world.nodes.back().created = kNow;
    const Plan plan = Settled(world);
    EXPECT_EQ(Hourly(plan, "team"), Dollars("32").Times(nodes)) << nodes;
    EXPECT_EQ(plan.quotas[0].spend.budget->memory.hourly, Dollars("32").Times(nodes));
  }
}

// ---- using ----

// A node of the cloud, and somebody of the team with one of its GPUs.
Snapshot Used() {
  Snapshot world = Cloud();
  AddNodes(world, "cloud", 2);
  AddRunning(world, "small", 1, 1, "cloud", {"cloud-1"}, 10);
  return world;
}

TEST(WholeNodes, ArePaidForByTheirOnlyUser) {
  struct Case {
    const char* sentence;
    std::function<void(Snapshot&)> make;
    const char* team;
    const char* other;
  };
  const std::vector<Case> cases = {
      {"alone", [](auto&) {}, "32.00", "0.00"},
      {"another node too",
       [](Snapshot& w) { AddRunning(w, "more", 2, 1, "cloud", {"cloud-2"}, 10); }, "64.00", "0.00"},
      {"another pool on the node: each its share",
       [](Snapshot& w) { AddRunning(w, "b", 2, 1, "cloud", {"cloud-1"}, 10).key.ns = "other"; },
       "4.00", "8.00"},
      {"of the same namespace",
       [](Snapshot& w) { AddRunning(w, "b", 2, 1, "cloud", {"cloud-1"}, 10); }, "12.00", "0.00"},
      {"replicas there",
       [](Snapshot& w) {
         w.inference_pools = {Chat(2)};
         w.inference_pools[0].key.ns = "other";
         Runs(w, w.inference_pools[0], "gpu", "cloud", 2, 2, {"cloud-1"}, 10);
       },
       "4.00", "8.00"},
      {"replicas on the other node",
       [](Snapshot& w) {
         w.inference_pools = {Chat(2)};
         w.inference_pools[0].key.ns = "other";
         Runs(w, w.inference_pools[0], "gpu", "cloud", 2, 2, {"cloud-2"}, 10);
       },
       "32.00", "32.00"},
      {"somebody else's pods that have some of its accelerators",
       [](Snapshot& w) {
         Use(w, "cloud-1", 1);
         NodeOf(w, "cloud-1").other_pods = 1;
       },
       "4.00", "0.00"},
      {"pods that have none", [](Snapshot& w) { NodeOf(w, "cloud-1").other_pods = 1; }, "32.00",
       "0.00"},
      {"a group whose nodes nobody asked for",
       [](Snapshot& w) { GroupOf(w, "cloud").elastic.reset(); }, "4.00", "0.00"},
      {"at home",
       [](Snapshot& w) {
         GroupOf(w, "cloud").tier = 0;
         w.pools[0].memory.placement->tier = 0;
       },
       "0.00", "0.00"},
  };
  for (const Case& c : cases) {
    Snapshot world = Used();
    c.make(world);
    QuotaOf(world, "team");
    QuotaOf(world, "other");
    const Plan plan = Settled(world);
    EXPECT_EQ(Hourly(plan, "team").Format(), c.team) << c.sentence;
    EXPECT_EQ(Hourly(plan, "other").Format(), c.other) << c.sentence;
    EXPECT_EQ(DecisionOf(plan, "small").marginal_hourly_cost, Dollars("4"))
        << "its share, whoever pays the rest";
  }
}

// A TrainingPool and an InferencePool may have one name.
TEST(WholeNodes, ArePaidForByPoolsOfBothKindsApart) {
  Snapshot world = Used();
  world.inference_pools = {Chat(2)};
  world.inference_pools[0].key = {"team", "small"};
  Runs(world, world.inference_pools[0], "gpu", "cloud", 2, 2, {"cloud-1"}, 10);
  QuotaOf(world, "team");
  EXPECT_EQ(Hourly(Settled(world), "team"), Dollars("12")) << "each its accelerators";
  world = Used();
  world.inference_pools = {Chat(2)};
  world.inference_pools[0].key = {"team", "small"};
  Runs(world, world.inference_pools[0], "gpu", "cloud", 2, 2, {"cloud-2"}, 10);
  QuotaOf(world, "team");
  EXPECT_EQ(Hourly(Settled(world), "team"), Dollars("64")) << "each its node";
}

TEST(WholeNodes, CountForABudget) {
  Snapshot world = Used();
  QuotaOf(world, "team").budget = {Dollars("1000"), BudgetPeriod::kMonth};
  EXPECT_EQ(Settled(world).quotas[0].spend.budget->memory.hourly, Dollars("32"));
}

TEST(WholeNodes, TakeNothingFromWhoIsLeftAloneThere) {
  Snapshot world = Used();
  QuotaOf(world, "team").max_hourly_cost = Dollars("10");
  world.pools[0].spill_max_hourly_cost = Dollars("10");
  const Plan plan = Settled(world);
  EXPECT_EQ(DecisionOf(plan, "small").action, Action::kKeep);
  EXPECT_EQ(Hourly(plan, "team"), Dollars("32"));
}

// Nobody is left by then who asked for the second node.
TEST(WholeNodes, ArePaidForByWhoTakesThemForItself) {
  struct Case {
    const char* sentence;
    const char* limit;
    std::function<void(Snapshot&)> make;
    const char* does;
  };
  const auto full = [](Snapshot& w) { Use(w, "cloud-1", 7); };
  const std::vector<Case> cases = {
      {"beside others it is charged its share", "4", [](auto&) {}, "b@cloud[cloud-1]#1"},
      {"alone there, the node", "31.99", full, "b!SpendLimitReached"},
      {"which may be reached", "32", full, "b@cloud[cloud-2]#1"},
      {"a group whose nodes nobody asked for", "4",
       [&](Snapshot& w) {
         full(w);
         GroupOf(w, "cloud").elastic.reset();
       },
       "b@cloud[cloud-2]#1"},
      {"it was granted them when it asked", "4",
       [&](Snapshot& w) {
         full(w);
         w.pools[1].memory.ask =
             NodeAsk{.node_group = "cloud", .nodes = 1, .workers = 1, .since = kNow - Seconds{60}};
       },
       "b@cloud[cloud-2]#1"},
  };
  for (const Case& c : cases) {
    Snapshot world = Used();
    world.pools.push_back(One("b", "other"));
    c.make(world);
    QuotaOf(world, "other").max_hourly_cost = Dollars(c.limit);
    const Plan plan = Settled(world);
    EXPECT_EQ(Brief(DecisionOf(plan, "b")), c.does) << c.sentence;
  }
  Snapshot world = Used();
  world.pools.push_back(One("b", "other"));
  full(world);
  QuotaOf(world, "other").max_hourly_cost = Dollars("31.99");
  EXPECT_THAT(DecisionOf(Settled(world), "b").placed_message,
              HasSubstr("cloud: with 1 node for itself it would cost 32.00 USD an hour, and "
                        "namespace other has 0.00 of its spend.maxHourlyCost of 31.99 in use"));
}

// Of its own namespace, whoever joins takes over a part of what is paid already.
TEST(WholeNodes, CostNothingMoreWhereTheNamespacePaysForThem) {
  Snapshot world = Used();
  world.pools.push_back(One("b"));
  QuotaOf(world, "team").max_hourly_cost = Dollars("32");
  const Plan plan = Settled(world);
  EXPECT_EQ(Brief(DecisionOf(plan, "b")), "b@cloud[cloud-1]#1");
  EXPECT_EQ(Hourly(plan, "team"), Dollars("8"));
  // One worker joins the first node, of which the team pays 28 less then, and one is alone.
  world.pools[1] = Wants("b", 2, 7);
  world.pools[1].spill_after = Seconds{0};
  for (const auto& [limit, does] :
       {std::pair("64", "b@cloud[cloud-1 cloud-2]#1"), {"63.99", "b!SpendLimitReached"}}) {
    QuotaOf(world, "team").max_hourly_cost = Dollars(limit);
    EXPECT_EQ(Brief(DecisionOf(Settled(world), "b")), does) << limit;
  }
}

// The one that waits comes before the one by whose arrival the node is shared.
TEST(WholeNodes, MayBeHadOnceSomebodyShares) {
  Snapshot world = Cloud();
  AddNodes(world, "cloud", 1);
  GroupOf(world, "cloud").elastic->max_nodes = 1;
  world.pools = {One("first"), One("second", "other")};
  world.pools[0].priority = 1;
  QuotaOf(world, "team").max_hourly_cost = Dollars("10");
  const Plan plan = Settled(world);
  EXPECT_EQ(Brief(DecisionOf(plan, "second")), "second@cloud[cloud-1]#1");
  EXPECT_EQ(Brief(DecisionOf(plan, "first")), "first@cloud[cloud-1]#1");
}

// ---- replicas ----

Snapshot ServingIn(int step = 1) {
  Snapshot world = Cloud(step);
  world.inference_pools = {Chat(2)};
  world.inference_pools[0].key.ns = "team";
  world.inference_pools[0].start_deadline = Seconds{9000};
  return world;
}

TEST(WholeNodes, ArePaidForByReplicasToo) {
  Snapshot world = ServingIn(4);
  QuotaOf(world, "team").max_hourly_cost = Dollars("127.99");
  placement::InferenceDecision chat = ServingOf(Settled(world));
  EXPECT_TRUE(chat.memory.asks.empty());
  EXPECT_EQ(chat.capacity_reason, Reason::kSpendLimitReached);
  EXPECT_THAT(
      chat.capacity_message,
      HasSubstr("gpu@cloud: with 4 new nodes one more replica would cost 128.00 USD an hour, and "
                "namespace team has 0.00 of its spend.maxHourlyCost of 127.99 in use"));
  QuotaOf(world, "team").max_hourly_cost = Dollars("128");
  EXPECT_EQ(ServingOf(Settled(world)).memory.asks.size(), 1U);
  world.inference_pools[0].spill_max_hourly_cost = Dollars("127.99");
  chat = ServingOf(Settled(world));
  EXPECT_TRUE(chat.memory.asks.empty());
  EXPECT_THAT(chat.capacity_message,
              HasSubstr("with 4 new nodes one more replica would cost 128.00 USD an hour, and 0.00 "
                        "of placement.spill.maxHourlyCost 127.99 are spent"));
  world.inference_pools[0].spill_max_hourly_cost = Dollars("128");
  EXPECT_EQ(ServingOf(Settled(world)).memory.asks.size(), 1U);
}

// As many nodes as there is money for, with all the replicas that fit there.
TEST(WholeNodes, AreAskedForByReplicasWhileTheMoneyLasts) {
  for (const auto& [limit, nodes, replicas] : {std::tuple("31.99", 0, 0),
                                               {"32", 1, 8},
                                               {"95.99", 2, 16},
                                               {"96", 3, 20},
                                               {"1000", 3, 20}}) {
    Snapshot world = ServingIn();
    world.inference_pools[0].replicas = 20;
    QuotaOf(world, "team").max_hourly_cost = Dollars(limit);
    const auto asks = ServingOf(Settled(world)).memory.asks;
    EXPECT_EQ(asks.empty() ? 0 : asks[0].nodes, nodes) << limit;
    EXPECT_EQ(asks.empty() ? 0 : asks[0].replicas, replicas) << limit;
  }
}

// A node that it pays for already takes more of its replicas for nothing.
TEST(WholeNodes, TakeMoreReplicasOfTheirUser) {
  Snapshot world = ServingIn();
  AddNodes(world, "cloud", 1);
  Runs(world, world.inference_pools[0], "gpu", "cloud", 2, 2, {"cloud-1"}, 10);
  world.inference_pools[0].replicas = 8;
  QuotaOf(world, "team").max_hourly_cost = Dollars("32");
  const Plan plan = Settled(world);
  EXPECT_EQ(Mix(ServingOf(plan)), "8 gpu@cloud");
}

// ---- Verify ----

TEST(WholeNodes, AreMindedByVerify) {
  struct Case {
    const char* says;
    Snapshot world;
    std::function<void(Snapshot&)> breaks;
  };
  Snapshot asks = Cloud(4);
  asks.pools = {One("small")};
  Snapshot takes = Cloud();
  AddNodes(takes, "cloud", 1);
  takes.pools = {One("small")};
  const auto limit = [](const char* most) {
    return [most](Snapshot& w) { QuotaOf(w, "team").max_hourly_cost = Dollars(most); };
  };
  const auto own = [](const char* most) {
    return [most](Snapshot& w) {
      for (auto& pool : w.pools) pool.spill_max_hourly_cost = Dollars(most);
      for (auto& pool : w.inference_pools) pool.spill_max_hourly_cost = Dollars(most);
    };
  };
  const std::vector<Case> cases = {
      {"team pays for whole nodes across its spend limit", asks, limit("127.99")},
      {"team/small has whole nodes that cost more above home than it may", asks, own("127.99")},
      {"team pays for whole nodes across its spend limit", takes, limit("31.99")},
      {"team/small has whole nodes that cost more above home than it may", takes, own("31.99")},
      {"team pays for whole nodes across its spend limit", ServingIn(4), limit("127.99")},
      {"team/chat asks for whole nodes that cost more than it may", ServingIn(4), own("127.99")},
  };
  for (const Case& c : cases) {
    const Plan plan = Checked(c.world);
    Snapshot world = c.world;
    c.breaks(world);
    const Status status = Verify(world, plan);
    ASSERT_FALSE(status.ok()) << c.says;
    EXPECT_EQ(status.error().message, c.says);
  }
}

}  // namespace
}  // namespace spillway::tests
