#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "base/guarded.h"

namespace spillway {
namespace {

Result<int> Half(int number) {
  if (number % 2 != 0) return Error{Code::kInvalid, std::to_string(number) + " is odd"};
  return number / 2;
}

TEST(ResultTest, IsAValueOrTheReasonWhyThereIsNone) {
  EXPECT_TRUE(Half(8).ok());
  EXPECT_EQ(*Half(8), 4);
  EXPECT_FALSE(Half(7).ok());
  EXPECT_EQ(Half(7).error().message, "7 is odd");
  EXPECT_EQ(Half(7).error().code, Code::kInvalid);
}

TEST(ResultTest, CarriesWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
  const std::unique_ptr<int> taken = *std::move(result);
  EXPECT_EQ(*taken, 7);
}

TEST(ResultTest, TheValueCanBeChangedInPlace) {
  Result<std::string> result = std::string("a");
  *result += "b";
  EXPECT_EQ(result.value(), "ab");
  EXPECT_EQ(result->size(), 2U);
}

TEST(ResultTest, WhileKeepsTheCodeAndTellsWhatWasAttempted) {
  Error error{Code::kUnavailable, "connection refused"};
  error.reason = "Timeout";
  error.retry_after = std::chrono::seconds(3);
  error.http_status = 503;
  const Error told = Error(error).While("listing pods");
  EXPECT_EQ(told.message, "listing pods: connection refused");
  EXPECT_EQ(told.code, Code::kUnavailable);
  EXPECT_EQ(told.reason, "Timeout");
  EXPECT_EQ(told.retry_after, std::chrono::seconds(3));
  EXPECT_EQ(told.http_status, 503);
}

TEST(ResultDeathTest, AskingForTheOtherThingEndsTheProgram) {
  EXPECT_DEATH((void)Half(7).value(), "");
  EXPECT_DEATH((void)Half(8).error(), "");
}

TEST(CodeNameTest, EachCodeHasOne) {
  EXPECT_STREQ(CodeName(Code::kConflict), "conflict");
  EXPECT_STREQ(CodeName(Code::kExists), "exists");
  EXPECT_STREQ(CodeName(Code::kNotFound), "not found");
  EXPECT_STREQ(CodeName(Code::kGone), "gone");
  EXPECT_STREQ(CodeName(Code::kUnavailable), "unavailable");
  EXPECT_STREQ(CodeName(Code::kUnknown), "unknown outcome");
  EXPECT_STREQ(CodeName(Code::kCancelled), "cancelled");
  EXPECT_STREQ(CodeName(Code::kInvalid), "invalid");
  EXPECT_STREQ(CodeName(Code::kForbidden), "forbidden");
  EXPECT_STREQ(CodeName(Code::kInternal), "internal");
}

TEST(GuardedTest, GivesTheValueUnderItsLockAndTheAnswerBack) {
  Guarded<int> number(40);
  number.With([](int& n) { n += 2; });
  const Guarded<int>& view = number;
  EXPECT_EQ(view.With([](const int& n) { return n; }), 42);
}

}  // namespace
}  // namespace spillway
