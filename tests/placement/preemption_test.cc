// Who is guaranteed and who borrows, who gives way to whom, when, and at what price.
#include "placement/preemption.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "passes.h"
#include "placement/plan.h"
#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::Applied;
using placement::Coverage;
using placement::Demand;
using placement::MakePlan;
using placement::Plan;
using placement::PoolDecision;
using placement::Preemptible;
using placement::Preempts;
using placement::Reason;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// An old gang of `ns`.
TrainingPool& AddOld(Snapshot& world, const std::string& name, const std::string& ns,
                     int64_t priority, const std::vector<std::string>& nodes,
                     const std::string& group = "home") {
  TrainingPool& pool = tests::AddOld(world, name, priority, nodes, group);
  pool.key.ns = ns;
  return pool;
}

TrainingPool New(const std::string& name, const std::string& ns, int64_t priority, int workers) {
  TrainingPool pool = Wants(name, workers);
  pool.key.ns = ns;
  pool.priority = priority;
  pool.memory.queued_since = pool.memory.waiting_since = kNow - Seconds{60};
  return pool;
}

// The same world a second later, when those of whom a place has been claimed go.
Snapshot Noticed(const Snapshot& world) {
  return After(world, Checked(world), world.now + Seconds{1});
}

// ---- guarantees ----

struct Asking {
  const char* name;
  int64_t priority;
  int queued;  // seconds ago
  int64_t accelerators;
  bool inference = false;
};

// Names of those who are guaranteed what they have or ask for; of an inference pool, one more.
std::vector<std::string> Guaranteed(int64_t guarantee, const std::vector<Asking>& asking) {
  Snapshot world;
  world.quotas = {Guarantee("team", static_cast<int>(guarantee))};
  std::vector<placement::PoolKey> keys;
  keys.reserve(asking.size());
  std::vector<Demand> demands;
  for (const Asking& one : asking) keys.push_back({.ns = "team", .name = one.name});
  for (size_t i = 0; i < asking.size(); ++i) {
    demands.push_back({.rank = {.guaranteed = false,
                                .priority = asking[i].priority,
                                .queued_since = kNow - Seconds{asking[i].queued},
                                .key = &keys[i],
                                .inference = asking[i].inference},
                       .pool = i,
                       .type = "a100",
                       .accelerators = asking[i].accelerators});
  }
  const Coverage coverage(placement::QuotaBook(world), demands);
  std::vector<std::string> names;
  for (size_t i = 0; i < asking.size(); ++i) {
    if (asking[i].inference ? coverage.Grows(i) : coverage.Gang(i, "a100")) {
      names.push_back(asking[i].name);
    }
  }
  return names;
}

TEST(Guarantee, GoesByPriorityThenQueuedSinceThenName) {
  EXPECT_THAT(Guaranteed(16, {{"low", 0, 90, 8}, {"late", 5, 10, 8}, {"early", 5, 20, 8}}),
              ElementsAre("late", "early"));
  EXPECT_THAT(Guaranteed(8, {{"b", 0, 10, 8}, {"a", 0, 10, 8}}), ElementsAre("a"));
}
TEST(Guarantee, TheFirstThatCrossesItAndAllLaterBorrow) {
  EXPECT_THAT(Guaranteed(16, {{"a", 3, 0, 8}, {"b", 2, 0, 16}, {"c", 1, 0, 8}}), ElementsAre("a"));
}
TEST(Guarantee, OfNothingCoversNobody) { EXPECT_THAT(Guaranteed(0, {{"a", 3, 0, 8}}), IsEmpty()); }
TEST(Guarantee, AnInferencePoolGrowsWithinWhatIsLeft) {
  EXPECT_THAT(Guaranteed(8, {{"s", 3, 0, 7, true}, {"g", 1, 0, 1}}), ElementsAre("s", "g"));
  EXPECT_THAT(Guaranteed(8, {{"s", 3, 0, 8, true}, {"g", 1, 0, 1}}), IsEmpty());
  EXPECT_THAT(Guaranteed(8, {{"s", 3, 0, 9, true}, {"t", 1, 0, 0, true}}), IsEmpty());
}

// ---- when, and at what price ----

TEST(GivesWay, AtOnceOrAtItsNextCheckpoint) {
  Snapshot world = Fleet(1);
  TrainingPool& pool = AddOld(world, "p", "team", 0, {"home-1"});
  const auto in = [&](Time asked) { return (GivesWayAt(pool, pool.memory, asked) - kNow).count(); };
  EXPECT_EQ(in(kNow), 1) << "the claim is written down first";
  pool.preemptible = Preemptible::kAtCheckpoint;
  pool.checkpoint_interval = Seconds{1000};  // 7,200 s ago it began: the eighth is in 800 s
  EXPECT_EQ(in(kNow), 800);
  EXPECT_EQ(in(kNow + Seconds{799}), 800);
  EXPECT_EQ(in(kNow + Seconds{800}), 801) << "it has one right now";
  EXPECT_EQ(in(kNow + Seconds{801}), 1800);
  pool.last_checkpoint = kNow - Seconds{100};
  EXPECT_EQ(in(kNow), 2000) << "its program has two intervals to say so";
  EXPECT_EQ(in(kNow - Seconds{150}), -149) << "it has said so since";
  pool.last_checkpoint = kNow - Seconds{9000};
  EXPECT_EQ(in(kNow), 800) << "an earlier attempt's says nothing about this one";
}

