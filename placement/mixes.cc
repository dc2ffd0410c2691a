#include "placement/mixes.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

namespace spillway::placement {
namespace {

using Wide = MoneySeconds;

constexpr int64_t kMostUnits = 20'000;        // of the need
constexpr int64_t kMostStates = 500'000;      // between two stages
constexpr int64_t kMostSteps = 50'000'000;    // from the states before a stage by all its options
constexpr int64_t kMostOptions = 8'192;       // of one stage
constexpr int64_t kMostPacking = 20'000'000;  // steps to find what fits on a stage's nodes together
constexpr size_t kMostStretches = 32;         // of a cell on nodes that are to be made

constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();

int64_t CeilDiv(int64_t amount, int64_t by) { return amount / by + (amount % by > 0 ? 1 : 0); }

int64_t Clamped(Wide amount) { return amount > kLargest ? kLargest : static_cast<int64_t>(amount); }

// Of these numbers of added replicas, how many are of cells that get any.
int64_t GrowingIn(const std::vector<int64_t>& added) {
  return std::count_if(added.begin(), added.end(), [](int64_t n) { return n > 0; });
}

// A cell in the order in which they are decided, with bounds that leave out what no best mix has.
struct Place {
  size_t stage = 0;  // in the problem, as `cell`
  size_t cell = 0;
  const MixCell* spec = nullptr;
  int64_t size = 1;
  int64_t units = 0;  // that one replica serves
  int64_t least = 0;
  int64_t most = 0;

  // Replicas up to here are there, or must be: nobody asks whether they fit.
  [[nodiscard]] int64_t Base() const { return std::max(spec->now, least); }
  [[nodiscard]] int64_t Growth() const { return std::max<int64_t>(most - Base(), 0); }
};

// A sum over cells that may not be more, or should not be less, than a total.
struct Limit {
  int64_t total = 0;
  bool at_least = false;
  bool of_added = false;         // else of all replicas
  std::vector<int64_t> weights;  // by place
  int64_t step = 1;              // in which it is counted
  size_t first = 0;              // stages with cells that it weighs
  size_t last = 0;

  [[nodiscard]] int64_t Steps() const { return at_least ? total : total / step; }
  // What the cell weighs with so many replicas, beyond what it has in any mix.
  [[nodiscard]] Wide Of(size_t p, const Place& place, int64_t replicas) const {
    const int64_t always = of_added ? place.Base() : place.least;
    return Wide{weights[p]} * std::max<int64_t>(replicas - always, 0);
  }
};

// Which numbers of added replicas of several cells fit on nodes together, by accelerators: of each
// combination of all cells but the last, how many of the last are possible.
class Packing {
 public:
  Packing(std::vector<int64_t> sizes, std::vector<int64_t> most, std::vector<int64_t> free)
      : sizes_(std::move(sizes)), most_(std::move(most)), free_(std::move(free)) {
    std::sort(free_.begin(), free_.end(), std::greater<>());
    Wide combinations = 1;
    Wide steps = static_cast<int64_t>(free_.size() + 1);
    for (size_t i = 0; i + 1 < most_.size(); ++i) {
      combinations *= most_[i] + 1;
      steps *= most_[i] + 1;
      steps *=
          1 + (free_.empty() ? 0 : std::clamp<int64_t>(free_.front() / sizes_[i], 0, most_[i]));
      known_ = known_ && steps <= kMostPacking;
    }
    if (known_) Fill(static_cast<size_t>(combinations));
  }

  // False: there are too many combinations, and no two cells may grow at once.
  [[nodiscard]] bool Known() const { return known_; }

  [[nodiscard]] bool Fits(const std::vector<int64_t>& added) const {
    if (GrowingIn(added) < 2) return true;
    return known_ && last_[IndexOf(added)] >= added.back();
  }

 private:
  [[nodiscard]] size_t IndexOf(const std::vector<int64_t>& counts) const {
    size_t index = 0;
    for (size_t i = most_.size() - 1; i-- > 0;) {
      index = index * static_cast<size_t>(most_[i] + 1) + static_cast<size_t>(counts[i]);
    }
    return index;
  }

  [[nodiscard]] std::vector<int64_t> CountsOf(size_t index) const {
    std::vector<int64_t> counts(most_.size(), 0);
    for (size_t i = 0; i + 1 < most_.size(); ++i) {
      counts[i] = static_cast<int64_t>(index % static_cast<size_t>(most_[i] + 1));
      index /= static_cast<size_t>(most_[i] + 1);
    }
    return counts;
  }

  void Fill(size_t combinations) {
    last_.assign(combinations, -1);
    last_[0] = 0;
    for (const int64_t free : free_) {
      if (free < 1 || last_.back() == most_.back()) break;
      const std::vector<int64_t> before = last_;
      for (size_t from = 0; from < combinations; ++from) {
        if (before[from] < 0) continue;
        counts_ = CountsOf(from);
        Put(0, free, before[from]);
      }
    }
  }

  // All that a node with so much free can have of the cells from this one on.
  void Put(size_t cell, int64_t free, int64_t last) {
    if (cell + 1 == most_.size()) {
      int64_t& most = last_[IndexOf(counts_)];
      most = std::max(most, std::min(most_.back(), last + free / sizes_.back()));
      return;
    }
    const int64_t before = counts_[cell];
    for (; counts_[cell] <= most_[cell]; ++counts_[cell], free -= sizes_[cell]) {
      if (free < 0) break;
      Put(cell + 1, free, last);
    }
    counts_[cell] = before;
  }

