// Gangs that return home or leave a drained group: when, to which nodes, and who comes before them.
#include "placement/moves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "passes.h"
#include "placement/capacity.h"
#include "placement/nodes.h"
#include "placement/plan.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::Admission;
using placement::Applied;
using placement::Hold;
using placement::MakePlan;
using placement::Plan;
using placement::PoolDecision;
using placement::PoolMemory;
using placement::Preemptible;
using placement::Reason;
using placement::ReturnHome;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A gang that has run for an hour on whole nodes, with a checkpoint every 1,000 s: the next one is
// in 400 s.
TrainingPool& AddGang(Snapshot& world, const std::string& name,
                      const std::vector<std::string>& nodes, const std::string& group = "azure") {
  TrainingPool& pool = AddRunning(world, name, static_cast<int>(nodes.size()), 8, group, nodes,
                                  GroupOf(world, group).tier);
  const Time since = kNow - Seconds{3600};
  pool.memory.placement->since = since;
  pool.memory.started = pool.memory.queued_since = pool.memory.ready_since = since;
  pool.checkpoint_interval = Seconds{1000};
  return pool;
}

// far runs on both nodes of azure, and home has two free ones.
Snapshot Spilled(int home_nodes = 2) {
  Snapshot world = Fleet(home_nodes, 2);
  AddGang(world, "far", {"azure-1", "azure-2"});
  return world;
}

// The same once home has had room for it for ten minutes.
Snapshot Due(int home_nodes = 2) {
  Snapshot world = Spilled(home_nodes);
  PoolOf(world, "far").memory.home_fits_since = kNow - Seconds{600};
  return world;
}

Snapshot Later(const Snapshot& world, int seconds) {
  return After(world, Checked(world), world.now + Seconds{seconds});
}

const PoolMemory& MemoryOf(const Plan& plan, const std::string& name) {
  return DecisionOf(plan, name).memory;
}

TrainingPool New(const std::string& name, int64_t priority, int workers) {
  TrainingPool pool = Wants(name, workers);
  pool.priority = priority;
  pool.memory.queued_since = pool.memory.waiting_since = kNow - Seconds{60};
  return pool;
}

// What happens over 50 passes, each at the moment that the one before it asked to be woken: "far
// azure>home" for each gang that is elsewhere afterwards.
std::vector<std::string> Moves(Snapshot world, int passes = 50) {
  std::vector<std::string> moves;
  for (int pass = 0; pass < passes; ++pass) {
    const Plan plan = Checked(world);
    for (const TrainingPool& pool : world.pools) {
      const auto& before = pool.memory.placement;
      const auto& after = MemoryOf(plan, pool.key.name).placement;
      const std::string from = before ? before->node_group : "";
      const std::string to = after ? after->node_group : "";
      if (from != to) moves.push_back(pool.key.name + " " + from + ">" + to);
    }
    world = After(world, plan, plan.next_wake.value_or(world.now + Seconds{3600}));
  }
  return moves;
}

// ---- return: when ----

TEST(Return, IsDueOnceHomeHasHadRoomForLongEnough) {
  const Snapshot world = Spilled();
  const Plan plan = Checked(world);
  const PoolDecision& far = DecisionOf(plan, "far");
  EXPECT_EQ(far.action, Action::kKeep);
  EXPECT_EQ(far.memory.home_fits_since, kNow);
  EXPECT_FALSE(far.memory.hold);
  EXPECT_EQ(far.placed_reason, Reason::kPlaced);
  EXPECT_THAT(far.placed_message,
              HasSubstr("; home has had room for it since 2026-11-24T12:00:00Z; "
                        "it returns when that has lasted until "
                        "2026-11-24T12:10:00Z"));
  EXPECT_EQ(plan.next_wake, kNow + Seconds{600});
  const Plan early = Checked(Later(world, 599));
  EXPECT_EQ(MemoryOf(early, "far").home_fits_since, kNow);
  EXPECT_FALSE(MemoryOf(early, "far").hold);
  EXPECT_TRUE(MemoryOf(Checked(Later(world, 600)), "far").hold);
}

// far has run for an hour; to start again takes it 300 s.
Snapshot Quick(Snapshot world) {
  PoolOf(world, "far").memory.restart_took = Seconds{300};
  return world;
}

TEST(Return, IsNotWorthTheLastOfItsWork) {
  Snapshot world = Quick(Due());
  PoolOf(world, "far").expected = Seconds{3600 + 2999};
  const Plan plan = Checked(world);
  EXPECT_FALSE(MemoryOf(plan, "far").hold);
  EXPECT_FALSE(MemoryOf(plan, "far").home_fits_since);
  EXPECT_THAT(DecisionOf(plan, "far").placed_message,
              HasSubstr("; it does not return home: by its expectedSeconds it ends by "
                        "2026-11-24T12:49:59Z, and to start again takes it 300 s, more than a "
                        "tenth of that"));
  EXPECT_EQ(plan.next_wake, kNow + Seconds{2999});
  PoolOf(world, "far").expected = Seconds{3600 + 3000};
  EXPECT_TRUE(MemoryOf(Checked(world), "far").hold);
  PoolOf(world, "far").memory.restart_took = Seconds{301};
  EXPECT_FALSE(MemoryOf(Checked(world), "far").hold);
}

TEST(Return, IsGivenUpWhenTooLittleIsLeft) {
  Snapshot world = Quick(Spilled());
  PoolOf(world, "far").expected = Seconds{3600 + 3000 + 100};
  const Plan plan = Checked(world);
  EXPECT_EQ(MemoryOf(plan, "far").home_fits_since, kNow);
  EXPECT_EQ(plan.next_wake, kNow + Seconds{101});
  EXPECT_EQ(MemoryOf(Checked(Later(world, 100)), "far").home_fits_since, kNow);
  EXPECT_FALSE(MemoryOf(Checked(Later(world, 101)), "far").home_fits_since);
  Snapshot held = Quick(Due());
  PoolOf(held, "far").expected = Seconds{3600 + 3000 + 100};
  ASSERT_TRUE(MemoryOf(Checked(held), "far").hold);
  const Plan late = Checked(Later(held, 101));
  EXPECT_FALSE(MemoryOf(late, "far").hold);
  EXPECT_EQ(DecisionOf(late, "far").action, Action::kKeep);
}

TEST(Return, GoesByNothingOnceTheExpectedTimeHasPassed) {
  Snapshot world = Quick(Due());
  PoolOf(world, "far").expected = Seconds{3600};
  EXPECT_TRUE(MemoryOf(Checked(world), "far").hold);
  PoolOf(world, "far").expected = Seconds{3601};
  EXPECT_FALSE(MemoryOf(Checked(world), "far").hold);
}