TEST(EvictionCost, IsWhatIsLostAndWhatARestartTakes) {
  Snapshot world = Fleet(2);
  TrainingPool& pool = AddOld(world, "p", "team", 0, {"home-1", "home-2"});
  pool.checkpoint_interval = Seconds{1000};
  const auto cost = [&] { return EvictionCost(pool, pool.memory, kNow); };
  EXPECT_EQ(cost(), 16 * (200 + 300));
  pool.last_checkpoint = kNow - Seconds{50};
  EXPECT_EQ(cost(), 16 * (50 + 300));
  pool.last_checkpoint = kNow - Seconds{7000};
  EXPECT_EQ(cost(), 16 * (3600 + 300)) << "an hour at the most";
  pool.memory.restart_took.reset();
  EXPECT_EQ(cost(), 16 * (3600 + 600)) << "never measured";
  pool.memory.evictions = {{.time = kNow - Seconds{86400}, .cause = ""},
                           {.time = kNow - Seconds{86399}, .cause = ""},
                           {.time = kNow - Seconds{10}, .cause = ""}};
  EXPECT_EQ(cost(), 16 * (3600 + 600) * 3) << "two of them in the last 24 hours";
  pool.preemptible = Preemptible::kAtCheckpoint;
  EXPECT_EQ(cost(), 16 * 600 * 3) << "it loses nothing that it has done";
}

// ---- reclaim ----

// borrower, of priority 100, has all four nodes; owner is guaranteed what it asks for.
Snapshot Reclaiming() {
  Snapshot world = Fleet(4);
  world.quotas = {Guarantee("owners", 32)};
  AddOld(world, "borrower", "others", 100, {"home-1", "home-2", "home-3", "home-4"});
  world.pools.push_back(New("owner", "owners", 10, 4));
  return world;
}

TEST(Reclaim, TakesHomeBackFromABorrowerOfHigherPriority) {
  Snapshot world = Reclaiming();
  const Plan first = Checked(world);
  EXPECT_EQ(DecisionOf(first, "borrower").action, Action::kKeep);
  EXPECT_EQ(DecisionOf(first, "owner").placed_reason, Reason::kWaitingForCheckpoint);
  EXPECT_EQ(first.next_wake, kNow + Seconds{1});
  world = Noticed(world);
  const Plan plan = Checked(world);
  const PoolDecision& borrower = DecisionOf(plan, "borrower");
  EXPECT_EQ(borrower.action, Action::kRelease);
  EXPECT_EQ(borrower.placed_reason, Reason::kPreempted);
  EXPECT_THAT(borrower.placed_message,
              HasSubstr("gave its place on home up for owners/owner, which asks for what namespace "
                        "owners is guaranteed"));
  ASSERT_EQ(borrower.memory.evictions.size(), 1U);
  EXPECT_EQ(borrower.memory.evictions[0].time, kNow + Seconds{1});
  EXPECT_EQ(borrower.memory.queued_since, kNow - Seconds{7200}) << "it keeps its key";
  const PoolDecision& owner = DecisionOf(plan, "owner");
  EXPECT_EQ(owner.action, Action::kWait);
  EXPECT_EQ(owner.placed_reason, Reason::kWaitingForPreemption);
  EXPECT_THAT(owner.remedies,
              testing::Contains("home: wait until the pods of those who gave way are gone"));
  EXPECT_THAT(owner.placed_message,
              HasSubstr("waits until the pods of others/borrower are gone, which gave way to it; 4 "
                        "nodes of home"));
  const Plan next = Checked(After(world, plan, kNow + Seconds{30}));
  EXPECT_EQ(Brief(DecisionOf(next, "owner")), "owner@home[home-1 home-2 home-3 home-4]#1");
  EXPECT_THAT(DecisionOf(next, "borrower").placed_message,
              HasSubstr("at 2026-11-24T12:00:01Z it gave its place on home up"));
}

TEST(Reclaim, IsForHomeOnly) {
  Snapshot world = Fleet(0, 1);
  world.quotas = {Guarantee("owners", 8)};
  AddRunning(world, "borrower", 1, 8, "azure", {"azure-1"}, 10);
  PoolOf(world, "borrower").preemptible = Preemptible::kAlways;
  PoolOf(world, "borrower").min_run = Seconds{0};
  PoolOf(world, "borrower").key.ns = "others";
  world.pools.push_back(New("owner", "owners", 0, 1));
  EXPECT_EQ(DecisionOf(Checked(Noticed(world)), "borrower").action, Action::kKeep);
}

TEST(Reclaim, ComesBeforeSpilling) {
  Snapshot world = Reclaiming();
  AddNodes(world, "azure", 4);
  PoolOf(world, "owner").spill_after = Seconds{0};
  EXPECT_EQ(DecisionOf(Checked(Noticed(world)), "owner").placed_reason,
            Reason::kWaitingForPreemption);
  PoolOf(world, "owner").key.ns = "others";
  EXPECT_EQ(DecisionOf(Checked(world), "owner").memory.placement->node_group, "azure")
      << "who is guaranteed nothing spills";
}

TEST(Reclaim, NeverTakesWhatIsGuaranteed) {
  Snapshot world = Reclaiming();
  world.quotas.push_back(Guarantee("others", 32));
  EXPECT_EQ(DecisionOf(Checked(Noticed(world)), "borrower").action, Action::kKeep);
  world.quotas[1].limits[0].guaranteed = 31;
  EXPECT_EQ(DecisionOf(Checked(Noticed(world)), "borrower").action, Action::kRelease);
}

TEST(Reclaim, DoesNotAskWhetherABorrowerWantsToBePreempted) {
  Snapshot world = Reclaiming();
  PoolOf(world, "borrower").preemptible = Preemptible::kNever;
  PoolOf(world, "borrower").checkpoint_interval = Seconds{7200};  // it has one right now
  EXPECT_EQ(DecisionOf(Checked(Noticed(world)), "borrower").action, Action::kRelease);
}

// ---- preemption by priority ----

// low has the only node; high waits.
Snapshot Preempting() {
  Snapshot world = Fleet(1);
  AddOld(world, "low", "team", 0, {"home-1"});
  world.pools.push_back(New("high", "team", 10, 1));
  return world;
}

struct PreemptionCase {
  const char* sentence;
  std::function<void(Snapshot&)> change;
  bool evicts;
};

class PreemptionCases : public testing::TestWithParam<PreemptionCase> {};

