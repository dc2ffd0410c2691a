#pragma once

#include <compare>
#include <concepts>
#include <string>
#include <string_view>
#include <utility>

#include "base/shared.h"

namespace spillway {

// A text that is never changed, only replaced; its copies share their memory.
class Text {
 public:
  Text() = default;
  // NOLINTBEGIN(google-explicit-constructor): it is a text wherever one is meant
  Text(std::string text) : text_(std::move(text)) {}
  Text(std::string_view text) : text_(std::string(text)) {}
  Text(const char* text) : text_(std::string(text)) {}
  operator const std::string&() const { return text_.Get(); }
  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] const std::string& str() const { return text_.Get(); }
  [[nodiscard]] bool empty() const { return str().empty(); }

  friend bool operator==(const Text&, const Text&) = default;
  friend auto operator<=>(const Text& left, const Text& right) {
    return left.text_.IsSameAs(right.text_) ? std::strong_ordering::equal
                                            : left.str() <=> right.str();
  }
  // With what is a text already, so that none is made for the comparison.
  template <std::convertible_to<std::string_view> Other>
  friend bool operator==(const Text& left, const Other& right) {
    return left.str() == std::string_view(right);
  }

 private:
  Shared<std::string> text_;
};

}  // namespace spillway
