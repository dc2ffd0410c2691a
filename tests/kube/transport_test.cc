// The contract of kube/transport.h, against a real server on loopback. Every implementation of the
// interface runs the same tests.
#include "kube/transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "kube/cpprest_transport.h"
#include "kube/curl_transport.h"
#include "tests/support/certificates.h"
#include "tests/support/eventually.h"
#include "tests/support/tls_server.h"

namespace spillway::kube {
namespace {

using namespace std::chrono_literals;
using support::Authority;
using support::Eventually;
using support::TlsServer;
using support::WireConnection;
using support::WireRequest;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Moment = std::chrono::steady_clock;

struct Implementation {
  std::string name;
  Result<std::unique_ptr<Transport>> (*make)(const ClusterConfig&);
};

class TransportTest : public ::testing::TestWithParam<Implementation> {
 protected:
  TransportTest() : authority_("cluster CA"), other_("some other CA") {}

  void Serve(TlsServer::Handler handler, const std::vector<std::string>& names = {"IP:127.0.0.1"}) {
    server_ = std::make_unique<TlsServer>(
        TlsServer::Options{authority_.Issue("apiserver", names), authority_.Pem()},
        std::move(handler));
  }
  [[nodiscard]] ClusterConfig Config(const std::string& host = "127.0.0.1") const {
    ClusterConfig config;
    config.server = "https://" + host + ":" + std::to_string(server_->Port());
    config.ca.data = authority_.Pem();
    return config;
  }
  static std::unique_ptr<Transport> Make(const ClusterConfig& config) {
    auto transport = GetParam().make(config);
    EXPECT_TRUE(transport.ok()) << transport.error().message;
    return *std::move(transport);
  }
  static HttpRequest Get(const std::string& target) {
    HttpRequest request;
    request.target = target;
    return request;
  }
  static HttpRequest Post(const std::string& target, const std::string& body) {
    HttpRequest request = Get(target);
    request.method = "POST";
    request.body = body;
    return request;
  }
  // Sends and expects an error; its message is the answer's.
  static Error SendAndFail(Transport& transport, const HttpRequest& request,
                           const std::stop_token& stop = {}) {
    auto response = transport.Send(request, stop);
    EXPECT_FALSE(response.ok());
    return response ? Error{} : response.error();
  }

