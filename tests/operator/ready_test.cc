#include "operator/cli/ready.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <utility>
#include <vector>

#include "operator/http_server.h"

namespace spillway::cli {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

std::unique_ptr<HttpServer> Answering(int status, const std::string& body) {
  auto server = HttpServer::Start(
      "127.0.0.1:0",
      {{"/readyz", [=](const ServedRequest&) { return HttpAnswer{status, "text/plain", body}; }}});
  EXPECT_TRUE(server.ok());
  return *std::move(server);
}

TEST(AskReady, PassesOnWhatTheOperatorSays) {
  const auto server = Answering(200, "ok\n");
  const auto answer = AskReady(server->Address(), seconds(10));
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(*answer, "ok\n");
}

TEST(AskReady, WhatIsNotReadySaysWhy) {
  const auto server = Answering(500, "[-]caches failed: not synced: nodes\n");
  const auto answer = AskReady(server->Address(), seconds(10));
  ASSERT_FALSE(answer.ok());
  EXPECT_THAT(answer.error().message, HasSubstr("says HTTP/1.1 500"));
  EXPECT_THAT(answer.error().message, HasSubstr("not synced: nodes"));
}

TEST(AskReady, NobodyThereIsOneSentence) {
  std::string address;
  {
    const auto server = Answering(200, "ok\n");
    address = server->Address();
  }
  for (const auto& [where, sentence] :
       std::vector<std::pair<std::string, std::string>>{{address, "connecting: Connection refused"},
                                                        {"no-such-host.invalid:80", "finding: "},
                                                        {"localhost", "is no HOST:PORT"},
                                                        {":80", "is no HOST:PORT"},
                                                        {"localhost:", "is no HOST:PORT"}}) {
    const auto answer = AskReady(where, seconds(10));
    ASSERT_FALSE(answer.ok()) << where;
    EXPECT_THAT(answer.error().message, HasSubstr(sentence)) << where;
  }
}

TEST(AskReady, AServerThatSaysNothingRunsIntoTheDeadline) {
  boost::asio::io_context io;
  const boost::asio::ip::tcp::acceptor silent(io, {boost::asio::ip::make_address("127.0.0.1"), 0});
  const auto answer = AskReady("127.0.0.1:" + std::to_string(silent.local_endpoint().port()),
                               std::chrono::milliseconds(50));
  ASSERT_FALSE(answer.ok());
  EXPECT_THAT(answer.error().message, HasSubstr("no answer in time"));
}

}  // namespace
}  // namespace spillway::cli