  std::vector<int64_t> sizes_;
  std::vector<int64_t> most_;
  std::vector<int64_t> free_;
  bool known_ = true;
  std::vector<int64_t> last_;    // by combination; -1: impossible
  std::vector<int64_t> counts_;  // of the combination that is being made
};

// One joint choice of a stage.
struct StageOption {
  std::vector<int64_t> counts;  // by place of the stage
  int64_t units = 0;            // that it serves, no more than the need
  MixCost cost;                 // without distance
  std::vector<int64_t> use;     // by limit
};

struct StagePlan {
  int64_t tier = 0;
  size_t from = 0;  // its places
  size_t to = 0;
  std::optional<Packing> packing;    // of several cells that do not all fit at their most
  std::vector<StageOption> options;  // more replicas in the first cells first
  std::vector<size_t> tried;         // of these, those that a best mix may have
  bool weighed = false;              // by one of the limits that are looked at
  // Of one cell on nodes of which some are yet to be made: what so many more replicas cost an hour.
  std::vector<Wide> bills;
};

MixCost& operator+=(MixCost& sum, const MixCost& more) {
  sum.unmet += more.unmet;
  sum.short_of += more.short_of;
  sum.distance += more.distance;
  sum.least_distance += more.least_distance;
  sum.money += more.money;
  sum.added += more.added;
  sum.tiers += more.tiers;
  sum.replicas += more.replicas;
  return sum;
}

MixCost Sum(MixCost a, const MixCost& b) { return a += b; }

MixCost Times(const MixCost& cost, int64_t count) {
  return {.unmet = cost.unmet * count,
          .short_of = cost.short_of * count,
          .distance = cost.distance * count,
          .least_distance = cost.least_distance * count,
          .money = cost.money * count,
          .added = cost.added * count,
          .tiers = cost.tiers * count,
          .replicas = cost.replicas * count};
}

// Is it better than the other with `count` times `each` more? Looks no farther than it must.
bool IsBetter(const MixCost& one, const MixCost& other, const MixCost& each, int64_t count) {
  const auto less = [&](auto MixCost::* part) {
    return other.*part + each.*part * count - one.*part;
  };
  if (const auto by = less(&MixCost::unmet); by != 0) return by > 0;
  if (const auto by = less(&MixCost::short_of); by != 0) return by > 0;
  if (const auto by = less(&MixCost::distance); by != 0) return by > 0;
  if (const auto by = less(&MixCost::least_distance); by != 0) return by > 0;
  if (const auto by = less(&MixCost::money); by != 0) return by > 0;
  if (const auto by = less(&MixCost::added); by != 0) return by > 0;
  if (const auto by = less(&MixCost::tiers); by != 0) return by > 0;
  return less(&MixCost::replicas) > 0;
}

// Numbers of replicas of a cell over which what they cost grows evenly.
struct Stretch {
  int64_t least = 0;
  int64_t most = 0;
  MixCost base;  // of none, if it were so from the start
  MixCost each;
};

// What is left to the stages behind by so many replicas of a stretch as may be had, and the best of
// it. Among equals that of more replicas.
class Window {
 public:
  void Clear() {
    entries_.clear();
    first_ = 0;
  }

  // What needs `at` more replicas behind, more than the last one; `tails`: what is best there.
  template <class Tails>
  void Add(int64_t at, const MixCost& each, const Tails& tails) {
    const auto loses = [&](int64_t last) {
      return IsBetter(tails(at), tails(last), each, at - last);
    };
    while (entries_.size() > first_ && loses(entries_.back())) entries_.pop_back();
    entries_.push_back(static_cast<int32_t>(at));
  }

  // Of those at `from` or behind it, which never goes back; nullopt: there is none.
  std::optional<int64_t> BestFrom(int64_t from) {
    while (first_ < entries_.size() && entries_[first_] < from) ++first_;
    if (first_ == entries_.size()) return std::nullopt;
    return entries_[first_];
  }

 private:
  std::vector<int32_t> entries_;
  size_t first_ = 0;
};

class Solver {
 public:
  explicit Solver(const MixProblem& problem) : problem_(problem) {}

  // Most limits bind nobody: the best mix without them is the best one with them if it keeps them.
  Mix Solve() {
    OrderCells();
    ChooseUnit();
    BoundCells();
    SplitStages();
    SetLimits();
    ListOptions();
    std::vector<int64_t> counts;
    do {
      FindWeighed();
      Coarsen();
      WeighOptions();
      LayOut();
      FindReachable();
      for (size_t k = stages_.size(); k-- > 0;) Decide(k);
      counts = Chosen();
    } while (LookAtCrossed(counts));
    return Result(std::move(counts));
  }

 private:
  // ---- the problem, put in order ----

  void OrderCells() {
    std::vector<size_t> order(problem_.stages.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      const MixStage& left = problem_.stages[a];
      const MixStage& right = problem_.stages[b];
      return std::tie(left.tier, left.name) < std::tie(right.tier, right.name);
    });
    for (const size_t s : order) AddStage(s);
  }

  void AddStage(size_t s) {
    const MixStage& stage = problem_.stages[s];
    if (stage.cells.empty()) return;
    StagePlan& plan = stages_.emplace_back();
    plan.tier = stage.tier;
    plan.from = places_.size();
    for (size_t c = 0; c < stage.cells.size(); ++c) {
      const MixCell& cell = stage.cells[c];
      places_.push_back({.stage = s,
                         .cell = c,
                         .spec = &cell,
                         .size = VariantOf(cell).size,
                         .least = cell.least,
                         .most = std::max(cell.least, cell.most)});
    }
    plan.to = places_.size();
    std::sort(places_.begin() + static_cast<std::ptrdiff_t>(plan.from), places_.end(),
              [](const Place& a, const Place& b) { return a.spec->variant < b.spec->variant; });
  }

  [[nodiscard]] const MixVariant& VariantOf(const MixCell& cell) const {
    return problem_.variants[cell.variant];
  }
  [[nodiscard]] int64_t TierOf(const Place& place) const {
    return problem_.stages[place.stage].tier;
  }

  void ChooseUnit() {
    int64_t common = 0;
    for (const Place& place : places_) {
      if (place.most > 0) common = std::gcd(common, VariantOf(*place.spec).each);
    }
    const int64_t need = std::max<int64_t>(problem_.need, 0);
    unit_ = std::max<int64_t>(common > 0 ? common : need, 1);
    const int64_t units = CeilDiv(need, unit_);
    if (units > kMostUnits) {
      unit_ *= CeilDiv(units, kMostUnits);
      rounded_ = true;
    }
    need_ = CeilDiv(need, unit_);
    for (Place& place : places_) place.units = VariantOf(*place.spec).each / unit_;
  }

