#include "controllers/checkup.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "controllers/names.h"
#include "controllers/observe_inference.h"
#include "placement/words.h"

namespace spillway::controllers {
namespace {

using nlohmann::json;
using placement::Count;
using placement::Names;

constexpr int kLeastMinor = 33;

// Whatever stands there, or null.
json At(const json& object, const char* pointer) {
  const json::json_pointer at(pointer);
  return object.contains(at) ? object.at(at) : json();
}

std::string TextAt(const json& object, const char* pointer) {
  const json found = At(object, pointer);
  return found.is_string() ? found.get<std::string>() : std::string();
}

// "v1.33.0" and newer.
bool IsEnough(std::string_view version) {
  if (!version.starts_with("v1.")) return version.starts_with("v2.");
  int minor = 0;
  std::from_chars(version.data() + 3, version.data() + version.size(), minor);
  return minor >= kLeastMinor;
}

// ---- CRDs ----

json VersionOf(const json& crd, const std::string& name) {
  for (const json& version : At(crd, "/spec/versions")) {
    if (version.value("name", "") == name) return version;
  }
  return nullptr;
}

void AddFields(const json& schema, const std::string& path, std::set<std::string>& out) {
  if (!schema.is_object()) return;
  if (schema.contains("items")) AddFields(schema["items"], path + "[]", out);
  if (!schema.contains("properties")) return;
  for (const auto& [name, inner] : schema["properties"].items()) {
    std::string field = path.empty() ? name : fmt::format("{}.{}", path, name);
    out.insert(field);
    AddFields(inner, field, out);
  }
}

// Of these, those that the others lack; a field inside one that is lacking is not named.
std::vector<std::string> Lacking(const std::set<std::string>& of, const std::set<std::string>& in) {
  std::vector<std::string> out;
  for (const std::string& field : of) {
    const bool inside = !out.empty() && (field.starts_with(out.back() + ".") ||
                                         field.starts_with(out.back() + "["));
    if (!in.contains(field) && !inside) out.push_back(field);
  }
  return out;
}

constexpr const char* kUpgradeCrds =
    "install the chart of this version (helm upgrade, with crds.enabled) or apply its crds/";

void CompareCrd(const json& wanted, const json& installed, Findings& out) {
  const std::string name = TextAt(wanted, "/metadata/name");
  const json& version = At(wanted, "/spec/versions/0");
  const json there = VersionOf(installed, version.value("name", ""));
  if (there.is_null() || !there.value("served", false)) {
    out.push_back(
        {fmt::format("CRD {} does not serve {}.", name, version.value("name", "")),
         fmt::format("Give it the version that this operator speaks: {}.", kUpgradeCrds)});
    return;
  }
  std::set<std::string> ours;
  std::set<std::string> theirs;
  AddFields(At(version, "/schema/openAPIV3Schema"), "", ours);
  AddFields(At(there, "/schema/openAPIV3Schema"), "", theirs);
  const auto fewer = Lacking(ours, theirs);
  const auto more = Lacking(theirs, ours);
  if (!fewer.empty()) {
    out.push_back({fmt::format("CRD {} lacks {} of this version: {}.", name,
                               Count(std::ssize(fewer), "field"), Names(fewer)),
                   fmt::format("Upgrade it: {}.", kUpgradeCrds)});
  }
  if (!more.empty()) {
    out.push_back(
        {fmt::format("CRD {} has {} that this version does not know: {}.", name,
                     Count(std::ssize(more), "field"), Names(more)),
         "Use the spillway command and the operator of the version that the CRDs are of."});
  }
  if (fewer.empty() && more.empty() && there["schema"] != version["schema"]) {
    out.push_back(
        {fmt::format("CRD {} has the fields of this version, but other rules, defaults or "
                     "descriptions.",
                     name),
         fmt::format("Make them one version: {}.", kUpgradeCrds)});
  }
}

// ---- rights ----

std::vector<Right> RightsTo(const char* group, const std::vector<const char*>& resources,
                            const std::vector<const char*>& verbs) {
  std::vector<Right> out;
  for (const std::string resource : resources) {
    const size_t slash = resource.find('/');
    const std::string sub = slash == std::string::npos ? "" : resource.substr(slash + 1);
    for (const char* verb : verbs) out.push_back({group, resource.substr(0, slash), sub, verb});
  }
  return out;
}

std::string Print(const Right& right) {
  std::string text = right.verb + " " + right.resource;
  if (!right.subresource.empty()) text += "/" + right.subresource;
  if (!right.group.empty()) text += "." + right.group;
  if (!right.ns.empty()) text += " in " + right.ns;
  return text;
}

// ---- fleet ----

struct Membership {
  const crds::v1alpha1::NodeGroup* group = nullptr;
  std::vector<const DescribedNode*> nodes;
};

std::vector<std::string> NamesOf(const std::vector<const DescribedNode*>& nodes) {
  std::vector<std::string> out;
  out.reserve(nodes.size());
  for (const DescribedNode* node : nodes) out.push_back(node->signs.name);
  return out;
}

std::string Sized(const std::vector<const DescribedNode*>& nodes) {
  return fmt::format("{} ({})", Count(std::ssize(nodes), "node"), Names(NamesOf(nodes)));
}

bool HasLabel(const DescribedNode& node, const std::string& key) {
  return node.details.node.meta.labels.contains(key);
}

class FleetCheck {
 public:
  FleetCheck(const std::vector<DescribedNode>& nodes,
             const std::vector<crds::v1alpha1::NodeGroup>& groups)
      : nodes_(nodes) {
    for (const auto& group : groups) {
      Membership members{&group, {}};
      const auto wanted = Requirements(group.spec.selector);
      for (const DescribedNode& node : nodes) {
        if (!placement::MatchesAll(node.details.node.meta.labels, wanted)) continue;
        members.nodes.push_back(&node);
        groups_of_[&node].push_back(group.meta.name);
      }
      members_.push_back(std::move(members));
    }
  }

