#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placement/snapshot.h"
#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::ReadSnapshot;
using placement::WriteSnapshot;
using testing::HasSubstr;

TEST(SnapshotText, HasOneLineForEachThingAndLeavesDefaultsOut) {
  Snapshot world;
  world.now = kNow;
  world.render_revision = "r1";
  NodeGroup group = Group("home");
  group.labels = {{"site", "north"}};
  world.groups = {group};
  world.nodes = {GpuNode("n1", "home", 8, "d1")};
  TrainingPool pool = Wants("llm", 4);
  pool.spill_allowed = false;
  pool.spill_max_hourly_cost = Dollars("5000");
  pool.memory.tiers_used = {0, 10};
  world.pools = {pool};
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 64}}}};
  world.quotas[0].max_hourly_cost = Dollars("500");
  world.quotas[0].budget = {Dollars("100000"), placement::BudgetPeriod::kWeek,
                            placement::AtLimit::kDrainAtCheckpoint};
  world.quotas[0].memory = {Dollars("12.5"), Dollars("3"), kNow, kNow - Seconds{43200}};
  EXPECT_EQ(WriteSnapshot(world), R"(now: 2026-11-24T12:00:00Z
currency: USD
renderRevision: r1
groups:
  - {name: home, labels: {site: north}, selector: [{key: group, operator: In, values: [home]}], accelerator: {type: a100, resource: nvidia.com/gpu, perNode: 8}, cost: {perNodeHour: "32.00"}, interconnect: {domainLabels: [topology.example.com/domain, topology.example.com/block]}}
nodes:
  - {name: n1, labels: {group: home, kubernetes.io/hostname: n1, topology.example.com/domain: d1}, allocatable: {cpu: 96, memory: 1Ti, nvidia.com/gpu: 8, pods: 110}, created: 2026-11-24T11:00:00Z}
pools:
  - {namespace: team, name: llm, uid: uid-llm, acceleratorsPerWorker: 8, accelerators: [{type: a100, workers: 4}], requests: {cpu: 4, memory: 16Gi, pods: 1}, placement: {spill: {policy: Never, maxHourlyCost: "5000.00"}}, specRevision: spec-1, status: {tiersUsed: [0, 10]}}
inferencePools:
quotas:
  - {namespace: team, accelerators: [{type: a100, limit: 64}], spend: {maxHourlyCost: "500.00", budget: {amount: "100000.00", period: Week, atLimit: DrainAtCheckpoint}}, status: {budgetSpent: "12.50", hourlyCost: "3.00", asOf: 2026-11-24T12:00:00Z, periodStart: 2026-11-24T00:00:00Z}}
defaultLimits:
)");
}

TEST(SnapshotText, HasAllOfElasticGroupsAndOfWhatTheyAreAskedFor) {
  Snapshot world;
  world.now = kNow;
  NodeGroup group;
  group.name = "cloud";
  placement::Elastic& elastic = group.elastic.emplace();
  elastic.min_nodes = 1;
  elastic.max_nodes = 675;
  elastic.step_nodes = 16;
  elastic.single_domain = true;
  elastic.node_shape = Amounts({{"cpu", "94940m"}, {kGpu, "8"}});
  elastic.provision_timeout = Seconds{900};
  elastic.backoff_initial = Seconds{60};
  elastic.backoff_max = Seconds{600};
  elastic.scale_down_delay = Seconds{120};
  elastic.max_hourly_cost = Dollars("5000.5");
  group.memory.desired = 48;
  group.memory.spare = placement::SpareNodes{.nodes = 2, .since = kNow};
  group.memory.leaving = placement::LeavingNodes{
      .nodes = {"n-1", "n-7"}, .since = kNow, .replicas = 46, .lowered = true};
  group.target_replicas = 47;
  group.target_fixed = true;
  group.leaving_stay = true;
  group.memory.stockout =
      placement::Stockout{.since = kNow, .attempts = 3, .next_try = kNow + Seconds{240}};
  world.groups = {group};
  TrainingPool pool = Wants("llm", 4);
  pool.memory.ask =
      placement::NodeAsk{.node_group = "cloud", .nodes = 3, .workers = 4, .since = kNow};
  world.pools = {pool};
  placement::InferencePool chat = Chat(4);
  chat.memory.asks = {
      {.variant = "gpu", .node_group = "cloud", .nodes = 1, .replicas = 4, .since = kNow}};
  world.inference_pools = {chat};
  const std::string text = WriteSnapshot(world);
  EXPECT_THAT(text, HasSubstr("asks: [{variant: gpu, nodeGroup: cloud, nodes: 1, replicas: 4, "
                              "since: 2026-11-24T12:00:00Z}]"));
  EXPECT_THAT(
      text,
      HasSubstr("elastic: {minNodes: 1, maxNodes: 675, stepNodes: 16, singleDomain: true, "
                "nodeShape: {cpu: 94940m, nvidia.com/gpu: 8}, provisionTimeoutSeconds: 900, "
                "stockoutBackoff: {initialSeconds: 60, maxSeconds: 600}, scaleDownDelaySeconds: "
                "120, maxHourlyCost: \"5000.50\"}, targetReplicas: 47, targetFixed: true, "
                "leavingStay: true, status: {scale: "
                "{desired: "
                "48, spare: {nodes: 2, since: "
                "2026-11-24T12:00:00Z}, leaving: {nodes: [n-1, n-7], since: "
                "2026-11-24T12:00:00Z, replicas: 46, lowered: true}}, stockout: {since: "
                "2026-11-24T12:00:00Z, attempts: 3, nextTry: "
                "2026-11-24T12:04:00Z}}"));
  EXPECT_THAT(text, HasSubstr("status: {ask: {nodeGroup: cloud, nodes: 3, workers: 4, since: "
                              "2026-11-24T12:00:00Z}}"));
  const auto read = ReadSnapshot(text);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_TRUE(*read == world);
}

