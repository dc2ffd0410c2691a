// The whole operator before an API server that is not there.

#include "operator/assembly.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/operator/http_get.h"
#include "tests/support/eventually.h"

namespace spillway {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

// A port that nobody listens on.
std::string FreeAddress() {
  boost::asio::io_context io;
  const boost::asio::ip::tcp::acceptor acceptor(io,
                                                {boost::asio::ip::make_address("127.0.0.1"), 0});
  return "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
}

Options ForServer(const std::string& server) {
  Options options;
  options.kubeconfig = testing::TempDir() + "assembly_test-" + std::to_string(getpid());
  std::ofstream(options.kubeconfig)
      << "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
      << "clusters: [{name: c, cluster: {server: " << server << "}}]\n"
      << "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
      << "users: [{name: u, user: {}}]\n";
  options.ns = "spillway-system";
  options.identity = "one";
  options.listen = FreeAddress();
  return options;
}

TEST(Assembly, WithoutAnApiServerItIsAliveNotReadyAndNoLeader) {
  Log log(LogLevel::kError, true);
  const Options options = ForServer("http://" + FreeAddress());
  auto assembly = Assembly::Make(options, log);
  ASSERT_TRUE(assembly.ok()) << assembly.error().message;
  (*assembly)->Start();
  EXPECT_THAT(Get(options.listen, "/healthz"), AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("ok")));
  EXPECT_THAT(
      Get(options.listen, "/readyz"),
      AllOf(StartsWith("HTTP/1.1 500"),
            HasSubstr("[-]caches failed: not synced: nodes, pods, jobs, deployments, services, "
                      "poddisruptionbudgets, priorityclasses, nodegroups, trainingpools, "
                      "inferencepools, poolquotas\n")));
  const std::string failed = R"(rest_client_requests_total{code="<error>",verb="list"})";
  EXPECT_TRUE(support::Eventually(
      [&] { return Get(options.listen, "/metrics").find(failed) != std::string::npos; }));
  EXPECT_THAT(Get(options.listen, "/metrics"),
              AllOf(StartsWith("HTTP/1.1 200"),
                    HasSubstr("\nleader_election_master_status{name=\"spillway\"} 0\n"),
                    HasSubstr("\nspillway_passes_total 0\n")));
  (*assembly)->Stop();
}

TEST(Assembly, WhatItCannotStartWithIsOneSentence) {
  struct Row {
    std::function<void(Options&)> spoil;
    const char* sentence;
  };
  Log log(LogLevel::kError, true);
  for (const Row& row :
       std::vector<Row>{{[](Options& o) { o.kubeconfig = "/no/such"; }, "finding the API server: "},
                        {[](Options& o) { o.listen = "nowhere"; }, "--listen"},
                        {[](Options& o) { o.renew_deadline = o.lease_duration; }, "renew"}}) {
    Options options = ForServer("http://127.0.0.1:1");
    row.spoil(options);
    const auto assembly = Assembly::Make(options, log);
    ASSERT_FALSE(assembly.ok()) << row.sentence;
    EXPECT_THAT(assembly.error().message, HasSubstr(row.sentence));
  }
}

}  // namespace
}  // namespace spillway
