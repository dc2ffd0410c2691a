// The work queue: what a key costs from Add to Done, alone, among others that wait, and where each
// key's turn reads three objects of a store.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kube/store.h"
#include "kube/types/pod.h"
#include "kube/work_queue.h"

namespace {

namespace kube = spillway::kube;
using spillway::SystemClock;
using spillway::kube::WorkQueue;

std::vector<std::string> Keys(int64_t count) {
  std::vector<std::string> keys;
  keys.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    keys.push_back("TrainingPool team-" + std::to_string(i % 100) + "/run-" + std::to_string(i));
  }
  return keys;
}

// So many keys are added, and then each is taken and done.
void AddGetDone(benchmark::State& state) {
  SystemClock clock;
  WorkQueue queue(clock, {}, {});
  const std::vector<std::string> keys = Keys(state.range(0));
  for (auto _ : state) {
    for (const std::string& key : keys) queue.Add(key, 1);
    for (size_t i = 0; i < keys.size(); ++i) queue.Done(*queue.Get(0));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(AddGetDone)->Arg(1)->Arg(100)->Arg(12'000);

// Likewise, while so many others wait for their time.
void AmongRetries(benchmark::State& state) {
  SystemClock clock;
  WorkQueue queue(clock, {}, {});
  for (const std::string& key : Keys(state.range(0))) queue.Add(key, 0, std::chrono::hours(1));
  const std::string key = "TrainingPool team-x/run-x";
  for (auto _ : state) {
    queue.Add(key, 1);
    queue.Done(*queue.Get(0));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(AmongRetries)->Arg(12'000);

constexpr int kPodsOfKey = 3;

std::string NameOf(const std::string& pool, int pod) {
  return pool + "-train-1-" + std::to_string(pod);
}

// Three pods for each key.
void Fill(kube::Store<kube::KeptPod>& store, int64_t keys) {
  kube::PodKeeper keeper("spillway.dev/");
  std::vector<std::shared_ptr<const kube::KeptPod>> pods;
  for (int64_t i = 0; i < keys; ++i) {
    for (int pod = 0; pod < kPodsOfKey; ++pod) {
      kube::Pod whole;
      whole.meta.ns = "team-" + std::to_string(i % 100);
      whole.meta.name = NameOf("run-" + std::to_string(i), pod);
      whole.meta.resource_version = "1";
      whole.meta.labels["spillway.dev/pool-uid"] = "uid-" + std::to_string(i);  // one of ours
      whole.node = "node-" + std::to_string(i / 8);
      whole.phase = kube::PodPhase::kRunning;
      pods.push_back(std::make_shared<const kube::KeptPod>(keeper.Keep(std::move(whole))));
    }
  }
  store.Replace(std::move(pods), "1");
}

// So many keys are due at once; whoever has one reads its three objects, and finds nothing to do.
void NothingToReconcile(benchmark::State& state) {
  SystemClock clock;
  WorkQueue queue(clock, {}, {});
  kube::Store<kube::KeptPod> store([] {});
  Fill(store, state.range(0));
  const std::vector<std::string> keys = Keys(state.range(0));
  for (auto _ : state) {
    for (const std::string& key : keys) queue.Add(key, 1);
    int running = 0;
    for (size_t i = 0; i < keys.size(); ++i) {
      const std::string& key = *queue.Get(0);
      const size_t slash = key.find('/');
      const std::string of = key.substr(key.find(' ') + 1, slash - key.find(' '));
      for (int pod = 0; pod < kPodsOfKey; ++pod) {
        const auto there = store.Get(of + NameOf(key.substr(slash + 1), pod));
        if (there && there->own && there->own->UsesNode()) ++running;
      }
      queue.Done(key);
    }
    if (running != kPodsOfKey * state.range(0)) state.SkipWithError("an object is not there");
  }
}
BENCHMARK(NothingToReconcile)->Arg(12'000)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