TEST(Return, GoesByWhatTheProgramSaysIsLeft) {
  Snapshot world = Quick(Due());
  PoolOf(world, "far").expected = Seconds{360'000};
  PoolOf(world, "far").remaining = Seconds{2999};
  const Plan plan = Checked(world);
  EXPECT_FALSE(MemoryOf(plan, "far").hold);
  EXPECT_THAT(DecisionOf(plan, "far").placed_message,
              HasSubstr("the annotation spillway.dev/remaining-seconds says that 2999 s are left"));
  EXPECT_EQ(plan.next_wake, std::nullopt);
  PoolOf(world, "far").remaining = Seconds{3000};
  EXPECT_TRUE(MemoryOf(Checked(world), "far").hold);
}

TEST(Return, OfADrainedGroupAsksForNothingToBeLeft) {
  Snapshot world = Quick(Due());
  PoolOf(world, "far").remaining = Seconds{0};
  GroupOf(world, "azure").admission = Admission::kDrain;
  EXPECT_TRUE(MemoryOf(Checked(world), "far").hold);
}

TEST(Return, CountsOnceAgainstALimitThatIsLowerByNow) {
  Snapshot world = Later(Due(3), 400);
  world.default_limits = {{.type = "a100", .limit = 15}};  // it has 16
  EXPECT_EQ(DecisionOf(Checked(world), "far").action, Action::kRestart);
}

TEST(Return, HoldsItsNodesUntilItsNextCheckpoint) {
  const Plan plan = Checked(Due());
  const PoolDecision& far = DecisionOf(plan, "far");
  EXPECT_EQ(Brief(far), "far@azure[azure-1 azure-2]#1");
  EXPECT_EQ(far.action, Action::kKeep);
  const Hold expected{.node_group = "home",
                      .domain = "",
                      .nodes = {"home-1", "home-2"},
                      .until = kNow + Seconds{400 + 600},
                      .since = kNow,
                      .victims = {}};
  EXPECT_EQ(far.memory.hold, expected);
  EXPECT_EQ(far.memory.home_fits_since, kNow - Seconds{600});
  EXPECT_EQ(far.placed_reason, Reason::kWaitingForCheckpoint);
  EXPECT_THAT(far.placed_message,
              HasSubstr("; returns to home at its next checkpoint, by 2026-11-24T12:06:40Z"));
  EXPECT_EQ(plan.next_wake, kNow + Seconds{400});
}

TEST(Return, IsANewAttemptOnTheNodesThatWereHeld) {
  Snapshot world = Later(Due(3), 399);
  EXPECT_EQ(DecisionOf(Checked(world), "far").action, Action::kKeep);
  Use(world, "home-3", 1);  // would be taken before empty nodes, but is not held
  world.now = kNow + Seconds{400};
  const Plan plan = Checked(world);
  const PoolDecision& far = DecisionOf(plan, "far");
  EXPECT_EQ(Brief(far), "far@home[home-1 home-2]#2");
  EXPECT_EQ(far.action, Action::kRestart);
  EXPECT_FALSE(far.may_start) << "the old pods must be gone first";
  EXPECT_EQ(far.memory.placement->since, world.now);
  EXPECT_EQ(far.memory.last_move, world.now);
  EXPECT_FALSE(far.memory.hold);
  EXPECT_FALSE(far.memory.home_fits_since);
  EXPECT_EQ(far.memory.restarts, 1);
  EXPECT_EQ(far.memory.failures, 0);
  EXPECT_THAT(far.memory.evictions, IsEmpty());
  EXPECT_FALSE(far.spilled);
  EXPECT_THAT(far.ready_message,
              HasSubstr("returned from azure to home, which has had room for it since "
                        "2026-11-24T11:50:00Z; attempt 2 starts on home"));
  const Plan waiting = Checked(Applied(world, plan));
  EXPECT_FALSE(DecisionOf(waiting, "far").may_start);
  EXPECT_THAT(DecisionOf(waiting, "far").ready_message,
              HasSubstr("attempt 2 starts when the old pods are gone: far-1-0 and far-1-1"));
  EXPECT_TRUE(DecisionOf(Checked(After(world, plan, world.now)), "far").may_start);
}

TEST(Return, AnytimeTakesNoMoreThanItTakesToWriteItDown) {
  Snapshot world = Due();
  PoolOf(world, "far").return_home = ReturnHome::kAnytime;
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "far").action, Action::kKeep);
  EXPECT_EQ(plan.next_wake, kNow + Seconds{1});
  EXPECT_EQ(DecisionOf(plan, "far").placed_reason, Reason::kPlaced);
  EXPECT_THAT(DecisionOf(plan, "far").placed_message,
              HasSubstr("; returns to home at 2026-11-24T12:00:01Z"));
  EXPECT_EQ(Brief(DecisionOf(Checked(Later(world, 1)), "far")), "far@home[home-1 home-2]#2");
}

TEST(Return, FollowsWhatTheProgramSaysOfItsCheckpoints) {
  Snapshot world = Due();
  PoolOf(world, "far").last_checkpoint = kNow - Seconds{10};
  world = Later(world, 500);
  EXPECT_EQ(DecisionOf(Checked(world), "far").action, Action::kKeep);
  PoolOf(world, "far").last_checkpoint = kNow + Seconds{499};
  EXPECT_EQ(DecisionOf(Checked(world), "far").action, Action::kRestart);
}

TEST(Return, WithoutAWaitIsDecidedAtOnce) {
  Snapshot world = Spilled();
  PoolOf(world, "far").return_after = Seconds{0};
  const PoolMemory memory = MemoryOf(Checked(world), "far");
  EXPECT_TRUE(memory.hold);
  EXPECT_EQ(memory.home_fits_since, kNow);
}

// ---- return: whether ----