  // Nobody wants more replicas of a cell than serve the whole need, unless the variant must have
  // them.
  void BoundCells() {
    for (Place& place : places_) {
      const int64_t enough = place.units < 1 ? 0 : CeilDiv(need_, place.units);
      const int64_t wanted = std::max({place.least, enough, VariantOf(*place.spec).least});
      place.most = std::min(place.most, wanted);
    }
  }

  // Where the cells of a group leave each other enough whatever they are given, each is a stage by
  // itself.
  void SplitStages() {
    std::vector<StagePlan> stages;
    for (StagePlan& stage : stages_) {
      Packing packing = PackingOf(stage);
      std::vector<int64_t> most;
      for (size_t p = stage.from; p < stage.to; ++p) most.push_back(places_[p].Growth());
      const bool fits = packing.Fits(most);
      if (!fits) {
        rounded_ = rounded_ || !packing.Known();
        stage.packing = std::move(packing);
      }
      if (!fits || (Makes(stage) && GrowingIn(most) > 1)) {
        stages.push_back(std::move(stage));
        continue;
      }
      for (size_t p = stage.from; p < stage.to; ++p) {
        StagePlan& one = stages.emplace_back();
        one.tier = stage.tier;
        one.from = p;
        one.to = p + 1;
      }
    }
    stages_ = std::move(stages);
    for (StagePlan& stage : stages_) {
      if (stage.to - stage.from == 1 && Makes(stage)) SetBills(stage);
    }
  }

  // ---- nodes that are yet to be made ----

  [[nodiscard]] const MixStage& SpecOf(const StagePlan& stage) const {
    return problem_.stages[places_[stage.from].stage];
  }
  [[nodiscard]] bool Makes(const StagePlan& stage) const { return !SpecOf(stage).made.empty(); }

  // How many of a cell a node has room for that has so many accelerators free.
  [[nodiscard]] static int64_t FitOn(const Place& place, size_t node, int64_t free) {
    const int64_t by_accelerators = std::max<int64_t>(free / place.size, 0);
    const std::vector<int64_t>& fits = place.spec->fits;
    return fits.empty() ? by_accelerators : std::min(fits[node], by_accelerators);
  }

  // What so many more replicas of each of the stage's cells cost an hour.
  [[nodiscard]] Wide BillFor(const StagePlan& stage, std::vector<int64_t> added) const {
    const MixStage& spec = SpecOf(stage);
    const size_t there = spec.free.size() + 1 - spec.made.size();
    const auto price = [&](size_t i) { return Wide{places_[stage.from + i].spec->price.micros()}; };
    Wide bill = 0;
    size_t made = 0;
    int64_t left = std::accumulate(added.begin(), added.end(), int64_t{0});
    for (size_t n = 0; n < spec.free.size() && left > 0; ++n) {
      int64_t free = spec.free[n];
      for (size_t i = 0; i < added.size(); ++i) {
        const Place& place = places_[stage.from + i];
        const int64_t here = std::min(FitOn(place, n, free), added[i]);
        free -= here * place.size;
        added[i] -= here;
        left -= here;
        if (n < there) bill += price(i) * here;
        if (n >= there && here > 0) made = n + 1 - there;
      }
    }
    for (size_t i = 0; i < added.size(); ++i) bill += price(i) * added[i];
    return bill + spec.made[made].micros();
  }

  // The same for each number of replicas of one cell.
  void SetBills(StagePlan& stage) {
    const MixStage& spec = SpecOf(stage);
    const Place& place = places_[stage.from];
    const Wide price = place.spec->price.micros();
    const auto growth = static_cast<size_t>(place.Growth());
    const size_t there = spec.free.size() + 1 - spec.made.size();
    Wide on_those = 0;  // the replicas on nodes that are there
    stage.bills = {0};
    for (size_t n = 0; n < spec.free.size() && stage.bills.size() <= growth; ++n) {
      for (int64_t left = FitOn(place, n, spec.free[n]); left > 0; --left) {
        if (stage.bills.size() > growth) break;
        if (n < there) on_those += price;
        stage.bills.push_back(n < there ? on_those : on_those + spec.made[n + 1 - there].micros());
      }
    }
    while (stage.bills.size() <= growth) stage.bills.push_back(stage.bills.back() + price);
    Spread(stage.bills);
  }

  // Behind the first stretches over which they grow evenly, by as much for each replica.
  void Spread(std::vector<Wide>& bills) {
    size_t stretches = 0;
    size_t from = 1;
    for (; from < bills.size(); from = EndOfStretch(bills, from)) {
      if (++stretches > kMostStretches) break;
    }
    if (from >= bills.size()) return;
    rounded_ = true;
    const auto count = static_cast<Wide>(bills.size() - from);
    const Wide each = (bills.back() - bills[from - 1]) / count;
    for (size_t k = from; k < bills.size(); ++k) bills[k] = bills[k - 1] + each;
  }

  // The first number from which on replicas cost another price than the one before does; a
  // stretch's first may cost anything.
  [[nodiscard]] static size_t EndOfStretch(const std::vector<Wide>& bills, size_t from) {
    size_t to = from + 1;
    if (to >= bills.size()) return to;
    const Wide each = bills[to] - bills[from];
    while (to < bills.size() && bills[to] - bills[to - 1] == each) ++to;
    return to;
  }

  [[nodiscard]] Packing PackingOf(const StagePlan& stage) const {
    std::vector<int64_t> sizes;
    std::vector<int64_t> most;
    for (size_t p = stage.from; p < stage.to; ++p) {
      sizes.push_back(places_[p].size);
      most.push_back(places_[p].Growth());
    }
    if (GrowingIn(most) < 2) most.assign(most.size(), 0);  // no question of what fits beside what
    return {std::move(sizes), std::move(most), problem_.stages[places_[stage.from].stage].free};
  }

  // ---- limits ----

  [[nodiscard]] Limit Weigh(int64_t total, bool at_least) const {
    Limit limit;
    limit.total = std::max<int64_t>(total, 0);
    limit.at_least = at_least;
    limit.weights.assign(places_.size(), 0);
    return limit;
  }

