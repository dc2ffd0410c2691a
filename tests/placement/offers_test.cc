// What is kept of a group's offers is what anybody would find who looked at every node.
#include "placement/offers.h"

#include <gtest/gtest.h>

#include <optional>

#include "placement/constraints.h"
#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Capacity;
using placement::Claim;
using placement::Ground;
using placement::GroupView;
using placement::Member;
using placement::Need;
using placement::NeedIn;
using placement::NodeState;
using placement::Offers;
using placement::Room;
using placement::Slot;
using placement::World;

std::vector<size_t> NodesThatMayBeUsed(const World& world, const GroupView& group,
                                       const TrainingPool& pool) {
  std::vector<size_t> nodes;
  for (const Member& member : group.members) {
    const placement::Node& node = *world.nodes[member.node];
    if (member.state == NodeState::kUsable && !member.overlapped &&
        ConstraintsHold(pool, *group.spec, node) &&
        !IsExcluded(pool.memory, node.id.name, world.now)) {
      nodes.push_back(member.node);
    }
  }
  return nodes;
}

std::string Told(const std::vector<Slot>& slots, int64_t free) {
  std::string out = std::to_string(free) + " free:";
  for (const Slot& slot : slots) {
    out += " " + std::to_string(slot.node) + "=" + std::to_string(slot.workers) + "/" +
           std::to_string(slot.free) + (slot.whole ? "!" : "");
  }
  return out;
}

std::string Looked(const World& world, const Capacity& capacity, size_t pool,
                   const GroupView& group, const Need& need) {
  std::vector<Slot> slots;
  int64_t free = 0;
  for (const size_t node : NodesThatMayBeUsed(world, group, *world.pools[pool])) {
    const Slot slot = SlotOn(world, capacity, pool, group, node, need);
    free += slot.free;
    if (slot.workers > 0) slots.push_back(slot);
  }
  return Told(slots, free);
}

// Of the nodes where no worker of a pool that has nothing in the group fits, the one with the most
// accelerators free, of equal ones the first.
std::string LargestPiece(const World& world, const Capacity& capacity, size_t pool,
                         const GroupView& group, const Need& need) {
  std::vector<Slot> largest;
  for (const size_t node : NodesThatMayBeUsed(world, group, *world.pools[pool])) {
    const Slot slot = SlotOn(world, capacity, pool, group, node, need);
    if (slot.workers > 0) continue;
    if (largest.empty() || slot.free > largest[0].free) largest = {slot};
  }
  return Told(largest, 0);
}

std::string Told(const std::optional<Slot>& piece) {
  return Told(piece ? std::vector<Slot>{*piece} : std::vector<Slot>{}, 0);
}

// Some pool claims some nodes, lets go of all that it has, or has no say in some of it any more.
void Change(Dice& dice, const World& world, Capacity& capacity) {
  const auto pool = static_cast<size_t>(dice.Roll(static_cast<int>(world.pools.size())));
  if (dice.OneIn(3)) return capacity.Clear(pool);
  if (dice.OneIn(3)) {
    for (const size_t node : capacity.NodesOf(pool)) {
      if (dice.OneIn(2)) capacity.Forfeit(pool, node);
    }
    return;
  }
  Claim claim{.request = world.pools[pool]->requests,
              .workers = dice.Roll(4) + 1,
              .nodes = {},
              .whole = dice.OneIn(5),
              .yields = dice.OneIn(3),
              .bound = {},
              .beside = {}};
  claim.request.Set(kGpu, dice.Roll(4));
  for (size_t n = 0; n < world.nodes.size(); ++n) {
    if (dice.OneIn(3)) claim.nodes.push_back(n);
  }
  capacity.Set(pool, claim);
}

std::string Told(const placement::Fit& fit) {
  std::string out = std::to_string(fit.workers) + " in " + fit.domain + ", " +
                    std::to_string(fit.left_over) + " left, on";
  for (const size_t node : fit.nodes) out += " " + std::to_string(node);
  return out;
}

// How often a gang fits in one domain, and how often one does that an empty node has room for; and
// how often a single worker fits, or several, where no domain is asked for.
struct InDomains {
  int fits = 0;
  int small = 0;
  int ones = 0;
  int several = 0;
};

void ExpectSameFit(const World& world, const Capacity& capacity, Offers& offers,
                   const GroupView& group, size_t p, const Need& need, InDomains& in_domains) {
  const TrainingPool& pool = *world.pools[p];
  const auto ground = offers.GroundFor(group, pool, pool.memory);
  const placement::Topology topology = TopologyIn(pool, *group.spec);
  const auto answer = offers.QuickFit(group, ground, p, need, topology);
  const auto found = answer ? answer->fit : std::nullopt;
  const auto fit =
      FitGang(world, topology, offers.RoomFor(group, ground, p, need).slots, need.workers);
  if (answer) {
    ASSERT_EQ(found.has_value(), fit.has_value());
  }
  if (found) {
    ASSERT_TRUE(fit) << Told(*found);
    ASSERT_EQ(Told(*found), Told(*fit));
  }
  if (!fit || !capacity.NodesOf(p).empty() || !pool.memory.excluded.empty()) return;
  ASSERT_TRUE(found);
  if (topology.levels.empty()) {
    ++(need.workers == 1 ? in_domains.ones : in_domains.several);
  } else if (!fit->domain.empty()) {
    ++in_domains.fits;
    if (fit->nodes.size() == 1) ++in_domains.small;
  }
}

