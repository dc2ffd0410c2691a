#include "controllers/leaving_nodes.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "controllers/names.h"
#include "controllers/served.h"
#include "kube/types/node.h"
#include "kube/types/pod.h"

namespace spillway::controllers {
namespace {

using Json = nlohmann::json;
using Pointer = Json::json_pointer;

constexpr const char* kMachine = "Machine";
// What we write as the value of a Machine's mark, so that only our own are ever taken off.
constexpr const char* kOurs = "spillway";

std::string TextAt(const Json& object, const Pointer& at) {
  if (!object.contains(at) || !object.at(at).is_string()) return {};
  return object.at(at).get<std::string>();
}
std::string Annotation(const Json& object, const std::string& key) {
  return TextAt(object, "/metadata/annotations"_json_pointer / key);
}
std::string VersionOf(const Json& object) {
  return TextAt(object, "/metadata/resourceVersion"_json_pointer);
}
bool IsCordoned(const Json& node) {
  return node.value("/spec/unschedulable"_json_pointer, Json(false)) == true;
}
std::string GroupOf(const std::string& api_version) {
  return api_version.substr(0, api_version.find('/'));
}

std::string MarkOf(const std::string& group) { return group + "/delete-machine"; }
bool IsGoing(const Json& object) {
  return object.contains("/metadata/deletionTimestamp"_json_pointer);
}
std::string NodeOf(const Json& machine) {
  return TextAt(machine, "/status/nodeRef/name"_json_pointer);
}

NodeStep Wrong(std::string problem) { return {.problem = std::move(problem)}; }

// What the chart lets nobody do is said; everything else passes.
NodeStep Failed(const Error& error, const std::string& what) {
  if (error.code != Code::kForbidden) return {.again = true};
  return Wrong(fmt::format(
      "Spillway may not {}: say machines: true where the chart's value elasticTargets names the "
      "kind",
      what));
}

// All objects of a list, page by page.
Result<std::vector<Json>> ListAll(kube::Client& client, const kube::Resource& resource,
                                  kube::ListOptions options, const std::stop_token& stop) {
  std::vector<Json> all;
  do {
    const auto answer = client.List(resource, options, stop);
    if (!answer) return answer.error();
    Json list = Json::parse(*answer, nullptr, false);
    if (!list.is_object() || !list.contains("items") || !list["items"].is_array()) {
      return Error{Code::kUnavailable, "a list that cannot be read"};
    }
    for (Json& item : list["items"]) all.push_back(std::move(item));
    options.continue_token = TextAt(list, "/metadata/continue"_json_pointer);
  } while (!options.continue_token.empty());
  return all;
}

// Those with one value in a field, which the right to list is enough for.
Result<std::vector<Json>> ListBy(kube::Client& client, const kube::Resource& resource,
                                 const std::string& field, const std::string& value,
                                 const std::stop_token& stop) {
  kube::ListOptions options;
  options.field_selector = field + "=" + value;
  return ListAll(client, resource, std::move(options), stop);
}

// nullopt: it is gone.
Result<std::optional<Json>> ReadNode(kube::Client& client, const std::string& name,
                                     const std::stop_token& stop) {
  auto items = ListBy(client, kube::NodeResource(), "metadata.name", name, stop);
  if (!items) return items.error();
  if (items->empty()) return std::optional<Json>();
  return std::optional<Json>(std::move(items->front()));
}

// Changes the object as it was read; the version that it has by then.
Result<std::string> Change(kube::Client& client, const kube::Resource& resource, const Json& read,
                           Json patch, const std::stop_token& stop) {
  const std::string version = VersionOf(read);
  if (version.empty()) return Error{Code::kConflict, "an object without a version"};
  patch["metadata"]["resourceVersion"] = version;
  const auto written = client.MergePatch(resource, TextAt(read, "/metadata/namespace"_json_pointer),
                                         TextAt(read, "/metadata/name"_json_pointer), patch.dump(),
                                         {kFieldManager, false, false}, stop);
  if (!written) return written.error();
  return VersionOf(Json::parse(*written, nullptr, false));
}

// A pod that the node is not empty with; empty: there is none.
std::string PodInTheWay(const std::vector<Json>& pods) {
  for (const Json& pod : pods) {
    const std::string phase = TextAt(pod, "/status/phase"_json_pointer);
    if (phase == "Succeeded" || phase == "Failed") continue;
    bool comes_with_node = false;
    for (const Json& owner : pod.value("/metadata/ownerReferences"_json_pointer, Json::array())) {
      const std::string kind = TextAt(owner, "/kind"_json_pointer);
      const bool controls = owner.value("controller", Json(false)) == true;
      comes_with_node = comes_with_node || (controls && (kind == "DaemonSet" || kind == "Node"));
    }
    if (comes_with_node) continue;
    return TextAt(pod, "/metadata/namespace"_json_pointer) + "/" +
           TextAt(pod, "/metadata/name"_json_pointer);
  }
  return {};
}

NodeStep HasNoMachines(const crds::v1alpha1::ScaleTarget& target) {
  return Wrong(
      fmt::format("{} has no kind Machine, and there is no other way to say which nodes are to go",
                  target.api_version));
}

// All that the scale's selector names, or why they are not known.
struct MachineList {
  std::vector<Json> items{};
  NodeStep step{};
};

MachineList ListMachines(kube::Client& client, const crds::v1alpha1::ScaleTarget& target,
                         const Json& scale, const std::stop_token& stop) {
  kube::ListOptions options;
  options.ns = target.ns;
  options.label_selector = TextAt(scale, "/status/selector"_json_pointer);
  if (options.label_selector.empty()) {
    return {.step =
                Wrong("its scale does not say which Machines are its: it has no status.selector")};
  }
  const auto served = FindServed(client, target.api_version, kMachine, stop);
  if (!served) return {.step = {.again = true}};
  if (!*served) return {.step = HasNoMachines(target)};
  const kube::Resource& machines = (*served)->resource;
  auto all = ListAll(client, machines, std::move(options), stop);
  if (!all) return {.step = Failed(all.error(), "list " + PluralWithGroup(machines))};
  return {.items = *std::move(all)};
}

// The uid of the MachineSet that controls the Machine; empty: none does.
std::string MachineSetOf(const Json& machine) {
  for (const Json& owner : machine.value("/metadata/ownerReferences"_json_pointer, Json::array())) {
    const bool controls = owner.value("controller", Json(false)) == true;
    const bool is_set = TextAt(owner, "/kind"_json_pointer) == "MachineSet";
    if (controls && is_set) return TextAt(owner, "/uid"_json_pointer);
  }
  return {};
}

// What is wrong with one of all the target's Machines: `set` is the MachineSet of the first of
// them.
std::optional<std::string> MachineProblem(const Json& machine,
                                          const crds::v1alpha1::ScaleTarget& target,
                                          const Json& scale, const std::string& set,
                                          const std::set<std::string>& nodes) {
  const std::string name = "Machine " + TextAt(machine, "/metadata/name"_json_pointer);
  const std::string owner = MachineSetOf(machine);
  if (owner.empty()) {
    return name +
           " belongs to no MachineSet, and nothing else is known to let marked ones go first";
  }
  const bool is_target =
      target.kind != "MachineSet" || owner == TextAt(scale, "/metadata/uid"_json_pointer);
  if (owner != set || !is_target) {
    return name + " belongs to another MachineSet: all of the target's have to belong to one";
  }
  if (IsGoing(machine)) return name + " is being deleted";
  const bool marked = !Annotation(machine, MarkOf(GroupOf(target.api_version))).empty();
  if (marked && !nodes.contains(NodeOf(machine))) {
    return name + " is marked to go, and its node is not given back";
  }
  return std::nullopt;
}

// One node of those that go.
class Marking {
 public:
  Marking(kube::Client& client, const crds::v1alpha1::ScaleTarget& target, const Served& machines,
          std::string node, const std::stop_token& stop)
      : client_(client),
        target_(target),
        machines_(machines),
        name_(std::move(node)),
        group_(machines.resource.group),
        stop_(stop) {}