  // Where variants must have so much that there would be too many states, they keep what they
  // have.
  void KeepLeasts() {
    Wide states = need_ + 1;
    for (const MixVariant& variant : problem_.variants) {
      states = std::min<Wide>(states * (std::max<int64_t>(variant.least, 0) + 1), kLargest);
    }
    if (states <= kMostStates) return;
    rounded_ = true;
    leasts_kept_ = true;
    std::vector<int64_t> left;
    left.reserve(problem_.variants.size());
    for (const MixVariant& variant : problem_.variants) left.push_back(variant.least);
    for (Place& place : places_) {
      int64_t& missing = left[place.spec->variant];
      const int64_t kept = std::clamp<int64_t>(missing, 0, std::min(place.spec->now, place.most));
      place.least = std::max(place.least, kept);
      missing -= place.least;
    }
  }

  void SetLimits() {
    KeepLeasts();
    for (const auto& [type, most] : problem_.accelerators) {
      Limit limit = Weigh(most, false);
      for (size_t p = 0; p < places_.size(); ++p) {
        if (VariantOf(*places_[p].spec).type == type) limit.weights[p] = places_[p].size;
      }
      AddMost(std::move(limit));
    }
    for (size_t v = 0; v < problem_.variants.size(); ++v) {
      if (problem_.variants[v].most) AddMost(WeighVariant(v, *problem_.variants[v].most, false));
    }
    if (problem_.spend) AddMost(WeighSpend());
    for (size_t v = 0; v < problem_.variants.size(); ++v) {
      if (problem_.variants[v].least > 0 && !leasts_kept_) {
        AddLeast(WeighVariant(v, problem_.variants[v].least, true));
      }
    }
  }

  [[nodiscard]] Limit WeighVariant(size_t variant, int64_t total, bool at_least) const {
    Limit limit = Weigh(total, at_least);
    for (size_t p = 0; p < places_.size(); ++p) {
      if (places_[p].spec->variant == variant) limit.weights[p] = 1;
    }
    return limit;
  }

  [[nodiscard]] Limit WeighSpend() const {
    Limit limit = Weigh(problem_.spend->micros(), false);
    limit.of_added = true;
    for (size_t p = 0; p < places_.size(); ++p) {
      if (TierOf(places_[p]) > 0) limit.weights[p] = places_[p].spec->price.micros();
    }
    return limit;
  }

  // What runs beyond the limit stays, and nothing is let in. One that nothing can reach is none.
  void AddMost(Limit limit) {
    Wide now = 0;
    Wide always = 0;
    for (size_t p = 0; p < places_.size() && !limit.of_added; ++p) {
      now += Wide{limit.weights[p]} * places_[p].spec->now;
      always += Wide{limit.weights[p]} * places_[p].least;
    }
    if (now > limit.total) LetNothingIn(limit);
    limit.total = Clamped(std::max<Wide>(std::max<Wide>(limit.total, now) - always, 0));
    if (Largest(limit) <= limit.total) return;
    int64_t common = 0;
    for (const int64_t weight : limit.weights) common = std::gcd(common, weight);
    for (int64_t& weight : limit.weights) weight /= common;
    limit.total /= common;
    Add(std::move(limit));
  }

  void LetNothingIn(const Limit& limit) {
    for (size_t p = 0; p < places_.size(); ++p) {
      if (limit.weights[p] > 0) places_[p].most = std::min(places_[p].most, places_[p].Base());
    }
  }

  void AddLeast(Limit limit) {
    for (size_t p = 0; p < places_.size(); ++p) {
      limit.total -= limit.weights[p] * places_[p].least;
    }
    limit.total = std::min(limit.total, Clamped(Largest(limit)));
    if (limit.total > 0) Add(std::move(limit));
  }

  [[nodiscard]] Wide Largest(const Limit& limit) const {
    Wide sum = 0;
    for (size_t p = 0; p < places_.size(); ++p) sum += limit.Of(p, places_[p], places_[p].most);
    return sum;
  }

  void Add(Limit limit) {
    limit.first = stages_.size();
    for (size_t k = 0; k < stages_.size(); ++k) {
      for (size_t p = stages_[k].from; p < stages_[k].to; ++p) {
        if (limit.weights[p] == 0) continue;
        limit.first = std::min(limit.first, k);
        limit.last = k;
      }
    }
    (limit.at_least ? limits_ : idle_limits_).push_back(std::move(limit));
  }

  // False: the mix crosses none of the limits that were left out.
  bool LookAtCrossed(const std::vector<int64_t>& counts) {
    const auto crossed =
        std::partition(idle_limits_.begin(), idle_limits_.end(), [&](const Limit& limit) {
          Wide use = 0;
          for (size_t p = 0; p < places_.size(); ++p) use += limit.Of(p, places_[p], counts[p]);
          return use <= limit.total;
        });
    if (crossed == idle_limits_.end()) return false;
    std::move(crossed, idle_limits_.end(), std::back_inserter(limits_));
    idle_limits_.erase(crossed, idle_limits_.end());
    return true;
  }

  // ---- what a stage can have ----

  void ListOptions() {
    for (StagePlan& stage : stages_) {
      std::vector<int64_t> counts;
      counts.reserve(stage.to - stage.from);
      AddOptions(stage, StepOf(stage), counts);
    }
  }

  // Where there would be too many joint numbers, only some of them are tried.
  int64_t StepOf(const StagePlan& stage) {
    int64_t step = 1;
    const auto options = [&] {
      Wide product = 1;
      for (size_t p = stage.from; p < stage.to; ++p) {
        product *= (places_[p].most - places_[p].least) / step + 2;
        product = std::min<Wide>(product, kLargest);
      }
      return product;
    };
    while (stage.to - stage.from > 1 && options() > kMostOptions) step *= 2;
    rounded_ = rounded_ || step > 1;
    return step;
  }

  // Adds what the cells behind those in `counts` can have beside them.
  void AddOptions(StagePlan& stage, int64_t step, std::vector<int64_t>& counts) {
    const size_t p = stage.from + counts.size();
    if (p == stage.to) {
      const bool fits = !stage.packing || stage.packing->Fits(Added(stage, counts));
      if (fits) stage.options.push_back(OptionOf(stage, counts));
      return;
    }
    const Place& place = places_[p];
    for (int64_t count = place.most; count >= place.least; --count) {
      const bool kept = step == 1 || count == place.least || count == place.most ||
                        count == place.spec->now || (count - place.least) % step == 0;
      if (!kept) continue;
      counts.push_back(count);
      AddOptions(stage, step, counts);
      counts.pop_back();
    }
  }

