// The writes to the children of an inference pool.
#include <fmt/format.h>

#include <algorithm>

#include "controllers/diff.h"
#include "controllers/names.h"
#include "controllers/observe_inference.h"
#include "controllers/render.h"
#include "controllers/render_inference.h"

namespace spillway::controllers {
namespace {

using crds::v1alpha1::VariantSpec;
using placement::CellDecision;

class ServingDiff {
 public:
  explicit ServingDiff(const InferenceDiffInput& input)
      : input_(input), pool_(*input.pool), decision_(*input.decision) {}

  std::vector<Write> Run() {
    DeletePods();
    // What stands in the way is looked at now and then, by a probe; a paused pool is left alone.
    if (input_.name_taken || pool_.spec.paused) return std::move(writes_);
    if (Begun()) {
      KeepBudget();
      KeepServices();
    }
    for (const CellDecision& cell : decision_.cells) KeepCell(cell);
    DeleteStrangers();
    return std::move(writes_);
  }

  [[nodiscard]] std::vector<std::string> ScaledByOthers() const {
    std::vector<std::string> sentences;
    if (pool_.spec.paused) return sentences;
    for (const CellDecision& cell : decision_.cells) {
      const kube::Deployment* deployment = Find(cell);
      if (deployment == nullptr || deployment->replicas == cell.desired) continue;
      if (cell.desired != cell.before) continue;  // we have just decided otherwise
      sentences.push_back(fmt::format(
          "Deployment {} was scaled to {} by somebody else and is set back to {}: scale the pool, "
          "for example kubectl scale inferencepool/{} --replicas=N",
          deployment->meta.name, deployment->replicas, cell.desired, pool_.meta.name));
    }
    return sentences;
  }

 private:
  // Nothing is made for a pool that has not been decided once.
  [[nodiscard]] bool Begun() const {
    return decision_.memory.units.has_value() && pool_.status.units.has_value();
  }

  [[nodiscard]] const kube::Deployment* Find(const CellDecision& cell) const {
    const std::string name = CellName(pool_.meta.name, cell.variant, cell.node_group);
    for (const kube::Deployment* deployment : input_.deployments) {
      if (deployment->meta.name == name) return deployment;
    }
    return nullptr;
  }

  [[nodiscard]] const VariantSpec* FindVariant(const std::string& name) const {
    for (const VariantSpec& variant : pool_.spec.variants) {
      if (variant.name == name) return &variant;
    }
    return nullptr;
  }

  void Delete(const kube::Resource& resource, const kube::ObjectMeta& meta, int grace_seconds) {
    if ((meta.deleted && grace_seconds != 0) || input_.deleted_uids->contains(meta.uid)) return;
    Write write{Write::Verb::kDelete, &resource, meta.ns, meta.name, {}, {}, {}};
    write.deletion.uid = meta.uid;
    // Whether a pod has to go is decided by its state; it may have come back meanwhile. Whatever
    // else has to go does so whatever its state is.
    if (&resource == &kube::PodResource()) write.deletion.resource_version = meta.resource_version;
    write.deletion.grace_seconds = grace_seconds;
    writes_.push_back(std::move(write));
  }