TEST_P(PreemptionCases, SayWhoGivesWay) {
  Snapshot world = Preempting();
  GetParam().change(world);
  const Plan plan = Checked(Noticed(world));
  EXPECT_EQ(DecisionOf(plan, "low").action, GetParam().evicts ? Action::kRelease : Action::kKeep)
      << GetParam().sentence << "\n"
      << FormatPlan(plan, true);
}

INSTANTIATE_TEST_SUITE_P(
    Rules, PreemptionCases,
    testing::Values(
        PreemptionCase{"lower priority gives way", [](Snapshot&) {}, true},
        PreemptionCase{"also in another namespace, as long as it borrows",
                       [](Snapshot& w) { PoolOf(w, "low").key.ns = "others"; }, true},
        PreemptionCase{"not in another namespace within its guarantee",
                       [](Snapshot& w) {
                         PoolOf(w, "low").key.ns = "others";
                         w.quotas = {Guarantee("others", 8)};
                       },
                       false},
        PreemptionCase{"equal priority stays", [](Snapshot& w) { PoolOf(w, "low").priority = 10; },
                       false},
        PreemptionCase{"who never preempts waits",
                       [](Snapshot& w) { PoolOf(w, "high").preempts = Preempts::kNever; }, false},
        PreemptionCase{"who has not run for long enough stays",
                       [](Snapshot& w) { PoolOf(w, "low").min_run = Seconds{7201}; }, false},
        PreemptionCase{"who may not be preempted stays, within its guarantee",
                       [](Snapshot& w) {
                         PoolOf(w, "low").preemptible = Preemptible::kNever;
                         PoolOf(w, "high").spill_allowed = false;
                         w.quotas = {Guarantee("team", 16)};
                       },
                       false},
        PreemptionCase{"who may not be preempted but borrows goes at a checkpoint",
                       [](Snapshot& w) {
                         PoolOf(w, "low").preemptible = Preemptible::kNever;
                         PoolOf(w, "low").checkpoint_interval = Seconds{3600};
                       },
                       true},
        PreemptionCase{"nobody goes for a gang that would not fit then either",
                       [](Snapshot& w) { PoolOf(w, "high").accelerators[0].workers = 2; }, false},
        PreemptionCase{"nobody goes where the gang will spill before long",
                       [](Snapshot& w) { AddNodes(w, "azure", 1); }, false},
        PreemptionCase{"but where spilling is not allowed",
                       [](Snapshot& w) {
                         AddNodes(w, "azure", 1);
                         PoolOf(w, "high").spill_allowed = false;
                       },
                       true},
        PreemptionCase{"nobody goes who ends as soon by its deadline",
                       [](Snapshot& w) {
                         PoolOf(w, "low").active_deadline = Seconds{8000};
                         PoolOf(w, "low").preemptible = Preemptible::kAtCheckpoint;
                         PoolOf(w, "low").checkpoint_interval = Seconds{1000};
                       },
                       false},
        PreemptionCase{"a deadline that is far away changes nothing",
                       [](Snapshot& w) { PoolOf(w, "low").active_deadline = Seconds{720000}; },
                       true},
        PreemptionCase{"behind a suspect link nobody goes",
                       [](Snapshot& w) {
                         AddNodes(w, "home", 3);
                         for (const char* node : {"home-2", "home-3", "home-4"}) {
                           NodeOf(w, node).ready = false;
                           NodeOf(w, node).not_ready_since = kNow - Seconds{5};
                         }
                       },
                       false}));

TEST(Preemption, WaitsForTheCheckpointAndKeepsItsClaim) {
  Snapshot world = Preempting();
  PoolOf(world, "high").spill_after = Seconds{0};  // no other moment is of interest
  PoolOf(world, "low").preemptible = Preemptible::kAtCheckpoint;
  PoolOf(world, "low").checkpoint_interval = Seconds{1000};
  Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "low").action, Action::kKeep);
  EXPECT_THAT(DecisionOf(plan, "low").placed_message,
              HasSubstr("gives way to team/high, whose priority is 10 and not 0, at its next "
                        "checkpoint, by 2026-11-24T12:13:20Z"));
  const PoolDecision& high = DecisionOf(plan, "high");
  EXPECT_EQ(high.placed_reason, Reason::kWaitingForCheckpoint);
  EXPECT_THAT(high.remedies, testing::Contains("home: wait until 2026-11-24T12:13:20Z, by when the "
                                               "last of those who give way to it stops"));
  EXPECT_THAT(high.placed_message,
              HasSubstr("waits until others give way to it at their next checkpoints: team/low by "
                        "2026-11-24T12:13:20Z"));
  ASSERT_TRUE(high.memory.hold.has_value());
  EXPECT_EQ(high.memory.hold->until, kNow + Seconds{800 + 120 + 600})
      << "checkpoint, grace, and some time for the pods to go";
  EXPECT_EQ(plan.next_wake, kNow + Seconds{800});
  world = After(world, plan, kNow + Seconds{799});
  EXPECT_EQ(DecisionOf(Checked(world), "low").action, Action::kKeep);
  world.now = kNow + Seconds{800};
  EXPECT_EQ(DecisionOf(Checked(world), "low").action, Action::kRelease);
}

TEST(Preemption, AProgramThatSaysItHasACheckpointGoesThen) {
  Snapshot world = Preempting();
  TrainingPool& low = PoolOf(world, "low");
  low.preemptible = Preemptible::kAtCheckpoint;
  low.last_checkpoint = kNow - Seconds{700};
  world = After(world, Checked(world), kNow + Seconds{60});
  EXPECT_EQ(DecisionOf(Checked(world), "low").action, Action::kKeep);
  PoolOf(world, "low").last_checkpoint = kNow + Seconds{50};
  EXPECT_EQ(DecisionOf(Checked(world), "low").action, Action::kRelease);
}

