#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "controllers/families.h"
#include "controllers/stores.h"
#include "placement/sharing.h"
#include "placement/snapshot.h"

namespace spillway::controllers {

// Turns Kubernetes' nodes into ours, moment after moment. There may be more than a hundred thousand
// of them, of which next to none changes between two passes: one whose object is still the same is
// not looked at again.
class NodeObserver {
 public:
  // `nodes`: as the last call left them, none at first; then those of `world`, in its order.
  // `sharing`: of the rest of the snapshot.
  void Observe(const World& world, const Families& families, Time now, placement::Sharing& sharing,
               std::vector<placement::Node>& nodes);

 private:
  using Objects = std::vector<std::shared_ptr<const kube::Node>>;

  [[nodiscard]] bool HaveSameNames(const Objects& objects) const;
  void Arrange(const Objects& objects, std::vector<placement::Node>& nodes);
  void Renew(const kube::Node& object, Time now, placement::Node& node);
  void ShareAnew(std::vector<placement::Node>& nodes);

  // Of which the nodes are. They are kept, so that no other object takes the address of one.
  Objects objects_;
  placement::Sharing sharing_;  // of what they say of themselves
  size_t shared_ = 0;           // how many it has been shown, those that are no more among them
};

}  // namespace spillway::controllers
