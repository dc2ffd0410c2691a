#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kube/object_key.h"

namespace spillway::kube {

// The last known facts of all objects of one kind: one writer (the reflector), many readers of
// shared const values. T has operator== and a member `meta` with a resource version, for which
// there is KeyOf.
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
    for (const Slot& slot : objects_) all.push_back(slot.object);
    return all;
  }
  // Null if absent.
  [[nodiscard]] Ptr Get(const std::string& key) const {
    const std::scoped_lock lock(mutex_);
    const auto at = objects_.find(KeyFrom(key));
    return at == objects_.end() ? nullptr : at->object;
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
    Objects fresh;
    bool changed = !synced_;
    for (T& object : objects) {
      changed = !SameFacts(object, objects_.find(KeyOf(object.meta))) || changed;
      Put(std::make_shared<const T>(std::move(object)), fresh);
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
    const auto at = objects_.find(KeyOf(object.meta));
    const bool changed = !SameFacts(object, at);
    auto fresh = std::make_shared<const T>(std::move(object));
    {
      const std::scoped_lock lock(mutex_);
      version_ = fresh->meta.resource_version;
      if (at == objects_.end()) {
        objects_.insert({std::move(fresh)});
      } else {
        at->object.swap(fresh);  // what was there is freed outside the lock
      }
    }
    Call(changed);
  }
  // `version`: of the deletion.
  void Erase(const std::string& key, const std::string& version) {
    bool changed = false;
    {
      const std::scoped_lock lock(mutex_);
      const auto at = objects_.find(KeyFrom(key));
      changed = at != objects_.end();
      if (changed) objects_.erase(at);
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
  // A name is kept once, in the object.
  struct Slot {
    mutable Ptr object;  // never null; one of the same key may take its place
  };
  struct ByKey {
    using is_transparent = void;
    static KeyView Of(const Slot& slot) { return KeyOf(slot.object->meta); }
    static KeyView Of(KeyView key) { return key; }
    bool operator()(const auto& left, const auto& right) const { return Of(left) < Of(right); }
  };
  using Objects = std::set<Slot, ByKey>;

  // Lists come in order, mostly.
  static void Put(Ptr object, Objects& into) {
    const size_t before = into.size();
    const auto at = into.insert(into.end(), Slot{object});
    if (into.size() == before) at->object = std::move(object);
  }
  // Whether what is known is equal but for the resource version.
  bool SameFacts(T& object, typename Objects::const_iterator known) const {
    if (known == objects_.end()) return false;
    std::string version = known->object->meta.resource_version;
    version.swap(object.meta.resource_version);
    const bool same = object == *known->object;
    version.swap(object.meta.resource_version);
    return same;
  }
  void Call(bool changed) const {
    const std::function<void()>& hook = changed ? on_change_ : on_advance_;
    if (hook) hook();
  }

  mutable std::mutex mutex_;
  Objects objects_;
  std::string version_;
  bool synced_ = false;
  std::function<void()> on_change_;   // constant once the writer runs
  std::function<void()> on_advance_;  // constant once the writer runs
};

}  // namespace spillway::kube
