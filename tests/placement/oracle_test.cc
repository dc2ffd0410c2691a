// On small worlds, every way to put the workers on nodes is tried: a group fits exactly when there
// is one. The search shares nothing with the planner but the snapshot.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>

#include "placement/plan.h"
#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::MakePlan;
using placement::Plan;
using placement::TopologyMode;

using Room = std::map<std::string, int64_t>;  // by resource

// One pool before one or two groups of up to five nodes, some in use by others, some not usable.
Snapshot SmallWorld(uint32_t seed) {
  Dice dice(seed);
  Snapshot world = Fleet(0);
  world.groups.resize(static_cast<size_t>(dice.Roll(2)) + 1);
  for (NodeGroup& group : world.groups) {
    group.tier = 0;
    group.provider = placement::Provider::kOnPrem;
    group.per_node = 0;
    if (dice.OneIn(5)) group.domain_labels = {};
    if (dice.OneIn(4)) group.resource.clear();
    const int nodes = dice.Roll(5) + 1;
    for (int n = 0; n < nodes; ++n) {
      placement::Node node =
          GpuNode(group.name + "-" + std::to_string(n), group.name, dice.Pick<int>({1, 2, 4, 8}));
      node.allocatable.Set("memory", int64_t{dice.Pick<int>({16, 40, 64})} << 30);
      node.allocatable.Set("cpu", dice.Pick<int64_t>({4000, 9000, 16000}));
      if (!dice.OneIn(4)) node.labels[kDomain] = dice.OneIn(2) ? "d1" : "d2";
      if (!dice.OneIn(4)) node.labels[kBlock] = dice.OneIn(2) ? "b1" : "b2";
      if (dice.OneIn(8)) node.cordoned = true;
      if (dice.OneIn(8)) node.taints = {{.key = "t", .value = "", .effect = "NoSchedule"}};
      node.used.Set(kGpu, dice.Roll(3));
      node.used.Set("cpu", dice.Roll(3) * 1000);
      world.nodes.push_back(node);
    }
  }
  TrainingPool pool = Wants("p", dice.Roll(6) + 1, dice.Pick<int>({1, 1, 2, 4}));
  pool.requests =
      Amounts({{"cpu", "1"}, {"memory", std::to_string(dice.Roll(20) + 1) + "Gi"}, {"pods", "1"}});
  pool.topology = dice.Pick<TopologyMode>(
      {TopologyMode::kRequired, TopologyMode::kPreferred, TopologyMode::kIgnore});
  if (pool.topology == TopologyMode::kRequired && dice.OneIn(3)) pool.topology_level = kBlock;
  world.pools = {pool};
  return world;
}

Room RequestOf(const TrainingPool& pool, const NodeGroup& group) {
  Room request;
  for (const auto& [name, amount] : pool.requests) request[name] = amount;
  if (group.resource.empty()) {
    request["cpu"] = std::max<int64_t>(request["cpu"], int64_t{pool.per_worker} * 1000);
  } else {
    request[group.resource] = pool.per_worker;
  }
  return request;
}

// Puts worker after worker on any node that has room for it: all combinations.
bool Assign(std::vector<Room>& rooms, const Room& request, int workers, size_t from) {
  if (workers == 0) return true;
  for (size_t n = from; n < rooms.size(); ++n) {
    bool fits = true;
    for (const auto& [name, amount] : request) fits = fits && rooms[n][name] >= amount;
    if (!fits) continue;
    for (const auto& [name, amount] : request) rooms[n][name] -= amount;
    const bool rest = Assign(rooms, request, workers - 1, n);
    for (const auto& [name, amount] : request) rooms[n][name] += amount;
    if (rest) return true;
  }
  return false;
}

