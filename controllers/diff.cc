#include "controllers/diff.h"

#include <algorithm>

#include "controllers/names.h"
#include "controllers/placement_record.h"
#include "controllers/render.h"

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
      KeepCompanions();
      StartAttempt();
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
    write.deletion.grace_seconds = grace_seconds;
    writes_.push_back(std::move(write));
  }
  void Delete(const kube::Resource& resource, const kube::MetaOnly* object) {
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
    const auto carried = DecodeRecord(record->second);
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

  // Creates what is missing; applies what was rendered from something else.
  void Keep(const kube::Resource& resource, const kube::MetaOnly* existing,
            const std::string& revision, std::string (*render)(const RenderInput&)) {
    const bool there = existing != nullptr;
    if (there && existing->meta.deleted) return;
    if (there) {
      const auto carried = existing->meta.annotations.find(kRevisionAnnotation);
      if (carried != existing->meta.annotations.end() && carried->second == revision) return;
    }
    std::string body = render(Rendering());
    if (there) body = WithUid(std::move(body), existing->meta.uid);
    const std::string& uid = input_.pool->meta.uid;
    writes_.push_back({there ? Write::Verb::kApply : Write::Verb::kCreate,
                       &resource,
                       input_.pool->meta.ns,
                       TrainServiceName(input_.pool->meta.name),
                       std::move(body),
                       uid,
                       {}});
  }

  // The precondition that what is applied to is what was looked at.
  static std::string WithUid(std::string body, const std::string& uid) {
    const std::string metadata = "\"metadata\":{";
    body.insert(body.find(metadata) + metadata.size(), "\"uid\":\"" + uid + "\",");
    return body;
  }

  void KeepCompanions() {
    if (decision_.memory.placement->workers > 1) {
      Keep(kube::ServiceResource(), input_.service, ServiceRevision(Rendering()), RenderService);
    }
    Keep(kube::PodDisruptionBudgetResource(), input_.disruption_budget,
         DisruptionBudgetRevision(Rendering()), RenderDisruptionBudget);
  }

  void StartAttempt() {
    if (!decision_.may_start || input_.group == nullptr) return;
    const std::string name =
        TrainJobName(input_.pool->meta.name, decision_.memory.placement->attempt);
    const bool there = std::any_of(input_.jobs.begin(), input_.jobs.end(),
                                   [&](const kube::Job* job) { return job->meta.name == name; });
    if (there) return;
    writes_.push_back({Write::Verb::kCreate,
                       &kube::JobResource(),
                       input_.pool->meta.ns,
                       name,
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

}  // namespace spillway::controllers
