#include "kube/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spillway::kube {
namespace {

using testing::ElementsAre;
using testing::Pair;

// Everything that Read knows, as a kind would use it.
struct Thing {
  std::string text;
  bool flag = false;
  int64_t wide = 0;
  int count = 0;
  std::optional<int> maybe;
  std::optional<std::string> maybe_text;
  Time time{};
  std::vector<std::string> words;
  std::vector<int> numbers;
  TextMap labels;
  std::string quantity;
  std::string raw;
};

Status DecodeInner(JsonValue value, Thing& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    if (key == "text") return Read(inner, out.text);
    if (key == "flag") return Read(inner, out.flag);
    if (key == "wide") return Read(inner, out.wide);
    if (key == "count") return Read(inner, out.count);
    if (key == "maybe") return Read(inner, out.maybe);
    if (key == "maybeText") return Read(inner, out.maybe_text);
    if (key == "time") return Read(inner, out.time);
    if (key == "words") return Read(inner, out.words);
    if (key == "numbers") return Read(inner, out.numbers);
    if (key == "labels") return Read(inner, out.labels);
    if (key == "quantity") return ReadScalarText(inner, out.quantity);
    if (key == "raw") return ReadRaw(inner, out.raw);
    if (key == "inner") return DecodeInner(inner, out);
    if (key == "list") {
      return VisitArray(inner, [&](JsonValue item) { return DecodeInner(item, out); });
    }
    return Ok{};
  });
}

Result<Thing> DecodeThing(std::string_view text) {
  JsonParser parser;
  Result<JsonValue> root = parser.Parse(text);
  if (!root) return std::move(root).error();
  Thing thing;
  if (Status done = DecodeInner(*root, thing); !done) return std::move(done).error();
  return thing;
}

TEST(Json, ReadsEveryKindOfField) {
  const auto got = DecodeThing(R"({
    "unknown": {"deep": [1, {"x": [true]}]}, "text": "a\"bé", "flag": true, "wide": -9007199254740993,
    "count": 7, "maybe": 3, "maybeText": "m", "time": "2026-11-24T01:52:03Z", "words": ["x", "y"],
    "numbers": [1, 2], "labels": {"b": "2", "a/b.c": "1"}, "quantity": 1e3 , "raw": {"k": [1, "two"]}, "more": null})");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->text, "a\"b\xC3\xA9");
  EXPECT_TRUE(got->flag);
  EXPECT_EQ(got->wide, -9007199254740993);
  EXPECT_EQ(got->count, 7);
  EXPECT_EQ(got->maybe, 3);
  EXPECT_EQ(got->maybe_text, "m");
  EXPECT_EQ(FormatTime(got->time), "2026-11-24T01:52:03Z");
  EXPECT_THAT(got->words, ElementsAre("x", "y"));
  EXPECT_THAT(got->numbers, ElementsAre(1, 2));
  EXPECT_THAT(got->labels, ElementsAre(Pair("a/b.c", "1"), Pair("b", "2")));
  EXPECT_EQ(got->quantity, "1e3");
  EXPECT_EQ(got->raw, R"({"k": [1, "two"]})");
}

TEST(Json, NullIsAbsent) {
  const auto got = DecodeThing(R"({"text": null, "flag": null, "wide": null, "count": null,
    "maybe": null, "maybeText": null, "time": null, "words": null, "numbers": null, "labels": null,
    "quantity": null, "inner": null, "list": null, "raw": null})");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->text, "");
  EXPECT_EQ(got->maybe, std::nullopt);
  EXPECT_EQ(got->maybe_text, std::nullopt);
  EXPECT_TRUE(got->labels.empty());
  EXPECT_EQ(got->raw, "null");
}

TEST(Json, AFieldThatNobodyReadsIsSkippedWherever) {
  const auto got = DecodeThing(
      R"({"inner": {"unknown": [{"a": {"b": 1}}], "inner": {"count": 1, "x": {}}, "z": []},
          "list": [{"u": 1}, {"text": "t", "v": [[]]}], "flag": true})");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->count, 1);
  EXPECT_EQ(got->text, "t");
  EXPECT_TRUE(got->flag);
}

