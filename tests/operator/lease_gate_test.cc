#include "operator/lease_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/scripted_transport.h"

namespace spillway {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr auto kTooLong = 60s;  // longer than the lease is ever good for

// A lease that is held from the start of the clock on, for 12 s.
class LeaseGateTest : public testing::Test {
 protected:
  void Lead() {
    std::stop_source stop;
    ASSERT_TRUE(elector_.Run([&] { stop.request_stop(); }, stop.get_token()).ok());
  }
  // What the log says of a write that takes so long.
  std::string Said(std::chrono::milliseconds deadline) {
    testing::internal::CaptureStderr();
    (void)gate_.Ask(deadline);
    log_.Flush();
    return testing::internal::GetCapturedStderr();
  }

  support::FakeClock clock_;
  Log log_{LogLevel::kWarn, true};
  support::ScriptedTransport transport_{
      [](const kube::HttpRequest& request) -> Result<kube::HttpResponse> {
        if (request.method == "POST") return kube::HttpResponse{201, {}, request.body};
        return kube::HttpResponse{404, {}, "{}"};
      }};
  kube::Client client_{transport_, clock_, {"test", 2, 8s, {}}};
  kube::LeaderElector elector_{
      client_, clock_, log_, {.ns = "ns", .name = "spillway", .identity = "me"}};
  LeaseGate gate_{elector_, clock_, log_, 15s};
};

TEST_F(LeaseGateTest, LetsThroughWhatEndsWithinTheLease) {
  EXPECT_EQ(gate_.Ask(1s).error().code, Code::kCancelled) << "no leader";
  Lead();
  EXPECT_TRUE(gate_.Ask(11s).ok());
  EXPECT_EQ(gate_.Ask(12s).error().code, Code::kCancelled);
}

TEST_F(LeaseGateTest, TellsOnceAMinuteThatNothingIsLetThrough) {
  Lead();
  EXPECT_EQ(Said(kTooLong), "");
  clock_.Advance(14s);
  EXPECT_EQ(Said(kTooLong), "");
  clock_.Advance(1s);
  EXPECT_THAT(Said(kTooLong), HasSubstr(R"("for":"15 s")"));
  clock_.Advance(59s);
  EXPECT_EQ(Said(kTooLong), "");
  clock_.Advance(1s);
  EXPECT_THAT(Said(kTooLong), HasSubstr("nothing is written"));
}

TEST_F(LeaseGateTest, SaysNothingWhereOneWasLetThroughMeanwhile) {
  Lead();
  EXPECT_EQ(Said(kTooLong), "");
  clock_.Advance(10s);
  EXPECT_TRUE(gate_.Ask(1s).ok());
  clock_.Advance(10s);
  EXPECT_EQ(Said(kTooLong), "");
}

TEST_F(LeaseGateTest, SaysNothingOfATimeInWhichNobodyAsked) {
  Lead();
  EXPECT_EQ(Said(kTooLong), "");
  clock_.Advance(61s);
  EXPECT_EQ(Said(kTooLong), "");
}

TEST_F(LeaseGateTest, SaysNothingWithoutTheLease) {
  EXPECT_EQ(Said(kTooLong), "");
  clock_.Advance(20s);
  EXPECT_EQ(Said(kTooLong), "");
}

}  // namespace
}  // namespace spillway
