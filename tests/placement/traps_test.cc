// Small worlds that could loop, thrash or starve somebody: each is played, pass by pass, until
// nothing changes any more.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "elastic_groups.h"
#include "passes.h"
#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Admission;
using placement::Applied;
using placement::InferencePool;
using placement::Plan;
using placement::Preemptible;
using placement::Preference;
using placement::Replica;
using placement::TopologyMode;
using testing::ElementsAre;
using testing::IsEmpty;

// ---- the player ----

// Nothing has changed for so long when a world is at rest: longer than an eviction is remembered,
// and than any wait here.
constexpr Seconds kRest{3 * 86400};
constexpr Seconds kLongest{1800};  // between two passes
constexpr Seconds kStop{30};       // from being told to stop until the pods are gone
constexpr int kMostPasses = 2000;

bool IsOld(const TrainingPool& pool, const placement::Worker& worker) {
  return !pool.memory.placement || worker.attempt != pool.memory.placement->attempt;
}

bool HasOldPods(const Snapshot& world) {
  return std::any_of(world.pools.begin(), world.pools.end(),
                     [](const TrainingPool& pool) {
                       return std::any_of(pool.workers.begin(), pool.workers.end(),
                                          [&](const auto& one) { return IsOld(pool, one); });
                     }) ||
         std::any_of(world.inference_pools.begin(), world.inference_pools.end(),
                     [](const InferencePool& pool) {
                       return std::any_of(pool.live.begin(), pool.live.end(),
                                          [](const Replica& one) { return one.terminating; });
                     });
}

void RemoveOldPods(Snapshot& world) {
  for (TrainingPool& pool : world.pools) {
    for (const placement::Worker& worker : pool.workers) {
      if (IsOld(pool, worker)) NodeOf(world, worker.node).used.Subtract(worker.requests);
    }
    std::erase_if(pool.workers, [&](const auto& worker) { return IsOld(pool, worker); });
  }
  for (InferencePool& pool : world.inference_pools) {
    for (const Replica& replica : pool.live) {
      if (replica.terminating) NodeOf(world, replica.node).used.Subtract(replica.requests);
    }
    std::erase_if(pool.live, [](const Replica& replica) { return replica.terminating; });
  }
}

// On the first node of the group that has room; without a node where none has.
void Bind(Snapshot& world, Replica& replica) {
  for (placement::Node& node : world.nodes) {
    Resources free = node.allocatable;
    free.Subtract(node.used);
    if (node.labels.find("group")->second != replica.node_group || !free.Covers(replica.requests))
      continue;
    replica.node = node.id.name;
    replica.ready = true;
    node.used.Add(replica.requests);
    return;
  }
}

bool IsOf(const placement::CellFacts& cell, const Replica& replica) {
  return replica.variant == cell.variant && replica.node_group == cell.node_group;
}

// Of a cell with more replicas than its Deployment asks for, those that are not ready go first.
void StopReplicas(InferencePool& pool) {
  std::stable_partition(pool.live.begin(), pool.live.end(),
                        [](const Replica& replica) { return replica.ready; });
  for (Replica& replica : pool.live) {
    const auto is_its = [&](const placement::CellFacts& cell) { return IsOf(cell, replica); };
    if (std::none_of(pool.cells.begin(), pool.cells.end(), is_its)) replica.terminating = true;
  }
  for (const placement::CellFacts& cell : pool.cells) {
    int live = 0;
    for (Replica& replica : pool.live) {
      if (IsOf(cell, replica) && !replica.terminating) replica.terminating = ++live > cell.replicas;
    }
  }
}

// The cell gets as many replicas as its Deployment asks for and its nodes have room for.
void StartReplicas(Snapshot& world, InferencePool& pool, const placement::CellFacts& cell) {
  const auto live = std::count_if(pool.live.begin(), pool.live.end(),
                                  [&](const Replica& replica) { return IsOf(cell, replica); });
  for (auto count = live; count < cell.replicas; ++count) {
    Replica replica;
    replica.pod = fmt::format("{}-{}-{}", pool.key.name, world.now.time_since_epoch().count(),
                              pool.live.size());
    replica.variant = cell.variant;
    replica.node_group = cell.node_group;
    replica.requests = pool.variants.front().requests;
    replica.requests.Set(kGpu, pool.variants.front().per_replica);
    replica.since = world.now;
    replica.revision = cell.revision;
    Bind(world, replica);
    if (!replica.node.empty()) pool.live.push_back(replica);
  }
}

void StartPods(Snapshot& world) {
  for (TrainingPool& pool : world.pools) {
    if (pool.memory.placement && pool.attempt.exists && pool.workers.empty()) {
      AddWorkers(world, pool);
    }
  }
  for (InferencePool& pool : world.inference_pools) {
    for (const placement::CellFacts& cell : pool.cells) StartReplicas(world, pool, cell);
  }
}

