#include "controllers/observe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "controllers/names.h"
#include "controllers/placement_record.h"
#include "controllers/render.h"
#include "placement/capacity.h"
#include "tests/controllers/samples.h"

namespace spillway::controllers {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

struct Cluster {
  Settings settings;
  std::vector<kube::Node> nodes;
  std::vector<kube::Pod> pods;
  std::string pods_version;
  std::vector<kube::Job> jobs;
  std::vector<kube::Companion> services;
  std::vector<kube::PriorityClass> priorities;
  std::vector<crds::v1alpha1::NodeGroup> groups = {samples::Group()};
  std::vector<crds::v1alpha1::TrainingPool> pools = {samples::Pool()};
  std::vector<crds::v1alpha1::PoolQuota> quotas;
  TemplateAnswer answer{TemplateAnswer::State::kValid, {}, {}};
  std::map<std::string, std::string> conflicts;

  template <class T>
  static std::vector<std::shared_ptr<const T>> Share(const std::vector<T>& objects) {
    std::vector<std::shared_ptr<const T>> out;
    for (const T& object : objects) out.push_back(std::make_shared<const T>(object));
    return out;
  }
  [[nodiscard]] placement::Snapshot Observe() const {
    Stores stores([] {});
    std::vector<kube::KeptPod> kept;
    kube::PodKeeper keeper(kPrefix);
    for (const kube::Pod& pod : pods) kept.push_back(keeper.Keep(pod));
    stores.nodes.Replace(Share(nodes), "1");
    stores.pods.Replace(Share(kept), pods_version);
    stores.jobs.Replace(Share(jobs), "1");
    stores.services.Replace(Share(services), "1");
    stores.priority_classes.Replace(Share(priorities), "1");
    stores.node_groups.Replace(Share(groups), "1");
    stores.training_pools.Replace(Share(pools), "1");
    stores.pool_quotas.Replace(Share(quotas), "1");
    const World world = ReadWorld(stores);
    ObserveInput input;
    input.now = Time(Seconds(9000));
    input.settings = &settings;
    input.render_revision = "7";
    input.name_conflicts = &conflicts;
    input.ask_template = [this](const auto&) { return answer; };
    return controllers::Observe(world, controllers::Families(world), input);
  }
  [[nodiscard]] placement::TrainingPool Pool() const { return Observe().pools.at(0); }
  [[nodiscard]] placement::NodeGroup Group() const { return Observe().groups.at(0); }

  kube::Node& AddNode(const std::string& name) {
    kube::Node node;
    node.meta.name = name;
    node.meta.created = Time(Seconds(10));
    node.conditions = {{"Ready", "True", Time(Seconds(20))}};
    node.allocatable.Set("nvidia.com/gpu", 8);
    return nodes.emplace_back(std::move(node));
  }
  kube::Pod& AddPod(const std::string& name, const std::string& node, int64_t gpus) {
    kube::Pod pod;
    pod.meta.ns = "lab";
    pod.meta.name = name;
    pod.node = node;
    pod.phase = kube::PodPhase::kRunning;
    pod.requests.Set("nvidia.com/gpu", gpus);
    return pods.emplace_back(std::move(pod));
  }
  kube::Pod& AddWorker(const std::string& name, int attempt, const std::string& node) {
    kube::Pod& pod = AddPod(name, node, 8);
    pod.meta.labels = {{kPoolUidLabel, "uid-run"}, {kAttemptLabel, std::to_string(attempt)}};
    pod.meta.controller.Own().kind = "Job";
    pod.meta.controller.Own().name = TrainJobName("run", attempt);
    pod.completion_index = 0;
    return pod;
  }
  kube::Job& AddJob(int attempt) {
    kube::Job job;
    job.meta.ns = "lab";
    job.meta.name = TrainJobName("run", attempt);
    job.meta.controller.Own().uid = "uid-run";
    job.meta.labels = {
        {kPoolUidLabel, "uid-run"}, {kPoolLabel, "run"}, {kAttemptLabel, std::to_string(attempt)}};
    job.meta.annotations[kPlacementAnnotation] = EncodeRecord(samples::Placed(2, attempt));
    return jobs.emplace_back(std::move(job));
  }
  void Commit(int attempt) {
    auto& status = pools[0].status;
    status.observed_generation = 1;
    status.placement.emplace();
    status.placement->node_group = "home";
    status.placement->attempt = attempt;
    status.placement->workers = 2;
    status.attempts = attempt;
  }
};

TEST(ObserveNodes, ANodeThatHasNeverBeenReadyIsStarting) {
  Cluster cluster;
  cluster.AddNode("silent").conditions.clear();
  cluster.AddNode("registers").conditions = {{"Ready", "False", Time(Seconds(12))}};
  cluster.AddNode("broke").conditions = {{"Ready", "False", Time(Seconds(20))}};
  cluster.AddNode("works");
  std::set<std::string> starting;
  for (const auto& node : cluster.Observe().nodes) {
    if (node.starting) starting.insert(node.id.name);
  }
  EXPECT_EQ(starting, (std::set<std::string>{"registers", "silent"}));
}

TEST(ObserveNodes, UsedIsWhatAllBoundPodsThatHaveNotEndedAskFor) {
  Cluster cluster;
  cluster.AddNode("n0");
  cluster.AddPod("foreign", "n0", 2);
  cluster.AddPod("other", "n0", 1);
  cluster.AddPod("ended", "n0", 4).phase = kube::PodPhase::kSucceeded;
  cluster.AddPod("unbound", "", 4);
  cluster.AddPod("elsewhere", "n9", 4);
  EXPECT_EQ(cluster.Observe().nodes.at(0).used.Get("nvidia.com/gpu"), 3);
}

// Ours and all others, of nodes that are there and that are not, held against a look at each pod.
TEST(ObserveNodes, WhatANodeHasIsWhatItsPodsAddUpTo) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    Cluster cluster;
    for (const int i : {1, 2, 4, 5, 7}) cluster.AddNode("n" + std::to_string(i));
    cluster.AddJob(1);
    std::map<std::string, std::pair<Resources, int>> expected;
    for (int i = 0; i < 60; ++i) {
      const std::string name = "pod-" + std::to_string(i);
      const std::string node = "n" + std::to_string(random() % 9);
      const bool ours = random() % 3 == 0;
      kube::Pod& pod = ours ? cluster.AddWorker(name, 1, node) : cluster.AddPod(name, node, 0);
      pod.requests.Set("cpu", static_cast<int64_t>(random() % 5));
      if (random() % 4 == 0) pod.phase = kube::PodPhase::kFailed;
      if (random() % 4 == 0) pod.meta.controller.Own().kind = "DaemonSet";
      if (!pod.UsesNode()) continue;
      expected[node].first.Add(pod.requests);
      // A DaemonSet's pod is nobody's worker, whatever its labels say, and goes with its node.
      if (!ours && !pod.ComesWithNode()) ++expected[node].second;
    }
    for (const auto& node : cluster.Observe().nodes) {
      EXPECT_EQ(node.used, expected[node.id.name].first) << node.id.name << " seed " << seed;
      EXPECT_EQ(node.other_pods, expected[node.id.name].second) << node.id.name << " seed " << seed;
    }
  }
}

