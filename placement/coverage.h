#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "placement/quotas.h"
#include "placement/snapshot.h"

// Who is within its namespace's guarantees and who borrows, and who goes first: design §3, rule 1.
namespace spillway::placement {

// A pool's place in the order of all pools, placed or not.
struct Rank {
  bool guaranteed = false;  // comes before borrowing
  int64_t priority = 0;     // the higher one first
  Time queued_since{};
  const PoolKey* key = nullptr;  // outlives this
  bool inference = false;

  [[nodiscard]] bool Before(const Rank& other) const;
};

// The gang's place among borrowers.
Rank RankOf(const TrainingPool& pool, const PoolMemory& memory, Time now);

// Whose turn comes first. Among borrowers of equal priority it is the namespace's that has borrowed
// least for its weight by then.
bool HasTurnBefore(const QuotaBook& quotas, const Rank& left, const Rank& right);

// What one pool has, or asks for, of one type.
struct Demand {
  Rank rank;        // `guaranteed` is not looked at
  size_t pool = 0;  // in World::pools, or in World::inference
  std::string type;
  int64_t accelerators = 0;
  int64_t claimed = 0;  // beside them, of an inference pool: what gangs leave for it
  [[nodiscard]] bool Divisible() const {
    return rank.inference;
  }  // some of it may be guaranteed, the rest not
};

// What a gang has by now, or, without a place, asks for of each type that it accepts.
std::vector<Demand> DemandsOf(const TrainingPool& pool, size_t index, const PoolMemory& memory,
                              Time now);

// The walk of rule 1: in each namespace and type its pools in order of (priority, queuedSince,
// name). One is guaranteed while the sum fits the guarantee; the first that crosses it and all
// later ones borrow.
class Coverage {
 public:
  Coverage(const QuotaBook& quotas, std::vector<Demand> demands);

  // Is the gang, with all that it has or asks for of the type, within the guarantee?
  [[nodiscard]] bool Gang(size_t pool, const std::string& type) const;
  // In one of the types that it is tested for.
  [[nodiscard]] bool Gang(size_t pool) const;
  // Would the inference pool be within a guarantee with one accelerator more?
  [[nodiscard]] bool Grows(size_t inference_pool) const;

  // Accelerators of the type that it could have more and be within the guarantee.
  [[nodiscard]] int64_t Left(size_t inference_pool, const std::string& type) const;

  // Of what it has of the type, what is within the guarantee.
  [[nodiscard]] int64_t Kept(size_t inference_pool, const std::string& type) const;

  // Whoever is guaranteed in the other is so here. Says whether that is more than were before.
  bool Join(const Coverage& other);

  // The gang borrows, whatever it has.
  void Demote(size_t pool);

  // The same ones are guaranteed, whatever the numbers.
  bool operator==(const Coverage& other) const {
    return gangs_ == other.gangs_ && grows_ == other.grows_;
  }

 private:
  std::map<std::pair<size_t, std::string>, bool> gangs_;
  std::map<size_t, bool> grows_;
  std::map<std::pair<size_t, std::string>, int64_t> left_;  // of inference pools
  std::map<std::pair<size_t, std::string>, int64_t> kept_;  // likewise
};

}  // namespace spillway::placement
