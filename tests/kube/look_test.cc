#include "kube/look.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kube/reflector.h"
#include "kube/types/node.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"
#include "tests/support/held_transport.h"
#include "tests/support/objects.h"
#include "tests/support/scripted_transport.h"

namespace spillway::kube {
namespace {

using support::Eventually;
using support::FakeApiServer;
using support::FakeClock;

// --- one look ---

using Versions = std::vector<std::pair<std::string, std::string>>;  // of objects, by their keys

std::string BodyOf(const std::string& version, const Versions& objects) {
  nlohmann::json list = {{"kind", "PartialObjectMetadataList"},
                         {"metadata", {{"resourceVersion", version}}},
                         {"items", nlohmann::json::array()}};
  for (const auto& [name, at] : objects) {
    list["items"].push_back({{"metadata", {{"name", name}, {"resourceVersion", at}}}});
  }
  return list.dump();
}

Contents Of(const Versions& objects) {
  Contents contents;
  for (const auto& [key, version] : objects) contents.Add(key, version);
  return contents;
}

TEST(Look, ComparesAllButWhatEventsBeyondItHaveTouched) {
  struct Row {
    const char* what;
    Versions there;   // at version 20
    Versions events;  // since version 10
    Versions held;
    bool agrees;
  };
  const Row rows[] = {
      {"the same in any order", {{"a", "3"}, {"b", "7"}}, {}, {{"b", "7"}, {"a", "3"}}, true},
      {"a lost deletion", {{"a", "3"}}, {}, {{"a", "3"}, {"b", "7"}}, false},
      {"a lost creation", {{"a", "3"}, {"b", "7"}}, {}, {{"a", "3"}}, false},
      {"a lost change", {{"a", "8"}}, {}, {{"a", "3"}}, false},
      {"changed since", {{"a", "3"}}, {{"a", "21"}}, {{"a", "21"}}, true},
      {"made since", {}, {{"a", "21"}}, {{"a", "21"}}, true},
      {"gone since", {{"a", "3"}}, {{"a", "21"}}, {}, true},
      {"changed up to it", {{"a", "20"}}, {{"a", "20"}}, {{"a", "20"}}, true},
      {"changed up to it, and lost later", {}, {{"a", "15"}}, {{"a", "15"}}, false},
      {"changed up to it and since",
       {{"a", "15"}},
       {{"a", "15"}, {"a", "30"}},
       {{"a", "30"}},
       true},
      {"another one differs", {{"a", "3"}, {"b", "7"}}, {{"a", "21"}}, {{"a", "21"}}, false}};
  FakeClock clock;
  for (const Row& row : rows) {
    support::ScriptedTransport transport([&](const HttpRequest&) -> Result<HttpResponse> {
      return HttpResponse{.status = 200, .headers = {}, .body = BodyOf("20", row.there)};
    });
    Client client(transport, clock, {.user_agent = "test"});
    Look look(client, clock, {.resource = NodeResource(), .from = "10", .beside = false});
    for (const auto& [key, version] : row.events) look.Touch(key, version);
    ASSERT_NE(look.Answer(), nullptr);
    ASSERT_TRUE(look.Answer()->ok());
    EXPECT_EQ((*look.Answer())->version, "20");
    EXPECT_EQ(look.Agrees(Of(row.held)), row.agrees) << row.what;
  }
}

// --- looks of a reflector, against the in-process API server ---

constexpr int kNodes = 600;  // two pages: with the first one a look's version is settled
constexpr const char* kSecondPage = "continue=";

std::string NodeName(uint64_t number) { return "n" + std::to_string(number); }

// A reflector of nodes, on a thread, that is due for a look whenever a watch has ended.
class LookTest : public ::testing::Test {
 protected:
  LookTest() {
    for (int i = 0; i < kNodes; ++i) server_.Put(support::MakeNode(NodeName(i)));
    Reflector::Options options{.resource = NodeResource(), .check_every = std::chrono::seconds(1)};
    options.wait = [](std::chrono::milliseconds, const std::stop_token&) {
      std::this_thread::yield();
    };
    options.hooks.listed = [this](std::string_view why) {
      if (why == "differs") ++heals_;
    };
    options.hooks.check_skipped = [this] { ++skipped_; };
    reflector_ = std::make_unique<Reflector>(client_, clock_, log_, sink_, options);
    thread_ = std::jthread([this](const std::stop_token& stop) { reflector_->Run(stop); });
    EXPECT_TRUE(server_.WaitUntil([this] { return server_.open_watches() == 1; }));
  }
  // Begins a look that takes as long as the test wants.
  void BeginLook() {
    held_.Hold("GET", kSecondPage);
    // The one before it may be still at what it was answered.
    ASSERT_TRUE(Eventually([this] {
      clock_.Advance(std::chrono::seconds(2));
      server_.CloseWatches();
      return held_.Waiting() == 1;
    }));
    ASSERT_TRUE(server_.WaitUntil([this] { return server_.open_watches() == 1; }))
        << "no watch beside the look";
  }
  // Ends it; what comes of it is seen with the next event or bookmark.
  void EndLook() {
    const auto answered = [this] {
      return std::ranges::count_if(server_.Requests(), [](const auto& request) {
        return request.metadata_only && request.query.contains("continue");
      });
    };
    const auto before = answered();
    held_.LetGo();
    ASSERT_TRUE(server_.WaitUntil([&] { return answered() > before; }));
  }
  // Waits until the store is at the server's version, with nothing of the server's left out.
  [[nodiscard]] bool HasAllEvents() {
    const std::string version = std::to_string(server_.version());
    return Eventually([&] { return store_.ResourceVersion() == version; });
  }
  [[nodiscard]] bool IsHealedNow(int times) {
    server_.SendBookmarks();
    return heals_ == times && store_.size() == server_.All("nodes").size();
  }
  [[nodiscard]] bool IsHealed(int times) {
    return Eventually([&] { return IsHealedNow(times); });
  }
  void Change(uint64_t number, uint64_t value) {
    server_.Put(support::MakeNode(NodeName(number),
                                  {.labels = {{"example.com/value", std::to_string(value)}}}));
  }

