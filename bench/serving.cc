#include "serving.h"

#include <fmt/format.h>

#include <set>

namespace spillway::bench {
namespace {

constexpr int64_t kMinute = 60;
constexpr int64_t kMillion = 1'000'000;

// A policy's answers, carried out.
class Running {
 public:
  explicit Running(const std::vector<ServingCell>& cells) : cells_(cells), free_(cells.size()) {
    for (size_t c = 0; c < cells.size(); ++c) {
      for (int slot = 0; slot < cells[c].Most(); ++slot) free_[c].insert(slot);
      for (int i = 0; i < cells[c].least; ++i) Make(c, -cells[c].startup);
    }
  }

  [[nodiscard]] const std::vector<Server>& Servers() const { return servers_; }

  // How many were made.
  Result<int64_t> CarryOut(Seconds now, const std::vector<int>& counts,
                           const std::vector<int>& wanted) {
    int64_t made = 0;
    for (size_t c = 0; c < cells_.size(); ++c) {
      if (wanted[c] < 0 || wanted[c] > cells_[c].Most()) {
        return Error{Code::kInternal, fmt::format("cell {}@{}: wanted what it can't have",
                                                  cells_[c].variant, cells_[c].group)};
      }
      for (int n = counts[c]; n < wanted[c]; ++n, ++made) Make(c, now);
      for (int n = counts[c]; n > wanted[c]; --n) TakeLatest(c);
    }
    return made;
  }

 private:
  void Make(size_t cell, Seconds now) {
    servers_.push_back({.cell = cell, .slot = *free_[cell].begin(), .made = now});
    free_[cell].erase(free_[cell].begin());
  }

  void TakeLatest(size_t cell) {
    size_t at = servers_.size() - 1;
    while (servers_[at].cell != cell) --at;
    free_[cell].insert(servers_[at].slot);
    servers_.erase(servers_.begin() + static_cast<std::ptrdiff_t>(at));
  }

  const std::vector<ServingCell>& cells_;
  std::vector<std::set<int>> free_;  // slots, by cell
  std::vector<Server> servers_;
};

}  // namespace

std::vector<placement::Throughput> DemandOf(const std::vector<int64_t>& requests, Seconds length,
                                            int64_t times, int64_t stretch) {
  std::vector<placement::Throughput> demand;
  size_t first = 0;  // of the minute
  size_t past = 0;   // the first after it
  for (int64_t second = 0; second < length.count(); ++second) {
    while (past < requests.size() && requests[past] <= second) ++past;
    while (first < past && requests[first] <= second - kMinute) ++first;
    const auto count = static_cast<int64_t>(past - first);
    demand.insert(demand.end(), static_cast<size_t>(stretch), count * times * kMillion / kMinute);
  }
  return demand;
}

std::vector<int> Moment::Counts() const {
  std::vector<int> counts(cells.size());
  for (const Server& server : servers) ++counts[server.cell];
  return counts;
}

std::vector<int> Moment::Ready() const {
  std::vector<int> counts(cells.size());
  for (const Server& server : servers) counts[server.cell] += IsReady(server) ? 1 : 0;
  return counts;
}

Result<ServingRecord> Serve(const std::vector<ServingCell>& cells,
                            const std::vector<placement::Throughput>& demand,
                            const ServingPolicy& policy) {
  ServingRecord record;
  Running running(cells);
  std::vector<int64_t> seconds(cells.size());  // of replicas
  for (size_t t = 0; t < demand.size(); ++t) {
    const Moment moment{.at = Seconds{static_cast<int64_t>(t)},
                        .demand = demand[t],
                        .cells = cells,
                        .servers = running.Servers()};
    if (moment.at % kServingStep == Seconds{0}) {
      const auto wanted = policy(moment);
      if (!wanted) return wanted.error();
      const auto made = running.CarryOut(moment.at, moment.Counts(), *wanted);
      if (!made) return made.error();
      record.starts += *made;
    }
    placement::Throughput ready = 0;
    for (const Server& server : running.Servers()) {
      ++seconds[server.cell];
      if (moment.IsReady(server)) ready += cells[server.cell].each;
    }
    if (ready < demand[t]) ++record.below;
  }
  for (size_t c = 0; c < cells.size(); ++c) {
    const auto length = static_cast<int64_t>(demand.size());
    if (cells[c].home) {
      record.home += cells[c].per_node_hour.Share(cells[c].nodes * length, 3600);
    } else {
      record.cloud += cells[c].per_node_hour.Share(seconds[c], int64_t{3600} * cells[c].per_node);
    }
  }
  return record;
}

}  // namespace spillway::bench