TEST(ObserveNodes, PodsOfOthersKeepANodeFromBeingEmpty) {
  Cluster cluster;
  cluster.AddNode("n0");
  cluster.AddPod("daemon", "n0", 1).meta.controller.Own().kind = "DaemonSet";
  cluster.AddPod("static", "n0", 1).meta.controller.Own().kind = "Node";
  cluster.AddPod("ended", "n0", 1).phase = kube::PodPhase::kFailed;
  cluster.AddJob(1);
  cluster.AddWorker("ours", 1, "n0");
  EXPECT_EQ(cluster.Observe().nodes.at(0).other_pods, 0);
  cluster.AddPod("web", "n0", 0).meta.controller.Own().kind = "ReplicaSet";
  cluster.AddPod("bare", "n0", 0);
  cluster.AddWorker("forged", 1, "n0").meta.controller.Own().kind = "ReplicaSet";
  EXPECT_EQ(cluster.Observe().nodes.at(0).other_pods, 3);
  cluster.pools[0].meta.deleted = Time(Seconds(1));
  EXPECT_EQ(cluster.Observe().nodes.at(0).other_pods, 4) << "its pool is on its way out";
}

TEST(ObserveNodes, ANodeThatWeCordonedIsHeldAndNotCordonedByOthers) {
  Cluster cluster;
  const Time since(Seconds(7000));
  cluster.AddNode("held").unschedulable = true;
  cluster.nodes[0].meta.annotations[kLeavingAnnotation] = FormatTime(since);
  cluster.AddNode("cordoned").unschedulable = true;
  cluster.AddNode("uncordoned").meta.annotations[kLeavingAnnotation] = FormatTime(since);
  cluster.AddNode("unclear").unschedulable = true;
  cluster.nodes[3].meta.annotations[kLeavingAnnotation] = "yes";
  cluster.AddNode("marked").meta.annotations[kMachineAnnotation] = "example.com/v1 infra/m";
  const Time now(Seconds(9000));
  const std::map<std::string, std::pair<std::optional<Time>, bool>> expected = {
      {"held", {since, false}},
      {"cordoned", {std::nullopt, true}},
      {"uncordoned", {now, false}},
      {"unclear", {now, false}},
      {"marked", {now, false}}};
  for (const auto& node : cluster.Observe().nodes) {
    EXPECT_EQ(node.held_since, expected.at(node.id.name).first) << node.id.name;
    EXPECT_EQ(node.cordoned, expected.at(node.id.name).second) << node.id.name;
  }
}

