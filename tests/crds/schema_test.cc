// The CRDs' YAML and the C++ values are two spellings of one API: every field of a spec schema
// changes what is decoded, and every field of a status schema is written and read back.

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "crds/v1alpha1/inference_pool.h"
#include "crds/v1alpha1/node_group.h"
#include "crds/v1alpha1/pool_quota.h"
#include "crds/v1alpha1/training_pool.h"

namespace spillway::crds::v1alpha1 {
namespace {

using Json = nlohmann::json;

YAML::Node Schema(const std::string& file) {
  const YAML::Node crd =
      YAML::LoadFile(std::string(SPILLWAY_SOURCE_DIR) + "/crds/" + file + ".yaml");
  return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
}

// A value that the schema takes and that is no default of ours.
Json Sample(const YAML::Node& schema) {
  if (schema["enum"]) {
    const YAML::Node last = schema["enum"][schema["enum"].size() - 1];
    return last.as<std::string>();
  }
  const std::string type = schema["type"] ? schema["type"].as<std::string>() : "quantity";
  if (type == "integer") return 7;
  if (type == "boolean") return true;
  if (type == "array") return Json::array({Sample(schema["items"])});
  if (type == "quantity") return "3";
  if (type == "string") {
    const bool time = schema["format"] && schema["format"].as<std::string>() == "date-time";
    return time ? "2026-11-24T01:02:03Z" : "12";
  }
  Json object = Json::object();
  if (schema["additionalProperties"]) object["some"] = Sample(schema["additionalProperties"]);
  for (const auto& property : schema["properties"]) {
    object[property.first.as<std::string>()] = Sample(property.second);
  }
  if (object.empty()) object["any"] = "thing";  // preserve-unknown-fields
  return object;
}

// The paths of all leaves, and of lists as a whole.
void Leaves(const Json& value, const Json::json_pointer& at, std::vector<Json::json_pointer>& out) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, inner] : value.items()) Leaves(inner, at / key, out);
  } else if (value.is_array() && !value.empty() && value[0].is_object()) {
    Leaves(value[0], at / 0, out);
  } else {
    out.push_back(at);
  }
}

template <class T>
T DecodeObject(const Json& object, Status (*decode)(kube::JsonValue, T&)) {
  T out;
  kube::JsonParser parser;
  const std::string text = object.dump();
  auto root = parser.Parse(text);
  EXPECT_TRUE(root.ok());
  const Status done = decode(*root, out);
  EXPECT_TRUE(done.ok()) << done.error().message;
  return out;
}

// Taking any one leaf away changes the decoded spec.
template <class T>
void ExpectEveryFieldDecoded(const std::string& file, Status (*decode)(kube::JsonValue, T&)) {
  const Json spec = Sample(Schema(file)["spec"]);
  const T whole = DecodeObject<T>({{"spec", spec}}, decode);
  std::vector<Json::json_pointer> leaves;
  Leaves(spec, Json::json_pointer(), leaves);
  ASSERT_FALSE(leaves.empty());
  for (const Json::json_pointer& leaf : leaves) {
    Json less = spec;
    less[leaf.parent_pointer()].erase(leaf.back());
    const T without = DecodeObject<T>({{"spec", less}}, decode);
    EXPECT_FALSE(whole.spec == without.spec)
        << file << ": spec" << leaf.to_string() << " is in the schema but nothing reads it";
  }
}

TEST(Schema, EverySpecFieldOfNodeGroupIsRead) {
  ExpectEveryFieldDecoded<NodeGroup>("nodegroup", DecodeNodeGroup);
}
TEST(Schema, EverySpecFieldOfTrainingPoolIsRead) {
  ExpectEveryFieldDecoded<TrainingPool>("trainingpool", DecodeTrainingPool);
}
TEST(Schema, EverySpecFieldOfInferencePoolIsRead) {
  ExpectEveryFieldDecoded<InferencePool>("inferencepool", DecodeInferencePool);
}
TEST(Schema, EverySpecFieldOfPoolQuotaIsRead) {
  ExpectEveryFieldDecoded<PoolQuota>("poolquota", DecodePoolQuota);
}

// The keys of a schema, as "/a/b"; lists of objects as "/a/0/b".
void SchemaKeys(const YAML::Node& schema, const std::string& at, std::set<std::string>& out) {
  if (schema["properties"]) {
    for (const auto& property : schema["properties"]) {
      SchemaKeys(property.second, at + "/" + property.first.as<std::string>(), out);
    }
  } else if (schema["items"] && schema["items"]["properties"]) {
    SchemaKeys(schema["items"], at + "/0", out);
  } else {
    out.insert(at);
  }
}

