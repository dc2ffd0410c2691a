#include "controllers/applier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "crds/v1alpha1/training_pool.h"
#include "tests/controllers/samples.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"
#include "tests/support/held_transport.h"

namespace spillway::controllers {
namespace {

using samples::Json;

Json PoolNamed(const std::string& name) {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "TrainingPool"},
          {"metadata", {{"name", name}, {"namespace", "lab"}}},
          {"spec", {{"workers", 1}}}};
}

// A Service that a pool of the name `run` made which is there no more.
class Collecting : public testing::Test {
 protected:
  void SetUp() override {
    const Json owner = {{"apiVersion", "spillway.dev/v1alpha1"},
                        {"kind", "TrainingPool"},
                        {"name", "run"},
                        {"uid", "earlier"},
                        {"controller", true}};
    const Json service = server_.Put(
        {{"apiVersion", "v1"},
         {"kind", "Service"},
         {"metadata",
          {{"name", "run-train"}, {"namespace", "lab"}, {"ownerReferences", {owner}}}}});
    meta_.ns = "lab";
    meta_.name = "run-train";
    meta_.uid = service["metadata"]["uid"];
    pool_.ns = "lab";
    pool_.name = "run";
  }
  Outcome Collect() {
    WriteList list{"TrainingPool lab/run", pool_.uid, {}};
    list.writes = CollectLeftovers(crds::v1alpha1::TrainingPoolResource(), pool_,
                                   {{&kube::ServiceResource(), &meta_}}, {});
    Applier applier(client_, clock_, log_, {.threads = 1}, {[] {}, [] {}});
    return applier.Apply({list}, {}, {}).at(0).outcome;
  }
  Outcome Do(const Write& write) {
    Applier applier(client_, clock_, log_, {.threads = 1}, {[] {}, [] {}});
    return applier.Apply({{"Pod lab/worker", "", {write}}}, {}, {}).at(0).outcome;
  }
  bool IsThere() { return server_.Get("services", "lab", "run-train").has_value(); }

  support::FakeClock clock_;
  Log log_{LogLevel::kError, true};
  support::FakeApiServer server_{clock_};
  kube::Client client_{server_, clock_, {"test", 16, std::chrono::seconds(5), {}}};
  kube::ObjectMeta meta_;  // of the Service
  kube::ObjectMeta pool_;  // the one of this name, as it is believed to be
};

TEST_F(Collecting, DeletesWhatAnEarlierPoolLeftBehind) {
  pool_.uid = server_.Put(PoolNamed("run"))["metadata"]["uid"];
  const Outcome outcome = Collect();
  EXPECT_FALSE(outcome.error);
  EXPECT_THAT(outcome.deleted_uids, testing::ElementsAre(meta_.uid));
  EXPECT_FALSE(IsThere());
}

// The children that it would make are of a pool that has gone, or has another uid by now.
TEST_F(Collecting, NothingIsMadeForAPoolThatIsNotThereAnyMore) {
  std::string version;
  const auto make = [&] {
    const Json config = {{"apiVersion", "v1"},
                         {"kind", "Service"},
                         {"metadata", {{"name", "new"}, {"namespace", "lab"}}}};
    Write confirm{Write::Verb::kConfirm,
                  &crds::v1alpha1::TrainingPoolResource(),
                  "lab",
                  "run",
                  {},
                  pool_.uid,
                  {}};
    confirm.version = version;
    const WriteList list{"TrainingPool lab/run",
                         pool_.uid,
                         {std::move(confirm),
                          {Write::Verb::kCreate,
                           &kube::ServiceResource(),
                           "lab",
                           "new",
                           config.dump(),
                           pool_.uid,
                           {}}}};
    Applier applier(client_, clock_, log_, {.threads = 1}, {[] {}, [] {}});
    return applier.Apply({list}, {}, {}).at(0).outcome;
  };
  pool_.uid = "gone";
  EXPECT_EQ(make().error->code, Code::kConflict) << "none is there";
  const Json pool = server_.Put(PoolNamed("run"));
  version = pool["metadata"]["resourceVersion"];
  EXPECT_EQ(make().error->code, Code::kConflict) << "another one is";
  pool_.uid = pool["metadata"]["uid"];
  version = "1";
  EXPECT_EQ(make().error->code, Code::kConflict) << "it has changed";
  EXPECT_FALSE(server_.Get("services", "lab", "new"));
  version = pool["metadata"]["resourceVersion"];
  EXPECT_FALSE(make().error);
  EXPECT_TRUE(server_.Get("services", "lab", "new"));
}

