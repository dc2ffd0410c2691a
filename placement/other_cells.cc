// Where else an inference pool's replicas could run, and why they do not.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "placement/cell_asks.h"
#include "placement/cell_limits.h"
#include "placement/mix_questions.h"
#include "placement/other_places.h"
#include "placement/plan.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

std::string Where(const CellState& cell) {
  return cell.memory.variant + "@" + cell.memory.node_group;
}

// A question and its best mix.
struct Answer {
  Question question;
  Mix mix;
};

// Is one strictly better, as the pool weighs them?
bool Beats(const Answer& one, const Answer& other) {
  return std::tie(one.mix.shortage, one.mix.cost) < std::tie(other.mix.shortage, other.mix.cost);
}

Answer Answered(Question question) {
  Mix mix = CheapestMix(question.problem);
  return {.question = std::move(question), .mix = std::move(mix)};
}

// Makes the cell have one replica more than it has; false: the question knows of no room for it.
bool Force(Question& question, const CellState& cell) {
  for (size_t s = 0; s < question.cells.size(); ++s) {
    for (size_t c = 0; c < question.cells[s].size(); ++c) {
      if (question.cells[s][c] != &cell) continue;
      MixCell& asked = question.problem.stages[s].cells[c];
      asked.least = std::max(asked.least, asked.now + 1);
      return asked.least <= asked.most;
    }
  }
  return false;
}

class OtherCells {
 public:
  // REQUIRES that the draft is settled, and open to the pool.
  OtherCells(Draft& draft, const InferenceDraft& pool, const InferenceDecision& decision)
      : draft_(draft), settled_(pool), spec_(*pool.pool), decision_(decision) {}

  [[nodiscard]] std::vector<Alternative> Tell() const {
    std::vector<Alternative> out;
    for (size_t at = 0; at < settled_.cells.size(); ++at) {
      const CellState& cell = settled_.cells[at];
      const Alternative* said = Said(cell);
      const int64_t wanted = Wanted(cell);
      const bool is_open = wanted > 0 && cell.Known() && !(cell.leaving && said != nullptr);
      if (is_open && (said == nullptr || said->fits)) {
        out.push_back(Look(at, wanted));
      } else if (said != nullptr) {
        out.push_back(*said);
        if (!said->fits) out.back().message += EachFor(cell);
      }
    }
    return out;
  }

 private:
  // What the plan says of the cell.
  [[nodiscard]] const Alternative* Said(const CellState& cell) const {
    const auto& all = decision_.alternatives;
    const auto at = std::find_if(all.begin(), all.end(), [name = Where(cell)](const auto& one) {
      return one.group == name;
    });
    return at == all.end() ? nullptr : &*at;
  }

  // Replicas that it would have to have more to serve all by itself.
  [[nodiscard]] int64_t Wanted(const CellState& cell) const {
    if (cell.variant == nullptr || settled_.required < 1) return 0;
    return std::max(CeilDiv(settled_.required - cell.Promised(), cell.Each()),
                    int64_t{cell.variant->min_replicas} - cell.memory.desired);
  }

  // The pool as it would ask if home had not been enough for long.
  [[nodiscard]] InferenceDraft Waited() const {
    InferenceDraft pool = settled_;
    pool.memory.waiting_since = draft_.Now() - spec_.spill_after;
    return pool;
  }

  [[nodiscard]] Alternative Look(size_t at, int64_t wanted) const {
    // All others would leave once it serves.
    InferenceDraft pool = Waited();
    for (CellState& other : pool.cells) other.leaving = true;
    CellState& cell = pool.cells[at];
    cell.leaving = false;
    const CellLimits limits(draft_.world, draft_.capacity, draft_.offers, draft_.quotas, pool);
    const int64_t more = limits.More(cell, wanted);
    Alternative alternative;
    alternative.group = Where(cell);
    alternative.fits = more > 0;
    if (alternative.fits) {
      const std::string whole = fmt::format("{} {}", cell.memory.desired + wanted, Where(cell));
      alternative.message = Short(Has(cell) + Offer(cell, more, wanted) + WhyNot(at, whole));
    } else {
      alternative.reason = cell.shortage->reason;
      alternative.message = Short(Has(cell) + cell.shortage->message) + EachFor(cell);
    }
    return alternative;
  }

  static std::string Has(const CellState& cell) {
    if (cell.memory.desired == 0) return "";
    return fmt::format("has {}, {} ready; ", Count(cell.memory.desired, "replica"), cell.ready);
  }

