// The whole operator before an API server in the process, as a leader.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "operator/assembly.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/held_transport.h"

namespace spillway {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using support::Eventually;

// One object, whose status is to be written.
Json NodeGroup() {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "NodeGroup"},
          {"metadata", {{"name", "home"}}},
          {"spec",
           {{"provider", "OnPrem"},
            {"tier", 0},
            {"selector", {{"matchLabels", {{"group", "home"}}}}},
            {"accelerator", {{"type", "nvidia-a100-80gb"}, {"resource", "nvidia.com/gpu"}}},
            {"capacityType", "Owned"}}}};
}

class LeadingTest : public testing::Test {
 protected:
  LeadingTest() {
    options_.ns = "spillway-system";
    options_.identity = "one";
    options_.listen = "127.0.0.1:0";
    server_.Put(NodeGroup());
  }

  void Start() {
    auto transport = std::make_unique<support::HeldTransport>(server_);
    auto for_lease = std::make_unique<support::HeldTransport>(server_);
    transport_ = transport.get();
    for_lease_ = for_lease.get();
    auto made = Assembly::Make(options_, log_, {std::move(transport), std::move(for_lease)});
    ASSERT_TRUE(made.ok()) << made.error().message;
    assembly_ = *std::move(made);
  }
  // Until the status is under way, which is held up.
  void StartAndHoldTheStatus() {
    Start();
    transport_->Hold("PUT", "/nodegroups/home/status");
    assembly_->Start();
    ASSERT_TRUE(Eventually([this] { return transport_->Waiting() > 0 && Holder() == "one"; }));
  }
  [[nodiscard]] std::string Holder() const {
    const auto lease = server_.Get("leases", "spillway-system", "spillway");
    return lease ? (*lease)["spec"].value("holderIdentity", "") : "nobody yet";
  }
  [[nodiscard]] bool StatusIsWritten() const {
    return server_.Get("nodegroups", "", "home")->contains("status");
  }

  SystemClock clock_;
  Log log_{LogLevel::kError, true};
  support::FakeApiServer server_{clock_};
  Options options_;
  support::HeldTransport* transport_ = nullptr;  // assembly_'s, and so the next
  support::HeldTransport* for_lease_ = nullptr;
  std::unique_ptr<Assembly> assembly_;
};

TEST_F(LeadingTest, ALeaderWithAShortLeaseWrites) {
  options_.lease_duration = 10s;
  options_.renew_deadline = 6s;
  options_.retry_period = 2s;
  Start();
  assembly_->Start();
  EXPECT_TRUE(Eventually([this] { return StatusIsWritten(); }));
  assembly_->Stop();
}

// Here a renewal keeps no deadline: nobody else is left to notice.
TEST_F(LeadingTest, EndsWhenTheLeaseRunsOutThoughTheElectionIsStuck) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        options_.lease_duration = 10s;
        options_.renew_deadline = 6s;
        options_.retry_period = 2s;
        Start();
        for_lease_->Hold("PUT", "/leases/spillway");
        assembly_->Start();
        (void)assembly_->WaitUntilLost({});
        _exit(2);
      },
      testing::ExitedWithCode(1), "the lease ran out before it was renewed; exiting");
}

TEST_F(LeadingTest, GivesTheLeaseBackOnceItsWritesHaveEnded) {
  StartAndHoldTheStatus();
  const std::jthread later([this] {
    std::this_thread::sleep_for(50ms);
    transport_->LetGo();
  });
  assembly_->Stop();
  EXPECT_TRUE(StatusIsWritten());
  EXPECT_EQ(Holder(), "");
}

// It may be done still, by whatever is between us and the API server.
TEST_F(LeadingTest, KeepsTheLeaseWhereAWriteWasCutOff) {
  StartAndHoldTheStatus();
  assembly_->Stop();
  EXPECT_FALSE(StatusIsWritten());
  EXPECT_EQ(Holder(), "one");
}

}  // namespace
}  // namespace spillway
