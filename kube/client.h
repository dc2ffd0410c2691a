#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "kube/transport.h"

namespace spillway::kube {

// A kind as the API server addresses it: {"batch", "v1", "jobs", "Job", true}.
struct Resource {
  std::string group;  // empty for the core group
  std::string version;
  std::string plural;
  std::string kind;
  bool namespaced = true;

  [[nodiscard]] std::string ApiVersion() const {
    return group.empty() ? version : group + "/" + version;
  }
  bool operator==(const Resource&) const = default;
};

struct ListOptions {
  std::string ns{};  // empty: all namespaces
  std::string label_selector{};
  std::string field_selector{};
  std::string resource_version{};  // "" consistent, "0" from the cache, else not older than
  std::string continue_token{};
  int limit = 500;             // 0: all at once
  bool metadata_only = false;  // items may come without anything but their metadata
};

struct WatchOptions {
  std::string ns{};
  std::string label_selector{};
  std::string field_selector{};
  std::string resource_version{};
  std::chrono::seconds timeout{300};  // asked of the server
  std::chrono::milliseconds idle_deadline{0};
  bool initial_events = false;  // what there is first, then a bookmark that says so (WatchList)
};

struct WriteOptions {
  std::string field_manager{};
  bool dry_run = false;
  bool strict = false;  // fieldValidation=Strict: an unknown field is refused
};

struct DeleteOptions {
  std::string uid{};               // precondition; never empty for an object of ours
  std::string resource_version{};  // precondition; empty: none
  std::string propagation = "Background";
  int grace_seconds = -1;  // -1: the object's own
};

// An HTTP request that has ended.
struct RequestDone {
  std::string_view verb;  // of the API: get, list, watch, create, patch, update, delete
  int status = 0;         // 0: no answer
  double seconds = 0;
  bool again = false;         // sent once more, as the server had asked for
  size_t sent_bytes = 0;      // of its body
  size_t received_bytes = 0;  // of the answer's body; of a watch none are counted
};

// Called after each HTTP request, retries included. Called from many threads.
using RequestObserver = std::function<void(const RequestDone&)>;

// Checked right before each write (a dry run is none) is sent; an error is returned in place of
// sending. `deadline`: how long the request may take. This is where leadership gates writes. Called
// from many threads.
using WriteGate = std::function<Status(std::chrono::milliseconds deadline)>;

// A cause in a Status' details, whose own reason is no more than "Timeout".
inline constexpr std::string_view kVersionTooLarge = "ResourceVersionTooLarge";

// Does the server say that it has not reached the version that was asked for (it lost history, or
// is a replica that lags)? It has waited for it already, and will next time.
bool IsAhead(const Error& error);

// Speaks the Kubernetes API over a transport: paths, query, headers, and errors decoded from Status
// objects. Bodies are JSON text in and out. Thread-safe. At most `in_flight` requests at a time,
// watches not counted. A 429 or 5xx with Retry-After is retried up to 3 times within the deadline
// (never longer than 10 s a wait; a watch, a 504 on a write and what IsAhead never); without it,
// nothing is.
//
// Errors by HTTP status and Status.reason: 404 kNotFound; 409 AlreadyExists kExists, else
// kConflict; 410 kGone; 400, 413, 415, 422 kInvalid; 401, 403 kForbidden; 429, 5xx kUnavailable
// with retry_after if given (504 on a write: kUnknown); anything else kInternal. `reason` is
// Status.reason, or kVersionTooLarge where that is a cause; `message` Status.message, or the start
// of a body that is no Status. An object of more than 1.5 MiB, or a patch of more than 3 MiB, is
// kInvalid without being sent: etcd's default, and the API server's own limit; the answer would not
// say how much is too much.
class Client {
 public:
  struct Options {
    std::string user_agent;
    int in_flight = 16;
    // Of each request but watches and lists. Below what a leader's lease has left when it is about
    // to renew, so that a write never outlives the lease it was admitted under.
    std::chrono::milliseconds deadline{8'000};
    RequestObserver observe{};
    // Told each sentence of a Warning header once, with the request that it answers ("patch
    // /api/v1/…"). Called from many threads.
    std::function<void(const std::string& request, const std::string& warning)> warned{};
  };

