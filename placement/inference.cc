#include "placement/inference.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "placement/cell_limits.h"
#include "placement/mix_questions.h"
#include "placement/mixes.h"
#include "placement/preemption.h"
#include "placement/scaling.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

constexpr Seconds kFirstBlock{300};
constexpr Seconds kLongestBlock{3600};
constexpr Seconds kClocksDiffer{30};
constexpr int kMostTries = 8;        // until cells that share nodes are given what they can take
constexpr size_t kMostRejected = 2;  // mixes that are told beside the chosen one

// ---- the deciding ----

class Decider {
 public:
  Decider(const World& world, Capacity& capacity, Offers& offers, QuotaBook& quotas,
          InferenceDraft& draft)
      : world_(world),
        capacity_(capacity),
        quotas_(quotas),
        draft_(draft),
        pool_(*draft.pool),
        limits_(world, capacity, offers, quotas, draft),
        mixes_(world, capacity, offers, quotas, draft) {}

  // With Uniform routing it depends on what room is left at the pool's turn which variant serves,
  // and so what can go.
  void Release() {
    Begin();
    if (pool_.routing != Routing::kUniform) Shrink();
  }

  void Run() {
    Begin();
    if (pool_.routing == Routing::kUniform) ChooseVariant();
    for (CellState& cell : draft_.cells) cell.shortage.reset();  // those were questions only
    Shrink();
    Grow();
    Move();
    Shrink();
    ForgetIdle();
    RollOut();
    NotePending();
  }

 private:
  void Begin() {
    // The last number stays until the signal is heard again.
    const bool known = !draft_.unknown_since || !draft_.memory.units;
    if (known) FollowUnits(pool_, world_.now, draft_.memory);
    draft_.required = pool_.unit * *draft_.memory.units;
    draft_.better.reset();
    for (CellState& cell : draft_.cells) {
      cell.leaving = cell.unwanted;
      cell.shortage.reset();
    }
    GiveUp();
  }

  // ---- start deadlines ----

  [[nodiscard]] bool Overdue(const CellState& cell) const {
    const bool podless = cell.live < cell.memory.desired && cell.memory.pending_since &&
                         Now() >= *cell.memory.pending_since + Patience(cell, false);
    // Pods beyond what is decided are on their way out already, those that are not ready first.
    if (podless || cell.live > cell.memory.desired) return podless;
    return std::any_of(pool_.live.begin(), pool_.live.end(), [&](const Replica& replica) {
      return !replica.ready && IsIn(replica, cell) && draft_.Stays(replica) &&
             Now() >= replica.since + Patience(cell, !replica.node.empty());
    });
  }

  [[nodiscard]] Seconds Patience(const CellState& cell, bool bound) const {
    return pool_.start_deadline + (bound ? cell.variant->startup : Seconds{0});
  }

  // A cell that does not start its replicas in time gives them up, and takes none for a while; so
  // does one whose nodes are gone, at once and without a grudge.
  void GiveUp() {
    for (CellState& cell : draft_.cells) {
      if (cell.variant == nullptr) continue;
      Refresh(cell);
      if (cell.Rolling() || !cell.Known() || cell.group->IsLeftAlone()) continue;
      if (cell.memory.desired > cell.ready && Overdue(cell)) Block(cell);
      const int homeless = cell.memory.desired - PlacesFor(cell);
      if (homeless > 0) Change(cell, cell.memory.desired - homeless);
    }
    ClaimCells(world_, capacity_, draft_);
  }

  // Whatever it goes on with from before it was blocked says nothing of what would start there now.
  // When a pod was made the API server's clock says, which may be behind.
  [[nodiscard]] bool HasStartedSince(const CellState& cell, Time then) const {
    return std::any_of(pool_.live.begin(), pool_.live.end(), [&](const Replica& replica) {
      return replica.ready && replica.since >= then - kClocksDiffer && IsIn(replica, cell);
    });
  }

