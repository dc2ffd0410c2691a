// The Deployment controller of the fake cluster.

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "tests/support/fake_cluster.h"
#include "tests/support/fake_cluster_state.h"
#include "tests/support/objects.h"

namespace spillway::support {
namespace {

using Json = nlohmann::json;

constexpr const char* kTemplateHash = "pod-template-hash";
constexpr const char* kAdvanced = "ReplicaSetUpdated";
constexpr const char* kComplete = "NewReplicaSetAvailable";
constexpr const char* kTimedOut = "ProgressDeadlineExceeded";

// How many pods there are to be, and between which numbers a rollout moves.
struct Bounds {
  int replicas = 0;
  int most = 0;   // pods in all
  int least = 0;  // ready pods
};

// An integer, or a percentage of the replicas.
int Resolve(const Json& value, int replicas, bool up) {
  if (value.is_number()) return value.get<int>();
  return (std::stoi(value.get<std::string>()) * replicas + (up ? 99 : 0)) / 100;
}

Bounds BoundsOf(const Json& deployment) {
  if (TextAt(deployment, "/spec/strategy/type") == "Recreate") {
    throw std::invalid_argument(NameOf(deployment) + ": Recreate is not played here");
  }
  const Json rolling = deployment.value(Json::json_pointer("/spec/strategy/rollingUpdate"), Json());
  const auto steps = [&](const char* field) {
    return rolling.is_object() && rolling.contains(field) ? rolling[field] : Json("25%");
  };
  const int replicas = deployment["spec"].value("replicas", 1);
  const int surge = Resolve(steps("maxSurge"), replicas, true);
  int unavailable = Resolve(steps("maxUnavailable"), replicas, false);
  // As the real one does it where percentages leave neither: a rollout must be able to move.
  if (surge == 0 && unavailable == 0) unavailable = 1;
  return {replicas, replicas + surge, std::max(0, replicas - unavailable)};
}

// Pods that are there, by whether they are of the present template.
struct Replicas {
  std::vector<Json> present;
  std::vector<Json> old;
};

struct Steps {
  int create = 0;
  std::vector<Json> remove;
};

// Which of two pods goes first: what is not bound, then what is not ready, then the younger one
// (uids of this server grow).
bool GoesFirst(const Json& a, const Json& b) {
  const auto rank = [](const Json& pod) {
    return std::pair(!TextAt(pod, "/spec/nodeName").empty(), IsReady(pod));
  };
  if (rank(a) != rank(b)) return rank(a) < rank(b);
  return TextAt(a, "/metadata/uid") > TextAt(b, "/metadata/uid");
}

// The first `count` to go, out of `pods`.
std::vector<Json> Take(std::vector<Json>& pods, int count) {
  std::sort(pods.begin(), pods.end(), GoesFirst);
  const auto cut = pods.begin() + std::clamp(count, 0, static_cast<int>(pods.size()));
  std::vector<Json> taken(pods.begin(), cut);
  pods.erase(pods.begin(), cut);
  return taken;
}

Steps NextSteps(const Bounds& bounds, Replicas pods) {
  const int present = static_cast<int>(pods.present.size());
  const int old = static_cast<int>(pods.old.size());
  Steps steps;
  steps.create = std::max(0, std::min(bounds.replicas - present, bounds.most - present - old));
  steps.remove = Take(pods.present, present - bounds.replicas);
  // As if every old one were ready: those that are not go first, and no more go than that.
  const int may_go = old + Count(pods.present, IsReady) - bounds.least;
  for (Json& pod : Take(pods.old, may_go)) steps.remove.push_back(std::move(pod));
  return steps;
}

// --- status ---

bool IsComplete(const Bounds& bounds, const Json& status) {
  return status["replicas"] == bounds.replicas && status["updatedReplicas"] == bounds.replicas &&
         status["availableReplicas"] == bounds.replicas;
}

bool HasAdvanced(const Json& before, const Json& now) {
  const auto grown = [&](const char* field) { return now[field] > before.value(field, 0); };
  const auto old = [](const Json& status) {
    return status.value("replicas", 0) - status.value("updatedReplicas", 0);
  };
  return grown("updatedReplicas") || grown("readyReplicas") || old(now) < old(before);
}

bool IsOverdue(const Json& deployment, const Json& progress, Time now) {
  const Seconds deadline(deployment["spec"].value("progressDeadlineSeconds", 600));
  return now > ParseTime(progress["lastUpdateTime"].get<std::string>()).value() + deadline;
}

// Why the Progressing condition is what it is. One that was complete once is not overdue before its
// template changes, however many of its pods are lost or asked for.
std::string ProgressReason(const Json& deployment, const Json& status, bool advanced, Time now) {
  const Json progress = ConditionOf(deployment, "Progressing");
  if (progress.is_null()) return kAdvanced;
  auto reason = progress["reason"].get<std::string>();
  if (reason == kComplete && status["replicas"] == status["updatedReplicas"]) return reason;
  if (IsComplete(BoundsOf(deployment), status)) return kComplete;
  if (advanced) return kAdvanced;
  return reason != kComplete && IsOverdue(deployment, progress, now) ? kTimedOut : reason;
}

// The Progressing condition; `begins`: a new template is being rolled out since just now.
Json Progress(const Json& deployment, const Json& status, bool begins, Time now) {
  Json known = ConditionOf(deployment, "Progressing");
  const bool advanced = HasAdvanced(deployment.value("status", Json::object()), status);
  const std::string reason = begins ? kAdvanced : ProgressReason(deployment, status, advanced, now);
  const bool same = !known.is_null() && known["reason"] == reason;
  if (same && !begins && (!advanced || reason != kAdvanced)) return known;
  const std::string holds = reason == kTimedOut ? "False" : "True";
  const bool turned = known.is_null() || known["status"] != holds;
  return {{"type", "Progressing"},
          {"status", holds},
          {"reason", reason},
          {"lastUpdateTime", FormatTime(now)},
          {"lastTransitionTime", turned ? Json(FormatTime(now)) : known["lastTransitionTime"]}};
}

// --- objects ---

// The same template under the same Deployment has the same name.
std::string ReplicaSetName(const Json& deployment) {
  const std::string of =
      TextAt(deployment, "/metadata/uid") + deployment["spec"]["template"].dump();
  return NameOf(deployment) + "-" + HashHex(of, 10);
}

// What owns the pods of one template; how many they are is the Deployment's alone.
Json MakeReplicaSet(const Json& deployment) {
  const std::string name = ReplicaSetName(deployment);
  Json pod = deployment["spec"]["template"];
  pod["metadata"]["labels"][kTemplateHash] = name.substr(NameOf(deployment).size() + 1);
  Json set = {{"kind", "ReplicaSet"},
              {"metadata",
               {{"name", name},
                {"namespace", NamespaceOf(deployment)},
                {"labels", pod["metadata"]["labels"]}}},
              {"spec", {{"template", pod}}}};
  return OwnedBy(std::move(set), deployment);
}

Replicas Split(const std::vector<Json>& pods, const Json& set) {
  Replicas out;
  for (const Json& pod : pods) {
    if (!IsActive(pod)) continue;
    const bool present = OwnerUidOf(pod) == TextAt(set, "/metadata/uid");
    (present ? out.present : out.old).push_back(pod);
  }
  return out;
}

}  // namespace

bool FakeCluster::ReconcileDeployments() {
  bool changed = false;
  for (const Json& deployment : server_.All("deployments")) {
    if (!IsTerminating(deployment)) changed = ReconcileDeployment(deployment) || changed;
  }
  return changed;
}

bool FakeCluster::ReconcileDeployment(const Json& deployment) {
  auto set = server_.Get("replicasets", NamespaceOf(deployment), ReplicaSetName(deployment));
  const bool begins = !set.has_value();
  if (begins) set = server_.Put(MakeReplicaSet(deployment));
  const Replicas pods = Split(ReplicasOf(NamespaceOf(deployment), NameOf(deployment)), *set);
  const Steps steps = NextSteps(BoundsOf(deployment), pods);
  for (int i = 0; i < steps.create; ++i) {
    server_.Put(OwnedBy(PodFrom(*set, fmt::format("{}-{:05x}", NameOf(*set), next_pod_++)), *set));
  }
  const bool deleted = DeletePods(steps.remove);
  return SetDeploymentStatus(deployment, *set, begins) || begins || deleted || steps.create > 0;
}

bool FakeCluster::SetDeploymentStatus(const Json& deployment, const Json& set, bool begins) {
  const std::string ns = NamespaceOf(deployment);
  const std::string name = NameOf(deployment);
  // As it is by now: some may just have been created or deleted.
  const Replicas now = Split(ReplicasOf(ns, name), set);
  const size_t all = now.present.size() + now.old.size();
  const int ready = Count(now.present, IsReady) + Count(now.old, IsReady);
  Json status = {{"observedGeneration", deployment["metadata"]["generation"]},
                 {"replicas", all},
                 {"updatedReplicas", now.present.size()},
                 {"readyReplicas", ready},
                 {"availableReplicas", ready},
                 {"unavailableReplicas", static_cast<int>(all) - ready}};
  status["conditions"] = Json::array({Progress(deployment, status, begins, clock_.Now())});
  if (deployment.value("status", Json::object()) == status) return false;
  return !server_.Patch("deployments", ns, name, {{"status", status}}).is_null();
}

}  // namespace spillway::support
