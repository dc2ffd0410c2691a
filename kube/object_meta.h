#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/shared.h"
#include "kube/json.h"

namespace spillway::kube {

struct Owner {
  std::string uid;
  std::string kind;
  std::string name;
  bool operator==(const Owner&) const = default;
};

// What we read of an object's metadata.
struct ObjectMeta {
  std::string ns;  // empty for cluster-scoped objects
  std::string name;
  std::string uid;
  std::string resource_version;
  int64_t generation = 0;
  Time created{};
  std::optional<Time> deleted;  // deletionTimestamp: it is on its way out
  TextMap labels;
  TextMap annotations;
  Shared<Owner> controller;  // the owner reference with controller: true; empty without one

  bool operator==(const ObjectMeta&) const = default;
};

// Which of the (possibly many) labels and annotations to keep.
struct MetaFilter {
  bool labels = true;
  bool annotations = true;
  std::string prefix{};     // only keys that start with it; empty: all
  std::string also{};       // and this key, whatever the prefix; empty: none
  bool all_labels = false;  // the prefix is for annotations alone
};

Status DecodeMeta(JsonValue value, ObjectMeta& out, const MetaFilter& filter);

// "ns/name", or "name" for cluster-scoped objects: the key of stores and logs.
std::string Key(const std::string& ns, const std::string& name);
inline std::string Key(const ObjectMeta& meta) { return Key(meta.ns, meta.name); }

// True if resource version a is newer than b (KEP-5504: decimal, any length). "" and "0" are
// oldest.
bool NewerVersion(const std::string& a, const std::string& b);

}  // namespace spillway::kube
