#include "tests/support/fake_api_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "tests/support/apply.h"
#include "tests/support/fake_api_state.h"

namespace spillway::support {
namespace {

using kube::HttpRequest;
using kube::HttpResponse;
using Json = nlohmann::json;

constexpr int64_t kDefaultGrace = 30;

// "jobs.batch "w"" as messages name an object.
std::string Describe(const ApiTarget& target) {
  const std::string group = target.kind->group.empty() ? "" : "." + target.kind->group;
  return fmt::format("{}{} \"{}\"", target.kind->plural, group, target.name);
}

Json DetailsOf(const ApiTarget& target) {
  Json details = {{"name", target.name}, {"kind", target.kind->plural}};
  if (!target.kind->group.empty()) details["group"] = target.kind->group;
  return details;
}

HttpResponse NotFound(const ApiTarget& target) {
  return StatusAnswer(404, "NotFound", Describe(target) + " not found", DetailsOf(target));
}

HttpResponse NoSuchResource() {
  return StatusAnswer(404, "NotFound", "the server could not find the requested resource",
                      Json::object());
}

HttpResponse BadRequest(const std::string& why) { return StatusAnswer(400, "BadRequest", why); }

HttpResponse Conflict(const ApiTarget& target, const std::string& why) {
  return StatusAnswer(409, "Conflict",
                      fmt::format("Operation cannot be fulfilled on {}: {}", Describe(target), why),
                      DetailsOf(target));
}

Json Cause(const std::string& reason, const std::string& message, const std::string& field) {
  return {{"reason", reason}, {"message", message}, {"field", field}};
}

// 422 for an object as a whole, which is named by its kind, not by its resource.
HttpResponse Invalid(const ApiTarget& target, const std::string& field, const std::string& cause,
                     const std::string& message) {
  const std::string group = target.kind->group.empty() ? "" : "." + target.kind->group;
  Json details = DetailsOf(target);
  details["kind"] = target.kind->kind;
  details["causes"] = Json::array({Cause(cause, message, field)});
  return StatusAnswer(422, "Invalid",
                      fmt::format("{}{} \"{}\" is invalid: {}: {}", target.kind->kind, group,
                                  target.name, field, message),
                      details);
}

HttpResponse NoVersion(const ApiTarget& target) {
  const std::string message = "Invalid value: 0: must be specified for an update";
  Json details = DetailsOf(target);
  details["causes"] =
      Json::array({Cause("FieldValueInvalid", message, "metadata.resourceVersion")});
  return StatusAnswer(
      422, "Invalid",
      fmt::format("{} is invalid: metadata.resourceVersion: {}", Describe(target), message),
      details);
}

// A body that is for another object than the path.
std::optional<HttpResponse> OtherObject(const ApiTarget& target, const Json& object) {
  const std::string name = MetaText(object, "name");
  if (!name.empty() && !target.name.empty() && name != target.name) {
    return BadRequest(fmt::format(
        "the name of the object ({}) does not match the name on the URL ({})", name, target.name));
  }
  const std::string ns = MetaText(object, "namespace");
  if (!ns.empty() && ns != target.ns) {
    return BadRequest(
        "the namespace of the provided object does not match the namespace sent on the request");
  }
  return std::nullopt;
}

constexpr const char* kModified =
    "the object has been modified; please apply your changes to the latest version and try again";

// Takes over what no body may change.
void KeepIdentity(const Json& old, Json& object) {
  for (const char* field : {"uid", "creationTimestamp", "generation", "deletionTimestamp",
                            "deletionGracePeriodSeconds", "namespace", "name", "resourceVersion"}) {
    object["metadata"].erase(field);
    if (old["metadata"].contains(field)) object["metadata"][field] = old["metadata"][field];
  }
  object["kind"] = old["kind"];
  object["apiVersion"] = old["apiVersion"];
}

void ReplaceStatus(const Json& from, Json& object) {
  object.erase("status");
  if (from.contains("status")) object["status"] = from["status"];
}

std::string VerbOf(const HttpRequest& request, const std::optional<ApiTarget>& target) {
  if (request.method == "POST") return "create";
  if (request.method == "PUT") return "update";
  if (request.method == "PATCH") return "patch";
  if (request.method == "DELETE") return "delete";
  if (!target || !target->name.empty()) return "get";
  const std::string watch = target->Query("watch");
  return watch == "true" || watch == "1" ? "watch" : "list";
}

// What of an object somebody can own: not what only says which object it is, or the server sets.
Json FieldsOf(Json body) {
  for (const char* field : {"kind", "apiVersion"}) body.erase(field);
  if (!body.contains("metadata")) return body;
  for (const char* field :
       {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
        "deletionTimestamp", "deletionGracePeriodSeconds"}) {
    body["metadata"].erase(field);
  }
  if (body["metadata"].empty()) body.erase("metadata");
  return body;
}

bool IsApply(const LoggedRequest& request) {
  return request.content_type == "application/apply-patch+yaml";
}

// "m/apply/status": the manager as the server tells managers apart.
std::string ManagerOf(const LoggedRequest& request, const ApiTarget& target) {
  std::string name = target.Query("fieldManager");
  if (name.empty()) name = request.user_agent.substr(0, request.user_agent.find('/'));
  return fmt::format("{}/{}/{}", name, IsApply(request) ? "apply" : "update", target.subresource);
}

// `conflict with "m" using v1`, which an apply's refusal says of another manager.
std::string ConflictWith(const std::string& manager, const ServedKind& kind) {
  std::istringstream parts(manager);
  std::string name;
  std::string how;
  std::getline(parts, name, '/');
  std::getline(parts, how, '/');
  return fmt::format("conflict with \"{}\"{}", name,
                     how == "update" ? " using " + kind.ApiVersion() : "");
}

std::optional<HttpResponse> Refused(const std::map<std::string, Json>& owners,
                                    const ApiTarget& target, const Json& live, const Json& intent) {
  Json causes = Json::array();
  std::string text;
  for (const auto& [manager, owned] : owners) {
    if (manager == target.manager) continue;
    for (const std::string& field : Conflicts(live, intent, owned)) {
      const std::string with = ConflictWith(manager, *target.kind);
      causes.push_back(Cause("FieldManagerConflict", with, field));
      text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", with, field);
    }
  }
  if (causes.empty()) return std::nullopt;
  const size_t count = causes.size();
  return StatusAnswer(
      409, "Conflict",
      fmt::format("Apply failed with {} conflict{}: {}", count, count == 1 ? "" : "s", text),
      {{"causes", std::move(causes)}});
}

Json Finalizers(const Json& object) {
  return object["metadata"].value("finalizers", Json::array());
}

// A finalizer that is new on an object that is being deleted; empty if there is none.
std::string NewFinalizer(const Json& old, const Json& object) {
  if (!old["metadata"].contains("deletionTimestamp")) return {};
  const Json known = Finalizers(old);
  for (const Json& one : Finalizers(object)) {
    if (std::find(known.begin(), known.end(), one) == known.end()) return one.get<std::string>();
  }
  return {};
}

// As the real server does it: what is replaced in an object need not be there before.
Json Patched(Json object, const Json& operations) {
  for (Json operation : operations) {
    if (operation.value("op", "") == "replace") {
      const Json::json_pointer at(operation.value("path", ""));
      const bool field = !at.empty() && object.contains(at.parent_pointer()) &&
                         object[at.parent_pointer()].is_object();
      if (field) operation["op"] = "add";
    }
    object = object.patch(Json::array({operation}));
  }
  return object;
}

// Whether a delete means an earlier object, or an earlier state of it.
std::optional<HttpResponse> OtherThanAsked(const ApiTarget& target, const Json& object,
                                           const Json& options) {
  const Json asked = options.value("preconditions", Json::object());
  for (const auto& [field, name] :
       {std::pair{"uid", "UID"}, {"resourceVersion", "ResourceVersion"}}) {
    const std::string wanted = asked.value(field, std::string());
    const std::string here = MetaText(object, field);
    if (wanted.empty() || wanted == here) continue;
    Json details = DetailsOf(target);
    details["kind"] = target.kind->kind;
    return StatusAnswer(
        409, "Conflict",
        fmt::format(
            "Operation cannot be fulfilled on {} \"{}\": the {} in the precondition ({}) does "
            "not match the {} in record ({})",
            target.kind->kind, target.name, name, wanted, name, here),
        details);
  }
  return std::nullopt;
}

Json ScaleOf(const Json& object) {
  Json meta;
  for (const char* field : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}) {
    if (object["metadata"].contains(field)) meta[field] = object["metadata"][field];
  }
  Json status = {{"replicas", object.value(Json::json_pointer("/status/replicas"), 0)}};
  const std::string selector = object.value(Json::json_pointer("/status/selector"), "");
  if (!selector.empty()) status["selector"] = selector;
  return {{"kind", "Scale"},
          {"apiVersion", "autoscaling/v1"},
          {"metadata", meta},
          {"spec", {{"replicas", object.value(Json::json_pointer("/spec/replicas"), 0)}}},
          {"status", status}};
}

bool HasEnded(const Json& pod) {
  const std::string phase = pod.value(Json::json_pointer("/status/phase"), std::string());
  return phase == "Succeeded" || phase == "Failed";
}

}  // namespace

