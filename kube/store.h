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
// shared const values. T has a member `meta` and operator==. A change of facts (not of the resource
// version alone) calls `on_change` after it is visible, outside the lock.
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
  // Everything up to this version is in. "" before the first list.
  [[nodiscard]] std::string ResourceVersion() const {
    const std::scoped_lock lock(mutex_);
    return version_;
  }

  // --- for the one writer ---

  // Swaps in the whole world of a list; objects not in it are gone.
  void Replace(std::vector<T> objects, const std::string& version) {
    std::map<std::string, Ptr> fresh;
    for (T& object : objects) {
      std::string key = Key(object.meta);
      fresh.insert_or_assign(std::move(key), std::make_shared<const T>(std::move(object)));
    }
    bool changed = false;
    {
      const std::scoped_lock lock(mutex_);
      changed = !synced_ || !SameFacts(fresh, objects_);
      objects_.swap(fresh);
      version_ = version;
      synced_ = true;
    }
    if (changed && on_change_) on_change_();
  }
  void Upsert(T object) {
    const std::string key = Key(object.meta);
    auto fresh = std::make_shared<const T>(std::move(object));
    bool changed = false;
    {
      const std::scoped_lock lock(mutex_);
      Ptr& slot = objects_[key];
      changed = slot == nullptr || !SameFacts(*slot, *fresh);
      version_ = fresh->meta.resource_version;
      slot = std::move(fresh);
    }
    if (changed && on_change_) on_change_();
  }
  void Erase(const std::string& key, const std::string& version) {
    bool changed = false;
    {
      const std::scoped_lock lock(mutex_);
      changed = objects_.erase(key) > 0;
      version_ = version;
    }
    if (changed && on_change_) on_change_();
  }
  // A bookmark: nothing changed up to `version`. Wakes readers that wait for their own writes.
  void Advance(const std::string& version) {
    {
      const std::scoped_lock lock(mutex_);
      version_ = version;
    }
    if (on_advance_) on_advance_();
  }
  void SetOnAdvance(std::function<void()> on_advance) { on_advance_ = std::move(on_advance); }

 private:
  static bool SameFacts(const T& a, const T& b) {
    if (a.meta.resource_version == b.meta.resource_version) return a.meta.uid == b.meta.uid;
    T copy = b;
    copy.meta.resource_version = a.meta.resource_version;
    return a == copy;
  }
  static bool SameFacts(const std::map<std::string, Ptr>& a, const std::map<std::string, Ptr>& b) {
    if (a.size() != b.size()) return false;
    auto at = b.begin();
    for (const auto& [key, object] : a) {
      if (key != at->first || !SameFacts(*object, *at->second)) return false;
      ++at;
    }
    return true;
  }

  mutable std::mutex mutex_;
  std::map<std::string, Ptr> objects_;
  std::string version_;
  bool synced_ = false;
  std::function<void()> on_change_;   // constant once the writer runs
  std::function<void()> on_advance_;
};

}  // namespace spillway::kube
