#include "placement/mix_questions.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <set>

#include "placement/lifecycle.h"
#include "placement/preemption.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

// Those that went in one pass went at once.
int TimesGaveWay(const InferenceMemory& memory, Time now) {
  std::set<Time> times;
  for (const Eviction& eviction : memory.evictions) {
    if (now < eviction.time + kEvictionsCount) times.insert(eviction.time);
  }
  return static_cast<int>(times.size());
}

}  // namespace

std::optional<int64_t> Question::Of(const CellState& cell, const Mix& mix) const {
  for (size_t s = 0; s < cells.size(); ++s) {
    const auto at = std::find(cells[s].begin(), cells[s].end(), &cell);
    if (at != cells[s].end()) return mix.replicas[s][static_cast<size_t>(at - cells[s].begin())];
  }
  return std::nullopt;
}

MoneySeconds RunningCost(const Question& question, const Mix& mix) {
  MoneySeconds sum = 0;
  for (size_t s = 0; s < mix.replicas.size(); ++s) {
    for (size_t c = 0; c < mix.replicas[s].size(); ++c) {
      sum += MoneySeconds{question.problem.stages[s].cells[c].price.micros()} * mix.replicas[s][c];
    }
  }
  return sum;
}

Benefit BenefitOf(const Question& from, const Mix& kept, const Question& to, const Mix& best) {
  Benefit benefit{.before = RunningCost(from, kept)};
  benefit.saving = benefit.before - RunningCost(to, best);
  for (size_t s = 0; s < best.replicas.size(); ++s) {
    for (size_t c = 0; c < best.replicas[s].size(); ++c) {
      const MixCell& cell = to.problem.stages[s].cells[c];
      const int64_t added = std::max<int64_t>(best.replicas[s][c] - cell.now, 0);
      benefit.cost += MoneySeconds{cell.price.micros()} * added * cell.startup.count();
    }
  }
  return benefit;
}

Money MoneyOf(MoneySeconds micros) {
  constexpr MoneySeconds kMost = std::numeric_limits<int64_t>::max();
  return Money::FromMicros(static_cast<int64_t>(std::clamp<MoneySeconds>(micros, 0, kMost)));
}

Seconds ReturnWait(const InferencePool& pool, const InferenceMemory& memory, Time now) {
  const int times = TimesGaveWay(memory, now);
  if (times < 2) return pool.return_after;
  Seconds wait = std::max(pool.return_after, kLeastDwell);
  for (int i = 1; i < times && wait < kMostDwell; ++i) wait *= 2;
  return std::min(wait, std::max(kMostDwell, pool.return_after));
}

std::string WhenTaken(const InferencePool& pool, const InferenceMemory& memory, Time now) {
  const Seconds wait = ReturnWait(pool, memory, now);
  std::string when = fmt::format("it is better, and is taken at {} if it still is",
                                 FormatTime(*memory.home_fits_since + wait));
  if (wait == pool.return_after) return when;
  return when +
         fmt::format(", after {} s instead of {}: its replicas gave way {} times in 24 hours",
                     wait.count(), pool.return_after.count(), TimesGaveWay(memory, now));
}

int64_t CeilDiv(int64_t amount, int64_t by) { return by < 1 ? 0 : (amount + by - 1) / by; }

Question MixQuestions::Ask(Freedom freedom, const Variant* only) {
  Question question;
  MixProblem& problem = question.problem;
  problem.home_first = pool_.preference == Preference::kHomeFirst;
  problem.payback = pool_.return_payback;
  problem.need = draft_.required;
  for (const Variant& variant : pool_.variants) {
    const bool counts = only == nullptr ? limits_.LeastOf(variant) > 0 : only == &variant;
    problem.variants.push_back({.each = variant.throughput,
                                .size = variant.per_replica,
                                .type = variant.accelerator,
                                .least = counts ? variant.min_replicas : 0,
                                .most = variant.max_replicas});
  }
  if (freedom != Freedom::kShrink) SetLimits(problem);
  for (CellState& cell : draft_.cells) {
    if (cell.variant == nullptr) continue;
    if (only == nullptr ? cell.leaving : cell.variant != only || cell.unwanted) continue;
    problem.need += cell.Each() * cell.away;
    if (cell.Known()) {
      AddCell(freedom, cell, question);
    } else {
      Presume(cell, problem);
    }
  }
  for (size_t s = 0; s < question.cells.size(); ++s) {
    if (freedom == Freedom::kAsk) {
      SetNew(question.cells[s], problem.stages[s]);
    } else {
      problem.stages[s].free = FreeTogether(question.cells[s], problem.stages[s]);
    }
  }
  if (freedom == Freedom::kShrink) {  // limits take nothing away
    for (MixVariant& variant : problem.variants) variant.most.reset();
  }
  return question;
}