std::string MetadataText(const Json& object) {
  return Json{{"kind", "PartialObjectMetadata"},
              {"apiVersion", "meta.k8s.io/v1"},
              {"metadata", object["metadata"]}}
      .dump();
}

HttpResponse InvalidOptions(const std::string& options, const std::string& field,
                            const std::string& cause, const std::string& message) {
  return StatusAnswer(
      422, "Invalid",
      fmt::format("{}.meta.k8s.io \"\" is invalid: {}: {}", options, field, message),
      {{"group", "meta.k8s.io"},
       {"kind", options},
       {"causes", Json::array({Cause(cause, message, field)})}});
}

std::string MetaText(const Json& object, const char* field) {
  return object.value(Json::json_pointer(std::string("/metadata/") + field), std::string());
}

Json SpecOf(const Json& object) {
  Json spec = object;
  for (const char* field : {"metadata", "status", "kind", "apiVersion"}) spec.erase(field);
  return spec;
}

std::string KeyOf(const std::string& ns, const std::string& name) { return ns + "/" + name; }

FakeApiServer::FakeApiServer(Clock& clock) : clock_(clock) {}
FakeApiServer::~FakeApiServer() = default;

// --- requests ---

Result<HttpResponse> FakeApiServer::Send(const HttpRequest& request, const std::stop_token& stop) {
  if (stop.stop_requested()) return Error{Code::kCancelled, "stopped before sending"};
  std::unique_lock lock(mutex_);
  const auto latency = PartOf(lag_ ? lag_->latency : std::chrono::milliseconds(0));
  const auto there = PartOf(latency);
  if (!Await(lock, stop, there)) return Error{Code::kCancelled, "stopped while sending"};
  const size_t number = LogRequest(request);
  const LoggedRequest logged = log_[number];
  const Blow blow = NextBlow(logged);
  const Error dropped{request.method == "GET" ? Code::kUnavailable : Code::kUnknown,
                      request.method + " " + request.target + ": connection reset"};
  if (blow.hit && blow.fault.kind == Fault::Kind::kDropBefore) return dropped;
  HttpResponse answer =
      blow.hit && blow.fault.kind == Fault::Kind::kAnswer ? Refusal(blow) : Serve(logged);
  if (blow.hit && blow.fault.kind == Fault::Kind::kDropAfter) return dropped;
  log_[number].status = answer.status;
  if (!Await(lock, stop, latency - there)) return Error{Code::kCancelled, "stopped while served"};
  return answer;
}

