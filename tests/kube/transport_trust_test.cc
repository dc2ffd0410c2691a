// Whom a transport believes, and what it proves: the contract of kube/transport.h, part two.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kube/transport.h"
#include "tests/kube/transport_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/system_authorities.h"
#include "tests/support/temp_file.h"

namespace spillway::kube {
namespace {

using namespace std::chrono_literals;
using support::Eventually;
using support::TlsServer;
using support::WireConnection;
using support::WireRequest;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class TransportTrust : public TransportTest {};

TEST_P(TransportTrust, TrustsTheClustersAuthorityAlone) {
  Serve([](const WireRequest&, WireConnection& wire) { wire.Answer(200, "yes"); });
  ClusterConfig config = Config();
  config.ca.data = other_.Pem();
  const Error error = SendAndFail(*Make(config), Post("/", "{}"));
  EXPECT_EQ(error.code, Code::kUnavailable);  // a write, but it was never sent
  EXPECT_THAT(error.message, AllOf(HasSubstr("certificate verify failed"),
                                   HasSubstr("signed by the cluster's certificate authority")));
}

TEST_P(TransportTrust, RefusesACertificateForAnotherName) {
  Serve([](const WireRequest&, WireConnection& wire) { wire.Answer(200, "yes"); },
        {"DNS:elsewhere.example", "IP:127.0.0.2"});
  const Error error = SendAndFail(*Make(Config()), Get("/"));
  EXPECT_EQ(error.code, Code::kUnavailable);
  EXPECT_THAT(error.message, HasSubstr("must name 127.0.0.1"));
}

TEST_P(TransportTrust, VerifiesAndAsksForTheTlsServerName) {
  std::string asked;
  Serve(
      [&](const WireRequest&, WireConnection& wire) {
        asked = wire.ServerNameAsked();
        wire.Answer(200, "yes");
      },
      {"DNS:kubernetes.default.svc"});
  ClusterConfig config = Config();
  config.tls_server_name = "kubernetes.default.svc";
  const auto response = Make(config)->Send(Get("/"), {});
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(asked, "kubernetes.default.svc");
}

TEST_P(TransportTrust, ShowsItsClientCertificate) {
  std::string name;
  Serve([&](const WireRequest&, WireConnection& wire) {
    name = wire.ClientCommonName();
    wire.Answer(200, "yes");
  });
  ClusterConfig config = Config();
  const auto pair = authority_.Issue("system:admin", {});
  config.client_certificate.data = pair.certificate;
  config.client_key.data = pair.key;
  ASSERT_TRUE(Make(config)->Send(Get("/"), {}).ok());
  EXPECT_EQ(name, "system:admin");
}

TEST_P(TransportTrust, ReadsATokenAgainAfterItWasRefused) {
  const support::TempFile file("old\n");
  Serve([&](const WireRequest& request, WireConnection& wire) {
    wire.Answer(request.headers.at("authorization") == "Bearer new" ? 200 : 401, "");
  });
  ClusterConfig config = Config();
  config.token.file = file.path();
  const auto transport = Make(config);
  EXPECT_EQ(transport->Send(Get("/"), {})->status, 401);
  file.Write("new\n");
  EXPECT_TRUE(Eventually([&] { return transport->Send(Get("/"), {})->status == 200; }));
  EXPECT_EQ(server_->Connections(), 1);
}

// A credential plugin that gives the token "given" after so many seconds.
struct SlowPlugin : support::TempFile {
  explicit SlowPlugin(const std::string& seconds)
      : TempFile("#!/bin/sh\nsleep " + seconds +
                 "\necho '{\"apiVersion\":\"client.authentication.k8s.io/v1\","
                 "\"kind\":\"ExecCredential\",\"status\":{\"token\":\"given\"}}'\n") {
    std::filesystem::permissions(path(), std::filesystem::perms::owner_all);
  }
};

TEST_P(TransportTrust, LoggingInTakesAsLongAsItTakes) {
  Serve([](const WireRequest& request, WireConnection& wire) {
    wire.Answer(request.headers.at("authorization") == "Bearer given" ? 200 : 401, "");
  });
  const SlowPlugin plugin("0.5");
  ClusterConfig config = Config();
  config.exec =
      ExecPlugin{.api_version = "client.authentication.k8s.io/v1", .command = plugin.path()};
  HttpRequest request = Get("/");
  request.deadline = std::chrono::milliseconds(300);
  EXPECT_THAT(SendAndFail(*Make(config), request).message, HasSubstr("has not answered yet"));
  const auto transport = Make(config);
  const Status in = transport->LogIn({});
  ASSERT_TRUE(in.ok()) << in.error().message;
  EXPECT_EQ(transport->Send(request, {})->status, 200);
  config.exec->command = "/no/such/program";
  EXPECT_THAT(Make(config)->LogIn({}).error().message, HasSubstr("cannot run /no/such/program"));
}

TEST_P(TransportTrust, TheTimeOfAPluginIsPartOfTheDeadline) {
  std::atomic<int> asked = 0;
  Serve([&](const WireRequest&, WireConnection& wire) {
    ++asked;
    wire.WaitForPeerToClose();
  });
  const SlowPlugin plugin("2");
  ClusterConfig config = Config();
  config.exec =
      ExecPlugin{.api_version = "client.authentication.k8s.io/v1", .command = plugin.path()};
  HttpRequest request = Get("/");
  request.deadline = 5s;
  const auto started = std::chrono::steady_clock::now();
  EXPECT_THAT(SendAndFail(*Make(config), request).message, HasSubstr("not done within 5000 ms"));
  EXPECT_LT(std::chrono::steady_clock::now() - started, 6500ms)
      << "7 s: the plugin's time, and a deadline after it";
  EXPECT_EQ(asked, 1);
}

// Nothing of one cluster is the process's: not its authority, nor its token, nor its certificate.
TEST_P(TransportTrust, TwoClustersLiveSideBySide) {
  struct Cluster {
    support::Authority* authority = nullptr;
    std::string user;
    std::mutex mutex{};
    std::vector<std::string> seen{};  // guarded
    std::unique_ptr<TlsServer> server{};
    std::unique_ptr<Transport> transport{};
  };
  Cluster clusters[] = {{&authority_, "ann"}, {&other_, "ben"}};
  std::vector<ClusterConfig> configs;
  for (Cluster& one : clusters) {
    one.server = std::make_unique<TlsServer>(
        TlsServer::Options{one.authority->Issue("apiserver", {"IP:127.0.0.1"}),
                           one.authority->Pem()},
        [&one](const WireRequest& request, WireConnection& wire) {
          const std::scoped_lock lock(one.mutex);
          one.seen.push_back(wire.ClientCommonName() + " " + request.headers.at("authorization"));
          wire.Answer(200, "yes");
        });
    ClusterConfig config;
    config.server = "https://127.0.0.1:" + std::to_string(one.server->Port());
    config.ca.data = one.authority->Pem();
    config.token.data = "token-of-" + one.user;
    const auto pair = one.authority->Issue(one.user, {});
    config.client_certificate.data = pair.certificate;
    config.client_key.data = pair.key;
    configs.push_back(config);
    one.transport = Make(config);
  }
  for (int round = 0; round < 3; ++round) {
    for (Cluster& one : clusters) EXPECT_TRUE(one.transport->Send(Get("/"), {}).ok());
  }
  for (Cluster& one : clusters) {
    const std::scoped_lock lock(one.mutex);
    EXPECT_EQ(one.seen, std::vector<std::string>(3, one.user + " Bearer token-of-" + one.user));
  }
  // Nor does either believe the other's server.
  std::swap(configs[0].ca, configs[1].ca);
  for (const ClusterConfig& config : configs) {
    EXPECT_EQ(SendAndFail(*Make(config), Get("/")).code, Code::kUnavailable);
  }
}

TEST_P(TransportTrust, SpeaksPlainHttpWithoutCredentialsOnly) {
  server_ = std::make_unique<TlsServer>(
      TlsServer::Options{},
      [](const WireRequest&, WireConnection& wire) { wire.Answer(200, "plain"); });
  ClusterConfig config;
  config.server = "http://127.0.0.1:" + std::to_string(server_->Port());
  EXPECT_EQ(Make(config)->Send(Get("/"), {})->body, "plain");
  config.token.data = "secret";
  const auto refused = GetParam().make(config);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("credentials go over https only"), Not(HasSubstr("secret"))));
}