// What was decided of any pool or group, beside what it only remembers.
bool Changes(const Snapshot& world, const Plan& plan) {
  const Snapshot after = Applied(world, plan);
  for (size_t p = 0; p < world.pools.size(); ++p) {
    const placement::PoolMemory& a = world.pools[p].memory;
    const placement::PoolMemory& b = after.pools[p].memory;
    if (a.placement != b.placement || a.hold != b.hold || a.ask != b.ask) return true;
    if (a.completed != b.completed) return true;
  }
  for (size_t p = 0; p < world.inference_pools.size(); ++p) {
    const placement::InferenceMemory& a = world.inference_pools[p].memory;
    const placement::InferenceMemory& b = after.inference_pools[p].memory;
    if (a.cells != b.cells || a.claim != b.claim || a.asks != b.asks) return true;
  }
  for (size_t g = 0; g < world.groups.size(); ++g) {
    if (world.groups[g].memory.desired != after.groups[g].memory.desired) return true;
  }
  return false;
}

struct Outcome {
  int changes = 0;  // passes that changed anything
  Time last{};      // of the last of them
  std::map<std::string, int> evictions;
  std::vector<std::string> rest;  // who runs where in the end: gangs, then "chat: 4 gpu@home"
  Snapshot world;

  [[nodiscard]] std::vector<std::string> Evicted() const {
    std::vector<std::string> out;
    out.reserve(evictions.size());
    for (const auto& [name, count] : evictions) out.push_back(fmt::format("{} {}", name, count));
    return out;
  }
};

void Count(Time now, const Plan& plan, Outcome& outcome) {
  const auto count = [&](const auto& decisions) {
    for (const auto& decision : decisions) {
      for (const auto& eviction : decision.memory.evictions) {
        if (eviction.time == now) ++outcome.evictions[decision.key.name];
      }
    }
  };
  count(plan.pools);
  count(plan.inference_pools);
}

// What happens from outside before a pass.
using Event = std::function<void(Snapshot& world)>;

// Plays the world: pods that are told to stop are there for one more pass, new ones run at once,
// and time goes on to where the plan asks to be woken, half an hour at the most.
Outcome Played(Snapshot world, const Event& event = {}) {
  Outcome outcome;
  outcome.last = world.now;
  bool leaving = false;
  for (int pass = 0; pass < kMostPasses && world.now - outcome.last < kRest; ++pass) {
    if (event) event(world);
    const Plan plan = Checked(world);
    Count(world.now, plan, outcome);
    if (Changes(world, plan)) {
      ++outcome.changes;
      outcome.last = world.now;
    }
    Snapshot next = Applied(world, plan);
    for (InferencePool& pool : next.inference_pools) StopReplicas(pool);
    const bool has_old = HasOldPods(next);
    if (!has_old || leaving) {
      RemoveOldPods(next);
      StartPods(next);
      next.now = std::min(plan.next_wake.value_or(world.now + kLongest), world.now + kLongest);
      if (leaving) next.now = std::min(next.now, world.now + kStop);
      leaving = false;
    } else {
      next.now = world.now + Seconds{1};
      leaving = true;
    }
    world = std::move(next);
  }
  EXPECT_GE(world.now - outcome.last, kRest) << "it does not come to rest\n"
                                             << FormatPlan(Checked(world), true);
  const Plan plan = Checked(world);
  outcome.rest = Brief(plan);
  for (const auto& decision : plan.inference_pools) {
    outcome.rest.push_back(decision.key.name + ": " + Mix(decision));
  }
  outcome.world = std::move(world);
  return outcome;
}

// ---- the pools ----

TrainingPool& Old(Snapshot& world, const std::string& name, const std::string& ns, int64_t priority,
                  const std::vector<std::string>& nodes, const std::string& group = "home") {
  TrainingPool& pool = AddOld(world, name, priority, nodes, group);
  pool.key.ns = ns;
  return pool;
}

TrainingPool& New(Snapshot& world, const std::string& name, const std::string& ns, int64_t priority,
                  int workers) {
  TrainingPool pool = Wants(name, workers);
  pool.key.ns = ns;
  pool.priority = priority;
  pool.preemptible = Preemptible::kAlways;
  pool.memory.queued_since = pool.memory.waiting_since = world.now - Seconds{60};
  return world.pools.emplace_back(std::move(pool));
}

// Once, as soon as it is that late.
Event Once(int seconds, Event event) {
  return [seconds, event = std::move(event), done = false](Snapshot& world) mutable {
    if (done || world.now < kNow + Seconds{seconds}) return;
    done = true;
    event(world);
  };
}

void Remove(Snapshot& world, const std::string& name) {
  const TrainingPool& gone = PoolOf(world, name);
  for (const placement::Worker& worker : gone.workers) {
    NodeOf(world, worker.node).used.Subtract(worker.requests);
  }
  std::erase_if(world.pools, [&](const TrainingPool& pool) { return pool.key.name == name; });
}

