#include "placement/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <tuple>

#include "placement/words.h"

namespace spillway::placement {
namespace {

__extension__ using Wide = __int128;  // both our compilers have it

// One pool before one group, and what the checks find out on the way.
struct Look {
  const Scene& scene;
  size_t index;
  const TrainingPool& pool;
  const PoolMemory& memory;
  const GroupView& group;
  bool home_could;  // the pool would fit at home some day
  Option& option;

  std::vector<int64_t> when_empty;     // workers that fit on an empty node, by shape
  std::vector<const Member*> allowed;  // members that passed the checks so far
  std::vector<Slot> slots;             // what those have free

  [[nodiscard]] const NodeGroup& Spec() const { return *group.spec; }
  [[nodiscard]] const Node& NodeAt(const Member& member) const {
    return *scene.world.nodes[member.node];
  }
  [[nodiscard]] Time Now() const { return scene.world.now; }
  [[nodiscard]] int64_t WhenEmpty(const std::vector<const Member*>& members) const {
    int64_t workers = 0;
    for (const Member* member : members) workers += when_empty[member->shape];
    return workers;
  }
  [[nodiscard]] std::string_view Noun() const {
    return scene.world.IsSeeker(index) ? "replica" : "worker";
  }
  [[nodiscard]] std::string Needs() const {
    return fmt::format("needs {} of {}", Count(option.need->workers, Noun()), pool.per_worker);
  }
};

using Found = std::optional<Finding>;
using Members = std::vector<const Member*>;

Members AllOf(const GroupView& group) {
  Members all;
  all.reserve(group.members.size());
  for (const Member& member : group.members) all.push_back(&member);
  return all;
}

// Is what `left` lost against `before` what keeps the gang out, however empty the nodes?
bool Decides(const Look& look, const Members& left, const Members& before) {
  const int workers = look.option.need->workers;
  return left.empty() || (look.WhenEmpty(left) < workers && look.WhenEmpty(before) >= workers);
}

std::string States(const GroupView& group) {
  std::string out;
  for (const auto& [state, count] : group.CountByState()) {
    if (state == NodeState::kUsable) continue;
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", count, Name(state));
  }
  return out;
}

// ---- the checks, in order ----

Found Admits(Look& look) {
  if (look.Spec().admission == Admission::kOpen) return {};
  if (look.Spec().admission == Admission::kDrain) {
    return Finding{.reason = Reason::kDraining,
                   .message = "admission is Drain",
                   .remedy = "set its admission to Open"};
  }
  return Finding{.reason = Reason::kGroupClosed,
                 .message = "admission is Closed",
                 .remedy = "set its admission to Open"};
}

Found IsUsableGroup(Look& look) {
  if (look.Spec().misconfigured.empty()) return {};
  return Finding{.reason = Reason::kMisconfigured,
                 .message = "the node group is misconfigured: " + look.Spec().misconfigured,
                 .remedy = "correct the node group: " + look.Spec().misconfigured};
}

Found IsAcceptable(Look& look) {
  const TrainingPool& pool = look.pool;
  const NodeGroup& group = look.Spec();
  std::string message;
  if (!look.option.need) {
    message = fmt::format("its accelerators are {}, not {}", group.accelerator, TypesOf(pool));
  } else if (!pool.providers.empty() && std::find(pool.providers.begin(), pool.providers.end(),
                                                  group.provider) == pool.providers.end()) {
    message = fmt::format("its provider is {}, not {}", Name(group.provider), ProvidersOf(pool));
  } else if (!MatchesAll(group.labels, pool.group_selector)) {
    message = "its labels do not match placement.nodeGroupSelector";
  } else {
    return {};
  }
  return Finding{
      .reason = Reason::kNoMatchingNodeGroup, .message = message, .remedy = {}, .last = true};
}

// What one worker asks for that no node of the group has even when empty.
std::string Lacking(const Look& look) {
  std::vector<std::string> lacks;
  for (const auto& [name, amount] : look.option.need->request) {
    int64_t most = 0;
    for (const Resources& shape : look.group.shapes) most = std::max(most, shape.Get(name));
    if (most >= amount) continue;
    lacks.push_back(fmt::format("{} {} where the largest node has {}", FormatResource(name, amount),
                                name, FormatResource(name, most)));
  }
  if (lacks.empty()) return "more at once than any single node has";
  return Names(lacks);
}

Found IsLargeEnough(Look& look) {
  const Need& need = *look.option.need;
  for (const Resources& shape : look.group.shapes) {
    look.when_empty.push_back(shape.HowMany(need.request, need.workers));
  }
  const auto fits = [](int64_t workers) { return workers > 0; };
  if (look.group.members.empty() ||
      std::any_of(look.when_empty.begin(), look.when_empty.end(), fits)) {
    return {};
  }
  const std::string lacking = Lacking(look);
  return Finding{.reason = Reason::kNodeTooSmall,
                 .message = fmt::format("one {} needs {}", look.Noun(), lacking),
                 .remedy = fmt::format("ask for less per {}, or add larger nodes", look.Noun()),
                 .last = true};
}

Found IsHealthy(Look& look) {
  const Members all = AllOf(look.group);
  for (const Member* member : all) {
    if (member->state == NodeState::kUsable) look.allowed.push_back(member);
  }
  if (!Decides(look, look.allowed, all)) return {};
  Finding finding{.reason = Reason::kNodesUnhealthy, .message = {}, .remedy = {}, .last = true};
  if (all.empty()) {
    finding.message = "it has no nodes";
    finding.remedy = "add nodes that its selector matches";
  } else if (look.allowed.empty()) {
    finding.message = fmt::format("none of its {} is usable: {}", Count(std::ssize(all), "node"),
                                  States(look.group));
    finding.remedy = "make its nodes usable: " + States(look.group);
  } else {
    finding.message = fmt::format("{}, and its {} usable of {} take {} even when empty: {}",
                                  look.Needs(), look.allowed.size(), Count(std::ssize(all), "node"),
                                  look.WhenEmpty(look.allowed), States(look.group));
    finding.remedy = "make more of its nodes usable: " + States(look.group);
  }
  return finding;
}

Found HasNodesOfItsOwn(Look& look) {
  const Members before = look.allowed;
  std::erase_if(look.allowed, [](const Member* member) { return member->overlapped; });
  if (!Decides(look, look.allowed, before)) return {};
  return Finding{.reason = Reason::kNodesOverlap,
                 .message = look.group.overlap,
                 .remedy = "let one node group alone select each node: " + look.group.overlap,
                 .last = true};
}

// A taint that keeps the pool's workers off the node: of several, the first by name.
const Taint* Repelling(const TrainingPool& pool, const NodeGroup& group, const Node& node) {
  const Taint* first = nullptr;
  const auto name = [](const Taint& t) { return std::tie(t.key, t.value, t.effect); };
  for (const Taint& taint : node.taints) {
    if (taint.effect == "PreferNoSchedule") continue;
    if (Tolerates(pool.tolerations, taint) || Tolerates(group.tolerations, taint)) continue;
    if (first == nullptr || name(taint) < name(*first)) first = &taint;
  }
  return first;
}

bool TermsHold(const TrainingPool& pool, const Node& node) {
  return pool.node_terms.empty() ||
         std::any_of(pool.node_terms.begin(), pool.node_terms.end(),
                     [&](const auto& term) { return MatchesAll(node.labels, term); });
}

// Why constraints leave nodes out: sentence parts, counted.
class LeftOut {
 public:
  void Taint(const placement::Taint& taint) {
    ++taints_[fmt::format("{}{}{}:{}", taint.key, taint.value.empty() ? "" : "=", taint.value,
                          taint.effect)];
  }
  void Terms() { ++terms_; }
  void Excluded(const ExcludedNode& node) {
    excluded_.push_back(fmt::format("{} is left out until {} ({})", node.name,
                                    FormatTime(node.until), node.reason));
  }

