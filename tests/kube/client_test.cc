#include "kube/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <atomic>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/eventually.h"
#include "tests/support/fake_clock.h"
#include "tests/support/scripted_transport.h"

namespace spillway::kube {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using support::Eventually;
using support::FakeClock;
using support::ScriptedTransport;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

Resource Jobs() { return {"batch", "v1", "jobs", "Job", true}; }
Resource Nodes() { return {"", "v1", "nodes", "Node", false}; }

TEST(UserAgent, NamesTheProgramAndTheMachine) {
  utsname machine{};
  ASSERT_EQ(uname(&machine), 0);
  const std::map<std::string, std::string> names = {{"x86_64", "amd64"}, {"aarch64", "arm64"}};
  const auto name = names.find(machine.machine);
  EXPECT_EQ(UserAgent("spillway", "0.1.0"),
            "spillway/0.1.0 (linux/" + (name == names.end() ? "unknown" : name->second) + ")");
}

class ClientTest : public ::testing::Test {
 protected:
  ClientTest()
      : transport_([this](const HttpRequest& request) {
          if (answers_.empty()) return answer_(request);
          const Answer next = answers_.front();
          answers_.erase(answers_.begin());
          return next(request);
        }),
        client_(transport_, clock_,
                {.user_agent = "spillway/0.1.0 (linux/amd64) me",
                 .observe = [this](const RequestDone& done) {
                   observed_.push_back(std::string(done.verb) + " " + std::to_string(done.status) +
                                       " " + std::to_string(static_cast<int>(done.seconds * 1000)) +
                                       " ms");
                   traffic_.push_back(std::string(done.again ? "again " : "") +
                                      std::to_string(done.sent_bytes) + " out " +
                                      std::to_string(done.received_bytes) + " in");
                 }}) {}

  using Answer = std::function<Result<HttpResponse>(const HttpRequest&)>;
  static Answer With(int status, const std::string& body = "{}",
                     std::map<std::string, std::string> headers = {}) {
    return [=](const HttpRequest&) -> Result<HttpResponse> {
      return HttpResponse{.status = status, .headers = headers, .body = body};
    };
  }
  static std::string StatusBody(const std::string& reason, const std::string& message) {
    return Json{{"kind", "Status"}, {"reason", reason}, {"message", message}}.dump();
  }
  [[nodiscard]] HttpRequest Last() const { return transport_.Requests().back(); }