TEST(Preemption, NobodyElseGetsWhatIsClaimed) {
  Snapshot world = Fleet(2);
  AddOld(world, "low", "team", 0, {"home-1", "home-2"});
  world.pools.push_back(New("high", "team", 10, 2));
  world.pools.push_back(New("small", "team", 5, 1));
  world = Noticed(world);
  const Plan plan = Checked(world);
  world = After(world, plan, kNow + Seconds{5});
  // One node of the two is not free yet.
  Use(world, "home-2", 8);
  const Plan next = Checked(world);
  EXPECT_EQ(Brief(DecisionOf(next, "small")), "small!WaitingForCapacity");
  EXPECT_EQ(Brief(DecisionOf(next, "high")), "high!WaitingForPreemption");
  // When the claim is over, it is anybody's.
  world.now = DecisionOf(plan, "high").memory.hold->until;
  EXPECT_EQ(Brief(DecisionOf(Checked(world), "small")), "small@home[home-1]#1");
}

TEST(Preemption, AClaimIsGivenUpWhereTheGangFitsElsewhere) {
  Snapshot world = Preempting();
  PoolOf(world, "low").preemptible = Preemptible::kAtCheckpoint;
  PoolOf(world, "low").checkpoint_interval = Seconds{1000};
  world = After(world, Checked(world), kNow + Seconds{5});
  AddNodes(world, "home", 1);
  const Plan plan = Checked(world);
  EXPECT_EQ(Brief(DecisionOf(plan, "high")), "high@home[home-2]#1");
  EXPECT_EQ(DecisionOf(plan, "high").memory.hold, std::nullopt);
  world = After(world, plan, kNow + Seconds{1800});
  EXPECT_EQ(DecisionOf(Checked(world), "low").action, Action::kKeep) << "it need not go any more";
}

TEST(Preemption, WhoWentElsewhereIsNotMadeToGoAgain) {
  Snapshot world = Preempting();
  AddNodes(world, "azure", 1);
  PoolOf(world, "high").spill_allowed = false;
  PoolOf(world, "low").spill_after = Seconds{0};
  world = Noticed(world);
  const Plan plan = Checked(world);
  EXPECT_EQ(Brief(DecisionOf(plan, "low")), "low@azure[azure-1]#2") << "it spills in the same pass";
  world = Applied(world, plan);
  EXPECT_EQ(DecisionOf(Checked(world), "low").action, Action::kKeep);
}

TEST(Preemption, AVictimThatComesFirstByNowStays) {
  Snapshot world = Preempting();
  PoolOf(world, "low").preemptible = Preemptible::kAtCheckpoint;
  PoolOf(world, "low").checkpoint_interval = Seconds{1000};
  world = After(world, Checked(world), kNow + Seconds{1800});
  PoolOf(world, "low").priority = 20;
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "low").action, Action::kKeep);
  EXPECT_EQ(DecisionOf(plan, "high").memory.hold, std::nullopt) << "nobody goes for it any more";
  EXPECT_EQ(DecisionOf(plan, "high").placed_reason, Reason::kWaitingForCapacity);
}

TEST(Preemption, NobodyGoesForAGroupThatHasBeenClosedSince) {
  Snapshot world = Noticed(Preempting());
  EXPECT_EQ(DecisionOf(Checked(world), "low").action, Action::kRelease);
  GroupOf(world, "home").admission = placement::Admission::kClosed;
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "low").action, Action::kKeep);
  EXPECT_EQ(DecisionOf(plan, "high").memory.hold, std::nullopt);
}

// high, for which home could have room some day, has made low leave azure, as it need not hold
// back.
TEST(Preemption, NobodyGoesForAPlaceThatTheGangMayNotSpillToAnyMore) {
  Snapshot spills = Fleet(1, 1);
  Use(spills, "home-1", 8);
  AddOld(spills, "low", "team", 0, {"azure-1"}, "azure");
  spills.pools.push_back(New("high", "team", 10, 1));
  PoolOf(spills, "high").spill_after = Seconds{0};
  const Snapshot world = Noticed(spills);
  EXPECT_EQ(DecisionOf(Checked(world), "low").action, Action::kRelease);
  Snapshot never = world;
  PoolOf(never, "high").spill_allowed = false;
  Snapshot later = world;
  PoolOf(later, "high").spill_after = Seconds{1000};
  for (const Snapshot& changed : {never, later}) {
    const Plan plan = Checked(changed);
    EXPECT_EQ(DecisionOf(plan, "low").action, Action::kKeep);
    EXPECT_EQ(DecisionOf(plan, "high").memory.hold, std::nullopt);
  }
  PoolOf(later, "high").memory.tiers_used = {10};
  EXPECT_EQ(DecisionOf(Checked(later), "low").action, Action::kRelease) << "it has been there";
}

TEST(Preemption, OfItsOwnNamespaceMakesRoomInTheQuota) {
  Snapshot world = Fleet(2);
  world.quotas = {Guarantee("team", 0, 8)};
  AddOld(world, "low", "team", 0, {"home-1"});
  AddOld(world, "other", "others", 0, {"home-2"}).memory.placement.reset();
  NodeOf(world, "home-2").used = Resources();
  PoolOf(world, "other").workers.clear();
  PoolOf(world, "other").suspended = true;
  world.pools.push_back(New("high", "team", 10, 1));
  const Plan next = Checked(Noticed(world));
  EXPECT_TRUE(DecisionOf(next, "high").placed) << FormatPlan(next, true);
  EXPECT_EQ(DecisionOf(next, "low").action, Action::kRelease);
  EXPECT_EQ(
      DecisionOf(Checked(After(Noticed(world), next, kNow + Seconds{9})), "low").placed_reason,
      Reason::kWaitingForQuota);
}

// It would do so on its own node, which nobody claims, and the place would be its to keep.
TEST(Preemption, WhoHasToStartAnewGoesAtOnceForWhoComesFirst) {
  Snapshot world = Fleet(2);
  world.quotas = {Guarantee("team", 0, 8)};
  TrainingPool& low = AddOld(world, "low", "team", 0, {"home-1"});
  low.attempt.failed = true;
  low.attempt.disrupted = true;
  world.pools.push_back(New("high", "team", 10, 1));
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "low").action, Action::kRelease) << FormatPlan(plan, true);
  EXPECT_TRUE(DecisionOf(plan, "high").placed) << FormatPlan(plan, true);
}

