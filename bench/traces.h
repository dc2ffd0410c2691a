#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "placement/play.h"

// Recorded tasks and requests, and scenarios for plays that are made of tasks.
namespace spillway::bench {

// A task of the Alibaba GPU trace v2023.
struct Task {
  int64_t created = 0;  // seconds
  int64_t ran = 0;      // seconds from scheduled to deleted
  int gpus = 0;         // shares of one rounded up
  int64_t cpu_milli = 0;
  int64_t memory_mib = 0;
  bool latency_sensitive = false;
};
struct Shape {
  int64_t cpu_milli = 0;
  int64_t memory_mib = 0;
  int gpus = 0;
};

// openb_pod_list_default.csv: the tasks that asked for GPUs and were scheduled and deleted, by
// creation. openb_node_list_all_node.csv: the nodes of model G2, which have eight GPUs each.
Result<std::vector<Task>> ReadTasks(std::string_view csv);
Result<std::vector<Shape>> ReadShapes(std::string_view csv);

// azure_llm_code_2023.csv, of the Azure LLM inference trace: the seconds in which requests came,
// counted from the first one's, ascending.
Result<std::vector<int64_t>> ReadRequests(std::string_view csv);

// The same for a check without the traces: invented ones. Requests come in bursts, for an hour.
std::vector<Task> InventedTasks();
std::vector<Shape> InventedShapes();
std::vector<int64_t> InventedRequests();

// The text of a file in the folder that the environment variable SPILLWAY_TRACES names.
Result<std::string> ReadTrace(const std::string& file);

// How large a scenario is.
struct Extent {
  int home_nodes = 8;
  int cloud_nodes = 6;  // in each of the two
  int tasks = 300;
  int64_t shortest = 60;  // seconds; tasks outside of that are left out
  int64_t longest = 21'600;
};

struct Scenario {
  placement::Snapshot start;
  std::vector<placement::Arrival> arrivals;
};

// Consecutive tasks from a random one on. Each 5th becomes a gang of 2 to 4 such workers, each 20th
// one of 2 to 4 whole nodes; four namespaces have 4, 3, 2 and 1 tenth of them; latency-sensitive
// ones have priority 10; every second one has an activeDeadlineSeconds of three times its work and
// six hours. They come with the recorded gaps, all scaled alike so that their work is `load` times
// what home can do between the first and the last. REQUIRES tasks and a shape.
Scenario MakeScenario(const std::vector<Task>& tasks, const std::vector<Shape>& shapes,
                      const Extent& extent, double load, uint32_t seed);

}  // namespace spillway::bench
