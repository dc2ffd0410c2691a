// The contract of kube/transport.h, against a real server on loopback. Every implementation of the
// interface runs the same tests.
#include "kube/transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/kube/transport_fixture.h"
#include "tests/support/connect_proxy.h"
#include "tests/support/eventually.h"
#include "tests/support/slow_name.h"
#include "tests/support/tls_server.h"

namespace spillway::kube {
namespace {

using namespace std::chrono_literals;
using support::Eventually;
using support::TlsServer;
using support::WireConnection;
using support::WireRequest;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Moment = std::chrono::steady_clock;

TEST_P(TransportTest, SendsMethodTargetHeadersAndBodyAsTheyAre) {
  WireRequest seen;
  Serve([&](const WireRequest& request, WireConnection& wire) {
    seen = request;
    wire.Answer(409, "{\"kind\":\"Status\"}", "Retry-After: 3\r\nX-Two: a\r\nX-Two: b\r\n");
  });
  const auto transport = Make(Config());
  HttpRequest request =
      Post("/api/v1/pods?labelSelector=a%20in%20%28b%2Cc%29%2Cd%21%3De", "{\"a\":1}");
  request.method = "PATCH";
  request.headers = {{"Content-Type", "application/apply-patch+yaml"},
                     {"User-Agent", "spillway/x"}};
  const auto response = transport->Send(request, {});
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->status, 409);
  EXPECT_EQ(response->headers.at("retry-after"), "3");
  EXPECT_EQ(response->headers.at("x-two"), "a, b");
  EXPECT_EQ(response->body, "{\"kind\":\"Status\"}");
  EXPECT_EQ(seen.method, "PATCH");
  EXPECT_EQ(seen.target, "/api/v1/pods?labelSelector=a%20in%20%28b%2Cc%29%2Cd%21%3De");
  EXPECT_EQ(seen.headers.at("content-type"), "application/apply-patch+yaml");
  EXPECT_EQ(seen.headers.at("user-agent"), "spillway/x");
  EXPECT_EQ(seen.headers.at("content-length"), "7");
  EXPECT_EQ(seen.body, "{\"a\":1}");
}

TEST_P(TransportTest, PutsTheServersPathBeforeTheTarget) {
  std::string target;
  Serve([&](const WireRequest& request, WireConnection& wire) {
    target = request.target;
    wire.Answer(200, "");
  });
  ClusterConfig config = Config();
  config.server += "/k8s/clusters/c-1";
  ASSERT_TRUE(Make(config)->Send(Get("/api/v1/pods?limit=5"), {}).ok());
  EXPECT_EQ(target, "/k8s/clusters/c-1/api/v1/pods?limit=5");
}

TEST_P(TransportTest, ReusesAConnectionForOneRequestAfterAnother) {
  Serve([](const WireRequest&, WireConnection& wire) { wire.Answer(200, "yes"); });
  const auto transport = Make(Config());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(transport->Send(Get("/"), {}).ok());
  EXPECT_EQ(server_->Connections(), 1);
}

TEST_P(TransportTest, FollowsNoRedirect) {
  std::atomic<int> requests = 0;
  Serve([&](const WireRequest&, WireConnection& wire) {
    ++requests;
    wire.Answer(302, "", "Location: /elsewhere\r\n");
  });
  const auto response = Make(Config())->Send(Get("/"), {});
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 302);
  EXPECT_EQ(requests, 1);
}

TEST_P(TransportTest, StreamsPieceByPieceAsTheyCome) {
  std::atomic<int> seen = 0;
  Serve([&](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    for (int i = 0; i < 5; ++i) {
      wire.WriteChunk("line " + std::to_string(i) + "\n");
      // The next one only after this one has arrived: nothing is held back.
      EXPECT_TRUE(Eventually([&] { return seen == i + 1; }));
    }
    wire.WriteChunk("");
  });
  std::string all;
  const auto caller = std::this_thread::get_id();
  const auto response = Make(Config())->Stream(Get("/"),
                                               [&](std::string_view bytes) {
                                                 EXPECT_EQ(std::this_thread::get_id(), caller);
                                                 all += bytes;
                                                 ++seen;
                                                 return true;
                                               },
                                               {});
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->body, "");
  EXPECT_EQ(all, "line 0\nline 1\nline 2\nline 3\nline 4\n");
}

