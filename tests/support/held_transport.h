#pragma once

#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "kube/transport.h"

namespace spillway::support {

// Another transport, some of whose requests take as long as a test wants: as where a webhook is
// slow. Thread-safe.
class HeldTransport final : public kube::Transport {
 public:
  explicit HeldTransport(kube::Transport& next) : next_(next) {}

  // From now on requests of this method wait before they are sent, if their target or body has this
  // text in it.
  void Hold(std::string method, std::string text) {
    const std::scoped_lock lock(mutex_);
    held_.emplace(std::move(method), std::move(text));
  }
  void LetGo() {
    const std::scoped_lock lock(mutex_);
    held_.clear();
    wake_.notify_all();
  }
  // How many wait.
  [[nodiscard]] size_t Waiting() const {
    const std::scoped_lock lock(mutex_);
    return waiting_;
  }

  Result<kube::HttpResponse> Send(const kube::HttpRequest& request,
                                  const std::stop_token& stop) override {
    {
      std::unique_lock lock(mutex_);
      ++waiting_;
      const bool free = wake_.wait(lock, stop, [&] { return !IsHeld(request); });
      --waiting_;
      if (!free) return Error{Code::kCancelled, "told to stop"};
    }
    return next_.Send(request, stop);
  }
  Result<kube::HttpResponse> Stream(const kube::HttpRequest& request, const OnBytes& on_bytes,
                                    const std::stop_token& stop) override {
    return next_.Stream(request, on_bytes, stop);
  }

 private:
  // Under the lock. What is only tried is no write.
  [[nodiscard]] bool IsHeld(const kube::HttpRequest& request) const {
    if (request.target.find("dryRun=") != std::string::npos) return false;
    for (const auto& [method, text] : held_) {
      const bool named = request.target.find(text) != std::string::npos ||
                         request.body.find(text) != std::string::npos;
      if (request.method == method && named) return true;
    }
    return false;
  }

  kube::Transport& next_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::set<std::pair<std::string, std::string>> held_;
  size_t waiting_ = 0;
};

}  // namespace spillway::support
