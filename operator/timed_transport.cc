#include "operator/timed_transport.h"

#include <utility>

namespace spillway {
namespace {

bool Changes(const kube::HttpRequest& request) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  const bool is_event = request.target.starts_with("/apis/events.k8s.io/");
  return !reads && !is_event && request.target.find("dryRun=All") == std::string::npos;
}

bool IsAnswered(const Result<kube::HttpResponse>& response) {
  if (response) return response->status != 504;
  return response.error().code != Code::kUnknown && response.error().code != Code::kCancelled;
}

}  // namespace

TimedTransport::TimedTransport(std::unique_ptr<kube::Transport> next, const Clock& clock)
    : next_(std::move(next)), clock_(clock) {}

Status TimedTransport::LogIn(const std::stop_token& stop) { return next_->LogIn(stop); }

Result<kube::HttpResponse> TimedTransport::Send(const kube::HttpRequest& request,
                                                const std::stop_token& stop) {
  std::multiset<std::chrono::nanoseconds>::iterator mine;
  {
    const std::scoped_lock lock(mutex_);
    mine = since_.insert(clock_.Elapsed());
  }
  auto response = next_->Send(request, stop);
  const std::scoped_lock lock(mutex_);
  since_.erase(mine);
  if (Changes(request) && !IsAnswered(response)) unanswered_ = clock_.Elapsed();
  return response;
}

Result<kube::HttpResponse> TimedTransport::Stream(const kube::HttpRequest& request,
                                                  const OnBytes& on_bytes,
                                                  const std::stop_token& stop) {
  return next_->Stream(request, on_bytes, stop);
}

std::chrono::nanoseconds TimedTransport::Longest() const {
  const std::scoped_lock lock(mutex_);
  return since_.empty() ? std::chrono::nanoseconds(0) : clock_.Elapsed() - *since_.begin();
}

bool TimedTransport::HasUnanswered(std::chrono::nanoseconds time) const {
  const std::scoped_lock lock(mutex_);
  return unanswered_ && clock_.Elapsed() - *unanswered_ <= time;
}

}  // namespace spillway
