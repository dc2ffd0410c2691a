#include "kube/exec_plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "kube/connection.h"
#include "kube/exec_credentials.h"
#include "kube/subprocess.h"
#include "tests/support/certificates.h"

namespace spillway::kube {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr const char* kV1 = "client.authentication.k8s.io/v1";

// A folder with a program that prints what it is told to.
class PluginTest : public ::testing::Test {
 protected:
  PluginTest() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    dir_ =
        ::testing::TempDir() + "exec_plugin_test_" + info->name() + "-" + std::to_string(getpid());
    std::filesystem::create_directories(dir_);
  }
  ~PluginTest() override { std::filesystem::remove_all(dir_); }

  ClusterConfig Cluster(const std::string& script) {
    const std::string path = dir_ + "/plugin";
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    ClusterConfig cluster;
    cluster.server = "https://h";
    cluster.ca.data = "CA";
    cluster.exec = ExecPlugin{.api_version = kV1, .command = path};
    return cluster;
  }
  static std::string Answer(const std::string& status) {
    return "{\"apiVersion\":\"" + std::string(kV1) +
           "\",\"kind\":\"ExecCredential\",\"status\":" + status + "}";
  }
  std::string Refusal(const std::string& script) {
    const auto got = RunExecPlugin(Cluster(script), false, {});
    return got ? "accepted" : got.error().message;
  }
  std::string Read(const std::string& name) {
    std::ifstream in(dir_ + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string dir_;
};

TEST_F(PluginTest, GivesATokenUntilItExpires) {
  const auto got = RunExecPlugin(
      Cluster("echo '" + Answer(R"({"token":"t","expirationTimestamp":"2026-11-24T12:00:00Z"})") +
              "'"),
      false, {});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->token, "t");
  EXPECT_EQ(got->expires, ParseTime("2026-11-24T12:00:00Z").value());
}

TEST_F(PluginTest, GivesACertificateWithItsKey) {
  const support::Authority authority("ca");
  const support::KeyPair pair = authority.Issue("ada", {});
  const support::KeyPair other = authority.Issue("eve", {});
  const auto status = [](const std::string& certificate, const std::string& key) {
    return Answer(
        nlohmann::json{{"clientCertificateData", certificate}, {"clientKeyData", key}}.dump());
  };
  const auto got = ParseExecCredential(status(pair.certificate, pair.key), kV1);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->client_certificate, pair.certificate);
  EXPECT_EQ(got->client_key, pair.key);
  EXPECT_EQ(ParseExecCredential(status(pair.certificate, other.key), kV1).error().message,
            "its clientCertificateData and clientKeyData are no PEM of a pair");
  EXPECT_EQ(ParseExecCredential(status("no", "PEM"), kV1).error().message,
            "its clientCertificateData and clientKeyData are no PEM of a pair");
  EXPECT_EQ(ParseExecCredential(status(pair.certificate, ""), kV1).error().message,
            "clientCertificateData and clientKeyData must come together");
}

TEST_F(PluginTest, IsToldWhatItMayAndWhichClusterItIsFor) {
  ClusterConfig cluster = Cluster("printf %s \"$KUBERNETES_EXEC_INFO\" > " + dir_ + "/info\n" +
                                  "printf '%s|' \"$MINE\" \"$@\" > " + dir_ + "/told\n" + "cat > " +
                                  dir_ + "/input\n" + "echo '" + Answer(R"({"token":"t"})") + "'");
  cluster.exec->arguments = {"a b", "$(touch " + dir_ + "/shell)", "; touch " + dir_ + "/shell"};
  cluster.exec->environment = {{"MINE", "x y"}};
  ASSERT_TRUE(RunExecPlugin(cluster, false, {}).ok());
  const auto info = nlohmann::json::parse(Read("info"));
  EXPECT_EQ(info, nlohmann::json::parse(R"({"apiVersion":"client.authentication.k8s.io/v1",
      "kind":"ExecCredential","spec":{"interactive":false}})"));
  EXPECT_EQ(Read("told"), "x y|a b|$(touch " + dir_ + "/shell)|; touch " + dir_ + "/shell|");
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/shell")) << "no shell saw its arguments";
  EXPECT_EQ(Read("input"), "") << "it read from /dev/null";

  cluster.exec->provide_cluster_info = true;
  cluster.exec->cluster_config = R"({"audience":"x"})";
  cluster.tls_server_name = "kubernetes";
  cluster.proxy = {.url = "http://p", .required = true};
  ASSERT_TRUE(RunExecPlugin(cluster, false, {}).ok());
  EXPECT_EQ(nlohmann::json::parse(Read("info"))["spec"]["cluster"],
            nlohmann::json::parse(
                R"({"server":"https://h","tls-server-name":"kubernetes","proxy-url":"http://p",
      "certificate-authority-data":"Q0E=","config":{"audience":"x"}})"));
}

