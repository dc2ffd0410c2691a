#include "kube/curl_transport.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <exception>
#include <iterator>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "kube/connection.h"
#include "kube/freed.h"
#include "kube/pem.h"

// The only file that knows libcurl. A line (one easy handle in one multi handle, and the connection
// that they keep) serves one call at a time, on the thread of that call: bytes are handed over
// where they are read, so a slow consumer holds the server back, and the one thing that another
// thread ever does to a line is to wake it.
namespace spillway::kube {
namespace {

using Moment = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kCloseDeadline{5};
constexpr std::chrono::seconds kConnectDeadline{15};  // TLS included
constexpr size_t kIdleLines = 16;  // kept for the next calls, each with a connection

Moment Now() { return std::chrono::steady_clock::now(); }

// --- credentials ---

// What is wrong with them, which libcurl would say only when it connects; empty: nothing.
std::string Fault(const Credentials& credentials) {
  std::string fault = FaultOfAuthority(credentials.ca);
  if (fault.empty() && !credentials.client_key.empty()) {
    fault = FaultOfPair(credentials.client_certificate, credentials.client_key);
  }
  return fault;
}

// --- one line ---

// Throws std::bad_alloc if there is no memory for one.
class Line {
 public:
  Line(std::shared_ptr<const Credentials> credentials, uint64_t generation)
      : credentials_(std::move(credentials)),
        generation_(generation),
        multi_(curl_multi_init()),
        easy_(curl_easy_init()) {
    if (!multi_ || !easy_) throw std::bad_alloc();
  }

  [[nodiscard]] const Credentials& TlsCredentials() const { return *credentials_; }
  [[nodiscard]] uint64_t Generation() const { return generation_; }
  [[nodiscard]] CURLM* Multi() const { return multi_.get(); }
  [[nodiscard]] CURL* Easy() const { return easy_.get(); }
  // From any thread.
  void Wake() const { curl_multi_wakeup(multi_.get()); }

 private:
  struct CloseMulti {
    void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
  };
  const std::shared_ptr<const Credentials> credentials_;  // libcurl refers to its bytes
  const uint64_t generation_;
  const std::unique_ptr<CURLM, CloseMulti> multi_;
  const std::unique_ptr<CURL, Freed<CURL, curl_easy_cleanup>> easy_;  // goes first
};

// The lines that wait for a call, and the calls under way.
class Switchboard {
 public:
  // Null once closing. Else Leave must follow.
  std::unique_ptr<Line> Enter(const std::shared_ptr<const Credentials>& credentials) {
    std::vector<std::unique_ptr<Line>> outdated;  // closed without the lock
    const std::scoped_lock lock(mutex_);
    if (closing_.stop_requested()) return nullptr;
    // All with another certificate or authority, wherever calls that began with it have left them.
    const auto old = std::stable_partition(idle_.begin(), idle_.end(), [&](const auto& line) {
      return line->TlsCredentials().SameTls(*credentials);
    });
    outdated.assign(std::move_iterator(old), std::move_iterator(idle_.end()));
    idle_.erase(old, idle_.end());
    std::unique_ptr<Line> line;
    if (idle_.empty()) {
      line = std::make_unique<Line>(credentials, generation_);
    } else {
      line = std::move(idle_.back());
      idle_.pop_back();
    }
    ++calls_;
    return line;
  }
  void Leave(std::unique_ptr<Line> line) {
    std::unique_ptr<Line> rest;
    const std::scoped_lock lock(mutex_);
    if (line->Generation() == generation_ && idle_.size() < kIdleLines) {
      idle_.push_back(std::move(line));
    } else {
      rest = std::move(line);
    }
    --calls_;
    changed_.notify_all();
  }
  // After trouble: connections may all be dead, so calls from now on make new ones.
  void Renew(uint64_t bad) {
    std::vector<std::unique_ptr<Line>> outdated;
    const std::scoped_lock lock(mutex_);
    if (bad != generation_) return;
    ++generation_;
    outdated.swap(idle_);
  }
  [[nodiscard]] std::stop_token Closing() const { return closing_.get_token(); }
  void Close() {
    closing_.request_stop();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kCloseDeadline, [this] { return calls_ == 0; });
  }

