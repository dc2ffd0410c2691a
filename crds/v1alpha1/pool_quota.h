#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crds/v1alpha1/common.h"

namespace spillway::crds::v1alpha1 {

struct QuotaLimit {
  std::string type;
  int64_t limit = 0;
  int64_t guaranteed = 0;
  bool operator==(const QuotaLimit&) const = default;
};
struct BudgetSpec {
  std::string amount;
  std::string period = "Month";
  std::string at_limit = "BlockSpill";
  bool operator==(const BudgetSpec&) const = default;
};
struct SpendSpec {
  std::string max_hourly_cost;  // empty: no limit
  std::optional<BudgetSpec> budget;
  bool operator==(const SpendSpec&) const = default;
};
struct PoolQuotaSpec {
  std::vector<QuotaLimit> accelerators;
  int weight = 1;
  std::optional<std::vector<std::string>> priority_classes;  // absent: any
  SpendSpec spend;
  bool operator==(const PoolQuotaSpec&) const = default;
};
struct QuotaUseStatus {
  std::string type;
  int64_t used = 0;
  std::optional<int64_t> limit;
  int64_t guaranteed = 0;
  int64_t borrowed = 0;
  int64_t lent = 0;
  bool operator==(const QuotaUseStatus&) const = default;
};
struct PoolQuotaStatus {
  int64_t observed_generation = 0;
  std::vector<QuotaUseStatus> accelerators;
  std::string hourly_cost;
  // With a budget:
  std::string budget_spent;
  std::optional<Time> as_of;
  std::optional<Time> period_start;
  std::vector<Condition> conditions;
  bool operator==(const PoolQuotaStatus&) const = default;
};
struct PoolQuota {
  kube::ObjectMeta meta;
  PoolQuotaSpec spec;
  PoolQuotaStatus status;
  bool operator==(const PoolQuota&) const = default;
};

const kube::Resource& PoolQuotaResource();
Status DecodePoolQuota(kube::JsonValue value, PoolQuota& out);
std::string EncodeStatusUpdate(const PoolQuota& object, const PoolQuotaStatus& status);

}  // namespace spillway::crds::v1alpha1
