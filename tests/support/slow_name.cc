#include "tests/support/slow_name.h"

#include <dlfcn.h>
#include <netdb.h>

#include <condition_variable>
#include <mutex>
#include <string_view>

namespace spillway::support {
namespace {

struct State {
  std::mutex mutex;
  std::condition_variable changed;
  bool slow = false;  // guarded
  int asking = 0;     // guarded
};
State& TheState() {
  static State& state = *new State;  // threads may outlive main
  return state;
}

}  // namespace

SlowName::SlowName() {
  const std::scoped_lock lock(TheState().mutex);
  TheState().slow = true;
}
SlowName::~SlowName() {
  std::unique_lock lock(TheState().mutex);
  TheState().slow = false;
  TheState().changed.notify_all();
  TheState().changed.wait(lock, [] { return TheState().asking == 0; });
}
bool SlowName::Asked() const {
  const std::scoped_lock lock(TheState().mutex);
  return TheState().asking > 0;
}

}  // namespace spillway::support

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                           addrinfo** out) {
  using spillway::support::TheState;
  if (node != nullptr && std::string_view(node) == spillway::support::SlowName::kName) {
    std::unique_lock lock(TheState().mutex);
    ++TheState().asking;
    TheState().changed.wait(lock, [] { return !TheState().slow; });
    --TheState().asking;
    TheState().changed.notify_all();
    return EAI_NONAME;
  }
  using Function = int(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto kNext = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return kNext(node, service, hints, out);
}
