// The path of one pass: what it commits, makes, releases and says.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "controllers/render.h"
#include "tests/controllers/loop_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_cluster.h"

namespace spillway::controllers {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(LoopTest, TheCommitComesBeforeTheChildrenAndThenAllIsQuiet) {
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  const Json placement = Status("run")["placement"];
  EXPECT_EQ(placement["nodeGroup"], "home");
  EXPECT_EQ(placement["nodes"], Json({"h0", "h1"}));
  EXPECT_TRUE(Exists("services", "run-train"));
  EXPECT_TRUE(Exists("poddisruptionbudgets", "run-train"));
  const auto writes = WritesOf("run");
  ASSERT_GE(writes.size(), 4U);
  const auto job = std::find(writes.begin(), writes.end(), "create run-train-1");
  EXPECT_NE(std::find(writes.begin(), job, "update status"), job);
  ExpectQuiet();
  EXPECT_THAT(Events(), Contains("run Placed"));
}

TEST_F(LoopTest, HomeTooSmallNowHoldsBackAndThenSpillsWithoutAnyOtherEvent) {
  server_.Put(PoolJson("first", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "first-train-1"); }));
  clock_.Advance(std::chrono::seconds(5));
  server_.Put(PoolJson("second", 2));
  ASSERT_TRUE(Await([&] { return Reason("second", "Placed") == "HoldingBackSpill"; }));
  EXPECT_THAT(Message("second", "Placed"), HasSubstr("2026-11-24T00:10:0"));
  EXPECT_FALSE(Exists("jobs", "second-train-1"));
  Advance(std::chrono::seconds(601));
  ASSERT_TRUE(Await([&] { return Exists("jobs", "second-train-1"); }));
  EXPECT_EQ(Status("second")["placement"]["nodeGroup"], "cloud");
  EXPECT_EQ(Status("second")["hourlyCost"], "65.54");
}

TEST_F(LoopTest, AStandbyPlansAndWritesNothing) {
  leading_ = false;
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(AwaitPass(0));  // it waits for the server's answer about the template
  EXPECT_THAT(server_.Writes(), IsEmpty());
  leading_ = true;
  loop_.MarkDirty();
  EXPECT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
}

TEST_F(LoopTest, NothingIsSaidOfAPoolWhileItsTemplateIsJudgedUnlessThatTakesLong) {
  Fault slow;
  slow.verb = "create";
  slow.path_contains = "/pods";
  slow.status = 503;
  slow.reason = "ServiceUnavailable";
  slow.times = 1000;
  server_.Inject(slow);
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(AwaitPass(0));
  ASSERT_NO_FATAL_FAILURE(PassTwice());
  EXPECT_THAT(WritesOf("run"), IsEmpty());
  Advance(LoopOptions{}.answer_grace);
  ASSERT_TRUE(Await([&] { return Reason("run", "TemplateValid") == "PodsNotReady"; }));
  EXPECT_THAT(Message("run", "TemplateValid"), HasSubstr("has not answered yet"));
  for (const char* type : {"TemplateValid", "Placed", "Ready"}) {
    EXPECT_EQ(ConditionStatus("run", type), "Unknown") << type;
  }
  EXPECT_THAT(Events(), IsEmpty()) << "what is not known yet is no news";
  EXPECT_FALSE(Exists("jobs", "run-train-1"));
}

// The names are part of the API: what another name applied would stay behind.
TEST_F(LoopTest, EveryWriteNamesItsManager) {
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  int statuses = 0;
  for (const auto& write : server_.Writes()) {
    const bool status = write.path.ends_with("/status");
    EXPECT_EQ(write.query.at("fieldManager"), status ? "spillway-status" : "spillway")
        << write.path;
    statuses += status ? 1 : 0;
  }
  EXPECT_GT(statuses, 0);
}