  void DeletePods() {
    const auto among = [](const std::vector<std::string>& names, const std::string& name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    for (const kube::Pod* pod : input_.pods) {
      if (among(decision_.force_delete, pod->meta.name)) {
        Delete(kube::PodResource(), pod->meta, 0);
      } else if (among(decision_.evict, pod->meta.name)) {
        Delete(kube::PodResource(), pod->meta, -1);
      }
    }
  }

  void Put(Write::Verb verb, const kube::Resource& resource, const std::string& name,
           std::string body) {
    writes_.push_back({verb, &resource, pool_.meta.ns, name, std::move(body), pool_.meta.uid, {}});
  }

  // Creates what is missing; patches what was rendered from something else, or edited since.
  void Keep(const kube::Resource& resource, const kube::Companion* existing,
            const std::string& name, const std::string& revision, const std::string& rendered) {
    if (existing == nullptr) return Put(Write::Verb::kCreate, resource, name, rendered);
    if (existing->meta.deleted || StandingOf(*existing, revision) == Standing::kAsRendered) return;
    Put(Write::Verb::kPatch, resource, name, PatchTo(rendered, existing->meta));
  }

  void KeepBudget() {
    Keep(kube::PodDisruptionBudgetResource(), input_.disruption_budget, pool_.meta.name,
         ServingBudgetRevision(pool_), RenderServingBudget(pool_));
  }

  void KeepServices() {
    std::vector<const VariantSpec*> wanted = {nullptr};
    if (pool_.spec.routing_mode == "Weighted") {
      for (const VariantSpec& variant : pool_.spec.variants) wanted.push_back(&variant);
    }
    std::set<std::string> names;
    for (const VariantSpec* variant : wanted) {
      const std::string name =
          variant == nullptr ? pool_.meta.name : VariantServiceName(pool_.meta.name, variant->name);
      names.insert(name);
      const auto at = std::find_if(input_.services.begin(), input_.services.end(),
                                   [&](const auto* one) { return one->meta.name == name; });
      Keep(kube::ServiceResource(), at == input_.services.end() ? nullptr : *at, name,
           ServingServiceRevision(pool_, variant), RenderServingService(pool_, variant));
    }
    for (const kube::Companion* service : input_.services) {
      if (!names.contains(service->meta.name)) Delete(kube::ServiceResource(), service->meta, -1);
    }
  }

  // A Deployment follows its cell; what nothing is known of any more, or nothing can be made of,
  // keeps its template.
  void KeepCell(const CellDecision& cell) {
    const kube::Deployment* deployment = Find(cell);
    if (cell.desired == 0) {
      if (deployment != nullptr) Delete(kube::DeploymentResource(), deployment->meta, -1);
      return;
    }
    if (deployment != nullptr && deployment->meta.deleted) return;
    const auto group = input_.groups.find(cell.node_group);
    const VariantSpec* variant = FindVariant(cell.variant);
    const bool renderable = group != input_.groups.end() && variant != nullptr &&
                            !input_.refused.contains(cell.variant);
    if (deployment == nullptr) {
      if (!renderable) return;
      return Put(Write::Verb::kCreate, kube::DeploymentResource(),
                 CellName(pool_.meta.name, cell.variant, cell.node_group),
                 RenderDeployment(InputOf(cell, *variant, *group->second)));
    }
    if (Follows(*deployment, cell)) return;
    if (renderable) {
      return Put(Write::Verb::kPatch, kube::DeploymentResource(), deployment->meta.name,
                 PatchDeployment(InputOf(cell, *variant, *group->second), deployment->meta.uid,
                                 cell.roll));
    }
    Put(Write::Verb::kPatch, kube::DeploymentResource(), deployment->meta.name,
        PatchReplicas(deployment->meta.uid, cell.desired));
  }

  [[nodiscard]] CellInput InputOf(const CellDecision& cell, const VariantSpec& variant,
                                  const crds::v1alpha1::NodeGroup& group) const {
    return {&pool_, &variant, &group, cell.desired, cell.surge, cell.unavailable};
  }

  static bool Follows(const kube::Deployment& deployment, const CellDecision& cell) {
    const bool steps =
        deployment.max_surge == cell.surge && deployment.max_unavailable == cell.unavailable;
    return !cell.roll && deployment.replicas == cell.desired && steps;
  }

  // Left from a cell that the pool does not know, or made by a late writer.
  void DeleteStrangers() {
    for (const kube::Deployment* deployment : input_.deployments) {
      const bool known =
          std::any_of(decision_.cells.begin(), decision_.cells.end(),
                      [&](const CellDecision& cell) { return Find(cell) == deployment; });
      if (!known) Delete(kube::DeploymentResource(), deployment->meta, -1);
    }
  }

  const InferenceDiffInput& input_;
  const crds::v1alpha1::InferencePool& pool_;
  const placement::InferenceDecision& decision_;
  std::vector<Write> writes_;
};

}  // namespace

std::vector<Write> DiffChildren(const InferenceDiffInput& input) {
  return ServingDiff(input).Run();
}

std::vector<std::string> ScaledByOthers(const InferenceDiffInput& input) {
  return ServingDiff(input).ScaledByOthers();
}

}  // namespace spillway::controllers
