#include "tests/support/fake_api_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/guarded.h"
#include "kube/client.h"
#include "kube/types/deployment.h"
#include "kube/types/job.h"
#include "kube/types/node.h"
#include "kube/types/pod.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_clock.h"

namespace spillway::support {
namespace {

using kube::Client;
using nlohmann::json;
using testing::IsEmpty;

const kube::Resource& Pools() {
  static const kube::Resource kPools{"spillway.dev", "v1alpha1", "trainingpools", "TrainingPool",
                                     true};
  return kPools;
}

json Pool(const std::string& name, int workers = 1) {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "TrainingPool"},
          {"metadata", {{"name", name}, {"namespace", "ns"}}},
          {"spec", {{"workers", workers}}}};
}

json Service(const std::string& name, const json& labels = json::object()) {
  return {{"apiVersion", "v1"},
          {"kind", "Service"},
          {"metadata", {{"name", name}, {"namespace", "ns"}, {"labels", labels}}},
          {"spec", {{"clusterIP", "None"}}}};
}

json PodObject(const std::string& name, const std::string& node = "") {
  json pod = {{"apiVersion", "v1"},
              {"kind", "Pod"},
              {"metadata", {{"name", name}, {"namespace", "ns"}}},
              {"spec", {{"containers", json::array({{{"name", "c"}}})}}}};
  if (!node.empty()) pod["spec"]["nodeName"] = node;
  return pod;
}

class FakeApi : public testing::Test {
 protected:
  static std::string Field(const Result<std::string>& body, const char* pointer) {
    if (!body) return CodeName(body.error().code);
    const json value = json::parse(*body).value(json::json_pointer(pointer), json());
    return value.is_string() ? value.get<std::string>() : value.dump();
  }
  Result<std::string> Create(const kube::Resource& kind, const json& object) {
    return client.Create(kind, "ns", object.dump(), {.field_manager = "m"}, stop);
  }
  Result<std::string> Apply(const kube::Resource& kind, const std::string& name, const json& object,
                            const std::string& manager = "m") {
    return client.Apply(kind, "ns", name, object.dump(), {.field_manager = manager}, stop);
  }
  Result<std::string> PatchPool(const std::string& name, const std::vector<json>& operations) {
    return client.Patch(Pools(), "ns", name, json(operations).dump(), {.field_manager = "m"}, stop);
  }
  Status Delete(const kube::Resource& kind, const std::string& name, const std::string& uid = "",
                const std::string& version = "", int grace = -1) {
    return client.Delete(kind, "ns", name,
                         {.uid = uid, .resource_version = version, .grace_seconds = grace}, stop);
  }

  FakeClock clock;
  FakeApiServer server{clock};
  Client client{server, clock, Client::Options{.user_agent = "spillway/test"}};
  std::stop_token stop;
};

// A watch on a thread of its own, whose lines are kept.
class Watcher {
 public:
  Watcher(Client& client, const kube::Resource& kind, kube::WatchOptions options)
      : thread_([this, &client, kind, options](const std::stop_token& stop) {
          Status done = client.Watch(
              kind, options,
              [this](std::string_view bytes) {
                text_.With([&](std::string& text) { text += bytes; });
                return true;
              },
              stop);
          ended_.With([&](std::optional<Status>& ended) { ended = std::move(done); });
        }) {}

  // "ADDED a@3 BOOKMARK @5 ", with the objects' names and versions.
  [[nodiscard]] std::string Events() const {
    std::istringstream lines(Text());
    std::string out;
    for (std::string line; std::getline(lines, line);) {
      const json event = json::parse(line, nullptr, false);
      if (event.is_discarded()) return out + "cut";
      const json& object = event["object"];
      out += event["type"].get<std::string>() + " ";
      if (event["type"] == "ERROR") {
        out += object["code"].dump() + " ";
      } else {
        out += object["metadata"].value("name", "") + "@" +
               object["metadata"]["resourceVersion"].get<std::string>() + " ";
      }
    }
    return out;
  }
  [[nodiscard]] std::string Text() const {
    return text_.With([](const std::string& text) { return text; });
  }
  // "ok", or the name of the error's code.
  std::string Join() {
    thread_.join();
    return ended_.With([](const std::optional<Status>& ended) -> std::string {
      return *ended ? "ok" : CodeName(ended->error().code);
    });
  }
  void Stop() { thread_.request_stop(); }

 private:
  Guarded<std::string> text_;
  Guarded<std::optional<Status>> ended_;
  std::jthread thread_;
};

// --- writes ---

TEST_F(FakeApi, CreateGivesIdentity) {
  clock.Advance(std::chrono::seconds(90));
  const auto made = Create(Pools(), Pool("a"));
  EXPECT_EQ(Field(made, "/metadata/resourceVersion"), "1");
  EXPECT_EQ(Field(made, "/metadata/generation"), "1");
  EXPECT_EQ(Field(made, "/metadata/creationTimestamp"), "2026-11-24T00:01:30Z");
  EXPECT_NE(Field(made, "/metadata/uid"), Field(Create(Pools(), Pool("b")), "/metadata/uid"));
  EXPECT_EQ(Field(client.Get(Pools(), "ns", "a", stop), "/metadata/uid"),
            Field(made, "/metadata/uid"));
}

