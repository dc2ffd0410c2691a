// Nodes that elastic groups give back: held, marked, and their target lowered for them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/leaving_nodes.h"
#include "controllers/observe.h"
#include "controllers/status.h"
#include "controllers/targets.h"
#include "tests/controllers/loop_fixture.h"
#include "tests/support/eventually.h"

namespace spillway::controllers {
namespace {

using crds::v1alpha1::ScaleTarget;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

const ScaleTarget kFleet{"example.com/v1", "Fleet", "infra", "burst", ""};
constexpr const char* kLeaving = "/metadata/annotations/spillway.dev~1leaving";
constexpr const char* kNote = "/metadata/annotations/spillway.dev~1leaving-machine";
constexpr const char* kMark = "/metadata/annotations/example.com~1delete-machine";

Json FleetOf(int replicas) {
  return {{"apiVersion", "example.com/v1"},
          {"kind", "Fleet"},
          {"metadata", {{"name", "burst"}, {"namespace", "infra"}}},
          {"spec", {{"replicas", replicas}}},
          {"status", {{"replicas", replicas}, {"selector", "fleet=burst"}}}};
}

Json OwnerOf(const std::string& uid, const std::string& kind = "MachineSet") {
  return {{"apiVersion", "example.com/v1"},
          {"kind", kind},
          {"name", "burst"},
          {"uid", uid},
          {"controller", true}};
}

Json MachineOf(const std::string& node) {
  return {{"apiVersion", "example.com/v1"},
          {"kind", "Machine"},
          {"metadata",
           {{"name", "m-" + node},
            {"namespace", "infra"},
            {"labels", {{"fleet", "burst"}}},
            {"ownerReferences", Json::array({OwnerOf("set-1")})}}},
          {"status", {{"nodeRef", {{"name", node}}}}}};
}

Json BurstNode(const std::string& name) {
  Json node = NodeJson(name, "burst");
  node["metadata"]["annotations"] = {{"example.com/machine", "m-" + name}};
  return node;
}

Json HeldNode(const std::string& name) {
  Json node = BurstNode(name);
  node["metadata"]["annotations"]["spillway.dev/leaving"] = "2026-11-23T00:00:00Z";
  node["spec"]["unschedulable"] = true;
  return node;
}

Json PodOn(const std::string& node, const std::string& name) {
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata", {{"name", name}, {"namespace", "other"}}},
          {"spec", {{"nodeName", node}, {"containers", {{{"name", "c"}, {"image", "i"}}}}}},
          {"status", {{"phase", "Running"}}}};
}

Json OwnedBy(const std::string& kind, Json pod) {
  pod["metadata"]["ownerReferences"] = {
      {{"apiVersion", "v1"}, {"kind", kind}, {"name", "o"}, {"uid", "u"}, {"controller", true}}};
  return pod;
}

// Fleet infra/burst has the nodes b0 and b1, of which b0 is held.
class GiveBackTest : public testing::Test {
 protected:
  GiveBackTest() {
    server_.Put(FleetOf(2));
    server_.Put(HeldNode("b0"));
    server_.Put(BurstNode("b1"));
    for (const char* node : {"b0", "b1"}) server_.Put(MachineOf(node));
  }
  TargetLook Lower(std::vector<std::string> nodes = {"b0"}, int to = 1) {
    TargetWish wish{.target = kFleet, .at_least = {}, .nodes = 2};
    wish.gives = true;
    wish.leaving = std::move(nodes);
    wish.lower_to = to;
    return LookAtTarget(client_, wish, beat_, {});
  }
  TargetLook AfterLowering(std::optional<int> at_least) {
    TargetWish wish{.target = kFleet, .at_least = at_least, .nodes = 1};
    wish.gives = true;
    wish.leaving = {"b0"};
    wish.lower_to = 1;
    wish.lowered = true;
    return LookAtTarget(client_, wish, beat_, {});
  }
  void ChangeMachine(const std::string& node, const Json& patch) {
    server_.Patch("machines", "infra", "m-" + node, patch);
  }
  Json Node(const std::string& name) { return *server_.Get("nodes", "", name); }
  Json Machine(const std::string& node) { return *server_.Get("machines", "infra", "m-" + node); }
  int Replicas() { return (*server_.Get("fleets", "infra", "burst"))["spec"]["replicas"]; }
  static std::string At(const Json& object, const char* pointer) {
    return object.value(Json::json_pointer(pointer), "");
  }

