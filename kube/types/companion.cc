#include "kube/types/companion.h"

#include <nlohmann/json.hpp>

#include "base/hash.h"

namespace spillway::kube {
namespace {

using Json = nlohmann::json;

// Of a port, with what an API server fills in.
Json PortOf(const Json& port) {
  Json said = {{"protocol", "TCP"}};
  if (!port.is_object()) return said;
  for (const char* field : {"name", "port", "protocol", "targetPort"}) {
    if (const auto at = port.find(field); at != port.end()) said[field] = *at;
  }
  return said;
}

}  // namespace

std::string SpecDigest(std::string_view spec) {
  const Json read = Json::parse(spec, nullptr, false);
  if (!read.is_object()) return {};
  Json said = Json::object();
  for (const char* field :
       {"selector", "minAvailable", "maxUnavailable", "unhealthyPodEvictionPolicy"}) {
    if (const auto at = read.find(field); at != read.end()) said[field] = *at;
  }
  const auto unready = read.find("publishNotReadyAddresses");
  said["publishNotReadyAddresses"] = unready != read.end() && *unready == true;
  if (const auto ports = read.find("ports"); ports != read.end() && ports->is_array()) {
    for (const Json& port : *ports) said["ports"].push_back(PortOf(port));
  }
  return HashHex(said.dump(-1, ' ', false, Json::error_handler_t::replace), 16);
}

Status DecodeCompanion(JsonValue value, Companion& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "metadata") return DecodeMeta(inner, out.meta, {});
    if (key != "spec") return Ok{};
    std::string spec;
    Status read = ReadRaw(inner, spec);
    if (read) out.spec_digest = SpecDigest(spec);
    return read;
  });
}

}  // namespace spillway::kube
