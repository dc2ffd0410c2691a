#include "controllers/node_proposals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/yaml.h"

namespace spillway::controllers {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

DescribedNode Describe(const json& object) {
  kube::JsonParser parser;
  auto root = parser.Parse(object.dump());
  DescribedNode node;
  const Status read = kube::DecodeNodeDetails(root.value(), node.details);
  EXPECT_TRUE(read) << read.error().message;
  node.signs = ReadSigns(node.details);
  return node;
}

json A100(const std::string& name, json labels = json::object()) {
  labels["kubernetes.io/hostname"] = name;
  labels["nvidia.com/gpu.product"] = "NVIDIA-A100-SXM4-80GB";
  return {{"metadata", {{"name", name}, {"labels", labels}}},
          {"status", {{"allocatable", {{"cpu", "96"}, {"nvidia.com/gpu", "8"}}}}}};
}

std::vector<Proposal> Propose(const std::vector<json>& objects) {
  std::vector<DescribedNode> nodes;
  nodes.reserve(objects.size());
  for (const json& object : objects) nodes.push_back(Describe(object));
  return ProposeGroups(nodes);
}

json SpecOf(const Proposal& proposal) { return support::YamlToJson(proposal.manifest).at("spec"); }

TEST(NodeProposals, NodesOfOneKindAreOneGroup) {
  const json pool = {{"kubernetes.azure.com/agentpool", "a100"}};
  json first = A100("a", pool);
  first["spec"]["taints"] =
      json::array({{{"key", "sku"}, {"value", "gpu"}, {"effect", "NoSchedule"}},
                   {{"key", "node.kubernetes.io/unreachable"}, {"effect", "NoExecute"}}});
  json second = A100("b", pool);
  second["spec"]["taints"] = first["spec"]["taints"];
  const auto proposals = Propose({first, second});
  ASSERT_EQ(proposals.size(), 1U);
  EXPECT_THAT(proposals[0].nodes, ElementsAre("a", "b"));
  EXPECT_EQ(proposals[0].name, "azure-nvidia-a100-80gb");
  EXPECT_EQ(SpecOf(proposals[0]),
            support::YamlToJson(
                "provider: Azure\n"
                "tier: 10\n"
                "selector: {matchLabels: {kubernetes.azure.com/agentpool: \"a100\"}}\n"
                "accelerator: {type: nvidia-a100-80gb, resource: nvidia.com/gpu, perNode: 8}\n"
                "capacityType: OnDemand\n"
                "tolerations:\n"
                "- {key: sku, value: \"gpu\", effect: NoSchedule}\n"));
}

TEST(NodeProposals, ASelectorIsAsNarrowAsItMustBe) {
  // One pool of two instance types: the pool's label alone would mix them.
  const auto karpenter = [](const char* name, const char* type) {
    json node =
        A100(name, {{"karpenter.sh/nodepool", "gpu"}, {"node.kubernetes.io/instance-type", type}});
    node["metadata"]["labels"].erase("nvidia.com/gpu.product");
    return node;
  };
  const auto proposals = Propose({karpenter("a", "p4d.24xlarge"), karpenter("b", "p4de.24xlarge")});
  ASSERT_EQ(proposals.size(), 2U);
  std::set<std::string> types;
  for (const Proposal& one : proposals) {
    const json labels = SpecOf(one)["selector"]["matchLabels"];
    EXPECT_EQ(labels.value("karpenter.sh/nodepool", ""), "gpu");
    types.insert(labels.value("node.kubernetes.io/instance-type", ""));
  }
  EXPECT_THAT(types, ElementsAre("p4d.24xlarge", "p4de.24xlarge"));
}

TEST(NodeProposals, NodesThatShareAllLabelsWithOthersAreNamed) {
  json four = A100("b");
  four["status"]["allocatable"]["nvidia.com/gpu"] = "4";
  const auto proposals = Propose({A100("a"), four});
  ASSERT_EQ(proposals.size(), 2U);
  for (const Proposal& one : proposals) {
    EXPECT_EQ(
        SpecOf(one)["selector"]["matchExpressions"][0],
        (json{{"key", "kubernetes.io/hostname"}, {"operator", "In"}, {"values", {one.nodes[0]}}}));
  }
  EXPECT_EQ(proposals[0].name, "onprem-nvidia-a100-80gb");
  EXPECT_EQ(proposals[1].name, "onprem-nvidia-a100-80gb-2");
}

TEST(NodeProposals, WhatIsGuessedIsSaid) {
  const auto proposals = Propose({A100("a")});
  ASSERT_EQ(proposals.size(), 1U);
  EXPECT_THAT(FormatProposal(proposals[0]),
              HasSubstr("# guessed: the provider, from no sign of a cloud\n"));
  EXPECT_EQ(SpecOf(proposals[0])["tier"], 0);
  EXPECT_EQ(SpecOf(proposals[0])["capacityType"], "Owned");
}

TEST(NodeProposals, DomainsAreTheLabelsThatAllHaveClosestFirst) {
  const json labels = {{"topology.k8s.aws/network-node-layer-1", "x"},
                       {"topology.k8s.aws/network-node-layer-3", "y"},
                       {"eks.amazonaws.com/nodegroup", "g"}};
  json other = labels;
  other["topology.k8s.aws/network-node-layer-2"] = "z";
  const auto proposals = Propose({A100("a", labels), A100("b", other)});
  ASSERT_EQ(proposals.size(), 1U);
  EXPECT_EQ(
      SpecOf(proposals[0])["interconnect"]["domainLabels"],
      (json{"topology.k8s.aws/network-node-layer-3", "topology.k8s.aws/network-node-layer-1"}));
}

// Those that files of real nodes give, by the file's number.
std::vector<Proposal> ProposeFor(const std::string& number) {
  for (const auto& file : support::TestdataFiles("nodes")) {
    if (file.filename().string().starts_with(number)) return Propose({support::ReadYamlFile(file)});
  }
  ADD_FAILURE() << "no file " << number;
  return {};
}

TEST(NodeProposals, PartsOfDevicesHaveATypeOfTheirOwn) {
  const struct {
    const char* file;
    const char* type;
    const char* resource;
    int per_node;
  } cases[] = {{"30", "nvidia-t4-shared", "nvidia.com/gpu", 4},
               {"33", "nvidia-a100-80gb-mig-1g-10gb", "nvidia.com/gpu", 0},
               {"38", "nvidia-a100-vgpu-10c", "nvidia.com/gpu", 0}};
  for (const auto& one : cases) {
    const auto proposals = ProposeFor(one.file);
    ASSERT_EQ(proposals.size(), 1U);
    json expected = {{"type", one.type}, {"resource", one.resource}};
    if (one.per_node > 0) expected["perNode"] = one.per_node;
    EXPECT_EQ(SpecOf(proposals[0])["accelerator"], expected) << one.file;
    EXPECT_THAT(FormatProposal(proposals[0]), HasSubstr("nothing that wants whole ones"));
  }
}

TEST(NodeProposals, WhereNothingCanBeProposedASentenceSaysWhy) {
  const struct {
    const char* file;
    const char* why;
  } cases[] = {{"05", "the objects do not tell what they compute with"},
               {"36", "no label tells these nodes from others; give them one"},
               {"43", "the objects do not tell what they compute with"}};
  for (const auto& one : cases) {
    const auto proposals = ProposeFor(one.file);
    ASSERT_EQ(proposals.size(), 1U);
    EXPECT_THAT(proposals[0].manifest, IsEmpty());
    EXPECT_THAT(FormatProposal(proposals[0]),
                HasSubstr(std::string("# no NodeGroup is proposed: ") + one.why));
  }
}

TEST(NodeProposals, AControlPlaneIsProposedOnlyForItsAccelerators) {
  EXPECT_THAT(FormatProposal(ProposeFor("42").at(0)), HasSubstr("# it is a control plane too\n"));
  const auto cpu = Propose(
      {{{"metadata",
         {{"name", "cp"},
          {"labels",
           {{"node-role.kubernetes.io/control-plane", ""}, {"kubernetes.io/hostname", "cp"}}}}},
        {"status", {{"allocatable", {{"cpu", "4"}}}}}}});
  EXPECT_THAT(FormatProposal(cpu.at(0)), HasSubstr("they are the control plane"));
}

TEST(NodeProposals, AllOfTheRecordedNodesTogetherAreSelectedByNoTwoGroups) {
  std::vector<json> objects;
  for (const auto& file : support::TestdataFiles("nodes")) {
    objects.push_back(support::ReadYamlFile(file));
  }
  std::map<std::string, int> selected;
  int manifests = 0;
  for (const Proposal& proposal : Propose(objects)) {
    if (proposal.manifest.empty()) continue;
    ++manifests;
    const json selector = SpecOf(proposal)["selector"];
    for (const json& object : objects) {
      const json labels = object.value(json::json_pointer("/metadata/labels"), json::object());
      bool matches = true;
      const json wanted = selector.value("matchLabels", json::object());
      for (const auto& [key, value] : wanted.items()) {
        matches = matches && labels.value(key, json()) == value;
      }
      for (const json& one : selector.value("matchExpressions", json::array())) {
        const std::string value = labels.value(one["key"].get<std::string>(), "");
        matches = matches && std::count(one["values"].begin(), one["values"].end(), value) > 0;
      }
      if (matches) ++selected[object["metadata"]["name"]];
    }
  }
  EXPECT_GE(manifests, 20);
  for (const auto& [node, groups] : selected) {
    EXPECT_EQ(groups, 1) << node;
  }
}

TEST(NodeSigns, AreLinesThatYamlDoesNotRead) {
  const std::string text = FormatSigns(Describe(A100("a")).signs);
  EXPECT_THAT(text, HasSubstr("#   provider:      OnPrem (a guess, from: no sign of a cloud)\n"));
  EXPECT_THAT(text, HasSubstr("#   accelerator:   nvidia-a100-80gb (label nvidia.com/gpu.product), "
                              "8 (status.allocatable)\n"));
  EXPECT_THAT(text,
              HasSubstr("usable: nothing says otherwise (a guess, from: no condition Ready)"));
  EXPECT_THAT(text, Not(HasSubstr("\n ")));
}

}  // namespace
}  // namespace spillway::controllers