  // Brings what is remembered of the cell up to date.
  void Refresh(CellState& cell) const {
    CellMemory& memory = cell.memory;
    const bool edited = !memory.revision.empty() && memory.revision != cell.variant->revision;
    const bool works = memory.blocked_until && memory.desired > 0 && cell.ready == memory.desired &&
                       HasStartedSince(cell, *memory.blocked_until);
    const bool forgiven = memory.blocked_until && Now() >= *memory.blocked_until + kLongestBlock;
    if (edited || works || forgiven) {  // an edited one is another thing that is tried now
      memory.blocked_until.reset();
      memory.misses = 0;
    }
    if (memory.desired > 0 || edited) memory.revision = cell.variant->revision;
  }

  // Since when pods are missing counts anew when more are asked for, and where they can be again.
  void NotePending() {
    for (CellState& cell : draft_.cells) {
      std::optional<Time>& since = cell.memory.pending_since;
      const bool unreachable = cell.group != nullptr && cell.group->unreachable_since;
      if (unreachable || cell.live >= cell.memory.desired) {
        since.reset();
      } else if (!since || cell.memory.desired > cell.before) {
        since = Now();
      }
    }
  }

  // Replicas that are bound, or for which its nodes have room.
  [[nodiscard]] int PlacesFor(const CellState& cell) const {
    const int bound = cell.Bound();
    if (cell.memory.desired <= bound) return cell.memory.desired;
    const Row request = capacity_.RowOf(cell.request);
    int64_t places = bound;
    for (const size_t node : world_.ReachOf(cell.seeker)) {
      places += SlotsOn(capacity_, cell, node, request);
    }
    return static_cast<int>(std::min<int64_t>(places, cell.memory.desired));
  }

  [[nodiscard]] Time Now() const { return world_.now; }

  // Nobody can say which of a Deployment's pods go, only how many: those that are not ready.
  void Block(CellState& cell) {
    Change(cell, cell.ready);
    Seconds wait = kFirstBlock;
    for (int i = 0; i < cell.memory.misses && wait < kLongestBlock; ++i) wait *= 2;
    ++cell.memory.misses;
    cell.memory.blocked_until = world_.now + std::min(wait, kLongestBlock);
  }

  // ---- changes of one cell ----

  void Change(CellState& cell, int desired) {
    const int64_t more = desired - cell.memory.desired;
    quotas_.Add(pool_.key.ns, cell.variant->accelerator, more * cell.variant->per_replica,
                CostAboveHome(cell).Times(more));
    cell.memory.desired = desired;
    cell.memory.revision = cell.variant->revision;
    if (desired < cell.ready) cell.ready = desired;
    if (cell.away > desired - cell.ready) cell.away = desired - cell.ready;
  }

  void Add(CellState& cell, int64_t replicas) {
    if (replicas < 1) return;
    Change(cell, cell.memory.desired + static_cast<int>(replicas));
    ClaimCells(world_, capacity_, draft_);
  }

  using Raised = std::vector<std::pair<CellState*, int>>;

  // Adds what the mix has more. nullopt: beside what others are given a cell can take less than it
  // could alone; nothing is added, and the next question knows.
  std::optional<Raised> Raise(const Question& question, const Mix& mix) {
    Raised raised;
    for (CellState& cell : draft_.cells) {
      const int64_t more = question.Of(cell, mix).value_or(0) - cell.memory.desired;
      if (more < 1) continue;
      std::optional<Finding> shortage = cell.shortage;
      const int64_t room = limits_.WithinRoom(cell, more);
      cell.shortage = std::move(shortage);
      if (room < more) {
        mixes_.Cut(cell, room);
        Undo(raised);
        return std::nullopt;
      }
      Add(cell, more);
      raised.emplace_back(&cell, static_cast<int>(more));
    }
    return raised;
  }

  void Undo(const Raised& raised) {
    if (raised.empty()) return;
    for (const auto& [cell, more] : raised) Change(*cell, cell->memory.desired - more);
    ClaimCells(world_, capacity_, draft_);
  }

  // ---- mixes that were not chosen ----

