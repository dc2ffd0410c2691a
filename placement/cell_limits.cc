#include "placement/cell_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "placement/words.h"

namespace spillway::placement {
namespace {

// "3 of 16 accelerators are free on 2 nodes that it may use"
std::string Supply(const GroupView& group, const Ground& ground, const Offer& offer) {
  int64_t accelerators = 0;
  for (size_t shape = 0; shape < group.shapes.size(); ++shape) {
    accelerators += ground.allowed[shape] * AcceleratorsIn(*group.spec, group.shapes[shape]);
  }
  return fmt::format("{} of {} accelerators are free on {} that it may use", offer.free,
                     accelerators, Count(std::ssize(ground.nodes), "node"));
}

// `fit`: for how many there is room, `left` of it now.
void SayShort(CellState& cell, int64_t wanted, int64_t fit, int64_t left, const std::string& supply,
              const Node* promised) {
  Finding& finding = cell.shortage.emplace();
  finding.reason = Reason::kWaitingForCapacity;
  finding.message = fmt::format("{} of {} fit: {}", left, Count(wanted, "more replica"), supply);
  const int64_t lacks = wanted - (promised == nullptr ? left : std::max<int64_t>(fit, 0));
  if (lacks > 0) {
    finding.remedy = fmt::format("room for {} of {} {}", Count(lacks, "more replica"),
                                 cell.variant->per_replica, cell.variant->accelerator);
  }
  if (promised == nullptr) return;
  finding.message += fmt::format(
      "; {} is promised to others that are starting, and the rest "
      "waits until they are bound",
      promised->id.name);
  finding.remedy += finding.remedy.empty() ? "" : "; ";
  finding.remedy += "wait until others have started";
}

// Replicas that are not on a node yet, with the surge that the cell has once it is not empty.
int64_t UnboundOnceInUse(const CellState& cell) {
  return int64_t{cell.memory.desired} + cell.SurgeOnceInUse() - cell.Bound();
}

}  // namespace

int64_t AcceleratorsOf(const CellState& cell, const std::string& type) {
  if (cell.variant == nullptr || cell.variant->accelerator != type) return 0;
  return int64_t{cell.memory.desired} * cell.variant->per_replica;
}

int64_t CellLimits::OfVariant(const Variant& variant) const {
  int64_t replicas = 0;
  for (const CellState& cell : draft_.cells) {
    if (cell.variant != &variant || cell.leaving) continue;
    replicas += cell.memory.desired + draft_.AskedFor(cell);
  }
  return replicas;
}

// Of replicas that are only still there until others serve in their place. What is left alone stays
// even then.
int64_t CellLimits::LeavingAccelerators(const std::string& type) const {
  int64_t accelerators = 0;
  for (const CellState& cell : draft_.cells) {
    const bool stays = cell.group != nullptr && cell.group->IsLeftAlone();
    if (cell.leaving && !stays) accelerators += AcceleratorsOf(cell, type);
  }
  return accelerators;
}

// Of replicas that are to stay, with those for which nodes are asked for: these count as used too.
int64_t CellLimits::OwnAccelerators(const std::string& type) const {
  int64_t accelerators = 0;
  for (const CellState& cell : draft_.cells) {
    if (cell.leaving || cell.variant == nullptr || cell.variant->accelerator != type) continue;
    accelerators += AcceleratorsOf(cell, type);
    accelerators += draft_.AskedFor(cell) * cell.variant->per_replica;
  }
  return accelerators;
}

Money CellLimits::Spending() const {
  Money sum;
  for (const CellState& cell : draft_.cells) {
    sum += CostAboveHome(cell).Times(cell.memory.desired + draft_.AskedFor(cell));
  }
  return sum;
}

// The limits that are no node's: each says why it is lower than what was wanted.
int64_t CellLimits::WithinMost(CellState& cell, int64_t wanted) const {
  if (!cell.variant->max_replicas) return wanted;
  const int64_t left = *cell.variant->max_replicas - OfVariant(*cell.variant);
  if (left < wanted) {
    cell.shortage =
        Finding{.reason = Reason::kWaitingForCapacity,
                .message = fmt::format("variant {} may have {}", cell.variant->name,
                                       Count(*cell.variant->max_replicas, "replica")),
                .remedy = fmt::format("raise maxReplicas of variant {} to {}", cell.variant->name,
                                      OfVariant(*cell.variant) + wanted)};
  }
  return std::clamp<int64_t>(left, 0, wanted);
}

int64_t CellLimits::WithinQuota(CellState& cell, int64_t wanted) const {
  const std::string& type = cell.variant->accelerator;
  const auto limit = quotas_.Limit(pool_.key.ns, type);
  if (!limit) return wanted;
  const int64_t used = quotas_.Used(pool_.key.ns, type) - LeavingAccelerators(type);
  const int64_t left = std::max<int64_t>(*limit - used, 0) / cell.variant->per_replica;
  if (left < wanted) {
    cell.shortage = BeyondLimit({.ns = pool_.key.ns,
                                 .type = type,
                                 .needed = wanted * cell.variant->per_replica,
                                 .own = OwnAccelerators(type)},
                                used, *limit);
  }
  return std::min(left, wanted);
}

// The pool's own limit.
int64_t CellLimits::WithinSpill(CellState& cell, int64_t wanted) const {
  const Money each = CostAboveHome(cell);
  if (!pool_.spill_max_hourly_cost || each == Money()) return wanted;
  const Money most = *pool_.spill_max_hourly_cost;
  const Money now = Spending();
  const int64_t left = now >= most ? 0 : (most.micros() - now.micros()) / each.micros();
  if (left < wanted) {
    cell.shortage =
        Finding{.reason = Reason::kSpendLimitReached,
                .message = fmt::format("one replica costs {} {} an hour, and {} of "
                                       "placement.spill.maxHourlyCost {} are spent",
                                       each.Format(), world_.snapshot->currency, now.Format(),
                                       most.Format()),
                .remedy = fmt::format("raise placement.spill.maxHourlyCost of {} to {}",
                                      most.Format(), (now + each.Times(wanted)).Format())};
  }
  return std::min(left, wanted);
}

// Its namespace's limits.
int64_t CellLimits::WithinSpend(CellState& cell, int64_t wanted) const {
  const SpendBook& spend = quotas_.Spend();
  const Money each = CostAboveHome(cell);
  const int64_t left = spend.HowMany(pool_.key.ns, each, wanted);
  if (left == wanted) return wanted;
  if (const auto block = spend.BlockFor(pool_.key.ns, each.Times(wanted))) {
    cell.shortage =
        Finding{.reason = Reason::kSpendLimitReached,
                .message = fmt::format("{} {}", Count(wanted, "more replica"), block->message),
                .remedy = block->remedy};
  }
  return left;
}

int64_t CellLimits::WithinRoom(CellState& cell, int64_t wanted) const {
  const TrainingPool& seeker = *world_.pools[cell.seeker];
  const auto ground = offers_.GroundFor(*cell.group, seeker, {});
  const Offer& offer = offers_.OfferFor(*cell.group, ground, cell.request);
  // Pods that are bound and would have to go stay in place of new ones.
  const int64_t fit = SlotsFor(cell, *ground, offer) - UnboundOnceInUse(cell);
  const Node* promised = nullptr;
  const int64_t harmless = HarmlessTo(cell, wanted, promised);
  const int64_t left = std::clamp<int64_t>(std::min(fit, harmless), 0, wanted);
  if (left < wanted && !cell.shortage) {
    SayShort(cell, wanted, fit, left, Supply(*cell.group, *ground, offer),
             fit > left ? promised : nullptr);
  }
  return left;
}

// How many more fit on its nodes, each by itself, beside what is promised to others.
int64_t CellLimits::SlotsFor(const CellState& cell, const Ground& ground,
                             const Offer& offer) const {
  const Row request = capacity_.RowOf(cell.request);
  int64_t slots = offer.workers;
  for (const size_t node : capacity_.HeldBy(cell.seeker)) {
    const auto at = std::ranges::lower_bound(ground.nodes, node);
    if (at == ground.nodes.end() || *at != node) continue;
    const auto place = static_cast<size_t>(at - ground.nodes.begin());
    slots -= std::min(offer.places[place].slot.workers, kManyReplicas);
    slots += SlotsOn(capacity_, cell, node, request);
  }
  return slots;
}

// How many more may be on their way to its nodes without taking room that others count on;
// `promised`: a node that it is fewer for than are wanted.
int64_t CellLimits::HarmlessTo(const CellState& cell, int64_t wanted, const Node*& promised) const {
  const Row request = capacity_.RowOf(cell.request);
  const Row nothing = capacity_.RowOf({});
  const int64_t at_large = std::max<int64_t>(0, UnboundOnceInUse(cell));
  int64_t harmless = at_large + wanted;
  for (const size_t node : world_.ReachOf(cell.seeker)) {
    if (harmless == 0) break;
    if (!capacity_.IsOpen(node)) continue;
    const Row taken = cell.bound.contains(node) ? TakenOn(capacity_, cell, node) : nothing;
    const int64_t here = capacity_.Harmless(cell.seeker, node, taken, request, harmless);
    if (here < harmless) promised = world_.nodes[node];
    harmless = here;
  }
  return harmless - at_large;
}

// What the pool remembers, as the checks of gangs ask for it.
PoolMemory CellLimits::CheckMemory() const {
  PoolMemory memory;
  memory.waiting_since = draft_.memory.waiting_since;
  for (const CellState& cell : draft_.cells) {
    if (cell.memory.desired > 0 && !cell.leaving) memory.tiers_used.insert(cell.memory.tier);
  }
  return memory;
}

bool CellLimits::HomeCouldServe() const {
  const Scene scene{world_, capacity_, quotas_, offers_};
  return std::any_of(draft_.cells.begin(), draft_.cells.end(), [&](const CellState& cell) {
    return cell.Known() && cell.memory.tier == 0 && cell.variant->template_invalid.empty() &&
           CouldEverFit(scene, *world_.pools[cell.seeker], *cell.group);
  });
}

std::optional<Finding> CellLimits::WhyNoNewNodes(const CellState& cell,
                                                 const NewSupply& supply) const {
  return FindingOnNew(Scene{world_, capacity_, quotas_, offers_}, cell.seeker, CheckMemory(),
                      *cell.group, HomeCouldServe(), supply);
}

std::optional<Finding> CellLimits::RefusalOfTemplate(const CellState& cell) {
  if (!cell.variant->template_invalid.empty()) {
    return Finding{.reason = Reason::kTemplateInvalid,
                   .message = cell.variant->template_invalid,
                   .remedy = "correct the template of variant " + cell.variant->name};
  }
  if (!cell.variant->namespace_quota.empty()) {
    // What it says is used up now: nobody knows whether all of it would be enough.
    return Finding{.reason = Reason::kWaitingForQuota,
                   .message = cell.variant->namespace_quota,
                   .remedy =
                       "wait until other pods of the namespace have ended, or raise its "
                       "ResourceQuota"};
  }
  if (cell.variant->template_unchecked) {
    return Finding{.reason = Reason::kPodsNotReady,
                   .message = "waiting for the API server's answer about the pod template",
                   .remedy = {}};
  }
  return std::nullopt;
}

std::optional<Finding> CellLimits::Refusal(CellState& cell) const {
  if (cell.Blocked(world_.now)) {
    return Finding{.reason = Reason::kBackingOff,
                   .message = fmt::format("replicas missed their start deadline there; it is "
                                          "tried again at {}",
                                          FormatTime(*cell.memory.blocked_until)),
                   .remedy = "look at the events of its pods"};
  }
  if (auto finding = RefusalOfTemplate(cell)) return finding;
  if (cell.group->LinkSuspect()) {
    return Finding{.reason = Reason::kLinkSuspect,
                   .message = LinkSentence(*cell.group),
                   .remedy = "mend the link"};
  }
  if (!cell.option) {
    cell.option = OptionIn(Scene{world_, capacity_, quotas_, offers_}, cell.seeker, CheckMemory(),
                           *cell.group, HomeCouldServe());
  }
  // Room is looked at by number, as quota and spend are.
  if (cell.option->finding && cell.option->finding->reason != Reason::kWaitingForCapacity) {
    return cell.option->finding;
  }
  return std::nullopt;
}

int64_t CellLimits::More(CellState& cell, int64_t wanted) const {
  cell.shortage.reset();
  if (wanted < 1 || cell.leaving || !cell.Known()) return 0;
  cell.option.reset();
  cell.shortage = Refusal(cell);
  if (cell.shortage) return 0;
  const int64_t more = WithinLimits(cell, wanted);
  return more > 0 ? WithinRoom(cell, more) : more;
}

// Where the group may still get nodes, what keeps it from being asked for them is all that is.
bool CellLimits::WouldGrow(const CellState& cell) const {
  if (!cell.group->spec->elastic || cell.shortage->remedy.empty()) return false;
  const Reason reason = cell.shortage->reason;
  return (reason == Reason::kOutOfStock || reason == Reason::kHoldingBackSpill) &&
         MostNodes(*cell.group->spec) > NodesThere(*cell.group) + NodesLeaving(*cell.group);
}

std::vector<std::string> CellLimits::Missing(const CellState& cell, int64_t wanted) const {
  std::vector<std::string> missing;
  const auto add = [&](const std::optional<Finding>& finding) {
    if (finding && !finding->remedy.empty()) missing.push_back(finding->remedy);
  };
  if (cell.Blocked(world_.now)) missing.emplace_back("look at the events of its pods");
  add(RefusalOfTemplate(cell));
  bool judged = false;
  if (cell.group->LinkSuspect()) {
    missing.emplace_back("mend the link");
  } else if (WouldGrow(cell)) {
    add(cell.shortage);
    const auto& stockout = cell.group->spec->memory.stockout;
    if (cell.shortage->reason != Reason::kOutOfStock && stockout &&
        stockout->next_try > world_.now) {
      missing.push_back(fmt::format("wait until {}, or add nodes", FormatTime(stockout->next_try)));
    }
  } else {
    BesidesRoom besides =
        MissingBesidesRoom(Scene{world_, capacity_, quotas_, offers_}, cell.seeker, CheckMemory(),
                           *cell.group, HomeCouldServe());
    judged = besides.judged;
    std::ranges::move(besides.remedies, std::back_inserter(missing));
  }
  const auto count = [&](int64_t (CellLimits::*limit)(CellState&, int64_t) const) {
    CellState looked = cell;
    looked.shortage.reset();
    if ((this->*limit)(looked, wanted) < wanted) add(looked.shortage);
  };
  for (const auto limit : {&CellLimits::WithinMost, &CellLimits::WithinQuota,
                           &CellLimits::WithinSpill, &CellLimits::WithinSpend}) {
    count(limit);
  }
  if (judged) count(&CellLimits::WithinRoom);
  return missing;
}

int64_t CellLimits::WithinLimits(CellState& cell, int64_t wanted) const {
  int64_t more = WithinMost(cell, wanted);
  if (more > 0) more = WithinQuota(cell, more);
  if (more > 0) more = WithinSpill(cell, more);
  if (more > 0) more = WithinSpend(cell, more);
  return more;
}

int CellLimits::LeastOf(const Variant& variant) const {
  const bool in_use =
      std::any_of(draft_.cells.begin(), draft_.cells.end(),
                  [&](const CellState& cell) { return cell.variant == &variant && !cell.leaving; });
  return in_use ? variant.min_replicas : 0;
}

Throughput CellLimits::Promised(bool home_only) const {
  Throughput sum = 0;
  for (const CellState& cell : draft_.cells) {
    if (cell.leaving || (home_only && cell.Spilled())) continue;
    sum += cell.Promised();
  }
  return sum;
}

}  // namespace spillway::placement
