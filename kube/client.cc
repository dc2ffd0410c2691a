#include "kube/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

namespace spillway::kube {
namespace {

using Json = nlohmann::json;
using Moment = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kListDeadline{60'000};
constexpr seconds kWatchSlack{30};  // the server ends a watch itself; this is for when it does not
constexpr seconds kLongestWait{10};
constexpr seconds kLongestAsked{300};  // whatever a server, or what is before it, asks for
constexpr int kRetries = 3;
constexpr size_t kShownBody = 512;
constexpr size_t kMostWarnings = 1000;
// What an API server takes: a request by its own constant, an object by the default of etcd
// (--max-request-bytes).
constexpr size_t kMostRequestBytes = size_t{3} << 20;
constexpr size_t kMostObjectBytes = size_t{3} << 19;

Moment Now() { return std::chrono::steady_clock::now(); }

// Counts requests under way; waits for a free place.
class Places {
 public:
  explicit Places(int count) : free_(count) {}

  bool Take(Moment until, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_until(lock, stop, until, [this] { return free_ > 0; })) return false;
    --free_;
    return true;
  }
  void Give() {
    {
      const std::scoped_lock lock(mutex_);
      ++free_;
    }
    changed_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  int free_;
};

// False if `stop` came first.
bool Sleep(milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

// --- addresses ---

// A segment that would change which object, or how many, a path names.
bool IsName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos;
}

std::string CollectionPath(const Resource& resource, const std::string& ns) {
  std::string path = resource.group.empty()
                         ? "/api/" + resource.version
                         : fmt::format("/apis/{}/{}", resource.group, resource.version);
  if (resource.namespaced && !ns.empty()) path += "/namespaces/" + PercentEncode(ns);
  return path + "/" + resource.plural;
}

// Without a namespace or a name, a path would mean a whole collection.
Result<std::string> ObjectPath(const Resource& resource, const std::string& ns,
                               const std::string& name, std::string_view subresource = {}) {
  if (!IsName(name) || (resource.namespaced && !IsName(ns))) {
    return Error{Code::kInternal, fmt::format("\"{}/{}\" names no {}", ns, name, resource.kind)};
  }
  std::string path = CollectionPath(resource, ns) + "/" + PercentEncode(name);
  if (!subresource.empty()) path += fmt::format("/{}", subresource);
  return path;
}

// "?a=b&c=d" of what is set.
class Query {
 public:
  Query& Add(std::string_view name, std::string_view value) {
    if (value.empty()) return *this;
    text_ += fmt::format("{}{}={}", text_.empty() ? '?' : '&', name, PercentEncode(value));
    return *this;
  }
  [[nodiscard]] const std::string& Text() const { return text_; }

 private:
  std::string text_;
};

Query WriteQuery(const WriteOptions& options) {
  Query query;
  query.Add("fieldManager", options.field_manager)
      .Add("dryRun", options.dry_run ? "All" : "")
      .Add("fieldValidation", options.strict ? "Strict" : "");
  return query;
}

// --- answers ---

Code CodeOf(int status, const std::string& reason, bool write) {
  switch (status) {
    case 404:
      return Code::kNotFound;
    case 409:
      return reason == "AlreadyExists" ? Code::kExists : Code::kConflict;
    case 410:
      return Code::kGone;
    case 400:
    case 413:
    case 415:
    case 422:
      return Code::kInvalid;
    case 401:
    case 403:
      return Code::kForbidden;
    case 429:
      return Code::kUnavailable;
    case 504:
      return write ? Code::kUnknown : Code::kUnavailable;
    default:
      return status >= 500 ? Code::kUnavailable : Code::kInternal;
  }
}

std::optional<seconds> RetryAfter(const HttpResponse& response) {
  const auto at = response.headers.find("retry-after");
  if (at == response.headers.end()) return std::nullopt;
  int value = 0;
  const char* last = at->second.data() + at->second.size();
  const auto [end, error] = std::from_chars(at->second.data(), last, value);
  if (error != std::errc() || end != last || value < 0) return std::nullopt;
  return std::min(seconds(value), kLongestAsked);
}

// A string field of a JSON object, or nothing.
std::string Field(const Json& object, const char* name) {
  const auto at = object.find(name);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

bool HasCause(const Json& details, std::string_view reason) {
  const auto causes = details.is_object() ? details.find("causes") : details.end();
  if (causes == details.end() || !causes->is_array()) return false;
  return std::any_of(causes->begin(), causes->end(), [&](const Json& cause) {
    return cause.is_object() && Field(cause, "reason") == reason;
  });
}

// The start of a body that no API server wrote, such as a proxy's error page.
std::string Start(const std::string& body) {
  std::string start = body.substr(0, kShownBody);
  std::replace_if(
      start.begin(), start.end(), [](unsigned char c) { return c < 0x20 || c > 0x7e; }, ' ');
  return start.empty() ? "no body" : start;
}

Error ErrorOf(const HttpResponse& response, bool write) {
  Error error;
  error.http_status = response.status;
  error.retry_after = RetryAfter(response);
  const Json status = Json::parse(response.body, nullptr, false);
  if (status.is_object() && Field(status, "kind") == "Status") {
    error.reason = Field(status, "reason");
    error.message = Field(status, "message");
    const auto details = status.find("details");
    if (details != status.end() && HasCause(*details, kVersionTooLarge)) {
      error.reason = kVersionTooLarge;
    }
    if (!error.retry_after && details != status.end() && details->is_object()) {
      const auto after = details->find("retryAfterSeconds");
      if (after != details->end() && after->is_number_integer() && after->get<int64_t>() > 0) {
        error.retry_after = std::min(seconds(after->get<int64_t>()), kLongestAsked);
      }
    }
  }
  if (error.message.empty()) {
    error.message = fmt::format("HTTP status {}: {}", response.status, Start(response.body));
  }
  // Which of the server's rules of fairness it fell under: what its administrators look for.
  const auto schema = response.headers.find("x-kubernetes-pf-flowschema-uid");
  if (response.status == 429 && schema != response.headers.end()) {
    error.message += fmt::format(" (flow schema {})", schema->second);
  }
  error.code = CodeOf(response.status, error.reason, write);
  return error;
}

// How long to wait before trying again; nothing if that is not asked for.
std::optional<milliseconds> WaitBeforeRetry(const HttpResponse& response, const Error& error,
                                            bool write) {
  const bool overload = response.status == 429 || response.status >= 500;
  if (!overload || (write && response.status == 504) || IsAhead(error)) return std::nullopt;
  const auto asked = RetryAfter(response);
  if (!asked) return std::nullopt;
  // Who is told to wait for longer than a caller should be held up hears of it.
  if (*asked > kLongestWait) return std::nullopt;
  return *asked;
}

bool IsWrite(const HttpRequest& request) { return request.method != "GET"; }

// "Job team/train" of an object, else the path: what is too large to be sent.
std::string WhatIsIn(const HttpRequest& request) {
  const Json object = Json::parse(request.body, nullptr, false);
  const std::string kind = object.is_object() ? Field(object, "kind") : std::string();
  const auto at = kind.empty() ? object.end() : object.find("metadata");
  if (kind.empty() || at == object.end() || !at->is_object()) {
    return request.target.substr(0, request.target.find('?'));
  }
  const std::string ns = Field(*at, "namespace");
  return fmt::format("{} {}{}{}", kind, ns, ns.empty() ? "" : "/", Field(*at, "name"));
}

// A patch may be larger than what it leaves behind; all else is stored as it is, or grows.
Status Fits(const HttpRequest& request) {
  const auto is_patch = [](const auto& header) {
    return header.first == "Content-Type" && (header.second == "application/json-patch+json" ||
                                              header.second == "application/merge-patch+json");
  };
  const bool patch = std::any_of(request.headers.begin(), request.headers.end(), is_patch);
  const size_t most = patch ? kMostRequestBytes : kMostObjectBytes;
  if (request.body.size() <= most) return Ok{};
  return Error{
      Code::kInvalid,
      fmt::format("{} has {} bytes, and {} of more than {}", WhatIsIn(request), request.body.size(),
                  patch ? "the API server takes no patch" : "etcd by default takes no object",
                  most)};
}

}  // namespace

bool IsAhead(const Error& error) { return error.reason == kVersionTooLarge; }

std::string UserAgent(std::string_view program, std::string_view version) {
#if defined(__x86_64__)
  constexpr std::string_view kMachine = "amd64";
#elif defined(__aarch64__)
  constexpr std::string_view kMachine = "arm64";
#else
  constexpr std::string_view kMachine = "unknown";
#endif
  return fmt::format("{}/{} (linux/{})", program, version, kMachine);
}

std::vector<std::string> WarningTexts(std::string_view header) {
  std::vector<std::string> texts;
  std::string text;
  bool quoted = false;
  for (size_t i = 0; i < header.size(); ++i) {
    if (header[i] == '"') {
      if (quoted) texts.push_back(std::exchange(text, {}));
      quoted = !quoted;
    } else if (quoted) {
      if (header[i] == '\\' && i + 1 < header.size()) ++i;
      text += header[i];
    }
  }
  return texts;
}

std::string PercentEncode(std::string_view text) {
  constexpr std::string_view kUnreserved =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
  std::string out;
  for (const char c : text) {
    if (kUnreserved.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

struct Client::Shared {
  Shared(Transport& t, Clock& c, Options o)
      : transport(t), clock(c), options(std::move(o)), places(options.in_flight) {}

  // One try: adds what every request carries, and tells the observer.
  Result<HttpResponse> Try(std::string_view verb, const HttpRequest& request, bool again,
                           const Transport::OnBytes* on_bytes, const std::stop_token& stop) {
    const auto start = clock.Elapsed();
    auto response = on_bytes != nullptr ? transport.Stream(request, *on_bytes, stop)
                                        : transport.Send(request, stop);
    if (options.observe) {
      options.observe({verb, response ? response->status : 0,
                       std::chrono::duration<double>(clock.Elapsed() - start).count(), again,
                       request.body.size(), response ? response->body.size() : 0});
    }
    if (response && response->headers.contains("warning")) {
      Warn(verb, request, response->headers.at("warning"));
    }
    return response;
  }

  void Warn(std::string_view verb, const HttpRequest& request, const std::string& header) {
    if (!options.warned) return;
    for (const std::string& text : WarningTexts(header)) {
      {
        const std::scoped_lock lock(mutex);
        if (warnings.size() >= kMostWarnings || !warnings.insert(text).second) continue;
      }
      options.warned(fmt::format("{} {}", verb, request.target.substr(0, request.target.find('?'))),
                     text);
    }
  }

  Transport& transport;
  Clock& clock;
  const Options options;
  Places places;
  std::mutex mutex;
  std::set<std::string> warnings;  // guarded; that were told
};

Client::Client(Transport& transport, Clock& clock, Options options)
    : shared_(std::make_shared<Shared>(transport, clock, std::move(options))), retries_(kRetries) {}

Client::Client(std::shared_ptr<Shared> shared, WriteGate gate, int retries)
    : shared_(std::move(shared)), gate_(std::move(gate)), retries_(retries) {}

Client Client::Gated(WriteGate gate) const { return {shared_, std::move(gate), retries_}; }

Client Client::WithoutRetries() const { return {shared_, gate_, 0}; }

Client Client::WithDeadline(std::chrono::milliseconds deadline) const {
  Options options = shared_->options;
  options.deadline = deadline;
  return {std::make_shared<Shared>(shared_->transport, shared_->clock, std::move(options)), gate_,
          retries_};
}

HttpRequest Client::Prepare(std::string method, std::string target, std::string body,
                            std::string content_type) const {
  HttpRequest request;
  request.method = std::move(method);
  request.target = std::move(target);
  request.headers = {{"Accept", "application/json"},
                     {"Accept-Encoding", "identity"},
                     {"User-Agent", shared_->options.user_agent}};
  if (!body.empty()) request.headers.emplace_back("Content-Type", std::move(content_type));
  request.body = std::move(body);
  request.deadline = shared_->options.deadline;
  return request;
}

Result<std::string> Client::Exchange(std::string_view verb, HttpRequest request, bool dry_run,
                                     const std::stop_token& stop) {
  const bool write = IsWrite(request);
  if (Status fits = Fits(request); !fits) return std::move(fits).error();
  const Moment until = Now() + request.deadline;
  for (int tries = 0;; ++tries) {
    if (!shared_->places.Take(until, stop)) {
      if (stop.stop_requested()) return Error{Code::kCancelled, "stopped before sending"};
      return Error{Code::kUnavailable, "too many requests of our own are under way"};
    }
    struct Leave {
      ~Leave() { places.Give(); }
      Places& places;
    };
    std::optional<Leave> leave(std::in_place, shared_->places);
    request.deadline = std::chrono::duration_cast<milliseconds>(until - Now());
    if (write && !dry_run && gate_) {
      if (Status may = gate_(request.deadline); !may) return std::move(may).error();
    }
    auto response = shared_->Try(verb, request, tries > 0, nullptr, stop);
    leave.reset();
    if (!response) return std::move(response).error();
    if (response->status / 100 == 2) return std::move(response->body);
    Error error = ErrorOf(*response, write);
    const auto wait = WaitBeforeRetry(*response, error, write);
    if (tries == retries_ || !wait || Now() + *wait >= until) return error;
    if (!Sleep(*wait, stop)) return Error{Code::kCancelled, "stopped while asked to wait"};
  }
}

Result<std::string> Client::Get(const Resource& resource, const std::string& ns,
                                const std::string& name, const std::stop_token& stop) {
  auto path = ObjectPath(resource, ns, name);
  if (!path) return path;
  return Exchange("get", Prepare("GET", *std::move(path), {}), false, stop);
}

Result<std::string> Client::GetPath(const std::string& path, const std::stop_token& stop) {
  return Exchange("get", Prepare("GET", path, {}), false, stop);
}

Result<std::string> Client::List(const Resource& resource, const ListOptions& options,
                                 const std::stop_token& stop) {
  Query query;
  query.Add("labelSelector", options.label_selector)
      .Add("fieldSelector", options.field_selector)
      .Add("limit", options.limit > 0 ? std::to_string(options.limit) : "")
      .Add("continue", options.continue_token);
  // A continuation has the version of its first page inside.
  if (options.continue_token.empty() && !options.resource_version.empty()) {
    query.Add("resourceVersion", options.resource_version)
        .Add("resourceVersionMatch", "NotOlderThan");
  }
  HttpRequest request = Prepare("GET", CollectionPath(resource, options.ns) + query.Text(), {});
  request.deadline = kListDeadline;
  if (options.metadata_only) {
    request.headers.front().second =
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
  }
  return Exchange("list", std::move(request), false, stop);
}

Status Client::Watch(const Resource& resource, const WatchOptions& options,
                     const Transport::OnBytes& on_bytes, const std::stop_token& stop) {
  Query query;
  query.Add("watch", "true")
      .Add("allowWatchBookmarks", "true")
      .Add("labelSelector", options.label_selector)
      .Add("fieldSelector", options.field_selector)
      .Add("resourceVersion", options.resource_version)
      .Add("timeoutSeconds", std::to_string(options.timeout.count()));
  if (options.initial_events) {
    query.Add("sendInitialEvents", "true").Add("resourceVersionMatch", "NotOlderThan");
  }
  HttpRequest request = Prepare("GET", CollectionPath(resource, options.ns) + query.Text(), {});
  request.deadline = options.timeout + kWatchSlack;
  request.idle_deadline = options.idle_deadline;
  auto response = shared_->Try("watch", request, false, &on_bytes, stop);
  if (!response) return std::move(response).error();
  if (response->status / 100 != 2) return ErrorOf(*response, false);
  return Ok{};
}

Result<std::string> Client::Create(const Resource& resource, const std::string& ns,
                                   const std::string& body, const WriteOptions& options,
                                   const std::stop_token& stop) {
  if (resource.namespaced && !IsName(ns)) {
    return Error{Code::kInternal, fmt::format("a {} is created in a namespace", resource.kind)};
  }
  std::string target = CollectionPath(resource, ns) + WriteQuery(options).Text();
  return Exchange("create", Prepare("POST", std::move(target), body), options.dry_run, stop);
}

Result<std::string> Client::Apply(const Resource& resource, const std::string& ns,
                                  const std::string& name, const std::string& body,
                                  const WriteOptions& options, const std::stop_token& stop) {
  auto path = ObjectPath(resource, ns, name);
  if (!path) return path;
  *path += WriteQuery(options).Add("force", "true").Text();
  return Exchange("patch", Prepare("PATCH", *std::move(path), body, "application/apply-patch+yaml"),
                  options.dry_run, stop);
}

Result<std::string> Client::Patch(const Resource& resource, const std::string& ns,
                                  const std::string& name, const std::string& body,
                                  const WriteOptions& options, const std::stop_token& stop) {
  auto path = ObjectPath(resource, ns, name);
  if (!path) return path;
  *path += WriteQuery(options).Text();
  return Exchange("patch", Prepare("PATCH", *std::move(path), body, "application/json-patch+json"),
                  options.dry_run, stop);
}

Result<std::string> Client::Update(const Resource& resource, const std::string& ns,
                                   const std::string& name, const std::string& body,
                                   const WriteOptions& options, const std::stop_token& stop) {
  auto path = ObjectPath(resource, ns, name);
  if (!path) return path;
  *path += WriteQuery(options).Text();
  return Exchange("update", Prepare("PUT", *std::move(path), body), options.dry_run, stop);
}

Result<std::string> Client::UpdateStatus(const Resource& resource, const std::string& ns,
                                         const std::string& name, const std::string& body,
                                         const WriteOptions& options, const std::stop_token& stop) {
  auto path = ObjectPath(resource, ns, name, "status");
  if (!path) return path;
  *path += WriteQuery(options).Text();
  return Exchange("update", Prepare("PUT", *std::move(path), body), options.dry_run, stop);
}

Result<std::string> Client::GetScale(const Resource& resource, const std::string& ns,
                                     const std::string& name, const std::stop_token& stop) {
  auto path = ObjectPath(resource, ns, name, "scale");
  if (!path) return path;
  return Exchange("get", Prepare("GET", *std::move(path), {}), false, stop);
}

Result<std::string> Client::UpdateScale(const Resource& resource, const std::string& ns,
                                        const std::string& name, const std::string& body,
                                        const WriteOptions& options, const std::stop_token& stop) {
  auto path = ObjectPath(resource, ns, name, "scale");
  if (!path) return path;
  *path += WriteQuery(options).Text();
  return Exchange("update", Prepare("PUT", *std::move(path), body), options.dry_run, stop);
}

Result<std::string> Client::MergePatch(const Resource& resource, const std::string& ns,
                                       const std::string& name, const std::string& body,
                                       const WriteOptions& options, const std::stop_token& stop) {
  auto path = ObjectPath(resource, ns, name);
  if (!path) return path;
  *path += WriteQuery(options).Text();
  return Exchange("patch", Prepare("PATCH", *std::move(path), body, "application/merge-patch+json"),
                  options.dry_run, stop);
}

Status Client::Delete(const Resource& resource, const std::string& ns, const std::string& name,
                      const DeleteOptions& options, const std::stop_token& stop) {
  auto path = ObjectPath(resource, ns, name);
  if (!path) return std::move(path).error();
  Json body = {{"kind", "DeleteOptions"}, {"apiVersion", "v1"}};
  if (!options.uid.empty()) body["preconditions"]["uid"] = options.uid;
  if (!options.resource_version.empty()) {
    body["preconditions"]["resourceVersion"] = options.resource_version;
  }
  if (!options.propagation.empty()) body["propagationPolicy"] = options.propagation;
  if (options.grace_seconds >= 0) body["gracePeriodSeconds"] = options.grace_seconds;
  auto done = Exchange("delete", Prepare("DELETE", *std::move(path), body.dump()), false, stop);
  if (!done) return std::move(done).error();
  return Ok{};
}

}  // namespace spillway::kube
