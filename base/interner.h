#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <set>
#include <utility>

namespace spillway {

// A value that is never changed, and may share its memory with equal ones; T() costs none. Copies
// may be read and destroyed on any thread.
template <class T>
class Interned {
 public:
  Interned() = default;
  explicit Interned(T value) : value_(std::make_shared<const T>(std::move(value))) {}

  [[nodiscard]] const T& Get() const { return value_ == nullptr ? Empty() : *value_; }
  [[nodiscard]] bool IsSameAs(const Interned& other) const { return value_ == other.value_; }
  // Nobody else has this memory, nor can get it without this.
  [[nodiscard]] bool IsAlone() const { return value_.use_count() <= 1; }

  friend bool operator==(const Interned& left, const Interned& right) {
    return left.IsSameAs(right) || left.Get() == right.Get();
  }

 private:
  static const T& Empty() {
    static const T kEmpty{};
    return kEmpty;
  }
  std::shared_ptr<const T> value_;
};

// Gives equal values the same memory. What nobody else has any longer is let go of in time: at most
// 1,024 values are held, or twice as many as were in use when it last looked. Not thread-safe.
template <class T>
class Interner {
 public:
  Interned<T> Of(const T& value) {
    if (value == T()) return {};
    const auto at = known_.lower_bound(value);
    if (at != known_.end() && at->Get() == value) return *at;
    if (known_.size() < sweep_at_) return *known_.emplace_hint(at, value);
    Sweep();
    return *known_.emplace(value).first;
  }
  [[nodiscard]] size_t size() const { return known_.size(); }

 private:
  static constexpr size_t kLeast = 1024;  // fewer are not worth a look

  struct ByValue {
    using is_transparent = void;
    bool operator()(const Interned<T>& left, const Interned<T>& right) const {
      return left.Get() < right.Get();
    }
    bool operator()(const Interned<T>& left, const T& right) const { return left.Get() < right; }
    bool operator()(const T& left, const Interned<T>& right) const { return left < right.Get(); }
  };

  void Sweep() {
    std::erase_if(known_, [](const Interned<T>& one) { return one.IsAlone(); });
    sweep_at_ = std::max(kLeast, 2 * known_.size());
  }

  std::set<Interned<T>, ByValue> known_;
  size_t sweep_at_ = kLeast;
};

}  // namespace spillway
