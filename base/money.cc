#include "base/money.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace spillway {
namespace {

__extension__ using Wide = __int128;  // both our compilers have it

int64_t Saturate(Wide value) {
  constexpr Wide kMax = std::numeric_limits<int64_t>::max();
  return static_cast<int64_t>(std::clamp(value, -kMax, kMax));
}

bool AllDigits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Result<Money> Money::Parse(std::string_view text) {
  const size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view decimals =
      point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  const bool dangling = point != std::string_view::npos && decimals.empty();
  if (whole.empty() || whole.size() > 12 || decimals.size() > 6 || dangling || !AllDigits(whole) ||
      !AllDigits(decimals)) {
    return Error{Code::kInvalid,
                 fmt::format("\"{}\" is no amount of money; write for example 32.77", text)};
  }
  int64_t micros = 0;
  for (const char c : whole) micros = micros * 10 + (c - '0');
  for (size_t i = 0; i < 6; ++i) {
    micros = micros * 10 + (i < decimals.size() ? decimals[i] - '0' : 0);
  }
  return Money(micros);
}

std::string Money::Format() const {
  const int64_t size = micros_ < 0 ? -micros_ : micros_;
  // Without a format: of many pools the price is said in every plan.
  const std::string decimals = std::to_string(size % 1'000'000);
  std::string text = micros_ < 0 ? "-" : "";
  text.append(std::to_string(size / 1'000'000)).append(".");
  text.append(6 - decimals.size(), '0').append(decimals);
  const size_t shortest = text.find('.') + 3;
  while (text.size() > shortest && text.back() == '0') text.pop_back();
  return text;
}

Money Money::Share(int64_t part, int64_t whole) const {
  const Wide product = Wide{micros_} * part;
  const Wide half = whole / 2;
  return Money(Saturate((product + (product >= 0 ? half : -half)) / whole));
}

Money operator+(Money a, Money b) { return Money(Saturate(Wide{a.micros_} + Wide{b.micros_})); }

}  // namespace spillway
