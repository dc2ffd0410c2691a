#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace spillway::controllers {

// Keeps a pool that is being let go of until its children are: see docs/adr/0009.
inline constexpr const char* kReleaseFinalizer = "spillway.dev/release";

// Is this object a child of the pool, by an owner reference or by its label?
bool BelongsTo(const nlohmann::json& object, const std::string& pool_uid);

// The JSON patch that makes it nobody's: without the reference to the pool, and without the labels
// by which operators find what is theirs. What selects pods, and the pods themselves, stay as they
// are. It holds only if the object is as it was looked at.
std::string PatchToLetGo(const nlohmann::json& object, const std::string& pool_uid);

bool HasReleaseFinalizer(const nlohmann::json& pool);
// The JSON patches of a pool. REQUIRES for the second: it has it.
std::string PatchToHold(const nlohmann::json& pool);
std::string PatchToUnhold(const nlohmann::json& pool);

}  // namespace spillway::controllers
