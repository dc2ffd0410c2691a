#include "placement/gangs.h"

#include <gtest/gtest.h>

#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Fit;
using placement::FitGang;
using placement::LargestDomain;
using placement::Slot;
using placement::Survey;
using placement::Topology;
using placement::TopologyIn;
using placement::TopologyMode;
using placement::World;

// Nodes "a", "b", … each with its labels, and what they offer, in the same order.
struct Yard {
  struct Place {
    std::string domain{};
    std::string block{};
    int64_t workers = 1;
    int64_t free = 8;
    bool whole = true;
    bool kept = false;
  };
  explicit Yard(const std::vector<Place>& places) {
    snapshot.now = kNow;
    snapshot.groups = {Group("g")};
    for (size_t i = 0; i < places.size(); ++i) {
      placement::Node node = GpuNode(std::string(1, static_cast<char>('a' + i)), "g");
      if (!places[i].domain.empty()) node.labels[kDomain] = places[i].domain;
      if (!places[i].block.empty()) node.labels[kBlock] = places[i].block;
      snapshot.nodes.push_back(node);
      slots.push_back({.node = i,
                       .workers = places[i].workers,
                       .free = places[i].free,
                       .whole = places[i].whole,
                       .kept = places[i].kept});
    }
  }
  // "a b in d1 (2 left)", or "nothing".
  [[nodiscard]] std::string Choose(TopologyMode mode, int workers,
                                   const std::string& level = "") const {
    TrainingPool pool = Wants("p", workers);
    pool.topology = mode;
    pool.topology_level = level;
    const World world = Survey(snapshot);
    const auto fit = FitGang(world, TopologyIn(pool, Group("g")), slots, workers);
    if (!fit) return "nothing";
    std::string out;
    for (const size_t node : fit->nodes) out += world.nodes[node]->id.name + " ";
    return out + "in " + fit->domain + " (" + std::to_string(fit->left_over) + " left)";
  }
  Snapshot snapshot;
  std::vector<Slot> slots;
};

using enum TopologyMode;

TEST(Gang, IsPlacedWholeOrNotAtAll) {
  const Yard yard({{.workers = 2}, {.workers = 1}, {.workers = 0}});
  EXPECT_EQ(yard.Choose(kIgnore, 3), "a b in  (0 left)");
  EXPECT_EQ(yard.Choose(kIgnore, 4), "nothing");
}

TEST(Gang, TakesNodesInUseBeforeWholeOnesAndTheFullestFirst) {
  const Yard yard({{.workers = 2, .free = 8},
                   {.workers = 1, .free = 4, .whole = false},
                   {.workers = 1, .free = 5, .whole = false},
                   {.workers = 2, .free = 8}});
  EXPECT_EQ(yard.Choose(kIgnore, 1), "b in  (5 left)");
  EXPECT_EQ(yard.Choose(kIgnore, 2), "b c in  (4 left)");
  EXPECT_EQ(yard.Choose(kIgnore, 4), "a b c in  (2 left)");
}

TEST(Gang, TakesOnlyAsManyNodesAsItNeeds) {
  const Yard yard({{.workers = 1, .free = 4, .whole = false}, {.workers = 2}});
  EXPECT_EQ(yard.Choose(kIgnore, 2), "b in  (1 left)") << "b alone has room for both";
}

TEST(Gang, TakesTheFirstByNameOfEqualNodes) {
  EXPECT_EQ(Yard({{}, {}, {}}).Choose(kIgnore, 2), "a b in  (1 left)");
}

TEST(Required, KeepsTheGangInOneDomain) {
  const Yard yard({{.domain = "d1"}, {.domain = "d2"}, {.domain = "d2"}, {.domain = ""}});
  EXPECT_EQ(yard.Choose(kRequired, 2), "b c in d2 (0 left)");
  EXPECT_EQ(yard.Choose(kRequired, 3), "nothing");
}