// A gang of one node that comes before all others is there every other hour, and may not spill.
Event EveryOtherHour(int64_t hours) {
  return [hours](Snapshot& world) {
    const int64_t hour = (world.now - kNow).count() / 3600;
    const bool is_there = std::any_of(world.pools.begin(), world.pools.end(),
                                      [](const auto& pool) { return pool.key.name == "high"; });
    if (hour < hours && hour % 2 == 0 && !is_there) {
      New(world, "high", "team", 10, 1).spill_allowed = false;
    }
    if (hour % 2 == 1 && is_there) Remove(world, "high");
  };
}

void ExpectRest(const Outcome& outcome, int changes,
                const testing::Matcher<std::vector<std::string>>& evicted,
                const testing::Matcher<std::vector<std::string>>& rest) {
  EXPECT_LE(outcome.changes, changes);
  EXPECT_THAT(outcome.Evicted(), evicted);
  EXPECT_THAT(outcome.rest, rest);
}

// ---- guarantees, priorities and shares ----

// Rules 1 and 6: who asks for what it is guaranteed takes home back, whatever the priorities, and
// whoever borrows waits.
TEST(Trap, TheGuaranteedOfLowPriorityAndTheBorrowerOfHighPriority) {
  Snapshot world = Fleet(8);
  world.quotas = {Guarantee("a", 64)};
  Old(world, "b1", "b", 100, {"home-1", "home-2", "home-3", "home-4"});
  Old(world, "b2", "b", 100, {"home-5", "home-6", "home-7", "home-8"});
  New(world, "a1", "a", 10, 4);
  const Outcome outcome = Played(world, Once(3600, [](Snapshot& w) { New(w, "a2", "a", 10, 4); }));
  ExpectRest(outcome, 6, ElementsAre("b1 1", "b2 1"),
             ElementsAre("a1@home[home-1 home-2 home-3 home-4]#1",
                         "a2@home[home-5 home-6 home-7 home-8]#1", "b1!WaitingForCapacity",
                         "b2!WaitingForCapacity"));
}

// Rule 1: shares pick who is next, and evict nobody: the one that has borrowed less gets what
// becomes free, and then they have the same.
TEST(Trap, TwoBorrowersOfEqualWeightThatCouldTakeTurns) {
  Snapshot world = Fleet(4);
  world.quotas = {Guarantee("a", 0), Guarantee("b", 0)};
  for (const char* name : {"a1", "a2", "a3", "a4"}) {
    Old(world, name, "a", 0, {"home-" + std::string(name + 1)});
  }
  for (const char* name : {"b1", "b2", "b3"}) New(world, name, "b", 0, 1);
  New(world, "a5", "a", 0, 1);
  const Outcome outcome = Played(
      world, [first = Once(3600, [](Snapshot& w) { Remove(w, "a1"); }),
              second = Once(9000, [](Snapshot& w) { Remove(w, "a2"); })](Snapshot& w) mutable {
        first(w);
        second(w);
      });
  ExpectRest(outcome, 2, IsEmpty(),
             ElementsAre("a3@home[home-3]#1", "a4@home[home-4]#1", "a5!WaitingForCapacity",
                         "b1@home[home-1]#1", "b2@home[home-2]#1", "b3!WaitingForCapacity"));
}

// Rule 6: across namespaces only borrowers give way, and where more is guaranteed than there is,
// nobody borrows.
TEST(Trap, TwoNamespacesThatAreBothGuaranteedAllThereIs) {
  Snapshot world = Fleet(4);
  world.quotas = {Guarantee("a", 32), Guarantee("b", 32)};
  Old(world, "a1", "a", 0, {"home-1", "home-2", "home-3"});
  New(world, "b1", "b", 100, 2);
  New(world, "a2", "a", 0, 2);
  New(world, "b2", "b", 0, 1);
  ExpectRest(Played(world), 1, IsEmpty(),
             ElementsAre("a1@home[home-1 home-2 home-3]#1", "a2!WaitingForCapacity",
                         "b1!WaitingForCapacity", "b2@home[home-4]#1"));
}

// Rule 1: what is guaranteed counts for its own type; what the gang had of another it borrows.
TEST(Trap, AGuaranteeOfOneTypeForAGangThatWouldRatherHaveAnother) {
  Snapshot world = Fleet(1);
  world.groups.push_back(Group("fast"));
  GroupOf(world, "fast").accelerator = "h100";
  AddNodes(world, "fast", 1);
  world.quotas = {Guarantee("a", 8)};
  Old(world, "b-slow", "b", 50, {"home-1"});
  Old(world, "b-fast", "b", 50, {"fast-1"}, "fast").memory.placement->accelerator = "h100";
  New(world, "a1", "a", 0, 1);
  for (TrainingPool& pool : world.pools) {
    pool.accelerators = {{.type = "h100", .workers = 1}, {.type = "a100", .workers = 1}};
  }
  ExpectRest(
      Played(world), 3, ElementsAre("b-slow 1"),
      ElementsAre("a1@home[home-1]#1", "b-fast@fast[fast-1]#1", "b-slow!WaitingForCapacity"));
}