TEST_P(TransportTrust, RefusesCertificatesItCannotRead) {
  Serve([](const WireRequest&, WireConnection&) {});
  ClusterConfig config = Config();
  config.client_certificate.data = "no PEM";
  config.client_key.data = "no PEM";
  const auto refused = GetParam().make(config);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kInvalid);
  EXPECT_THAT(refused.error().message, HasSubstr("cannot be used"));
}

TEST_P(TransportTrust, TheSystemsAuthoritiesCountForNothing) {
  const support::SystemAuthorities system(other_.Pem());
  server_ = std::make_unique<TlsServer>(
      TlsServer::Options{.pair = other_.Issue("apiserver", {"IP:127.0.0.1"}), .client_ca = {}},
      [](const WireRequest&, WireConnection& wire) { wire.Answer(200, "yes"); });
  EXPECT_THAT(SendAndFail(*Make(Config()), Get("/")).message,
              HasSubstr("certificate verify failed"));
}

TEST_P(TransportTrust, TakesUpANewClientCertificate) {
  const support::TempFile certificate("");
  const support::TempFile key("");
  const auto show = [&](const std::string& name) {
    const auto pair = authority_.Issue(name, {});
    certificate.Write(pair.certificate);
    key.Write(pair.key);
  };
  show("old");
  Serve([](const WireRequest&, WireConnection& wire) {
    wire.Answer(wire.ClientCommonName() == "new" ? 200 : 401, "");
  });
  ClusterConfig config = Config();
  config.client_certificate.file = certificate.path();
  config.client_key.file = key.path();
  const auto transport = Make(config);
  EXPECT_EQ(transport->Send(Get("/"), {})->status, 401);
  show("new");
  EXPECT_TRUE(Eventually([&] { return transport->Send(Get("/"), {})->status == 200; }));
}

