#include "placement/cell_claims.h"

#include <algorithm>

#include "placement/cell_limits.h"
#include "placement/claims.h"
#include "placement/mix_questions.h"
#include "placement/vacancies.h"

namespace spillway::placement {
namespace {

// One look at what a pool lacks, and may claim.
class Wanting {
 public:
  Wanting(Draft& draft, size_t pool)
      : draft_(draft),
        index_(pool),
        pool_(draft.inference[pool]),
        limits_(draft.world, draft.capacity, draft.offers, draft.quotas, pool_) {}

  bool Run() {
    pool_.counts_on_room = false;
    NoteShortage();
    if (!pool_.memory.claim) return ClaimIfDue();
    const auto replicas = StandsFor();
    if (!replicas) {
      Drop();
      ClaimIfDue();
      return true;
    }
    const bool shrinks = Shrink(*replicas);
    return EvictDue(draft_, EvictorOf(pool_)) || shrinks;
  }

 private:
  [[nodiscard]] const InferencePool& Spec() const { return *pool_.pool; }

  [[nodiscard]] Throughput Missing() const { return pool_.required - limits_.Promised(false); }

  void NoteShortage() {
    std::optional<Time>& since = pool_.memory.short_since;
    if (pool_.held || Missing() <= 0) {
      since.reset();
    } else if (!since) {
      since = Spec().memory.short_since.value_or(draft_.Now());
    }
  }

  // How many more of the cell it lacks and may have, whatever room there is. The cell is a copy:
  // what this asks is not to be told.
  [[nodiscard]] int64_t Wanted(CellState& cell) const {
    if (!cell.Known() || cell.leaving || limits_.Refusal(cell)) return 0;
    return limits_.WithinLimits(cell, CeilDiv(Missing(), cell.Each()));
  }

  // ---- a claim that it has ----

  // For how many replicas, of those that it was made for, it may go on; nullopt: for none.
  [[nodiscard]] std::optional<int> StandsFor() const {
    const CellClaim& claim = *pool_.memory.claim;
    const auto at = ClaimedCell(pool_);
    if (!at || pool_.held || pool_.unknown_since || Missing() <= 0) return {};
    if (draft_.Now() >= claim.hold.until) return {};
    CellState cell = pool_.cells[*at];
    const auto replicas = static_cast<int>(std::min<int64_t>(claim.replicas, Wanted(cell)));
    if (replicas < 1) return {};
    const std::vector<size_t> there = StillThere(draft_, claim.hold);
    // For fewer replicas fewer gangs may have to go: that is another claim, until one has gone.
    if (replicas < claim.replicas && there.size() == claim.hold.victims.size()) return {};
    const Rank rank = RankWith(Guaranteed(cell) >= replicas);
    const bool first = std::all_of(there.begin(), there.end(), [&](size_t victim) {
      return MayEvict(rank, RankIn(draft_.world, *draft_.coverage, victim,
                                   draft_.fates[victim].memory, cell.variant->accelerator));
    });
    return first ? std::optional(replicas) : std::nullopt;
  }

  // Says whether that is less.
  bool Shrink(int replicas) {
    if (replicas == pool_.memory.claim->replicas) return false;
    pool_.memory.claim->replicas = replicas;
    ClaimCells(draft_.world, draft_.capacity, pool_);
    return true;
  }

  void Drop() {
    const Hold dropped = pool_.memory.claim->hold;
    pool_.memory.claim.reset();
    ClaimCells(draft_.world, draft_.capacity, pool_);
    DropClaim(draft_, dropped);
  }

  // ---- one that it makes ----

  [[nodiscard]] bool IsDue() const {
    const auto& since = pool_.memory.short_since;
    return since && pool_.asks.empty() && !pool_.IsInDoubt() &&
           draft_.Now() >= *since + Spec().preempt_after && !Spills();
  }

  // Where it would spill before long it makes nobody go.
  [[nodiscard]] bool Spills() const {
    return std::any_of(pool_.cells.begin(), pool_.cells.end(), [](const CellState& cell) {
      return !cell.leaving && cell.option && cell.option->HeldBack() && cell.option->fit;
    });
  }

  // Who has to start anew anyway goes at once: a new attempt would be theirs to keep.
  bool ClaimIfDue() {
    if (!IsDue() || !Claim()) return false;
    if (draft_.any_renews) EvictDue(draft_, EvictorOf(pool_));
    return true;
  }

