// What the operator's caches cost: its own reflectors, stores and projections against the canned
// server (bench/peers/canned), beside bench/peers/peer, which does the same in Go. Prints one line
// of JSON.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/metrics.h"
#include "controllers/names.h"
#include "controllers/stores.h"
#include "controllers/watching.h"
#include "kube/client.h"
#include "kube/reflector.h"
#include "kube/transports.h"
#include "tests/support/eventually.h"

namespace spillway::bench {
namespace {

using Moment = std::chrono::steady_clock::time_point;

constexpr const char* kSentPrefix = "bench.example.com/";
constexpr const char* kSent = "bench.example.com/sent";
constexpr auto kLongest = std::chrono::minutes(10);

// Bytes, by its name in /proc/self/status.
int64_t Memory(const std::string& name) {
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind(name + ":", 0) == 0) return std::stoll(line.substr(name.size() + 1)) << 10;
  }
  return 0;
}

// Once it has been the same for a while: what lists took is given back after they are in.
int64_t SettledMemory() {
  int64_t last = Memory("VmRSS");
  for (int same = 0; same < 10;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const int64_t now = Memory("VmRSS");
    same = now == last ? same + 1 : 0;
    last = now;
  }
  return last;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto in = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return in(usage.ru_utime) + in(usage.ru_stime);
}

double Since(Moment start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int64_t NowNanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Microseconds.
double Percentile(const std::vector<int64_t>& sorted, double part) {
  if (sorted.empty()) return 0;
  const auto last = static_cast<double>(sorted.size() - 1);
  return static_cast<double>(sorted[static_cast<size_t>(part * last)]) / 1e3;
}

struct Options {
  std::string server;
  kube::TransportKind transport = kube::TransportKind::kCurl;
  int64_t objects = 0;
  int64_t events = 0;
  double rate = 0;
  int idle = 0;
};

// All that a reflector needs.
struct Setting {
  SystemClock clock;
  Log log{LogLevel::kError, false};
  std::unique_ptr<kube::Transport> transport;
  std::unique_ptr<kube::Client> client;
};

// Ends what it is told to when it goes.
class Thread {
 public:
  explicit Thread(kube::Reflector& reflector)
      : thread_([&reflector](const std::stop_token& stop) { reflector.Run(stop); }) {}

 private:
  std::jthread thread_;
};

// Everything that the operator watches, into its stores.
bool Sync(Setting& setting, const Options& options, nlohmann::json& line) {
  MetricsRegistry registry;
  controllers::Stores stores([] {});
  const int64_t before = Memory("VmRSS");
  const double cpu = CpuSeconds();
  const Moment start = std::chrono::steady_clock::now();
  controllers::Watching watching(stores, *setting.client, setting.clock, setting.log, registry);
  watching.Start();
  const bool synced = support::Eventually([&] { return stores.Unsynced().empty(); }, kLongest);
  line["wall"] = Since(start);
  const int64_t after = SettledMemory();
  line["cpu"] = CpuSeconds() - cpu;
  line["baseRss"] = before;
  line["settledRss"] = after;
  line["peakRss"] = Memory("VmHWM");
  const size_t objects = stores.pods.size() + stores.nodes.size() + stores.training_pools.size();
  line["objects"] = objects;
  if (objects > 0)
    line["bytesPerObject"] = static_cast<double>(after - before) / static_cast<double>(objects);
  return synced && static_cast<int64_t>(objects) == options.objects;
}

// Pods alone, and what is sent of them once they are listed. An event counts when its change is
// marked, which is what wakes the loop.
bool Events(Setting& setting, const Options& options, nlohmann::json& line) {
  int64_t sent = 0;  // of the event at hand; both on the reflector's thread
  std::vector<int64_t> late;
  late.reserve(static_cast<size_t>(options.events));
  std::atomic<int64_t> seen = 0;
  kube::Store<kube::KeptPod> store([&] {
    if (sent > 0) late.push_back(NowNanoseconds() - sent);
    ++seen;
  });
  kube::PodKeeper keeper(controllers::kPrefix);
  kube::StoreSink<kube::KeptPod> sink(store, [&](kube::JsonValue value, kube::KeptPod& pod) {
    // Nobody but a measurement at a rate asks when an event was sent.
    if (options.rate <= 0) return keeper.Read(value, pod);
    kube::Pod whole;
    Status done = kube::DecodePod(value, kSentPrefix, whole);
    const auto at = whole.meta.annotations.find(kSent);
    sent = at == whole.meta.annotations.end() ? 0 : std::stoll(at->second);
    pod = keeper.Keep(std::move(whole));
    return done;
  });
  std::atomic<bool> open = false;
  kube::Reflector::Options reflecting;
  reflecting.resource = kube::PodResource();
  reflecting.hooks.event = [&] { open = true; };  // the first bookmark: the watch is open
  kube::Reflector reflector(*setting.client, setting.clock, setting.log, sink, reflecting);
  const Thread thread(reflector);
  if (!support::Eventually([&] { return open.load(); }, kLongest)) return false;
  const int64_t listed = seen;
  const double cpu = CpuSeconds();
  const Moment start = std::chrono::steady_clock::now();
  const Result<std::string> watches = setting.client->WithDeadline(kLongest).GetPath(
      "/bench/events?count=" + std::to_string(options.events) +
          "&rate=" + std::to_string(options.rate),
      {});
  const bool all = support::Eventually([&] { return seen - listed >= options.events; }, kLongest);
  line["eventsWall"] = Since(start);
  line["eventsCpu"] = CpuSeconds() - cpu;
  if (!watches || !all) return false;
  std::sort(late.begin(), late.end());
  line["p50"] = Percentile(late, 0.5);
  line["p99"] = Percentile(late, 0.99);
  line["p999"] = Percentile(late, 0.999);
  return true;
}

// As many watches that say nothing, each with its reflector, store and thread.
bool Idle(Setting& setting, const Options& options, nlohmann::json& line) {
  const int64_t before = Memory("VmRSS");
  std::atomic<int> open = 0;
  std::vector<std::unique_ptr<kube::Store<kube::KeptPod>>> stores;
  std::vector<std::unique_ptr<kube::StoreSink<kube::KeptPod>>> sinks;
  std::vector<std::unique_ptr<kube::Reflector>> reflectors;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < options.idle; ++i) {
    stores.push_back(std::make_unique<kube::Store<kube::KeptPod>>([] {}));
    const auto keeper = std::make_shared<kube::PodKeeper>(controllers::kPrefix);
    sinks.push_back(std::make_unique<kube::StoreSink<kube::KeptPod>>(
        *stores.back(),
        [keeper](kube::JsonValue value, kube::KeptPod& pod) { return keeper->Read(value, pod); }));
    kube::Reflector::Options reflecting;
    reflecting.resource = kube::PodResource();
    reflecting.field_selector = "metadata.name=none-" + std::to_string(i);
    reflecting.hooks.event = [&] { ++open; };
    reflectors.push_back(std::make_unique<kube::Reflector>(*setting.client, setting.clock,
                                                           setting.log, *sinks.back(), reflecting));
    threads.push_back(std::make_unique<Thread>(*reflectors.back()));
  }
  const bool all = support::Eventually([&] { return open >= options.idle; }, kLongest);
  line["rssPerWatch"] = static_cast<double>(Memory("VmRSS") - before) / options.idle;
  return all;
}

