#pragma once

#include <gtest/gtest.h>

#include "placement/plan.h"
#include "tests/support/builders.h"

// A plan, checked, and the world after it.
namespace spillway::tests {

inline placement::Plan Checked(const Snapshot& world) {
  placement::Plan plan = placement::MakePlan(world);
  const Status status = Verify(world, plan);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return plan;
}

// The world once the plan was carried out: pods that were told to stop are gone, those of new
// attempts run.
inline Snapshot After(const Snapshot& world, const placement::Plan& plan, Time now) {
  Snapshot after = Applied(world, plan);
  after.now = now;
  for (TrainingPool& pool : after.pools) {
    const auto& placement = pool.memory.placement;
    const auto is_old = [&](const placement::Worker& worker) {
      return !placement || worker.attempt != placement->attempt;
    };
    for (const placement::Worker& worker : pool.workers) {
      if (is_old(worker)) NodeOf(after, worker.node).used.Subtract(worker.requests);
    }
    std::erase_if(pool.workers, is_old);
    if (placement && pool.workers.empty()) AddWorkers(after, pool);
    pool.attempt.exists = placement.has_value();
  }
  return after;
}

}  // namespace spillway::tests