TEST_F(PluginTest, GetsTheEnvironmentThatThisProcessWasStartedWith) {
  // NOLINTBEGIN(concurrency-mt-unsafe): no other thread is there.
  setenv("THEIRS", "theirs", 1);
  unsetenv("NOBODYS");
  setenv("OTHERS", "others", 1);
  // NOLINTEND(concurrency-mt-unsafe)
  for (const char* name : {"THEIRS", "NOBODYS", "OTHERS"}) SetForThisProcess(name, "first");
  SetForThisProcess("THEIRS", "second");
  EXPECT_STREQ(getenv("THEIRS"), "second");  // NOLINT(concurrency-mt-unsafe)
  ClusterConfig cluster = Cluster("printf '%s|' \"$THEIRS\" \"${NOBODYS-not set}\" \"$OTHERS\" > " +
                                  dir_ + "/told\n" + "echo '" + Answer(R"({"token":"t"})") + "'");
  cluster.exec->environment = {{"OTHERS", "its own"}};
  ASSERT_TRUE(RunExecPlugin(cluster, false, {}).ok());
  EXPECT_EQ(Read("told"), "theirs|not set|its own|");
}

TEST_F(PluginTest, MayReadFromATerminalWhereItsModeSaysSo) {
  using Input = ExecPlugin::Input;
  struct Row {
    Input input;
    bool terminal;
    const char* expected;  // of spec.interactive
  };
  for (const Row& row :
       {Row{Input::kNever, true, "false"}, Row{Input::kIfAvailable, true, "true"},
        Row{Input::kIfAvailable, false, "false"}, Row{Input::kAlways, true, "true"}}) {
    ClusterConfig cluster = Cluster("printf %s \"$KUBERNETES_EXEC_INFO\" > " + dir_ +
                                    "/info\necho '" + Answer(R"({"token":"t"})") + "'");
    cluster.exec->input = row.input;
    ASSERT_TRUE(RunExecPlugin(cluster, row.terminal, {}).ok());
    EXPECT_THAT(Read("info"), HasSubstr("\"interactive\":" + std::string(row.expected)));
  }
  ClusterConfig cluster = Cluster("exit 0");
  cluster.exec->input = Input::kAlways;
  EXPECT_THAT(RunExecPlugin(cluster, false, {}).error().message,
              HasSubstr("asks for input (interactiveMode: Always)"));
}

TEST_F(PluginTest, IsRefusedWithOneSentence) {
  EXPECT_EQ(Refusal("exit 3"), dir_ + "/plugin ended with exit code 3");
  EXPECT_EQ(Refusal("kill -9 $$"), dir_ + "/plugin ended with exit code 137");
  EXPECT_EQ(Refusal("echo Login first"), dir_ + "/plugin: its answer is no JSON object");
  EXPECT_EQ(Refusal("echo '{\"kind\":\"ExecCredential\",\"apiVersion\":"
                    "\"client.authentication.k8s.io/v1beta1\",\"status\":{\"token\":\"t\"}}'"),
            dir_ +
                "/plugin: its answer is kind \"ExecCredential\" of "
                "\"client.authentication.k8s.io/v1beta1\", not ExecCredential of "
                "\"client.authentication.k8s.io/v1\"");
  EXPECT_EQ(Refusal("echo '" + Answer("{}") + "'"),
            dir_ + "/plugin: its status has neither a token nor a client certificate");
  EXPECT_EQ(Refusal("echo '" + Answer(R"({"token":"a b"})") + "'"),
            dir_ + "/plugin: its token has blanks or control characters inside");
  EXPECT_EQ(Refusal("head -c 2000000 /dev/zero"), dir_ + "/plugin says more than 1048576 bytes");
  ClusterConfig cluster = Cluster("");
  cluster.exec->command = "no-such-plugin";
  cluster.exec->install_hint = "Install it from example.com.";
  EXPECT_EQ(RunExecPlugin(cluster, false, {}).error().message,
            "cannot run no-such-plugin: No such file or directory; Install it from example.com.");
}

