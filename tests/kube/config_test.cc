#include "kube/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace spillway::kube {
namespace {

using ::testing::HasSubstr;

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    dir_ = ::testing::TempDir() + "config_test_" + info->name();
    std::filesystem::create_directories(dir_);
  }
  ~ConfigTest() override { std::filesystem::remove_all(dir_); }

  std::string Write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(dir_ + "/" + name).parent_path());
    std::ofstream(dir_ + "/" + name) << text;
    return dir_ + "/" + name;
  }
  Result<ClusterConfig> Load(const std::string& kubeconfig = {}, const std::string& context = {}) {
    return Load(kubeconfig, Overrides{.context = context});
  }
  Result<ClusterConfig> Load(const std::string& kubeconfig, const Overrides& overrides) {
    return LoadConfig({.kubeconfig = kubeconfig,
                       .overrides = overrides,
                       .env = [this](const std::string& name) -> std::optional<std::string> {
                         const auto at = env_.find(name);
                         return at == env_.end() ? std::nullopt : std::optional(at->second);
                       },
                       .service_account_dir = dir_ + "/sa"});
  }
  std::string Refusal(const std::string& text, const std::string& context = {}) {
    const auto config = Load(Write("config", text), context);
    if (config) return "accepted";
    EXPECT_EQ(config.error().code, Code::kInvalid);
    return config.error().message;
  }

  std::string dir_;
  std::map<std::string, std::string> env_;
};

constexpr const char* kPlain = R"(
apiVersion: v1
kind: Config
current-context: home
clusters:
- name: home
  cluster: {server: "https://10.0.0.1:6443/", certificate-authority-data: aGVsbG8=, tls-server-name: kubernetes}
contexts:
- name: home
  context: {cluster: home, user: admin, namespace: research}
- name: bare
  context: {cluster: home}
users:
- name: admin
  user: {client-certificate: certs/admin.crt, client-key: /abs/admin.key}
)";

TEST_F(ConfigTest, ReadsTheCurrentContext) {
  const auto config = Load(Write("config", kPlain));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->server, "https://10.0.0.1:6443");
  EXPECT_EQ(config->tls_server_name, "kubernetes");
  EXPECT_EQ(config->ca.data, "hello");
  EXPECT_EQ(config->client_certificate.file, dir_ + "/certs/admin.crt");  // beside its file
  EXPECT_EQ(config->client_key.file, "/abs/admin.key");
  EXPECT_TRUE(config->token.empty());
  EXPECT_EQ(config->default_namespace, "research");
}

TEST_F(ConfigTest, TakesAnotherContextByName) {
  const auto config = Load(Write("config", kPlain), "bare");
  ASSERT_TRUE(config.ok());
  EXPECT_TRUE(config->client_certificate.empty());
  EXPECT_EQ(config->default_namespace, "default");
  EXPECT_THAT(Refusal(kPlain, "nowhere"), HasSubstr("has no entry \"nowhere\" in contexts"));
}

TEST_F(ConfigTest, FlagsCountInPlaceOfWhatTheContextSays) {
  const std::string file = Write("config", R"(
current-context: home
clusters:
- {name: home, cluster: {server: "https://home:6443", tls-server-name: kubernetes, certificate-authority: ca}}
- {name: away, cluster: {server: "https://away:6443"}}
contexts: [{name: home, context: {cluster: home, user: ada, namespace: research}}]
users: [{name: ada, user: {token: a}}, {name: bob, user: {token: b}}]
)");
  const auto away = Load(file, Overrides{.cluster = "away"});
  ASSERT_TRUE(away.ok()) << away.error().message;
  EXPECT_EQ(away->server, "https://away:6443");
  EXPECT_EQ(away->token.data, "a");
  EXPECT_EQ(away->default_namespace, "research");
  EXPECT_EQ(Load(file, Overrides{.user = "bob"})->token.data, "b");
  const auto there = Load(file, Overrides{.server = "https://127.0.0.1:7443/"});
  EXPECT_EQ(there->server, "https://127.0.0.1:7443");
  EXPECT_EQ(there->tls_server_name, "") << "it is the other server's";
  EXPECT_EQ(there->ca.file, dir_ + "/ca");
  EXPECT_THAT(Load(file, Overrides{.cluster = "gone"}).error().message,
              HasSubstr("has no entry \"gone\" in clusters"));
  EXPECT_THAT(Load(file, Overrides{.user = "gone"}).error().message,
              HasSubstr("has no entry \"gone\" in users"));
}