  support::FakeClock clock_;
  support::FakeApiServer server_{clock_};
  kube::Client client_{server_, clock_, {"test", 16, std::chrono::seconds(5), {}}};
  int beats_ = 0;
  Beat beat_ = [this] { ++beats_; };
};

TEST_F(GiveBackTest, ANodeIsHeldByACordonThatSaysSinceWhen) {
  const Time now{Seconds(1'700'000'000)};
  const NodeStep step = HoldNodes(client_, {"b1"}, now, beat_, {});
  EXPECT_TRUE(step.Done());
  EXPECT_EQ(At(Node("b1"), kLeaving), FormatTime(now));
  EXPECT_EQ(Node("b1")["spec"]["unschedulable"], true);
  EXPECT_EQ(step.versions, std::vector<std::string>{Node("b1")["metadata"]["resourceVersion"]});
}

TEST_F(GiveBackTest, ACordonOfSomebodyElseStaysHis) {
  server_.Patch("nodes", "", "b1", {{"spec", {{"unschedulable", true}}}});
  EXPECT_TRUE(HoldNodes(client_, {"b1", "gone"}, {}, beat_, {}).Done());
  EXPECT_EQ(At(Node("b1"), kLeaving), "");
  EXPECT_TRUE(ReleaseNode(client_, "b1", {}).ok());
  EXPECT_EQ(Node("b1")["spec"]["unschedulable"], true);
  EXPECT_THAT(server_.Writes(), IsEmpty());
}

TEST_F(GiveBackTest, TheTargetIsLoweredForNodesWhoseMachinesAreMarkedFirst) {
  const TargetLook look = Lower();
  EXPECT_EQ(look.problem, "");
  EXPECT_EQ(look.lowered_from, 2);
  EXPECT_EQ(look.replicas, 1);
  EXPECT_EQ(Replicas(), 1);
  EXPECT_EQ(At(Machine("b0"), kMark), "spillway");
  EXPECT_EQ(At(Machine("b1"), kMark), "");
  EXPECT_EQ(At(Node("b0"), kNote), "example.com/v1 infra/m-b0");
  std::vector<std::string> paths;
  for (const auto& write : server_.Writes()) {
    paths.push_back(write.path.substr(write.path.rfind('/') + 1));
  }
  EXPECT_THAT(paths, testing::ElementsAre("b0", "m-b0", "scale"))
      << "what is to be undone is noted";
}

TEST_F(GiveBackTest, TheTargetIsLoweredOnce) {
  ASSERT_EQ(Lower().lowered_from, 2);
  const size_t writes = server_.Writes().size();
  EXPECT_EQ(Lower().replicas, 1);
  EXPECT_EQ(Lower().problem, "");
  EXPECT_EQ(server_.Writes().size(), writes);
}

TEST_F(GiveBackTest, OfASeriesThatIsNotMarkedAsAWholeNoneGoes) {
  EXPECT_THAT(Lower({"b0", "b1"}, 0).problem, HasSubstr("node b1 is not cordoned any more"));
  EXPECT_EQ(Replicas(), 2);
  EXPECT_EQ(beats_, 2) << "after each node";
}

// Each of these keeps the target from being lowered, whatever was decided.
TEST_F(GiveBackTest, TheTargetIsNotLoweredWhereThatCouldTakeAnotherNode) {
  struct Case {
    std::function<void()> change;
    std::string says;
  };
  const std::vector<Case> cases = {
      {[&] { server_.Put(FleetOf(3)); }, "it has 3 replicas, and had 2 when it was decided"},
      {[&] { server_.Patch("fleets", "infra", "burst", {{"status", {{"replicas", 3}}}}); },
       "its scale does not say that it has 2 replicas by now"},
      {[&] { server_.Put(PodOn("b0", "late")); }, "pod other/late is on node b0"},
      {[&] { server_.Patch("nodes", "", "b0", {{"spec", {{"unschedulable", false}}}}); },
       "node b0 is not cordoned any more"},
      {[&] { server_.Remove("nodes", "", "b0"); }, "node b0 is gone already"},
      {[&] {
         server_.Patch("nodes", "", "b0",
                       {{"metadata", {{"annotations", {{"example.com/machine", nullptr}}}}}});
       },
       "it has no annotation example.com/machine"},
      {[&] {
         server_.Patch("nodes", "", "b0",
                       {{"metadata", {{"annotations", {{"example.com/machine", "m-b9"}}}}}});
       },
       "there is no Machine infra/m-b9, which node b0 says it is"},
      {[&] {
         server_.Patch("nodes", "", "b0",
                       {{"metadata", {{"annotations", {{"example.com/machine", "m-b1"}}}}}});
       },
       "Machine infra/m-b1 does not say that it is node b0"},
      {[&] { server_.Remove("machines", "infra", "m-b0"); },
       "its scale's selector names 1 Machines, and it has 2 replicas"},
      {[&] { ChangeMachine("b0", {{"status", {{"nodeRef", {{"name", "b2"}}}}}}); },
       "no Machine of it says that it is node b0"},
      {[&] { server_.Patch("fleets", "infra", "burst", {{"status", {{"selector", nullptr}}}}); },
       "it has no status.selector"},
      {[&] {
         ChangeMachine("b0", {{"metadata", {{"ownerReferences", {OwnerOf("p", "MachinePool")}}}}});
       },
       "Machine m-b0 belongs to no MachineSet"},
      {[&] { ChangeMachine("b1", {{"metadata", {{"ownerReferences", {OwnerOf("set-2")}}}}}); },
       "Machine m-b1 belongs to another MachineSet"},
      {[&] {
         ChangeMachine("b1",
                       {{"metadata", {{"annotations", {{"example.com/delete-machine", "a"}}}}}});
       },
       "Machine m-b1 is marked to go, and its node is not given back"},
      {[&] {
         ChangeMachine("b1", {{"metadata", {{"deletionTimestamp", "2026-11-23T00:00:00Z"}}}});
       },
       "Machine m-b1 is being deleted"},
  };
  for (const Case& one : cases) {
    server_.Put(FleetOf(2));
    server_.Put(HeldNode("b0"));
    for (const char* node : {"b0", "b1"}) {
      server_.Remove("machines", "infra", std::string("m-") + node);
      server_.Put(MachineOf(node));
    }
    server_.Remove("pods", "other", "late");
    one.change();
    const int before = Replicas();
    const TargetLook look = Lower();
    EXPECT_THAT(look.problem, HasSubstr(one.says));
    EXPECT_EQ(look.lowered_from, std::nullopt) << one.says;
    EXPECT_TRUE(look.fixed) << one.says;
    EXPECT_EQ(Replicas(), before) << one.says;
    EXPECT_NE(At(Machine("b1"), kMark), "spillway");
  }
}

// A MachineSet has the Machines that it controls, whatever else its selector may match.
TEST_F(GiveBackTest, AMachineOfAnotherMachineSetIsNotTheTargets) {
  ScaleTarget target = kFleet;
  target.kind = "MachineSet";
  Json scale = FleetOf(2);
  scale["metadata"]["uid"] = "set-2";
  EXPECT_THAT(CheckMachines(client_, target, scale, {"b0"}, {}).problem,
              HasSubstr("Machine m-b0 belongs to another MachineSet"));
  scale["metadata"]["uid"] = "set-1";
  EXPECT_TRUE(CheckMachines(client_, target, scale, {"b0"}, {}).Done());
}

// Whether it can be done is known before a node is cordoned or anything is decided.
TEST_F(GiveBackTest, NothingIsHeldWhereNothingCanBeGivenBack) {
  TargetWish wish{.target = kFleet, .at_least = {}, .nodes = 2};
  wish.gives = true;
  wish.leaving = wish.hold = {"b1"};
  EXPECT_EQ(LookAtTarget(client_, wish, beat_, {}).problem, "");
  EXPECT_NE(At(Node("b1"), kLeaving), "");
  server_.Put(BurstNode("b1"));
  ChangeMachine("b0", {{"metadata", {{"ownerReferences", nullptr}}}});
  EXPECT_TRUE(LookAtTarget(client_, wish, beat_, {}).fixed);
  EXPECT_EQ(At(Node("b1"), kLeaving), "");
}

// Raised before, the target would keep what is to go.
TEST_F(GiveBackTest, TheTargetIsRaisedAgainOnceWhatGoesIsOnItsWay) {
  ASSERT_EQ(Lower().lowered_from, 2);
  EXPECT_TRUE(AfterLowering(3).again);
  EXPECT_EQ(Replicas(), 1);
  ChangeMachine("b0", {{"metadata", {{"deletionTimestamp", "2026-11-23T00:00:00Z"}}}});
  const TargetLook look = AfterLowering(3);
  EXPECT_EQ(look.raised_from, 1);
  EXPECT_FALSE(look.again || look.stays);
  EXPECT_EQ(Replicas(), 3);
}

TEST_F(GiveBackTest, WhenTheTargetHasTakenOthersThatIsSeen) {
  ASSERT_EQ(Lower().lowered_from, 2);
  EXPECT_FALSE(AfterLowering({}).stays) << "it has not come to rest";
  server_.Patch("fleets", "infra", "burst", {{"status", {{"replicas", 1}}}});
  EXPECT_TRUE(AfterLowering({}).stays);
  server_.Remove("machines", "infra", "m-b0");
  EXPECT_FALSE(AfterLowering({}).stays);
}

TEST_F(GiveBackTest, ANodeWhoseMachineIsBeingDeletedIsNotReleased) {
  ASSERT_EQ(Lower().lowered_from, 2);
  ChangeMachine("b0", {{"metadata", {{"deletionTimestamp", "2026-11-23T00:00:00Z"}}}});
  EXPECT_FALSE(ReleaseNode(client_, "b0", {}).ok());
  EXPECT_EQ(Node("b0")["spec"]["unschedulable"], true);
}

TEST_F(GiveBackTest, WithoutMachinesNobodyCanSayWhichNodesGo) {
  ScaleTarget target = kFleet;
  target.api_version = "apps/v1";
  EXPECT_THAT(CheckMachines(client_, target, FleetOf(2), {"b0"}, {}).problem,
              HasSubstr("apps/v1 has no kind Machine"));
}

TEST_F(GiveBackTest, PodsThatComeWithTheNodeOrHaveEndedAreNotInTheWay) {
  server_.Put(OwnedBy("DaemonSet", PodOn("b0", "daemon")));
  server_.Put(OwnedBy("Node", PodOn("b0", "static")));
  Json ended = PodOn("b0", "ended");
  ended["status"]["phase"] = "Succeeded";
  server_.Put(ended);
  server_.Put(PodOn("b1", "elsewhere"));
  EXPECT_EQ(Lower().lowered_from, 2);
}

TEST_F(GiveBackTest, WhatPassesByItselfIsTriedAgain) {
  for (const char* path : {"/nodes", "/pods", "/machines", "/machines/m-b0"}) {
    server_.ClearFaults();
    server_.Inject({.path_contains = path, .times = -1, .status = 503});
    EXPECT_TRUE(Lower().again) << path;
    EXPECT_EQ(Replicas(), 2);
  }
  server_.ClearFaults();
  server_.Inject({.verb = "update", .status = 409, .reason = "Conflict"});
  EXPECT_TRUE(Lower().again);
  EXPECT_EQ(Lower().lowered_from, 2);
}

TEST_F(GiveBackTest, SaysWhichPermissionIsMissing) {
  server_.Inject({.verb = "list", .path_contains = "/machines", .status = 403});
  EXPECT_THAT(Lower().problem, AllOf(HasSubstr("Spillway may not list machines.example.com"),
                                     HasSubstr("machines: true")));
  server_.Inject({.verb = "get", .path_contains = "/machines", .status = 403});
  EXPECT_THAT(Lower().problem, AllOf(HasSubstr("Spillway may not get machines.example.com"),
                                     HasSubstr("machines: true")));
  server_.Inject({.verb = "patch", .path_contains = "/nodes", .status = 403});
  EXPECT_THAT(HoldNodes(client_, {"b1"}, {}, beat_, {}).problem, HasSubstr("may not patch nodes"));
}

TEST_F(GiveBackTest, AReleaseUndoesAllThatWasDone) {
  server_.Inject({.verb = "update", .times = -1, .status = 503});
  ASSERT_TRUE(Lower().again);
  ASSERT_EQ(At(Machine("b0"), kMark), "spillway");
  server_.ClearFaults();
  EXPECT_TRUE(ReleaseNode(client_, "b0", {}).ok());
  EXPECT_EQ(At(Machine("b0"), kMark), "");
  EXPECT_EQ(At(Node("b0"), kLeaving), "");
  EXPECT_EQ(At(Node("b0"), kNote), "");
  EXPECT_EQ(At(Node("b0"), "/metadata/annotations/example.com~1machine"), "m-b0");
  EXPECT_FALSE(Node("b0").value("/spec/unschedulable"_json_pointer, false));
}

// The node tells what is still to be undone: it goes last.
TEST_F(GiveBackTest, AReleaseThatFailsHalfwayIsTakenUpAgain) {
  ASSERT_EQ(Lower().lowered_from, 2);
  server_.Inject({.verb = "patch", .path_contains = "/machines", .status = 503});
  EXPECT_FALSE(ReleaseNode(client_, "b0", {}).ok());
  EXPECT_NE(At(Node("b0"), kNote), "");
  EXPECT_TRUE(ReleaseNode(client_, "b0", {}).ok());
  EXPECT_EQ(At(Machine("b0"), kMark), "");
  EXPECT_TRUE(ReleaseNode(client_, "gone", {}).ok());
}

TEST_F(GiveBackTest, AMarkOfSomebodyElseStaysHis) {
  server_.Patch("machines", "infra", "m-b0",
                {{"metadata", {{"annotations", {{"example.com/delete-machine", "admin"}}}}}});
  ASSERT_EQ(Lower().lowered_from, 2);
  EXPECT_TRUE(ReleaseNode(client_, "b0", {}).ok());
  EXPECT_EQ(At(Machine("b0"), kMark), "admin");
}

// ---- what is read and said ----

TEST(GiveBackStatus, WhatIsRememberedComesBack) {
  crds::v1alpha1::NodeGroup group = samples::Group("burst");
  auto& elastic = group.spec.elastic.emplace();
  elastic.max_nodes = 8;
  elastic.target = kFleet;
  elastic.scale_down_delay_seconds = 90;
  placement::GroupReport report;
  report.name = "burst";
  report.memory.desired = 1;
  report.there = 1;
  report.memory.leaving = {{"b0"}, Time(Seconds(10)), 1, true};
  for (const bool spare : {false, true}) {
    if (spare) report.memory.spare = {2, Time(Seconds(20))};
    group.status = DesiredStatus(group, report, {}, Mode::kEnforce, Time(Seconds(30)));
    World world;
    world.node_groups.push_back(std::make_shared<const crds::v1alpha1::NodeGroup>(group));
    const Settings settings;
    const std::map<std::string, std::string> conflicts;
    const std::map<std::string, TargetState> targets{
        {group.meta.uid, {.replicas = 7, .problem = {}, .fixed = spare, .stays = !spare}}};
    ObserveInput input;
    input.settings = &settings;
    input.name_conflicts = &conflicts;
    input.targets = &targets;
    const placement::NodeGroup seen = Observe(world, Families(world), input).groups.at(0);
    EXPECT_EQ(seen.memory.leaving, report.memory.leaving);
    EXPECT_EQ(seen.memory.spare, report.memory.spare);
    EXPECT_EQ(seen.elastic->scale_down_delay, Seconds(90));
    EXPECT_EQ(seen.target_replicas, 7);
    EXPECT_EQ(seen.target_fixed, spare);
    EXPECT_EQ(seen.leaving_stay, !spare);
  }
}

TEST(GiveBackStatus, WhatIsGivenBackIsWrittenAtOnceAndToldIfItStays) {
  crds::v1alpha1::NodeGroup group = samples::Group("burst");
  group.spec.elastic.emplace().provision_timeout_seconds = 100;
  placement::GroupReport report;
  report.memory.desired = 1;
  report.there = 1;
  const TargetState target{.replicas = 1, .problem = {}};
  const auto status = [&](int at) {
    return DesiredStatus(group, report, target, Mode::kEnforce, Time(Seconds(at)));
  };
  const auto before = status(0);
  report.memory.leaving = {{"b0"}, Time(Seconds(10)), {}, false};
  EXPECT_EQ(Compare(before, status(0)), Change::kMeaning);
  report.memory.leaving = {{"b0"}, Time(Seconds(10)), 1, true};
  const auto ready = [&](int at) {
    return *crds::v1alpha1::FindCondition(status(at).conditions, "TargetReady");
  };
  EXPECT_EQ(ready(109).status, "True");
  EXPECT_EQ(ready(110).reason, "TargetUnavailable");
  EXPECT_THAT(ready(110).message,
              HasSubstr("still there, cordoned, although the target was lowered "
                        "to 1 replicas for them: b0"));
}

// ---- the loop ----

// A group of two nodes, with a target that has as many, whose empty nodes are given back after a
// minute.
class GiveBackLoopTest : public LoopTest {
 protected:
  explicit GiveBackLoopTest(Mode mode = Mode::kEnforce) : LoopTest(mode) {
    Json group = GroupJson("burst", 20);
    group["spec"]["elastic"] = {
        {"maxNodes", 8},
        {"nodeShape", {{"cpu", "96"}, {"memory", "1000Gi"}, {"nvidia.com/gpu", "8"}}},
        {"provisionTimeoutSeconds", 1200},
        {"scaleDownDelaySeconds", 60},
        {"target",
         {{"apiVersion", "example.com/v1"},
          {"kind", "Fleet"},
          {"namespace", "infra"},
          {"name", "burst"}}}};
    server_.Put(group);
    server_.Put(FleetOf(2));
    for (const char* node : {"b0", "b1"}) {
      server_.Put(BurstNode(node));
      server_.Put(MachineOf(node));
    }
  }
  int Replicas() { return (*server_.Get("fleets", "infra", "burst"))["spec"]["replicas"]; }
  bool Cordoned(const std::string& node) {
    return server_.Get("nodes", "", node)->value("/spec/unschedulable"_json_pointer, false);
  }
  bool Ours(const std::string& node) {
    return server_.Get("nodes", "", node)->contains(Json::json_pointer(kLeaving));
  }
  bool Marked(const std::string& node) {
    return server_.Get("machines", "infra", "m-" + node)->contains(Json::json_pointer(kMark));
  }
  Json Scale() {
    return server_.Get("nodegroups", "", "burst")
        ->value("/status/scale"_json_pointer, Json::object());
  }
  // It is written down that b0 goes.
  void WriteThatB0Goes() {
    server_.Patch(
        "nodegroups", "", "burst",
        {{"status",
          {{"scale",
            {{"desired", 1},
             {"observed", 1},
             {"leaving",
              {{"nodes", {"b0"}}, {"since", FormatTime(clock_.Now())}, {"replicas", 1}}}}}}}});
  }
  // And it is held; nothing else has been done for it yet.
  void DecideForB0() {
    WriteThatB0Goes();
    server_.Put(HeldNode("b0"));
  }
  // A leader after this one has taken back what it decided, of which this one hears nothing yet.
  void TakeBackUnseen() {
    server_.HoldWatches("nodegroups");
    server_.Patch("nodegroups", "", "burst",
                  {{"status", {{"scale", {{"desired", 2}, {"leaving", nullptr}}}}}});
  }
  void ChangeMachines(const Json& owners) {
    for (const char* node : {"m-b0", "m-b1"}) {
      server_.Patch("machines", "infra", node, {{"metadata", {{"ownerReferences", owners}}}});
    }
  }
  Json Leaving() { return Scale().value("leaving", Json::object()); }
  bool AwaitHeld(const std::string& node) {
    return AwaitWhileTimePasses(std::chrono::seconds(20), [&] { return Ours(node); });
  }
  bool AwaitLowered(int to) {
    return AwaitWhileTimePasses(std::chrono::seconds(10), [&] { return Replicas() == to; });
  }
  std::vector<std::string> Scales() {
    std::vector<std::string> bodies;
    for (const LoggedRequest& one : server_.Writes()) {
      if (one.path.ends_with("/scale")) {
        bodies.push_back(Json::parse(one.body)["spec"]["replicas"].dump());
      }
    }
    return bodies;
  }
};

TEST_F(GiveBackLoopTest, EmptyNodesAreHeldThenMarkedThenTheTargetIsLoweredOnce) {
  Run();
  ASSERT_TRUE(Await([&] { return Scale().contains("spare"); }));
  EXPECT_FALSE(Cordoned("b0"));
  ASSERT_TRUE(AwaitHeld("b1"));
  EXPECT_TRUE(Cordoned("b0") && Cordoned("b1"));
  EXPECT_EQ(Replicas(), 2) << "not before they have been held for a while";
  EXPECT_FALSE(Marked("b0"));
  ASSERT_TRUE(AwaitLowered(0));
  EXPECT_TRUE(Marked("b0") && Marked("b1"));
  ASSERT_TRUE(Await([&] { return Leaving().value("lowered", false); }));
  EXPECT_EQ(Leaving()["nodes"], (Json{"b0", "b1"}));
  EXPECT_EQ(Leaving()["replicas"], 0);
  EXPECT_EQ(Scale()["desired"], 0);
  server_.Remove("nodes", "", "b0");
  PassTwice();
  EXPECT_TRUE(Cordoned("b1"));
  server_.Remove("nodes", "", "b1");
  ASSERT_TRUE(Await([&] { return !Scale().contains("leaving"); }));
  ExpectQuiet();
  EXPECT_EQ(Scales(), std::vector<std::string>{"0"});
}

TEST_F(GiveBackLoopTest, EachStepIsWrittenDownBeforeItIsTaken) {
  Run();
  ASSERT_TRUE(AwaitLowered(0));
  bool held = false;
  bool decided = false;
  for (const LoggedRequest& one : server_.Writes()) {
    if (one.path.ends_with("/nodegroups/burst/status")) {
      const Json leaving =
          Json::parse(one.body).value("/status/scale/leaving"_json_pointer, Json());
      held = held || leaving.is_object();
      decided = decided || (leaving.is_object() && leaving.contains("replicas"));
    }
    if (one.path.ends_with("/nodes/b0")) {
      EXPECT_TRUE(held);
    }
    if (one.path.ends_with("/machines/m-b0")) {
      EXPECT_TRUE(decided);
    }
    if (one.path.ends_with("/scale")) {
      EXPECT_TRUE(decided);
    }
  }
}

// Its Job has been made and is not seen yet, so that nothing is written about it.
TEST_F(GiveBackLoopTest, NodesThatAPoolIsStillToGiveUpStay) {
  for (const char* node : {"h0", "h1", "c0", "c1", "c2", "c3"}) server_.Remove("nodes", "", node);
  watching_.Start();
  ASSERT_TRUE(support::Eventually([&] { return stores_.Unsynced().empty(); }));
  server_.HoldWatches("jobs");
  Decide();
  Json pool = PoolJson("run", 2);
  pool["spec"]["placement"]["spill"]["afterSeconds"] = 0;
  server_.Put(pool);
  ASSERT_TRUE(Await([&] { return Exists("jobs", "run-train-1"); }));
  server_.Patch("trainingpools", "lab", "run", {{"spec", {{"suspend", true}}}});
  ASSERT_TRUE(Await([&] {
    Advance(std::chrono::seconds(1));  // as long as is waited for the Job
    return Scale().contains("spare");
  }));
  for (int i = 0; i < 7; ++i) {
    clock_.Advance(std::chrono::seconds(10));
    ASSERT_TRUE(OnePass());
    ASSERT_FALSE(Cordoned("b0") || Cordoned("b1")) << Scale();
  }
  server_.ReleaseWatches();
  EXPECT_TRUE(AwaitHeld("b0"));
  EXPECT_EQ(Reason("run", "Placed"), "Suspended");
}

TEST_F(GiveBackLoopTest, WithoutADelayNothingIsGivenBack) {
  server_.Patch("nodegroups", "", "burst",
                {{"spec", {{"elastic", {{"scaleDownDelaySeconds", nullptr}}}}}});
  Run();
  ASSERT_TRUE(Await([&] { return Scale().contains("target"); }));
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(std::chrono::seconds(600));
    ASSERT_TRUE(OnePass());
  }
  EXPECT_FALSE(Cordoned("b0") || Cordoned("b1"));
  EXPECT_EQ(Replicas(), 2);
}

TEST_F(GiveBackLoopTest, ANodeThatIsNeededAgainInTimeStays) {
  Run();
  ASSERT_TRUE(AwaitHeld("b0"));
  for (const char* name : {"h0", "h1", "c0", "c1", "c2", "c3"}) server_.Remove("nodes", "", name);
  Json pool = PoolJson("large", 2);
  pool["spec"]["placement"]["spill"]["afterSeconds"] = 0;
  server_.Put(pool);
  ASSERT_TRUE(Await([&] { return Exists("jobs", "large-train-1"); }));
  ASSERT_TRUE(Await([&] { return !Cordoned("b0") && !Cordoned("b1") && !Ours("b0"); }));
  clock_.Advance(std::chrono::seconds(300));
  ASSERT_TRUE(OnePass());
  EXPECT_EQ(Replicas(), 2);
  EXPECT_FALSE(Marked("b0") || Marked("b1"));
}

TEST_F(GiveBackLoopTest, ANodeThatAPodHasComeToStaysAndTheOtherGoes) {
  Run();
  ASSERT_TRUE(AwaitHeld("b1"));
  server_.Put(PodOn("b0", "late"));
  ASSERT_TRUE(Await([&] { return !Cordoned("b0"); }));
  ASSERT_TRUE(AwaitLowered(1));
  EXPECT_TRUE(Marked("b1"));
  EXPECT_FALSE(Marked("b0") || Ours("b0"));
}

TEST_F(GiveBackLoopTest, KilledAfterTheDecisionItIsCarriedOutOnce) {
  DecideForB0();
  Run();
  ASSERT_TRUE(Await([&] { return Replicas() == 1; }));
  ASSERT_TRUE(Await([&] { return Leaving().value("lowered", false); }));
  server_.Patch("fleets", "infra", "burst", {{"spec", {{"replicas", 2}}}});  // somebody wants more
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(1), [&] { return !Ours("b0"); }))
      << "the target has come to rest with it";
  EXPECT_FALSE(Cordoned("b0") || Marked("b0"));
  EXPECT_EQ(Replicas(), 2);
  EXPECT_EQ(Scales(), std::vector<std::string>{"1"});
}

