#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace spillway::controllers {

// kEnforce does what it plans; kObserve only tells, in the conditions of our own kinds.
enum class Mode { kEnforce, kObserve };

struct DefaultLimit {
  std::string type;
  int64_t limit = 0;
  bool operator==(const DefaultLimit&) const = default;
};

// What an installation decides (the file of --config).
struct Settings {
  Mode mode = Mode::kEnforce;
  std::string currency = "USD";
  std::vector<DefaultLimit> default_limits;  // for namespaces without a PoolQuota
  bool operator==(const Settings&) const = default;
};

// Strict YAML: an unknown key, a doubled one, a wrong type or word is kInvalid with line and field.
Result<Settings> ParseSettings(std::string_view text);

}  // namespace spillway::controllers
