#include "placement/verification.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::MakePlan;
using placement::Plan;
using placement::VerifyThoroughly;

TEST(VerifyThoroughly, HoldsOfEveryPlan) {
  for (uint32_t seed = 0; seed < Seeds(500U); ++seed) {
    const Snapshot world = RandomWorld(seed);
    const Status status = VerifyThoroughly(world, MakePlan(world));
    ASSERT_TRUE(status.ok()) << "seed " << seed << ": " << status.error().message;
  }
}

// chat runs, and beside it there is room for p.
Snapshot World() {
  Snapshot world = Fleet(2);
  world.pools = {Wants("p", 1)};
  auto chat = Chat(2);
  Runs(world, chat, "gpu", "home", 2, 2, {"home-1"});
  world.inference_pools = {chat};
  return world;
}

TEST(VerifyThoroughly, FindsWhatIsWrong) {
  struct Case {
    const char* sentence;
    std::function<void(Snapshot& world, Plan& plan)> breaks;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"an invariant of the plan itself",
       [](Snapshot&, Plan& plan) { plan.pools[0].memory.placement->nodes.clear(); },
       "team/p is a partial gang"},
      {"a plan that leaves something to do",
       [](Snapshot& world, Plan& plan) {
         Snapshot later = world;
         later.nodes.clear();
         plan.pools[0] = MakePlan(later).pools[0];
       },
       "team/p would change again once the plan is applied: place"},
      {"a plan that remembers what it would correct",
       [](Snapshot&, Plan& plan) { plan.pools[0].memory.queued_since.reset(); },
       "team/p would change again once the plan is applied: keep"},
      {"an inference pool that leaves something to do",
       [](Snapshot& world, Plan& plan) {
         plan = MakePlan(world);
         world.inference_pools[0].replicas = 1;
       },
       "serving/chat would change again once the plan is applied: scale"},
      {"a pool that is planned by its place in the list",
       [](Snapshot&, Plan& plan) { plan.pools[0].placed_message = "first come, first served"; },
       "team/p is planned otherwise when the same facts stand in another order"},
      {"an inference pool likewise",
       [](Snapshot&, Plan& plan) { plan.inference_pools[0].chosen = "what came first"; },
       "serving/chat is planned otherwise when the same facts stand in another order"},
      {"a report likewise", [](Snapshot&, Plan& plan) { plan.groups[0].free = 99; },
       "a node group, a quota or the next wake is planned otherwise when the same facts stand in "
       "another order"},
  };
  for (const Case& c : cases) {
    Snapshot world = World();
    Plan plan = MakePlan(world);
    ASSERT_TRUE(VerifyThoroughly(world, plan).ok()) << c.sentence;
    c.breaks(world, plan);
    const Status status = VerifyThoroughly(world, plan);
    ASSERT_FALSE(status.ok()) << c.sentence;
    EXPECT_EQ(status.error().code, Code::kInternal) << c.sentence;
    EXPECT_EQ(status.error().message, c.message) << c.sentence;
  }
}

TEST(WriteVerification, SaysWhatIsBroken) {
  const Snapshot world = World();
  const Plan plan = MakePlan(world);
  EXPECT_EQ(
      placement::WriteVerification(world, plan, Ok{}, placement::Form::kYaml),
      "sound: true\ntrainingPools: 1\ninferencePools: 1\nnodes: 2\nnodeGroups: 2\nchanges: 1\n");
  const std::string broken = placement::WriteVerification(
      world, plan, Error{Code::kInternal, "a rule: broken"}, placement::Form::kYaml);
  EXPECT_TRUE(broken.starts_with("sound: false\nbroken: \"a rule: broken\"\n")) << broken;
}

}  // namespace
}  // namespace spillway::tests
