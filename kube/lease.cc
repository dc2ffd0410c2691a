#include "kube/lease.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>

#include "kube/types/job.h"

namespace spillway::kube {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr milliseconds kMostForWrites{8'000};
constexpr milliseconds kLeastForWrites{1'000};
// That a renewal may take without shutting writes out before the next one.
constexpr milliseconds kRenewing{1'000};

// Whoever waits for it to run out may have a clock that is faster by a quarter.
nanoseconds Lifetime(const LeaderElector::Options& options) {
  return nanoseconds(options.lease_duration) * 4 / 5;
}

// The shortest whose Lifetime leaves writes their least.
seconds ShortestLease(seconds retry_period) {
  const milliseconds lifetime = retry_period + kRenewing + kLeastForWrites;
  return std::chrono::ceil<seconds>(lifetime * 5 / 4);
}

std::string Text(const Json& object, const char* field) {
  const auto at = object.find(field);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

int64_t Number(const Json& object, const char* field) {
  const auto at = object.find(field);
  return at != object.end() && at->is_number_integer() ? at->get<int64_t>() : 0;
}

// A time as holders write it: RFC 3339 with a fraction.
bool IsMicroTime(const std::string& text) {
  return text.find('.') != std::string::npos && ParseTime(text).ok();
}

}  // namespace

Status LeaderElector::CheckTimes(const Options& options) {
  const auto retry = options.retry_period;
  if (retry.count() <= 0 || options.renew_deadline * 5 <= retry * 6 ||
      options.lease_duration <= options.renew_deadline) {
    return Error{
        Code::kInvalid,
        fmt::format("lease duration {} s, renew deadline {} s, retry period {} s: the "
                    "duration must be longer than the deadline, and the deadline longer "
                    "than 1.2 retry periods of at least 1 s",
                    options.lease_duration.count(), options.renew_deadline.count(), retry.count())};
  }
  if (WriteDeadline(options) < kLeastForWrites) {
    return Error{
        Code::kInvalid,
        fmt::format("lease duration {} s, retry period {} s: the duration must be at least {} s "
                    "then, or no write could be sure to end while the lease is held",
                    options.lease_duration.count(), retry.count(), ShortestLease(retry).count())};
  }
  return Ok{};
}

Status LeaderElector::Check(const Options& options) {
  if (options.ns.empty() || options.name.empty() || options.identity.empty()) {
    return Error{Code::kInvalid, "a lease needs a namespace, a name and an identity"};
  }
  return CheckTimes(options);
}

milliseconds LeaderElector::WriteDeadline(const Options& options) {
  const nanoseconds left = Lifetime(options) - options.retry_period - kRenewing;
  return std::min(std::chrono::floor<milliseconds>(left), kMostForWrites);
}

LeaderElector::LeaderElector(const Client& client, Clock& clock, Log& log, Options options)
    : client_(client.WithDeadline(milliseconds(options.renew_deadline) / 4)),
      clock_(clock),
      log_(log),
      options_(std::move(options)),
      random_(options_.seed) {}

Status LeaderElector::Run(const std::function<void()>& on_leading, const std::stop_token& stop) {
  std::string shown;  // why we wait, logged once each
  while (!stop.stop_requested()) {
    const Status tried = TryAcquireOrRenew(stop);
    if (tried) {
      log_.Info("leading",
                {{"lease", options_.ns + "/" + options_.name}, {"identity", options_.identity}});
      on_leading();
      return KeepRenewed(stop);
    }
    if (std::exchange(shown, tried.error().message) != shown && !stop.stop_requested()) {
      log_.Info("waiting for the lease", {{"why", shown}});
    }
    // Apart from each other, or candidates would collide at every try.
    std::uniform_int_distribution<int64_t> jitter(0,
                                                  milliseconds(options_.retry_period).count() / 5);
    Wait(NextLook() + milliseconds(jitter(random_)), stop);
  }
  return Ok{};
}

// How long to leave a Lease alone that was not to be had: not past the moment when it is free.
milliseconds LeaderElector::NextLook() const {
  const auto left = std::chrono::ceil<milliseconds>(FreeAt() - clock_.Elapsed());
  return left > milliseconds(0) ? std::min<milliseconds>(left, options_.retry_period)
                                : milliseconds(options_.retry_period);
}

Status LeaderElector::KeepRenewed(const std::stop_token& stop) {
  for (;;) {
    Wait(options_.retry_period, stop);
    const nanoseconds give_up =
        std::min<nanoseconds>(clock_.Elapsed() + options_.renew_deadline, ValidUntil());
    for (;;) {
      if (stop.stop_requested()) return Ok{};
      const Status tried = TryAcquireOrRenew(stop);
      if (tried) break;
      if (stop.stop_requested()) return Ok{};
      log_.Warn("lease not renewed", {{"why", tried.error().message}});
      const bool lost = observed_ && !Mine();
      if (lost || clock_.Elapsed() + options_.retry_period >= give_up) {
        valid_until_ = nanoseconds(0);
        return Error(tried.error()).While(lost ? "the lease is lost" : "the lease was not renewed");
      }
      Wait(options_.retry_period, stop);
    }
  }
}

Status LeaderElector::TryAcquireOrRenew(const std::stop_token& stop) {
  if (Leading() && Mine()) {
    // Nobody wrote since we did if this succeeds, so there is nothing to look at first.
    Status done = Write(Renewed(), stop);
    const bool look =
        !done && (done.error().code == Code::kConflict || done.error().code == Code::kNotFound);
    if (!look) return done;
  }
  if (Status seen = Look(stop); !seen) {
    if (seen.error().code != Code::kNotFound) return seen;
    observed_.reset();
    object_.clear();
  }
  if (Taken()) {
    const std::string holder = observed_ ? observed_->holder : std::string();
    return Error{Code::kConflict, fmt::format("{}/{} is held by {}", options_.ns, options_.name,
                                              holder.empty() ? "nobody we can tell" : holder)};
  }
  return Write(Renewed(), stop);
}

// Reads the Lease. kNotFound: there is none.
Status LeaderElector::Look(const std::stop_token& stop) {
  auto object = client_.Get(LeaseResource(), options_.ns, options_.name, stop);
  if (!object) return std::move(object).error();
  return Observe(*object);
}

// Notes what the Lease says, and when it said something new. Only our own time since then counts:
// nothing is known of the holder's clock.
Status LeaderElector::Observe(const std::string& object) {
  const Json lease = Json::parse(object, nullptr, false);
  if (!lease.is_object()) return Error{Code::kUnavailable, "the server's Lease is no JSON object"};
  const auto at = lease.find("spec");
  const Json spec = at != lease.end() && at->is_object() ? *at : Json::object();
  Record record{.holder = Text(spec, "holderIdentity"),
                .duration_seconds = Number(spec, "leaseDurationSeconds"),
                .acquired = Text(spec, "acquireTime"),
                .renewed = Text(spec, "renewTime"),
                .transitions = Number(spec, "leaseTransitions")};
  if (observed_ != record) {
    observed_ = std::move(record);
    observed_at_ = clock_.Elapsed();
  }
  object_ = object;
  return Ok{};
}

bool LeaderElector::Mine() const { return observed_ && observed_->holder == options_.identity; }

// True while somebody else may still hold it.
bool LeaderElector::Taken() const { return clock_.Elapsed() < FreeAt(); }

// When what somebody else holds runs out, on Clock::Elapsed; zero: nobody holds it, or we do.
nanoseconds LeaderElector::FreeAt() const {
  if (!observed_ || Mine()) return nanoseconds(0);
  const bool sound = observed_->duration_seconds > 0 && IsMicroTime(observed_->renewed);
  if (sound && observed_->holder.empty()) return nanoseconds(0);
  // Of a Lease that makes no sense only its age is known: it gets a whole duration of ours.
  const seconds duration =
      sound ? seconds(observed_->duration_seconds) : seconds(options_.lease_duration);
  return observed_at_ + duration;
}

// What the Lease is to say when it is ours from now on.
LeaderElector::Record LeaderElector::Renewed() const {
  const std::string now = FormatMicroTime(clock_.NowMillis());
  Record record{.holder = options_.identity,
                .duration_seconds = options_.lease_duration.count(),
                .acquired = now,
                .renewed = now,
                .transitions = 0};
  if (observed_) {
    record.transitions = observed_->transitions + (Mine() ? 0 : 1);
    if (Mine() && !observed_->acquired.empty()) record.acquired = observed_->acquired;
  }
  return record;
}

Status LeaderElector::Write(const Record& record, const std::stop_token& stop) {
  Json lease = object_.empty()
                   ? Json{{"apiVersion", LeaseResource().ApiVersion()},
                          {"kind", "Lease"},
                          {"metadata", {{"name", options_.name}, {"namespace", options_.ns}}}}
                   : Json::parse(object_, nullptr, false);
  Json& spec = lease["spec"];
  spec["holderIdentity"] = record.holder;
  spec["leaseDurationSeconds"] = record.duration_seconds;
  spec["acquireTime"] = record.acquired;
  spec["renewTime"] = record.renewed;
  spec["leaseTransitions"] = record.transitions;
  // Valid from before the send: the server may have committed it then, however late the answer is.
  const nanoseconds start = clock_.Elapsed();
  const WriteOptions options{.field_manager = "spillway"};
  auto done = object_.empty()
                  ? client_.Create(LeaseResource(), options_.ns, lease.dump(), options, stop)
                  : client_.Update(LeaseResource(), options_.ns, options_.name, lease.dump(),
                                   options, stop);
  if (!done) return std::move(done).error();
  if (Status seen = Observe(*done); !seen) return seen;
  if (Mine()) valid_until_ = start + Lifetime(options_);
  return Ok{};
}

bool LeaderElector::Valid(milliseconds deadline) const {
  return clock_.Elapsed() + deadline < ValidUntil();
}

nanoseconds LeaderElector::ValidUntil() const { return valid_until_; }

bool LeaderElector::Leading() const { return ValidUntil() != nanoseconds(0); }

std::string LeaderElector::LeaseUid() const {
  const Json lease = Json::parse(object_, nullptr, false);
  const auto meta = lease.is_object() ? lease.find("metadata") : lease.end();
  return lease.is_object() && meta != lease.end() ? Text(*meta, "uid") : std::string();
}

void LeaderElector::Release() {
  if (!Leading()) return;
  valid_until_ = nanoseconds(0);
  const std::stop_token never;
  const nanoseconds until = clock_.Elapsed() + options_.renew_deadline;
  Status done = Ok{};
  do {
    if (!Mine()) return;
    Record record = Renewed();
    record.holder.clear();
    record.duration_seconds = 1;
    record.acquired = record.renewed;
    done = Write(record, never);
    if (done) {
      log_.Info("lease released", {{"lease", options_.ns + "/" + options_.name}});
      return;
    }
    if (!Look(never)) Wait(milliseconds(200), never);
  } while (clock_.Elapsed() < until);
  log_.Warn("lease not released", {{"why", done.error().message}});
}

void LeaderElector::Wait(milliseconds time, const std::stop_token& stop) const {
  if (options_.wait) return options_.wait(time, stop);
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, time, [] { return false; });
}

}  // namespace spillway::kube