 private:
  std::stop_source closing_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded.
  std::vector<std::unique_ptr<Line>> idle_;
  uint64_t generation_ = 0;
  int calls_ = 0;
};

// --- one call ---

class Words {  // a list of strings for libcurl
 public:
  ~Words() { curl_slist_free_all(first_); }
  Words() = default;
  Words(const Words&) = delete;
  Words& operator=(const Words&) = delete;
  void Add(const std::string& word) {
    curl_slist* const longer = curl_slist_append(first_, word.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    first_ = longer;
  }
  [[nodiscard]] curl_slist* Get() const { return first_; }

 private:
  curl_slist* first_ = nullptr;
};

using Headers = std::vector<std::pair<std::string, std::string>>;

std::string Bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

bool CanBeSent(const HttpRequest& request) {
  const bool target_ok = request.target.starts_with('/') &&
                         std::all_of(request.target.begin(), request.target.end(),
                                     [](char c) { return c > ' ' && c < '\x7f' && c != '#'; });
  const auto is_text = [](const auto& header) {
    return !header.first.empty() && IsHeaderText(header.first) && IsHeaderText(header.second);
  };
  return target_ok && !request.method.empty() && IsHeaderText(request.method) &&
         std::all_of(request.headers.begin(), request.headers.end(), is_text);
}

// One exchange over one line. libcurl calls back on the thread that drives it.
class Call {
 public:
  // Where to.
  struct Place {
    Endpoint endpoint;
    std::string verify_name;
    Proxy proxy;
  };

  Call(const Place& place, const HttpRequest& request, const Transport::OnBytes* on_bytes,
       std::stop_token stop, std::stop_token closing)
      : place_(place),
        request_(request),
        on_bytes_(on_bytes),
        stop_(std::move(stop)),
        closing_(std::move(closing)),
        deadline_(Now() + request.deadline) {}

  [[nodiscard]] std::string Name() const {
    return fmt::format("{} {}:{}{}", request_.method, Bracketed(place_.endpoint.host),
                       place_.endpoint.port, request_.target.substr(0, request_.target.find('?')));
  }
  // True if the answer is no sign of trouble with the connection.
  [[nodiscard]] bool Sound() const { return sound_; }

  // Rethrows what the consumer threw.
  Result<HttpResponse> Run(const Line& line, const Headers& identity) {
    if (!SetUp(line, identity)) {
      return Error{Code::kInternal, Name() + ": cannot be sent as it is"};
    }
    const auto wake = [&line] { line.Wake(); };
    const std::stop_callback on_stop(stop_, wake);
    const std::stop_callback on_close(closing_, wake);
    curl_multi_add_handle(line.Multi(), line.Easy());
    auto answer = Drive(line);
    // In the middle of a transfer this closes the connection.
    curl_multi_remove_handle(line.Multi(), line.Easy());
    if (thrown_) std::rethrow_exception(thrown_);
    return answer;
  }

 private:
  bool SetUp(const Line& line, const Headers& identity);
  void SetUpTls(const Credentials& credentials);
  void SetUpBody();
  Result<HttpResponse> Drive(const Line& line);
  // An answer if the call is over, by whoever ended it.
  std::optional<Result<HttpResponse>> Over(const Line& line, int running);
  Result<HttpResponse> Finished(CURLcode code, const Line& line);
  [[nodiscard]] std::string Describe(CURLcode code, const Line& line) const;
  [[nodiscard]] bool Stopped() const { return stop_.stop_requested() || closing_.stop_requested(); }
  [[nodiscard]] bool ReadOnly() const {
    return request_.method == "GET" || request_.method == "HEAD";
  }
  [[nodiscard]] Moment IdleAt() const {
    return request_.idle_deadline.count() > 0 ? last_byte_ + request_.idle_deadline : Moment::max();
  }
  [[nodiscard]] Error Lost(std::string_view why) const {
    const bool harmless = ReadOnly() || attempts_ == 0;
    return {harmless ? Code::kUnavailable : Code::kUnknown, fmt::format("{}: {}", Name(), why)};
  }
  template <class T>
  void Set(CURLoption option, T value) {
    static_assert(std::is_pointer_v<T> || std::is_same_v<T, long>);
    if (setup_ == CURLE_OK) setup_ = (curl_easy_setopt)(easy_, option, value);
  }

