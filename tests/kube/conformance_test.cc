// What the product and its tests rely on of an API server. Every build asks it of the one in the
// process; with SPILLWAY_CONFORMANCE_KUBECONFIG, which names a kubeconfig, and
// SPILLWAY_CONFORMANCE_NAMESPACE, an empty namespace there, and SPILLWAY_CONFORMANCE_ETCD, the
// address of its etcd, it is asked of a real one, as e2e/conformance_test.py does. The kind Fleet
// of example.com/v1, of any form and with its status and scale apart, has to be known there.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>
#include <sstream>
#include <thread>

#include "base/guarded.h"
#include "kube/client.h"
#include "kube/config.h"
#include "kube/transports.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_api_server.h"
#include "tests/support/fake_clock.h"

namespace spillway::support {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::StartsWith;

constexpr const char* kJson = "application/json";
constexpr const char* kApply = "application/apply-patch+yaml";
constexpr const char* kMerge = "application/merge-patch+json";
constexpr const char* kOperations = "application/json-patch+json";

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The server that is asked, and what differs between the two without a request saying so.
class Subject {
 public:
  Subject() = default;
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;
  virtual ~Subject() = default;
  virtual kube::Transport& transport() = 0;
  virtual std::string ns() { return "conformance"; }
  virtual void LetBookmarksCome() {}            // the real one sends them on its own
  virtual void LetTimePass(int /*seconds*/) {}  // the real one's passes on its own
  virtual void ForgetTheBeginning() {}          // the real one knows nothing of version 1
  virtual void RefuseNewFleetsLabelled() {}     // with "refused"; the real one has a policy for it
  // Forgets what was before `version`; a token whose list began then: this one, in the process.
  virtual std::string Outdate(const std::string& token, const std::string& version) = 0;
};

class InProcess final : public Subject {
 public:
  kube::Transport& transport() override { return server_; }
  void LetBookmarksCome() override {
    (void)server_.WaitUntil([&] { return server_.open_watches() > 0; });
    server_.SendBookmarks();
  }
  void LetTimePass(int seconds) override {
    (void)server_.WaitUntil([&] { return server_.open_watches() > 0; });
    clock_.Advance(std::chrono::seconds(seconds));
    server_.Tick();
  }
  void ForgetTheBeginning() override { server_.Compact(); }
  void RefuseNewFleetsLabelled() override {
    server_.SetAdmission(
        [](const ServedKind& kind, json& object) -> std::optional<kube::HttpResponse> {
          const json labels = object["metadata"].value("labels", json::object());
          if (kind.plural != "fleets" || !labels.contains("refused")) return std::nullopt;
          const std::string name = object["metadata"]["name"];
          const json status = {{"kind", "Status"},
                               {"apiVersion", "v1"},
                               {"status", "Failure"},
                               {"reason", "Invalid"},
                               {"code", 422},
                               {"message", "fleets.example.com \"" + name +
                                               "\" is forbidden: a policy denied the request"},
                               {"details",
                                {{"kind", "fleets"},
                                 {"group", "example.com"},
                                 {"name", name},
                                 {"causes", {{{"message", "a policy denied the request"}}}}}}};
          return kube::HttpResponse{422, {}, status.dump()};
        });
  }
  std::string Outdate(const std::string& token, const std::string& /*version*/) override {
    server_.Compact();
    return token;
  }

 private:
  FakeClock clock_;
  FakeApiServer server_{clock_};
};

class KubeApiserver final : public Subject {
 public:
  explicit KubeApiserver(const std::string& kubeconfig) {
    kube::ConfigOptions options;
    options.kubeconfig = kubeconfig;
    options.env = [](const std::string&) { return std::nullopt; };
    transport_ =
        kube::MakeTransport(kube::TransportKind::kCurl, kube::LoadConfig(options).value()).value();
  }
  kube::Transport& transport() override { return *transport_; }
  std::string ns() override { return Environment("SPILLWAY_CONFORMANCE_NAMESPACE"); }
  // Its own tokens may be good for as long as its cache has their moment.
  std::string Outdate(const std::string& /*token*/, const std::string& version) override {
    kube::ClusterConfig etcd;
    etcd.server = Environment("SPILLWAY_CONFORMANCE_ETCD");
    kube::HttpRequest compaction;
    compaction.method = "POST";
    compaction.target = "/v3/kv/compaction";
    compaction.headers = {{"Content-Type", kJson}};
    compaction.body = json{{"revision", version}}.dump();
    const auto done =
        kube::MakeTransport(kube::TransportKind::kCurl, etcd).value()->Send(compaction, {});
    EXPECT_TRUE(done.ok() && done->status == 200) << (done ? done->body : done.error().message);
    // {"v":"meta.k8s.io/v1","rv":1,"start":"a\u0000"}
    return "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0";
  }

 private:
  std::unique_ptr<kube::Transport> transport_;
};

std::unique_ptr<Subject> NewSubject() {
  const std::string kubeconfig = Environment("SPILLWAY_CONFORMANCE_KUBECONFIG");
  if (kubeconfig.empty()) return std::make_unique<InProcess>();
  return std::make_unique<KubeApiserver>(kubeconfig);
}

struct Answer {
  int status = 0;
  json body;

