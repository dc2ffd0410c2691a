#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "placement/capacity.h"
#include "placement/checks.h"
#include "placement/coverage.h"
#include "placement/inference.h"
#include "placement/lifecycle.h"
#include "placement/offers.h"
#include "placement/promise.h"
#include "placement/quotas.h"

namespace spillway::placement {

// A pool whose turn comes: a gang that looks for a place or moves, or an inference pool.
struct Turn {
  Rank rank;
  size_t pool = 0;  // in Draft::fates, or in Draft::inference
};

// Who could make room for others.
struct Contenders {
  std::vector<size_t> placed;                  // gangs that have a place
  std::vector<std::vector<size_t>> placed_in;  // the same by group; not those whose group is gone
  std::vector<size_t> leaving;  // gangs that have remains somewhere (Capacity::RemainsOf)
  std::vector<bool> promised;   // by gang: it gives way to somebody already
  std::vector<bool> shrinking;  // of these: it goes on with fewer workers
  // By group: cells that have replicas there, as indices of inference pools and their cells.
  std::vector<std::vector<std::pair<size_t, size_t>>> serving_in;
  std::set<ReplicaKey> promised_replicas;  // they give way to somebody already
  std::vector<bool> awaited;  // by gang: the same, or it has, and its pods are on their way out
};

// What one pool pays an hour for what it asks an elastic group for, above home.
struct AskBill {
  const PoolKey* pool = nullptr;
  bool inference = false;
  int nodes = 0;  // made for it
  Money there;    // its share of nodes that are there already and nobody uses
  Money share;    // of those that are to come
  int left = 0;   // nodes that its step brings and nobody asks for
  // Who paid for what was left of a step before, in the group's list, and of how many nodes.
  std::optional<size_t> before = {};
  int left_before = 0;
};

// All that a group is asked for by now.
struct AskBills {
  std::vector<AskBill> list;    // in the order of turns
  int nodes = 0;                // of all of them
  std::optional<size_t> payer;  // in the list: who pays for what the last step leaves, if it does
};

// What a gang that moves has where it goes, beyond what it has where it is.
struct TargetCost {
  std::string ns;
  std::string type;
  int64_t accelerators = 0;
  Money above_home;  // an hour
};

// The plan in the making: who has decided what so far. One pass owns it.
struct Draft {
  explicit Draft(const Snapshot& snapshot);

  [[nodiscard]] Scene Look() { return {world, capacity, quotas, offers, &promises}; }
  [[nodiscard]] const TrainingPool& Pool(size_t index) const { return *world.pools[index]; }
  [[nodiscard]] Time Now() const { return world.now; }

  World world;
  Capacity capacity;
  Offers offers;
  QuotaBook quotas;
  std::vector<Fate> fates;       // by pool
  std::vector<size_t> ending;    // gangs that have a deadline
  std::map<size_t, Fate> given;  // what those were up to who got a place in this pass
  std::vector<size_t> late;      // of those: after room was freed in the last round
  std::set<size_t> again;        // gangs given fewer workers that have begun anew already
  std::vector<std::vector<Option>> options;  // by pool; empty for those that nobody looked for
  std::vector<InferenceDraft> inference;     // by inference pool
  std::optional<Coverage> coverage;          // as it was when this round began
  std::optional<Coverage> first;             // who goes before borrowers
  std::optional<Contenders> contenders;      // once asked for, until a gang's place or hold changes
  bool any_renews = false;                   // has a gang to start anew in this pass?
  std::vector<bool> elastic_in;              // by group: do elastic gangs run there?
  // Who claims, an inference pool or a gang, in the order in which they took what they have.
  std::vector<std::pair<bool, size_t>> claimed;
  bool claim_dropped = false;  // since claims were last carried
  Promises promises;           // of this round
  std::vector<int> asked;      // by group: gangs that could not be promised room
  // Nodes that waiting gangs ask for in this round: by gang, and how many by group.
  std::vector<std::optional<NodeAsk>> asks;
  std::vector<int> coming;
  std::vector<AskBills> bills;  // by group
  // By group: nodes that those have asked for before whose turn is yet to come in this round.
  std::vector<int> asked_later;
  std::vector<TargetCost> targets;  // counted by now, besides what gangs have
  int paid_by_node = 0;             // places given in groups whose nodes are paid for whole
  // So many when somebody was first refused in this round for what whole nodes cost.
  std::optional<int> too_dear_at;
  std::vector<std::optional<bool>> replicas_start;  // by group; nullopt: nobody has looked
  // By group: what those nodes have left that inference pools are the ones to have asked for.
  std::vector<std::vector<Resources>> left_on_new;
  std::vector<std::optional<Stockout>> stockouts;  // by group; of elastic ones, as they are by now
  std::vector<std::optional<SpareNodes>> spare;    // likewise
  std::vector<std::optional<LeavingNodes>> leaving;  // likewise
  std::vector<Turn> order;                           // in which turns were taken in the last round
  std::vector<Time> moments;  // at which time alone may change more than is said
};

// Decides who runs where: all stages of a pass but those that write down what was decided.
void Settle(Draft& draft);

// Who is guaranteed what by now.
Coverage CoverageOf(const Draft& draft);

// The gang's place in the order of all. REQUIRES draft.first.
Rank RankOf(const Draft& draft, size_t gang);

// Somebody was refused for what whole nodes cost.
inline void NoteTooDear(Draft& draft) {
  if (!draft.too_dear_at) draft.too_dear_at = draft.paid_by_node;
}

// Reserves what the gang has: its placement's nodes, and those that are held for it.
void ClaimWhatItHas(Draft& draft, size_t pool);

}  // namespace spillway::placement