TEST(Preemption, MakesNobodyGoForMoreThanTheLimit) {
  Snapshot world = Fleet(2);
  world.quotas = {Guarantee("team", 0, 8)};
  AddOld(world, "low", "team", 0, {"home-1"});
  world.pools.push_back(New("high", "team", 10, 2));
  const Plan plan = Checked(Noticed(world));
  EXPECT_EQ(DecisionOf(plan, "low").action, Action::kKeep);
  EXPECT_EQ(DecisionOf(plan, "high").placed_reason, Reason::kQuotaExceeded);
}

// Above home, at 32 an hour a node: low has one of two nodes, both of which high needs.
Snapshot PreemptingAboveHome() {
  Snapshot world = Fleet(0, 2);
  AddOld(world, "low", "others", 0, {"azure-1"}, "azure");
  world.pools.push_back(New("high", "team", 10, 2));
  world.quotas = {Guarantee("team", 0), Guarantee("others", 0)};
  world.quotas[0].max_hourly_cost = Dollars("95.99");
  return world;
}

// Above home, at 32 an hour a node: team has money for two nodes, and low has one of four; `asking`
// wants two.
Snapshot ShortOfMoney() {
  Snapshot world = Fleet(0, 4);
  AddOld(world, "low", "team", 0, {"azure-1"}, "azure");
  AddOld(world, "stranger", "others", 0, {"azure-2"}, "azure");
  world.pools.push_back(New("asking", "team", 10, 2));
  world.quotas = {Guarantee("team", 0), Guarantee("others", 0)};
  world.quotas[0].max_hourly_cost = Dollars("64");
  return world;
}

TEST(Preemption, OfItsOwnNamespaceFreesMoneyForAnHour) {
  Snapshot world = ShortOfMoney();
  const Plan plan = Checked(world);
  EXPECT_EQ(Brief(DecisionOf(plan, "asking")), "asking!WaitingForCheckpoint");
  ASSERT_TRUE(DecisionOf(plan, "asking").memory.hold) << FormatPlan(plan, true);
  EXPECT_THAT(DecisionOf(plan, "asking").memory.hold->victims,
              ElementsAre(placement::PoolKey{.ns = "team", .name = "low"}));
  const Snapshot noticed = Noticed(world);
  const Plan then = Checked(noticed);
  EXPECT_EQ(DecisionOf(then, "low").action, Action::kRelease);
  const Snapshot later = After(noticed, then, kNow + Seconds{30});
  EXPECT_TRUE(DecisionOf(Checked(later), "asking").placed);
  EXPECT_EQ(DecisionOf(Checked(later), "low").placed_reason, Reason::kSpendLimitReached);
}

TEST(Preemption, ForMoneyAsksNobodyWhoCouldNotHelp) {
  struct Case {
    const char* sentence;
    std::function<void(Snapshot& world)> change;
    Reason reason;
  };
  const std::vector<Case> cases = {
      {"one of equal priority", [](Snapshot& w) { PoolOf(w, "low").priority = 10; },
       Reason::kSpendLimitReached},
      {"one of another namespace", [](Snapshot& w) { PoolOf(w, "low").key.ns = "others"; },
       Reason::kAsExpected},
      {"one whose place costs nothing",
       [](Snapshot& w) {
         w.groups.push_back(Group("free", 20));
         w.groups.back().marginal_per_node_hour = Money();
         AddNodes(w, "free", 1);
         NodeOf(w, "azure-1").used = Resources();
         std::erase_if(w.pools, [](const TrainingPool& pool) { return pool.key.name == "low"; });
         AddOld(w, "low", "team", 0, {"free-1"}, "free");
         w.quotas[0].max_hourly_cost = Dollars("63.99");
       },
       Reason::kSpendLimitReached},
      {"anybody, where the limit is lower than what it would cost",
       [](Snapshot& w) { w.quotas[0].max_hourly_cost = Dollars("63.99"); },
       Reason::kSpendLimitReached},
      {"anybody, where its own limit is",
       [](Snapshot& w) { PoolOf(w, "asking").spill_max_hourly_cost = Dollars("63.99"); },
       Reason::kSpendLimitReached},
      {"anybody, where the budget is used up",
       [](Snapshot& w) {
         w.quotas[0].budget = placement::Budget{.amount = Dollars("1")};
         w.quotas[0].memory = placement::SpendMemory{
             .spent = Dollars("1"), .hourly = Dollars("32"), .as_of = kNow, .period_start = kNow};
       },
       Reason::kSpendLimitReached},
      {"anybody, by one that may not",
       [](Snapshot& w) { PoolOf(w, "asking").preempts = Preempts::kNever; },
       Reason::kSpendLimitReached},
  };
  for (const Case& c : cases) {
    Snapshot world = ShortOfMoney();
    c.change(world);
    const Plan plan = Checked(world);
    const PoolDecision& asking = DecisionOf(plan, "asking");
    EXPECT_FALSE(asking.memory.hold) << c.sentence;
    if (c.reason == Reason::kAsExpected) {
      EXPECT_TRUE(asking.placed) << c.sentence;
    } else {
      EXPECT_EQ(asking.placed_reason, c.reason) << c.sentence;
    }
  }
}