  [[nodiscard]] std::vector<int64_t> Added(const StagePlan& stage,
                                           const std::vector<int64_t>& counts) const {
    std::vector<int64_t> added;
    added.reserve(counts.size());
    for (size_t i = 0; i < counts.size(); ++i) {
      added.push_back(std::max<int64_t>(counts[i] - places_[stage.from + i].Base(), 0));
    }
    return added;
  }

  [[nodiscard]] StageOption OptionOf(const StagePlan& stage,
                                     const std::vector<int64_t>& counts) const {
    StageOption option{.counts = counts, .cost = {}, .use = {}};
    Wide units = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      const Place& place = places_[stage.from + i];
      const int64_t added = std::max<int64_t>(counts[i] - place.spec->now, 0);
      const Wide price = place.spec->price.micros();
      units += Wide{place.units} * counts[i];
      option.cost.money += price * counts[i] * std::max<int64_t>(problem_.payback.count(), 1);
      option.cost.money += price * added * place.spec->startup.count();
      option.cost.added += added;
      option.cost.tiers += stage.tier * counts[i];
      option.cost.replicas += counts[i];
    }
    if (Makes(stage)) option.cost.money += DearerBy(stage, counts);
    option.units = static_cast<int64_t>(std::min<Wide>(units, need_));
    return option;
  }

  // By how much they cost more, over the payback, as some of them need nodes that are to be made.
  [[nodiscard]] MoneySeconds DearerBy(const StagePlan& stage,
                                      const std::vector<int64_t>& counts) const {
    const std::vector<int64_t> added = Added(stage, counts);
    Wide bill = stage.bills.empty() ? BillFor(stage, added)
                                    : stage.bills[static_cast<size_t>(added.front())];
    for (size_t i = 0; i < added.size(); ++i) {
      bill -= Wide{places_[stage.from + i].spec->price.micros()} * added[i];
    }
    return bill * std::max<int64_t>(problem_.payback.count(), 1);
  }

  void FindWeighed() {
    for (StagePlan& stage : stages_) {
      stage.weighed = false;
      for (const Limit& limit : limits_) {
        for (size_t p = stage.from; p < stage.to; ++p) {
          stage.weighed = stage.weighed || limit.weights[p] > 0;
        }
      }
    }
  }

  // By the limits that are looked at.
  void WeighOptions() {
    for (StagePlan& stage : stages_) {
      for (StageOption& option : stage.options) {
        option.use.clear();
        for (const Limit& limit : limits_) {
          option.use.push_back(UseOf(limit, stage, option.counts));
        }
      }
      ChooseTried(stage);
    }
  }

  // Where no limit weighs the stage, what serves no more than another and is not better than that
  // is in no best mix: what is served later is served as near at the most.
  static void ChooseTried(StagePlan& stage) {
    stage.tried.resize(stage.options.size());
    std::iota(stage.tried.begin(), stage.tried.end(), size_t{0});
    if (stage.weighed || stage.to - stage.from < 2) return;
    const auto cost = [&](size_t o) -> const MixCost& { return stage.options[o].cost; };
    std::sort(stage.tried.begin(), stage.tried.end(), [&](size_t a, size_t b) {
      const int64_t left = stage.options[a].units;
      const int64_t right = stage.options[b].units;
      return left != right ? left > right : std::tie(cost(a), a) < std::tie(cost(b), b);
    });
    size_t best = stage.tried.front();
    std::erase_if(stage.tried, [&](size_t o) {
      if (std::tie(cost(best), best) < std::tie(cost(o), o)) return true;
      best = o;
      return false;
    });
    std::sort(stage.tried.begin(), stage.tried.end());
  }

