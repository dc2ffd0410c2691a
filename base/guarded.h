#pragma once

#include <mutex>
#include <utility>

namespace spillway {

// A value and its mutex as one object: the value is reached only inside With, under the lock.
// Keep what runs inside short; no I/O, no call into another folder.
template <class T>
class Guarded {
 public:
  Guarded() = default;
  explicit Guarded(T value) : value_(std::move(value)) {}

  template <class F>
  auto With(F&& body) {
    const std::scoped_lock lock(mutex_);
    return std::forward<F>(body)(value_);
  }
  template <class F>
  auto With(F&& body) const {
    const std::scoped_lock lock(mutex_);
    return std::forward<F>(body)(value_);
  }

 private:
  mutable std::mutex mutex_;
  T value_{};
};

}  // namespace spillway
