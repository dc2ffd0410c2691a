// InferencePools between Kubernetes and the decision: what is read, rendered and written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/diff.h"
#include "controllers/names.h"
#include "controllers/observe_inference.h"
#include "controllers/render_inference.h"
#include "controllers/status.h"
#include "tests/controllers/samples.h"

namespace spillway::controllers {
namespace {

using crds::v1alpha1::InferencePool;
using placement::CellDecision;
using placement::InferenceDecision;
using samples::Json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

InferencePool Pool() {
  InferencePool pool;
  pool.meta.ns = "serving";
  pool.meta.name = "chat";
  pool.meta.uid = "uid-chat";
  pool.meta.resource_version = "10";
  pool.meta.generation = 1;
  pool.spec.replicas = 4;
  pool.spec.drain_seconds = 45;
  crds::v1alpha1::VariantSpec variant;
  variant.name = "a100";
  variant.accelerator = "nvidia-a100-80gb";
  variant.accelerators_per_replica = 2;
  variant.throughput = "3.9";
  variant.pod_template = samples::PodTemplate().dump();
  pool.spec.variants = {variant};
  pool.status.units = 4;
  return pool;
}

struct Cellar {
  InferencePool pool = Pool();
  crds::v1alpha1::NodeGroup group = samples::Group();
  [[nodiscard]] CellInput Input(int replicas = 3) const {
    return {&pool, &pool.spec.variants[0], &group, replicas, 1, 0};
  }
};

// ---- rendering ----

TEST(RenderDeployment, PinsItsPodsToTheGroupAndGivesThemWhatTheyNeed) {
  Cellar c;
  c.group.spec.tolerations = {{"sku", "Exists", "", "NoSchedule"}};
  c.group.spec.pod_defaults.env = {{"NCCL_IB_HCA", "mlx5"}};
  c.pool.spec.variants[0].arch = "arm64";
  const Json deployment = Json::parse(RenderDeployment(c.Input()));
  EXPECT_EQ(deployment["metadata"]["name"], CellName("chat", "a100", "home"));
  EXPECT_EQ(deployment["metadata"]["ownerReferences"][0]["kind"], "InferencePool");
  EXPECT_EQ(deployment["metadata"]["annotations"][kNodeGroupAnnotation], "home");
  const Json& spec = deployment["spec"];
  EXPECT_EQ(spec["replicas"], 3);
  EXPECT_EQ(spec["strategy"]["rollingUpdate"], Json({{"maxSurge", 1}, {"maxUnavailable", 0}}));
  const Json& pod = spec["template"]["spec"];
  EXPECT_EQ(pod["priorityClassName"], kServingPriorityClass);
  EXPECT_EQ(pod["terminationGracePeriodSeconds"], 45);
  EXPECT_EQ(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], "2");
  EXPECT_EQ(pod["containers"][0]["env"][0]["name"], "NCCL_IB_HCA");
  EXPECT_EQ(pod["tolerations"][0]["key"], "sku");
  EXPECT_EQ(pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
               ["nodeSelectorTerms"],
            Json::parse(R"([{"matchExpressions": [
              {"key": "group", "operator": "In", "values": ["home"]},
              {"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]}]}])"));
  for (const auto& [key, value] : spec["selector"]["matchLabels"].items()) {
    EXPECT_EQ(spec["template"]["metadata"]["labels"][key], value) << key;
  }
}

TEST(RenderDeployment, KeepsTheTemplatesOwnGracePeriod) {
  Cellar c;
  Json pod_template = samples::PodTemplate();
  pod_template["spec"]["terminationGracePeriodSeconds"] = 7;
  c.pool.spec.variants[0].pod_template = pod_template.dump();
  const Json deployment = Json::parse(RenderDeployment(c.Input()));
  EXPECT_EQ(deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 7);
}

TEST(PatchDeployment, TouchesTheTemplateOnlyWhenItRolls) {
  const Cellar c;
  const auto paths = [](const std::string& patch) {
    std::vector<std::string> out;
    for (const Json& operation : Json::parse(patch)) out.push_back(operation["path"]);
    return out;
  };
  EXPECT_THAT(paths(PatchDeployment(c.Input(), "u", false)),
              ElementsAre("/metadata/uid", "/spec/replicas", "/spec/strategy"));
  EXPECT_THAT(
      paths(PatchDeployment(c.Input(), "u", true)),
      ElementsAre("/metadata/uid", "/spec/replicas", "/spec/strategy", "/spec/template",
                  "/spec/progressDeadlineSeconds", "/metadata/annotations/spillway.dev~1template"));
}

TEST(TemplateRevision, ChangesWithWhatPodsAreMadeFromAndNothingElse) {
  const InferencePool pool = Pool();
  const std::string revision = TemplateRevision(pool.spec, pool.spec.variants[0]);
  const auto changed = [&](const std::function<void(InferencePool&)>& edit) {
    InferencePool other = Pool();
    edit(other);
    return TemplateRevision(other.spec, other.spec.variants[0]) != revision;
  };
  EXPECT_TRUE(changed([](auto& p) { p.spec.variants[0].pod_template = "{}"; }));
  EXPECT_TRUE(changed([](auto& p) { p.spec.variants[0].accelerators_per_replica = 1; }));
  EXPECT_TRUE(changed([](auto& p) { p.spec.variants[0].arch = "amd64"; }));
  EXPECT_TRUE(changed([](auto& p) { p.spec.drain_seconds = 1; }));
  EXPECT_FALSE(changed([](auto& p) { p.spec.replicas = 9; }));
  EXPECT_FALSE(changed([](auto& p) { p.spec.variants[0].throughput = "4"; }));
  EXPECT_FALSE(changed([](auto& p) { p.spec.routing_mode = "Weighted"; }));
}

// ---- writing ----

CellDecision Decided(int desired, int before) {
  CellDecision cell;
  cell.variant = "a100";
  cell.node_group = "home";
  cell.desired = desired;
  cell.before = before;
  cell.surge = 1;
  return cell;
}

kube::Deployment There(int replicas) {
  kube::Deployment deployment;
  deployment.meta.ns = "serving";
  deployment.meta.name = CellName("chat", "a100", "home");
  deployment.meta.uid = "uid-deployment";
  deployment.meta.controller.Own().uid = "uid-chat";
  deployment.replicas = replicas;
  deployment.max_surge = 1;
  return deployment;
}

struct Scene {
  InferencePool pool = Pool();
  crds::v1alpha1::NodeGroup group = samples::Group();
  InferenceDecision decision;
  std::vector<kube::Deployment> deployments;
  std::vector<kube::Companion> services;
  std::vector<kube::Pod> pods;
  kube::Companion budget;
  std::set<std::string> deleted;

