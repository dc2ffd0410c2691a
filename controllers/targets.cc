#include "controllers/targets.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "controllers/names.h"
#include "controllers/served.h"

namespace spillway::controllers {
namespace {

using Json = nlohmann::json;
using Target = crds::v1alpha1::ScaleTarget;

// A field that the kind does not have is refused, not dropped.
const kube::WriteOptions& Strictly() {
  static const kube::WriteOptions kOptions{kFieldManager, false, true};
  return kOptions;
}

std::string Named(const Target& target) {
  const std::string ns = target.ns.empty() ? std::string() : target.ns + "/";
  return fmt::format("{} {}{}", target.kind, ns, target.name);
}

std::string TextOf(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

class Look {
 public:
  Look(kube::Client& client, const TargetWish& wish, const Beat& beat, const std::stop_token& stop)
      : client_(client), target_(wish.target), wish_(wish), beat_(beat), stop_(stop) {}

  TargetLook Run() {
    if (!FindKind()) return look_;
    auto object = WithScale() ? client_.GetScale(served_.resource, target_.ns, target_.name, stop_)
                              : client_.Get(served_.resource, target_.ns, target_.name, stop_);
    if (!object) {
      Failed(object.error(), "get");
      return look_;
    }
    const Json json = Json::parse(*object, nullptr, false);
    look_.replicas = ReplicasIn(json);
    if (!look_.replicas) return look_;
    if (wish_.gives && !wish_.lowered) GiveBack(json);
    if (wish_.lowered && !IsOver(json)) return look_;
    if (wish_.at_least && *look_.replicas < *wish_.at_least) RaiseIfItIsAllOurs(json);
    return look_;
  }

 private:
  [[nodiscard]] bool WithScale() const { return target_.replicas_path.empty(); }
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
                        verb, PluralWithGroup(served_.resource), WithScale() ? "/scale" : "",
                        WithScale() ? "" : ", with wholeObject: true"));
        return;
      case Code::kInvalid:
        Problem(error.message);
        return;
      default:
        look_.again = true;
    }
  }

  bool FindKind() {
    const auto served = FindServed(client_, target_.api_version, target_.kind, stop_);
    if (!served && served.error().code == Code::kNotFound) {
      Problem(fmt::format("the API server does not serve {}", target_.api_version));
      return false;
    }
    if (!served) {
      look_.again = true;
      return false;
    }
    if (!*served) {
      Problem(fmt::format("{} has no kind {}", target_.api_version, target_.kind));
      return false;
    }
    served_ = **served;
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

  void RaiseIfItIsAllOurs(const Json& read) {
    if (*look_.replicas < wish_.nodes) {
      Problem(
          fmt::format("it has {} replicas, but {} nodes match the group's spec.selector: a "
                      "selector must match no others than the target's",
                      *look_.replicas, wish_.nodes));
      return;
    }
    const int before = *look_.replicas;
    if (Write(read, *wish_.at_least)) look_.raised_from = before;
  }

  void Take(NodeStep step) {
    std::move(step.versions.begin(), step.versions.end(), std::back_inserter(look_.node_versions));
    look_.again = look_.again || step.again;
    if (!step.problem.empty()) CannotLower(step.problem);
  }
  void CannotLower(const std::string& why) {
    look_.problem = fmt::format("{} cannot be lowered: {}", Named(target_), why);
    look_.fixed = true;
  }

  void GiveBack(const Json& read) {
    if (wish_.lower_to && *look_.replicas == *wish_.lower_to) return;  // it has been
    const int from = wish_.lower_to ? *wish_.lower_to + static_cast<int>(std::ssize(wish_.leaving))
                                    : *look_.replicas;
    if (!IsAtRest(read, from)) return;
    Take(CheckMachines(client_, target_, read, wish_.leaving, stop_));
    if (look_.fixed || look_.again) return;
    if (!wish_.hold.empty()) Take(HoldNodes(client_, wish_.hold, wish_.now, beat_, stop_));
    if (wish_.lower_to) Lower(read, from);
  }

  // May what is lowered be raised again, as that keeps nothing from going that is to go?
  bool IsOver(const Json& read) {
    const auto departure = LookAtDeparture(client_, target_, read, wish_.leaving, stop_);
    look_.again = !departure || !*departure;
    look_.stays = departure && *departure == Departure::kStayed;
    return departure && *departure == Departure::kUnderWay;
  }
  // It has what it had when it was decided which nodes go, so that it is lowered once, and its
  // status says that it has come to rest with that, or those that are marked might not be those
  // that go.
  bool IsAtRest(const Json& read, int from) {
    if (*look_.replicas != from) {
      CannotLower(fmt::format("it has {} replicas, and had {} when it was decided which nodes go",
                              *look_.replicas, from));
    } else if (!WithScale() || read.value("/status/replicas"_json_pointer, Json()) != from) {
      CannotLower(fmt::format("its scale does not say that it has {} replicas by now", from));
    }
    return !look_.fixed;
  }

  void Lower(const Json& read, int from) {
    Take(MarkMachines(client_, target_, wish_.leaving, beat_, stop_));
    if (!look_.problem.empty() || look_.again) return;
    if (Write(read, *wish_.lower_to)) look_.lowered_from = from;
  }

  // Is it as asked by then?
  bool Write(const Json& read, int replicas) {
    if (TextOf(Identity(read), "resourceVersion").empty()) {
      look_.again = true;  // without it the write would hold for whatever the object is by then
      return false;
    }
    const auto written = WithScale()
                             ? client_.UpdateScale(served_.resource, target_.ns, target_.name,
                                                   ScaleBody(read, replicas), Strictly(), stop_)
                             : client_.MergePatch(served_.resource, target_.ns, target_.name,
                                                  PatchBody(read, replicas), Strictly(), stop_);
    if (!written) {
      look_.refused = true;
      Failed(written.error(), WithScale() ? "update" : "patch");
      return false;
    }
    look_.replicas = ReplicasIn(Json::parse(*written, nullptr, false));
    if (look_.replicas == replicas) return true;
    if (look_.problem.empty() && !look_.again) {
      Problem(fmt::format("its {} did not take the number written there", Path()));
    }
    return false;
  }

  [[nodiscard]] std::string ScaleBody(const Json& read, int replicas) const {
    Json body = {{"apiVersion", ScaleResource().ApiVersion()},
                 {"kind", ScaleResource().kind},
                 {"metadata", Identity(read)},
                 {"spec", {{"replicas", replicas}}}};
    return body.dump();
  }
  [[nodiscard]] std::string PatchBody(const Json& read, int replicas) const {
    Json body = {{"metadata", {{"resourceVersion", Identity(read)["resourceVersion"]}}}};
    body[Pointer()] = replicas;
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
  const TargetWish& wish_;
  const Beat& beat_;
  const std::stop_token& stop_;
  Served served_;
  TargetLook look_;
};

}  // namespace

const kube::Resource& ScaleResource() {
  static const kube::Resource kResource{"autoscaling", "v1", "scales", "Scale", true};
  return kResource;
}

TargetLook LookAtTarget(kube::Client& client, const TargetWish& wish, const Beat& beat,
                        const std::stop_token& stop) {
  return Look(client, wish, beat, stop).Run();
}

}  // namespace spillway::controllers
