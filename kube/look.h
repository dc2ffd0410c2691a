#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/result.h"
#include "kube/client.h"
#include "kube/contents.h"

namespace spillway::kube {

// Reads which objects the server has at which versions (metadata alone, in pages), in a thread of
// its own, while the watch goes on and the store with it.
//
// Once that is read, the store is at another point. So the two are compared when the store has come
// at least as far as the list's version, and without the objects of which an event of a later
// version has come since the look began: these came, changed or went after it. Of all others the
// store knows nothing newer than the list, and so must have them as the list has them.
class Look {
 public:
  // What the server had at a version.
  struct Sample {
    std::string version;
    Contents contents;
  };
  struct Options {
    Resource resource;
    std::string label_selector{};
    std::string field_selector{};
    std::chrono::milliseconds longest{20'000};  // after so long no further page is asked for
    std::string from{};                         // what the store is at
    // False: the constructor does it all, so that what is asked comes in one order (tests).
    bool beside = true;
  };
  // Begins it. Destroyed, it ends as promptly as the transport lets it.
  Look(Client& client, Clock& clock, Options options);

  // --- for the store's one writer ---

  [[nodiscard]] const std::string& From() const { return options_.from; }
  // An event on this object has come.
  void Touch(const std::string& key, const std::string& version) { touched_[key] = version; }
  // What came of it; null while it is under way.
  [[nodiscard]] const Result<Sample>* Answer() const;
  // Is `held`, what the store has, what the server has? REQUIRES a sample in Answer, and that the
  // store has come as far as that.
  [[nodiscard]] bool Agrees(const Contents& held) const;

 private:
  void Run(const std::stop_token& stop);
  Result<Sample> List(const std::stop_token& stop);

  // Constant after construction.
  Client& client_;
  Clock& clock_;
  const Options options_;
  // The writer's own.
  std::map<std::string, std::string> touched_;  // key → version of its last event
  // Written once, before done_ is.
  std::optional<Result<Sample>> answer_;
  std::atomic<bool> done_{false};

  std::jthread thread_;  // last: stops first
};

}  // namespace spillway::kube