  Scene() {
    decision.memory.units = 4;
    budget.meta.uid = "uid-budget";
    Carry(budget, RenderServingBudget(pool));
    AddService("chat", nullptr);
  }
  void AddService(const std::string& name, const crds::v1alpha1::VariantSpec* variant) {
    kube::Companion& service = services.emplace_back();
    service.meta.name = name;
    service.meta.uid = "uid-" + name;
    Carry(service, RenderServingService(pool, variant));
  }
  static void Carry(kube::Companion& there, const std::string& rendered) {
    const auto object = samples::Json::parse(rendered);
    there.meta.annotations[kRevisionAnnotation] =
        object["metadata"]["annotations"][kRevisionAnnotation];
    there.spec_digest = kube::SpecDigest(object["spec"].dump());
  }
  [[nodiscard]] InferenceDiffInput Input() const {
    InferenceDiffInput input;
    input.pool = &pool;
    input.decision = &decision;
    input.groups = {{"home", &group}};
    for (const auto& one : deployments) input.deployments.push_back(&one);
    for (const auto& one : services) input.services.push_back(&one);
    for (const auto& one : pods) input.pods.push_back(&one);
    input.disruption_budget = &budget;
    input.deleted_uids = &deleted;
    return input;
  }
  // "create deployments chat-1234", in order.
  [[nodiscard]] std::vector<std::string> Writes() const {
    std::vector<std::string> out;
    for (const Write& write : DiffChildren(Input())) {
      const char* verb = write.verb == Write::Verb::kCreate   ? "create "
                         : write.verb == Write::Verb::kPatch  ? "patch "
                         : write.verb == Write::Verb::kDelete ? "delete "
                                                              : "other ";
      out.push_back(verb + write.resource->plural + " " + write.name);
    }
    return out;
  }
};

const std::string kCell = CellName("chat", "a100", "home");

TEST(DiffInference, MakesADeploymentForACell) {
  Scene scene;
  scene.decision.cells = {Decided(3, 0)};
  EXPECT_THAT(scene.Writes(), ElementsAre("create deployments " + kCell));
}

TEST(DiffInference, IsSilentWhenAllIsAsDecided) {
  Scene scene;
  scene.decision.cells = {Decided(3, 3)};
  scene.deployments = {There(3)};
  EXPECT_THAT(scene.Writes(), IsEmpty());
}

TEST(DiffInference, MakesNothingBeforeThePoolIsDecidedOnce) {
  Scene scene;
  scene.pool.status.units.reset();
  scene.services.clear();
  EXPECT_THAT(scene.Writes(), IsEmpty());
}

TEST(DiffInference, ScalesAndTellsWhoScaledAChild) {
  Scene scene;
  scene.decision.cells = {Decided(3, 3)};
  scene.deployments = {There(7)};
  EXPECT_THAT(scene.Writes(), ElementsAre("patch deployments " + kCell));
  EXPECT_THAT(ScaledByOthers(scene.Input()),
              ElementsAre(HasSubstr("kubectl scale inferencepool/chat --replicas=N")));
  scene.decision.cells = {Decided(3, 7)};  // our own decision
  EXPECT_THAT(ScaledByOthers(scene.Input()), IsEmpty());
}

TEST(DiffInference, MakesNothingWhileANameIsTakenOrThePoolIsPaused) {
  Scene scene;
  scene.services.clear();
  scene.decision.cells = {Decided(3, 3)};
  scene.deployments = {There(7)};
  scene.pool.spec.paused = true;
  EXPECT_THAT(scene.Writes(), IsEmpty());
  EXPECT_THAT(ScaledByOthers(scene.Input()), IsEmpty());
  scene.pool.spec.paused = false;
  InferenceDiffInput input = scene.Input();
  input.name_taken = true;
  EXPECT_THAT(DiffChildren(input), IsEmpty());
}

TEST(DiffInference, DeletesWhatACellNoLongerNeeds) {
  Scene scene;
  scene.decision.cells = {Decided(0, 3)};
  scene.deployments = {There(3)};
  EXPECT_THAT(scene.Writes(), ElementsAre("delete deployments " + kCell));
  scene.deleted = {"uid-deployment"};
  EXPECT_THAT(scene.Writes(), IsEmpty());
}

TEST(DiffInference, DeletesDeploymentsThatNoDecisionKnows) {
  Scene scene;
  scene.deployments = {There(3)};
  scene.deployments[0].meta.name = "chat-00000000";
  EXPECT_THAT(scene.Writes(), ElementsAre("delete deployments chat-00000000"));
}

TEST(DiffInference, ScalesWithoutANodeGroupButRendersNothing) {
  Scene scene;
  scene.decision.cells = {Decided(2, 3)};
  scene.decision.cells[0].node_group = "gone";
  scene.deployments = {There(3)};
  scene.deployments[0].meta.name = CellName("chat", "a100", "gone");
  const auto writes = DiffChildren(scene.Input());
  ASSERT_EQ(writes.size(), 1U);
  EXPECT_THAT(writes[0].body, Not(HasSubstr("strategy")));
  EXPECT_THAT(writes[0].body, HasSubstr("\"/spec/replicas\",\"value\":2"));
}

TEST(DiffInference, MakesNothingOfATemplateThatIsRefused) {
  Scene scene;
  scene.decision.cells = {Decided(3, 3)};
  InferenceDiffInput input = scene.Input();
  ASSERT_EQ(DiffChildren(input).size(), 1U) << "somebody deleted its Deployment";
  input.refused = {"a100"};
  EXPECT_THAT(DiffChildren(input), IsEmpty());
  scene.deployments = {There(2)};
  input = scene.Input();
  input.refused = {"a100"};
  const auto writes = DiffChildren(input);
  ASSERT_EQ(writes.size(), 1U);
  EXPECT_THAT(writes[0].body, HasSubstr("\"/spec/replicas\",\"value\":3"));
  EXPECT_THAT(writes[0].body, Not(HasSubstr("template")));
}

TEST(RenderDeployment, OutlivesWhateverTheCrdLetsThrough) {
  for (const char* field : {R"("affinity": "none")", R"("affinity": {"nodeAffinity": 3})",
                            R"("affinity": {"nodeAffinity":
                               {"requiredDuringSchedulingIgnoredDuringExecution":
                                {"nodeSelectorTerms": ["x", {"matchExpressions": "y"}]}}})",
                            R"("tolerations": "all")", R"("nodeSelector": "home")"}) {
    Cellar c;
    c.pool.spec.variants[0].pod_template =
        R"({"spec": {)" + std::string(field) +
        R"(, "containers": [{"name": "m", "resources": "8Gi", "env": "x"}]}})";
    const Json deployment = Json::parse(RenderDeployment(c.Input()));
    EXPECT_TRUE(deployment["spec"]["template"]["spec"]["affinity"].is_object()) << field;
  }
}