  Findings Run() {
    if (members_.empty()) {
      out_.push_back({fmt::format("There is no NodeGroup for {}, so that no pool can be placed.",
                                  Count(std::ssize(nodes_), "node")),
                      "Describe the nodes: kubectl get nodes -o yaml | spillway doctor -f - "
                      "proposes NodeGroups."});
      return std::move(out_);
    }
    CheckUngrouped();
    CheckOverlaps();
    for (const Membership& one : members_) CheckGroup(one);
    return std::move(out_);
  }

 private:
  void CheckUngrouped() {
    std::map<std::string, std::vector<const DescribedNode*>> by_type;
    for (const DescribedNode& node : nodes_) {
      const AcceleratorSigns& accelerator = node.signs.accelerator;
      if (accelerator.resource.empty() || groups_of_.contains(&node)) continue;
      const std::string& type = accelerator.type.value;
      by_type[type.empty() ? accelerator.resource : type].push_back(&node);
    }
    for (const auto& [type, nodes] : by_type) {
      int64_t devices = 0;
      for (const DescribedNode* node : nodes) {
        const std::string& count = node->signs.accelerator.count.value;
        devices += count.empty() ? 0 : std::stoll(count);
      }
      out_.push_back(
          {fmt::format("{} with {} of {} {} to no NodeGroup.", Sized(nodes),
                       Count(devices, "accelerator"), type,
                       nodes.size() == 1 ? "belongs" : "belong"),
           fmt::format("Describe {} by a NodeGroup: kubectl get node {} -o yaml | spillway doctor "
                       "-f - proposes one.",
                       nodes.size() == 1 ? "it" : "them", nodes.front()->signs.name)});
    }
  }

  void CheckOverlaps() {
    std::map<std::vector<std::string>, std::vector<const DescribedNode*>> by_groups;
    for (const auto& [node, groups] : groups_of_) {
      if (groups.size() > 1) by_groups[groups].push_back(node);
    }
    for (auto& [groups, nodes] : by_groups) {
      std::sort(nodes.begin(), nodes.end());  // as given, which is by name
      out_.push_back({fmt::format("{} {} matched by NodeGroups {}, and {} no new placements.",
                                  Sized(nodes), nodes.size() == 1 ? "is" : "are", Names(groups),
                                  nodes.size() == 1 ? "takes" : "take"),
                      "Narrow spec.selector of all but one of them."});
    }
  }

  void CheckGroup(const Membership& one) {
    const std::string& name = one.group->meta.name;
    CheckTarget(*one.group);
    if (one.nodes.empty()) {
      if (one.group->spec.elastic) return;  // they are made when they are asked for
      out_.push_back({fmt::format("NodeGroup {} matches none of the {}: {}.", name,
                                  Count(std::ssize(nodes_), "node"), WhyNone(*one.group)),
                      "Correct its spec.selector, label the nodes, or delete the group."});
      return;
    }
    CheckAccelerator(one);
    CheckProvider(one);
    CheckLabel(one, kHostnameLabel, "by which workers are pinned to their nodes",
               "Give each node this label with its own name as the value.");
    for (const std::string& label : one.group->spec.domain_labels) {
      CheckLabel(one, label,
                 "by which its domains are told, so that no pool with topology Required goes there",
                 "Label the nodes, or correct spec.interconnect.domainLabels.");
    }
  }

