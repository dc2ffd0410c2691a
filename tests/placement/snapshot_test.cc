#include "placement/snapshot.h"

#include <gtest/gtest.h>

#include <set>

#include "placement/reason.h"

namespace spillway::placement {
namespace {

TEST(Reasons, EachHasANameOfItsOwnAndIsFoundByIt) {
  std::set<std::string_view> names;
  for (const Reason reason : AllReasons()) {
    names.insert(ReasonName(reason));
    EXPECT_EQ(ReasonFromName(ReasonName(reason)), reason);
  }
  EXPECT_EQ(names.size(), AllReasons().size());
  EXPECT_EQ(ReasonName(Reason::kAsExpected), "AsExpected");
  EXPECT_EQ(ReasonName(Reason::kHoldingBackSpill), "HoldingBackSpill");
  EXPECT_EQ(ReasonFromName("holdingbackspill"), std::nullopt);
}

TEST(Words, OfAnEnumAreFoundByName) {
  EXPECT_EQ(Name(Provider::kAws), "AWS");
  EXPECT_EQ(ProviderFrom("OnPrem"), Provider::kOnPrem);
  EXPECT_EQ(ProviderFrom("onprem"), std::nullopt);
  EXPECT_EQ(AdmissionFrom(Name(Admission::kClosed)), Admission::kClosed);
  EXPECT_EQ(CapacityTypeFrom(Name(CapacityType::kSpot)), CapacityType::kSpot);
  EXPECT_EQ(PreferenceFrom(Name(Preference::kPrice)), Preference::kPrice);
  EXPECT_EQ(TopologyModeFrom(Name(TopologyMode::kIgnore)), TopologyMode::kIgnore);
  EXPECT_EQ(OnUnreachableFrom(Name(OnUnreachable::kWait)), OnUnreachable::kWait);
  EXPECT_EQ(OnUnreachableFrom(""), std::nullopt);
}

TEST(Requirement, FollowsKubernetesRules) {
  const Labels labels = {{"zone", "z1"}, {"cores", "192"}, {"empty", ""}};
  struct Case {
    const char* sentence;
    Requirement requirement;
    bool holds;
  };
  const std::vector<Case> cases = {
      {"In holds for a listed value", {"zone", "In", {"z0", "z1"}}, true},
      {"In does not hold for another value", {"zone", "In", {"z2"}}, false},
      {"In does not hold for an absent key", {"rack", "In", {"z1"}}, false},
      {"NotIn holds for another value", {"zone", "NotIn", {"z2"}}, true},
      {"NotIn does not hold for a listed value", {"zone", "NotIn", {"z1"}}, false},
      {"NotIn holds for an absent key", {"rack", "NotIn", {"z1"}}, true},
      {"Exists holds for an empty value", {"empty", "Exists", {}}, true},
      {"Exists does not hold for an absent key", {"rack", "Exists", {}}, false},
      {"DoesNotExist holds for an absent key", {"rack", "DoesNotExist", {}}, true},
      {"DoesNotExist does not hold for a key", {"zone", "DoesNotExist", {}}, false},
      {"Gt compares whole numbers", {"cores", "Gt", {"96"}}, true},
      {"Gt does not hold for the same number", {"cores", "Gt", {"192"}}, false},
      {"Lt compares whole numbers", {"cores", "Lt", {"1000"}}, true},
      {"Lt does not hold for the same number", {"cores", "Lt", {"192"}}, false},
      {"Gt does not hold for text", {"zone", "Gt", {"1"}}, false},
      {"Gt does not hold against text", {"cores", "Gt", {"many"}}, false},
      {"Lt does not hold for an absent key", {"rack", "Lt", {"1"}}, false},
      {"Gt needs one value", {"cores", "Gt", {"1", "2"}}, false},
      {"an unknown operator never holds", {"zone", "Equals", {"z1"}}, false},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Matches(labels, c.requirement), c.holds) << c.sentence;
  }
  EXPECT_TRUE(MatchesAll(labels, {}));
  EXPECT_TRUE(MatchesAll(labels, {{"zone", "Exists", {}}, {"cores", "Exists", {}}}));
  EXPECT_FALSE(MatchesAll(labels, {{"zone", "Exists", {}}, {"rack", "Exists", {}}}));
}

TEST(Toleration, FollowsKubernetesRules) {
  const Taint taint{"sku", "gpu", "NoSchedule"};
  struct Case {
    const char* sentence;
    Toleration toleration;
    bool tolerates;
  };
  const std::vector<Case> cases = {
      {"Equal with key, value and effect", {"sku", "Equal", "gpu", "NoSchedule"}, true},
      {"no operator means Equal", {"sku", "", "gpu", "NoSchedule"}, true},
      {"no effect means every effect", {"sku", "Equal", "gpu", ""}, true},
      {"another effect is not tolerated", {"sku", "Equal", "gpu", "NoExecute"}, false},
      {"another value is not tolerated", {"sku", "Equal", "cpu", ""}, false},
      {"Exists ignores the value", {"sku", "Exists", "", ""}, true},
      {"Exists with another key", {"spot", "Exists", "", ""}, false},
      {"Exists without a key tolerates everything", {"", "Exists", "", ""}, true},
      {"Exists without a key keeps to its effect", {"", "Exists", "", "NoExecute"}, false},
      {"an unknown operator tolerates nothing", {"sku", "In", "gpu", ""}, false},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Tolerates({c.toleration}, taint), c.tolerates) << c.sentence;
  }
  EXPECT_FALSE(Tolerates({}, taint));
}

}  // namespace
}  // namespace spillway::placement
