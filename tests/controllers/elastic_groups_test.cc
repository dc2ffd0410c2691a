// Elastic node groups: what is read of them and said about them, and how their targets are scaled.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/observe.h"
#include "controllers/status.h"
#include "controllers/targets.h"
#include "tests/controllers/loop_fixture.h"

namespace spillway::controllers {
namespace {

using crds::v1alpha1::AskStatus;
using crds::v1alpha1::FindCondition;
using crds::v1alpha1::ScaleTarget;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

const Time kNow{Seconds(5000)};
const ScaleTarget kFleet{"example.com/v1", "Fleet", "infra", "burst", ""};

crds::v1alpha1::NodeGroup ElasticGroup(const std::string& name = "burst") {
  crds::v1alpha1::NodeGroup group = samples::Group(name);
  auto& elastic = group.spec.elastic.emplace();
  elastic.max_nodes = 8;
  elastic.step_nodes = 4;
  elastic.node_shape.Set("nvidia.com/gpu", 8);
  elastic.target = kFleet;
  elastic.target.name = name;
  return group;
}

Json FleetJson(const std::string& kind, const Json& spec) {
  return {{"apiVersion", "example.com/v1"},
          {"kind", kind},
          {"metadata", {{"name", "burst"}, {"namespace", "infra"}}},
          {"spec", spec}};
}

// ---- what is read ----

placement::Snapshot ObserveGroups(const std::vector<crds::v1alpha1::NodeGroup>& groups) {
  World world;
  for (const auto& group : groups) {
    world.node_groups.push_back(std::make_shared<const crds::v1alpha1::NodeGroup>(group));
  }
  const Settings settings;
  const std::map<std::string, std::string> conflicts;
  ObserveInput input;
  input.now = kNow;
  input.settings = &settings;
  input.name_conflicts = &conflicts;
  return Observe(world, Families(world), input);
}

TEST(ObserveElastic, EveryFieldAndWhatWasRememberedReachTheSnapshot) {
  crds::v1alpha1::NodeGroup group = ElasticGroup();
  auto& elastic = *group.spec.elastic;
  elastic.min_nodes = 1;
  elastic.single_domain = true;
  elastic.provision_timeout_seconds = 60;
  elastic.backoff_initial_seconds = 30;
  elastic.backoff_max_seconds = 90;
  elastic.max_hourly_cost = "40.5";
  group.status.scale = {.desired = 4, .target = 5, .observed = 2};
  group.status.stockout = {
      .since = Time(Seconds(10)), .attempts = 2, .next_try = Time(Seconds(20))};
  const placement::NodeGroup seen = ObserveGroups({group}).groups.at(0);
  placement::Elastic expected;
  expected.min_nodes = 1;
  expected.max_nodes = 8;
  expected.step_nodes = 4;
  expected.single_domain = true;
  expected.node_shape.Set("nvidia.com/gpu", 8);
  expected.provision_timeout = Seconds(60);
  expected.backoff_initial = Seconds(30);
  expected.backoff_max = Seconds(90);
  expected.max_hourly_cost = Money::FromMicros(40'500'000);
  EXPECT_EQ(seen.elastic, expected);
  EXPECT_EQ(seen.memory.desired, 4);
  EXPECT_EQ(seen.memory.stockout, (placement::Stockout{Time(Seconds(10)), 2, Time(Seconds(20))}));
}

TEST(ObserveElastic, MoneyHasToPayForTheLeastNodes) {
  crds::v1alpha1::NodeGroup group = ElasticGroup();
  group.spec.cost.per_node_hour = "20";
  group.spec.elastic->min_nodes = 3;
  group.spec.elastic->max_hourly_cost = "59.99";
  EXPECT_EQ(ObserveGroups({group}).groups.at(0).misconfigured,
            "spec.elastic.maxHourlyCost 59.99 pays for 2 nodes at spec.cost.perNodeHour 20.00, "
            "fewer than spec.elastic.minNodes 3; raise the one or lower the other");
  group.spec.elastic->max_hourly_cost = "60";
  EXPECT_THAT(ObserveGroups({group}).groups.at(0).misconfigured, IsEmpty());
  group.spec.elastic->max_nodes = 2;  // as an older definition of NodeGroups lets through
  for (const char* money : {"", "60"}) {
    group.spec.elastic->max_hourly_cost = money;
    EXPECT_THAT(ObserveGroups({group}).groups.at(0).misconfigured, IsEmpty());
  }
}

TEST(ObserveElastic, OnceAllNodesHaveComeNoneAreUnderWay) {
  crds::v1alpha1::NodeGroup group = ElasticGroup();
  group.status.scale = {.desired = 4, .target = 4, .observed = 4};
  EXPECT_EQ(ObserveGroups({group}).groups.at(0).memory.desired, std::nullopt);
}

TEST(ObserveElastic, AGroupThatIsNoLongerElasticRemembersNothing) {
  crds::v1alpha1::NodeGroup group = ElasticGroup();
  group.spec.elastic.reset();
  group.status.scale = {.desired = 4, .target = 5, .observed = 2};
  EXPECT_EQ(ObserveGroups({group}).groups.at(0).memory, placement::GroupMemory());
}

TEST(ObserveElastic, TwoGroupsMayNotHaveOneTarget) {
  crds::v1alpha1::NodeGroup other = ElasticGroup("other");
  other.spec.elastic->target = kFleet;
  other.spec.elastic->target.api_version = "example.com/v2";  // the same object, all the same
  const auto groups = ObserveGroups({ElasticGroup(), other, ElasticGroup("third")}).groups;
  EXPECT_THAT(groups.at(0).misconfigured,
              AllOf(HasSubstr("Fleet.example.com infra/burst"), HasSubstr("node group other")));
  EXPECT_THAT(groups.at(1).misconfigured, HasSubstr("node group burst"));
  EXPECT_THAT(groups.at(2).misconfigured, IsEmpty());
}

TEST(ObserveElastic, WhatAGangAskedForIsRemembered) {
  crds::v1alpha1::TrainingPool pool = samples::Pool();
  pool.status.ask =
      AskStatus{.node_group = "burst", .nodes = 4, .workers = 2, .since = Time(Seconds(10))};
  const placement::PoolMemory memory = MemoryOf(pool.status);
  EXPECT_EQ(memory.ask, (placement::NodeAsk{"burst", 4, 2, Time(Seconds(10))}));
  placement::PoolDecision decision;
  decision.memory = memory;
  const auto status = DesiredStatus(pool, decision, {}, Mode::kEnforce, kNow);
  EXPECT_EQ(status.ask, pool.status.ask);
}

// ---- what is said ----

struct Said {
  crds::v1alpha1::NodeGroup group = ElasticGroup();
  placement::GroupReport report;
  TargetState target;

