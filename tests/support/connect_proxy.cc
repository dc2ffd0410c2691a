#include "tests/support/connect_proxy.h"

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <list>
#include <mutex>
#include <thread>

namespace spillway::support {
namespace {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;
using Failure = boost::system::error_code;

// One way, until an end closes.
void Pump(Tcp::socket& from, Tcp::socket& to) {
  char piece[16384];
  Failure failure;
  while (!failure) {
    const size_t got = from.read_some(asio::buffer(piece), failure);
    if (!failure) asio::write(to, asio::buffer(piece, got), failure);
  }
  Failure ignored;
  to.shutdown(Tcp::socket::shutdown_both, ignored);
}

}  // namespace

struct ConnectProxy::Impl {
  struct Tunnel {
    explicit Tunnel(asio::io_context& io) : client(io), server(io) {}
    Tcp::socket client;
    Tcp::socket server;
    std::jthread thread;
  };

  Impl() : acceptor(io, {asio::ip::make_address("127.0.0.1"), 0}) {
    accepting = std::jthread([this](const std::stop_token& stop) { Accept(stop); });
  }
  ~Impl() {
    accepting.request_stop();
    Tcp::socket wake(io);
    Failure ignored;
    wake.connect(acceptor.local_endpoint(), ignored);
    accepting.join();
    for (Tunnel& tunnel : tunnels) {
      tunnel.client.shutdown(Tcp::socket::shutdown_both, ignored);
      tunnel.server.shutdown(Tcp::socket::shutdown_both, ignored);
    }
    tunnels.clear();
  }

  void Accept(const std::stop_token& stop) {
    for (;;) {
      Tunnel& tunnel = tunnels.emplace_back(io);
      Failure failure;
      acceptor.accept(tunnel.client, failure);
      if (stop.stop_requested() || failure) return;
      tunnel.thread = std::jthread([this, &tunnel] { Serve(tunnel); });
    }
  }

  void Serve(Tunnel& tunnel) {
    std::string head;
    Failure failure;
    asio::read_until(tunnel.client, asio::dynamic_buffer(head), "\r\n\r\n", failure);
    if (failure || !head.starts_with("CONNECT ")) return;
    const std::string target = head.substr(8, head.find(' ', 8) - 8);
    if (refuse) {
      asio::write(tunnel.client, asio::buffer(std::string("HTTP/1.1 403 Forbidden\r\n\r\n")),
                  failure);
      tunnel.client.shutdown(Tcp::socket::shutdown_both, failure);
      return;
    }
    {
      const std::scoped_lock lock(mutex);
      asked.push_back(target);
    }
    const size_t colon = target.rfind(':');
    Tcp::resolver resolver(io);
    const auto found = resolver.resolve(target.substr(0, colon), target.substr(colon + 1), failure);
    if (!failure) asio::connect(tunnel.server, found, failure);
    if (failure) return;
    asio::write(tunnel.client,
                asio::buffer(std::string("HTTP/1.1 200 Established\r\nX-Proxy: yes\r\n\r\n")),
                failure);
    std::jthread back([&] { Pump(tunnel.server, tunnel.client); });
    Pump(tunnel.client, tunnel.server);
  }

  asio::io_context io;
  Tcp::acceptor acceptor;
  std::atomic<bool> refuse = false;
  mutable std::mutex mutex;
  std::vector<std::string> asked;  // guarded
  std::list<Tunnel> tunnels;       // of the accepting thread, and of whoever joined it
  std::jthread accepting;
};

ConnectProxy::ConnectProxy() : impl_(std::make_unique<Impl>()) {}
ConnectProxy::~ConnectProxy() = default;

void ConnectProxy::Refuse() { impl_->refuse = true; }

int ConnectProxy::Port() const { return impl_->acceptor.local_endpoint().port(); }

std::vector<std::string> ConnectProxy::Asked() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->asked;
}

}  // namespace spillway::support
