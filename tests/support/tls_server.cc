#include "tests/support/tls_server.h"

#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <list>
#include <mutex>
#include <thread>

#include "tests/support/eventually.h"

namespace spillway::support {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
using Tcp = asio::ip::tcp;
using Failure = boost::system::error_code;

std::string CommonName(X509* certificate) {
  if (certificate == nullptr) return {};
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  return name;
}

class Connection final : public WireConnection {
 public:
  Connection(Tcp::socket socket, std::shared_ptr<ssl::context> context)
      : socket_(std::move(socket)),
        context_(std::move(context)),
        stream_(context_ == nullptr
                    ? nullptr
                    : std::make_unique<ssl::stream<Tcp::socket&>>(socket_, *context_)) {}

  bool Handshake() {
    Failure failure;
    if (stream_) failure = stream_->handshake(ssl::stream_base::server, failure);
    return !failure;
  }

  // False at the end of the connection.
  bool Read(WireRequest& request) {
    Failure failure;
    const size_t head =
        stream_ ? asio::read_until(*stream_, asio::dynamic_buffer(in_), "\r\n\r\n", failure)
                : asio::read_until(socket_, asio::dynamic_buffer(in_), "\r\n\r\n", failure);
    if (failure) return false;
    ParseHead(in_.substr(0, head), request);
    in_.erase(0, head);
    const auto length = request.headers.find("content-length");
    const size_t size = length == request.headers.end() ? 0 : std::stoul(length->second);
    while (in_.size() < size) {
      char piece[4096];
      const size_t got = ReadSome(asio::buffer(piece), failure);
      if (failure) return false;
      in_.append(piece, got);
    }
    request.body = in_.substr(0, size);
    in_.erase(0, size);
    return true;
  }

