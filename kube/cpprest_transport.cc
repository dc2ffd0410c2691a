#include "kube/cpprest_transport.h"

#define _TURN_OFF_PLATFORM_STRING  // NOLINT(bugprone-reserved-identifier): the library's own switch

#include <cpprest/http_client.h>
#include <cpprest/producerconsumerstream.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pplx/threadpool.h>

#include <algorithm>
#include <boost/asio/ssl.hpp>
#include <mutex>
#include <optional>

#include "kube/connection.h"
#include "kube/exchange.h"
#include "kube/subprocess.h"

// The only file that knows cpprestsdk. It is archived upstream and sound only in a narrow way of
// use: one pool thread, own sink, no redirects, cancelling on the pool's thread alone, no pooled
// connection kept after trouble, every chain ended by a continuation that catches.
namespace spillway::kube {
namespace {

namespace http = web::http;
namespace ssl = boost::asio::ssl;
using Deadline = std::chrono::steady_clock::time_point;

constexpr std::chrono::seconds kCloseDeadline{5};
constexpr std::chrono::hours kNever{24};  // the library cannot switch its inactivity timer off
constexpr std::chrono::seconds kInactivity{60};

Deadline Now() { return std::chrono::steady_clock::now(); }

// --- errors ---

// The library mixes errno values with OpenSSL's packed ones and keeps neither's category.
std::string Cause(int value) {
  switch (value) {
    case ECONNRESET:
    case EPIPE:
      return ": reset by the server";
    case ETIMEDOUT:
      return ": timed out";
    case ENETUNREACH:
      return ": network unreachable";
    case EHOSTUNREACH:
      return ": refused or unreachable";
    default:
      break;
  }
  const char* tls =
      value > 0xffff ? ERR_reason_error_string(static_cast<unsigned>(value)) : nullptr;
  return tls != nullptr ? fmt::format(": {}", tls) : std::string();
}

// What went wrong, in our words: the library's own messages for codes are misleading.
std::string Describe(const http::http_exception& failure, const std::string& host) {
  const std::string_view what = failure.what();
  const std::string cause = Cause(failure.error_code().value());
  const auto is = [&](std::string_view text) { return what.find(text) != std::string_view::npos; };
  if (is("Failed to connect")) return "could not connect" + cause;
  if (is("resolv")) return fmt::format("the name {} does not resolve", host);
  if (is("SSL handshake")) {
    const bool refused = cause.find("verify") != std::string::npos;
    return "TLS handshake failed" + cause +
           (refused ? fmt::format(" (its certificate must name {} and be signed by the cluster's "
                                  "certificate authority)",
                                  host)
                    : std::string());
  }
  if (is("Failed to write")) return "connection lost while sending" + cause;
  if (is("status line")) return "connection closed before an answer came" + cause;
  if (is("chunk") || is("response body")) return "the answer was cut off" + cause;
  return fmt::format("{}{}", what, cause);
}

// --- one call ---

// An exchange and the way to stop it.
struct Transfer : Exchange {
  using Exchange::Exchange;

  // Stops what still runs. Closing a socket from outside the pool's thread would race with the
  // library's next read, so the pool's thread does it.
  void Cancel() {
    if (!Abandon()) return;
    crossplat::threadpool::shared_instance().service().post([cancel = source] { cancel.cancel(); });
  }

  pplx::cancellation_token_source source;
};

// The library's view of an Exchange: a stream buffer that is only ever written to in blocks.
class SinkBuf final : public Concurrency::streams::details::streambuf_state_manager<uint8_t> {
 public:
  explicit SinkBuf(std::shared_ptr<Transfer> transfer)
      : streambuf_state_manager(std::ios_base::out), transfer_(std::move(transfer)) {}

  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  size_t buffer_size(std::ios_base::openmode /*mode*/) const override { return 0; }
  void set_buffer_size(size_t /*size*/, std::ios_base::openmode /*mode*/) override {}
  size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode /*mode*/) const override { return kNowhere; }
  pos_type seekpos(pos_type /*to*/, std::ios_base::openmode /*mode*/) override { return kNowhere; }
  pos_type seekoff(off_type /*by*/, std::ios_base::seekdir /*from*/,
                   std::ios_base::openmode /*mode*/) override {
    return kNowhere;
  }
  bool acquire(uint8_t*& data, size_t& count) override {
    data = nullptr;
    count = 0;
    return false;
  }
  void release(uint8_t* /*data*/, size_t /*count*/) override {}

