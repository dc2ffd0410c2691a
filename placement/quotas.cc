#include "placement/quotas.h"

#include <algorithm>
#include <set>

namespace spillway::placement {
namespace {

// A type that stands twice has the smaller limit.
std::map<std::string, int64_t> ByType(const std::vector<QuotaLimit>& limits) {
  std::map<std::string, int64_t> by_type;
  for (const QuotaLimit& limit : limits) {
    const auto [at, is_new] = by_type.emplace(limit.type, limit.limit);
    if (!is_new) at->second = std::min(at->second, limit.limit);
  }
  return by_type;
}

}  // namespace

QuotaBook::QuotaBook(const Snapshot& snapshot) : defaults_(ByType(snapshot.default_limits)) {
  for (const Quota& quota : snapshot.quotas) limits_[quota.ns] = ByType(quota.limits);
  for (const TrainingPool& pool : snapshot.pools) used_[pool.key.ns];
  for (const InferencePool& pool : snapshot.inference_pools) used_[pool.key.ns];
}

void QuotaBook::Add(const std::string& ns, const std::string& type, int64_t accelerators) {
  used_[ns][type] += accelerators;
}

int64_t QuotaBook::Used(const std::string& ns, const std::string& type) const {
  const auto space = used_.find(ns);
  if (space == used_.end()) return 0;
  const auto at = space->second.find(type);
  return at == space->second.end() ? 0 : at->second;
}

std::optional<int64_t> QuotaBook::Limit(const std::string& ns, const std::string& type) const {
  const auto own = limits_.find(ns);
  const Limits& limits = own == limits_.end() ? defaults_ : own->second;
  const auto at = limits.find(type);
  if (at == limits.end()) return std::nullopt;
  return at->second;
}

std::vector<QuotaReport> QuotaBook::Report() const {
  std::set<std::string> spaces;
  for (const auto& [ns, limits] : limits_) spaces.insert(ns);
  for (const auto& [ns, used] : used_) spaces.insert(ns);
  std::vector<QuotaReport> reports;
  for (const std::string& ns : spaces) {
    const auto own = limits_.find(ns);
    std::set<std::string> types;
    for (const auto& [type, limit] : own == limits_.end() ? defaults_ : own->second) {
      types.insert(type);
    }
    const auto used = used_.find(ns);
    if (used != used_.end()) {
      for (const auto& [type, amount] : used->second) {
        if (amount != 0) types.insert(type);
      }
    }
    QuotaReport& report = reports.emplace_back();
    report.ns = ns;
    for (const std::string& type : types) {
      report.accelerators.push_back(
          {.type = type, .used = Used(ns, type), .limit = Limit(ns, type)});
    }
  }
  return reports;
}

}  // namespace spillway::placement
