#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "placement/capacity.h"
#include "placement/checks.h"
#include "placement/lifecycle.h"
#include "placement/plan.h"
#include "placement/quotas.h"

// An inference pool's cells as they stand: what runs there, what it costs, what they claim.
namespace spillway::placement {

// A cell while its pool is being decided.
struct CellState {
  const Variant* variant = nullptr;  // nullptr: the spec does not have it any more
  const GroupView* group = nullptr;  // nullptr: there is no such node group any more
  size_t seeker = kNowhere;          // in World::pools; kNowhere where the two do not go together
  CellMemory memory;                 // what is decided so far
  int before = 0;                    // replicas decided earlier
  int live = 0;                      // pods that are not on their way out
  int ready = 0;                     // of these, never more than decided
  int unbound = 0;
  std::map<size_t, Resources> bound;  // what those that are bound request, by node
  Resources request;                  // of one that is not bound yet, where `Known()`
  int away = 0;                       // not ready, behind a link that is in doubt, or missing in
                                      // a cluster that is unreachable
  bool unwanted = false;              // the spec or its group wants nothing there any more
  bool leaving = false;               // its replicas go as soon as others serve in their place
  std::optional<Option> option;       // once looked at
  std::optional<Finding> shortage;    // why it took fewer than it was asked to
  std::vector<std::string> missing;   // all that is, for what the pool lacks in the end
  const CellFacts* deployment = nullptr;

  [[nodiscard]] bool Known() const { return seeker != kNowhere; }
  // Its Deployment has another template than the variant by now.
  [[nodiscard]] bool IsOld() const {
    return deployment != nullptr && variant != nullptr && memory.desired > 0 &&
           deployment->revision != variant->revision;
  }
  [[nodiscard]] Throughput Each() const { return variant == nullptr ? 0 : variant->throughput; }
  [[nodiscard]] bool Spilled() const { return memory.tier > 0; }
  [[nodiscard]] bool Blocked(Time now) const {
    return memory.blocked_until && now < *memory.blocked_until;
  }
  // How it is brought to another template: pods beyond its replicas, or so many down first.
  bool roll = false;  // its Deployment may have the variant's present template now
  int surge = 1;
  int unavailable = 0;

  [[nodiscard]] bool Rolling() const {
    return roll || (deployment != nullptr && deployment->rolling);
  }
  // A Deployment that is to have no replicas makes no pods beyond them either.
  [[nodiscard]] int Surge() const { return memory.desired > 0 ? SurgeOnceInUse() : 0; }
  [[nodiscard]] int SurgeOnceInUse() const { return Rolling() ? surge : 0; }
  [[nodiscard]] int Bound() const { return live - unbound; }
  // Pods that are still to be bound somewhere on its nodes.
  [[nodiscard]] int AtLarge() const { return std::max(0, memory.desired + Surge() - Bound()); }
  [[nodiscard]] Throughput Serving() const { return Each() * ready; }
  // What it will serve once all that is decided is there.
  [[nodiscard]] Throughput Promised() const { return Each() * (memory.desired - away); }
};

// What of these is asked for the cell; nullptr: nothing.
const CellAsk* FindAsk(const std::vector<CellAsk>& asks, const CellState& cell);

// The deciding of one inference pool. A pass decides it again when room has come back, and goes on
// from what it had decided.
struct InferenceDraft {
  const InferencePool* pool = nullptr;
  InferenceMemory memory;
  std::vector<CellState> cells;  // in the order in which they are filled
  Throughput required = 0;
  bool link_suspect = false;               // it has replicas behind a link that is in doubt
  const GroupView* unreachable = nullptr;  // it has replicas there, in a cluster that is
  std::optional<Time> unknown_since;       // nobody knows what is needed, as its signal is silent
  std::vector<RejectedMix> rejected;       // the next best of what was added
  std::optional<RejectedMix> better;       // would be taken, but for what it says
  std::optional<Throughput> rounded;       // the unit in which mixes were reckoned, if not exactly
  std::optional<Cause> held;    // why nothing is decided at all: paused, misconfigured, …
  bool claims = false;          // what its claim has is reserved for it by now
  bool counts_on_room = false;  // it claims nothing only for what is free once others are bound
  std::vector<Leaver> awaits;   // with a claim: whom it waits for
  // Nodes that elastic groups are asked for in this round, for what all cells together lack.
  std::vector<CellAsk> asks = {};
  std::vector<Leaver> yields;      // to whom replicas of it give way, how many, and when
  std::vector<std::string> evict;  // pods on nodes that are not coming back soon, or that give way
  std::vector<std::string> force_delete;

  // What is asked for the cell in this round; nullptr: nothing.
  [[nodiscard]] const CellAsk* AskOf(const CellState& cell) const { return FindAsk(asks, cell); }
  [[nodiscard]] int64_t AskedFor(const CellState& cell) const;  // replicas

  // What is needed and not even decided.
  [[nodiscard]] Throughput Lacks() const;

  // What it has or needs is in doubt: it removes nothing, and makes nobody go.
  [[nodiscard]] bool IsInDoubt() const {
    return link_suspect || unreachable != nullptr || unknown_since.has_value();
  }

  // Is the pod there to stay? Not if it is on its way out, or is sent there now.
  [[nodiscard]] bool Stays(const Replica& replica) const;
};

// The draft as things stand: nothing decided, all cells known.
InferenceDraft SurveyPool(const World& world, size_t pool);

// Counts the cell's pods anew: more of them do not stay by now.
void Recount(const World& world, const InferenceDraft& draft, CellState& cell);

// Which of the draft's cells its claim is for; nullopt: it has no claim, or not that cell any more.
std::optional<size_t> ClaimedCell(const InferenceDraft& draft);

// Reserves what the cells are to have and is not bound yet, and what the pool has a claim on, if
// that is reserved by now.
void ClaimCells(const World& world, Capacity& capacity, const InferenceDraft& draft);
// The latter alone, beside what is reserved for the cells already.
void GatherCells(const World& world, Capacity& capacity, const InferenceDraft& draft);
void CountCells(QuotaBook& quotas, const InferenceDraft& draft, int sign);
// The nodes that its pods are on, also those on their way out: which of them go is not known
// before.
void CountNodes(QuotaBook& quotas, const World& world, const InferencePool& pool);

// When the replicas of a node that is away are given up: the group's grace after it went, or after
// the link was found whole again, as the last ones may come back a moment later than the others.
Time StrandedFrom(const NodeGroup& group, const Node& node, Time now);

// Is the replica one of the cell's?
bool IsIn(const Replica& replica, const CellState& cell);

// What those of its replicas that are on the node already take of it.
Row TakenOn(const Capacity& capacity, const CellState& cell, size_t node);
// How many more replicas would fit on the node beside these.
int64_t SlotsOn(const Capacity& capacity, const CellState& cell, size_t node, const Row& request);

// The API server has judged the variant's template, and takes it.
bool IsTemplateKnown(const Variant& variant);

// What one replica of the cell costs an hour; nothing where its group is gone.
Money HourlyCost(const CellState& cell);
Money MarginalHourlyCost(const CellState& cell);
Money CostAboveHome(const CellState& cell);  // the latter; nothing at home

// What pods of such numbers serve by the pool's routing: evenly shared requests are limited by the
// slowest. (variant, replicas) in any order.
Throughput Usable(const InferencePool& pool, const std::vector<std::pair<const Variant*, int>>& of);

}  // namespace spillway::placement
