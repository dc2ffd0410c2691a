#include "operator/cli/manifests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace spillway::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::vector<std::string> Names(const std::string& text) {
  const auto objects = ReadManifests(text);
  EXPECT_TRUE(objects) << objects.error().message;
  std::vector<std::string> names;
  for (const json& one : *objects) names.push_back(one["metadata"]["name"]);
  return names;
}

TEST(Manifests, DocumentsAndListsAreTakenApart) {
  using Expected = std::vector<std::string>;
  EXPECT_EQ(Names("metadata: {name: a}\n---\n# nothing\n---\nmetadata: {name: b}\n"),
            (Expected{"a", "b"}));
  EXPECT_EQ(Names("kind: List\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\n"),
            (Expected{"a", "b"}));
  EXPECT_EQ(Names(R"({"kind": "NodeList", "items": [{"metadata": {"name": "a"}}]})"),
            (Expected{"a"}));
  EXPECT_EQ(Names(""), Expected{});
}

TEST(Manifests, QuotedNumbersAndWordsAreText) {
  const auto objects = ReadManifests("a: \"8\"\nb: 8\nc: 'true'\nd: true\ne: 1.5\nf: null\ng: x\n");
  ASSERT_TRUE(objects);
  EXPECT_EQ(objects->at(0), json::parse(R"({"a": "8", "b": 8, "c": "true", "d": true, "e": 1.5,
                                            "f": null, "g": "x"})"));
}

TEST(Manifests, WrongInputIsOneSentenceWithTheLine) {
  const struct {
    const char* text;
    const char* error;
  } cases[] = {{"a: 1\nb: [\n", "line 3: "},
               {"a: 1\n---\n- b\n", "line 3: is no object"},
               {"a: &x {b: *x}\n", "is nested too deep"}};
  for (const auto& one : cases) {
    const auto objects = ReadManifests(one.text);
    ASSERT_FALSE(objects) << one.text;
    EXPECT_EQ(objects.error().code, Code::kInvalid);
    EXPECT_THAT(objects.error().message, HasSubstr(one.error));
  }
}

TEST(Manifests, AFileThatIsNotThereIsNamed) {
  const auto text = ReadFile("/nowhere/a.yaml");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().message, "cannot read /nowhere/a.yaml");
}

}  // namespace
}  // namespace spillway::cli
