#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "kube/transport.h"

// The meeting point of a thread that waits for an HTTP exchange and an I/O library that runs it on
// a thread of its own.
namespace spillway::kube {

// One call. The waiting side owns time and the consumer; the library side never blocks here.
class Exchange {
 public:
  using Moment = std::chrono::steady_clock::time_point;

  // `streaming`: the body of a 2xx answer goes to the waiting side as it comes, else it is
  // gathered, up to `max_body` bytes.
  Exchange(bool streaming, size_t max_body) : streaming_(streaming), max_body_(max_body) {}

  // --- library side ---

  // Takes bytes of the body. False: the consumer is behind; read no further until `resume` has been
  // called (once, from any thread). True: `resume` is dropped.
  [[nodiscard]] bool Put(std::string_view bytes, std::function<void()> resume);
  void SetHead(HttpResponse head);
  // The last byte of the request has gone out: the server may act on it.
  void MarkSent() { sent_ = true; }
  // The library is done; `failure`: why there is no whole answer.
  void Finish(std::optional<std::string> failure);

  // --- waiting side ---

  enum class Wake { kBytes, kTooLong, kFinished, kEnded, kDeadline, kIdle };
  // Waits for the next thing to do. kBytes: they are in `bytes`. kIdle: no byte for `idle` (0:
  // never).
  Wake Await(Moment deadline, std::chrono::milliseconds idle, std::string& bytes);
  // The consumer was at work: the time it took is no silence of the server.
  void RestartIdle();
  // Head and gathered body.
  HttpResponse TakeResponse();
  std::optional<std::string> Failure();
  [[nodiscard]] bool Sent() const { return sent_; }

  // --- any thread ---

  // The waiting side is to return: Await answers kEnded.
  void End();
  // Nobody waits any more: bytes are thrown away from now on, a held library goes on. False if the
  // library was done already; else it should be told to stop.
  bool Abandon();

 private:
  [[nodiscard]] bool Streams() const { return streaming_ && head_ && head_->status / 100 == 2; }
  [[nodiscard]] bool Gathers() const { return !streaming_ || (head_ && head_->status / 100 != 2); }

  const bool streaming_;
  const size_t max_body_;
  std::atomic<bool> sent_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded.
  std::string bytes_;
  std::function<void()> resume_;  // the library waits for this before it reads on
  std::optional<HttpResponse> head_;
  std::optional<std::string> failure_;
  Moment last_byte_ = std::chrono::steady_clock::now();
  bool too_long_ = false;
  bool finished_ = false;
  bool ended_ = false;
  bool abandoned_ = false;
};

// The exchanges under way, so that their owner can end them and wait until neither a waiting thread
// nor the library holds any. Thread-safe.
class Ledger {
 public:
  // False once closing. Else Left must follow from the waiting side and Finished from the
  // library's.
  bool Add(const std::shared_ptr<Exchange>& exchange);
  void Left();
  void Finished(const std::shared_ptr<Exchange>& exchange);

  // Ends all, calls `cancel` for each and waits; false if that was not over by `deadline`.
  bool Close(std::chrono::milliseconds deadline, const std::function<void(Exchange&)>& cancel);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded.
  std::set<std::shared_ptr<Exchange>> open_;
  int waiting_ = 0;
  bool closing_ = false;
};

}  // namespace spillway::kube