  // The best ones without one of the cells that the chosen mix makes larger.
  void NoteRejected(const Question& question, const Mix& chosen) {
    draft_.rounded = chosen.rounded;
    draft_.rejected.clear();
    if (chosen.shortage > 0) return;
    std::vector<std::pair<Mix, RejectedMix>> others;
    for (size_t s = 0; s < chosen.replicas.size(); ++s) {
      for (size_t c = 0; c < chosen.replicas[s].size(); ++c) {
        if (chosen.replicas[s][c] == question.problem.stages[s].cells[c].now) continue;
        MixProblem without = question.problem;
        without.stages[s].cells[c].most = without.stages[s].cells[c].now;
        Mix mix = CheapestMix(without);
        RejectedMix told =
            mixes_.Told(question, mix, mixes_.WhyNot(question, chosen, question, mix));
        others.emplace_back(std::move(mix), std::move(told));
      }
    }
    std::stable_sort(others.begin(), others.end(),
                     [](const auto& a, const auto& b) { return a.first.cost < b.first.cost; });
    for (auto& [mix, told] : others) {
      const bool known =
          std::any_of(draft_.rejected.begin(), draft_.rejected.end(),
                      [&, &text = told.mix](const auto& one) { return one.mix == text; });
      if (!known && draft_.rejected.size() < kMostRejected) {
        draft_.rejected.push_back(std::move(told));
      }
    }
  }

  // Why a cell took nothing is of interest where something that comes after it stands in for it.
  void ForgetIdle() {
    if (limits_.Promised(false) < draft_.required) return;
    for (auto cell = draft_.cells.rbegin(); cell != draft_.cells.rend(); ++cell) {
      if (cell->memory.desired > 0 && cell->Known() && !cell->leaving) return;
      const bool misses = cell->variant != nullptr &&
                          limits_.OfVariant(*cell->variant) < limits_.LeastOf(*cell->variant);
      if (!misses) cell->shortage.reset();
    }
  }

  // ---- one variant at a time ----

  [[nodiscard]] const Variant* Present() const {
    std::map<const Variant*, std::pair<Throughput, Throughput>> has;
    for (const CellState& cell : draft_.cells) {
      if (cell.variant == nullptr || cell.leaving || cell.memory.desired == 0) continue;
      has[cell.variant].first += cell.Serving();
      has[cell.variant].second += cell.Promised();
    }
    const Variant* best = nullptr;
    for (const Variant& variant : pool_.variants) {
      const auto at = has.find(&variant);
      if (at != has.end() && (best == nullptr || at->second > has[best])) best = &variant;
    }
    return best;
  }

  // In the order of the cells, so that home comes first.
  [[nodiscard]] std::vector<const Variant*> Candidates() const {
    std::vector<const Variant*> order;
    for (const CellState& cell : draft_.cells) {
      if (cell.variant == nullptr) continue;
      if (std::find(order.begin(), order.end(), cell.variant) == order.end()) {
        order.push_back(cell.variant);
      }
    }
    return order;
  }

  struct Bid {
    const Variant* variant = nullptr;
    Question question;
    Mix mix;
    int64_t misses = 0;  // of the variant's minReplicas

    [[nodiscard]] bool Beats(const Bid& other) const {
      return std::tie(mix.shortage, misses, mix.cost) <
             std::tie(other.mix.shortage, other.misses, other.mix.cost);
    }
  };

  Bid BidOf(const Variant& variant) {
    Bid bid{.variant = &variant, .question = mixes_.Ask(Freedom::kMove, &variant), .mix = {}};
    bid.mix = CheapestMix(bid.question.problem);
    // A variant is no cheaper for what there is no room for: else nodes would be asked for it that
    // it has no use for once they are there.
    bid.misses = variant.min_replicas;
    for (const CellState& cell : draft_.cells) {
      if (cell.variant != &variant) continue;
      bid.misses -= bid.question.Of(cell, bid.mix).value_or(cell.memory.desired);
    }
    bid.misses = std::max<int64_t>(bid.misses, 0);
    return bid;
  }

  // Evenly shared requests are limited by the slowest replica, so that only one variant serves: the
  // cheapest. The present one stays while it meets the need, until another is worth the change.
  const Variant* Best() {
    const Variant* present = Present();
    std::optional<Bid> kept;
    if (present != nullptr) kept = BidOf(*present);
    std::optional<Bid> best = kept;
    for (const Variant* variant : Candidates()) {
      if (variant == present) continue;
      Bid bid = BidOf(*variant);
      // Whoever serves is not left for something dearer that has more of its least.
      const bool serves = kept && kept->mix.shortage == 0;
      if (serves && bid.misses < kept->misses && bid.mix.cost >= kept->mix.cost) continue;
      if (!best || bid.Beats(*best)) best = std::move(bid);
    }
    if (!best || best->variant == present) return present;
    if (present != nullptr && draft_.unknown_since) return present;
    if (!kept || kept->mix.shortage > 0) return best->variant;
    return IsDue(*kept, *best) ? best->variant : present;
  }

