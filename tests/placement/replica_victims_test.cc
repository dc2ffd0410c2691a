// Replicas that give way to gangs: which, how many, at what price, and what becomes of them.
#include "placement/replica_victims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "passes.h"
#include "placement/plan.h"
#include "placement/play.h"
#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::InferencePool;
using placement::MakePlan;
using placement::Plan;
using placement::Preempts;
using placement::Reason;
using placement::ReplicaKey;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

InferencePool& Serving(Snapshot& world) { return world.inference_pools.front(); }

TrainingPool Asks(const std::string& name, const std::string& ns, int64_t priority, int workers,
                  int per_worker) {
  TrainingPool pool = Wants(name, workers, per_worker);
  pool.key.ns = ns;
  pool.priority = priority;
  pool.memory.queued_since = pool.memory.waiting_since = kNow - Seconds{60};
  return pool;
}

void AddChat(Snapshot& world, int replicas, const std::vector<std::string>& nodes) {
  InferencePool pool = Chat(replicas);
  Runs(world, pool, "gpu", "home", replicas, replicas, nodes);
  world.inference_pools.push_back(pool);
}

// Four replicas of one GPU are on the only node of eight, of which a gang that comes before them
// needs six.
Snapshot Crowded() {
  Snapshot world = Fleet(1);
  AddChat(world, 4, {"home-1"});
  world.pools = {Asks("high", "team", 10, 1, 6)};
  return world;
}

// The pods that the gang asks to go.
std::vector<std::string> Asked(const Plan& plan, const std::string& gang = "high") {
  std::vector<std::string> pods;
  const auto& hold = DecisionOf(plan, gang).memory.hold;
  if (!hold) return pods;
  for (const ReplicaKey& key : hold->replicas) pods.push_back(key.pod);
  return pods;
}

// The world once the plan was carried out and pods that were told to stop are gone.
Snapshot Gone(const Snapshot& world, const Plan& plan, Time now) {
  Snapshot after = After(world, plan, now);
  for (InferencePool& pool : after.inference_pools) {
    for (const placement::Replica& replica : pool.live) {
      if (replica.terminating) NodeOf(after, replica.node).used.Subtract(replica.requests);
    }
    std::erase_if(pool.live, [](const placement::Replica& one) { return one.terminating; });
  }
  return after;
}

// The same world a second later, when those who were asked go.
Snapshot Noticed(const Snapshot& world) {
  return After(world, Checked(world), world.now + Seconds{1});
}

TEST(ReplicaVictims, GoOneByOneForAGangOfHigherPriority) {
  Snapshot world = Crowded();
  Plan plan = Checked(world);
  EXPECT_THAT(Asked(plan), ElementsAre("chat-gpu-home-0", "chat-gpu-home-1"));
  EXPECT_EQ(Mix(ServingOf(plan)), "4 gpu@home") << "the claim is written down first";
  EXPECT_THAT(ServingOf(plan).evict, IsEmpty());
  EXPECT_EQ(DecisionOf(plan, "high").placed_reason, Reason::kWaitingForPreemption);
  EXPECT_THAT(DecisionOf(plan, "high").placed_message,
              HasSubstr("waits until others give way to it: 2 replicas of serving/chat by "
                        "2026-11-24T12:00:01Z; 1 node of home (home-1) reserved for it until"));
  EXPECT_THAT(ServingOf(plan).ready_message,
              HasSubstr("; gives 2 replicas up for team/high, whose priority is 10 and not 0, at "
                        "2026-11-24T12:00:01Z"));
  EXPECT_EQ(plan.next_wake, kNow + Seconds{1});
  world = After(world, plan, kNow + Seconds{1});
  plan = Checked(world);
  EXPECT_EQ(Mix(ServingOf(plan)), "2 gpu@home");
  EXPECT_THAT(ServingOf(plan).evict, ElementsAre("chat-gpu-home-0", "chat-gpu-home-1"));
  ASSERT_EQ(ServingOf(plan).memory.evictions.size(), 1U);
  EXPECT_EQ(ServingOf(plan).memory.evictions[0].cause,
            "gave 2 replicas of gpu on home up for team/high, whose priority is 10 and not 0");
  EXPECT_EQ(ServingOf(plan).capacity_reason, Reason::kPreempted);
  EXPECT_THAT(ServingOf(plan).capacity_message,
              HasSubstr("serves 8 of 16 needed (4 units × 4); at 2026-11-24T12:00:01Z it gave 2 "
                        "replicas of gpu on home up for team/high"));
  EXPECT_THAT(DecisionOf(plan, "high").placed_message,
              HasSubstr("waits until the pods of 2 replicas of serving/chat are gone, which gave "
                        "way to it"));
  // Their pods take their time: the room that they still have is nobody's but the gang's.
  const Plan next = Checked(Applied(world, plan));
  EXPECT_EQ(Mix(ServingOf(next)), "2 gpu@home");
  EXPECT_EQ(ServingOf(next).memory.evictions.size(), 1U);
  world = Gone(world, plan, kNow + Seconds{30});
  plan = Checked(world);
  EXPECT_TRUE(DecisionOf(plan, "high").placed);
  EXPECT_EQ(Mix(ServingOf(plan)), "2 gpu@home");
}