void ExpectAsLookedAt(uint32_t seed, size_t most_nodes) {
  Dice dice(seed);
  const Snapshot snapshot = RandomWorld(seed);
  const World world = Survey(snapshot);
  if (world.pools.empty()) return;
  Capacity capacity(world);
  Offers offers(world, capacity, most_nodes);
  for (int round = 0; round < 6; ++round) {
    for (size_t p = 0; p < world.pools.size(); ++p) {
      for (const GroupView& group : world.groups) {
        const TrainingPool& pool = *world.pools[p];
        const auto need = NeedIn(pool, *group.spec);
        if (!need) continue;
        const auto ground = offers.GroundFor(group, pool, pool.memory);
        ASSERT_EQ(ground->nodes, NodesThatMayBeUsed(world, group, pool)) << "seed " << seed;
        const Room room = offers.RoomFor(group, ground, p, *need);
        ASSERT_EQ(Told(room.slots, room.free), Looked(world, capacity, p, group, *need))
            << "seed " << seed << ", round " << round << ", " << pool.key.Format() << " in "
            << group.spec->name;
        if (!capacity.NodesOf(p).empty()) continue;
        ASSERT_EQ(Told(room.piece), LargestPiece(world, capacity, p, group, *need))
            << "seed " << seed << ", round " << round << ", " << pool.key.Format() << " in "
            << group.spec->name;
      }
    }
    Change(dice, world, capacity);
  }
}

TEST(Offers, AreWhatALookAtEveryNodeFinds) {
  for (uint32_t seed = 0; seed < Seeds(1000U); ++seed) ExpectAsLookedAt(seed, 1000);
}

TEST(Offers, AreTheSameWhereLittleMayBeKept) {
  for (uint32_t seed = 0; seed < Seeds(300U); ++seed) ExpectAsLookedAt(seed, 1);
}

TEST(Offers, FindTheSameNodesWithoutALookAtAll) {
  InDomains in_domains;
  for (uint32_t seed = 0; seed < Seeds(1000U); ++seed) {
    SCOPED_TRACE(seed);
    Dice dice(seed);
    const Snapshot snapshot = RandomWorld(seed);
    const World world = Survey(snapshot);
    if (world.pools.empty()) continue;
    Capacity capacity(world);
    Offers offers(world, capacity);
    for (int round = 0; round < 6; ++round) {
      for (size_t p = 0; p < world.pools.size(); ++p) {
        for (const GroupView& group : world.groups) {
          const auto need = NeedIn(*world.pools[p], *group.spec);
          if (need) ExpectSameFit(world, capacity, offers, group, p, *need, in_domains);
          if (testing::Test::HasFatalFailure()) return;
        }
      }
      Change(dice, world, capacity);
    }
  }
  EXPECT_GT(in_domains.fits, Seeds(1000));
  EXPECT_GT(in_domains.small, Seeds(500));
  EXPECT_GT(in_domains.ones, Seeds(1000));
  EXPECT_GT(in_domains.several, Seeds(1000));
}

TEST(Offers, AreSharedByPoolsThatAskAlike) {
  Snapshot snapshot = Fleet(3);
  TrainingPool other = Wants("b", 1);
  other.node_terms = {{{.key = "zone", .op = "Exists", .values = {}}}};
  snapshot.pools = {Wants("a", 2), other, Wants("c", 5, 4)};
  const World world = Survey(snapshot);
  const Capacity capacity(world);
  Offers offers(world, capacity);
  const GroupView& home = *world.FindGroup("home");
  const auto ground = [&](size_t p) { return offers.GroundFor(home, *world.pools[p], {}); };
  EXPECT_EQ(ground(0), ground(2));
  EXPECT_NE(ground(0), ground(1));
  placement::PoolMemory memory;
  memory.excluded = {{.name = "home-1", .until = kNow + Seconds{60}, .reason = "NodeLost"}};
  EXPECT_EQ(offers.GroundFor(home, *world.pools[0], memory)->nodes.size(), 2U);
}

TEST(Ground, CountsWhatEveryCheckLeaves) {
  Snapshot snapshot = Fleet(6);
  NodeOf(snapshot, "home-1").cordoned = true;
  NodeOf(snapshot, "home-2").out_of_service = true;
  NodeOf(snapshot, "home-3").taints = {{.key = "sku", .value = "gpu", .effect = "NoSchedule"}};
  NodeOf(snapshot, "home-4").labels[kDomain] = "d1";
  NodeOf(snapshot, "home-5").labels[kDomain] = "d1";
  snapshot.groups.push_back(Group("also"));
  snapshot.groups.back().selector = {
      {.key = "kubernetes.io/hostname", .op = "In", .values = {"home-6"}}};
  snapshot.pools = {Wants("p", 1)};
  const World world = Survey(snapshot);
  const Capacity capacity(world);
  const GroupView& home = *world.FindGroup("home");
  const auto ground = Offers(world, capacity).GroundFor(home, *world.pools[0], {});
  const auto count = [](const placement::ShapeCounts& shapes) { return shapes.at(0); };
  EXPECT_EQ(count(ground->all), 6);
  EXPECT_EQ(count(ground->usable), 4);
  EXPECT_EQ(count(ground->own), 3);
  EXPECT_EQ(count(ground->allowed), 2);
  EXPECT_EQ(ground->unusable.size(), 1U) << "a lost node is none that could come back";
  EXPECT_EQ(ground->left_out.Sentence(),
            "1 node with the taint sku=gpu:NoSchedule that is not tolerated");
  ASSERT_EQ(ground->domains.at(kDomain).size(), 1U);
  EXPECT_EQ(count(ground->domains.at(kDomain)[0].shapes), 2);
}

}  // namespace
}  // namespace spillway::tests