TEST_F(PluginTest, TellsWhatBecameOfEachRun) {
  using Outcome = ExecRun::Outcome;
  std::vector<ExecRun> runs;
  const auto run = [&](ClusterConfig cluster) {
    cluster.exec_ran = [&](const ExecRun& done) { runs.push_back(done); };
    (void)RunExecPlugin(cluster, false, {});
    return runs.back();
  };
  const ExecRun good = run(Cluster(
      "echo '" + Answer(R"({"token":"t","expirationTimestamp":"2026-11-24T12:00:00Z"})") + "'"));
  EXPECT_EQ(good.outcome, Outcome::kGood);
  EXPECT_EQ(good.exit_code, 0);
  EXPECT_EQ(good.expires, ParseTime("2026-11-24T12:00:00Z").value());
  const ExecRun failed = run(Cluster("exit 3"));
  EXPECT_EQ(failed.outcome, Outcome::kFailed);
  EXPECT_EQ(failed.exit_code, 3);
  const ExecRun nonsense = run(Cluster("echo Login first"));
  EXPECT_EQ(nonsense.outcome, Outcome::kOurs);
  EXPECT_EQ(nonsense.exit_code, 1);
  ClusterConfig cluster = Cluster("exit 0");
  cluster.exec->command = "no-such-plugin";
  const ExecRun missing = run(cluster);
  EXPECT_EQ(missing.outcome, Outcome::kNotFound);
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_FALSE(missing.expires.has_value());
  EXPECT_EQ(runs.size(), 4U);
}

TEST_F(PluginTest, MayGiveALongToken) {
  const auto got = RunExecPlugin(
      Cluster("printf '%s' '" + Answer(R"({"token":")").substr(0, Answer("").size() + 9) +
              "'; head -c 65536 /dev/zero | tr '\\0' t; printf '\"}}'"),
      false, {});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->token, std::string(65536, 't'));
}

TEST_F(PluginTest, IsKilledWithAllThatItStarted) {
  const ClusterConfig cluster =
      Cluster("sleep 1000 & echo $! > " + dir_ + "/pid; sync " + dir_ + "/pid; sleep 1000");
  const auto gone = [&] {  // it is a zombie, or nobody's any more
    std::ifstream status("/proc/" + std::to_string(std::stoi(Read("pid"))) + "/stat");
    std::string word;
    for (int i = 0; i < 3; ++i) status >> word;
    return !status || word == "Z";
  };
  Program program{.path = cluster.exec->command, .deadline = 300ms};
  EXPECT_EQ(RunProgram(program, {}).error().code, Code::kUnavailable);
  while (!gone()) std::this_thread::yield();

  std::filesystem::remove(dir_ + "/pid");
  std::stop_source stop;
  program.deadline = 60s;
  std::jthread stopper([&] {
    while (Read("pid").find('\n') == std::string::npos) std::this_thread::yield();
    stop.request_stop();
  });
  EXPECT_EQ(RunProgram(program, stop.get_token()).error().code, Code::kCancelled);
  while (!gone()) std::this_thread::yield();
}

TEST_F(PluginTest, EndsWhenItEndsThoughItsChildKeepsTheOutputOpen) {
  const ClusterConfig cluster = Cluster("sleep 1000 & echo $! > " + dir_ + "/pid; echo done");
  const auto end = RunProgram(
      {
          .path = cluster.exec->command,
      },
      {});
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(kill(std::stoi(Read("pid")), SIGKILL), 0) << "it was left alone";
  EXPECT_EQ(end->output, "done\n");
}

// ---- what is kept of it ----

using Moment = ExecCredentials::Moment;

constexpr Moment kFar = Moment::max();

// A plugin that gives "1", "2", … and counts its runs.
class Counter {
 public:
  ExecCredentials::Run Run(std::optional<std::chrono::seconds> lasts = std::nullopt) {
    return [this, lasts](const std::stop_token&) -> Result<ExecCredential> {
      const int run = ++runs;
      if (fails) return Error{Code::kNotFound, "no"};
      ExecCredential credential;
      credential.token = std::to_string(run);
      if (lasts) {
        credential.expires =
            std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) + *lasts;
      }
      return credential;
    };
  }
  std::atomic<int> runs = 0;
  std::atomic<bool> fails = false;
};

std::string TokenOf(ExecCredentials& credentials, Moment now) {
  const auto got = credentials.Get(now, kFar, {});
  return got ? (*got)->token : got.error().message;
}

TEST(ExecCredentialsTest, AreKeptUntilTheServerRefusesThem) {
  Counter counter;
  ExecCredentials credentials(counter.Run());
  const Moment start{};
  const auto first = *credentials.Get(start, kFar, {});
  EXPECT_EQ(TokenOf(credentials, start + 1000h), "1");
  credentials.Distrust(first);
  EXPECT_EQ(TokenOf(credentials, start + 1000h), "2");
  credentials.Distrust(first);  // an older one: nothing happens
  EXPECT_EQ(TokenOf(credentials, start + 2000h), "2");
  EXPECT_EQ(counter.runs, 2);
}

