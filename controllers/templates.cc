#include "controllers/templates.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "controllers/names.h"
#include "kube/json.h"
#include "kube/types/pod.h"

namespace spillway::controllers {
namespace {

using Json = nlohmann::json;
using placement::Requirement;
using placement::Toleration;

constexpr std::array<const char*, 5> kReservedEnv = {"MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE",
                                                     "RANK", "SPILLWAY_ATTEMPT"};

bool Reserved(const std::string& name) {
  return name.starts_with("PET_") ||
         std::find(kReservedEnv.begin(), kReservedEnv.end(), name) != kReservedEnv.end();
}

std::string Text(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

const Json& Child(const Json& object, const char* key) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto at = object.find(key);
  return at == object.end() ? kNothing : *at;
}

std::string RefuseField(const Json& spec, const char* field, const std::string& allowed,
                        const char* why) {
  const std::string value = Text(spec, field);
  if (value.empty() || value == allowed) return {};
  return fmt::format("template.spec.{} is \"{}\"; {}", field, value, why);
}

// A variable that Spillway sets itself; empty: none of them.
std::string ReservedIn(const Json& container) {
  for (const Json& env : Child(container, "env")) {
    std::string name = Text(env, "name");
    if (Reserved(name)) return name;
  }
  return {};
}

std::string RefuseEnv(const Json& spec) {
  for (const char* list : {"initContainers", "containers"}) {
    for (const Json& container : Child(spec, list)) {
      const std::string name = ReservedIn(container);
      if (name.empty()) continue;
      return fmt::format(
          "template.spec.{}[name={}].env sets {}, which Spillway sets itself for torchrun; "
          "remove it",
          list, Text(container, "name"), name);
    }
  }
  return {};
}

bool UsesMatchFields(const Json& spec) {
  const Json& required = Child(Child(Child(spec, "affinity"), "nodeAffinity"),
                               "requiredDuringSchedulingIgnoredDuringExecution");
  for (const Json& term : Child(required, "nodeSelectorTerms")) {
    if (!Child(term, "matchFields").empty()) return true;
  }
  return false;
}

std::string RefuseSpec(const Json& spec, bool serves) {
  const Json& containers = Child(spec, "containers");
  if (!containers.is_array() || containers.empty()) {
    return "template.spec.containers is empty; name at least one container";
  }
  std::string refusal = RefuseField(spec, "nodeName", "", "Spillway chooses the nodes; remove it");
  if (refusal.empty()) {
    refusal = RefuseField(spec, "schedulerName", "default-scheduler",
                          "the pods are bound by default-scheduler; remove it");
  }
  if (refusal.empty()) {
    refusal = RefuseField(spec, "priorityClassName", "",
                          serves ? "set priorityClassName of the InferencePool instead"
                                 : "set priorityClassName of the TrainingPool instead");
  }
  if (refusal.empty()) {
    refusal = serves ? RefuseField(spec, "restartPolicy", "Always",
                                   "a replica is always restarted; remove it or say Always")
                     : RefuseField(spec, "restartPolicy", "Never",
                                   "a worker that ends is restarted with its gang; remove it or "
                                   "say Never");
  }
  if (refusal.empty() && UsesMatchFields(spec)) {
    refusal =
        "template.spec.affinity.nodeAffinity uses matchFields; say the same with matchExpressions";
  }
  return refusal.empty() && !serves ? RefuseEnv(spec) : refusal;
}

Json ParseTemplate(const std::string& text) { return Json::parse(text, nullptr, false); }

std::vector<Requirement> ReadTerm(const Json& expressions) {
  std::vector<Requirement> term;
  for (const Json& expression : expressions) {
    Requirement requirement{Text(expression, "key"), Text(expression, "operator"), {}};
    for (const Json& value : Child(expression, "values")) requirement.values.push_back(value);
    term.push_back(std::move(requirement));
  }
  return term;
}

// The node selector holds in addition to each term of the required affinity. An empty term matches
// nothing, as kube-scheduler has it.
std::vector<std::vector<Requirement>> ReadNodeTerms(const Json& spec) {
  std::vector<Requirement> selector;
  for (const auto& [key, value] : Child(spec, "nodeSelector").items()) {
    selector.push_back({key, "In", {value.get<std::string>()}});
  }
  const Json& required = Child(Child(Child(spec, "affinity"), "nodeAffinity"),
                               "requiredDuringSchedulingIgnoredDuringExecution");
  std::vector<std::vector<Requirement>> terms;
  for (const Json& term : Child(required, "nodeSelectorTerms")) {
    std::vector<Requirement> all = ReadTerm(Child(term, "matchExpressions"));
    if (all.empty()) continue;
    all.insert(all.end(), selector.begin(), selector.end());
    terms.push_back(std::move(all));
  }
  if (terms.empty() && !selector.empty()) terms.push_back(std::move(selector));
  return terms;
}

std::vector<Toleration> ReadTolerations(const Json& spec) {
  std::vector<Toleration> all;
  for (const Json& item : Child(spec, "tolerations")) {
    all.push_back(
        {Text(item, "key"), Text(item, "operator"), Text(item, "value"), Text(item, "effect")});
  }
  return all;
}

std::string QuantityText(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// What the first container itself asks for; limits count where no request stands.
Resources FirstContainer(const Json& spec) {
  Resources out;
  const Json& containers = Child(spec, "containers");
  if (!containers.is_array() || containers.empty()) return out;
  const Json& resources = Child(containers[0], "resources");
  for (const char* list : {"limits", "requests"}) {
    for (const auto& [name, value] : Child(resources, list).items()) {
      if (const auto amount = ParseResource(name, QuantityText(value))) out.Set(name, *amount);
    }
  }
  return out;
}

Status ReadRequests(const Json& spec, Resources& out) {
  kube::JsonParser parser;
  const std::string text = spec.dump();
  auto value = parser.Parse(text);
  if (!value) return std::move(value).error();
  return kube::DecodePodRequests(*value, out);
}

// As the API server defaults them.
Json WithRequestsFromLimits(Json spec) {
  for (const char* list : {"initContainers", "containers"}) {
    if (!Child(spec, list).is_array()) continue;
    for (Json& container : spec[list]) {
      const Json limits = Child(Child(container, "resources"), "limits");
      for (const auto& [name, value] : limits.items()) {
        container["resources"]["requests"].emplace(name, value);
      }
    }
  }
  return spec;
}

// The shape of the template itself, without what the API server would make of it.
PodShape ShapeAsWritten(const std::string& pod_template) {
  const Json pod = {{"spec", WithRequestsFromLimits(Child(ParseTemplate(pod_template), "spec"))}};
  const auto shape = ShapeOf(pod.dump(), pod_template);
  return shape ? *shape : PodShape();
}

// What the template is not to blame for: it may be taken as it is later on.
bool SaysNothingOfTheTemplate(const Error& error) {
  if (error.code == Code::kInvalid) return false;
  if (error.code != Code::kForbidden || error.http_status == 401) return true;
  const auto says = [&error](const char* words) {
    return error.message.find(words) != std::string::npos;
  };
  // Our own rights; a namespace on its way out.
  return says("cannot create resource") || says("is being terminated");
}

// Quotas are looked at last: everything else had nothing against the pod.
bool IsFullQuota(const Error& error) {
  return error.code == Code::kForbidden &&
         error.message.find("exceeded quota") != std::string::npos;
}

Json WithoutFirstRequests(Json spec) {
  const auto containers = spec.find("containers");
  if (containers != spec.end() && containers->is_array() && !containers->empty()) {
    containers->front().erase("resources");
  }
  return spec;
}

}  // namespace

TemplateSubject SubjectOf(const crds::v1alpha1::TrainingPool& pool) {
  return {pool.meta.ns, pool.meta.name, {}, pool.spec.pod_template};
}

TemplateSubject SubjectOf(const crds::v1alpha1::InferencePool& pool,
                          const crds::v1alpha1::VariantSpec& variant) {
  return {pool.meta.ns, pool.meta.name, variant.name, variant.pod_template};
}

std::string RefuseTemplate(const TemplateSubject& subject) {
  const Json json = ParseTemplate(subject.pod_template);
  return RefuseSpec(Child(json, "spec"), subject.Serves());
}

std::string DryRunPod(const TemplateSubject& subject) {
  const Json pod_template = ParseTemplate(subject.pod_template);
  Json metadata = Child(pod_template, "metadata");
  if (!metadata.is_object()) metadata = Json::object();
  metadata["name"] =
      fmt::format("{}-{}-check", subject.pool, subject.Serves() ? subject.variant : "train");
  metadata["labels"][kManagedByLabel] = kManagedBy;
  metadata["labels"][kPoolLabel] = subject.pool;
  Json spec = Child(pod_template, "spec");
  spec["restartPolicy"] = subject.Serves() ? "Always" : "Never";
  spec["priorityClassName"] = subject.Serves() ? kServingPriorityClass : kWorkerPriorityClass;
  return Json{{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", metadata}, {"spec", spec}}.dump();
}

Result<PodShape> ShapeOf(const std::string& pod_json, const std::string& pod_template) {
  const Json pod = ParseTemplate(pod_json);
  const Json& spec = Child(pod, "spec");
  if (!spec.is_object()) return Error{Code::kInternal, "the API server returned no pod"};
  PodShape shape;
  if (Status read = ReadRequests(spec, shape.requests); !read) return std::move(read).error();
  if (Status read = ReadRequests(WithoutFirstRequests(spec), shape.others); !read) {
    return std::move(read).error();
  }
  shape.requests.Set(kPods, 1);
  shape.tolerations = ReadTolerations(spec);
  shape.node_terms = ReadNodeTerms(spec);
  shape.first_container = FirstContainer(Child(ParseTemplate(pod_template), "spec"));
  return shape;
}

TemplateAnswer AnswerOf(const Result<std::string>& reply, const std::string& pod_template) {
  if (reply) {
    auto shape = ShapeOf(*reply, pod_template);
    if (!shape) return {TemplateAnswer::State::kInvalid, {}, shape.error().message};
    return {TemplateAnswer::State::kValid, *std::move(shape), {}};
  }
  const Error& error = reply.error();
  if (IsFullQuota(error)) {
    return {TemplateAnswer::State::kPending, ShapeAsWritten(pod_template),
            "a ResourceQuota of the namespace has no room for a pod: " + error.message};
  }
  if (!SaysNothingOfTheTemplate(error)) {
    return {TemplateAnswer::State::kInvalid,
            {},
            "the API server refuses a pod of this template: " + error.message};
  }
  return {};
}

TemplateChecker::TemplateChecker(kube::Client& client, Clock& clock, Log& log,
                                 std::function<void()> on_answer)
    : client_(client),
      clock_(clock),
      log_(log),
      on_answer_(std::move(on_answer)),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

// It lives no longer than the process, and is made of long texts in each pass.
std::string TemplateChecker::KeyOf(const TemplateSubject& subject) {
  return fmt::format("{}/{}/{}/{}", subject.ns, subject.pool, subject.variant,
                     std::hash<std::string>()(subject.pod_template));
}

TemplateAnswer TemplateChecker::Ask(const TemplateSubject& subject) {
  const std::string key = KeyOf(subject);
  const std::scoped_lock lock(mutex_);
  const auto [at, fresh] = entries_.try_emplace(key);
  Entry& entry = at->second;
  entry.round = round_;
  if (fresh) {
    entry.since = clock_.Elapsed();
    entry.refusal = RefuseTemplate(subject);
    if (entry.refusal.empty()) unput_.insert(key);
  }
  if (!entry.refusal.empty()) return {TemplateAnswer::State::kInvalid, {}, entry.refusal};
  if (!entry.put) open_.insert(key);
  const bool unasked =
      entry.answer.state == TemplateAnswer::State::kPending && entry.answer.message.empty();
  const auto again = AsksAgainAfter(entry.answer);
  if (!entry.queued && (unasked || (again && clock_.Elapsed() - entry.asked >= *again))) {
    entry.queued = true;
    questions_.push_back({key, subject.ns, DryRunPod(subject), subject.pod_template});
    wake_.notify_one();
  }
  return entry.answer;
}

std::optional<std::chrono::seconds> TemplateChecker::AsksAgainAfter(const TemplateAnswer& answer) {
  if (answer.state == TemplateAnswer::State::kInvalid) return kAskAgain;
  const bool quota = answer.state == TemplateAnswer::State::kPending && !answer.message.empty();
  return quota ? std::optional(kAskAgainForQuota) : std::nullopt;
}

void TemplateChecker::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

bool TemplateChecker::AwaitsAny(std::chrono::seconds wait) const {
  const auto oldest = clock_.Elapsed() - wait;
  return std::ranges::any_of(
      unput_, [&](const std::string& key) { return entries_.at(key).since > oldest; });
}

bool TemplateChecker::WaitForAnswers(std::chrono::seconds wait, const std::function<void()>& beat,
                                     const std::stop_token& stop) {
  constexpr std::chrono::seconds kBeat{1};
  std::unique_lock lock(mutex_);
  const auto put = [this](const std::string& key) { return !unput_.contains(key); };
  const bool came = std::ranges::any_of(std::exchange(open_, {}), put);
  if (!AwaitsAny(wait)) return came;
  while (!stop.stop_requested() && AwaitsAny(wait)) {
    beat();
    put_.wait_for(lock, stop, kBeat, [&] { return !AwaitsAny(wait); });
  }
  return true;
}

// The question that is being put is dropped with its answer.
void TemplateChecker::ForgetUnasked() {
  const std::scoped_lock lock(mutex_);
  const size_t gone =
      std::erase_if(entries_, [&](const auto& entry) { return entry.second.round != round_; });
  ++round_;
  if (gone == 0) return;
  std::erase_if(unput_, [&](const std::string& key) { return !entries_.contains(key); });
  std::erase_if(questions_,
                [&](const Question& question) { return !entries_.contains(question.key); });
}

TemplateAnswer TemplateChecker::Put(const Question& question, const std::stop_token& stop) {
  const auto answer = client_.Create(kube::PodResource(), question.ns, question.pod,
                                     {kFieldManager, /*dry_run=*/true, /*strict=*/true}, stop);
  TemplateAnswer out = AnswerOf(answer, question.pod_template);
  if (out.state == TemplateAnswer::State::kPending && out.message.empty()) {
    log_.Warn("template not checked", {{"pool", question.key}, {"error", answer.error().message}});
  }
  return out;
}

void TemplateChecker::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Question question;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [this] { return !questions_.empty(); })) return;
      question = std::move(questions_.front());
      questions_.pop_front();
    }
    TemplateAnswer answer = Put(question, stop);
    if (Take(std::move(question), std::move(answer), stop)) on_answer_();
  }
}

// False: there was no answer, or nobody asks any more.
bool TemplateChecker::Take(Question question, TemplateAnswer answer, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto at = entries_.find(question.key);
  if (at == entries_.end()) return false;
  Entry& entry = at->second;
  entry.put = true;
  unput_.erase(question.key);
  put_.notify_all();
  if (answer.state == TemplateAnswer::State::kPending && answer.message.empty()) {
    // Ask again soon, after those that were not asked about yet.
    wake_.wait_for(lock, stop, std::chrono::seconds(1), [this] { return HasNewQuestion(); });
    if (entries_.contains(question.key)) questions_.push_back(std::move(question));
    return false;
  }
  entry.queued = false;
  entry.asked = clock_.Elapsed();
  entry.answer = std::move(answer);
  return true;
}

bool TemplateChecker::HasNewQuestion() const {
  return std::ranges::any_of(questions_, [this](const Question& question) {
    const auto about = entries_.find(question.key);
    return about != entries_.end() && !about->second.put;
  });
}

}  // namespace spillway::controllers
