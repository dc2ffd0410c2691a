#include "serving_policies.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "placement/mixes.h"
#include "placement/play.h"

namespace spillway::bench {
namespace {

using placement::Snapshot;
using placement::Throughput;

constexpr const char* kAccelerator = "example.com/accelerator";

int64_t CeilDiv(int64_t amount, int64_t by) { return (amount + by - 1) / by; }
Throughput NeedOf(Throughput demand, int target) { return CeilDiv(demand * 100, target); }

Throughput Capacity(const std::vector<ServingCell>& cells, const std::vector<int>& counts) {
  Throughput sum = 0;
  for (size_t c = 0; c < cells.size(); ++c) sum += cells[c].each * counts[c];
  return sum;
}

// The cheapest mix with so many replicas at least and at most, by cell; all there is, where that is
// not enough.
std::vector<int> Cheapest(const std::vector<ServingCell>& cells, Throughput need,
                          const std::vector<int>& least, const std::vector<int>& most) {
  placement::MixProblem problem;
  problem.need = need;
  problem.home_first = false;
  for (size_t c = 0; c < cells.size(); ++c) {
    problem.variants.push_back({.each = cells[c].each, .size = 1, .type = "", .most = {}});
    placement::MixStage stage{.name = cells[c].group, .tier = 0, .cells = {}, .free = {}};
    stage.cells.push_back({.variant = c,
                           .price = cells[c].Price(),
                           .startup = Seconds{0},
                           .now = least[c],
                           .least = least[c],
                           .most = most[c]});
    problem.stages.push_back(std::move(stage));
  }
  const placement::Mix mix = CheapestMix(problem);
  std::vector<int> out;
  for (const auto& stage : mix.replicas) out.push_back(static_cast<int>(stage.front()));
  return out;
}

std::vector<int> LeastOf(const std::vector<ServingCell>& cells) {
  std::vector<int> out;
  for (const ServingCell& cell : cells) out.push_back(cell.least);
  return out;
}
std::vector<int> MostOf(const std::vector<ServingCell>& cells) {
  std::vector<int> out;
  for (const ServingCell& cell : cells) out.push_back(cell.Most());
  return out;
}

// From the lowest price by throughput to the highest; equal ones as they stand.
std::vector<size_t> ByPrice(const std::vector<ServingCell>& cells) {
  std::vector<size_t> order(cells.size());
  for (size_t c = 0; c < cells.size(); ++c) order[c] = c;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return cells[a].Price().Times(cells[b].each) < cells[b].Price().Times(cells[a].each);
  });
  return order;
}

// Nothing goes before so few have been enough for as long as the window.
class Window {
 public:
  explicit Window(Seconds length) : length_(length) {}

  int Held(Seconds now, int wanted, int count) {
    wanted_.emplace_back(now, wanted);
    while (!wanted_.empty() && wanted_.front().first + length_ <= now) wanted_.pop_front();
    int most = wanted;
    for (const auto& [at, earlier] : wanted_) most = std::max(most, earlier);
    return std::clamp(count, wanted, most);
  }

 private:
  Seconds length_;
  std::deque<std::pair<Seconds, int>> wanted_;
};

// ---- Spillway ----

class Operator {
 public:
  Operator(const std::vector<ServingCell>& cells, const PoolSettings& settings, int target,
           Seconds window)
      : cells_(cells),
        target_(target),
        began_(std::chrono::sys_days{std::chrono::year{2026} / 11 / 24}) {
    placement::InferencePool pool;
    pool.key = {.ns = "serving", .name = "chat"};
    pool.uid = "chat";
    pool.created = began_;
    pool.unit = settings.unit;
    pool.spill_after = settings.spill_after;
    pool.scale_down.stabilization = window;
    pool.routing = placement::Routing::kWeighted;
    for (const ServingCell& cell : cells) {
      AddGroup(cell);
      AddVariant(cell, pool);
      AddCell(cell, pool);
    }
    world_.inference_pools.push_back(std::move(pool));
  }

  Result<std::vector<int>> Decide(const Moment& moment) {
    world_.now = began_ + moment.at;
    placement::InferencePool& pool = world_.inference_pools.front();
    pool.replicas = static_cast<int>(CeilDiv(NeedOf(moment.demand, target_), pool.unit));
    Look(moment, pool);
    auto plan = placement::VerifiedPlan(world_);
    if (!plan) return std::move(plan).error().While("at " + FormatTime(world_.now));
    world_ = Applied(world_, *plan);
    std::vector<int> wanted;
    for (const ServingCell& cell : cells_) wanted.push_back(Decided(cell));
    return wanted;
  }