// A Deployment made another pod before it heard that it was to have fewer: when the first one is
// gone that one is on its way out as well, and the room that it has is the gang's too.
TEST(ReplicaVictims, LeaveNoRoomToTheirPoolThroughAPodThatWasMadeInTheirPlace) {
  Snapshot world = Fleet(1);
  AddChat(world, 7, {"home-1"});
  world.pools = {Asks("high", "team", 10, 1, 2)};
  world = Noticed(world);
  const Plan plan = Checked(world);
  ASSERT_EQ(ServingOf(plan).evict.size(), 1U);
  world = Gone(world, plan, kNow + Seconds{5});
  placement::Replica other = Serving(world).live.front();
  other.pod = "chat-other";
  other.terminating = true;
  other.ready = false;
  NodeOf(world, "home-1").used.Add(other.requests);
  Serving(world).live.push_back(other);
  EXPECT_EQ(Mix(ServingOf(Checked(world))), "6 gpu@home");
  EXPECT_EQ(Brief(DecisionOf(Checked(world), "high")), "high!WaitingForPreemption");
}

// The operator is killed after the status says so, and before the pods are told.
TEST(ReplicaVictims, AreToldOnceMoreByAnOperatorThatWasKilledInBetween) {
  Snapshot world = Noticed(Crowded());
  const Plan plan = Checked(world);
  Serving(world).memory = ServingOf(plan).memory;
  PoolOf(world, "high").memory = DecisionOf(plan, "high").memory;
  const Plan next = Checked(world);
  EXPECT_EQ(Mix(ServingOf(next)), "2 gpu@home");
  EXPECT_EQ(ServingOf(next).evict, ServingOf(plan).evict);
  EXPECT_EQ(ServingOf(next).memory.evictions.size(), 1U);
}

struct Case {
  const char* sentence;
  std::function<void(Snapshot&)> change;
  size_t asked;
};
class WhichReplicas : public testing::TestWithParam<Case> {};

TEST_P(WhichReplicas, GiveWay) {
  Snapshot world = Crowded();
  GetParam().change(world);
  const Plan plan = Checked(world);
  EXPECT_EQ(Asked(plan).size(), GetParam().asked) << FormatPlan(plan, true);
}