void MixQuestions::SetLimits(MixProblem& problem) const {
  for (const MixVariant& variant : problem.variants) {
    const auto limit = quotas_.Limit(pool_.key.ns, variant.type);
    if (!limit) continue;
    int64_t others = quotas_.Used(pool_.key.ns, variant.type);
    for (const CellState& cell : draft_.cells) {
      others -= AcceleratorsOf(cell, variant.type);
      if (cell.variant == nullptr || cell.variant->accelerator != variant.type) continue;
      others -= draft_.AskedFor(cell) * cell.variant->per_replica;
    }
    problem.accelerators[variant.type] = std::max<int64_t>(*limit - others, 0);
  }
  problem.spend = quotas_.Spend().Left(pool_.key.ns);
  if (!pool_.spill_max_hourly_cost) return;
  const int64_t left = pool_.spill_max_hourly_cost->micros() - limits_.Spending().micros();
  const Money own = Money::FromMicros(std::max<int64_t>(left, 0));
  problem.spend = problem.spend ? std::min(*problem.spend, own) : own;
}

// A cell of which nobody knows more than that it serves stays as it is.
void MixQuestions::Presume(const CellState& cell, MixProblem& problem) const {
  MixVariant& variant = problem.variants[IndexOf(*cell.variant)];
  const int64_t replicas = cell.memory.desired;
  problem.need -= cell.Each() * replicas;
  variant.least = std::max<int64_t>(variant.least - replicas, 0);
  if (variant.most) variant.most = std::max<int64_t>(*variant.most - replicas, 0);
  const auto type = problem.accelerators.find(variant.type);
  if (type == problem.accelerators.end()) return;
  type->second = std::max<int64_t>(type->second - AcceleratorsOf(cell, variant.type), 0);
}

size_t MixQuestions::IndexOf(const Variant& variant) const {
  return static_cast<size_t>(&variant - pool_.variants.data());
}

void MixQuestions::AddCell(Freedom freedom, CellState& cell, Question& question) {
  const std::string& name = cell.group->spec->name;
  std::vector<MixStage>& stages = question.problem.stages;
  auto stage = std::find_if(stages.begin(), stages.end(),
                            [&](const MixStage& one) { return one.name == name; });
  if (stage == stages.end()) {
    stages.push_back({.name = name, .tier = cell.group->spec->tier, .cells = {}, .free = {}});
    question.cells.emplace_back();
    stage = std::prev(stages.end());
  }
  const bool stays =
      freedom == Freedom::kGrow || freedom == Freedom::kAsk || cell.group->IsLeftAlone();
  const int64_t now = cell.memory.desired + draft_.AskedFor(cell);
  stage->cells.push_back({.variant = IndexOf(*cell.variant),
                          .price = MarginalHourlyCost(cell),
                          // What is missing is started in any case.
                          .startup = freedom == Freedom::kMove ? cell.variant->startup : Seconds{0},
                          .now = now,
                          .least = stays ? now : 0,
                          .most = now + Room(freedom, cell)});
  question.cells[static_cast<size_t>(stage - stages.begin())].push_back(&cell);
}

// How many more the cell can have by itself. The limits of all cells together are the problem's.
int64_t MixQuestions::Room(Freedom freedom, CellState& cell) {
  if (freedom == Freedom::kShrink) return 0;
  int64_t room = 0;
  if (freedom == Freedom::kAsk) {
    const auto at = to_come_.find(&cell);
    room = at == to_come_.end() ? 0 : at->second.more;
  } else if (freedom == Freedom::kGrow) {
    room = limits_.More(cell, CeilDiv(draft_.required - limits_.Promised(false), cell.Each()));
  } else {
    const int64_t needed = CeilDiv(draft_.required, cell.Each());
    const int64_t wanted =
        std::max<int64_t>(needed, cell.variant->min_replicas) - cell.memory.desired;
    if (wanted < 1) return 0;
    cell.option.reset();
    cell.shortage = limits_.Refusal(cell);
    room = cell.shortage ? 0 : limits_.WithinRoom(cell, wanted);
    // A pool that is not short holds back from nothing.
    if (cell.option && cell.option->HeldBack() && !draft_.memory.waiting_since)
      cell.shortage.reset();
  }
  const auto cut = cuts_.find(&cell);
  return cut == cuts_.end() ? room : std::min(room, cut->second);
}

