// How the units of an inference pool follow what is asked for.
#include "placement/scaling.h"

#include <gtest/gtest.h>

#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::FollowUnits;
using placement::InferenceMemory;
using placement::InferencePool;

InferencePool Paced(int up_window, std::optional<int> up_step, int down_window,
                    std::optional<int> down_step) {
  InferencePool pool = Chat(0);
  pool.scale_up = {.stabilization = Seconds{up_window}, .max_step = up_step, .period = Seconds{60}};
  pool.scale_down = {
      .stabilization = Seconds{down_window}, .max_step = down_step, .period = Seconds{60}};
  return pool;
}

struct Ask {
  int at;  // seconds
  int replicas;
  int units;  // then
};

void Play(InferencePool pool, const std::vector<Ask>& asks) {
  InferenceMemory memory;
  for (const Ask& ask : asks) {
    pool.replicas = ask.replicas;
    FollowUnits(pool, kNow + Seconds{ask.at}, memory);
    EXPECT_EQ(*memory.units, ask.units) << "at " << ask.at << " s";
  }
}

TEST(FollowUnits, TakesTheFirstNumberAsItIs) { Play(Paced(600, 1, 600, 1), {{0, 40, 40}}); }

TEST(FollowUnits, FollowsAtOnceWithoutWindowsAndSteps) {
  Play(Paced(0, {}, 0, {}), {{0, 4, 4}, {1, 9, 9}, {2, 0, 0}, {3, 7, 7}});
}

TEST(FollowUnits, ScalesDownToTheMostOfTheWindow) {
  Play(Paced(0, {}, 300, {}), {{0, 10, 10},
                               {10, 2, 10},
                               {100, 6, 10},
                               {200, 2, 10},
                               {310, 2, 6},
                               {499, 2, 6},
                               {500, 2, 2}});
}

TEST(FollowUnits, ScalesUpToTheLeastOfTheWindow) {
  Play(Paced(60, {}, 0, {}), {{0, 2, 2}, {10, 9, 2}, {30, 5, 2}, {70, 9, 5}, {130, 9, 9}});
}

TEST(FollowUnits, AShortDipDoesNotScaleDown) {
  Play(Paced(0, {}, 300, {}), {{0, 10, 10}, {100, 1, 10}, {110, 10, 10}, {1000, 10, 10}});
}

TEST(FollowUnits, StepsUpSoManyInAPeriod) {
  Play(Paced(0, 8, 0, {}), {{0, 4, 4},
                            {10, 30, 12},
                            {40, 30, 12},
                            {69, 30, 12},
                            {70, 30, 20},
                            {130, 30, 28},
                            {190, 30, 30}});
}

TEST(FollowUnits, StepsDownSoManyInAPeriod) {
  Play(Paced(0, {}, 0, 4),
       {{0, 20, 20}, {10, 5, 16}, {69, 5, 16}, {70, 5, 12}, {130, 5, 8}, {190, 5, 5}});
}

TEST(FollowUnits, WhatTimeAloneChangesIsAnnounced) {
  InferencePool pool = Paced(0, 8, 300, {});
  InferenceMemory memory;
  pool.replicas = 20;
  FollowUnits(pool, kNow, memory);
  pool.replicas = 4;
  FollowUnits(pool, kNow + Seconds{5}, memory);
  const auto moments = UnitMoments(pool, memory);
  EXPECT_EQ(std::count(moments.begin(), moments.end(), kNow + Seconds{305}), 1);
}

TEST(FollowUnits, RemembersABoundedNumberOfRequests) {
  InferencePool pool = Paced(3600, {}, 3600, {});
  InferenceMemory memory;
  for (int i = 0; i < 1000; ++i) {
    pool.replicas = i % 7;
    FollowUnits(pool, kNow + Seconds{i}, memory);
  }
  EXPECT_LE(memory.recent.size(), 64U);
  EXPECT_EQ(std::max_element(memory.recent.begin(), memory.recent.end(),
                             [](const auto& a, const auto& b) { return a.units < b.units; })
                ->units,
            6);
}

}  // namespace
}  // namespace spillway::tests
