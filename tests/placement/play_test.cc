// Gangs that come and go: waits, work and bills as they come out by hand, and what holds in every
// play.
#include "placement/play.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Arrival;
using placement::GangRecord;
using placement::GangState;
using placement::GroupRecord;
using placement::Plan;
using placement::PlayRecord;
using placement::PlayRules;
using placement::Preemptible;
using placement::VerifiedPlan;
using testing::ElementsAre;
using testing::HasSubstr;

Arrival Comes(int at, int runs_for, TrainingPool pool) {
  return {.at = Seconds{at}, .runs_for = Seconds{runs_for}, .pool = std::move(pool)};
}

// One worker on a whole node, at home only.
TrainingPool AtHome(const std::string& name) {
  TrainingPool pool = Wants(name, 1);
  pool.spill_allowed = false;
  return pool;
}

PlayRecord Played(const Snapshot& world, const std::vector<Arrival>& arrivals,
                  const PlayRules& rules = {}) {
  auto record = Play(world, arrivals, VerifiedPlan, rules);
  EXPECT_TRUE(record.ok()) << record.error().message;
  return record.ok() ? *record : PlayRecord();
}

const GangRecord& RecordOf(const PlayRecord& record, const std::string& name) {
  return *std::find_if(record.gangs.begin(), record.gangs.end(),
                       [&](const GangRecord& gang) { return gang.key.name == name; });
}
const GroupRecord& HomeOf(const PlayRecord& record) { return record.groups.back(); }
const GroupRecord& AzureOf(const PlayRecord& record) { return record.groups.front(); }

int Second(std::optional<Time> time) { return static_cast<int>((time.value() - kNow).count()); }

// ---- by hand ----

// Each takes the node for 60 s of start and its work: 0-1060, 1060-2120, 2120-3180.
std::vector<Arrival> ThreeGangs() {
  return {Comes(0, 1000, AtHome("a")), Comes(100, 1000, AtHome("b")),
          Comes(200, 1000, AtHome("c"))};
}

TEST(Play, LetsGangsWaitForOneAnother) {
  const PlayRecord record = Played(Fleet(1), ThreeGangs());
  EXPECT_EQ(Second(RecordOf(record, "a").started), 0);
  EXPECT_EQ(Second(RecordOf(record, "b").started), 1060);
  EXPECT_EQ(Second(RecordOf(record, "c").started), 2120);
  EXPECT_EQ(RecordOf(record, "a").waited, Seconds{0});
  EXPECT_EQ(RecordOf(record, "b").waited, Seconds{960});
  EXPECT_EQ(RecordOf(record, "c").waited, Seconds{1920});
  EXPECT_EQ(Second(record.ended), 3180);
  for (const GangRecord& gang : record.gangs) {
    EXPECT_EQ(gang.state, GangState::kCompleted);
    EXPECT_EQ(gang.useful, 8 * 1000);
    EXPECT_EQ(gang.overhead, 8 * 60);
    EXPECT_EQ(gang.attempts, 1);
  }
}

TEST(Play, BillsEveryNodeForTheWholeTime) {
  const PlayRecord record = Played(Fleet(2), ThreeGangs());  // 0-1060, 100-1160, 1060-2120
  EXPECT_EQ(Second(record.ended), 2120);
  const GroupRecord& home = HomeOf(record);
  EXPECT_EQ(home.nodes, 2);
  EXPECT_EQ(home.node_seconds, 2 * 2120);
  EXPECT_EQ(home.paid, 8 * 2 * 2120);
  EXPECT_EQ(home.used, 8 * 3 * 1060);
  EXPECT_EQ(home.bill, Dollars("37.688889"));  // 32 × 4240 s ÷ 3600 s
  EXPECT_EQ(home.idle, Dollars("9.422222"));   // 1060 of the 4240
  EXPECT_EQ(home.reserved, 0);
}

