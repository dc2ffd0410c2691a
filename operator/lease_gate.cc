#include "operator/lease_gate.h"

#include <fmt/format.h>

namespace spillway {
namespace {

using std::chrono::nanoseconds;

constexpr std::chrono::minutes kTellEvery{1};
// Whoever is refused asks again sooner. After that nothing is known of the time between.
constexpr std::chrono::minutes kForgetAfter{1};

}  // namespace

LeaseGate::LeaseGate(const kube::LeaderElector& elector, const Clock& clock, Log& log,
                     std::chrono::seconds lease_duration)
    : elector_(elector), clock_(clock), log_(log), patience_(lease_duration) {}

Status LeaseGate::Ask(std::chrono::milliseconds deadline) {
  if (elector_.Valid(deadline)) {
    LetThrough();
    return Ok{};
  }
  if (elector_.Leading()) Refused();
  return Error{Code::kCancelled, "not sent: the lease may run out before the answer"};
}

void LeaseGate::LetThrough() {
  const std::scoped_lock lock(mutex_);
  shut_since_.reset();
}

void LeaseGate::Refused() {
  std::optional<nanoseconds> shut_for;
  {
    const std::scoped_lock lock(mutex_);
    shut_for = ToTell(clock_.Elapsed());
  }
  if (!shut_for) return;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(*shut_for).count();
  log_.Warn("nothing is written: renewals of the lease take too long",
            {{"for", fmt::format("{} s", seconds)}});
}

std::optional<nanoseconds> LeaseGate::ToTell(nanoseconds now) {
  if (!shut_since_ || now - last_refused_ > kForgetAfter) shut_since_ = now;
  last_refused_ = now;
  const nanoseconds shut_for = now - *shut_since_;
  if (shut_for < patience_ || (told_ && now - *told_ < kTellEvery)) return std::nullopt;
  told_ = now;
  return shut_for;
}

}  // namespace spillway