TEST_F(ConfigTest, AClusterThatIsNamedNeedsNoContext) {
  const std::string file = Write("config", R"(
clusters: [{name: home, cluster: {server: "https://home:6443"}}]
users: [{name: ada, user: {token: a}}]
)");
  EXPECT_THAT(Load(file).error().message, HasSubstr("has no current-context"));
  const auto config = Load(file, Overrides{.cluster = "home", .user = "ada"});
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->server, "https://home:6443");
  EXPECT_EQ(config->token.data, "a");
}

TEST_F(ConfigTest, WhoeverNamesAServerIsNotSentToThePodsOwn) {
  env_["KUBERNETES_SERVICE_HOST"] = "10.96.0.1";
  env_["KUBERNETES_SERVICE_PORT"] = "443";
  EXPECT_EQ(Load()->server, "https://10.96.0.1:443");
  EXPECT_THAT(Load("", Overrides{.server = "https://other"}).error().message,
              HasSubstr("found no way to a cluster"));
}

TEST_F(ConfigTest, DataWinsOverAFileAndATokenFileOverAToken) {
  const auto config = Load(Write("config", R"(
current-context: c
clusters: [{name: c, cluster: {server: "https://h", certificate-authority: ca.crt, certificate-authority-data: aGk=}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: copied, tokenFile: token}}]
)"));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->ca.data, "hi");
  EXPECT_EQ(config->ca.file, "");
  EXPECT_EQ(config->token.file, dir_ + "/token");
}

TEST_F(ConfigTest, MergesTheFilesOfTheEnvironmentFirstOneWins) {
  const std::string first = Write("a/one", R"(
clusters: [{name: c, cluster: {server: "https://first", certificate-authority: ca.crt}}]
contexts: [{name: ctx, context: {cluster: c, user: u}}]
)");
  const std::string second = Write("b/two", R"(
current-context: ctx
clusters: [{name: c, cluster: {server: "https://second", tls-server-name: x}}]
users: [{name: u, user: {tokenFile: token}}]
)");
  env_["KUBECONFIG"] = first + "::" + dir_ + "/missing:" + second + ":" + first;
  const auto config = Load();
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->server, "https://first");
  EXPECT_EQ(config->tls_server_name, "");  // entries are taken whole
  EXPECT_EQ(config->ca.file, dir_ + "/a/ca.crt");
  EXPECT_EQ(config->token.file, dir_ + "/b/token");
}

TEST_F(ConfigTest, LooksInOrderAtFlagEnvironmentClusterAndHome) {
  const auto file = [&](const std::string& name) {
    return Write(name, "current-context: c\nclusters: [{name: c, cluster: {server: 'https://" +
                           std::string(1, name.back()) +
                           "'}}]\ncontexts: [{name: c, context: {cluster: c}}]\n");
  };
  file(".kube/config");
  env_["HOME"] = dir_;
  EXPECT_EQ(Load()->server, "https://g");  // ~/.kube/config
  env_["KUBERNETES_SERVICE_HOST"] = "10.96.0.1";
  env_["KUBERNETES_SERVICE_PORT"] = "443";
  EXPECT_EQ(Load()->server, "https://10.96.0.1:443");
  env_["KUBECONFIG"] = file("fromenv");
  EXPECT_EQ(Load()->server, "https://v");
  EXPECT_EQ(Load(file("flag1"))->server, "https://1");
  EXPECT_EQ(Load(dir_ + "/not-there").error().message,
            "cannot read kubeconfig " + dir_ + "/not-there");
}

