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

bool HasType(const json& list, const json& type) {
  return std::any_of(list.begin(), list.end(),
                     [&](const json& entry) { return entry.value("type", json()) == type; });
}

// Takes out of `live` the entries that were said before, are not said now, and nobody else owns.
void RemoveConditions(json& live, const json& before, const json& intent,
                      const std::vector<json>& others, const json::json_pointer& path) {
  for (const json& entry : before) {
    const json type = entry.value("type", json());
    const bool theirs = std::any_of(others.begin(), others.end(), [&](const json& other) {
      return other.contains(path) && HasType(other[path], type);
    });
    if (theirs || HasType(intent, type)) continue;
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
    } else if (IsTypedList(field, value) && live[field].is_array()) {
      RemoveConditions(live[field], value, said ? intent[field] : json::array(), others, here);
      if (!said && live[field].empty()) live.erase(field);
    } else if (!said && !AnyHas(others, here)) {
      live.erase(field);
    }
  }
}

// The value of a field, or an entry of `conditions`, in `of`; null if there is none.
const json* Lookup(const json& of, const std::string& field) {
  if (!of.is_object()) return nullptr;
  const auto at = of.find(field);
  return at == of.end() ? nullptr : &*at;
}

const json* LookupType(const json* list, const json& type) {
  if (list == nullptr || !list->is_array()) return nullptr;
  const auto at = std::find_if(list->begin(), list->end(), [&](const json& entry) {
    return entry.value("type", json()) == type;
  });
  return at == list->end() ? nullptr : &*at;
}

bool Same(const json* one, const json* other) {
  if (one == nullptr || other == nullptr) return one == other;
  return *one == *other;
}

void FindConflicts(const json* live, const json& intent, const json* other, const std::string& path,
                   std::vector<std::string>& out) {
  if (live == nullptr || other == nullptr) return;
  if (intent.is_object() && live->is_object() && other->is_object()) {
    for (const auto& [field, value] : intent.items()) {
      const std::string here = path + "." + field;
      if (!IsTypedList(field, value)) {
        FindConflicts(Lookup(*live, field), value, Lookup(*other, field), here, out);
        continue;
      }
      for (const json& entry : value) {
        const json type = entry.value("type", json());
        FindConflicts(LookupType(Lookup(*live, field), type), entry,
                      LookupType(Lookup(*other, field), type), here + "[type=" + type.dump() + "]",
                      out);
      }
    }
  } else if (*live != intent) {
    out.push_back(path);
  }
}

}  // namespace

std::vector<std::string> Conflicts(const json& live, const json& intent, const json& other) {
  std::vector<std::string> out;
  FindConflicts(&live, intent, &other, "", out);
  return out;
}

json ChangedFields(const json& before, const json& after) {
  json out = json::object();
  for (const auto& [field, value] : after.items()) {
    const json* was = Lookup(before, field);
    if (was != nullptr && *was == value) continue;
    if (value.is_object() && (was == nullptr || was->is_object())) {
      out[field] = ChangedFields(was == nullptr ? json::object() : *was, value);
    } else if (IsTypedList(field, value)) {
      json& entries = out[field] = json::array();
      for (const json& entry : value) {
        const json type = entry.value("type", json());
        const json* old = LookupType(was, type);
        if (old != nullptr && *old == entry) continue;
        entries.push_back(ChangedFields(old == nullptr ? json::object() : *old, entry));
        entries.back()["type"] = type;
      }
    } else {
      out[field] = value;
    }
  }
  return out;
}

json StillOwned(const json& owned, const json& before, const json& after) {
  json out = json::object();
  for (const auto& [field, value] : owned.items()) {
    const json* was = Lookup(before, field);
    const json* is = Lookup(after, field);
    if (is == nullptr) continue;
    if (Same(was, is)) {
      out[field] = value;
    } else if (value.is_object() && is->is_object()) {
      json below = StillOwned(value, was == nullptr ? json() : *was, *is);
      if (!below.empty()) out[field] = std::move(below);
    } else if (IsTypedList(field, value)) {
      json entries = json::array();
      for (const json& entry : value) {
        const json type = entry.value("type", json());
        const json* now = LookupType(is, type);
        if (now == nullptr) continue;
        const json* old = LookupType(was, type);
        entries.push_back(StillOwned(entry, old == nullptr ? json() : *old, *now));
      }
      if (!entries.empty()) out[field] = std::move(entries);
    }
  }
  return out;
}

json JoinFields(json owned, const json& more) {
  if (!owned.is_object()) owned = json::object();
  Merge(owned, more);
  return owned;
}

json ApplyIntent(json live, const json& before, const json& intent,
                 const std::vector<json>& others) {
  if (before.is_object()) Remove(live, before, intent, others, json::json_pointer());
  Merge(live, intent);
  return live;
}

}  // namespace spillway::support