TEST_P(TransportTest, GivesTheBodyOfARefusedStreamInTheAnswer) {
  Serve([](const WireRequest&, WireConnection& wire) {
    wire.Answer(410, "{\"reason\":\"Expired\"}");
  });
  const auto response = Make(Config())->Stream(
      Get("/"), [](std::string_view) { return ADD_FAILURE() << "no 2xx", true; }, {});
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 410);
  EXPECT_EQ(response->body, "{\"reason\":\"Expired\"}");
}

TEST_P(TransportTest, EndsAStreamWhenTheConsumerHasEnough) {
  std::atomic<bool> closed = false;
  Serve([&](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    wire.WriteChunk("enough");
    closed = wire.WaitForPeerToClose();
  });
  const auto transport = Make(Config());
  const auto response = transport->Stream(Get("/"), [](std::string_view) { return false; }, {});
  EXPECT_TRUE(response.ok());
  EXPECT_TRUE(Eventually([&] { return closed.load(); }));
}

TEST_P(TransportTest, EndsAnIdleStreamPromptlyWhenStopped) {
  std::atomic<bool> closed = false;
  Serve([&](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    wire.WriteChunk("first");
    closed = wire.WaitForPeerToClose();
  });
  const auto transport = Make(Config());
  std::stop_source stop;
  Moment::time_point asked;
  std::jthread stopper;
  const auto response = transport->Stream(
      Get("/"),
      [&](std::string_view) {
        stopper = std::jthread([&] {
          const auto since = Moment::now();  // by then it waits for the next byte
          Eventually([&] { return Moment::now() - since > 400ms; });
          asked = Moment::now();
          stop.request_stop();
        });
        return true;
      },
      stop.get_token());
  EXPECT_LT(Moment::now() - asked, 500ms);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kCancelled);
  EXPECT_TRUE(Eventually([&] { return closed.load(); }));
}

TEST_P(TransportTest, SendsNothingOnceStopped) {
  Serve([](const WireRequest&, WireConnection& wire) { wire.Answer(200, ""); });
  const auto transport = Make(Config());
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(SendAndFail(*transport, Get("/"), stop.get_token()).code, Code::kCancelled);
  EXPECT_EQ(server_->Connections(), 0);
}

TEST_P(TransportTest, KeepsTheTotalDeadlineThoughBytesCome) {
  Serve([](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    while (!wire.PeerStirsWithin(20ms) && wire.WriteChunk("drip")) {
    }
  });
  HttpRequest request = Get("/");
  request.deadline = 300ms;
  request.idle_deadline = 200ms;
  const auto start = Moment::now();
  const Error error = SendAndFail(*Make(Config()), request);
  EXPECT_LT(Moment::now() - start, 2s);
  EXPECT_EQ(error.code, Code::kUnavailable);
  EXPECT_THAT(error.message, HasSubstr("not done within 300 ms"));
}

TEST_P(TransportTest, KeepsTheIdleDeadline) {
  Serve([](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    wire.WriteChunk("once");
    wire.WaitForPeerToClose();
  });
  HttpRequest request = Get("/");
  request.idle_deadline = 200ms;
  const auto start = Moment::now();
  const auto response = Make(Config())->Stream(request, [](std::string_view) { return true; }, {});
  EXPECT_LT(Moment::now() - start, 5s);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kUnavailable);
  EXPECT_THAT(response.error().message, HasSubstr("silent for 200 ms"));
}

