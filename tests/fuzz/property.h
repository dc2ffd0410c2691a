#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

// What the fuzzers share. A fuzzer is one function from bytes; it ends the process when a property
// does not hold, which libFuzzer and the replay both report with the input.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace spillway::fuzz {

inline std::string_view TextOf(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Ends the process with `what` and `details` unless the property holds.
inline void Require(bool holds, std::string_view what, std::string_view details = {}) {
  if (holds) return;
  std::fprintf(stderr, "property broken: %.*s\n%.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(details.size()), details.data());
  std::abort();
}

// The parts of an input that holds several texts: they are parted by lines "%%".
inline std::vector<std::string_view> Parts(std::string_view text) {
  constexpr std::string_view kBetween = "%%\n";
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(kBetween);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + kBetween.size());
  }
}

}  // namespace spillway::fuzz