TEST_F(Collecting, LeavesWhatMayBeOfThePoolThatIsThere) {
  server_.Put(PoolNamed("run"));
  pool_.uid = "an-old-one";
  const Outcome outcome = Collect();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Code::kConflict) << "news is on its way";
  EXPECT_TRUE(IsThere());
}

TEST_F(Collecting, LeavesWhatNoPoolOfThisNameIsThereFor) {
  pool_.uid = "an-old-one";
  const Outcome outcome = Collect();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Code::kNotFound);
  EXPECT_TRUE(IsThere());
}

TEST_F(Collecting, DeletesNothingThatWasNotSeen) {
  pool_.uid = server_.Put(PoolNamed("run"))["metadata"]["uid"];
  meta_.uid = "another";
  EXPECT_FALSE(Collect().error);
  EXPECT_TRUE(IsThere());
}

TEST_F(Collecting, APodThatIsNoLongerAsItWasSeenStays) {
  const Json pod = server_.Put({{"apiVersion", "v1"},
                                {"kind", "Pod"},
                                {"metadata", {{"name", "worker"}, {"namespace", "lab"}}}});
  Write write{Write::Verb::kDelete, &kube::PodResource(), "lab", "worker", {}, {}, {}};
  write.deletion.uid = pod["metadata"]["uid"];
  write.deletion.resource_version = pod["metadata"]["resourceVersion"];
  server_.Patch("pods", "lab", "worker", {{"status", {{"phase", "Running"}}}});
  Outcome outcome = Do(write);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Code::kConflict);
  EXPECT_THAT(outcome.deleted_uids, testing::IsEmpty()) << "it is to be decided again";
  const auto now = server_.Get("pods", "lab", "worker");
  ASSERT_TRUE(now.has_value());
  write.deletion.resource_version = (*now)["metadata"]["resourceVersion"];
  outcome = Do(write);
  EXPECT_FALSE(outcome.error);
  EXPECT_FALSE(server_.Get("pods", "lab", "worker").has_value());
}

// --- which is written first, and what is waited for ---

class Several : public testing::Test {
 protected:
  const Spot kHome{"group home", {}};
  const Spot kCloud{"group cloud", {}};

  void SetUp() override {
    for (const char* name : {"a", "b", "c", "d"}) {
      pools_[name] = server_.Put(PoolNamed(name))["metadata"];
    }
    server_.ClearRequests();
  }
  WriteList StatusOf(const std::string& name) const {
    const Json body = {{"apiVersion", "spillway.dev/v1alpha1"},
                       {"kind", "TrainingPool"},
                       {"metadata", pools_.at(name)},
                       {"status", {{"attempts", 1}}}};
    return {"TrainingPool lab/" + name,
            name,
            {{Write::Verb::kStatus,
              &crds::v1alpha1::TrainingPoolResource(),
              "lab",
              name,
              body.dump(),
              {},
              {}}}};
  }
  static void AddChild(WriteList& list) {
    const std::string name = list.uid + "-train";
    const Json body = {{"apiVersion", "v1"},
                       {"kind", "Service"},
                       {"metadata", {{"name", name}, {"namespace", "lab"}}}};
    list.writes.push_back(
        {Write::Verb::kCreate, &kube::ServiceResource(), "lab", name, body.dump(), list.uid, {}});
  }
  // Status and child of a pool.
  WriteList BothOf(const std::string& name) const {
    WriteList list = StatusOf(name);
    AddChild(list);
    return list;
  }
  static WriteList ChildOf(const std::string& name) {
    WriteList list{"TrainingPool lab/" + name, name, {}};
    AddChild(list);
    return list;
  }
  bool HasChild(const std::string& name) {
    return server_.Get("services", "lab", name + "-train").has_value();
  }
  // In order, "a" for a status, "a-train" for a child.
  std::vector<std::string> Written() {
    std::vector<std::string> names;
    for (const support::LoggedRequest& request : server_.Writes()) {
      names.push_back(Json::parse(request.body)["metadata"]["name"]);
    }
    return names;
  }
  std::vector<Applied> Apply(Applier& applier, std::vector<WriteList> lists) {
    return applier.Apply(std::move(lists), {}, {});
  }
  // The applier does not wait: time flies.
  std::vector<Applied> ApplyWithoutPatience(Applier& applier, std::vector<WriteList> lists) {
    const std::jthread time([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        clock_.Advance(std::chrono::seconds(1));
        std::this_thread::yield();
      }
    });
    return Apply(applier, std::move(lists));
  }

  support::FakeClock clock_;
  Log log_{LogLevel::kError, true};
  support::FakeApiServer server_{clock_};
  support::HeldTransport transport_{server_};
  kube::Client client_{transport_, clock_, {"test", 16, std::chrono::seconds(5), {}}};
  std::map<std::string, Json> pools_;
  std::atomic<int> news_ = 0;
  const Applier::Hooks hooks_{[] {}, [this] { ++news_; }};
};