TEST(DiffInference, AServiceForEachVariantWhenWeighted) {
  Scene scene;
  scene.pool.spec.routing_mode = "Weighted";
  EXPECT_THAT(scene.Writes(), ElementsAre("create services chat-a100"));
  scene.AddService("chat-a100", scene.pool.spec.variants.data());
  EXPECT_THAT(scene.Writes(), IsEmpty());
  scene.pool.spec.routing_mode = "Uniform";
  EXPECT_THAT(scene.Writes(), ElementsAre("delete services chat-a100"));
}

TEST(DiffInference, AChangedPortReplacesThePortsOfTheService) {
  Scene scene;
  scene.pool.spec.routing_port = 9000;
  const auto writes = DiffChildren(scene.Input());
  ASSERT_EQ(writes.size(), 1U);
  EXPECT_EQ(writes[0].verb, Write::Verb::kPatch);
  EXPECT_THAT(writes[0].body, HasSubstr("\"path\":\"/spec/ports\""));
  EXPECT_THAT(writes[0].body, HasSubstr("9000"));
}

TEST(DiffInference, AServiceAndABudgetThatSomebodyEditedArePatchedBack) {
  Scene scene;
  scene.services[0].spec_digest = kube::SpecDigest(R"({"ports":[{"port":1}]})");
  scene.budget.spec_digest = kube::SpecDigest(R"({"minAvailable":0})");
  scene.budget.meta.name = "chat";
  EXPECT_THAT(scene.Writes(),
              ElementsAre("patch poddisruptionbudgets chat", "patch services chat"));
  const auto patch = samples::Json::parse(DiffChildren(scene.Input())[0].body);
  EXPECT_EQ(patch[1]["path"], "/spec");
  EXPECT_EQ(patch[1]["value"]["maxUnavailable"], scene.pool.spec.max_unavailable);
}