 protected:
  pplx::task<int_type> _putc(uint8_t c) override {
    return _putn(&c, 1).then([c](size_t) { return static_cast<int_type>(c); });
  }
  // The library reads on only when the task is complete. Never throws, never blocks.
  pplx::task<size_t> _putn(const uint8_t* data, size_t count) override {
    const pplx::task_completion_event<size_t> turn;
    const bool go_on = transfer_->Put({reinterpret_cast<const char*>(data), count},
                                      [turn, count] { turn.set(count); });
    return go_on ? pplx::task_from_result(count) : pplx::create_task(turn);
  }
  pplx::task<int_type> _bumpc() override { return NoInput(); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return NoInput(); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return NoInput(); }
  pplx::task<int_type> _ungetc() override { return NoInput(); }
  pplx::task<size_t> _getn(uint8_t* /*data*/, size_t /*count*/) override {
    return pplx::task_from_result<size_t>(0);
  }
  size_t _scopy(uint8_t* /*data*/, size_t /*count*/) override { return 0; }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  uint8_t* _alloc(size_t /*count*/) override { return nullptr; }
  void _commit(size_t /*count*/) override {}

 private:
  static constexpr std::streamoff kNowhere = -1;
  static pplx::task<int_type> NoInput() { return pplx::task_from_result<int_type>(traits::eof()); }

  std::shared_ptr<Transfer> transfer_;
};

// A body that cannot be read again. The library sends a request anew by itself where a connection
// that it had kept turns out to be closed, whatever became of the first; not one whose body it
// cannot rewind.
Concurrency::streams::istream ReadOnce(const std::string& body) {
  Concurrency::streams::producer_consumer_buffer<uint8_t> buffer(std::max<size_t>(body.size(), 1));
  const auto* bytes = reinterpret_cast<const uint8_t*>(body.data());
  buffer.putn_nocopy(bytes, body.size()).wait();  // it grows: never waits
  buffer.close(std::ios_base::out).wait();
  return buffer.create_istream();
}

bool IsReadOnly(const HttpRequest& request) {
  return request.method == "GET" || request.method == "HEAD";
}

// --- connections ---

// Every step that the library leaves to us for a new TLS connection. Throws on unusable PEM.
void SetUpTls(ssl::context& context, const Credentials& credentials) {
  SSL_CTX* const native = context.native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  // The library has loaded the system's authorities; only the cluster's own may vouch.
  SSL_CTX_set_cert_store(native, X509_STORE_new());
  context.add_certificate_authority(boost::asio::buffer(credentials.ca));
  if (credentials.client_key.empty()) return;
  context.use_certificate_chain(boost::asio::buffer(credentials.client_certificate));
  context.use_private_key(boost::asio::buffer(credentials.client_key), ssl::context::pem);
}

// Before the library connects.
void SetUpSocket(boost::asio::ip::tcp::socket& socket) {
  if (socket.is_open()) return;  // a pooled connection has had this
  socket.open(boost::asio::ip::tcp::v4());
  SetUpKeepalive(socket.native_handle());
}

// One pool of connections for requests and one for watches, with the credentials they were made
// with.
struct Session {
  std::shared_ptr<const Credentials> credentials;
  std::unique_ptr<http::client::http_client> requests;
  std::unique_ptr<http::client::http_client> watches;
};

class CpprestTransport final : public Transport {
 public:
  CpprestTransport(ClusterConfig config, Endpoint endpoint, Credentials credentials)
      : endpoint_(std::move(endpoint)),
        verify_name_(config.tls_server_name.empty() ? endpoint_.host : config.tls_server_name),
        impersonate_(config.impersonate),
        cache_(std::move(config), std::move(credentials), Now()) {}
  ~CpprestTransport() override {
    ledger_->Close(kCloseDeadline, [](Exchange& call) { static_cast<Transfer&>(call).Cancel(); });
  }