// Placed at 0 and ready at 60, told to stop at 1701, a second after it was asked: of its work what
// it did until its checkpoint at 1000 is safe. Its pods are gone at 1731, the other gang's work is
// done at 2291, and 60 s later the rest of its own goes on.
TEST(Play, LosesWorkSinceTheLastCheckpoint) {
  Arrival low = Comes(0, 5000, AtHome("low"));
  low.pool.checkpoint_interval = Seconds{1000};
  low.pool.preemptible = Preemptible::kAlways;
  low.pool.min_run = Seconds{0};
  Arrival high = Comes(1700, 500, AtHome("high"));
  high.pool.priority = 10;
  const PlayRecord record = Played(Fleet(1), {low, high});
  const GangRecord& victim = RecordOf(record, "low");
  EXPECT_EQ(victim.preemptions, 1);
  EXPECT_EQ(victim.attempts, 2);
  EXPECT_EQ(victim.lost, 8 * 701);
  EXPECT_EQ(victim.useful, 8 * 5000);
  EXPECT_EQ(victim.overhead, 8 * (60 + 30 + 60));
  EXPECT_EQ(victim.waited, Seconds{2291 - 1701});
  EXPECT_EQ(Second(victim.ended), 2291 + 60 + 5000 - 940);
  EXPECT_EQ(RecordOf(record, "high").waited, Seconds{31});
}

TEST(Play, LosesNothingAtACheckpoint) {
  Arrival low = Comes(0, 5000, AtHome("low"));
  low.pool.checkpoint_interval = Seconds{1000};
  Arrival high = Comes(1700, 500, AtHome("high"));
  high.pool.priority = 10;
  const PlayRecord record = Played(Fleet(1), {low, high});
  EXPECT_EQ(RecordOf(record, "low").preemptions, 1);
  EXPECT_EQ(RecordOf(record, "low").lost, 0);
  EXPECT_EQ(RecordOf(record, "high").waited, Seconds{2030 - 1700});
}

// b comes at 100, spills at 700, may return from 1060 on, is due at 1660, and leaves at its first
// checkpoint, at 2500. Its pods are gone at 2530; at home it is ready at 2590 and has 1260 s to go.
std::vector<Arrival> OneThatReturns() {
  TrainingPool b = Wants("b", 1);
  b.checkpoint_interval = Seconds{1800};
  return {Comes(0, 1000, AtHome("a")), Comes(100, 3000, b)};
}

TEST(Play, BringsGangsHome) {
  const PlayRecord record = Played(Fleet(1, 1), OneThatReturns());
  const GangRecord& b = RecordOf(record, "b");
  EXPECT_EQ(b.spills, 1);
  EXPECT_EQ(b.moves, 1);
  EXPECT_EQ(b.preemptions, 0);
  EXPECT_EQ(b.attempts, 2);
  EXPECT_EQ(b.waited, Seconds{600});
  EXPECT_EQ(b.lost, 0);
  EXPECT_EQ(Second(b.ended), 3850);
  EXPECT_EQ(HomeOf(record).reserved, 8 * (2530 - 1660));
  EXPECT_EQ(AzureOf(record).used, 8 * (2530 - 700));
  EXPECT_EQ(AzureOf(record).node_seconds, 3850);
}

TEST(Play, PaysForRentedNodesWhileTheyAreUsedAndABitLonger) {
  PlayRules rules;
  rules.release_after = Seconds{600};
  const PlayRecord record = Played(Fleet(1, 1), OneThatReturns(), rules);
  EXPECT_EQ(HomeOf(record).node_seconds, 3850);
  EXPECT_EQ(AzureOf(record).node_seconds, 2530 - 700 + 600);
  EXPECT_EQ(AzureOf(record).bill, Dollars("21.60"));
  EXPECT_EQ(AzureOf(record).idle, Dollars("5.333333"));
}

