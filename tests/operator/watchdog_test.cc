#include "operator/watchdog.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>  // unshare has no C++ spelling
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/eventually.h"
#include "tests/support/fake_clock.h"
#include "tests/support/scripted_transport.h"

namespace spillway {
namespace {

using namespace std::chrono_literals;

// Counts how often it is asked.
class CountingClock final : public Clock {
 public:
  [[nodiscard]] std::chrono::sys_time<std::chrono::milliseconds> NowMillis() const override {
    return clock.NowMillis();
  }
  [[nodiscard]] std::chrono::nanoseconds Elapsed() const override {
    ++asked;
    return clock.Elapsed();
  }
  support::FakeClock clock;
  mutable std::atomic<int> asked = 0;
};

// A lease that is held from the start of the clock on, for 12 s.
struct Held {
  Held() {
    std::stop_source stop;
    EXPECT_TRUE(elector.Run([&] { stop.request_stop(); }, stop.get_token()).ok());
    EXPECT_EQ(elector.ValidUntil(), 12s);
  }
  CountingClock clock;
  Log log{LogLevel::kError, true};
  support::ScriptedTransport transport{
      [](const kube::HttpRequest& request) -> Result<kube::HttpResponse> {
        if (request.method == "POST") return kube::HttpResponse{201, {}, request.body};
        return kube::HttpResponse{404, {}, "{}"};
      }};
  kube::Client client{transport, clock, {.user_agent = "test"}};
  kube::LeaderElector elector{
      client, clock, log, {.ns = "ns", .name = "spillway", .identity = "me"}};
};

TEST(Watchdog, EndsTheProcessWhenTheLeaseRunsOut) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        Held held;
        held.clock.clock.Advance(12s);
        Watchdog(held.elector, held.clock, {});
      },
      testing::ExitedWithCode(1), "the lease ran out before it was renewed; exiting");
}

// Makes standard error a pipe that is full and that nobody reads.
void StallStandardError() {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_NONBLOCK), 0);
  const std::array<char, 4096> page{};
  while (write(ends[1], page.data(), page.size()) > 0) {
  }
  while (write(ends[1], page.data(), 1) > 0) {
  }
  ASSERT_EQ(fcntl(ends[1], F_SETFL, 0), 0);  // who writes now waits
  ASSERT_EQ(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
}

TEST(Watchdog, EndsTheProcessEvenIfNobodyReadsItsLastWords) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        Held held;
        StallStandardError();
        held.clock.clock.Advance(12s);
        Watchdog(held.elector, held.clock, {});
      },
      testing::ExitedWithCode(1), "");
}

// As it is in a container.
TEST(Watchdog, EndsTheProcessAlsoWhereItIsTheFirstOne) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ASSERT_EQ(unshare(CLONE_NEWUSER | CLONE_NEWPID), 0);
        const pid_t first = fork();
        if (first == 0) {
          ASSERT_EQ(getpid(), 1);
          Held held;
          StallStandardError();
          held.clock.clock.Advance(12s);
          Watchdog(held.elector, held.clock, {});
        }
        int status = 0;
        ASSERT_EQ(waitpid(first, &status, 0), first);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
      },
      testing::ExitedWithCode(1), "");
}

TEST(Watchdog, LeavesALeaseThatIsGoodAlone) {
  Held held;
  held.clock.clock.Advance(11'999ms);
  const int before = held.clock.asked;
  std::jthread watching(
      [&](const std::stop_token& stop) { Watchdog(held.elector, held.clock, stop); });
  EXPECT_TRUE(support::Eventually([&] { return held.clock.asked > before; }));
}

}  // namespace
}  // namespace spillway