TEST_F(Several, StatusesComeBeforeWhatFollowsFromThem) {
  Applier applier(client_, clock_, log_, {.threads = 1}, hooks_);
  const auto applied = Apply(applier, {BothOf("a"), ChildOf("b"), BothOf("c"), StatusOf("d")});
  EXPECT_THAT(Written(), testing::ElementsAre("a", "c", "d", "b-train", "a-train", "c-train"));
  ASSERT_EQ(applied.size(), 4U);
  for (size_t i = 0; i < applied.size(); ++i) {
    const Outcome& outcome = applied[i].outcome;
    EXPECT_EQ(applied[i].list.uid, std::string(1, static_cast<char>('a' + i)));
    EXPECT_TRUE(outcome.ended);
    EXPECT_EQ(outcome.from, 0U);
    EXPECT_EQ(outcome.done, applied[i].list.writes.size());
    EXPECT_EQ(outcome.versions.size(), outcome.done);
    EXPECT_EQ(outcome.status_written, i != 1);
  }
  EXPECT_TRUE(applier.TakeLate().empty());
}

TEST_F(Several, WhatHasFailedComesLast) {
  Applier applier(client_, clock_, log_, {.threads = 1}, hooks_);
  applier.RetryLater("TrainingPool lab/a", {});
  EXPECT_TRUE(applier.IsBusy("TrainingPool lab/a"));
  clock_.Advance(std::chrono::milliseconds(200));
  EXPECT_FALSE(applier.IsBusy("TrainingPool lab/a"));
  Apply(applier, {BothOf("c"), ChildOf("a"), ChildOf("b")});
  EXPECT_THAT(Written(), testing::ElementsAre("c", "b-train", "c-train", "a-train"));
}

TEST_F(Several, RoomIsGivenUpBeforeItIsTaken) {
  Applier applier(client_, clock_, log_, {.threads = 4}, hooks_);
  WriteList takes = StatusOf("a");
  takes.room = {{}, {kCloud}};
  WriteList moves = StatusOf("b");
  moves.room = {{kCloud}, {kHome}};
  WriteList gives = StatusOf("c");
  gives.room = {{kHome}, {}};
  Apply(applier, {takes, moves, gives});
  EXPECT_THAT(Written(), testing::ElementsAre("c", "b", "a"));
}

// One after the other: whoever comes later takes nothing that was not given up.
TEST_F(Several, WhoTakesEachOthersRoomGoesOneByOne) {
  Applier applier(client_, clock_, log_, {.threads = 4}, hooks_);
  WriteList one = StatusOf("a");
  one.room = {{kHome}, {kCloud}};
  WriteList other = StatusOf("b");
  other.room = {{kCloud}, {kHome}};
  Apply(applier, {one, other});
  EXPECT_THAT(Written(), testing::ElementsAre("a", "b"));
  server_.ClearRequests();
  support::Fault refused;
  refused.verb = "update";
  refused.path_contains = "/trainingpools/a";
  server_.Inject(refused);
  const auto applied = Apply(applier, {one, other});
  EXPECT_TRUE(applied[0].outcome.error);
  EXPECT_TRUE(applied[1].outcome.withheld);
}

