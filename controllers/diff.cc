#include "controllers/diff.h"

#include <algorithm>

#include "controllers/names.h"
#include "controllers/observe.h"
#include "controllers/placement_record.h"
#include "controllers/render.h"
#include "controllers/render_inference.h"

namespace spillway::controllers {
namespace {

using placement::PoolDecision;

class ChildrenDiff {
 public:
  explicit ChildrenDiff(const DiffInput& input) : input_(input), decision_(*input.decision) {}

  std::vector<Write> Run() {
    ForceDeletePods();
    DeleteJobs();
    if (Runs()) {
      // What stands in the way is looked at now and then, by a probe.
      if (input_.name_taken) return std::move(writes_);
      if (KeepCompanions()) StartAttempt();
    } else {
      Delete(kube::PodDisruptionBudgetResource(), input_.disruption_budget);
      Delete(kube::ServiceResource(), input_.service);
    }
    return std::move(writes_);
  }

 private:
  [[nodiscard]] bool Runs() const {
    return decision_.memory.placement.has_value() && !decision_.memory.completed;
  }

  void Delete(const kube::Resource& resource, const kube::ObjectMeta& meta, int grace_seconds) {
    if (meta.deleted && grace_seconds != 0) return;
    if (input_.deleted_uids->contains(meta.uid)) return;
    Write write{Write::Verb::kDelete, &resource, meta.ns, meta.name, {}, {}, {}};
    write.deletion.uid = meta.uid;
    // Whether a pod has to go is decided by its state; it may have come back meanwhile. Whatever
    // else has to go does so whatever its state is.
    if (&resource == &kube::PodResource()) write.deletion.resource_version = meta.resource_version;
    write.deletion.grace_seconds = grace_seconds;
    writes_.push_back(std::move(write));
  }
  void Delete(const kube::Resource& resource, const kube::Companion* object) {
    if (object != nullptr) Delete(resource, object->meta, -1);
  }

  void ForceDeletePods() {
    for (const kube::Pod* pod : input_.pods) {
      const auto& names = decision_.force_delete;
      if (std::find(names.begin(), names.end(), pod->meta.name) != names.end()) {
        Delete(kube::PodResource(), pod->meta, 0);
      }
    }
  }

  // A Job of another attempt, or one that a late writer left behind.
  [[nodiscard]] bool Superseded(const kube::Job& job) const {
    if (decision_.keep_job &&
        job.meta.name == TrainJobName(input_.pool->meta.name, *decision_.keep_job)) {
      return false;
    }
    if (!decision_.memory.placement) return true;
    const auto& placement = *decision_.memory.placement;
    if (job.meta.name != TrainJobName(input_.pool->meta.name, placement.attempt)) return true;
    const auto record = job.meta.annotations.find(kPlacementAnnotation);
    if (record == job.meta.annotations.end()) return false;
    const auto carried = DecodeRecord(record->second, *input_.parser);
    return carried && !Follows(*carried->placement, placement);
  }

  void DeleteJobs() {
    for (const kube::Job* job : input_.jobs) {
      if (Superseded(*job)) Delete(kube::JobResource(), job->meta, -1);
    }
  }

  [[nodiscard]] RenderInput Rendering() const {
    return {input_.pool, input_.group, decision_.memory, input_.hostnames};
  }

  // Creates what is missing; patches what was rendered from something else, or edited since: an
  // apply would take nothing away that another has added, and who says both how many must stay and
  // how many may go is refused.
  void Keep(const kube::Resource& resource, const kube::Companion* existing,
            const std::string& revision, std::string (*render)(const RenderInput&)) {
    Write::Verb verb = Write::Verb::kCreate;
    std::string body;
    if (existing == nullptr) {
      body = render(Rendering());
    } else {
      const bool as_rendered = StandingOf(*existing, revision) == Standing::kAsRendered;
      if (existing->meta.deleted || as_rendered) return;
      verb = Write::Verb::kPatch;
      body = PatchTo(render(Rendering()), existing->meta);
    }
    writes_.push_back({verb,
                       &resource,
                       input_.pool->meta.ns,
                       TrainServiceName(input_.pool->meta.name),
                       std::move(body),
                       input_.pool->meta.uid,
                       {}});
  }

  // False: the attempt has to wait for its Service.
  bool KeepCompanions() {
    const bool may_start = decision_.memory.placement->workers == 1 || KeepService();
    Keep(kube::PodDisruptionBudgetResource(), input_.disruption_budget,
         DisruptionBudgetRevision(Rendering()), RenderDisruptionBudget);
    return may_start;
  }

  // The port is the only thing in it that an edit of the pool changes. What runs keeps the port
  // that it was started with; before the next attempt starts, a Service of another one is made
  // anew. What somebody edited in it is brought back at any time: its port is that of the attempt.
  bool KeepService() {
    const kube::Companion* there = input_.service;
    const std::string revision = ServiceRevision(Rendering());
    const Standing standing =
        there == nullptr ? Standing::kAsRendered : StandingOf(*there, revision);
    const bool goes = there != nullptr && (there->meta.deleted || standing == Standing::kOther);
    if (goes && !Started()) {
      if (decision_.may_start) Delete(kube::ServiceResource(), there);
      return false;
    }
    if (standing != Standing::kOther || !Edited()) {
      Keep(kube::ServiceResource(), there, revision, RenderService);
    }
    return true;
  }

  // Has the spec been edited since the attempt was committed?
  [[nodiscard]] bool Edited() const {
    return decision_.memory.placement->spec_revision != SpecRevision(input_.pool->spec);
  }

  [[nodiscard]] std::string JobName() const {
    return TrainJobName(input_.pool->meta.name, decision_.memory.placement->attempt);
  }
  [[nodiscard]] bool Started() const {
    return std::any_of(input_.jobs.begin(), input_.jobs.end(),
                       [&](const kube::Job* job) { return job->meta.name == JobName(); });
  }

  void StartAttempt() {
    if (!decision_.may_start || input_.group == nullptr || Started()) return;
    writes_.push_back({Write::Verb::kCreate,
                       &kube::JobResource(),
                       input_.pool->meta.ns,
                       JobName(),
                       RenderJob(Rendering()),
                       input_.pool->meta.uid,
                       {}});
  }

  const DiffInput& input_;
  const PoolDecision& decision_;
  std::vector<Write> writes_;
};

}  // namespace

std::vector<Write> DiffChildren(const DiffInput& input) { return ChildrenDiff(input).Run(); }

std::vector<Write> CollectLeftovers(const kube::Resource& kind, const kube::ObjectMeta& pool,
                                    const std::vector<Leftover>& leftovers,
                                    const std::set<std::string>& deleted_uids) {
  std::vector<Write> writes;
  for (const Leftover& left : leftovers) {
    if (left.meta->deleted || deleted_uids.contains(left.meta->uid)) continue;
    Write write{Write::Verb::kCollect, left.resource, pool.ns, left.meta->name, {}, pool.uid, {}};
    write.deletion.uid = left.meta->uid;
    write.owner_kind = &kind;
    write.owner_name = pool.name;
    writes.push_back(std::move(write));
  }
  return writes;
}

}  // namespace spillway::controllers
