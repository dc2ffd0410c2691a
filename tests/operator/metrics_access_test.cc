#include "operator/metrics_access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/fake_clock.h"
#include "tests/support/scripted_transport.h"

namespace spillway {
namespace {

using Json = nlohmann::json;
using testing::SizeIs;

// An API server that knows the tokens "prometheus", who may, and "stranger", who may not.
class MetricsAccessTest : public testing::Test {
 protected:
  Result<kube::HttpResponse> Answer(const kube::HttpRequest& request) {
    if (down_) return Error{Code::kUnavailable, "nobody there"};
    Json review = Json::parse(request.body);
    if (request.target.find("/tokenreviews") != std::string::npos) {
      const std::string token = review["spec"]["token"];
      const bool known = token.starts_with("prometheus") || token == "stranger";
      review["status"] = {{"authenticated", known}};
      if (known) {
        review["status"]["user"] = {{"username", "user of " + token},
                                    {"uid", "7"},
                                    {"groups", {"system:authenticated"}},
                                    {"extra", {{"scopes", {"a"}}}}};
      }
    } else {
      asked_ = review["spec"];
      const std::string user = asked_["user"];
      review["status"] = {{"allowed", user.starts_with("user of prometheus")}, {"denied", denied_}};
    }
    kube::HttpResponse response;
    response.status = 201;
    response.body = review.dump();
    return response;
  }

  bool down_ = false;
  bool denied_ = false;
  Json asked_;
  support::FakeClock clock_;
  support::ScriptedTransport transport_{
      [this](const kube::HttpRequest& request) { return Answer(request); }};
  kube::Client client_{transport_, clock_, {"test", 16, std::chrono::seconds(5), {}}};
  MetricsAccess access_{client_, clock_};
};

TEST_F(MetricsAccessTest, TheApiServerSaysWhoMayReadMetrics) {
  EXPECT_EQ(access_.Ask("prometheus"), Access::kAllowed);
  const Json expected = {{"user", "user of prometheus"},
                         {"uid", "7"},
                         {"groups", {"system:authenticated"}},
                         {"extra", {{"scopes", {"a"}}}},
                         {"nonResourceAttributes", {{"path", "/metrics"}, {"verb", "get"}}}};
  EXPECT_EQ(asked_, expected);
  EXPECT_EQ(access_.Ask("stranger"), Access::kForbidden);
  EXPECT_EQ(access_.Ask("forged"), Access::kUnauthenticated);
  EXPECT_EQ(access_.Ask(""), Access::kUnauthenticated);
  EXPECT_THAT(transport_.Requests(), SizeIs(5)) << "nothing is asked without a token";
}

TEST_F(MetricsAccessTest, ADenialOutweighsAPermission) {
  denied_ = true;
  EXPECT_EQ(access_.Ask("prometheus"), Access::kForbidden);
}

TEST_F(MetricsAccessTest, AnAnswerIsRememberedForAMinute) {
  for (const char* token : {"prometheus", "stranger", "forged"}) {
    const Access first = access_.Ask(token);
    const size_t before = transport_.Requests().size();
    clock_.Advance(std::chrono::seconds(59));
    EXPECT_EQ(access_.Ask(token), first) << token;
    EXPECT_THAT(transport_.Requests(), SizeIs(before)) << token;
    clock_.Advance(std::chrono::seconds(2));
    EXPECT_EQ(access_.Ask(token), first) << token;
    EXPECT_GT(transport_.Requests().size(), before) << token;
  }
}

TEST_F(MetricsAccessTest, NoAnswerIsNotRemembered) {
  down_ = true;
  EXPECT_EQ(access_.Ask("prometheus"), Access::kUnknown);
  down_ = false;
  EXPECT_EQ(access_.Ask("prometheus"), Access::kAllowed);
  down_ = true;
  EXPECT_EQ(access_.Ask("prometheus"), Access::kAllowed) << "remembered";
}

TEST_F(MetricsAccessTest, RemembersSoManyTokensAndNoMore) {
  for (int i = 0; i < 257; ++i) access_.Ask("prometheus" + std::to_string(i));
  const size_t before = transport_.Requests().size();
  access_.Ask("prometheus256");
  EXPECT_THAT(transport_.Requests(), SizeIs(before)) << "the last is remembered";
  access_.Ask("prometheus0");
  EXPECT_GT(transport_.Requests().size(), before) << "the first ones made room";
}

}  // namespace
}  // namespace spillway
