#include <gtest/gtest.h>

#include "controllers/placement_record.h"
#include "tests/controllers/samples.h"

namespace spillway::controllers {
namespace {

TEST(Record, GivesBackWhatRebuildingNeeds) {
  placement::PoolMemory memory = samples::Placed(3, 4);
  memory.placement->domain = "ib-1";
  memory.placement->tier = 10;
  memory.placement->spec_revision = "abc";
  memory.restarts = 3;
  memory.failures = 2;
  memory.tiers_used = {0, 10};
  const auto back = DecodeRecord(EncodeRecord(memory));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(*back, memory);
}

TEST(Record, WhatIsNoneIsNone) {
  EXPECT_FALSE(DecodeRecord("").has_value());
  EXPECT_FALSE(DecodeRecord("[]").has_value());
  EXPECT_FALSE(DecodeRecord("{\"attempt\":1}").has_value());
  EXPECT_FALSE(DecodeRecord("{\"nodeGroup\":\"home\"}").has_value());
  const std::string whole = EncodeRecord(samples::Placed());
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    EXPECT_FALSE(DecodeRecord(whole.substr(0, cut)).has_value()) << cut;
  }
}

TEST(Record, UnknownAndWronglyTypedFieldsAreLeftAlone) {
  const auto back = DecodeRecord(R"({"attempt":2,"nodeGroup":"home","nodes":"x","new":true})");
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->placement->attempt, 2);
  EXPECT_TRUE(back->placement->nodes.empty());
  const auto wrong = DecodeRecord(
      R"({"since":7,"tier":"x","restarts":1.5,"failures":99999999999,"tiersUsed":[10,"a"],)"
      R"("cluster":null,"queuedSince":"then","nodeGroup":{"a":[1]},"attempt":3,"workers":4})");
  ASSERT_TRUE(wrong.has_value());
  placement::PoolMemory expected;
  expected.placement.emplace().attempt = 3;
  expected.placement->workers = 4;
  expected.attempts = 3;
  expected.tiers_used = {0};
  EXPECT_EQ(*wrong, expected);
  const auto null = DecodeRecord(R"({"attempt":null,"nodeGroup":"home"})");
  ASSERT_TRUE(null.has_value());
  EXPECT_EQ(null->placement->attempt, placement::Placement().attempt);
}

TEST(Record, AChildFollowsFromTheSameAttemptOnTheSameNodes) {
  const placement::Placement committed = *samples::Placed().placement;
  placement::Placement other = committed;
  EXPECT_TRUE(Follows(other, committed));
  other.render_revision = "another build";
  EXPECT_TRUE(Follows(other, committed));
  other.nodes = {"n0", "n7"};
  EXPECT_FALSE(Follows(other, committed));
  other = committed;
  other.attempt = 2;
  EXPECT_FALSE(Follows(other, committed));
  other = committed;
  other.node_group = "cloud";
  EXPECT_FALSE(Follows(other, committed));
}

}  // namespace
}  // namespace spillway::controllers
