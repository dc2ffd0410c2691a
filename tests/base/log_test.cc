#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace spillway {
namespace {

using ::testing::IsEmpty;
using ::testing::MatchesRegex;

std::string Written(LogLevel least, bool json, const std::function<void(Log&)>& write) {
  ::testing::internal::CaptureStderr();
  {
    Log log(least, json);
    write(log);
    log.Flush();
  }
  return ::testing::internal::GetCapturedStderr();
}

TEST(LogTest, JsonIsOneObjectALineWithNamedValues) {
  const std::string line = Written(LogLevel::kInfo, true, [](Log& log) {
    log.Info("planned", {{"pools", 3}, {"took_ms", 1.5}, {"dry", true}, {"pool", "team/opt"}});
  });
  EXPECT_THAT(
      line, MatchesRegex("\\{\"ts\":\"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{6}Z\",\"level\":"
                         "\"info\",\"msg\":\"planned\",\"pools\":3,\"took_ms\":1\\.5[0-9]*,"
                         "\"dry\":true,\"pool\":\"team/opt\"\\}\n"));
}

TEST(LogTest, TextIsTheSameForPeople) {
  const std::string line = Written(LogLevel::kInfo, false, [](Log& log) {
    log.Warn("listening", {{"address", "0.0.0.0:8080"}});
  });
  EXPECT_THAT(line, MatchesRegex("[0-9T:.Z-]+ warn  listening address=\"0\\.0\\.0\\.0:8080\"\n"));
}

TEST(LogTest, WhatPeopleWroteCannotBreakALine) {
  const std::string line = Written(
      LogLevel::kInfo, true, [](Log& log) { log.Info("m", {{"text", "a\"b\\c\nd\te\x01 {}"}}); });
  EXPECT_THAT(line, ::testing::HasSubstr(R"("text":"a\"b\\c\u000ad\u0009e\u0001 {}"})"));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST(LogTest, LeavesOutWhatIsBelowItsLevel) {
  const auto all = [](Log& log) {
    log.Debug("d");
    log.Info("i");
    log.Warn("w");
    log.Error("e");
  };
  const auto lines = [&](LogLevel least) {
    const std::string text = Written(least, true, all);
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_EQ(lines(LogLevel::kDebug), 4);
  EXPECT_EQ(lines(LogLevel::kInfo), 3);
  EXPECT_EQ(lines(LogLevel::kWarn), 2);
  EXPECT_EQ(lines(LogLevel::kError), 1);
  EXPECT_THAT(Written(LogLevel::kError, true, [](Log& log) { log.Warn("w"); }), IsEmpty());
}

}  // namespace
}  // namespace spillway