TEST(Return, IsNothingForAGangThatMayNotOrHasNoReason) {
  struct Case {
    const char* sentence;
    std::function<void(Snapshot& world, TrainingPool& far)> change;
  };
  const std::vector<Case> cases = {
      {"may not", [](auto&, TrainingPool& far) { far.return_home = ReturnHome::kNever; }},
      {"saves nothing",
       [](Snapshot& world, auto&) {
         GroupOf(world, "home").marginal_per_node_hour = Dollars("32");
       }},
      {"saves nothing, and asks for nothing",
       [](Snapshot& world, TrainingPool& far) {
         GroupOf(world, "home").marginal_per_node_hour = Dollars("32");
         far.return_min_savings_percent = 0;
       }},
      {"would pay more",
       [](Snapshot& world, auto&) {
         GroupOf(world, "home").marginal_per_node_hour = Dollars("33");
       }},
      {"saves less than a tenth",
       [](Snapshot& world, auto&) {
         GroupOf(world, "home").marginal_per_node_hour = Dollars("28.81");
       }},
      {"pays nothing where it is",
       [](Snapshot& world, auto&) { GroupOf(world, "azure").marginal_per_node_hour = Money(); }},
      {"needs twice as many of another type at home, which costs as much",
       [](Snapshot& world, TrainingPool& far) {
         AddNodes(world, "home", 2);
         GroupOf(world, "home").accelerator = "v100";
         GroupOf(world, "home").marginal_per_node_hour = Dollars("16");
         far.accelerators.push_back({.type = "v100", .workers = 4});
       }},
      {"home takes nothing new",
       [](Snapshot& world, auto&) { GroupOf(world, "home").admission = Admission::kClosed; }},
      {"home has no room", [](Snapshot& world, auto&) { Use(world, "home-1", 1); }},
      {"home's price is not known",
       [](Snapshot& world, auto&) { GroupOf(world, "home").misconfigured = "no price"; }},
      {"its price is not known",
       [](Snapshot& world, auto&) { GroupOf(world, "azure").misconfigured = "no price"; }},
      {"is at home by now", [](Snapshot& world, auto&) { GroupOf(world, "azure").tier = 0; }},
      {"does not run yet",
       [](auto&, TrainingPool& far) {
         far.workers[1].running = far.workers[1].ready = false;
         far.memory.placement->since = kNow - Seconds{60};
       }},
      {"one of its workers has ended well",
       [](Snapshot& world, TrainingPool& far) {
         NodeOf(world, "azure-2").used.Subtract(far.workers[1].requests);
         far.workers.pop_back();
         far.attempt.succeeded = 1;
       }},
      {"one of its workers has failed",
       [](auto&, TrainingPool& far) { far.workers[1].ended = true; }},
      {"its Job has failed, and why is not known yet",
       [](auto&, TrainingPool& far) {
         far.attempt.failed = true;
         far.attempt.failure.emplace().time = kNow;
       }},
      {"one of its nodes is NotReady",
       [](Snapshot& world, auto&) {
         NodeOf(world, "azure-1").ready = false;
         NodeOf(world, "azure-1").not_ready_since = kNow;
       }},
      {"the spec can't be used",
       [](auto&, TrainingPool& far) { far.template_invalid = "spec.containers is empty"; }},
      {"the spec has not been judged",
       [](auto&, TrainingPool& far) { far.template_unchecked = true; }},
  };
  for (const Case& c : cases) {
    Snapshot world = Due();
    c.change(world, PoolOf(world, "far"));
    const PoolMemory memory = MemoryOf(Checked(world), "far");
    EXPECT_FALSE(memory.hold) << c.sentence;
    EXPECT_FALSE(memory.home_fits_since) << c.sentence;
  }
}

TEST(Return, NeedsNoMoreThanItsMinimumSaving) {
  Snapshot world = Due();
  GroupOf(world, "home").marginal_per_node_hour = Dollars("28.80");
  EXPECT_TRUE(MemoryOf(Checked(world), "far").hold) << "a tenth of 32";
}

TEST(Return, StaysWhereItIsWhileItsLinkIsSuspect) {
  Snapshot world = Fleet(2, 8);
  AddGang(world, "far", {"azure-1", "azure-2"}).memory.home_fits_since = kNow - Seconds{600};
  for (const char* node : {"azure-3", "azure-4", "azure-5"}) {
    NodeOf(world, node).ready = false;
    NodeOf(world, node).not_ready_since = kNow;
  }
  EXPECT_FALSE(MemoryOf(Checked(world), "far").hold);
}

TEST(Return, CountsWhatTheGangHasOnlyOnce) {
  Snapshot world = Due();
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 16}}}};
  world = Later(world, 400);
  EXPECT_TRUE(PoolOf(world, "far").memory.hold);
  const Plan plan = Checked(world);
  EXPECT_EQ(Brief(DecisionOf(plan, "far")), "far@home[home-1 home-2]#2");
  EXPECT_EQ(plan.quotas[0].accelerators[0].used, 16);
}

TEST(Return, TakesTheBestGroupAtHome) {
  Snapshot world = Due();
  world.groups.push_back(Group("barn"));
  GroupOf(world, "barn").marginal_per_node_hour = Dollars("1");
  AddNodes(world, "barn", 2);
  EXPECT_EQ(MemoryOf(Checked(world), "far").hold->node_group, "home") << "the cheaper one";
  GroupOf(world, "barn").accelerator = "h100";
  PoolOf(world, "far").accelerators = {{.type = "h100", .workers = 2},
                                       {.type = "a100", .workers = 2}};
  EXPECT_EQ(MemoryOf(Checked(world), "far").hold->node_group, "barn") << "what it prefers";
  PoolOf(world, "far").preference = placement::Preference::kPrice;
  EXPECT_EQ(MemoryOf(Checked(world), "far").hold->node_group, "home") << "by price";
  PoolOf(world, "far").preference = placement::Preference::kHomeFirst;
  PoolOf(world, "far").accelerators = {{.type = "a100", .workers = 2}};
  GroupOf(world, "barn").accelerator = "a100";
  GroupOf(world, "barn").marginal_per_node_hour = Money();
  AddNodes(world, "home", 1);
  EXPECT_EQ(MemoryOf(Checked(world), "far").hold->node_group, "barn") << "the tighter one";
}

// ---- what is held ----

TEST(Held, IsNotForThoseThatComeLater) {
  Snapshot world = Later(Due(), 10);
  world.pools.push_back(New("late", 0, 1));
  const Plan plan = Checked(world);
  EXPECT_TRUE(MemoryOf(plan, "far").hold);
  EXPECT_EQ(DecisionOf(plan, "late").placed_reason, Reason::kWaitingForCapacity);
}

TEST(Held, IsForThoseThatComeBefore) {
  Snapshot world = Later(Due(), 10);
  world.pools.push_back(New("first", 5, 1));
  const Plan plan = Checked(world);
  EXPECT_EQ(Brief(DecisionOf(plan, "first")), "first@home[home-1]#1");
  EXPECT_FALSE(MemoryOf(plan, "far").hold);
  EXPECT_FALSE(MemoryOf(plan, "far").home_fits_since);
}

// late has made somebody go from home-1 and home-2, whose last pods still fill the latter.
TEST(Held, ComesBeforeTheClaimOfWhoComesLater) {
  Snapshot world = Fleet(2, 1);
  world.pools.push_back(Has("far", 1, 4, "azure", {"azure-1"}, 10));
  AddWorkers(world, world.pools.back());
  TrainingPool& far = world.pools.back();
  far.priority = 5;
  far.memory.hold = Hold{.node_group = "home",
                         .domain = "",
                         .nodes = {"home-1"},
                         .until = kNow + Seconds{900},
                         .since = kNow - Seconds{10},
                         .victims = {}};
  far.memory.home_fits_since = kNow - Seconds{900};
  Use(world, "home-2", 8);
  TrainingPool late = New("late", 0, 2);
  late.per_worker = 4;
  late.memory.hold = far.memory.hold;
  late.memory.hold->nodes = {"home-1", "home-2"};
  late.memory.hold->victims = {{.ns = "team", .name = "gone"}};
  world.pools.push_back(late);
  const Plan plan = Checked(world);
  EXPECT_TRUE(MemoryOf(plan, "late").hold);
  EXPECT_EQ(MemoryOf(plan, "far").hold, PoolOf(world, "far").memory.hold);
}

