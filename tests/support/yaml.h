#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace spillway::support {

// A YAML document as the JSON that the API server would be sent. Throws where it is no YAML.
nlohmann::json YamlToJson(const std::string& text);
nlohmann::json ReadYamlFile(const std::filesystem::path& file);

// A file under tests/testdata, such as "nodes/36-rke2-mig-stale-whole-gpu.yaml".
std::filesystem::path Testdata(const std::string& file);

// The files of a folder under tests/testdata, by name.
std::vector<std::filesystem::path> TestdataFiles(const std::string& folder);

}  // namespace spillway::support
