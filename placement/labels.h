#pragma once

#include <cstddef>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/shared.h"
#include "base/text.h"

namespace spillway::placement {

// Texts by key, each key once, in the order of the keys. Copies share their memory, and what is
// unlike in two of them can still share its texts (placement/sharing.h).
class Labels {
 public:
  using Entry = std::pair<Text, Text>;
  using Entries = std::vector<Entry>;

  Labels() = default;
  // NOLINTBEGIN(google-explicit-constructor): labels are written as a list, and Kubernetes' are a
  // map
  Labels(std::initializer_list<Entry> entries);  // of a key that stands twice, the last one
  Labels(const std::map<std::string, std::string, std::less<>>& entries);
  // NOLINTEND(google-explicit-constructor)
  explicit Labels(Entries entries);  // REQUIRES the order of the keys, each once

  [[nodiscard]] Entries::const_iterator find(std::string_view key) const;
  [[nodiscard]] bool contains(std::string_view key) const { return find(key) != end(); }
  [[nodiscard]] Entries::const_iterator begin() const { return entries_.Get().begin(); }
  [[nodiscard]] Entries::const_iterator end() const { return entries_.Get().end(); }
  [[nodiscard]] bool empty() const { return entries_.Get().empty(); }
  [[nodiscard]] size_t size() const { return entries_.Get().size(); }

  // The text of the key, an empty one if there is none yet; good until the next change or copy.
  Text& operator[](std::string_view key);

  bool operator==(const Labels&) const = default;
  auto operator<=>(const Labels& other) const { return entries_.Get() <=> other.entries_.Get(); }

 private:
  Shared<Entries> entries_;
};

}  // namespace spillway::placement