  [[nodiscard]] json At(const std::string& pointer) const {
    return body.is_object() ? body.value(json::json_pointer(pointer), json()) : json();
  }
  [[nodiscard]] std::string Text(const std::string& pointer) const {
    const json value = At(pointer);
    return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
  }
  [[nodiscard]] std::string Version() const { return Text("/metadata/resourceVersion"); }
  [[nodiscard]] std::string Uid() const { return Text("/metadata/uid"); }
};

// "a" of every item or event: names, versions, types.
std::vector<std::string> Names(const Answer& list) {
  std::vector<std::string> out;
  for (const json& item : list.At("/items")) out.push_back(item["metadata"]["name"]);
  return out;
}

class Conformance : public testing::Test {
 protected:
  Conformance() {
    prefix_ = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::transform(prefix_.begin(), prefix_.end(), prefix_.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    prefix_ = prefix_.substr(0, 40);
  }

  [[nodiscard]] std::string Maps() const {
    return "/api/v1/namespaces/" + subject_->ns() + "/configmaps";
  }
  [[nodiscard]] std::string Fleets() const {
    return "/apis/example.com/v1/namespaces/" + subject_->ns() + "/fleets";
  }
  // A name of this test's own.
  [[nodiscard]] std::string Own(const std::string& name) const { return prefix_ + "-" + name; }
  [[nodiscard]] std::string Mine(const std::string& more = "") const {
    return "?labelSelector=set%3D" + prefix_ + more;
  }
  [[nodiscard]] json Object(const char* version, const char* kind, const std::string& name) const {
    return {{"apiVersion", version},
            {"kind", kind},
            {"metadata", {{"name", Own(name)}, {"labels", {{"set", prefix_}}}}}};
  }
  [[nodiscard]] json Map(const std::string& name, const json& data = {{"a", "1"}}) const {
    json map = Object("v1", "ConfigMap", name);
    map["data"] = data;
    return map;
  }
  [[nodiscard]] json Fleet(const std::string& name, int replicas = 1) const {
    json fleet = Object("example.com/v1", "Fleet", name);
    fleet["spec"]["replicas"] = replicas;
    return fleet;
  }

  Answer Send(const std::string& method, const std::string& target, const json& body = nullptr,
              const std::string& type = kJson, const std::string& accept = kJson) {
    kube::HttpRequest request;
    request.method = method;
    request.target = target;
    request.headers = {{"Accept", accept}, {"User-Agent", "conformance/1"}};
    if (!body.is_null()) {
      request.headers.emplace_back("Content-Type", type);
      request.body = body.dump();
    }
    const auto answer = subject_->transport().Send(request, {});
    if (!answer) {
      ADD_FAILURE() << answer.error().message;
      return {};
    }
    headers_ = answer->headers;
    return {answer->status, json::parse(answer->body, nullptr, false)};
  }
  Answer Get(const std::string& target) { return Send("GET", target); }
  Answer Make(const json& object) {
    Answer made = Send("POST", object["kind"] == "Fleet" ? Fleets() : Maps(), object);
    EXPECT_EQ(made.status, 201) << made.body;
    return made;
  }
  Answer Merge(const std::string& target, const json& patch) {
    return Send("PATCH", target, patch, kMerge);
  }
  Answer Apply(const std::string& target, const json& object, const std::string& query) {
    return Send("PATCH", target + "?fieldManager=" + query, object, kApply);
  }

  // "409 Conflict configmaps/a metadata.uid:FieldValueInvalid": all that a refusal says in fields.
  [[nodiscard]] std::string Refusal(const Answer& answer) const {
    std::string name = answer.Text("/details/name");
    if (name.starts_with(prefix_)) name = name.substr(prefix_.size() + 1);
    std::string out = fmt::format("{} {} {}/{}", answer.status, answer.Text("/reason"),
                                  answer.Text("/details/kind"), name);
    std::set<std::string> causes;
    for (const json& cause : answer.At("/details/causes")) {
      causes.insert(cause.value("field", "") + ":" + cause.value("reason", ""));
    }
    for (const std::string& cause : causes) out += " " + cause;
    if (answer.status >= 300) {
      EXPECT_EQ(answer.Text("/kind"), "Status");
      EXPECT_EQ(answer.Text("/status"), "Failure");
      EXPECT_EQ(answer.At("/code"), answer.status);
      EXPECT_NE(answer.Text("/message"), "");
    }
    return out;
  }

  // Reads a watch until it has told `count` events, or the server ends it; "ADDED a" of each.
  std::vector<std::string> Watch(const std::string& target, size_t count = SIZE_MAX,
                                 const std::string& accept = kJson) {
    events_.clear();
    kube::HttpRequest request;
    request.target = target;
    request.headers = {{"Accept", accept}, {"Accept-Encoding", "identity"}};
    std::string text;
    const auto ended = subject_->transport().Stream(
        request,
        [&](std::string_view bytes) {
          text += bytes;
          return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) < count;
        },
        {});
    watch_status_ = ended ? ended->status : 0;
    if (!ended) ADD_FAILURE() << ended.error().message;
    if (watch_status_ != 200) refused_ = {watch_status_, json::parse(ended->body, nullptr, false)};
    std::istringstream lines(text);
    std::vector<std::string> out;
    for (std::string line; std::getline(lines, line) && out.size() < count;) {
      events_.push_back(json::parse(line));
      const json& object = events_.back()["object"];
      std::string name = object["metadata"].value("name", "");
      if (name.starts_with(prefix_)) name = name.substr(prefix_.size() + 1);
      out.push_back(events_.back()["type"].get<std::string>() + " " + name);
    }
    return out;
  }

