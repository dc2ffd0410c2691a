#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "placement/plan.h"
#include "worlds.h"

// A cluster in which one plan after the other is carried out, as the operator and Kubernetes would:
// the same seed gives the same cluster, and the same things happen in it.
namespace spillway::tests {

class Cluster {
 public:
  Cluster(placement::Snapshot world, uint32_t seed);

  [[nodiscard]] const placement::Snapshot& World() const { return world_; }

  // The plan of the present world is carried out. The clock goes on to where it asks to be woken,
  // or for a second or a few minutes, and no further than until pods are gone that are told to
  // stop; meanwhile pods are bound, run and go, nodes that were asked for come, and those that were
  // given back go. With `trouble`, something may happen from outside:
  // nodes fail and come back, are cordoned or deleted, programs fail or end, and people change what
  // they want and what it costs.
  void Follow(const placement::Plan& plan, bool trouble);

 private:
  // ---- the operator's part ----
  void ScaleTargets(const placement::Snapshot& before);
  void ReleaseNodes(const placement::Snapshot& before);

  void Wait(const placement::Plan& plan);
  // Pods that nobody wants any more are told so. Says whether any of them can hear it.
  bool TellToStop();

  // ---- workers ----
  void Settle(placement::TrainingPool& pool);
  void StopOld(placement::TrainingPool& pool);
  void Start(placement::TrainingPool& pool);
  void Run(placement::TrainingPool& pool);
  void End(placement::TrainingPool& pool);

  // ---- replicas ----
  void Settle(placement::InferencePool& pool);
  void StopReplicas(placement::InferencePool& pool);
  void Roll(placement::InferencePool& pool);
  void StartReplicas(placement::InferencePool& pool, const placement::CellFacts& cell);
  void Run(placement::InferencePool& pool);

  // ---- nodes ----
  void LetNodesComeAndGo();
  void Deliver(const placement::NodeGroup& group, int nodes);
  void Heal();
  void Fail(placement::Node& node);

  // ---- what happens from outside ----
  void Hear();
  void Trouble();
  void TroubleNodes();
  void TroublePools();
  void ChangeSpecs();
  void AddPool();
  void DeletePool();

  placement::Node* FindNode(const std::string& name);
  const placement::NodeGroup* FindGroup(const std::string& name);
  // Its pods' requests are its node's no more.
  template <class Pod>
  void TakeOff(const Pod& pod);
  // Has the pod, which was told to stop, done so? Where nobody can reach it, it is still there.
  bool IsGone(const std::string& pod, const std::string& node);
  // Binds a pod that asks for so much to the node, if that takes it.
  bool Bind(const placement::TrainingPool& pool, const placement::NodeGroup& group,
            const Resources& request, placement::Node& node);

  Dice dice_;
  placement::Snapshot world_;
  std::map<std::string, Time> told_;      // when pods were told to stop
  std::map<std::string, Time> back_;      // when nodes that are NotReady are ready again
  std::map<std::string, bool> in_stock_;  // by group
  int made_ = 0;                          // names that were given
};

}  // namespace spillway::tests
