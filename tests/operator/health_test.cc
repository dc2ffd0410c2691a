#include "operator/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/operator/http_get.h"

namespace spillway {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

struct Asked {
  std::string path;
  std::string query{};
};

// "200 ok" of one request to the handlers of /readyz, where checks a and b fail for these reasons.
std::string Answer(const std::string& a, const std::string& b, const Asked& asked) {
  const auto handlers =
      HealthHandlers("/readyz", {{"a", [&] { return a; }}, {"b", [&] { return b; }}});
  const auto handler = handlers.find(asked.path);
  if (handler == handlers.end()) return "none";
  ServedRequest request;
  request.query = asked.query;
  const HttpAnswer answer = handler->second(request);
  EXPECT_EQ(answer.content_type, "text/plain; charset=utf-8");
  return std::to_string(answer.status) + " " + answer.body;
}

TEST(Health, AnswersAsAnApiServerDoes) {
  const std::string all = "[+]ping ok\n[+]a ok\n[+]b ok\nreadyz check passed\n";
  const std::string bad = "[+]ping ok\n[+]a ok\n[-]b failed: it is ill\nreadyz check failed\n";
  struct Row {
    const char* b;
    Asked asked;
    std::string answer;
  };
  for (const Row& row : std::vector<Row>{
           {"", {"/readyz"}, "200 ok\n"},
           {"", {"/readyz", "verbose"}, "200 " + all},
           {"", {"/readyz", "verbose=true&x=y"}, "200 " + all},
           {"", {"/readyz", "verbosely"}, "200 ok\n"},
           {"", {"/readyz/a"}, "200 ok\n"},
           {"", {"/readyz/ping"}, "200 ok\n"},
           {"", {"/readyz/c"}, "none"},
           {"it is ill", {"/readyz"}, "500 " + bad},
           {"it is ill", {"/readyz", "verbose"}, "500 " + bad},
           {"it is ill",
            {"/readyz", "exclude=a"},
            "500 [+]ping ok\n[+]a excluded: ok\n[-]b failed: it is ill\nreadyz check failed\n"},
           {"it is ill", {"/readyz", "exclude=b"}, "200 ok\n"},
           {"it is ill",
            {"/readyz", "exclude=a&verbose&exclude=b"},
            "200 [+]ping ok\n[+]a excluded: ok\n[+]b excluded: ok\nreadyz check passed\n"},
           {"",
            {"/readyz", "verbose&exclude=c"},
            "200 [+]ping ok\n[+]a ok\n[+]b ok\nwarn: some health checks cannot be excluded: there "
            "are none of these names\nreadyz check passed\n"},
           {"it is ill", {"/readyz/a"}, "200 ok\n"},
           {"it is ill", {"/readyz/b"}, "500 internal server error: it is ill\n"}}) {
    EXPECT_EQ(Answer("", row.b, row.asked), row.answer) << row.asked.path << "?" << row.asked.query;
  }
}

TEST(Health, IsServedWithItsQueryAndBelowItsPath) {
  auto server = HttpServer::Start(
      "127.0.0.1:0", HealthHandlers("/livez", {{"loop", [] { return std::string("stuck"); }}}));
  ASSERT_TRUE(server.ok());
  const std::string address = (*server)->Address();
  EXPECT_THAT(Get(address, "/livez"), StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(Get(address, "/livez?exclude=loop"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get(address, "/livez?verbose"), HasSubstr("[-]loop failed: stuck\n"));
  EXPECT_THAT(Get(address, "/livez/loop"), HasSubstr("internal server error: stuck\n"));
  EXPECT_THAT(Get(address, "/livez/ping?verbose"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get(address, "/livez/other"), StartsWith("HTTP/1.1 404"));
}

TEST(Healthz, FailsOnceTheLoopHasBeenSilentForTwoMinutes) {
  EXPECT_EQ(WhyLoopFails(milliseconds(0)), "");
  EXPECT_EQ(WhyLoopFails(milliseconds(119'999)), "");
  EXPECT_EQ(WhyLoopFails(seconds(120)), "the deciding loop shows no sign of life");
  EXPECT_EQ(WhyLoopFails(seconds(86400)), "the deciding loop shows no sign of life");
}

TEST(Healthz, FailsOfARequestThatHasNotEndedForTwoMinutes) {
  EXPECT_EQ(WhyRequestsFail(nanoseconds(0)), "");
  EXPECT_EQ(WhyRequestsFail(milliseconds(119'999)), "");
  EXPECT_EQ(WhyRequestsFail(seconds(120)), "a request to the API server does not end");
}

TEST(Healthz, FailsOfALeaderThatDoesNotEndWithItsLease) {
  EXPECT_EQ(WhyLeaderElectionFails(seconds(1000), nanoseconds(0)), "") << "no leader";
  EXPECT_EQ(WhyLeaderElectionFails(seconds(90), seconds(100)), "");
  EXPECT_EQ(WhyLeaderElectionFails(seconds(120), seconds(100)), "");
  EXPECT_THAT(WhyLeaderElectionFails(seconds(121), seconds(100)), HasSubstr("has not ended"));
}

TEST(Readyz, NamesWhatHasNotBeenReadYet) {
  EXPECT_EQ(WhyCachesFail({}), "");
  EXPECT_EQ(WhyCachesFail({"nodes"}), "not synced: nodes");
  EXPECT_EQ(WhyCachesFail({"nodes", "pods"}), "not synced: nodes, pods");
}

}  // namespace
}  // namespace spillway