TEST(Play, TakesAsLongToStartAndStopAsItIsTold) {
  PlayRules rules;
  rules.startup = Seconds{100};
  rules.stop = Seconds{500};
  std::vector<Arrival> arrivals = OneThatReturns();
  arrivals[1].pool.checkpoint_grace = Seconds{200};  // gone at 2700, ready at 2800
  EXPECT_EQ(Second(Played(Fleet(1, 1), arrivals, rules).ended), 2800 + 3000 - (2500 - 800));
  rules.startup = rules.stop = Seconds{0};  // a second each
  EXPECT_EQ(Second(Played(Fleet(1, 1), arrivals, rules).ended), 2502 + 3000 - (2500 - 701));
}

TEST(Play, EndsGangsAtTheirDeadlines) {
  Arrival late = Comes(0, 1000, AtHome("late"));
  late.pool.active_deadline = Seconds{500};
  const PlayRecord record = Played(Fleet(1), {late, Comes(10, 100, AtHome("next"))});
  EXPECT_EQ(RecordOf(record, "late").state, GangState::kFailed);
  EXPECT_EQ(Second(RecordOf(record, "late").ended), 500);
  EXPECT_EQ(RecordOf(record, "late").useful, 0);
  EXPECT_EQ(RecordOf(record, "late").lost, 8 * 440);
  EXPECT_EQ(Second(RecordOf(record, "next").started), 530);
}

// ---- what was there before ----

TEST(Play, LetsWhatRunsRunForEver) {
  Snapshot world = Fleet(1, 1);
  AddRunning(world, "old", 1, 8, "home", {"home-1"});
  const PlayRecord record = Played(world, {Comes(0, 1000, Wants("new", 1))});
  ASSERT_EQ(record.gangs.size(), 1U);
  EXPECT_EQ(RecordOf(record, "new").waited, Seconds{600});
  EXPECT_EQ(HomeOf(record).used, 8 * 1660);
}

TEST(Play, TakesOverWhatStartsAndWhatStops) {
  Snapshot world = Fleet(2);
  TrainingPool& starting = AddRunning(world, "starting", 1, 8, "home", {"home-1"});
  starting.workers[0].running = starting.workers[0].ready = false;
  TrainingPool& stopping = AddRunning(world, "stopping", 1, 8, "home", {"home-2"});
  stopping.memory.placement.reset();
  stopping.attempt = {};
  stopping.suspended = true;
  std::optional<int> ready_at;
  const auto planner = [&](const Snapshot& now) {
    if (!ready_at && now.pools[0].workers[0].ready) ready_at = Second(now.now);
    return VerifiedPlan(now);
  };
  const auto record = Play(world, {Comes(0, 100, AtHome("new"))}, planner, {});
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(ready_at, 60);
  EXPECT_EQ(Second(record->gangs[0].started), 30);
}

TEST(Play, BindsWhatIsNotBoundYet) {
  Snapshot world = Fleet(1);
  TrainingPool& pending = AddRunning(world, "pending", 2, 2, "home", {"home-1"});
  placement::Worker& unbound = pending.workers[1];
  NodeOf(world, "home-1").used.Subtract(unbound.requests);
  unbound.node.clear();
  for (placement::Worker& worker : pending.workers) worker.running = worker.ready = false;
  EXPECT_EQ(HomeOf(Played(world, {Comes(0, 940, Wants("new", 1, 4))})).used, 8 * 1000);
}

// One of its two workers has failed: it takes no room, and the gang starts anew.
TEST(Play, CountsEndedWorkersAsGone) {
  Snapshot world = Fleet(1);
  TrainingPool& failed = AddRunning(world, "failed", 2, 2, "home", {"home-1"});
  failed.workers[1].ended = true;
  failed.workers[1].running = failed.workers[1].ready = false;
  NodeOf(world, "home-1").used.Subtract(failed.workers[1].requests);
  failed.attempt.failed = true;
  failed.attempt.disrupted = true;
  // 30 s of one worker on its way out, then both of the new attempt.
  EXPECT_EQ(HomeOf(Played(world, {Comes(0, 940, Wants("new", 1, 4))})).used,
            2 * 30 + 4 * 970 + 4 * 1000);
}

