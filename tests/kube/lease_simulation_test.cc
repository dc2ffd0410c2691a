// Several candidates for one Lease whose clocks differ, whose answers are late or lost, and who
// freeze: whoever writes while allowed to holds the Lease when the server takes the write.
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <limits>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "kube/lease.h"
#include "tests/kube/lease_server.h"

namespace spillway::kube {
namespace {

using namespace std::chrono_literals;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// Threads that run one at a time: the one whose time comes first. Nobody waits for real.
class Turns {
 public:
  explicit Turns(int threads) : wake_(static_cast<size_t>(threads), nanoseconds{0}) {}

  [[nodiscard]] nanoseconds Now() const { return now_; }

  // Of the thread `me`, which must have been so for the first call, too.
  void Sleep(size_t me, nanoseconds time) {
    std::unique_lock lock(mutex_);
    wake_[me] = now_ + time;
    Pass();
    changed_.wait(lock, [&] { return turn_ == me; });
  }
  void Begin(size_t me) {
    std::unique_lock lock(mutex_);
    if (++begun_ == wake_.size()) Pass();
    changed_.wait(lock, [&] { return turn_ == me; });
  }
  void End(size_t me) {
    const std::scoped_lock lock(mutex_);
    wake_[me] = nanoseconds::max();
    Pass();
  }

 private:
  void Pass() {
    const auto next = std::min_element(wake_.begin(), wake_.end());
    if (*next == nanoseconds::max()) return;
    now_ = std::max(now_, *next);
    turn_ = static_cast<size_t>(next - wake_.begin());
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<nanoseconds> wake_;
  nanoseconds now_{0};
  size_t turn_ = std::numeric_limits<size_t>::max();
  size_t begun_ = 0;
};

constexpr nanoseconds kEnd = 5min;
constexpr milliseconds kWriteDeadline{8'000};  // as that of Client

struct World {
  World(uint64_t seed, int candidates) : turns(2 * candidates), random(seed) {}
  int64_t Dice(int64_t below) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(below));
  }

  Turns turns;
  LeaseServer server;
  std::mt19937_64 random;  // of whoever has the turn
  int writes = 0;
  std::set<std::string> writers;
  std::vector<std::string> wrong;
};

// One process after the other under one name: an elector's thread, and a writer's.
class Candidate final : public Clock, public Transport {
 public:
  Candidate(World& world, size_t number)
      : world_(world), number_(number), rate_(world.Dice(2) == 0 ? 0.9 : 1.08) {}

