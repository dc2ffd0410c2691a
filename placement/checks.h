#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "placement/capacity.h"
#include "placement/constraints.h"
#include "placement/gangs.h"
#include "placement/growth.h"
#include "placement/nodes.h"
#include "placement/offers.h"
#include "placement/plan.h"
#include "placement/promise.h"
#include "placement/quotas.h"

// Where a pool may go: an ordered list of small named checks.
namespace spillway::placement {

// Everything that a pass has decided so far, as the checks see it. The parts outlive this.
struct Scene {
  const World& world;
  const Capacity& capacity;
  const QuotaBook& quotas;
  Offers& offers;
  const Promises* promises = nullptr;  // nullptr: nobody has any
};

// What a check has against a group.
struct Finding {
  Reason reason = Reason::kAsExpected;
  std::string message;  // a clause with the numbers, without the group's name
  std::string remedy;   // what would help, likewise
  bool last = false;    // what comes after it can't be judged any more
  bool spent = false;   // what others of its namespace cost is all that is in the way
};

// What a pool asks for of a type that its namespace has a limit of.
struct LimitAsk {
  const std::string& ns;
  const std::string& type;
  int64_t needed = 0;  // accelerators beside those that are counted
  int64_t own = 0;     // of those that are counted, the pool's
};

// Its namespace has less than it asks for under its limit. QuotaExceeded: it would not be enough if
// the pool had all of it for itself. WaitingForQuota: that would do, others of the namespace have
// it. REQUIRES used + needed > limit.
Finding BeyondLimit(const LimitAsk& ask, int64_t used, int64_t limit);

// What an elastic group may still get for a gang.
struct NewSupply {
  int nodes = 0;  // starting, asked for or not yet asked for, and promised to nobody
  std::optional<Stockout> stockout;
  Time since{};  // when the gang asked for them
  // No more of them are asked for, as others have yet to start there; nullopt: nobody has.
  std::optional<int> at_most = std::nullopt;
  // What it would have to pay for, beside those who asked before; so many are its already, whatever
  // its limits say by now.
  Growth growth = {};
  const PoolKey* pays_for_left = nullptr;  // of the last step; nullptr: nobody does
  int granted = 0;
};

// Why it asks for none of them until then.
Finding OthersFirst();

// New nodes with which a gang would fit.
struct NewNodes {
  int workers = 0;            // of the gang
  int nodes = 0;              // that are to come
  int64_t fit = 0;            // workers that fit on those there are
  std::vector<size_t> kept;   // these nodes: what is free there the gang counts on
  bool others_first = false;  // none is asked for until others have started, and only for that
};

// One node group looked at for one pool.
struct Option {
  const GroupView* group = nullptr;
  std::optional<Need> need;        // nullopt: its type is not accepted; where an elastic gang has
                                   // no room for all workers: for as many as fit, or for the least
  bool acceptable = false;         // provider, selector and type are as asked
  std::optional<Finding> finding;  // of the first check that failed
  size_t passed = 0;               // checks before it
  bool only_short = true;          // no check failed but for want of what others have: capacity, a
                                   // domain, quota, or money for an hour
  bool short_of_room = false;      // `finding` says why no new nodes are asked for in its stead
  bool too_dear = false;           // it fits, but not for the money that the whole nodes cost
  bool hopeless = false;           // does not fit on its usable nodes even when they are empty
  std::optional<Fit> fit;          // nodes for all that `need` has; also where only the hold-back
                                   // stands in the way
  std::vector<std::string> remedies;
  std::optional<Time> held_until;     // holds back from spilling here until then
  std::optional<NewNodes> new_nodes;  // of an elastic group in which it fits with these alone

