#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "placement/nodes.h"
#include "placement/plan.h"
#include "placement/snapshot.h"

// Money for what runs above home, by marginal price: what it costs an hour, what has been spent of
// a budget, and the most that there may be of both.
namespace spillway::placement {

// One day, week or month of the calendar, in UTC; weeks begin on Monday.
struct Period {
  Time start{};
  Time end{};  // when the next one begins
};
Period PeriodOf(BudgetPeriod period, Time now);

// What has been spent in the period by `now`, going on from what is remembered. What was spent in
// an earlier period is forgotten; a clock that goes back takes nothing back.
Money SpentBy(const SpendMemory& memory, const Period& period, Time now);

// What so many of the group's accelerators cost an hour above home: nothing at home.
Money CostAboveHome(const GroupView& group, int64_t accelerators);

// The nodes of a group are there because somebody asked for them, and are paid for whole: it is
// elastic, and above home.
bool IsPaidByNode(const NodeGroup& group);

// A pool that pays. One of each kind may have a name.
struct Payer {
  bool inference = false;
  PoolKey key;
  auto operator<=>(const Payer&) const = default;
};

// What stands in the way of spending more.
struct SpendBlock {
  std::string message;  // a clause with the numbers
  std::string remedy;
};

// What each namespace's pools cost an hour above home, and its limits. What costs nothing there is
// never in the way of a limit. Two sums are kept: the shares of accelerators, and what is paid for
// whole nodes beside them. Whether there is money for what causes no node is asked of the shares
// alone, so that nobody gives way because a node has been left to its last user. A budget counts
// both.
class SpendBook {
 public:
  explicit SpendBook(const Snapshot& snapshot);

  void Add(const std::string& ns, Money hourly);
  // For nodes that the pool has for itself or asks for, beside its shares.
  void AddBeside(const Payer& pool, Money hourly);
  [[nodiscard]] Money PaidBeside(const Payer& pool) const;

  // What may be spent an hour beyond what is; nullopt: there is no limit.
  [[nodiscard]] std::optional<Money> Left(const std::string& ns) const;
  // Of `wanted` more things that cost `each` an hour, those for which there is money.
  [[nodiscard]] int64_t HowMany(const std::string& ns, Money each, int64_t wanted) const;
  // Why there is none for `more` an hour; nullopt: there is.
  [[nodiscard]] std::optional<SpendBlock> BlockFor(const std::string& ns, Money more) const;
  // The same for whole nodes, beside all that is paid. `what`: the subject of the clause.
  [[nodiscard]] std::optional<SpendBlock> BlockForNodes(const std::string& ns, Money more,
                                                        const std::string& what) const;
  // All that is paid an hour, whole nodes among it, and whether that is more than may be.
  [[nodiscard]] Money All(const std::string& ns) const;
  [[nodiscard]] bool IsCrossedByNodes(const std::string& ns) const;
  // What others of the namespace would have to cost less an hour for `more` to be within the hourly
  // limit; nullopt: that is no help, as the limit is lower than `more`, or a budget is used up.
  [[nodiscard]] std::optional<Money> Excess(const std::string& ns, Money more) const;
  // Is more spent than may be, or the budget used up?
  [[nodiscard]] bool IsExceeded(const std::string& ns) const;
  // Must what costs something above home leave its place: is the budget used up, and is it one with
  // DrainAtCheckpoint?
  [[nodiscard]] bool Drains(const std::string& ns) const;
  // That its budget is used up, as a clause. REQUIRES that it is.
  [[nodiscard]] std::string TellUsedUp(const std::string& ns) const;

  [[nodiscard]] SpendReport Report(const std::string& ns) const;
  // Is something else to be remembered of a budget than what is?
  [[nodiscard]] bool HasNews() const;
  // Time has gone on to `now`, which is before the next of Moments, and with it what is spent.
  void GoOnTo(Time now);

  // When a budget is used up, when the next period begins, and when what has been spent is to be
  // remembered anew; past ones included.
  [[nodiscard]] std::vector<Time> Moments() const;

 private:
  struct Account {
    Money hourly;  // shares
    Money beside;  // them
    std::optional<Money> most;
    std::optional<Budget> budget;
    // Of the budget:
    std::optional<SpendMemory> memory;
    Period period;
    Money spent;  // by now
    [[nodiscard]] bool UsedUp() const { return budget && spent >= budget->amount; }
    [[nodiscard]] Money All() const { return hourly + beside; }
  };
  [[nodiscard]] std::optional<SpendBlock> Block(const std::string& ns, Money more, Money in_use,
                                                const std::string& costs) const;
  [[nodiscard]] SpendMemory Remembered(const Account& account) const;
  [[nodiscard]] bool IsDue(const Account& account) const;

  Time now_{};
  std::string currency_;
  std::map<std::string, Account> accounts_;  // by namespace
  std::map<Payer, Money> beside_;
  bool any_drains_ = false;  // must anybody leave its place?
};

}  // namespace spillway::placement
