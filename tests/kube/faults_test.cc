// What goes wrong with API servers and on the way to them, against the in-process server. Faults
// that need a socket are in transport_faults_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "kube/events.h"
#include "kube/reflector.h"
#include "kube/types/job.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"

namespace spillway::kube {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using support::FakeApiServer;
using support::FakeClock;

const Resource& Pools() {
  static const Resource kPools{"spillway.dev", "v1alpha1", "trainingpools", "TrainingPool", true};
  return kPools;
}
const Resource& Quotas() {
  static const Resource kQuotas{"spillway.dev", "v1alpha1", "poolquotas", "PoolQuota", true};
  return kQuotas;
}

json Named(const Resource& resource, const std::string& name) {
  return {{"kind", resource.kind}, {"metadata", {{"name", name}, {"namespace", "ns"}}}};
}

bool IsWatch(const HttpRequest& request) {
  return request.target.find("watch=true") != std::string::npos;
}

// Comes between a client and the server behind it.
class Between final : public Transport {
 public:
  // An answer in place of the server's; `on_bytes` of a stream, else null.
  using Answer =
      std::function<std::optional<Result<HttpResponse>>(const HttpRequest&, const OnBytes*)>;
  explicit Between(Transport& behind) : behind_(&behind) {}

  Result<HttpResponse> Send(const HttpRequest& request, const std::stop_token& stop) override {
    auto answer = answer_(request, nullptr);
    return answer ? *std::move(answer) : behind_.load()->Send(request, stop);
  }
  Result<HttpResponse> Stream(const HttpRequest& request, const OnBytes& on_bytes,
                              const std::stop_token& stop) override {
    auto answer = answer_(request, &on_bytes);
    return answer ? *std::move(answer) : behind_.load()->Stream(request, on_bytes, stop);
  }
  // Before anybody asks.
  void Set(Answer answer) { answer_ = std::move(answer); }
  void Switch(Transport& behind) { behind_ = &behind; }

 private:
  std::atomic<Transport*> behind_;
  Answer answer_ = [](const HttpRequest&, const OnBytes*) { return std::nullopt; };
};

Result<HttpResponse> Refused(int status, const std::string& reason) {
  return support::JsonAnswer(status, support::StatusObject(status, reason, "told so").dump());
}

std::string ExpiredEvent() {
  return json{{"type", "ERROR"}, {"object", support::StatusObject(410, "Expired", "too old")}}
             .dump() +
         "\n";
}
std::string BookmarkEvent(int64_t version) {
  return json{{"type", "BOOKMARK"},
              {"object",
               {{"kind", "TrainingPool"},
                {"metadata", {{"resourceVersion", std::to_string(version)}}}}}}
             .dump() +
         "\n";
}

using Wait = std::function<void(milliseconds, const std::stop_token&)>;

// A store that follows a server; waits pass at once, on the fake clock, if not told otherwise.
class Follower {
 public:
  Follower(Transport& transport, FakeClock& clock, Resource resource, uint64_t seed = 1,
           Wait wait = {})
      : clock_(clock), client_(transport, clock, Client::Options{.user_agent = "test"}) {
    options_.resource = std::move(resource);
    options_.seed = seed;
    options_.wait = std::move(wait);
    if (!options_.wait) {
      options_.wait = [this](milliseconds delay, const std::stop_token&) {
        clock_.Advance(delay);
        waited.push_back(delay);
        std::this_thread::yield();
      };
    }
    options_.hooks.listed = [this](std::string_view) { ++lists; };
  }
  // On this thread.
  void Run(const std::stop_token& stop) {
    Reflector(client_, clock_, log_, sink_, options_).Run(stop);
  }
  [[nodiscard]] std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& one : store.List()) names.push_back(one->meta.name);
    return names;
  }

  std::vector<milliseconds> waited;  // by the thread that runs
  std::atomic<int> lists = 0;
  Store<MetaOnly> store{[] {}};

 private:
  FakeClock& clock_;
  Log log_{LogLevel::kError, true};
  Client client_;
  StoreSink<MetaOnly> sink_{store, DecodeMetaOnly};
  Reflector::Options options_;
};

// One on a thread of its own.
class Following {
 public:
  Following(Transport& transport, FakeClock& clock, const Resource& resource, uint64_t seed = 1,
            Wait wait = {})
      : follower(transport, clock, resource, seed, std::move(wait)),
        thread_([this](const std::stop_token& stop) { follower.Run(stop); }) {}

  Follower follower;

 private:
  std::jthread thread_;
};

// --- what the server no longer has ---