size_t FakeApiServer::LogRequest(const HttpRequest& request) {
  const auto target = ParseTarget(request.target);
  LoggedRequest entry;
  entry.method = request.method;
  entry.verb = VerbOf(request, target);
  entry.path = request.target.substr(0, request.target.find('?'));
  if (target) entry.query = target->query;
  for (const auto& [name, value] : request.headers) {
    if (name == "User-Agent") entry.user_agent = value;
    if (name == "Content-Type") entry.content_type = value;
    if (name == "Accept") {
      const std::string_view wanted =
          entry.verb == "list" ? "as=PartialObjectMetadataList;" : "as=PartialObjectMetadata;";
      entry.metadata_only = value.find(wanted) != std::string::npos;
    }
  }
  entry.body = request.body;
  log_.push_back(std::move(entry));
  Changed();
  return log_.size() - 1;
}

HttpResponse FakeApiServer::Serve(const LoggedRequest& request) {
  if (const Json list = DiscoveryAt(request.path); !list.is_null()) {
    return JsonAnswer(200, list.dump());
  }
  auto target = ParseTarget(request.path);
  if (!target) return NoSuchResource();
  target->query = request.query;
  target->manager = ManagerOf(request, *target);
  target->metadata_only = request.metadata_only;
  if (request.method != "GET" && request.DryRun() && target->Query("dryRun") != "All") {
    return InvalidOptions("CreateOptions", "dryRun", "FieldValueNotSupported",
                          "Unsupported value: supported values: \"All\"");
  }
  if (request.verb == "get") return Read(*target);
  if (request.verb == "list") return List(*target);
  if (request.verb == "create") return Create(*target, request.body);
  if (request.verb != "watch" && target->name.empty()) {
    return StatusAnswer(405, "MethodNotAllowed",
                        "the server does not allow this method on the requested resource",
                        Json::object());
  }
  if (request.verb == "update") return Update(*target, request.body);
  if (request.verb == "patch") return PatchObject(*target, request);
  if (request.verb == "delete") return DeleteObject(*target, request.body);
  return StatusAnswer(400, "BadRequest", "a watch is read as a stream");
}