  Said() {
    report.name = "burst";
    report.memory.desired = 4;
    report.there = 1;
  }
  [[nodiscard]] crds::v1alpha1::NodeGroupStatus Status(Mode mode = Mode::kEnforce) const {
    return DesiredStatus(group, report, target, mode, kNow);
  }
  [[nodiscard]] crds::v1alpha1::Condition Of(const std::string& type) const {
    const auto status = Status();
    const auto* condition = FindCondition(status.conditions, type);
    return condition == nullptr ? crds::v1alpha1::Condition{} : *condition;
  }
};

TEST(ElasticStatus, SaysHowManyNodesThereAreToBe) {
  Said said;
  EXPECT_EQ(said.Status().scale->desired, 4);
  EXPECT_EQ(said.Status().scale->observed, 1);
  EXPECT_EQ(said.Status().scale->target, std::nullopt);
  said.target.replicas = 3;
  EXPECT_EQ(said.Status().scale->target, 3);
  said.group.status = said.Status();
  said.target.replicas.reset();  // a restarted operator has not looked yet
  EXPECT_EQ(said.Status().scale->target, 3);
}

TEST(ElasticStatus, OfAGroupThatIsNotElasticNothingIsSaid) {
  Said said;
  said.group.spec.elastic.reset();
  said.report.there.reset();
  EXPECT_EQ(said.Status().scale, std::nullopt);
  EXPECT_EQ(FindCondition(said.Status().conditions, "InStock"), nullptr);
  EXPECT_EQ(FindCondition(said.Status().conditions, "TargetReady"), nullptr);
}

TEST(ElasticStatus, ObserveRemembersNothing) {
  const Said said;
  EXPECT_EQ(said.Status(Mode::kObserve).scale, std::nullopt);
  EXPECT_NE(FindCondition(said.Status(Mode::kObserve).conditions, "InStock"), nullptr);
}

TEST(ElasticStatus, AStockOutIsKeptAndToldUntilTheNextTry) {
  Said said;
  EXPECT_EQ(said.Of("InStock").status, "True");
  said.report.memory.stockout = {kNow - Seconds(100), 3, kNow + Seconds(60)};
  EXPECT_EQ(said.Status().stockout->attempts, 3);
  EXPECT_EQ(said.Status().stockout->next_try, kNow + Seconds(60));
  EXPECT_EQ(said.Of("InStock").reason, "OutOfStock");
  EXPECT_THAT(said.Of("InStock").message,
              AllOf(HasSubstr("3 times"), HasSubstr(FormatTime(kNow + Seconds(60)))));
  said.report.memory.stockout->next_try = kNow;
  EXPECT_EQ(said.Of("InStock").status, "True");
  EXPECT_EQ(said.Status().stockout->attempts, 3);
}

TEST(ElasticStatus, TheTargetIsReadyOnceItWasReadAndNotWhenItCannotBeScaled) {
  Said said;
  EXPECT_EQ(said.Of("TargetReady").status, "Unknown");
  said.target.replicas = 3;
  EXPECT_EQ(said.Of("TargetReady").status, "True");
  said.target.problem = "there is no Fleet infra/burst";
  EXPECT_EQ(said.Of("TargetReady").reason, "TargetUnavailable");
  EXPECT_EQ(said.Of("TargetReady").message, "there is no Fleet infra/burst");
  said.group.status = said.Status();
  said.target = {};
  EXPECT_EQ(said.Of("TargetReady").reason, "TargetUnavailable") << "kept until the first look";
}

TEST(ElasticStatus, ADecisionIsWrittenAtOnceAndANodeThatCameIsNot) {
  Said said;
  const auto was = said.Status();
  said.report.there = 2;
  EXPECT_EQ(Compare(was, said.Status()), Change::kNumbers);
  said.report.memory.desired = 8;
  EXPECT_EQ(Compare(was, said.Status()), Change::kMeaning);
  Said out;
  out.report.memory.stockout = {kNow, 1, kNow};
  EXPECT_EQ(Compare(was, out.Status()), Change::kMeaning);
  Said read;
  read.target.replicas = 4;
  read.group.status = was;
  EXPECT_EQ(Compare(was, read.Status()), Change::kMeaning);
  Said settled;
  settled.report.there = 4;
  const auto before = settled.Status();
  settled.report.there = settled.report.memory.desired = 5;  // somebody added one
  EXPECT_EQ(Compare(before, settled.Status()), Change::kNumbers);
}

// ---- targets ----

class TargetTest : public testing::Test {
 protected:
  TargetLook Look(const ScaleTarget& target, std::optional<int> at_least = {}, int nodes = 0) {
    return LookAtTarget(client_, {target, at_least, nodes}, [] {}, {});
  }
  static ScaleTarget Rack(const std::string& path) {
    return {"example.com/v1", "Rack", "infra", "burst", path};
  }

