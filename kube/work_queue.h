#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace spillway::kube {

// Keys about which something is to be done, for several workers. A key is worked on by one of them
// at a time, and added meanwhile it is handed out exactly once more. One that waits has a single
// entry: with the earliest of the times and the highest of the priorities that it was added with.
//
// Of what is due the highest priority is handed out first, within it first come, first served; but
// what has been due for `promote_after` goes before all. What fails is added again by Retry, which
// waits longer with every failure of that key, and for that key alone.
//
// Thread-safe. Times are of Clock::Elapsed. An operation takes O(log n) of what waits for its time.
class WorkQueue {
 public:
  struct Options {
    std::chrono::nanoseconds first_retry = std::chrono::milliseconds(200);  // then doubling
    std::chrono::nanoseconds longest_retry = std::chrono::seconds(30);
    std::chrono::nanoseconds promote_after = std::chrono::minutes(1);
  };
  // For metrics; each may be empty. Called under the queue's lock: must not call the queue.
  struct Hooks {
    std::function<void(int priority, size_t count)> due{};          // so many are, by now
    std::function<void()> added{};                                  // no entry of it was waiting
    std::function<void()> retried{};                                // by Retry
    std::function<void(std::chrono::nanoseconds due_for)> taken{};  // handed out
    std::function<void(std::chrono::nanoseconds worked_for)> done{};
  };
  struct Unfinished {
    std::chrono::nanoseconds all{0};  // how long what is being worked on has been, in sum
    std::chrono::nanoseconds longest{0};
  };

  WorkQueue(Clock& clock, Options options, Hooks hooks);

  // At once, or `after` so long.
  void Add(const std::string& key, int priority, std::chrono::nanoseconds after = {});
  // After the time that the key's failures ask for, or `at_least` so long; one more failure.
  void Retry(const std::string& key, int priority, std::chrono::nanoseconds at_least = {});
  // No failures are known of it any more, and what it waits for is called off. What is due stays.
  void Forget(const std::string& key);
  // It is not handed out, unless it is added again. Its failures are still known.
  void CallOff(const std::string& key);
  // How often it was retried since it was last forgotten.
  [[nodiscard]] int Failures(const std::string& key) const;
  // Is it there, for later?
  [[nodiscard]] bool Waits(const std::string& key) const;

  // The next that is due and has at least this priority; blocks until one is. It stays valid until
  // Done, which the caller owes. Null: the queue was shut down, and no such key is due.
  const std::string* Get(int least_priority);
  void Done(const std::string& key);

  // From now on nothing can be added; what is due is still handed out.
  void ShutDown();
  [[nodiscard]] Unfinished Working() const;
  [[nodiscard]] size_t size() const;  // keys that are due, wait or are worked on

 private:
  // When it is to be handed out, and before whom.
  struct Wish {
    std::chrono::nanoseconds due{0};
    int priority = 0;
  };
  enum class Place { kNowhere, kDue, kWaiting, kTaken };
  struct Entry;
  using Node = std::pair<const std::string, Entry>;
  struct Entry {
    Place place = Place::kNowhere;
    Wish wish;
    std::optional<Wish> again;          // kTaken: added meanwhile
    std::chrono::nanoseconds since{0};  // kDue: when it was; kTaken: handed out
    std::list<Node*>::iterator in_due;  // kDue
    std::multimap<std::chrono::nanoseconds, Node*>::iterator in_waiting;  // kWaiting
  };

  // All under the lock.
  void Put(Node& node, Wish wish, std::chrono::nanoseconds now);
  void TakeOut(Node& node);
  void Merge(Node& node, Wish wish, std::chrono::nanoseconds now);
  void MoveDue(std::chrono::nanoseconds now);
  Node* Next(int least_priority, std::chrono::nanoseconds now);
  void Wake();

  Clock& clock_;
  const Options options_;
  const Hooks hooks_;

  // Guarded by mutex_.
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::unordered_map<std::string, Entry> entries_;
  std::map<int, std::list<Node*>, std::greater<>> due_;  // by priority, longest due first
  std::multimap<std::chrono::nanoseconds, Node*> waiting_;
  std::vector<Node*> taken_;  // as many as there are workers
  std::unordered_map<std::string, int> failures_;
  uint64_t changes_ = 0;
  int asleep_ = 0;  // workers
  bool shut_down_ = false;
};

}  // namespace spillway::kube
