#include "controllers/placement_record.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "kube/json.h"

namespace spillway::controllers {
namespace {

using Json = nlohmann::json;
using kube::JsonValue;

// What is not said, or not in its form, is as it was.
template <class T>
void Take(JsonValue from, T& out) {
  T value = out;
  if (kube::Read(from, value)) out = std::move(value);
}

void TakeTiers(JsonValue from, std::set<int>& out) {
  std::vector<int> tiers;
  Take(from, tiers);
  out.insert(tiers.begin(), tiers.end());
}

struct Record {
  placement::PoolMemory memory;
  bool has_attempt = false;
  bool has_group = false;
};

void TakeField(std::string_view key, JsonValue field, Record& out) {
  placement::PoolMemory& memory = out.memory;
  placement::Placement& placement = *memory.placement;
  if (key == "cluster") Take(field, placement.cluster);
  if (key == "nodeGroup") {
    out.has_group = true;
    Take(field, placement.node_group);
  }
  if (key == "accelerator") Take(field, placement.accelerator);
  if (key == "domain") Take(field, placement.domain);
  if (key == "tier") Take(field, placement.tier);
  if (key == "workers") Take(field, placement.workers);
  if (key == "acceleratorsPerWorker") Take(field, placement.per_worker);
  if (key == "nodes") Take(field, placement.nodes);
  if (key == "attempt") {
    out.has_attempt = true;
    Take(field, placement.attempt);
  }
  if (key == "renderRevision") Take(field, placement.render_revision);
  if (key == "specRevision") Take(field, placement.spec_revision);
  if (key == "since") Take(field, placement.since);
  if (key == "restarts") Take(field, memory.restarts);
  if (key == "failures") Take(field, memory.failures);
  if (key == "queuedSince") Take(field, memory.queued_since);
  if (key == "startTime") Take(field, memory.started);
  if (key == "tiersUsed") TakeTiers(field, memory.tiers_used);
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

std::optional<placement::PoolMemory> DecodeRecord(const std::string& text,
                                                  kube::JsonParser& parser) {
  const auto root = parser.Parse(text);
  if (!root) return std::nullopt;
  Record record;
  placement::PoolMemory& memory = record.memory;
  memory.placement.emplace();
  const Status read = kube::VisitObject(*root, [&](std::string_view key, JsonValue field) {
    TakeField(key, field, record);
    return Status(Ok{});
  });
  if (!read || !record.has_attempt || !record.has_group) return std::nullopt;
  memory.attempts = memory.placement->attempt;
  memory.tiers_used.insert(memory.placement->tier);
  return memory;
}

std::optional<placement::PoolMemory> DecodeRecord(const std::string& text) {
  kube::JsonParser parser;
  return DecodeRecord(text, parser);
}

bool Follows(const placement::Placement& record, const placement::Placement& committed) {
  return record.attempt == committed.attempt && record.cluster == committed.cluster &&
         record.node_group == committed.node_group && record.nodes == committed.nodes;
}

}  // namespace spillway::controllers