// A status that fills its whole schema survives decoding and encoding, and nothing else is written.
template <class T>
void ExpectStatusRoundTrip(const std::string& file, Status (*decode)(kube::JsonValue, T&)) {
  const YAML::Node schema = Schema(file)["status"];
  const Json sample = Sample(schema);
  const Json body = {{"metadata", {{"name", "x"}, {"uid", "u"}, {"resourceVersion", "5"}}},
                     {"status", sample}};
  const T object = DecodeObject<T>(body, decode);
  const Json written = Json::parse(EncodeStatusUpdate(object, object.status));
  EXPECT_EQ(written["metadata"]["resourceVersion"], "5");
  EXPECT_EQ(written["metadata"]["uid"], "u");
  std::set<std::string> expected;
  SchemaKeys(schema, "", expected);
  std::vector<Json::json_pointer> leaves;
  Leaves(written["status"], Json::json_pointer(), leaves);
  std::set<std::string> got;
  for (const auto& leaf : leaves) got.insert(leaf.to_string());
  EXPECT_EQ(got, expected);
  const T again = DecodeObject<T>(written, decode);
  EXPECT_TRUE(again.status == object.status);
}

TEST(Schema, StatusOfNodeGroupIsWrittenAsDescribed) {
  ExpectStatusRoundTrip<NodeGroup>("nodegroup", DecodeNodeGroup);
}
TEST(Schema, StatusOfTrainingPoolIsWrittenAsDescribed) {
  ExpectStatusRoundTrip<TrainingPool>("trainingpool", DecodeTrainingPool);
}
TEST(Schema, StatusOfInferencePoolIsWrittenAsDescribed) {
  ExpectStatusRoundTrip<InferencePool>("inferencepool", DecodeInferencePool);
}
TEST(Schema, StatusOfPoolQuotaIsWrittenAsDescribed) {
  ExpectStatusRoundTrip<PoolQuota>("poolquota", DecodePoolQuota);
}

// The schema's defaults are the C++ defaults: an object that says nothing decodes alike either way.
void ApplyDefaults(const YAML::Node& schema, Json& object) {
  for (const auto& property : schema["properties"]) {
    const std::string key = property.first.as<std::string>();
    const YAML::Node inner = property.second;
    if (inner["default"] && !object.contains(key)) {
      const auto text = inner["default"].as<std::string>();
      const std::string type = inner["type"].as<std::string>();
      if (type == "integer") {
        object[key] = inner["default"].as<int>();
      } else if (type == "boolean") {
        object[key] = inner["default"].as<bool>();
      } else if (type == "string") {
        object[key] = text;
      } else {
        object[key] = Json::object();
      }
    }
    if (!object.contains(key)) continue;
    if (inner["properties"]) ApplyDefaults(inner, object[key]);
    if (inner["items"] && inner["items"]["properties"]) {
      for (Json& item : object[key]) ApplyDefaults(inner["items"], item);
    }
  }
}

template <class T>
void ExpectSameDefaults(const std::string& file, Json spec, Status (*decode)(kube::JsonValue, T&)) {
  const T bare = DecodeObject<T>({{"spec", spec}}, decode);
  ApplyDefaults(Schema(file)["spec"], spec);
  const T defaulted = DecodeObject<T>({{"spec", spec}}, decode);
  EXPECT_TRUE(bare.spec == defaulted.spec) << spec.dump(1);
}

TEST(Schema, DefaultsAgree) {
  ExpectSameDefaults<NodeGroup>("nodegroup",
                                {{"health", Json::object()},
                                 {"cost", Json::object()},
                                 {"elastic", {{"stockoutBackoff", Json::object()}}}},
                                DecodeNodeGroup);
  ExpectSameDefaults<TrainingPool>(
      "trainingpool",
      {{"placement", {{"spill", Json::object()}, {"topology", Json::object()}}},
       {"restart", Json::object()},
       {"torch", Json::object()}},
      DecodeTrainingPool);
  ExpectSameDefaults<InferencePool>(
      "inferencepool",
      {{"variants", Json::array({{{"name", "a100"}}})},
       {"placement", {{"spill", Json::object()}, {"returnHome", Json::object()}}},
       {"behavior", {{"scaleUp", Json::object()}, {"scaleDown", Json::object()}}},
       {"routing", Json::object()},
       {"disruption", Json::object()}},
      DecodeInferencePool);
  ExpectSameDefaults<PoolQuota>("poolquota", {{"spend", {{"budget", Json::object()}}}},
                                DecodePoolQuota);
}

}  // namespace
}  // namespace spillway::crds::v1alpha1