  bool Write(std::string_view bytes) override {
    Failure failure;
    if (stream_) {
      asio::write(*stream_, asio::buffer(bytes), failure);
    } else {
      asio::write(socket_, asio::buffer(bytes), failure);
    }
    return !failure;
  }
  bool WaitForPeerToClose() override {
    Failure failure;
    char byte = 0;
    ReadSome(asio::buffer(&byte, 1), failure);
    return !stopped_;
  }
  bool PeerStirsWithin(std::chrono::milliseconds time) override {
    pollfd waiting{socket_.native_handle(), POLLIN, 0};
    return poll(&waiting, 1, static_cast<int>(time.count())) > 0;
  }
  [[nodiscard]] bool HeldBack() const override {
    pollfd asked{const_cast<Tcp::socket&>(socket_).native_handle(), POLLOUT, 0};
    return poll(&asked, 1, 0) == 0;
  }
  void FallSilent() override {
    // What is not acknowledged would be sent again and again, which is no silence.
    int left = 0;
    Eventually([&] { return ioctl(socket_.native_handle(), SIOCOUTQ, &left) == 0 && left == 0; });
    sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
    const sock_fprog program{.len = 1, .filter = &none};
    setsockopt(socket_.native_handle(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
  }
  void SayGoodbye() override {
    Failure failure;
    if (stream_) {
      failure = stream_->shutdown(failure);  // waits for the peer's own
    } else {
      shutdown(socket_.native_handle(), SHUT_WR);
    }
  }
  void Drop(bool reset) override {
    if (reset) {
      const linger now{.l_onoff = 1, .l_linger = 0};
      setsockopt(socket_.native_handle(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
      Failure failure;
      failure = socket_.close(failure);
    } else {
      shutdown(socket_.native_handle(), SHUT_RDWR);
    }
  }
  [[nodiscard]] std::string ClientCommonName() const override {
    if (!stream_) return {};
    X509* certificate = SSL_get1_peer_certificate(stream_->native_handle());
    std::string name = CommonName(certificate);
    X509_free(certificate);
    return name;
  }
  [[nodiscard]] std::string ServerNameAsked() const override {
    const char* name =
        stream_ ? SSL_get_servername(stream_->native_handle(), TLSEXT_NAMETYPE_host_name) : nullptr;
    return name == nullptr ? std::string() : name;
  }

  // From the server's destructor: wakes whatever blocks on this connection.
  void Stop() {
    stopped_ = true;
    shutdown(socket_.native_handle(), SHUT_RDWR);
  }

 private:
  template <class Buffer>
  size_t ReadSome(const Buffer& buffer, Failure& failure) {
    return stream_ ? stream_->read_some(buffer, failure) : socket_.read_some(buffer, failure);
  }
  static void ParseHead(std::string_view head, WireRequest& request) {
    size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    const size_t first = line.find(' ');
    const size_t second = line.find(' ', first + 1);
    request.method = line.substr(0, first);
    request.target = line.substr(first + 1, second - first - 1);
    while (true) {
      head.remove_prefix(end + 2);
      end = head.find("\r\n");
      const std::string_view header = head.substr(0, end);
      if (header.empty()) return;
      const size_t colon = header.find(':');
      std::string name(header.substr(0, colon));
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      std::string_view value = header.substr(colon + 1);
      while (value.starts_with(' ')) value.remove_prefix(1);
      const auto [place, fresh] = request.headers.emplace(std::move(name), value);
      if (!fresh) place->second += " | " + std::string(value);
    }
  }

  Tcp::socket socket_;
  const std::shared_ptr<ssl::context> context_;
  std::unique_ptr<ssl::stream<Tcp::socket&>> stream_;
  std::string in_;
  std::atomic<bool> stopped_ = false;
};

}  // namespace

bool WireConnection::WriteChunk(std::string_view bytes) {
  return Write(fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes));
}
bool WireConnection::Answer(int status, std::string_view body, std::string_view more_headers) {
  return Write(fmt::format("HTTP/1.1 {} Word\r\nContent-Length: {}\r\n{}\r\n{}", status,
                           body.size(), more_headers, body));
}
bool WireConnection::StartChunked() {
  return Write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
}

struct TlsServer::Impl {
  Impl(Options options, Handler h)
      : handler(std::move(h)),
        acceptor(io, {Loopback(options.ipv6), 0}),
        client_ca(options.client_ca) {
    if (!options.pair.key.empty()) context = MakeContext(options.pair);
  }

  static asio::ip::address Loopback(bool ipv6) {
    if (ipv6) return asio::ip::address_v6::loopback();
    return asio::ip::address_v4::loopback();
  }
  [[nodiscard]] std::shared_ptr<ssl::context> MakeContext(const KeyPair& pair) const {
    auto made = std::make_shared<ssl::context>(ssl::context::tls_server);
    made->use_certificate_chain(asio::buffer(pair.certificate));
    made->use_private_key(asio::buffer(pair.key), ssl::context::pem);
    // Without it OpenSSL refuses clients that resume a session.
    SSL_CTX_set_session_id_context(made->native_handle(),
                                   reinterpret_cast<const unsigned char*>("t"), 1);
    if (client_ca.empty()) return made;
    made->add_certificate_authority(asio::buffer(client_ca));
    made->set_verify_mode(ssl::verify_peer);
    return made;
  }

  void Accept() {
    for (;;) {
      Failure failure;
      Tcp::socket socket(io);
      failure = acceptor.accept(socket, failure);
      if (failure || stopping) return;
      ++accepted;
      failure = socket.set_option(Tcp::no_delay(true), failure);  // small pieces go out at once
      const std::scoped_lock lock(mutex);
      const auto connection = std::make_shared<Connection>(std::move(socket), context);
      connections.push_back(connection);
      threads.emplace_back([this, connection] { Serve(connection); });
    }
  }
  void Serve(const std::shared_ptr<Connection>& connection) {
    WireRequest request;
    if (connection->Handshake()) {
      while (connection->Read(request)) {
        handler(request, *connection);
        request = {};
      }
    }
    connection->Drop(false);
    const std::scoped_lock lock(mutex);
    connections.remove(connection);
  }

  const Handler handler;
  asio::io_context io;
  Tcp::acceptor acceptor;
  const std::string client_ca;
  std::atomic<bool> stopping = false;
  std::atomic<int> accepted = 0;
  std::mutex mutex;
  std::shared_ptr<ssl::context> context;               // guarded; null: plain HTTP
  std::list<std::shared_ptr<Connection>> connections;  // guarded
  std::list<std::jthread> threads;                     // guarded
  std::jthread accepting;
};

TlsServer::TlsServer(Options options, Handler handler)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(handler))) {
  impl_->accepting = std::jthread([this] { impl_->Accept(); });
}

TlsServer::~TlsServer() {
  impl_->stopping = true;
  shutdown(impl_->acceptor.native_handle(), SHUT_RDWR);
  impl_->accepting.join();
  std::list<std::jthread> threads;
  {
    const std::scoped_lock lock(impl_->mutex);
    for (const auto& connection : impl_->connections) connection->Stop();
    threads.swap(impl_->threads);
  }
  threads.clear();  // joins
}

void TlsServer::Replace(const KeyPair& pair) {
  auto fresh = impl_->MakeContext(pair);
  const std::scoped_lock lock(impl_->mutex);
  impl_->context = std::move(fresh);
}
int TlsServer::Port() const { return impl_->acceptor.local_endpoint().port(); }
int TlsServer::Connections() const { return impl_->accepted; }
int TlsServer::OpenConnections() const {
  const std::scoped_lock lock(impl_->mutex);
  return static_cast<int>(impl_->connections.size());
}

}  // namespace spillway::support
