#include "controllers/watching.h"

#include <map>

#include "base/hash.h"
#include "controllers/names.h"
#include "controllers/store_bytes.h"

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
  Add(stores.services, kube::ServiceResource(), ours, kube::DecodeCompanion);
  Add(stores.disruption_budgets, kube::PodDisruptionBudgetResource(), ours, kube::DecodeCompanion);
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
  const Gauge objects =
      registry_.AddGauge("reflector_store_objects", "Objects in the cache by resource.",
                         {{"resource", resource.plural}});
  const Gauge bytes =
      registry_.AddGauge("reflector_store_bytes", "Memory that the cache keeps by resource.",
                         {{"resource", resource.plural}});
  store.SetMeasure(BytesBeside);
  counts_.emplace_back([&store, objects, bytes] {
    objects.Set(static_cast<double>(store.size()));
    bytes.Set(static_cast<double>(store.Bytes()));
  });
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
  const auto lists =
      ByReason("reflector_lists_total", "Whole lists asked of the API server, by why.", resource,
               {"start", "expired", "error", "idle", "differs"});
  const auto ends = ByReason("reflector_watch_restarts_total",
                             "Watches that ended and were opened again, by why.", resource,
                             {"timeout", "expired", "error", "idle", "differs"});
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
  const Counter skipped = registry_.AddCounter(
      "reflector_checks_skipped_total",
      "Times that the cache was not held against the API server, as the "
      "server did not say in time what it has, or an object could not be read.",
      labels);
  kube::ReflectorHooks hooks;
  hooks.listed = [lists, heals](std::string_view reason) {
    if (const auto at = lists.find(reason); at != lists.end()) at->second.Increment();
    if (reason == "differs") heals.Increment();
  };
  hooks.watch_ended = [ends](std::string_view reason) {
    if (const auto at = ends.find(reason); at != ends.end()) at->second.Increment();
  };
  hooks.event = [last, this] {
    last.Set(static_cast<double>(clock_.Now().time_since_epoch().count()));
  };
  hooks.bad_object = [bad](const Error&) { bad.Increment(); };
  hooks.check_skipped = [skipped] { skipped.Increment(); };
  return hooks;
}

std::map<std::string, Counter, std::less<>> Watching::ByReason(
    const std::string& name, const std::string& help, const std::string& resource,
    std::initializer_list<const char*> reasons) {
  std::map<std::string, Counter, std::less<>> counters;
  for (const char* reason : reasons) {
    counters.emplace(
        reason, registry_.AddCounter(name, help, {{"resource", resource}, {"reason", reason}}));
  }
  return counters;
}

void Watching::Refresh() const {
  for (const auto& count : counts_) count();
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