INSTANTIATE_TEST_SUITE_P(
    All, WhichReplicas,
    testing::Values(Case{"those of a lower priority", [](Snapshot&) {}, 2},
                    Case{"not of the same one", [](Snapshot& w) { Serving(w).priority = 10; }, 0},
                    Case{"nor where the gang preempts nobody",
                         [](Snapshot& w) { PoolOf(w, "high").preempts = Preempts::kNever; }, 0},
                    Case{"not what the pool is guaranteed",
                         [](Snapshot& w) { w.quotas = {Guarantee("serving", 3)}; }, 0},
                    Case{"down to what it is guaranteed",
                         [](Snapshot& w) { w.quotas = {Guarantee("serving", 2)}; }, 2},
                    Case{"not below minReplicas",
                         [](Snapshot& w) { Serving(w).variants[0].min_replicas = 3; }, 0},
                    Case{"down to minReplicas",
                         [](Snapshot& w) { Serving(w).variants[0].min_replicas = 2; }, 2},
                    Case{"of its own namespace likewise",
                         [](Snapshot& w) {
                           PoolOf(w, "high").key.ns = "serving";
                           w.quotas = {Guarantee("serving", 2)};
                         },
                         2},
                    Case{"of any priority for a guarantee at home",
                         [](Snapshot& w) {
                           Serving(w).priority = 100;
                           w.quotas = {Guarantee("team", 6)};
                         },
                         2},
                    Case{"not for a guarantee where they have one too",
                         [](Snapshot& w) {
                           Serving(w).priority = 100;
                           w.quotas = {Guarantee("team", 6), Guarantee("serving", 4)};
                         },
                         0},
                    Case{"not of a pool that is paused",
                         [](Snapshot& w) { Serving(w).paused = true; }, 0},
                    Case{"not while its number is about to change",
                         [](Snapshot& w) { Serving(w).replicas = 3; }, 0}),
    [](const auto& param) { return "Case" + std::to_string(param.index); });

TEST(ReplicaVictims, AreThoseOfOneNodeThatIsEmptiedCheapest) {
  Snapshot world = Fleet(2);
  AddChat(world, 5, {"home-1", "home-2"});  // three on the first, two on the second
  world.pools = {Asks("high", "team", 10, 1, 8)};
  EXPECT_THAT(Asked(Checked(world)), ElementsAre("chat-gpu-home-1", "chat-gpu-home-3"));
}

TEST(ReplicaVictims, OfMoreThanTwelveAreOfOneNodeToo) {
  Snapshot world = Fleet(4);
  AddChat(world, 15, {"home-1", "home-2", "home-3", "home-4"});
  world.pools = {Asks("high", "team", 10, 1, 8)};
  EXPECT_THAT(Asked(Checked(world)),
              ElementsAre("chat-gpu-home-11", "chat-gpu-home-3", "chat-gpu-home-7"));
}

// One replica on each of 13 nodes, of which only the last has nothing else; one can be spared.
TEST(ReplicaVictims, OfMoreThanTwelveAreWhereThatMakesRoom) {
  Snapshot world = Fleet(13);
  std::vector<std::string> nodes;
  for (int n = 1; n <= 13; ++n) nodes.push_back("home-" + std::to_string(n));
  for (int n = 0; n < 12; ++n) Use(world, nodes[static_cast<size_t>(n)], 3);
  AddChat(world, 13, nodes);
  Serving(world).variants[0].min_replicas = 12;
  world.pools = {Asks("high", "team", 10, 1, 8)};
  EXPECT_THAT(Asked(Checked(world)), ElementsAre("chat-gpu-home-12"));
}

TEST(ReplicaVictims, MayDrainForAsLongAsTheirPoolSays) {
  Snapshot world = Crowded();
  Serving(world).drain = Seconds{3600};
  EXPECT_EQ(DecisionOf(Checked(world), "high").memory.hold->until, kNow + Seconds{1 + 3600 + 600});
}

TEST(ReplicaVictims, CostWhatAStartTakes) {
  Snapshot world = Fleet(1);
  AddChat(world, 1, {"home-1"});
  InferencePool& pool = Serving(world);
  pool.variants[0].per_replica = 2;
  pool.variants[0].startup = Seconds{100};
  placement::InferenceDraft draft;
  draft.pool = &pool;
  placement::CellState cell;
  cell.variant = pool.variants.data();
  EXPECT_EQ(ReplicaCost(draft, cell, kNow), 200);
  draft.memory.evictions = {{.time = kNow - Seconds{86400}, .cause = ""},
                            {.time = kNow - Seconds{86399}, .cause = ""}};
  EXPECT_EQ(ReplicaCost(draft, cell, kNow), 400);
}

