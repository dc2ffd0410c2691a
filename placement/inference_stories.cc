// What an inference pool's decision says.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "placement/inference.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

struct Verdict {
  Reason reason = Reason::kAsExpected;
  std::string message;
};

using Replicas = std::vector<std::pair<const Variant*, int>>;

std::string Where(const CellState& cell) {
  return cell.memory.variant + "@" + cell.memory.node_group;
}

class Teller {
 public:
  Teller(const World& world, const InferenceDraft& draft)
      : world_(world), draft_(draft), pool_(*draft.pool) {}

  InferenceDecision Tell() {
    out_.key = pool_.key;
    out_.uid = pool_.uid;
    out_.evict = draft_.evict;
    out_.force_delete = draft_.force_delete;
    TellMemory();
    TellCells();
    TellCapacity();
    TellMoney();
    TellCapacityCondition();
    TellReady();
    TellAlternatives();
    return std::move(out_);
  }

 private:
  void TellMemory() {
    out_.memory = draft_.memory;
    out_.memory.cells.clear();
    bool changed = false;
    for (const CellState& cell : draft_.cells) {
      changed = changed || cell.memory.desired != cell.before;
      if (cell.memory.desired > 0 || cell.memory.blocked_until) {
        out_.memory.cells.push_back(cell.memory);
        if (cell.memory.desired == 0) out_.memory.cells.back().pending_since.reset();
      }
    }
    std::sort(out_.memory.cells.begin(), out_.memory.cells.end(),
              [](const CellMemory& a, const CellMemory& b) {
                return std::tie(a.variant, a.node_group) < std::tie(b.variant, b.node_group);
              });
    out_.action = changed ? Action::kScale : (draft_.Lacks() > 0 ? Action::kWait : Action::kKeep);
  }

  static int PerReplica(const CellState& cell) {
    return cell.variant == nullptr ? 0 : cell.variant->per_replica;
  }

  // ---- cells and their templates ----

  void TellCells() {
    for (const CellState& cell : draft_.cells) {
      if (cell.memory.desired == 0 && cell.before == 0 && cell.deployment == nullptr) continue;
      out_.cells.push_back({.variant = cell.memory.variant,
                            .node_group = cell.memory.node_group,
                            .tier = cell.memory.tier,
                            .desired = cell.memory.desired,
                            .before = cell.before,
                            .ready = cell.ready,
                            .accelerator = cell.variant == nullptr ? "" : cell.variant->accelerator,
                            .accelerators = int64_t{cell.memory.desired} * PerReplica(cell),
                            .hourly_cost = HourlyCost(cell).Times(cell.memory.desired),
                            .roll = cell.roll,
                            .surge = cell.surge,
                            .unavailable = cell.unavailable});
    }
    std::sort(out_.cells.begin(), out_.cells.end(),
              [](const CellDecision& a, const CellDecision& b) {
                return std::tie(a.variant, a.node_group) < std::tie(b.variant, b.node_group);
              });
  }

  // ---- numbers ----

  void TellCapacity() {
    Replicas ready;
    Replicas wanted;
    std::map<std::string, Throughput> serving;
    Throughput all = 0;
    for (const CellState& cell : draft_.cells) {
      ready.emplace_back(cell.variant, cell.ready);
      wanted.emplace_back(cell.variant, cell.memory.desired);
      all += cell.Serving();
    }
    out_.required = draft_.required;
    out_.ready_capacity = Usable(pool_, ready);
    out_.pending_capacity = std::max<Throughput>(Usable(pool_, wanted) - out_.ready_capacity, 0);
    const int wanted_units = draft_.memory.units.value_or(pool_.replicas);
    out_.ready_units = static_cast<int>(
        std::min<int64_t>(out_.ready_capacity / pool_.unit, int64_t{wanted_units}));
    for (const CellState& cell : draft_.cells) serving[cell.memory.variant] += cell.Serving();
    for (const auto& [variant, capacity] : serving) {
      const int64_t percent = all == 0 ? 0 : (capacity * 100 + all / 2) / all;
      out_.weights.emplace_back(variant, static_cast<int>(percent));
    }
  }

