#include "placement/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <tuple>

#include "placement/lifecycle.h"
#include "placement/vacancies.h"
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

  std::vector<int64_t> when_empty;       // workers that fit on an empty node, by shape
  std::shared_ptr<const Ground> ground;  // its nodes for pools of such constraints
  Room room;                             // what those have free
  const NewSupply* supply = nullptr;     // of new nodes, where these are looked at
  int64_t on_new = 0;                    // workers that fit on one of them
  bool once_back = false;                // as if nodes were ready again, within their grace
  bool only_fits = false;                // nobody asks why it does not fit, if it doesn't

  [[nodiscard]] const NodeGroup& Spec() const { return *group.spec; }
  [[nodiscard]] Time Now() const { return scene.world.now; }
  [[nodiscard]] int64_t WhenEmpty(const ShapeCounts& shapes) const {
    return WorkersIn(shapes, when_empty);
  }
  [[nodiscard]] std::string_view Noun() const {
    return scene.world.IsSeeker(index) ? "replica" : "worker";
  }
  [[nodiscard]] std::string Needs() const {
    const Need& need = *option.need;
    const std::string each = Count(pool.per_worker, "accelerator");
    if (!need.IsPart()) return fmt::format("needs {} of {}", Count(need.workers, Noun()), each);
    return fmt::format("needs at least {} of its {} of {}", need.workers, Count(need.all, Noun()),
                       each);
  }
};

using Found = std::optional<Finding>;

// The promise of room in the group to somebody who comes first.
const Promise* PromiseBefore(const Look& look) {
  if (look.scene.promises == nullptr) return nullptr;
  const size_t group = look.scene.world.IndexOf(look.group);
  const auto& promise = (*look.scene.promises)[group];
  return promise && promise->gang != look.index ? &*promise : nullptr;
}

int64_t NodesIn(const ShapeCounts& shapes) {
  return std::accumulate(shapes.begin(), shapes.end(), int64_t{0});
}

// Is what `left` lost against `before` what keeps the gang out, however empty the nodes?
bool Decides(const Look& look, const ShapeCounts& left, const ShapeCounts& before) {
  const int workers = look.option.need->workers;
  return NodesIn(left) == 0 ||
         (look.WhenEmpty(left) < workers && look.WhenEmpty(before) >= workers);
}

std::string States(const GroupView& group) {
  std::string out;
  for (const auto& [state, count] : group.by_state) {
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
    message.append("its accelerators are ").append(group.accelerator);
    message.append(", not ").append(TypesOf(pool));
  } else if (!pool.providers.empty() && std::find(pool.providers.begin(), pool.providers.end(),
                                                  group.provider) == pool.providers.end()) {
    message = fmt::format("its provider is {}, not {}", Name(group.provider), ProvidersOf(pool));
  } else if (!MatchesAll(group.labels, pool.group_selector)) {
    message = "its labels do not match placement.nodeGroupSelector";
  } else {
    return {};
  }
  return Finding{.reason = Reason::kNoMatchingNodeGroup,
                 .message = std::move(message),
                 .remedy = {},
                 .last = true};
}

// Nobody could be told to start there. What else is missing goes by what was last seen of its
// nodes.
Found IsReachable(Look& look) {
  if (!look.group.unreachable_since) return {};
  const std::string& cluster = look.Spec().cluster;
  return Finding{.reason = Reason::kClusterUnreachable,
                 .message = UnreachableSentence(cluster, *look.group.unreachable_since),
                 .remedy = fmt::format("make cluster {} reachable again", cluster)};
}

// Workers that fit on an empty node, by shape.
std::vector<int64_t> WhenEmpty(const GroupView& group, const Need& need) {
  std::vector<int64_t> workers;
  workers.reserve(group.shapes.size());
  for (const Resources& shape : group.shapes) {
    workers.push_back(shape.HowMany(need.request, need.workers));
  }
  return workers;
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
  look.when_empty = WhenEmpty(look.group, need);
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

// Which nodes are not usable, and why: the first few by name.
std::string Unusable(const Look& look) {
  constexpr size_t kShown = 4;
  const std::vector<size_t>& nodes = look.ground->unusable;
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(nodes.size(), kShown); ++i) {
    names.push_back(fmt::format("{} is {}", look.scene.world.nodes[nodes[i]]->id.name,
                                Name(look.group.Find(nodes[i])->state)));
  }
  if (names.empty()) return States(look.group);  // all of them are lost
  if (nodes.size() <= kShown) return Names(names);
  return fmt::format("{} and {} more are not", fmt::join(names, ", "), nodes.size() - kShown);
}

Found IsHealthy(Look& look) {
  Offers& offers = look.scene.offers;
  look.ground = look.once_back ? offers.GroundOnceBack(look.group, look.pool, look.memory)
                               : offers.GroundFor(look.group, look.pool, look.memory);
  const ShapeCounts& all = look.ground->all;
  const ShapeCounts& usable = look.ground->usable;
  if (!Decides(look, usable, all)) return {};
  const std::string nodes = Count(NodesIn(all), "node");
  Finding finding{.reason = Reason::kNodesUnhealthy, .message = {}, .remedy = {}, .last = true};
  if (NodesIn(all) == 0) {
    finding.message = "it has no nodes";
    finding.remedy = "add nodes that its selector matches";
  } else if (NodesIn(usable) == 0) {
    finding.message = fmt::format("none of its {} is usable: {}", nodes, States(look.group));
    finding.remedy = "make its nodes usable: " + Unusable(look);
  } else {
    finding.message =
        fmt::format("{}, and {} of {} {} usable, with room for {} when empty: {}", look.Needs(),
                    NodesIn(usable), nodes, NodesIn(usable) == 1 ? "is" : "are",
                    look.WhenEmpty(usable), States(look.group));
    finding.remedy = "make more of its nodes usable: " + Unusable(look);
  }
  return finding;
}

Found HasNodesOfItsOwn(Look& look) {
  if (!Decides(look, look.ground->own, look.ground->usable)) return {};
  return Finding{.reason = Reason::kNodesOverlap,
                 .message = look.group.overlap,
                 .remedy = "let one node group alone select each node: " + look.group.overlap,
                 .last = true};
}

Found MeetsConstraints(Look& look) {
  const Ground& ground = *look.ground;
  if (!Decides(look, ground.allowed, ground.own)) return {};
  const auto is_enough = [&](const ShapeCounts& let_in) {
    ShapeCounts then = ground.allowed;
    for (size_t shape = 0; shape < let_in.size(); ++shape) then[shape] += let_in[shape];
    return look.WhenEmpty(then) >= look.option.need->workers;
  };
  return Finding{
      .reason = Reason::kConstraintsNotMet,
      .message = fmt::format("{}, and {} of {} may be used: {}", look.Needs(), ground.nodes.size(),
                             Count(NodesIn(ground.own), "usable node"), ground.left_out.Sentence()),
      .remedy = ground.left_out.Remedy(is_enough),
      .last = true};
}

