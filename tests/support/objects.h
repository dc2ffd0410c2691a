#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// Valid objects for tests; a test says what matters to it.
namespace spillway::support {

struct NodeSpec {
  std::map<std::string, std::string> labels{};       // besides hostname, arch and os
  std::map<std::string, std::string> allocatable{};  // over cpu 96, memory 1000Gi, pods 110
  std::vector<nlohmann::json> taints{};
  bool ready = true;
};
// A Node, Ready since the start of the fake clock.
nlohmann::json MakeNode(const std::string& name, const NodeSpec& spec = {});

struct PodSpec {
  std::string node{};
  std::map<std::string, std::string> requests{};
  std::map<std::string, std::string> labels{};
  std::string phase = "Pending";
};
// A Pod of one container named "main".
nlohmann::json MakePod(const std::string& ns, const std::string& name, const PodSpec& spec = {});

nlohmann::json MakePriorityClass(const std::string& name, int value, bool global_default = false);

// `object` with `owner` as its controller.
nlohmann::json OwnedBy(nlohmann::json object, const nlohmann::json& owner);

}  // namespace spillway::support
