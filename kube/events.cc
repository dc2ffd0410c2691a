#include "kube/events.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "kube/types/job.h"

namespace spillway::kube {
namespace {

constexpr size_t kMostWaiting = 1000;
constexpr size_t kMostRemembered = 4096;
constexpr size_t kLongestWord = 128;
constexpr size_t kLongestNote = 1024;
constexpr size_t kLongestName = 253;
constexpr std::chrono::minutes kSameAgain{10};
constexpr int kTries = 5;
constexpr std::chrono::seconds kLongestAsked{60};  // to wait between two tries

// Never in the middle of a character: the server takes UTF-8 only, and counts bytes.
std::string Cut(std::string text, size_t most) {
  if (text.size() <= most) return text;
  const auto continues = [&](size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U;
  };
  while (most > 0 && continues(most)) --most;
  text.resize(most);
  return text;
}

std::string Identity(const EventRecord& record) {
  return record.uid + "\n" + record.reason + "\n" + record.action + "\n" + record.note;
}

}  // namespace

EventRecorder::EventRecorder(Client client, Clock& clock, Log& log, Options options)
    : client_(std::move(client)),
      clock_(clock),
      log_(log),
      options_(std::move(options)),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

EventRecorder::~EventRecorder() { Stop(); }

void EventRecorder::Stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
    Drop(queue_.size());
    queue_.clear();
  }
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

// REQUIRES mutex_ held.
void EventRecorder::Drop(size_t count) {
  if (count > 0 && options_.dropped) options_.dropped(count);
}

// REQUIRES mutex_ held.
bool EventRecorder::Repeated(const EventRecord& record) {
  const std::chrono::nanoseconds now = clock_.Elapsed();
  const auto old = [&](const auto& entry) { return now - entry.second >= kSameAgain; };
  if (sent_.size() >= kMostRemembered) std::erase_if(sent_, old);
  if (sent_.size() >= kMostRemembered) sent_.clear();
  const auto [at, fresh] = sent_.emplace(Identity(record), now);
  if (fresh || old(*at)) {
    at->second = now;
    return false;
  }
  return true;
}

void EventRecorder::Record(EventRecord record) {
  {
    const std::scoped_lock lock(mutex_);
    if (stopped_ || queue_.size() >= kMostWaiting) {
      Drop(1);
      return;
    }
    if (Repeated(record)) return;
    queue_.push_back(std::move(record));
  }
  wake_.notify_one();
}

void EventRecorder::Run(const std::stop_token& stop) {
  while (true) {
    EventRecord record;
    {
      std::unique_lock lock(mutex_);
      sending_ = false;
      if (queue_.empty()) idle_.notify_all();
      if (!wake_.wait(lock, stop, [this] { return !queue_.empty(); })) return;
      record = std::move(queue_.front());
      queue_.pop_front();
      sending_ = true;
    }
    Send(record, stop);
  }
}

void EventRecorder::Flush(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  idle_.wait_for(lock, most, [this] { return queue_.empty() && !sending_; });
}

void EventRecorder::Send(const EventRecord& record, const std::stop_token& stop) {
  const std::string ns = record.ns.empty() ? "default" : record.ns;
  const auto now = std::chrono::time_point_cast<std::chrono::microseconds>(clock_.NowMillis());
  const std::string suffix =
      fmt::format(".{:x}{}", now.time_since_epoch().count(), HashHex(Identity(record), 4));
  nlohmann::json regarding = {{"apiVersion", record.api_version},
                              {"kind", record.kind},
                              {"name", record.name},
                              {"uid", record.uid}};
  if (!record.ns.empty()) regarding["namespace"] = record.ns;
  const nlohmann::json body = {
      {"apiVersion", EventResource().ApiVersion()},
      {"kind", "Event"},
      {"metadata",
       {{"name", Cut(record.name, kLongestName - suffix.size()) + suffix}, {"namespace", ns}}},
      {"regarding", regarding},
      {"reason", Cut(record.reason, kLongestWord)},
      {"action", Cut(record.action, kLongestWord)},
      {"type", record.warning ? "Warning" : "Normal"},
      {"note", Cut(record.note, kLongestNote)},
      {"eventTime", FormatMicroTime(now)},
      {"reportingController", "spillway.dev/operator"},
      {"reportingInstance", Cut(options_.instance, kLongestWord)}};
  const std::string text = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  for (int i = 0; i < kTries && !stop.stop_requested(); ++i) {
    const auto sent = client_.Create(EventResource(), ns, text, {}, stop);
    // A name that exists is this very event, whose answer was lost.
    if (sent || sent.error().code == Code::kExists) return;
    const Code code = sent.error().code;
    if (code != Code::kUnavailable && code != Code::kUnknown) {
      log_.Debug("event refused", {{"object", record.name}, {"error", sent.error().message}});
      break;
    }
    if (i + 1 == kTries) break;
    std::chrono::milliseconds wait = options_.first_wait * (1 << i);
    if (const auto asked = sent.error().retry_after) {
      wait = std::max<std::chrono::milliseconds>(wait, std::min(*asked, kLongestAsked));
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, wait, [] { return false; });
  }
  Forget(record);
  const std::scoped_lock lock(mutex_);
  Drop(1);
}

void EventRecorder::Forget(const EventRecord& record) {
  const std::scoped_lock lock(mutex_);
  sent_.erase(Identity(record));
}

}  // namespace spillway::kube
