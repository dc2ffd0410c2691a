#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kube/transport.h"

namespace spillway::support {

// A kind that the in-process API server serves.
struct ServedKind {
  std::string group;
  std::string version;
  std::string plural;
  std::string kind;
  bool namespaced = true;
  bool scalable = false;    // has a scale subresource over .spec.replicas
  bool generation = true;   // has metadata.generation
  bool free_update = true;  // an update may name no resource version

  // Of a CustomResourceDefinition.
  [[nodiscard]] bool IsCustom() const { return group == "spillway.dev" || group == "example.com"; }

  [[nodiscard]] std::string ApiVersion() const {
    return group.empty() ? version : group + "/" + version;
  }
};

// By plural ("pods"), by kind ("Pod"), or by where a path points; null if it is not served.
const ServedKind* FindByPlural(std::string_view plural);
const ServedKind* FindByKind(std::string_view kind);
const ServedKind* FindByPath(std::string_view group, std::string_view version,
                             std::string_view plural);

// The APIResourceList of a group and version, by its path ("/apis/batch/v1"); null if it is none.
nlohmann::json DiscoveryAt(const std::string& path);

// What a request's target says.
struct ApiTarget {
  const ServedKind* kind = nullptr;
  std::string ns;           // empty: none, or all
  std::string name;         // empty: the collection
  std::string subresource;  // "status", "scale" or empty
  std::map<std::string, std::string> query;
  std::string manager;         // who writes: "NAME/apply/status", see FakeApiServer
  bool metadata_only = false;  // objects are asked for as PartialObjectMetadata

  [[nodiscard]] std::string Query(const std::string& key) const {
    const auto at = query.find(key);
    return at == query.end() ? std::string() : at->second;
  }
};
// Nothing if no kind that is served lies there.
std::optional<ApiTarget> ParseTarget(const std::string& target);

// "a=b,c!=d,e,!f" over labels, "metadata.name=x,spec.nodeName!=y" over fields.
class Selector {
 public:
  // Nothing if it uses a form that is not known here.
  static std::optional<Selector> Parse(const std::string& labels, const std::string& fields);
  [[nodiscard]] bool Matches(const nlohmann::json& object) const;
  [[nodiscard]] bool empty() const { return labels_.empty() && fields_.empty(); }
  // The first field that no selector of that kind may name; empty if there is none.
  [[nodiscard]] std::string WrongField(const ServedKind& kind) const;

 private:
  struct Term {
    std::string key;
    std::string value;
    bool has_value = false;
    bool negated = false;
  };
  static bool ParseTerms(const std::string& text, std::vector<Term>& out);
  static bool Holds(const Term& term, const std::string* found);

  std::vector<Term> labels_;
  std::vector<Term> fields_;
};

// An answer with a JSON body, and one with a Status as the API server words its refusals.
kube::HttpResponse JsonAnswer(int status, const std::string& body);
nlohmann::json StatusObject(int code, const std::string& reason, const std::string& message);
kube::HttpResponse StatusAnswer(int code, const std::string& reason, const std::string& message);
kube::HttpResponse StatusAnswer(int code, const std::string& reason, const std::string& message,
                                const nlohmann::json& details);

}  // namespace spillway::support