// Who gives way to the first pays for nobody else, and stands in nobody's way either.
TEST(Preemption, OfTwoWhoAskAtOnceNeitherPaysForTheOther) {
  struct Case {
    const char* limited;
    int placed;  // gangs of one node, each with a node's worth of the limit
  };
  for (const Case& c : {Case{"money", 3}, Case{"money", 2}, Case{"accelerators", 3}}) {
    Snapshot world = Fleet(0, 8);
    for (int i = 1; i <= c.placed; ++i) {
      const std::string number = std::to_string(i);
      AddOld(world, "low-" + number, "team", 0, {"azure-" + number}, "azure");
    }
    world.quotas = {Guarantee("team", 0)};
    if (c.limited == std::string("money")) {
      world.quotas[0].max_hourly_cost = Dollars(std::to_string(32 * c.placed));
    } else {
      world.quotas[0].limits[0].limit = 8 * c.placed;
    }
    world.pools.push_back(New("first", "team", 10, 1));
    world.pools.push_back(New("second", "team", 5, 1));
    const Plan plan = Checked(world);
    std::set<placement::PoolKey> victims;
    for (const char* name : {"first", "second"}) {
      const auto& hold = DecisionOf(plan, name).memory.hold;
      ASSERT_TRUE(hold) << c.limited << " " << c.placed << " " << name;
      EXPECT_EQ(hold->victims.size(), 1U) << c.limited << " " << c.placed << " " << name;
      victims.insert(hold->victims.begin(), hold->victims.end());
    }
    EXPECT_EQ(victims.size(), 2U);
  }
}

// What is left of the money that both sets of victims cost pays for both claims.
TEST(Preemption, ForMoneySettlesWhereTwoOfANamespaceAskAtOnce) {
  Snapshot world = Fleet(0, 8);
  AddOld(world, "low-1", "team", 0, {"azure-1", "azure-2"}, "azure");
  AddOld(world, "low-2", "team", 0, {"azure-3"}, "azure");
  world.quotas = {Guarantee("team", 0)};
  world.quotas[0].max_hourly_cost = Dollars("96");
  world.pools.push_back(New("first", "team", 10, 1));
  world.pools.push_back(New("second", "team", 5, 1));
  for (const char* name : {"first", "second"}) {
    EXPECT_TRUE(DecisionOf(Checked(world), name).memory.hold) << name;
  }
  size_t evictions = 0;
  for (int step = 1; step < 20; ++step) {
    const Plan plan = Checked(world);
    for (const PoolDecision& decision : plan.pools) {
      evictions += decision.action == Action::kRelease ? 1 : 0;
    }
    world = After(world, plan, kNow + Seconds{step * 10});
  }
  const Plan plan = Checked(world);
  EXPECT_TRUE(DecisionOf(plan, "first").placed && DecisionOf(plan, "second").placed);
  EXPECT_EQ(evictions, 1U) << "what that one cost is enough for both";
}

TEST(Preemption, MoneyForWhatIsClaimedIsNobodyElses) {
  Snapshot world = PreemptingAboveHome();
  world.groups.push_back(Group("aws", 20));
  AddNodes(world, "aws", 1);
  world.pools.push_back(New("small", "team", 5, 1));
  EXPECT_EQ(Brief(DecisionOf(Checked(world), "high")), "high!WaitingForCheckpoint");
  EXPECT_EQ(Brief(DecisionOf(Checked(world), "small")), "small!SpendLimitReached");
  EXPECT_EQ(Brief(DecisionOf(Checked(Noticed(world)), "small")), "small!SpendLimitReached");
  world.quotas[0].max_hourly_cost = Dollars("96");
  EXPECT_EQ(Brief(DecisionOf(Checked(world), "small")), "small@aws[aws-1]#1");
}

TEST(Preemption, WhoHasGoneCostsNothingAndWhoHasAClaimNothingYet) {
  const auto costs = [](const Plan& plan) {
    std::vector<std::string> texts;
    for (const auto& report : plan.quotas) {
      texts.push_back(report.ns + " " + report.spend.hourly_cost.Format());
    }
    return texts;
  };
  const Snapshot world = PreemptingAboveHome();
  EXPECT_THAT(costs(Checked(world)), ElementsAre("others 32.00", "team 0.00"));
  const Snapshot noticed = Noticed(world);
  const Plan plan = Checked(noticed);
  ASSERT_EQ(DecisionOf(plan, "low").action, Action::kRelease);
  EXPECT_THAT(costs(plan), ElementsAre("others 0.00", "team 0.00"));
  const Plan next = Checked(After(noticed, plan, kNow + Seconds{30}));
  EXPECT_THAT(costs(next), ElementsAre("others 0.00", "team 64.00"));
}

TEST(Preemption, NobodyGoesForAPlaceThatMayNotBePaidAnyMore) {
  const Snapshot noticed = Noticed(PreemptingAboveHome());
  Snapshot world = noticed;
  world.quotas[0].max_hourly_cost = Dollars("64");
  EXPECT_EQ(DecisionOf(Checked(world), "low").action, Action::kRelease);
  world.quotas[0].max_hourly_cost = Dollars("63.99");
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "low").action, Action::kKeep);
  EXPECT_EQ(Brief(DecisionOf(plan, "high")), "high!SpendLimitReached");
  EXPECT_EQ(DecisionOf(plan, "high").memory.hold, std::nullopt);
  world = noticed;
  PoolOf(world, "high").spill_max_hourly_cost = Dollars("63.99");
  EXPECT_EQ(DecisionOf(Checked(world), "low").action, Action::kKeep);
}

TEST(Preemption, TakesTheCheapest) {
  Snapshot world = Fleet(3);
  AddOld(world, "a", "team", 0, {"home-1"}).memory.restart_took = Seconds{900};
  AddOld(world, "b", "team", 0, {"home-2"}).memory.restart_took = Seconds{100};
  AddOld(world, "c", "team", 0, {"home-3"}).memory.restart_took = Seconds{100};
  PoolOf(world, "c").memory.evictions = {{.time = kNow - Seconds{60}, .cause = "gave way"}};
  world.pools.push_back(New("high", "team", 10, 1));
  const Plan plan = Checked(Noticed(world));
  EXPECT_EQ(DecisionOf(plan, "b").action, Action::kRelease);
  EXPECT_EQ(DecisionOf(plan, "a").action, Action::kKeep);
  EXPECT_EQ(DecisionOf(plan, "c").action, Action::kKeep);
}

// ---- shares ----

