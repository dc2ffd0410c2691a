#include "traces.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <sstream>
#include <utility>

#include "base/whole_number.h"

namespace spillway::bench {
namespace {

using namespace placement;  // NOLINT(google-build-using-namespace): scenarios are made of it

constexpr Time kNow{std::chrono::sys_days{std::chrono::year{2026} / 11 / 24}};
constexpr const char* kGpu = "nvidia.com/gpu";
constexpr const char* kType = "nvidia-a100-40gb";
constexpr int64_t kMi = int64_t{1} << 20;

class Dice {
 public:
  explicit Dice(uint32_t seed) : engine_(seed) {}
  int Roll(int sides) { return static_cast<int>(engine_() % static_cast<uint32_t>(sides)); }

 private:
  std::mt19937 engine_;
};

std::vector<std::string> Split(std::string_view text, char by) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(by, start), text.size());
    parts.emplace_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

// Rows by the names of their columns. An empty field is no number.
class Table {
 public:
  static Result<Table> Read(std::string_view csv, const std::vector<std::string>& needed) {
    Table table;
    for (const std::string& line : Split(csv, '\n')) {
      std::string_view text = line;
      if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
      if (!text.empty()) table.rows_.push_back(Split(text, ','));
    }
    if (table.rows_.empty()) return Error{Code::kInvalid, "the trace is empty"};
    for (size_t c = 0; c < table.rows_[0].size(); ++c) table.columns_[table.rows_[0][c]] = c;
    for (const std::string& name : needed) {
      if (!table.columns_.contains(name)) {
        return Error{Code::kInvalid, "the trace has no column " + name};
      }
    }
    table.rows_.erase(table.rows_.begin());
    return table;
  }

  [[nodiscard]] size_t Rows() const { return rows_.size(); }
  [[nodiscard]] std::string Text(size_t row, const std::string& column) const {
    const size_t at = columns_.at(column);
    return at < rows_[row].size() ? rows_[row][at] : std::string();
  }
  [[nodiscard]] std::optional<int64_t> Number(size_t row, const std::string& column) const {
    return WholeNumber(Text(row, column));
  }

 private:
  std::map<std::string, size_t> columns_;
  std::vector<std::vector<std::string>> rows_;
};

NodeGroup Group(const std::string& name, int tier, Provider provider, const std::string& price) {
  NodeGroup group;
  group.name = name;
  group.tier = tier;
  group.provider = provider;
  group.selector = {{.key = "group", .op = "In", .values = {name}}};
  group.accelerator = kType;
  group.resource = kGpu;
  group.per_node = 8;
  group.capacity_type = tier == 0 ? CapacityType::kOwned : CapacityType::kOnDemand;
  group.per_node_hour = *Money::Parse(price);
  if (tier > 0) group.marginal_per_node_hour = group.per_node_hour;
  return group;
}

void AddNodes(Snapshot& world, const std::string& group, int count,
              const std::vector<Shape>& shapes) {
  for (int n = 0; n < count; ++n) {
    const Shape& shape = shapes[world.nodes.size() % shapes.size()];
    Node node;
    node.id.name = fmt::format("{}-{:02}", group, n);
    node.labels = {{"group", group}, {"kubernetes.io/hostname", node.id.name}};
    node.allocatable.Set(kCpu, shape.cpu_milli);
    node.allocatable.Set(kMemory, shape.memory_mib * kMi);
    node.allocatable.Set(kPods, 110);
    node.allocatable.Set(kGpu, shape.gpus);
    node.created = kNow - std::chrono::hours{24};
    world.nodes.push_back(std::move(node));
  }
}

TrainingPool GangOf(const Task& task, int number, Dice& dice, const Shape& shape) {
  TrainingPool pool;
  constexpr std::array<const char*, 10> kTenants = {"a", "a", "a", "a", "b",
                                                    "b", "b", "c", "c", "d"};
  pool.key = {.ns = fmt::format("tenant-{}", kTenants.at(static_cast<size_t>(dice.Roll(10)))),
              .name = fmt::format("task-{:04}", number)};
  pool.uid = pool.key.name;
  pool.priority = task.latency_sensitive ? 10 : 0;
  const int kind = dice.Roll(20);
  const bool whole = kind == 0;
  const bool gang = kind >= 1 && kind <= 4;
  const int workers = whole || gang ? dice.Roll(3) + 2 : 1;
  pool.per_worker = whole ? shape.gpus : task.gpus;
  pool.accelerators = {{.type = kType, .workers = workers}};
  pool.requests.Set(kCpu, std::min(task.cpu_milli, shape.cpu_milli));
  pool.requests.Set(kMemory, std::min(task.memory_mib, shape.memory_mib) * kMi);
  pool.requests.Set(kPods, 1);
  if (dice.Roll(2) == 0) pool.active_deadline = Seconds{3 * task.ran + 6 * 3600};
  return pool;
}

std::vector<Task> Slice(const std::vector<Task>& tasks, const Extent& extent, Dice& dice) {
  std::vector<Task> usable;
  for (const Task& task : tasks) {
    if (task.ran >= extent.shortest && task.ran <= extent.longest) usable.push_back(task);
  }
  const auto wanted = std::min(static_cast<size_t>(extent.tasks), usable.size());
  const int first = dice.Roll(static_cast<int>(usable.size() - wanted) + 1);
  return {usable.begin() + first, usable.begin() + first + static_cast<std::ptrdiff_t>(wanted)};
}

}  // namespace

