#include "operator/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "tests/support/temp_file.h"

namespace spillway {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::StartsWith;

struct Parsed {
  ParsedOptions options;
  std::string out;
  std::string error;
};

Parsed Parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "spillway-operator");
  std::vector<char*> argv;
  argv.reserve(arguments.size());
  for (std::string& argument : arguments) argv.push_back(argument.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Parsed parsed;
  parsed.options = ParseOptions(static_cast<int>(argv.size()), argv.data());
  parsed.out = testing::internal::GetCapturedStdout();
  parsed.error = testing::internal::GetCapturedStderr();
  return parsed;
}

TEST(Options, Defaults) {
  unsetenv("POD_NAMESPACE");
  const Parsed parsed = Parse({});
  ASSERT_TRUE(parsed.options.run) << parsed.error;
  const Options& options = parsed.options.options;
  EXPECT_EQ(options.settings, controllers::Settings{});
  EXPECT_EQ(options.listen, "127.0.0.1:8080") << "plain, so nobody else's";
  EXPECT_THAT(options.secure_listen, IsEmpty());
  EXPECT_EQ(options.lease_name, "spillway");
  EXPECT_EQ(options.lease_duration, seconds(15));
  EXPECT_EQ(options.renew_deadline, seconds(10));
  EXPECT_EQ(options.retry_period, seconds(2));
  EXPECT_EQ(options.transport, kube::TransportKind::kCpprest);
  EXPECT_FALSE(options.stream_lists);
  EXPECT_EQ(options.log_level, LogLevel::kInfo);
  EXPECT_TRUE(options.log_json);
  EXPECT_THAT(options.ns, IsEmpty());
  EXPECT_THAT(options.identity, MatchesRegex(".+_[0-9a-f]{8}"));
  EXPECT_NE(options.identity, Parse({}).options.options.identity) << "two on one host differ";
}

TEST(Options, EveryFlagReachesItsOption) {
  struct Row {
    const char* flag;
    std::function<bool(const Options&)> holds;
  };
  const support::TempFile file(
      "mode: Observe\ncurrency: EUR\ndefaultLimits:\n- {type: a100, limit: 8}\n");
  const std::string config = "--config=" + file.path();
  const std::vector<Row> rows = {
      {config.c_str(),
       [](const Options& o) {
         return o.settings.mode == controllers::Mode::kObserve && o.settings.currency == "EUR" &&
                o.settings.default_limits == std::vector<controllers::DefaultLimit>{{"a100", 8}};
       }},
      {"--transport=curl",
       [](const Options& o) { return o.transport == kube::TransportKind::kCurl; }},
      {"--lists=streamed", [](const Options& o) { return o.stream_lists; }},
      {"--kubeconfig=/k", [](const Options& o) { return o.kubeconfig == "/k"; }},
      {"--context=c", [](const Options& o) { return o.overrides.context == "c"; }},
      {"--cluster=c", [](const Options& o) { return o.overrides.cluster == "c"; }},
      {"--user=u", [](const Options& o) { return o.overrides.user == "u"; }},
      {"--server=https://s", [](const Options& o) { return o.overrides.server == "https://s"; }},
      {"--as=u", [](const Options& o) { return o.as.user == "u"; }},
      {"--as-group=g",
       [](const Options& o) { return o.as.groups == std::vector<std::string>{"g"}; }},
      {"--as-uid=1", [](const Options& o) { return o.as.uid == "1"; }},
      {"--namespace=n", [](const Options& o) { return o.ns == "n"; }},
      {"--lease-name=l", [](const Options& o) { return o.lease_name == "l"; }},
      {"--identity=i", [](const Options& o) { return o.identity == "i"; }},
      {"--listen=127.0.0.1:1", [](const Options& o) { return o.listen == "127.0.0.1:1"; }},
      {"--snapshot-dir=/s", [](const Options& o) { return o.snapshot_dir == "/s"; }},
      {"--log-level=debug", [](const Options& o) { return o.log_level == LogLevel::kDebug; }},
      {"--log-level=warn", [](const Options& o) { return o.log_level == LogLevel::kWarn; }},
      {"--log-level=error", [](const Options& o) { return o.log_level == LogLevel::kError; }},
      {"--log-format=text", [](const Options& o) { return !o.log_json; }},
      {"--lease-duration-seconds=60",
       [](const Options& o) { return o.lease_duration == seconds(60); }},
      {"--renew-deadline-seconds=40",
       [](const Options& o) { return o.renew_deadline == seconds(40); }},
      {"--retry-period-seconds=5", [](const Options& o) { return o.retry_period == seconds(5); }}};
  for (const Row& row : rows) {
    const Parsed parsed = Parse({row.flag});
    ASSERT_TRUE(parsed.options.run) << row.flag << ": " << parsed.error;
    EXPECT_TRUE(row.holds(parsed.options.options)) << row.flag;
    EXPECT_THAT(parsed.out + parsed.error, IsEmpty()) << row.flag;
  }
}