TEST_F(FakeApi, CreateOfWhatIsThereIsRefused) {
  ASSERT_TRUE(Create(Pools(), Pool("a")));
  const auto again = Create(Pools(), Pool("a", 2));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kExists);
  EXPECT_EQ(again.error().message, "trainingpools.spillway.dev \"a\" already exists");
}

TEST_F(FakeApi, ADryRunAnswersAndStoresNothing) {
  const auto answer = client.Create(kube::PodResource(), "ns", PodObject("p").dump(),
                                    {.field_manager = "m", .dry_run = true, .strict = true}, stop);
  EXPECT_EQ(Field(answer, "/metadata/name"), "p");
  EXPECT_EQ(server.version(), 0);
  EXPECT_THAT(server.All("pods"), IsEmpty());
  EXPECT_THAT(server.Writes(), IsEmpty());
}

TEST_F(FakeApi, AdmissionChangesAndRefuses) {
  server.SetAdmission(
      [](const ServedKind& kind, json& object) -> std::optional<kube::HttpResponse> {
        if (kind.plural != "pods") return std::nullopt;
        if (object["metadata"]["name"] == "bad") return StatusAnswer(403, "Forbidden", "not here");
        object["metadata"]["labels"]["webhook"] = "was-here";
        return std::nullopt;
      });
  EXPECT_EQ(Field(Create(kube::PodResource(), PodObject("p")), "/metadata/labels/webhook"),
            "was-here");
  EXPECT_EQ(Create(kube::PodResource(), PodObject("bad")).error().code, Code::kForbidden);
}

TEST_F(FakeApi, UpdateNeedsTheVersionThatIsThere) {
  ASSERT_TRUE(Create(Pools(), Pool("a", 1)));
  json pool = json::parse(*client.Get(Pools(), "ns", "a", stop));
  pool["spec"]["workers"] = 2;
  const auto updated = client.Update(Pools(), "ns", "a", pool.dump(), {}, stop);
  EXPECT_EQ(Field(updated, "/metadata/resourceVersion"), "2");
  EXPECT_EQ(Field(updated, "/metadata/generation"), "2");
  EXPECT_EQ(client.Update(Pools(), "ns", "a", pool.dump(), {}, stop).error().code, Code::kConflict);
  pool["metadata"].erase("resourceVersion");
  EXPECT_EQ(client.Update(Pools(), "ns", "a", pool.dump(), {}, stop).error().code, Code::kInvalid);
  EXPECT_EQ(client.Update(Pools(), "ns", "b", Pool("b").dump(), {}, stop).error().code,
            Code::kNotFound);
}

TEST_F(FakeApi, SpecAndStatusAreWrittenApart) {
  ASSERT_TRUE(Create(Pools(), Pool("a", 1)));
  json pool = json::parse(*client.Get(Pools(), "ns", "a", stop));
  pool["spec"]["workers"] = 5;
  pool["status"]["restarts"] = 3;
  auto got = client.UpdateStatus(Pools(), "ns", "a", pool.dump(), {}, stop);
  EXPECT_EQ(Field(got, "/spec/workers"), "1");
  EXPECT_EQ(Field(got, "/status/restarts"), "3");
  EXPECT_EQ(Field(got, "/metadata/generation"), "1");
  pool["metadata"]["resourceVersion"] = "2";
  pool["status"]["restarts"] = 9;
  got = client.Update(Pools(), "ns", "a", pool.dump(), {}, stop);
  EXPECT_EQ(Field(got, "/spec/workers"), "5");
  EXPECT_EQ(Field(got, "/status/restarts"), "3");
  EXPECT_EQ(Field(got, "/metadata/generation"), "2");
}

TEST_F(FakeApi, AWriteOfTheSameChangesNothing) {
  ASSERT_TRUE(Create(Pools(), Pool("a", 1)));
  const auto body = client.Get(Pools(), "ns", "a", stop);
  EXPECT_EQ(Field(client.Update(Pools(), "ns", "a", *body, {}, stop), "/metadata/resourceVersion"),
            "1");
  EXPECT_EQ(server.version(), 1);
}

TEST_F(FakeApi, ApplyCreatesThenMerges) {
  json service = Service("s", {{"a", "1"}});
  EXPECT_EQ(Field(Apply(kube::ServiceResource(), "s", service), "/metadata/resourceVersion"), "1");
  server.Patch("services", "ns", "s", {{"metadata", {{"labels", {{"theirs", "x"}}}}}});
  service["metadata"]["labels"] = {{"b", "2"}};
  const auto applied = Apply(kube::ServiceResource(), "s", service);
  EXPECT_EQ(Field(applied, "/metadata/labels"), R"({"b":"2","theirs":"x"})");
  EXPECT_EQ(Field(applied, "/spec/clusterIP"), "None");
  const int64_t version = server.version();
  ASSERT_TRUE(Apply(kube::ServiceResource(), "s", service));
  EXPECT_EQ(server.version(), version);
}

