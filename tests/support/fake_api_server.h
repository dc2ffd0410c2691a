#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "kube/transport.h"
#include "tests/support/api_request.h"

namespace spillway::support {

// One request as the server saw it, in the order of arrival.
struct LoggedRequest {
  std::string verb;    // get, list, watch, create, update, patch, delete
  std::string method;  // HTTP's
  std::string path;    // as sent, without the query
  std::map<std::string, std::string> query;
  std::string user_agent;
  std::string content_type;
  std::string body;
  int status = 0;              // 0: the connection was dropped
  bool metadata_only = false;  // asks for PartialObjectMetadata, or for a list of it

  [[nodiscard]] bool DryRun() const { return query.contains("dryRun"); }
  // Would change something if it succeeded.
  [[nodiscard]] bool IsWrite() const { return method != "GET" && !DryRun(); }
};

// Something that goes wrong with the next requests that match.
struct Fault {
  enum class Kind {
    kAnswer,      // this HTTP status (a Status body with reason; Retry-After if given)
    kDropBefore,  // no answer, and nothing was done
    kDropAfter,   // it was done, and the answer is lost
    kErrorEvent,  // a watch answers 200, then an ERROR event with this status
    kCutWatch,    // a watch breaks off after this many bytes
  };
  Kind kind = Kind::kAnswer;
  std::string verb{};           // empty: any
  std::string path_contains{};  // of the path, without the query; empty: any
  int skip = 0;                 // let so many matching requests pass first
  int times = 1;                // then hit so many; -1: all, until ClearFaults
  int status = 500;
  std::string reason{};
  int retry_after = -1;  // seconds
  size_t after_bytes = 0;
};

// Faults by chance, from a seed: percent of all requests.
struct Chaos {
  uint64_t seed = 1;
  int refuse_percent = 0;       // 429, 500 or 503, without Retry-After
  int drop_before_percent = 0;  // no answer, nothing done
  int drop_after_percent = 0;   // no answer, done
  int cut_watch_percent = 0;    // of watches: broken off within their first 4,000 bytes
};

// API servers that are far from their store and from their clients, by a seed. Times are the
// clock's.
struct Lag {
  uint64_t seed = 1;
  // Several servers have one store, and a watch cache each. A request goes to any of them.
  int servers = 1;
  // What happens to objects of a kind a cache shows up to so long afterwards, in order. Lists at a
  // version, other than exactly that, and watches are served from it.
  std::chrono::milliseconds cache{0};
  // A request takes up to so long, some of it before it is served: the clock has to go on
  // meanwhile.
  std::chrono::milliseconds latency{0};
};

// An API server in the process: objects by kind, namespace and name under one resource version that
// grows with every write, with list, watch (streaming lists too), create, server-side apply, merge
// and JSON patch, update, status, scale and delete as the real one words them. What it does, the
// conformance tests ask of it and of a kube-apiserver alike.
//
// Deliberately not: schemas (no validation, defaults, pruning, fieldValidation or warnings; the
// validation of names), RBAC, namespaces to create first, admission but SetAdmission's, strategic
// merge patches, Tables, set-based selectors, lists of an older version (resourceVersionMatch=Exact
// answers with what is there now), deletes of a collection, evictions, creation by update, the
// managedFields themselves, lists merged by a key but `conditions`, and the wait for a version that
// lies in the future. Discovery has the resources of a group's version, no more. Bookmarks come
// when SendBookmarks says so, and at the end of a streaming list's first part.
//
// Thread-safe, never sleeps: a watch is woken by writes, by its stop token and by the controls
// below. Times come from the clock; after moving it, call Tick.
class FakeApiServer final : public kube::Transport {
 public:
  using Json = nlohmann::json;
  // May change an object that is being created (dry runs too), or refuse it with an answer. Runs
  // under the server's lock: must not call the server.
  using Admission =
      std::function<std::optional<kube::HttpResponse>(const ServedKind& kind, Json& object)>;

  explicit FakeApiServer(Clock& clock);
  ~FakeApiServer() override;

  // --- kube::Transport; headers and queries that mean nothing here are passed over ---
  Result<kube::HttpResponse> Send(const kube::HttpRequest& request,
                                  const std::stop_token& stop) override;
  Result<kube::HttpResponse> Stream(const kube::HttpRequest& request, const OnBytes& on_bytes,
                                    const std::stop_token& stop) override;

