#include "tests/support/api_request.h"

#include <algorithm>
#include <array>
#include <set>
#include <sstream>

namespace spillway::support {
namespace {

using nlohmann::json;

const std::array<ServedKind, 19>& Kinds() {
  static const std::array<ServedKind, 19> kKinds = {{
      // Group, version, plural, kind, namespaced, scalable, generation, free_update.
      {"", "v1", "nodes", "Node", false, false, false, true},
      {"", "v1", "pods", "Pod", true, false, true, true},
      {"", "v1", "services", "Service", true, false, false, true},
      {"", "v1", "configmaps", "ConfigMap", true, false, false, true},
      {"", "v1", "namespaces", "Namespace", false, false, false, false},
      {"batch", "v1", "jobs", "Job", true, false, true, true},
      {"apps", "v1", "deployments", "Deployment", true, false, true, true},
      {"apps", "v1", "replicasets", "ReplicaSet", true, false, true, true},
      {"example.com", "v1", "fleets", "Fleet", true, true, true, false},
      {"example.com", "v1", "racks", "Rack", true, false, true, false},
      {"example.com", "v1", "machines", "Machine", true, false, true, false},
      {"policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true, false, true, false},
      {"scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", false, false, true, true},
      {"coordination.k8s.io", "v1", "leases", "Lease", true, false, false, false},
      {"events.k8s.io", "v1", "events", "Event", true, false, false, true},
      {"spillway.dev", "v1alpha1", "nodegroups", "NodeGroup", false, false, true, false},
      {"spillway.dev", "v1alpha1", "trainingpools", "TrainingPool", true, false, true, false},
      {"spillway.dev", "v1alpha1", "inferencepools", "InferencePool", true, false, true, false},
      {"spillway.dev", "v1alpha1", "poolquotas", "PoolQuota", true, false, true, false},
  }};
  return kKinds;
}

template <class Predicate>
const ServedKind* Find(Predicate predicate) {
  const auto* at = std::find_if(Kinds().begin(), Kinds().end(), predicate);
  return at == Kinds().end() ? nullptr : at;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool coded = text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
                       HexDigit(text[i + 2]) >= 0;
    out += coded ? static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2])) : text[i];
    if (coded) i += 2;
  }
  return out;
}

std::vector<std::string> Split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, by);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

std::map<std::string, std::string> ParseQuery(const std::string& text) {
  std::map<std::string, std::string> query;
  for (const std::string& pair : Split(text, '&')) {
    const size_t equals = pair.find('=');
    query[PercentDecode(pair.substr(0, equals))] =
        equals == std::string::npos ? "" : PercentDecode(pair.substr(equals + 1));
  }
  return query;
}

}  // namespace

const ServedKind* FindByPlural(std::string_view plural) {
  return Find([&](const ServedKind& one) { return one.plural == plural; });
}

const ServedKind* FindByKind(std::string_view kind) {
  return Find([&](const ServedKind& one) { return one.kind == kind; });
}

const ServedKind* FindByPath(std::string_view group, std::string_view version,
                             std::string_view plural) {
  return Find([&](const ServedKind& one) {
    return one.group == group && one.version == version && one.plural == plural;
  });
}

json DiscoveryAt(const std::string& path) {
  json resources = json::array();
  for (const ServedKind& kind : Kinds()) {
    const std::string base = kind.group.empty() ? "/api/" : "/apis/";
    if (path != base + kind.ApiVersion()) continue;
    resources.push_back(
        {{"name", kind.plural}, {"namespaced", kind.namespaced}, {"kind", kind.kind}});
    if (!kind.scalable) continue;
    resources.push_back({{"name", kind.plural + "/scale"},
                         {"group", "autoscaling"},
                         {"version", "v1"},
                         {"namespaced", kind.namespaced},
                         {"kind", "Scale"}});
  }
  if (resources.empty()) return nullptr;
  return {{"kind", "APIResourceList"}, {"apiVersion", "v1"}, {"resources", resources}};
}

