#include "controllers/own_writes.h"

#include <algorithm>
#include <iterator>

#include "kube/object_meta.h"
#include "kube/types/deployment.h"
#include "kube/types/job.h"

namespace spillway::controllers {
namespace {

using std::chrono::nanoseconds;

bool IsChild(const kube::Resource& resource) {
  return resource == kube::JobResource() || resource == kube::DeploymentResource() ||
         resource == kube::ServiceResource() || resource == kube::PodDisruptionBudgetResource();
}

void Raise(std::string& mark, const std::string& version) {
  if (kube::NewerVersion(version, mark)) mark = version;
}

}  // namespace

void OwnWrites::Add(const std::string& key, const Versions& versions, nanoseconds now) {
  for (const auto& [resource, version] : versions) {
    if (!IsChild(*resource)) {
      Raise(decisions_[resource], version);
      continue;
    }
    Raise(new_children_[resource], version);
    Children& children = children_[key];
    Raise(children.versions[resource], version);
    children.since = now;
  }
}

bool OwnWrites::AreSeen(const ByKind& versions) const {
  return std::ranges::all_of(versions, [this](const auto& mark) {
    return !kube::NewerVersion(mark.second, version_of_(*mark.first));
  });
}

bool OwnWrites::DecisionsAreSeen() const { return AreSeen(decisions_); }

bool OwnWrites::ChildrenAreSeen() const { return AreSeen(new_children_); }

void OwnWrites::StopWaiting() {
  decisions_.clear();
  new_children_.clear();
}

std::vector<std::string> OwnWrites::Look(nanoseconds now, nanoseconds deadline) {
  std::vector<std::string> overdue;
  ByKind come_to;  // one look at each store
  const auto is_seen = [&](const auto& mark) {
    const auto [at, fresh] = come_to.try_emplace(mark.first);
    if (fresh) at->second = version_of_(*mark.first);
    return !kube::NewerVersion(mark.second, at->second);
  };
  for (auto at = children_.begin(); at != children_.end();) {
    Children& children = at->second;
    std::erase_if(children.versions, is_seen);
    const bool all_seen = children.versions.empty();
    const bool in_time = now - children.since < deadline;
    if (!all_seen && !in_time) overdue.push_back(at->first);
    at = all_seen || !in_time ? children_.erase(at) : std::next(at);
  }
  return overdue;
}

std::optional<nanoseconds> OwnWrites::Oldest() const {
  const auto by_time = [](const auto& a, const auto& b) { return a.second.since < b.second.since; };
  const auto oldest = std::ranges::min_element(children_, by_time);
  if (oldest == children_.end()) return std::nullopt;
  return oldest->second.since;
}

OwnWrites::ByKind OwnWrites::Next() const {
  ByKind next;
  for (const auto& [key, children] : children_) {
    for (const auto& [resource, version] : children.versions) {
      std::string& first = next.try_emplace(resource, version).first->second;
      if (kube::NewerVersion(first, version)) first = version;
    }
  }
  return next;
}

}  // namespace spillway::controllers
