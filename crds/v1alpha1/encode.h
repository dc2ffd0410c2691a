#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "crds/v1alpha1/common.h"

// Shared by the kinds' encoders; not for use outside this folder.
namespace spillway::crds::v1alpha1::detail {

using Json = nlohmann::json;

// apiVersion, kind and the metadata that makes the write conditional on what was read.
Json StatusUpdateEnvelope(const kube::Resource& resource, const kube::ObjectMeta& meta);
Json EncodeConditions(const std::vector<Condition>& conditions);
Json EncodeEvictions(const std::vector<EvictionStatus>& evictions);
// Absent stays absent: an unset value leaves no key.
void Put(Json& to, const char* key, const std::optional<Time>& time);
void Put(Json& to, const char* key, const std::string& text);
template <class T>
void PutList(Json& to, const char* key, const std::vector<T>& list) {
  if (!list.empty()) to[key] = list;
}

}  // namespace spillway::crds::v1alpha1::detail
