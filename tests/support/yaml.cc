#include "tests/support/yaml.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace spillway::support {
namespace {

using nlohmann::json;

// Quoted scalars carry the tag "!" and are strings; plain ones are what they look like.
json Scalar(const YAML::Node& node) {
  if (node.Tag() == "!") return node.Scalar();
  if (bool flag = false; YAML::convert<bool>::decode(node, flag)) return flag;
  if (int64_t number = 0; YAML::convert<int64_t>::decode(node, number)) return number;
  if (double number = 0; YAML::convert<double>::decode(node, number)) return number;
  return node.Scalar();
}

json Convert(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Scalar:
      return Scalar(node);
    case YAML::NodeType::Sequence: {
      json list = json::array();
      for (const YAML::Node& item : node) list.push_back(Convert(item));
      return list;
    }
    case YAML::NodeType::Map: {
      json object = json::object();
      for (const auto& entry : node) object[entry.first.Scalar()] = Convert(entry.second);
      return object;
    }
    default:
      return nullptr;
  }
}

}  // namespace

json YamlToJson(const std::string& text) { return Convert(YAML::Load(text)); }

json ReadYamlFile(const std::filesystem::path& file) { return Convert(YAML::LoadFile(file)); }

std::filesystem::path Testdata(const std::string& file) {
  return std::filesystem::path(SPILLWAY_TESTDATA) / file;
}

std::vector<std::filesystem::path> TestdataFiles(const std::string& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(Testdata(folder))) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace spillway::support
