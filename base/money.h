#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace spillway {

// An amount of the installation's currency in millionths, exact within ±9.2 trillion. The same type
// serves for money per hour: names say which. Sums saturate.
class Money {
 public:
  constexpr Money() = default;
  static constexpr Money FromMicros(int64_t micros) { return Money(micros); }

  // A decimal string such as "32.77", "0", "5000": no sign, no exponent, at most 6 decimals,
  // at most 12 digits before the point.
  static Result<Money> Parse(std::string_view text);

  [[nodiscard]] constexpr int64_t micros() const { return micros_; }
  [[nodiscard]] double Float() const { return static_cast<double>(micros_) / 1e6; }  // for metrics

  // At least two decimals, no more than needed: "32.77", "1310.80", "0.000125".
  [[nodiscard]] std::string Format() const;

  [[nodiscard]] Money Times(int64_t count) const { return Share(count, 1); }
  // this × part ÷ whole, rounded half up. REQUIRES whole > 0.
  [[nodiscard]] Money Share(int64_t part, int64_t whole) const;

  friend Money operator+(Money a, Money b);
  Money& operator+=(Money other) { return *this = *this + other; }
  auto operator<=>(const Money&) const = default;

 private:
  explicit constexpr Money(int64_t micros) : micros_(micros) {}
  int64_t micros_ = 0;
};

}  // namespace spillway