TEST(DiffInference, WithoutAnnotationsAPatchMakesThemAll) {
  Scene scene;
  scene.services[0].meta.annotations.clear();
  const auto writes = DiffChildren(scene.Input());
  ASSERT_EQ(writes.size(), 1U);
  const auto patch = samples::Json::parse(writes[0].body);
  EXPECT_EQ(patch.back()["path"], "/metadata/annotations");
  EXPECT_TRUE(patch.back()["value"].contains(kRevisionAnnotation));
}

TEST(DiffInference, DeletesStrandedPodsByForceWhereTheirNodeIsLost) {
  Scene scene;
  for (const char* name : {"a", "b", "c"}) {
    kube::Pod& pod = scene.pods.emplace_back();
    pod.meta.name = name;
    pod.meta.uid = std::string("uid-") + name;
  }
  scene.decision.evict = {"a"};
  scene.decision.force_delete = {"b"};
  const auto writes = DiffChildren(scene.Input());
  ASSERT_EQ(writes.size(), 2U);
  EXPECT_EQ(writes[0].name, "a");
  EXPECT_EQ(writes[0].deletion.grace_seconds, -1);
  EXPECT_EQ(writes[1].name, "b");
  EXPECT_EQ(writes[1].deletion.grace_seconds, 0);
}