TEST(SnapshotText, KeepsTextsThatLookLikeSomethingElse) {
  Snapshot world = Fleet(1);
  const std::vector<std::string> texts = {"",
                                          "true",
                                          "No",
                                          "null",
                                          "~",
                                          "8",
                                          "1e3",
                                          "0x1F",
                                          "a: b",
                                          "a,b",
                                          "[x]",
                                          "{x}",
                                          "#no comment",
                                          "- dash",
                                          "x #y",
                                          "\"quoted\"",
                                          "'it'",
                                          "a\\b",
                                          "\ttab",
                                          "line\nbreak",
                                          "caf\xc3\xa9",
                                          "*star",
                                          "&ref",
                                          "!tag",
                                          " lead",
                                          "trail ",
                                          "%",
                                          "@",
                                          "\x7f",
                                          "2026-11-24T12:00:00Z"};
  for (size_t i = 0; i < texts.size(); ++i) {
    NodeOf(world, "home-1").labels["key" + std::to_string(i)] = texts[i];
    if (!texts[i].empty()) NodeOf(world, "home-1").conditions[texts[i]] = "True";
  }
  const auto read = ReadSnapshot(WriteSnapshot(world));
  ASSERT_TRUE(read.ok()) << read.error().message << "\n" << WriteSnapshot(world);
  EXPECT_EQ(read->nodes.front().labels, world.nodes.front().labels);
  EXPECT_TRUE(*read == world);
}

TEST(SnapshotText, ReadsWhatAPersonWrites) {
  const auto read = ReadSnapshot(
      "# a bug report\n---\nnow: 2026-11-24T12:00:00Z\r\n\nquotas: []\nnodes:   # two\n"
      "- {name: a, allocatable: {cpu: 94940m, \"nvidia.com/gpu\": \"8\"}}\n"
      "  # the other one\n"
      "    - {name: b, ready: false}\n");
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->nodes.size(), 2U);
  EXPECT_EQ(read->nodes[0].allocatable, Amounts({{"cpu", "94940m"}, {kGpu, "8"}}));
  EXPECT_FALSE(read->nodes[1].ready);
  EXPECT_EQ(read->currency, "USD");
}