TEST(ReplicaVictims, AreWeighedAgainstGangs) {
  Snapshot world = Fleet(2);
  AddOld(world, "low", 0, {"home-1"});  // 8 × 300 s
  AddChat(world, 8, {"home-2"});
  world.pools.push_back(Asks("high", "team", 10, 1, 8));
  Serving(world).variants[0].startup = Seconds{299};
  EXPECT_EQ(Asked(Checked(world)).size(), 8U);
  Serving(world).variants[0].startup = Seconds{301};
  EXPECT_THAT(Asked(Checked(world)), IsEmpty());
  EXPECT_EQ(DecisionOf(Checked(world), "high").memory.hold->victims.size(), 1U);
}

TEST(ReplicaVictims, GiveUpAcceleratorsOfALimitAndMoney) {
  Snapshot world = Fleet(2);
  AddChat(world, 4, {"home-1"});
  Serving(world).key.ns = "team";
  world.pools = {Asks("high", "team", 10, 1, 8)};
  world.quotas = {Guarantee("team", 0, 10)};
  EXPECT_EQ(Asked(Checked(world)).size(), 2U)
      << "there is room on home-2, but not within the limit";
  EXPECT_EQ(DecisionOf(Checked(world), "high").memory.hold->nodes,
            std::vector<std::string>{"home-2"});
}

TEST(ReplicaVictims, ArePutElsewhereWhereThereIsRoom) {
  Snapshot world = Noticed(Crowded());
  AddNodes(world, "azure", 1);
  const Plan plan = Checked(world);
  EXPECT_EQ(Mix(ServingOf(plan)), "2 gpu@azure, 2 gpu@home");
}

TEST(ReplicaVictims, StayWhereTheClaimIsOverruled) {
  Snapshot world = Noticed(Crowded());
  Serving(world).priority = 20;
  Plan plan = Checked(world);
  EXPECT_THAT(ServingOf(plan).evict, IsEmpty());
  EXPECT_EQ(DecisionOf(plan, "high").memory.hold, std::nullopt);
  world = Noticed(Crowded());
  Serving(world).variants[0].min_replicas = 3;
  plan = Checked(world);
  EXPECT_THAT(ServingOf(plan).evict, IsEmpty());
  EXPECT_EQ(Mix(ServingOf(plan)), "4 gpu@home");
}

// Two gangs take no more of a pool together than one may.
TEST(ReplicaVictims, AreCountedOnceForAllWhoAsk) {
  Snapshot world = Fleet(2);
  AddChat(world, 8, {"home-1", "home-2"});
  Serving(world).variants[0].min_replicas = 5;
  world.pools = {Asks("high", "team", 10, 1, 6), Asks("second", "team", 9, 1, 6)};
  const Plan plan = Checked(world);
  EXPECT_EQ(Asked(plan).size(), 2U);
  EXPECT_THAT(Asked(plan, "second"), IsEmpty());
}

// Whose replicas have just been sent away counts no more, also where somebody had looked for
// victims before that.
TEST(ReplicaVictims, CountAgainstALimitOnceWhenTheyHaveGone) {
  Snapshot world = Fleet(2);
  Use(world, "home-2", 6);
  AddChat(world, 7, {"home-1", "home-1", "home-1", "home-1", "home-1", "home-1", "home-2"});
  Serving(world).key.ns = "team";
  world.quotas = {Guarantee("team", 0, 9)};
  world.pools = {Asks("a", "team", 1000, 1, 4)};
  world = Noticed(world);
  ASSERT_EQ(Asked(Checked(world), "a").size(), 2U);
  world.pools.push_back(Asks("b", "team", 900, 1, 2));
  EXPECT_EQ(Asked(Checked(world), "b").size(), 2U);
  world.pools.push_back(Asks("c", "lab", 2000, 2, 8));
  EXPECT_EQ(Asked(Checked(world), "b").size(), 2U);
}