// Replicas are looked at by number, where they are added.
Found IsWithinQuota(Look& look) {
  if (look.scene.world.IsSeeker(look.index)) return {};
  const std::string& ns = look.pool.key.ns;
  const std::string& type = look.Spec().accelerator;
  const auto limit = look.scene.quotas.Limit(ns, type);
  const int64_t used = look.scene.quotas.Used(ns, type);
  const int64_t needed = look.option.need->Accelerators(look.pool);
  if (!limit || used + needed <= *limit) return {};
  // Who moves has as many already, and lowering a limit takes nothing from it.
  const auto& has = look.memory.placement;
  if (has && has->accelerator == type && needed <= AcceleratorsOf(look.pool, *has)) return {};
  return BeyondLimit({.ns = ns, .type = type, .needed = needed}, used, *limit);
}

Found IsWithinSpend(Look& look) {
  if (look.scene.world.IsSeeker(look.index)) return {};  // likewise
  return SpendFinding(look.scene, look.pool, look.group, *look.option.need);
}

// Until when the pool holds back from spilling to the tier; nullopt: it does not.
std::optional<Time> HeldUntil(const Look& look, int tier) {
  const Time end = HoldBackEnd(look.pool, look.memory, look.Now());
  const bool holds = end > look.Now() && !look.memory.tiers_used.contains(tier) && look.home_could;
  return holds ? std::optional(end) : std::nullopt;
}

std::string WaitForSpill(const Look& look, Time end) {
  return fmt::format("wait until {}, or lower placement.spill.afterSeconds ({})", FormatTime(end),
                     look.pool.spill_after.count());
}

// `end`: until when it would hold back if it were allowed to spill.
Finding MustNotSpill(Look& look, std::optional<Time> end) {
  const int tier = look.Spec().tier;
  Finding finding{
      .reason = Reason::kSpillForbidden,
      .message = fmt::format("tier {} is not home and placement.spill.policy is Never", tier),
      .remedy = "set placement.spill.policy to Allowed"};
  if (!end) return finding;
  finding.remedy += "; " + WaitForSpill(look, *end);
  // When new nodes would be asked for depends on until when it really holds back.
  if (look.supply == nullptr) look.option.held_until = end;
  return finding;
}

Found MaySpill(Look& look) {
  const int tier = look.Spec().tier;
  if (tier == 0) return {};
  const auto end = HeldUntil(look, tier);
  if (!look.pool.spill_allowed) return MustNotSpill(look, end);
  if (!end) return {};
  look.option.held_until = end;
  return Finding{.reason = Reason::kHoldingBackSpill,
                 .message = fmt::format("holds back from spilling to tier {} until {}", tier,
                                        FormatTime(*end)),
                 .remedy = WaitForSpill(look, *end)};
}

Finding NoDomain(const std::string& message, const std::string& remedy) {
  return Finding{.reason = Reason::kWaitingForDomain, .message = message, .remedy = remedy};
}

// The domain of the level that takes the most workers when it is empty; of several, the first by
// name. Empty name: no node has the label.
DomainRoom LargestWhenEmpty(const World& world, const Ground& ground, const std::string& level,
                            const std::vector<int64_t>& when_empty) {
  DomainRoom largest;
  for (const DomainShapes& one : ground.domains.at(level)) {
    const int64_t workers = WorkersIn(one.shapes, when_empty);
    if (!largest.name.empty() && workers <= largest.workers) continue;
    largest = {.name = std::string(world.DomainsOf(level).names[one.domain]), .workers = workers};
  }
  return largest;
}

// Required, and no domain is large enough even with all its nodes empty.
Found HasLargeEnoughDomain(const Look& look, const Topology& topology) {
  const int workers = look.option.need->workers;
  const std::string& level = topology.levels.front();
  if (look.WhenEmpty(look.ground->allowed) < workers) return {};
  const DomainRoom largest =
      LargestWhenEmpty(look.scene.world, *look.ground, level, look.when_empty);
  if (largest.workers >= workers) return {};
  if (largest.name.empty()) {
    return NoDomain(fmt::format("none of its usable nodes has the label {} that topology.mode "
                                "Required needs",
                                level),
                    fmt::format("label its nodes with {}", level));
  }
  return NoDomain(
      fmt::format("{} in one domain of {}, and the largest, {}, takes {} even when empty",
                  look.Needs(), level, largest.name, largest.workers),
      "use topology.mode Preferred, a wider topology.level, or fewer workers");
}

// The domain of the level that has the most room now.
DomainRoom LargestNow(const Look& look, const Topology& topology) {
  DomainRoom largest = LargestDomain(look.scene.world, topology, look.room.slots);
  if (!largest.name.empty()) return largest;
  const std::string& level = topology.levels.front();
  const auto& domains = look.ground->domains.at(level);
  if (domains.empty()) return {};
  return {.name = std::string(look.scene.world.DomainsOf(level).names[domains.front().domain])};
}

// Where nodes are held for the gang they come first: it has been there, and what it leaves of them
// is for those before it. Not where that costs it the domain that it would have elsewhere.
std::optional<Fit> FitOnHeldFirst(const Look& look, const Topology& topology) {
  const World& world = look.scene.world;
  const int workers = look.option.need->workers;
  const auto& hold = look.memory.hold;
  auto anywhere = FitGang(world, topology, look.room.slots, workers);
  if (hold && hold->node_group == look.Spec().name && !hold->nodes.empty()) {
    const std::set<std::string_view> held(hold->nodes.begin(), hold->nodes.end());
    std::vector<Slot> slots = look.room.slots;
    for (Slot& slot : slots) {
      slot.kept = slot.workers > 0 && held.contains(world.nodes[slot.node]->id.name);
    }
    auto fit = FitGang(world, topology, slots, workers);
    if (fit && (!fit->domain.empty() || !anywhere || anywhere->domain.empty())) return fit;
  }
  return anywhere;
}

// Says whether there is nothing more to find out.
bool FitsQuickly(Look& look, const Topology& topology) {
  auto answer =
      look.scene.offers.QuickFit(look.group, look.ground, look.index, *look.option.need, topology);
  if (!answer) return false;
  look.option.fit = std::move(answer->fit);
  return look.option.fit || (look.only_fits && PromiseBefore(look) == nullptr);
}

