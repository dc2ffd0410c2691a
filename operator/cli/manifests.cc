#include "operator/cli/manifests.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace spillway::cli {
namespace {

using nlohmann::json;

constexpr int kDeepest = 64;

// Quoted scalars carry the tag "!" and are strings; plain ones are what they look like.
json Scalar(const YAML::Node& node) {
  if (node.Tag() == "!") return node.Scalar();
  if (bool flag = false; YAML::convert<bool>::decode(node, flag)) return flag;
  if (int64_t number = 0; YAML::convert<int64_t>::decode(node, number)) return number;
  if (double number = 0; YAML::convert<double>::decode(node, number)) return number;
  return node.Scalar();
}

// Throws where it is nested too deep, which aliases can do without end.
json Convert(const YAML::Node& node, int depth) {
  if (depth > kDeepest) throw YAML::Exception(node.Mark(), "is nested too deep");
  switch (node.Type()) {
    case YAML::NodeType::Scalar:
      return Scalar(node);
    case YAML::NodeType::Sequence: {
      json list = json::array();
      for (const YAML::Node& item : node) list.push_back(Convert(item, depth + 1));
      return list;
    }
    case YAML::NodeType::Map: {
      json object = json::object();
      for (const auto& entry : node) {
        object[entry.first.Scalar()] = Convert(entry.second, depth + 1);
      }
      return object;
    }
    default:
      return nullptr;
  }
}

// A List holds objects in its items, whatever its kind is called.
void Take(const json& document, std::vector<json>& out) {
  const auto items = document.find("items");
  if (items == document.end() || !items->is_array()) {
    out.push_back(document);
    return;
  }
  for (const json& item : *items) {
    if (item.is_object()) out.push_back(item);
  }
}

}  // namespace

Result<std::vector<json>> ReadManifests(const std::string& text) {
  std::vector<json> out;
  try {
    for (const YAML::Node& document : YAML::LoadAll(text)) {
      if (document.IsNull()) continue;
      if (!document.IsMap()) {
        return Error{Code::kInvalid,
                     fmt::format("line {}: is no object", document.Mark().line + 1)};
      }
      Take(Convert(document, 0), out);
    }
  } catch (const YAML::Exception& e) {
    return Error{Code::kInvalid, fmt::format("line {}: {}", e.mark.line + 1, e.msg)};
  }
  return out;
}

Result<std::string> ReadFile(const std::string& path) {
  std::ostringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
    return text.str();
  }
  std::ifstream file(path);
  if (!file) return Error{Code::kInvalid, "cannot read " + path};
  text << file.rdbuf();
  return text.str();
}

}  // namespace spillway::cli
