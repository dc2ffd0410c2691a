#include "base/clock.h"

#include <fmt/format.h>
#include <time.h>  // clock_gettime: CLOCK_BOOTTIME has no std::chrono clock

#include <charconv>

namespace spillway {
namespace {

namespace chrono = std::chrono;

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
  constexpr chrono::sys_days kFirst = chrono::year(0) / 1 / 1;
  constexpr chrono::sys_days kEnd = chrono::year(10'000) / 1 / 1;
  if (time < kFirst || time >= kEnd) return std::nullopt;
  return time;
}

// REQUIRES that it has no more.
void PutTwoDigits(std::string& text, size_t at, int64_t number) {
  text[at] = static_cast<char>('0' + number / 10);
  text[at + 1] = static_cast<char>('0' + number % 10);
}

// By hand: plans and statuses are full of times.
std::string FormatDateAndTime(Time time) {
  const auto days = chrono::floor<chrono::days>(time);
  const chrono::year_month_day date{days};
  const chrono::hh_mm_ss clock{time - days};
  const int year = static_cast<int>(date.year());
  if (year < 0 || year > 9999) {  // more than four places
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", year,
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  }
  std::string text = "0000-00-00T00:00:00";
  PutTwoDigits(text, 0, year / 100);
  PutTwoDigits(text, 2, year % 100);
  PutTwoDigits(text, 5, static_cast<unsigned>(date.month()));
  PutTwoDigits(text, 8, static_cast<unsigned>(date.day()));
  PutTwoDigits(text, 11, clock.hours().count());
  PutTwoDigits(text, 14, clock.minutes().count());
  PutTwoDigits(text, 17, clock.seconds().count());
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