HttpResponse FakeApiServer::Read(const ApiTarget& target) {
  const Ptr found = Find(*target.kind, target.ns, target.name);
  if (found == nullptr) return NotFound(target);
  if (target.subresource == "scale") return JsonAnswer(200, ScaleOf(found->object).dump());
  if (target.metadata_only) return JsonAnswer(200, MetadataText(found->object));
  return JsonAnswer(200, found->text);
}

HttpResponse FakeApiServer::Create(const ApiTarget& target, const std::string& body) {
  Json object = Json::parse(body, nullptr, false);
  if (!object.is_object()) return BadRequest("the body is no object");
  const std::string kind = object.value("kind", "");
  if (kind != target.kind->kind && target.kind->IsCustom()) {
    ServedKind said = *target.kind;
    said.kind = kind;
    ApiTarget other = target;
    other.kind = &said;
    other.name = MetaText(object, "name");
    return Invalid(other, "kind", "FieldValueInvalid",
                   fmt::format("Invalid value: \"{}\": must be {}", kind, target.kind->kind));
  }
  if (kind != target.kind->kind) return BadRequest("the body is no " + target.kind->kind);
  if (!object["metadata"].is_object()) object["metadata"] = Json::object();
  if (!MetaText(object, "resourceVersion").empty()) {
    return StatusAnswer(500, "", "resourceVersion should not be set on objects to be created");
  }
  return CreateObject(target, std::move(object));
}