// Nodes of a group and workers of a gang are many, and alike but for their names.
TEST(Observe, WhatIsAlikeSharesItsMemory) {
  Cluster cluster;
  for (const char* name : {"n0", "n1"}) {
    cluster.AddNode(name).meta.labels = {{"group", "home"}};
    cluster.AddWorker(std::string("run-") + name, 1, name);
  }
  cluster.Commit(1);
  const placement::Snapshot snapshot = cluster.Observe();
  const auto& a = snapshot.nodes.at(0);
  const auto& b = snapshot.nodes.at(1);
  EXPECT_EQ(&a.labels.begin()->second.str(), &b.labels.begin()->second.str());
  EXPECT_EQ(&*a.conditions.begin(), &*b.conditions.begin());
  EXPECT_EQ(&*a.allocatable.begin(), &*b.allocatable.begin());
  EXPECT_EQ(&*a.used.begin(), &*b.used.begin());
  const auto& workers = snapshot.pools.at(0).workers;
  ASSERT_THAT(workers, SizeIs(2));
  EXPECT_EQ(&*workers[0].requests.begin(), &*workers[1].requests.begin());
}

TEST(ObserveNodes, StatesComeFromConditionsTaintsAndDeletion) {
  Cluster cluster;
  cluster.AddNode("a-fine");
  cluster.AddNode("b-notready").conditions = {{"Ready", "Unknown", Time(Seconds(777))}};
  cluster.AddNode("c-gone").taints = {{"node.kubernetes.io/out-of-service", "", "NoExecute"}};
  cluster.AddNode("d-draining").taints = {{"karpenter.sh/disrupted", "", "NoSchedule"}};
  cluster.AddNode("e-cordoned").unschedulable = true;
  cluster.AddNode("f-deleted").meta.deleted = Time(Seconds(1));
  cluster.AddNode("g-silent").conditions.clear();
  cluster.AddNode("h-tainted").taints = {{"sku", "gpu", "NoSchedule"},
                                         {"node.kubernetes.io/not-ready", "", "NoExecute"}};
  cluster.AddNode("i-shut-down").taints = {
      {"node.cloudprovider.kubernetes.io/shutdown", "", "NoSchedule"}};
  const auto nodes = cluster.Observe().nodes;
  EXPECT_TRUE(nodes[0].ready);
  EXPECT_FALSE(nodes[0].not_ready_since.has_value());
  EXPECT_FALSE(nodes[1].ready);
  EXPECT_EQ(nodes[1].not_ready_since, Time(Seconds(777)));
  EXPECT_TRUE(nodes[2].out_of_service);
  EXPECT_TRUE(nodes[3].draining);
  EXPECT_TRUE(nodes[4].cordoned);
  EXPECT_TRUE(nodes[5].draining);
  EXPECT_FALSE(nodes[6].ready);
  EXPECT_EQ(nodes[6].not_ready_since, Time(Seconds(10)));
  ASSERT_THAT(nodes[7].taints, SizeIs(1));
  EXPECT_EQ(nodes[7].taints[0].key, "sku");
  EXPECT_TRUE(nodes[8].out_of_service);
  EXPECT_FALSE(nodes[8].draining);
}

TEST(ObserveNodes, ANodeThatItsProvisionerHasNotFinishedIsStarting) {
  for (const char* taint :
       {"karpenter.sh/unregistered", "node.cloudprovider.kubernetes.io/uninitialized",
        "node.cluster.x-k8s.io/uninitialized",
        "startup-taint.cluster-autoscaler.kubernetes.io/driver"}) {
    Cluster cluster;
    cluster.AddNode("n0").taints = {{taint, "", "NoExecute"}, {"sku", "gpu", "NoSchedule"}};
    const auto node = cluster.Observe().nodes.at(0);
    EXPECT_TRUE(node.starting) << taint;
    // It goes away, so that it keeps no pool from counting on the node some day.
    ASSERT_THAT(node.taints, SizeIs(1)) << taint;
    EXPECT_EQ(node.taints[0].key, "sku");
  }
}

TEST(ObserveGroups, OwnedNodesCostNothingMoreByDefault) {
  Cluster cluster;
  EXPECT_EQ(cluster.Group().per_node_hour.Format(), "8.00");
  EXPECT_EQ(cluster.Group().marginal_per_node_hour.Format(), "0.00");
  cluster.groups[0].spec.capacity_type = "OnDemand";
  EXPECT_EQ(cluster.Group().marginal_per_node_hour.Format(), "8.00");
  cluster.groups[0].spec.cost.marginal_per_node_hour = "2.5";
  EXPECT_EQ(cluster.Group().marginal_per_node_hour.Format(), "2.50");
}

TEST(ObserveGroups, AnotherCurrencyIsAMisconfiguration) {
  Cluster cluster;
  cluster.groups[0].spec.cost.currency = "EUR";
  EXPECT_THAT(cluster.Group().misconfigured, HasSubstr("EUR"));
  cluster.settings.currency = "EUR";
  EXPECT_THAT(cluster.Group().misconfigured, IsEmpty());
}

TEST(ObserveGroups, AnAdminsWordAboutTheLinkIsHeard) {
  Cluster cluster;
  EXPECT_FALSE(cluster.Group().link_down);
  cluster.groups[0].meta.annotations[kLinkAnnotation] = "down";
  EXPECT_TRUE(cluster.Group().link_down);
  cluster.groups[0].status.conditions = {
      {"LinkHealthy", "True", "AsExpected", "", Time(Seconds(50)), 1}};
  EXPECT_EQ(cluster.Group().link_healthy_since, Time(Seconds(50)));
}

