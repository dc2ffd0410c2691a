// What tests do to the in-process API server past its HTTP side, and what they read of it.

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "tests/support/fake_api_server.h"
#include "tests/support/fake_api_state.h"

namespace spillway::support {

using kube::HttpResponse;

// --- objects, for tests ---

FakeApiServer::Json FakeApiServer::Put(Json object) {
  const ServedKind* kind = FindByKind(object.value("kind", ""));
  if (kind == nullptr) throw std::invalid_argument("no kind that is served: " + object.dump());
  const std::scoped_lock lock(mutex_);
  if (kind->namespaced && MetaText(object, "namespace").empty()) {
    object["metadata"]["namespace"] = "default";
  }
  const Ptr old = Find(*kind, MetaText(object, "namespace"), MetaText(object, "name"));
  if (old != nullptr) {
    for (const char* field : {"uid", "creationTimestamp"}) {
      object["metadata"][field] = old->object["metadata"][field];
    }
    const bool other = SpecOf(object) != SpecOf(old->object);
    object["metadata"]["generation"] =
        old->object["metadata"].value("generation", int64_t{1}) + (other ? 1 : 0);
  }
  Identify(*kind, object);
  return Store(*kind, std::move(object))->object;
}

FakeApiServer::Json FakeApiServer::Patch(const std::string& plural, const std::string& ns,
                                         const std::string& name, const Json& patch) {
  const ServedKind* kind = FindByPlural(plural);
  Json object;
  {
    const std::scoped_lock lock(mutex_);
    const Ptr old = kind == nullptr ? nullptr : Find(*kind, ns, name);
    if (old == nullptr) return nullptr;
    object = old->object;
    object.merge_patch(patch);
    if (object == old->object) return object;
    if (kind->generation && SpecOf(object) != SpecOf(old->object)) {
      object["metadata"]["generation"] =
          old->object["metadata"].value("generation", int64_t{1}) + 1;
    }
    return Store(*kind, std::move(object))->object;
  }
}

bool FakeApiServer::Delete(const std::string& plural, const std::string& ns,
                           const std::string& name) {
  const ServedKind* kind = FindByPlural(plural);
  const std::scoped_lock lock(mutex_);
  const Ptr old = kind == nullptr ? nullptr : Find(*kind, ns, name);
  if (old == nullptr) return false;
  DeleteGracefully(*kind, old, -1);
  return true;
}

bool FakeApiServer::Lose(const std::string& plural, const std::string& ns,
                         const std::string& name) {
  const ServedKind* kind = FindByPlural(plural);
  const std::scoped_lock lock(mutex_);
  if (kind == nullptr) return false;
  ++version_;
  for (size_t server = 0; server < caches_.size(); ++server) {
    CacheOf(server, *kind).objects.erase(KeyOf(ns, name));
  }
  return objects_[kind].erase(KeyOf(ns, name)) > 0;
}

bool FakeApiServer::Remove(const std::string& plural, const std::string& ns,
                           const std::string& name) {
  const ServedKind* kind = FindByPlural(plural);
  const std::scoped_lock lock(mutex_);
  if (kind == nullptr || Find(*kind, ns, name) == nullptr) return false;
  Erase(*kind, KeyOf(ns, name));
  return true;
}

std::optional<FakeApiServer::Json> FakeApiServer::Get(const std::string& plural,
                                                      const std::string& ns,
                                                      const std::string& name) const {
  const ServedKind* kind = FindByPlural(plural);
  const std::scoped_lock lock(mutex_);
  const Ptr found = kind == nullptr ? nullptr : Find(*kind, ns, name);
  if (found == nullptr) return std::nullopt;
  return found->object;
}

std::vector<FakeApiServer::Json> FakeApiServer::All(
    const std::string& plural, const std::string& ns,
    const std::function<bool(const Json&)>& which) const {
  std::vector<Json> out;
  const std::scoped_lock lock(mutex_);
  const auto all = objects_.find(FindByPlural(plural));
  if (all == objects_.end()) return out;
  for (const auto& [key, stored] : all->second) {
    const bool here = ns.empty() || MetaText(stored->object, "namespace") == ns;
    if (here && (!which || which(stored->object))) out.push_back(stored->object);
  }
  return out;
}

int64_t FakeApiServer::version() const {
  const std::scoped_lock lock(mutex_);
  return version_;
}

int FakeApiServer::CollectGarbage() {
  const std::scoped_lock lock(mutex_);
  int removed = 0;
  while (true) {
    if (RemoveNextOrphan()) {
      ++removed;
    } else if (!FinishNextPropagation()) {
      return removed;
    }
  }
}

namespace {

bool Has(const nlohmann::json& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

nlohmann::json Without(const nlohmann::json& list,
                       const std::function<bool(const nlohmann::json&)>& goes) {
  nlohmann::json out = nlohmann::json::array();
  std::copy_if(list.begin(), list.end(), std::back_inserter(out),
               [&](const auto& one) { return !goes(one); });
  return out;
}

}  // namespace

bool FakeApiServer::FinishNextPropagation() {
  for (const auto& [kind, all] : objects_) {
    for (const auto& [key, stored] : all) {
      const Json& meta = stored->object["metadata"];
      const Json finalizers = meta.value("finalizers", Json::array());
      const bool orphans = Has(finalizers, "orphan");
      if (!meta.contains("deletionTimestamp") ||
          (!orphans && !Has(finalizers, "foregroundDeletion")))
        continue;
      const Ptr owner = stored;
      const Dependents left = SettleNextDependent(MetaText(owner->object, "uid"), orphans);
      if (left == Dependents::kSettledOne) return true;
      if (left == Dependents::kLeaving) continue;
      ApiTarget target;
      target.kind = kind;
      target.ns = MetaText(owner->object, "namespace");
      target.name = MetaText(owner->object, "name");
      Json fresh = owner->object;
      fresh["metadata"]["finalizers"] = Without(finalizers, [&](const Json& one) {
        return one == (orphans ? "orphan" : "foregroundDeletion");
      });
      StoreChanged(target, owner, std::move(fresh));
      return true;
    }
  }
  return false;
}

FakeApiServer::Dependents FakeApiServer::SettleNextDependent(const std::string& owner,
                                                             bool orphan) {
  Dependents found = Dependents::kNone;
  const auto mine = [&](const Json& reference) { return reference.value("uid", "") == owner; };
  for (const auto& [kind, all] : objects_) {
    for (const auto& [key, stored] : all) {
      const Json owners = stored->object["metadata"].value("ownerReferences", Json::array());
      if (std::none_of(owners.begin(), owners.end(), mine)) continue;
      if (!orphan && stored->object["metadata"].contains("deletionTimestamp")) {
        found = Dependents::kLeaving;
        continue;
      }
      const Ptr dependent = stored;
      if (!orphan) {
        DeleteGracefully(*kind, dependent, -1);
        return Dependents::kSettledOne;
      }
      Json fresh = dependent->object;
      fresh["metadata"]["ownerReferences"] = Without(owners, mine);
      Store(*kind, std::move(fresh));
      return Dependents::kSettledOne;
    }
  }
  return found;
}

bool FakeApiServer::RemoveNextOrphan() {
  std::vector<std::string> uids;
  for (const auto& [kind, all] : objects_) {
    for (const auto& [key, stored] : all) uids.push_back(MetaText(stored->object, "uid"));
  }
  std::sort(uids.begin(), uids.end());
  for (const auto& [kind, all] : objects_) {
    for (const auto& [key, stored] : all) {
      const Json& meta = stored->object["metadata"];
      const Json owners = meta.value("ownerReferences", Json::array());
      const bool owned = std::any_of(owners.begin(), owners.end(), [&](const Json& owner) {
        return std::binary_search(uids.begin(), uids.end(), owner.value("uid", ""));
      });
      if (owners.empty() || owned || meta.contains("deletionTimestamp")) continue;
      DeleteGracefully(*kind, Ptr(stored), -1);
      return true;
    }
  }
  return false;
}

// --- faults and the log ---

FakeApiServer::Blow FakeApiServer::NextBlow(const LoggedRequest& request) {
  for (Fault& fault : faults_) {
    const bool watch_only =
        fault.kind == Fault::Kind::kErrorEvent || fault.kind == Fault::Kind::kCutWatch;
    const bool matches = (fault.verb.empty() || fault.verb == request.verb) &&
                         request.path.find(fault.path_contains) != std::string::npos &&
                         (!watch_only || request.verb == "watch") && fault.times != 0;
    if (!matches) continue;
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    if (fault.times > 0) --fault.times;
    return {true, fault};
  }
  return chaos_ ? RandomBlow(request) : Blow{};
}

FakeApiServer::Blow FakeApiServer::RandomBlow(const LoggedRequest& request) {
  auto roll = static_cast<int>(random_() % 100);
  Fault fault;
  if (request.verb == "watch") {
    fault.kind = Fault::Kind::kCutWatch;
    fault.after_bytes = random_() % 4000;
    return {roll < chaos_->cut_watch_percent, fault};
  }
  if (roll < chaos_->refuse_percent) {
    constexpr int kStatuses[] = {429, 500, 503};
    fault.status = kStatuses[random_() % 3];
    return {true, fault};
  }
  roll -= chaos_->refuse_percent;
  fault.kind = Fault::Kind::kDropBefore;
  if (roll < chaos_->drop_before_percent) return {true, fault};
  fault.kind = Fault::Kind::kDropAfter;
  return {roll - chaos_->drop_before_percent < chaos_->drop_after_percent, fault};
}

HttpResponse FakeApiServer::Refusal(const Blow& blow) const {
  const Fault& fault = blow.fault;
  HttpResponse answer = StatusAnswer(
      fault.status, fault.reason,
      fmt::format("this request was chosen to fail with {} {}", fault.status, fault.reason));
  if (fault.retry_after >= 0) answer.headers["retry-after"] = std::to_string(fault.retry_after);
  return answer;
}

void FakeApiServer::Inject(Fault fault) {
  const std::scoped_lock lock(mutex_);
  faults_.push_back(std::move(fault));
}

void FakeApiServer::ClearFaults() {
  const std::scoped_lock lock(mutex_);
  faults_.clear();
}

void FakeApiServer::SetChaos(std::optional<Chaos> chaos) {
  const std::scoped_lock lock(mutex_);
  chaos_ = chaos;
  if (chaos_) random_.seed(chaos_->seed);
}

void FakeApiServer::SetAdmission(Admission admission) {
  const std::scoped_lock lock(mutex_);
  admission_ = std::move(admission);
}

std::vector<LoggedRequest> FakeApiServer::Requests() const {
  const std::scoped_lock lock(mutex_);
  return log_;
}

std::vector<LoggedRequest> FakeApiServer::Writes() const {
  std::vector<LoggedRequest> writes = Requests();
  std::erase_if(writes, [](const LoggedRequest& request) { return !request.IsWrite(); });
  return writes;
}

void FakeApiServer::ClearRequests() {
  const std::scoped_lock lock(mutex_);
  log_.clear();
}

bool FakeApiServer::WaitUntil(const std::function<bool()>& holds,
                              std::chrono::milliseconds deadline) const {
  const auto until = std::chrono::steady_clock::now() + deadline;
  std::unique_lock lock(mutex_);
  while (true) {
    const uint64_t seen = changes_;
    lock.unlock();
    if (holds()) return true;
    lock.lock();
    if (!changed_.wait_until(lock, until, [&] { return changes_ != seen; })) return false;
  }
}

}  // namespace spillway::support
