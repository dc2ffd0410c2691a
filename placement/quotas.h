#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "placement/nodes.h"
#include "placement/plan.h"
#include "placement/snapshot.h"
#include "placement/spend.h"

namespace spillway::placement {

// What a pool has of a node.
struct NodeShare {
  size_t node = 0;  // in World::nodes
  Money whole;      // what the node costs an hour
  Money own;        // of that, its accelerators
};

// What each namespace's placed pools have, what it is guaranteed, and the most they may have.
class QuotaBook {
 public:
  explicit QuotaBook(const Snapshot& snapshot);

  // `above_home`: what they cost an hour there, by marginal price; negative for what goes.
  void Add(const std::string& ns, const std::string& type, int64_t accelerators, Money above_home);
  // The pool has a part of the node (sign 1), or no more (-1). Whoever has a node for itself pays
  // for all of it; as soon as others have a part of it too, everybody for its accelerators alone.
  void UseNode(const Payer& pool, const NodeShare& share, int sign);
  // Pods are on the node that are none of our pools': nobody has it for itself. REQUIRES that no
  // pool is counted there yet.
  void ShareNode(size_t node) { nodes_[node].shared = true; }
  [[nodiscard]] bool IsUsed(size_t node) const;
  // What is paid beside the shares of accelerators once the pool has a part of the node too: by the
  // pool itself, and less by others of its namespace.
  [[nodiscard]] Money BesideFor(const Payer& pool, const NodeShare& share) const;
  [[nodiscard]] Money SparedBy(const Payer& pool, const NodeShare& share) const;
  void AddBeside(const Payer& pool, Money hourly) { spend_.AddBeside(pool, hourly); }
  [[nodiscard]] int64_t Used(const std::string& ns, const std::string& type) const;
  // nullopt: no limit. A namespace without a Quota has the default limits.
  [[nodiscard]] std::optional<int64_t> Limit(const std::string& ns, const std::string& type) const;
  // A namespace without a Quota is guaranteed nothing.
  [[nodiscard]] int64_t Guaranteed(const std::string& ns, const std::string& type) const;
  // Is anything guaranteed to anybody?
  [[nodiscard]] bool HasGuarantees() const { return has_guarantees_; }
  [[nodiscard]] const SpendBook& Spend() const { return spend_; }
  void GoOnTo(Time now) { spend_.GoOnTo(now); }

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

  // Who has a part of a node that is paid for whole.
  struct Users {
    bool shared = false;  // with pods that are none of our pools'
    std::vector<std::pair<Payer, NodeShare>> pools;
  };
  void CountAlone(const Users& users, int sign);
  [[nodiscard]] const Users* UsersOf(size_t node) const;

  ByType defaults_;
  bool has_guarantees_ = false;
  bool any_guaranteed_ = false;           // is any guarantee not nothing?
  std::map<std::string, ByType> limits_;  // by namespace, where there is a Quota
  std::map<std::string, int64_t> weights_;
  std::map<std::string, Space> spaces_;  // with pools
  std::unordered_map<size_t, Users> nodes_;
  SpendBook spend_;
};

// What the gang has of each of its nodes, if these are paid for whole: of all as much.
std::vector<NodeShare> NodeShares(const GroupView& group, const std::vector<size_t>& nodes,
                                  int64_t accelerators);

// What a placed gang costs an hour above home: nothing where its group is gone.
Money CostAboveHome(const World& world, const TrainingPool& pool, const Placement& placement);

// Marks the nodes that are paid for whole and have pods of others who use accelerators there.
void MarkShared(QuotaBook& quotas, const World& world);

// Adds what a placed gang has (sign 1), or takes it away (-1).
void CountGang(QuotaBook& quotas, const World& world, const TrainingPool& pool,
               const Placement& placement, int sign);

}  // namespace spillway::placement
