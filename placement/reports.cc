#include "placement/reports.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "placement/words.h"

namespace spillway::placement {
namespace {

void CountNodes(const GroupView& view, GroupReport& report) {
  report.matched = static_cast<int>(view.members.size());
  std::map<NodeState, int> counts = view.by_state;
  report.usable = counts[NodeState::kUsable];
  report.starting = counts[NodeState::kStarting];
  report.cordoned = counts[NodeState::kCordoned];
  report.draining = counts[NodeState::kDraining];
  report.not_ready = counts[NodeState::kNotReady];
  // Out of service is as unhealthy as a node that still has an object can be.
  report.unhealthy = counts[NodeState::kUnhealthy] + counts[NodeState::kLost];
}

bool TakesWork(const Member& member) {
  return member.state == NodeState::kUsable && !member.overlapped;
}

// By shape, the accelerators of a node.
std::vector<int64_t> AcceleratorsByShape(const GroupView& view) {
  std::vector<int64_t> accelerators;
  accelerators.reserve(view.shapes.size());
  for (const Resources& shape : view.shapes) {
    accelerators.push_back(AcceleratorsIn(*view.spec, shape));
  }
  return accelerators;
}

// Accelerators, and the money that lies in those that nobody asked for.
void CountAccelerators(const World& world, const Capacity& capacity, const GroupView& view,
                       GroupReport& report) {
  const NodeGroup& group = *view.spec;
  const std::vector<int64_t> by_shape = AcceleratorsByShape(view);
  const size_t column = capacity.ColumnOf(CountedBy(group));
  int64_t used_milli = 0;
  std::map<std::pair<int64_t, int64_t>, int64_t> idle_nodes;  // by idle and all accelerators
  // Neighbours are mostly used alike.
  const Resources* last = nullptr;
  int64_t used = 0;
  std::pair<const std::pair<int64_t, int64_t>, int64_t>* alike = nullptr;
  for (const Member& member : view.members) {
    const Node& node = *world.nodes[member.node];
    const int64_t has = by_shape[member.shape];
    if (last == nullptr || *last != node.used) {
      used = std::max<int64_t>(node.used.Get(CountedBy(group)), 0);
      last = &node.used;
    }
    report.allocatable += has;
    used_milli += group.resource.empty() ? used : used * 1000;
    if (TakesWork(member)) report.free += Accelerators(group, capacity.FreeIn(column, member.node));
    const int64_t whole = std::max<int64_t>({int64_t{group.per_node}, has, 1});
    const int64_t idle = std::max<int64_t>(whole - Accelerators(group, used), 0);
    const std::pair part(idle, whole);
    if (alike == nullptr || alike->first != part) alike = &*idle_nodes.try_emplace(part).first;
    ++alike->second;
  }
  for (const auto& [part, nodes] : idle_nodes) {
    report.idle_hourly_cost += group.per_node_hour.Share(part.first, part.second).Times(nodes);
  }
  report.used = (used_milli + 999) / 1000;
  report.hourly_cost = group.per_node_hour.Times(report.matched);
  report.marginal_hourly_cost = group.marginal_per_node_hour.Times(report.matched);
}

bool HasLabel(const World& world, const Member& member, const std::string& label) {
  return world.nodes[member.node]->labels.contains(label);
}

// Nodes without a domain label count together where the group has no domains at all.
void FindLargestFreeDomain(const World& world, const Capacity& capacity, const GroupView& view,
                           GroupReport& report) {
  const NodeGroup& group = *view.spec;
  const std::vector<int64_t> by_shape = AcceleratorsByShape(view);
  const size_t column = capacity.ColumnOf(CountedBy(group));
  const Domains* domains =
      group.domain_labels.empty() ? nullptr : &world.DomainsOf(group.domain_labels.front());
  std::map<uint32_t, int> whole;  // by domain, which are numbered in the order of their names
  std::pair<const uint32_t, int>* last = nullptr;  // neighbours are mostly in the same
  int nameless = 0;
  for (const Member& member : view.members) {
    if (!TakesWork(member)) continue;
    const int64_t has = by_shape[member.shape];
    if (has == 0 || Accelerators(group, capacity.FreeIn(column, member.node)) < has) continue;
    const uint32_t domain = domains == nullptr ? kNoDomain : domains->of[member.node];
    if (domain == kNoDomain) {
      if (domains == nullptr || HasLabel(world, member, group.domain_labels.front())) ++nameless;
      continue;
    }
    if (last == nullptr || last->first != domain) last = &*whole.try_emplace(domain).first;
    ++last->second;
  }
  report.largest_free_domain_nodes = nameless;
  for (const auto& [domain, nodes] : whole) {
    if (nodes <= report.largest_free_domain_nodes) continue;
    report.largest_free_domain_nodes = nodes;
    report.largest_free_domain = domains->names[domain];
  }
}

// What a node has another amount of than the spec says.
struct Difference {
  std::string resource;
  int64_t wanted = 0;
  int64_t found = 0;
  std::string_view said_by;  // the field of the spec
};

// Machines of one kind differ a little in what their firmware and kernel keep of these.
int64_t LeastOf(std::string_view resource, int64_t wanted) {
  const bool varies = resource == kMemory || resource == "ephemeral-storage";
  return varies ? wanted - wanted / 100 : wanted;
}

// More is no harm but for the group's own accelerators: by their number the price is divided, and
// it tells one kind of machine from another. Of cores some machines of a kind may offer more.
std::optional<Difference> DifferenceOf(const NodeGroup& group, const Resources& allocatable) {
  const std::string_view counted_by = CountedBy(group);
  const bool exact = !group.resource.empty();
  const int64_t has = AcceleratorsIn(group, allocatable);
  if (group.per_node > 0 && (has < group.per_node || (exact && has > group.per_node))) {
    return Difference{.resource = std::string(counted_by),
                      .wanted = exact ? group.per_node : int64_t{group.per_node} * 1000,
                      .found = allocatable.Get(counted_by),
                      .said_by = "accelerator.perNode"};
  }
  if (!group.elastic) return std::nullopt;
  for (const auto& [name, wanted] : group.elastic->node_shape) {
    const bool own = name == counted_by;
    if (own && group.per_node > 0) continue;
    const int64_t found = allocatable.Get(name);
    if (found >= LeastOf(name, wanted) && !(own && exact && found > wanted)) continue;
    return Difference{
        .resource = name, .wanted = wanted, .found = found, .said_by = "elastic.nodeShape"};
  }
  return std::nullopt;
}

// Has the node shown all that it has? Accelerators come later than the node, and one that is not
// heard from or taken out of use may show what it had, or nothing. Of no use only because its
// accelerators have not come in their time is what would have been starting when it came.
bool IsKnown(const GroupView& view, const Member& member, const Node& node) {
  if (member.state == NodeState::kUsable) return true;
  return member.state == NodeState::kUnhealthy && node.ready &&
         StandingOf(*view.spec, node, node.created).state == NodeState::kStarting;
}

void TellShape(const World& world, const GroupView& view, GroupReport& report) {
  std::vector<std::optional<Difference>> by_shape;
  by_shape.reserve(view.shapes.size());
  for (const Resources& shape : view.shapes) {
    by_shape.push_back(DifferenceOf(*view.spec, shape));
  }
  int64_t differ = 0;
  const Member* first = nullptr;
  for (const Member& member : view.members) {
    if (!by_shape[member.shape] || !IsKnown(view, member, *world.nodes[member.node])) {
      continue;
    }
    ++differ;
    if (first == nullptr) first = &member;
  }
  report.shape_matches = differ == 0;
  if (first == nullptr) {
    report.shape_message = "no node has other amounts than the spec says";
    return;
  }
  const Difference& what = *by_shape[first->shape];
  report.shape_message = Short(
      fmt::format("{} of {} {} other amounts than the spec says: {} has {} {}, and {} says {}",
                  differ, Count(report.matched, "node"), differ == 1 ? "has" : "have",
                  world.nodes[first->node]->id.name, FormatResource(what.resource, what.found),
                  what.resource, what.said_by, FormatResource(what.resource, what.wanted)));
}

void TellConditions(const GroupView& view, GroupReport& report) {
  const NodeGroup& group = *view.spec;
  report.no_overlap = view.overlap.empty();
  report.overlap_message =
      report.no_overlap ? "no other node group matches its nodes" : Short(view.overlap);
  report.link_healthy = !view.over_limit;
  report.link_message = report.link_healthy ? fmt::format("{} of {} NotReady", view.not_ready,
                                                          Count(report.matched, "node"))
                                            : LinkSentence(view);
  const std::string usable =
      fmt::format("{} of {} usable", report.usable, Count(report.matched, "node"));
  if (!group.misconfigured.empty()) {
    report.ready = false;
    report.ready_reason = Reason::kMisconfigured;
    report.ready_message = Short(group.misconfigured);
  } else if (view.unreachable_since) {
    report.ready = false;
    report.ready_reason = Reason::kClusterUnreachable;
    report.ready_message = UnreachableSentence(group.cluster, *view.unreachable_since);
  } else if (report.usable == 0) {
    report.ready = false;
    report.ready_reason = Reason::kNodesUnhealthy;
    report.ready_message = report.matched == 0 ? "its selector matches no node" : usable;
  } else {
    report.ready_message =
        group.admission == Admission::kClosed ? usable + "; admission is Closed" : usable;
  }
}

}  // namespace

std::vector<GroupReport> ReportGroups(const World& world, const Capacity& capacity) {
  std::vector<GroupReport> reports;
  for (const GroupView& view : world.groups) {
    GroupReport& report = reports.emplace_back();
    report.name = view.spec->name;
    CountNodes(view, report);
    CountAccelerators(world, capacity, view, report);
    FindLargestFreeDomain(world, capacity, view, report);
    TellConditions(view, report);
    TellShape(world, view, report);
  }
  return reports;
}

}  // namespace spillway::placement
