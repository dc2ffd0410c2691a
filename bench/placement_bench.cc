// How long a plan takes from scratch, what a snapshot takes in memory, and how fast its text is
// written and read.
//
//   placement_bench --benchmark_filter=MakePlan
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>
#include <string>

#include "placement/plan.h"
#include "worlds.h"

namespace spillway::bench {
namespace {

using placement::MakePlan;
using placement::Plan;
using placement::PoolDecision;
using placement::Snapshot;

// What malloc has given out and not got back, its own overhead included.
double BytesInUse() {
  const auto info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

int64_t Placed(const Plan& plan) {
  return std::count_if(plan.pools.begin(), plan.pools.end(),
                       [](const PoolDecision& pool) { return pool.placed; });
}

// The worlds are what they say they are: as many pools find a place as are meant to.
bool IsAsMeant(const Size& size, Load load, const Plan& plan) {
  const int64_t wanted = load == Load::kAllFit ? size.pools : size.pools - size.pools / 10;
  return Placed(plan) == wanted && std::ssize(plan.pools) == size.pools;
}

void PlanFromScratch(benchmark::State& state, const Size& size, Load load) {
  const Snapshot world = MakeWorld(size, load);
  if (!IsAsMeant(size, load, MakePlan(world))) state.SkipWithError("not the world that was meant");
  for (auto step : state) {
    Plan plan = MakePlan(world);
    benchmark::DoNotOptimize(plan);
    state.PauseTiming();
    plan = Plan();
    state.ResumeTiming();
  }
}

void SnapshotMemory(benchmark::State& state, const Size& size) {
  for (auto step : state) {
    const double before = BytesInUse();
    Snapshot world = MakeWorld(size, Load::kAllFit);
    benchmark::DoNotOptimize(world);
    int64_t workers = 0;
    for (const auto& pool : world.pools) workers += std::ssize(pool.workers);
    state.counters["MiB"] = (BytesInUse() - before) / (1 << 20);
    state.counters["pods"] = static_cast<double>(workers);
  }
}

void WriteText(benchmark::State& state, const Size& size) {
  const Snapshot world = MakeWorld(size, Load::kAllFit);
  int64_t bytes = 0;
  for (auto step : state) bytes += std::ssize(WriteSnapshot(world));
  state.SetBytesProcessed(bytes);
}

void ReadText(benchmark::State& state, const Size& size) {
  const std::string text = WriteSnapshot(MakeWorld(size, Load::kAllFit));
  for (auto step : state) {
    if (!placement::ReadSnapshot(text)) state.SkipWithError("what was written can't be read");
  }
  state.SetBytesProcessed(state.iterations() * std::ssize(text));
}

void Register() {
  for (const Size& size : kSizes) {
    const std::string name(size.name);
    const auto plan = [&](const std::string& load_name, Load load) {
      benchmark::RegisterBenchmark(
          ("MakePlan/" + name + "/" + load_name).c_str(),
          [&size, load](benchmark::State& state) { PlanFromScratch(state, size, load); })
          ->Unit(benchmark::kMillisecond);
    };
    plan("fit", Load::kAllFit);
    plan("contended", Load::kAllContended);
    const auto other = [&](const std::string& what, void (*run)(benchmark::State&, const Size&)) {
      return benchmark::RegisterBenchmark(
                 (what + "/" + name).c_str(),
                 [&size, run](benchmark::State& state) { run(state, size); })
          ->Unit(benchmark::kMillisecond);
    };
    other("SnapshotMemory", SnapshotMemory)->Iterations(1);
    if (size.name == "limit") continue;  // minutes
    other("WriteSnapshot", WriteText);
    other("ReadSnapshot", ReadText);
  }
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) {
  spillway::bench::Register();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
