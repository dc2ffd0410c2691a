// When passes start and wait, how often numbers are written, and who publishes what.

#include <map>
#include <memory>
#include <set>

#include "base/guarded.h"
#include "tests/controllers/loop_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_cluster.h"
#include "tests/support/metrics_text.h"

namespace spillway::controllers {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using support::MetricValue;
using testing::AllOf;
using testing::Ge;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;

class LoopPaceTest : public LoopTest {
 protected:
  explicit LoopPaceTest(LoopOptions options = {}) : LoopTest(Mode::kEnforce, options) {}

  double Metric(const std::string& series) const {
    return MetricValue(registry_.Text(), series).value_or(-1);
  }
  bool HasGroupStatus(const std::string& group) {
    const auto object = server_.Get("nodegroups", "", group);
    return object && object->contains("status");
  }
};

// --- reading our own writes ---

TEST_F(LoopPaceTest, APassWaitsUntilTheCacheHasSeenOurLastWrites) {
  server_.Put(PoolJson("run", 2));
  server_.HoldWatches("trainingpools");
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  // News that would be answered at once, were it not for the pool's status, which is on its way.
  server_.Put(GroupJson("late", 20));
  ASSERT_TRUE(support::Eventually([&] { return stores_.node_groups.Get("late") != nullptr; }));
  EXPECT_FALSE(server_.WaitUntil([&] { return HasGroupStatus("late"); }, milliseconds(200)));
  server_.ReleaseWatches();
  EXPECT_TRUE(Await([&] { return HasGroupStatus("late"); }));
  EXPECT_EQ(server_.All("jobs").size(), 1U);
  EXPECT_EQ(Metric("spillway_stale_cache_overrides_total"), 0);
}

class ShortCacheDeadline : public LoopPaceTest {
 protected:
  static constexpr seconds kDeadline{1};
  ShortCacheDeadline() : LoopPaceTest({.cache_deadline = kDeadline}) {}
};

TEST_F(ShortCacheDeadline, ACacheThatNeverSeesOurWritesHoldsAPassUpNoLongerThanTheDeadline) {
  server_.Put(PoolJson("run", 2));
  server_.HoldWatches("trainingpools");
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  server_.Put(GroupJson("late", 20));
  ASSERT_TRUE(support::Eventually([&] { return stores_.node_groups.Get("late") != nullptr; }));
  EXPECT_FALSE(server_.WaitUntil([&] { return HasGroupStatus("late"); }, milliseconds(200)));
  clock_.Advance(kDeadline);
  EXPECT_TRUE(server_.WaitUntil([&] { return HasGroupStatus("late"); }, 5 * kDeadline));
  EXPECT_EQ(Metric("spillway_stale_cache_overrides_total"), 1);
  EXPECT_EQ(Metric("spillway_cache_wait_seconds_sum"), 1);
  // What it does on old facts is harmless: the commit is there, and the Job's name is taken by it.
  EXPECT_EQ(server_.All("jobs").size(), 1U);
  EXPECT_EQ(Status("run")["attempts"], 1);
}

// Of a pool that the leader before has changed, along with its Deployment, only the latter is seen.
TEST_F(LoopPaceTest, WhatTheLeaderBeforeHasDecidedIsNotUndoneWhileItIsNotSeen) {
  server_.Put(ServingJson("serve", 2));
  Run();
  ASSERT_TRUE(Await([&] { return server_.All("deployments").size() == 1; }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  leading_ = false;
  ASSERT_TRUE(OnePass());
  server_.HoldWatches("inferencepools");
  Json pool = *server_.Get("inferencepools", "lab", "serve");
  pool["spec"]["replicas"] = 4;
  pool["status"]["cells"][0]["desired"] = 4;
  server_.Put(pool);
  Json deployment = server_.All("deployments").front();
  deployment["spec"]["replicas"] = 4;
  const std::string version = server_.Put(deployment)["metadata"]["resourceVersion"];
  ASSERT_TRUE(
      support::Eventually([&] { return stores_.deployments.ResourceVersion() == version; }));
  const size_t told = Events().size();
  leading_ = true;
  ASSERT_TRUE(OnePass());
  EXPECT_EQ(server_.All("deployments").front()["metadata"]["resourceVersion"], version);
  EXPECT_EQ(Events().size(), told) << "nobody else scaled it";
  server_.ReleaseWatches();
  clock_.Advance(seconds(30));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_EQ(server_.All("deployments").front()["spec"]["replicas"], 4);
}

// The answer to its creation was lost, and nothing is seen of it.
TEST_F(LoopPaceTest, AJobThatIsThereAlreadyIsNotSomebodyElses) {
  Fault lost;
  lost.kind = Fault::Kind::kDropAfter;
  lost.verb = "create";
  lost.path_contains = "/jobs";
  server_.Inject(lost);
  watching_.Start();
  ASSERT_TRUE(support::Eventually([&] { return stores_.Unsynced().empty(); }));
  server_.HoldWatches("jobs");
  Decide();
  server_.Put(PoolJson("run", 2));
  const auto tries = [&] {
    const std::vector<std::string> writes = WritesOf("run");
    return std::ranges::count(writes, "create run-train-1");
  };
  ASSERT_TRUE(Await([&] { return tries() == 1; }));
  // The pass after it waits until the Job is seen.
  ASSERT_TRUE(Await([&] {
    Advance(seconds(1));
    return tries() == 2;
  }));
  server_.ReleaseWatches();
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_EQ(tries(), 2);
  EXPECT_EQ(server_.All("jobs").size(), 1U);
  EXPECT_NE(Reason("run", "Placed"), "NameConflict") << Message("run", "Placed");
}

TEST_F(LoopPaceTest, WhatIsAskedToGoIsNotAskedAgainWhileItIsSeen) {
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  server_.HoldWatches("jobs");
  Json pool = *server_.Get("trainingpools", "lab", "run");
  pool["spec"]["suspend"] = true;
  server_.Put(pool);
  const auto asked = [&] {
    const std::vector<std::string> writes = WritesOf("run");
    return std::ranges::count(writes, "delete run-train-1");
  };
  ASSERT_TRUE(Await([&] { return asked() == 1; }));
  ASSERT_TRUE(OnePass());
  ASSERT_TRUE(stores_.jobs.Get("lab/run-train-1") != nullptr);
  EXPECT_EQ(asked(), 1);
  server_.ReleaseWatches();
}

// --- signs of life ---

TEST_F(LoopPaceTest, TheLoopShowsLifeInEveryPassAndNoneWhileOneIsStuck) {
  // A pass may still be under way when this test is over.
  const auto stuck = std::make_shared<std::atomic<bool>>(false);
  const auto is_stuck = std::make_shared<std::atomic<bool>>(false);
  on_pass_ = [stuck, is_stuck] {
    if (!stuck->load()) {
      return;
    }
    *is_stuck = true;
    stuck->wait(true);
  };
  Run();
  ASSERT_TRUE(AwaitPass(0));
  clock_.Advance(seconds(200));
  ASSERT_TRUE(OnePass());
  EXPECT_EQ(loop_.LastBeat(), clock_.Elapsed());
  *stuck = true;
  loop_.MarkDirty();
  EXPECT_TRUE(support::Eventually([&] { return is_stuck->load(); }));
  const auto last = loop_.LastBeat();
  clock_.Advance(seconds(200));
  EXPECT_EQ(loop_.LastBeat(), last);
  EXPECT_EQ(loop_.PassTime(), seconds(200));
  *stuck = false;
  stuck->notify_all();
  ASSERT_TRUE(OnePass());
  EXPECT_EQ(loop_.LastBeat(), clock_.Elapsed());
  EXPECT_TRUE(support::Eventually([&] { return loop_.PassTime() == seconds(0); }));
}

// --- how long news waits ---

TEST_F(LoopPaceTest, TellsHowLongNewsWaitedAndHowPassesEnded) {
  const std::string labels = R"({controller="spillway",name="spillway"})";
  const auto passes = [&](const std::string& result) {
    return Metric(R"(controller_runtime_reconcile_total{controller="spillway",result=")" + result +
                  "\"}");
  };
  watching_.Start();
  ASSERT_TRUE(support::Eventually([&] { return stores_.Unsynced().empty(); }));
  EXPECT_EQ(Metric("workqueue_adds_total" + labels), 1) << "all that has come is one piece of news";
  clock_.Advance(seconds(3));
  loop_.MarkDirty();
  clock_.Advance(seconds(2));
  loop_.Pass({});
  EXPECT_EQ(Metric("workqueue_queue_duration_seconds_sum" + labels), 5);
  EXPECT_EQ(passes("error"), 0);
  Fault refused;
  refused.verb = "update";
  refused.path_contains = "/nodegroups/late";
  server_.Inject(refused);
  server_.Put(GroupJson("late", 20));
  ASSERT_TRUE(support::Eventually([&] { return stores_.node_groups.Get("late") != nullptr; }));
  loop_.Pass({});
  EXPECT_EQ(passes("error"), 1);
  EXPECT_EQ(Metric(R"(workqueue_retries_total{controller="spillway",name="spillway-writes"})"), 1);
  clock_.Advance(seconds(1));
  loop_.Pass({});
  EXPECT_EQ(passes("error"), 1);
  EXPECT_EQ(passes("success") + passes("requeue_after"), 2);
}

// Time goes on while it is looked at.
class MovingClock final : public Clock {
 public:
  [[nodiscard]] std::chrono::sys_time<milliseconds> NowMillis() const override { return {}; }
  [[nodiscard]] std::chrono::nanoseconds Elapsed() const override { return seconds(++looks_); }

 private:
  mutable std::atomic<int> looks_ = 0;
};

TEST_F(LoopPaceTest, APassThatTimeAloneMadeDueHasNotWaitedForLessThanNothing) {
  watching_.Start();
  ASSERT_TRUE(support::Eventually([&] { return stores_.Unsynced().empty(); }));
  MovingClock moving;
  MetricsRegistry registry;
  const Metrics metrics(registry);
  Loop loop(stores_, client_, moving, log_, metrics, templates_, InMode(), Hooks(), options_);
  const auto waited = [&] {
    return MetricValue(
               registry.Text(),
               R"(workqueue_queue_duration_seconds_sum{controller="spillway",name="spillway"})")
        .value_or(-1);
  };
  loop.Pass({});  // of the news that it begins with
  const double before = waited();
  loop.Pass({});
  EXPECT_GT(waited(), before);
}

// --- one pass after the other ---

// A loop that can be held in the middle of a pass.
class HeldLoop : public LoopPaceTest {
 protected:
  HeldLoop() {
    on_pass_ = [held = held_, inside = inside_] {
      *inside = held->load();
      inside->notify_all();
      if (*inside) held->wait(true);
    };
  }
  void Hold() {
    *held_ = true;
    loop_.MarkDirty();
    inside_->wait(false);
  }
  void LetGo() {
    *held_ = false;
    held_->notify_all();
  }

  // A pass may still be under way when this test is over.
  const std::shared_ptr<std::atomic<bool>> held_ = std::make_shared<std::atomic<bool>>(false);
  const std::shared_ptr<std::atomic<bool>> inside_ = std::make_shared<std::atomic<bool>>(false);
};

TEST_F(HeldLoop, WhatHappensDuringAPassIsSeenAtOnceAndAnsweredByTheNext) {
  Run();
  ASSERT_TRUE(Await([&] { return HasGroupStatus("home") && HasGroupStatus("cloud"); }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  Hold();
  const int held = passes_;
  for (int i = 0; i < 5; ++i) {
    const std::string name = "late-" + std::to_string(i);
    server_.Put(GroupJson(name, 20 + i));
    EXPECT_TRUE(support::Eventually([&] { return stores_.node_groups.Get(name) != nullptr; }));
  }
  EXPECT_EQ(passes_, held) << "no two passes at once";
  LetGo();
  EXPECT_TRUE(Await([&] { return HasGroupStatus("late-4"); }));
}

// Judging takes a moment for each: who is answered first may not get ahead of who comes first.
TEST_F(HeldLoop, NobodyGetsAheadForBeingJudgedSooner) {
  server_.Put({{"apiVersion", "scheduling.k8s.io/v1"},
               {"kind", "PriorityClass"},
               {"metadata", {{"name", "high"}}},
               {"value", 100}});
  Run();
  ASSERT_TRUE(Await([&] { return HasGroupStatus("home") && HasGroupStatus("cloud"); }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  Hold();
  Json high = PoolJson("m-high", 2);
  high["spec"]["priorityClassName"] = "high";
  high["spec"]["template"]["spec"]["subdomain"] = "slow";
  for (const Json& pool : {PoolJson("a-low", 2), high, PoolJson("z-low", 2)}) {
    server_.Put(pool);
    const std::string key = "lab/" + std::string(pool["metadata"]["name"]);
    ASSERT_TRUE(support::Eventually([&] { return stores_.training_pools.Get(key) != nullptr; }));
  }
  const int before = passes_;
  server_.SetAdmission(
      [&](const support::ServedKind& kind, Json& object) -> std::optional<kube::HttpResponse> {
        if (kind.plural != "pods" || object["spec"].value("subdomain", "") != "slow") return {};
        // Time for a pass that knows some answers and would go on with them.
        std::unique_lock lock(pass_mutex_);
        pass_done_.wait_for(lock, milliseconds(300), [&] { return passes_ > before + 1; });
        return {};
      });
  LetGo();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "m-high-train-1"); }));
  for (const char* pool : {"a-low", "z-low"}) {
    EXPECT_FALSE(Status(pool).contains("placement")) << Status(pool);
  }
}

// A pool whose template the API server is asked about for as long as the test wants.
class SlowAnswer : public LoopPaceTest {
 protected:
  SlowAnswer() {
    server_.Put(PoolJson("run", 2));
    server_.SetAdmission(
        [asked = asked_, answer = answer_](const support::ServedKind& kind,
                                           Json& /*object*/) -> std::optional<kube::HttpResponse> {
          if (kind.plural != "pods") return {};
          *asked = true;
          asked->notify_all();
          answer->wait(false);
          return {};
        });
    watching_.Start();
  }
  void TearDown() override {
    Answer();
    LoopPaceTest::TearDown();
  }
  void Answer() {
    *answer_ = true;
    answer_->notify_all();
  }

  const std::shared_ptr<std::atomic<bool>> asked_ = std::make_shared<std::atomic<bool>>(false);
  const std::shared_ptr<std::atomic<bool>> answer_ = std::make_shared<std::atomic<bool>>(false);
};

TEST_F(SlowAnswer, WhatWasSeenBeforeItIsOld) {
  ASSERT_TRUE(support::Eventually([&] { return stores_.Unsynced().empty(); }));
  {
    const std::jthread pass([&] { loop_.Pass({}); });
    asked_->wait(false);
    // No reflector writes meanwhile: the server answers nobody.
    for (const char* node : {"h0", "h1"}) stores_.nodes.Erase(node, "1");
    Answer();
  }
  EXPECT_EQ(passes_, 1);
  EXPECT_EQ(Status("run")["placement"]["nodeGroup"], "cloud") << "there is no node at home";
}

TEST_F(SlowAnswer, HoldsUpNobodyWhoIsToStop) {
  ASSERT_TRUE(support::Eventually([&] { return stores_.Unsynced().empty(); }));
  std::stop_source stop;
  stop.request_stop();
  loop_.Pass({}, stop.get_token());
  EXPECT_EQ(passes_, 0) << "nothing is decided any more";
}

// What is seen of nodes is kept from pass to pass, whatever became of the one before.
TEST_F(SlowAnswer, NodesAreSeenAsTheyAreAfterAPassThatBrokeOff) {
  ASSERT_TRUE(support::Eventually([&] { return stores_.Unsynced().empty(); }));
  std::stop_source stop;
  stop.request_stop();
  loop_.Pass({}, stop.get_token());
  // No reflector writes meanwhile: the server answers nobody.
  stores_.nodes.Erase("h0", "1");
  kube::Node cordoned = *stores_.nodes.Get("c1");
  cordoned.unschedulable = true;
  stores_.nodes.Upsert(cordoned);
  Answer();
  for (int i = 0; i < 3; ++i) {
    loop_.RequestSnapshot();
    loop_.Pass({});
    const World world = ReadWorld(stores_);
    std::vector<placement::Node> nodes;
    placement::Sharing sharing;
    NodeObserver().Observe(world, Families(world), clock_.Now(), sharing, nodes);
    EXPECT_EQ(snapshot_.nodes.size(), 5U);
    EXPECT_TRUE(snapshot_.nodes == nodes) << placement::WriteSnapshot(snapshot_);
  }
}

TEST_F(LoopPaceTest, APassThatIsUnderWayWhenTheLoopIsToStopFinishesItsWrites) {
  std::stop_source stop;
  on_pass_ = [&] { stop.request_stop(); };
  watching_.Start();
  ASSERT_TRUE(support::Eventually([&] { return stores_.Unsynced().empty(); }));
  loop_.Run(stop.get_token(), {});
  EXPECT_EQ(passes_, 1);
  EXPECT_TRUE(HasGroupStatus("home"));
  EXPECT_TRUE(HasGroupStatus("cloud"));
}

TEST_F(LoopPaceTest, NothingIsDecidedBeforeEveryKindHasBeenRead) {
  Fault away;
  away.verb = "list";
  away.path_contains = "/priorityclasses";
  away.status = 403;
  away.reason = "Forbidden";
  away.times = -1;
  server_.Inject(away);
  watching_.Start();
  ASSERT_TRUE(support::Eventually([&] { return stores_.Unsynced().size() == 1; }));
  loop_.Pass({});
  EXPECT_EQ(passes_, 0);
  EXPECT_THAT(server_.Writes(), IsEmpty());
}

// --- what fails is tried again, by itself and less and less often ---

class RefusedGroup : public LoopPaceTest {
 protected:
  RefusedGroup() { Refuse(500, "InternalError"); }
  void Refuse(int status, const std::string& reason) {
    Fault refused;
    refused.verb = "update";
    refused.path_contains = "/nodegroups/home";
    refused.status = status;
    refused.reason = reason;
    refused.times = -1;
    server_.ClearFaults();
    server_.Inject(refused);
  }
  void ExpectGrowingTimes(seconds longest);
  void FailOften() {
    Run();
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(OnePass());
      clock_.Advance(seconds(30));
    }
    ASSERT_TRUE(OnePass());
  }
  size_t Tries() const {
    const auto writes = server_.Writes();
    return static_cast<size_t>(std::count_if(writes.begin(), writes.end(), [](const auto& write) {
      return write.path.find("/nodegroups/home") != std::string::npos;
    }));
  }
};

void RefusedGroup::ExpectGrowingTimes(seconds longest) {
  Run();
  ASSERT_TRUE(OnePass());
  ASSERT_EQ(Tries(), 1U);
  EXPECT_TRUE(HasGroupStatus("cloud"));
  milliseconds delay{200};
  for (size_t tries = 1; tries <= 40; ++tries) {
    clock_.Advance(delay - milliseconds(1));
    ASSERT_TRUE(OnePass());
    ASSERT_EQ(Tries(), tries) << delay.count() << " ms are not over";
    clock_.Advance(milliseconds(1));
    ASSERT_TRUE(OnePass());
    ASSERT_EQ(Tries(), tries + 1) << delay.count() << " ms are over";
    delay = std::min<milliseconds>(2 * delay, longest);
  }
  server_.ClearFaults();
  clock_.Advance(delay);
  ASSERT_TRUE(OnePass());
  EXPECT_TRUE(HasGroupStatus("home"));
}

TEST_F(RefusedGroup, IsTriedAgainAfterGrowingTimesAndHoldsNobodyUp) {
  ExpectGrowingTimes(seconds(30));
}

// News that was on its way mostly, and may take its time where a watch brings nothing.
TEST_F(RefusedGroup, ThatSomebodyHasChangedIsTriedAgainAfterGrowingTimes) {
  Refuse(409, "Conflict");
  ExpectGrowingTimes(seconds(5));
}

TEST_F(RefusedGroup, OfWhichNoNewsComesForLongIsTold) {
  Refuse(409, "Conflict");
  const auto told = [&](int tries) {
    testing::internal::CaptureStderr();
    for (int i = 0; i < tries; ++i) {
      EXPECT_TRUE(OnePass());
      clock_.Advance(seconds(5));
    }
    log_.Flush();
    return testing::internal::GetCapturedStderr();
  };
  Run();
  EXPECT_THAT(told(15), IsEmpty());
  EXPECT_THAT(told(1),
              AllOf(HasSubstr("news of an object does not come"), HasSubstr("NodeGroup home")));
  EXPECT_THAT(told(20), IsEmpty()) << "once is enough";
}

TEST_F(RefusedGroup, ThatSomebodyHasChangedIsTriedAgainOnceThatIsSeen) {
  Refuse(409, "Conflict");
  Run();
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(OnePass());
    clock_.Advance(seconds(5));
  }
  ASSERT_TRUE(OnePass());
  server_.ClearFaults();
  ASSERT_TRUE(OnePass());
  EXPECT_FALSE(HasGroupStatus("home")) << "5 s are not over";
  Json group = *server_.Get("nodegroups", "", "home");
  group["metadata"]["annotations"] = {{"whose", "theirs"}};
  const std::string version = server_.Put(group)["metadata"]["resourceVersion"];
  // By then its status may have been written already.
  ASSERT_TRUE(support::Eventually(
      [&] { return !kube::NewerVersion(version, stores_.node_groups.ResourceVersion()); }));
  ASSERT_TRUE(OnePass());
  EXPECT_TRUE(HasGroupStatus("home"));
}