// ---- Verify ----

std::string Refused(const Snapshot& world, const Plan& plan) {
  const Status status = Verify(world, plan);
  return status.ok() ? "" : status.error().message;
}

TEST(Verify, KnowsWhatAPoolKeeps) {
  const Snapshot world = Noticed(Crowded());
  const Plan plan = Checked(world);
  Snapshot other = world;
  Serving(other).variants[0].min_replicas = 3;
  EXPECT_EQ(Refused(other, plan), "serving/chat is left with fewer than minReplicas");
  other = world;
  other.quotas = {Guarantee("serving", 3)};
  EXPECT_THAT(Refused(other, plan), HasSubstr("serving/chat gives up what it is guaranteed"));
  other = world;
  PoolOf(other, "high").memory.hold->replicas.pop_back();
  EXPECT_EQ(Refused(other, plan), "serving/chat sends a replica away for nobody");
  other = world;
  PoolOf(other, "high").memory.hold->since = world.now;
  EXPECT_EQ(Refused(other, plan), "serving/chat sends a replica away for nobody");
}

// ---- it settles ----

struct Outcome {
  size_t evictions = 0;
  int passes = 0;
};

Outcome Played(const Snapshot& world, const std::vector<placement::Arrival>& arrivals) {
  Outcome outcome;
  const auto planner = [&](const Snapshot& now) {
    auto plan = placement::VerifiedPlan(now);
    if (!plan.ok()) return plan;
    for (const auto& decision : plan->inference_pools) {
      for (const auto& eviction : decision.memory.evictions) {
        outcome.evictions += eviction.time == now.now ? 1 : 0;
      }
    }
    return plan;
  };
  placement::PlayRules rules;
  rules.patience = Seconds{86400};
  rules.most_passes = 1000;
  const auto record = Play(world, arrivals, planner, rules);
  EXPECT_TRUE(record.ok()) << record.error().message;
  if (record.ok()) outcome.passes = record->passes;
  return outcome;
}

placement::Arrival Comes(int at, int runs_for, TrainingPool pool) {
  pool.memory = {};
  pool.preemptible = placement::Preemptible::kAlways;
  pool.min_run = Seconds{0};
  pool.spill_allowed = false;
  return {.at = Seconds{at}, .runs_for = Seconds{runs_for}, .pool = std::move(pool)};
}

// A server that is guaranteed half of the node and comes before all others, one that borrows, a
// gang that is guaranteed the other half, and one between the servers.
TEST(ReplicaTraps, SettleWhereGuaranteesAndPrioritiesGoBothWays) {
  Snapshot world = Fleet(1);
  world.quotas = {Guarantee("serving", 4), Guarantee("owner", 4)};
  AddChat(world, 6, {"home-1"});
  Serving(world).priority = 20;
  Serving(world).preempt_after = Seconds{60};
  InferencePool low = Chat(2, "low");
  low.key.ns = "others";
  low.preempt_after = Seconds{60};
  Runs(world, low, "gpu", "home", 2, 2, {"home-1"});
  world.inference_pools.push_back(low);
  const Outcome outcome = Played(world, {Comes(10, 5000, Asks("owned", "owner", 0, 1, 4)),
                                         Comes(2000, 5000, Asks("between", "team", 10, 1, 2))});
  EXPECT_GE(outcome.evictions, 1U);
  EXPECT_LE(outcome.evictions, 4U);
  EXPECT_LE(outcome.passes, 200);
}

// The server takes the room back from the gang as soon as it may, if it may.
TEST(ReplicaTraps, SettleWhereTheServerCanTakeWhatABorrowerTook) {
  Snapshot world = Fleet(1);
  AddChat(world, 8, {"home-1"});
  Serving(world).priority = 5;
  Serving(world).preempt_after = Seconds{0};
  const Outcome outcome = Played(world, {Comes(10, 3000, Asks("low", "team", 0, 1, 4)),
                                         Comes(20, 3000, Asks("high", "team", 10, 1, 4)),
                                         Comes(30, 3000, Asks("higher", "team", 11, 1, 6))});
  EXPECT_GE(outcome.evictions, 1U);
  EXPECT_LE(outcome.evictions, 3U);
  EXPECT_LE(outcome.passes, 200);
}

