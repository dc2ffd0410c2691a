#include "controllers/checkup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/yaml.h"

namespace spillway::controllers {
namespace {

using nlohmann::json;
using support::YamlToJson;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> Whats(const Findings& findings) {
  std::vector<std::string> out;
  for (const Finding& one : findings) {
    EXPECT_TRUE(one.what.ends_with('.')) << one.what;
    EXPECT_TRUE(one.remedy.ends_with('.')) << one.remedy;
    out.push_back(one.what);
  }
  return out;
}

TEST(Checkup, OldApiServersAreTold) {
  EXPECT_THAT(CheckServerVersion("v1.33.0"), IsEmpty());
  EXPECT_THAT(CheckServerVersion("v1.36.3-eks-1"), IsEmpty());
  EXPECT_THAT(CheckServerVersion("v2.0.0"), IsEmpty());
  EXPECT_THAT(Whats(CheckServerVersion("v1.32.9")),
              ElementsAre("The API server is v1.32.9; Spillway needs Kubernetes 1.33 or newer."));
  EXPECT_EQ(CheckServerVersion("").size(), 1U);
}

json Crd() {
  return YamlToJson(R"(
metadata: {name: things.spillway.dev}
spec:
  versions:
  - name: v1alpha1
    served: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              tier: {type: integer, minimum: 0}
              links: {type: array, items: {type: object, properties: {label: {type: string}}}}
)");
}

TEST(Checkup, CrdsAreComparedWithThisBuild) {
  const json wanted = Crd();
  const auto check = [&](const json& installed) {
    return Whats(CheckCrds({wanted}, {{"things.spillway.dev", installed}}));
  };
  const json::json_pointer fields(
      "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties");
  EXPECT_THAT(check(wanted), IsEmpty());
  EXPECT_THAT(Whats(CheckCrds({wanted}, {})),
              ElementsAre("1 of 1 CRDs is not installed: things.spillway.dev."));
  json older = wanted;
  older[fields].erase("links");
  EXPECT_THAT(check(older),
              ElementsAre("CRD things.spillway.dev lacks 1 field of this version: spec.links."));
  json newer = wanted;
  newer[fields]["links"]["items"]["properties"]["speed"] = {{"type", "string"}};
  EXPECT_THAT(check(newer),
              ElementsAre("CRD things.spillway.dev has 1 field that this version does "
                          "not know: spec.links[].speed."));
  json other = wanted;
  other[fields]["tier"]["minimum"] = 1;
  EXPECT_THAT(check(other), ElementsAre(HasSubstr("but other rules, defaults or descriptions")));
  json silent = wanted;
  silent["spec"]["versions"][0]["served"] = false;
  EXPECT_THAT(check(silent), ElementsAre("CRD things.spillway.dev does not serve v1alpha1."));
}

TEST(Checkup, TheOperatorIsThereOfThisVersionAndReady) {
  const auto check = [](const char* deployment) {
    return Whats(CheckOperator(YamlToJson(deployment), "ns", "0.1.0"));
  };
  EXPECT_THAT(Whats(CheckOperator(nullptr, "ns", "0.1.0")),
              ElementsAre("There is no Deployment spillway in namespace ns: no operator runs."));
  EXPECT_THAT(check("{metadata: {labels: {app.kubernetes.io/version: \"0.1.0\"}}, "
                    "spec: {replicas: 2}, status: {readyReplicas: 1}}"),
              IsEmpty());
  EXPECT_THAT(
      check("{metadata: {labels: {app.kubernetes.io/version: \"0.0.9\"}}, "
            "spec: {replicas: 2}, status: {readyReplicas: 2}}"),
      ElementsAre("The operator in namespace ns is of version 0.0.9, this command of 0.1.0."));
  EXPECT_THAT(check("{metadata: {labels: {app.kubernetes.io/version: \"0.1.0\"}}, "
                    "spec: {replicas: 0}, status: {}}"),
              ElementsAre("Deployment ns/spillway is scaled to 0: no operator runs."));
  EXPECT_THAT(check("{metadata: {labels: {app.kubernetes.io/version: \"0.1.0\"}}, "
                    "spec: {replicas: 2}, status: {}}"),
              ElementsAre("None of the 2 operators of Deployment ns/spillway is ready."));
}

TEST(Checkup, MissingRightsAreNamed) {
  EXPECT_THAT(CheckRights({}, 50, "ns", "spillway"), IsEmpty());
  EXPECT_THAT(Whats(CheckRights({{"", "nodes", "", "watch"},
                                 {"spillway.dev", "nodegroups", "status", "update"},
                                 {"coordination.k8s.io", "leases", "", "get", "ns", "spillway"}},
                                50, "ns", "spillway")),
              ElementsAre("ServiceAccount ns/spillway lacks 3 of 50 rights: watch nodes, update "
                          "nodegroups/status.spillway.dev, get leases.coordination.k8s.io in ns."));
}

TEST(Checkup, AReviewAsksForTheServiceAccount) {
  const json review = json::parse(RenderAccessReview(
      {"coordination.k8s.io", "leases", "", "get", "ns", "spillway"}, "ns", "account"));
  EXPECT_EQ(review["spec"]["user"], "system:serviceaccount:ns:account");
  EXPECT_EQ(review["spec"]["groups"],
            (json{"system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"}));
  EXPECT_EQ(review["spec"]["resourceAttributes"],
            YamlToJson("{group: coordination.k8s.io, resource: leases, verb: get, namespace: ns, "
                       "name: spillway}"));
}

// ---- nodes ----

DescribedNode A100(const std::string& name, kube::TextMap labels) {
  DescribedNode node;
  labels["kubernetes.io/hostname"] = name;
  labels["nvidia.com/gpu.product"] = "NVIDIA-A100-SXM4-80GB";
  labels["nvidia.com/gpu.count"] = "8";
  node.details.node.meta.name = name;
  node.details.node.meta.labels = std::move(labels);
  node.signs = ReadSigns(node.details);
  return node;
}

crds::v1alpha1::NodeGroup Group(const std::string& name, const std::string& pool) {
  crds::v1alpha1::NodeGroup group;
  group.meta.name = name;
  group.spec.provider = "OnPrem";
  group.spec.accelerator = {"nvidia-a100-80gb", "nvidia.com/gpu", 8};
  group.spec.selector = {{"pool", "In", {pool}}};
  return group;
}

TEST(Checkup, AFleetThatIsDescribedHasNoFindings) {
  EXPECT_THAT(CheckFleet({A100("a", {{"pool", "x"}}), A100("b", {{"pool", "y"}})},
                         {Group("x", "x"), Group("y", "y")}),
              IsEmpty());
}

TEST(Checkup, AcceleratorsWithoutAGroupAreCounted) {
  DescribedNode cpu;
  cpu.details.node.meta.name = "cpu";
  cpu.details.node.allocatable.Set("cpu", 4000);
  cpu.signs = ReadSigns(cpu.details);
  EXPECT_THAT(Whats(CheckFleet({A100("a", {{"pool", "x"}}), A100("b", {}), A100("c", {}), cpu},
                               {Group("x", "x")})),
              ElementsAre("2 nodes (b and c) with 16 accelerators of nvidia-a100-80gb belong to no "
                          "NodeGroup."));
}

TEST(Checkup, AGroupWithoutNodesSaysWhichLabelNobodyHas) {
  auto group = Group("y", "y");
  group.spec.selector.push_back({"nvidia.com/gpu.count", "Exists", {}});
  EXPECT_THAT(Whats(CheckFleet({A100("a", {{"pool", "x"}})}, {Group("x", "x"), group})),
              ElementsAre("NodeGroup y matches none of the 1 node: pool In y holds on 0 and "
                          "nvidia.com/gpu.count Exists holds on 1."));
  EXPECT_THAT(Whats(CheckFleet({A100("a", {})}, {})),
              ElementsAre("There is no NodeGroup for 1 node, so that no pool can be placed."));
}

TEST(Checkup, AnElasticGroupMayHaveNoNodesButSaysWhenItGetsNone) {
  auto group = Group("y", "y");
  group.spec.elastic.emplace();
  const auto check = [&] {
    return Whats(CheckFleet({A100("a", {{"pool", "x"}})}, {Group("x", "x"), group}));
  };
  EXPECT_THAT(check(), IsEmpty());
  group.status.conditions = {{"TargetReady", "True", "AsExpected", "it can be scaled", {}, 1}};
  EXPECT_THAT(check(), IsEmpty());
  group.status.conditions = {
      {"TargetReady", "False", "TargetUnavailable", "there is no Fleet a/b of c/v1", {}, 1}};
  EXPECT_THAT(check(),
              ElementsAre("NodeGroup y gets no new nodes: there is no Fleet a/b of c/v1."));
  group.spec.elastic.reset();  // what was said of it holds no more
  EXPECT_THAT(check(), ElementsAre(HasSubstr("matches none")));
}

TEST(Checkup, NodesOfTwoGroupsAreNamed) {
  EXPECT_THAT(Whats(CheckFleet({A100("a", {{"pool", "x"}}), A100("b", {{"pool", "x"}})},
                               {Group("x", "x"), Group("z", "x")})),
              ElementsAre("2 nodes (a and b) are matched by NodeGroups x and z, and take no new "
                          "placements."));
}

TEST(Checkup, AGroupThatSaysOtherThanItsNodesIsTold) {
  auto type = Group("x", "x");
  type.spec.accelerator.type = "nvidia-a100-40gb";
  EXPECT_THAT(Whats(CheckFleet({A100("a", {{"pool", "x"}})}, {type})),
              ElementsAre("NodeGroup x says nvidia-a100-40gb, but 1 node (a) of its 1 node show "
                          "nvidia-a100-80gb."));
  type.spec.accelerator.type = "our-own-name";
  EXPECT_THAT(CheckFleet({A100("a", {{"pool", "x"}})}, {type}), IsEmpty());
  EXPECT_THAT(
      Whats(CheckFleet({A100("a", {{"pool", "x"}, {"eks.amazonaws.com/nodegroup", "n"}})},
                       {Group("x", "x")})),
      ElementsAre("NodeGroup x says provider OnPrem, but 1 node (a) of its 1 node show AWS."));
}

TEST(Checkup, LabelsThatWeNeedAreMissed) {
  auto group = Group("x", "x");
  group.spec.domain_labels = {"rack"};
  DescribedNode nameless = A100("b", {{"pool", "x"}, {"rack", "1"}});
  nameless.details.node.meta.labels.erase("kubernetes.io/hostname");
  EXPECT_THAT(
      Whats(CheckFleet({A100("a", {{"pool", "x"}}), nameless}, {group})),
      ElementsAre("1 node (b) of the 2 nodes of NodeGroup x has no label "
                  "kubernetes.io/hostname, by which workers are pinned to their nodes.",
                  "1 node (a) of the 2 nodes of NodeGroup x has no label rack, by which its "
                  "domains are told, so that no pool with topology Required goes there."));
}

// ---- Kueue ----

Findings Kueue(const std::string& config, std::map<std::string, NamespacePools> namespaces) {
  const json parsed = YamlToJson(config);
  return CheckKueue({{}, true, &parsed, std::move(namespaces)});
}

TEST(Checkup, KueueThatTakesJobsWithoutAQueueIsTold) {
  const std::string all =
      "{manageJobsWithoutQueueName: true, integrations: {frameworks: [batch/job, deployment]}}";
  EXPECT_THAT(Whats(Kueue(all, {{"a", {{}, 2, 1}}, {"b", {{}, 1, 0}}, {"c", {}}})),
              ElementsAre("Kueue manages Jobs without a queue name (manageJobsWithoutQueueName: "
                          "true), and so suspends what belongs to 3 TrainingPools and 1 "
                          "InferencePool in 2 namespaces (a and b)."));
  EXPECT_THAT(Kueue(all, {{"kube-system", {{}, 1, 0}}}), IsEmpty());
  EXPECT_THAT(Kueue("{manageJobsWithoutQueueName: false, integrations: {frameworks: [batch/job]}}",
                    {{"a", {{}, 1, 0}}}),
              IsEmpty());
  EXPECT_THAT(
      Kueue("{manageJobsWithoutQueueName: true, integrations: {frameworks: [ray.io/rayjob]}}",
            {{"a", {{}, 1, 1}}}),
      IsEmpty());
}

TEST(Checkup, KueueIsFreeToManageNamespacesWithoutPools) {
  const std::string some =
      "{manageJobsWithoutQueueName: true, integrations: {frameworks: [batch/job]}, "
      "managedJobsNamespaceSelector: {matchExpressions: [{key: kueue, operator: In, values: "
      "[\"yes\"]}]}}";
  EXPECT_THAT(Kueue(some, {{"a", {{}, 1, 0}}}), IsEmpty());
  EXPECT_EQ(Kueue(some, {{"a", {{{"kueue", "yes"}}, 1, 0}}}).size(), 1U);
}

TEST(Checkup, ADefaultQueueOfKueueTakesJobsThatNameNone) {
  const std::string none = "{integrations: {}}";
  EXPECT_THAT(
      Whats(Kueue(none, {{"a", {{}, 1, 3, true}}, {"b", {{}, 1, 0, false}}})),
      ElementsAre("Kueue puts Jobs without a queue name into the LocalQueue default, and so "
                  "suspends what belongs to 1 TrainingPool and 0 InferencePools in 1 "
                  "namespace (a)."));
  EXPECT_THAT(Kueue(none, {{"a", {{}, 0, 3, true}}}), IsEmpty());
}

TEST(Checkup, KueueWithoutAConfigurationToReadIsTold) {
  EXPECT_THAT(CheckKueue({}), IsEmpty());
  EXPECT_THAT(Whats(CheckKueue({{"kueue-mutating-webhook-configuration"}, false, nullptr, {}})),
              ElementsAre("Kueue is installed (kueue-mutating-webhook-configuration), but its "
                          "configuration is not in ConfigMap kueue-system/kueue-manager-config."));
}

}  // namespace
}  // namespace spillway::controllers
