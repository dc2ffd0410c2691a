#include "operator/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spillway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Healthz, FailsOnceTheLoopHasBeenSilentForTwoMinutes) {
  struct Row {
    milliseconds silent;
    int status;
    const char* body;
  };
  const char* stuck = "[-]loop failed: the deciding loop shows no sign of life\ncheck failed\n";
  for (const Row& row : std::vector<Row>{{milliseconds(0), 200, "ok\n"},
                                         {seconds(119), 200, "ok\n"},
                                         {seconds(120), 500, stuck},
                                         {seconds(86400), 500, stuck}}) {
    const HttpAnswer answer = Healthz(row.silent);
    EXPECT_EQ(answer.status, row.status) << row.silent.count();
    EXPECT_EQ(answer.body, row.body) << row.silent.count();
  }
}

TEST(Readyz, NamesWhatHasNotBeenReadYet) {
  struct Row {
    std::vector<std::string> unsynced;
    int status;
    const char* body;
  };
  for (const Row& row : std::vector<Row>{
           {{}, 200, "ok\n"},
           {{"nodes"}, 500, "[-]caches failed: not synced: nodes\ncheck failed\n"},
           {{"nodes", "pods"}, 500, "[-]caches failed: not synced: nodes, pods\ncheck failed\n"}}) {
    const HttpAnswer answer = Readyz(row.unsynced);
    EXPECT_EQ(answer.status, row.status) << row.body;
    EXPECT_EQ(answer.body, row.body);
  }
}

}  // namespace
}  // namespace spillway
