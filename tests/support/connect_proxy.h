#pragma once

#include <memory>
#include <string>
#include <vector>

namespace spillway::support {

// An HTTP proxy on a free port of 127.0.0.1 that makes tunnels (CONNECT host:port) and nothing
// else.
class ConnectProxy {
 public:
  ConnectProxy();
  ~ConnectProxy();  // cuts all tunnels

  void Refuse();  // from now on: 403

  [[nodiscard]] int Port() const;
  [[nodiscard]] std::vector<std::string> Asked() const;  // "host:port" of each tunnel

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway::support
