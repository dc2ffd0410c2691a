#pragma once

#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "placement/checks.h"
#include "placement/gangs.h"

namespace spillway::placement {

enum class Settling {
  kStarting,  // who is not bound yet could lose room to the gang: it gets none there
  kSettled,   // as it is once everybody is bound,
  kOnceBack,  // and nodes are back that are NotReady within their grace
};

// What a node offers the gang without the pods and claims of `gone`.
Slot SlotWithout(const Scene& scene, size_t gang, const GroupView& group, const Need& need,
                 size_t node, const std::vector<size_t>& gone);

// What a group would have for a gang if others were gone. It looks at the nodes that have room now
// and at those that `gone` would leave, not at all nodes for each question.
class Vacancies {
 public:
  // `gang`: whose constraints are looked at, in World::pools. `own`: in Capacity, whose pods and
  // claims do not stand in its way. All of it outlives this, and rooms stay as they are meanwhile.
  Vacancies(const Scene& scene, size_t gang, size_t own, const PoolMemory& memory,
            const GroupView& group, const Need& need, Settling settling);

  // Where all of the gang would fit without the pods and claims of `gone`, which are pools, or
  // stand for promises (Capacity::PromiseIn). Quotas and money are not looked at.
  [[nodiscard]] std::optional<Fit> FitWithout(const std::vector<size_t>& gone) const;
  // The same where they stay on the nodes in `kept`, which are in order.
  [[nodiscard]] std::optional<Fit> FitWithout(const std::vector<size_t>& gone,
                                              const std::vector<size_t>& kept) const;
  // Whether there is such a fit: nodes are chosen only where that decides it.
  [[nodiscard]] bool HasRoomWithout(const std::vector<size_t>& gone) const;
  // Workers that would fit on the one node; none where the gang may not use it.
  [[nodiscard]] int64_t WorkersOn(size_t node, const std::vector<size_t>& gone) const;

 private:
  using Leaving = std::pair<size_t, size_t>;  // a node, and who leaves something there

  [[nodiscard]] bool HasRoomAnywhere(const std::vector<size_t>& gone) const;
  [[nodiscard]] int64_t WorkersNow(const std::vector<Leaving>& leaving) const;
  [[nodiscard]] std::vector<Slot> SlotsWithout(const std::vector<size_t>& gone,
                                               const std::vector<size_t>& kept = {}) const;
  [[nodiscard]] std::optional<Fit> FitOn(const std::vector<Slot>& slots) const;
  [[nodiscard]] std::vector<Slot> SlotsNow() const;
  [[nodiscard]] std::vector<Slot> SettledSlots() const;
  [[nodiscard]] std::vector<Slot> SlotsOneByOne() const;
  // `free`: any row, to reckon in.
  [[nodiscard]] Slot SlotOf(size_t node, std::span<const size_t> gone, Row& free) const;

  const Scene& scene_;
  size_t own_;
  const GroupView& group_;
  const Need& need_;
  Settling settling_;
  Topology topology_;
  std::shared_ptr<const Ground> ground_;  // the nodes that the gang may use
  Row request_;
  size_t column_;                   // of the accelerators
  std::vector<int64_t> when_free_;  // accelerators of an empty node, by shape
  std::vector<Slot> slots_;         // by node: where workers fit now
};

}  // namespace spillway::placement
