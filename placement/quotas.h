#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "placement/nodes.h"
#include "placement/plan.h"
#include "placement/snapshot.h"
#include "placement/spend.h"

namespace spillway::placement {

// What each namespace's placed pools have, what it is guaranteed, and the most they may have.
class QuotaBook {
 public:
  explicit QuotaBook(const Snapshot& snapshot);

  // `above_home`: what they cost an hour there, by marginal price; negative for what goes.
  void Add(const std::string& ns, const std::string& type, int64_t accelerators, Money above_home);
  [[nodiscard]] int64_t Used(const std::string& ns, const std::string& type) const;
  // nullopt: no limit. A namespace without a Quota has the default limits.
  [[nodiscard]] std::optional<int64_t> Limit(const std::string& ns, const std::string& type) const;
  // A namespace without a Quota is guaranteed nothing.
  [[nodiscard]] int64_t Guaranteed(const std::string& ns, const std::string& type) const;
  // Is anything guaranteed to anybody?
  [[nodiscard]] bool HasGuarantees() const { return has_guarantees_; }
  [[nodiscard]] const SpendBook& Spend() const { return spend_; }

  // Accelerators beyond its guarantees, of all types together.
  [[nodiscard]] int64_t Borrowed(const std::string& ns) const;
  // Has `left` borrowed less than `right` for its weight: -1, more: 1, or as much: 0? Exact.
  [[nodiscard]] int CompareBorrowed(const std::string& left, const std::string& right) const;

  // Every namespace with a Quota or with a pool, sorted. `world`: where guarantees must be covered.
  [[nodiscard]] std::vector<QuotaReport> Report(const World& world) const;

 private:
  struct Limits {
    int64_t limit = 0;
    int64_t guaranteed = 0;
  };
  using ByType = std::map<std::string, Limits>;
  static ByType Merged(const std::vector<QuotaLimit>& limits);
  // What a namespace has; `borrowed` goes with `used`.
  struct Space {
    std::map<std::string, int64_t> used;  // by type
    int64_t borrowed = 0;
    int64_t weight = 1;
  };
  Space& SpaceOf(const std::string& ns);
  [[nodiscard]] const ByType& LimitsOf(const std::string& ns) const;
  [[nodiscard]] QuotaUse UseOf(const std::string& ns, const std::string& type,
                               int64_t free_at_home) const;
  [[nodiscard]] int64_t GuaranteedToAll(const std::string& type) const;

  ByType defaults_;
  bool has_guarantees_ = false;
  bool any_guaranteed_ = false;           // is any guarantee not nothing?
  std::map<std::string, ByType> limits_;  // by namespace, where there is a Quota
  std::map<std::string, int64_t> weights_;
  std::map<std::string, Space> spaces_;  // with pools
  SpendBook spend_;
};

// What a placed gang costs an hour above home: nothing where its group is gone.
Money CostAboveHome(const World& world, const TrainingPool& pool, const Placement& placement);

// Adds what a placed gang has (sign 1), or takes it away (-1).
void CountGang(QuotaBook& quotas, const World& world, const TrainingPool& pool,
               const Placement& placement, int sign);

}  // namespace spillway::placement
