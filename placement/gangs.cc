#include "placement/gangs.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace spillway::placement {
namespace {

using Domains = std::map<std::string_view, std::vector<Slot>>;

// The value of a label on a node; empty: it is in no such domain.
std::string_view DomainOf(const World& world, size_t node, const std::string& label) {
  const Labels& labels = world.nodes[node]->labels;
  const auto at = labels.find(label);
  return at == labels.end() ? std::string_view() : std::string_view(at->second);
}

Domains ByDomain(const World& world, const std::string& label, const std::vector<Slot>& slots) {
  Domains domains;
  for (const Slot& slot : slots) {
    const std::string_view domain = DomainOf(world, slot.node, label);
    if (!domain.empty()) domains[domain].push_back(slot);
  }
  return domains;
}

int64_t Kept(const std::vector<Slot>& slots) {
  return std::count_if(slots.begin(), slots.end(), [](const Slot& slot) { return slot.kept; });
}

// Takes nodes in order until all workers have a place, then drops what the others can do without.
std::vector<size_t> Choose(std::vector<Slot> slots, int workers) {
  std::sort(slots.begin(), slots.end(), [](const Slot& a, const Slot& b) {
    return std::tuple(!a.kept, a.whole, a.free, a.node) <
           std::tuple(!b.kept, b.whole, b.free, b.node);
  });
  std::vector<Slot> taken;
  int64_t room = 0;
  for (const Slot& slot : slots) {
    if (room >= workers) break;
    if (slot.workers == 0) continue;
    taken.push_back(slot);
    room += slot.workers;
  }
  std::sort(taken.begin(), taken.end(), [](const Slot& a, const Slot& b) {
    return std::tuple(a.kept, a.workers, a.node) < std::tuple(b.kept, b.workers, b.node);
  });
  std::vector<size_t> nodes;
  for (const Slot& slot : taken) {
    if (room - slot.workers >= workers) {
      room -= slot.workers;
    } else {
      nodes.push_back(slot.node);
    }
  }
  std::sort(nodes.begin(), nodes.end());
  return nodes;
}

// The closest of the labels whose value all the nodes share.
std::string SharedDomain(const World& world, const std::vector<std::string>& labels,
                         const std::vector<size_t>& nodes) {
  for (const std::string& label : labels) {
    const std::string_view first = nodes.empty() ? "" : DomainOf(world, nodes.front(), label);
    if (!first.empty() && std::all_of(nodes.begin(), nodes.end(), [&](size_t node) {
          return DomainOf(world, node, label) == first;
        })) {
      return std::string(first);
    }
  }
  return "";
}

std::optional<Fit> FitInDomain(const World& world, const std::string& label,
                               const std::vector<Slot>& slots, int workers) {
  const int64_t kept = Kept(slots);
  std::optional<Fit> best;
  for (const auto& [domain, inside] : ByDomain(world, label, slots)) {
    const int64_t left_over = WorkersIn(inside) - workers;
    if (left_over < 0 || Kept(inside) < kept) continue;
    if (best && best->left_over <= left_over) continue;
    best = Fit{
        .nodes = Choose(inside, workers), .domain = std::string(domain), .left_over = left_over};
  }
  return best;
}

}  // namespace

Topology TopologyIn(const TrainingPool& pool, const NodeGroup& group) {
  Topology topology{.mode = pool.topology, .levels = {}, .group_levels = group.domain_labels};
  if (pool.topology == TopologyMode::kIgnore || group.domain_labels.empty()) return topology;
  auto from = group.domain_labels.begin();
  if (!pool.topology_level.empty()) {
    from = std::find(from, group.domain_labels.end(), pool.topology_level);
  }
  topology.levels.assign(from, group.domain_labels.end());
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
  Fit fit{.nodes = Choose(slots, workers), .domain = {}, .left_over = left_over};
  fit.domain = SharedDomain(world, topology.group_levels, fit.nodes);
  return fit;
}

DomainRoom LargestDomain(const World& world, const Topology& topology,
                         const std::vector<Slot>& slots) {
  DomainRoom largest;
  if (topology.levels.empty()) return largest;
  for (const auto& [domain, inside] : ByDomain(world, topology.levels.front(), slots)) {
    const int64_t workers = WorkersIn(inside);
    if (!largest.name.empty() && workers <= largest.workers) continue;
    largest = DomainRoom{.name = std::string(domain), .workers = workers};
  }
  return largest;
}

}  // namespace spillway::placement