Found HasDomain(Look& look) {
  const int workers = look.option.need->workers;
  const Topology topology = TopologyIn(look.pool, look.Spec());
  const bool held = look.memory.hold && look.memory.hold->node_group == look.Spec().name;
  if (!held && FitsQuickly(look, topology)) {
    return look.option.fit ? Found() : NoDomain("", "");
  }
  look.room = look.scene.offers.RoomFor(look.group, look.ground, look.index, *look.option.need);
  if (topology.mode == TopologyMode::kRequired) {
    if (topology.levels.empty()) {
      const std::string& level = look.pool.topology_level;
      return NoDomain(
          "topology.mode is Required, and the node group's interconnect.domainLabels "
          "do not have " +
              (level.empty() ? "any domain label" : level),
          fmt::format("name {} in the node group's interconnect.domainLabels",
                      level.empty() ? "a label that its nodes share" : "the label"));
    }
    if (auto found = HasLargeEnoughDomain(look, topology)) {
      look.option.hopeless = true;
      return found;
    }
  }
  look.option.fit = FitOnHeldFirst(look, topology);
  const int64_t anywhere = WorkersIn(look.room.slots);
  if (look.option.fit || anywhere < workers) return {};
  const DomainRoom largest = LargestNow(look, topology);
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
  Totals totals{.free = look.room.free};
  for (size_t shape = 0; shape < look.group.shapes.size(); ++shape) {
    totals.all +=
        look.ground->allowed[shape] * AcceleratorsIn(look.Spec(), look.group.shapes[shape]);
  }
  totals.in_pieces = totals.free - WorkersIn(look.room.slots) * look.pool.per_worker;
  return totals;
}

// The domain that the gang must have its room in: with topology.mode Required the one with the
// most. nullopt: any nodes do, or no domain could ever be large enough.
std::optional<DomainRoom> DomainToFill(const Look& look) {
  const Topology topology = TopologyIn(look.pool, look.Spec());
  const bool one = topology.mode == TopologyMode::kRequired && !topology.levels.empty();
  return one && !look.option.hopeless ? std::optional(LargestNow(look, topology)) : std::nullopt;
}

bool IsIn(const Look& look, size_t node, const DomainRoom& domain) {
  const Labels& labels = look.scene.world.nodes[node]->labels;
  const auto at = labels.find(TopologyIn(look.pool, look.Spec()).levels.front());
  return at != labels.end() && at->second == domain.name;
}

// Workers that would fit besides on nodes that are not usable.
int64_t FitsOnUnusable(const Look& look, const std::optional<DomainRoom>& domain) {
  const Need& need = *look.option.need;
  const Row request = look.scene.capacity.RowOf(need.request);
  int64_t workers = 0;
  for (const size_t node : look.ground->unusable) {
    if (domain && !IsIn(look, node, *domain)) continue;
    workers += look.scene.capacity.Fits(look.index, node, request, need.workers);
  }
  return workers;
}

// Why what is free on a node, enough for a worker, is no room for one.
std::string Hindrance(const Look& look, size_t node) {
  std::vector<std::string> lacks;
  const Resources free = look.scene.capacity.FreeFor(look.index, node);
  for (const auto& [name, amount] : look.option.need->request) {
    const int64_t left = std::max<int64_t>(free.Get(name), 0);
    if (left >= amount) continue;
    lacks.push_back(fmt::format("{} of the {} {} that a {} needs", FormatResource(name, left),
                                FormatResource(name, amount), name, look.Noun()));
  }
  return lacks.empty() ? "left to a gang that is starting" : "but " + Names(lacks);
}

// What is free where no worker fits, if that would be enough for one more. An empty text: it would
// not.
std::string InPieces(const Look& look, int64_t in_pieces) {
  if (in_pieces < look.pool.per_worker) return "";
  const auto& piece = look.room.piece;
  if (!piece || piece->free == 0) {
    return fmt::format(", {} of them in pieces too small for a {}", in_pieces, look.Noun());
  }
  const std::string& name = look.scene.world.nodes[piece->node]->id.name;
  std::string text = fmt::format(", {} of them where no {} fits: ", in_pieces, look.Noun());
  if (piece->free < look.pool.per_worker) {
    return text + fmt::format("at most {} on one node ({})", piece->free, name);
  }
  return text + fmt::format("{} has {}, {}", name, piece->free, Hindrance(look, piece->node));
}

std::string RoomFor(const Look& look, int64_t workers, bool in_one_domain) {
  const std::string each = Count(look.pool.per_worker, "accelerator");
  return fmt::format("room for {}{}: {}{} and all else that it requests on one node",
                     Count(workers, fmt::format("more {}", look.Noun())),
                     in_one_domain ? " in one domain" : "", workers == 1 ? "" : "for each ", each);
}

Finding TooManyNodes(Look& look) {
  const size_t nodes = look.option.fit->nodes.size();
  look.option.fit.reset();
  look.option.hopeless = true;
  return Finding{
      .reason = Reason::kWaitingForCapacity,
      .message = fmt::format("{}: would take {} nodes, and a gang can be kept to {} at the most",
                             look.Needs(), nodes, kMostNodes),
      .remedy = "use larger workers, or fewer"};
}

Found HasRoom(Look& look) {
  const int workers = look.option.need->workers;
  if (look.option.fit) {
    return look.option.fit->nodes.size() > kMostNodes ? Found(TooManyNodes(look)) : Found();
  }
  const int64_t fit = WorkersIn(look.room.slots);
  if (fit >= workers) return {};
  const Totals totals = AcceleratorTotals(look);
  Finding finding{.reason = Reason::kWaitingForCapacity, .message = {}, .remedy = {}};
  finding.message =
      fmt::format("{}, {} fit: {} of {} accelerators are free on {} that it may use", look.Needs(),
                  fit, totals.free, totals.all, Count(std::ssize(look.ground->nodes), "node"));
  finding.message += InPieces(look, totals.in_pieces);
  const auto domain = DomainToFill(look);
  if (domain && domain->workers < fit && !domain->name.empty()) {
    finding.message +=
        fmt::format("; it needs them in one domain, and {} has room for the most: {}", domain->name,
                    domain->workers);
  }
  const int64_t when_empty = look.WhenEmpty(look.ground->allowed);
  if (when_empty < workers) {
    look.option.hopeless = true;
    finding.message += fmt::format("; with all of them empty {} would", when_empty);
  }
  finding.remedy = RoomFor(look, workers - (domain ? domain->workers : fit), domain.has_value());
  if (const int64_t more = FitsOnUnusable(look, domain); more > 0) {
    finding.remedy += fmt::format("; for {} there would be room on nodes that are not usable: {}",
                                  more, States(look.group));
  }
  return finding;
}

// Does it come from elsewhere, or has it been told before that it may have nodes here, for so many
// workers?
bool IsGranted(const Look& look) {
  const auto is_here = [&](const auto& kept) {
    return kept && kept->node_group == look.Spec().name;
  };
  const auto& ask = look.memory.ask;
  return look.memory.placement || is_here(look.memory.hold) ||
         (is_here(ask) && look.option.need->workers <= ask->workers);
}