TEST(Required, NeverCountsNodesWithoutTheLabel) {
  EXPECT_EQ(Yard({{}, {}, {}}).Choose(kRequired, 1), "nothing");
}

TEST(Required, TakesTheTightestDomainAndTheFirstByNameOfEqualOnes) {
  EXPECT_EQ(Yard({{.domain = "d1"},
                  {.domain = "d1"},
                  {.domain = "d1"},
                  {.domain = "d2"},
                  {.domain = "d2"}})
                .Choose(kRequired, 2),
            "d e in d2 (0 left)");
  EXPECT_EQ(Yard({{.domain = "d2"}, {.domain = "d1"}}).Choose(kRequired, 1), "b in d1 (0 left)");
}

TEST(Required, KeepsToTheLevelThatWasAskedFor) {
  const Yard yard({{.domain = "d1", .block = "b1"}, {.domain = "d2", .block = "b1"}});
  EXPECT_EQ(yard.Choose(kRequired, 2), "nothing");
  EXPECT_EQ(yard.Choose(kRequired, 2, kBlock), "a b in b1 (0 left)");
  EXPECT_EQ(yard.Choose(kRequired, 1, "topology.example.com/unknown"), "nothing");
}

TEST(Preferred, TriesLevelsFromTheClosestOutwardsThenAnywhere) {
  const Yard yard({{.domain = "d1", .block = "b1"},
                   {.domain = "d2", .block = "b1"},
                   {.domain = "d3", .block = "b2"},
                   {.domain = "d3", .block = "b2"}});
  EXPECT_EQ(yard.Choose(kPreferred, 2), "c d in d3 (0 left)");
  EXPECT_EQ(yard.Choose(kPreferred, 2, kBlock), "a b in b1 (0 left)");
  EXPECT_EQ(yard.Choose(kPreferred, 3), "a b c in  (1 left)");
  EXPECT_EQ(yard.Choose(kPreferred, 5), "nothing");
}

TEST(Preferred, NamesTheDomainThatTheNodesShareEvenWhereNoneWasLookedFor) {
  EXPECT_EQ(Yard({{.domain = "d1"}, {.domain = "d1"}}).Choose(kIgnore, 2), "a b in d1 (0 left)");
}

TEST(KeptNodes, ComeFirstAndKeepTheDomain) {
  const Yard yard({{.domain = "d1", .block = "b1"},
                   {.domain = "d1", .block = "b1", .kept = true},
                   {.domain = "d1", .block = "b1"},
                   {.domain = "d2", .block = "b1"}});
  EXPECT_EQ(yard.Choose(kIgnore, 1), "b in d1 (3 left)");
  EXPECT_EQ(yard.Choose(kRequired, 2), "a b in d1 (1 left)") << "d2 would be no tighter fit";
  EXPECT_EQ(yard.Choose(kPreferred, 1), "b in d1 (2 left)") << "not d2, which is tighter";
}

TEST(KeptNodes, InTwoDomainsCannotBeKeptTogetherWhereOneIsRequired) {
  const Yard yard(
      {{.domain = "d1", .kept = true}, {.domain = "d2", .kept = true}, {.domain = "d1"}});
  EXPECT_EQ(yard.Choose(kRequired, 2), "nothing");
  EXPECT_EQ(yard.Choose(kPreferred, 2), "a b in  (1 left)");
}

TEST(LargestDomain, IsTheOneWithTheMostRoom) {
  const Yard yard({{.domain = "d1"}, {.domain = "d2", .workers = 3}, {.domain = "d1"}});
  TrainingPool pool = Wants("p", 9);
  pool.topology = kRequired;
  const auto largest =
      LargestDomain(Survey(yard.snapshot), TopologyIn(pool, Group("g")), yard.slots);
  EXPECT_EQ(largest.name, "d2");
  EXPECT_EQ(largest.workers, 3);
}

}  // namespace
}  // namespace spillway::tests