TEST_F(LoopTest, ARefusedCommitStartsNothingAndIsTriedAgain) {
  Fault conflict;
  conflict.verb = "update";
  conflict.path_contains = "trainingpools";
  conflict.status = 409;
  conflict.reason = "Conflict";
  conflict.times = 1;
  server_.Inject(conflict);
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(
      AwaitWhileTimePasses(std::chrono::seconds(1), [&] { return Exists("jobs", "run-train-1"); }));
  const auto writes = WritesOf("run");
  // Both commits before the first child: the refused one was followed by nothing.
  ASSERT_GE(writes.size(), 2U);
  EXPECT_THAT(writes[0], HasSubstr("status"));
  EXPECT_THAT(writes[1], HasSubstr("status"));
}

TEST_F(LoopTest, AChildThatIsRefusedIsToldToThePoolOnceAndUntilItIsIn) {
  server_.Inject({.verb = "create",
                  .path_contains = "/jobs",
                  .times = -1,
                  .status = 403,
                  .reason = "Forbidden"});
  server_.Put(PoolJson("run", 2));
  Run();
  // One is of the condition that a gang which starts has, the other one of the refusal.
  const auto told = [&] {
    const auto events = Events();
    return std::count(events.begin(), events.end(), "run PodsNotReady");
  };
  ASSERT_TRUE(Await([&] { return told() == 2; }));
  const auto before = clock_.Elapsed();
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(1), [&] {
    return Message("run", "Ready").starts_with("writing Job lab/run-train-1: ");
  }));
  EXPECT_LT(clock_.Elapsed() - before, LoopOptions{}.numbers_settle) << "later, as numbers are";
  EXPECT_EQ(ConditionStatus("run", "Ready"), "False");
  EXPECT_EQ(Reason("run", "Ready"), "PodsNotReady");
  EXPECT_THAT(Message("run", "Ready"), HasSubstr("; it is tried again"));
  EXPECT_EQ(ConditionStatus("run", "Placed"), "True");
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(std::chrono::seconds(31));
    ASSERT_TRUE(OnePass());
  }
  EXPECT_THAT(Message("run", "Ready"), HasSubstr("run-train-1: "));
  EXPECT_EQ(told(), 2) << "however often it is tried";
  server_.ClearFaults();
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(31), [&] {
    return Exists("jobs", "run-train-1") &&
           Message("run", "Ready").find("writing Job") == std::string::npos;
  }));
}

// Of a pool that another write has overtaken nothing is to be mended.
TEST_F(LoopTest, AChildThatIsRefusedForANewerOneIsNotToldToThePool) {
  server_.Inject({.verb = "create",
                  .path_contains = "/jobs",
                  .times = 3,
                  .status = 409,
                  .reason = "Conflict"});
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(
      AwaitWhileTimePasses(std::chrono::seconds(1), [&] { return Exists("jobs", "run-train-1"); }));
  const auto events = Events();
  EXPECT_EQ(std::count(events.begin(), events.end(), "run PodsNotReady"), 1) << "as it starts";
  EXPECT_THAT(Message("run", "Ready"), testing::Not(HasSubstr("writing Job")));
}

// Else the liveness probe would kill a leader that has much to write.
TEST_F(LoopTest, EveryWriteIsASignOfLife) {
  std::atomic<int64_t> longest{0};
  server_.SetAdmission(
      [&](const support::ServedKind& kind, Json& /*object*/) -> std::optional<kube::HttpResponse> {
        if (kind.plural == "pods") return std::nullopt;
        const auto silent = (clock_.Elapsed() - loop_.LastBeat()) / std::chrono::seconds(1);
        longest = std::max<int64_t>(longest, silent);
        clock_.Advance(std::chrono::seconds(40));
        return std::nullopt;
      });
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  server_.SetAdmission({});
  EXPECT_LE(longest, 40) << "before the Job come a Service and a PodDisruptionBudget";
}

