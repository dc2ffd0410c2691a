#include "controllers/own_writes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "crds/v1alpha1/training_pool.h"
#include "kube/types/deployment.h"
#include "kube/types/job.h"
#include "kube/types/node.h"

namespace spillway::controllers {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

constexpr seconds kDeadline{130};

class OwnWritesTest : public testing::Test {
 protected:
  std::vector<std::string> Look(seconds now) { return writes_.Look(now, kDeadline); }

  std::map<std::string, std::string> come_to_;  // by plural
  OwnWrites writes_{[this](const kube::Resource& kind) { return come_to_[kind.plural]; }};
};

TEST_F(OwnWritesTest, StatusesAndNodesAreForAll) {
  EXPECT_TRUE(writes_.DecisionsAreSeen());
  writes_.Add("TrainingPool lab/run", {{&crds::v1alpha1::TrainingPoolResource(), "9"}}, seconds(0));
  writes_.Add("NodeGroup home", {{&kube::NodeResource(), "11"}, {&kube::NodeResource(), "10"}},
              seconds(0));
  EXPECT_TRUE(writes_.ChildrenAreSeen());
  EXPECT_TRUE(writes_.NoneIsUnseen());
  come_to_ = {{"trainingpools", "9"}, {"nodes", "10"}};
  EXPECT_FALSE(writes_.DecisionsAreSeen());
  come_to_["nodes"] = "11";
  EXPECT_TRUE(writes_.DecisionsAreSeen());
}

TEST_F(OwnWritesTest, ChildrenAreOfTheirPoolAlone) {
  writes_.Add("TrainingPool lab/one",
              {{&kube::ServiceResource(), "5"}, {&kube::JobResource(), "6"}}, seconds(0));
  writes_.Add("InferencePool lab/one", {{&kube::DeploymentResource(), "7"}}, seconds(0));
  EXPECT_TRUE(writes_.DecisionsAreSeen());
  EXPECT_FALSE(writes_.ChildrenAreSeen());
  come_to_ = {{"services", "20"}, {"jobs", "5"}, {"deployments", "8"}};
  EXPECT_THAT(Look(seconds(1)), IsEmpty());
  EXPECT_TRUE(writes_.IsUnseen("TrainingPool lab/one"));
  EXPECT_FALSE(writes_.IsUnseen("InferencePool lab/one"));
  come_to_["jobs"] = "6";
  EXPECT_TRUE(writes_.ChildrenAreSeen());
  EXPECT_TRUE(writes_.IsUnseen("TrainingPool lab/one")) << "the world was read before";
  EXPECT_THAT(Look(seconds(1)), IsEmpty());
  EXPECT_TRUE(writes_.NoneIsUnseen()) << "nothing is remembered of what was seen";
}

TEST_F(OwnWritesTest, WhatIsNotWaitedForAnyMoreIsUnseenStill) {
  writes_.Add("TrainingPool lab/run",
              {{&crds::v1alpha1::TrainingPoolResource(), "4"}, {&kube::JobResource(), "5"}},
              seconds(0));
  writes_.StopWaiting();
  EXPECT_TRUE(writes_.DecisionsAreSeen());
  EXPECT_TRUE(writes_.ChildrenAreSeen());
  Look(seconds(1));
  EXPECT_TRUE(writes_.IsUnseen("TrainingPool lab/run"));
}

TEST_F(OwnWritesTest, IsGivenUpAtItsDeadline) {
  EXPECT_EQ(writes_.Oldest(), std::nullopt);
  writes_.Add("TrainingPool lab/b", {{&kube::JobResource(), "5"}}, seconds(10));
  writes_.Add("TrainingPool lab/a", {{&kube::JobResource(), "6"}}, seconds(20));
  EXPECT_EQ(writes_.Oldest(), seconds(10));
  EXPECT_THAT(Look(seconds(139)), IsEmpty());
  EXPECT_THAT(Look(seconds(140)), ElementsAre("TrainingPool lab/b"));
  EXPECT_THAT(Look(seconds(140)), IsEmpty());
  EXPECT_EQ(writes_.Oldest(), seconds(20));
  EXPECT_THAT(Look(seconds(150)), ElementsAre("TrainingPool lab/a"));
  EXPECT_TRUE(writes_.NoneIsUnseen());
}

TEST_F(OwnWritesTest, TellsTheFirstOfEachKindThatIsMissing) {
  EXPECT_THAT(writes_.Next(), IsEmpty());
  writes_.Add("TrainingPool lab/a", {{&kube::JobResource(), "10"}}, seconds(0));
  writes_.Add("TrainingPool lab/b", {{&kube::JobResource(), "9"}}, seconds(0));
  EXPECT_THAT(writes_.Next(), ElementsAre(Pair(&kube::JobResource(), "9")));
  come_to_["jobs"] = "9";
  Look(seconds(1));
  EXPECT_THAT(writes_.Next(), ElementsAre(Pair(&kube::JobResource(), "10")));
}

}  // namespace
}  // namespace spillway::controllers
