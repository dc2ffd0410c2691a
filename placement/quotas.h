#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "placement/plan.h"
#include "placement/snapshot.h"

namespace spillway::placement {

// What each namespace's placed pools have, and the most they may have.
class QuotaBook {
 public:
  explicit QuotaBook(const Snapshot& snapshot);

  void Add(const std::string& ns, const std::string& type, int64_t accelerators);
  [[nodiscard]] int64_t Used(const std::string& ns, const std::string& type) const;
  // nullopt: no limit. A namespace without a Quota has the default limits.
  [[nodiscard]] std::optional<int64_t> Limit(const std::string& ns, const std::string& type) const;

  // Every namespace with a Quota or with a pool, sorted.
  [[nodiscard]] std::vector<QuotaReport> Report() const;

 private:
  using Limits = std::map<std::string, int64_t>;

  Limits defaults_;
  std::map<std::string, Limits> limits_;  // by namespace, where there is a Quota
  std::map<std::string, std::map<std::string, int64_t>> used_;
};

}  // namespace spillway::placement