  // What libcurl calls.
  static int OnSocket(void* /*call*/, curl_socket_t socket, curlsocktype /*purpose*/) {
    SetUpKeepalive(socket);
    return CURL_SOCKOPT_OK;
  }
  // A request is about to go out. libcurl sends it again if a kept connection turns out to be dead.
  static int OnAttempt(void* call, char* /*ip*/, char* /*local_ip*/, int /*port*/,
                       int /*local_port*/) {
    Call& self = *static_cast<Call*>(call);
    if (self.attempts_ > 0 && !self.ReadOnly()) return CURL_PREREQFUNC_ABORT;
    ++self.attempts_;
    return CURL_PREREQFUNC_OK;
  }
  static size_t OnHeader(char* data, size_t size, size_t count, void* call) {
    static_cast<Call*>(call)->TakeHeader({data, size * count});
    return size * count;
  }
  static size_t OnBody(char* data, size_t size, size_t count, void* call) {
    const std::string_view bytes(data, size * count);
    return static_cast<Call*>(call)->TakeBody(bytes) ? bytes.size() : CURL_WRITEFUNC_ERROR;
  }
  void TakeHeader(std::string_view line);
  bool TakeBody(std::string_view bytes);
  bool HandOver(std::string_view bytes);

  const Place& place_;
  const HttpRequest& request_;
  const Transport::OnBytes* const on_bytes_;
  const std::stop_token stop_;
  const std::stop_token closing_;
  const Moment deadline_;

  CURL* easy_ = nullptr;
  CURLcode setup_ = CURLE_OK;
  std::array<char, CURL_ERROR_SIZE> detail_{};
  std::string url_;
  Words headers_;
  Words connect_to_;
  curl_blob ca_{};
  curl_blob certificate_{};
  curl_blob key_{};