  FakeClock clock_;
  std::vector<Answer> answers_;  // in turn, before
  Answer answer_ = With(200);
  std::vector<std::string> observed_;
  std::vector<std::string> traffic_;
  ScriptedTransport transport_;
  Client client_;
};

TEST_F(ClientTest, AddressesEachKindOfRequest) {
  (void)client_.Get(Nodes(), "", "gpu-1", {});
  (void)client_.Get(Jobs(), "team a", "opt-train-1", {});
  (void)client_.GetPath("/version", {});
  (void)client_.List(Jobs(), {.limit = 0}, {});
  (void)client_.List(Jobs(),
                     {.ns = "team",
                      .label_selector = "a in (b,c),d!=e",
                      .field_selector = "spec.x=y",
                      .resource_version = "0",
                      .limit = 500},
                     {});
  (void)client_.List(Jobs(), {.resource_version = "0", .continue_token = "abc==", .limit = 5}, {});
  (void)client_.Create(Jobs(), "team", "{}", {.field_manager = "spillway"}, {});
  (void)client_.Create(Jobs(), "team", "{}", {.dry_run = true, .strict = true}, {});
  (void)client_.Apply(Jobs(), "team", "j", "{}", {.field_manager = "spillway"}, {});
  (void)client_.Patch(Jobs(), "team", "j", "[]", {.field_manager = "spillway"}, {});
  (void)client_.Update(Jobs(), "team", "j", "{}", {.field_manager = "spillway"}, {});
  (void)client_.UpdateStatus(Jobs(), "team", "j", "{}", {.field_manager = "spillway-status"}, {});
  (void)client_.Delete(Jobs(), "team", "j", {.uid = "u"}, {});
  (void)client_.GetScale(Jobs(), "team", "j", {});
  (void)client_.UpdateScale(Jobs(), "team", "j", "{}", {.field_manager = "spillway"}, {});
  (void)client_.MergePatch(Jobs(), "team", "j", "{}", {.field_manager = "spillway"}, {});
  std::vector<std::string> lines;
  for (const HttpRequest& r : transport_.Requests()) lines.push_back(r.method + " " + r.target);
  EXPECT_THAT(
      lines,
      ElementsAre(
          "GET /api/v1/nodes/gpu-1", "GET /apis/batch/v1/namespaces/team%20a/jobs/opt-train-1",
          "GET /version", "GET /apis/batch/v1/jobs",
          "GET /apis/batch/v1/namespaces/team/jobs?labelSelector=a%20in%20%28b%2Cc%29%2Cd%21%3De"
          "&fieldSelector=spec.x%3Dy&limit=500&resourceVersion=0&resourceVersionMatch=NotOlderThan",
          "GET /apis/batch/v1/jobs?limit=5&continue=abc%3D%3D",
          "POST /apis/batch/v1/namespaces/team/jobs?fieldManager=spillway",
          "POST /apis/batch/v1/namespaces/team/jobs?dryRun=All&fieldValidation=Strict",
          "PATCH /apis/batch/v1/namespaces/team/jobs/j?fieldManager=spillway&force=true",
          "PATCH /apis/batch/v1/namespaces/team/jobs/j?fieldManager=spillway",
          "PUT /apis/batch/v1/namespaces/team/jobs/j?fieldManager=spillway",
          "PUT /apis/batch/v1/namespaces/team/jobs/j/status?fieldManager=spillway-status",
          "DELETE /apis/batch/v1/namespaces/team/jobs/j",
          "GET /apis/batch/v1/namespaces/team/jobs/j/scale",
          "PUT /apis/batch/v1/namespaces/team/jobs/j/scale?fieldManager=spillway",
          "PATCH /apis/batch/v1/namespaces/team/jobs/j?fieldManager=spillway"));
}

TEST_F(ClientTest, SendsTheHeadersOfEachKindOfRequest) {
  (void)client_.Get(Nodes(), "", "n", {});
  EXPECT_THAT(Last().headers, Contains(Pair("Accept", "application/json")));
  EXPECT_THAT(Last().headers, Contains(Pair("Accept-Encoding", "identity")));
  EXPECT_THAT(Last().headers, Contains(Pair("User-Agent", "spillway/0.1.0 (linux/amd64) me")));
  EXPECT_THAT(Last().headers, Not(Contains(Key("Content-Type"))));
  (void)client_.Apply(Jobs(), "ns", "j", "{\"a\":1}", {}, {});
  EXPECT_THAT(Last().headers, Contains(Pair("Content-Type", "application/apply-patch+yaml")));
  EXPECT_EQ(Last().body, "{\"a\":1}");
  (void)client_.Patch(Jobs(), "ns", "j", "[{\"op\":\"remove\",\"path\":\"/a\"}]", {}, {});
  EXPECT_THAT(Last().headers, Contains(Pair("Content-Type", "application/json-patch+json")));
  EXPECT_EQ(Last().body, "[{\"op\":\"remove\",\"path\":\"/a\"}]");
  (void)client_.MergePatch(Jobs(), "ns", "j", "{\"a\":2}", {}, {});
  EXPECT_THAT(Last().headers, Contains(Pair("Content-Type", "application/merge-patch+json")));
  EXPECT_EQ(Last().body, "{\"a\":2}");
  (void)client_.UpdateScale(Jobs(), "ns", "j", "{\"a\":3}", {}, {});
  EXPECT_THAT(Last().headers, Contains(Pair("Content-Type", "application/json")));
  EXPECT_EQ(Last().body, "{\"a\":3}");
  (void)client_.Create(Jobs(), "ns", "{}", {}, {});
  EXPECT_THAT(Last().headers, Contains(Pair("Content-Type", "application/json")));
}

TEST_F(ClientTest, DeletesWithPreconditions) {
  ASSERT_TRUE(client_
                  .Delete(Jobs(), "ns", "j",
                          {.uid = "u-1", .resource_version = "7", .grace_seconds = 0}, {})
                  .ok());
  EXPECT_EQ(Json::parse(Last().body),
            (Json{{"kind", "DeleteOptions"},
                  {"apiVersion", "v1"},
                  {"preconditions", {{"uid", "u-1"}, {"resourceVersion", "7"}}},
                  {"propagationPolicy", "Background"},
                  {"gracePeriodSeconds", 0}}));
}

TEST_F(ClientTest, NeverSendsANameThatMeansSomethingElse) {
  for (const std::string name : {"", ".", "..", "a/b"}) {
    SCOPED_TRACE(name);
    const Status done = client_.Delete(Jobs(), "ns", name, {.uid = "u"}, {});
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().code, Code::kInternal);
  }
  EXPECT_FALSE(client_.Delete(Jobs(), "", "j", {.uid = "u"}, {}).ok());
  EXPECT_FALSE(client_.Create(Jobs(), "", "{}", {}, {}).ok());
  EXPECT_FALSE(client_.Patch(Jobs(), "", "j", "[]", {}, {}).ok());
  EXPECT_FALSE(client_.MergePatch(Jobs(), "", "j", "{}", {}, {}).ok());
  EXPECT_FALSE(client_.GetScale(Jobs(), "", "j", {}).ok());
  EXPECT_FALSE(client_.UpdateScale(Jobs(), "", "j", "{}", {}, {}).ok());
  EXPECT_TRUE(transport_.Requests().empty());
}

