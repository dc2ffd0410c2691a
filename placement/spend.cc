#include "placement/spend.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace spillway::placement {
namespace {

__extension__ using Wide = __int128;

constexpr int64_t kHour = 3600;  // seconds
// What has been spent is written anew after so long, at the least and at the most, and in between
// after so many percent of the budget.
constexpr Seconds kSoonest{60};
constexpr Seconds kLatest{kHour};
constexpr int64_t kPercent = 1;

Seconds Clamp(Wide seconds, Seconds least, Seconds most) {
  return Seconds{static_cast<int64_t>(std::clamp<Wide>(seconds, least.count(), most.count()))};
}

// How long what is remembered stays a fair answer for those who read the status.
Seconds FairFor(const SpendMemory& memory, Money amount) {
  if (memory.spent >= amount || memory.hourly <= Money()) return kLatest;
  const Wide share = Wide{amount.micros()} * kPercent * kHour / 100;
  return Clamp(share / memory.hourly.micros(), kSoonest, kLatest);
}

// The first moment at which the amount has been spent, or when it is to be looked at again if that
// is sooner. REQUIRES that it has not been spent by the moment of `memory`, and that something is
// spent.
Time UsedUpAt(const SpendMemory& memory, Money amount) {
  const Wide left = Wide{amount.micros()} - memory.spent.micros();
  // SpentBy rounds half up, so that half a millionth less will do.
  const Wide hourly = memory.hourly.micros();
  const Wide seconds = (left * kHour - kHour / 2 + hourly - 1) / hourly;
  return memory.as_of + Clamp(seconds, Seconds{0}, kLatest);
}

}  // namespace

Period PeriodOf(BudgetPeriod period, Time now) {
  namespace chrono = std::chrono;
  const auto today = chrono::floor<chrono::days>(now);
  switch (period) {
    case BudgetPeriod::kDay:
      return {.start = today, .end = today + chrono::days{1}};
    case BudgetPeriod::kWeek: {
      const auto monday = today - (chrono::weekday(today) - chrono::Monday);
      return {.start = monday, .end = monday + chrono::days{7}};
    }
    case BudgetPeriod::kMonth:
      break;
  }
  const chrono::year_month_day date{today};
  const auto first = date.year() / date.month() / chrono::day{1};
  return {.start = chrono::sys_days(first), .end = chrono::sys_days(first + chrono::months{1})};
}

Money SpentBy(const SpendMemory& memory, const Period& period, Time now) {
  const Money before = memory.period_start >= period.start ? memory.spent : Money();
  const Time from = std::max(memory.as_of, period.start);
  return before + memory.hourly.Share(std::max<int64_t>((now - from).count(), 0), kHour);
}

Money CostAboveHome(const GroupView& group, int64_t accelerators) {
  if (group.spec->tier == 0) return {};
  return group.spec->marginal_per_node_hour.Share(accelerators, group.per_node);
}

bool IsPaidByNode(const NodeGroup& group) {
  return group.elastic && group.tier > 0 && group.marginal_per_node_hour > Money();
}

SpendBook::SpendBook(const Snapshot& snapshot) : now_(snapshot.now), currency_(snapshot.currency) {
  for (const Quota& quota : snapshot.quotas) {
    Account& account = accounts_[quota.ns];
    account.most = quota.max_hourly_cost;
    account.budget = quota.budget;
    if (!quota.budget) continue;
    account.memory = quota.memory;
    account.period = PeriodOf(quota.budget->period, now_);
    if (quota.memory) account.spent = SpentBy(*quota.memory, account.period, now_);
    any_drains_ = any_drains_ || account.UsedUp();
  }
}

void SpendBook::Add(const std::string& ns, Money hourly) { accounts_[ns].hourly += hourly; }

void SpendBook::AddBeside(const Payer& pool, Money hourly) {
  if (hourly == Money()) return;
  accounts_[pool.key.ns].beside += hourly;
  beside_[pool] += hourly;
}

Money SpendBook::PaidBeside(const Payer& pool) const {
  const auto at = beside_.find(pool);
  return at == beside_.end() ? Money() : at->second;
}

std::optional<Money> SpendBook::Left(const std::string& ns) const {
  const auto at = accounts_.find(ns);
  if (at == accounts_.end()) return std::nullopt;
  const Account& account = at->second;
  if (account.UsedUp()) return Money();
  if (!account.most) return std::nullopt;
  const int64_t left = account.most->micros() - account.hourly.micros();
  return Money::FromMicros(std::max<int64_t>(left, 0));
}

int64_t SpendBook::HowMany(const std::string& ns, Money each, int64_t wanted) const {
  if (each <= Money()) return wanted;
  const auto left = Left(ns);
  return left ? std::min(left->micros() / each.micros(), wanted) : wanted;
}

// `costs`: what it would cost, as a clause; `in_use`: what counts of what is spent by now.
std::optional<SpendBlock> SpendBook::Block(const std::string& ns, Money more, Money in_use,
                                           const std::string& costs) const {
  const Account& account = accounts_.at(ns);
  const std::string most = account.most ? account.most->Format() : "";
  std::string raise;  // empty: the hourly limit is not in the way
  if (account.most && in_use + more > *account.most) {
    raise = fmt::format("raise spend.maxHourlyCost of {} in namespace {} to {}", most, ns,
                        (in_use + more).Format());
  }
  if (account.UsedUp()) {
    const std::string amount = account.budget->amount.Format();
    const std::string end = FormatTime(account.period.end);
    return SpendBlock{.message = fmt::format(
                          "{}, and namespace {} has used up its spend.budget of {} for this {}; "
                          "the next one begins at {}",
                          costs, ns, amount, Name(account.budget->period), end),
                      .remedy = fmt::format(
                          "raise spend.budget.amount of {} in namespace {}, or wait until {}{}{}",
                          amount, ns, end, raise.empty() ? "" : "; ", raise)};
  }
  if (raise.empty()) return std::nullopt;
  return SpendBlock{
      .message = fmt::format("{}, and namespace {} has {} of its spend.maxHourlyCost of {} in use",
                             costs, ns, in_use.Format(), most),
      .remedy = raise};
}