  support::FakeClock clock_;
  support::FakeApiServer server_{clock_};
  kube::Client client_{server_, clock_, {"test", 16, std::chrono::seconds(5), {}}};
};

TEST_F(TargetTest, IsOnlyReadWhereNothingIsAsked) {
  server_.Put(FleetJson("Fleet", {{"replicas", 3}}));
  EXPECT_EQ(Look(kFleet).replicas, 3);
  EXPECT_THAT(server_.Writes(), IsEmpty());
}

TEST_F(TargetTest, IsRaisedThroughItsScale) {
  server_.Put(FleetJson("Fleet", {{"replicas", 3}, {"image", "keep"}}));
  const TargetLook look = Look(kFleet, 8);
  EXPECT_EQ(look.raised_from, 3);
  EXPECT_EQ(look.replicas, 8);
  EXPECT_EQ(look.problem, "");
  const Json spec = (*server_.Get("fleets", "infra", "burst"))["spec"];
  EXPECT_EQ(spec, (Json{{"replicas", 8}, {"image", "keep"}}));
  ASSERT_EQ(server_.Writes().size(), 1U);
  EXPECT_EQ(server_.Writes()[0].path, "/apis/example.com/v1/namespaces/infra/fleets/burst/scale");
}

TEST_F(TargetTest, WithoutReplicasHasNone) {
  server_.Put(FleetJson("Fleet", Json::object()));
  EXPECT_EQ(Look(kFleet).replicas, 0);
}

TEST_F(TargetTest, IsNeverLowered) {
  server_.Put(FleetJson("Fleet", {{"replicas", 9}}));
  for (const int at_least : {0, 8, 9}) EXPECT_EQ(Look(kFleet, at_least).replicas, 9);
  EXPECT_THAT(server_.Writes(), IsEmpty());
}

TEST_F(TargetTest, IsNotRaisedWhereItHasFewerThanTheGroupHasNodes) {
  server_.Put(FleetJson("Fleet", {{"replicas", 3}}));
  EXPECT_EQ(Look(kFleet, 8, 3).replicas, 8);
  const TargetLook look = Look(kFleet, 20, 9);
  EXPECT_EQ(look.replicas, 8);
  EXPECT_THAT(look.problem,
              HasSubstr("it has 8 replicas, but 9 nodes match the group's spec.selector"));
}

TEST_F(TargetTest, ThatSomebodyChangedMeanwhileIsLookedAtAgain) {
  server_.Put(FleetJson("Fleet", {{"replicas", 3}}));
  server_.Inject({.verb = "update", .status = 409, .reason = "Conflict"});
  const TargetLook look = Look(kFleet, 8);
  EXPECT_TRUE(look.again);
  EXPECT_TRUE(look.refused);
  EXPECT_EQ(look.problem, "");
  const Json body = Json::parse(server_.Writes()[0].body);
  const Json meta = (*server_.Get("fleets", "infra", "burst"))["metadata"];
  EXPECT_EQ(body["metadata"]["resourceVersion"], meta["resourceVersion"]);
  EXPECT_EQ(body["metadata"]["uid"], meta["uid"]);
  EXPECT_EQ(Look(kFleet, 8).raised_from, 3);
}

TEST_F(TargetTest, IsRaisedAtAPathWhereItSaysSo) {
  server_.Put(FleetJson("Rack", {{"size", {{"nodes", 1}, {"spare", 2}}}}));
  EXPECT_EQ(Look(Rack(".spec.size.nodes"), 4).raised_from, 1);
  EXPECT_EQ((*server_.Get("racks", "infra", "burst"))["spec"],
            (Json{{"size", {{"nodes", 4}, {"spare", 2}}}}));
  const auto write = server_.Writes().at(0);
  EXPECT_EQ(write.content_type, "application/merge-patch+json");
  EXPECT_TRUE(Json::parse(write.body)["metadata"].contains("resourceVersion"));
  EXPECT_EQ(Look(Rack(".spec.other.nodes"), 4).raised_from, 0) << "a field that is not there";
}

TEST_F(TargetTest, IsLeftAloneWhereThePathLeadsThroughSomethingElse) {
  const Json spec = {{"pools", Json::array({{{"count", 1}}})}, {"many", uint64_t{1} << 63}};
  server_.Put(FleetJson("Rack", spec));
  EXPECT_THAT(Look(Rack(".spec.pools.count"), 4).problem,
              HasSubstr("its .spec.pools.count cannot be a number of replicas"));
  EXPECT_THAT(Look(Rack(".spec.many"), 4).problem,
              HasSubstr("its .spec.many is no number of replicas"));
  EXPECT_TRUE(server_.Writes().empty());
}

TEST_F(TargetTest, SaysWhatStandsInTheWay) {
  server_.Put(FleetJson("Rack", {{"size", "large"}}));
  ScaleTarget wrong = kFleet;
  EXPECT_EQ(Look(kFleet, 8).problem, "there is no Fleet infra/burst of example.com/v1");
  wrong.api_version = "example.com/v7";
  EXPECT_EQ(Look(wrong).problem,
            "Fleet infra/burst cannot be scaled: the API server does not serve example.com/v7");
  wrong = kFleet;
  wrong.kind = "Flotilla";
  EXPECT_THAT(Look(wrong).problem, HasSubstr("example.com/v1 has no kind Flotilla"));
  wrong = kFleet;
  wrong.ns.clear();
  EXPECT_THAT(Look(wrong).problem, HasSubstr("set spec.elastic.target.namespace"));
  EXPECT_THAT(Look({"spillway.dev/v1alpha1", "NodeGroup", "infra", "a", ".spec.tier"}).problem,
              HasSubstr("leave spec.elastic.target.namespace out"));
  EXPECT_THAT(Look(Rack("")).problem, HasSubstr("set spec.elastic.target.replicasPath"));
  EXPECT_THAT(Look(Rack(".spec.size")).problem,
              HasSubstr("its .spec.size is no number of replicas"));
  EXPECT_THAT(server_.Writes(), IsEmpty());
}

TEST_F(TargetTest, SaysWhichPermissionIsMissing) {
  server_.Put(FleetJson("Fleet", {{"replicas", 3}}));
  server_.Put(FleetJson("Rack", {{"nodes", 3}}));
  server_.Inject({.verb = "get", .path_contains = "/scale", .status = 403});
  EXPECT_EQ(Look(kFleet, 8).problem,
            "Fleet infra/burst cannot be scaled: Spillway may not get fleets.example.com/scale: "
            "name the kind in the chart's value elasticTargets");
  server_.Inject({.verb = "update", .status = 403});
  const TargetLook look = Look(kFleet, 8);
  EXPECT_THAT(look.problem, HasSubstr("may not update fleets.example.com/scale"));
  EXPECT_EQ(look.replicas, 3);
  server_.Inject({.verb = "patch", .status = 403});
  EXPECT_THAT(Look(Rack(".spec.nodes"), 8).problem,
              HasSubstr("may not patch racks.example.com: name the kind in the chart's value "
                        "elasticTargets, with wholeObject: true"));
}

TEST_F(TargetTest, WhatPassesByItselfIsNoProblem) {
  server_.Put(FleetJson("Fleet", {{"replicas", 3}}));
  server_.Inject({.verb = "get", .status = 503});
  EXPECT_TRUE(Look(kFleet, 8).again);
  server_.Inject({.kind = Fault::Kind::kDropAfter, .verb = "update"});
  const TargetLook look = Look(kFleet, 8);
  EXPECT_TRUE(look.again);
  EXPECT_EQ(look.problem, "");
  EXPECT_EQ(Look(kFleet, 8).raised_from, std::nullopt) << "it had been done";
}

// ---- the loop ----

class ElasticLoopTest : public LoopTest {
 protected:
  explicit ElasticLoopTest(Mode mode = Mode::kEnforce) : LoopTest(mode) {
    Json group = GroupJson("burst", 20);
    group["spec"]["elastic"] = {
        {"maxNodes", 8},
        {"stepNodes", 4},
        {"nodeShape", {{"cpu", "96"}, {"memory", "1000Gi"}, {"nvidia.com/gpu", "8"}}},
        {"provisionTimeoutSeconds", 1200},
        {"target",
         {{"apiVersion", "example.com/v1"},
          {"kind", "Fleet"},
          {"namespace", "infra"},
          {"name", "burst"}}}};
    server_.Put(group);
    server_.Put(FleetJson("Fleet", {{"replicas", 0}}));
  }
  int Replicas() { return (*server_.Get("fleets", "infra", "burst"))["spec"]["replicas"]; }
  Json GroupStatus() {
    return server_.Get("nodegroups", "", "burst")->value("status", Json::object());
  }
  Json Condition(const std::string& type) {
    for (const Json& one : GroupStatus().value("conditions", Json::array())) {
      if (one["type"] == type) return one;
    }
    return {{"status", ""}, {"reason", ""}, {"message", ""}};
  }
  // How often the target's scale was read.
  int64_t Looks() {
    const auto requests = server_.Requests();
    return std::ranges::count_if(requests, [](const LoggedRequest& one) {
      return one.verb == "get" && one.path.ends_with("/scale");
    });
  }
  void Deliver(int nodes) {
    for (int i = 0; i < nodes; ++i) {
      server_.Put(NodeJson("b" + std::to_string(i), "burst"));
    }
  }
};

TEST_F(ElasticLoopTest, AGangThatFitsNowhereHasTheTargetRaisedAndRunsOnceTheNodesCome) {
  server_.Put(PoolJson("large", 5));
  Run();
  ASSERT_TRUE(Await([&] { return Replicas() == 8; }));
  EXPECT_EQ(Reason("large", "Placed"), "WaitingForNodes");
  EXPECT_EQ(Status("large")["ask"]["nodeGroup"], "burst");
  EXPECT_EQ(Status("large")["ask"]["nodes"], 5);
  ASSERT_TRUE(Await([&] { return GroupStatus()["scale"].value("target", 0) == 8; }));
  EXPECT_EQ(GroupStatus()["scale"]["desired"], 8);
  EXPECT_EQ(Condition("TargetReady")["status"], "True");
  Deliver(8);
  ASSERT_TRUE(Await([&] { return Exists("jobs", "large-train-1"); }));
  EXPECT_EQ(Status("large")["placement"]["nodeGroup"], "burst");
  EXPECT_FALSE(Status("large").contains("ask"));
  ExpectQuiet();
  EXPECT_EQ(Replicas(), 8);
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(31),
                                   [&] { return GroupStatus()["scale"]["observed"] == 8; }));
}