TEST(ObserveGroups, ALinkThatWasSuspectIsHealthyNoEarlierThanNow) {
  Cluster cluster;
  EXPECT_EQ(cluster.Group().link_healthy_since, std::nullopt);
  cluster.groups[0].status.conditions = {
      {"LinkHealthy", "False", "LinkSuspect", "", Time(Seconds(50)), 1}};
  EXPECT_EQ(cluster.Group().link_healthy_since, cluster.Observe().now);
  cluster.groups[0].meta.annotations[kLinkAnnotation] =
      "down";  // then nodes count from when they went
  EXPECT_EQ(cluster.Group().link_healthy_since, std::nullopt);
}

TEST(ObservePools, TheSizesOfAnElasticGang) {
  Cluster cluster;
  auto& spec = cluster.pools[0].spec;
  spec.min_workers = 1;
  spec.accelerators = {
      {"nvidia-a100-80gb", 0, 0}, {"nvidia-h100-80gb", 8, 4}, {"nvidia-v100-32gb", 8, 0}};
  const auto pool = cluster.Pool();
  ASSERT_THAT(pool.accelerators, SizeIs(3));
  EXPECT_EQ(pool.accelerators[0].Least(), 1) << "the pool's own";
  EXPECT_EQ(pool.accelerators[1].Least(), 4) << "its own";
  EXPECT_EQ(pool.accelerators[2].Least(), 8) << "its own workers are all or none";
  EXPECT_FALSE(pool.accelerators[2].IsElastic());
}

TEST(ObservePools, TheSpecInOurWords) {
  Cluster cluster;
  auto& spec = cluster.pools[0].spec;
  spec.accelerators = {{"nvidia-a100-80gb", 0, 0}, {"nvidia-h100-80gb", 1, 0}};
  spec.placement.Own().providers = {"OnPrem", "Azure"};
  spec.placement.Own().spill_policy = "Never";
  spec.restart.Own().on_unreachable = "Wait";
  spec.active_deadline_seconds = 60;
  spec.expected_seconds = 50;
  const auto pool = cluster.Pool();
  ASSERT_THAT(pool.accelerators, SizeIs(2));
  EXPECT_EQ(pool.accelerators[0].workers, 2);
  EXPECT_EQ(pool.accelerators[1].workers, 1);
  EXPECT_THAT(pool.providers, SizeIs(2));
  EXPECT_FALSE(pool.spill_allowed);
  EXPECT_EQ(pool.on_unreachable, placement::OnUnreachable::kWait);
  EXPECT_EQ(pool.active_deadline, Seconds(60));
  EXPECT_EQ(pool.expected, Seconds(50));
  EXPECT_EQ(pool.remaining, std::nullopt);
}

TEST(ObservePools, WhatTheProgramSaysIsLeft) {
  Cluster cluster;
  EXPECT_EQ(cluster.Pool().expected, std::nullopt);
  std::string& left = cluster.pools[0].meta.annotations["spillway.dev/remaining-seconds"];
  for (const char* right : {"0", "90", "315360000"}) {
    left = right;
    EXPECT_EQ(cluster.Pool().remaining, Seconds(std::stoi(right)));
  }
  for (const char* wrong : {"", "soon", "-1", "1.5", "90 ", "90s", "315360001"}) {
    left = wrong;
    EXPECT_EQ(cluster.Pool().remaining, std::nullopt) << wrong;
  }
}

TEST(ObservePools, ReturnsInOurWords) {
  Cluster cluster;
  EXPECT_EQ(cluster.Pool().return_home, placement::ReturnHome::kAtCheckpoint);
  EXPECT_EQ(cluster.Pool().return_after, Seconds(600));
  EXPECT_EQ(cluster.Pool().return_min_savings_percent, 10);
  auto& placing = cluster.pools[0].spec.placement.Own();
  placing.return_policy = "Anytime";
  placing.return_after_seconds = 5;
  placing.return_min_savings_percent = 20;
  EXPECT_EQ(cluster.Pool().return_home, placement::ReturnHome::kAnytime);
  EXPECT_EQ(cluster.Pool().return_after, Seconds(5));
  EXPECT_EQ(cluster.Pool().return_min_savings_percent, 20);
  placing.return_policy = "Never";
  EXPECT_EQ(cluster.Pool().return_home, placement::ReturnHome::kNever);
}