  [[nodiscard]] std::string Sentence() const {
    std::vector<std::string> parts;
    if (terms_ > 0) {
      parts.push_back(Count(terms_, "node") +
                      " outside the template's node selector or required affinity");
    }
    for (const auto& [taint, count] : taints_) {
      parts.push_back(
          fmt::format("{} with the taint {} that is not tolerated", Count(count, "node"), taint));
    }
    parts.insert(parts.end(), excluded_.begin(), excluded_.end());
    return Names(parts);
  }

 private:
  std::map<std::string, int> taints_;
  int terms_ = 0;
  std::vector<std::string> excluded_;
};

const ExcludedNode* FindExcluded(const PoolMemory& memory, const std::string& node, Time now) {
  const auto at = std::find_if(
      memory.excluded.begin(), memory.excluded.end(),
      [&](const ExcludedNode& excluded) { return excluded.name == node && now < excluded.until; });
  return at == memory.excluded.end() ? nullptr : &*at;
}

Found MeetsConstraints(Look& look) {
  const Members before = look.allowed;
  LeftOut left_out;
  std::erase_if(look.allowed, [&](const Member* member) {
    const Node& node = look.NodeAt(*member);
    if (!TermsHold(look.pool, node)) {
      left_out.Terms();
    } else if (const Taint* taint = Repelling(look.pool, look.Spec(), node)) {
      left_out.Taint(*taint);
    } else if (const auto* excluded = FindExcluded(look.memory, node.id.name, look.Now())) {
      left_out.Excluded(*excluded);
    } else {
      return false;
    }
    return true;
  });
  if (!Decides(look, look.allowed, before)) return {};
  const std::string why = left_out.Sentence();
  return Finding{
      .reason = Reason::kConstraintsNotMet,
      .message = fmt::format("{}, and {} of {} may be used: {}", look.Needs(), look.allowed.size(),
                             Count(std::ssize(before), "usable node"), why),
      .remedy = "let it use more nodes: " + why,
      .last = true};
}

Found IsWithinQuota(Look& look) {
  const std::string& ns = look.pool.key.ns;
  const std::string& type = look.Spec().accelerator;
  const auto limit = look.scene.quotas.Limit(ns, type);
  const int64_t used = look.scene.quotas.Used(ns, type);
  const int64_t needed = look.option.need->Accelerators(look.pool);
  if (!limit || used + needed <= *limit) return {};
  return Finding{
      .reason = Reason::kQuotaExceeded,
      .message = fmt::format("needs {} {}, and namespace {} has {} of its limit of {} in use",
                             needed, type, ns, used, *limit),
      .remedy = fmt::format("raise the limit of {} for {} in namespace {} to {}", *limit, type, ns,
                            used + needed)};
}

Found IsWithinSpend(Look& look) {
  if (look.scene.world.IsSeeker(look.index)) return {};  // by number, where replicas are added
  return SpendFinding(look.scene, look.pool, look.group, *look.option.need);
}

Found MaySpill(Look& look) {
  const int tier = look.Spec().tier;
  if (tier == 0) return {};
  if (!look.pool.spill_allowed) {
    return Finding{
        .reason = Reason::kSpillForbidden,
        .message = fmt::format("tier {} is not home and placement.spill.policy is Never", tier),
        .remedy = "set placement.spill.policy to Allowed"};
  }
  const Time end = HoldBackEnd(look.pool, look.memory, look.Now());
  if (end <= look.Now() || look.memory.tiers_used.contains(tier) || !look.home_could) return {};
  look.option.held_until = end;
  return Finding{
      .reason = Reason::kHoldingBackSpill,
      .message = fmt::format("holds back from spilling to tier {} until {}", tier, FormatTime(end)),
      .remedy = fmt::format("wait until {}, or lower placement.spill.afterSeconds ({})",
                            FormatTime(end), look.pool.spill_after.count())};
}

std::vector<Slot> EmptySlots(const Look& look) {
  std::vector<Slot> slots;
  slots.reserve(look.allowed.size());
  for (const Member* member : look.allowed) {
    slots.push_back({.node = member->node, .workers = look.when_empty[member->shape]});
  }
  return slots;
}

Finding NoDomain(const std::string& message, const std::string& remedy) {
  return Finding{.reason = Reason::kWaitingForDomain, .message = message, .remedy = remedy};
}

// Required, and no domain is large enough even with all its nodes empty.
Found HasLargeEnoughDomain(const Look& look, const Topology& topology) {
  const int workers = look.option.need->workers;
  const std::vector<Slot> empty = EmptySlots(look);
  if (WorkersIn(empty) < workers || FitGang(look.scene.world, topology, empty, workers)) return {};
  const DomainRoom largest = LargestDomain(look.scene.world, topology, empty);
  if (largest.name.empty()) {
    return NoDomain(fmt::format("none of its usable nodes has the label {} that topology.mode "
                                "Required needs",
                                topology.levels.front()),
                    fmt::format("label its nodes with {}", topology.levels.front()));
  }
  return NoDomain(
      fmt::format("{} in one domain of {}, and the largest, {}, takes {} even when empty",
                  look.Needs(), topology.levels.front(), largest.name, largest.workers),
      "use topology.mode Preferred, a wider topology.level, or fewer workers");
}

Found HasDomain(Look& look) {
  const int workers = look.option.need->workers;
  for (const Member* member : look.allowed) {
    look.slots.push_back(SlotOn(look.scene, look.index, look.group, *member, *look.option.need));
  }
  const Topology topology = TopologyIn(look.pool, look.Spec());
  if (topology.mode == TopologyMode::kRequired) {
    if (topology.levels.empty()) {
      const std::string level =
          look.pool.topology_level.empty() ? "any domain label" : look.pool.topology_level;
      return NoDomain(
          "topology.mode is Required, and the node group's interconnect.domainLabels "
          "do not have " +
              level,
          "name the label in the node group's interconnect.domainLabels");
    }
    if (auto found = HasLargeEnoughDomain(look, topology)) return found;
  }
  look.option.fit = FitGang(look.scene.world, topology, look.slots, workers);
  const int64_t anywhere = WorkersIn(look.slots);
  if (look.option.fit || anywhere < workers) return {};
  const DomainRoom largest = LargestDomain(look.scene.world, topology, look.slots);
  return NoDomain(
      fmt::format("{} in one domain of {}, and {} has room for the most: {}; {} would "
                  "fit without topology.mode Required",
                  look.Needs(), topology.levels.front(), largest.name, largest.workers, anywhere),
      fmt::format("room for {} in one domain", Count(workers - largest.workers, "more worker")));
}

struct Totals {
  int64_t free = 0;
  int64_t all = 0;
  int64_t in_pieces = 0;  // free, on nodes where not even one worker fits
};

Totals AcceleratorTotals(const Look& look) {
  Totals totals;
  for (size_t i = 0; i < look.slots.size(); ++i) {
    totals.free += look.slots[i].free;
    totals.all += AcceleratorsIn(look.Spec(), look.NodeAt(*look.allowed[i]).allocatable);
    totals.in_pieces += look.slots[i].free - look.slots[i].workers * look.pool.per_worker;
  }
  return totals;
}

// Workers that would fit besides on nodes that are not usable.
int64_t FitsOnUnusable(const Look& look) {
  int64_t workers = 0;
  for (const Member& member : look.group.members) {
    if (member.state == NodeState::kUsable || member.state == NodeState::kLost) continue;
    const Need& need = *look.option.need;
    workers += look.scene.capacity.Fits(look.index, member.node, need.request, need.workers);
  }
  return workers;
}

Finding TooManyNodes(Look& look) {
  const size_t nodes = look.option.fit->nodes.size();
  look.option.fit.reset();
  return Finding{
      .reason = Reason::kWaitingForCapacity,
      .message = fmt::format("{}: would take {} nodes, and a gang can be kept to {} at the most",
                             look.Needs(), nodes, kMostNodes),
      .remedy = "use larger workers, or fewer"};
}

Found HasRoom(Look& look) {
  const int workers = look.option.need->workers;
  const int64_t fit = WorkersIn(look.slots);
  if (look.option.fit && look.option.fit->nodes.size() > kMostNodes) return TooManyNodes(look);
  if (fit >= workers) return {};
  const Totals totals = AcceleratorTotals(look);
  Finding finding{.reason = Reason::kWaitingForCapacity, .message = {}, .remedy = {}};
  finding.message =
      fmt::format("{}, {} fit: {} of {} accelerators are free on {} that it may use", look.Needs(),
                  fit, totals.free, totals.all, Count(std::ssize(look.slots), "node"));
  if (totals.in_pieces >= look.pool.per_worker) {
    finding.message +=
        fmt::format(", {} of them in pieces too small for a {} or left to a gang that is starting",
                    totals.in_pieces, look.Noun());
  }
  const int64_t when_empty = look.WhenEmpty(look.allowed);
  if (when_empty < workers) {
    finding.message += fmt::format("; with all of them empty {} would", when_empty);
  }
  finding.remedy = fmt::format("room for {} ({} accelerators)",
                               Count(workers - fit, fmt::format("more {}", look.Noun())),
                               (workers - fit) * look.pool.per_worker);
  if (const int64_t more = FitsOnUnusable(look); more > 0) {
    finding.remedy += fmt::format("; for {} there would be room on nodes that are not usable: {}",
                                  more, States(look.group));
  }
  return finding;
}

constexpr std::array<Found (*)(Look&), 12> kChecks = {
    Admits,           IsUsableGroup, IsAcceptable,  IsLargeEnough, IsHealthy, HasNodesOfItsOwn,
    MeetsConstraints, IsWithinQuota, IsWithinSpend, MaySpill,      HasDomain, HasRoom};

// Could others who go make room for it?
bool IsShortage(Reason reason) {
  return reason == Reason::kWaitingForCapacity || reason == Reason::kWaitingForDomain ||
         reason == Reason::kQuotaExceeded;
}

// Goes through all checks: the first that fails is the answer, all that fail are what is missing.
void Check(Look& look) {
  Option& option = look.option;
  for (Found (*check)(Look&) : kChecks) {
    if (const Found found = check(look)) {
      if (!option.finding) option.finding = found;
      option.only_short = option.only_short && IsShortage(found->reason);
      if (!found->remedy.empty()) option.remedies.push_back(found->remedy);
      if (found->last) break;
    }
    if (!option.finding) ++option.passed;
  }
  if (option.HeldBack()) {
    option.finding->message +=
        option.fit ? "; it would fit there now" : "; it would not fit there now either";
  }
}

// ---- home ----

// Node taints that come and go with a node's health say nothing about what it will take.
bool IsHealthTaint(const NodeGroup& group, const Taint& taint) {
  return taint.key.rfind("node.kubernetes.io/", 0) == 0 ||
         std::any_of(group.bad_taints.begin(), group.bad_taints.end(),
                     [&](const BadTaint& bad) { return bad.key == taint.key; });
}

bool CouldServe(const TrainingPool& pool, const NodeGroup& group, const Node& node) {
  Node healthy;
  healthy.labels = node.labels;
  for (const Taint& taint : node.taints) {
    if (!node.draining && !IsHealthTaint(group, taint)) healthy.taints.push_back(taint);
  }
  return ConstraintsHold(pool, group, healthy);
}

bool HomeCouldEverFit(const World& world, const TrainingPool& pool) {
  return std::any_of(world.groups.begin(), world.groups.end(), [&](const GroupView& group) {
    return group.spec->tier == 0 && CouldEverFit(world, pool, group);
  });
}

// ---- the order ----

bool ComesBefore(Preference preference, const Option& left, const Option& right) {
  if (left.acceptable != right.acceptable) return left.acceptable;
  const std::string& left_name = left.group->spec->name;
  const std::string& right_name = right.group->spec->name;
  if (!left.acceptable) return left_name < right_name;
  const int price = ComparePrice(*left.group, *right.group);
  if (preference == Preference::kPrice && price != 0) return price < 0;
  const auto place = [](const Option& o) {
    return std::tuple(o.group->spec->tier, o.need->choice);
  };
  if (place(left) != place(right)) return place(left) < place(right);
  if (price != 0) return price < 0;
  const auto slack = [](const Option& o) {
    return o.fit ? o.fit->left_over : std::numeric_limits<int64_t>::max();
  };
  return std::tuple(slack(left), left_name) < std::tuple(slack(right), right_name);
}

}  // namespace

bool CouldEverFit(const World& world, const TrainingPool& pool, const GroupView& group) {
  const NodeGroup& spec = *group.spec;
  const auto need = NeedIn(pool, spec);
  if (!need || !Accepts(pool, spec) || !spec.misconfigured.empty()) return false;
  if (spec.admission != Admission::kOpen) return false;
  std::vector<Slot> slots;
  for (const Member& member : group.members) {
    const Node& node = *world.nodes[member.node];
    if (!CouldServe(pool, spec, node)) continue;
    slots.push_back(
        {.node = member.node, .workers = node.allocatable.HowMany(need->request, need->workers)});
  }
  return FitGang(world, TopologyIn(pool, spec), slots, need->workers).has_value();
}

// Exact, by cross multiplication.
int ComparePrice(const GroupView& left, const GroupView& right) {
  const Wide a = Wide{left.spec->marginal_per_node_hour.micros()} * right.per_node;
  const Wide b = Wide{right.spec->marginal_per_node_hour.micros()} * left.per_node;
  return a < b ? -1 : (a > b ? 1 : 0);
}

Option OptionIn(const Scene& scene, size_t pool, const PoolMemory& memory, const GroupView& group,
                bool home_could) {
  const TrainingPool& spec = *scene.world.pools[pool];
  Option option;
  option.group = &group;
  option.need = NeedIn(spec, *group.spec);
  option.acceptable = option.need && Accepts(spec, *group.spec);
  Look look{scene, pool, spec, memory, group, home_could, option, {}, {}, {}};
  Check(look);
  return option;
}

std::vector<Option> OptionsFor(const Scene& scene, size_t pool, const PoolMemory& memory) {
  const TrainingPool& spec = *scene.world.pools[pool];
  const bool home_could = HoldBackEnd(spec, memory, scene.world.now) > scene.world.now &&
                          HomeCouldEverFit(scene.world, spec);
  std::vector<Option> options;
  options.reserve(scene.world.groups.size());
  for (const GroupView& group : scene.world.groups) {
    options.push_back(OptionIn(scene, pool, memory, group, home_could));
  }
  std::sort(options.begin(), options.end(), [&](const Option& left, const Option& right) {
    return ComesBefore(spec.preference, left, right);
  });
  return options;
}

Time HoldBackEnd(const TrainingPool& pool, const PoolMemory& memory, Time now) {
  return memory.waiting_since.value_or(now) + pool.spill_after;
}

std::string TypesOf(const TrainingPool& pool) {
  std::vector<std::string> types;
  types.reserve(pool.accelerators.size());
  for (const AcceptedAccelerator& accepted : pool.accelerators) types.push_back(accepted.type);
  return Names(types);
}

std::string ProvidersOf(const TrainingPool& pool) {
  std::vector<std::string> names;
  names.reserve(pool.providers.size());
  for (const Provider provider : pool.providers) names.emplace_back(Name(provider));
  return Names(names);
}

bool Accepts(const TrainingPool& pool, const NodeGroup& group) {
  const bool provider = pool.providers.empty() ||
                        std::find(pool.providers.begin(), pool.providers.end(), group.provider) !=
                            pool.providers.end();
  return provider && NeedIn(pool, group) && MatchesAll(group.labels, pool.group_selector);
}

bool ConstraintsHold(const TrainingPool& pool, const NodeGroup& group, const Node& node) {
  return TermsHold(pool, node) && Repelling(pool, group, node) == nullptr;
}

std::optional<Finding> SpendFinding(const Scene& scene, const TrainingPool& pool,
                                    const GroupView& group, const Need& need) {
  const Money cost = CostAboveHome(group, need.Accelerators(pool));
  const auto& most = pool.spill_max_hourly_cost;
  if (most && cost > *most) {
    return Finding{.reason = Reason::kSpendLimitReached,
                   .message = fmt::format(
                       "would cost {} {} an hour, more than placement.spill.maxHourlyCost of {}",
                       cost.Format(), scene.world.snapshot->currency, most->Format()),
                   .remedy = fmt::format("raise placement.spill.maxHourlyCost of {} to {}",
                                         most->Format(), cost.Format())};
  }
  const auto block = scene.quotas.Spend().BlockFor(pool.key.ns, cost);
  if (!block) return std::nullopt;
  return Finding{
      .reason = Reason::kSpendLimitReached, .message = block->message, .remedy = block->remedy};
}

bool IsExcluded(const PoolMemory& memory, const std::string& node, Time now) {
  return FindExcluded(memory, node, now) != nullptr;
}

Slot SlotOn(const Scene& scene, size_t pool, const GroupView& group, const Member& member,
            const Need& need) {
  const NodeGroup& spec = *group.spec;
  Slot slot{.node = member.node};
  slot.workers = scene.capacity.Fits(pool, member.node, need.request, need.workers);
  slot.free = Accelerators(spec, scene.capacity.FreeFor(pool, member.node, CountedBy(spec)));
  slot.whole = slot.free == AcceleratorsIn(spec, scene.world.nodes[member.node]->allocatable);
  return slot;
}

}  // namespace spillway::placement