bool Measure(const Options& options) {
  Setting setting;
  kube::ClusterConfig config;
  config.server = options.server;
  Result<std::unique_ptr<kube::Transport>> transport =
      kube::MakeTransport(options.transport, config);
  if (!transport) {
    std::cerr << transport.error().message << '\n';
    return false;
  }
  setting.transport = *std::move(transport);
  setting.client = std::make_unique<kube::Client>(
      *setting.transport, setting.clock, kube::Client::Options{.user_agent = "sync_bench"});
  nlohmann::json line = {{"side", "spillway-" + kube::NameOf(options.transport)}};
  const bool good = options.idle > 0     ? Idle(setting, options, line)
                    : options.events > 0 ? Events(setting, options, line)
                                         : Sync(setting, options, line);
  if (good) std::cout << line << std::endl;
  return good;
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) {
  using namespace spillway;
  bench::Options options;
  CLI::App app("What the operator's caches cost, against the canned server.");
  app.add_option("--server", options.server, "http://127.0.0.1:PORT")->required();
  app.add_option("--transport", options.transport, "")
      ->transform(CLI::CheckedTransformer(kube::TransportKinds()));
  app.add_option("--objects", options.objects, "how many the server has");
  app.add_option("--events", options.events, "of pods, to be sent after the list");
  app.add_option("--rate", options.rate, "of them, a second; 0: as fast as can be");
  app.add_option("--idle", options.idle, "only open this many watches that say nothing");
  CLI11_PARSE(app, argc, argv);
  KeepFewHeaps();  // as the operator does
  return bench::Measure(options) ? 0 : 1;
}
