#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "placement/snapshot.h"

namespace spillway::placement {

inline constexpr uint32_t kNoDomain = std::numeric_limits<uint32_t>::max();

// The values that nodes have for one label, numbered in the order of their names.
struct Domains {
  std::vector<std::string_view> names;  // of the nodes' labels, which outlive this
  std::vector<uint32_t> of;             // by node; kNoDomain where it does not have the label
};

// Numbers the domains of one label while it is shown the nodes in their order.
// Labels::find, most quickly where the key stands at `guess`, as it mostly does where it stood in
// the node before; sets that.
Labels::Entries::const_iterator FindLabel(const Labels& labels, std::string_view key,
                                          size_t& guess);

class DomainNumbering {
 public:
  explicit DomainNumbering(std::string label) : label_(std::move(label)) {}

  void Add(const Node& node);
  [[nodiscard]] const std::string& Label() const { return label_; }
  // Of all nodes so far; this is of no use afterwards.
  Domains Finish();

 private:
  uint32_t NumberOf(std::string_view name);

  std::string label_;
  size_t guess_ = 0;  // where it stood in the last node's
  Domains domains_;   // the names in the order in which they came
  std::unordered_map<std::string_view, uint32_t> known_;
  uint32_t last_ = kNoDomain;
};

}  // namespace spillway::placement
