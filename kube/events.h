#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "kube/client.h"

namespace spillway::kube {

// What happened to which object.
struct EventRecord {
  std::string api_version;  // of the object it is about
  std::string kind;
  std::string name;
  std::string ns;  // empty for cluster-scoped objects: the event goes to "default"
  std::string uid;
  bool warning = false;
  std::string reason;  // CamelCase, at most 128 bytes
  std::string action;  // likewise
  std::string note;    // a sentence; cut at 1,024 bytes
};

// Sends Events (events.k8s.io/v1) from a thread of its own, one at a time. Record never blocks:
// when 1,000 wait, the newest is dropped and counted. The same note about the same object within
// ten minutes is sent once. Tried again only while the server is unavailable, five times in all;
// what was not sent is no reason to leave the next one out.
class EventRecorder {
 public:
  struct Options {
    std::string instance;                        // of the reporting process, at most 128 bytes
    std::chrono::milliseconds first_wait{1000};  // between tries; doubles each time
    // Told how many were not sent: the queue was full, it was stopped, or the server stayed
    // unavailable. From any thread, under a lock: must be quick.
    std::function<void(size_t count)> dropped{};
  };
  EventRecorder(Client client, Clock& clock, Log& log, Options options);
  ~EventRecorder();
  EventRecorder(const EventRecorder&) = delete;
  EventRecorder& operator=(const EventRecorder&) = delete;

  void Record(EventRecord record);  // any thread
  // Waits until nothing waits or is being sent, for so long at the most. Any thread.
  void Flush(std::chrono::milliseconds most);
  // Drops what waits and ends the thread. Further records are dropped.
  void Stop();

 private:
  void Run(const std::stop_token& stop);
  void Send(const EventRecord& record, const std::stop_token& stop);
  bool Repeated(const EventRecord& record);
  void Forget(const EventRecord& record);
  void Drop(size_t count);

  // Constant after construction.
  Client client_;
  Clock& clock_;
  Log& log_;
  const Options options_;
  // Guarded by mutex_.
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<EventRecord> queue_;
  std::map<std::string, std::chrono::nanoseconds> sent_;  // identity of a note → when
  bool sending_ = false;
  std::condition_variable idle_;  // tells that nothing waits or is being sent
  bool stopped_ = false;

  std::jthread thread_;  // last: stops first
};

}  // namespace spillway::kube
