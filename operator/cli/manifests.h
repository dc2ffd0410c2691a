#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace spillway::cli {

// The objects of a text of manifests, as kubectl reads it: YAML or JSON, one document or several,
// Lists taken apart. kInvalid names the line.
Result<std::vector<nlohmann::json>> ReadManifests(const std::string& text);

// The file's text; "-" is standard input.
Result<std::string> ReadFile(const std::string& path);

}  // namespace spillway::cli
