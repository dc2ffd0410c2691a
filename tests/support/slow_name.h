#pragma once

namespace spillway::support {

// While it lives, looking up kName takes time; then it fails. It replaces getaddrinfo in the
// program that it is linked into, for that name alone. One at a time.
class SlowName {
 public:
  static constexpr const char* kName = "slow.spillway.test";

  SlowName();
  ~SlowName();  // waits until nobody looks it up any more
  SlowName(const SlowName&) = delete;
  SlowName& operator=(const SlowName&) = delete;

  [[nodiscard]] bool Asked() const;
};

}  // namespace spillway::support