TEST_F(Several, ANodeOfAGroupIsNotAnother) {
  const Spot one{"group home", "h0"};
  const Spot other{"group home", "h1"};
  Applier applier(client_, clock_, log_, {.threads = 4}, hooks_);
  WriteList takes = BothOf("a");
  const auto is_written = [&](const Spot& take, const Spot& withheld) {
    takes.room = {{}, {take}};
    return !applier.Apply({takes}, {withheld}, {})[0].outcome.withheld;
  };
  EXPECT_TRUE(is_written(one, other));
  EXPECT_FALSE(is_written(one, one));
  EXPECT_FALSE(is_written(one, kHome)) << "any of it may be that one";
  EXPECT_FALSE(is_written(kHome, one)) << "likewise";
  EXPECT_TRUE(is_written(one, kCloud));
}

TEST_F(Several, WhatWasNotGivenUpIsNotTaken) {
  support::Fault refused;
  refused.verb = "update";
  refused.path_contains = "/trainingpools/a";
  server_.Inject(refused);
  Applier applier(client_, clock_, log_, {.threads = 4}, hooks_);
  WriteList gives = StatusOf("a");
  gives.room = {{kHome}, {}};
  WriteList moves = BothOf("b");
  moves.room = {{kCloud}, {kHome}};
  WriteList takes_after_it = BothOf("c");
  takes_after_it.room = {{}, {kCloud}};
  WriteList takes_elsewhere = BothOf("d");
  takes_elsewhere.room = {{}, {{"group edge", {}}}};
  const auto applied = Apply(applier, {takes_elsewhere, takes_after_it, moves, gives});
  EXPECT_TRUE(HasChild("d"));
  EXPECT_FALSE(HasChild("b") || HasChild("c"));
  for (size_t i : {1, 2}) {
    EXPECT_TRUE(applied[i].outcome.withheld);
    EXPECT_FALSE(applied[i].outcome.ended || applied[i].outcome.error);
    EXPECT_EQ(applied[i].outcome.done, 0U);
  }
  EXPECT_FALSE(applier.IsBusy("TrainingPool lab/b")) << "the next pass decides again";
  Apply(applier, {moves, takes_after_it});
  EXPECT_TRUE(HasChild("b") && HasChild("c"));
}

TEST_F(Several, WhatIsWithheldIsNotTaken) {
  Applier applier(client_, clock_, log_, {.threads = 4}, hooks_);
  WriteList takes = BothOf("a");
  takes.room = {{}, {kHome, kCloud}};
  applier.Apply({takes}, {kCloud}, {});
  EXPECT_FALSE(HasChild("a"));
  applier.Apply({takes}, {{"group edge", {}}}, {});
  EXPECT_TRUE(HasChild("a"));
}

// A pool whose decision has changed need not wait for all that followed from the last one.
TEST_F(Several, CutShortNothingMoreIsBegun) {
  Applier applier(client_, clock_, log_, {.threads = 4}, hooks_);
  WriteList list = BothOf("a");
  list.uid = "b";
  AddChild(list);
  transport_.Hold("POST", "a-train");
  ApplyWithoutPatience(applier, {list});
  ASSERT_TRUE(support::Eventually([&] { return transport_.Waiting() == 1; }));
  applier.CutShort(list.key);
  transport_.LetGo();
  applier.Finish({});
  const std::vector<Applied> late = applier.TakeLate();
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].outcome.done, 2U);
  EXPECT_FALSE(late[0].outcome.error);
  EXPECT_TRUE(HasChild("a"));
  EXPECT_FALSE(HasChild("b"));
}

TEST_F(Several, NothingFollowsFromAStatusThatWasRefused) {
  support::Fault refused;
  refused.verb = "update";
  server_.Inject(refused);
  Applier applier(client_, clock_, log_, {.threads = 1}, hooks_);
  const auto applied = Apply(applier, {BothOf("a")});
  EXPECT_TRUE(applied[0].outcome.ended);
  EXPECT_TRUE(applied[0].outcome.error);
  EXPECT_EQ(applied[0].outcome.done, 0U);
  EXPECT_FALSE(HasChild("a"));
}