  Status LogIn(const std::stop_token& stop) override { return cache_.LogIn(Now(), stop); }
  Result<HttpResponse> Send(const HttpRequest& request, const std::stop_token& stop) override {
    return Run(request, nullptr, stop);
  }
  Result<HttpResponse> Stream(const HttpRequest& request, const OnBytes& on_bytes,
                              const std::stop_token& stop) override {
    return Run(request, &on_bytes, stop);
  }

 private:
  // What one call has at hand.
  struct Call {
    std::shared_ptr<Transfer> transfer;
    std::shared_ptr<Ledger> ledger;
    std::string name;  // "GET 127.0.0.1:6443/api/v1/pods", for messages
    bool read_only = true;

    [[nodiscard]] Error Lost(std::string_view why) const {
      const bool harmless = read_only || !transfer->Sent();
      return {harmless ? Code::kUnavailable : Code::kUnknown, fmt::format("{}: {}", name, why)};
    }
  };

  [[nodiscard]] std::shared_ptr<const Session> MakeSession(
      std::shared_ptr<const Credentials> credentials) const;
  Result<std::shared_ptr<const Session>> CurrentSession(Deadline deadline,
                                                        const std::stop_token& stop);
  // After trouble: pooled connections may all be dead, so the next call starts with new ones.
  void DropSession(const std::shared_ptr<const Session>& bad);
  Result<http::http_request> Build(const HttpRequest& request, const Session& session) const;
  Result<HttpResponse> Run(const HttpRequest& request, const OnBytes* on_bytes,
                           const std::stop_token& stop);
  static void Start(const Call& call, http::client::http_client& client, http::http_request request,
                    const std::string& host);
  enum class End { kAnswered, kStopped, kTimedOut, kFailed };
  static End Drive(const Call& call, const HttpRequest& request, const OnBytes* on_bytes,
                   Deadline deadline, Result<HttpResponse>& answer);

