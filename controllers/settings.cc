#include "controllers/settings.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

namespace spillway::controllers {
namespace {

Error Wrong(const YAML::Node& where, const std::string& what) {
  return Error{Code::kInvalid, fmt::format("line {}: {}", where.Mark().line + 1, what)};
}

// Every key once, and only these.
Status CheckKeys(const YAML::Node& map, const std::set<std::string>& allowed,
                 const std::string& where) {
  std::set<std::string> seen;
  for (const auto& entry : map) {
    const auto key = entry.first.as<std::string>();
    if (!allowed.contains(key)) {
      return Wrong(entry.first, fmt::format("{}{} is not a setting; allowed: {}", where, key,
                                            fmt::join(allowed, ", ")));
    }
    if (!seen.insert(key).second) {
      return Wrong(entry.first, fmt::format("{}{} is given twice", where, key));
    }
  }
  return Ok{};
}

Status ReadMode(const YAML::Node& node, Mode& out) {
  const auto word = node.as<std::string>();
  if (word == "Enforce") {
    out = Mode::kEnforce;
  } else if (word == "Observe") {
    out = Mode::kObserve;
  } else {
    return Wrong(node, fmt::format("mode is \"{}\"; allowed: Enforce, Observe", word));
  }
  return Ok{};
}

Status ReadCurrency(const YAML::Node& node, std::string& out) {
  out = node.as<std::string>();
  const bool capitals =
      std::all_of(out.begin(), out.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (out.size() != 3 || !capitals) {
    return Wrong(node, fmt::format("currency is \"{}\"; write three capital letters, as USD", out));
  }
  return Ok{};
}

Status ReadLimit(const YAML::Node& node, DefaultLimit& out) {
  if (!node.IsMap()) return Wrong(node, "defaultLimits wants a list of {type, limit}");
  if (Status keys = CheckKeys(node, {"type", "limit"}, "defaultLimits[]."); !keys) return keys;
  if (!node["type"] || !node["limit"]) {
    return Wrong(node, "defaultLimits[] needs both type and limit");
  }
  out.type = node["type"].as<std::string>();
  out.limit = node["limit"].as<int64_t>();
  if (out.limit < 0) {
    return Wrong(node, fmt::format("defaultLimits[].limit is {}; allowed: 0 and up", out.limit));
  }
  return Ok{};
}

Status ReadLimits(const YAML::Node& node, std::vector<DefaultLimit>& out) {
  if (node.IsNull()) return Ok{};
  if (!node.IsSequence()) return Wrong(node, "defaultLimits wants a list of {type, limit}");
  std::set<std::string> types;
  for (const YAML::Node& item : node) {
    DefaultLimit limit;
    if (Status read = ReadLimit(item, limit); !read) return read;
    if (!types.insert(limit.type).second) {
      return Wrong(item, fmt::format("defaultLimits names {} twice", limit.type));
    }
    out.push_back(std::move(limit));
  }
  return Ok{};
}

Result<Settings> Parse(const YAML::Node& root) {
  Settings settings;
  if (root.IsNull()) return settings;
  if (!root.IsMap()) return Wrong(root, "the configuration must be a mapping");
  if (Status keys = CheckKeys(root, {"mode", "currency", "defaultLimits"}, ""); !keys) {
    return std::move(keys).error();
  }
  if (root["mode"]) {
    if (Status read = ReadMode(root["mode"], settings.mode); !read) return std::move(read).error();
  }
  if (root["currency"]) {
    if (Status read = ReadCurrency(root["currency"], settings.currency); !read) {
      return std::move(read).error();
    }
  }
  if (root["defaultLimits"]) {
    if (Status read = ReadLimits(root["defaultLimits"], settings.default_limits); !read) {
      return std::move(read).error();
    }
  }
  return settings;
}

}  // namespace

Result<Settings> ParseSettings(std::string_view text) {
  try {
    return Parse(YAML::Load(std::string(text)));
  } catch (const YAML::Exception& e) {
    return Error{Code::kInvalid, fmt::format("line {}: {}", e.mark.line + 1, e.msg)};
  }
}

}  // namespace spillway::controllers
