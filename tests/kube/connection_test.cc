#include "kube/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/certificates.h"
#include "tests/support/temp_file.h"

namespace spillway::kube {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

TEST(EndpointTest, TakesAnAddressApart) {
  EXPECT_EQ(ParseEndpoint("https://10.0.0.1:6443").value(), (Endpoint{true, "10.0.0.1", 6443, ""}));
  EXPECT_EQ(ParseEndpoint("https://api.example.com").value(),
            (Endpoint{true, "api.example.com", 443, ""}));
  EXPECT_EQ(ParseEndpoint("http://localhost").value(), (Endpoint{false, "localhost", 80, ""}));
  EXPECT_EQ(ParseEndpoint("https://h:1/k8s/clusters/c-1/").value(),
            (Endpoint{true, "h", 1, "/k8s/clusters/c-1"}));
  EXPECT_EQ(ParseEndpoint("https://[fd00::1]:6443/a").value(),
            (Endpoint{true, "fd00::1", 6443, "/a"}));
  EXPECT_EQ(ParseEndpoint("https://[::1]").value(), (Endpoint{true, "::1", 443, ""}));
  EXPECT_TRUE(ParseEndpoint("https://10.0.0.1")->HostIsIpv4());
  EXPECT_TRUE(ParseEndpoint("https://[::1]")->HostIsIpv6());
  EXPECT_FALSE(ParseEndpoint("https://10.0.0.1")->HostIsIpv6());
  EXPECT_FALSE(ParseEndpoint("https://10.0.0.1.example.com")->HostIsIpv4());
}

TEST(EndpointTest, RefusesWithOneSentence) {
  const auto why = [](const std::string& server) {
    const auto endpoint = ParseEndpoint(server);
    return endpoint ? "accepted" : endpoint.error().message;
  };
  EXPECT_THAT(why("10.0.0.1:6443"), HasSubstr("must start with https://"));
  EXPECT_THAT(why(""), HasSubstr("must start with https://"));
  EXPECT_THAT(why("https://"), HasSubstr("names no host"));
  EXPECT_THAT(why("https://h:0"), HasSubstr("a port is a number from 1 to 65535"));
  EXPECT_THAT(why("https://h:65536"), HasSubstr("a port is a number from 1 to 65535"));
  EXPECT_THAT(why("https://h:"), HasSubstr("a port is a number from 1 to 65535"));
  EXPECT_THAT(why("https://h:12a"), HasSubstr("a port is a number from 1 to 65535"));
  EXPECT_THAT(why("https://fd00::1"), HasSubstr("an IPv6 address goes in brackets"));
  EXPECT_THAT(why("https://[::1"), HasSubstr("no IPv6 address in its brackets"));
  EXPECT_THAT(why("https://[h]"), HasSubstr("no IPv6 address in its brackets"));
  EXPECT_THAT(why("https://[10.0.0.1]"), HasSubstr("no IPv6 address in its brackets"));
  EXPECT_THAT(why("https://[::1]6443"), HasSubstr("a port is a number from 1 to 65535"));
  EXPECT_THAT(why("https://me:secret@h"), HasSubstr("scheme, host, port and path only"));
  EXPECT_THAT(why("https://h/a?b"), HasSubstr("scheme, host, port and path only"));
  EXPECT_THAT(why("https://h/a\nb"), HasSubstr("scheme, host, port and path only"));
}

class CredentialsTest : public ::testing::Test {
 protected:
  CredentialsTest()
      : file_(::testing::TempDir() + "connection_test_token-" + std::to_string(getpid())) {
    Write("first\n");
  }
  ~CredentialsTest() override { std::filesystem::remove(file_); }
  void Write(const std::string& token) const { std::ofstream(file_) << token; }
  [[nodiscard]] ClusterConfig Config() const {
    ClusterConfig config;
    config.server = "https://h";
    config.ca.data = "CA";
    config.token.file = file_;
    return config;
  }

  static std::shared_ptr<const Credentials> Take(CredentialCache& cache,
                                                 CredentialCache::Time now) {
    return *cache.Get(now, now, {});
  }