// Rule 5: nobody goes for a gang that fits somewhere at home as it is, though it would rather be
// where the others are.
TEST(Trap, ABorrowerWhereHomeHasOtherRoom) {
  Snapshot world = Fleet(2);
  world.groups.push_back(Group("second"));
  GroupOf(world, "second").marginal_per_node_hour = Dollars("0.50");
  AddNodes(world, "second", 2);
  world.quotas = {Guarantee("a", 16)};
  Old(world, "b1", "b", 50, {"home-1", "home-2"});
  New(world, "a1", "a", 0, 2);
  ExpectRest(Played(world), 1, IsEmpty(),
             ElementsAre("a1@second[second-1 second-2]#1", "b1@home[home-1 home-2]#1"));
  // Likewise where it is guaranteed both of the types that it takes.
  GroupOf(world, "second").accelerator = "h100";
  world.quotas[0].limits.push_back({.type = "h100", .limit = 16, .guaranteed = 16});
  PoolOf(world, "a1").accelerators.push_back({.type = "h100", .workers = 2});
  ExpectRest(Played(world), 1, IsEmpty(),
             ElementsAre("a1@second[second-1 second-2]#1", "b1@home[home-1 home-2]#1"));
}

// Rule 5: a claim on borrowers ends when home has room elsewhere, and the borrowers stay.
TEST(Trap, ABorrowerThatIsToGoWhenHomeGetsOtherRoom) {
  Snapshot world = Fleet(2);
  world.groups.push_back(Group("second"));
  GroupOf(world, "second").marginal_per_node_hour = Dollars("0.50");
  AddNodes(world, "second", 2);
  world.quotas = {Guarantee("a", 16)};
  Old(world, "b1", "b", 50, {"home-1", "home-2"});
  Old(world, "b2", "b", 100, {"second-1", "second-2"}, "second");
  for (const char* name : {"b1", "b2"}) {
    PoolOf(world, name).preemptible = placement::Preemptible::kAtCheckpoint;
    PoolOf(world, name).checkpoint_interval = Seconds{7200};
  }
  New(world, "a1", "a", 0, 2);
  int64_t pass = 0;
  const Outcome outcome = Played(world, [&](Snapshot& w) {
    if (++pass != 2) return;
    ASSERT_TRUE(PoolOf(w, "a1").memory.hold);
    EXPECT_THAT(PoolOf(w, "a1").memory.hold->victims, testing::SizeIs(1));
    Remove(w, PoolOf(w, "a1").memory.hold->victims.front().name == "b1" ? "b2" : "b1");
  });
  EXPECT_THAT(outcome.Evicted(), IsEmpty());
  EXPECT_GT(pass, 2);
}

// Rule 6: lowering a limit kills nothing, and what it let in stays.
TEST(Trap, ALimitThatIsRaisedAndLoweredBetweenPasses) {
  Snapshot world = Fleet(2);
  world.quotas = {Guarantee("team", 0, 8)};
  Old(world, "a", "team", 0, {"home-1"});
  New(world, "b", "team", 0, 1);
  int64_t pass = 0;
  const Outcome outcome = Played(world, [&](Snapshot& w) {
    if (++pass < 50) w.quotas[0].limits[0].limit = pass % 2 == 0 ? 16 : 8;
  });
  ExpectRest(outcome, 1, IsEmpty(), ElementsAre("a@home[home-1]#1", "b@home[home-2]#1"));
}

// Rules 1 and 6: what rests on a guarantee ends with it, and a claim by priority on who has not run
// for minRunSeconds yet ends when the guarantee is back: one goes, once.
TEST(Trap, AGuaranteeThatComesAndGoes) {
  Snapshot world = Fleet(2);
  world.quotas = {Guarantee("a", 16)};
  Old(world, "b1", "b", 100, {"home-1", "home-2"});
  New(world, "a1", "a", 10, 2);
  int64_t pass = 0;
  const Outcome outcome = Played(world, [&](Snapshot& w) {
    if (++pass < 40) w.quotas[0].limits[0].guaranteed = pass % 2 == 0 ? 0 : 16;
  });
  ExpectRest(outcome, 41, ElementsAre("b1 1"),
             ElementsAre("a1@home[home-1 home-2]#1", "b1!WaitingForCapacity"));
}

// ---- preemption ----