TEST(ObservePools, PreemptionAndCheckpointsInOurWords) {
  Cluster cluster;
  EXPECT_EQ(cluster.Pool().preempts, placement::Preempts::kLowerPriority);
  EXPECT_EQ(cluster.Pool().preemptible, placement::Preemptible::kAtCheckpoint);
  EXPECT_EQ(cluster.Pool().last_checkpoint, std::nullopt);
  auto& spec = cluster.pools[0].spec;
  spec.preemption.Own() = {"Never", "Always", 7};
  spec.checkpoint = {60, 5};
  cluster.pools[0].meta.annotations["spillway.dev/last-checkpoint"] = "1970-01-01T00:01:00Z";
  const auto pool = cluster.Pool();
  EXPECT_EQ(pool.preempts, placement::Preempts::kNever);
  EXPECT_EQ(pool.preemptible, placement::Preemptible::kAlways);
  EXPECT_EQ(pool.min_run, Seconds(7));
  EXPECT_EQ(pool.checkpoint_interval, Seconds(60));
  EXPECT_EQ(pool.checkpoint_grace, Seconds(5));
  EXPECT_EQ(pool.last_checkpoint, Time(Seconds(60)));
  for (const char* wrong : {"soon", "", "2999-01-01T00:00:00Z"}) {
    cluster.pools[0].meta.annotations["spillway.dev/last-checkpoint"] = wrong;
    EXPECT_EQ(cluster.Pool().last_checkpoint, std::nullopt) << wrong;
  }
}

TEST(ObserveQuotas, GuaranteesLimitsAndWeights) {
  Cluster cluster;
  crds::v1alpha1::PoolQuota quota;
  quota.meta.ns = "lab";
  quota.spec.accelerators = {{"a100", 64, 16}};
  quota.spec.weight = 3;
  cluster.quotas = {quota};
  const placement::Quota expected{
      .ns = "lab", .limits = {{.type = "a100", .limit = 64, .guaranteed = 16}}, .weight = 3};
  EXPECT_TRUE(cluster.Observe().quotas.at(0) == expected);
}

TEST(ObservePools, PriorityIsTheClassesValueOrTheClustersDefault) {
  Cluster cluster;
  EXPECT_EQ(cluster.Pool().priority, 0);
  cluster.priorities = {{{}, 5, true}, {{}, 100, false}};
  cluster.priorities[0].meta.name = "usual";
  cluster.priorities[1].meta.name = "high";
  EXPECT_EQ(cluster.Pool().priority, 5);
  cluster.pools[0].spec.priority_class_name = "high";
  EXPECT_EQ(cluster.Pool().priority, 100);
  EXPECT_THAT(cluster.Pool().misconfigured, IsEmpty());
  cluster.pools[0].spec.priority_class_name = "hihg";
  EXPECT_THAT(cluster.Pool().misconfigured, HasSubstr("\"hihg\""));
}

TEST(ObservePools, AQuotaNamesThePrioritiesThatItAllows) {
  Cluster cluster;
  cluster.priorities = {{{}, 100, false}};
  cluster.priorities[0].meta.name = "high";
  cluster.pools[0].spec.priority_class_name = "high";
  crds::v1alpha1::PoolQuota quota;
  quota.meta.ns = "lab";
  cluster.quotas = {quota};
  EXPECT_THAT(cluster.Pool().misconfigured, IsEmpty());
  cluster.quotas[0].spec.priority_classes = {{"research"}};
  EXPECT_THAT(cluster.Pool().misconfigured, HasSubstr("allows: research"));
}

TEST(ObservePools, ACountInTheTemplateMustAgree) {
  Cluster cluster;
  cluster.answer.shape.first_container.Set("nvidia.com/gpu", 4);
  EXPECT_THAT(cluster.Pool().template_invalid, HasSubstr("acceleratorsPerWorker is 8"));
  cluster.answer.shape.first_container.Set("nvidia.com/gpu", 8);
  cluster.answer.shape.requests.Set("nvidia.com/gpu", 8);
  cluster.answer.shape.requests.Set("cpu", 4000);
  EXPECT_THAT(cluster.Pool().template_invalid, IsEmpty());
  // The planner adds the accelerators itself: they must not count twice.
  EXPECT_EQ(cluster.Pool().requests.Get("nvidia.com/gpu"), 0);
  EXPECT_EQ(cluster.Pool().requests.Get("cpu"), 4000);
}