  [[nodiscard]] std::string Price(const CellState& cell, int64_t replicas) const {
    return fmt::format("{} {} an hour, {} at the margin", HourlyCost(cell).Times(replicas).Format(),
                       draft_.world.snapshot->currency,
                       MarginalHourlyCost(cell).Times(replicas).Format());
  }

  // What a replica would cost where none fits, for who lacks some.
  [[nodiscard]] std::string EachFor(const CellState& cell) const {
    if (decision_.capacity_met || !cell.Known()) return "";
    return fmt::format("; each for {}", Price(cell, 1));
  }

  // What it could have, and what that costs.
  [[nodiscard]] std::string Offer(const CellState& cell, int64_t more, int64_t wanted) const {
    if (more < wanted) {
      return fmt::format("takes {} of the {} that would serve all that is needed ({}), each for {}",
                         more, Count(wanted, "more replica"), cell.shortage->message,
                         Price(cell, 1));
    }
    const int64_t all = cell.memory.desired + more;
    std::string text = fmt::format(
        "{} would serve all that is needed, for {}: {}", Count(all, "replica"), Price(cell, all),
        Compared(MarginalHourlyCost(cell).Times(all), decision_.marginal_hourly_cost));
    if (all > 1) text += fmt::format("; each for {}", Price(cell, 1));
    return text;
  }

  // The variant that serves where one alone does.
  [[nodiscard]] const Variant* Present() const {
    const auto at = std::find_if(settled_.cells.begin(), settled_.cells.end(), [](const auto& one) {
      return one.variant != nullptr && !one.leaving;
    });
    return at == settled_.cells.end() ? nullptr : at->variant;
  }

  // What the pool weighs: the best mix that has more of the cell, against the best of all.
  // `whole`: the mix that has been told already.
  [[nodiscard]] std::string WhyNot(size_t at, const std::string& whole) const {
    InferenceDraft pool = Waited();
    CellState& cell = pool.cells[at];
    MixQuestions mixes(draft_.world, draft_.capacity, draft_.offers, draft_.quotas, pool);
    const bool alone = spec_.routing == Routing::kUniform;
    const Variant* present = alone ? Present() : nullptr;
    Question asked = mixes.Ask(Freedom::kMove, alone ? cell.variant : nullptr);
    if (!Force(asked, cell)) return "";
    const Answer with = Answered(std::move(asked));
    const Answer best = Answered(mixes.Ask(Freedom::kMove, present));
    const Answer now = present != nullptr && present != cell.variant
                           ? best
                           : Answered(mixes.Ask(Freedom::kShrink, nullptr));
    const bool is_best = !Beats(best, with);
    const std::string why = is_best
                                ? WhyNotYet(mixes, now, with)
                                : mixes.WhyNot(best.question, best.mix, with.question, with.mix);
    if (why.empty()) return "";
    const std::string mix = mixes.Told(with.question, with.mix, "").mix;
    if (mix == whole) return "; " + why;
    return fmt::format("; the best mix with more of it is {}: {}", mix, why);
  }

  // Why it is not taken although nothing is better.
  [[nodiscard]] std::string WhyNotYet(const MixQuestions& mixes, const Answer& now,
                                      const Answer& with) const {
    const Benefit benefit = BenefitOf(now.question, now.mix, with.question, with.mix);
    if (const auto why = mixes.WhyNotWorth(benefit)) return *why;
    if (!spec_.return_allowed) return "it is better, and placement.returnHome.policy is Never";
    if (settled_.link_suspect) return "it is better, and waits until a link is no longer in doubt";
    if (settled_.unreachable != nullptr) {
      return fmt::format("it is better, and waits until cluster {} can be reached again",
                         settled_.unreachable->spec->cluster);
    }
    if (settled_.unknown_since) return "it is better, and waits until the demand is known again";
    if (!settled_.memory.home_fits_since) return "";
    return WhenTaken(spec_, settled_.memory, draft_.Now());
  }

  Draft& draft_;
  const InferenceDraft& settled_;
  const InferencePool& spec_;
  const InferenceDecision& decision_;
};

}  // namespace

std::vector<Alternative> AlternativesFor(const Snapshot& snapshot,
                                         const InferenceDecision& decision) {
  Draft draft(snapshot);
  Settle(draft);
  for (size_t p = 0; p < draft.inference.size(); ++p) {
    const InferenceDraft& pool = draft.inference[p];
    if (pool.pool->key != decision.key) continue;
    if (pool.held) break;
    Rank rank = RankOf(pool, draft.Now());
    rank.guaranteed = draft.first->Grows(p);
    OpenTo(draft, rank);
    ForgetCellAsks(draft, p);
    return OtherCells(draft, pool, decision).Tell();
  }
  return decision.alternatives;
}

}  // namespace spillway::placement
