// Where the kinds of job.h are served.

#include "kube/types/job.h"

namespace spillway::kube {

const Resource& JobResource() {
  static const Resource kJob{"batch", "v1", "jobs", "Job", true};
  return kJob;
}

const Resource& ServiceResource() {
  static const Resource kService{"", "v1", "services", "Service", true};
  return kService;
}

const Resource& PodDisruptionBudgetResource() {
  static const Resource kBudget{"policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget",
                                true};
  return kBudget;
}

const Resource& PriorityClassResource() {
  static const Resource kClass{"scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass",
                               false};
  return kClass;
}

const Resource& LeaseResource() {
  static const Resource kLease{"coordination.k8s.io", "v1", "leases", "Lease", true};
  return kLease;
}

const Resource& EventResource() {
  static const Resource kEvent{"events.k8s.io", "v1", "events", "Event", true};
  return kEvent;
}

}  // namespace spillway::kube