TEST_F(Several, WhatTakesTooLongIsToldOfInTwoParts) {
  Applier applier(client_, clock_, log_, {.threads = 4}, hooks_);
  transport_.Hold("POST", "a-train");
  const auto applied = ApplyWithoutPatience(applier, {BothOf("a")});
  EXPECT_FALSE(applied[0].outcome.ended);
  EXPECT_TRUE(applied[0].outcome.status_written);
  EXPECT_EQ(applied[0].outcome.done, 1U);
  EXPECT_TRUE(applier.IsBusy("TrainingPool lab/a"));
  EXPECT_TRUE(applier.TakeLate().empty());
  EXPECT_EQ(news_, 0);

  const auto again = Apply(applier, {BothOf("a")});
  EXPECT_FALSE(again[0].outcome.ended) << "one after the other";
  EXPECT_EQ(again[0].outcome.done, 0U);

  transport_.LetGo();
  applier.Finish({});
  EXPECT_TRUE(support::Eventually([&] { return news_ == 1; }));
  const std::vector<Applied> late = applier.TakeLate();
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].list.uid, "a");
  EXPECT_EQ(late[0].outcome.from, 1U);
  EXPECT_EQ(late[0].outcome.done, 2U);
  EXPECT_TRUE(late[0].outcome.ended);
  EXPECT_FALSE(late[0].outcome.status_written) << "that was told before";
  EXPECT_EQ(late[0].outcome.versions.size(), 1U);
  EXPECT_FALSE(applier.IsBusy("TrainingPool lab/a"));
  EXPECT_TRUE(applier.TakeLate().empty());
  EXPECT_TRUE(HasChild("a"));
}

// However many children are slow, statuses are written; of what has failed before so many may be
// slow as there are threads for it, and what is new is written still.
TEST_F(Several, SomeThreadsAreKeptForWhatIsMoreUrgent) {
  Applier applier(client_, clock_, log_, {.threads = 4}, hooks_);
  for (const char* name : {"a", "b", "c"}) {
    applier.RetryLater("TrainingPool lab/" + std::string(name), {});
  }
  clock_.Advance(std::chrono::seconds(1));
  for (const char* name : {"a", "b", "c"}) transport_.Hold("POST", name + std::string("-train"));
  ApplyWithoutPatience(applier, {ChildOf("a"), ChildOf("b"), ChildOf("c")});
  EXPECT_TRUE(support::Eventually([&] { return transport_.Waiting() == 2; }));
  Apply(applier, {BothOf("d")});
  EXPECT_TRUE(HasChild("d"));
  EXPECT_EQ(transport_.Waiting(), 2U);
  transport_.LetGo();
  applier.Finish({});
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(HasChild(name)) << name;
}

TEST_F(Several, CutOffNothingIsWrittenAnyMore) {
  Applier applier(client_, clock_, log_, {.threads = 2}, hooks_);
  transport_.Hold("POST", "a-train");
  ApplyWithoutPatience(applier, {BothOf("a")});
  std::stop_source stop;
  stop.request_stop();
  applier.Finish(stop.get_token());
  const std::vector<Applied> late = applier.TakeLate();
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].outcome.error->code, Code::kCancelled);
  transport_.LetGo();
  const auto applied = Apply(applier, {BothOf("b")});
  EXPECT_EQ(applied[0].outcome.error->code, Code::kCancelled);
  EXPECT_FALSE(HasChild("a") || HasChild("b"));
}

TEST_F(Several, WhatIsTriedAgainIsNewsOnceItsTimeHasCome) {
  Applier applier(client_, clock_, log_, {.threads = 1}, hooks_);
  applier.TryAgainIn("TrainingPool lab/a", std::chrono::milliseconds(200));
  EXPECT_TRUE(applier.IsBusy("TrainingPool lab/a"));
  clock_.Advance(std::chrono::milliseconds(200));
  EXPECT_TRUE(support::Eventually([&] { return news_ == 1; }));
  EXPECT_TRUE(support::Eventually([&] { return applier.IsIdle(); }));
}

}  // namespace
}  // namespace spillway::controllers
