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

struct Answered {
  const char* method;
  const char* target;
  Result<kube::HttpResponse> answer;
  bool unanswered;
};

TEST(TimedTransport, KnowsForAWhileOfWritesThatMayStillBeDone) {
  const auto status = [](int code) { return kube::HttpResponse{code, {}, "{}"}; };
  const Error unknown{Code::kUnknown, "reset"};
  for (const Answered& one : std::vector<Answered>{
           {"PUT", "/jobs/a", unknown, true},
           {"POST", "/jobs", Error{Code::kCancelled, "cut off"}, true},
           {"PATCH", "/jobs/a", status(504), true},
           {"DELETE", "/jobs/a", status(503), false},
           {"PUT", "/jobs/a", status(409), false},
           {"PUT", "/jobs/a", Error{Code::kUnavailable, "refused"}, false},
           {"GET", "/jobs", Error{Code::kCancelled, "cut off"}, false},
           {"POST", "/pods?dryRun=All&fieldValidation=Strict", unknown, false},
           {"POST", "/apis/batch/v1/namespaces/events/jobs", unknown, true},
           {"PATCH", "/apis/batch/v1/namespaces/lab/jobs/events", unknown, true},
           {"POST", "/apis/events.k8s.io/v1/namespaces/lab/events", unknown, false}}) {
    SCOPED_TRACE(std::string(one.method) + " " + one.target);
    support::FakeClock clock;
    support::ScriptedTransport server([&](const kube::HttpRequest&) { return one.answer; });
    TimedTransport timed(std::make_unique<HeldTransport>(server), clock);
    EXPECT_FALSE(timed.HasUnanswered(1h));
    kube::HttpRequest request;
    request.method = one.method;
    request.target = one.target;
    (void)timed.Send(request, {});
    clock.Advance(15s);
    EXPECT_EQ(timed.HasUnanswered(15s), one.unanswered);
    EXPECT_FALSE(timed.HasUnanswered(14s));
  }
}

}  // namespace
}  // namespace spillway
