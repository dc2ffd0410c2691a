// What a store keeps of pods, and what that costs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kube/reflector.h"
#include "kube/types/pod.h"
#include "tests/support/counted_heap.h"

namespace spillway::kube {
namespace {

using nlohmann::json;
using support::HeapInUse;

constexpr const char* kPrefix = "spillway.dev/";

json PodJson(const std::string& name) {
  const json requests = {{"requests", {{"cpu", "250m"}, {"memory", "512Mi"}}}};
  return {
      {"apiVersion", "v1"},
      {"kind", "Pod"},
      {"metadata",
       {{"namespace", "team"},
        {"name", name},
        {"uid", "0b1e5a5e-5ca1-4e5e-8000-000012345678"},
        {"resourceVersion", "2000000001"},
        {"creationTimestamp", "2026-11-24T08:00:00Z"},
        {"deletionTimestamp", "2026-11-25T08:00:00Z"},
        {"labels", {{"app", "web"}, {"batch.kubernetes.io/job-completion-index", "3"}}},
        {"annotations", {{"checksum/config", std::string(64, 'c')}}},
        {"ownerReferences",
         {{{"controller", true},
           {"kind", "Job"},
           {"name", "web-5d8f7c9b6d"},
           {"uid", "5e1f5a5e-5ca1-4e5e-8000-000012345678"}}}}}},
      {"spec",
       {{"nodeName", "node-of-a-long-name-1"},
        {"containers", json::array({{{"name", "main"}, {"resources", requests}}})}}},
      {"status",
       {{"phase", "Failed"},
        {"conditions",
         json::array({{{"type", "Ready"},
                       {"status", "True"},
                       {"lastTransitionTime", "2026-11-24T09:00:00Z"}},
                      {{"type", "DisruptionTarget"}, {"status", "True"}},
                      {{"type", "PodScheduled"}, {"status", "False"}, {"message", "full"}}})},
        {"containerStatuses",
         json::array(
             {{{"name", "main"},
               {"state",
                {{"terminated", {{"exitCode", 3}, {"reason", "Error"}, {"message", "m"}}}}}}})}}}};
}

json OwnPodJson(const std::string& name) {
  json pod = PodJson(name);
  pod["metadata"]["labels"]["spillway.dev/pool-uid"] = "p";
  return pod;
}

// One moment's reading; the JSON's parser goes before what was read is looked at.
template <class T>
T Decoded(const json& object, const std::function<Status(JsonValue, T&)>& decode) {
  JsonParser parser;
  T out;
  const Result<JsonValue> root = parser.Parse(object.dump());
  const Status done = root ? decode(*root, out) : Status(root.error());
  EXPECT_TRUE(done) << done.error().message;
  return out;
}

Pod Whole(const json& object) {
  return Decoded<Pod>(object,
                      [](JsonValue value, Pod& out) { return DecodePod(value, kPrefix, out); });
}

class KeptPodTest : public testing::Test {
 protected:
  KeptPod Read(const json& object) {
    return Decoded<KeptPod>(
        object, [this](JsonValue value, KeptPod& out) { return keeper_.Read(value, out); });
  }
  // Through a watch's sink.
  void Come(const json& object) {
    JsonParser parser;
    const std::string text = object.dump();
    const Result<JsonValue> root = parser.Parse(text);
    ASSERT_TRUE(root);
    EXPECT_TRUE(sink_.Upsert(*root));
  }