  bool IsDue(const Bid& kept, const Bid& best) {
    if (!pool_.return_allowed || draft_.IsInDoubt()) return false;
    const Benefit benefit = BenefitOf(kept.question, kept.mix, best.question, best.mix);
    alternative_ = IsWorthIt(benefit, best.question, best.mix);
    return alternative_ && HasHeld(best.question, best.mix);
  }

  void ChooseVariant() {
    const Variant* best = Best();
    if (best == nullptr) return;
    for (CellState& cell : draft_.cells) {
      if (cell.variant != best) cell.leaving = true;
    }
  }

  // ---- growth ----

  void Grow() {
    NoteWaiting();  // the hold-back begins
    for (const Variant& variant : pool_.variants) GrowToLeast(variant);
    if (limits_.Promised(false) < draft_.required) AddCheapest();
    // What that left out, and why.
    for (CellState& cell : draft_.cells) {
      const Throughput missing = draft_.required - limits_.Promised(false);
      if (missing <= 0) break;
      if (cell.Known()) Add(cell, limits_.More(cell, CeilDiv(missing, cell.Each())));
    }
    NoteWaiting();
  }

  // Keeps everything and adds the cheapest that serves what is missing.
  void AddCheapest() {
    mixes_.ForgetCuts();
    for (int tries = 0; tries < kMostTries; ++tries) {
      const Question question = mixes_.Ask(Freedom::kGrow, nullptr);
      const Mix mix = CheapestMix(question.problem);
      const auto raised = Raise(question, mix);
      if (!raised) continue;
      if (!raised->empty()) NoteRejected(question, mix);
      return;
    }
  }

  // Since when home alone has not given the pool what it needs, minReplicas included.
  void NoteWaiting() {
    bool met = limits_.Promised(true) >= draft_.required;
    for (const Variant& variant : pool_.variants)
      met = met && AtHome(variant) >= limits_.LeastOf(variant);
    std::optional<Time>& since = draft_.memory.waiting_since;
    if (met) {
      since.reset();
    } else if (!since) {
      since = world_.now;
    }
  }

  [[nodiscard]] int64_t AtHome(const Variant& variant) const {
    int64_t replicas = 0;
    for (const CellState& cell : draft_.cells) {
      if (cell.variant == &variant && !cell.leaving && !cell.Spilled()) {
        replicas += cell.memory.desired;
      }
    }
    return replicas;
  }

  void GrowToLeast(const Variant& variant) {
    for (CellState& cell : draft_.cells) {
      const int64_t missing = variant.min_replicas - limits_.OfVariant(variant);
      if (missing <= 0) return;
      if (cell.variant == &variant) Add(cell, limits_.More(cell, missing));
    }
  }

  // ---- going home, or to what is cheaper ----

  void Move() {
    const bool may = pool_.return_allowed && !draft_.IsInDoubt() &&
                     limits_.Promised(false) >= draft_.required && CouldBeBetter();
    mixes_.ForgetCuts();
    if (!(may && TryMove()) && !alternative_) draft_.memory.home_fits_since.reset();
  }

  [[nodiscard]] bool CouldBeBetter() const {
    return std::any_of(draft_.cells.begin(), draft_.cells.end(), [](const CellState& cell) {
      return cell.memory.desired > 0 && !cell.leaving &&
             (cell.Spilled() || MarginalHourlyCost(cell) > Money());
    });
  }