TEST_F(ClientTest, TellsTheObserverOfSizesAndOfSecondTries) {
  answers_ = {With(429, "later", {{"retry-after", "0"}}), With(200, "12345")};
  EXPECT_TRUE(client_.Create(Jobs(), "team", "{\"a\":1}", {}, {}).ok());
  EXPECT_TRUE(client_.Get(Jobs(), "team", "j", {}).ok());
  const Transport::OnBytes take = [](std::string_view) { return true; };
  EXPECT_TRUE(client_.Watch(Jobs(), {}, take, {}).ok());
  EXPECT_THAT(traffic_, ElementsAre("7 out 5 in", "again 7 out 5 in", "0 out 2 in", "0 out 0 in"));
}

TEST_F(ClientTest, NeverSendsMoreThanAServerTakes) {
  const auto job = [](size_t size) {
    Json object = {{"kind", "Job"},
                   {"metadata", {{"name", "train"}, {"namespace", "team"}}},
                   {"spec", {{"x", ""}}}};
    object["spec"]["x"] = std::string(size - object.dump().size(), 'x');
    return object.dump();
  };
  const auto list = [](size_t size) { return '[' + std::string(size - 2, ' ') + ']'; };
  constexpr size_t kObject = 1572864;
  constexpr size_t kPatch = 3145728;
  EXPECT_TRUE(client_.Create(Jobs(), "team", job(kObject), {}, {}).ok());
  EXPECT_TRUE(client_.Patch(Jobs(), "team", "train", list(kPatch), {}, {}).ok());
  EXPECT_TRUE(client_.MergePatch(Jobs(), "team", "train", job(kPatch), {}, {}).ok());
  ASSERT_EQ(transport_.Requests().size(), 3U);

  const std::string larger = job(kObject + 1);
  const std::string sentence =
      "Job team/train has 1572865 bytes, and etcd by default takes no object of more than 1572864";
  for (const auto& answer : {client_.Create(Jobs(), "team", larger, {}, {}),
                             client_.Apply(Jobs(), "team", "train", larger, {}, {}),
                             client_.Update(Jobs(), "team", "train", larger, {}, {}),
                             client_.UpdateStatus(Jobs(), "team", "train", larger, {}, {}),
                             client_.Create(Jobs(), "team", larger, {.dry_run = true}, {})}) {
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().code, Code::kInvalid);
    EXPECT_EQ(answer.error().message, sentence);
  }
  const auto patch = client_.Patch(Jobs(), "team", "train", list(kPatch + 1), {}, {});
  ASSERT_FALSE(patch.ok());
  EXPECT_EQ(patch.error().message,
            "/apis/batch/v1/namespaces/team/jobs/train has 3145729 bytes, and the API server takes "
            "no patch of more than 3145728");
  EXPECT_EQ(transport_.Requests().size(), 3U);
}