// What nodes cost beside the shares of accelerators once the gang has these parts of them.
struct NodesAlone {
  Money beside;
  Money spared;       // by others of its namespace
  int64_t alone = 0;  // nodes that it would have for itself
};

NodesAlone AloneOn(const Look& look, const std::vector<size_t>& nodes, int64_t accelerators) {
  NodesAlone sum;
  const Payer pool{.key = look.pool.key};
  for (const NodeShare& share : NodeShares(look.group, nodes, accelerators)) {
    const Money more = look.scene.quotas.BesideFor(pool, share);
    sum.beside += more;
    sum.spared += look.scene.quotas.SparedBy(pool, share);
    if (more > Money()) ++sum.alone;
  }
  return sum;
}

// Nodes of an elastic group that it would have for itself are paid for whole.
Found IsWithinSpendForNodes(Look& look) {
  Option& option = look.option;
  if (!option.fit || !IsPaidByNode(look.Spec()) || look.scene.world.IsSeeker(look.index)) return {};
  if (IsGranted(look)) return {};
  const int64_t accelerators = option.need->Accelerators(look.pool);
  const auto [beside, spared, alone] = AloneOn(look, option.fit->nodes, accelerators);
  if (alone == 0) return {};
  const Money cost = CostAboveHome(look.group, accelerators) + beside;
  Found found = SpendFindingOnNodes(look.scene, look.pool,
                                    fmt::format("with {} for itself it", Count(alone, "node")),
                                    cost, cost + Money::FromMicros(-spared.micros()));
  if (!found) return {};
  // Its share alone is too much already.
  if (option.finding && option.finding->reason == Reason::kSpendLimitReached) {
    std::erase(option.remedies, option.finding->remedy);
    if (option.finding->spent) {  // others may give way for that
      option.remedies.push_back(found->remedy);
      return {};
    }
    option.finding = found;
  }
  option.too_dear = true;
  option.fit.reset();
  return found;
}

constexpr std::array<Found (*)(Look&), 14> kChecks = {
    Admits,    IsUsableGroup,    IsAcceptable,     IsReachable,          IsLargeEnough,
    IsHealthy, HasNodesOfItsOwn, MeetsConstraints, IsWithinQuota,        IsWithinSpend,
    MaySpill,  HasDomain,        HasRoom,          IsWithinSpendForNodes};

// These ask nothing of the nodes.
constexpr std::array<Found (*)(Look&), 3> kChecksWithoutNodes = {IsWithinQuota, IsWithinSpend,
                                                                 MaySpill};

// What would be missing besides where the nodes are so that room can't be judged.
void AddRemediesWithoutNodes(Look& look) {
  if (!look.option.acceptable) return;
  for (Found (*check)(Look&) : kChecksWithoutNodes) {
    const Found found = check(look);
    if (found && !found->remedy.empty()) look.option.remedies.push_back(found->remedy);
  }
}

// ---- nodes that do not exist yet ----

// Workers that fit on a new node. A shape that does not mention pods has enough of them.
int64_t WorkersOnNew(const NodeGroup& group, const Need& need) {
  Resources shape = group.elastic->node_shape;
  if (shape.Get(kPods) == 0) shape.Set(kPods, need.request.Get(kPods) * need.workers);
  return shape.HowMany(need.request, need.workers);
}

// All that is known of a node before it exists: what the group's selector asks for.
Node NewNodeOf(const NodeGroup& group) {
  Node node;
  for (const Requirement& one : group.selector) {
    if (one.op == "In" && one.values.size() == 1) node.labels[one.key] = one.values.front();
  }
  return node;
}

// Of the nodes that the group has and the pool may use, the workers that the largest takes.
int64_t WorkersOnLargest(const ShapeCounts& allowed, const std::vector<int64_t>& when_empty) {
  int64_t most = 0;
  for (size_t shape = 0; shape < allowed.size(); ++shape) {
    if (allowed[shape] > 0) most = std::max(most, when_empty[shape]);
  }
  return most;
}

// Nodes of a group whose link is in doubt are not replaced, and new ones whose kind another group
// matches too would be nobody's.
Found MayGrow(Look& look) {
  if (look.group.LinkSuspect()) {
    return Finding{.reason = Reason::kLinkSuspect,
                   .message = LinkSentence(look.group),
                   .remedy = "mend the link",
                   .last = true};
  }
  const auto ground = look.scene.offers.GroundFor(look.group, look.pool, PoolMemory());
  if (NodesIn(ground->own) > 0 || NodesIn(ground->usable) == 0) return {};
  return Finding{.reason = Reason::kNodesOverlap,
                 .message = "new nodes would be matched by other groups too: " + look.group.overlap,
                 .remedy = "let one group match each node",
                 .last = true};
}

Found IsNewNodeLargeEnough(Look& look) {
  if (WorkersOnNew(look.Spec(), *look.option.need) > 0) return {};
  return Finding{
      .reason = Reason::kNodeTooSmall,
      .message = fmt::format("one {} does not fit on a new node of elastic.nodeShape", look.Noun()),
      .remedy = {},
      .last = true};
}

// The same of nodes that meet the pool's constraints where there are none to tell what they are
// like.
int64_t WorkersOnFirst(const TrainingPool& pool, const NodeGroup& group, const Need& need) {
  return TermsHold(pool, NewNodeOf(group)) ? WorkersOnNew(group, need) : 0;
}

// The same where there may be some, as far as is known: new ones are taken
// to be like those that are usable, whatever the shape says.
int64_t WorkersOnNew(const Scene& scene, const TrainingPool& pool, const GroupView& group,
                     const Need& need) {
  const auto ground = scene.offers.GroundFor(group, pool, PoolMemory());
  if (NodesIn(ground->own) == 0) return WorkersOnFirst(pool, *group.spec, need);
  return std::min(WorkersOnNew(*group.spec, need),
                  WorkersOnLargest(ground->allowed, WhenEmpty(group, need)));
}

Found MeetsConstraintsOnNew(Look& look) {
  look.on_new = WorkersOnNew(look.scene, look.pool, look.group, *look.option.need);
  if (look.on_new > 0) return {};
  return Finding{.reason = Reason::kConstraintsNotMet,
                 .message = fmt::format("no {} is known to fit on a new node", look.Noun()),
                 .remedy = {},
                 .last = true};
}

Found SharesDomainOnNew(Look& look) {
  const Topology topology = TopologyIn(look.pool, look.Spec());
  if (topology.mode != TopologyMode::kRequired) return {};
  if (look.Spec().elastic->single_domain && !topology.levels.empty()) return {};
  return Finding{.reason = Reason::kWaitingForDomain,
                 .message = "new nodes are not known to share a domain (elastic.singleDomain)",
                 .remedy = {},
                 .last = true};
}

