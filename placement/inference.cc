#include "placement/inference.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "placement/scaling.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

__extension__ using Wide = __int128;

constexpr Seconds kFirstBlock{300};
constexpr Seconds kLongestBlock{3600};
constexpr int64_t kPlenty = 1'000'000;  // more replicas than a cell can have

int64_t CeilDiv(int64_t amount, int64_t by) { return by < 1 ? 0 : (amount + by - 1) / by; }

// ---- the deciding ----

class Decider {
 public:
  Decider(const World& world, Capacity& capacity, QuotaBook& quotas, InferenceDraft& draft)
      : world_(world), capacity_(capacity), quotas_(quotas), draft_(draft), pool_(*draft.pool) {}

  void Run() {
    FollowUnits(pool_, world_.now, draft_.memory);
    draft_.required = pool_.unit * *draft_.memory.units;
    for (CellState& cell : draft_.cells) {
      cell.leaving = cell.unwanted;
      cell.shortage.reset();
    }
    GiveUp();
    if (pool_.routing == Routing::kUniform) ChooseVariant();
    for (CellState& cell : draft_.cells) cell.shortage.reset();  // those were questions only
    Shrink();
    Grow();
    ReturnHome();
    Shrink();
    RollOut();
    NotePending();
  }

 private:
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
      if (cell.Rolling() || !cell.Known() || cell.group->LinkSuspect()) continue;
      if (cell.memory.desired > cell.ready && Overdue(cell)) Block(cell);
      const int homeless = cell.memory.desired - PlacesFor(cell);
      if (homeless > 0) Change(cell, cell.memory.desired - homeless);
    }
    ClaimCells(world_, capacity_, draft_);
  }

  // Brings what is remembered of the cell up to date.
  void Refresh(CellState& cell) const {
    CellMemory& memory = cell.memory;
    const bool edited = !memory.revision.empty() && memory.revision != cell.variant->revision;
    const bool works = memory.desired > 0 && cell.ready == memory.desired && !cell.Blocked(Now());
    const bool forgiven = memory.blocked_until && Now() >= *memory.blocked_until + kLongestBlock;
    if (edited || works || forgiven) {  // an edited one is another thing that is tried now
      memory.blocked_until.reset();
      memory.misses = 0;
    }
    if (memory.desired > 0 || edited) memory.revision = cell.variant->revision;
  }

  // Since when pods are missing counts anew when more are asked for.
  void NotePending() {
    for (CellState& cell : draft_.cells) {
      std::optional<Time>& since = cell.memory.pending_since;
      if (cell.live >= cell.memory.desired) {
        since.reset();
      } else if (!since || cell.memory.desired > cell.before) {
        since = Now();
      }
    }
  }

  // Replicas that are bound, or for which its nodes have room.
  [[nodiscard]] int PlacesFor(const CellState& cell) const {
    const int bound = cell.live - cell.unbound;
    if (cell.memory.desired <= bound) return cell.memory.desired;
    const Resources request = RequestIn(*world_.pools[cell.seeker], *cell.group->spec);
    std::map<size_t, int> here = BoundReplicas(world_, draft_, cell);
    int64_t places = 0;
    for (const size_t node : NodesFor(world_, cell)) {
      places += capacity_.FreeFor(cell.seeker, node).HowMany(request, kPlenty);
      here.erase(node);
    }
    for (const auto& [node, count] : here) places += count;
    return static_cast<int>(std::clamp<int64_t>(places, bound, cell.memory.desired));
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

  // Replicas that are only still there until others serve in their place; a move counts once.
  [[nodiscard]] bool Passing(const CellState& cell, bool moving) const {
    return cell.leaving || (moving && cell.Spilled());
  }

  [[nodiscard]] int64_t OfVariant(const Variant& variant, bool moving) const {
    int64_t replicas = 0;
    for (const CellState& cell : draft_.cells) {
      if (cell.variant == &variant && !Passing(cell, moving)) replicas += cell.memory.desired;
    }
    return replicas;
  }

  [[nodiscard]] int64_t PassingAccelerators(const std::string& type, bool moving) const {
    int64_t accelerators = 0;
    for (const CellState& cell : draft_.cells) {
      if (cell.variant == nullptr || cell.variant->accelerator != type) continue;
      if (Passing(cell, moving)) {
        accelerators += int64_t{cell.memory.desired} * cell.variant->per_replica;
      }
    }
    return accelerators;
  }

  [[nodiscard]] Money Spending() const {
    Money sum;
    for (const CellState& cell : draft_.cells) {
      sum += CostAboveHome(cell).Times(cell.memory.desired);
    }
    return sum;
  }

  // ---- how many more a cell can take ----

  // The limits that are no node's: each says why it is lower than what was wanted.
  int64_t WithinMost(CellState& cell, int64_t wanted, bool moving) const {
    if (!cell.variant->max_replicas) return wanted;
    const int64_t left = *cell.variant->max_replicas - OfVariant(*cell.variant, moving);
    if (left < wanted) {
      cell.shortage =
          Finding{.reason = Reason::kWaitingForCapacity,
                  .message = fmt::format("variant {} may have {}", cell.variant->name,
                                         Count(*cell.variant->max_replicas, "replica")),
                  .remedy = fmt::format("raise maxReplicas of variant {}", cell.variant->name)};
    }
    return std::clamp<int64_t>(left, 0, wanted);
  }

  int64_t WithinQuota(CellState& cell, int64_t wanted, bool moving) const {
    const std::string& type = cell.variant->accelerator;
    const auto limit = quotas_.Limit(pool_.key.ns, type);
    if (!limit) return wanted;
    const int64_t used = quotas_.Used(pool_.key.ns, type) - PassingAccelerators(type, moving);
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
  int64_t WithinSpill(CellState& cell, int64_t wanted) const {
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
  int64_t WithinSpend(CellState& cell, int64_t wanted) const {
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

  // On its nodes, beside all that is promised to others.
  int64_t WithinRoom(CellState& cell, int64_t wanted) const {
    const Resources request = RequestIn(*world_.pools[cell.seeker], *cell.group->spec);
    const int64_t at_large = cell.AtLarge();
    int64_t harmless = at_large + wanted;
    const Node* promised = nullptr;
    int64_t room = 0;
    for (const Member& member : cell.group->members) {
      if (member.state != NodeState::kUsable) continue;
      const Node& node = *world_.nodes[member.node];
      if (!ConstraintsHold(*world_.pools[cell.seeker], *cell.group->spec, node)) continue;
      const int64_t here = capacity_.Harmless(cell.seeker, member.node, request, harmless);
      if (here < harmless) promised = &node;
      harmless = here;
      if (!member.overlapped) {
        room += capacity_.FreeFor(cell.seeker, member.node).HowMany(request, kPlenty);
      }
    }
    const int64_t fit = room - std::max(cell.memory.desired, cell.live);
    const int64_t left = std::clamp<int64_t>(std::min(fit, harmless - at_large), 0, wanted);
    if (left < wanted && !cell.shortage)
      SayShort(cell, wanted, left, fit > left ? promised : nullptr);
    return left;
  }

  static void SayShort(CellState& cell, int64_t wanted, int64_t left, const Node* promised) {
    Finding& finding = cell.shortage.emplace();
    finding.reason = Reason::kWaitingForCapacity;
    finding.message = fmt::format("{} of {} fit", left, Count(wanted, "more replica"));
    finding.remedy = fmt::format("room for {} of {} {}", Count(wanted - left, "more replica"),
                                 cell.variant->per_replica, cell.variant->accelerator);
    if (promised == nullptr) return;
    finding.message += fmt::format(
        "; {} is promised to others that are starting, and the rest "
        "waits until they are bound",
        promised->id.name);
    finding.remedy = "wait until others have started";
  }

  // What the pool remembers, as the checks of gangs ask for it.
  [[nodiscard]] PoolMemory CheckMemory() const {
    PoolMemory memory;
    memory.waiting_since = draft_.memory.waiting_since;
    for (const CellState& cell : draft_.cells) {
      if (cell.memory.desired > 0 && !cell.leaving) memory.tiers_used.insert(cell.memory.tier);
    }
    return memory;
  }

  [[nodiscard]] bool HomeCouldServe() const {
    return std::any_of(draft_.cells.begin(), draft_.cells.end(), [&](const CellState& cell) {
      return cell.Known() && cell.memory.tier == 0 && cell.variant->template_invalid.empty() &&
             CouldEverFit(world_, *world_.pools[cell.seeker], *cell.group);
    });
  }

  // Why the cell takes nothing at all, whatever the numbers; nullopt: nothing of the kind.
  std::optional<Finding> Refusal(CellState& cell) {
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
    // Room, quota and spend are looked at by number.
    if (cell.option->finding && cell.option->finding->reason != Reason::kWaitingForCapacity &&
        cell.option->finding->reason != Reason::kQuotaExceeded) {
      return cell.option->finding;
    }
    return std::nullopt;
  }

  // How many of `wanted` more replicas the cell can have now. Says why not all.
  int64_t More(CellState& cell, int64_t wanted, bool moving) {
    cell.shortage.reset();
    if (wanted < 1 || cell.leaving || !cell.Known()) return 0;
    cell.option.reset();
    cell.shortage = Refusal(cell);
    if (cell.shortage) return 0;
    int64_t more = WithinMost(cell, wanted, moving);
    if (more > 0) more = WithinQuota(cell, more, moving);
    if (more > 0) more = WithinSpill(cell, more);
    if (more > 0) more = WithinSpend(cell, more);
    if (more > 0) more = WithinRoom(cell, more);
    return more;
  }

  void Add(CellState& cell, int64_t replicas) {
    if (replicas < 1) return;
    Change(cell, cell.memory.desired + static_cast<int>(replicas));
    ClaimCells(world_, capacity_, draft_);
  }

  // ---- one variant at a time ----

  // What the variant could serve: what it has, and what its cells can take now.
  Throughput Potential(const Variant& variant, bool home_only) {
    Throughput sum = 0;
    for (CellState& cell : draft_.cells) {
      if (cell.variant != &variant || cell.leaving) continue;
      if (home_only && cell.Spilled()) continue;
      sum += cell.Promised();
      if (sum >= draft_.required) break;
      sum += variant.throughput *
             More(cell, CeilDiv(draft_.required - sum, variant.throughput), false);
    }
    return sum;
  }

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

  // Evenly shared requests are limited by the slowest replica, so that only one variant serves.
  // The present one stays while it meets the need, unless another could do so at home.
  const Variant* Best() {
    const Variant* present = Present();
    if (present != nullptr && Potential(*present, false) >= draft_.required) {
      return HomeAlternative(present);
    }
    const Variant* best = present;
    Throughput most = present == nullptr ? -1 : Potential(*present, false);
    for (const Variant* variant : Candidates()) {
      const Throughput potential = Potential(*variant, false);
      if (potential >= draft_.required) return variant;
      if (potential > most) {
        best = variant;
        most = potential;
      }
    }
    return best;
  }

  const Variant* HomeAlternative(const Variant* present) {
    const bool spilled =
        std::any_of(draft_.cells.begin(), draft_.cells.end(), [&](const CellState& cell) {
          return cell.variant == present && cell.Spilled() && cell.memory.desired > 0;
        });
    if (!spilled || !pool_.return_allowed || draft_.link_suspect) return present;
    for (const Variant* variant : Candidates()) {
      if (variant == present || Potential(*variant, true) < draft_.required) continue;
      if (!draft_.memory.home_fits_since) draft_.memory.home_fits_since = world_.now;
      alternative_ = true;
      return world_.now >= *draft_.memory.home_fits_since + pool_.return_after ? variant : present;
    }
    return present;
  }

  void ChooseVariant() {
    const Variant* best = Best();
    if (best == nullptr) return;
    for (CellState& cell : draft_.cells) {
      if (cell.variant != best) cell.leaving = true;
    }
  }

  // ---- growth ----

  [[nodiscard]] Throughput Promised(bool home_only) const {
    Throughput sum = 0;
    for (const CellState& cell : draft_.cells) {
      if (cell.leaving || (home_only && cell.Spilled())) continue;
      sum += cell.Promised();
    }
    return sum;
  }

  void Grow() {
    NoteWaiting();  // the hold-back begins
    for (const Variant& variant : pool_.variants) GrowToLeast(variant);
    for (CellState& cell : draft_.cells) {
      const Throughput missing = draft_.required - Promised(false);
      if (missing <= 0) break;
      if (cell.Known()) Add(cell, More(cell, CeilDiv(missing, cell.Each()), false));
    }
    NoteWaiting();
  }

  // Since when home alone has not given the pool what it needs, minReplicas included.
  void NoteWaiting() {
    bool met = Promised(true) >= draft_.required;
    for (const Variant& variant : pool_.variants) met = met && AtHome(variant) >= LeastOf(variant);
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

  // A variant that is not the one in use has no least.
  [[nodiscard]] int LeastOf(const Variant& variant) const {
    const bool in_use = std::any_of(
        draft_.cells.begin(), draft_.cells.end(),
        [&](const CellState& cell) { return cell.variant == &variant && !cell.leaving; });
    return in_use ? variant.min_replicas : 0;
  }

  void GrowToLeast(const Variant& variant) {
    for (CellState& cell : draft_.cells) {
      const int64_t missing = variant.min_replicas - OfVariant(variant, false);
      if (missing <= 0) return;
      if (cell.variant == &variant) Add(cell, More(cell, missing, false));
    }
  }

  // ---- going home ----

  void ReturnHome() {
    const bool may = pool_.return_allowed && !draft_.link_suspect &&
                     Promised(false) >= draft_.required && SpilledCapacity() > 0;
    const Money before = RunningCost();
    const Saved saved = may ? TryReturn() : Saved{};
    if (saved.added.empty() || !WorthIt(before, saved)) {
      Undo(saved);
      if (!alternative_) draft_.memory.home_fits_since.reset();
      return;
    }
    if (!draft_.memory.home_fits_since) draft_.memory.home_fits_since = world_.now;
    if (world_.now < *draft_.memory.home_fits_since + pool_.return_after) return Undo(saved);
    draft_.returning = true;
  }

  struct Saved {
    std::vector<std::pair<CellState*, int>> added;  // replicas at home
    Money cost;                                     // an hour, of what they stand for elsewhere
    Money paid_twice;                               // an hour, while both run
    Seconds startup{0};
  };

  [[nodiscard]] Throughput SpilledCapacity() const {
    Throughput sum = 0;
    for (const CellState& cell : draft_.cells) {
      if (cell.Spilled() && !cell.leaving) sum += cell.Promised();
    }
    return sum;
  }

  [[nodiscard]] Money RunningCost() const {
    Money sum;
    for (const CellState& cell : draft_.cells) {
      sum += MarginalHourlyCost(cell).Times(cell.memory.desired);
    }
    return sum;
  }

  // Fills home as far as it stands for what runs elsewhere.
  Saved TryReturn() {
    Saved saved;
    for (CellState& cell : draft_.cells) {
      if (cell.Spilled() || !cell.Known()) continue;
      const Throughput missing = draft_.required - Promised(true);
      if (missing <= 0) break;
      const auto more = static_cast<int>(More(cell, CeilDiv(missing, cell.Each()), true));
      if (more < 1) continue;
      Add(cell, more);
      saved.added.emplace_back(&cell, more);
      saved.paid_twice += MarginalHourlyCost(cell).Times(more);
      saved.startup = std::max(saved.startup, cell.variant->startup);
    }
    CountSavings(saved);
    return saved;
  }

  // What may go once the new replicas at home are ready: the last in order first.
  void CountSavings(Saved& saved) {
    Throughput surplus = Promised(false) - draft_.required;
    for (auto cell = draft_.cells.rbegin(); cell != draft_.cells.rend(); ++cell) {
      const Throughput each = cell->Each();
      if (!cell->Spilled() || cell->leaving || each < 1) continue;
      const int64_t gone = std::min<int64_t>(surplus / each, cell->memory.desired);
      surplus -= gone * each;
      saved.cost += MarginalHourlyCost(*cell).Times(gone);
      removable_ = removable_ || gone > 0;
    }
  }

  [[nodiscard]] bool WorthIt(Money before, const Saved& saved) const {
    if (!removable_ || saved.cost < saved.paid_twice) return false;
    const Wide saving = Wide{saved.cost.micros()} - saved.paid_twice.micros();
    if (saving * 100 < Wide{before.micros()} * pool_.return_min_savings_percent) return false;
    const Wide move = Wide{saved.paid_twice.micros()} * saved.startup.count();
    return saving * pool_.return_payback.count() >= move;
  }

  void Undo(const Saved& saved) {
    if (saved.added.empty()) return;
    for (const auto& [cell, more] : saved.added) Change(*cell, cell->memory.desired - more);
    ClaimCells(world_, capacity_, draft_);
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

  // The dearest replica goes first. While it is still needed until others are ready, none of the
  // cheaper ones goes in its place.
  void Shrink() {
    if (draft_.link_suspect) return;
    for (CellState* cell : Surplus()) {
      while (cell->memory.desired > 0 && IsSurplus(*cell) && IsSpare(*cell)) Lose(*cell);
      if (!cell->leaving && cell->memory.desired > 0 && IsSurplus(*cell)) break;
    }
    ClaimCells(world_, capacity_, draft_);
  }

  // Would enough be decided without it?
  [[nodiscard]] bool IsSurplus(const CellState& cell) const {
    if (cell.leaving) return true;
    return cell.Known() && Promised(false) - cell.Each() >= draft_.required &&
           OfVariant(*cell.variant, false) > cell.variant->min_replicas;
  }

  // Would enough be ready without it?
  [[nodiscard]] bool IsSpare(const CellState& cell) const {
    if (cell.group != nullptr && cell.group->LinkSuspect()) return false;
    if (cell.ready < cell.memory.desired) return true;
    const bool counted = pool_.routing != Routing::kUniform || !cell.leaving;
    return Serving() - (counted ? cell.Each() : 0) >= draft_.required;
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
      if (!cell.Known() || cell.deployment == nullptr) continue;
      const bool judged =
          !cell.variant->template_unchecked && cell.variant->template_invalid.empty();
      if (cell.IsOld() && judged) {
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
    const Resources request = RequestIn(*world_.pools[cell.seeker], *cell.group->spec);
    const int64_t under_way =
        std::max(0, cell.memory.desired - (cell.live - cell.unbound)) + int64_t{most};
    int64_t room = 0;
    for (const size_t node : NodesFor(world_, cell)) {
      if (capacity_.Harmless(cell.seeker, node, request, under_way) < under_way) return 0;
      room += capacity_.FreeFor(cell.seeker, node).HowMany(request, kPlenty);
    }
    return static_cast<int>(std::clamp<int64_t>(room - cell.memory.desired, 0, most));
  }

  const World& world_;
  Capacity& capacity_;
  QuotaBook& quotas_;
  InferenceDraft& draft_;
  const InferencePool& pool_;
  bool alternative_ = false;  // another variant could serve at home
  bool removable_ = false;    // a return would let something go
};

}  // namespace

void DecideCells(const World& world, Capacity& capacity, QuotaBook& quotas, InferenceDraft& draft) {
  if (draft.held) {
    draft.required = draft.pool->unit * draft.memory.units.value_or(draft.pool->replicas);
  } else {
    Decider(world, capacity, quotas, draft).Run();
  }
}

std::vector<Demand> DemandsOf(const InferenceDraft& draft, size_t index, Time now) {
  std::map<std::string, int64_t> has;
  for (const Variant& variant : draft.pool->variants) has[variant.accelerator];
  for (const CellState& cell : draft.cells) {
    if (cell.variant == nullptr) continue;
    has[cell.variant->accelerator] += int64_t{cell.memory.desired} * cell.variant->per_replica;
  }
  std::vector<Demand> demands;
  demands.reserve(has.size());
  for (const auto& [type, accelerators] : has) {
    demands.push_back({.rank = {.guaranteed = false,
                                .priority = draft.pool->priority,
                                .queued_since = draft.memory.queued_since.value_or(now),
                                .key = &draft.pool->key,
                                .inference = true},
                       .pool = index,
                       .type = type,
                       .accelerators = accelerators});
  }
  return demands;
}

std::vector<Time> MomentsOf(const World& world, const InferenceDraft& draft) {
  const InferencePool& pool = *draft.pool;
  std::vector<Time> moments;
  for (const Replica& replica : pool.live) {
    const auto index = world.FindNode("", replica.node);
    const GroupView* group = world.FindGroup(replica.node_group);
    if (!index || group == nullptr || world.nodes[*index]->ready) continue;
    moments.push_back(StrandedFrom(*group->spec, *world.nodes[*index], world.now));
  }
  std::erase_if(moments, [&](Time moment) { return moment <= world.now; });
  if (draft.held) return moments;
  const std::vector<Time> units = UnitMoments(pool, draft.memory);
  moments.insert(moments.end(), units.begin(), units.end());
  if (draft.memory.waiting_since) {
    moments.push_back(*draft.memory.waiting_since + pool.spill_after);
  }
  if (draft.memory.home_fits_since) {
    moments.push_back(*draft.memory.home_fits_since + pool.return_after);
  }
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