TEST_P(TransportTest, ASlowConsumerIsNoIdleServer) {
  std::atomic<bool> consumed = false;
  Serve([&](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    wire.WriteChunk("one");
    EXPECT_TRUE(Eventually([&] { return consumed.load(); }));
    wire.PeerStirsWithin(100ms);
    wire.WriteChunk("");
  });
  HttpRequest request = Get("/");
  request.idle_deadline = 400ms;
  const auto slow = [&](std::string_view) {
    const auto since = Moment::now();
    Eventually([&] { return Moment::now() - since > 600ms; });
    return consumed = true;
  };
  EXPECT_TRUE(Make(Config())->Stream(request, slow, {}).ok());
}

TEST_P(TransportTest, TakesNewConnectionsAfterATimeout) {
  std::atomic<bool> silent = false;
  std::atomic<int> here = 0;
  Serve([&](const WireRequest&, WireConnection& wire) {
    if (silent) {
      wire.WaitForPeerToClose();
      return;
    }
    ++here;
    EXPECT_TRUE(Eventually([&] { return here >= 2; }));  // two connections are kept
    wire.Answer(200, "");
  });
  const auto transport = Make(Config());
  const auto send_two = [&] {
    here = 0;
    const std::jthread other([&] { EXPECT_TRUE(transport->Send(Get("/"), {}).ok()); });
    EXPECT_TRUE(transport->Send(Get("/"), {}).ok());
  };
  send_two();
  EXPECT_EQ(server_->Connections(), 2);
  silent = true;
  HttpRequest request = Get("/");
  request.deadline = 200ms;
  SendAndFail(*transport, request);
  silent = false;
  send_two();
  EXPECT_EQ(server_->Connections(), 4);
}

TEST_P(TransportTest, ReportsATruncatedBody) {
  std::atomic<bool> chunked = false;
  Serve([&](const WireRequest&, WireConnection& wire) {
    if (chunked) {
      wire.StartChunked();
      wire.WriteChunk("half");
    } else {
      wire.Write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    }
    wire.Drop(false);
  });
  const auto transport = Make(Config());
  for (const bool how : {false, true}) {
    chunked = how;
    const Error error = SendAndFail(*transport, Get("/"));
    EXPECT_EQ(error.code, Code::kUnavailable);
    EXPECT_THAT(error.message, HasSubstr("the answer was cut off"));
  }
  std::string got;
  const auto response = transport->Stream(Get("/"),
                                          [&](std::string_view bytes) {
                                            got += bytes;
                                            return true;
                                          },
                                          {});
  EXPECT_FALSE(response.ok());
  EXPECT_EQ(got, "half");
}

TEST_P(TransportTest, DoesNotKnowWhatBecameOfAWriteThatWasSent) {
  Serve([](const WireRequest&, WireConnection& wire) { wire.Drop(true); });
  const auto transport = Make(Config());
  EXPECT_EQ(SendAndFail(*transport, Post("/", "{}")).code, Code::kUnknown);
  EXPECT_EQ(SendAndFail(*transport, Get("/")).code, Code::kUnavailable);
}

TEST_P(TransportTest, DoesNotKnowWhatBecameOfAWriteThatTimedOut) {
  Serve([](const WireRequest&, WireConnection& wire) { wire.WaitForPeerToClose(); });
  HttpRequest request = Post("/", "{}");
  request.deadline = 300ms;
  EXPECT_EQ(SendAndFail(*Make(Config()), request).code, Code::kUnknown);
}

TEST_P(TransportTest, AServerThatIsNotThereIsUnavailable) {
  Serve([](const WireRequest&, WireConnection&) {});
  const ClusterConfig config = Config();
  const auto transport = Make(config);
  server_.reset();
  const Error error = SendAndFail(*transport, Post("/api", "{}"));
  EXPECT_EQ(error.code, Code::kUnavailable);
  EXPECT_THAT(error.message, AllOf(HasSubstr("POST 127.0.0.1:"), HasSubstr("could not connect")));
}

