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

// Sends Events (events.k8s.io/v1) from a thread of its own, one at a time, those of a namespace in
// order. Record never blocks: when more than 1,000 wait, the newest of the namespace that has most
// of them is dropped and counted. The same note about the same object within ten minutes is sent
// once. Tried again only while the server is unavailable, five times in all; what was not sent is
// no reason to leave the next one out.
//
// Where the server refuses one for now (429, a webhook that fails), only what is of its namespace
// waits, and for no longer than it asks, also where that was the last try. Where no server answers,
// or it says that it is unavailable (503), all wait, lest each namespace lose its own five tries to
// one outage.
class EventRecorder {
 public:
  struct Options {
    std::string instance;                        // of the reporting process, at most 128 bytes
    std::chrono::milliseconds first_wait{1000};  // between tries; doubles each time
    // Told how many were not sent: too many waited, it was stopped, or the server stayed
    // unavailable. From any thread, under a lock: must be quick.
    std::function<void(size_t count)> dropped{};
  };
  EventRecorder(const Client& client, Clock& clock, Log& log, Options options);
  ~EventRecorder();
  EventRecorder(const EventRecorder&) = delete;
  EventRecorder& operator=(const EventRecorder&) = delete;

  void Record(EventRecord record);  // any thread
  // Waits until nothing waits or is being sent, for so long at the most. Any thread.
  void Flush(std::chrono::milliseconds most);
  // Drops what waits and ends the thread. Further records are dropped.
  void Stop();

 private:
  using Moment = std::chrono::steady_clock::time_point;
  struct Waiting {
    EventRecord record;
    std::string ns;      // that it goes to
    std::string body{};  // once it has been tried: the same each time, so that it is no double
    int tries = 0;
  };
  using Queue = std::deque<Waiting>;

  void Run(const std::stop_token& stop);
  [[nodiscard]] std::string Body(const EventRecord& record, const std::string& ns) const;
  [[nodiscard]] Queue::iterator NextToGo();
  [[nodiscard]] Moment SomeMayGoAt() const;
  void Send(Waiting event, const std::stop_token& stop);
  void PutBack(Waiting event, const Error& error);
  void WaitAsAsked(const Waiting& event, const Error& error);
  void Close(const std::string& ns, const Error& error, std::chrono::milliseconds wait);
  void Count(const std::string& ns, int by);
  void DropNewestOfMost();
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
  Queue queue_;
  std::map<std::string, int> waiting_;    // by namespace: how many of the queue are its
  std::map<std::string, Moment> closed_;  // namespaces of which nothing is sent before then
  Moment all_closed_{};                   // likewise, of all
  std::map<std::string, std::chrono::nanoseconds> sent_;  // identity of a note → when
  bool sending_ = false;
  std::condition_variable idle_;  // tells that nothing waits or is being sent
  bool stopped_ = false;

  std::jthread thread_;  // last: stops first
};

}  // namespace spillway::kube