  void TellMoney() {
    std::vector<std::string> mix;
    for (const CellState& cell : draft_.cells) {
      const int replicas = cell.memory.desired;
      if (replicas == 0) continue;
      mix.push_back(fmt::format("{} {}", replicas, Where(cell)));
      out_.hourly_cost += HourlyCost(cell).Times(replicas);
      out_.marginal_hourly_cost += MarginalHourlyCost(cell).Times(replicas);
      out_.spilled = out_.spilled || cell.Spilled();
    }
    out_.chosen = mix.empty() ? "nothing" : Names(mix, 12);
    if (draft_.better) out_.rejected.push_back(*draft_.better);
    out_.rejected.insert(out_.rejected.end(), draft_.rejected.begin(), draft_.rejected.end());
    if (!out_.spilled) return;
    std::vector<std::string> outside;
    Money cost;
    for (const CellState& cell : draft_.cells) {
      if (!cell.Spilled() || cell.memory.desired == 0) continue;
      outside.push_back(fmt::format("{} {}", cell.memory.desired, Where(cell)));
      cost += MarginalHourlyCost(cell).Times(cell.memory.desired);
    }
    out_.spilled_message =
        Short(fmt::format("{} outside the home tier, for {} {} an hour at the margin",
                          Names(outside, 8), cost.Format(), world_.snapshot->currency));
  }

  [[nodiscard]] std::string Needs() const {
    return fmt::format(
        "serves {} of {} needed ({} × {})", Decimal(out_.ready_capacity), Decimal(out_.required),
        Count(draft_.memory.units.value_or(pool_.replicas), "unit"), Decimal(pool_.unit));
  }

  // ---- conditions ----

  // What it has, or what it needs, is not known for sure, whether or not that seems to be enough.
  [[nodiscard]] std::optional<Verdict> Doubt() const {
    if (draft_.held) return std::nullopt;
    if (draft_.unreachable != nullptr) {
      const std::string sentence = UnreachableSentence(draft_.unreachable->spec->cluster,
                                                       *draft_.unreachable->unreachable_since);
      return Verdict{Reason::kClusterUnreachable,
                     sentence +
                         ": its replicas there count as they were last seen, and none is "
                         "removed anywhere until it can be reached again"};
    }
    if (draft_.unknown_since) {
      return Verdict{
          Reason::kDemandUnknown,
          fmt::format("the demand is unknown since {}, as nothing was heard of it since "
                      "{}: it has what it last needed, and none is removed",
                      FormatTime(*draft_.unknown_since), FormatTime(pool_.demand->as_of))};
    }
    return std::nullopt;
  }

  void TellCapacityCondition() {
    out_.capacity_met = out_.ready_capacity >= out_.required;
    const Verdict why =
        out_.capacity_met ? Doubt().value_or(Verdict{Reason::kAsExpected, {}}) : WhyShort();
    out_.capacity_reason = why.reason;
    std::string message = why.message.empty() ? Needs() : Needs() + "; " + why.message;
    if (draft_.rounded) {
      message += fmt::format("; the mix is reckoned in steps of {}", Decimal(*draft_.rounded));
    }
    out_.capacity_message = Short(std::move(message));
  }

  // Of several shortages the one that time or room can end.
  [[nodiscard]] const CellState* Lead() const {
    const auto first = [&](Reason reason) {
      return std::find_if(draft_.cells.begin(), draft_.cells.end(), [&](const CellState& cell) {
        return cell.shortage && cell.shortage->reason == reason;
      });
    };
    for (const Reason reason :
         {Reason::kWaitingForNodes, Reason::kHoldingBackSpill, Reason::kOutOfStock,
          Reason::kSpendLimitReached, Reason::kWaitingForQuota, Reason::kWaitingForCapacity,
          Reason::kQuotaExceeded}) {
      const auto at = first(reason);
      if (at != draft_.cells.end()) return &*at;
    }
    const auto any = std::find_if(draft_.cells.begin(), draft_.cells.end(),
                                  [](const CellState& cell) { return cell.shortage.has_value(); });
    return any == draft_.cells.end() ? nullptr : &*any;
  }