Result<std::vector<Task>> ReadTasks(std::string_view csv) {
  const auto table = Table::Read(csv, {"creation_time", "scheduled_time", "deletion_time",
                                       "num_gpu", "cpu_milli", "memory_mib", "qos"});
  if (!table) return table.error();
  std::vector<Task> tasks;
  for (size_t row = 0; row < table->Rows(); ++row) {
    const auto number = [&](const char* column) { return table->Number(row, column); };
    const auto from = number("scheduled_time");
    const auto to = number("deletion_time");
    const auto gpus = number("num_gpu");
    if (!from || !to || !gpus || *gpus < 1) continue;
    tasks.push_back({.created = number("creation_time").value_or(*from),
                     .ran = *to - *from,
                     .gpus = static_cast<int>(*gpus),
                     .cpu_milli = number("cpu_milli").value_or(0),
                     .memory_mib = number("memory_mib").value_or(0),
                     .latency_sensitive = table->Text(row, "qos") == "LS"});
  }
  std::stable_sort(tasks.begin(), tasks.end(),
                   [](const Task& a, const Task& b) { return a.created < b.created; });
  if (tasks.empty()) return Error{Code::kInvalid, "the trace has no task that ran on a GPU"};
  return tasks;
}

Result<std::vector<Shape>> ReadShapes(std::string_view csv) {
  const auto table = Table::Read(csv, {"cpu_milli", "memory_mib", "gpu", "model"});
  if (!table) return table.error();
  std::vector<Shape> shapes;
  for (size_t row = 0; row < table->Rows(); ++row) {
    if (table->Text(row, "model") != "G2") continue;
    shapes.push_back({.cpu_milli = table->Number(row, "cpu_milli").value_or(0),
                      .memory_mib = table->Number(row, "memory_mib").value_or(0),
                      .gpus = static_cast<int>(table->Number(row, "gpu").value_or(0))});
  }
  if (shapes.empty()) return Error{Code::kInvalid, "the trace has no node of model G2"};
  return shapes;
}