 private:
  void AddGroup(const ServingCell& cell) {
    placement::NodeGroup group;
    group.name = cell.group;
    group.tier = cell.home ? 0 : 10;
    group.provider = cell.home ? placement::Provider::kOnPrem : placement::Provider::kOther;
    group.selector = {{.key = "group", .op = "In", .values = {cell.group}}};
    group.accelerator = cell.group;
    group.resource = kAccelerator;
    group.per_node = cell.per_node;
    group.capacity_type =
        cell.home ? placement::CapacityType::kOwned : placement::CapacityType::kOnDemand;
    group.per_node_hour = cell.per_node_hour;
    if (!cell.home) group.marginal_per_node_hour = cell.per_node_hour;
    world_.groups.push_back(std::move(group));
    first_node_.push_back(world_.nodes.size());
    for (int n = 0; n < cell.nodes; ++n) {
      placement::Node node;
      node.id.name = fmt::format("{}-{:04}", cell.group, n);
      node.labels = {{"group", cell.group}, {"kubernetes.io/hostname", node.id.name}};
      node.allocatable.Set(kPods, 110);
      node.allocatable.Set(kAccelerator, cell.per_node);
      node.created = began_ - Seconds{86'400};
      world_.nodes.push_back(std::move(node));
    }
  }

  // One for each cell, so that its minReplicas keeps those at home.
  static void AddVariant(const ServingCell& cell, placement::InferencePool& pool) {
    placement::Variant& variant = pool.variants.emplace_back();
    variant.name = variant.accelerator = cell.group;
    variant.throughput = cell.each;
    variant.min_replicas = cell.least;
    variant.startup = cell.startup;
    variant.requests.Set(kPods, 1);
    variant.revision = "r1";
  }

  // What it has from the beginning, as an earlier pass decided it.
  static void AddCell(const ServingCell& cell, placement::InferencePool& pool) {
    if (cell.least == 0) return;
    placement::CellMemory& memory = pool.memory.cells.emplace_back();
    memory.variant = cell.group;
    memory.node_group = cell.group;
    memory.desired = cell.least;
    memory.revision = "r1";
    placement::CellFacts& facts = pool.cells.emplace_back();
    facts.variant = cell.group;
    facts.node_group = cell.group;
    facts.revision = "r1";
    facts.replicas = cell.least;
  }

  // Pods and nodes as they are.
  void Look(const Moment& moment, placement::InferencePool& pool) {
    for (placement::Node& node : world_.nodes) node.used = {};
    pool.live.clear();
    for (const Server& server : moment.servers) {
      const ServingCell& cell = cells_[server.cell];
      placement::Node& node =
          world_.nodes[first_node_[server.cell] + static_cast<size_t>(server.slot / cell.per_node)];
      placement::Replica& replica = pool.live.emplace_back();
      replica.pod = fmt::format("{}-{}", cell.group, server.slot);
      replica.variant = cell.group;
      replica.node_group = cell.group;
      replica.node = node.id.name;
      replica.requests.Set(kPods, 1);
      replica.requests.Set(kAccelerator, 1);
      replica.since = began_ + server.made;
      replica.ready = moment.IsReady(server);
      replica.revision = "r1";
      node.used.Add(replica.requests);
    }
  }

  [[nodiscard]] int Decided(const ServingCell& cell) const {
    for (const placement::CellFacts& facts : world_.inference_pools.front().cells) {
      if (facts.variant == cell.group && facts.node_group == cell.group) return facts.replicas;
    }
    return 0;
  }

  std::vector<ServingCell> cells_;
  int target_;
  Time began_;
  std::vector<size_t> first_node_;  // in world_.nodes, by cell
  Snapshot world_;
};

// ---- others ----

class Hpa {
 public:
  Hpa(int target, Seconds window, GoesFirst first)
      : target_(target), first_(first), window_(window) {}

