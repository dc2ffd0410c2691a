#include "placement/mixes.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

namespace spillway::placement {
namespace {

using Wide = MoneySeconds;

constexpr int64_t kMostUnits = 20'000;        // of the need
constexpr int64_t kMostStates = 500'000;      // between two stages
constexpr int64_t kMostOptions = 8'192;       // of one stage
constexpr int64_t kMostPacking = 20'000'000;  // steps to find what fits on a stage's nodes together

constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();

int64_t CeilDiv(int64_t amount, int64_t by) { return amount / by + (amount % by > 0 ? 1 : 0); }

int64_t Clamped(Wide amount) { return amount > kLargest ? kLargest : static_cast<int64_t>(amount); }

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
    const auto growing = std::count_if(added.begin(), added.end(), [](int64_t n) { return n > 0; });
    if (growing < 2) return true;
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
  std::vector<StageOption> options;  // more replicas in the first cells first
};

MixCost Sum(const MixCost& a, const MixCost& b) {
  return {.unmet = a.unmet + b.unmet,
          .short_of = a.short_of + b.short_of,
          .distance = a.distance + b.distance,
          .least_distance = a.least_distance + b.least_distance,
          .money = a.money + b.money,
          .added = a.added + b.added,
          .tiers = a.tiers + b.tiers,
          .replicas = a.replicas + b.replicas};
}

class Solver {
 public:
  explicit Solver(const MixProblem& problem) : problem_(problem) {}

