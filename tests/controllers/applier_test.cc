#include "controllers/applier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crds/v1alpha1/training_pool.h"
#include "tests/controllers/samples.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"

namespace spillway::controllers {
namespace {

using samples::Json;

Json PoolNamed(const std::string& name) {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "TrainingPool"},
          {"metadata", {{"name", name}, {"namespace", "lab"}}},
          {"spec", {{"workers", 1}}}};
}

// A Service that a pool of the name `run` made which is there no more.
class Collecting : public testing::Test {
 protected:
  void SetUp() override {
    const Json owner = {{"apiVersion", "spillway.dev/v1alpha1"},
                        {"kind", "TrainingPool"},
                        {"name", "run"},
                        {"uid", "earlier"},
                        {"controller", true}};
    const Json service = server_.Put(
        {{"apiVersion", "v1"},
         {"kind", "Service"},
         {"metadata",
          {{"name", "run-train"}, {"namespace", "lab"}, {"ownerReferences", {owner}}}}});
    meta_.ns = "lab";
    meta_.name = "run-train";
    meta_.uid = service["metadata"]["uid"];
    pool_.ns = "lab";
    pool_.name = "run";
  }
  Outcome Collect() {
    WriteList list{"TrainingPool lab/run", pool_.uid, {}};
    list.writes = CollectLeftovers(crds::v1alpha1::TrainingPoolResource(), pool_,
                                   {{&kube::ServiceResource(), &meta_}}, {});
    Applier applier(client_, clock_, log_, {.threads = 1}, {[] {}, [] {}});
    return applier.Apply({list}, {}).at(0).outcome;
  }
  Outcome Do(const Write& write) {
    Applier applier(client_, clock_, log_, {.threads = 1}, {[] {}, [] {}});
    return applier.Apply({{"Pod lab/worker", "", {write}}}, {}).at(0).outcome;
  }
  bool IsThere() { return server_.Get("services", "lab", "run-train").has_value(); }

  support::FakeClock clock_;
  Log log_{LogLevel::kError, true};
  support::FakeApiServer server_{clock_};
  kube::Client client_{server_, clock_, {"test", 16, std::chrono::seconds(5), {}}};
  kube::ObjectMeta meta_;  // of the Service
  kube::ObjectMeta pool_;  // the one of this name, as it is believed to be
};

TEST_F(Collecting, DeletesWhatAnEarlierPoolLeftBehind) {
  pool_.uid = server_.Put(PoolNamed("run"))["metadata"]["uid"];
  const Outcome outcome = Collect();
  EXPECT_FALSE(outcome.error);
  EXPECT_THAT(outcome.deleted_uids, testing::ElementsAre(meta_.uid));
  EXPECT_FALSE(IsThere());
}

// The children that it would make are of a pool that has gone, or has another uid by now.
TEST_F(Collecting, NothingIsMadeForAPoolThatIsNotThereAnyMore) {
  const auto make = [&] {
    const Json config = {{"apiVersion", "v1"},
                         {"kind", "Service"},
                         {"metadata", {{"name", "new"}, {"namespace", "lab"}}}};
    const WriteList list{"TrainingPool lab/run",
                         pool_.uid,
                         {{Write::Verb::kConfirm,
                           &crds::v1alpha1::TrainingPoolResource(),
                           "lab",
                           "run",
                           {},
                           pool_.uid,
                           {}},
                          {Write::Verb::kCreate,
                           &kube::ServiceResource(),
                           "lab",
                           "new",
                           config.dump(),
                           pool_.uid,
                           {}}}};
    Applier applier(client_, clock_, log_, {.threads = 1}, {[] {}, [] {}});
    return applier.Apply({list}, {}).at(0).outcome;
  };
  pool_.uid = "gone";
  EXPECT_EQ(make().error->code, Code::kConflict) << "none is there";
  const std::string uid = server_.Put(PoolNamed("run"))["metadata"]["uid"];
  EXPECT_EQ(make().error->code, Code::kConflict) << "another one is";
  EXPECT_FALSE(server_.Get("services", "lab", "new"));
  pool_.uid = uid;
  EXPECT_FALSE(make().error);
  EXPECT_TRUE(server_.Get("services", "lab", "new"));
}

TEST_F(Collecting, LeavesWhatMayBeOfThePoolThatIsThere) {
  server_.Put(PoolNamed("run"));
  pool_.uid = "an-old-one";
  const Outcome outcome = Collect();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Code::kConflict) << "news is on its way";
  EXPECT_TRUE(IsThere());
}

TEST_F(Collecting, LeavesWhatNoPoolOfThisNameIsThereFor) {
  pool_.uid = "an-old-one";
  const Outcome outcome = Collect();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Code::kNotFound);
  EXPECT_TRUE(IsThere());
}

TEST_F(Collecting, DeletesNothingThatWasNotSeen) {
  pool_.uid = server_.Put(PoolNamed("run"))["metadata"]["uid"];
  meta_.uid = "another";
  EXPECT_FALSE(Collect().error);
  EXPECT_TRUE(IsThere());
}

TEST_F(Collecting, APodThatIsNoLongerAsItWasSeenStays) {
  const Json pod = server_.Put({{"apiVersion", "v1"},
                                {"kind", "Pod"},
                                {"metadata", {{"name", "worker"}, {"namespace", "lab"}}}});
  Write write{Write::Verb::kDelete, &kube::PodResource(), "lab", "worker", {}, {}, {}};
  write.deletion.uid = pod["metadata"]["uid"];
  write.deletion.resource_version = pod["metadata"]["resourceVersion"];
  server_.Patch("pods", "lab", "worker", {{"status", {{"phase", "Running"}}}});
  Outcome outcome = Do(write);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Code::kConflict);
  EXPECT_THAT(outcome.deleted_uids, testing::IsEmpty()) << "it is to be decided again";
  const auto now = server_.Get("pods", "lab", "worker");
  ASSERT_TRUE(now.has_value());
  write.deletion.resource_version = (*now)["metadata"]["resourceVersion"];
  outcome = Do(write);
  EXPECT_FALSE(outcome.error);
  EXPECT_FALSE(server_.Get("pods", "lab", "worker").has_value());
}

}  // namespace
}  // namespace spillway::controllers