TEST_F(LoopTest, AnAnswerThatIsLostLeavesOneJob) {
  Fault lost;
  lost.kind = Fault::Kind::kDropAfter;
  lost.verb = "create";
  lost.path_contains = "/jobs";
  server_.Inject(lost);
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  Advance(std::chrono::seconds(5));
  ExpectQuiet();
  EXPECT_EQ(server_.All("jobs").size(), 1U);
}

TEST_F(LoopTest, SomebodyElsesServiceIsAConflictAndIsNotTouched) {
  const Json foreign = server_.Put({{"apiVersion", "v1"},
                                    {"kind", "Service"},
                                    {"metadata", {{"name", "run-train"}, {"namespace", "lab"}}},
                                    {"spec", {{"clusterIP", "10.0.0.9"}}}});
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Reason("run", "Placed") == "NameConflict"; }));
  EXPECT_THAT(Message("run", "Placed"), HasSubstr("Service lab/run-train"));
  EXPECT_FALSE(Exists("jobs", "run-train-1"));
  EXPECT_EQ(server_.Get("services", "lab", "run-train"), foreign);
  // Its capacity is free for others meanwhile.
  server_.Put(PoolJson("other", 2));
  ASSERT_TRUE(Await([&] { return Exists("jobs", "other-train-1"); }));
  // Once the name is free, the pool goes on by itself.
  server_.Remove("services", "lab", "run-train");
  server_.Remove("trainingpools", "lab", "other");
  server_.CollectGarbage();
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(16), [&] {
    const Json status = Status("run");
    if (!status.contains("placement")) return false;
    const int attempt = status["placement"]["attempt"];
    return Exists("jobs", "run-train-" + std::to_string(attempt));
  }));
}

TEST_F(LoopTest, ANameTakenFromARunningGangIsLookedAtNowAndThenAndNotInEveryPass) {
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  ExpectQuiet();
  server_.Remove("services", "lab", "run-train");
  server_.Put({{"apiVersion", "v1"},
               {"kind", "Service"},
               {"metadata", {{"name", "run-train"}, {"namespace", "lab"}}},
               {"spec", {{"clusterIP", "10.0.0.9"}}}});
  ASSERT_TRUE(Await([&] { return Reason("run", "Placed") == "NameConflict"; }));
  EXPECT_TRUE(Exists("jobs", "run-train-1")) << "what runs stays";
  const auto looks = [&] {
    const auto requests = server_.Requests();
    return std::count_if(requests.begin(), requests.end(), [](const LoggedRequest& request) {
      const bool about = request.path.find("/services") != std::string::npos;
      return about && (request.verb == "get" || request.verb == "create");
    });
  };
  ExpectQuiet();
  auto before = looks();
  ExpectQuiet();
  EXPECT_EQ(looks(), before);
  clock_.Advance(std::chrono::seconds(16));
  ExpectQuiet();
  EXPECT_EQ(looks(), before + 1) << "the probe";
  server_.Remove("services", "lab", "run-train");
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(16), [&] {
    return Exists("services", "run-train") && Reason("run", "Placed") == "Placed";
  }));
  EXPECT_EQ(Status("run")["restarts"], 0);
}