TEST(Held, IsGivenUpWhereItMayNotBeHadAnyMore) {
  struct Case {
    const char* sentence;
    std::function<void(Snapshot& world, TrainingPool& far)> change;
    bool fits = false;  // there is room at home all the same
  };
  const std::vector<Case> cases = {
      {"a node is cordoned",
       [](Snapshot& world, auto&) { NodeOf(world, "home-1").cordoned = true; }, true},
      {"a node is gone",
       [](Snapshot& world, auto&) {
         std::erase_if(world.nodes,
                       [](const placement::Node& node) { return node.id.name == "home-2"; });
       },
       true},
      {"somebody else's pod is there", [](Snapshot& world, auto&) { Use(world, "home-1", 1); },
       true},
      {"the group is closed",
       [](Snapshot& world, auto&) { GroupOf(world, "home").admission = Admission::kClosed; }},
      {"the group is another tier's",
       [](Snapshot& world, auto&) { GroupOf(world, "home").tier = 5; }},
      {"it does not pay any more",
       [](Snapshot& world, auto&) {
         GroupOf(world, "home").marginal_per_node_hour = Dollars("32");
       }},
      {"it is not to return any more",
       [](auto&, TrainingPool& far) { far.return_home = ReturnHome::kNever; }},
      {"a worker does not run any more",
       [](auto&, TrainingPool& far) {
         far.workers[0].running = false;
         far.start_deadline = Seconds{7200};
       }},
      {"its node group is gone",
       [](Snapshot& world, auto&) {
         std::erase_if(world.groups, [](const NodeGroup& group) { return group.name == "azure"; });
       }},
  };
  for (const Case& c : cases) {
    Snapshot world = Later(Due(3), 10);
    ASSERT_TRUE(PoolOf(world, "far").memory.hold);
    c.change(world, PoolOf(world, "far"));
    const PoolDecision far = DecisionOf(Checked(world), "far");
    EXPECT_EQ(far.action, Action::kKeep) << c.sentence;
    EXPECT_FALSE(far.memory.hold) << c.sentence;
    const auto since = c.fits ? std::optional<Time>(world.now) : std::nullopt;
    EXPECT_EQ(far.memory.home_fits_since, since) << c.sentence;
  }
}

TEST(Held, EndsWithThePlaceItself) {
  struct Case {
    const char* sentence;
    std::function<void(Snapshot& world, TrainingPool& far)> change;
    Action action;
  };
  const std::vector<Case> cases = {
      {"a node is lost: it starts anew where it is",
       [](Snapshot& world, auto&) {
         AddNodes(world, "azure", 1);
         NodeOf(world, "azure-1").out_of_service = true;
       },
       Action::kRestart},
      {"it is suspended", [](auto&, TrainingPool& far) { far.suspended = true; }, Action::kRelease},
      {"it completes", [](auto&, TrainingPool& far) { far.attempt.complete = true; },
       Action::kFinish},
  };
  for (const Case& c : cases) {
    Snapshot world = Later(Due(), 10);
    c.change(world, PoolOf(world, "far"));
    const PoolDecision far = DecisionOf(Checked(world), "far");
    EXPECT_EQ(far.action, c.action) << c.sentence;
    EXPECT_FALSE(far.memory.hold) << c.sentence;
    EXPECT_FALSE(far.memory.home_fits_since) << c.sentence;
    EXPECT_FALSE(far.memory.last_move) << c.sentence;
  }
}

TEST(Held, GoesWhereTheGangIsMadeToGo) {
  Snapshot world = Later(Due(), 10);
  TrainingPool& far = PoolOf(world, "far");
  far.preemptible = Preemptible::kAlways;
  TrainingPool high = New("high", 5, 2);
  high.providers = {placement::Provider::kAzure};
  high.spill_after = Seconds{0};
  world.pools.push_back(high);
  world = Later(world, 1);
  NodeOf(world, "home-1").cordoned = true;  // nor may it go home instead
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "far").action, Action::kRelease);
  EXPECT_FALSE(MemoryOf(plan, "far").hold);
  EXPECT_EQ(MemoryOf(plan, "far").evictions.size(), 1U);
  EXPECT_FALSE(MemoryOf(plan, "far").dwell) << "it had not returned";
}

TEST(Held, NextToAPlaceIsNoClaim) {
  Snapshot world = Later(Due(), 10);
  PoolOf(world, "far").memory.hold->victims = {{.ns = "team", .name = "other"}};
  PoolOf(world, "far").memory.home_fits_since.reset();
  EXPECT_FALSE(MemoryOf(Checked(world), "far").hold);
  PoolOf(world, "far").memory.hold->victims.clear();
  PoolOf(world, "far").memory.hold->since.reset();
  EXPECT_FALSE(MemoryOf(Checked(world), "far").hold);
}

TEST(Capacity, AddsAClaimToWhatIsReserved) {
  const Snapshot world = Later(Due(), 10);
  const placement::World view = placement::Survey(world);
  placement::Capacity capacity(view);
  const TrainingPool& far = *view.pools[0];
  capacity.Set(0, ClaimOf(view, far, *far.memory.placement));
  capacity.Add(0, *ClaimOf(view, far, *far.memory.hold));
  const auto free = [&](const char* node) {
    return capacity.Free(*view.FindNode("", node)).Get(kGpu);
  };
  EXPECT_EQ(free("azure-1"), 0);
  EXPECT_EQ(free("home-1"), 0);
  capacity.Set(0, ClaimOf(view, far, *far.memory.placement));
  EXPECT_EQ(free("home-1"), 8);
}

// ---- dwell ----

// far has returned an hour ago, and a pool of higher priority asks for its place.
Snapshot Returned(int ago = 3600) {
  Snapshot world = Fleet(2, 2);
  TrainingPool& far = AddGang(world, "far", {"home-1", "home-2"}, "home");
  far.memory.last_move = far.memory.placement->since = kNow - Seconds{ago};
  far.memory.tiers_used = {0, 10};
  far.preemptible = Preemptible::kAlways;
  TrainingPool high = New("high", 5, 2);
  high.providers = {placement::Provider::kOnPrem};
  world.pools.push_back(high);
  return world;
}

std::optional<int64_t> DwellAfter(const Snapshot& world) {
  const PoolMemory memory = MemoryOf(Checked(Later(world, 1)), "far");
  EXPECT_EQ(memory.evictions.size(), 1U);
  return memory.dwell ? std::optional<int64_t>(memory.dwell->count()) : std::nullopt;
}

