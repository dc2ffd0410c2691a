// What a pass costs in which there is nothing to do, by how many pools run: each has its Job and
// its PodDisruptionBudget, both of which are held against what they are meant to be. The loop is
// the operator's own; the API server is one in the process, and has nothing to do meanwhile.
#include <benchmark/benchmark.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <thread>

#include "base/log.h"
#include "base/metrics.h"
#include "controllers/loop.h"
#include "controllers/watching.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"

namespace spillway::bench {
namespace {

using Json = nlohmann::json;

constexpr int kPerNode = 8;
constexpr auto kLongest = std::chrono::minutes(10);

Json NodeJson(int index) {
  const std::string name = "node-" + std::to_string(index);
  return {{"apiVersion", "v1"},
          {"kind", "Node"},
          {"metadata",
           {{"name", name}, {"labels", {{"group", "home"}, {"kubernetes.io/hostname", name}}}}},
          {"status",
           {{"allocatable",
             {{"cpu", "96"}, {"memory", "1000Gi"}, {"pods", "110"}, {"nvidia.com/gpu", kPerNode}}},
            {"conditions",
             {{{"type", "Ready"},
               {"status", "True"},
               {"lastTransitionTime", "2026-11-23T00:00:00Z"}}}}}}};
}

Json GroupJson() {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "NodeGroup"},
          {"metadata", {{"name", "home"}}},
          {"spec",
           {{"provider", "OnPrem"},
            {"selector", {{"matchLabels", {{"group", "home"}}}}},
            {"accelerator",
             {{"type", "nvidia-a100-80gb"}, {"resource", "nvidia.com/gpu"}, {"perNode", kPerNode}}},
            {"capacityType", "Owned"},
            {"cost", {{"perNodeHour", "32.77"}}}}}};
}

// One worker with one accelerator.
Json PoolJson(int index) {
  const Json container = {{"name", "trainer"},
                          {"image", "pytorch"},
                          {"resources", {{"requests", {{"cpu", "4"}, {"memory", "8Gi"}}}}}};
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "TrainingPool"},
          {"metadata", {{"name", "pool-" + std::to_string(index)}, {"namespace", "lab"}}},
          {"spec",
           {{"workers", 1},
            {"acceleratorsPerWorker", 1},
            {"accelerators", {{{"type", "nvidia-a100-80gb"}}}},
            {"template", {{"spec", {{"containers", {container}}}}}}}}};
}

controllers::Settings Enforcing() {
  controllers::Settings settings;
  settings.mode = controllers::Mode::kEnforce;
  return settings;
}

// The operator but its process, and a cluster that has room for all pools.
class Operator {
 public:
  explicit Operator(int pools) {
    stores_.SetOnAdvance([this] { loop_.Advanced(); });
    server_.Put(GroupJson());
    for (int i = 0; i < (pools + kPerNode - 1) / kPerNode; ++i) server_.Put(NodeJson(i));
    for (int i = 0; i < pools; ++i) server_.Put(PoolJson(i));
  }
  ~Operator() {
    watching_.Stop();
    templates_.Stop();
  }

  // Until every pool has both, and passes write nothing more.
  bool Settle(size_t pools) {
    watching_.Start();
    if (!support::Eventually([&] { return stores_.Unsynced().empty(); }, kLongest)) return false;
    {
      std::jthread running([this](const std::stop_token& stop) { loop_.Run(stop, stop); });
      const auto settled = [&] {
        if (stores_.jobs.size() < pools || stores_.disruption_budgets.size() < pools) return false;
        clock_.Advance(std::chrono::seconds(5));  // numbers in statuses are written in time
        loop_.MarkDirty();
        const size_t before = server_.Writes().size();
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        return server_.Writes().size() == before;
      };
      if (!support::Eventually(settled, kLongest)) return false;
    }
    writes_ = server_.Writes().size();
    return true;
  }
  void Pass() { loop_.Pass(stop_.get_token()); }
  bool HasWritten() { return server_.Writes().size() != writes_; }

 private:
  std::stop_source stop_;
  support::FakeClock clock_;
  Log log_{LogLevel::kError, true};
  MetricsRegistry registry_;
  support::FakeApiServer server_{clock_};
  kube::Client client_{server_, clock_, {.user_agent = "pass_bench"}};
  controllers::Stores stores_{[this] { loop_.MarkDirty(); }};
  controllers::TemplateChecker templates_{client_, clock_, log_, [this] { loop_.MarkDirty(); }};
  controllers::Metrics metrics_{registry_};
  controllers::Loop loop_{stores_,
                          client_,
                          clock_,
                          log_,
                          metrics_,
                          templates_,
                          Enforcing(),
                          {.leading = [] { return true; },
                           .event = [](const controllers::EventNote&) {},
                           .snapshot_wanted = {}},
                          {}};
  controllers::Watching watching_{stores_, client_, clock_, log_, registry_};
  size_t writes_ = 0;
};

void PassWithNothingToDo(benchmark::State& state) {
  const auto pools = static_cast<int>(state.range(0));
  Operator all(pools);
  if (!all.Settle(static_cast<size_t>(pools))) {
    state.SkipWithError("the pools do not settle");
    return;
  }
  for (auto _ : state) all.Pass();
  if (all.HasWritten()) state.SkipWithError("there was something to do");
}
BENCHMARK(PassWithNothingToDo)->Arg(100)->Arg(1'000)->Arg(12'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace spillway::bench

BENCHMARK_MAIN();