// The nodes that are yet to come.
void MixQuestions::SetNew(const std::vector<CellState*>& cells, MixStage& stage) const {
  for (size_t c = 0; c < cells.size(); ++c) {
    const auto at = to_come_.find(cells[c]);
    if (at == to_come_.end()) continue;
    stage.free = at->second.free;
    stage.made = at->second.made;
    stage.cells[c].fits = at->second.fits;
  }
}

// Free accelerators by node, for cells that would grow beside each other: fewer than there are
// where something else is scarcer, so that what fits by accelerators fits.
std::vector<int64_t> MixQuestions::FreeTogether(const std::vector<CellState*>& cells,
                                                const MixStage& stage) const {
  std::vector<const CellState*> growing;
  for (size_t c = 0; c < cells.size(); ++c) {
    if (stage.cells[c].most > stage.cells[c].now) growing.push_back(cells[c]);
  }
  std::vector<int64_t> free;
  if (growing.size() < 2) return free;
  for (const Member& member : growing.front()->group->members) {
    if (member.state != NodeState::kUsable || member.overlapped) continue;
    free.push_back(FreeOn(member.node, growing));
  }
  return free;
}

int64_t MixQuestions::FreeOn(size_t node, const std::vector<const CellState*>& growing) const {
  const NodeGroup& group = *growing.front()->group->spec;
  const Resources room = capacity_.Free(node);
  const int64_t accelerators = AcceleratorsIn(group, room);
  bool alone = true;  // do accelerators alone limit what fits?
  int64_t least = accelerators;
  for (const CellState* cell : growing) {
    const TrainingPool& seeker = *world_.pools[cell->seeker];
    if (!ConstraintsHold(seeker, group, *world_.nodes[node])) return 0;
    const Resources request = RequestIn(seeker, group);
    const int64_t size = cell->variant->per_replica;
    for (const auto& [name, amount] : request) {
      alone = alone && MoneySeconds{amount} * accelerators <= MoneySeconds{room.Get(name)} * size;
    }
    least = std::min(least, room.HowMany(request, kManyReplicas) * size);
  }
  return alone ? accelerators : least;
}

RejectedMix MixQuestions::Told(const Question& question, const Mix& mix, std::string why) const {
  RejectedMix told{.mix = {}, .cost = {}, .why = std::move(why)};
  std::vector<std::string> cells;
  for (const CellState& cell : draft_.cells) {
    const bool presumed = !cell.leaving && !cell.Known();
    const int64_t replicas = question.Of(cell, mix).value_or(presumed ? cell.memory.desired : 0);
    if (replicas < 1) continue;
    cells.push_back(fmt::format("{} {}@{}", replicas, cell.memory.variant, cell.memory.node_group));
    told.cost += MarginalHourlyCost(cell).Times(replicas);
  }
  told.mix = cells.empty() ? "nothing" : Names(cells, 12);
  return told;
}

std::string MixQuestions::WhyNot(const Question& question, const Mix& chosen,
                                 const Question& other_question, const Mix& other) const {
  if (other.shortage > 0) {
    return fmt::format("it serves {} less than is needed", Decimal(other.shortage));
  }
  if (other.cost.distance > chosen.cost.distance) return "it serves more in farther tiers";
  const MoneySeconds more = RunningCost(other_question, other) - RunningCost(question, chosen);
  if (more > 0) {
    return fmt::format("it costs {} {} an hour more", MoneyOf(more).Format(),
                       world_.snapshot->currency);
  }
  if (more < 0 && other.cost.money > chosen.cost.money) {
    return fmt::format(
        "it costs {} {} an hour less, and starting its replicas more than that within "
        "returnHome.paybackSeconds {}",
        MoneyOf(-more).Format(), world_.snapshot->currency, pool_.return_payback.count());
  }
  return "it costs as much and starts more, or other, replicas";
}

std::optional<std::string> MixQuestions::WhyNotWorth(const Benefit& benefit) const {
  const Money saving = MoneyOf(benefit.saving);
  const std::string& currency = world_.snapshot->currency;
  if (benefit.saving < 0) return "it costs more than what runs";
  if (benefit.saving * 100 < benefit.before * pool_.return_min_savings_percent) {
    return fmt::format("it saves {} of {} {} an hour, and returnHome.minSavingsPercent is {}",
                       saving.Format(), MoneyOf(benefit.before).Format(), currency,
                       pool_.return_min_savings_percent);
  }
  if (benefit.saving * pool_.return_payback.count() < benefit.cost) {
    return fmt::format(
        "it saves {} {} an hour, and the {} that both cost while it starts are not saved within "
        "returnHome.paybackSeconds {}",
        saving.Format(), currency, MoneyOf(benefit.cost / 3600).Format(),
        pool_.return_payback.count());
  }
  return std::nullopt;
}

}  // namespace spillway::placement