  // --- objects, past admission, preconditions and faults, not logged ---

  // Creates or replaces all of an object, its status too; gives it uid, version, creation time and
  // generation unless it brings them (uid, creation time). As it is stored.
  Json Put(Json object);
  // Merge patch (RFC 7386) of all of an existing object, its status too. Null if it isn't there.
  Json Patch(const std::string& plural, const std::string& ns, const std::string& name,
             const Json& patch);
  // As kubectl delete does it: a pod that is bound and not ended stays Terminating until the
  // kubelet lets it go. False if it isn't there.
  bool Delete(const std::string& plural, const std::string& ns, const std::string& name);
  // Gone without a word to any watch, as where a server lost an event (kubernetes#123072).
  bool Lose(const std::string& plural, const std::string& ns, const std::string& name);
  // Gone at once, whatever it is.
  bool Remove(const std::string& plural, const std::string& ns, const std::string& name);
  [[nodiscard]] std::optional<Json> Get(const std::string& plural, const std::string& ns,
                                        const std::string& name) const;
  // Sorted by namespace and name; empty `ns`: all. `which`: only those for which it holds; runs
  // under the server's lock: must not call the server.
  [[nodiscard]] std::vector<Json> All(const std::string& plural, const std::string& ns = {},
                                      const std::function<bool(const Json&)>& which = {}) const;
  [[nodiscard]] int64_t version() const;
  // The garbage collector: deletes (as Delete) what has owners of which none exists any more, until
  // nothing is left to delete. How many.
  int CollectGarbage();

  // --- watches ---
  void SendBookmarks();  // to all that asked for them
  void CloseWatches();   // cleanly, as at their timeout, after what is there has been delivered
  // From now on watches of a kind tell nothing: the network is slow. Until Release.
  void HoldWatches(const std::string& plural);
  void ReleaseWatches();
  void Compact();  // forgets history: older versions and unfinished lists are Gone
  void Tick();     // looks at the clock: ends watches whose timeoutSeconds are over
  // Watch bytes come in pieces of so many; 0: event by event.
  void SetChunkBytes(size_t bytes);
  [[nodiscard]] size_t open_watches() const;

  // --- faults ---
  void Inject(Fault fault);
  void ClearFaults();
  void SetChaos(std::optional<Chaos> chaos);

  // --- distance ---
  // Of what has happened by now the caches show everything; nullopt: and always will.
  void SetLag(std::optional<Lag> lag);
  // What has happened by now the caches show at once.
  void CatchUp();

  void SetAdmission(Admission admission);

  // --- what tests read ---
  [[nodiscard]] std::vector<LoggedRequest> Requests() const;
  [[nodiscard]] std::vector<LoggedRequest> Writes() const;  // those with IsWrite
  void ClearRequests();
  // Waits until `holds`, which is asked again after each change and each request (it may call this
  // server). False if it doesn't within `deadline` of real time.
  bool WaitUntil(const std::function<bool()>& holds,
                 std::chrono::milliseconds deadline = std::chrono::seconds(30)) const;

 private:
  struct Stored;
  struct Event;
  struct Watch;
  struct Pages;
  struct Blow;
  struct Cache;
  struct View;
  using Ptr = std::shared_ptr<const Stored>;
  using Objects = std::map<std::string, Ptr>;

