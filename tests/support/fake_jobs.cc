// The Job controller of the fake cluster.

#include <fmt/format.h>

#include <algorithm>

#include "tests/support/fake_cluster.h"
#include "tests/support/fake_cluster_state.h"

namespace spillway::support {
namespace {

using Json = nlohmann::json;

constexpr const char* kIndex = "batch.kubernetes.io/job-completion-index";

int IndexOf(const Json& pod) {
  return std::stoi(pod["metadata"]["annotations"].value(kIndex, "-1"));
}

bool HasCondition(const Json& job, const char* type) {
  const Json condition = ConditionOf(job, type);
  return !condition.is_null() && condition["status"] == "True";
}

// Whether a rule's onExitCodes speaks of a container of this pod.
bool MatchesExitCodes(const Json& rule, const Json& pod, int& code) {
  const bool in = rule.value("operator", "In") == "In";
  const Json values = rule.value("values", Json::array());
  const Json statuses = pod.value(Json::json_pointer("/status/containerStatuses"), Json::array());
  for (const Json& one : statuses) {
    if (rule.contains("containerName") && rule["containerName"] != one["name"]) continue;
    const int exit_code = one.value(Json::json_pointer("/state/terminated/exitCode"), 0);
    if (exit_code == 0) continue;
    code = exit_code;
    if ((std::find(values.begin(), values.end(), exit_code) != values.end()) == in) return true;
  }
  return false;
}

bool MatchesConditions(const Json& patterns, const Json& pod) {
  const Json conditions = pod.value(Json::json_pointer("/status/conditions"), Json::array());
  return std::any_of(patterns.begin(), patterns.end(), [&](const Json& pattern) {
    return std::any_of(conditions.begin(), conditions.end(), [&](const Json& one) {
      return one["type"] == pattern["type"] && one["status"] == pattern.value("status", "True");
    });
  });
}

// What the Job's podFailurePolicy makes of a failed pod: Count, Ignore or FailJob, and why.
std::pair<std::string, std::string> Judge(const Json& job, const Json& pod) {
  const Json rules =
      job["spec"].value(Json::json_pointer("/podFailurePolicy/rules"), Json::array());
  for (size_t i = 0; i < rules.size(); ++i) {
    const Json& rule = rules[i];
    int code = 0;
    const bool matches = rule.contains("onExitCodes")
                             ? MatchesExitCodes(rule["onExitCodes"], pod, code)
                             : MatchesConditions(rule.value("onPodConditions", Json::array()), pod);
    if (!matches) continue;
    return {rule["action"].get<std::string>(),
            fmt::format("Pod {}/{} failed with exit code {} matching {} rule at index {}",
                        NamespaceOf(pod), NameOf(pod), code, rule["action"].get<std::string>(), i)};
  }
  return {"Count", ""};
}

bool IsSucceeded(const Json& pod) { return PhaseOf(pod) == "Succeeded"; }
bool IsFailed(const Json& pod) { return PhaseOf(pod) == "Failed"; }
bool IsReadyAndActive(const Json& pod) { return IsActive(pod) && IsReady(pod); }
bool IsStillTerminating(const Json& pod) { return IsTerminating(pod) && !HasEnded(pod); }

}  // namespace

bool FakeCluster::ReconcileJobs() {
  bool changed = false;
  for (const Json& job : server_.All("jobs")) changed = ReconcileJob(job) || changed;
  return changed;
}

bool FakeCluster::ReconcileJob(const Json& job) {
  if (job["metadata"].contains("deletionTimestamp") || HasCondition(job, "Complete") ||
      HasCondition(job, "Failed")) {
    return false;
  }
  const Json pods = PodsOf(NamespaceOf(job), NameOf(job));
  if (HasCondition(job, "FailureTarget")) return FailJob(job, pods, {}, {});
  int counted = 0;
  for (const Json& pod : pods) {
    if (!IsFailed(pod)) continue;
    const auto [action, why] = Judge(job, pod);
    if (action == "FailJob") return FailJob(job, pods, "PodFailurePolicy", why);
    counted += action == "Ignore" ? 0 : 1;
  }
  if (counted > job["spec"].value("backoffLimit", 6)) {
    return FailJob(job, pods, "BackoffLimitExceeded",
                   "Job has reached the specified backoff limit");
  }
  if (job["spec"].value("suspend", false)) {
    const bool deleted = DeletePods(pods);
    return SetJobStatus(job, Json::array({{{"type", "Suspended"}, {"status", "True"}}})) || deleted;
  }
  if (Count(pods, IsSucceeded) >= job["spec"].value("completions", 1)) {
    Json conditions = Json::array();
    for (const char* type : {"SuccessCriteriaMet", "Complete"}) {
      conditions.push_back({{"type", type}, {"status", "True"}, {"lastTransitionTime", Now()}});
    }
    return SetJobStatus(job, conditions);
  }
  const bool created = CreatePods(job, pods);
  return SetJobStatus(job, Json::array()) || created;
}

// The target first; the end when the last pod has ended. An empty reason: the target is set
// already.
bool FakeCluster::FailJob(const Json& job, const Json& pods, const std::string& reason,
                          const std::string& message) {
  Json conditions = job.value(Json::json_pointer("/status/conditions"), Json::array());
  if (!reason.empty()) {
    conditions = Json::array({{{"type", "FailureTarget"},
                               {"status", "True"},
                               {"reason", reason},
                               {"message", message},
                               {"lastTransitionTime", Now()}}});
  }
  const bool deleted = DeletePods(pods);
  if (!deleted && std::all_of(pods.begin(), pods.end(), HasEnded)) {
    Json failed = conditions.front();
    failed["type"] = "Failed";
    failed["lastTransitionTime"] = Now();
    conditions.push_back(failed);
  }
  return SetJobStatus(job, conditions) || deleted;
}

// A pod for each index that has neither succeeded nor a pod that is not over yet.
bool FakeCluster::CreatePods(const Json& job, const Json& pods) {
  std::set<int> taken;
  for (const Json& pod : pods) {
    if (!IsFailed(pod)) taken.insert(IndexOf(pod));
  }
  int room = job["spec"].value("parallelism", 1) - Count(pods, IsActive);
  bool changed = false;
  for (int index = 0; index < job["spec"].value("completions", 1) && room > 0; ++index) {
    if (taken.contains(index)) continue;
    CreatePod(job, index);
    changed = true;
    --room;
  }
  return changed;
}

void FakeCluster::CreatePod(const Json& job, int index) {
  const std::string name = NameOf(job);
  const std::string number = std::to_string(index);
  Json pod = PodFrom(job, fmt::format("{}-{}-{:05x}", name, index, next_pod_++));
  Json& meta = pod["metadata"];
  meta["annotations"][kIndex] = number;
  meta["labels"][kIndex] = number;
  meta["labels"]["batch.kubernetes.io/job-name"] = name;
  meta["labels"]["batch.kubernetes.io/controller-uid"] = job["metadata"]["uid"];
  pod["spec"]["hostname"] = fmt::format("{}-{}", name, index);
  server_.Put(OwnedBy(std::move(pod), job));
}

bool FakeCluster::DeletePods(const Json& pods) {
  bool changed = false;
  for (const Json& pod : pods) {
    if (!IsActive(pod)) continue;
    changed = server_.Delete("pods", NamespaceOf(pod), NameOf(pod)) || changed;
  }
  return changed;
}

bool FakeCluster::SetJobStatus(const Json& job, const Json& conditions) {
  const std::string ns = NamespaceOf(job);
  const std::string name = NameOf(job);
  // As it is by now: the caller may have created or deleted some.
  const Json now = PodsOf(ns, name);
  Json status = {{"active", Count(now, IsActive)},
                 {"ready", Count(now, IsReadyAndActive)},
                 {"succeeded", Count(now, IsSucceeded)},
                 {"failed", Count(now, IsFailed)},
                 {"terminating", Count(now, IsStillTerminating)},
                 {"startTime", job["metadata"]["creationTimestamp"]},
                 {"conditions", conditions}};
  if (job.value("status", Json::object()) == status) return false;
  return !server_.Patch("jobs", ns, name, {{"status", status}}).is_null();
}

}  // namespace spillway::support
