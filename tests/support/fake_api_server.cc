#include "tests/support/fake_api_server.h"

#include <fmt/format.h>

#include <algorithm>
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

HttpResponse NotFound(const ApiTarget& target) {
  return StatusAnswer(404, "NotFound", Describe(target) + " not found");
}

HttpResponse Conflict(const ApiTarget& target, const std::string& why) {
  return StatusAnswer(
      409, "Conflict",
      fmt::format("Operation cannot be fulfilled on {}: {}", Describe(target), why));
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

// An apply's body without what only says which object it means.
Json IntentOf(Json body) {
  for (const char* field : {"kind", "apiVersion"}) body.erase(field);
  if (body.contains("metadata")) {
    for (const char* field : {"name", "namespace", "uid", "resourceVersion"}) {
      body["metadata"].erase(field);
    }
  }
  return body;
}

Json ScaleOf(const Json& object) {
  Json meta;
  for (const char* field : {"name", "namespace", "uid", "resourceVersion"}) {
    if (object["metadata"].contains(field)) meta[field] = object["metadata"][field];
  }
  return {{"kind", "Scale"},
          {"apiVersion", "autoscaling/v1"},
          {"metadata", meta},
          {"spec", {{"replicas", object.value(Json::json_pointer("/spec/replicas"), 0)}}},
          {"status",
           {{"replicas", object.value(Json::json_pointer("/status/replicas"), 0)},
            {"selector", object.value(Json::json_pointer("/status/selector"), "")}}}};
}

bool HasEnded(const Json& pod) {
  const std::string phase = pod.value(Json::json_pointer("/status/phase"), std::string());
  return phase == "Succeeded" || phase == "Failed";
}

}  // namespace

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
  const std::scoped_lock lock(mutex_);
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
  if (!target) {
    return StatusAnswer(404, "NotFound", "the server could not find the requested resource");
  }
  target->query = request.query;
  if (request.verb == "get") return Read(*target);
  if (request.verb == "list") return List(*target);
  if (request.verb == "create") return Create(*target, request.body);
  if (request.verb != "watch" && target->name.empty()) {
    return StatusAnswer(405, "MethodNotAllowed", request.method + " needs a name");
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
  return JsonAnswer(200, found->text);
}

