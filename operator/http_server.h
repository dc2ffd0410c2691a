#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

namespace spillway {

struct HttpAnswer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::string content_encoding{};  // of the body; empty: none
};

// What a handler may want to know of a request.
struct ServedRequest {
  std::string bearer_token{};     // of "Authorization: Bearer …"; empty without
  std::string accept{};           // of the header of that name; empty without
  std::string accept_encoding{};  // likewise
  std::string query{};            // what follows the "?" of its target, as it was sent
};

// A certificate chain and its private key, files in PEM.
struct TlsFiles {
  std::string certificate;
  std::string key;
};

// Serves GET and HEAD of a few fixed paths on a thread of its own, until destroyed: over TLS (1.2
// or newer) if it has files for it, else plain. Files that change are read again at the next
// connection; ones that cannot be read leave what was read before. Handlers are called on that
// thread, one at a time: a slow one holds up the others. A connection that is silent for 10 s is
// closed; so is one that comes while kMostConnections are open.
class HttpServer {
 public:
  using Handler = std::function<HttpAnswer(const ServedRequest&)>;
  static constexpr int kMostConnections = 64;

  // `listen`: "0.0.0.0:8080"; port 0 takes a free one. kInvalid when it is no such address or
  // taken, or the files are no certificate and key.
  static Result<std::unique_ptr<HttpServer>> Start(const std::string& listen,
                                                   std::map<std::string, Handler> handlers,
                                                   const std::optional<TlsFiles>& tls = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Where it listens: "127.0.0.1:40123".
  [[nodiscard]] std::string Address() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