TEST(Json, ErrorsNameThePath) {
  struct Case {
    const char* text;
    const char* message;
  };
  const Case cases[] = {
      {R"({"text": 1})", "text: is no string"},
      {R"({"flag": "true"})", "flag: is neither true nor false"},
      {R"({"wide": "1"})", "wide: is no integer"},
      {R"({"wide": 1.5})", "wide: is no integer"},
      {R"({"wide": 99999999999999999999})", "wide: is no integer"},
      {R"({"count": 2147483648})", "count: is an integer out of range"},
      {R"({"maybe": {}})", "maybe: is no integer"},
      {R"({"time": "yesterday"})", "time: \"yesterday\" is no RFC 3339 time"},
      {R"({"words": "x"})", "words: is no list"},
      {R"({"words": ["x", 2]})", "words[1]: is no string"},
      {R"({"labels": {"a": 1}})", "labels.a: is no string"},
      {R"({"labels": []})", "labels: is no object"},
      {R"({"quantity": true})", "quantity: is no string or number"},
      {R"({"inner": {"inner": {"count": "x"}}})", "inner.inner.count: is no integer"},
      {R"({"list": [{}, {"inner": {"count": []}}]})", "list[1].inner.count: is no integer"},
      {R"({"inner": 3})", "inner: is no object"},
  };
  for (const Case& one : cases) {
    const auto got = DecodeThing(one.text);
    ASSERT_FALSE(got) << one.text;
    EXPECT_EQ(got.error().code, Code::kInvalid) << one.text;
    EXPECT_EQ(got.error().message, one.message) << one.text;
  }
}

TEST(Json, WhatIsNoObjectIsRefused) {
  for (const char* text :
       {"", " ", "[]", "1", "\"x\"", "null", "nonsense", "{", "\xFF\xFE", "{\"a\"}"}) {
    EXPECT_FALSE(DecodeThing(text)) << text;
  }
}

TEST(Json, ACutTextIsAnErrorAndNeverACrash) {
  const std::string whole =
      R"({"text": "abcé", "inner": {"words": ["x", "y"], "count": 12}, "list": [{"flag": true}], "raw": [1]})";
  ASSERT_TRUE(DecodeThing(whole));
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(DecodeThing(whole.substr(0, length))) << whole.substr(0, length);
  }
}

TEST(Json, AnErrorInOneItemLeavesTheOthersReadable) {
  JsonParser parser;
  auto root = parser.Parse(
      R"({"list": [{"text": "a"}, {"inner": {"count": "bad", "text": "q"}, "text": "b"}, {"text": "c"}]})");
  ASSERT_TRUE(root);
  std::vector<std::string> read;
  const Status done = VisitObject(*root, [&](std::string_view, JsonValue list) {
    return VisitArray(list, [&](JsonValue item) -> Status {
      Thing thing;
      read.push_back(DecodeInner(item, thing) ? thing.text : "bad");
      return Ok{};
    });
  });
  ASSERT_TRUE(done);
  EXPECT_THAT(read, ElementsAre("a", "bad", "c"));
}

TEST(Json, AParserServesManyDocumentsAndReadsOneTwice) {
  JsonParser parser;
  for (int i = 0; i < 100; ++i) {
    const std::string text(static_cast<size_t>(i) * 37, 'x');
    auto root = parser.Parse(R"({"text": ")" + text + R"(", "count": )" + std::to_string(i) + "}");
    for (int pass = 0; pass < 2; ++pass) {
      ASSERT_TRUE(root);
      Thing thing;
      ASSERT_TRUE(DecodeInner(*root, thing));
      EXPECT_EQ(thing.text, text);
      EXPECT_EQ(thing.count, i);
      root = parser.Again();
    }
  }
}

TEST(Json, ATextThatDoesNotEndAsItBeginsIsNone) {
  JsonParser parser;
  for (const char* text : {"", " ", "{", R"({"text": )", R"({"text": "a"} x)", "{]", "[}", "1"}) {
    EXPECT_FALSE(parser.Parse(text)) << text;
  }
  for (const char* text : {"{}", " [] ", "{\"text\": \"a\"}\r\n"}) {
    EXPECT_TRUE(parser.Parse(text)) << text;
  }
}

TEST(Json, WhatTurnedOutToBeNoJsonCannotBeReadAgain) {
  JsonParser parser;
  for (const std::string text :
       {R"({"text" "a"})", R"({"text": "a" "count": 1})", R"({"text": "a)"}) {
    SCOPED_TRACE(text);
    Thing thing;
    auto root = parser.Parse(text);
    EXPECT_TRUE(!root || !DecodeInner(*root, thing));
    auto again = parser.Again();
    EXPECT_TRUE(!again || !DecodeInner(*again, thing));
  }
  ASSERT_TRUE(parser.Parse("{}")) << "it serves the next document";
}

}  // namespace
}  // namespace spillway::kube