  HttpResponse answer_;
  bool head_done_ = false;
  Moment last_byte_ = Now();
  int attempts_ = 0;
  bool enough_ = false;
  bool too_long_ = false;
  bool sound_ = true;
  std::exception_ptr thrown_;
};

void Call::SetUpTls(const Credentials& credentials) {
  const auto blob = [](const std::string& bytes) {
    // libcurl only reads it.
    return curl_blob{const_cast<char*>(bytes.data()), bytes.size(), CURL_BLOB_NOCOPY};
  };
  Set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  Set(CURLOPT_SSL_VERIFYPEER, 1L);
  Set(CURLOPT_SSL_VERIFYHOST, 2L);
  // Debian's libcurl trusts the system's authorities beside those that it is given.
  Set<const char*>(CURLOPT_CAPATH, nullptr);
  Set<const char*>(CURLOPT_CAINFO, nullptr);
  ca_ = blob(credentials.ca);
  Set(CURLOPT_CAINFO_BLOB, &ca_);
  if (credentials.client_key.empty()) return;
  certificate_ = blob(credentials.client_certificate);
  key_ = blob(credentials.client_key);
  Set(CURLOPT_SSLCERT_BLOB, &certificate_);
  Set(CURLOPT_SSLKEY_BLOB, &key_);
}

void Call::SetUpBody() {
  const std::string& method = request_.method;
  const bool has_body =
      !request_.body.empty() || method == "POST" || method == "PUT" || method == "PATCH";
  if (has_body) {
    Set(CURLOPT_POST, 1L);
    Set(CURLOPT_POSTFIELDS, request_.body.c_str());
    if (setup_ == CURLE_OK) {
      setup_ = curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE,
                                static_cast<curl_off_t>(request_.body.size()));
    }
  } else if (method == "HEAD") {
    Set(CURLOPT_NOBODY, 1L);
  }
  Set(CURLOPT_CUSTOMREQUEST, method.c_str());
  headers_.Add("Expect:");  // the body goes out at once
  const auto is_type = [](const auto& header) {
    return std::equal(header.first.begin(), header.first.end(), "content-type",
                      std::end("content-type") - 1,
                      [](unsigned char a, char b) { return std::tolower(a) == b; });
  };
  if (has_body && std::none_of(request_.headers.begin(), request_.headers.end(), is_type)) {
    headers_.Add("Content-Type: application/json");
  }
}

bool Call::SetUp(const Line& line, const Headers& identity) {
  if (!CanBeSent(request_)) return false;
  easy_ = line.Easy();
  const Endpoint& to = place_.endpoint;
  curl_easy_reset(easy_);  // keeps the connection
  url_ = fmt::format("{}://{}:{}{}{}", to.tls ? "https" : "http", Bracketed(place_.verify_name),
                     to.port, to.path, request_.target);
  Set(CURLOPT_URL, url_.c_str());
  Set(CURLOPT_PATH_AS_IS, 1L);
  Set(CURLOPT_PROTOCOLS_STR, to.tls ? "https" : "http");
  // Both are said, else libcurl asks the environment.
  Set(CURLOPT_PROXY, place_.proxy.url.c_str());
  Set(CURLOPT_NOPROXY, place_.proxy.except.c_str());
  Set(CURLOPT_HTTPPROXYTUNNEL, 1L);
  Set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  Set(CURLOPT_FOLLOWLOCATION, 0L);
  Set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
  Set(CURLOPT_NOSIGNAL, 1L);
  Set(CURLOPT_QUICK_EXIT, 1L);  // a name that does not resolve holds up nobody who was stopped
  // A load balancer may take a connection that nobody behind it answers.
  Set(CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(std::min<milliseconds>(request_.deadline, kConnectDeadline).count()) + 1);
  Set(CURLOPT_ERRORBUFFER, detail_.data());
  if (place_.verify_name != to.host) {
    connect_to_.Add(fmt::format("::{}:", Bracketed(to.host)));
    Set(CURLOPT_CONNECT_TO, connect_to_.Get());
  }
  if (to.tls) SetUpTls(line.TlsCredentials());
  for (const Headers* headers : {&request_.headers, &identity}) {
    for (const auto& [name, value] : *headers) {
      headers_.Add(value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
    }
  }
  SetUpBody();
  Set(CURLOPT_HTTPHEADER, headers_.Get());
  Set(CURLOPT_SOCKOPTFUNCTION, &Call::OnSocket);
  Set(CURLOPT_PREREQFUNCTION, &Call::OnAttempt);
  Set<void*>(CURLOPT_PREREQDATA, this);
  Set(CURLOPT_HEADERFUNCTION, &Call::OnHeader);
  Set<void*>(CURLOPT_HEADERDATA, this);
  Set(CURLOPT_WRITEFUNCTION, &Call::OnBody);
  Set<void*>(CURLOPT_WRITEDATA, this);
  return setup_ == CURLE_OK;
}

void Call::TakeHeader(std::string_view line) {
  last_byte_ = Now();
  if (line.starts_with("HTTP/")) {  // the first answer, or the one after a 1xx
    answer_ = {};
    head_done_ = false;
    return;
  }
  if (head_done_) return;  // a trailer
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) {
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    answer_.status = static_cast<int>(status);
    head_done_ = true;
    return;
  }
  const size_t colon = std::min(line.find(':'), line.size());
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  line.remove_prefix(std::min(colon + 1, line.size()));
  while (line.starts_with(' ') || line.starts_with('\t')) line.remove_prefix(1);
  std::string& value = answer_.headers[std::move(name)];
  if (!value.empty()) value += ", ";
  value += line;
}

bool Call::TakeBody(std::string_view bytes) {
  if (bytes.empty()) return true;
  last_byte_ = Now();
  if (on_bytes_ != nullptr && answer_.status / 100 == 2) return HandOver(bytes);
  const size_t room = request_.max_body_bytes - answer_.body.size();
  answer_.body.append(bytes.substr(0, room));
  too_long_ = bytes.size() > room && on_bytes_ == nullptr;
  return !too_long_;
}

bool Call::HandOver(std::string_view bytes) {
  if (Stopped() || last_byte_ >= deadline_) return false;
  try {
    enough_ = !(*on_bytes_)(bytes);
  } catch (...) {  // not through libcurl's frames
    thrown_ = std::current_exception();
  }
  last_byte_ = Now();  // the time that the consumer took is no silence of the server
  return !enough_ && !thrown_;
}

std::string Call::Describe(CURLcode code, const Line& line) const {
  long number = 0;
  curl_easy_getinfo(line.Easy(), CURLINFO_OS_ERRNO, &number);
  const bool lost = code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR;
  std::string cause;
  if (lost && detail_[0] != '\0') {  // the number may be of the goodbye that failed too
    cause = fmt::format(": {}", detail_.data());
  } else if (number != 0) {
    cause = ": " + std::generic_category().message(static_cast<int>(number));
  }
  const std::string name = place_.verify_name;
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return fmt::format("the name {} does not resolve", place_.endpoint.host);
    case CURLE_COULDNT_CONNECT:
      return "could not connect" + cause;
    case CURLE_PEER_FAILED_VERIFICATION:
      return fmt::format(
          "TLS handshake failed: certificate verify failed: {} (its certificate "
          "must name {} and be signed by the cluster's certificate authority)",
          detail_.data(), name);
    case CURLE_SSL_CONNECT_ERROR:
      return fmt::format("TLS handshake failed: {}", detail_.data());
    case CURLE_SEND_ERROR:
      return "connection lost while sending" + cause;
    case CURLE_OK:  // libcurl takes an unfinished head for a whole one
    case CURLE_GOT_NOTHING:
    case CURLE_ABORTED_BY_CALLBACK:  // ours: no second attempt
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
      return (head_done_ ? "the answer was cut off" : "connection closed before an answer came") +
             cause;
    default:
      return fmt::format("{}{}{}", curl_easy_strerror(code), detail_[0] == '\0' ? "" : ": ",
                         detail_.data());
  }
}