Found IsInStock(Look& look) {
  const auto& stockout = look.supply->stockout;
  if (!stockout || stockout->next_try <= look.Now()) return {};
  return Finding{
      .reason = Reason::kOutOfStock,
      .message = fmt::format("the nodes that it was asked for did not come in time, {} since {}: "
                             "it is asked again at {}",
                             Count(stockout->attempts, "time"), FormatTime(stockout->since),
                             FormatTime(stockout->next_try)),
      .remedy = fmt::format("wait until {}, or add nodes", FormatTime(stockout->next_try))};
}

// The slots in the domain of the level that has room for the most.
std::vector<Slot> InLargestDomain(const World& world, const std::string& level,
                                  const std::vector<Slot>& slots) {
  const Domains& domains = world.DomainsOf(level);
  std::map<uint32_t, int64_t> workers;
  for (const Slot& slot : slots) workers[domains.of[slot.node]] += slot.workers;
  workers.erase(kNoDomain);
  const auto largest = std::max_element(
      workers.begin(), workers.end(),
      [](const auto& left, const auto& right) { return left.second < right.second; });
  std::vector<Slot> inside = slots;
  std::erase_if(inside, [&](const Slot& slot) {
    return largest == workers.end() || domains.of[slot.node] != largest->first;
  });
  return inside;
}

Found HasEnoughNew(Look& look) {
  const Need& need = *look.option.need;
  look.ground = look.scene.offers.GroundFor(look.group, look.pool, look.memory);
  look.room = look.scene.offers.RoomFor(look.group, look.ground, look.index, need);
  std::vector<Slot> slots = look.room.slots;
  const Topology topology = TopologyIn(look.pool, look.Spec());
  const bool in_one_domain = topology.mode == TopologyMode::kRequired;
  if (in_one_domain) {
    slots = InLargestDomain(look.scene.world, topology.levels.front(), slots);
  }
  const int64_t fit = WorkersIn(slots);
  const int64_t lacks = std::max<int64_t>(need.workers - fit, 0);
  const int64_t nodes = (lacks + look.on_new - 1) / look.on_new;
  const bool too_many = nodes + std::ssize(slots) > static_cast<int64_t>(kMostNodes);
  if (nodes == 0 || nodes > look.supply->nodes || too_many) {
    return Finding{
        .reason = Reason::kWaitingForCapacity,
        .message = fmt::format("with {} of its {} that may still come it would not fit either",
                               Count(look.supply->nodes, "node"), MostNodesBy(look.Spec())),
        .remedy = too_many    ? "use larger workers, or fewer"
                  : lacks > 0 ? RoomFor(look, lacks, in_one_domain)
                              : ""};
  }
  NewNodes& wanted = look.option.new_nodes.emplace();
  wanted.workers = need.workers;
  wanted.nodes = static_cast<int>(std::min<int64_t>(nodes, look.supply->at_most.value_or(nodes)));
  wanted.fit = fit;
  for (const Slot& slot : slots) wanted.kept.push_back(slot.node);
  wanted.others_first = wanted.nodes < 1 && !look.option.finding;
  if (wanted.nodes < 1) return OthersFirst();
  return {};
}

// Whole nodes are paid for, and all of a step, until others use them.
Found IsWithinSpendForNew(Look& look) {
  const NewNodes& wanted = *look.option.new_nodes;
  const Growth& growth = look.supply->growth;
  if (wanted.nodes <= look.supply->granted) return {};
  const auto share = [&](int64_t workers) {
    return CostAboveHome(look.group, workers * look.pool.per_worker);
  };
  const Money node = CostAboveHome(look.group, look.group.per_node);
  const int paid = growth.PaidFor(wanted.nodes);
  const NodesAlone there = AloneOn(look, wanted.kept, wanted.fit * look.pool.per_worker);
  const Money cost = share(wanted.fit) + there.beside +
                     std::max(node.Times(wanted.nodes), share(wanted.workers - wanted.fit)) +
                     node.Times(paid - wanted.nodes);
  const PoolKey* other = look.supply->pays_for_left;
  const bool spares = other != nullptr && other->ns == look.pool.key.ns;
  // Others whose nodes it joins are spared nothing before it is there.
  const Money more = cost + node.Times(spares ? -growth.SparedBy(wanted.nodes) : 0);
  return SpendFindingOnNodes(look.scene, look.pool,
                             fmt::format("with {} it", Count(paid, "new node")), cost, more);
}

constexpr std::array<Found (*)(Look&), 12> kChecksOfNew = {Admits,
                                                           IsUsableGroup,
                                                           IsAcceptable,
                                                           IsReachable,
                                                           MayGrow,
                                                           IsNewNodeLargeEnough,
                                                           MeetsConstraintsOnNew,
                                                           SharesDomainOnNew,
                                                           IsWithinQuota,
                                                           IsWithinSpend,
                                                           MaySpill,
                                                           IsInStock};

Finding WaitsForNodes(const Look& look) {
  const NewNodes& wanted = *look.option.new_nodes;
  const std::string due = FormatTime(look.supply->since + look.Spec().elastic->provision_timeout);
  return Finding{.reason = Reason::kWaitingForNodes,
                 .message = fmt::format("{}, {} fit: {} asked for at {} for the others, due by {}",
                                        look.Needs(), wanted.fit, Count(wanted.nodes, "more node"),
                                        FormatTime(look.supply->since), due),
                 .remedy = fmt::format("wait until {}", due)};
}

void CheckNew(Look& look) {
  Option& option = look.option;
  for (Found (*check)(Look&) : kChecksOfNew) {
    const Found found = check(look);
    if (!found) continue;
    if (!option.finding) option.finding = found;
    if (!found->remedy.empty()) option.remedies.push_back(found->remedy);
    if (found->last) return AddRemediesWithoutNodes(look);
  }
  Found short_of = HasEnoughNew(look);
  const Found dear = short_of ? std::nullopt : IsWithinSpendForNew(look);
  if (dear) {
    short_of = dear;
    option.new_nodes.reset();
    option.too_dear = true;
    // Its share alone is too much already.
    if (option.finding && option.finding->reason == Reason::kSpendLimitReached) {
      std::erase(option.remedies, option.finding->remedy);
      option.finding = short_of;
    }
  }
  // What is out of stock for longer than it holds back is not what it holds back for.
  const auto& stockout = look.supply->stockout;
  if (stockout && stockout->next_try > option.held_until.value_or(look.Now())) {
    option.new_nodes.reset();
  }
  if (short_of && !short_of->remedy.empty()) option.remedies.push_back(short_of->remedy);
  if (!option.finding) option.finding = short_of ? *short_of : WaitsForNodes(look);
  if (option.remedies.empty()) option.remedies.push_back(option.finding->remedy);
}

// ---- what is promised to others ----

