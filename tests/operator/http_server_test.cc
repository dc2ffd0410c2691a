#include "operator/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <string>

namespace spillway {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Sends raw bytes and reads until the server closes.
std::string Exchange(const std::string& address, const std::string& request) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::socket socket(io);
  const size_t colon = address.rfind(':');
  socket.connect({boost::asio::ip::make_address(address.substr(0, colon)),
                  static_cast<uint16_t>(std::stoi(address.substr(colon + 1)))});
  boost::asio::write(socket, boost::asio::buffer(request));
  std::string answer;
  boost::system::error_code error;
  boost::asio::read(socket, boost::asio::dynamic_buffer(answer), error);
  return answer;
}

std::string Get(const std::string& address, const std::string& path,
                const std::string& method = "GET") {
  return Exchange(address,
                  method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
}

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
