#include "tests/support/fake_cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kube/types/node.h"
#include "kube/types/pod.h"
#include "tests/support/fake_cluster_state.h"

namespace spillway::support {
namespace {

using Json = nlohmann::json;

constexpr int kMostRounds = 1000;

bool Contains(const Json& list, const Json& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

kube::Pod FactsOfPod(const Json& pod) {
  kube::JsonParser parser;
  kube::Pod facts;
  const Status done = kube::DecodePod(parser.Parse(pod.dump()).value(), "spillway.dev/", facts);
  if (!done) throw std::invalid_argument(NameOf(pod) + ": " + done.error().message);
  return facts;
}

kube::Node FactsOfNode(const Json& node) {
  kube::JsonParser parser;
  kube::Node facts;
  const Status done = kube::DecodeNode(parser.Parse(node.dump()).value(), "spillway.dev/", facts);
  if (!done) throw std::invalid_argument(NameOf(node) + ": " + done.error().message);
  return facts;
}

bool Holds(const Json& expression, const Json& labels) {
  const auto key = expression["key"].get<std::string>();
  const std::string how = expression.value("operator", "In");
  const bool has = labels.contains(key);
  if (how == "Exists") return has;
  if (how == "DoesNotExist") return !has;
  const bool in = has && Contains(expression.value("values", Json::array()), labels[key]);
  return how == "In" ? in : !in;
}

bool TermHolds(const Json& term, const Json& node) {
  const Json labels = node["metadata"].value("labels", Json::object());
  for (const Json& one : term.value("matchExpressions", Json::array())) {
    if (!Holds(one, labels)) return false;
  }
  const Json fields = {{"metadata.name", NameOf(node)}};
  for (const Json& one : term.value("matchFields", Json::array())) {
    if (!Holds(one, fields)) return false;
  }
  return true;
}

bool Selects(const Json& pod, const Json& node) {
  const Json selector = pod["spec"].value("nodeSelector", Json::object());
  const Json labels = node["metadata"].value("labels", Json::object());
  for (const auto& [key, value] : selector.items()) {
    if (labels.value(key, Json()) != value) return false;
  }
  const Json terms = pod["spec"].value(
      Json::json_pointer("/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/"
                         "nodeSelectorTerms"),
      Json::array());
  return terms.empty() || std::any_of(terms.begin(), terms.end(),
                                      [&](const Json& term) { return TermHolds(term, node); });
}

bool Tolerates(const Json& pod, const kube::Taint& taint) {
  if (taint.effect == "PreferNoSchedule") return true;
  const Json tolerations = pod["spec"].value("tolerations", Json::array());
  return std::any_of(tolerations.begin(), tolerations.end(), [&](const Json& one) {
    const std::string key = one.value("key", "");
    const std::string effect = one.value("effect", "");
    if (!key.empty() && key != taint.key) return false;
    if (!effect.empty() && effect != taint.effect) return false;
    return one.value("operator", "Equal") == "Exists" || one.value("value", "") == taint.value;
  });
}

Json Condition(const char* type, const std::string& status, const std::string& time,
               const char* reason = "", const std::string& message = {}) {
  return {{"type", type},
          {"status", status},
          {"reason", reason},
          {"message", message},
          {"lastTransitionTime", time}};
}

}  // namespace

std::string TextAt(const Json& object, const char* pointer) {
  return object.value(Json::json_pointer(pointer), std::string());
}
std::string NameOf(const Json& object) { return TextAt(object, "/metadata/name"); }
std::string NamespaceOf(const Json& object) { return TextAt(object, "/metadata/namespace"); }
std::string OwnerUidOf(const Json& object) {
  return TextAt(object, "/metadata/ownerReferences/0/uid");
}

std::string PhaseOf(const Json& pod) { return TextAt(pod, "/status/phase"); }
bool HasEnded(const Json& pod) { return PhaseOf(pod) == "Succeeded" || PhaseOf(pod) == "Failed"; }
bool IsTerminating(const Json& object) { return object["metadata"].contains("deletionTimestamp"); }
bool IsActive(const Json& pod) { return !HasEnded(pod) && !IsTerminating(pod); }
bool IsReady(const Json& object) {
  const Json condition = ConditionOf(object, "Ready");
  return !condition.is_null() && condition["status"] == "True";
}

Json ConditionOf(const Json& object, const std::string& type) {
  const Json all = object.value(Json::json_pointer("/status/conditions"), Json::array());
  const auto at =
      std::find_if(all.begin(), all.end(), [&](const Json& one) { return one["type"] == type; });
  return at == all.end() ? Json() : *at;
}

Json PodFrom(const Json& owner, const std::string& name) {
  Json pod = owner["spec"]["template"];
  pod["apiVersion"] = "v1";
  pod["kind"] = "Pod";
  pod["metadata"]["name"] = name;
  pod["metadata"]["namespace"] = owner["metadata"]["namespace"];
  pod["status"] = {{"phase", "Pending"}};
  return pod;
}

bool FakeCluster::Step() {
  bool changed = server_.CollectGarbage() > 0;
  changed = ReconcileJobs() || changed;
  changed = ReconcileDeployments() || changed;
  changed = SchedulePods() || changed;
  return RunKubelets() || changed;
}

void FakeCluster::Settle() {
  for (int round = 0; round < kMostRounds; ++round) {
    if (!Step()) return;
  }
  throw std::logic_error("the fake cluster does not settle");
}

// --- the scheduler ---

bool FakeCluster::SchedulePods() {
  const std::vector<Json> nodes = server_.All("nodes");
  const int64_t before = server_.version();
  for (const Json& pod : server_.All("pods")) {
    const bool waits =
        TextAt(pod, "/spec/nodeName").empty() && PhaseOf(pod) == "Pending" && !IsTerminating(pod);
    if (waits) BindOrExplain(pod, nodes);
  }
  return server_.version() != before;
}

void FakeCluster::BindOrExplain(const Json& pod, const std::vector<Json>& nodes) {
  const auto node =
      std::find_if(nodes.begin(), nodes.end(), [&](const Json& one) { return Fits(pod, one); });
  if (node != nodes.end()) {
    server_.Patch(
        "pods", NamespaceOf(pod), NameOf(pod),
        {{"spec", {{"nodeName", NameOf(*node)}}},
         {"status", {{"conditions", Json::array({Condition("PodScheduled", "True", Now())})}}}});
    return;
  }
  const Json known = pod.value(Json::json_pointer("/status/conditions"), Json::array());
  Json why = Condition("PodScheduled", "False", Now(), "Unschedulable",
                       fmt::format("0/{} nodes are available", nodes.size()));
  if (!known.empty()) why["lastTransitionTime"] = known[0]["lastTransitionTime"];
  server_.Patch("pods", NamespaceOf(pod), NameOf(pod),
                {{"status", {{"conditions", Json::array({why})}}}});
}

bool FakeCluster::Fits(const Json& pod, const Json& node) const {
  const kube::Node facts = FactsOfNode(node);
  if (facts.unschedulable || !Selects(pod, node)) return false;
  for (const kube::Taint& taint : facts.taints) {
    if (!Tolerates(pod, taint)) return false;
  }
  Resources free = facts.allocatable;
  const auto is_here = [&](const Json& other) {
    return TextAt(other, "/spec/nodeName") == facts.meta.name;
  };
  for (const Json& other : server_.All("pods", {}, is_here)) {
    const kube::Pod other_facts = FactsOfPod(other);
    if (other_facts.UsesNode()) free.Subtract(other_facts.requests);
  }
  return free.Covers(FactsOfPod(pod).requests);
}

// --- kubelets ---

bool FakeCluster::RunKubelets() {
  bool changed = false;
  for (const Json& pod : server_.All("pods")) {
    const std::string name = TextAt(pod, "/spec/nodeName");
    const auto node = server_.Get("nodes", "", name);
    if (name.empty() || dead_kubelets_.contains(name) || !node) continue;
    changed = RunPod(pod, *node) || changed;
  }
  return changed;
}

bool FakeCluster::RunPod(const Json& pod, const Json& node) {
  if (IsTerminating(pod)) return server_.Remove("pods", NamespaceOf(pod), NameOf(pod));
  const bool ready = IsReady(node) && !(held_ && held_(pod));
  if (PhaseOf(pod) == "Running") return SetPodReady(pod, ready);
  if (PhaseOf(pod) != "Pending") return false;
  StartPod(pod, ready);
  return true;
}

void FakeCluster::StartPod(const Json& pod, bool ready) {
  Json statuses = Json::array();
  for (const Json& container : pod["spec"]["containers"]) {
    statuses.push_back({{"name", container["name"]},
                        {"ready", ready},
                        {"state", {{"running", {{"startedAt", Now()}}}}}});
  }
  const Json conditions = Json::array({Condition("PodScheduled", "True", Now()),
                                       Condition("Ready", ready ? "True" : "False", Now())});
  server_.Patch("pods", NamespaceOf(pod), NameOf(pod),
                {{"status",
                  {{"phase", "Running"},
                   {"startTime", Now()},
                   {"conditions", conditions},
                   {"containerStatuses", statuses}}}});
}

// Nothing where the pod has no such condition: a test made it as it is.
bool FakeCluster::SetPodReady(const Json& pod, bool ready) {
  if (ConditionOf(pod, "Ready").is_null() || IsReady(pod) == ready) return false;
  Json conditions = pod["status"]["conditions"];
  for (Json& condition : conditions) {
    if (condition["type"] != "Ready") continue;
    condition["status"] = ready ? "True" : "False";
    condition["lastTransitionTime"] = Now();
  }
  return !server_
              .Patch("pods", NamespaceOf(pod), NameOf(pod),
                     {{"status", {{"conditions", conditions}}}})
              .is_null();
}

void FakeCluster::HoldReadiness(std::function<bool(const Json& pod)> held) {
  held_ = std::move(held);
}

bool FakeCluster::CollectOrphanPods() {
  bool changed = false;
  for (const Json& pod : server_.All("pods")) {
    const std::string node = TextAt(pod, "/spec/nodeName");
    if (node.empty() || server_.Get("nodes", "", node)) continue;
    changed = server_.Remove("pods", NamespaceOf(pod), NameOf(pod)) || changed;
  }
  return changed;
}

void FakeCluster::FinishPod(const std::string& ns, const std::string& name, int exit_code,
                            const std::string& message) {
  const auto pod = server_.Get("pods", ns, name);
  if (!pod) return;
  Json statuses = Json::array();
  int code = exit_code;
  for (const Json& container : (*pod)["spec"]["containers"]) {
    statuses.push_back({{"name", container["name"]},
                        {"ready", false},
                        {"state",
                         {{"terminated",
                           {{"exitCode", code},
                            {"reason", code == 0 ? "Completed" : "Error"},
                            {"message", statuses.empty() ? message : ""},
                            {"finishedAt", Now()}}}}}});
    code = 0;
  }
  const Json conditions = Json::array(
      {Condition("PodScheduled", "True", Now()),
       Condition("Ready", "False", Now(), exit_code == 0 ? "PodCompleted" : "PodFailed")});
  server_.Patch("pods", ns, name,
                {{"status",
                  {{"phase", exit_code == 0 ? "Succeeded" : "Failed"},
                   {"conditions", conditions},
                   {"containerStatuses", statuses}}}});
}

int FakeCluster::FinishJob(const std::string& ns, const std::string& job, int exit_code) {
  int ended = 0;
  for (const Json& pod : PodsOf(ns, job)) {
    if (PhaseOf(pod) != "Running") continue;
    FinishPod(ns, NameOf(pod), exit_code);
    ++ended;
  }
  return ended;
}

// --- nodes ---

void FakeCluster::SetReady(const std::string& node, const std::string& status) {
  const auto known = server_.Get("nodes", "", node);
  if (!known) return;
  Json taints = Json::array();
  for (const Json& taint : known->value(Json::json_pointer("/spec/taints"), Json::array())) {
    const std::string key = taint.value("key", "");
    if (key != "node.kubernetes.io/not-ready" && key != "node.kubernetes.io/unreachable") {
      taints.push_back(taint);
    }
  }
  if (status != "True") {
    const char* key =
        status == "False" ? "node.kubernetes.io/not-ready" : "node.kubernetes.io/unreachable";
    for (const char* effect : {"NoSchedule", "NoExecute"}) {
      taints.push_back({{"key", key}, {"effect", effect}});
    }
  }
  Json conditions = known->value(Json::json_pointer("/status/conditions"), Json::array());
  for (Json& condition : conditions) {
    if (condition["type"] != "Ready" || condition["status"] == status) continue;
    condition["status"] = status;
    condition["lastTransitionTime"] = Now();
  }
  server_.Patch("nodes", "", node,
                {{"spec", {{"taints", taints}}}, {"status", {{"conditions", conditions}}}});
  if (status == "True") return;
  for (const Json& pod : server_.All("pods")) {
    if (TextAt(pod, "/spec/nodeName") == node) SetPodReady(pod, false);
  }
}

void FakeCluster::Cordon(const std::string& node, bool cordoned) {
  server_.Patch("nodes", "", node, {{"spec", {{"unschedulable", cordoned}}}});
}

void FakeCluster::StopKubelet(const std::string& node) { dead_kubelets_.insert(node); }
void FakeCluster::StartKubelet(const std::string& node) { dead_kubelets_.erase(node); }

// --- looking ---

std::vector<FakeCluster::Json> FakeCluster::ChildrenOf(const Json& owner,
                                                       const std::string& plural) const {
  const std::string uid = TextAt(owner, "/metadata/uid");
  return server_.All(plural, NamespaceOf(owner),
                     [&](const Json& child) { return OwnerUidOf(child) == uid; });
}

std::vector<FakeCluster::Json> FakeCluster::PodsOf(const std::string& ns,
                                                   const std::string& job) const {
  const auto owner = server_.Get("jobs", ns, job);
  return owner ? ChildrenOf(*owner, "pods") : std::vector<Json>();
}

std::vector<FakeCluster::Json> FakeCluster::ReplicasOf(const std::string& ns,
                                                       const std::string& deployment) const {
  std::vector<Json> replicas;
  const auto owner = server_.Get("deployments", ns, deployment);
  if (!owner) return replicas;
  for (const Json& set : ChildrenOf(*owner, "replicasets")) {
    for (Json& pod : ChildrenOf(set, "pods")) replicas.push_back(std::move(pod));
  }
  return replicas;
}

std::vector<std::string> FakeCluster::NodesOf(const std::string& ns, const std::string& job) const {
  std::set<std::string> nodes;
  for (const Json& pod : PodsOf(ns, job)) {
    const std::string node = TextAt(pod, "/spec/nodeName");
    if (!node.empty()) nodes.insert(node);
  }
  return {nodes.begin(), nodes.end()};
}

}  // namespace spillway::support