TEST(Play, TakesOverReplicas) {
  Snapshot world = Fleet(1);
  placement::InferencePool chat = Chat(3);
  Runs(world, chat, "gpu", "home", 3, 1, {"home-1"});
  NodeOf(world, "home-1").used.Subtract(chat.live[2].requests);
  chat.live[2].node.clear();
  world.inference_pools = {chat};
  std::optional<int> ready_at;
  const auto planner = [&](const Snapshot& now) {
    const auto& live = now.inference_pools[0].live;
    const bool all =
        std::all_of(live.begin(), live.end(), [](const auto& one) { return one.ready; });
    if (!ready_at && all) ready_at = Second(now.now);
    return VerifiedPlan(now);
  };
  const auto record = Play(world, {Comes(0, 940, Wants("gang", 1, 4))}, planner, {});
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(ready_at, 300);
  EXPECT_EQ(record->groups.back().used, 7 * 1000);
}

// Four replicas of one accelerator each, beside a gang that takes the other four.
TEST(Play, MakesReplicasAsTheyAreDecided) {
  Snapshot world = Fleet(1);
  world.inference_pools = {Chat(4)};
  std::optional<int> ready_at;
  const auto planner = [&](const Snapshot& now) {
    const auto& live = now.inference_pools[0].live;
    const bool all =
        std::all_of(live.begin(), live.end(), [](const auto& one) { return one.ready; });
    if (!ready_at && live.size() == 4 && all) ready_at = Second(now.now);
    return VerifiedPlan(now);
  };
  Arrival gang = Comes(0, 940, Wants("gang", 1, 4));
  gang.pool.spill_allowed = false;
  const auto record = Play(world, {gang}, planner, {});
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(ready_at, 300);
  EXPECT_EQ(record->groups.back().used, 8 * 1000);
}

TEST(Play, BindsReplicasOnlyWhereTheyMayRun) {
  Snapshot world = Fleet(2);
  NodeOf(world, "home-1").labels["size"] = "small";
  NodeOf(world, "home-2").labels["size"] = "large";
  placement::InferencePool chat = Chat(2);
  chat.variants[0].node_terms = {{{.key = "size", .op = "In", .values = {"large"}}}};
  world.inference_pools = {chat};
  std::set<std::string> nodes;
  const auto planner = [&](const Snapshot& now) {
    for (const auto& replica : now.inference_pools[0].live) nodes.insert(replica.node);
    return VerifiedPlan(now);
  };
  Arrival gang = Comes(0, 500, Wants("gang", 1, 4));
  ASSERT_TRUE(Play(world, {gang}, planner, {}).ok());
  EXPECT_THAT(nodes, ElementsAre("home-2"));
}

TEST(Play, TakesReplicasAwayAsTheyAreDecided) {
  Snapshot world = Fleet(1);
  placement::InferencePool chat = Chat(2);
  Runs(world, chat, "gpu", "home", 4, 4, {"home-1"});
  world.inference_pools = {chat};
  Arrival gang = Comes(0, 940, Wants("gang", 1, 4));
  gang.pool.spill_allowed = false;
  EXPECT_EQ(HomeOf(Played(world, {gang})).used, 4 * 1000 + 2 * 1000 + 2 * 30);
  world.inference_pools[0].replicas = 0;
  EXPECT_EQ(HomeOf(Played(world, {gang})).used, 4 * 1000 + 4 * 30);
}

// ---- ends ----

TEST(Play, EndsWhenNothingCanHappenAnyMore) {
  const PlayRecord record = Played(Fleet(1), {Comes(5, 10, AtHome("a")), [] {
                                                Arrival never = Comes(0, 10, AtHome("never"));
                                                never.pool.accelerators[0].workers = 9;
                                                return never;
                                              }()});
  EXPECT_EQ(RecordOf(record, "a").state, GangState::kCompleted);
  EXPECT_EQ(RecordOf(record, "never").state, GangState::kWaiting);
  EXPECT_EQ(RecordOf(record, "never").waited, Seconds{75});
  EXPECT_EQ(Second(record.ended), 75);
}