TEST_F(ClientTest, MapsStatusesToWhatToDo) {
  struct Case {
    int status;
    std::string reason;
    bool write;
    Code code;
  };
  const std::vector<Case> cases = {
      {404, "NotFound", false, Code::kNotFound},
      {409, "AlreadyExists", true, Code::kExists},
      {409, "Conflict", true, Code::kConflict},
      {410, "Expired", false, Code::kGone},
      {400, "BadRequest", true, Code::kInvalid},
      {413, "RequestEntityTooLarge", true, Code::kInvalid},
      {415, "UnsupportedMediaType", true, Code::kInvalid},
      {422, "Invalid", true, Code::kInvalid},
      {401, "Unauthorized", false, Code::kForbidden},
      {403, "Forbidden", true, Code::kForbidden},
      {429, "TooManyRequests", true, Code::kUnavailable},
      {500, "InternalError", true, Code::kUnavailable},
      {503, "ServiceUnavailable", true, Code::kUnavailable},
      {504, "Timeout", false, Code::kUnavailable},
      {504, "Timeout", true, Code::kUnknown},
      {302, "", false, Code::kInternal},
      {405, "MethodNotAllowed", false, Code::kInternal},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(std::to_string(c.status) + " " + c.reason);
    answer_ = With(c.status, StatusBody(c.reason, "a sentence"));
    const auto got =
        c.write ? client_.Create(Jobs(), "ns", "{}", {}, {}) : client_.Get(Jobs(), "ns", "j", {});
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().code, c.code);
    EXPECT_EQ(got.error().reason, c.reason);
    EXPECT_EQ(got.error().message, "a sentence");
    EXPECT_EQ(got.error().http_status, c.status);
  }
}

TEST_F(ClientTest, ATestOfAPatchThatFailsIsInvalid) {
  answer_ = With(422, StatusBody("Invalid", "the server rejected our request due to an error"));
  const auto got = client_.Patch(
      Jobs(), "ns", "j", R"([{"op": "test", "path": "/metadata/uid", "value": "u"}])", {}, {});
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, Code::kInvalid);
  EXPECT_EQ(got.error().http_status, 422);
  EXPECT_EQ(transport_.Requests().size(), 1U);
}

TEST_F(ClientTest, ShowsTheStartOfABodyThatIsNoStatus) {
  answer_ = With(502, "<html>\nBad Gateway" + std::string(5000, 'x'));
  const auto got = client_.Get(Nodes(), "", "n", {});
  ASSERT_FALSE(got.ok());
  EXPECT_THAT(got.error().message, HasSubstr("HTTP status 502: <html> Bad Gateway"));
  EXPECT_LT(got.error().message.size(), 600U);
}

TEST_F(ClientTest, TakesRetryAfterFromHeaderOrDetails) {
  answer_ = With(429, "{\"kind\":\"Status\",\"details\":{\"retryAfterSeconds\":7}}");
  EXPECT_EQ(client_.Get(Nodes(), "", "n", {}).error().retry_after, 7s);
  EXPECT_EQ(transport_.Requests().size(), 1U);  // only the header asks for a retry
  answer_ = With(503, "", {{"retry-after", "30"}});
  EXPECT_EQ(client_.Get(Nodes(), "", "n", {}).error().retry_after, 30s);
  answer_ = With(503, "", {{"retry-after", "100000"}});
  EXPECT_EQ(client_.Get(Nodes(), "", "n", {}).error().retry_after, 300s);
  answer_ =
      With(429, "{\"kind\":\"Status\",\"details\":{\"retryAfterSeconds\":9223372036854775807}}");
  EXPECT_EQ(client_.Get(Nodes(), "", "n", {}).error().retry_after, 300s);
}

TEST_F(ClientTest, AnOverloadNamesTheFlowSchemaThatItFellUnder) {
  answer_ = With(429, StatusBody("TooManyRequests", "too many"),
                 {{"x-kubernetes-pf-flowschema-uid", "uid-7"}});
  EXPECT_EQ(client_.Get(Nodes(), "", "n", {}).error().message, "too many (flow schema uid-7)");
}