  PodKeeper keeper_{kPrefix};
  int changes_ = 0;
  Store<KeptPod> store_{[this] { ++changes_; }};
  StoreSink<KeptPod> sink_{
      store_, [this](JsonValue value, KeptPod& out) { return keeper_.Read(value, out); }};
};

TEST_F(KeptPodTest, AForeignOneHasWhatIsReadOfItAndNoMore) {
  json object = PodJson("web-1");
  object["status"]["phase"] = "Running";
  const KeptPod pod = Read(object);
  EXPECT_EQ(Key(pod.meta), "team/web-1");
  EXPECT_EQ(pod.meta.resource_version, "2000000001");
  EXPECT_EQ(pod.node.Get(), "node-of-a-long-name-1");
  EXPECT_EQ(pod.requests.Get(), Whole(object).requests);
  EXPECT_EQ(pod.requests.Get().Get("cpu"), 250);
  EXPECT_EQ(pod.phase, PodPhase::kRunning);
  EXPECT_TRUE(pod.UsesNode());
  EXPECT_FALSE(pod.comes_with_node);
  EXPECT_EQ(pod.own, nullptr);
}

TEST_F(KeptPodTest, OneOfOursIsAllThere) {
  const json object = OwnPodJson("worker-1");
  const KeptPod pod = Read(object);
  ASSERT_NE(pod.own, nullptr);
  EXPECT_EQ(*pod.own, Whole(object));
  EXPECT_TRUE(pod.own->disrupted);
  EXPECT_EQ(pod.own->failure->exit_code, 3);
  EXPECT_EQ(pod.own->scheduling_message, "full");
  EXPECT_EQ(pod.own->completion_index, 3);
  EXPECT_EQ(pod.own->meta.resource_version, pod.meta.resource_version);
  EXPECT_EQ(pod.phase, PodPhase::kFailed);
  EXPECT_FALSE(pod.UsesNode());
}

// No API server writes so; what JSON says does not depend on the order.
TEST_F(KeptPodTest, BothAreTheSameWhateverTheOrderOfTheirParts) {
  for (const json& object : {PodJson("p"), OwnPodJson("worker-1")}) {
    const KeptPod expected = Read(object);
    std::vector<std::string> parts = {"metadata", "spec", "status"};
    do {
      std::string text;
      for (const std::string& part : parts) {
        text += (text.empty() ? R"({")" : R"(, ")") + part + R"(": )" + object[part].dump();
      }
      text += "}";
      JsonParser parser;
      KeptPod pod;
      ASSERT_TRUE(keeper_.Read(*parser.Parse(text), pod)) << text;
      EXPECT_EQ(pod, expected) << text;
      ASSERT_EQ(pod.own != nullptr, expected.own != nullptr) << text;
      if (pod.own) {
        EXPECT_EQ(*pod.own, Whole(object)) << text;
      }
    } while (std::ranges::next_permutation(parts).found);
  }
}

TEST_F(KeptPodTest, PodsThatComeWithTheirNodeAreKnown) {
  for (const char* kind : {"DaemonSet", "Node", "ReplicaSet", "Job"}) {
    json object = PodJson("p");
    object["metadata"]["ownerReferences"][0]["kind"] = kind;
    const bool comes = kind == std::string("DaemonSet") || kind == std::string("Node");
    EXPECT_EQ(Read(object).comes_with_node, comes) << kind;
  }
}

TEST_F(KeptPodTest, EqualPartsAreInMemoryOnce) {
  const KeptPod first = Read(PodJson("web-1"));
  const KeptPod second = Read(PodJson("web-2"));
  EXPECT_TRUE(first.meta.ns.IsSameAs(second.meta.ns));
  EXPECT_TRUE(first.node.IsSameAs(second.node));
  EXPECT_TRUE(first.requests.IsSameAs(second.requests));
}

TEST_F(KeptPodTest, WhatIsNotReadOfAForeignPodIsNoChange) {
  json object = PodJson("web-1");
  Come(object);
  EXPECT_EQ(changes_, 1);
  object["metadata"]["resourceVersion"] = "2000000002";
  object["metadata"]["labels"]["app"] = "shop";
  object["status"]["conditions"][0]["status"] = "False";
  Come(object);
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(store_.ResourceVersion(), "2000000002");
  EXPECT_EQ(store_.Get("team/web-1")->meta.resource_version, "2000000002");
}

TEST_F(KeptPodTest, WhateverIsReadIsAChange) {
  const auto look = [&](const json& before, const json::json_pointer& where, const json& value) {
    Come(before);
    const int changes = changes_;
    json after = before;
    after["metadata"]["resourceVersion"] = "2000000002";
    Come(after);
    EXPECT_EQ(changes_, changes) << "the version alone, " << where;
    after[where] = value;
    Come(after);
    EXPECT_EQ(changes_, changes + 1) << where;
  };
  const auto at = [](const char* text) { return json::json_pointer(text); };
  const json foreign = PodJson("p");
  look(foreign, at("/spec/nodeName"), "other");
  look(foreign, at("/spec/containers/0/resources/requests/cpu"), "1");
  look(foreign, at("/status/phase"), "Running");
  look(foreign, at("/metadata/ownerReferences/0/kind"), "DaemonSet");
  const json own = OwnPodJson("q");
  look(own, at("/status/conditions/0/status"), "False");
  look(own, at("/status/containerStatuses/0/state/terminated/exitCode"), 4);
  look(own, at("/metadata/labels/spillway.dev~1pool-uid"), "other");
}

TEST_F(KeptPodTest, AForeignPodThatBecomesOursIsComplete) {
  Come(PodJson("p"));
  EXPECT_EQ(store_.Get("team/p")->own, nullptr);
  Come(OwnPodJson("p"));
  EXPECT_EQ(changes_, 2);
  ASSERT_NE(store_.Get("team/p")->own, nullptr);
  EXPECT_EQ(*store_.Get("team/p")->own, Whole(OwnPodJson("p")));
  Come(PodJson("p"));
  EXPECT_EQ(changes_, 3);
  EXPECT_EQ(store_.Get("team/p")->own, nullptr);
  EXPECT_EQ(store_.size(), 1U);
}

TEST_F(KeptPodTest, AnUnreadableOneIsStillKnownByItsName) {
  json object = PodJson("p");
  Come(object);
  object["metadata"]["resourceVersion"] = "2000000002";
  object["spec"]["nodeName"] = 7;
  JsonParser parser;
  EXPECT_FALSE(sink_.Delete(*parser.Parse(object.dump())));
  EXPECT_EQ(store_.size(), 0U);
  EXPECT_EQ(store_.ResourceVersion(), "2000000002");
}

// Lists of many pods, most of them of others. What is generated of one goes before the next.
class ManyPodsTest : public KeptPodTest {
 protected:
  static constexpr int kPods = 10'000;

