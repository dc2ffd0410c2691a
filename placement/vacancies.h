#pragma once

#include <map>
#include <optional>
#include <vector>

#include "placement/checks.h"
#include "placement/gangs.h"

namespace spillway::placement {

enum class Settling {
  kStarting,  // who is not bound yet could lose room to the gang: it gets none there
  kSettled,   // as it is once everybody is bound
};

// What a node offers the gang, `before` being that as it is, without the pods and claims of `gone`.
Slot SlotWithout(const Scene& scene, size_t gang, const GroupView& group, const Need& need,
                 const Slot& before, const std::vector<size_t>& gone,
                 Settling settling = Settling::kStarting);

// What a group would have for a gang if others were gone.
class Vacancies {
 public:
  // All of it outlives this.
  Vacancies(const Scene& scene, size_t gang, const PoolMemory& memory, const GroupView& group,
            const Need& need, Settling settling);

  // Where all of the gang would fit without the pods and claims of `gone`, which are pools, or
  // stand for promises (Capacity::PromiseIn). Quotas and money are not looked at.
  [[nodiscard]] std::optional<Fit> FitWithout(const std::vector<size_t>& gone) const;

 private:
  [[nodiscard]] std::vector<Slot> SlotsWithout(const std::vector<size_t>& gone) const;

  const Scene& scene_;
  size_t gang_;
  const GroupView& group_;
  const Need& need_;
  Settling settling_;
  Topology topology_;
  std::vector<Slot> slots_;      // of the nodes that the gang may use
  std::map<size_t, size_t> at_;  // node → its slot
};

}  // namespace spillway::placement