TEST_P(TransportTest, RefusesABodyOverTheLimit) {
  Serve([](const WireRequest&, WireConnection& wire) {
    wire.Answer(200, std::string(100'000, 'x'));
  });
  HttpRequest request = Get("/");
  request.max_body_bytes = 99'999;
  EXPECT_THAT(SendAndFail(*Make(Config()), request).message, HasSubstr("longer than 99999 bytes"));
  request.max_body_bytes = 100'000;
  EXPECT_TRUE(Make(Config())->Send(request, {}).ok());
}

TEST_P(TransportTest, RefusesWhatCannotBeSentAsItIs) {
  Serve([](const WireRequest&, WireConnection& wire) { wire.Answer(200, ""); });
  const auto transport = Make(Config());
  EXPECT_EQ(SendAndFail(*transport, Get("/a b")).code, Code::kInternal);
  EXPECT_EQ(SendAndFail(*transport, Get("api")).code, Code::kInternal);
  HttpRequest request = Get("/");
  request.headers = {{"X-One", "a\r\nX-Two: b"}};
  EXPECT_EQ(SendAndFail(*transport, request).code, Code::kInternal);
  EXPECT_EQ(server_->Connections(), 0);
}

TEST_P(TransportTest, ServesTwentyThreadsAtOnce) {
  std::atomic<int> here = 0;
  Serve([&](const WireRequest& request, WireConnection& wire) {
    ++here;
    EXPECT_TRUE(Eventually([&] { return here >= 20; }));  // all of them are under way together
    wire.Answer(200, request.target);
  });
  const auto transport = Make(Config());
  std::vector<std::jthread> threads;
  threads.reserve(20);
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&, i] {
      const std::string target = "/" + std::to_string(i);
      const auto response = transport->Send(Get(target), {});
      ASSERT_TRUE(response.ok()) << response.error().message;
      EXPECT_EQ(response->body, target);
    });
  }
  threads.clear();
  EXPECT_TRUE(GetParam().limited || Eventually([&] { return server_->OpenConnections() <= 16; }));
}

TEST_P(TransportTest, TheDeadlineHoldsWhileBytesWaitForASlowConsumer) {
  Serve([](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    while (wire.WriteChunk(std::string(64 << 10, 'x'))) {
    }
  });
  HttpRequest request = Get("/");
  request.deadline = 300ms;
  int pieces = 0;
  const auto response =
      Make(Config())->Stream(request,
                             [&](std::string_view) {
                               const auto since = Moment::now();
                               Eventually([&] { return Moment::now() - since > 50ms; });
                               return ++pieces < 100;
                             },
                             {});
  ASSERT_FALSE(response.ok());
  EXPECT_THAT(response.error().message, HasSubstr("not done within 300 ms"));
  EXPECT_LT(pieces, 20);
}

TEST_P(TransportTest, AnExceptionOfTheConsumerIsTheCallers) {
  Serve([](const WireRequest& request, WireConnection& wire) {
    if (request.target == "/watch") {
      wire.StartChunked();
      wire.WriteChunk("one");
      wire.WaitForPeerToClose();
    } else {
      wire.Answer(200, "yes");
    }
  });
  const auto transport = Make(Config());
  const Transport::OnBytes fails = [](std::string_view) -> bool { throw std::range_error("bad"); };
  EXPECT_THROW((void)transport->Stream(Get("/watch"), fails, {}), std::range_error);
  const auto response = transport->Send(Get("/"), {});
  EXPECT_TRUE(response.ok()) << response.error().message;
}

