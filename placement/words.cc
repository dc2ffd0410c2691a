#include "placement/words.h"

#include <fmt/format.h>

namespace spillway::placement {

std::string Count(int64_t count, std::string_view noun) {
  std::string text = std::to_string(count);
  text += ' ';
  text += noun;
  if (count != 1) text += 's';
  return text;
}

std::string Names(const std::vector<std::string>& names, size_t most) {
  const size_t shown = names.size() <= most + 1 ? names.size() : most;
  size_t length = sizeof(" and more") + 20;  // with the number of those that are not shown
  for (size_t i = 0; i < shown; ++i) length += names[i].size() + sizeof(" and ");
  std::string out;
  out.reserve(length);
  for (size_t i = 0; i < shown; ++i) {
    const bool last = i + 1 == names.size();
    if (i > 0) out += last ? " and " : ", ";
    out += names[i];
  }
  if (shown < names.size()) {
    out.append(" and ").append(std::to_string(names.size() - shown)).append(" more");
  }
  return out;
}

std::string Decimal(int64_t micros) {
  std::string text = fmt::format("{}.{:06}", micros / 1'000'000, micros % 1'000'000);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string Short(std::string text) {
  constexpr size_t kMost = 1024;
  constexpr std::string_view kCut = " …";
  if (text.size() <= kMost) return text;
  size_t end = text.rfind(' ', kMost - kCut.size());
  if (end == std::string::npos || end == 0) {
    end = kMost - kCut.size();
    // Never inside a UTF-8 character.
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  }
  text.resize(end);
  return text.append(kCut);
}

}  // namespace spillway::placement