TEST_F(LoopTest, AnEditedPortComesWithTheNextAttempt) {
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  const auto ports = [&] {
    const auto service = server_.Get("services", "lab", "run-train");
    return service ? (*service)["spec"]["ports"] : Json();
  };
  server_.Patch("trainingpools", "lab", "run", {{"spec", {{"torch", {{"port", 31000}}}}}});
  ASSERT_TRUE(Await([&] { return Message("run", "Ready").ends_with("at the next attempt"); }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  EXPECT_EQ(ports()[0]["port"], 29500);
  server_.Remove("nodes", "", "h0");
  server_.Put(NodeJson("h2", "home"));
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-2"); }));
  ASSERT_EQ(ports().size(), 1U);
  EXPECT_EQ(ports()[0]["port"], 31000);
  ExpectQuiet();
}

// What was committed before, by an operator that did not live to do it, is done only for a pool
// that the API server says is still there.
TEST_F(LoopTest, AMissingChildIsMadeOnceItsPoolIsKnownToBeThere) {
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  const size_t before = server_.Requests().size();
  server_.Remove("poddisruptionbudgets", "lab", "run-train");
  ASSERT_TRUE(Await([&] { return Exists("poddisruptionbudgets", "run-train"); }));
  bool looked = false;
  const auto requests = server_.Requests();
  for (size_t i = before; i < requests.size(); ++i) {
    const auto& request = requests[i];
    looked = looked || (request.method == "GET" &&
                        request.path.ends_with("/namespaces/lab/trainingpools/run"));
    if (request.method == "POST" && request.path.ends_with("poddisruptionbudgets")) break;
  }
  EXPECT_TRUE(looked);
  ExpectQuiet();
}

TEST_F(LoopTest, AnEditedServiceOrBudgetIsBroughtBackOnce) {
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  const auto spec = [&](const char* plural) {
    return (*server_.Get(plural, "lab", "run-train"))["spec"];
  };
  const Json service = spec("services");
  const Json budget = spec("poddisruptionbudgets");
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  const Json wide = {{"spec", {{"minAvailable", nullptr}, {"maxUnavailable", "100%"}}}};
  server_.Patch("poddisruptionbudgets", "lab", "run-train", wide);
  EXPECT_TRUE(Await([&] { return spec("poddisruptionbudgets") == budget; }));
  server_.Patch("services", "lab", "run-train",
                {{"spec", {{"selector", {{"a", "b"}}}, {"ports", {{{"port", 1}}}}}}});
  EXPECT_TRUE(Await([&] { return spec("services") == service; }));
  // What is not said of it is left to others.
  server_.Patch("services", "lab", "run-train", {{"spec", {{"sessionAffinity", "ClientIP"}}}});
  ExpectQuiet();
  EXPECT_EQ(spec("services")["sessionAffinity"], "ClientIP");
}

TEST_F(LoopTest, OnlyWhatChangesAPoolCountsAsADecision) {
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  server_.Patch("trainingpools", "lab", "run", {{"spec", {{"priorityClassName", "none-such"}}}});
  ASSERT_TRUE(Await([&] { return Reason("run", "Placed") == "Misconfigured"; }));
  ASSERT_TRUE(OnePass());
  double decisions = 0;
  std::istringstream lines(registry_.Text());
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("spillway_decisions_total{")) continue;
    decisions += std::stod(line.substr(line.rfind(' ')));
  }
  EXPECT_EQ(decisions, 1) << "it was placed, and stayed so with another reason";
}

TEST(CheckPlan, CountsAndLogsAPlanThatBreaksAnInvariant) {
  MetricsRegistry registry;
  const Metrics metrics(registry);
  Log log(LogLevel::kError, true);
  placement::Snapshot world;
  world.pools.emplace_back().key = {"lab", "run"};
  testing::internal::CaptureStderr();
  CheckPlan(world, placement::MakePlan(world), log, metrics);
  EXPECT_THAT(registry.Text(), HasSubstr("spillway_broken_plans_total 0"));
  CheckPlan(world, {}, log, metrics);
  log.Flush();
  EXPECT_THAT(registry.Text(), HasSubstr("spillway_broken_plans_total 1"));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("not every pool has exactly one decision"));
}

TEST_F(LoopTest, ASuspendedPoolGivesItsNodesBack) {
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  server_.Patch("trainingpools", "lab", "run", {{"spec", {{"suspend", true}}}});
  ASSERT_TRUE(Await([&] { return !Exists("jobs", "run-train-1"); }));
  EXPECT_EQ(Reason("run", "Placed"), "Suspended");
  EXPECT_FALSE(Status("run").contains("placement"));
  EXPECT_TRUE(Await([&] { return !Exists("poddisruptionbudgets", "run-train"); }));
  server_.Patch("trainingpools", "lab", "run", {{"spec", {{"suspend", false}}}});
  EXPECT_TRUE(Await([&] { return Exists("jobs", "run-train-2"); }));
}