  FakeClock clock_;
  FakeApiServer server_{clock_};
  support::HeldTransport held_{server_};
  Log log_{LogLevel::kError, true};
  Client client_{held_, clock_, {.user_agent = "test"}};
  Store<Node> store_{[] {}};
  StoreSink<Node> sink_{
      store_, [](JsonValue value, Node& node) { return DecodeNode(value, "spillway.dev/", node); }};
  std::atomic<int> heals_ = 0;
  std::atomic<int> skipped_ = 0;
  std::unique_ptr<Reflector> reflector_;
  std::jthread thread_;
};

TEST_F(LookTest, EventsComeInWhileItIsUnderWay) {
  BeginLook();
  server_.Put(support::MakeNode("fresh"));
  server_.Remove("nodes", "", NodeName(7));
  EXPECT_TRUE(HasAllEvents());
  EXPECT_NE(store_.Get("fresh"), nullptr);
  EXPECT_EQ(store_.Get(NodeName(7)), nullptr);
  EXPECT_EQ(held_.Waiting(), 1U) << "the look is over";
  held_.LetGo();
}

TEST_F(LookTest, FindsWhatTheServerLostWhateverElseHappensMeanwhile) {
  ASSERT_TRUE(server_.Lose("nodes", "", NodeName(3)));
  BeginLook();
  Change(4, 1);
  server_.Put(support::MakeNode("fresh"));
  ASSERT_TRUE(HasAllEvents());
  EXPECT_NE(store_.Get(NodeName(3)), nullptr);
  EndLook();
  EXPECT_TRUE(IsHealed(1));
  EXPECT_EQ(store_.Get(NodeName(3)), nullptr);
  EXPECT_EQ(skipped_, 0);
}

TEST_F(LookTest, TakesNothingThatHappensMeanwhileForADifference) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    const auto churn = [&](int times) {
      for (int i = 0; i < times; ++i) {
        const uint64_t number = random() % (kNodes + 20);
        if (random() % 3 == 0) {
          server_.Remove("nodes", "", NodeName(number));
        } else {
          Change(number, random() % 5);
        }
        if (random() % 20 == 0) server_.SendBookmarks();
        if (random() % 40 == 0) server_.CloseWatches();
      }
    };
    for (uint64_t i = 0; i < kNodes; ++i) Change(i, seed);
    if (seed % 2 == 0) {
      ASSERT_TRUE(HasAllEvents());
    }
    BeginLook();
    churn(static_cast<int>(random() % 100));
    EndLook();
    churn(20);
    ASSERT_TRUE(HasAllEvents());
    EXPECT_EQ(heals_, 0) << "seed " << seed;
  }
  EXPECT_EQ(skipped_, 0);
  ASSERT_TRUE(server_.Lose("nodes", "", server_.All("nodes")[0]["metadata"]["name"]));
  // One may be under way still that has read before the loss.
  EXPECT_TRUE(Eventually([this] {
    clock_.Advance(std::chrono::seconds(2));
    server_.CloseWatches();
    return IsHealedNow(1);
  })) << "they do find what differs";
}

TEST_F(LookTest, EndsWithTheReflectorAtOnce) {
  BeginLook();
  const auto start = std::chrono::steady_clock::now();
  thread_.request_stop();
  thread_.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(100));
  EXPECT_EQ(held_.Waiting(), 0U);
}

TEST_F(LookTest, IsGivenUpForAListThatIsNewer) {
  BeginLook();
  server_.Compact();
  server_.Inject(
      {.kind = support::Fault::Kind::kAnswer, .verb = "watch", .status = 410, .reason = "Expired"});
  server_.CloseWatches();
  EXPECT_TRUE(Eventually([this] { return held_.Waiting() == 0; }));
  EXPECT_TRUE(server_.WaitUntil([this] { return server_.open_watches() == 1; }));
  EXPECT_EQ(heals_, 0);
}

}  // namespace
}  // namespace spillway::kube
