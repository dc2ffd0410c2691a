#include "placement/gangs.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "placement/choice.h"

namespace spillway::placement {
namespace {

int64_t Kept(const std::vector<Slot>& slots) {
  return std::count_if(slots.begin(), slots.end(), [](const Slot& slot) { return slot.kept; });
}

std::vector<size_t> Choose(const std::vector<Slot>& slots, int workers) {
  Choice choice(workers);
  for (const Slot& slot : slots) choice.Show(slot);
  return choice.Nodes();
}

// What the slots in one domain come to.
struct Sum {
  int64_t workers = 0;
  int64_t kept = 0;
};

// The sums of all domains that slots are in.
class Sums {
 public:
  Sums(const Domains& domains, const std::vector<Slot>& slots) {
    // Those of one group have names, and so numbers, close to each other.
    uint32_t last = 0;
    for (const Slot& slot : slots) {
      const uint32_t domain = domains.of[slot.node];
      if (domain == kNoDomain) continue;
      first_ = std::min(first_, domain);
      last = std::max(last, domain);
    }
    if (first_ == kNoDomain) return;
    sums_.resize(last - first_ + 1);
    for (const Slot& slot : slots) {
      const uint32_t domain = domains.of[slot.node];
      if (domain == kNoDomain) continue;
      sums_[domain - first_].workers += slot.workers;
      sums_[domain - first_].kept += slot.kept ? 1 : 0;
    }
  }
  // REQUIRES that a slot is in the domain.
  [[nodiscard]] const Sum& Of(uint32_t domain) const { return sums_[domain - first_]; }

 private:
  uint32_t first_ = kNoDomain;
  std::vector<Sum> sums_;
};

// The domain that would have the least room left; of several, the first by name.
std::optional<uint32_t> Tightest(const Domains& domains, const Sums& sums,
                                 const std::vector<Slot>& slots, int workers) {
  const int64_t kept = Kept(slots);
  std::optional<uint32_t> best;
  for (const Slot& slot : slots) {
    const uint32_t domain = domains.of[slot.node];
    if (domain == kNoDomain || domain == best) continue;
    const Sum& sum = sums.Of(domain);
    if (sum.workers < workers || sum.kept < kept) continue;
    if (!best || std::pair(sum.workers, domain) < std::pair(sums.Of(*best).workers, *best)) {
      best = domain;
    }
  }
  return best;
}

std::optional<Fit> FitInDomain(const World& world, const std::string& label,
                               const std::vector<Slot>& slots, int workers) {
  const Domains& domains = world.DomainsOf(label);
  const Sums sums(domains, slots);
  const auto domain = Tightest(domains, sums, slots, workers);
  if (!domain) return std::nullopt;
  std::vector<Slot> inside;
  std::copy_if(slots.begin(), slots.end(), std::back_inserter(inside),
               [&](const Slot& slot) { return domains.of[slot.node] == *domain; });
  return FitInside(domains, *domain, inside, workers);
}

}  // namespace

std::string SharedDomain(const World& world, std::span<const std::string> labels,
                         const std::vector<size_t>& nodes) {
  for (const std::string& label : labels) {
    const Domains& domains = world.DomainsOf(label);
    const uint32_t first = nodes.empty() ? kNoDomain : domains.of[nodes.front()];
    if (first != kNoDomain && std::all_of(nodes.begin(), nodes.end(),
                                          [&](size_t node) { return domains.of[node] == first; })) {
      return std::string(domains.names[first]);
    }
  }
  return "";
}

Fit FitInside(const Domains& domains, uint32_t domain, const std::vector<Slot>& slots,
              int workers) {
  const int64_t left_over = WorkersIn(slots) - workers;
  return {.workers = workers,
          .nodes = Choose(slots, workers),
          .domain = std::string(domains.names[domain]),
          .left_over = left_over};
}

Topology TopologyIn(const TrainingPool& pool, const NodeGroup& group) {
  Topology topology{.mode = pool.topology, .levels = {}, .group_levels = group.domain_labels};
  if (pool.topology == TopologyMode::kIgnore || group.domain_labels.empty()) return topology;
  auto from = group.domain_labels.begin();
  if (!pool.topology_level.empty()) {
    from = std::find(from, group.domain_labels.end(), pool.topology_level);
  }
  topology.levels = {from, group.domain_labels.end()};
  return topology;
}

int64_t WorkersIn(const std::vector<Slot>& slots) {
  int64_t workers = 0;
  for (const Slot& slot : slots) workers += slot.workers;
  return workers;
}

std::optional<Fit> FitGang(const World& world, const Topology& topology,
                           const std::vector<Slot>& slots, int workers) {
  const int64_t left_over = WorkersIn(slots) - workers;
  if (left_over < 0) return std::nullopt;
  if (topology.mode == TopologyMode::kRequired) {
    if (topology.levels.empty()) return std::nullopt;
    return FitInDomain(world, topology.levels.front(), slots, workers);
  }
  for (const std::string& level : topology.levels) {
    if (auto fit = FitInDomain(world, level, slots, workers)) return fit;
  }
  Fit fit{
      .workers = workers, .nodes = Choose(slots, workers), .domain = {}, .left_over = left_over};
  fit.domain = SharedDomain(world, topology.group_levels, fit.nodes);
  return fit;
}

std::optional<Fit> LargestFit(int least, int most, const FitAt& fit_at) {
  auto best = fit_at(most);
  if (best || least >= most) return best;
  best = fit_at(least);
  if (!best) return std::nullopt;
  int fits = least;
  int fails = most;
  while (fits + 1 < fails) {
    const int middle = fits + (fails - fits) / 2;
    auto fit = fit_at(middle);
    (fit ? fits : fails) = middle;
    if (fit) best = std::move(fit);
  }
  return best;
}

DomainRoom LargestDomain(const World& world, const Topology& topology,
                         const std::vector<Slot>& slots) {
  if (topology.levels.empty()) return {};
  const Domains& domains = world.DomainsOf(topology.levels.front());
  const Sums sums(domains, slots);
  std::optional<uint32_t> largest;
  for (const Slot& slot : slots) {
    const uint32_t domain = domains.of[slot.node];
    if (domain == kNoDomain) continue;
    if (!largest || std::pair(-sums.Of(domain).workers, domain) <
                        std::pair(-sums.Of(*largest).workers, *largest)) {
      largest = domain;
    }
  }
  if (!largest) return {};
  return {.name = std::string(domains.names[*largest]), .workers = sums.Of(*largest).workers};
}

}  // namespace spillway::placement