TEST_F(LoopTest, ALostNodeStartsOneNewAttemptOnTheSurvivorsAndAnother) {
  server_.Put(PoolJson("run", 1));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  EXPECT_EQ(Status("run")["placement"]["nodes"], Json({"h0"}));
  server_.Remove("nodes", "", "h0");
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-2"); }));
  EXPECT_EQ(Status("run")["placement"]["nodes"], Json({"h1"}));
  EXPECT_EQ(Status("run")["restarts"], 1);
  EXPECT_TRUE(Await([&] { return !Exists("jobs", "run-train-1"); }));
  ExpectQuiet();
}

TEST_F(LoopTest, WhatWorkersHaveIsInTheStatusAndCountsUntilTheNextAttempt) {
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  server_.Patch("trainingpools", "lab", "run", {{"spec", {{"acceleratorsPerWorker", 4}}}});
  ASSERT_TRUE(Await([&] { return Message("run", "Ready").ends_with("at the next attempt"); }));
  ASSERT_TRUE(OnePass());
  EXPECT_EQ(Status("run")["placement"]["acceleratorsPerWorker"], 8);
  EXPECT_THAT(registry_.Text(), HasSubstr(R"(spillway_placed_accelerators{namespace="lab",)"
                                          R"(node_group="home",type="nvidia-a100-80gb"} 16)"));
}

TEST_F(LoopTest, ADeletedJobOfARunningGangLeadsToOneNewAttemptUnderANewName) {
  support::FakeCluster cluster(server_, clock_);
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  cluster.Settle();
  ASSERT_TRUE(Await([&] { return Reason("run", "Ready") == "AsExpected"; }));
  Advance(std::chrono::seconds(4000));  // the start deadline is long past
  server_.Delete("jobs", "lab", "run-train-1");
  ASSERT_TRUE(Await([&] { return Status("run")["placement"]["attempt"] == 2; }));
  EXPECT_THAT(Message("run", "Ready"), HasSubstr("the Job of attempt 1 was deleted"));
  cluster.Settle();  // the garbage collector takes the pods
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-2"); }));
  cluster.Settle();
  ASSERT_TRUE(Await([&] { return Reason("run", "Ready") == "AsExpected"; }));
  EXPECT_FALSE(Exists("jobs", "run-train-1"));
  EXPECT_EQ(Status("run")["placement"]["nodes"], Json({"h0", "h1"}));
  EXPECT_EQ(Status("run")["restarts"], 1);
  EXPECT_FALSE(Status("run").contains("excludedNodes"));
}

// Of a running gang whose Job fails while the watch of pods is slow. Time passes, in which a pod
// that is not seen would be one that is gone.
class SlowPods : public LoopTest {
 protected:
  void SetUp() override {
    server_.Put(PoolJson("run", 2));
    Run();
    ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
    cluster_.Settle();
    ASSERT_TRUE(Await([&] { return Reason("run", "Ready") == "AsExpected"; }));
  }
  bool SeesFailedJob() {
    return support::Eventually([&] {
      const auto job = stores_.jobs.Get("lab/run-train-1");
      return job != nullptr && job->failed_condition;
    });
  }
  // Passes, without bookmarks.
  void LetPass(std::chrono::seconds time) {
    for (int i = 0; i < 2; ++i) {
      const int before = passes_;
      Advance(time / 2);
      ASSERT_TRUE(AwaitPass(before));
    }
  }

  support::FakeCluster cluster_{server_, clock_};
};