// ---- the cheapest set, by brute force ----

// Up to four nodes, up to ten replicas of two pools and up to two gangs on them, and a gang that
// needs their room.
Snapshot Small(uint32_t seed) {
  Dice dice(seed);
  const int nodes = dice.Roll(3) + 1;
  Snapshot world = Fleet(nodes);
  std::vector<int> free(static_cast<size_t>(nodes), 8);
  for (int g = dice.Roll(3); g > 0; --g) {
    const auto node = static_cast<size_t>(dice.Roll(nodes));
    const int per_worker = dice.Pick<int>({1, 2, 4});
    if (free[node] < per_worker) continue;
    free[node] -= per_worker;
    TrainingPool& pool = AddRunning(world, "g" + std::to_string(g), 1, per_worker, "home",
                                    {"home-" + std::to_string(node + 1)});
    pool.preemptible = placement::Preemptible::kAtCheckpoint;
    pool.checkpoint_interval = Seconds{60};
    pool.min_run = Seconds{30};
    pool.memory.ready_since = kNow - Seconds{50};
    pool.memory.restart_took = Seconds{dice.Roll(5) * 100};
  }
  for (const char* name : {"chat", "code"}) {
    const int per = dice.Pick<int>({1, 2, 3});
    std::vector<std::string> on;
    for (int r = dice.Roll(6); r > 0; --r) {
      const auto node = static_cast<size_t>(dice.Roll(nodes));
      if (free[node] < per) continue;
      free[node] -= per;
      on.push_back("home-" + std::to_string(node + 1));
    }
    if (on.empty()) continue;
    const int replicas = static_cast<int>(on.size());
    InferencePool pool = Chat(replicas, name);
    pool.variants[0].per_replica = per;
    pool.variants[0].startup = Seconds{(dice.Roll(5) + 1) * 50};
    pool.variants[0].min_replicas = dice.Roll(replicas + 1);
    if (dice.OneIn(3)) pool.memory.evictions = {{.time = kNow - Seconds{60}, .cause = "before"}};
    Runs(world, pool, "gpu", "home", replicas, replicas, on);
    world.inference_pools.push_back(pool);
  }
  world.pools.push_back(Asks("high", "team", 10, dice.Roll(2) + 1, dice.Pick<int>({2, 4, 8})));
  if (dice.OneIn(2)) world.quotas = {Guarantee("serving", dice.Roll(8))};
  return world;
}

struct Victim {
  std::string gang;  // or
  ReplicaKey replica;
  int64_t cost = 0;
};

std::vector<Victim> Victims(const Snapshot& world) {
  std::vector<Victim> victims;
  for (const TrainingPool& pool : world.pools) {
    if (!pool.memory.placement) continue;
    victims.push_back({.gang = pool.key.name,
                       .replica = {},
                       .cost = pool.per_worker * pool.memory.restart_took->count()});
  }
  for (const InferencePool& pool : world.inference_pools) {
    const auto& variant = pool.variants[0];
    for (const auto& replica : pool.live) {
      victims.push_back({.gang = "",
                         .replica = {.pool = pool.key, .pod = replica.pod},
                         .cost = int64_t{variant.per_replica} * variant.startup.count() *
                                 (1 + static_cast<int64_t>(pool.memory.evictions.size()))});
    }
  }
  return victims;
}