std::string ByThen(const World& world, const Promise& promise) {
  if (promise.by > world.now) return "by " + FormatTime(promise.by);
  if (promise.away.empty()) return "as soon as others are gone or bound";
  std::vector<std::string> away;
  away.reserve(promise.away.size());
  for (const size_t node : promise.away) away.push_back(world.nodes[node]->id.name);
  return fmt::format("as soon as {} {} ready again", Names(away), away.size() == 1 ? "is" : "are");
}

Finding IsPromised(const Look& look, const Promise& promise, const Fit& fit) {
  const std::string who = look.scene.world.pools[promise.gang]->key.Format();
  Finding finding{.reason = Reason::kReserved, .message = {}, .remedy = {}};
  finding.message = fmt::format(
      "{}, which would fit on {}, but room there is reserved for {}, "
      "which starts {}",
      look.Needs(), Count(std::ssize(fit.nodes), "node"), who, ByThen(look.scene.world, promise));
  if (look.pool.active_deadline) {
    finding.message += fmt::format("; its own activeDeadlineSeconds of {} would end it later",
                                   look.pool.active_deadline->count());
  }
  finding.remedy = promise.by > look.Now()
                       ? fmt::format(
                             "give it an activeDeadlineSeconds that ends it by {}, "
                             "checkpoint.graceSeconds included",
                             FormatTime(promise.by))
                       : fmt::format("more room than {} needs", who);
  return finding;
}

// Where the gang would fit if nothing were promised in the group. REQUIRES that the room was looked
// at, and did not do.
std::optional<Fit> FitInPromised(const Look& look, const Promise& promise) {
  const Need& need = *look.option.need;
  const size_t group = look.scene.world.IndexOf(look.group);
  const std::vector<size_t> nobody = {look.scene.capacity.PromiseIn(group)};
  const auto is_promised = [&](const Slot& slot) {
    return std::binary_search(promise.nodes.begin(), promise.nodes.end(), slot.node);
  };
  std::vector<Slot> slots = look.room.slots;
  std::erase_if(slots, is_promised);
  const auto& ground = look.ground->nodes;
  for (const size_t node : promise.nodes) {
    if (!std::binary_search(ground.begin(), ground.end(), node)) continue;
    slots.push_back(SlotWithout(look.scene, look.index, look.group, need, node, nobody));
  }
  std::sort(slots.begin(), slots.end(),
            [](const Slot& a, const Slot& b) { return a.node < b.node; });
  auto fit = FitGang(look.scene.world, TopologyIn(look.pool, look.Spec()), slots, need.workers);
  if (fit && fit->nodes.size() > kMostNodes) return std::nullopt;
  return fit;
}

// Who has ended by the time that room is promised for may have it until then.
void LookAtPromised(Look& look) {
  Option& option = look.option;
  const Promise* promise = PromiseBefore(look);
  if (promise == nullptr || option.fit) return;
  if (option.finding->reason != Reason::kWaitingForCapacity &&
      option.finding->reason != Reason::kWaitingForDomain) {
    return;
  }
  auto fit = FitInPromised(look, *promise);
  if (!fit) return;
  option.remedies.clear();
  const auto ends = EndsBy(look.pool, look.memory, look.Now());
  if (ends && *ends <= promise->by) {
    option.finding.reset();
    option.fit = std::move(fit);
    return;
  }
  option.finding = IsPromised(look, *promise, *fit);
  option.remedies.push_back(option.finding->remedy);
}

// ---- all together ----

// Could others who go make room for it?
bool IsShortage(const Finding& finding) {
  return finding.reason == Reason::kWaitingForCapacity ||
         finding.reason == Reason::kWaitingForDomain ||
         finding.reason == Reason::kWaitingForQuota || finding.spent;
}

// May it still have the room that is promised to others?
bool MayHavePromised(const Look& look) {
  const Reason reason = look.option.finding->reason;
  const bool short_of_room =
      reason == Reason::kWaitingForCapacity || reason == Reason::kWaitingForDomain;
  return short_of_room && PromiseBefore(look) != nullptr;
}

// Goes through all checks: the first that fails is the answer, all that fail are what is missing.
void Check(Look& look) {
  Option& option = look.option;
  for (Found (*check)(Look&) : kChecks) {
    if (Found found = check(look)) {
      const bool last = found->last;
      option.only_short = option.only_short && IsShortage(*found);
      if (!found->remedy.empty()) option.remedies.push_back(found->remedy);
      if (!option.finding) option.finding = std::move(found);
      if (look.only_fits && !MayHavePromised(look)) return;
      if (last) {
        AddRemediesWithoutNodes(look);
        break;
      }
    }
    if (!option.finding) ++option.passed;
  }
  if (option.finding && !option.hopeless) LookAtPromised(look);
  if (!option.finding && option.fit) {
    option.finding = IsWithinSpendForNodes(look);
    if (option.finding) {
      option.only_short = IsShortage(*option.finding);
      option.remedies.push_back(option.finding->remedy);
    }
  }
  if (option.HeldBack()) {
    option.finding->message +=
        option.fit ? "; it would fit there now" : "; it would not fit there now either";
  }
}

// ---- home ----

// What the pool needs there, if the group takes anybody and the pool may go to it.
std::optional<Need> NeedIfOpen(const TrainingPool& pool, const NodeGroup& group) {
  if (!Accepts(pool, group) || !group.misconfigured.empty()) return std::nullopt;
  if (group.admission != Admission::kOpen) return std::nullopt;
  return NeedIn(pool, group);
}

// Workers that nodes which the group may still get would take.
int64_t WorkersOnAllNew(const Scene& scene, const TrainingPool& pool, const GroupView& group,
                        const Need& need) {
  const auto& elastic = group.spec->elastic;
  if (!elastic) return 0;
  const int64_t nodes = std::max(MostNodes(*group.spec) - NodesThere(group), 0);
  return nodes * WorkersOnNew(scene, pool, group, need);
}

// `more`: workers that nodes take besides which the group may still get.
bool FitsWhenEmpty(const World& world, const TrainingPool& pool, const GroupView& group,
                   const Need& need, const Ground& ground, int64_t more) {
  const std::vector<int64_t> when_empty = WhenEmpty(group, need);
  if (WorkersIn(ground.allowed, when_empty) + more < need.least) return false;
  const Topology topology = TopologyIn(pool, *group.spec);
  if (topology.mode != TopologyMode::kRequired) return true;
  if (topology.levels.empty()) return false;
  if (more > 0 && !group.spec->elastic->single_domain) more = 0;
  const std::string& level = topology.levels.front();
  return LargestWhenEmpty(world, ground, level, when_empty).workers + more >= need.least;
}

