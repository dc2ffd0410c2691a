#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "controllers/settings.h"
#include "crds/v1alpha1/inference_pool.h"
#include "crds/v1alpha1/node_group.h"
#include "crds/v1alpha1/pool_quota.h"
#include "crds/v1alpha1/training_pool.h"
#include "placement/plan.h"

namespace spillway::controllers {

// The gangs of a claim, as a status has them: no more than the API takes.
std::vector<std::string> VictimsOf(const placement::Hold& claim);
// Likewise the replicas that give way.
std::vector<std::string> ReplicasOf(const placement::Hold& claim);

// What is known of an elastic group's target; nothing before it has been looked at.
struct TargetState {
  std::optional<int> replicas;  // as last read or set
  std::string problem;          // a sentence; empty: it can be read and scaled, as far as is known
  bool fixed = false;           // the problem is in the way of lowering it
  bool stays = false;           // it was lowered, and others have gone than were to
  bool operator==(const TargetState&) const = default;
};

// Statuses as pure functions of what was decided. `old` gives the transition times of conditions
// that stay as they are.
crds::v1alpha1::TrainingPoolStatus DesiredStatus(const crds::v1alpha1::TrainingPool& old,
                                                 const placement::PoolDecision& decision,
                                                 const placement::TrainingPool& facts, Mode mode,
                                                 Time now);
crds::v1alpha1::InferencePoolStatus DesiredStatus(const crds::v1alpha1::InferencePool& old,
                                                  const placement::InferenceDecision& decision,
                                                  const placement::InferencePool& facts, Mode mode,
                                                  Time now);
crds::v1alpha1::NodeGroupStatus DesiredStatus(const crds::v1alpha1::NodeGroup& old,
                                              const placement::GroupReport& report,
                                              const TargetState& target, Mode mode, Time now);
crds::v1alpha1::PoolQuotaStatus DesiredStatus(const crds::v1alpha1::PoolQuota& old,
                                              const placement::QuotaReport& report, Mode mode,
                                              Time now);

// Pods are missing as the API server refuses what they would come from: `refusal`, a sentence, is
// what the Ready condition of a pool says that only waits for its pods. False: it waits for more.
bool TellRefusal(const std::string& refusal, std::vector<crds::v1alpha1::Condition>& conditions);

// How far two statuses differ: what must be written at once, what may wait for its turn.
enum class Change { kNone, kNumbers, kMeaning };
Change Compare(const crds::v1alpha1::TrainingPoolStatus& was,
               const crds::v1alpha1::TrainingPoolStatus& is);
Change Compare(const crds::v1alpha1::InferencePoolStatus& was,
               const crds::v1alpha1::InferencePoolStatus& is);
Change Compare(const crds::v1alpha1::NodeGroupStatus& was,
               const crds::v1alpha1::NodeGroupStatus& is);
Change Compare(const crds::v1alpha1::PoolQuotaStatus& was,
               const crds::v1alpha1::PoolQuotaStatus& is);

// An event to tell: a condition whose status or reason changed.
struct Transition {
  bool warning = false;
  std::string reason;
  std::string action;  // what the operator did or looked at
  std::string message;
  bool operator==(const Transition&) const = default;
};
std::vector<Transition> Transitions(const std::vector<crds::v1alpha1::Condition>& was,
                                    const std::vector<crds::v1alpha1::Condition>& is);
// A new attempt after another is told as well, whatever it changes.
std::vector<Transition> Transitions(const crds::v1alpha1::TrainingPoolStatus& was,
                                    const crds::v1alpha1::TrainingPoolStatus& is);
template <class Status>
std::vector<Transition> Transitions(const Status& was, const Status& is) {
  return Transitions(was.conditions, is.conditions);
}

// A condition whose status changed.
struct Turn {
  crds::v1alpha1::Condition was;  // its status is empty if the condition is new
  crds::v1alpha1::Condition is;
};
std::vector<Turn> Turned(const std::vector<crds::v1alpha1::Condition>& was,
                         const std::vector<crds::v1alpha1::Condition>& is);

// From when a gang was first placed until all its workers were ready for the first time; nothing
// unless `turned` says that they have just become so.
std::optional<Seconds> StartLatency(const placement::PoolMemory& memory,
                                    const std::vector<Turn>& turned);

}  // namespace spillway::controllers