// Rule 6: victims have strictly later keys, whichever of their types they are at.
TEST(Trap, GangsThatPushEachOtherFromTypeToType) {
  Snapshot world = Fleet(1);
  world.groups.push_back(Group("fast"));
  GroupOf(world, "fast").accelerator = "h100";
  AddNodes(world, "fast", 1);
  const std::vector<placement::AcceptedAccelerator> slow_first = {{.type = "a100", .workers = 1},
                                                                  {.type = "h100", .workers = 1}};
  const std::vector<placement::AcceptedAccelerator> fast_first = {slow_first[1], slow_first[0]};
  Old(world, "p", "team", 5, {"home-1"}).accelerators = fast_first;
  TrainingPool& q = Old(world, "q", "team", 4, {"fast-1"}, "fast");
  q.accelerators = slow_first;
  q.memory.placement->accelerator = "h100";
  New(world, "r", "team", 10, 1);
  ExpectRest(Played(world), 4, ElementsAre("p 1", "q 1"),
             ElementsAre("p@fast[fast-1]#2", "q!WaitingForCapacity", "r@home[home-1]#1"));
}

// Rule 6: who has gone for a guarantee takes by its priority what another borrows, and that is the
// last to go.
TEST(Trap, AReclaimThatSetsOffAPreemption) {
  Snapshot world = Fleet(1);
  world.groups.push_back(Group("barn"));
  GroupOf(world, "barn").provider = placement::Provider::kGcp;
  AddNodes(world, "barn", 1);
  world.quotas = {Guarantee("a", 8), Guarantee("b", 0), Guarantee("c", 0)};
  Old(world, "b1", "b", 100, {"home-1"});
  Old(world, "c1", "c", 50, {"barn-1"}, "barn");
  New(world, "a1", "a", 0, 1).providers = {placement::Provider::kOnPrem};
  ExpectRest(Played(world), 4, ElementsAre("b1 1", "c1 1"),
             ElementsAre("a1@home[home-1]#1", "b1@barn[barn-1]#2", "c1!WaitingForCapacity"));
}

// Rules 4 and 6: nobody goes for a gang that would not fit in one domain then either.
TEST(Trap, AGangThatWouldNotFitInOneDomainWhoeverWent) {
  Snapshot world = Fleet(0);
  AddNodes(world, "home", 1, 8, "d1");
  AddNodes(world, "home", 1, 8, "d2");
  Old(world, "low-1", "team", 0, {"home-1"});
  Old(world, "low-2", "team", 0, {"home-2"});
  New(world, "high", "team", 10, 2).topology = TopologyMode::kRequired;
  ExpectRest(Played(world), 0, IsEmpty(),
             ElementsAre("high!WaitingForDomain", "low-1@home[home-1]#1", "low-2@home[home-2]#1"));
}

// Rule 6: a claim stays with its victims, though others become cheaper while it waits for their
// checkpoints.
TEST(Trap, TwoVictimsEachOfWhichIsTheCheaperOneInTurn) {
  Snapshot world = Fleet(2);
  for (const char* name : {"low-1", "low-2"}) {
    TrainingPool& low = Old(world, name, "team", 0, {"home-" + std::string(name + 4)});
    low.preemptible = Preemptible::kAtCheckpoint;
    low.checkpoint_interval = Seconds{3600 * 10};
  }
  New(world, "high", "team", 10, 1);
  int pass = 0;
  const Outcome outcome = Played(world, [&](Snapshot& w) {
    const char* saves = ++pass % 2 == 0 ? "low-1" : "low-2";
    if (pass < 50) PoolOf(w, saves).memory.restart_took = Seconds{60 * pass};
  });
  ExpectRest(
      outcome, 3, ElementsAre("low-2 1"),
      ElementsAre("high@home[home-2]#1", "low-1@home[home-1]#1", "low-2!WaitingForCapacity"));
}

// Rule 6: who wants nothing any more has no claim, and nobody goes for it meanwhile.
TEST(Trap, AClaimantThatIsSuspendedAndResumed) {
  Snapshot world = Fleet(1);
  TrainingPool& low = Old(world, "low", "team", 0, {"home-1"});
  low.preemptible = Preemptible::kAtCheckpoint;
  low.checkpoint_interval = Seconds{1000};
  New(world, "high", "team", 10, 1);
  int pass = 0;
  const Outcome outcome = Played(world, [&](Snapshot& w) {
    if (++pass <= 41) PoolOf(w, "high").suspended = pass % 2 == 0;
  });
  ExpectRest(outcome, 43, ElementsAre("low 1"),
             ElementsAre("high@home[home-1]#1", "low!WaitingForCapacity"));
}

// Rule 6: a spend cap is a resource that the higher takes of the lower, once.
TEST(Trap, MoneyThatIsFreeAgainAfterEachPreemption) {
  Snapshot world = Fleet(0, 3);
  world.quotas = {Guarantee("team", 0)};
  world.quotas[0].max_hourly_cost = Dollars("32");
  Old(world, "p0", "team", 0, {"azure-1"}, "azure");
  for (int p = 1; p <= 3; ++p) New(world, "p" + std::to_string(p), "team", p, 1);
  ExpectRest(Played(world), 2, ElementsAre("p0 1"),
             ElementsAre("p0!SpendLimitReached", "p1!SpendLimitReached", "p2!SpendLimitReached",
                         "p3@azure[azure-2]#1"));
}