TEST(SnapshotText, SaysWhatIsWrongAndWhere) {
  const std::string now = "now: 2026-11-24T12:00:00Z\n";
  struct Case {
    const char* sentence;
    std::string text;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"an unknown field", now + "nodes:\n  - {name: a, redy: true}\n",
       "line 3: nodes: field redy: is unknown; allowed: cluster, name, labels, taints, "
       "allocatable, used, created, ready, notReadySince, cordoned, starting, draining, "
       "outOfService, otherPods, heldSince, conditions"},
      {"an unknown field further in", now + "groups:\n  - {name: g, health: {startupGrace: 1}}\n",
       "line 3: groups: field health.startupGrace: is unknown; allowed: startupGraceSeconds, "
       "notReadyGraceSeconds, maxUnhealthyPercent, badConditions, badTaints"},
      {"an unknown field in a list", now + "nodes:\n  - {name: a, taints: [{key: k}, {keys: l}]}\n",
       "line 3: nodes: field taints[1].keys: is unknown; allowed: key, value, effect"},
      {"a word that is not in the list", now + "groups:\n  - {name: g, provider: Onprem}\n",
       "line 3: groups: field provider: \"Onprem\" is unknown; allowed: OnPrem, AWS, Azure, GCP, "
       "Other"},
      {"a word of two",
       now + "pools:\n  - {namespace: n, name: p, placement: {spill: {policy: Always}}}\n",
       "line 3: pools: field placement.spill.policy: \"Always\" is unknown; allowed: Allowed, "
       "Never"},
      {"no whole number", now + "groups:\n  - {name: g, tier: high}\n",
       "line 3: groups: field tier: \"high\" is no whole number from -2147483648 to 2147483647"},
      {"a number that is too large", now + "groups:\n  - {name: g, tier: 3000000000}\n",
       "line 3: groups: field tier: \"3000000000\" is no whole number from -2147483648 to "
       "2147483647"},
      {"seconds with a unit", now + "pools:\n  - {name: p, restart: {holdSeconds: 5s}}\n",
       "line 3: pools: field restart.holdSeconds: \"5s\" is no whole number from -2147483648 to "
       "2147483647"},
      {"neither true nor false", now + "nodes:\n  - {name: a, ready: maybe}\n",
       "line 3: nodes: field ready: \"maybe\" is neither true nor false"},
      {"no time", now + "nodes:\n  - {name: a, created: yesterday}\n",
       "line 3: nodes: field created: \"yesterday\" is no RFC 3339 time"},
      {"no quantity", now + "nodes:\n  - {name: a, used: {cpu: lots}}\n",
       "line 3: nodes: field used.cpu: \"lots\" is no quantity; write for example 500m, 8 or "
       "1660424Mi"},
      {"no money", now + "groups:\n  - {name: g, cost: {perNodeHour: cheap}}\n",
       "line 3: groups: field cost.perNodeHour: \"cheap\" is no amount of money; write for "
       "example 32.77"},
      {"a list where a text belongs", now + "nodes:\n  - {name: [a]}\n",
       "line 3: nodes: field name: must be a text"},
      {"a text where a list belongs", now + "nodes:\n  - {name: a, taints: none}\n",
       "line 3: nodes: field taints: must be a list […]"},
      {"a text where a mapping belongs", now + "nodes:\n  - {name: a, labels: none}\n",
       "line 3: nodes: field labels: must be a mapping {…}"},
      {"an item that is no mapping", now + "nodes:\n  - a\n",
       "line 3: nodes: must be a mapping {…}"},
      {"a field without a value", now + "nodes:\n  - {name: a, ready: }\n",
       "line 3: nodes: field ready: must be true or false"},
      {"a field twice", now + "nodes:\n  - {name: a, name: b}\n", "line 3: nodes: has name twice"},
      {"no name", now + "nodes:\n  - {ready: true}\n", "line 3: nodes: field name: is missing"},
      {"a name twice", now + "nodes:\n  - {name: a}\n  - {name: a}\n",
       "line 4: nodes: field name: \"/a\" stands here a second time"},
      {"a namespace twice", now + "quotas:\n  - {namespace: n}\n  - {namespace: n}\n",
       "line 4: quotas: field namespace: \"n\" stands here a second time"},
      {"a type twice", now + "defaultLimits:\n  - {type: t}\n  - {type: t}\n",
       "line 4: defaultLimits: field type: \"t\" stands here a second time"},
      {"an unknown list", now + "pods:\n",
       "line 2: field pods is unknown; allowed: now, currency, renderRevision, clusters, groups, "
       "nodes, pools, inferencePools, quotas, defaultLimits"},
      {"a list twice", now + "nodes:\nnodes:\n", "line 3: nodes stands here a second time"},
      {"a list on its name's line", now + "nodes: [{name: a}]\n",
       "line 2: nodes is a list: one \"  - {…}\" a line below it"},
      {"an item without a list", now + "  - {name: a}\n",
       "line 2: must be \"field: value\", or \"  - {…}\" below a list's name"},
      {"a line that is nothing", now + "hello\n", "line 2: must be \"field: value\""},
      {"no moment", "nodes:\n", "the field now is missing: a snapshot says of which moment it is"},
      {"a moment that is none", "now: soon\n", "line 1: now: \"soon\" is no RFC 3339 time"},
  };
  for (const Case& c : cases) {
    const auto read = ReadSnapshot(c.text);
    ASSERT_FALSE(read.ok()) << c.sentence;
    EXPECT_EQ(read.error().code, Code::kInvalid) << c.sentence;
    EXPECT_EQ(read.error().message, c.message) << c.sentence;
  }
}

TEST(SnapshotText, RefusesBrokenYaml) {
  for (const char* item : {"{name: a", "{name: \"a}", "{name: a}}", "{? [a] : b}", "{name: *x}"}) {
    const auto read = ReadSnapshot("now: 2026-11-24T12:00:00Z\nnodes:\n  - " + std::string(item));
    ASSERT_FALSE(read.ok()) << item;
    EXPECT_EQ(read.error().code, Code::kInvalid);
    EXPECT_THAT(read.error().message, HasSubstr("line 3: nodes:")) << item;
  }
}

}  // namespace
}  // namespace spillway::tests
