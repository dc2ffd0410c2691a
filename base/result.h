#pragma once

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace spillway {

// What the caller should do about a failure, not where it came from.
enum class Code {
  kConflict,     // somebody else wrote first: look again, then decide again
  kExists,       // the name is taken: look whose it is
  kNotFound,     // it is not there
  kGone,         // the history asked for is no longer kept: list again
  kUnavailable,  // network, overload, server trouble: the same call may work later
  kUnknown,      // a write was sent and no answer came: it may have happened
  kCancelled,    // the caller asked to stop
  kInvalid,      // the input is wrong: tell the user
  kForbidden,    // the credentials do not allow it: tell the user
  kInternal,     // a belief of ours is broken
};

// The name of a code as logs print it.
const char* CodeName(Code code);

// A failure: what to do about it (code), one sentence for a person (message), and, where the API
// server gave them, its own reason word and how long it asks to wait.
struct Error {
  Code code = Code::kInternal;
  std::string message;
  std::string reason{};
  std::optional<std::chrono::seconds> retry_after{};
  int http_status = 0;

  // The same error with what was being attempted in front: "listing pods: connection refused".
  [[nodiscard]] Error While(const std::string& attempt) &&;

  bool operator==(const Error&) const = default;
};

// A value, or the reason why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  // NOLINTBEGIN(google-explicit-constructor): so that both `return value;` and `return error;` work
  Result(T value) : state_(std::move(value)) {}
  Result(Error error) : state_(std::move(error)) {}
  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // REQUIRES: ok(). Anything else is a mistake in the program and ends it.
  [[nodiscard]] const T& value() const& { return Checked(); }
  [[nodiscard]] T& value() & { return const_cast<T&>(std::as_const(*this).Checked()); }
  [[nodiscard]] T&& value() && { return std::move(value()); }
  const T& operator*() const& { return value(); }
  T& operator*() & { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }

  // REQUIRES: !ok().
  [[nodiscard]] const Error& error() const& {
    if (ok()) std::abort();
    return *std::get_if<1>(&state_);
  }
  [[nodiscard]] Error&& error() && {
    if (ok()) std::abort();
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  [[nodiscard]] const T& Checked() const {
    if (!ok()) std::abort();
    return *std::get_if<0>(&state_);
  }
  std::variant<T, Error> state_;
};

struct Ok {
  bool operator==(const Ok&) const = default;
};

// Done, or the reason why not.
using Status = Result<Ok>;

}  // namespace spillway
