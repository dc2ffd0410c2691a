#include "controllers/targets.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "controllers/names.h"

namespace spillway::controllers {
namespace {

using Json = nlohmann::json;
using Target = crds::v1alpha1::ScaleTarget;

// A field that the kind does not have is refused, not dropped.
const kube::WriteOptions& Strictly() {
  static const kube::WriteOptions kOptions{kFieldManager, false, true};
  return kOptions;
}

// A target's kind as the API server serves it.
struct Served {
  kube::Resource resource;
  bool has_scale = false;
};

std::string Named(const Target& target) {
  const std::string ns = target.ns.empty() ? std::string() : target.ns + "/";
  return fmt::format("{} {}{}", target.kind, ns, target.name);
}

kube::Resource ResourceOf(const Target& target) {
  const size_t slash = target.api_version.find('/');
  kube::Resource resource;
  resource.kind = target.kind;
  resource.version = target.api_version.substr(slash == std::string::npos ? 0 : slash + 1);
  if (slash != std::string::npos) resource.group = target.api_version.substr(0, slash);
  return resource;
}

std::string TextOf(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

// What of an APIResourceList is the kind's; nothing if it is not among them.
std::optional<Served> FindKind(const Json& list, const Target& target) {
  Served served{ResourceOf(target), false};
  const auto resources = list.find("resources");
  if (resources == list.end() || !resources->is_array()) return std::nullopt;
  for (const Json& one : *resources) {
    const std::string name = TextOf(one, "name");
    if (TextOf(one, "kind") != target.kind || name.find('/') != std::string::npos) continue;
    served.resource.plural = name;
    const auto namespaced = one.find("namespaced");
    served.resource.namespaced = namespaced != one.end() && *namespaced == true;
  }
  if (served.resource.plural.empty()) return std::nullopt;
  served.has_scale = std::any_of(resources->begin(), resources->end(), [&](const Json& one) {
    return TextOf(one, "name") == served.resource.plural + "/scale";
  });
  return served;
}

class Look {
 public:
  Look(kube::Client& client, const TargetWish& wish, const std::stop_token& stop)
      : client_(client),
        target_(wish.target),
        at_least_(wish.at_least),
        nodes_(wish.nodes),
        stop_(stop) {}

  TargetLook Run() {
    if (!FindServed()) return look_;
    auto object = WithScale() ? client_.GetScale(served_.resource, target_.ns, target_.name, stop_)
                              : client_.Get(served_.resource, target_.ns, target_.name, stop_);
    if (!object) {
      Failed(object.error(), "get");
      return look_;
    }
    const Json json = Json::parse(*object, nullptr, false);
    look_.replicas = ReplicasIn(json);
    if (!look_.replicas || !at_least_ || *look_.replicas >= *at_least_) return look_;
    if (*look_.replicas < nodes_) {
      Problem(
          fmt::format("it has {} replicas, but {} nodes match the group's spec.selector: a "
                      "selector must match no others than the target's",
                      *look_.replicas, nodes_));
    } else {
      Raise(json);
    }
    return look_;
  }

 private:
  [[nodiscard]] bool WithScale() const { return target_.replicas_path.empty(); }
  // "machinedeployments.cluster.x-k8s.io"
  [[nodiscard]] std::string PluralWithGroup() const {
    const kube::Resource& resource = served_.resource;
    return resource.group.empty() ? resource.plural : resource.plural + "." + resource.group;
  }
  [[nodiscard]] std::string Path() const {
    return WithScale() ? ".spec.replicas" : target_.replicas_path;
  }
  [[nodiscard]] Json::json_pointer Pointer() const {
    std::string path = Path();
    std::replace(path.begin(), path.end(), '.', '/');
    return Json::json_pointer(path);
  }

  void Problem(const std::string& what) {
    look_.problem = fmt::format("{} cannot be scaled: {}", Named(target_), what);
  }

  // What passes by itself is no problem: it is looked at again.
  void Failed(const Error& error, const char* verb) {
    switch (error.code) {
      case Code::kNotFound:
        look_.problem = fmt::format("there is no {} of {}", Named(target_), target_.api_version);
        return;
      case Code::kForbidden:
        Problem(
            fmt::format("Spillway may not {} {}{}: name the kind in the chart's value "
                        "elasticTargets{}",
                        verb, PluralWithGroup(), WithScale() ? "/scale" : "",
                        WithScale() ? "" : ", with wholeObject: true"));
        return;
      case Code::kInvalid:
        Problem(error.message);
        return;
      default:
        look_.again = true;
    }
  }

  bool FindServed() {
    const kube::Resource resource = ResourceOf(target_);
    const std::string path = resource.group.empty() ? "/api/" : "/apis/";
    const auto answer = client_.GetPath(path + target_.api_version, stop_);
    if (!answer && answer.error().code == Code::kNotFound) {
      Problem(fmt::format("the API server does not serve {}", target_.api_version));
      return false;
    }
    if (!answer) {
      look_.again = true;
      return false;
    }
    const auto served = FindKind(Json::parse(*answer, nullptr, false), target_);
    if (!served) {
      Problem(fmt::format("{} has no kind {}", target_.api_version, target_.kind));
      return false;
    }
    served_ = *served;
    if (served_.resource.namespaced && target_.ns.empty()) {
      Problem("objects of this kind are in a namespace: set spec.elastic.target.namespace");
    } else if (!served_.resource.namespaced && !target_.ns.empty()) {
      Problem("objects of this kind are in no namespace: leave spec.elastic.target.namespace out");
    } else if (WithScale() && !served_.has_scale) {
      Problem("the kind has no scale subresource: set spec.elastic.target.replicasPath");
    }
    return look_.problem.empty();
  }

  // Can there be a field at the path: is nothing on the way to it but objects, or nothing at all?
  [[nodiscard]] bool MayHold(const Json& object) const {
    for (Json::json_pointer at = Pointer().parent_pointer(); !at.empty();
         at = at.parent_pointer()) {
      if (object.contains(at) && !object.at(at).is_object()) return false;
    }
    return true;
  }

  // What is left out counts as 0.
  std::optional<int> ReplicasIn(const Json& object) {
    if (!object.is_object()) {
      look_.again = true;
      return std::nullopt;
    }
    if (!MayHold(object)) {
      Problem(fmt::format("its {} cannot be a number of replicas", Path()));
      return std::nullopt;
    }
    const Json value = object.contains(Pointer()) ? object.at(Pointer()) : Json();
    if (value.is_null()) return 0;
    const bool fits = value.is_number_unsigned() &&
                      value.get<uint64_t>() <= uint64_t{std::numeric_limits<int32_t>::max()};
    if (!fits) {
      Problem(fmt::format("its {} is no number of replicas", Path()));
      return std::nullopt;
    }
    return static_cast<int>(value.get<uint64_t>());
  }

  void Raise(const Json& read) {
    if (TextOf(Identity(read), "resourceVersion").empty()) {
      look_.again = true;  // without it the write would hold for whatever the object is by then
      return;
    }
    const auto written = WithScale()
                             ? client_.UpdateScale(served_.resource, target_.ns, target_.name,
                                                   ScaleBody(read), Strictly(), stop_)
                             : client_.MergePatch(served_.resource, target_.ns, target_.name,
                                                  PatchBody(read), Strictly(), stop_);
    if (written) {
      const auto before = look_.replicas;
      look_.replicas = ReplicasIn(Json::parse(*written, nullptr, false));
      if (look_.replicas && *look_.replicas >= *at_least_) {
        look_.raised_from = before;
      } else if (look_.problem.empty() && !look_.again) {
        Problem(fmt::format("its {} did not take the number written there", Path()));
      }
      return;
    }
    look_.refused = true;
    Failed(written.error(), WithScale() ? "update" : "patch");
  }

  [[nodiscard]] std::string ScaleBody(const Json& read) const {
    Json body = {{"apiVersion", ScaleResource().ApiVersion()},
                 {"kind", ScaleResource().kind},
                 {"metadata", Identity(read)},
                 {"spec", {{"replicas", *at_least_}}}};
    return body.dump();
  }
  [[nodiscard]] std::string PatchBody(const Json& read) const {
    Json body = {{"metadata", {{"resourceVersion", Identity(read)["resourceVersion"]}}}};
    body[Pointer()] = *at_least_;
    return body.dump();
  }
  // Of the object that was read: the write holds for no other.
  [[nodiscard]] Json Identity(const Json& read) const {
    Json out = {{"name", target_.name}};
    if (!target_.ns.empty()) out["namespace"] = target_.ns;
    const auto at = read.find("metadata");
    const Json meta = at != read.end() && at->is_object() ? *at : Json::object();
    for (const char* field : {"uid", "resourceVersion"}) out[field] = TextOf(meta, field);
    return out;
  }

  kube::Client& client_;
  const Target& target_;
  const std::optional<int> at_least_;
  const int nodes_;
  const std::stop_token& stop_;
  Served served_;
  TargetLook look_;
};

}  // namespace

const kube::Resource& ScaleResource() {
  static const kube::Resource kResource{"autoscaling", "v1", "scales", "Scale", true};
  return kResource;
}

TargetLook LookAtTarget(kube::Client& client, const TargetWish& wish, const std::stop_token& stop) {
  return Look(client, wish, stop).Run();
}

}  // namespace spillway::controllers