// What is rendered has the cores in the first container and leaves the others' on top: the planner
// must count the same.
TEST(ObservePools, CoresAreCountedAsTheyAreRenderedWhereTheCpuIsTheAccelerator) {
  Cluster cluster;
  cluster.groups[0].spec.accelerator = {"nvidia-a100-80gb", "", 0};
  cluster.pools[0].spec.pod_template =
      R"({"spec":{"containers":[{"name":"a"},{"name":"b","resources":{"requests":{"cpu":"2"}}}]}})";
  const std::string admitted =
      R"({"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}},)"
      R"({"name":"b","resources":{"requests":{"cpu":"2"}}}]}})";
  cluster.answer.shape = ShapeOf(admitted, cluster.pools[0].spec.pod_template).value();
  const auto world = cluster.Observe();
  EXPECT_EQ(placement::RequestIn(world.pools[0], world.groups[0]).Get(kCpu), 10'000);

  const RenderInput input{&cluster.pools[0], &cluster.groups[0], samples::Placed(), {"n0", "n1"}};
  const auto job = samples::Json::parse(RenderJob(input));
  const auto rendered =
      ShapeOf(job["spec"]["template"].dump(), cluster.pools[0].spec.pod_template).value();
  EXPECT_EQ(rendered.requests.Get(kCpu), 10'000);
}

TEST(ObservePools, WhatTheServerRefusedIsPassedOn) {
  Cluster cluster;
  cluster.answer = {TemplateAnswer::State::kInvalid, {}, "no"};
  EXPECT_EQ(cluster.Pool().template_invalid, "no");
  cluster.answer = {};
  EXPECT_TRUE(cluster.Pool().template_unchecked);
}

TEST(ObservePools, AFullQuotaHoldsUpOnlyPoolsWhoseTemplateHasNotBeenTakenBefore) {
  Cluster cluster;
  cluster.answer.state = TemplateAnswer::State::kPending;
  cluster.answer.message = "exceeded quota";
  cluster.answer.shape.requests.Set("cpu", 4000);
  EXPECT_TRUE(cluster.Pool().template_unchecked);
  EXPECT_EQ(cluster.Pool().namespace_quota, "exceeded quota");
  cluster.Commit(1);
  EXPECT_TRUE(cluster.Pool().template_unchecked) << "placed for another spec";
  cluster.pools[0].status.placement->spec_revision = SpecRevision(cluster.pools[0].spec);
  EXPECT_FALSE(cluster.Pool().template_unchecked);
  EXPECT_THAT(cluster.Pool().template_invalid, IsEmpty());
  EXPECT_EQ(cluster.Pool().requests.Get("cpu"), 4000);
}

TEST(ObservePools, AnErasedStatusIsRebuiltFromTheNewestLiveJob) {
  Cluster cluster;
  cluster.AddJob(1);
  cluster.AddJob(2);
  cluster.AddJob(3).meta.deleted = Time(Seconds(1));
  const auto pool = cluster.Pool();
  ASSERT_TRUE(pool.memory.placement.has_value());
  EXPECT_EQ(pool.memory, samples::Placed(2, 2));
  EXPECT_TRUE(pool.attempt.exists);
}

TEST(ObservePools, AStatusThatSaysUnplacedIsBelieved) {
  Cluster cluster;
  cluster.AddJob(1);
  cluster.pools[0].status.observed_generation = 1;
  cluster.pools[0].status.attempts = 1;
  EXPECT_FALSE(cluster.Pool().memory.placement.has_value());
}

TEST(ObservePools, AJobOfALaterAttemptShowsThatTheStatusIsBehind) {
  Cluster cluster;
  cluster.Commit(1);
  cluster.AddJob(2);
  EXPECT_EQ(cluster.Pool().memory, samples::Placed(2, 2));
  cluster.pools[0].status.completion_time = Time(Seconds(100));
  EXPECT_EQ(cluster.Pool().memory.attempts, 1);
}

TEST(ObservePools, AJobWithOurLabelButAnotherOwnerProvesNothing) {
  Cluster cluster;
  cluster.AddJob(1).meta.controller.Own().uid = "somebody";
  EXPECT_FALSE(cluster.Pool().memory.placement.has_value());
}

TEST(ObservePools, PodsWithOurLabelsAreWorkersOnlyInOurNamespaceAndOfTheAttemptsJob) {
  Cluster cluster;
  cluster.Commit(1);
  cluster.AddWorker("ours", 1, "n0");
  cluster.AddWorker("elsewhere", 1, "n0").meta.ns = "other";
  cluster.AddWorker("of-another-job", 1, "n0").meta.controller.Own().name = "sweep";
  cluster.AddWorker("of-another-attempt", 2, "n0").meta.controller.Own().name =
      TrainJobName("run", 1);
  cluster.AddWorker("of-no-job", 1, "n0").meta.controller.Own().kind = "ReplicaSet";
  const auto pool = cluster.Pool();
  ASSERT_THAT(pool.workers, SizeIs(1));
  EXPECT_EQ(pool.workers[0].pod, "ours");
}

TEST(ObservePools, AJobInAnotherNamespaceProvesNothingEither) {
  Cluster cluster;
  cluster.AddJob(1).meta.ns = "other";
  EXPECT_FALSE(cluster.Pool().memory.placement.has_value());
}

TEST(ObservePools, ChildrenOfAnEarlierNamesakeAreAConflictUntilTheyAreGone) {
  Cluster cluster;
  kube::Job& job = cluster.AddJob(1);
  job.meta.controller.Own().uid = "uid-before";
  job.meta.labels[kPoolUidLabel] = "uid-before";
  EXPECT_THAT(cluster.Pool().name_conflict, HasSubstr("run-train-1"));
  cluster.jobs.clear();
  EXPECT_THAT(cluster.Pool().name_conflict, IsEmpty());
  cluster.conflicts["uid-run"] = "taken";
  EXPECT_EQ(cluster.Pool().name_conflict, "taken");
}

TEST(ObservePools, SoIsAServiceThatAnEarlierNamesakeMade) {
  Cluster cluster;
  kube::Companion service;
  service.meta.ns = "lab";
  service.meta.name = TrainServiceName("run");
  service.meta.labels = {{kPoolLabel, "run"}};
  service.meta.controller.Own().kind = "TrainingPool";
  service.meta.controller.Own().uid = "uid-before";
  cluster.services = {service};
  EXPECT_THAT(cluster.Pool().name_conflict, HasSubstr("Service run-train belongs to an earlier"));
  cluster.services[0].meta.controller.Own().uid = "uid-run";
  EXPECT_THAT(cluster.Pool().name_conflict, IsEmpty());
}

TEST(ObserveAttempt, TheFirstWorkerThatFailedIsTheCause) {
  Cluster cluster;
  cluster.Commit(2);
  kube::Job& job = cluster.AddJob(2);
  job.failed_condition = true;
  job.failure_reason = "PodFailurePolicy";
  const auto fail = [&](const char* name, int index, int exit_code, int at) {
    kube::Pod& pod = cluster.AddWorker(name, 2, "n0");
    pod.phase = kube::PodPhase::kFailed;
    pod.completion_index = index;
    pod.failure = {exit_code, "Error", "boom", Time(Seconds(at))};
  };
  fail("late", 0, 143, 500);
  fail("first", 1, 1, 400);
  cluster.AddWorker("old", 1, "n0").phase = kube::PodPhase::kFailed;
  const auto attempt = cluster.Pool().attempt;
  ASSERT_TRUE(attempt.failure.has_value());
  EXPECT_EQ(attempt.failure->worker, 1);
  EXPECT_EQ(attempt.failure->exit_code, 1);
  EXPECT_EQ(attempt.failure->node, "n0");
  EXPECT_EQ(attempt.failure->time, Time(Seconds(400)));
}

TEST(ObserveAttempt, AFailureIsNoLaterThanNowAndNoEarlierThanItsJobSays) {
  Cluster cluster;
  cluster.Commit(1);
  kube::Job& job = cluster.AddJob(1);
  job.failed_condition = true;
  job.finished = Time(Seconds(8990));
  EXPECT_EQ(cluster.Pool().attempt.failure->time, Time(Seconds(8990))) << "no pod is seen yet";
  kube::Pod& pod = cluster.AddWorker("failed", 1, "n0");
  pod.phase = kube::PodPhase::kFailed;
  pod.failure = {1, "Error", "boom", Time(Seconds(99'000))};
  EXPECT_EQ(cluster.Pool().attempt.failure->time, cluster.Observe().now)
      << "its node's clock is ahead";
}

TEST(ObserveAttempt, AWorkerThatSucceededIsCountedOnce) {
  Cluster cluster;
  cluster.Commit(1);
  cluster.AddJob(1);
  cluster.AddWorker("done", 1, "n0").phase = kube::PodPhase::kSucceeded;
  cluster.AddWorker("failed", 1, "n0").phase = kube::PodPhase::kFailed;
  cluster.AddWorker("running", 1, "n1");
  auto pool = cluster.Pool();
  ASSERT_THAT(pool.workers, SizeIs(2));
  EXPECT_EQ(pool.workers[0].pod, "failed");
  EXPECT_TRUE(pool.workers[0].ended);
  EXPECT_FALSE(pool.workers[1].ended);
  EXPECT_EQ(pool.attempt.succeeded, 1) << "also before the Job has counted it";
  cluster.jobs[0].succeeded = 2;  // the other's pod is gone
  EXPECT_EQ(cluster.Pool().attempt.succeeded, 2);
}

TEST(ObserveAttempt, AWorkerThatWasTakenAwayIsNoFailureOfItsOwn) {
  using Pods = std::vector<kube::Pod>;
  struct Case {
    const char* sentence;
    std::function<void(Pods&)> make;  // both workers run
    bool disrupted;
    int worker;
  };
  const auto fail = [](kube::Pod& pod, int code, int at) {
    pod.phase = kube::PodPhase::kFailed;
    pod.failure = {code, "Error", "", Time(Seconds(at))};
  };
  const auto remove = [](kube::Pod& pod) { pod.meta.deleted = Time(Seconds(500)); };
  const std::vector<Case> cases = {
      {"one failed itself", [&](Pods& pods) { fail(pods[1], 1, 400); }, false, 1},
      {"one failed itself, and its Job stops the other",
       [&](Pods& pods) {
         fail(pods[1], 1, 400);
         remove(pods[0]);
         fail(pods[0], 143, 399);
       },
       false, 1},
      {"one was evicted",
       [&](Pods& pods) {
         fail(pods[1], 137, 400);
         pods[1].disrupted = true;
       },
       true, 1},
      {"one was evicted, and another failed for want of it",
       [&](Pods& pods) {
         fail(pods[0], 1, 399);
         fail(pods[1], 137, 400);
         pods[1].disrupted = true;
       },
       true, 1},
      {"one was deleted",
       [&](Pods& pods) {
         remove(pods[1]);
         fail(pods[1], 143, 400);
       },
       true, -1},
      {"one was deleted and is gone", [](Pods& pods) { pods.pop_back(); }, true, -1},
      {"the pods that are seen are not up to date yet", [](Pods&) {}, false, -1},
      {"a pod of another attempt says nothing",
       [&](Pods& pods) {
         fail(pods[1], 1, 400);
         pods.push_back(pods[0]);
         pods[2].meta.labels[kAttemptLabel] = "1";
         pods[2].disrupted = true;
       },
       false, 1},
  };
  for (const Case& c : cases) {
    Cluster cluster;
    cluster.Commit(2);
    cluster.AddJob(2).failed_condition = true;
    cluster.AddWorker("p0", 2, "n0");
    cluster.AddWorker("p1", 2, "n1").completion_index = 1;
    c.make(cluster.pods);
    const auto attempt = cluster.Pool().attempt;
    EXPECT_EQ(attempt.disrupted, c.disrupted) << c.sentence;
    ASSERT_TRUE(attempt.failure.has_value()) << c.sentence;
    EXPECT_EQ(attempt.failure->worker, c.worker) << c.sentence;
  }
}

// Pods are watched apart from Jobs: their watch may have been cut when the Job failed.
TEST(ObserveAttempt, APodThatIsNotSeenYetIsNotTakenForOneThatIsGone) {
  for (const int ago : {0, 29, 30, 600}) {
    Cluster cluster;
    cluster.Commit(2);
    kube::Job& job = cluster.AddJob(2);
    job.failed_condition = true;
    job.finished = Time(Seconds(9000 - ago));
    EXPECT_EQ(cluster.Pool().attempt.disrupted, ago >= 30) << ago;
  }
}

// However long ago the Job failed: a watch of pods that led nowhere has yet to say what became of
// them. One that never comes so far is not waited for for ever.
TEST(ObserveAttempt, PodsThatAreOlderThanTheirJobAreWaitedForLonger) {
  struct Case {
    std::string pods_version;
    int ago;
    bool disrupted;
  };
  const std::vector<Case> cases = {
      {"99", 30, false}, {"99", 299, false}, {"99", 300, true},  {"100", 29, false},
      {"100", 30, true}, {"101", 30, true},  {"1000", 30, true}, {"", 30, false},
  };
  for (const Case& c : cases) {
    Cluster cluster;
    cluster.pods_version = c.pods_version;
    cluster.Commit(2);
    kube::Job& job = cluster.AddJob(2);
    job.meta.resource_version = "100";
    job.failed_condition = true;
    job.finished = Time(Seconds(9000 - c.ago));
    const auto attempt = cluster.Pool().attempt;
    EXPECT_EQ(attempt.disrupted, c.disrupted) << c.pods_version << ", " << c.ago;
    EXPECT_EQ(attempt.pods_behind, c.pods_version.size() < 3) << c.pods_version;
    job.failed_condition = false;
    EXPECT_FALSE(cluster.Pool().attempt.pods_behind) << "it has not failed";
  }
}

TEST(ObserveAttempt, OnlyTheCommittedAttemptsJobCounts) {
  Cluster cluster;
  cluster.Commit(2);
  cluster.AddJob(1).complete = true;
  EXPECT_FALSE(cluster.Pool().attempt.exists);
  EXPECT_FALSE(cluster.Pool().attempt.complete);
  cluster.AddJob(2);
  EXPECT_TRUE(cluster.Pool().attempt.exists);
}

TEST(ObserveMode, InObserveTheQueueStartsWithTheObject) {
  Cluster cluster;
  cluster.settings.mode = Mode::kObserve;
  cluster.pools[0].meta.created = Time(Seconds(42));
  EXPECT_EQ(cluster.Pool().memory.queued_since, Time(Seconds(42)));
  EXPECT_EQ(cluster.Pool().memory.waiting_since, Time(Seconds(42)));
}

TEST(SpecRevision, ChangesWithWhatTakesEffectAtTheNextAttempt) {
  const auto revision = [](const std::function<void(crds::v1alpha1::TrainingPoolSpec&)>& edit) {
    auto spec = samples::Pool().spec;
    edit(spec);
    return SpecRevision(spec);
  };
  const std::string base = revision([](auto&) {});
  EXPECT_NE(base, revision([](auto& s) { s.workers = 9; }));
  EXPECT_NE(base, revision([](auto& s) { s.pod_template = "{}"; }));
  EXPECT_NE(base, revision([](auto& s) { s.torch_port = 1; }));
  EXPECT_NE(base, revision([](auto& s) { s.placement.Own().topology_mode = "Required"; }));
  EXPECT_NE(base, revision([](auto& s) { s.placement.Own().providers = {"AWS"}; }));
  EXPECT_NE(base, revision([](auto& s) {
              s.placement.Own().node_group_selector = {{"a", "Exists", {}}};
            }));
  EXPECT_NE(base, revision([](auto& s) { s.accelerators[0].workers = 1; }));
  EXPECT_EQ(base, revision([](auto& s) { s.min_workers = 1; })) << "it only allows";
  EXPECT_EQ(base, revision([](auto& s) { s.accelerators[0].min_workers = 1; }));
  EXPECT_EQ(base, revision([](auto& s) { s.restart.Own().max_restarts = 1; }));
  EXPECT_EQ(base, revision([](auto& s) { s.suspend = true; }));
  EXPECT_EQ(base, revision([](auto& s) { s.placement.Own().spill_policy = "Never"; }));
  EXPECT_EQ(base, revision([](auto& s) { s.placement.Own().return_policy = "Never"; }));
}

}  // namespace
}  // namespace spillway::controllers