TEST_F(RefusedGroup, IsTriedAgainAfterFiveMinutesWhateverTheServerAsksFor) {
  server_.ClearFaults();
  Fault maintenance;
  maintenance.verb = "update";
  maintenance.path_contains = "/nodegroups/home";
  maintenance.status = 503;
  maintenance.retry_after = 86'400;
  server_.Inject(maintenance);
  Run();
  ASSERT_TRUE(OnePass());
  ASSERT_EQ(Tries(), 1U);
  clock_.Advance(milliseconds(299'999));
  ASSERT_TRUE(OnePass());
  ASSERT_EQ(Tries(), 1U);
  clock_.Advance(milliseconds(1));
  ASSERT_TRUE(OnePass());
  EXPECT_EQ(Tries(), 2U);
  EXPECT_TRUE(HasGroupStatus("home"));
}

TEST_F(RefusedGroup, ThatIsMadeAnewIsNoLongerHeldAgainstItsName) {
  ASSERT_NO_FATAL_FAILURE(FailOften());
  const size_t tries = Tries();
  server_.Remove("nodegroups", "", "home");
  ASSERT_TRUE(support::Eventually([&] { return stores_.node_groups.Get("home") == nullptr; }));
  ASSERT_TRUE(OnePass());
  server_.Put(GroupJson("home", 0));
  ASSERT_TRUE(support::Eventually([&] { return stores_.node_groups.Get("home") != nullptr; }));
  ASSERT_TRUE(OnePass());
  EXPECT_EQ(Tries(), tries + 1);
}

TEST_F(RefusedGroup, ThatIsMadeAnewBetweenTwoPassesIsNoLongerHeldAgainstItsName) {
  ASSERT_NO_FATAL_FAILURE(FailOften());
  const size_t tries = Tries();
  server_.HoldWatches("nodegroups");
  server_.Remove("nodegroups", "", "home");
  server_.Put(GroupJson("home", 0));
  server_.ReleaseWatches();
  ASSERT_TRUE(OnePass());
  ASSERT_TRUE(OnePass());
  EXPECT_EQ(Tries(), tries + 1);
}

// Without any other event: the loop looks again by itself.
TEST_F(RefusedGroup, TheEarliestOfAllThatWaitsWakesTheLoop) {
  Run();
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(OnePass());
    clock_.Advance(seconds(30));
  }
  Fault once;
  once.verb = "update";
  once.path_contains = "/nodegroups/alpha";
  server_.Inject(once);
  server_.Put(GroupJson("alpha", 30));
  ASSERT_TRUE(support::Eventually([&] { return stores_.node_groups.Get("alpha") != nullptr; }));
  ASSERT_TRUE(OnePass());
  ASSERT_TRUE(OnePass());
  ASSERT_FALSE(HasGroupStatus("alpha"));
  clock_.Advance(milliseconds(300));
  EXPECT_TRUE(server_.WaitUntil([&] { return HasGroupStatus("alpha"); }, seconds(5)))
      << "the other one waits for half a minute";
}

TEST_F(RefusedGroup, AWallClockThatJumpsNeitherHastensNorDelaysTheNextTry) {
  Run();
  ASSERT_TRUE(OnePass());
  for (const seconds jump : {seconds(3600), -seconds(3600)}) {
    const size_t tries = Tries();
    clock_.Jump(jump);
    ASSERT_TRUE(OnePass());
    EXPECT_EQ(Tries(), tries);
    clock_.Advance(seconds(1));
    ASSERT_TRUE(OnePass());
    EXPECT_EQ(Tries(), tries + 1);
  }
}

TEST_F(LoopPaceTest, AnObjectThatIsWrittenInMoreThan50PassesOfAMinuteIsCounted) {
  const std::string series = "spillway_objects_written_too_often_total";
  Run();
  ASSERT_TRUE(Await([&] { return HasGroupStatus("home"); }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  clock_.Advance(seconds(60));
  // Somebody erases what is written, again and again.
  const auto undo = [&](int times) {
    for (int i = 0; i < times; ++i) {
      server_.Put(GroupJson("home", 0));
      ASSERT_TRUE(Await([&] { return HasGroupStatus("home"); }));
      ASSERT_TRUE(OnePass());
    }
  };
  ASSERT_NO_FATAL_FAILURE(undo(50));
  EXPECT_EQ(Metric(series), 0);
  ASSERT_NO_FATAL_FAILURE(undo(20));
  EXPECT_EQ(Metric(series), 1) << "once a minute";
  clock_.Advance(seconds(60));
  ASSERT_NO_FATAL_FAILURE(undo(50));
  EXPECT_EQ(Metric(series), 1);
  ASSERT_NO_FATAL_FAILURE(undo(1));
  EXPECT_EQ(Metric(series), 2);
}

// --- what takes its time ---

// Two seconds are more than a pass waits for what follows from a status.
class SlowChildren : public LoopPaceTest {
 protected:
  // The Job of a pool is held, and the pass that makes it is over.
  void HoldJobOf(const std::string& pool, int workers = 1) {
    transport_.Hold("POST", pool + "-train-1");
    server_.Put(PoolJson(pool, workers));
    ASSERT_TRUE(support::Eventually([&] { return transport_.Waiting() == 1; }));
    clock_.Advance(seconds(2));
    ASSERT_TRUE(support::Eventually([&] { return loop_.PassTime() == seconds(0); }));
  }
  bool IsPlaced(const std::string& pool) { return Status(pool).contains("placement"); }
};

TEST_F(SlowChildren, HoldNobodyElseUp) {
  Run();
  ASSERT_NO_FATAL_FAILURE(HoldJobOf("slow"));
  EXPECT_TRUE(IsPlaced("slow")) << "what was decided is written first";
  server_.Put(PoolJson("quick", 1));
  EXPECT_TRUE(Await([&] { return Exists("jobs", "quick-train-1"); }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_EQ(transport_.Waiting(), 1U) << "it is not asked for a second time";
  EXPECT_FALSE(Exists("jobs", "slow-train-1"));
  transport_.LetGo();
  EXPECT_TRUE(Await([&] { return Exists("jobs", "slow-train-1"); }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_EQ(server_.All("jobs").size(), 2U);
  for (const char* pool : {"slow", "quick"}) EXPECT_EQ(Status(pool)["attempts"], 1) << pool;
}

TEST_F(SlowChildren, NothingElseIsWrittenAboutThatPoolMeanwhile) {
  Run();
  ASSERT_NO_FATAL_FAILURE(HoldJobOf("slow"));
  const Json before = Status("slow");
  server_.Patch("trainingpools", "lab", "slow", {{"spec", {{"suspend", true}}}});
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_EQ(Status("slow"), before);
  transport_.LetGo();
  EXPECT_TRUE(Await([&] { return Reason("slow", "Placed") == "Suspended"; }));
  EXPECT_TRUE(Await([&] { return !Exists("jobs", "slow-train-1"); }));
}

TEST_F(SlowChildren, AreTriedAgainWhereTheyFailInTheEnd) {
  Run();
  ASSERT_NO_FATAL_FAILURE(HoldJobOf("slow"));
  Fault refused;
  refused.verb = "create";
  refused.path_contains = "/jobs";
  refused.status = 500;
  server_.Inject(refused);
  transport_.LetGo();
  const std::string retries =
      R"(workqueue_retries_total{controller="spillway",name="spillway-writes"})";
  ASSERT_TRUE(support::Eventually([&] { return Metric(retries) == 1; }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_FALSE(Exists("jobs", "slow-train-1")) << "it is too early";
  clock_.Advance(milliseconds(200));
  EXPECT_TRUE(Await([&] { return Exists("jobs", "slow-train-1"); }));
}

// Its Job may come into being there any moment.
TEST_F(SlowChildren, NobodyTakesTheRoomThatSuchAPoolIsToGiveUp) {
  Run();
  ASSERT_NO_FATAL_FAILURE(HoldJobOf("slow", 2));
  server_.Put(PoolJson("next", 2));
  ASSERT_TRUE(Await([&] { return !Reason("next", "Placed").empty(); }));
  EXPECT_FALSE(IsPlaced("next"));
  server_.Patch("trainingpools", "lab", "slow", {{"spec", {{"suspend", true}}}});
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_TRUE(IsPlaced("slow"));
  EXPECT_FALSE(IsPlaced("next"));
  transport_.LetGo();
  EXPECT_TRUE(Await([&] { return Exists("jobs", "next-train-1"); }));
  EXPECT_FALSE(IsPlaced("slow"));
  EXPECT_TRUE(Await([&] { return !Exists("jobs", "slow-train-1"); }));
}

TEST_F(SlowChildren, NobodyTakesTheRoomThatAPoolCouldNotGiveUp) {
  server_.Put(PoolJson("first", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "first-train-1"); }));
  server_.Put(PoolJson("next", 2));
  ASSERT_TRUE(Await([&] { return !Reason("next", "Placed").empty(); }));
  Fault refused;
  refused.verb = "update";
  refused.path_contains = "/trainingpools/first";
  refused.status = 500;
  refused.times = -1;
  server_.Inject(refused);
  server_.Patch("trainingpools", "lab", "first", {{"spec", {{"suspend", true}}}});
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_TRUE(IsPlaced("first"));
  EXPECT_FALSE(IsPlaced("next"));
  server_.ClearFaults();
  clock_.Advance(seconds(30));
  EXPECT_TRUE(Await([&] { return Exists("jobs", "next-train-1"); }));
}

// Likewise of what its namespace may have: there is another node for the next one.
TEST_F(SlowChildren, NobodyTakesTheShareOfALimitThatAPoolCouldNotGiveUp) {
  server_.Put({{"apiVersion", "spillway.dev/v1alpha1"},
               {"kind", "PoolQuota"},
               {"metadata", {{"name", "default"}, {"namespace", "lab"}}},
               {"spec", {{"accelerators", {{{"type", "nvidia-a100-80gb"}, {"limit", 8}}}}}}});
  server_.Put(PoolJson("first", 1));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "first-train-1"); }));
  server_.Put(PoolJson("next", 1));
  ASSERT_TRUE(Await([&] { return Reason("next", "Placed") == "WaitingForQuota"; }))
      << Reason("next", "Placed");
  Fault refused;
  refused.verb = "update";
  refused.path_contains = "/trainingpools/first";
  refused.status = 500;
  refused.times = -1;
  server_.Inject(refused);
  const std::string node = Status("first")["placement"]["nodes"][0];
  server_.Patch("nodes", "", node, {{"spec", {{"unschedulable", true}}}});
  server_.Patch("trainingpools", "lab", "first", {{"spec", {{"suspend", true}}}});
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_FALSE(IsPlaced("next"));
  server_.ClearFaults();
  clock_.Advance(seconds(30));
  EXPECT_TRUE(Await([&] { return Exists("jobs", "next-train-1"); }));
}

// It tells so while a pass waits for its caches, which will not have seen it.
TEST_F(SlowChildren, ThatEndAsAPassBeginsAreSeenByTheNext) {
  Run();
  ASSERT_NO_FATAL_FAILURE(HoldJobOf("slow"));
  server_.Put(PoolJson("wider", 2));
  ASSERT_TRUE(Await([&] { return !Reason("wider", "Placed").empty(); }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  server_.HoldWatches("trainingpools");
  server_.Put(NodeJson("h2", "home"));
  ASSERT_TRUE(Await([&] { return Exists("jobs", "wider-train-1"); }));
  loop_.MarkDirty();  // and then waits for the status that it has just written
  server_.WaitUntil([] { return false; }, milliseconds(50));
  Fault refused;
  refused.verb = "create";
  refused.path_contains = "/jobs";
  refused.status = 500;
  server_.Inject(refused);
  const int passes = passes_;
  transport_.LetGo();
  ASSERT_TRUE(support::Eventually([&] { return loop_.Writing().all == seconds(0); }));
  server_.ReleaseWatches();
  ASSERT_TRUE(AwaitPass(passes));
  const std::string retries =
      R"(workqueue_retries_total{controller="spillway",name="spillway-writes"})";
  EXPECT_TRUE(support::Eventually([&] { return Metric(retries) == 1; }));
}

TEST_F(SlowChildren, AreCutOffByAnAbort) {
  Run();
  ASSERT_NO_FATAL_FAILURE(HoldJobOf("slow"));
  running_.request_stop();  // which is both, here
  running_.join();
  EXPECT_EQ(transport_.Waiting(), 0U);
  EXPECT_FALSE(Exists("jobs", "slow-train-1"));
}

// As in a process that is told to stop and may take its time.
TEST_F(LoopPaceTest, TheEndWaitsForChildrenThatTakeTheirTime) {
  watching_.Start();
  std::atomic<bool> ended = false;
  std::jthread loop([&](const std::stop_token& stop) {
    loop_.Run(stop, {});
    ended = true;
  });
  transport_.Hold("POST", "slow-train-1");
  server_.Put(PoolJson("slow", 2));
  ASSERT_TRUE(support::Eventually([&] { return transport_.Waiting() == 1; }));
  clock_.Advance(seconds(2));
  ASSERT_TRUE(support::Eventually([&] { return loop_.PassTime() == seconds(0); }));
  loop.request_stop();
  server_.Put(GroupJson("late", 20));
  EXPECT_FALSE(server_.WaitUntil([&] { return HasGroupStatus("late"); }, milliseconds(200)));
  EXPECT_FALSE(ended);
  transport_.LetGo();
  loop.join();
  EXPECT_TRUE(Exists("jobs", "slow-train-1"));
}

// Where many are slow, some are always left who write about the others.
TEST_F(SlowChildren, HoweverManyLeaveSomebodyForTheOthers) {
  for (int i = 0; i < 30; ++i) {
    server_.Put(NodeJson("more-" + std::to_string(i), "home"));
    server_.Put(PoolJson("slow-" + std::to_string(i), 1));
  }
  Fault refused;
  refused.verb = "create";
  refused.path_contains = "/jobs";
  refused.status = 500;
  refused.times = 30;
  server_.Inject(refused);
  Run();
  ASSERT_TRUE(Await([&] { return IsPlaced("slow-29"); }));
  const std::string retries =
      R"(workqueue_retries_total{controller="spillway",name="spillway-writes"})";
  ASSERT_TRUE(support::Eventually([&] { return Metric(retries) == 30; }));
  transport_.Hold("POST", "slow-");
  clock_.Advance(milliseconds(200));
  ASSERT_TRUE(support::Eventually([&] { return transport_.Waiting() > 0; }));
  clock_.Advance(seconds(2));
  server_.Put(PoolJson("quick", 1));
  EXPECT_TRUE(Await([&] { return Exists("jobs", "quick-train-1"); }));
  EXPECT_LE(transport_.Waiting(), 3U);
  transport_.LetGo();
  EXPECT_TRUE(Await([&] { return server_.All("jobs").size() == 31; }));
}

// --- numbers ---

class ManyGroups : public LoopPaceTest {
 protected:
  static constexpr int kGroups = 60;  // more than one pass may write numbers of

  ManyGroups() {
    for (int i = 0; i < kGroups; ++i) {
      server_.Put(GroupJson(Name(i), 0));
      server_.Put(NodeJson("node-" + Name(i), Name(i)));
    }
    on_pass_ = [this] {
      const size_t writes = server_.Writes().size();
      writes_at_pass_.With([&](std::vector<size_t>& at) { at.push_back(writes); });
    };
  }
  static std::string Name(int i) { return "g" + std::to_string(i); }
  // So many accelerators of every node of theirs are in use by somebody.
  void Use(int gpus) {
    for (int i = 0; i < kGroups; ++i) {
      const Json requests = {{"requests", {{"nvidia.com/gpu", std::to_string(gpus)}}}};
      server_.Put({{"apiVersion", "v1"},
                   {"kind", "Pod"},
                   {"metadata", {{"name", "user-" + Name(i)}, {"namespace", "lab"}}},
                   {"spec",
                    {{"nodeName", "node-" + Name(i)},
                     {"containers", {{{"name", "main"}, {"resources", requests}}}}}},
                   {"status", {{"phase", "Running"}}}});
    }
    EXPECT_TRUE(support::Eventually([&] {
      const auto pods = stores_.pods.List();
      return pods.size() == kGroups && std::all_of(pods.begin(), pods.end(), [&](const auto& pod) {
               return pod->requests.Get().Get("nvidia.com/gpu") == gpus;
             });
    }));
  }
  int SaysUsed(int gpus) {
    int count = 0;
    for (int i = 0; i < kGroups; ++i) {
      const auto group = server_.Get("nodegroups", "", Name(i));
      count +=
          group->contains("status") && (*group)["status"]["accelerators"]["used"] == gpus ? 1 : 0;
    }
    return count;
  }
  std::vector<size_t> Marks() {
    return writes_at_pass_.With([](const std::vector<size_t>& at) { return at; });
  }
  // Writes of each pass since the first `begin` passes, those that wrote nothing left out.
  std::vector<size_t> WritesByPass(size_t begin) {
    std::vector<size_t> counts;
    std::vector<size_t> marks = Marks();
    marks.push_back(server_.Writes().size());
    for (size_t i = begin + 1; i < marks.size(); ++i) {
      if (marks[i] > marks[i - 1]) counts.push_back(marks[i] - marks[i - 1]);
    }
    return counts;
  }

  Guarded<std::vector<size_t>> writes_at_pass_;  // how many there were when each pass began
};

TEST_F(ManyGroups, ChangedNumbersSettleAndAreWrittenInPortionsAndOnceIn30Seconds) {
  Run();
  ASSERT_TRUE(Await([&] { return SaysUsed(0) == kGroups; }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  Use(4);
  ASSERT_TRUE(OnePass());
  EXPECT_EQ(SaysUsed(4), 0) << "numbers that have just changed may change again";
  const size_t begin = Marks().size();
  const size_t before = server_.Writes().size();
  clock_.Advance(options_.numbers_settle);
  ASSERT_TRUE(AwaitWhileTimePasses(seconds(1), [&] { return SaysUsed(4) == kGroups; }));
  EXPECT_EQ(server_.Writes().size() - before, kGroups);
  EXPECT_THAT(WritesByPass(begin), testing::Each(Le(options_.number_writes_per_pass)));
  // Once more, soon after.
  Use(6);
  ASSERT_TRUE(OnePass());
  clock_.Advance(options_.numbers_settle);
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_EQ(SaysUsed(6), 0);
  clock_.Advance(options_.numbers_every - options_.numbers_settle);
  EXPECT_TRUE(AwaitWhileTimePasses(seconds(1), [&] { return SaysUsed(6) == kGroups; }));
}

TEST_F(ManyGroups, AChangedReasonIsWrittenAtOnceForAll) {
  Run();
  ASSERT_TRUE(Await([&] { return SaysUsed(0) == kGroups; }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  for (int i = 0; i < kGroups; ++i) server_.Remove("nodes", "", "node-" + Name(i));
  EXPECT_TRUE(Await([&] {
    for (int i = 0; i < kGroups; ++i) {
      const Json status = (*server_.Get("nodegroups", "", Name(i)))["status"];
      if (status["conditions"][0]["reason"] != "NodesUnhealthy") return false;
    }
    return true;
  }));
}

// --- who publishes ---

TEST_F(LoopPaceTest, OnlyTheLeaderPublishesTheDomainAndAStandbyCountsWhatItDropped) {
  const std::string gauge = "\nspillway_node_group_nodes{";
  leading_ = false;
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(OnePass());
  EXPECT_THAT(registry_.Text(), Not(HasSubstr(gauge)));
  EXPECT_THAT(registry_.Text(), Not(HasSubstr("\nspillway_pools{")));
  EXPECT_THAT(registry_.Text(), Not(HasSubstr("\nspillway_conditions{")));
  EXPECT_THAT(Metric("spillway_writes_dropped_total"), Ge(2)) << "statuses of both groups";
  EXPECT_THAT(server_.Writes(), IsEmpty());
  leading_ = true;
  loop_.MarkDirty();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  const std::string pools = R"(spillway_pools{kind="TrainingPool",reason="PodsNotReady",)"
                            R"(spilled="false",state="placed"})";
  EXPECT_EQ(Metric(pools), 1);
  EXPECT_THAT(registry_.Text(), HasSubstr(gauge));
  const std::map<std::string, size_t> written = {
      {"Job", 1}, {"Service", 1}, {"PodDisruptionBudget", 1}};
  for (const auto& [kind, count] : written) {
    EXPECT_EQ(Metric("spillway_writes_total{kind=\"" + kind + "\",result=\"success\"}"), count)
        << kind;
  }
  EXPECT_EQ(Metric(R"(spillway_decisions_total{action="place"})"), 1);
  EXPECT_EQ(Metric("spillway_pool_wait_seconds_count"), 1);
  leading_ = false;
  ASSERT_TRUE(OnePass());
  EXPECT_THAT(registry_.Text(), Not(HasSubstr(gauge)));
}

TEST_F(LoopPaceTest, ConditionsTheirChangesAndTheFirstStartAreCounted) {
  support::FakeCluster cluster(server_, clock_);
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  Advance(std::chrono::seconds(40));  // the pods are slow to come
  cluster.Settle();
  ASSERT_TRUE(Await([&] { return Reason("run", "Ready") == "AsExpected"; }));
  const auto turns = [&](const std::string& status) {
    return Metric(R"(spillway_condition_transitions_total{condition="Ready",)"
                  R"(kind="TrainingPool",status=")" +
                  status + "\"}");
  };
  ASSERT_TRUE(Await([&] { return turns("True") == 1; }));
  EXPECT_EQ(turns("False"), 1);
  EXPECT_TRUE(Await([&] { return Metric("spillway_pool_start_seconds_count") == 1; }));
  EXPECT_GE(Metric("spillway_pool_start_seconds_sum"), 40);
  const std::string ready = R"(spillway_conditions{condition="Ready",kind="TrainingPool",)"
                            R"(reason="AsExpected",status="True"})";
  EXPECT_TRUE(Await([&] { return Metric(ready) == 1; }));
  // Workers that are not ready for a while: another change of the condition, but no other start.
  cluster.SetReady("h0", "False");
  ASSERT_TRUE(Await([&] { return turns("False") == 2; }));
  EXPECT_TRUE(Await([&] { return Metric(ready) == -1; }));
  cluster.SetReady("h0", "True");
  cluster.Settle();
  ASSERT_TRUE(Await([&] { return turns("True") == 2; }));
  EXPECT_EQ(Metric("spillway_pool_start_seconds_count"), 1);
}

TEST_F(LoopPaceTest, ARefusedWriteIsCountedAsAnError) {
  Fault refused;
  refused.verb = "create";
  refused.path_contains = "/jobs";
  refused.status = 500;
  refused.reason = "InternalError";
  server_.Inject(refused);
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(AwaitWhileTimePasses(seconds(1), [&] { return Exists("jobs", "run-train-1"); }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_EQ(Metric(R"(spillway_writes_total{kind="Job",result="error"})"), 1);
  EXPECT_EQ(Metric(R"(spillway_writes_total{kind="Job",result="success"})"), 1);
}

}  // namespace
}  // namespace spillway::controllers
