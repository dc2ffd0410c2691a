#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/heap_size.h"
#include "kube/object_key.h"

namespace spillway::kube {

// What is kept in hand of all objects of a store, as they come and go, so that nobody has to look
// at each of them. It belongs to the store's writer, and is read within Store::Look.
template <class T>
class Index {
 public:
  virtual ~Index() = default;
  // One came (`before` is null), took the place of another of its key, or went (`after` is null).
  // What an object stands for follows from that object alone, as it has to be undone by it.
  virtual void Change(const T* before, const T* after) = 0;
  // What it keeps on the heap, beside itself.
  [[nodiscard]] virtual size_t Bytes() const = 0;
};

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

  // How many bytes an object keeps on the heap, beside itself.
  using Measure = size_t (*)(const T&);
  // What the store takes for each besides: itself, and its place here.
  static constexpr size_t BytesEach() { return HeapOfMadeShared<T>() + HeapOfTreeNode<Slot>(); }

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
  // What all of them and the indices keep of memory, by SetMeasure; 0 without it.
  [[nodiscard]] size_t Bytes() const {
    const std::scoped_lock lock(mutex_);
    size_t bytes = bytes_;
    for (const Index<T>* index : indices_) bytes += measure_ == nullptr ? 0 : index->Bytes();
    return bytes;
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

  // Calls it with the version that the indices are of, and stay at as long as it looks at them. To
  // be short, as the writer waits; REQUIRES that it calls nothing of this store.
  void Look(const std::function<void(const std::string& version)>& look) const {
    const std::scoped_lock lock(mutex_);
    look(version_);
  }

  // --- for the one writer ---

  // Constant once the writer runs.
  void SetOnAdvance(std::function<void()> on_advance) { on_advance_ = std::move(on_advance); }

  // Likewise. REQUIRES that nothing is here yet.
  void SetMeasure(Measure measure) { measure_ = measure; }

  // Likewise. `index` is of this store alone and outlives its writer.
  void AddIndex(Index<T>& index) { indices_.push_back(&index); }

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
    const std::vector<size_t> bytes = Measured(objects);
    std::vector<Ptr> gone;  // freed outside the lock, as what is left of `objects`
    {
      const std::scoped_lock lock(mutex_);
      Merge(objects, bytes, gone);
      version_ = version;
      synced_ = true;
    }
    Call(changed);
  }
  void Upsert(T object) {
    const auto at = objects_.find(KeyOf(object.meta));
    const bool changed = !SameFacts(object, at);
    auto fresh = std::make_shared<const T>(std::move(object));
    const size_t bytes = BytesOf(*fresh);
    {
      const std::scoped_lock lock(mutex_);
      version_ = fresh->meta.resource_version;
      if (at == objects_.end()) {
        Put(objects_.end(), fresh, bytes);
      } else {
        Swap(at, fresh, bytes);  // what was there is freed outside the lock
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
      if (changed) Drop(at);
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
    mutable Ptr object;        // never null; one of the same key may take its place
    mutable size_t bytes = 0;  // of it; costs nothing, as the heap gives out steps of 16
  };
  struct ByKey {
    using is_transparent = void;
    static KeyView Of(const Slot& slot) { return KeyOf(slot.object->meta); }
    static KeyView Of(KeyView key) { return key; }
    bool operator()(const auto& left, const auto& right) const { return Of(left) < Of(right); }
  };
  using Objects = std::set<Slot, ByKey>;
  using At = typename Objects::const_iterator;

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
  size_t BytesOf(const T& object) const {
    return measure_ == nullptr ? 0 : BytesEach() + measure_(object);
  }
  // Of each; those that are here already are not measured again. REQUIRES the same.
  std::vector<size_t> Measured(const std::vector<Ptr>& objects) const {
    std::vector<size_t> bytes;
    bytes.reserve(objects.size());
    auto at = objects_.begin();
    for (const Ptr& object : objects) {
      while (at != objects_.end() && ByKey::Of(*at) < KeyOf(object->meta)) ++at;
      const bool here = at != objects_.end() && at->object == object;
      bytes.push_back(here ? at->bytes : BytesOf(*object));
    }
    return bytes;
  }
  // What is no longer there goes to `gone`. REQUIRES the same, and as many `bytes`.
  void Merge(std::vector<Ptr>& objects, const std::vector<size_t>& bytes, std::vector<Ptr>& gone) {
    auto at = objects_.cbegin();
    const auto drop = [&] {
      gone.push_back(at->object);
      at = Drop(at);
    };
    for (size_t i = 0; i < objects.size(); ++i) {
      const KeyView key = KeyOf(objects[i]->meta);
      while (at != objects_.end() && ByKey::Of(*at) < key) drop();
      if (at != objects_.end() && ByKey::Of(*at) == key) {
        Swap(at++, objects[i], bytes[i]);
      } else {
        Put(at, objects[i], bytes[i]);
      }
    }
    while (at != objects_.end()) drop();
  }
  // These three keep the sum and the indices; under the lock. `before`: a hint.
  void Put(At before, Ptr& object, size_t bytes) {
    const At at = objects_.emplace_hint(before, Slot{std::move(object), bytes});
    bytes_ += bytes;
    Tell(nullptr, at->object.get());
  }
  void Swap(At at, Ptr& object, size_t bytes) {
    at->object.swap(object);
    bytes_ += bytes;
    bytes_ -= std::exchange(at->bytes, bytes);
    if (at->object != object) Tell(object.get(), at->object.get());
  }
  At Drop(At at) {
    bytes_ -= at->bytes;
    Tell(at->object.get(), nullptr);
    return objects_.erase(at);
  }
  void Tell(const T* before, const T* after) {
    for (Index<T>* index : indices_) index->Change(before, after);
  }
  // Whether what is known is equal but for the resource version.
  bool SameFacts(T& object, At known) const {
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
  size_t bytes_ = 0;                  // the sum of the slots'
  std::function<void()> on_change_;   // constant once the writer runs
  std::function<void()> on_advance_;  // constant once the writer runs
  Measure measure_ = nullptr;         // constant once the writer runs
  std::vector<Index<T>*> indices_;    // constant once the writer runs; they are guarded by mutex_
};

}  // namespace spillway::kube
