#pragma once

// What the source files of the fake cluster share.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

namespace spillway::support {

// A text at a JSON pointer; empty if it is not there.
std::string TextAt(const nlohmann::json& object, const char* pointer);
std::string NameOf(const nlohmann::json& object);
std::string NamespaceOf(const nlohmann::json& object);

// The uid of its first owner, which is its controller here; empty without one.
std::string OwnerUidOf(const nlohmann::json& object);

std::string PhaseOf(const nlohmann::json& pod);
bool HasEnded(const nlohmann::json& pod);
bool IsTerminating(const nlohmann::json& object);
bool IsActive(const nlohmann::json& pod);    // neither of the two
bool IsReady(const nlohmann::json& object);  // a pod or a node

// The value of a condition of this type; null if there is none.
nlohmann::json ConditionOf(const nlohmann::json& object, const std::string& type);

inline int Count(const nlohmann::json& pods, bool (*is)(const nlohmann::json&)) {
  return static_cast<int>(std::count_if(pods.begin(), pods.end(), is));
}

// A Pending pod made of the template of its controller.
nlohmann::json PodFrom(const nlohmann::json& owner, const std::string& name);

}  // namespace spillway::support