  // Says whether there is a better mix, be it now or when it will have been so for long enough.
  // What it has more is added now, what it has less goes when others are ready.
  bool TryMove() {
    const Question present = mixes_.Ask(Freedom::kShrink, nullptr);
    const Mix kept = CheapestMix(present.problem);
    for (int tries = 0; tries < kMostTries; ++tries) {
      const Question question = mixes_.Ask(Freedom::kMove, nullptr);
      const Mix best = CheapestMix(question.problem);
      draft_.rounded = best.rounded;
      if (best.shortage > 0 || best.cost.added == 0) return false;
      const auto raised = Raise(question, best);
      if (!raised) continue;
      const Benefit benefit = BenefitOf(present, kept, question, best);
      const bool worth_it = IsWorthIt(benefit, question, best);
      if (worth_it && HasHeld(question, best)) return true;
      Undo(*raised);
      return worth_it;
    }
    return false;
  }

  // Says why it is not.
  bool IsWorthIt(const Benefit& benefit, const Question& question, const Mix& mix) {
    const auto why = mixes_.WhyNotWorth(benefit);
    return !why || Reject(question, mix, *why);
  }

  // Has there been a better mix for long enough? Begins to count, and says so, where not.
  bool HasHeld(const Question& question, const Mix& mix) {
    std::optional<Time>& since = draft_.memory.home_fits_since;
    if (!since) since = Now();
    if (Now() >= *since + ReturnWait(pool_, draft_.memory, Now())) return true;
    return Reject(question, mix, WhenTaken(pool_, draft_.memory, Now()));
  }

  bool Reject(const Question& question, const Mix& mix, std::string why) {
    draft_.better = mixes_.Told(question, mix, std::move(why));
    return false;
  }

  // ---- taking away ----

  [[nodiscard]] Throughput Serving() const {
    Throughput sum = 0;
    for (const CellState& cell : draft_.cells) {
      if (pool_.routing == Routing::kUniform && cell.leaving) continue;
      sum += cell.Serving();
    }
    return sum;
  }

  // What goes first stands first: what must leave, then the dearest.
  [[nodiscard]] std::vector<CellState*> Surplus() {
    std::vector<CellState*> order;
    order.reserve(draft_.cells.size());
    for (CellState& cell : draft_.cells) order.push_back(&cell);
    std::reverse(order.begin(), order.end());
    std::stable_partition(order.begin(), order.end(),
                          [](const CellState* cell) { return cell->leaving; });
    return order;
  }

  // What must leave goes first, then what the cheapest mix of what runs can do without, the dearest
  // first. While one is still needed until others are ready, no cheaper one goes in its place.
  void Shrink() {
    if (draft_.IsInDoubt()) return;
    const std::vector<CellState*> order = Surplus();
    bool surplus = false;
    for (CellState* cell : order) {
      while (cell->leaving && cell->memory.desired > 0 && IsSpare(*cell)) Lose(*cell);
      surplus = surplus || (!cell->leaving && cell->memory.desired > 0 && IsSurplus(*cell));
    }
    if (surplus) ShrinkToCheapest(order);
    ClaimCells(world_, capacity_, draft_);
  }

  void ShrinkToCheapest(const std::vector<CellState*>& order) {
    const Question question = mixes_.Ask(Freedom::kShrink, nullptr);
    const Mix mix = CheapestMix(question.problem);
    for (CellState* cell : order) {
      if (cell->leaving) continue;
      const int64_t kept = question.Of(*cell, mix).value_or(cell->memory.desired);
      while (cell->memory.desired > kept && IsSurplus(*cell) && IsSpare(*cell)) Lose(*cell);
    }
  }

  // Would enough be decided without it?
  [[nodiscard]] bool IsSurplus(const CellState& cell) const {
    if (cell.leaving) return true;
    return cell.Known() && limits_.Promised(false) - cell.Each() >= draft_.required &&
           limits_.OfVariant(*cell.variant) > cell.variant->min_replicas;
  }

  // What all that is ready serves, with one less of a cell.
  [[nodiscard]] Throughput UsableWithout(const CellState* without) const {
    std::vector<std::pair<const Variant*, int>> ready;
    ready.reserve(draft_.cells.size());
    for (const CellState& cell : draft_.cells) {
      ready.emplace_back(cell.variant, cell.ready - (&cell == without ? 1 : 0));
    }
    return Usable(pool_, ready);
  }

