#pragma once

#include <memory>
#include <utility>

namespace spillway {

// An optional value that is rarely there: a word where it is absent, on the heap where it is not.
// Copies are values of their own. NOLINTBEGIN(readability-identifier-naming): std::optional's names
template <class T>
class Boxed {
 public:
  Boxed() = default;
  Boxed(T value) : value_(std::make_unique<T>(std::move(value))) {}  // NOLINT: as std::optional
  Boxed(const Boxed& other) : value_(other ? std::make_unique<T>(*other) : nullptr) {}
  Boxed(Boxed&& other) noexcept = default;
  Boxed& operator=(Boxed other) noexcept {
    value_ = std::move(other.value_);
    return *this;
  }
  ~Boxed() = default;

  explicit operator bool() const { return value_ != nullptr; }
  [[nodiscard]] bool has_value() const { return value_ != nullptr; }
  // REQUIRES that it is there.
  const T& operator*() const { return *value_; }
  T& operator*() { return *value_; }
  const T* operator->() const { return value_.get(); }
  T* operator->() { return value_.get(); }

  T& emplace() { return *(value_ = std::make_unique<T>()); }
  void reset() { value_.reset(); }

  friend bool operator==(const Boxed& left, const Boxed& right) {
    return left.has_value() == right.has_value() && (!left || *left == *right);
  }

 private:
  std::unique_ptr<T> value_;
};
// NOLINTEND(readability-identifier-naming)
}  // namespace spillway
