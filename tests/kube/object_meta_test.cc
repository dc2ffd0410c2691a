#include "kube/object_meta.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spillway::kube {
namespace {

using testing::ElementsAre;
using testing::Pair;

Result<ObjectMeta> Decode(std::string_view text, const MetaFilter& filter = {}) {
  JsonParser parser;
  Result<JsonValue> root = parser.Parse(text);
  if (!root) return std::move(root).error();
  ObjectMeta meta;
  if (Status done = DecodeMeta(*root, meta, filter); !done) return std::move(done).error();
  return meta;
}

constexpr const char* kMeta = R"({
  "name": "w", "namespace": "research", "uid": "u-1", "resourceVersion": "812", "generation": 3,
  "creationTimestamp": "2026-11-24T01:00:00Z", "deletionTimestamp": "2026-11-24T02:00:00Z",
  "labels": {"app": "x", "spillway.dev/pool": "opt"}, "annotations": {"note": "y", "spillway.dev/domain": "ib-1"},
  "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}}}],
  "ownerReferences": [
    {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "u-8"},
    {"apiVersion": "spillway.dev/v1alpha1", "kind": "TrainingPool", "name": "opt", "uid": "u-9", "controller": true}]})";

TEST(ObjectMeta, Decodes) {
  const auto got = Decode(kMeta);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(Key(*got), "research/w");
  EXPECT_EQ(got->uid, "u-1");
  EXPECT_EQ(got->resource_version, "812");
  EXPECT_EQ(got->generation, 3);
  EXPECT_EQ(FormatTime(got->created), "2026-11-24T01:00:00Z");
  ASSERT_TRUE(got->deleted);
  EXPECT_EQ(FormatTime(*got->deleted), "2026-11-24T02:00:00Z");
  EXPECT_THAT(got->labels, ElementsAre(Pair("app", "x"), Pair("spillway.dev/pool", "opt")));
  EXPECT_EQ(got->controller.Get().uid, "u-9");
  EXPECT_EQ(got->controller.Get().kind, "TrainingPool");
  EXPECT_EQ(got->controller.Get().name, "opt");
}

TEST(ObjectMeta, KeepsWhatTheFilterAsksFor) {
  auto got = Decode(kMeta, {.prefix = "spillway.dev/"});
  ASSERT_TRUE(got);
  EXPECT_THAT(got->labels, ElementsAre(Pair("spillway.dev/pool", "opt")));
  EXPECT_THAT(got->annotations, ElementsAre(Pair("spillway.dev/domain", "ib-1")));
  got = Decode(kMeta, {.prefix = "spillway.dev/", .also = "note"});
  EXPECT_THAT(got->annotations,
              ElementsAre(Pair("note", "y"), Pair("spillway.dev/domain", "ib-1")));
  got = Decode(kMeta, {.labels = false, .annotations = false});
  EXPECT_TRUE(got->labels.empty());
  EXPECT_TRUE(got->annotations.empty());
}

TEST(ObjectMeta, AnOwnerThatIsNoControllerIsNone) {
  const auto got = Decode(
      R"({"name": "x", "ownerReferences": [{"kind": "Node", "uid": "u", "name": "n", "controller": false}]})");
  ASSERT_TRUE(got);
  EXPECT_EQ(got->controller.Get().uid, "");
}

TEST(ObjectMeta, AbsentThingsAreEmpty) {
  const auto got = Decode(R"({"name": "x", "creationTimestamp": null})");
  ASSERT_TRUE(got);
  ObjectMeta expected;
  expected.name = "x";
  EXPECT_EQ(*got, expected);
  EXPECT_EQ(Key(*got), "x");
}

TEST(ObjectMeta, ErrorsNameTheField) {
  EXPECT_EQ(Decode(R"({"name": 1})").error().message, "name: is no string");
  EXPECT_EQ(Decode(R"({"ownerReferences": [{"controller": "yes"}]})").error().message,
            "ownerReferences[0].controller: is neither true nor false");
}

TEST(NewerVersion, ComparesDecimalsOfAnyLength) {
  struct Case {
    const char* a;
    const char* b;
    bool newer;
  };
  const Case cases[] = {
      {"2", "1", true},   {"1", "2", false}, {"10", "9", true},
      {"9", "10", false}, {"5", "5", false}, {"1", "", true},
      {"1", "0", true},   {"", "0", false},  {"0", "", false},
      {"", "", false},    {"0", "0", false}, {"99999999999999999999999", "9", true},
      {"100", "99", true}};
  for (const Case& one : cases) {
    EXPECT_EQ(NewerVersion(one.a, one.b), one.newer) << one.a << " vs " << one.b;
  }
}

}  // namespace
}  // namespace spillway::kube
