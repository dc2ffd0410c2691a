#include "operator/watchdog.h"

#include <signal.h>  // sigaction has no C++ spelling
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string_view>

namespace spillway {

void EndWithin(std::chrono::seconds time) {
  // By a handler, as a container's first process ignores the signals that it has none for.
  struct sigaction end{};
  end.sa_handler = [](int) { _exit(1); };
  sigaction(SIGALRM, &end, nullptr);
  alarm(static_cast<unsigned>(time.count()));
}

void Watchdog(const kube::LeaderElector& elector, const Clock& clock, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  while (!stop.stop_requested()) {
    // One look: between two, the lease could be given back.
    const std::chrono::nanoseconds until = elector.ValidUntil();
    if (until != std::chrono::nanoseconds{0} && clock.Elapsed() >= until) {
      constexpr std::string_view kLine =
          "{\"level\":\"error\",\"msg\":\"the lease ran out before it was renewed; exiting\"}\n";
      EndWithin(kLastWords);
      [[maybe_unused]] const auto written = write(STDERR_FILENO, kLine.data(), kLine.size());
      _exit(1);
    }
    wake.wait_for(lock, stop, std::chrono::milliseconds(250), [] { return false; });
  }
}

}  // namespace spillway