// A third of them may run with fewer workers; the second group may be beyond home.
void MakeElastic(Snapshot& world, uint32_t seed) {
  Dice dice(seed + 1'000'000);
  if (!dice.OneIn(3)) return;
  placement::AcceptedAccelerator& accepted = world.pools[0].accelerators[0];
  accepted.workers += dice.Roll(6);
  accepted.min_workers = dice.Roll(accepted.workers) + 1;
  world.groups.back().tier = dice.OneIn(2) ? 0 : 10;
  world.pools[0].spill_after = Seconds{0};
}

bool Possible(const Snapshot& world, const NodeGroup& group, int workers) {
  const TrainingPool& pool = world.pools[0];
  const bool required = pool.topology == TopologyMode::kRequired;
  const std::string level = pool.topology_level.empty() && !group.domain_labels.empty()
                                ? group.domain_labels.front()
                                : pool.topology_level;
  const auto& labels = group.domain_labels;
  if (required && std::find(labels.begin(), labels.end(), level) == labels.end()) return false;
  std::map<std::string, std::vector<Room>> by_domain;
  for (const placement::Node& node : world.nodes) {
    if (node.labels.find("group")->second != group.name || node.cordoned || !node.taints.empty())
      continue;
    if (required && !node.labels.contains(level)) continue;
    Room room;
    for (const auto& [name, amount] : node.allocatable) room[name] = amount - node.used.Get(name);
    by_domain[required ? node.labels.find(level)->second : ""].push_back(room);
  }
  return std::any_of(by_domain.begin(), by_domain.end(), [&](auto& domain) {
    return Assign(domain.second, RequestOf(pool, group), workers, 0);
  });
}

// The most workers that there is a way to put there; 0: not even the least.
int MostIn(const Snapshot& world, const NodeGroup& group) {
  const placement::AcceptedAccelerator& accepted = world.pools[0].accelerators[0];
  const int least = accepted.min_workers > 0 ? accepted.min_workers : accepted.workers;
  for (int workers = accepted.workers; workers >= least; --workers) {
    if (Possible(world, group, workers)) return workers;
  }
  return 0;
}

TEST(EveryGang, FitsAGroupExactlyWhenThereIsAWayToPutItThere) {
  int fits = 0;
  constexpr uint32_t kWorlds = Seeds(6000U);
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    Snapshot world = SmallWorld(seed);
    MakeElastic(world, seed);
    const Plan plan = MakePlan(world);
    bool any = false;
    for (const auto& alternative : plan.pools[0].alternatives) {
      const NodeGroup& group =
          *std::find_if(world.groups.begin(), world.groups.end(),
                        [&](const NodeGroup& g) { return g.name == alternative.group; });
      ASSERT_EQ(alternative.fits, MostIn(world, group) > 0)
          << "seed " << seed << "\n"
          << WriteSnapshot(world) << FormatPlan(plan, true);
      any = any || alternative.fits;
    }
    ASSERT_EQ(plan.pools[0].placed, any) << "seed " << seed;
    fits += any ? 1 : 0;
  }
  EXPECT_GT(fits, Seeds(1000)) << "worlds in which something fits";
  EXPECT_LT(fits, Seeds(5000)) << "worlds in which nothing fits";
}

// With all of them in a group of the lowest tier that takes all, else with the most that fit in one
// of its groups; beyond home only where home does not take the least.
TEST(EveryElasticGang, HasAsManyWorkersAsFit) {
  int some = 0;
  for (uint32_t seed = 0; seed < Seeds(6000U); ++seed) {
    Snapshot world = SmallWorld(seed);
    MakeElastic(world, seed);
    if (world.pools[0].accelerators[0].min_workers == 0) continue;
    const auto placement = MakePlan(world).pools[0].memory.placement;
    if (!placement) continue;
    const int all = world.pools[0].accelerators[0].workers;
    const NodeGroup& chosen = GroupOf(world, placement->node_group);
    ASSERT_EQ(placement->workers, MostIn(world, chosen)) << "seed " << seed << "\n"
                                                         << WriteSnapshot(world);
    for (const NodeGroup& group : world.groups) {
      const int most = MostIn(world, group);
      ASSERT_FALSE(group.tier < chosen.tier && most > 0) << "seed " << seed;
      ASSERT_FALSE(group.tier == chosen.tier && placement->workers < all && most == all)
          << "seed " << seed;
    }
    some += placement->workers < all ? 1 : 0;
  }
  EXPECT_GT(some, Seeds(100)) << "gangs that start with fewer workers than all";
}