Result<std::vector<int64_t>> ReadRequests(std::string_view csv) {
  const auto table = Table::Read(csv, {"TIMESTAMP"});
  if (!table) return table.error();
  std::vector<int64_t> seconds;
  for (size_t row = 0; row < table->Rows(); ++row) {
    std::string text = table->Text(row, "TIMESTAMP");
    if (const size_t gap = text.find(' '); gap != std::string::npos) text[gap] = 'T';
    const auto time = ParseTime(text + "Z");
    if (!time) return Error(time.error()).While("the trace");
    seconds.push_back(time->time_since_epoch().count());
  }
  if (seconds.empty()) return Error{Code::kInvalid, "the trace has no request"};
  std::sort(seconds.begin(), seconds.end());
  const int64_t first = seconds.front();
  for (int64_t& second : seconds) second -= first;
  return seconds;
}

std::vector<Task> InventedTasks() {
  Dice dice(1);
  std::vector<Task> tasks;
  for (int i = 0; i < 200; ++i) {
    tasks.push_back({.created = 100 * i + dice.Roll(100),
                     .ran = 60 + dice.Roll(120) * dice.Roll(60),
                     .gpus = dice.Roll(10) == 0 ? 8 : 1,
                     .cpu_milli = 4000,
                     .memory_mib = 8192,
                     .latency_sensitive = dice.Roll(2) == 0});
  }
  return tasks;
}

std::vector<Shape> InventedShapes() {
  return {{.cpu_milli = 96'000, .memory_mib = 393'216, .gpus = 8}};
}

std::vector<int64_t> InventedRequests() {
  Dice dice(1);
  std::vector<int64_t> seconds;
  int per_second = 0;
  for (int64_t second = 0; second < 3600; ++second) {
    if (dice.Roll(60) == 0) per_second = dice.Roll(2) * dice.Roll(8);
    seconds.insert(seconds.end(), static_cast<size_t>(per_second), second);
  }
  return seconds;
}

Result<std::string> ReadTrace(const std::string& file) {
  const char* folder = std::getenv("SPILLWAY_TRACES");  // NOLINT(concurrency-mt-unsafe)
  if (folder == nullptr) {
    return Error{Code::kInvalid, "SPILLWAY_TRACES is not set: the folder with the traces"};
  }
  const std::string path = std::string(folder) + "/" + file;
  std::ifstream stream(path);
  if (!stream) return Error{Code::kInvalid, "cannot read " + path};
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

Scenario MakeScenario(const std::vector<Task>& tasks, const std::vector<Shape>& shapes,
                      const Extent& extent, double load, uint32_t seed) {
  Scenario out;
  out.start.now = kNow;
  out.start.render_revision = "r1";
  out.start.groups = {Group("home", 0, Provider::kOnPrem, "8.22"),
                      Group("cloud-1", 10, Provider::kAzure, "22.00"),
                      Group("cloud-2", 20, Provider::kAws, "32.77")};
  AddNodes(out.start, "home", extent.home_nodes, shapes);
  AddNodes(out.start, "cloud-1", extent.cloud_nodes, shapes);
  AddNodes(out.start, "cloud-2", extent.cloud_nodes, shapes);
  Dice dice(seed);
  const std::vector<Task> slice = Slice(tasks, extent, dice);
  double work = 0;
  for (size_t i = 0; i < slice.size(); ++i) {
    Arrival arrival;
    arrival.runs_for = Seconds{slice[i].ran};
    arrival.pool = GangOf(slice[i], static_cast<int>(i), dice, shapes.front());
    work += static_cast<double>(slice[i].ran * arrival.pool.per_worker *
                                arrival.pool.accelerators.front().workers);
    out.arrivals.push_back(std::move(arrival));
  }
  const double home = extent.home_nodes * shapes.front().gpus;
  const double span = work / (load * home);
  const auto recorded =
      static_cast<double>(std::max<int64_t>(slice.back().created - slice.front().created, 1));
  for (size_t i = 0; i < slice.size(); ++i) {
    const auto since = static_cast<double>(slice[i].created - slice.front().created);
    out.arrivals[i].at = Seconds{static_cast<int64_t>(since / recorded * span)};
  }
  return out;
}

}  // namespace spillway::bench
