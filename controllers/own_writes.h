#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kube/client.h"

namespace spillway::controllers {

// What we wrote and the caches may not show yet: the resource versions that the writes were
// answered with. For one thread.
//
// All decisions need statuses and nodes. A status says what was decided: to all others the room of
// a pool that is seen without its last one is free, and the pool would be decided about twice. So
// nothing is decided before these are seen.
//
// Children (Jobs, Deployments, Services, PodDisruptionBudgets) follow from their pool's status,
// which says what room they have. Those that are not seen yet may mislead about their own pool
// only: nothing is written about it before they are. To the others it is what it is while its
// children are still being written, when caches may show any of them or none.
class OwnWrites {
 public:
  using Versions = std::vector<std::pair<const kube::Resource*, std::string>>;
  using ByKind = std::map<const kube::Resource*, std::string>;
  // What the store of a kind has come to.
  using VersionOf = std::function<std::string(const kube::Resource&)>;

  explicit OwnWrites(VersionOf version_of) : version_of_(std::move(version_of)) {}

  // `key`: of the list of writes.
  void Add(const std::string& key, const Versions& versions, std::chrono::nanoseconds now);

  // --- what a pass waits for ---
  // Of what was added since StopWaiting.
  [[nodiscard]] bool DecisionsAreSeen() const;
  [[nodiscard]] bool ChildrenAreSeen() const;
  // Seen or not. What all decisions need is forgotten with it.
  void StopWaiting();

  // --- what a pass leaves alone ---
  // To be called before the world is read, so that what it then forgets is in that. Forgets
  // children that are seen by now, and those of keys about which nothing was written for so long:
  // the latter are returned.
  std::vector<std::string> Look(std::chrono::nanoseconds now, std::chrono::nanoseconds deadline);
  // Were some of its children not seen when that was called last?
  [[nodiscard]] bool IsUnseen(const std::string& key) const { return children_.contains(key); }
  [[nodiscard]] bool NoneIsUnseen() const { return children_.empty(); }
  // When that was written which has not been seen for longest.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> Oldest() const;
  // Once a store has come so far, more are seen: of each kind the first version that is not.
  [[nodiscard]] ByKind Next() const;

 private:
  struct Children {
    ByKind versions;
    std::chrono::nanoseconds since{0};
  };

  [[nodiscard]] bool AreSeen(const ByKind& versions) const;

  const VersionOf version_of_;
  ByKind decisions_;                          // waited for
  ByKind new_children_;                       // likewise
  std::map<std::string, Children> children_;  // by key of the list
};

}  // namespace spillway::controllers
