#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/objects.h"

namespace spillway::support {

// Plays what runs in a cluster beside the API server: the garbage collector, the Job controller
// (Indexed Jobs), the Deployment controller, a greedy scheduler, the kubelets. Each acts only when
// it is called, on what is there at that moment, past faults and the log. Safe to use while others
// use the server; call it from one thread.
class FakeCluster {
 public:
  using Json = nlohmann::json;

  FakeCluster(FakeApiServer& server, Clock& clock) : server_(server), clock_(clock) {}

  // One round of each, in the order above. True if anything changed.
  bool Step();
  // Rounds until nothing changes any more.
  void Settle();

  // --- one by one; true if it changed anything ---

  // Creates the pods of Indexed Jobs (parallelism; a pod for each index that has none; replacements
  // only of pods that failed and do not count, or are gone), keeps the counts of their status, and
  // ends them: FailureTarget at the first failure that counts beyond backoffLimit or that a
  // podFailurePolicy rule says, Failed once their pods have ended, Complete when each index
  // succeeded. Suspended Jobs lose their pods.
  bool ReconcileJobs();
  // Makes the pods of Deployments, owned by a ReplicaSet for each template, and keeps their status:
  // the counts (available is ready: no minReadySeconds), observedGeneration and the condition
  // Progressing, which becomes False when progressDeadlineSeconds have gone by. Of surplus pods
  // those go first that are not bound, then not ready, then the youngest. A changed template is
  // rolled out within maxSurge and maxUnavailable, each call as far as the pods that are ready
  // allow; Terminating pods do not count, and replicas that are added meanwhile get the new
  // template. Failed pods stay and are replaced.
  bool ReconcileDeployments();
  // Binds pending pods, by name, each to the first node by name that fits: selector, required node
  // affinity, taints, cordon, requests. The others get PodScheduled=False.
  bool SchedulePods();
  // On nodes whose kubelet runs: bound pods become Running, and Ready unless they are held or the
  // node is not; Terminating ones go.
  bool RunKubelets();
  // Removes pods whose node is gone, as the pod collector does after 40 s.
  bool CollectOrphanPods();

  // --- what happens to pods and nodes ---

  // Ends a pod: Succeeded for 0, else Failed, its first container with this exit code and message.
  void FinishPod(const std::string& ns, const std::string& name, int exit_code,
                 const std::string& message = {});
  // Ends all Running pods of a Job. How many.
  int FinishJob(const std::string& ns, const std::string& job, int exit_code = 0);
  // From the kubelets' next round on, pods for which this holds run without being Ready, as if
  // their model were still loading or their probe failed; null: none.
  void HoldReadiness(std::function<bool(const Json& pod)> held);
  // As the node controller shows it: the Ready condition (True, False, Unknown) and its taints; the
  // pods of a node that is not Ready are not either.
  void SetReady(const std::string& node, const std::string& status);
  void Cordon(const std::string& node, bool cordoned = true);
  // Its pods stay as they are, Terminating ones too.
  void StopKubelet(const std::string& node);
  void StartKubelet(const std::string& node);

  // --- looking ---

  // The pods of a Job, by name.
  [[nodiscard]] std::vector<Json> PodsOf(const std::string& ns, const std::string& job) const;
  // Names of the nodes that they are bound to, sorted, each once.
  [[nodiscard]] std::vector<std::string> NodesOf(const std::string& ns,
                                                 const std::string& job) const;
  // The pods of a Deployment, of all its templates, Terminating and failed ones too, by name.
  [[nodiscard]] std::vector<Json> ReplicasOf(const std::string& ns,
                                             const std::string& deployment) const;

 private:
  bool ReconcileJob(const Json& job);
  bool FailJob(const Json& job, const Json& pods, const std::string& reason,
               const std::string& message);
  bool CreatePods(const Json& job, const Json& pods);
  void CreatePod(const Json& job, int index);
  bool DeletePods(const Json& pods);
  bool SetJobStatus(const Json& job, const Json& conditions);
  bool ReconcileDeployment(const Json& deployment);
  bool SetDeploymentStatus(const Json& deployment, const Json& set, bool begins);
  void BindOrExplain(const Json& pod, const std::vector<Json>& nodes);
  [[nodiscard]] bool Fits(const Json& pod, const Json& node) const;
  bool RunPod(const Json& pod, const Json& node);
  void StartPod(const Json& pod, bool ready);
  bool SetPodReady(const Json& pod, bool ready);
  [[nodiscard]] std::vector<Json> ChildrenOf(const Json& owner, const std::string& plural) const;
  [[nodiscard]] std::string Now() const { return FormatTime(clock_.Now()); }

  FakeApiServer& server_;
  Clock& clock_;
  std::set<std::string> dead_kubelets_;
  std::function<bool(const Json& pod)> held_;
  int next_pod_ = 0;
};

}  // namespace spillway::support
