// What a plan says in YAML it says in JSON: read back, both are one value. That every field of a
// plan is in both is shown in tests/placement/plan_text_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "operator/cli/embedded_crds.h"
#include "operator/cli/manifests.h"
#include "placement/compare.h"
#include "placement/plan_text.h"
#include "tests/placement/worlds.h"
#include "tests/support/seeds.h"

namespace spillway::tests {
namespace {

using nlohmann::json;
using placement::Form;
using placement::MakePlan;

json FromJson(const std::string& text) { return json::parse(text); }

json FromYaml(const std::string& text) {
  const auto documents = cli::ReadManifests(text);
  EXPECT_TRUE(documents) << documents.error().message << "\n" << text;
  return documents ? documents->at(0) : json();
}

TEST(PlanForms, YamlAndJsonSayTheSame) {
  for (uint32_t seed = 0; seed < Seeds(500U); ++seed) {
    const placement::Snapshot world = RandomWorld(seed);
    const placement::Plan plan = MakePlan(world);
    const json read = FromJson(WritePlan(world, plan, Form::kJson));
    ASSERT_EQ(read, FromYaml(WritePlan(world, plan, Form::kYaml))) << "seed " << seed;
    ASSERT_EQ(read["pools"].size(), plan.pools.size());
    ASSERT_EQ(read["inferencePools"].size(), plan.inference_pools.size());
    ASSERT_EQ(read["groups"].size(), plan.groups.size());
    if (plan.pools.empty()) continue;
    const auto& key = plan.pools[0].key;
    json why = FromJson(WriteWhy(world, plan, key, Form::kJson));
    ASSERT_EQ(why, FromYaml(WriteWhy(world, plan, key, Form::kYaml))) << "seed " << seed;
    json decision = read["pools"][0];
    for (json* one : {&why["pools"][0], &decision}) {  // of these why has more
      one->erase("alternatives");
      one->erase("remedies");
    }
    ASSERT_EQ(why["pools"][0], decision) << "seed " << seed;
  }
}

TEST(PlanForms, SoDoComparisons) {
  for (uint32_t seed = 0; seed < Seeds(200U); ++seed) {
    const placement::Snapshot one = RandomWorld(seed);
    const placement::Snapshot two = RandomWorld(seed + 1);
    const auto compared = placement::Compare(one, MakePlan(one), two, MakePlan(two));
    ASSERT_TRUE(compared);
    const json read = FromJson(WriteComparison(*compared, Form::kJson));
    ASSERT_EQ(read, FromYaml(WriteComparison(*compared, Form::kYaml))) << "seed " << seed;
    ASSERT_EQ(read["pools"].size(), compared->changes.size());
  }
}

json StatusSchema(const std::string& kind) {
  for (const std::string& text : cli::EmbeddedCrds()) {
    const json crd = FromYaml(text);
    if (crd["spec"]["names"]["kind"] != kind) continue;
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
  }
  ADD_FAILURE() << kind;
  return {};
}

// Adds the paths of fields that the schema does not have.
void FindOwn(const json& value, const json& schema, const std::string& path,
             std::set<std::string>& own) {
  if (value.is_array()) {
    for (const json& item : value) FindOwn(item, schema["items"], path, own);
  }
  if (!value.is_object()) return;
  for (const auto& [name, field] : value.items()) {
    if (name == "conditions") continue;  // a list there, by type here
    if (schema["properties"].contains(name)) {
      FindOwn(field, schema["properties"][name], path + name + ".", own);
    } else {
      own.insert(path + name);
    }
  }
}

std::set<std::string> OwnNames(const std::vector<json>& plans, const std::string& list,
                               const std::string& kind, const std::string& part) {
  const json schema = StatusSchema(kind);
  std::set<std::string> own;
  for (const json& plan : plans) {
    for (const json& one : plan[list]) FindOwn(part.empty() ? one : one[part], schema, "", own);
  }
  return own;
}

// Whatever a status has stands under its name there; the others no status has.
TEST(PlanForms, NamesAreThoseOfTheStatuses) {
  using testing::UnorderedElementsAre;
  std::vector<json> plans;
  for (uint32_t seed = 0; seed < 500; ++seed) {
    const placement::Snapshot world = RandomWorld(seed);
    plans.push_back(FromJson(WritePlan(world, MakePlan(world), Form::kJson)));
  }
  EXPECT_THAT(
      OwnNames(plans, "pools", "TrainingPool", ""),
      UnorderedElementsAre("action", "alternatives", "forceDelete", "keepJob", "mayStart", "name",
                           "namespace", "position", "remedies", "reservation", "status", "uid"));
  EXPECT_THAT(OwnNames(plans, "pools", "TrainingPool", "status"),
              UnorderedElementsAre("failedReason", "placement.cluster", "succeeded"));
  EXPECT_THAT(OwnNames(plans, "inferencePools", "InferencePool", ""),
              UnorderedElementsAre("action", "alternatives", "cells.accelerator",
                                   "cells.accelerators", "cells.before", "cells.hourlyCost",
                                   "cells.roll", "cells.surge", "cells.unavailable", "chosen",
                                   "evict", "forceDelete", "name", "namespace", "position",
                                   "rejected", "remedies", "status", "uid", "weights"));
  EXPECT_THAT(OwnNames(plans, "inferencePools", "InferencePool", "status"), UnorderedElementsAre());
  EXPECT_THAT(OwnNames(plans, "groups", "NodeGroup", ""),
              UnorderedElementsAre("name", "nodes.notReady"));
  EXPECT_THAT(OwnNames(plans, "quotas", "PoolQuota", ""),
              UnorderedElementsAre("namespace", "spend"));
}

// Texts that either form could mistake for something else.
TEST(PlanForms, TextsStayTexts) {
  placement::Snapshot world;
  placement::Plan plan;
  for (const char* text :
       {"8", "1e3", "true", "No", "null", "~", "a: b", "[x]", "#x", "\"q\"", "a\\b", "\ttab",
        "line\nbreak", "caf\xc3\xa9", "\x7f", "2026-11-24T12:00:00Z"}) {
    plan.pools.emplace_back().remedies = {text};
  }
  const json read = FromJson(WritePlan(world, plan, Form::kJson));
  EXPECT_EQ(read, FromYaml(WritePlan(world, plan, Form::kYaml)));
  for (size_t i = 0; i < plan.pools.size(); ++i) {
    EXPECT_EQ(read["pools"][i]["remedies"][0], plan.pools[i].remedies[0]);
  }
}

}  // namespace
}  // namespace spillway::tests
