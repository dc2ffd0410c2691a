#include "operator/timed_transport.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/eventually.h"
#include "tests/support/fake_clock.h"
#include "tests/support/held_transport.h"
#include "tests/support/scripted_transport.h"

namespace spillway {
namespace {

using namespace std::chrono_literals;
using support::Eventually;
using support::HeldTransport;

TEST(TimedTransport, KnowsHowLongTheOldestRequestHasBeenUnderWay) {
  support::FakeClock clock;
  support::ScriptedTransport server(
      [](const kube::HttpRequest&) { return kube::HttpResponse{200, {}, "{}"}; });
  auto owned = std::make_unique<HeldTransport>(server);
  HeldTransport& held = *owned;
  TimedTransport timed(std::move(owned), clock);
  held.Hold("PUT", "/first");
  held.Hold("PUT", "/second");
  const auto put = [&](const std::string& target) {
    kube::HttpRequest request;
    request.method = "PUT";
    request.target = target;
    EXPECT_TRUE(timed.Send(request, {}).ok());
  };
  EXPECT_EQ(timed.Longest(), 0s);
  std::jthread first([&] { put("/first"); });
  ASSERT_TRUE(Eventually([&] { return held.Waiting() == 1; }));
  clock.Advance(100s);
  std::jthread second([&] { put("/second"); });
  ASSERT_TRUE(Eventually([&] { return held.Waiting() == 2; }));
  put("/other");
  clock.Advance(20s);
  EXPECT_EQ(timed.Longest(), 120s);
  held.LetGo();
  first.join();
  second.join();
  EXPECT_EQ(timed.Longest(), 0s);
}

}  // namespace
}  // namespace spillway