HttpResponse FakeApiServer::Create(const ApiTarget& target, const std::string& body) {
  Json object = Json::parse(body, nullptr, false);
  if (!object.is_object() || object.value("kind", "") != target.kind->kind) {
    return StatusAnswer(400, "BadRequest", "the body is no " + target.kind->kind);
  }
  if (!object["metadata"].is_object()) object["metadata"] = Json::object();
  Json& meta = object["metadata"];
  if (target.kind->namespaced) meta["namespace"] = target.ns;
  if (MetaText(object, "name").empty()) {
    const std::string prefix = MetaText(object, "generateName");
    if (prefix.empty()) return StatusAnswer(422, "Invalid", "name or generateName is required");
    meta["name"] = fmt::format("{}{:05x}", prefix, next_id_++);
  }
  ApiTarget named = target;
  named.name = MetaText(object, "name");
  if (Find(*target.kind, target.ns, named.name) != nullptr) {
    return StatusAnswer(409, "AlreadyExists", Describe(named) + " already exists");
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
  return JsonAnswer(201, Store(*target.kind, std::move(object))->text);
}

HttpResponse FakeApiServer::Update(const ApiTarget& target, const std::string& body) {
  Json object = Json::parse(body, nullptr, false);
  if (!object.is_object()) return StatusAnswer(400, "BadRequest", "the body is no object");
  const Ptr old = Find(*target.kind, target.ns, target.name);
  if (old == nullptr) return NotFound(target);
  if (MetaText(object, "resourceVersion").empty()) {
    return StatusAnswer(
        422, "Invalid",
        Describe(target) +
            " is invalid: metadata.resourceVersion: must be specified for an update");
  }
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
  if (request.content_type == "application/json-patch+json") return PatchByOperations(target, body);
  if (!body.is_object()) return StatusAnswer(400, "BadRequest", "the body is no object");
  if (request.content_type == "application/apply-patch+yaml") return Apply(target, body);
  if (request.content_type != "application/merge-patch+json") {
    return StatusAnswer(415, "UnsupportedMediaType", "patches of type " + request.content_type);
  }
  const Ptr old = Find(*target.kind, target.ns, target.name);
  if (old == nullptr) return NotFound(target);
  if (auto refused = Precondition(target, old, body.value("metadata", Json::object()))) {
    return *refused;
  }
  Json object = old->object;
  object.merge_patch(body);
  return StorePatched(target, old, std::move(object));
}

// All of the operations or none; the real server does not say either which one failed.
HttpResponse FakeApiServer::PatchByOperations(const ApiTarget& target, const Json& operations) {
  if (!operations.is_array()) {
    return StatusAnswer(400, "BadRequest", "the body is no list of operations");
  }
  const Ptr old = Find(*target.kind, target.ns, target.name);
  if (old == nullptr) return NotFound(target);
  Json object;
  try {
    object = old->object.patch(operations);
  } catch (const Json::exception&) {
    object = nullptr;
  }
  if (!object.is_object() || !object.value("metadata", Json()).is_object()) {
    return StatusAnswer(422, "Invalid",
                        "the server rejected our request due to an error in our request");
  }
  if (auto refused = Precondition(target, old, object["metadata"])) return *refused;
  return StorePatched(target, old, std::move(object));
}

// Stores what a patch of the object, or of its status alone, has made of `old`.
HttpResponse FakeApiServer::StorePatched(const ApiTarget& target, const Ptr& old, Json object) {
  KeepIdentity(old->object, object);
  Json fresh = target.subresource == "status" ? old->object : object;
  ReplaceStatus(target.subresource == "status" ? object : old->object, fresh);
  return StoreChanged(target, old, std::move(fresh));
}

HttpResponse FakeApiServer::Apply(const ApiTarget& target, const Json& intent) {
  const std::string manager = target.Query("fieldManager");
  if (manager.empty()) return StatusAnswer(400, "BadRequest", "fieldManager is required");
  const Ptr old = Find(*target.kind, target.ns, target.name);
  if (old == nullptr) return ApplyNew(target, intent);
  if (auto refused = Precondition(target, old, intent.value("metadata", Json::object()))) {
    return *refused;
  }
  Json said = IntentOf(intent);
  if (target.subresource == "status") {
    Json status = said.value("status", Json::object());
    said = Json{{"status", std::move(status)}};
  } else {
    said.erase("status");
  }
  auto& known = intents_[MetaText(old->object, "uid")];
  const std::string slot = manager + "/" + target.subresource;
  std::vector<Json> others;
  for (const auto& [name, other] : known) {
    if (name != slot) others.push_back(other);
  }
  Json fresh = ApplyIntent(old->object, known[slot], said, others);
  KeepIdentity(old->object, fresh);
  if (target.Query("dryRun").empty()) known[slot] = said;
  return StoreChanged(target, old, std::move(fresh));
}

// An apply to what is not there creates it, unless it says which one it means.
HttpResponse FakeApiServer::ApplyNew(const ApiTarget& target, const Json& intent) {
  if (!target.subresource.empty()) return NotFound(target);
  if (!MetaText(intent, "uid").empty() || !MetaText(intent, "resourceVersion").empty()) {
    return Conflict(target, "Precondition failed: the object does not exist");
  }
  Json object = intent;
  object["metadata"]["name"] = target.name;
  HttpResponse answer = Create(target, object.dump());
  const Ptr made = Find(*target.kind, target.ns, target.name);
  if (made != nullptr) {
    Json said = IntentOf(intent);
    said.erase("status");
    intents_[MetaText(made->object, "uid")][target.Query("fieldManager") + "/"] = std::move(said);
  }
  return answer;
}

HttpResponse FakeApiServer::DeleteObject(const ApiTarget& target, const std::string& body) {
  const Json options = body.empty() ? Json::object() : Json::parse(body, nullptr, false);
  if (!options.is_object()) return StatusAnswer(400, "BadRequest", "the body is no DeleteOptions");
  if (options.value("propagationPolicy", "Background") != "Background") {
    return StatusAnswer(400, "BadRequest", "only background propagation is served here");
  }
  const Ptr old = Find(*target.kind, target.ns, target.name);
  if (old == nullptr) return NotFound(target);
  if (auto refused = Precondition(target, old, options.value("preconditions", Json::object()))) {
    return *refused;
  }
  if (target.Query("dryRun").empty()) {
    DeleteGracefully(*target.kind, old, options.value("gracePeriodSeconds", int64_t{-1}));
  }
  return StatusAnswer(200, "", "");
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

// Stores what an update makes of `old`; nothing if it is the same.
HttpResponse FakeApiServer::StoreChanged(const ApiTarget& target, const Ptr& old, Json object) {
  if (object == old->object) return JsonAnswer(200, old->text);
  if (SpecOf(object) != SpecOf(old->object)) {
    object["metadata"]["generation"] = old->object["metadata"].value("generation", int64_t{1}) + 1;
  }
  if (!target.Query("dryRun").empty()) return JsonAnswer(200, object.dump());
  const bool leaves = object["metadata"].contains("deletionTimestamp") &&
                      object["metadata"].value("finalizers", Json::array()).empty() &&
                      !old->object["metadata"].value("finalizers", Json::array()).empty();
  const Ptr stored = Store(*target.kind, std::move(object));
  if (leaves) Erase(*target.kind, KeyOf(target.ns, target.name));
  return JsonAnswer(200, stored->text);
}

void FakeApiServer::Identify(const ServedKind& kind, Json& object) {
  object["kind"] = kind.kind;
  object["apiVersion"] = kind.ApiVersion();
  Json& meta = object["metadata"];
  if (!meta.contains("uid"))
    meta["uid"] = fmt::format("00000000-0000-4000-8000-{:012x}", next_id_++);
  if (!meta.contains("creationTimestamp")) meta["creationTimestamp"] = FormatTime(clock_.Now());
  if (!meta.contains("generation")) meta["generation"] = 1;
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
  slot = std::move(stored);
  history_.push_back(event);
  Changed();
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
  intents_.erase(MetaText(last->object, "uid"));
  history_.push_back(std::move(event));
  Changed();
}

void FakeApiServer::DeleteGracefully(const ServedKind& kind, const Ptr& object,
                                     int64_t grace_seconds) {
  const Json& old = object->object;
  const Json finalizers = old["metadata"].value("finalizers", Json::array());
  const bool bound =
      kind.plural == "pods" && !old.value(Json::json_pointer("/spec/nodeName"), "").empty();
  int64_t grace = 0;
  if (bound && !HasEnded(old)) {
    grace =
        grace_seconds >= 0
            ? grace_seconds
            : old.value(Json::json_pointer("/spec/terminationGracePeriodSeconds"), kDefaultGrace);
  }
  if (grace == 0 && finalizers.empty()) {
    Erase(kind, KeyOf(MetaText(old, "namespace"), MetaText(old, "name")));
    return;
  }
  if (old["metadata"].contains("deletionTimestamp")) return;
  Json fresh = old;
  fresh["metadata"]["deletionTimestamp"] = FormatTime(clock_.Now() + Seconds(grace));
  fresh["metadata"]["deletionGracePeriodSeconds"] = grace;
  Store(kind, std::move(fresh));
}

void FakeApiServer::Changed() {
  ++changes_;
  changed_.notify_all();
}

}  // namespace spillway::support
