#include "kube/kuberc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace spillway::kube {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kHead = "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n";

class KubercTest : public ::testing::Test {
 protected:
  KubercTest() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    dir_ = ::testing::TempDir() + "kuberc_test_" + info->name();
    for (const char* name : {"/.kube", "/bin", "/other"}) {
      std::filesystem::create_directories(dir_ + name);
    }
    for (const char* name : {"/bin/login", "/other/login", "/other/stranger"}) {
      std::ofstream(dir_ + name) << "#!/bin/sh\n";
      std::filesystem::permissions(dir_ + name, std::filesystem::perms::owner_all);
    }
    env_ = {{"HOME", dir_}, {"PATH", dir_ + "/nowhere:" + dir_ + "/bin:" + dir_ + "/other"}};
  }
  ~KubercTest() override { std::filesystem::remove_all(dir_); }

  void Write(const std::string& text) { std::ofstream(dir_ + "/.kube/kuberc") << text; }
  // Empty: it may be run.
  std::string Refusal(const std::string& command) {
    const ExecPlugin plugin{.api_version = "client.authentication.k8s.io/v1", .command = command};
    const Status may = MayRun(plugin, [this](const std::string& name) {
      const auto at = env_.find(name);
      return at == env_.end() ? std::nullopt : std::optional(at->second);
    });
    if (may) return {};
    EXPECT_EQ(may.error().code, Code::kInvalid);
    return may.error().message;
  }
  // With these fields of the Preference.
  std::string Refusal(const std::string& fields, const std::string& command) {
    Write(std::string(kHead) + fields);
    return Refusal(command);
  }

  std::string dir_;
  std::map<std::string, std::string> env_;
};

TEST_F(KubercTest, WithoutAPolicyEveryPluginMayRun) {
  EXPECT_EQ(Refusal("login"), "");
  EXPECT_EQ(Refusal("", "login"), "");
  EXPECT_EQ(Refusal("credentialPluginPolicy: ''", "login"), "");
  EXPECT_EQ(Refusal("credentialPluginPolicy: AllowAll", "login"), "");
}

TEST_F(KubercTest, DenyAllRefusesEveryPlugin) {
  EXPECT_EQ(Refusal("credentialPluginPolicy: DenyAll", "login"),
            dir_ +
                "/.kube/kuberc: the credential plugin login may not be run, as "
                "credentialPluginPolicy is DenyAll");
}

TEST_F(KubercTest, AnAllowlistNamesPluginsByNameOrPath) {
  const std::string in_bin = dir_ + "/bin/login";
  const std::string in_other = dir_ + "/other/login";
  const struct {
    std::string allowed;
    std::string command;
    bool may;
  } cases[] = {
      {"command: login", "login", true},
      {"name: login", "login", true},  // as it was called first
      {"command: login", in_bin, true},
      {"command: " + in_bin, "login", true},
      {"command: " + in_bin, in_bin, true},
      {"command: login", in_other, false},  // PATH has another one before it
      {"command: " + in_other, "login", false},
      {"command: login", "stranger", false},
      {"command: log*", "login", false},
      {"command: gone", "gone-too", false},  // neither is there
  };
  for (const auto& one : cases) {
    const std::string refusal = Refusal(
        "credentialPluginPolicy: Allowlist\n"
        "credentialPluginAllowlist: [{command: some}, {" +
            one.allowed + "}]",
        one.command);
    EXPECT_EQ(refusal.empty(), one.may) << one.allowed << " for " << one.command << ": " << refusal;
    if (!one.may) {
      EXPECT_THAT(refusal, HasSubstr("may not be run, as no entry of credentialPluginAllowlist"));
    }
  }
}

TEST_F(KubercTest, WhatIsWrongWithItRefusesThePlugin) {
  const struct {
    const char* fields;
    const char* sentence;
  } cases[] = {
      {"credentialPluginPolicy: allowAll", "is \"allowAll\"; it is AllowAll, DenyAll or Allowlist"},
      {"credentialPluginPolicy: Allowlist", "with at least one entry; DenyAll allows none"},
      {"credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: []", "at least one entry"},
      {"credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{}]", "has no command"},
      {"credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [login]", "has no command"},
      {"credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{name: a, command: a}]",
       "or a name beside it"},
      {"credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{command: /bin/../login}]",
       "has \"/bin/../login\", which is no plain path"},
      {"credentialPluginAllowlist: [{command: login}]", "its credentialPluginPolicy is not Allow"},
      {"credentialPluginPolicy: [", "is no YAML"},
  };
  for (const auto& one : cases) {
    EXPECT_THAT(Refusal(one.fields, "login"), HasSubstr(one.sentence)) << one.fields;
  }
}

TEST_F(KubercTest, IsTheFileOfTheEnvironmentElseThatOfTheHome) {
  Write(std::string(kHead) + "credentialPluginPolicy: DenyAll");
  EXPECT_NE(Refusal("login"), "");
  env_["KUBERC"] = "off";
  EXPECT_EQ(Refusal("login"), "");
  env_["KUBERC"] = dir_ + "/absent";
  EXPECT_EQ(Refusal("login"), "cannot read kuberc " + dir_ + "/absent");
  std::ofstream(dir_ + "/mine") << kHead << "credentialPluginPolicy: AllowAll";
  env_["KUBERC"] = dir_ + "/mine";
  EXPECT_EQ(Refusal("login"), "");
  env_.erase("KUBERC");
  env_["KUBECTL_KUBERC"] = "false";
  EXPECT_EQ(Refusal("login"), "");
  env_.erase("KUBECTL_KUBERC");
  env_.erase("HOME");
  EXPECT_EQ(Refusal("login"), "");
}

TEST_F(KubercTest, IsTheDocumentOfTheVersionThatHasAPolicy) {
  Write("apiVersion: kubectl.config.k8s.io/v1alpha1\nkind: Preference\n---\n" + std::string(kHead) +
        "credentialPluginPolicy: DenyAll\n");
  EXPECT_NE(Refusal("login"), "");
  for (const char* text : {"apiVersion: kubectl.config.k8s.io/v1alpha1\nkind: Preference\n", "",
                           "# nothing yet\n", "---\n---\n"}) {
    Write(text);
    EXPECT_EQ(Refusal("login"), "") << text;
  }
}

TEST_F(KubercTest, WhatIsNotUnderstoodRefusesThePlugin) {
  for (const char* text : {"apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preferences\n",
                           "apiVersion: kubectl.config.k8s.io/v2\nkind: Preference\n",
                           "apiVersion: kubectl.config.k8s.io/v1alpha1\nkind: Preference\n"
                           "credentialPluginPolicy: DenyAll\n",
                           "- a list"}) {
    Write(text);
    EXPECT_THAT(Refusal("login"), HasSubstr("is no Preference of kubectl.config.k8s.io/v1beta1"))
        << text;
  }
}

}  // namespace
}  // namespace spillway::kube