// The write may have been taken: nothing is undone before somebody has seen that it was not.
TEST_F(GiveBackLoopTest, WhatMayHaveBeenLoweredIsNotTakenBack) {
  server_.Inject({.verb = "update", .path_contains = "/scale", .times = -1, .status = 503});
  Run();
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(20), [&] { return Marked("b0"); }));
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(std::chrono::seconds(300));
    ASSERT_TRUE(OnePass());
  }
  EXPECT_TRUE(Marked("b0") && Cordoned("b0"));
  server_.ClearFaults();
  EXPECT_TRUE(AwaitLowered(0));
}

// A refusal is an answer: it was not done.
TEST_F(GiveBackLoopTest, WhatMayNotBeLoweredIsToldAndTakenBack) {
  server_.Inject({.verb = "update", .path_contains = "/scale", .times = -1, .status = 403});
  Run();
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(20), [&] { return Marked("b0"); }));
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(20), [&] {
    const auto group = server_.Get("nodegroups", "", "burst");
    return group->dump().find("Spillway may not update fleets.example.com/scale") !=
           std::string::npos;
  }));
  EXPECT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(300), [&] { return !Marked("b0"); }));
  EXPECT_EQ(Replicas(), 2);
}

TEST_F(GiveBackLoopTest, KilledAfterItWasLoweredItIsNotLoweredAgain) {
  DecideForB0();
  server_.Put(FleetOf(1));
  Run();
  ASSERT_TRUE(Await([&] { return Leaving().value("lowered", false); }));
  EXPECT_THAT(Scales(), IsEmpty());
}

