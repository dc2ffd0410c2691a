#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace spillway::kube {

struct HttpRequest {
  std::string method = "GET";
  std::string target;  // path and query, already percent-encoded: "/api/v1/pods?limit=500"
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::chrono::milliseconds deadline{30'000};  // for the whole exchange, from the call on
  std::chrono::milliseconds idle_deadline{0};  // without a byte received for so long; 0: none
  // A longer body fails a Send (kInternal); that of a refused Stream is cut.
  size_t max_body_bytes = size_t{64} << 20;
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case; repeated ones joined by ", "
  std::string body;
};

// THE I/O seam to an API server: one server, one set of credentials. All calls block the calling
// thread, may be made from many threads at once, and return within their deadline or promptly after
// `stop` is requested. No call throws, retries or follows a redirect.
//
// Errors: kCancelled (stop requested); kUnavailable (could not connect, TLS refused, deadline,
// reset, truncated: the message says which); kUnknown in place of kUnavailable when a request other
// than GET may have reached the server; kInternal for a request that cannot be sent as given. An
// HTTP status of any value is a response, not an error.
class Transport {
 public:
  // Called with consecutive pieces of a body, on the thread that called Stream. False ends the
  // stream.
  using OnBytes = std::function<bool(std::string_view)>;

  virtual ~Transport() = default;

  // Where a program gives the credentials: has it give them now, however long that takes a person,
  // so that no request has to wait for it. Else does nothing. Errors as of Send.
  virtual Status LogIn(const std::stop_token& /*stop*/) { return Ok{}; }

  virtual Result<HttpResponse> Send(const HttpRequest& request, const std::stop_token& stop) = 0;

  // Delivers the body of a 2xx response piece by piece, in bounded memory: while `on_bytes` works,
  // the server waits. The answer's `body` is then empty; for any other status it holds the
  // (bounded) body and `on_bytes` is not called. A clean end of the stream is a success.
  virtual Result<HttpResponse> Stream(const HttpRequest& request, const OnBytes& on_bytes,
                                      const std::stop_token& stop) = 0;
};

}  // namespace spillway::kube
