#include "operator/http_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <filesystem>
#include <thread>
#include <type_traits>

namespace spillway {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using Handlers = std::map<std::string, HttpServer::Handler>;

constexpr std::chrono::seconds kSilence{10};
constexpr size_t kMostHeaderBytes = 8192;

HttpAnswer Dispatch(const http::request<http::string_body>& request, const Handlers& handlers) {
  constexpr const char* kText = "text/plain; charset=utf-8";
  constexpr std::string_view kBearer = "Bearer ";
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    return {405, kText, "only GET and HEAD\n"};
  }
  const std::string target(request.target());
  const size_t query = std::min(target.find('?'), target.size());
  const auto handler = handlers.find(target.substr(0, query));
  if (handler == handlers.end()) return {404, kText, "not found\n"};
  ServedRequest served;
  served.accept = std::string(request[http::field::accept]);
  served.accept_encoding = std::string(request[http::field::accept_encoding]);
  if (query < target.size()) served.query = target.substr(query + 1);
  const std::string authorization(request[http::field::authorization]);
  if (authorization.starts_with(kBearer)) {
    served.bearer_token = authorization.substr(kBearer.size());
  }
  return handler->second(served);
}

// One connection: reads a request, answers, and again. `Stream` is a beast::tcp_stream, or TLS over
// one.
template <class Stream>
class Session : public std::enable_shared_from_this<Session<Stream>> {
 public:
  // `open` counts the connections that there are.
  template <class... MoreOfStream>
  Session(std::shared_ptr<int> open, const Handlers& handlers, tcp::socket socket,
          MoreOfStream&... more)
      : open_(std::move(open)), stream_(std::move(socket), more...), handlers_(handlers) {
    ++*open_;
  }
  ~Session() { --*open_; }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Start() {
    if constexpr (kTls) {
      beast::get_lowest_layer(stream_).expires_after(kSilence);
      stream_.async_handshake(ssl::stream_base::server,
                              [self = this->shared_from_this()](beast::error_code error) {
                                if (!error) self->Read();
                              });
    } else {
      Read();
    }
  }

 private:
  static constexpr bool kTls = !std::is_same_v<Stream, beast::tcp_stream>;

  void Read() {
    parser_.emplace();
    parser_->header_limit(kMostHeaderBytes);
    parser_->body_limit(0);
    beast::get_lowest_layer(stream_).expires_after(kSilence);
    http::async_read(stream_, buffer_, *parser_,
                     [self = this->shared_from_this()](beast::error_code error, size_t) {
                       if (!error) self->Answer();
                     });
  }

  void Answer() {
    const auto& request = parser_->get();
    HttpAnswer answer = Dispatch(request, handlers_);
    response_ = {};
    response_.version(request.version());
    response_.result(static_cast<unsigned>(answer.status));
    response_.set(http::field::content_type, answer.content_type);
    if (!answer.content_encoding.empty()) {
      response_.set(http::field::content_encoding, answer.content_encoding);
    }
    response_.keep_alive(request.keep_alive());
    const size_t size = answer.body.size();
    if (request.method() != http::verb::head) response_.body() = std::move(answer.body);
    response_.content_length(size);
    http::async_write(stream_, response_,
                      [self = this->shared_from_this()](beast::error_code error, size_t) {
                        if (error) return;
                        self->response_.keep_alive() ? self->Read() : self->End();
                      });
  }

  // Without a goodbye a TLS client takes the answer for cut short.
  void End() {
    if constexpr (kTls) {
      stream_.async_shutdown([self = this->shared_from_this()](beast::error_code) {});
    }
  }

  std::shared_ptr<int> open_;
  Stream stream_;
  const Handlers& handlers_;
  beast::flat_buffer buffer_{kMostHeaderBytes};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
};

using PlainSession = Session<beast::tcp_stream>;
using TlsSession = Session<beast::ssl_stream<beast::tcp_stream>>;