TEST_F(ElasticLoopTest, NodesThatAreThereButNotReadyYetAreNotAskedForOnceMore) {
  server_.Patch("nodegroups", "", "burst", {{"spec", {{"elastic", {{"maxNodes", 16}}}}}});
  server_.Put(PoolJson("large", 5));
  Run();
  ASSERT_TRUE(Await([&] { return Replicas() == 8; }));
  for (int i = 0; i < 8; ++i) {
    Json node = NodeJson("b" + std::to_string(i), "burst");
    node["status"].erase("conditions");  // its kubelet has said nothing yet
    server_.Put(node);
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(OnePass());
  EXPECT_EQ(Replicas(), 8);
  EXPECT_EQ(GroupStatus()["scale"]["desired"], 8);
  Deliver(8);
  ASSERT_TRUE(Await([&] { return Exists("jobs", "large-train-1"); }));
  EXPECT_EQ(Replicas(), 8);
}

TEST_F(ElasticLoopTest, TheDecisionIsWrittenDownBeforeTheTargetIsRaised) {
  server_.Put(PoolJson("large", 5));
  Run();
  ASSERT_TRUE(Await([&] { return Replicas() == 8; }));
  std::optional<size_t> written;
  const auto writes = server_.Writes();
  for (size_t i = 0; i < writes.size(); ++i) {
    if (writes[i].path.ends_with("/nodegroups/burst/status") && !written) {
      const Json status = Json::parse(writes[i].body)["status"];
      if (status["scale"]["desired"] == 8) written = i;
    }
    if (writes[i].path.ends_with("/scale")) {
      ASSERT_TRUE(written.has_value());
      EXPECT_LT(*written, i);
    }
  }
}

TEST_F(ElasticLoopTest, ADecisionThatCouldNotBeWrittenDownRaisesNothing) {
  server_.Inject({.verb = "update", .path_contains = "/nodegroups/burst/status", .times = -1});
  server_.Put(PoolJson("large", 5));
  Run();
  ASSERT_TRUE(Await([&] { return Status("large").contains("ask"); }));
  PassTwice();
  EXPECT_EQ(Replicas(), 0);
  server_.ClearFaults();
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(5), [&] { return Replicas() == 8; }));
}