TEST_F(GiveBackLoopTest, ADecisionThatCouldNotBeWrittenDownTouchesNothing) {
  Run();
  ASSERT_TRUE(Await([&] { return Scale().contains("spare"); }));
  server_.Inject({.verb = "update", .path_contains = "/nodegroups/burst/status", .times = -1});
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(std::chrono::seconds(60));
    ASSERT_TRUE(OnePass());
  }
  EXPECT_FALSE(Ours("b0") || Ours("b1"));
  server_.ClearFaults();
  EXPECT_TRUE(AwaitHeld("b0"));
}

TEST_F(GiveBackLoopTest, WhatCannotBeGivenBackIsToldAndNotCordonedForEver) {
  ChangeMachines(nullptr);
  Run();
  const auto says = [&] {
    for (const Json& one : server_.Get("nodegroups", "", "burst")
                               ->value("/status/conditions"_json_pointer, Json::array())) {
      if (one["type"] == "TargetReady") return std::string(one["message"]);
    }
    return std::string();
  };
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(20), [&] {
    return says().find("Machine m-b0 belongs to no MachineSet") != std::string::npos;
  }));
  EXPECT_FALSE(Ours("b0") || Ours("b1")) << "not cordoned for nothing";
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(300),
                                   [&] { return !Scale().contains("leaving"); }));
  ChangeMachines(Json::array({OwnerOf("set-1")}));
  EXPECT_TRUE(AwaitLowered(0));
}