TEST_F(ConfigTest, ReadsTheServiceAccountInsideACluster) {
  env_["KUBERNETES_SERVICE_HOST"] = "fd00::1";
  env_["KUBERNETES_SERVICE_PORT"] = "443";
  Write("sa/namespace", "spillway-system\n");
  auto config = Load();
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->server, "https://[fd00::1]:443");
  EXPECT_EQ(config->ca.file, dir_ + "/sa/ca.crt");
  EXPECT_EQ(config->token.file, dir_ + "/sa/token");
  EXPECT_EQ(config->default_namespace, "spillway-system");
  env_["POD_NAMESPACE"] = "elsewhere";
  EXPECT_EQ(Load()->default_namespace, "elsewhere");
}

TEST_F(ConfigTest, SaysWhenThereIsNoWayToACluster) {
  EXPECT_THAT(Load().error().message, HasSubstr("give --kubeconfig FILE"));
  env_["KUBECONFIG"] = dir_ + "/x:" + dir_ + "/y";
  EXPECT_THAT(Load().error().message, HasSubstr("none of the kubeconfig files exists: "));
}

TEST_F(ConfigTest, RefusesWithOneSentence) {
  const std::string contexts = "\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n";
  const std::string cluster = "clusters: [{name: c, cluster: {server: 'https://h'}}]\n";
  const auto user = [&](const std::string& fields) {
    return "current-context: c" + contexts + cluster + "users: [{name: u, user: {" + fields + "}}]";
  };
  EXPECT_THAT(Refusal("a: [b"), HasSubstr("is no YAML"));
  EXPECT_THAT(Refusal("- a"), HasSubstr("is no kubeconfig"));
  EXPECT_THAT(Refusal("clusters: x"), HasSubstr("clusters is no list"));
  EXPECT_THAT(Refusal("clusters: [{cluster: {}}]"), HasSubstr("an entry of clusters has no name"));
  EXPECT_THAT(Refusal("users: [{name: u}, {name: u}]"), HasSubstr("users has \"u\" twice"));
  EXPECT_THAT(Refusal("a: b"), HasSubstr("has no current-context; name one with --context"));
  EXPECT_THAT(Refusal("current-context: c" + contexts),
              HasSubstr("has no entry \"c\" in clusters"));
  EXPECT_THAT(Refusal("current-context: c" + contexts + "clusters: [{name: c, cluster: {a: b}}]"),
              HasSubstr("the cluster has no server"));
  EXPECT_THAT(Refusal("current-context: c" + contexts +
                      "clusters: [{name: c, cluster: {server: 'https://h', "
                      "insecure-skip-tls-verify: true}}]"),
              HasSubstr("insecure-skip-tls-verify is not supported"));
  EXPECT_THAT(Refusal(user("username: a, password: b")), HasSubstr("the user's username"));
  EXPECT_THAT(Refusal(user("client-certificate: a")), HasSubstr("must come together"));
  EXPECT_THAT(Refusal(user("client-certificate-data: '!', client-key: b")),
              HasSubstr("client-certificate-data is no base64"));
}

// One context with one user of these fields.
std::string OfUser(const std::string& fields) {
  return "current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
         "clusters: [{name: c, cluster: {server: 'https://h'}}]\nusers: [{name: u, user: {" +
         fields + "}}]";
}

TEST_F(ConfigTest, WhatSaysNothingIsAsIfItWereNotThere) {
  for (const std::string fields :
       {"username: '', password: '', token: t", "username: null, auth-provider: null, token: t",
        "exec: null, token: t"}) {
    const auto config = Load(Write("config", OfUser(fields)));
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->token.data, "t");
  }
  for (const char* nobody : {"{name: u, user: null}", "{name: u}"}) {
    const std::string text = OfUser("");
    const auto config =
        Load(Write("config", text.substr(0, text.find("users:")) + "users: [" + nobody + "]"));
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_TRUE(config->token.empty());
  }
  EXPECT_THAT(Refusal(OfUser("auth-provider: {name: gcp}")), HasSubstr("the user's auth-provider"));
}

