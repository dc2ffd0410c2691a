#include "operator/http_server.h"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <thread>

namespace spillway {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using Handlers = std::map<std::string, HttpServer::Handler>;

constexpr std::chrono::seconds kSilence{10};
constexpr size_t kMostHeaderBytes = 8192;

// One connection: reads a request, answers, and again.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, const Handlers& handlers)
      : stream_(std::move(socket)), handlers_(handlers) {}

  void Read() {
    parser_.emplace();
    parser_->header_limit(kMostHeaderBytes);
    parser_->body_limit(0);
    stream_.expires_after(kSilence);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, size_t) {
                       if (!error) self->Answer();
                     });
  }

 private:
  void Answer() {
    const auto& request = parser_->get();
    std::string path(request.target());
    path = path.substr(0, path.find('?'));
    const bool known = request.method() == http::verb::get || request.method() == http::verb::head;
    const auto handler = handlers_.find(path);
    HttpAnswer answer{404, "text/plain; charset=utf-8", "not found\n"};
    if (!known) {
      answer = {405, "text/plain; charset=utf-8", "only GET and HEAD\n"};
    } else if (handler != handlers_.end()) {
      answer = handler->second();
    }
    response_ = {};
    response_.version(request.version());
    response_.result(static_cast<unsigned>(answer.status));
    response_.set(http::field::content_type, answer.content_type);
    response_.keep_alive(request.keep_alive());
    const size_t size = answer.body.size();
    if (request.method() != http::verb::head) response_.body() = std::move(answer.body);
    response_.content_length(size);
    http::async_write(stream_, response_,
                      [self = shared_from_this()](beast::error_code error, size_t) {
                        if (!error && self->response_.keep_alive()) self->Read();
                      });
  }

  beast::tcp_stream stream_;
  const Handlers& handlers_;
  beast::flat_buffer buffer_{kMostHeaderBytes};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
};

}  // namespace

struct HttpServer::Impl {
  Handlers handlers;
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  std::jthread thread;

  void Accept() {
    acceptor.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (!error) std::make_shared<Session>(std::move(socket), handlers)->Read();
      Accept();
    });
  }
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() { impl_->io.stop(); }

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& listen,
                                                      std::map<std::string, Handler> handlers) {
  const size_t colon = listen.rfind(':');
  const std::string port = colon == std::string::npos ? "" : listen.substr(colon + 1);
  const bool digits = !port.empty() && port.size() <= 5 &&
                      port.find_first_not_of("0123456789") == std::string::npos;
  beast::error_code error;
  const auto address = asio::ip::make_address(listen.substr(0, colon), error);
  if (error || !digits || std::stoi(port) > 65535) {
    return Error{Code::kInvalid,
                 fmt::format("--listen is \"{}\"; write ADDRESS:PORT, as 0.0.0.0:8080", listen)};
  }
  auto impl = std::make_unique<Impl>();
  impl->handlers = std::move(handlers);
  const tcp::endpoint endpoint(address, static_cast<uint16_t>(std::stoi(port)));
  try {
    impl->acceptor.open(endpoint.protocol());
    impl->acceptor.set_option(asio::socket_base::reuse_address(true));
    impl->acceptor.bind(endpoint);
    impl->acceptor.listen(asio::socket_base::max_listen_connections);
  } catch (const boost::system::system_error& failure) {
    return Error{Code::kInvalid, fmt::format("--listen {}: {}", listen, failure.code().message())};
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
