#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "kube/client.h"
#include "kube/contents.h"
#include "kube/json.h"
#include "kube/store.h"

namespace spillway::kube {

// Where a reflector puts what it reads, on the reflector's thread. Implemented by StoreSink<T>.
// An error of one object is reported and passed over.
class ObjectSink {
 public:
  virtual ~ObjectSink() = default;
  // A list that was begun and not ended is dropped by the next BeginList.
  virtual void BeginList() = 0;
  // One that came twice is as it came last.
  virtual Status ListItem(JsonValue object) = 0;
  // What was listed under this key has gone since.
  virtual void ListGone(const std::string& key) = 0;
  virtual void EndList(const std::string& version) = 0;
  virtual Status Upsert(JsonValue object) = 0;
  virtual Status Delete(JsonValue object) = 0;
  virtual void Bookmark(const std::string& version) = 0;
  // What is here; empty where that cannot be held against a list, as an object could not be read.
  [[nodiscard]] virtual std::optional<Contents> Held() const = 0;
};

// Decodes objects into facts and writes them to a store. Of an object that cannot be decoded, what
// was known before stays: a fact we fail to read must not look like a deletion.
template <class T>
class StoreSink final : public ObjectSink {
 public:
  using Decode = std::function<Status(JsonValue, T&)>;
  StoreSink(Store<T>& store, Decode decode) : store_(store), decode_(std::move(decode)) {}

  void BeginList() override {
    list_.clear();
    list_known_.clear();
    list_gone_.clear();
    list_unread_.clear();
  }
  Status ListItem(JsonValue object) override {
    T item;
    Status done = decode_(object, item);
    if (done) {
      if (!list_unread_.empty()) list_unread_.erase(Key(item.meta));
    } else {
      list_unread_.insert(Key(item.meta));
    }
    if (done) {
      list_.push_back(store_.Share(std::move(item)));
    } else if (!list_gone_.contains(Key(item.meta))) {
      if (auto known = store_.Get(Key(item.meta))) list_known_[Key(item.meta)] = std::move(known);
    }
    return done;
  }
  void ListGone(const std::string& key) override {
    list_gone_[key] = list_.size();
    list_known_.erase(key);
    list_unread_.erase(key);
  }
  void EndList(const std::string& version) override {
    if (!list_gone_.empty()) DropGone();
    if (!list_known_.empty()) AddKnown();
    store_.Replace(std::move(list_), version);
    list_ = {};
    list_known_.clear();
    list_gone_.clear();
    unread_.swap(list_unread_);
  }
  Status Upsert(JsonValue object) override {
    T item;
    if (Status done = decode_(object, item); !done) {
      unread_.insert(Key(item.meta));
      return done;
    }
    if (!unread_.empty()) unread_.erase(Key(item.meta));
    store_.Upsert(std::move(item));
    return Ok{};
  }
  Status Delete(JsonValue object) override {
    T item;
    Status done = decode_(object, item);
    unread_.erase(Key(item.meta));
    // The name is enough to forget it by; it comes before what may have failed.
    if (done || !item.meta.name.empty()) store_.Erase(Key(item.meta), item.meta.resource_version);
    return done;
  }
  void Bookmark(const std::string& version) override { store_.Advance(version); }
  [[nodiscard]] std::optional<Contents> Held() const override {
    if (!unread_.empty()) return std::nullopt;
    Contents held;
    for (const auto& one : store_.List()) held.Add(Key(one->meta), one->meta.resource_version);
    return held;
  }

 private:
  using Ptr = typename Store<T>::Ptr;

  // Before what could be read of the same object, which takes their place.
  void AddKnown() {
    std::vector<Ptr> all;
    all.reserve(list_known_.size() + list_.size());
    for (const auto& [key, known] : list_known_) all.push_back(known);
    std::ranges::move(list_, std::back_inserter(all));
    list_ = std::move(all);
  }
  void DropGone() {
    size_t at = 0;
    std::erase_if(list_, [&](const Ptr& item) {
      const auto gone = list_gone_.find(Key(item->meta));
      return at++ < (gone == list_gone_.end() ? 0 : gone->second);
    });
  }

  Store<T>& store_;
  Decode decode_;
  std::vector<Ptr> list_;
  std::map<std::string, size_t> list_gone_;  // what came before so many items went again
  // As it was known, of what could not be read.
  std::map<std::string, Ptr> list_known_;
  std::set<std::string> list_unread_;  // of the list that is coming in
  std::set<std::string> unread_;       // keys of objects as they are now
};

// Delays between attempts: 0.8 s doubling to 30 s, each with up to as much again on top, back to
// the start after two minutes without use. Not thread-safe.
class Backoff {
 public:
  explicit Backoff(uint64_t seed) : random_(seed) {}

  // `now` as by Clock::Elapsed.
  std::chrono::milliseconds Next(std::chrono::nanoseconds now);

 private:
  std::mt19937_64 random_;
  std::chrono::milliseconds next_{0};
  std::chrono::nanoseconds used_{0};
};

// Counted by reflectors; one per resource, all functions may be empty. Called on the reflector's
// thread.
struct ReflectorHooks {
  // A whole list is in the store. Why it was asked for: start, expired, error, idle (two watches in
  // a row were silent), differs (the store was found to differ from the server).
  std::function<void(std::string_view reason)> listed;
  // How a watch ended: timeout (by the server, in good order), error, expired, idle, differs.
  std::function<void(std::string_view reason)> watch_ended;
  std::function<void()> event;  // any sign of life on a watch
  // An object that could not be decoded, or an object or a list that is of another kind.
  std::function<void(const Error&)> bad_object;
  // It was time to see whether the store has what the server has, and that could not be told: the
  // server did not say it in time, or the store has objects that could not be decoded.
  std::function<void()> check_skipped;
};

// Keeps a store equal to the server: list, then watch with bookmarks, resume from the last version,
// list again on 410 and where watches keep failing, with jittered backoff. No failure ends it: Run
// blocks its thread until `stop`, then returns within 100 ms (as far as the transport does). A
// server that has lost history (etcd restored from a backup) is noticed by what it says, or by its
// silence, and listed anew.
//
// API servers have lost events (kubernetes#123072), which no watch ever makes good. So now and
// then, beside a watch that it begins with, it reads which objects there are at which versions.
// Once the watch has come as far as that list, the store must have the same, but for what events
// beyond it have changed since, or all is listed anew (Look).
class Reflector {
 public:
  struct Options {
    Resource resource;
    std::string label_selector{};
    std::string field_selector{};
    uint64_t seed = 1;  // of the jitter
    // Least time between two looks whether the store has what the server has; the longest is twice
    // that, and what is left of a watch.
    std::chrono::seconds check_every{1800};
    // False: the watch waits for a look, so that what is asked comes in one order (tests).
    bool look_beside_watch = true;
    // Lists come as the first events of a watch (WatchList, since Kubernetes 1.34), which spares
    // the server a list in its memory and takes more bytes. A server that refuses, or does not come
    // to the end of it, is asked for lists from then on.
    bool stream_lists = false;
    ReflectorHooks hooks{};
    // Waits for `delay` or until `stop`. Empty: real time.
    std::function<void(std::chrono::milliseconds delay, const std::stop_token& stop)> wait{};
  };
  Reflector(Client& client, Clock& clock, Log& log, ObjectSink& sink, Options options);

  void Run(const std::stop_token& stop);

 private:
  class Machine;  // the states and the steps between them
  Client& client_;
  Clock& clock_;
  Log& log_;
  ObjectSink& sink_;
  Options options_;
};

}  // namespace spillway::kube
