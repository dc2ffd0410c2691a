// How long a plan takes from scratch, and the cheapest mix of one pool; what a snapshot takes in
// memory, and how fast its text is written and read.
//
//   placement_bench --benchmark_filter=MakePlan
//   bench/growth.py draws docs/pictures/growth.svg from --benchmark_filter=Growth
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include "placement/mixes.h"
#include "placement/plan.h"
#include "placement/replan.h"
#include "worlds.h"

namespace spillway::bench {
namespace {

using placement::InferencePool;
using placement::MakePlan;
using placement::Plan;
using placement::PoolDecision;
using placement::Replanner;
using placement::Snapshot;
using placement::TrainingPool;

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
  const bool contended = load == Load::kAllContended;
  const int64_t wanted = contended ? size.pools - size.pools / 10 : size.pools;
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

// The world as it is once its plan is carried out, and what that changes, and nothing else happens.
Snapshot AtRest(const Size& size) {
  Snapshot world = MakeWorld(size, Load::kAllContended);
  for (int pass = 0; pass < 3; ++pass) world = Applied(world, MakePlan(world));
  return world;
}

// A worker of the pool is not ready any more, or is again, at the same moment.
Replanner::Effort TurnOneWorker(Replanner& replanner, size_t pool) {
  const Snapshot& last = replanner.Last();
  std::vector<TrainingPool> changed = {last.pools[pool]};
  placement::Worker& worker = changed.front().workers.front();
  worker.ready = !worker.ready;
  benchmark::DoNotOptimize(&replanner.Replan(last.now, std::move(changed)));
  return replanner.Took();
}

// One running gang after the other has changed, of a hundred those whose change no other decision
// follows from; how many these are. The snapshot is kept up with that.
void ReplanOneGang(benchmark::State& state, const Size& size) {
  Replanner replanner;
  replanner.Replan(AtRest(size));
  std::vector<size_t> alone;
  int looked_at = 0;
  for (size_t p = 0; p < replanner.Last().pools.size() && looked_at < 100; ++p) {
    if (replanner.Last().pools[p].workers.empty()) continue;
    ++looked_at;
    if (TurnOneWorker(replanner, p) != Replanner::Effort::kAll) alone.push_back(p);
  }
  size_t turn = 0;
  for (auto step : state) {
    if (TurnOneWorker(replanner, alone[turn++ % alone.size()]) == Replanner::Effort::kAll) {
      return state.SkipWithError("another decision followed from it");
    }
  }
  state.counters["alone_of_100"] = static_cast<double>(alone.size());
}

// The same where it is shown the whole snapshot, and looks for what has changed; or nothing has.
void ReplanSnapshot(benchmark::State& state, const Size& size, bool one_gang) {
  Snapshot world = AtRest(size);
  Replanner replanner;
  replanner.Replan(world);
  int64_t whole = 0;
  for (auto step : state) {
    state.PauseTiming();
    const auto pool = std::ranges::find_if(
        world.pools, [](const TrainingPool& one) { return !one.workers.empty(); });
    if (one_gang) pool->workers.front().ready = !pool->workers.front().ready;
    Snapshot shown = world;
    state.ResumeTiming();
    benchmark::DoNotOptimize(&replanner.Replan(std::move(shown)));
    whole += replanner.Took() == Replanner::Effort::kAll ? 1 : 0;
  }
  state.counters["whole"] = static_cast<double>(whole);
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

// CPU time of this process.
double Milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// Of sorted values, the one that so many percent do not exceed.
double Percentile(const std::vector<double>& sorted, size_t percent) {
  return sorted[(sorted.size() - 1) * percent / 100];
}

// A pass over inference pools that have all that they want, but for every `every`-th.
void ServeAnew(benchmark::State& state, size_t every) {
  constexpr int kPools = 500;
  Snapshot world = MakeServingWorld(kPools);
  if (every > 0) ChangeDemand(world, every);
  int64_t changed = 0;
  for (auto step : state) {
    Plan plan = MakePlan(world);
    benchmark::DoNotOptimize(plan);
    state.PauseTiming();
    changed = std::ranges::count_if(plan.inference_pools, [&](const auto& decision) {
      const auto pool = std::ranges::find(world.inference_pools, decision.key, &InferencePool::key);
      return decision.memory.cells != pool->memory.cells;
    });
    plan = Plan();
    state.ResumeTiming();
  }
  state.counters["changed"] = static_cast<double>(changed);
}

// One question after another, no two alike. Of each the least of five: what others do on the
// machine meanwhile makes some of them longer.
void SolveMixes(benchmark::State& state, const MixSize& size) {
  std::vector<double> took;
  uint32_t seed = 0;
  for (auto step : state) {
    state.PauseTiming();
    const placement::MixProblem problem = MakeMixProblem(size, seed++);
    state.ResumeTiming();
    double least = 0;
    for (int run = 0; run < 5; ++run) {
      const double start = Milliseconds();
      const placement::Mix mix = CheapestMix(problem);
      const double took_now = Milliseconds() - start;
      least = run == 0 ? took_now : std::min(least, took_now);
      if (mix.rounded || mix.shortage > 0) return state.SkipWithError("not exact, or not enough");
    }
    took.push_back(least);
  }
  std::sort(took.begin(), took.end());
  state.counters["p50_ms"] = Percentile(took, 50);
  state.counters["p99_ms"] = Percentile(took, 99);
  state.counters["most_ms"] = took.back();
}

void RegisterMixes() {
  for (const MixSize& size : kMixSizes) {
    benchmark::RegisterBenchmark(("CheapestMix/" + std::string(size.name)).c_str(),
                                 [&size](benchmark::State& state) { SolveMixes(state, size); })
        ->Unit(benchmark::kMillisecond);
  }
}

void RegisterPlans(const std::string& name, const Size& size) {
  const auto plan = [&](const std::string& load_name, Load load) {
    benchmark::RegisterBenchmark(
        (name + "/" + std::string(size.name) + "/" + load_name).c_str(),
        [&size, load](benchmark::State& state) { PlanFromScratch(state, size, load); })
        ->Unit(benchmark::kMillisecond);
  };
  plan("fit", Load::kAllFit);
  if (name == "MakePlan") plan("fit_small", Load::kAllFitSmall);
  plan("contended", Load::kAllContended);
}

void RegisterServing() {
  const auto serve = [](const char* name, size_t every) {
    benchmark::RegisterBenchmark(name, [every](benchmark::State& state) {
      ServeAnew(state, every);
    })->Unit(benchmark::kMillisecond);
  };
  serve("Serving/500/unchanged", 0);
  serve("Serving/500/tenth", 10);
  serve("Serving/500/all", 1);
}

void Register() {
  for (const Size& size : kGrowth) RegisterPlans("Growth", size);
  for (const Size& size : kSizes) {
    const std::string name(size.name);
    RegisterPlans("MakePlan", size);
    const auto other = [&](const std::string& what, void (*run)(benchmark::State&, const Size&)) {
      return benchmark::RegisterBenchmark(
                 (what + "/" + name).c_str(),
                 [&size, run](benchmark::State& state) { run(state, size); })
          ->Unit(benchmark::kMillisecond);
    };
    other("Replan/told", ReplanOneGang);
    other("Replan/one_gang",
          [](benchmark::State& state, const Size& of) { ReplanSnapshot(state, of, true); });
    other("Replan/nothing",
          [](benchmark::State& state, const Size& of) { ReplanSnapshot(state, of, false); });
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
  spillway::bench::RegisterServing();
  spillway::bench::RegisterMixes();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
