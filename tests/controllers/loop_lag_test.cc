// Far from its API servers the operator does the same as beside them, and nothing twice.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <thread>

#include "tests/controllers/loop_fixture.h"
#include "tests/support/fake_cluster.h"
#include "tests/support/passing_time.h"

namespace spillway::controllers {
namespace {

using std::chrono::milliseconds;

constexpr int kPools = 10;

class LoopLagTest : public LoopTest, public testing::WithParamInterface<uint64_t> {
 protected:
  void TearDown() override {
    time_.reset();
    server_.SetLag(std::nullopt);
    LoopTest::TearDown();
  }
  static std::string Name(int pool) { return "run" + std::to_string(pool); }

  // Watches tell late, another server than the one that was written to, and requests take long.
  void GoFar(milliseconds cache = milliseconds(400)) {
    server_.SetLag(support::Lag{
        .seed = GetParam(), .servers = 2, .cache = cache, .latency = milliseconds(20)});
    time_.emplace(clock_, milliseconds(10), [this] { server_.Tick(); });
  }
  // Pools come one after another and end, more of them than there is room for at once. False: not
  // all have ended in time, or a write was refused as out of date.
  bool LiveThrough() {
    std::mt19937_64 random(GetParam());
    int submitted = 0;
    for (int round = 0; round < 4000 && Conflicts().empty(); ++round) {
      cluster_.Step();
      if (submitted < kPools && random() % 3 == 0) Submit(submitted++);
      if (random() % 3 == 0) {
        cluster_.FinishJob("lab", Name(static_cast<int>(random() % kPools)) + "-train-1");
      }
      loop_.MarkDirty();
      server_.SendBookmarks();
      if (Completed() == kPools) return true;
      std::this_thread::sleep_for(milliseconds(2));  // the cluster's controllers are not faster
    }
    return false;
  }
  void Submit(int number) {
    Json pool = PoolJson(Name(number), 1);
    pool["spec"]["placement"]["spill"]["afterSeconds"] = 0;
    server_.Put(pool);
  }
  int Completed() {
    int completed = 0;
    for (int i = 0; i < kPools; ++i) {
      completed += ConditionStatus(Name(i), "Complete") == "True" ? 1 : 0;
    }
    return completed;
  }
  // What was written by what had changed since.
  std::vector<std::string> Conflicts() {
    std::vector<std::string> conflicts;
    for (const LoggedRequest& write : server_.Writes()) {
      if (write.status == 409) conflicts.push_back(write.verb + " " + write.path);
    }
    return conflicts;
  }
  size_t JobsMade() {
    return static_cast<size_t>(std::ranges::count_if(server_.Writes(), [](const auto& write) {
      return write.verb == "create" && write.status == 201 && write.path.ends_with("/jobs");
    }));
  }

  support::FakeCluster cluster_{server_, clock_};
  std::optional<support::PassingTime> time_;
};

// It waits until the caches have what it wrote: nobody else writes about pools, so nothing that it
// writes is out of date.
TEST_P(LoopLagTest, WhatItWritesIsNeverOutOfDate) {
  GoFar();
  Run();
  EXPECT_TRUE(LiveThrough()) << Completed() << " of " << kPools << " have ended";
  EXPECT_THAT(Conflicts(), testing::IsEmpty());
  EXPECT_EQ(JobsMade(), static_cast<size_t>(kPools));
}

// Later than a pass waits for children: it goes on with what is decided about the others.
TEST_P(LoopLagTest, WhatIsShownMuchLaterIsNotDoneTwice) {
  GoFar(milliseconds(4000));
  Run();
  EXPECT_TRUE(LiveThrough()) << Completed() << " of " << kPools << " have ended";
  EXPECT_THAT(Conflicts(), testing::IsEmpty());
  EXPECT_EQ(JobsMade(), static_cast<size_t>(kPools));
}

INSTANTIATE_TEST_SUITE_P(Seeds, LoopLagTest, testing::Range(uint64_t{1}, uint64_t{6}));

}  // namespace
}  // namespace spillway::controllers