// ---- home and elsewhere ----

// Rule 9: it returns where home has had room for it for afterSeconds on end, and not where there is
// one accelerator too few in between.
TEST(Trap, AHomeThatIsJustTooSmallByTurns) {
  Snapshot world = Fleet(2, 2);
  Old(world, "far", "team", 0, {"azure-1", "azure-2"}, "azure");
  int pass = 0;
  const Outcome outcome = Played(world, [&](Snapshot& w) {
    if (++pass <= 40) NodeOf(w, "home-1").used.Set(kGpu, pass % 2);
    if (pass == 40) {
      EXPECT_EQ(PoolOf(w, "far").memory.attempts, 1);
    }
  });
  ExpectRest(outcome, 3, IsEmpty(), ElementsAre("far@home[home-1 home-2]#2"));
}

// Rule 9: a return makes nobody go, whatever the priorities.
TEST(Trap, AHomeThatOnlyLowerOnesStandInTheWayOf) {
  Snapshot world = Fleet(2, 2);
  Old(world, "far", "team", 10, {"azure-1", "azure-2"}, "azure");
  Old(world, "low", "team", 0, {"home-2"});
  ExpectRest(Played(world), 0, IsEmpty(),
             ElementsAre("far@azure[azure-1 azure-2]#1", "low@home[home-2]#1"));
}

// Rule 9: evicted within 24 h of a return, its dwell doubles: it follows a home that is taken and
// free by turns less and less often.
TEST(Trap, AGangThatIsMadeToGoAfterEachReturn) {
  Snapshot world = Fleet(1, 1);
  Old(world, "low", "team", 0, {"home-1"}).spill_after = Seconds{600};
  const Outcome outcome = Played(world, EveryOtherHour(48));
  ExpectRest(outcome, 58, ElementsAre("low 3"), ElementsAre("low@home[home-1]#7"));
}

// Rules 5 and 9: it spills when its hold-back is over, and returns once.
TEST(Trap, AHoldBackThatEndsBeforeHomeIsFree) {
  Snapshot world = Fleet(1, 1);
  Old(world, "old", "team", 0, {"home-1"}).active_deadline = Seconds{7200 + 5000};
  New(world, "next", "team", 0, 1).spill_after = Seconds{600};
  ExpectRest(Played(world), 4, IsEmpty(),
             ElementsAre("next@home[home-1]#2", "old!DeadlineExceeded"));
}

// Rules 5 and 7: the first starts at home when home is free, and does not spill; the other does
// when its hold-back is over, and stays there.
TEST(Trap, AHoldBackThatIsLongerThanTheDeadlineOfWhoRuns) {
  Snapshot world = Fleet(1, 1);
  Old(world, "old", "team", 0, {"home-1"}).active_deadline = Seconds{7200 + 5000};
  New(world, "next", "team", 0, 1).spill_after = Seconds{86400};
  New(world, "last", "team", 0, 1).spill_after = Seconds{86400};
  ExpectRest(Played(world), 3, IsEmpty(),
             ElementsAre("last@home[home-1]#1", "next@azure[azure-1]#1", "old!DeadlineExceeded"));
}

// Rule 2: of two groups that are drained, neither takes who leaves the other.
TEST(Trap, TwoGroupsThatAreDrainedAtOnceWithRoomForOneGang) {
  Snapshot world = Fleet(2, 2);
  world.groups.push_back(Group("aws", 10));
  AddNodes(world, "aws", 2);
  Old(world, "a", "team", 0, {"azure-1", "azure-2"}, "azure");
  Old(world, "b", "team", 0, {"aws-1", "aws-2"}, "aws");
  GroupOf(world, "azure").admission = Admission::kDrain;
  GroupOf(world, "aws").admission = Admission::kDrain;
  ExpectRest(Played(world), 2, IsEmpty(),
             ElementsAre("a@home[home-1 home-2]#2", "b@aws[aws-1 aws-2]#1"));
}

// Rules 2 and 9: it goes each time that home is drained, and comes back.
TEST(Trap, AHomeThatIsDrainedAndOpenedByTurns) {
  Snapshot world = Fleet(1, 1);
  Old(world, "p", "team", 0, {"home-1"}).return_after = Seconds{600};
  const Outcome outcome = Played(world, [&](Snapshot& w) {
    const int64_t hours = (w.now - kNow).count() / 3600;
    GroupOf(w, "home").admission =
        hours < 24 && hours % 4 < 2 ? Admission::kDrain : Admission::kOpen;
  });
  ExpectRest(outcome, 24, IsEmpty(), ElementsAre("p@home[home-1]#13"));
}