TEST_F(GiveBackLoopTest, AGroupThatIsDeletedLeavesNoCordonBehind) {
  server_.Patch("nodes", "", "b1", {{"spec", {{"unschedulable", true}}}});
  Run();
  ASSERT_TRUE(AwaitHeld("b0"));
  server_.Remove("nodegroups", "", "burst");
  ASSERT_TRUE(Await([&] { return !Cordoned("b0") && !Ours("b0"); }));
  EXPECT_TRUE(Cordoned("b1")) << "that is somebody else's";
}

// Of what the leader before has decided, only the node that it has held is seen.
TEST_F(GiveBackLoopTest, ANodeThatTheLeaderBeforeHoldsStaysHeldWhileThatIsNotSeen) {
  Run();
  ASSERT_TRUE(Await([&] { return Scale().contains("target"); }));
  leading_ = false;
  ASSERT_TRUE(OnePass());
  server_.HoldWatches("nodegroups");
  DecideForB0();
  ASSERT_TRUE(support::Eventually(
      [&] { return stores_.nodes.Get("b0")->meta.annotations.contains("spillway.dev/leaving"); }));
  leading_ = true;
  ASSERT_TRUE(OnePass());
  EXPECT_TRUE(Cordoned("b0") && Ours("b0"));
  server_.ReleaseWatches();
  ASSERT_TRUE(AwaitLowered(1));
  EXPECT_TRUE(Marked("b0") && Ours("b0"));
}