TEST_F(ClientTest, TellsEachWarningOfTheServerOnce) {
  std::vector<std::string> told;
  Client client(
      transport_, clock_,
      {.user_agent = "test", .warned = [&](const std::string& request, const std::string& warning) {
         told.push_back(request + ": " + warning);
       }});
  answer_ = With(200, "{}", {{"warning", R"(299 - "v1beta1 is deprecated", 299 - "a \"b\"")"}});
  (void)client.Apply(Jobs(), "ns", "j", "{}", {.field_manager = "m"}, {});
  (void)client.Get(Jobs(), "ns", "j", {});
  EXPECT_THAT(told, ElementsAre("patch /apis/batch/v1/namespaces/ns/jobs/j: v1beta1 is deprecated",
                                "patch /apis/batch/v1/namespaces/ns/jobs/j: a \"b\""));
  EXPECT_THAT(WarningTexts("299 - \"cut"), ::testing::IsEmpty());
  EXPECT_THAT(WarningTexts(""), ::testing::IsEmpty());
}

TEST_F(ClientTest, TriesAgainWhenAskedToWithinTheDeadline) {
  const auto later = With(429, "{}", {{"retry-after", "0"}});
  answers_ = {later, later, later};
  answer_ = With(200, "\"done\"");
  EXPECT_EQ(client_.Create(Jobs(), "ns", "{\"a\":1}", {}, {}).value(), "\"done\"");
  EXPECT_EQ(transport_.Requests().size(), 4U);
  for (const HttpRequest& request : transport_.Requests()) EXPECT_EQ(request.body, "{\"a\":1}");
  // Four times is once too often.
  answer_ = later;
  EXPECT_EQ(client_.Get(Nodes(), "", "n", {}).error().code, Code::kUnavailable);
  EXPECT_EQ(transport_.Requests().size(), 8U);
}

TEST_F(ClientTest, WaitsAsLongAsAsked) {
  answers_ = {With(503, "{}", {{"retry-after", "1"}})};
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(client_.Get(Nodes(), "", "n", {}).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - start, 1s);
}

TEST_F(ClientTest, DoesNotTrySoonerThanAskedHoweverLongItsDeadline) {
  answer_ = With(503, "{}", {{"retry-after", "11"}});
  EXPECT_EQ(client_.List(Nodes(), {}, {}).error().retry_after, 11s);
  EXPECT_EQ(transport_.Requests().size(), 1U);
}

TEST_F(ClientTest, DoesNotWaitBeyondTheDeadline) {
  answer_ = With(503, "{}", {{"retry-after", "5"}});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(client_.WithDeadline(2s).Get(Nodes(), "", "n", {}).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - start, 1s);
}

TEST_F(ClientTest, StopsWhileItWaits) {
  std::stop_source stop;
  answer_ = [&](const HttpRequest&) -> Result<HttpResponse> {
    stop.request_stop();
    return HttpResponse{.status = 503, .headers = {{"retry-after", "5"}}, .body = {}};
  };
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(client_.Get(Nodes(), "", "n", stop.get_token()).error().code, Code::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 1s);
}

TEST_F(ClientTest, DoesNotRepeatAWriteThatMayHaveHappened) {
  answer_ = With(504, "{}", {{"retry-after", "0"}});
  EXPECT_EQ(client_.Create(Jobs(), "ns", "{}", {}, {}).error().code, Code::kUnknown);
  EXPECT_EQ(transport_.Requests().size(), 1U);
}

TEST_F(ClientTest, SendsNothingTwiceForWhoWaitsItself) {
  answer_ = With(429, "{}", {{"retry-after", "0"}});
  Client once = client_.WithoutRetries();
  const auto created = once.Create(Jobs(), "ns", "{}", {}, {});
  EXPECT_EQ(created.error().retry_after, std::chrono::seconds(0));
  Client gated = once.Gated([](std::chrono::milliseconds) -> Status { return Ok{}; });
  EXPECT_FALSE(gated.Create(Jobs(), "ns", "{}", {}, {}));
  EXPECT_EQ(transport_.Requests().size(), 2U);
}

// It waited for that version itself, and would again.
TEST_F(ClientTest, DoesNotAskAgainForAVersionThatTheServerHasNotReached) {
  answer_ = With(504,
                 R"({"kind":"Status","reason":"Timeout","message":"in other words","details":)"
                 R"({"causes":[{"reason":"Other"},{"reason":"ResourceVersionTooLarge"}]}})",
                 {{"retry-after", "0"}});
  const auto listed = client_.List(Nodes(), {.resource_version = "9"}, {});
  EXPECT_TRUE(IsAhead(listed.error()));
  EXPECT_EQ(transport_.Requests().size(), 1U);
}

TEST_F(ClientTest, TakesWordsAloneForNoSignThatTheServerHasNotReachedAVersion) {
  for (const char* details : {"{}", R"({"causes":[{"message":"Too large resource version"}]})",
                              R"({"causes":{"reason":"ResourceVersionTooLarge"}})", "[]"}) {
    answer_ = With(504, std::string(R"({"kind":"Status","reason":"Timeout","message":)") +
                            R"("Timeout: Too large resource version: 9, current: 7","details":)" +
                            details + "}");
    EXPECT_FALSE(IsAhead(client_.List(Nodes(), {.resource_version = "9"}, {}).error())) << details;
  }
}

TEST_F(ClientTest, AsksTheGateBeforeEachWriteAndNoRead) {
  int asked = 0;
  bool open = true;
  Client gated = client_.Gated([&](std::chrono::milliseconds deadline) -> Status {
    ++asked;
    EXPECT_GT(deadline, 0ms);
    EXPECT_LE(deadline, 8s);
    if (open) return Ok{};
    return Error{Code::kCancelled, "not the leader"};
  });
  answers_ = {With(429, "{}", {{"retry-after", "0"}})};
  EXPECT_TRUE(gated.Create(Jobs(), "ns", "{}", {}, {}).ok());
  EXPECT_EQ(asked, 2);  // again before the second try
  EXPECT_TRUE(gated.Get(Nodes(), "", "n", {}).ok());
  EXPECT_TRUE(gated.List(Nodes(), {}, {}).ok());
  EXPECT_TRUE(gated.Create(Jobs(), "ns", "{}", {.dry_run = true}, {}).ok());
  EXPECT_EQ(asked, 2);
  open = false;
  const size_t before = transport_.Requests().size();
  EXPECT_EQ(gated.Apply(Jobs(), "ns", "j", "{}", {}, {}).error().message, "not the leader");
  EXPECT_EQ(gated.Patch(Jobs(), "ns", "j", "[]", {}, {}).error().code, Code::kCancelled);
  EXPECT_EQ(gated.Update(Jobs(), "ns", "j", "{}", {}, {}).error().code, Code::kCancelled);
  EXPECT_EQ(gated.UpdateStatus(Jobs(), "ns", "j", "{}", {}, {}).error().code, Code::kCancelled);
  EXPECT_EQ(gated.Delete(Jobs(), "ns", "j", {}, {}).error().code, Code::kCancelled);
  EXPECT_EQ(transport_.Requests().size(), before);
  EXPECT_TRUE(client_.Delete(Jobs(), "ns", "j", {}, {}).ok());  // the other one has no gate
}

TEST_F(ClientTest, TellsTheObserverOfEachRequest) {
  answers_ = {With(429, "{}", {{"retry-after", "0"}})};
  answer_ = [this](const HttpRequest& request) -> Result<HttpResponse> {
    clock_.Advance(20ms);
    if (request.method == "DELETE") return Error{Code::kUnavailable, "gone"};
    return HttpResponse{.status = 200, .headers = {}, .body = "{}"};
  };
  (void)client_.Get(Nodes(), "", "n", {});
  (void)client_.Patch(Jobs(), "ns", "j", "[]", {}, {});
  (void)client_.Delete(Jobs(), "ns", "j", {}, {});
  (void)client_.Watch(Nodes(), {}, [](std::string_view) { return true; }, {});
  EXPECT_THAT(observed_, ElementsAre("get 429 0 ms", "get 200 20 ms", "patch 200 20 ms",
                                     "delete 0 20 ms", "watch 200 20 ms"));
}

TEST_F(ClientTest, WatchesWithBookmarksAndADeadlineBeyondTheServers) {
  answer_ = With(200, "{\"type\":\"BOOKMARK\"}\n");
  std::string got;
  const Status done = client_.Watch(Jobs(),
                                    {.ns = "team",
                                     .label_selector = "a=b",
                                     .resource_version = "77",
                                     .timeout = 300s,
                                     .idle_deadline = 90s},
                                    [&](std::string_view bytes) {
                                      got += bytes;
                                      return true;
                                    },
                                    {});
  EXPECT_TRUE(done.ok());
  EXPECT_EQ(got, "{\"type\":\"BOOKMARK\"}\n");
  EXPECT_EQ(Last().target,
            "/apis/batch/v1/namespaces/team/jobs?watch=true&allowWatchBookmarks=true"
            "&labelSelector=a%3Db&resourceVersion=77&timeoutSeconds=300");
  EXPECT_GT(Last().deadline, 300s);
  EXPECT_LT(Last().deadline, 400s);
  EXPECT_EQ(Last().idle_deadline, 90s);
  answer_ = With(410, StatusBody("Expired", "too old resource version: 77 (99)"));
  const Status gone = client_.Watch(Jobs(), {}, [](std::string_view) { return true; }, {});
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().code, Code::kGone);
}

TEST_F(ClientTest, KeepsToItsPlacesAndDoesNotCountWatches) {
  std::atomic<int> watching = 0;
  std::atomic<int> now = 0;
  std::atomic<int> most = 0;
  std::atomic<bool> done = false;
  ScriptedTransport transport([&](const HttpRequest& request) -> Result<HttpResponse> {
    if (request.target.find("watch=true") != std::string::npos) {
      ++watching;
      EXPECT_TRUE(Eventually([&] { return done.load(); }));
    } else {
      most = std::max(most.load(), ++now);
      EXPECT_TRUE(Eventually([&] { return most == 3; }));  // all three places are taken
      --now;
    }
    return HttpResponse{.status = 200, .headers = {}, .body = "{}"};
  });
  Client client(transport, clock_, {.user_agent = "test", .in_flight = 3, .observe = {}});
  std::vector<std::jthread> watches;
  watches.reserve(4);
  for (int i = 0; i < 4; ++i) {
    watches.emplace_back(
        [&] { (void)client.Watch(Nodes(), {}, [](std::string_view) { return true; }, {}); });
  }
  ASSERT_TRUE(Eventually([&] { return watching == 4; }));
  {
    std::vector<std::jthread> requests;
    requests.reserve(10);
    for (int i = 0; i < 10; ++i) {
      requests.emplace_back([&] {
        for (int k = 0; k < 5; ++k) EXPECT_TRUE(client.Get(Nodes(), "", "n", {}).ok());
      });
    }
  }
  done = true;
  EXPECT_EQ(most, 3);
}

TEST_F(ClientTest, APlaceThatDoesNotComeIsAnError) {
  std::atomic<bool> done = false;
  std::atomic<bool> inside = false;
  ScriptedTransport transport([&](const HttpRequest&) -> Result<HttpResponse> {
    inside = true;
    EXPECT_TRUE(Eventually([&] { return done.load(); }));
    return HttpResponse{.status = 200, .headers = {}, .body = "{}"};
  });
  Client client(transport, clock_,
                {.user_agent = "test", .in_flight = 1, .deadline = 50ms, .observe = {}});
  std::jthread holder([&] { (void)client.Get(Nodes(), "", "n", {}); });
  ASSERT_TRUE(Eventually([&] { return inside.load(); }));
  EXPECT_EQ(client.Get(Nodes(), "", "n", {}).error().code, Code::kUnavailable);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(client.Get(Nodes(), "", "n", stop.get_token()).error().code, Code::kCancelled);
  done = true;
}

TEST_F(ClientTest, AClientWithAnotherDeadlineHasPlacesOfItsOwn) {
  std::atomic<bool> done = false;
  std::atomic<int> inside = 0;
  ScriptedTransport transport([&](const HttpRequest& request) -> Result<HttpResponse> {
    ++inside;
    if (request.target.ends_with("slow")) {
      EXPECT_TRUE(Eventually([&] { return done.load(); }));
    }
    return HttpResponse{.status = 200, .headers = {}, .body = "{}"};
  });
  Client client(transport, clock_, {.user_agent = "test", .in_flight = 1, .observe = {}});
  const Client other = client.WithDeadline(2s);
  std::jthread holder([&] { (void)client.Get(Nodes(), "", "slow", {}); });
  ASSERT_TRUE(Eventually([&] { return inside == 1; }));
  EXPECT_TRUE(Client(other).Get(Nodes(), "", "n", {}).ok());  // a renewal waits behind nobody
  EXPECT_LE(transport.Requests().back().deadline, 2s);
  done = true;
}

TEST(PercentEncodeTest, LeavesOnlyTheUnreservedAsTheyAre) {
  EXPECT_EQ(PercentEncode("azAZ09-._~"), "azAZ09-._~");
  EXPECT_EQ(PercentEncode("a b/c?d&e=f%g+h"), "a%20b%2Fc%3Fd%26e%3Df%25g%2Bh");
  EXPECT_EQ(PercentEncode("ü"), "%C3%BC");
  EXPECT_EQ(PercentEncode(""), "");
}

}  // namespace
}  // namespace spillway::kube