  // All of these are called with mutex_ held.
  kube::HttpResponse Serve(const LoggedRequest& request);
  kube::HttpResponse Read(const ApiTarget& target);
  kube::HttpResponse List(const ApiTarget& target);
  kube::HttpResponse ListPage(const ApiTarget& target, Pages pages);
  kube::HttpResponse Create(const ApiTarget& target, const std::string& body);
  kube::HttpResponse CreateObject(const ApiTarget& target, Json object);
  kube::HttpResponse Update(const ApiTarget& target, const std::string& body);
  kube::HttpResponse PatchObject(const ApiTarget& target, const LoggedRequest& request);
  kube::HttpResponse PatchByOperations(const ApiTarget& target, const Json& operations);
  kube::HttpResponse StorePatched(const ApiTarget& target, const Ptr& old, Json object);
  kube::HttpResponse Apply(const ApiTarget& target, const Json& intent);
  kube::HttpResponse ApplyNew(const ApiTarget& target, const Json& intent);
  kube::HttpResponse DeleteObject(const ApiTarget& target, const std::string& body);
  kube::HttpResponse StoreChanged(const ApiTarget& target, const Ptr& old, Json object);
  std::optional<kube::HttpResponse> Precondition(const ApiTarget& target, const Ptr& object,
                                                 const Json& asked) const;
  [[nodiscard]] Ptr Find(const ServedKind& kind, const std::string& ns,
                         const std::string& name) const;
  void Identify(const ServedKind& kind, Json& object);
  Ptr Store(const ServedKind& kind, Json object);
  void Erase(const ServedKind& kind, const std::string& key);
  // `finalizer`: to be put on it; empty: none. What is left of it; null if it is gone.
  Ptr DeleteGracefully(const ServedKind& kind, const Ptr& object, int64_t grace_seconds,
                       const std::string& finalizer = {});
  // Notes which fields the request's manager has set by making `after` of `before`.
  void Own(const ApiTarget& target, const Json& before, const Json& after);
  bool RemoveNextOrphan();
  // What waits for its dependents to be orphaned or deleted: goes on with one such object.
  bool FinishNextPropagation();
  enum class Dependents { kNone, kLeaving, kSettledOne };
  // Orphans, or deletes, something that `owner` (a uid) owns.
  Dependents SettleNextDependent(const std::string& owner, bool orphan);

  size_t LogRequest(const kube::HttpRequest& request);
  Blow NextBlow(const LoggedRequest& request);
  Blow RandomBlow(const LoggedRequest& request);
  kube::HttpResponse Refusal(const Blow& blow) const;
  void Changed();

  void Record(std::shared_ptr<Event> event);
  [[nodiscard]] bool Shows(size_t server, const Event& event) const;
  size_t AnyServer();
  // What one of the servers shows of a kind.
  Cache& CacheOf(size_t server, const ServedKind& kind);
  View CachedView(size_t server, const ServedKind& kind);
  [[nodiscard]] View StoredView(const ServedKind& kind) const;
  [[nodiscard]] std::chrono::milliseconds PartOf(std::chrono::milliseconds most);
  // Lets time pass; false: told to stop.
  bool Await(std::unique_lock<std::mutex>& lock, const std::stop_token& stop,
             std::chrono::milliseconds time);

  Result<kube::HttpResponse> Serve(Watch& watch, const OnBytes& on_bytes,
                                   const std::stop_token& stop);
  std::optional<kube::HttpResponse> OpenWatch(const LoggedRequest& request, Watch& watch);
  std::string NextBytes(Watch& watch) const;
  void AppendAll(const Watch& watch, const View& view, std::string& out) const;
  void AppendEvent(const Event& event, const Watch& watch, std::string& out) const;
  [[nodiscard]] bool Over(const Watch& watch) const;

  Clock& clock_;
  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::map<const ServedKind*, Objects> objects_;
  // uid → manager, "apply" or "update", subresource → the fields that are its own, with values.
  std::map<std::string, std::map<std::string, Json>> owned_;
  std::vector<std::shared_ptr<const Event>> history_;
  size_t forgotten_ = 0;  // events before history_
  int64_t version_ = 0;
  int64_t compacted_ = 0;
  int64_t next_id_ = 1;
  std::map<std::string, std::shared_ptr<Pages>> pages_;
  uint64_t bookmarks_ = 0;  // how often they were asked for
  uint64_t closings_ = 0;
  std::set<std::string> held_;  // kinds whose watches tell nothing
  uint64_t changes_ = 0;
  size_t chunk_bytes_ = 0;
  size_t open_watches_ = 0;
  std::vector<Fault> faults_;
  std::optional<Chaos> chaos_;
  std::mt19937_64 random_;
  std::optional<Lag> lag_;
  std::mt19937_64 lag_random_;
  std::vector<std::map<const ServedKind*, Cache>> caches_;  // by server; only with a lag
  size_t caches_from_ = 0;  // the event from which on those that are not there yet begin
  int64_t shown_ = 0;       // all up to this version the caches show
  Admission admission_;
  std::vector<LoggedRequest> log_;
};

}  // namespace spillway::support