// Ten times in a row each of the ways in which a server says that a version is gone: the store ends
// as the server is, and the server is left alone in between.
TEST(Faults, ExpiryInEveryFormTenTimesIsNoStorm) {
  struct Way {
    const char* name;
    std::function<std::optional<Result<HttpResponse>>(const HttpRequest&,
                                                      const Transport::OnBytes*)>
        refuse;
  };
  const auto at_open = [](const HttpRequest& request,
                          const auto*) -> std::optional<Result<HttpResponse>> {
    if (!IsWatch(request)) return std::nullopt;
    return Refused(410, "Expired");
  };
  const auto in_stream = [](const std::string& before) {
    return [before](const HttpRequest&,
                    const Transport::OnBytes* on_bytes) -> std::optional<Result<HttpResponse>> {
      if (on_bytes == nullptr) return std::nullopt;
      (*on_bytes)(before + ExpiredEvent());
      return support::JsonAnswer(200, "");
    };
  };
  const std::vector<Way> ways = {
      {"at the opening of a watch", at_open},
      {"in a watch", in_stream("")},
      {"in a watch after a bookmark", in_stream(BookmarkEvent(601))},
      {"of a list",
       [](const HttpRequest& request, const auto* on_bytes) -> std::optional<Result<HttpResponse>> {
         if (on_bytes == nullptr && request.target.find("continue=") != std::string::npos) {
           return std::nullopt;
         }
         return Refused(410, "Expired");
       }},
      {"of a second page",
       [](const HttpRequest& request, const auto* on_bytes) -> std::optional<Result<HttpResponse>> {
         const bool page = request.target.find("continue=") != std::string::npos;
         if (on_bytes == nullptr && !page) return std::nullopt;
         return Refused(410, "Expired");
       }}};
  for (const Way& way : ways) {
    SCOPED_TRACE(way.name);
    FakeClock clock;
    FakeApiServer server(clock);
    for (int i = 0; i < 601; ++i) server.Put(Named(Pools(), "p" + std::to_string(i)));
    Between between(server);
    Follower follower(between, clock, Pools());
    std::stop_source stop;
    int refused = 0;
    int asked = 0;
    between.Set([&](const HttpRequest& request,
                    const Transport::OnBytes* on_bytes) -> std::optional<Result<HttpResponse>> {
      ++asked;
      if (refused < 10) {
        auto answer = way.refuse(request, on_bytes);
        if (answer) ++refused;
        return answer;
      }
      if (on_bytes == nullptr) return std::nullopt;
      stop.request_stop();
      return Error{Code::kCancelled, "stopped"};
    });
    follower.Run(stop.get_token());
    EXPECT_EQ(refused, 10);
    EXPECT_EQ(follower.store.size(), 601U);
    EXPECT_LE(asked, 60);
    EXPECT_GE(clock.Elapsed(), seconds(5)) << "ten refusals within " << asked << " requests";
  }
}

TEST(Faults, AServerThatClosesEachWatchAtOnceIsAskedAboutOnceInHalfAMinute) {
  for (const bool events : {false, true}) {
    SCOPED_TRACE(events);
    FakeClock clock;
    FakeApiServer server(clock);
    Between between(server);
    Follower follower(between, clock, Pools());
    std::stop_source stop;
    int watches = 0;
    between.Set([&](const HttpRequest&,
                    const Transport::OnBytes* on_bytes) -> std::optional<Result<HttpResponse>> {
      if (on_bytes == nullptr) return std::nullopt;
      ++watches;
      if (events) (*on_bytes)(BookmarkEvent(watches));
      if (clock.Elapsed() > std::chrono::minutes(10) || watches > 1000) stop.request_stop();
      return support::JsonAnswer(200, "");
    });
    server.Put(Named(Pools(), "p"));
    follower.Run(stop.get_token());
    EXPECT_LT(watches, 40);
    EXPECT_EQ(follower.lists, 1);
  }
}

// --- servers that disagree ---

TEST(Faults, AServerThatIsBehindIsFollowedBackAndForth) {
  FakeClock clock;
  FakeApiServer ahead(clock);
  FakeApiServer behind(clock);
  for (const char* name : {"a", "b", "c"}) ahead.Put(Named(Pools(), name));
  behind.Put(Named(Pools(), "a"));
  Between between(ahead);
  const Following following(between, clock, Pools());
  const auto has = [&](size_t objects) {
    return support::Eventually([&] { return following.follower.store.size() == objects; });
  };
  ASSERT_TRUE(has(3));
  // The version that it has is gone there, and the one that it asks for has not come yet.
  behind.Inject(
      {.kind = support::Fault::Kind::kAnswer, .verb = "watch", .status = 410, .reason = "Expired"});
  between.Switch(behind);
  ahead.CloseWatches();
  EXPECT_TRUE(has(1));
  between.Switch(ahead);
  behind.Inject({.kind = support::Fault::Kind::kErrorEvent,
                 .verb = "watch",
                 .status = 410,
                 .reason = "Expired"});
  ahead.Inject({.kind = support::Fault::Kind::kErrorEvent,
                .verb = "watch",
                .status = 410,
                .reason = "Expired"});
  behind.CloseWatches();
  EXPECT_TRUE(has(3));
}

