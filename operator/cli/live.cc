#include "operator/cli/live.h"

#include <cstdlib>
#include <map>
#include <optional>

#include "base/clock.h"
#include "controllers/names.h"
#include "controllers/observe.h"
#include "controllers/render.h"
#include "controllers/stores.h"
#include "controllers/templates.h"
#include "kube/client.h"
#include "kube/config.h"
#include "kube/cpprest_transport.h"

namespace spillway::cli {
namespace {

using controllers::TemplateAnswer;
namespace v1alpha1 = crds::v1alpha1;

std::optional<std::string> Environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

template <class T, class Decode>
Result<std::string> ReadPage(const std::string& body, Decode decode, std::vector<T>& out) {
  kube::JsonParser parser;
  auto root = parser.Parse(body);
  if (!root) return std::move(root).error();
  std::string next;
  Status read =
      kube::VisitObject(*root, [&](std::string_view key, kube::JsonValue value) -> Status {
        if (key == "items") {
          return kube::VisitArray(value, [&](kube::JsonValue item) -> Status {
            T object;
            if (Status done = decode(item, object); !done) return done;
            out.push_back(std::move(object));
            return Ok{};
          });
        }
        if (key != "metadata") return Ok{};
        return kube::VisitObject(
            value, [&](std::string_view field, kube::JsonValue inner) -> Status {
              return field == "continue" ? kube::Read(inner, next) : Status(Ok{});
            });
      });
  if (!read) return std::move(read).error();
  return next;
}

template <class T, class Decode>
Status Fill(kube::Client& client, const kube::Resource& resource, const std::string& selector,
            Decode decode, kube::Store<T>& store) {
  std::vector<T> objects;
  kube::ListOptions options;
  options.label_selector = selector;
  do {
    auto page = client.List(resource, options, {});
    if (!page) return std::move(page).error().While("listing " + resource.plural);
    auto next = ReadPage<T>(*page, decode, objects);
    if (!next) return std::move(next).error().While("reading " + resource.plural);
    options.continue_token = *std::move(next);
  } while (!options.continue_token.empty());
  store.Replace(std::move(objects), "1");
  return Ok{};
}

Status FillAll(kube::Client& client, controllers::Stores& stores) {
  const std::string ours =
      std::string(controllers::kManagedByLabel) + "=" + controllers::kManagedBy;
  const auto pod = [](kube::JsonValue value, kube::Pod& out) {
    return kube::DecodePod(value, controllers::kPrefix, out);
  };
  Status done = Fill(client, kube::NodeResource(), "", kube::DecodeNode, stores.nodes);
  if (done) done = Fill(client, kube::PodResource(), "", pod, stores.pods);
  if (done) done = Fill(client, kube::JobResource(), ours, kube::DecodeJob, stores.jobs);
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
    done = Fill(client, v1alpha1::PoolQuotaResource(), "", v1alpha1::DecodePoolQuota,
                stores.pool_quotas);
  }
  return done;
}

TemplateAnswer AskNow(kube::Client& client, const v1alpha1::TrainingPool& pool) {
  if (std::string refusal = controllers::RefuseTemplate(pool.spec.pod_template); !refusal.empty()) {
    return {TemplateAnswer::State::kInvalid, {}, std::move(refusal)};
  }
  const auto answer = client.Create(kube::PodResource(), pool.meta.ns, controllers::DryRunPod(pool),
                                    {controllers::kFieldManager, true, true}, {});
  if (!answer) return {TemplateAnswer::State::kInvalid, {}, answer.error().message};
  auto shape = controllers::ShapeOf(*answer, pool.spec.pod_template);
  if (!shape) return {TemplateAnswer::State::kInvalid, {}, shape.error().message};
  return {TemplateAnswer::State::kValid, *std::move(shape), {}};
}

}  // namespace

Result<placement::Snapshot> LiveSnapshot(const LiveOptions& options) {
  kube::ConfigOptions where;
  where.kubeconfig = options.kubeconfig;
  where.context = options.context;
  where.env = Environment;
  auto config = kube::LoadConfig(where);
  if (!config) return std::move(config).error().While("finding the API server");
  kube::InitCpprest();
  auto transport = kube::MakeCpprestTransport(*config);
  if (!transport) return std::move(transport).error();
  SystemClock clock;
  kube::Client::Options client_options;
  client_options.user_agent = kube::UserAgent("spillway-cli", SPILLWAY_VERSION);
  kube::Client client(**transport, clock, client_options);
  controllers::Stores stores([] {});
  if (Status filled = FillAll(client, stores); !filled) return std::move(filled).error();
  const std::map<std::string, std::string> no_conflicts;
  controllers::ObserveInput input;
  input.now = clock.Now();
  input.settings = &options.settings;
  input.render_revision = controllers::kRenderRevision;
  input.name_conflicts = &no_conflicts;
  input.ask_template = [&](const v1alpha1::TrainingPool& pool) { return AskNow(client, pool); };
  return controllers::Observe(controllers::ReadWorld(stores), input);
}

}  // namespace spillway::cli
