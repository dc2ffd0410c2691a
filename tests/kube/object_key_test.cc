#include "kube/object_key.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace spillway::kube {
namespace {

TEST(ObjectKey, IsInTheOrderOfItsText) {
  std::vector<KeyView> keys;
  for (const char* ns : {"", "a", "a-b", "a.b", "a0", "ab", "b", "\xc3\xa4", "a/b", "a\x01"}) {
    for (const char* name : {"", "a", "b", "b/a", "-", "0"}) keys.push_back({ns, name});
  }
  const auto text = [](KeyView key) { return Key(std::string(key.ns), std::string(key.name)); };
  for (const KeyView left : keys) {
    for (const KeyView right : keys) {
      EXPECT_EQ(left < right, text(left) < text(right)) << text(left) << " " << text(right);
    }
  }
}

TEST(ObjectKey, ComesBackFromItsText) {
  for (const std::string text : {"team/web", "node-1", "", "/x", "a/b/c"}) {
    const KeyView key = KeyFrom(text);
    EXPECT_EQ(Key(std::string(key.ns), std::string(key.name)), text);
  }
  EXPECT_EQ(KeyFrom("team/web").ns, "team");
  EXPECT_EQ(KeyFrom("node-1").ns, "");
}

TEST(Identity, IsReadFromMetadata) {
  JsonParser parser;
  Identity meta;
  ASSERT_TRUE(ReadIdentity(*parser.Parse(R"({"labels": {"a": "b"}, "name": "web", "generation": "x",
    "namespace": "team", "resourceVersion": "7"})"),
                           meta));
  EXPECT_EQ(Key(meta), "team/web");
  EXPECT_EQ(meta.resource_version, "7");
}

}  // namespace
}  // namespace spillway::kube