// Groups that may get up to four nodes more, of a shape of their own.
void MakeGroupsElastic(Snapshot& world, uint32_t seed) {
  Dice dice(seed + 2'000'000);
  for (NodeGroup& group : world.groups) {
    if (dice.OneIn(3)) continue;
    if (dice.OneIn(4)) {
      std::erase_if(world.nodes, [&](const placement::Node& node) {
        return node.labels.find("group")->second == group.name;
      });
    }
    placement::Elastic& elastic = group.elastic.emplace();
    elastic.max_nodes =
        static_cast<int>(std::count_if(world.nodes.begin(), world.nodes.end(),
                                       [&](const placement::Node& node) {
                                         return node.labels.find("group")->second == group.name;
                                       })) +
        dice.Roll(5);
    if (dice.OneIn(3)) elastic.max_hourly_cost = group.per_node_hour.Times(dice.Roll(8));
    elastic.single_domain = dice.OneIn(2);
    elastic.node_shape = Amounts({{"memory", std::to_string(dice.Pick<int>({16, 40, 64})) + "Gi"},
                                  {"cpu", std::to_string(dice.Pick<int>({4, 9, 16}))},
                                  {kGpu, std::to_string(dice.Pick<int>({1, 2, 4, 8}))}});
  }
}

// Workers that fit on an empty node.
int64_t WhenEmpty(const Resources& node, const Room& request) {
  int64_t most = 1000;
  for (const auto& [name, amount] : request) {
    if (name == "pods" && node.Get(name) == 0) continue;  // a shape need not say it
    if (amount > 0) most = std::min(most, node.Get(name) / amount);
  }
  return most;
}

// What new nodes are known to take: what their shape does, and no more than those that are there.
int64_t OnNewNode(const Snapshot& world, const NodeGroup& group) {
  const Room request = RequestOf(world.pools[0], group);
  bool any = false;
  int64_t most = 0;
  for (const placement::Node& node : world.nodes) {
    if (node.labels.find("group")->second != group.name || node.cordoned) continue;
    any = true;
    if (node.taints.empty()) most = std::max(most, WhenEmpty(node.allocatable, request));
  }
  const int64_t by_shape = WhenEmpty(group.elastic->node_shape, request);
  return any ? std::min(most, by_shape) : by_shape;
}

struct Order {
  int workers = 0;
  int64_t nodes = 0;
};

// New nodes with which most workers have a place, as few as will do; nothing: there is no number.
Order OrderIn(const Snapshot& world, const NodeGroup& group) {
  const TrainingPool& pool = world.pools[0];
  const auto& labels = group.domain_labels;
  const bool has_level =
      pool.topology_level.empty()
          ? !labels.empty()
          : std::find(labels.begin(), labels.end(), pool.topology_level) != labels.end();
  if (!group.elastic) return {};
  if (pool.topology == TopologyMode::kRequired && !(group.elastic->single_domain && has_level)) {
    return {};
  }
  const auto there = std::count_if(
      world.nodes.begin(), world.nodes.end(),
      [&](const placement::Node& node) { return node.labels.find("group")->second == group.name; });
  const placement::AcceptedAccelerator& accepted = pool.accelerators[0];
  const int least = accepted.min_workers > 0 ? accepted.min_workers : accepted.workers;
  for (int workers = accepted.workers; workers >= least; --workers) {
    int now = workers;
    while (now > 0 && !Possible(world, group, now)) --now;
    for (int64_t nodes = 1; there + nodes <= group.elastic->max_nodes; ++nodes) {
      const auto& most = group.elastic->max_hourly_cost;
      if (most && group.per_node_hour.Times(there + nodes) > *most) break;
      if (now + nodes * OnNewNode(world, group) >= workers) return {workers, nodes};
    }
  }
  return {};
}