  std::string file_;
};

TEST_F(CredentialsTest, TrimsTheToken) {
  Write(" \tabc.def\r\n");
  EXPECT_EQ(ReadCredentials(Config())->token, "abc.def");
}

TEST_F(CredentialsTest, RefusesWhatCannotBeUsed) {
  const auto why = [](const ClusterConfig& config) {
    const auto credentials = ReadCredentials(config);
    return credentials ? "accepted" : credentials.error().message;
  };
  Write(" \n");
  EXPECT_EQ(why(Config()), "the token in " + file_ + " is empty");
  Write("a\nb");
  EXPECT_THAT(why(Config()), HasSubstr("it must be one word"));
  Write("good");
  ClusterConfig config = Config();
  config.client_key.data = "KEY";
  EXPECT_THAT(why(config), HasSubstr("must come together"));
  config = Config();
  config.ca = {};
  EXPECT_THAT(why(config), HasSubstr("has no certificate-authority"));
  config.server = "http://h";
  EXPECT_THAT(why(config), HasSubstr("credentials go over https only"));
  config.token.file = "/nowhere/token";
  EXPECT_EQ(why(config), "token: cannot read /nowhere/token");
}

TEST_F(CredentialsTest, AreReadAgainOnceAMinute) {
  const CredentialCache::Time start{};
  CredentialCache cache(Config(), *ReadCredentials(Config()), start);
  Write("second");
  EXPECT_EQ(Take(cache, start + 59s)->token, "first");
  EXPECT_EQ(Take(cache, start + 60s)->token, "second");
  Write("third");
  EXPECT_EQ(Take(cache, start + 119s)->token, "second");
  EXPECT_EQ(Take(cache, start + 120s)->token, "third");
}

TEST_F(CredentialsTest, AreReadAgainSoonAfterTheyWereRefused) {
  const CredentialCache::Time start{};
  CredentialCache cache(Config(), *ReadCredentials(Config()), start);
  Write("second");
  const auto refused = Take(cache, start);
  cache.Distrust(refused);
  EXPECT_EQ(Take(cache, start + 1s)->token, "second");
  Write("third");
  EXPECT_EQ(Take(cache, start + 5s)->token, "second");
  cache.Distrust(refused);  // long replaced
  EXPECT_EQ(Take(cache, start + 6s)->token, "second");
}

TEST_F(CredentialsTest, StayWhileTheFileCannotBeRead) {
  const CredentialCache::Time start{};
  CredentialCache cache(Config(), *ReadCredentials(Config()), start);
  std::filesystem::remove(file_);
  EXPECT_EQ(Take(cache, start + 60s)->token, "first");
  Write("");
  EXPECT_EQ(Take(cache, start + 120s)->token, "first");
  Write("second");
  EXPECT_EQ(Take(cache, start + 180s)->token, "second");
}

// Who writes several files, or one piece by piece, has written a part of it first.
TEST_F(CredentialsTest, OfWhatIsWrittenHalfTheRestStaysAsItWas) {
  const support::Authority authority("one");
  const support::Authority other("other");
  const auto old = authority.Issue("old", {});
  const auto fresh = authority.Issue("new", {});
  const support::TempFile certificate(old.certificate);
  const support::TempFile key(old.key);
  const support::TempFile ca(authority.Pem());
  ClusterConfig config = Config();
  config.ca.data.clear();
  config.ca.file = ca.path();
  config.client_certificate.file = certificate.path();
  config.client_key.file = key.path();
  const CredentialCache::Time start{};
  CredentialCache cache(config, *ReadCredentials(config), start);
  const std::string both = authority.Pem() + other.Pem();
  certificate.Write(fresh.certificate);
  ca.Write(both.substr(0, both.size() - 100));
  Write("second");
  const auto half = Take(cache, start + 60s);
  EXPECT_EQ(half->client_certificate, old.certificate);
  EXPECT_EQ(half->client_key, old.key);
  EXPECT_EQ(half->ca, authority.Pem());
  EXPECT_EQ(half->token, "second");
  key.Write("");
  EXPECT_EQ(Take(cache, start + 61s), half);
  key.Write(fresh.key);
  ca.Write(both);
  const auto whole = Take(cache, start + 62s);
  EXPECT_EQ(whole->client_certificate, fresh.certificate);
  EXPECT_EQ(whole->client_key, fresh.key);
  EXPECT_EQ(whole->ca, both);
}

// The kubelet swaps a symbolic link, it does not write in place.
TEST_F(CredentialsTest, FollowASwappedLink) {
  namespace fs = std::filesystem;
  const fs::path dir = ::testing::TempDir() + "connection_test_volume-" + std::to_string(getpid());
  fs::remove_all(dir);
  for (const char* version : {"..1", "..2"}) {
    fs::create_directories(dir / version);
    std::ofstream(dir / version / "token") << "token of " << version[2];
  }
  fs::create_directory_symlink("..1", dir / "..data");
  fs::create_symlink("..data/token", dir / "token");
  ClusterConfig config = Config();
  config.token.file = dir / "token";
  EXPECT_FALSE(ReadCredentials(config).ok());  // two words
  std::ofstream(dir / "..1" / "token") << "one";
  std::ofstream(dir / "..2" / "token") << "two";
  const CredentialCache::Time start{};
  CredentialCache cache(config, *ReadCredentials(config), start);
  fs::create_directory_symlink("..2", dir / "..data_tmp");
  fs::rename(dir / "..data_tmp", dir / "..data");
  EXPECT_EQ(Take(cache, start + 60s)->token, "two");
  fs::remove_all(dir);
}

TEST(IdentityTest, SaysWhoAsksAndOnWhoseBehalf) {
  const Credentials credentials{.ca = {}, .client_certificate = {}, .client_key = {}, .token = "t"};
  using Headers = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(IdentityHeaders(credentials, {}), (Headers{{"Authorization", "Bearer t"}}));
  EXPECT_EQ(IdentityHeaders({}, {.user = "ada",
                                 .uid = "7",
                                 .groups = {"research", "ops"},
                                 .extra = {{"example.com/Cost center", {"a", "b"}}}}),
            (Headers{{"Impersonate-User", "ada"},
                     {"Impersonate-Uid", "7"},
                     {"Impersonate-Group", "research"},
                     {"Impersonate-Group", "ops"},
                     {"Impersonate-Extra-example.com%2FCost%20center", "a"},
                     {"Impersonate-Extra-example.com%2FCost%20center", "b"}}));
}

}  // namespace
}  // namespace spillway::kube