  std::vector<int> Decide(const Moment& moment) {
    std::vector<int> counts = moment.Counts();
    std::vector<size_t> own;
    int current = 0;
    int least = 0;
    int most = 0;
    for (size_t c = 0; c < moment.cells.size(); ++c) {
      if (moment.cells[c].variant != moment.cells.front().variant) continue;
      own.push_back(c);
      current += counts[c];
      least += moment.cells[c].least;
      most += moment.cells[c].Most();
    }
    const Throughput each = moment.cells.front().each;
    int wanted = static_cast<int>(CeilDiv(NeedOf(moment.demand, target_), each));
    const int64_t aim = current * each * target_;
    if (std::abs(moment.demand * 100 - aim) * 10 <= aim) wanted = current;
    wanted = std::clamp(wanted, least, most);
    wanted = std::min(window_.Held(moment.at, wanted, current), std::max(2 * current, current + 4));
    if (wanted > current) {
      Add(moment, own, wanted - current, counts);
    } else {
      Remove(moment, std::move(own), current - wanted, counts);
    }
    return counts;
  }

 private:
  static void Add(const Moment& moment, const std::vector<size_t>& own, int more,
                  std::vector<int>& counts) {
    for (const size_t c : own) {
      const int added = std::min(more, moment.cells[c].Most() - counts[c]);
      counts[c] += added;
      more -= added;
    }
  }

  // Those that are not ready go first, wherever they are.
  void Remove(const Moment& moment, std::vector<size_t> own, int excess,
              std::vector<int>& counts) const {
    const auto take = [&](size_t c, int most) {
      const int taken = std::min(excess, most);
      counts[c] -= taken;
      excess -= taken;
    };
    std::reverse(own.begin(), own.end());
    const std::vector<int> ready = moment.Ready();
    for (const size_t c : own) take(c, counts[c] - ready[c]);
    if (first_ == GoesFirst::kDoubledUp) {
      std::stable_sort(own.begin(), own.end(), [&](size_t a, size_t b) {
        return moment.cells[a].per_node > moment.cells[b].per_node;
      });
    }
    for (const size_t c : own) take(c, counts[c]);
  }

  int target_;
  GoesFirst first_;
  Window window_;
};

// A window for each cell.
class Windows {
 public:
  explicit Windows(Seconds length) : length_(length) {}

  std::vector<int> Held(const Moment& moment, const std::vector<int>& wanted) {
    windows_.resize(wanted.size(), Window(length_));
    std::vector<int> held = moment.Counts();
    for (size_t c = 0; c < wanted.size(); ++c) {
      held[c] = windows_[c].Held(moment.at, wanted[c], held[c]);
    }
    return held;
  }

 private:
  Seconds length_;
  std::vector<Window> windows_;
};

class Greedy {
 public:
  Greedy(int target, Seconds window) : target_(target), windows_(window) {}

  std::vector<int> Decide(const Moment& moment) {
    std::vector<int> wanted = moment.Counts();
    const Throughput missing =
        NeedOf(moment.demand, target_) - Capacity(moment.cells, moment.Counts());
    const Throughput spare = Capacity(moment.cells, moment.Ready()) -
                             NeedOf(moment.demand, target_ - kBetweenThresholds);
    if (missing > 0) {
      Grow(moment.cells, missing, wanted);
    } else if (spare > 0) {
      Shrink(moment.cells, spare, wanted);
    }
    return windows_.Held(moment, wanted);
  }

 private:
  static constexpr int kBetweenThresholds = 15;

  static void Grow(const std::vector<ServingCell>& cells, Throughput missing,
                   std::vector<int>& wanted) {
    for (const size_t c : ByPrice(cells)) {
      if (missing <= 0) return;
      const auto more = static_cast<int>(
          std::min<int64_t>(CeilDiv(missing, cells[c].each), cells[c].Most() - wanted[c]));
      wanted[c] += more;
      missing -= cells[c].each * more;
    }
  }

  // The dearest replicas first, whatever they serve.
  static void Shrink(const std::vector<ServingCell>& cells, Throughput spare,
                     std::vector<int>& wanted) {
    std::vector<size_t> order(cells.size());
    for (size_t c = 0; c < cells.size(); ++c) order[c] = c;
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return cells[b].Price() < cells[a].Price(); });
    for (const size_t c : order) {
      const auto less = static_cast<int>(
          std::clamp<int64_t>(spare / cells[c].each, 0, std::max(wanted[c] - cells[c].least, 0)));
      wanted[c] -= less;
      spare -= cells[c].each * less;
    }
  }

  int target_;
  Windows windows_;
};

class Sliced {
 public:
  Sliced(int target, Seconds window) : target_(target), windows_(window) {}

