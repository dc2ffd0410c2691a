#include "controllers/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spillway::controllers {
namespace {

using testing::HasSubstr;

TEST(Settings, AreWhatTheFileSays) {
  const auto settings = ParseSettings(
      "mode: Observe\ncurrency: EUR\ndefaultLimits:\n- {type: nvidia-a100-80gb, limit: 16}\n");
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->mode, Mode::kObserve);
  EXPECT_EQ(settings->currency, "EUR");
  ASSERT_EQ(settings->default_limits.size(), 1U);
  EXPECT_EQ(settings->default_limits[0].limit, 16);
}

TEST(Settings, AnEmptyFileHasTheDefaults) {
  const auto settings = ParseSettings("");
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(*settings, Settings{});
}

TEST(Settings, WrongInputIsOneSentenceWithTheLine) {
  const struct {
    const char* text;
    const char* expected;
  } cases[] = {
      {"mode: Enforce\nmoed: x\n",
       "line 2: moed is not a setting; allowed: currency, defaultLimits, mode"},
      {"mode: enforce\n", "line 1: mode is \"enforce\"; allowed: Enforce, Observe"},
      {"mode: Enforce\nmode: Observe\n", "line 2: mode is given twice"},
      {"currency: usd\n", "currency is \"usd\""},
      {"defaultLimits: 3\n", "defaultLimits wants a list"},
      {"defaultLimits:\n- {type: a, limit: -1}\n", "limit is -1"},
      {"defaultLimits:\n- {type: a}\n", "needs both type and limit"},
      {"defaultLimits:\n- {type: a, limit: 1}\n- {type: a, limit: 2}\n", "names a twice"},
      {"defaultLimits:\n- {type: a, limit: many}\n", "line 2"},
      {"- a\n", "must be a mapping"},
      {"mode: [\n", "line"},
  };
  for (const auto& c : cases) {
    const auto settings = ParseSettings(c.text);
    ASSERT_FALSE(settings.ok()) << c.text;
    EXPECT_EQ(settings.error().code, Code::kInvalid);
    EXPECT_THAT(settings.error().message, HasSubstr(c.expected)) << c.text;
  }
}

}  // namespace
}  // namespace spillway::controllers