  NodeStep Run() {
    if (NodeStep step = LookAtNode(); !step.Done()) return step;
    if (NodeStep step = FindMachine(); !step.Done()) return step;
    NodeStep step = NoteMachine();
    if (!step.Done() || !Annotation(machine_, Mark()).empty()) return step;
    const Json patch = {{"metadata", {{"annotations", {{Mark(), kOurs}}}}}};
    if (const auto marked = Change(client_, machines_.resource, machine_, patch, stop_); !marked) {
      step = Failed(marked.error(), "patch " + PluralWithGroup(machines_.resource));
    }
    return step;
  }

 private:
  [[nodiscard]] std::string Mark() const { return MarkOf(group_); }

  NodeStep LookAtNode() {
    auto node = ReadNode(client_, name_, stop_);
    if (!node) return {.again = true};
    if (!*node) return Wrong(fmt::format("node {} is gone already", name_));
    node_ = **std::move(node);
    if (!IsCordoned(node_) || Annotation(node_, kLeavingAnnotation).empty()) {
      return Wrong(fmt::format("node {} is not cordoned any more", name_));
    }
    const auto pods = ListBy(client_, kube::PodResource(), "spec.nodeName", name_, stop_);
    if (!pods) return {.again = true};
    const std::string pod = PodInTheWay(*pods);
    return pod.empty() ? NodeStep() : Wrong(fmt::format("pod {} is on node {}", pod, name_));
  }