TEST_F(FakeApi, AppliedStatusLosesWhatIsNoLongerSaid) {
  ASSERT_TRUE(Create(Pools(), Pool("a")));
  const auto apply = [&](const json& status, const std::string& manager) {
    json body = Pool("a");
    body.erase("spec");
    body["status"] = status;
    return client.Apply(Pools(), "ns", "a", body.dump(), {.field_manager = manager}, stop);
  };
  // Through the status subresource by its path: the client's apply goes to the object itself.
  const auto apply_status = [&](const json& status, const std::string& manager) {
    kube::HttpRequest request;
    request.method = "PATCH";
    request.target =
        "/apis/spillway.dev/v1alpha1/namespaces/ns/trainingpools/a/"
        "status?force=true&fieldManager=" +
        manager;
    request.headers = {{"Content-Type", "application/apply-patch+yaml"}};
    request.body =
        json{{"apiVersion", "spillway.dev/v1alpha1"}, {"kind", "TrainingPool"}, {"status", status}}
            .dump();
    return server.Send(request, stop).value().body;
  };
  const auto status_of = [](const std::string& body) { return json::parse(body)["status"].dump(); };
  EXPECT_EQ(Field(apply({{"restarts", 1}}, "m"), "/status"), "null");
  EXPECT_EQ(
      status_of(apply_status(
          {{"queuedSince", "t"},
           {"placement", {{"domain", "d"}}},
           {"conditions",
            {{{"type", "Ready"}, {"status", "False"}}, {{"type", "Placed"}, {"status", "True"}}}}},
          "s")),
      R"({"conditions":[{"status":"False","type":"Ready"},{"status":"True","type":"Placed"}],"placement":{"domain":"d"},"queuedSince":"t"})");
  EXPECT_EQ(status_of(apply_status({{"placement", {{"group", "g"}}},
                                    {"conditions", {{{"type", "Ready"}, {"status", "True"}}}}},
                                   "s")),
            R"({"conditions":[{"status":"True","type":"Ready"}],"placement":{"group":"g"}})");
  EXPECT_EQ(
      status_of(apply_status({{"note", 1}}, "other")),
      R"({"conditions":[{"status":"True","type":"Ready"}],"note":1,"placement":{"group":"g"}})");
  EXPECT_EQ(status_of(apply_status(json::object(), "s")), R"({"note":1})");
}

TEST_F(FakeApi, ApplyWithAnotherUidOrVersionIsRefused) {
  json service = Service("s");
  ASSERT_TRUE(Apply(kube::ServiceResource(), "s", service));
  service["metadata"]["uid"] = "somebody-else";
  EXPECT_EQ(Apply(kube::ServiceResource(), "s", service).error().code, Code::kInvalid);
  service["metadata"]["name"] = "t";
  EXPECT_EQ(Apply(kube::ServiceResource(), "t", service).error().code, Code::kConflict);
  service["metadata"]["name"] = "s";
  service["metadata"].erase("uid");
  service["metadata"]["resourceVersion"] = "99";
  EXPECT_EQ(Apply(kube::ServiceResource(), "s", service).error().code, Code::kConflict);
}

json Operation(const char* op, const std::string& path, const json& value) {
  return {{"op", op}, {"path", path}, {"value", value}};
}

TEST_F(FakeApi, AJsonPatchChangesWhatItSays) {
  const std::string uid = Field(Create(Pools(), Pool("a")), "/metadata/uid");
  server.Patch("trainingpools", "ns", "a", {{"status", {{"restarts", 3}}}});
  const auto got = PatchPool(
      "a", {Operation("test", "/metadata/uid", uid), Operation("replace", "/spec/workers", 2),
            Operation("add", "/metadata/annotations", json::object()),
            Operation("add", "/metadata/annotations/spillway.dev~1revision", "x"),
            Operation("replace", "/status/restarts", 9)});
  EXPECT_EQ(Field(got, "/spec/workers"), "2");
  EXPECT_EQ(Field(got, "/metadata/annotations"), R"({"spillway.dev/revision":"x"})");
  EXPECT_EQ(Field(got, "/status/restarts"), "3");
  EXPECT_EQ(Field(got, "/metadata/resourceVersion"), "3");
  EXPECT_EQ(Field(got, "/metadata/generation"), "2");
  EXPECT_EQ(Field(got, "/metadata/uid"), uid);
  EXPECT_EQ(Field(client.Get(Pools(), "ns", "a", stop), "/spec/workers"), "2");
  EXPECT_EQ(server.Requests()[1].verb, "patch");
  EXPECT_EQ(server.Requests()[1].query.at("fieldManager"), "m");
}

TEST_F(FakeApi, AJsonPatchThatChangesNoSpecIsOfTheSameGeneration) {
  ASSERT_TRUE(Create(Pools(), Pool("a")));
  const auto got = PatchPool("a", {Operation("add", "/metadata/labels", {{"a", "b"}})});
  EXPECT_EQ(Field(got, "/metadata/resourceVersion"), "2");
  EXPECT_EQ(Field(got, "/metadata/generation"), "1");
  EXPECT_TRUE(PatchPool("a", {Operation("add", "/metadata/labels", {{"a", "b"}})}));
  EXPECT_TRUE(PatchPool("a", {}));
  EXPECT_EQ(server.version(), 2);
  EXPECT_TRUE(client.Patch(Pools(), "ns", "a",
                           json::array({Operation("add", "/spec/workers", 7)}).dump(),
                           {.dry_run = true}, stop));
  EXPECT_EQ(server.version(), 2);
}

