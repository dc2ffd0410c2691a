#include "controllers/leaving_nodes.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
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

NodeStep Wrong(std::string problem) { return {.problem = std::move(problem)}; }

// What the chart lets nobody do is said; everything else passes.
NodeStep Failed(const Error& error, const std::string& what) {
  if (error.code != Code::kForbidden) return {.again = true};
  return Wrong(fmt::format(
      "Spillway may not {}: say machines: true where the chart's value elasticTargets names the "
      "kind",
      what));
}

// The objects of a list by one field, which the right to list is enough for. `Json()`: it is no
// list.
Result<Json> ListBy(kube::Client& client, const kube::Resource& resource, const std::string& field,
                    const std::string& value, const std::stop_token& stop) {
  kube::ListOptions options;
  options.field_selector = field + "=" + value;
  const auto answer = client.List(resource, options, stop);
  if (!answer) return answer.error();
  Json list = Json::parse(*answer, nullptr, false);
  const bool whole = list.is_object() && list.contains("items") && list["items"].is_array() &&
                     TextAt(list, "/metadata/continue"_json_pointer).empty();
  if (!whole) return Error{Code::kUnavailable, "a list that cannot be read"};
  return std::move(list["items"]);
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
std::string PodInTheWay(const Json& pods) {
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
  [[nodiscard]] std::string Mark() const { return group_ + "/delete-machine"; }

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
    if (TextAt(machine_, "/status/nodeRef/name"_json_pointer) != name_) {
      return Wrong(fmt::format("{} does not say that it is node {}", name, name_));
    }
    const std::string owner =
        TextAt(machine_, "/metadata/labels"_json_pointer / (group_ + "/deployment-name"));
    if (!owner.empty() && target_.kind == "MachineDeployment" && owner != target_.name) {
      return Wrong(fmt::format("{} belongs to MachineDeployment {}", name, owner));
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

NodeStep ForEach(const std::vector<std::string>& nodes, const auto& take) {
  NodeStep all;
  for (const std::string& node : nodes) {
    NodeStep step = take(node);
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
  const std::string mark = GroupOf(api_version) + "/delete-machine";
  if (Annotation(machine, mark) != kOurs) return Ok{};
  const Json patch = {{"metadata", {{"annotations", {{mark, nullptr}}}}}};
  const auto done = Change(client, machines, machine, patch, stop);
  return done ? Status(Ok{}) : Status(done.error());
}

}  // namespace

NodeStep HoldNodes(kube::Client& client, const std::vector<std::string>& nodes, Time now,
                   const std::stop_token& stop) {
  return ForEach(nodes, [&](const std::string& node) { return HoldNode(client, node, now, stop); });
}

NodeStep MarkMachines(kube::Client& client, const crds::v1alpha1::ScaleTarget& target,
                      const std::vector<std::string>& nodes, const std::stop_token& stop) {
  const auto served = FindServed(client, target.api_version, kMachine, stop);
  if (!served) return {.again = true};
  if (!*served) {
    return Wrong(fmt::format(
        "{} has no kind Machine, and there is no other way to say which nodes are to go",
        target.api_version));
  }
  return ForEach(nodes, [&](const std::string& node) {
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
