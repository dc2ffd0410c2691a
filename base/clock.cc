#include "base/clock.h"

#include <fmt/format.h>
#include <time.h>  // clock_gettime: CLOCK_BOOTTIME has no std::chrono clock

#include <algorithm>
#include <charconv>

namespace spillway {
namespace {

namespace chrono = std::chrono;

// Years have four digits.
constexpr chrono::sys_days kFirst = chrono::year(0) / 1 / 1;
constexpr chrono::sys_days kEnd = chrono::year(10'000) / 1 / 1;

// Reads exactly `count` digits at `at`, moving it on.
std::optional<int> Digits(std::string_view text, size_t& at, size_t count) {
  if (at + count > text.size()) return std::nullopt;
  int value = 0;
  const char* first = text.data() + at;
  const auto [end, error] = std::from_chars(first, first + count, value);
  if (error != std::errc() || end != first + count || text[at] == '-') return std::nullopt;
  at += count;
  return value;
}

bool Skip(std::string_view text, size_t& at, char expected) {
  if (at >= text.size() || text[at] != expected) return false;
  ++at;
  return true;
}

// "Z" or "+hh:mm" or "-hh:mm" up to the end of the text.
std::optional<chrono::minutes> Offset(std::string_view text, size_t at) {
  if (text.substr(at) == "Z" || text.substr(at) == "z") return chrono::minutes(0);
  if (at >= text.size() || (text[at] != '+' && text[at] != '-')) return std::nullopt;
  const int sign = text[at++] == '-' ? -1 : 1;
  const auto hours = Digits(text, at, 2);
  if (!hours || !Skip(text, at, ':')) return std::nullopt;
  const auto minutes = Digits(text, at, 2);
  if (!minutes || at != text.size()) return std::nullopt;
  return sign * (chrono::hours(*hours) + chrono::minutes(*minutes));
}

std::optional<Time> Parse(std::string_view text) {
  size_t at = 0;
  const auto year = Digits(text, at, 4);
  if (!year || !Skip(text, at, '-')) return std::nullopt;
  const auto month = Digits(text, at, 2);
  if (!month || !Skip(text, at, '-')) return std::nullopt;
  const auto day = Digits(text, at, 2);
  if (!day || !Skip(text, at, 'T')) return std::nullopt;
  const auto hour = Digits(text, at, 2);
  if (!hour || !Skip(text, at, ':')) return std::nullopt;
  const auto minute = Digits(text, at, 2);
  if (!minute || !Skip(text, at, ':')) return std::nullopt;
  const auto second = Digits(text, at, 2);
  if (!second) return std::nullopt;
  if (Skip(text, at, '.')) {
    const size_t first = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    if (at == first) return std::nullopt;
  }
  const auto offset = Offset(text, at);
  const chrono::year_month_day date{chrono::year(*year),
                                    chrono::month(static_cast<unsigned>(*month)),
                                    chrono::day(static_cast<unsigned>(*day))};
  if (!offset || !date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  const Time time = chrono::sys_days(date) + chrono::hours(*hour) + chrono::minutes(*minute) +
                    chrono::seconds(*second) - *offset;
  // In UTC it may be of a year that has no four digits.
  if (time < kFirst || time >= kEnd) return std::nullopt;
  return time;
}

// The last `digits` digits of a number that is not negative. By hand, as plans are full of moments.
void Write(int number, int digits, size_t at, std::string& text) {
  for (int i = digits - 1; i >= 0; --i, number /= 10) {
    text[at + static_cast<size_t>(i)] = static_cast<char>('0' + number % 10);
  }
}

// A time of a year that has no four digits is written as the nearest one of such a year.
std::string FormatDateAndTime(Time time) {
  time = std::clamp(time, Time(kFirst), Time(kEnd) - chrono::seconds(1));
  const auto days = chrono::floor<chrono::days>(time);
  const chrono::year_month_day date{days};
  const chrono::hh_mm_ss clock{time - days};
  std::string text = "0000-00-00T00:00:00";
  Write(static_cast<int>(date.year()), 4, 0, text);
  Write(static_cast<int>(static_cast<unsigned>(date.month())), 2, 5, text);
  Write(static_cast<int>(static_cast<unsigned>(date.day())), 2, 8, text);
  Write(static_cast<int>(clock.hours().count()), 2, 11, text);
  Write(static_cast<int>(clock.minutes().count()), 2, 14, text);
  Write(static_cast<int>(clock.seconds().count()), 2, 17, text);
  return text;
}

}  // namespace

std::string FormatTime(Time time) { return FormatDateAndTime(time) + "Z"; }

std::string FormatMicroTime(chrono::sys_time<chrono::microseconds> time) {
  const auto whole = chrono::floor<chrono::seconds>(time);
  return fmt::format("{}.{:06}Z", FormatDateAndTime(whole), (time - whole).count());
}

Result<Time> ParseTime(std::string_view text) {
  if (const auto time = Parse(text)) return *time;
  return Error{Code::kInvalid, fmt::format("\"{}\" is no RFC 3339 time", text)};
}

chrono::sys_time<chrono::milliseconds> SystemClock::NowMillis() const {
  return chrono::floor<chrono::milliseconds>(chrono::system_clock::now());
}

chrono::nanoseconds SystemClock::Elapsed() const {
  timespec now{};
  if (clock_gettime(CLOCK_BOOTTIME, &now) != 0) std::abort();
  return chrono::seconds(now.tv_sec) + chrono::nanoseconds(now.tv_nsec);
}

}  // namespace spillway