// ---- reading ----

World WorldOf(const InferencePool& pool, std::vector<kube::Deployment> deployments,
              std::vector<kube::Pod> pods) {
  World world;
  world.inference_pools = {std::make_shared<InferencePool>(pool)};
  world.node_groups = {std::make_shared<crds::v1alpha1::NodeGroup>(samples::Group())};
  for (auto& one : deployments) {
    world.deployments.push_back(std::make_shared<kube::Deployment>(std::move(one)));
  }
  for (auto& one : pods) world.pods.push_back(std::make_shared<kube::Pod>(std::move(one)));
  return world;
}

placement::InferencePool Observed(const World& world) {
  const Settings settings;
  const std::map<std::string, std::string> no_conflicts;
  ObserveInput input;
  input.now = Time(Seconds(5000));
  input.settings = &settings;
  input.name_conflicts = &no_conflicts;
  input.ask_template = [](const TemplateSubject& subject) {
    EXPECT_EQ(subject.variant, "a100");
    TemplateAnswer answer;
    answer.state = TemplateAnswer::State::kValid;
    answer.shape.requests.Set(kCpu, 4000);
    return answer;
  };
  return Observe(world, Families(world), input).inference_pools.at(0);
}

kube::Pod ReplicaPod(const std::string& name, const std::string& revision) {
  kube::Pod pod;
  pod.meta.ns = "serving";
  pod.meta.name = name;
  pod.meta.created = Time(Seconds(1000));
  pod.meta.controller.Own().kind = "ReplicaSet";
  pod.meta.labels = {{kPoolUidLabel, "uid-chat"},
                     {kCellLabel, CellHash("a100", "home")},
                     {kTemplateLabel, revision}};
  pod.node = "n1";
  pod.phase = kube::PodPhase::kRunning;
  pod.ready = true;
  return pod;
}

kube::Deployment Made(const std::string& revision) {
  kube::Deployment deployment = There(2);
  deployment.meta.labels = {{kPoolUidLabel, "uid-chat"}, {kPoolLabel, "chat"}};
  deployment.meta.annotations = {
      {kVariantLabel, "a100"}, {kNodeGroupAnnotation, "home"}, {kTemplateLabel, revision}};
  return deployment;
}

TEST(ObserveInference, CountsPodsByTheirCell) {
  kube::Pod late = ReplicaPod("late", "r1");
  late.ready = false;
  late.ready_changed = Time(Seconds(3000));
  const auto pool = Observed(WorldOf(Pool(), {Made("r1")}, {ReplicaPod("a", "r1"), late}));
  ASSERT_EQ(pool.live.size(), 2U);
  EXPECT_EQ(pool.live[0].variant, "a100");
  EXPECT_EQ(pool.live[0].node_group, "home");
  EXPECT_TRUE(pool.live[0].ready);
  EXPECT_EQ(pool.live[1].since, Time(Seconds(3000)));
  EXPECT_EQ(pool.unit, 3'900'000);
  EXPECT_FALSE(pool.cells[0].rolling);
}

