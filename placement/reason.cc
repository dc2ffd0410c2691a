#include "placement/reason.h"

#include <algorithm>
#include <array>
#include <utility>

namespace spillway::placement {
namespace {

using enum Reason;
constexpr std::array<std::pair<Reason, std::string_view>, 26> kNames = {{
    {kMisconfigured, "Misconfigured"},
    {kTemplateInvalid, "TemplateInvalid"},
    {kNameConflict, "NameConflict"},
    {kSuspended, "Suspended"},
    {kNoMatchingNodeGroup, "NoMatchingNodeGroup"},
    {kGroupClosed, "GroupClosed"},
    {kNodeTooSmall, "NodeTooSmall"},
    {kConstraintsNotMet, "ConstraintsNotMet"},
    {kNodesUnhealthy, "NodesUnhealthy"},
    {kNodesOverlap, "NodesOverlap"},
    {kNodeGroupMissing, "NodeGroupMissing"},
    {kWaitingForCapacity, "WaitingForCapacity"},
    {kWaitingForDomain, "WaitingForDomain"},
    {kHoldingBackSpill, "HoldingBackSpill"},
    {kSpillForbidden, "SpillForbidden"},
    {kQuotaExceeded, "QuotaExceeded"},
    {kPodsNotReady, "PodsNotReady"},
    {kGangIncomplete, "GangIncomplete"},
    {kNodeLost, "NodeLost"},
    {kLinkSuspect, "LinkSuspect"},
    {kBackingOff, "BackingOff"},
    {kRestartLimitReached, "RestartLimitReached"},
    {kDeadlineExceeded, "DeadlineExceeded"},
    {kPlaced, "Placed"},
    {kCompleted, "Completed"},
    {kAsExpected, "AsExpected"},
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
    for (const auto& [reason, name] : kNames) all.push_back(reason);
    return all;
  }();
  return kAll;
}

}  // namespace spillway::placement