// What the pools of namespace `serving` have within its guarantee, in their order: by name.
bool MaySpare(const Snapshot& world, const std::vector<Victim>& gone) {
  int64_t left = world.quotas.empty() ? 0 : world.quotas[0].limits[0].guaranteed;
  for (const InferencePool& pool : world.inference_pools) {
    const auto& variant = pool.variants[0];
    const auto has = static_cast<int64_t>(pool.live.size());
    const auto goes = std::count_if(gone.begin(), gone.end(), [&](const Victim& victim) {
      return victim.replica.pool == pool.key;
    });
    const bool fits = has * variant.per_replica <= left;
    const int64_t covered = fits ? has : left / variant.per_replica;
    if (goes > 0 && has - goes < std::max<int64_t>(covered, variant.min_replicas)) return false;
    left = fits ? left - has * variant.per_replica : 0;
  }
  return true;
}

bool FitsWithout(Snapshot world, const std::vector<Victim>& gone) {
  std::set<std::string> gangs;
  std::set<ReplicaKey> replicas;
  for (const Victim& victim : gone) {
    if (victim.gang.empty()) {
      replicas.insert(victim.replica);
    } else {
      gangs.insert(victim.gang);
    }
  }
  for (const TrainingPool& pool : world.pools) {
    if (!gangs.contains(pool.key.name)) continue;
    for (const auto& worker : pool.workers)
      NodeOf(world, worker.node).used.Subtract(worker.requests);
  }
  std::erase_if(world.pools, [&](const TrainingPool& p) { return gangs.contains(p.key.name); });
  for (InferencePool& pool : world.inference_pools) {
    std::erase_if(pool.live, [&](const placement::Replica& replica) {
      if (!replicas.contains({.pool = pool.key, .pod = replica.pod})) return false;
      NodeOf(world, replica.node).used.Subtract(replica.requests);
      return true;
    });
    const auto left = static_cast<int>(pool.live.size());
    pool.replicas = left;
    pool.memory.units = pool.memory.requested = left;
    pool.memory.cells[0].desired = pool.cells[0].replicas = left;
    pool.variants[0].min_replicas = 0;
  }
  PoolOf(world, "high").preempts = Preempts::kNever;
  return DecisionOf(MakePlan(world), "high").placed;
}

TEST(EveryReplicaVictim, IsOfTheCheapestSufficientSet) {
  constexpr uint32_t kWorlds = Seeds(3000U);
  int asked = 0;
  int hopeless = 0;
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    const Snapshot world = Small(seed);
    const std::vector<Victim> victims = Victims(world);
    if (victims.size() > 12) continue;
    const Plan plan = Checked(world);
    std::optional<int64_t> cheapest;
    for (uint32_t mask = 0; mask < (1U << victims.size()); ++mask) {
      std::vector<Victim> gone;
      int64_t cost = 0;
      for (size_t v = 0; v < victims.size(); ++v) {
        if ((mask >> v & 1U) == 0) continue;
        gone.push_back(victims[v]);
        cost += victims[v].cost;
      }
      if (cheapest && cost >= *cheapest) continue;
      if (MaySpare(world, gone) && FitsWithout(world, gone)) cheapest = cost;
    }
    const auto& high = DecisionOf(plan, "high");
    int64_t paid = 0;
    const auto& hold = high.memory.hold;
    for (const Victim& victim : victims) {
      if (!hold) break;
      const auto gang = [&](const auto& key) { return key.name == victim.gang; };
      const bool goes = std::ranges::any_of(hold->victims, gang) ||
                        std::ranges::count(hold->replicas, victim.replica) > 0;
      if (goes) paid += victim.cost;
    }
    ASSERT_EQ(cheapest.has_value(), high.placed || hold.has_value())
        << "seed " << seed << "\n"
        << WriteSnapshot(world) << FormatPlan(plan, true);
    if (cheapest) {
      ASSERT_EQ(paid, *cheapest) << "seed " << seed << "\n"
                                 << WriteSnapshot(world) << FormatPlan(plan, true);
    }
    asked += hold && !hold->replicas.empty() ? 1 : 0;
    hopeless += cheapest ? 0 : 1;
  }
  EXPECT_GT(asked, Seeds(200));
  EXPECT_GT(hopeless, Seeds(200));
}

}  // namespace
}  // namespace spillway::tests
