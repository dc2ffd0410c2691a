#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "placement/cells.h"

// How many more replicas a cell can take, and why not more.
namespace spillway::placement {

// Looks at a draft as it is decided so far. All parts outlive this.
class CellLimits {
 public:
  CellLimits(const World& world, const Capacity& capacity, Offers& offers, const QuotaBook& quotas,
             const InferenceDraft& draft)
      : world_(world),
        capacity_(capacity),
        offers_(offers),
        quotas_(quotas),
        draft_(draft),
        pool_(*draft.pool) {}

  // How many of `wanted` more replicas the cell can have now by itself. Says in its shortage why
  // not all.
  int64_t More(CellState& cell, int64_t wanted) const;

  // The same by limits alone: maxReplicas, quota and money.
  int64_t WithinLimits(CellState& cell, int64_t wanted) const;

  // The same by the room on its nodes alone, beside all that is promised to others.
  int64_t WithinRoom(CellState& cell, int64_t wanted) const;

  // All that keeps so many more replicas from the cell, a clause each with the numbers that would
  // do. Nothing of room where it is not known yet on which nodes. REQUIRES a shortage of the cell,
  // and that its group and variant go together.
  [[nodiscard]] std::vector<std::string> Missing(const CellState& cell, int64_t wanted) const;

  // Why the cell takes nothing at all, whatever the numbers; nullopt: nothing of the kind.
  std::optional<Finding> Refusal(CellState& cell) const;

  // Why the cell's group is not asked for new nodes, whatever the numbers; nullopt: it may be.
  [[nodiscard]] std::optional<Finding> WhyNoNewNodes(const CellState& cell,
                                                     const NewSupply& supply) const;

  // What is decided for cells that are to stay.
  [[nodiscard]] Throughput Promised(bool home_only) const;
  // With those for which nodes are asked for.
  [[nodiscard]] int64_t OfVariant(const Variant& variant) const;

  // A variant that is not the one in use has no least.
  [[nodiscard]] int LeastOf(const Variant& variant) const;

  // What replicas outside home cost an hour, with those for which nodes are asked for.
  [[nodiscard]] Money Spending() const;

 private:
  [[nodiscard]] int64_t LeavingAccelerators(const std::string& type) const;
  [[nodiscard]] int64_t OwnAccelerators(const std::string& type) const;
  [[nodiscard]] int64_t SlotsFor(const CellState& cell, const Ground& ground,
                                 const Offer& offer) const;
  int64_t HarmlessTo(const CellState& cell, int64_t wanted, const Node*& promised) const;
  int64_t WithinMost(CellState& cell, int64_t wanted) const;
  int64_t WithinQuota(CellState& cell, int64_t wanted) const;
  int64_t WithinSpill(CellState& cell, int64_t wanted) const;
  int64_t WithinSpend(CellState& cell, int64_t wanted) const;
  [[nodiscard]] bool WouldGrow(const CellState& cell) const;
  // Why its template is not used; nullopt: it is.
  [[nodiscard]] static std::optional<Finding> RefusalOfTemplate(const CellState& cell);
  [[nodiscard]] PoolMemory CheckMemory() const;
  [[nodiscard]] bool HomeCouldServe() const;

  const World& world_;
  const Capacity& capacity_;
  Offers& offers_;
  const QuotaBook& quotas_;
  const InferenceDraft& draft_;
  const InferencePool& pool_;
};

// Of the type, what the cell's replicas have.
int64_t AcceleratorsOf(const CellState& cell, const std::string& type);

}  // namespace spillway::placement
