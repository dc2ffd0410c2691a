#include "placement/reason.h"

#include <algorithm>
#include <array>
#include <utility>

namespace spillway::placement {
namespace {

using enum Reason;
constexpr std::array<std::pair<Reason, std::string_view>, 42> kNames = {{
    {kMisconfigured, "Misconfigured"},
    {kTemplateInvalid, "TemplateInvalid"},
    {kNameConflict, "NameConflict"},
    {kSuspended, "Suspended"},
    {kPaused, "Paused"},
    {kNoMatchingNodeGroup, "NoMatchingNodeGroup"},
    {kGroupClosed, "GroupClosed"},
    {kDraining, "Draining"},
    {kNodeTooSmall, "NodeTooSmall"},
    {kConstraintsNotMet, "ConstraintsNotMet"},
    {kNodesUnhealthy, "NodesUnhealthy"},
    {kNodesOverlap, "NodesOverlap"},
    {kNodeGroupMissing, "NodeGroupMissing"},
    {kWaitingForCapacity, "WaitingForCapacity"},
    {kWaitingForDomain, "WaitingForDomain"},
    {kHoldingBackSpill, "HoldingBackSpill"},
    {kSpillForbidden, "SpillForbidden"},
    {kSpendLimitReached, "SpendLimitReached"},
    {kQuotaExceeded, "QuotaExceeded"},
    {kWaitingForQuota, "WaitingForQuota"},
    {kWaitingForPreemption, "WaitingForPreemption"},
    {kWaitingForCheckpoint, "WaitingForCheckpoint"},
    {kWaitingForSurge, "WaitingForSurge"},
    {kReserved, "Reserved"},
    {kWaitingForNodes, "WaitingForNodes"},
    {kOutOfStock, "OutOfStock"},
    {kDemandUnknown, "DemandUnknown"},
    {kPodsNotReady, "PodsNotReady"},
    {kGangIncomplete, "GangIncomplete"},
    {kNodeLost, "NodeLost"},
    {kLinkSuspect, "LinkSuspect"},
    {kClusterUnreachable, "ClusterUnreachable"},
    {kBackingOff, "BackingOff"},
    {kPreempted, "Preempted"},
    {kRestartLimitReached, "RestartLimitReached"},
    {kDeadlineExceeded, "DeadlineExceeded"},
    {kPlaced, "Placed"},
    {kCompleted, "Completed"},
    {kAsExpected, "AsExpected"},
    {kShapeMismatch, "ShapeMismatch"},
    {kGuaranteeUncovered, "GuaranteeUncovered"},
    {kTargetUnavailable, "TargetUnavailable"},
}};

}  // namespace

std::string_view ReasonName(Reason reason) { return kNames.at(static_cast<size_t>(reason)).second; }

std::optional<Reason> ReasonFromName(std::string_view name) {
  const auto* at =
      std::find_if(kNames.begin(), kNames.end(), [&](const auto& e) { return e.second == name; });
  if (at == kNames.end()) return std::nullopt;
  return at->first;
}

const std::vector<Reason>& AllReasons() {
  static const std::vector<Reason> kAll = [] {
    std::vector<Reason> all;
    all.reserve(kNames.size());
    for (const auto& [reason, name] : kNames) all.push_back(reason);
    return all;
  }();
  return kAll;
}

}  // namespace spillway::placement