TEST(ObserveInference, ReadsHowLongPodsMayDrain) {
  EXPECT_EQ(Observed(WorldOf(Pool(), {}, {})).drain, Seconds{45});
}

TEST(ObserveInference, PodsOfOtherNamespacesAndControllersAreNotItsReplicas) {
  kube::Pod elsewhere = ReplicaPod("elsewhere", "r1");
  elsewhere.meta.ns = "other";
  kube::Pod alone = ReplicaPod("alone", "r1");
  alone.meta.controller.Own().kind = "";
  kube::Pod of_another = ReplicaPod("of-another", "r1");
  of_another.meta.labels[kPoolUidLabel] = "uid-other";
  const auto pool = Observed(
      WorldOf(Pool(), {Made("r1")}, {elsewhere, alone, of_another, ReplicaPod("a", "r1")}));
  ASSERT_EQ(pool.live.size(), 1U);
  EXPECT_EQ(pool.live[0].pod, "a");
}

TEST(ObserveInference, ItRollsWhilePodsOfAnotherTemplateAreThere) {
  EXPECT_TRUE(Observed(WorldOf(Pool(), {Made("r2")}, {ReplicaPod("a", "r1")})).cells[0].rolling);
  kube::Pod leaving = ReplicaPod("a", "r1");
  leaving.meta.deleted = Time(Seconds(10));
  EXPECT_FALSE(Observed(WorldOf(Pool(), {Made("r2")}, {leaving})).cells[0].rolling);
}

TEST(ObserveInference, OthersPodsAndEndedOnesAreNoReplicas) {
  kube::Pod foreign = ReplicaPod("foreign", "r1");
  foreign.meta.controller.Own().kind = "Job";
  kube::Pod failed = ReplicaPod("failed", "r1");
  failed.phase = kube::PodPhase::kFailed;
  EXPECT_THAT(Observed(WorldOf(Pool(), {}, {foreign, failed})).live, IsEmpty());
}

TEST(ObserveInference, ChildrenOfAnEarlierPoolOfTheNameAreWaitedFor) {
  kube::Deployment old = Made("r1");
  old.meta.controller.Own().uid = "uid-before";
  old.meta.controller.Own().kind = "InferencePool";
  EXPECT_THAT(Observed(WorldOf(Pool(), {old}, {})).name_conflict,
              HasSubstr("an earlier InferencePool of this name"));
}

TEST(ObserveInference, MemoryIsWhatTheStatusSays) {
  InferencePool pool = Pool();
  InferenceDecision decision;
  auto& memory = decision.memory;
  memory.units = 4;
  memory.requested = 6;
  memory.recent = {{5, Time(Seconds(50))}};
  memory.step_up = {Time(Seconds(60)), 2};
  memory.step_down = {Time(Seconds(70)), 9};
  memory.cells = {{"a100", "home", 0, 3, Time(Seconds(80)), Time(Seconds(90)), 2, "r1"}};
  memory.queued_since = Time(Seconds(1));
  memory.waiting_since = Time(Seconds(2));
  memory.home_fits_since = Time(Seconds(3));
  memory.short_since = Time(Seconds(4));
  memory.claim = {.variant = "a100",
                  .replicas = 2,
                  .hold = {.node_group = "home",
                           .domain = "",
                           .nodes = {"n1", "n2"},
                           .until = Time(Seconds(900)),
                           .since = Time(Seconds(5)),
                           .victims = {{.ns = "team", .name = "low"}}}};
  memory.asks = {{.variant = "a100",
                  .node_group = "burst",
                  .nodes = 2,
                  .replicas = 12,
                  .since = Time(Seconds(6))}};
  memory.evictions = {{.time = Time(Seconds(50)), .cause = "gave a replica up for team/high"}};
  const placement::InferencePool facts;
  pool.status = DesiredStatus(pool, decision, facts, Mode::kEnforce, Time(Seconds(100)));
  EXPECT_TRUE(MemoryOf(pool.status) == memory);
}