TEST_F(ElasticLoopTest, AnAskThatCouldNotBeWrittenDownRaisesNothing) {
  server_.Inject({.verb = "update", .path_contains = "/trainingpools/large/status", .times = -1});
  server_.Put(PoolJson("large", 5));
  Run();
  ASSERT_TRUE(Await([&] { return GroupStatus().value("/scale/desired"_json_pointer, 0) == 8; }));
  PassTwice();
  EXPECT_EQ(Replicas(), 0);
  server_.ClearFaults();
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(5), [&] { return Replicas() == 8; }));
}

// All templates are checked anew then; meanwhile the step under way stays what was decided.
TEST_F(ElasticLoopTest, WhatIsUnderWayWhenTheOperatorStartsIsNotAskedForAgain) {
  server_.Patch("nodegroups", "", "burst",
                {{"spec", {{"elastic", {{"maxNodes", 16}}}}},
                 {"status", {{"scale", {{"desired", 8}, {"target", 8}, {"observed", 7}}}}}});
  server_.Patch("fleets", "infra", "burst", {{"spec", {{"replicas", 8}}}});
  Deliver(7);
  Json pool = PoolJson("large", 8);
  pool["status"]["ask"] = {
      {"nodeGroup", "burst"}, {"nodes", 1}, {"workers", 8}, {"since", FormatTime(clock_.Now())}};
  server_.Put(pool);
  Run();
  ASSERT_TRUE(Await([&] { return Reason("large", "Placed") == "WaitingForNodes"; }));
  PassTwice();
  EXPECT_EQ(GroupStatus()["scale"]["desired"], 8);
  EXPECT_EQ(Replicas(), 8);
}

