// Faults that only a socket can have, through everything from the reflector to the wire.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "kube/reflector.h"
#include "kube/types/job.h"
#include "tests/kube/transport_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_file.h"

namespace spillway::kube {
namespace {

using namespace std::chrono_literals;
using support::Eventually;
using support::WireConnection;
using support::WireRequest;

class TransportFaults : public TransportTest {};

// Bears silence for a thousandth of the time.
class Hasty final : public Transport {
 public:
  explicit Hasty(Transport& behind) : behind_(behind) {}
  Result<HttpResponse> Send(const HttpRequest& request, const std::stop_token& stop) override {
    return behind_.Send(request, stop);
  }
  Result<HttpResponse> Stream(const HttpRequest& request, const OnBytes& on_bytes,
                              const std::stop_token& stop) override {
    HttpRequest hasty = request;
    hasty.idle_deadline /= 1000;
    return behind_.Stream(hasty, on_bytes, stop);
  }

 private:
  Transport& behind_;
};

std::string Added(const std::string& name, int version) {
  return R"({"type":"ADDED","object":{"kind":"Service","metadata":{"namespace":"ns","name":")" +
         name + R"(","resourceVersion":")" + std::to_string(version) + "\"}}}\n";
}

// A network, or a proxy that goes on acknowledging, swallows all that a watch would bring.
TEST_P(TransportFaults, AWatchThatIsSwallowedIsResumedWithoutAList) {
  for (const bool acknowledges : {true, false}) {
    SCOPED_TRACE(acknowledges);
    std::atomic<int> lists = 0;
    std::atomic<int> watches = 0;
    std::atomic<bool> resumed = false;
    std::atomic<bool> over = false;
    Serve([&](const WireRequest& request, WireConnection& wire) {
      if (request.target.find("watch=true") == std::string::npos) {
        ++lists;
        wire.Answer(200, R"({"kind":"ServiceList","metadata":{"resourceVersion":"9"},"items":[]})");
        return;
      }
      const int watch = ++watches;
      wire.StartChunked();
      if (watch == 1) {
        wire.WriteChunk(Added("before", 11));
        if (!acknowledges) wire.FallSilent();
      } else {
        resumed = request.target.find("resourceVersion=11") != std::string::npos;
        wire.WriteChunk(Added("after", 12));
      }
      if (acknowledges) {
        wire.WaitForPeerToClose();
      } else {
        EXPECT_TRUE(Eventually([&] { return over.load(); }));
      }
    });
    const auto transport = Make(Config());
    Hasty hasty(*transport);
    SystemClock clock;
    Log log(LogLevel::kError, true);
    Client client(hasty, clock, {.user_agent = "test"});
    Store<MetaOnly> store([] {});
    StoreSink<MetaOnly> sink(store, DecodeMetaOnly);
    std::jthread thread([&](const std::stop_token& stop) {
      Reflector(client, clock, log, sink, {.resource = ServiceResource()}).Run(stop);
    });
    EXPECT_TRUE(Eventually([&] { return store.size() == 2; }));
    EXPECT_EQ(lists, 1);
    EXPECT_TRUE(resumed);
    over = true;
    thread.request_stop();
    thread.join();
    server_.reset();  // before what its handler looks at
  }
}

TEST_P(TransportFaults, ACertificateThatIsReplacedUnderLoadFailsNoRequest) {
  const support::TempFile certificate("");
  const support::TempFile key("");
  const auto show = [&](const std::string& name) {
    const auto pair = authority_.Issue(name, {});
    certificate.Write(pair.certificate);
    key.Write(pair.key);
  };
  show("old");
  std::atomic<bool> refuse = false;
  std::atomic<int> as_new = 0;
  Serve([&](const WireRequest&, WireConnection& wire) {
    if (wire.ClientCommonName() == "new") ++as_new;
    wire.Answer(refuse.exchange(false) ? 401 : 200, "");
  });
  ClusterConfig config = Config();
  config.client_certificate.file = certificate.path();
  config.client_key.file = key.path();
  const auto transport = Make(config);
  ASSERT_EQ(transport->Send(Get("/"), {})->status, 200);
  std::atomic<bool> done = false;
  std::atomic<int> failed = 0;
  std::atomic<int> refused = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!done) {
        const auto response = transport->Send(Get("/"), {});
        if (!response) ++failed;
        if (response && response->status == 401) ++refused;
        std::this_thread::sleep_for(5ms);  // so often, not as fast as it goes
      }
    });
  }
  show("new");
  refuse = true;  // once: a sign to look again
  EXPECT_TRUE(Eventually([&] { return as_new > 100; }));
  done = true;
  threads.clear();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(refused, 1);
}

INSTANTIATE_TEST_SUITE_P(All, TransportFaults, Implementations(), NameOf);

}  // namespace
}  // namespace spillway::kube
