#include "operator/cli/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "controllers/checkup.h"
#include "crds/v1alpha1/inference_pool.h"
#include "crds/v1alpha1/node_group.h"
#include "crds/v1alpha1/training_pool.h"
#include "kube/types/deployment.h"
#include "kube/types/job.h"
#include "operator/cli/embedded_crds.h"
#include "operator/cli/manifests.h"
#include "placement/words.h"

namespace spillway::cli {
namespace {

using controllers::DescribedNode;
using nlohmann::json;
namespace v1alpha1 = crds::v1alpha1;

constexpr int kNothingToDo = 0;
constexpr int kCouldNotLook = 1;
constexpr int kSomethingToDo = 2;

const kube::Resource& CrdResource() {
  static const kube::Resource kResource{"apiextensions.k8s.io", "v1", "customresourcedefinitions",
                                        "CustomResourceDefinition", false};
  return kResource;
}
const kube::Resource& NamespaceResource() {
  static const kube::Resource kResource{"", "v1", "namespaces", "Namespace", false};
  return kResource;
}
const kube::Resource& ReviewResource() {
  static const kube::Resource kResource{"authorization.k8s.io", "v1", "subjectaccessreviews",
                                        "SubjectAccessReview", false};
  return kResource;
}
const kube::Resource& WebhookResource() {
  static const kube::Resource kResource{"admissionregistration.k8s.io", "v1",
                                        "mutatingwebhookconfigurations",
                                        "MutatingWebhookConfiguration", false};
  return kResource;
}

Result<json> Parse(const std::string& body) {
  json parsed = json::parse(body, nullptr, false);
  if (parsed.is_discarded()) return Error{Code::kInvalid, "the answer is no JSON"};
  return parsed;
}

// Null where there is none.
Result<json> Find(kube::Client& client, const kube::Resource& resource, const std::string& ns,
                  const std::string& name) {
  const auto body = client.Get(resource, ns, name, {});
  if (body) return Parse(*body);
  if (body.error().code == Code::kNotFound) return json();
  return Error(body.error()).While(fmt::format("reading {} {}", resource.kind, name));
}

DescribedNode Described(kube::NodeDetails details) {
  DescribedNode node;
  node.signs = controllers::ReadSigns(details);
  node.details = std::move(details);
  return node;
}

// One look at everything. What cannot be looked at is kept apart from what is wrong.
class Examination {
 public:
  Examination(kube::Client& client, std::string ns) : client_(client), ns_(std::move(ns)) {}

  Status Run() {
    const auto body = client_.GetPath("/version", {});
    if (!body) return Error(body.error()).While("asking the API server for its version");
    const auto version = Parse(*body);
    if (!version) return version.error();
    const std::string name = version->value("gitVersion", "");
    Add(controllers::CheckServerVersion(name));
    looked_at_.push_back("API server " + name);
    Part(LookAtCrds());
    Part(LookAtOperator());
    Part(LookAtFleet());
    Part(LookAtKueue());
    return Ok{};
  }

  [[nodiscard]] int Tell() const {
    int number = 0;
    for (const controllers::Finding& one : findings_) {
      std::cout << fmt::format("{}. {}\n   {}\n", ++number, one.what, one.remedy);
    }
    for (const std::string& one : unseen_) std::cerr << "spillway: not looked at: " << one << "\n";
    if (findings_.empty() && unseen_.empty()) std::cout << "Nothing to do.\n";
    std::cout << fmt::format("Looked at: {}.\n", fmt::join(looked_at_, ", "));
    if (!unseen_.empty()) return kCouldNotLook;
    return findings_.empty() ? kNothingToDo : kSomethingToDo;
  }

 private:
  void Add(const controllers::Findings& more) {
    findings_.insert(findings_.end(), more.begin(), more.end());
  }
  void Part(const Status& looked) {
    if (!looked) unseen_.push_back(looked.error().message);
  }

