// Plans that are made one after another of what has changed are those that would be made from
// scratch. A failure prints the seed and the step: the world is RandomWorld(seed).
#include "placement/replan.h"

#include <gtest/gtest.h>

#include <array>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "cluster.h"
#include "passes.h"
#include "placement/plan.h"
#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Applied;
using placement::MakePlan;
using placement::Plan;
using placement::Replanner;
using placement::Worker;
using Effort = Replanner::Effort;

constexpr uint32_t kWorlds = 1000;
constexpr int kSteps = 24;

// By Effort.
using Efforts = std::array<int, 3>;

int& Of(Efforts& efforts, Effort effort) { return efforts.at(static_cast<size_t>(effort)); }

std::string Difference(const Plan& one, const Plan& other) {
  for (size_t p = 0; p < other.pools.size(); ++p) {
    if (one.pools.at(p) != other.pools[p]) return "about " + other.pools[p].key.Format();
  }
  if (one.inference_pools != other.inference_pools) return "about inference pools";
  if (one.groups != other.groups) return "about groups";
  if (one.quotas != other.quotas) return "about quotas";
  return one.next_wake != other.next_wake ? "in next_wake" : "";
}

// ---- changes ----

void ChangeDoings(Dice& dice, TrainingPool& pool) {
  const bool start_or_stop = dice.OneIn(3);
  for (Worker& worker : pool.workers) {
    if (start_or_stop && dice.OneIn(3)) worker.running = dice.OneIn(2);
    if (dice.OneIn(2)) worker.ready = worker.running && dice.OneIn(2);
    if (worker.node.empty()) worker.why_unbound = dice.OneIn(2) ? "0/9 nodes are available" : "";
  }
  if (dice.OneIn(8)) pool.attempt.exists = !pool.attempt.exists;
  if (dice.OneIn(8)) pool.memory.ready_since.reset();
}

void ChangePool(Dice& dice, TrainingPool& pool) {
  switch (dice.Roll(8)) {
    case 0:
      pool.suspended = !pool.suspended;
      break;
    case 1:
      pool.priority = dice.Roll(3);
      break;
    case 2:
      pool.preemptible = placement::Preemptible::kNever;
      break;
    case 3:
      pool.memory.restart_took = Seconds{dice.Roll(600)};
      break;
    case 4:
      pool.attempt.failed = !pool.attempt.failed;
      break;
    case 5:
      if (!pool.workers.empty()) pool.workers.pop_back();
      break;
    case 6:
      if (!pool.workers.empty()) pool.workers.front().ended = true;
      break;
    default:
      pool.return_home = placement::ReturnHome::kAnytime;
      break;
  }
}

template <class T>
T* AnyOf(Dice& dice, std::vector<T>& values) {
  if (values.empty()) return nullptr;
  return &values[static_cast<size_t>(dice.Roll(static_cast<int>(values.size())))];
}

void ChangeRest(Dice& dice, Snapshot& world) {
  switch (dice.Roll(6)) {
    case 0:
      if (placement::Node* node = AnyOf(dice, world.nodes)) node->cordoned = true;
      break;
    case 1:
      if (NodeGroup* group = AnyOf(dice, world.groups)) group->per_node_hour = Dollars("7");
      break;
    case 2:
      world.pools.push_back(Wants("new-" + std::to_string(world.pools.size()), 1));
      break;
    case 3:
      if (!world.pools.empty()) world.pools.pop_back();
      break;
    case 4:
      if (!world.inference_pools.empty()) world.inference_pools.front().priority = dice.Roll(3);
      break;
    default:
      world.render_revision += "x";
      break;
  }
}

void LetTimePass(Dice& dice, const Plan& plan, Snapshot& world) {
  switch (dice.Roll(4)) {
    case 0:
      if (plan.next_wake) world.now = *plan.next_wake;
      break;
    case 1:
      if (plan.next_wake) world.now = std::max(world.now, *plan.next_wake - Seconds{1});
      break;
    default:
      world.now += Seconds{dice.Pick<int>({0, 1, 1, 5, 60, -1})};
      break;
  }
}