TEST_F(SlowPods, ThatTellWhyTheJobFailedAreWaitedFor) {
  server_.HoldWatches("pods");
  cluster_.FinishPod("lab", cluster_.PodsOf("lab", "run-train-1")[1]["metadata"]["name"], 3,
                     "lost");
  cluster_.Settle();
  ASSERT_TRUE(SeesFailedJob());
  ASSERT_NO_FATAL_FAILURE(LetPass(std::chrono::seconds(120)));
  EXPECT_EQ(Status("run")["attempts"], 1);
  server_.ReleaseWatches();
  ASSERT_TRUE(Await([&] { return Status("run")["attempts"] == 2; }));
  EXPECT_EQ(Status("run")["failures"], 1);
  EXPECT_EQ(Status("run")["lastFailure"]["exitCode"], 3);
  EXPECT_EQ(Status("run")["lastFailure"]["message"], "lost");
}

TEST_F(SlowPods, ThatHaveNothingMoreToTellDecideAsSoonAsThatIsKnown) {
  for (const Json& pod : cluster_.PodsOf("lab", "run-train-1")) {
    const std::string name = pod["metadata"]["name"];
    server_.Remove("pods", "lab", name);
    ASSERT_TRUE(support::Eventually([&] { return stores_.pods.Get("lab/" + name) == nullptr; }));
  }
  server_.Patch("jobs", "lab", "run-train-1",
                {{"status", {{"conditions", {{{"type", "Failed"}, {"status", "True"}}}}}}});
  ASSERT_TRUE(SeesFailedJob());
  ASSERT_NO_FATAL_FAILURE(LetPass(std::chrono::seconds(120)));
  EXPECT_EQ(Status("run")["attempts"], 1);
  server_.SendBookmarks();  // which changes nothing
  ASSERT_TRUE(Await([&] { return Status("run")["attempts"] == 2; }));
  EXPECT_EQ(Status("run").value("failures", 0), 0) << "its workers were taken away";
}

// The garbage collector does nothing here, as it does where it takes the one pool for the other.
TEST_F(LoopTest, WhatAnEarlierPoolOfItsNameLeftBehindIsDeletedBeforeAPoolGetsItsOwn) {
  support::FakeCluster cluster(server_, clock_);
  const std::string before = server_.Put(PoolJson("run", 2))["metadata"]["uid"];
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  cluster.RunKubelets();
  Json extra = *server_.Get("jobs", "lab", "run-train-1");
  extra["metadata"]["name"] = "run-train-7";  // of a later attempt; none is there that it hinders
  extra["metadata"].erase("uid");
  const auto owner_of = [&](const std::string& plural, const std::string& name) -> std::string {
    const auto object = server_.Get(plural, "lab", name);
    return object ? (*object)["metadata"]["ownerReferences"][0]["uid"] : Json("");
  };
  server_.Remove("trainingpools", "lab", "run");
  server_.Put(extra);
  ASSERT_EQ(owner_of("services", "run-train"), before);
  const std::string after = server_.Put(PoolJson("run", 2))["metadata"]["uid"];
  ASSERT_TRUE(Await([&] { return owner_of("jobs", "run-train-1") == after; }));
  EXPECT_EQ(owner_of("services", "run-train"), after);
  EXPECT_EQ(owner_of("poddisruptionbudgets", "run-train"), after);
  EXPECT_FALSE(Exists("jobs", "run-train-7"));
  ExpectQuiet();
}

// Names repeat across namespaces: a pod on a lost node is deleted by force, its namesake is not.
TEST_F(LoopTest, OnlyTheGangsOwnPodsAreDeletedByForce) {
  support::FakeCluster cluster(server_, clock_);
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  cluster.Settle();
  ASSERT_TRUE(Await([&] { return Reason("run", "Ready") == "AsExpected"; }));
  std::string lost;
  for (Json pod : cluster.PodsOf("lab", "run-train-1")) {
    if (pod["spec"]["nodeName"] != "h0") continue;
    lost = pod["metadata"]["name"];
    pod["metadata"]["namespace"] = "other";
    pod["metadata"].erase("uid");
    pod["spec"]["nodeName"] = "h1";
    server_.Put(pod);
  }
  server_.Remove("nodes", "", "h0");
  ASSERT_TRUE(Await([&] { return !Exists("pods", lost); }));
  EXPECT_TRUE(server_.Get("pods", "other", lost).has_value());
  ExpectQuiet();
  EXPECT_TRUE(server_.Get("pods", "other", lost).has_value());
}