  NodeStep FindMachine() {
    std::string machine = Annotation(node_, group_ + "/machine");
    if (machine.empty()) {
      return Wrong(
          fmt::format("node {} does not say which Machine it is: it has no annotation {}/machine",
                      name_, group_));
    }
    std::string ns = target_.ns;
    if (const size_t slash = machine.find('/'); slash != std::string::npos) {
      ns = machine.substr(0, slash);
      machine = machine.substr(slash + 1);
    }
    const auto object = client_.Get(machines_.resource, ns, machine, stop_);
    const std::string name = fmt::format("Machine {}/{}", ns, machine);
    if (!object && object.error().code == Code::kNotFound) {
      return Wrong(fmt::format("there is no {}, which node {} says it is", name, name_));
    }
    if (!object) return Failed(object.error(), "get " + PluralWithGroup(machines_.resource));
    machine_ = Json::parse(*object, nullptr, false);
    if (NodeOf(machine_) != name_) {
      return Wrong(fmt::format("{} does not say that it is node {}", name, name_));
    }
    return {};
  }

  // The node says which Machine was marked, before it is.
  NodeStep NoteMachine() {
    const std::string note = fmt::format("{} {}/{}", target_.api_version,
                                         TextAt(machine_, "/metadata/namespace"_json_pointer),
                                         TextAt(machine_, "/metadata/name"_json_pointer));
    if (Annotation(node_, kMachineAnnotation) == note) return {};
    const Json patch = {{"metadata", {{"annotations", {{kMachineAnnotation, note}}}}}};
    const auto version = Change(client_, kube::NodeResource(), node_, patch, stop_);
    if (!version) return Failed(version.error(), "patch nodes");
    return {.versions = {*version}};
  }

