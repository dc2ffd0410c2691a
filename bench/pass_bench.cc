// What a pass costs in which there is nothing to do. By how many pools run: each has its Job and
// its PodDisruptionBudget, both of which are held against what they are meant to be. And by how
// many nodes there are with pods of others, beside a hundred pools. The loop is the operator's own;
// the API server is one in the process, and has nothing to do meanwhile.
#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "controllers/loop.h"
#include "controllers/names.h"
#include "controllers/watching.h"
#include "kube/json.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"

namespace spillway::bench {
namespace {

using Json = nlohmann::json;

constexpr int kPerNode = 8;
constexpr int kFleetPools = 100;
constexpr int kPassesWithoutWrites = 3;
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

// With labels as clouds give them.
Json FleetNodeJson(int index) {
  Json node = NodeJson(index);
  Json& labels = node["metadata"]["labels"];
  labels["kubernetes.io/arch"] = "amd64";
  labels["kubernetes.io/os"] = "linux";
  labels["node.kubernetes.io/instance-type"] = "Standard_ND96amsr_A100_v4";
  labels["topology.kubernetes.io/region"] = "eastus";
  labels["topology.kubernetes.io/zone"] = "eastus-" + std::to_string(index % 3);
  labels["kubernetes.azure.com/agentpool"] = "a100";
  labels["kubernetes.azure.com/cluster"] = "MC_research_eastus";
  labels["kubernetes.azure.com/node-image-version"] = "AKSUbuntu-2204gen2containerd-202611.10.0";
  for (const char* pressure : {"MemoryPressure", "DiskPressure", "PIDPressure"}) {
    node["status"]["conditions"].push_back({{"type", pressure}, {"status", "False"}});
  }
  return node;
}

std::vector<std::shared_ptr<const kube::Node>> FleetNodes(int count) {
  kube::JsonParser parser;
  std::vector<std::shared_ptr<const kube::Node>> nodes;
  for (int i = 0; i < count; ++i) {
    const std::string text = FleetNodeJson(i).dump();
    kube::Node node;
    const bool read = kube::DecodeNode(*parser.Parse(text), controllers::kPrefix, node).ok();
    if (read) nodes.push_back(std::make_shared<const kube::Node>(std::move(node)));
  }
  return nodes;
}

// Of others, spread over the nodes; every tenth is a DaemonSet's.
std::vector<std::shared_ptr<const kube::KeptPod>> FleetPods(int count, int nodes) {
  kube::PodKeeper keeper(controllers::kPrefix);
  std::vector<std::shared_ptr<const kube::KeptPod>> pods;
  for (int i = 0; i < count; ++i) {
    kube::Pod pod;
    pod.meta.ns = "team-" + std::to_string(i % 50);
    pod.meta.name = "web-5d8f7c9b6d-" + std::to_string(i);
    pod.meta.resource_version = std::to_string(1'000'000 + i);
    pod.meta.controller.Own().kind = i % 10 == 0 ? "DaemonSet" : "ReplicaSet";
    pod.node = "node-" + std::to_string(i % nodes);
    pod.phase = kube::PodPhase::kRunning;
    pod.requests.Set(kCpu, int64_t{100} * (1 + i % 8));
    pod.requests.Set(kMemory, (int64_t{1} << 28) * (1 + i % 4));
    pod.requests.Set(kPods, 1);
    pods.push_back(std::make_shared<const kube::KeptPod>(keeper.Keep(std::move(pod))));
  }
  return pods;
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
  explicit Operator(int pools) : pools_(static_cast<size_t>(pools)) {
    stores_.SetOnAdvance([this] { loop_.Advanced(); });
    server_.Put(GroupJson());
    for (int i = 0; i < pools; ++i) server_.Put(PoolJson(i));
  }
  ~Operator() {
    watching_.Stop();
    templates_.Stop();
  }

  // The API server has no nodes but these.
  void PutNodes(int count) {
    for (int i = 0; i < count; ++i) server_.Put(NodeJson(i));
  }
  bool Start() {
    watching_.Start();
    return support::Eventually([&] { return stores_.Unsynced().empty(); }, kLongest);
  }
  // Past the API server, which would need many times their memory: it has no nodes and no pods, and
  // says nothing more about them. REQUIRES Start.
  void Fill(int nodes, int pods) {
    stores_.pods.Replace(FleetPods(pods, nodes), "1");
    stores_.nodes.Replace(FleetNodes(nodes), "1");
  }
  // Until every pool has both, and passes write nothing more.
  bool Settle() {
    {
      std::jthread running([this](const std::stop_token& stop) { loop_.Run(stop, stop); });
      if (!support::Eventually([this] { return HasAll() && IsQuiet(); }, kLongest)) return false;
    }
    watching_.Stop();
    writes_ = server_.Writes().size();
    return true;
  }
  void Pass() { loop_.Pass(stop_.get_token()); }
  bool HasWritten() { return server_.Writes().size() != writes_; }

 private:
  bool HasAll() const {
    return stores_.jobs.size() >= pools_ && stores_.disruption_budgets.size() >= pools_;
  }
  bool IsQuiet() {
    const size_t before = server_.Writes().size();
    for (int i = 0; i < kPassesWithoutWrites; ++i) {
      clock_.Advance(std::chrono::seconds(5));  // numbers in statuses are written in time
      const int passes = passes_;
      loop_.MarkDirty();
      if (!support::Eventually([&] { return passes_ > passes; }, kLongest)) return false;
    }
    return server_.Writes().size() == before;
  }

  const size_t pools_;
  std::atomic<int> passes_ = 0;
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
                          {.leading = [this] { return ++passes_ > 0; },
                           .event = [](const controllers::EventNote&) {},
                           .snapshot_wanted = {}},
                          {}};
  controllers::Watching watching_{stores_, client_, clock_, log_, registry_};
  size_t writes_ = 0;
};

void Measure(Operator& all, benchmark::State& state) {
  if (!all.Settle()) {
    state.SkipWithError("the pools do not settle");
    return;
  }
  while (state.KeepRunning()) all.Pass();
  if (all.HasWritten()) state.SkipWithError("there was something to do");
}

void PassWithNothingToDo(benchmark::State& state) {
  const auto pools = static_cast<int>(state.range(0));
  Operator all(pools);
  all.PutNodes((pools + kPerNode - 1) / kPerNode);
  if (!all.Start()) return state.SkipWithError("the stores do not fill");
  Measure(all, state);
}
BENCHMARK(PassWithNothingToDo)->Arg(100)->Arg(1'000)->Arg(12'000)->Unit(benchmark::kMillisecond);

// By nodes, and pods of others on them.
void PassOverAFleet(benchmark::State& state) {
  Operator all(kFleetPools);
  if (!all.Start()) return state.SkipWithError("the stores do not fill");
  all.Fill(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  Measure(all, state);
}
BENCHMARK(PassOverAFleet)
    ->Args({540, 5'400})
    ->Args({5'400, 54'000})
    ->Args({100'000, 0})
    ->Args({100'000, 1'000'000})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace spillway::bench

BENCHMARK_MAIN();