  // Would enough be ready without it?
  [[nodiscard]] bool IsSpare(const CellState& cell) const {
    if (cell.group != nullptr && cell.group->IsLeftAlone()) return false;
    if (cell.ready < cell.memory.desired) return true;
    const bool counted = pool_.routing != Routing::kUniform || !cell.leaving;
    if (Serving() - (counted ? cell.Each() : 0) < draft_.required) return false;
    // Beside slower ones that must leave and can't yet, it is missed all the same.
    return cell.leaving ||
           UsableWithout(&cell) >= std::min(UsableWithout(nullptr), draft_.required);
  }

  void Lose(CellState& cell) {
    if (cell.variant == nullptr) {
      --cell.memory.desired;
      cell.ready = std::min(cell.ready, cell.memory.desired);
      return;
    }
    Change(cell, cell.memory.desired - 1);
  }

  // ---- templates ----

  // The pool's pods are replaced by such of another template: beyond their number where there is
  // room for them, else so many down first as it can do without.
  void RollOut() {
    int budget = pool_.max_unavailable;
    for (const CellState& cell : draft_.cells) {
      if (!cell.leaving) budget -= std::max(0, cell.memory.desired - cell.ready);
    }
    for (CellState& cell : draft_.cells) {
      cell.roll = false;
      if (!cell.Known() || cell.deployment == nullptr || cell.group->unreachable_since) continue;
      if (cell.IsOld() && IsTemplateKnown(*cell.variant)) {
        cell.roll = ChooseStep(cell, budget);
      } else if (cell.Surge() > 0 && cell.unbound > 0 && SurgeRoom(cell) == 0) {
        ChooseStep(cell, budget);  // the room is gone
      }
    }
    ClaimCells(world_, capacity_, draft_);
  }

  static bool GoDown(CellState& cell, int& budget) {
    // What is not ready in this cell is part of what goes down first.
    const int down = budget + std::max(0, cell.memory.desired - cell.ready);
    if (down < 1) return false;
    cell.surge = 0;
    cell.unavailable = std::min(down, cell.memory.desired);
    budget -= cell.unavailable;
    return true;
  }

  bool ChooseStep(CellState& cell, int& budget) const {
    const int room = SurgeRoom(cell);
    if (room == 0) return GoDown(cell, budget);
    cell.surge = room;
    cell.unavailable = 0;
    return true;
  }

  // Pods beyond the cell's replicas that its nodes have room for; a quarter of them at the most.
  [[nodiscard]] int SurgeRoom(const CellState& cell) const {
    if (cell.group->LinkSuspect()) return 0;
    const int most = std::max(1, cell.memory.desired / 4);
    const Row request = capacity_.RowOf(cell.request);
    const int64_t missing = std::max(0, cell.memory.desired - cell.Bound());
    int64_t slots = 0;
    for (const size_t node : world_.ReachOf(cell.seeker)) {
      const Row taken = TakenOn(capacity_, cell, node);
      if (capacity_.Harmless(cell.seeker, node, taken, request, missing + most) < missing + most) {
        return 0;
      }
      slots += capacity_.FitsBeside(cell.seeker, node, taken, request, kManyReplicas);
    }
    return static_cast<int>(std::clamp<int64_t>(slots - missing, 0, most));
  }

  const World& world_;
  Capacity& capacity_;
  QuotaBook& quotas_;
  InferenceDraft& draft_;
  const InferencePool& pool_;
  CellLimits limits_;
  MixQuestions mixes_;
  bool alternative_ = false;  // another variant is better
};

}  // namespace

void ReleaseCells(const World& world, Capacity& capacity, Offers& offers, QuotaBook& quotas,
                  InferenceDraft& draft) {
  if (!draft.held) Decider(world, capacity, offers, quotas, draft).Release();
}

void DecideCells(const World& world, Capacity& capacity, Offers& offers, QuotaBook& quotas,
                 InferenceDraft& draft) {
  if (draft.held) {
    draft.required = draft.pool->unit * draft.memory.units.value_or(draft.pool->replicas);
  } else {
    Decider(world, capacity, offers, quotas, draft).Run();
  }
}

