// The operator is killed after each single write of a life with thirty pools: its successor brings
// everything to the same end.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <climits>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <set>

#include "tests/controllers/loop_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_cluster.h"
#include "tests/support/seeds.h"

namespace spillway::controllers {
namespace {

using std::chrono::seconds;

// What a process can still do: once it has written so often it is as good as dead.
class Gate final : public kube::Transport {
 public:
  Gate(support::FakeApiServer& server, int writes) : server_(server), left_(writes) {}

  Result<kube::HttpResponse> Send(const kube::HttpRequest& request,
                                  const std::stop_token& stop) override {
    const bool dry = request.target.find("dryRun=") != std::string::npos;
    const bool writes = request.method != "GET" && !dry;
    if (dead_ || (writes && left_ == 0)) return Die();
    auto answer = server_.Send(request, stop);
    if (writes) {
      ++written_;
      // Killed before it could read the answer.
      if (--left_ == 0) return Die();
    }
    return answer;
  }
  Result<kube::HttpResponse> Stream(const kube::HttpRequest& request, const OnBytes& on_bytes,
                                    const std::stop_token& stop) override {
    return server_.Stream(request, on_bytes, stop);
  }
  [[nodiscard]] bool dead() const { return dead_; }
  [[nodiscard]] int written() const { return written_; }

 private:
  Result<kube::HttpResponse> Die() {
    dead_ = true;
    return Error{Code::kUnavailable, "this process was killed"};
  }

  support::FakeApiServer& server_;
  std::atomic<int> left_;
  std::atomic<int> written_{0};
  std::atomic<bool> dead_{false};
};

// One process of the operator. It has one writer and passes when told to, once its stores hold all
// that the server holds, so that every life with the same beginning goes the same way. But the
// first pass of a successor goes by what the caches show, which lag behind what its predecessor has
// written.
class Process {
 public:
  enum class Start { kFirst, kSuccessor };
  Process(support::FakeApiServer& server, support::FakeClock& clock, Start start, int writes)
      : server_(server),
        clock_(clock),
        by_old_caches_(start == Start::kSuccessor),
        gate_(server, writes) {
    watching_.Start();
  }
  ~Process() { watching_.Stop(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] bool Pass() {
    const auto ready = [this] {
      if (by_old_caches_) return stores_.Unsynced().empty();
      server_.SendBookmarks();
      return CaughtUp();
    };
    if (!by_old_caches_) server_.CatchUp();
    if (!support::Eventually(ready)) return false;
    by_old_caches_ = false;
    loop_.Pass({});
    return true;
  }
  [[nodiscard]] const Gate& gate() const { return gate_; }

 private:
  [[nodiscard]] bool CaughtUp() const {
    if (!stores_.Unsynced().empty()) return false;
    const std::string now = std::to_string(server_.version());
    const auto has = [&](const auto& store) {
      return !kube::NewerVersion(now, store.ResourceVersion());
    };
    return has(stores_.nodes) && has(stores_.pods) && has(stores_.jobs) &&
           has(stores_.deployments) && has(stores_.services) && has(stores_.disruption_budgets) &&
           has(stores_.priority_classes) && has(stores_.node_groups) &&
           has(stores_.training_pools) && has(stores_.inference_pools) && has(stores_.pool_quotas);
  }
  static LoopHooks Hooks() {
    LoopHooks hooks;
    hooks.leading = [] { return true; };
    hooks.event = [](const EventNote& /*note*/) {};
    return hooks;
  }
  static LoopOptions Options() {
    LoopOptions options;
    options.writers = 1;
    return options;
  }

  support::FakeApiServer& server_;
  support::FakeClock& clock_;
  bool by_old_caches_;
  Gate gate_;
  Log log_{LogLevel::kError, true};
  MetricsRegistry registry_;
  kube::Client client_{gate_, clock_, {"test", 16, seconds(5), {}}};
  Stores stores_{[] {}};
  TemplateChecker templates_{client_, clock_, log_, [] {}};
  Metrics metrics_{registry_};
  Loop loop_{stores_, client_, clock_, log_, metrics_, templates_, Settings{}, Hooks(), Options()};
  Watching watching_{stores_, client_, clock_, log_, registry_};
};

constexpr const char* kFlexType = "nvidia-h100-80gb";

// Grows as soon as there has been room for ten minutes.
Json ElasticJson(const std::string& name, int least, int most) {
  Json pool = PoolJson(name, most);
  pool["spec"]["minWorkers"] = least;
  pool["spec"]["placement"]["returnHome"] = {{"policy", "Anytime"}};
  return pool;
}

// Of the accelerators that no other pools ask for.
Json FlexJson(const std::string& name, int least, int most) {
  Json pool = ElasticJson(name, least, most);
  pool["spec"]["accelerators"] = {{{"type", kFlexType}}};
  return pool;
}

// A cluster in which much happens: pools come, wait, spill, end, fail, are changed, suspended and
// deleted, nodes are lost and come, elastic gangs shrink and grow. Whenever the operator has been
// killed another one takes over.
class Life {
 public:
  explicit Life(int kill_after) : process_(Start(Process::Start::kFirst, kill_after)) {
    server_.SetLag(support::Lag{.seed = static_cast<uint64_t>(kill_after), .cache = seconds(60)});
  }

