#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/hash.h"

namespace spillway::kube {

// Which objects there are at which versions, as two numbers for each.
class Contents {
 public:
  void Add(const std::string& key, const std::string& version) {
    const uint64_t name = Hash(key);
    objects_.push_back({name, Hash(version, Hash("@", name))});
  }
  [[nodiscard]] int64_t Objects() const { return static_cast<int64_t>(objects_.size()); }
  // Are they the same, in any order, whatever there is under the keys of `but`? What differs is
  // taken for the same practically never.
  [[nodiscard]] bool Equals(const Contents& other, const std::set<std::string>& but) const {
    std::unordered_set<uint64_t> names;
    for (const std::string& key : but) names.insert(Hash(key));
    return SumBut(names) == other.SumBut(names);
  }

 private:
  struct Object {
    uint64_t name = 0;
    uint64_t at_version = 0;
  };
  struct Sum {
    uint64_t numbers = 0;
    int64_t objects = 0;
    bool operator==(const Sum&) const = default;
  };
  [[nodiscard]] Sum SumBut(const std::unordered_set<uint64_t>& names) const {
    Sum sum;
    for (const Object& object : objects_) {
      if (names.contains(object.name)) continue;
      sum.numbers += object.at_version;
      ++sum.objects;
    }
    return sum;
  }

  std::vector<Object> objects_;
};

}  // namespace spillway::kube
