#pragma once

#include <functional>
#include <set>
#include <string_view>
#include <unordered_set>

#include "placement/snapshot.h"

namespace spillway::placement {

// Lets what is equal in the parts of a snapshot share its memory: labels of the nodes of a group,
// requests of the workers of a gang. Whoever builds a snapshot has one and shows it each part as it
// comes. No value changes.
class Sharing {
 public:
  void Share(Node& node);
  void Share(TrainingPool& pool);
  void Share(InferencePool& pool);
  void Share(Resources& amounts);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
    size_t operator()(const Text& text) const { return (*this)(std::string_view(text.str())); }
  };

  Text TextOf(std::string_view text);

  std::unordered_set<Text, Hash, std::equal_to<>> texts_;
  std::set<Resources> amounts_;
  std::set<Labels> conditions_;
};

}  // namespace spillway::placement