std::optional<ApiTarget> ParseTarget(const std::string& target) {
  const size_t mark = target.find('?');
  std::vector<std::string> parts = Split(target.substr(0, mark), '/');
  for (std::string& part : parts) part = PercentDecode(part);
  ApiTarget out;
  if (mark != std::string::npos) out.query = ParseQuery(target.substr(mark + 1));

  const bool core = !parts.empty() && parts[0] == "api";
  const size_t start = core ? 2 : 3;
  if (parts.size() <= start || (!core && parts[0] != "apis")) return std::nullopt;
  const std::string group = core ? "" : parts[1];
  const std::string& version = parts[start - 1];
  size_t at = start;
  if (parts[at] == "namespaces" && parts.size() > at + 2 && parts[at + 2] != "status") {
    out.ns = parts[at + 1];
    at += 2;
  }
  out.kind = FindByPath(group, version, parts[at]);
  if (out.kind == nullptr) return std::nullopt;
  if (++at < parts.size()) out.name = parts[at];
  if (++at < parts.size()) out.subresource = parts[at];
  if (++at < parts.size()) return std::nullopt;
  static const std::set<std::string> kStateless = {"configmaps", "leases", "events",
                                                   "priorityclasses"};
  const bool known = (out.subresource == "status" && !kStateless.contains(out.kind->plural)) ||
                     (out.subresource == "scale" && out.kind->scalable);
  if (!out.subresource.empty() && !known) return std::nullopt;
  if (!out.kind->namespaced && !out.ns.empty()) return std::nullopt;
  if (out.kind->namespaced && !out.name.empty() && out.ns.empty()) return std::nullopt;
  return out;
}

std::optional<Selector> Selector::Parse(const std::string& labels, const std::string& fields) {
  Selector out;
  if (!ParseTerms(labels, out.labels_) || !ParseTerms(fields, out.fields_)) return std::nullopt;
  return out;
}

std::string Selector::WrongField(const ServedKind& kind) const {
  static const std::map<std::string, std::set<std::string>> kFields = {
      {"pods", {"spec.nodeName", "spec.schedulerName", "status.phase"}},
      {"nodes", {"spec.unschedulable"}},
      {"jobs", {"status.successful"}},
  };
  const auto known = kFields.find(kind.plural);
  for (const Term& term : fields_) {
    const bool name = term.key == "metadata.name";
    if (name || (kind.namespaced && term.key == "metadata.namespace")) continue;
    if (known == kFields.end() || !known->second.contains(term.key)) return term.key;
  }
  return {};
}

bool Selector::ParseTerms(const std::string& text, std::vector<Term>& out) {
  for (const std::string& part : Split(text, ',')) {
    if (part.find_first_of(" ()") != std::string::npos) return false;
    Term term;
    const size_t equals = part.find('=');
    if (equals == std::string::npos) {
      term.negated = part.front() == '!';
      term.key = part.substr(term.negated ? 1 : 0);
    } else {
      term.has_value = true;
      term.negated = equals > 0 && part[equals - 1] == '!';
      term.key = part.substr(0, equals - (term.negated ? 1 : 0));
      const bool twice = part.size() > equals + 1 && part[equals + 1] == '=';
      term.value = part.substr(equals + (twice ? 2 : 1));
    }
    if (term.key.empty()) return false;
    out.push_back(std::move(term));
  }
  return true;
}

bool Selector::Holds(const Term& term, const std::string* found) {
  const bool match = found != nullptr && (!term.has_value || *found == term.value);
  return match != term.negated;
}

bool Selector::Matches(const json& object) const {
  const json labels = object.value(json::json_pointer("/metadata/labels"), json::object());
  for (const Term& term : labels_) {
    const auto at = labels.find(term.key);
    if (at == labels.end()) {
      if (!Holds(term, nullptr)) return false;
      continue;
    }
    const auto text = at->get<std::string>();
    if (!Holds(term, &text)) return false;
  }
  for (const Term& term : fields_) {
    std::string pointer = "/" + term.key;
    std::replace(pointer.begin(), pointer.end(), '.', '/');
    // A field that is not set compares as the empty string.
    const auto text = object.value(json::json_pointer(pointer), std::string());
    if (!Holds(term, &text)) return false;
  }
  return true;
}

kube::HttpResponse JsonAnswer(int status, const std::string& body) {
  kube::HttpResponse answer;
  answer.status = status;
  answer.headers["content-type"] = "application/json";
  answer.body = body;
  return answer;
}

json StatusObject(int code, const std::string& reason, const std::string& message) {
  return {{"kind", "Status"},
          {"apiVersion", "v1"},
          {"metadata", json::object()},
          {"status", code < 300 ? "Success" : "Failure"},
          {"message", message},
          {"reason", reason},
          {"code", code}};
}

kube::HttpResponse StatusAnswer(int code, const std::string& reason, const std::string& message) {
  return JsonAnswer(code, StatusObject(code, reason, message).dump());
}

kube::HttpResponse StatusAnswer(int code, const std::string& reason, const std::string& message,
                                const json& details) {
  json status = StatusObject(code, reason, message);
  status["details"] = details;
  return JsonAnswer(code, status.dump());
}

}  // namespace spillway::support