void SayWhatIsMissing(const World& world, const Capacity& capacity, Offers& offers,
                      const QuotaBook& quotas, InferenceDraft& draft) {
  if (draft.Lacks() == 0) return;
  const CellLimits limits(world, capacity, offers, quotas, draft);
  Throughput lacks = draft.required - limits.Promised(false);
  for (const CellState& cell : draft.cells) lacks -= cell.Each() * draft.AskedFor(cell);
  if (lacks <= 0) return;
  for (CellState& cell : draft.cells) {
    const Throughput each = cell.Each();
    if (!cell.shortage || !cell.Known() || each < 1) continue;
    if (cell.shortage->reason == Reason::kWaitingForNodes) continue;
    cell.missing = limits.Missing(cell, (lacks + each - 1) / each);
  }
}

Rank RankOf(const InferenceDraft& draft, Time now) {
  return {.guaranteed = false,
          .priority = draft.pool->priority,
          .queued_since = draft.memory.queued_since.value_or(now),
          .key = &draft.pool->key,
          .inference = true};
}

std::vector<Demand> DemandsOf(const InferenceDraft& draft, size_t index, Time now) {
  std::map<std::string, int64_t> has;
  for (const Variant& variant : draft.pool->variants) has[variant.accelerator];
  for (const CellState& cell : draft.cells) {
    if (cell.variant == nullptr) continue;
    has[cell.variant->accelerator] += int64_t{cell.memory.desired} * cell.variant->per_replica;
  }
  const auto claimed = ClaimedCell(draft);
  std::vector<Demand> demands;
  demands.reserve(has.size());
  for (const auto& [type, accelerators] : has) {
    demands.push_back(
        {.rank = RankOf(draft, now), .pool = index, .type = type, .accelerators = accelerators});
    if (!claimed || draft.cells[*claimed].variant->accelerator != type) continue;
    demands.back().claimed =
        int64_t{draft.memory.claim->replicas} * draft.cells[*claimed].variant->per_replica;
  }
  return demands;
}

std::vector<Time> MomentsOf(const World& world, const InferenceDraft& draft) {
  const InferencePool& pool = *draft.pool;
  std::vector<Time> moments;
  for (const Replica& replica : pool.live) {
    const auto index = world.NodeOf(replica);
    const GroupView* group = world.FindGroup(replica.node_group);
    if (!index || group == nullptr || world.nodes[*index]->ready) continue;
    moments.push_back(StrandedFrom(*group->spec, *world.nodes[*index], world.now));
  }
  std::erase_if(moments, [&](Time moment) { return moment <= world.now; });
  if (draft.held) return moments;
  if (!draft.unknown_since) {
    const std::vector<Time> units = UnitMoments(pool, draft.memory);
    moments.insert(moments.end(), units.begin(), units.end());
  }
  if (pool.demand) moments.push_back(pool.demand->SilentFrom());
  if (draft.memory.waiting_since) {
    moments.push_back(*draft.memory.waiting_since + pool.spill_after);
  }
  if (draft.memory.home_fits_since) {
    const Seconds wait = ReturnWait(pool, draft.memory, world.now);
    moments.push_back(*draft.memory.home_fits_since + wait);
    for (const Eviction& eviction : draft.memory.evictions) {  // it is shorter by then
      moments.push_back(eviction.time + kEvictionsCount);
    }
  }
  if (draft.memory.short_since) {
    moments.push_back(*draft.memory.short_since + pool.preempt_after);
  }
  if (draft.memory.claim) moments.push_back(draft.memory.claim->hold.until);
  for (const CellState& cell : draft.cells) {
    if (cell.memory.blocked_until) {
      moments.push_back(*cell.memory.blocked_until);
      moments.push_back(*cell.memory.blocked_until + kLongestBlock);
    }
    if (cell.variant == nullptr || cell.memory.desired <= cell.ready) continue;
    if (cell.memory.pending_since) {
      moments.push_back(*cell.memory.pending_since + pool.start_deadline);
    }
    for (const Replica& replica : pool.live) {
      if (replica.ready || !IsIn(replica, cell) || !draft.Stays(replica)) continue;
      const Seconds startup = replica.node.empty() ? Seconds{0} : cell.variant->startup;
      moments.push_back(replica.since + pool.start_deadline + startup);
    }
  }
  std::erase_if(moments, [&](Time moment) { return moment <= world.now; });
  return moments;
}

}  // namespace spillway::placement