bool HomeCouldEverFit(const Scene& scene, const TrainingPool& pool) {
  const auto could_fit = [&](const GroupView& group) {
    if (group.spec->tier != 0) return false;
    const auto need = NeedIfOpen(pool, *group.spec);
    if (!need) return false;
    const auto ground = scene.offers.HealthyGroundFor(group, pool);
    return FitsWhenEmpty(scene.world, pool, group, *need, *ground,
                         WorkersOnAllNew(scene, pool, group, *need));
  };
  return std::any_of(scene.world.groups.begin(), scene.world.groups.end(), could_fit);
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

// Takes them out of `options` in the order of these indices.
std::vector<Option> InOrder(std::vector<Option>& options, const std::vector<size_t>& order) {
  std::vector<Option> sorted;
  sorted.reserve(options.size());
  for (const size_t i : order) sorted.push_back(std::move(options[i]));
  return sorted;
}

// They are large: each is moved once.
void SortOptions(Preference preference, std::vector<Option>& options) {
  std::vector<size_t> order(options.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t left, size_t right) {
    return ComesBefore(preference, options[left], options[right]);
  });
  options = InOrder(options, order);
}

// All workers in any group of a tier come before fewer in another one of it; and fewer at home
// before anything but what the pool prefers to home.
void PutFewerLater(std::vector<Option>& options) {
  const auto is_fewer = [](const Option& o) { return o.acceptable && o.need->IsPart(); };
  if (std::none_of(options.begin(), options.end(), is_fewer)) return;
  std::map<int, size_t> last;  // by tier
  size_t last_at_home = 0;
  for (size_t i = 0; i < options.size(); ++i) {
    if (!options[i].acceptable) continue;
    last[options[i].group->spec->tier] = i;
    if (options[i].group->spec->tier == 0) last_at_home = i;
  }
  using Turn = std::tuple<size_t, bool, int, size_t>;
  std::vector<Turn> turns;
  for (size_t i = 0; i < options.size(); ++i) {
    const int tier = options[i].group->spec->tier;
    const bool fewer = is_fewer(options[i]);
    turns.emplace_back(fewer ? std::max(last[tier], last_at_home) : i, fewer, fewer ? tier : 0, i);
  }
  std::sort(turns.begin(), turns.end());
  std::vector<size_t> order;
  order.reserve(turns.size());
  for (const Turn& turn : turns) order.push_back(std::get<3>(turn));
  options = InOrder(options, order);
}

// One group before any check.
Option Unlooked(const TrainingPool& pool, const GroupView& group, const std::optional<Need>& need) {
  Option option;
  option.group = &group;
  option.need = need;
  option.acceptable = need && Accepts(pool, *group.spec);
  return option;
}

// One group for so many workers as `need` has.
Option OptionAt(const Scene& scene, size_t pool, const PoolMemory& memory, const GroupView& group,
                bool home_could, const std::optional<Need>& need, bool only_fits) {
  const TrainingPool& spec = *scene.world.pools[pool];
  Option option = Unlooked(spec, group, need);
  Look look{scene, pool, spec, memory, group, home_could, option, {}, {}, {}};
  look.only_fits = only_fits;
  Check(look);
  return option;
}

// The same, where an elastic gang makes do with fewer.
Option LargestOption(const Scene& scene, size_t pool, const PoolMemory& memory,
                     const GroupView& group, bool home_could, const std::optional<Need>& need,
                     bool only_fits = false) {
  const auto at = [&](const std::optional<Need>& some) {
    return OptionAt(scene, pool, memory, group, home_could, some, only_fits);
  };
  const auto fit_of = [](const Option& option) {
    return !option.finding || option.HeldBack() ? option.fit : std::nullopt;
  };
  Option all = at(need);
  if (!all.acceptable || !need->IsElastic() || fit_of(all)) return all;
  std::optional<Option> best;  // each that fits is for more workers than those before
  Option looked;               // where none does, that for the least
  LargestFit(need->least, need->workers - 1, [&](int workers) {
    looked = at(need->For(workers));
    auto fit = fit_of(looked);
    if (fit) best = looked;
    return fit;
  });
  return best ? std::move(*best) : std::move(looked);
}

}  // namespace

Finding BeyondLimit(const LimitAsk& ask, int64_t used, int64_t limit) {
  const auto& [ns, type, needed, own] = ask;
  if (own + needed > limit) {
    const std::string message =
        own > 0 ? fmt::format(
                      "needs {} {} beside the {} that it has, more than the limit of {} of "
                      "namespace {}",
                      needed, type, own, limit, ns)
                : fmt::format("needs {} {}, more than the limit of {} of namespace {}", needed,
                              type, limit, ns);
    return {.reason = Reason::kQuotaExceeded,
            .message = message,
            .remedy = fmt::format("raise the limit of {} for {} in namespace {} to {}", limit, type,
                                  ns, used + needed)};
  }
  const int64_t more = used + needed - limit;
  return {.reason = Reason::kWaitingForQuota,
          .message = fmt::format("needs {} {}, and namespace {} has {} of its limit of {} in use",
                                 needed, type, ns, used, limit),
          .remedy = fmt::format("wait until others of namespace {} have ended that have {} {}, or "
                                "raise its limit of {} to {}",
                                ns, more, type, limit, used + needed)};
}

bool CouldEverFit(const Scene& scene, const TrainingPool& pool, const GroupView& group) {
  const auto need = NeedIfOpen(pool, *group.spec);
  return need &&
         FitsWhenEmpty(scene.world, pool, group, *need, *scene.offers.HealthyGroundFor(group, pool),
                       WorkersOnAllNew(scene, pool, group, *need));
}

std::optional<Finding> FindingOnNew(const Scene& scene, size_t pool, const PoolMemory& memory,
                                    const GroupView& group, bool home_could,
                                    const NewSupply& supply) {
  const TrainingPool& spec = *scene.world.pools[pool];
  Option option = Unlooked(spec, group, NeedIn(spec, *group.spec));
  Look look{scene, pool, spec, memory, group, home_could, option, {}, {}, {}};
  look.supply = &supply;
  for (Found (*check)(Look&) : kChecksOfNew) {
    if (auto found = check(look)) return found;
  }
  return std::nullopt;
}

int64_t FitOnNew(const Scene& scene, const TrainingPool& pool, const GroupView& group,
                 const Need& need) {
  return WorkersOnNew(scene, pool, group, need);
}

// Exact, by cross multiplication.
int ComparePrice(const GroupView& left, const GroupView& right) {
  const Wide a = Wide{left.spec->marginal_per_node_hour.micros()} * right.per_node;
  const Wide b = Wide{right.spec->marginal_per_node_hour.micros()} * left.per_node;
  return a < b ? -1 : (a > b ? 1 : 0);
}

Option OptionIn(const Scene& scene, size_t pool, const PoolMemory& memory, const GroupView& group,
                bool home_could) {
  return LargestOption(scene, pool, memory, group, home_could,
                       NeedIn(*scene.world.pools[pool], *group.spec));
}