  [[nodiscard]] bool Fits() const { return !finding && fit.has_value(); }
  // Others who go could make room for it, and nothing else is in the way.
  [[nodiscard]] bool LacksRoom() const {
    return finding && need && !hopeless &&
           (short_of_room || finding->reason == Reason::kWaitingForCapacity ||
            finding->reason == Reason::kWaitingForDomain);
  }
  [[nodiscard]] bool HeldBack() const {
    return finding && finding->reason == Reason::kHoldingBackSpill;
  }
};

// All groups in the order in which the pool would take them; those it does not accept come last.
// Where an elastic gang would have fewer workers than all comes after every group of the same tier
// that takes all, and after home. `memory` is the pool's, as the pass has it by now.
std::vector<Option> OptionsFor(const Scene& scene, size_t pool, const PoolMemory& memory);

// One group for one pool; `home_could`: the pool would fit at home some day, so that it holds back.
Option OptionIn(const Scene& scene, size_t pool, const PoolMemory& memory, const GroupView& group,
                bool home_could);
// The same for what the pool needs there on other terms than its spec's.
Option OptionFor(const Scene& scene, size_t pool, const PoolMemory& memory, const GroupView& group,
                 const Need& need);

// The same, for the least that the gang makes do with, once the nodes of the group are ready again
// that are NotReady within the grace.
Option OptionOnceBack(const Scene& scene, size_t pool, const PoolMemory& memory,
                      const GroupView& group, bool home_could);

// That, where it fits; nullopt: it does not, which costs less to find out than why.
std::optional<Option> FittingOption(const Scene& scene, size_t pool, const PoolMemory& memory,
                                    const GroupView& group, const Need& need);

// What is missing in the group besides room, a clause each, for who is looked at there by number.
struct BesidesRoom {
  std::vector<std::string> remedies;
  bool judged = true;  // of which nodes there is to be room is known
};
BesidesRoom MissingBesidesRoom(const Scene& scene, size_t pool, const PoolMemory& memory,
                               const GroupView& group, bool home_could);

// The same with nodes that do not exist yet, in an elastic group where the gang, or the least of
// it, has no room as it is: WaitingForNodes is the finding where they would do and nothing else is
// in the way.
Option OptionWithNewNodes(const Scene& scene, size_t pool, const PoolMemory& memory,
                          const GroupView& group, bool home_could, const NewSupply& supply);

// Would a worker fit on a new node of the group, if there were none yet that tell otherwise?
bool MayFitOnNew(const TrainingPool& pool, const GroupView& group, const Need& need);

// Holds the gang back before a spill: it would fit at home some day.
bool HomeCould(const Scene& scene, size_t pool, const PoolMemory& memory);

// The first check that fails for nodes that do not exist yet in an elastic group, room left out;
// nullopt: none does.
std::optional<Finding> FindingOnNew(const Scene& scene, size_t pool, const PoolMemory& memory,
                                    const GroupView& group, bool home_could,
                                    const NewSupply& supply);

// Workers that fit on one new node of the elastic group, no more than are needed, as far as is
// known.
int64_t FitOnNew(const Scene& scene, const TrainingPool& pool, const GroupView& group,
                 const Need& need);

// Would the gang, or the least of it, fit in the group some day: on all matched nodes, whatever
// their health and use, and those that it may still get?
bool CouldEverFit(const Scene& scene, const TrainingPool& pool, const GroupView& group);

// Marginal price of one accelerator: negative where it is lower on the left, 0 where it is equal.
int ComparePrice(const GroupView& left, const GroupView& right);

// The moment until which the pool holds back from spilling.
Time HoldBackEnd(const TrainingPool& pool, const PoolMemory& memory, Time now);

// What the pool asks for, for sentences: "a100 and h100", "OnPrem".
std::string TypesOf(const TrainingPool& pool);
std::string ProvidersOf(const TrainingPool& pool);

// May the pool go to the group at all: type, provider, selector?
bool Accepts(const TrainingPool& pool, const NodeGroup& group);

// What spend limits have against the gang in the group, where it is not counted yet; nullopt:
// nothing, as at home and wherever it costs nothing at the margin.
std::optional<Finding> SpendFinding(const Scene& scene, const TrainingPool& pool,
                                    const GroupView& group, const Need& need);

// The same for whole nodes, that cost the gang itself so much and its namespace so much more than
// now. `what`: the subject of the clause.
std::optional<Finding> SpendFindingOnNodes(const Scene& scene, const TrainingPool& pool,
                                           const std::string& what, Money cost, Money more);

}  // namespace spillway::placement