  std::unique_ptr<Subject> subject_ = NewSubject();
  std::string prefix_;
  std::map<std::string, std::string> headers_;
  std::vector<json> events_;
  int watch_status_ = 0;
  Answer refused_;
};

int64_t Number(const std::string& version) { return std::stoll(version); }

// --- storage ---

TEST_F(Conformance, VersionsGrowWithEveryWriteOfAnyKind) {
  const int64_t first = Number(Make(Map("a")).Version());
  const int64_t second = Number(Make(Fleet("b")).Version());
  const int64_t third = Number(Merge(Maps() + "/" + Own("a"), {{"data", {{"a", "2"}}}}).Version());
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_EQ(Number(Get(Maps() + "/" + Own("a")).Version()), third);
  EXPECT_GE(Number(Get(Maps() + Mine()).Version()), third);
}

TEST_F(Conformance, CreationGivesIdentity) {
  json body = Fleet("a");
  body["metadata"]["uid"] = "my-own";
  body["metadata"]["generation"] = 7;
  body["status"]["replicas"] = 3;
  const Answer made = Make(body);
  EXPECT_NE(made.Uid(), "my-own");
  EXPECT_EQ(made.Text("/metadata/generation"), "1");
  EXPECT_EQ(made.Text("/status"), "");
  EXPECT_EQ(made.Text("/metadata/creationTimestamp").size(), 20U);
  EXPECT_EQ(made.Text("/metadata/namespace"), subject_->ns());
  EXPECT_EQ(Get(Fleets() + "/" + Own("a")).Uid(), made.Uid());
}

TEST_F(Conformance, NamesAreGenerated) {
  json body = Map("");
  body["metadata"].erase("name");
  body["metadata"]["generateName"] = Own("");
  const std::string one = Make(body).Text("/metadata/name");
  const std::string other = Make(body).Text("/metadata/name");
  EXPECT_NE(one, other);
  EXPECT_THAT(one, StartsWith(Own("")));
  EXPECT_EQ(one.size(), Own("").size() + 5);
}

TEST_F(Conformance, RefusalsSayWhatOfAndWhy) {
  Make(Fleet("first"));  // so that nothing else is of version 1
  const std::string map = Maps() + "/" + Own("a");
  const std::string fleet = Fleets() + "/" + Own("a");
  Make(Map("a"));
  const Answer old = Make(Fleet("a"));
  ASSERT_EQ(Merge(fleet, {{"spec", {{"replicas", 2}}}}).status, 200);
  const auto with = [](json object, const char* field, const json& value) {
    object["metadata"][field] = value;
    return object;
  };
  json nameless = Map("x");
  nameless["metadata"].erase("name");
  json secret = Map("x");
  secret["kind"] = "Secret";
  json rack = Fleet("x");
  rack["kind"] = "Rack";
  const std::string uid = "metadata.uid:FieldValueInvalid";
  const std::string need = "metadata.resourceVersion:FieldValueInvalid";
  const struct {
    const char* what;
    const char* method;
    std::string target;
    json body;
    const char* type;
    std::string refusal;
  } table[] = {
      {"get", "GET", Maps() + "/" + Own("none"), nullptr, kJson, "404 NotFound configmaps/none"},
      {"get, a group", "GET", Fleets() + "/" + Own("none"), nullptr, kJson,
       "404 NotFound fleets/none"},
      {"a scale of nothing", "GET", Fleets() + "/" + Own("none") + "/scale", nullptr, kJson,
       "404 NotFound fleets/none"},
      {"no scale", "GET", map + "/scale", nullptr, kJson, "404 NotFound /"},
      {"no status", "GET", map + "/status", nullptr, kJson, "404 NotFound /"},
      {"again", "POST", Maps(), Map("a"), kJson, "409 AlreadyExists configmaps/a"},
      {"again, a group", "POST", Fleets(), Fleet("a"), kJson, "409 AlreadyExists fleets/a"},
      {"a version", "POST", Maps(), with(Map("x"), "resourceVersion", "5"), kJson, "500  /"},
      {"elsewhere", "POST", Maps(), with(Map("x"), "namespace", "other"), kJson,
       "400 BadRequest /"},
      {"no name", "POST", Maps(), nameless, kJson,
       "422 Invalid ConfigMap/ metadata.name:FieldValueRequired"},
      {"another kind", "POST", Maps(), secret, kJson, "400 BadRequest /"},
      {"no object", "POST", Maps(), "x", kJson, "400 BadRequest /"},
      {"a dry run of a kind", "POST", Maps() + "?dryRun=Some", Map("x"), kJson,
       "422 Invalid CreateOptions/ dryRun:FieldValueNotSupported"},
      {"put to nothing", "PUT", Maps() + "/" + Own("none"), Map("none"), kJson,
       "404 NotFound configmaps/none"},
      {"put, another name", "PUT", map, Map("b"), kJson, "400 BadRequest /"},
      {"put, another state", "PUT", map, with(Map("a"), "resourceVersion", "1"), kJson,
       "409 Conflict configmaps/a"},
      {"put, an old state", "PUT", fleet, with(Fleet("a"), "resourceVersion", old.Version()), kJson,
       "409 Conflict fleets/a"},
      {"put, no state", "PUT", fleet, Fleet("a"), kJson, "422 Invalid fleets/a " + need},
      {"put, no state of a status", "PUT", fleet + "/status", Fleet("a"), kJson,
       "422 Invalid fleets/a " + need},
      {"put to all", "PUT", Maps(), Map("a"), kJson, "405 MethodNotAllowed /"},
      {"merge to nothing", "PATCH", Maps() + "/" + Own("none"), json::object(), kMerge,
       "404 NotFound configmaps/none"},
      {"merge, no object", "PATCH", map, json::array(), kMerge, "400 BadRequest /"},
      {"merge, another uid",
       "PATCH",
       map,
       {{"metadata", {{"uid", "x"}}}},
       kMerge,
       "422 Invalid ConfigMap/a " + uid},
      {"merge, another uid, a group",
       "PATCH",
       fleet,
       {{"metadata", {{"uid", "x"}}}},
       kMerge,
       "422 Invalid Fleet/a " + uid},
      {"merge, another state",
       "PATCH",
       map,
       {{"metadata", {{"resourceVersion", "1"}, {"uid", "x"}}}},
       kMerge,
       "409 Conflict configmaps/a"},
      {"merge, another name",
       "PATCH",
       map,
       {{"metadata", {{"name", "x"}}}},
       kMerge,
       "400 BadRequest /"},
      {"merge, by force", "PATCH", map + "?force=true", json::object(), kMerge,
       "422 Invalid PatchOptions/ force:FieldValueForbidden"},
      {"an unknown type", "PATCH", map, json::object(), "text/plain", "415 UnsupportedMediaType /"},
      {"strategic", "PATCH", fleet, json::object(), "application/strategic-merge-patch+json",
       "415 UnsupportedMediaType /"},
      {"apply, by nobody", "PATCH", map, Map("a"), kApply,
       "422 Invalid PatchOptions/ fieldManager:FieldValueRequired"},
      {"apply, no kind",
       "PATCH",
       map + "?fieldManager=m",
       {{"data", {{"b", "1"}}}},
       kApply,
       "400 BadRequest /"},
      {"apply, another kind", "PATCH", map + "?fieldManager=m", secret, kApply, "400 BadRequest /"},
      {"apply, managed fields", "PATCH", map + "?fieldManager=m",
       with(Map("a"), "managedFields", json::array({json::object()})), kApply, "400 BadRequest /"},
      {"apply, another name", "PATCH", map + "?fieldManager=m", Map("b"), kApply,
       "400 BadRequest /"},
      {"apply, another uid", "PATCH", map + "?fieldManager=m", with(Map("a"), "uid", "x"), kApply,
       "422 Invalid ConfigMap/a " + uid},
      {"apply, another state", "PATCH", map + "?fieldManager=m",
       with(Map("a"), "resourceVersion", "1"), kApply, "409 Conflict configmaps/a"},
      {"apply, what is gone", "PATCH", Maps() + "/" + Own("none") + "?fieldManager=m",
       with(Map("none"), "uid", "x"), kApply, "409 Conflict configmaps/none"},
      {"apply, a status of nothing", "PATCH",
       Fleets() + "/" + Own("none") + "/status?fieldManager=m", Fleet("none"), kApply,
       "404 NotFound fleets/none"},
      {"delete nothing", "DELETE", Maps() + "/" + Own("none"), nullptr, kJson,
       "404 NotFound configmaps/none"},
      {"delete, another uid",
       "DELETE",
       map,
       {{"preconditions", {{"uid", "x"}}}},
       kJson,
       "409 Conflict ConfigMap/a"},
      {"delete, another state",
       "DELETE",
       fleet,
       {{"preconditions", {{"resourceVersion", "1"}}}},
       kJson,
       "409 Conflict Fleet/a"},
      {"delete, no such policy",
       "DELETE",
       map,
       {{"propagationPolicy", "Sideways"}},
       kJson,
       "422 Invalid DeleteOptions/ propagationPolicy:FieldValueNotSupported"},
      {"scale, an old state",
       "PUT",
       fleet + "/scale",
       {{"apiVersion", "autoscaling/v1"},
        {"kind", "Scale"},
        {"metadata", {{"name", Own("a")}, {"resourceVersion", old.Version()}}},
        {"spec", {{"replicas", 4}}}},
       kJson,
       "409 Conflict fleets/a"},
  };
  for (const auto& row : table) {
    SCOPED_TRACE(row.what);
    json body = row.body;
    if (std::string(row.method) == "DELETE" && body.is_object()) {
      body["kind"] = "DeleteOptions";
      body["apiVersion"] = "v1";
    }
    EXPECT_EQ(Refusal(Send(row.method, row.target, body, row.type)), row.refusal);
  }
  EXPECT_EQ(Refusal(Send("POST", Fleets(), rack)), "422 Invalid Rack/x kind:FieldValueInvalid");
  EXPECT_EQ(Get(Maps() + Mine()).At("/items").size(), 1U);
  EXPECT_EQ(Get(fleet).Text("/spec/replicas"), "2");
}

TEST_F(Conformance, WhatAPolicyRefusesIsNotThereHoweverItIsMade) {
  subject_->RefuseNewFleetsLabelled();
  json fleet = Fleet("a");
  fleet["metadata"]["labels"]["refused"] = "yes";
  const std::string path = Fleets() + "/" + Own("a");
  const std::string refusal = "422 Invalid fleets/a :";
  EXPECT_EQ(Refusal(Send("POST", Fleets(), fleet)), refusal);
  EXPECT_EQ(Refusal(Send("POST", Fleets() + "?dryRun=All", fleet)), refusal);
  EXPECT_EQ(Refusal(Apply(path, fleet, "me")), refusal);
  EXPECT_EQ(Get(path).status, 404);
  Make(Fleet("a"));
  const json label = {{"metadata", {{"labels", {{"refused", "yes"}}}}}};
  EXPECT_EQ(Merge(path, label).status, 200) << "the policy is for what is created";
}

TEST_F(Conformance, AnUpdateReplacesAll) {
  const Answer made = Make(Map("a", {{"a", "1"}, {"b", "1"}}));
  json body = Map("a", {{"b", "2"}});
  const Answer free = Send("PUT", Maps() + "/" + Own("a"), body);  // of no version: whatever it is
  EXPECT_EQ(free.At("/data"), (json{{"b", "2"}}));
  EXPECT_EQ(free.Uid(), made.Uid());
  EXPECT_EQ(free.Text("/metadata/creationTimestamp"), made.Text("/metadata/creationTimestamp"));
  body["metadata"]["resourceVersion"] = free.Version();
  EXPECT_EQ(Send("PUT", Maps() + "/" + Own("a"), body).Version(), free.Version());
  EXPECT_EQ(free.Text("/metadata/generation"), "");
}

TEST_F(Conformance, GenerationsFollowTheSpecification) {
  const std::string fleet = Fleets() + "/" + Own("a");
  Make(Fleet("a"));
  EXPECT_EQ(Merge(fleet, {{"spec", {{"replicas", 2}}}}).Text("/metadata/generation"), "2");
  EXPECT_EQ(Merge(fleet, {{"metadata", {{"labels", {{"x", "y"}}}}}}).Text("/metadata/generation"),
            "2");
  EXPECT_EQ(Merge(fleet + "/status", {{"status", {{"replicas", 2}}}}).Text("/metadata/generation"),
            "2");
  EXPECT_EQ(Merge(fleet, {{"spec", {{"replicas", 2}}}}).Text("/metadata/generation"), "2");
  EXPECT_EQ(Make(Map("a")).Text("/metadata/generation"), "");
}

TEST_F(Conformance, StatusAndSpecificationAreWrittenApart) {
  const std::string fleet = Fleets() + "/" + Own("a");
  json body = Make(Fleet("a")).body;
  body["spec"]["replicas"] = 5;
  body["status"]["replicas"] = 3;
  Answer got = Send("PUT", fleet + "/status", body);
  EXPECT_EQ(got.Text("/spec/replicas") + got.Text("/status/replicas"), "13");
  body["metadata"]["resourceVersion"] = got.Version();
  body["status"]["replicas"] = 9;
  got = Send("PUT", fleet, body);
  EXPECT_EQ(got.Text("/spec/replicas") + got.Text("/status/replicas"), "53");
  const json both = {{"spec", {{"replicas", 6}}}, {"status", {{"replicas", 7}}}};
  got = Merge(fleet, both);
  EXPECT_EQ(got.Text("/spec/replicas") + got.Text("/status/replicas"), "63");
  got = Merge(fleet + "/status", both);
  EXPECT_EQ(got.Text("/spec/replicas") + got.Text("/status/replicas"), "67");
}

TEST_F(Conformance, AScaleIsTheReplicas) {
  const std::string fleet = Fleets() + "/" + Own("a");
  const Answer made = Make(Fleet("a"));
  Answer scale = Get(fleet + "/scale");
  EXPECT_EQ(scale.Text("/apiVersion") + scale.Text("/kind"), "autoscaling/v1Scale");
  EXPECT_EQ(scale.Version() + scale.Uid(), made.Version() + made.Uid());
  EXPECT_EQ(scale.At("/status"), (json{{"replicas", 0}}));
  scale.body["spec"]["replicas"] = 3;
  EXPECT_EQ(Send("PUT", fleet + "/scale", scale.body).Text("/spec/replicas"), "3");
  EXPECT_EQ(Get(fleet).Text("/metadata/generation"), "2");
}

TEST_F(Conformance, ADryRunAnswersAndStoresNothing) {
  const Answer made = Send("POST", Maps() + "?dryRun=All", Map("a"));
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(made.Version(), "");
  EXPECT_EQ(Get(Maps() + "/" + Own("a")).status, 404);
  const std::string version = Make(Map("a")).Version();
  const Answer merged = Merge(Maps() + "/" + Own("a") + "?dryRun=All", {{"data", {{"a", "9"}}}});
  EXPECT_EQ(merged.Text("/data/a"), "9");
  EXPECT_EQ(merged.Version(), version);
  EXPECT_EQ(Send("DELETE", Maps() + "/" + Own("a") + "?dryRun=All").Text("/status"), "Success");
  EXPECT_EQ(Get(Maps() + "/" + Own("a")).Version(), version);
}

TEST_F(Conformance, AMergePatchReplacesListsAndTakesAwayWhatIsNull) {
  json body = Fleet("a");
  body["spec"]["list"] = {1, 2, 3};
  body["spec"]["deep"] = {{"kept", 1}, {"changed", {{"x", 1}}}, {"gone", {{"y", 2}}}};
  const Answer made = Make(body);
  const std::string fleet = Fleets() + "/" + Own("a");
  const json patch = {
      {"metadata", {{"annotations", {{"note", "new"}}}, {"resourceVersion", made.Version()}}},
      {"spec",
       {{"list", {9}},
        {"deep", {{"changed", 7}, {"gone", nullptr}, {"none", nullptr}, {"new", {{"z", 3}}}}}}}};
  const Answer merged = Merge(fleet, patch);
  ASSERT_EQ(merged.status, 200) << merged.body;
  EXPECT_EQ(merged.At("/spec/list"), json::array({9}));
  EXPECT_EQ(merged.At("/spec/deep"), (json{{"kept", 1}, {"changed", 7}, {"new", {{"z", 3}}}}));
  EXPECT_EQ(merged.At("/spec/replicas"), 1) << "what is not said stays";
  EXPECT_EQ(merged.At("/metadata/annotations"), (json{{"note", "new"}}));
  EXPECT_EQ(merged.Text("/metadata/generation"), "2");
  EXPECT_EQ(Refusal(Merge(fleet, patch)), "409 Conflict fleets/a") << "its version is an old one";
  EXPECT_EQ(Merge(fleet, {{"spec", {{"list", {9}}}}}).Version(), merged.Version())
      << "what changes nothing is no write";
}

TEST_F(Conformance, AJsonPatchIsDoneAsAWholeOrNot) {
  Make(Map("first"));  // so that nothing else is of version 1
  const std::string fleet = Fleets() + "/" + Own("a");
  const std::string uid = Make(Fleet("a")).Uid();
  const auto op = [](const char* name, const char* path, const json& value) {
    return json{{"op", name}, {"path", path}, {"value", value}};
  };
  const json change = op("replace", "/spec/replicas", 5);
  const struct {
    json operation;
    std::string refusal;
  } table[] = {
      {op("test", "/metadata/uid", "x"), "422 Invalid /"},
      {op("test", "/spec/replicas", 1), "422 Invalid /"},
      {op("test", "/spec/none", 1), "422 Invalid /"},
      {op("replace", "/spec/none/below", 1), "422 Invalid /"},
      {op("add", "/spec/none/below", 1), "422 Invalid /"},
      {{{"op", "remove"}, {"path", "/spec/none"}}, "422 Invalid /"},
      {op("invent", "/spec/replicas", 1), "422 Invalid /"},
      {op("replace", "", 1), "422 Invalid /"},
      {"no operation", "400 BadRequest /"},
      {op("replace", "/metadata/uid", "x"), "422 Invalid Fleet/a metadata.uid:FieldValueInvalid"},
      {op("replace", "/metadata/resourceVersion", "1"), "409 Conflict fleets/a"},
      {{{"op", "remove"}, {"path", "/metadata/resourceVersion"}},
       "422 Invalid fleets/a metadata.resourceVersion:FieldValueInvalid"},
      {op("replace", "/metadata/name", "x"), "400 BadRequest /"},
  };
  for (const auto& row : table) {
    SCOPED_TRACE(row.operation.dump());
    EXPECT_EQ(Refusal(Send("PATCH", fleet, json::array({change, row.operation}), kOperations)),
              row.refusal);
  }
  EXPECT_EQ(Refusal(Send("PATCH", fleet, change, kOperations)), "400 BadRequest /");
  EXPECT_EQ(Get(fleet).Text("/spec/replicas"), "1");
  const Answer done = Send(
      "PATCH", fleet,
      json::array({op("test", "/metadata/uid", uid), change,
                   op("add", "/metadata/annotations", json::object()),
                   op("add", "/metadata/annotations/a~1b", "x"), op("replace", "/spec/new", 1)}),
      kOperations);
  EXPECT_EQ(done.At("/metadata/annotations"), (json{{"a/b", "x"}}));
  EXPECT_EQ(done.At("/spec"), (json{{"new", 1}, {"replicas", 5}}));
  EXPECT_EQ(Send("PATCH", fleet, json::array(), kOperations).Version(), done.Version());
}

// --- server-side apply ---

TEST_F(Conformance, AnApplyCreatesThenChangesOnlyWhatItSays) {
  const std::string map = Maps() + "/" + Own("a");
  const Answer made = Apply(map, Map("a", {{"a", "1"}, {"b", "1"}}), "m");
  EXPECT_EQ(made.status, 201);
  Merge(map + "?fieldManager=other", {{"data", {{"theirs", "1"}}}});
  const Answer applied = Apply(map, Map("a", {{"b", "1"}, {"c", "1"}}), "m");
  EXPECT_EQ(applied.status, 200);
  EXPECT_EQ(applied.At("/data"), (json{{"b", "1"}, {"c", "1"}, {"theirs", "1"}}));
  EXPECT_EQ(Apply(map, Map("a", {{"b", "1"}, {"c", "1"}}), "m").Version(), applied.Version());
  // Who owns it too is a change.
  EXPECT_NE(Apply(map, Map("a", {{"b", "1"}}), "n").Version(), applied.Version());
  EXPECT_EQ(Apply(map, Map("a", {{"c", "1"}}), "m").At("/data"),
            (json{{"b", "1"}, {"c", "1"}, {"theirs", "1"}}));
  EXPECT_EQ(Apply(map, Map("a", json::object()), "n").At("/data"),
            (json{{"c", "1"}, {"theirs", "1"}}));
}

TEST_F(Conformance, AnApplyOfWhatIsGoneMayNameAVersion) {
  json map = Map("a");
  map["metadata"]["resourceVersion"] = "1";
  EXPECT_EQ(Apply(Maps() + "/" + Own("a"), map, "m").status, 201);
}

TEST_F(Conformance, AnApplyWithoutForceLeavesOthersTheirs) {
  const std::string map = Maps() + "/" + Own("a");
  Apply(map, Map("a", {{"a", "1"}, {"b", "1"}}), "m");
  const Answer refused = Apply(map, Map("a", {{"a", "2"}, {"b", "1"}}), "n");
  EXPECT_EQ(Refusal(refused), "409 Conflict / .data.a:FieldManagerConflict");
  EXPECT_EQ(refused.Text("/message"), "Apply failed with 1 conflict: conflict with \"m\": .data.a");
  const Answer forced = Apply(map, Map("a", {{"a", "2"}}), "n&force=true");
  EXPECT_EQ(forced.At("/data"), (json{{"a", "2"}, {"b", "1"}}));
  // It is m's no more: that m says nothing of it changes nothing.
  EXPECT_EQ(Apply(map, Map("a", {{"b", "1"}}), "m").At("/data"), (json{{"a", "2"}, {"b", "1"}}));
  Merge(map + "?fieldManager=editor", {{"data", {{"a", "3"}}}});
  const Answer edited = Apply(map, Map("a", {{"a", "2"}}), "n");
  EXPECT_EQ(Refusal(edited), "409 Conflict / .data.a:FieldManagerConflict");
  EXPECT_EQ(edited.Text("/details/causes/0/message"), "conflict with \"editor\" using v1");
  EXPECT_EQ(Apply(map, Map("a", json::object()), "n").At("/data"), (json{{"a", "3"}, {"b", "1"}}));
}

TEST_F(Conformance, WhatWasCreatedOtherwiseBelongsToItsCreator) {
  Make(Fleet("a"));
  const std::string fleet = Fleets() + "/" + Own("a");
  EXPECT_EQ(Apply(fleet, Fleet("a", 5), "m").Text("/message"),
            "Apply failed with 1 conflict: conflict with \"conformance\" using example.com/v1: "
            ".spec.replicas");
  EXPECT_EQ(Apply(fleet, Fleet("a", 5), "m&force=true").Text("/metadata/generation"), "2");
}

TEST_F(Conformance, AnAppliedStatusLosesWhatIsNoLongerSaid) {
  Make(Fleet("a"));
  const auto apply = [&](const json& status, const std::string& query) {
    json body = Fleet("a");
    body.erase("spec");
    body["status"] = status;
    return Apply(Fleets() + "/" + Own("a") + "/status", body, query + "&force=true").At("/status");
  };
  const auto condition = [](const char* type, const char* status) {
    return json{{"type", type}, {"status", status}};
  };
  apply({{"since", "t"},
         {"placement", {{"domain", "d"}}},
         {"conditions", {condition("Ready", "False"), condition("Placed", "True")}}},
        "s");
  EXPECT_EQ(
      apply({{"placement", {{"group", "g"}}}, {"conditions", {condition("Ready", "True")}}}, "s"),
      (json{{"placement", {{"group", "g"}}}, {"conditions", {condition("Ready", "True")}}}));
  const json both = apply({{"conditions", {condition("Other", "True")}}}, "t");
  EXPECT_EQ(both["conditions"].size(), 2U);
  EXPECT_EQ(apply({{"note", "n"}}, "s"),
            (json{{"note", "n"}, {"conditions", {condition("Other", "True")}}}));
}

// --- deletion ---

TEST_F(Conformance, WhatIsDeletedIsGoneAndNamed) {
  for (const json& object : {Map("a"), Fleet("a")}) {
    const Answer made = Make(object);
    const std::string at = (object["kind"] == "Fleet" ? Fleets() : Maps()) + "/" + Own("a");
    const json options = {
        {"kind", "DeleteOptions"},
        {"apiVersion", "v1"},
        {"propagationPolicy", "Background"},
        {"preconditions", {{"uid", made.Uid()}, {"resourceVersion", made.Version()}}}};
    const Answer gone = Send("DELETE", at, options);
    EXPECT_EQ(gone.status, 200);
    EXPECT_EQ(gone.Text("/kind") + gone.Text("/status"), "StatusSuccess");
    EXPECT_EQ(gone.Text("/details/uid"), made.Uid());
    EXPECT_EQ(Get(at).status, 404);
  }
}

TEST_F(Conformance, FinalizersHoldADeletion) {
  const std::string fleet = Fleets() + "/" + Own("a");
  json body = Fleet("a");
  body["metadata"]["finalizers"] = {"example.com/x", "example.com/y"};
  const Answer made = Make(body);
  const Answer deleted = Send("DELETE", fleet);
  EXPECT_EQ(deleted.Text("/kind"), "Fleet");
  EXPECT_NE(deleted.Text("/metadata/deletionTimestamp"), "");
  EXPECT_EQ(deleted.Text("/metadata/deletionGracePeriodSeconds"), "0");
  EXPECT_EQ(deleted.Text("/metadata/generation"), "2");
  EXPECT_EQ(Send("DELETE", fleet).Version(), deleted.Version());
  const auto finalizers = [&](const json& list) {
    return Merge(fleet, {{"metadata", {{"finalizers", list}}}});
  };
  EXPECT_EQ(Refusal(finalizers({"example.com/x", "example.com/z"})),
            "422 Invalid Fleet/a metadata.finalizers:FieldValueForbidden");
  EXPECT_EQ(finalizers({"example.com/x"}).status, 200);
  const Answer last = finalizers(nullptr);
  EXPECT_EQ(last.status, 200);
  EXPECT_EQ(last.Text("/metadata/finalizers"), "");
  EXPECT_EQ(Get(fleet).status, 404);
  EXPECT_THAT(Watch(Fleets() + Mine("&watch=1&resourceVersion=" + made.Version()), 3),
              ElementsAre("MODIFIED a", "MODIFIED a", "DELETED a"));
}

TEST_F(Conformance, APolicyIsAFinalizer) {
  for (const auto& [policy, finalizer] :
       {std::pair{"Orphan", "orphan"}, {"Foreground", "foregroundDeletion"}}) {
    json body = Fleet(finalizer == std::string("orphan") ? "o" : "f");
    body["metadata"]["finalizers"] = {"example.com/x"};
    Make(body);
    const std::string at = Fleets() + "/" + body["metadata"]["name"].get<std::string>();
    const Answer deleted =
        Send("DELETE", at,
             {{"kind", "DeleteOptions"}, {"apiVersion", "v1"}, {"propagationPolicy", policy}});
    EXPECT_EQ(deleted.At("/metadata/finalizers"), (json{"example.com/x", finalizer}));
    EXPECT_EQ(Merge(at, {{"metadata", {{"finalizers", nullptr}}}}).status, 200);
  }
}

TEST_F(Conformance, ABoundPodIsTerminatingUntilForced) {
  const std::string pods = "/api/v1/namespaces/" + subject_->ns() + "/pods";
  json pod = Object("v1", "Pod", "a");
  pod["spec"] = {{"nodeName", "nowhere"},
                 {"schedulerName", "nobody"},
                 {"automountServiceAccountToken", false},
                 {"containers", {{{"name", "c"}, {"image", "example.com/x:1"}}}}};
  const Answer made = Send("POST", pods, pod);
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(made.Text("/status/phase"), "Pending");
  EXPECT_THAT(Names(Get(pods + Mine("&fieldSelector=spec.nodeName%3Dnowhere"))),
              ElementsAre(Own("a")));
  const Answer deleted = Send("DELETE", pods + "/" + Own("a"));
  EXPECT_EQ(deleted.Text("/kind"), "Pod");
  EXPECT_EQ(deleted.Text("/metadata/deletionGracePeriodSeconds"), "30");
  EXPECT_EQ(deleted.Text("/metadata/generation"), "2");
  const Answer forced =
      Send("DELETE", pods + "/" + Own("a"),
           {{"kind", "DeleteOptions"}, {"apiVersion", "v1"}, {"gracePeriodSeconds", 0}});
  EXPECT_EQ(forced.Text("/kind"), "Pod");
  EXPECT_EQ(Get(pods + "/" + Own("a")).status, 404);
}

// --- lists ---

TEST_F(Conformance, ListsAreSortedAndSelected) {
  for (const char* name : {"b", "a", "c"}) {
    json map = Map(name);
    map["metadata"]["labels"]["app"] = name;
    if (*name == 'c') map["metadata"]["labels"]["more"] = "1";
    Make(map);
  }
  const auto chosen = [&](const std::string& labels, const std::string& fields = "") {
    std::string out;
    const Answer list = Get(Maps() + Mine(kube::PercentEncode(labels)) +
                            "&fieldSelector=" + kube::PercentEncode(fields));
    for (const std::string& name : Names(list)) out += name.substr(prefix_.size() + 1);
    return out;
  };
  EXPECT_EQ(chosen(""), "abc");
  EXPECT_EQ(chosen(",app=a"), "a");
  EXPECT_EQ(chosen(",app==a"), "a");
  EXPECT_EQ(chosen(",app!=a"), "bc");
  EXPECT_EQ(chosen(",none!=a"), "abc");
  EXPECT_EQ(chosen(",more"), "c");
  EXPECT_EQ(chosen(",!more"), "ab");
  EXPECT_EQ(chosen("", "metadata.name=" + Own("b")), "b");
  EXPECT_EQ(chosen("", "metadata.name!=" + Own("b")), "ac");
  EXPECT_EQ(chosen("", "metadata.namespace=" + subject_->ns()), "abc");
  EXPECT_EQ(chosen("", "metadata.name=" + Own("b") + ",metadata.name!=" + Own("b")), "");
}

TEST_F(Conformance, ItemsOfOurKindsAloneSayTheirKind) {
  Make(Map("a"));
  Make(Fleet("a"));
  const Answer maps = Get(Maps() + Mine());
  EXPECT_EQ(maps.Text("/kind") + maps.Text("/apiVersion"), "ConfigMapListv1");
  EXPECT_EQ(maps.Text("/items/0/kind") + maps.Text("/items/0/apiVersion"), "");
  const Answer fleets = Get(Fleets() + Mine());
  EXPECT_EQ(fleets.Text("/kind") + fleets.Text("/apiVersion"), "FleetListexample.com/v1");
  EXPECT_EQ(fleets.Text("/items/0/kind") + fleets.Text("/items/0/apiVersion"),
            "Fleetexample.com/v1");
}

TEST_F(Conformance, PagesAreOfOneMoment) {
  for (const char* name : {"a", "b", "c", "d", "e"}) Make(Fleet(name));
  const Answer first = Get(Fleets() + Mine("&limit=2"));
  EXPECT_THAT(Names(first), ElementsAre(Own("a"), Own("b")));
  EXPECT_EQ(first.At("/metadata/remainingItemCount"), json()) << "a selected list is not counted";
  Send("DELETE", Fleets() + "/" + Own("d"));
  Make(Fleet("bb"));
  const std::string next = "&limit=2&continue=" + first.Text("/metadata/continue");
  const Answer second = Get(Fleets() + Mine(next));
  EXPECT_THAT(Names(second), ElementsAre(Own("c"), Own("d")));
  EXPECT_EQ(second.Version(), first.Version());
  const Answer last =
      Get(Fleets() + Mine("&limit=2&continue=" + second.Text("/metadata/continue")));
  EXPECT_THAT(Names(last), ElementsAre(Own("e")));
  EXPECT_EQ(last.Text("/metadata/continue"), "");
  EXPECT_EQ(Refusal(Get(Fleets() + Mine(next + "&resourceVersion=" + first.Version()))),
            "400 BadRequest /");
  // What comes from the cache comes at once, and what is not selected is counted.
  EXPECT_EQ(Get(Fleets() + Mine("&limit=2&resourceVersion=0")).Text("/metadata/continue"), "");
  const Answer all = Get(Fleets() + "?limit=1");
  EXPECT_GE(all.At("/metadata/remainingItemCount").get<int>(), 4);
}

TEST_F(Conformance, AListWhoseMomentIsForgottenCannotBeGoneOnWith) {
  for (const char* name : {"a", "b"}) Make(Fleet(name));
  const Answer first = Get(Fleets() + Mine("&limit=1"));
  const std::string token = first.Text("/metadata/continue");
  ASSERT_NE(token, "");
  const std::string version = Make(Fleet("c")).Version();
  const std::string old = subject_->Outdate(token, version);
  EXPECT_EQ(Refusal(Get(Fleets() + Mine("&limit=1&continue=" + old))), "410 Expired /");
  EXPECT_EQ(Get(Fleets() + Mine("&limit=1")).status, 200) << "from the start it is to be had";
}

TEST_F(Conformance, QueriesOfAWrongFormAreRefused) {
  const std::string version = Make(Map("a")).Version();
  const std::string list = "422 Invalid ListOptions/ ";
  const std::string match = list + "resourceVersionMatch:FieldValueForbidden";
  const struct {
    std::string query;
    std::string refusal;
  } table[] = {
      {"resourceVersionMatch=NotOlderThan", match},
      {"resourceVersion=0&resourceVersionMatch=Exact", match},
      {"resourceVersion=5&resourceVersionMatch=Some",
       list + "resourceVersionMatch:FieldValueNotSupported"},
      {"sendInitialEvents=true", list + "sendInitialEvents:FieldValueForbidden"},
      {"resourceVersion=x", "400 BadRequest /"},
      {"resourceVersion=-1", "400 BadRequest /"},
      {"continue=x", "400 BadRequest /"},
      {"fieldSelector=data.a%3D1", "400 BadRequest /"},
      {"labelSelector=%28%28", "400 BadRequest /"},
  };
  for (const auto& row : table) {
    SCOPED_TRACE(row.query);
    EXPECT_EQ(Refusal(Get(Maps() + "?" + row.query)), row.refusal);
  }
  const struct {
    std::string query;
    std::string refusal;
  } watches[] = {
      {"sendInitialEvents=true", match},
      {"sendInitialEvents=false", match},
      {"resourceVersionMatch=NotOlderThan", match},
      {"resourceVersion=0&resourceVersionMatch=NotOlderThan", match},
      {"resourceVersion=x", "500  /"},
      {"fieldSelector=data.a%3D1", "400 BadRequest /"},
  };
  for (const auto& row : watches) {
    SCOPED_TRACE(row.query);
    EXPECT_TRUE(Watch(Maps() + "?watch=1&timeoutSeconds=1&" + row.query).empty());
    EXPECT_EQ(Refusal(refused_), row.refusal);
  }
}

TEST_F(Conformance, AListIsNotOlderThanAsked) {
  const std::string version = Make(Map("a")).Version();
  const Answer same =
      Get(Maps() + Mine("&resourceVersionMatch=NotOlderThan&resourceVersion=" + version));
  EXPECT_THAT(Names(same), ElementsAre(Own("a")));
  EXPECT_GE(Number(same.Version()), Number(version));
  const Answer future =
      Get(Maps() + Mine("&resourceVersionMatch=NotOlderThan&resourceVersion=999999999"));
  EXPECT_EQ(Refusal(future), "504 Timeout / :ResourceVersionTooLarge");
  EXPECT_EQ(future.Text("/details/retryAfterSeconds"), "1");
  EXPECT_EQ(headers_["retry-after"], "1");
  EXPECT_THAT(future.Text("/message"),
              StartsWith("Timeout: Too large resource version: 999999999, current: "));
}

constexpr const char* kPartial =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
constexpr const char* kPartialList =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

TEST_F(Conformance, MetadataAloneIsToBeHad) {
  const std::string version = Make(Map("a")).Version();
  const Answer list = Send("GET", Maps() + Mine(), nullptr, kJson, kPartialList);
  EXPECT_EQ(list.Text("/apiVersion") + " " + list.Text("/kind"),
            "meta.k8s.io/v1 PartialObjectMetadataList");
  const Answer one = Send("GET", Maps() + "/" + Own("a"), nullptr, kJson, kPartial);
  EXPECT_THAT(
      Watch(Maps() + Mine("&watch=1&resourceVersion=" + std::to_string(Number(version) - 1)), 1,
            kPartial),
      ElementsAre("ADDED a"));
  ASSERT_EQ(events_.size(), 1U);
  for (const json& object : {list.At("/items/0"), one.body, events_[0]["object"]}) {
    EXPECT_EQ(object.value("apiVersion", ""), "meta.k8s.io/v1");
    EXPECT_EQ(object.value("kind", ""), "PartialObjectMetadata");
    EXPECT_EQ(object["metadata"]["labels"]["set"], prefix_);
    EXPECT_FALSE(object.contains("data"));
  }
}

// --- watches ---

TEST_F(Conformance, AWatchTellsWhatCameAfterItsVersion) {
  const std::string before = Make(Map("a")).Version();
  const std::string made = Make(Map("b")).Version();
  const std::string changed = Merge(Maps() + "/" + Own("a"), {{"data", {{"a", "2"}}}}).Version();
  Send("DELETE", Maps() + "/" + Own("b"));
  const std::string from = Maps() + Mine("&watch=1&resourceVersion=");
  EXPECT_THAT(Watch(from + before, 3), ElementsAre("ADDED b", "MODIFIED a", "DELETED b"));
  ASSERT_EQ(events_.size(), 3U);
  EXPECT_EQ(events_[0]["object"]["metadata"]["resourceVersion"], made);
  EXPECT_EQ(events_[0]["object"]["kind"], "ConfigMap");
  EXPECT_EQ(events_[1]["object"]["metadata"]["resourceVersion"], changed);
  const std::string gone = events_[2]["object"]["metadata"]["resourceVersion"];
  EXPECT_GT(Number(gone), Number(changed)) << "what is gone has the version of its end";
  EXPECT_EQ(events_[2]["object"]["data"], (json{{"a", "1"}}));
  EXPECT_THAT(Watch(from + changed, 1), ElementsAre("DELETED b"));
}

TEST_F(Conformance, ASelectorTurnsChangesIntoComingAndGoing) {
  const std::string before = Make(Map("a")).Version();
  const auto label = [&](const json& value) {
    return Merge(Maps() + "/" + Own("a"), {{"metadata", {{"labels", {{"app", value}}}}}}).Version();
  };
  label("x");
  Merge(Maps() + "/" + Own("a"), {{"data", {{"a", "2"}}}});
  const std::string left = label("y");
  label("x");
  EXPECT_THAT(Watch(Maps() + Mine("%2Capp%3Dx&watch=1&resourceVersion=" + before), 4),
              ElementsAre("ADDED a", "MODIFIED a", "DELETED a", "ADDED a"));
  ASSERT_EQ(events_.size(), 4U);
  const json& last = events_[2]["object"];
  EXPECT_EQ(last["metadata"]["resourceVersion"], left);
  EXPECT_EQ(last["metadata"]["labels"]["app"], "x") << "it goes as it was";
}

TEST_F(Conformance, AWatchEndsCleanlyInTime) {
  const std::string version = Make(Map("a")).Version();
  const std::jthread time([&] { subject_->LetTimePass(2); });
  EXPECT_TRUE(Watch(Maps() + Mine("&watch=1&timeoutSeconds=2&resourceVersion=" + version)).empty());
  EXPECT_EQ(watch_status_, 200);
}

// A real server sends one shortly before the watch ends, whatever comes before that. One that has
// just learned of the kind, and of no change since, sends none.
TEST_F(Conformance, ABookmarkThatWasAskedForTellsHowFarTheWatchHasCome) {
  const std::string version = Make(Fleet("a")).Version();
  const std::jthread time([&] {
    Make(Fleet("b"));
    subject_->LetBookmarksCome();
    subject_->LetTimePass(20);
  });
  auto told = Watch(Fleets() + Mine("&watch=1&allowWatchBookmarks=true&timeoutSeconds=20"
                                    "&resourceVersion=" +
                                    version));
  EXPECT_EQ(std::erase(told, "ADDED b"), 1U);
  ASSERT_FALSE(told.empty());
  EXPECT_THAT(told, testing::Each("BOOKMARK "));
  for (const json& event : events_) {
    EXPECT_GE(Number(event["object"]["metadata"]["resourceVersion"]), Number(version));
    EXPECT_EQ(event["object"]["kind"], "Fleet");
    EXPECT_EQ(event["object"]["apiVersion"], "example.com/v1");
    EXPECT_EQ(event["object"]["metadata"].value("annotations", json()), json());
  }
}

TEST_F(Conformance, NoBookmarkComesUnasked) {
  const std::string version = Make(Map("a")).Version();
  const std::jthread time([&] {
    subject_->LetBookmarksCome();
    subject_->LetTimePass(3);
  });
  EXPECT_TRUE(Watch(Maps() + Mine("&watch=1&timeoutSeconds=3&resourceVersion=" + version)).empty());
}

TEST_F(Conformance, AForgottenVersionIsAnErrorEvent) {
  Make(Fleet("a"));
  Make(Fleet("b"));
  subject_->ForgetTheBeginning();
  EXPECT_THAT(Watch(Fleets() + "?watch=1&resourceVersion=1"), ElementsAre("ERROR "));
  EXPECT_EQ(watch_status_, 200);
  ASSERT_EQ(events_.size(), 1U);
  EXPECT_EQ(events_[0]["object"]["code"], 410);
  EXPECT_EQ(events_[0]["object"]["reason"], "Expired");
  EXPECT_EQ(events_[0]["object"]["kind"], "Status");
}

TEST_F(Conformance, AStreamingListSaysWhereItsFirstPartEnds) {
  Make(Fleet("a"));
  const std::string version = Make(Fleet("b")).Version();
  const std::string end = "k8s.io/initial-events-end";
  const std::string watch = Fleets() + Mine("&watch=1");
  const std::string initial =
      "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  for (const std::string& query :
       {initial, initial + "&resourceVersion=0", initial + "&resourceVersion=" + version,
        std::string("&resourceVersion=0&allowWatchBookmarks=true"),
        std::string("&allowWatchBookmarks=true")}) {
    SCOPED_TRACE(query);
    std::vector<std::string> told = Watch(watch + query, 3);
    ASSERT_EQ(told.size(), 3U);
    std::sort(told.begin(), told.begin() + 2);
    EXPECT_THAT(told, ElementsAre("ADDED a", "ADDED b", "BOOKMARK "));
    const json& meta = events_[2]["object"]["metadata"];
    EXPECT_EQ(meta["annotations"][end], "true");
    EXPECT_GE(Number(meta["resourceVersion"]), Number(version));
    EXPECT_EQ(events_[2]["object"]["kind"], "Fleet");
  }
}

