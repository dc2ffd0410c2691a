#include "placement/domains.h"

#include <algorithm>
#include <numeric>

namespace spillway::placement {
namespace {

// Puts the names in order, and says where each of them went.
std::vector<uint32_t> SortNames(std::vector<std::string_view>& names) {
  std::vector<uint32_t> order(names.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return names[a] < names[b]; });
  std::vector<uint32_t> place(names.size());
  std::vector<std::string_view> sorted;
  sorted.reserve(names.size());
  for (const uint32_t old : order) {
    place[old] = static_cast<uint32_t>(sorted.size());
    sorted.push_back(names[old]);
  }
  names = std::move(sorted);
  return place;
}

}  // namespace

Labels::Entries::const_iterator FindLabel(const Labels& labels, std::string_view key,
                                          size_t& guess) {
  const auto first = labels.begin();
  if (guess < labels.size()) {
    const auto at = first + static_cast<std::ptrdiff_t>(guess);
    if (at->first == key) return at;
  }
  const auto at = labels.find(key);
  guess = static_cast<size_t>(at - first);
  return at;
}

uint32_t DomainNumbering::NumberOf(std::string_view name) {
  const auto [at, is_new] = known_.emplace(name, static_cast<uint32_t>(domains_.names.size()));
  if (is_new) domains_.names.push_back(name);
  return at->second;
}

void DomainNumbering::Add(const Node& node) {
  const auto at = FindLabel(node.labels, label_, guess_);
  if (at == node.labels.end() || at->second.empty()) {
    domains_.of.push_back(kNoDomain);
    return;
  }
  // Neighbours by name are often neighbours by network.
  const std::string& name = at->second;
  if (last_ == kNoDomain || domains_.names[last_] != name) last_ = NumberOf(name);
  domains_.of.push_back(last_);
}

Domains DomainNumbering::Finish() {
  const std::vector<uint32_t> place = SortNames(domains_.names);
  for (uint32_t& domain : domains_.of) {
    if (domain != kNoDomain) domain = place[domain];
  }
  return std::move(domains_);
}

}  // namespace spillway::placement