  Status LookAtCrds() {
    std::vector<json> wanted;
    std::map<std::string, json> installed;
    for (const std::string& text : EmbeddedCrds()) {
      auto crd = ReadManifests(text);
      if (!crd) return std::move(crd).error();
      wanted.push_back(crd->at(0));
      const std::string name = wanted.back()["metadata"]["name"];
      auto there = Find(client_, CrdResource(), "", name);
      if (!there) return std::move(there).error();
      if (!there->is_null()) installed[name] = *std::move(there);
    }
    Add(controllers::CheckCrds(wanted, installed));
    has_kinds_ = installed.size() == wanted.size();
    looked_at_.push_back(placement::Count(std::ssize(wanted), "CRD"));
    return Ok{};
  }

  Status LookAtOperator() {
    const auto deployment = Find(client_, kube::DeploymentResource(), ns_, "spillway");
    if (!deployment) return deployment.error();
    Add(controllers::CheckOperator(*deployment, ns_, SPILLWAY_VERSION));
    looked_at_.push_back("Deployment " + ns_ + "/spillway");
    if (deployment->is_null()) return Ok{};
    const json::json_pointer account("/spec/template/spec/serviceAccountName");
    return LookAtRights(deployment->value(account, "default"));
  }

  Status LookAtRights(const std::string& account) {
    const auto rights = controllers::NeededRights(ns_);
    std::vector<controllers::Right> lacking;
    for (const controllers::Right& right : rights) {
      const auto body = client_.Create(
          ReviewResource(), "", controllers::RenderAccessReview(right, ns_, account), {}, {});
      if (!body) return Error(body.error()).While("asking what the operator may do");
      const auto review = Parse(*body);
      if (!review) return review.error();
      const json::json_pointer allowed("/status/allowed");
      if (!review->value(allowed, false)) lacking.push_back(right);
    }
    Add(controllers::CheckRights(lacking, rights.size(), ns_, account));
    looked_at_.push_back(placement::Count(std::ssize(rights), "right"));
    return Ok{};
  }

  Status LookAtFleet() {
    auto details =
        ListAll<kube::NodeDetails>(client_, kube::NodeResource(), {}, kube::DecodeNodeDetails);
    if (!details) return std::move(details).error();
    std::vector<DescribedNode> nodes;
    nodes.reserve(details->size());
    for (kube::NodeDetails& one : *details) nodes.push_back(Described(std::move(one)));
    looked_at_.push_back(placement::Count(std::ssize(nodes), "node"));
    if (!has_kinds_) return Ok{};
    const auto groups = ListAll<v1alpha1::NodeGroup>(client_, v1alpha1::NodeGroupResource(), {},
                                                     v1alpha1::DecodeNodeGroup);
    if (!groups) return groups.error();
    Add(controllers::CheckFleet(nodes, *groups));
    looked_at_.push_back(placement::Count(std::ssize(*groups), "NodeGroup"));
    return Ok{};
  }

  // ---- Kueue ----

  Status LookAtKueue() {
    controllers::KueueFacts facts;
    const auto config_map =
        Find(client_, ConfigMapResource(), "kueue-system", "kueue-manager-config");
    if (!config_map) return config_map.error();
    facts.has_config_map = !config_map->is_null();
    auto webhooks = KueueWebhooks();
    if (!webhooks) return std::move(webhooks).error();
    facts.webhooks = *std::move(webhooks);
    looked_at_.emplace_back("Kueue");
    if (!facts.has_config_map && facts.webhooks.empty()) return Ok{};
    const json::json_pointer file("/data/controller_manager_config.yaml");
    auto config = ReadManifests(facts.has_config_map ? config_map->value(file, "") : "");
    if (!config) return std::move(config).error().While("reading Kueue's configuration");
    if (!config->empty()) facts.config = &config->front();
    if (Status read = ReadNamespaces(facts.namespaces); !read) return read;
    try {
      Add(controllers::CheckKueue(facts));
    } catch (const json::exception& e) {  // a field that is no such thing
      return Error{Code::kInvalid, fmt::format("reading Kueue's configuration: {}", e.what())};
    }
    return Ok{};
  }