TEST_F(Conformance, AStreamingListGoesOnAsAWatch) {
  Make(Fleet("a"));
  Guarded<size_t> seen;
  std::vector<std::string> told;
  const std::jthread writer([&] {
    (void)Eventually([&] { return seen.With([](size_t count) { return count >= 2; }); });
    Merge(Fleets() + "/" + Own("a"), {{"spec", {{"replicas", 2}}}});
  });
  kube::HttpRequest request;
  request.target = Fleets() + Mine(
                                  "&watch=1&sendInitialEvents=true&resourceVersionMatch="
                                  "NotOlderThan&allowWatchBookmarks=true");
  std::string text;
  ASSERT_TRUE(subject_->transport().Stream(request,
                                           [&](std::string_view bytes) {
                                             text += bytes;
                                             const auto lines = static_cast<size_t>(
                                                 std::count(text.begin(), text.end(), '\n'));
                                             seen.With([&](size_t& count) { count = lines; });
                                             return lines < 3;
                                           },
                                           {}));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) told.push_back(json::parse(line)["type"]);
  EXPECT_THAT(told, ElementsAre("ADDED", "BOOKMARK", "MODIFIED"));
}

TEST_F(Conformance, AStreamingListOfTheFutureIsAnErrorEvent) {
  Make(Fleet("a"));
  EXPECT_THAT(Watch(Fleets() + Mine("&watch=1&sendInitialEvents=true&resourceVersionMatch="
                                    "NotOlderThan&resourceVersion=999999999")),
              ElementsAre("ERROR "));
  ASSERT_EQ(events_.size(), 1U);
  EXPECT_EQ(events_[0]["object"]["code"], 504);
  EXPECT_EQ(events_[0]["object"]["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

// --- kinds that the operator writes besides its own ---

TEST_F(Conformance, ALeaseIsTakenByOne) {
  const std::string leases =
      "/apis/coordination.k8s.io/v1/namespaces/" + subject_->ns() + "/leases";
  json lease = Object("coordination.k8s.io/v1", "Lease", "a");
  lease["spec"] = {{"holderIdentity", "one"},
                   {"leaseDurationSeconds", 15},
                   {"renewTime", "2026-11-24T00:00:00.000000Z"}};
  const Answer made = Send("POST", leases, lease);
  ASSERT_EQ(made.status, 201) << made.body;
  json next = made.body;
  next["spec"]["holderIdentity"] = "two";
  EXPECT_EQ(Send("PUT", leases + "/" + Own("a"), next).Text("/spec/holderIdentity"), "two");
  EXPECT_EQ(Refusal(Send("PUT", leases + "/" + Own("a"), next)), "409 Conflict leases/a");
  next["metadata"].erase("resourceVersion");
  EXPECT_EQ(Refusal(Send("PUT", leases + "/" + Own("a"), next)),
            "422 Invalid leases/a metadata.resourceVersion:FieldValueInvalid");
  EXPECT_EQ(made.Text("/metadata/generation"), "");
}

TEST_F(Conformance, EventsAreCreated) {
  json event = Object("events.k8s.io/v1", "Event", "a");
  event.update(
      {{"eventTime", "2026-11-24T00:00:00.000000Z"},
       {"reportingController", "spillway.dev/operator"},
       {"reportingInstance", "one"},
       {"action", "Place"},
       {"reason", "Placed"},
       {"type", "Normal"},
       {"note", "all of them"},
       {"regarding", {{"kind", "Fleet"}, {"name", Own("a")}, {"namespace", subject_->ns()}}}});
  const std::string events = "/apis/events.k8s.io/v1/namespaces/" + subject_->ns() + "/events";
  const Answer made = Send("POST", events, event);
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(made.Text("/note"), "all of them");
  EXPECT_EQ(Refusal(Send("POST", events, event)), "409 AlreadyExists events/a");
}

TEST_F(Conformance, DiscoveryNamesKindsAndTheirScales) {
  const Answer list = Get("/apis/example.com/v1");
  EXPECT_EQ(list.Text("/kind"), "APIResourceList");
  std::map<std::string, std::string> kinds;
  for (const json& one : list.At("/resources")) kinds[one["name"]] = one["kind"];
  EXPECT_EQ(kinds["fleets"], "Fleet");
  EXPECT_EQ(kinds["fleets/scale"], "Scale");
  EXPECT_EQ(Send("GET", "/apis/example.com/v7").status, 404);
}

}  // namespace
}  // namespace spillway::support
