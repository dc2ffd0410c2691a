// What decoding makes of odd input: an error that names the path, or the default.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crds/v1alpha1/inference_pool.h"
#include "crds/v1alpha1/node_group.h"
#include "crds/v1alpha1/pool_quota.h"
#include "crds/v1alpha1/training_pool.h"

namespace spillway::crds::v1alpha1 {
namespace {

using testing::HasSubstr;

Status DecodePool(const std::string& text, TrainingPool& out) {
  kube::JsonParser parser;
  auto root = parser.Parse(text);
  if (!root) return std::move(root).error();
  return DecodeTrainingPool(*root, out);
}

Status DecodePool(const std::string& text, InferencePool& out) {
  kube::JsonParser parser;
  auto root = parser.Parse(text);
  if (!root) return std::move(root).error();
  return DecodeInferencePool(*root, out);
}

TEST(Decode, AWrongTypeNamesItsPath) {
  TrainingPool pool;
  const Status done = DecodePool(R"({"spec":{"restart":{"maxRestarts":"many"}}})", pool);
  ASSERT_FALSE(done.ok());
  EXPECT_THAT(done.error().message, HasSubstr("spec.restart.maxRestarts"));
}

TEST(Decode, NullIsAbsent) {
  TrainingPool pool;
  ASSERT_TRUE(
      DecodePool(R"({"spec":{"restart":null,"workers":3},"status":{"placement":null}})", pool)
          .ok());
  EXPECT_EQ(pool.spec.workers, 3);
  EXPECT_EQ(pool.spec.restart.Get().max_restarts, 20);
  EXPECT_FALSE(pool.status.placement.has_value());
}

TEST(Decode, TheTemplateIsKeptAsItStands) {
  TrainingPool pool;
  ASSERT_TRUE(
      DecodePool(R"({"spec":{"template":{"spec":{"containers":[{"name":"a","x":1.50}]}}}})", pool)
          .ok());
  EXPECT_EQ(pool.spec.pod_template, R"({"spec":{"containers":[{"name":"a","x":1.50}]}})");
}

TEST(Decode, AFailureWhoseWorkerIsNotKnownNamesNone) {
  TrainingPool pool;
  ASSERT_TRUE(DecodePool(R"({"status":{"lastFailure":{"attempt":2}}})", pool).ok());
  const std::string written = EncodeStatusUpdate(pool, pool.status);
  EXPECT_THAT(written, testing::Not(HasSubstr("\"worker\":")));
  TrainingPool read;
  ASSERT_TRUE(DecodePool(written, read).ok());
  EXPECT_EQ(read.status.last_failure, pool.status.last_failure);
}

TEST(Decode, AWrongTypeInAVariantNamesItsPath) {
  InferencePool pool;
  const Status done = DecodePool(R"({"spec":{"variants":[{},{"throughput":3.9}]}})", pool);
  ASSERT_FALSE(done.ok());
  EXPECT_THAT(done.error().message, HasSubstr("spec.variants[1].throughput"));
}

TEST(Decode, NullInAnInferencePoolIsAbsent) {
  InferencePool pool;
  ASSERT_TRUE(
      DecodePool(
          R"({"spec":{"behavior":{"scaleDown":null},"variants":[{"maxReplicas":null}]},"status":{"units":null,"stepUp":null}})",
          pool)
          .ok());
  EXPECT_EQ(pool.spec.scale_down.stabilization_seconds, 300);
  ASSERT_EQ(pool.spec.variants.size(), 1);
  EXPECT_FALSE(pool.spec.variants[0].max_replicas.has_value());
  EXPECT_EQ(pool.status, InferencePoolStatus{});
}

TEST(Decode, TheTemplateOfAVariantIsKeptAsItStands) {
  InferencePool pool;
  ASSERT_TRUE(
      DecodePool(R"({"spec":{"variants":[{"template":{"spec":{"x":1.50}},"name":"a"}]}})", pool)
          .ok());
  ASSERT_EQ(pool.spec.variants.size(), 1);
  EXPECT_EQ(pool.spec.variants[0].name, "a");
  EXPECT_EQ(pool.spec.variants[0].pod_template, R"({"spec":{"x":1.50}})");
}

TEST(Decode, WhatAnInferencePoolDoesNotRememberIsNotWritten) {
  InferencePool pool;
  InferencePoolStatus status;
  CellStatus& cell = status.cells.emplace_back();
  cell.variant = "a100";
  cell.node_group = "home";
  cell.desired = 2;
  const std::string written = EncodeStatusUpdate(pool, status);
  EXPECT_THAT(
      written,
      HasSubstr(
          R"("status":{"cells":[{"desired":2,"misses":0,"nodeGroup":"home","ready":0,"tier":0,"variant":"a100"}],"conditions":[],"observedGeneration":0,"replicas":0})"));
  InferencePool read;
  ASSERT_TRUE(DecodePool(written, read).ok());
  EXPECT_EQ(read.status, status);
}

TEST(Encode, AStatusToWhichNothingHasHappenedHasConditionsOnly) {
  TrainingPool pool;
  pool.status.conditions = {{"Placed", "False", "Placed", "would be", {}, 1}};
  NodeGroup group;
  group.status.conditions = {{"Ready", "True", "AsExpected", "", {}, 1}};
  PoolQuota quota;
  quota.status.conditions = group.status.conditions;
  const auto keys = [](const std::string& body) {
    std::vector<std::string> out;
    const nlohmann::json status = nlohmann::json::parse(body)["status"];
    for (const auto& [key, value] : status.items()) out.push_back(key);
    return out;
  };
  const std::vector<std::string> bare = {"conditions", "observedGeneration"};
  EXPECT_EQ(keys(EncodeStatusUpdate(pool, pool.status)), bare);
  EXPECT_EQ(keys(EncodeStatusUpdate(group, group.status)), bare);
  EXPECT_EQ(keys(EncodeStatusUpdate(quota, quota.status)), bare);
  // Once something has, zeros are said as well.
  pool.status.workers.wanted = 2;
  group.status.hourly_cost = "0.00";
  EXPECT_THAT(keys(EncodeStatusUpdate(pool, pool.status)),
              testing::IsSupersetOf({"attempts", "restarts", "failures", "workers"}));
  EXPECT_THAT(keys(EncodeStatusUpdate(group, group.status)),
              testing::IsSupersetOf({"nodes", "accelerators", "largestFreeDomain"}));
}

TEST(Decode, MatchLabelsAreRequirements) {
  NodeGroup group;
  kube::JsonParser parser;
  auto root = parser.Parse(
      R"({"spec":{"selector":{"matchExpressions":[{"key":"b","operator":"Exists"}],"matchLabels":{"a":"1"}}}})");
  ASSERT_TRUE(root.ok());
  ASSERT_TRUE(DecodeNodeGroup(*root, group).ok());
  const Selector expected = {{"a", "In", {"1"}}, {"b", "Exists", {}}};
  EXPECT_EQ(group.spec.selector, expected);
}

}  // namespace
}  // namespace spillway::crds::v1alpha1
