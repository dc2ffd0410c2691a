#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "controllers/loop.h"
#include "controllers/watching.h"
#include "tests/controllers/samples.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"
#include "tests/support/held_transport.h"

// The path of one pass against an API server in the process: real client, reflectors and stores.
namespace spillway::controllers {

using samples::Json;
using support::Fault;
using support::LoggedRequest;

inline Json NodeJson(const std::string& name, const std::string& group) {
  return {{"apiVersion", "v1"},
          {"kind", "Node"},
          {"metadata",
           {{"name", name}, {"labels", {{"group", group}, {"kubernetes.io/hostname", name}}}}},
          {"status",
           {{"allocatable",
             {{"cpu", "96"}, {"memory", "1000Gi"}, {"pods", "110"}, {"nvidia.com/gpu", "8"}}},
            {"conditions",
             {{{"type", "Ready"},
               {"status", "True"},
               {"lastTransitionTime", "2026-11-23T00:00:00Z"}}}}}}};
}

inline Json GroupJson(const std::string& name, int tier) {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "NodeGroup"},
          {"metadata", {{"name", name}}},
          {"spec",
           {{"provider", tier == 0 ? "OnPrem" : "Azure"},
            {"tier", tier},
            {"selector", {{"matchLabels", {{"group", name}}}}},
            {"accelerator",
             {{"type", "nvidia-a100-80gb"}, {"resource", "nvidia.com/gpu"}, {"perNode", 8}}},
            {"capacityType", tier == 0 ? "Owned" : "OnDemand"},
            {"cost", {{"perNodeHour", "32.77"}}}}}};
}

inline Json PoolJson(const std::string& name, int workers) {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "TrainingPool"},
          {"metadata", {{"name", name}, {"namespace", "lab"}}},
          {"spec",
           {{"workers", workers},
            {"acceleratorsPerWorker", 8},
            {"accelerators", {{{"type", "nvidia-a100-80gb"}}}},
            {"placement", {{"spill", {{"afterSeconds", 600}}}}},
            {"template", samples::PodTemplate()}}}};
}

inline Json ServingJson(const std::string& name, int replicas) {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "InferencePool"},
          {"metadata", {{"name", name}, {"namespace", "lab"}}},
          {"spec",
           {{"replicas", replicas},
            {"placement", {{"spill", {{"afterSeconds", 300}}}}},
            {"variants",
             {{{"name", "a100"},
               {"accelerator", "nvidia-a100-80gb"},
               {"acceleratorsPerReplica", 2},
               {"throughput", "4"},
               {"template", samples::PodTemplate()}}}}}}};
}

// The whole operator but its process: two nodes at home, four in a cloud.
class LoopTest : public testing::Test {
 protected:
  explicit LoopTest(Mode mode = Mode::kEnforce, LoopOptions options = {})
      : mode_(mode), options_(options) {
    stores_.SetOnAdvance([this] { loop_.Advanced(); });
    server_.Put(GroupJson("home", 0));
    server_.Put(GroupJson("cloud", 10));
    for (const char* name : {"h0", "h1"}) server_.Put(NodeJson(name, "home"));
    for (const char* name : {"c0", "c1", "c2", "c3"}) server_.Put(NodeJson(name, "cloud"));
  }
  // Before anything that a derived fixture's hooks use goes.
  void TearDown() override {
    running_.request_stop();
    if (running_.joinable()) running_.join();
    watching_.Stop();
    templates_.Stop();
    // Looked for in debug builds only.
    EXPECT_THAT(registry_.Text(), testing::HasSubstr("spillway_broken_plans_total 0"));
  }

  void Run() {
    watching_.Start();
    Decide();
  }
  // REQUIRES that it watches.
  void Decide() {
    running_ = std::jthread([this](const std::stop_token& stop) { loop_.Run(stop, stop); });
  }
  // Time passes, for the operator too.
  void Advance(std::chrono::seconds by) {
    clock_.Advance(by);
    loop_.MarkDirty();
  }
  // Looks again when the server changes, and now and then: time may be all that changes.
  bool Await(const std::function<bool()>& holds) {
    for (int i = 0; i < 600; ++i) {
      if (server_.WaitUntil(holds, std::chrono::milliseconds(50))) return true;
    }
    return false;
  }

