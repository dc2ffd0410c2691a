#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "tests/support/certificates.h"

namespace spillway::support {

// A request as it came over the wire. Header names in lower case; the values of
// repeated ones are joined by " | ".
struct WireRequest {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;
  std::string body;
};

// The server's end of one connection, for a handler to misbehave with. Used on one thread.
class WireConnection {
 public:
  virtual ~WireConnection() = default;
  // Blocks until the bytes are in the socket's buffer; false when the peer is gone.
  virtual bool Write(std::string_view bytes) = 0;
  // One chunk of "Transfer-Encoding: chunked"; an empty one ends the body.
  bool WriteChunk(std::string_view bytes);
  // A whole answer with Content-Length.
  bool Answer(int status, std::string_view body, std::string_view more_headers = {});
  // Head of a chunked 200.
  bool StartChunked();
  // Blocks until the peer closes or the server stops; true if it was the peer.
  virtual bool WaitForPeerToClose() = 0;
  // True if the peer closes (or sends something) within that time.
  virtual bool PeerStirsWithin(std::chrono::milliseconds time) = 0;
  // From any thread: whether the peer has not taken what was written, so that the next Write waits.
  [[nodiscard]] virtual bool HeldBack() const = 0;
  // From now on the kernel drops what the peer sends, acknowledgements and probes too.
  virtual void FallSilent() = 0;
  // Ends TLS, and then the connection, as HTTP servers do that are done.
  virtual void SayGoodbye() = 0;
  // Ends the connection at once, without a TLS goodbye; `reset`: by RST.
  virtual void Drop(bool reset) = 0;
  [[nodiscard]] virtual std::string ClientCommonName() const = 0;  // empty without a certificate
  [[nodiscard]] virtual std::string ServerNameAsked() const = 0;   // SNI; empty without
};

// An HTTPS (or, without a key pair, HTTP) server on a free port of 127.0.0.1 or ::1, a thread per
// connection, that leaves the answers to a handler. The handler is called once per request, from
// many threads.
class TlsServer {
 public:
  using Handler = std::function<void(const WireRequest&, WireConnection&)>;
  struct Options {
    KeyPair pair;           // empty: plain HTTP
    std::string client_ca;  // PEM; asks for a client certificate and verifies one that comes
    bool ipv6 = false;
  };

  TlsServer(Options options, Handler handler);
  ~TlsServer();  // drops all connections

  // New connections get this certificate.
  void Replace(const KeyPair& pair);

  [[nodiscard]] int Port() const;
  [[nodiscard]] int Connections() const;      // accepted so far
  [[nodiscard]] int OpenConnections() const;  // right now

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway::support
