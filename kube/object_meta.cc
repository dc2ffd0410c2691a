#include "kube/object_meta.h"

#include <utility>

namespace spillway::kube {
namespace {

Status ReadAll(JsonValue value, TextMap& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    return Read(inner, out[std::string(key)]);
  });
}

Status ReadKept(JsonValue value, const MetaFilter& filter, TextMap& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    const bool also = !filter.also.empty() && key == filter.also;
    if (!also && !key.starts_with(filter.prefix)) return Ok{};
    return Read(inner, out[std::string(key)]);
  });
}

Status ReadOwner(JsonValue value, ObjectMeta& out) {
  bool controller = false;
  Owner owner;
  Status done = VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "controller") return Read(inner, controller);
    if (key == "uid") return Read(inner, owner.uid);
    if (key == "kind") return Read(inner, owner.kind);
    if (key == "name") return Read(inner, owner.name);
    return Ok{};
  });
  if (done && controller) out.controller = Shared(std::move(owner));
  return done;
}

std::string_view Digits(std::string_view version) {
  const size_t first = version.find_first_not_of('0');
  return first == std::string_view::npos ? std::string_view() : version.substr(first);
}

}  // namespace

Status DecodeMeta(JsonValue value, ObjectMeta& out, const MetaFilter& filter) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "name") return Read(inner, out.name);
    if (key == "namespace") return Read(inner, out.ns);
    if (key == "uid") return Read(inner, out.uid);
    if (key == "resourceVersion") return Read(inner, out.resource_version);
    if (key == "generation") return Read(inner, out.generation);
    if (key == "creationTimestamp") return Read(inner, out.created);
    if (key == "deletionTimestamp") return Read(inner, out.deleted);
    if (key == "labels" && filter.all_labels) return ReadAll(inner, out.labels);
    if (key == "labels" && filter.labels) return ReadKept(inner, filter, out.labels);
    if (key == "annotations" && filter.annotations) {
      return ReadKept(inner, filter, out.annotations);
    }
    if (key == "ownerReferences") {
      return VisitArray(inner, [&](JsonValue owner) { return ReadOwner(owner, out); });
    }
    return Ok{};
  });
}

std::string Key(const std::string& ns, const std::string& name) {
  return ns.empty() ? name : ns + "/" + name;
}

bool NewerVersion(const std::string& a, const std::string& b) {
  const std::string_view x = Digits(a);
  const std::string_view y = Digits(b);
  return x.size() != y.size() ? x.size() > y.size() : x > y;
}

}  // namespace spillway::kube
