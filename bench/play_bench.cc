// Plays recorded tasks with Spillway's planner, with some of its rules off, and with simpler
// planners; prints the tables of docs/placement.md. The Alibaba GPU trace is read from the folder
// SPILLWAY_TRACES. With --check: plays a few invented tasks, and prints what is wrong, if anything.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "baselines.h"
#include "placement/play.h"
#include "traces.h"

namespace spillway::bench {
namespace {

using placement::Arrival;
using placement::GangRecord;
using placement::GangState;
using placement::Planner;
using placement::PlayRecord;
using placement::Snapshot;
using placement::TrainingPool;

constexpr Seconds kReleaseAfter{600};
constexpr double kShortest = 600;  // of a bounded slowdown, in seconds

struct Policy {
  std::string name;
  Planner planner = placement::VerifiedPlan;
  std::function<void(TrainingPool&)> edit = [](TrainingPool&) {};
  bool needs_home = true;
};

// A baseline's plan, which has to hold what Spillway's has to.
Planner Checked(placement::Plan (*baseline)(const Snapshot&)) {
  return [baseline](const Snapshot& snapshot) -> Result<placement::Plan> {
    placement::Plan plan = baseline(snapshot);
    if (Status sound = Verify(snapshot, plan); !sound) return std::move(sound).error();
    return plan;
  };
}

// Of a policy that knows no hold-back.
void SpillAtOnce(TrainingPool& pool) { pool.spill_after = Seconds{0}; }

std::vector<Policy> Policies() {
  return {
      {.name = "Spillway"},
      {.name = "first fit by tier", .planner = Checked(FirstFitByTier), .edit = SpillAtOnce},
      {.name = "EASY without price", .planner = Checked(EasyWithoutPrice), .edit = SpillAtOnce},
      {.name = "queue heads (Kueue)", .planner = Checked(QueueHeads), .edit = SpillAtOnce},
      {.name = "home only", .edit = [](TrainingPool& pool) { pool.spill_allowed = false; }},
      {.name = "cloud only",
       .edit =
           [](TrainingPool& pool) {
             pool.providers = {placement::Provider::kAzure, placement::Provider::kAws};
             SpillAtOnce(pool);
           },
       .needs_home = false},
  };
}

std::vector<Policy> RulesOff() {
  return {
      {.name = "Spillway"},
      {.name = "no hold-back (rule 5)", .edit = SpillAtOnce},
      {.name = "no return (rule 9)",
       .edit = [](TrainingPool& pool) { pool.return_home = placement::ReturnHome::kNever; }},
      {.name = "no preemption (rule 6)",
       .edit = [](TrainingPool& pool) { pool.preempts = placement::Preempts::kNever; }},
      {.name = "no priorities (rule 1)", .edit = [](TrainingPool& pool) { pool.priority = 0; }},
      {.name = "no deadlines, so no reservations (rule 7)",
       .edit = [](TrainingPool& pool) { pool.active_deadline.reset(); }},
  };
}

// ---- what a play is measured by ----

enum Measure {
  kBill,
  kBillMore,  // than the first policy's, in percent
  kCloudBill,
  kIdlePercent,
  kJain,
  kUseful,
  kLost,
  kOverhead,
  kReserved,
  kMoves,
  kEvictions,
  kFailed,
  kSlowdowns,  // from here on: p50, p95 and p99 of each size
};
constexpr size_t kSizes = 3;
constexpr size_t kMeasures = kSlowdowns + 3 * kSizes;
using Values = std::vector<double>;

// 1 accelerator, up to a node's 8, more.
size_t SizeOf(const GangRecord& gang, const Arrival& arrival) {
  const int64_t accelerators =
      std::max<int64_t>(gang.accelerators, int64_t{arrival.pool.per_worker} *
                                               arrival.pool.accelerators.front().workers);
  if (accelerators <= 1) return 0;
  return accelerators <= 8 ? 1 : 2;
}

double SlowdownOf(const GangRecord& gang, Time end) {
  const auto there = static_cast<double>((gang.ended.value_or(end) - gang.arrived).count());
  const auto work = static_cast<double>(gang.runs_for.count());
  return std::max(there / std::max(work, kShortest), 1.0);
}

double Percentile(std::vector<double> values, int percent) {
  if (values.empty()) return 1;
  std::sort(values.begin(), values.end());
  return values[(values.size() * static_cast<size_t>(percent) + 99) / 100 - 1];
}

double Jain(const std::map<std::string, std::vector<double>>& by_tenant) {
  double sum = 0;
  double squares = 0;
  for (const auto& [ns, slowdowns] : by_tenant) {
    double mean = 0;
    for (const double one : slowdowns) mean += one / static_cast<double>(slowdowns.size());
    sum += mean;
    squares += mean * mean;
  }
  return sum * sum / (static_cast<double>(by_tenant.size()) * squares);
}

double Hours(int64_t seconds) { return static_cast<double>(seconds) / 3600; }

void MeasureGangs(const PlayRecord& record, const std::vector<Arrival>& arrivals, Values& values) {
  std::map<placement::PoolKey, const Arrival*> by_key;
  for (const Arrival& arrival : arrivals) by_key[arrival.pool.key] = &arrival;
  std::vector<std::vector<double>> by_size(kSizes);
  std::map<std::string, std::vector<double>> by_tenant;
  for (const GangRecord& gang : record.gangs) {
    values[kUseful] += Hours(gang.useful);
    values[kLost] += Hours(gang.lost);
    values[kOverhead] += Hours(gang.overhead);
    values[kMoves] += gang.moves;
    values[kEvictions] = std::max<double>(values[kEvictions], gang.preemptions);
    if (gang.state != GangState::kCompleted) values[kFailed] += 1;
    const double slowdown = SlowdownOf(gang, record.ended);
    by_size[SizeOf(gang, *by_key.at(gang.key))].push_back(slowdown);
    by_tenant[gang.key.ns].push_back(slowdown);
  }
  values[kJain] = Jain(by_tenant);
  for (size_t size = 0; size < kSizes; ++size) {
    for (size_t i = 0; i < 3; ++i) {
      values[kSlowdowns + 3 * size + i] =
          Percentile(by_size[size], std::vector<int>{50, 95, 99}[i]);
    }
  }
}

// Home costs the same whatever the policy: from the beginning until the last play of all policies
// has ended.
void MeasureNodes(const PlayRecord& record, const Snapshot& start, Time end, bool needs_home,
                  Values& values) {
  double paid = 0;
  double used = 0;
  for (const placement::GroupRecord& group : record.groups) {
    values[kReserved] += Hours(group.reserved);
    const bool home = group.tier == 0;
    if (home && !needs_home) continue;
    const auto spec =
        std::find_if(start.groups.begin(), start.groups.end(),
                     [&](const placement::NodeGroup& one) { return one.name == group.name; });
    const double hours =
        home ? group.nodes * Hours((end - record.began).count()) : Hours(group.node_seconds);
    const double bill = hours * spec->per_node_hour.Float();
    values[kBill] += bill;
    if (!home) values[kCloudBill] += bill;
    paid += 8 * hours;
    used += Hours(group.used);
  }
  values[kIdlePercent] = paid > 0 ? 100 * (paid - used) / paid : 0;
}

// Of the policies, measure by measure; or what went wrong.
Result<std::vector<Values>> Compare(const Scenario& scenario, const std::vector<Policy>& policies) {
  std::vector<PlayRecord> records;
  Time end = scenario.start.now;
  placement::PlayRules rules;
  rules.release_after = kReleaseAfter;
  for (const Policy& policy : policies) {
    std::vector<Arrival> arrivals = scenario.arrivals;
    for (Arrival& arrival : arrivals) policy.edit(arrival.pool);
    auto record = Play(scenario.start, arrivals, policy.planner, rules);
    if (!record) return std::move(record).error().While(policy.name);
    end = std::max(end, record->ended);
    records.push_back(*std::move(record));
  }
  std::vector<Values> out;
  for (size_t p = 0; p < policies.size(); ++p) {
    Values& values = out.emplace_back(kMeasures);
    MeasureGangs(records[p], scenario.arrivals, values);
    MeasureNodes(records[p], scenario.start, end, policies[p].needs_home, values);
    values[kBillMore] = 100 * (values[kBill] / out.front()[kBill] - 1);
  }
  return out;
}

// ---- tables ----

constexpr uint32_t kSeeds = 20;
constexpr double kStudent = 2.093;  // of 19 degrees of freedom, two-sided 95 %

// The mean, and half of its 95 % interval.
std::string Mean(const std::vector<std::vector<Values>>& by_seed, size_t policy, size_t measure,
                 int decimals) {
  const auto count = static_cast<double>(by_seed.size());
  double mean = 0;
  for (const auto& seed : by_seed) mean += seed[policy][measure] / count;
  double variance = 0;
  for (const auto& seed : by_seed) {
    variance += std::pow(seed[policy][measure] - mean, 2) / (count - 1);
  }
  return fmt::format("{:.{}f} ± {:.{}f}", mean, decimals, kStudent * std::sqrt(variance / count),
                     decimals);
}

struct Column {
  std::string title;
  size_t measure = 0;
  int decimals = 0;
};

void Print(const std::vector<std::vector<Values>>& by_seed, const std::vector<Policy>& policies,
           const std::vector<Column>& columns) {
  std::string head = "| policy |";
  std::string line = "|---|";
  for (const Column& column : columns) {
    head += fmt::format(" {} |", column.title);
    line += "---|";
  }
  fmt::print("{}\n{}\n", head, line);
  for (size_t p = 0; p < policies.size(); ++p) {
    fmt::print("| {} |", policies[p].name);
    for (const Column& column : columns) {
      fmt::print(" {} |", Mean(by_seed, p, column.measure, column.decimals));
    }
    fmt::print("\n");
  }
  fmt::print("\n");
}

void PrintAll(const std::vector<std::vector<Values>>& by_seed,
              const std::vector<Policy>& policies) {
  Print(by_seed, policies,
        {{"bill, USD", kBill, 0},
         {"more than Spillway, %", kBillMore, 1},
         {"of it cloud", kCloudBill, 0},
         {"idle, %", kIdlePercent, 1},
         {"Jain", kJain, 3},
         {"useful, acc.-h", kUseful, 0},
         {"lost, acc.-h", kLost, 2},
         {"starting and stopping, acc.-h", kOverhead, 1},
         {"reserved, acc.-h", kReserved, 1},
         {"moves", kMoves, 1},
         {"worst evictions", kEvictions, 1},
         {"failed", kFailed, 1}});
  std::vector<Column> slowdowns;
  const std::vector<std::string> sizes = {"1", "2–8", "> 8"};
  for (size_t size = 0; size < kSizes; ++size) {
    for (size_t i = 0; i < 3; ++i) {
      slowdowns.push_back(
          {.title = fmt::format("{}: p{}", sizes[size], std::vector<int>{50, 95, 99}[i]),
           .measure = kSlowdowns + 3 * size + i,
           .decimals = 2});
    }
  }
  Print(by_seed, policies, slowdowns);
}

int Fail(const Error& error) {
  fmt::print(stderr, "play_bench: {}\n", error.message);
  return 1;
}

struct Input {
  std::vector<Task> tasks;
  std::vector<Shape> shapes;
};

Result<Input> ReadInput() {
  const auto pods = ReadTrace("openb_pod_list_default.csv");
  if (!pods) return pods.error();
  const auto nodes = ReadTrace("openb_node_list_all_node.csv");
  if (!nodes) return nodes.error();
  auto tasks = ReadTasks(*pods);
  if (!tasks) return tasks.error();
  auto shapes = ReadShapes(*nodes);
  if (!shapes) return shapes.error();
  return Input{.tasks = *std::move(tasks), .shapes = *std::move(shapes)};
}

int Measure(const Input& input, const std::vector<Policy>& policies, const Extent& extent,
            double load) {
  std::vector<std::vector<Values>> by_seed;
  for (uint32_t seed = 1; seed <= kSeeds; ++seed) {
    auto values = Compare(MakeScenario(input.tasks, input.shapes, extent, load, seed), policies);
    if (!values) return Fail(std::move(values).error().While(fmt::format("seed {}", seed)));
    by_seed.push_back(*std::move(values));
  }
  PrintAll(by_seed, policies);
  return 0;
}

int MeasureAll() {
  const auto input = ReadInput();
  if (!input) return Fail(input.error());
  struct Case {
    std::string title;
    std::vector<Policy> policies;
    Extent extent;
    double load = 0;
  };
  const Extent large;
  const Extent small{.cloud_nodes = 2};
  for (const Case& one : std::vector<Case>{
           {"Offered load 0.7 of home", Policies(), large, 0.7},
           {"Offered load 0.95 of home", Policies(), large, 0.95},
           {"Offered load 1.2 of home", Policies(), large, 1.2},
           {"Offered load 1.2 of home, two nodes in each cloud", Policies(), small, 1.2},
           {"Rules off, offered load 0.95 of home", RulesOff(), large, 0.95},
           {"Rules off, offered load 1.2 of home, two nodes in each cloud", RulesOff(), small, 1.2},
       }) {
    fmt::print("### {}\n\n", one.title);
    const int failed = Measure(*input, one.policies, one.extent, one.load);
    if (failed != 0) return failed;
  }
  return 0;
}

// All end, what they asked for is done, and the same comes out of it twice.
int Check() {
  const Extent extent{.home_nodes = 2, .cloud_nodes = 4, .tasks = 60};
  const Scenario scenario = MakeScenario(InventedTasks(), InventedShapes(), extent, 1.2, 1);
  double asked = 0;
  for (const Arrival& arrival : scenario.arrivals) {
    asked += Hours(arrival.runs_for.count() * arrival.pool.per_worker *
                   arrival.pool.accelerators.front().workers);
  }
  for (const auto& policies : {Policies(), RulesOff()}) {
    const auto values = Compare(scenario, policies);
    if (!values) return Fail(values.error());
    for (size_t p = 0; p < policies.size(); ++p) {
      const Values& of = (*values)[p];
      const bool home_only = policies[p].name == "home only";
      const bool whole = of[kFailed] == 0 && std::abs(of[kUseful] - asked) < 1e-6;
      if (!whole && !home_only) {
        return Fail({Code::kInternal,
                     fmt::format("{}: {} gangs did not complete; {} of {} accelerator-hours",
                                 policies[p].name, of[kFailed], of[kUseful], asked)});
      }
    }
    const auto again = Compare(scenario, policies);
    if (!again || *again != *values) return Fail({Code::kInternal, "another play, other numbers"});
  }
  return 0;
}

int Main(int argc, char** argv) {
  const std::string asked = argc > 1 ? argv[1] : "";
  return asked == "--check" ? Check() : MeasureAll();
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) { return spillway::bench::Main(argc, argv); }