// Home and cloud have room for 48 of its replicas.
Json ServingJson(int replicas) {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "InferencePool"},
          {"metadata", {{"name", "chat"}, {"namespace", "lab"}}},
          {"spec",
           {{"replicas", replicas},
            {"variants", Json::array({{{"name", "a100"},
                                       {"accelerator", "nvidia-a100-80gb"},
                                       {"acceleratorsPerReplica", 1},
                                       {"throughput", "1"},
                                       {"template", samples::PodTemplate()}}})},
            {"placement", {{"spill", {{"afterSeconds", 0}}}}}}}};
}

class ElasticServingTest : public ElasticLoopTest {
 protected:
  Json Serving() {
    const auto object = server_.Get("inferencepools", "lab", "chat");
    return object && object->contains("status") ? (*object)["status"] : Json::object();
  }
  // Replicas that were decided for the group.
  int Decided(const std::string& group) {
    for (const Json& cell : Serving().value("cells", Json::array())) {
      if (cell["nodeGroup"] == group) return cell["desired"];
    }
    return 0;
  }
};

TEST_F(ElasticServingTest, ReplicasThatFitNowhereHaveTheTargetRaisedAndStartOnceTheNodesCome) {
  server_.Put(ServingJson(50));
  Run();
  ASSERT_TRUE(Await([&] { return Replicas() == 4; }));
  const Json ask = Serving()["asks"][0];
  EXPECT_EQ(ask["nodeGroup"], "burst");
  EXPECT_EQ(ask["nodes"], 1);
  EXPECT_EQ(ask["replicas"], 2);
  EXPECT_EQ(Decided("burst"), 0) << "none is started before";
  Deliver(4);
  ASSERT_TRUE(Await([&] { return Decided("burst") == 2; }));
  EXPECT_FALSE(Serving().contains("asks"));
  EXPECT_EQ(Decided("home") + Decided("cloud"), 48);
  EXPECT_EQ(Replicas(), 4);
}