TEST_F(ConfigTest, TruthIsSpelledInManyWays) {
  const auto told = [&](const std::string& word) {
    const auto config = Load(Write(
        "config", OfUser("exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: x, "
                         "provideClusterInfo: " +
                         word + "}")));
    return config.ok() && config->exec->provide_cluster_info;
  };
  for (const char* yes : {"true", "True", "TRUE", "yes", "on"}) EXPECT_TRUE(told(yes)) << yes;
  for (const char* no : {"false", "no", "off", "null", "maybe"}) EXPECT_FALSE(told(no)) << no;
  EXPECT_THAT(Refusal("current-context: c\ncontexts: [{name: c, context: {cluster: c}}]\nclusters: "
                      "[{name: c, cluster: {server: 'https://h', insecure-skip-tls-verify: Yes}}]"),
              HasSubstr("insecure-skip-tls-verify is not supported"));
}

TEST_F(ConfigTest, ReadsWhatTheCloudsAndInstallersWrite) {
  const auto load = [&](const std::string& name) {
    auto config = Load(std::string(SPILLWAY_KUBECONFIGS "/") + name + ".yaml");
    EXPECT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->ca.data, "-----BEGIN") << name;
    return *config;
  };
  const ClusterConfig eks = load("eks");
  EXPECT_EQ(eks.exec, (ExecPlugin{.api_version = "client.authentication.k8s.io/v1beta1",
                                  .command = "aws",
                                  .arguments = {"--region", "eu-central-1", "eks", "get-token",
                                                "--cluster-name", "training", "--output", "json"},
                                  .environment = {{"AWS_PROFILE", "research"}}}));
  const ClusterConfig gke = load("gke");
  EXPECT_EQ(gke.exec,
            (ExecPlugin{.api_version = "client.authentication.k8s.io/v1beta1",
                        .command = "gke-gcloud-auth-plugin",
                        .install_hint = "Install gke-gcloud-auth-plugin for use with kubectl",
                        .provide_cluster_info = true}));
  const ClusterConfig aks = load("aks");
  EXPECT_EQ(aks.exec->command, "kubelogin");
  EXPECT_EQ(aks.exec->arguments.size(), 7U);
  EXPECT_TRUE(aks.exec->environment.empty());
  const ClusterConfig kind = load("kind");
  EXPECT_EQ(kind.server, "https://127.0.0.1:41777");
  EXPECT_EQ(kind.client_key.data, "-----BEGIN");
  const ClusterConfig kubeadm = load("kubeadm");
  EXPECT_EQ(kubeadm.client_key.file, "/var/lib/kubelet/pki/kubelet-client-current.pem");
}

TEST_F(ConfigTest, ReadsACredentialPluginInFull) {
  const auto config = Load(Write("some/config", R"(
current-context: c
clusters:
- name: c
  cluster:
    server: https://h
    extensions:
    - name: client.authentication.k8s.io/exec
      extension: {audience: "7", retries: 3, ratio: 0.5, strict: true, none: null, list: [a, 1.2.3]}
contexts: [{name: c, context: {cluster: c, user: u}}]
users:
- name: u
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1, command: bin/login, interactiveMode: Never, provideClusterInfo: true}
)"));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->exec,
            (ExecPlugin{.api_version = "client.authentication.k8s.io/v1",
                        .command = dir_ + "/some/bin/login",  // beside its file
                        .input = ExecPlugin::Input::kNever,
                        .provide_cluster_info = true,
                        .cluster_config =
                            R"({"audience":"7","list":["a","1.2.3"],"none":null,"ratio":0.5,)"
                            R"("retries":3,"strict":true})"}));
  EXPECT_EQ(Load(Write("config", OfUser("token: t, exec: {command: x}")))->exec, std::nullopt)
      << "a token comes before it";
}

