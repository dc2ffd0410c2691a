#include "tests/support/apply.h"

#include <algorithm>
#include <string>

namespace spillway::support {
namespace {

using nlohmann::json;

// The entry of a list by type; null if there is none.
json* FindByType(json& list, const json& type) {
  const auto at = std::find_if(list.begin(), list.end(), [&](const json& entry) {
    return entry.value("type", json()) == type;
  });
  return at == list.end() ? nullptr : &*at;
}

bool IsTypedList(const std::string& field, const json& value) {
  return field == "conditions" && value.is_array();
}

void Merge(json& live, const json& intent);

void MergeField(json& live, const std::string& field, const json& value) {
  if (value.is_object() && live.contains(field) && live[field].is_object()) {
    Merge(live[field], value);
    return;
  }
  if (!IsTypedList(field, value) || !live.contains(field)) {
    live[field] = value;
    return;
  }
  for (const json& entry : value) {
    if (json* known = FindByType(live[field], entry.value("type", json()))) {
      Merge(*known, entry);
    } else {
      live[field].push_back(entry);
    }
  }
}

void Merge(json& live, const json& intent) {
  for (const auto& [field, value] : intent.items()) MergeField(live, field, value);
}

bool AnyHas(const std::vector<json>& others, const json::json_pointer& path) {
  return std::any_of(others.begin(), others.end(),
                     [&](const json& other) { return other.contains(path); });
}

void RemoveConditions(json& live, const json& before, const json& intent) {
  for (const json& entry : before) {
    const json type = entry.value("type", json());
    const bool kept = std::any_of(intent.begin(), intent.end(), [&](const json& now) {
      return now.value("type", json()) == type;
    });
    if (kept) continue;
    live.erase(std::remove_if(live.begin(), live.end(),
                              [&](const json& now) { return now.value("type", json()) == type; }),
               live.end());
  }
}

// Takes out of `live`, below `path`, what was said before and is not said now.
void Remove(json& live, const json& before, const json& intent, const std::vector<json>& others,
            const json::json_pointer& path) {
  for (const auto& [field, value] : before.items()) {
    if (!live.contains(field)) continue;
    const bool said = intent.is_object() && intent.contains(field);
    const json::json_pointer here = path / field;
    if (value.is_object() && live[field].is_object()) {
      Remove(live[field], value, said ? intent[field] : json(), others, here);
      if (!said && live[field].empty() && !AnyHas(others, here)) live.erase(field);
    } else if (said && IsTypedList(field, value)) {
      RemoveConditions(live[field], value, intent[field]);
    } else if (!said && !AnyHas(others, here)) {
      live.erase(field);
    }
  }
}

}  // namespace

json ApplyIntent(json live, const json& before, const json& intent,
                 const std::vector<json>& others) {
  if (before.is_object()) Remove(live, before, intent, others, json::json_pointer());
  Merge(live, intent);
  return live;
}

}  // namespace spillway::support