  Result<std::vector<std::string>> KueueWebhooks() {
    const auto decode = [](kube::JsonValue value, kube::MetaOnly& out) {
      return kube::DecodeMetaOnly(value, out);
    };
    const auto all = ListAll<kube::MetaOnly>(client_, WebhookResource(), {}, decode);
    if (!all) return all.error();
    std::vector<std::string> out;
    for (const kube::MetaOnly& one : *all) {
      if (one.meta.name.find("kueue") != std::string::npos) out.push_back(one.meta.name);
    }
    return out;
  }

  Status ReadNamespaces(std::map<std::string, controllers::NamespacePools>& out) {
    if (!has_kinds_) return Ok{};
    const auto count = [&](const kube::Resource& resource,
                           int controllers::NamespacePools::* field) {
      const auto pools = ListAll<kube::MetaOnly>(client_, resource, {}, kube::DecodeMetaOnly);
      if (!pools) return Status(pools.error());
      for (const kube::MetaOnly& pool : *pools) ++(out[pool.meta.ns].*field);
      return Status(Ok{});
    };
    using Pools = controllers::NamespacePools;
    if (Status done = count(v1alpha1::TrainingPoolResource(), &Pools::training); !done) return done;
    if (Status done = count(v1alpha1::InferencePoolResource(), &Pools::inference); !done) {
      return done;
    }
    for (auto& [name, pools] : out) {
      const auto there = Find(client_, NamespaceResource(), "", name);
      if (!there) return there.error();
      if (there->is_null()) continue;  // gone meanwhile
      const json::json_pointer labels("/metadata/labels");
      pools.labels = there->value(labels, kube::TextMap());
      if (Status done = FindDefaultQueue(name, pools); !done) return done;
    }
    return Ok{};
  }

  Status FindDefaultQueue(const std::string& ns, controllers::NamespacePools& pools) {
    for (const char* version : {"v1beta2", "v1beta1"}) {
      const kube::Resource queues{"kueue.x-k8s.io", version, "localqueues", "LocalQueue", true};
      const auto queue = Find(client_, queues, ns, "default");
      if (!queue) return queue.error();
      if (queue->is_null()) continue;
      pools.default_queue = true;
      break;
    }
    return Ok{};
  }

  kube::Client& client_;
  std::string ns_;  // the operator's
  bool has_kinds_ = false;
  controllers::Findings findings_;
  std::vector<std::string> unseen_;     // sentences
  std::vector<std::string> looked_at_;  // words
};

int Refuse(const Error& error) {
  std::cerr << "spillway: " << error.message << "\n";
  return kCouldNotLook;
}

Result<std::vector<DescribedNode>> ReadNodes(const std::string& path) {
  auto text = ReadFile(path);
  if (!text) return std::move(text).error();
  auto objects = ReadManifests(*text);
  if (!objects) return std::move(objects).error().While(path);
  std::vector<DescribedNode> nodes;
  for (const json& object : *objects) {
    if (object.value("kind", "Node") != "Node") continue;
    kube::JsonParser parser;
    auto root = parser.Parse(object.dump());
    if (!root) return std::move(root).error().While(path);
    kube::NodeDetails details;
    if (Status read = kube::DecodeNodeDetails(*root, details); !read) {
      return std::move(read).error().While(path);
    }
    nodes.push_back(Described(std::move(details)));
  }
  if (nodes.empty()) return Error{Code::kInvalid, path + ": has no Node objects"};
  return nodes;
}

}  // namespace

int Doctor(const DoctorOptions& options) {
  auto connection = Connection::Open(options.where);
  if (!connection) return Refuse(connection.error());
  Examination examination((*connection)->Api(), options.operator_namespace);
  if (Status run = examination.Run(); !run) return Refuse(run.error());
  return examination.Tell();
}

int DescribeNodes(const std::string& path) {
  const auto nodes = ReadNodes(path);
  if (!nodes) return Refuse(nodes.error());
  for (const DescribedNode& node : *nodes) std::cout << controllers::FormatSigns(node.signs);
  for (const auto& proposal : controllers::ProposeGroups(*nodes)) {
    std::cout << "\n" << controllers::FormatProposal(proposal);
  }
  return kNothingToDo;
}

}  // namespace spillway::cli
