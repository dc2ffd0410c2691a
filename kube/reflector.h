#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "kube/client.h"
#include "kube/json.h"
#include "kube/store.h"

namespace spillway::kube {

// Where a reflector puts what it reads. Implemented by StoreSink<T>.
class ObjectSink {
 public:
  virtual ~ObjectSink() = default;
  virtual void BeginList() = 0;
  virtual Status ListItem(JsonValue object) = 0;
  virtual void EndList(const std::string& version) = 0;
  virtual Status Upsert(JsonValue object) = 0;
  virtual Status Delete(JsonValue object) = 0;
  virtual void Bookmark(const std::string& version) = 0;
};

// Decodes objects into facts and writes them to a store. An object that cannot be decoded is passed
// over with the decoder's error; the rest goes on.
template <class T>
class StoreSink final : public ObjectSink {
 public:
  using Decode = std::function<Status(JsonValue, T&)>;
  StoreSink(Store<T>& store, Decode decode) : store_(store), decode_(std::move(decode)) {}

  void BeginList() override { list_.clear(); }
  Status ListItem(JsonValue object) override {
    T item;
    if (Status done = decode_(object, item); !done) return done;
    list_.push_back(std::move(item));
    return Ok{};
  }
  void EndList(const std::string& version) override {
    store_.Replace(std::move(list_), version);
    list_ = {};
  }
  Status Upsert(JsonValue object) override {
    T item;
    if (Status done = decode_(object, item); !done) return done;
    store_.Upsert(std::move(item));
    return Ok{};
  }
  Status Delete(JsonValue object) override {
    T item;
    if (Status done = decode_(object, item); !done) return done;
    store_.Erase(Key(item.meta), item.meta.resource_version);
    return Ok{};
  }
  void Bookmark(const std::string& version) override { store_.Advance(version); }

 private:
  Store<T>& store_;
  Decode decode_;
  std::vector<T> list_;
};

// Counted by reflectors; one per resource, all functions may be empty.
struct ReflectorHooks {
  std::function<void(std::string_view reason)> listed;         // a list was made: start, expired, error
  std::function<void(std::string_view reason)> watch_ended;    // timeout, error, expired, idle
  std::function<void()> event;                                 // any sign of life on a watch
  std::function<void(const Error&)> bad_object;
};

// Keeps a store equal to the server: list, then watch with bookmarks, resume from the last version,
// list again on 410, with jittered backoff (0.8 s doubling to 30 s, reset after two good minutes).
// Run blocks its thread until `stop`.
class Reflector {
 public:
  struct Options {
    Resource resource;
    std::string label_selector;
    std::string field_selector;
    uint64_t seed = 1;  // of the jitter
    ReflectorHooks hooks;
  };
  Reflector(Client& client, Clock& clock, Log& log, ObjectSink& sink, Options options);

  void Run(const std::stop_token& stop);

 private:
  struct Machine;
  Client& client_;
  Clock& clock_;
  Log& log_;
  ObjectSink& sink_;
  Options options_;
};

}  // namespace spillway::kube
