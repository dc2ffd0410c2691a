// What a transport bears: the contract of kube/transport.h, part three.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "kube/client.h"
#include "kube/transport.h"
#include "tests/kube/transport_fixture.h"
#include "tests/support/eventually.h"

namespace spillway::kube {
namespace {

using namespace std::chrono_literals;
using support::Eventually;
using support::TlsServer;
using support::WireConnection;
using support::WireRequest;
using ::testing::HasSubstr;
using Moment = std::chrono::steady_clock;

class TransportLimits : public TransportTest {
 protected:
  // Streams that say one word and then nothing.
  void ServeWatches() {
    Serve([](const WireRequest&, WireConnection& wire) {
      wire.StartChunked();
      wire.WriteChunk("open");
      wire.WaitForPeerToClose();
    });
  }
  static size_t OpenFiles() {
    const std::filesystem::directory_iterator files("/proc/self/fd");
    return static_cast<size_t>(std::distance(begin(files), end(files)));
  }
};

TEST_P(TransportLimits, HoldsTheServerBackWhileTheConsumerIsSlow) {
  constexpr size_t kChunk = 64 << 10;
  constexpr size_t kChunks = 800;  // 50 MiB
  std::atomic<size_t> written = 0;
  std::atomic<WireConnection*> serving = nullptr;
  Serve([&](const WireRequest&, WireConnection& wire) {
    serving = &wire;
    wire.StartChunked();
    const std::string chunk(kChunk, 'x');
    for (size_t i = 0; i < kChunks && wire.WriteChunk(chunk); ++i) written += kChunk;
    wire.WriteChunk("");
  });
  size_t received = 0;
  const auto slow = [&](std::string_view bytes) {
    // Goes on once the server has stood still for a while.
    int still = 0;
    if (received == 0) {
      EXPECT_TRUE(Eventually([&] {
        still = serving.load()->HeldBack() ? still + 1 : 0;
        return still > 50 || written == kChunk * kChunks;
      }));
      EXPECT_LT(written, size_t{16} << 20);
    }
    received += bytes.size();
    return true;
  };
  const auto response = Make(Config())->Stream(Get("/"), slow, {});
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(received, kChunk * kChunks);
}

// A minute; SPILLWAY_IDLE_SECONDS makes it longer.
TEST_P(TransportLimits, KeepsAnIdleWatch) {
  const char* given = std::getenv("SPILLWAY_IDLE_SECONDS");
  const std::chrono::seconds idle(given == nullptr ? 60 : std::atoi(given));
  Serve([&](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    wire.WriteChunk("first ");
    EXPECT_FALSE(wire.PeerStirsWithin(idle));
    wire.WriteChunk("last");
    wire.WriteChunk("");
  });
  HttpRequest request = Get("/");
  request.deadline = idle + 60s;
  std::string got;
  const auto response = Make(Config())->Stream(request,
                                               [&](std::string_view bytes) {
                                                 got += bytes;
                                                 return true;
                                               },
                                               {});
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(got, "first last");
}

TEST_P(TransportLimits, FindsOutThatAWatchsServerFellSilent) {
  std::atomic<bool> over = false;
  Serve([&](const WireRequest&, WireConnection& wire) {
    wire.StartChunked();
    wire.WriteChunk("open");
    wire.FallSilent();
    EXPECT_TRUE(Eventually([&] { return over.load(); }, 90s));
  });
  HttpRequest request = Get("/");
  request.deadline = 90s;
  const auto start = Moment::now();
  const auto response = Make(Config())->Stream(request, [](std::string_view) { return true; }, {});
  over = true;
  server_.reset();  // before what its handler looks at
  EXPECT_FALSE(response.ok());
  EXPECT_THAT(response.error().message, HasSubstr("timed out"));
  EXPECT_GT(Moment::now() - start, 40s);  // a network may hiccup
  EXPECT_LT(Moment::now() - start, 60s);
}

TEST_P(TransportLimits, KeepsTheDeadlineBeforeAServerThatFellSilent) {
  std::atomic<bool> over = false;
  Serve([&](const WireRequest& request, WireConnection& wire) {
    wire.Answer(200, "");
    if (request.target != "/last") return;
    wire.FallSilent();
    EXPECT_TRUE(Eventually([&] { return over.load(); }));
  });
  const auto transport = Make(Config());
  ASSERT_TRUE(transport->Send(Get("/last"), {}).ok());
  HttpRequest request = Get("/");
  request.deadline = 500ms;
  const auto start = Moment::now();
  EXPECT_EQ(SendAndFail(*transport, request).code, Code::kUnavailable);
  EXPECT_LT(Moment::now() - start, 2s);
  EXPECT_TRUE(transport->Send(Get("/"), {}).ok());  // over a new connection
  over = true;
  server_.reset();  // before what its handler looks at
}

TEST_P(TransportLimits, KeepsNothingOfTenThousandCancelledStreams) {
  ServeWatches();
  const auto transport = Make(Config());
  const auto cancel = [&](int times) {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = thread; i < times; i += 4) {
          std::stop_source stop;
          std::jthread other;
          // After the first byte, by the consumer's thread or another; or at any moment before it.
          if (i % 3 == 0) other = std::jthread([&] { stop.request_stop(); });
          const auto response = transport->Stream(
              Get("/"),
              [&](std::string_view) {
                if (i % 3 == 1) other = std::jthread([&] { stop.request_stop(); });
                return i % 3 == 2 ? stop.request_stop() : true;
              },
              stop.get_token());
          EXPECT_EQ(response.ok() ? Code::kCancelled : response.error().code, Code::kCancelled);
        }
      });
    }
  };
  cancel(100);
  ASSERT_TRUE(Eventually([&] { return server_->OpenConnections() == 0; }));
  const size_t files = OpenFiles();
  cancel(10'000);
  EXPECT_TRUE(Eventually([&] { return server_->OpenConnections() == 0; }));
  EXPECT_TRUE(Eventually([&] { return OpenFiles() <= files + 8; })) << OpenFiles();
}