// Rule 9: a move that saves nothing is none.
TEST(Trap, TwoCloudsOfEqualPrice) {
  Snapshot world = Fleet(0, 2);
  world.groups.push_back(Group("aws", 10));
  AddNodes(world, "aws", 2);
  Old(world, "p", "team", 0, {"azure-1"}, "azure").preference = Preference::kPrice;
  Old(world, "q", "team", 0, {"aws-1"}, "aws").preference = Preference::kPrice;
  InferencePool chat = Chat(4);
  chat.preference = Preference::kPrice;
  Runs(world, chat, "gpu", "azure", 2, 2, {"azure-2"}, 10);
  Runs(world, chat, "gpu", "aws", 2, 2, {"aws-2"}, 10);
  world.inference_pools.push_back(chat);
  ExpectRest(Played(world), 1, IsEmpty(),
             ElementsAre("p@azure[azure-1]#1", "q@aws[aws-1]#1", "chat: 2 gpu@aws, 2 gpu@azure"));
}

// ---- elastic gangs, elastic groups, lost nodes ----

// Rule 5: it shrinks for the one that comes first, and does not grow into its room.
TEST(Trap, AnElasticGangAndOneThatWaits) {
  Snapshot world = Fleet(4);
  TrainingPool& p = Old(world, "p", "team", 0, {"home-1", "home-2", "home-3", "home-4"});
  p.accelerators[0].min_workers = 2;
  New(world, "high", "team", 10, 2);
  New(world, "low", "team", 0, 1);
  ExpectRest(Played(world), 3, ElementsAre("p 1"),
             ElementsAre("high@home[home-1 home-2]#1", "low!WaitingForCapacity",
                         "p@home[home-3 home-4]#2"));
}

// Rules 5 and 9: it shrinks for each that comes, and its dwell doubles each time, so that it grows
// less and less often.
TEST(Trap, AnElasticGangWhoseRoomIsTakenByTurns) {
  Snapshot world = Fleet(2);
  Old(world, "p", "team", 0, {"home-1", "home-2"}).accelerators[0].min_workers = 1;
  const Outcome outcome = Played(world, EveryOtherHour(48));
  ExpectRest(outcome, 58, ElementsAre("p 3"), ElementsAre("p@home[home-1 home-2]#7"));
}

// Rule 5: only who comes first makes a gang shrink; growth is for what is left.
TEST(Trap, TwoElasticGangsThatCouldBothGrow) {
  Snapshot world = Fleet(6);
  for (const auto& [name, nodes] : std::map<std::string, std::vector<std::string>>{
           {"p", {"home-1", "home-2"}}, {"q", {"home-3", "home-4"}}}) {
    TrainingPool& pool = Old(world, name, "team", 0, nodes);
    pool.accelerators[0] = {.type = "a100", .workers = 4, .min_workers = 2};
  }
  ExpectRest(Played(world), 2, IsEmpty(),
             ElementsAre("p@home[home-1 home-2 home-5 home-6]#2", "q@home[home-3 home-4]#1"));
}

// Rule 10: each stock-out makes the next try later, and the next group is asked at once.
TEST(Trap, TwoGroupsThatAreOutOfStockByTurns) {
  Snapshot world = Fleet(0, 0);
  world.groups = {Group("near", 10), Group("far", 20)};
  MakeElastic(world, "near", 4);
  MakeElastic(world, "far", 4);
  New(world, "p", "team", 0, 2);
  int nodes = 0;
  const Outcome outcome = Played(world, [&](Snapshot& w) {
    NodeGroup& far = GroupOf(w, "far");
    const bool in_stock = w.now > kNow + Seconds{6 * 3600};
    if (!in_stock || far.memory.desired.value_or(0) <= nodes) return;
    AddNodes(w, "far", 1);
    ++nodes;
  });
  ExpectRest(outcome, 21, IsEmpty(), ElementsAre("p@far[far-1 far-2]#1"));
  Snapshot after = outcome.world;
  EXPECT_EQ(GroupOf(after, "near").memory.desired, 0);
}

// Rule 7: while a node is not ready for a moment that it could not do without, what is reserved for
// the first in the queue stays so: nobody starts before it who would end after those it waits for.
TEST(Trap, AReservationWhereANodeComesAndGoes) {
  Snapshot world = Fleet(4);
  world.groups.pop_back();
  for (const char* node : {"home-1", "home-2", "home-3"}) {
    Old(world, "old-" + std::string(node + 5), "team", 0, {node}).active_deadline =
        Seconds{7200 + 3000};
  }
  New(world, "big", "team", 0, 4);
  TrainingPool& small = New(world, "small", "team", 0, 1);
  small.memory.queued_since = kNow - Seconds{30};
  small.active_deadline = Seconds{6000};
  int pass = 0;
  const Outcome outcome = Played(world, [&](Snapshot& w) {
    placement::Node& node = NodeOf(w, "home-1");
    ++pass;
    node.ready = pass > 20 || pass % 2 == 1;
    node.not_ready_since.reset();
    if (!node.ready) node.not_ready_since = w.now;
  });
  ExpectRest(
      outcome, 6, IsEmpty(),
      ElementsAre("big@home[home-1 home-2 home-3 home-4]#1", "old-1!DeadlineExceeded",
                  "old-2!DeadlineExceeded", "old-3!DeadlineExceeded", "small!WaitingForCapacity"));
}