  void CheckTarget(const crds::v1alpha1::NodeGroup& group) {
    const auto* ready = crds::v1alpha1::FindCondition(group.status.conditions, "TargetReady");
    if (!group.spec.elastic || ready == nullptr || ready->status != "False") return;
    out_.push_back(
        {fmt::format("NodeGroup {} gets no new nodes: {}.", group.meta.name, ready->message),
         "Mend that; the operator looks again at least once a minute."});
  }

  // How many nodes each requirement alone would match.
  [[nodiscard]] std::string WhyNone(const crds::v1alpha1::NodeGroup& group) const {
    std::vector<std::string> parts;
    for (const auto& wanted : Requirements(group.spec.selector)) {
      const auto matched = std::count_if(nodes_.begin(), nodes_.end(), [&](const auto& node) {
        return placement::Matches(node.details.node.meta.labels, wanted);
      });
      const std::string values =
          wanted.values.empty() ? "" : fmt::format(" {}", fmt::join(wanted.values, ", "));
      parts.push_back(fmt::format("{} {}{} holds on {}", wanted.key, wanted.op, values, matched));
    }
    return Names(parts);
  }

  // Only where both sides use the names that we know.
  void CheckAccelerator(const Membership& one) {
    const auto known = [](const std::string& type) {
      return type.starts_with("nvidia-") || type.starts_with("amd-mi") ||
             type.starts_with("aws-graviton") || type.starts_with("azure-cobalt");
    };
    const std::string& said = one.group->spec.accelerator.type;
    std::map<std::string, std::vector<const DescribedNode*>> others;
    for (const DescribedNode* node : one.nodes) {
      const AcceleratorSigns& signs = node->signs.accelerator;
      std::string type = signs.type.value;
      if (!signs.part_suffix.empty()) type += "-" + signs.part_suffix;
      if (type != said && known(type) && known(said) && !signs.type.guess) {
        others[type].push_back(node);
      }
    }
    for (const auto& [type, nodes] : others) {
      out_.push_back(
          {fmt::format("NodeGroup {} says {}, but {} of its {} show {}.", one.group->meta.name,
                       said, Sized(nodes), Count(std::ssize(one.nodes), "node"), type),
           "Correct spec.accelerator.type, or narrow spec.selector."});
    }
  }

  void CheckProvider(const Membership& one) {
    const std::string& said = one.group->spec.provider;
    std::map<std::string, std::vector<const DescribedNode*>> others;
    for (const DescribedNode* node : one.nodes) {
      const Sign& shown = node->signs.provider;
      if (!shown.value.empty() && shown.value != said && !shown.guess) {
        others[shown.value].push_back(node);
      }
    }
    for (const auto& [provider, nodes] : others) {
      out_.push_back({fmt::format("NodeGroup {} says provider {}, but {} of its {} show {}.",
                                  one.group->meta.name, said, Sized(nodes),
                                  Count(std::ssize(one.nodes), "node"), provider),
                      "Correct spec.provider, or narrow spec.selector."});
    }
  }

  void CheckLabel(const Membership& one, const std::string& label, const char* what_for,
                  const char* remedy) {
    std::vector<const DescribedNode*> without;
    for (const DescribedNode* node : one.nodes) {
      if (!HasLabel(*node, label)) without.push_back(node);
    }
    if (without.empty()) return;
    out_.push_back({fmt::format("{} of the {} of NodeGroup {} {} no label {}, {}.", Sized(without),
                                Count(std::ssize(one.nodes), "node"), one.group->meta.name,
                                without.size() == 1 ? "has" : "have", label, what_for),
                    remedy});
  }

  const std::vector<DescribedNode>& nodes_;
  std::vector<Membership> members_;
  std::map<const DescribedNode*, std::vector<std::string>> groups_of_;
  Findings out_;
};

// ---- Kueue ----

std::vector<placement::Requirement> SelectorOf(const json& selector) {
  std::vector<placement::Requirement> out;
  const json labels = selector.value("matchLabels", json::object());
  for (const auto& [key, value] : labels.items()) {
    out.push_back({key, "In", {value.get<std::string>()}});
  }
  for (const json& one : selector.value("matchExpressions", json::array())) {
    out.push_back({one.value("key", ""), one.value("operator", ""),
                   one.value("values", std::vector<std::string>())});
  }
  return out;
}

// What of Kueue's configuration decides about Jobs that name no queue.
struct KueueRules {
  explicit KueueRules(const json& config)
      : all(config.value("manageJobsWithoutQueueName", false)),
        selective(config.contains("managedJobsNamespaceSelector")) {
    if (selective) selector = SelectorOf(config["managedJobsNamespaceSelector"]);
    const json integrations = config.value("integrations", json::object());
    const auto frameworks = integrations.value("frameworks", std::vector<std::string>{"batch/job"});
    for (const std::string& one : frameworks) {
      jobs = jobs || one == "batch/job";
      servers = servers || one == "deployment" || one == "pod";
    }
  }
  [[nodiscard]] bool Selects(const std::string& ns, const NamespacePools& pools) const {
    if (selective) return placement::MatchesAll(pools.labels, selector);
    return ns != "kube-system" && ns != "kueue-system";  // Kueue's own default
  }