  Authority authority_;
  Authority other_;
  std::unique_ptr<TlsServer> server_;
};

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

TEST_P(TransportTest, TrustsTheClustersAuthorityAlone) {
  Serve([](const WireRequest&, WireConnection& wire) { wire.Answer(200, "yes"); });
  ClusterConfig config = Config();
  config.ca.data = other_.Pem();
  const Error error = SendAndFail(*Make(config), Post("/", "{}"));
  EXPECT_EQ(error.code, Code::kUnavailable);  // a write, but it was never sent
  EXPECT_THAT(error.message, AllOf(HasSubstr("certificate verify failed"),
                                   HasSubstr("signed by the cluster's certificate authority")));
}

TEST_P(TransportTest, RefusesACertificateForAnotherName) {
  Serve([](const WireRequest&, WireConnection& wire) { wire.Answer(200, "yes"); },
        {"DNS:elsewhere.example", "IP:127.0.0.2"});
  const Error error = SendAndFail(*Make(Config()), Get("/"));
  EXPECT_EQ(error.code, Code::kUnavailable);
  EXPECT_THAT(error.message, HasSubstr("must name 127.0.0.1"));
}

TEST_P(TransportTest, VerifiesAndAsksForTheTlsServerName) {
  std::string asked;
  Serve(
      [&](const WireRequest&, WireConnection& wire) {
        asked = wire.ServerNameAsked();
        wire.Answer(200, "yes");
      },
      {"DNS:kubernetes.default.svc"});
  ClusterConfig config = Config();
  config.tls_server_name = "kubernetes.default.svc";
  const auto response = Make(config)->Send(Get("/"), {});
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(asked, "kubernetes.default.svc");
}

TEST_P(TransportTest, ShowsItsClientCertificate) {
  std::string name;
  Serve([&](const WireRequest&, WireConnection& wire) {
    name = wire.ClientCommonName();
    wire.Answer(200, "yes");
  });
  ClusterConfig config = Config();
  const auto pair = authority_.Issue("system:admin", {});
  config.client_certificate.data = pair.certificate;
  config.client_key.data = pair.key;
  ASSERT_TRUE(Make(config)->Send(Get("/"), {}).ok());
  EXPECT_EQ(name, "system:admin");
}

TEST_P(TransportTest, ReadsATokenAgainAfterItWasRefused) {
  const std::string file =
      ::testing::TempDir() + "/transport_test_token-" + std::to_string(getpid());
  const auto write = [&](const std::string& token) { std::ofstream(file) << token << "\n"; };
  write("old");
  Serve([&](const WireRequest& request, WireConnection& wire) {
    wire.Answer(request.headers.at("authorization") == "Bearer new" ? 200 : 401, "");
  });
  ClusterConfig config = Config();
  config.token.file = file;
  const auto transport = Make(config);
  EXPECT_EQ(transport->Send(Get("/"), {})->status, 401);
  write("new");
  EXPECT_TRUE(Eventually([&] { return transport->Send(Get("/"), {})->status == 200; }));
  EXPECT_EQ(server_->Connections(), 1);
  std::filesystem::remove(file);
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

TEST_P(TransportTest, HoldsTheServerBackWhileTheConsumerIsSlow) {
  constexpr size_t kChunk = 64 << 10;
  constexpr size_t kChunks = 800;  // 50 MiB
  std::atomic<size_t> written = 0;
  Serve([&](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    const std::string chunk(kChunk, 'x');
    for (size_t i = 0; i < kChunks && wire.WriteChunk(chunk); ++i) written += kChunk;
    wire.WriteChunk("");
  });
  std::atomic<bool> go = false;
  size_t received = 0;
  std::jthread releaser([&] {
    // The sockets' buffers fill up, then the server stands still.
    size_t last = 0;
    EXPECT_TRUE(Eventually([&] {
      const size_t before = std::exchange(last, written.load());
      std::this_thread::sleep_for(200ms);
      return before == last && last > 0;
    }));
    EXPECT_LT(last, size_t{16} << 20);
    go = true;
  });
  const auto response = Make(Config())->Stream(Get("/"),
                                               [&](std::string_view bytes) {
                                                 EXPECT_TRUE(Eventually([&] { return go.load(); }));
                                                 received += bytes.size();
                                                 return true;
                                               },
                                               {});
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(received, kChunk * kChunks);
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
    while (wire.WriteChunk("drip")) std::this_thread::sleep_for(20ms);
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
  Serve([](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    wire.WriteChunk("one");
    wire.WriteChunk("");
  });
  HttpRequest request = Get("/");
  request.idle_deadline = 100ms;
  const auto response = Make(Config())->Stream(request,
                                               [](std::string_view) {
                                                 std::this_thread::sleep_for(300ms);
                                                 return true;
                                               },
                                               {});
  EXPECT_TRUE(response.ok());
}

TEST_P(TransportTest, TakesNewConnectionsAfterATimeout) {
  std::atomic<bool> silent = false;
  Serve([&](const WireRequest&, WireConnection& wire) {
    if (silent) {
      wire.WaitForPeerToClose();
    } else {
      wire.Answer(200, "");
    }
  });
  const auto transport = Make(Config());
  ASSERT_TRUE(transport->Send(Get("/"), {}).ok());
  silent = true;
  HttpRequest request = Get("/");
  request.deadline = 200ms;
  SendAndFail(*transport, request);
  silent = false;
  ASSERT_TRUE(transport->Send(Get("/"), {}).ok());
  EXPECT_EQ(server_->Connections(), 2);
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
}

TEST_P(TransportTest, EndsItsStreamsWhenItGoes) {
  Serve([](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    wire.WriteChunk("open");
    wire.WaitForPeerToClose();
  });
  auto transport = Make(Config());
  Transport* const raw = transport.get();
  std::atomic<int> open = 0;
  std::atomic<int> cancelled = 0;
  std::vector<std::jthread> threads;
  threads.reserve(10);
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([&] {
      const auto response =
          raw->Stream(Get("/"), [&](std::string_view) { return ++open, true; }, {});
      if (!response && response.error().code == Code::kCancelled) ++cancelled;
    });
  }
  ASSERT_TRUE(Eventually([&] { return open == 10; }));
  const auto start = Moment::now();
  transport.reset();
  EXPECT_LT(Moment::now() - start, 2s);
  threads.clear();
  EXPECT_EQ(cancelled, 10);
  EXPECT_TRUE(Eventually([&] { return server_->OpenConnections() == 0; }));
}

TEST_P(TransportTest, SpeaksPlainHttpWithoutCredentialsOnly) {
  server_ = std::make_unique<TlsServer>(
      TlsServer::Options{},
      [](const WireRequest&, WireConnection& wire) { wire.Answer(200, "plain"); });
  ClusterConfig config;
  config.server = "http://127.0.0.1:" + std::to_string(server_->Port());
  EXPECT_EQ(Make(config)->Send(Get("/"), {})->body, "plain");
  config.token.data = "secret";
  const auto refused = GetParam().make(config);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("credentials go over https only"), Not(HasSubstr("secret"))));
}

TEST_P(TransportTest, RefusesCertificatesItCannotRead) {
  Serve([](const WireRequest&, WireConnection&) {});
  ClusterConfig config = Config();
  config.client_certificate.data = "no PEM";
  config.client_key.data = "no PEM";
  const auto refused = GetParam().make(config);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kInvalid);
  EXPECT_THAT(refused.error().message, HasSubstr("cannot be used"));
}

TEST_P(TransportTest, KeepsNothingOfManyCancelledStreams) {
  Serve([](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    wire.WriteChunk("open");
    wire.WaitForPeerToClose();
  });
  const auto transport = Make(Config());
  for (int i = 0; i < 100; ++i) {
    std::stop_source stop;
    (void)transport->Stream(
        Get("/"), [&](std::string_view) { return stop.request_stop(); }, stop.get_token());
  }
  EXPECT_TRUE(Eventually([&] { return server_->OpenConnections() == 0; }));
}

INSTANTIATE_TEST_SUITE_P(All, TransportTest,
                         ::testing::Values(Implementation{"cpprest", MakeCpprestTransport},
                                           Implementation{"curl", MakeCurlTransport}),
                         [](const auto& implementation) { return implementation.param.name; });

}  // namespace
}  // namespace spillway::kube
