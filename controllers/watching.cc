#include "controllers/watching.h"

#include <map>

#include "base/hash.h"
#include "controllers/names.h"

namespace spillway::controllers {

namespace v1alpha1 = crds::v1alpha1;

Watching::Watching(Stores& stores, kube::Client& client, Clock& clock, Log& log,
                   MetricsRegistry& registry, bool stream_lists)
    : client_(client), clock_(clock), log_(log), registry_(registry), stream_lists_(stream_lists) {
  const std::string ours = std::string(kManagedByLabel) + "=" + kManagedBy;
  Add(stores.nodes, kube::NodeResource(), "", [](kube::JsonValue value, kube::Node& node) {
    return kube::DecodeNode(value, kPrefix, node);
  });
  const auto keeper = std::make_shared<kube::PodKeeper>(kPrefix);
  Add(stores.pods, kube::PodResource(), "",
      [keeper](kube::JsonValue value, kube::KeptPod& pod) { return keeper->Read(value, pod); });
  Add(stores.jobs, kube::JobResource(), ours, kube::DecodeJob);
  Add(stores.deployments, kube::DeploymentResource(), ours, kube::DecodeDeployment);
  Add(stores.services, kube::ServiceResource(), ours, kube::DecodeMetaOnly);
  Add(stores.disruption_budgets, kube::PodDisruptionBudgetResource(), ours, kube::DecodeMetaOnly);
  Add(stores.priority_classes, kube::PriorityClassResource(), "", kube::DecodePriorityClass);
  Add(stores.node_groups, v1alpha1::NodeGroupResource(), "", v1alpha1::DecodeNodeGroup);
  Add(stores.training_pools, v1alpha1::TrainingPoolResource(), "", v1alpha1::DecodeTrainingPool);
  Add(stores.inference_pools, v1alpha1::InferencePoolResource(), "", v1alpha1::DecodeInferencePool);
  Add(stores.pool_quotas, v1alpha1::PoolQuotaResource(), "", v1alpha1::DecodePoolQuota);
}

Watching::~Watching() { Stop(); }

template <class T>
void Watching::Add(kube::Store<T>& store, const kube::Resource& resource,
                   const std::string& selector, typename kube::StoreSink<T>::Decode decode) {
  sinks_.push_back(std::make_unique<kube::StoreSink<T>>(store, std::move(decode)));
  kube::Reflector::Options options;
  options.resource = resource;
  options.label_selector = selector;
  options.stream_lists = stream_lists_;
  // Processes must not list in step after an outage of the API server.
  options.seed = Hash(resource.plural, static_cast<uint64_t>(clock_.Elapsed().count()));
  options.hooks = Hooks(resource.plural);
  reflectors_.push_back(
      std::make_unique<kube::Reflector>(client_, clock_, log_, *sinks_.back(), std::move(options)));
}

kube::ReflectorHooks Watching::Hooks(const std::string& resource) {
  const MetricLabels labels = {{"resource", resource}};
  const Counter lists =
      registry_.AddCounter("reflector_lists_total", "Whole lists asked of the API server.", labels);
  const Counter ends = registry_.AddCounter("reflector_watch_restarts_total",
                                            "Watches that ended and were opened again.", labels);
  const Gauge last = registry_.AddGauge("reflector_last_event_timestamp_seconds",
                                        "When a watch last showed a sign of life.", labels);
  const Counter bad =
      registry_.AddCounter("reflector_undecodable_objects_total",
                           "Objects passed over because they could not be read.", labels);
  const Counter heals =
      registry_.AddCounter("reflector_heals_total",
                           "Times that the cache was found to differ from the API server, which "
                           "was listed anew then.",
                           labels);
  kube::ReflectorHooks hooks;
  hooks.listed = [lists, heals](std::string_view reason) {
    lists.Increment();
    if (reason == "differs") heals.Increment();
  };
  hooks.watch_ended = [ends](std::string_view) { ends.Increment(); };
  hooks.event = [last, this] {
    last.Set(static_cast<double>(clock_.Now().time_since_epoch().count()));
  };
  hooks.bad_object = [bad](const Error&) { bad.Increment(); };
  return hooks;
}

void Watching::Start() {
  for (const auto& reflector : reflectors_) {
    threads_.emplace_back([raw = reflector.get()](const std::stop_token& stop) { raw->Run(stop); });
  }
}

void Watching::Stop() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
}

}  // namespace spillway::controllers
