#include "placement/cell_limits.h"

#include <fmt/format.h>

#include <algorithm>

#include "placement/words.h"

namespace spillway::placement {
namespace {

// "3 of 16 accelerators are free on 2 nodes that it may use"
std::string Supply(const World& world, const Capacity& capacity, const CellState& cell) {
  const NodeGroup& group = *cell.group->spec;
  const size_t column = capacity.ColumnOf(CountedBy(group));
  int64_t nodes = 0;
  int64_t accelerators = 0;
  int64_t free = 0;
  for (const Member& member : cell.group->members) {
    const Node& node = *world.nodes[member.node];
    if (member.state != NodeState::kUsable || member.overlapped) continue;
    if (!ConstraintsHold(*world.pools[cell.seeker], group, node)) continue;
    ++nodes;
    accelerators += AcceleratorsIn(group, node.allocatable);
    free += Accelerators(group, capacity.FreeIn(column, member.node));
  }
  return fmt::format("{} of {} accelerators are free on {} that it may use", free, accelerators,
                     Count(nodes, "node"));
}

void SayShort(CellState& cell, int64_t wanted, int64_t left, const std::string& supply,
              const Node* promised) {
  Finding& finding = cell.shortage.emplace();
  finding.reason = Reason::kWaitingForCapacity;
  finding.message = fmt::format("{} of {} fit: {}", left, Count(wanted, "more replica"), supply);
  finding.remedy = fmt::format("room for {} of {} {}", Count(wanted - left, "more replica"),
                               cell.variant->per_replica, cell.variant->accelerator);
  if (promised == nullptr) return;
  finding.message += fmt::format(
      "; {} is promised to others that are starting, and the rest "
      "waits until they are bound",
      promised->id.name);
  finding.remedy = "wait until others have started";
}

}  // namespace

int64_t AcceleratorsOf(const CellState& cell, const std::string& type) {
  if (cell.variant == nullptr || cell.variant->accelerator != type) return 0;
  return int64_t{cell.memory.desired} * cell.variant->per_replica;
}

int64_t CellLimits::OfVariant(const Variant& variant) const {
  int64_t replicas = 0;
  for (const CellState& cell : draft_.cells) {
    if (cell.variant == &variant && !cell.leaving) replicas += cell.memory.desired;
  }
  return replicas;
}

// Of replicas that are only still there until others serve in their place.
int64_t CellLimits::LeavingAccelerators(const std::string& type) const {
  int64_t accelerators = 0;
  for (const CellState& cell : draft_.cells) {
    if (cell.leaving) accelerators += AcceleratorsOf(cell, type);
  }
  return accelerators;
}

Money CellLimits::Spending() const {
  Money sum;
  for (const CellState& cell : draft_.cells) {
    sum += CostAboveHome(cell).Times(cell.memory.desired);
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
                .remedy = fmt::format("raise maxReplicas of variant {}", cell.variant->name)};
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
    cell.shortage = Finding{
        .reason = Reason::kQuotaExceeded,
        .message =
            fmt::format("needs {} {}, and namespace {} has {} of its limit of {} in use",
                        wanted * cell.variant->per_replica, type, pool_.key.ns, used, *limit),
        .remedy = fmt::format("raise the limit of {} for {} in namespace {} to {}", *limit, type,
                              pool_.key.ns, used + wanted * cell.variant->per_replica)};
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
    cell.shortage = Finding{.reason = Reason::kSpendLimitReached,
                            .message = fmt::format("one replica costs {} {} an hour, and {} of "
                                                   "placement.spill.maxHourlyCost {} are spent",
                                                   each.Format(), world_.snapshot->currency,
                                                   now.Format(), most.Format()),
                            .remedy = "raise placement.spill.maxHourlyCost"};
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
  const Row request = capacity_.RowOf(cell.request);
  const int64_t at_large = cell.AtLarge();
  int64_t harmless = at_large + wanted;
  const Node* promised = nullptr;
  int64_t slots = 0;
  for (const Member& member : cell.group->members) {
    if (member.state != NodeState::kUsable) continue;
    const Node& node = *world_.nodes[member.node];
    if (!ConstraintsHold(*world_.pools[cell.seeker], *cell.group->spec, node)) continue;
    const Row taken = TakenOn(capacity_, cell, member.node);
    const int64_t here = capacity_.Harmless(cell.seeker, member.node, taken, request, harmless);
    if (here < harmless) promised = &node;
    harmless = here;
    if (!member.overlapped) {
      slots += capacity_.FitsBeside(cell.seeker, member.node, taken, request, kManyReplicas);
    }
  }
  // Pods that are bound and would have to go stay in place of new ones.
  const int64_t fit = slots - (cell.memory.desired + cell.Surge() - cell.Bound());
  const int64_t left = std::clamp<int64_t>(std::min(fit, harmless - at_large), 0, wanted);
  if (left < wanted && !cell.shortage) {
    SayShort(cell, wanted, left, Supply(world_, capacity_, cell), fit > left ? promised : nullptr);
  }
  return left;
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
  return std::any_of(draft_.cells.begin(), draft_.cells.end(), [&](const CellState& cell) {
    return cell.Known() && cell.memory.tier == 0 && cell.variant->template_invalid.empty() &&
           CouldEverFit(world_, *world_.pools[cell.seeker], *cell.group);
  });
}

std::optional<Finding> CellLimits::Refusal(CellState& cell) const {
  if (cell.Blocked(world_.now)) {
    return Finding{.reason = Reason::kBackingOff,
                   .message = fmt::format("replicas missed their start deadline there; it is "
                                          "tried again at {}",
                                          FormatTime(*cell.memory.blocked_until)),
                   .remedy = "look at the events of its pods"};
  }
  if (!cell.variant->template_invalid.empty()) {
    return Finding{.reason = Reason::kTemplateInvalid,
                   .message = cell.variant->template_invalid,
                   .remedy = "correct the template of variant " + cell.variant->name};
  }
  if (!cell.variant->namespace_quota.empty()) {
    return Finding{.reason = Reason::kQuotaExceeded,
                   .message = cell.variant->namespace_quota,
                   .remedy = "raise the namespace's ResourceQuota"};
  }
  if (cell.variant->template_unchecked) {
    return Finding{.reason = Reason::kPodsNotReady,
                   .message = "waiting for the API server's answer about the pod template",
                   .remedy = {}};
  }
  if (cell.group->LinkSuspect()) {
    return Finding{.reason = Reason::kLinkSuspect,
                   .message = LinkSentence(*cell.group),
                   .remedy = "mend the link"};
  }
  if (!cell.option) {
    Offers offers(world_, capacity_);
    cell.option = OptionIn(Scene{world_, capacity_, quotas_, offers}, cell.seeker, CheckMemory(),
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