  Mix Solve() {
    OrderCells();
    ChooseUnit();
    BoundCells();
    SetLimits();
    ListOptions();
    LayOut();
    FindReachable();
    for (size_t k = stages_.size(); k-- > 0;) Decide(k);
    return Result();
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

  // ---- limits ----

  Limit Weigh(int64_t total, bool at_least) const {
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

  Limit WeighVariant(size_t variant, int64_t total, bool at_least) const {
    Limit limit = Weigh(total, at_least);
    for (size_t p = 0; p < places_.size(); ++p) {
      if (places_[p].spec->variant == variant) limit.weights[p] = 1;
    }
    return limit;
  }

  Limit WeighSpend() const {
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
    limits_.push_back(std::move(limit));
  }

  // ---- what a stage can have ----

  void ListOptions() {
    Coarsen();
    for (StagePlan& stage : stages_) {
      const Packing packing = PackingOf(stage);
      if (!packing.Known()) rounded_ = true;
      std::vector<int64_t> counts;
      counts.reserve(stage.to - stage.from);
      AddOptions(stage, packing, StepOf(stage), counts);
    }
  }

  Packing PackingOf(const StagePlan& stage) const {
    std::vector<int64_t> sizes;
    std::vector<int64_t> most;
    for (size_t p = stage.from; p < stage.to; ++p) {
      sizes.push_back(places_[p].size);
      most.push_back(places_[p].Growth());
    }
    const auto growing = std::count_if(most.begin(), most.end(), [](int64_t n) { return n > 0; });
    if (growing < 2) most.assign(most.size(), 0);  // no question of what fits beside what
    return {std::move(sizes), std::move(most), problem_.stages[places_[stage.from].stage].free};
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
  void AddOptions(StagePlan& stage, const Packing& packing, int64_t step,
                  std::vector<int64_t>& counts) {
    const size_t p = stage.from + counts.size();
    if (p == stage.to) {
      if (packing.Fits(Added(stage, counts))) stage.options.push_back(OptionOf(stage, counts));
      return;
    }
    const Place& place = places_[p];
    for (int64_t count = place.most; count >= place.least; --count) {
      const bool kept = step == 1 || count == place.least || count == place.most ||
                        count == place.spec->now || (count - place.least) % step == 0;
      if (!kept) continue;
      counts.push_back(count);
      AddOptions(stage, packing, step, counts);
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
    option.units = static_cast<int64_t>(std::min<Wide>(units, need_));
    for (const Limit& limit : limits_) option.use.push_back(UseOf(limit, stage, counts));
    return option;
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

  // Counts limits in larger steps until there are few enough states: what is used up, what is left
  // down.
  void Coarsen() {
    for (size_t k = 0; k < stages_.size(); ++k) {
      while (StatesBefore(k) > kMostStates) {
        const auto widest =
            std::max_element(limits_.begin(), limits_.end(), [&](const Limit& a, const Limit& b) {
              const auto steps = [&](const Limit& l) {
                return IsOpen(l, k) && !l.at_least ? l.Steps() : -1;
              };
              return steps(a) < steps(b);
            });
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
      for (size_t index = 0; index < reachable_[k].size(); ++index) {
        if (reachable_[k][index] == 0) continue;
        const State state = StateOf(k, index);
        for (const StageOption& option : stages_[k].options) {
          const auto step = After(k, state, option);
          if (step && MaySuffice(k + 1, step->index)) reachable_[k + 1][step->index] = 1;
        }
      }
    }
    // Behind the last stage what is still needed is short.
    best_.resize(reachable_.back().size());
    for (size_t index = 0; index < best_.size(); ++index) {
      best_[index].short_of = static_cast<int64_t>(index);
    }
  }

  // By what leads alone: saves looking at the rest.
  [[nodiscard]] static bool IsWorse(int64_t unmet, int64_t short_of, int64_t distance,
                                    const MixCost& than) {
    if (unmet != than.unmet) return unmet > than.unmet;
    if (short_of != than.short_of) return short_of > than.short_of;
    return distance > than.distance;
  }

  // The best that can be done from stage k on, given what the stages behind it can do.
  void Decide(size_t k) {
    const StagePlan& stage = stages_[k];
    std::vector<MixCost> best(reachable_[k].size());
    choices_[k].resize(best.size());
    for (size_t index = 0; index < best.size(); ++index) {
      if (reachable_[k][index] == 0) continue;
      const State state = StateOf(k, index);
      bool found = false;
      for (size_t o = 0; o < stage.options.size(); ++o) {
        const StageOption& option = stage.options[o];
        const auto step = After(k, state, option);
        if (!step || reachable_[k + 1][step->index] == 0) continue;
        const MixCost& tail = best_[step->index];
        const int64_t distance =
            problem_.home_first ? stage.tier * std::min(option.units, state.need) : 0;
        if (found && IsWorse(tail.unmet + step->unmet, tail.short_of, tail.distance + distance,
                             best[index])) {
          continue;
        }
        MixCost cost = Sum(option.cost, tail);
        cost.unmet += step->unmet;
        cost.distance += distance;
        if (problem_.home_first) cost.least_distance += stage.tier * step->leasts;
        if (found && !(cost < best[index])) continue;
        found = true;
        best[index] = cost;
        choices_[k][index] = static_cast<uint32_t>(o);
      }
    }
    best_ = std::move(best);
  }

  Mix Result() const {
    std::vector<int64_t> counts;  // by place
    auto index = static_cast<size_t>(need_);
    MixCost cost = best_[index];
    for (size_t k = 0; k < stages_.size(); ++k) {
      const StageOption& option = stages_[k].options[choices_[k][index]];
      counts.insert(counts.end(), option.counts.begin(), option.counts.end());
      index = After(k, StateOf(k, index), option)->index;
    }
    if (cost.short_of == 0 && LeaveOut(counts)) cost = CostOf(counts, cost.unmet);
    cost.short_of = Clamped(Wide{cost.short_of} * unit_);
    cost.distance = Clamped(Wide{cost.distance} * unit_);
    return MixOf(counts, cost);
  }

  Mix MixOf(const std::vector<int64_t>& counts, const MixCost& cost) const {
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
  std::vector<Limit> limits_;
  int64_t unit_ = 1;
  int64_t need_ = 0;  // in units
  bool rounded_ = false;
  bool leasts_kept_ = false;
  bool enough_ = false;                          // the need can be met, and there are no limits
  std::vector<int64_t> units_behind_;            // from each stage on
  std::vector<std::vector<uint8_t>> reachable_;  // before each stage, by state: 0 or 1
  std::vector<std::vector<uint32_t>> choices_;   // of each stage, by state
  std::vector<MixCost> best_;                    // from the stage on that was decided last
};

}  // namespace

Mix CheapestMix(const MixProblem& problem) { return Solver(problem).Solve(); }

}  // namespace spillway::placement