  Json Status(const std::string& pool) {
    const auto object = server_.Get("trainingpools", "lab", pool);
    return object && object->contains("status") ? (*object)["status"] : Json::object();
  }
  std::string Reason(const std::string& pool, const std::string& type) {
    for (const Json& condition : Status(pool).value("conditions", Json::array())) {
      if (condition["type"] == type) return condition["reason"];
    }
    return {};
  }
  std::string Message(const std::string& pool, const std::string& type) {
    for (const Json& condition : Status(pool).value("conditions", Json::array())) {
      if (condition["type"] == type) return condition["message"];
    }
    return {};
  }
  std::string ConditionStatus(const std::string& pool, const std::string& type) {
    for (const Json& condition : Status(pool).value("conditions", Json::array())) {
      if (condition["type"] == type) return condition["status"];
    }
    return {};
  }
  bool Exists(const std::string& plural, const std::string& name) {
    return server_.Get(plural, "lab", name).has_value();
  }
  // Writes about one pool, in short and in order.
  std::vector<std::string> WritesOf(const std::string& pool) {
    std::vector<std::string> out;
    for (const LoggedRequest& request : server_.Writes()) {
      const std::string last = request.path.substr(request.path.rfind('/') + 1);
      const bool created = request.verb == "create";
      const std::string name =
          created ? Json::parse(request.body)["metadata"].value("name", "") : request.path;
      if (name.find(pool) == std::string::npos) continue;
      out.push_back(created ? "create " + name : request.verb + " " + last);
    }
    return out;
  }
  // Two passes, the second of which began after this call; bookmarks for those that wait for
  // caches.
  void PassTwice() {
    for (int i = 0; i < 2; ++i) {
      const auto passes = passes_.load();
      loop_.MarkDirty();
      server_.SendBookmarks();
      ASSERT_TRUE(AwaitPass(passes));
    }
  }
  // What is under way settles; then passes write nothing more.
  void ExpectQuiet() {
    size_t before = server_.Writes().size();
    int quiet = 0;
    for (int i = 0; i < 50 && quiet < 3; ++i) {
      ASSERT_TRUE(OnePass());
      const size_t now = server_.Writes().size();
      quiet = now == before ? quiet + 1 : 0;
      before = now;
    }
    EXPECT_EQ(quiet, 3) << "the operator does not stop writing";
  }
  // A whole pass that starts after this call.
  bool OnePass() {
    const int before = passes_;
    loop_.MarkDirty();
    server_.SendBookmarks();
    if (!AwaitPass(before)) return false;
    loop_.MarkDirty();
    return AwaitPass(before + 1);
  }
  // Lets time pass in steps until it holds.
  bool AwaitWhileTimePasses(std::chrono::seconds step, const std::function<bool()>& holds) {
    for (int i = 0; i < 50; ++i) {
      if (holds()) return true;
      clock_.Advance(step);
      if (!OnePass()) return false;
    }
    return holds();
  }
  bool AwaitPass(int after) {
    std::unique_lock lock(pass_mutex_);
    return pass_done_.wait_for(lock, std::chrono::seconds(20), [&] { return passes_ > after; });
  }

  kube::Client::Options ClientOptions() { return {"test", 16, std::chrono::seconds(5), {}}; }
  LoopHooks Hooks() {
    LoopHooks hooks;
    // Asked once in each pass, after the snapshot: counts passes.
    hooks.leading = [this] {
      {
        const std::scoped_lock lock(pass_mutex_);
        ++passes_;
      }
      pass_done_.notify_all();
      if (on_pass_) on_pass_();
      return leading_.load();
    };
    hooks.event = [this](const EventNote& note) {
      const std::scoped_lock lock(pass_mutex_);
      events_.push_back(note.name + " " + note.transition.reason);
    };
    hooks.snapshot_wanted = [this](const placement::Snapshot& snapshot) {
      const std::scoped_lock lock(pass_mutex_);
      snapshot_ = snapshot;
    };
    return hooks;
  }
  std::vector<std::string> Events() {
    const std::scoped_lock lock(pass_mutex_);
    return events_;
  }

  Settings InMode() const {
    Settings settings;
    settings.mode = mode_;
    return settings;
  }

  const Mode mode_;
  const LoopOptions options_;
  std::function<void()> on_pass_;  // in each pass, before its writes; set before Run
  std::mutex pass_mutex_;
  std::condition_variable pass_done_;
  std::atomic<int> passes_{0};
  std::atomic<bool> leading_{true};
  std::vector<std::string> events_;
  placement::Snapshot snapshot_;  // the last that was asked for
  support::FakeClock clock_;
  Log log_{LogLevel::kWarn, true};
  MetricsRegistry registry_;
  support::FakeApiServer server_{clock_};
  support::HeldTransport transport_{server_};
  kube::Client client_{transport_, clock_, ClientOptions()};
  Stores stores_{[this] { loop_.MarkDirty(); }};
  TemplateChecker templates_{client_, clock_, log_, [this] { loop_.MarkDirty(); }};
  Metrics metrics_{registry_};
  Loop loop_{stores_, client_, clock_, log_, metrics_, templates_, InMode(), Hooks(), options_};
  Watching watching_{stores_, client_, clock_, log_, registry_};
  std::jthread running_;
};

}  // namespace spillway::controllers
