#include "operator/cli/live.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <optional>
#include <set>

#include "controllers/applier.h"
#include "controllers/names.h"
#include "controllers/observe.h"
#include "controllers/render.h"
#include "controllers/stores.h"
#include "controllers/templates.h"
#include "kube/client.h"
#include "placement/plan.h"

namespace spillway::cli {
namespace {

using controllers::TemplateAnswer;
namespace v1alpha1 = crds::v1alpha1;

template <class T, class Decode>
Status Fill(kube::Client& client, const kube::Resource& resource, const std::string& selector,
            Decode decode, kube::Store<T>& store) {
  kube::ListOptions options;
  options.label_selector = selector;
  auto objects = ListAll<T>(client, resource, options, decode);
  if (!objects) return std::move(objects).error();
  std::vector<std::shared_ptr<const T>> shared;
  for (T& object : *objects) shared.push_back(store.Share(std::move(object)));
  store.Replace(std::move(shared), "1");
  return Ok{};
}

Status FillAll(kube::Client& client, controllers::Stores& stores) {
  const std::string ours =
      std::string(controllers::kManagedByLabel) + "=" + controllers::kManagedBy;
  kube::PodKeeper keeper(controllers::kPrefix);
  const auto pod = [&keeper](kube::JsonValue value, kube::KeptPod& out) {
    return keeper.Read(value, out);
  };
  const auto node = [](kube::JsonValue value, kube::Node& out) {
    return kube::DecodeNode(value, controllers::kPrefix, out);
  };
  Status done = Fill(client, kube::NodeResource(), "", node, stores.nodes);
  if (done) done = Fill(client, kube::PodResource(), "", pod, stores.pods);
  if (done) done = Fill(client, kube::JobResource(), ours, kube::DecodeJob, stores.jobs);
  if (done) {
    done =
        Fill(client, kube::DeploymentResource(), ours, kube::DecodeDeployment, stores.deployments);
  }
  if (done) {
    done = Fill(client, kube::ServiceResource(), ours, kube::DecodeCompanion, stores.services);
  }
  if (done) {
    done = Fill(client, kube::PodDisruptionBudgetResource(), ours, kube::DecodeCompanion,
                stores.disruption_budgets);
  }
  if (done) {
    done = Fill(client, kube::PriorityClassResource(), "", kube::DecodePriorityClass,
                stores.priority_classes);
  }
  if (done) {
    done = Fill(client, v1alpha1::NodeGroupResource(), "", v1alpha1::DecodeNodeGroup,
                stores.node_groups);
  }
  if (done) {
    done = Fill(client, v1alpha1::TrainingPoolResource(), "", v1alpha1::DecodeTrainingPool,
                stores.training_pools);
  }
  if (done) {
    done = Fill(client, v1alpha1::InferencePoolResource(), "", v1alpha1::DecodeInferencePool,
                stores.inference_pools);
  }
  if (done) {
    done = Fill(client, v1alpha1::PoolQuotaResource(), "", v1alpha1::DecodePoolQuota,
                stores.pool_quotas);
  }
  return done;
}

TemplateAnswer AskNow(kube::Client& client, const controllers::TemplateSubject& subject) {
  if (std::string refusal = controllers::RefuseTemplate(subject); !refusal.empty()) {
    return {TemplateAnswer::State::kInvalid, {}, std::move(refusal)};
  }
  const auto answer =
      client.Create(kube::PodResource(), subject.ns, controllers::DryRunPod(subject),
                    {controllers::kFieldManager, true, true}, {});
  return controllers::AnswerOf(answer, subject.pod_template);
}

// ---- the installed operator's configuration ----

// The text of the file in the chart's ConfigMap; empty: it has none.
Result<std::string> ConfigIn(const std::string& config_map) {
  kube::JsonParser parser;
  auto root = parser.Parse(config_map);
  if (!root) return std::move(root).error();
  std::string text;
  Status read =
      kube::VisitObject(*root, [&](std::string_view key, kube::JsonValue value) -> Status {
        if (key != "data") return Ok{};
        return kube::VisitObject(
            value, [&](std::string_view file, kube::JsonValue inner) -> Status {
              return file == "config.yaml" ? kube::Read(inner, text) : Status(Ok{});
            });
      });
  if (!read) return std::move(read).error();
  return text;
}

controllers::Settings Defaults(const std::string& where, const std::string& why) {
  std::cerr << fmt::format(
      "spillway: the installed operator's configuration ({}) cannot be read: {}; assuming mode "
      "Enforce, currency USD and no default limits (--config names a file, --operator-namespace "
      "where the operator is)\n",
      where, why);
  return {};
}

Result<controllers::Settings> InstalledSettings(kube::Client& client, const std::string& ns) {
  const std::string where = fmt::format("ConfigMap {}/spillway", ns);
  const auto config_map = client.Get(ConfigMapResource(), ns, "spillway", {});
  if (!config_map) {
    const Error& error = config_map.error();
    const bool absent = error.code == Code::kNotFound || error.code == Code::kForbidden;
    if (absent) return Defaults(where, error.message);
    return Error(error).While("reading " + where);
  }
  auto text = ConfigIn(*config_map);
  if (!text) return std::move(text).error().While("reading " + where);
  if (text->empty()) return Defaults(where, "it has no config.yaml");
  auto settings = controllers::ParseSettings(*text);
  if (!settings) return std::move(settings).error().While(where);
  return settings;
}

// ---- names that somebody else's objects have ----

// Finds them where the operator would meet them: at pools whose objects it would make now, and at
// those of which it has said that this is what keeps them.
class NameFinder {
 public:
  NameFinder(kube::Client& client, const controllers::World& world)
      : client_(client), world_(world) {}

