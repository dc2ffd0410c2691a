#pragma once

#include <algorithm>
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

  // The object to be listed: the one that is here, where they are equal. Only the writer's thread
  // writes, so reading without the lock is sound here and below.
  [[nodiscard]] Ptr Share(T object) const {
    const auto known = objects_.find(KeyOf(object.meta));
    if (known != objects_.end() && *known->object == object) return known->object;
    return std::make_shared<const T>(std::move(object));
  }
  // Swaps in the whole world of a list, of equal keys the last; objects not in it are gone. The
  // first one is a change even if it is empty. Takes no second set beside the one that is here.
  void Replace(std::vector<Ptr> objects, const std::string& version) {
    SortByKey(objects);
    const bool changed = !synced_ || Differs(objects);
    std::vector<Ptr> gone;  // freed outside the lock, as what is left of `objects`
    {
      const std::scoped_lock lock(mutex_);
      Merge(objects, gone);
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

  static bool ComesBefore(const Ptr& left, const Ptr& right) {
    return KeyOf(left->meta) < KeyOf(right->meta);
  }
  // Of equal keys only the last stays. Lists come in order, mostly.
  static void SortByKey(std::vector<Ptr>& objects) {
    if (!std::ranges::is_sorted(objects, ComesBefore)) {
      // What std::stable_sort has in libstdc++ 12, clang calls deprecated.
      std::vector<std::pair<Ptr, size_t>> places;
      places.reserve(objects.size());
      for (Ptr& object : objects) places.emplace_back(std::move(object), places.size());
      std::ranges::sort(places, [](const auto& left, const auto& right) {
        if (ComesBefore(left.first, right.first)) return true;
        return left.second < right.second && !ComesBefore(right.first, left.first);
      });
      std::ranges::transform(places, objects.begin(),
                             [](auto& place) { return std::move(place.first); });
    }
    const auto same = [](const Ptr& a, const Ptr& b) { return KeyOf(a->meta) == KeyOf(b->meta); };
    const auto first = std::unique(objects.rbegin(), objects.rend(), same).base();
    objects.erase(objects.begin(), first);
  }
  // REQUIRES order by key, each once.
  bool Differs(const std::vector<Ptr>& objects) const {
    if (objects.size() != objects_.size()) return true;
    return !std::ranges::equal(objects, objects_, [this](const Ptr& object, const Slot& known) {
      if (object == known.object) return true;
      T copy = *object;
      return SameFacts(copy, objects_.find(KeyOf(copy.meta)));
    });
  }
  // What is no longer there goes to `gone`. REQUIRES the same.
  void Merge(std::vector<Ptr>& objects, std::vector<Ptr>& gone) {
    auto at = objects_.begin();
    const auto drop = [&] {
      gone.push_back(std::move(at->object));
      at = objects_.erase(at);
    };
    for (Ptr& object : objects) {
      const KeyView key = KeyOf(object->meta);
      while (at != objects_.end() && ByKey::Of(*at) < key) drop();
      if (at != objects_.end() && ByKey::Of(*at) == key) {
        at++->object.swap(object);
      } else {
        objects_.emplace_hint(at, Slot{std::move(object)});
      }
    }
    while (at != objects_.end()) drop();
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