TEST_F(FakeApi, AJsonPatchOfWhichOneOperationFailsDoesNothing) {
  ASSERT_TRUE(Create(Pools(), Pool("a")));
  const json change = Operation("replace", "/spec/workers", 5);
  const std::vector<json> failing = {
      Operation("test", "/metadata/uid", "somebody-else"),
      Operation("test", "/spec/workers", 1),  // it is 5 by then
      Operation("test", "/spec/nothing", 1),
      Operation("replace", "/spec/nothing/below", 1),
      Operation("add", "/spec/nothing/below", 1),
      {{"op", "remove"}, {"path", "/spec/nothing"}},
      Operation("invent", "/spec/workers", 1),
      Operation("replace", "", 1),
      Operation("replace", "/metadata", 1),
  };
  for (const json& operation : failing) {
    const auto got = PatchPool("a", {change, operation});
    ASSERT_FALSE(got) << operation;
    EXPECT_EQ(got.error().code, Code::kInvalid) << operation;
    EXPECT_EQ(got.error().http_status, 422) << operation;
    EXPECT_EQ(got.error().reason, "Invalid") << operation;
  }
  EXPECT_EQ(server.version(), 1);
  EXPECT_EQ(client.Patch(Pools(), "ns", "a", change.dump(), {}, stop).error().http_status, 400);
  EXPECT_EQ(PatchPool("b", {change}).error().code, Code::kNotFound);
}

TEST_F(FakeApi, AJsonPatchOfIdentityIsRefused) {
  ASSERT_TRUE(Create(Pools(), Pool("a")));
  EXPECT_EQ(PatchPool("a", {Operation("replace", "/metadata/uid", "99")}).error().code,
            Code::kInvalid);
  EXPECT_EQ(PatchPool("a", {Operation("replace", "/metadata/resourceVersion", "99")}).error().code,
            Code::kConflict);
  EXPECT_TRUE(PatchPool("a", {Operation("replace", "/metadata/resourceVersion", "1"),
                              Operation("replace", "/spec/workers", 2)}));
}

TEST_F(FakeApi, DeploymentsAreServed) {
  const json deployment = {{"apiVersion", "apps/v1"},
                           {"kind", "Deployment"},
                           {"metadata", {{"name", "d"}}},
                           {"spec", {{"replicas", 2}}}};
  ASSERT_TRUE(Create(kube::DeploymentResource(), deployment));
  const auto got =
      client.Patch(kube::DeploymentResource(), "ns", "d",
                   json::array({Operation("replace", "/spec/replicas", 3)}).dump(), {}, stop);
  EXPECT_EQ(Field(got, "/spec/replicas"), "3");
  EXPECT_EQ(Field(client.List(kube::DeploymentResource(), {}, stop), "/kind"), "DeploymentList");
}

TEST_F(FakeApi, AScaleIsTheObjectsReplicas) {
  const kube::Resource fleets{"example.com", "v1", "fleets", "Fleet", true};
  server.Put({{"apiVersion", "example.com/v1"},
              {"kind", "Fleet"},
              {"metadata", {{"name", "f"}, {"namespace", "ns"}}},
              {"spec", {{"image", "x"}}}});
  const auto scale = client.GetScale(fleets, "ns", "f", {});
  EXPECT_EQ(Field(scale, "/kind"), "Scale");
  EXPECT_EQ(Field(scale, "/spec/replicas"), "0");
  json body = json::parse(*scale);
  body["spec"]["replicas"] = 3;
  EXPECT_EQ(Field(client.UpdateScale(fleets, "ns", "f", body.dump(), {}, {}), "/spec/replicas"),
            "3");
  EXPECT_EQ((*server.Get("fleets", "ns", "f"))["spec"], (json{{"image", "x"}, {"replicas", 3}}));
  EXPECT_EQ(client.UpdateScale(fleets, "ns", "f", body.dump(), {}, {}).error().code,
            Code::kConflict);
  EXPECT_EQ(client.GetScale(Pools(), "ns", "f", {}).error().code, Code::kNotFound);
}

TEST_F(FakeApi, DiscoveryNamesKindsAndTheirScales) {
  const auto list = client.GetPath("/apis/example.com/v1", {});
  EXPECT_EQ(Field(list, "/kind"), "APIResourceList");
  EXPECT_EQ(Field(list, "/resources/0/name"), "fleets");
  EXPECT_EQ(Field(list, "/resources/1/name"), "fleets/scale");
  EXPECT_EQ(Field(list, "/resources/2/kind"), "Rack");
  EXPECT_EQ(Field(client.GetPath("/api/v1", {}), "/resources/0/name"), "nodes");
  EXPECT_EQ(client.GetPath("/apis/example.com/v7", {}).error().code, Code::kNotFound);
}

TEST_F(FakeApi, DeleteHonoursPreconditions) {
  const auto made = Create(Pools(), Pool("a"));
  EXPECT_EQ(Delete(Pools(), "a", "other").error().code, Code::kConflict);
  EXPECT_EQ(Delete(Pools(), "a", "", "7").error().code, Code::kConflict);
  EXPECT_TRUE(Delete(Pools(), "a", Field(made, "/metadata/uid"), "1"));
  EXPECT_EQ(Delete(Pools(), "a").error().code, Code::kNotFound);
  EXPECT_EQ(server.version(), 2);
}

TEST_F(FakeApi, ABoundPodIsTerminatingUntilForced) {
  server.Put(PodObject("p", "n1"));
  server.Put(PodObject("loose"));
  ASSERT_TRUE(Delete(kube::PodResource(), "loose"));
  EXPECT_FALSE(server.Get("pods", "ns", "loose"));
  ASSERT_TRUE(Delete(kube::PodResource(), "p"));
  EXPECT_EQ((*server.Get("pods", "ns", "p"))["metadata"]["deletionTimestamp"],
            "2026-11-24T00:00:30Z");
  ASSERT_TRUE(Delete(kube::PodResource(), "p", "", "", 0));
  EXPECT_FALSE(server.Get("pods", "ns", "p"));
}

