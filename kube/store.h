#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kube/object_meta.h"

namespace spillway::kube {

// The last known facts of all objects of one kind: one writer (the reflector), many readers of
// shared const values. T has a member `meta` and operator==.
//
// Whenever the store's version moves, exactly one of two functions is called, outside the lock and
// after readers can see the new state: `on_change` if facts changed (not the resource version
// alone), else `on_advance`. Whoever waits until its own write is in (ResourceVersion() at or
// beyond the version that the write returned) must look again after either.
template <class T>
class Store {
 public:
  using Ptr = std::shared_ptr<const T>;

  explicit Store(std::function<void()> on_change) : on_change_(std::move(on_change)) {}

  // Sorted by key.
  [[nodiscard]] std::vector<Ptr> List() const {
    const std::scoped_lock lock(mutex_);
    std::vector<Ptr> all;
    all.reserve(objects_.size());
    for (const auto& [key, object] : objects_) all.push_back(object);
    return all;
  }
  // Null if absent.
  [[nodiscard]] Ptr Get(const std::string& key) const {
    const std::scoped_lock lock(mutex_);
    const auto at = objects_.find(key);
    return at == objects_.end() ? nullptr : at->second;
  }
  [[nodiscard]] size_t size() const {
    const std::scoped_lock lock(mutex_);
    return objects_.size();
  }
  // True once the first whole list is in; then for good.
  [[nodiscard]] bool Synced() const {
    const std::scoped_lock lock(mutex_);
    return synced_;
  }
  // Everything up to this version is in. "" before the first list. Goes back only when the server's
  // own history does (etcd restored from a backup).
  [[nodiscard]] std::string ResourceVersion() const {
    const std::scoped_lock lock(mutex_);
    return version_;
  }

  // --- for the one writer ---

  // Constant once the writer runs.
  void SetOnAdvance(std::function<void()> on_advance) { on_advance_ = std::move(on_advance); }

  // Swaps in the whole world of a list; objects not in it are gone. The first one is a change even
  // if it is empty.
  void Replace(std::vector<T> objects, const std::string& version) {
    // Only this thread writes, so reading without the lock is sound here and below.
    std::map<std::string, Ptr> fresh;
    bool changed = !synced_;
    for (T& object : objects) {
      std::string key = Key(object.meta);
      changed = !SameFacts(object, objects_, key) || changed;
      fresh.insert_or_assign(std::move(key), std::make_shared<const T>(std::move(object)));
    }
    changed = changed || fresh.size() != objects_.size();
    {
      const std::scoped_lock lock(mutex_);
      objects_.swap(fresh);
      version_ = version;
      synced_ = true;
    }
    Call(changed);
  }
  void Upsert(T object) {
    const std::string key = Key(object.meta);
    const bool changed = !SameFacts(object, objects_, key);
    auto fresh = std::make_shared<const T>(std::move(object));
    {
      const std::scoped_lock lock(mutex_);
      Ptr& slot = objects_[key];
      version_ = fresh->meta.resource_version;
      slot.swap(fresh);  // what was there is freed outside the lock
    }
    Call(changed);
  }
  // `version`: of the deletion.
  void Erase(const std::string& key, const std::string& version) {
    bool changed = false;
    {
      const std::scoped_lock lock(mutex_);
      changed = objects_.erase(key) > 0;
      version_ = version;
    }
    Call(changed);
  }
  // A bookmark: nothing changed up to `version`.
  void Advance(const std::string& version) {
    {
      const std::scoped_lock lock(mutex_);
      version_ = version;
    }
    Call(false);
  }

 private:
  // Whether `known` has the object, equal but for the resource version.
  static bool SameFacts(T& object, const std::map<std::string, Ptr>& known,
                        const std::string& key) {
    const auto at = known.find(key);
    if (at == known.end()) return false;
    std::string version = at->second->meta.resource_version;
    version.swap(object.meta.resource_version);
    const bool same = object == *at->second;
    version.swap(object.meta.resource_version);
    return same;
  }
  void Call(bool changed) const {
    const std::function<void()>& hook = changed ? on_change_ : on_advance_;
    if (hook) hook();
  }

  mutable std::mutex mutex_;
  std::map<std::string, Ptr> objects_;
  std::string version_;
  bool synced_ = false;
  std::function<void()> on_change_;   // constant once the writer runs
  std::function<void()> on_advance_;  // constant once the writer runs
};

}  // namespace spillway::kube
