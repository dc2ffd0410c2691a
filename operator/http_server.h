#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"

namespace spillway {

struct HttpAnswer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Serves GET and HEAD of a few fixed paths over plain HTTP on a thread of its own, until destroyed.
// Handlers are called on that thread and must be quick. A connection that is silent for 10 s is
// closed.
class HttpServer {
 public:
  using Handler = std::function<HttpAnswer()>;

  // `listen`: "0.0.0.0:8080"; port 0 takes a free one. kInvalid when it is no such address or
  // taken.
  static Result<std::unique_ptr<HttpServer>> Start(const std::string& listen,
                                                   std::map<std::string, Handler> handlers);
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
