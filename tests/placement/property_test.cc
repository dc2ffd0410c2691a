// Properties that hold in every world, tried on random ones. A failure prints the seed; the world
// is RandomWorld(seed).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <set>

#include "placement/plan.h"
#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Action;
using placement::Applied;
using placement::InferenceDecision;
using placement::MakePlan;
using placement::Plan;
using placement::PoolDecision;
using placement::PoolMemory;
using placement::Reason;
using placement::Snapshot;

constexpr uint32_t kWorlds = 4000;
constexpr uint32_t kMostWorlds = 20'000;

std::string Seed(uint32_t seed, const Plan& plan) {
  return "seed " + std::to_string(seed) + "\n" + FormatPlan(plan, true);
}

// SPILLWAY_WORLDS asks for more of them, as `scripts/test soak` does.
uint32_t Worlds() {
  const char* asked = std::getenv("SPILLWAY_WORLDS");  // NOLINT(concurrency-mt-unsafe)
  return asked == nullptr ? Seeds(kMostWorlds) : static_cast<uint32_t>(std::stoul(asked));
}

// Adds a figure to those of a soak run.
void Record(const std::string& name, uint32_t value) {
  const char* figures = std::getenv("SPILLWAY_EVIDENCE");  // NOLINT(concurrency-mt-unsafe)
  if (figures == nullptr) return;
  std::ofstream(figures, std::ios::app)
      << R"({"name": ")" << name << R"(", "value": )" << value << R"(, "unit": ""})" << "\n";
}

TEST(EveryPlan, HoldsTheInvariants) {
  const uint32_t worlds = Worlds();
  for (uint32_t seed = 0; seed < worlds; ++seed) {
    const Snapshot world = RandomWorld(seed);
    const Plan plan = MakePlan(world);
    const Status status = Verify(world, plan);
    ASSERT_TRUE(status.ok()) << status.error().message << "\n" << Seed(seed, plan);
  }
  Record("random worlds whose plan holds all invariants", worlds);
}

