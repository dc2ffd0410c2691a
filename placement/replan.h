#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "placement/plan.h"
#include "placement/snapshot.h"

// One plan after another, of snapshots that are mostly alike.
namespace spillway::placement {

// Keeps the last snapshot and what its plan was made of, so that the plan of the next one need not
// be made from scratch: between two looks at a large cluster, mostly nothing has changed, or only
// how the workers of a few gangs are doing. Not for several threads at once.
class Replanner {
 public:
  // What the last plan took.
  enum class Effort {
    kNothing,  // it is the one before
    kGangs,    // of that, the decisions about the gangs that have changed are made anew
    kAll,      // all of it
  };

  Replanner();
  ~Replanner();
  Replanner(const Replanner&) = delete;
  Replanner& operator=(const Replanner&) = delete;
  Replanner(Replanner&&) = delete;
  Replanner& operator=(Replanner&&) = delete;

  // MakePlan(snapshot), whatever was planned before; good until the next call.
  const Plan& Replan(Snapshot snapshot);
  // The same for the last snapshot at another moment, with `changed` in place of its training pools
  // of the same keys. REQUIRES that there is a last snapshot, and that it has each of them once.
  const Plan& Replan(Time now, std::vector<TrainingPool> changed);

  // What the last plan is of. REQUIRES that there is one.
  [[nodiscard]] const Snapshot& Last() const;
  [[nodiscard]] Effort Took() const { return took_; }
  // With kGangs: where in Plan::pools the decisions are that were made anew. Sorted.
  [[nodiscard]] const std::vector<size_t>& MadeAnew() const;

 private:
  struct Made;

  const Plan& PlanAnew(Snapshot snapshot);

  std::unique_ptr<Made> made_;
  Effort took_ = Effort::kAll;
};

}  // namespace spillway::placement