// Whatever happens, this planner wants to be asked again so much later.
placement::Planner Restless(Seconds after) {
  return [after](const Snapshot& now) -> Result<Plan> {
    Plan plan = MakePlan(now);
    plan.next_wake = now.now + after;
    return plan;
  };
}

TEST(Play, EndsWhenNothingHasHappenedForLong) {
  PlayRules rules;
  rules.patience = Seconds{3 * 86400};
  const std::vector<Arrival> arrivals = {Comes(100, 10, Wants("never", 9))};
  const auto record = Play(Fleet(1), arrivals, Restless(Seconds{86400}), rules);
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(Second(record->ended), 100 + 3 * 86400);
  EXPECT_EQ(RecordOf(*record, "never").waited, Seconds{3 * 86400});
}

TEST(Play, RefusesAPlannerThatComesToNoEnd) {
  PlayRules rules;
  rules.most_passes = 10;
  const auto record = Play(Fleet(0), {Comes(0, 10, AtHome("a"))}, Restless(Seconds{1}), rules);
  ASSERT_FALSE(record.ok());
  EXPECT_EQ(record.error().code, Code::kInternal);
  EXPECT_EQ(record.error().message, "at 2026-11-24T12:00:10Z: no end after 10 passes");
}

TEST(Play, TellsWhatThePlannerSays) {
  const auto broken = [](const Snapshot&) -> Result<Plan> { return Error{Code::kInternal, "no"}; };
  const auto record = Play(Fleet(1), {Comes(7, 10, AtHome("a"))}, broken, {});
  ASSERT_FALSE(record.ok());
  EXPECT_EQ(record.error().message, "at 2026-11-24T12:00:00Z: no");
}

TEST(Play, RefusesArrivalsThatCannotBe) {
  Snapshot world = Fleet(2);
  AddRunning(world, "there", 1, 8, "home", {"home-1"});
  TrainingPool placed = AtHome("placed");
  placed.memory.attempts = 1;
  struct Case {
    std::vector<Arrival> arrivals;
    std::string message;
  };
  for (const Case& c : std::vector<Case>{
           {{Comes(0, 1, AtHome("there"))},
            "arrival team/there: there is a TrainingPool of that name already"},
           {{Comes(0, 1, AtHome("a")), Comes(1, 1, AtHome("a"))},
            "arrival team/a: there is a TrainingPool of that name already"},
           {{Comes(-1, 1, AtHome("a"))}, "arrival team/a: comes before the snapshot's moment"},
           {{Comes(0, 0, AtHome("a"))}, "arrival team/a: must run for 1 s at the least"},
           {{Comes(0, 1, placed)}, "arrival team/placed: has a status, a Job or workers already"},
       }) {
    const auto record = Play(world, c.arrivals, VerifiedPlan, {});
    ASSERT_FALSE(record.ok());
    EXPECT_EQ(record.error().code, Code::kInvalid);
    EXPECT_EQ(record.error().message, c.message);
  }
}

// ---- over seeds ----

TrainingPool RandomGang(Dice& dice, int number) {
  const int per_worker = dice.Pick(std::vector<int>{1, 2, 4, 8});
  TrainingPool pool = Wants("g" + std::to_string(number), dice.Roll(3) + 1, per_worker);
  pool.key.ns = "team-" + std::to_string(dice.Roll(3));
  pool.priority = dice.Roll(3) * 10;
  pool.preemptible = dice.Pick(std::vector<Preemptible>{
      Preemptible::kAlways, Preemptible::kAtCheckpoint, Preemptible::kNever});
  pool.topology = dice.Pick(std::vector<placement::TopologyMode>{
      placement::TopologyMode::kRequired, placement::TopologyMode::kPreferred});
  pool.spill_allowed = !dice.OneIn(3);
  pool.spill_after = Seconds{dice.Roll(2) * 600};
  pool.min_run = Seconds{dice.Roll(1000)};
  pool.checkpoint_interval = Seconds{dice.Roll(2000) + 1};
  pool.checkpoint_grace = Seconds{dice.Roll(60)};
  return pool;
}

struct Scenario {
  Snapshot world;
  std::vector<Arrival> arrivals;
};

