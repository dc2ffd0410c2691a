#pragma once

#include <concepts>

namespace spillway::tests {

// How many of a property's seeds are tried: all, or an eighth under a sanitizer, where each takes
// ten times as long, and what is looked for is a fault of memory and not of the rule. So are the
// counts that a test expects of them.
template <std::integral Number>
constexpr Number Seeds(Number all) {
#ifdef SPILLWAY_SANITIZED
  return all / 8;
#else
  return all;
#endif
}

}  // namespace spillway::tests