HttpResponse FakeApiServer::CreateObject(const ApiTarget& target, Json object) {
  Json& meta = object["metadata"];
  if (auto refused = OtherObject(target, object)) return *refused;
  if (target.kind->namespaced) meta["namespace"] = target.ns;
  if (MetaText(object, "name").empty()) {
    const std::string prefix = MetaText(object, "generateName");
    if (prefix.empty()) {
      return Invalid(target, "metadata.name", "FieldValueRequired",
                     "Required value: name or generateName is required");
    }
    meta["name"] = fmt::format("{}{:05x}", prefix, next_id_++);
  }
  ApiTarget named = target;
  named.name = MetaText(object, "name");
  if (Find(*target.kind, target.ns, named.name) != nullptr) {
    return StatusAnswer(409, "AlreadyExists", Describe(named) + " already exists",
                        DetailsOf(named));
  }
  for (const char* field : {"uid", "resourceVersion", "creationTimestamp", "generation"}) {
    meta.erase(field);
  }
  object.erase("status");
  if (target.kind->plural == "pods") object["status"]["phase"] = "Pending";
  if (admission_) {
    if (auto refused = admission_(*target.kind, object)) return *refused;
  }
  Identify(*target.kind, object);
  if (!target.Query("dryRun").empty()) return JsonAnswer(201, object.dump());
  const Ptr stored = Store(*target.kind, std::move(object));
  Own(target, Json::object(), stored->object);
  return JsonAnswer(201, stored->text);
}

HttpResponse FakeApiServer::Update(const ApiTarget& target, const std::string& body) {
  Json object = Json::parse(body, nullptr, false);
  if (!object.is_object()) return BadRequest("the body is no object");
  if (auto refused = OtherObject(target, object)) return *refused;
  const Ptr old = Find(*target.kind, target.ns, target.name);
  if (old == nullptr) return NotFound(target);
  const bool free = target.kind->free_update || target.subresource == "scale";
  if (!free && MetaText(object, "resourceVersion").empty()) return NoVersion(target);
  if (auto refused = Precondition(target, old, object["metadata"])) return *refused;
  if (target.subresource == "status") {
    Json fresh = old->object;
    ReplaceStatus(object, fresh);
    return StoreChanged(target, old, std::move(fresh));
  }
  if (target.subresource == "scale") {
    Json fresh = old->object;
    fresh["spec"]["replicas"] = object.value(Json::json_pointer("/spec/replicas"), 0);
    const HttpResponse answer = StoreChanged(target, old, std::move(fresh));
    return answer.status == 200 ? Read(target) : answer;
  }
  KeepIdentity(old->object, object);
  ReplaceStatus(old->object, object);
  return StoreChanged(target, old, std::move(object));
}

HttpResponse FakeApiServer::PatchObject(const ApiTarget& target, const LoggedRequest& request) {
  const Json body = Json::parse(request.body, nullptr, false);
  if (IsApply(request)) return Apply(target, body);
  if (!target.Query("force").empty()) {
    return InvalidOptions("PatchOptions", "force", "FieldValueForbidden",
                          "Forbidden: may not be specified for non-apply patch");
  }
  if (request.content_type == "application/json-patch+json") return PatchByOperations(target, body);
  if (request.content_type != "application/merge-patch+json") {
    return StatusAnswer(415, "UnsupportedMediaType", "patches of type " + request.content_type);
  }
  if (!body.is_object()) return BadRequest("error decoding patch: it is no object");
  const Ptr old = Find(*target.kind, target.ns, target.name);
  if (old == nullptr) return NotFound(target);
  Json object = old->object;
  object.merge_patch(body);
  return StorePatched(target, old, std::move(object));
}

// All of the operations or none; the real server does not say either which one failed.
HttpResponse FakeApiServer::PatchByOperations(const ApiTarget& target, const Json& operations) {
  const bool right =
      operations.is_array() && std::all_of(operations.begin(), operations.end(),
                                           [](const Json& one) { return one.is_object(); });
  if (!right) return BadRequest("error decoding patch: it is no list of operations");
  const Ptr old = Find(*target.kind, target.ns, target.name);
  if (old == nullptr) return NotFound(target);
  Json object;
  try {
    object = Patched(old->object, operations);
  } catch (const Json::exception&) {
    object = nullptr;
  }
  if (!object.is_object() || !object.value("metadata", Json()).is_object()) {
    return StatusAnswer(422, "Invalid",
                        "the server rejected our request due to an error in our request",
                        Json::object());
  }
  return StorePatched(target, old, std::move(object));
}