// etcd was restored from a copy: watches from versions that are not there yet bring nothing.
TEST(Faults, AServerThatLostHistoryIsListedAnewOnceItsWatchesStaySilent) {
  FakeClock clock;
  FakeApiServer server(clock);
  FakeApiServer restored(clock);
  for (int i = 0; i < 50; ++i) server.Put(Named(Pools(), "p" + std::to_string(i)));
  restored.Put(Named(Pools(), "p7"));
  Between between(server);
  Follower follower(between, clock, Pools());
  std::stop_source stop;
  int watches = 0;
  between.Set([&](const HttpRequest& request,
                  const Transport::OnBytes* on_bytes) -> std::optional<Result<HttpResponse>> {
    if (on_bytes == nullptr) return std::nullopt;
    ++watches;
    if (watches == 1) {
      (*on_bytes)(BookmarkEvent(50));
      between.Switch(restored);
      return Error{Code::kUnavailable, "connection reset"};
    }
    if (request.target.find("resourceVersion=50") == std::string::npos || watches > 10) {
      stop.request_stop();
      return Error{Code::kCancelled, "stopped"};
    }
    clock.Advance(request.idle_deadline);
    return Error{Code::kUnavailable, "silent"};
  });
  follower.Run(stop.get_token());
  EXPECT_EQ(follower.Names(), std::vector<std::string>{"p7"});
  EXPECT_EQ(follower.store.ResourceVersion(), "1");
  EXPECT_LT(clock.Elapsed(), std::chrono::minutes(10));
}

// --- servers that refuse ---

// Conversion webhooks that are down, CRDs that are removed, rights that are withdrawn.
TEST(Faults, AKindThatCannotBeListedForLongKeepsWhatWasKnownAndHoldsUpNoOther) {
  struct Way {
    int status;
    const char* reason;
  };
  for (const Way& way : {Way{500, "InternalError"}, Way{404, "NotFound"}, Way{403, "Forbidden"}}) {
    SCOPED_TRACE(way.status);
    FakeClock clock;
    FakeApiServer server(clock);
    server.Put(Named(Pools(), "before"));
    const Following pools(server, clock, Pools());
    FakeClock other_clock;
    const Following quotas(server, other_clock, Quotas());
    ASSERT_TRUE(server.WaitUntil([&] { return server.open_watches() == 2; }));
    server.Inject({.path_contains = "trainingpools",
                   .times = -1,
                   .status = way.status,
                   .reason = way.reason});
    server.CloseWatches();
    // An hour of the fake clock.
    ASSERT_TRUE(server.WaitUntil([&] { return clock.Elapsed() > std::chrono::minutes(60); }));
    const auto asked = server.Requests();
    const auto passed = clock.Elapsed();  // it runs on while this thread does not
    const auto refused = std::count_if(asked.begin(), asked.end(), [&](const auto& request) {
      return request.status == way.status;
    });
    EXPECT_LT(refused, passed / std::chrono::seconds(12))
        << "once in half a minute, not more often";
    EXPECT_EQ(pools.follower.Names(), std::vector<std::string>{"before"});
    server.Put(Named(Quotas(), "meanwhile"));
    EXPECT_TRUE(support::Eventually([&] { return quotas.follower.store.size() == 1; }));
    server.Put(Named(Pools(), "after"));
    server.ClearFaults();
    EXPECT_TRUE(support::Eventually([&] { return pools.follower.store.size() == 2; }));
  }
}

// Holds who waits until the test lets all of them go on, and notes when they wanted to.
class Waits {
 public:
  void Wait(nanoseconds until, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    const int round = round_;
    until_.push_back(until);
    changed_.notify_all();
    changed_.wait(lock, stop, [&] { return round_ != round; });
  }
  // Until so many wait: when they want to go on, the first one first.
  std::vector<nanoseconds> Await(size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, seconds(30), [&] { return until_.size() == count; }));
    std::ranges::sort(until_);
    return until_;
  }
  void GoOn() {
    const std::scoped_lock lock(mutex_);
    ++round_;
    until_.clear();
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<nanoseconds> until_;
  int round_ = 0;
};

// The most of them that are within a tenth of a second.
size_t MostInATenth(const std::vector<nanoseconds>& sorted) {
  size_t most = 0;
  for (auto from = sorted.begin(); from != sorted.end(); ++from) {
    const auto to = std::upper_bound(from, sorted.end(), *from + milliseconds(100));
    most = std::max(most, static_cast<size_t>(to - from));
  }
  return most;
}

