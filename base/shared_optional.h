#pragma once

#include <optional>
#include <utility>

#include "base/shared.h"

namespace spillway {

// A value or none, as std::optional has it; copies share its memory until one of them is changed.
// For values that are large, or that are mostly copied and seldom changed. What was moved from has
// none. NOLINTBEGIN(readability-identifier-naming): std::optional's names
template <class T>
class SharedOptional {
 public:
  SharedOptional() = default;
  // NOLINTBEGIN(google-explicit-constructor): stands wherever a std::optional would
  SharedOptional(std::nullopt_t /*none*/) {}
  SharedOptional(T value) : value_(std::optional<T>(std::move(value))) {}
  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] bool has_value() const { return value_.Get().has_value(); }
  explicit operator bool() const { return has_value(); }

  // REQUIRES that there is one.
  const T& operator*() const { return *value_.Get(); }
  const T* operator->() const { return &**this; }
  // For changes, which no copy sees: what others share is copied first, so that whoever only reads
  // should do so through what is const. Good until this is next copied.
  T& operator*() { return *value_.Own(); }
  T* operator->() { return &**this; }

  T& emplace() {
    *this = SharedOptional(T());
    return **this;
  }
  void reset() { value_ = {}; }

  // Copies that nobody has changed are equal without a look at the values.
  friend bool operator==(const SharedOptional&, const SharedOptional&) = default;

 private:
  Shared<std::optional<T>> value_;
};  // NOLINTEND(readability-identifier-naming)

}  // namespace spillway