TEST(Options, MetricsOverTlsHaveThreeFlags) {
  const Parsed parsed =
      Parse({"--secure-listen=0.0.0.0:8443", "--tls-cert-file=c", "--tls-private-key-file=k"});
  ASSERT_TRUE(parsed.options.run) << parsed.error;
  EXPECT_EQ(parsed.options.options.secure_listen, "0.0.0.0:8443");
  EXPECT_EQ(parsed.options.options.tls_certificate, "c");
  EXPECT_EQ(parsed.options.options.tls_key, "k");
}

TEST(Options, ThePodsNamespaceIsTheDefaultOfTheLeases) {
  setenv("POD_NAMESPACE", "spillway-system", 1);
  EXPECT_EQ(Parse({}).options.options.ns, "spillway-system");
  EXPECT_EQ(Parse({"--namespace=other"}).options.options.ns, "other");
  unsetenv("POD_NAMESPACE");
}

TEST(Options, WhatIsWrongEndsItWithASentence) {
  struct Row {
    std::vector<std::string> arguments;
    std::string sentence;
  };
  const support::TempFile file("mode: Enforced\n");
  const std::string& bad = file.path();
  for (const Row& row : std::vector<Row>{
           {{"--no-such"}, "--no-such"},
           {{"something"}, "something"},
           {{"--transport=pigeon"}, "--transport"},
           {{"--lists=none"}, "--lists"},
           {{"--log-level=loud"}, "--log-level"},
           {{"--log-format=xml"}, "--log-format"},
           {{"--retry-period-seconds=soon"}, "--retry-period-seconds"},
           {{"--secure-listen=0.0.0.0:8443", "--tls-private-key-file=k"}, "--tls-cert-file"},
           {{"--secure-listen=0.0.0.0:8443", "--tls-cert-file=c"}, "--tls-private-key-file"},
           {{"--tls-cert-file=c"}, "--secure-listen"},
           {{"--tls-private-key-file=k"}, "--secure-listen"},
           {{"--config=/no/such"}, "spillway-operator: --config: cannot read /no/such\n"},
           {{"--config=" + bad}, "spillway-operator: --config: " + bad + ": "}}) {
    const Parsed parsed = Parse(row.arguments);
    EXPECT_FALSE(parsed.options.run) << row.sentence;
    EXPECT_EQ(parsed.options.exit_code, 1) << row.sentence;
    EXPECT_THAT(parsed.error, HasSubstr(row.sentence));
    EXPECT_THAT(parsed.out, IsEmpty());
  }
}

TEST(Options, HelpAndVersionAreNoFailures) {
  const Parsed help = Parse({"--help"});
  EXPECT_FALSE(help.options.run);
  EXPECT_EQ(help.options.exit_code, 0);
  EXPECT_THAT(help.out, AllOf(HasSubstr("Spillway: "), HasSubstr("--snapshot-dir")));
  const Parsed version = Parse({"--version"});
  EXPECT_FALSE(version.options.run);
  EXPECT_EQ(version.options.exit_code, 0);
  EXPECT_THAT(version.out, StartsWith("spillway-operator " SPILLWAY_VERSION));
}

}  // namespace
}  // namespace spillway
