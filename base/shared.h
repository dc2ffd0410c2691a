#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace spillway {

// A value that its copies share until one of them is changed: each costs a pointer, and T() nothing
// at all. To whoever reads or changes one it is a value of its own, so that different threads may
// read, change and destroy different copies at once, as with any value.
template <class T>
class Shared {
 public:
  Shared() = default;
  explicit Shared(T value) : block_(new Block(std::move(value))) {}
  Shared(const Shared& other) : block_(other.block_) {
    if (block_ != nullptr) block_->users.fetch_add(1, std::memory_order_relaxed);
  }
  Shared(Shared&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Shared& operator=(Shared other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Shared() {
    if (block_ == nullptr) return;
    if (block_->users.fetch_sub(1, std::memory_order_acq_rel) == 1) delete block_;
  }

  [[nodiscard]] const T& Get() const { return block_ == nullptr ? Empty() : block_->value; }

  // For changes, which no copy sees: what others share is copied first. The reference is good until
  // this is next copied.
  T& Own() {
    if (block_ == nullptr) {
      block_ = new Block(T());
    } else if (block_->users.load(std::memory_order_acquire) != 1) {
      *this = Shared(block_->value);
    }
    return block_->value;
  }

  // Equal without a look at the values; copies that nobody has changed are.
  [[nodiscard]] bool IsSameAs(const Shared& other) const { return block_ == other.block_; }

  // Of the memory that copies share.
  static constexpr size_t BlockBytes() { return sizeof(Block); }

  friend bool operator==(const Shared& left, const Shared& right) {
    return left.IsSameAs(right) || left.Get() == right.Get();
  }

 private:
  struct Block {
    explicit Block(T content) : value(std::move(content)) {}
    std::atomic<int> users = 1;
    T value;
  };

  static const T& Empty() {
    static const T kEmpty{};
    return kEmpty;
  }

  Block* block_ = nullptr;
};

}  // namespace spillway