  Client(Transport& transport, Clock& clock, Options options);

  Result<std::string> Get(const Resource& resource, const std::string& ns, const std::string& name,
                          const std::stop_token& stop);
  // What is no object of a kind, such as "/version".
  Result<std::string> GetPath(const std::string& path, const std::stop_token& stop);
  // One page; its `metadata.continue` tells whether more follow. Deadline 60 s.
  Result<std::string> List(const Resource& resource, const ListOptions& options,
                           const std::stop_token& stop);
  // Bookmarks are always asked for. Bytes of the stream as they come; ends like Transport::Stream.
  Status Watch(const Resource& resource, const WatchOptions& options,
               const Transport::OnBytes& on_bytes, const std::stop_token& stop);

  Result<std::string> Create(const Resource& resource, const std::string& ns,
                             const std::string& body, const WriteOptions& options,
                             const std::stop_token& stop);
  // Server-side apply with force.
  Result<std::string> Apply(const Resource& resource, const std::string& ns,
                            const std::string& name, const std::string& body,
                            const WriteOptions& options, const std::stop_token& stop);
  // JSON patch (RFC 6902): `body` is a list of operations, of which all are done or none. A `test`
  // that fails is kInvalid, as a patch that does not fit the object is: the API server answers both
  // with 422 Invalid.
  Result<std::string> Patch(const Resource& resource, const std::string& ns,
                            const std::string& name, const std::string& body,
                            const WriteOptions& options, const std::stop_token& stop);
  // PUT; the body carries the resource version it was decided from.
  Result<std::string> Update(const Resource& resource, const std::string& ns,
                             const std::string& name, const std::string& body,
                             const WriteOptions& options, const std::stop_token& stop);
  Result<std::string> UpdateStatus(const Resource& resource, const std::string& ns,
                                   const std::string& name, const std::string& body,
                                   const WriteOptions& options, const std::stop_token& stop);
  // The autoscaling/v1 Scale of an object whose kind has that subresource; its resource version is
  // the object's.
  Result<std::string> GetScale(const Resource& resource, const std::string& ns,
                               const std::string& name, const std::stop_token& stop);
  Result<std::string> UpdateScale(const Resource& resource, const std::string& ns,
                                  const std::string& name, const std::string& body,
                                  const WriteOptions& options, const std::stop_token& stop);
  // JSON merge patch (RFC 7386); a resource version in `body` is a precondition.
  Result<std::string> MergePatch(const Resource& resource, const std::string& ns,
                                 const std::string& name, const std::string& body,
                                 const WriteOptions& options, const std::stop_token& stop);
  Status Delete(const Resource& resource, const std::string& ns, const std::string& name,
                const DeleteOptions& options, const std::stop_token& stop);

  // A client over the same transport whose writes pass `gate` first.
  [[nodiscard]] Client Gated(WriteGate gate) const;
  // A client over the same transport with another deadline and requests counted of its own.
  [[nodiscard]] Client WithDeadline(std::chrono::milliseconds deadline) const;
  // A client over the same transport that sends nothing twice: its caller waits as it is asked to,
  // and has something else to do meanwhile.
  [[nodiscard]] Client WithoutRetries() const;

 private:
  struct Shared;
  Client(std::shared_ptr<Shared> shared, WriteGate gate, int retries);
  // `content_type`: of the body, if there is one.
  [[nodiscard]] HttpRequest Prepare(std::string method, std::string target, std::string body,
                                    std::string content_type = "application/json") const;
  Result<std::string> Exchange(std::string_view verb, HttpRequest request, bool dry_run,
                               const std::stop_token& stop);

  std::shared_ptr<Shared> shared_;
  WriteGate gate_;
  int retries_;
};

// "spillway/0.1.0 (linux/arm64)": who asks, and the machine that it was built for, as Kubernetes'
// own programs say it.
std::string UserAgent(std::string_view program, std::string_view version);

// The texts of a Warning header (RFC 7234): `299 - "one", 299 - "two"`.
std::vector<std::string> WarningTexts(std::string_view header);

// Percent-encodes a path segment or a query value (everything but letters, digits and -._~).
std::string PercentEncode(std::string_view text);

}  // namespace spillway::kube
