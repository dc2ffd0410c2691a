// The whole operator before an API server in the process, as a leader.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

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
    transport_ = transport.get();
    auto made = Assembly::Make(
        options_, log_, {std::move(transport), std::make_unique<support::HeldTransport>(server_)});
    ASSERT_TRUE(made.ok()) << made.error().message;
    assembly_ = *std::move(made);
  }
  [[nodiscard]] bool StatusIsWritten() const {
    return server_.Get("nodegroups", "", "home")->contains("status");
  }

  SystemClock clock_;
  Log log_{LogLevel::kError, true};
  support::FakeApiServer server_{clock_};
  Options options_;
  support::HeldTransport* transport_ = nullptr;  // assembly_'s
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

}  // namespace
}  // namespace spillway