// Four nodes at home and three in a cloud, and more than they can take at once. All fit when
// nothing else runs.
Scenario RandomScenario(uint32_t seed, bool deadlines) {
  Dice dice(seed);
  Scenario out;
  out.world = Fleet(0);
  AddNodes(out.world, "home", 4, 8, "d1");
  AddNodes(out.world, "azure", 3, 8, "d2");
  if (dice.OneIn(2)) {
    for (int ns = 0; ns < 3; ++ns) {
      placement::Quota quota;
      quota.ns = "team-" + std::to_string(ns);
      quota.weight = dice.Roll(3) + 1;
      quota.limits = {{.type = "a100", .limit = 24 + dice.Roll(9), .guaranteed = dice.Roll(9)}};
      out.world.quotas.push_back(quota);
    }
  }
  int at = 0;
  for (int number = 0; number < 12; ++number) {
    at += dice.Roll(800);
    const int runs_for = dice.Roll(6000) + 1;
    out.arrivals.push_back(Comes(at, runs_for, RandomGang(dice, number)));
    if (deadlines) {
      out.arrivals.back().pool.active_deadline = Seconds{runs_for + dice.Roll(3000)};
    }
  }
  return out;
}

TEST(EveryPlay, AccountsForEveryGangAndEverySecond) {
  int completed = 0;
  int preempted = 0;
  int moved = 0;
  for (uint32_t seed = 0; seed < Seeds(300U); ++seed) {
    const Scenario scenario = RandomScenario(seed, false);
    const auto record = Play(scenario.world, scenario.arrivals, VerifiedPlan, {});
    ASSERT_TRUE(record.ok()) << "seed " << seed << ": " << record.error().message;
    ASSERT_EQ(record->gangs.size(), scenario.arrivals.size());
    int64_t by_gangs = 0;
    for (const GangRecord& gang : record->gangs) {
      by_gangs += gang.useful + gang.lost + gang.overhead;
      ASSERT_EQ(gang.state, GangState::kCompleted) << "seed " << seed << " " << gang.key.Format();
      ASSERT_EQ(gang.useful, gang.accelerators * gang.runs_for.count()) << "seed " << seed;
      ASSERT_LE(gang.arrived, gang.started) << "seed " << seed;
      ASSERT_GE(gang.waited, *gang.started - gang.arrived) << "seed " << seed;
      ++completed;
      preempted += gang.preemptions;
      moved += gang.moves;
    }
    int64_t by_groups = 0;
    for (const GroupRecord& group : record->groups) {
      by_groups += group.used;
      ASSERT_LE(group.used + group.reserved, group.paid) << "seed " << seed;
    }
    ASSERT_EQ(by_gangs, by_groups) << "seed " << seed;
  }
  EXPECT_EQ(completed, Seeds(300) * 12);
  EXPECT_GT(preempted, Seeds(100));
  EXPECT_GT(moved, Seeds(100));
}

TEST(EveryPlay, EndsAllThatHaveDeadlines) {
  int failed = 0;
  for (uint32_t seed = 0; seed < Seeds(300U); ++seed) {
    const Scenario scenario = RandomScenario(seed, true);
    const auto record = Play(scenario.world, scenario.arrivals, VerifiedPlan, {});
    ASSERT_TRUE(record.ok()) << "seed " << seed << ": " << record.error().message;
    for (const GangRecord& gang : record->gangs) {
      ASSERT_TRUE(gang.ended) << "seed " << seed << " " << gang.key.Format();
      const bool done = gang.state == GangState::kCompleted;
      ASSERT_TRUE(done || gang.state == GangState::kFailed) << "seed " << seed;
      if (!done) ++failed;
    }
  }
  EXPECT_GT(failed, Seeds(100));
}

