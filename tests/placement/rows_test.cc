#include "placement/rows.h"

#include <gtest/gtest.h>

#include <limits>

#include "placement/domains.h"
#include "tests/support/builders.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::AddTimes;
using placement::Columns;
using placement::DomainNumbering;
using placement::Domains;
using placement::HowMany;
using placement::kNoDomain;
using placement::Row;

const std::vector<std::string> kNames = {"cpu", "memory", kGpu, "rdma/ib"};

Resources SomeAmounts(Dice& dice) {
  Resources out;
  for (const std::string& name : kNames) {
    if (!dice.OneIn(3)) out.Set(name, dice.Roll(20));
  }
  return out;
}

TEST(Rows, ReckonAsResourcesDo) {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    Dice dice(seed);
    Resources room = SomeAmounts(dice);
    Columns columns;
    columns.Add(room);
    columns.Add(Amounts({{"cpu", "1"}, {"memory", "1"}}));
    const Resources request = SomeAmounts(dice);  // may have what has no column
    Row row = columns.RowOf(room);
    const int most = dice.Roll(10);
    ASSERT_EQ(HowMany(row, columns.RowOf(request), most), room.HowMany(request, most));
    columns.Add(request);
    row = columns.RowOf(room);
    const int times = dice.Roll(5) - 2;
    AddTimes(row, columns.RowOf(request), times);
    room.AddTimes(request, times);
    ASSERT_EQ(columns.ResourcesOf(row), room) << "seed " << seed;
  }
}

TEST(Rows, SaturateAsResourcesDo) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  Row row = {kMost - 1, -kMost};
  AddTimes(row, Row{5, 5}, 1);
  EXPECT_EQ(row[0], kMost);
  AddTimes(row, Row{5, kMost}, -1);
  EXPECT_EQ(row[1], std::numeric_limits<int64_t>::min());
  row = {5, 5};
  AddTimes(row, Row{kMost, -kMost}, 3);
  EXPECT_EQ(row, (Row{kMost, std::numeric_limits<int64_t>::min()}));
}

TEST(Domains, AreNumberedByNameWhateverTheOrderOfTheNodes) {
  Snapshot snapshot;
  for (const char* domain : {"d2", "d1", "", "d2", "d3"}) {
    snapshot.nodes.push_back(GpuNode("n", "g", 8, domain));
  }
  snapshot.nodes[2].labels[kBlock] = "";  // an empty value is no domain either
  const auto numbered = [&](const std::string& label) {
    DomainNumbering numbering(label);
    for (const placement::Node& node : snapshot.nodes) numbering.Add(node);
    return numbering.Finish();
  };
  const Domains domains = numbered(kDomain);
  EXPECT_EQ(domains.names, (std::vector<std::string_view>{"d1", "d2", "d3"}));
  EXPECT_EQ(domains.of, (std::vector<uint32_t>{1, 0, kNoDomain, 1, 2}));
  EXPECT_TRUE(numbered(kBlock).names.empty());
}

}  // namespace
}  // namespace spillway::tests