Result<HttpResponse> Call::Finished(CURLcode code, const Line& line) {
  if (code == CURLE_OK && head_done_) return std::move(answer_);
  sound_ = false;
  return Lost(Describe(code, line));
}

std::optional<Result<HttpResponse>> Call::Over(const Line& line, int running) {
  if (thrown_) return answer_;
  if (enough_) return std::move(answer_);
  if (Stopped()) return Error{Code::kCancelled, Name() + ": stopped"};
  if (too_long_) {
    return Error{Code::kInternal, fmt::format("{}: the answer is longer than {} bytes", Name(),
                                              request_.max_body_bytes)};
  }
  const Moment now = Now();
  if (running == 0) {
    int left = 0;
    const CURLMsg* const message = curl_multi_info_read(line.Multi(), &left);
    const CURLcode code = message == nullptr ? CURLE_FAILED_INIT : message->data.result;
    if (code != CURLE_WRITE_ERROR) return Finished(code, line);
    // Ours: nothing is handed over after the deadline.
  } else if (now < std::min(deadline_, IdleAt())) {
    return std::nullopt;
  }
  sound_ = false;
  return now >= deadline_ ? Lost(fmt::format("not done within {} ms", request_.deadline.count()))
                          : Lost(fmt::format("silent for {} ms", request_.idle_deadline.count()));
}

