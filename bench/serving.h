#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/money.h"
#include "base/result.h"
#include "placement/snapshot.h"

// A demand that changes from second to second, and replicas that take their time to start: what it
// costs to follow it, and how long there are too few.
namespace spillway::bench {

// The demand in each second, in millionths of a request per second: the requests of the minute that
// ends with it, each counted `times` times. Every second lasts for `stretch` seconds. `requests`
// are the seconds in which they came, ascending.
std::vector<placement::Throughput> DemandOf(const std::vector<int64_t>& requests, Seconds length,
                                            int64_t times, int64_t stretch);

// A variant on a node group. `nodes` and `per_node` are what it can have at the most.
struct ServingCell {
  std::string variant;
  std::string group;
  placement::Throughput each = 1;  // what one replica serves, at least 1
  int nodes = 0;
  int per_node = 1;  // replicas, at least 1
  int least = 0;     // replicas: there from the beginning, and as its variant's minReplicas
  bool home = false;
  Money per_node_hour;  // at home of all nodes all the time, else of those in use, by share
  Seconds startup{0};   // from made to ready

  [[nodiscard]] int Most() const { return nodes * per_node; }
  // Of a replica more, an hour.
  [[nodiscard]] Money Price() const { return home ? Money() : per_node_hour.Share(1, per_node); }
};

struct Server {
  size_t cell = 0;
  int slot = 0;  // less than Most() of the cell, its own
  Seconds made{0};
};

// What a policy sees.
struct Moment {
  Seconds at{0};
  placement::Throughput demand = 0;  // by now
  const std::vector<ServingCell>& cells;
  const std::vector<Server>& servers;  // in the order in which they were made

  [[nodiscard]] bool IsReady(const Server& server) const {
    return server.made + cells[server.cell].startup <= at;
  }
  // Replicas by cell: all, and those that are ready.
  [[nodiscard]] std::vector<int> Counts() const;
  [[nodiscard]] std::vector<int> Ready() const;
};

// How many replicas each cell is to have, in their order.
using ServingPolicy = std::function<Result<std::vector<int>>(const Moment&)>;

// How often a policy is asked: as often as a HorizontalPodAutoscaler looks.
inline constexpr Seconds kServingStep{15};

struct ServingRecord {
  Money home;
  Money cloud;
  Seconds below{0};  // in which what was ready served less than the demand
  int64_t starts = 0;
  bool operator==(const ServingRecord&) const = default;
};

// Replicas that are added are ready after their cell's startup; of a cell that has too many, the
// latest go, at once. kInternal: the policy asks for what the cells can't have.
Result<ServingRecord> Serve(const std::vector<ServingCell>& cells,
                            const std::vector<placement::Throughput>& demand,
                            const ServingPolicy& policy);

}  // namespace spillway::bench