TEST(EveryGang, AsksForNodesExactlyWhenTheyAreWhatItLacks) {
  int asks = 0;
  int waits = 0;
  for (uint32_t seed = 0; seed < Seeds(6000U); ++seed) {
    Snapshot world = SmallWorld(seed);
    MakeElastic(world, seed);
    MakeGroupsElastic(world, seed);
    const Plan plan = MakePlan(world);
    const auto& ask = plan.pools[0].memory.ask;
    bool fits = false;
    bool orders = false;
    for (const NodeGroup& group : world.groups) {
      fits = fits || MostIn(world, group) > 0;
      orders = orders || OrderIn(world, group).workers > 0;
    }
    ASSERT_EQ(ask.has_value(), !fits && orders) << "seed " << seed << "\n"
                                                << WriteSnapshot(world) << FormatPlan(plan, true);
    waits += !fits && !orders ? 1 : 0;
    if (!ask) continue;
    const Order order = OrderIn(world, GroupOf(world, ask->node_group));
    ASSERT_EQ(ask->workers, order.workers) << "seed " << seed << "\n" << WriteSnapshot(world);
    ASSERT_EQ(ask->nodes, order.nodes) << "seed " << seed << "\n" << WriteSnapshot(world);
    ++asks;
  }
  EXPECT_GT(asks, Seeds(500));
  EXPECT_GT(waits, Seeds(500));
}

// Kubernetes' scheduler knows nothing of gangs: it binds the workers of all new gangs one by one,
// in any order, each to any of its gang's nodes with room. Whatever it does, all of them get a
// place.
TEST(EveryNewGang, FindsRoomWhateverTheOrderOfBinding) {
  for (uint32_t seed = 0; seed < Seeds(3000U); ++seed) {
    Snapshot world = SmallWorld(seed);
    Dice dice(seed + 77);
    const int more = dice.Roll(4);
    for (int p = 0; p < more; ++p) {
      TrainingPool pool = Wants("q" + std::to_string(p), dice.Roll(5) + 1, dice.Pick<int>({1, 2}));
      pool.requests = world.pools[0].requests;
      world.pools.push_back(pool);
    }
    const Plan plan = MakePlan(world);
    std::map<std::string, Room> rooms;
    for (const placement::Node& node : world.nodes) {
      for (const auto& [name, amount] : node.allocatable) {
        rooms[node.id.name][name] = amount - node.used.Get(name);
      }
    }
    std::vector<std::pair<Room, std::vector<std::string>>> workers;
    for (const auto& decision : plan.pools) {
      if (!decision.placed) continue;
      const auto& placement = *decision.memory.placement;
      const Room request =
          RequestOf(PoolOf(world, decision.key.name), GroupOf(world, placement.node_group));
      for (int w = 0; w < placement.workers; ++w) workers.emplace_back(request, placement.nodes);
    }
    dice.Shuffle(workers);
    for (auto& [request, nodes] : workers) {
      dice.Shuffle(nodes);
      const auto node = std::find_if(nodes.begin(), nodes.end(), [&](const std::string& name) {
        return std::all_of(request.begin(), request.end(), [&](const auto& entry) {
          return rooms[name][entry.first] >= entry.second;
        });
      });
      ASSERT_NE(node, nodes.end()) << "seed " << seed << "\n"
                                   << WriteSnapshot(world) << FormatPlan(plan, true);
      for (const auto& [name, amount] : request) rooms[*node][name] -= amount;
    }
  }
}

}  // namespace
}  // namespace spillway::tests