// Rule 2: the nodes that are left to it are its own for holdSeconds, and then whoever comes first
// has them.
TEST(Trap, AGangThatLostANodeAndOneThatWaitsForWhatIsLeft) {
  Snapshot world = Fleet(3);
  Old(world, "p", "team", 0, {"home-1", "home-2", "home-3"});
  New(world, "q", "team", 10, 2).preempts = placement::Preempts::kNever;
  Time lost{};
  const Outcome outcome = Played(world, Once(600, [&](Snapshot& w) {
                                   placement::Node& node = NodeOf(w, "home-3");
                                   node.ready = false;
                                   node.out_of_service = true;
                                   node.not_ready_since = lost = w.now;
                                 }));
  ExpectRest(outcome, 3, IsEmpty(), ElementsAre("p!NodesUnhealthy", "q@home[home-1 home-2]#1"));
  Snapshot after = outcome.world;
  EXPECT_EQ(PoolOf(after, "q").memory.started, lost + Seconds{600});
}

// ---- serving beside training ----

// Rule 6: what a gang is guaranteed it takes from replicas that borrow, and they can't take it
// back.
TEST(Trap, AServerOfHighPriorityAndAGangThatIsGuaranteedItsRoom) {
  Snapshot world = Fleet(1);
  world.quotas = {Guarantee("owner", 8)};
  InferencePool chat = Chat(8);
  chat.priority = 100;
  chat.preempt_after = Seconds{60};
  Runs(world, chat, "gpu", "home", 8, 8, {"home-1"});
  world.inference_pools.push_back(chat);
  New(world, "owned", "owner", 0, 1);
  ExpectRest(Played(world), 3, ElementsAre("chat 1"),
             ElementsAre("owned@home[home-1]#1", "chat: nothing"));
}

// Rule 6: serving makes training go only where the need has lasted for preemption.afterSeconds.
TEST(Trap, ANeedThatComesAndGoes) {
  Snapshot world = Fleet(1);
  InferencePool chat = Chat(4);
  chat.priority = 5;
  chat.preempt_after = Seconds{3600};
  Runs(world, chat, "gpu", "home", 4, 4, {"home-1"});
  world.inference_pools.push_back(chat);
  TrainingPool low = Has("low", 1, 4, "home", {"home-1"});
  low.preemptible = Preemptible::kAlways;
  low.min_run = Seconds{0};
  world.pools.push_back(low);
  AddWorkers(world, world.pools.back());
  int pass = 0;
  const Outcome outcome = Played(world, [&](Snapshot& w) {
    ++pass;
    w.inference_pools[0].replicas = pass < 60 && pass % 2 == 0 ? 4 : 8;
    if (pass == 60) {
      EXPECT_TRUE(PoolOf(w, "low").memory.evictions.empty());
    }
  });
  ExpectRest(outcome, 10, ElementsAre("low 1"),
             ElementsAre("low!WaitingForCapacity", "chat: 8 gpu@home"));
}

// Rules 6 and 8: where replicas for which a gang has gone do not run, their cell is left alone for
// longer each time, up to an hour, whatever else of it runs.
TEST(Trap, ReplicasThatMakeAGangGoAndDoNotStart) {
  const Time mended = kNow + Seconds{12 * 3600};
  Snapshot world = Fleet(1);
  InferencePool chat = Chat(8);
  chat.priority = 5;
  Runs(world, chat, "gpu", "home", 4, 4, {"home-1"});
  world.inference_pools.push_back(chat);
  TrainingPool low = Has("low", 1, 4, "home", {"home-1"});
  low.preemptible = Preemptible::kAlways;
  low.min_run = Seconds{0};
  world.pools.push_back(low);
  AddWorkers(world, world.pools.back());
  const Outcome outcome = Played(world, [&](Snapshot& w) {
    for (Replica& replica : w.inference_pools[0].live) {
      replica.ready = replica.since < kNow || w.now > mended;
    }
  });
  ExpectRest(outcome, 70, ElementsAre("low 12"),
             ElementsAre("low!WaitingForCapacity", "chat: 8 gpu@home"));
}

// Rules 8 and 9: replicas return as far as home has room for them, before those elsewhere go.
TEST(Trap, AHomeThatHasRoomForHalfOfTheReplicas) {
  Snapshot world = Fleet(1, 1);
  Use(world, "home-1", 4);
  InferencePool chat = Chat(8);
  Runs(world, chat, "gpu", "azure", 8, 8, {"azure-1"}, 10);
  world.inference_pools.push_back(chat);
  ExpectRest(Played(world), 2, IsEmpty(), ElementsAre("chat: 4 gpu@azure, 4 gpu@home"));
}

}  // namespace
}  // namespace spillway::tests