TEST_F(ConfigTest, AnExtensionForAPluginHasAnEnd) {
  const auto with = [&](const std::string& before, const std::string& extension) {
    return before + R"(
current-context: c
clusters: [{name: c, cluster: {server: "https://h", extensions: [{name: client.authentication.k8s.io/exec, extension: )" +
           extension + R"(}]}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: x}}}]
)";
  };
  const std::string refusal =
      "the cluster's extension client.authentication.k8s.io/exec is nested deeper than 100 or has "
      "more than 10000 values";
  EXPECT_THAT(Refusal(with("", "&a [*a]")), HasSubstr(refusal)) << "a part of itself";
  std::string lists = "a0: &a0 [x]";
  for (int i = 1; i < 30; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    lists +=
        "\na" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last + ", " + last + "]";
  }
  EXPECT_THAT(Refusal(with(lists, "*a29")), HasSubstr(refusal)) << "half a billion values";
  EXPECT_EQ(Load(Write("config", with(lists, "*a1")))->exec->cluster_config, R"([["x"],["x"]])");
}

TEST_F(ConfigTest, RefusesACredentialPluginWithOneSentence) {
  const auto refusal = [&](const std::string& fields) {
    return Refusal(OfUser("exec: " + fields));
  };
  const std::string v1 = "apiVersion: client.authentication.k8s.io/v1, command: x";
  const std::string beta = "{apiVersion: client.authentication.k8s.io/v1beta1, command: x, ";
  EXPECT_THAT(refusal("[]"), HasSubstr("the user's exec is no object"));
  EXPECT_THAT(refusal("{apiVersion: client.authentication.k8s.io/v1alpha1, command: x}"),
              HasSubstr("supported are client.authentication.k8s.io/v1 and /v1beta1"));
  EXPECT_THAT(refusal("{apiVersion: client.authentication.k8s.io/v1}"),
              HasSubstr("has no command"));
  EXPECT_THAT(refusal("{" + v1 + "}"), HasSubstr("has no interactiveMode"));
  EXPECT_THAT(refusal("{" + v1 + ", interactiveMode: Sometimes}"),
              HasSubstr("interactiveMode is \"Sometimes\"; it is Never, IfAvailable or Always"));
  EXPECT_THAT(refusal(beta + "args: x}"), HasSubstr("args is no list"));
  EXPECT_THAT(refusal(beta + "args: [[x]]}"), HasSubstr("an entry of args is no text"));
  EXPECT_THAT(refusal(beta + "env: x}"), HasSubstr("env is no list"));
  EXPECT_THAT(refusal(beta + "env: [{name: a=b}]}"), HasSubstr("an entry of env has no name"));
  EXPECT_THAT(refusal(beta + "env: [{value: a}]}"), HasSubstr("an entry of env has no name"));
}

TEST_F(ConfigTest, APluginThatTheUsersKubercForbidsIsRefused) {
  env_["HOME"] = dir_;
  const std::string exec =
      OfUser("exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: x}");
  EXPECT_TRUE(Load(Write("config", exec)).ok());
  Write(".kube/kuberc",
        "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n"
        "credentialPluginPolicy: DenyAll\n");
  EXPECT_THAT(Refusal(exec), HasSubstr("the credential plugin x may not be run"));
  EXPECT_TRUE(Load(Write("config", OfUser("token: t"))).ok()) << "who runs none is not asked";
}

TEST_F(ConfigTest, ReadsOnWhoseBehalfRequestsAreMade) {
  const std::string path =
      Write("config", OfUser("token: t, as: ada, as-uid: '7', as-groups: [research, ops], "
                             "as-user-extra: {reason: [audit]}"));
  const auto config = Load(path);
  ASSERT_TRUE(config.ok()) << config.error().message;
  const Impersonation ada{
      .user = "ada", .uid = "7", .groups = {"research", "ops"}, .extra = {{"reason", {"audit"}}}};
  EXPECT_EQ(config->impersonate, ada);
  const auto asked = LoadConfig({.kubeconfig = path, .impersonate = {.user = "eve"}, .env = {}});
  EXPECT_EQ(asked->impersonate, Impersonation{.user = "eve"}) << "whole in place of the file's";
  const auto group = LoadConfig({.kubeconfig = path, .impersonate = {.groups = {"g"}}, .env = {}});
  EXPECT_THAT(group.error().message, HasSubstr("without a user (as)"));
  EXPECT_THAT(Refusal(OfUser("as-groups: [g]")), HasSubstr("without a user (as)"));
  EXPECT_THAT(Refusal(OfUser("as: a, as-groups: g")), HasSubstr("as-groups is no list"));
  EXPECT_THAT(Refusal(OfUser("as: a, as-user-extra: []")), HasSubstr("as-user-extra is no object"));
  EXPECT_THAT(Refusal(OfUser("as: \"a\\nb\"")), HasSubstr("control characters"));
}

TEST_F(ConfigTest, AProxyIsTheClustersOrTheEnvironments) {
  const auto file = [&](const std::string& fields) {
    return Write("config",
                 "current-context: c\ncontexts: [{name: c, context: {cluster: c}}]\n"
                 "clusters: [{name: c, cluster: {" +
                     fields + "}}]\n");
  };
  const std::string plain = file("server: 'https://h'");
  EXPECT_EQ(Load(plain)->proxy.url, "");
  env_["https_proxy"] = "proxy.example:3128";
  EXPECT_EQ(Load(plain)->proxy, (Proxy{.url = "http://proxy.example:3128",
                                       .except = ",localhost,127.0.0.0/8,::1",
                                       .required = false}));
  env_["HTTPS_PROXY"] = "socks5://large";
  env_["NO_PROXY"] = "10.0.0.0/8,.internal";
  EXPECT_EQ(Load(plain)->proxy, (Proxy{.url = "socks5://large",
                                       .except = "10.0.0.0/8,.internal,localhost,127.0.0.0/8,::1",
                                       .required = false}));
  EXPECT_EQ(Load(file("server: 'http://h'"))->proxy.url, "") << "no credentials, no TLS: direct";
  EXPECT_EQ(Load(file("server: 'https://h', proxy-url: 'http://own'"))->proxy,
            (Proxy{.url = "http://own", .except = "", .required = true}));
}

TEST_F(ConfigTest, TellsWhatIsWrongWithEveryFile) {
  env_["KUBECONFIG"] = Write("one", "- a") + ":" + Write("two", "a: [b");
  const std::string message = Load().error().message;
  EXPECT_THAT(message, HasSubstr("one: is no kubeconfig; "));
  EXPECT_THAT(message, HasSubstr("two: is no YAML"));
}

TEST_F(ConfigTest, UnknownFieldsAndEmptyListsAreFine) {
  const auto config = Load(Write("config", R"(
preferences: {colors: true}
current-context: c
clusters: [{name: c, cluster: {server: "https://h", extensions: [{name: x}]}}]
contexts: [{name: c, context: {cluster: c}}]
users:
)"));
  EXPECT_TRUE(config.ok()) << config.error().message;
}

TEST_F(ConfigTest, ReadsMaterialEachTime) {
  const Material material{.file = Write("token", "one"), .data = {}};
  EXPECT_EQ(material.Read().value(), "one");
  Write("token", "two");
  EXPECT_EQ(material.Read().value(), "two");
  std::filesystem::remove(material.file);
  EXPECT_EQ(material.Read().error().message, "cannot read " + material.file);
  EXPECT_EQ((Material{.file = {}, .data = "inline"}).Read().value(), "inline");
}

TEST_F(ConfigTest, DecodesBase64) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"YQ==", "a"}, {"YWI=", "ab"}, {"YWJj", "abc"}, {"Y W\\nJj", "abc"}, {"+/8=", "\xfb\xff"}};
  for (const auto& [text, bytes] : cases) {
    SCOPED_TRACE(text);
    const auto config =
        Load(Write("config",
                   "current-context: c\ncontexts: [{name: c, context: {cluster: c}}]\n"
                   "clusters: [{name: c, cluster: {server: 'https://h', "
                   "certificate-authority-data: \"" +
                       text + "\"}}]\n"));
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->ca.data, bytes);
  }
  for (const char* bad : {"YQ", "Y===", "YQ=a", "Y*Jj", "Y"}) {
    SCOPED_TRACE(bad);
    EXPECT_THAT(Refusal("current-context: c\ncontexts: [{name: c, context: {cluster: c}}]\n"
                        "clusters: [{name: c, cluster: {server: 'https://h', "
                        "certificate-authority-data: \"" +
                        std::string(bad) + "\"}}]\n"),
                HasSubstr("is no base64"));
  }
}

}  // namespace
}  // namespace spillway::kube