TEST_F(FakeApi, ChildrenOfNobodyAreCollected) {
  const json owner = server.Put(Pool("a"));
  const auto owned = [](json object, const json& by) {
    object["metadata"]["ownerReferences"] = {{{"kind", by["kind"]},
                                              {"name", by["metadata"]["name"]},
                                              {"uid", by["metadata"]["uid"]},
                                              {"controller", true}}};
    return object;
  };
  const json service = server.Put(owned(Service("s"), owner));
  server.Put(owned(PodObject("grandchild"), service));
  server.Put(Service("free"));
  EXPECT_EQ(server.CollectGarbage(), 0);
  ASSERT_TRUE(Delete(Pools(), "a"));
  EXPECT_EQ(server.CollectGarbage(), 2);
  EXPECT_TRUE(server.Get("services", "ns", "free"));
}

TEST_F(FakeApi, WhatIsNotServedIsNotFound) {
  const kube::Resource secrets{"", "v1", "secrets", "Secret", true};
  EXPECT_EQ(client.Get(secrets, "ns", "x", stop).error().code, Code::kNotFound);
  EXPECT_EQ(client.Get(Pools(), "ns", "x", stop).error().message,
            "trainingpools.spillway.dev \"x\" not found");
}

// --- lists ---

TEST_F(FakeApi, ListsByNamespaceAndSelector) {
  server.Put(Service("a", {{"app", "x"}}));
  server.Put(Service("b", {{"app", "y"}}));
  json elsewhere = Service("c", {{"app", "x"}});
  elsewhere["metadata"]["namespace"] = "other";
  server.Put(elsewhere);
  server.Put(PodObject("p", "n1"));
  const auto names = [&](const kube::Resource& kind, const kube::ListOptions& options) {
    const auto body = client.List(kind, options, stop);
    std::string out;
    const json list = json::parse(body.value());
    for (const json& item : list["items"]) out += item["metadata"]["name"].get<std::string>();
    return out;
  };
  EXPECT_EQ(names(kube::ServiceResource(), {}), "abc");
  EXPECT_EQ(names(kube::ServiceResource(), {.ns = "ns"}), "ab");
  EXPECT_EQ(names(kube::ServiceResource(), {.label_selector = "app=x"}), "ac");
  EXPECT_EQ(names(kube::ServiceResource(), {.label_selector = "app!=x"}), "b");
  EXPECT_EQ(names(kube::ServiceResource(), {.label_selector = "app,!none"}), "abc");
  EXPECT_EQ(names(kube::ServiceResource(), {.field_selector = "metadata.name=b"}), "b");
  EXPECT_EQ(names(kube::PodResource(), {.field_selector = "spec.nodeName=n1"}), "p");
  EXPECT_EQ(names(kube::PodResource(), {.field_selector = "spec.nodeName!=n1"}), "");
}

TEST_F(FakeApi, PagesAreOfOneMoment) {
  for (const char* name : {"a", "b", "c", "d", "e"}) server.Put(Service(name));
  const auto first = client.List(kube::ServiceResource(), {.limit = 2}, stop);
  EXPECT_EQ(Field(first, "/metadata/remainingItemCount"), "3");
  server.Remove("services", "ns", "d");
  server.Put(Service("aa"));
  const std::string token = Field(first, "/metadata/continue");
  const auto second =
      client.List(kube::ServiceResource(), {.continue_token = token, .limit = 2}, stop);
  EXPECT_EQ(Field(second, "/items/1/metadata/name"), "d");
  EXPECT_EQ(Field(second, "/metadata/resourceVersion"), "5");
  server.Compact();
  const std::string next = Field(second, "/metadata/continue");
  EXPECT_EQ(client.List(kube::ServiceResource(), {.continue_token = next}, stop).error().code,
            Code::kGone);
}

TEST_F(FakeApi, AListOfTheFutureIsRefused) {
  server.Put(Service("a"));
  const auto got = client.List(kube::ServiceResource(), {.resource_version = "2"}, stop);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().http_status, 504);
  EXPECT_EQ(got.error().message, "Timeout: Too large resource version: 2, current: 1");
  EXPECT_TRUE(client.List(kube::ServiceResource(), {.resource_version = "1"}, stop));
}

// --- distance ---

TEST_F(FakeApi, ACacheShowsInOrderWhatHappenedAWhileAgo) {
  server.Put(Service("s00"));
  server.SetLag(Lag{.cache = std::chrono::seconds(1000)});
  for (int i = 1; i < 20; ++i) server.Put(Service("s" + std::to_string(10 + i)));
  std::set<size_t> seen;
  for (int moment = 0; moment <= 1000; moment += 50) {
    const auto cached =
        json::parse(client.List(kube::ServiceResource(), {.resource_version = "0"}, stop).value());
    const size_t shown = cached["items"].size();
    EXPECT_EQ(cached["metadata"]["resourceVersion"], std::to_string(shown)) << "all up to there";
    EXPECT_TRUE(seen.empty() || shown >= *seen.rbegin()) << "and it never goes back";
    seen.insert(shown);
    const auto newest = client.List(kube::ServiceResource(), {}, stop);
    EXPECT_EQ(Field(newest, "/metadata/resourceVersion"), "20") << "as it is stored";
    clock.Advance(std::chrono::seconds(50));
  }
  EXPECT_EQ(*seen.begin(), 1U);
  EXPECT_EQ(*seen.rbegin(), 20U);
  EXPECT_GT(seen.size(), 2U);
}

