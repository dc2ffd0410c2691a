#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// Who owns which fields of an object, as server-side apply needs it. What a manager owns is a tree
// of the fields that it has set, with their values. Objects are merged by field, `conditions` by
// type, all other lists are one value.
namespace spillway::support {

// `live` with what `intent` says. What the same manager owned before (`before`) and no longer says
// goes, unless one of `others` owns it too.
nlohmann::json ApplyIntent(nlohmann::json live, const nlohmann::json& before,
                           const nlohmann::json& intent, const std::vector<nlohmann::json>& others);

// Where `intent` says otherwise than `live` about what `other` owns: ".data.a".
std::vector<std::string> Conflicts(const nlohmann::json& live, const nlohmann::json& intent,
                                   const nlohmann::json& other);

// The fields that `after` has otherwise than `before`.
nlohmann::json ChangedFields(const nlohmann::json& before, const nlohmann::json& after);

// `owned` without the fields that `after` has otherwise than `before`, or no longer.
nlohmann::json StillOwned(const nlohmann::json& owned, const nlohmann::json& before,
                          const nlohmann::json& after);

// `owned` with the fields of `more`.
nlohmann::json JoinFields(nlohmann::json owned, const nlohmann::json& more);

}  // namespace spillway::support