TEST_F(ElasticServingTest, AnAskOfReplicasThatCouldNotBeWrittenDownRaisesNothing) {
  server_.Inject({.verb = "update", .path_contains = "/inferencepools/chat/status", .times = -1});
  server_.Put(ServingJson(50));
  Run();
  ASSERT_TRUE(Await([&] { return GroupStatus().value("/scale/desired"_json_pointer, 0) == 4; }));
  PassTwice();
  EXPECT_EQ(Replicas(), 0);
  server_.ClearFaults();
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(5), [&] { return Replicas() == 4; }));
}

TEST_F(ElasticServingTest, NodesForReplicasThatAreUnderWayWhenItStartsAreNotAskedForAgain) {
  server_.Patch("nodegroups", "", "burst",
                {{"spec", {{"elastic", {{"maxNodes", 16}}}}},
                 {"status", {{"scale", {{"desired", 8}, {"target", 8}, {"observed", 7}}}}}});
  server_.Patch("fleets", "infra", "burst", {{"spec", {{"replicas", 8}}}});
  Deliver(7);
  Json pool = ServingJson(106);
  pool["status"]["asks"] = Json::array({{{"variant", "a100"},
                                         {"nodeGroup", "burst"},
                                         {"nodes", 1},
                                         {"replicas", 2},
                                         {"since", FormatTime(clock_.Now())}}});
  server_.Put(pool);
  Run();
  ASSERT_TRUE(Await([&] { return Decided("burst") == 56; }));
  PassTwice();
  EXPECT_EQ(Serving()["asks"][0]["nodes"], 1);
  EXPECT_EQ(GroupStatus()["scale"]["desired"], 8);
  EXPECT_EQ(Replicas(), 8);
}

TEST_F(ElasticLoopTest, ATargetThatSomebodyLowersIsRaisedAgainWhileNodesAreAwaited) {
  server_.Put(PoolJson("large", 5));
  Run();
  ASSERT_TRUE(Await([&] { return Replicas() == 8; }));
  server_.Patch("fleets", "infra", "burst", {{"spec", {{"replicas", 2}}}});
  PassTwice();
  EXPECT_EQ(Replicas(), 2) << "it is not looked at all the time";
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(10), [&] { return Replicas() == 8; }));
}

// A leader before this one may have decided otherwise by then.
TEST_F(ElasticLoopTest, ATargetIsNotRaisedForAGroupThatHasChangedAndIsNotSeenYet) {
  server_.Put(PoolJson("large", 5));
  Run();
  ASSERT_TRUE(Await([&] { return Replicas() == 8; }));
  ExpectQuiet();
  server_.HoldWatches("nodegroups");
  server_.Patch("nodegroups", "", "burst", {{"status", {{"scale", {{"desired", 4}}}}}});
  server_.Patch("fleets", "infra", "burst", {{"spec", {{"replicas", 2}}}});
  for (int i = 0; i < 4; ++i) {
    clock_.Advance(std::chrono::seconds(10));
    ASSERT_TRUE(OnePass());
  }
  EXPECT_EQ(Replicas(), 2);
  server_.ReleaseWatches();
  ASSERT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(10), [&] { return Replicas() == 8; }));
}

