#include "controllers/release.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/yaml.h"

namespace spillway::controllers {
namespace {

using nlohmann::json;
using support::YamlToJson;

json Job() {
  return YamlToJson(R"(
metadata:
  name: a-train-1
  uid: child
  resourceVersion: "7"
  labels: {app.kubernetes.io/managed-by: spillway, spillway.dev/pool: a, spillway.dev/pool-uid: pool, team: x}
  ownerReferences:
  - {kind: TrainingPool, name: a, uid: pool, controller: true}
  - {kind: Other, name: b, uid: other}
spec: {template: {metadata: {labels: {spillway.dev/pool: a}}}}
)");
}

TEST(Release, AChildLosesItsPoolAndTheLabelsItIsFoundBy) {
  json job = Job();
  const json after = job.patch(json::parse(PatchToLetGo(job, "pool")));
  json expected = job;
  expected["metadata"]["labels"] = {{"team", "x"}};
  expected["metadata"]["ownerReferences"].erase(0);
  EXPECT_EQ(after, expected);
  EXPECT_TRUE(BelongsTo(job, "pool"));
  EXPECT_FALSE(BelongsTo(after, "pool"));
  EXPECT_FALSE(BelongsTo(job, "another"));
}

TEST(Release, AChildThatTheClusterHasOrphanedStillHasItsLabels) {
  json job = Job();
  job["metadata"].erase("ownerReferences");
  EXPECT_TRUE(BelongsTo(job, "pool"));
  const json after = job.patch(json::parse(PatchToLetGo(job, "pool")));
  EXPECT_FALSE(BelongsTo(after, "pool"));
}

TEST(Release, LabelsOfOthersStay) {
  const json service = YamlToJson(
      "metadata: {uid: u, resourceVersion: \"1\", labels: {app.kubernetes.io/managed-by: Helm}}");
  EXPECT_EQ(service.patch(json::parse(PatchToLetGo(service, "pool"))), service);
}

TEST(Release, APatchHoldsOnlyForWhatWasLookedAt) {
  json other = Job();
  other["metadata"]["resourceVersion"] = "8";
  EXPECT_THROW(other.patch(json::parse(PatchToLetGo(Job(), "pool"))), json::exception);
  other = Job();
  other["metadata"]["uid"] = "another";
  EXPECT_THROW(other.patch(json::parse(PatchToLetGo(Job(), "pool"))), json::exception);
}

TEST(Release, APoolIsHeldBesideTheFinalizersOfOthers) {
  for (const char* text : {"metadata: {uid: u, resourceVersion: \"1\"}",
                           "metadata: {uid: u, resourceVersion: \"1\", finalizers: [x.dev/y]}"}) {
    const json pool = YamlToJson(text);
    EXPECT_FALSE(HasReleaseFinalizer(pool));
    const json held = pool.patch(json::parse(PatchToHold(pool)));
    EXPECT_TRUE(HasReleaseFinalizer(held));
    json expected = pool;
    if (!expected["metadata"].contains("finalizers")) {
      expected["metadata"]["finalizers"] = json::array();
    }
    EXPECT_EQ(held.patch(json::parse(PatchToUnhold(held))), expected);
  }
}

}  // namespace
}  // namespace spillway::controllers