// Who writes two files has written one of them first.
TEST_P(TransportTrust, KeepsAClientCertificateUntilTheOtherOneIsThereAsAWhole) {
  const auto old = authority_.Issue("old", {});
  const auto fresh = authority_.Issue("new", {});
  const support::TempFile certificate(old.certificate);
  const support::TempFile key(old.key);
  std::atomic<bool> refuses = false;
  Serve([&](const WireRequest&, WireConnection& wire) {
    wire.Answer(wire.ClientCommonName() == "old" && refuses ? 401 : 200, wire.ClientCommonName());
  });
  ClusterConfig config = Config();
  config.client_certificate.file = certificate.path();
  config.client_key.file = key.path();
  const auto transport = Make(config);
  const auto who = [&]() -> std::string {
    const auto answer = transport->Send(Get("/"), {});
    return answer ? answer->body : answer.error().message;
  };
  refuses = true;
  certificate.Write(fresh.certificate);
  const auto until = std::chrono::steady_clock::now() + 2500ms;
  while (std::chrono::steady_clock::now() < until) ASSERT_EQ(who(), "old");
  key.Write(fresh.key);
  EXPECT_TRUE(Eventually([&] { return who() == "new"; }));
}

// Whenever calls that began with the old one end: no connection that shows it stays open for
// nothing.
TEST_P(TransportTrust, GivesUpConnectionsWithACertificateThatIsReplaced) {
  const support::TempFile certificate("");
  const support::TempFile key("");
  const auto show = [&](const std::string& name) {
    const auto pair = authority_.Issue(name, {});
    certificate.Write(pair.certificate);
    key.Write(pair.key);
  };
  show("old");
  std::atomic<bool> holds_old = true;
  std::atomic<bool> holds_new = true;
  std::atomic<bool> new_came = false;
  Serve([&](const WireRequest& request, WireConnection& wire) {
    if (request.target == "/old") {
      EXPECT_TRUE(Eventually([&] { return !holds_old; }));
    }
    if (request.target == "/new") {
      new_came = true;
      EXPECT_TRUE(Eventually([&] { return !holds_new; }));
    }
    // Refused, so that files are read again at once.
    wire.Answer(request.target == "/" && wire.ClientCommonName() == "old" ? 401 : 200,
                wire.ClientCommonName());
  });
  ClusterConfig config = Config();
  config.client_certificate.file = certificate.path();
  config.client_key.file = key.path();
  const auto transport = Make(config);
  std::string first;
  std::jthread of_old([&] { first = transport->Send(Get("/old"), {})->body; });
  ASSERT_TRUE(Eventually([&] { return server_->OpenConnections() == 1; }));
  show("new");
  ASSERT_TRUE(Eventually([&] { return transport->Send(Get("/"), {})->status == 200; }));
  std::jthread of_new([&] { EXPECT_EQ(transport->Send(Get("/new"), {})->body, "new"); });
  ASSERT_TRUE(Eventually([&] { return new_came.load(); }));
  holds_old = false;
  of_old.join();
  EXPECT_EQ(first, "old");
  holds_new = false;
  of_new.join();
  EXPECT_EQ(transport->Send(Get("/"), {})->body, "new");
  EXPECT_TRUE(Eventually([&] { return server_->OpenConnections() == 1; }));
}

TEST_P(TransportTrust, TakesUpANewAuthority) {
  const support::TempFile ca(authority_.Pem());
  Serve([](const WireRequest&, WireConnection& wire) {
    wire.Answer(200, "", "Connection: close\r\n");
  });
  ClusterConfig config = Config();
  config.ca.data.clear();
  config.ca.file = ca.path();
  const auto transport = Make(config);
  ASSERT_TRUE(transport->Send(Get("/"), {}).ok());
  server_->Replace(other_.Issue("apiserver", {"IP:127.0.0.1"}));
  EXPECT_TRUE(Eventually([&] { return !transport->Send(Get("/"), {}).ok(); }));
  ca.Write(other_.Pem());
  EXPECT_TRUE(Eventually([&] { return transport->Send(Get("/"), {}).ok(); }));
}

INSTANTIATE_TEST_SUITE_P(All, TransportTrust, Implementations(), NameOf);

}  // namespace
}  // namespace spillway::kube