// A gang comes into any world there is, and the planner's invariants hold in every pass after that.
TEST(EveryPlay, GoesOnFromAnyWorld) {
  PlayRules rules;
  rules.patience =
      Seconds{43200};  // where a budget begins anew each day, gangs come and go for ever
  int completed = 0;
  for (uint32_t seed = 0; seed < Seeds(400U); ++seed) {
    const auto record =
        Play(RandomWorld(seed), {Comes(5000, 7000, Wants("late", 1, 1))}, VerifiedPlan, rules);
    ASSERT_TRUE(record.ok()) << "seed " << seed << ": " << record.error().message;
    if (record->gangs[0].state == GangState::kCompleted) ++completed;
  }
  EXPECT_GT(completed, Seeds(100));
}

// ---- texts ----

TEST(Percentile, IsAValueThatIsThere) {
  const auto seconds = [](int count) {
    std::vector<Seconds> values;
    for (int i = count; i > 0; --i) values.push_back(Seconds{i});
    return values;
  };
  EXPECT_EQ(placement::Percentile({}, 50), std::nullopt);
  EXPECT_EQ(placement::Percentile(seconds(1), 1), Seconds{1});
  EXPECT_EQ(placement::Percentile(seconds(4), 50), Seconds{2});
  EXPECT_EQ(placement::Percentile(seconds(5), 50), Seconds{3});
  EXPECT_EQ(placement::Percentile(seconds(100), 95), Seconds{95});
  EXPECT_EQ(placement::Percentile(seconds(100), 100), Seconds{100});
}

TEST(PlayText, TellsGangsThenSums) {
  EXPECT_EQ(
      FormatPlay(Played(Fleet(1, 1), OneThatReturns())),
      "team/a Completed: came 2026-11-24T12:00:00Z, started 2026-11-24T12:00:00Z, ended "
      "2026-11-24T12:17:40Z, waited 0 s, 1 attempt\n"
      "team/b Completed: came 2026-11-24T12:01:40Z, started 2026-11-24T12:11:40Z, ended "
      "2026-11-24T13:04:10Z, waited 600 s, 2 attempts, 1 spill, 1 move\n"
      "2 gangs from 2026-11-24T12:00:00Z to 2026-11-24T13:04:10Z in 11 passes: 2 completed, "
      "0 failed, 0 running, 0 waiting\n"
      "waits: p50 0 s, p95 600 s, p99 600 s, longest 600 s\n"
      "1 spill, 1 move, 0 preemptions\n"
      "accelerator-hours: 8.89 useful, 0.00 lost, 0.47 starting and stopping\n"
      "azure: 8.56 accelerator-hours paid for on 1 node, 47.5 % used, 0.0 % reserved; 34.222222 "
      "USD, 17.955555 of it idle\n"
      "home: 8.56 accelerator-hours paid for on 1 node, 61.8 % used, 22.6 % reserved; 34.222222 "
      "USD, 13.066667 of it idle\n"
      "the nodes cost 68.444444 USD, 31.022222 of it idle\n");
}

TEST(PlayText, IsTheSameForPrograms) {
  const std::string yaml =
      WritePlay(Played(Fleet(1), {Comes(0, 1000, AtHome("a"))}), placement::Form::kYaml);
  EXPECT_EQ(
      yaml,
      "began: 2026-11-24T12:00:00Z\n"
      "ended: 2026-11-24T12:17:40Z\n"
      "currency: USD\n"
      "passes: 3\n"
      "waitedSeconds: {p50: 0, p95: 0, p99: 0, longest: 0}\n"
      "totals: {completed: 1, failed: 0, running: 0, waiting: 0, spills: 0, moves: 0, "
      "preemptions: 0, acceleratorSeconds: {useful: 8000, lost: 0, startingAndStopping: 480}, "
      "bill: \"9.422222\", idleBill: \"0.00\"}\n"
      "gangs:\n"
      "  - {namespace: team, name: a, state: Completed, arrived: 2026-11-24T12:00:00Z, started: "
      "2026-11-24T12:00:00Z, ended: 2026-11-24T12:17:40Z, runsForSeconds: 1000, waitedSeconds: "
      "0, accelerators: 8, attempts: 1, spills: 0, moves: 0, preemptions: 0, "
      "acceleratorSeconds: {useful: 8000, lost: 0, startingAndStopping: 480}}\n"
      "groups:\n"
      "  - {name: azure, tier: 10, nodes: 0, nodeSeconds: 0, acceleratorSeconds: {paid: 0, "
      "used: 0, reserved: 0}, bill: \"0.00\", idleBill: \"0.00\"}\n"
      "  - {name: home, tier: 0, nodes: 1, nodeSeconds: 1060, acceleratorSeconds: {paid: 8480, "
      "used: 8480, reserved: 0}, bill: \"9.422222\", idleBill: \"0.00\"}\n");
}