  std::vector<int> Decide(const Moment& moment) {
    recent_.push_back(moment.demand);
    if (std::ssize(recent_) > kMostRecent) recent_.pop_front();
    Throughput sum = 0;
    for (const Throughput demand : recent_) sum += demand;
    need_ = NeedOf(std::max(moment.demand, sum / std::ssize(recent_)), target_);
    best_.reset();
    std::vector<int> mix = LeastOf(moment.cells);
    Split(moment.cells, 0, kSlices, mix);
    return windows_.Held(moment, best_ ? best_->second : MostOf(moment.cells));
  }

 private:
  static constexpr int kSlices = 4;
  static constexpr std::ptrdiff_t kMostRecent = Seconds{240} / kServingStep;

  // All ways to give so many slices to the cells from `cell` on.
  void Split(const std::vector<ServingCell>& cells, size_t cell, int slices,
             std::vector<int>& mix) {
    if (cell == cells.size()) {
      if (slices == 0) Compare(cells, mix);
      return;
    }
    for (int own = 0; own <= slices; ++own) {
      const int64_t replicas = CeilDiv(own * need_, kSlices * cells[cell].each);
      if (replicas > cells[cell].Most()) return;
      mix[cell] = std::max(cells[cell].least, static_cast<int>(replicas));
      Split(cells, cell + 1, slices - own, mix);
    }
  }

  void Compare(const std::vector<ServingCell>& cells, const std::vector<int>& mix) {
    Money price;
    for (size_t c = 0; c < cells.size(); ++c) price += cells[c].Price().Times(mix[c]);
    if (!best_ || price < best_->first) best_ = {price, mix};
  }

  int target_;
  std::deque<Throughput> recent_;  // the last 240 s
  Throughput need_ = 0;
  std::optional<std::pair<Money, std::vector<int>>> best_;
  Windows windows_;
};

class Seer {
 public:
  Seer(std::vector<Throughput> demand, int target) : demand_(std::move(demand)), target_(target) {}

  [[nodiscard]] std::vector<int> Decide(const Moment& moment) const {
    const Throughput need = NeedOf(MostWithin(moment), target_);
    const std::vector<int> counts = moment.Counts();
    if (Capacity(moment.cells, moment.Ready()) >= need) {
      return Cheapest(moment.cells, need, LeastOf(moment.cells), moment.Ready());
    }
    if (Capacity(moment.cells, counts) >= need) return counts;
    return Cheapest(moment.cells, need, counts, MostOf(moment.cells));
  }

 private:
  // Until what is made at the next step is ready.
  [[nodiscard]] Throughput MostWithin(const Moment& moment) const {
    Seconds startup{0};
    for (const ServingCell& cell : moment.cells) startup = std::max(startup, cell.startup);
    const auto from = static_cast<size_t>(moment.at.count());
    const auto to = from + static_cast<size_t>((startup + kServingStep).count());
    return *std::max_element(
        demand_.begin() + static_cast<std::ptrdiff_t>(from),
        demand_.begin() + static_cast<std::ptrdiff_t>(std::min(to, demand_.size())));
  }

  std::vector<Throughput> demand_;
  int target_;
};

}  // namespace

ServingPolicy Spillway(const std::vector<ServingCell>& cells, const PoolSettings& settings,
                       int target, Seconds window) {
  return [planner = Operator(cells, settings, target, window)](
             const Moment& moment) mutable -> Result<std::vector<int>> {
    return planner.Decide(moment);
  };
}

ServingPolicy StaticMix(const std::vector<ServingCell>& cells, Throughput need) {
  return [mix = Cheapest(cells, need, LeastOf(cells), MostOf(cells))](
             const Moment&) -> Result<std::vector<int>> { return mix; };
}

ServingPolicy HpaLike(int target, Seconds window, GoesFirst first) {
  return
      [hpa = Hpa(target, window, first)](const Moment& moment) mutable -> Result<std::vector<int>> {
        return hpa.Decide(moment);
      };
}

ServingPolicy GreedyMix(int target, Seconds window) {
  return
      [greedy = Greedy(target, window)](const Moment& moment) mutable -> Result<std::vector<int>> {
        return greedy.Decide(moment);
      };
}

ServingPolicy SlicedMix(int target, Seconds window) {
  return
      [sliced = Sliced(target, window)](const Moment& moment) mutable -> Result<std::vector<int>> {
        return sliced.Decide(moment);
      };
}

ServingPolicy Clairvoyant(std::vector<Throughput> demand, int target) {
  return [seer = Seer(std::move(demand), target)](
             const Moment& moment) -> Result<std::vector<int>> { return seer.Decide(moment); };
}

}  // namespace spillway::bench