// Stores what a patch of the object, or of its status alone, has made of `old`.
HttpResponse FakeApiServer::StorePatched(const ApiTarget& target, const Ptr& old, Json object) {
  if (auto refused = OtherObject(target, object)) return *refused;
  const std::string version = MetaText(object, "resourceVersion");
  if (version.empty() && !target.kind->free_update) return NoVersion(target);
  if (!version.empty() && version != std::to_string(old->version)) {
    return Conflict(target, kModified);
  }
  const std::string uid = MetaText(object, "uid");
  if (!uid.empty() && uid != MetaText(old->object, "uid")) {
    return Invalid(target, "metadata.uid", "FieldValueInvalid",
                   fmt::format("Invalid value: \"{}\": field is immutable", uid));
  }
  KeepIdentity(old->object, object);
  Json fresh = target.subresource == "status" ? old->object : object;
  ReplaceStatus(target.subresource == "status" ? object : old->object, fresh);
  return StoreChanged(target, old, std::move(fresh));
}

HttpResponse FakeApiServer::Apply(const ApiTarget& target, const Json& intent) {
  if (target.Query("fieldManager").empty()) {
    return InvalidOptions("PatchOptions", "fieldManager", "FieldValueRequired",
                          "Required value: is required for apply patch");
  }
  if (!intent.is_object()) return BadRequest("error decoding YAML: the body is no object");
  const bool right = intent.value("kind", "") == target.kind->kind &&
                     intent.value("apiVersion", "") == target.kind->ApiVersion();
  if (!right) return BadRequest("invalid object type");
  const Json meta = intent.value("metadata", Json::object());
  if (meta.contains("managedFields")) return BadRequest("metadata.managedFields must be nil");
  const Ptr old = Find(*target.kind, target.ns, target.name);
  if (old == nullptr) return ApplyNew(target, intent);
  Json said = FieldsOf(intent);
  if (target.subresource == "status") {
    Json status = said.value("status", Json::object());
    said = Json{{"status", std::move(status)}};
  } else {
    said.erase("status");
  }
  const auto known = owned_[MetaText(old->object, "uid")];
  if (target.Query("force") != "true") {
    if (auto refused = Refused(known, target, old->object, said)) return *refused;
  }
  std::vector<Json> others;
  for (const auto& [name, other] : known) {
    if (name != target.manager) others.push_back(other);
  }
  const auto mine = known.find(target.manager);
  const Json before = mine == known.end() ? Json() : mine->second;
  Json fresh = ApplyIntent(old->object, before, said, others);
  for (const char* field : {"name", "namespace", "uid", "resourceVersion"}) {
    if (meta.contains(field)) fresh["metadata"][field] = meta[field];
  }
  if (target.subresource != "status") ReplaceStatus(old->object, fresh);
  HttpResponse answer = StorePatched(target, old, std::move(fresh));
  if (answer.status != 200 || !target.Query("dryRun").empty() || before == said) return answer;
  const Ptr is = Find(*target.kind, target.ns, target.name);
  if (is == nullptr) return answer;
  // That other fields are its own now is a change too.
  if (is->version == old->version) answer.body = Store(*target.kind, is->object)->text;
  owned_[MetaText(old->object, "uid")][target.manager] = std::move(said);
  return answer;
}

// An apply to what is not there creates it, unless it says by its uid which one it means.
HttpResponse FakeApiServer::ApplyNew(const ApiTarget& target, const Json& intent) {
  if (!target.subresource.empty()) return NotFound(target);
  if (const std::string uid = MetaText(intent, "uid"); !uid.empty()) {
    return Conflict(target,
                    fmt::format("uid mismatch: the provided object specified uid {}, and no "
                                "existing object was found",
                                uid));
  }
  Json object = intent;
  if (auto refused = OtherObject(target, object)) return *refused;
  object["metadata"]["name"] = target.name;
  return CreateObject(target, std::move(object));
}

