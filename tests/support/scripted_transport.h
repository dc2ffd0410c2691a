#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kube/transport.h"

namespace spillway::support {

// A transport that answers from a function and remembers what it was asked. Thread-safe if the
// function is.
class ScriptedTransport final : public kube::Transport {
 public:
  using Answer = std::function<Result<kube::HttpResponse>(const kube::HttpRequest&)>;

  explicit ScriptedTransport(Answer answer) : answer_(std::move(answer)) {}

  Result<kube::HttpResponse> Send(const kube::HttpRequest& request,
                                  const std::stop_token& stop) override {
    {
      const std::scoped_lock lock(mutex_);
      requests_.push_back(request);
    }
    if (stop.stop_requested()) return Error{Code::kCancelled, "stopped"};
    return answer_(request);
  }
  // The whole body as one piece.
  Result<kube::HttpResponse> Stream(const kube::HttpRequest& request, const OnBytes& on_bytes,
                                    const std::stop_token& stop) override {
    auto response = Send(request, stop);
    if (response && response->status / 100 == 2) on_bytes(std::exchange(response->body, {}));
    return response;
  }

  [[nodiscard]] std::vector<kube::HttpRequest> Requests() const {
    const std::scoped_lock lock(mutex_);
    return requests_;
  }

 private:
  const Answer answer_;
  mutable std::mutex mutex_;
  std::vector<kube::HttpRequest> requests_;
};

}  // namespace spillway::support