  // Their version is that of `generation`.
  void List(int generation, int pods = kPods) {
    JsonParser parser;
    json object = PodJson("");
    object["metadata"]["resourceVersion"] = std::to_string(2'000'000'000 + generation);
    sink_.BeginList();
    for (int i = 0; i < pods; ++i) {
      object["metadata"]["name"] = "service-5d8f7c9b6d-" + std::to_string(10'000 + i);
      object["spec"]["nodeName"] = "node-" + std::to_string(i % 500);
      const std::string text = object.dump();
      ASSERT_TRUE(sink_.ListItem(*parser.Parse(text)));
    }
    sink_.EndList(std::to_string(3'000'000'000 + generation));
    ASSERT_EQ(store_.size(), static_cast<size_t>(pods));
  }
};

// The target is 400 bytes of resident memory; what allocators lose is not seen here.
TEST_F(ManyPodsTest, AForeignOneCostsLessThan300Bytes) {
  const int64_t before = HeapInUse();
  ASSERT_NO_FATAL_FAILURE(List(1));
  const int64_t each = (HeapInUse() - before) / kPods;
  RecordProperty("bytes", std::to_string(each));
  EXPECT_LT(each, 300);
  EXPECT_GT(each, 64) << "the meter does not count";
}

TEST_F(ManyPodsTest, AListOfWhatIsKnownNeedsLittleBesideIt) {
  const int64_t before = HeapInUse();
  ASSERT_NO_FATAL_FAILURE(List(1));
  const int64_t settled = HeapInUse() - before;
  support::ForgetMostHeapInUse();
  ASSERT_NO_FATAL_FAILURE(List(1));
  const int64_t most = support::MostHeapInUse() - before;
  RecordProperty("percent", std::to_string(100 * most / settled));
  EXPECT_LE(most, settled * 13 / 10) << settled << " bytes, at the most " << most;
  EXPECT_LE(HeapInUse() - before, settled + settled / 1000);
}

TEST_F(ManyPodsTest, AHundredListsLeaveMemoryAsItWas) {
  constexpr int kFew = 1'000;
  for (int i = 1; i <= 2; ++i) ASSERT_NO_FATAL_FAILURE(List(i, kFew));
  const int64_t settled = HeapInUse();
  for (int i = 3; i <= 100; ++i) ASSERT_NO_FATAL_FAILURE(List(i / 2, kFew));
  EXPECT_LE(HeapInUse(), settled + settled / 1000);
}

}  // namespace
}  // namespace spillway::kube