class ObserveTest : public LoopTest {
 protected:
  ObserveTest() : LoopTest(Mode::kObserve) {}

  // Decisions that are made anew in every pass, at other moments each time.
  void ExpectSilenceWhileTimePasses() {
    ExpectQuiet();
    clock_.Advance(std::chrono::seconds(40));  // what the nodes' own numbers say is told by then
    ASSERT_TRUE(OnePass());
    ExpectQuiet();
    const size_t before = server_.Writes().size();
    for (int i = 0; i < 4; ++i) {
      clock_.Advance(std::chrono::seconds(40));
      for (int pass = 0; pass < 3; ++pass) {
        ASSERT_TRUE(OnePass());
        clock_.Advance(std::chrono::seconds(1));
      }
    }
    EXPECT_EQ(server_.Writes().size(), before);
  }
};

TEST_F(ObserveTest, APoolThatWouldBePlacedIsToldOnce) {
  server_.Put(PoolJson("run", 2));
  Run();
  ASSERT_TRUE(Await([&] { return Reason("run", "Placed") == "Placed"; }));
  EXPECT_THAT(Message("run", "Placed"), HasSubstr("would be placed: attempt 1 on home"));
  ASSERT_NO_FATAL_FAILURE(ExpectSilenceWhileTimePasses());
  EXPECT_FALSE(Exists("services", "run-train"));
}

TEST_F(ObserveTest, AGangThatWouldBeStartedAnewRunsOnAndIsToldOnce) {
  support::FakeCluster cluster(server_, clock_);
  Json pool = server_.Put(PoolJson("run", 2));
  crds::v1alpha1::TrainingPool object = samples::Pool();
  object.meta.uid = pool["metadata"]["uid"];
  RenderInput input{&object, nullptr, samples::Placed(), {"h0", "h1"}};
  const auto group = samples::Group();
  input.group = &group;
  input.memory.placement->nodes = {"h0", "h1"};
  server_.Put(Json::parse(RenderJob(input)));  // what ran in Enforce
  cluster.Settle();
  Run();
  ASSERT_TRUE(Await([&] { return Reason("run", "Ready") == "AsExpected"; }));
  server_.Remove("nodes", "", "h1");
  ASSERT_TRUE(Await([&] { return Reason("run", "Ready") == "NodeLost"; }));
  EXPECT_THAT(Message("run", "Ready"), HasSubstr("would be placed: lost 1 node (h1)"));
  ASSERT_NO_FATAL_FAILURE(ExpectSilenceWhileTimePasses());
  EXPECT_TRUE(Exists("jobs", "run-train-1"));
}

TEST_F(LoopTest, WrongClassesAndPriceCurrenciesAreSaid) {
  Json pool = PoolJson("run", 2);
  pool["spec"]["priorityClassName"] = "none-such";
  server_.Put(pool);
  Run();
  ASSERT_TRUE(Await([&] { return Reason("run", "Placed") == "Misconfigured"; }));
  EXPECT_THAT(Message("run", "Placed"), HasSubstr("none-such"));
  ASSERT_NO_FATAL_FAILURE(ExpectQuiet());
  Json group = *server_.Get("nodegroups", "", "home");
  group["spec"]["cost"]["currency"] = "EUR";
  server_.Put(group);
  ASSERT_TRUE(Await([&] {
    const Json home = *server_.Get("nodegroups", "", "home");
    const Json status = home.value("status", Json::object());
    for (const Json& condition : status.value("conditions", Json::array())) {
      if (condition["type"] == "Ready") return condition["reason"] == "Misconfigured";
    }
    return false;
  }));
}

}  // namespace
}  // namespace spillway::controllers
