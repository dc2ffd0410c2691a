#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/clock.h"
#include "controllers/families.h"
#include "controllers/observe_nodes.h"
#include "controllers/settings.h"
#include "controllers/status.h"
#include "controllers/stores.h"
#include "controllers/templates.h"
#include "placement/snapshot.h"

namespace spillway::controllers {

struct ObserveInput {
  Time now{};
  const Settings* settings = nullptr;
  std::string render_revision;
  // The API server's answer about a template; called once for each.
  std::function<TemplateAnswer(const TemplateSubject&)> ask_template;
  // Sentences about names that are taken, by pool uid.
  const std::map<std::string, std::string>* name_conflicts = nullptr;
  // How many replicas the targets of elastic groups were last seen to have, by group uid; nullptr:
  // nobody has looked.
  const std::map<std::string, TargetState>* targets = nullptr;
};

// Turns Kubernetes' words into ours; this happens here and nowhere else. Pure but for ask_template.
// `families`: of `world`.
placement::Snapshot Observe(const World& world, const Families& families,
                            const ObserveInput& input);

// The same, moment after moment: what it gives equals what Observe does, whatever it was shown
// before.
class Observer {
 public:
  // Good until the next call to either.
  const placement::Snapshot& Observe(const World& world, const Families& families,
                                     const ObserveInput& input);
  // What it gave last, for whoever goes on with it. Its nodes are copied, as the next moment needs
  // them.
  placement::Snapshot HandOver();

 private:
  void KeepNodesAlone();

  placement::Snapshot snapshot_;
  NodeObserver nodes_;
};

// "MachineDeployment.cluster.x-k8s.io capi/a100": which object a NodeGroup scales, whatever the
// version that it names.
std::string TargetKey(const crds::v1alpha1::ScaleTarget& target);

// A pool's memory as its status has it.
placement::PoolMemory MemoryOf(const crds::v1alpha1::TrainingPoolStatus& status);
// Of the fields whose change takes effect at the next attempt.
std::string SpecRevision(const crds::v1alpha1::TrainingPoolSpec& spec);

}  // namespace spillway::controllers