// A server that shuts down closes the watches of all processes at one moment; the next one has too
// much to do at first.
TEST(Faults, ReflectorsThatLoseTheirWatchesTogetherComeBackApart) {
  constexpr size_t kReflectors = 50;
  FakeClock clock;
  FakeApiServer server(clock);
  server.Put(Named(Pools(), "p"));
  Waits waits;
  std::vector<std::unique_ptr<Following>> all;
  for (size_t i = 0; i < kReflectors; ++i) {
    const Resource& resource = i % 2 == 0 ? Pools() : Quotas();
    all.push_back(std::make_unique<Following>(server, clock, resource, Hash(resource.plural, i / 2),
                                              [&](milliseconds delay, const std::stop_token& stop) {
                                                waits.Wait(clock.Elapsed() + delay, stop);
                                              }));
  }
  const auto all_watch = [&] { return server.open_watches() == kReflectors; };
  ASSERT_TRUE(server.WaitUntil(all_watch));
  server.ClearRequests();
  clock.Advance(seconds(60));
  server.Inject({.times = kReflectors, .status = 503, .reason = "ServiceUnavailable"});
  const nanoseconds closed = clock.Elapsed();
  server.CloseWatches();
  const std::vector<nanoseconds> first = waits.Await(kReflectors);
  EXPECT_GE(first.back() - first.front(), milliseconds(800));
  EXPECT_LT(first.back() - closed, seconds(1));
  EXPECT_LE(MostInATenth(first), kReflectors / 3);
  // All of them at one moment: they may not stay together.
  clock.Advance(seconds(1));
  const nanoseconds refused = clock.Elapsed();
  waits.GoOn();
  const std::vector<nanoseconds> second = waits.Await(kReflectors);
  EXPECT_GE(second.front() - refused, milliseconds(800));
  EXPECT_GE(second.back() - second.front(), milliseconds(600));
  EXPECT_LE(MostInATenth(second), kReflectors / 3);
  waits.GoOn();
  ASSERT_TRUE(server.WaitUntil(all_watch));
  const auto requests = server.Requests();
  EXPECT_EQ(requests.size(), 2 * kReflectors);
  for (const auto& request : requests) {
    EXPECT_EQ(request.verb, "watch");
    EXPECT_EQ(request.query.at("resourceVersion"), "1");
  }
}

// Fifty reflectors in each of twenty processes.
TEST(Faults, AThousandFirstDelaysAreApart) {
  std::vector<milliseconds> first;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    first.push_back(Backoff(Hash("pods", seed)).Next({}));
  }
  std::vector<int> in_tenth(8);
  for (const milliseconds wait : first) {
    ASSERT_GE(wait, milliseconds(800));
    ASSERT_LT(wait, milliseconds(1600));
    ++in_tenth[static_cast<size_t>((wait.count() - 800) / 100)];
  }
  EXPECT_LT(*std::max_element(in_tenth.begin(), in_tenth.end()), 180);
}

// --- size and haste ---

TEST(Faults, AnObjectOfAMegabyteAndAHalfComesThroughListAndWatch) {
  FakeClock clock;
  FakeApiServer server(clock);
  const std::string big(size_t{3} << 19, 'x');
  json object = Named(Pools(), "listed");
  object["metadata"]["annotations"]["spillway.dev/big"] = big;
  server.Put(object);
  server.SetChunkBytes(4096);
  const Following following(server, clock, Pools());
  ASSERT_TRUE(server.WaitUntil([&] { return server.open_watches() == 1; }));
  object["metadata"]["name"] = "watched";
  server.Put(object);
  EXPECT_TRUE(support::Eventually([&] { return following.follower.store.size() == 2; }));
  EXPECT_EQ(following.follower.lists, 1);
}

TEST(Faults, StartedAndStoppedTwoThousandTimesNothingHangs) {
  FakeClock clock;
  FakeApiServer server(clock);
  server.Put(Named(Pools(), "p"));
  Log log(LogLevel::kError, true);
  Client client(server, clock, Client::Options{.user_agent = "test"});
  for (int i = 0; i < 2000; ++i) {
    const Following following(server, clock, Pools());
    EventRecorder recorder(client, clock, log, {.instance = "me"});
    EventRecord record;
    record.name = "p";
    record.ns = "ns";
    recorder.Record(std::move(record));
    if (i % 3 == 0) (void)support::Eventually([&] { return following.follower.store.Synced(); });
    if (i % 3 == 1) server.CloseWatches();
  }
  EXPECT_EQ(server.open_watches(), 0U);
}

}  // namespace
}  // namespace spillway::kube
