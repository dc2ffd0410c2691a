#include "controllers/release.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "controllers/names.h"

namespace spillway::controllers {
namespace {

using nlohmann::json;

// What stands at a place of the object's metadata; empty if nothing does.
json Part(const json& object, const char* name) {
  const json metadata = object.value("metadata", json::object());
  return metadata.value(name, json());
}

std::string Escaped(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

json Test(const std::string& path, const json& value) {
  return {{"op", "test"}, {"path", path}, {"value", value}};
}
json Remove(const std::string& path) { return {{"op", "remove"}, {"path", path}}; }

// Whatever anybody changes of it, it is another version.
json SameAsSeen(const json& object) {
  return json::array({Test("/metadata/uid", Part(object, "uid")),
                      Test("/metadata/resourceVersion", Part(object, "resourceVersion"))});
}

bool IsOurs(const std::string& label, const std::string& value) {
  return label.starts_with(kPrefix) || (label == kManagedByLabel && value == kManagedBy);
}

}  // namespace

bool BelongsTo(const json& object, const std::string& pool_uid) {
  for (const json& owner : Part(object, "ownerReferences")) {
    if (owner.value("uid", "") == pool_uid) return true;
  }
  const json labels = Part(object, "labels");
  return labels.is_object() && labels.value(kPoolUidLabel, "") == pool_uid;
}

std::string PatchToLetGo(const json& object, const std::string& pool_uid) {
  json patch = SameAsSeen(object);
  const json owners = Part(object, "ownerReferences");
  for (size_t i = owners.size(); i-- > 0;) {  // from the end, so that the others keep their places
    if (owners[i].value("uid", "") != pool_uid) continue;
    patch.push_back(Remove("/metadata/ownerReferences/" + std::to_string(i)));
  }
  const json labels = Part(object, "labels");
  for (const auto& [label, value] : labels.items()) {
    if (IsOurs(label, value.get<std::string>())) {
      patch.push_back(Remove("/metadata/labels/" + Escaped(label)));
    }
  }
  return patch.dump();
}

bool HasReleaseFinalizer(const json& pool) {
  const json finalizers = Part(pool, "finalizers");
  return std::find(finalizers.begin(), finalizers.end(), json(kReleaseFinalizer)) !=
         finalizers.end();
}

std::string PatchToHold(const json& pool) {
  json finalizers = Part(pool, "finalizers");
  if (!finalizers.is_array()) finalizers = json::array();
  finalizers.push_back(kReleaseFinalizer);
  json patch = SameAsSeen(pool);
  patch.push_back({{"op", "add"}, {"path", "/metadata/finalizers"}, {"value", finalizers}});
  return patch.dump();
}

std::string PatchToUnhold(const json& pool) {
  json patch = SameAsSeen(pool);
  const json finalizers = Part(pool, "finalizers");
  const auto at = std::find(finalizers.begin(), finalizers.end(), json(kReleaseFinalizer));
  patch.push_back(Remove("/metadata/finalizers/" + std::to_string(at - finalizers.begin())));
  return patch.dump();
}

}  // namespace spillway::controllers
