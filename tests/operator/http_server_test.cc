#include "operator/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/operator/http_get.h"
#include "tests/support/certificates.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_file.h"

namespace spillway {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::unique_ptr<HttpServer> Serve() {
  auto server = HttpServer::Start(
      "127.0.0.1:0",
      {{"/healthz", [](const ServedRequest&) { return HttpAnswer{200, "text/plain", "ok\n"}; }},
       {"/readyz",
        [](const ServedRequest&) { return HttpAnswer{500, "text/plain", "not yet\n"}; }}});
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

TEST(HttpServer, TellsAHandlerTheBearerToken) {
  auto server = HttpServer::Start(
      "127.0.0.1:0", {{"/who", [](const ServedRequest& request) {
                         return HttpAnswer{200, "text/plain", "<" + request.bearer_token + ">"};
                       }}});
  ASSERT_TRUE(server.ok());
  for (const auto& [header, token] :
       std::map<std::string, std::string>{{"", "<>"},
                                          {"Authorization: Bearer abc\r\n", "<abc>"},
                                          {"Authorization: Basic abc\r\n", "<>"}}) {
    EXPECT_THAT(Exchange((*server)->Address(),
                         "GET /who HTTP/1.1\r\nHost: x\r\n" + header + "Connection: close\r\n\r\n"),
                HasSubstr(token));
  }
}

TEST(HttpServer, MoreConnectionsThanItHoldsAreClosed) {
  const auto server = Serve();
  {
    std::vector<std::unique_ptr<Connection>> held;
    for (int i = 0; i < HttpServer::kMostConnections; ++i) {
      held.push_back(std::make_unique<Connection>(server->Address()));
      // Answered: it counts by now.
      EXPECT_THAT(held.back()->Ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "ok\n"),
                  HasSubstr("200 OK"));
    }
    EXPECT_EQ(Get(server->Address(), "/healthz"), "");
  }
  EXPECT_TRUE(support::Eventually(
      [&] { return Get(server->Address(), "/healthz").starts_with("HTTP/1.1 200"); }));
}

class TlsHttpServer : public testing::Test {
 protected:
  static support::KeyPair Pair(const support::Authority& authority) {
    return authority.Issue("spillway", {"IP:127.0.0.1"});
  }

  support::Authority authority_{"one"};
  support::KeyPair pair_{Pair(authority_)};
  support::TempFile certificate_{pair_.certificate};
  support::TempFile key_{pair_.key};
  std::map<std::string, HttpServer::Handler> handlers_{
      {"/metrics", [](const ServedRequest& request) {
         return HttpAnswer{200, "text/plain", "for " + request.bearer_token + "\n"};
       }}};
};

TEST_F(TlsHttpServer, AnswersOverTlsOnly) {
  auto server =
      HttpServer::Start("127.0.0.1:0", handlers_, TlsFiles{certificate_.path(), key_.path()});
  ASSERT_TRUE(server.ok()) << server.error().message;
  const std::string answer = GetOverTls((*server)->Address(), "/metrics", authority_.Pem(), "me");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("for me\n"));
  EXPECT_THAT(Get((*server)->Address(), "/metrics"), testing::Not(HasSubstr("200 OK")));
  EXPECT_THAT(GetOverTls((*server)->Address(), "/metrics", support::Authority("two").Pem(), ""),
              HasSubstr("certificate verify failed"));
}

TEST_F(TlsHttpServer, ACertificateThatIsRenewedIsUsedFromTheNextConnectionOn) {
  auto server =
      HttpServer::Start("127.0.0.1:0", handlers_, TlsFiles{certificate_.path(), key_.path()});
  ASSERT_TRUE(server.ok());
  const support::Authority next("next");
  const support::KeyPair renewed = Pair(next);
  certificate_.Write("no certificate at all");  // half written: the old one stays in use
  EXPECT_THAT(GetOverTls((*server)->Address(), "/metrics", authority_.Pem(), ""),
              HasSubstr("200 OK"));
  certificate_.Write(renewed.certificate);
  key_.Write(renewed.key);
  EXPECT_THAT(GetOverTls((*server)->Address(), "/metrics", next.Pem(), ""), HasSubstr("200 OK"));
}

TEST_F(TlsHttpServer, FilesThatAreNoCertificateAndKeyAreOneSentence) {
  const support::TempFile junk("junk");
  for (const auto& [files, named] : std::vector<std::pair<TlsFiles, std::string>>{
           {{"/no/such", key_.path()}, "/no/such"},
           {{certificate_.path(), junk.path()}, junk.path()},
           {{junk.path(), key_.path()}, junk.path()}}) {
    const auto server = HttpServer::Start("127.0.0.1:0", handlers_, files);
    ASSERT_FALSE(server.ok()) << named;
    EXPECT_THAT(server.error().message, HasSubstr(named + " is no TLS file"));
  }
}

TEST(HttpServer, AnAddressThatWillNotDoIsOneSentence) {
  for (const char* listen :
       {"", "8080", "localhost:8080", "1.2.3.4:", "1.2.3.4:99999", "1.2.3.4:x"}) {
    const auto server = HttpServer::Start(listen, {});
    ASSERT_FALSE(server.ok()) << listen;
    EXPECT_THAT(server.error().message, HasSubstr("cannot listen on"));
  }
  const auto first = Serve();
  EXPECT_FALSE(HttpServer::Start(first->Address(), {}).ok());
}

}  // namespace
}  // namespace spillway