  void Live() {
    ASSERT_NO_FATAL_FAILURE(Fill());
    ASSERT_NO_FATAL_FAILURE(LoseNodes());
    ASSERT_NO_FATAL_FAILURE(ChangeMinds());
    ASSERT_NO_FATAL_FAILURE(AddNodes());
  }

  // All that there is in the end, but for times, versions and names that the cluster makes up.
  [[nodiscard]] std::set<std::string> End() const {
    std::set<std::string> end;
    for (const char* plural : {"trainingpools", "inferencepools", "nodegroups"}) {
      for (const Json& object : server_.All(plural)) {
        end.insert(NameOf(object) + " " + StatusOf(object).dump());
      }
    }
    for (const char* plural : {"jobs", "deployments", "services", "poddisruptionbudgets"}) {
      for (const Json& object : server_.All(plural)) {
        end.insert(std::string(plural) + " " + NameOf(object) + " " +
                   object.value("spec", Json::object()).dump());
      }
    }
    for (const Json& node : server_.All("nodes")) {
      end.insert(NameOf(node) + " " + node.value("spec", Json::object()).dump());
    }
    for (const Json& job : server_.All("jobs")) {
      for (const std::string& node : cluster_.NodesOf("lab", NameOf(job))) {
        end.insert(NameOf(job) + " on " + node);
      }
    }
    return end;
  }
  // "t00-train-1 of 2": each Job that was ever made and how many workers it had, as often as it was
  // made.
  [[nodiscard]] std::multiset<std::string> Made() const {
    std::multiset<std::string> made;
    for (const LoggedRequest& write : server_.Writes()) {
      if (write.verb != "create" || write.status != 201) continue;
      const Json object = Json::parse(write.body);
      if (object["kind"] != "Job") continue;
      made.insert(fmt::format("{} of {}", NameOf(object),
                              object.value(Json::json_pointer("/spec/completions"), 0)));
    }
    return made;
  }
  [[nodiscard]] int written() const { return process_->gate().written(); }
  [[nodiscard]] bool killed() const { return killed_; }

 private:
  void Fill() {
    for (const char* group : {"home", "cloud"}) {
      server_.Put(GroupJson(group, group == std::string("home") ? 0 : 10));
    }
    Json flex = GroupJson("flex", 0);
    flex["spec"]["accelerator"]["type"] = kFlexType;
    server_.Put(flex);
    AddNodes("home", 0, 6);
    AddNodes("cloud", 0, 9);
    AddNodes("flex", 0, 5);
    Settle();
    for (int i = 0; i < 6; ++i) Submit(PoolJson(Name("t", i), 1 + i % 2));
    Submit(FlexJson("e00", 2, 4));
    Submit(FlexJson("e01", 1, 3));
    for (int i = 0; i < 8; ++i) Submit(ServingJson(Name("s", i), 1 + i % 3));
    Pass(seconds(60));
    for (int i = 2; i < 4; ++i) Submit(ElasticJson(Name("e", i), 1, 3));
    for (int i = 6; i < 18; ++i) Submit(PoolJson(Name("t", i), 1 + i % 2));
    Pass(seconds(700));
  }
  // Under an identity of its own: the server's next one depends on how often a template was asked
  // about, and with it what is rendered.
  void Submit(Json pool) {
    pool["metadata"]["uid"] = "uid-" + NameOf(pool);
    server_.Put(std::move(pool));
  }
  void LoseNodes() {
    cluster_.FinishJob("lab", "t00-train-1");
    cluster_.FinishJob("lab", "t01-train-1", 1);
    for (const char* node : {"cloud2", "flex0"}) {
      cluster_.SetReady(node, "Unknown");
      cluster_.StopKubelet(node);
    }
    Pass(seconds(400));
  }
  // One change after another: which of several pools gets what is given up at once depends on when.
  void ChangeMinds() {
    server_.Delete("trainingpools", "lab", "t02");
    Settle();
    server_.Delete("inferencepools", "lab", "s01");
    Settle();
    Change("trainingpools", "t05", {{"suspend", true}});
    Settle();
    Change("trainingpools", "t04", {{"workers", 2}});
    Change("inferencepools", "s00", {{"replicas", 3}});
    Settle();
    Pass(seconds(700));
  }
  void AddNodes() {
    AddNodes("home", 6, 9);
    AddNodes("flex", 5, 8);
    for (int i = 0; i < 3; ++i) Pass(seconds(700));
  }
  void AddNodes(const std::string& group, int from, int to) {
    for (int i = from; i < to; ++i) server_.Put(NodeJson(group + std::to_string(i), group));
  }

