// What each of the baselines is meant to do, on one node of eight accelerators at home, and one in
// a cloud.
#include "baselines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "placement/play.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using bench::EasyWithoutPrice;
using bench::FirstFitByTier;
using bench::QueueHeads;
using testing::ElementsAre;

TrainingPool Queued(const std::string& name, int per_worker, int waited,
                    const std::string& ns = "team") {
  TrainingPool pool = Wants(name, 1, per_worker);
  pool.key.ns = ns;
  pool.memory.queued_since = kNow - Seconds{waited};
  return pool;
}

// "name@group" of who is placed, by (namespace, name).
std::vector<std::string> Placed(const placement::Plan& plan) {
  std::vector<std::string> out;
  for (const placement::PoolDecision& decision : plan.pools) {
    const auto& placement = decision.memory.placement;
    if (placement) out.push_back(decision.key.name + "@" + placement->node_group);
  }
  return out;
}

TEST(FirstFit, GoesByPriorityArrivalAndTier) {
  Snapshot world = Fleet(1, 1);
  world.pools = {Queued("a", 8, 10), Queued("b", 8, 20), Queued("c", 8, 30)};
  EXPECT_THAT(Placed(FirstFitByTier(world)), ElementsAre("b@azure", "c@home"));
  world.pools[0].priority = 1;
  EXPECT_THAT(Placed(FirstFitByTier(world)), ElementsAre("a@home", "c@azure"));
}

TEST(FirstFit, LetsOthersPassWhoFindsNoRoom) {
  Snapshot world = Fleet(1);
  AddRunning(world, "old", 1, 4, "home", {"home-1"});
  world.pools.push_back(Queued("big", 8, 30));
  world.pools.push_back(Queued("small", 4, 10));
  EXPECT_THAT(Placed(FirstFitByTier(world)), ElementsAre("old@home", "small@home"));
}

// old ends in 1,060 s and 120 s of grace; then big may start.
TEST(Easy, KeepsRoomForTheFirst) {
  Snapshot world = Fleet(1);
  AddRunning(world, "old", 1, 4, "home", {"home-1"}).active_deadline = Seconds{1120};
  world.pools.push_back(Queued("big", 8, 30));
  world.pools.push_back(Queued("small", 4, 10));
  EXPECT_THAT(Placed(EasyWithoutPrice(world)), ElementsAre("old@home"));
  PoolOf(world, "small").active_deadline = Seconds{1060};
  EXPECT_THAT(Placed(EasyWithoutPrice(world)), ElementsAre("old@home", "small@home"));
  PoolOf(world, "small").active_deadline = Seconds{1061};
  EXPECT_THAT(Placed(EasyWithoutPrice(world)), ElementsAre("old@home"));
  PoolOf(world, "big").accelerators[0].workers = 1;
  PoolOf(world, "big").per_worker = 6;
  EXPECT_THAT(Placed(EasyWithoutPrice(world)), ElementsAre("old@home"));
  PoolOf(world, "small").per_worker = 2;  // 8 - 6 are more than big needs
  EXPECT_THAT(Placed(EasyWithoutPrice(world)), ElementsAre("old@home", "small@home"));
}

TEST(Easy, KnowsNoTiers) {
  Snapshot world = Fleet(1, 1);
  AddRunning(world, "old", 1, 1, "home", {"home-1"});
  world.pools.push_back(Queued("new", 4, 10));
  EXPECT_THAT(Placed(EasyWithoutPrice(world)), ElementsAre("new@azure", "old@home"));
}

// a1 has waited for longest, but its namespace has its half of home already.
TEST(QueueHeads, TakesThoseWithinTheirSharesFirst) {
  Snapshot world = Fleet(1);
  AddRunning(world, "a0", 1, 4, "home", {"home-1"}).key.ns = "a";
  world.pools.push_back(Queued("a1", 4, 30, "a"));
  world.pools.push_back(Queued("b1", 4, 10, "b"));
  EXPECT_THAT(Placed(QueueHeads(world)), ElementsAre("a0@home", "b1@home"));
  EXPECT_THAT(Placed(FirstFitByTier(world)), ElementsAre("a0@home", "a1@home"));
}

TEST(QueueHeads, PutsAsideWhoFindsNoRoom) {
  Snapshot world = Fleet(1);
  world.pools = {Queued("a1", 16, 30, "a"), Queued("a2", 8, 10, "a")};
  EXPECT_THAT(Placed(QueueHeads(world)), ElementsAre("a2@home"));
}

TEST(QueueHeads, ComeInCyclesOfOneForEachQueue) {
  Snapshot world = Fleet(1);
  world.pools = {Queued("a1", 2, 30, "a"), Queued("a2", 4, 20, "a"), Queued("b1", 4, 10, "b")};
  world.pools[1].priority = 10;
  world.pools[0].priority = 10;
  EXPECT_THAT(Placed(QueueHeads(world)), ElementsAre("a1@home", "b1@home"));
}