  [[nodiscard]] std::string Shortages(const CellState& lead) const {
    std::string text = fmt::format("{}: {}", Where(lead), lead.shortage->message);
    int said = 1;
    for (const CellState& cell : draft_.cells) {
      if (&cell == &lead || !cell.shortage || said == 3) continue;
      text += fmt::format("; {}: {}", Where(cell), cell.shortage->message);
      ++said;
    }
    return text;
  }

  [[nodiscard]] Verdict WhyShort() const {
    if (draft_.held) return {draft_.held->reason, draft_.held->sentence};
    if (draft_.Lacks() == 0)
      return {draft_.link_suspect ? Reason::kLinkSuspect : Reason::kPodsNotReady, Unready()};
    if (draft_.memory.claim) return WhyClaimed();
    const CellState* lead = Lead();
    if (const Eviction* last = GaveWay()) {
      return {Reason::kPreempted, fmt::format("at {} it {}{}", FormatTime(last->time), last->cause,
                                              lead == nullptr ? "" : "; " + Shortages(*lead))};
    }
    if (lead != nullptr) return {lead->shortage->reason, Shortages(*lead)};
    return {Reason::kNoMatchingNodeGroup,
            "no node group is acceptable: asked for " + Types() + "; " + TypesThere()};
  }

  // When replicas went last, if it has not had what it needs since.
  [[nodiscard]] const Eviction* GaveWay() const {
    const auto& evictions = draft_.memory.evictions;
    const auto& since = draft_.memory.short_since;
    return !evictions.empty() && since && evictions.back().time >= *since ? &evictions.back()
                                                                          : nullptr;
  }

  [[nodiscard]] Verdict WhyClaimed() const {
    const CellClaim& claim = *draft_.memory.claim;
    const Cause waits = WaitsFor(draft_.awaits);
    return {waits.reason,
            fmt::format("{}; {} of {} ({}) reserved for {} of {} until {}", waits.sentence,
                        Count(std::ssize(claim.hold.nodes), "node"), claim.hold.node_group,
                        Names(claim.hold.nodes), Count(claim.replicas, "replica"), claim.variant,
                        FormatTime(claim.hold.until))};
  }

  [[nodiscard]] std::string Types() const {
    std::vector<std::string> types;
    types.reserve(pool_.variants.size());
    for (const Variant& variant : pool_.variants) types.push_back(variant.accelerator);
    return Names(types);
  }
  [[nodiscard]] std::string TypesThere() const {
    std::vector<std::string> types;
    types.reserve(world_.groups.size());
    for (const GroupView& group : world_.groups) types.push_back(group.spec->accelerator);
    std::sort(types.begin(), types.end());
    types.erase(std::unique(types.begin(), types.end()), types.end());
    return types.empty() ? "there are no node groups" : "there are " + Names(types, 8);
  }

  [[nodiscard]] std::string Unready() const {
    std::vector<std::string> cells;
    for (const CellState& cell : draft_.cells) {
      if (cell.memory.desired <= cell.ready) continue;
      std::string text =
          fmt::format("{} of {} ready on {}", cell.ready, cell.memory.desired, Where(cell));
      if (cell.unbound > 0) text += fmt::format(" ({} bound to no node)", cell.unbound);
      if (cell.away > 0) text += fmt::format(" ({} on nodes that are NotReady)", cell.away);
      cells.push_back(std::move(text));
    }
    return Names(cells, 4);
  }

  void TellReady() {
    Verdict why = WhyReady();
    out_.ready_reason = why.reason;
    out_.ready_message = Short(std::move(why.message));
  }

  Verdict WhyReady() {
    if (draft_.held) {
      out_.ready = draft_.held->reason == Reason::kPaused && out_.capacity_met;
      return {draft_.held->reason,
              draft_.held->sentence + ": nothing is changed, what runs stays; " + Needs()};
    }
    if (auto refused = Refused()) return *refused;
    if (const auto doubt = Doubt()) {
      out_.ready = out_.capacity_met && draft_.unreachable == nullptr;
      if (out_.capacity_met) return {doubt->reason, out_.capacity_message};
      return {doubt->reason, doubt->message + "; " + out_.capacity_message};
    }
    if (auto rolling = Rolling()) return *rolling;
    out_.ready = out_.capacity_met;
    std::string message = out_.capacity_message;
    if (out_.ready) message += " by " + out_.chosen;
    if (const std::string leaving = Leaving(); !leaving.empty()) message += "; " + leaving;
    for (const Leaver& leaver : draft_.yields) {
      message += fmt::format("; gives {} up for {}, {}, at {}", Count(leaver.replicas, "replica"),
                             leaver.key.Format(), leaver.right, FormatTime(*leaver.leaves));
    }
    return {out_.capacity_reason, message};
  }