// The server's side of TLS with what the files hold now.
class TlsContext {
 public:
  explicit TlsContext(TlsFiles files) : files_(std::move(files)) {}

  // Reads the files if they have changed. The last ones that could be read stay in use.
  Status Refresh() {
    std::error_code ignored;
    const std::pair seen(std::filesystem::last_write_time(files_.certificate, ignored),
                         std::filesystem::last_write_time(files_.key, ignored));
    if (context_ != nullptr && seen == read_) return Ok{};
    auto fresh = std::make_shared<ssl::context>(ssl::context::tls_server);
    boost::system::error_code error;
    fresh->set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
    if (fresh->use_certificate_chain_file(files_.certificate, error)) {
      return Unreadable(files_.certificate, error);
    }
    if (fresh->use_private_key_file(files_.key, ssl::context::pem, error)) {
      return Unreadable(files_.key, error);
    }
    context_ = std::move(fresh);
    read_ = seen;
    return Ok{};
  }
  // After a Refresh that succeeded.
  [[nodiscard]] std::shared_ptr<ssl::context> Get() const { return context_; }

 private:
  static Status Unreadable(const std::string& file, const boost::system::error_code& error) {
    return Error{Code::kInvalid, fmt::format("{} is no TLS file: {}", file, error.message())};
  }

  TlsFiles files_;
  std::shared_ptr<ssl::context> context_;
  std::pair<std::filesystem::file_time_type, std::filesystem::file_time_type> read_;
};

}  // namespace

struct HttpServer::Impl {
  Handlers handlers;
  std::optional<TlsContext> tls;
  std::shared_ptr<int> open = std::make_shared<int>(0);  // on the serving thread only
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  std::jthread thread;

  void Accept() {
    acceptor.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (!error && *open < kMostConnections) Serve(std::move(socket));
      Accept();
    });
  }
  void Serve(tcp::socket socket) {
    if (!tls) {
      std::make_shared<PlainSession>(open, handlers, std::move(socket))->Start();
      return;
    }
    (void)tls->Refresh();
    std::make_shared<TlsSession>(open, handlers, std::move(socket), *tls->Get())->Start();
  }
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() { impl_->io.stop(); }

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& listen,
                                                      std::map<std::string, Handler> handlers,
                                                      const std::optional<TlsFiles>& tls) {
  const size_t colon = listen.rfind(':');
  const std::string port = colon == std::string::npos ? "" : listen.substr(colon + 1);
  const bool digits = !port.empty() && port.size() <= 5 &&
                      port.find_first_not_of("0123456789") == std::string::npos;
  beast::error_code error;
  const auto address = asio::ip::make_address(listen.substr(0, colon), error);
  if (error || !digits || std::stoi(port) > 65535) {
    return Error{
        Code::kInvalid,
        fmt::format("cannot listen on \"{}\"; write ADDRESS:PORT, as 0.0.0.0:8080", listen)};
  }
  auto impl = std::make_unique<Impl>();
  impl->handlers = std::move(handlers);
  if (tls) {
    impl->tls.emplace(*tls);
    if (Status readable = impl->tls->Refresh(); !readable) return std::move(readable).error();
  }
  const tcp::endpoint endpoint(address, static_cast<uint16_t>(std::stoi(port)));
  try {
    impl->acceptor.open(endpoint.protocol());
    impl->acceptor.set_option(asio::socket_base::reuse_address(true));
    impl->acceptor.bind(endpoint);
    impl->acceptor.listen(asio::socket_base::max_listen_connections);
  } catch (const boost::system::system_error& failure) {
    return Error{Code::kInvalid,
                 fmt::format("cannot listen on {}: {}", listen, failure.code().message())};
  }
  impl->Accept();
  impl->thread = std::jthread([raw = impl.get()] { raw->io.run(); });
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

std::string HttpServer::Address() const {
  beast::error_code error;
  const auto endpoint = impl_->acceptor.local_endpoint(error);
  return fmt::format("{}:{}", endpoint.address().to_string(), endpoint.port());
}

}  // namespace spillway