TEST(Dwell, DoublesWhereTheGangHasToGoSoonAfterItsReturn) {
  Snapshot world = Returned();
  TrainingPool& far = PoolOf(world, "far");
  EXPECT_EQ(DwellAfter(world), 1200);
  far.memory.dwell = Seconds{5000};
  EXPECT_EQ(DwellAfter(world), 10'000);
  far.memory.dwell = Seconds{50'000};
  EXPECT_EQ(DwellAfter(world), 86'400);
  far.memory.dwell.reset();
  far.return_after = Seconds{0};
  EXPECT_EQ(DwellAfter(world), 60);
  far.memory.last_move.reset();
  EXPECT_EQ(DwellAfter(world), std::nullopt);
  EXPECT_EQ(DwellAfter(Returned(86'399)), std::nullopt) << "a day after it";
  EXPECT_EQ(DwellAfter(Returned(86'398)), 1200);
}

TEST(Dwell, DoublesWhereTheGangDoesNotGetToRunAtHome) {
  Snapshot world = Fleet(2, 2);
  world.pools.push_back(Has("far", 1, 8, "home", {"home-1"}));
  PoolMemory& memory = world.pools[0].memory;
  memory.placement->since = kNow - Seconds{1800};
  memory.last_move = memory.placement->since;
  EXPECT_EQ(MemoryOf(Checked(world), "far").dwell, Seconds{1200});
}

TEST(Dwell, IsWhatTheNextReturnWaitsFor) {
  Snapshot world = Due();
  PoolOf(world, "far").memory.dwell = Seconds{1200};
  const Plan plan = Checked(world);
  EXPECT_FALSE(MemoryOf(plan, "far").hold);
  EXPECT_EQ(plan.next_wake, kNow + Seconds{600});
  EXPECT_TRUE(MemoryOf(Checked(Later(world, 600)), "far").hold);
}

TEST(Dwell, IsOverADayAfterAReturnWithoutAnEviction) {
  Snapshot world = Fleet(2);
  TrainingPool& far = AddGang(world, "far", {"home-1", "home-2"}, "home");
  far.memory.dwell = Seconds{1200};
  far.memory.last_move = kNow - Seconds{86'399};
  EXPECT_EQ(MemoryOf(Checked(world), "far").dwell, Seconds{1200});
  EXPECT_EQ(Checked(world).next_wake, kNow + Seconds{1});
  far.memory.last_move = kNow - Seconds{86'400};
  EXPECT_FALSE(MemoryOf(Checked(world), "far").dwell);
  far.memory.evictions = {{.time = kNow - Seconds{86'401}, .cause = ""},
                          {.time = kNow, .cause = ""}};
  EXPECT_FALSE(MemoryOf(Checked(world), "far").dwell) << "before it, and after its day";
  far.memory.evictions = {{.time = kNow - Seconds{86'400}, .cause = ""}};
  EXPECT_EQ(MemoryOf(Checked(world), "far").dwell, Seconds{1200});
  far.memory.evictions.clear();
  far.memory.placement->tier = 10;
  EXPECT_EQ(MemoryOf(Checked(world), "far").dwell, Seconds{1200}) << "it is not at home";
  far.memory.placement->tier = 0;
  far.memory.placement->since = kNow;
  EXPECT_EQ(MemoryOf(Checked(world), "far").dwell, Seconds{1200}) << "it came later";
}

// ---- drain ----

// far runs in azure, which is being drained; aws has room.
Snapshot Drained() {
  Snapshot world = Fleet(1, 2);
  world.groups.push_back(Group("aws", 20));
  AddNodes(world, "aws", 2);
  TrainingPool& far = AddGang(world, "far", {"azure-1", "azure-2"});
  far.memory.tiers_used = {10, 20};
  GroupOf(world, "azure").admission = Admission::kDrain;
  return world;
}

TEST(Drain, LeavesAtTheNextCheckpointForAnyGroup) {
  Snapshot world = Drained();
  PoolOf(world, "far").return_home = ReturnHome::kNever;  // says nothing about this
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "far").placed_reason, Reason::kWaitingForCheckpoint);
  EXPECT_THAT(
      DecisionOf(plan, "far").placed_message,
      HasSubstr("leaves azure, whose admission is Drain, for aws at its next checkpoint, by "
                "2026-11-24T12:06:40Z"));
  EXPECT_THAT(MemoryOf(plan, "far").hold->nodes, ElementsAre("aws-1", "aws-2"));
  EXPECT_EQ(DecisionOf(Checked(Later(world, 399)), "far").action, Action::kKeep);
  const PoolDecision gone = DecisionOf(Checked(Later(world, 400)), "far");
  EXPECT_EQ(Brief(gone), "far@aws[aws-1 aws-2]#2");
  EXPECT_EQ(gone.memory.last_move, kNow + Seconds{400});
  EXPECT_THAT(gone.ready_message, HasSubstr("left azure, whose admission is Drain, for aws"));
}

TEST(Drain, WaitsForACheckpointWhateverTheReturnDoes) {
  Snapshot world = Drained();
  PoolOf(world, "far").return_home = ReturnHome::kAnytime;
  EXPECT_EQ(DecisionOf(Checked(Later(world, 1)), "far").action, Action::kKeep);
}

TEST(Drain, StaysWhereNothingTakesItAndSaysWhatIsMissing) {
  Snapshot world = Drained();
  Use(world, "aws-1", 3);
  const PoolDecision far = DecisionOf(Checked(world), "far");
  EXPECT_EQ(Brief(far), "far@azure[azure-1 azure-2]#1");
  EXPECT_FALSE(far.memory.hold);
  EXPECT_EQ(far.placed_reason, Reason::kDraining);
  EXPECT_THAT(far.placed_message,
              HasSubstr("the admission of azure is Drain, and the gang stays until another node "
                        "group takes it: home: needs 2 workers of 8 accelerators"));
  EXPECT_THAT(far.placed_message, HasSubstr("aws: needs 2 workers of 8 accelerators, 1 fit"));
  EXPECT_EQ(far.alternatives.size(), 3U);
  EXPECT_THAT(far.remedies, testing::Contains(HasSubstr("aws: room for 1 more worker")));
}

TEST(Drain, HoldsBackBeforeTiersThatAreNew) {
  Snapshot world = Drained();
  PoolOf(world, "far").memory.tiers_used = {10};
  AddNodes(world, "home", 1);
  Use(world, "home-1", 1);  // home could fit it some day
  const Plan plan = Checked(world);
  EXPECT_EQ(MemoryOf(plan, "far").waiting_since, kNow);
  EXPECT_FALSE(MemoryOf(plan, "far").hold);
  EXPECT_THAT(DecisionOf(plan, "far").placed_message,
              HasSubstr("holds back from spilling to tier 20 until 2026-11-24T12:10:00Z"));
  EXPECT_EQ(plan.next_wake, kNow + Seconds{600});
  world = Later(world, 600);
  EXPECT_EQ(MemoryOf(Checked(world), "far").hold->node_group, "aws");
  world = Later(world, 1);
  GroupOf(world, "azure").admission = Admission::kOpen;
  EXPECT_FALSE(MemoryOf(Checked(world), "far").waiting_since) << "the next one counts anew";
}

TEST(Drain, OfHomeLeavesForHomeOrACloud) {
  Snapshot world = Fleet(2, 2);
  world.groups.push_back(Group("barn"));
  AddNodes(world, "barn", 2);
  AddGang(world, "far", {"home-1", "home-2"}, "home").memory.tiers_used = {0, 10};
  GroupOf(world, "home").admission = Admission::kDrain;
  EXPECT_EQ(MemoryOf(Checked(world), "far").hold->node_group, "barn");
  Use(world, "barn-1", 1);
  EXPECT_EQ(MemoryOf(Checked(world), "far").hold->node_group, "azure");
  PoolOf(world, "far").spill_allowed = false;
  EXPECT_FALSE(MemoryOf(Checked(world), "far").hold);
}

TEST(Drain, EndsWhereTheGroupIsOpenAgain) {
  Snapshot world = Later(Drained(), 10);
  ASSERT_TRUE(PoolOf(world, "far").memory.hold);
  GroupOf(world, "azure").admission = Admission::kOpen;
  EXPECT_FALSE(MemoryOf(Checked(world), "far").hold);
}

// far is to go to aws, where it costs 80 an hour and not 64; late, which comes after it, could run
// beside it there for 40.
Snapshot DearerThere(const std::string& most) {
  Snapshot world = Drained();
  AddNodes(world, "aws", 1);
  Use(world, "home-1", 1);
  GroupOf(world, "aws").per_node_hour = GroupOf(world, "aws").marginal_per_node_hour =
      Dollars("40");
  world.quotas = {{.ns = "team", .limits = {}, .max_hourly_cost = Dollars(most)}};
  world.pools.push_back(Wants("late", 1));
  PoolOf(world, "late").memory.queued_since = PoolOf(world, "late").memory.waiting_since = kNow;
  PoolOf(world, "late").memory.tiers_used = {10, 20};
  return world;
}

TEST(Drain, KeepsTheMoneyForWhereItGoes) {
  Snapshot world = DearerThere("110");
  const PoolDecision late = DecisionOf(Checked(world), "late");
  EXPECT_EQ(late.ready_reason, Reason::kSpendLimitReached);
  EXPECT_THAT(late.ready_message, HasSubstr("would cost 40.00 USD an hour, and namespace team has "
                                            "80.00 of its spend.maxHourlyCost of 110.00 in use"));
  world = Later(world, 399);
  EXPECT_EQ(MemoryOf(Checked(world), "far").hold->node_group, "aws");
  EXPECT_EQ(DecisionOf(Checked(world), "late").ready_reason, Reason::kSpendLimitReached);
  world = Later(world, 1);
  EXPECT_EQ(Brief(DecisionOf(Checked(world), "far")), "far@aws[aws-1 aws-2]#2");
  EXPECT_EQ(DecisionOf(Checked(world), "late").ready_reason, Reason::kSpendLimitReached);
}

TEST(Drain, CountsWhatItHasAndWhereItGoesOnce) {
  const Snapshot enough = DearerThere("120");
  EXPECT_EQ(MemoryOf(Checked(enough), "far").hold->node_group, "aws");
  EXPECT_EQ(DecisionOf(Checked(enough), "late").action, Action::kPlace);
  Snapshot cheaper = DearerThere("104");
  GroupOf(cheaper, "aws").marginal_per_node_hour = Dollars("20");
  EXPECT_EQ(MemoryOf(Checked(cheaper), "far").hold->node_group, "aws");
  EXPECT_EQ(DecisionOf(Checked(cheaper), "late").action, Action::kPlace);
  EXPECT_EQ(Checked(enough).quotas.front().spend.hourly_cost, Dollars("104"))
      << "far is not there yet";
}

TEST(Drain, LeavesTheMoneyToWhoComesBeforeIt) {
  Snapshot world = Later(DearerThere("110"), 1);
  ASSERT_TRUE(PoolOf(world, "far").memory.hold);
  PoolOf(world, "late").priority = 1;
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "late").action, Action::kPlace);
  EXPECT_FALSE(MemoryOf(plan, "far").hold);
  EXPECT_THAT(DecisionOf(plan, "far").placed_message,
              HasSubstr("aws: would cost 80.00 USD an hour"));
}

TEST(Drain, KeepsTheLimitForWhereItGoes) {
  Snapshot world = DearerThere("1000");
  GroupOf(world, "aws").accelerator = "h100";
  PoolOf(world, "far").accelerators.push_back({.type = "h100", .workers = 2});
  PoolOf(world, "late").accelerators.front().type = "h100";
  const auto with_limit = [&](int64_t most) {
    world.quotas.front().limits = {{.type = "h100", .limit = most}};
    return Checked(world);
  };
  EXPECT_EQ(DecisionOf(with_limit(16), "late").ready_reason, Reason::kWaitingForQuota);
  EXPECT_EQ(MemoryOf(with_limit(16), "far").hold->node_group, "aws");
  EXPECT_EQ(DecisionOf(with_limit(24), "late").action, Action::kPlace);
}

// ---- a budget that is used up ----

// far runs in azure for 64 an hour, and its namespace has spent what it may this month.
Snapshot OverBudget() {
  Snapshot world = Fleet(1, 2);
  AddGang(world, "far", {"azure-1", "azure-2"}).memory.tiers_used = {10};
  placement::Quota quota{.ns = "team", .limits = {}};
  quota.budget = {Dollars("100"), placement::BudgetPeriod::kMonth,
                  placement::AtLimit::kDrainAtCheckpoint};
  quota.memory = {Dollars("120"), Dollars("64"), kNow, At("2026-11-01T00:00:00Z")};
  world.quotas = {quota};
  return world;
}

TEST(BudgetDrain, GivesThePlaceUpAtTheNextCheckpointWhereNothingTakesIt) {
  Snapshot world = OverBudget();
  const Plan plan = Checked(world);
  const PoolDecision far = DecisionOf(plan, "far");
  EXPECT_EQ(Brief(far), "far@azure[azure-1 azure-2]#1");
  EXPECT_EQ(far.placed_reason, Reason::kWaitingForCheckpoint);
  EXPECT_THAT(
      far.placed_message,
      HasSubstr("namespace team has used up its spend.budget of 100.00 for this Month, whose "
                "atLimit is DrainAtCheckpoint: the gang leaves azure at its next checkpoint, by "
                "2026-11-24T12:06:40Z, and then waits, as no other node group takes it: "));
  EXPECT_THAT(far.placed_message, HasSubstr("home: needs 2 workers of 8 accelerators"));
  EXPECT_THAT(far.remedies, testing::Contains(HasSubstr("azure: raise spend.budget.amount")));
  EXPECT_EQ(far.memory.over_budget_since, kNow);
  EXPECT_EQ(plan.next_wake, kNow + Seconds{400});
  EXPECT_THAT(FormatWhy(world, plan, far), HasSubstr("Node groups, in the order tried"));
  world = Later(world, 399);
  EXPECT_EQ(DecisionOf(Checked(world), "far").action, Action::kKeep);
  world = Later(world, 1);
  const PoolDecision gone = DecisionOf(Checked(world), "far");
  EXPECT_EQ(Brief(gone), "far!SpendLimitReached");
  EXPECT_EQ(gone.action, Action::kRelease);
  EXPECT_THAT(gone.placed_message,
              HasSubstr("left azure at its checkpoint, as namespace team has used up its "
                        "spend.budget of 100.00 for this Month; azure: "));
  EXPECT_EQ(gone.memory.queued_since, world.pools[0].memory.queued_since);
  EXPECT_FALSE(gone.memory.over_budget_since);
  world = Later(world, 60);
  EXPECT_EQ(Brief(DecisionOf(Checked(world), "far")), "far!SpendLimitReached");
  Snapshot home = world;
  AddNodes(home, "home", 2);
  EXPECT_THAT(Brief(DecisionOf(Checked(home), "far")), HasSubstr("far@home"));
  world.now = At("2026-12-01T00:00:00Z");
  EXPECT_EQ(Brief(DecisionOf(Checked(world), "far")), "far@azure[azure-1 azure-2]#2");
}

TEST(BudgetDrain, IsForThoseWhoCostSomethingOnceTheBudgetIsUsedUp) {
  struct Case {
    const char* sentence;
    std::function<void(Snapshot&)> make;
    bool goes;
  };
  const std::vector<Case> cases = {
      {"used up", [](auto&) {}, true},
      {"just used up", [](Snapshot& w) { w.quotas[0].memory->spent = Dollars("100"); }, true},
      {"not used up",
       [](Snapshot& w) {
         w.quotas[0].memory->spent = Dollars("50");
         w.quotas[0].memory->hourly = Money();
       },
       false},
      {"used up in the month before",
       [](Snapshot& w) { w.quotas[0].memory->period_start = At("2026-10-01T00:00:00Z"); }, false},
      {"BlockSpill",
       [](Snapshot& w) { w.quotas[0].budget->at_limit = placement::AtLimit::kBlockSpill; }, false},
      {"another namespace's", [](Snapshot& w) { w.quotas[0].ns = "other"; }, false},
      {"free at the margin",
       [](Snapshot& w) { GroupOf(w, "azure").marginal_per_node_hour = Money(); }, false},
      {"at home", [](Snapshot& w) { GroupOf(w, "azure").tier = 0; }, false},
      {"it never returns by itself",
       [](Snapshot& w) { PoolOf(w, "far").return_home = ReturnHome::kNever; }, true},
      {"a group that is being drained too",
       [](Snapshot& w) { GroupOf(w, "azure").admission = Admission::kDrain; }, true},
      {"another group that costs something has room",
       [](Snapshot& w) {
         w.groups.push_back(Group("aws", 10));
         AddNodes(w, "aws", 2);
       },
       true},
      {"not all workers run", [](Snapshot& w) { PoolOf(w, "far").workers[0].running = false; },
       false},
  };
  for (const Case& c : cases) {
    Snapshot world = OverBudget();
    c.make(world);
    world = Later(world, 400);
    EXPECT_EQ(DecisionOf(Checked(world), "far").action == Action::kRelease, c.goes) << c.sentence;
  }
}

TEST(BudgetDrain, MovesAtTheCheckpointToWhereItCostsNothing) {
  for (const char* to : {"home", "lent"}) {
    Snapshot world = OverBudget();
    world.groups.push_back(Group("lent", 10));
    GroupOf(world, "lent").marginal_per_node_hour = Money();
    AddNodes(world, to, 2);
    PoolOf(world, "far").return_home = ReturnHome::kNever;
    const Plan plan = Checked(world);
    ASSERT_TRUE(MemoryOf(plan, "far").hold) << to;
    EXPECT_EQ(MemoryOf(plan, "far").hold->node_group, to);
    EXPECT_EQ(DecisionOf(plan, "far").placed_reason, Reason::kWaitingForCheckpoint);
    EXPECT_THAT(DecisionOf(plan, "far").placed_message,
                HasSubstr(std::string("the gang leaves azure for ") + to +
                          " at its next checkpoint, by 2026-11-24T12:06:40Z"));
    world = Later(world, 399);
    EXPECT_EQ(DecisionOf(Checked(world), "far").action, Action::kKeep);
    const PoolDecision gone = DecisionOf(Checked(Later(world, 1)), "far");
    EXPECT_EQ(gone.action, Action::kRestart);
    EXPECT_EQ(gone.memory.placement->node_group, to);
    EXPECT_THAT(gone.ready_message, HasSubstr(std::string("left azure for ") + to));
  }
}

TEST(BudgetDrain, TakesRoomThatComesWhenItsCheckpointDoes) {
  Snapshot world = Later(OverBudget(), 400);
  AddNodes(world, "home", 2);
  const Plan plan = Checked(world);
  EXPECT_EQ(DecisionOf(plan, "far").action, Action::kKeep) << "it is written down first";
  EXPECT_EQ(plan.next_wake, world.now + Seconds{1});
  EXPECT_EQ(DecisionOf(Checked(Later(world, 1)), "far").memory.placement->node_group, "home");
}

TEST(BudgetDrain, CountsCheckpointsAsPreemptionDoes) {
  Snapshot told = OverBudget();
  PoolOf(told, "far").last_checkpoint = kNow - Seconds{1};
  const Seconds interval = PoolOf(told, "far").checkpoint_interval;
  EXPECT_EQ(Checked(told).next_wake, kNow + 2 * interval);
  Snapshot fresh = Later(told, 10);
  PoolOf(fresh, "far").last_checkpoint = kNow + Seconds{9};
  EXPECT_EQ(DecisionOf(Checked(fresh), "far").action, Action::kRelease);
  Snapshot none = Later(told, static_cast<int>(2 * interval.count()) - 1);
  EXPECT_EQ(DecisionOf(Checked(none), "far").action, Action::kKeep);
  EXPECT_EQ(DecisionOf(Checked(Later(none, 1)), "far").action, Action::kRelease);
}

TEST(BudgetDrain, EndsWithThePeriodAndWithARaisedBudget) {
  Snapshot world = Later(OverBudget(), 10);
  ASSERT_TRUE(PoolOf(world, "far").memory.over_budget_since);
  world.quotas[0].budget->amount = Dollars("1000");
  EXPECT_FALSE(MemoryOf(Checked(world), "far").over_budget_since);
  EXPECT_FALSE(MemoryOf(Checked(world), "far").waiting_since);
  world = OverBudget();
  world.now = At("2026-11-30T23:59:00Z");
  PoolOf(world, "far").memory.placement->since = At("2026-11-30T23:50:00Z");
  world = Later(world, 0);
  world.now = At("2026-12-01T00:00:00Z");
  EXPECT_EQ(DecisionOf(Checked(world), "far").action, Action::kKeep);
  EXPECT_FALSE(MemoryOf(Checked(world), "far").over_budget_since);
}

// What it held because it had to leave is no return that is due.
TEST(BudgetDrain, IsNoReturnOnceItIsOver) {
  for (const ReturnHome policy : {ReturnHome::kAnytime, ReturnHome::kAtCheckpoint}) {
    Snapshot world = OverBudget();
    AddNodes(world, "home", 2);
    PoolOf(world, "far").return_home = policy;
    PoolOf(world, "far").return_after = Seconds{600};
    world = Later(world, 10);
    ASSERT_TRUE(PoolOf(world, "far").memory.hold);
    world.quotas[0].budget->amount = Dollars("100000");
    const Plan plan = Checked(world);
    EXPECT_EQ(DecisionOf(plan, "far").action, Action::kKeep);
    EXPECT_FALSE(MemoryOf(plan, "far").hold);
    EXPECT_EQ(MemoryOf(plan, "far").home_fits_since, world.now);
    EXPECT_EQ(DecisionOf(Checked(Later(world, 590)), "far").action, Action::kKeep);
  }
}

TEST(BudgetDrain, OwesNoSecondHoldBack) {
  Snapshot world = Later(OverBudget(), 400);
  const PoolDecision gone = DecisionOf(Checked(world), "far");
  ASSERT_EQ(gone.action, Action::kRelease);
  EXPECT_EQ(gone.memory.waiting_since, kNow);
}

TEST(BudgetDrain, KeepsNobodyWhoWasToLeaveSooner) {
  Snapshot world = OverBudget();
  AddNodes(world, "home", 2);
  TrainingPool& far = PoolOf(world, "far");
  far.last_checkpoint = kNow - Seconds{1};
  const Seconds interval = far.checkpoint_interval;
  GroupOf(world, "azure").admission = Admission::kDrain;
  world.quotas[0].budget->amount = Dollars("100000");
  world = Later(world, static_cast<int>(2 * interval.count()) - 1);
  ASSERT_TRUE(PoolOf(world, "far").memory.hold);
  world.quotas[0].budget->amount = Dollars("100");
  EXPECT_EQ(DecisionOf(Checked(world), "far").action, Action::kKeep);
  EXPECT_EQ(DecisionOf(Checked(Later(world, 1)), "far").action, Action::kRestart);
}

TEST(BudgetDrain, StartsNoNewAttemptWhereItMayNotStay) {
  Snapshot world = Later(OverBudget(), 10);
  PoolOf(world, "far").attempt.failed = true;
  PoolOf(world, "far").attempt.disrupted = true;
  const PoolDecision far = DecisionOf(Checked(world), "far");
  EXPECT_EQ(far.action, Action::kRelease);
  EXPECT_FALSE(far.memory.hold) << "nodes that it may not have are kept for nobody";
  EXPECT_THAT(far.placed_message, HasSubstr("used up its spend.budget"));
}

TEST(BudgetDrain, IsKnownToVerify) {
  Snapshot world = OverBudget();
  Plan plan = MakePlan(world);
  plan.pools[0].memory.over_budget_since.reset();
  EXPECT_EQ(Verify(world, plan).error().message, "team/far forgets since when it is to leave");
  world = Later(world, 400);
  Snapshot before = world;
  before.now -= Seconds{1};
  EXPECT_EQ(Verify(world, MakePlan(before)).error().message,
            "team/far stays past its checkpoint where there is no money for it");
  plan = MakePlan(world);
  EXPECT_EQ(Verify(before, plan).error().message, "team/far gives its place up for nothing");
}

// ---- what must come to rest ----

TEST(Moves, OfTwoGangsTheOneThatComesFirstGetsHome) {
  Snapshot world = Fleet(2, 4);
  AddGang(world, "a", {"azure-1", "azure-2"});
  AddGang(world, "b", {"azure-3", "azure-4"}).priority = 5;
  EXPECT_THAT(Moves(world), ElementsAre("b azure>home"));
}

TEST(Moves, AGangThatReturnsComesBeforeThoseBehindIt) {
  Snapshot world = Due();
  world.pools.push_back(New("late", 0, 2));
  world.pools.back().spill_allowed = false;
  EXPECT_THAT(Moves(world), ElementsAre("far azure>home"));
}

TEST(Moves, AGangThatReturnsComesAfterThoseBeforeIt) {
  Snapshot world = Due();
  world.pools.push_back(New("first", 5, 2));
  EXPECT_THAT(Moves(world), ElementsAre("first >home"));
}

TEST(Moves, AGangThatHadToGoRightAfterItsReturnDoesNotComeAndGo) {
  Snapshot world = Returned();
  world = Later(world, 1);
  Plan plan = Checked(world);
  EXPECT_EQ(Brief(DecisionOf(plan, "far")), "far@azure[azure-1 azure-2]#2");
  world = After(world, plan, world.now + Seconds{60});
  std::erase_if(world.pools, [](const TrainingPool& pool) { return pool.key.name == "high"; });
  plan = Checked(world);
  EXPECT_THAT(DecisionOf(plan, "far").placed_message,
              HasSubstr("lasted until " + FormatTime(world.now + Seconds{1200})));
  EXPECT_THAT(Moves(world), ElementsAre("far azure>home"));
}

TEST(Moves, ReplicasThatComeBeforeMayHaveWhatIsHeld) {
  Snapshot world = Later(Due(), 10);
  world.inference_pools = {Chat(12)};
  world.inference_pools[0].priority = 1;
  const Plan plan = Checked(world);
  EXPECT_EQ(Mix(ServingOf(plan)), "12 gpu@home");
  EXPECT_FALSE(MemoryOf(plan, "far").hold);
}

TEST(Moves, ReplicasThatComeLaterTakeNothingOfWhatIsHeld) {
  Snapshot world = Later(Due(), 10);
  PoolOf(world, "far").priority = 1;
  world.inference_pools = {Chat(12)};
  const Plan plan = Checked(world);
  EXPECT_EQ(Mix(ServingOf(plan)), "nothing");
  EXPECT_TRUE(MemoryOf(plan, "far").hold);
}

// ---- invariants ----

TEST(Verify, FindsMovesThatAreWrong) {
  struct Case {
    const char* message;
    std::function<void(Snapshot& world, PoolDecision& far)> breaks;
  };
  const std::vector<Case> going = {
      {"moves without having held nodes for it",
       [](Snapshot& world, auto&) { PoolOf(world, "far").memory.hold.reset(); }},
      {"moves to a node that it did not hold: home-3",
       [](auto&, PoolDecision& far) { far.memory.placement->nodes = {"home-1", "home-3"}; }},
      {"moves without a reason",
       [](Snapshot& world, auto&) { PoolOf(world, "far").return_home = ReturnHome::kNever; }},
      {"moves without a reason",
       [](Snapshot& world, auto&) {
         GroupOf(world, "home").marginal_per_node_hour = Dollars("32");
       }},
  };
  for (const Case& c : going) {
    Snapshot world = Later(Due(3), 400);
    Plan plan = Checked(world);
    ASSERT_EQ(plan.pools[0].action, Action::kRestart);
    c.breaks(world, plan.pools[0]);
    const Status status = Verify(world, plan);
    ASSERT_FALSE(status.ok()) << c.message;
    EXPECT_EQ(status.error().message, std::string("team/far ") + c.message);
  }
  const std::vector<Case> holding = {
      {"is placed and holds nodes, but not to move there",
       [](auto&, PoolDecision& far) { far.memory.hold->since.reset(); }},
      {"is to move without a reason",
       [](Snapshot& world, auto&) { GroupOf(world, "home").tier = 5; }},
  };
  for (const Case& c : holding) {
    Snapshot world = Due();
    Plan plan = Checked(world);
    c.breaks(world, plan.pools[0]);
    const Status status = Verify(world, plan);
    ASSERT_FALSE(status.ok()) << c.message;
    EXPECT_EQ(status.error().message, std::string("team/far ") + c.message);
  }
}

}  // namespace
}  // namespace spillway::tests