void ChangeSomething(Dice& dice, const Plan& plan, Snapshot& world) {
  const int what = dice.Roll(12);
  if (what < 2) LetTimePass(dice, plan, world);
  if (what == 2) ChangeRest(dice, world);
  if (what == 3) world = Applied(world, plan);
  if (what < 4 || what > 9) return;
  TrainingPool* pool = AnyOf(dice, world.pools);
  if (pool == nullptr) return;
  if (what == 4) {
    ChangePool(dice, *pool);
  } else {
    ChangeDoings(dice, *pool);
  }
}

// ---- the properties ----

TEST(Replan, IsThePlanFromScratchWhateverChanges) {
  Efforts efforts{};
  for (uint32_t seed = 0; seed < Seeds(kWorlds); ++seed) {
    Dice dice(seed);
    Snapshot world = RandomWorld(seed);
    Replanner replanner;
    for (int step = 0; step < kSteps; ++step) {
      const Plan& plan = replanner.Replan(world);
      ++Of(efforts, replanner.Took());
      const Plan scratch = MakePlan(world);
      ASSERT_TRUE(plan == scratch)
          << "seed " << seed << ", step " << step << ", " << Difference(plan, scratch);
      ASSERT_TRUE(replanner.Last() == world) << "seed " << seed << ", step " << step;
      ChangeSomething(dice, plan, world);
      if (dice.OneIn(4)) ChangeSomething(dice, plan, world);
    }
  }
  std::cout << "plans: " << efforts[0] << " were the one before, " << efforts[1]
            << " differed in some gangs, " << efforts[2] << " were made from scratch\n";
  EXPECT_GT(Of(efforts, Effort::kNothing), Seeds(kWorlds));
  EXPECT_GT(Of(efforts, Effort::kGangs), Seeds(kWorlds) / 4);
}

// The pools that have changed are named, and nobody looks for them.
TEST(Replan, IsThePlanFromScratchWhereItIsToldWhatChanges) {
  Efforts efforts{};
  for (uint32_t seed = 0; seed < Seeds(kWorlds); ++seed) {
    Dice dice(seed);
    Snapshot world = RandomWorld(seed);
    Replanner replanner;
    world = Applied(world, MakePlan(world));
    replanner.Replan(world);
    for (int step = 0; step < kSteps && !world.pools.empty(); ++step) {
      std::vector<TrainingPool> changed;
      if (dice.OneIn(4)) world.now += Seconds{dice.Roll(3)};
      for (TrainingPool& pool : world.pools) {
        if (!dice.OneIn(8)) continue;
        ChangeDoings(dice, pool);
        if (dice.OneIn(40)) ChangePool(dice, pool);
        changed.push_back(pool);
      }
      const Plan& plan = replanner.Replan(world.now, std::move(changed));
      ++Of(efforts, replanner.Took());
      const Plan scratch = MakePlan(world);
      ASSERT_TRUE(plan == scratch)
          << "seed " << seed << ", step " << step << ", " << Difference(plan, scratch);
    }
  }
  EXPECT_GT(Of(efforts, Effort::kGangs), Seeds(kWorlds) / 4);
}

// A cluster in which plans are carried out and things go wrong.
TEST(Replan, IsThePlanFromScratchOverTime) {
  Efforts efforts{};
  for (uint32_t seed = 0; seed < Seeds(kWorlds) / 4; ++seed) {
    Cluster cluster(RandomWorld(seed), seed);
    Replanner replanner;
    for (int pass = 0; pass < kSteps; ++pass) {
      const Plan& plan = replanner.Replan(cluster.World());
      ++Of(efforts, replanner.Took());
      const Plan scratch = MakePlan(cluster.World());
      ASSERT_TRUE(plan == scratch)
          << "seed " << seed << ", pass " << pass << ", " << Difference(plan, scratch);
      cluster.Follow(scratch, pass % 3 == 2);
    }
  }
  std::cout << "plans: " << efforts[0] << " were the one before, " << efforts[1]
            << " differed in some gangs, " << efforts[2] << " were made from scratch\n";
}

// ---- what it takes ----

class ReplanTest : public ::testing::Test {
 protected:
  // Two gangs run, a third one waits.
  ReplanTest() {
    world_.now = kNow;
    world_.groups = {Group("home")};
    AddNodes(world_, "home", 4);
    for (const char* name : {"left", "right"}) world_.pools.push_back(Wants(name, 2));
    world_ = After(world_, MakePlan(world_), kNow);
    world_.pools.push_back(Wants("waits", 1));
    world_ = Applied(world_, MakePlan(world_));
    world_ = Applied(world_, MakePlan(world_));
    Expect(Effort::kAll, "the first one");
    Expect(Effort::kNothing, "nothing has changed");
  }