  // A template that is refused is told also while what runs goes on.
  [[nodiscard]] std::optional<Verdict> Refused() const {
    for (const Variant& variant : pool_.variants) {
      if (variant.template_invalid.empty()) continue;
      return Verdict{Reason::kTemplateInvalid, fmt::format("variant {}: {}; {}", variant.name,
                                                           variant.template_invalid, Needs())};
    }
    return std::nullopt;
  }

  [[nodiscard]] std::string Leaving() const {
    std::vector<std::string> cells;
    for (const CellState& cell : draft_.cells) {
      if (cell.leaving && cell.memory.desired > 0) {
        cells.push_back(fmt::format("{} of {}", cell.memory.desired, Where(cell)));
      }
    }
    return cells.empty() ? "" : Names(cells) + " leave when others are ready in their place";
  }

  [[nodiscard]] std::optional<Verdict> Rolling() const {
    std::vector<std::string> cells;
    bool no_room = false;
    for (const CellState& cell : draft_.cells) {
      if (cell.memory.desired == 0 || cell.leaving || cell.deployment == nullptr) continue;
      const bool waits = cell.IsOld();
      if (!waits && !cell.deployment->rolling) continue;
      no_room = no_room || cell.surge == 0 || (waits && !cell.roll);
      cells.push_back(Progress(cell, waits));
    }
    if (cells.empty()) return std::nullopt;
    return Verdict{no_room ? Reason::kWaitingForSurge : Reason::kPodsNotReady,
                   fmt::format("the template changes: {}; {}", Names(cells), Needs())};
  }

  [[nodiscard]] std::string Progress(const CellState& cell, bool waits) const {
    int fresh = 0;
    for (const Replica& replica : pool_.live) {
      if (replica.variant == cell.memory.variant && replica.node_group == cell.memory.node_group &&
          replica.ready && !replica.terminating && replica.revision == cell.variant->revision) {
        ++fresh;
      }
    }
    std::string text = fmt::format("{} of {} new ones ready on {}", waits ? 0 : fresh,
                                   cell.memory.desired, Where(cell));
    if (cell.deployment->stuck) text += ", which makes no progress";
    if (cell.surge == 0) text += ", old ones first go as there is no room for more";
    return text;
  }

  [[nodiscard]] std::string RemedyIn(const CellState& cell) const {
    const auto claimed = ClaimedCell(draft_);
    if (claimed && &draft_.cells[*claimed] == &cell) return WaitForLeavers(draft_.awaits);
    if (cell.missing.empty()) return cell.shortage->remedy;
    return fmt::format("{}", fmt::join(cell.missing, "; "));
  }

  void TellAlternatives() {
    for (const CellState& cell : draft_.cells) {
      if (!cell.shortage && cell.memory.desired == 0) continue;
      Alternative& alternative = out_.alternatives.emplace_back();
      alternative.group = Where(cell);
      alternative.fits = !cell.shortage;
      if (cell.shortage) {
        alternative.reason = cell.shortage->reason;
        alternative.message = Short(fmt::format("has {}; {}", Count(cell.memory.desired, "replica"),
                                                cell.shortage->message));
        const std::string remedy = RemedyIn(cell);
        if (draft_.Lacks() > 0 && !remedy.empty()) {
          out_.remedies.push_back(alternative.group + ": " + remedy);
        }
      } else {
        alternative.message =
            fmt::format("has {}, {} ready", Count(cell.memory.desired, "replica"), cell.ready);
      }
    }
  }

  const World& world_;
  const InferenceDraft& draft_;
  const InferencePool& pool_;
  InferenceDecision out_;
};

}  // namespace

InferenceDecision Describe(const World& world, const InferenceDraft& draft) {
  return Teller(world, draft).Tell();
}

}  // namespace spillway::placement