TEST(ExecCredentialsTest, AreFetchedAgainBeforeTheyExpireWhileCallersGoOn) {
  std::atomic<bool> open = true;
  Counter counter;
  const auto run = counter.Run(1h);
  ExecCredentials credentials([&](const std::stop_token& stop) {
    while (!open) std::this_thread::yield();
    return run(stop);
  });
  const Moment start{};
  EXPECT_EQ(TokenOf(credentials, start), "1");
  EXPECT_EQ(TokenOf(credentials, start + 58min), "1");
  EXPECT_EQ(counter.runs, 1);
  open = false;
  EXPECT_EQ(TokenOf(credentials, start + 59min + 30s), "1") << "nobody waits for the second";
  open = true;
  EXPECT_EQ(TokenOf(credentials, start + 61min), "2") << "nobody has the first any more";
  EXPECT_EQ(counter.runs, 2);
}

TEST(ExecCredentialsTest, OneRunServesAllWhoWait) {
  Counter counter;
  std::atomic<int> waiting = 0;
  const auto run = counter.Run();
  ExecCredentials credentials([&](const std::stop_token& stop) {
    while (waiting < 8) std::this_thread::yield();
    return run(stop);
  });
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      ++waiting;
      EXPECT_EQ(TokenOf(credentials, Moment{}), "1");
    });
  }
  threads.clear();
  EXPECT_EQ(counter.runs, 1);
}

TEST(ExecCredentialsTest, AFailureIsToldAndTriedAgainAfterARest) {
  Counter counter;
  counter.fails = true;
  ExecCredentials credentials(counter.Run());
  const Moment start{};
  EXPECT_EQ(credentials.Get(start, kFar, {}).error().code, Code::kUnavailable)
      << "not that of an object that is not there";
  EXPECT_EQ(TokenOf(credentials, start + 4s), "credentials: no");
  EXPECT_EQ(counter.runs, 1);
  counter.fails = false;
  EXPECT_EQ(TokenOf(credentials, start + 6s), "2");
}

TEST(ExecCredentialsTest, TheLastGoodOneServesWhileItHoldsThoughTheNextFails) {
  Counter counter;
  ExecCredentials credentials(counter.Run(1h));
  const Moment start{};
  EXPECT_EQ(TokenOf(credentials, start), "1");
  counter.fails = true;
  EXPECT_EQ(TokenOf(credentials, start + 59min + 30s), "1");
  EXPECT_EQ(TokenOf(credentials, start + 61min), "credentials: no");
}

TEST(ExecCredentialsTest, WhatHasExpiredAlreadyIsNone) {
  Counter counter;
  ExecCredentials credentials(counter.Run(-1s));
  EXPECT_THAT(TokenOf(credentials, Moment{}), HasSubstr("what the credential plugin gave expired"));
}

TEST(ExecCredentialsTest, NobodyWaitsLongerThanItsDeadline) {
  std::atomic<bool> open = false;
  ExecCredentials credentials([&](const std::stop_token& stop) -> Result<ExecCredential> {
    while (!open && !stop.stop_requested()) std::this_thread::yield();
    return Error{Code::kCancelled, "stopped"};
  });
  const Moment now = std::chrono::steady_clock::now();
  EXPECT_EQ(credentials.Get(now, now + 1ms, {}).error().message,
            "credentials: the plugin has not answered yet");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(credentials.Get(now, kFar, stop.get_token()).error().code, Code::kCancelled);
  // Going away ends the run.
}

TEST_F(PluginTest, StandsInForATokenInTheCredentials) {
  const ClusterConfig cluster = Cluster("echo '" + Answer(R"({"token":"given"})") + "'");
  const auto files = ReadCredentials(cluster);
  ASSERT_TRUE(files) << files.error().message;
  const Moment now = std::chrono::steady_clock::now();
  CredentialCache cache(cluster, *files, now);
  const auto got = cache.Get(now, now + 60s, {});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ((*got)->token, "given");
  EXPECT_EQ((*got)->ca, "CA");
  EXPECT_EQ(*cache.Get(now, now + 60s, {}), *got) << "the same until something changes";
  cache.Distrust(*got);
  EXPECT_NE(*cache.Get(now + 60s, now + 60s, {}), *got);
}

}  // namespace
}  // namespace spillway::kube
