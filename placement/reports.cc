#include "placement/reports.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
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
  for (const Member& member : view.members) {
    const Node& node = *world.nodes[member.node];
    const int64_t has = by_shape[member.shape];
    const int64_t used = std::max<int64_t>(node.used.Get(CountedBy(group)), 0);
    report.allocatable += has;
    used_milli += group.resource.empty() ? used : used * 1000;
    if (TakesWork(member)) report.free += Accelerators(group, capacity.FreeIn(column, member.node));
    const int64_t whole = std::max<int64_t>({int64_t{group.per_node}, has, 1});
    const int64_t idle = std::max<int64_t>(whole - Accelerators(group, used), 0);
    ++idle_nodes[{idle, whole}];
  }
  for (const auto& [part, nodes] : idle_nodes) {
    report.idle_hourly_cost += group.per_node_hour.Share(part.first, part.second).Times(nodes);
  }
  report.used = (used_milli + 999) / 1000;
  report.hourly_cost = group.per_node_hour.Times(report.matched);
  report.marginal_hourly_cost = group.marginal_per_node_hour.Times(report.matched);
}

// Nodes without a domain label count together where the group has no domains at all.
void FindLargestFreeDomain(const World& world, const Capacity& capacity, const GroupView& view,
                           GroupReport& report) {
  const NodeGroup& group = *view.spec;
  const std::vector<int64_t> by_shape = AcceleratorsByShape(view);
  const size_t column = capacity.ColumnOf(CountedBy(group));
  std::map<std::string_view, int> whole;
  for (const Member& member : view.members) {
    if (!TakesWork(member)) continue;
    const int64_t has = by_shape[member.shape];
    if (has == 0 || Accelerators(group, capacity.FreeIn(column, member.node)) < has) continue;
    if (group.domain_labels.empty()) {
      ++whole[""];
      continue;
    }
    const Labels& labels = world.nodes[member.node]->labels;
    const auto label = labels.find(group.domain_labels.front());
    if (label != labels.end()) ++whole[label->second.str()];
  }
  for (const auto& [domain, nodes] : whole) {
    if (nodes <= report.largest_free_domain_nodes) continue;
    report.largest_free_domain_nodes = nodes;
    report.largest_free_domain = domain;
  }
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
  }
  return reports;
}

}  // namespace spillway::placement