  // Constant.
  const Endpoint endpoint_;
  const std::string verify_name_;
  const Impersonation impersonate_;
  // Synchronise themselves.
  CredentialCache cache_;
  const std::shared_ptr<Ledger> ledger_ = std::make_shared<Ledger>();
  // Guarded.
  std::mutex mutex_;
  std::shared_ptr<const Session> session_;
};

std::shared_ptr<const Session> CpprestTransport::MakeSession(
    std::shared_ptr<const Credentials> credentials) const {
  http::client::http_client_config config;
  config.set_max_redirects(0);
  const Endpoint name{.host = verify_name_, .path = {}};
  config.set_tlsext_sni_enabled(!name.HostIsIpv4());  // an address is no server name
  if (endpoint_.tls) {
    config.set_ssl_context_callback(
        [credentials](ssl::context& context) { SetUpTls(context, *credentials); });
  }
  config.set_nativehandle_options([tls = endpoint_.tls](http::client::native_handle handle) {
    using Socket = boost::asio::ip::tcp::socket;
    SetUpSocket(tls ? static_cast<ssl::stream<Socket&>*>(handle)->next_layer()
                    : *static_cast<Socket*>(handle));
  });
  const web::uri base(fmt::format("{}://{}:{}{}", endpoint_.tls ? "https" : "http", endpoint_.host,
                                  endpoint_.port, endpoint_.path));
  auto session = std::make_shared<Session>();
  session->credentials = std::move(credentials);
  config.set_timeout(kInactivity);
  session->requests = std::make_unique<http::client::http_client>(base, config);
  config.set_timeout(kNever);
  session->watches = std::make_unique<http::client::http_client>(base, config);
  return session;
}

Result<std::shared_ptr<const Session>> CpprestTransport::CurrentSession(
    Deadline deadline, const std::stop_token& stop) {
  auto got = cache_.Get(Now(), deadline, stop);
  if (!got) return std::move(got).error();
  auto credentials = *std::move(got);
  const std::scoped_lock lock(mutex_);
  if (session_ == nullptr || !session_->credentials->SameTls(*credentials)) {
    session_ = MakeSession(std::move(credentials));
  } else if (session_->credentials != credentials) {  // another token: the connections stay
    auto session = std::make_shared<Session>();
    session->credentials = std::move(credentials);
    session->requests = std::make_unique<http::client::http_client>(*session_->requests);
    session->watches = std::make_unique<http::client::http_client>(*session_->watches);
    session_ = std::move(session);
  }
  return session_;
}

void CpprestTransport::DropSession(const std::shared_ptr<const Session>& bad) {
  const std::scoped_lock lock(mutex_);
  if (session_ == bad) session_ = nullptr;
}

Result<http::http_request> CpprestTransport::Build(const HttpRequest& request,
                                                   const Session& session) const {
  const Error bad{Code::kInternal,
                  fmt::format("{} {}: cannot be sent as it is", request.method, request.target)};
  if (!IsHeaderText(request.target) || !request.target.starts_with('/')) return bad;
  try {
    http::http_request built(request.method);
    built.set_request_uri(web::uri(request.target));
    for (const auto& [name, value] : request.headers) {
      if (!IsHeaderText(name) || !IsHeaderText(value)) return bad;
      built.headers().add(name, value);
    }
    // The library takes the Host header for the name to verify and to send as SNI.
    if (verify_name_ != endpoint_.host) built.headers().add("Host", verify_name_);
    for (const auto& [name, value] : IdentityHeaders(*session.credentials, impersonate_)) {
      built.headers().add(name, value);
    }
    if (!IsReadOnly(request)) {
      const std::string type = built.headers().has("Content-Type")
                                   ? built.headers()["Content-Type"]
                                   : std::string("application/json");
      built.set_body(ReadOnce(request.body), request.body.size(), type);
    }
    return built;
  } catch (const std::exception& failure) {
    return Error(bad).While(failure.what());
  }
}

void CpprestTransport::Start(const Call& call, http::client::http_client& client,
                             http::http_request request, const std::string& host) {
  const auto transfer = call.transfer;
  const auto ledger = call.ledger;
  request.set_progress_handler([transfer](http::message_direction::direction way, uint64_t) {
    if (way == http::message_direction::upload) transfer->MarkSent();
  });
  request.set_response_stream(
      Concurrency::streams::streambuf<uint8_t>(std::make_shared<SinkBuf>(transfer))
          .create_ostream());
  const auto finish = [transfer, ledger](std::optional<std::string> failure) {
    transfer->Finish(std::move(failure));
    ledger->Finished(transfer);
  };
  const auto on_head = [transfer](const http::http_response& response) {
    HttpResponse head;
    head.status = response.status_code();
    for (const auto& [name, value] : response.headers()) {
      std::string lower = name;
      std::transform(lower.begin(), lower.end(), lower.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      head.headers.insert_or_assign(std::move(lower), value);
    }
    transfer->SetHead(std::move(head));
    return response.content_ready();
  };
  const auto on_end = [finish, host](const pplx::task<http::http_response>& end) {
    try {
      end.get();  // complete by now: does not wait
      finish(std::nullopt);
    } catch (const http::http_exception& failure) {
      finish(Describe(failure, host));
    } catch (const std::exception& failure) {
      finish(failure.what());
    } catch (...) {
      finish("failed for no known reason");
    }
  };
  try {
    client.request(request, transfer->source.get_token()).then(on_head).then(on_end);
  } catch (const std::exception& failure) {
    finish(failure.what());
  }
}

CpprestTransport::End CpprestTransport::Drive(const Call& call, const HttpRequest& request,
                                              const OnBytes* on_bytes, Deadline deadline,
                                              Result<HttpResponse>& answer) {
  using Wake = Exchange::Wake;
  std::string bytes;
  for (;;) {
    switch (call.transfer->Await(deadline, request.idle_deadline, bytes)) {
      case Wake::kBytes:
        if (!(*on_bytes)(bytes)) {
          answer = call.transfer->TakeResponse();
          return End::kAnswered;
        }
        call.transfer->RestartIdle();
        break;
      case Wake::kTooLong:
        answer = Error{Code::kInternal, fmt::format("{}: the answer is longer than {} bytes",
                                                    call.name, request.max_body_bytes)};
        return End::kFailed;
      case Wake::kEnded:
        answer = Error{Code::kCancelled, call.name + ": stopped"};
        return End::kStopped;
      case Wake::kDeadline:
        answer = call.Lost(fmt::format("not done within {} ms", request.deadline.count()));
        return End::kTimedOut;
      case Wake::kIdle:
        answer = call.Lost(fmt::format("silent for {} ms", request.idle_deadline.count()));
        return End::kTimedOut;
      case Wake::kFinished:
        if (const auto failure = call.transfer->Failure()) {
          answer = call.Lost(*failure);
          return End::kFailed;
        }
        answer = call.transfer->TakeResponse();
        return End::kAnswered;
    }
  }
}

Result<HttpResponse> CpprestTransport::Run(const HttpRequest& request, const OnBytes* on_bytes,
                                           const std::stop_token& stop) {
  const std::string path = request.target.substr(0, request.target.find('?'));
  const Call call{
      .transfer = std::make_shared<Transfer>(on_bytes != nullptr, request.max_body_bytes),
      .ledger = ledger_,
      .name = fmt::format("{} {}:{}{}", request.method, endpoint_.host, endpoint_.port, path),
      .read_only = IsReadOnly(request)};
  if (stop.stop_requested()) return Error{Code::kCancelled, call.name + ": stopped"};
  const Deadline deadline = Now() + request.deadline;  // a plugin's time is part of it
  const auto current = CurrentSession(deadline, stop);
  if (!current) return Error(current.error()).While(call.name);
  const std::shared_ptr<const Session>& session = *current;
  auto built = Build(request, *session);
  if (!built) return built.error();
  if (!call.ledger->Add(call.transfer)) return Error{Code::kCancelled, call.name + ": stopped"};
  struct Leave {  // also when the consumer throws
    ~Leave() {
      call.transfer->Cancel();
      call.ledger->Left();
    }
    const Call& call;
  } const leave{call};
  Start(call, on_bytes != nullptr ? *session->watches : *session->requests, *std::move(built),
        verify_name_);
  const std::stop_callback on_stop(stop, [&call] { call.transfer->End(); });
  Result<HttpResponse> answer = HttpResponse{};
  const End end = Drive(call, request, on_bytes, deadline, answer);
  if (end == End::kTimedOut || end == End::kFailed) DropSession(session);
  if (end == End::kFailed) cache_.Suspect();
  if (end == End::kAnswered && answer->status == 401) cache_.Distrust(session->credentials);
  return answer;
}

// The library joins what comes under one name by commas, which the server would take for one name.
Status CheckImpersonation(const Impersonation& who) {
  const bool several =
      who.groups.size() > 1 || std::any_of(who.extra.begin(), who.extra.end(),
                                           [](const auto& one) { return one.second.size() > 1; });
  if (!several) return Ok{};
  return Error{Code::kInvalid,
               "on whose behalf: cpprestsdk can send one group and one value of an extra field "
               "only; use --transport=curl"};
}

}  // namespace

void InitCpprest() {
  static const bool kDone = [] {
    // Its store is replaced by ours for each connection.
    SetForThisProcess("SSL_CERT_FILE", "/dev/null");
    crossplat::threadpool::initialize_with_threads(1);
    return true;
  }();
  static_cast<void>(kDone);
}

Result<std::unique_ptr<Transport>> MakeCpprestTransport(const ClusterConfig& config) {
  InitCpprest();
  auto endpoint = ParseEndpoint(config.server);
  if (!endpoint) return endpoint.error();
  if (config.proxy.required && !config.proxy.url.empty()) {
    return Error{Code::kInvalid,
                 fmt::format("server \"{}\" is behind a proxy (proxy-url), which is "
                             "asked over libcurl only; use --transport=curl",
                             config.server)};
  }
  if (endpoint->HostIsIpv6()) {
    return Error{
        Code::kInvalid,
        fmt::format("server \"{}\" is an IPv6 address, which cpprestsdk cannot connect to; "
                    "use --transport=curl, or a DNS name with an IPv4 address",
                    config.server)};
  }
  auto credentials = ReadCredentials(config);
  if (!credentials) return credentials.error();
  if (Status good = CheckImpersonation(config.impersonate); !good) return std::move(good).error();
  try {
    if (endpoint->tls) {
      ssl::context probe(ssl::context::tls_client);
      SetUpTls(probe, *credentials);
    }
    return std::unique_ptr<Transport>(
        std::make_unique<CpprestTransport>(config, *std::move(endpoint), *std::move(credentials)));
  } catch (const std::exception& failure) {
    return Error{Code::kInvalid, fmt::format("the credentials for {} cannot be used: {}",
                                             config.server, failure.what())};
  }
}

}  // namespace spillway::kube
