#include "operator/health.h"

#include <fmt/format.h>

namespace spillway {
namespace {

constexpr std::chrono::seconds kStuck{120};

HttpAnswer Answer(bool ok, const std::string& check, const std::string& why) {
  if (ok) return {200, "text/plain; charset=utf-8", "ok\n"};
  return {500, "text/plain; charset=utf-8",
          fmt::format("[-]{} failed: {}\ncheck failed\n", check, why)};
}

}  // namespace

HttpAnswer Healthz(std::chrono::nanoseconds silent) {
  return Answer(silent < kStuck, "loop", "the deciding loop shows no sign of life");
}

HttpAnswer Readyz(const std::vector<std::string>& unsynced) {
  return Answer(unsynced.empty(), "caches",
                fmt::format("not synced: {}", fmt::join(unsynced, ", ")));
}

}  // namespace spillway
