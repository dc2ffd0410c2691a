#include "controllers/placement_record.h"

#include <nlohmann/json.hpp>

namespace spillway::controllers {
namespace {

using Json = nlohmann::json;

template <class T>
void Take(const Json& from, const char* key, T& out) {
  const auto at = from.find(key);
  if (at == from.end()) return;
  if constexpr (std::is_same_v<T, Time>) {
    if (!at->is_string()) return;
    if (const auto time = ParseTime(at->get<std::string>())) out = *time;
  } else if constexpr (std::is_same_v<T, std::optional<Time>>) {
    Time time{};
    Take(from, key, time);
    if (time != Time{}) out = time;
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (at->is_string()) out = at->get<std::string>();
  } else {
    if (at->is_number_integer()) out = at->get<T>();
  }
}

void TakeNodes(const Json& from, std::vector<std::string>& out) {
  const auto at = from.find("nodes");
  if (at == from.end() || !at->is_array()) return;
  for (const Json& node : *at) {
    if (node.is_string()) out.push_back(node.get<std::string>());
  }
}

}  // namespace

std::string EncodeRecord(const placement::PoolMemory& memory) {
  const placement::Placement& placement = *memory.placement;
  Json out = {{"cluster", placement.cluster},
              {"nodeGroup", placement.node_group},
              {"accelerator", placement.accelerator},
              {"domain", placement.domain},
              {"tier", placement.tier},
              {"workers", placement.workers},
              {"acceleratorsPerWorker", placement.per_worker},
              {"nodes", placement.nodes},
              {"attempt", placement.attempt},
              {"renderRevision", placement.render_revision},
              {"specRevision", placement.spec_revision},
              {"since", FormatTime(placement.since)},
              {"restarts", memory.restarts},
              {"failures", memory.failures},
              {"tiersUsed", memory.tiers_used}};
  if (memory.queued_since) out["queuedSince"] = FormatTime(*memory.queued_since);
  if (memory.started) out["startTime"] = FormatTime(*memory.started);
  return out.dump();
}

std::optional<placement::PoolMemory> DecodeRecord(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("attempt") || !json.contains("nodeGroup")) {
    return std::nullopt;
  }
  placement::PoolMemory memory;
  placement::Placement& placement = memory.placement.emplace();
  Take(json, "cluster", placement.cluster);
  Take(json, "nodeGroup", placement.node_group);
  Take(json, "accelerator", placement.accelerator);
  Take(json, "domain", placement.domain);
  Take(json, "tier", placement.tier);
  Take(json, "workers", placement.workers);
  Take(json, "acceleratorsPerWorker", placement.per_worker);
  TakeNodes(json, placement.nodes);
  Take(json, "attempt", placement.attempt);
  Take(json, "renderRevision", placement.render_revision);
  Take(json, "specRevision", placement.spec_revision);
  Take(json, "since", placement.since);
  Take(json, "restarts", memory.restarts);
  Take(json, "failures", memory.failures);
  Take(json, "queuedSince", memory.queued_since);
  Take(json, "startTime", memory.started);
  memory.attempts = placement.attempt;
  memory.tiers_used.insert(placement.tier);
  if (json.contains("tiersUsed") && json["tiersUsed"].is_array()) {
    for (const Json& tier : json["tiersUsed"]) {
      if (tier.is_number_integer()) memory.tiers_used.insert(tier.get<int>());
    }
  }
  return memory;
}

bool Follows(const placement::Placement& record, const placement::Placement& committed) {
  return record.attempt == committed.attempt && record.cluster == committed.cluster &&
         record.node_group == committed.node_group && record.nodes == committed.nodes;
}

}  // namespace spillway::controllers