// ---- traces ----

TEST(ReadArrivals, ReadsOneALine) {
  const auto arrivals = placement::ReadArrivals(
      "# a trace\n"
      "arrivals:\n"
      "  - {atSeconds: 30, runsForSeconds: 600, pool: {namespace: team, name: a, "
      "acceleratorsPerWorker: 8, accelerators: [{type: a100, workers: 2}]}}\n"
      "  - {runsForSeconds: 5, pool: {namespace: team, name: b}}\n");
  ASSERT_TRUE(arrivals.ok()) << arrivals.error().message;
  ASSERT_EQ(arrivals->size(), 2U);
  EXPECT_EQ((*arrivals)[0].at, Seconds{30});
  EXPECT_EQ((*arrivals)[0].runs_for, Seconds{600});
  EXPECT_EQ((*arrivals)[0].pool.key.Format(), "team/a");
  EXPECT_EQ((*arrivals)[0].pool.per_worker, 8);
  EXPECT_EQ((*arrivals)[1].at, Seconds{0});
}

TEST(ReadArrivals, SaysWhatIsWrongAndWhere) {
  struct Case {
    std::string text;
    std::string message;
  };
  const std::string pool = "pool: {namespace: team, name: a}";
  for (const Case& c : std::vector<Case>{
           {"", "has no arrival: one a line below arrivals:"},
           {"now: 2026-11-24T12:00:00Z\n",
            "line 1: field now is not allowed here; allowed: arrivals"},
           {"arrivals:\n  - {at: 1}\n",
            "line 2: arrivals: field at: is unknown; allowed: atSeconds, runsForSeconds, pool"},
           {"arrivals:\n  - {runsForSeconds: soon, " + pool + "}\n",
            "line 2: arrivals: field runsForSeconds: \"soon\" is no whole number"},
           {"arrivals:\n  - {" + pool + "}\n",
            "line 2: arrivals: field runsForSeconds: must be at least 1"},
           {"arrivals:\n  - {atSeconds: -1, runsForSeconds: 1, " + pool + "}\n",
            "line 2: arrivals: field atSeconds: must be at least 0"},
           {"arrivals:\n  - {runsForSeconds: 1}\n",
            "line 2: arrivals: field pool.name: is missing"},
           {"arrivals:\n  - {runsForSeconds: 1, " + pool + "}\n  - {runsForSeconds: 1, " + pool +
                "}\n",
            "line 3: arrivals: field pool.name: \"team/a\" stands here a second time"},
           {"arrivals:\n  - {runsForSeconds: 1, pool: {name: a, status: {attempts: 1}}}\n",
            "line 2: arrivals: field pool.status: is not allowed: the pool is new"},
           {"arrivals:\n  - {runsForSeconds: 1, pool: {name: a, attempt: {exists: true}}}\n",
            "line 2: arrivals: field pool.attempt: is not allowed: the pool is new"},
           {"arrivals:\n  - {runsForSeconds: 1, pool: {name: a, workers: [{pod: p}]}}\n",
            "line 2: arrivals: field pool.workers: is not allowed: the pool is new"},
       }) {
    const auto arrivals = placement::ReadArrivals(c.text);
    ASSERT_FALSE(arrivals.ok()) << c.text;
    EXPECT_EQ(arrivals.error().code, Code::kInvalid);
    EXPECT_THAT(arrivals.error().message, testing::StartsWith(c.message));
  }
}

}  // namespace
}  // namespace spillway::tests