  void Expect(Effort effort, const std::string& why) {
    const Plan& plan = replanner_.Replan(world_);
    EXPECT_TRUE(plan == MakePlan(world_)) << why << ": " << Difference(plan, MakePlan(world_));
    EXPECT_EQ(static_cast<int>(replanner_.Took()), static_cast<int>(effort)) << why;
  }

  Snapshot world_;
  Replanner replanner_;
};

TEST_F(ReplanTest, LooksAtOneGangWhereOneWorkerIsNotReady) {
  Worker& worker = PoolOf(world_, "left").workers.front();
  worker.ready = false;
  Expect(Effort::kGangs, "it is not ready");
  EXPECT_EQ(replanner_.MadeAnew(), (std::vector<size_t>{0}));
  EXPECT_EQ(replanner_.Replan(world_).pools.front().workers_ready, 1);
  worker.ready = true;
  world_.now += Seconds{1};
  Expect(Effort::kGangs, "it is ready again, a second later");
  Expect(Effort::kNothing, "nothing has changed since");
}

TEST_F(ReplanTest, LooksAtAllWhereOthersMayThinkAnotherWayOfTheGang) {
  PoolOf(world_, "left").workers.front().running = false;
  Expect(Effort::kAll, "it can't be moved as long as not all its workers run");
  PoolOf(world_, "left").memory.restart_took = Seconds{77};
  Expect(Effort::kAll, "who is stopped is chosen by what that costs");
  PoolOf(world_, "waits").workers.clear();
  Expect(Effort::kNothing, "there were none");
  PoolOf(world_, "waits").priority = 5;
  Expect(Effort::kAll, "it has another place in the queue");
  NodeOf(world_, "home-1").cordoned = true;
  Expect(Effort::kAll, "a node is another");
  world_.pools.pop_back();
  Expect(Effort::kAll, "a pool is gone");
}

TEST_F(ReplanTest, LooksAtAllWhereTheMomentHasCome) {
  Worker& worker = PoolOf(world_, "left").workers.front();
  worker.running = worker.ready = false;
  Expect(Effort::kAll, "its start deadline counts");
  const auto wake = replanner_.Replan(world_).next_wake;
  ASSERT_TRUE(wake);
  world_.now = *wake - Seconds{1};
  Expect(Effort::kNothing, "it has a second left");
  world_.now = *wake;
  Expect(Effort::kAll, "it has missed its start deadline");
  world_.now -= Seconds{1};
  Expect(Effort::kAll, "the clock was put back");
}

TEST_F(ReplanTest, SaysInWhichPeriodItIsWhereNothingIsSpent) {
  placement::Quota quota;
  quota.ns = "team";
  quota.budget = placement::Budget{.amount = Dollars("1000")};
  world_.quotas.push_back(quota);
  Expect(Effort::kAll, "there is a quota now");
  world_ = Applied(world_, MakePlan(world_));
  Expect(Effort::kAll, "its memory is written");
  world_.pools.pop_back();
  Expect(Effort::kAll, "nobody waits");
  world_.now += std::chrono::hours{24 * 30};
  Expect(Effort::kNothing, "nothing is spent of the next month's either");
}

TEST_F(ReplanTest, SaysWhatIsSpentByNow) {
  world_.groups.front().tier = 10;
  world_.groups.front().marginal_per_node_hour = Dollars("36");
  placement::Quota quota;
  quota.ns = "team";
  quota.budget = placement::Budget{.amount = Dollars("1000")};
  world_.quotas.push_back(quota);
  Expect(Effort::kAll, "there is a quota now");
  world_ = Applied(world_, MakePlan(world_));
  Expect(Effort::kAll, "its memory is written");
  world_.now += Seconds{100};
  Expect(Effort::kNothing, "it is not used up");
  EXPECT_EQ(replanner_.Replan(world_).quotas.front().spend.budget->spent, Dollars("4"));
}

}  // namespace
}  // namespace spillway::tests