TEST_P(TransportTest, SendsAWriteOnceThoughAKeptConnectionSwallowsIt) {
  std::atomic<int> writes = 0;
  Serve([&](const WireRequest& request, WireConnection& wire) {
    if (request.method == "GET") {
      wire.Answer(200, "");
    } else {
      ++writes;
      wire.Drop(false);
    }
  });
  const auto transport = Make(Config());
  for (const char* method : {"POST", "DELETE"}) {
    writes = 0;
    ASSERT_TRUE(transport->Send(Get("/"), {}).ok());  // a connection to keep
    HttpRequest request = Get("/");
    request.method = method;
    EXPECT_EQ(SendAndFail(*transport, request).code, Code::kUnknown) << method;
    EXPECT_EQ(writes, 1) << method;
  }
}

TEST_P(TransportTest, AsksNoLeaveForALargeBody) {
  WireRequest seen;
  Serve([&](const WireRequest& request, WireConnection& wire) {
    seen = request;
    wire.Answer(200, "");
  });
  const std::string body(2 << 20, 'x');
  ASSERT_TRUE(Make(Config())->Send(Post("/", body), {}).ok());
  EXPECT_EQ(seen.headers.count("expect"), 0U);
  EXPECT_EQ(seen.headers.at("content-type"), "application/json");
  EXPECT_EQ(seen.body, body);
}

TEST_P(TransportTest, AsksNoProxyOfTheEnvironment) {
  Serve([](const WireRequest&, WireConnection& wire) { wire.Answer(200, "direct"); });
  setenv("https_proxy", "http://127.0.0.1:1", 1);
  const auto response = Make(Config())->Send(Get("/"), {});
  unsetenv("https_proxy");
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->body, "direct");
}

TEST_P(TransportTest, GoesThroughAProxyOrSaysWhoCan) {
  Serve([](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    wire.WriteChunk("through");
    wire.WriteChunk("");
  });
  support::ConnectProxy proxy;
  ClusterConfig config = Config();
  config.proxy = {.url = "http://127.0.0.1:" + std::to_string(proxy.Port()), .required = true};
  const auto made = GetParam().make(config);
  if (GetParam().limited) {
    ASSERT_FALSE(made.ok());
    EXPECT_EQ(made.error().code, Code::kInvalid);
    EXPECT_THAT(made.error().message, HasSubstr("use --transport=curl"));
    return;
  }
  const std::string asked = "127.0.0.1:" + std::to_string(server_->Port());
  for (int i = 0; i < 2; ++i) {
    const auto response = (*made)->Send(Get("/"), {});
    ASSERT_TRUE(response.ok()) << response.error().message;
    EXPECT_EQ(response->body, "through");
    EXPECT_FALSE(response->headers.contains("x-proxy"))
        << "the proxy's own answer is no part of it";
  }
  EXPECT_THAT(proxy.Asked(), ::testing::ElementsAre(asked)) << "one tunnel, which is kept";
  // TLS goes through it from end to end, and it may refuse.
  config.ca.data = other_.Pem();
  EXPECT_THAT(SendAndFail(*Make(config), Get("/")).message, HasSubstr("certificate verify failed"));
  config = Config();
  config.proxy = {.url = "http://127.0.0.1:" + std::to_string(proxy.Port()), .required = true};
  proxy.Refuse();
  const Error refused = SendAndFail(*Make(config), Post("/", "{}"));
  EXPECT_EQ(refused.code, Code::kUnavailable);
  EXPECT_THAT(refused.message, HasSubstr("403"));
  config.proxy.url = "https://me:secret@p";
  EXPECT_THAT(GetParam().make(config).error().message,
              AllOf(HasSubstr("it must start with http:// or socks5://"),
                    ::testing::Not(HasSubstr("secret"))));
  config.proxy.url = "http://127.0.0.1:" + std::to_string(proxy.Port());
  // Some servers are asked directly.
  config.proxy.except = "10.0.0.0/8,127.0.0.0/8";
  EXPECT_TRUE(Make(config)->Send(Get("/"), {}).ok());
}

