#include "kube/object_key.h"

#include <algorithm>

namespace spillway::kube {
namespace {

std::string TextOf(KeyView key) { return Key(std::string(key.ns), std::string(key.name)); }

}  // namespace

Status ReadIdentityField(std::string_view key, JsonValue value, Identity& out) {
  if (key == "name") return Read(value, out.name);
  if (key == "namespace") return Read(value, out.ns);
  if (key == "resourceVersion") return Read(value, out.resource_version);
  return Ok{};
}

Status ReadIdentity(JsonValue value, Identity& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) {
    return ReadIdentityField(key, inner, out);
  });
}

KeyView KeyFrom(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == 0 || slash == std::string_view::npos) return {{}, text};
  return {text.substr(0, slash), text.substr(slash + 1)};
}

bool operator<(KeyView a, KeyView b) {
  if (a.ns == b.ns) return a.name < b.name;
  const size_t common = std::min(a.ns.size(), b.ns.size());
  const int order = a.ns.substr(0, common).compare(b.ns.substr(0, common));
  if (order != 0) return order < 0;
  // One begins as the other does, and goes on with '/'.
  const auto next = [common](KeyView key) {
    return static_cast<unsigned char>(key.ns.size() > common ? key.ns[common] : '/');
  };
  if (common > 0 && next(a) != next(b)) return next(a) < next(b);
  return TextOf(a) < TextOf(b);
}

}  // namespace spillway::kube