TEST(Shares, TheNamespaceThatHasBorrowedLeastForItsWeightIsNext) {
  Snapshot world = Fleet(5);
  world.quotas = {Guarantee("a", 0), Guarantee("b", 0, 1000, 3)};
  AddRunning(world, "a0", 1, 8, "home", {"home-1"}).key.ns = "a";
  AddRunning(world, "b0", 1, 8, "home", {"home-2"}).key.ns = "b";
  for (const char* name : {"a1", "a2"}) world.pools.push_back(New(name, "a", 0, 1));
  for (const char* name : {"b1", "b2", "b3"}) world.pools.push_back(New(name, "b", 0, 1));
  // 8 ÷ 1 against 8 ÷ 3: b, b until 24 ÷ 3 is no less, then by name.
  const Plan plan = Checked(world);
  EXPECT_TRUE(DecisionOf(plan, "b1").placed);
  EXPECT_TRUE(DecisionOf(plan, "b2").placed);
  EXPECT_TRUE(DecisionOf(plan, "a1").placed);
  EXPECT_FALSE(DecisionOf(plan, "b3").placed);
  EXPECT_FALSE(DecisionOf(plan, "a2").placed);
}

TEST(Shares, EvictNobody) {
  Snapshot world = Fleet(2);
  AddOld(world, "a0", "a", 0, {"home-1"});
  AddOld(world, "a1", "a", 0, {"home-2"});
  world.pools.push_back(New("b0", "b", 0, 1));
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "a0").action, Action::kKeep);
  EXPECT_EQ(DecisionOf(plan, "a1").action, Action::kKeep);
}

TEST(Shares, PriorityComesBeforeThem) {
  Snapshot world = Fleet(2);
  AddRunning(world, "a0", 1, 8, "home", {"home-1"}).key.ns = "a";
  world.pools.push_back(New("a1", "a", 1, 1));
  world.pools.push_back(New("b0", "b", 0, 1));
  EXPECT_TRUE(DecisionOf(Checked(world), "a1").placed);
}

TEST(Shares, TheGuaranteedComeBeforeAllBorrowers) {
  Snapshot world = Fleet(1);
  world.quotas = {Guarantee("b", 8)};
  world.pools.push_back(New("a1", "a", 100, 1));
  world.pools.push_back(New("b0", "b", 0, 1));
  EXPECT_TRUE(DecisionOf(Checked(world), "b0").placed);
}

// ---- the cheapest set, by brute force ----

// One group of up to six nodes, gangs of up to two workers on it, and one that needs their room.
Snapshot Crowded(uint32_t seed) {
  Dice dice(seed);
  const int nodes = dice.Roll(4) + 3;
  Snapshot world = Fleet(nodes);
  for (int n = 1; n <= nodes; ++n) {
    NodeOf(world, "home-" + std::to_string(n)).labels[kDomain] = dice.OneIn(2) ? "d1" : "d2";
  }
  std::vector<int> free(static_cast<size_t>(nodes), 8);
  const int gangs = dice.Roll(6) + 1;
  for (int g = 0; g < gangs; ++g) {
    const int per_worker = dice.Pick<int>({1, 2, 4, 8});
    const int workers = dice.Roll(2) + 1;
    std::vector<std::string> on;
    for (size_t n = 0; n < free.size() && std::ssize(on) < workers; ++n) {
      if (free[n] < per_worker || dice.OneIn(3)) continue;
      free[n] -= per_worker;
      on.push_back("home-" + std::to_string(n + 1));
    }
    if (std::ssize(on) < workers) {
      for (const std::string& node : on) free[static_cast<size_t>(node.back() - '1')] += per_worker;
      continue;
    }
    TrainingPool& pool =
        AddRunning(world, "g" + std::to_string(g), workers, per_worker, "home", on);
    pool.preemptible = dice.OneIn(2) ? Preemptible::kAlways : Preemptible::kAtCheckpoint;
    pool.checkpoint_interval = Seconds{60};  // it was placed a minute ago
    pool.min_run = Seconds{30};
    pool.memory.ready_since = kNow - Seconds{50};
    pool.memory.restart_took = Seconds{dice.Roll(5) * 100};
    if (dice.OneIn(4)) pool.memory.evictions = {{.time = kNow - Seconds{60}, .cause = "before"}};
  }
  TrainingPool high = New("high", "team", 10, dice.Roll(3) + 1);
  high.per_worker = dice.Pick<int>({2, 4, 8});
  high.topology = dice.Pick<placement::TopologyMode>(
      {placement::TopologyMode::kRequired, placement::TopologyMode::kPreferred});
  world.pools.push_back(high);
  return world;
}

// The same above home, where the namespace of them all may spend no more than so much an hour.
Snapshot Spending(uint32_t seed) {
  Snapshot world = Crowded(seed);
  Dice dice(seed + 1);
  NodeGroup& group = GroupOf(world, "home");
  group.tier = 10;
  group.marginal_per_node_hour = Dollars("8");
  for (TrainingPool& pool : world.pools) {
    pool.spill_after = Seconds{0};
    pool.return_home = placement::ReturnHome::kNever;
    if (pool.memory.placement) pool.memory.placement->tier = 10;
    if (pool.memory.placement) pool.memory.tiers_used = {10};
  }
  world.quotas = {Guarantee("team", 0)};
  world.quotas[0].max_hourly_cost = Dollars(std::to_string(dice.Roll(30)));
  return world;
}

Snapshot WithoutGangs(Snapshot world, const std::set<std::string>& names) {
  for (const TrainingPool& pool : world.pools) {
    if (!names.contains(pool.key.name)) continue;
    for (const placement::Worker& worker : pool.workers) {
      NodeOf(world, worker.node).used.Subtract(worker.requests);
    }
  }
  std::erase_if(world.pools,
                [&](const TrainingPool& pool) { return names.contains(pool.key.name); });
  return world;
}

int64_t CostOf(const TrainingPool& pool) {
  return int64_t{pool.memory.placement->workers} * pool.per_worker *
         pool.memory.restart_took->count() *
         (1 + static_cast<int64_t>(pool.memory.evictions.size()));
}