  bool all;
  bool selective;
  std::vector<placement::Requirement> selector;
  bool jobs = false;     // it manages Jobs
  bool servers = false;  // and Deployments, or their pods
};

// Pools whose children it holds back.
struct Held {
  void Add(const std::string& ns, const NamespacePools& pools, const KueueRules& rules) {
    const int gangs = rules.jobs ? pools.training : 0;
    const int served = rules.servers ? pools.inference : 0;
    if (gangs + served == 0) return;
    namespaces.push_back(ns);
    training += gangs;
    inference += served;
  }
  [[nodiscard]] std::string Print() const {
    return fmt::format("{} and {} in {} ({})", Count(training, "TrainingPool"),
                       Count(inference, "InferencePool"),
                       Count(std::ssize(namespaces), "namespace"), Names(namespaces));
  }

  int training = 0;
  int inference = 0;
  std::vector<std::string> namespaces;
};

}  // namespace

Findings CheckServerVersion(const std::string& version) {
  if (IsEnough(version)) return {};
  return {{fmt::format("The API server is {}; Spillway needs Kubernetes 1.{} or newer.",
                       version.empty() ? "of a version it does not tell" : version, kLeastMinor),
           "Upgrade the cluster's control plane."}};
}

Findings CheckCrds(const std::vector<json>& wanted, const std::map<std::string, json>& installed) {
  Findings out;
  std::vector<std::string> missing;
  for (const json& crd : wanted) {
    const std::string name = TextAt(crd, "/metadata/name");
    const auto at = installed.find(name);
    if (at == installed.end()) {
      missing.push_back(name);
    } else {
      CompareCrd(crd, at->second, out);
    }
  }
  if (!missing.empty()) {
    out.insert(out.begin(),
               {fmt::format("{} of {} CRDs {} not installed: {}.", missing.size(), wanted.size(),
                            missing.size() == 1 ? "is" : "are", Names(missing)),
                fmt::format("Install them: {}.", kUpgradeCrds)});
  }
  return out;
}

Findings CheckOperator(const json& deployment, const std::string& ns, const std::string& version) {
  if (deployment.is_null()) {
    return {{fmt::format("There is no Deployment spillway in namespace {}: no operator runs.", ns),
             "Install the chart, or name its namespace with --operator-namespace."}};
  }
  Findings out;
  const std::string there = TextAt(deployment, "/metadata/labels/app.kubernetes.io~1version");
  if (there != version) {
    out.push_back({fmt::format("The operator in namespace {} is of version {}, this command of {}.",
                               ns, there.empty() ? "unknown" : there, version),
                   "Upgrade the older of the two."});
  }
  const json wanted = At(deployment, "/spec/replicas");
  const json ready = At(deployment, "/status/readyReplicas");
  if (wanted == 0) {
    out.push_back({fmt::format("Deployment {}/spillway is scaled to 0: no operator runs.", ns),
                   fmt::format("kubectl scale deployment/spillway -n {} --replicas=2.", ns)});
  } else if (!ready.is_number() || ready == 0) {
    out.push_back({fmt::format("None of the {} operators of Deployment {}/spillway is ready.",
                               wanted.is_number() ? wanted.get<int>() : 1, ns),
                   fmt::format("Look at their pods and logs: kubectl logs -n {} "
                               "deployment/spillway.",
                               ns)});
  }
  return out;
}

std::vector<Right> NeededRights(const std::string& ns) {
  std::vector<Right> out;
  const auto add = [&out](const std::vector<Right>& more) {
    out.insert(out.end(), more.begin(), more.end());
  };
  const char* ours = "spillway.dev";
  add(RightsTo("", {"nodes", "pods"}, {"list", "watch"}));
  add(RightsTo("scheduling.k8s.io", {"priorityclasses"}, {"list", "watch"}));
  add(RightsTo(ours, {"nodegroups", "trainingpools", "inferencepools", "poolquotas"},
               {"list", "watch"}));
  add(RightsTo(ours, {"nodegroups", "trainingpools", "inferencepools"}, {"get"}));
  add(RightsTo(ours,
               {"nodegroups/status", "trainingpools/status", "inferencepools/status",
                "poolquotas/status", "trainingpools/finalizers", "inferencepools/finalizers"},
               {"update"}));
  add(RightsTo("events.k8s.io", {"events"}, {"create"}));
  add(RightsTo("batch", {"jobs"}, {"get", "list", "watch", "create", "delete"}));
  using Kind = std::pair<const char*, const char*>;
  for (const auto& [group, resource] : {Kind("apps", "deployments"), Kind("", "services"),
                                        Kind("policy", "poddisruptionbudgets")}) {
    add(RightsTo(group, {resource}, {"get", "list", "watch", "create", "patch", "delete"}));
  }
  add(RightsTo("", {"pods"}, {"create", "delete"}));
  out.push_back({"coordination.k8s.io", "leases", "", "create", ns, ""});
  out.push_back({"coordination.k8s.io", "leases", "", "get", ns, "spillway"});
  out.push_back({"coordination.k8s.io", "leases", "", "update", ns, "spillway"});
  return out;
}

std::string RenderAccessReview(const Right& right, const std::string& ns,
                               const std::string& account) {
  json attributes = {{"group", right.group}, {"resource", right.resource}, {"verb", right.verb}};
  if (!right.subresource.empty()) attributes["subresource"] = right.subresource;
  if (!right.ns.empty()) attributes["namespace"] = right.ns;
  if (!right.name.empty()) attributes["name"] = right.name;
  const json review = {
      {"apiVersion", "authorization.k8s.io/v1"},
      {"kind", "SubjectAccessReview"},
      {"spec",
       {{"user", fmt::format("system:serviceaccount:{}:{}", ns, account)},
        {"groups",
         {"system:serviceaccounts", "system:serviceaccounts:" + ns, "system:authenticated"}},
        {"resourceAttributes", attributes}}}};
  return review.dump();
}

Findings CheckRights(const std::vector<Right>& lacking, size_t asked, const std::string& ns,
                     const std::string& account) {
  if (lacking.empty()) return {};
  std::vector<std::string> names;
  names.reserve(lacking.size());
  for (const Right& right : lacking) names.push_back(Print(right));
  return {
      {fmt::format("ServiceAccount {}/{} lacks {} of {} rights: {}.", ns, account, lacking.size(),
                   asked, fmt::join(names, ", ")),
       "Upgrade the chart: its ClusterRole and its Role in the operator's namespace give them."}};
}

Findings CheckFleet(const std::vector<DescribedNode>& nodes,
                    const std::vector<crds::v1alpha1::NodeGroup>& groups) {
  return FleetCheck(nodes, groups).Run();
}

Findings CheckKueue(const KueueFacts& facts) {
  if (!facts.has_config_map && facts.webhooks.empty()) return {};
  if (facts.config == nullptr || !facts.config->is_object()) {
    return {{fmt::format("Kueue is installed ({}), but its configuration is not in ConfigMap "
                         "kueue-system/kueue-manager-config.",
                         facts.webhooks.empty() ? "ConfigMap" : Names(facts.webhooks)),
             "See that manageJobsWithoutQueueName is false there: else it suspends the Jobs of "
             "TrainingPools."}};
  }
  const KueueRules rules(*facts.config);
  Findings out;
  Held all;
  Held queued;
  for (const auto& [name, pools] : facts.namespaces) {
    if (rules.all && rules.Selects(name, pools)) {
      all.Add(name, pools, rules);
    } else if (pools.default_queue) {
      queued.Add(name, pools, rules);
    }
  }
  if (!all.namespaces.empty()) {
    out.push_back(
        {"Kueue manages Jobs without a queue name (manageJobsWithoutQueueName: true), and so "
         "suspends what belongs to " +
             all.Print() + ".",
         "Set manageJobsWithoutQueueName: false in ConfigMap kueue-system/kueue-manager-config, "
         "or leave these namespaces out of managedJobsNamespaceSelector."});
  }
  if (!queued.namespaces.empty()) {
    out.push_back(
        {"Kueue puts Jobs without a queue name into the LocalQueue default, and so suspends "
         "what belongs to " +
             queued.Print() + ".",
         "Give the LocalQueue another name, or use other namespaces for pools."});
  }
  return out;
}

}  // namespace spillway::controllers