Result<HttpResponse> Call::Drive(const Line& line) {
  for (;;) {
    int running = 0;
    curl_multi_perform(line.Multi(), &running);
    if (auto answer = Over(line, running)) return *std::move(answer);
    const auto left = std::chrono::ceil<milliseconds>(std::min(deadline_, IdleAt()) - Now());
    const auto wait = std::clamp(left, milliseconds{0}, milliseconds{60'000});
    curl_multi_poll(line.Multi(), nullptr, 0, static_cast<int>(wait.count()), nullptr);
  }
}

class CurlTransport final : public Transport {
 public:
  CurlTransport(const ClusterConfig& config, const Endpoint& endpoint, Credentials credentials)
      : place_{endpoint, config.tls_server_name.empty() ? endpoint.host : config.tls_server_name,
               config.proxy},
        impersonate_(config.impersonate),
        cache_(config, std::move(credentials), Now()) {}
  ~CurlTransport() override { switchboard_->Close(); }

  Status LogIn(const std::stop_token& stop) override { return cache_.LogIn(Now(), stop); }

  Result<HttpResponse> Send(const HttpRequest& request, const std::stop_token& stop) override {
    return Run(request, nullptr, stop);
  }
  Result<HttpResponse> Stream(const HttpRequest& request, const OnBytes& on_bytes,
                              const std::stop_token& stop) override {
    return Run(request, &on_bytes, stop);
  }

 private:
  Result<HttpResponse> Run(const HttpRequest& request, const OnBytes* on_bytes,
                           const std::stop_token& stop) {
    const auto switchboard = switchboard_;
    Call call(place_, request, on_bytes, stop, switchboard->Closing());
    const Error stopped{Code::kCancelled, call.Name() + ": stopped"};
    if (stop.stop_requested()) return stopped;
    const auto got = cache_.Get(Now(), Now() + request.deadline, stop);
    if (!got) return Error(got.error()).While(call.Name());
    const auto& credentials = *got;
    auto line = switchboard->Enter(credentials);
    if (!line) return stopped;
    struct Leave {  // also when the consumer throws
      ~Leave() { switchboard.Leave(std::move(line)); }
      Switchboard& switchboard;
      std::unique_ptr<Line>& line;
    } const leave{*switchboard, line};
    auto answer = call.Run(*line, IdentityHeaders(*credentials, impersonate_));
    if (!call.Sound()) switchboard->Renew(line->Generation());
    if (!call.Sound()) cache_.Suspect();
    if (answer && answer->status == 401) cache_.Distrust(credentials);
    return answer;
  }

  // Constant.
  const Call::Place place_;
  const Impersonation impersonate_;
  // Synchronise themselves.
  CredentialCache cache_;
  const std::shared_ptr<Switchboard> switchboard_ = std::make_shared<Switchboard>();
};

}  // namespace

namespace {

Status Check(const Proxy& proxy) {
  const std::string& url = proxy.url;
  if (url.empty() || url.starts_with("http://") || url.starts_with("socks5://")) return Ok{};
  // Without what may be a password.
  return Error{
      Code::kInvalid,
      fmt::format("the proxy of the {} starts with \"{}\"; it must start with http:// or "
                  "socks5://",
                  proxy.required ? "kubeconfig" : "environment", url.substr(0, url.find("//")))};
}

}  // namespace

Result<std::unique_ptr<Transport>> MakeCurlTransport(const ClusterConfig& config) {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (kReady != CURLE_OK) {
    return Error{Code::kInternal, fmt::format("libcurl: {}", curl_easy_strerror(kReady))};
  }
  auto endpoint = ParseEndpoint(config.server);
  if (!endpoint) return endpoint.error();
  if (Status good = Check(config.proxy); !good) return std::move(good).error();
  auto credentials = ReadCredentials(config);
  if (!credentials) return credentials.error();
  if (const auto fault = endpoint->tls ? Fault(*credentials) : std::string(); !fault.empty()) {
    return Error{Code::kInvalid,
                 fmt::format("the credentials for {} cannot be used: {}", config.server, fault)};
  }
  return std::unique_ptr<Transport>(
      std::make_unique<CurlTransport>(config, *endpoint, *std::move(credentials)));
}

}  // namespace spillway::kube