void ExpectTheCheapest(Snapshot (*make)(uint32_t seed)) {
  constexpr uint32_t kWorlds = Seeds(4000U);
  int evicted = 0;
  int hopeless = 0;
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    const Snapshot world = make(seed);
    const Plan plan = MakePlan(world);
    const size_t gangs = world.pools.size() - 1;
    std::optional<int64_t> cheapest;
    for (uint32_t mask = 0; mask < (1U << gangs); ++mask) {
      std::set<std::string> names;
      int64_t cost = 0;
      for (size_t g = 0; g < gangs; ++g) {
        if ((mask >> g & 1U) == 0) continue;
        names.insert(world.pools[g].key.name);
        cost += CostOf(world.pools[g]);
      }
      if (cheapest && cost >= *cheapest) continue;
      Snapshot without = WithoutGangs(world, names);
      PoolOf(without, "high").preempts = Preempts::kNever;
      if (DecisionOf(MakePlan(without), "high").placed) cheapest = cost;
    }
    const PoolDecision& high = DecisionOf(plan, "high");
    int64_t paid = 0;
    for (const TrainingPool& pool : world.pools) {
      if (!high.memory.hold) continue;
      const auto& victims = high.memory.hold->victims;
      const bool goes = std::find(victims.begin(), victims.end(), pool.key) != victims.end();
      if (goes) paid += CostOf(pool);
    }
    ASSERT_EQ(cheapest.has_value(), high.placed || high.memory.hold.has_value())
        << "seed " << seed << "\n"
        << WriteSnapshot(world) << FormatPlan(plan, true);
    if (cheapest) {
      ASSERT_EQ(paid, *cheapest) << "seed " << seed << "\n"
                                 << WriteSnapshot(world) << FormatPlan(plan, true);
    }
    evicted += high.memory.hold.has_value() ? 1 : 0;
    hopeless += cheapest ? 0 : 1;
  }
  EXPECT_GT(evicted, kWorlds / 5);
  EXPECT_GT(hopeless, kWorlds / 100);
}

TEST(EveryVictim, IsOfTheCheapestSufficientSet) { ExpectTheCheapest(Crowded); }

TEST(EveryVictim, IsOfTheCheapestSetThatFreesTheMoneyToo) { ExpectTheCheapest(Spending); }

// ---- it settles ----

struct Trap {
  const char* name;
  std::function<Snapshot()> make;
  size_t evictions;  // at the most, of all pools together
};

class Traps : public testing::TestWithParam<Trap> {};

TEST_P(Traps, Settle) {
  Snapshot world = GetParam().make();
  size_t evictions = 0;
  int quiet = 0;
  for (int step = 0; step < 200 && quiet < 20; ++step) {
    const Plan plan = Checked(world);
    bool changes = false;
    for (const PoolDecision& decision : plan.pools) {
      changes = changes || decision.action == Action::kPlace || decision.action == Action::kRelease;
      for (const auto& eviction : decision.memory.evictions) {
        evictions += eviction.time == world.now ? 1 : 0;
      }
    }
    quiet = changes ? 0 : quiet + 1;
    world = After(world, plan, world.now + Seconds{step % 2 == 0 ? 30 : 1800});
  }
  EXPECT_EQ(quiet, 20) << FormatPlan(MakePlan(world), true);
  EXPECT_LE(evictions, GetParam().evictions);
}

INSTANTIATE_TEST_SUITE_P(
    Worlds, Traps,
    testing::Values(Trap{"the guaranteed of low priority and the borrower of high priority",
                         Reclaiming, 1},
                    Trap{"two claimants and one victim",
                         [] {
                           Snapshot world = Preempting();
                           world.pools.push_back(New("second", "team", 9, 1));
                           return world;
                         },
                         1},
                    Trap{"a chain of priorities",
                         [] {
                           Snapshot world = Fleet(3);
                           AddOld(world, "p1", "team", 1, {"home-1"});
                           AddOld(world, "p2", "team", 2, {"home-2"});
                           AddOld(world, "p3", "team", 3, {"home-3"});
                           world.pools.push_back(New("p4", "team", 4, 1));
                           world.pools.push_back(New("p5", "team", 5, 1));
                           return world;
                         },
                         3},
                    Trap{"two namespaces that are guaranteed half each and take turns in borrowing",
                         [] {
                           Snapshot world = Fleet(4);
                           world.quotas = {Guarantee("a", 16), Guarantee("b", 16)};
                           AddOld(world, "a1", "a", 0, {"home-1", "home-2"});
                           AddOld(world, "a2", "a", 0, {"home-3", "home-4"});
                           world.pools.push_back(New("b1", "b", 0, 2));
                           world.pools.push_back(New("b2", "b", 0, 2));
                           return world;
                         },
                         1},
                    Trap{"a new gang of the owner makes its older one a borrower",
                         [] {
                           Snapshot world = Fleet(2);
                           world.quotas = {Guarantee("a", 8)};
                           AddOld(world, "a1", "a", 0, {"home-1"});
                           AddOld(world, "b1", "b", 5, {"home-2"});
                           world.pools.push_back(New("a2", "a", 1, 1));
                           world.pools.push_back(New("b2", "b", 3, 1));
                           return world;
                         },
                         2},
                    Trap{"a victim that fits only where its claimant was",
                         [] {
                           Snapshot world = Fleet(2);
                           AddOld(world, "wide", "team", 0, {"home-1", "home-2"});
                           world.pools.push_back(New("high", "team", 10, 1));
                           return world;
                         },
                         1},
                    Trap{"a quota that only one of two can have",
                         [] {
                           Snapshot world = Fleet(4);
                           world.quotas = {Guarantee("team", 0, 16)};
                           AddOld(world, "low", "team", 0, {"home-1", "home-2"});
                           world.pools.push_back(New("high", "team", 10, 2));
                           return world;
                         },
                         1}),
    [](const auto& param) { return "Trap" + std::to_string(param.index); });

}  // namespace
}  // namespace spillway::tests