  bool Claim() {
    for (const CellState& one : pool_.cells) {
      CellState cell = one;
      const int64_t wanted = Wanted(cell);
      if (wanted < 1 || !cell.option->only_short) continue;
      const int64_t reclaims = std::min(wanted, Guaranteed(cell));
      const bool at_home = cell.memory.tier == 0;
      if (at_home && Try(cell, reclaims, Right::kReclaim, true)) return true;
      if (Spec().preempts == Preempts::kNever) continue;
      if (Try(cell, reclaims, Right::kPriority, true)) return true;
      if (Try(cell, wanted, Right::kPriority, false)) return true;
    }
    return false;
  }

  // There is room that others who are starting may need until they are bound.
  [[nodiscard]] bool Starts(const CellState& cell) const {
    const PoolMemory nothing;
    const Scene scene = draft_.Look();
    const Vacancies vacancies(scene, cell.seeker, draft_.capacity.Nobody(), nothing, *cell.group,
                              *cell.option->need, Settling::kStarting);
    return vacancies.HasRoomWithout({});
  }

  // Replicas that it could have more and be within what its namespace is guaranteed.
  [[nodiscard]] int64_t Guaranteed(const CellState& cell) const {
    return draft_.coverage->Left(index_, cell.variant->accelerator) / cell.variant->per_replica;
  }

  [[nodiscard]] Rank RankWith(bool guaranteed) const {
    Rank rank = RankOf(pool_, draft_.Now());
    rank.guaranteed = guaranteed;
    return rank;
  }

  // For `most` replicas, or as many as others can make room for.
  bool Try(const CellState& cell, int64_t most, Right right, bool guaranteed) {
    if (most < 1) return false;
    std::optional<Victory> best;  // each that is found is for more than those before
    const auto fit = LargestFit(1, static_cast<int>(most), [&](int replicas) {
      auto victory = Victims(cell, replicas, right, guaranteed);
      auto room = victory ? std::optional(victory->fit) : std::nullopt;
      if (victory) best = std::move(victory);
      return room;
    });
    if (!fit) return false;
    if (Starts(cell)) {
      pool_.counts_on_room = true;
      return false;
    }
    Make(cell, fit->workers, *best);
    return true;
  }

  std::optional<Victory> Victims(const CellState& cell, int replicas, Right right,
                                 bool guaranteed) {
    Option option = *cell.option;
    option.need->workers = replicas;
    const PoolMemory nothing;
    const Claimant claimant{.pool = cell.seeker,
                            .own = draft_.capacity.Nobody(),
                            .memory = nothing,
                            .rank = RankWith(guaranteed)};
    return FindVictims(draft_, claimant, option, right);
  }

  void Make(const CellState& cell, int replicas, const Victory& victory) {
    pool_.memory.claim = CellClaim{.variant = cell.variant->name,
                                   .replicas = replicas,
                                   .hold = HoldOver(draft_, *cell.group, victory)};
    pool_.memory.claim->hold.domain.clear();
    pool_.claims = true;
    draft_.claimed.emplace_back(true, index_);
    ClaimCells(draft_.world, draft_.capacity, pool_);
    draft_.contenders.reset();
  }

  Draft& draft_;
  size_t index_;
  InferenceDraft& pool_;
  CellLimits limits_;
};

}  // namespace

Evictor EvictorOf(const InferenceDraft& pool) {
  return {.key = pool.pool->key, .priority = pool.pool->priority, .hold = pool.memory.claim->hold};
}

void CarryCellClaim(Draft& draft, size_t pool) {
  InferenceDraft& inference = draft.inference[pool];
  inference.claims = true;
  ClaimCells(draft.world, draft.capacity, inference);
  CountCellClaim(draft, pool, 1);
  ForfeitGone(draft, inference.memory.claim->hold);
}

void CountCellClaim(Draft& draft, size_t pool, int sign) {
  const InferenceDraft& inference = draft.inference[pool];
  const auto at = ClaimedCell(inference);
  if (!at) return;
  const CellState& cell = inference.cells[*at];
  const int64_t replicas = int64_t{sign} * inference.memory.claim->replicas;
  draft.quotas.Add(inference.pool->key.ns, cell.variant->accelerator,
                   replicas * cell.variant->per_replica, CostAboveHome(cell).Times(replicas));
}

void SettleCellClaim(InferenceDraft& pool, const std::vector<int>& before) {
  const auto at = ClaimedCell(pool);
  if (!at) return;
  const int more = std::max(pool.cells[*at].memory.desired - before[*at], 0);
  pool.memory.claim->replicas = std::max(pool.memory.claim->replicas - more, 0);
}

bool ClaimForReplicas(Draft& draft, size_t pool) { return Wanting(draft, pool).Run(); }

}  // namespace spillway::placement