// b1 does not fit, though its share is enough for it: a1, which borrows, gets nothing in that
// cycle, and in the next one b2 comes first.
TEST(QueueHeads, KeepsForACycleWhatAHeadHasARightTo) {
  Snapshot world = Fleet(2);
  AddRunning(world, "a0", 1, 8, "home", {"home-1"}).key.ns = "a";
  AddRunning(world, "a00", 1, 4, "home", {"home-2"}).key.ns = "a";
  world.pools.push_back(Queued("a1", 2, 50, "a"));
  world.pools.push_back(Queued("b1", 6, 40, "b"));
  world.pools.push_back(Queued("b2", 4, 30, "b"));
  EXPECT_THAT(Placed(QueueHeads(world)), ElementsAre("a0@home", "a00@home", "b2@home"));
}

// What bench/queue_order.py recorded of the real Kueue: its two flavors are two groups of one node
// each, so that quotas decide, and every gang is one worker.
class Recorded : public testing::Test {
 protected:
  using Json = nlohmann::json;

  static Json Record() {
    std::ifstream file(SPILLWAY_QUEUE_ORDER);
    return Json::parse(file);
  }

  explicit Recorded() {
    const int queues = static_cast<int>(record_["queues"].size());
    int tier = 0;
    for (const auto& [flavor, own] : record_["flavors"].items()) tiers_[flavor] = 0;
    for (const char* flavor : {"home", "cloud"}) {
      tiers_.at(flavor) = tier;
      tier += 10;
      fleet_.groups.push_back(Group(flavor, tiers_.at(flavor)));
      AddNodes(fleet_, flavor, 1, queues * record_["flavors"][flavor].get<int>());
    }
    fleet_.now = kNow;
    fleet_.render_revision = "r1";
  }

  // All gangs as they stand: those in `running` have their places, and so had those in `finished`.
  Snapshot World() const {
    Snapshot world = fleet_;
    int waited = static_cast<int>(record_["gangs"].size());
    for (const Json& gang : record_["gangs"]) {
      const std::string name = gang["name"];
      const int accelerators = gang["accelerators"];
      const auto at = running_.find(name);
      if (at != running_.end()) {
        AddRunning(world, name, 1, accelerators, at->second, {at->second + "-1"},
                   tiers_.at(at->second));
      } else {
        world.pools.push_back(Wants(name, 1, accelerators));
      }
      TrainingPool& pool = world.pools.back();
      pool.key.ns = gang["queue"];
      pool.priority = gang["priority"];
      pool.memory.queued_since = kNow - Seconds{waited--};
      if (finished_.contains(name)) pool.memory.completed = kNow;
    }
    return world;
  }

  const Json record_ = Record();
  Snapshot fleet_;
  std::map<std::string, int> tiers_;
  std::map<std::string, std::string> running_;  // group, by gang
  std::set<std::string> finished_;
};

TEST_F(Recorded, QueueHeadsStartsWhomKueueStarts) {
  running_ = record_["steps"][0]["started"].get<std::map<std::string, std::string>>();
  size_t started = 0;
  for (const Json& step : record_["steps"]) {
    if (step["finished"].is_null()) continue;
    const std::string finished = step["finished"];
    running_.erase(finished);
    finished_.insert(finished);
    const auto real = step["started"].get<std::map<std::string, std::string>>();
    std::map<std::string, std::string> ours;
    for (const placement::PoolDecision& one : QueueHeads(World()).pools) {
      if (one.action == placement::Action::kPlace) {
        ours[one.key.name] = one.memory.placement->node_group;
      }
    }
    EXPECT_EQ(ours, real) << "after the end of " << finished;
    running_.insert(real.begin(), real.end());
    started += real.size();
  }
  EXPECT_EQ(started + record_["steps"][0]["started"].size(), record_["gangs"].size());
}

TEST(EveryBaseline, FinishesWorkAndEndsAtDeadlines) {
  for (const auto& baseline : {FirstFitByTier, EasyWithoutPrice, QueueHeads}) {
    TrainingPool late = Wants("late", 1);
    late.active_deadline = Seconds{500};
    const auto planner = [&](const Snapshot& world) -> Result<placement::Plan> {
      placement::Plan plan = baseline(world);
      if (Status sound = Verify(world, plan); !sound) return std::move(sound).error();
      return plan;
    };
    const std::vector<placement::Arrival> arrivals = {
        {.at = Seconds{0}, .runs_for = Seconds{1000}, .pool = Wants("done", 1)},
        {.at = Seconds{0}, .runs_for = Seconds{1000}, .pool = late}};
    const auto record = Play(Fleet(2), arrivals, planner, {});
    ASSERT_TRUE(record.ok()) << record.error().message;
    EXPECT_EQ(record->gangs[0].state, placement::GangState::kCompleted);
    EXPECT_EQ(record->gangs[1].state, placement::GangState::kFailed);
    EXPECT_EQ(record->gangs[1].ended, kNow + Seconds{500});
  }
}

}  // namespace
}  // namespace spillway::tests
