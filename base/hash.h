#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace spillway {

// FNV-1a, 64 bits: stable over versions and machines, for names and revisions; no defence against
// anybody who wants a collision.
constexpr uint64_t Hash(std::string_view text, uint64_t seed = 0xcbf29ce484222325ULL) {
  uint64_t hash = seed;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  return hash;
}

// The hash as `digits` hexadecimal ones, 1 to 16.
inline std::string HashHex(std::string_view text, int digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  uint64_t hash = Hash(text);
  std::string out;
  for (int i = 0; i < digits; ++i, hash >>= 4U) out += kDigits[hash & 0xFU];
  return out;
}

}  // namespace spillway