  static std::string Name(const char* prefix, int number) {
    return fmt::format("{}{:02}", prefix, number);
  }
  static std::string NameOf(const Json& object) { return object["metadata"]["name"]; }

  static Json StatusOf(const Json& object) {
    const Json status = object.value("status", Json::object());
    Json out;
    for (const char* field : {"nodes", "cells", "phase"}) {
      if (status.contains(field)) out[field] = status[field];
    }
    for (const char* field : {"nodeGroup", "nodes", "workers", "attempt"}) {
      const Json::json_pointer at("/placement/" + std::string(field));
      if (status.contains(at)) out["placement"][field] = status.at(at);
    }
    for (const Json& one : status.value("conditions", Json::array())) {
      out["conditions"].push_back(std::string(one["type"]) + "=" + std::string(one["status"]) +
                                  "/" + std::string(one["reason"]));
    }
    return out;
  }
  std::unique_ptr<Process> Start(Process::Start start, int writes) {
    return std::make_unique<Process>(server_, clock_, start, writes);
  }
  void Change(const char* plural, const char* name, const Json& spec) {
    server_.Patch(plural, "lab", name, {{"spec", spec}});
  }
  // Until nothing changes any more; no time passes meanwhile.
  void Settle() {
    int quiet = 0;
    for (int i = 0; i < 200 && quiet < 3; ++i) {
      const int64_t before = server_.version();
      cluster_.Settle();
      ASSERT_TRUE(process_->Pass());
      if (process_->gate().dead()) {
        killed_ = true;
        process_.reset();
        process_ = Start(Process::Start::kSuccessor, INT_MAX);
        quiet = 0;
        continue;
      }
      quiet = server_.version() == before ? quiet + 1 : 0;
    }
    ASSERT_EQ(quiet, 3) << "the operator does not come to rest";
  }
  void Pass(seconds time) {
    for (int part = 0; part < 4; ++part) {
      clock_.Advance(time / 4);
      server_.Tick();
      Settle();
    }
  }

  support::FakeClock clock_;
  support::FakeApiServer server_{clock_};
  support::FakeCluster cluster_{server_, clock_};
  bool killed_ = false;
  std::unique_ptr<Process> process_;
};

std::vector<std::string> Without(const std::set<std::string>& all,
                                 const std::set<std::string>& some) {
  std::vector<std::string> out;
  std::ranges::set_difference(all, some, std::back_inserter(out));
  return out;
}

// After how many writes the next life ends: each of them in a soak run, else a few.
int Step(int writes) {
  const bool all = std::getenv("SPILLWAY_CRASHES") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  return all ? 1 : writes / std::max(tests::Seeds(8), 3);
}

// Of the Jobs that ever were, those of elastic gangs, in the order of their attempts.
std::vector<std::string> OfElasticGangs(const std::multiset<std::string>& jobs) {
  std::vector<std::string> out;
  std::ranges::copy_if(jobs, std::back_inserter(out),
                       [](const std::string& job) { return job.starts_with("e"); });
  return out;
}

TEST(CrashSweep, WhereverTheOperatorIsKilledTheEndIsTheSame) {
  Life whole(INT_MAX);
  ASSERT_NO_FATAL_FAILURE(whole.Live());
  const auto end = whole.End();
  const auto made = whole.Made();
  const int writes = whole.written();
  ASSERT_GT(writes, 200);
  // Elastic gangs start small, lose a node and grow back, or else nothing of that is tried.
  ASSERT_THAT(OfElasticGangs(made),
              testing::ElementsAre("e00-train-1 of 4", "e00-train-2 of 3", "e00-train-3 of 4",
                                   "e01-train-1 of 1", "e01-train-2 of 3", "e02-train-1 of 1",
                                   "e03-train-1 of 2"));
  int lives = 0;
  int killed = 0;
  for (int kill_after = 1; kill_after <= writes; kill_after += Step(writes)) {
    SCOPED_TRACE("killed after write " + std::to_string(kill_after));
    Life life(kill_after);
    ASSERT_NO_FATAL_FAILURE(life.Live());
    ++lives;
    killed += life.killed() ? 1 : 0;
    EXPECT_THAT(Without(life.End(), end), testing::IsEmpty());
    EXPECT_THAT(Without(end, life.End()), testing::IsEmpty());
    EXPECT_THAT(life.Made(), testing::ContainerEq(made));
  }
  std::cout << killed << " of " << lives << " lives were cut short, at points among " << writes
            << " writes\n";
  EXPECT_EQ(killed, lives);
}

}  // namespace
}  // namespace spillway::controllers
