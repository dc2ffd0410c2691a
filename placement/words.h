#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// How this folder's sentences say numbers and names.
namespace spillway::placement {

// "1 node", "3 nodes".
std::string Count(int64_t count, std::string_view noun);

// "a", "a and b", "a, b, c and 4 more". REQUIRES most > 0.
std::string Names(const std::vector<std::string>& names, size_t most = 4);

// An amount in millionths as a decimal, without zeros at its end: "15.6".
std::string Decimal(int64_t micros);

// The text, cut at a word to what a condition's message may hold (1,024 bytes).
std::string Short(std::string text);

}  // namespace spillway::placement
