// The watch caches of the in-process API servers, and what time requests take.

#include <algorithm>
#include <utility>

#include "tests/support/fake_api_server.h"
#include "tests/support/fake_api_state.h"

namespace spillway::support {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// --- caches ---

void FakeApiServer::SetLag(std::optional<Lag> lag) {
  const std::scoped_lock lock(mutex_);
  lag_ = lag;
  shown_ = version_;
  caches_.clear();
  caches_from_ = forgotten_ + history_.size();
  if (lag_) {
    lag_random_.seed(lag_->seed);
    caches_.resize(static_cast<size_t>(std::max(lag_->servers, 1)));
  }
  for (auto& caches : caches_) {
    for (const auto& [kind, objects] : objects_) {
      caches[kind] = Cache{objects, caches_from_, version_, {}};
    }
  }
  Changed();
}

void FakeApiServer::CatchUp() {
  const std::scoped_lock lock(mutex_);
  shown_ = version_;
  Changed();
}

// What has happened. Each cache shows what happens to a kind in order, however late.
void FakeApiServer::Record(std::shared_ptr<Event> event) {
  for (size_t server = 0; server < caches_.size(); ++server) {
    Cache& cache = CacheOf(server, *event->kind);
    cache.shown = std::max(cache.shown, clock_.Elapsed() + PartOf(lag_->cache));
    event->shown.push_back(cache.shown);
  }
  history_.push_back(std::move(event));
  Changed();
}

bool FakeApiServer::Shows(size_t server, const Event& event) const {
  if (event.version <= shown_ || server >= event.shown.size()) return true;
  return clock_.Elapsed() >= event.shown[server];
}

size_t FakeApiServer::AnyServer() {
  return caches_.size() > 1 ? lag_random_() % caches_.size() : 0;
}

FakeApiServer::Cache& FakeApiServer::CacheOf(size_t server, const ServedKind& kind) {
  Cache& cache = caches_[server].try_emplace(&kind, Cache{{}, caches_from_, 0, {}}).first->second;
  cache.version = version_;
  for (; cache.next - forgotten_ < history_.size(); ++cache.next) {
    const Event& event = *history_[cache.next - forgotten_];
    if (event.kind != &kind) continue;
    if (!Shows(server, event)) {
      cache.version = event.version - 1;
      break;
    }
    const auto& object = event.after->object;
    const std::string key = KeyOf(MetaText(object, "namespace"), MetaText(object, "name"));
    if (event.deleted) {
      cache.objects.erase(key);
    } else {
      cache.objects[key] = event.after;
    }
  }
  return cache;
}

FakeApiServer::View FakeApiServer::CachedView(size_t server, const ServedKind& kind) {
  if (server >= caches_.size()) return StoredView(kind);
  const Cache& cache = CacheOf(server, kind);
  return {&cache.objects, cache.version, cache.next};
}

FakeApiServer::View FakeApiServer::StoredView(const ServedKind& kind) const {
  const auto all = objects_.find(&kind);
  return {all == objects_.end() ? nullptr : &all->second, version_, forgotten_ + history_.size()};
}

// --- time ---

milliseconds FakeApiServer::PartOf(milliseconds most) {
  if (most.count() <= 0) return milliseconds(0);
  return milliseconds(
      static_cast<int64_t>(lag_random_() % static_cast<uint64_t>(most.count() + 1)));
}

bool FakeApiServer::Await(std::unique_lock<std::mutex>& lock, const std::stop_token& stop,
                          milliseconds time) {
  if (time.count() == 0) return true;
  const nanoseconds until = clock_.Elapsed() + time;
  return changed_.wait(lock, stop, [&] { return !lag_ || clock_.Elapsed() >= until; });
}

}  // namespace spillway::support
