#include "placement/labels.h"

#include <algorithm>

namespace spillway::placement {
namespace {

template <class Entries>
auto LowerBound(Entries& entries, std::string_view key) {
  return std::lower_bound(
      entries.begin(), entries.end(), key,
      [](const Labels::Entry& entry, std::string_view k) { return entry.first.str() < k; });
}

}  // namespace

Labels::Labels(std::initializer_list<Entry> entries) {
  for (const auto& [key, text] : entries) (*this)[key.str()] = text;
}

Labels::Labels(const std::map<std::string, std::string, std::less<>>& entries)
    : Labels(Entries(entries.begin(), entries.end())) {}

Labels::Labels(Entries entries) : entries_(std::move(entries)) {}

Labels::Entries::const_iterator Labels::find(std::string_view key) const {
  const Entries& entries = entries_.Get();
  // Texts of different lengths are told apart without a look at them, in whatever order they come.
  constexpr size_t kFew = 16;
  if (entries.size() <= kFew) {
    return std::find_if(entries.begin(), entries.end(),
                        [&](const Entry& entry) { return entry.first == key; });
  }
  const auto at = LowerBound(entries, key);
  return at != entries.end() && at->first == key ? at : entries.end();
}

Text& Labels::operator[](std::string_view key) {
  Entries& entries = entries_.Own();
  auto at = LowerBound(entries, key);
  if (at == entries.end() || at->first != key) at = entries.emplace(at, key, Text());
  return at->second;
}

}  // namespace spillway::placement