Option OptionOnceBack(const Scene& scene, size_t pool, const PoolMemory& memory,
                      const GroupView& group, bool home_could) {
  const TrainingPool& spec = *scene.world.pools[pool];
  auto need = NeedIn(spec, *group.spec);
  if (need) need = need->For(need->least);
  Option option = Unlooked(spec, group, need);
  Look look{scene, pool, spec, memory, group, home_could, option, {}, {}, {}};
  look.once_back = true;
  Check(look);
  return option;
}

BesidesRoom MissingBesidesRoom(const Scene& scene, size_t pool, const PoolMemory& memory,
                               const GroupView& group, bool home_could) {
  const TrainingPool& spec = *scene.world.pools[pool];
  Option option = Unlooked(spec, group, NeedIn(spec, *group.spec));
  Look look{scene, pool, spec, memory, group, home_could, option, {}, {}, {}};
  BesidesRoom missing;
  for (Found (*check)(Look&) : kChecks) {
    if (check == HasRoom || check == HasDomain) break;
    const Found found = check(look);
    if (!found) continue;
    if (!found->remedy.empty()) option.remedies.push_back(found->remedy);
    if (!found->last) continue;
    missing.judged = false;
    AddRemediesWithoutNodes(look);
    break;
  }
  missing.remedies = std::move(option.remedies);
  return missing;
}

Option OptionFor(const Scene& scene, size_t pool, const PoolMemory& memory, const GroupView& group,
                 const Need& need) {
  return LargestOption(scene, pool, memory, group, false, need);
}

std::optional<Option> FittingOption(const Scene& scene, size_t pool, const PoolMemory& memory,
                                    const GroupView& group, const Need& need) {
  Option option = LargestOption(scene, pool, memory, group, false, need, true);
  if (!option.Fits()) return std::nullopt;
  return option;
}

bool MayFitOnNew(const TrainingPool& pool, const GroupView& group, const Need& need) {
  return WorkersOnFirst(pool, *group.spec, need) > 0;
}

bool HomeCould(const Scene& scene, size_t pool, const PoolMemory& memory) {
  const TrainingPool& spec = *scene.world.pools[pool];
  return HoldBackEnd(spec, memory, scene.world.now) > scene.world.now &&
         HomeCouldEverFit(scene, spec);
}

Finding OthersFirst() {
  return {.reason = Reason::kWaitingForCapacity,
          .message = "no node is asked for while others have yet to start there",
          .remedy = "wait until those have started"};
}

Option OptionWithNewNodes(const Scene& scene, size_t pool, const PoolMemory& memory,
                          const GroupView& group, bool home_could, const NewSupply& supply) {
  const TrainingPool& spec = *scene.world.pools[pool];
  const auto at = [&](const std::optional<Need>& need) {
    Option option = Unlooked(spec, group, need);
    Look look{scene, pool, spec, memory, group, home_could, option, {}, {}, {}};
    look.supply = &supply;
    CheckNew(look);
    return option;
  };
  const auto need = NeedIn(spec, *group.spec);
  const auto would_do = [](const Option& option) {
    return option.new_nodes && option.finding->reason != Reason::kQuotaExceeded &&
           option.finding->reason != Reason::kWaitingForQuota &&
           option.finding->reason != Reason::kSpendLimitReached;
  };
  Option looked = at(need);
  if (would_do(looked) || !looked.acceptable || !need->IsElastic()) return looked;
  std::optional<Option> best;
  LargestFit(need->least, need->workers - 1, [&](int workers) -> std::optional<Fit> {
    looked = at(need->For(workers));
    if (!would_do(looked)) return std::nullopt;
    best = looked;
    return Fit{.workers = workers, .nodes = {}, .domain = {}, .left_over = 0};
  });
  return best ? *best : looked;
}

std::vector<Option> OptionsFor(const Scene& scene, size_t pool, const PoolMemory& memory) {
  const TrainingPool& spec = *scene.world.pools[pool];
  const bool home_could = HomeCould(scene, pool, memory);
  std::vector<Option> options;
  options.reserve(scene.world.groups.size());
  for (const GroupView& group : scene.world.groups) {
    options.push_back(OptionIn(scene, pool, memory, group, home_could));
  }
  SortOptions(spec.preference, options);
  PutFewerLater(options);
  return options;
}

Time HoldBackEnd(const TrainingPool& pool, const PoolMemory& memory, Time now) {
  return memory.waiting_since.value_or(now) + pool.spill_after;
}

std::string TypesOf(const TrainingPool& pool) {
  if (pool.accelerators.size() == 1) return pool.accelerators.front().type;
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
  return provider && ChoiceIn(pool, group) && MatchesAll(group.labels, pool.group_selector);
}

std::optional<Finding> SpendFindingOnNodes(const Scene& scene, const TrainingPool& pool,
                                           const std::string& what, Money cost, Money more) {
  if (cost <= Money()) return std::nullopt;
  const auto block = scene.quotas.Spend().BlockForNodes(pool.key.ns, more, what);
  const auto& most = pool.spill_max_hourly_cost;
  if (most && cost > *most) {
    return Finding{
        .reason = Reason::kSpendLimitReached,
        .message = fmt::format(
            "{} would cost {} {} an hour, more than placement.spill.maxHourlyCost of {}", what,
            cost.Format(), scene.world.snapshot->currency, most->Format()),
        .remedy = fmt::format("raise placement.spill.maxHourlyCost of {} to {}{}", most->Format(),
                              cost.Format(), block ? "; " + block->remedy : "")};
  }
  if (!block) return std::nullopt;
  return Finding{
      .reason = Reason::kSpendLimitReached, .message = block->message, .remedy = block->remedy};
}

std::optional<Finding> SpendFinding(const Scene& scene, const TrainingPool& pool,
                                    const GroupView& group, const Need& need) {
  const Money cost = CostAboveHome(group, need.Accelerators(pool));
  const SpendBook& spend = scene.quotas.Spend();
  const auto block = spend.BlockFor(pool.key.ns, cost);
  const auto& most = pool.spill_max_hourly_cost;
  if (most && cost > *most) {
    const std::string also = block ? "; " + block->remedy : "";
    return Finding{.reason = Reason::kSpendLimitReached,
                   .message = fmt::format(
                       "would cost {} {} an hour, more than placement.spill.maxHourlyCost of {}",
                       cost.Format(), scene.world.snapshot->currency, most->Format()),
                   .remedy = fmt::format("raise placement.spill.maxHourlyCost of {} to {}{}",
                                         most->Format(), cost.Format(), also)};
  }
  if (!block) return std::nullopt;
  return Finding{.reason = Reason::kSpendLimitReached,
                 .message = block->message,
                 .remedy = block->remedy,
                 .spent = spend.Excess(pool.key.ns, cost).has_value()};
}

}  // namespace spillway::placement
