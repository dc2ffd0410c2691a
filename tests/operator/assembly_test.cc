// The whole operator before an API server that is not there.

#include "operator/assembly.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/operator/http_get.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_file.h"

namespace spillway {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// A port that nobody listens on.
std::string FreeAddress() {
  boost::asio::io_context io;
  const boost::asio::ip::tcp::acceptor acceptor(io,
                                                {boost::asio::ip::make_address("127.0.0.1"), 0});
  return "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
}

Options With(const support::TempFile& kubeconfig) {
  Options options;
  options.kubeconfig = kubeconfig.path();
  options.ns = "spillway-system";
  options.identity = "one";
  options.listen = FreeAddress();
  return options;
}

class Assemblies : public testing::TestWithParam<kube::TransportKind> {};

TEST_P(Assemblies, WithoutAnApiServerItIsAliveNotReadyAndNoLeader) {
  Log log(LogLevel::kError, true);
  const std::string host = FreeAddress();
  const support::TempFile kubeconfig(support::KubeconfigFor("http://" + host));
  Options options = With(kubeconfig);
  options.transport = GetParam();
  auto assembly = Assembly::Make(options, log);
  ASSERT_TRUE(assembly.ok()) << assembly.error().message;
  (*assembly)->Start();
  EXPECT_THAT(Get(options.listen, "/healthz"), AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("ok")));
  EXPECT_THAT(
      Get(options.listen, "/readyz"),
      AllOf(StartsWith("HTTP/1.1 500"),
            HasSubstr("[+]ping ok\n[-]caches failed: not synced: nodes, pods, jobs, deployments, "
                      "services, "
                      "poddisruptionbudgets, priorityclasses, nodegroups, trainingpools, "
                      "inferencepools, poolquotas\nreadyz check failed\n")));
  EXPECT_THAT(
      Get(options.listen, "/livez?verbose"),
      HasSubstr(
          "[+]ping ok\n[+]loop ok\n[+]requests ok\n[+]leaderElection ok\nlivez check passed\n"));
  EXPECT_THAT(Get(options.listen, "/healthz/loop"), StartsWith("HTTP/1.1 200"));
  const std::string failed = R"(rest_client_requests_total{code="<error>",host=")" + host +
                             R"(",method="GET",verb="list"})";
  EXPECT_TRUE(support::Eventually(
      [&] { return Get(options.listen, "/metrics").find(failed) != std::string::npos; }));
  EXPECT_THAT(Get(options.listen, "/metrics"),
              AllOf(StartsWith("HTTP/1.1 200"),
                    HasSubstr("\nleader_election_master_status{name=\"spillway\"} 0\n"),
                    HasSubstr("\nspillway_passes_total 0\n")));
  (*assembly)->Stop();
}

INSTANTIATE_TEST_SUITE_P(All, Assemblies,
                         testing::Values(kube::TransportKind::kCpprest,
                                         kube::TransportKind::kCurl));

TEST(Assembly, OnlyCurlStartsWithAnIpv6Address) {
  Log log(LogLevel::kError, true);
  const support::TempFile kubeconfig(support::KubeconfigFor("http://[::1]:1"));
  Options options = With(kubeconfig);
  const auto refused = Assembly::Make(options, log);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("use --transport=curl"));
  options.transport = kube::TransportKind::kCurl;
  EXPECT_TRUE(Assembly::Make(options, log).ok());
}

TEST(Assembly, SaysThatOnlyCurlUsesTheProxyOfTheEnvironment) {
  const support::TempFile kubeconfig(support::KubeconfigFor("https://" + FreeAddress()));
  Options options = With(kubeconfig);
  const auto said = [&](kube::TransportKind transport) {
    options.transport = transport;
    Log log(LogLevel::kWarn, true);
    testing::internal::CaptureStderr();
    (void)Assembly::Make(options, log);
    log.Flush();
    return testing::internal::GetCapturedStderr();
  };
  // NOLINTBEGIN(concurrency-mt-unsafe): no other thread is there.
  unsetenv("HTTPS_PROXY");
  unsetenv("https_proxy");
  EXPECT_THAT(said(kube::TransportKind::kCpprest), Not(HasSubstr("HTTPS_PROXY")));
  setenv("HTTPS_PROXY", "http://me:secret@proxy:3128", 1);
  EXPECT_THAT(said(kube::TransportKind::kCpprest),
              AllOf(HasSubstr("HTTPS_PROXY is not used"), Not(HasSubstr("secret"))));
  EXPECT_THAT(said(kube::TransportKind::kCurl), Not(HasSubstr("HTTPS_PROXY")));
  unsetenv("HTTPS_PROXY");
  // NOLINTEND(concurrency-mt-unsafe)
}

TEST(Assembly, WhatItCannotStartWithIsOneSentence) {
  struct Row {
    std::function<void(Options&)> spoil;
    const char* sentence;
  };
  Log log(LogLevel::kError, true);
  const support::TempFile kubeconfig(support::KubeconfigFor("http://127.0.0.1:1"));
  for (const Row& row :
       std::vector<Row>{{[](Options& o) { o.kubeconfig = "/no/such"; }, "finding the API server: "},
                        {[](Options& o) { o.listen = "nowhere"; }, "--listen"},
                        {[](Options& o) { o.renew_deadline = o.lease_duration; }, "renew"},
                        {[](Options& o) {
                           o.lease_duration = seconds(12);
                           o.renew_deadline = seconds(11);
                           o.retry_period = seconds(9);
                         },
                         "--lease-duration-seconds, --renew-deadline-seconds, "
                         "--retry-period-seconds: lease duration 12 s, retry period 9 s: the "
                         "duration must be at least 14 s then"}}) {
    Options options = With(kubeconfig);
    row.spoil(options);
    const auto assembly = Assembly::Make(options, log);
    ASSERT_FALSE(assembly.ok()) << row.sentence;
    EXPECT_THAT(assembly.error().message, HasSubstr(row.sentence));
  }
}

}  // namespace
}  // namespace spillway
