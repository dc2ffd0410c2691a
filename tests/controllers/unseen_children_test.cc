// Children that were made and that no watch shows: they hold up their own pool, and nobody else.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/controllers/loop_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_cluster.h"
#include "tests/support/metrics_text.h"

namespace spillway::controllers {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class UnseenChildren : public LoopTest {
 protected:
  static constexpr seconds kDeadline{130};
  explicit UnseenChildren(LoopOptions options = {}) : LoopTest(Mode::kEnforce, options) {
    watching_.Start();
    EXPECT_TRUE(support::Eventually([&] { return stores_.Unsynced().empty(); }));
  }

  // Lets no more than so much time pass until it holds; false: it did not.
  bool AwaitWithin(std::chrono::nanoseconds most, const std::function<bool()>& holds) {
    const auto until = clock_.Elapsed() + most;
    while (!server_.WaitUntil(holds, milliseconds(100))) {
      if (clock_.Elapsed() >= until) return false;
      clock_.Advance(milliseconds(100));
      loop_.MarkDirty();
    }
    return true;
  }
  // Passes that begin from now on.
  bool Pass(int times) {
    return AwaitWithin(seconds(10), [&, end = passes_ + times + 1] { return passes_ >= end; });
  }
  void Suspend(const std::string& pool, bool suspend = true) {
    server_.Patch("trainingpools", "lab", pool, {{"spec", {{"suspend", suspend}}}});
    ASSERT_TRUE(support::Eventually([&] {
      const auto seen = stores_.training_pools.Get("lab/" + pool);
      return seen && seen->spec.suspend == suspend;
    }));
  }
  bool IsPlaced(const std::string& pool) { return Status(pool).contains("placement"); }
  static Json Spilling(const std::string& name, int workers) {
    Json pool = PoolJson(name, workers);
    pool["spec"]["placement"]["spill"]["afterSeconds"] = 0;
    return pool;
  }
  std::vector<std::string> JobsMade() {
    std::vector<std::string> names;
    for (const LoggedRequest& write : server_.Writes()) {
      if (write.verb != "create" || !write.path.ends_with("/jobs")) continue;
      names.push_back(Json::parse(write.body)["metadata"]["name"]);
    }
    return names;
  }
  double Overrides() const {
    return support::MetricValue(registry_.Text(), "spillway_stale_cache_overrides_total")
        .value_or(-1);
  }
};

// By kind of the children.
class UnseenChildrenOf : public UnseenChildren, public testing::WithParamInterface<const char*> {};

TEST_P(UnseenChildrenOf, HoldUpTheirPoolAlone) {
  server_.HoldWatches(GetParam());
  Decide();
  server_.Put(PoolJson("first", 2));
  ASSERT_TRUE(Await([&] { return Exists("jobs", "first-train-1"); }));
  server_.Put(Spilling("second", 2));
  EXPECT_TRUE(AwaitWithin(seconds(3), [&] { return Exists("jobs", "second-train-1"); }));
  server_.Put(Spilling("third", 2));
  EXPECT_TRUE(AwaitWithin(seconds(3), [&] { return Exists("jobs", "third-train-1"); }));
  const std::vector<std::string> written = WritesOf("first");
  ASSERT_NO_FATAL_FAILURE(Suspend("first"));
  ASSERT_TRUE(Pass(3));
  EXPECT_EQ(WritesOf("first"), written);
  server_.ReleaseWatches();
  EXPECT_TRUE(AwaitWithin(seconds(3), [&] { return Reason("first", "Placed") == "Suspended"; }));
  EXPECT_TRUE(AwaitWithin(seconds(3), [&] { return !Exists("jobs", "first-train-1"); }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_THAT(JobsMade(), testing::ElementsAre("first-train-1", "second-train-1", "third-train-1"));
  EXPECT_EQ(Overrides(), 0);
}

INSTANTIATE_TEST_SUITE_P(Kinds, UnseenChildrenOf,
                         testing::Values("services", "jobs", "poddisruptionbudgets"));

// It may have pods there any moment.
TEST_F(UnseenChildren, KeepTheirPoolsRoomFromOthers) {
  server_.HoldWatches("jobs");
  Decide();
  server_.Put(PoolJson("first", 2));
  ASSERT_TRUE(Await([&] { return Exists("jobs", "first-train-1"); }));
  server_.Put(PoolJson("next", 2));
  ASSERT_TRUE(AwaitWithin(seconds(3), [&] { return !Reason("next", "Placed").empty(); }));
  ASSERT_NO_FATAL_FAILURE(Suspend("first"));
  ASSERT_TRUE(Pass(3));
  EXPECT_TRUE(IsPlaced("first"));
  EXPECT_FALSE(IsPlaced("next"));
  server_.ReleaseWatches();
  EXPECT_TRUE(AwaitWithin(seconds(3), [&] { return Exists("jobs", "next-train-1"); }));
  EXPECT_FALSE(IsPlaced("first"));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_THAT(JobsMade(), testing::ElementsAre("first-train-1", "next-train-1"));
}

TEST_F(UnseenChildren, AreSeenByABookmarkToo) {
  server_.HoldWatches("jobs");
  Decide();
  server_.Put(PoolJson("first", 2));
  ASSERT_TRUE(Await([&] { return Exists("jobs", "first-train-1"); }));
  ASSERT_TRUE(Pass(1));
  ASSERT_NO_FATAL_FAILURE(Suspend("first"));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  ASSERT_NE(Reason("first", "Placed"), "Suspended");
  // Of no reflector's, as watches tell nothing. It starts a pass by itself.
  stores_.jobs.Advance(std::to_string(server_.version()));
  EXPECT_TRUE(Await([&] { return Reason("first", "Placed") == "Suspended"; }));
}

// The first of these passes knows nothing of the Job, and the Job is made once all the same.
TEST_F(UnseenChildren, HoldTheirPoolUpNoLongerThanTheDeadline) {
  server_.HoldWatches("jobs");
  Decide();
  server_.Put(PoolJson("first", 2));
  ASSERT_TRUE(Await([&] { return Exists("jobs", "first-train-1"); }));
  ASSERT_TRUE(Pass(2));
  EXPECT_THAT(JobsMade(), testing::SizeIs(1));
  clock_.Advance(kDeadline - seconds(20));
  ASSERT_TRUE(Pass(2));
  EXPECT_THAT(JobsMade(), testing::SizeIs(1));
  EXPECT_EQ(Overrides(), 0);
  clock_.Advance(seconds(20));
  EXPECT_TRUE(AwaitWithin(seconds(3), [&] { return JobsMade().size() == 2; }));
  EXPECT_EQ(Overrides(), 1);
  EXPECT_EQ(server_.All("jobs").size(), 1U);
  EXPECT_EQ(Status("first")["attempts"], 1);
  ASSERT_TRUE(Pass(3));
  EXPECT_THAT(JobsMade(), testing::SizeIs(2)) << "it waits anew";
}

// To a pool that replaces one of its name they are in the way, which has to be seen first.
TEST_F(UnseenChildren, OfAPoolThatIsGoneHoldUpTheNextOfItsName) {
  server_.HoldWatches("jobs");
  Decide();
  server_.Put(PoolJson("first", 2));
  ASSERT_TRUE(Await([&] { return Exists("jobs", "first-train-1"); }));
  server_.Remove("trainingpools", "lab", "first");
  ASSERT_TRUE(
      support::Eventually([&] { return stores_.training_pools.Get("lab/first") == nullptr; }));
  server_.Put(PoolJson("first", 2));
  ASSERT_TRUE(Pass(3));
  EXPECT_EQ(Status("first"), Json::object());
  EXPECT_THAT(JobsMade(), testing::SizeIs(1));
  server_.ReleaseWatches();
  EXPECT_TRUE(AwaitWithin(seconds(3), [&] { return !Reason("first", "Placed").empty(); }));
}

// --- what only a Deployment says ---

class UnseenRollout : public UnseenChildren {
 protected:
  // Four replicas of two accelerators fill one node at home. Then there is another one.
  void Serve() {
    for (const char* node : {"h1", "c0", "c1", "c2", "c3"}) server_.Remove("nodes", "", node);
    Decide();
    server_.Put(ServingJson("serve", 4));
    ASSERT_TRUE(AwaitWithin(seconds(5), [&] {
      cluster_.Settle();
      return ReadyReplicas() == 4;
    }));
    server_.Put(NodeJson("h1", "home"));
    ASSERT_TRUE(Pass(3));
  }
  void Use(const std::string& image) {
    Json pool = *server_.Get("inferencepools", "lab", "serve");
    pool["spec"]["variants"][0]["template"]["spec"]["containers"][0]["image"] = image;
    server_.Put(pool);
  }
  Json Deployment() { return server_.All("deployments").front(); }
  int ReadyReplicas() {
    const auto all = server_.All("deployments");
    if (all.empty()) return 0;
    return all.front().value(Json::json_pointer("/status/readyReplicas"), 0);
  }

  support::FakeCluster cluster_{server_, clock_};
};

// The pods beyond its replicas that a rollout may make have their room by the Deployment alone.
TEST_F(UnseenRollout, KeepsTheRoomOfPodsBeyondItsReplicas) {
  ASSERT_NO_FATAL_FAILURE(Serve());
  const std::string before = samples::PodTemplate()["spec"]["containers"][0]["image"];
  server_.HoldWatches("deployments");
  Use("other");
  ASSERT_TRUE(AwaitWithin(
      seconds(5), [&] { return Deployment()["spec"].dump().find("other") != std::string::npos; }));
  ASSERT_EQ(Deployment()["spec"]["strategy"]["rollingUpdate"]["maxSurge"], 1);
  // As far as is seen nothing is to be rolled out now.
  Use(before);
  server_.Put(PoolJson("gang", 1));
  ASSERT_TRUE(Pass(4));
  EXPECT_FALSE(IsPlaced("gang")) << "the node is promised to the rollout";
  server_.ReleaseWatches();
  EXPECT_TRUE(AwaitWithin(seconds(20), [&] {
    cluster_.Settle();
    return IsPlaced("gang");
  })) << Status("gang");
}

// Likewise of one that is still being written.
TEST_F(UnseenRollout, KeepsTheRoomOfPodsThatItIsJustBeingToldToMake) {
  ASSERT_NO_FATAL_FAILURE(Serve());
  const std::string before = samples::PodTemplate()["spec"]["containers"][0]["image"];
  transport_.Hold("PATCH", "/deployments/");
  Use("other");
  ASSERT_TRUE(AwaitWithin(seconds(5), [&] { return transport_.Waiting() == 1; }));
  Use(before);
  server_.Put(PoolJson("gang", 1));
  ASSERT_TRUE(Pass(4));
  EXPECT_FALSE(IsPlaced("gang")) << "the node is promised to the rollout";
  transport_.LetGo();
  EXPECT_TRUE(AwaitWithin(seconds(20), [&] {
    cluster_.Settle();
    return IsPlaced("gang");
  })) << Status("gang");
}

}  // namespace
}  // namespace spillway::controllers