// ---- telling ----

TEST(InferenceStatus, NumbersAloneAreNoNews) {
  InferencePool pool = Pool();
  InferenceDecision decision;
  decision.memory.units = 4;
  decision.memory.cells = {{"a100", "home", 0, 3, {}, {}, 0, "r1"}};
  decision.cells = {Decided(3, 3)};
  const placement::InferencePool facts;
  const auto was = DesiredStatus(pool, decision, facts, Mode::kEnforce, Time(Seconds(100)));
  decision.cells[0].ready = 2;
  decision.ready_units = 2;
  decision.ready_capacity = 7'800'000;
  auto is = DesiredStatus(pool, decision, facts, Mode::kEnforce, Time(Seconds(100)));
  EXPECT_EQ(Compare(was, is), Change::kNumbers);
  EXPECT_EQ(is.ready_capacity, "7.8");
  decision.memory.cells[0].desired = 4;
  is = DesiredStatus(pool, decision, facts, Mode::kEnforce, Time(Seconds(100)));
  EXPECT_EQ(Compare(was, is), Change::kMeaning);
}

TEST(InferenceStatus, TheLastDecisionTellsWhatWasNotChosen) {
  InferencePool pool = Pool();
  InferenceDecision decision;
  decision.action = placement::Action::kScale;
  decision.chosen = "4 a100@home";
  decision.rejected = {{.mix = "2 a100@home and 2 a100@azure",
                        .cost = Money::Parse("7.75").value(),
                        .why = "it serves more in farther tiers"}};
  const placement::InferencePool facts;
  pool.status = DesiredStatus(pool, decision, facts, Mode::kEnforce, Time(Seconds(100)));
  const auto& last = pool.status.last_decision;
  ASSERT_TRUE(last.has_value());
  ASSERT_EQ(last->rejected.size(), 1U);
  EXPECT_EQ(last->rejected[0].mix, "2 a100@home and 2 a100@azure");
  EXPECT_EQ(last->rejected[0].cost, "7.75");
  EXPECT_EQ(last->rejected[0].why, "it serves more in farther tiers");
  decision.action = placement::Action::kKeep;
  decision.rejected.clear();
  const auto later = DesiredStatus(pool, decision, facts, Mode::kEnforce, Time(Seconds(200)));
  EXPECT_EQ(later.last_decision, last) << "until something changes again";
}

TEST(InferenceStatus, ObserveWritesConditionsOnly) {
  InferencePool pool = Pool();
  pool.status = {};
  InferenceDecision decision;
  decision.action = placement::Action::kScale;
  decision.memory.units = 4;
  decision.chosen = "4 a100@home";
  const placement::InferencePool facts;
  const auto status = DesiredStatus(pool, decision, facts, Mode::kObserve, Time(Seconds(100)));
  EXPECT_FALSE(status.units.has_value());
  EXPECT_THAT(status.conditions[2].message, HasSubstr("would run 4 a100@home"));
}

TEST(InferenceStatus, WeightsFollowReadyCapacity) {
  InferencePool pool = Pool();
  pool.spec.routing_mode = "Weighted";
  InferenceDecision decision;
  decision.weights = {{"a100", 75}};
  const placement::InferencePool facts;
  const auto status = DesiredStatus(pool, decision, facts, Mode::kEnforce, Time(Seconds(100)));
  ASSERT_EQ(status.services.size(), 2U);
  EXPECT_EQ(status.services[1].name, "chat-a100");
  EXPECT_EQ(status.services[1].weight, 75);
}

}  // namespace
}  // namespace spillway::controllers
