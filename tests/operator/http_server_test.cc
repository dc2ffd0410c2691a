#include "operator/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/operator/http_get.h"

namespace spillway {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::unique_ptr<HttpServer> Serve() {
  auto server = HttpServer::Start(
      "127.0.0.1:0", {{"/healthz", [] { return HttpAnswer{200, "text/plain", "ok\n"}; }},
                      {"/readyz", [] { return HttpAnswer{500, "text/plain", "not yet\n"}; }}});
  EXPECT_TRUE(server.ok());
  return *std::move(server);
}

TEST(HttpServer, AnswersItsPathsAndNothingElse) {
  const auto server = Serve();
  EXPECT_THAT(Get(server->Address(), "/healthz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get(server->Address(), "/healthz?verbose"), HasSubstr("ok"));
  EXPECT_THAT(Get(server->Address(), "/readyz"), StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(Get(server->Address(), "/"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Get(server->Address(), "/healthz", "POST"), StartsWith("HTTP/1.1 405"));
}

TEST(HttpServer, HeadHasTheLengthAndNoBody) {
  const auto server = Serve();
  const std::string answer = Get(server->Address(), "/healthz", "HEAD");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 3"));
  EXPECT_EQ(answer.substr(answer.find("\r\n\r\n")), "\r\n\r\n");
}

TEST(HttpServer, KeepsAConnectionForMoreThanOneRequest) {
  const auto server = Serve();
  const std::string answer =
      Exchange(server->Address(),
               "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
               "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("200 OK"));
  EXPECT_THAT(answer, HasSubstr("500 Internal"));
}

TEST(HttpServer, RefusesOverlongHeaders) {
  const auto server = Serve();
  const std::string answer = Exchange(
      server->Address(), "GET /healthz HTTP/1.1\r\nX: " + std::string(20000, 'x') + "\r\n\r\n");
  EXPECT_EQ(answer.find("200 OK"), std::string::npos);
  EXPECT_THAT(Get(server->Address(), "/healthz"), StartsWith("HTTP/1.1 200"));
}

TEST(HttpServer, AnAddressThatWillNotDoIsOneSentence) {
  for (const char* listen :
       {"", "8080", "localhost:8080", "1.2.3.4:", "1.2.3.4:99999", "1.2.3.4:x"}) {
    const auto server = HttpServer::Start(listen, {});
    ASSERT_FALSE(server.ok()) << listen;
    EXPECT_THAT(server.error().message, HasSubstr("--listen"));
  }
  const auto first = Serve();
  EXPECT_FALSE(HttpServer::Start(first->Address(), {}).ok());
}

}  // namespace
}  // namespace spillway