  [[nodiscard]] nanoseconds Elapsed() const override {
    return nanoseconds(
        static_cast<int64_t>(static_cast<double>(world_.turns.Now().count()) * rate_));
  }
  // Hours apart, and it jumps.
  [[nodiscard]] std::chrono::sys_time<milliseconds> NowMillis() const override {
    const auto hours = static_cast<int64_t>(number_) - world_.turns.Now() / 70s % 3;
    return std::chrono::sys_time<milliseconds>(duration_cast<milliseconds>(Elapsed())) +
           std::chrono::hours(500'000 + hours);
  }

  Result<HttpResponse> Send(const HttpRequest& request, const std::stop_token&) override {
    const bool write = request.method != "GET";
    const Error lost{write ? Code::kUnknown : Code::kUnavailable, "no answer"};
    if (Cut()) {
      Pause(request.deadline);
      return lost;
    }
    if (const int64_t dice = world_.Dice(100); dice < 6) {
      const int status = dice < 2 ? 429 : dice < 4 ? 500 : 409;
      return HttpResponse{.status = status, .headers = {}, .body = "{}"};
    }
    const bool slow = world_.Dice(4) == 0;
    const milliseconds most = slow ? request.deadline : milliseconds(50);
    Pause(milliseconds(world_.Dice(most.count() + 1)));
    auto answer = world_.server.Answer(request);
    // As late as its deadline allows, or never.
    if (slow) Pause(milliseconds(world_.Dice(request.deadline.count() / 2)));
    if (world_.Dice(20) == 0) return lost;
    Thaw();
    return answer;
  }
  Result<HttpResponse> Stream(const HttpRequest&, const OnBytes&, const std::stop_token&) override {
    return Error{Code::kInternal, "no streams here"};
  }

  void Elect() {
    const size_t me = 2 * number_;
    world_.turns.Begin(me);
    Log log(LogLevel::kError, true);
    for (int life = 0; world_.turns.Now() < kEnd; ++life) {
      const Client client(*this, *this, {.user_agent = "test"});
      name_ = "c" + std::to_string(number_) + "-" + std::to_string(life);
      std::stop_source stop;
      LeaderElector elector(client, *this, log,
                            {.ns = "ns",
                             .name = "spillway",
                             .identity = name_,
                             .seed = world_.random(),
                             .wait = [&](milliseconds time, const std::stop_token&) {
                               Pause(time);
                               Thaw();
                               if (world_.turns.Now() >= kEnd) stop.request_stop();
                             }});
      elector_ = &elector;
      (void)elector.Run([] {}, stop.get_token());
      elector_ = nullptr;
      Pause(1s);  // a process is started anew
    }
    world_.turns.End(me);
  }
  void Write() {
    const size_t me = 2 * number_ + 1;
    world_.turns.Begin(me);
    while (world_.turns.Now() < kEnd) {
      world_.turns.Sleep(me, milliseconds(50 + world_.Dice(500)));
      while (world_.turns.Now() < frozen_until_) {
        world_.turns.Sleep(me, frozen_until_ - world_.turns.Now());
      }
      if (elector_ == nullptr || !elector_->Valid(kWriteDeadline)) continue;
      const std::string name = name_;
      // The server takes it at the last moment of all that the lease is good for, sometimes.
      const nanoseconds left = elector_->ValidUntil() - Elapsed() - 1ms;
      const nanoseconds takes = world_.Dice(3) == 0 ? left : 20ms;
      world_.turns.Sleep(me, True(takes));
      ++world_.writes;
      world_.writers.insert(name);
      if (world_.server.Holder() != name) {
        world_.wrong.push_back(name + " wrote while it was " + world_.server.Holder() + "'s");
      }
    }
    world_.turns.End(me);
  }

 private:
  // Of its own time.
  [[nodiscard]] nanoseconds True(nanoseconds time) const {
    return nanoseconds(static_cast<int64_t>(static_cast<double>(time.count()) / rate_));
  }
  void Pause(nanoseconds time) { world_.turns.Sleep(2 * number_, True(time)); }
  // Now and then it is stopped for a while.
  void Thaw() {
    if (world_.Dice(200) != 0) return;
    frozen_until_ = world_.turns.Now() + 20s;
    world_.turns.Sleep(2 * number_, 20s);
  }
  // Each is cut off for 20 s of every 100 s.
  [[nodiscard]] bool Cut() const {
    return (world_.turns.Now() + 20s * static_cast<int64_t>(number_)) % 100s < 20s;
  }

  World& world_;
  const size_t number_;
  const double rate_;
  std::string name_;
  LeaderElector* elector_ = nullptr;
  nanoseconds frozen_until_{0};
};

TEST(LeaseSimulation, NobodyWritesWithoutTheLeaseWhateverHappens) {
  constexpr int kCandidates = 5;
  int leaders = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    World world(seed, kCandidates);
    std::vector<std::unique_ptr<Candidate>> candidates;
    for (size_t i = 0; i < kCandidates; ++i) {
      candidates.push_back(std::make_unique<Candidate>(world, i));
    }
    std::vector<std::jthread> threads;
    for (const auto& candidate : candidates) {
      threads.emplace_back([&] { candidate->Elect(); });
      threads.emplace_back([&] { candidate->Write(); });
    }
    threads.clear();
    EXPECT_GT(world.writes, 30) << "seed " << seed;
    EXPECT_TRUE(world.wrong.empty()) << "seed " << seed << ": " << world.wrong.front();
    leaders += static_cast<int>(world.writers.size());
  }
  EXPECT_GT(leaders, 60) << "who leads must change";
}

}  // namespace
}  // namespace spillway::kube
