// What each transport costs its process: memory of watches that say nothing, and CPU of requests.
// The server is another process. With --check: with few of each, prints what went wrong, if
// anything.
#include <fmt/format.h>
#include <signal.h>  // kill has no C++ spelling
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "kube/transports.h"
#include "tests/support/certificates.h"
#include "tests/support/eventually.h"
#include "tests/support/tls_server.h"

namespace spillway::bench {
namespace {

using Clock = std::chrono::steady_clock;
using support::WireConnection;
using support::WireRequest;

struct Load {
  int watches;
  int requests;
};

// Kilobytes of memory in use.
long Resident() {
  std::ifstream file("/proc/self/statm");
  long all = 0;
  long resident = 0;
  file >> all >> resident;
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

double CpuMicroseconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto in = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return in(usage.ru_utime) + in(usage.ru_stime);
}

// A child that serves until it is killed; its process and its port.
std::pair<pid_t, int> StartServer(const support::Authority& authority) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return {-1, 0};
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    support::TlsServer server(
        {.pair = authority.Issue("apiserver", {"IP:127.0.0.1"}), .client_ca = {}},
        [](const WireRequest& request, WireConnection& wire) {
          if (request.target == "/watch") {
            wire.StartChunked();
            wire.WriteChunk("open");
            wire.WaitForPeerToClose();
          } else {
            wire.Answer(200, std::string(1600, 'x'));
          }
        });
    const int port = server.Port();
    [[maybe_unused]] const auto told = write(ends[1], &port, sizeof port);
    for (;;) pause();
  }
  int port = 0;
  [[maybe_unused]] const auto heard = read(ends[0], &port, sizeof port);
  return {child, port};
}

kube::HttpRequest Get(const std::string& target) {
  kube::HttpRequest request;
  request.target = target;
  request.deadline = std::chrono::hours(1);
  return request;
}

// Kilobytes a watch, its thread's among them.
double WatchMemory(kube::Transport& transport, int watches) {
  const long before = Resident();
  std::atomic<int> open = 0;
  std::stop_source stop;
  std::vector<std::jthread> threads;
  for (int i = 0; i < watches; ++i) {
    threads.emplace_back([&] {
      (void)transport.Stream(
          Get("/watch"), [&](std::string_view) { return ++open, true; }, stop.get_token());
    });
  }
  const bool all = support::Eventually([&] { return open == watches; }, std::chrono::seconds(60));
  const double each = static_cast<double>(Resident() - before) / watches;
  stop.request_stop();
  return all ? each : -1;
}

// Whether all was well.
bool Measure(kube::TransportKind kind, const Load& load) {
  const support::Authority authority("cluster CA");
  const auto [server, port] = StartServer(authority);
  kube::ClusterConfig config;
  config.server = fmt::format("https://127.0.0.1:{}", port);
  config.ca.data = authority.Pem();
  const auto transport = kube::MakeTransport(kind, config);
  bool ok = transport.ok();
  for (int i = 0; ok && i < 100; ++i) ok = (*transport)->Send(Get("/"), {}).ok();
  if (!ok) return false;
  const double cpu = CpuMicroseconds();
  const auto start = Clock::now();
  for (int i = 0; i < load.requests; ++i) ok = ok && (*transport)->Send(Get("/"), {}).ok();
  const std::chrono::duration<double, std::micro> took = Clock::now() - start;
  const double spent = CpuMicroseconds() - cpu;
  const double memory = WatchMemory(**transport, load.watches);
  kill(server, SIGKILL);
  fmt::print("| {} | {:.0f} kB | {:.0f} µs | {:.0f} µs |\n", kube::NameOf(kind), memory,
             spent / load.requests, took.count() / load.requests);
  std::cout.flush();
  return ok && memory >= 0;
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) {
  using namespace spillway;
  const std::string first = argc > 1 ? argv[1] : "";
  const bench::Load load = first == "--check" ? bench::Load{5, 100} : bench::Load{200, 20'000};
  fmt::print(
      "| transport | memory of an idle watch | CPU of a GET | time of a GET "
      "|\n|---|---|---|---|\n");
  std::fflush(stdout);
  for (const auto& [name, kind] : kube::TransportKinds()) {
    if (const pid_t child = fork(); child == 0) {  // each in a process of its own
      const bool ok = bench::Measure(kind, load);
      std::fflush(stdout);
      std::_Exit(ok ? 0 : 1);
    } else {
      int status = 0;
      if (waitpid(child, &status, 0) != child || status != 0) {
        std::cout << name << ": ERROR OCCURRED\n";
      }
    }
  }
}