std::optional<SpendBlock> SpendBook::BlockFor(const std::string& ns, Money more) const {
  if (HowMany(ns, more, 1) == 1) return std::nullopt;
  return Block(ns, more, accounts_.at(ns).hourly,
               fmt::format("would cost {} {} an hour", more.Format(), currency_));
}

std::optional<SpendBlock> SpendBook::BlockForNodes(const std::string& ns, Money more,
                                                   const std::string& what) const {
  const auto at = accounts_.find(ns);
  if (more <= Money() || at == accounts_.end()) return std::nullopt;
  return Block(ns, more, at->second.All(),
               fmt::format("{} would cost {} {} an hour", what, more.Format(), currency_));
}

Money SpendBook::All(const std::string& ns) const {
  const auto at = accounts_.find(ns);
  return at == accounts_.end() ? Money() : at->second.All();
}

bool SpendBook::IsCrossedByNodes(const std::string& ns) const {
  const auto at = accounts_.find(ns);
  return at != accounts_.end() && at->second.most && at->second.All() > *at->second.most;
}

std::optional<Money> SpendBook::Excess(const std::string& ns, Money more) const {
  const auto at = accounts_.find(ns);
  if (more <= Money() || at == accounts_.end()) return Money();
  const Account& account = at->second;
  if (account.UsedUp()) return std::nullopt;
  if (!account.most) return Money();
  if (more > *account.most) return std::nullopt;
  const int64_t excess = (account.hourly + more).micros() - account.most->micros();
  return Money::FromMicros(std::max<int64_t>(excess, 0));
}

bool SpendBook::IsExceeded(const std::string& ns) const {
  const auto at = accounts_.find(ns);
  if (at == accounts_.end()) return false;
  const Account& account = at->second;
  return account.UsedUp() || (account.most && account.hourly > *account.most);
}

bool SpendBook::Drains(const std::string& ns) const {
  if (!any_drains_) return false;
  const auto at = accounts_.find(ns);
  return at != accounts_.end() && at->second.UsedUp() &&
         at->second.budget->at_limit == AtLimit::kDrainAtCheckpoint;
}

std::string SpendBook::TellUsedUp(const std::string& ns) const {
  const Budget& budget = *accounts_.at(ns).budget;
  return fmt::format("namespace {} has used up its spend.budget of {} for this {}", ns,
                     budget.amount.Format(), Name(budget.period));
}

// Must what is remembered be written anew?
bool SpendBook::IsDue(const Account& account) const {
  if (!account.memory) return true;
  const SpendMemory& memory = *account.memory;
  const Money amount = account.budget->amount;
  if (memory.hourly != account.All()) return true;
  if (account.spent == memory.spent && account.All() == Money()) return false;
  return memory.period_start < account.period.start ||
         (memory.spent < amount && account.spent >= amount) ||
         now_ >= memory.as_of + FairFor(memory, amount);
}

SpendMemory SpendBook::Remembered(const Account& account) const {
  if (!IsDue(account)) return *account.memory;
  SpendMemory fresh{.spent = account.spent,
                    .hourly = account.All(),
                    .as_of = now_,
                    .period_start = account.period.start};
  if (account.memory) {  // the clock may have gone back
    fresh.as_of = std::max(fresh.as_of, account.memory->as_of);
    fresh.period_start = std::max(fresh.period_start, account.memory->period_start);
  }
  return fresh;
}

SpendReport SpendBook::Report(const std::string& ns) const {
  SpendReport report;
  const auto at = accounts_.find(ns);
  if (at == accounts_.end()) return report;
  const Account& account = at->second;
  report.hourly_cost = account.All();
  report.max_hourly_cost = account.most;
  if (account.budget) {
    report.budget = BudgetReport{.amount = account.budget->amount,
                                 .spent = account.spent,
                                 .period_end = account.period.end,
                                 .memory = Remembered(account)};
  }
  return report;
}

bool SpendBook::HasNews() const {
  return std::ranges::any_of(accounts_, [this](const auto& entry) {
    const Account& account = entry.second;
    return account.budget && Remembered(account) != account.memory;
  });
}

void SpendBook::GoOnTo(Time now) {
  now_ = now;
  for (auto& [ns, account] : accounts_) {
    if (!account.budget) continue;
    account.period = PeriodOf(account.budget->period, now);
    if (account.memory) account.spent = SpentBy(*account.memory, account.period, now);
  }
}

std::vector<Time> SpendBook::Moments() const {
  std::vector<Time> moments;
  for (const auto& [ns, account] : accounts_) {
    if (!account.budget) continue;
    const SpendMemory memory = Remembered(account);
    const Money amount = account.budget->amount;
    if (account.UsedUp() || memory.spent > Money()) moments.push_back(account.period.end);
    if (memory.hourly <= Money()) continue;
    moments.push_back(memory.as_of + FairFor(memory, amount));
    if (!account.UsedUp()) moments.push_back(UsedUpAt(memory, amount));
  }
  return moments;
}

}  // namespace spillway::placement
