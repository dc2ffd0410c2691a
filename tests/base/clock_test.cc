#include "base/clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace spillway {
namespace {

using namespace std::chrono_literals;
using std::chrono::sys_days;

TEST(TimeTest, PrintsAsTheApiServerWrites) {
  EXPECT_EQ(FormatTime(sys_days(2026y / 11 / 24) + 1h + 52min + 3s), "2026-11-24T01:52:03Z");
  EXPECT_EQ(FormatTime(Time{}), "1970-01-01T00:00:00Z");
  EXPECT_EQ(FormatTime(sys_days(2024y / 2 / 29) + 23h + 59min + 59s), "2024-02-29T23:59:59Z");
  EXPECT_EQ(FormatTime(sys_days(1969y / 12 / 31) + 23h + 59min + 59s), "1969-12-31T23:59:59Z");
  EXPECT_EQ(FormatTime(sys_days(987y / 6 / 5)), "0987-06-05T00:00:00Z");
}

TEST(TimeTest, AYearWithoutFourDigitsIsWrittenAsTheNearestOfFour) {
  EXPECT_EQ(FormatTime(sys_days(9999y / 12 / 31) + 23h + 59min + 59s), "9999-12-31T23:59:59Z");
  EXPECT_EQ(FormatTime(sys_days(10'000y / 1 / 1)), "9999-12-31T23:59:59Z");
  EXPECT_EQ(FormatTime(sys_days(-1y / 12 / 31)), "0000-01-01T00:00:00Z");
}

TEST(TimeTest, MicroTimeHasSixDecimals) {
  EXPECT_EQ(FormatMicroTime(sys_days(2026y / 11 / 24) + 1h + 123456us),
            "2026-11-24T01:00:00.123456Z");
  EXPECT_EQ(FormatMicroTime(sys_days(2026y / 11 / 24)), "2026-11-24T00:00:00.000000Z");
  EXPECT_EQ(FormatMicroTime(sys_days(2026y / 11 / 24) + 7us), "2026-11-24T00:00:00.000007Z");
}

TEST(TimeTest, ReadsWhatTheApiServerWrites) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"2026-11-24T01:52:03Z", "2026-11-24T01:52:03Z"},
      {"2026-11-24T01:52:03z", "2026-11-24T01:52:03Z"},
      {"2026-11-24T01:52:03.999999Z", "2026-11-24T01:52:03Z"},  // cut, not rounded
      {"2026-11-24T01:52:03.1Z", "2026-11-24T01:52:03Z"},
      {"2026-11-24T01:52:03+01:00", "2026-11-24T00:52:03Z"},
      {"2026-11-24T01:52:03-05:30", "2026-11-24T07:22:03Z"},
      {"2026-11-24T00:30:00+01:00", "2026-11-23T23:30:00Z"},
      {"2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"},
      {"2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"},  // a leap second is the next one
      {"0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"},
      {"9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"},
  };
  for (const auto& [text, time] : cases) {
    SCOPED_TRACE(text);
    const auto parsed = ParseTime(text);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    EXPECT_EQ(FormatTime(*parsed), time);
  }
}

TEST(TimeTest, RefusesAnythingElseByItsText) {
  for (const char* text : {"",
                           "now",
                           "2026-11-24",
                           "2026-11-24T01:52Z",
                           "2026-11-24 01:52:03Z",
                           "2026-11-24T01:52:03",
                           "2026-13-01T00:00:00Z",
                           "2026-02-29T00:00:00Z",
                           "2026-11-24T24:00:00Z",
                           "2026-11-24T01:60:00Z",
                           "2026-11-24T01:52:61Z",
                           "2026-11-24T01:52:03ZZ",
                           "2026-11-24T01:52:03+0100",
                           "2026-11-24T01:52:03+01",
                           "-026-11-24T01:52:03Z",
                           "2026--1-24T01:52:03Z",
                           "20261-1-24T01:52:03Z",
                           "2026-11-24T01:52:03.Z5",
                           "2026-11-24T01:52:03.",
                           "2026-11-24T01:52:03.Z",
                           "0000-01-01T00:00:00+00:01",
                           "9999-12-31T23:59:60Z",
                           "9999-12-31T23:59:59-00:01"}) {
    SCOPED_TRACE(text);
    const auto parsed = ParseTime(text);
    ASSERT_FALSE(parsed.ok()) << FormatTime(*parsed);
    EXPECT_EQ(parsed.error().code, Code::kInvalid);
    EXPECT_THAT(parsed.error().message, ::testing::HasSubstr(std::string("\"") + text + "\""));
  }
}

TEST(SystemClockTest, ElapsedNeverGoesBackAndNowIsWholeSeconds) {
  const SystemClock clock;
  const auto first = clock.Elapsed();
  EXPECT_GT(first, 0ns);
  EXPECT_GE(clock.Elapsed(), first);
  EXPECT_EQ(clock.Now(), std::chrono::floor<std::chrono::seconds>(clock.Now()));
  EXPECT_GT(clock.Now(), sys_days(2026y / 1 / 1));
}

// A machine that has slept for a thousand seconds, as far as this process can tell: time that only
// runs while it is awake would not show them.
TEST(SystemClockTest, ElapsedCountsTheTimeThatTheMachineSlept) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ASSERT_EQ(unshare(CLONE_NEWUSER | CLONE_NEWTIME), 0);
        std::ofstream("/proc/self/timens_offsets") << "boottime 1000 0";
        const pid_t child = fork();
        if (child == 0) {
          timespec awake{};
          clock_gettime(CLOCK_MONOTONIC, &awake);
          const auto slept = SystemClock().Elapsed() - std::chrono::seconds(awake.tv_sec);
          _exit(slept > std::chrono::seconds(900) ? 0 : 1);
        }
        int status = 1;
        waitpid(child, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace spillway