  // By pool uid, as controllers::ObserveInput takes them.
  [[nodiscard]] const std::map<std::string, std::string>& Conflicts() const { return conflicts_; }

  // True: there are more than before, so that the snapshot has to be taken anew.
  Result<bool> LookAt(const placement::Snapshot& snapshot) {
    const placement::Plan plan = placement::MakePlan(snapshot);
    const size_t before = conflicts_.size();
    for (const auto& pool : world_.training_pools) {
      const placement::PoolKey key{pool->meta.ns, pool->meta.name};
      const auto* facts = Find(snapshot.pools, key);
      const auto* decision = Find(plan.pools, key);
      if (facts == nullptr || decision == nullptr || !facts->name_conflict.empty()) continue;
      const bool starts = decision->may_start && !facts->attempt.exists;
      const int attempt = starts ? decision->memory.placement->attempt : facts->memory.attempts;
      if (!starts && !SaysNameConflict(*pool)) continue;
      if (!looked_at_.insert(pool->meta.uid).second) continue;
      if (Status looked = LookUp(pool->meta, decision->workers_wanted, attempt); !looked) {
        return std::move(looked).error();
      }
    }
    return conflicts_.size() > before;
  }

 private:
  template <class T>
  static const T* Find(const std::vector<T>& all, const placement::PoolKey& key) {
    const auto at =
        std::find_if(all.begin(), all.end(), [&](const T& one) { return one.key == key; });
    return at == all.end() ? nullptr : &*at;
  }

  static bool SaysNameConflict(const v1alpha1::TrainingPool& pool) {
    const auto* placed = v1alpha1::FindCondition(pool.status.conditions, "Placed");
    return placed != nullptr && placed->reason == "NameConflict";
  }

  // In the order in which the operator makes them.
  Status LookUp(const kube::ObjectMeta& pool, int workers, int attempt) {
    const std::string companion = controllers::TrainServiceName(pool.name);
    std::vector<std::pair<const kube::Resource*, std::string>> names;
    if (workers > 1) names.emplace_back(&kube::ServiceResource(), companion);
    names.emplace_back(&kube::PodDisruptionBudgetResource(), companion);
    names.emplace_back(&kube::JobResource(), controllers::TrainJobName(pool.name, attempt));
    for (const auto& [resource, name] : names) {
      auto taken = controllers::LookUpName(client_, *resource, pool.ns, name, pool.uid, {});
      if (!taken)
        return std::move(taken).error().While("looking for " + resource->kind + " " + name);
      if (!*taken) continue;
      conflicts_[pool.uid] = (*taken)->message;
      break;
    }
    return Ok{};
  }

  kube::Client& client_;
  const controllers::World& world_;
  std::set<std::string> looked_at_;  // uids
  std::map<std::string, std::string> conflicts_;
};

// Taken again until no name is in the way that was not known before.
Result<placement::Snapshot> TakeSnapshot(kube::Client& client, const controllers::World& world,
                                         const controllers::Settings& settings, Time now) {
  NameFinder names(client, world);
  std::map<std::string, TemplateAnswer> answers;
  controllers::ObserveInput input;
  input.now = now;
  input.settings = &settings;
  input.render_revision = controllers::kRenderRevision;
  input.name_conflicts = &names.Conflicts();
  input.ask_template = [&](const controllers::TemplateSubject& subject) {
    const auto [at, fresh] = answers.try_emplace(controllers::TemplateChecker::KeyOf(subject));
    if (fresh) at->second = AskNow(client, subject);
    return at->second;
  };
  while (true) {
    placement::Snapshot snapshot = controllers::Observe(world, controllers::Families(world), input);
    if (settings.mode == controllers::Mode::kObserve) return snapshot;  // nothing is made
    const auto more = names.LookAt(snapshot);
    if (!more) return more.error();
    if (!*more) return snapshot;
  }
}

}  // namespace

Result<placement::Snapshot> LiveSnapshot(const LiveOptions& options) {
  auto connection = Connection::Open(options.where);
  if (!connection) return std::move(connection).error();
  kube::Client& client = (*connection)->Api();
  controllers::Stores stores([] {});
  if (Status filled = FillAll(client, stores); !filled) return std::move(filled).error();
  auto settings = options.settings ? Result<controllers::Settings>(*options.settings)
                                   : InstalledSettings(client, options.operator_namespace);
  if (!settings) return std::move(settings).error();
  return TakeSnapshot(client, controllers::ReadWorld(stores), *settings,
                      (*connection)->TimeSource().Now());
}

}  // namespace spillway::cli