TEST_F(FakeApi, AListNotOlderThanWhatACacheShowsIsRefused) {
  server.Put(Service("a"));
  server.SetLag(Lag{.cache = std::chrono::seconds(1000)});
  server.Put(Service("b"));
  const auto got = client.List(kube::ServiceResource(), {.resource_version = "2"}, stop);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().http_status, 504);
  EXPECT_EQ(got.error().message, "Timeout: Too large resource version: 2, current: 1");
  kube::HttpRequest request;
  request.method = "GET";
  request.target = "/api/v1/services?resourceVersion=2";
  const auto answer = server.Send(request, stop);
  ASSERT_TRUE(answer);
  EXPECT_EQ(json::parse(answer->body)["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
  server.CatchUp();
  EXPECT_TRUE(client.List(kube::ServiceResource(), {.resource_version = "2"}, stop));
}

TEST_F(FakeApi, AWatchTellsWhatItsCacheShowsAndBookmarksNoMore) {
  server.Put(Service("a"));
  server.SetLag(Lag{.cache = std::chrono::seconds(1000)});
  Watcher watcher(client, kube::ServiceResource(), {.resource_version = "1"});
  ASSERT_TRUE(server.WaitUntil([&] { return server.open_watches() == 1; }));
  server.Put(PodObject("p"));
  server.Put(Service("b"));
  server.SendBookmarks();
  ASSERT_TRUE(Eventually([&] { return watcher.Events() == "BOOKMARK @2 "; }));
  clock.Advance(std::chrono::seconds(1000));
  server.Tick();
  ASSERT_TRUE(Eventually([&] { return watcher.Events() == "BOOKMARK @2 ADDED b@3 "; }));
  server.CloseWatches();
  EXPECT_EQ(watcher.Join(), "ok");
}

TEST_F(FakeApi, AWatchFromWhatNoCacheShowsYetDoesNotGoBack) {
  server.Put(Service("a"));
  server.SetLag(Lag{.cache = std::chrono::seconds(1000)});
  server.Put(Service("b"));
  server.Put(Service("c"));
  Watcher watcher(client, kube::ServiceResource(), {.resource_version = "3"});
  ASSERT_TRUE(server.WaitUntil([&] { return server.open_watches() == 1; }));
  server.SendBookmarks();
  server.Put(Service("d"));
  server.CatchUp();
  ASSERT_TRUE(Eventually([&] { return watcher.Events().find("ADDED d@4") != std::string::npos; }));
  server.CloseWatches();
  EXPECT_EQ(watcher.Join(), "ok");
  EXPECT_EQ(watcher.Events().find("b@2"), std::string::npos);
  EXPECT_EQ(watcher.Events().find("@1"), std::string::npos);
}

TEST_F(FakeApi, ServersHaveCachesOfTheirOwn) {
  server.Put(Service("a"));
  server.SetLag(Lag{.servers = 2, .cache = std::chrono::seconds(1000)});
  for (int i = 0; i < 20; ++i) server.Put(Service("s" + std::to_string(i)));
  clock.Advance(std::chrono::seconds(600));
  std::set<std::string> versions;
  for (int i = 0; i < 20; ++i) {
    const auto cached = client.List(kube::ServiceResource(), {.resource_version = "0"}, stop);
    versions.insert(Field(cached, "/metadata/resourceVersion"));
  }
  EXPECT_EQ(versions.size(), 2U);
}

TEST_F(FakeApi, ARequestTakesItsTime) {
  server.SetLag(Lag{.latency = std::chrono::seconds(1000)});
  std::atomic<bool> done{false};
  std::jthread sender([&] {
    EXPECT_TRUE(Create(kube::ServiceResource(), Service("a")));
    done = true;
  });
  for (int moment = 0; !done; ++moment) {
    ASSERT_LE(moment, 1000);
    if (server.Get("services", "ns", "a")) break;
    clock.Advance(std::chrono::seconds(1));
    server.Tick();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_FALSE(done) << "the answer is under way";
  EXPECT_GE(clock.Elapsed(), std::chrono::seconds(1));
  clock.Advance(std::chrono::seconds(1000));
  EXPECT_TRUE(server.WaitUntil([&] {
    server.Tick();
    return done.load();
  }));
}

// --- watches ---

TEST_F(FakeApi, AWatchResumesFromItsVersion) {
  server.Put(Service("a"));
  server.Put(Service("b"));
  server.Put(PodObject("p"));
  server.Put(Service("a", {{"x", "y"}}));
  Watcher watcher(client, kube::ServiceResource(), {.resource_version = "1"});
  ASSERT_TRUE(server.WaitUntil([&] { return server.open_watches() == 1; }));
  server.Remove("services", "ns", "a");
  server.CloseWatches();
  EXPECT_EQ(watcher.Join(), "ok");
  EXPECT_EQ(watcher.Events(), "ADDED b@2 MODIFIED a@4 DELETED a@5 ");
}

TEST_F(FakeApi, AWatchFromNowhereBeginsWithAllThatIsThere) {
  server.Put(Service("a"));
  server.Put(Service("b"));
  Watcher watcher(client, kube::ServiceResource(), {.resource_version = "0"});
  ASSERT_TRUE(server.WaitUntil([&] { return server.open_watches() == 1; }));
  server.CloseWatches();
  EXPECT_EQ(watcher.Join(), "ok");
  EXPECT_EQ(watcher.Events(), "ADDED a@1 ADDED b@2 BOOKMARK @2 ");
}

TEST_F(FakeApi, ASelectorTurnsChangesIntoComingAndGoing) {
  Watcher watcher(client, kube::ServiceResource(),
                  {.label_selector = "app=x", .resource_version = "0"});
  ASSERT_TRUE(server.WaitUntil([&] { return server.open_watches() == 1; }));
  server.Put(Service("a"));
  server.Put(Service("a", {{"app", "x"}}));
  server.Put(Service("a", {{"app", "x"}, {"more", "1"}}));
  server.Put(Service("a", {{"app", "y"}}));
  server.Remove("services", "ns", "a");
  server.CloseWatches();
  EXPECT_EQ(watcher.Join(), "ok");
  EXPECT_EQ(watcher.Events(), "BOOKMARK @0 ADDED a@2 MODIFIED a@3 DELETED a@4 ");
}

TEST_F(FakeApi, BookmarksCarryTheVersionOfAllKinds) {
  server.Put(Service("a"));
  Watcher watcher(client, kube::ServiceResource(), {.resource_version = "1"});
  ASSERT_TRUE(server.WaitUntil([&] { return server.open_watches() == 1; }));
  server.Put(PodObject("p"));
  server.SendBookmarks();
  server.CloseWatches();
  EXPECT_EQ(watcher.Join(), "ok");
  EXPECT_EQ(watcher.Events(), "BOOKMARK @2 ");
}

TEST_F(FakeApi, AHeldWatchTellsAllOnceItIsReleased) {
  Watcher held(client, kube::ServiceResource(), {.resource_version = "0"});
  Watcher other(client, kube::PodResource(), {.resource_version = "0"});
  // A watch from nowhere begins with what there is: nothing.
  for (Watcher* watcher : {&held, &other}) {
    ASSERT_TRUE(support::Eventually([&] { return watcher->Events() == "BOOKMARK @0 "; }));
  }
  server.HoldWatches("services");
  server.Put(Service("a"));
  server.Put(PodObject("p"));
  server.SendBookmarks();
  const char* seen = "BOOKMARK @0 ADDED p@2 BOOKMARK @2 ";
  ASSERT_TRUE(support::Eventually([&] { return other.Events() == seen; }));
  EXPECT_EQ(held.Events(), "BOOKMARK @0 ");
  server.ReleaseWatches();
  server.CloseWatches();
  EXPECT_EQ(held.Join(), "ok");
  EXPECT_EQ(other.Join(), "ok");
  EXPECT_EQ(held.Events(), "BOOKMARK @0 ADDED a@1 BOOKMARK @2 ");
}

TEST_F(FakeApi, AForgottenVersionIsAnErrorEvent) {
  server.Put(Service("a"));
  server.Put(Service("b"));
  server.Compact();
  Watcher old(client, kube::ServiceResource(), {.resource_version = "1"});
  EXPECT_EQ(old.Join(), "ok");
  EXPECT_EQ(old.Events(), "ERROR 410 ");
  Watcher current(client, kube::ServiceResource(), {.resource_version = "2"});
  ASSERT_TRUE(server.WaitUntil([&] { return server.open_watches() == 1; }));
  server.Put(Service("c"));
  server.CloseWatches();
  EXPECT_EQ(current.Join(), "ok");
  EXPECT_EQ(current.Events(), "ADDED c@3 ");
}

TEST_F(FakeApi, AWatchEndsAtItsTimeoutAndWhenStopped) {
  Watcher timed(client, kube::ServiceResource(),
                {.resource_version = "0", .timeout = std::chrono::seconds(5)});
  Watcher stopped(client, kube::ServiceResource(),
                  {.resource_version = "0", .timeout = std::chrono::seconds(50)});
  ASSERT_TRUE(server.WaitUntil([&] { return server.open_watches() == 2; }));
  clock.Advance(std::chrono::seconds(5));
  server.Tick();
  EXPECT_EQ(timed.Join(), "ok");
  EXPECT_EQ(server.open_watches(), 1U);
  stopped.Stop();
  EXPECT_EQ(stopped.Join(), "cancelled");
}

// --- faults and the log ---

TEST_F(FakeApi, AnswersAsInjected) {
  server.Put(Service("a"));
  server.Inject({.verb = "get", .path_contains = "services", .skip = 1, .times = 2, .status = 500});
  std::string codes;
  for (int i = 0; i < 4; ++i)
    codes += client.Get(kube::ServiceResource(), "ns", "a", stop) ? "+" : "-";
  EXPECT_EQ(codes, "+--+");
  server.Inject({.verb = "create", .times = -1, .status = 403, .reason = "Forbidden"});
  EXPECT_EQ(Create(Pools(), Pool("a")).error().code, Code::kForbidden);
  EXPECT_EQ(Create(Pools(), Pool("a")).error().code, Code::kForbidden);
  server.ClearFaults();
  EXPECT_TRUE(Create(Pools(), Pool("a")));
}

TEST_F(FakeApi, RetryAfterIsAHeader) {
  server.Inject({.status = 429, .reason = "TooManyRequests", .retry_after = 0});
  server.Put(Service("a"));
  EXPECT_TRUE(client.Get(kube::ServiceResource(), "ns", "a", stop));
  EXPECT_EQ(server.Requests().size(), 2U);
}

TEST_F(FakeApi, ADroppedWriteMayHaveHappened) {
  server.Inject({.kind = Fault::Kind::kDropBefore, .verb = "create"});
  EXPECT_EQ(Create(Pools(), Pool("a")).error().code, Code::kUnknown);
  EXPECT_FALSE(server.Get("trainingpools", "ns", "a"));
  server.Inject({.kind = Fault::Kind::kDropAfter, .verb = "create"});
  EXPECT_EQ(Create(Pools(), Pool("a")).error().code, Code::kUnknown);
  EXPECT_TRUE(server.Get("trainingpools", "ns", "a"));
  server.Inject({.kind = Fault::Kind::kDropBefore, .verb = "get"});
  EXPECT_EQ(client.Get(Pools(), "ns", "a", stop).error().code, Code::kUnavailable);
}

TEST_F(FakeApi, AWatchIsCutAtAnyByte) {
  server.Put(Service("a"));
  server.Put(Service("b"));
  server.Inject({.kind = Fault::Kind::kCutWatch, .after_bytes = 10});
  server.SetChunkBytes(3);
  Watcher watcher(client, kube::ServiceResource(), {.resource_version = "1"});
  EXPECT_EQ(watcher.Join(), "unavailable");
  EXPECT_EQ(watcher.Text(), R"({"type":"A)");
}

TEST_F(FakeApi, AWatchGetsAnErrorEvent) {
  server.Inject({.kind = Fault::Kind::kErrorEvent, .status = 429, .reason = "TooManyRequests"});
  Watcher watcher(client, kube::ServiceResource(), {.resource_version = "0"});
  EXPECT_EQ(watcher.Join(), "ok");
  EXPECT_EQ(watcher.Events(), "ERROR 429 ");
}

TEST_F(FakeApi, TheLogHasWhoAskedForWhat) {
  ASSERT_TRUE(Create(Pools(), Pool("a")));
  ASSERT_TRUE(client.Get(Pools(), "ns", "a", stop));
  ASSERT_TRUE(client.List(Pools(), {.ns = "ns"}, stop));
  std::string log;
  for (const LoggedRequest& request : server.Requests()) {
    log += request.verb + " " + request.path + " " + request.user_agent + " " +
           std::to_string(request.status) + "\n";
  }
  EXPECT_EQ(log,
            "create /apis/spillway.dev/v1alpha1/namespaces/ns/trainingpools spillway/test 201\n"
            "get /apis/spillway.dev/v1alpha1/namespaces/ns/trainingpools/a spillway/test 200\n"
            "list /apis/spillway.dev/v1alpha1/namespaces/ns/trainingpools spillway/test 200\n");
  ASSERT_EQ(server.Writes().size(), 1U);
  EXPECT_EQ(json::parse(server.Writes()[0].body), Pool("a"));
  EXPECT_EQ(server.Writes()[0].query.at("fieldManager"), "m");
  server.ClearRequests();
  EXPECT_THAT(server.Requests(), IsEmpty());
}

TEST_F(FakeApi, WaitUntilGivesUp) {
  EXPECT_FALSE(server.WaitUntil([] { return false; }, std::chrono::milliseconds(1)));
}

// Many writers and watchers at once: every watcher sees the same order, and nothing twice.
TEST_F(FakeApi, WatchersSeeEveryWriteOnceInOrder) {
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < 3; ++i) {
    watchers.push_back(
        std::make_unique<Watcher>(client, Pools(), kube::WatchOptions{.resource_version = "0"}));
  }
  ASSERT_TRUE(server.WaitUntil([&] { return server.open_watches() == 3; }));
  {
    std::vector<std::jthread> writers;
    for (int writer = 0; writer < 4; ++writer) {
      writers.emplace_back([&, writer] {
        for (int i = 0; i < 50; ++i) {
          const std::string name = "p" + std::to_string(writer) + "-" + std::to_string(i % 10);
          if (i % 10 == 9) {
            (void)Delete(Pools(), name);
          } else if (!Create(Pools(), Pool(name, i))) {
            server.Patch("trainingpools", "ns", name, {{"spec", {{"workers", i}}}});
          }
        }
      });
    }
  }
  server.CloseWatches();
  for (auto& watcher : watchers) EXPECT_EQ(watcher->Join(), "ok");
  EXPECT_EQ(watchers[0]->Text(), watchers[1]->Text());
  EXPECT_EQ(watchers[0]->Text(), watchers[2]->Text());
  const std::string begin = "BOOKMARK @0 ";
  ASSERT_THAT(watchers[0]->Events(), testing::StartsWith(begin));
  std::istringstream events(watchers[0]->Events().substr(begin.size()));
  int64_t last = 0;
  for (std::string type, at; events >> type >> at;) {
    const int64_t version = std::stoll(at.substr(at.find('@') + 1));
    EXPECT_EQ(version, last + 1);
    last = version;
  }
  EXPECT_EQ(last, server.version());
}

}  // namespace
}  // namespace spillway::support
