#pragma once

#include <string>
#include <string_view>

#include "kube/json.h"
#include "kube/object_meta.h"

namespace spillway::kube {

// Of an object's metadata, what says which one it is, and at which version.
struct Identity {
  std::string ns;  // empty for cluster-scoped objects
  std::string name;
  std::string resource_version;
  [[nodiscard]] bool IsWhole(bool namespaced) const {
    return !name.empty() && !resource_version.empty() && (!namespaced || !ns.empty());
  }
};
Status ReadIdentity(JsonValue value, Identity& out);
// What one field of the metadata says of it.
Status ReadIdentityField(std::string_view key, JsonValue value, Identity& out);

// A key in its two parts, of which it owns neither. In the order of the texts that Key makes.
struct KeyView {
  std::string_view ns;
  std::string_view name;
  bool operator==(const KeyView&) const = default;
};
bool operator<(KeyView a, KeyView b);
// Of the text that Key makes, which must outlive it.
KeyView KeyFrom(std::string_view text);

inline KeyView KeyOf(const ObjectMeta& meta) { return {meta.ns, meta.name}; }
inline std::string Key(const Identity& meta) { return Key(meta.ns, meta.name); }

}  // namespace spillway::kube