TEST_F(ElasticLoopTest, AGroupThatWaitsForNothingIsLookedAtOnce) {
  Run();
  ASSERT_TRUE(Await([&] { return Condition("TargetReady")["status"] == "True"; }));
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(std::chrono::seconds(120));
    ASSERT_TRUE(OnePass());
  }
  EXPECT_EQ(Looks(), 1);
  EXPECT_EQ(GroupStatus()["scale"]["target"], 0);
}

TEST_F(ElasticLoopTest, ATargetThatCannotBeScaledIsToldAndTriedAgainAndTheNextGroupIsAsked) {
  server_.Inject({.verb = "update", .path_contains = "/scale", .times = -1, .status = 403});
  server_.Put(PoolJson("large", 5));
  Run();
  ASSERT_TRUE(Await([&] { return Condition("TargetReady")["reason"] == "TargetUnavailable"; }));
  EXPECT_THAT(std::string(Condition("TargetReady")["message"]),
              HasSubstr("may not update fleets.example.com/scale"));
  const int64_t looks = Looks();
  PassTwice();
  EXPECT_LE(Looks(), looks + 1) << "less and less often";
  EXPECT_THAT(Events(), testing::Contains("burst TargetUnavailable"));
  Advance(std::chrono::seconds(1201));
  ASSERT_TRUE(Await([&] { return GroupStatus().contains("stockout"); }));
  EXPECT_EQ(Condition("InStock")["reason"], "OutOfStock");
  ASSERT_TRUE(Await([&] { return !Status("large").contains("ask"); }));
  EXPECT_THAT(Message("large", "Placed"),
              HasSubstr("burst: the nodes that it was asked for did not come in time"));
  EXPECT_EQ(GroupStatus()["scale"]["desired"], 0);
  server_.ClearFaults();
  EXPECT_TRUE(AwaitWhileTimePasses(std::chrono::seconds(60), [&] { return Replicas() == 8; }))
      << "asked again after the backoff";
  EXPECT_TRUE(Await([&] { return Condition("TargetReady")["status"] == "True"; }));
}

TEST_F(ElasticLoopTest, ANewTargetIsLookedAtAnew) {
  Run();
  ASSERT_TRUE(Await([&] { return Condition("TargetReady")["status"] == "True"; }));
  server_.Patch("nodegroups", "", "burst",
                {{"spec", {{"elastic", {{"target", {{"name", "gone"}}}}}}}});
  ASSERT_TRUE(Await([&] { return Condition("TargetReady")["status"] == "False"; }));
  EXPECT_THAT(std::string(Condition("TargetReady")["message"]), HasSubstr("infra/gone"));
}

TEST_F(ElasticLoopTest, TwoGroupsThatNameOneTargetRaiseItForNeither) {
  Json spec = (*server_.Get("nodegroups", "", "burst"))["spec"];
  spec["elastic"]["minNodes"] = 2;
  spec["selector"] = {{"matchLabels", {{"group", "twin"}}}};
  Json twin = GroupJson("twin", 20);
  twin["spec"] = spec;
  server_.Put(twin);
  Run();
  ASSERT_TRUE(Await([&] { return Condition("Ready")["reason"] == "Misconfigured"; }));
  PassTwice();
  EXPECT_EQ(Replicas(), 0);
  server_.Remove("nodegroups", "", "burst");
  EXPECT_TRUE(Await([&] { return Replicas() == 2; })) << "the least that the other is to have";
}

class ElasticObserveTest : public ElasticLoopTest {
 protected:
  ElasticObserveTest() : ElasticLoopTest(Mode::kObserve) {}
};

TEST_F(ElasticObserveTest, TheTargetIsReadAndNeverRaised) {
  server_.Put(PoolJson("large", 5));
  Run();
  ASSERT_TRUE(Await([&] { return Condition("TargetReady")["status"] == "True"; }));
  ASSERT_TRUE(Await([&] { return Reason("large", "Placed") == "WaitingForNodes"; }));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(OnePass());
  EXPECT_EQ(Replicas(), 0);
  EXPECT_FALSE(GroupStatus().contains("scale"));
  EXPECT_LE(Looks(), 2);
}

TEST_F(ElasticLoopTest, AStandbyTouchesNoTarget) {
  leading_ = false;
  server_.Put(PoolJson("large", 5));
  Run();
  PassTwice();
  PassTwice();  // its template has been judged by then
  EXPECT_EQ(Looks(), 0);
  EXPECT_EQ(Replicas(), 0);
}

}  // namespace
}  // namespace spillway::controllers