  kube::Client& client_;
  const crds::v1alpha1::ScaleTarget& target_;
  const Served& machines_;
  const std::string name_;
  const std::string group_;
  const std::stop_token& stop_;
  Json node_;
  Json machine_;
};

NodeStep HoldNode(kube::Client& client, const std::string& name, Time now,
                  const std::stop_token& stop) {
  const auto node = ReadNode(client, name, stop);
  if (!node) return {.again = true};
  if (!*node || IsCordoned(**node)) return {};  // the plan will see it
  const Json patch = {{"metadata", {{"annotations", {{kLeavingAnnotation, FormatTime(now)}}}}},
                      {"spec", {{"unschedulable", true}}}};
  const auto version = Change(client, kube::NodeResource(), **node, patch, stop);
  if (!version) return Failed(version.error(), "patch nodes");
  return {.versions = {*version}};
}

NodeStep ForEach(const std::vector<std::string>& nodes, const Beat& beat, const auto& take) {
  NodeStep all;
  for (const std::string& node : nodes) {
    NodeStep step = take(node);
    beat();
    std::move(step.versions.begin(), step.versions.end(), std::back_inserter(all.versions));
    all.problem = std::move(step.problem);
    all.again = step.again;
    if (!all.Done()) break;
  }
  return all;
}

// Takes our mark off the Machine that the note names: "cluster.x-k8s.io/v1beta2 capi/burst-7".
Status Unmark(kube::Client& client, const std::string& note, const std::stop_token& stop) {
  const size_t space = note.find(' ');
  const size_t slash = space == std::string::npos ? space : note.find('/', space);
  if (slash == std::string::npos) return Ok{};  // somebody else wrote it
  const std::string api_version = note.substr(0, space);
  const auto served = FindServed(client, api_version, kMachine, stop);
  if (!served && served.error().code == Code::kNotFound) return Ok{};
  if (!served) return served.error();
  if (!*served) return Ok{};
  const kube::Resource& machines = (*served)->resource;
  const auto object =
      client.Get(machines, note.substr(space + 1, slash - space - 1), note.substr(slash + 1), stop);
  if (!object && object.error().code == Code::kNotFound) return Ok{};
  if (!object) return object.error();
  const Json machine = Json::parse(*object, nullptr, false);
  if (IsGoing(machine)) return Error{Code::kUnavailable, "its Machine is being deleted"};
  const std::string mark = MarkOf(GroupOf(api_version));
  if (Annotation(machine, mark) != kOurs) return Ok{};
  const Json patch = {{"metadata", {{"annotations", {{mark, nullptr}}}}}};
  const auto done = Change(client, machines, machine, patch, stop);
  return done ? Status(Ok{}) : Status(done.error());
}

}  // namespace

NodeStep HoldNodes(kube::Client& client, const std::vector<std::string>& nodes, Time now,
                   const Beat& beat, const std::stop_token& stop) {
  return ForEach(nodes, beat,
                 [&](const std::string& node) { return HoldNode(client, node, now, stop); });
}

NodeStep CheckMachines(kube::Client& client, const crds::v1alpha1::ScaleTarget& target,
                       const Json& scale, const std::vector<std::string>& nodes,
                       const std::stop_token& stop) {
  auto machines = ListMachines(client, target, scale, stop);
  if (!machines.step.Done()) return machines.step;
  const size_t replicas = scale.value("/spec/replicas"_json_pointer, size_t{0});
  if (machines.items.size() != replicas) {
    return Wrong(fmt::format("its scale's selector names {} Machines, and it has {} replicas",
                             machines.items.size(), replicas));
  }
  const std::set<std::string> ours(nodes.begin(), nodes.end());
  std::set<std::string> missing = ours;
  const std::string set = MachineSetOf(machines.items.empty() ? Json() : machines.items.front());
  for (const Json& machine : machines.items) {
    if (auto problem = MachineProblem(machine, target, scale, set, ours)) return Wrong(*problem);
    missing.erase(NodeOf(machine));
  }
  if (missing.empty()) return {};
  return Wrong(fmt::format("no Machine of it says that it is node {}", *missing.begin()));
}

Result<std::optional<Departure>> LookAtDeparture(kube::Client& client,
                                                 const crds::v1alpha1::ScaleTarget& target,
                                                 const Json& scale,
                                                 const std::vector<std::string>& nodes,
                                                 const std::stop_token& stop) {
  const auto machines = ListMachines(client, target, scale, stop);
  if (!machines.step.Done()) return Error{Code::kUnavailable, machines.step.problem};
  const bool some_stay = std::ranges::any_of(machines.items, [&](const Json& machine) {
    return !IsGoing(machine) && std::ranges::count(nodes, NodeOf(machine)) > 0;
  });
  if (!some_stay) return std::optional(Departure::kUnderWay);
  const bool rests = scale.value("/spec/replicas"_json_pointer, Json(0)) ==
                     scale.value("/status/replicas"_json_pointer, Json(-1));
  return rests ? std::optional(Departure::kStayed) : std::nullopt;
}

NodeStep MarkMachines(kube::Client& client, const crds::v1alpha1::ScaleTarget& target,
                      const std::vector<std::string>& nodes, const Beat& beat,
                      const std::stop_token& stop) {
  const auto served = FindServed(client, target.api_version, kMachine, stop);
  if (!served) return {.again = true};
  if (!*served) return HasNoMachines(target);
  return ForEach(nodes, beat, [&](const std::string& node) {
    return Marking(client, target, **served, node, stop).Run();
  });
}

Result<std::optional<std::string>> ReleaseNode(kube::Client& client, const std::string& node,
                                               const std::stop_token& stop) {
  const auto read = ReadNode(client, node, stop);
  if (!read) return read.error();
  if (!*read) return std::optional<std::string>();
  const Json& object = **read;
  const bool held = !Annotation(object, kLeavingAnnotation).empty();
  const std::string note = Annotation(object, kMachineAnnotation);
  if (!held && note.empty()) return std::optional<std::string>();
  if (Status done = Unmark(client, note, stop); !done) return std::move(done).error();
  Json patch = {
      {"metadata",
       {{"annotations", {{kLeavingAnnotation, nullptr}, {kMachineAnnotation, nullptr}}}}}};
  if (held && IsCordoned(object)) patch["spec"] = {{"unschedulable", nullptr}};
  auto version = Change(client, kube::NodeResource(), object, patch, stop);
  if (!version) return version.error();
  return std::optional<std::string>(*std::move(version));
}

}  // namespace spillway::controllers
