#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spillway::placement {

// The closed list of why something is as it is: the same token in conditions, events, metrics and
// the command line. docs/reasons.md explains each.
enum class Reason {
  kMisconfigured,
  kTemplateInvalid,
  kNameConflict,
  kSuspended,
  kPaused,
  kNoMatchingNodeGroup,
  kGroupClosed,
  kDraining,
  kNodeTooSmall,
  kConstraintsNotMet,
  kNodesUnhealthy,
  kNodesOverlap,
  kNodeGroupMissing,
  kWaitingForCapacity,
  kWaitingForDomain,
  kHoldingBackSpill,
  kSpillForbidden,
  kSpendLimitReached,
  kQuotaExceeded,
  kWaitingForQuota,
  kWaitingForPreemption,
  kWaitingForCheckpoint,
  kWaitingForSurge,
  kReserved,
  kWaitingForNodes,
  kOutOfStock,
  kDemandUnknown,
  kPodsNotReady,
  kGangIncomplete,
  kNodeLost,
  kLinkSuspect,
  kClusterUnreachable,
  kBackingOff,
  kPreempted,
  kRestartLimitReached,
  kDeadlineExceeded,
  kPlaced,
  kCompleted,
  kAsExpected,
  kShapeMismatch,
  kGuaranteeUncovered,
  kTargetUnavailable,
};

std::string_view ReasonName(Reason reason);
std::optional<Reason> ReasonFromName(std::string_view name);
const std::vector<Reason>& AllReasons();

}  // namespace spillway::placement
