// The work queue: what a key costs from Add to Done, alone and among others that wait.

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "kube/work_queue.h"

namespace {

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

}  // namespace

BENCHMARK_MAIN();