// Plans of these worlds were wrong once, or were taken to be.
TEST(EveryPlan, HoldsTheInvariantsWhereItDidNot) {
  for (const uint32_t seed :
       {719'550U, 508'865U, 326'381U, 228'344U, 77'106U,  27'628U,  35'132U,  67'911U,  86'934U,
        89'076U,  102'794U, 108'803U, 111'082U, 119'121U, 142'790U, 149'671U, 181'837U, 202'226U,
        246'174U, 262'368U, 320'384U, 337'298U, 374'520U, 446'547U, 498'811U, 530'879U, 790'794U,
        823'441U, 859'970U, 115'825U, 154'123U, 285'744U, 150'621U, 74'897U,  68'038U,  448'532U,
        743'125U, 769'759U, 827'876U, 833'460U, 986'280U, 118'177U, 119'462U, 120'056U, 213'683U,
        162'536U, 409'646U, 516'995U, 555'727U, 699'616U, 701'149U, 757'897U, 903'551U, 33'676U,
        61'305U,  134'791U, 258'153U, 453'033U, 517'686U, 581'988U, 593'367U, 606'263U, 629'078U,
        345'537U, 809'448U, 816'875U, 825'214U, 907'278U, 950'835U, 968'992U}) {
    const Snapshot world = RandomWorld(seed);
    const Plan plan = MakePlan(world);
    const Status status = Verify(world, plan);
    EXPECT_TRUE(status.ok()) << status.error().message << "\n" << Seed(seed, plan);
  }
}

TEST(EveryPlan, IsTheSameWhateverTheOrderOfTheFacts) {
  for (uint32_t seed = 0; seed < Seeds(kWorlds); ++seed) {
    const Snapshot world = RandomWorld(seed);
    const Plan plan = MakePlan(world);
    const Plan other = MakePlan(Shuffled(world, seed + 1));
    ASSERT_TRUE(plan == other) << Seed(seed, plan) << Seed(seed, other);
  }
}

template <class Decision>
bool IsQuiet(const Decision& decision) {
  return decision.action == Action::kWait || decision.action == Action::kKeep ||
         decision.action == Action::kDone;
}

void ChangesNothingOnceApplied(uint32_t seed) {
  const Snapshot world = RandomWorld(seed);
  const Plan plan = MakePlan(world);
  const Snapshot after = Applied(world, plan);
  const Plan next = MakePlan(after);
  for (size_t p = 0; p < plan.pools.size(); ++p) {
    ASSERT_TRUE(IsQuiet(next.pools[p])) << next.pools[p].key.Format() << "\n"
                                        << Seed(seed, plan) << Seed(seed, next);
    ASSERT_TRUE(plan.pools[p].memory == next.pools[p].memory)
        << next.pools[p].key.Format() << "\n"
        << Seed(seed, plan) << Seed(seed, next);
  }
  for (size_t g = 0; g < plan.groups.size(); ++g) {
    ASSERT_TRUE(plan.groups[g].memory == next.groups[g].memory)
        << Seed(seed, plan) << Seed(seed, next);
  }
  for (size_t p = 0; p < plan.inference_pools.size(); ++p) {
    ASSERT_TRUE(IsQuiet(next.inference_pools[p])) << Seed(seed, plan) << Seed(seed, next);
    ASSERT_TRUE(plan.inference_pools[p].memory == next.inference_pools[p].memory)
        << Seed(seed, plan) << Seed(seed, next);
  }
  ASSERT_TRUE(plan.quotas == next.quotas) << Seed(seed, plan) << Seed(seed, next);
}

TEST(EveryPlan, ChangesNothingOnceApplied) {
  for (uint32_t seed = 0; seed < Seeds(kWorlds); ++seed) {
    ASSERT_NO_FATAL_FAILURE(ChangesNothingOnceApplied(seed));
  }
}

// What these worlds' next plans found otherwise.
TEST(EveryPlan, ChangesNothingOnceAppliedWhereItDid) {
  struct World {
    uint32_t seed;
    const char* otherwise;
  };
  for (const World& world : {
           World{4254, "of two claims of one moment the later took first what nobody had"},
           World{5817, "of two claims of one moment the later took first what nobody had"},
           World{8772, "of two claims of one moment, made in two passes, the later came first"},
           World{26'883, "of two claims of one moment, made in two passes, the later came first"},
           World{14'668, "of two claims of one moment the order changed with what was borrowed"},
           World{15'788, "who went for a claim had started anew, and its place was its own"},
           World{32'293, "a claim counted on money of those who went for one that was over"},
           World{33'328, "a claim had less room while one that was given up had stood before it"},
           World{45'476, "a claim counted on money of those who went for one that was over"},
           World{13'769, "room was kept for pods beyond a Deployment's replicas that had none"},
           World{48'153, "room was kept for pods beyond a Deployment's replicas that had none"},
           World{5243, "a group had been told to have its minNodes, and a step began there"},
           World{9629, "a group had been told to have its minNodes, and a step began there"},
           World{24'484, "nodes were asked for in the order of what was borrowed by then"},
           World{65'337, "targets were held in the order of what was borrowed by then"},
       }) {
    SCOPED_TRACE(world.otherwise);
    ASSERT_NO_FATAL_FAILURE(ChangesNothingOnceApplied(world.seed));
  }
}

// Pods of dropped attempts are gone some time: then whoever waits may get their room, and no more
// happens.
Snapshot WithoutOldPods(Snapshot world) {
  for (placement::TrainingPool& pool : world.pools) {
    const auto& placement = pool.memory.placement;
    const auto is_old = [&](const placement::Worker& worker) {
      return !placement || worker.attempt != placement->attempt;
    };
    for (const placement::Worker& worker : pool.workers) {
      if (!is_old(worker) || worker.ended) continue;
      for (placement::Node& node : world.nodes) {
        if (node.id.name == worker.node) node.used.Subtract(worker.requests);
      }
    }
    std::erase_if(pool.workers, is_old);
  }
  for (placement::InferencePool& pool : world.inference_pools) {
    for (const placement::Replica& replica : pool.live) {
      if (!replica.terminating) continue;
      for (placement::Node& node : world.nodes) {
        if (node.id.name == replica.node) node.used.Subtract(replica.requests);
      }
    }
    std::erase_if(pool.live, [](const placement::Replica& r) { return r.terminating; });
  }
  return world;
}

TEST(EveryWorld, ComesToRest) {
  for (uint32_t seed = 0; seed < Seeds(kWorlds); ++seed) {
    Snapshot world = RandomWorld(seed);
    int rounds = 0;
    for (bool quiet = false; !quiet; ++rounds) {
      ASSERT_LT(rounds, 5) << "seed " << seed;
      const Plan plan = MakePlan(world);
      const Status status = Verify(world, plan);
      ASSERT_TRUE(status.ok()) << status.error().message << "\n" << Seed(seed, plan);
      quiet = std::all_of(plan.pools.begin(), plan.pools.end(), IsQuiet<PoolDecision>) &&
              std::all_of(plan.inference_pools.begin(), plan.inference_pools.end(),
                          IsQuiet<InferenceDecision>);
      world = WithoutOldPods(Applied(world, plan));
    }
  }
}

// A plan is made at its next wake, and never asks to be woken in the past.
// Where nothing happens but that time passes, it is looked at now and then and not all the time.
TEST(EveryPlan, WakesAFewTimesOnlyInAQuietHour) {
  int64_t wakes = 0;
  const uint32_t seeds = Seeds(kWorlds / 8);
  for (uint32_t seed = 0; seed < seeds; ++seed) {
    Snapshot world = RandomWorld(seed);
    const size_t most =
        10 + 6 * (world.pools.size() + world.inference_pools.size() + world.groups.size());
    size_t here = 0;
    for (;; ++here) {
      const Plan plan = MakePlan(world);
      if (!plan.next_wake || *plan.next_wake > kNow + Seconds{3600}) break;
      ASSERT_GT(*plan.next_wake, world.now) << Seed(seed, plan);
      ASSERT_LT(here, most) << Seed(seed, plan);
      world = Applied(world, plan);
      world.now = *plan.next_wake;
    }
    wakes += static_cast<int64_t>(here);
  }
  std::cout << "wakes in an hour: " << wakes << " in " << seeds << " worlds\n";
  EXPECT_GT(wakes, seeds);
}

// Between now and the next wake, time alone changes nothing: what a plan a second before it says is
// what this one says.
TEST(EveryPlan, SleepsNoLongerThanItMay) {
  for (uint32_t seed = 0; seed < Seeds(kWorlds); ++seed) {
    const Snapshot world = RandomWorld(seed);
    Snapshot later = Applied(world, MakePlan(world));
    const Plan plan = MakePlan(later);
    later.now = plan.next_wake ? *plan.next_wake - Seconds{1} : kNow + Seconds{1'000'000};
    const Plan next = MakePlan(later);
    for (size_t p = 0; p < plan.pools.size(); ++p) {
      ASSERT_TRUE(plan.pools[p] == next.pools[p]) << plan.pools[p].key.Format() << "\n"
                                                  << Seed(seed, plan) << Seed(seed, next);
    }
    for (size_t p = 0; p < plan.inference_pools.size(); ++p) {
      ASSERT_TRUE(plan.inference_pools[p] == next.inference_pools[p])
          << Seed(seed, plan) << Seed(seed, next);
    }
    for (size_t g = 0; g < plan.groups.size(); ++g) {
      ASSERT_TRUE(plan.groups[g] == next.groups[g]) << Seed(seed, plan) << Seed(seed, next);
    }
  }
}

TEST(EverySnapshot, ReadsBackAsItWasWritten) {
  for (uint32_t seed = 0; seed < Seeds(kWorlds / 4); ++seed) {
    const Snapshot world = RandomWorld(seed);
    const std::string text = WriteSnapshot(world);
    const auto read = placement::ReadSnapshot(text);
    ASSERT_TRUE(read.ok()) << read.error().message << "\n" << text;
    ASSERT_TRUE(world == *read) << text;
  }
}

// Among them are gangs that move, hold nodes to move to, and are to leave and can't.
TEST(RandomWorlds, HaveGangsThatMove) {
  int moved = 0;
  int held = 0;
  int stuck = 0;
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    const Snapshot world = RandomWorld(seed);
    for (const PoolDecision& decision : MakePlan(world).pools) {
      if (decision.action == Action::kRestart && decision.memory.last_move == kNow) ++moved;
      if (decision.memory.Moves()) ++held;
      if (decision.placed && decision.placed_reason == placement::Reason::kDraining) ++stuck;
    }
  }
  EXPECT_GT(moved, 10);
  EXPECT_GT(held, 10);
  EXPECT_GT(stuck, 10);
}

// Among them are inference pools that make gangs go, and gangs that go for them.
TEST(RandomWorlds, HaveGangsThatGiveWayToReplicas) {
  int made = 0;
  int kept = 0;
  int given_up = 0;
  int gone = 0;
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    const Snapshot world = RandomWorld(seed);
    const Plan plan = MakePlan(world);
    for (const placement::InferencePool& pool : world.inference_pools) {
      const auto decision =
          std::find_if(plan.inference_pools.begin(), plan.inference_pools.end(),
                       [&](const InferenceDecision& one) { return one.key == pool.key; });
      const auto& before = pool.memory.claim;
      const auto& after = decision->memory.claim;
      if (after && !(before && before->hold.since == after->hold.since)) ++made;
      if (before && after && before->hold.since == after->hold.since) ++kept;
      if (before && !after) ++given_up;
      if (!after) continue;
      for (const PoolDecision& gang : plan.pools) {
        const auto& victims = after->hold.victims;
        const bool is_victim = std::find(victims.begin(), victims.end(), gang.key) != victims.end();
        if (is_victim && gang.action == Action::kRelease) ++gone;
      }
    }
  }
  std::cout << "claims: " << made << " made, " << kept << " kept, " << given_up
            << " given up; gangs gone for them: " << gone << "\n";
  EXPECT_GT(made, 20);
  EXPECT_GT(kept, 20);
  EXPECT_GT(given_up, 20);
  EXPECT_GT(gone, 10);
}

TEST(RandomWorlds, HaveReplicasThatGiveWayToGangs) {
  int made = 0;
  int kept = 0;
  int given_up = 0;
  int gone = 0;
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    const Snapshot world = RandomWorld(seed);
    const Plan plan = MakePlan(world);
    for (const TrainingPool& pool : world.pools) {
      const auto decision = std::find_if(plan.pools.begin(), plan.pools.end(),
                                         [&](const auto& one) { return one.key == pool.key; });
      const auto claims = [](const auto& hold) { return hold && !hold->replicas.empty(); };
      const auto& before = pool.memory.hold;
      const auto& after = decision->memory.hold;
      if (claims(after) && !(claims(before) && before->since == after->since)) ++made;
      if (claims(before) && claims(after) && before->since == after->since) ++kept;
      if (claims(before) && !claims(after) && !decision->placed) ++given_up;
    }
    for (const InferenceDecision& decision : plan.inference_pools) {
      const auto& evictions = decision.memory.evictions;
      if (!evictions.empty() && evictions.back().time == world.now) ++gone;
    }
  }
  std::cout << "claims: " << made << " made, " << kept << " kept, " << given_up
            << " given up; replicas gone for them: " << gone << "\n";
  EXPECT_GT(made, 20);
  EXPECT_GT(kept, 20);
  EXPECT_GT(given_up, 20);
  EXPECT_GT(gone, 20);
}

// Among them are elastic gangs that somebody claims workers of, and that go on with fewer.
TEST(RandomWorlds, HaveGangsThatShrink) {
  int made = 0;
  int kept = 0;
  int given_up = 0;
  int shrunk = 0;
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    const Snapshot world = RandomWorld(seed);
    const Plan plan = MakePlan(world);
    for (const TrainingPool& pool : world.pools) {
      const auto decision = std::find_if(plan.pools.begin(), plan.pools.end(),
                                         [&](const auto& one) { return one.key == pool.key; });
      const auto& before = pool.memory.hold;
      const auto& after = decision->memory.hold;
      const bool had = before && before->shrinks;
      const bool has = after && after->shrinks;
      if (has && !(had && before->since == after->since)) ++made;
      if (had && has && before->since == after->since) ++kept;
      if (had && !has && !decision->placed) ++given_up;
      const auto& evictions = decision->memory.evictions;
      const bool gave_way = !evictions.empty() && evictions.back().time == world.now;
      if (decision->action == Action::kRestart && gave_way) ++shrunk;
    }
  }
  std::cout << "claims: " << made << " made, " << kept << " kept, " << given_up
            << " given up; gangs that shrank: " << shrunk << "\n";
  EXPECT_GT(made, 20);
  EXPECT_GT(kept, 20);
  EXPECT_GT(given_up, 20);
  EXPECT_GT(shrunk, 10);
}

// The worlds are worth the name: each reason and each action is in one of a hundred.
TEST(RandomWorlds, ShowEveryReasonAndActionOftenEnough) {
  std::map<std::string_view, uint32_t> worlds;
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    const Plan plan = MakePlan(RandomWorld(seed));
    std::set<std::string_view> seen;
    for (const PoolDecision& decision : plan.pools) {
      seen.insert(Name(decision.action));
      seen.insert(ReasonName(decision.placed_reason));
      seen.insert(ReasonName(decision.ready_reason));
      for (const auto& one : decision.alternatives) seen.insert(ReasonName(one.reason));
    }
    for (const auto& quota : plan.quotas) {
      if (!quota.guarantees_covered) seen.insert("GuaranteeUncovered");
    }
    for (const auto& group : plan.groups) {
      if (!group.shape_matches) seen.insert("ShapeMismatch");
    }
    for (const InferenceDecision& decision : plan.inference_pools) {
      seen.insert(Name(decision.action));
      seen.insert(ReasonName(decision.capacity_reason));
      seen.insert(ReasonName(decision.ready_reason));
      for (const auto& one : decision.alternatives) seen.insert(ReasonName(one.reason));
    }
    for (const std::string_view name : seen) ++worlds[name];
  }
  std::vector<std::string_view> names;
  for (const placement::Reason reason : placement::AllReasons()) {
    // Of an object that no snapshot has: the operator alone finds it out.
    if (reason != placement::Reason::kTargetUnavailable) names.push_back(ReasonName(reason));
  }
  for (const char* action :
       {"wait", "place", "keep", "restart", "release", "finish", "done", "scale"}) {
    names.emplace_back(action);
  }
  for (const std::string_view name : names) {
    std::cout << name << ": " << worlds[name] << " of " << kWorlds << " worlds\n";
    EXPECT_GE(worlds[name], kWorlds / 100) << name;
  }
}

// What a world shows of the rules that decide (docs/placement.md), by their numbers there.
std::set<std::string_view> RulesIn(const Snapshot& world, const Plan& plan) {
  std::set<std::string_view> rules;
  const auto see = [&](std::string_view rule, bool shows) {
    if (shows) rules.insert(rule);
  };
  for (const TrainingPool& pool : world.pools) {
    const PoolDecision& decision = *std::ranges::find(plan.pools, pool.key, &PoolDecision::key);
    const PoolMemory& before = pool.memory;
    const PoolMemory& after = decision.memory;
    const bool gave_way =
        !after.evictions.empty() && after.evictions.back().time == world.now &&
        (before.evictions.empty() || before.evictions.back() != after.evictions.back());
    const bool claims = after.hold && after.hold->IsClaim() && after.hold->since == world.now;
    see("2: it stays where it is", decision.action == Action::kKeep);
    see("2: what a loss left is held for it",
        decision.action == Action::kRelease && after.hold && !after.hold->IsClaim());
    see("3: a check is against a group",
        std::ranges::any_of(decision.alternatives, [](const auto& one) { return !one.fits; }));
    see("4: it starts at home", decision.action == Action::kPlace && after.placement->tier == 0);
    see("5: it has others shrink", claims && after.hold->shrinks);
    see("5: it holds back", decision.placed_reason == Reason::kHoldingBackSpill);
    see("5: it spills", decision.action == Action::kPlace && after.placement->tier > 0);
    see("6: it has others go", claims && !after.hold->shrinks);
    see("6: it gives way", gave_way);
    see("7: room is reserved for it", decision.reservation && decision.reservation->starts_by);
    see("9: it moves", decision.action == Action::kRestart && after.last_move == world.now);
    see("10: nodes are asked for", after.ask && after.ask->since == world.now);
  }
  for (const auto& quota : plan.quotas) {
    for (const auto& use : quota.accelerators) {
      see("1: somebody borrows beside a guarantee", use.borrowed > 0 && use.guaranteed > 0);
    }
  }
  for (const InferenceDecision& decision : plan.inference_pools) {
    const auto serves = [](const auto& cell) { return cell.desired > 0; };
    see("8: replicas change", decision.action == Action::kScale);
    see("8: more than one cell serves", std::ranges::count_if(decision.cells, serves) > 1);
  }
  for (const auto& group : plan.groups) {
    see("10: nodes are out of stock", group.memory.stockout.has_value());
    see("10: nodes are given back", group.memory.leaving.has_value());
  }
  return rules;
}

TEST(RandomWorlds, ShowEveryRuleOftenEnough) {
  std::map<std::string_view, uint32_t> worlds;
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    const Snapshot world = RandomWorld(seed);
    for (const std::string_view rule : RulesIn(world, MakePlan(world))) ++worlds[rule];
  }
  EXPECT_EQ(worlds.size(), 17U);
  for (const auto& [rule, count] : worlds) {
    std::cout << rule << ": " << count << " of " << kWorlds << " worlds\n";
    EXPECT_GE(count, kWorlds / 100) << rule;
  }
}

}  // namespace
}  // namespace spillway::tests