  [[nodiscard]] int64_t UseOf(const Limit& limit, const StagePlan& stage,
                              const std::vector<int64_t>& counts) const {
    Wide use = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      use += limit.Of(stage.from + i, places_[stage.from + i], counts[i]);
    }
    return Clamped((use + limit.step - 1) / limit.step);
  }

  // ---- states: what is still needed, and what each limit has left, before a stage ----

  [[nodiscard]] static bool IsOpen(const Limit& limit, size_t k) {
    return limit.first < k && k <= limit.last;
  }

  [[nodiscard]] Wide StatesBefore(size_t k) const {
    Wide states = need_ + 1;
    for (const Limit& limit : limits_) {
      if (IsOpen(limit, k)) states = std::min<Wide>(states * (limit.Steps() + 1), kLargest);
    }
    return states;
  }

  [[nodiscard]] bool IsTooMuch(size_t k) const {
    const Wide states = StatesBefore(k);
    const Wide options = stages_[k].weighed ? std::ssize(stages_[k].options) : 1;
    return states > kMostStates || states * options > kMostSteps;
  }

  // Counts limits in larger steps until there are few enough states, as far as it is limits that
  // make them many: what is used up, what is left down.
  void Coarsen() {
    for (size_t k = 0; k < stages_.size(); ++k) {
      const auto steps = [&](const Limit& limit) {
        return IsOpen(limit, k) && !limit.at_least ? limit.Steps() : 0;
      };
      while (IsTooMuch(k)) {
        const auto widest =
            std::max_element(limits_.begin(), limits_.end(),
                             [&](const Limit& a, const Limit& b) { return steps(a) < steps(b); });
        if (widest == limits_.end() || steps(*widest) < 1) break;
        widest->step *= 2;
        rounded_ = true;
      }
    }
  }

  void LayOut() {
    reachable_.resize(stages_.size() + 1);
    choices_.resize(stages_.size());
    for (size_t k = 0; k <= stages_.size(); ++k) {
      reachable_[k].assign(static_cast<size_t>(StatesBefore(k)), 0);
    }
  }

  struct State {
    int64_t need = 0;
    std::vector<int64_t> left;  // by limit
  };

  [[nodiscard]] State StateOf(size_t k, size_t index) const {
    State state{.need = static_cast<int64_t>(index % static_cast<size_t>(need_ + 1)), .left = {}};
    index /= static_cast<size_t>(need_ + 1);
    for (const Limit& limit : limits_) {
      const auto sizes = static_cast<size_t>(limit.Steps() + 1);
      if (IsOpen(limit, k)) {
        state.left.push_back(static_cast<int64_t>(index % sizes));
        index /= sizes;
      } else {
        state.left.push_back(limit.Steps());
      }
    }
    return state;
  }

  struct Step {
    size_t index = 0;    // of the state before the next stage
    int64_t unmet = 0;   // of leasts that end here
    int64_t leasts = 0;  // replicas of those that variants must have
  };

  // nullopt: a limit forbids it.
  [[nodiscard]] std::optional<Step> After(size_t k, const State& state,
                                          const StageOption& option) const {
    Step step{.index = static_cast<size_t>(std::max<int64_t>(state.need - option.units, 0))};
    auto stride = static_cast<size_t>(need_ + 1);
    for (size_t l = 0; l < limits_.size(); ++l) {
      const Limit& limit = limits_[l];
      int64_t left = state.left[l] - option.use[l];
      if (left < 0 && !limit.at_least) return std::nullopt;
      left = std::max<int64_t>(left, 0);
      if (limit.at_least) step.leasts += state.left[l] - left;
      if (IsOpen(limit, k + 1)) {
        step.index += stride * static_cast<size_t>(left);
        stride *= static_cast<size_t>(limit.Steps() + 1);
      } else if (limit.at_least && limit.last == k) {
        step.unmet += left;
      }
    }
    return step;
  }

  // Could the stages from k on still serve what is needed? Of no interest where the need can't be
  // met, or where limits decide that.
  [[nodiscard]] bool MaySuffice(size_t k, size_t index) const {
    return !enough_ || static_cast<int64_t>(index) <= units_behind_[k];
  }

  void FindReachable() {
    units_behind_.assign(stages_.size() + 1, 0);
    for (size_t k = stages_.size(); k-- > 0;) {
      int64_t most = 0;
      for (const StageOption& option : stages_[k].options) most = std::max(most, option.units);
      units_behind_[k] = std::min(units_behind_[k + 1] + most, need_);
    }
    enough_ = limits_.empty() && units_behind_[0] == need_;
    reachable_[0][static_cast<size_t>(need_)] = 1;
    for (size_t k = 0; k < stages_.size(); ++k) {
      if (IsEven(k)) {
        ReachEvenly(k);
      } else {
        Reach(k);
      }
    }
    // Behind the last stage what is still needed is short.
    best_.assign(reachable_.back().size(), {});
    for (size_t index = 0; index < best_.size(); ++index) {
      best_[index].short_of = static_cast<int64_t>(index);
    }
  }

  void Reach(size_t k) {
    for (size_t index = 0; index < reachable_[k].size(); ++index) {
      if (reachable_[k][index] == 0) continue;
      const State state = StateOf(k, index);
      for (const size_t o : stages_[k].tried) {
        const StageOption& option = stages_[k].options[o];
        const auto step =
            stages_[k].weighed ? After(k, state, option) : Straight(index, state, option);
        if (step && MaySuffice(k + 1, step->index)) reachable_[k + 1][step->index] = 1;
      }
    }
  }

  // One cell that no limit weighs.
  [[nodiscard]] bool IsEven(size_t k) const {
    const StagePlan& stage = stages_[k];
    return !stage.weighed && stage.to - stage.from == 1 && places_[stage.from].units > 0;
  }

  // Of the reachable states of a slice, the least and the most that is needed. A most below the
  // least: there are none.
  struct Needs {
    int64_t least = 0;
    int64_t most = -1;
  };
  [[nodiscard]] Needs NeedsIn(size_t k, size_t slice) const {
    const auto from = reachable_[k].begin() + static_cast<std::ptrdiff_t>(slice);
    const auto to = from + need_ + 1;
    Needs needs{.least = std::find(from, to, 1) - from, .most = need_};
    while (needs.most >= needs.least && from[needs.most] == 0) --needs.most;
    return needs;
  }

  // All states between the farthest: some of them no mix comes to.
  void ReachEvenly(size_t k) {
    const StagePlan& stage = stages_[k];
    const auto width = static_cast<size_t>(need_ + 1);
    for (size_t slice = 0; slice < reachable_[k].size(); slice += width) {
      const Needs needs = NeedsIn(k, slice);
      if (needs.most < needs.least) continue;
      const int64_t low = std::max<int64_t>(needs.least - stage.options.front().units, 0);
      const int64_t high = std::max<int64_t>(needs.most - stage.options.back().units, 0);
      for (int64_t need = low; need <= high; ++need) {
        const size_t index = slice + static_cast<size_t>(need);
        if (MaySuffice(k + 1, index)) reachable_[k + 1][index] = 1;
      }
    }
  }

  // By what leads alone: saves looking at the rest.
  struct Lead {
    int64_t unmet = 0;
    int64_t short_of = 0;
    int64_t distance = 0;
    int64_t least_distance = 0;
    MoneySeconds money = 0;
    [[nodiscard]] bool IsWorse(const MixCost& than) const {
      if (unmet != than.unmet) return unmet > than.unmet;
      if (short_of != than.short_of) return short_of > than.short_of;
      if (distance != than.distance) return distance > than.distance;
      if (least_distance != than.least_distance) return least_distance > than.least_distance;
      return money > than.money;
    }
  };

  // Where no limit weighs the stage, each has as much left behind it.
  [[nodiscard]] static Step Straight(size_t index, const State& state, const StageOption& option) {
    return {.index = index - static_cast<size_t>(std::min(state.need, option.units))};
  }

  // The best that can be done from stage k on, given what the stages behind it can do.
  void Decide(size_t k) {
    choices_[k].resize(reachable_[k].size());
    std::swap(best_, tail_);
    best_.resize(reachable_[k].size());  // those that are not reachable stay as they are
    if (IsEven(k)) {
      DecideEvenly(k);
    } else {
      DecideByOptions(k);
    }
  }

  void DecideByOptions(size_t k) {
    const StagePlan& stage = stages_[k];
    const int64_t tier = problem_.home_first ? stage.tier : 0;
    for (size_t index = 0; index < best_.size(); ++index) {
      if (reachable_[k][index] == 0) continue;
      const State state = StateOf(k, index);
      bool found = false;
      for (const size_t o : stage.tried) {
        const StageOption& option = stage.options[o];
        const auto step = stage.weighed ? After(k, state, option) : Straight(index, state, option);
        if (!step || reachable_[k + 1][step->index] == 0) continue;
        const MixCost& tail = tail_[step->index];
        const Lead lead{.unmet = tail.unmet + step->unmet,
                        .short_of = tail.short_of,
                        .distance = tail.distance + tier * std::min(option.units, state.need),
                        .least_distance = tail.least_distance + tier * step->leasts,
                        .money = tail.money + option.cost.money};
        if (found && lead.IsWorse(best_[index])) continue;
        MixCost cost = Sum(option.cost, tail);
        cost.unmet = lead.unmet;
        cost.distance = lead.distance;
        cost.least_distance = lead.least_distance;
        if (found && !(cost < best_[index])) continue;
        found = true;
        best_[index] = cost;
        choices_[k][index] = static_cast<uint32_t>(o);
      }
    }
  }

  // With one cell, states that lie a replica apart ask for the best in a window that moves on by
  // one: the time does not depend on how many replicas there may be.
  void DecideEvenly(size_t k) {
    const std::vector<Stretch> stretches = StretchesOf(k);
    const int64_t apart = places_[stages_[k].from].units;
    windows_.resize(static_cast<size_t>(std::min(apart, need_ + 1)) * stretches.size());
    const int64_t most = places_[stages_[k].from].most;
    for (size_t slice = 0; slice < best_.size(); slice += static_cast<size_t>(need_ + 1)) {
      const Needs needs = NeedsIn(k, slice);
      if (needs.most < needs.least) continue;
      for (Window& window : windows_) window.Clear();
      int64_t full = std::max<int64_t>(needs.least / apart - most, 0);
      for (; full * apart <= needs.most; ++full) {
        for (int64_t first = 0; first < apart && first + full * apart <= needs.most; ++first) {
          DecideOne(k, slice, first, full, stretches);
        }
      }
    }
  }

  // More replicas first.
  [[nodiscard]] std::vector<Stretch> StretchesOf(size_t k) const {
    const StagePlan& stage = stages_[k];
    const Place& place = places_[stage.from];
    const int64_t now = place.spec->now;
    const Wide price = place.spec->price.micros();
    MixCost kept;
    kept.money = price * std::max<int64_t>(problem_.payback.count(), 1);
    kept.tiers = stage.tier;
    kept.replicas = 1;
    kept.distance = problem_.home_first ? stage.tier * place.units : 0;
    MixCost start;
    start.money = price * place.spec->startup.count();
    start.added = 1;
    std::vector<Stretch> stretches;
    if (!stage.bills.empty()) {
      AddBilled(stage, kept, start, stretches);
    } else if (place.most > now) {
      stretches.push_back({.least = std::max(place.least, now + 1),
                           .most = place.most,
                           .base = Times(start, -now),
                           .each = Sum(kept, start)});
    }
    if (place.least <= now) {
      stretches.push_back(
          {.least = place.least, .most = std::min(place.most, now), .base = {}, .each = kept});
    }
    return stretches;
  }

  // Those beyond what the cell has, or must have, which costs its price.
  void AddBilled(const StagePlan& stage, const MixCost& kept, const MixCost& start,
                 std::vector<Stretch>& stretches) const {
    const Place& place = places_[stage.from];
    const Wide payback = std::max<int64_t>(problem_.payback.count(), 1);
    const int64_t base = place.Base();
    const int64_t now = place.spec->now;
    std::vector<Stretch> billed;
    if (base > now) {
      billed.push_back({.least = std::max(place.least, now + 1),
                        .most = base,
                        .base = Times(start, -now),
                        .each = Sum(kept, start)});
    }
    const std::vector<Wide>& bills = stage.bills;
    for (size_t from = 1; from < bills.size();) {
      const auto to = EndOfStretch(bills, from);
      const Wide each = to - from > 1 ? bills[from + 1] - bills[from] : 0;
      const auto first = static_cast<int64_t>(from);
      if (base + first > place.most) break;  // a limit lets no more in
      Stretch stretch{.least = base + first,
                      .most = std::min(base + static_cast<int64_t>(to) - 1, place.most),
                      .base = Times(start, -now),
                      .each = Sum(kept, start)};
      stretch.each.money += each * payback - kept.money;
      // At `least` it comes to what is billed, beside what `base` replicas cost.
      stretch.base.money += kept.money * base + (bills[from] - each * (base + first)) * payback;
      billed.push_back(stretch);
      from = to;
    }
    stretches.insert(stretches.end(), billed.rbegin(), billed.rend());
  }

  // Of a slice of states, the one that needs `full` replicas of the cell and `first` more.
  void DecideOne(size_t k, size_t slice, int64_t first, int64_t full,
                 const std::vector<Stretch>& stretches) {
    const Place& place = places_[stages_[k].from];
    const size_t index = slice + static_cast<size_t>(first + full * place.units);
    const auto behind = [&](int64_t at) {
      return slice + static_cast<size_t>(first + at * place.units);
    };
    const auto tails = [&](int64_t at) -> const MixCost& { return tail_[behind(at)]; };
    const bool asked = reachable_[k][index] != 0;
    bool found = asked && TakeEnough(k, slice, first, full);
    for (size_t s = 0; s < stretches.size(); ++s) {
      const Stretch& stretch = stretches[s];
      const int64_t next = full - stretch.least;
      if (next < 0) continue;
      Window& window = windows_[static_cast<size_t>(first) * stretches.size() + s];
      if (reachable_[k + 1][behind(next)] != 0) window.Add(next, stretch.each, tails);
      if (!asked) continue;
      const auto at = window.BestFrom(full - stretch.most);
      if (!at) continue;
      const int64_t replicas = full - *at;
      const MixCost cost = Sum(Sum(tails(*at), stretch.base), Times(stretch.each, replicas));
      if (found && !(cost < best_[index])) continue;
      found = true;
      best_[index] = cost;
      choices_[k][index] = static_cast<uint32_t>(place.most - replicas);
    }
  }

  // The fewest replicas that serve more than what is needed. False: it can't have them.
  bool TakeEnough(size_t k, size_t slice, int64_t first, int64_t full) {
    const StagePlan& stage = stages_[k];
    const Place& place = places_[stage.from];
    const int64_t replicas = std::max(place.least, full + (first > 0 ? 1 : 0));
    const bool more = first > 0 || replicas > full;
    if (!more || replicas > place.most || reachable_[k + 1][slice] == 0) return false;
    const int64_t need = first + full * place.units;
    const size_t index = slice + static_cast<size_t>(need);
    const auto option = static_cast<size_t>(place.most - replicas);
    best_[index] = Sum(stage.options[option].cost, tail_[slice]);
    if (problem_.home_first) best_[index].distance += stage.tier * need;
    choices_[k][index] = static_cast<uint32_t>(option);
    return true;
  }

  [[nodiscard]] std::vector<int64_t> Chosen() const {
    std::vector<int64_t> counts;  // by place
    auto index = static_cast<size_t>(need_);
    for (size_t k = 0; k < stages_.size(); ++k) {
      const StageOption& option = stages_[k].options[choices_[k][index]];
      counts.insert(counts.end(), option.counts.begin(), option.counts.end());
      index = After(k, StateOf(k, index), option)->index;
    }
    return counts;
  }

  [[nodiscard]] Mix Result(std::vector<int64_t> counts) const {
    MixCost cost = best_[static_cast<size_t>(need_)];
    if (cost.short_of == 0 && LeaveOut(counts)) cost = CostOf(counts, cost.unmet);
    cost.short_of = Clamped(Wide{cost.short_of} * unit_);
    cost.distance = Clamped(Wide{cost.distance} * unit_);
    return MixOf(counts, cost);
  }

  [[nodiscard]] Mix MixOf(const std::vector<int64_t>& counts, const MixCost& cost) const {
    Mix mix;
    mix.cost = cost;
    for (const MixStage& stage : problem_.stages) mix.replicas.emplace_back(stage.cells.size(), 0);
    Wide capacity = 0;
    for (size_t p = 0; p < places_.size(); ++p) {
      mix.replicas[places_[p].stage][places_[p].cell] = counts[p];
      capacity += Wide{VariantOf(*places_[p].spec).each} * counts[p];
    }
    mix.capacity = Clamped(capacity);
    mix.shortage = std::max<int64_t>(problem_.need - mix.capacity, 0);
    if (rounded_) mix.rounded = unit_;
    return mix;
  }

  // What near tiers can do leads, so that there may be more of it than those far away leave to do.
  bool LeaveOut(std::vector<int64_t>& counts) const {
    Wide spare = -Wide{need_};
    std::vector<int64_t> beyond_least(problem_.variants.size());
    for (size_t v = 0; v < beyond_least.size(); ++v) {
      beyond_least[v] = -std::max<int64_t>(problem_.variants[v].least, 0);
    }
    for (size_t p = 0; p < places_.size(); ++p) {
      spare += Wide{places_[p].units} * counts[p];
      beyond_least[places_[p].spec->variant] += counts[p];
    }
    bool any = false;
    for (const size_t p : DearestFirst()) {
      const Place& place = places_[p];
      int64_t& free = beyond_least[place.spec->variant];
      if (place.units < 1) continue;
      const Wide gone =
          std::min<Wide>(spare / place.units, std::min(counts[p] - place.least, free));
      if (gone < 1) continue;
      counts[p] -= static_cast<int64_t>(gone);
      free -= static_cast<int64_t>(gone);
      spare -= gone * place.units;
      any = true;
    }
    return any;
  }

  [[nodiscard]] std::vector<size_t> DearestFirst() const {
    std::vector<size_t> order(places_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      const auto key = [&](size_t p) {
        return std::tuple(TierOf(places_[p]), places_[p].spec->price, p);
      };
      return key(a) > key(b);
    });
    return order;
  }

  [[nodiscard]] MixCost CostOf(const std::vector<int64_t>& counts, int64_t unmet) const {
    MixCost cost;
    cost.unmet = unmet;
    int64_t left = need_;
    std::vector<int64_t> leasts;
    leasts.reserve(problem_.variants.size());
    for (const MixVariant& variant : problem_.variants) leasts.push_back(variant.least);
    for (const Place& place : places_) leasts[place.spec->variant] -= place.least;
    for (const StagePlan& stage : stages_) {
      const auto from = counts.begin() + static_cast<std::ptrdiff_t>(stage.from);
      const auto to = counts.begin() + static_cast<std::ptrdiff_t>(stage.to);
      const StageOption option = OptionOf(stage, {from, to});
      cost = Sum(cost, option.cost);
      const int64_t served = std::min(option.units, left);
      left -= served;
      if (!problem_.home_first) continue;
      cost.distance += stage.tier * served;
      for (size_t p = stage.from; p < stage.to; ++p) {
        int64_t& least = leasts[places_[p].spec->variant];
        const int64_t must =
            std::clamp<int64_t>(counts[p] - places_[p].least, 0, std::max<int64_t>(least, 0));
        least -= must;
        cost.least_distance += stage.tier * must;
      }
    }
    return cost;
  }

  const MixProblem& problem_;
  std::vector<Place> places_;  // by stage
  std::vector<StagePlan> stages_;
  std::vector<Limit> limits_;       // that are looked at
  std::vector<Limit> idle_limits_;  // that no mix has crossed so far
  int64_t unit_ = 1;
  int64_t need_ = 0;  // in units
  bool rounded_ = false;
  bool leasts_kept_ = false;
  bool enough_ = false;                          // the need can be met, and there are no limits
  std::vector<int64_t> units_behind_;            // from each stage on
  std::vector<std::vector<uint8_t>> reachable_;  // before each stage, by state: 0 or 1
  std::vector<std::vector<uint32_t>> choices_;   // of each stage, by state
  std::vector<MixCost> best_;                    // from the stage on that was decided last
  std::vector<MixCost> tail_;                    // from the stage behind it on
  std::vector<Window> windows_;                  // by what is needed beyond full replicas, stretch
};

}  // namespace

Mix CheapestMix(const MixProblem& problem) { return Solver(problem).Solve(); }

}  // namespace spillway::placement
