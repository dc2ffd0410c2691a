#include "controllers/templates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/controllers/samples.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"

namespace spillway::controllers {
namespace {

using samples::Json;
using testing::HasSubstr;
using testing::IsEmpty;
using State = TemplateAnswer::State;

Json With(const std::function<void(Json&)>& edit) {
  Json pod_template = samples::PodTemplate();
  edit(pod_template["spec"]);
  return pod_template;
}

TemplateSubject Gang(const Json& pod_template) { return {"ns", "p", "", pod_template.dump()}; }
TemplateSubject Replica(const Json& pod_template) { return {"ns", "p", "v", pod_template.dump()}; }

TEST(RefuseTemplate, OfAReplicaMayNameVariablesButMustBeRestarted) {
  EXPECT_THAT(RefuseTemplate(Replica(With([](Json& s) { s["restartPolicy"] = "Never"; }))),
              HasSubstr("remove it or say Always"));
  EXPECT_THAT(RefuseTemplate(Replica(With([](Json& s) { s["restartPolicy"] = "Always"; }))),
              IsEmpty());
  EXPECT_THAT(RefuseTemplate(Replica(With([](Json& s) {
                s["containers"][0]["env"] = {{{"name", "RANK"}, {"value", "0"}}};
              }))),
              IsEmpty());
}

TEST(RefuseTemplate, SaysInOneSentenceWhatMayNotStandThere) {
  const struct {
    Json pod_template;
    const char* expected;
  } cases[] = {
      {With([](Json& s) { s["containers"] = Json::array(); }), "containers is empty"},
      {With([](Json& s) { s["nodeName"] = "n1"; }), "template.spec.nodeName is \"n1\""},
      {With([](Json& s) { s["schedulerName"] = "volcano"; }), "schedulerName is \"volcano\""},
      {With([](Json& s) { s["priorityClassName"] = "high"; }),
       "priorityClassName of the TrainingPool"},
      {With([](Json& s) { s["restartPolicy"] = "Always"; }), "restartPolicy is \"Always\""},
      {With([](Json& s) { s["containers"][0]["env"] = {{{"name", "RANK"}, {"value", "0"}}}; }),
       "sets RANK"},
      {With(
           [](Json& s) { s["containers"][0]["env"] = {{{"name", "PET_NNODES"}, {"value", "0"}}}; }),
       "sets PET_NNODES"},
      {With([](Json& s) {
         s["initContainers"] = {{{"name", "i"}, {"env", {{{"name", "MASTER_ADDR"}}}}}};
       }),
       "initContainers[name=i]"},
      {With([](Json& s) {
         s["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
          ["nodeSelectorTerms"] = {
              {{"matchFields",
                {{{"key", "metadata.name"}, {"operator", "In"}, {"values", {"a"}}}}}}};
       }),
       "matchFields"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(RefuseTemplate(Gang(c.pod_template)), HasSubstr(c.expected));
  }
  EXPECT_THAT(RefuseTemplate(Gang(samples::PodTemplate())), IsEmpty());
  EXPECT_THAT(RefuseTemplate(Gang(With([](Json& s) { s["schedulerName"] = "default-scheduler"; }))),
              IsEmpty());
}

TEST(ShapeOf, ReadsRequestsTolerationsAndNodeTerms) {
  const Json pod = {{"spec", With([](Json& s) {
                       s["nodeSelector"] = {{"disk", "ssd"}};
                       s["tolerations"] = {{{"key", "sku"}, {"operator", "Exists"}}};
                       s["affinity"]["nodeAffinity"]
                        ["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] = {
                            {{"matchExpressions",
                              {{{"key", "zone"}, {"operator", "In"}, {"values", {"a", "b"}}}}}}};
                     })["spec"]}};
  const auto shape = ShapeOf(pod.dump(), samples::PodTemplate().dump());
  ASSERT_TRUE(shape.ok()) << shape.error().message;
  EXPECT_EQ(shape->requests.Get("cpu"), 4000);
  EXPECT_EQ(shape->requests.Get("pods"), 1);
  ASSERT_EQ(shape->tolerations.size(), 1U);
  ASSERT_EQ(shape->node_terms.size(), 1U);
  ASSERT_EQ(shape->node_terms[0].size(), 2U);
  EXPECT_EQ(shape->node_terms[0][0].key, "zone");
  EXPECT_EQ(shape->node_terms[0][1].key, "disk");
}

TEST(ShapeOf, TellsTheFirstContainersShareFromTheOthers) {
  const Json pod = {
      {"spec", With([](Json& s) {
         s["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = "8";
         s["containers"].push_back(
             {{"name", "proxy"},
              {"resources", {{"requests", {{"cpu", "500m"}, {"nvidia.com/gpu", "1"}}}}}});
       })["spec"]}};
  const auto shape = ShapeOf(pod.dump(), samples::PodTemplate().dump());
  ASSERT_TRUE(shape.ok()) << shape.error().message;
  EXPECT_EQ(shape->requests.Get("cpu"), 4500);
  EXPECT_EQ(shape->requests.Get("nvidia.com/gpu"), 9);
  EXPECT_EQ(shape->others.Get("cpu"), 500);
  EXPECT_EQ(shape->others.Get("nvidia.com/gpu"), 1);
}

// The checker against a server in the process; answers come on its own thread.
struct Rig {
  support::FakeClock clock;
  Log log{LogLevel::kError, true};
  support::FakeApiServer server{clock};
  kube::Client client{server, clock, {"test", 16, std::chrono::seconds(5), {}}};
  std::atomic<int> answers{0};
  std::mutex mutex;
  std::condition_variable told;
  TemplateChecker checker{client, clock, log, [this] {
                            const std::scoped_lock lock(mutex);
                            ++answers;
                            told.notify_all();
                          }};

  void Await(int count) {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(told.wait_for(lock, std::chrono::seconds(20), [&] { return answers >= count; }));
  }
};

TEST(TemplateChecker, AsksOnceWithADryRunAndKeepsTheAnswer) {
  Rig rig;
  const auto pool = samples::Pool();
  EXPECT_EQ(rig.checker.Ask(SubjectOf(pool)).state, State::kPending);
  rig.Await(1);
  const auto answer = rig.checker.Ask(SubjectOf(pool));
  EXPECT_EQ(answer.state, State::kValid);
  EXPECT_EQ(answer.shape.requests.Get("cpu"), 4000);
  EXPECT_THAT(rig.server.Writes(), IsEmpty());
  const auto requests = rig.server.Requests();
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_TRUE(requests[0].DryRun());
  EXPECT_EQ(requests[0].query.at("fieldValidation"), "Strict");
  EXPECT_EQ(Json::parse(requests[0].body)["spec"]["priorityClassName"], "spillway-training");
}

TEST(TemplateChecker, ARefusalIsTheServersSentenceAndIsAskedAgainAfterAMinute) {
  Rig rig;
  support::Fault refusal;
  refusal.verb = "create";
  refusal.status = 403;
  refusal.reason = "Forbidden";
  rig.server.Inject(refusal);
  const auto pool = samples::Pool();
  rig.checker.Ask(SubjectOf(pool));
  rig.Await(1);
  EXPECT_EQ(rig.checker.Ask(SubjectOf(pool)).state, State::kInvalid);
  EXPECT_THAT(rig.checker.Ask(SubjectOf(pool)).message, HasSubstr("the API server refuses"));
  EXPECT_EQ(rig.server.Requests().size(), 1U);
  rig.clock.Advance(std::chrono::seconds(61));
  rig.checker.Ask(SubjectOf(pool));
  rig.Await(2);
  EXPECT_EQ(rig.checker.Ask(SubjectOf(pool)).state, State::kValid);
}

TEST(TemplateChecker, AFullQuotaIsNoRefusalAndIsAskedAgainSoon) {
  Rig rig;
  std::atomic<bool> full{true};
  rig.server.SetAdmission([&](const support::ServedKind& /*kind*/,
                              Json& /*object*/) -> std::optional<kube::HttpResponse> {
    if (!full) return std::nullopt;
    return support::StatusAnswer(403, "Forbidden",
                                 "pods \"run-train-check\" is forbidden: exceeded quota: compute");
  });
  auto pool = samples::Pool();
  pool.spec.pod_template = With([](Json& s) {
                             s["containers"][0]["resources"] = {{"limits", {{"cpu", "6"}}},
                                                                {"requests", {{"memory", "1Gi"}}}};
                           }).dump();
  rig.checker.Ask(SubjectOf(pool));
  rig.Await(1);
  const auto answer = rig.checker.Ask(SubjectOf(pool));
  EXPECT_EQ(answer.state, State::kPending);
  EXPECT_THAT(answer.message, HasSubstr("exceeded quota: compute"));
  EXPECT_EQ(answer.shape.requests.Get("cpu"), 6000) << "as the template says, for gangs that run";
  EXPECT_EQ(rig.server.Requests().size(), 1U);
  full = false;
  rig.clock.Advance(TemplateChecker::kAskAgainForQuota);
  rig.checker.Ask(SubjectOf(pool));
  rig.Await(2);
  EXPECT_EQ(rig.checker.Ask(SubjectOf(pool)).state, State::kValid);
}

TEST(TemplateChecker, WhatIsNotTheTemplatesFaultIsNoRefusal) {
  for (const auto& [status, reason, message] :
       {std::tuple{401, "Unauthorized", "Unauthorized"},
        {403, "Forbidden", "pods is forbidden: User \"s\" cannot create resource \"pods\""},
        {403, "Forbidden", "unable to create new content: namespace lab is being terminated"},
        {404, "NotFound", "namespaces \"lab\" not found"}}) {
    Rig rig;
    std::atomic<int> asked{0};
    rig.server.SetAdmission([&](const support::ServedKind& /*kind*/,
                                Json& /*object*/) -> std::optional<kube::HttpResponse> {
      if (++asked > 1) return std::nullopt;
      return support::StatusAnswer(status, reason, message);
    });
    rig.checker.Ask(SubjectOf(samples::Pool()));
    rig.Await(1);
    EXPECT_EQ(rig.checker.Ask(SubjectOf(samples::Pool())).state, State::kValid) << message;
    EXPECT_EQ(asked, 2) << message;
  }
}

TEST(TemplateChecker, NoAnswerIsNoRefusal) {
  Rig rig;
  support::Fault drop;
  drop.kind = support::Fault::Kind::kDropBefore;
  drop.verb = "create";
  rig.server.Inject(drop);
  const auto pool = samples::Pool();
  rig.checker.Ask(SubjectOf(pool));
  rig.Await(1);  // asked again by itself
  EXPECT_EQ(rig.checker.Ask(SubjectOf(pool)).state, State::kValid);
  EXPECT_EQ(rig.server.Requests().size(), 2U);
}

TEST(TemplateChecker, AChangedTemplateIsAskedAboutAnew) {
  Rig rig;
  auto pool = samples::Pool();
  rig.checker.Ask(SubjectOf(pool));
  rig.Await(1);
  pool.spec.pod_template = With([](Json& s) { s["hostname"] = "x"; }).dump();
  EXPECT_EQ(rig.checker.Ask(SubjectOf(pool)).state, State::kPending);
  rig.Await(2);
}

// A server that says nothing about templates until told to.
struct SlowRig : Rig {
  SlowRig() {
    server.SetAdmission([this](const support::ServedKind& /*kind*/,
                               const Json& /*object*/) -> std::optional<kube::HttpResponse> {
      answered.wait(false);
      return std::nullopt;
    });
  }
  ~SlowRig() { Answer(); }
  SlowRig(const SlowRig&) = delete;
  SlowRig& operator=(const SlowRig&) = delete;
  void Answer() {
    answered = true;
    answered.notify_all();
  }
  std::atomic<bool> answered{false};
};

TEST(TemplateChecker, WaitsForFirstAnswersAndShowsLifeMeanwhile) {
  SlowRig rig;
  rig.checker.Ask(SubjectOf(samples::Pool()));
  int beats = 0;
  const auto beat = [&] {
    ++beats;
    rig.Answer();
  };
  EXPECT_TRUE(rig.checker.WaitForAnswers(std::chrono::seconds(30), beat, {}));
  EXPECT_EQ(rig.checker.Ask(SubjectOf(samples::Pool())).state, State::kValid);
  EXPECT_GE(beats, 1);
  EXPECT_FALSE(rig.checker.WaitForAnswers(std::chrono::seconds(30), beat, {}))
      << "there is nothing left to wait for";
}

// Whoever asked had no answer, and does not wait for one.
TEST(TemplateChecker, TellsOfAnAnswerThatCameBeforeItWasWaitedFor) {
  Rig rig;
  rig.checker.Ask(SubjectOf(samples::Pool()));
  rig.Await(1);
  const auto beat = [] {};
  EXPECT_TRUE(rig.checker.WaitForAnswers(std::chrono::seconds(30), beat, {}));
  rig.checker.Ask(SubjectOf(samples::Pool()));
  EXPECT_FALSE(rig.checker.WaitForAnswers(std::chrono::seconds(30), beat, {}));
}

TEST(TemplateChecker, WaitsForAQuestionNoLongerThanToldAndNotOnceToldToStop) {
  SlowRig rig;
  rig.checker.Ask(SubjectOf(samples::Pool()));
  const auto until = rig.clock.Elapsed() + std::chrono::seconds(30);
  const auto beat = [&] { rig.clock.Advance(std::chrono::seconds(10)); };
  EXPECT_TRUE(rig.checker.WaitForAnswers(std::chrono::seconds(30), beat, {}));
  EXPECT_GE(rig.clock.Elapsed(), until);
  EXPECT_FALSE(rig.checker.WaitForAnswers(std::chrono::seconds(30), beat, {})) << "it had its time";
  EXPECT_EQ(rig.checker.Ask(SubjectOf(samples::Pool())).state, State::kPending);
  std::stop_source stop;
  const auto told = [&] { stop.request_stop(); };
  EXPECT_TRUE(rig.checker.WaitForAnswers(std::chrono::seconds(300), told, stop.get_token()));
  EXPECT_EQ(rig.checker.Ask(SubjectOf(samples::Pool())).state, State::kPending);
}

TEST(TemplateChecker, DoesNotWaitForASecondTry) {
  Rig rig;
  support::Fault drop;
  drop.kind = support::Fault::Kind::kDropBefore;
  drop.verb = "create";
  drop.times = -1;
  rig.server.Inject(drop);
  rig.checker.Ask(SubjectOf(samples::Pool()));
  const auto beat = [] {};
  rig.checker.WaitForAnswers(std::chrono::seconds(30), beat, {});
  EXPECT_EQ(rig.checker.Ask(SubjectOf(samples::Pool())).state, State::kPending);
  EXPECT_FALSE(rig.checker.WaitForAnswers(std::chrono::seconds(30), beat, {})) << "it was put";
}

}  // namespace
}  // namespace spillway::controllers