TEST_F(GiveBackLoopTest, NoNodeIsHeldForWhatHasBeenTakenBackAndIsNotSeenYet) {
  Run();
  ASSERT_TRUE(Await([&] { return Scale().contains("target"); }));
  leading_ = false;
  ASSERT_TRUE(OnePass());
  WriteThatB0Goes();
  ASSERT_TRUE(support::Eventually([&] {
    const auto group = stores_.node_groups.Get("burst");
    return group->status.scale && group->status.scale->leaving;
  }));
  TakeBackUnseen();
  leading_ = true;
  ASSERT_TRUE(OnePass());
  EXPECT_FALSE(Cordoned("b0") || Ours("b0"));
}

TEST_F(GiveBackLoopTest, TheTargetIsNotLoweredForWhatHasBeenTakenBackAndIsNotSeenYet) {
  Run();
  ASSERT_TRUE(AwaitHeld("b1"));
  TakeBackUnseen();
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(std::chrono::seconds(10));
    ASSERT_TRUE(OnePass());
  }
  EXPECT_EQ(Replicas(), 2);
  EXPECT_FALSE(Marked("b0") || Marked("b1"));
  server_.ReleaseWatches();
  ASSERT_TRUE(AwaitLowered(0));
}

TEST_F(GiveBackLoopTest, AStandbyTouchesNoNode) {
  leading_ = false;
  server_.Put(HeldNode("b0"));
  Run();
  PassTwice();
  EXPECT_THAT(server_.Writes(), IsEmpty());
}

class GiveBackObserveTest : public GiveBackLoopTest {
 protected:
  GiveBackObserveTest() : GiveBackLoopTest(Mode::kObserve) {}
};

TEST_F(GiveBackObserveTest, NothingIsTouched) {
  server_.Put(HeldNode("b0"));
  Run();
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(std::chrono::seconds(600));
    ASSERT_TRUE(OnePass());
  }
  EXPECT_TRUE(Ours("b0"));
  EXPECT_FALSE(Cordoned("b1"));
  EXPECT_EQ(Replicas(), 2);
}

}  // namespace
}  // namespace spillway::controllers
