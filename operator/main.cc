#include <signal.h>  // sigwait has no C++ spelling

#include <cstdlib>
#include <thread>

#include "base/heap.h"
#include "operator/assembly.h"
#include "operator/options.h"
#include "operator/watchdog.h"

namespace spillway {
namespace {

// Blocked before any thread starts, so that only the waiting thread gets them.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, nullptr);
  return signals;
}

int Run(const Options& options) {
  KeepFewHeaps();
  const sigset_t signals = BlockSignals();
  Log log(options.log_level, options.log_json);
  auto made = Assembly::Make(options, log);
  if (!made) {
    log.Error("cannot start", {{"error", made.error().message}});
    log.Flush();
    return 1;
  }
  Assembly& assembly = **made;
  assembly.Start();
  // A lost lease ends the process at once: nothing that another leader does may be overwritten.
  std::jthread lease([&](const std::stop_token& stop) {
    const Status lost = assembly.WaitUntilLost(stop);
    if (lost || stop.stop_requested()) return;
    EndWithin(kLastWords);
    log.Error("the lease is lost; exiting", {{"error", lost.error().message}});
    log.Flush();
    std::_Exit(1);
  });
  int signal = 0;
  while (sigwait(&signals, &signal) == 0 && signal == SIGUSR1) assembly.RequestSnapshot();
  log.Info("stopping", {{"signal", signal}});
  lease.request_stop();
  assembly.Stop();
  log.Info("stopped");
  log.Flush();
  // The HTTP library may crash in its destructors while connections are open.
  std::_Exit(0);
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) {
  const spillway::ParsedOptions parsed = spillway::ParseOptions(argc, argv);
  return parsed.run ? spillway::Run(parsed.options) : parsed.exit_code;
}
