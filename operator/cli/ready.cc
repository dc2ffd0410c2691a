#include "operator/cli/ready.h"

#include <fmt/format.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <string_view>

namespace spillway::cli {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kMostBytes = 65536;

// One request on a connection of its own; every step runs into the same deadline.
class Asking {
 public:
  Asking(std::string host, std::string port) : host_(std::move(host)), port_(std::move(port)) {}

  // The whole answer, head and body.
  Result<std::string> Run(std::chrono::milliseconds deadline) {
    resolver_.async_resolve(host_, port_,
                            [this](error_code error, const tcp::resolver::results_type& found) {
                              if (Went(error, "finding")) Connect(found);
                            });
    io_.run_for(deadline);
    if (!done_) return Error{Code::kUnavailable, "no answer in time"};
    if (!failed_.empty()) return Error{Code::kUnavailable, failed_};
    return answer_;
  }

 private:
  void Connect(const tcp::resolver::results_type& found) {
    asio::async_connect(socket_, found, [this](error_code error, const tcp::endpoint&) {
      if (Went(error, "connecting")) Send();
    });
  }
  void Send() {
    request_ = fmt::format("GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", host_);
    asio::async_write(socket_, asio::buffer(request_), [this](error_code error, size_t) {
      if (Went(error, "asking")) Receive();
    });
  }
  void Receive() {
    asio::async_read(socket_, asio::dynamic_buffer(answer_, kMostBytes),
                     [this](error_code error, size_t) {
                       if (error == asio::error::eof) error = {};
                       if (Went(error, "reading the answer")) done_ = true;
                     });
  }
  // False ends it.
  bool Went(error_code error, std::string_view step) {
    if (!error) return true;
    failed_ = fmt::format("{}: {}", step, error.message());
    done_ = true;
    return false;
  }

  std::string host_;
  std::string port_;
  asio::io_context io_;
  tcp::resolver resolver_{io_};
  tcp::socket socket_{io_};
  std::string request_;
  std::string answer_;
  std::string failed_;
  bool done_ = false;
};

}  // namespace

Result<std::string> AskReady(const std::string& address, std::chrono::milliseconds deadline) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    return Error{Code::kInvalid, fmt::format("\"{}\" is no HOST:PORT", address)};
  }
  Asking asking(address.substr(0, colon), address.substr(colon + 1));
  auto answer = asking.Run(deadline);
  if (!answer) return std::move(answer).error().While(address);
  const size_t head = answer->find("\r\n\r\n");
  const std::string body = head == std::string::npos ? "" : answer->substr(head + 4);
  if (!answer->starts_with("HTTP/1.1 200 ")) {
    const std::string status = answer->substr(0, answer->find("\r\n"));
    return Error{Code::kUnavailable, fmt::format("{} says {}\n{}", address, status, body)};
  }
  return body;
}

}  // namespace spillway::cli