HttpResponse FakeApiServer::DeleteObject(const ApiTarget& target, const std::string& body) {
  const Json options = body.empty() ? Json::object() : Json::parse(body, nullptr, false);
  if (!options.is_object()) return BadRequest("the body is no DeleteOptions");
  static const std::map<std::string, std::string> kPolicies = {
      {"", ""}, {"Background", ""}, {"Orphan", "orphan"}, {"Foreground", "foregroundDeletion"}};
  const std::string policy = options.value("propagationPolicy", "");
  const auto finalizer = kPolicies.find(policy);
  if (finalizer == kPolicies.end()) {
    return InvalidOptions("DeleteOptions", "propagationPolicy", "FieldValueNotSupported",
                          fmt::format("Unsupported value: \"{}\"", policy));
  }
  const Ptr old = Find(*target.kind, target.ns, target.name);
  if (old == nullptr) return NotFound(target);
  if (auto refused = OtherThanAsked(target, old->object, options)) return *refused;
  Json details = DetailsOf(target);
  details["uid"] = MetaText(old->object, "uid");
  const Json done = {{"kind", "Status"},
                     {"apiVersion", "v1"},
                     {"metadata", Json::object()},
                     {"status", "Success"},
                     {"details", details}};
  if (!target.Query("dryRun").empty()) return JsonAnswer(200, done.dump());
  const Ptr left = DeleteGracefully(
      *target.kind, old, options.value("gracePeriodSeconds", int64_t{-1}), finalizer->second);
  if (left != nullptr) return JsonAnswer(200, left->text);
  return JsonAnswer(200, target.kind->plural == "pods" ? old->text : done.dump());
}

std::optional<HttpResponse> FakeApiServer::Precondition(const ApiTarget& target, const Ptr& object,
                                                        const Json& asked) const {
  const std::string uid = asked.value("uid", std::string());
  const std::string here = MetaText(object->object, "uid");
  if (!uid.empty() && uid != here) {
    return Conflict(
        target, fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: {}",
                            uid, here));
  }
  const std::string version = asked.value("resourceVersion", std::string());
  if (!version.empty() && version != std::to_string(object->version)) {
    return Conflict(target, kModified);
  }
  return std::nullopt;
}

// --- storage ---

FakeApiServer::Ptr FakeApiServer::Find(const ServedKind& kind, const std::string& ns,
                                       const std::string& name) const {
  const auto all = objects_.find(&kind);
  if (all == objects_.end()) return nullptr;
  const auto at = all->second.find(KeyOf(ns, name));
  return at == all->second.end() ? nullptr : at->second;
}

// Stores what an update makes of `old`; nothing if it is the same. One that takes the last
// finalizer of what is being deleted is the deletion.
HttpResponse FakeApiServer::StoreChanged(const ApiTarget& target, const Ptr& old, Json object) {
  if (object == old->object) return JsonAnswer(200, old->text);
  if (const std::string more = NewFinalizer(old->object, object); !more.empty()) {
    return Invalid(target, "metadata.finalizers", "FieldValueForbidden",
                   "Forbidden: no new finalizers can be added if the object is being deleted, "
                   "found new finalizers " +
                       more);
  }
  if (target.kind->generation && SpecOf(object) != SpecOf(old->object)) {
    object["metadata"]["generation"] = old->object["metadata"].value("generation", int64_t{1}) + 1;
  }
  if (!target.Query("dryRun").empty()) return JsonAnswer(200, object.dump());
  const bool leaves = object["metadata"].contains("deletionTimestamp") &&
                      Finalizers(object).empty() && !Finalizers(old->object).empty() &&
                      object["metadata"].value("deletionGracePeriodSeconds", int64_t{0}) == 0;
  if (leaves) {
    Erase(*target.kind, KeyOf(target.ns, target.name));
    return JsonAnswer(200, object.dump());
  }
  const Ptr stored = Store(*target.kind, std::move(object));
  Own(target, old->object, stored->object);
  return JsonAnswer(200, stored->text);
}

