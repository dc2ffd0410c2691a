#pragma once

#include <nlohmann/json.hpp>
#include <vector>

namespace spillway::support {

// Server-side apply, as far as one operator needs it: `live` with what `intent` says. What the same
// manager said before (`before`) and no longer does goes, unless one of `others` says it too.
// Objects are merged by field, `conditions` by type, all other lists replaced.
nlohmann::json ApplyIntent(nlohmann::json live, const nlohmann::json& before,
                           const nlohmann::json& intent, const std::vector<nlohmann::json>& others);

}  // namespace spillway::support
