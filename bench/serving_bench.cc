// Follows an hour of recorded requests with Spillway's planner and with simpler ways; prints the
// tables of docs/placement.md on serving. The Azure LLM inference trace is read from the folder
// SPILLWAY_TRACES. With --check: follows invented ones, and prints what is wrong, if anything.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "serving.h"
#include "serving_policies.h"
#include "traces.h"

namespace spillway::bench {
namespace {

using placement::Throughput;

constexpr Seconds kHour{3600};
// Utilizations that are aimed at, in percent, and for how long what is not needed is kept. Tables
// have the round ones.
constexpr std::array<int, 11> kTargets = {50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100};
bool IsShown(int target) { return target % 10 == 0; }
constexpr std::array<Seconds, 2> kWindows = {Seconds{300}, Seconds{600}};

// What the hour is made into.
struct Scenario {
  std::string title;
  int times = 10;  // a request stands for so many
  int64_t stretch = 1;
  int azure = 56;  // A100s in the cloud for each ten of `times`
  int aws = 16;    // Gravitons likewise
};
// The first ones have more A100s than any policy needs.
std::vector<Scenario> Scenarios() {
  return {
      {.title = "× 10, as an hour"},
      {.title = "× 100, as an hour", .times = 100},
      {.title = "× 10, drawn out to ten hours", .stretch = 10},
      {.title = "× 100, drawn out to ten hours", .times = 100, .stretch = 10},
      {.title = "× 10, as an hour, 8 A100s in the cloud", .azure = 8, .aws = 320},
      {.title = "× 10, drawn out to ten hours, 8 A100s in the cloud",
       .stretch = 10,
       .azure = 8,
       .aws = 320},
  };
}

std::vector<ServingCell> MakeCells(const Scenario& scenario) {
  const int tens = scenario.times / 10;
  return {{.variant = "a100",
           .group = "home",
           .each = 3'900'000,
           .nodes = tens,
           .per_node = 8,
           .least = 8 * tens,
           .home = true,
           .per_node_hour = Money::FromMicros(8'220'000),
           .startup = Seconds{240}},
          {.variant = "a100",
           .group = "azure",
           .each = 3'900'000,
           .nodes = scenario.azure * tens,
           .per_node_hour = Money::FromMicros(3'673'000),
           .startup = Seconds{240}},
          {.variant = "graviton",
           .group = "aws",
           .each = 487'500,  // an eighth
           .nodes = scenario.aws * tens,
           .per_node_hour = Money::FromMicros(2'086'500),
           .startup = Seconds{240}}};
}

struct Way {
  std::string name;
  std::function<ServingPolicy(int target, Seconds window)> make;
  bool has_window = true;
};

// The demand that is not exceeded in so many percent of the seconds.
Throughput Quantile(std::vector<Throughput> demand, int percent) {
  std::sort(demand.begin(), demand.end());
  return demand[(demand.size() * static_cast<size_t>(percent) + 99) / 100 - 1];
}

std::vector<Way> Ways(const std::vector<ServingCell>& cells,
                      const std::vector<Throughput>& demand) {
  const Throughput unit = cells.front().each;  // as unitThroughput has it by default
  const auto spillway = [=](Seconds spill_after) {
    return [=](int target, Seconds window) {
      return Spillway(cells, {.unit = unit, .spill_after = spill_after}, target, window);
    };
  };
  const auto hpa = [](GoesFirst first) {
    return [=](int target, Seconds window) { return HpaLike(target, window, first); };
  };
  return {
      {.name = "Spillway", .make = spillway(Seconds{120})},
      {.name = "Spillway, no hold-back", .make = spillway(Seconds{0})},
      {.name = "static mix",
       .make = [=](int target, Seconds) { return StaticMix(cells, Quantile(demand, target)); },
       .has_window = false},
      {.name = "HPA-like", .make = hpa(GoesFirst::kDoubledUp)},
      {.name = "HPA-like, dearest first", .make = hpa(GoesFirst::kDearest)},
      {.name = "greedy mix (WVA)", .make = GreedyMix},
      {.name = "slices (AIBrix)", .make = SlicedMix},
      {.name = "clairvoyant",
       .make = [=](int target, Seconds) { return Clairvoyant(demand, target); },
       .has_window = false},
  };
}
constexpr size_t kOurs = 2;  // the first so many of them

using Frontier = std::vector<ServingRecord>;  // by window and target, as above

int64_t Bill(const ServingRecord& record) { return (record.home + record.cloud).micros(); }

// Is the first no worse than the second in anything, and better in something?
bool Dominates(const ServingRecord& a, const ServingRecord& b) {
  return Bill(a) <= Bill(b) && a.below <= b.below && a.starts <= b.starts &&
         (Bill(a) < Bill(b) || a.below < b.below || a.starts < b.starts);
}

bool IsCheaperNoLongerBelow(const ServingRecord& a, const ServingRecord& b) {
  return Bill(a) <= Bill(b) && a.below <= b.below && (Bill(a) < Bill(b) || a.below < b.below);
}

// Those of the points than which none of `others` is better.
Frontier BestOf(const Frontier& points, const Frontier& others,
                bool (*better)(const ServingRecord&, const ServingRecord&)) {
  Frontier best;
  for (const ServingRecord& point : points) {
    const bool beaten = std::any_of(others.begin(), others.end(), [&](const ServingRecord& other) {
      return better(other, point);
    });
    if (!beaten) best.push_back(point);
  }
  return best;
}

// How many of our best points one of the other's dominates.
std::string Dominated(const Frontier& ours, const Frontier& other) {
  const Frontier best = BestOf(ours, ours, Dominates);
  return fmt::format("{} of {}", best.size() - BestOf(best, other, Dominates).size(), best.size());
}

// The cheapest of ours that is below demand for no longer.
std::optional<int64_t> BillNoLongerBelow(const Frontier& ours, Seconds below) {
  std::optional<int64_t> least;
  for (const ServingRecord& record : ours) {
    if (record.below <= below && (!least || Bill(record) < *least)) least = Bill(record);
  }
  return least;
}

// How much less than each of the other's best points, in percent: the least, the middle, the most,
// and for how many there is one.
std::string Saving(const Frontier& ours, const Frontier& other) {
  const Frontier best = BestOf(other, other, IsCheaperNoLongerBelow);
  std::vector<int64_t> savings;
  for (const ServingRecord& point : best) {
    const auto bill = BillNoLongerBelow(ours, point.below);
    if (!bill) continue;
    const double part = static_cast<double>(*bill) / static_cast<double>(Bill(point));
    savings.push_back(std::lround(100 * (1 - part)));
  }
  if (savings.empty()) return fmt::format("none of {}", best.size());
  std::sort(savings.begin(), savings.end());
  return fmt::format("{} … {} … {} ({} of {})", savings.front(), savings[savings.size() / 2],
                     savings.back(), savings.size(), best.size());
}

Result<std::vector<Frontier>> Measure(const std::vector<ServingCell>& cells,
                                      const std::vector<Throughput>& demand,
                                      const std::vector<Way>& ways) {
  std::vector<Frontier> frontiers;
  for (const Way& way : ways) {
    Frontier& frontier = frontiers.emplace_back();
    for (const Seconds window : kWindows) {
      if (!way.has_window && window != kWindows.front()) continue;
      for (const int target : kTargets) {
        auto record = Serve(cells, demand, way.make(target, window));
        if (!record) return std::move(record).error().While(way.name);
        frontier.push_back(*record);
      }
    }
  }
  return frontiers;
}

std::string Told(const ServingRecord& record) {
  return fmt::format("{:.0f} · {:.1f} · {}", static_cast<double>(Bill(record)) / 1e6,
                     static_cast<double>(record.below.count()) / 60, record.starts);
}

void PrintFrontiers(const std::vector<Way>& ways, const std::vector<Frontier>& frontiers) {
  std::string head = "| policy | window |";
  std::string line = "|---|---|";
  for (const int target : kTargets) {
    if (!IsShown(target)) continue;
    head += fmt::format(" {} % |", target);
    line += "---|";
  }
  fmt::print("{}\n{}\n", head, line);
  for (size_t w = 0; w < ways.size(); ++w) {
    for (size_t first = 0; first < frontiers[w].size(); first += kTargets.size()) {
      const auto window = kWindows.at(first / kTargets.size()).count();
      fmt::print("| {} | {} |", ways[w].name,
                 ways[w].has_window ? fmt::format("{} s", window) : "");
      for (size_t t = 0; t < kTargets.size(); ++t) {
        if (IsShown(kTargets.at(t))) fmt::print(" {} |", Told(frontiers[w][first + t]));
      }
      fmt::print("\n");
    }
  }
  fmt::print("\n");
}

void PrintComparison(const std::vector<Way>& ways, const std::vector<Frontier>& frontiers) {
  fmt::print("| against |");
  for (size_t our = 0; our < kOurs; ++our) {
    fmt::print(" {}: costs less, % | dominated |", ways[our].name);
  }
  fmt::print("\n|---|---|---|---|---|\n");
  for (size_t w = kOurs; w < ways.size(); ++w) {
    fmt::print("| {} |", ways[w].name);
    for (size_t our = 0; our < kOurs; ++our) {
      fmt::print(" {} | {} |", Saving(frontiers[our], frontiers[w]),
                 Dominated(frontiers[our], frontiers[w]));
    }
    fmt::print("\n");
  }
  fmt::print("\n");
}

int Fail(const Error& error) {
  fmt::print(stderr, "serving_bench: {}\n", error.message);
  return 1;
}

int MeasureAll() {
  const auto text = ReadTrace("azure_llm_code_2023.csv");
  if (!text) return Fail(text.error());
  const auto requests = ReadRequests(*text);
  if (!requests) return Fail(requests.error());
  for (const Scenario& scenario : Scenarios()) {
    const auto cells = MakeCells(scenario);
    const auto demand = DemandOf(*requests, kHour, scenario.times, scenario.stretch);
    const auto ways = Ways(cells, demand);
    const auto frontiers = Measure(cells, demand, ways);
    if (!frontiers) return Fail(frontiers.error());
    fmt::print("### {}\n\n", scenario.title);
    PrintFrontiers(ways, *frontiers);
    PrintComparison(ways, *frontiers);
  }
  return 0;
}

// All can do it, the clairvoyant one is never short once it could have started anything, and the
// same comes out of it twice.
int Check() {
  const auto cells = MakeCells({});
  const auto demand = DemandOf(InventedRequests(), Seconds{600}, 4, 1);
  const auto ways = Ways(cells, demand);
  const auto frontiers = Measure(cells, demand, ways);
  if (!frontiers) return Fail(frontiers.error());
  for (const ServingRecord& record : frontiers->back()) {
    if (record.below > Seconds{240}) {
      return Fail({Code::kInternal, fmt::format("the clairvoyant one is below demand for {} s",
                                                record.below.count())});
    }
  }
  const auto again = Measure(cells, demand, ways);
  if (!again || *again != *frontiers) return Fail({Code::kInternal, "again, other numbers"});
  return 0;
}

int Main(int argc, char** argv) {
  const std::string asked = argc > 1 ? argv[1] : "";
  return asked == "--check" ? Check() : MeasureAll();
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) { return spillway::bench::Main(argc, argv); }