TEST_P(TransportLimits, NoAnswerThatIsCutAnywhereCounts) {
  struct Way {
    std::string answer;
    bool goodbye;
  };
  const std::string chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  const std::string sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde";
  for (const Way& way :
       {Way{chunked, false}, Way{chunked, true}, Way{sized, false}, Way{sized, true}}) {
    std::atomic<size_t> sent = 0;
    Serve([&](const WireRequest&, WireConnection& wire) {
      if (sent > 0) wire.Write(way.answer.substr(0, sent));
      way.goodbye ? wire.SayGoodbye() : wire.Drop(false);
    });
    const auto transport = Make(Config());
    for (size_t bytes = 0; bytes <= way.answer.size(); ++bytes) {
      sent = bytes;
      std::string got;
      const auto streamed = transport->Stream(Get("/"),
                                              [&](std::string_view piece) {
                                                got += piece;
                                                return true;
                                              },
                                              {});
      const auto answered = transport->Send(Get("/"), {});
      // The empty chunk says that there is no more; the blank line after it adds nothing.
      const bool may = bytes >= way.answer.size() - (way.answer == chunked ? 2 : 0);
      const bool must = bytes == way.answer.size();
      for (const bool ok : {streamed.ok(), answered.ok()}) {
        EXPECT_TRUE(ok ? may : !must) << way.answer.substr(0, bytes);
      }
      EXPECT_TRUE(std::string_view("abcde").starts_with(got)) << got;
      EXPECT_TRUE(!streamed.ok() || got == "abcde") << got;
    }
    server_.reset();
  }
}

TEST_P(TransportLimits, AHundredRequestsKeepTheCapOfRequestsInFlight) {
  std::atomic<int> now = 0;
  std::atomic<int> most = 0;
  Serve([&](const WireRequest&, WireConnection& wire) {
    const int here = ++now;
    for (int seen = most; seen < here && !most.compare_exchange_weak(seen, here);) {
    }
    EXPECT_TRUE(Eventually([&] { return most >= 8; }));  // as many as may are under way together
    --now;
    wire.Answer(200, "{}");
  });
  const auto transport = Make(Config());
  SystemClock clock;
  Client::Options options;
  options.in_flight = 8;
  Client client(*transport, clock, options);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back([&] { EXPECT_TRUE(client.GetPath("/version", {}).ok()); });
  }
  threads.clear();
  EXPECT_EQ(most, 8);
  EXPECT_LE(server_->Connections(), 16);
}

// Fifty watches on a transport, all open.
class Watches {
 public:
  Watches(Transport& transport, const HttpRequest& request) {
    for (int i = 0; i < kCount; ++i) {
      threads_.emplace_back([this, &transport, request] {
        const auto response = transport.Stream(request,
                                               [this, first = true](std::string_view) mutable {
                                                 open_ += std::exchange(first, false) ? 1 : 0;
                                                 return true;
                                               },
                                               {});
        if (!response && response.error().code == Code::kCancelled) ++cancelled_;
      });
    }
    EXPECT_TRUE(Eventually([this] { return open_ == kCount; }));
    const auto since = Moment::now();  // by then no timer of their connecting is left to wake them
    Eventually([&] { return Moment::now() - since > 400ms; });
  }
  [[nodiscard]] int Open() const { return open_; }
  // How many were cancelled; waits for all.
  int Cancelled() {
    threads_.clear();
    return cancelled_;
  }
  static constexpr int kCount = 50;

 private:
  std::atomic<int> open_ = 0;
  std::atomic<int> cancelled_ = 0;
  std::vector<std::jthread> threads_;
};

TEST_P(TransportLimits, EndsFiftyWatchesWhenItGoes) {
  ServeWatches();
  auto transport = Make(Config());
  Watches watches(*transport, Get("/"));
  const auto start = Moment::now();
  transport.reset();
  EXPECT_LT(Moment::now() - start, 3s);
  EXPECT_EQ(watches.Cancelled(), Watches::kCount);
  EXPECT_TRUE(Eventually([&] { return server_->OpenConnections() == 0; }));
}

// As one does that has lost its lease.
TEST_P(TransportLimits, TheProgramMayEndAtOnceWithFiftyWatchesOpen) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ServeWatches();
        auto transport = Make(Config());
        const Watches watches(*transport, Get("/"));
        std::_Exit(watches.Open() == Watches::kCount ? 7 : 1);
      },
      ::testing::ExitedWithCode(7), "");
}

TEST_P(TransportLimits, TheProgramMayExitWithFiftyWatchesOpen) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ServeWatches();
        auto transport = Make(Config());
        Watches watches(*transport, Get("/"));
        transport.reset();
        std::_Exit(watches.Cancelled() == Watches::kCount ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

INSTANTIATE_TEST_SUITE_P(All, TransportLimits, Implementations(), NameOf);

}  // namespace
}  // namespace spillway::kube