void FakeApiServer::Own(const ApiTarget& target, const Json& before, const Json& after) {
  if (target.manager.empty()) return;
  Json fields = ChangedFields(FieldsOf(before), FieldsOf(after));
  if (before.empty()) fields.erase("status");
  Json& owned = owned_[MetaText(after, "uid")][target.manager];
  owned = JoinFields(std::move(owned), fields);
}

void FakeApiServer::Identify(const ServedKind& kind, Json& object) {
  object["kind"] = kind.kind;
  object["apiVersion"] = kind.ApiVersion();
  Json& meta = object["metadata"];
  if (!meta.contains("uid"))
    meta["uid"] = fmt::format("00000000-0000-4000-8000-{:012x}", next_id_++);
  if (!meta.contains("creationTimestamp")) meta["creationTimestamp"] = FormatTime(clock_.Now());
  if (!kind.generation) {
    meta.erase("generation");
  } else if (!meta.contains("generation")) {
    meta["generation"] = 1;
  }
}

FakeApiServer::Ptr FakeApiServer::Store(const ServedKind& kind, Json object) {
  auto stored = std::make_shared<Stored>();
  stored->version = ++version_;
  object["metadata"]["resourceVersion"] = std::to_string(version_);
  stored->text = object.dump();
  stored->object = std::move(object);
  auto event = std::make_shared<Event>();
  Ptr& slot = objects_[&kind][KeyOf(MetaText(stored->object, "namespace"),
                                    MetaText(stored->object, "name"))];
  event->kind = &kind;
  event->before = slot;
  event->after = stored;
  event->version = version_;
  if (slot != nullptr) {
    // What this write changes belongs to nobody but the one who writes.
    for (auto& [manager, owned] : owned_[MetaText(stored->object, "uid")]) {
      owned = StillOwned(owned, slot->object, stored->object);
    }
  }
  slot = std::move(stored);
  Record(std::move(event));
  return slot;
}

void FakeApiServer::Erase(const ServedKind& kind, const std::string& key) {
  const auto node = objects_[&kind].extract(key);
  auto last = std::make_shared<Stored>(*node.mapped());
  last->version = ++version_;
  last->object["metadata"]["resourceVersion"] = std::to_string(version_);
  last->text = last->object.dump();
  auto event = std::make_shared<Event>();
  event->kind = &kind;
  event->before = node.mapped();
  event->after = last;
  event->deleted = true;
  event->version = version_;
  owned_.erase(MetaText(last->object, "uid"));
  Record(std::move(event));
}

FakeApiServer::Ptr FakeApiServer::DeleteGracefully(const ServedKind& kind, const Ptr& object,
                                                   int64_t grace_seconds,
                                                   const std::string& finalizer) {
  const Json& old = object->object;
  const bool bound =
      kind.plural == "pods" && !old.value(Json::json_pointer("/spec/nodeName"), "").empty();
  int64_t grace = 0;
  if (bound && !HasEnded(old)) {
    grace =
        grace_seconds >= 0
            ? grace_seconds
            : old.value(Json::json_pointer("/spec/terminationGracePeriodSeconds"), kDefaultGrace);
  }
  Json finalizers = Finalizers(old);
  if (!finalizer.empty()) finalizers.push_back(finalizer);
  if (grace == 0 && finalizers.empty()) {
    Erase(kind, KeyOf(MetaText(old, "namespace"), MetaText(old, "name")));
    return nullptr;
  }
  if (old["metadata"].contains("deletionTimestamp")) return object;
  Json fresh = old;
  Json& meta = fresh["metadata"];
  meta["deletionTimestamp"] = FormatTime(clock_.Now() + Seconds(grace));
  meta["deletionGracePeriodSeconds"] = grace;
  if (!finalizers.empty()) meta["finalizers"] = std::move(finalizers);
  if (kind.generation) meta["generation"] = meta.value("generation", int64_t{1}) + 1;
  return Store(kind, std::move(fresh));
}

void FakeApiServer::Changed() {
  ++changes_;
  changed_.notify_all();
}

}  // namespace spillway::support