TEST_P(TransportTest, ConnectsToAnIpv6AddressOrSaysWhoCan) {
  server_ = std::make_unique<TlsServer>(
      TlsServer::Options{.pair = authority_.Issue("apiserver", {"IP:::1"}),
                         .client_ca = authority_.Pem(),
                         .ipv6 = true},
      [](const WireRequest&, WireConnection& wire) { wire.Answer(200, "six"); });
  const ClusterConfig config = Config("[::1]");
  const auto transport = GetParam().make(config);
  if (!GetParam().limited) {
    const auto response = (*transport)->Send(Get("/"), {});
    ASSERT_TRUE(response.ok()) << response.error().message;
    EXPECT_EQ(response->body, "six");
  } else {
    ASSERT_FALSE(transport.ok());
    EXPECT_EQ(transport.error().code, Code::kInvalid);
    EXPECT_THAT(transport.error().message, HasSubstr("use --transport=curl"));
  }
}

TEST_P(TransportTest, IsStoppedWhileANameIsStillBeingLookedUp) {
  Serve([](const WireRequest&, WireConnection&) {});
  const auto transport = Make(Config(support::SlowName::kName));
  const support::SlowName slow;
  std::stop_source stop;
  const std::jthread stopper([&] {
    EXPECT_TRUE(Eventually([&] { return slow.Asked(); }));
    stop.request_stop();
  });
  const auto start = Moment::now();
  EXPECT_EQ(SendAndFail(*transport, Get("/"), stop.get_token()).code, Code::kCancelled);
  EXPECT_LT(Moment::now() - start, 2s);
}

TEST_P(TransportTest, AsksOnSomebodysBehalf) {
  WireRequest seen;
  Serve([&](const WireRequest& request, WireConnection& wire) {
    seen = request;
    wire.Answer(200, "");
  });
  ClusterConfig config = Config();
  config.token.data = "t";
  config.impersonate.user = "jane";
  config.impersonate.groups = {"one", "two"};
  if (GetParam().limited) config.impersonate.groups.pop_back();
  ASSERT_TRUE(Make(config)->Send(Get("/"), {}).ok());
  EXPECT_EQ(seen.headers.at("authorization"), "Bearer t");
  EXPECT_EQ(seen.headers.at("impersonate-user"), "jane");
  EXPECT_EQ(seen.headers.at("impersonate-group"), GetParam().limited ? "one" : "one | two");
}

TEST_P(TransportTest, LeavesDotsAndEmptyHeadersAsTheyAre) {
  WireRequest seen;
  Serve([&](const WireRequest& request, WireConnection& wire) {
    seen = request;
    wire.Answer(200, "yes");
  });
  HttpRequest request = Get("/a/../b");
  request.headers = {{"X-Empty", ""}};
  ASSERT_TRUE(Make(Config())->Send(request, {}).ok());
  EXPECT_EQ(seen.target, "/a/../b");
  EXPECT_EQ(seen.headers.at("x-empty"), "");
}

TEST_P(UnlimitedTransportTest, WaitsForTheAnswerAfterAnInterimOne) {
  Serve([&](const WireRequest& request, WireConnection& wire) {
    wire.Write("HTTP/1.1 103 Early Hints\r\nX-One: a\r\n\r\n");
    request.target == "/cut" ? wire.SayGoodbye() : (void)wire.Answer(200, "yes", "X-Two: b\r\n");
  });
  const auto transport = Make(Config());
  SendAndFail(*transport, Get("/cut"));
  const auto response = transport->Send(Get("/"), {});
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->headers.count("x-one"), 0U);
  EXPECT_EQ(response->headers.at("x-two"), "b");
}

INSTANTIATE_TEST_SUITE_P(All, TransportTest, Implementations(), NameOf);
INSTANTIATE_TEST_SUITE_P(All, UnlimitedTransportTest, UnlimitedImplementations(), NameOf);

}  // namespace
}  // namespace spillway::kube
