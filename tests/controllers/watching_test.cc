// Which objects of a cluster reach the stores.

#include "controllers/watching.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "controllers/names.h"
#include "tests/controllers/samples.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"

namespace spillway::controllers {
namespace {

using samples::Json;

class WatchingTest : public testing::Test {
 protected:
  ~WatchingTest() override { watching_.Stop(); }

  void Put(const std::string& api_version, const std::string& kind, const std::string& name,
           bool ours) {
    Json object = {{"apiVersion", api_version},
                   {"kind", kind},
                   {"metadata", {{"name", name}, {"namespace", "lab"}}}};
    if (ours) object["metadata"]["labels"] = {{kManagedByLabel, kManagedBy}};
    server_.Put(object);
  }

  support::FakeClock clock_;
  Log log_{LogLevel::kError, true};
  MetricsRegistry registry_;
  support::FakeApiServer server_{clock_};
  kube::Client client_{server_, clock_, {"test", 16, std::chrono::seconds(5), {}}};
  Stores stores_{[] {}};
  Watching watching_{stores_, client_, clock_, log_, registry_};
};

// Else the memory of the operator would grow with what others run.
TEST_F(WatchingTest, ChildrenAreReadByOurLabelAndPodsWhoseverTheyAre) {
  for (const bool ours : {true, false}) {
    const std::string name = ours ? "ours" : "theirs";
    Put("batch/v1", "Job", name, ours);
    Put("apps/v1", "Deployment", name, ours);
    Put("v1", "Service", name, ours);
    Put("policy/v1", "PodDisruptionBudget", name, ours);
    Put("v1", "Pod", name, ours);
  }
  watching_.Start();
  ASSERT_TRUE(support::Eventually([&] { return stores_.Unsynced().empty(); }));
  EXPECT_EQ(stores_.jobs.size(), 1U);
  EXPECT_EQ(stores_.deployments.size(), 1U);
  EXPECT_EQ(stores_.services.size(), 1U);
  EXPECT_EQ(stores_.disruption_budgets.size(), 1U);
  EXPECT_EQ(stores_.pods.size(), 2U);
  // By the watches too.
  Put("v1", "Service", "theirs-too", false);
  Put("v1", "Service", "ours-too", true);
  EXPECT_TRUE(support::Eventually([&] { return stores_.services.size() == 2; }));
  EXPECT_EQ(stores_.services.Get("lab/theirs-too"), nullptr);
}

TEST_F(WatchingTest, OnlyWhatIsDeclaredIsReadAndEveryKindOnce) {
  watching_.Start();
  ASSERT_TRUE(support::Eventually([&] { return stores_.Unsynced().empty(); }));
  ASSERT_TRUE(server_.WaitUntil([&] { return server_.open_watches() == 11; }));
  EXPECT_EQ(server_.Requests().size(), 22U) << "a list and a watch each";
}

// The jitter of each kind in each process is its own: else all would come back in step after an
// outage of the API server.
TEST_F(WatchingTest, WatchesOfAllKindsAndProcessesLastForTimesOfTheirOwn) {
  clock_.Advance(std::chrono::milliseconds(1));
  Stores other_stores([] {});
  MetricsRegistry other_registry;
  Watching other(other_stores, client_, clock_, log_, other_registry);
  watching_.Start();
  other.Start();
  ASSERT_TRUE(server_.WaitUntil([&] { return server_.open_watches() == 22; }));
  std::set<std::string> timeouts;
  for (const auto& request : server_.Requests()) {
    if (request.verb == "watch") timeouts.insert(request.query.at("timeoutSeconds"));
  }
  EXPECT_GE(timeouts.size(), 20U) << "of 300 each";
}

}  // namespace
}  // namespace spillway::controllers
